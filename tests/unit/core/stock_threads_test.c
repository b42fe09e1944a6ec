/* stock_threads_test.c - what stock.h promises to many threads at once.
 *
 * Every promise is checked by counting on the callers' side: what takes answered OK, less what was
 * given back, is what the item must have lost.
 *
 * It is built twice: as it is (unit.core.stock_threads), and with schedule points that yield now
 * and then, for fewer rounds (schedule.stock_threads). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "core/stock.h"
#include "lib/rng.h"

#define ITEM    1u
#define THREADS 8u

#define SEED_USUAL 0x57c4u

#ifdef HOLDFAST_SCHEDULE
#define FEWER 500u /* each point may yield: windows are wide */
#include "lib/schedule.h"
#elif defined(HOLDFAST_SANITIZED)
#define FEWER 10u
#else
#define FEWER 1u
#endif
#define FEWER_OF(rounds) (1 + ((rounds)-1) / FEWER) /* at least one */

struct shared;

struct worker {
    struct shared *shared;
    unsigned slot;
    struct rng rng;
    int64_t taken; /* and not given back */
    int64_t sold;
    uint64_t refused;
    uint64_t wrong; /* answers that can't be right */
};

struct shared {
    struct stock *stock;
    pthread_barrier_t start;
    atomic_bool stop;
    unsigned rounds;
    int64_t units;
    void (*work)(struct worker *worker);
    struct worker workers[THREADS];
};

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    pthread_barrier_wait(&worker->shared->start);
    worker->shared->work(worker);
    return NULL;
}

/* Runs `work` in THREADS threads, and `beside` in this one; ends when all of work has. */
static void run(struct shared *shared, void (*work)(struct worker *worker),
                void (*beside)(struct shared *shared))
{
    pthread_t threads[THREADS];
    uint64_t seed = rng_seed_from_env(SEED_USUAL);
    shared->work = work;
    atomic_store(&shared->stop, false);
    assert_int_equal(pthread_barrier_init(&shared->start, NULL, THREADS + 1), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        shared->workers[i] = (struct worker){.shared = shared, .slot = i};
        rng_init(&shared->workers[i].rng, seed + i);
        assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &shared->workers[i]), 0);
    }
    pthread_barrier_wait(&shared->start);
    if (beside != NULL) {
        beside(shared);
    }
    atomic_store(&shared->stop, true);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    pthread_barrier_destroy(&shared->start);
}

static int64_t all_taken(const struct shared *shared)
{
    int64_t taken = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        taken += shared->workers[i].taken;
    }
    return taken;
}

static uint64_t all_wrong(const struct shared *shared)
{
    uint64_t wrong = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        wrong += shared->workers[i].wrong;
    }
    return wrong;
}

static int setup(void **state)
{
    static struct shared shared;
    shared = (struct shared){0};
    if (stock_init(&shared.stock, 4) != HF_OK) {
        return -1;
    }
    *state = &shared;
    return 0;
}

static int teardown(void **state)
{
    struct shared *shared = *state;
    stock_deinit(shared->stock);
    return 0;
}

static int64_t available(const struct shared *shared)
{
    struct stock_view view;
    stock_read(shared->stock, ITEM, &view);
    return view.available;
}

/* ---- Selling out ---- */

static void take_until_sold_out(struct worker *worker)
{
    while (stock_take(worker->shared->stock, worker->slot, ITEM, 1) == HF_OK) {
        worker->taken++;
    }
}

static void sell_out(struct shared *shared, bool hot)
{
    stock_define(shared->stock, ITEM, 0, 0, hot);
    for (unsigned round = 0; round < FEWER_OF(1000); round++) {
        stock_restock(shared->stock, 0, ITEM, 100);
        run(shared, take_until_sold_out, NULL);
        assert_int_equal(all_taken(shared), 100);
        assert_int_equal(available(shared), 0);
    }
}

static void stock_sells_exactly_what_there_is(void **state)
{
    sell_out(*state, false);
}

