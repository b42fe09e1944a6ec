/* check.h - checks all of a log and its checkpoints, and reports what is wrong with them.
 *
 * What an engine starts from comes first: the newest whole checkpoint (the base) and the segments
 * after it. What the base covers, segments and older checkpoints, is checked as well: damage
 * there loses no state, but an older checkpoint could not replace the base any more.
 *
 * Threads: one. Reads only; works beside a running engine, but for BUSY. */
#ifndef HISTORY_CHECK_H
#define HISTORY_CHECK_H

#include "checkpoint/checkpoint.h"
#include "history/replay.h"
#include "wal/reader.h"

struct history_check_options {
    struct storage *storage;
    const struct id128
        *cluster; /* the data directory says that its log is this one; NULL: nothing */
    bool state;   /* build the state and compare it with DIGEST blocks and checkpoints */
    bool patient; /* an engine may be writing: look again before a torn tail is reported */
    /* Now and then; NULL: none. */
    void (*progress)(void *context, const char *what, uint64_t done, uint64_t total);
    void *context;
};

/* Something that is wrong. */
struct history_fault {
    bool any;
    char file[STORAGE_NAME_BYTES_MAX];
    uint64_t file_offset;
    uint64_t lsn;       /* where in the log; 0 in a checkpoint */
    struct wal_end cut; /* the log's end if it ended before the bad block */
    char reason[256];
};

enum checkpoint_condition {
    CHECKPOINT_WHOLE,
    CHECKPOINT_DAMAGED, /* or can't be read: see message */
    CHECKPOINT_APART,   /* whole, but not of this log */
    CHECKPOINT_OUTDATED /* whole; the segments after it are gone, a newer one covers them */
};

struct checkpoint_finding {
    uint64_t number;
    enum checkpoint_condition condition;
    struct checkpoint_info info; /* message: why it is damaged or apart */
};

struct history_findings {
    struct checkpoint_finding *checkpoints; /* by number */
    size_t checkpoint_count;
    uint64_t base; /* number of the checkpoint that an engine can start from; 0: none */
    const struct checkpoint_info *base_info; /* NULL: none */
    uint64_t first_segment;                  /* 0: there is none */
    bool beginning_missing; /* no base, and the log does not begin with segment 1 */
    bool covered_gap; /* a segment that the base covers is missing between others: see covered */

    /* Over all blocks that are whole. */
    uint64_t segments;
    uint64_t blocks;
    uint64_t records;
    uint64_t digests;
    uint64_t payload_bytes;

    const char *elsewhere; /* why this is not the data directory's log; NULL: it is, or may be */
    char trouble[160];     /* IO_ERROR: which file of the log can't be read, and why; or "" */

    struct wal_end end;           /* how the log after the base ends */
    struct history_fault covered; /* the first fault in segments that the base covers */
    struct history_fault
        unreadable; /* a block after the base whose checksums fit, but not its records */

    bool state_checked;
    uint64_t digests_compared;
    struct history_fault state; /* a record that does not fit, or a digest that differs */
    bool state_digest;          /* it is a digest: what is wrong lies somewhere before */
};

/* OK: the result is in *findings; free it with history_findings_free. BUSY: the engine recycled
 * what was being read: do it again. FULL, IO_ERROR, NO_MEMORY. */
enum hf_status history_check(const struct history_check_options *options,
                             struct history_findings *findings);
void history_findings_free(struct history_findings *findings);

/* Nothing is wrong; a torn tail is no fault. */
bool history_findings_whole(const struct history_findings *findings);

/* An engine starts from this: from the base, or from the beginning. Exactly when this is so,
 * recovery (server/recovery.c) continues; it calls the same functions. */
bool history_findings_starts(const struct history_findings *findings);

/* The first fault after the base, which an engine's start would meet. False: no fault. */
bool history_findings_fault(const struct history_findings *findings, struct history_fault *fault);

#endif
