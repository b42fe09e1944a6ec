/* exchange.c - REP: requests in hand, from the handler and back. See exchange.h. */
#include "rpc/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "rpc/link_receive.h"
#include "rpc/link_send.h"
#include "rpc/timing.h"

/* ---- Exchanges ---- */

void server_settle(struct transport_server *server, unsigned requests)
{
    /* release: pairs with the acquire in transport_server_drain(). */
    unsigned before = atomic_fetch_sub_explicit(&server->active, requests, memory_order_release);
    CHECK(before >= requests);
}

void server_wake(struct transport_server *server)
{
    if (server->idle > 0 && server->running < server->options.handlers) {
        pthread_cond_signal(&server->wake);
    }
}

struct transport_exchange *exchange_take(struct transport_server *server)
{
    struct transport_exchange *exchange = server->free_exchanges;
    CHECK(exchange != NULL);
    CHECK(!exchange->connection);
    CHECK(!exchange->handling);
    CHECK(server->free_count > 0);
    server->free_exchanges = exchange->next_free;
    server->free_count--;
    return exchange;
}

void exchange_end(struct transport_exchange *exchange, uint64_t cost)
{
    struct transport_server *server = exchange->server;
    struct connection *connection = exchange->connection;
    CHECK(connection);
    chunk_put(exchange->chunk);
    exchange->chunk = NULL;
    exchange->connection = NULL;
    exchange->handling = false;
    pthread_mutex_lock(&server->lock);
    exchange->next_free = server->free_exchanges;
    server->free_exchanges = exchange;
    server->free_count++;
    turns_charge(&server->turns, &connection->queue, exchange->class, cost);
    if (turns_waiting(&server->turns)) {
        server_wake(server);
    }
    pthread_mutex_unlock(&server->lock);
    link_put(&connection->link);
}

/* ---- To the handler ---- */

/* The request is dropped without a reply: nobody is there any more to take it. */
static void exchange_drop(struct transport_exchange *exchange)
{
    struct connection *connection = exchange->connection;
    pthread_mutex_lock(&connection->link.lock);
    CHECK(connection->handling > 0);
    connection->handling--;
    pthread_mutex_unlock(&connection->link.lock);
    server_settle(exchange->server, 1);
    exchange_end(exchange, 0);
}

void exchange_begin(struct transport_exchange *exchange, struct arrival *arrival)
{
    struct transport_server *server = exchange->server;
    const struct transport_server_options *options = &server->options;
    struct link *link = &arrival->connection->link;
    exchange->connection = arrival->connection;
    exchange->chunk = arrival->chunk;
    exchange->header = arrival->header;
    exchange->body = arrival->body;
    exchange->received_ns = arrival->received_ns;
    exchange->class = arrival->class;
    exchange->next_free = NULL;
    bool closed = link_wait_less(link, arrival_bytes(arrival));
    free(arrival);
    if (closed) {
        exchange_drop(exchange);
        return;
    }
    exchange->handling = true;
    atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    options->handle(options->context, exchange);
}

/* ---- And back ---- */

struct bytes transport_exchange_body(const struct transport_exchange *exchange)
{
    CHECK(exchange->handling);
    return exchange->body;
}

uint64_t transport_exchange_received_ns(const struct transport_exchange *exchange)
{
    CHECK(exchange->handling);
    return exchange->received_ns;
}

void *transport_exchange_user(struct transport_exchange *exchange)
{
    return exchange->user;
}

uint32_t transport_retry_ms(const struct transport_exchange *exchange)
{
    struct transport_server *server = exchange->server;
    pthread_mutex_lock(&server->lock);
    uint32_t retry_ms = turns_retry_ms(&server->turns, timing_now_ns());
    pthread_mutex_unlock(&server->lock);
    return retry_ms;
}

/* Links whose replies wait until this thread has given more of them. */
#define GATHER_LINKS_MAX 64u
static _Thread_local struct gather {
    bool on;
    unsigned count;
    struct link *links[GATHER_LINKS_MAX]; /* with a reference each */
} gather;

static void gather_flush(void)
{
    for (unsigned i = 0; i < gather.count; i++) {
        struct link *link = gather.links[i];
        pthread_mutex_lock(&link->lock);
        link->gathered = false;
        link_unlock(link, link_begin_write(link));
        link_put(link);
    }
    gather.count = 0;
}

