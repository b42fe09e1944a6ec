/* patience.h - how long a test waits for what must come: so long that only what hangs takes it, on
 * a slow and busy machine, too.
 *
 * A mutated engine often hangs, and whoever plants mutations does not want to wait two minutes for
 * each: HOLDFAST_TEST_PATIENCE_MS in the environment takes its place.
 *
 * Threads: any. */
#ifndef TESTS_LIB_PATIENCE_H
#define TESTS_LIB_PATIENCE_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE_MS 120000u

static inline unsigned patience_ms(void)
{
    const char *text = getenv("HOLDFAST_TEST_PATIENCE_MS");
    unsigned ms = text ? (unsigned)strtoul(text, NULL, 10) : 0;
    return ms > 0 ? ms : PATIENCE_MS;
}

/* Until when, on CLOCK_MONOTONIC in milliseconds. */
static inline uint64_t patience_until(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u + patience_ms();
}

#endif
