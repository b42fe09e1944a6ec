/* stream.h - the sockets of the change stream: PUB tells as things happen, REP answers who asks for
 * what it has missed.
 *
 * A subscriber that reads too slowly loses messages, as SP's PUB has it: memory stays bounded. It
 * sees the gap by the LSNs, or by silence, and asks from its last LSN on.
 *
 * Threads: one publishes, one receives and replies. */
#ifndef RPC_STREAM_H
#define RPC_STREAM_H

#include <stddef.h>

#include "holdfast/status.h"

#define STREAM_REQUEST_BYTES 64u /* a request is a few digits */
#define STREAM_ERROR_BYTES   256u

struct stream;

/* Listens. Either URL may be NULL: not that. OK; else error (STREAM_ERROR_BYTES) says why: INVALID
 * (no URL that can be listened on, or in use), NO_MEMORY. */
enum hf_status stream_open(struct stream **out, const char *publish_url, const char *fetch_url,
                           char *error);
void stream_close(struct stream *stream);

/* Sends to all who subscribed to the message's beginning. Never waits. */
void stream_publish(struct stream *stream, const void *data, size_t len);

/* Waits up to 200 ms for a request: OK with it as text, terminated; NOT_FOUND: there was none. */
enum hf_status stream_receive(struct stream *stream, char request[STREAM_REQUEST_BYTES]);

/* Answers the last request. */
void stream_reply(struct stream *stream, const void *data, size_t len);

#endif
