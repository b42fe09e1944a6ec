/* clock.h - the only place where time is read; simulations hand in their own.
 *
 * Threads: any, for clock_real(). A simulated clock belongs to its one thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    void *context;
    uint64_t (*unix_ms)(void *context);      /* wall clock, ms since 1970 UTC; may step */
    uint64_t (*monotonic_ns)(void *context); /* never goes back; for durations */
};

/* The machine's clocks. Static. */
const struct clock *clock_real(void);

static inline uint64_t clock_unix_ms(const struct clock *clock)
{
    return clock->unix_ms(clock->context);
}

static inline uint64_t clock_monotonic_ns(const struct clock *clock)
{
    return clock->monotonic_ns(clock->context);
}

#endif
