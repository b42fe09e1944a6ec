/* schedule.h - when each order of an open loop is due.
 *
 * flat   order n is due n / rate seconds after the start.
 * 1111   the shape of a sale that opens at midnight: quiet, a step up to the full rate at 00:00:00,
 *        then a tail that falls off as 1 / time.
 *
 *     rate |            ____
 *          |           |    \
 *          |           |     `-.__
 *          |___________|          `-----.______
 *          0       00:00:00                     duration
 *
 * Both are counted in closed form, so the n-th order's time needs no state and any thread may ask.
 * Threads: any once initialized; pure. */
#ifndef LOAD_SCHEDULE_H
#define LOAD_SCHEDULE_H

#include <stdint.h>

enum shape {
    SHAPE_FLAT,
    SHAPE_1111,
};

/* Of the duration, and of the rate. The peak of a sale lasts for seconds of an hour; the tail
 * halves within as long as the peak lasted, and again within twice that. */
#define SCHEDULE_QUIET_SHARE      0.20
#define SCHEDULE_PEAK_SHARE       0.10
#define SCHEDULE_QUIET_RATE_SHARE 0.05

struct schedule {
    enum shape shape;
    double rate;       /* orders per second, at the peak */
    double quiet_rate; /* 1111: before zero_s */
    double zero_s;     /* 1111: midnight, after the start */
    double peak_s;     /* 1111: how long it stays at the full rate */
    double zero_count; /* 1111: orders due before midnight */
    double peak_count; /* 1111: orders due before the tail */
};

/* rate > 0. lead_s: time before the duration begins (the warm-up), quiet too. */
void schedule_init(struct schedule *schedule, enum shape shape, double rate, double lead_s,
                   double duration_s);

/* When order n is due, in seconds after the start; n from 0. Never falls as n grows. */
double schedule_due_s(const struct schedule *schedule, uint64_t n);

/* Orders that are due before that time, as a real number; 0 for times before the start. */
double schedule_count(const struct schedule *schedule, double at_s);

/* Orders per second at that time. */
double schedule_rate(const struct schedule *schedule, double at_s);

#endif
