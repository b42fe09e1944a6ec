/* schedule.c - the shapes of load, counted in closed form. Threads: any.
 *
 * The tail of 1111 runs at rate / (1 + x / peak) with x seconds since the peak's end, so
 * rate * peak * ln(1 + x / peak) orders are due in it. */
#include "load/schedule.h"

#include <math.h>

#include "base/check.h"

#define IN_PEAKS_MAX 14.0

void schedule_init(struct schedule *schedule, enum shape shape, double rate, double lead_s,
                   double duration_s)
{
    CHECK(rate > 0);
    CHECK(shape == SHAPE_FLAT || duration_s > 0);
    *schedule = (struct schedule){.shape = shape, .rate = rate};
    if (shape == SHAPE_1111) {
        schedule->quiet_rate = rate * SCHEDULE_QUIET_RATE_SHARE;
        schedule->zero_s = lead_s + duration_s * SCHEDULE_QUIET_SHARE;
        schedule->peak_s = duration_s * SCHEDULE_PEAK_SHARE;
        schedule->zero_count = schedule->zero_s * schedule->quiet_rate;
        schedule->peak_count = schedule->zero_count + schedule->peak_s * rate;
    }
}

double schedule_due_s(const struct schedule *schedule, uint64_t n)
{
    double number = (double)n;
    if (schedule->shape == SHAPE_FLAT) {
        return number / schedule->rate;
    }
    if (number < schedule->zero_count) {
        return number / schedule->quiet_rate;
    }
    if (number < schedule->peak_count) {
        return schedule->zero_s + (number - schedule->zero_count) / schedule->rate;
    }
    double in_peaks = (number - schedule->peak_count) / (schedule->rate * schedule->peak_s);
    /* A run ends after seven peaks of tail, at ln 8. The bound keeps all else within 64 bits of
     * nanoseconds. */
    return schedule->zero_s + schedule->peak_s +
           schedule->peak_s * expm1(in_peaks < IN_PEAKS_MAX ? in_peaks : IN_PEAKS_MAX);
}

double schedule_count(const struct schedule *schedule, double at_s)
{
    if (at_s <= 0) {
        return 0;
    }
    if (schedule->shape == SHAPE_FLAT) {
        return at_s * schedule->rate;
    }
    if (at_s < schedule->zero_s) {
        return at_s * schedule->quiet_rate;
    }
    double since_zero_s = at_s - schedule->zero_s;
    if (since_zero_s < schedule->peak_s) {
        return schedule->zero_count + since_zero_s * schedule->rate;
    }
    double since_peak_s = since_zero_s - schedule->peak_s;
    return schedule->peak_count +
           schedule->rate * schedule->peak_s * log1p(since_peak_s / schedule->peak_s);
}

double schedule_rate(const struct schedule *schedule, double at_s)
{
    if (schedule->shape == SHAPE_FLAT) {
        return schedule->rate;
    }
    if (at_s < schedule->zero_s) {
        return schedule->quiet_rate;
    }
    double since_peak_s = at_s - schedule->zero_s - schedule->peak_s;
    return since_peak_s <= 0 ? schedule->rate
                             : schedule->rate / (1 + since_peak_s / schedule->peak_s);
}