static void stock_sells_exactly_what_there_is_when_hot(void **state)
{
    sell_out(*state, true);
}

static void take_many_at_once(struct worker *worker)
{
    for (;;) {
        int64_t qty = (int64_t)rng_between(&worker->rng, 1, 40);
        while (qty > 0 && stock_take(worker->shared->stock, worker->slot, ITEM, qty) != HF_OK) {
            qty--; /* nobody gives back: one unit less may still be there */
        }
        if (qty == 0) {
            return;
        }
        worker->taken += qty;
    }
}

static void stock_sells_exactly_what_there_is_by_many_units(void **state)
{
    struct shared *shared = *state;
    stock_define(shared->stock, ITEM, 0, 0, true);
    for (unsigned round = 0; round < FEWER_OF(300); round++) {
        stock_restock(shared->stock, 0, ITEM, 1000);
        run(shared, take_many_at_once, NULL);
        assert_int_equal(all_taken(shared), 1000);
        assert_int_equal(available(shared), 0);
    }
}

/* ---- Never a false refusal ---- */

/* A thread never has more than UNITS_EACH; there are as many for each. So there is always enough
 * for the one that asks, wherever it lies. */
#define UNITS_EACH 5

static void take_and_give_within_ones_share(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    for (unsigned i = 0; i < worker->shared->rounds; i++) {
        int64_t left = worker->shared->units - worker->taken;
        if (left > 0 && !rng_chance(&worker->rng, 3)) {
            int64_t qty = (int64_t)rng_between(&worker->rng, 1, (uint64_t)left);
            if (stock_take(stock, worker->slot, ITEM, qty) == HF_OK) {
                worker->taken += qty;
            } else {
                worker->wrong++;
            }
        } else if (worker->taken > 0) {
            int64_t qty = (int64_t)rng_between(&worker->rng, 1, (uint64_t)worker->taken);
            /* Another cell than the one it was taken from, now and then. */
            unsigned slot = rng_chance(&worker->rng, 4) ? worker->slot + 1 : worker->slot;
            stock_give(stock, slot, ITEM, qty);
            worker->taken -= qty;
        }
    }
}

static void never_refuse(struct shared *shared, int64_t units_each, bool hot)
{
    shared->rounds = 1000000 / FEWER;
    shared->units = units_each;
    stock_define(shared->stock, ITEM, 0, 0, hot);
    stock_restock(shared->stock, 0, ITEM, units_each * THREADS);
    run(shared, take_and_give_within_ones_share, NULL);
    assert_int_equal(all_wrong(shared), 0);
    assert_int_equal(available(shared), units_each * THREADS - all_taken(shared));
}

static void stock_never_refuses_one_unit_that_is_free(void **state)
{
    never_refuse(*state, 1, true);
}

static void stock_never_refuses_units_that_are_free(void **state)
{
    never_refuse(*state, UNITS_EACH, true);
}

static void stock_never_refuses_units_that_are_free_while_it_splits(void **state)
{
    never_refuse(*state, UNITS_EACH, false);
}

/* Each thread has its units but for the moment in which it moves them elsewhere: what is free is
 * seldom more than what one asks, and never stays where a scan has been. */
static void give_here_and_take_there(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    int64_t qty = worker->shared->units;
    if (stock_take(stock, worker->slot, ITEM, qty) != HF_OK) {
        worker->wrong++;
        return;
    }
    worker->taken = qty;
    for (unsigned i = 0; i < worker->shared->rounds && worker->wrong == 0; i++) {
        stock_give(stock, (unsigned)rng_below(&worker->rng, THREADS), ITEM, qty);
        if (stock_take(stock, (unsigned)rng_below(&worker->rng, THREADS), ITEM, qty) != HF_OK) {
            worker->wrong++;
            worker->taken = 0;
        }
    }
}

