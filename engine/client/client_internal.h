/* client_internal.h - the client itself: its settings, and what its lock guards.
 *
 * Layers, from the bottom: fail (the thread's last message), deadline, wait, convert, validate,
 * caller_order; flight (one message to the engine and its answer); singles (orders of concurrent
 * callers in shared messages); call_* (the public functions); client (open and close).
 *
 * Locks: client->lock guards the pool, the queues and the retry list. It is never held while a
 * callback runs or the transport is called. */
#ifndef CLIENT_CLIENT_INTERNAL_H
#define CLIENT_CLIENT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

/* The operations whose single orders share messages. */
enum single_kind { SINGLE_RESERVE, SINGLE_COMMIT, SINGLE_RELEASE, SINGLE_KINDS };

struct single_queue {
    struct single *first;
    struct single **last; /* where the next one is linked */
    unsigned under_way;   /* messages of this kind */
};

struct hf_client {
    struct transport_client *transport;
    uint32_t timeout_ms;    /* of each call, 1 up */
    uint64_t until_ns;      /* when all calls end, in client_now_ns() */
    uint32_t in_flight_max; /* 1..CLIENT_IN_FLIGHT_MAX */
    uint32_t batch_max;     /* orders in a shared message, 1..CLIENT_BATCH_ORDERS_MAX */
    char *token;
    void (*dispatch)(struct hf_client *client); /* sends what waits; without the lock */

    pthread_mutex_t lock;   /* all below */
    pthread_cond_t freed;   /* a flight came back to the pool, or one more may be under way */
    pthread_cond_t retry;   /* the retry list changed, or the client is closing */
    struct flight *flights; /* all of them: flights_count() */
    struct flight *pool;
    uint32_t under_way;     /* taken and not finished yet: at most in_flight_max */
    struct flight *retries; /* earliest first */
    struct single_queue queues[SINGLE_KINDS];
    bool closing;
    bool retry_started;
    pthread_t retry_thread; /* once it is started */
};

#endif
