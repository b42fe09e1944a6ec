/* connection.c - the connections that a server's listeners have accepted. See connection.h. */
#include "rpc/connection.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/test_point.h"
#include "rpc/timing.h"

#define STALLED_MS 250 /* a peer that has taken no message for so long does not read */

/* ---- Connections ---- */

/* The connection gives its place up: it is closed, or is going to be. Set's lock held. */
static void connection_leave(struct connection *connection)
{
    struct connections *set = connection->set;
    if (!connection->stays) {
        return;
    }
    CHECK(set->staying > 0);
    set->staying--;
    connection->stays = false;
    room_forget(set, connection);
    peers_remove(&set->peers, connection->peer);
    connection->peer = NULL;
}

void connection_disconnect(struct connection *connection)
{
    struct connections *set = connection->set;
    if (link_shut(&connection->link)) {
        atomic_fetch_add_explicit(&set->disconnected, 1, memory_order_relaxed);
        pthread_mutex_lock(&set->lock);
        connection_leave(connection);
        pthread_mutex_unlock(&set->lock);
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
    CHECK(connection->listed);
    CHECK(!connection->down);
    if (connection->counted) {
        atomic_fetch_sub_explicit(&set->open, 1, memory_order_relaxed);
    }
    connection->counted = false;
    connection->down = true;
    connection_leave(connection);
    CHECK(set->reading > 0);
    set->reading--;
    pthread_mutex_unlock(&set->lock);
}

/* Set's lock held. */
static void connection_unlist(struct connection *connection)
{
    struct connections *set = connection->set;
    if (connection->previous) {
        connection->previous->next = connection->next;
    } else {
        CHECK(set->first == connection);
        set->first = connection->next;
    }
    if (connection->next) {
        connection->next->previous = connection->previous;
    }
}

void connection_release(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct connections *set = connection->set;
    pthread_mutex_lock(&set->lock);
    CHECK(connection->down == connection->listed);
    connection_leave(connection); /* one that never began has its place still */
    if (connection->listed) {
        connection_unlist(connection);
    }
    CHECK(set->links > 0);
    set->links--;
    pthread_mutex_unlock(&set->lock);
    free(connection);
}

/* ---- Places ---- */

/* What became of a newcomer. */
enum place {
    PLACE_FREE,    /* it has a place */
    PLACE_MADE,    /* it has the place of another */
    PLACE_ADDRESS, /* refused: its address has as many as it may */
    PLACE_NONE,    /* refused: no place, or no memory */
};

/* The most that may be there, those that have no place any more included. */
static uint32_t links_max(const struct connections *set)
{
    uint32_t max = set->options.connections_max;
    return max + (max / 8 + 1 < CONNECTIONS_SPARE ? max / 8 + 1 : CONNECTIONS_SPARE);
}

/* Finds a place for a newcomer. *going: the connection whose place it is, with a reference. Lock
 * held. */
static enum place place_find(struct connections *set, uint64_t address, struct connection **going)
{
    const struct connection_options *options = &set->options;
    const struct peer *peer = peers_find(&set->peers, address);
    if (options->per_address > 0 && peer && peer->connections >= options->per_address) {
        return PLACE_ADDRESS;
    }
    if (options->connections_max == 0 || set->staying < options->connections_max) {
        return options->connections_max == 0 || set->links < links_max(set) ? PLACE_FREE
                                                                            : PLACE_NONE;
    }
    *going = set->links < links_max(set) ? room_make(set, address) : NULL;
    if (!*going) {
        return PLACE_NONE;
    }
    CHECK(!(*going)->down);
    connection_leave(*going);
    link_get(&(*going)->link);
    return PLACE_MADE;
}

/* Gives the newcomer its place. Lock held. False: no memory. */
static bool place_take(struct connection *connection, uint64_t address)
{
    struct connections *set = connection->set;
    if (address != PEERS_NO_ADDRESS) {
        connection->peer = peers_add(&set->peers, address);
        if (!connection->peer) {
            return false;
        }
    }
    connection->stays = true;
    set->staying++;
    set->links++;
    CHECK(set->links >= set->staying);
    return true;
}

/* Whether what became of a newcomer is to be said: each thing once, until there is room again. Lock
 * held. */
static bool place_is_news(struct connections *set, enum place place, uint64_t address)
{
    uint32_t max = set->options.connections_max;
    struct peer *peer = place == PLACE_ADDRESS ? peers_find(&set->peers, address) : NULL;
    bool *said = peer                  ? &peer->warned
                 : place == PLACE_MADE ? &set->is_full
                 : place == PLACE_NONE ? &set->is_refused
                                       : NULL;
    if (place == PLACE_FREE && set->staying < max - max / 8) {
        set->is_full = false;
        set->is_refused = false;
    }
    bool news = said && !*said;
    if (news) {
        *said = true;
    }
    return news;
}

static void place_say(const struct connections *set, enum place place, uint64_t address,
                      const char *url)
{
    char text[PEERS_ADDRESS_TEXT];
    if (place == PLACE_ADDRESS) {
        peers_address_text(address, text);
        diag_warn("%s: %s has %u connections, the most allowed of one address: further ones are "
                  "refused",
                  url, text, set->options.per_address);
    } else if (place == PLACE_MADE) {
        diag_warn("%s: %u connections, the most allowed: those that are quiet are closed to make "
                  "room for new ones",
                  url, set->options.connections_max);
    } else {
        diag_warn("%s: %u connections, the most allowed, and none may be closed for another: "
                  "further ones are refused",
                  url, set->options.connections_max);
    }
}

/* Takes a place for a newcomer: a free one, or that of another, which is closed. False: none. */
static bool connections_place(struct connections *set, struct connection *connection,
                              uint64_t address, const char *url)
{
    struct connection *going = NULL;
    pthread_mutex_lock(&set->lock);
    enum place place = place_find(set, address, &going);
    bool taken = (place == PLACE_FREE || place == PLACE_MADE) && place_take(connection, address);
    bool news = place_is_news(set, place, address);
    pthread_mutex_unlock(&set->lock);
    if (news) {
        place_say(set, place, address, url);
    }
    if (going) {
        (void)link_shut(&going->link);
        link_put(&going->link);
    }
    return taken;
}

void connection_begin(struct connections *set, nng_stream *stream, bool is_ipc, const char *url)
{
    struct connection *connection =
        connections_stopping(set) ? NULL : calloc(1, sizeof *connection);
    if (connection) {
        connection->set = set;
    }
    if (!connection || !connections_place(set, connection, peers_address(stream), url)) {
        free(connection);
        nng_stream_free(stream);
        return;
    }
    test_point("connection_begin"); /* no lock: counted, and not in the list */
    if (!link_init(&connection->link, set->options.kind, set, stream, is_ipc,
                   set->options.message_bytes_max, &set->budget)) {
        return;
    }
    pthread_mutex_lock(&set->lock);
    connection->listed = true;
    set->reading++;
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
    budget_init(&set->budget, options->memory_bytes_max, !options->loses_messages);
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
    while (connection && (connection->closing || connection->down)) {
        connection = connection->next;
    }
    bool any = set->reading > 0;
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
    CHECK(set->staying == 0);
    CHECK(!peers_greatest(&set->peers));
    CHECK(atomic_load_explicit(&set->budget.used, memory_order_relaxed) == 0);
    pthread_mutex_destroy(&set->lock);
}
