/* shared_storage.h - a simulated disk (sim_storage.h) for an engine with threads: one operation at
 * a time, and writes that take a while.
 *
 * Threads: see storage.h; shared_storage_stop from any. */
#ifndef LIB_SHARED_STORAGE_H
#define LIB_SHARED_STORAGE_H

#include "io/storage.h"

/* Over `under`, which goes with it. */
struct storage *shared_storage_make(struct storage *under, uint64_t seed);

/* The power fails now: nothing that is not durable yet will be, and each operation fails from now
 * on. Stop and close the engine, then sim_storage_crash() what is below. */
void shared_storage_stop(struct storage *storage);

struct storage *shared_storage_under(const struct storage *storage);

#endif
