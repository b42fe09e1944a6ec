/* crowd_test.c - a limit of two for each buyer holds whatever a crowd does, and the stock is sold
 * to the last unit.
 *
 * usage: crowd_test URL
 *
 * greedy: one buyer fires 1000 orders from all connections at once, and holds 2 units in the end.
 * crowd: 10 000 buyers try four times each, all at once, in rows and in columns, from two pools of
 * a SKU that have fewer units than the buyers may have; some change their mind and release. In the
 * end no buyer has more than 2, and every unit is sold. What the clients were told and what the
 * engine lists are counted apart, and must agree. SEED in the environment changes who comes when.
 *
 * Threads: CONNECTIONS, one client each; counts are atomic, and read after all have been joined. */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <holdfast/client.h>

#include "base/check.h"

#define CONNECTIONS   16u
#define LIMIT         2u
#define GREEDY_ORDERS 1000u
#define GREEDY_BUYER  4711u
#define BUYERS        10000u
#define TRIES         4u
#define UNITS         15000 /* fewer than BUYERS * LIMIT */
#define POOLS         2u
#define COLUMN        40u /* orders of a columnar request */
#define PAGE          1000u

static struct hf_client *clients[CONNECTIONS];

/* Orders' ids: dense numbers, each used once. */
static struct hf_id id_of(uint64_t number)
{
    struct hf_id id = {{0xC0}};
    for (unsigned i = 0; i < 8; i++) {
        id.bytes[15 - i] = (uint8_t)(number >> (8 * i));
    }
    return id;
}

static const uint64_t id_hi_of_all = 0xC000000000000000u;

static void run_all(void *(*run)(void *), void *arguments, size_t argument_bytes)
{
    pthread_t threads[CONNECTIONS];
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        int error = pthread_create(&threads[i], NULL, run, (char *)arguments + i * argument_bytes);
        CHECK(error == 0);
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* ---- The shop ---- */

static void define_sku(const char *sku, const char *const *pools, uint32_t pool_count,
                       int64_t units, uint32_t *items)
{
    struct hf_sku rule = {.sku = sku, .limit_per_buyer = LIMIT};
    struct hf_item defs[POOLS];
    struct hf_adjustment adjustments[POOLS];
    struct hf_adjust_result results[POOLS];
    for (uint32_t i = 0; i < pool_count; i++) {
        defs[i] = (struct hf_item){.sku = sku, .pool = pools[i], .hot = i == 0};
    }
    enum hf_status status = hf_define(clients[0], &rule, 1, defs, pool_count, items);
    CHECK(status == HF_OK);
    for (uint32_t i = 0; i < pool_count; i++) {
        adjustments[i] = (struct hf_adjustment){
            .id = hf_id_random(), .item = items[i], .value = units / pool_count};
    }
    status = hf_adjust(clients[0], adjustments, pool_count, results);
    CHECK(status == HF_OK);
    for (uint32_t i = 0; i < pool_count; i++) {
        CHECK(results[i].status == HF_OK);
    }
}

/* Units that the items hold in all, and that are still free. */
static void count_stock(const uint32_t *items, uint32_t count, int64_t *held, int64_t *available)
{
    struct hf_stock stock[POOLS];
    enum hf_status status = hf_get_items(clients[0], items, count, stock);
    CHECK(status == HF_OK);
    *held = *available = 0;
    for (uint32_t i = 0; i < count; i++) {
        *held += stock[i].held;
        *available += stock[i].available;
    }
}

/* Adds up what the engine lists as held, for each buyer below `buyers`. */
static void count_listed(const char *sku, uint32_t *units, uint32_t buyers)
{
    struct hf_order_filter filter = {.sku = sku, .states = 1u << HF_ORDER_HELD};
    struct hf_order_cursor cursor = {0};
    memset(units, 0, buyers * sizeof *units);
    while (!cursor.done) {
        struct hf_order_info *orders;
        uint32_t count;
        enum hf_status status = hf_list_orders(clients[0], &filter, &cursor, PAGE, &orders, &count);
        CHECK(status == HF_OK);
        for (uint32_t i = 0; i < count; i++) {
            CHECK(orders[i].buyer < buyers);
            for (uint32_t k = 0; k < orders[i].line_count; k++) {
                units[orders[i].buyer] += orders[i].lines[k].qty;
            }
        }
        hf_free(orders);
    }
}

/* ---- One greedy buyer ---- */

struct greedy {
    struct hf_client *client;
    uint32_t item;
    uint32_t from; /* order numbers from..to-1 */
    uint32_t to;
    uint32_t granted;
};

/* Of each 20 orders, ten go one by one, the other ten in one message. */
static void *greedy_run(void *argument)
{
    struct greedy *greedy = argument;
    uint32_t at = greedy->from;
    while (at < greedy->to) {
        if (at % 20 < 10) {
            struct hf_line line = {.item = greedy->item, .qty = 1};
            struct hf_order order = {
                .id = id_of(at), .buyer = GREEDY_BUYER, .line_count = 1, .lines = &line};
            enum hf_status status = hf_reserve(greedy->client, &order, NULL);
            CHECK(status == HF_OK || status == HF_LIMIT_EXCEEDED);
            greedy->granted += status == HF_OK;
            at++;
            continue;
        }
        uint64_t id_hi[10], id_lo[10], buyer[10];
        uint32_t item[10];
        uint32_t count = 0;
        for (; at < greedy->to && at % 20 >= 10; at++, count++) {
            id_hi[count] = id_hi_of_all;
            id_lo[count] = at;
            buyer[count] = GREEDY_BUYER;
            item[count] = greedy->item;
        }
        struct hf_batch batch = {
            .count = count, .id_hi = id_hi, .id_lo = id_lo, .buyer = buyer, .item = item};
        struct hf_batch_result result;
        enum hf_status status = hf_reserve_batch(greedy->client, &batch, &result);
        CHECK(status == HF_OK);
        greedy->granted += result.ok_count;
        for (uint32_t i = 0; result.status && i < count; i++) {
            CHECK(result.status[i] == HF_OK || result.status[i] == HF_LIMIT_EXCEEDED);
        }
    }
    return NULL;
}

static bool greedy_test(unsigned round)
{
    char sku[32];
    snprintf(sku, sizeof sku, "GREEDY-%u", round);
    static const char *const pool[] = {"default"};
    uint32_t item;
    define_sku(sku, pool, 1, 1000000, &item);
    struct greedy greedy[CONNECTIONS] = {{0}};
    uint32_t first = 1000000u * (round + 1);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        greedy[i] = (struct greedy){.client = clients[i],
                                    .item = item,
                                    .from = first + GREEDY_ORDERS * i / CONNECTIONS,
                                    .to = first + GREEDY_ORDERS * (i + 1) / CONNECTIONS};
    }
    run_all(greedy_run, greedy, sizeof *greedy);
    uint32_t granted = 0;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        granted += greedy[i].granted;
    }
    uint32_t listed[GREEDY_BUYER + 1];
    count_listed(sku, listed, GREEDY_BUYER + 1);
    int64_t held, available;
    count_stock(&item, 1, &held, &available);
    if (granted == LIMIT && listed[GREEDY_BUYER] == LIMIT && held == LIMIT &&
        available == 1000000 - (int64_t)LIMIT) {
        return true;
    }
    fprintf(stderr, "greedy %u: %u granted, %u listed, %lld held; expected %u\n", round, granted,
            listed[GREEDY_BUYER], (long long)held, LIMIT);
    return false;
}

