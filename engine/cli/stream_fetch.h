/* stream_fetch.h - answers who asks what came behind an LSN: the requests of the change stream.
 *
 * The places where the last answers ended are kept, each with its reader: who asks on from one of
 * them costs no search. Opening a new place reads the log from the beginning of a segment.
 *
 * Threads: one. */
#ifndef CLI_STREAM_FETCH_H
#define CLI_STREAM_FETCH_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "io/storage.h"

#define STREAM_PLACES_MAX 4u /* some MiB each */

struct stream_fetch;

struct stream_fetch_options {
    const char *token; /* requests must carry it; "": none needed */

    /* Opens the log's directory: once for each place, which destroys it. NOT_FOUND: there is no log
     * yet. */
    enum hf_status (*open)(void *context, struct storage **out);
    void *context;

    const atomic_bool *stop; /* true: an answer in the making ends early */
};

/* NULL: no memory. */
struct stream_fetch *stream_fetch_make(const struct stream_fetch_options *options);
void stream_fetch_free(struct stream_fetch *fetch);

/* What docs/protocol.md says. Valid until the next call. */
struct bytes stream_fetch_answer(struct stream_fetch *fetch, struct bytes request);

#endif
