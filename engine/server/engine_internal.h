/* engine_internal.h - the engine's struct, for engine.c and the files of requests alone. */
#ifndef SERVER_ENGINE_INTERNAL_H
#define SERVER_ENGINE_INTERNAL_H

#include "base/timekeeper.h"
#include "server/checkpointer.h"
#include "server/engine.h"
#include "server/housekeeper.h"
#include "server/slowest.h"
#include "server/worker.h"

struct engine {
    struct engine_options options;
    struct storage *storage;
    const struct clock *clock;
    struct inventory *inventory;
    struct wal *wal;
    uint64_t started_ns;
    struct timekeeper time; /* ticked by the housekeeper, or by the caller of engine_tick() */
    struct workers workers;
    struct housekeeper housekeeper;
    struct checkpointer checkpointer;
    struct slowest slowest;
};

#endif
