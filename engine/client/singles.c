/* singles.c - orders of concurrent callers, put together into shared messages.
 *
 * A caller's order goes into its operation's queue. While few messages of the operation are under
 * way the queue is sent at once, so nobody waits while the engine is idle; otherwise orders gather
 * until a message comes back, as in a group commit.
 *
 * Threads: any; callbacks run without the lock. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "client/client_internal.h"

/* Messages of one operation under way at once: enough to keep the engine busy while replies
 * travel, few enough that orders gather. */
#define UNDER_WAY_MAX  4u
#define SINGLE_BYTES   64u /* of an order without its lines, about */
#define LINE_BYTES     24u /* of a line without its names, about */
#define FALLBACK_BYTES 4u
#define LATE_SHARE     8u /* of the timeout, by which an order may be late, or LATE_MS_MAX */
#define NS_PER_MS      1000000u

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

/* Takes from a queue what fits the message, under the lock. The message waits until its last
 * order's deadline, so it takes none whose deadline is much later than its first one's: that one
 * would wait too long when the engine does not answer. */
static void queue_take(struct hf_client *client, struct single_queue *queue,
                       struct message *message)
{
    struct single *list = queue->first;
    struct single **link = &queue->first;
    uint64_t latest_ns = list->deadline_ns + slack_ns(client);
    size_t bytes = 0;
    uint32_t lines = 0;
    uint32_t count = 0;
    while (*link && count < client->batch_max) {
        struct single *single = *link;
        bytes += single->bytes;
        lines += single->order ? order_grants_max(single->order) : 1;
        if (count > 0 && (bytes > CLIENT_MESSAGE_BYTES || lines > CLIENT_MESSAGE_LINES ||
                          single->deadline_ns > latest_ns)) {
            break;
        }
        single->message = message;
        single->index = count++;
        link = &(*link)->next;
    }
    struct single *rest = *link;
    *link = NULL;
    queue->first = rest;
    if (!rest) {
        queue->last = &queue->first;
    }
    message->singles = list;
    message->single_count = count;
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
            lines[i].sku = client_text(line->sku);
            lines[i].pool = client_text(line->pool);
        }
    }
    *to = (struct order_message){.id = {single->id, sizeof single->id},
                                 .buyer = order->buyer,
                                 .hold_ms = order->hold_ms,
                                 .line_count = order->line_count,
                                 .lines = lines};
    return true;
}

static bool build_reserve(struct message *message, struct request *request)
{
    uint32_t count = message->single_count;
    struct order_message *orders = arena_calloc(&message->arena, count, sizeof *orders);
    bool fine = orders != NULL;
    uint32_t i = 0;
    for (struct single *single = message->singles; single && fine; single = single->next) {
        fine = put_order(&message->arena, single, &orders[i++]);
    }
    request->type = REQUEST_RESERVE;
    request->reserve.count = count;
    request->reserve.orders = orders;
    return fine;
}

static bool build_edit(struct message *message, struct request *request)
{
    uint32_t count = message->single_count;
    struct edit_message *edits = arena_calloc(&message->arena, count, sizeof *edits);
    if (!edits) {
        return false;
    }
    uint32_t i = 0;
    for (struct single *single = message->singles; single; single = single->next) {
        edits[i++].id = (struct bytes){single->id, sizeof single->id};
    }
    request->type = message->kind == SINGLE_COMMIT ? REQUEST_COMMIT : REQUEST_RELEASE;
    request->edit.count = count;
    request->edit.edits = edits;
    return true;
}

/* ---- Answers ---- */

/* The grants that go with a result, in `room` of ORDER_LINES_MAX, which is made when the first
 * order of the message has any. Out of memory: they are left out, and an order can be read again.
 */
static void attach_grants(struct arena *arena, struct hf_grant **room,
                          const struct result_message *from, struct hf_result *result)
{
    if (from->grant_count > 0 && !*room) {
        *room = arena_alloc(arena, ORDER_LINES_MAX * sizeof **room);
    }
    if (from->grant_count > 0 && *room) {
        result->grant_count = client_copy_grants(*room, ORDER_LINES_MAX, from);
        result->grants = *room;
    }
}

