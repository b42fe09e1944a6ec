/* import_test.c - cli/import: a stock file is taken whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/import.h"

/* Reads text as a file. *import is to be deinitialized. */
static bool read_text(struct import *import, const char *text)
{
    char name[256];
    const char *directory = getenv("TMPDIR");
    snprintf(name, sizeof name, "%s/holdfast-import-XXXXXX", directory ? directory : "/tmp");
    int file = mkstemp(name);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    bool fine = import_read(import, name, NULL);
    unlink(name);
    return fine;
}

static void expect_errors(const char *text, uint64_t errors)
{
    struct import import;
    assert_false(read_text(&import, text));
    assert_int_equal(import.error_count, errors);
    import_deinit(&import);
}

/* Both sides of each number's bounds, from docs/protocol.md. */
static void import_takes_units_up_to_their_bounds(void **state)
{
    (void)state;
    static const char *const columns[] = {"stock", "safety", "presale_cap"};
    static const struct {
        const char *cell;
        bool fine;
    } rows[] = {{"0", true},
                {"-1", false},
                {"9007199254740992", true},
                {"9007199254740993", false},
                {"9223372036854775807", false},
                {"9223372036854775808", false},
                {"18446744073709551616", false},
                {"-9223372036854775808", false}};
    for (size_t i = 0; i < 3 * sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        struct import import;
        snprintf(text, sizeof text, "sku,%s\nA,%s\n", columns[i % 3], rows[i / 3].cell);
        assert_int_equal(read_text(&import, text), rows[i / 3].fine);
        if (!rows[i / 3].fine) {
            assert_non_null(strstr(import.first_error, columns[i % 3]));
        }
        import_deinit(&import);
    }
}

/* A row whose SKU or pool is refused has no place among the others: the rest is still looked at. */
static void import_goes_on_behind_a_row_whose_names_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"A,#REF!,1", "#REF!,p,1", "#REF!,#REF!,1", "A,11/11/2026,1"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        uint64_t errors = i == 2 ? 2 : 1;
        snprintf(text, sizeof text, "sku,pool,stock\n%s\nA,q,2\nA,r,3\n", rows[i]);
        expect_errors(text, errors);
        snprintf(text, sizeof text, "sku,pool,stock\nA,q,2\n%s\nA,q,3\n", rows[i]);
        expect_errors(text, errors + 1); /* A@q twice */
    }
}

static void import_reads_every_column(void **state)
{
    (void)state;
    struct import import;
    assert_true(read_text(
        &import,
        "limit_per_buyer,paused,closes_at,opens_at,hold_ms_max,hold_ms,hot,presale_cap,safety,"
        "stock,"
        "label,pool,sku\r\n"
        "0,no,2026-11-12,1794355200000,1h,15m,yes,7,3,100,\"手机, 黑色\",online,85123A\r\n"));
    assert_int_equal(import.row_count, 1);
    assert_int_equal(import.sku_count, 1);
    const struct import_row *row = &import.rows[0];
    assert_int_equal(row->number, 2);
    assert_string_equal(row->sku, "85123A");
    assert_string_equal(row->pool, "online");
    assert_string_equal(row->label, "手机, 黑色");
    assert_true(row->has_stock && row->has_safety && row->has_presale_cap && row->hot);
    assert_int_equal(row->stock, 100);
    assert_int_equal(row->safety, 3);
    assert_int_equal(row->presale_cap, 7);
    assert_int_equal(row->limit_per_buyer, 0);
    assert_false(row->paused);
    assert_true(row->opens_at_ms == 1794355200000);
    assert_true(row->closes_at_ms == 1794441600000);
    assert_int_equal(row->hold_ms, 900000);
    assert_int_equal(row->hold_ms_max, 3600000);
    assert_int_equal(row->rules, HF_SKU_LABEL | HF_SKU_LIMIT_PER_BUYER | HF_SKU_OPENS_AT |
                                     HF_SKU_CLOSES_AT | HF_SKU_PAUSED | HF_SKU_HOLD |
                                     HF_SKU_HOLD_MAX);
    import_deinit(&import);
}

static void import_takes_an_empty_cell_as_nothing_said(void **state)
{
    (void)state;
    struct import import;
    assert_true(read_text(&import, "sku,pool,stock,safety,label,paused\nA, ,,,,\n"));
    const struct import_row *row = &import.rows[0];
    assert_string_equal(row->pool, "default");
    assert_false(row->has_stock || row->has_safety || row->has_presale_cap);
    assert_int_equal(row->rules, 0);
    import_deinit(&import);
}

