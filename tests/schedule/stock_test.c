/* stock_test.c - stock.h's promises in every interleaving that a seed finds.
 *
 * A ledger beside the stock keeps two bounds of what is free of an item. `low` counts as gone what
 * an operation may have taken from its beginning, and as back what it has certainly given at its
 * end; `high` the other way round. What is free lies between the two at each moment. So, as
 * stock.h says:
 *   - SOLD_OUT is right only if `low` was below the quantity at some moment during the call;
 *   - OK is right only if `high` was at least the quantity at some moment during the call;
 *   - less than the most is right only if `low` was no more than that at some moment.
 * An operation's own units are left out of its own bounds. When all have ended the two are equal,
 * and the stock must say the same.
 *
 * Threads: coroutines of one thread (lib/schedule.h). */
#include "core/stock.h"

#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "lib/schedule.h"

#define ITEMS      2u    /* of one case */
#define STOCK_MANY 3072u /* handles, used for one case after another */
#define THREADS    4u

/* A taking that is under way. */
struct call {
    bool active;
    unsigned items; /* bits */
    int64_t most;
    int64_t low;  /* the least that was free for it, at some moment, by the lower bound */
    int64_t high; /* the most, by the higher one */
};

struct world {
    struct schedule *schedule;
    struct stock *stock;
    uint32_t first; /* handle of the case's first item */
    int64_t total_low[ITEMS];
    int64_t total_high[ITEMS];
    int64_t out_certain[ITEMS]; /* taken, and not begun to be given back */
    int64_t giving[ITEMS];      /* being given back */
    struct call calls[THREADS];
    int64_t presale; /* units that were told as beyond stock */
};

struct actor {
    struct world *world;
    unsigned number; /* its slot, too */
    unsigned rounds;
    int64_t has[ITEMS];
};

static struct world world_now;
static struct actor actors[THREADS];

/* ---- The ledger ---- */

