/* singles.c - orders of concurrent callers, put together into shared messages. */
#include "client/singles.h"

#include <assert.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/limits.h"
#include "client/caller_order.h"
#include "client/convert.h"
#include "client/deadline.h"
#include "client/fail.h"
#include "client/wait.h"

/* Messages of one operation under way at once: enough to keep the engine busy while replies
 * travel, few enough that orders gather. */
#define UNDER_WAY_MAX 4u

/* About what one shared message may take. The engine can decode so many lines, with names. */
#define CLIENT_MESSAGE_BYTES (4u << 20)
#define CLIENT_MESSAGE_LINES 32768u

/* By how much an order may be late: this share of the timeout, at most LATE_MS_MAX. */
#define LATE_SHARE 8u

static_assert(CLIENT_MESSAGE_BYTES < REQUEST_BYTES_MAX, "the engine takes a shared message");
static_assert(CLIENT_MESSAGE_LINES <= REQUEST_LINES_MAX, "the engine takes its lines");
static_assert(ORDER_LINES_MAX <= CLIENT_MESSAGE_LINES, "one order fits");
static_assert(CLIENT_BATCH_ORDERS_MAX <= REQUEST_ORDERS_MAX, "the engine takes its orders");

void singles_init(struct hf_client *client)
{
    for (unsigned kind = 0; kind < SINGLE_KINDS; kind++) {
        client->queues[kind] = (struct single_queue){0};
        client->queues[kind].last = &client->queues[kind].first;
    }
}

static void single_finish(struct single *single, enum hf_status status,
                          const struct hf_result *result)
{
    hf_done done = single->done;
    void *user = single->user;
    CHECK(single->kind < SINGLE_KINDS);
    if (single->owned) {
        free(single);
    }
    done(user, status, result);
}

/* Ends a list of singles without an answer of their own. */
static void singles_fail(struct single *list, enum hf_status status)
{
    const struct hf_result result = {.status = status};
    while (list) {
        struct single *next = list->next;
        single_finish(list, status, &result);
        list = next;
    }
}

/* ---- Building a message ---- */

/* How much later than its own deadline an order may end, because of others in its message. */
static uint64_t slack_ns(const struct hf_client *client)
{
    uint32_t share_ms = client->timeout_ms / LATE_SHARE;
    return (uint64_t)(share_ms < LATE_MS_MAX ? share_ms : LATE_MS_MAX) * NS_PER_MS;
}

/* Takes from a queue, which is not empty, what fits into one message. Under the lock. The message
 * waits until its last order's deadline, so it takes no order whose deadline is much later than the
 * first one's: the first would wait too long when the engine does not answer. */
static void queue_take(struct hf_client *client, struct single_queue *queue, struct flight *flight)
{
    struct single *list = queue->first;
    CHECK(list);
    struct single **link = &queue->first;
    uint64_t latest_ns = list->deadline_ns + slack_ns(client);
    size_t bytes = 0;
    uint32_t lines = 0;
    uint32_t count = 0;
    while (*link && count < client->batch_max) {
        struct single *single = *link;
        bytes += single->bytes;
        lines += single->order ? caller_order_grants_max(single->order) : 1;
        if (count > 0 && (bytes > CLIENT_MESSAGE_BYTES || lines > CLIENT_MESSAGE_LINES ||
                          single->deadline_ns > latest_ns)) {
            break;
        }
        CHECK(!single->flight);
        single->flight = flight;
        single->index = count++;
        link = &(*link)->next;
    }
    struct single *rest = *link;
    *link = NULL;
    queue->first = rest;
    if (!rest) {
        queue->last = &queue->first;
    }
    CHECK(count > 0);
    CHECK(count <= client->batch_max);
    flight->singles = list;
    flight->single_count = count;
}

