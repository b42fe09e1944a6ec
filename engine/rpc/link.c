/* link.c - a stream with SP's framing, from the handshake until nothing refers to it. See link.h.
 */
#include "rpc/link.h"

#include "base/check.h"
#include "base/test_point.h"
#include "rpc/link_receive.h"
#include "rpc/link_send.h"
#include "rpc/timing.h"

_Thread_local struct link *corked;

void link_get(struct link *link)
{
    /* relaxed: the caller has a reference. */
    atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
}

static void link_free(struct link *link)
{
    if (link->stream) {
        nng_stream_free(link->stream);
    }
    /* Not nng_aio_free: this may be running in the callback of one of them. */
    if (link->receiving) {
        nng_aio_reap(link->receiving);
    }
    if (link->sending) {
        nng_aio_reap(link->sending);
    }
    chunk_put(link->chunk);
    outbox_free(&link->pending, &link->memory);
    outbox_free(&link->leaving, &link->memory);
    pthread_mutex_destroy(&link->lock);
    link->kind->release(link);
}

void link_put(struct link *link)
{
    /* acq_rel: all that was done with it happens before it is freed. */
    unsigned before = atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        link_free(link);
    }
}

bool link_init(struct link *link, const struct link_kind *kind, void *owner, nng_stream *stream,
               bool is_ipc, uint64_t message_bytes_max, struct budget *budget)
{
    link->kind = kind;
    link->owner = owner;
    link->stream = stream;
    link->is_ipc = is_ipc;
    link->message_bytes_max = message_bytes_max;
    link->memory.budget = budget;
    link->chunk_bytes = CHUNK_BYTES_FIRST;
    link->made_ms = timing_now_ms();
    atomic_init(&link->refs, 1);
    pthread_mutex_init(&link->lock, NULL);
    if (nng_aio_alloc(&link->receiving, link_received, link) != 0 ||
        nng_aio_alloc(&link->sending, link_sent, link) != 0) {
        link_put(link);
        return false;
    }
    nng_aio_set_timeout(link->receiving, NNG_DURATION_INFINITE);
    nng_aio_set_timeout(link->sending, NNG_DURATION_INFINITE);
    return true;
}

void link_resume(struct link *link)
{
    if (nng_aio_begin(link->receiving)) {
        link->resumed = true;
        nng_aio_finish(link->receiving, 0);
    }
}

void link_unchoke(struct link *link)
{
    if (link->choked && link->pending.len < OUTBOX_BYTES_MAX / 2 &&
        link->waiting_bytes < WAITING_BYTES_MAX / 2) {
        link->choked = false;
        link_resume(link);
    }
}

void link_wait_less(struct link *link, uint64_t bytes)
{
    CHECK(link->waiting_bytes >= bytes);
    link->waiting_bytes -= bytes;
    link_unchoke(link);
}

void gate_enter(struct link *link)
{
    /* relaxed: ordered with the closing by the lock. */
    atomic_fetch_add_explicit(&link->gate, 1, memory_order_relaxed);
}

void gate_leave(struct link *link)
{
    /* acq_rel: what was started comes before the stream is closed. */
    unsigned before = atomic_fetch_sub_explicit(&link->gate, 1, memory_order_acq_rel);
    CHECK((before & ~GATE_CLOSED) > 0);
    if (before == (GATE_CLOSED | 1)) {
        nng_stream_close(link->stream);
    }
}

bool link_shut(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool first = !link->closed;
    link->closed = true;
    outbox_free(&link->pending, &link->memory); /* nobody will write it: at once, not at the end */
    if (link->choked) {
        link->choked = false;
        link_resume(link);
    }
    /* acq_rel: as in gate_leave(). */
    unsigned gate = atomic_fetch_or_explicit(&link->gate, GATE_CLOSED, memory_order_acq_rel);
    pthread_mutex_unlock(&link->lock);
    if (gate == 0) {
        nng_stream_close(link->stream);
    }
    return first;
}

void link_down(struct link *link)
{
    (void)link_shut(link);
    test_point("link_down"); /* no lock: shut, and down() not called yet */
    link->kind->down(link);
    link_put(link);
}

void link_start(struct link *link)
{
    link_get(link);
    if (link_send_greeting(link)) {
        link_receive(link);
    } else {
        link_down(link);
    }
    link_put(link);
}
