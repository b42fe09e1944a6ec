/* publication_test.c - what readers see beside those who publish: states that the log passes
 * through, each whole, and in the log's order.
 *
 * SEED=n runs one history of threads; HOLDFAST_LONG=1 more of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/publication.h"
#include "lib/budget.h"
#include "lib/core_threads.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- Turns ---- */

static void publication_reader_looks_again_when_somebody_published(void **state)
{
    (void)state;
    struct publication *publication;
    assert_int_equal(publication_init(&publication), HF_OK);
    struct reading reading;
    reading_init(&reading);
    reading_begin(publication, &reading);
    assert_false(reading_again(publication, &reading)); /* nobody has ever published */

    reading_init(&reading);
    reading_begin(publication, &reading);
    publication_begin(publication, 3); /* a slot that the reader did not know of */
    assert_true(reading_again(publication, &reading));
    publication_end(publication, 3);
    reading_begin(publication, &reading);
    assert_false(reading_again(publication, &reading));

    reading_init(&reading);
    reading_begin(publication, &reading);
    publication_begin(publication, 1);
    assert_true(reading_again(publication, &reading)); /* in the middle of one */
    publication_end(publication, 1);
    reading_begin(publication, &reading);
    publication_begin(publication, 1);
    publication_end(publication, 1);
    assert_true(reading_again(publication, &reading)); /* a whole one */
    publication_deinit(publication);
}

static void publication_reader_holds_others_up_after_many_tries(void **state)
{
    (void)state;
    struct publication *publication;
    assert_int_equal(publication_init(&publication), HF_OK);
    publication_begin(publication, 0);
    publication_end(publication, 0);
    struct reading reading;
    reading_init(&reading);
    unsigned tries = 0;
    for (;;) {
        reading_begin(publication, &reading);
        if (reading.holds) {
            break; /* from here on publication_begin waits */
        }
        publication_begin(publication, 0);
        publication_end(publication, 0);
        assert_true(reading_again(publication, &reading));
        assert_true(++tries < 10000);
    }
    assert_false(reading_again(publication, &reading));
    publication_begin(publication, 0); /* no more */
    /* One who waits for the log, without an LSN, holds readers up for a while only. */
    atomic_bool *waits = publication_waits(publication, 0);
    atomic_store(waits, true);
    reading_init(&reading);
    reading_begin(publication, &reading);
    assert_true(reading.holds);
    assert_false(reading_again(publication, &reading));
    /* Should it get one while they look, they look again, and nobody comes in between. */
    reading_init(&reading);
    reading_begin(publication, &reading);
    assert_true(reading.holds);
    atomic_store(waits, false);
    assert_true(reading_again(publication, &reading));
    assert_true(reading.holds);
    publication_end(publication, 0);
    reading_begin(publication, &reading);
    assert_false(reading_again(publication, &reading));
    publication_begin(publication, 0); /* the gate is open */
    publication_end(publication, 0);
    publication_deinit(publication);
}

/* ---- Nothing is seen before it is published ---- */

/* Items 1 and 2: pools of one SKU; 3 may be pre-sold. */
static void open_shop(struct rig *rig)
{
    struct inventory_options options = rig_options(64);
    rig_open(rig, &options);
    assert_int_equal(rig_define(rig, "phone", "east", 1, 0), 1);
    assert_int_equal(rig_define(rig, "phone", "west", 0, 0), 2);
    assert_int_equal(rig_define(rig, "case", "east", 0, 50), 3);
    rig_set_stock(rig, 1, 10);
    rig_set_stock(rig, 2, 10);
    rig_set_stock(rig, 3, 1);
}

struct seen {
    struct stock_view stock[3];
    struct inventory_counts counts;
};

