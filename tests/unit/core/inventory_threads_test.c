/* inventory_threads_test.c - many threads on few orders and one hot item.
 *
 * Eight threads reserve, commit, release, return, extend and read the same small set of ids while
 * an expirer and an operator run beside them; a counter stands for the log. Afterwards orders and
 * stock must agree, the digest must be the sum of all events', nothing may be oversold, and the
 * events in the order of their LSNs must replay to the same state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/core_rig.h"
#include "lib/rng.h"

#define WORKERS 8u
#define IDS     400u
#define ROUNDS  4000u
#define ITEMS   3u

struct shared {
    struct rig rig; /* its log is under log_mutex */
    pthread_mutex_t log_mutex;
    _Atomic uint64_t now_ms;
    atomic_bool ended;
    uint64_t seed;
};

struct worker {
    struct shared *shared;
    struct txn *txn;
    struct rng rng;
    pthread_t thread;
};

/* The append: LSNs are dense and given under one lock, as the log gives them. */
static void publish(struct shared *shared, struct txn *txn)
{
    pthread_mutex_lock(&shared->log_mutex);
    for (uint32_t i = 0; i < txn->event_count; i++) {
        txn->events[i].lsn = shared->rig.lsn += 48;
        shared->rig.digest += txn->events[i].digest_delta;
        rig_log(&shared->rig, &txn->events[i]);
    }
    pthread_mutex_unlock(&shared->log_mutex);
    inventory_publish(txn);
}

static void reserve(struct worker *worker, uint64_t id)
{
    struct order_line lines[3] = {{1, 1}, {2 + (uint32_t)(id % 2), 1}, {1, 2}};
    struct order_request request = {
        .id = {0xB0, id},
        .hold_ms = 1 + (uint32_t)(id % 50),
        .line_count = id % 3 ? 1 : 3,
        .lines = lines,
    };
    struct order_outcome outcome;
    while (inventory_reserve(worker->txn, &request, &outcome) == TXN_AGAIN) {
        if (worker->txn->event_count == 0) {
            sched_yield();
        }
        publish(worker->shared, worker->txn);
    }
    CHECK(outcome.status == HF_OK || outcome.status == HF_SOLD_OUT);
}

static void edit(struct worker *worker, rig_edit_function *function, uint64_t id)
{
    struct line_qty part = {1, 1};
    struct order_edit request = {.id = {0xB0, id}, .late_ok = id % 5 == 0, .lines = &part};
    request.line_count = id % 3 == 0 && rng_chance(&worker->rng, 2);
    struct order_outcome outcome;
    while (function(worker->txn, &request, &outcome) == TXN_AGAIN) {
        if (worker->txn->event_count == 0) {
            sched_yield();
        }
        publish(worker->shared, worker->txn);
    }
    CHECK(outcome.status != HF_FULL);
}

static void extend(struct worker *worker, uint64_t id)
{
    struct order_outcome outcome;
    while (inventory_extend(worker->txn, (struct id128){0xB0, id}, 60, &outcome) == TXN_AGAIN) {
        if (worker->txn->event_count == 0) {
            sched_yield();
        }
        publish(worker->shared, worker->txn);
    }
}

static void read_some(struct worker *worker, uint64_t id)
{
    struct order_view view;
    struct order_line_view lines[3];
    struct id128 key = {0xB0, id};
    if (inventory_order(worker->shared->rig.inventory, key, &view, lines, 3) == HF_OK) {
        CHECK(view.state != ORDER_NONE);
        CHECK(view.lsn > 0);
        CHECK(view.line_count == (id % 3 ? 1 : 3));
        CHECK(lines[0].item == 1 && lines[0].committed + lines[0].released <= lines[0].qty);
    }
    struct item_view item;
    CHECK(inventory_item(worker->shared->rig.inventory, 1, &item) == HF_OK);
    (void)inventory_next_deadline_ms(worker->shared->rig.inventory);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t id = rng_below(&worker->rng, 4) + i * IDS / ROUNDS;
        /* relaxed: a clock. */
        worker->txn->now_ms = atomic_fetch_add_explicit(
            &shared->now_ms, rng_chance(&worker->rng, 64), memory_order_relaxed);
        inventory_prefetch(shared->rig.inventory, worker->txn->slot, (struct id128){0xB0, id}, 1);
        switch (rng_below(&worker->rng, 8)) {
        case 0:
            edit(worker, inventory_commit, id);
            break;
        case 1:
            edit(worker, inventory_release, id);
            break;
        case 2:
            edit(worker, inventory_return, id);
            break;
        case 3:
            extend(worker, id);
            break;
        case 4:
            read_some(worker, id);
            break;
        default:
            reserve(worker, id);
        }
        if (rng_chance(&worker->rng, 8)) {
            publish(shared, worker->txn);
        }
    }
    publish(shared, worker->txn);
    return NULL;
}

