/* units_test.c - base/units: durations and sizes as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/units.h"

struct sample {
    const char *text;
    uint64_t value;
};

static void duration_takes_each_unit(void **state)
{
    (void)state;
    static const struct sample fine[] = {
        {"0", 0},        {"1500", 1500},    {"1500ms", 1500},
        {"90s", 90000},  {"15m", 900000},   {"15min", 900000},
        {"2h", 7200000}, {"7d", 604800000}, {"1.5h", 5400000},
        {"0.5s", 500},   {"1.0", 1},        {"18446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {
        "",    "m",     "5x",  "-5", "+5",  " 5",     "5 s",     "5M",    "5S",           "5K",
        "0x5", "5mins", "1.5", "1.", ".5s", "1.5.5s", "0.0005s", "1.5ms", "0.1234567890s"};
    uint64_t ms;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        assert_int_equal(units_duration(fine[i].text, &ms), UNITS_FINE);
        assert_true(ms == fine[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(units_duration(bad[i], &ms), UNITS_MALFORMED);
    }
    assert_int_equal(units_duration("18446744073709551616", &ms), UNITS_TOO_LARGE);
    assert_int_equal(units_duration("213503982335d", &ms), UNITS_TOO_LARGE);
    assert_int_equal(units_duration("213503982334d", &ms), UNITS_FINE);
}

static void size_takes_each_unit(void **state)
{
    (void)state;
    static const struct sample fine[] = {
        {"0", 0},           {"4096", 4096},
        {"64K", 65536},     {"64kib", 65536},
        {"3M", 3145728},    {"3MiB", 3145728},
        {"2g", 2147483648}, {"1.5G", 1610612736},
        {"0.5K", 512},      {"17179869183G", 17179869183u * 1073741824ull}};
    static const char *const bad[] = {"", "K", "5B", "5KB", "5T", "-1", "0.3K", "1.5", "5m5", "5s"};
    uint64_t bytes;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        assert_int_equal(units_size(fine[i].text, &bytes), UNITS_FINE);
        assert_true(bytes == fine[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(units_size(bad[i], &bytes), UNITS_MALFORMED);
    }
    assert_int_equal(units_size("17179869184G", &bytes), UNITS_TOO_LARGE);
}

static void number_takes_digits_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "5s", "5K", "-5", "+5", " 5", "5 ", "1.0", "0x5"};
    uint64_t number;
    assert_int_equal(units_number("0", &number), UNITS_FINE);
    assert_true(number == 0);
    assert_int_equal(units_number("18446744073709551615", &number), UNITS_FINE);
    assert_true(number == UINT64_MAX);
    assert_int_equal(units_number("18446744073709551616", &number), UNITS_TOO_LARGE);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(units_number(bad[i], &number), UNITS_MALFORMED);
    }
}

static void text_has_the_largest_unit_that_leaves_a_whole_number(void **state)
{
    (void)state;
    char text[UNITS_TEXT_BYTES];
    assert_string_equal(units_text_of_size(0, text), "0");
    assert_string_equal(units_text_of_size(1023, text), "1023");
    assert_string_equal(units_text_of_size(65536, text), "64K");
    assert_string_equal(units_text_of_size(3145728, text), "3M");
    assert_string_equal(units_text_of_size(2147483648, text), "2G");
    assert_string_equal(units_text_of_size(UINT64_MAX, text), "18446744073709551615");
    assert_string_equal(units_text_of_duration(0, text), "0");
    assert_string_equal(units_text_of_duration(1500, text), "1500ms");
    assert_string_equal(units_text_of_duration(90000, text), "90s");
    assert_string_equal(units_text_of_duration(900000, text), "15m");
    assert_string_equal(units_text_of_duration(7200000, text), "2h");
    assert_string_equal(units_text_of_duration(604800000, text), "7d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duration_takes_each_unit),
        cmocka_unit_test(size_takes_each_unit),
        cmocka_unit_test(number_takes_digits_alone),
        cmocka_unit_test(text_has_the_largest_unit_that_leaves_a_whole_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
