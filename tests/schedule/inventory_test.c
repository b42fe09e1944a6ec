/* inventory_test.c - what inventory.h promises to threads, in every interleaving that a seed finds:
 * each prefix of the log is legal, readers see the state at one LSN, limits hold and are not
 * refused falsely, units that move are for sale all the time, no order or deadline is lost.
 *
 * Threads: coroutines of one thread (lib/schedule.h). */
#include "core_world.h"

/* ---- Some threads on few orders ---- */

/* What was reserved before, as an answer says, is what the log says. */
static void reserve_and_look(struct actor *actor, uint64_t id)
{
    const struct world *world = actor->world;
    uint32_t from = states_begin(world);
    struct order_outcome outcome = reserve(actor, id, (uint32_t)below(actor, 2), 1);
    SCHEDULE_CHECK(outcome.status == HF_OK || outcome.status == HF_SOLD_OUT ||
                   outcome.status == HF_ID_CONFLICT);
    bool found = !outcome.replayed;
    for (uint32_t i = from; i < world->state_count; i++) {
        found = found || world->states[i].orders[id - 1].state == outcome.state;
    }
    SCHEDULE_CHECK(found);
    SCHEDULE_CHECK(!outcome.replayed || outcome.state != ORDER_NONE);
}

static void act(struct actor *actor)
{
    uint64_t id = 1 + below(actor, 2);
    actor->txn->now_ms += below(actor, 3) == 0 ? HOLD_MS / 2 : 0;
    struct order_outcome outcome;
    switch (below(actor, 6)) {
    case 0:
        edit(actor, inventory_commit, id);
        break;
    case 1:
        edit(actor, inventory_release, id);
        break;
    case 2:
        edit(actor, inventory_return, id);
        break;
    case 3:
        DECIDE(actor, inventory_extend(actor->txn, order_id(id), 2 * HOLD_MS, &outcome));
        break;
    default:
        reserve_and_look(actor, id);
    }
    if (chance(actor, 2)) {
        publish(actor);
    }
}

static void act_some(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < actor->rounds; round++) {
        act(actor);
    }
    publish(actor);
}

static void expire_some(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    for (unsigned round = 0; round < 2; round++) {
        actor->txn->now_ms = world->now_ms + HOLD_MS * (1 + round);
        DECIDE(actor, inventory_expire(actor->txn));
        publish(actor);
    }
}

/* No deadline is lost: when all time has passed nothing is held. */
static void expire_all(struct world *world)
{
    struct actor *actor = &world->actors[0];
    actor->txn->now_ms = world->now_ms + 100 * HOLD_MS;
    DECIDE(actor, inventory_expire(actor->txn));
    publish(actor);
    struct inventory_counts counts;
    inventory_counts(world->inventory, &counts);
    SCHEDULE_CHECK_EQUAL(counts.orders_held, 0);
    SCHEDULE_CHECK_EQUAL(counts.deadlines, 0);
}

static void threads_meet_on_orders(struct world *world)
{
    struct schedule *schedule = world->schedule;
    make_item(world, "a", 1, 0, rng_chance(&schedule->rng, 2));
    make_item(world, "b", 2, 0, rng_chance(&schedule->rng, 2));
    unsigned actors = (unsigned)rng_between(&schedule->rng, 2, 3);
    for (unsigned i = 0; i < actors; i++) {
        world->actors[i].rounds = 3;
        schedule_add(schedule, act_some, &world->actors[i]);
    }
    if (rng_chance(&schedule->rng, 2)) {
        schedule_add(schedule, expire_some, &world->actors[3]);
    }
    schedule_run(schedule);
    expire_all(world);
}

/* ---- Readers ---- */

static bool items_same(const struct stock_view *view, const struct stock_view *noted)
{
    return view->stocked == noted->stocked && view->held == noted->held &&
           view->sold == noted->sold && view->available == noted->available;
}

