/* engine_test.c - what the engine's answers promise, in every interleaving of its threads and its
 * log's writer that a seed finds.
 *
 * Clients reserve and release units of two items, read them, and ask for each other's orders, over
 * a disk in memory; one thread takes the writer's steps. Each client notes what its own requests
 * did, with the LSNs; and each answer of a read is noted with how far the log was durable when it
 * left. So afterwards:
 *   - what a read showed is the state after some prefix of the log, and that prefix was durable;
 *   - a unit that was given back was sold again only by a later record: no prefix is oversold;
 *   - what was answered is there after a power cut, and the log makes the same state again.
 *
 * Threads: coroutines of one thread (lib/schedule.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "core/inventory.h"
#include "lib/schedule.h"
#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "server/engine.h"

#define CLIENTS     3u
#define ITEMS       2u
#define EPISODES    6u  /* of one engine */
#define ROUNDS      2u  /* of each client; two orders for each */
#define ORDERS_EACH 16u /* of one episode */
#define CHANGES_MAX 64u
#define GROUP_BYTES 1024u /* small: appends find no free group now and then */
#define HOLD_MS     60000u

/* A record that a client's request made. */
struct change {
    uint64_t lsn;
    uint32_t i; /* item, from 0 */
    int32_t units;
};

/* What a read showed. */
struct reading_seen {
    int64_t held[ITEMS];
    uint64_t durable; /* when it was answered */
};

struct order_known {
    enum order_state state; /* as an answer said; ORDER_NONE: no answer */
    bool released_maybe;    /* a release was asked */
    uint64_t lsn;           /* the newest that an answer told */
    uint64_t held_lsn;      /* told to who reserved it */
};

struct client {
    struct world *world;
    unsigned number;
};

struct world {
    struct schedule *schedule;
    struct clock clock;
    uint64_t ms;
    struct storage *storage;
    struct engine_options options;
    struct engine *engine;
    uint32_t episode;
    uint32_t items[ITEMS];
    uint32_t adjusted;   /* a third item */
    int64_t adjustments; /* of it, by 1 each, that were answered */
    unsigned running;    /* clients */
    bool power_fails;    /* in this episode */
    uint32_t change_count;
    struct change changes[CHANGES_MAX];
    uint32_t seen_count;
    struct reading_seen seen[CHANGES_MAX];
    struct order_known orders[EPISODES][ORDERS_EACH];
    struct client clients[CLIENTS];
};

static struct world world_now;

struct ask {
    struct engine_call call;
    struct world *world;
    struct arena arena;
    bool done;
    uint64_t durable;
};

/* ---- Clock, disk, engine ---- */

static uint64_t unix_ns(void *context)
{
    return (1762790400000u + ((struct world *)context)->ms) * 1000000u;
}

static uint64_t boottime_ns(void *context)
{
    return (1000 + ((struct world *)context)->ms) * 1000000u;
}

/* An append that finds no free group: only the writer can help. */
static void stalled(void *context)
{
    (void)context;
    schedule_wait();
}

static void engine_begin(struct world *world)
{
    struct engine_recovery recovery;
    enum hf_status status =
        engine_open(&world->engine, &world->options, world->storage, &world->clock, &recovery);
    SCHEDULE_CHECK(status == HF_OK);
    wal_set_stall_hook(engine_wal(world->engine), stalled, world);
}

static void settle(struct world *world)
{
    for (unsigned idle = 0; idle < 64; idle++) {
        if (engine_step(world->engine)) {
            idle = 0;
        }
    }
}

/* The log's writer, and the power. */
static void write_log(void *context)
{
    struct world *world = context;
    uint64_t steps = 0;
    uint64_t power_until = rng_below(&world->schedule->rng, 12);
    while (world->running > 0) {
        if (world->power_fails && steps++ == power_until) {
            sim_storage_stop(world->storage);
        }
        engine_step(world->engine);
        schedule_wait();
    }
}

/* ---- Asking ---- */

static void ask_done(struct engine_call *call)
{
    struct ask *ask = (struct ask *)call;
    SCHEDULE_CHECK(!ask->done);
    ask->done = true;
    ask->durable = wal_commit_lsn(engine_wal(ask->world->engine));
}

