/* toy_engine.c - a correct, slow engine behind the client library's functions, and its faults.
 *
 * Threads: any may call; one mutex guards everything. Asynchronous calls are done at once and their
 * answers delivered by a thread of the client, in order. */
#include "toy_engine.h"

#include <holdfast/client.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/id.h"

#define TABLE_SLOTS (1u << 19)
#define ITEMS_MAX   8192u

struct toy_line {
    uint32_t item;
    uint32_t qty;
    uint32_t returned;
};

struct toy_order {
    struct hf_id id;
    enum hf_order_state state; /* NONE: an empty slot */
    uint64_t buyer;
    uint32_t line_count;
    struct toy_line *lines;
};

struct toy_adjustment {
    struct hf_id id;
    bool used;
};

static struct {
    pthread_mutex_t lock;
    struct toy_faults faults;
    struct toy_order *orders;
    struct toy_adjustment *adjustments;
    struct hf_stock items[ITEMS_MAX + 1];
    uint32_t item_count;
    uint32_t reserves, commits, ended, calls, singles, returns, asyncs, starts;
} toy = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool every(uint32_t n, uint32_t *counter)
{
    return n > 0 && ++*counter % n == 0;
}

static uint32_t slot_of(struct hf_id id)
{
    return (uint32_t)hash_bytes(id.bytes, sizeof id.bytes) % TABLE_SLOTS;
}

static struct toy_order *find_order(struct hf_id id)
{
    uint32_t slot = slot_of(id);
    while (toy.orders[slot].state != HF_ORDER_NONE &&
           memcmp(toy.orders[slot].id.bytes, id.bytes, sizeof id.bytes) != 0) {
        slot = (slot + 1) % TABLE_SLOTS;
    }
    return &toy.orders[slot];
}

static void free_orders(void)
{
    for (uint32_t i = 0; toy.orders && i < TABLE_SLOTS; i++) {
        free(toy.orders[i].lines);
    }
    free(toy.orders);
    free(toy.adjustments);
    toy.orders = NULL;
    toy.adjustments = NULL;
}

static uint32_t add_item(const char *sku)
{
    for (uint32_t i = 1; i <= toy.item_count; i++) {
        if (strcmp(toy.items[i].sku, sku) == 0) {
            return i;
        }
    }
    CHECK(toy.item_count < ITEMS_MAX);
    struct hf_stock *item = &toy.items[++toy.item_count];
    *item = (struct hf_stock){.item = toy.item_count, .pool = "default"};
    snprintf(item->sku, sizeof item->sku, "%s", sku);
    return toy.item_count;
}

void toy_reset(const struct toy_faults *faults, uint32_t items, int64_t stock)
{
    static bool registered;
    if (!registered) {
        registered = true;
        CHECK(atexit(free_orders) == 0);
    }
    free_orders();
    memset(toy.items, 0, sizeof toy.items);
    toy.faults = *faults;
    toy.item_count = 0;
    toy.reserves = toy.commits = toy.calls = toy.singles = toy.returns = toy.asyncs = toy.starts =
        0;
    toy.orders = calloc(TABLE_SLOTS, sizeof *toy.orders);
    toy.adjustments = calloc(TABLE_SLOTS, sizeof *toy.adjustments);
    CHECK(toy.orders && toy.adjustments);
    for (uint32_t i = 1; i <= items; i++) {
        char sku[16];
        snprintf(sku, sizeof sku, "S-%u", i);
        struct hf_stock *item = &toy.items[add_item(sku)];
        item->stocked = stock;
        item->available = stock;
    }
}

/* ---- Single operations, under the lock ---- */

static void take(struct hf_stock *item, int64_t units)
{
    item->held += units;
    item->available -= units;
}

