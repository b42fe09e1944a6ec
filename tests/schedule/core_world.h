/* core_world.h - an inventory, threads with a transaction each, and what its log says at each LSN.
 *
 * An append is one step here: nobody comes between the LSNs of one transaction. At each append the
 * events are also applied to a second inventory, the replica, and what that shows is noted: the
 * state at that LSN, by the code of replay. So a test can ask
 *   - whether every prefix of the log is legal: it applies, and no item is below zero that no
 *     operator has driven there;
 *   - whether what a reader saw is the state at one LSN, no older than what had been published when
 *     it began, and no newer than what had been appended when it ended.
 *
 * An inventory is made for EPISODES runs, since that costs as much as some of them: each has items,
 * ids and a time of its own.
 *
 * Included by one file of each test program. Threads: coroutines of one thread (lib/schedule.h). */
#ifndef TESTS_SCHEDULE_CORE_WORLD_H
#define TESTS_SCHEDULE_CORE_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/inventory.h"
#include "lib/schedule.h"

#define WORLD static __attribute__((unused)) /* not every program uses all of it */

#define ACTORS       4u
#define ITEMS_NOTED  2u
#define ORDERS_NOTED 6u  /* ids order_id(1..ORDERS_NOTED) */
#define STATES_MAX   96u /* appends of one run */
#define EPISODES     8u
#define HOLD_MS      1000u

/* What an order's reader sees of it. */
struct order_state_seen {
    enum order_state state;
    uint64_t lsn;
    uint32_t committed; /* of its first line */
    uint32_t covered;   /* likewise */
};

/* What is there at one LSN. */
struct state_noted {
    struct stock_view items[ITEMS_NOTED];
    struct order_state_seen orders[ORDERS_NOTED];
    uint64_t known;
    uint64_t held;
};

struct world;

struct actor {
    struct world *world;
    struct txn *txn;
    unsigned rounds;
    unsigned number;
    uint64_t first_id; /* of the ids that it uses */
    int64_t count;     /* the case's own */
};

struct world {
    struct schedule *schedule;
    uint32_t episode;
    uint32_t first_item; /* of this run */
    char sku[8];         /* likewise */
    char new_sku[8];     /* one that the run may make */
    uint64_t now_ms;     /* the time at which it begins */
    struct inventory *inventory;
    struct inventory *replica;
    uint64_t lsn;
    uint64_t digest;
    uint32_t state_count; /* at least 1: before the first append */
    struct state_noted states[STATES_MAX];
    bool published[STATES_MAX]; /* whoever appended it has published it */
    bool forced;                /* an operator may drive what is free below zero */
    bool slow_log;              /* an append waits now and then before it has its LSN */
    struct actor actors[ACTORS];
};

static struct world world_now;

/* ---- Names of one run ---- */

WORLD struct id128 world_id(uint64_t kind, uint64_t number)
{
    return (struct id128){kind + ((uint64_t)world_now.episode << 8), number};
}

WORLD struct id128 order_id(uint64_t number)
{
    return world_id(0xB0, number);
}

/* From 0. */
WORLD uint32_t item_of(const struct world *world, uint32_t i)
{
    return world->first_item + i;
}

/* ---- The log ---- */

WORLD void order_look(struct inventory *inventory, uint64_t id, struct order_state_seen *seen)
{
    struct order_view view;
    struct order_line_view line = {0};
    uint32_t covered = 0;
    *seen = (struct order_state_seen){.state = ORDER_NONE};
    if (inventory_order_covered(inventory, order_id(id), &view, &line, &covered, 1) == HF_OK) {
        SCHEDULE_CHECK(view.state != ORDER_NONE); /* it has no LSN: nobody may see it */
        *seen = (struct order_state_seen){view.state, view.lsn, line.committed, covered};
    }
}

/* Notes what the replica shows. */
WORLD void world_note(struct world *world)
{
    SCHEDULE_CHECK(world->state_count < STATES_MAX);
    struct state_noted *state = &world->states[world->state_count];
    struct inventory_counts counts;
    inventory_counts(world->replica, &counts);
    state->known = counts.orders_known;
    state->held = counts.orders_held;
    for (uint32_t i = 0; i < ITEMS_NOTED && item_of(world, i) <= counts.items; i++) {
        struct item_view view;
        SCHEDULE_CHECK(inventory_item(world->replica, item_of(world, i), &view) == HF_OK);
        SCHEDULE_CHECK(world->forced || view.stock.available >= 0);
        state->items[i] = view.stock;
    }
    for (uint64_t id = 1; id <= ORDERS_NOTED; id++) {
        order_look(world->replica, id, &state->orders[id - 1]);
    }
    world->published[world->state_count] = false;
    world->state_count++;
}

