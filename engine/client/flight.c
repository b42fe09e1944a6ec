/* flight.c - one message to the engine and its answer, and the pool. */
#include "client/flight.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/test_point.h"
#include "client/convert.h"
#include "client/deadline.h"
#include "client/fail.h"
#include "client/wait.h"
#include "wire/codec.h"

#define RETRY_MS_DEFAULT 5u
#define RETRY_MS_MAX     1000u
#define ARENA_BYTES_MAX  MIB(64)

/* Flights that are finished and whose callbacks or callers still read the answer: such a callback
 * may start the next call. */
#define FLIGHTS_DONE_MAX 64u

/* ---- The pool ---- */

/* All flights of a client. */
static uint32_t flights_count(const struct hf_client *client)
{
    return client->in_flight_max + FLIGHTS_DONE_MAX;
}

struct flight *flight_pop(struct hf_client *client)
{
    struct flight *flight = client->pool;
    if (client->closing || !flight || client->under_way >= client->in_flight_max) {
        return NULL;
    }
    CHECK(flight->state == FLIGHT_POOLED);
    flight->state = FLIGHT_TAKEN;
    client->pool = flight->next;
    client->under_way++;
    return flight;
}

struct flight *flight_try_take(struct hf_client *client)
{
    pthread_mutex_lock(&client->lock);
    struct flight *flight = flight_pop(client);
    pthread_mutex_unlock(&client->lock);
    return flight;
}

struct flight *flight_take(struct hf_client *client, uint64_t deadline_ns)
{
    struct timespec deadline = client_timespec(deadline_ns);
    pthread_mutex_lock(&client->lock);
    struct flight *flight;
    bool late = false;
    /* One more look when it is late: the signal may have been meant for this thread. */
    while (!(flight = flight_pop(client)) && !client->closing && !late) {
        late = pthread_cond_timedwait(&client->freed, &client->lock, &deadline) == ETIMEDOUT;
    }
    pthread_mutex_unlock(&client->lock);
    return flight;
}

void flight_release(struct flight *flight)
{
    struct hf_client *client = flight->client;
    CHECK(flight->state == FLIGHT_DONE);
    arena_clear(&flight->arena);
    pthread_mutex_lock(&client->lock);
    flight->state = FLIGHT_POOLED;
    bool was_empty = client->pool == NULL;
    flight->next = client->pool;
    client->pool = flight;
    pthread_cond_signal(&client->freed);
    pthread_mutex_unlock(&client->lock);
    /* Orders that found the pool empty while one more flight was allowed wait for this call alone.
     */
    if (was_empty) {
        client->dispatch(client);
    }
}

/* ---- Sending ---- */

/* The flight is no longer under way: another may be, also from within done(). */
static void finish(struct flight *flight, enum hf_status status)
{
    struct hf_client *client = flight->client;
    CHECK(flight->state != FLIGHT_POOLED);
    CHECK(flight->state != FLIGHT_DONE);
    flight->state = FLIGHT_DONE;
    pthread_mutex_lock(&client->lock);
    CHECK(client->under_way > 0);
    CHECK(client->under_way <= client->in_flight_max);
    client->under_way--;
    pthread_cond_signal(&client->freed);
    pthread_mutex_unlock(&client->lock);
    test_point("flight: finish"); /* no lock */
    flight->done(flight, status);
    client->dispatch(client);
}

void flight_fail(struct flight *flight, enum hf_status status, flight_done done)
{
    flight->done = done;
    finish(flight, status);
}