static enum hf_status reserve(struct hf_id id, uint64_t buyer, const struct hf_line *lines,
                              uint32_t line_count, struct hf_result *result)
{
    struct toy_order *order = find_order(id);
    *result = (struct hf_result){.status = HF_OK, .state = HF_ORDER_HELD};
    if (order->state != HF_ORDER_NONE) {
        result->replayed = true;
        result->state = order->state;
        return HF_OK;
    }
    if (every(toy.faults.busy_every, &toy.singles)) {
        return result->status = HF_BUSY;
    }
    for (uint32_t i = 0; i < line_count; i++) {
        /* Repeated items are not added up: the trace always has enough. */
        if (!toy.faults.oversell &&
            toy.items[lines[i].item].available < (int64_t)lines[i].qty + toy.faults.refuse_early) {
            result->state = HF_ORDER_NONE;
            return result->status = HF_SOLD_OUT;
        }
    }
    bool twice = every(toy.faults.double_take_every, &toy.reserves);
    if (every(toy.faults.forget_reserve_every, &toy.reserves)) {
        return HF_OK;
    }
    *order = (struct toy_order){.id = id, .state = HF_ORDER_HELD, .buyer = buyer};
    order->line_count = line_count;
    order->lines = calloc(line_count, sizeof *order->lines);
    CHECK(order->lines);
    for (uint32_t i = 0; i < line_count; i++) {
        order->lines[i] = (struct toy_line){.item = lines[i].item, .qty = lines[i].qty};
        take(&toy.items[lines[i].item], lines[i].qty);
        if (twice) {
            take(&toy.items[lines[i].item], lines[i].qty);
        }
    }
    return HF_OK;
}

static enum hf_status commit(struct hf_id id, struct hf_result *result)
{
    struct toy_order *order = find_order(id);
    *result = (struct hf_result){.status = HF_OK, .state = HF_ORDER_COMMITTED};
    switch (order->state) {
    case HF_ORDER_NONE:
        return result->status = HF_NOT_FOUND;
    case HF_ORDER_HELD:
        if (every(toy.faults.forget_commit_every, &toy.commits)) {
            return HF_OK;
        }
        order->state = HF_ORDER_COMMITTED;
        for (uint32_t i = 0; i < order->line_count; i++) {
            toy.items[order->lines[i].item].held -= order->lines[i].qty;
            toy.items[order->lines[i].item].sold += order->lines[i].qty;
        }
        return HF_OK;
    case HF_ORDER_RELEASED:
        return result->status = HF_ALREADY_RELEASED;
    default:
        result->replayed = true;
        return HF_OK;
    }
}

static enum hf_status release(struct hf_id id, struct hf_result *result)
{
    struct toy_order *order = find_order(id);
    *result = (struct hf_result){.status = HF_OK, .state = HF_ORDER_RELEASED};
    switch (order->state) {
    case HF_ORDER_NONE:
        return result->status = HF_NOT_FOUND;
    case HF_ORDER_HELD:
        order->state = HF_ORDER_RELEASED;
        for (uint32_t i = 0; i < order->line_count; i++) {
            take(&toy.items[order->lines[i].item], -(int64_t)order->lines[i].qty);
        }
        return HF_OK;
    case HF_ORDER_RELEASED:
        result->replayed = true;
        return HF_OK;
    default:
        return result->status = HF_ALREADY_COMMITTED;
    }
}

static enum hf_status return_line(struct toy_order *order, const struct hf_line_qty *line)
{
    if (order->state == HF_ORDER_NONE) {
        return HF_NOT_FOUND;
    }
    if (order->state == HF_ORDER_RETURNED) {
        return HF_OK;
    }
    if (order->state != HF_ORDER_COMMITTED) {
        return HF_NOT_COMMITTED;
    }
    if (line->line == 0 || line->line > order->line_count ||
        line->qty > order->lines[line->line - 1].qty) {
        return HF_INVALID;
    }
    struct toy_line *own = &order->lines[line->line - 1];
    if (line->qty > own->returned && !every(toy.faults.forget_return_every, &toy.returns)) {
        uint32_t units = line->qty - own->returned;
        own->returned = line->qty;
        toy.items[own->item].sold -= units;
        toy.items[own->item].available += units;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (order->lines[i].returned < order->lines[i].qty) {
            return HF_OK;
        }
    }
    order->state = HF_ORDER_RETURNED;
    return HF_OK;
}

/* ---- Calls: what may go wrong on the way ---- */

/* Called before the work: a status that ends the call, or HF_OK. */
static enum hf_status on_the_way_in(void)
{
    if (toy.faults.away) {
        return HF_UNREACHABLE;
    }
    return every(toy.faults.lose_request_every, &toy.calls) ? HF_TIMED_OUT : HF_OK;
}

static bool lost_on_the_way_out(void)
{
    return every(toy.faults.lose_answer_every, &toy.calls);
}

/* ---- The client ---- */

struct answer {
    struct answer *next;
    hf_batch_done done;
    void *user;
    enum hf_status status;
    uint32_t stall_ms;
    struct hf_batch_result batch;
    uint32_t statuses[];
};

struct hf_client {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct answer *first;
    struct answer **last;
    bool closing;
};

