/* exchange.h - REP: requests, from a connection to the handler and back.
 *
 *     a request:    arrival (waits in its connection's queue) -> exchange (in hand) -> reply
 *     an exchange:  free -> HANDLING -> free        the connection has its reply then
 *
 * A message that has come whole becomes an arrival, on the thread that has read it (arrivals.c).
 * Handlers take turns (turns.h): what they take gets an exchange, of which there is a fixed number
 * (handlers.c). Reading never waits for that: whoever waits too long is refused, and what is left
 * unread in a socket could not be.
 *
 * Threads: nng's threads bring arrivals. The reply comes from any thread.
 *
 * Locks: the server's is a leaf: nothing is called with it. A link's is never held with it. */
#ifndef RPC_EXCHANGE_H
#define RPC_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "rpc/acceptor.h"
#include "rpc/transport.h"
#include "rpc/turns.h"

struct transport_exchange {
    struct transport_server *server;
    struct transport_exchange *next_free;
    struct connection *connection; /* while HANDLING: holds a reference */
    struct chunk *chunk;           /* where the request is: holds a reference */
    struct bytes header;
    struct bytes body;
    uint64_t received_ns;
    enum transport_class class;
    bool handling;
    bool user_made; /* user_init has succeeded */
    _Alignas(CACHE_LINE_BYTES) unsigned char user[];
};

struct transport_server {
    struct acceptor acceptor; /* first: a connection's set leads to its server */
    struct transport_server_options options;
    struct transport_exchange **exchanges;
    unsigned exchange_count;

    pthread_mutex_t lock; /* all below, to the next comment */
    struct transport_exchange *free_exchanges;
    unsigned free_count;
    struct turns turns;
    struct connection *paced_first; /* in the order in which they are due (pacing.h) */
    struct connection *paced_last;
    unsigned running;  /* handlers that handle, options.handlers at most */
    unsigned idle;     /* threads that wait for something to do */
    unsigned watching; /* of them: those that look again soon */
    uint64_t turns_taken;
    bool stopping; /* the threads end */
    pthread_cond_t wake;

    pthread_t threads[TRANSPORT_HANDLERS_MAX + 1]; /* the one that opens and ends the server */
    unsigned thread_count;

    atomic_uint active;  /* requests taken whose replies have not left */
    atomic_uint working; /* callbacks that run and may take requests */
    atomic_uint_fast64_t requests;
    atomic_uint_fast64_t refused[3]; /* by transport_refusal */
};
_Static_assert(offsetof(struct transport_server, acceptor) == 0, "server_of() casts");
_Static_assert(offsetof(struct acceptor, connections) == 0, "server_of() casts");
_Static_assert(TRANSPORT_REFUSE_LATE == 2, "refused[] has a place for each");

static inline struct transport_server *server_of(const struct connection *connection)
{
    return (struct transport_server *)connection->set;
}

extern const struct link_kind rep_kind;

/* ---- Exchanges (exchange.c) ---- */

/* Makes a free exchange. OK or NO_MEMORY; *out is set also when only the user's memory could not be
 * initialized: exchange_free() then frees it. */
enum hf_status exchange_make(struct transport_server *server, struct transport_exchange **out);
void exchange_free(struct transport_exchange *exchange);

/* Takes a free exchange. Lock held; there is one. */
struct transport_exchange *exchange_take(struct transport_server *server);

/* Puts an arrival into an exchange that was taken, frees it, and hands the request to the handler,
 * unless its connection has gone. */
void exchange_begin(struct transport_exchange *exchange, struct arrival *arrival);

/* Releases what the exchange holds, and makes it free. `cost`: of its reply. */
void exchange_end(struct transport_exchange *exchange, uint64_t cost);

/* Something waits that did not before, or there is room again: wakes a thread if one is idle. Lock
 * held. */
void server_wake(struct transport_server *server);

/* `requests` fewer are in hand. */
void server_settle(struct transport_server *server, unsigned requests);

/* Refuses arrivals that turns_take() or turns_shed() has taken out, and frees them. */
void arrivals_refuse(struct transport_server *server, struct arrival_list *list);

/* Refuses requests of one connection that did not become arrivals, for overload; `cost`: theirs.
 * None: does nothing. */
void headers_refuse(struct transport_server *server, struct connection *connection,
                    const struct bytes *headers, unsigned count, uint64_t cost, uint32_t retry_ms);

/* Drops arrivals without a reply, and frees them. */
void arrivals_drop(struct transport_server *server, struct arrival_list *list);

#endif
