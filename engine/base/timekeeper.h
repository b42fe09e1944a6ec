/* timekeeper.h - the two times that the engine uses, protected from a wall clock that may jump.
 *
 * Engine time is elapsed time: it advances with the clock that counts from the machine's start,
 * sleep included (CLOCK_BOOTTIME), and with nothing else. Deadlines, and how long ended orders are
 * remembered, are in engine time: so no jump of the wall clock ends a hold or forgets an order too
 * early or too late. It looks like Unix time in ms, but it is compared only with itself.
 *
 * Wall time is what people mean: when a sale opens, how a deadline is shown. It follows the
 * machine's wall clock as far as the engine believes that clock:
 *   - it advances with CLOCK_BOOTTIME too;
 *   - a difference of at most CLOCK_SLEW_MS to the wall clock is corrected little by little, by at
 *     most a CLOCK_SLEW_PART-th of the elapsed time, and wall time never goes back while it is;
 *   - a greater difference is a jump. It is believed when it has stayed the same, within
 *     CLOCK_SLEW_MS, for CLOCK_CONFIRM_MS: then wall time steps to the wall clock, forward or back.
 *
 * After a restart (timekeeper_init) both continue from the times in the log's last block. In the
 * same boot of the machine the time between is known, and counts. In another boot it is not known:
 * engine time continues where it stopped, so holds last longer; wall time is the wall clock's if
 * that is up to CLOCK_START_AHEAD_MS later than the log's last, otherwise the clock has jumped, as
 * above.
 *
 * Each jump, and what became of it, is a diagnostic line and is in timekeeper_status().
 *
 * Threads: any for timekeeper_read, which waits for nobody, and timekeeper_status. One at a time
 * for timekeeper_tick. Source: docs/decisions/0014-time.md. */
#ifndef BASE_TIMEKEEPER_H
#define BASE_TIMEKEEPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/spin.h"

/* Times of one moment. wall_ms is engine_ms + ahead_ms, except while wall time is slewed back. */
struct time_reading {
    uint64_t engine_ms;
    uint64_t wall_ms; /* Unix ms */
    int64_t ahead_ms; /* what is added to an engine time to show it: the same for every reading
                         while wall time is steady */
    uint64_t boot_ms; /* CLOCK_BOOTTIME, of CLOCK_BOOT_BITS; 0 if `boot` is */
    uint64_t boot;    /* the number of the boot; 0: not known */
};

/* The times in a log's last block. All zeros: no block, the log is new. */
struct time_past {
    uint64_t engine_ms; /* 0: the block has none; its wall time is used instead */
    uint64_t wall_ms;
    uint64_t boot_ms;
    uint64_t boot;
};

/* About the wall clock, for people. */
struct time_status {
    bool doubted;            /* it has jumped, and is not believed yet */
    int64_t difference_ms;   /* wall clock minus wall time */
    uint64_t doubted_ms;     /* how long it has been doubted */
    uint64_t confirms_ms;    /* until it is believed, if it stays as it is */
    uint64_t steps_seen;     /* jumps since the engine started */
    uint64_t steps_believed; /* how many of them were believed */
    int64_t step_ms;         /* size of the last jump; 0: none */
    uint64_t step_at_ms;     /* wall time when it was seen */
};

struct timekeeper {
    const struct clock *clock;
    uint64_t boot;
    /* Fixed by timekeeper_init. phase_ns, less than a millisecond, is added to CLOCK_BOOTTIME: so
     * its milliseconds begin when the wall clock's do. */
    int64_t phase_ns;
    int64_t engine_ahead_ms; /* engine time minus CLOCK_BOOTTIME */
    /* Lower TIME_BITS: wall time minus engine time. Above: how often wall time has stepped. */
    _Atomic uint64_t wall_ahead;
    /* The same for the greatest wall time that was read since the last step. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t guard;
    /* timekeeper_tick's own. */
    _Alignas(CACHE_LINE_BYTES) int64_t ticked_ns;
    int64_t slewed_ns;   /* the elapsed time up to here has been used for slewing */
    int64_t doubted_ms;  /* the difference that is doubted; 0: none */
    int64_t agreed_ns;   /* how long that has been the same */
    uint32_t lines_left; /* diagnostic lines that may still be written */
    uint32_t lines_unsaid;
    int64_t lines_ns; /* when lines_left last grew */
    struct time_status status;
    /* A copy for others. */
    struct spin shown_lock;
    struct time_status shown;
};

/* Starts from a log's end. trust: the operator has said that the wall clock is right. Called before
 * any other thread uses it. */
void timekeeper_init(struct timekeeper *time, const struct clock *clock,
                     const struct time_past *past, bool trust);

/* Reads the wall clock. Called every few milliseconds. */
void timekeeper_tick(struct timekeeper *time);

void timekeeper_read(struct timekeeper *time, struct time_reading *now);

/* Engine time alone. */
uint64_t timekeeper_engine_ms(struct timekeeper *time);

void timekeeper_status(struct timekeeper *time, struct time_status *status);

/* An engine time (0: none) as the wall time to show. ahead_ms: a reading's. */
static inline uint64_t time_shown_ms(uint64_t engine_ms, int64_t ahead_ms)
{
    return engine_ms ? (uint64_t)((int64_t)engine_ms + ahead_ms) : 0;
}

#endif
