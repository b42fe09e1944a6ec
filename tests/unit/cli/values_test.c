/* values_test.c - cli/values: durations, items and lines as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/times.h"
#include "cli/stock_find.h"
#include "cli/values.h"

static void bool_takes_words_in_any_case(void **state)
{
    (void)state;
    bool value = false;
    char reason[REASON_BYTES];
    assert_true(parse_bool("YES", &value, reason) && value);
    assert_true(parse_bool("true", &value, reason) && value);
    assert_true(parse_bool("1", &value, reason) && value);
    assert_true(parse_bool("No", &value, reason) && !value);
    assert_true(parse_bool("FALSE", &value, reason) && !value);
    assert_true(parse_bool("0", &value, reason) && !value);
    assert_false(parse_bool("maybe", &value, reason));
    assert_false(parse_bool("", &value, reason));
}

static void duration_takes_units_up_to_what_fits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t ms;
    } fine[] = {{"0", 0},
                {"1500", 1500},
                {"1500ms", 1500},
                {"90s", 90000},
                {"15m", 900000},
                {"15min", 900000},
                {"2h", 7200000},
                {"7d", 604800000},
                {"49d", 4233600000u},
                {"4294967295", UINT32_MAX}};
    static const char *const bad[] = {"",    "m",          "5x",  "-5",
                                      "1.5", "4294967296", "50d", "99999999999999999999"};
    uint32_t ms;
    char reason[REASON_BYTES];
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        assert_true(parse_duration(fine[i].text, &ms, reason));
        assert_int_equal(ms, fine[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(parse_duration(bad[i], &ms, reason));
    }
}

static void time_takes_unix_ms_and_iso_8601(void **state)
{
    (void)state;
    /* Unix times from `date -u -d ... +%s`. */
    static const struct {
        const char *text;
        uint64_t unix_ms;
    } fine[] = {{"0", 0},
                {"1794355200000", 1794355200000},
                {"2026-11-11", 1794355200000},
                {"2026-11-11T00:00", 1794355200000},
                {"2026-11-11T00:00:00Z", 1794355200000},
                {"2026-11-11T00:00:00+00:00", 1794355200000},
                {"2026-11-11 00:00:00+08:00", 1794326400000},
                {"2026-11-10T21:30:00-02:30", 1794355200000},
                {"2026-11-11T00:00:00.5Z", 1794355200500},
                {"2026-11-11T00:00:00.123456789Z", 1794355200123},
                {"2024-02-29T23:59:59.999Z", 1709251199999},
                {"1970-01-01", 0}};
    uint64_t unix_ms;
    char reason[REASON_BYTES];
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        if (!parse_time(fine[i].text, &unix_ms, reason) || unix_ms != fine[i].unix_ms) {
            fail_msg("%s: %llu", fine[i].text, (unsigned long long)unix_ms);
        }
    }
}

static void time_refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "now",
                                      "-1",
                                      "2026-13-01",
                                      "2026-00-01",
                                      "2026-11-31",
                                      "2026-02-29",
                                      "2026-11-11T",
                                      "2026-11-11Z",
                                      "2026-11-11T24:00",
                                      "2026-11-11T00:60",
                                      "2026-11-11T00:00:60",
                                      "2026-11-11T00:00:00.",
                                      "2026-11-11T00:00:00+8",
                                      "2026-11-11T00:00:00+15:00",
                                      "2026-11-11T00:00:00Zx",
                                      "26-11-11",
                                      "1969-12-31"};
    uint64_t unix_ms;
    char reason[REASON_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse_time(bad[i], &unix_ms, reason)) {
            fail_msg("%s was taken as %llu", bad[i], (unsigned long long)unix_ms);
        }
    }
}

static void time_text_and_parse_time_agree(void **state)
{
    (void)state;
    static const uint64_t times[] = {0, 1, 999, 1794355200123, 253402300799999};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char text[TIME_TEXT_BYTES];
        char reason[REASON_BYTES];
        uint64_t back;
        time_text(times[i], text);
        assert_true(parse_time(text, &back, reason));
        assert_true(back == times[i]);
    }
    char text[TIME_TEXT_BYTES];
    time_text(1794355200123, text);
    assert_string_equal(text, "2026-11-11T00:00:00.123Z");
}