/* Gives each single its result. */
static void give_results(struct single *list, struct arena *arena, const struct response *response)
{
    struct hf_grant *room = NULL;
    bool told = false; /* the response's message is about the first order that was refused */
    while (list) {
        struct single *next = list->next;
        const struct result_message *from = &response->orders.results[list->index];
        struct hf_result result = client_result(from);
        attach_grants(arena, &room, from, &result);
        if (result.status != HF_OK) {
            client_fail_as(result.status, told ? NULL : response);
            told = true;
        }
        single_finish(list, result.status, &result);
        list = next;
    }
}

/* From here on the message's orders are its own, and none is taken back. */
static struct single *singles_claim(struct message *message)
{
    pthread_mutex_lock(&message->client->lock);
    message->detachable = false;
    struct single *list = message->singles;
    message->singles = NULL;
    pthread_mutex_unlock(&message->client->lock);
    return list;
}

static void singles_done(struct message *message, enum hf_status status)
{
    struct hf_client *client = message->client;
    struct single *list = singles_claim(message);
    const struct response *response = &message->response;
    if (status != HF_OK) {
        singles_fail(list, status);
    } else if (response->type == RESPONSE_ORDERS &&
               response->orders.count == message->single_count) {
        give_results(list, &message->arena, response);
    } else {
        /* The engine refused the message as a whole. */
        status = response->status != HF_OK ? response->status : HF_INTERNAL;
        client_fail_as(status, response);
        singles_fail(list, status);
    }
    pthread_mutex_lock(&client->lock);
    client->queues[message->kind].under_way--;
    pthread_mutex_unlock(&client->lock);
    message_release(message);
}

/* ---- Sending ---- */

/* The orders themselves are not looked at any more. */
static void singles_encoded(struct message *message)
{
    pthread_mutex_lock(&message->client->lock);
    message->detachable = true;
    pthread_mutex_unlock(&message->client->lock);
}

static void send_singles(struct message *message)
{
    /* The latest of their deadlines: the last one's, since all wait equally long. */
    uint64_t deadline_ns = 0;
    for (struct single *single = message->singles; single; single = single->next) {
        deadline_ns = single->deadline_ns;
    }
    struct request request = {0};
    bool built = message->kind == SINGLE_RESERVE ? build_reserve(message, &request)
                                                 : build_edit(message, &request);
    if (!built) {
        enum hf_status status = client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
        message_fail(message, status, singles_done);
        return;
    }
    message_send(message, &request, deadline_ns, singles_encoded, singles_done, NULL);
}

/* Takes a message and what it is to carry. NULL: nothing waits, or nothing more may be under
 * way. */
static struct message *next_send(struct hf_client *client, enum single_kind kind)
{
    struct single_queue *queue = &client->queues[kind];
    struct message *message = NULL;
    pthread_mutex_lock(&client->lock);
    /* Callers who want each order in a message of its own get them all at once. */
    unsigned under_way_max = client->batch_max == 1 ? client->in_flight_max : UNDER_WAY_MAX;
    if (queue->first && queue->under_way < under_way_max) {
        message = message_pop(client);
    }
    if (message) {
        message->kind = kind;
        queue_take(client, queue, message);
        queue->under_way++;
    }
    pthread_mutex_unlock(&client->lock);
    return message;
}

