/* replay_test.c - lanes: several replay what one would, whatever the order in which they get to it.
 *
 * Threads: one a lane. SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/parallel.h"
#include "core/replay.h"
#include "lib/budget.h"
#include "lib/history.h"

#define LANES_MAX 4u

static uint64_t seed;

/* Four shards: as many lanes as that have orders of their own. */
static struct inventory_options options_of_four_shards(void)
{
    return rig_options(65536);
}

struct crew {
    const struct rig *rig;
    struct inventory *inventory;
    unsigned lane_count;
    struct replay_lane *lanes[LANES_MAX];
    uint32_t from; /* events of the log */
    uint32_t to;
};

static bool is_order(const struct event *event)
{
    return event->type <= EVENT_ORDER_FORGOTTEN;
}

/* A lane's own events of a stretch without others. */
static void replay_stretch(void *context, unsigned number)
{
    const struct crew *crew = context;
    for (uint32_t i = crew->from; i < crew->to; i++) {
        struct event event = crew->rig->log[i];
        uint64_t hash = id_hash(event.id);
        if (replay_lane_of(crew->inventory, hash, crew->lane_count) != number) {
            continue;
        }
        replay_prefetch_index(crew->lanes[number], hash);
        replay_prefetch_order(crew->lanes[number], hash);
        CHECK(replay_apply(crew->lanes[number], &event, hash) == HF_OK);
        CHECK(event.digest_delta == crew->rig->log[i].digest_delta);
    }
}

/* side_by_side: in threads; else lane after lane, the last one first. */
static struct inventory *replay_by(const struct rig *rig, unsigned lanes, bool side_by_side)
{
    struct inventory_options options = options_of_four_shards();
    struct crew crew = {.rig = rig, .lane_count = lanes};
    CHECK(inventory_init(&crew.inventory, &options) == HF_OK);
    CHECK(replay_lanes(crew.inventory, lanes) == lanes);
    for (unsigned i = 0; i < lanes; i++) {
        CHECK(replay_lane_init(&crew.lanes[i], crew.inventory, i) == HF_OK);
    }
    uint64_t digest = 0;
    while (crew.from < rig->log_count) {
        for (crew.to = crew.from; crew.to < rig->log_count && is_order(&rig->log[crew.to]);) {
            crew.to++;
        }
        if (side_by_side) {
            parallel_run(lanes, replay_stretch, &crew);
        }
        for (unsigned i = lanes; i > 0 && !side_by_side; i--) {
            replay_stretch(&crew, i - 1);
        }
        if (crew.to < rig->log_count) {
            struct event event = rig->log[crew.to++];
            CHECK(inventory_apply(crew.inventory, &event) == HF_OK);
            digest += event.digest_delta;
        }
        crew.from = crew.to;
    }
    for (unsigned i = 0; i < lanes; i++) {
        digest += replay_digest(crew.lanes[i]);
        replay_lane_finish(crew.lanes[i]);
        replay_lane_deinit(crew.lanes[i]);
    }
    CHECK(digest == rig->digest);
    return crew.inventory;
}

static void lanes_replay_what_one_thread_does(void **state)
{
    (void)state;
    struct inventory_options options = options_of_four_shards();
    struct budget budget = budget_make("histories", 1, 1.0, 500);
    while (budget_next(&budget)) {
        struct history h;
        history_open(&h, seed + budget.round, &options);
        history_run(&h, 3000);
        rig_check(&h.rig);
        for (unsigned lanes = 1; lanes <= LANES_MAX; lanes *= 2) {
            for (int side_by_side = 0; side_by_side <= 1; side_by_side++) {
                struct inventory *replica = replay_by(&h.rig, lanes, side_by_side);
                history_check_same(&h, h.rig.inventory, replica, true);
                inventory_deinit(replica);
            }
        }
        history_close(&h);
    }
}

/* ---- Deadlines ---- */

static void enter_part(void *context, unsigned number)
{
    inventory_replayed_part(context, number, 3);
}

static void deadlines_entered_in_parts_are_all_there(void **state)
{
    (void)state;
    struct inventory_options options = options_of_four_shards();
    struct history h;
    history_open(&h, seed, &options);
    history_run(&h, 3000);
    struct inventory *replica = replay_by(&h.rig, 2, true);
    parallel_run(3, enter_part, replica);
    struct inventory_counts counts;
    inventory_counts(replica, &counts);
    assert_int_equal(counts.deadlines, counts.orders_held);
    history_check_same(&h, h.rig.inventory, replica, true);
    inventory_replayed(replica); /* enters nothing twice */
    inventory_counts(replica, &counts);
    assert_int_equal(counts.deadlines, counts.orders_held);
    inventory_deinit(replica);
    history_close(&h);
}

