/* marks.h - which time belongs to which LSN: marks taken from blocks' engine times.
 *
 * Ended orders are forgotten by the LSN of their last change, when they ended so long ago; marks
 * turn one into the other. The times are engine times (base/timekeeper.h): all of it was lived
 * through, so nothing seems older than it is because a clock was wrong. At most WAL_MARKS_MAX marks
 * are kept: when they are full they are thinned out, the older the more, so that the time between
 * two marks is at most a small part of their age. A look back over a minute and one over a year are
 * then alike exact, however long the log has run.
 *
 * A pure function of what was added: a replay makes the same ones, and so does one that continues
 * from the marks of a checkpoint.
 *
 * Threads: one at a time. */
#ifndef WAL_MARKS_H
#define WAL_MARKS_H

#include <stdint.h>

#define WAL_MARKS_MAX     512u
#define WAL_MARKS_STEP_MS 100u /* between two marks at least */
/* Time between two marks, as a part of their age. From 100 ms to a century that takes some
 * 16 * ln(3e13) = 500 marks. */
#define WAL_MARKS_PART 16u

struct wal_mark {
    uint64_t lsn;       /* all before it was appended at or before engine_ms */
    uint64_t engine_ms; /* never less than the mark's before */
};

/* All zero is empty. */
struct wal_marks {
    uint32_t count;
    struct wal_mark marks[WAL_MARKS_MAX]; /* ascending, in LSN and in time */
};

static inline void wal_marks_init(struct wal_marks *marks)
{
    marks->count = 0;
}

/* Notes that the log ended at lsn at a time; 0: not known, which is no mark. Adds one when
 * WAL_MARKS_STEP_MS have gone by since the last. */
void wal_marks_add(struct wal_marks *marks, uint64_t lsn, uint64_t engine_ms);

/* The greatest LSN that is known to have been reached at or before a time; 0: none. */
uint64_t wal_marks_lsn(const struct wal_marks *marks, uint64_t engine_ms);

#endif