static int64_t low_for(const struct world *world, const struct call *call)
{
    int64_t low = 0;
    for (unsigned i = 0; i < ITEMS; i++) {
        if (call->items & 1u << i) {
            low += world->total_low[i] - world->out_certain[i] - world->giving[i];
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        const struct call *other = &world->calls[i];
        if (other != call && other->active && other->items & call->items) {
            low -= other->most;
        }
    }
    return low;
}

static int64_t high_for(const struct world *world, const struct call *call)
{
    int64_t high = 0;
    for (unsigned i = 0; i < ITEMS; i++) {
        if (call->items & 1u << i) {
            high += world->total_high[i] - world->out_certain[i];
        }
    }
    return high;
}

/* After each change: the bounds of all that is under way. */
static void note(struct world *world)
{
    for (unsigned i = 0; i < THREADS; i++) {
        struct call *call = &world->calls[i];
        if (call->active) {
            int64_t low = low_for(world, call);
            int64_t high = high_for(world, call);
            call->low = low < call->low ? low : call->low;
            call->high = high > call->high ? high : call->high;
        }
    }
}

static struct call *call_begin(struct actor *actor, unsigned items, int64_t most)
{
    struct call *call = &actor->world->calls[actor->number];
    *call = (struct call){
        .active = true, .items = items, .most = most, .low = INT64_MAX, .high = INT64_MIN};
    note(actor->world);
    return call;
}

/* taken: of each item. */
static void call_end(struct actor *actor, struct call *call, enum hf_status status, int64_t least,
                     const int64_t *taken)
{
    int64_t all = 0;
    for (unsigned i = 0; i < ITEMS; i++) {
        all += taken[i];
    }
    if (status == HF_OK) {
        SCHEDULE_CHECK(all >= least && all <= call->most);
        SCHEDULE_CHECK(call->high >= all);
        SCHEDULE_CHECK(all == call->most || call->low <= all);
    } else {
        SCHEDULE_CHECK(status == HF_SOLD_OUT);
        SCHEDULE_CHECK(all == 0);
        SCHEDULE_CHECK(call->low < least);
    }
    call->active = false;
    for (unsigned i = 0; i < ITEMS; i++) {
        actor->world->out_certain[i] += taken[i];
        actor->has[i] += taken[i];
    }
    note(actor->world);
}

/* ---- Operations ---- */

static uint32_t item_of(const struct world *world, unsigned i)
{
    return world->first + i;
}

static enum hf_status take(struct actor *actor, unsigned slot, unsigned i, int64_t qty)
{
    struct world *world = actor->world;
    struct call *call = call_begin(actor, 1u << i, qty);
    enum hf_status status = stock_take(world->stock, slot, item_of(world, i), qty);
    int64_t taken[ITEMS] = {0};
    taken[i] = status == HF_OK ? qty : 0;
    call_end(actor, call, status, qty, taken);
    return status;
}

static enum hf_status take_presale(struct actor *actor, unsigned slot, unsigned i, int64_t qty)
{
    struct world *world = actor->world;
    struct call *call = call_begin(actor, 1u << i, qty);
    int64_t presale;
    enum hf_status status =
        stock_take_presale(world->stock, slot, item_of(world, i), qty, &presale);
    int64_t taken[ITEMS] = {0};
    taken[i] = status == HF_OK ? qty : 0;
    world->presale += presale;
    SCHEDULE_CHECK(presale >= 0 && presale <= taken[i]);
    call_end(actor, call, status, qty, taken);
    return status;
}

/* From both items, the one that `first` names before the other. */
static enum hf_status take_both(struct actor *actor, unsigned slot, unsigned first, int64_t least,
                                int64_t most)
{
    struct world *world = actor->world;
    struct stock_part parts[ITEMS] = {{.item = item_of(world, first)},
                                      {.item = item_of(world, 1 - first)}};
    struct call *call = call_begin(actor, 3, most);
    enum hf_status status = stock_take_any(world->stock, slot, parts, ITEMS, least, most);
    int64_t taken[ITEMS];
    taken[first] = parts[0].taken;
    taken[1 - first] = parts[1].taken;
    world->presale += parts[0].presale + parts[1].presale;
    call_end(actor, call, status, least, taken);
    return status;
}

static void give(struct actor *actor, unsigned slot, unsigned i, int64_t qty)
{
    struct world *world = actor->world;
    actor->has[i] -= qty;
    world->out_certain[i] -= qty;
    world->giving[i] += qty;
    note(world);
    stock_give(world->stock, slot, item_of(world, i), qty);
    world->giving[i] -= qty;
    note(world);
}

/* An operator: one at a time. */
static enum hf_status debit(struct world *world, unsigned slot, unsigned i, int64_t qty,
                            int64_t floor)
{
    world->total_low[i] -= qty;
    note(world);
    enum hf_status status = stock_debit(world->stock, slot, item_of(world, i), qty, floor);
    if (status == HF_OK) {
        world->total_high[i] -= qty;
    } else {
        world->total_low[i] += qty;
    }
    note(world);
    return status;
}

static void restock(struct world *world, unsigned slot, unsigned i, int64_t delta)
{
    if (delta > 0) {
        world->total_high[i] += delta;
        note(world);
    }
    stock_restock(world->stock, slot, item_of(world, i), delta);
    if (delta > 0) {
        world->total_low[i] += delta;
        note(world);
    }
}

static void redefine(struct world *world, unsigned i, int64_t safety, int64_t presale_cap,
                     int64_t change, bool hot)
{
    if (change > 0) {
        world->total_high[i] += change;
    } else {
        world->total_low[i] += change;
    }
    note(world);
    stock_define(world->stock, item_of(world, i), safety, presale_cap, hot);
    if (change > 0) {
        world->total_low[i] += change;
    } else {
        world->total_high[i] += change;
    }
    note(world);
}

/* ---- Cases ---- */

static struct world *world_open(struct schedule *schedule)
{
    struct world *world = &world_now;
    struct stock *stock = world->stock;
    uint32_t first = world->first + ITEMS;
    if (!stock || first + ITEMS > STOCK_MANY) {
        stock_deinit(stock);
        SCHEDULE_CHECK(stock_init(&stock, STOCK_MANY) == HF_OK);
        first = 1;
    }
    *world = (struct world){.schedule = schedule, .stock = stock, .first = first};
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){.world = world, .number = i};
    }
    return world;
}

static void define(struct world *world, unsigned i, bool hot, int64_t units)
{
    redefine(world, i, 0, 0, 0, hot);
    if (units > 0) {
        restock(world, 0, i, units);
    }
}

/* Units lie in one shard after another, as if threads had given them back there. */
static void scatter(struct world *world, unsigned i, int64_t units)
{
    for (unsigned slot = 0; units > 0; slot++, units--) {
        SCHEDULE_CHECK(stock_take(world->stock, slot, item_of(world, i), 1) == HF_OK);
        stock_give(world->stock, slot + 1, item_of(world, i), 1);
    }
}