static void stock_never_refuses_units_that_move_about(void **state)
{
    struct shared *shared = *state;
    stock_define(shared->stock, ITEM, 0, 0, true);
    for (int64_t units = 1; units <= 3; units += 2) {
        shared->rounds = 300000 / FEWER;
        shared->units = units;
        stock_restock(shared->stock, 0, ITEM, units * THREADS);
        run(shared, give_here_and_take_there, NULL);
        assert_int_equal(all_wrong(shared), 0);
        assert_int_equal(available(shared), 0);
        stock_give(shared->stock, 0, ITEM, units * THREADS);
        assert_int_equal(stock_debit(shared->stock, 0, ITEM, units * THREADS, 0), HF_OK);
        stock_restock(shared->stock, 0, ITEM, -units * THREADS);
    }
}

/* As above, with one taker that wants nearly all that the others can't have. */
static void take_all_but_the_others_share(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    if (worker->slot != 0) {
        take_and_give_within_ones_share(worker);
        return;
    }
    for (unsigned i = 0; i < worker->shared->rounds / 10; i++) {
        if (stock_take(stock, 0, ITEM, 100) != HF_OK) {
            worker->wrong++;
        } else {
            stock_give(stock, (unsigned)rng_below(&worker->rng, THREADS), ITEM, 100);
        }
    }
}

static void stock_never_refuses_many_units_that_are_free(void **state)
{
    struct shared *shared = *state;
    shared->rounds = 1000000 / FEWER;
    shared->units = UNITS_EACH;
    int64_t stocked = 100 + UNITS_EACH * (THREADS - 1);
    stock_define(shared->stock, ITEM, 0, 0, true);
    stock_restock(shared->stock, 0, ITEM, stocked);
    run(shared, take_all_but_the_others_share, NULL);
    assert_int_equal(all_wrong(shared), 0);
    assert_int_equal(available(shared), stocked - all_taken(shared));
}

/* ---- Conservation, with an operator at work ---- */

static void trade(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    int64_t held = 0;
    for (unsigned i = 0; i < worker->shared->rounds; i++) {
        int64_t qty = (int64_t)rng_between(&worker->rng, 1, 6);
        switch (rng_below(&worker->rng, 5)) {
        case 0:
        case 1:
            if (stock_take(stock, worker->slot, ITEM, qty) == HF_OK) {
                held += qty;
            } else {
                worker->refused++;
            }
            break;
        case 2:
            if (held >= qty) {
                stock_give(stock, worker->slot, ITEM, qty);
                held -= qty;
            }
            break;
        case 3:
            if (held >= qty) {
                stock_sell(stock, worker->slot, ITEM, qty);
                held -= qty;
                worker->sold += qty;
            }
            break;
        default:
            if (worker->sold >= qty) {
                stock_sell(stock, worker->slot, ITEM, -qty);
                stock_give(stock, worker->slot, ITEM, qty);
                worker->sold -= qty;
            }
        }
    }
    worker->taken = held;
}

static void expect_numbers_add_up(const struct stock_view *view)
{
    assert_true(view->held >= 0);
    assert_int_equal(view->available + view->held + view->sold,
                     view->stocked - view->safety + view->presale_cap);
}

static void read_beside(struct shared *shared)
{
    for (unsigned i = 0; i < 200000 / FEWER; i++) {
        struct stock_view view;
        stock_read(shared->stock, ITEM, &view);
        expect_numbers_add_up(&view);
        assert_int_equal(view.stocked, 200);
        assert_true(view.available <= 200);
    }
}

static void expect_final_numbers(struct shared *shared, int64_t sellable)
{
    struct stock_view view;
    stock_read(shared->stock, ITEM, &view);
    int64_t sold = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        sold += shared->workers[i].sold;
    }
    assert_int_equal(view.held, all_taken(shared));
    assert_int_equal(view.sold, sold);
    assert_int_equal(view.available, sellable - all_taken(shared) - sold);
}