static void import_gathers_the_rules_of_a_sku_from_its_rows(void **state)
{
    (void)state;
    struct import import;
    assert_true(read_text(&import, "sku,pool,label,hold_ms\n"
                                   "B,z,,\n"
                                   "A,y,,60s\n"
                                   "A,x,one,\n"
                                   "A,w,one,60s\n"));
    assert_int_equal(import.row_count, 4);
    assert_int_equal(import.sku_count, 2);
    const struct import_row *first = import.sorted[0];
    assert_string_equal(first->pool, "w");
    assert_string_equal(first->label, "one");
    assert_int_equal(first->hold_ms, 60000);
    assert_int_equal(first->rules, HF_SKU_LABEL | HF_SKU_HOLD);
    assert_string_equal(import.sorted[3]->sku, "B");
    import_deinit(&import);

    assert_true(read_text(&import, "sku,pool,label,hold_ms\nA,a,,\nA,b,one,\nA,c,,60s\n"));
    assert_string_equal(import.sorted[0]->label, "one"); /* from the second row */
    assert_int_equal(import.sorted[0]->hold_ms, 60000);  /* from the third */
    import_deinit(&import);
}

static void import_refuses_bad_cells_and_counts_them_all(void **state)
{
    (void)state;
    expect_errors("sku,stock\nA,12x\n", 1);
    expect_errors("sku,stock\nA,-1\nB,1\nC,\nD,9007199254740993\n", 2);
    expect_errors("sku,opens_at,paused,hold_ms\nA,2026-13-01,maybe,5x\n", 3);
    expect_errors("sku,opens_at,closes_at\nA,2026-11-12,2026-11-11\n", 1);
    expect_errors("sku,hold_ms,hold_ms_max\nA,2h,1h\n", 1);
    expect_errors("sku,stock\n,1\n", 1);
    expect_errors("sku,limit_per_buyer\nA,4294967296\n", 1);
}

static void import_takes_a_limit_per_buyer(void **state)
{
    (void)state;
    struct import import;
    assert_true(read_text(&import, "sku,stock,limit_per_buyer\nA,1,0\nB,1,\nC,1,4294967295\n"));
    assert_int_equal(import.rows[0].rules, HF_SKU_LIMIT_PER_BUYER);
    assert_int_equal(import.rows[0].limit_per_buyer, 0);
    assert_int_equal(import.rows[1].rules, 0);
    assert_int_equal(import.rows[2].limit_per_buyer, UINT32_MAX);
    import_deinit(&import);
    assert_false(read_text(&import, "sku,limit_per_buyer\nA,1\nB,4294967296\n"));
    assert_string_equal(import.first_error, "row 3, column limit_per_buyer: '4294967296' is not "
                                            "between 0 and 4294967295");
    import_deinit(&import);
}

static void import_refuses_unknown_and_missing_columns(void **state)
{
    (void)state;
    expect_errors("sku,stok\nA,1\n", 1);
    expect_errors("pool,stock\nonline,1\n", 1);
    expect_errors("sku,stock\n", 1);
    expect_errors("", 1);
    expect_errors("sku,stock\nA,1\n\"B,2\n", 1);
}

static void import_refuses_an_item_that_is_there_twice(void **state)
{
    (void)state;
    expect_errors("sku,pool,stock\nA,x,1\nB,x,1\nA,x,1\n", 1);
    expect_errors("sku,pool,stock\nA,,1\nA,default,1\n", 1);
}

static void import_refuses_rows_of_a_sku_that_differ(void **state)
{
    (void)state;
    expect_errors("sku,pool,label\nA,x,one\nA,y,two\n", 1);
    expect_errors("sku,pool,paused\nA,x,yes\nA,y,no\n", 1);
    /* Also when the row between them says nothing. */
    expect_errors("sku,pool,hold_ms\nA,x,1s\nA,y,\nA,z,2s\n", 1);
}

/* Each rule of a SKU: two values that differ. */
static const struct {
    const char *column;
    const char *one;
    const char *other;
    uint32_t field;
} rules[] = {
    {"label", "one", "two", HF_SKU_LABEL},
    {"limit_per_buyer", "1", "2", HF_SKU_LIMIT_PER_BUYER},
    {"opens_at", "2026-11-11", "2026-11-12", HF_SKU_OPENS_AT},
    {"closes_at", "2026-11-11", "2026-11-12", HF_SKU_CLOSES_AT},
    {"paused", "yes", "no", HF_SKU_PAUSED},
    {"hold_ms", "60s", "61s", HF_SKU_HOLD},
    {"hold_ms_max", "60s", "61s", HF_SKU_HOLD_MAX},
};

