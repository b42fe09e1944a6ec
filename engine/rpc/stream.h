/* stream.h - the sockets of the change stream: PUB sends changes as they happen, REP answers a
 * subscriber that asks for what it has missed.
 *
 * A subscriber that reads too slowly loses messages, as SP's PUB has it: memory stays bounded. It
 * notices the gap by the LSNs, or by silence, and asks from its last LSN on. Connections, their
 * memory and their requests in hand are bounded, and listeners are watched, like the engine's own.
 *
 * Threads: one broadcasts; one receives and replies. */
#ifndef RPC_STREAM_H
#define RPC_STREAM_H

#include <stddef.h>

#include "base/bytes.h"
#include "holdfast/status.h"

#define STREAM_ERROR_BYTES 256u
#define STREAM_URL_BYTES   256u

struct stream;

/* Listens on tcp://HOST:PORT (port 0: any free one) or ipc://PATH. Either URL may be NULL: no
 * such socket. OK; else error (STREAM_ERROR_BYTES) says why: INVALID (no such URL), UNREACHABLE (in
 * use, no such interface), NO_MEMORY. */
enum hf_status stream_open(struct stream **out, const char *broadcast_url, const char *fetch_url,
                           char *error);
void stream_close(struct stream *stream); /* NULL: nothing */

/* The addresses really listened on. "": not listening. */
const char *stream_broadcast_url(const struct stream *stream);
const char *stream_fetch_url(const struct stream *stream);

/* Sends to all subscribers. Never waits. */
void stream_broadcast(struct stream *stream, struct bytes message);

/* Waits up to 200 ms for a request: OK with its bytes, valid until stream_reply(), which must
 * follow. NOT_FOUND: none has come. */
enum hf_status stream_receive(struct stream *stream, struct bytes *request);

/* Answers the last request. */
void stream_reply(struct stream *stream, struct bytes reply);

#endif