static struct seen look(const struct inventory *inventory)
{
    static const uint32_t items[3] = {1, 2, 3};
    struct item_view views[3];
    struct seen seen;
    memset(&seen, 0, sizeof seen);
    inventory_items(inventory, items, 3, views);
    for (unsigned i = 0; i < 3; i++) {
        seen.stock[i] = views[i].stock;
    }
    inventory_counts(inventory, &seen.counts);
    seen.counts.deadlines = 0; /* hints, not promises */
    seen.counts.buyers = 0;
    return seen;
}

static void decide(struct rig *rig, unsigned what)
{
    struct order_line lines[2] = {{1, 2}, {2, 3}};
    struct order_line presold = {3, 4};
    struct order_request request = {.id = {0xB0, 9}, .buyer = 7, .line_count = 2, .lines = lines};
    struct order_edit edit = {.id = {0xB0, 1}};
    struct adjustment adjustment = {.id = {0xAA, 1}, .item = 1, .delta = what == 2 ? -3 : 3};
    struct move move = {.id = {0xAA, 2}, .from = 1, .to = 2, .units = 2};
    struct item_def def = {
        .sku = bytes_of("phone"), .pool = bytes_of("east"), .safety = what == 5 ? 4 : 0};
    struct order_outcome outcome = {.status = HF_OK};
    bool replayed;
    uint32_t item;
    switch (what) {
    case 0:
        inventory_reserve(rig->txn, &request, &outcome);
        break;
    case 1:
        request.lines = &presold;
        request.line_count = 1;
        inventory_reserve(rig->txn, &request, &outcome);
        break;
    case 2:
    case 3:
        outcome.status = inventory_adjust(rig->txn, &adjustment, &replayed);
        break;
    case 4:
        outcome.status = inventory_move(rig->txn, &move, &replayed);
        break;
    case 5:
    case 6:
        outcome.status = inventory_define_item(rig->txn, &def, &item);
        break;
    case 7:
        inventory_commit(rig->txn, &edit, &outcome);
        break;
    case 8:
        inventory_release(rig->txn, &edit, &outcome);
        break;
    case 9:
        rig->txn->now_ms += 1000;
        inventory_expire(rig->txn);
        break;
    case 10:
        edit.id.lo = 2; /* it has expired */
        edit.late_ok = true;
        inventory_commit(rig->txn, &edit, &outcome);
        break;
    default:
        edit.id.lo = 3; /* it is paid */
        inventory_return(rig->txn, &edit, &outcome);
    }
    assert_int_equal(outcome.status, HF_OK);
    assert_true(rig->txn->event_count > 0);
}

static void publication_decision_is_not_seen_before_it_is_published(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 12; what++) {
        struct rig rig;
        open_shop(&rig);
        rig_reserve_lines(&rig, 2, &(struct order_line){1, 1}, 1, 10);
        rig.txn->now_ms += 10;
        rig_expire(&rig);
        rig_reserve(&rig, 3, 2, 2);
        rig_edit(&rig, inventory_commit, 3, NULL, 0);
        rig_reserve(&rig, 1, 1, 2);
        struct seen before = look(rig.inventory);
        assert_int_equal(before.stock[0].held, 2);
        assert_int_equal(before.stock[0].available, 7);
        decide(&rig, what);
        struct seen during = look(rig.inventory);
        assert_memory_equal(&during, &before, sizeof before);
        rig_publish(&rig);
        struct seen after = look(rig.inventory);
        assert_memory_not_equal(&after, &before, sizeof before);
        rig_check(&rig);
        rig_close(&rig);
    }
}

/* How much of order 4 is covered: three units, two of them pre-sold, of which one has come. */
static uint32_t covered_now(const struct rig *rig)
{
    struct order_view view;
    struct order_line_view line;
    uint32_t covered;
    assert_int_equal(
        inventory_order_covered(rig->inventory, (struct id128){0xB0, 4}, &view, &line, &covered, 1),
        HF_OK);
    assert_int_equal(line.presale_qty, 2);
    return covered;
}

/* Decides something about item 3, which order 4 waits for. Returns how much of the order is covered
 * once that is published. */