/* The append and the publication of what a transaction has. */
WORLD void publish(struct actor *actor)
{
    struct world *world = actor->world;
    struct txn *txn = actor->txn;
    if (txn->event_count == 0) {
        return;
    }
    inventory_publish_begin(txn);
    if (world->slow_log && rng_chance(&world->schedule->rng, 2)) {
        atomic_store(inventory_publish_waits(txn), true);
        for (uint64_t i = rng_below(&world->schedule->rng, 40); i > 0; i--) {
            schedule_wait();
        }
        atomic_store(inventory_publish_waits(txn), false);
    }
    schedule_point("test.append");
    schedule_alone();
    uint32_t number = world->state_count;
    for (uint32_t i = 0; i < txn->event_count; i++) {
        struct event *event = &txn->events[i];
        event->lsn = world->lsn += 48;
        world->digest += event->digest_delta;
        struct event copy = *event;
        SCHEDULE_CHECK(inventory_apply(world->replica, &copy) == HF_OK);
        SCHEDULE_CHECK(copy.digest_delta == event->digest_delta);
    }
    world_note(world);
    schedule_together();
    schedule_point("test.appended");
    inventory_publish(txn);
    world->published[number] = true;
}

/* ---- Readers ---- */

/* The newest state up to which all was published. */
WORLD uint32_t states_begin(const struct world *world)
{
    uint32_t from = 0;
    while (from + 1 < world->state_count && world->published[from + 1]) {
        from++;
    }
    return from;
}

/* ---- Life ---- */

/* Before each run. */
WORLD void world_begin(struct world *world)
{
    struct inventory_counts counts;
    inventory_counts(world->inventory, &counts);
    world->first_item = (uint32_t)counts.items + 1;
    world->now_ms = 1000000 * (1 + (uint64_t)world->episode);
    world->state_count = 0;
    world->forced = false;
    world->slow_log = false;
    snprintf(world->sku, sizeof world->sku, "s%u", world->episode);
    snprintf(world->new_sku, sizeof world->new_sku, "t%u", world->episode);
    for (unsigned i = 0; i < ACTORS; i++) {
        struct txn *txn = world->actors[i].txn;
        txn->inventory = world->inventory;
        txn->now_ms = world->now_ms;
        world->actors[i] =
            (struct actor){.world = world, .txn = txn, .number = i, .first_id = 1, .rounds = 2};
    }
    world_note(world);
    world->published[0] = true;
}

/* After each run: the books are right, and what is visible is what the log says. */
WORLD void world_check(struct world *world)
{
    SCHEDULE_CHECK(inventory_digest(world->inventory) == world->digest);
    for (uint64_t id = 1; id <= ORDERS_NOTED; id++) {
        struct order_state_seen seen;
        order_look(world->inventory, id, &seen);
        const struct order_state_seen *noted =
            &world->states[world->state_count - 1].orders[id - 1];
        SCHEDULE_CHECK_EQUAL(seen.state, noted->state);
        SCHEDULE_CHECK_EQUAL(seen.lsn, noted->lsn);
        SCHEDULE_CHECK_EQUAL(seen.committed, noted->committed);
        SCHEDULE_CHECK_EQUAL(seen.covered, noted->covered);
    }
    char what[256] = "";
    if (!inventory_verify(world->inventory, what, sizeof what)) {
        schedule_failed(__FILE__, __LINE__, what);
    }
}

/* Runs `episode` EPISODES times on one inventory. */
WORLD void world_run(struct schedule *schedule, void (*episode)(struct world *world))
{
    struct world *world = &world_now;
    struct txn *txns[ACTORS];
    for (unsigned i = 0; i < ACTORS; i++) {
        txns[i] = world->actors[i].txn; /* kept from case to case */
    }
    *world = (struct world){.schedule = schedule};
    struct inventory_options options = {.items_max = 4 * EPISODES,
                                        .orders_max = 512,
                                        .hold_ms_default = HOLD_MS,
                                        .hold_ms_max = 10 * HOLD_MS};
    SCHEDULE_CHECK(inventory_init(&world->inventory, &options) == HF_OK);
    SCHEDULE_CHECK(inventory_init(&world->replica, &options) == HF_OK);
    for (unsigned i = 0; i < ACTORS; i++) {
        if (!txns[i]) {
            txns[i] = malloc(sizeof *txns[i]);
            SCHEDULE_CHECK(txns[i] && txn_init(txns[i], world->inventory, i) == HF_OK);
        }
        world->actors[i].txn = txns[i];
    }
    for (; world->episode < EPISODES; world->episode++) {
        if (world->episode > 0) {
            schedule_anew(schedule);
        }
        world_begin(world);
        episode(world);
        world_check(world);
    }
    SCHEDULE_CHECK(inventory_digest(world->replica) == world->digest);
    inventory_deinit(world->inventory);
    inventory_deinit(world->replica);
}

