/* corners_test.c - corners that random histories seldom get into: two names of one hash, a deadline
 * just a wheel's turn ahead, images that differ from possible ones in a number, memory that comes
 * back or has run out.
 *
 * Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "core/definitions.h"
#include "core/image.h"
#include "core/inventory_internal.h"
#include "core/plan.h"
#include "lib/core_rig.h"

/* ---- Names ---- */

/* Each pair has one hash as far as a table of 16 slots looks at it: its upper 32 bits, and the
 * lowest four, by which a slot is chosen. Found by trying a million. */
static void names_of_one_hash_are_told_apart(void **state)
{
    (void)state;
    static const char *const codes[3][2] = {
        {"C862546", "C920482"}, {"C746539", "C820164"}, {"C1466212", "C1498519"}};
    static const char *const pools[3][2] = {
        {"C731074", "C1033723"}, {"C278091", "C710952"}, {"C813321", "C894621"}};
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        struct inventory_options options = rig_options(64);
        options.items_max = 8; /* 16 slots */
        rig_open(&rig, &options);
        uint64_t a = hash_bytes(codes[i][0], strlen(codes[i][0]));
        uint64_t b = hash_bytes(codes[i][1], strlen(codes[i][1]));
        assert_true(a >> 32 == b >> 32 && (a & 15) == (b & 15));
        /* Pools of the first SKU. */
        assert_int_equal(rig_define(&rig, codes[i][0], pools[i][0], 0, 0), 1);
        assert_int_equal(
            inventory_find_item(rig.inventory, bytes_of(codes[i][0]), bytes_of(pools[i][1])), 0);
        assert_int_equal(rig_define(&rig, codes[i][0], pools[i][1], 0, 0), 2);
        /* And another SKU. */
        struct bytes sku = bytes_of(codes[i][1]);
        struct sku_rule rule;
        assert_int_equal(inventory_sku(rig.inventory, sku, &rule), HF_NOT_FOUND);
        assert_int_equal(rig_define(&rig, codes[i][1], pools[i][0], 0, 0), 3);
        assert_int_equal(inventory_find_item(rig.inventory, sku, bytes_of(pools[i][0])), 3);
        for (uint32_t k = 0; k < 2; k++) {
            assert_int_equal(
                inventory_find_item(rig.inventory, bytes_of(codes[i][0]), bytes_of(pools[i][k])),
                k + 1);
        }
        assert_int_equal(inventory_sku(rig.inventory, sku, &rule), HF_OK);
        assert_true(bytes_equal(rule.sku, sku));
        rig_check(&rig);
        rig_close(&rig);
    }
}

/* ---- Deadlines ---- */

/* One deadline so far ahead of the present: nothing is due before, and it is then. */
static void deadline_is_due_then_and_not_before_however_far_ahead(void **state)
{
    (void)state;
    static const uint64_t turns[] = {1, 1ull << 12, 1ull << 24, 1ull << 36};
    static const uint64_t starts[] = {
        1, 4095, 4096, 4097, (1ull << 24) - 1, 1ull << 24, 1700000000123ull};
    for (size_t t = 0; t < sizeof turns / sizeof turns[0]; t++) {
        for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
            for (int off = -2; off <= 2; off++) {
                struct expiry *expiry;
                uint32_t handles[EXPIRY_TAKE];
                uint64_t now = starts[s];
                uint64_t at = now + turns[t] + (uint64_t)(int64_t)off;
                if (at <= now || turns[t] == 1ull << 36) { /* further than its levels reach */
                    continue;
                }
                assert_int_equal(expiry_init(&expiry, 16), HF_OK);
                expiry_lock(expiry, 0);
                expiry_add(expiry, 0, 5, at, now);
                expiry_unlock(expiry, 0);
                /* What comes up before is entered again, as the inventory does. */
                uint32_t count = expiry_take(expiry, 0, at - 1, handles);
                for (unsigned again = 0; count > 0; again++) {
                    assert_int_equal(count, 1);
                    assert_true(again < 3); /* once a level */
                    expiry_lock(expiry, 0);
                    expiry_add(expiry, 0, 5, at, at - 1);
                    expiry_unlock(expiry, 0);
                    count = expiry_take(expiry, 0, at - 1, handles);
                }
                assert_false(expiry_due(expiry, 0, at - 1));
                assert_int_equal(expiry_hints(expiry), 1);
                assert_int_equal(expiry_take(expiry, 0, at, handles), 1);
                assert_int_equal(handles[0], 5);
                expiry_deinit(expiry);
            }
        }
    }
}

