/* miss.h - what one access to memory costs that no cache has: alone, and with eight in flight.
 *
 * An order's place in a large table is in no cache, so an order costs at least its misses. Alone:
 * the address of each access depends on what the one before read. Eight in flight: eight such
 * chains in turn, which the processor follows at once. On all cores: the same on several threads,
 * which share the way to memory. The memory is taken as the engine takes that of its tables
 * (base/pages.h): in huge pages where the system has them. Only reads. Times are the threads' CPU
 * time: what other programs take of the cores is not memory's. */
#ifndef MACHINE_MISS_H
#define MACHINE_MISS_H

#include <stdint.h>

#define MISS_IN_FLIGHT   8u
#define MISS_BYTES_MIN   ((uint64_t)1 << 20)
#define MISS_BYTES_MAX   ((uint64_t)1 << 36)
#define MISS_SECONDS_MAX 60.0
#define MISS_THREADS_MAX 1024u

struct miss_plan {
    uint64_t bytes;   /* a power of two, MISS_BYTES_MIN..MISS_BYTES_MAX; far more than the caches */
    double seconds;   /* for each of the three figures; more than 0 */
    uint32_t threads; /* for the last of them, 1..MISS_THREADS_MAX */
};

struct miss {
    double alone_ns;         /* an access, on one thread */
    double in_flight_ns;     /* the same with MISS_IN_FLIGHT under way */
    double all_in_flight_ns; /* the same, while every thread does it: of each thread's accesses */
    double huge_share;       /* 0..1: of the memory that is in huge pages; 0 if not known */
};

/* Measures, on threads of its own, and gives the memory back. Returns 0, or an errno value when
 * there is no memory or no thread. */
int miss_measure(const struct miss_plan *plan, struct miss *miss);

#endif
