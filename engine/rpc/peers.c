/* peers.c - how many connections each peer address has. See peers.h. */
#include "rpc/peers.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* IPv4 addresses are kept in 0:1::/32 of IPv6, where no peer is. */
#define PEERS_IPV4 ((uint64_t)1 << 32)

static uint64_t address_of_ipv4(uint32_t big_endian)
{
    uint32_t host = ntohl(big_endian);
    return PEERS_IPV4 | (host >> 24 == 127 ? 0x7f000001u : host);
}

static uint64_t address_of_ipv6(const uint8_t bytes[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    if (memcmp(bytes, mapped, sizeof mapped) == 0) {
        uint32_t ipv4;
        memcpy(&ipv4, bytes + sizeof mapped, sizeof ipv4);
        return address_of_ipv4(ipv4);
    }
    if (memcmp(bytes, loopback, sizeof loopback) == 0) {
        return address_of_ipv4(htonl(0x7f000001u));
    }
    uint64_t address = 0;
    for (unsigned i = 0; i < 8; i++) {
        address = address << 8 | bytes[i];
    }
    return address;
}

uint64_t peers_address(nng_stream *stream)
{
    nng_sockaddr peer;
    if (nng_stream_get_addr(stream, NNG_OPT_REMADDR, &peer) != 0) {
        return PEERS_NO_ADDRESS;
    }
    return peer.s_family == NNG_AF_INET    ? address_of_ipv4(peer.s_in.sa_addr)
           : peer.s_family == NNG_AF_INET6 ? address_of_ipv6((const uint8_t *)peer.s_in6.sa_addr)
                                           : PEERS_NO_ADDRESS;
}

void peers_address_text(uint64_t address, char text[PEERS_ADDRESS_TEXT])
{
    if (address >> 32 == PEERS_IPV4 >> 32) {
        (void)snprintf(text, PEERS_ADDRESS_TEXT, "%u.%u.%u.%u", (unsigned)(address >> 24 & 255),
                       (unsigned)(address >> 16 & 255), (unsigned)(address >> 8 & 255),
                       (unsigned)(address & 255));
    } else {
        (void)snprintf(text, PEERS_ADDRESS_TEXT, "%x:%x:%x:%x::/64", (unsigned)(address >> 48),
                       (unsigned)(address >> 32 & 0xffff), (unsigned)(address >> 16 & 0xffff),
                       (unsigned)(address & 0xffff));
    }
}

/* Addresses are a peer's choice in part, and so are collisions: a chain is at most as long as there
 * are connections. */
static unsigned bucket_of(uint64_t address)
{
    return (unsigned)((address * 0x9e3779b97f4a7c15u) >> 52);
}
_Static_assert(PEERS_BUCKETS == 1u << 12, "bucket_of() gives 12 bits");

struct peer *peers_find(const struct peers *peers, uint64_t address)
{
    struct peer *peer = peers->buckets[bucket_of(address)];
    while (peer && peer->address != address) {
        peer = peer->next;
    }
    return peer;
}

struct peer *peers_add(struct peers *peers, uint64_t address)
{
    CHECK(address != PEERS_NO_ADDRESS);
    struct peer *peer = peers_find(peers, address);
    if (!peer) {
        peer = calloc(1, sizeof *peer);
        if (!peer) {
            return NULL;
        }
        struct peer **bucket = &peers->buckets[bucket_of(address)];
        peer->address = address;
        peer->next = *bucket;
        *bucket = peer;
    }
    peer->connections++;
    return peer;
}

void peers_remove(struct peers *peers, struct peer *peer)
{
    if (!peer) {
        return;
    }
    CHECK(peer->connections > 0);
    if (--peer->connections > 0) {
        return;
    }
    struct peer **at = &peers->buckets[bucket_of(peer->address)];
    while (*at != peer) {
        CHECK(*at);
        at = &(*at)->next;
    }
    *at = peer->next;
    free(peer);
}

const struct peer *peers_greatest(const struct peers *peers)
{
    const struct peer *greatest = NULL;
    for (unsigned i = 0; i < PEERS_BUCKETS; i++) {
        for (const struct peer *peer = peers->buckets[i]; peer; peer = peer->next) {
            if (!greatest || peer->connections > greatest->connections) {
                greatest = peer;
            }
        }
    }
    return greatest;
}