/* Below a level's turn nothing comes up early at all: to the millisecond without a second look. */
static void deadline_within_a_turn_comes_up_once(void **state)
{
    (void)state;
    for (uint64_t ahead = 4090; ahead <= 4100; ahead++) {
        struct expiry *expiry;
        uint32_t handles[EXPIRY_TAKE];
        assert_int_equal(expiry_init(&expiry, 16), HF_OK);
        expiry_lock(expiry, 0);
        expiry_add(expiry, 0, 5, 1000 + ahead, 1000);
        expiry_unlock(expiry, 0);
        assert_int_equal(expiry_take(expiry, 0, 1000, handles), 0);
        assert_int_equal(expiry_take(expiry, 0, 1001, handles), 0);
        assert_int_equal(expiry_hints(expiry), 1);
        expiry_deinit(expiry);
    }
}

/* More in the very last bucket than one look takes. */
static void sweep_takes_all_of_the_last_bucket(void **state)
{
    (void)state;
    struct expiry *expiry;
    struct expiry_cursor cursor = {0};
    uint32_t handles[EXPIRY_TAKE];
    uint32_t taken = 0;
    assert_int_equal(expiry_init(&expiry, 64), HF_OK);
    expiry_lock(expiry, 0);
    for (uint32_t handle = 0; handle < 40; handle++) {
        expiry_add(expiry, 0, handle, (4095ull << 24) + 5, 1);
    }
    expiry_unlock(expiry, 0);
    while (!cursor.done) {
        taken += expiry_sweep(expiry, 0, &cursor, handles);
    }
    assert_int_equal(taken, 40);
    assert_int_equal(expiry_hints(expiry), 0);
    expiry_deinit(expiry);
}

/* ---- Images ---- */

struct image_case {
    const char *what;
    enum order_state state;
    struct order_line_view lines[2];
    bool fits;
};

/* Orders of 5 and 4 units, with what was done to them: what the state has, and one number more or
 * less. */