/* Both items together, the counts, an order with its coverage: each is one of the states. */
static void read_states(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    uint32_t items[2] = {item_of(world, 0), item_of(world, 1)};
    struct item_view views[2];
    for (unsigned round = 0; round < 3; round++) {
        uint32_t from = states_begin(world);
        bool found = false;
        struct inventory_counts counts;
        struct order_state_seen seen;
        uint64_t id = 1 + below(actor, 3);
        unsigned what = (unsigned)below(actor, 3);
        if (what == 0) {
            inventory_items(world->inventory, items, 2, views);
        } else if (what == 1) {
            inventory_counts(world->inventory, &counts);
        } else {
            order_look(world->inventory, id, &seen);
        }
        for (uint32_t i = from; i < world->state_count; i++) {
            const struct state_noted *state = &world->states[i];
            const struct order_state_seen *order = &state->orders[id - 1];
            found = found || (what == 0 && items_same(&views[0].stock, &state->items[0]) &&
                              items_same(&views[1].stock, &state->items[1]));
            found = found || (what == 1 && counts.orders_known == state->known &&
                              counts.orders_held == state->held);
            found = found || (what == 2 && seen.state == order->state && seen.lsn == order->lsn &&
                              seen.committed == order->committed && seen.covered == order->covered);
        }
        SCHEDULE_CHECK(found);
    }
}

/* Orders of both items, several in one transaction. */
static void order_both(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < actor->rounds; round++) {
        uint64_t id = actor->first_id + round;
        struct order_line lines[2] = {{item_of(actor->world, 0), 1}, {item_of(actor->world, 1), 1}};
        reserve_lines(actor, id, 7, lines, 2, NULL);
        if (chance(actor, 2)) {
            publish(actor);
        }
        if (chance(actor, 2)) {
            edit(actor, chance(actor, 2) ? inventory_commit : inventory_release, id);
        }
    }
    publish(actor);
}

static void move_about(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < 2; round++) {
        move(actor, actor->number * 10 + round, round, 1 - round, 1);
    }
}

static void readers_see_whole_states(struct world *world)
{
    struct schedule *schedule = world->schedule;
    bool hot = rng_chance(&schedule->rng, 2);
    int64_t presale_cap = rng_chance(&schedule->rng, 3) ? 2 : 0;
    make_item(world, "a", 3, presale_cap, hot);
    make_item(world, "b", 3, 0, hot);
    world->slow_log = rng_chance(&schedule->rng, 2);
    world->actors[1].first_id = 3;
    schedule_add(schedule, order_both, &world->actors[0]);
    if (rng_chance(&schedule->rng, 2)) {
        schedule_add(schedule, order_both, &world->actors[1]);
    } else {
        schedule_add(schedule, move_about, &world->actors[1]);
    }
    schedule_add(schedule, read_states, &world->actors[2]);
    if (rng_chance(&schedule->rng, 3)) {
        schedule_add(schedule, read_states, &world->actors[3]);
    }
    schedule_run(schedule);
    expire_all(world);
}

/* ---- Moves ---- */

/* Wants a unit of either pool; two pools have two units, and there are two who want one. */
static void want_of_both(void *context)
{
    struct actor *actor = context;
    struct order_line line = {item_of(actor->world, actor->number % 2), 1};
    uint32_t fallback = item_of(actor->world, 1 - actor->number % 2);
    struct line_shape shape = {
        .split = chance(actor, 2), .fallback_count = 1, .fallbacks = &fallback};
    if (actor->count == 1 && chance(actor, 2)) {
        /* One more than there are, so that it comes short with a unit in its hands. */
        line.qty = 2;
        shape.policy = LINE_UP_TO;
        shape.min_qty = 1;
    }
    for (unsigned round = 0; round < actor->rounds; round++) {
        uint64_t id = actor->first_id + round;
        SCHEDULE_CHECK(reserve_lines(actor, id, 7, &line, 1, &shape).status == HF_OK);
        publish(actor);
        edit(actor, inventory_release, id);
        publish(actor);
    }
}

static void move_units(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < 3; round++) {
        uint32_t from = (uint32_t)below(actor, 2);
        struct item_view view;
        uint32_t item = item_of(actor->world, from);
        SCHEDULE_CHECK(inventory_item(actor->world->inventory, item, &view) == HF_OK);
        int64_t units = view.stock.stocked > 1 ? 1 + (int64_t)below(actor, 2) : 1;
        move(actor, round, from, 1 - from, units);
    }
}

