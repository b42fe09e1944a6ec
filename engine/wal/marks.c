/* marks.c - marks of time along the log, thinned out as they grow old.
 *
 * Threads: one at a time. Invariant: marks ascend, in LSN and in time. */
#include "wal/marks.h"

#include "base/check.h"

#define KEEP_MAX (WAL_MARKS_MAX / 4 * 3) /* left after thinning out, so that it is seldom done */

/* Drops each mark whose neighbours are no further apart than `part` of their age; what is dropped
 * is measured from the last one kept, so that gaps never add up. The oldest and the newest stay. */
static void thin_out(struct wal_marks *marks, uint64_t part)
{
    uint64_t now_ms = marks->marks[marks->count - 1].engine_ms;
    uint32_t kept = 1;
    for (uint32_t i = 1; i + 1 < marks->count; i++) {
        const struct wal_mark *next = &marks->marks[i + 1];
        if ((next->engine_ms - marks->marks[kept - 1].engine_ms) >
            (now_ms - next->engine_ms) / part) {
            marks->marks[kept++] = marks->marks[i];
        }
    }
    CHECK(kept < marks->count);
    marks->marks[kept++] = marks->marks[marks->count - 1];
    marks->count = kept;
}

void wal_marks_add(struct wal_marks *marks, uint64_t lsn, uint64_t engine_ms)
{
    if (engine_ms == 0) {
        return;
    }
    if (marks->count > 0) {
        const struct wal_mark *last = &marks->marks[marks->count - 1];
        if (engine_ms < last->engine_ms || engine_ms - last->engine_ms < WAL_MARKS_STEP_MS ||
            lsn <= last->lsn) {
            return;
        }
    }
    /* Marks that lie in odd places may need more than one thinning out: each halves the parts. */
    uint64_t part = WAL_MARKS_PART;
    for (; marks->count == WAL_MARKS_MAX || (part < WAL_MARKS_PART && marks->count > KEEP_MAX);
         part = part > 1 ? part / 2 : 1) {
        thin_out(marks, part);
    }
    CHECK(marks->count < WAL_MARKS_MAX);
    marks->marks[marks->count++] = (struct wal_mark){lsn, engine_ms};
}

uint64_t wal_marks_lsn(const struct wal_marks *marks, uint64_t engine_ms)
{
    uint32_t low = 0;
    uint32_t high = marks->count;
    CHECK(high <= WAL_MARKS_MAX);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (marks->marks[middle].engine_ms <= engine_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? 0 : marks->marks[low - 1].lsn;
}
