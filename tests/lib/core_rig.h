/* core_rig.h - an inventory and one transaction for tests, with a row of numbers for a log.
 *
 * Each publish gives the events their LSN, adds up their digests and keeps copies of them, so that
 * a test can replay them into another inventory. For tests of the core alone: no log is written.
 * CHECK fails the test program.
 *
 * Threads: one. */
#ifndef TESTS_LIB_CORE_RIG_H
#define TESTS_LIB_CORE_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core/inventory.h"

struct rig {
    struct inventory *inventory;
    struct txn *txn;
    uint64_t lsn;
    uint64_t digest; /* sum of all events' digest_delta */
    struct event *log;
    uint32_t log_count;
    uint32_t log_capacity;
    void **blocks; /* memory that the log's events point to */
    uint32_t block_count;
    uint32_t block_capacity;
};

static inline struct inventory_options rig_options(uint64_t orders_max)
{
    return (struct inventory_options){
        .items_max = 64, .orders_max = orders_max, .hold_ms_default = 1000, .hold_ms_max = 5000};
}

static inline void rig_open(struct rig *rig, const struct inventory_options *options)
{
    *rig = (struct rig){0};
    CHECK(inventory_init(&rig->inventory, options) == HF_OK);
    rig->txn = malloc(sizeof *rig->txn);
    CHECK(rig->txn != NULL);
    CHECK(txn_init(rig->txn, rig->inventory, 0) == HF_OK);
    rig->txn->now_ms = 1000000;
}

static inline void rig_close(struct rig *rig)
{
    txn_deinit(rig->txn);
    free(rig->txn);
    inventory_deinit(rig->inventory);
    for (uint32_t i = 0; i < rig->block_count; i++) {
        free(rig->blocks[i]);
    }
    free(rig->blocks);
    free(rig->log);
}

static inline void *rig_keep(struct rig *rig, const void *from, size_t bytes)
{
    if (rig->block_count == rig->block_capacity) {
        rig->block_capacity = rig->block_capacity * 2 + 64;
        rig->blocks = realloc(rig->blocks, rig->block_capacity * sizeof *rig->blocks);
        CHECK(rig->blocks != NULL);
    }
    void *copy = malloc(bytes ? bytes : 1);
    CHECK(copy != NULL);
    if (bytes) {
        memcpy(copy, from, bytes);
    }
    rig->blocks[rig->block_count++] = copy;
    return copy;
}

static inline struct bytes rig_keep_bytes(struct rig *rig, struct bytes from)
{
    return (struct bytes){rig_keep(rig, from.data, from.len), from.len};
}

static inline void rig_log(struct rig *rig, const struct event *event)
{
    if (rig->log_count == rig->log_capacity) {
        rig->log_capacity = rig->log_capacity * 2 + 64;
        rig->log = realloc(rig->log, rig->log_capacity * sizeof *rig->log);
        CHECK(rig->log != NULL);
    }
    struct event *copy = &rig->log[rig->log_count++];
    *copy = *event;
    if (event->type == EVENT_ORDER_HELD && event->grants) {
        copy->grants = rig_keep(rig, event->grants, event->line_count * sizeof *event->grants);
    } else if (event->type == EVENT_ORDER_HELD) {
        copy->lines = rig_keep(rig, event->lines, event->line_count * sizeof *event->lines);
    }
    if (event->quantities) {
        copy->quantities =
            rig_keep(rig, event->quantities, event->line_count * sizeof *event->quantities);
    }
    if (event->type == EVENT_SKU_DEFINED) {
        struct sku_rule *sku = rig_keep(rig, event->sku, sizeof *event->sku);
        sku->sku = rig_keep_bytes(rig, sku->sku);
        sku->label = rig_keep_bytes(rig, sku->label);
        copy->sku = sku;
    } else if (event->type == EVENT_ITEM_DEFINED) {
        struct item_def *item = rig_keep(rig, event->item, sizeof *event->item);
        item->sku = rig_keep_bytes(rig, item->sku);
        item->pool = rig_keep_bytes(rig, item->pool);
        copy->item = item;
    } else if (event->type == EVENT_STOCK_ADJUSTED) {
        struct stock_change *change = rig_keep(rig, event->adjust, sizeof *event->adjust);
        change->reason = rig_keep_bytes(rig, change->reason);
        change->reference = rig_keep_bytes(rig, change->reference);
        copy->adjust = change;
    } else if (event->type == EVENT_STOCK_MOVED) {
        struct stock_move *move = rig_keep(rig, event->move, sizeof *event->move);
        move->reason = rig_keep_bytes(rig, move->reason);
        move->reference = rig_keep_bytes(rig, move->reference);
        copy->move = move;
    }
}

/* The append and the publication of what the transaction has. */
static inline void rig_publish(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->txn->event_count; i++) {
        rig->txn->events[i].lsn = rig->lsn += 48;
        rig->digest += rig->txn->events[i].digest_delta;
        rig_log(rig, &rig->txn->events[i]);
    }
    inventory_publish(rig->txn);
}

/* Runs an operation to its end and publishes it. */
#define RIG_RUN(rig, call)                                                                         \
    do {                                                                                           \
        while ((call) == TXN_AGAIN) {                                                              \
            CHECK((rig)->txn->event_count > 0);                                                    \
            rig_publish(rig);                                                                      \
        }                                                                                          \
        rig_publish(rig);                                                                          \
    } while (0)

