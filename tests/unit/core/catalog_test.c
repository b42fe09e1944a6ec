/* catalog_test.c - SKUs and items by name, and their definition through the inventory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/catalog.h"
#include "lib/core_rig.h"

static void catalog_gives_dense_handles_and_finds_them(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(16);
    rig_open(&rig, &options);
    assert_int_equal(rig_define(&rig, "phone", "default", 0, 0), 1);
    assert_int_equal(rig_define(&rig, "phone", "store-7", 0, 0), 2);
    assert_int_equal(rig_define(&rig, "gift", "default", 0, 0), 3);
    struct bytes phone = bytes_of("phone");
    assert_int_equal(inventory_find_item(rig.inventory, phone, bytes_of("default")), 1);
    assert_int_equal(inventory_find_item(rig.inventory, phone, bytes_of("store-7")), 2);
    assert_int_equal(inventory_find_item(rig.inventory, phone, bytes_of("store-8")), 0);
    assert_int_equal(inventory_find_item(rig.inventory, bytes_of("phon"), bytes_of("default")), 0);
    assert_false(inventory_has_item(rig.inventory, 0));
    assert_true(inventory_has_item(rig.inventory, 3));
    assert_false(inventory_has_item(rig.inventory, 4));
    struct item_view view;
    assert_int_equal(inventory_item(rig.inventory, 4, &view), HF_UNKNOWN_ITEM);
    assert_int_equal(inventory_item(rig.inventory, 2, &view), HF_OK);
    assert_memory_equal(view.pool.data, "store-7", 7);
    uint32_t items[3] = {0};
    assert_int_equal(inventory_sku_items(rig.inventory, phone, items, 1), 2);
    assert_int_equal(items[1], 0);
    assert_int_equal(inventory_sku_items(rig.inventory, phone, items, 3), 2);
    assert_int_equal(items[0], 1);
    assert_int_equal(items[1], 2);
    assert_int_equal(inventory_sku_items(rig.inventory, bytes_of("none"), items, 3), 0);
    rig_check(&rig);
    rig_close(&rig);
}

static void catalog_is_not_visible_before_publish(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(16);
    rig_open(&rig, &options);
    struct item_def def = {.sku = bytes_of("x"), .pool = bytes_of("default")};
    uint32_t item;
    assert_int_equal(inventory_define_item(rig.txn, &def, &item), HF_OK);
    assert_int_equal(item, 1);
    assert_false(inventory_has_item(rig.inventory, 1));
    assert_int_equal(inventory_find_item(rig.inventory, def.sku, def.pool), 0);
    rig_publish(&rig);
    assert_int_equal(inventory_find_item(rig.inventory, def.sku, def.pool), 1);
    rig_close(&rig);
}

static void catalog_makes_no_event_when_a_definition_is_unchanged(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(16);
    rig_open(&rig, &options);
    rig_define(&rig, "x", "default", 3, 4);
    uint32_t events = rig.log_count;
    assert_int_equal(rig_define(&rig, "x", "default", 3, 4), 1);
    assert_int_equal(rig.log_count, events);
    assert_int_equal(rig_define(&rig, "x", "default", 3, 5), 1);
    assert_int_equal(rig.log_count, events + 1);
    assert_int_equal(rig_stock(&rig, 1).available, 2);
    struct sku_rule rule = {.sku = bytes_of("x"), .label = bytes_of("Thing"), .hold_ms = 5};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
        rig_publish(&rig);
        assert_int_equal(rig.log_count, events + 2);
    }
    struct sku_rule read;
    assert_int_equal(inventory_sku(rig.inventory, bytes_of("x"), &read), HF_OK);
    assert_int_equal(read.hold_ms, 5);
    assert_int_equal(read.label.len, 5);
    rule.label = bytes_of("");
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    assert_int_equal(inventory_sku(rig.inventory, bytes_of("x"), &read), HF_OK);
    assert_int_equal(read.label.len, 0);
    assert_int_equal(inventory_sku(rig.inventory, bytes_of("y"), &read), HF_NOT_FOUND);
    rig_check(&rig);
    rig_close(&rig);
}

static void catalog_is_full_at_items_max(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(16);
    options.items_max = 2;
    rig_open(&rig, &options);
    rig_define(&rig, "a", "p", 0, 0);
    rig_define(&rig, "a", "q", 0, 0);
    struct item_def def = {.sku = bytes_of("a"), .pool = bytes_of("r")};
    uint32_t item;
    assert_int_equal(inventory_define_item(rig.txn, &def, &item), HF_FULL);
    struct sku_rule rule = {.sku = bytes_of("b")};
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    rule.sku = bytes_of("c");
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_FULL);
    assert_int_equal(rig.txn->event_count, 0);
    rig_check(&rig);
    rig_close(&rig);
}

static void catalog_lists_skus_in_the_order_of_bytes(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(16);
    rig_open(&rig, &options);
    struct bytes sku = bytes_of("");
    assert_false(inventory_next_sku(rig.inventory, sku, &sku));
    static const char *const codes[] = {"b", "ab", "\xc3\xa9", "a", "B", "abc"};
    static const char *const order[] = {"B", "a", "ab", "abc", "b", "\xc3\xa9"};
    for (size_t i = 0; i < 6; i++) {
        rig_define(&rig, codes[i], "default", 0, 0);
        if (i == 2) {
            assert_true(inventory_next_sku(rig.inventory, bytes_of(""), &sku));
            assert_memory_equal(sku.data, "ab", 2);
        }
    }
    sku = bytes_of("");
    for (size_t i = 0; i < 6; i++) {
        assert_true(inventory_next_sku(rig.inventory, sku, &sku));
        assert_int_equal(sku.len, strlen(order[i]));
        assert_memory_equal(sku.data, order[i], sku.len);
    }
    assert_false(inventory_next_sku(rig.inventory, sku, &sku));
    assert_true(inventory_next_sku(rig.inventory, bytes_of("aa"), &sku));
    assert_memory_equal(sku.data, "ab", 2);
    rig_close(&rig);
}

static void catalog_finds_each_of_many(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(16);
    options.items_max = 5000;
    rig_open(&rig, &options);
    char name[16];
    for (uint32_t i = 1; i <= 5000; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(rig_define(&rig, name, "default", 0, 0), i);
    }
    for (uint32_t i = 1; i <= 5000; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(inventory_find_item(rig.inventory, bytes_of(name), bytes_of("default")),
                         i);
    }
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Sale rules ---- */

