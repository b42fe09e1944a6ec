/* link.h - a stream with SP's framing, from the handshake until nothing refers to it.
 *
 * Threads: any. Each field says whose it is: of the thread that reads, or under the lock.
 *
 * Invariants:
 * - One callback at a time reads a link. It takes all whole messages out of what was read, starts
 *   the next read, and only then handles the messages. So several threads handle large messages of
 *   one connection at once; one thread handles small ones in a row. This chain of reads ends once,
 *   and then the kind's down() is called.
 * - No operation is started on a closed stream: nng 1.5.2 would never end it. A thread that starts
 *   one checks `closed` and enters the gate under the link's lock. It gives the lock back before it
 *   starts the operation, because nng may call back at once and the callback takes the lock. The
 *   last thread that leaves a closed gate closes the stream.
 * - Locks: the lock of a client or of a set of connections is taken before a link's. The kind's
 *   functions are called without the link's lock. */
#ifndef RPC_LINK_H
#define RPC_LINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/memory.h"
#include "rpc/nng.h"

#define GREETING_MS 10000u /* for the peer's handshake to come */
#define OUTBOX_BYTES_MAX                                                                           \
    ((size_t)8 << 20) /* nothing more is read while more than this is unsent                       \
                       */
#define WAITING_BYTES_MAX ((uint64_t)8 << 20) /* or while more than this waits to be handled */

struct link;

/* What a protocol does with its links. */
struct link_kind {
    uint8_t self;                        /* this side's protocol number */
    uint8_t peer;                        /* the protocol number that the peer must send */
    bool chokes;                         /* nothing is read while too much is unsent */
    void (*greeted)(struct link *link);  /* the peer's handshake has come */
    void (*received)(struct link *link); /* bytes have come in: must end in link_continue() */
    void (*sent)(struct link *link, unsigned messages); /* messages have left. NULL: do nothing */
    void (*down)(struct link *link);                    /* nothing will come in any more */
    void (*release)(struct link *link); /* the last reference is gone: frees the memory */
};

#define GATE_CLOSED 0x80000000u

struct link {
    const struct link_kind *kind;
    void *owner;
    nng_stream *stream;
    nng_aio *receiving;
    nng_aio *sending;
    uint64_t message_bytes_max;
    struct holder memory; /* what this link holds of its budget */
    uint64_t made_ms;
    bool is_ipc;
    atomic_uint_fast64_t long_since_ms; /* when a long message began to come in; 0: none is coming.
                                           Written by the thread that reads */
    atomic_uint_fast64_t said_ms; /* when the last whole message or the handshake came in; 0: none.
                                     Written by the thread that reads */
    atomic_uint refs; /* one each: the reads, a write, a callback, an exchange, the owner */
    atomic_uint gate; /* operations being started, and GATE_CLOSED */

    /* Of the thread that reads. */
    struct chunk *chunk;
    size_t begin; /* bytes begin..end of the chunk have come and were not taken */
    size_t end;
    size_t needed; /* bytes of the message that has come in part; 0: not known yet */
    size_t chunk_bytes;
    size_t read_bytes_max; /* of the next read, if no message has come in part; 0: no limit */
    bool greeted;
    bool foreign;         /* the peer's handshake is another protocol's */
    bool resumed;         /* received() runs without a read before it */
    uint64_t received_ns; /* when what has come was read; when reading was stopped, if it was */
    uint64_t read_ns;     /* when the last read ended, whatever received_ns is */
    uint64_t stopped_ns;  /* when reading was stopped; 0: it was not, or has gone on */

    pthread_mutex_t lock; /* all below */
    struct outbox pending;
    struct outbox leaving; /* nng has it while is_sending */
    size_t left_bytes;     /* of `leaving`: have left already */
    bool is_sending;
    bool choked;            /* nobody reads until replies have left, or what waits is less */
    bool gathered;          /* a thread that gives many replies will write what is pending */
    uint64_t waiting_bytes; /* of messages that were taken and are not handled yet */
    bool closed;
    uint64_t progress_ms; /* when the last message left, or the first was added */
    uint64_t write_ms;    /* when the present write began */
};

/* The link whose messages this thread is handling. What is sent on it waits until the thread has
 * handled all of them, and then leaves in one piece. */
extern _Thread_local struct link *corked;

/* Makes a zeroed link ready, with one reference: the reads'. Takes the stream over. False: no
 * memory, and the kind's release() has run. */
bool link_init(struct link *link, const struct link_kind *kind, void *owner, nng_stream *stream,
               bool is_ipc, uint64_t message_bytes_max, struct budget *budget);

/* Sends the handshake and begins to read. */
void link_start(struct link *link);

void link_get(struct link *link); /* the caller has a reference */
void link_put(struct link *link);

/* Before an operation is started. Lock held, link not closed. */
void gate_enter(struct link *link);

/* After it was started, without the lock. The caller has a reference. */
void gate_leave(struct link *link);

/* Has received() run once more, without a read. Lock held; nobody may be reading. */
void link_resume(struct link *link);

/* Lets reading go on that was stopped, if less is unsent and less waits. Lock held. */
void link_unchoke(struct link *link);

/* Closes the stream. The thread that reads notices, and ends the link. False: it was closed. */
bool link_shut(struct link *link);

/* Ends the chain of reads. Only the thread that reads, once. */
void link_down(struct link *link);

/* So many bytes of messages that were taken do not wait any more: reading goes on if it was stopped
 * for them. Lock held. */
void link_wait_less(struct link *link, uint64_t bytes);

/* Messages that have not left. Lock held. */
static inline unsigned link_unsent(const struct link *link)
{
    return link->pending.messages + link->leaving.messages;
}

#endif
