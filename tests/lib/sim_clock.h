/* sim_clock.h - what simulated clocks have in common. Threads: any. */
#ifndef TESTS_LIB_SIM_CLOCK_H
#define TESTS_LIB_SIM_CLOCK_H

#include <stdint.h>

/* For clock.boot: always the same start of the same machine. */
static inline uint64_t sim_boot(void *context)
{
    (void)context;
    return 1;
}

#endif
