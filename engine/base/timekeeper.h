/* timekeeper.h - the two times that the engine goes by, kept apart from a wall clock that may jump.
 *
 * Engine time is what has gone by: it goes on with the clock that counts from the machine's start,
 * sleep included (CLOCK_BOOTTIME), and with nothing else. Deadlines and how long ended orders are
 * remembered are in it, so no jump of the wall clock ends a hold, or forgets an order, too early or
 * too late. It is written like Unix time in ms, but is not: it is only compared with itself.
 *
 * Wall time is what people mean: when a sale opens, what a deadline is shown as. It is the
 * machine's wall clock as far as that is believed:
 *   - it goes on with CLOCK_BOOTTIME too;
 *   - a difference of at most CLOCK_SLEW_MS between the two is made good bit by bit, at most a
 *     CLOCK_SLEW_PART of the time that goes by; wall time never goes back meanwhile;
 *   - a greater one is a jump. It is believed when it has lasted, the same within CLOCK_SLEW_MS,
 * for CLOCK_CONFIRM_MS: then wall time steps there, forward or back. Until then it is not.
 *
 * After a restart (timekeeper_init) both go on from what the log's last block says. In the same
 * boot of the machine the time in between is known, and counts. In another one it is not: engine
 * time goes on where it stood, which makes holds last longer, and wall time is the wall clock's if
 * that is up to CLOCK_START_AHEAD_MS ahead of the log's last, else it has jumped, as above.
 *
 * Each jump, and what became of it, is a line for the operator and stands in timekeeper_status().
 *
 * Threads: timekeeper_read and timekeeper_status from any; the first waits for nobody.
 * timekeeper_tick from one at a time. Source: docs/decisions/0014-time.md. */
#ifndef BASE_TIMEKEEPER_H
#define BASE_TIMEKEEPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/spin.h"

/* Times of one moment. wall_ms is engine_ms + ahead_ms, but for a moment while wall time is slewed
 * back. */
struct time_reading {
    uint64_t engine_ms;
    uint64_t wall_ms; /* Unix ms */
    int64_t ahead_ms; /* what is added to an engine time to show it: the same for every reading
                         while wall time is steady */
    uint64_t boot_ms; /* CLOCK_BOOTTIME, of CLOCK_BOOT_BITS; 0 if `boot` is */
    uint64_t boot;    /* of which boot; 0: not known */
};

/* What a log's last block says. All zeros: there is none, the log is new. */
struct time_past {
    uint64_t engine_ms; /* 0: the block has none, its wall time is taken for it */
    uint64_t wall_ms;
    uint64_t boot_ms;
    uint64_t boot;
};

/* About the wall clock, for people. */
struct time_status {
    bool doubted;            /* it has jumped, and is not believed yet */
    int64_t difference_ms;   /* how far it is ahead of wall time; negative: behind */
    uint64_t doubted_ms;     /* for how long so far */
    uint64_t confirms_ms;    /* in how long it will be believed, if it stays so */
    uint64_t steps_seen;     /* jumps, since the start */
    uint64_t steps_believed; /* of these */
    int64_t step_ms;         /* the last one; 0: none */
    uint64_t step_at_ms;     /* wall time when it was seen */
};

struct timekeeper {
    const struct clock *clock;
    uint64_t boot;
    /* Fixed by timekeeper_init. Milliseconds are counted so that they begin when the wall clock's
     * do: CLOCK_BOOTTIME is taken for so much later, less than a millisecond. */
    int64_t phase_ns;
    int64_t engine_ahead_ms; /* engine time less CLOCK_BOOTTIME */
    /* Wall time less engine time, in the lower TIME_BITS; above, how often wall time has stepped.
     */
    _Atomic uint64_t wall_ahead;
    /* The greatest wall time that was read since the last step, likewise. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t guard;
    /* timekeeper_tick's own. */
    _Alignas(CACHE_LINE_BYTES) int64_t ticked_ns;
    int64_t slewed_ns;   /* up to when the time that goes by has been used for slewing */
    int64_t doubted_ms;  /* the difference that is doubted; 0: none is */
    int64_t agreed_ns;   /* for how long it has been the same */
    uint32_t lines_left; /* for the operator, before some are left out */
    uint32_t lines_unsaid;
    int64_t lines_ns; /* when lines_left last grew */
    struct time_status status;
    /* A copy for others. */
    struct spin shown_lock;
    struct time_status shown;
};

/* Starts from a log's end. trust: the operator says that the wall clock is right now. Before any
 * other thread uses it. */
void timekeeper_init(struct timekeeper *time, const struct clock *clock,
                     const struct time_past *past, bool trust);

/* Looks at the wall clock: to be called every few milliseconds. */
void timekeeper_tick(struct timekeeper *time);

void timekeeper_read(struct timekeeper *time, struct time_reading *now);

/* Engine time alone. */
uint64_t timekeeper_engine_ms(struct timekeeper *time);

void timekeeper_status(struct timekeeper *time, struct time_status *status);

/* An engine time (0: none) as people are shown it. ahead_ms: a reading's. */
static inline uint64_t time_shown_ms(uint64_t engine_ms, int64_t ahead_ms)
{
    return engine_ms ? (uint64_t)((int64_t)engine_ms + ahead_ms) : 0;
}

#endif