/* As the library: what failed last in this thread, also after calls that went well. */
static _Thread_local char last_message[HF_MESSAGE_BYTES];

static void *deliver(void *user)
{
    struct hf_client *client = user;
    CHECK(pthread_mutex_lock(&client->lock) == 0);
    for (;;) {
        while (!client->first && !client->closing) {
            CHECK(pthread_cond_wait(&client->some, &client->lock) == 0);
        }
        struct answer *answer = client->first;
        if (!answer) {
            break;
        }
        client->first = answer->next;
        if (!client->first) {
            client->last = &client->first;
        }
        CHECK(pthread_mutex_unlock(&client->lock) == 0);
        if (answer->stall_ms > 0) {
            usleep(answer->stall_ms * 1000);
        }
        if (answer->status != HF_OK) {
            snprintf(last_message, sizeof last_message, "a toy's call was lost");
        }
        answer->done(answer->user, answer->status, &answer->batch);
        free(answer);
        CHECK(pthread_mutex_lock(&client->lock) == 0);
    }
    CHECK(pthread_mutex_unlock(&client->lock) == 0);
    return NULL;
}

enum hf_status hf_client_open(struct hf_client **out, const char *url,
                              const struct hf_options *options)
{
    (void)url;
    (void)options;
    struct hf_client *client = calloc(1, sizeof *client);
    CHECK(client);
    client->last = &client->first;
    CHECK(pthread_mutex_init(&client->lock, NULL) == 0);
    CHECK(pthread_cond_init(&client->some, NULL) == 0);
    CHECK(pthread_create(&client->thread, NULL, deliver, client) == 0);
    *out = client;
    return HF_OK;
}

void hf_client_close(struct hf_client *client)
{
    if (!client) {
        return;
    }
    CHECK(pthread_mutex_lock(&client->lock) == 0);
    client->closing = true;
    CHECK(pthread_cond_signal(&client->some) == 0);
    CHECK(pthread_mutex_unlock(&client->lock) == 0);
    CHECK(pthread_join(client->thread, NULL) == 0);
    CHECK(pthread_cond_destroy(&client->some) == 0);
    CHECK(pthread_mutex_destroy(&client->lock) == 0);
    free(client);
}

static struct answer *new_answer(uint32_t count, void *user)
{
    struct answer *answer = calloc(1, sizeof *answer + count * sizeof(uint32_t));
    CHECK(answer);
    answer->user = user;
    answer->batch.count = count;
    return answer;
}

static void send_answer(struct hf_client *client, struct answer *answer)
{
    CHECK(pthread_mutex_lock(&toy.lock) == 0);
    toy.asyncs++;
    if (toy.faults.mute_after > 0 && toy.asyncs >= toy.faults.mute_after) {
        answer->status = HF_TIMED_OUT;
    }
    if (toy.asyncs == toy.faults.stall_at) {
        answer->stall_ms = toy.faults.stall_ms;
    }
    CHECK(pthread_mutex_unlock(&toy.lock) == 0);
    CHECK(pthread_mutex_lock(&client->lock) == 0);
    *client->last = answer;
    client->last = &answer->next;
    CHECK(pthread_cond_signal(&client->some) == 0);
    CHECK(pthread_mutex_unlock(&client->lock) == 0);
}

const char *hf_last_message(void)
{
    return last_message;
}

struct hf_id hf_id_from_text(const char *text)
{
    struct hf_id id;
    id_to_bytes(id_from_text(text, strlen(text)), id.bytes);
    return id;
}

struct hf_id hf_id_random(void)
{
    static uint64_t next;
    struct hf_id id;
    next++;
    id_to_bytes((struct id128){hash_u64(next), hash_u64(~next)}, id.bytes);
    return id;
}

void hf_id_to_text(struct hf_id id, char text[37])
{
    id_to_text(id_from_bytes(id.bytes), text);
}

/* ---- Blocking calls ---- */

#define LOCKED_CALL(status, work)                                                                  \
    do {                                                                                           \
        CHECK(pthread_mutex_lock(&toy.lock) == 0);                                                 \
        (status) = on_the_way_in();                                                                \
        if ((status) == HF_OK) {                                                                   \
            (status) = (work);                                                                     \
            if (lost_on_the_way_out()) {                                                           \
                (status) = HF_TIMED_OUT;                                                           \
            }                                                                                      \
        }                                                                                          \
        CHECK(pthread_mutex_unlock(&toy.lock) == 0);                                               \
    } while (0)

