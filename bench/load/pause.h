/* pause.h - the load generator's clock and its naps.
 *
 * Threads: any. */
#ifndef LOAD_PAUSE_H
#define LOAD_PAUSE_H

#include <stdint.h>

/* Monotonic nanoseconds. */
uint64_t pause_now_ns(void);

/* Sleeps for about so long; a signal may end it earlier. */
void pause_ns(uint64_t ns);

#endif
