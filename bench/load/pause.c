/* pause.c - the load generator's clock and its naps. Threads: any. */
#include "load/pause.h"

#include <time.h>

#include "base/clock.h"

uint64_t pause_now_ns(void)
{
    return clock_monotonic_ns(clock_real());
}

void pause_ns(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    (void)nanosleep(&time, NULL);
}