static void stock_conserves_units_while_it_is_read(void **state)
{
    struct shared *shared = *state;
    shared->rounds = 1000000 / FEWER;
    stock_define(shared->stock, ITEM, 0, 0, false);
    stock_restock(shared->stock, 0, ITEM, 200);
    run(shared, trade, read_beside);
    expect_final_numbers(shared, 200);
}

/* Raises and lowers everything an operator can; ends where it began. */
static void administer_beside(struct shared *shared)
{
    struct stock *stock = shared->stock;
    struct rng rng;
    rng_init(&rng, ~rng_seed_from_env(SEED_USUAL));
    for (unsigned i = 0; i < 50000 / FEWER; i++) {
        int64_t qty = (int64_t)rng_between(&rng, 1, 150);
        stock_define(stock, ITEM, (int64_t)rng_below(&rng, 150), (int64_t)rng_below(&rng, 30),
                     true);
        if (stock_debit(stock, 63, ITEM, qty, rng_chance(&rng, 2) ? 0 : INT64_MIN) == HF_OK) {
            stock_restock(stock, 63, ITEM, -qty);
            stock_restock(stock, 63, ITEM, qty);
        }
        struct stock_view view;
        stock_read(stock, ITEM, &view);
        expect_numbers_add_up(&view);
    }
    stock_define(stock, ITEM, 0, 0, true);
}

static void stock_conserves_units_while_it_is_adjusted(void **state)
{
    struct shared *shared = *state;
    shared->rounds = 1000000 / FEWER;
    stock_define(shared->stock, ITEM, 0, 0, true);
    stock_restock(shared->stock, 0, ITEM, 200);
    run(shared, trade, administer_beside);
    expect_final_numbers(shared, 200);
}

/* ---- Below zero ---- */

/* Takes for as long as it gets any, then gives all back: until told to stop. */
static void take_and_give_all(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    while (!atomic_load(&worker->shared->stop)) {
        while (worker->taken < 3 && stock_take(stock, worker->slot, ITEM, 1) == HF_OK) {
            worker->taken++;
        }
        if (worker->taken > 0) {
            stock_give(stock, worker->slot, ITEM, worker->taken);
            worker->taken = 0;
        } else {
            sched_yield();
        }
    }
}

/* A debit of all 50 units at once can be had only by force while others hold some. From then on
 * what they give back fills the debt, and once they have given back all nothing is left. */
static void close_and_open_beside(struct shared *shared)
{
    struct stock *stock = shared->stock;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(stock_debit(stock, 60, ITEM, 50, INT64_MIN), HF_OK);
        struct stock_view view;
        do {
            stock_read(stock, ITEM, &view);
            assert_true(view.available <= 0);
            sched_yield();
        } while (view.available < 0);
        for (unsigned slot = 0; slot < STOCK_SHARDS; slot++) {
            assert_int_equal(stock_take(stock, slot, ITEM, 1), HF_SOLD_OUT);
        }
        stock_restock(stock, 60, ITEM, -50);
        stock_restock(stock, 60, ITEM, 50);
        for (unsigned yield = 0; yield < i % 8; yield++) {
            sched_yield();
        }
    }
}

static void stock_below_zero_sells_nothing_to_any_thread(void **state)
{
    struct shared *shared = *state;
    stock_define(shared->stock, ITEM, 0, 0, true);
    stock_restock(shared->stock, 0, ITEM, 50);
    run(shared, take_and_give_all, close_and_open_beside);
    assert_int_equal(available(shared), 50);
}

/* ---- Splitting ---- */

static void take_and_give_one(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    for (unsigned i = 0; i < 20000000 / FEWER && !stock_is_split(stock, ITEM); i++) {
        if (stock_take(stock, worker->slot, ITEM, 1) == HF_OK) {
            stock_give(stock, worker->slot, ITEM, 1);
        } else {
            worker->wrong++;
        }
    }
}