/* In a client's thread: until the answer is there. */
static const struct response *ask_for(struct world *world, struct ask *ask,
                                      const struct request *request)
{
    *ask = (struct ask){.call = {.done = ask_done}, .world = world};
    arena_init(&ask->arena, MIB(1));
    ask->call.arena = &ask->arena;
    engine_submit(world->engine, &ask->call, request);
    while (!ask->done) {
        schedule_wait();
    }
    return &ask->call.response;
}

static void ask_end(struct ask *ask)
{
    arena_deinit(&ask->arena);
}

static struct id128 order_id(const struct world *world, uint32_t episode, uint32_t order)
{
    (void)world;
    return (struct id128){0xB000u + episode, 1 + order};
}

/* The LSN of an order's last change; its state must be this. */
static uint64_t order_lsn(struct world *world, uint32_t order, enum order_state state)
{
    struct order_view view;
    struct id128 id = order_id(world, world->episode, order);
    SCHEDULE_CHECK(inventory_order(engine_inventory(world->engine), id, &view, NULL, 0) == HF_OK);
    SCHEDULE_CHECK_EQUAL(view.state, state);
    return view.lsn;
}

static void note_change(struct world *world, uint64_t lsn, uint32_t i, int32_t units)
{
    SCHEDULE_CHECK(world->change_count < CHANGES_MAX);
    world->changes[world->change_count++] = (struct change){lsn, i, units};
}

/* Every order has its item. */
static uint32_t item_of_order(uint32_t order)
{
    return order / 2 % ITEMS;
}

/* An order that was reserved, with its record. */
static void note_reserved(struct world *world, const struct ask *ask, uint32_t order)
{
    uint64_t lsn = order_lsn(world, order, ORDER_HELD);
    SCHEDULE_CHECK(lsn <= ask->durable);
    note_change(world, lsn, item_of_order(order), 1);
    world->orders[world->episode][order] =
        (struct order_known){.state = ORDER_HELD, .lsn = lsn, .held_lsn = lsn};
}

/* Own orders, one or two in a request. */
static void reserve_own(struct client *client, uint32_t first, uint32_t count, uint32_t *got)
{
    struct world *world = client->world;
    struct ask ask;
    uint8_t ids[2][ID_BYTES];
    struct line_message lines[2];
    struct order_message orders[2];
    for (uint32_t i = 0; i < count; i++) {
        lines[i] = (struct line_message){.item = world->items[item_of_order(first + i)], .qty = 1};
        id_to_bytes(order_id(world, world->episode, first + i), ids[i]);
        orders[i] = (struct order_message){
            .id = {ids[i], ID_BYTES}, .buyer = 7, .line_count = 1, .lines = &lines[i]};
    }
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = count;
    request.reserve.orders = orders;
    const struct response *response = ask_for(world, &ask, &request);
    *got = 0;
    for (uint32_t i = 0; response->status == HF_OK && i < count; i++) {
        enum hf_status status = response->orders.results[i].status;
        SCHEDULE_CHECK(status == HF_OK || status == HF_SOLD_OUT);
        if (status == HF_OK && !response->orders.results[i].replayed) {
            *got |= 1u << i;
            note_reserved(world, &ask, first + i);
        }
    }
    SCHEDULE_CHECK(response->status == HF_OK || world->power_fails);
    ask_end(&ask);
}

static void release_own(struct client *client, uint32_t order)
{
    struct world *world = client->world;
    struct order_known *known = &world->orders[world->episode][order];
    struct ask ask;
    uint8_t id[ID_BYTES];
    id_to_bytes(order_id(world, world->episode, order), id);
    struct edit_message edit = {.id = {id, ID_BYTES}};
    struct request request = {.type = REQUEST_RELEASE};
    request.edit.count = 1;
    request.edit.edits = &edit;
    known->released_maybe = true;
    const struct response *response = ask_for(world, &ask, &request);
    if (response->status == HF_OK) {
        SCHEDULE_CHECK(response->orders.results[0].status == HF_OK);
        uint64_t lsn = order_lsn(world, order, ORDER_RELEASED);
        SCHEDULE_CHECK(lsn <= ask.durable && lsn > known->held_lsn);
        note_change(world, lsn, item_of_order(order), -1);
        *known = (struct order_known){ORDER_RELEASED, true, lsn, known->held_lsn};
    }
    SCHEDULE_CHECK(response->status == HF_OK || world->power_fails);
    ask_end(&ask);
}

