/* page_test.c - the report's data: JSON that says what was handed in, whatever the texts hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include <math.h>

#include "load/oracle.h"
#include "load/page.h"
#include "load/report.h"
#include "load/traffic.h"

static struct load_options options;
static struct figures figures;
static struct verdict verdict;

/* A run of a second with 10 000 messages, of 1 us to 10 ms. */
static void fill(void)
{
    memset(&figures, 0, sizeof figures);
    options = (struct load_options){.url = "tcp://</script>\"\\",
                                    .batch = 10,
                                    .connections = 3,
                                    .in_flight = 2,
                                    .qty_max = 1,
                                    .buyers = 5,
                                    .seed = INT64_MAX,
                                    .rate = 100000,
                                    .duration_s = 1};
    snprintf(options.command, sizeof options.command, "--url <x>");
    figures.measured.ok = 90000;
    figures.measured.sold_out = 10000;
    figures.measured_ns = 1000000000;
    figures.cost = (struct cost){.user_s = 0.3, .system_s = 0.2, .wall_s = 1, .orders = 100000};
    for (uint64_t i = 1; i <= 10000; i++) {
        histogram_add(&figures.reserve, i * 1000);
    }
    snprintf(figures.error, sizeof figures.error, "reserve: <b>\x01\"");
    verdict = (struct verdict){.checked = true, .acked = 90000, .lost = 1};
}

static json_t *data_of(const struct page *page)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    page_write_data(out, page);
    fclose(out);
    assert_null(memchr(text, '<', len)); /* nothing in it ends the script that it stands in */
    json_error_t error;
    json_t *data = json_loads(text, 0, &error);
    if (!data) {
        fail_msg("%s at %d: %s", error.text, error.position, text);
    }
    free(text);
    return data;
}

static double number(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) {
        fail_msg("no number %s", key);
    }
    return json_number_value(value);
}

static void page_data_says_what_was_handed_in(void **state)
{
    (void)state;
    fill();
    struct timeline timeline;
    struct schedule schedule;
    struct hf_engine_status engine = {.version = "9.9", .commit_lsn = 77};
    assert_true(timeline_init(&timeline, 1));
    struct timeline_counts totals = {.ok = 90000, .sold_out = 10000};
    timeline_add(&timeline, 500000001, &totals, &figures.reserve);
    timeline_add(&timeline, 1000000001, &totals, &figures.reserve);
    schedule_init(&schedule, SHAPE_1111, 100000, 2, 1);
    struct page page = {.options = &options,
                        .figures = &figures,
                        .verdict = &verdict,
                        .timeline = &timeline,
                        .schedule = &schedule,
                        .lead_s = 2,
                        .started_ms = 123,
                        .item_count = 4,
                        .after = &engine};
    json_t *data = data_of(&page);
    assert_string_equal(json_string_value(json_object_get(data, "url")), options.url);
    assert_string_equal(json_string_value(json_object_get(data, "command")), options.command);
    assert_true(fabs(number(data, "zero_s") - 0.2) < 1e-6);
    json_t *result = json_object_get(data, "result");
    assert_true(number(result, "orders") > 99999.5 && number(result, "orders") < 100000.5);
    assert_true(fabs(number(result, "generator_cpu_us_per_order") - 5) < 0.001);
    assert_true(fabs(number(result, "p9999_us") - 9999) < 9999.0 / 60);
    assert_true(number(result, "lost") > 0.5);
    assert_string_equal(json_string_value(json_object_get(result, "error")), figures.error);
    json_t *windows = json_object_get(data, "windows");
    assert_int_equal(json_array_size(windows), 2);
    json_t *second = json_array_get(windows, 1);
    assert_true(json_number_value(json_array_get(second, 2)) < 0.5); /* nothing came any more */
    assert_true(json_number_value(json_array_get(second, 5)) < 0.5);
    json_t *engines = json_object_get(data, "engine");
    assert_true(json_is_null(json_object_get(engines, "before")));
    assert_true(number(json_object_get(engines, "after"), "commit_lsn") > 76);
    json_decref(data);
    timeline_deinit(&timeline);
}

static void page_curve_rises_to_the_maximum(void **state)
{
    (void)state;
    fill();
    struct page page = {.options = &options, .figures = &figures};
    json_t *data = data_of(&page);
    json_t *curve = json_object_get(data, "curve");
    size_t count = json_array_size(curve);
    double share = -1;
    double us = 0;
    /* 10 000 values reach four decades, to 99.99 %. */
    assert_in_range(count, 64, 68);
    for (size_t i = 0; i < count; i++) {
        json_t *point = json_array_get(curve, i);
        double next_share = json_number_value(json_array_get(point, 0));
        double next_us = json_number_value(json_array_get(point, 1));
        assert_true(next_share > share);
        assert_true(next_us >= us);
        share = next_share;
        us = next_us;
        /* The n-th of 10 000 values is n us. */
        assert_true(fabs(us - fmax(1, share * 10000)) <= 1 + us / 60);
    }
    assert_true(share > 0.9999999 && us > 9999);
    assert_int_equal(json_array_size(json_object_get(data, "follow_curve")), 0);
    assert_null(json_object_get(json_object_get(data, "result"), "oversold"));
    json_decref(data);
}

static void page_is_one_file_that_needs_no_other(void **state)
{
    (void)state;
    fill();
    struct page page = {.options = &options, .figures = &figures, .verdict = &verdict};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    assert_true(page_write(out, &page));
    fclose(out);
    assert_memory_equal(text, "<!DOCTYPE html>", 15);
    assert_non_null(strstr(text, "\"settings\":[["));
    static const char *const outside[] = {
        "http:", "https:", "src=", "href=", "@import", "url(", "@DATA@", "fetch("};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        if (strstr(text, outside[i])) {
            fail_msg("the page holds %s", outside[i]);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_data_says_what_was_handed_in),
        cmocka_unit_test(page_curve_rises_to_the_maximum),
        cmocka_unit_test(page_is_one_file_that_needs_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