/* Whether threads collide depends on the processors; the numbers must be right either way. */
static void stock_keeps_its_numbers_when_threads_collide(void **state)
{
    struct shared *shared = *state;
    stock_define(shared->stock, ITEM, 0, 0, false);
    stock_restock(shared->stock, 0, ITEM, THREADS);
    run(shared, take_and_give_one, NULL);
    assert_int_equal(all_wrong(shared), 0);
    assert_int_equal(available(shared), THREADS);
    print_message("split: %s\n", stock_is_split(shared->stock, ITEM) ? "yes" : "no");
}

/* ---- Several items ---- */

#define ITEMS 3u

/* The items in an order of the worker's own: six orders, so all of them meet. */
static void order_parts(const struct worker *worker, struct stock_part *parts)
{
    uint32_t first = worker->slot % ITEMS;
    uint32_t stride = worker->slot % 2 + 1;
    for (uint32_t i = 0; i < ITEMS; i++) {
        parts[i] = (struct stock_part){.item = 1 + (first + i * stride) % ITEMS};
    }
}

static int64_t taken_of(const struct stock_part *parts)
{
    return parts[0].taken + parts[1].taken + parts[2].taken;
}

static void give_parts(struct stock *stock, unsigned slot, const struct stock_part *parts)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        if (parts[i].taken > 0) {
            stock_give(stock, slot, parts[i].item, parts[i].taken);
        }
    }
}

static int64_t available_of(const struct shared *shared, uint32_t item)
{
    struct stock_view view;
    stock_read(shared->stock, item, &view);
    return view.available;
}

static int64_t all_available(const struct shared *shared)
{
    return available_of(shared, 1) + available_of(shared, 2) + available_of(shared, 3);
}

/* Two of eight take from one item only. The others ask for 1..6 and are content with fewer; as
 * nothing is given back, who once got fewer than it asked gets nothing more. */
static void take_any_until_sold_out(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    if (worker->slot >= 6) {
        while (stock_take(stock, worker->slot, 1 + worker->slot % ITEMS, 1) == HF_OK) {
            worker->taken++;
        }
        return;
    }
    struct stock_part parts[ITEMS];
    bool ended = false;
    order_parts(worker, parts);
    for (;;) {
        int64_t most = (int64_t)rng_between(&worker->rng, 1, 6);
        int64_t least = (int64_t)rng_between(&worker->rng, 1, (uint64_t)most);
        enum hf_status status = stock_take_any(stock, worker->slot, parts, ITEMS, least, most);
        int64_t taken = taken_of(parts);
        worker->wrong += status == HF_OK ? ended || taken < least || taken > most : taken != 0;
        worker->taken += taken;
        ended = ended || (status == HF_OK && taken < most);
        if (status != HF_OK && least == 1) {
            return;
        }
    }
}

static void stock_take_any_sells_exactly_what_there_is(void **state)
{
    struct shared *shared = *state;
    for (unsigned round = 0; round < FEWER_OF(300); round++) {
        for (uint32_t item = 1; item <= ITEMS; item++) {
            stock_restock(shared->stock, round % STOCK_SHARDS, item, 50 * item);
        }
        run(shared, take_any_until_sold_out, NULL);
        assert_int_equal(all_wrong(shared), 0);
        assert_int_equal(all_taken(shared), 300);
        for (uint32_t item = 1; item <= ITEMS; item++) {
            assert_int_equal(available_of(shared, item), 0);
        }
    }
}

/* Has a unit but for the moments in which it gives it to one item and takes one of another. */
static void give_one_and_take_one(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    uint32_t mine = 0;
    for (unsigned i = 0; i < worker->shared->rounds; i++) {
        if (mine != 0) {
            stock_give(stock, (unsigned)rng_below(&worker->rng, THREADS), mine, 1);
        }
        uint32_t item = 1 + (uint32_t)rng_below(&worker->rng, ITEMS);
        bool taken =
            stock_take(stock, (unsigned)rng_below(&worker->rng, THREADS), item, 1) == HF_OK;
        mine = taken ? item : 0;
    }
    if (mine != 0) {
        stock_give(stock, worker->slot, mine, 1);
    }
}