static void world_close(struct world *world)
{
    for (unsigned i = 0; i < ITEMS; i++) {
        struct stock_view view;
        stock_read(world->stock, item_of(world, i), &view);
        SCHEDULE_CHECK_EQUAL(world->total_low[i], world->total_high[i]);
        SCHEDULE_CHECK_EQUAL(view.available, world->total_high[i] - world->out_certain[i]);
        SCHEDULE_CHECK_EQUAL(view.available + view.held + view.sold,
                             view.stocked - view.safety + view.presale_cap);
    }
}

static void add_actors(struct world *world, unsigned count, void (*work)(void *context))
{
    for (unsigned i = 0; i < count; i++) {
        schedule_add(world->schedule, work, &actors[i]);
    }
}

/* Takes and gives back at random. */
static void trade(void *context)
{
    struct actor *actor = context;
    struct rng *rng = &actor->world->schedule->rng;
    for (unsigned round = 0; round < actor->rounds; round++) {
        unsigned i = (unsigned)rng_below(rng, 8) == 0;
        if (actor->has[i] > 0 && rng_chance(rng, 2)) {
            give(actor, (unsigned)rng_below(rng, THREADS), i,
                 (int64_t)rng_between(rng, 1, (uint64_t)actor->has[i]));
        } else {
            take(actor, actor->number, i, (int64_t)rng_between(rng, 1, 3));
        }
    }
}

static void take_and_give(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    unsigned threads = (unsigned)rng_between(&schedule->rng, 2, 3);
    for (unsigned i = 0; i < ITEMS; i++) {
        define(world, i, rng_chance(&schedule->rng, 2), (int64_t)rng_between(&schedule->rng, 1, 5));
    }
    if (rng_chance(&schedule->rng, 2)) {
        scatter(world, 0, 2);
    }
    for (unsigned i = 0; i < threads; i++) {
        actors[i].rounds = 3;
    }
    add_actors(world, threads, trade);
    schedule_run(schedule);
    world_close(world);
}

/* Each thread has a unit, gives it back somewhere, and wants one again: there is always one. */
static void give_and_take_again(void *context)
{
    struct actor *actor = context;
    struct rng *rng = &actor->world->schedule->rng;
    int64_t qty = actor->has[0];
    for (unsigned round = 0; round < actor->rounds; round++) {
        give(actor, (unsigned)rng_below(rng, THREADS), 0, qty);
        SCHEDULE_CHECK(take(actor, (unsigned)rng_below(rng, THREADS), 0, qty) == HF_OK);
    }
}

static void units_that_move_are_free(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    unsigned threads = (unsigned)rng_between(&schedule->rng, 2, 4);
    int64_t qty = rng_chance(&schedule->rng, 3) ? 2 : 1;
    define(world, 0, true, qty * threads);
    for (unsigned i = 0; i < threads; i++) {
        SCHEDULE_CHECK(take(&actors[i], i, 0, qty) == HF_OK);
        actors[i].rounds = 2;
    }
    add_actors(world, threads, give_and_take_again);
    schedule_run(schedule);
    world_close(world);
}

static void take_until_sold_out(void *context)
{
    struct actor *actor = context;
    while (take(actor, actor->number, 0, 1) == HF_OK) {
    }
}

static void every_unit_is_sold_once(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    define(world, 0, rng_chance(&schedule->rng, 2), 5);
    if (rng_chance(&schedule->rng, 2)) {
        scatter(world, 0, 4);
    }
    add_actors(world, 3, take_until_sold_out);
    schedule_run(schedule);
    SCHEDULE_CHECK_EQUAL(actors[0].has[0] + actors[1].has[0] + actors[2].has[0], 5);
    world_close(world);
}

/* ---- Several items ---- */

/* Has a unit of one item; gives it back, and takes one of the other: the other always has one, or
 * will have this one's at once. */
static void change_items(void *context)
{
    struct actor *actor = context;
    struct rng *rng = &actor->world->schedule->rng;
    for (unsigned round = 0; round < actor->rounds; round++) {
        unsigned from = actor->has[0] > 0 ? 0 : 1;
        give(actor, (unsigned)rng_below(rng, THREADS), from, 1);
        if (take(actor, actor->number, 1 - from, 1) != HF_OK &&
            take(actor, actor->number, from, 1) != HF_OK) {
            return;
        }
    }
}

