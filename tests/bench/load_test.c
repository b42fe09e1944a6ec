/* load_test.c - `holdfast load` as a whole, against an engine that is sound and against ones that
 * are not: each promise that is broken must be noticed, and none that is kept.
 *
 * The engine is toy_engine.c, in this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/tempdir.h"
#include "load/load.h"
#include "toy_engine.h"

#define OUTPUT_BYTES 8192

static char output[OUTPUT_BYTES];

/* Runs the subcommand with --json --quiet; what it prints is in `output`. */
static int run_load(const char *const *arguments)
{
    char *argv[40] = {"load", "--json", "--quiet"};
    int argc = 3;
    for (; *arguments; arguments++) {
        argv[argc++] = (char *)*arguments;
    }
    FILE *capture = tmpfile();
    assert_non_null(capture);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_true(saved >= 0);
    assert_true(dup2(fileno(capture), STDOUT_FILENO) >= 0);
    int code = cmd_load(argc, argv);
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    rewind(capture);
    size_t len = fread(output, 1, sizeof output - 1, capture);
    output[len] = '\0';
    fclose(capture);
    return code;
}

#define LOAD(...) run_load((const char *const[]){__VA_ARGS__, NULL})

/* A number of the JSON object. */
static double figure(const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(output, key);
    if (!at) {
        fail_msg("no %s in %s", name, output);
        return 0;
    }
    return strtod(at + strlen(key), NULL);
}

static void assert_figure(const char *name, double expected)
{
    double found = figure(name);
    if (found < expected - 0.001 || found > expected + 0.001) {
        fail_msg("%s is %g, not %g: %s", name, found, expected, output);
    }
}

static void assert_clean(void)
{
    assert_figure("oversold", 0);
    assert_figure("undersold", 0);
    assert_figure("lost", 0);
    assert_figure("duplicated", 0);
}

static const struct toy_faults sound;

static int make_directory(void **state)
{
    *state = tempdir_make();
    return 0;
}

static int remove_directory(void **state)
{
    tempdir_remove(*state);
    return 0;
}

static void load_is_clean_on_a_sound_engine_batched_and_single(void **state)
{
    (void)state;
    static const char *const batches[] = {"1", "7", "500"};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        toy_reset(&sound, 0, 0);
        assert_int_equal(LOAD("--skus", "20", "--orders", "5000", "--batch", batches[i], "--mix",
                              "100,50,20", "--qty-max", "3", "--zipf", "1", "--connections", "2"),
                         0);
        assert_clean();
        assert_figure("ok", 5000);
        assert_figure("asked_back", 5000);
        assert_true(figure("committed") > 2300 && figure("committed") < 2700);
        assert_true(figure("released") > 850 && figure("released") < 1150);
    }
}

static void load_sells_out_exactly(void **state)
{
    (void)state;
    toy_reset(&sound, 11, 100);
    assert_int_equal(LOAD("--existing", "--until-sold-out", "--batch", "16", "--mix", "100,60,10",
                          "--qty-max", "2", "--zipf", "1"),
                     0);
    assert_clean();
    assert_figure("units_sold", 1100 - figure("units_held"));
    assert_true(figure("sold_out") >= 11);
}

static void load_is_clean_when_answers_and_requests_are_lost(void **state)
{
    (void)state;
    const struct toy_faults faults = {
        .lose_answer_every = 7, .lose_request_every = 11, .busy_every = 13, .no_room_every = 3};
    toy_reset(&faults, 5, 200);
    assert_int_equal(LOAD("--existing", "--until-sold-out", "--batch", "16", "--mix", "100,60,10"),
                     0);
    assert_clean();
    assert_true(figure("retries") > 0);
    toy_reset(&faults, 0, 0);
    assert_int_equal(LOAD("--skus", "3", "--orders", "300", "--batch", "1", "--mix", "100,60,10"),
                     0);
    assert_clean();
    assert_figure("ok", 300);
}

static void load_resolves_orders_that_were_never_answered(void **state)
{
    (void)state;
    const struct toy_faults faults = {.mute_after = 8};
    toy_reset(&faults, 0, 0);
    int code = LOAD("--skus", "3", "--orders", "64", "--batch", "4", "--in-flight", "2",
                    "--give-up", "0s", "--mix", "100,60,20");
    assert_int_equal(code, 3); /* it says that it gave up */
    assert_true(strstr(output, "\"gave_up\":true") != NULL);
    assert_true(figure("unknown") > 0);
    assert_figure("unresolved", 0);
    assert_clean();
}