static void units_that_move_are_for_sale(struct world *world)
{
    struct schedule *schedule = world->schedule;
    bool hot = rng_chance(&schedule->rng, 2);
    unsigned wanting = (unsigned)rng_between(&schedule->rng, 1, 2);
    make_item(world, "a", wanting, 0, hot);
    make_item(world, "b", 0, 0, hot);
    for (unsigned i = 0; i < wanting; i++) {
        world->actors[i].first_id = 1 + 2 * i;
        world->actors[i].count = wanting;
        schedule_add(schedule, want_of_both, &world->actors[i]);
    }
    schedule_add(schedule, move_units, &world->actors[2]);
    schedule_run(schedule);
}

/* ---- Limits ---- */

#define LIMIT 2

/* Of one buyer: what may count, and what counts for certain. */
static int64_t count_low;
static int64_t count_high;
static int64_t count_most[ACTORS]; /* of count_high, during an actor's call */

static void count_more(int64_t units)
{
    count_high += units;
    for (unsigned i = 0; i < ACTORS; i++) {
        count_most[i] = count_high > count_most[i] ? count_high : count_most[i];
    }
}

static void buy_within_limit(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < actor->rounds; round++) {
        uint64_t id = actor->first_id + round;
        int64_t qty = 1 + (int64_t)below(actor, 2);
        struct order_line lines[2] = {{item_of(actor->world, 0), (uint32_t)qty},
                                      {item_of(actor->world, 1), 1}};
        uint32_t line_count = qty == 1 && chance(actor, 2) ? 2 : 1;
        qty += line_count - 1;
        count_most[actor->number] = 0;
        count_more(qty);
        struct order_outcome outcome = reserve_lines(actor, id, 7, lines, line_count, NULL);
        if (outcome.status == HF_OK) {
            count_low += qty;
            SCHEDULE_CHECK(count_low <= LIMIT);
        } else {
            SCHEDULE_CHECK(outcome.status == HF_LIMIT_EXCEEDED);
            SCHEDULE_CHECK(count_most[actor->number] > LIMIT);
            count_high -= qty;
            continue;
        }
        publish(actor);
        if (chance(actor, 3)) {
            continue;
        }
        count_low -= qty;
        edit(actor, inventory_release, id);
        publish(actor);
        count_high -= qty;
    }
}

static void limits_are_kept(struct world *world)
{
    struct schedule *schedule = world->schedule;
    make_item(world, "a", 50, 0, true);
    make_item(world, "b", 50, 0, false);
    struct sku_rule rule = {.sku = bytes_of(world->sku), .limit_per_buyer = LIMIT};
    SCHEDULE_CHECK(inventory_define_sku(world->actors[0].txn, &rule) == HF_OK);
    publish(&world->actors[0]);
    count_low = 0;
    count_high = 0;
    for (unsigned i = 0; i < 3; i++) {
        world->actors[i].first_id = 1 + 2 * i;
        schedule_add(schedule, buy_within_limit, &world->actors[i]);
    }
    schedule_run(schedule);
    SCHEDULE_CHECK_EQUAL(inventory_buyer_units(world->inventory, bytes_of(world->sku), 7),
                         count_low);
}

/* ---- Pre-sale ---- */

static void buy_ahead(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < actor->rounds; round++) {
        uint64_t id = actor->first_id + round;
        if (!chance(actor, 3) &&
            reserve(actor, id, 0, 1 + (uint32_t)below(actor, 2)).status == HF_OK &&
            chance(actor, 2)) {
            publish(actor);
        }
        if (!chance(actor, 3)) {
            /* Or another's, as soon as it is there. */
            edit(actor, chance(actor, 3) ? inventory_commit : inventory_release,
                 chance(actor, 2) ? id : 1 + below(actor, 4));
        }
    }
    publish(actor);
}

static void restock_some(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < 2; round++) {
        adjust(actor, round, 0, 1, false);
    }
}