/* ---- A crowd ---- */

struct crowd {
    struct hf_client *client;
    const uint32_t *items;
    const uint32_t *tries; /* whose turn it is: buyers, in the order in which they come */
    uint32_t from;         /* this thread's part of the tries, and its orders' numbers */
    uint32_t to;
    atomic_int *units; /* of each buyer, by what was answered */
};

static atomic_uint
    sold_out; /* answers; that there are some shows that the last units were fought for */
static atomic_uint over_limit;

static void crowd_count(struct crowd *crowd, uint32_t at, enum hf_status status)
{
    CHECK(status == HF_OK || status == HF_SOLD_OUT || status == HF_LIMIT_EXCEEDED);
    if (status == HF_OK) {
        atomic_fetch_add_explicit(&crowd->units[crowd->tries[at]], 1, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(status == HF_SOLD_OUT ? &sold_out : &over_limit, 1,
                                  memory_order_relaxed);
    }
}

/* One order by itself; one in eight of those that are granted is given back at once. */
static void crowd_single(struct crowd *crowd, uint32_t at)
{
    struct hf_line line = {.item = crowd->items[at % POOLS],
                           .qty = 1,
                           .fallback_count = 1,
                           .fallbacks = &crowd->items[(at + 1) % POOLS]};
    struct hf_order order = {
        .id = id_of(at), .buyer = crowd->tries[at], .line_count = 1, .lines = &line};
    enum hf_status status = hf_reserve(crowd->client, &order, NULL);
    crowd_count(crowd, at, status);
    if (status == HF_OK && at % 8 == 0) {
        status = hf_release(crowd->client, order.id, NULL);
        CHECK(status == HF_OK);
        atomic_fetch_sub_explicit(&crowd->units[crowd->tries[at]], 1, memory_order_relaxed);
    }
}

static void crowd_column(struct crowd *crowd, uint32_t from, uint32_t count)
{
    uint64_t id_hi[COLUMN], id_lo[COLUMN], buyer[COLUMN];
    uint32_t item[COLUMN];
    for (uint32_t i = 0; i < count; i++) {
        id_hi[i] = id_hi_of_all;
        id_lo[i] = from + i;
        buyer[i] = crowd->tries[from + i];
        item[i] = crowd->items[(from + i) % POOLS];
    }
    struct hf_batch batch = {
        .count = count, .id_hi = id_hi, .id_lo = id_lo, .buyer = buyer, .item = item};
    struct hf_batch_result result;
    enum hf_status status = hf_reserve_batch(crowd->client, &batch, &result);
    CHECK(status == HF_OK);
    for (uint32_t i = 0; i < count; i++) {
        crowd_count(crowd, from + i, result.status ? (enum hf_status)result.status[i] : HF_OK);
    }
}

/* Columns and single orders in turn. */
static void *crowd_run(void *argument)
{
    struct crowd *crowd = argument;
    for (uint32_t at = crowd->from; at < crowd->to;) {
        uint32_t left = crowd->to - at;
        uint32_t count = left < COLUMN ? left : COLUMN;
        crowd_column(crowd, at, count);
        at += count;
        for (uint32_t singles = 0; singles < COLUMN / 4 && at < crowd->to; singles++) {
            crowd_single(crowd, at++);
        }
    }
    return NULL;
}

static uint64_t seed_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Every buyer TRIES times, in any order; then every buyer LIMIT times more, in turn. */
static void shuffle_tries(uint32_t *tries, uint64_t seed)
{
    const uint32_t count = BUYERS * TRIES;
    for (uint32_t i = 0; i < count + BUYERS * LIMIT; i++) {
        tries[i] = i % BUYERS + 1;
    }
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = (uint32_t)(seed_next(&seed) % i);
        uint32_t kept = tries[i - 1];
        tries[i - 1] = tries[other];
        tries[other] = kept;
    }
}