static void load_notices_each_broken_promise(void **state)
{
    (void)state;
    static const struct {
        const char *figure;
        struct toy_faults faults;
    } broken[] = {
        {"lost", {.forget_reserve_every = 400}},    {"lost", {.forget_commit_every = 300}},
        {"duplicated", {.double_take_every = 400}}, {"undersold", {.refuse_early = 1}},
        {"undersold", {.refuse_early = 25}},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        toy_reset(&broken[i].faults, 10, 100);
        int code = LOAD("--existing", "--until-sold-out", "--batch", "16", "--mix", "100,60,10");
        if (code != 1 || !(figure(broken[i].figure) > 0)) {
            fail_msg("%s was not noticed (exit %d): %s", broken[i].figure, code, output);
        }
        assert_true(strstr(output, "\"note\":\"\"") == NULL);
    }
    const struct toy_faults overselling = {.oversell = true};
    toy_reset(&overselling, 10, 100);
    assert_int_equal(LOAD("--existing", "--orders", "2000", "--batch", "16"), 1);
    assert_figure("oversold", 1000);
}

/* An order that ended may be unknown after --retain, and not before; one that is held never. */
static void load_takes_an_order_for_forgotten_only_after_its_time(void **state)
{
    (void)state;
    static const struct {
        const char *retain;
        const char *hold;
        struct toy_faults faults;
        int code;
        const char *mix;
    } cases[] = {
        {NULL, "1h", {.forget_ended_every = 5}, 1, "100,60,30"},
        {"1h", "1h", {.forget_ended_every = 5}, 1, "100,60,30"},
        /* Stalled, so that a millisecond passes between an order's end and its being asked for. */
        {"1ms", "1h", {.forget_ended_every = 5, .stall_at = 5, .stall_ms = 5}, 0, "100,60,30"},
        /* None is committed: of one whose commit took a millisecond nobody could tell. */
        {"1ms", "1h", {.forget_reserve_every = 50}, 1, "100,0,0"},
        {"1h", "1h", {.forget_reserve_every = 50}, 1, "100,60,30"},
        {"1ms", "1h", {.forget_commit_every = 50}, 1, "100,60,30"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        toy_reset(&cases[i].faults, 0, 0);
        int code = cases[i].retain ? LOAD("--skus", "3", "--orders", "1000", "--mix", cases[i].mix,
                                          "--hold", cases[i].hold, "--retain", cases[i].retain)
                                   : LOAD("--skus", "3", "--orders", "1000", "--mix", "100,60,30");
        if (code != cases[i].code) {
            fail_msg("case %zu: exit %d: %s", i, code, output);
        }
        if (code == 0) {
            assert_clean();
            assert_true(figure("forgotten") > 150 && figure("forgotten") < 200);
        } else {
            assert_true(figure("lost") > 0);
        }
    }
}

static void load_notices_underselling_while_units_are_given_back(void **state)
{
    (void)state;
    const struct toy_faults faults = {.refuse_early = 3};
    toy_reset(&faults, 2, 100);
    assert_int_equal(LOAD("--existing", "--orders", "2000", "--batch", "8", "--mix", "100,50,30"),
                     1);
    assert_true(figure("undersold") > 0);
}

static void load_says_when_the_engine_is_away(void **state)
{
    (void)state;
    const struct toy_faults faults = {.away = true};
    toy_reset(&faults, 2, 100);
    assert_int_equal(LOAD("--skus", "2", "--orders", "5", "--give-up", "50ms"), 3);
}

/* Calls that were lost and repeated leave their text behind in the thread: it is not the reason why
 * a commit was refused later. */
static void load_reports_an_error_with_its_own_reason(void **state)
{
    (void)state;
    const struct toy_faults faults = {.forget_reserve_every = 40, .lose_answer_every = 3};
    toy_reset(&faults, 0, 0);
    assert_int_equal(LOAD("--skus", "3", "--orders", "1000", "--batch", "4", "--mix", "100,100,0"),
                     1);
    if (!strstr(output, "\"error\":\"commit: NOT_FOUND: no such order\"")) {
        fail_msg("another error: %s", output);
    }
}

static void load_keeps_its_pace(void **state)
{
    (void)state;
    toy_reset(&sound, 0, 0);
    assert_int_equal(LOAD("--skus", "5", "--orders", "500", "--batch", "10", "--rate", "1000"), 0);
    /* The last of 50 messages is due after 490 ms. */
    assert_true(figure("elapsed_s") > 0.489);
    assert_clean();
}

/* A stall of 300 ms under a pace of one message each 10 ms: 30 messages are due meanwhile, and wait
 * 300 ms down to 0. One that counted from sending would see one slow message and 59 fast ones. */
static void load_counts_a_stall_in_all_that_it_delayed(void **state)
{
    (void)state;
    const struct toy_faults faults = {.stall_at = 10, .stall_ms = 300};
    toy_reset(&faults, 0, 0);
    assert_int_equal(LOAD("--skus", "5", "--duration", "600ms", "--batch", "10", "--in-flight", "1",
                          "--rate", "1000"),
                     0);
    assert_figure("ok", 600 - figure("unsent"));
    assert_true(figure("max_us") > 290000);
    assert_true(figure("p90_us") > 200000);
    /* 30 of 60 wait for more than nothing; a third of those for more than 200 ms. */
    assert_true(figure("p50_us") < 200000 || figure("unsent") > 0);
    assert_clean();
}

static void load_counts_what_was_due_and_could_not_be_sent(void **state)
{
    (void)state;
    const struct toy_faults faults = {.stall_at = 10, .stall_ms = 1000};
    toy_reset(&faults, 0, 0);
    assert_int_equal(LOAD("--skus", "5", "--duration", "300ms", "--batch", "10", "--in-flight", "1",
                          "--rate", "1000"),
                     0);
    assert_true(figure("unsent") >= 200);
    assert_figure("ok", 300 - figure("unsent"));
    /* They were due within the first 300 ms and still waited when more than 1000 ms had passed. */
    assert_true(figure("p50_us") > 650000);
    assert_clean();
}

static void load_sends_the_1111_shape_whole(void **state)
{
    (void)state;
    toy_reset(&sound, 0, 0);
    /* Quiet 0.1 s at 50/s, peak 0.05 s at 1000/s, tail 50 * ln 8: 5 + 50 + 103. */
    assert_int_equal(LOAD("--skus", "5", "--duration", "500ms", "--batch", "1", "--rate", "1000",
                          "--shape", "1111"),
                     0);
    assert_true(figure("ok") + figure("unsent") >= 157 && figure("ok") + figure("unsent") <= 159);
    assert_clean();
}

static void load_uses_all_connections_at_a_slow_pace(void **state)
{
    (void)state;
    toy_reset(&sound, 0, 0);
    assert_int_equal(LOAD("--skus", "5", "--orders", "200", "--batch", "1", "--rate", "2000",
                          "--connections", "50"),
                     0);
    assert_figure("in_flight", 5);
    assert_figure("ok", 200);
    assert_clean();
}

static void load_writes_a_report(void **state)
{
    char path[512];
    snprintf(path, sizeof path, "%s/report.html", (const char *)*state);
    toy_reset(&sound, 0, 0);
    assert_int_equal(LOAD("--skus", "5", "--duration", "350ms", "--batch", "10", "--rate", "2000",
                          "--report", path),
                     0);
    static char page[1 << 17];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(page, 1, sizeof page - 1, file);
    page[len] = '\0';
    fclose(file);
    assert_non_null(strstr(page, "\"windows\":[\n["));
    assert_non_null(strstr(page, "\"version\":\"toy\""));
    assert_non_null(strstr(page, "</html>"));
    assert_int_equal(LOAD("--skus", "5", "--orders", "5", "--report", "/nonexistent/r.html"), 2);
}

static void load_counts_after_the_warm_up_only(void **state)
{
    (void)state;
    toy_reset(&sound, 0, 0);
    assert_int_equal(LOAD("--skus", "5", "--orders", "100", "--batch", "10", "--in-flight", "1",
                          "--rate", "1000", "--warm-up", "200ms"),
                     0);
    assert_true(figure("ok") >= 80 && figure("ok") <= 120);
    assert_true(figure("sent") > figure("ok") + 100);
}

/* ---- Traces ---- */

static char trace_path[512];
static char totals_path[512];

static void write_trace(const char *directory, const char *text)
{
    snprintf(trace_path, sizeof trace_path, "%s/trace.csv", directory);
    snprintf(totals_path, sizeof totals_path, "%s/totals.csv", directory);
    FILE *file = fopen(trace_path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_totals(const char *expected)
{
    char text[512];
    FILE *file = fopen(totals_path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static const char trace_text[] = "order,at,buyer,sku,qty\n"
                                 "1,t,7,A,10\n1,t,7,B,4\n1,t,7,A,2\n"
                                 "2,t,,\"x,\"\"y\",3\n"
                                 "C3,t,7,A,-5\nC4,t,7,A,-4\nC5,t,,\"x,\"\"y\",-3\n"
                                 "6,t,7,B,-7\nC7,t,7,A,-100\nA8,t,,B,1\n";
static const char trace_totals[] = "sku,sold\nA,0\nB,5\n\"x,\"\"y\",0\n";

static void trace_ends_in_the_totals_of_the_file_once_and_again(void **state)
{
    write_trace(*state, trace_text);
    toy_reset(&sound, 0, 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(LOAD("--trace", trace_path, "--totals", totals_path), 0);
        assert_clean();
        assert_figure("invoices", 3);
        assert_figure("lines", 5);
        assert_figure("units_ordered", 20);
        assert_figure("units_returned", 15);
        assert_figure("unmatched_units", 97);
        assert_figure("unmatched_rows", 1);
        assert_figure("write_off_units", 7);
        assert_figure("units_sold", 5);
        assert_totals(trace_totals);
        if (round > 0) {
            assert_true(figure("replayed") >= 6);
        }
    }
}

static void trace_is_clean_when_answers_and_requests_are_lost(void **state)
{
    const struct toy_faults faults = {.lose_answer_every = 3, .lose_request_every = 5};
    write_trace(*state, trace_text);
    toy_reset(&faults, 0, 0);
    assert_int_equal(LOAD("--trace", trace_path, "--totals", totals_path), 0);
    assert_clean();
    assert_totals(trace_totals);
}

static void trace_notices_what_was_forgotten(void **state)
{
    /* Every one: which is the second depends on timing, and a forgotten return that a later one of
     * the same line makes good is rightly not noticed. */
    static const struct toy_faults broken[] = {
        {.forget_return_every = 1}, {.forget_commit_every = 1}, {.double_take_every = 1}};
    write_trace(*state, trace_text);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        toy_reset(&broken[i], 0, 0);
        assert_int_equal(LOAD("--trace", trace_path), 1);
    }
}

static void trace_that_is_malformed_is_refused_before_anything_is_sent(void **state)
{
    write_trace(*state, "order,buyer,sku,qty\n1,7,A,1\n2,7,A,one\n");
    toy_reset(&sound, 0, 0);
    assert_int_equal(LOAD("--trace", trace_path), 2);
    assert_int_equal(LOAD("--trace", "/nonexistent/file.csv"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_is_clean_on_a_sound_engine_batched_and_single),
        cmocka_unit_test(load_sells_out_exactly),
        cmocka_unit_test(load_is_clean_when_answers_and_requests_are_lost),
        cmocka_unit_test(load_resolves_orders_that_were_never_answered),
        cmocka_unit_test(load_notices_each_broken_promise),
        cmocka_unit_test(load_takes_an_order_for_forgotten_only_after_its_time),
        cmocka_unit_test(load_notices_underselling_while_units_are_given_back),
        cmocka_unit_test(load_says_when_the_engine_is_away),
        cmocka_unit_test(load_reports_an_error_with_its_own_reason),
        cmocka_unit_test(load_keeps_its_pace),
        cmocka_unit_test(load_counts_a_stall_in_all_that_it_delayed),
        cmocka_unit_test(load_counts_what_was_due_and_could_not_be_sent),
        cmocka_unit_test(load_sends_the_1111_shape_whole),
        cmocka_unit_test(load_uses_all_connections_at_a_slow_pace),
        cmocka_unit_test_setup_teardown(load_writes_a_report, make_directory, remove_directory),
        cmocka_unit_test(load_counts_after_the_warm_up_only),
        cmocka_unit_test_setup_teardown(trace_ends_in_the_totals_of_the_file_once_and_again,
                                        make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(trace_is_clean_when_answers_and_requests_are_lost,
                                        make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(trace_notices_what_was_forgotten, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(trace_that_is_malformed_is_refused_before_anything_is_sent,
                                        make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
