/* room.h - who makes room for a newcomer when all places are taken.
 *
 * A connection is quiet since its handshake or its last whole message came, or its last reply left,
 * whichever is later; while replies are unread, since it last took one; before its handshake, since
 * it was accepted. It is never quiet while the engine has a request of it, in hand or waiting. In
 * this order, and of the same kind the one that has been quiet longest first:
 *
 * 1. a connection whose handshake has not come ROOM_GREETING_MS after it was accepted;
 * 2. where one address has more than 1/ROOM_SHARE of the places, and the newcomer comes from
 *    another: a quiet connection of that address, even one that was active just now;
 * 3. a connection that has been quiet for idle_ms_max.
 *
 * Otherwise the newcomer is refused. Where idle_ms_max is 0, only the first rule holds: subscribers
 * are quiet by nature.
 *
 * Threads: under the lock of the connections. */
#ifndef RPC_ROOM_H
#define RPC_ROOM_H

#include <stdint.h>

struct connection;
struct connections;

#define ROOM_GREETING_MS 1000u
#define ROOM_SHARE       2u
#define ROOM_FOUND_MAX   32u

/* Those that were found last to make room, the first to go first. One search serves many newcomers:
 * it looks at every connection. */
struct room {
    struct room_found {
        struct connection *connection; /* NULL: has gone */
        uint64_t since_ms;             /* quiet since */
        unsigned rule;                 /* 1..3 */
    } found[ROOM_FOUND_MAX];
    unsigned count;
    unsigned next;
    uint64_t greatest; /* at the last search: the address with more than its share, or none */
    uint64_t empty_ms; /* when a search found nothing; 0: never */
};

/* The connection that must go for a newcomer from that address. NULL: none. Looks at all
 * connections at most once for ROOM_FOUND_MAX newcomers, and at most every 20 ms when it finds
 * nothing. Lock held. */
struct connection *room_make(struct connections *set, uint64_t address);

/* A connection is going, whatever for. Lock held. */
void room_forget(struct connections *set, const struct connection *connection);

#endif
