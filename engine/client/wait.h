/* wait.h - a caller that waits for its call's done().
 *
 * Threads: one waits, another ends it. */
#ifndef CLIENT_WAIT_H
#define CLIENT_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* GRACE_MS after its deadline a call's timeout has passed for certain: the transport ends calls up
 * to 100 ms late, and an order's message may wait for an order that came LATE_MS_MAX later. A
 * waiter takes its call back then, so that no wait depends on another thread. */
#define LATE_MS_MAX 250u
#define GRACE_MS    500u

struct wait {
    pthread_mutex_t lock; /* `done`, and what the done() hands over */
    pthread_cond_t cond;
    bool done;
};

void wait_init(struct wait *wait);
void wait_deinit(struct wait *wait);

/* By done(), under wait->lock, as its last action: once the lock is free the waiter may be gone. */
void wait_end(struct wait *wait);

/* Waits until it is done. From GRACE_MS after the deadline on it calls take_back(context) again and
 * again, and stops waiting when that returns true. True: it is done; false: it was taken back. */
bool wait_for(struct wait *wait, uint64_t deadline_ns, bool (*take_back)(void *context),
              void *context);

#endif
