/* write_time.h - how long the log's writes take, and so how long an answer will wait for one.
 * Private to engine/wal.
 *
 * The typical time follows the measured ones: half of the way up when a write took longer, an
 * eighth of the way down when it was faster. So a disk that becomes slow is noticed after a few
 * writes, and one slow write is forgotten after some dozens of fast ones. While nothing is written,
 * the typical time fades to 0 within WRITE_TIME_FADE_NS: a caller that starts no work because of
 * one slow write starts some again, and that is measured. A write that has taken longer than the
 * typical time already, and is not done, counts as it is.
 *
 * Threads: write_time_begin and write_time_end from the writer's; write_time_expected from any. All
 * atomics are relaxed: values that do not belong together give a poor estimate for a moment. */
#ifndef WAL_WRITE_TIME_H
#define WAL_WRITE_TIME_H

#include <stdatomic.h>
#include <stdint.h>

#define WRITE_TIME_FADE_NS 1000000000u

/* All zero: nothing has been measured. Times are of the monotonic clock. */
struct write_time {
    _Atomic uint64_t typical_ns;
    _Atomic uint64_t begun_ns; /* when the oldest write under way began; 0: none is under way */
    _Atomic uint64_t ended_ns; /* when the last write ended */
};

/* A write begins. */
void write_time_begin(struct write_time *time, uint64_t now_ns);

/* A write that began at begun_ns has ended. oldest_ns: when the oldest write that is still under
 * way began; 0: none is. */
void write_time_end(struct write_time *time, uint64_t begun_ns, uint64_t now_ns,
                    uint64_t oldest_ns);

/* How long it will take, in ns, until a write is done that is the next after `ahead` others, which
 * are under way or wait, when at most `at_once` are under way together. 0: nothing is known. */
uint64_t write_time_expected(const struct write_time *time, uint64_t now_ns, uint64_t ahead,
                             uint64_t at_once);

#endif
