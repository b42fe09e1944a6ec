/* inventory_rig.h - what the tests of the inventory share: small inventories, checked when they are
 * closed, and orders that are shaped by policies and fallbacks.
 *
 * The rig's engine holds for 1000 ms by default and 5000 ms at most; its time is 1 000 000.
 *
 * Threads: one. */
#ifndef TESTS_UNIT_CORE_INVENTORY_RIG_H
#define TESTS_UNIT_CORE_INVENTORY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/core_rig.h"

#define NOW 1000000u

static inline void open_small(struct rig *rig)
{
    struct inventory_options options = rig_options(64);
    rig_open(rig, &options);
}

static inline void close_checked(struct rig *rig)
{
    rig_check(rig);
    uint64_t sum;
    struct inventory_options options = rig_options(64);
    struct inventory *replica = rig_replay(rig, rig->log_count, &options, &sum);
    assert_int_equal(sum, rig->digest);
    assert_int_equal(inventory_digest(replica), sum);
    inventory_deinit(replica);
    rig_close(rig);
}

#define assert_outcome(outcome, wanted_status, wanted_replayed, wanted_state)                      \
    do {                                                                                           \
        struct order_outcome got = (outcome);                                                      \
        assert_string_equal(hf_status_name(got.status), hf_status_name(wanted_status));            \
        assert_int_equal(got.replayed, wanted_replayed);                                           \
        assert_int_equal(got.state, wanted_state);                                                 \
    } while (0)

static inline struct order_outcome reserve_shaped(struct rig *rig, uint64_t id, uint64_t buyer,
                                                  const struct order_line *lines,
                                                  const struct line_shape *shapes,
                                                  uint32_t line_count)
{
    struct order_request request = {.id = {0xB0, id},
                                    .buyer = buyer,
                                    .line_count = line_count,
                                    .lines = lines,
                                    .shapes = shapes};
    struct order_outcome outcome;
    RIG_RUN(rig, inventory_reserve(rig->txn, &request, &outcome));
    return outcome;
}

static inline struct order_outcome reserve_by(struct rig *rig, uint64_t id, uint64_t buyer,
                                              uint32_t item, uint32_t qty)
{
    struct order_line line = {item, qty};
    return reserve_shaped(rig, id, buyer, &line, NULL, 1);
}

static inline void set_rule(struct rig *rig, struct sku_rule rule)
{
    assert_int_equal(inventory_define_sku(rig->txn, &rule), HF_OK);
    rig_publish(rig);
}

static inline void set_limit(struct rig *rig, const char *sku, uint32_t limit)
{
    set_rule(rig, (struct sku_rule){.sku = bytes_of(sku), .limit_per_buyer = limit});
}

/* An item of a SKU in a pool, with units. */
static inline uint32_t pool_item(struct rig *rig, const char *sku, const char *pool,
                                 int64_t stocked)
{
    uint32_t item = rig_define(rig, sku, pool, 0, 0);
    assert_int_equal(rig_set_stock(rig, item, stocked), HF_OK);
    return item;
}

static inline uint32_t counted(struct rig *rig, const char *sku, uint64_t buyer)
{
    return inventory_buyer_units(rig->inventory, bytes_of(sku), buyer);
}

static inline void assert_grant(const struct order_outcome *outcome, uint32_t i, uint32_t line,
                                uint32_t item, uint32_t qty)
{
    assert_true(i < outcome->grant_count);
    assert_int_equal(outcome->grants[i].line, line);
    assert_int_equal(outcome->grants[i].item, item);
    assert_int_equal(outcome->grants[i].qty, qty);
}

static inline void assert_refused(struct order_outcome outcome, enum hf_status status,
                                  uint32_t line)
{
    assert_outcome(outcome, status, false, ORDER_NONE);
    assert_int_equal(outcome.blocking_line, line);
    assert_int_equal(outcome.grant_count, 0);
}

#endif
