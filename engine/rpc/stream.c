/* stream.c - the sockets of the change stream.
 *
 * Requests wait in a list for the thread that answers them. The number of exchanges bounds the
 * list.
 *
 * Threads: see stream.h; requests come on the transport's threads. */
#include "rpc/stream.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "rpc/broadcast.h"
#include "rpc/frame.h"
#include "rpc/timing.h"
#include "rpc/transport.h"

#define RECEIVE_MS              200
#define FETCH_BYTES_MAX         (32u + TOKEN_BYTES_MAX) /* an LSN and a token */
#define REQUESTS_MAX            64u
#define CONNECTION_REQUESTS_MAX 16u

/* A request that waits: the exchange's own memory. */
struct waiting {
    struct transport_exchange *exchange;
    struct waiting *next;
};

struct stream {
    struct broadcast *broadcast;
    struct transport_server *responder;
    char broadcast_url[STREAM_URL_BYTES];
    char fetch_url[STREAM_URL_BYTES];
    struct transport_exchange *current; /* received, and not replied to */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct waiting *first;
    struct waiting *last;
};

/* ---- Requests ---- */

static void request_came(void *context, struct transport_exchange *exchange)
{
    struct stream *stream = context;
    struct waiting *waiting = transport_exchange_user(exchange);
    *waiting = (struct waiting){.exchange = exchange};
    pthread_mutex_lock(&stream->lock);
    if (stream->first) {
        stream->last->next = waiting;
    } else {
        stream->first = waiting;
    }
    stream->last = waiting;
    pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
}

static size_t request_refused(void *context, enum transport_refusal why, uint32_t retry_ms,
                              uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX])
{
    static const char text[] = "{\"status\":\"BUSY\",\"message\":\"too many requests of this "
                               "connection are in hand\"}\n";
    (void)context;
    (void)retry_ms;
    CHECK(why ==
          TRANSPORT_REFUSE_CROWD); /* nothing else is refused: no target, and no timeout_ms */
    memcpy(reply, text, sizeof text - 1);
    return sizeof text - 1;
}

enum hf_status stream_receive(struct stream *stream, struct bytes *request)
{
    CHECK(!stream->current);
    struct timespec until = timing_in_ms(RECEIVE_MS);
    pthread_mutex_lock(&stream->lock);
    while (!stream->first &&
           pthread_cond_timedwait(&stream->wake, &stream->lock, &until) != ETIMEDOUT) {
    }
    if (stream->first) {
        stream->current = stream->first->exchange;
        stream->first = stream->first->next;
    }
    pthread_mutex_unlock(&stream->lock);
    if (!stream->current) {
        return HF_NOT_FOUND;
    }
    *request = transport_exchange_body(stream->current);
    return HF_OK;
}

void stream_reply(struct stream *stream, struct bytes reply)
{
    CHECK(stream->current);
    transport_reply(stream->current, reply);
    stream->current = NULL;
}

/* ---- Broadcasting ---- */

void stream_broadcast(struct stream *stream, struct bytes message)
{
    broadcast_send(stream->broadcast, message);
}

/* ---- Opening and closing ---- */

static enum hf_status open_broadcast(struct stream *stream, const char *url)
{
    struct broadcast_options options = {
        .subscribers_max = STREAM_SUBSCRIBERS_MAX,
        .backlog_messages = STREAM_BACKLOG_MESSAGES_MAX,
        .backlog_bytes = STREAM_BACKLOG_BYTES_MAX,
        .memory_bytes_max = STREAM_MEMORY_BYTES_MAX,
        .send_timeout_ms = STREAM_SEND_TIMEOUT_MS,
    };
    enum hf_status status = broadcast_open(&stream->broadcast, &options);
    return status != HF_OK ? status
                           : broadcast_listen(stream->broadcast, url, stream->broadcast_url,
                                              sizeof stream->broadcast_url);
}

static enum hf_status open_responder(struct stream *stream, const char *url)
{
    struct transport_server_options options = {
        .contexts = REQUESTS_MAX,
        .per_connection = CONNECTION_REQUESTS_MAX,
        .handlers = 1,
        .message_bytes_max = FETCH_BYTES_MAX + 4 * HOPS_MAX,
        .memory_bytes_max = STREAM_MEMORY_BYTES_MAX,
        .connections_max = STREAM_FETCHERS_MAX,
        .idle_ms_max = STREAM_FETCH_IDLE_MS,
        .send_timeout_ms = SERVER_SEND_TIMEOUT_MS,
        .user_bytes = sizeof(struct waiting),
        .handle = request_came,
        .refuse = request_refused,
        .context = stream,
    };
    enum hf_status status = transport_server_open(&stream->responder, &options);
    return status != HF_OK ? status
                           : transport_server_listen(stream->responder, url, stream->fetch_url,
                                                     sizeof stream->fetch_url);
}

static const char *reason_of(enum hf_status status)
{
    return status == HF_INVALID       ? "not an address such as tcp://HOST:PORT or ipc://PATH"
           : status == HF_UNREACHABLE ? "in use, or no such interface"
                                      : hf_status_text(status);
}

enum hf_status stream_open(struct stream **out, const char *broadcast_url, const char *fetch_url,
                           char *error)
{
    struct stream *stream = calloc(1, sizeof *stream);
    *out = stream;
    if (!stream) {
        snprintf(error, STREAM_ERROR_BYTES, "out of memory");
        return HF_NO_MEMORY;
    }
    pthread_mutex_init(&stream->lock, NULL);
    timing_cond_init(&stream->wake);
    const char *url = broadcast_url;
    enum hf_status status = broadcast_url ? open_broadcast(stream, broadcast_url) : HF_OK;
    if (status == HF_OK && fetch_url) {
        url = fetch_url;
        status = open_responder(stream, fetch_url);
    }
    if (status != HF_OK) {
        snprintf(error, STREAM_ERROR_BYTES, "%.160s: can't be listened on: %s", url,
                 reason_of(status));
        stream_close(stream);
        *out = NULL;
    }
    return status;
}

void stream_close(struct stream *stream)
{
    if (!stream) {
        return;
    }
    if (stream->broadcast) {
        broadcast_close(stream->broadcast);
    }
    if (stream->responder) {
        transport_server_close(stream->responder);
    }
    pthread_cond_destroy(&stream->wake);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

const char *stream_broadcast_url(const struct stream *stream)
{
    return stream->broadcast_url;
}

const char *stream_fetch_url(const struct stream *stream)
{
    return stream->fetch_url;
}
