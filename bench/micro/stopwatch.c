/* stopwatch.c - CPU time of the calling thread. Threads: any. */
#include "micro/stopwatch.h"

#include <pthread.h>
#include <time.h>

#include "base/check.h"

#define TRIES 1000u

static pthread_once_t measured = PTHREAD_ONCE_INIT;
static uint64_t reading_ns;

uint64_t stopwatch_cpu_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The least of many: an interrupt makes one longer, nothing makes one shorter. */
static void measure_reading(void)
{
    reading_ns = UINT64_MAX;
    uint64_t before = stopwatch_cpu_ns();
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t now = stopwatch_cpu_ns();
        reading_ns = now - before < reading_ns ? now - before : reading_ns;
        before = now;
    }
}

uint64_t stopwatch_between(uint64_t begin_ns, uint64_t end_ns)
{
    pthread_once(&measured, measure_reading);
    uint64_t ns = end_ns - begin_ns;
    return ns > reading_ns ? ns - reading_ns : 0;
}