static bool put_order(struct arena *arena, const struct single *single, struct order_message *to)
{
    const struct hf_order *order = single->order;
    struct line_message *lines = arena_calloc(arena, order->line_count, sizeof *lines);
    if (!lines) {
        return false;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        const struct hf_line *line = &order->lines[i];
        lines[i] = (struct line_message){.item = line->item,
                                         .qty = line->qty,
                                         .policy = (uint32_t)line->policy,
                                         .min_qty = line->min_qty,
                                         .fallback_count = line->fallback_count,
                                         .fallback = line->fallbacks,
                                         .split = line->split};
        if (line->item == 0) {
            lines[i].sku = convert_bytes(line->sku);
            lines[i].pool = convert_bytes(line->pool);
        }
    }
    *to = (struct order_message){.id = {single->id, sizeof single->id},
                                 .buyer = order->buyer,
                                 .hold_ms = order->hold_ms,
                                 .line_count = order->line_count,
                                 .lines = lines};
    return true;
}

static bool build_reserve(struct flight *flight, struct request *request)
{
    uint32_t count = flight->single_count;
    struct order_message *orders = arena_calloc(&flight->arena, count, sizeof *orders);
    bool fine = orders != NULL;
    uint32_t i = 0;
    for (struct single *single = flight->singles; single && fine; single = single->next) {
        fine = put_order(&flight->arena, single, &orders[i++]);
    }
    CHECK(!fine || i == count);
    request->type = REQUEST_RESERVE;
    request->reserve.count = count;
    request->reserve.orders = orders;
    return fine;
}

static bool build_edit(struct flight *flight, struct request *request)
{
    uint32_t count = flight->single_count;
    struct edit_message *edits = arena_calloc(&flight->arena, count, sizeof *edits);
    if (!edits) {
        return false;
    }
    uint32_t i = 0;
    for (struct single *single = flight->singles; single; single = single->next) {
        edits[i++].id = (struct bytes){single->id, sizeof single->id};
    }
    CHECK(i == count);
    request->type = flight->kind == SINGLE_COMMIT ? REQUEST_COMMIT : REQUEST_RELEASE;
    request->edit.count = count;
    request->edit.edits = edits;
    return true;
}

/* ---- Answers ---- */

/* Adds a result's grants, in `room` of ORDER_LINES_MAX, which is allocated for the first order of
 * the message that has any. Out of memory: they are left out; the caller can read the order again.
 */
static void attach_grants(struct arena *arena, struct hf_grant **room,
                          const struct result_message *from, struct hf_result *result)
{
    if (from->grant_count > 0 && !*room) {
        *room = arena_alloc(arena, ORDER_LINES_MAX * sizeof **room);
    }
    if (from->grant_count > 0 && *room) {
        result->grant_count = convert_grants(*room, ORDER_LINES_MAX, from);
        result->grants = *room;
    }
}

/* Gives each single its result. */
static void give_results(struct single *list, struct arena *arena, const struct response *response)
{
    struct hf_grant *room = NULL;
    bool refused = false; /* the response's message is about the first order that was refused */
    while (list) {
        struct single *next = list->next;
        CHECK(list->index < response->orders.count);
        const struct result_message *from = &response->orders.results[list->index];
        struct hf_result result = convert_result(from);
        attach_grants(arena, &room, from, &result);
        if (result.status != HF_OK) {
            client_fail_as(result.status, refused ? NULL : response);
            refused = true;
        }
        single_finish(list, result.status, &result);
        list = next;
    }
}

/* The message's orders, none of which can be taken back from here on. */
static struct single *singles_claim(struct flight *flight)
{
    pthread_mutex_lock(&flight->client->lock);
    flight->detachable = false;
    struct single *list = flight->singles;
    flight->singles = NULL;
    pthread_mutex_unlock(&flight->client->lock);
    return list;
}

static void singles_done(struct flight *flight, enum hf_status status)
{
    struct hf_client *client = flight->client;
    struct single *list = singles_claim(flight);
    const struct response *response = &flight->response;
    if (status != HF_OK) {
        singles_fail(list, status);
    } else if (response->type == RESPONSE_ORDERS &&
               response->orders.count == flight->single_count) {
        give_results(list, &flight->arena, response);
    } else {
        /* The engine refused the message as a whole. */
        status = response->status != HF_OK ? response->status : HF_INTERNAL;
        client_fail_as(status, response);
        singles_fail(list, status);
    }
    pthread_mutex_lock(&client->lock);
    CHECK(client->queues[flight->kind].under_way > 0);
    client->queues[flight->kind].under_way--;
    pthread_mutex_unlock(&client->lock);
    flight_release(flight);
}

/* ---- Sending ---- */

