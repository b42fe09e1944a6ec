/* peer.h - what the peers' clients share: options, order ids, the measured time, one line of JSON.
 *
 * A client warms up, measures, stops. What ends within the measured time counts; what the warm-up
 * began and the measured time ended counts too, as in any window over a steady flow. A call that
 * outlasts all of the measured time counts when it is its worker's only one.
 * Threads: each worker belongs to one thread at a time; options and phase are read by all. */
#ifndef PEERS_PEER_H
#define PEERS_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"

#define PEER_WORKERS_MAX 64u
#define PEER_HOLD_MS     900000u /* the deadline that a recorded hold carries */

struct peer_options {
    const char *host;
    const char *url;  /* nng */
    const char *file; /* disk */
    const char *mode; /* what to do, where a client can do several things */
    uint32_t port;
    uint32_t connections;
    uint32_t in_flight; /* calls under way on each connection */
    uint32_t batch;     /* orders a call; disk: bytes a call */
    uint32_t skus;
    uint32_t request_bytes;
    uint32_t reply_bytes;
    double seconds;
    double warm_up;
    double rate; /* nng: messages a second in open loop; 0: as fast as answers come */
};

/* What one thread, or one context, has done. */
struct peer_worker {
    const struct peer_options *options;
    uint32_t index;
    uint64_t id_hi; /* order ids: this, and next_lo counting up */
    uint64_t next_lo;
    uint64_t random;
    uint64_t done; /* orders, within the measured time */
    struct histogram latency;
    void *user;
};

/* Reads --name value pairs; anything else ends the process with status 2. */
void peer_options_parse(struct peer_options *options, int argc, char **argv);

/* Monotonic nanoseconds. */
uint64_t peer_now_ns(void);

/* Ends the process with status 1 and a message: a client has nothing to save. */
_Noreturn void peer_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Gives a worker its ids and its seed. */
void peer_worker_init(struct peer_worker *worker, const struct peer_options *options,
                      uint32_t index);

/* A SKU for the next order: 0..skus-1, all alike. */
uint32_t peer_next_sku(struct peer_worker *worker);

/* False when the time is over. */
bool peer_goes_on(void);

/* A call that began at since_ns has ended, with so many orders held. */
void peer_count(struct peer_worker *worker, uint64_t orders, uint64_t since_ns);

/* Lets the warm-up and the measured time pass while others work. Returns the measured seconds. */
double peer_let_pass(const struct peer_options *options);

/* Runs `work` on a thread for each connection, and prints the result. */
void peer_run(const struct peer_options *options, void (*work)(struct peer_worker *worker));

/* Prints the sum of the workers as one line of JSON. */
void peer_print(const struct peer_options *options, const struct peer_worker *workers,
                uint32_t count, double seconds);

#endif
