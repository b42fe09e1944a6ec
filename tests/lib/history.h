/* history.h - random histories of an inventory with all kinds of events, and whether two
 * inventories are in the same state as far as anybody can see. On top of core_rig.h.
 *
 * Threads: one. */
#ifndef TESTS_LIB_HISTORY_H
#define TESTS_LIB_HISTORY_H

#include "lib/core_rig.h"
#include "lib/rng.h"

#define HISTORY_ITEMS  6u
#define HISTORY_BUYERS 20u

struct history {
    struct rig rig;
    struct rng rng;
    uint64_t ids; /* orders 1..ids have been asked for */
};

static inline void history_rule(struct history *h, const char *sku)
{
    struct sku_rule rule = {.sku = bytes_of(sku),
                            .label = bytes_of("a label"),
                            .limit_per_buyer = (uint32_t)rng_between(&h->rng, 5, 50)};
    CHECK(inventory_define_sku(h->rig.txn, &rule) == HF_OK);
    rig_publish(&h->rig);
}

/* Two pools of each of three SKUs: one limited, one pre-sold, one plain. */
static inline void history_open(struct history *h, uint64_t seed,
                                const struct inventory_options *options)
{
    static const char *const skus[] = {"limited", "presold", "plain"};
    *h = (struct history){0};
    rng_init(&h->rng, seed);
    rig_open(&h->rig, options);
    history_rule(h, skus[0]);
    for (uint32_t i = 0; i < HISTORY_ITEMS; i++) {
        uint32_t item =
            rig_define(&h->rig, skus[i / 2], i % 2 ? "north" : "south", 0, i / 2 == 1 ? 100000 : 0);
        CHECK(rig_set_stock(&h->rig, item, i / 2 == 1 ? 10 : 5000) == HF_OK);
    }
}

static inline void history_close(struct history *h)
{
    rig_close(&h->rig);
}

static inline void history_reserve(struct history *h)
{
    struct order_line lines[4];
    struct line_shape shapes[4] = {0};
    uint32_t fallback = (uint32_t)rng_between(&h->rng, 1, HISTORY_ITEMS);
    uint32_t count = (uint32_t)rng_between(&h->rng, 1, rng_chance(&h->rng, 3) ? 4 : 1);
    for (uint32_t i = 0; i < count; i++) {
        lines[i] = (struct order_line){(uint32_t)rng_between(&h->rng, 1, HISTORY_ITEMS),
                                       (uint32_t)rng_between(&h->rng, 1, 4)};
        if (rng_chance(&h->rng, 2)) {
            shapes[i] = (struct line_shape){.policy = LINE_UP_TO, .min_qty = 0};
        } else if (rng_chance(&h->rng, 2) && fallback != lines[i].item) {
            shapes[i] =
                (struct line_shape){.split = true, .fallback_count = 1, .fallbacks = &fallback};
        }
    }
    struct order_request request = {
        .id = {0xB0, ++h->ids},
        .buyer = rng_between(&h->rng, 1, HISTORY_BUYERS),
        .hold_ms = (uint32_t)rng_between(&h->rng, 1, 5000),
        .line_count = count,
        .lines = lines,
        .shapes = rng_chance(&h->rng, 3) ? shapes : NULL,
    };
    struct order_outcome outcome;
    RIG_RUN(&h->rig, inventory_reserve(h->rig.txn, &request, &outcome));
}

static inline void history_edit(struct history *h)
{
    static rig_edit_function *const functions[] = {inventory_commit, inventory_release,
                                                   inventory_return};
    uint64_t id = rng_between(&h->rng, h->ids > 200 ? h->ids - 200 : 1, h->ids);
    struct line_qty part = {1, (uint32_t)rng_between(&h->rng, 1, 3)};
    bool whole = rng_chance(&h->rng, 2);
    switch (rng_below(&h->rng, 5)) {
    case 0:
        rig_extend(&h->rig, id, (uint32_t)rng_between(&h->rng, 1, 5000));
        break;
    case 1:
        rig_commit_late(&h->rig, id);
        break;
    default:
        rig_edit(&h->rig, functions[rng_below(&h->rng, 3)], id, &part, whole ? 0 : 1);
    }
}

static inline void history_admin(struct history *h)
{
    static const char *const skus[] = {"limited", "presold", "plain"};
    bool replayed;
    uint32_t i = (uint32_t)rng_below(&h->rng, HISTORY_ITEMS);
    switch (rng_below(&h->rng, 4)) {
    case 0:
        history_rule(h, skus[0]);
        break;
    case 1:
        rig_define(&h->rig, skus[i / 2], i % 2 ? "north" : "south", (int64_t)rng_below(&h->rng, 20),
                   i / 2 == 1 ? 100000 : 0);
        break;
    case 2:
        rig_set_stock(&h->rig, i + 1, (int64_t)rng_below(&h->rng, 8000));
        break;
    default: {
        uint32_t from = i / 2 * 2 + 1;
        struct move move = {
            .id = {0xA1, h->rig.lsn + 1}, .from = from, .to = from + 1, .units = 3, .force = true};
        (void)inventory_move(h->rig.txn, &move, &replayed);
        rig_publish(&h->rig);
    }
    }
}