/* Both items, at one moment. */
static void read_items(struct client *client)
{
    struct world *world = client->world;
    struct ask ask;
    struct request request = {.type = REQUEST_GET_STOCK};
    request.get_stock.item_count = ITEMS;
    request.get_stock.items = world->items;
    const struct response *response = ask_for(world, &ask, &request);
    if (response->status == HF_OK) {
        SCHEDULE_CHECK(world->seen_count < CHANGES_MAX);
        struct reading_seen *seen = &world->seen[world->seen_count++];
        seen->durable = ask.durable;
        for (unsigned i = 0; i < ITEMS; i++) {
            seen->held[i] = response->stock.items[i].held;
        }
    }
    SCHEDULE_CHECK(response->status == HF_OK || world->power_fails);
    ask_end(&ask);
}

/* Another's order: what is shown of it has been durable when the answer left. */
static void read_order(struct client *client, uint32_t order)
{
    struct world *world = client->world;
    struct ask ask;
    uint8_t id[ID_BYTES];
    id_to_bytes(order_id(world, world->episode, order), id);
    struct request request = {.type = REQUEST_GET_ORDER};
    request.get_order.id = (struct bytes){id, ID_BYTES};
    const struct response *response = ask_for(world, &ask, &request);
    if (response->status == HF_OK) {
        SCHEDULE_CHECK(response->order.lsn <= ask.durable);
        SCHEDULE_CHECK(response->order.lsn > 0);
        struct order_known *known = &world->orders[world->episode][order];
        if (known->state == ORDER_NONE) {
            known->state = (enum order_state)response->order.state;
        }
        known->lsn = known->lsn > response->order.lsn ? known->lsn : response->order.lsn;
    }
    ask_end(&ask);
}

/* Reserves another's order: what the answer repeats has been durable when it left. */
static void reserve_others(struct client *client, uint32_t order)
{
    struct world *world = client->world;
    struct ask ask;
    uint8_t id[ID_BYTES];
    id_to_bytes(order_id(world, world->episode, order), id);
    struct line_message line = {.item = world->items[item_of_order(order)], .qty = 1};
    struct order_message message = {
        .id = {id, ID_BYTES}, .buyer = 7, .line_count = 1, .lines = &line};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &message;
    const struct response *response = ask_for(world, &ask, &request);
    if (response->status == HF_OK && response->orders.results[0].status == HF_OK) {
        if (!response->orders.results[0].replayed) {
            note_reserved(world, &ask, order);
        } else {
            struct order_view view;
            SCHEDULE_CHECK(inventory_order(engine_inventory(world->engine),
                                           order_id(world, world->episode, order), &view, NULL,
                                           0) == HF_OK);
            SCHEDULE_CHECK(view.state != ORDER_HELD || view.lsn <= ask.durable);
        }
    }
    ask_end(&ask);
}

/* A third item, which two operators change at once. */
static void adjust_some(struct client *client, unsigned round)
{
    struct world *world = client->world;
    struct ask ask;
    uint8_t id[ID_BYTES];
    id_to_bytes((struct id128){0xC000u + world->episode, 1 + client->number * ROUNDS + round}, id);
    struct adjustment_message adjustment = {
        .id = {id, ID_BYTES}, .item = world->adjusted, .has_delta = true, .delta = 1};
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = 1;
    request.adjust.adjustments = &adjustment;
    const struct response *response = ask_for(world, &ask, &request);
    if (response->status == HF_OK) {
        SCHEDULE_CHECK(response->adjust.results[0].status == HF_OK);
        world->adjustments++;
    }
    SCHEDULE_CHECK(response->status == HF_OK || world->power_fails);
    ask_end(&ask);
}

static uint32_t order_of(unsigned client, unsigned round)
{
    return (client * ROUNDS + round) * 2;
}

