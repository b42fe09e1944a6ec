/* client_internal.h - what the files of the client library share.
 *
 * Two layers. A `message` is one exchange with the engine: encoded once, sent, repeated when the
 * engine is BUSY, decoded, completed exactly once. On top, `singles` put the orders of concurrent
 * callers together into shared messages; everything else fills a message of its own.
 *
 * Locks: client->lock guards the pool, the queues and the retry list; it is never held while a
 * callback runs or the transport is called. */
#ifndef CLIENT_CLIENT_INTERNAL_H
#define CLIENT_CLIENT_INTERNAL_H

#include <pthread.h>
#include <time.h>

#include <holdfast/client.h>

#include "base/arena.h"
#include "rpc/transport.h"
#include "wire/message.h"

#define CLIENT_TIMEOUT_MS_DEFAULT 5000u
#define CLIENT_IN_FLIGHT_DEFAULT  16u
#define CLIENT_BATCH_DEFAULT      1024u
#define CLIENT_MESSAGE_BYTES      (4u << 20) /* of one shared message, about */
#define CLIENT_MESSAGE_LINES      32768u /* likewise: the engine can decode so many, with names */
#define MESSAGES_DONE_MAX                                                                          \
    64u /* messages answered whose callbacks or callers still read them;                           \
           such a callback may start the next call */

struct message;

/* What becomes of a message: its status (HF_OK: the engine answered, message->response is filled),
 * without the lock, on the caller's or the transport's thread. Must lead to message_release(). */
typedef void (*message_done)(struct message *message, enum hf_status status);

/* The operations whose single orders share messages. */
enum single_kind { SINGLE_RESERVE, SINGLE_COMMIT, SINGLE_RELEASE, SINGLE_KINDS };

struct message {
    struct transport_call call;
    struct hf_client *client;
    struct message *next; /* in the pool, or the retry list */
    struct arena arena;
    struct bytes encoded;
    struct response response;
    uint64_t deadline_ns;
    uint64_t retry_ns; /* when it is to be repeated, while it is in the retry list */
    message_done done;
    void *user;
    struct single *singles; /* whose orders it carries, in order; client->lock while `detachable` */
    uint32_t single_count;  /* orders in it, also those that were taken back */
    enum single_kind kind;
    bool detachable; /* sent and not answered: its orders may be taken back; client->lock */
    hf_batch_done batch_done; /* of an asynchronous batch */
    uint32_t batch_count;
};

/* One order of one caller, waiting or under way. */
struct single {
    struct single *next;
    enum single_kind kind;
    struct message *message; /* NULL: in its queue; client->lock */
    uint32_t index;          /* in its message */
    bool owned;              /* made by malloc: freed when done */
    uint64_t deadline_ns;
    size_t bytes; /* about what it takes in a message */
    uint8_t id[16];
    const struct hf_order *order; /* SINGLE_RESERVE */
    hf_done done;
    void *user;
};

struct single_queue {
    struct single *first;
    struct single **last; /* where the next one is linked */
    unsigned under_way;   /* messages of this kind */
};

struct hf_client {
    struct transport_client *transport;
    uint32_t timeout_ms;
    uint64_t until_ns; /* when all calls end */
    uint32_t in_flight_max;
    uint32_t batch_max;
    char *token;

    pthread_mutex_t lock;
    pthread_cond_t freed;     /* a message came back to the pool */
    pthread_cond_t retry;     /* the retry list changed, or closing */
    struct message *messages; /* all of them: in_flight_max and MESSAGES_DONE_MAX */
    struct message *pool;
    uint32_t under_way;      /* taken and not answered yet: at most in_flight_max */
    struct message *retries; /* earliest first */
    struct single_queue queues[SINGLE_KINDS];
    bool closing;
    bool retry_started;
    pthread_t retry_thread; /* once it is started */
};

/* ---- Messages (message.c) ---- */

uint64_t client_now_ns(void);
struct timespec client_timespec(uint64_t ns);

/* When a call that begins now is to end. */
uint64_t client_deadline_ns(const struct hf_client *client);

/* What a call comes to that can't be waited for any longer and that nothing was sent of; sets the
 * thread's message. */
enum hf_status client_fail_late(struct hf_client *client);