static void image_has_what_its_state_has(void **state)
{
    (void)state;
#define LINES(r0, c0, t0, r1, c1, t1)                                                              \
    {                                                                                              \
        {.item = 1, .qty = 5, .released = r0, .committed = c0, .returned = t0},                    \
        {                                                                                          \
            .item = 1, .qty = 4, .released = r1, .committed = c1, .returned = t1                   \
        }                                                                                          \
    }
    static const struct image_case cases[] = {
        {"held", ORDER_HELD, LINES(0, 0, 0, 0, 0, 0), true},
        {"held, in part released", ORDER_HELD, LINES(5, 0, 0, 3, 0, 0), true},
        {"held, all released", ORDER_HELD, LINES(5, 0, 0, 4, 0, 0), false},
        {"held, more released", ORDER_HELD, LINES(6, 0, 0, 0, 0, 0), false},
        {"held and committed", ORDER_HELD, LINES(0, 1, 0, 0, 0, 0), false},
        {"held and returned", ORDER_HELD, LINES(0, 0, 1, 0, 0, 0), false},
        {"expired", ORDER_EXPIRED, LINES(4, 0, 0, 0, 0, 0), true},
        {"expired, all released", ORDER_EXPIRED, LINES(5, 0, 0, 4, 0, 0), false},
        {"expired and committed", ORDER_EXPIRED, LINES(0, 1, 0, 0, 0, 0), false},
        {"released", ORDER_RELEASED, LINES(5, 0, 0, 4, 0, 0), true},
        {"released but for one", ORDER_RELEASED, LINES(5, 0, 0, 3, 0, 0), false},
        {"released and committed", ORDER_RELEASED, LINES(5, 0, 0, 4, 1, 0), false},
        {"committed", ORDER_COMMITTED, LINES(0, 5, 0, 0, 4, 0), true},
        {"committed in part", ORDER_COMMITTED, LINES(2, 3, 0, 0, 0, 0), true},
        {"committed, all but one returned", ORDER_COMMITTED, LINES(0, 5, 5, 0, 4, 3), true},
        {"committed, all returned", ORDER_COMMITTED, LINES(0, 5, 5, 0, 4, 4), false},
        {"committed, none", ORDER_COMMITTED, LINES(0, 0, 0, 0, 0, 0), false},
        {"committed, more than was left", ORDER_COMMITTED, LINES(3, 3, 0, 0, 4, 0), false},
        {"committed, more returned", ORDER_COMMITTED, LINES(0, 3, 4, 0, 4, 0), false},
        {"returned", ORDER_RETURNED, LINES(0, 5, 5, 0, 4, 4), true},
        {"returned in part", ORDER_RETURNED, LINES(0, 5, 5, 0, 4, 3), false},
        {"returned, none", ORDER_RETURNED, LINES(0, 0, 0, 0, 0, 0), false},
    };
#undef LINES
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        struct inventory_options options = rig_options(64);
        rig_open(&rig, &options);
        rig_item(&rig, "phone", 100);
        struct order_line_view lines[2] = {cases[i].lines[0], cases[i].lines[1]};
        const struct order_image image = {.id = {0xB0, 1},
                                          .buyer = 7,
                                          .lsn = 48,
                                          .deadline_ms = 1000,
                                          .state = cases[i].state,
                                          .block = true,
                                          .line_count = 2,
                                          .lines = lines};
        enum hf_status status = inventory_load_order(rig.inventory, &image);
        if ((status == HF_OK) != cases[i].fits) {
            fail_msg("%s: %s", cases[i].what, hf_status_text(status));
        }
        if (cases[i].fits) {
            char what[256];
            assert_true(inventory_verify(rig.inventory, what, sizeof what));
            struct inventory_counts counts;
            inventory_counts(rig.inventory, &counts);
            assert_int_equal(counts.orders_held, cases[i].state == ORDER_HELD);
        }
        rig_close(&rig);
    }
}

/* ---- Replay ---- */

/* An adjustment's id is used once: a log that has it twice is damaged, whatever it leaves. */
static void adjustment_of_an_id_that_was_used_is_damage(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "phone", 10);
    rig_define(&rig, "phone", "shop", 0, 0);
    const struct stock_change change = {.item = 1, .delta = 5, .stocked = 15};
    struct event event = {.type = EVENT_STOCK_ADJUSTED, .id = {1, 1}, .adjust = &change};
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_OK);
    const struct stock_change again = {.item = 1, .delta = 5, .stocked = 20};
    event.adjust = &again;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_DAMAGED);
    const struct stock_move move = {
        .from = 1, .to = 2, .units = 1, .from_stocked = 14, .to_stocked = 1};
    struct event moved = {.type = EVENT_STOCK_MOVED, .id = {1, 1}, .move = &move};
    assert_int_equal(inventory_apply(rig.inventory, &moved), HF_DAMAGED);
    assert_int_equal(rig_stock(&rig, 1).stocked, 15);
    rig_close(&rig);
}

/* ---- Late commits ---- */

static uint32_t covered_of(struct rig *rig, uint64_t order)
{
    struct order_view view;
    struct order_line_view line;
    uint32_t covered = UINT32_MAX;
    struct id128 id = {0xB0, order};
    assert_int_equal(inventory_order_covered(rig->inventory, id, &view, &line, &covered, 1), HF_OK);
    return covered;
}

