/* schedule_test.c - when orders are due: the shapes by their description, and their inverses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "load/schedule.h"

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance)) {
        fail_msg("%.12g is not %.12g", found, expected);
    }
}

static void schedule_flat_is_a_comb(void **state)
{
    (void)state;
    struct schedule schedule;
    schedule_init(&schedule, SHAPE_FLAT, 250, 3, 0);
    assert_near(schedule_due_s(&schedule, 0), 0, 0);
    assert_near(schedule_due_s(&schedule, 1), 0.004, 1e-12);
    assert_near(schedule_due_s(&schedule, 1000000), 4000, 1e-6);
    assert_near(schedule_count(&schedule, 2), 500, 1e-9);
    assert_near(schedule_count(&schedule, -1), 0, 0);
    assert_near(schedule_rate(&schedule, 17), 250, 0);
}

/* 100 s with a lead of 10 s: quiet until 30 s at 5 %, the peak until 40 s, then 1 / time. */
static void schedule_1111_steps_up_at_midnight_and_falls_off(void **state)
{
    (void)state;
    struct schedule schedule;
    schedule_init(&schedule, SHAPE_1111, 1000, 10, 100);
    assert_near(schedule_rate(&schedule, 0), 50, 1e-9);
    assert_near(schedule_rate(&schedule, 29.999), 50, 1e-9);
    assert_near(schedule_rate(&schedule, 30.001), 1000, 1e-9);
    assert_near(schedule_rate(&schedule, 39.999), 1000, 1e-9);
    assert_near(schedule_rate(&schedule, 50), 500, 1e-9);
    assert_near(schedule_rate(&schedule, 110), 125, 1e-9);
    assert_near(schedule_count(&schedule, 30), 1500, 1e-6);
    assert_near(schedule_count(&schedule, 40), 11500, 1e-6);
    assert_near(schedule_count(&schedule, 110), 11500 + 10000 * log(8), 1e-6);
    assert_near(schedule_due_s(&schedule, 1500), 30, 1e-9);
    assert_near(schedule_due_s(&schedule, 1501), 30.001, 1e-9);
}

/* The sum of the rate over small steps is the count, whatever the closed form. */
static void schedule_count_is_the_integral_of_the_rate(void **state)
{
    (void)state;
    struct schedule schedule;
    schedule_init(&schedule, SHAPE_1111, 20000, 0.5, 8);
    const double step_s = 0.00005;
    double sum = 0;
    for (int i = 0; i < 170000; i++) {
        double at_s = i * step_s;
        if (i % 10000 == 0) {
            assert_near(schedule_count(&schedule, at_s), sum, 2 + sum * 1e-4);
        }
        sum += schedule_rate(&schedule, at_s + step_s / 2) * step_s;
    }
}

static void schedule_due_is_the_inverse_of_count_and_never_falls(void **state)
{
    (void)state;
    for (int shape = SHAPE_FLAT; shape <= SHAPE_1111; shape++) {
        struct schedule schedule;
        schedule_init(&schedule, (enum shape)shape, 12345, 1, 20);
        double last_s = 0;
        for (uint64_t n = 0; n < 100000; n++) {
            double due_s = schedule_due_s(&schedule, n);
            assert_true(due_s >= last_s);
            assert_near(schedule_count(&schedule, due_s), (double)n, 1e-4);
            last_s = due_s;
        }
    }
}

static void schedule_stays_in_range_far_beyond_its_end(void **state)
{
    (void)state;
    struct schedule schedule;
    static const double durations_s[] = {0.001, 1, 36000};
    for (size_t i = 0; i < sizeof durations_s / sizeof *durations_s; i++) {
        schedule_init(&schedule, SHAPE_1111, 1, 0, durations_s[i]);
        double far_s = schedule_due_s(&schedule, UINT64_C(1) << 40);
        assert_true(far_s > durations_s[i]);
        assert_true(far_s * 1e9 < 18e18); /* it becomes 64 bits of nanoseconds */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule_flat_is_a_comb),
        cmocka_unit_test(schedule_1111_steps_up_at_midnight_and_falls_off),
        cmocka_unit_test(schedule_count_is_the_integral_of_the_rate),
        cmocka_unit_test(schedule_due_is_the_inverse_of_count_and_never_falls),
        cmocka_unit_test(schedule_stays_in_range_far_beyond_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