/* The message is encoded, so its orders are not read any more. */
static void singles_encoded(struct flight *flight)
{
    pthread_mutex_lock(&flight->client->lock);
    CHECK(!flight->detachable);
    flight->detachable = true;
    pthread_mutex_unlock(&flight->client->lock);
}

static void send_singles(struct flight *flight)
{
    /* The latest of their deadlines is the last one's, since all wait equally long. */
    uint64_t deadline_ns = 0;
    for (struct single *single = flight->singles; single; single = single->next) {
        deadline_ns = single->deadline_ns;
    }
    struct request request = {0};
    bool built = flight->kind == SINGLE_RESERVE ? build_reserve(flight, &request)
                                                : build_edit(flight, &request);
    if (!built) {
        enum hf_status status = client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
        flight_fail(flight, status, singles_done);
        return;
    }
    flight_send(flight, &request, deadline_ns, singles_encoded, singles_done, NULL);
}

/* Takes a flight and the orders that it is to carry. NULL: nothing waits, or no more messages may
 * be under way. */
static struct flight *next_send(struct hf_client *client, enum single_kind kind)
{
    struct single_queue *queue = &client->queues[kind];
    struct flight *flight = NULL;
    pthread_mutex_lock(&client->lock);
    /* With one order a message, all messages may carry the same operation. */
    unsigned under_way_max = client->batch_max == 1 ? client->in_flight_max : UNDER_WAY_MAX;
    if (queue->first && queue->under_way < under_way_max) {
        flight = flight_pop(client);
    }
    if (flight) {
        flight->kind = kind;
        queue_take(client, queue, flight);
        queue->under_way++;
        CHECK(queue->under_way <= under_way_max);
    }
    pthread_mutex_unlock(&client->lock);
    return flight;
}

void singles_dispatch(struct hf_client *client)
{
    for (unsigned kind = 0; kind < SINGLE_KINDS; kind++) {
        struct flight *flight;
        while ((flight = next_send(client, (enum single_kind)kind))) {
            send_singles(flight);
        }
    }
}

void singles_cancel(struct hf_client *client)
{
    for (unsigned kind = 0; kind < SINGLE_KINDS; kind++) {
        pthread_mutex_lock(&client->lock);
        struct single_queue *queue = &client->queues[kind];
        struct single *list = queue->first;
        queue->first = NULL;
        queue->last = &queue->first;
        pthread_mutex_unlock(&client->lock);
        client_fail(HF_CANCELED, "%s", hf_status_text(HF_CANCELED));
        singles_fail(list, HF_CANCELED);
    }
}

enum hf_status single_start(struct hf_client *client, struct single *single)
{
    single->deadline_ns = client_deadline_ns(client);
    single->next = NULL;
    single->flight = NULL;
    pthread_mutex_lock(&client->lock);
    bool closing = client->closing;
    if (!closing) {
        struct single_queue *queue = &client->queues[single->kind];
        CHECK(!*queue->last);
        *queue->last = single;
        queue->last = &single->next;
    }
    pthread_mutex_unlock(&client->lock);
    if (closing) {
        return client_fail(HF_CANCELED, "%s", hf_status_text(HF_CANCELED));
    }
    singles_dispatch(client);
    return HF_OK;
}

/* ---- Taking an order back ---- */

/* Takes an order out of a list. Under the lock. False: it is not there. */
static bool list_remove(struct single **link, const struct single *single)
{
    while (*link && *link != single) {
        link = &(*link)->next;
    }
    bool found = *link == single;
    if (found) {
        *link = single->next;
    }
    return found;
}

/* Under the lock. False: it is not there, because it is being canceled. */
static bool queue_remove(struct single_queue *queue, const struct single *single)
{
    bool found = list_remove(&queue->first, single);
    queue->last = &queue->first;
    while (*queue->last) {
        queue->last = &(*queue->last)->next;
    }
    return found;
}

bool single_take_back(struct hf_client *client, struct single *single, bool *queued)
{
    pthread_mutex_lock(&client->lock);
    *queued = !single->flight;
    bool taken = *queued
                     ? queue_remove(&client->queues[single->kind], single)
                     : single->flight->detachable && list_remove(&single->flight->singles, single);
    pthread_mutex_unlock(&client->lock);
    return taken;
}
