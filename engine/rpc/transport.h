/* transport.h - SP REQ/REP exchanges over nng's streams. The only user of nng; builds with 1.5.2 to
 * 1.11.
 *
 * Speaks to any REQ or REP socket: nng's, nanomsg's, mangos'. The server watches each listener by
 * dialing it and listens anew when it has stopped accepting; it cuts off clients that do not read;
 * it bounds message size, exchanges per connection, and what it keeps to send. */
#ifndef RPC_TRANSPORT_H
#define RPC_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "holdfast/status.h"

/* ---- Server ---- */

struct transport_server;

/* One request in hand: from the handler's call until transport_reply(). */
struct transport_exchange;

struct transport_server_options {
    unsigned contexts;          /* exchanges in hand at once, 1..SERVER_CONTEXTS_MAX */
    unsigned per_connection;    /* exchanges of one connection in hand at once; 0: contexts / 2,
                                   at least 1. Beyond it the connection is told so through `refuse`,
                                   and closed at twice as many */
    uint64_t message_bytes_max; /* longer messages close their connection */
    uint64_t memory_bytes_max;  /* of all connections' long messages and replies that lie; who needs
                                   more is cut off. 0: no limit */
    uint32_t connections_max;   /* further ones are refused. 0: no limit */
    uint32_t idle_ms_max;       /* when one was refused, the connection goes that has been idle
                                   longest, if for so long: neither has it a request in hand nor an
                                   answer to take. 0: none goes */
    int send_timeout_ms;        /* a reply that can't be sent for so long closes its connection */
    size_t user_bytes;          /* memory that each exchange keeps for the handler, zeroed once */

    /* A request has come. Runs on one of the transport's threads, any number at once; must lead to
     * one transport_reply(), now or later, from any thread. Small requests of one connection that
     * have come together run one after another, and replies that are given meanwhile leave together
     * after the last of them. */
    void (*handle)(void *context, struct transport_exchange *exchange);

    /* As handle, but the connection has too many requests in hand: answer BUSY, at once. */
    void (*refuse)(void *context, struct transport_exchange *exchange);

    /* The reply's bytes have been copied, in transport_reply(): what was kept for it may go. The
     * user memory is still this exchange's. NULL: nothing to do. */
    void (*replied)(void *context, void *user);

    /* Called once for each exchange's user memory, before its first use and after its last;
     * NULL: nothing to do. user_init false: out of memory. */
    bool (*user_init)(void *context, void *user);
    void (*user_deinit)(void *context, void *user);

    void *context;
};

/* Makes the exchanges; no listener yet. */
enum hf_status transport_server_open(struct transport_server **out,
                                     const struct transport_server_options *options);

/* Listens on tcp://HOST:PORT (port 0: any free one) or ipc://PATH. OK, INVALID (bad URL),
 * UNREACHABLE (address in use, no such interface). `url` gets the address really listened on. */
enum hf_status transport_server_listen(struct transport_server *server, const char *url,
                                       char *actual_url, size_t actual_url_bytes);

/* Stops taking requests: listeners are closed, and connections get no further request in. Requests
 * in hand may still be answered. Waits until no handler runs, however long that takes, and until
 * all in hand are answered and sent, at most timeout_ms. */
void transport_server_drain(struct transport_server *server, uint32_t timeout_ms);

/* Closes everything. No handler runs afterwards, and no exchange may be replied to. */
void transport_server_close(struct transport_server *server);

/* The request's bytes; valid until transport_reply(). */
struct bytes transport_exchange_body(const struct transport_exchange *exchange);

/* The exchange's own memory of user_bytes, aligned to 64; it survives from request to request. */
void *transport_exchange_user(struct transport_exchange *exchange);

/* Answers. The bytes are copied. The exchange is not to be touched afterwards. */
void transport_reply(struct transport_exchange *exchange, struct bytes reply);

struct transport_server_stats {
    uint64_t connections; /* open now */
    uint64_t connections_total;
    uint64_t requests;
    uint64_t relistens;    /* listeners found dead and opened anew */
    uint64_t disconnected; /* connections closed because they did not read or sent too much */
};
void transport_server_stats(const struct transport_server *server,
                            struct transport_server_stats *stats);

/* ---- Client ---- */

struct transport_client;

/* One exchange under way. Owned by the caller, untouched by it until done() has run. */
struct transport_call {
    /* OK with the reply's bytes, valid during the call; TIMED_OUT, UNREACHABLE, CANCELED,
     * NO_MEMORY. Runs on one of the transport's threads; may start the next call, must not block.
     */
    void (*done)(struct transport_call *call, enum hf_status status, struct bytes reply);
    void *user;
    struct transport_call *next; /* the transport's own, as is `status` */
    enum hf_status status;
};

/* Dials url in the background, again and again while there is no connection; requests wait for it
 * up to their timeout, and are sent again when their connection is lost before the reply came (the
 * same bytes: the same order ids). in_flight_max: calls under way at once, at most 1024.
 *
 * As long as there has been no connection at all, one that is refused ends the calls that wait,
 * UNREACHABLE, at once: nobody listens, the name is not known, the path is not there or not
 * permitted, what listens speaks another protocol. A call ends with a dial that began after it: so
 * one that comes when there is a server at last finds it. A client that has had a connection goes
 * on trying instead: an engine that starts again must not fail its callers early. */
enum hf_status transport_client_open(struct transport_client **out, const char *url,
                                     unsigned in_flight_max);

/* Starts an exchange. OK, or BUSY when in_flight_max are under way, NO_MEMORY, CANCELED when the
 * client is being closed; done() runs only after OK. timeout_ms: 1 up. */
enum hf_status transport_client_call(struct transport_client *client, struct transport_call *call,
                                     struct bytes request, uint32_t timeout_ms);

/* Takes back a call whose done() has not begun: it will not run. False: it runs, or has run, or
 * will in a moment. */
bool transport_client_forget(struct transport_client *client, struct transport_call *call);

/* Cancels all calls (CANCELED), waits for their done(), frees. Not from a done(). Takes no longer
 * than the done() that run and a second: what nng has not ended by then frees itself later. */
void transport_client_close(struct transport_client *client);

#define TRANSPORT_REASON_BYTES 384u

/* Why there is no connection, "nothing listens on tcp://127.0.0.1:7411 (connection refused)": for
 * the caller of a call that was UNREACHABLE. */
void transport_client_reason(struct transport_client *client, char text[TRANSPORT_REASON_BYTES]);

/* True while there is a connection. */
bool transport_client_connected(const struct transport_client *client);

/* How many connections there have been so far. If it is the same after a call as before, and there
 * was none at first, nothing of the call was sent. */
uint64_t transport_client_connections(const struct transport_client *client);

#endif
