/* verify_test.c - inventory_verify and inventory_digest notice: a sound state is broken in one way,
 * and each must tell.
 *
 * Every other test leans on these two: a check that was left out of them would leave all of those
 * as they are. So each scene makes a state by the usual calls, verifies it, then changes one thing
 * behind the inventory's back, which is why this file includes the inventory's own header.
 *
 * Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/inventory_admin.h"
#include "core/inventory_internal.h"
#include "lib/core_rig.h"

#define BUYER 7u /* core_rig's */

enum {
    PLAIN = 1,   /* held, one line of the phone */
    PAID,        /* committed, one line of the phone */
    LISTED,      /* held, two lines: the phone, and the case in part released */
    LIMITED,     /* held, the limited SKU's item */
    PRESOLD,     /* held, partly beyond the stock of the pre-sale item */
    FORGOTTEN_1, /* committed, of the limited SKU, and forgotten */
    ORDERS,
};

struct scene {
    struct rig rig;
    uint32_t phone;
    uint32_t cover;
    uint32_t limited;
    uint32_t lot;
};

static void limit(struct rig *rig, const char *sku, uint32_t units)
{
    struct sku_rule rule = {.sku = bytes_of(sku), .limit_per_buyer = units};
    assert_int_equal(inventory_define_sku(rig->txn, &rule), HF_OK);
    rig_publish(rig);
}

static void forget(struct rig *rig)
{
    struct order_cursor cursor = {0};
    assert_int_equal(inventory_forget(rig->txn, UINT64_MAX, &cursor, 1000, NULL), TXN_DONE);
    rig_publish(rig);
}

/* A little of everything that is counted in two places. */
static void scene_open(struct scene *s)
{
    struct inventory_options options = rig_options(1000);
    rig_open(&s->rig, &options);
    struct rig *rig = &s->rig;
    s->phone = rig_item(rig, "phone", 100);
    s->cover = rig_item(rig, "cover", 100);
    s->limited = rig_item(rig, "limited", 100);
    limit(rig, "limited", 10);
    s->lot = rig_define(rig, "lot", "default", 0, 50);
    assert_int_equal(rig_set_stock(rig, s->lot, 3), HF_OK);
    assert_int_equal(rig_reserve(rig, FORGOTTEN_1, s->limited, 2).status, HF_OK);
    assert_int_equal(rig_edit(rig, inventory_commit, FORGOTTEN_1, NULL, 0).status, HF_OK);
    rig->txn->now_ms += 2000; /* its hint comes due, and it may be forgotten */
    rig_expire(rig);
    forget(rig);
    assert_int_equal(rig_state(rig, FORGOTTEN_1), ORDER_NONE);
    assert_int_equal(rig_reserve(rig, PLAIN, s->phone, 5).status, HF_OK);
    assert_int_equal(rig_reserve(rig, PAID, s->phone, 4).status, HF_OK);
    assert_int_equal(rig_edit(rig, inventory_commit, PAID, NULL, 0).status, HF_OK);
    struct order_line two[] = {{s->phone, 6}, {s->cover, 7}};
    assert_int_equal(rig_reserve_lines(rig, LISTED, two, 2, 0).status, HF_OK);
    struct line_qty part = {.line = 2, .qty = 1};
    assert_int_equal(rig_edit(rig, inventory_release, LISTED, &part, 1).status, HF_OK);
    assert_int_equal(rig_reserve(rig, LIMITED, s->limited, 3).status, HF_OK);
    assert_int_equal(rig_reserve(rig, PRESOLD, s->lot, 8).status, HF_OK);
    rig_check(rig);
}

static void scene_close(struct scene *s)
{
    rig_close(&s->rig);
}

static struct order *order_of(struct scene *s, uint64_t id)
{
    struct orders *orders = &s->rig.inventory->orders;
    struct id128 key = {0xB0, id};
    uint64_t hash = id_hash(key);
    uint32_t handle = orders_find(orders, orders_shard(orders, hash), hash, key);
    assert_int_not_equal(handle, ORDER_NO_HANDLE);
    return orders_at(orders, handle);
}

static struct order_shard *shard_of(struct scene *s, uint64_t id)
{
    struct id128 key = {0xB0, id};
    return orders_shard(&s->rig.inventory->orders, id_hash(key));
}

static struct order_line_view *line_of(struct scene *s, uint64_t id, uint32_t line)
{
    struct order *order = order_of(s, id);
    assert_true(order->flags & ORDER_BLOCK);
    return &order->lines[line];
}