static void work(void *context)
{
    struct client *client = context;
    struct world *world = client->world;
    struct rng *rng = &world->schedule->rng;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t first = order_of(client->number, round);
        uint32_t count = 1 + (uint32_t)rng_below(rng, 2);
        uint32_t got;
        uint32_t others = order_of((unsigned)rng_below(rng, CLIENTS), round);
        /* One of them reads most of the time. */
        switch (rng_below(rng, client->number == 0 ? 4 : 11)) {
        case 9:
        case 10:
            adjust_some(client, round);
            break;
        case 0:
        case 1:
            read_items(client);
            break;
        case 2:
            if (rng_chance(rng, 2)) {
                read_order(client, others);
            } else {
                reserve_others(client, others);
            }
            break;
        default:
            reserve_own(client, first, count, &got);
            for (uint32_t i = 0; i < count; i++) {
                if (got & 1u << i && !rng_chance(rng, 3)) {
                    release_own(client, first + i);
                }
            }
        }
    }
    world->running--;
}

/* ---- What must hold ---- */

static int by_lsn(const void *a, const void *b)
{
    uint64_t first = ((const struct change *)a)->lsn;
    uint64_t second = ((const struct change *)b)->lsn;
    return (first > second) - (first < second);
}

static bool is_durable_prefix(const struct world *world, const struct reading_seen *seen)
{
    int64_t held[ITEMS] = {0};
    for (uint32_t at = 0;; at++) {
        if (memcmp(held, seen->held, sizeof held) == 0) {
            return true;
        }
        if (at == world->change_count || world->changes[at].lsn > seen->durable) {
            return false;
        }
        held[world->changes[at].i] += world->changes[at].units;
    }
}

static void check_history(struct world *world)
{
    qsort(world->changes, world->change_count, sizeof *world->changes, by_lsn);
    int64_t held[ITEMS] = {0};
    for (uint32_t at = 0; at < world->change_count; at++) {
        const struct change *change = &world->changes[at];
        held[change->i] += change->units;
        SCHEDULE_CHECK(held[change->i] <= 1 && held[change->i] >= 0);
        SCHEDULE_CHECK(at == 0 || change->lsn > world->changes[at - 1].lsn);
    }
    for (uint32_t i = 0; i < world->seen_count; i++) {
        SCHEDULE_CHECK(is_durable_prefix(world, &world->seen[i]));
    }
}

static void verify(struct world *world)
{
    char what[256] = "";
    if (!inventory_verify(engine_inventory(world->engine), what, sizeof what)) {
        schedule_failed(__FILE__, __LINE__, what);
    }
    SCHEDULE_CHECK(engine_digest(world->engine) ==
                   inventory_digest(engine_inventory(world->engine)));
}

/* The power fails, and what was answered is there. */
static void crash(struct world *world)
{
    sim_storage_stop(world->storage);
    engine_close(world->engine);
    sim_storage_crash(world->storage);
    engine_begin(world);
    verify(world);
    for (uint32_t episode = 0; episode <= world->episode && episode < EPISODES; episode++) {
        for (uint32_t order = 0; order < ORDERS_EACH; order++) {
            const struct order_known *known = &world->orders[episode][order];
            struct order_view view = {.state = ORDER_NONE};
            (void)inventory_order(engine_inventory(world->engine), order_id(world, episode, order),
                                  &view, NULL, 0);
            if (known->state == ORDER_NONE) {
                continue;
            }
            SCHEDULE_CHECK(view.state == ORDER_HELD || view.state == ORDER_RELEASED);
            SCHEDULE_CHECK(view.lsn >= known->lsn);
            SCHEDULE_CHECK(known->state != ORDER_RELEASED || view.state == ORDER_RELEASED);
            SCHEDULE_CHECK(known->released_maybe || known->state == ORDER_RELEASED ||
                           view.state == ORDER_HELD);
        }
    }
}