static uint32_t decide_presale(struct rig *rig, unsigned what)
{
    struct order_line line = {3, 4};
    struct order_request request = {.id = {0xB0, 9}, .buyer = 7, .line_count = 1, .lines = &line};
    struct order_edit late = {.id = {0xB0, 3}, .late_ok = true};
    struct order_edit behind = {.id = {0xB0, 5}};
    struct adjustment less = {.id = {0xAA, 1}, .item = 3, .delta = -1};
    struct adjustment more = {.id = {0xAA, 1}, .item = 3, .delta = 1};
    struct item_def def = {
        .sku = bytes_of("case"), .pool = bytes_of("east"), .safety = 1, .presale_cap = 50};
    struct order_outcome outcome = {.status = HF_OK};
    bool replayed;
    uint32_t item;
    switch (what) {
    case 0:
        inventory_reserve(rig->txn, &request, &outcome);
        assert_int_equal(outcome.status, HF_OK);
        return 1; /* who comes later waits longer */
    case 1:
        assert_int_equal(inventory_adjust(rig->txn, &less, &replayed), HF_OK);
        return 0;
    case 2:
        assert_int_equal(inventory_adjust(rig->txn, &more, &replayed), HF_OK);
        return 2;
    case 3:
        assert_int_equal(inventory_define_item(rig->txn, &def, &item), HF_OK);
        return 0;
    case 4: /* its ticket is an earlier one */
        inventory_commit(rig->txn, &late, &outcome);
        assert_int_equal(outcome.status, HF_OK);
        return 0;
    default:
        inventory_release(rig->txn, &behind, &outcome);
        assert_int_equal(outcome.status, HF_OK);
        return 1;
    }
}

static void publication_coverage_is_not_seen_before_it_is_published(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 6; what++) {
        struct rig rig;
        open_shop(&rig);
        rig_reserve(&rig, 2, 3, 1);                                    /* what is in stock */
        rig_reserve_lines(&rig, 3, &(struct order_line){3, 2}, 1, 10); /* two that are not */
        rig.txn->now_ms += 10;
        rig_expire(&rig);
        rig_edit(&rig, inventory_release, 2, NULL, 0);
        rig_reserve(&rig, 4, 3, 3);
        rig_reserve(&rig, 5, 3, 2);
        rig_set_stock(&rig, 3, 2);
        assert_int_equal(covered_now(&rig), 1);
        uint32_t after = decide_presale(&rig, what);
        assert_int_equal(covered_now(&rig), 1);
        rig_publish(&rig);
        assert_int_equal(covered_now(&rig), after);
        rig_check(&rig);
        rig_close(&rig);
    }
}

/* ---- Threads ---- */

#define ITEMS        3u
#define WORKERS      4u
#define READERS      2u
#define STEPS        1500u /* of each worker */
#define READINGS_MAX 200000u

struct state {
    int64_t numbers[ITEMS][5]; /* stocked, held, sold, available, safety */
};

struct reader {
    pthread_t thread;
    struct shared *shared;
    struct state *readings;
    uint32_t count;
};

/* Where transactions end in the log. Under log_mutex. */
static uint32_t ends[(WORKERS + 1) * STEPS * 8 + 64];
static uint32_t end_count;

static struct state state_of(const struct inventory *inventory)
{
    static const uint32_t items[ITEMS] = {1, 2, 3};
    struct item_view views[ITEMS];
    struct state state;
    inventory_items(inventory, items, ITEMS, views);
    for (unsigned i = 0; i < ITEMS; i++) {
        const struct stock_view *stock = &views[i].stock;
        const int64_t numbers[5] = {stock->stocked, stock->held, stock->sold, stock->available,
                                    stock->safety};
        memcpy(state.numbers[i], numbers, sizeof numbers);
    }
    return state;
}