void singles_dispatch(struct hf_client *client)
{
    for (unsigned kind = 0; kind < SINGLE_KINDS; kind++) {
        struct message *message;
        while ((message = next_send(client, (enum single_kind)kind))) {
            send_singles(message);
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

/* Enters an order into its queue. */
static enum hf_status single_start(struct hf_client *client, struct single *single)
{
    single->deadline_ns = client_deadline_ns(client);
    single->next = NULL;
    single->message = NULL;
    pthread_mutex_lock(&client->lock);
    bool closing = client->closing;
    if (!closing) {
        struct single_queue *queue = &client->queues[single->kind];
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

static size_t order_bytes(const struct hf_order *order)
{
    size_t bytes = SINGLE_BYTES;
    for (uint32_t i = 0; i < order->line_count; i++) {
        bytes += LINE_BYTES + order->lines[i].fallback_count * FALLBACK_BYTES;
        if (order->lines[i].item == 0) {
            bytes += strlen(order->lines[i].sku) +
                     (order->lines[i].pool ? strlen(order->lines[i].pool) : 0);
        }
    }
    return bytes;
}

/* ---- Asynchronous ---- */

/* What the names of an order's lines take, with their terminators. */
static size_t names_bytes(const struct hf_order *order)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        const struct hf_line *line = &order->lines[i];
        if (line->item == 0) {
            bytes += strlen(line->sku) + 1 + (line->pool ? strlen(line->pool) + 1 : 0);
        }
    }
    return bytes;
}

static char *copy_name(const char **name, char *text)
{
    *name = strcpy(text, *name);
    return text + strlen(text) + 1;
}

/* Moves what the lines point to behind them: fallbacks, then names. */
static void copy_behind_lines(struct hf_line *lines, uint32_t count, uint32_t *fallbacks)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t fallback_count = lines[i].fallback_count;
        if (fallback_count > 0) {
            memcpy(fallbacks, lines[i].fallbacks, fallback_count * sizeof *fallbacks);
            lines[i].fallbacks = fallbacks;
            fallbacks += fallback_count;
        }
    }
    char *text = (char *)fallbacks;
    for (uint32_t i = 0; i < count; i++) {
        if (lines[i].item == 0) {
            text = copy_name(&lines[i].sku, text);
            text = lines[i].pool ? copy_name(&lines[i].pool, text) : text;
        }
    }
}

/* One block: the single, the order, its lines, their fallbacks and names. */
static struct single *single_copy(const struct hf_order *order)
{
    size_t fallback_count = 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        fallback_count += order->lines[i].fallback_count;
    }
    struct single *single =
        calloc(1, sizeof *single + sizeof *order + order->line_count * sizeof *order->lines +
                      fallback_count * sizeof(uint32_t) + names_bytes(order));
    if (!single) {
        return NULL;
    }
    struct hf_order *copy = (struct hf_order *)(single + 1);
    struct hf_line *lines = (struct hf_line *)(copy + 1);
    *copy = *order;
    copy->lines = lines;
    memcpy(lines, order->lines, order->line_count * sizeof *lines);
    copy_behind_lines(lines, order->line_count, (uint32_t *)(lines + order->line_count));
    single->order = copy;
    return single;
}

static enum hf_status start_owned(struct hf_client *client, struct single *single,
                                  enum single_kind kind, const uint8_t id[16], size_t bytes,
                                  hf_done done, void *user)
{
    if (!single) {
        return client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
    }
    single->kind = kind;
    single->owned = true;
    single->bytes = bytes;
    single->done = done;
    single->user = user;
    memcpy(single->id, id, sizeof single->id);
    enum hf_status status = single_start(client, single);
    if (status != HF_OK) {
        free(single);
    }
    return status;
}

enum hf_status hf_reserve_async(struct hf_client *client, const struct hf_order *order,
                                hf_done done, void *user)
{
    enum hf_status status = check_order(order);
    if (status != HF_OK) {
        return status;
    }
    return start_owned(client, single_copy(order), SINGLE_RESERVE, order->id.bytes,
                       order_bytes(order), done, user);
}

enum hf_status hf_commit_async(struct hf_client *client, struct hf_id id, hf_done done, void *user)
{
    return start_owned(client, calloc(1, sizeof(struct single)), SINGLE_COMMIT, id.bytes,
                       SINGLE_BYTES, done, user);
}

enum hf_status hf_release_async(struct hf_client *client, struct hf_id id, hf_done done, void *user)
{
    return start_owned(client, calloc(1, sizeof(struct single)), SINGLE_RELEASE, id.bytes,
                       SINGLE_BYTES, done, user);
}

/* ---- Blocking ---- */

struct single_waiter {
    struct wait wait;
    struct hf_client *client;
    struct single *single;
    enum hf_status status;
    struct hf_result result;
    struct hf_grant *grants; /* the waiting thread's */
    uint32_t grants_max;
    char text[HF_MESSAGE_BYTES];
};