static void duration_text_shows_the_two_largest_units(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0 ms"},
                 {999, "999 ms"},
                 {1000, "1 s"},
                 {59999, "59 s"},
                 {60000, "1 min 0 s"},
                 {3599999, "59 min 59 s"},
                 {3600000, "1 h 0 min"},
                 {86399999, "23 h 59 min"},
                 {90000000, "1 d 1 h"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[DURATION_TEXT_BYTES];
        duration_text(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void expect_line(const char *text, const char *sku, const char *pool, uint32_t qty)
{
    struct line_wish line;
    char reason[REASON_BYTES];
    if (!parse_line(text, &line, reason)) {
        fail_msg("%s %s", text, reason);
    }
    assert_string_equal(line.item.sku, sku);
    assert_string_equal(line.item.pool, pool);
    assert_int_equal(line.qty, qty);
    assert_int_equal(line.policy, HF_LINE_ALL);
    assert_int_equal(line.fallback_count, 0);
    assert_false(line.split);
}

static void line_takes_sku_pool_and_quantity(void **state)
{
    (void)state;
    expect_line("A", "A", "default", 1);
    expect_line("A:3", "A", "default", 3);
    expect_line("A@b", "A", "b", 1);
    expect_line("A@b:3", "A", "b", 3);
    expect_line("A:1000000000", "A", "default", 1000000000);
    expect_line("A:b", "A:b", "default", 1); /* no quantity: not digits */
    expect_line("A:12:1", "A:12", "default", 1);
    expect_line("A@b@c", "A@b", "c", 1); /* the last @ counts */
    expect_line("手机@店:2", "手机", "店", 2);
}

static void line_takes_no_slip_for_a_part_of_the_pool(void **state)
{
    (void)state;
    struct item_name item;
    struct line_wish line;
    char reason[REASON_BYTES];
    assert_false(parse_line("X@online:abc", &line, reason));
    assert_string_equal(reason, "ends in ':abc', which is not a quantity");
    assert_false(parse_line("X@online:", &line, reason));
    assert_false(parse_line("X@online:-1", &line, reason));
    assert_false(parse_line("X@online:2x", &line, reason));
    expect_line("X@on:line:2", "X", "on:line", 2); /* with a quantity it is clear */
    expect_line("a:b@c", "a:b", "c", 1);           /* the SKU's colon */
    assert_true(parse_item("X@on:line", &item, reason));
}

static void line_takes_no_misspelt_word_for_a_part_of_the_sku(void **state)
{
    (void)state;
    struct line_wish line;
    char reason[REASON_BYTES];
    assert_false(parse_line("A:1:upto", &line, reason));
    assert_string_equal(reason,
                        "ends in ':upto', which is none of :up-to, :optional, :or= and :split");
    assert_false(parse_line("S1:1:uptp=2", &line, reason));
    assert_false(parse_line("A:12:optinal:split:or=B", &line, reason));
    assert_false(parse_line("A:1:", &line, reason));
    expect_line("A:12:x:1", "A:12:x", "default", 1); /* with a quantity it is clear */
    expect_line("A:x1:y", "A:x1:y", "default", 1);   /* no number between the colons */
}

static void line_refuses_what_names_no_item(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "@b",   "A@",           ":3",  "@:3",
                                      "A:0", "A@:1", "A:1000000001", "\xff"};
    struct line_wish line;
    char reason[REASON_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(parse_line(bad[i], &line, reason));
    }
}

static void line_takes_how_it_may_be_filled(void **state)
{
    (void)state;
    struct line_wish line;
    char reason[REASON_BYTES];
    assert_true(parse_line("A@b:10:up-to=4", &line, reason));
    assert_int_equal(line.policy, HF_LINE_UP_TO);
    assert_int_equal(line.qty, 10);
    assert_int_equal(line.min_qty, 4);
    assert_true(parse_line("A:10:up-to", &line, reason));
    assert_int_equal(line.policy, HF_LINE_UP_TO);
    assert_int_equal(line.min_qty, 0);
    assert_true(parse_line("GIFT:optional", &line, reason)); /* no quantity: 1 */
    assert_int_equal(line.policy, HF_LINE_OPTIONAL);
    assert_int_equal(line.qty, 1);
    assert_string_equal(line.item.sku, "GIFT");
    assert_true(parse_line("A@e:3:split:or=A@w,B:up-to=3", &line, reason)); /* in any order */
    assert_string_equal(line.item.pool, "e");
    assert_int_equal(line.min_qty, 3);
    assert_true(line.split);
    assert_int_equal(line.fallback_count, 2);
    assert_string_equal(line.fallbacks[0].pool, "w");
    assert_string_equal(line.fallbacks[1].sku, "B");
    assert_string_equal(line.fallbacks[1].pool, "default");
    assert_true(parse_line("odd:split:1", &line, reason)); /* the word is the SKU's */
    assert_string_equal(line.item.sku, "odd:split");
    assert_false(line.split);
}

static void line_refuses_shapes_that_make_no_sense(void **state)
{
    (void)state;
    static const char *const bad[] = {"A:2:up-to=3",
                                      "A:2:up-to=4294967297", /* 1, in 32 bits */
                                      "A:4294967297",
                                      "A:1000000001",
                                      "A:0",
                                      "A:2:up-to=x",
                                      "A:2:up-to=",
                                      "A:2:optional:up-to=1",
                                      "A:2:split",
                                      "A:2:or=",
                                      "A:2:or=B,",
                                      "A:2:or=B:split:split",
                                      "A:2:or=B:or=C",
                                      ":optional",
                                      "A:2:optional:optional"};
    struct line_wish line;
    char reason[REASON_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse_line(bad[i], &line, reason)) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    /* Both sides of the bounds. */
    assert_true(parse_line("A:1000000000:up-to=1000000000", &line, reason));
    assert_int_equal(line.qty, 1000000000);
    assert_int_equal(line.min_qty, 1000000000);
    char text[16 + 2 * LINE_FALLBACKS_MAX + 2] = "A:1:or=B";
    for (unsigned i = 1; i < LINE_FALLBACKS_MAX; i++) {
        strcat(text, ",B");
    }
    assert_true(parse_line(text, &line, reason));
    assert_int_equal(line.fallback_count, LINE_FALLBACKS_MAX);
    strcat(text, ",B");
    assert_false(parse_line(text, &line, reason));
}

static void states_are_named_between_commas(void **state)
{
    (void)state;
    uint32_t states;
    char reason[REASON_BYTES];
    assert_true(parse_states("held", &states, reason));
    assert_int_equal(states, 1u << HF_ORDER_HELD);
    assert_true(parse_states("RETURNED,expired,Released,committed", &states, reason));
    assert_int_equal(states, 1u << HF_ORDER_COMMITTED | 1u << HF_ORDER_RELEASED |
                                 1u << HF_ORDER_EXPIRED | 1u << HF_ORDER_RETURNED);
    static const char *const bad[] = {"", "none", "held,", ",held", "hel", "heldx", "held expired"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(parse_states(bad[i], &states, reason));
    }
}

static void item_bounds_the_length_of_codes(void **state)
{
    (void)state;
    char text[140];
    struct item_name item;
    char reason[REASON_BYTES];
    memset(text, 'x', sizeof text);
    text[64] = '@';
    text[64 + 1 + 64] = '\0';
    assert_true(parse_item(text, &item, reason));
    assert_int_equal(strlen(item.sku), 64);
    assert_int_equal(strlen(item.pool), 64);
    assert_true(item.has_pool);
    text[64 + 1 + 64] = 'x';
    text[64 + 1 + 65] = '\0';
    assert_false(parse_item(text, &item, reason)); /* a pool of 65 bytes */
    memset(text, 'x', 65);
    text[65] = '\0';
    assert_false(parse_item(text, &item, reason)); /* a SKU of 65 bytes */
    assert_string_equal(reason, "is not a valid SKU: 65 bytes, must be 1..64");
}

static void pools_text_names_the_pools_and_what_to_say(void **state)
{
    (void)state;
    char text[POOLS_TEXT_BYTES];
    static const struct hf_stock rows[] = {{.sku = "85123A", .pool = "online"},
                                           {.sku = "85123A", .pool = "wh-beijing"},
                                           {.sku = "85123A", .pool = "c"},
                                           {.sku = "85123A", .pool = "d"},
                                           {.sku = "85123A", .pool = "e"}};
    pools_text(rows, 1, text);
    assert_string_equal(text, "85123A is in pool online: name one, as 85123A@online");
    pools_text(rows, 2, text);
    assert_string_equal(text, "85123A is in pools online, wh-beijing: name one, as 85123A@online");
    pools_text(rows, 3, text);
    assert_string_equal(text,
                        "85123A is in pools online, wh-beijing, c: name one, as 85123A@online");
    pools_text(rows, 5, text);
    assert_string_equal(
        text, "85123A is in pools online, wh-beijing, c and 2 more: name one, as 85123A@online");
}

static void pools_text_has_room_for_the_longest_codes(void **state)
{
    (void)state;
    char text[POOLS_TEXT_BYTES];
    struct hf_stock rows[4] = {0};
    for (int i = 0; i < 4; i++) {
        memset(rows[i].sku, 's', HF_CODE_BYTES - 1);
        memset(rows[i].pool, 'p', HF_CODE_BYTES - 1);
    }
    pools_text(rows, 4, text);
    assert_int_equal(text[strlen(text) - 1], 'p');
    assert_non_null(strstr(text, " and 1 more: name one, as s"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bool_takes_words_in_any_case),
        cmocka_unit_test(duration_takes_units_up_to_what_fits),
        cmocka_unit_test(time_takes_unix_ms_and_iso_8601),
        cmocka_unit_test(time_refuses_what_is_none),
        cmocka_unit_test(time_text_and_parse_time_agree),
        cmocka_unit_test(duration_text_shows_the_two_largest_units),
        cmocka_unit_test(line_takes_sku_pool_and_quantity),
        cmocka_unit_test(line_takes_no_slip_for_a_part_of_the_pool),
        cmocka_unit_test(line_takes_no_misspelt_word_for_a_part_of_the_sku),
        cmocka_unit_test(line_refuses_what_names_no_item),
        cmocka_unit_test(line_takes_how_it_may_be_filled),
        cmocka_unit_test(line_refuses_shapes_that_make_no_sense),
        cmocka_unit_test(states_are_named_between_commas),
        cmocka_unit_test(pools_text_names_the_pools_and_what_to_say),
        cmocka_unit_test(pools_text_has_room_for_the_longest_codes),
        cmocka_unit_test(item_bounds_the_length_of_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
