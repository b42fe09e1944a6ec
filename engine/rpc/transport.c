/* transport.c - SP REQ/REP exchanges over nng's byte streams: many messages a system call.
 *
 * nng's own REQ and REP sockets hand every message through two or three of its threads, each way,
 * and send each with a system call of its own: some 10 us of CPU a message and side. So here nng
 * does the streams (addresses, polling, threads, TCP and ipc), and this file the protocol on them:
 * the handshake, the framing, the backtrace. What has come in with one read is handled by one
 * thread; what is to go out while a write is under way goes with the next one.
 *
 * Threads: the server's handlers and the client's done() run on nng's threads, any number at once.
 * transport_reply() and transport_client_call() may be called from any thread. The server has one
 * thread of its own, the watchdog.
 *
 *     server exchange:  free -> HANDLING -> free        its reply is with the connection then
 *     client slot:      free -> waiting for its reply -> free
 *
 * Invariants:
 * - A link (a stream and its buffers) is read by one callback at a time: who has taken all whole
 *   messages out of what was read starts the next read, and only then handles them. So large
 *   messages of one connection are handled at once by several threads, small ones in a row by one.
 *   That chain of reads ends once, and then the link is `down`.
 * - Memory that was read into is shared by the exchanges whose requests are in it (struct chunk),
 *   and is reused when the last of them is answered.
 * - No operation is started on a closed stream: nng 1.5.2 would never end it. Who starts one asks
 *   `closed` and counts itself in the gate, under the link's lock; it gives the lock back first,
 *   because nng's callback asks for it at once; whoever leaves the gate last closes the stream.
 * - Locks: client or server before link; a link's callbacks are called without the link's lock.
 * - A client slot is free again before its call's done() runs, so that done() can start the next.
 *
 * What hostile or unlucky peers can't do: a connection that lets replies lie is cut off after
 * send_timeout_ms, or sooner when it has more than its share; no more is read from one whose
 * replies pile up; one that does not greet is closed; memory for a long message is taken as it
 * comes in, not as it is announced.
 *
 * No timeouts on nng's operations, but for dialing: each would wake nng's expiry thread. A coarse
 * tick looks instead. */
#include "rpc/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/spin.h"

#define URL_BYTES_MAX      256
#define LISTENERS_MAX      16u
#define RECONNECT_MIN_MS   10u
#define RECONNECT_MAX_MS   1000u
#define DIAL_TIMEOUT_MS    10000
#define GREETING_MS        10000u /* for the peer's handshake */
#define CALLS_MAX          1024u
#define TICK_MS            10 /* of a client with calls under way or without a connection */
#define POLL_MS            2  /* between two looks at what has to end */
#define LINGER_MS          20 /* for the peer to take the last replies before the connection goes */
#define ACCEPT_PAUSE_MS    50 /* after a failure, such as having no more descriptors */
#define LONG_MESSAGE_MS    60000u /* for one that takes memory of its own to come in whole */
#define PROBE_EVERY_MS     1000u
#define WATCH_EVERY_MS     100u
#define WATCH_CLOSE_MAX    256u /* connections closed in one round */
#define PROBE_TIMEOUT_MS   2000 /* for the handshake */
#define PROBE_REFUSAL_MS   1000 /* then for being refused */
#define PROBE_FAILURES_MAX 2
#define STALLED_MS         250 /* a connection that took no reply for so long does not read */
#define RELISTEN_TRIES     50  /* 20 ms apart: the old socket may take a moment to go */

#define CHUNK_BYTES_MIN   ((size_t)4096)
#define CHUNK_BYTES_MAX   ((size_t)65536)   /* for what is not one long message */
#define CHUNK_GROWTH_MIN  ((size_t)262144)  /* a long message's first piece of memory */
#define OUTBOX_BYTES_KEPT ((size_t)262144)  /* by a connection that has nothing to send */
#define OUTBOX_BYTES_MAX  ((size_t)8 << 20) /* with more to send nothing more is read */
#define BATCH_MAX         32u               /* messages taken out of a chunk at once */
#define SMALL_BYTES_MAX   ((size_t)8192)    /* messages that are handled before the next read */

/* The protocol's numbers and the greatest number of hops (nng's default). */
#define PROTOCOL_REQ 0x30
#define PROTOCOL_REP 0x31
#define HOPS_MAX     8u
#define GREETING_LEN 8u
#define LAST_HOP     0x80u /* in the first byte of a word of the backtrace: it is the request's id */

static uint64_t now_ms(void)
{
    return clock_monotonic_ns(clock_real()) / 1000000u;
}

static void pause_ms(unsigned ms)
{
    struct timespec wait = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&wait, &wait) != 0 && errno == EINTR) {
    }
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- Memory that all connections of a server share ---- */

/* What long messages and backlogs take. A connection by itself has a bound, but there are many. */
struct budget {
    atomic_uint_fast64_t used;
    uint64_t max; /* 0: none */
};

static bool budget_take(struct budget *budget, uint64_t bytes)
{
    /* relaxed: a number, nothing else is told by it. */
    uint64_t before = atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    if (budget->max == 0 || before + bytes <= budget->max) {
        return true;
    }
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    return false;
}

static void budget_give(struct budget *budget, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
}

/* ---- Chunks: memory that was read into ---- */

struct chunk {
    atomic_uint refs; /* the link's own, and one for each exchange with a request in it */
    size_t size;
    struct budget *budget; /* NULL: not of it */
    uint8_t bytes[];
};

static struct chunk *chunk_make(size_t size, struct budget *budget)
{
    budget = size > CHUNK_BYTES_MAX ? budget : NULL;
    if (budget && !budget_take(budget, size)) {
        return NULL;
    }
    struct chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk) {
        atomic_init(&chunk->refs, 1);
        chunk->size = size;
        chunk->budget = budget;
    } else if (budget) {
        budget_give(budget, size);
    }
    return chunk;
}

static void chunk_get(struct chunk *chunk)
{
    /* relaxed: who takes a reference has one. */
    atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed);
}

static void chunk_put(struct chunk *chunk)
{
    /* release: what was read is read before the chunk is reused; acquire: for who frees it. */
    if (chunk && atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel) == 1) {
        if (chunk->budget) {
            budget_give(chunk->budget, chunk->size);
        }
        free(chunk);
    }
}

/* ---- Links: a stream with SP's framing ---- */

struct outbox {
    uint8_t *bytes;
    size_t len;
    size_t room;
    size_t budgeted; /* of room, taken from the link's budget */
    unsigned messages;
};

struct link;

struct link_kind {
    uint8_t self;
    uint8_t peer;
    bool rests;                          /* nothing is read while too much is to be sent */
    void (*greeted)(struct link *link);  /* the peer's handshake has come */
    void (*received)(struct link *link); /* something has come in: must pass the reading on */
    void (*sent)(struct link *link, unsigned messages);
    void (*down)(struct link *link);    /* nothing will come in any more */
    void (*release)(struct link *link); /* nothing refers to it any more: frees its memory */
};

#define GATE_CLOSED 0x80000000u

struct link {
    const struct link_kind *kind;
    void *owner;
    nng_stream *stream;
    nng_aio *receiving;
    nng_aio *sending;
    uint64_t message_bytes_max;
    struct budget *budget; /* NULL: none */
    uint64_t made_ms;
    bool is_ipc;
    atomic_uint_fast64_t long_since_ms; /* when a long message began to come in; 0: none is. Written
                                           by who reads */
    atomic_uint
        refs; /* the reads' one, the writes', each callback's, each exchange's, the owner's */
    atomic_uint gate; /* operations being started, and GATE_CLOSED */

    /* Of who reads. */
    struct chunk *chunk;
    size_t begin; /* bytes begin..end of the chunk have come and were not taken */
    size_t end;
    size_t needed; /* bytes of the message that has come in part; 0: not known yet */
    size_t chunk_bytes;
    bool greeted;
    bool resumed; /* received() runs without a read before it */

    pthread_mutex_t lock; /* all below */
    struct outbox pending;
    struct outbox leaving; /* with nng while is_sending */
    size_t left_bytes;     /* of it */
    bool is_sending;
    bool choked; /* nobody reads until replies have left */
    bool closed;
    uint64_t progress_ms; /* when the last message left, or the first came */
    uint64_t write_ms;    /* when the present write began */
};

/* The link whose messages this thread handles just now. What is sent on it waits until the thread
 * has done with all of them, and then goes in one piece. */
static _Thread_local struct link *corked;

static void link_received(void *arg);
static void link_sent(void *arg);

static void link_get(struct link *link)
{
    /* relaxed: who takes a reference has one. */
    atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
}

/* Frees an outbox's memory. */
static void outbox_free(struct outbox *outbox, struct budget *budget)
{
    free(outbox->bytes);
    if (budget) {
        budget_give(budget, outbox->budgeted);
    }
    *outbox = (struct outbox){.messages = outbox->messages};
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
    outbox_free(&link->pending, link->budget);
    outbox_free(&link->leaving, link->budget);
    pthread_mutex_destroy(&link->lock);
    link->kind->release(link);
}

static void link_put(struct link *link)
{
    /* acq_rel: all that was done with it happens before it is freed. */
    if (atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) == 1) {
        link_free(link);
    }
}

/* Makes a zeroed link ready, with one reference, the reads'. Takes the stream over. On failure
 * release() has run. */