static void *expire(void *argument)
{
    struct worker *worker = argument;
    /* acquire: pairs with the release after the workers have ended. */
    while (!atomic_load_explicit(&worker->shared->ended, memory_order_acquire)) {
        worker->txn->now_ms = atomic_load_explicit(&worker->shared->now_ms, memory_order_relaxed);
        (void)inventory_expire(worker->txn);
        publish(worker->shared, worker->txn);
        sched_yield();
    }
    return NULL;
}

static void *operate(void *argument)
{
    struct worker *worker = argument;
    struct inventory *inventory = worker->shared->rig.inventory;
    for (uint64_t i = 1; !atomic_load_explicit(&worker->shared->ended, memory_order_acquire); i++) {
        struct adjustment asked = {.id = {0xC0, i}, .item = 1, .delta = i % 2 ? -3 : 3};
        struct sku_rule rule = {
            .sku = bytes_of("hot"), .paused = false, .limit_per_buyer = 0, .opens_at_ms = i % 7};
        bool replayed;
        inventory_admin_lock(inventory);
        enum hf_status status = inventory_adjust(worker->txn, &asked, &replayed);
        CHECK(status == HF_OK || status == HF_WOULD_OVERSELL);
        publish(worker->shared, worker->txn);
        CHECK(inventory_define_sku(worker->txn, &rule) == HF_OK);
        publish(worker->shared, worker->txn);
        inventory_admin_unlock(inventory);
        sched_yield();
    }
    return NULL;
}

static void worker_start(struct worker *worker, struct shared *shared, unsigned slot,
                         void *(*run)(void *))
{
    *worker = (struct worker){.shared = shared, .txn = malloc(sizeof *worker->txn)};
    CHECK(worker->txn != NULL);
    CHECK(txn_init(worker->txn, shared->rig.inventory, slot) == HF_OK);
    worker->txn->now_ms = 1000000;
    rng_init(&worker->rng, shared->seed * 100 + slot);
    CHECK(pthread_create(&worker->thread, NULL, run, worker) == 0);
}

static void worker_join(struct worker *worker)
{
    CHECK(pthread_join(worker->thread, NULL) == 0);
    txn_deinit(worker->txn);
    free(worker->txn);
}

static void check_replay(struct rig *rig, const struct inventory_options *options)
{
    for (uint32_t part = 1; part <= 4; part++) {
        uint64_t sum;
        char what[256] = "";
        struct inventory *replica = rig_replay(rig, rig->log_count / 4 * part, options, &sum);
        assert_true(inventory_verify(replica, what, sizeof what));
        assert_int_equal(inventory_digest(replica), sum);
        struct inventory_counts counts;
        inventory_counts(replica, &counts);
        for (uint32_t item = 1; item <= counts.items; item++) {
            struct item_view view;
            assert_int_equal(inventory_item(replica, item, &view), HF_OK);
            assert_true(view.stock.available >= 0);
        }
        inventory_deinit(replica);
    }
}

static void inventory_agrees_after_threads_met_on_its_orders(void **state)
{
    (void)state;
    static struct shared shared;
    shared.seed = rng_seed_from_env(1);
    struct inventory_options options = rig_options(100000);
    rig_open(&shared.rig, &options);
    pthread_mutex_init(&shared.log_mutex, NULL);
    atomic_store(&shared.now_ms, 1000000);
    rig_item(&shared.rig, "hot", 60);
    rig_item(&shared.rig, "second", 20);
    rig_item(&shared.rig, "third", 1000);

    struct worker workers[WORKERS];
    struct worker expirer;
    struct worker operator;
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_start(&workers[i], &shared, i, work);
    }
    worker_start(&expirer, &shared, WORKERS, expire);
    worker_start(&operator, & shared, WORKERS + 1, operate);
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_join(&workers[i]);
    }
    atomic_store_explicit(&shared.ended, true, memory_order_release);
    worker_join(&expirer);
    worker_join(&operator);

    rig_check(&shared.rig);
    check_replay(&shared.rig, &options);
    shared.rig.txn->now_ms = UINT32_MAX;
    rig_expire(&shared.rig);
    struct inventory_counts counts;
    inventory_counts(shared.rig.inventory, &counts);
    assert_int_equal(counts.orders_held, 0);
    rig_check(&shared.rig);
    pthread_mutex_destroy(&shared.log_mutex);
    rig_close(&shared.rig);
}