/* True: no buyer has too much, the engine lists what the answers said, all units are held. */
static bool crowd_check(const uint32_t *items, atomic_int *units)
{
    static uint32_t listed[BUYERS + 1];
    count_listed("CROWD", listed, BUYERS + 1);
    int64_t sum = 0, held, available;
    uint32_t wrong = 0;
    for (uint32_t buyer = 1; buyer <= BUYERS; buyer++) {
        int told = atomic_load_explicit(&units[buyer], memory_order_relaxed);
        sum += told;
        if (told > (int)LIMIT || told != (int)listed[buyer]) {
            wrong++;
            fprintf(stderr, "crowd: buyer %u was granted %d, has %u\n", buyer, told, listed[buyer]);
        }
    }
    count_stock(items, POOLS, &held, &available);
    if (wrong == 0 && sum == UNITS && held == UNITS && available == 0) {
        return true;
    }
    fprintf(stderr, "crowd: %lld granted, %lld held, %lld free; expected %d\n", (long long)sum,
            (long long)held, (long long)available, UNITS);
    return false;
}

static bool crowd_test(uint64_t seed)
{
    static const char *const pools[POOLS] = {"east", "west"};
    static uint32_t tries[BUYERS * (TRIES + LIMIT)];
    static atomic_int units[BUYERS + 1];
    uint32_t items[POOLS];
    define_sku("CROWD", pools, POOLS, UNITS, items);
    shuffle_tries(tries, seed);
    struct crowd crowds[CONNECTIONS];
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        crowds[i] = (struct crowd){.client = clients[i],
                                   .items = items,
                                   .tries = tries,
                                   .from = BUYERS * TRIES / CONNECTIONS * i,
                                   .to = BUYERS * TRIES / CONNECTIONS * (i + 1),
                                   .units = units};
    }
    run_all(crowd_run, crowds, sizeof *crowds);
    /* Whoever was refused a unit that another then gave back may ask again: now all goes. */
    struct crowd rest = crowds[0];
    for (rest.from = BUYERS * TRIES; rest.from < BUYERS * (TRIES + LIMIT); rest.from += COLUMN) {
        crowd_column(&rest, rest.from, COLUMN);
    }
    bool fine = crowd_check(items, units);
    if (atomic_load_explicit(&sold_out, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&over_limit, memory_order_relaxed) == 0) {
        fprintf(stderr, "crowd: nobody was refused\n");
        fine = false;
    }
    if (!fine) {
        fprintf(stderr, "SEED=%llu\n", (unsigned long long)seed);
    }
    return fine;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s URL\n", argv[0]);
        return 2;
    }
    static_assert(UNITS < BUYERS * LIMIT && UNITS % POOLS == 0, "not all buyers get all they may");
    static_assert(BUYERS * TRIES % CONNECTIONS == 0 && BUYERS * LIMIT % COLUMN == 0, "no rest");
    const char *seed_text = getenv("SEED");
    uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : 1111;
    struct hf_options options = {.timeout_ms = 300000}; /* only what hangs meets it */
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        enum hf_status status = hf_client_open(&clients[i], argv[1], &options);
        CHECK(status == HF_OK);
    }
    bool fine = true;
    for (unsigned round = 0; round < 5; round++) {
        fine = greedy_test(round) && fine;
    }
    fine = crowd_test(seed) && fine;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        hf_client_close(clients[i]);
    }
    printf("a limit of %u: %u sold out, %u over the limit, %s\n", LIMIT,
           atomic_load_explicit(&sold_out, memory_order_relaxed),
           atomic_load_explicit(&over_limit, memory_order_relaxed), fine ? "exact" : "WRONG");
    return fine ? 0 : 1;
}
