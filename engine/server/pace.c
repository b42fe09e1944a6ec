/* pace.c - the checkpointer's pauses: how hard it presses while the engine has work.
 *
 * Threads: the checkpointer's. */
#include "server/pace.h"

#include <time.h>

#define LOAD_EVERY_NS      20000000u
#define PAUSE_PERCENT_BUSY 900u /* of a step: a tenth of a processor */
#define PAUSE_NS_MAX       200000000u
#define PAUSE_UNLINK_NS    10000000L /* 200 MB/s of files that go */

static_assert(PAUSE_NS_MAX < 1000000000u, "tv_nsec");
static_assert(PAUSE_UNLINK_NS < 1000000000L, "tv_nsec");
static_assert(LOAD_EVERY_NS > 0, "the load is measured over some time");

void pacer_init(struct pacer *pacer, const struct clock *clock, struct wal *wal,
                uint64_t wal_bytes_max)
{
    CHECK(clock != NULL);
    CHECK(wal != NULL);
    *pacer = (struct pacer){.clock = clock, .wal = wal, .wal_bytes_max = wal_bytes_max};
}

void pacer_stop(struct pacer *pacer)
{
    /* release: pairs with the acquire in pacer_stopped. */
    atomic_store_explicit(&pacer->stop, true, memory_order_release);
}

bool pacer_stopped(const struct pacer *pacer)
{
    /* acquire: pairs with the release in pacer_stop. */
    return atomic_load_explicit(&pacer->stop, memory_order_acquire);
}

/* From half of wal_bytes_max on the pauses become shorter, down to none at all of it: so the log
 * settles at the size where as much is recycled as is written. */
static uint32_t pause_percent_now(const struct pacer *pacer, bool busy)
{
    uint64_t most = pacer->wal_bytes_max;
    uint64_t bytes = wal_log_bytes(pacer->wal);
    if (!busy || bytes >= most) {
        return 0;
    }
    uint64_t half = most / 2;
    CHECK(bytes < most);
    CHECK(half < most);
    return bytes <= half ? PAUSE_PERCENT_BUSY
                         : (uint32_t)(PAUSE_PERCENT_BUSY * (most - bytes) / (most - half));
}

void pace_begin(struct pacer *pacer)
{
    uint64_t now_ns = clock_monotonic_ns(pacer->clock);
    pacer->step_ns = now_ns;
    pacer->look_ns = now_ns;
    pacer->look_lsn = wal_tail_lsn(pacer->wal);
    pacer->pause_percent = PAUSE_PERCENT_BUSY;
}

static void look_at_load(struct pacer *pacer, uint64_t now_ns)
{
    if (now_ns - pacer->look_ns < LOAD_EVERY_NS) {
        return;
    }
    uint64_t lsn = wal_tail_lsn(pacer->wal);
    CHECK(lsn >= pacer->look_lsn);
    uint64_t grown = lsn - pacer->look_lsn;
    /* Bytes a second against what counts as little to do. */
    bool busy = grown > IDLE_BYTES_A_SECOND * (now_ns - pacer->look_ns) / 1000000000u;
    pacer->pause_percent = pause_percent_now(pacer, busy);
    CHECK(pacer->pause_percent <= PAUSE_PERCENT_BUSY);
    pacer->look_lsn = lsn;
    pacer->look_ns = now_ns;
}

bool pace(struct pacer *pacer)
{
    if (pacer->pauses) {
        const struct clock *clock = pacer->clock;
        uint64_t now_ns = clock_monotonic_ns(clock);
        look_at_load(pacer, now_ns);
        uint64_t pause_ns = (now_ns - pacer->step_ns) * pacer->pause_percent / 100;
        if (pause_ns > 0) {
            pause_ns = pause_ns < PAUSE_NS_MAX ? pause_ns : PAUSE_NS_MAX;
            nanosleep(&(struct timespec){.tv_nsec = (long)pause_ns}, NULL);
            now_ns = clock_monotonic_ns(clock);
        }
        pacer->step_ns = now_ns;
    }
    return !pacer_stopped(pacer);
}

bool pace_build(void *context, uint64_t done, uint64_t total)
{
    CHECK(context != NULL);
    (void)done;
    (void)total;
    return pace(context);
}

bool pace_unlink(void *context)
{
    struct pacer *pacer = context;
    if (pacer->pauses) {
        long pause_ns = PAUSE_UNLINK_NS * pause_percent_now(pacer, true) / PAUSE_PERCENT_BUSY;
        CHECK(pause_ns <= PAUSE_UNLINK_NS);
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
    }
    return !pacer_stopped(pacer);
}