static void take_both_and_give(void *context)
{
    struct actor *actor = context;
    struct rng *rng = &actor->world->schedule->rng;
    for (unsigned round = 0; round < actor->rounds; round++) {
        int64_t most = rng_chance(rng, 2) ? 1 : (int64_t)rng_between(rng, 1, 3);
        int64_t least = rng_chance(rng, 4) ? 0 : (int64_t)rng_between(rng, 1, (uint64_t)most);
        take_both(actor, actor->number, (unsigned)rng_below(rng, 2), least, most);
        for (unsigned i = 0; i < ITEMS; i++) {
            if (actor->has[i] > 0 && !rng_chance(rng, 3)) {
                give(actor, (unsigned)rng_below(rng, THREADS), i, actor->has[i]);
            }
        }
    }
}

/* As few units as can be wrong: all want one, there is one more than those that change items have.
 */
static void several_items_have_one_moment(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    bool hot = !rng_chance(&schedule->rng, 4);
    for (unsigned i = 0; i < ITEMS; i++) {
        define(world, i, hot, 1);
        actors[i].rounds = 2;
    }
    unsigned taker = (unsigned)rng_between(&schedule->rng, 1, 2);
    for (unsigned i = 0; i < taker; i++) {
        SCHEDULE_CHECK(take(&actors[i], i, i, 1) == HF_OK);
    }
    actors[taker].rounds = 2;
    add_actors(world, taker, change_items);
    schedule_add(schedule, take_both_and_give, &actors[taker]);
    schedule_run(schedule);
    world_close(world);
}

static void several_items_are_one_taking(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    for (unsigned i = 0; i < ITEMS; i++) {
        define(world, i, rng_chance(&schedule->rng, 2), (int64_t)rng_between(&schedule->rng, 1, 2));
    }
    /* One or two change from item to item, the others take from both. */
    unsigned changers = (unsigned)rng_between(&schedule->rng, 1, 2);
    for (unsigned i = 0; i < 3; i++) {
        actors[i].rounds = 2;
        if (i < changers) {
            SCHEDULE_CHECK(take(&actors[i], i, i, 1) == HF_OK);
        }
    }
    add_actors(world, changers, change_items);
    for (unsigned i = changers; i < 3; i++) {
        schedule_add(schedule, take_both_and_give, &actors[i]);
    }
    schedule_run(schedule);
    world_close(world);
}

/* ---- An operator ---- */

static void operate(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    struct rng *rng = &world->schedule->rng;
    for (unsigned round = 0; round < actor->rounds; round++) {
        int64_t qty = (int64_t)rng_between(rng, 1, 6);
        int64_t floor = rng_chance(rng, 2) ? INT64_MIN : -(int64_t)rng_below(rng, 3);
        if (debit(world, actor->number, 0, qty, floor) == HF_OK) {
            restock(world, actor->number, 0, -qty);
        } else {
            restock(world, actor->number, 0, 1);
        }
    }
}

/* Forced below zero, the shards must be empty: nothing sells until what is missing is back. */
static void a_debt_is_settled(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    int64_t units = (int64_t)rng_between(&schedule->rng, 1, 4);
    define(world, 0, !rng_chance(&schedule->rng, 3), units);
    define(world, 1, false, 3);
    if (rng_chance(&schedule->rng, 2)) {
        scatter(world, 0, units);
    }
    for (unsigned i = 0; i < 3; i++) {
        actors[i].rounds = 3;
        if (i < 2 && rng_chance(&schedule->rng, 2)) {
            take(&actors[i], i, 0, 1);
        }
    }
    add_actors(world, 2, trade);
    schedule_add(schedule, operate, &actors[2]);
    schedule_run(schedule);
    world_close(world);
}

/* Two threads each have a unit at most, which they give back somewhere and take again: all other
 * units are free at each moment. */
static void take_what_is_free(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    int64_t qty = world->total_low[0] - 2;
    for (unsigned round = 0; round < actor->rounds; round++) {
        SCHEDULE_CHECK(debit(world, actor->number, 0, qty, 0) == HF_OK);
        restock(world, actor->number, 0, -qty);
        restock(world, actor->number, 0, qty);
    }
}

