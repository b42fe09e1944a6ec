/* message.c - one exchange with the engine, and the pool that bounds how many are under way.
 *
 * A message is, in turn: in the pool, with whoever fills it, with the transport, perhaps in the
 * retry list (the engine was BUSY), with its done(), and back in the pool. Only who has it touches
 * it. A lost connection is the transport's business: it sends the same bytes again.
 *
 * Threads: any; one thread of its own repeats what the engine was too busy for. It is started when
 * that first happens: most clients never need it, and a process may have thousands of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/test_point.h"
#include "client/client_internal.h"
#include "wire/codec.h"

#define NS_PER_MS        1000000u
#define RETRY_MS_DEFAULT 5u
#define RETRY_MS_MAX     1000u
#define ARENA_BYTES_MAX  MIB(64)

uint64_t client_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct timespec client_timespec(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

uint64_t client_deadline_ns(const struct hf_client *client)
{
    uint64_t own_ns = client_now_ns() + (uint64_t)client->timeout_ms * NS_PER_MS;
    return own_ns < client->until_ns ? own_ns : client->until_ns;
}

enum hf_status client_fail_transport(struct hf_client *client, enum hf_status status)
{
    if (status == HF_UNREACHABLE) {
        char reason[TRANSPORT_REASON_BYTES];
        transport_client_reason(client->transport, reason);
        return client_fail(status, "%s", reason);
    }
    return client_fail(status, "%s", hf_status_text(status));
}

enum hf_status client_fail_late(struct hf_client *client)
{
    bool connected = transport_client_connected(client->transport);
    return client_fail_transport(client, connected ? HF_TIMED_OUT : HF_UNREACHABLE);
}

/* ---- The pool ---- */

struct message *message_pop(struct hf_client *client)
{
    struct message *message = client->pool;
    if (client->closing || !message || client->under_way >= client->in_flight_max) {
        return NULL;
    }
    client->pool = message->next;
    client->under_way++;
    return message;
}

struct message *message_try_take(struct hf_client *client)
{
    pthread_mutex_lock(&client->lock);
    struct message *message = message_pop(client);
    pthread_mutex_unlock(&client->lock);
    return message;
}

struct message *message_take(struct hf_client *client, uint64_t deadline_ns)
{
    struct timespec deadline = client_timespec(deadline_ns);
    pthread_mutex_lock(&client->lock);
    struct message *message;
    bool late = false;
    /* Once more when it is late: whoever signalled may have meant this thread. */
    while (!(message = message_pop(client)) && !client->closing && !late) {
        late = pthread_cond_timedwait(&client->freed, &client->lock, &deadline) == ETIMEDOUT;
    }
    pthread_mutex_unlock(&client->lock);
    return message;
}

void message_release(struct message *message)
{
    struct hf_client *client = message->client;
    arena_clear(&message->arena);
    pthread_mutex_lock(&client->lock);
    bool was_empty = client->pool == NULL;
    message->next = client->pool;
    client->pool = message;
    pthread_cond_signal(&client->freed);
    pthread_mutex_unlock(&client->lock);
    /* What found the pool empty when a message could have been under way has nobody else to send
     * it. */
    if (was_empty) {
        singles_dispatch(client);
    }
}

/* ---- Sending ---- */

/* The message is no longer under way: another may be, also from within done(). */
static void finish(struct message *message, enum hf_status status)
{
    struct hf_client *client = message->client;
    pthread_mutex_lock(&client->lock);
    CHECK(client->under_way > 0);
    client->under_way--;
    pthread_cond_signal(&client->freed);
    pthread_mutex_unlock(&client->lock);
    test_point("message: finish"); /* no lock */
    message->done(message, status);
    singles_dispatch(client);
}

void message_fail(struct message *message, enum hf_status status, message_done done)
{
    message->done = done;
    finish(message, status);
}