static uint32_t add_item(struct catalog *catalog, const char *sku, const char *pool)
{
    uint32_t number = catalog_find_sku(catalog, bytes_of(sku));
    if (number == 0) {
        number = catalog_add_sku(catalog, catalog_intern(catalog, bytes_of(sku)));
    }
    return catalog_add_item(catalog, number, catalog_intern(catalog, bytes_of(pool)), false);
}

static void catalog_sale_rule_tells_the_sku_its_limit_and_the_presale(void **state)
{
    (void)state;
    struct catalog *catalog;
    assert_int_equal(catalog_init(&catalog, 8), HF_OK);
    assert_int_equal(add_item(catalog, "phone", "east"), 1);
    assert_int_equal(add_item(catalog, "case", "east"), 2);
    catalog_set_presale(catalog, 3, true); /* of the next one */
    assert_int_equal(add_item(catalog, "phone", "west"), 3);
    struct sku_rule rule = {.limit_per_buyer = UINT32_MAX, .opens_at_ms = 5, .hold_ms_max = 9};
    catalog_set_rule(catalog, 1, &rule, NULL);
    static const uint32_t skus[] = {1, 2, 1};
    for (uint32_t item = 1; item <= 3; item++) {
        struct sale_rule sale;
        catalog_sale_rule(catalog, item, &sale);
        assert_int_equal(sale.sku, skus[item - 1]);
        assert_int_equal(sale.limit_per_buyer, sale.sku == 1 ? UINT32_MAX : 0);
        assert_int_equal(sale.opens_at_ms, sale.sku == 1 ? 5 : 0);
        assert_int_equal(sale.hold_ms_max, sale.sku == 1 ? 9 : 0);
        assert_int_equal(sale.presale, item == 3);
    }
    catalog_set_presale(catalog, 1, true);
    catalog_set_presale(catalog, 3, false);
    for (uint32_t item = 1; item <= 3; item++) {
        struct sale_rule sale;
        catalog_sale_rule(catalog, item, &sale);
        assert_int_equal(sale.presale, item == 1);
    }
    catalog_deinit(catalog);
}

/* Units beyond stock are noticed from the definition that allows them, and after another on. */
static void catalog_presale_follows_the_definition(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(16);
    rig_open(&rig, &options);
    assert_int_equal(rig_define(&rig, "phone", "default", 0, 0), 1);
    assert_int_equal(rig_set_stock(&rig, 1, 2), HF_OK);
    assert_int_equal(rig_reserve(&rig, 1, 1, 2).status, HF_OK);
    assert_int_equal(rig_reserve(&rig, 2, 1, 1).status, HF_SOLD_OUT);
    rig_define(&rig, "phone", "default", 0, 1);
    struct order_outcome outcome = rig_reserve(&rig, 2, 1, 1);
    assert_int_equal(outcome.status, HF_OK);
    assert_int_equal(outcome.grant_count, 1);
    struct order_line_view line;
    rig_order(&rig, 2, &line, 1);
    assert_int_equal(line.presale_qty, 1);
    assert_int_equal(line.ticket, 1);
    rig_define(&rig, "phone", "default", 0, 0);
    assert_int_equal(rig_set_stock(&rig, 1, 4), HF_OK);
    assert_int_equal(rig_reserve(&rig, 3, 1, 2).status, HF_SOLD_OUT);
    outcome = rig_reserve(&rig, 3, 1, 1);
    assert_int_equal(outcome.status, HF_OK);
    assert_int_equal(outcome.grant_count, 0);
    rig_check(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catalog_gives_dense_handles_and_finds_them),
        cmocka_unit_test(catalog_is_not_visible_before_publish),
        cmocka_unit_test(catalog_makes_no_event_when_a_definition_is_unchanged),
        cmocka_unit_test(catalog_is_full_at_items_max),
        cmocka_unit_test(catalog_lists_skus_in_the_order_of_bytes),
        cmocka_unit_test(catalog_finds_each_of_many),
        cmocka_unit_test(catalog_sale_rule_tells_the_sku_its_limit_and_the_presale),
        cmocka_unit_test(catalog_presale_follows_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