static void a_debit_that_fits_is_made(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    int64_t units = 2 + (int64_t)rng_between(&schedule->rng, 1, 3);
    define(world, 0, true, units);
    if (rng_chance(&schedule->rng, 2)) {
        scatter(world, 0, units);
    }
    for (unsigned i = 0; i < 3; i++) {
        actors[i].rounds = 2;
        if (i < 2) {
            SCHEDULE_CHECK(take(&actors[i], i, 0, 1) == HF_OK);
        }
    }
    add_actors(world, 2, give_and_take_again);
    schedule_add(schedule, take_what_is_free, &actors[2]);
    schedule_run(schedule);
    world_close(world);
}

static void take_away_three(void *context)
{
    struct actor *actor = context;
    if (debit(actor->world, actor->number, 0, 3, 0) == HF_OK) {
        restock(actor->world, actor->number, 0, -3);
    }
}

/* Two threads and an operator want more than there is: what all got was there. */
static void a_debit_keeps_to_its_floor(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    define(world, 0, !rng_chance(&schedule->rng, 3), 4);
    if (rng_chance(&schedule->rng, 2)) {
        scatter(world, 0, 4);
    }
    add_actors(world, 2, take_until_sold_out);
    schedule_add(schedule, take_away_three, &actors[2]);
    schedule_run(schedule);
    SCHEDULE_CHECK_EQUAL(world->out_certain[0], world->total_low[0]);
    world_close(world);
}

static void take_one(void *context)
{
    struct actor *actor = context;
    take(actor, actor->number, 0, 1);
}

static void restock_one(void *context)
{
    struct actor *actor = context;
    restock(actor->world, actor->number, 0, 1);
}

/* Units come to the base, which a scan has read, while others leave a shard that it has not. */
static void a_restock_is_told(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    define(world, 0, true, 1);
    scatter(world, 0, 1);
    define(world, 1, false, 0);
    add_actors(world, 2, take_one);
    schedule_add(schedule, restock_one, &actors[2]);
    schedule_run(schedule);
    world_close(world);
}

static void define_anew(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    struct rng *rng = &world->schedule->rng;
    int64_t sellable = 0; /* presale_cap - safety */
    for (unsigned round = 0; round < actor->rounds; round++) {
        int64_t safety = (int64_t)rng_below(rng, 6);
        int64_t presale_cap = (int64_t)rng_below(rng, 3);
        redefine(world, 0, safety, presale_cap, presale_cap - safety - sellable,
                 rng_chance(rng, 2));
        sellable = presale_cap - safety;
    }
    redefine(world, 0, 0, 0, -sellable, false);
}

static void definitions_move_what_is_free(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    define(world, 0, rng_chance(&schedule->rng, 2), 4);
    define(world, 1, false, 2);
    for (unsigned i = 0; i < 3; i++) {
        actors[i].rounds = 2;
        take(&actors[i], i, 0, 1);
    }
    add_actors(world, 2, trade);
    schedule_add(schedule, define_anew, &actors[2]);
    schedule_run(schedule);
    world_close(world);
}

/* ---- Pre-sale ---- */

static void take_presale_some(void *context)
{
    struct actor *actor = context;
    struct rng *rng = &actor->world->schedule->rng;
    for (unsigned round = 0; round < actor->rounds; round++) {
        int64_t qty = (int64_t)rng_between(rng, 1, 3);
        if (rng_chance(rng, 2)) {
            take_presale(actor, actor->number, 0, qty);
        } else {
            take_both(actor, actor->number, (unsigned)rng_below(rng, 2), qty, qty);
        }
    }
}

