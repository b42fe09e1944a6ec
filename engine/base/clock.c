/* clock.c - the machine's clocks. Threads: any. */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

#include "base/check.h"

static uint64_t real_unix_ms(void *context)
{
    (void)context;
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t real_monotonic_ns(void *context)
{
    (void)context;
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

const struct clock *clock_real(void)
{
    static const struct clock real = {
        .context = NULL,
        .unix_ms = real_unix_ms,
        .monotonic_ns = real_monotonic_ns,
    };
    return &real;
}