/* As give_here_and_take_there: all that is free may be just what one asks, it lies in any of the
 * items, and moves. */
static void give_and_take_any(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    int64_t qty = worker->shared->units;
    struct stock_part parts[ITEMS];
    order_parts(worker, parts);
    for (unsigned i = 0; i < worker->shared->rounds / 4 && worker->wrong == 0; i++) {
        unsigned slot = (unsigned)rng_below(&worker->rng, THREADS);
        if (stock_take_any(stock, slot, parts, ITEMS, qty, qty) != HF_OK ||
            taken_of(parts) != qty) {
            worker->wrong++;
        } else {
            give_parts(stock, (unsigned)rng_below(&worker->rng, THREADS), parts);
        }
    }
}

static void give_and_take_any_or_one(struct worker *worker)
{
    if (worker->slot % 2 == 0) {
        give_and_take_any(worker);
    } else {
        give_one_and_take_one(worker);
    }
}

static void stock_take_any_never_refuses_units_that_are_free(void **state)
{
    struct shared *shared = *state;
    int64_t stocked = 0;
    for (int64_t units = 1; units <= 4; units += 3) {
        shared->rounds = 200000 / FEWER;
        shared->units = units;
        for (unsigned i = 0; stocked < (units + 1) * THREADS / 2; i++, stocked++) {
            stock_restock(shared->stock, i, 1 + i % ITEMS, 1);
        }
        run(shared, give_and_take_any_or_one, NULL);
        assert_int_equal(all_wrong(shared), 0);
        assert_int_equal(all_available(shared), stocked);
    }
}

/* The narrowest: one asks for all that the other can't have, and the other's unit passes from item
 * to item under its eyes. */
static void give_and_take_any_or_one_of_two(struct worker *worker)
{
    if (worker->slot < 2) {
        give_and_take_any_or_one(worker);
    }
}

static void stock_take_any_never_refuses_units_that_pass_from_item_to_item(void **state)
{
    struct shared *shared = *state;
    shared->rounds = 4000000 / FEWER;
    shared->units = 1;
    stock_restock(shared->stock, 0, 1, 1);
    stock_restock(shared->stock, 0, ITEMS, 1);
    run(shared, give_and_take_any_or_one_of_two, NULL);
    assert_int_equal(all_wrong(shared), 0);
    assert_int_equal(all_available(shared), 2);
}

/* Half of the threads ask for more than there is of all items: the units that they have in hand
 * while they look must not make those fail that take their share of one item. */
static void ask_too_much_or_take_ones_share(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    if (worker->slot % 2 == 0) {
        take_and_give_within_ones_share(worker);
        return;
    }
    struct stock_part parts[ITEMS];
    order_parts(worker, parts);
    for (unsigned i = 0; i < worker->shared->rounds / 10; i++) {
        int64_t least = worker->shared->units * THREADS / 2 + 1;
        if (stock_take_any(stock, worker->slot, parts, ITEMS, least, least + 5) != HF_SOLD_OUT ||
            taken_of(parts) != 0) {
            worker->wrong++;
        }
    }
}

static void stock_take_any_in_vain_makes_nobody_else_fail(void **state)
{
    struct shared *shared = *state;
    shared->rounds = 500000 / FEWER;
    shared->units = UNITS_EACH;
    stock_define(shared->stock, ITEM, 0, 0, true);
    stock_restock(shared->stock, 0, ITEM, UNITS_EACH * THREADS / 2);
    run(shared, ask_too_much_or_take_ones_share, NULL);
    assert_int_equal(all_wrong(shared), 0);
    assert_int_equal(all_available(shared), UNITS_EACH * THREADS / 2 - all_taken(shared));
}

