/* hiccups_test.c - that sleeps are counted as hiccups.h says. None is judged: machines differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/hiccups.h"

static struct hiccups hiccups;

static void hiccups_count_each_sleep_once(void **state)
{
    (void)state;
    atomic_bool stop = false;
    struct hiccups_plan plan = {.seconds = 0.05};
    assert_int_equal(hiccups_measure(&plan, &stop, &hiccups), 0);
    assert_true(hiccups.seconds >= 0.05);
    assert_true(hiccups.late.count >= 1);
    /* Every sleep takes its millisecond and what it is late: all of them fit into the time. */
    uint64_t took_ns = hiccups.late.count * HICCUPS_SLEEP_NS + hiccups.late.sum;
    assert_true((double)took_ns <= hiccups.seconds * 1e9);
}

static void hiccups_leave_the_warm_up_out(void **state)
{
    (void)state;
    atomic_bool stop = false;
    struct hiccups_plan plan = {.warm_up_s = 0.1, .seconds = 0.01};
    assert_int_equal(hiccups_measure(&plan, &stop, &hiccups), 0);
    assert_true((double)hiccups.late.count * HICCUPS_SLEEP_NS <= hiccups.seconds * 1e9);
}

static void hiccups_end_beside_spinning_threads(void **state)
{
    (void)state;
    atomic_bool stop = false;
    struct hiccups_plan plan = {.seconds = 0.05, .spinning = 3};
    assert_int_equal(hiccups_measure(&plan, &stop, &hiccups), 0);
    assert_true(hiccups.late.count >= 1);
}

static void hiccups_end_at_once_when_stopped(void **state)
{
    (void)state;
    atomic_bool stop = true;
    struct hiccups_plan plan = {
        .warm_up_s = HICCUPS_SECONDS_MAX, .seconds = HICCUPS_SECONDS_MAX, .spinning = 1};
    assert_int_equal(hiccups_measure(&plan, &stop, &hiccups), 0);
    assert_int_equal(hiccups.late.count, 0);
    assert_int_equal(histogram_quantile(&hiccups.late, 0.999), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hiccups_count_each_sleep_once),
        cmocka_unit_test(hiccups_leave_the_warm_up_out),
        cmocka_unit_test(hiccups_end_beside_spinning_threads),
        cmocka_unit_test(hiccups_end_at_once_when_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