static void tickets_cover_in_their_order(struct world *world)
{
    struct schedule *schedule = world->schedule;
    make_item(world, "a", 1, 5, rng_chance(&schedule->rng, 2));
    make_item(world, "b", 0, 0, false);
    world->slow_log = rng_chance(&schedule->rng, 4);
    for (unsigned i = 0; i < 2; i++) {
        world->actors[i].first_id = 1 + 2 * i;
        schedule_add(schedule, buy_ahead, &world->actors[i]);
    }
    if (rng_chance(&schedule->rng, 2)) {
        schedule_add(schedule, restock_some, &world->actors[2]);
    }
    schedule_add(schedule, read_states, &world->actors[3]);
    schedule_run(schedule);
}

static void sell_one(void *context)
{
    struct actor *actor = context;
    reserve(actor, 1, 0, 1);
    publish(actor);
}

/* Ends the order as soon as it can be seen. */
static void end_that_one(void *context)
{
    struct actor *actor = context;
    for (unsigned tries = 0; tries < 40; tries++) {
        if (edit(actor, chance(actor, 4) ? inventory_commit : inventory_release, 1).status ==
            HF_OK) {
            break;
        }
        schedule_wait();
    }
    publish(actor);
}

/* Whoever sees an order finds its units and its ticket counted. */
static void what_is_seen_may_be_ended(struct world *world)
{
    make_item(world, "a", 0, 2, rng_chance(&world->schedule->rng, 2));
    make_item(world, "b", 0, 0, false);
    schedule_add(world->schedule, sell_one, &world->actors[0]);
    schedule_add(world->schedule, end_that_one, &world->actors[1]);
    if (rng_chance(&world->schedule->rng, 3)) {
        schedule_add(world->schedule, read_states, &world->actors[2]);
    }
    schedule_run(world->schedule);
}

static void open_presale(void *context)
{
    struct actor *actor = context;
    define_item(actor, actor->world->sku, "a", 0, 3, false);
}

static void buy_two(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < 2; round++) {
        struct order_line line = {item_of(actor->world, 0), 1};
        struct line_shape shape = {.policy = LINE_UP_TO, .min_qty = 1};
        reserve_lines(actor, actor->first_id + round, 7, &line, 1,
                      chance(actor, 2) ? &shape : NULL);
        if (chance(actor, 2)) {
            publish(actor);
        }
    }
    publish(actor);
}

/* While an item's pre-sale is opened, every unit that is sold beyond its stock has a ticket. */
static void presale_opens_beside_sales(struct world *world)
{
    make_item(world, "a", 1, 0, rng_chance(&world->schedule->rng, 2));
    make_item(world, "b", 0, 0, false);
    schedule_add(world->schedule, open_presale, &world->actors[2]);
    for (unsigned i = 0; i < 2; i++) {
        world->actors[i].first_id = 1 + 2 * i;
        schedule_add(world->schedule, buy_two, &world->actors[i]);
    }
    schedule_run(world->schedule);
    int64_t sold = 0;
    int64_t tickets = 0;
    for (uint64_t id = 1; id <= 4; id++) {
        struct order_view view;
        struct order_line_view line;
        if (inventory_order(world->inventory, order_id(id), &view, &line, 1) == HF_OK) {
            sold += line.qty;
            tickets += line.presale_qty;
        }
    }
    /* One more than is needed may be, when units were taken and given back again meanwhile. */
    SCHEDULE_CHECK(tickets >= sold - 1 && tickets <= sold);
}

/* ---- Forgetting ---- */

static void forget_some(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    for (unsigned round = 0; round < 3; round++) {
        if (!chance(actor, 3)) {
            struct hint_cursor sweep = {0};
            while (!sweep.done) {
                inventory_sweep_hints(world->inventory, &sweep, 8, actor->txn->now_ms);
            }
        } else {
            actor->txn->now_ms = world->now_ms + 2 * HOLD_MS;
            DECIDE(actor, inventory_expire(actor->txn));
            publish(actor);
        }
        struct order_cursor cursor = {0};
        while (!cursor.done) {
            DECIDE(actor, inventory_forget(actor->txn, UINT64_MAX, &cursor, 4, NULL));
        }
        publish(actor);
    }
}