enum hf_status hf_reserve(struct hf_client *client, const struct hf_order *order,
                          struct hf_result *result)
{
    (void)client;
    enum hf_status status;
    LOCKED_CALL(status, reserve(order->id, order->buyer, order->lines, order->line_count, result));
    return status;
}

enum hf_status hf_commit(struct hf_client *client, struct hf_id id, struct hf_result *result)
{
    (void)client;
    enum hf_status status;
    LOCKED_CALL(status, commit(id, result));
    return status;
}

enum hf_status hf_return_lines(struct hf_client *client, struct hf_id id,
                               const struct hf_line_qty *lines, uint32_t line_count,
                               struct hf_result *result)
{
    (void)client;
    enum hf_status status;
    *result = (struct hf_result){0};
    CHECK(line_count == 1);
    LOCKED_CALL(status, return_line(find_order(id), lines));
    return status;
}

static enum hf_status read_order(struct hf_id id, struct hf_order_info *info,
                                 struct hf_order_line *lines, uint32_t lines_max)
{
    const struct toy_order *order = find_order(id);
    if (order->state == HF_ORDER_NONE ||
        (order->state != HF_ORDER_HELD && every(toy.faults.forget_ended_every, &toy.ended))) {
        return HF_NOT_FOUND;
    }
    *info = (struct hf_order_info){.id = id, .state = order->state, .buyer = order->buyer};
    for (uint32_t i = 0; order->state != HF_ORDER_RELEASED && i < order->line_count; i++) {
        uint32_t left = order->lines[i].qty - order->lines[i].returned;
        if (left > 0 && info->line_count < lines_max) {
            lines[info->line_count++] =
                (struct hf_order_line){.line = i + 1, .item = order->lines[i].item, .qty = left};
        }
    }
    return HF_OK;
}

enum hf_status hf_get_order(struct hf_client *client, struct hf_id id, struct hf_order_info *info,
                            struct hf_order_line *lines, uint32_t lines_max)
{
    (void)client;
    enum hf_status status;
    LOCKED_CALL(status, read_order(id, info, lines, lines_max));
    return status;
}

static enum hf_status read_items(const uint32_t *items, uint32_t count, struct hf_stock *stock)
{
    for (uint32_t i = 0; i < count; i++) {
        CHECK(items[i] >= 1 && items[i] <= toy.item_count);
        stock[i] = toy.items[items[i]];
    }
    return HF_OK;
}

enum hf_status hf_get_items(struct hf_client *client, const uint32_t *items, uint32_t count,
                            struct hf_stock *stock)
{
    (void)client;
    enum hf_status status;
    LOCKED_CALL(status, read_items(items, count, stock));
    return status;
}

enum hf_status hf_get_status(struct hf_client *client, struct hf_engine_status *status)
{
    (void)client;
    *status = (struct hf_engine_status){
        .version = "toy", .state = "serving", .wal_io = "none", .items = toy.item_count};
    return HF_OK;
}

enum hf_status hf_resolve(struct hf_client *client, const char *sku, const char *pool,
                          uint32_t *item)
{
    (void)client;
    (void)pool;
    for (uint32_t i = 1; i <= toy.item_count; i++) {
        if (strcmp(toy.items[i].sku, sku) == 0) {
            *item = i;
            return HF_OK;
        }
    }
    return HF_UNKNOWN_ITEM;
}

/* Three items a call, so that the caller has to go on. */
enum hf_status hf_list_stock(struct hf_client *client, const char *after_sku, uint32_t limit,
                             struct hf_stock **stock, uint32_t *count)
{
    (void)client;
    (void)limit;
    uint32_t first = 1;
    for (uint32_t i = 1; i <= toy.item_count; i++) {
        if (strcmp(toy.items[i].sku, after_sku) == 0) {
            first = i + 1;
        }
    }
    *count = toy.item_count + 1 - first < 3 ? toy.item_count + 1 - first : 3;
    *stock = calloc(4, sizeof **stock);
    CHECK(*stock);
    memcpy(*stock, &toy.items[first], *count * sizeof **stock);
    return HF_OK;
}

void hf_free(void *memory)
{
    free(memory);
}

static enum hf_status define(const struct hf_item *items, uint32_t item_count, uint32_t *items_out)
{
    for (uint32_t i = 0; i < item_count; i++) {
        items_out[i] = add_item(items[i].sku);
    }
    return HF_OK;
}

