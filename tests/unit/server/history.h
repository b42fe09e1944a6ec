/* history.h - random histories of an engine in a rig: operations of every kind, on few orders, so
 * that they meet; and bulk between them, so that segments fill. Included by one file of each test
 * program, after engine_rig.h.
 *
 * Threads: one. */
#ifndef UNIT_HISTORY_H
#define UNIT_HISTORY_H

#include "lib/rng.h"

enum {
    HISTORY_SKUS = 4,
    HISTORY_POOLS = 2,
    HISTORY_ITEMS = HISTORY_SKUS * HISTORY_POOLS, /* the last SKU's may be pre-sold */
    HISTORY_BULK_ITEM = HISTORY_ITEMS + 1,
    HISTORY_ORDERS = 200, /* ids */
    HISTORY_BULK = 4096,  /* orders of a message */
};

struct history {
    struct rng rng;
    uint64_t adjustments;
    uint64_t bulk; /* orders made */
};

static const char *const history_skus[HISTORY_SKUS] = {"phone", "case", "gift", "later"};
static const char *const history_pools[HISTORY_POOLS] = {"east", "west"};

/* Submits, and throws the answer away; it is to be a whole one. */
static void history_ask(struct rig *rig, const struct request *request)
{
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, request);
    assert_true(response->status == HF_OK || response->status == HF_WOULD_OVERSELL ||
                response->status == HF_CONFLICT || response->status == HF_INVALID ||
                response->status == HF_NOT_FOUND || response->status == HF_UNKNOWN_ITEM ||
                response->type == RESPONSE_ORDERS);
    ask_free(&ask);
}

static void history_define_item(struct rig *rig, struct item_message item)
{
    struct request request = {.type = REQUEST_DEFINE};
    request.define.item_count = 1;
    request.define.items = &item;
    history_ask(rig, &request);
}

static void history_adjust(struct rig *rig, struct history *history,
                           struct adjustment_message adjustment)
{
    uint8_t id[ID_BYTES] = {0xAD};
    uint64_t number = ++history->adjustments;
    if (number > HISTORY_ITEMS + 1 && rng_chance(&history->rng, 20)) {
        number--; /* again, or a conflict; but not what stocks the items at first */
    }
    memcpy(id + 8, &number, sizeof number);
    adjustment.id = (struct bytes){id, ID_BYTES};
    adjustment.reason = bytes_of(rng_chance(&history->rng, 2) ? "inbound" : "");
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = 1;
    request.adjust.adjustments = &adjustment;
    history_ask(rig, &request);
}

static void history_begin(struct rig *rig, struct history *history, uint64_t seed)
{
    *history = (struct history){0};
    rng_init(&history->rng, seed);
    for (uint32_t i = 0; i < HISTORY_ITEMS; i++) {
        history_define_item(rig, (struct item_message){
                                     .sku = bytes_of(history_skus[i / HISTORY_POOLS]),
                                     .pool = bytes_of(history_pools[i % HISTORY_POOLS]),
                                     .presale_cap = i / HISTORY_POOLS == HISTORY_SKUS - 1 ? 40 : 0,
                                 });
        history_adjust(rig, history,
                       (struct adjustment_message){.item = i + 1, .has_delta = true, .delta = 60});
    }
    history_define_item(rig, (struct item_message){.sku = bytes_of("bulk")});
    history_adjust(rig, history,
                   (struct adjustment_message){
                       .item = HISTORY_BULK_ITEM, .has_delta = true, .delta = 1000000000});
}

static struct bytes history_id(struct history *history, uint8_t id[ID_BYTES])
{
    memset(id, 0, ID_BYTES);
    uint64_t number = rng_below(&history->rng, HISTORY_ORDERS);
    id[0] = (uint8_t)number;
    id[15] = (uint8_t)(number >> 4);
    return (struct bytes){id, ID_BYTES};
}

static void history_reserve(struct rig *rig, struct history *history)
{
    struct rng *rng = &history->rng;
    uint8_t id[ID_BYTES];
    struct line_message lines[6];
    uint32_t fallbacks[6];
    uint32_t count = rng_chance(rng, 2) ? 1 : (uint32_t)rng_between(rng, 2, 6);
    for (uint32_t i = 0; i < count; i++) {
        lines[i] = (struct line_message){
            .item = (uint32_t)rng_between(rng, 1, HISTORY_ITEMS),
            .qty = (uint32_t)rng_between(rng, 1, 4),
            .policy = rng_chance(rng, 2) ? LINE_ALL : (uint32_t)rng_below(rng, 3),
            .split = rng_chance(rng, 4),
        };
        fallbacks[i] = (lines[i].item - 1) / 2 * 2 + 1 + lines[i].item % 2; /* the other pool */
        if (rng_chance(rng, 4)) {
            lines[i].fallback_count = 1;
            lines[i].fallback = &fallbacks[i];
        }
    }
    struct order_message order = {
        .id = history_id(history, id),
        .buyer = rng_below(rng, 6),
        .hold_ms = rng_chance(rng, 2) ? 0 : (uint32_t)rng_between(rng, 1, 3000),
        .line_count = count,
        .lines = lines,
    };
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    history_ask(rig, &request);
}

