/* peek.h - what a request is, without decoding it: for whoever decides who comes first.
 *
 * Threads: any. */
#ifndef WIRE_PEEK_H
#define WIRE_PEEK_H

#include "base/bytes.h"
#include "wire/message.h"

struct request_peek {
    enum request_type type; /* NONE: no body, an unknown one, or not a request at all */
    uint32_t timeout_ms;    /* as in the request; 0: none */
};

/* Reads the tags of the message's first PEEK_FIELDS_MAX fields, in a time that does not depend on
 * its size. A request that was encoded in the usual way has four at most. */
struct request_peek request_peek(struct bytes message);
#define PEEK_FIELDS_MAX 16u

#endif