static void trade_any(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    struct stock_part parts[ITEMS];
    order_parts(worker, parts);
    for (unsigned i = 0; i < worker->shared->rounds; i++) {
        int64_t most = (int64_t)rng_between(&worker->rng, 1, 90);
        int64_t least = (int64_t)rng_below(&worker->rng, (uint64_t)most + 1);
        uint32_t count = (uint32_t)rng_between(&worker->rng, 1, ITEMS);
        unsigned slot = worker->slot;
        if (stock_take_any(stock, slot, parts, count, least, most) == HF_OK) {
            for (uint32_t at = count; at < ITEMS; at++) {
                parts[at].taken = 0;
            }
            worker->wrong += taken_of(parts) < least || taken_of(parts) > most;
            give_parts(stock, slot + i % 2, parts);
        }
    }
}

static void stock_take_any_conserves_units_while_one_is_adjusted(void **state)
{
    struct shared *shared = *state;
    shared->rounds = 100000 / FEWER;
    for (uint32_t item = 1; item <= ITEMS; item++) {
        stock_restock(shared->stock, 0, item, 100);
    }
    run(shared, trade_any, administer_beside);
    assert_int_equal(all_wrong(shared), 0);
    for (uint32_t item = 1; item <= ITEMS; item++) {
        assert_int_equal(available_of(shared, item), 100);
    }
}

/* ---- Beyond what is in stock ---- */

/* Half of the threads by stock_take_presale, half from two items; `sold` counts what was told as
 * beyond stock. */
static void take_presale_until_sold_out(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    struct stock_part parts[2] = {{.item = 1 + worker->slot / 2 % 2}};
    parts[1].item = ITEMS - parts[0].item;
    enum hf_status status = HF_OK;
    for (int64_t qty = 7; qty > 0; qty -= status == HF_OK ? 0 : 1) {
        if (worker->slot % 2 == 0) {
            int64_t presale;
            status = stock_take_presale(stock, worker->slot, parts[0].item, qty, &presale);
            worker->taken += status == HF_OK ? qty : 0;
            worker->sold += presale;
        } else {
            status = stock_take_any(stock, worker->slot, parts, 2, qty, qty);
            worker->taken += parts[0].taken + parts[1].taken;
            worker->sold += parts[0].presale + parts[1].presale;
        }
    }
}

static int64_t all_presale(const struct shared *shared)
{
    int64_t presale = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        presale += shared->workers[i].sold;
    }
    return presale;
}

static void stock_presale_is_exact_while_nothing_is_given_back(void **state)
{
    struct shared *shared = *state;
    for (unsigned round = 0; round < 500 / FEWER; round++) {
        for (uint32_t item = 1; item <= 2; item++) {
            /* 100 in stock, when what was sold beyond it is covered, and 70 beyond. */
            stock_define(shared->stock, item, 0, 70, false);
            stock_restock(shared->stock, 0, item, round == 0 ? 100 : 170);
        }
        run(shared, take_presale_until_sold_out, NULL);
        assert_int_equal(all_taken(shared), 340);
        assert_int_equal(all_presale(shared), 140);
        assert_int_equal(available_of(shared, 1) + available_of(shared, 2), 0);
    }
}

/* Counts answers that are not `presale` for each unit (0 or 1). */
static void take_presale_and_give(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    for (unsigned i = 0; i < worker->shared->rounds; i++) {
        int64_t qty = (int64_t)rng_between(&worker->rng, 1, UNITS_EACH);
        int64_t presale;
        if (stock_take_presale(stock, worker->slot, ITEM, qty, &presale) != HF_OK ||
            presale != qty * worker->shared->units) {
            worker->wrong++;
            return;
        }
        stock_give(stock, (unsigned)rng_below(&worker->rng, THREADS), ITEM, qty);
    }
}