static void import_compares_each_rule_that_rows_of_a_sku_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char text[256];
        char place[64];
        struct import import;
        snprintf(text, sizeof text, "sku,pool,%s\nA,x,%s\nA,y,%s\n", rules[i].column, rules[i].one,
                 rules[i].other);
        assert_false(read_text(&import, text));
        assert_int_equal(import.error_count, 1);
        snprintf(place, sizeof place, "row 3, column %s: ", rules[i].column);
        if (!strstr(import.first_error, place)) {
            fail_msg("'%s' is not about %s", import.first_error, place);
        }
        import_deinit(&import);
        snprintf(text, sizeof text, "sku,pool,%s\nA,x,%s\nA,y,%s\n", rules[i].column, rules[i].one,
                 rules[i].one);
        assert_true(read_text(&import, text));
        import_deinit(&import);
    }
}

/* A rule that a later row alone names is the SKU's. */
static void import_gathers_each_rule_from_a_later_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char text[256];
        struct import alone;
        struct import later;
        snprintf(text, sizeof text, "sku,pool,%s\nA,y,%s\n", rules[i].column, rules[i].one);
        assert_true(read_text(&alone, text));
        snprintf(text, sizeof text, "sku,pool,%s\nA,x,\nA,y,%s\n", rules[i].column, rules[i].one);
        assert_true(read_text(&later, text));
        const struct import_row *row = alone.sorted[0];
        const struct import_row *first = later.sorted[0];
        assert_string_equal(first->pool, "x");
        assert_int_equal(first->own_rules, 0);
        assert_int_equal(first->rules, rules[i].field);
        assert_int_equal(later.sorted[1]->own_rules, rules[i].field);
        assert_int_equal(first->label != NULL, row->label != NULL);
        assert_true(!row->label || strcmp(first->label, row->label) == 0);
        assert_int_equal(first->limit_per_buyer, row->limit_per_buyer);
        assert_int_equal(first->opens_at_ms, row->opens_at_ms);
        assert_int_equal(first->closes_at_ms, row->closes_at_ms);
        assert_int_equal(first->paused, row->paused);
        assert_int_equal(first->hold_ms, row->hold_ms);
        assert_int_equal(first->hold_ms_max, row->hold_ms_max);
        import_deinit(&alone);
        import_deinit(&later);
    }
}

/* A 0 is said; an empty cell is not. */
static void import_takes_a_zero_as_said(void **state)
{
    (void)state;
    struct import import;
    assert_true(read_text(&import, "sku,stock,safety,presale_cap,hot,paused,limit_per_buyer\n"
                                   "A,0,0,0,no,no,0\n"));
    const struct import_row *row = &import.rows[0];
    assert_true(row->has_stock && row->has_safety && row->has_presale_cap && row->has_hot);
    assert_int_equal(row->stock + row->safety + row->presale_cap, 0);
    assert_int_equal(row->rules, HF_SKU_PAUSED | HF_SKU_LIMIT_PER_BUYER);
    import_deinit(&import);
}

static void import_reads_the_catalogue_of_1111(void **state)
{
    (void)state;
    struct import import;
    assert_true(import_read(&import, HOLDFAST_SOURCE_DIR "/bench/data/catalogue-1111.csv", NULL));
    int64_t units = 0;
    for (uint32_t i = 0; i < import.row_count; i++) {
        units += import.rows[i].stock;
    }
    assert_in_range(import.row_count, 60, 110);
    assert_in_range(units, 200000, 400000);
    import_deinit(&import);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_takes_units_up_to_their_bounds),
        cmocka_unit_test(import_goes_on_behind_a_row_whose_names_are_refused),
        cmocka_unit_test(import_reads_every_column),
        cmocka_unit_test(import_takes_an_empty_cell_as_nothing_said),
        cmocka_unit_test(import_gathers_the_rules_of_a_sku_from_its_rows),
        cmocka_unit_test(import_refuses_bad_cells_and_counts_them_all),
        cmocka_unit_test(import_takes_a_limit_per_buyer),
        cmocka_unit_test(import_refuses_unknown_and_missing_columns),
        cmocka_unit_test(import_refuses_an_item_that_is_there_twice),
        cmocka_unit_test(import_refuses_rows_of_a_sku_that_differ),
        cmocka_unit_test(import_compares_each_rule_that_rows_of_a_sku_name),
        cmocka_unit_test(import_gathers_each_rule_from_a_later_row),
        cmocka_unit_test(import_takes_a_zero_as_said),
        cmocka_unit_test(import_reads_the_catalogue_of_1111),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
