/* transport.h - SP REQ/REP over byte streams: a server that answers requests, a client that sends
 * them. The interface of transport_server.c, handlers.c, exchange.c and transport_client.c, dial.c.
 *
 * Speaks to any REQ or REP socket: nng's, nanomsg's, mangos'. The server watches each listener by
 * dialing it, and listens again when the listener has stopped accepting. It disconnects clients
 * that do not read. It bounds the size of messages, the requests in hand of each connection, and
 * the memory of unread replies. */
#ifndef RPC_TRANSPORT_H
#define RPC_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "holdfast/status.h"

/* ---- Server ---- */

struct transport_server;

/* One request in hand: from the call of the handler until transport_reply(). */
struct transport_exchange;

/* What comes first when there is more than the handlers can do (turns.h). */
enum transport_class {
    TRANSPORT_OPERATOR, /* an operator's question or order: before all */
    TRANSPORT_FINISH,   /* about an order in hand: before new ones */
    TRANSPORT_NEW,      /* everything else */
};
#define TRANSPORT_CLASSES 3u

/* What a request is, found without decoding it. */
struct transport_kind {
    enum transport_class class;
    uint32_t timeout_ms; /* refused when it has waited longer; 0: never */
    uint64_t extra_cost; /* handling it costs as much as so many bytes more than it has */
};

/* Why a request is refused unseen. */
enum transport_refusal {
    TRANSPORT_REFUSE_CROWD,    /* its connection has too many requests in hand */
    TRANSPORT_REFUSE_OVERLOAD, /* more comes than can be handled, and it has waited too long */
    TRANSPORT_REFUSE_LATE,     /* its timeout_ms has passed */
};
#define TRANSPORT_REFUSAL_BYTES_MAX 256u

struct transport_server_options {
    unsigned contexts;        /* exchanges in hand at once, 1..SERVER_CONTEXTS_MAX. Further requests
                                 wait for their turn */
    unsigned per_connection;  /* requests of one connection that wait or are in hand; 0: contexts
                                 / 2, at least 1. Further ones are refused at once */
    unsigned handlers;        /* threads that handle requests, and requests handled at once,
                                 1..TRANSPORT_HANDLERS_MAX; 0: as many as there are processors */
    uint64_t queue_target_ns; /* how long requests may wait for a handler while there is always one
                                 that waits (turns.h); 0: however long */
    uint64_t queue_interval_ns; /* how long there must be one; 0: 100 ms */
    uint64_t message_bytes_max; /* a longer message closes its connection */
    uint64_t memory_bytes_max;  /* of all connections' long messages and unread replies; a client
                                   that  needs more is disconnected. 0: no limit */
    uint32_t connections_max;   /* places for connections. When all are taken, a newcomer gets that
                                   of one that is quiet (room.h), or is refused. 0: no limit */
    uint32_t idle_ms_max;       /* for so long at least a connection must be quiet, to be closed for
                                   a newcomer. 0: none is closed that has sent its handshake */
    uint32_t per_address;       /* connections of one peer address, further ones are refused; not
                                   over ipc. 0: no limit */
    int send_timeout_ms;        /* a reply that can't be sent within this closes its connection */
    size_t user_bytes;          /* memory that each exchange keeps for the handler, zeroed once */

    /* A request has come, and it is its turn. Runs on a handler's thread, or, when nothing waits
     * and the request is small, on the thread that has read it; `handlers` at once at most, and
     * those within transport_pause(). It must lead to one transport_reply(), now or later, from any
     * thread. Requests of one connection that wait together are handled one after another, and
     * replies that are given before the last of them is handled leave together. */
    void (*handle)(void *context, struct transport_exchange *exchange);

    /* Writes the reply to a request that is refused unseen, and returns its length. `retry_ms`:
     * when its sender should come again. Any thread, any number at once. */
    size_t (*refuse)(void *context, enum transport_refusal why, uint32_t retry_ms,
                     uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX]);

    /* What a request is. NULL: all are TRANSPORT_NEW. Any thread, any number at once. */
    struct transport_kind (*classify)(void *context, struct bytes request);

    /* transport_reply() has copied the reply's bytes: what was kept for it may be freed. The user
     * memory still belongs to this exchange. NULL: nothing to do. */
    void (*replied)(void *context, void *user);

    /* Called once for each exchange's user memory, before its first use and after its last;
     * NULL: nothing to do. user_init false: out of memory. */
    bool (*user_init)(void *context, void *user);
    void (*user_deinit)(void *context, void *user);

    void *context;
};
#define TRANSPORT_HANDLERS_MAX 24u

/* Makes the exchanges; no listener yet. */
enum hf_status transport_server_open(struct transport_server **out,
                                     const struct transport_server_options *options);

/* Listens on tcp://HOST:PORT (port 0: any free one) or ipc://PATH. OK, INVALID (bad URL),
 * UNREACHABLE (address in use, no such interface). `url` gets the address really listened on. */