static inline void history_forget(struct history *h)
{
    struct order_cursor cursor = {0};
    struct hint_cursor hints = {0};
    while (!hints.done) {
        inventory_sweep_hints(h->rig.inventory, &hints, 1000, h->rig.txn->now_ms);
    }
    while (!cursor.done) {
        RIG_RUN(&h->rig, inventory_forget(h->rig.txn, h->rig.lsn / 2, &cursor, 1000, NULL));
    }
}

/* So many random operations. */
static inline void history_run(struct history *h, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        uint64_t kind = rng_below(&h->rng, 1000);
        if (kind < 550 || h->ids == 0) {
            history_reserve(h);
        } else if (kind < 985) {
            history_edit(h);
        } else if (kind < 991) {
            history_admin(h);
        } else if (kind < 998) {
            h->rig.txn->now_ms += rng_below(&h->rng, 3000);
            rig_expire(&h->rig);
        } else if (rng_chance(&h->rng, 3)) {
            history_forget(h);
        }
    }
}

/* ---- The same state? ---- */

static inline bool history_same_order(struct inventory *a, struct inventory *b, struct id128 id,
                                      bool lsn_too)
{
    struct order_view x = {0};
    struct order_view y = {0};
    struct order_line_view xs[8];
    struct order_line_view ys[8];
    enum hf_status status = inventory_order(a, id, &x, xs, 8);
    if (status != inventory_order(b, id, &y, ys, 8) || status != HF_OK) {
        return status == HF_NOT_FOUND && inventory_order(b, id, &y, ys, 8) == status;
    }
    bool same = x.state == y.state && x.buyer == y.buyer && x.deadline_ms == y.deadline_ms &&
                (!lsn_too || x.lsn == y.lsn) && x.line_count == y.line_count;
    for (uint32_t i = 0; i < x.line_count && i < 8 && same; i++) {
        same = xs[i].item == ys[i].item && xs[i].qty == ys[i].qty &&
               xs[i].released == ys[i].released && xs[i].committed == ys[i].committed &&
               xs[i].returned == ys[i].returned && xs[i].presale_qty == ys[i].presale_qty &&
               xs[i].ticket == ys[i].ticket && xs[i].line == ys[i].line &&
               xs[i].counted == ys[i].counted &&
               inventory_covered(a, &xs[i], x.state) == inventory_covered(b, &ys[i], y.state);
    }
    return same;
}

static inline bool history_same_item(struct inventory *a, struct inventory *b, uint32_t item)
{
    struct item_view x;
    struct item_view y;
    CHECK(inventory_item(a, item, &x) == HF_OK);
    CHECK(inventory_item(b, item, &y) == HF_OK);
    return x.stock.stocked == y.stock.stocked && x.stock.held == y.stock.held &&
           x.stock.sold == y.stock.sold && x.stock.available == y.stock.available &&
           x.stock.safety == y.stock.safety && x.stock.presale_cap == y.stock.presale_cap &&
           x.stock.settled == y.stock.settled;
}

/* Fails (CHECK) where the two differ, or one is not sound. Deadlines are not compared: hints of
 * ended orders differ. lsn_too: orders' LSNs as well. */
static inline void history_check_same(const struct history *h, struct inventory *a,
                                      struct inventory *b, bool lsn_too)
{
    struct inventory_counts x;
    struct inventory_counts y;
    char what[256] = "";
    inventory_counts(a, &x);
    inventory_counts(b, &y);
    CHECK(x.items == y.items && x.skus == y.skus && x.buyers == y.buyers);
    CHECK(x.orders_known == y.orders_known && x.orders_held == y.orders_held);
    CHECK(inventory_digest(a) == inventory_digest(b));
    bool sound = inventory_verify(b, what, sizeof what);
    if (!sound) {
        fprintf(stderr, "inventory_verify: %s\n", what);
    }
    CHECK(sound);
    for (uint32_t item = 1; item <= x.items; item++) {
        CHECK(history_same_item(a, b, item));
    }
    for (uint64_t id = 1; id <= h->ids; id++) {
        CHECK(history_same_order(a, b, (struct id128){0xB0, id}, lsn_too));
    }
    for (uint64_t buyer = 1; buyer <= HISTORY_BUYERS; buyer++) {
        CHECK(inventory_buyer_units(a, bytes_of("limited"), buyer) ==
              inventory_buyer_units(b, bytes_of("limited"), buyer));
    }
}

#endif
