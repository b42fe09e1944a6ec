/* peers.h - how many connections each peer address has.
 *
 * An address is an IPv4 address, or the first 64 bits of an IPv6 address: whoever has one of these
 * usually has all of its lower 64. Loopback is one address, over IPv4 and IPv6. Connections over
 * ipc have none and are not counted.
 *
 * Threads: guarded by the lock of the connections that it belongs to. */
#ifndef RPC_PEERS_H
#define RPC_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/nng.h"

#define PEERS_BUCKETS      4096u
#define PEERS_NO_ADDRESS   0u
#define PEERS_ADDRESS_TEXT 64u

/* One address that has connections. */
struct peer {
    struct peer *next; /* in its bucket */
    uint64_t address;
    unsigned connections;
    bool warned; /* one was refused, and a warning was written */
};

struct peers {
    struct peer *buckets[PEERS_BUCKETS];
};

/* The address of a stream's other end. PEERS_NO_ADDRESS: ipc, or it has gone already. */
uint64_t peers_address(nng_stream *stream);

/* The address as people write it. */
void peers_address_text(uint64_t address, char text[PEERS_ADDRESS_TEXT]);

/* Counts one more connection of an address. NULL: no memory. Not PEERS_NO_ADDRESS. */
struct peer *peers_add(struct peers *peers, uint64_t address);

/* One connection fewer. The peer is freed with its last one. NULL: nothing. */
void peers_remove(struct peers *peers, struct peer *peer);

/* The address's entry. NULL: it has no connection. */
struct peer *peers_find(const struct peers *peers, uint64_t address);

/* The address that has the most connections. NULL: there is none. O(addresses). */
const struct peer *peers_greatest(const struct peers *peers);

#endif
