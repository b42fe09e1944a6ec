/* singles.h - orders of concurrent callers, put together into shared messages.
 *
 * A caller's order goes into its operation's queue. While few messages of the operation are under
 * way the queue is sent at once, so that nobody waits while the engine is idle; otherwise orders
 * gather until a message comes back, as in a group commit.
 *
 * Threads: any; callbacks run without client->lock. */
#ifndef CLIENT_SINGLES_H
#define CLIENT_SINGLES_H

#include "client/client_internal.h"
#include "client/flight.h"

/* One order of one caller, waiting or under way. */
struct single {
    struct single *next;
    enum single_kind kind;
    struct flight *flight; /* NULL: in its queue; client->lock */
    uint32_t index;        /* in its message */
    bool owned;            /* made by malloc: freed before its done() */
    uint64_t deadline_ns;
    size_t bytes; /* about what it takes in a message */
    uint8_t id[16];
    const struct hf_order *order; /* SINGLE_RESERVE */
    hf_done done;
    void *user;
};

void singles_init(struct hf_client *client);

/* Enters an order into its queue and sends what may be sent. HF_OK: its done() will be called
 * exactly once, perhaps before this returns, unless it is taken back. HF_CANCELED, with the
 * thread's message: the client is closing, and done() is not called. */
enum hf_status single_start(struct hf_client *client, struct single *single);

/* Takes an order out of its queue or its message: its done() will not be called. *queued: nothing
 * of it was sent. False: it is being encoded, answered or canceled just now. */
bool single_take_back(struct hf_client *client, struct single *single, bool *queued);

/* Sends what waits, as far as messages may be under way. */
void singles_dispatch(struct hf_client *client);

/* Ends all orders that wait in the queues with HF_CANCELED; client->closing is set. */
void singles_cancel(struct hf_client *client);

#endif