/* With nothing given back the units that were told as pre-sold are those beyond the stock. */
static void presale_is_exact(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    int64_t stocked[ITEMS];
    for (unsigned i = 0; i < ITEMS; i++) {
        redefine(world, i, 0, 4, 4, rng_chance(&schedule->rng, 2));
        stocked[i] = (int64_t)rng_between(&schedule->rng, 1, 3);
        restock(world, 0, i, stocked[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        actors[i].rounds = 2;
    }
    add_actors(world, 3, take_presale_some);
    schedule_run(schedule);
    int64_t beyond = 0;
    for (unsigned i = 0; i < ITEMS; i++) {
        beyond += world->out_certain[i] > stocked[i] ? world->out_certain[i] - stocked[i] : 0;
    }
    SCHEDULE_CHECK_EQUAL(world->presale, beyond);
    world_close(world);
}

/* ---- Reading ---- */

static void sell_some(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    for (unsigned round = 0; round < actor->rounds; round++) {
        if (take(actor, actor->number, 0, 1) == HF_OK) {
            stock_sell(world->stock, actor->number, item_of(world, 0), 1);
        }
    }
}

static void read_some(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    int64_t sold = 0;
    for (unsigned round = 0; round < actor->rounds; round++) {
        struct stock_view view;
        stock_read(world->stock, item_of(world, 0), &view);
        SCHEDULE_CHECK(view.held >= 0);
        SCHEDULE_CHECK_EQUAL(view.available + view.held + view.sold, 4);
        SCHEDULE_CHECK(view.available >= 0 && view.available <= 4);
        /* Nothing is given back here: what was sold stays sold, and was taken before. */
        SCHEDULE_CHECK(view.sold >= sold && view.sold <= world->out_certain[0]);
        sold = view.sold;
    }
}

static void readings_add_up(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    define(world, 0, rng_chance(&schedule->rng, 2), 4);
    for (unsigned i = 0; i < 3; i++) {
        actors[i].rounds = 2;
    }
    add_actors(world, 2, sell_some);
    schedule_add(schedule, read_some, &actors[2]);
    schedule_run(schedule);
    struct stock_view view;
    stock_read(world->stock, item_of(world, 0), &view);
    SCHEDULE_CHECK_EQUAL(view.sold, world->out_certain[0]);
    world_close(world);
}

/* Two units in one go, then the third: no moment has one. */
static void sell_two_and_one(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    stock_sell(world->stock, 0, item_of(world, 0), 2);
    stock_sell(world->stock, 1, item_of(world, 0), 1);
}

static void read_what_was_sold(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    struct stock_view view;
    stock_read(world->stock, item_of(world, 0), &view);
    SCHEDULE_CHECK_EQUAL(view.held, 3 - view.sold);
    SCHEDULE_CHECK_EQUAL(view.available, 0);
    SCHEDULE_CHECK(view.sold == 0 || view.sold == 2 || view.sold == 3);
}

static void what_was_sold_is_of_one_moment(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    define(world, 0, true, 3);
    define(world, 1, false, 0);
    SCHEDULE_CHECK(take(&actors[0], 0, 0, 3) == HF_OK);
    schedule_add(schedule, sell_two_and_one, &actors[0]);
    schedule_add(schedule, read_what_was_sold, &actors[1]);
    schedule_run(schedule);
    world_close(world);
}

/* One unit goes to and fro between two shards, and another stays held. */
static void move_to_and_fro(void *context)
{
    struct actor *actor = context;
    for (unsigned round = 0; round < 3; round++) {
        SCHEDULE_CHECK(take(actor, round % 2, 0, 1) == HF_OK);
        give(actor, 1 - round % 2, 0, 1);
    }
}

static void read_what_is_held(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    struct stock_view view;
    stock_read(world->stock, item_of(world, 0), &view);
    SCHEDULE_CHECK(view.held >= 1 && view.held <= 2);
    SCHEDULE_CHECK_EQUAL(view.available, 2 - view.held);
}

static void units_that_come_back_are_seen_once(struct schedule *schedule)
{
    struct world *world = world_open(schedule);
    define(world, 0, true, 2);
    define(world, 1, false, 0);
    SCHEDULE_CHECK(take(&actors[0], 0, 0, 2) == HF_OK);
    give(&actors[0], 0, 0, 1);
    schedule_add(schedule, move_to_and_fro, &actors[1]);
    schedule_add(schedule, read_what_is_held, &actors[2]);
    schedule_run(schedule);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct schedule_case cases[] = {
        {"take_and_give", take_and_give},
        {"units_that_move_are_free", units_that_move_are_free},
        {"every_unit_is_sold_once", every_unit_is_sold_once},
        {"several_items_are_one_taking", several_items_are_one_taking},
        {"several_items_have_one_moment", several_items_have_one_moment},
        {"a_debt_is_settled", a_debt_is_settled},
        {"a_debit_that_fits_is_made", a_debit_that_fits_is_made},
        {"a_debit_keeps_to_its_floor", a_debit_keeps_to_its_floor},
        {"a_restock_is_told", a_restock_is_told},
        {"definitions_move_what_is_free", definitions_move_what_is_free},
        {"presale_is_exact", presale_is_exact},
        {"readings_add_up", readings_add_up},
        {"what_was_sold_is_of_one_moment", what_was_sold_is_of_one_moment},
        {"units_that_come_back_are_seen_once", units_that_come_back_are_seen_once},
    };
    return schedule_main(argc, argv, cases, sizeof cases / sizeof *cases, 12000, 2.0, 5000000);
}
