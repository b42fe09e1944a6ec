/* position_test.c - history/position: which records a position and a range stand for.
 *
 * Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/parse.h"
#include "history/position.h"

static void position_is_an_lsn_or_a_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_time;
        uint64_t value;
    } cases[] = {
        {"0", false, 0},
        {"18446744073709551615", false, UINT64_MAX},
        {"@1794355200000", true, 1794355200000},
        {"2026-11-11T00:00:00Z", true, 1794355200000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct history_position position;
        char reason[REASON_BYTES] = "";
        if (!parse_position(cases[i].text, &position, reason)) {
            fail_msg("'%s' %s", cases[i].text, reason);
        }
        assert_int_equal(position.is_time, cases[i].is_time);
        assert_true(position.value == cases[i].value);
    }
    static const char *const bad[] = {"", "@", "-1", "18446744073709551616", "noon", "@noon"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct history_position position;
        char reason[REASON_BYTES] = "";
        assert_false(parse_position(bad[i], &position, reason));
        assert_true(reason[0] != '\0');
    }
}

static void range_has_both_its_ends(void **state)
{
    (void)state;
    const struct history_range lsns = {.from = {.value = 100}, .to = {.value = 200}};
    assert_true(range_compare(&lsns, 99, 0) < 0);
    assert_int_equal(range_compare(&lsns, 100, 0), 0);
    assert_int_equal(range_compare(&lsns, 200, 0), 0);
    assert_true(range_compare(&lsns, 201, 0) > 0);
    assert_false(range_is_over(&lsns, 199));
    assert_true(range_is_over(&lsns, 200)); /* a record that begins there ends later */
    const struct history_range times = {.from = {true, 100}, .to = {true, 200}};
    assert_true(range_compare(&times, 150, 99) < 0);
    assert_int_equal(range_compare(&times, 9999, 100), 0);
    assert_int_equal(range_compare(&times, 0, 200), 0);
    assert_true(range_compare(&times, 150, 201) > 0);
    assert_false(range_is_over(&times, UINT64_MAX)); /* times go back where a clock did */
    const struct history_range all = HISTORY_RANGE_ALL;
    assert_int_equal(range_compare(&all, 0, UINT64_MAX), 0);
    assert_int_equal(range_compare(&all, UINT64_MAX, 0), 0);
}

static void range_is_backwards_only_where_its_ends_can_be_compared(void **state)
{
    (void)state;
    assert_true(range_is_backwards(&(struct history_range){{false, 2}, {false, 1}}));
    assert_true(range_is_backwards(&(struct history_range){{true, 2}, {true, 1}}));
    assert_false(range_is_backwards(&(struct history_range){{true, 2}, {false, 1}}));
    assert_false(range_is_backwards(&(struct history_range){{false, 1}, {false, 1}}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(position_is_an_lsn_or_a_time),
        cmocka_unit_test(range_has_both_its_ends),
        cmocka_unit_test(range_is_backwards_only_where_its_ends_can_be_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
