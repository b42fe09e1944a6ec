/* orders_rig.c - the core as the order and expiry suites drive it.
 *
 * Threads: one. Invariant: the transaction is empty between calls, but for decide and publish. */
#include "micro/orders_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "core/inventory.h"
#include "micro/rig.h"
#include "micro/stopwatch.h"

#define PER_TXN 1000u
#define NOW_MS  UINT64_C(1000000)
#define HOLD_MS 60000u
#define UNITS   ((int64_t)1 << 50)

struct orders_rig {
    struct inventory *inventory;
    struct txn *txn;
    uint32_t items;
    uint32_t spread_ms;
    uint64_t lsn;
};

static void define_items(struct orders_rig *rig)
{
    for (uint32_t i = 1; i <= rig->items; i++) {
        char sku[16];
        snprintf(sku, sizeof sku, "SKU%u", i);
        struct item_def def = {.sku = bytes_of(sku), .pool = bytes_of("default")};
        uint32_t item;
        CHECK(inventory_define_item(rig->txn, &def, &item) == HF_OK);
        CHECK(item == i);
        orders_rig_publish(rig);
        struct adjustment stocked = {
            .id = {1, i}, .item = item, .has_set_to = true, .set_to = UNITS};
        bool replayed;
        CHECK(inventory_adjust(rig->txn, &stocked, &replayed) == HF_OK);
        orders_rig_publish(rig);
    }
}

struct orders_rig *orders_rig_make(uint64_t orders_max, uint32_t items, uint32_t spread_ms)
{
    struct orders_rig *rig = calloc(1, sizeof *rig);
    CHECK(rig != NULL);
    rig->items = items;
    rig->spread_ms = spread_ms;
    struct inventory_options options = {.items_max = items,
                                        .orders_max = orders_max,
                                        .hold_ms_default = HOLD_MS,
                                        .hold_ms_max = 10 * HOLD_MS};
    CHECK(inventory_init(&rig->inventory, &options) == HF_OK);
    rig->txn = malloc(sizeof *rig->txn);
    CHECK(rig->txn != NULL);
    CHECK(txn_init(rig->txn, rig->inventory, 0) == HF_OK);
    rig->txn->now_ms = NOW_MS;
    define_items(rig);
    return rig;
}

void orders_rig_free(struct orders_rig *rig)
{
    txn_deinit(rig->txn);
    free(rig->txn);
    inventory_deinit(rig->inventory);
    free(rig);
}

void orders_rig_publish(struct orders_rig *rig)
{
    for (uint32_t i = 0; i < rig->txn->event_count; i++) {
        rig->txn->events[i].lsn = rig->lsn += 48;
    }
    inventory_publish(rig->txn);
}

static enum hf_status reserve_one(struct orders_rig *rig, uint64_t number, bool *replayed)
{
    struct order_line line = {.item = rig_item(number, rig->items), .qty = 1};
    struct order_request request = {.id = rig_id(number),
                                    .buyer = number,
                                    .hold_ms = HOLD_MS + (uint32_t)(number % rig->spread_ms),
                                    .line_count = 1,
                                    .lines = &line};
    struct order_outcome outcome;
    enum txn_step step = inventory_reserve(rig->txn, &request, &outcome);
    CHECK(step == TXN_DONE);
    *replayed = outcome.replayed;
    return outcome.status;
}

/* Before new order first + i, of `count`, is decided: as the engine prefetches. */
static void prefetch_new(const struct orders_rig *rig, uint64_t first, uint32_t i, uint32_t count)
{
    if (i + INVENTORY_INDEX_AHEAD < count) {
        uint64_t number = first + i + INVENTORY_INDEX_AHEAD;
        inventory_prefetch(rig->inventory, 0, rig_id(number), rig_item(number, rig->items));
    }
}

/* The same for numbers[i], an order that exists. */
static void prefetch_known(const struct orders_rig *rig, const uint64_t *numbers, uint32_t i,
                           uint32_t count)
{
    if (i + INVENTORY_INDEX_AHEAD < count) {
        uint64_t number = numbers[i + INVENTORY_INDEX_AHEAD];
        inventory_prefetch(rig->inventory, 0, rig_id(number), rig_item(number, rig->items));
    }
    if (i + INVENTORY_ENTRY_AHEAD < count) {
        inventory_prefetch_order(rig->inventory, rig_id(numbers[i + INVENTORY_ENTRY_AHEAD]));
    }
}

void orders_rig_decide(struct orders_rig *rig, uint64_t first, uint32_t count)
{
    CHECK(count <= PER_TXN);
    for (uint32_t i = 0; i < count; i++) {
        prefetch_new(rig, first, i, count);
        bool replayed;
        CHECK(reserve_one(rig, first + i, &replayed) == HF_OK);
        CHECK(!replayed);
    }
}

void orders_rig_grow(uint64_t count, uint32_t *least_ns)
{
    struct orders_rig *rig = orders_rig_make(64000000, 1, 1);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t begin_ns = clock_monotonic_ns(clock_real());
        orders_rig_decide(rig, i, 1);
        uint64_t took_ns = clock_monotonic_ns(clock_real()) - begin_ns;
        orders_rig_publish(rig);
        least_ns[i] = took_ns < least_ns[i] ? (uint32_t)took_ns : least_ns[i];
        if (i % PER_TXN == 0) {
            while (inventory_prefault(rig->inventory) || inventory_tidy(rig->inventory)) {
            }
        }
    }
    orders_rig_free(rig);
}

void orders_rig_reserve(struct orders_rig *rig, uint64_t first, uint32_t count)
{
    while (count > 0) {
        uint32_t now = count < PER_TXN ? count : PER_TXN;
        orders_rig_decide(rig, first, now);
        orders_rig_publish(rig);
        first += now;
        count -= now;
    }
}

void orders_rig_replay(struct orders_rig *rig, const uint64_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        prefetch_known(rig, numbers, i, count);
        bool replayed;
        CHECK(reserve_one(rig, numbers[i], &replayed) == HF_OK);
        CHECK(replayed);
    }
}

void orders_rig_lookup(struct orders_rig *rig, const uint64_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        prefetch_known(rig, numbers, i, count);
        struct order_view view;
        struct order_line_view line;
        CHECK(inventory_order(rig->inventory, rig_id(numbers[i]), &view, &line, 1) == HF_OK);
        CHECK(view.buyer == numbers[i]);
    }
}

void orders_rig_commit(struct orders_rig *rig, const uint64_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        prefetch_known(rig, numbers, i, count);
        struct order_edit edit = {.id = rig_id(numbers[i])};
        struct order_outcome outcome;
        CHECK(inventory_commit(rig->txn, &edit, &outcome) == TXN_DONE);
        CHECK(outcome.status == HF_OK);
        if (rig->txn->event_count == PER_TXN) {
            orders_rig_publish(rig);
        }
    }
    orders_rig_publish(rig);
}

uint64_t orders_rig_expire(struct orders_rig *rig, uint64_t *longest_ns)
{
    uint64_t count = 0;
    *longest_ns = 0;
    rig->txn->now_ms = NOW_MS + HOLD_MS + rig->spread_ms;
    enum txn_step step;
    do {
        uint64_t begin_ns = stopwatch_cpu_ns();
        step = inventory_expire(rig->txn);
        count += rig->txn->event_count;
        orders_rig_publish(rig);
        uint64_t ns = stopwatch_between(begin_ns, stopwatch_cpu_ns());
        *longest_ns = ns > *longest_ns ? ns : *longest_ns;
    } while (step == TXN_AGAIN);
    return count;
}