/* Ends an order, and makes one of the same id anew. */
static void come_and_go(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < actor->rounds; round++) {
        uint64_t id = 1 + (below(actor, 4) == 0);
        reserve(actor, id, (uint32_t)below(actor, 2), 1);
        publish(actor);
        edit(actor, chance(actor, 2) ? inventory_commit : inventory_release, id);
        if (chance(actor, 2)) {
            publish(actor);
            edit(actor, inventory_return, id);
        }
        if (chance(actor, 2)) {
            publish(actor);
        }
    }
    publish(actor);
}

/* Orders 5 and 6 are held all the time: each list has each of them once. */
static void list_some(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < 2; round++) {
        struct order_cursor cursor = {0};
        struct order_filter filter = {.buyer = 9 + actor->world->episode};
        unsigned count = 0;
        while (!cursor.done) {
            struct order_view views[2];
            uint32_t found = inventory_list_orders(actor->world->inventory, &filter, &cursor, views,
                                                   2, 1 + (uint32_t)below(actor, 3));
            for (uint32_t i = 0; i < found; i++) {
                SCHEDULE_CHECK(views[i].id.lo >= 5);
            }
            count += found;
        }
        SCHEDULE_CHECK_EQUAL(count, 2);
    }
}

static void what_is_forgotten_makes_room(struct world *world)
{
    struct schedule *schedule = world->schedule;
    make_item(world, "a", 4, 0, true);
    make_item(world, "b", 4, 0, false);
    struct order_line line = {item_of(world, 0), 1};
    for (uint64_t id = 5; id <= 6; id++) {
        struct order_outcome outcome;
        SCHEDULE_CHECK(
            reserve_lines(&world->actors[0], id, 9 + world->episode, &line, 1, NULL).status ==
            HF_OK);
        DECIDE(&world->actors[0],
               inventory_extend(world->actors[0].txn, order_id(id), 9 * HOLD_MS, &outcome));
        publish(&world->actors[0]);
    }
    schedule_add(schedule, come_and_go, &world->actors[0]);
    if (rng_chance(&schedule->rng, 2)) {
        schedule_add(schedule, come_and_go, &world->actors[1]);
    }
    schedule_add(schedule, forget_some, &world->actors[2]);
    schedule_add(schedule, list_some, &world->actors[3]);
    schedule_run(schedule);
    expire_all(world);
}

static void return_one(void *context)
{
    struct actor *actor = context;
    edit(actor, inventory_return, 1 + actor->number);
    publish(actor);
}

static void forget_all(void *context)
{
    struct actor *actor = context;
    struct order_cursor cursor = {0};
    while (!cursor.done) {
        DECIDE(actor, inventory_forget(actor->txn, UINT64_MAX, &cursor, 4, NULL));
    }
    publish(actor);
}

/* Orders that may be forgotten at any moment, and are returned meanwhile. */
static void what_is_edited_is_not_forgotten(struct world *world)
{
    make_item(world, "a", 4, 0, false);
    make_item(world, "b", 4, 0, false);
    for (uint64_t id = 1; id <= 2; id++) {
        reserve(&world->actors[0], id, 0, 1);
        publish(&world->actors[0]);
        edit(&world->actors[0], inventory_commit, id);
        publish(&world->actors[0]);
    }
    struct hint_cursor sweep = {0};
    while (!sweep.done) {
        inventory_sweep_hints(world->inventory, &sweep, 8, world->now_ms);
    }
    schedule_add(world->schedule, return_one, &world->actors[0]);
    schedule_add(world->schedule, return_one, &world->actors[1]);
    schedule_add(world->schedule, forget_all, &world->actors[2]);
    schedule_run(world->schedule);
}

/* ---- Definitions ---- */

/* Rule k has k in each of its fields: a reader never sees two of them mixed. */
static void define_rules(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    struct inventory *inventory = world->inventory;
    for (uint32_t k = 1; k <= 2; k++) {
        struct sku_rule rule = {.sku = bytes_of(world->sku),
                                .limit_per_buyer = k,
                                .opens_at_ms = k,
                                .closes_at_ms = UINT32_MAX + (uint64_t)k,
                                .hold_ms = k,
                                .hold_ms_max = k};
        inventory_admin_lock(inventory);
        SCHEDULE_CHECK(inventory_define_sku(actor->txn, &rule) == HF_OK);
        publish(actor);
        inventory_admin_unlock(inventory);
    }
    define_item(actor, world->new_sku, "a", 0, 0, false);
}

