/* transport_server.c - REP: opening a server, draining it, ending it.
 *
 * Threads: one opens and ends a server. */
#include <stdlib.h>

#include "base/check.h"
#include "base/limits.h"
#include "rpc/exchange.h"
#include "rpc/handlers.h"
#include "rpc/timing.h"
#include "rpc/transport.h"

#define QUEUE_INTERVAL_NS 100000000u
#define POLL_MS           2  /* between two checks of what has to end */
#define LINGER_MS         20 /* for the peer to take the last replies before the connection goes */

/* ---- Opening ---- */

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

/* Connections of which something may wait: some more than are open, for those that are ending. */
static unsigned lanes_max(uint32_t connections_max)
{
    return 2 * (connections_max > 0 ? connections_max : SERVER_CONNECTIONS_MAX) + 64;
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
    if (server->options.per_connection == 0) {
        server->options.per_connection = options->contexts > 1 ? options->contexts / 2 : 1;
    }
    if (server->options.handlers == 0) {
        server->options.handlers = handlers_default();
    }
    if (server->options.queue_interval_ns == 0) {
        server->options.queue_interval_ns = QUEUE_INTERVAL_NS;
    }
    if (!turns_init(&server->turns, lanes_max(options->connections_max),
                    server->options.queue_target_ns, server->options.queue_interval_ns,
                    timing_now_ns())) {
        free(server);
        return HF_NO_MEMORY;
    }
    pthread_mutex_init(&server->lock, NULL);
    timing_cond_init(&server->wake);
    acceptor_init(&server->acceptor, &(struct connection_options){
                                         .kind = &rep_kind,
                                         .message_bytes_max = options->message_bytes_max,
                                         .memory_bytes_max = options->memory_bytes_max,
                                         .connections_max = options->connections_max,
                                         .idle_ms_max = options->idle_ms_max,
                                         .per_address = options->per_address,
                                         .in_hand_max = server->options.per_connection,
                                         .send_timeout_ms = options->send_timeout_ms,
                                     });
    enum hf_status status = server_open_exchanges(server);
    if (status == HF_OK) {
        status = handlers_start(server);
    }
    if (status == HF_OK) {
        status = acceptor_start(&server->acceptor);
    }
    if (status != HF_OK) {
        transport_server_close(server);
        return status;
    }
    *out = server;
    return HF_OK;
}

enum hf_status transport_server_listen(struct transport_server *server, const char *url,
                                       char *actual_url, size_t actual_url_bytes)
{
    return acceptor_listen(&server->acceptor, url, actual_url, actual_url_bytes);
}

/* ---- Ending ---- */

void transport_server_drain(struct transport_server *server, uint32_t timeout_ms)
{
    uint64_t until_ms = timing_now_ms() + timeout_ms;
    acceptor_stop(&server->acceptor);
    /* acquire: pairs with the release in server_settle(). */
    while (atomic_load_explicit(&server->active, memory_order_acquire) > 0 &&
           timing_now_ms() < until_ms) {
        timing_pause_ms(POLL_MS);
    }
    handlers_stop(server);
    timing_pause_ms(LINGER_MS);
}

void transport_server_close(struct transport_server *server)
{
    acceptor_stop(&server->acceptor);
    while (connections_close_first(&server->acceptor.connections)) {
    }
    handlers_stop(server);
    for (unsigned i = 0; i < server->exchange_count; i++) {
        if (server->exchanges[i] && server->exchanges[i]->connection) {
            exchange_end(server->exchanges[i], 0); /* nobody will answer it */
        }
    }
    connections_wait_released(&server->acceptor.connections);
    for (unsigned i = 0; i < server->exchange_count; i++) {
        if (server->exchanges[i]) {
            exchange_free(server->exchanges[i]);
        }
    }
    free(server->exchanges);
    turns_deinit(&server->turns);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    acceptor_deinit(&server->acceptor);
    free(server);
}

void transport_server_stats(struct transport_server *server, struct transport_server_stats *stats)
{
    /* Counters for people: relaxed, each is right by itself. */
    const struct acceptor *acceptor = &server->acceptor;
    stats->connections = atomic_load_explicit(&acceptor->connections.open, memory_order_relaxed);
    stats->connections_total =
        atomic_load_explicit(&acceptor->connections.opened_total, memory_order_relaxed);
    stats->requests = atomic_load_explicit(&server->requests, memory_order_relaxed);
    stats->relistens = atomic_load_explicit(&acceptor->watchdog.relistens, memory_order_relaxed);
    stats->disconnected =
        atomic_load_explicit(&acceptor->connections.disconnected, memory_order_relaxed);
    stats->refused_crowd =
        atomic_load_explicit(&server->refused[TRANSPORT_REFUSE_CROWD], memory_order_relaxed);
    stats->refused_overload =
        atomic_load_explicit(&server->refused[TRANSPORT_REFUSE_OVERLOAD], memory_order_relaxed);
    stats->refused_late =
        atomic_load_explicit(&server->refused[TRANSPORT_REFUSE_LATE], memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    stats->waiting = turns_waiting(&server->turns);
    stats->overloaded = turns_overloaded(&server->turns, TRANSPORT_NEW, timing_now_ns());
    pthread_mutex_unlock(&server->lock);
}
