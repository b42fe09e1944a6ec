/* connection.c - the connections that a server's listeners have accepted. See connection.h. */
#include "rpc/connection.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/test_point.h"
#include "rpc/timing.h"

#define STALLED_MS 250 /* a peer that has taken no message for so long does not read */

/* ---- Connections ---- */

void connection_disconnect(struct connection *connection)
{
    if (link_shut(&connection->link)) {
        atomic_fetch_add_explicit(&connection->set->disconnected, 1, memory_order_relaxed);
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
    struct connections *set = connection->set;
    pthread_mutex_lock(&set->lock);
    connection->counted = true;
    pthread_mutex_unlock(&set->lock);
    test_point("connection_greeted"); /* no lock: in the list, and not in the numbers */
    atomic_fetch_add_explicit(&set->open, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&set->opened_total, 1, memory_order_relaxed);
}

void connection_down(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct connections *set = connection->set;
    pthread_mutex_lock(&set->lock);
    if (connection->counted) {
        atomic_fetch_sub_explicit(&set->open, 1, memory_order_relaxed);
    }
    if (connection->previous) {
        connection->previous->next = connection->next;
    } else {
        CHECK(set->first == connection);
        set->first = connection->next;
    }
    if (connection->next) {
        connection->next->previous = connection->previous;
    }
    pthread_mutex_unlock(&set->lock);
}

void connection_release(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct connections *set = connection->set;
    free(connection);
    pthread_mutex_lock(&set->lock);
    CHECK(set->links > 0);
    set->links--;
    pthread_mutex_unlock(&set->lock);
}

bool connections_are_full(const struct connections *set)
{
    uint32_t max = set->options.connections_max;
    return max > 0 && set->links >= max;
}

/* Counts one more connection. False: they are full. */
static bool connections_add_link(struct connections *set, const char *url)
{
    pthread_mutex_lock(&set->lock);
    bool full = connections_are_full(set);
    bool warn = full && !set->is_full;
    set->is_full = full;
    set->links += !full;
    pthread_mutex_unlock(&set->lock);
    if (warn) {
        diag_warn("%s: %u connections, the most allowed: further ones are refused", url,
                  set->options.connections_max);
    }
    return !full;
}

void connection_begin(struct connections *set, nng_stream *stream, bool is_ipc, const char *url)
{
    struct connection *connection =
        connections_stopping(set) ? NULL : calloc(1, sizeof *connection);
    if (!connection || !connections_add_link(set, url)) {
        free(connection);
        nng_stream_free(stream);
        return;
    }
    connection->set = set;
    test_point("connection_begin"); /* no lock: counted, and not in the list */
    if (!link_init(&connection->link, set->options.kind, set, stream, is_ipc,
                   set->options.message_bytes_max, &set->budget)) {
        return;
    }
    pthread_mutex_lock(&set->lock);
    connection->next = set->first;
    if (set->first) {
        set->first->previous = connection;
    }
    set->first = connection;
    pthread_mutex_unlock(&set->lock);
    link_start(&connection->link);
}

/* ---- All of them ---- */

void connections_init(struct connections *set, const struct connection_options *options)
{
    set->options = *options;
    set->budget.max = options->memory_bytes_max;
    pthread_mutex_init(&set->lock, NULL);
}

void connections_stop(struct connections *set)
{
    /* seq_cst: as in connections_stopping(). */
    atomic_store_explicit(&set->stopping, true, memory_order_seq_cst);
}

bool connections_close_first(struct connections *set)
{
    pthread_mutex_lock(&set->lock);
    struct connection *connection = set->first;
    while (connection && connection->closing) {
        connection = connection->next;
    }
    bool any = set->first != NULL;
    if (connection) {
        connection->closing = true;
        link_get(&connection->link);
    }
    pthread_mutex_unlock(&set->lock);
    if (connection) {
        (void)link_shut(&connection->link);
        link_put(&connection->link);
    } else if (any) {
        timing_pause_ms(1);
    }
    return any;
}

static bool connections_have_links(struct connections *set)
{
    pthread_mutex_lock(&set->lock);
    bool any = set->links > 0;
    pthread_mutex_unlock(&set->lock);
    return any;
}

void connections_wait_released(struct connections *set)
{
    while (connections_have_links(set)) {
        timing_pause_ms(1);
    }
}

void connections_deinit(struct connections *set)
{
    /* Links have returned all that they had counted. relaxed: nobody counts any more. */
    CHECK(!set->first);
    CHECK(atomic_load_explicit(&set->budget.used, memory_order_relaxed) == 0);
    pthread_mutex_destroy(&set->lock);
}