static void wake_single(void *user, enum hf_status status, const struct hf_result *result)
{
    struct single_waiter *waiter = user;
    pthread_mutex_lock(&waiter->wait.lock);
    waiter->status = status;
    waiter->result = *result;
    uint32_t grant_count =
        result->grant_count < waiter->grants_max ? result->grant_count : waiter->grants_max;
    if (grant_count > 0) {
        memcpy(waiter->grants, result->grants, grant_count * sizeof *result->grants);
    }
    waiter->result.grant_count = grant_count;
    waiter->result.grants = grant_count > 0 ? waiter->grants : NULL;
    if (status != HF_OK) {
        strncpy(waiter->text, hf_last_message(), sizeof waiter->text - 1);
    }
    wait_end(&waiter->wait);
    pthread_mutex_unlock(&waiter->wait.lock);
}

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

/* Under the lock. False: it is not there: it is being canceled. */
static bool queue_remove(struct single_queue *queue, const struct single *single)
{
    bool found = list_remove(&queue->first, single);
    queue->last = &queue->first;
    while (*queue->last) {
        queue->last = &(*queue->last)->next;
    }
    return found;
}

/* Takes an order out of its queue or its message. False: it is being encoded or answered. */
static bool take_single_back(void *context)
{
    struct single_waiter *waiter = context;
    struct single *single = waiter->single;
    struct hf_client *client = waiter->client;
    pthread_mutex_lock(&client->lock);
    bool queued = !single->message;
    bool taken =
        queued ? queue_remove(&client->queues[single->kind], single)
               : single->message->detachable && list_remove(&single->message->singles, single);
    pthread_mutex_unlock(&client->lock);
    if (taken) {
        waiter->status =
            queued ? client_fail_late(client) : client_fail_transport(client, HF_TIMED_OUT);
        waiter->result = (struct hf_result){.status = waiter->status};
        strncpy(waiter->text, hf_last_message(), sizeof waiter->text - 1);
    }
    return taken;
}

/* Runs one order and waits: it stays in the caller's memory. */
static enum hf_status single_run(struct hf_client *client, struct single *single,
                                 struct hf_result *result)
{
    struct single_waiter waiter = {.client = client, .single = single};
    if (single->order && result) {
        waiter.grants_max = order_grants_max(single->order);
        waiter.grants = client_thread_memory(waiter.grants_max * sizeof *waiter.grants);
        if (!waiter.grants) {
            return client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
        }
    }
    wait_init(&waiter.wait);
    single->done = wake_single;
    single->user = &waiter;
    enum hf_status status = single_start(client, single);
    if (status == HF_OK) {
        (void)wait_for(&waiter.wait, single->deadline_ns, take_single_back, &waiter);
    }
    wait_deinit(&waiter.wait);
    if (status != HF_OK) {
        return status;
    }
    if (result) {
        *result = waiter.result;
    }
    if (waiter.status != HF_OK) {
        client_fail(waiter.status, "%s", waiter.text);
    }
    return waiter.status;
}

enum hf_status hf_reserve(struct hf_client *client, const struct hf_order *order,
                          struct hf_result *result)
{
    enum hf_status status = check_order(order);
    if (status != HF_OK) {
        return status;
    }
    struct single single = {.kind = SINGLE_RESERVE, .order = order, .bytes = order_bytes(order)};
    memcpy(single.id, order->id.bytes, sizeof single.id);
    return single_run(client, &single, result);
}

static enum hf_status run_edit(struct hf_client *client, enum single_kind kind, struct hf_id id,
                               struct hf_result *result)
{
    struct single single = {.kind = kind, .bytes = SINGLE_BYTES};
    memcpy(single.id, id.bytes, sizeof single.id);
    return single_run(client, &single, result);
}

enum hf_status hf_commit(struct hf_client *client, struct hf_id id, struct hf_result *result)
{
    return run_edit(client, SINGLE_COMMIT, id, result);
}

enum hf_status hf_release(struct hf_client *client, struct hf_id id, struct hf_result *result)
{
    return run_edit(client, SINGLE_RELEASE, id, result);
}
