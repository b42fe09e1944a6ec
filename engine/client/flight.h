/* flight.h - one message to the engine and its answer, and the pool that bounds how many of them
 * are under way.
 *
 * A flight is encoded once, sent, repeated when the engine is BUSY, decoded, and finished exactly
 * once, by its done(). Its states, and who may touch it in each:
 *
 *   POOLED -> TAKEN -> SENT -> ANSWERED -> DONE -> POOLED
 *                       ^----- RETRY <-'
 *
 *   POOLED    nobody
 *   TAKEN     the caller that fills it
 *   SENT      the transport
 *   ANSWERED  the transport's thread that decodes the answer
 *   RETRY     the retry list: the engine was BUSY
 *   DONE      its done(), then whoever reads the answer and releases it
 *
 * A flight that ends early goes from TAKEN, SENT or RETRY to DONE: it can't be encoded, it is late,
 * it is taken back, or the client closes. It is under way from TAKEN until DONE. After a lost
 * connection the transport sends the same bytes again by itself.
 *
 * Threads: any; one thread of the client's own repeats what the engine was too busy for. It is
 * started when that first happens: most clients never need it, and a process may have thousands of
 * them. client->lock guards the pool, the retry list and the count under way. */
#ifndef CLIENT_FLIGHT_H
#define CLIENT_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/arena.h"
#include "client/client_internal.h"
#include "rpc/transport.h"
#include "wire/message.h"

struct flight;

/* Takes a flight that is finished. HF_OK: the engine answered and flight->response is filled; else
 * the thread's last message says why. Runs without the lock, on the caller's or one of the
 * transport's threads. Must lead to flight_release(). */
typedef void (*flight_done)(struct flight *flight, enum hf_status status);

enum flight_state {
    FLIGHT_POOLED,
    FLIGHT_TAKEN,
    FLIGHT_SENT,
    FLIGHT_ANSWERED,
    FLIGHT_RETRY,
    FLIGHT_DONE,
};

struct flight {
    struct transport_call call;
    struct hf_client *client;
    struct flight *next; /* in the pool, or the retry list */
    enum flight_state state;
    struct arena arena; /* emptied by flight_release() */
    struct bytes encoded;
    struct response response;
    uint64_t deadline_ns;
    uint64_t retry_ns; /* RETRY: when it is to be repeated */
    flight_done done;
    void *user;

    /* For the owner's use: singles.c. */
    struct single *singles; /* whose orders it carries, in order; client->lock while `detachable` */
    uint32_t single_count;  /* orders in it, also those that were taken back */
    enum single_kind kind;
    bool detachable; /* sent and not answered: its orders may be taken back; client->lock */
    /* For the owner's use: call_batch.c. */
    hf_batch_done batch_done; /* of an asynchronous batch */
    uint32_t batch_count;
};

/* Makes the pool and the lock. dispatch(client) is called, without the lock, each time that one
 * more flight may be under way: it sends what waits. HF_OK, HF_NO_MEMORY. */
enum hf_status flights_open(struct hf_client *client, void (*dispatch)(struct hf_client *client));

/* Ends with HF_CANCELED what waits to be repeated, and frees all. client->closing is set; the
 * thread that repeats, if it was started, and the transport have ended. */
void flights_close(struct hf_client *client);

/* A flight from the pool with an empty arena, counted as under way. The caller holds the lock.
 * NULL: in_flight_max are under way, or the client is closing. */
struct flight *flight_pop(struct hf_client *client);

/* As flight_pop; takes the lock itself. */
struct flight *flight_try_take(struct hf_client *client);

/* As above, waiting for one until the deadline. NULL: none became free in time, or the client is
 * closing. */
struct flight *flight_take(struct hf_client *client, uint64_t deadline_ns);

/* Puts it back into the pool, once it is finished and its answer has been read. */
void flight_release(struct flight *flight);

/* Encodes the request (its token, timeout and longest answer are filled in here) and sends it. The
 * request is not read any more when `encoded` (may be NULL) is called. done runs exactly once,
 * perhaps before this returns. */
void flight_send(struct flight *flight, struct request *request, uint64_t deadline_ns,
                 void (*encoded)(struct flight *flight), flight_done done, void *user);

/* Finishes a flight that is not with the transport any more, or never was: done runs before this
 * returns. */
void flight_fail(struct flight *flight, enum hf_status status, flight_done done);

/* Sends a request and waits for the answer, until GRACE_MS after the client's timeout at the
 * latest. HF_OK: *flight holds the response, whatever its status, and is to be released; else
 * *flight is not set. */
enum hf_status flight_exchange(struct hf_client *client, struct request *request,
                               struct flight **flight);

#endif