static void read_rules(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    struct inventory *inventory = world->inventory;
    uint32_t last = 0;
    for (unsigned round = 0; round < 3; round++) {
        struct sku_rule rule;
        SCHEDULE_CHECK(inventory_sku(inventory, bytes_of(world->sku), &rule) == HF_OK);
        uint32_t k = rule.limit_per_buyer;
        SCHEDULE_CHECK(k >= last);
        SCHEDULE_CHECK(rule.opens_at_ms == k && rule.hold_ms == k && rule.hold_ms_max == k);
        SCHEDULE_CHECK(rule.closes_at_ms == (k ? UINT32_MAX + (uint64_t)k : 0));
        last = k;
        struct bytes sku;
        SCHEDULE_CHECK(!inventory_next_sku(inventory, bytes_of(world->sku), &sku) || sku.len > 0);
        uint32_t item = inventory_find_item(inventory, bytes_of(world->new_sku), bytes_of("a"));
        if (item) {
            struct item_view view;
            SCHEDULE_CHECK(inventory_item(inventory, item, &view) == HF_OK);
            SCHEDULE_CHECK(bytes_equal(view.sku, bytes_of(world->new_sku)));
            SCHEDULE_CHECK(bytes_equal(view.pool, bytes_of("a")));
            SCHEDULE_CHECK(inventory_next_sku(inventory, bytes_of(world->sku), &sku));
        }
    }
}

/* Every SKU is met once, in the order of codes. */
static void check_skus(struct world *world)
{
    struct inventory_counts counts;
    inventory_counts(world->inventory, &counts);
    struct bytes sku = bytes_of("");
    uint64_t met = 0;
    while (inventory_next_sku(world->inventory, sku, &sku)) {
        SCHEDULE_CHECK(sku.len > 0);
        met++;
        SCHEDULE_CHECK(met <= counts.skus);
    }
    SCHEDULE_CHECK_EQUAL(met, counts.skus);
}

static void rules_are_read_whole(struct world *world)
{
    struct schedule *schedule = world->schedule;
    make_item(world, "a", 1, 0, false);
    schedule_add(schedule, define_rules, &world->actors[0]);
    schedule_add(schedule, read_rules, &world->actors[1]);
    if (rng_chance(&schedule->rng, 2)) {
        schedule_add(schedule, read_rules, &world->actors[2]);
    }
    schedule_run(schedule);
    check_skus(world);
}

/* Sets units aside and gives them back, or counts them off, while they are sold. */
static void set_aside(void *context)
{
    struct actor *actor = context;
    const struct world *world = actor->world;
    for (unsigned round = 0; round < 2; round++) {
        if (world->forced) {
            int64_t safety = round == 0 ? 1 + (int64_t)below(actor, 3) : 0;
            define_item(actor, world->sku, "a", safety, 0, false);
        } else {
            enum hf_status status = adjust(actor, round, 0, chance(actor, 3) ? 2 : -2, false);
            SCHEDULE_CHECK(status == HF_OK || status == HF_WOULD_OVERSELL || status == HF_INVALID);
        }
    }
}

/* Who is sold a unit found one that was free in some state of the log, from when it asked. */
static void sell_one_by_one(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    for (unsigned round = 0; round < actor->rounds; round++) {
        uint32_t from = world->state_count - 1;
        if (reserve(actor, actor->first_id + round, 0, 1).status != HF_OK) {
            continue;
        }
        bool was_free = false;
        for (uint32_t i = from; i < world->state_count; i++) {
            was_free = was_free || world->states[i].items[0].available > 0;
        }
        SCHEDULE_CHECK(was_free);
        publish(actor);
    }
}