/* Rounded up: 0 would be no time at all. */
static uint32_t ms_left(uint64_t deadline_ns, uint64_t now_ns)
{
    return deadline_ns > now_ns ? (uint32_t)((deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS)
                                : 1;
}

/* Sends the encoded bytes; the first time, and again. */
static void send_bytes(struct message *message)
{
    uint64_t now_ns = client_now_ns();
    struct transport_client *transport = message->client->transport;
    if (now_ns >= message->deadline_ns) {
        finish(message, client_fail_late(message->client));
        return;
    }
    enum hf_status status = transport_client_call(transport, &message->call, message->encoded,
                                                  ms_left(message->deadline_ns, now_ns));
    if (status != HF_OK) {
        finish(message, client_fail_transport(message->client, status));
    }
}

static void *retry_main(void *argument);

/* Under the lock. False: no thread can be had. */
static bool start_retry_thread(struct hf_client *client)
{
    if (!client->retry_started) {
        client->retry_started =
            pthread_create(&client->retry_thread, NULL, retry_main, client) == 0;
    }
    return client->retry_started;
}

/* Puts a message into the retry list for later. False: it would be too late, the client is closing,
 * or there is nobody to repeat it. */
static bool retry_later(struct message *message)
{
    uint32_t asked_ms = message->response.retry_after_ms;
    uint64_t wait_ms = asked_ms == 0             ? RETRY_MS_DEFAULT
                       : asked_ms > RETRY_MS_MAX ? RETRY_MS_MAX
                                                 : asked_ms;
    /* Up to half as long again, so that clients don't come back all at once. */
    uint64_t now_ns = client_now_ns();
    uint64_t wait_ns = wait_ms * NS_PER_MS;
    message->retry_ns = now_ns + wait_ns + hash_u64(now_ns ^ (uintptr_t)message) % (wait_ns / 2);
    if (message->retry_ns >= message->deadline_ns) {
        return false;
    }
    struct hf_client *client = message->client;
    pthread_mutex_lock(&client->lock);
    bool accepted = !client->closing && start_retry_thread(client);
    if (accepted) {
        struct message **link = &client->retries;
        while (*link && (*link)->retry_ns <= message->retry_ns) {
            link = &(*link)->next;
        }
        message->next = *link;
        *link = message;
        pthread_cond_signal(&client->retry);
    }
    pthread_mutex_unlock(&client->lock);
    return accepted;
}

static void *retry_main(void *argument)
{
    struct hf_client *client = argument;
    pthread_mutex_lock(&client->lock);
    while (!client->closing) {
        struct message *message = client->retries;
        if (!message) {
            pthread_cond_wait(&client->retry, &client->lock);
            continue;
        }
        if (message->retry_ns > client_now_ns()) {
            struct timespec until = client_timespec(message->retry_ns);
            pthread_cond_timedwait(&client->retry, &client->lock, &until);
            continue;
        }
        client->retries = message->next;
        pthread_mutex_unlock(&client->lock);
        send_bytes(message);
        pthread_mutex_lock(&client->lock);
    }
    pthread_mutex_unlock(&client->lock);
    return NULL;
}

static void call_done(struct transport_call *call, enum hf_status status, struct bytes reply)
{
    struct message *message = call->user;
    if (status != HF_OK) {
        finish(message, client_fail_transport(message->client, status));
        return;
    }
    status = codec_response_decode(&message->arena, reply, &message->response);
    if (status != HF_OK) {
        client_fail(HF_INTERNAL, "the engine's answer can't be read");
        finish(message, HF_INTERNAL);
        return;
    }
    if (message->response.status == HF_BUSY && retry_later(message)) {
        return;
    }
    finish(message, HF_OK);
}

void message_send(struct message *message, struct request *request, uint64_t deadline_ns,
                  void (*encoded)(struct message *message), message_done done, void *user)
{
    message->deadline_ns = deadline_ns;
    message->done = done;
    message->user = user;
    message->call.done = call_done;
    message->call.user = message;
    request->token = client_text(message->client->token);
    request->timeout_ms = ms_left(deadline_ns, client_now_ns());
    request->answer_bytes_max = (uint32_t)MESSAGE_BYTES_MAX; /* whatever there may be */
    if (codec_request_encode(&message->arena, request, &message->encoded) != HF_OK) {
        client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
        finish(message, HF_NO_MEMORY);
        return;
    }
    if (message->encoded.len > REQUEST_BYTES_MAX) {
        client_fail(HF_INVALID, "the request takes %zu bytes, at most %llu are allowed",
                    message->encoded.len, (unsigned long long)REQUEST_BYTES_MAX);
        finish(message, HF_INVALID);
        return;
    }
    if (encoded) {
        encoded(message);
    }
    send_bytes(message);
}

/* ---- Waiting ---- */

struct waiter {
    struct wait wait;
    enum hf_status status;
    char text[HF_MESSAGE_BYTES];
};

static void wake_waiter(struct message *message, enum hf_status status)
{
    struct waiter *waiter = message->user;
    pthread_mutex_lock(&waiter->wait.lock);
    waiter->status = status;
    strncpy(waiter->text, hf_last_message(), sizeof waiter->text - 1);
    wait_end(&waiter->wait);
    pthread_mutex_unlock(&waiter->wait.lock);
}

/* Takes a message out of the retry list. False: it is not there. */
static bool retry_forget(struct message *message)
{
    struct hf_client *client = message->client;
    pthread_mutex_lock(&client->lock);
    struct message **link = &client->retries;
    while (*link && *link != message) {
        link = &(*link)->next;
    }
    bool found = *link == message;
    if (found) {
        *link = message->next;
    }
    pthread_mutex_unlock(&client->lock);
    return found;
}

/* False: somebody else has it just now, and will finish it. */
static bool take_message_back(void *context)
{
    struct message *message = context;
    return transport_client_forget(message->client->transport, &message->call) ||
           retry_forget(message);
}

enum hf_status message_exchange(struct hf_client *client, struct request *request,
                                struct message **message)
{
    uint64_t deadline_ns = client_deadline_ns(client);
    struct message *taken = message_take(client, deadline_ns);
    if (!taken) {
        return client_fail_late(client);
    }
    struct waiter waiter = {.status = HF_TIMED_OUT};
    wait_init(&waiter.wait);
    message_send(taken, request, deadline_ns, NULL, wake_waiter, &waiter);
    if (!wait_for(&waiter.wait, deadline_ns, take_message_back, taken)) {
        message_fail(taken, client_fail_transport(client, HF_TIMED_OUT), wake_waiter);
    }
    wait_deinit(&waiter.wait);
    if (waiter.status != HF_OK) {
        message_release(taken);
        return client_fail(waiter.status, "%s", waiter.text);
    }
    *message = taken;
    return HF_OK;
}

/* ---- Life ---- */

enum hf_status messages_open(struct hf_client *client)
{
    client->messages = calloc(client->in_flight_max + MESSAGES_DONE_MAX, sizeof *client->messages);
    if (!client->messages) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < client->in_flight_max + MESSAGES_DONE_MAX; i++) {
        struct message *message = &client->messages[i];
        message->client = client;
        arena_init(&message->arena, ARENA_BYTES_MAX);
        message->next = client->pool;
        client->pool = message;
    }
    pthread_mutex_init(&client->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&client->freed, &attributes);
    pthread_cond_init(&client->retry, &attributes);
    pthread_condattr_destroy(&attributes);
    return HF_OK;
}

void messages_close(struct hf_client *client)
{
    CHECK(client->closing);
    /* The transport is closed: what is left waits to be repeated. */
    while (client->retries) {
        struct message *message = client->retries;
        client->retries = message->next;
        client_fail(HF_CANCELED, "%s", hf_status_text(HF_CANCELED));
        finish(message, HF_CANCELED);
    }
    for (uint32_t i = 0; i < client->in_flight_max + MESSAGES_DONE_MAX; i++) {
        arena_deinit(&client->messages[i].arena);
    }
    free(client->messages);
    pthread_cond_destroy(&client->retry);
    pthread_cond_destroy(&client->freed);
    pthread_mutex_destroy(&client->lock);
}