/* Every unit of a hot item is sold once, and none is left over. */
static void *sell(void *argument)
{
    struct worker *worker = argument;
    struct order_line line = {1, 1};
    for (uint64_t i = 0;; i++) {
        struct order_request request = {
            .id = {worker->txn->slot, i}, .hold_ms = 1000, .line_count = 1, .lines = &line};
        struct order_outcome outcome;
        while (inventory_reserve(worker->txn, &request, &outcome) == TXN_AGAIN) {
            publish(worker->shared, worker->txn);
        }
        if (outcome.status == HF_SOLD_OUT) {
            break;
        }
        CHECK(outcome.status == HF_OK);
    }
    publish(worker->shared, worker->txn);
    return NULL;
}

static void inventory_sells_a_hot_item_out_exactly(void **state)
{
    (void)state;
    static struct shared shared;
    struct inventory_options options = rig_options(100000);
    rig_open(&shared.rig, &options);
    pthread_mutex_init(&shared.log_mutex, NULL);
    rig_item(&shared.rig, "hot", 20000);
    struct worker workers[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_start(&workers[i], &shared, i, sell);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_join(&workers[i]);
    }
    assert_int_equal(rig_stock(&shared.rig, 1).held, 20000);
    assert_int_equal(rig_stock(&shared.rig, 1).available, 0);
    rig_check(&shared.rig);
    pthread_mutex_destroy(&shared.log_mutex);
    rig_close(&shared.rig);
}

/* ---- Limits and split lines ---- */

#define BUYER_THREADS 16u
#define BUYER_ORDERS  1000u

static enum hf_status reserve_one(struct worker *worker, const struct order_request *request)
{
    struct order_outcome outcome;
    while (inventory_reserve(worker->txn, request, &outcome) == TXN_AGAIN) {
        publish(worker->shared, worker->txn);
    }
    return outcome.status;
}

/* One buyer, who may have two, asks a thousand times from many threads; each third order is a
 * shaped one. */
static void *buy(void *argument)
{
    struct worker *worker = argument;
    struct order_line line = {1, 1};
    struct line_shape shape = {.policy = LINE_UP_TO, .min_qty = 1};
    for (uint64_t i = 0; i < BUYER_ORDERS / BUYER_THREADS + 1; i++) {
        struct order_request request = {.id = {worker->txn->slot, i},
                                        .buyer = 7,
                                        .line_count = 1,
                                        .lines = &line,
                                        .shapes = i % 3 ? NULL : &shape};
        enum hf_status status = reserve_one(worker, &request);
        CHECK(status == HF_OK || status == HF_LIMIT_EXCEEDED);
        publish(worker->shared, worker->txn);
    }
    return NULL;
}

static void run_workers(struct shared *shared, void *(*run)(void *), unsigned count)
{
    struct worker workers[BUYER_THREADS];
    for (unsigned i = 0; i < count; i++) {
        worker_start(&workers[i], shared, i, run);
    }
    for (unsigned i = 0; i < count; i++) {
        worker_join(&workers[i]);
    }
}

static void set_limit(struct rig *rig, const char *sku, uint32_t limit)
{
    struct sku_rule rule = {.sku = bytes_of(sku), .limit_per_buyer = limit};
    assert_int_equal(inventory_define_sku(rig->txn, &rule), HF_OK);
    rig_publish(rig);
}

static void inventory_buyer_on_many_threads_gets_the_limit_and_no_more(void **state)
{
    (void)state;
    static struct shared shared;
    struct inventory_options options = rig_options(100000);
    rig_open(&shared.rig, &options);
    pthread_mutex_init(&shared.log_mutex, NULL);
    rig_item(&shared.rig, "hot", 20000);
    set_limit(&shared.rig, "hot", 2);
    run_workers(&shared, buy, BUYER_THREADS);
    assert_int_equal(rig_stock(&shared.rig, 1).held, 2);
    assert_int_equal(inventory_buyer_units(shared.rig.inventory, bytes_of("hot"), 7), 2);
    rig_check(&shared.rig);
    check_replay(&shared.rig, &options);
    pthread_mutex_destroy(&shared.log_mutex);
    rig_close(&shared.rig);
}

