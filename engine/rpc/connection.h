/* connection.h - the connections that a server's listeners have accepted: how many there are, which
 * of them are a burden, and how they end. The same for REP and for PUB.
 *
 * A connection has a place from when it is accepted until it is closed. When all places are taken,
 * a newcomer gets the place of one that is quiet (room.h) at once. Its stream and its memory may
 * stay a little longer, until nothing refers to them: there are at most CONNECTIONS_SPARE such
 * beyond the places, or 1/8 of the places and 1.
 *
 * What a hostile or unlucky peer can't do:
 * - leave replies unread: its connection is closed after send_timeout_ms, or as soon as it has more
 *   than its share in hand and takes no reply for STALLED_MS (connection.c);
 * - make replies pile up: nothing more is read from its connection until they have left
 * (link_choke);
 * - connect and send no handshake: its connection is closed after GREETING_MS;
 * - announce a long message: memory is taken as the message comes in (memory.h);
 * - hold memory: when there is none left, the greatest and slowest holders are closed (watchdog.c).
 *
 * Threads: any.
 *
 * Invariant: a connection that is read from is in the list, and has a reference for that. One that
 * is no longer read from (`down`) stays in the list until it is released; nobody may take its lock
 * or a reference to it then. */
#ifndef RPC_CONNECTION_H
#define RPC_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rpc/link.h"
#include "rpc/memory.h"
#include "rpc/peers.h"
#include "rpc/room.h"
#include "rpc/turns.h"

#define CONNECTIONS_SPARE 64u

struct connection_options {
    const struct link_kind *kind; /* of all connections */
    uint64_t message_bytes_max;   /* a longer message closes its connection */
    uint64_t memory_bytes_max;    /* of all connections together (memory.h); 0: no limit */
    bool loses_messages;      /* no connection is closed for memory: messages are lost instead */
    uint32_t connections_max; /* places; 0: no limit */
    uint32_t per_address;     /* most of one address; further ones are refused. 0: no limit */
    uint32_t idle_ms_max;     /* see transport_server_options */
    uint32_t in_hand_max;     /* with more in hand, a connection that leaves replies unread is
                                 closed at once */
    int send_timeout_ms;      /* a write that takes longer closes its connection */
};

/* All connections of a server, of all its listeners. */
struct connections {
    struct connection_options options;
    struct budget budget;
    atomic_bool stopping;      /* no connection and no request is accepted any more */
    atomic_uint_fast64_t open; /* greeted and not down */
    atomic_uint_fast64_t opened_total;
    atomic_uint_fast64_t disconnected; /* closed because they were a burden */

    pthread_mutex_t lock; /* all below */
    struct connection *first;
    unsigned links;   /* not released yet */
    unsigned staying; /* that have a place */
    unsigned reading; /* in the list and not down */
    struct peers peers;
    struct room room;
    uint64_t memory_warned_ms; /* when a warning was written; only the watchdog */
    bool is_full;              /* all places were taken, and a warning was written */
    bool is_refused;           /* the same for one that was refused */
};

/* One connection. */
struct connection {
    struct link link; /* first: they are one piece of memory */
    struct connections *set;
    struct connection *previous; /* set's lock */
    struct connection *next;     /* set's lock */
    struct peer *peer;           /* while it has a place; NULL: no address. Set's lock */
    bool stays;                  /* it has a place; set's lock */
    bool listed;                 /* set's lock */
    bool down;                   /* set's lock */
    bool counted;                /* in set->open: has greeted; set's lock */
    bool closing;                /* by connections_close_first(); set's lock */

    /* exchange.h's. */
    struct turn_queue queue; /* requests that wait for their turn; server's lock */
    uint32_t handling;       /* requests that wait or are in hand; link's lock */
    uint64_t refused_ns;     /* when one was refused last; link's lock */
    /* pacing.h's; server's lock. */
    bool paced; /* not read from until: */
    uint64_t paced_until_ns;
    struct connection *paced_next;
    struct connection *paced_previous;
};

void connections_init(struct connections *set, const struct connection_options *options);
void connections_deinit(struct connections *set); /* all of them are released */

/* No connection begins and no request is taken afterwards. */
void connections_stop(struct connections *set);

static inline bool connections_stopping(const struct connections *set)
{
    /* seq_cst: a server's callback counts itself in `working` and then reads this. The thread that
     * stops the server sets this and then reads `working`. One of the two sees the other. */
    return atomic_load_explicit(&set->stopping, memory_order_seq_cst);
}

/* Closes one connection that is read from. False: none is left. */
bool connections_close_first(struct connections *set);

/* Waits until all connections have been released. */
void connections_wait_released(struct connections *set);

/* A listener has accepted a stream. Takes it over: begins a connection, or closes it. `url` is for
 * the warning. */
void connection_begin(struct connections *set, nng_stream *stream, bool is_ipc, const char *url);

static inline struct connection *connection_of(struct link *link)
{
    return (struct connection *)link;
}

/* For a link_kind of connections: what to do when greeted, when down, and last of all. */
void connection_greeted(struct link *link);
void connection_down(struct link *link);
void connection_release(struct link *link);

/* Closes a connection that is a burden, and counts it. Without its lock and the set's. */
void connection_disconnect(struct connection *connection);

/* The connection leaves replies unread. Link's lock held. */
bool connection_stalled(const struct connection *connection, uint64_t now);

#endif
