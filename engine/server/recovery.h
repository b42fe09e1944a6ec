/* recovery.h - rebuilds the core from the newest whole checkpoint and the log after it.
 *
 * Threads: the caller's, and those that it starts; before anything else runs. */
#ifndef SERVER_RECOVERY_H
#define SERVER_RECOVERY_H

#include "server/engine.h"
#include "wal/marks.h"

struct recovery_result {
    struct inventory *inventory; /* the caller's from now on */
    uint64_t digest;             /* of it */
    struct wal_end end;          /* where the log ends */
    struct wal_marks marks;      /* when the log was where */
};

/* Recovers the newest checkpoint that is whole, and the log after it. OK with the result; else
 * report->message says why, and there is no inventory. */
enum hf_status recovery_run(const struct engine_options *options, struct storage *storage,
                            struct engine_recovery *report, struct recovery_result *result);

#endif