/* Rounded up: 0 would be no time at all. */
static uint32_t ms_left(uint64_t deadline_ns, uint64_t now_ns)
{
    return deadline_ns > now_ns ? (uint32_t)((deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS)
                                : 1;
}

/* Sends the encoded bytes; the first time, and again. */
static void send_bytes(struct flight *flight)
{
    uint64_t now_ns = client_now_ns();
    struct transport_client *transport = flight->client->transport;
    if (now_ns >= flight->deadline_ns) {
        finish(flight, client_fail_late(flight->client));
        return;
    }
    CHECK(flight->state == FLIGHT_TAKEN || flight->state == FLIGHT_RETRY);
    flight->state = FLIGHT_SENT; /* before the call: its done() may run at once */
    enum hf_status status = transport_client_call(transport, &flight->call, flight->encoded,
                                                  ms_left(flight->deadline_ns, now_ns));
    if (status != HF_OK) {
        finish(flight, client_fail_transport(flight->client, status));
    }
}

static void *retry_main(void *argument);

/* Under the lock. False: no thread can be started. */
static bool start_retry_thread(struct hf_client *client)
{
    if (!client->retry_started) {
        client->retry_started =
            pthread_create(&client->retry_thread, NULL, retry_main, client) == 0;
    }
    return client->retry_started;
}

/* Puts a flight into the retry list. False: the repetition would be too late, the client is
 * closing, or there is no thread to repeat it. */
static bool retry_later(struct flight *flight)
{
    uint32_t asked_ms = flight->response.retry_after_ms;
    uint64_t wait_ms = asked_ms == 0             ? RETRY_MS_DEFAULT
                       : asked_ms > RETRY_MS_MAX ? RETRY_MS_MAX
                                                 : asked_ms;
    /* Up to half as much longer, so that clients don't come back all at once. */
    uint64_t now_ns = client_now_ns();
    uint64_t wait_ns = wait_ms * NS_PER_MS;
    flight->retry_ns = now_ns + wait_ns + hash_u64(now_ns ^ (uintptr_t)flight) % (wait_ns / 2);
    if (flight->retry_ns >= flight->deadline_ns) {
        return false;
    }
    struct hf_client *client = flight->client;
    pthread_mutex_lock(&client->lock);
    bool accepted = !client->closing && start_retry_thread(client);
    if (accepted) {
        CHECK(flight->state == FLIGHT_ANSWERED);
        flight->state = FLIGHT_RETRY;
        struct flight **link = &client->retries;
        while (*link && (*link)->retry_ns <= flight->retry_ns) {
            link = &(*link)->next;
        }
        flight->next = *link;
        *link = flight;
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
        struct flight *flight = client->retries;
        if (!flight) {
            pthread_cond_wait(&client->retry, &client->lock);
            continue;
        }
        if (flight->retry_ns > client_now_ns()) {
            struct timespec until = client_timespec(flight->retry_ns);
            pthread_cond_timedwait(&client->retry, &client->lock, &until);
            continue;
        }
        CHECK(flight->state == FLIGHT_RETRY);
        client->retries = flight->next;
        pthread_mutex_unlock(&client->lock);
        send_bytes(flight);
        pthread_mutex_lock(&client->lock);
    }
    pthread_mutex_unlock(&client->lock);
    return NULL;
}

static void call_done(struct transport_call *call, enum hf_status status, struct bytes reply)
{
    struct flight *flight = call->user;
    CHECK(flight->state == FLIGHT_SENT);
    flight->state = FLIGHT_ANSWERED;
    if (status != HF_OK) {
        finish(flight, client_fail_transport(flight->client, status));
        return;
    }
    status = codec_response_decode(&flight->arena, reply, &flight->response);
    if (status != HF_OK) {
        client_fail(HF_INTERNAL, "the engine's answer can't be read");
        finish(flight, HF_INTERNAL);
        return;
    }
    if (flight->response.status == HF_BUSY && retry_later(flight)) {
        return;
    }
    finish(flight, HF_OK);
}

void flight_send(struct flight *flight, struct request *request, uint64_t deadline_ns,
                 void (*encoded)(struct flight *flight), flight_done done, void *user)
{
    CHECK(flight->state == FLIGHT_TAKEN);
    CHECK(done);
    flight->deadline_ns = deadline_ns;
    flight->done = done;
    flight->user = user;
    flight->call.done = call_done;
    flight->call.user = flight;
    request->token = convert_bytes(flight->client->token);
    request->timeout_ms = ms_left(deadline_ns, client_now_ns());
    request->answer_bytes_max = (uint32_t)MESSAGE_BYTES_MAX; /* any answer will do */
    if (codec_request_encode(&flight->arena, request, &flight->encoded) != HF_OK) {
        client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
        finish(flight, HF_NO_MEMORY);
        return;
    }
    if (flight->encoded.len > REQUEST_BYTES_MAX) {
        client_fail(HF_INVALID, "the request takes %zu bytes, at most %llu are allowed",
                    flight->encoded.len, (unsigned long long)REQUEST_BYTES_MAX);
        finish(flight, HF_INVALID);
        return;
    }
    if (encoded) {
        encoded(flight);
    }
    send_bytes(flight);
}

/* ---- Waiting ---- */

struct waiter {
    struct wait wait;
    enum hf_status status;
    char text[HF_MESSAGE_BYTES];
};

static void wake_waiter(struct flight *flight, enum hf_status status)
{
    struct waiter *waiter = flight->user;
    pthread_mutex_lock(&waiter->wait.lock);
    waiter->status = status;
    strncpy(waiter->text, hf_last_message(), sizeof waiter->text - 1);
    wait_end(&waiter->wait);
    pthread_mutex_unlock(&waiter->wait.lock);
}

/* Takes a flight out of the retry list. False: it is not there. */
static bool retry_forget(struct flight *flight)
{
    struct hf_client *client = flight->client;
    pthread_mutex_lock(&client->lock);
    struct flight **link = &client->retries;
    while (*link && *link != flight) {
        link = &(*link)->next;
    }
    bool found = *link == flight;
    if (found) {
        *link = flight->next;
    }
    pthread_mutex_unlock(&client->lock);
    return found;
}

/* False: another thread has it just now, and will finish it. */
static bool take_flight_back(void *context)
{
    struct flight *flight = context;
    return transport_client_forget(flight->client->transport, &flight->call) ||
           retry_forget(flight);
}

enum hf_status flight_exchange(struct hf_client *client, struct request *request,
                               struct flight **flight)
{
    uint64_t deadline_ns = client_deadline_ns(client);
    struct flight *taken = flight_take(client, deadline_ns);
    if (!taken) {
        return client_fail_late(client);
    }
    struct waiter waiter = {.status = HF_TIMED_OUT};
    wait_init(&waiter.wait);
    flight_send(taken, request, deadline_ns, NULL, wake_waiter, &waiter);
    if (!wait_for(&waiter.wait, deadline_ns, take_flight_back, taken)) {
        flight_fail(taken, client_fail_transport(client, HF_TIMED_OUT), wake_waiter);
    }
    wait_deinit(&waiter.wait);
    if (waiter.status != HF_OK) {
        flight_release(taken);
        return client_fail(waiter.status, "%s", waiter.text);
    }
    *flight = taken;
    return HF_OK;
}

/* ---- Life ---- */

enum hf_status flights_open(struct hf_client *client, void (*dispatch)(struct hf_client *client))
{
    client->dispatch = dispatch;
    client->flights = calloc(flights_count(client), sizeof *client->flights);
    if (!client->flights) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < flights_count(client); i++) {
        struct flight *flight = &client->flights[i];
        flight->client = client;
        arena_init(&flight->arena, ARENA_BYTES_MAX);
        flight->next = client->pool;
        client->pool = flight;
    }
    pthread_mutex_init(&client->lock, NULL);
    client_cond_init(&client->freed);
    client_cond_init(&client->retry);
    return HF_OK;
}

void flights_close(struct hf_client *client)
{
    CHECK(client->closing);
    /* The transport is closed: the flights that are left wait to be repeated. */
    while (client->retries) {
        struct flight *flight = client->retries;
        client->retries = flight->next;
        client_fail(HF_CANCELED, "%s", hf_status_text(HF_CANCELED));
        finish(flight, HF_CANCELED);
    }
    CHECK(client->under_way == 0);
    for (uint32_t i = 0; i < flights_count(client); i++) {
        CHECK(client->flights[i].state == FLIGHT_POOLED);
        arena_deinit(&client->flights[i].arena);
    }
    free(client->flights);
    pthread_cond_destroy(&client->retry);
    pthread_cond_destroy(&client->freed);
    pthread_mutex_destroy(&client->lock);
}
