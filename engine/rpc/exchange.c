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
    if (server->idle > 0 && (server->running < server->options.handlers || server->watching == 0)) {
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

/* A connection has one request less in hand. Link's lock held. */
static void connection_leave(struct connection *connection)
{
    CHECK(connection->handling > 0);
    connection->handling--;
}

/* The request is dropped without a reply: nobody is there any more to take it. */
static void exchange_drop(struct transport_exchange *exchange)
{
    struct connection *connection = exchange->connection;
    pthread_mutex_lock(&connection->link.lock);
    connection_leave(connection);
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
    pthread_mutex_lock(&link->lock);
    link_wait_less(link, arrival_bytes(arrival));
    bool closed = link->closed;
    pthread_mutex_unlock(&link->lock);
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

/* Adds a reply to what a connection is sent. Link's lock held. False: it is closed, or there is no
 * memory. */
static bool add_reply(struct connection *connection, struct bytes header, struct bytes reply)
{
    struct link *link = &connection->link;
    bool added = link_add(link, header, reply);
    if (!link->closed && link->pending.len > OUTBOX_BYTES_MAX) {
        /* relaxed: as in turns.c. */
        atomic_store_explicit(&connection->queue.clogged, true, memory_order_relaxed);
    }
    return added;
}

/* Gives the link's lock back, and sees to it that what was added is written. `lost`: so many
 * replies could not be added. */
static void finish_replies(struct transport_server *server, struct connection *connection,
                           unsigned lost)
{
    struct link *link = &connection->link;
    bool closed = link->closed;
    link_unlock(link, !write_waits(link) && link_begin_write(link));
    if (gather.count == GATHER_LINKS_MAX) {
        gather_flush();
    }
    if (lost > 0) {
        if (!closed) {
            connection_disconnect(
                connection); /* no memory: otherwise the client would wait for ever */
        }
        server_settle(server, lost);
    }
}

void transport_reply(struct transport_exchange *exchange, struct bytes reply)
{
    CHECK(exchange->handling);
    CHECK(reply.data || reply.len == 0);
    struct transport_server *server = exchange->server;
    struct connection *connection = exchange->connection;
    const struct transport_server_options *options = &server->options;
    pthread_mutex_lock(&connection->link.lock);
    connection_leave(connection);
    bool added = add_reply(connection, exchange->header, reply);
    finish_replies(server, connection, !added);
    if (options->replied) {
        options->replied(options->context, transport_exchange_user(exchange));
    }
    exchange_end(exchange, reply.len);
}

/* ---- Leaving the queue ---- */

static void arrival_free(struct arrival *arrival)
{
    struct link *link = &arrival->connection->link;
    chunk_put(arrival->chunk);
    free(arrival);
    link_put(link);
}

/* An arrival does not wait any more, and is not in hand. Link's lock held. */
static void arrival_leave(const struct arrival *arrival)
{
    struct connection *connection = arrival->connection;
    connection_leave(connection);
    link_wait_less(&connection->link, arrival_bytes(arrival));
}

#define REFUSED_AT_ONCE 64u

/* Takes up to REFUSED_AT_ONCE arrivals of one connection out of a list, and how long each is to
 * wait. */
static unsigned take_refused(struct transport_server *server, struct arrival_list *list,
                             struct arrival *taken[REFUSED_AT_ONCE],
                             uint32_t retry_ms[REFUSED_AT_ONCE])
{
    const struct connection *connection = list->first->connection;
    unsigned count = 0;
    uint64_t now_ns = timing_now_ns();
    pthread_mutex_lock(&server->lock);
    while (list->first && count < REFUSED_AT_ONCE && list->first->connection == connection) {
        taken[count] = arrival_list_take(list);
        retry_ms[count++] = turns_retry_ms(&server->turns, now_ns);
    }
    pthread_mutex_unlock(&server->lock);
    return count;
}

/* Refuses arrivals of one connection: their replies leave together. */
static void refuse_some(struct transport_server *server, struct arrival_list *list)
{
    const struct transport_server_options *options = &server->options;
    struct arrival *taken[REFUSED_AT_ONCE];
    uint32_t retry_ms[REFUSED_AT_ONCE];
    struct connection *connection = list->first->connection;
    unsigned count = take_refused(server, list, taken, retry_ms);
    unsigned lost = 0;
    pthread_mutex_lock(&connection->link.lock);
    connection->refused_ns = timing_now_ns();
    for (unsigned i = 0; i < count; i++) {
        uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX];
        size_t len = options->refuse(options->context, taken[i]->refusal, retry_ms[i], reply);
        CHECK(len <= sizeof reply);
        arrival_leave(taken[i]);
        lost += !add_reply(connection, taken[i]->header, (struct bytes){reply, len});
        atomic_fetch_add_explicit(&server->refused[taken[i]->refusal], 1, memory_order_relaxed);
    }
    finish_replies(server, connection, lost);
    for (unsigned i = 0; i < count; i++) {
        arrival_free(taken[i]);
    }
}

void arrivals_refuse(struct transport_server *server, struct arrival_list *list)
{
    while (list->first) {
        refuse_some(server, list);
    }
}

void headers_refuse(struct transport_server *server, struct connection *connection,
                    const struct bytes *headers, unsigned count, uint64_t cost, uint32_t retry_ms)
{
    const struct transport_server_options *options = &server->options;
    if (count == 0) {
        return;
    }
    /* One reply for all: they came together, and are told to come again together. */
    uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX];
    size_t len = options->refuse(options->context, TRANSPORT_REFUSE_OVERLOAD, retry_ms, reply);
    CHECK(len <= sizeof reply);
    unsigned lost = 0;
    atomic_fetch_add_explicit(&server->active, count, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->refused[TRANSPORT_REFUSE_OVERLOAD], count,
                              memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    turns_note_refused(&server->turns, cost, timing_now_ns());
    pthread_mutex_unlock(&server->lock);
    pthread_mutex_lock(&connection->link.lock);
    connection->refused_ns = timing_now_ns();
    for (unsigned i = 0; i < count; i++) {
        lost += !add_reply(connection, headers[i], (struct bytes){reply, len});
    }
    finish_replies(server, connection, lost);
}

void arrivals_drop(struct transport_server *server, struct arrival_list *list)
{
    struct arrival *arrival;
    while ((arrival = arrival_list_take(list)) != NULL) {
        struct link *link = &arrival->connection->link;
        pthread_mutex_lock(&link->lock);
        arrival_leave(arrival);
        pthread_mutex_unlock(&link->lock);
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
