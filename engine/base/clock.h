/* clock.h - the only place where time is read. Simulations hand in clocks of their own.
 *
 * Threads: any, for clock_real(). A simulated clock belongs to its one thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_BOOT_BITS 40u

struct clock {
    void *context;
    uint64_t (*unix_ns)(void *context);      /* wall clock, since 1970 UTC; may step */
    uint64_t (*monotonic_ns)(void *context); /* never goes back; for durations of work */
    /* Never goes back, and counts the time that the machine slept. Since the machine's start. */
    uint64_t (*boottime_ns)(void *context);
    /* A number of CLOCK_BOOT_BITS for this start of this machine; 0: not known. */
    uint64_t (*boot)(void *context);
};

/* The machine's clocks. Static. */
const struct clock *clock_real(void);

static inline uint64_t clock_unix_ns(const struct clock *clock)
{
    return clock->unix_ns(clock->context);
}

static inline uint64_t clock_unix_ms(const struct clock *clock)
{
    return clock->unix_ns(clock->context) / 1000000u;
}

static inline uint64_t clock_monotonic_ns(const struct clock *clock)
{
    return clock->monotonic_ns(clock->context);
}

static inline uint64_t clock_boottime_ns(const struct clock *clock)
{
    return clock->boottime_ns(clock->context);
}

static inline uint64_t clock_boot(const struct clock *clock)
{
    return clock->boot(clock->context);
}

#endif
