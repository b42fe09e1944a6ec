/* exchange.h - REP: requests in hand, from a connection to the handler and back.
 *
 *     an exchange:  free -> HANDLING -> free        the connection has its reply then
 *
 * A fixed number of exchanges is passed round. A connection that finds none free waits for one, and
 * is not read from until it gets one.
 *
 * Threads: nng's threads call the handler, any number at once. The reply comes from any thread. */
#ifndef RPC_EXCHANGE_H
#define RPC_EXCHANGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/spin.h"
#include "rpc/acceptor.h"
#include "rpc/transport.h"

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

struct transport_server {
    struct acceptor acceptor; /* first: a connection's set leads to its server */
    struct transport_server_options options;
    struct transport_exchange **exchanges;
    unsigned exchange_count;

    struct spin pool_lock;
    struct transport_exchange *free_exchanges;
    struct connection *starving_first; /* connections that wait for an exchange */
    struct connection *starving_last;

    atomic_uint active;  /* requests taken whose replies have not left */
    atomic_uint working; /* callbacks that run and may take requests */
    atomic_uint_fast64_t requests;
};
_Static_assert(offsetof(struct transport_server, acceptor) == 0, "server_of() casts");
_Static_assert(offsetof(struct acceptor, connections) == 0, "server_of() casts");

extern const struct link_kind rep_kind;

/* Makes a free exchange. OK or NO_MEMORY; *out is set also when only the user's memory could not be
 * initialized: exchange_free() then frees it. */
enum hf_status exchange_make(struct transport_server *server, struct transport_exchange **out);
void exchange_free(struct transport_exchange *exchange);

/* Releases what the exchange holds, and makes it free. */
void exchange_end(struct transport_exchange *exchange);

/* Resumes one connection that waits for an exchange, if one is free; with `ending`, in any case.
 * False: none was resumed. */
bool server_feed(struct transport_server *server, bool ending);

#endif