static void *read_all_the_time(void *argument)
{
    struct reader *reader = argument;
    while (!atomic_load(&reader->shared->ended) && reader->count < READINGS_MAX) {
        struct state state = state_of(reader->shared->rig.inventory);
        if (reader->count == 0 ||
            memcmp(&state, &reader->readings[reader->count - 1], sizeof state) != 0) {
            reader->readings[reader->count++] = state;
        }
    }
    return NULL;
}

static void append(struct shared *shared, struct txn *txn)
{
    if (txn->event_count == 0) {
        return;
    }
    inventory_publish_begin(txn);
    pthread_mutex_lock(&shared->log_mutex);
    for (uint32_t i = 0; i < txn->event_count; i++) {
        txn->events[i].lsn = shared->rig.lsn += 48;
        shared->rig.digest += txn->events[i].digest_delta;
        rig_log(&shared->rig, &txn->events[i]);
    }
    CHECK(end_count < COUNT(ends));
    ends[end_count++] = shared->rig.log_count;
    pthread_mutex_unlock(&shared->log_mutex);
    inventory_publish(txn);
}

#define DECIDE(worker, call)                                                                       \
    while ((call) == TXN_AGAIN) {                                                                  \
        append((worker)->shared, (worker)->txn);                                                   \
        sched_yield();                                                                             \
    }

static void step(struct worker *worker)
{
    struct rng *rng = &worker->rng;
    struct order_outcome outcome;
    uint64_t id = rng_below(rng, 200);
    struct order_line lines[2] = {
        {(uint32_t)rng_between(rng, 1, ITEMS), (uint32_t)rng_between(rng, 1, 3)},
        {(uint32_t)rng_between(rng, 1, ITEMS), (uint32_t)rng_between(rng, 1, 3)}};
    struct order_request request = {
        .id = {0xB0, id}, .buyer = 7, .line_count = rng_chance(rng, 2) ? 1 : 2, .lines = lines};
    struct line_qty part = {1, (uint32_t)rng_between(rng, 1, 3)};
    struct order_edit edit = {.id = {0xB0, id}, .line_count = rng_chance(rng, 2), .lines = &part};
    switch (rng_below(rng, 6)) {
    case 0:
        DECIDE(worker, inventory_commit(worker->txn, &edit, &outcome));
        break;
    case 1:
        DECIDE(worker, inventory_release(worker->txn, &edit, &outcome));
        break;
    case 2:
        DECIDE(worker, inventory_return(worker->txn, &edit, &outcome));
        break;
    default:
        DECIDE(worker, inventory_reserve(worker->txn, &request, &outcome));
    }
    if (rng_chance(rng, 3)) {
        append(worker->shared, worker->txn);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (unsigned i = 0; i < STEPS; i++) {
        step(worker);
    }
    append(worker->shared, worker->txn);
    return NULL;
}

/* Adjustments down and up, moves there and back, safety stock. */
static void *administer(void *argument)
{
    struct worker *worker = argument;
    struct inventory *inventory = worker->shared->rig.inventory;
    for (unsigned i = 0; i < STEPS; i++) {
        bool replayed;
        uint32_t item;
        struct adjustment adjustment = {
            .id = {0xA1, i + 1}, .item = 1 + i % ITEMS, .delta = i / ITEMS % 2 ? 2 : -2};
        struct move move = {
            .id = {0xA2, i + 1}, .from = 1 + i % 2, .to = 2 - i % 2, .units = 1 + i / 2 % 3};
        struct item_def def = {.sku = bytes_of("phone"),
                               .pool = bytes_of("west"),
                               .safety = (int64_t)rng_below(&worker->rng, 5)};
        inventory_admin_lock(inventory);
        switch (i % 3) {
        case 0:
            (void)inventory_adjust(worker->txn, &adjustment, &replayed);
            break;
        case 1:
            (void)inventory_move(worker->txn, &move, &replayed);
            break;
        default:
            CHECK(inventory_define_item(worker->txn, &def, &item) == HF_OK);
        }
        append(worker->shared, worker->txn);
        inventory_admin_unlock(inventory);
    }
    return NULL;
}

/* The states that the log passes through, after each transaction. */
static struct state *log_states(const struct rig *rig, uint32_t first, uint32_t *count)
{
    struct inventory_options options = rig_options(256);
    struct inventory *replica;
    assert_int_equal(inventory_init(&replica, &options), HF_OK);
    struct state *states = malloc((end_count + 1) * sizeof *states);
    assert_non_null(states);
    *count = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i <= end_count; i++) {
        uint32_t end = i == 0 ? first : ends[i - 1];
        for (; at < end; at++) {
            struct event event = rig->log[at];
            assert_int_equal(inventory_apply(replica, &event), HF_OK);
        }
        states[(*count)++] = state_of(replica);
    }
    inventory_deinit(replica);
    return states;
}