/* Lines of three that are split over three pools, in another order each, some beside a minimum of
 * two: until a whole line fails, when fewer than three may be left. */
static void *sell_split(void *argument)
{
    struct worker *worker = argument;
    for (uint64_t i = 0;; i++) {
        uint32_t first = (uint32_t)rng_below(&worker->rng, ITEMS);
        uint32_t fallbacks[2] = {(first + 1) % ITEMS + 1, (first + 2) % ITEMS + 1};
        struct order_line line = {first + 1, 3};
        struct line_shape shape = {.policy = rng_chance(&worker->rng, 2) ? LINE_UP_TO : LINE_ALL,
                                   .min_qty = 2,
                                   .split = true,
                                   .fallback_count = 2,
                                   .fallbacks = fallbacks};
        struct order_request request = {.id = {worker->txn->slot, i},
                                        .buyer = 1 + i % 5,
                                        .hold_ms = 1000,
                                        .line_count = 1,
                                        .lines = &line,
                                        .shapes = &shape};
        enum hf_status status = reserve_one(worker, &request);
        if (status == HF_SOLD_OUT && shape.policy == LINE_ALL) {
            break;
        }
        CHECK(status == HF_OK || status == HF_SOLD_OUT);
        if (status == HF_OK && i % 7 == 0) {
            publish(worker->shared, worker->txn);
            struct line_qty part = {1, 1};
            struct order_edit edit = {.id = request.id, .line_count = 1, .lines = &part};
            struct order_outcome outcome;
            CHECK(inventory_release(worker->txn, &edit, &outcome) == TXN_DONE);
            CHECK(outcome.status == HF_OK);
            publish(worker->shared, worker->txn);
        }
    }
    publish(worker->shared, worker->txn);
    return NULL;
}

static int64_t pools_available(struct rig *rig)
{
    int64_t available = 0;
    for (uint32_t item = 1; item <= ITEMS; item++) {
        assert_true(rig_stock(rig, item).available >= 0);
        available += rig_stock(rig, item).available;
    }
    return available;
}

static void inventory_split_lines_sell_pools_out_exactly(void **state)
{
    (void)state;
    static struct shared shared;
    shared.seed = rng_seed_from_env(1);
    struct inventory_options options = rig_options(100000);
    rig_open(&shared.rig, &options);
    pthread_mutex_init(&shared.log_mutex, NULL);
    static const char *const pools[ITEMS] = {"near", "far", "store"};
    for (uint32_t i = 0; i < ITEMS; i++) {
        uint32_t item = rig_define(&shared.rig, "hot", pools[i], 0, 0);
        assert_int_equal(rig_set_stock(&shared.rig, item, 3000), HF_OK);
    }
    set_limit(&shared.rig, "hot", 1000000);
    run_workers(&shared, sell_split, WORKERS);
    /* Nothing was given back after the last refusal of three. */
    int64_t left = pools_available(&shared.rig);
    assert_true(left <= 2);
    struct order_line line = {1, (uint32_t)left + 1};
    struct line_shape shape = {
        .split = true, .fallback_count = 2, .fallbacks = (const uint32_t[2]){2, 3}};
    struct order_request request = {
        .id = {0xB1, 1}, .buyer = 7, .line_count = 1, .lines = &line, .shapes = &shape};
    struct order_outcome outcome;
    RIG_RUN(&shared.rig, inventory_reserve(shared.rig.txn, &request, &outcome));
    assert_int_equal(outcome.status, HF_SOLD_OUT);
    if (left > 0) {
        line.qty = (uint32_t)left;
        RIG_RUN(&shared.rig, inventory_reserve(shared.rig.txn, &request, &outcome));
        assert_int_equal(outcome.status, HF_OK);
    }
    assert_int_equal(pools_available(&shared.rig), 0);
    rig_check(&shared.rig);
    check_replay(&shared.rig, &options);
    pthread_mutex_destroy(&shared.log_mutex);
    rig_close(&shared.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_agrees_after_threads_met_on_its_orders),
        cmocka_unit_test(inventory_sells_a_hot_item_out_exactly),
        cmocka_unit_test(inventory_buyer_on_many_threads_gets_the_limit_and_no_more),
        cmocka_unit_test(inventory_split_lines_sell_pools_out_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