/* All in stock, then all beyond. */
static void stock_presale_is_exact_on_one_side_of_the_stock(void **state)
{
    struct shared *shared = *state;
    shared->rounds = 60000 / FEWER;
    stock_define(shared->stock, ITEM, 0, UNITS_EACH * THREADS, false); /* splits on its way */
    stock_restock(shared->stock, 0, ITEM, UNITS_EACH * THREADS);
    shared->units = 0;
    run(shared, take_presale_and_give, NULL);
    assert_int_equal(all_wrong(shared), 0);

    int64_t presale;
    assert_int_equal(stock_take_presale(shared->stock, 0, ITEM, UNITS_EACH * THREADS, &presale),
                     HF_OK);
    assert_int_equal(presale, 0);
    shared->units = 1;
    run(shared, take_presale_and_give, NULL);
    assert_int_equal(all_wrong(shared), 0);
    assert_int_equal(available(shared), UNITS_EACH * THREADS);
}

/* Across the border: `sold` counts what was told as beyond stock, `refused` what was given back. */
static void take_presale_across_zero(struct worker *worker)
{
    struct stock *stock = worker->shared->stock;
    for (unsigned i = 0; i < worker->shared->rounds; i++) {
        int64_t qty = (int64_t)rng_between(&worker->rng, 1, UNITS_EACH);
        int64_t presale;
        if (stock_take_presale(stock, worker->slot, ITEM, qty, &presale) == HF_OK) {
            worker->wrong += presale < 0 || presale > qty;
            worker->sold += presale;
            worker->taken += qty;
        }
        if (worker->taken > 2 * UNITS_EACH) {
            stock_give(stock, worker->slot, ITEM, qty);
            worker->taken -= qty;
            worker->refused += (uint64_t)qty;
        }
    }
}

/* Units in stock that were taken came from there or were given back: no more of them. Units beyond:
 * at least those that are still out, at most those and what was given back. */
static void stock_presale_adds_up_while_units_are_given_back(void **state)
{
    struct shared *shared = *state;
    shared->rounds = 200000 / FEWER;
    stock_define(shared->stock, ITEM, 0, 60, true);
    stock_restock(shared->stock, 0, ITEM, 40);
    run(shared, take_presale_across_zero, NULL);
    int64_t given = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        given += (int64_t)shared->workers[i].refused;
    }
    int64_t beyond = all_taken(shared) > 40 ? all_taken(shared) - 40 : 0;
    assert_int_equal(all_wrong(shared), 0);
    assert_int_equal(available(shared), 100 - all_taken(shared));
    assert_true(all_presale(shared) >= beyond);
    assert_true(all_presale(shared) <= beyond + given);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stock_sells_exactly_what_there_is),
        TEST(stock_sells_exactly_what_there_is_when_hot),
        TEST(stock_sells_exactly_what_there_is_by_many_units),
        TEST(stock_never_refuses_one_unit_that_is_free),
        TEST(stock_never_refuses_units_that_are_free),
        TEST(stock_never_refuses_units_that_are_free_while_it_splits),
        TEST(stock_never_refuses_units_that_move_about),
        TEST(stock_never_refuses_many_units_that_are_free),
        TEST(stock_conserves_units_while_it_is_read),
        TEST(stock_conserves_units_while_it_is_adjusted),
        TEST(stock_below_zero_sells_nothing_to_any_thread),
        TEST(stock_keeps_its_numbers_when_threads_collide),
        TEST(stock_take_any_sells_exactly_what_there_is),
        TEST(stock_take_any_never_refuses_units_that_are_free),
        TEST(stock_take_any_never_refuses_units_that_pass_from_item_to_item),
        TEST(stock_take_any_in_vain_makes_nobody_else_fail),
        TEST(stock_take_any_conserves_units_while_one_is_adjusted),
        TEST(stock_presale_is_exact_while_nothing_is_given_back),
        TEST(stock_presale_is_exact_on_one_side_of_the_stock),
        TEST(stock_presale_adds_up_while_units_are_given_back),
    };
    print_message("SEED=%llu\n", (unsigned long long)rng_seed_from_env(SEED_USUAL));
#ifdef HOLDFAST_SCHEDULE
    schedule_yields(rng_seed_from_env(SEED_USUAL), 8);
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