enum hf_status hf_define(struct hf_client *client, const struct hf_sku *skus, uint32_t sku_count,
                         const struct hf_item *items, uint32_t item_count, uint32_t *items_out)
{
    (void)client;
    (void)skus;
    (void)sku_count;
    enum hf_status status;
    LOCKED_CALL(status, define(items, item_count, items_out));
    return status;
}

static enum hf_status adjust(const struct hf_adjustment *adjustments, uint32_t count,
                             struct hf_adjust_result *results)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = slot_of(adjustments[i].id);
        while (toy.adjustments[slot].used &&
               memcmp(&toy.adjustments[slot].id, &adjustments[i].id, sizeof(struct hf_id)) != 0) {
            slot = (slot + 1) % TABLE_SLOTS;
        }
        struct hf_stock *item = &toy.items[adjustments[i].item];
        results[i] = (struct hf_adjust_result){.replayed = toy.adjustments[slot].used};
        if (!results[i].replayed && item->available + adjustments[i].value < 0) {
            results[i].status = HF_WOULD_OVERSELL;
        } else if (!results[i].replayed) {
            toy.adjustments[slot] = (struct toy_adjustment){adjustments[i].id, true};
            item->stocked += adjustments[i].value;
            item->available += adjustments[i].value;
        }
        results[i].stock = *item;
    }
    return HF_OK;
}

enum hf_status hf_adjust(struct hf_client *client, const struct hf_adjustment *adjustments,
                         uint32_t count, struct hf_adjust_result *results)
{
    (void)client;
    enum hf_status status;
    LOCKED_CALL(status, adjust(adjustments, count, results));
    return status;
}

/* ---- Asynchronous calls ---- */

static bool has_room(void)
{
    CHECK(pthread_mutex_lock(&toy.lock) == 0);
    bool room = !every(toy.faults.no_room_every, &toy.starts);
    CHECK(pthread_mutex_unlock(&toy.lock) == 0);
    return room;
}

static struct hf_id column_id(uint64_t hi, uint64_t lo)
{
    struct hf_id id;
    id_to_bytes((struct id128){hi, lo}, id.bytes);
    return id;
}

static enum hf_status reserve_all(struct answer *answer, const struct hf_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        struct hf_line line = {.item = batch->item[i], .qty = batch->qty ? batch->qty[i] : 1};
        struct hf_result result;
        answer->statuses[i] = reserve(column_id(batch->id_hi[i], batch->id_lo[i]), batch->buyer[i],
                                      &line, 1, &result);
    }
    return HF_OK;
}

enum hf_status hf_reserve_batch_async(struct hf_client *client, const struct hf_batch *batch,
                                      hf_batch_done done, void *user)
{
    if (!has_room()) {
        return HF_BUSY;
    }
    struct answer *answer = new_answer(batch->count, user);
    answer->done = done;
    answer->batch.status = answer->statuses;
    LOCKED_CALL(answer->status, reserve_all(answer, batch));
    send_answer(client, answer);
    return HF_OK;
}

static enum hf_status edit_all(struct answer *answer, uint32_t count, const uint64_t *id_hi,
                               const uint64_t *id_lo,
                               enum hf_status (*edit)(struct hf_id, struct hf_result *))
{
    for (uint32_t i = 0; i < count; i++) {
        struct hf_result result;
        answer->statuses[i] = edit(column_id(id_hi[i], id_lo[i]), &result);
    }
    return HF_OK;
}

enum hf_status hf_commit_batch_async(struct hf_client *client, uint32_t count,
                                     const uint64_t *id_hi, const uint64_t *id_lo,
                                     hf_batch_done done, void *user)
{
    if (!has_room()) {
        return HF_BUSY;
    }
    struct answer *answer = new_answer(count, user);
    answer->done = done;
    answer->batch.status = answer->statuses;
    LOCKED_CALL(answer->status, edit_all(answer, count, id_hi, id_lo, commit));
    send_answer(client, answer);
    return HF_OK;
}

enum hf_status hf_release_batch_async(struct hf_client *client, uint32_t count,
                                      const uint64_t *id_hi, const uint64_t *id_lo,
                                      hf_batch_done done, void *user)
{
    if (!has_room()) {
        return HF_BUSY;
    }
    struct answer *answer = new_answer(count, user);
    answer->done = done;
    answer->batch.status = answer->statuses;
    LOCKED_CALL(answer->status, edit_all(answer, count, id_hi, id_lo, release));
    send_answer(client, answer);
    return HF_OK;
}