enum hf_status transport_server_listen(struct transport_server *server, const char *url,
                                       char *actual_url, size_t actual_url_bytes);

/* Stops taking requests: closes the listeners, and takes no further request from connections.
 * Requests that wait or are in hand may still be answered: waits at most timeout_ms until all of
 * them are, and their replies sent. What waits then is dropped. Waits until no handler runs,
 * however long that takes; none runs afterwards. */
void transport_server_drain(struct transport_server *server, uint32_t timeout_ms);

/* Closes everything. No handler runs afterwards, and no exchange may be replied to. */
void transport_server_close(struct transport_server *server);

/* The request's bytes; valid until transport_reply(). */
struct bytes transport_exchange_body(const struct transport_exchange *exchange);

/* When the request was read: nanoseconds of the monotonic clock. Of requests that were left unread
 * because their connection had too much waiting, when reading stopped. */
uint64_t transport_exchange_received_ns(const struct transport_exchange *exchange);

/* A handler that takes long calls this now and then, while it holds no lock: small requests of
 * others that wait are handled in between, on this thread. Does nothing within itself. */
void transport_pause(struct transport_exchange *exchange);

/* How long whoever is refused now should wait before he comes again: milliseconds, 1 up. */
uint32_t transport_retry_ms(const struct transport_exchange *exchange);

/* Replies that this thread gives until transport_gather_end() may wait for each other, to leave in
 * one piece for each connection. For a thread that gives many in a row; not within a handler. */
void transport_gather_begin(void);
void transport_gather_end(void);

/* The exchange's own memory of user_bytes, aligned to 64; it survives from request to request. */
void *transport_exchange_user(struct transport_exchange *exchange);

/* Answers. Copies the bytes. The exchange must not be used afterwards. */
void transport_reply(struct transport_exchange *exchange, struct bytes reply);

struct transport_server_stats {
    uint64_t connections; /* open now */
    uint64_t connections_total;
    uint64_t requests;
    uint64_t relistens;     /* listeners found dead and opened again */
    uint64_t disconnected;  /* connections closed because they did not read or sent too much */
    uint64_t refused_crowd; /* requests that were refused unseen, by reason */
    uint64_t refused_overload;
    uint64_t refused_late;
    uint64_t waiting; /* requests that wait for their turn now */
    bool overloaded;  /* there has been one that waits for longer than an interval */
};
void transport_server_stats(struct transport_server *server, struct transport_server_stats *stats);

/* ---- Client ---- */

struct transport_client;

/* One call. The caller owns it, and must not change it until done() has run. */
struct transport_call {
    /* OK with the reply's bytes, valid during the call; TIMED_OUT, UNREACHABLE, CANCELED,
     * NO_MEMORY. Runs on one of the transport's threads; may start the next call, must not block.
     */
    void (*done)(struct transport_call *call, enum hf_status status, struct bytes reply);
    void *user;
    struct transport_call *next; /* the transport's own, as is `status` */
    enum hf_status status;
};

/* Dials url in the background, again and again while there is no connection. Requests wait for it
 * up to their timeout. A request whose connection is lost before the reply came is sent again (the
 * same bytes, so the same order ids). in_flight_max: calls under way at once, at most 1024.
 *
 * Until the client has had its first connection, a dial that is refused ends the waiting calls at
 * once, UNREACHABLE: nobody listens, the host's name is unknown, the path is missing or not
 * permitted, what listens speaks another protocol. Only a dial that began after the call ends it:
 * so a call that is made once the server is up finds it. A client that has had a connection keeps
 * trying instead: calls must not fail early while an engine restarts. */
enum hf_status transport_client_open(struct transport_client **out, const char *url,
                                     unsigned in_flight_max);

/* Starts an exchange. OK, or BUSY when in_flight_max are under way, NO_MEMORY, CANCELED when the
 * client is being closed; done() runs only after OK. timeout_ms: 1 up. */
enum hf_status transport_client_call(struct transport_client *client, struct transport_call *call,
                                     struct bytes request, uint32_t timeout_ms);

/* Takes back a call whose done() has not begun: done() will not run. False: it is running, has run,
 * or will run in a moment. */
bool transport_client_forget(struct transport_client *client, struct transport_call *call);

/* Cancels all calls (CANCELED), waits for their done(), and frees the client. Not from a done().
 * Takes no longer than the done() that are running and one second: what nng has not ended by then
 * frees itself later. */
void transport_client_close(struct transport_client *client);

#define TRANSPORT_REASON_BYTES 384u

/* Why there is no connection, such as "nothing listens on tcp://127.0.0.1:7411 (connection
 * refused)": for the caller of a call that was UNREACHABLE. */
void transport_client_reason(struct transport_client *client, char text[TRANSPORT_REASON_BYTES]);

/* True while there is a connection. */
bool transport_client_connected(const struct transport_client *client);

/* The number of connections so far. If it is the same after a call as before, and there was no
 * connection at first, nothing of the call was sent. */
uint64_t transport_client_connections(const struct transport_client *client);

#endif
