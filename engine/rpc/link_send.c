/* link_send.c - a link's writing side: what is added while a write is under way leaves with the
 * next.
 *
 * Threads: any, under the link's lock; link_sent() is nng's callback. */
#include "rpc/link_send.h"

#include "base/check.h"
#include "rpc/frame.h"
#include "rpc/timing.h"

/* Prepares a write of what is left of `leaving`. Lock held, link not closed. */
static void link_set_write(struct link *link)
{
    nng_iov iov = {link->leaving.bytes + link->left_bytes, link->leaving.len - link->left_bytes};
    CHECK(nng_aio_set_iov(link->sending, 1, &iov) == 0);
    link->write_ms = timing_now_ms();
    link_get(link); /* put back in link_sent */
    gate_enter(link);
}

bool link_begin_write(struct link *link)
{
    if (link->closed || link->is_sending || link->pending.len == 0) {
        return false;
    }
    struct outbox empty = link->leaving;
    link->leaving = link->pending;
    link->pending = empty;
    link->left_bytes = 0;
    link->is_sending = true;
    link_set_write(link);
    return true;
}

void link_write(struct link *link)
{
    nng_stream_send(link->stream, link->sending);
    gate_leave(link);
}

void link_unlock(struct link *link, bool write)
{
    pthread_mutex_unlock(&link->lock);
    if (write) {
        link_write(link);
    }
}

void link_flush(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link_unlock(link, link_begin_write(link));
}

bool link_add(struct link *link, struct bytes header, struct bytes body)
{
    uint8_t head[FRAME_HEAD_MAX];
    size_t head_bytes = frame_head(head, link->is_ipc, header.len + body.len);
    if (link->closed ||
        !outbox_reserve(&link->pending, head_bytes + header.len + body.len, &link->memory)) {
        return false;
    }
    if (link_unsent(link) == 0) {
        link->progress_ms = timing_now_ms();
    }
    size_t before = link->pending.len;
    outbox_add(&link->pending, head, head_bytes);
    outbox_add(&link->pending, header.data, header.len);
    outbox_add(&link->pending, body.data, body.len);
    CHECK(link->pending.len == before + head_bytes + header.len + body.len);
    link->pending.messages++;
    return true;
}

bool link_send_greeting(struct link *link)
{
    uint8_t greeting[GREETING_LEN];
    frame_greeting(greeting, link->kind->self);
    pthread_mutex_lock(&link->lock);
    bool fine = outbox_reserve(&link->pending, sizeof greeting, &link->memory);
    if (fine) {
        outbox_add(&link->pending, greeting, sizeof greeting);
    }
    link_unlock(link, link_begin_write(link));
    return fine;
}

/* A write has ended: prepares the next one, of the rest or of what was added since. Lock held.
 * Returns the number of messages that have left; *write as link_begin_write(). */
static unsigned link_written(struct link *link, bool *write)
{
    CHECK(link->is_sending);
    link->left_bytes += nng_aio_count(link->sending);
    CHECK(link->left_bytes <= link->leaving.len);
    if (link->left_bytes < link->leaving.len) {
        *write = !link->closed;
        if (*write) {
            link_set_write(link);
        }
        return 0;
    }
    unsigned messages = link->leaving.messages;
    outbox_clear(&link->leaving, &link->memory);
    link->is_sending = false;
    if (messages > 0) { /* not our handshake */
        link->progress_ms = timing_now_ms();
    }
    *write = link_begin_write(link);
    link_unchoke(link);
    return messages;
}

void link_sent(void *arg)
{
    struct link *link = arg;
    if (nng_aio_result(link->sending) != 0) {
        (void)link_shut(link);
        link_put(link); /* release() counts what has not left */
        return;
    }
    bool write;
    pthread_mutex_lock(&link->lock);
    unsigned messages = link_written(link, &write);
    link_unlock(link, write);
    if (messages > 0 && link->kind->sent) {
        link->kind->sent(link, messages);
    }
    link_put(link);
}
