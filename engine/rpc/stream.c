/* stream.c - the sockets of the change stream.
 *
 * Threads: as stream.h says; nng has its own. */
#include "rpc/stream.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVE_MS       200
#define REPLY_MS         5000 /* a peer that does not read for so long loses its answer */
#define PUBLISH_MESSAGES 4096 /* waiting for each subscriber, at most */

struct stream {
    bool publishes;
    bool answers;
    nng_socket publisher;
    nng_socket responder;
};

static int open_publisher(struct stream *stream, const char *url)
{
    int wrong = nng_pub0_open(&stream->publisher);
    if (wrong == 0) {
        stream->publishes = true;
        wrong = nng_socket_set_int(stream->publisher, NNG_OPT_SENDBUF, PUBLISH_MESSAGES);
    }
    return wrong ? wrong : nng_listen(stream->publisher, url, NULL, 0);
}

static int open_responder(struct stream *stream, const char *url)
{
    int wrong = nng_rep0_open(&stream->responder);
    if (wrong == 0) {
        stream->answers = true;
        wrong = nng_socket_set_ms(stream->responder, NNG_OPT_RECVTIMEO, RECEIVE_MS);
    }
    if (wrong == 0) {
        wrong = nng_socket_set_ms(stream->responder, NNG_OPT_SENDTIMEO, REPLY_MS);
    }
    if (wrong == 0) {
        wrong = nng_socket_set_size(stream->responder, NNG_OPT_RECVMAXSZ, STREAM_REQUEST_BYTES);
    }
    return wrong ? wrong : nng_listen(stream->responder, url, NULL, 0);
}

enum hf_status stream_open(struct stream **out, const char *publish_url, const char *fetch_url,
                           char *error)
{
    struct stream *stream = calloc(1, sizeof *stream);
    *out = stream;
    if (!stream) {
        snprintf(error, STREAM_ERROR_BYTES, "out of memory");
        return HF_NO_MEMORY;
    }
    const char *url = publish_url;
    int wrong = publish_url ? open_publisher(stream, publish_url) : 0;
    if (wrong == 0 && fetch_url) {
        url = fetch_url;
        wrong = open_responder(stream, fetch_url);
    }
    if (wrong) {
        snprintf(error, STREAM_ERROR_BYTES, "%.160s: can't be listened on: %s", url,
                 nng_strerror(wrong));
        stream_close(stream);
        *out = NULL;
        return wrong == NNG_ENOMEM ? HF_NO_MEMORY : HF_INVALID;
    }
    return HF_OK;
}

void stream_close(struct stream *stream)
{
    if (!stream) {
        return;
    }
    if (stream->publishes) {
        nng_close(stream->publisher);
    }
    if (stream->answers) {
        nng_close(stream->responder);
    }
    free(stream);
}

void stream_publish(struct stream *stream, const void *data, size_t len)
{
    nng_msg *message;
    if (!stream->publishes || nng_msg_alloc(&message, 0) != 0) {
        return;
    }
    if (nng_msg_append(message, data, len) != 0 ||
        nng_sendmsg(stream->publisher, message, NNG_FLAG_NONBLOCK) != 0) {
        nng_msg_free(message);
    }
}

enum hf_status stream_receive(struct stream *stream, char request[STREAM_REQUEST_BYTES])
{
    nng_msg *message;
    if (nng_recvmsg(stream->responder, &message, 0) != 0) {
        return HF_NOT_FOUND;
    }
    size_t len = nng_msg_len(message);
    len = len < STREAM_REQUEST_BYTES ? len : STREAM_REQUEST_BYTES - 1;
    memcpy(request, nng_msg_body(message), len);
    request[len] = '\0';
    nng_msg_free(message);
    return HF_OK;
}

void stream_reply(struct stream *stream, const void *data, size_t len)
{
    nng_msg *message;
    if (nng_msg_alloc(&message, 0) != 0) {
        return;
    }
    if (nng_msg_append(message, data, len) != 0 ||
        nng_sendmsg(stream->responder, message, 0) != 0) {
        nng_msg_free(message);
    }
}
