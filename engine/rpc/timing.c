/* timing.c - the transport's clock: milliseconds that only go forward.
 *
 * Threads: any. */
#include "rpc/timing.h"

#include <errno.h>

#include "base/clock.h"

atomic_uint_fast64_t timing_shift_ms;

uint64_t timing_now_ns(void)
{
    /* relaxed: only a test sets it, and nothing else depends on it. */
    return clock_monotonic_ns(clock_real()) +
           atomic_load_explicit(&timing_shift_ms, memory_order_relaxed) * 1000000u;
}

uint64_t timing_now_ms(void)
{
    return timing_now_ns() / 1000000u;
}

void timing_pause_ms(unsigned ms)
{
    struct timespec wait = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&wait, &wait) != 0 && errno == EINTR) {
    }
}

void timing_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct timespec timing_in_ms(uint64_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}
