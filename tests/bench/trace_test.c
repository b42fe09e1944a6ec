/* trace_test.c - from a file of orders to steps: sales, returns, write-offs and the odd cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "load/names.h"
#include "load/trace.h"

static enum hf_status read_text(struct trace *trace, const char *text,
                                char error[TRACE_ERROR_BYTES])
{
    struct csv *csv;
    char why[CSV_ERROR_BYTES];
    assert_int_equal(csv_open_bytes(&csv, bytes_of(text), why), HF_OK);
    enum hf_status status = trace_read(trace, csv, error);
    csv_close(csv);
    return status;
}

static struct trace read_good(const char *text)
{
    struct trace trace;
    char error[TRACE_ERROR_BYTES];
    enum hf_status status = read_text(&trace, text, error);
    if (status != HF_OK) {
        fail_msg("%s", error);
    }
    return trace;
}

static const struct trace_sku *sku_of(struct trace *trace, const char *code)
{
    uint32_t known = trace->sku_codes.count;
    uint32_t number = names_intern(&trace->sku_codes, code, strlen(code));
    assert_true(number < known);
    return &trace->skus[number];
}

static void trace_sells_lines_in_file_order_and_keeps_repeated_skus(void **state)
{
    (void)state;
    struct trace trace = read_good("order,at,buyer,sku,qty,price\n"
                                   "1,t,17,A,6,1.5\n1,t,17,B,2,1\n1,t,17,A,4,1\n2,t,,B,1,1\n");
    assert_int_equal(trace.counts.sales, 2);
    assert_int_equal(trace.counts.lines, 4);
    assert_int_equal(trace.counts.units_sold, 13);
    assert_int_equal(trace.orders[0].buyer, 17);
    assert_int_equal(trace.orders[0].line_count, 3);
    assert_int_equal(trace.lines[2].qty, 4);
    assert_int_equal(trace.lines[2].sku, trace.lines[0].sku);
    assert_int_equal(trace.orders[1].buyer, 0);
    assert_int_equal(trace.step_count, 2);
    assert_int_equal(sku_of(&trace, "A")->sold, 10);
    trace_deinit(&trace);
}

static void trace_returns_the_newest_lines_first_with_totals(void **state)
{
    (void)state;
    struct trace trace = read_good("qty,sku,order,buyer\n"
                                   "10,A,1,7\n5,A,2,7\n-7,A,C3,7\n-4,A,C4,7\n-9,A,C5,7\n");
    assert_int_equal(trace.step_count, 2 + 2 + 1 + 1);
    const struct trace_step *steps = trace.steps + 2;
    static const struct {
        uint32_t order;
        uint32_t total;
        uint32_t turn;
    } expected[] = {{1, 5, 1}, {0, 2, 1}, {0, 6, 2}, {0, 10, 3}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(steps[i].kind, TRACE_RETURN);
        assert_int_equal(steps[i].order, expected[i].order);
        assert_int_equal(steps[i].qty, expected[i].total);
        assert_int_equal(steps[i].turn, expected[i].turn);
        assert_int_equal(steps[i].line, 1);
    }
    assert_int_equal(trace.counts.units_returned, 15);
    assert_int_equal(trace.counts.units_unmatched, 5);
    assert_int_equal(trace.counts.unmatched_rows, 1);
    assert_int_equal(sku_of(&trace, "A")->returned, 15);
    trace_deinit(&trace);
}

static void trace_matches_returns_by_buyer_sku_and_time(void **state)
{
    (void)state;
    struct trace trace = read_good("order,buyer,sku,qty\n"
                                   "C0,7,A,-1\n" /* before anything was sold */
                                   "1,7,A,3\n2,,A,3\n"
                                   "C3,8,A,-1\n" /* another buyer */
                                   "C4,,A,-1\n"  /* none, as order 2 */
                                   "C5,7,a,-1\n" /* another SKU */
                                   "C6,7,A,2\n"  /* odd */
                                   "3,7,A,0\n");
    assert_int_equal(trace.counts.units_returned, 1);
    assert_int_equal(trace.counts.unmatched_rows, 3);
    assert_int_equal(trace.counts.cancellations, 5);
    assert_int_equal(trace.counts.odd_rows, 1);
    assert_int_equal(trace.counts.units_odd, 2);
    assert_int_equal(trace.counts.zero_rows, 1);
    assert_int_equal(trace.counts.sales, 2);
    assert_int_equal(trace.steps[2].order, 2); /* "2" is the third name: C0, 1, 2 */
    trace_deinit(&trace);
}

static void trace_writes_off_negative_rows_of_other_orders(void **state)
{
    (void)state;
    struct trace trace = read_good("order,buyer,sku,qty\n1,7,A,3\n1,7,A,-2\n2,,B,-40\nc3,7,A,-1\n");
    assert_int_equal(trace.counts.write_offs, 3);
    assert_int_equal(trace.counts.units_written_off, 43);
    assert_int_equal(trace.counts.sales, 1);
    assert_int_equal(sku_of(&trace, "A")->written_off, 3);
    assert_int_equal(sku_of(&trace, "B")->written_off, 40);
    assert_int_equal(sku_of(&trace, "B")->sold, 0);
    trace_deinit(&trace);
}