/* Each reading is one of the log's states, none before that of the reading before. */
static void check_readings(const struct reader *reader, const struct state *states, uint32_t count,
                           uint64_t seed)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < reader->count; i++) {
        uint32_t from = at;
        while (at < count && memcmp(&states[at], &reader->readings[i], sizeof *states) != 0) {
            at++;
        }
        if (at == count) {
            const int64_t *n = reader->readings[i].numbers[0];
            fail_msg("reading %u of %u is no state of the log from its %uth on: item 1 stocked "
                     "%lld, held %lld, sold %lld, available %lld; SEED=%llu",
                     i, reader->count, from, (long long)n[0], (long long)n[1], (long long)n[2],
                     (long long)n[3], (unsigned long long)seed);
        }
    }
}

static void run_threads(uint64_t seed)
{
    struct shared shared = {.seed = seed};
    struct inventory_options options = rig_options(256);
    rig_open(&shared.rig, &options);
    pthread_mutex_init(&shared.log_mutex, NULL);
    rig_define(&shared.rig, "phone", "east", 0, 0);
    rig_define(&shared.rig, "phone", "west", 0, 0);
    rig_define(&shared.rig, "case", "east", 0, 20);
    for (uint32_t item = 1; item <= ITEMS; item++) {
        rig_set_stock(&shared.rig, item, 60);
    }
    uint32_t first = shared.rig.log_count;
    end_count = 0;
    struct worker workers[WORKERS + 1];
    struct reader readers[READERS];
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.shared = &shared,
                                     .readings = malloc(READINGS_MAX * sizeof(struct state))};
        assert_non_null(readers[i].readings);
        CHECK(pthread_create(&readers[i].thread, NULL, read_all_the_time, &readers[i]) == 0);
    }
    for (unsigned i = 0; i <= WORKERS; i++) {
        worker_start(&workers[i], &shared, i + 1, i < WORKERS ? work : administer);
    }
    for (unsigned i = 0; i <= WORKERS; i++) {
        worker_join(&workers[i]);
    }
    atomic_store(&shared.ended, true);
    uint32_t count;
    for (unsigned i = 0; i < READERS; i++) {
        CHECK(pthread_join(readers[i].thread, NULL) == 0);
    }
    struct state *states = log_states(&shared.rig, first, &count);
    for (unsigned i = 0; i < READERS; i++) {
        check_readings(&readers[i], states, count, seed);
        free(readers[i].readings);
    }
    free(states);
    rig_check(&shared.rig);
    pthread_mutex_destroy(&shared.log_mutex);
    rig_close(&shared.rig);
}

static void publication_readers_see_states_that_the_log_passes_through(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(1);
    struct budget budget = budget_make("histories of threads", 3, 2.0, 300);
    while (budget_next(&budget)) {
        run_threads(seed + budget.round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publication_reader_looks_again_when_somebody_published),
        cmocka_unit_test(publication_reader_holds_others_up_after_many_tries),
        cmocka_unit_test(publication_decision_is_not_seen_before_it_is_published),
        cmocka_unit_test(publication_coverage_is_not_seen_before_it_is_published),
        cmocka_unit_test(publication_readers_see_states_that_the_log_passes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