/* ---- Lanes ---- */

static void lanes_are_no_more_than_shards_and_a_power_of_two(void **state)
{
    (void)state;
    struct inventory_options options = options_of_four_shards();
    struct inventory *inventory;
    assert_int_equal(inventory_init(&inventory, &options), HF_OK);
    assert_int_equal(replay_lanes(inventory, 1), 1);
    assert_int_equal(replay_lanes(inventory, 3), 2);
    assert_int_equal(replay_lanes(inventory, 4), 4);
    assert_int_equal(replay_lanes(inventory, 16), 4);
    inventory_deinit(inventory);
    options.orders_max = 100; /* one shard */
    assert_int_equal(inventory_init(&inventory, &options), HF_OK);
    assert_int_equal(replay_lanes(inventory, 16), 1);
    inventory_deinit(inventory);
}

static void lanes_own_hashes_in_their_order(void **state)
{
    (void)state;
    struct inventory_options options = options_of_four_shards();
    struct inventory *inventory;
    assert_int_equal(inventory_init(&inventory, &options), HF_OK);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t first = (uint64_t)i << 62;
        assert_int_equal(replay_lane_of(inventory, first, 4), i);
        assert_int_equal(replay_lane_of(inventory, first + ((uint64_t)1 << 62) - 1, 4), i);
        assert_int_equal(replay_lane_of(inventory, first, 2), i / 2);
        assert_int_equal(replay_lane_of(inventory, first, 1), 0);
    }
    inventory_deinit(inventory);
}

static void lane_refuses_what_does_not_fit_and_what_is_not_an_orders(void **state)
{
    (void)state;
    struct inventory_options options = options_of_four_shards();
    struct history h;
    history_open(&h, seed, &options);
    struct inventory *inventory = replay_by(&h.rig, 1, false);
    struct replay_lane *lane;
    assert_int_equal(replay_lane_init(&lane, inventory, 0), HF_OK);
    struct event held = {.type = EVENT_ORDER_HELD, .id = {1, 2}, .line_count = 1, .one = {1, 2}};
    held.lines = &held.one;
    struct event committed = {.type = EVENT_ORDER_COMMITTED, .id = {1, 2}};
    struct event unknown_item = held;
    unknown_item.one.item = HISTORY_ITEMS + 1;
    uint64_t hash = id_hash(held.id);
    assert_int_equal(replay_apply(lane, &committed, hash), HF_DAMAGED);
    assert_int_equal(replay_apply(lane, &unknown_item, hash), HF_DAMAGED);
    assert_true(replay_digest(lane) == 0);
    assert_int_equal(replay_apply(lane, &held, hash), HF_OK);
    assert_int_equal(replay_apply(lane, &held, hash), HF_DAMAGED);
    assert_true(replay_digest(lane) == held.digest_delta);
    struct event adjusted = {.type = EVENT_STOCK_ADJUSTED};
    assert_int_equal(replay_apply(lane, &adjusted, hash), HF_DAMAGED);
    /* Units are in stock once the lane has finished. */
    struct item_view view;
    assert_int_equal(inventory_item(inventory, 1, &view), HF_OK);
    assert_int_equal(view.stock.held, 0);
    replay_lane_finish(lane);
    assert_int_equal(inventory_item(inventory, 1, &view), HF_OK);
    assert_int_equal(view.stock.held, 2);
    replay_lane_deinit(lane);
    replay_lane_deinit(NULL);
    inventory_deinit(inventory);
    history_close(&h);
}

int main(void)
{
    seed = rng_seed_from_env(0x5EED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_replay_what_one_thread_does),
        cmocka_unit_test(deadlines_entered_in_parts_are_all_there),
        cmocka_unit_test(lanes_are_no_more_than_shards_and_a_power_of_two),
        cmocka_unit_test(lanes_own_hashes_in_their_order),
        cmocka_unit_test(lane_refuses_what_does_not_fit_and_what_is_not_an_orders),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed) {
        fprintf(stderr, "SEED=%llu\n", (unsigned long long)seed);
    }
    return failed;
}
