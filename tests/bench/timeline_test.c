/* timeline_test.c - windows hold what happened in them, and nothing is lost when they are merged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "load/timeline.h"

#define START_NS UINT64_C(5000000000)

/* Feeds `windows` windows, the i-th with i + 1 orders ok, one sold out, and one message of
 * (i + 1) ms. */
static void feed(struct timeline *timeline, uint32_t windows)
{
    struct timeline_counts totals = {0};
    static struct histogram latency;
    histogram_init(&latency);
    for (uint32_t i = 0; i < windows; i++) {
        totals.ok += i + 1;
        totals.sold_out++;
        histogram_add(&latency, (i + 1) * UINT64_C(1000000));
        timeline_add(timeline, START_NS + (i + 1) * TIMELINE_WINDOW_NS, &totals, &latency);
    }
}

static void timeline_windows_hold_the_differences(void **state)
{
    (void)state;
    struct timeline timeline;
    assert_true(timeline_init(&timeline, START_NS));
    feed(&timeline, 5);
    assert_int_equal(timeline.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        const struct timeline_window *window = &timeline.windows[i];
        assert_int_equal(window->start_ns, i * TIMELINE_WINDOW_NS);
        assert_int_equal(window->end_ns, (i + 1) * TIMELINE_WINDOW_NS);
        assert_int_equal(window->counts.ok, i + 1);
        assert_int_equal(window->counts.sold_out, 1);
        assert_int_equal(window->latency.count, 1);
        uint64_t ns = (i + 1) * UINT64_C(1000000);
        assert_in_range(histogram_quantile(&window->latency, 0.5), ns, ns + ns / 60);
        assert_in_range(histogram_quantile(&window->latency, 1), ns, ns + ns / 60);
    }
    timeline_deinit(&timeline);
}

static void timeline_is_due_when_a_window_has_passed(void **state)
{
    (void)state;
    struct timeline timeline;
    assert_true(timeline_init(&timeline, START_NS));
    assert_false(timeline_is_due(&timeline, 0)); /* the warm-up is not over */
    assert_false(timeline_is_due(&timeline, START_NS + TIMELINE_WINDOW_NS - 1));
    assert_true(timeline_is_due(&timeline, START_NS + TIMELINE_WINDOW_NS));
    feed(&timeline, 1);
    assert_false(timeline_is_due(&timeline, START_NS + 2 * TIMELINE_WINDOW_NS - 1));
    timeline_deinit(&timeline);
}

static void timeline_merges_windows_and_loses_nothing(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {TIMELINE_WINDOWS, TIMELINE_WINDOWS + 1,
                                       5 * TIMELINE_WINDOWS + 3};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        struct timeline timeline;
        uint32_t fed = lengths[l];
        assert_true(timeline_init(&timeline, START_NS));
        feed(&timeline, fed);
        assert_true(timeline.count <= TIMELINE_WINDOWS);
        uint64_t ok = 0;
        uint64_t messages = 0;
        uint64_t end_ns = 0;
        for (uint32_t i = 0; i < timeline.count; i++) {
            assert_int_equal(timeline.windows[i].start_ns, end_ns);
            end_ns = timeline.windows[i].end_ns;
            ok += timeline.windows[i].counts.ok;
            messages += timeline.windows[i].latency.count;
        }
        assert_int_equal(end_ns, fed * TIMELINE_WINDOW_NS);
        assert_int_equal(ok, (uint64_t)fed * (fed + 1) / 2);
        assert_int_equal(messages, fed);
        assert_true((timeline.window_ns == TIMELINE_WINDOW_NS) == (fed == TIMELINE_WINDOWS));
        timeline_deinit(&timeline);
    }
}

static void timeline_ends_without_a_sliver(void **state)
{
    (void)state;
    static const struct {
        uint64_t last_ns; /* how long the last window is */
        uint32_t count;
    } cases[] = {{0, 3},
                 {1, 3},
                 {TIMELINE_WINDOW_NS / 2 - 1, 3},
                 {TIMELINE_WINDOW_NS / 2, 4},
                 {TIMELINE_WINDOW_NS, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct timeline timeline;
        assert_true(timeline_init(&timeline, START_NS));
        feed(&timeline, 3);
        struct timeline_counts totals = timeline.last_counts;
        struct histogram latency = timeline.last_latency;
        totals.ok += 100;
        uint64_t end_ns = START_NS + 3 * TIMELINE_WINDOW_NS + cases[i].last_ns;
        timeline_end(&timeline, end_ns, &totals, &latency);
        assert_int_equal(timeline.count, cases[i].count);
        const struct timeline_window *last = &timeline.windows[timeline.count - 1];
        assert_int_equal(last->end_ns, end_ns - START_NS);
        uint64_t expected = cases[i].count == 4 ? 100 : 3 + (cases[i].last_ns > 0 ? 100 : 0);
        assert_int_equal(last->counts.ok, expected);
        timeline_deinit(&timeline);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeline_windows_hold_the_differences),
        cmocka_unit_test(timeline_is_due_when_a_window_has_passed),
        cmocka_unit_test(timeline_merges_windows_and_loses_nothing),
        cmocka_unit_test(timeline_ends_without_a_sliver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