/* ---- Operations: each decides, and publishes at once or with a later one ---- */

/* True: once in `one_in`. */
WORLD bool chance(struct actor *actor, uint64_t one_in)
{
    return rng_chance(&actor->world->schedule->rng, one_in);
}

WORLD uint64_t below(struct actor *actor, uint64_t n)
{
    return rng_below(&actor->world->schedule->rng, n);
}

/* After TXN_AGAIN. */
WORLD void again(struct actor *actor)
{
    if (actor->txn->event_count > 0) {
        publish(actor);
    } else {
        schedule_wait();
    }
}

#define DECIDE(actor, call)                                                                        \
    do {                                                                                           \
        while ((call) == TXN_AGAIN) {                                                              \
            again(actor);                                                                          \
        }                                                                                          \
    } while (0)

WORLD struct order_outcome reserve_lines(struct actor *actor, uint64_t id, uint64_t buyer,
                                         const struct order_line *lines, uint32_t line_count,
                                         const struct line_shape *shapes)
{
    struct order_request request = {.id = order_id(id),
                                    .buyer = buyer,
                                    .line_count = line_count,
                                    .lines = lines,
                                    .shapes = shapes};
    struct order_outcome outcome;
    DECIDE(actor, inventory_reserve(actor->txn, &request, &outcome));
    return outcome;
}

/* Here and below items are numbered from 0, as in item_of. */
WORLD struct order_outcome reserve(struct actor *actor, uint64_t id, uint32_t i, uint32_t qty)
{
    struct order_line line = {item_of(actor->world, i), qty};
    return reserve_lines(actor, id, 7, &line, 1, NULL);
}

typedef enum txn_step edit_function(struct txn *, const struct order_edit *,
                                    struct order_outcome *);

WORLD struct order_outcome edit(struct actor *actor, edit_function *function, uint64_t id)
{
    struct order_edit asked = {.id = order_id(id)};
    struct order_outcome outcome;
    DECIDE(actor, function(actor->txn, &asked, &outcome));
    return outcome;
}

WORLD uint32_t define_item(struct actor *actor, const char *sku, const char *pool, int64_t safety,
                           int64_t presale_cap, bool hot)
{
    struct item_def def = {.sku = bytes_of(sku),
                           .pool = bytes_of(pool),
                           .safety = safety,
                           .presale_cap = presale_cap,
                           .hot = hot};
    uint32_t item = 0;
    inventory_admin_lock(actor->world->inventory);
    SCHEDULE_CHECK(inventory_define_item(actor->txn, &def, &item) == HF_OK);
    publish(actor);
    inventory_admin_unlock(actor->world->inventory);
    return item;
}

WORLD enum hf_status adjust(struct actor *actor, uint64_t id, uint32_t i, int64_t delta, bool force)
{
    struct adjustment asked = {
        .id = world_id(0xA0, id), .item = item_of(actor->world, i), .delta = delta, .force = force};
    bool replayed;
    inventory_admin_lock(actor->world->inventory);
    enum hf_status status = inventory_adjust(actor->txn, &asked, &replayed);
    publish(actor);
    inventory_admin_unlock(actor->world->inventory);
    return status;
}

WORLD enum hf_status move(struct actor *actor, uint64_t id, uint32_t from, uint32_t to,
                          int64_t units)
{
    struct move asked = {.id = world_id(0xC0, id),
                         .from = item_of(actor->world, from),
                         .to = item_of(actor->world, to),
                         .units = units};
    bool replayed;
    inventory_admin_lock(actor->world->inventory);
    enum hf_status status = inventory_move(actor->txn, &asked, &replayed);
    publish(actor);
    inventory_admin_unlock(actor->world->inventory);
    return status;
}

/* Before the threads run: an item with units. Each is of the run's SKU, in a pool of its own. */
WORLD uint32_t make_item(struct world *world, const char *pool, int64_t units, int64_t presale_cap,
                         bool hot)
{
    struct actor *actor = &world->actors[0];
    uint32_t item = define_item(actor, world->sku, pool, 0, presale_cap, hot);
    if (units > 0) {
        SCHEDULE_CHECK(adjust(actor, 1000 + item, item - world->first_item, units, false) == HF_OK);
    }
    return item;
}

#endif