void transport_gather_begin(void)
{
    CHECK(!gather.on);
    gather.on = true;
}

void transport_gather_end(void)
{
    CHECK(gather.on);
    gather_flush();
    gather.on = false;
}

/* The link's write may wait for more: the thread will write it. Link's lock held. */
static bool write_waits(struct link *link)
{
    if (corked == link) {
        return true;
    }
    if (!gather.on) {
        return false;
    }
    if (!link->gathered) {
        link->gathered = true;
        link_get(link);
        gather.links[gather.count++] = link;
    }
    return true;
}

/* Adds a reply to what its connection is sent. `handling`: requests that are not in hand any more.
 * Without the lock. */
static void send_reply(struct transport_server *server, struct connection *connection,
                       struct bytes header, struct bytes reply, unsigned handling)
{
    struct link *link = &connection->link;
    pthread_mutex_lock(&link->lock);
    CHECK(connection->handling >= handling);
    connection->handling -= handling;
    bool added = link_add(link, header, reply);
    bool closed = link->closed;
    if (link->pending.len > OUTBOX_BYTES_MAX) {
        /* relaxed: as in turns.c. */
        atomic_store_explicit(&connection->queue.clogged, true, memory_order_relaxed);
    }
    link_unlock(link, added && !write_waits(link) && link_begin_write(link));
    if (gather.count == GATHER_LINKS_MAX) {
        gather_flush();
    }
    if (!added) {
        if (!closed) {
            connection_disconnect(
                connection); /* no memory: otherwise the client would wait for ever */
        }
        server_settle(server, 1);
    }
}

void transport_reply(struct transport_exchange *exchange, struct bytes reply)
{
    CHECK(exchange->handling);
    CHECK(reply.data || reply.len == 0);
    struct transport_server *server = exchange->server;
    const struct transport_server_options *options = &server->options;
    send_reply(server, exchange->connection, exchange->header, reply, 1);
    if (options->replied) {
        options->replied(options->context, transport_exchange_user(exchange));
    }
    exchange_end(exchange, reply.len);
}

void server_refuse(struct transport_server *server, struct connection *connection,
                   struct bytes header, enum transport_refusal why)
{
    const struct transport_server_options *options = &server->options;
    uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX];
    pthread_mutex_lock(&server->lock);
    uint32_t retry_ms = turns_retry_ms(&server->turns, timing_now_ns());
    pthread_mutex_unlock(&server->lock);
    size_t len = options->refuse(options->context, why, retry_ms, reply);
    CHECK(len <= sizeof reply);
    atomic_fetch_add_explicit(&server->refused[why], 1, memory_order_relaxed);
    send_reply(server, connection, header, (struct bytes){reply, len}, 0);
}

/* ---- Leaving the queue ---- */

static void connection_leave(struct connection *connection)
{
    pthread_mutex_lock(&connection->link.lock);
    CHECK(connection->handling > 0);
    connection->handling--;
    pthread_mutex_unlock(&connection->link.lock);
}

static void arrival_free(struct arrival *arrival)
{
    struct link *link = &arrival->connection->link;
    chunk_put(arrival->chunk);
    free(arrival);
    link_put(link);
}

void arrivals_refuse(struct transport_server *server, struct arrival_list *list)
{
    struct link *outer = corked;
    struct arrival *arrival;
    while ((arrival = arrival_list_take(list)) != NULL) {
        struct connection *connection = arrival->connection;
        bool last = !list->first || list->first->connection != connection;
        corked = last ? outer : &connection->link; /* the last one's write takes all */
        link_wait_less(&connection->link, arrival_bytes(arrival));
        connection_leave(connection);
        server_refuse(server, connection, arrival->header, arrival->refusal);
        arrival_free(arrival);
    }
    corked = outer;
}

void arrivals_drop(struct transport_server *server, struct arrival_list *list)
{
    struct arrival *arrival;
    while ((arrival = arrival_list_take(list)) != NULL) {
        link_wait_less(&arrival->connection->link, arrival_bytes(arrival));
        connection_leave(arrival->connection);
        server_settle(server, 1);
        arrival_free(arrival);
    }
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
    server->free_count++;
    return HF_OK;
}