static bool link_init(struct link *link, const struct link_kind *kind, void *owner,
                      nng_stream *stream, bool is_ipc, uint64_t message_bytes_max,
                      struct budget *budget)
{
    link->kind = kind;
    link->owner = owner;
    link->stream = stream;
    link->is_ipc = is_ipc;
    link->message_bytes_max = message_bytes_max;
    link->budget = budget;
    link->chunk_bytes = CHUNK_BYTES_MIN;
    link->made_ms = now_ms();
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

/* Has received() run once more, with nothing new. Link's lock held; nobody reads. */
static void link_resume(struct link *link)
{
    if (nng_aio_begin(link->receiving)) {
        link->resumed = true;
        nng_aio_finish(link->receiving, 0);
    }
}

/* Before an operation is started. Lock held, not closed. */
static void gate_enter(struct link *link)
{
    /* relaxed: ordered with the closing by the lock. */
    atomic_fetch_add_explicit(&link->gate, 1, memory_order_relaxed);
}

/* After it, without the lock. The caller has a reference. */
static void gate_leave(struct link *link)
{
    /* acq_rel: what was started comes before the stream is closed. */
    if (atomic_fetch_sub_explicit(&link->gate, 1, memory_order_acq_rel) == (GATE_CLOSED | 1)) {
        nng_stream_close(link->stream);
    }
}

/* Closes the stream; whoever reads will notice. False: it was closed already. */
static bool link_close(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool first = !link->closed;
    link->closed = true;
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

/* The reads have come to their end. */
static void link_down(struct link *link)
{
    (void)link_close(link);
    link->kind->down(link);
    link_put(link);
}

/* ---- Links: sending ---- */

static bool outbox_reserve(struct outbox *outbox, size_t more, struct budget *budget)
{
    if (outbox->room - outbox->len >= more) {
        return true;
    }
    size_t room = outbox->room * 2 > outbox->len + more ? outbox->room * 2 : outbox->len + more;
    room = room > 1024 ? room : 1024;
    size_t budgeted = budget && room > OUTBOX_BYTES_KEPT ? room - outbox->budgeted : 0;
    if (budgeted > 0 && !budget_take(budget, budgeted)) {
        return false;
    }
    uint8_t *bytes = realloc(outbox->bytes, room);
    if (!bytes) {
        if (budgeted > 0) {
            budget_give(budget, budgeted);
        }
        return false;
    }
    outbox->bytes = bytes;
    outbox->room = room;
    outbox->budgeted += budgeted;
    return true;
}

static void outbox_add(struct outbox *outbox, const void *data, size_t len)
{
    if (len > 0) {
        memcpy(outbox->bytes + outbox->len, data, len);
        outbox->len += len;
    }
}

/* Empties it, and lets go of what only a rare load needs. */
static void outbox_clear(struct outbox *outbox, struct budget *budget)
{
    outbox->len = 0;
    outbox->messages = 0;
    if (outbox->room > OUTBOX_BYTES_KEPT) {
        outbox_free(outbox, budget);
    }
}

/* What is left of `leaving` is to be written: by link_unlock(). Lock held, not closed. */
static void link_set_write(struct link *link)
{
    nng_iov iov = {link->leaving.bytes + link->left_bytes, link->leaving.len - link->left_bytes};
    CHECK(nng_aio_set_iov(link->sending, 1, &iov) == 0);
    link->write_ms = now_ms();
    link_get(link); /* put back in link_sent */
    gate_enter(link);
}

/* Makes what is pending leave, unless something is being written. Lock held. What it returns
 * is for link_unlock(). */
static bool link_begin_write(struct link *link)
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

/* Gives the lock back, and writes. */
static void link_unlock(struct link *link, bool write)
{
    pthread_mutex_unlock(&link->lock);
    if (write) {
        nng_stream_send(link->stream, link->sending);
        gate_leave(link);
    }
}

static void link_flush(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link_unlock(link, link_begin_write(link));
}

/* Adds a message to what is to be sent. Lock held. False: closed, or no memory. */
static bool link_add(struct link *link, struct bytes header, struct bytes body)
{
    size_t head_bytes = (link->is_ipc ? 1u : 0u) + 8u;
    uint64_t len = header.len + body.len;
    if (link->closed || !outbox_reserve(&link->pending, head_bytes + len, link->budget)) {
        return false;
    }
    uint8_t head[9] = {1};
    for (unsigned i = 0; i < 8; i++) {
        head[1 + i] = (uint8_t)(len >> (56 - 8 * i));
    }
    if (link->pending.messages + link->leaving.messages == 0) {
        link->progress_ms = now_ms();
    }
    outbox_add(&link->pending, head + 9 - head_bytes, head_bytes);
    outbox_add(&link->pending, header.data, header.len);
    outbox_add(&link->pending, body.data, body.len);
    link->pending.messages++;
    return true;
}

/* Sends the handshake. */
static bool link_greet(struct link *link)
{
    uint8_t greeting[GREETING_LEN] = {0, 'S', 'P', 0, 0, link->kind->self, 0, 0};
    pthread_mutex_lock(&link->lock);
    bool fine = outbox_reserve(&link->pending, sizeof greeting, link->budget);
    if (fine) {
        outbox_add(&link->pending, greeting, sizeof greeting);
    }
    link_unlock(link, link_begin_write(link));
    return fine;
}

/* What was written has left: goes on with the rest, or with what has come meanwhile. Lock held. The
 * number of messages that have left; *write as link_begin_write(). */
static unsigned link_written(struct link *link, bool *write)
{
    link->left_bytes += nng_aio_count(link->sending);
    if (link->left_bytes < link->leaving.len) {
        *write = !link->closed;
        if (*write) {
            link_set_write(link);
        }
        return 0;
    }
    unsigned messages = link->leaving.messages;
    outbox_clear(&link->leaving, link->budget);
    link->is_sending = false;
    link->progress_ms = now_ms();
    *write = link_begin_write(link);
    if (link->choked && link->pending.len < OUTBOX_BYTES_MAX / 2) {
        link->choked = false;
        link_resume(link);
    }
    return messages;
}

static void link_sent(void *arg)
{
    struct link *link = arg;
    if (nng_aio_result(link->sending) != 0) {
        (void)link_close(link);
        link_put(link); /* what has not left is counted in release() */
        return;
    }
    bool write;
    pthread_mutex_lock(&link->lock);
    unsigned messages = link_written(link, &write);
    link_unlock(link, write);
    if (messages > 0) {
        link->kind->sent(link, messages);
    }
    link_put(link);
}

/* ---- Links: receiving ---- */

struct frame {
    struct bytes header; /* the backtrace */
    struct bytes body;
    size_t total; /* bytes in the stream */
};

enum parsed { PARSED_FRAME, PARSED_PART, PARSED_BROKEN };

static enum parsed parse_greeting(struct link *link)
{
    const uint8_t expected[GREETING_LEN] = {0, 'S', 'P', 0, 0, link->kind->peer, 0, 0};
    size_t have = link->end - link->begin;
    size_t compare = have < GREETING_LEN ? have : GREETING_LEN;
    if (memcmp(link->chunk->bytes + link->begin, expected, compare) != 0) {
        return PARSED_BROKEN;
    }
    if (have < GREETING_LEN) {
        return PARSED_PART;
    }
    link->begin += GREETING_LEN;
    link->greeted = true;
    link->kind->greeted(link);
    return PARSED_FRAME;
}

/* Parts a message into backtrace and body. PARSED_PART: it went through too many hops. */
static enum parsed parse_backtrace(const uint8_t *at, size_t len, struct frame *frame)
{
    for (unsigned hop = 1; hop <= HOPS_MAX; hop++) {
        if (len < 4u * hop) {
            return PARSED_BROKEN;
        }
        if (at[4u * (hop - 1)] & LAST_HOP) {
            frame->header = (struct bytes){at, 4u * hop};
            frame->body = (struct bytes){at + 4u * hop, len - 4u * hop};
            return PARSED_FRAME;
        }
    }
    return PARSED_PART;
}

/* Looks at the next message, which link_take() then takes. Only who reads. */
static enum parsed link_next(struct link *link, struct frame *frame)
{
    for (;;) {
        const uint8_t *at = link->chunk->bytes + link->begin;
        size_t have = link->end - link->begin;
        size_t head_bytes = link->is_ipc ? 9 : 8;
        link->needed = 0;
        if (have < head_bytes) {
            return PARSED_PART;
        }
        uint64_t len = 0;
        for (unsigned i = 0; i < 8; i++) {
            len = len << 8 | at[head_bytes - 8 + i];
        }
        if (len > link->message_bytes_max || (link->is_ipc && at[0] != 1)) {
            return PARSED_BROKEN;
        }
        frame->total = head_bytes + (size_t)len;
        if (have < frame->total) {
            link->needed = frame->total;
            return PARSED_PART;
        }
        enum parsed parsed = parse_backtrace(at + head_bytes, (size_t)len, frame);
        if (parsed != PARSED_PART) {
            return parsed;
        }
        link->begin += frame->total; /* as nng does: no answer, and no offence */
    }
}

static void link_take(struct link *link, const struct frame *frame)
{
    link->begin += frame->total;
    /* relaxed: for the watchdog, which looks now and then. */
    if (atomic_load_explicit(&link->long_since_ms, memory_order_relaxed) != 0) {
        atomic_store_explicit(&link->long_since_ms, 0, memory_order_relaxed);
    }
}

/* Notes when a message that needs memory of its own began to come in. Only who reads. */
static void link_note_long(struct link *link)
{
    if (link->needed > CHUNK_BYTES_MAX &&
        atomic_load_explicit(&link->long_since_ms, memory_order_relaxed) == 0) {
        atomic_store_explicit(&link->long_since_ms, now_ms(), memory_order_relaxed);
    }
}

/* How much memory the next reads should have, what is there already included. */
static size_t link_chunk_size(const struct link *link)
{
    size_t have = link->end - link->begin;
    if (link->needed <= link->chunk_bytes) {
        return link->chunk_bytes;
    }
    size_t grown = 4 * have > CHUNK_GROWTH_MIN ? 4 * have : CHUNK_GROWTH_MIN;
    return link->needed < grown ? link->needed : grown;
}

/* Makes room to read into. Only who reads. False: no memory. */
static bool link_make_room(struct link *link)
{
    struct chunk *old = link->chunk;
    size_t have = link->end - link->begin;
    size_t size = link_chunk_size(link);
    bool fits = old && old->size <= 4 * size; /* a long message's memory is not kept */
    /* acquire: pairs with the release in chunk_put: nobody reads in it any more. */
    bool alone = fits && atomic_load_explicit(&old->refs, memory_order_acquire) == 1;
    /* A long message's own memory is filled before it grows: else one that comes byte by byte would
     * be copied for each. */
    if (fits && old->size > CHUNK_BYTES_MAX && link->begin == 0 && link->needed > have &&
        old->size - have >= CHUNK_BYTES_MIN) {
        return true;
    }
    /* Where there is enough room behind, nothing moves. */
    size_t wanted = link->needed > have ? link->needed - have : link->chunk_bytes / 4;
    if (fits && old->size - link->end >= wanted && !(alone && have == 0)) {
        return true;
    }
    if (alone && old->size >= size) {
        memmove(old->bytes, old->bytes + link->begin, have);
    } else {
        struct chunk *chunk = chunk_make(size, link->budget);
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
    return true;
}

/* Lets the reading rest, until link_sent() has it resumed, while too much is to be sent. Only who
 * reads. */
static bool link_choke(struct link *link)
{
    if (!link->kind->rests) {
        return false;
    }
    pthread_mutex_lock(&link->lock);
    link->choked = !link->closed && link->pending.len > OUTBOX_BYTES_MAX;
    bool choked = link->choked;
    pthread_mutex_unlock(&link->lock);
    return choked;
}

/* Goes on reading: the link is another callback's then. Or comes to its end. Only who reads, with a
 * reference of its own besides. */
static void link_receive(struct link *link)
{
    if (link_choke(link)) {
        return;
    }
    link_note_long(link);
    bool room = link_make_room(link);
    pthread_mutex_lock(&link->lock);
    bool goes_on = room && !link->closed;
    if (goes_on) {
        gate_enter(link);
    }
    pthread_mutex_unlock(&link->lock);
    if (!goes_on) {
        link_down(link);
        return;
    }
    nng_iov iov = {link->chunk->bytes + link->end, link->chunk->size - link->end};
    CHECK(nng_aio_set_iov(link->receiving, 1, &iov) == 0);
    nng_stream_recv(link->stream, link->receiving);
    gate_leave(link);
}

/* What is to be done with a link after messages were taken. */
enum next {
    NEXT_TAKE,      /* there may be more */
    NEXT_READ,      /* no whole message is left */
    NEXT_DOWN,      /* the peer does not keep to the protocol */
    NEXT_ELSEWHERE, /* the reading is another callback's */
};

static enum next next_of(enum parsed parsed)
{
    return parsed == PARSED_FRAME ? NEXT_TAKE : parsed == PARSED_PART ? NEXT_READ : NEXT_DOWN;
}

/* Looks at the peer's handshake, if it has not come yet. */
static enum next link_greeting(struct link *link)
{
    return link->greeted ? NEXT_TAKE : next_of(link->chunk ? parse_greeting(link) : PARSED_PART);
}

/* Ends a callback's turn. */
static void link_go_on(struct link *link, enum next next)
{
    if (next == NEXT_READ) {
        link_receive(link);
    } else if (next == NEXT_DOWN) {
        link_down(link);
    }
}

/* Before the messages that were taken, from `begin` on, are handled: if that may take long, reading
 * goes on at once, in another thread. A few small messages are handled first: it keeps nng's
 * threads from getting in each other's way, and two system calls out of the way of an answer. */
static enum next link_pass_on(struct link *link, enum next next, size_t begin)
{
    if (next == NEXT_READ && (link->begin - begin > SMALL_BYTES_MAX || link->needed > 0)) {
        link_receive(link);
        return NEXT_ELSEWHERE;
    }
    return next;
}

static void link_received(void *arg)
{
    struct link *link = arg;
    link_get(link); /* for this callback: reading may have come to its end before it does */
    if (nng_aio_result(link->receiving) != 0) {
        link_down(link);
    } else {
        size_t count = link->resumed ? 0 : nng_aio_count(link->receiving);
        link->resumed = false;
        link->end += count;
        if (link->chunk && count > 0 && link->end == link->chunk->size &&
            link->chunk_bytes < CHUNK_BYTES_MAX) {
            link->chunk_bytes *= 2;
        }
        link->kind->received(link);
    }
    link_put(link);
}

/* Begins: sends the handshake and reads. */
static void link_start(struct link *link)
{
    link_get(link);
    if (link_greet(link)) {
        link_receive(link);
    } else {
        link_down(link);
    }
    link_put(link);
}

/* ---- Server: connections and exchanges ---- */

struct connection {
    struct link link; /* first: they are one piece of memory */
    struct transport_server *server;
    struct connection *previous; /* server's lock */
    struct connection *next;
    bool counted;                /* in server->connections; server's lock */
    bool closing;                /* by transport_server_close; server's lock */
    struct connection *starving; /* next that waits for an exchange; server->pool_lock */
    uint32_t handling;           /* exchanges that the handler has; link's lock */
};

struct transport_exchange {
    struct transport_server *server;
    struct transport_exchange *next_free; /* or the next of those to be handled */
    struct connection *connection;        /* while HANDLING: holds a reference */
    struct chunk *chunk;                  /* where the request is: holds a reference */
    struct bytes header;
    struct bytes body;
    bool handling;
    bool user_made; /* user_init has succeeded */
    _Alignas(CACHE_LINE_BYTES) unsigned char user[];
};

struct listener {
    struct transport_server *server;
    nng_stream_listener *listener;
    nng_aio *accepting;
    bool pausing; /* the aio sleeps instead */
    bool failing; /* the last attempt to accept failed */
    bool up;
    bool is_ipc;
    char url[URL_BYTES_MAX]; /* the address really listened on */
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

struct transport_server {
    struct transport_server_options options;
    struct transport_exchange **exchanges;
    unsigned exchange_count;

    struct spin pool_lock;
    struct transport_exchange *free_exchanges;
    struct connection *starving_first;
    struct connection *starving_last;

    struct budget budget;
    atomic_bool stopping; /* no request is taken any more */
    atomic_uint active;   /* requests taken whose replies have not left */
    atomic_uint working;  /* callbacks under way that may take requests */
    atomic_uint_fast64_t connections;
    atomic_uint_fast64_t connections_total;
    atomic_uint_fast64_t requests;
    atomic_uint_fast64_t relistens;
    atomic_uint_fast64_t cut_off;

    pthread_mutex_t lock; /* listeners, the list of connections, watchdog_stop */
    pthread_cond_t wake;
    struct connection *first; /* those that are read from: each has a reference */
    unsigned links;           /* not released yet */
    bool is_full;             /* a connection was refused, and it was said so */
    struct listener *listeners[LISTENERS_MAX];
    unsigned listener_count;
    bool watchdog_started;
    bool watchdog_stop;
    pthread_t watchdog;
};

static struct connection *connection_of(struct link *link)
{
    return (struct connection *)link;
}

static bool stopping(const struct transport_server *server)
{
    /* seq_cst: a callback counts itself in `working`, then looks here; who ends sets this, then
     * looks at `working`. One of the two sees the other. */
    return atomic_load_explicit(&server->stopping, memory_order_seq_cst);
}

/* So many requests less are in hand. */
static void server_settle(struct transport_server *server, unsigned requests)
{
    /* release: pairs with the acquire of who waits for 0. */
    atomic_fetch_sub_explicit(&server->active, requests, memory_order_release);
}

/* Lets a connection that waits for an exchange go on, if there is both; or when all must end. */
static bool server_feed(struct transport_server *server, bool ending)
{
    spin_lock(&server->pool_lock);
    bool feed = ending || server->free_exchanges;
    struct connection *connection = feed ? server->starving_first : NULL;
    if (connection) {
        server->starving_first = connection->starving;
        link_get(&connection->link);
    }
    spin_unlock(&server->pool_lock);
    if (connection) {
        pthread_mutex_lock(&connection->link.lock);
        link_resume(&connection->link);
        pthread_mutex_unlock(&connection->link.lock);
        link_put(&connection->link);
    }
    return connection != NULL;
}

/* A free exchange; or NULL: the connection will be resumed when there is one. */
static struct transport_exchange *exchange_take(struct transport_server *server,
                                                struct connection *connection)
{
    spin_lock(&server->pool_lock);
    struct transport_exchange *exchange = server->free_exchanges;
    if (exchange) {
        server->free_exchanges = exchange->next_free;
    } else {
        connection->starving = NULL;
        if (server->starving_first) {
            server->starving_last->starving = connection;
        } else {
            server->starving_first = connection;
        }
        server->starving_last = connection;
    }
    spin_unlock(&server->pool_lock);
    return exchange;
}

/* Gives back what the exchange holds, and the exchange. */
static void exchange_end(struct transport_exchange *exchange)
{
    struct transport_server *server = exchange->server;
    struct connection *connection = exchange->connection;
    chunk_put(exchange->chunk);
    exchange->chunk = NULL;
    exchange->connection = NULL;
    exchange->handling = false;
    spin_lock(&server->pool_lock);
    exchange->next_free = server->free_exchanges;
    server->free_exchanges = exchange;
    bool starving = server->starving_first != NULL;
    spin_unlock(&server->pool_lock);
    if (starving) {
        (void)server_feed(server, false);
    }
    link_put(&connection->link);
}

/* Closes a connection that is a burden. */
static void connection_cut_off(struct connection *connection)
{
    if (link_close(&connection->link)) {
        atomic_fetch_add_explicit(&connection->server->cut_off, 1, memory_order_relaxed);
    }
}

/* A connection that lets replies lie. Link's lock held. */
static bool connection_stalled(const struct connection *connection, uint64_t now)
{
    const struct link *link = &connection->link;
    return link->pending.messages + link->leaving.messages > 0 &&
           now - link->progress_ms >= STALLED_MS;
}

enum admission { ADMIT, REFUSE, CUT_OFF };

/* Counts a request in and says what to do with it. Replies under way count only against a
 * connection that has stalled: that a reply has left is known some time after the client has it,
 * and a client may send its next request at once. */
static enum admission connection_enter(struct connection *connection)
{
    uint32_t most = connection->server->options.per_connection;
    struct link *link = &connection->link;
    enum admission admission = CUT_OFF;
    pthread_mutex_lock(&link->lock);
    uint32_t handling = ++connection->handling;
    bool over = handling + link->pending.messages + link->leaving.messages > most;
    if (handling < 2 * most && !(over && connection_stalled(connection, now_ms()))) {
        admission = handling > most ? REFUSE : ADMIT;
    }
    pthread_mutex_unlock(&link->lock);
    return admission;
}

/* The request is dropped without a reply. */
static void exchange_drop(struct transport_exchange *exchange)
{
    struct connection *connection = exchange->connection;
    pthread_mutex_lock(&connection->link.lock);
    CHECK(connection->handling > 0);
    connection->handling--;
    pthread_mutex_unlock(&connection->link.lock);
    server_settle(exchange->server, 1);
    exchange_end(exchange);
}

/* Hands a request to the handler, unless its connection has too many. */
static void exchange_begin(struct transport_exchange *exchange)
{
    struct transport_server *server = exchange->server;
    const struct transport_server_options *options = &server->options;
    enum admission admission = connection_enter(exchange->connection);
    if (admission == CUT_OFF) {
        connection_cut_off(exchange->connection);
        exchange_drop(exchange);
        return;
    }
    exchange->handling = true;
    atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    if (admission == REFUSE) {
        options->refuse(options->context, exchange);
    } else {
        options->handle(options->context, exchange);
    }
}

/* Takes the message just looked at into the exchange. */
static void exchange_fill(struct transport_exchange *exchange, struct connection *connection,
                          const struct frame *frame)
{
    struct link *link = &connection->link;
    link_get(link);
    chunk_get(link->chunk);
    exchange->connection = connection;
    exchange->chunk = link->chunk;
    exchange->header = frame->header;
    exchange->body = frame->body;
    exchange->next_free = NULL;
    atomic_fetch_add_explicit(&exchange->server->active, 1, memory_order_relaxed);
}

/* Takes messages out of what has come in: a list of them, at most BATCH_MAX. */
static struct transport_exchange *connection_take(struct connection *connection, enum next *next)
{
    struct transport_server *server = connection->server;
    struct link *link = &connection->link;
    struct transport_exchange *first = NULL;
    struct transport_exchange **last = &first;
    struct frame frame;
    enum parsed parsed = PARSED_FRAME;
    for (unsigned count = 0; count < BATCH_MAX; count++) {
        parsed = link_next(link, &frame);
        if (parsed != PARSED_FRAME) {
            break;
        }
        if (!stopping(server)) { /* else it is not begun: its client will repeat it elsewhere */
            struct transport_exchange *exchange = exchange_take(server, connection);
            if (!exchange) {
                *next = NEXT_ELSEWHERE; /* from here on */
                return first;
            }
            exchange_fill(exchange, connection, &frame);
            *last = exchange;
            last = &exchange->next_free;
        }
        link_take(link, &frame);
    }
    *next = next_of(parsed);
    return first;
}

static void connection_received(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct transport_server *server = connection->server;
    /* seq_cst: as in stopping(). */
    atomic_fetch_add_explicit(&server->working, 1, memory_order_seq_cst);
    enum next next = link_greeting(link);
    while (next == NEXT_TAKE) {
        size_t begin = link->begin;
        struct transport_exchange *exchange = connection_take(connection, &next);
        next = link_pass_on(link, next, begin);
        corked = link;
        while (exchange) {
            struct transport_exchange *following = exchange->next_free;
            exchange_begin(exchange);
            exchange = following;
        }
        corked = NULL;
        link_flush(link);
        if (next == NEXT_TAKE && link_choke(link)) {
            next = NEXT_ELSEWHERE;
        }
    }
    (void)server_feed(server, false);
    link_go_on(link, next);
    /* release: pairs with the acquire in server_wait_handlers. */
    atomic_fetch_sub_explicit(&server->working, 1, memory_order_release);
}

/* The peer is a REQ socket: a probe never is. */
static void connection_greeted(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct transport_server *server = connection->server;
    pthread_mutex_lock(&server->lock);
    connection->counted = true;
    pthread_mutex_unlock(&server->lock);
    atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->connections_total, 1, memory_order_relaxed);
}

static void connection_sent(struct link *link, unsigned messages)
{
    server_settle(connection_of(link)->server, messages);
}

/* It is gone. */
static void connection_down(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct transport_server *server = connection->server;
    pthread_mutex_lock(&server->lock);
    if (connection->counted) {
        atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
    }
    if (connection->previous) {
        connection->previous->next = connection->next;
    } else {
        server->first = connection->next;
    }
    if (connection->next) {
        connection->next->previous = connection->previous;
    }
    pthread_mutex_unlock(&server->lock);
}

static void connection_release(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct transport_server *server = connection->server;
    server_settle(server, link->pending.messages + link->leaving.messages);
    free(connection);
    pthread_mutex_lock(&server->lock);
    server->links--;
    pthread_mutex_unlock(&server->lock);
}

static const struct link_kind connection_kind = {
    .self = PROTOCOL_REP,
    .peer = PROTOCOL_REQ,
    .rests = true,
    .greeted = connection_greeted,
    .received = connection_received,
    .sent = connection_sent,
    .down = connection_down,
    .release = connection_release,
};

/* As many as may be. Lock held. */
static bool server_is_full(const struct transport_server *server)
{
    uint32_t max = server->options.connections_max;
    return max > 0 && server->links >= max;
}

/* Counts one more connection. False: there are as many as may be. */
static bool server_add_link(struct transport_server *server)
{
    pthread_mutex_lock(&server->lock);
    bool full = server_is_full(server);
    bool tell = full && !server->is_full;
    server->is_full = full;
    server->links += !full;
    pthread_mutex_unlock(&server->lock);
    if (tell) {
        log_warn("%u connections, as many as may be: further ones are refused",
                 server->options.connections_max);
    }
    return !full;
}

/* A stream has come. */
static void connection_begin(struct transport_server *server, nng_stream *stream, bool is_ipc)
{
    struct connection *connection = stopping(server) ? NULL : calloc(1, sizeof *connection);
    if (!connection || !server_add_link(server)) {
        free(connection);
        nng_stream_free(stream);
        return;
    }
    connection->server = server;
    if (!link_init(&connection->link, &connection_kind, server, stream, is_ipc,
                   server->options.message_bytes_max, &server->budget)) {
        return;
    }
    pthread_mutex_lock(&server->lock);
    connection->next = server->first;
    if (server->first) {
        server->first->previous = connection;
    }
    server->first = connection;
    pthread_mutex_unlock(&server->lock);
    link_start(&connection->link);
}

struct bytes transport_exchange_body(const struct transport_exchange *exchange)
{
    CHECK(exchange->handling);
    return exchange->body;
}

void *transport_exchange_user(struct transport_exchange *exchange)
{
    return exchange->user;
}

void transport_reply(struct transport_exchange *exchange, struct bytes reply)
{
    CHECK(exchange->handling);
    CHECK(reply.data || reply.len == 0);
    struct transport_server *server = exchange->server;
    struct connection *connection = exchange->connection;
    struct link *link = &connection->link;
    pthread_mutex_lock(&link->lock);
    CHECK(connection->handling > 0);
    connection->handling--;
    bool added = link_add(link, exchange->header, reply);
    bool closed = link->closed;
    link_unlock(link, added && corked != link && link_begin_write(link));
    const struct transport_server_options *options = &server->options;
    if (options->replied) {
        options->replied(options->context, transport_exchange_user(exchange));
    }
    if (!added) {
        if (!closed) {
            connection_cut_off(connection); /* no memory: or else it would wait for ever */
        }
        server_settle(server, 1);
    }
    exchange_end(exchange);
}

static void exchange_free(struct transport_exchange *exchange)
{
    struct transport_server *server = exchange->server;
    if (exchange->user_made && server->options.user_deinit) {
        server->options.user_deinit(server->options.context, exchange->user);
    }
    free(exchange);
}

static enum hf_status exchange_make(struct transport_server *server,
                                    struct transport_exchange **out)
{
    const struct transport_server_options *options = &server->options;
    size_t bytes = sizeof(struct transport_exchange) + options->user_bytes;
    bytes = (bytes + CACHE_LINE_BYTES - 1) & ~(size_t)(CACHE_LINE_BYTES - 1);
    struct transport_exchange *exchange = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (!exchange) {
        return HF_NO_MEMORY;
    }
    memset(exchange, 0, bytes);
    exchange->server = server;
    *out = exchange;
    if (options->user_init && !options->user_init(options->context, exchange->user)) {
        return HF_NO_MEMORY;
    }
    exchange->user_made = true;
    exchange->next_free = server->free_exchanges;
    server->free_exchanges = exchange;
    return HF_OK;
}

/* ---- Server: opening ---- */

static enum hf_status server_open_exchanges(struct transport_server *server)
{
    unsigned count = server->options.contexts;
    server->exchanges = calloc(count, sizeof *server->exchanges);
    if (!server->exchanges) {
        return HF_NO_MEMORY;
    }
    server->exchange_count = count;
    for (unsigned i = 0; i < count; i++) {
        enum hf_status status = exchange_make(server, &server->exchanges[i]);
        if (status != HF_OK) {
            return status;
        }
    }
    return HF_OK;
}

static void *watchdog_run(void *arg);

static void cond_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

static struct timespec in_ms(uint64_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

static enum hf_status server_start_watchdog(struct transport_server *server)
{
    if (pthread_create(&server->watchdog, NULL, watchdog_run, server) != 0) {
        return HF_NO_MEMORY;
    }
    server->watchdog_started = true;
    return HF_OK;
}

enum hf_status transport_server_open(struct transport_server **out,
                                     const struct transport_server_options *options)
{
    CHECK(options->contexts >= 1);
    CHECK(options->contexts <= SERVER_CONTEXTS_MAX);
    CHECK(options->handle);
    CHECK(options->refuse);
    CHECK(options->send_timeout_ms > 0);
    struct transport_server *server = calloc(1, sizeof *server);
    if (!server) {
        return HF_NO_MEMORY;
    }
    server->options = *options;
    server->budget.max = options->memory_bytes_max;
    if (server->options.per_connection == 0) {
        server->options.per_connection = options->contexts > 1 ? options->contexts / 2 : 1;
    }
    pthread_mutex_init(&server->lock, NULL);
    cond_init_monotonic(&server->wake);
    enum hf_status status = server_open_exchanges(server);
    if (status == HF_OK) {
        status = server_start_watchdog(server);
    }
    if (status != HF_OK) {
        transport_server_close(server);
        return status;
    }
    *out = server;
    return HF_OK;
}

/* ---- Server: listeners ---- */

static void close_fd(int fd)
{
    (void)close(fd);
}

/* The path of an ipc URL as a socket address; false when it is too long or empty. */
static bool ipc_address(const char *url, struct listener *listener)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&listener->address;
    const char *path = url + strlen("ipc://");
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof address->sun_path) {
        return false;
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, len + 1);
    listener->address_bytes = sizeof *address;
    return true;
}

/* Where to dial a TCP listener: its address, with the loopback for "any". */
static bool tcp_address(struct listener *listener)
{
    nng_sockaddr bound;
    if (nng_stream_listener_get_addr(listener->listener, NNG_OPT_LOCADDR, &bound) != 0) {
        return false;
    }
    if (bound.s_family == NNG_AF_INET) {
        struct sockaddr_in *address = (struct sockaddr_in *)&listener->address;
        memset(address, 0, sizeof *address);
        address->sin_family = AF_INET;
        address->sin_port = bound.s_in.sa_port;
        address->sin_addr.s_addr = bound.s_in.sa_addr ? bound.s_in.sa_addr : htonl(INADDR_LOOPBACK);
        listener->address_bytes = sizeof *address;
        return true;
    }
    if (bound.s_family == NNG_AF_INET6) {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)&listener->address;
        memset(address, 0, sizeof *address);
        address->sin6_family = AF_INET6;
        address->sin6_port = bound.s_in6.sa_port;
        memcpy(&address->sin6_addr, bound.s_in6.sa_addr, sizeof address->sin6_addr);
        if (IN6_IS_ADDR_UNSPECIFIED(&address->sin6_addr)) {
            address->sin6_addr = in6addr_loopback;
        }
        listener->address_bytes = sizeof *address;
        return true;
    }
    return false;
}

/* Puts the port that was really bound into a tcp URL. */
static bool tcp_actual_url(struct listener *listener)
{
    int port = 0;
    char *colon = strrchr(listener->url, ':');
    if (!colon || colon < listener->url + strlen("tcp://") ||
        nng_stream_listener_get_int(listener->listener, NNG_OPT_TCP_BOUND_PORT, &port) != 0) {
        return false;
    }
    size_t room = sizeof listener->url - (size_t)(colon - listener->url);
    return (size_t)snprintf(colon, room, ":%d", port) < room;
}

enum probe { PROBE_ALIVE, PROBE_DEAD, PROBE_UNKNOWN };

/* Waits until the socket is ready or the time has come. */
static bool probe_wait(int fd, short events, uint64_t until_ms)
{
    uint64_t now = now_ms();
    struct pollfd wait = {.fd = fd, .events = events};
    return now < until_ms && poll(&wait, 1, (int)(until_ms - now)) == 1;
}

/* Reads until the peer hangs up: true when it sent exactly its handshake before. */
static bool probe_refused(int fd, uint64_t until_ms)
{
    static const uint8_t expected[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    uint8_t got[sizeof expected + 1];
    size_t len = 0;
    while (len < sizeof got) {
        if (!probe_wait(fd, POLLIN, until_ms)) {
            return false;
        }
        ssize_t n = recv(fd, got + len, sizeof got - len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n <= 0) {
            break; /* it hung up, with or without a reset */
        }
        len += (size_t)n;
        if (len == sizeof expected) {
            until_ms = now_ms() + PROBE_REFUSAL_MS;
        }
    }
    return len == sizeof expected && memcmp(got, expected, len) == 0;
}

/* Introduces itself as a REP socket, which a live REP socket takes in and then refuses. */
static bool probe_introduce(int fd, uint64_t until_ms)
{
    static const uint8_t introduction[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    return send(fd, introduction, sizeof introduction, MSG_NOSIGNAL) == sizeof introduction &&
           probe_refused(fd, until_ms);
}

static enum probe probe_dial(const struct listener *listener)
{
    int fd = socket(listener->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return PROBE_UNKNOWN; /* out of descriptors: not the listener's fault */
    }
    uint64_t until_ms = now_ms() + PROBE_TIMEOUT_MS;
    int rc = connect(fd, (const struct sockaddr *)&listener->address, listener->address_bytes);
    enum probe probe = PROBE_DEAD;
    if ((rc == 0 || (errno == EINPROGRESS && probe_wait(fd, POLLOUT, until_ms))) &&
        probe_introduce(fd, until_ms)) {
        probe = PROBE_ALIVE;
    }
    close_fd(fd);
    return probe;
}

/* Removes a socket's file on which nobody answers: what an engine that was killed left behind.
 * False when somebody does. It is told so properly, because to connect and hang up is what makes
 * an ipc listener of an nng 1.5.2 REP socket stop (nng issue 1518). */
static bool ipc_path_free(const struct listener *listener)
{
    const struct sockaddr_un *address = (const struct sockaddr_un *)&listener->address;
    struct stat info;
    if (lstat(address->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) {
        return true; /* anything but a socket is left alone, and binding will say so */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return true;
    }
    bool answers = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    if (answers) {
        (void)probe_introduce(fd, now_ms() + PROBE_TIMEOUT_MS);
    } else if (errno == ECONNREFUSED) {
        (void)unlink(address->sun_path);
    }
    close_fd(fd);
    return !answers;
}

/* Accepts, again and again, until the listener is closed. */
static void listener_accepted(void *arg)
{
    struct listener *listener = arg;
    int error = nng_aio_result(listener->accepting);
    if (error == NNG_ECLOSED || error == NNG_ECANCELED) {
        return;
    }
    if (!listener->pausing && error == 0) {
        listener->failing = false;
        connection_begin(listener->server, nng_aio_get_output(listener->accepting, 0),
                         listener->is_ipc);
    }
    listener->pausing = !listener->pausing && error != 0;
    if (listener->pausing) {
        if (!listener->failing) {
            log_warn("%s: accepting: %s", listener->url, nng_strerror(error));
        }
        listener->failing = true; /* said once, until it works again */
        nng_sleep_aio(ACCEPT_PAUSE_MS, listener->accepting);
        return;
    }
    nng_stream_listener_accept(listener->listener, listener->accepting);
}

/* Closes it; connections stay. Nobody is accepted afterwards. */
static void listener_stop(struct listener *listener)
{
    if (listener->listener) {
        nng_stream_listener_close(listener->listener);
    }
    if (listener->accepting) {
        nng_aio_stop(listener->accepting);
        nng_aio_free(listener->accepting);
    }
    if (listener->listener) {
        nng_stream_listener_free(listener->listener);
    }
    listener->accepting = NULL;
    listener->listener = NULL;
    listener->up = false;
}

/* Opens nng's listener on listener->url. Server's lock held. */
static enum hf_status listener_start(struct listener *listener)
{
    if (listener->is_ipc && !ipc_path_free(listener)) {
        return HF_UNREACHABLE;
    }
    listener->pausing = false;
    if (nng_aio_alloc(&listener->accepting, listener_accepted, listener) != 0) {
        listener->accepting = NULL;
        return HF_NO_MEMORY;
    }
    nng_aio_set_timeout(listener->accepting, NNG_DURATION_INFINITE);
    int error = nng_stream_listener_alloc(&listener->listener, listener->url);
    if (error != 0) {
        listener->listener = NULL;
        listener_stop(listener);
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_INVALID;
    }
    if (!listener->is_ipc) {
        (void)nng_stream_listener_set_bool(listener->listener, NNG_OPT_TCP_NODELAY, true);
    }
    error = nng_stream_listener_listen(listener->listener);
    if (error != 0) {
        listener_stop(listener);
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_UNREACHABLE;
    }
    if (!listener->is_ipc && (!tcp_actual_url(listener) || !tcp_address(listener))) {
        listener_stop(listener);
        return HF_UNREACHABLE;
    }
    listener->up = true;
    nng_stream_listener_accept(listener->listener, listener->accepting);
    return HF_OK;
}

static enum hf_status server_add_listener(struct transport_server *server,
                                          struct listener *listener)
{
    pthread_mutex_lock(&server->lock);
    enum hf_status status =
        server->listener_count == LISTENERS_MAX ? HF_INVALID : listener_start(listener);
    if (status == HF_OK) {
        server->listeners[server->listener_count++] = listener;
    }
    pthread_mutex_unlock(&server->lock);
    return status;
}

enum hf_status transport_server_listen(struct transport_server *server, const char *url,
                                       char *actual_url, size_t actual_url_bytes)
{
    bool is_ipc = starts_with(url, "ipc://");
    if ((!is_ipc && !starts_with(url, "tcp://")) || strlen(url) + sizeof ":65535" > URL_BYTES_MAX) {
        return HF_INVALID;
    }
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        return HF_NO_MEMORY;
    }
    listener->server = server;
    listener->is_ipc = is_ipc;
    enum hf_status status = HF_INVALID;
    if (!is_ipc || ipc_address(url, listener)) {
        memcpy(listener->url, url, strlen(url) + 1);
        status = server_add_listener(server, listener);
    }
    if (status != HF_OK) {
        free(listener);
        return status;
    }
    if (actual_url) {
        (void)snprintf(actual_url, actual_url_bytes, "%s", listener->url);
    }
    return HF_OK;
}

/* Not under the lock: a callback that accepts takes it. */
static void server_close_listeners(struct transport_server *server)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        listener_stop(server->listeners[i]);
        free(server->listeners[i]);
    }
    server->listener_count = 0;
}

/* ---- Server: the watchdog ---- */

/* Closes and opens the listener at its place; its connections stay. */
static void relisten(struct transport_server *server, struct listener *listener)
{
    if (listener->up) {
        log_warn("%s has stopped taking connections: listening anew", listener->url);
        listener_stop(listener);
    }
    for (int i = 0; i < RELISTEN_TRIES && !stopping(server); i++) {
        if (listener_start(listener) == HF_OK) {
            atomic_fetch_add_explicit(&server->relistens, 1, memory_order_relaxed);
            return;
        }
        pause_ms(20);
    }
    log_error("%s cannot be listened on; trying again", listener->url);
}

/* Looks at one listener: dead when it fails two probes in a row and no connection has come
 * meanwhile, as one would under a load that makes everything slow. Without the lock. */
static bool probe_dead(struct transport_server *server, const struct listener *listener)
{
    uint64_t total = atomic_load_explicit(&server->connections_total, memory_order_relaxed);
    for (int i = 0; i < PROBE_FAILURES_MAX; i++) {
        if (probe_dial(listener) != PROBE_DEAD || stopping(server)) {
            return false;
        }
    }
    return total == atomic_load_explicit(&server->connections_total, memory_order_relaxed);
}

/* What the watchdog does to a connection. Link's lock held. */
static bool connection_is_burden(const struct connection *connection, uint64_t now)
{
    const struct transport_server_options *options = &connection->server->options;
    const struct link *link = &connection->link;
    uint32_t all = connection->handling + link->pending.messages + link->leaving.messages;
    return (all > options->per_connection && connection_stalled(connection, now)) ||
           (link->is_sending && now - link->write_ms >= (uint64_t)options->send_timeout_ms);
}

/* A long message has been coming in for too long: it keeps memory from others. */
static bool connection_dawdles(const struct connection *connection, uint64_t now)
{
    uint64_t since = atomic_load_explicit(&connection->link.long_since_ms, memory_order_relaxed);
    return since != 0 && now >= since && now - since >= LONG_MESSAGE_MS;
}

/* Cuts off the connections that hold more than their share and read nothing, and those that take
 * a reply or send a request too slowly; drops those that don't say what they are. */
static void watch_connections(struct transport_server *server)
{
    struct connection *found[WATCH_CLOSE_MAX];
    bool burden[WATCH_CLOSE_MAX];
    unsigned count = 0;
    pthread_mutex_lock(&server->lock);
    for (struct connection *at = server->first; at && count < WATCH_CLOSE_MAX; at = at->next) {
        pthread_mutex_lock(&at->link.lock);
        uint64_t now = now_ms();       /* not before the times that it is compared with */
        bool closed = at->link.closed; /* it is on its way out, and needs no place here */
        burden[count] = connection_is_burden(at, now) || connection_dawdles(at, now);
        pthread_mutex_unlock(&at->link.lock);
        if (!closed && (burden[count] || (!at->counted && now - at->link.made_ms >= GREETING_MS))) {
            link_get(&at->link);
            found[count++] = at;
        }
    }
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < count; i++) {
        if (burden[i]) {
            connection_cut_off(found[i]);
        } else {
            (void)link_close(&found[i]->link);
        }
        link_put(&found[i]->link);
    }
}

