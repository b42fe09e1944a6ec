/* exchange.c - REP: requests in hand, from a connection to the handler and back. See exchange.h. */
#include "rpc/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/test_point.h"
#include "rpc/frame.h"
#include "rpc/link_receive.h"
#include "rpc/link_send.h"
#include "rpc/timing.h"

/* ---- Exchanges ---- */

static struct transport_server *server_of(const struct connection *connection)
{
    return (struct transport_server *)connection->set;
}

/* `requests` fewer are in hand. */
static void server_settle(struct transport_server *server, unsigned requests)
{
    /* release: pairs with the acquire in transport_server_drain(). */
    unsigned before = atomic_fetch_sub_explicit(&server->active, requests, memory_order_release);
    CHECK(before >= requests);
}

bool server_feed(struct transport_server *server, bool ending)
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

/* A free exchange. NULL: none; the connection will be resumed when there is one. */
static struct transport_exchange *exchange_take(struct transport_server *server,
                                                struct connection *connection)
{
    spin_lock(&server->pool_lock);
    struct transport_exchange *exchange = server->free_exchanges;
    if (exchange) {
        CHECK(!exchange->connection);
        CHECK(!exchange->handling);
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

void exchange_end(struct transport_exchange *exchange)
{
    struct transport_server *server = exchange->server;
    struct connection *connection = exchange->connection;
    CHECK(connection);
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
        test_point("exchange_end"); /* no lock: free, and no connection resumed yet */
        (void)server_feed(server, false);
    }
    link_put(&connection->link);
}

/* ---- To the handler ---- */

enum admission { ADMIT, REFUSE, DISCONNECT };

/* Counts a request in, and decides what to do with it. Replies that have not left count only
 * against a connection that has stalled: the server learns that a reply has left some time after
 * the client has it, and the client may send its next request at once. */
static enum admission connection_enter(struct connection *connection)
{
    uint32_t most = server_of(connection)->options.per_connection;
    struct link *link = &connection->link;
    enum admission admission = DISCONNECT;
    pthread_mutex_lock(&link->lock);
    uint32_t handling = ++connection->handling;
    bool over = handling + link_unsent(link) > most;
    if (handling < 2 * most && !(over && connection_stalled(connection, timing_now_ms()))) {
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
    if (admission == DISCONNECT) {
        connection_disconnect(exchange->connection);
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

/* Puts the message that link_next() has found into the exchange. */
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

/* Takes messages out of what has come in, at most BATCH_MAX: a list of exchanges. */
static struct transport_exchange *connection_take(struct connection *connection, enum next *next)
{
    struct transport_server *server = server_of(connection);
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
        /* When stopping, the request is dropped: its client will send it again elsewhere. */
        if (!connections_stopping(&server->acceptor.connections)) {
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

static void rep_received(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct transport_server *server = server_of(connection);
    /* seq_cst: as in acceptor_stopping(). */
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
    link_continue(link, next);
    /* release: pairs with the acquire in server_wait_handlers. */
    atomic_fetch_sub_explicit(&server->working, 1, memory_order_release);
}

static void rep_sent(struct link *link, unsigned messages)
{
    server_settle(server_of(connection_of(link)), messages);
}

static void rep_release(struct link *link)
{
    server_settle(server_of(connection_of(link)), link_unsent(link));
    connection_release(link);
}

const struct link_kind rep_kind = {
    .self = PROTOCOL_REP,
    .peer = PROTOCOL_REQ,
    .chokes = true,
    .greeted = connection_greeted,
    .received = rep_received,
    .sent = rep_sent,
    .down = connection_down,
    .release = rep_release,
};

/* ---- And back ---- */

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
            connection_disconnect(
                connection); /* no memory: otherwise the client would wait for ever */
        }
        server_settle(server, 1);
    }
    exchange_end(exchange);
}

/* ---- Making and freeing ---- */

void exchange_free(struct transport_exchange *exchange)
{
    struct transport_server *server = exchange->server;
    if (exchange->user_made && server->options.user_deinit) {
        server->options.user_deinit(server->options.context, exchange->user);
    }
    free(exchange);
}

enum hf_status exchange_make(struct transport_server *server, struct transport_exchange **out)
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
    CHECK((uintptr_t)exchange->user % CACHE_LINE_BYTES == 0);
    if (options->user_init && !options->user_init(options->context, exchange->user)) {
        return HF_NO_MEMORY;
    }
    exchange->user_made = true;
    exchange->next_free = server->free_exchanges;
    server->free_exchanges = exchange;
    return HF_OK;
}
