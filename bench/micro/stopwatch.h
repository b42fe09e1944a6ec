/* stopwatch.h - CPU time of the calling thread: what other processes do meanwhile does not count.
 *
 * A reading is a system call of some hundred nanoseconds; what it costs is taken off. Plain enough
 * for C++. Threads: any. */
#ifndef MICRO_STOPWATCH_H
#define MICRO_STOPWATCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint64_t stopwatch_cpu_ns(void);

/* Nanoseconds from one reading to the next, without what a reading costs. */
uint64_t stopwatch_between(uint64_t begin_ns, uint64_t end_ns);

#ifdef __cplusplus
}
#endif

#endif
