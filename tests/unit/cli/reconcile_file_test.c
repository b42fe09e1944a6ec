/* reconcile_file_test.c - cli/reconcile_file: an order system's file, taken whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/reconcile_file.h"

/* As if the engine had told: sorted by SKU and pool. */
static struct hf_stock stock[] = {
    {.item = 2, .sku = "A", .pool = "default"},
    {.item = 1, .sku = "A", .pool = "shop"},
    {.item = 3, .sku = "B", .pool = "default"},
};
static uint32_t by_item[] = {0, 2, 1, 3};
static const struct item_table items = {
    .count = 3, .by_name = stock, .by_item = by_item, .item_max = 3};

static bool read_text(struct order_file *file, const char *text, char *error)
{
    char name[256];
    const char *directory = getenv("TMPDIR");
    snprintf(name, sizeof name, "%s/holdfast-orders-XXXXXX", directory ? directory : "/tmp");
    int handle = mkstemp(name);
    assert_true(handle >= 0);
    assert_int_equal(write(handle, text, strlen(text)), strlen(text));
    close(handle);
    bool fine = order_file_read(file, name, NULL, &items, error);
    unlink(name);
    return fine;
}

static void expect_error(const char *text, const char *wanted)
{
    struct order_file file;
    char error[ORDER_FILE_ERROR_BYTES] = "";
    assert_false(read_text(&file, text, error));
    if (!strstr(error, wanted)) {
        fail_msg("'%s' does not name '%s'", error, wanted);
    }
    order_file_deinit(&file);
}

static const struct file_order *find(struct order_file *file, const char *name)
{
    return order_file_find(file, id_from_text(name, strlen(name)));
}

static void order_file_puts_rows_together_by_order_and_item(void **state)
{
    (void)state;
    struct order_file file;
    char error[ORDER_FILE_ERROR_BYTES];
    assert_true(read_text(&file,
                          "qty,Order,SKU,pool,state\n"
                          "2,o-1,A,,paid\n"
                          "4,o-2,B,default,PENDING\n"
                          "3,o-1,A,shop,sold\n"
                          "2,o-1,A,default,committed\n"
                          ",o-3,B,,Cancelled\n",
                          error));
    assert_int_equal(file.row_count, 5);
    assert_int_equal(file.order_count, 3);
    const struct file_order *order = find(&file, "o-1");
    assert_non_null(order);
    assert_int_equal(order->wanted, WANTED_COMMITTED);
    assert_int_equal(order->row, 2);
    assert_int_equal(order->part_count, 2);
    assert_int_equal(order->parts[0].item, 1);
    assert_int_equal(order->parts[0].qty, 3);
    assert_int_equal(order->parts[0].repeated, 1);
    /* Twice the same: together, and each. */
    assert_int_equal(order->parts[1].item, 2);
    assert_int_equal(order->parts[1].qty, 4);
    assert_int_equal(order->parts[1].repeated, 2);
    assert_int_equal(order->parts[1].row_qty, 2);
    assert_non_null(find(&file, "o-2"));
    assert_non_null(find(&file, "o-3"));
    assert_int_equal(find(&file, "o-2")->wanted, WANTED_HELD);
    assert_int_equal(find(&file, "o-3")->wanted, WANTED_ENDED);
    assert_null(find(&file, "o-4"));
    order_file_deinit(&file);
}

static void order_file_finds_every_order(void **state)
{
    (void)state;
    static char text[16384];
    struct order_file file;
    char error[ORDER_FILE_ERROR_BYTES];
    size_t used = (size_t)snprintf(text, sizeof text, "order,state,sku,qty\n");
    for (unsigned count = 1; count <= 150; count++) {
        char name[16];
        snprintf(name, sizeof name, "o-%u", count);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s,paid,A,%u\n", name, count);
        if (count > 9 && count % 47 != 0) {
            continue; /* every small number of them, and some others */
        }
        assert_true(read_text(&file, text, error));
        assert_int_equal(file.order_count, count);
        for (unsigned i = 1; i <= count; i++) {
            snprintf(name, sizeof name, "o-%u", i);
            const struct file_order *order = find(&file, name);
            if (!order) {
                fail_msg("%s of %u is not found", name, count);
            }
            assert_int_equal(order->parts[0].qty, i);
        }
        assert_null(find(&file, "o-0"));
        order_file_deinit(&file);
    }
}

/* What was cut off is not there: taken for all, it would make orphans of the rest. */
static void order_file_refuses_what_can_not_be_read_to_its_end(void **state)
{
    (void)state;
    expect_error("order,state,sku,qty\no-1,paid,A,1\n\"o-2,paid,A,1\n", "row 3");
    expect_error("order,state,sku,qty\no-1,paid,A,1\no-2,paid\n", "row 3");
}

static void order_file_refuses_a_header_alone(void **state)
{
    (void)state;
    expect_error("order,state,sku,qty\n", "there is no row below the header");
}

static void order_file_names_the_row_and_the_column(void **state)
{
    (void)state;
    expect_error("order,state,sku\no,paid,A\n", "row 1: the column qty is missing");
    expect_error("state,sku,qty\npaid,A,1\n", "row 1: the column order is missing");
    expect_error("order,state,sku,qty\no,lost,A,1\n", "row 2, column state: 'lost'");
    expect_error("order,state,sku,qty\no,paid,A,1\n,paid,A,1\n", "row 3, column order: empty");
    expect_error("order,state,sku,qty\no,paid,A,0\n", "row 2, column qty: '0'");
    expect_error("order,state,sku,qty\no,paid,A,\n", "row 2, column qty: ''");
    expect_error("order,state,sku,qty\no,paid,A,1000000001\n", "row 2, column qty");
    expect_error("order,state,sku,qty\no,paid,C,1\n", "the engine knows no item C@default");
    expect_error("order,state,sku,pool,qty\no,paid,B,shop,1\n", "the engine knows no item B@shop");
    expect_error("order,state,sku,qty\no,paid,A,1\no,held,B,1\n", "row 3, column state: order o");
}

static void item_table_names_items_known_and_unknown(void **state)
{
    (void)state;
    char text[2 * HF_CODE_BYTES];
    item_table_name(&items, 1, text);
    assert_string_equal(text, "A@shop");
    item_table_name(&items, 4, text);
    assert_string_equal(text, "item 4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_file_puts_rows_together_by_order_and_item),
        cmocka_unit_test(order_file_finds_every_order),
        cmocka_unit_test(order_file_refuses_what_can_not_be_read_to_its_end),
        cmocka_unit_test(order_file_refuses_a_header_alone),
        cmocka_unit_test(order_file_names_the_row_and_the_column),
        cmocka_unit_test(item_table_names_items_known_and_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
