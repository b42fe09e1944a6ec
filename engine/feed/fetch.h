/* fetch.h - the change stream's requests: which records came after an LSN.
 *
 * The places where the last answers ended are kept as cursors, each with its reader: a request that
 * continues from one of them costs no search. Opening a new cursor reads the log from the beginning
 * of a segment.
 *
 * Threads: one. */
#ifndef FEED_FETCH_H
#define FEED_FETCH_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "io/storage.h"

#define FETCH_CURSORS_MAX 4u /* some MiB each */

struct feed_fetch;

struct feed_fetch_options {
    const char *token; /* requests must carry it; "": none needed */

    /* Opens the log's directory: once for each cursor, which destroys it. NOT_FOUND: there is no
     * log yet. */
    enum hf_status (*open)(void *context, struct storage **out);
    void *context;

    const atomic_bool *stop; /* true: the answer that is being made ends early */
};

/* NULL: no memory. */
struct feed_fetch *feed_fetch_make(const struct feed_fetch_options *options);
void feed_fetch_free(struct feed_fetch *fetch);

/* What docs/protocol.md says. Valid until the next call. */
struct bytes feed_fetch_answer(struct feed_fetch *fetch, struct bytes request);

#endif