static void trace_gathers_rows_of_an_order_from_the_whole_file(void **state)
{
    (void)state;
    struct trace trace = read_good("order,buyer,sku,qty\n1,7,A,1\n2,7,A,2\n1,7,A,4\n"
                                   "C3,7,A,-5\n2,9,A,8\n");
    assert_int_equal(trace.orders[0].line_count, 2);
    assert_int_equal(trace.orders[1].line_count, 2);
    assert_int_equal(trace.counts.other_buyer_rows, 1);
    /* Order 2 stands before the cancellation with both of its rows: 5 of the 8 come back. */
    assert_int_equal(trace.steps[2].order, 1);
    assert_int_equal(trace.steps[2].line, 2);
    assert_int_equal(trace.steps[2].qty, 5);
    trace_deinit(&trace);
}

static void trace_finds_the_order_of_a_line_between_orders_without_lines(void **state)
{
    (void)state;
    struct trace trace = read_good("order,buyer,sku,qty\n"
                                   "1,7,X,-1\n2,7,A,1\n3,7,X,-1\n4,7,X,0\n5,7,B,1\n6,7,X,-1\n"
                                   "C7,7,A,-1\nC8,7,B,-1\n");
    assert_int_equal(trace.steps[trace.step_count - 2].order, 1);
    assert_int_equal(trace.steps[trace.step_count - 1].order, 4);
    trace_deinit(&trace);
}

static void trace_names_the_row_that_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *part;
    } bad[] = {
        {"order,sku\n1,A\n", "qty"},
        {"order,sku,qty\n1,A,1\n1,A,x\n", "row 3"},
        {"order,sku,qty\n1,A,\n", "row 2"},
        {"order,sku,qty\n1,A,-\n", "row 2"},
        {"order,sku,qty\n1,A,1.0\n", "row 2"},
        {"order,sku,qty\n1,A,1000000001\n", "row 2"},
        {"order,sku,qty\n1,A,99999999999999999999\n", "row 2"},
        {"order,sku,qty\n1,,1\n", "row 2"},
        {"order,sku,qty\n,A,1\n", "row 2"},
        {"order,sku,qty\n1,\xff,1\n", "row 2"},
        {"order,sku,qty\n1,A,1,2\n", "row 2"},
        {"order,sku,qty\n1,"
         "12345678901234567890123456789012345678901234567890123456789012345,1\n",
         "row 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct trace trace;
        char error[TRACE_ERROR_BYTES];
        assert_int_equal(read_text(&trace, bad[i].text, error), HF_INVALID);
        assert_non_null(strstr(error, bad[i].part));
    }
    struct trace trace = read_good("order,sku,qty\n1,A,1000000000\n2,A,-1000000000\n");
    assert_int_equal(sku_of(&trace, "A")->sold, 1000000000);
    trace_deinit(&trace);
}

static void trace_takes_orders_up_to_the_engines_lines(void **state)
{
    (void)state;
    char *text = malloc(64 + 3000 * 8);
    assert_non_null(text);
    for (int lines = 2048; lines <= 2049; lines++) {
        size_t at = (size_t)sprintf(text, "order,sku,qty\n");
        for (int i = 0; i < lines; i++) {
            at += (size_t)sprintf(text + at, "1,A,1\n");
        }
        struct trace trace;
        char error[TRACE_ERROR_BYTES];
        enum hf_status status = read_text(&trace, text, error);
        assert_int_equal(status, lines == 2048 ? HF_OK : HF_INVALID);
        if (status == HF_OK) {
            trace_deinit(&trace);
        } else {
            assert_non_null(strstr(error, "row 2050"));
        }
    }
    free(text);
}

static void names_number_strings_once(void **state)
{
    (void)state;
    struct names names = {0};
    char text[16];
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 5000; i++) {
            int len = snprintf(text, sizeof text, "n%u", i);
            assert_int_equal(names_intern(&names, text, (size_t)len), i);
        }
    }
    assert_int_equal(names.count, 5000);
    assert_string_equal(names_at(&names, 4999), "n4999");
    assert_int_equal(names_length(&names, 10), 3);
    assert_int_equal(names_intern(&names, "", 0), 5000);
    assert_int_equal(names_intern(&names, "a\0b", 3), 5001);
    assert_int_equal(names_intern(&names, "a\0c", 3), 5002);
    names_deinit(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trace_sells_lines_in_file_order_and_keeps_repeated_skus),
        cmocka_unit_test(trace_returns_the_newest_lines_first_with_totals),
        cmocka_unit_test(trace_matches_returns_by_buyer_sku_and_time),
        cmocka_unit_test(trace_writes_off_negative_rows_of_other_orders),
        cmocka_unit_test(trace_gathers_rows_of_an_order_from_the_whole_file),
        cmocka_unit_test(trace_finds_the_order_of_a_line_between_orders_without_lines),
        cmocka_unit_test(trace_names_the_row_that_is_wrong),
        cmocka_unit_test(trace_takes_orders_up_to_the_engines_lines),
        cmocka_unit_test(names_number_strings_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