/* Likewise, with a status of the transport's. */
enum hf_status client_fail_transport(struct hf_client *client, enum hf_status status);

/* ---- Waiting for a done() (wait.c) ---- */

/* By GRACE_MS a call's timeout has passed for certain: the transport ends calls up to 100 ms late,
 * and an order's message may wait for one that came LATE_MS_MAX later. Who waits takes his call
 * back then, so that no wait depends on anybody else. */
#define LATE_MS_MAX 250u
#define GRACE_MS    500u

struct wait {
    pthread_mutex_t lock; /* `done`, and what the done() hands over */
    pthread_cond_t cond;
    bool done;
};

void wait_init(struct wait *wait);
void wait_deinit(struct wait *wait);

/* By done(), under the lock, last of all: once it is free the waiter may be gone. */
void wait_end(struct wait *wait);

/* True: it is done. False: the time has come. */
bool wait_until(struct wait *wait, uint64_t until_ns);

/* Waits until it is done; from GRACE_MS behind the deadline on calls take_back(context) again and
 * again, and ends without it being done when that returns true. True: it is done. */
bool wait_for(struct wait *wait, uint64_t deadline_ns, bool (*take_back)(void *context),
              void *context);

/* Makes the pool. messages_close frees it and ends what waits to be repeated; the thread that
 * repeats, if it was started, and the transport must have ended. */
enum hf_status messages_open(struct hf_client *client);
void messages_close(struct hf_client *client);

/* A message from the pool with an empty arena, counted as under way; NULL when in_flight_max are.
 */
struct message *message_try_take(struct hf_client *client);

/* As above, waiting for one until the deadline. NULL: none came free, or the client is closing. */
struct message *message_take(struct hf_client *client, uint64_t deadline_ns);

/* Takes one under the lock, which the caller holds; NULL as above, or when the client closes. */
struct message *message_pop(struct hf_client *client);

/* Back to the pool, once it has been answered. */
void message_release(struct message *message);

/* Encodes the request (token and timeout are filled in here) and sends it: the request is not
 * looked at any more when `encoded` (may be NULL) is called. done runs exactly once, perhaps before
 * this returns. */
void message_send(struct message *message, struct request *request, uint64_t deadline_ns,
                  void (*encoded)(struct message *message), message_done done, void *user);

/* Ends a message that was not sent: done runs before this returns. */
void message_fail(struct message *message, enum hf_status status, message_done done);

/* Sends a request and waits. HF_OK: *message holds the response, whatever its status, and is to be
 * released; else there is no message. */
enum hf_status message_exchange(struct hf_client *client, struct request *request,
                                struct message **message);

/* ---- Singles (singles.c) ---- */

void singles_init(struct hf_client *client);

/* Sends what waits, as far as messages may be under way. */
void singles_dispatch(struct hf_client *client);

/* Ends all that wait with HF_CANCELED. */
void singles_cancel(struct hf_client *client);

/* ---- Last message (client.c) ---- */

/* Sets this thread's last message, printf-like; returns `status`. */
enum hf_status client_fail(enum hf_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* As client_fail with the response's own message, or the status's text when it has none. */
enum hf_status client_fail_as(enum hf_status status, const struct response *response);

/* Memory of this thread for a result's array, valid until its next call; NULL: out of memory. It is
 * kept, and only ever grows: calls in a row take none. */
void *client_thread_memory(size_t bytes);

/* What an answer says about one order, but for its grants. */
struct hf_result client_result(const struct result_message *from);

/* Copies up to `max` grants; returns how many. */
uint32_t client_copy_grants(struct hf_grant *to, uint32_t max, const struct result_message *from);

/* A text's bytes; NULL is empty. */
struct bytes client_text(const char *text);

/* ---- Checks of arguments (check.c): HF_OK, or HF_INVALID with the thread's message ---- */

enum hf_status check_order(const struct hf_order *order);

/* The most grants that an order can have: one for each line, in split lines one for each item. */
uint32_t order_grants_max(const struct hf_order *order);
enum hf_status check_code(const char *field, const char *code, bool may_be_missing);
enum hf_status check_text(const char *field, const char *text, size_t bytes_max);
enum hf_status check_count(const char *field, uint32_t count, uint32_t max);

#endif