/* A late commit takes its place among the pre-sold again: what is older is covered before it. */
static void late_commit_stands_where_it_stood_among_the_pre_sold(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    uint32_t lot = rig_define(&rig, "lot", "default", 0, 20);
    assert_int_equal(rig_set_stock(&rig, lot, 3), HF_OK);
    assert_int_equal(rig_reserve(&rig, 1, lot, 4).status, HF_OK); /* one is pre-sold */
    assert_int_equal(rig_edit(&rig, inventory_commit, 1, NULL, 0).status, HF_OK);
    assert_int_equal(rig_reserve(&rig, 2, lot, 5).status, HF_OK); /* all of it is */
    assert_int_equal(covered_of(&rig, 1), 0);
    rig.txn->now_ms += 2000;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 2), ORDER_EXPIRED);
    assert_int_equal(rig_commit_late(&rig, 2).status, HF_OK);
    rig_check(&rig);
    /* One unit comes: it is order 1's, and not order 2's. */
    assert_int_equal(rig_set_stock(&rig, lot, 4), HF_OK);
    assert_int_equal(covered_of(&rig, 1), 1);
    assert_int_equal(covered_of(&rig, 2), 0);
    assert_int_equal(rig_set_stock(&rig, lot, 6), HF_OK);
    assert_int_equal(covered_of(&rig, 2), 2);
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Memory ---- */

static struct order *order_of(struct rig *rig, uint64_t order)
{
    struct orders *orders = &rig->inventory->orders;
    struct id128 id = {0xB0, order};
    uint64_t hash = id_hash(id);
    uint32_t handle = orders_find(orders, orders_shard(orders, hash), hash, id);
    assert_int_not_equal(handle, ORDER_NO_HANDLE);
    return orders_at(orders, handle);
}

/* The lines of an order that is forgotten are the next one's: else an engine that runs for long
 * grows without end. */
static void lines_of_a_forgotten_order_are_used_again(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "a", 100);
    rig_item(&rig, "b", 100);
    const struct order_line lines[2] = {{1, 1}, {2, 1}};
    const struct order_line_view *first = NULL;
    for (uint64_t order = 1; order <= 20; order++) {
        assert_int_equal(rig_reserve_lines(&rig, order, lines, 2, 0).status, HF_OK);
        const struct order *entry = order_of(&rig, order);
        assert_true(entry->flags & ORDER_BLOCK);
        first = first ? first : entry->lines;
        assert_ptr_equal(entry->lines, first);
        assert_int_equal(rig_edit(&rig, inventory_release, order, NULL, 0).status, HF_OK);
        rig.txn->now_ms += 2000;
        rig_expire(&rig);
        struct order_cursor cursor = {0};
        assert_int_equal(inventory_forget(rig.txn, UINT64_MAX, &cursor, 100, NULL), TXN_DONE);
        rig_publish(&rig);
        assert_int_equal(rig_state(&rig, order), ORDER_NONE);
    }
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Plans ---- */

/* A dry run says what the change itself would: also of one that is forced. */
static void plan_of_a_forced_adjustment_is_made(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "a", 10);
    assert_int_equal(rig_reserve(&rig, 1, 1, 8).status, HF_OK);
    for (int force = 0; force < 2; force++) {
        struct plan *plan = plan_make(rig.inventory, 4, 4);
        assert_non_null(plan);
        const struct adjustment asked = {.id = {5, 5}, .item = 1, .delta = -3, .force = force};
        bool replayed = true;
        int64_t delta = 99;
        assert_int_equal(plan_adjust(plan, &asked, &replayed, &delta),
                         force ? HF_OK : HF_WOULD_OVERSELL);
        assert_int_equal(delta, force ? -3 : 0);
        assert_false(replayed);
        plan_free(plan);
    }
    rig_close(&rig);
}

