/* print_test.c - JSON on one line, for whatever reader, of whatever an older log holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/print.h"

static void expect_line(const char *text, const char *wanted)
{
    char *line = json_line(json_pack("{s:o}", "sku", json_text(text, strlen(text))));
    assert_non_null(line);
    assert_string_equal(line, wanted);
    json_error_t error;
    json_t *again = json_loads(line, 0, &error); /* the same text once more */
    assert_non_null(again);
    assert_string_equal(json_string_value(json_object_get(again, "sku")), text);
    json_decref(again);
    free(line);
}

static void json_line_is_one_line_whatever_is_in_it(void **state)
{
    (void)state;
    expect_line("A\nORDER_COMMITTED\n\n{}", "{\"sku\":\"A\\nORDER_COMMITTED\\n\\n{}\"}");
    expect_line("\x1b[2J\x7f", "{\"sku\":\"\\u001B[2J\\u007f\"}");
    expect_line("\xC2\x85\xC2\x9B", "{\"sku\":\"\\u0085\\u009b\"}");
    expect_line("a\xE2\x80\xA8"
                "b\xE2\x80\xA9",
                "{\"sku\":\"a\\u2028b\\u2029\"}");
    expect_line("\xE2\x80\xAE\xEF\xBB\xBF", "{\"sku\":\"\\u202e\\ufeff\"}");
    expect_line("\xF3\xA0\x81\x81", "{\"sku\":\"\\udb40\\udc41\"}");
}

static void json_line_leaves_what_can_be_seen(void **state)
{
    (void)state;
    expect_line("caf\xC3\xA9 \xE9\xA9\xAC \xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9 \"q\"",
                "{\"sku\":\"caf\xC3\xA9 \xE9\xA9\xAC "
                "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9 \\\"q\\\"\"}");
    assert_null(json_line(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_line_is_one_line_whatever_is_in_it),
        cmocka_unit_test(json_line_leaves_what_can_be_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
