/* position.h - positions in the log as an operator names them: an LSN or a time.
 *
 * Threads: those that read times need the main thread (base/times.h); the others any. Pure
 * functions. */
#ifndef HISTORY_POSITION_H
#define HISTORY_POSITION_H

#include <stdbool.h>
#include <stdint.h>

/* Digits are an LSN; a date and time as parse_time() takes it, or @ and Unix milliseconds, are a
 * time. */
struct history_position {
    bool is_time;
    uint64_t value; /* LSN, or Unix ms */
};

/* False, with a reason (REASON_BYTES of base/parse.h) that completes "'12x' ...". */
bool parse_position(const char *text, struct history_position *position, char *reason);

/* Where a record is: below 0: before the position; 0: at it; above 0: after it. lsn: of the
 * record's end; wall_ms: of its block, which is the time of all its records. */
int position_compare(const struct history_position *position, uint64_t lsn, uint64_t wall_ms);

/* Records between two LSNs, or of blocks whose time is between two times, both included. Times in a
 * log may go back, where a clock was set back or had jumped forward: each record counts by its own.
 */
struct history_range {
    struct history_position from;
    struct history_position to;
};

/* All of the log. */
#define HISTORY_RANGE_ALL ((struct history_range){.to = {.value = UINT64_MAX}})

/* Whether the two ends are of the same kind, and the wrong way round. */
bool range_is_backwards(const struct history_range *range);

/* Where a record is: below 0: before the range; 0: in it; above 0: after it. */
int range_compare(const struct history_range *range, uint64_t lsn, uint64_t wall_ms);

/* Whether all records from one that begins at an LSN on are after the range. */
bool range_is_over(const struct history_range *range, uint64_t lsn);

#endif