/* One unit of each of two new items, and none of a third. */
static void make_items(struct world *world)
{
    for (uint32_t i = 0; i <= ITEMS; i++) {
        char sku[8];
        snprintf(sku, sizeof sku, "%c%u", 'a' + (char)i, world->episode);
        struct item_message item = {.sku = bytes_of(sku),
                                    .hot = rng_chance(&world->schedule->rng, 2)};
        struct request define = {.type = REQUEST_DEFINE};
        define.define.item_count = 1;
        define.define.items = &item;
        struct ask ask = {.call = {.done = ask_done}, .world = world};
        arena_init(&ask.arena, MIB(1));
        ask.call.arena = &ask.arena;
        engine_submit(world->engine, &ask.call, &define);
        settle(world);
        SCHEDULE_CHECK(ask.done && ask.call.response.status == HF_OK);
        uint32_t made = ask.call.response.define.items[0];
        ask_end(&ask);
        if (i == ITEMS) {
            world->adjusted = made; /* it has no units yet */
            break;
        }
        world->items[i] = made;

        uint8_t id[ID_BYTES];
        id_to_bytes((struct id128){0xA000u + world->episode, 1 + i}, id);
        struct adjustment_message adjustment = {
            .id = {id, ID_BYTES}, .item = world->items[i], .has_delta = true, .delta = 1};
        struct request adjust = {.type = REQUEST_ADJUST};
        adjust.adjust.count = 1;
        adjust.adjust.adjustments = &adjustment;
        ask = (struct ask){.call = {.done = ask_done}, .world = world};
        arena_init(&ask.arena, MIB(1));
        ask.call.arena = &ask.arena;
        engine_submit(world->engine, &ask.call, &adjust);
        settle(world);
        SCHEDULE_CHECK(ask.done && ask.call.response.status == HF_OK);
        SCHEDULE_CHECK(ask.call.response.adjust.results[0].status == HF_OK);
        ask_end(&ask);
    }
}

static void episode(struct world *world)
{
    make_items(world);
    world->adjustments = 0;
    world->change_count = 0;
    world->seen_count = 0;
    unsigned clients = CLIENTS - rng_chance(&world->schedule->rng, 4);
    world->running = clients;
    for (unsigned i = 0; i < clients; i++) {
        world->clients[i] = (struct client){world, i};
        schedule_add(world->schedule, work, &world->clients[i]);
    }
    schedule_add(world->schedule, write_log, world);
    schedule_run(world->schedule);
    if (!world->power_fails) {
        settle(world);
        struct item_view view;
        SCHEDULE_CHECK(inventory_item(engine_inventory(world->engine), world->adjusted, &view) ==
                       HF_OK);
        SCHEDULE_CHECK_EQUAL(view.stock.stocked, world->adjustments);
        check_history(world);
        verify(world);
    }
}

static void run_engine(struct schedule *schedule, bool power_fails)
{
    struct world *world = &world_now;
    *world = (struct world){
        .schedule = schedule,
        .storage = sim_storage_make(schedule->seed + 1),
        .options = {.inventory = {.items_max = (ITEMS + 1) * EPISODES,
                                  .orders_max = 512,
                                  .hold_ms_default = HOLD_MS,
                                  .hold_ms_max = HOLD_MS},
                    .recovery_threads = 1,
                    .wal = {.segment_bytes = 256 * 4096,
                            .group_bytes = GROUP_BYTES,
                            .spare_segments = 1,
                            .in_flight_max = 1}},
    };
    world->clock = (struct clock){world, unix_ns, boottime_ns, boottime_ns, sim_boot};
    engine_begin(world);
    uint32_t last = power_fails ? (uint32_t)rng_below(&schedule->rng, 2) : EPISODES - 1;
    for (; world->episode <= last; world->episode++) {
        if (world->episode > 0) {
            schedule_anew(schedule);
        }
        world->power_fails = power_fails && world->episode == last;
        episode(world);
    }
    world->episode = last;
    crash(world);
    engine_close(world->engine);
    storage_destroy(world->storage);
}

static void answers_wait_for_the_log(struct schedule *schedule)
{
    run_engine(schedule, false);
}

static void answers_outlive_the_power(struct schedule *schedule)
{
    run_engine(schedule, true);
}

int main(int argc, char **argv)
{
    static const struct schedule_case cases[] = {
        {"answers_wait_for_the_log", answers_wait_for_the_log},
        {"answers_outlive_the_power", answers_outlive_the_power},
    };
    diag_set_level(DIAG_ERROR + 1); /* a log that is closed says so */
    return schedule_main(argc, argv, cases, sizeof cases / sizeof *cases, 100, 2.0, 100000);
}