/* Named is named, though the value be 0. */
static void field_that_is_named_may_be_set_to_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_define(&rig, "a", "default", 5, 7);
    const struct item_def zero = {.sku = bytes_of("a"), .pool = bytes_of("default")};
    uint32_t item;
    assert_int_equal(item_fields_named(&zero, ITEM_FIELD_SAFETY), ITEM_FIELD_SAFETY);
    assert_int_equal(inventory_change_item(rig.txn, &zero, ITEM_FIELD_SAFETY, &item), HF_OK);
    rig_publish(&rig);
    assert_int_equal(rig_stock(&rig, 1).safety, 0);
    assert_int_equal(rig_stock(&rig, 1).presale_cap, 7);
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Wheels ---- */

/* Each slot's orders have their deadlines in a wheel of its own: all of them are looked at. */
static void orders_of_every_slot_expire(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    uint32_t item = rig_item(&rig, "a", 100);
    for (unsigned slot = 0; slot <= EXPIRY_WHEELS; slot++) {
        rig.txn->slot = slot;
        assert_int_equal(rig_reserve(&rig, 1 + slot, item, 1).status, HF_OK);
    }
    rig.txn->slot = 0;
    rig.txn->now_ms += options.hold_ms_default;
    rig_expire(&rig);
    for (unsigned slot = 0; slot <= EXPIRY_WHEELS; slot++) {
        assert_int_equal(rig_state(&rig, 1 + slot), ORDER_EXPIRED);
    }
    assert_int_equal(rig_stock(&rig, item).available, 100);
    rig_check(&rig);
    rig_close(&rig);
}

/* Uses up the address space for orders' lines. */
static void use_up_lines(struct lines *lines)
{
    for (uint32_t count = ORDER_LINES_MAX; count >= 1; count /= 2) {
        for (uint32_t key = 0; key < 16; key++) { /* each pool */
            while (lines_alloc(lines, key, count) != NULL) {
            }
        }
    }
}

/* A late commit takes units and counts them before it needs memory: without any, it gives all of
 * them back. */
static void late_commit_without_memory_keeps_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    uint32_t item = rig_item(&rig, "a", 10);
    struct sku_rule rule = {.sku = bytes_of("a"), .limit_per_buyer = 5};
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    assert_int_equal(rig_reserve(&rig, 1, item, 5).status, HF_OK);
    rig.txn->now_ms += options.hold_ms_default;
    rig_expire(&rig);
    use_up_lines(rig.inventory->lines);
    uint64_t lsn = rig.lsn;
    /* Fewer units than the order has: its line gets a block. */
    struct line_qty four = {1, 4};
    struct order_edit edit = {.id = {0xB0, 1}, .late_ok = true, .line_count = 1, .lines = &four};
    struct order_outcome outcome;
    RIG_RUN(&rig, inventory_commit(rig.txn, &edit, &outcome));
    assert_int_equal(outcome.status, HF_FULL);
    assert_string_equal(outcome.reason, "out of memory");
    assert_int_equal(rig.lsn, lsn);
    assert_int_equal(rig_state(&rig, 1), ORDER_EXPIRED);
    assert_int_equal(rig_stock(&rig, item).available, 10);
    assert_int_equal(rig_stock(&rig, item).held, 0);
    rig_check(&rig);
    /* All are there for others, up to the buyer's limit. */
    assert_int_equal(rig_reserve(&rig, 2, item, 5).status, HF_OK);
    rig_check(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_one_hash_are_told_apart),
        cmocka_unit_test(deadline_is_due_then_and_not_before_however_far_ahead),
        cmocka_unit_test(deadline_within_a_turn_comes_up_once),
        cmocka_unit_test(sweep_takes_all_of_the_last_bucket),
        cmocka_unit_test(image_has_what_its_state_has),
        cmocka_unit_test(adjustment_of_an_id_that_was_used_is_damage),
        cmocka_unit_test(late_commit_stands_where_it_stood_among_the_pre_sold),
        cmocka_unit_test(lines_of_a_forgotten_order_are_used_again),
        cmocka_unit_test(plan_of_a_forced_adjustment_is_made),
        cmocka_unit_test(field_that_is_named_may_be_set_to_nothing),
        cmocka_unit_test(orders_of_every_slot_expire),
        cmocka_unit_test(late_commit_without_memory_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