/* The scene as it was broken is found out, and the report begins with `about`. */
static void check_noticed(struct scene *s, const char *about, const char *broken)
{
    char what[256] = "";
    if (inventory_verify(s->rig.inventory, what, sizeof what)) {
        fail_msg("not noticed: %s", broken);
    }
    if (strncmp(what, about, strlen(about)) != 0) {
        fail_msg("%s: reported as \"%s\", and not as \"%s...\"", broken, what, about);
    }
}

/* Breaks a scene of its own, and expects it to be noticed. */
#define NOTICED(about, breaking)                                                                   \
    do {                                                                                           \
        struct scene s;                                                                            \
        scene_open(&s);                                                                            \
        breaking;                                                                                  \
        check_noticed(&s, about, #breaking);                                                       \
        scene_close(&s);                                                                           \
    } while (0)

static void verify_notices_stock_that_orders_do_not_make(void **state)
{
    (void)state;
    /* More taken than orders have: what is free is short of a unit. And fewer. */
    NOTICED("item 1: held 12,",
            assert_int_equal(stock_take(s.rig.inventory->stock, 0, s.phone, 1), HF_OK));
    NOTICED("item 1: held 10,", stock_give(s.rig.inventory->stock, 0, s.phone, 1));
    /* A unit that is sold and was not: of those that are held. */
    NOTICED("item 1: held 10, sold 5", stock_sell(s.rig.inventory->stock, 0, s.phone, 1));
    NOTICED("item 1: held 12, sold 3", stock_sell(s.rig.inventory->stock, 0, s.phone, -1));
    /* A sold unit of no order; an order's that is told to be a forgotten one's. */
    NOTICED("item 2: held 6, sold 1", {
        assert_int_equal(stock_take(s.rig.inventory->stock, 0, s.cover, 1), HF_OK);
        stock_sell(s.rig.inventory->stock, 0, s.cover, 1);
    });
    NOTICED("item 1:", stock_settle(s.rig.inventory->stock, s.phone, 1));
    /* What was published, alone. */
    NOTICED("item 1:", stock_promise(s.rig.inventory->stock, 0, s.phone, 1));
    NOTICED("item 1:", stock_promise(s.rig.inventory->stock, 0, s.phone, -1));
}

static void verify_notices_lines_that_can_not_be(void **state)
{
    (void)state;
    /* The item's numbers would agree in most of these: nothing of the line is held or sold. */
    NOTICED("order ", order_of(&s, PLAIN)->one.item = 60);
    NOTICED("order ", order_of(&s, PLAIN)->one.item = 0);
    NOTICED("order ", line_of(&s, LISTED, 1)->qty = 0);
    NOTICED("order ", line_of(&s, LISTED, 1)->released = 8);
    NOTICED("order ", line_of(&s, LISTED, 1)->committed = 7);
    NOTICED("order ", line_of(&s, LISTED, 1)->returned = 1);
    NOTICED("order ", line_of(&s, PRESOLD, 0)->presale_qty = 9);
    NOTICED("order ", line_of(&s, LISTED, 0)->ticket = 1);
    NOTICED("order ", order_of(&s, LIMITED)->buyer = 0);
    NOTICED("order ", order_of(&s, PLAIN)->flags |= ORDER_BUSY);
    NOTICED("order ", order_of(&s, PLAIN)->state = ORDER_RETURNED + 1);
}

static void verify_notices_counters_that_are_off(void **state)
{
    (void)state;
    NOTICED("6 orders", counter_add(&shard_of(&s, PLAIN)->known, 1));
    NOTICED("4 orders", counter_add(&shard_of(&s, PLAIN)->known, (uint64_t)-1));
    NOTICED("5 orders, 5 held", counter_add(&shard_of(&s, PLAIN)->held, 1));
    NOTICED("5 orders, 3 held", counter_add(&shard_of(&s, PLAIN)->held, (uint64_t)-1));
}

static void hint_add(struct scene *s)
{
    expiry_lock(s->rig.inventory->expiry, 0);
    expiry_add(s->rig.inventory->expiry, 0, 0, s->rig.txn->now_ms + 1, s->rig.txn->now_ms);
    expiry_unlock(s->rig.inventory->expiry, 0);
}

/* All of one time, which those of a scene are. */
static void hints_drop(struct scene *s)
{
    uint32_t handles[EXPIRY_TAKE];
    uint32_t dropped = 0;
    for (unsigned wheel = 0; wheel < EXPIRY_WHEELS; wheel++) {
        dropped += expiry_take(s->rig.inventory->expiry, wheel, s->rig.txn->now_ms + 5000, handles);
    }
    assert_int_equal(dropped, 5);
}

/* A held order whose hint is lost would be held for ever. */
static void verify_notices_deadlines_that_are_lost(void **state)
{
    (void)state;
    NOTICED("6 deadlines are entered, 5 orders", hint_add(&s));
    NOTICED("5 deadlines are entered, 4 orders",
            order_of(&s, PAID)->flags &= (uint8_t)~ORDER_HINTED);
    /* As many hints as orders that say so; but a held order is not among them. */
    NOTICED("4 deadlines are entered, 4 orders say theirs is, 1 held orders have none", {
        order_of(&s, PLAIN)->flags &= (uint8_t)~ORDER_HINTED;
        hints_drop(&s);
        for (uint32_t i = 0; i < 4; i++) {
            hint_add(&s);
        }
    });
}

static void verify_notices_limits_that_orders_do_not_make(void **state)
{
    (void)state;
    NOTICED("SKU 3, buyer 7: 4 units are counted, its orders have 3", {
        /* Two of these are a forgotten order's: so one fewer than that is still possible. */
        buyers_give(s.rig.inventory->buyers, 3, BUYER, 1);
        inventory_digest(s.rig.inventory);
        stock_settle(s.rig.inventory->stock, s.limited, -2);
        stock_sell(s.rig.inventory->stock, 0, s.limited, -2);
        stock_promise(s.rig.inventory->stock, 0, s.limited, -2);
        stock_give(s.rig.inventory->stock, 0, s.limited, 2);
    });
    NOTICED("SKU 3, buyer 7: 2 units are counted, its orders have 3",
            buyers_give(s.rig.inventory->buyers, 3, BUYER, 3));
    NOTICED("SKU 3, buyer 7: 6 units are counted, its orders have 3",
            assert_int_equal(buyers_force(s.rig.inventory->buyers, 3, BUYER, 1), HF_OK));
    NOTICED("SKU 3, buyer 7: 0 units are counted, its orders have 3",
            buyers_give(s.rig.inventory->buyers, 3, BUYER, 5));
    NOTICED("SKU 1, buyer 9: 1 units are counted, its orders have 0", {
        /* Of the phone nothing was forgotten. */
        assert_int_equal(buyers_force(s.rig.inventory->buyers, 1, 9, 1), HF_OK);
    });
    /* A forgotten order explains its two units once: of two buyers only one can have had them. */
    NOTICED("SKU 3, buyer 9: 1 units are counted, its orders have 0",
            assert_int_equal(buyers_force(s.rig.inventory->buyers, 3, 9, 1), HF_OK));
    /* The claim of an order is compared with its own buyer's count, not with the next one's. */
    NOTICED("SKU 3, buyer 7: 0 units are counted, its orders have 3", {
        buyers_give(s.rig.inventory->buyers, 3, BUYER, 5);
        assert_int_equal(buyers_force(s.rig.inventory->buyers, 3, 9, 2), HF_OK);
    });
}

static void verify_notices_tickets_that_orders_do_not_make(void **state)
{
    (void)state;
    NOTICED("item 4, pre-sale ticket 1: 6 units are counted, its orders have 5",
            assert_true(presale_change(s.rig.inventory->presale, s.lot, 1, 1)));
    NOTICED("item 4, pre-sale ticket 1: 4 units are counted, its orders have 5",
            assert_true(presale_change(s.rig.inventory->presale, s.lot, 1, -1)));
    NOTICED("item 4, pre-sale ticket 1: 0 units are counted, its orders have 5",
            assert_true(presale_change(s.rig.inventory->presale, s.lot, 1, -5)));
    NOTICED("item 4, pre-sale ticket 2: 1 units are counted, its orders have 0",
            assert_true(presale_change(s.rig.inventory->presale, s.lot, 2, 1)));
}

/* ---- Digest ---- */

/* Breaks a scene of its own: its digest must be another one. */
#define DIGEST_TELLS(breaking)                                                                     \
    do {                                                                                           \
        struct scene s;                                                                            \
        scene_open(&s);                                                                            \
        uint64_t before = inventory_digest(s.rig.inventory);                                       \
        breaking;                                                                                  \
        if (inventory_digest(s.rig.inventory) == before) {                                         \
            fail_msg("the digest does not tell: %s", #breaking);                                   \
        }                                                                                          \
        scene_close(&s);                                                                           \
    } while (0)

static void digest_tells_of_each_field_of_an_order(void **state)
{
    (void)state;
    DIGEST_TELLS(order_of(&s, PLAIN)->buyer++);
    DIGEST_TELLS(order_of(&s, PLAIN)->deadline_ms++);
    DIGEST_TELLS(order_of(&s, PLAIN)->extended_ms++);
    DIGEST_TELLS(order_of(&s, PRESOLD)->contents ^= 1u << 16);
    /* Lines. What is taken from one is given to another where both are of one item, so that only
     * the orders can tell. */
    DIGEST_TELLS(line_of(&s, LISTED, 1)->released = 2);
    DIGEST_TELLS({
        line_of(&s, LISTED, 0)->qty--;
        order_of(&s, PLAIN)->one.qty++;
    });
    DIGEST_TELLS(line_of(&s, PRESOLD, 0)->presale_qty = 4);
    DIGEST_TELLS(line_of(&s, PRESOLD, 0)->ticket = 2);
    DIGEST_TELLS(line_of(&s, PRESOLD, 0)->line = 2);
    DIGEST_TELLS(order_of(&s, LIMITED)->flags &= (uint8_t)~ORDER_COUNTED);
    DIGEST_TELLS({
        /* All that was released is one more, and so is what the line had: as much is held. */
        line_of(&s, LISTED, 1)->released++;
        line_of(&s, LISTED, 1)->qty++;
    });
}

/* Two orders that differ in what was done with their units, not in how many are where. */
static void digest_tells_what_was_done_with_an_orders_units(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s);
    struct line_qty four = {.line = 1, .qty = 4};
    struct line_qty two = {.line = 1, .qty = 2};
    /* Committed 6 and returned 2, against committed 4: 4 are sold in both. */
    assert_int_equal(rig_edit(&s.rig, inventory_commit, LISTED, NULL, 0).status, HF_OK);
    assert_int_equal(rig_edit(&s.rig, inventory_return, LISTED, &two, 1).status, HF_OK);
    uint64_t returned = inventory_digest(s.rig.inventory);
    struct order_line_view *line = line_of(&s, LISTED, 0);
    line->committed = four.qty;
    line->returned = 0;
    assert_int_not_equal(inventory_digest(s.rig.inventory), returned);
    /* Nothing but the number of returned units: what is sold is made up for by another order. */
    line->committed = 6;
    line->returned = 3;
    order_of(&s, PAID)->one.qty++;
    uint64_t other = inventory_digest(s.rig.inventory);
    assert_int_not_equal(other, returned);
    scene_close(&s);
}

/* What an order says of itself is in its own digest: the sum of what is held and sold, which tells
 * the same, can be made up for by another order. */
#define ORDER_DIGEST_TELLS(id, breaking)                                                           \
    do {                                                                                           \
        struct scene s;                                                                            \
        scene_open(&s);                                                                            \
        uint64_t before = order_digest(order_of(&s, id));                                          \
        breaking;                                                                                  \
        if (order_digest(order_of(&s, id)) == before) {                                            \
            fail_msg("the order's digest does not tell: %s", #breaking);                           \
        }                                                                                          \
        scene_close(&s);                                                                           \
    } while (0)

static void digest_of_an_order_tells_of_itself(void **state)
{
    (void)state;
    ORDER_DIGEST_TELLS(LISTED, order_of(&s, LISTED)->state = ORDER_EXPIRED);
    ORDER_DIGEST_TELLS(LISTED, line_of(&s, LISTED, 1)->released++);
    ORDER_DIGEST_TELLS(LISTED, line_of(&s, LISTED, 1)->item = s.phone);
    ORDER_DIGEST_TELLS(LISTED, line_of(&s, LISTED, 1)->qty++);
    ORDER_DIGEST_TELLS(LISTED, {
        assert_int_equal(rig_edit(&s.rig, inventory_commit, LISTED, NULL, 0).status, HF_OK);
        before = order_digest(order_of(&s, LISTED));
        line_of(&s, LISTED, 0)->returned = 1;
    });
    ORDER_DIGEST_TELLS(LISTED, {
        assert_int_equal(rig_edit(&s.rig, inventory_commit, LISTED, NULL, 0).status, HF_OK);
        before = order_digest(order_of(&s, LISTED));
        line_of(&s, LISTED, 0)->committed--;
    });
}

static void digest_tells_held_from_sold(void **state)
{
    (void)state;
    assert_int_not_equal(digest_units(1, (struct line_units){3, 0}),
                         digest_units(1, (struct line_units){0, 3}));
    assert_int_not_equal(digest_units(1, (struct line_units){3, 0}), digest_stocked(1, 3));
    assert_int_not_equal(digest_units(1, (struct line_units){0, 3}), digest_stocked(1, 3));
    assert_int_not_equal(digest_units(1, (struct line_units){3, 0}),
                         digest_units(2, (struct line_units){3, 0}));
    assert_int_not_equal(digest_stocked(1, 3), digest_stocked(2, 3));
    assert_int_not_equal(digest_buyer(1, 7, 3), digest_buyer(2, 7, 3));
    assert_int_not_equal(digest_buyer(1, 7, 3), digest_buyer(1, 8, 3));
}

static void digest_tells_of_what_is_counted_and_adjusted(void **state)
{
    (void)state;
    DIGEST_TELLS(assert_int_equal(buyers_force(s.rig.inventory->buyers, 3, BUYER, 1), HF_OK));
    DIGEST_TELLS(stock_restock(s.rig.inventory->stock, 0, s.phone, 1));
    DIGEST_TELLS(stock_settle(s.rig.inventory->stock, s.phone, 1));
    DIGEST_TELLS({
        struct adjustments *made = &s.rig.inventory->adjustments;
        for (uint64_t i = 0; i < made->capacity; i++) {
            made->slots[i].used = false;
        }
    });
    const struct adjustment_made made = {
        .id = {1, 2}, .delta = 3, .stocked = 4, .texts = 5, .item = 6};
    uint64_t digest = adjustment_digest(&made);
    struct adjustment_made other = made;
    other.id.hi++;
    assert_int_not_equal(adjustment_digest(&other), digest);
    other = made;
    other.id.lo++;
    assert_int_not_equal(adjustment_digest(&other), digest);
    other = made;
    other.delta++;
    assert_int_not_equal(adjustment_digest(&other), digest);
    other = made;
    other.stocked++;
    assert_int_not_equal(adjustment_digest(&other), digest);
    other = made;
    other.texts++;
    assert_int_not_equal(adjustment_digest(&other), digest);
    other = made;
    other.item++;
    assert_int_not_equal(adjustment_digest(&other), digest);
}

/* Installs a rule as publishing does. */
static void install_rule(struct scene *s, const struct sku_rule *rule)
{
    struct definition definition;
    assert_int_equal(definition_of_sku(s->rig.inventory, rule, &definition), HF_OK);
    definition_install_sku(s->rig.inventory, rule, &definition);
}

static void digest_tells_of_each_field_of_a_definition(void **state)
{
    (void)state;
    const struct sku_rule rule = {.sku = bytes_of("phone")};
#define RULE_TELLS(field)                                                                          \
    DIGEST_TELLS({                                                                                 \
        struct sku_rule changed = rule;                                                            \
        changed.field;                                                                             \
        install_rule(&s, &changed);                                                                \
    })
    RULE_TELLS(label = bytes_of("a label"));
    RULE_TELLS(limit_per_buyer = 1);
    RULE_TELLS(paused = true);
    RULE_TELLS(opens_at_ms = 1);
    RULE_TELLS(closes_at_ms = 1);
    RULE_TELLS(hold_ms = 1);
    RULE_TELLS(hold_ms_max = 1);
#undef RULE_TELLS
    DIGEST_TELLS(catalog_set_hot(s.rig.inventory->catalog, s.phone, true));
    DIGEST_TELLS(stock_define(s.rig.inventory->stock, s.phone, 1, 0, false));
    DIGEST_TELLS(stock_define(s.rig.inventory->stock, s.phone, 0, 1, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verify_notices_stock_that_orders_do_not_make),
        cmocka_unit_test(verify_notices_lines_that_can_not_be),
        cmocka_unit_test(verify_notices_counters_that_are_off),
        cmocka_unit_test(verify_notices_deadlines_that_are_lost),
        cmocka_unit_test(verify_notices_limits_that_orders_do_not_make),
        cmocka_unit_test(verify_notices_tickets_that_orders_do_not_make),
        cmocka_unit_test(digest_tells_of_each_field_of_an_order),
        cmocka_unit_test(digest_tells_what_was_done_with_an_orders_units),
        cmocka_unit_test(digest_of_an_order_tells_of_itself),
        cmocka_unit_test(digest_tells_held_from_sold),
        cmocka_unit_test(digest_tells_of_what_is_counted_and_adjusted),
        cmocka_unit_test(digest_tells_of_each_field_of_a_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
