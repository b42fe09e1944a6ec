/* timing.h - the transport's clock: milliseconds that only go forward; pauses and waits.
 *
 * Threads: any. */
#ifndef RPC_TIMING_H
#define RPC_TIMING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

/* Nanoseconds of the monotonic clock, and timing_shift_ms more. */
uint64_t timing_now_ns(void);

/* Milliseconds of the monotonic clock, and timing_shift_ms more. */
uint64_t timing_now_ms(void);

/* Added to the clock: a test sets it to let time pass. It only grows. 0 outside of tests. */
extern atomic_uint_fast64_t timing_shift_ms;

/* Sleeps for `ms`, through signals. */
void timing_pause_ms(unsigned ms);

/* Makes a condition whose timed waits end at a moment of the monotonic clock. */
void timing_cond_init(pthread_cond_t *cond);

/* The moment `ms` from now, for such a wait. */
struct timespec timing_in_ms(uint64_t ms);

#endif
