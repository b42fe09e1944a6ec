/* room.c - who makes room for a newcomer when all places are taken. See room.h. */
#include "rpc/room.h"

#include <string.h>

#include "base/check.h"
#include "rpc/connection.h"
#include "rpc/timing.h"

#define SEARCH_EVERY_MS 20u /* after a search that found nothing */
#define NOT_QUIET       UINT64_MAX

/* What a search goes by. */
struct search {
    uint64_t now;
    uint64_t greatest; /* the address with more than its share; PEERS_NO_ADDRESS: none */
    uint64_t idle_ms_max;
};

static uint64_t address_of(const struct connection *connection)
{
    return connection->peer ? connection->peer->address : PEERS_NO_ADDRESS;
}

/* Since when the connection is quiet. NOT_QUIET: it is not, or is being closed. Link's lock held.
 */
static uint64_t quiet_since(const struct connection *connection)
{
    const struct link *link = &connection->link;
    if (link->closed || connection->handling > 0) {
        return NOT_QUIET;
    }
    if (!connection->counted) {
        return link->made_ms;
    }
    if (link_unsent(link) > 0) {
        return link->progress_ms;
    }
    /* relaxed: written by the thread that reads; a newer value only means less quiet. */
    uint64_t said_ms = atomic_load_explicit(&link->said_ms, memory_order_relaxed);
    uint64_t last_ms = said_ms > link->progress_ms ? said_ms : link->progress_ms;
    return last_ms > link->made_ms ? last_ms : link->made_ms;
}

/* By which rule a connection would make room for a newcomer from the address, and since when it is
 * quiet. 0: by none. */
static unsigned rule_of(const struct search *search, struct connection *connection,
                        uint64_t newcomer, uint64_t *since_ms)
{
    struct link *link = &connection->link;
    pthread_mutex_lock(&link->lock);
    *since_ms = quiet_since(connection);
    pthread_mutex_unlock(&link->lock);
    uint64_t quiet_ms = search->now > *since_ms ? search->now - *since_ms : 0;
    if (!connection->counted && quiet_ms >= ROOM_GREETING_MS) {
        return 1;
    }
    if (*since_ms == NOT_QUIET || search->idle_ms_max == 0) {
        return 0;
    }
    if (search->greatest != PEERS_NO_ADDRESS && address_of(connection) == search->greatest &&
        newcomer != search->greatest) {
        return 2;
    }
    return connection->counted && quiet_ms >= search->idle_ms_max ? 3 : 0;
}

static bool goes_before(const struct room_found *a, const struct room_found *b)
{
    return a->rule != b->rule ? a->rule < b->rule : a->since_ms < b->since_ms;
}

/* Keeps the first ROOM_FOUND_MAX, in order. */
static void room_keep(struct room *room, const struct room_found *found)
{
    if (room->count == ROOM_FOUND_MAX) {
        if (!goes_before(found, &room->found[room->count - 1])) {
            return;
        }
        room->count--;
    }
    unsigned at = room->count++;
    while (at > 0 && goes_before(found, &room->found[at - 1])) {
        room->found[at] = room->found[at - 1];
        at--;
    }
    room->found[at] = *found;
}

/* The address has more than its share. */
static bool is_over(const struct connections *set, const struct peer *peer)
{
    return peer && peer->connections > set->options.connections_max / ROOM_SHARE;
}

static void room_search(struct connections *set, struct search *search, uint64_t newcomer)
{
    struct room *room = &set->room;
    const struct peer *greatest = peers_greatest(&set->peers);
    room->greatest = is_over(set, greatest) ? greatest->address : PEERS_NO_ADDRESS;
    search->greatest = room->greatest;
    room->count = 0;
    room->next = 0;
    for (struct connection *at = set->first; at; at = at->next) {
        struct room_found found = {.connection = at};
        if (at->stays) {
            found.rule = rule_of(search, at, newcomer, &found.since_ms);
        }
        if (found.rule != 0) {
            room_keep(room, &found);
        }
    }
    room->empty_ms = room->count == 0 ? search->now : 0;
}

/* The next of those found for whom a rule still holds. */
static struct connection *room_next(struct room *room, const struct search *search,
                                    uint64_t newcomer)
{
    while (room->next < room->count) {
        struct room_found *found = &room->found[room->next++];
        uint64_t since_ms;
        if (found->connection && found->connection->stays &&
            rule_of(search, found->connection, newcomer, &since_ms) == found->rule &&
            since_ms == found->since_ms) {
            return found->connection;
        }
    }
    return NULL;
}

struct connection *room_make(struct connections *set, uint64_t address)
{
    struct room *room = &set->room;
    bool over = is_over(set, peers_find(&set->peers, room->greatest));
    struct search search = {.now = timing_now_ms(),
                            .greatest = over ? room->greatest : PEERS_NO_ADDRESS,
                            .idle_ms_max = set->options.idle_ms_max};
    struct connection *connection = room_next(room, &search, address);
    bool soon = room->empty_ms != 0 && search.now - room->empty_ms < SEARCH_EVERY_MS;
    if (!connection && !soon) {
        room_search(set, &search, address);
        connection = room_next(room, &search, address);
    }
    return connection;
}

void room_forget(struct connections *set, const struct connection *connection)
{
    for (unsigned i = set->room.next; i < set->room.count; i++) {
        if (set->room.found[i].connection == connection) {
            set->room.found[i].connection = NULL;
        }
    }
}
