/* feed.h - the change stream of a running engine, for other services.
 *
 * It follows the log's files, as `wal tail` does, and so sends only what is durable; the engine's
 * own threads know nothing of it. docs/protocol.md has the messages.
 *
 * Threads: start and stop from one; two of its own, in which all signals are blocked. */
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include "rpc/stream.h"

struct feed;

struct feed_options {
    const char *data;       /* the engine's data directory; its log may be made later */
    const char *archive;    /* NULL: none */
    const char *stream_url; /* where records are sent as they become durable; NULL: nowhere */
    const char *fetch_url;  /* where records can be asked for; NULL: nowhere */
    const char *token;      /* requests must carry it; "": none needed */
};

/* Serves the log on these addresses. The options' texts must outlive it. OK; else nothing is left
 * to stop, and error (STREAM_ERROR_BYTES) gives the reason: as stream_open; INTERNAL: a thread
 * can't be started. */
enum hf_status feed_start(struct feed **out, const struct feed_options *options, char *error);

/* The addresses really listened on; "": none. */
const char *feed_stream_url(const struct feed *feed);
const char *feed_fetch_url(const struct feed *feed);

/* Ends the threads, and closes all. NULL: nothing. */
void feed_stop(struct feed *feed);

#endif
