/* acceptor.c - the connections that listeners have accepted: how many, who is a burden, how they
 * end.
 *
 * Threads: any. A connection is in the list as long as it is read from. */
#include "rpc/transport_private.h"

#include "base/diag.h"
#include "base/test_point.h"

#define STALLED_MS 250 /* a connection that took no message for so long does not read */

/* ---- Connections ---- */

void connection_cut_off(struct connection *connection)
{
    if (link_shut(&connection->link)) {
        atomic_fetch_add_explicit(&connection->acceptor->cut_off, 1, memory_order_relaxed);
    }
}

bool connection_stalled(const struct connection *connection, uint64_t now)
{
    const struct link *link = &connection->link;
    return link_unsent(link) > 0 && now - link->progress_ms >= STALLED_MS;
}

void connection_greeted(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct acceptor *acceptor = connection->acceptor;
    pthread_mutex_lock(&acceptor->lock);
    connection->counted = true;
    pthread_mutex_unlock(&acceptor->lock);
    test_point("connection_greeted"); /* no lock: in the list, and not in the numbers */
    atomic_fetch_add_explicit(&acceptor->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&acceptor->connections_total, 1, memory_order_relaxed);
}

void connection_down(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct acceptor *acceptor = connection->acceptor;
    pthread_mutex_lock(&acceptor->lock);
    if (connection->counted) {
        atomic_fetch_sub_explicit(&acceptor->connections, 1, memory_order_relaxed);
    }
    if (connection->previous) {
        connection->previous->next = connection->next;
    } else {
        acceptor->first = connection->next;
    }
    if (connection->next) {
        connection->next->previous = connection->previous;
    }
    pthread_mutex_unlock(&acceptor->lock);
}

void connection_release(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct acceptor *acceptor = connection->acceptor;
    free(connection);
    pthread_mutex_lock(&acceptor->lock);
    acceptor->links--;
    pthread_mutex_unlock(&acceptor->lock);
}

bool acceptor_is_full(const struct acceptor *acceptor)
{
    uint32_t max = acceptor->options.connections_max;
    return max > 0 && acceptor->links >= max;
}

/* Counts one more connection. False: there are as many as may be. */
static bool acceptor_add_link(struct acceptor *acceptor, const char *url)
{
    pthread_mutex_lock(&acceptor->lock);
    bool full = acceptor_is_full(acceptor);
    bool tell = full && !acceptor->is_full;
    acceptor->is_full = full;
    acceptor->links += !full;
    pthread_mutex_unlock(&acceptor->lock);
    if (tell) {
        diag_warn("%s: %u connections, as many as may be: further ones are refused", url,
                  acceptor->options.connections_max);
    }
    return !full;
}

void connection_begin(const struct listener *listener, nng_stream *stream)
{
    struct acceptor *acceptor = listener->acceptor;
    struct connection *connection =
        acceptor_stopping(acceptor) ? NULL : calloc(1, sizeof *connection);
    if (!connection || !acceptor_add_link(acceptor, listener->url)) {
        free(connection);
        nng_stream_free(stream);
        return;
    }
    connection->acceptor = acceptor;
    test_point("connection_begin"); /* no lock: counted, and not in the list */
    if (!link_init(&connection->link, acceptor->options.kind, acceptor, stream, listener->is_ipc,
                   acceptor->options.message_bytes_max, &acceptor->budget)) {
        return;
    }
    pthread_mutex_lock(&acceptor->lock);
    connection->next = acceptor->first;
    if (acceptor->first) {
        acceptor->first->previous = connection;
    }
    acceptor->first = connection;
    pthread_mutex_unlock(&acceptor->lock);
    link_start(&connection->link);
}

/* ---- All of them ---- */

void acceptor_init(struct acceptor *acceptor, const struct acceptor_options *options)
{
    acceptor->options = *options;
    acceptor->budget.max = options->memory_bytes_max;
    pthread_mutex_init(&acceptor->lock, NULL);
    cond_init_monotonic(&acceptor->wake);
}

/* Not under the lock: a callback that accepts takes it. */
static void close_listeners(struct acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->listener_count; i++) {
        listener_stop(acceptor->listeners[i]);
        free(acceptor->listeners[i]);
    }
    acceptor->listener_count = 0;
}

void acceptor_stop(struct acceptor *acceptor)
{
    /* seq_cst: as in acceptor_stopping(). */
    atomic_store_explicit(&acceptor->stopping, true, memory_order_seq_cst);
    watchdog_stop(acceptor);
    close_listeners(acceptor);
}

bool acceptor_close_first(struct acceptor *acceptor)
{
    pthread_mutex_lock(&acceptor->lock);
    struct connection *connection = acceptor->first;
    while (connection && connection->closing) {
        connection = connection->next;
    }
    bool any = acceptor->first != NULL;
    if (connection) {
        connection->closing = true;
        link_get(&connection->link);
    }
    pthread_mutex_unlock(&acceptor->lock);
    if (connection) {
        (void)link_shut(&connection->link);
        link_put(&connection->link);
    } else if (any) {
        pause_ms(1);
    }
    return any;
}

static bool acceptor_has_links(struct acceptor *acceptor)
{
    pthread_mutex_lock(&acceptor->lock);
    bool any = acceptor->links > 0;
    pthread_mutex_unlock(&acceptor->lock);
    return any;
}

void acceptor_wait_released(struct acceptor *acceptor)
{
    while (acceptor_has_links(acceptor)) {
        pause_ms(1);
    }
}

void acceptor_deinit(struct acceptor *acceptor)
{
    /* Links have given back all that was counted. relaxed: nobody counts any more. */
    CHECK(atomic_load_explicit(&acceptor->budget.used, memory_order_relaxed) == 0);
    pthread_cond_destroy(&acceptor->wake);
    pthread_mutex_destroy(&acceptor->lock);
}