static void what_is_set_aside_is_not_sold(struct world *world)
{
    struct schedule *schedule = world->schedule;
    make_item(world, "a", 3, 0, rng_chance(&schedule->rng, 2));
    /* A safety stock may be more than there is; a change of stock may not, unless it is forced:
     * then no prefix of the log is below zero (world_note). */
    world->forced = rng_chance(&schedule->rng, 2);
    for (unsigned i = 0; i < 2; i++) {
        world->actors[i].first_id = 1 + 2 * i;
        schedule_add(schedule, sell_one_by_one, &world->actors[i]);
    }
    schedule_add(schedule, set_aside, &world->actors[2]);
    schedule_run(schedule);
}

/* ---- Deadlines ---- */

/* Orders whose deadlines are entered, entered again and dropped, all in few wheels. */
static void hold_and_extend(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < actor->rounds; round++) {
        uint64_t id = actor->first_id + round;
        struct order_outcome outcome;
        reserve(actor, id, 0, 1);
        publish(actor);
        DECIDE(actor, inventory_extend(actor->txn, order_id(id), 3 * HOLD_MS, &outcome));
        publish(actor);
        /* So that the next order's first deadline is this one's extended one: in one bucket. */
        actor->txn->now_ms = actor->world->now_ms + 2 * HOLD_MS;
        for (unsigned i = 0; i < 3 && chance(actor, 2); i++) {
            schedule_wait();
        }
    }
}

static void expire_and_sweep(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    for (unsigned round = 0; round < 3; round++) {
        if (chance(actor, 2)) {
            struct hint_cursor sweep = {0};
            while (!sweep.done) {
                inventory_sweep_hints(world->inventory, &sweep, 8, world->now_ms);
            }
        } else {
            actor->txn->now_ms = world->now_ms + HOLD_MS * (1 + round);
            DECIDE(actor, inventory_expire(actor->txn));
            publish(actor);
        }
    }
}

static void no_deadline_is_lost(struct world *world)
{
    make_item(world, "a", 6, 0, false);
    world->actors[1].first_id = 3;
    /* The second of two wheels, or both of one. */
    world->actors[1].txn->slot = rng_chance(&world->schedule->rng, 2) ? EXPIRY_WHEELS : 1;
    schedule_add(world->schedule, hold_and_extend, &world->actors[0]);
    schedule_add(world->schedule, hold_and_extend, &world->actors[1]);
    schedule_add(world->schedule, expire_and_sweep, &world->actors[2]);
    schedule_run(world->schedule);
    world->actors[1].txn->slot = 1;
    expire_all(world);
}

#define CASE(name)                                                                                 \
    static void run_##name(struct schedule *schedule)                                              \
    {                                                                                              \
        world_run(schedule, name);                                                                 \
    }

CASE(threads_meet_on_orders)
CASE(readers_see_whole_states)
CASE(units_that_move_are_for_sale)
CASE(limits_are_kept)
CASE(tickets_cover_in_their_order)
CASE(what_is_seen_may_be_ended)
CASE(presale_opens_beside_sales)
CASE(what_is_forgotten_makes_room)
CASE(what_is_edited_is_not_forgotten)
CASE(rules_are_read_whole)
CASE(what_is_set_aside_is_not_sold)
CASE(no_deadline_is_lost)

int main(int argc, char **argv)
{
    static const struct schedule_case cases[] = {
        {"threads_meet_on_orders", run_threads_meet_on_orders},
        {"readers_see_whole_states", run_readers_see_whole_states},
        {"units_that_move_are_for_sale", run_units_that_move_are_for_sale},
        {"limits_are_kept", run_limits_are_kept},
        {"tickets_cover_in_their_order", run_tickets_cover_in_their_order},
        {"what_is_seen_may_be_ended", run_what_is_seen_may_be_ended},
        {"presale_opens_beside_sales", run_presale_opens_beside_sales},
        {"what_is_forgotten_makes_room", run_what_is_forgotten_makes_room},
        {"what_is_edited_is_not_forgotten", run_what_is_edited_is_not_forgotten},
        {"rules_are_read_whole", run_rules_are_read_whole},
        {"what_is_set_aside_is_not_sold", run_what_is_set_aside_is_not_sold},
        {"no_deadline_is_lost", run_no_deadline_is_lost},
    };
    return schedule_main(argc, argv, cases, sizeof cases / sizeof *cases, 100, 2.0, 100000);
}
