/* broadcast.h - SP PUB over nng's streams: every message goes to each subscriber, and waits for
 * none.
 *
 * Speaks to any SUB socket. Subscribers filter by themselves, as SP has it. Listeners are watched
 * and connections are bounded like those of a REP server (transport.h). A subscriber whose backlog
 * is full loses whole messages. One that takes nothing for send_timeout_ms is disconnected.
 *
 * Threads: any. */
#ifndef RPC_BROADCAST_H
#define RPC_BROADCAST_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "holdfast/status.h"

struct broadcast;

struct broadcast_options {
    uint32_t subscribers_max;  /* 1..STREAM_SUBSCRIBERS_MAX; further ones are refused */
    unsigned backlog_messages; /* most that wait for one subscriber */
    size_t backlog_bytes;      /* the same, in bytes */
    uint64_t memory_bytes_max; /* of all subscribers' long backlogs; 0: no limit */
    int send_timeout_ms;       /* a subscriber that takes nothing for so long is disconnected */
};

enum hf_status broadcast_open(struct broadcast **out, const struct broadcast_options *options);

/* As transport_server_listen(). */
enum hf_status broadcast_listen(struct broadcast *broadcast, const char *url, char *actual_url,
                                size_t actual_url_bytes);

/* Closes all connections. What still waits for them is lost. */
void broadcast_close(struct broadcast *broadcast);

/* Sends to each subscriber whose backlog has room. The bytes are copied; never waits for a peer. */
void broadcast_send(struct broadcast *broadcast, struct bytes message);

struct broadcast_stats {
    uint64_t subscribers;  /* now */
    uint64_t lost;         /* messages that a subscriber did not get, counted for each subscriber */
    uint64_t disconnected; /* subscribers that took nothing */
    uint64_t relistens;    /* listeners found dead and opened again */
};
void broadcast_stats(const struct broadcast *broadcast, struct broadcast_stats *stats);

#endif
