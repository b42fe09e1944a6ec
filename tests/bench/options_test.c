/* options_test.c - the command line of `holdfast load`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "load/options.h"

#define PARSE(options, ...)                                                                        \
    options_parse((options), (int)(sizeof((char *[]){"load", __VA_ARGS__}) / sizeof(char *)),      \
                  (char *[]){"load", __VA_ARGS__, NULL})

static void options_reads_durations_with_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"5s", 5},     {"2m", 120},    {"500ms", 0.5}, {"1h", 3600},
                {"0.1s", 0.1}, {"1.5h", 5400}, {"0", 0}};
    static const char *const bad[] = {"",     "s",     "-1s", "5x", "5 s", "nan",
                                      "1e3s", "1..2s", "5ss", "10", "1.5"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double seconds = -1;
        assert_true(options_parse_seconds(good[i].text, &seconds));
        assert_true(seconds > good[i].seconds - 1e-9 && seconds < good[i].seconds + 1e-9);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double seconds;
        assert_false(options_parse_seconds(bad[i], &seconds));
    }
}

static void options_reads_a_mix_as_shares_of_the_reserved(void **state)
{
    (void)state;
    double commit;
    double release;
    assert_true(options_parse_mix("100,70,20", &commit, &release));
    assert_true(commit > 0.699 && commit < 0.701);
    assert_true(release > 0.199 && release < 0.201);
    assert_true(options_parse_mix("2,1,1", &commit, &release));
    assert_true(commit > 0.499 && commit < 0.501);
    static const char *const bad[] = {
        "", "100", "100,70", "100,70,31", "0,0,0", "100,70,20,1", "a,b,c", "100,-1,0", "100, 1,2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(options_parse_mix(bad[i], &commit, &release));
    }
}

static void options_have_defaults_that_run(void **state)
{
    (void)state;
    struct load_options options;
    assert_int_equal(PARSE(&options, "--quiet"), OPTIONS_RUN);
    assert_int_equal(options.skus, 1000);
    assert_int_equal(options.batch, 100);
    assert_true(options.duration_s > 9.9 && options.duration_s < 10.1);
    assert_true(options.oracle);
    assert_false(options.progress);
}

static void options_take_each_value_to_its_bounds(void **state)
{
    (void)state;
    struct load_options options;
    assert_int_equal(PARSE(&options, "--batch", "65536", "--in-flight", "64", "--orders", "7",
                           "--hold", "5m", "--rate", "2.5", "--zipf", "1.1", "--no-oracle"),
                     OPTIONS_RUN);
    assert_int_equal(options.batch, 65536);
    assert_int_equal(options.in_flight, 64);
    assert_int_equal(options.orders, 7);
    assert_int_equal(options.hold_ms, 300000);
    assert_true(options.duration_s < 0.001);
    assert_false(options.oracle);
    assert_int_equal(PARSE(&options, "--batch", "65537"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--batch", "0"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--in-flight", "65"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--rate", "0"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--orders", "-1"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--nonsense"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "word"), OPTIONS_WRONG);
}

static void options_refuse_what_does_not_go_together(void **state)
{
    (void)state;
    struct load_options options;
    assert_int_equal(PARSE(&options, "--skus", "5", "--existing"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--orders", "5", "--duration", "5s"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--until-sold-out"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--until-sold-out", "--stock", "5"), OPTIONS_RUN);
    assert_int_equal(PARSE(&options, "--until-sold-out", "--existing"), OPTIONS_RUN);
    assert_int_equal(PARSE(&options, "--existing", "--stock", "5"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--totals", "x.csv"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--trace", "x.csv", "--totals", "y.csv"), OPTIONS_RUN);
    assert_int_equal(PARSE(&options, "--trace", "x.csv", "--orders", "3"), OPTIONS_WRONG);
}

static void options_read_the_shape_and_who_is_wanted(void **state)
{
    (void)state;
    struct load_options options;
    assert_int_equal(
        PARSE(&options, "--shape", "1111", "--rate", "5000", "--hot-share", "30", "--zipf", "0.9"),
        OPTIONS_RUN);
    assert_int_equal(options.shape, SHAPE_1111);
    assert_true(options.hot_share > 0.2999 && options.hot_share < 0.3001);
    assert_int_equal(PARSE(&options, "--shape", "flat"), OPTIONS_RUN);
    assert_int_equal(options.shape, SHAPE_FLAT);
    assert_int_equal(PARSE(&options, "--shape", "round"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--shape", "1111"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--shape", "1111", "--rate", "5", "--orders", "5"),
                     OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--hot-share", "100"), OPTIONS_RUN);
    assert_int_equal(PARSE(&options, "--hot-share", "100.1"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&options, "--trace", "x.csv", "--report", "r.html"), OPTIONS_WRONG);
}

static void options_share_messages_in_flight_among_many_connections(void **state)
{
    (void)state;
    static const struct {
        char *connections;
        uint32_t in_flight;
    } cases[] = {{"1", 16},  {"16", 16}, {"17", 15},  {"128", 2},
                 {"129", 1}, {"256", 1}, {"2000", 1}, {"10000", 1}};
    struct load_options options;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(PARSE(&options, "--connections", cases[i].connections), OPTIONS_RUN);
        assert_int_equal(options.in_flight, cases[i].in_flight);
    }
    assert_int_equal(PARSE(&options, "--connections", "2000", "--in-flight", "4"), OPTIONS_RUN);
    assert_int_equal(options.in_flight, 4);
    assert_int_equal(PARSE(&options, "--connections", "10001"), OPTIONS_WRONG);
}

static void options_can_be_shown_without_the_token(void **state)
{
    (void)state;
    struct load_options options;
    assert_int_equal(PARSE(&options, "--skus=5", "--tok", "secret", "--json"), OPTIONS_RUN);
    assert_string_equal(options.command, "--skus 5 --token *** --json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_reads_durations_with_a_unit),
        cmocka_unit_test(options_reads_a_mix_as_shares_of_the_reserved),
        cmocka_unit_test(options_have_defaults_that_run),
        cmocka_unit_test(options_take_each_value_to_its_bounds),
        cmocka_unit_test(options_refuse_what_does_not_go_together),
        cmocka_unit_test(options_read_the_shape_and_who_is_wanted),
        cmocka_unit_test(options_share_messages_in_flight_among_many_connections),
        cmocka_unit_test(options_can_be_shown_without_the_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