/* Listeners come and go in this thread alone, but for those that are added. */
static void watch_listeners(struct transport_server *server)
{
    pthread_mutex_lock(&server->lock);
    /* Without room for a connection a probe would be refused too. */
    unsigned count = server_is_full(server) ? 0 : server->listener_count;
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < count && !stopping(server); i++) {
        struct listener *listener = server->listeners[i];
        if (!listener->up || probe_dead(server, listener)) {
            relisten(server, listener);
        }
    }
}

/* Sleeps until the next round. Lock held. False: it is time to end. */
static bool watchdog_sleep(struct transport_server *server)
{
    struct timespec until = in_ms(WATCH_EVERY_MS);
    while (!server->watchdog_stop &&
           pthread_cond_timedwait(&server->wake, &server->lock, &until) != ETIMEDOUT) {
    }
    return !server->watchdog_stop;
}

static void *watchdog_run(void *arg)
{
    struct transport_server *server = arg;
    uint64_t probed_ms = now_ms();
    pthread_mutex_lock(&server->lock);
    while (watchdog_sleep(server)) {
        pthread_mutex_unlock(&server->lock);
        watch_connections(server);
        if (now_ms() - probed_ms >= PROBE_EVERY_MS) {
            watch_listeners(server);
            probed_ms = now_ms();
        }
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void server_stop_watchdog(struct transport_server *server)
{
    if (!server->watchdog_started) {
        return;
    }
    pthread_mutex_lock(&server->lock);
    server->watchdog_stop = true;
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->watchdog, NULL);
    server->watchdog_started = false;
}

/* ---- Server: ending ---- */

/* Waits until no handler runs; with `stopping` set none begins afterwards. */
static void server_wait_handlers(struct transport_server *server)
{
    /* seq_cst: as in stopping(); acquires what connection_received() releases. */
    while (atomic_load_explicit(&server->working, memory_order_seq_cst) > 0) {
        pause_ms(1);
    }
}

void transport_server_drain(struct transport_server *server, uint32_t timeout_ms)
{
    uint64_t until_ms = now_ms() + timeout_ms;
    /* seq_cst: as in stopping(). */
    atomic_store_explicit(&server->stopping, true, memory_order_seq_cst);
    server_stop_watchdog(server);
    server_close_listeners(server);
    server_wait_handlers(server);
    /* acquire: pairs with the release in server_settle(). */
    while (atomic_load_explicit(&server->active, memory_order_acquire) > 0 && now_ms() < until_ms) {
        pause_ms(POLL_MS);
    }
    pause_ms(LINGER_MS);
}

/* Closes a connection that is read from. False: there is none left. */
static bool server_close_first(struct transport_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct connection *connection = server->first;
    while (connection && connection->closing) {
        connection = connection->next;
    }
    bool any = server->first != NULL;
    if (connection) {
        connection->closing = true;
        link_get(&connection->link);
    }
    pthread_mutex_unlock(&server->lock);
    if (connection) {
        (void)link_close(&connection->link);
        link_put(&connection->link);
    } else if (any) {
        pause_ms(1);
    }
    return any;
}

/* Closes all connections, and waits until nothing comes in from any and no handler runs. */
static void server_close_connections(struct transport_server *server)
{
    while (server_close_first(server)) {
        while (server_feed(server, true)) {
        }
    }
    server_wait_handlers(server);
}

static bool server_has_links(struct transport_server *server)
{
    pthread_mutex_lock(&server->lock);
    bool any = server->links > 0;
    pthread_mutex_unlock(&server->lock);
    return any;
}

void transport_server_close(struct transport_server *server)
{
    /* seq_cst: as in stopping(). */
    atomic_store_explicit(&server->stopping, true, memory_order_seq_cst);
    server_stop_watchdog(server);
    server_close_listeners(server);
    server_close_connections(server);
    for (unsigned i = 0; i < server->exchange_count; i++) {
        if (server->exchanges[i] && server->exchanges[i]->connection) {
            exchange_end(server->exchanges[i]); /* nobody will answer it */
        }
    }
    while (server_has_links(server)) {
        pause_ms(1);
    }
    /* Links and exchanges have given back all that was counted. */
    CHECK(atomic_load_explicit(&server->budget.used, memory_order_relaxed) == 0);
    for (unsigned i = 0; i < server->exchange_count; i++) {
        if (server->exchanges[i]) {
            exchange_free(server->exchanges[i]);
        }
    }
    free(server->exchanges);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

void transport_server_stats(const struct transport_server *server,
                            struct transport_server_stats *stats)
{
    /* Counters for people: relaxed, each is right by itself. */
    stats->connections = atomic_load_explicit(&server->connections, memory_order_relaxed);
    stats->connections_total =
        atomic_load_explicit(&server->connections_total, memory_order_relaxed);
    stats->requests = atomic_load_explicit(&server->requests, memory_order_relaxed);
    stats->relistens = atomic_load_explicit(&server->relistens, memory_order_relaxed);
    stats->cut_off = atomic_load_explicit(&server->cut_off, memory_order_relaxed);
}

/* ---- Client ---- */

/* A request's id is its slot's number, below a count that makes it new each time. */
#define SLOT_BITS  10
#define SLOT_KEEPS ((size_t)65536) /* bytes of memory between two calls */
_Static_assert(CALLS_MAX == 1u << SLOT_BITS, "each slot has a number");

struct slot {
    struct slot *next_free;
    struct transport_call *call; /* whom to tell; NULL: free */
    uint32_t id;                 /* with LAST_HOP's bit */
    uint64_t until_ms;
    bool sent;      /* some connection has it */
    uint8_t *bytes; /* the request, to be sent again */
    size_t len;
    size_t room;
};

struct transport_client {
    char url[URL_BYTES_MAX];
    bool is_ipc;
    nng_stream_dialer *dialer;
    nng_aio *dialing;
    nng_aio *timer;
    unsigned slot_count;
    struct slot *slots;
    atomic_uint connections; /* greeted and not down: 0 or 1 */
    atomic_uint_fast64_t connections_total;

    pthread_mutex_t lock; /* all below, and slots */
    struct slot *free_slots;
    uint32_t ids;
    unsigned busy_slots;
    unsigned under_way; /* calls whose done() has not returned */
    struct link *link;  /* has a reference; NULL: none */
    bool link_greeted;
    unsigned links; /* not released yet */
    bool is_dialing;
    bool is_ticking;
    bool closing;
    uint64_t redial_at_ms;
    uint64_t redial_pause_ms;
};

static struct transport_client *client_of(struct link *link)
{
    return link->owner;
}

/* Has the timer run as long as there is something to look at. Lock held. */
static void client_tick(struct transport_client *client)
{
    bool needed = client->busy_slots > 0 || !client->link_greeted;
    if (needed && !client->is_ticking && !client->closing) {
        client->is_ticking = true;
        nng_sleep_aio(TICK_MS, client->timer);
    }
}

/* The slot is free; its call is the caller's to end. Lock held. */
static struct transport_call *slot_end(struct transport_client *client, struct slot *slot)
{
    struct transport_call *call = slot->call;
    slot->call = NULL;
    if (slot->room > SLOT_KEEPS) {
        free(slot->bytes);
        slot->bytes = NULL;
        slot->room = 0;
    }
    slot->next_free = client->free_slots;
    client->free_slots = slot;
    CHECK(client->busy_slots > 0);
    client->busy_slots--;
    return call;
}

/* So many done() have returned. */
static void calls_ended(struct transport_client *client, unsigned count)
{
    pthread_mutex_lock(&client->lock);
    CHECK(client->under_way >= count);
    client->under_way -= count;
    pthread_mutex_unlock(&client->lock);
}

/* Adds the slot's request to what is to be sent. Client's lock held. */
static void slot_send(struct transport_client *client, struct slot *slot)
{
    uint8_t id[4] = {(uint8_t)(slot->id >> 24), (uint8_t)(slot->id >> 16), (uint8_t)(slot->id >> 8),
                     (uint8_t)slot->id};
    struct link *link = client->link;
    pthread_mutex_lock(&link->lock);
    /* Without memory it looks as lost: its caller is told when the time is over. */
    slot->sent |=
        link_add(link, (struct bytes){id, sizeof id}, (struct bytes){slot->bytes, slot->len});
    pthread_mutex_unlock(&link->lock);
}

/* ---- Client: replies ---- */

struct reply {
    struct transport_call *call;
    struct bytes bytes;
};

/* The call that a reply is for; NULL: none waits for it any more. Lock held. */
static struct transport_call *client_find(struct transport_client *client, struct bytes header)
{
    if (header.len != 4) {
        return NULL;
    }
    uint32_t id = (uint32_t)header.data[0] << 24 | (uint32_t)header.data[1] << 16 |
                  (uint32_t)header.data[2] << 8 | header.data[3];
    uint32_t at = id & (CALLS_MAX - 1);
    if (at >= client->slot_count || !client->slots[at].call || client->slots[at].id != id) {
        return NULL;
    }
    return slot_end(client, &client->slots[at]);
}

/* Takes replies out of what has come in, at most BATCH_MAX; how many. */
static unsigned client_take(struct transport_client *client, struct link *link,
                            struct reply *replies, enum next *next)
{
    unsigned count = 0;
    struct frame frame;
    enum parsed parsed = PARSED_FRAME;
    pthread_mutex_lock(&client->lock);
    while (count < BATCH_MAX && (parsed = link_next(link, &frame)) == PARSED_FRAME) {
        struct transport_call *call = client_find(client, frame.header);
        if (call) {
            replies[count++] = (struct reply){call, frame.body};
        }
        link_take(link, &frame);
    }
    pthread_mutex_unlock(&client->lock);
    *next = next_of(parsed);
    return count;
}

static void client_received(struct link *link)
{
    struct transport_client *client = client_of(link);
    struct reply replies[BATCH_MAX];
    struct chunk *chunk = link->chunk; /* when others read, it may soon be another one */
    if (chunk) {
        chunk_get(chunk);
    }
    enum next next = link_greeting(link);
    while (next == NEXT_TAKE) {
        size_t begin = link->begin;
        unsigned count = client_take(client, link, replies, &next);
        next = link_pass_on(link, next, begin);
        corked = link;
        for (unsigned i = 0; i < count; i++) {
            replies[i].call->done(replies[i].call, HF_OK, replies[i].bytes);
        }
        corked = NULL;
        link_flush(link);
        calls_ended(client, count);
    }
    chunk_put(chunk);
    link_go_on(link, next);
}

/* There is a connection: all that waits goes out on it. */
static void client_greeted(struct link *link)
{
    struct transport_client *client = client_of(link);
    pthread_mutex_lock(&client->lock);
    if (client->link == link) {
        /* Before anything is sent on it, so that "none so far" is never said of a sent request.
         * release: pairs with the acquire in transport_client_connections. */
        atomic_fetch_add_explicit(&client->connections_total, 1, memory_order_release);
        atomic_store_explicit(&client->connections, 1, memory_order_release);
        client->link_greeted = true;
        client->redial_pause_ms = RECONNECT_MIN_MS;
        for (unsigned i = 0; i < client->slot_count; i++) {
            if (client->slots[i].call) {
                slot_send(client, &client->slots[i]);
            }
        }
    }
    pthread_mutex_unlock(&client->lock);
    link_flush(link);
}

static void client_sent(struct link *link, unsigned messages)
{
    (void)link;
    (void)messages;
}

/* Dials again after a pause that grows while nothing comes of it. Lock held. */
static void client_redial_later(struct transport_client *client)
{
    client->redial_at_ms = now_ms() + client->redial_pause_ms;
    client->redial_pause_ms = client->redial_pause_ms * 2 < RECONNECT_MAX_MS
                                  ? client->redial_pause_ms * 2
                                  : RECONNECT_MAX_MS;
    client_tick(client);
}

static void client_down(struct link *link)
{
    struct transport_client *client = client_of(link);
    pthread_mutex_lock(&client->lock);
    bool ours = client->link == link;
    if (ours) {
        client->link = NULL;
        client->link_greeted = false;
        /* release: pairs with the acquire in transport_client_connected. */
        atomic_store_explicit(&client->connections, 0, memory_order_release);
        client_redial_later(client);
    }
    pthread_mutex_unlock(&client->lock);
    if (ours) {
        link_put(link);
    }
}

static void client_link_release(struct link *link)
{
    struct transport_client *client = client_of(link);
    free(link);
    pthread_mutex_lock(&client->lock);
    client->links--;
    pthread_mutex_unlock(&client->lock);
}

static const struct link_kind client_kind = {
    .self = PROTOCOL_REQ,
    .peer = PROTOCOL_REP,
    .greeted = client_greeted,
    .received = client_received,
    .sent = client_sent,
    .down = client_down,
    .release = client_link_release,
};

/* ---- Client: calls ---- */

/* Keeps a copy of the request. Only who has the slot. */
static bool slot_fill(struct slot *slot, struct bytes request)
{
    if (slot->room < request.len) {
        uint8_t *bytes = realloc(slot->bytes, request.len);
        if (!bytes) {
            return false;
        }
        slot->bytes = bytes;
        slot->room = request.len;
    }
    if (request.len > 0) {
        memcpy(slot->bytes, request.data, request.len);
    }
    slot->len = request.len;
    return true;
}

/* Takes a free slot for the call and sends it, if there is a connection; *link gets a reference to
 * be flushed then. Lock held. */
static enum hf_status client_begin(struct transport_client *client, struct transport_call *call,
                                   struct bytes request, uint32_t timeout_ms, struct link **link)
{
    struct slot *slot = client->free_slots;
    if (client->closing || !slot) {
        return client->closing ? HF_CANCELED : HF_BUSY;
    }
    if (!slot_fill(slot, request)) {
        return HF_NO_MEMORY;
    }
    client->free_slots = slot->next_free;
    client->busy_slots++;
    client->under_way++;
    slot->call = call;
    slot->sent = false;
    slot->until_ms = now_ms() + timeout_ms;
    slot->id = 0x80000000u | (client->ids++ << SLOT_BITS) | (uint32_t)(slot - client->slots);
    if (client->link_greeted) {
        *link = client->link;
        link_get(*link);
        slot_send(client, slot);
    }
    client_tick(client);
    return HF_OK;
}

enum hf_status transport_client_call(struct transport_client *client, struct transport_call *call,
                                     struct bytes request, uint32_t timeout_ms)
{
    CHECK(call->done);
    CHECK(timeout_ms > 0);
    struct link *link = NULL;
    pthread_mutex_lock(&client->lock);
    enum hf_status status = client_begin(client, call, request, timeout_ms, &link);
    pthread_mutex_unlock(&client->lock);
    if (link) {
        if (link != corked) {
            link_flush(link);
        }
        link_put(link);
    }
    return status;
}

/* Ends calls without a reply: all of them, or those whose time is over. True: one of them was sent,
 * and the connection may still have it to send. */
static bool client_give_up(struct transport_client *client, bool all)
{
    uint64_t now = now_ms();
    bool any_sent = false;
    for (unsigned i = 0; i < client->slot_count; i++) {
        struct slot *slot = &client->slots[i];
        struct transport_call *call = NULL;
        enum hf_status status = HF_CANCELED;
        pthread_mutex_lock(&client->lock);
        if (slot->call && (all || now >= slot->until_ms)) {
            /* Not sent means not done; sent means unknown. */
            status = all ? HF_CANCELED : slot->sent ? HF_TIMED_OUT : HF_UNREACHABLE;
            any_sent |= slot->sent;
            call = slot_end(client, slot);
        }
        pthread_mutex_unlock(&client->lock);
        if (call) {
            call->done(call, status, (struct bytes){NULL, 0});
            calls_ended(client, 1);
        }
    }
    return any_sent;
}

/* Whether much of what a connection has to send is for calls that were given up: its peer does not
 * read, and without end more would be added. Client's lock held. */
static bool link_is_clogged(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool clogged = link->pending.len > OUTBOX_BYTES_MAX;
    pthread_mutex_unlock(&link->lock);
    return clogged;
}

/* ---- Client: dialing ---- */

static void client_dialed(void *arg)
{
    struct transport_client *client = arg;
    int error = nng_aio_result(client->dialing);
    nng_stream *stream = error == 0 ? nng_aio_get_output(client->dialing, 0) : NULL;
    struct link *link = stream ? calloc(1, sizeof *link) : NULL;
    pthread_mutex_lock(&client->lock);
    client->is_dialing = false;
    client->links += link ? 1 : 0;
    pthread_mutex_unlock(&client->lock);
    if (stream && !link) {
        nng_stream_free(stream);
    }
    if (link &&
        !link_init(link, &client_kind, client, stream, client->is_ipc, MESSAGE_BYTES_MAX, NULL)) {
        link = NULL;
    }
    if (link) {
        link_get(link);
    }
    pthread_mutex_lock(&client->lock);
    client->link = link;
    if (!link) {
        client_redial_later(client);
    }
    pthread_mutex_unlock(&client->lock);
    if (link) {
        link_start(link);
    }
}

/* Dials when it is time to; gives a connection up that does not greet or, when calls were given up,
 * does not take what it is sent: what still waits is sent again on the next. Lock held. */
static struct link *client_look(struct transport_client *client, uint64_t now, bool gave_up)
{
    struct link *silent = NULL;
    if (client->link && (client->link_greeted ? gave_up && link_is_clogged(client->link)
                                              : now - client->link->made_ms >= GREETING_MS)) {
        silent = client->link;
        link_get(silent);
    }
    if (!client->link && !client->is_dialing && now >= client->redial_at_ms) {
        client->is_dialing = true;
        nng_stream_dialer_dial(client->dialer, client->dialing);
    }
    return silent;
}

/* The timer. */
static void client_ticked(void *arg)
{
    struct transport_client *client = arg;
    if (nng_aio_result(client->timer) != 0) {
        return;
    }
    bool gave_up = client_give_up(client, false);
    pthread_mutex_lock(&client->lock);
    struct link *silent = client->closing ? NULL : client_look(client, now_ms(), gave_up);
    client->is_ticking = false;
    client_tick(client);
    pthread_mutex_unlock(&client->lock);
    if (silent) {
        (void)link_close(silent);
        link_put(silent);
    }
}

static enum hf_status client_open_dialer(struct transport_client *client)
{
    if (nng_aio_alloc(&client->dialing, client_dialed, client) != 0) {
        client->dialing = NULL;
        return HF_NO_MEMORY;
    }
    if (nng_aio_alloc(&client->timer, client_ticked, client) != 0) {
        client->timer = NULL;
        return HF_NO_MEMORY;
    }
    nng_aio_set_timeout(client->dialing, DIAL_TIMEOUT_MS);
    int error = nng_stream_dialer_alloc(&client->dialer, client->url);
    if (error != 0) {
        client->dialer = NULL;
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_INVALID;
    }
    if (!client->is_ipc) {
        (void)nng_stream_dialer_set_bool(client->dialer, NNG_OPT_TCP_NODELAY, true);
        (void)nng_stream_dialer_set_bool(client->dialer, NNG_OPT_TCP_KEEPALIVE, true);
    }
    return HF_OK;
}

static enum hf_status client_open_slots(struct transport_client *client)
{
    client->slots = calloc(client->slot_count, sizeof *client->slots);
    if (!client->slots) {
        client->slot_count = 0;
        return HF_NO_MEMORY;
    }
    for (unsigned i = 0; i < client->slot_count; i++) {
        client->slots[i].next_free = client->free_slots;
        client->free_slots = &client->slots[i];
    }
    return HF_OK;
}

enum hf_status transport_client_open(struct transport_client **out, const char *url,
                                     unsigned in_flight_max)
{
    CHECK(in_flight_max >= 1);
    CHECK(in_flight_max <= CALLS_MAX);
    bool is_ipc = starts_with(url, "ipc://");
    if ((!is_ipc && !starts_with(url, "tcp://")) || strlen(url) >= URL_BYTES_MAX) {
        return HF_INVALID;
    }
    struct transport_client *client = calloc(1, sizeof *client);
    if (!client) {
        return HF_NO_MEMORY;
    }
    client->slot_count = in_flight_max;
    client->is_ipc = is_ipc;
    client->redial_pause_ms = RECONNECT_MIN_MS;
    memcpy(client->url, url, strlen(url) + 1);
    pthread_mutex_init(&client->lock, NULL);
    enum hf_status status = client_open_slots(client);
    if (status == HF_OK) {
        status = client_open_dialer(client);
    }
    if (status != HF_OK) {
        transport_client_close(client);
        return status;
    }
    pthread_mutex_lock(&client->lock);
    client_look(client, now_ms(), false); /* dials */
    client_tick(client);
    pthread_mutex_unlock(&client->lock);
    *out = client;
    return HF_OK;
}

/* Waits until all done() have returned and nothing refers to the client's links. */
static void client_wait_idle(struct transport_client *client)
{
    for (;;) {
        pthread_mutex_lock(&client->lock);
        bool idle = client->under_way == 0 && client->links == 0;
        pthread_mutex_unlock(&client->lock);
        if (idle) {
            return;
        }
        pause_ms(1);
    }
}

static void aio_end(nng_aio *aio)
{
    if (aio) {
        nng_aio_stop(aio);
        nng_aio_free(aio);
    }
}

void transport_client_close(struct transport_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->closing = true; /* no call starts afterwards, and no tick */
    pthread_mutex_unlock(&client->lock);
    aio_end(client->timer);
    if (client->dialer) {
        nng_stream_dialer_close(client->dialer);
    }
    aio_end(client->dialing);
    pthread_mutex_lock(&client->lock);
    struct link *link = client->link;
    if (link) {
        link_get(link);
    }
    pthread_mutex_unlock(&client->lock);
    (void)client_give_up(client, true);
    if (link) {
        (void)link_close(link);
        link_put(link);
    }
    client_wait_idle(client);
    if (client->dialer) {
        nng_stream_dialer_free(client->dialer);
    }
    for (unsigned i = 0; i < client->slot_count; i++) {
        free(client->slots[i].bytes);
    }
    free(client->slots);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

bool transport_client_connected(const struct transport_client *client)
{
    /* acquire: pairs with the release in client_down. */
    return atomic_load_explicit(&client->connections, memory_order_acquire) > 0;
}

uint64_t transport_client_connections(const struct transport_client *client)
{
    /* acquire: pairs with the release in client_greeted. */
    return atomic_load_explicit(&client->connections_total, memory_order_acquire);
}