static inline uint32_t rig_define(struct rig *rig, const char *sku, const char *pool,
                                  int64_t safety, int64_t presale_cap)
{
    struct item_def def = {
        .sku = bytes_of(sku), .pool = bytes_of(pool), .safety = safety, .presale_cap = presale_cap};
    uint32_t item = 0;
    CHECK(inventory_define_item(rig->txn, &def, &item) == HF_OK);
    rig_publish(rig);
    return item;
}

static inline enum hf_status rig_set_stock(struct rig *rig, uint32_t item, int64_t stocked)
{
    struct adjustment asked = {.id = {0xA0, rig->lsn + 1},
                               .item = item,
                               .has_set_to = true,
                               .set_to = stocked,
                               .force = true};
    bool replayed;
    enum hf_status status = inventory_adjust(rig->txn, &asked, &replayed);
    rig_publish(rig);
    return status;
}

/* An item of a SKU of its own, with units. */
static inline uint32_t rig_item(struct rig *rig, const char *sku, int64_t stocked)
{
    uint32_t item = rig_define(rig, sku, "default", 0, 0);
    CHECK(rig_set_stock(rig, item, stocked) == HF_OK);
    return item;
}

static inline struct order_outcome rig_reserve_lines(struct rig *rig, uint64_t id,
                                                     const struct order_line *lines,
                                                     uint32_t line_count, uint32_t hold_ms)
{
    struct order_request request = {
        .id = {0xB0, id}, .buyer = 7, .hold_ms = hold_ms, .line_count = line_count, .lines = lines};
    struct order_outcome outcome;
    RIG_RUN(rig, inventory_reserve(rig->txn, &request, &outcome));
    return outcome;
}

static inline struct order_outcome rig_reserve(struct rig *rig, uint64_t id, uint32_t item,
                                               uint32_t qty)
{
    struct order_line line = {item, qty};
    return rig_reserve_lines(rig, id, &line, 1, 0);
}

typedef enum txn_step rig_edit_function(struct txn *, const struct order_edit *,
                                        struct order_outcome *);

static inline struct order_outcome rig_edit(struct rig *rig, rig_edit_function *function,
                                            uint64_t id, const struct line_qty *lines,
                                            uint32_t line_count)
{
    struct order_edit edit = {.id = {0xB0, id}, .line_count = line_count, .lines = lines};
    struct order_outcome outcome;
    RIG_RUN(rig, function(rig->txn, &edit, &outcome));
    return outcome;
}

static inline struct order_outcome rig_commit_late(struct rig *rig, uint64_t id)
{
    struct order_edit edit = {.id = {0xB0, id}, .late_ok = true};
    struct order_outcome outcome;
    RIG_RUN(rig, inventory_commit(rig->txn, &edit, &outcome));
    return outcome;
}

static inline struct order_outcome rig_extend(struct rig *rig, uint64_t id, uint32_t hold_ms)
{
    struct order_outcome outcome;
    struct id128 key = {0xB0, id};
    RIG_RUN(rig, inventory_extend(rig->txn, key, hold_ms, &outcome));
    return outcome;
}

static inline void rig_expire(struct rig *rig)
{
    RIG_RUN(rig, inventory_expire(rig->txn));
}

static inline struct order_view rig_order(struct rig *rig, uint64_t id,
                                          struct order_line_view *lines, uint32_t max)
{
    struct order_view view = {.state = ORDER_NONE};
    struct id128 key = {0xB0, id};
    (void)inventory_order(rig->inventory, key, &view, lines, max);
    return view;
}

static inline enum order_state rig_state(struct rig *rig, uint64_t id)
{
    return rig_order(rig, id, NULL, 0).state;
}

static inline struct stock_view rig_stock(struct rig *rig, uint32_t item)
{
    struct item_view view;
    CHECK(inventory_item(rig->inventory, item, &view) == HF_OK);
    return view.stock;
}

/* Orders and stock agree with each other and with the digest. */
static inline void rig_check(struct rig *rig)
{
    char what[256] = "";
    bool verified = inventory_verify(rig->inventory, what, sizeof what);
    if (!verified) {
        fprintf(stderr, "inventory_verify: %s\n", what);
    }
    CHECK(verified);
    CHECK(inventory_digest(rig->inventory) == rig->digest);
}

/* Replays the log's first `count` events into a new inventory; returns the digests' sum. */
static inline struct inventory *rig_replay(const struct rig *rig, uint32_t count,
                                           const struct inventory_options *options,
                                           uint64_t *digest)
{
    struct inventory *replica;
    CHECK(inventory_init(&replica, options) == HF_OK);
    *digest = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct event event = rig->log[i];
        CHECK(inventory_apply(replica, &event) == HF_OK);
        CHECK(event.digest_delta == rig->log[i].digest_delta);
        *digest += event.digest_delta;
    }
    return replica;
}

/* What a crash does: the inventory is gone, and is rebuilt from its log. All is published. */
static inline void rig_recover(struct rig *rig, const struct inventory_options *options)
{
    CHECK(rig->txn->event_count == 0);
    uint64_t now_ms = rig->txn->now_ms;
    uint64_t digest;
    struct inventory *replica = rig_replay(rig, rig->log_count, options, &digest);
    CHECK(digest == rig->digest);
    inventory_replayed(replica);
    txn_deinit(rig->txn);
    inventory_deinit(rig->inventory);
    rig->inventory = replica;
    CHECK(txn_init(rig->txn, replica, 0) == HF_OK);
    rig->txn->now_ms = now_ms;
}

#endif