static void history_edit(struct rig *rig, struct history *history)
{
    static const enum request_type types[] = {REQUEST_COMMIT, REQUEST_COMMIT, REQUEST_RELEASE,
                                              REQUEST_RETURN};
    struct rng *rng = &history->rng;
    uint8_t id[ID_BYTES];
    struct line_qty_message lines[3];
    struct edit_message edit = {.id = history_id(history, id), .late_ok = rng_chance(rng, 2)};
    if (rng_chance(rng, 2)) {
        edit.line_count = (uint32_t)rng_between(rng, 1, 3);
        edit.lines = lines;
        for (uint32_t i = 0; i < edit.line_count; i++) {
            lines[i] = (struct line_qty_message){i + 1, (uint32_t)rng_between(rng, 0, 3)};
        }
    }
    struct request request = {.type = types[rng_below(rng, sizeof types / sizeof types[0])]};
    request.edit.count = 1;
    request.edit.edits = &edit;
    history_ask(rig, &request);
}

static void history_extend(struct rig *rig, struct history *history)
{
    uint8_t id[ID_BYTES];
    struct request request = {.type = REQUEST_EXTEND};
    request.extend.id = history_id(history, id);
    request.extend.hold_ms = (uint32_t)rng_between(&history->rng, 1, HOLD_MS);
    history_ask(rig, &request);
}

static void history_admin(struct rig *rig, struct history *history)
{
    struct rng *rng = &history->rng;
    uint32_t item = (uint32_t)rng_between(rng, 1, HISTORY_ITEMS);
    if (rng_chance(rng, 3)) {
        struct sku_message rule = {
            .sku = bytes_of(history_skus[rng_below(rng, HISTORY_SKUS)]),
            .label = bytes_of(rng_chance(rng, 2) ? "a label" : ""),
            .limit_per_buyer = (uint32_t)rng_below(rng, 12),
            .paused = rng_chance(rng, 10),
        };
        struct request request = {.type = REQUEST_DEFINE};
        request.define.sku_count = 1;
        request.define.skus = &rule;
        history_ask(rig, &request);
    } else if (rng_chance(rng, 3)) {
        history_define_item(rig, (struct item_message){
                                     .sku = bytes_of(history_skus[(item - 1) / HISTORY_POOLS]),
                                     .pool = bytes_of(history_pools[(item - 1) % HISTORY_POOLS]),
                                     .safety = (int64_t)rng_below(rng, 5),
                                     .presale_cap = (int64_t)rng_below(rng, 60),
                                     .hot = rng_chance(rng, 4),
                                 });
    } else if (rng_chance(rng, 3)) {
        history_adjust(rig, history,
                       (struct adjustment_message){
                           .item = item,
                           .has_delta = true,
                           .delta = (int64_t)rng_between(rng, 1, 9),
                           .to_pool = bytes_of(history_pools[item % HISTORY_POOLS]),
                           .force = rng_chance(rng, 4),
                       });
    } else {
        history_adjust(rig, history,
                       (struct adjustment_message){
                           .item = item,
                           .has_delta = true,
                           .delta = (int64_t)rng_below(rng, 30) - 8,
                           .force = rng_chance(rng, 4),
                       });
    }
}

/* Some operations of all kinds, and some time that goes by. */
static void history_act(struct rig *rig, struct history *history, unsigned operations)
{
    for (unsigned i = 0; i < operations; i++) {
        uint64_t kind = rng_below(&history->rng, 100);
        if (kind < 45) {
            history_reserve(rig, history);
        } else if (kind < 80) {
            history_edit(rig, history);
        } else if (kind < 85) {
            history_extend(rig, history);
        } else if (kind < 93) {
            history_admin(rig, history);
        } else {
            rig->ms += rng_below(&history->rng, 1500);
            engine_expire(rig->engine);
            engine_forget(rig->engine);
            rig_settle(rig);
        }
    }
}

/* Asks for a step of orders of the bulk item: reserves, or ends them. */
static void history_bulk_ask(struct rig *rig, enum request_type type, uint64_t first)
{
    static uint64_t hi[HISTORY_BULK];
    static uint64_t lo[HISTORY_BULK];
    static uint32_t item[HISTORY_BULK];
    for (uint32_t i = 0; i < HISTORY_BULK; i++) {
        hi[i] = 0xB000000000000000u + (first + i) % 16;
        lo[i] = first + i;
        item[i] = HISTORY_BULK_ITEM;
    }
    struct request request = {.type = type};
    request.batch = (struct batch_message){
        .id_hi_count = HISTORY_BULK, .id_hi = hi, .id_lo_count = HISTORY_BULK, .id_lo = lo};
    if (type == REQUEST_RESERVE_BATCH) {
        request.batch.item_count = HISTORY_BULK;
        request.batch.item = item;
    }
    struct ask ask;
    assert_int_equal(ask_wait(rig, &ask, &request)->batch.ok_count, HISTORY_BULK);
    ask_free(&ask);
}

/* Bulk until so many segments are sealed; what it makes ends, half of it sold, and is forgotten
 * when retain_ended_ms have gone by. */
static void history_fill(struct rig *rig, struct history *history, uint64_t sealed)
{
    while (wal_sealed_segment(engine_wal(rig->engine)) < sealed) {
        history_bulk_ask(rig, REQUEST_RESERVE_BATCH, history->bulk);
        history_bulk_ask(
            rig, history->bulk / HISTORY_BULK % 2 ? REQUEST_COMMIT_BATCH : REQUEST_RELEASE_BATCH,
            history->bulk);
        history->bulk += HISTORY_BULK;
        rig->ms += 200;
        engine_expire(rig->engine);
        engine_forget(rig->engine);
        rig_settle(rig);
    }
}

#endif
