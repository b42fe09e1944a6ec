/* link_receive.c - a link's reading side: memory to read into, and which callback reads next.
 *
 * Threads: one reads at a time (link.h); link_received() is nng's callback. */
#include "rpc/link_receive.h"

#include <string.h>

#include "base/check.h"
#include "rpc/timing.h"

#define CHUNK_QUAD_MAX  ((size_t)262144) /* memory grows 4-fold up to this, then it doubles */
#define MEMORY_WAIT_MS  5                /* before memory is asked for again */
#define SMALL_BYTES_MAX ((size_t)8192)   /* messages that are handled before the next read */

/* Notes when a message that needs memory of its own began to come in. Only the thread that reads.
 */
static void link_note_long(struct link *link)
{
    if (link->needed > CHUNK_BYTES_MAX &&
        atomic_load_explicit(&link->long_since_ms, memory_order_relaxed) == 0) {
        atomic_store_explicit(&link->long_since_ms, timing_now_ms(), memory_order_relaxed);
    }
}

/* The size of the memory for the next reads, with the bytes that are there already. */
static size_t link_chunk_size(const struct link *link)
{
    size_t have = link->end - link->begin;
    if (link->needed <= link->chunk_bytes) {
        return link->chunk_bytes;
    }
    size_t grown = (have < CHUNK_QUAD_MAX / 4 ? 4 : 2) * have;
    grown = grown > link->chunk_bytes ? grown : link->chunk_bytes;
    return link->needed < grown ? link->needed : grown;
}

/* Makes room to read into. Only the thread that reads. False: no memory. */
static bool link_make_room(struct link *link)
{
    struct chunk *old = link->chunk;
    size_t have = link->end - link->begin;
    size_t size = link_chunk_size(link);
    bool fits = old && old->size <= 4 * size; /* a long message's memory is not kept */
    /* acquire: pairs with the release in chunk_put: nobody reads in it any more. */
    bool alone = fits && atomic_load_explicit(&old->refs, memory_order_acquire) == 1;
    /* A message's own memory is filled before it grows: otherwise a message that comes byte by byte
     * would be copied for each byte. */
    if (fits && link->begin == 0 && link->needed > have && old->size > have) {
        return true;
    }
    /* With enough room after `end`, nothing moves. */
    size_t wanted = link->needed > have ? link->needed - have : link->chunk_bytes / 4;
    if (fits && old->size - link->end >= wanted && !(alone && have == 0)) {
        return true;
    }
    if (alone && old->size >= size) {
        memmove(old->bytes, old->bytes + link->begin, have);
    } else {
        struct chunk *chunk = chunk_make(size, &link->memory);
        if (!chunk) {
            return false;
        }
        if (have > 0) {
            memcpy(chunk->bytes, old->bytes + link->begin, have);
        }
        chunk_put(old);
        link->chunk = chunk;
    }
    link->begin = 0;
    link->end = have;
    CHECK(link->chunk->size > have);
    return true;
}

bool link_choke(struct link *link)
{
    if (!link->kind->chokes) {
        return false;
    }
    pthread_mutex_lock(&link->lock);
    link->choked = !link->closed && (link->pending.len > OUTBOX_BYTES_MAX ||
                                     link->waiting_bytes > WAITING_BYTES_MAX);
    bool choked = link->choked;
    /* With the lock: another thread may be made to read as soon as it is given back. */
    if (choked && link->stopped_ns == 0) {
        link->stopped_ns = timing_now_ns();
    }
    pthread_mutex_unlock(&link->lock);
    return choked;
}

void link_receive(struct link *link)
{
    if (link_choke(link)) {
        return;
    }
    link_note_long(link);
    bool room = link_make_room(link);
    pthread_mutex_lock(&link->lock);
    bool goes_on = !link->closed;
    if (goes_on && room) {
        gate_enter(link);
    }
    pthread_mutex_unlock(&link->lock);
    if (!goes_on) {
        link_down(link);
        return;
    }
    if (!room) { /* the watchdog is making some */
        link->resumed = true;
        nng_sleep_aio(MEMORY_WAIT_MS, link->receiving);
        return;
    }
    size_t free_bytes = link->chunk->size - link->end;
    bool cut = link->read_bytes_max > 0 && link->needed == 0 && free_bytes > link->read_bytes_max;
    nng_iov iov = {link->chunk->bytes + link->end, cut ? link->read_bytes_max : free_bytes};
    link->read_bytes_max = 0;
    CHECK(nng_aio_set_iov(link->receiving, 1, &iov) == 0);
    nng_stream_recv(link->stream, link->receiving);
    gate_leave(link);
}

enum next next_of(enum parsed parsed)
{
    return parsed == PARSED_FRAME ? NEXT_TAKE : parsed == PARSED_PART ? NEXT_READ : NEXT_DOWN;
}

enum next link_greeting(struct link *link)
{
    return link->greeted ? NEXT_TAKE
                         : next_of(link->chunk ? frame_take_greeting(link) : PARSED_PART);
}

void link_continue(struct link *link, enum next next)
{
    if (next == NEXT_READ) {
        link_receive(link);
    } else if (next == NEXT_DOWN) {
        link_down(link);
    }
}

enum next link_pass_on(struct link *link, enum next next, size_t begin)
{
    if (next == NEXT_READ && (link->begin - begin > SMALL_BYTES_MAX || link->needed > 0)) {
        link_receive(link);
        return NEXT_ELSEWHERE;
    }
    return next;
}

/* Notes the time of a read. Only the thread that reads. */
static void link_note_read(struct link *link, bool any)
{
    link->read_ns = timing_now_ns();
    /* What was left unread may have been there since reading was stopped. What is left of an
     * earlier read keeps its time. */
    if (any) {
        link->received_ns = link->stopped_ns ? link->stopped_ns : link->read_ns;
        link->stopped_ns = 0;
    }
}

void link_received(void *arg)
{
    struct link *link = arg;
    link_get(link); /* for this callback: reading may have come to its end before it does */
    if (nng_aio_result(link->receiving) != 0) {
        link_down(link);
    } else {
        size_t count = link->resumed ? 0 : nng_aio_count(link->receiving);
        link->resumed = false;
        link_note_read(link, count > 0);
        link->end += count;
        CHECK(link->chunk ? link->end <= link->chunk->size : link->end == 0);
        if (link->chunk && count > 0 && link->end == link->chunk->size &&
            link->chunk_bytes < CHUNK_BYTES_MAX) {
            link->chunk_bytes *= 4;
        }
        link->kind->received(link);
    }
    link_put(link);
}
