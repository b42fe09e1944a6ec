/* parse_test.c - base/parse: whole numbers as people write them.
 *
 * Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/parse.h"

static void unsigned_takes_digits_within_its_bounds(void **state)
{
    (void)state;
    uint64_t value;
    char reason[REASON_BYTES];
    assert_true(parse_unsigned("1", 1, 9, &value, reason));
    assert_int_equal(value, 1);
    assert_true(parse_unsigned("9", 1, 9, &value, reason));
    assert_int_equal(value, 9);
    assert_false(parse_unsigned("0", 1, 9, &value, reason));
    assert_false(parse_unsigned("10", 1, 9, &value, reason));
    assert_string_equal(reason, "is not between 1 and 9");
    assert_true(parse_unsigned("18446744073709551615", 0, UINT64_MAX, &value, reason));
    assert_true(value == UINT64_MAX);
    assert_false(parse_unsigned("18446744073709551616", 0, UINT64_MAX, &value, reason));
    assert_false(parse_unsigned("-1", 0, 9, &value, reason));
    assert_string_equal(reason, "is not between 0 and 9");
    static const char *const words[] = {"", "-", "--1", "+1", " 1", "1 ", "1.0", "0x1", "one"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        assert_false(parse_unsigned(words[i], 0, 9, &value, reason));
        assert_string_equal(reason, "is not a whole number");
    }
}

static void signed_takes_an_optional_sign(void **state)
{
    (void)state;
    int64_t value;
    char reason[REASON_BYTES];
    assert_true(parse_signed("+5", -5, 5, &value, reason));
    assert_int_equal(value, 5);
    assert_true(parse_signed("-5", -5, 5, &value, reason));
    assert_int_equal(value, -5);
    assert_true(parse_signed("0", -5, 5, &value, reason));
    assert_int_equal(value, 0);
    assert_false(parse_signed("6", -5, 5, &value, reason));
    assert_false(parse_signed("-6", -5, 5, &value, reason));
    assert_string_equal(reason, "is not between -5 and 5");
    assert_false(parse_signed("9223372036854775808", INT64_MIN, INT64_MAX, &value, reason));
    assert_false(parse_signed("--5", -5, 5, &value, reason));
    assert_false(parse_signed("+", -5, 5, &value, reason));
    assert_string_equal(reason, "is not a whole number");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_takes_digits_within_its_bounds),
        cmocka_unit_test(signed_takes_an_optional_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
