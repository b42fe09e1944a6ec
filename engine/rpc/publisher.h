/* publisher.h - SP PUB over nng's streams: every message goes to each subscriber, and waits for
 * none.
 *
 * Speaks to any SUB socket; subscribers filter by themselves, as SP has it. Listeners are watched,
 * and connections are bounded, as a REP server's (transport.h). A subscriber with a full backlog
 * loses messages, whole ones; one that takes nothing at all for long is cut off.
 *
 * Threads: any. */
#ifndef RPC_PUBLISHER_H
#define RPC_PUBLISHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "holdfast/status.h"

struct publisher;

struct publisher_options {
    uint32_t subscribers_max;  /* 1..STREAM_SUBSCRIBERS_MAX; further ones are refused */
    unsigned backlog_messages; /* that wait for one subscriber, at most */
    size_t backlog_bytes;      /* likewise, in bytes */
    uint64_t memory_bytes_max; /* of all subscribers' long backlogs; 0: no limit */
    int send_timeout_ms;       /* a subscriber that takes nothing for so long is cut off */
};

enum hf_status publisher_open(struct publisher **out, const struct publisher_options *options);

/* As transport_server_listen(). */
enum hf_status publisher_listen(struct publisher *publisher, const char *url, char *actual_url,
                                size_t actual_url_bytes);

/* Closes all connections, with what waits for them. */
void publisher_close(struct publisher *publisher);

/* Sends to each subscriber whose backlog has room. The bytes are copied; never waits for a peer. */
void publisher_send(struct publisher *publisher, struct bytes message);

struct publisher_stats {
    uint64_t subscribers; /* now */
    uint64_t lost;        /* messages that a subscriber did not get, each counted */
    uint64_t cut_off;     /* subscribers that took nothing */
    uint64_t relistens;   /* listeners found dead and opened anew */
};
void publisher_stats(const struct publisher *publisher, struct publisher_stats *stats);

#endif
