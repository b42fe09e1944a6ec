/* crew.h - some threads that share out numbered work and wait for answers at once.
 *
 * The calls of the client library that read an order, or return units, wait for their answer; with
 * many threads waiting, many are under way. */
#ifndef LOAD_CREW_H
#define LOAD_CREW_H

#include <stdbool.h>
#include <stdint.h>

#define CREW_THREADS 24u

/* Does the work with that number; thread: 0..CREW_THREADS-1. False: stop all threads. */
typedef bool (*crew_work)(void *context, uint32_t thread, uint64_t number);

/* Does first..first+count-1, each once, begun in that order; waits for all. False when a thread
 * said stop, or no thread could be started. `each_second` (may be NULL) runs on the caller's thread
 * while they work, with how many were begun. */
bool crew_run(crew_work work, void *context, uint64_t first, uint64_t count,
              void (*each_second)(void *context, uint64_t begun));

#endif
