/* times_test.c - base/times: local times, times with offsets, digits, and what is refused for being
 * doubtful. Expected values are from `date -u -d ... +%s`.
 *
 * Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/parse.h"
#include "base/times.h"

static void check_time(const char *zone, const char *text, uint64_t expected)
{
    char reason[REASON_BYTES] = "";
    uint64_t unix_ms = 1;
    setenv("TZ", zone, 1);
    if (!parse_time(text, &unix_ms, reason) || unix_ms != expected) {
        fail_msg("TZ=%s '%s': %llu, expected %llu %s", zone, text, (unsigned long long)unix_ms,
                 (unsigned long long)expected, reason);
    }
}

static void check_refused(const char *zone, const char *text, const char *why)
{
    char reason[REASON_BYTES] = "";
    uint64_t unix_ms;
    setenv("TZ", zone, 1);
    if (parse_time(text, &unix_ms, reason)) {
        fail_msg("TZ=%s '%s' was taken as %llu", zone, text, (unsigned long long)unix_ms);
    }
    if (!strstr(reason, why)) {
        fail_msg("'%s' %s", text, reason);
    }
}

/* Rules as POSIX has them: no zone files are needed. */
#define SHANGHAI "CST-8"
#define BERLIN   "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"

static void time_without_an_offset_is_local(void **state)
{
    (void)state;
    check_time(SHANGHAI, "2026-12-12 00:00", 1797004800000);
    check_time(SHANGHAI, "2026-12-12", 1797004800000);
    check_time(SHANGHAI, "2026-12-12T00:00:00Z", 1797033600000);
    check_time("UTC0", "2026-12-12T00:00:00", 1797033600000);
    check_time(BERLIN, "2026-07-01 12:00", 1782900000000);
    check_time(BERLIN, "2026-12-01 12:00", 1796122800000);
    check_time(NEW_YORK, "2026-07-01 12:00", 1782921600000);
    check_time(NEW_YORK, "2026-12-12 00:00:00 +08:00", 1797004800000);
    check_time(NEW_YORK, "2026-12-12 00:00:00+0800", 1797004800000);
}

static void time_when_clocks_are_set_is_refused_without_an_offset(void **state)
{
    (void)state;
    check_refused(BERLIN, "2026-03-29 02:00", "does not exist");
    check_refused(BERLIN, "2026-03-29 02:59:59.999", "does not exist");
    check_time(BERLIN, "2026-03-29 01:59:59", 1774745999000);
    check_time(BERLIN, "2026-03-29 03:00", 1774746000000);
    check_time(BERLIN, "2026-03-29T02:30:00+01:00", 1774747800000);
    check_refused(BERLIN, "2026-10-25 02:00", "is there twice");
    check_refused(BERLIN, "2026-10-25 02:59:59", "is there twice");
    check_time(BERLIN, "2026-10-25 01:59:59", 1792886399000);
    check_time(BERLIN, "2026-10-25 03:00", 1792893600000);
    check_refused(NEW_YORK, "2026-03-08 02:30", "does not exist");
    check_refused(NEW_YORK, "2026-11-01 01:30", "is there twice");
}

static void digits_are_milliseconds_where_they_can_be(void **state)
{
    (void)state;
    check_time(BERLIN, "0", 0);
    check_time(BERLIN, "946684800000", 946684800000);
    check_time(BERLIN, "4102444799999", 4102444799999);
    check_refused(BERLIN, "946684799999", "946684800000..4102444799999");
    check_refused(BERLIN, "4102444800000", "946684800000..4102444799999");
    check_refused(BERLIN, "20261212", "write 2026-12-12");
    check_refused(BERLIN, "20261312", "946684800000..4102444799999");
    check_refused(BERLIN, "202612121030", "write '2026-12-12 10:30'");
    check_refused(BERLIN, "20261212103059", "write '2026-12-12 10:30:59'");
    check_refused(BERLIN, "1797004800", "write 1797004800000");
    check_refused(BERLIN, "1797004800000000", "microseconds");
    check_refused(BERLIN, "1797004800000000000", "nanoseconds");
    check_refused(BERLIN, "2026", "Unix milliseconds of the years 2000 to 2099");
    check_refused(BERLIN, "1", "Unix milliseconds");
    check_refused(BERLIN, "99999999999999999999999", "Unix milliseconds");
}

/* A closing time of 1970-01-01 would be 0, which is none: the sale would never close. */
static void sales_do_not_open_or_close_before_2000(void **state)
{
    (void)state;
    static const char *const bad[] = {"1970-01-01", "1970-01-01T00:00:00Z",
                                      "1999-12-31T23:59:59.999Z"};
    uint64_t unix_ms;
    char reason[REASON_BYTES];
    setenv("TZ", "UTC0", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(parse_time(bad[i], &unix_ms, reason)); /* a log may have such times */
        assert_false(parse_sale_time(bad[i], &unix_ms, reason));
        assert_string_equal(reason, "is before 2000");
    }
    assert_false(parse_sale_time("20261212", &unix_ms, reason));
    assert_true(parse_sale_time("2000-01-01", &unix_ms, reason));
    assert_true(unix_ms == 946684800000);
    assert_true(parse_sale_time("0", &unix_ms, reason));
    assert_true(unix_ms == 0);
}

static void local_text_has_its_offset_and_is_read_again(void **state)
{
    (void)state;
    static const struct {
        const char *zone;
        uint64_t unix_ms;
        const char *text;
    } cases[] = {{SHANGHAI, 1797004800000, "2026-12-12 00:00:00 +08:00"},
                 {"UTC0", 1797004800007, "2026-12-11 16:00:00.007 +00:00"},
                 {NEW_YORK, 1797004800000, "2026-12-11 11:00:00 -05:00"},
                 {"NPT-5:45", 1797004800000, "2026-12-11 21:45:00 +05:45"},
                 {BERLIN, 1792891800000, "2026-10-25 02:30:00 +01:00"}}; /* the second one */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[TIME_TEXT_BYTES];
        setenv("TZ", cases[i].zone, 1);
        time_local_text(cases[i].unix_ms, text);
        assert_string_equal(text, cases[i].text);
        check_time(cases[i].zone, text, cases[i].unix_ms);
    }
}

/* The C library takes such a zone for UTC without a word. */
static void time_of_a_zone_without_rules_is_refused(void **state)
{
    (void)state;
    static const char *const unknown[] = {"Nowhere/Bogus", ":Nowhere/Bogus", "Shanghai",
                                          "/no/file"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        check_refused(unknown[i], "2026-11-11 00:00", "that this machine has no rules for");
        check_time(unknown[i], "2026-11-11T00:00:00+08:00", 1794326400000);
    }
    check_time("CST-8", "2026-11-11 00:00", 1794326400000);
    check_time("<+08>-8", "2026-11-11 00:00", 1794326400000);
    check_time("UTC", "2026-11-11 00:00", 1794355200000);
    check_time("", "2026-11-11 00:00", 1794355200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_without_an_offset_is_local),
        cmocka_unit_test(time_when_clocks_are_set_is_refused_without_an_offset),
        cmocka_unit_test(digits_are_milliseconds_where_they_can_be),
        cmocka_unit_test(sales_do_not_open_or_close_before_2000),
        cmocka_unit_test(time_of_a_zone_without_rules_is_refused),
        cmocka_unit_test(local_text_has_its_offset_and_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
