/* pace.c - the checkpointer's pauses: how hard it presses while the engine has work.
 *
 * Threads: the checkpointer's. */
#include "server/pace.h"

#include <time.h>

#include "server/engine_internal.h"

#define LOAD_EVERY_NS 20000000u
#define REST_NS_MAX   200000000u

/* From half of wal_bytes_max on the rests become shorter, down to none at all of it: so the log
 * comes to stand where as much is given back as is written. */
uint32_t rests_now(const struct engine *engine, bool busy)
{
    uint64_t most = engine->options.wal_bytes_max;
    uint64_t bytes = wal_log_bytes(engine->wal);
    if (!busy || bytes >= most) {
        return 0;
    }
    uint64_t half = most / 2;
    return bytes <= half ? RESTS_BUSY : (uint32_t)(RESTS_BUSY * (most - bytes) / (most - half));
}

void pace_begin(struct checkpointer *checkpointer)
{
    const struct engine *engine = checkpointer->engine;
    uint64_t now_ns = clock_monotonic_ns(engine->clock);
    checkpointer->pace = (struct checkpointer_pace){.step_ns = now_ns,
                                                    .look_ns = now_ns,
                                                    .look_lsn = wal_tail_lsn(engine->wal),
                                                    .rests = RESTS_BUSY};
}

static void look_at_load(struct checkpointer *checkpointer, uint64_t now_ns)
{
    const struct engine *engine = checkpointer->engine;
    struct checkpointer_pace *pace = &checkpointer->pace;
    if (now_ns - pace->look_ns < LOAD_EVERY_NS) {
        return;
    }
    uint64_t lsn = wal_tail_lsn(engine->wal);
    uint64_t grown = lsn - pace->look_lsn;
    /* Bytes a second against what counts as little to do. */
    bool busy = grown > IDLE_BYTES_A_SECOND * (now_ns - pace->look_ns) / 1000000000u;
    pace->rests = rests_now(engine, busy);
    pace->look_lsn = lsn;
    pace->look_ns = now_ns;
}

/* Rests after a step. False: give up, the engine stops. */
bool pace(struct checkpointer *checkpointer)
{
    if (checkpointer->running) {
        const struct clock *clock = checkpointer->engine->clock;
        uint64_t now_ns = clock_monotonic_ns(clock);
        look_at_load(checkpointer, now_ns);
        uint64_t rest_ns = (now_ns - checkpointer->pace.step_ns) * checkpointer->pace.rests / 100;
        if (rest_ns > 0) {
            rest_ns = rest_ns < REST_NS_MAX ? rest_ns : REST_NS_MAX;
            nanosleep(&(struct timespec){.tv_nsec = (long)rest_ns}, NULL);
            now_ns = clock_monotonic_ns(clock);
        }
        checkpointer->pace.step_ns = now_ns;
    }
    /* acquire: pairs with the release in checkpointer_stop. */
    return !atomic_load_explicit(&checkpointer->stop, memory_order_acquire);
}

bool pace_build(void *context, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    return pace(context);
}
