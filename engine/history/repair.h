/* repair.h - makes a whole log out of a damaged one, beside it: the damaged one is only read.
 *
 * The new log holds, in this order: the checkpoints that are whole, the segments up to the fault as
 * they are, and with `skip` what comes after the fault and still fits, written again: each readable
 * block's records are applied to the state that came before; a record that fits is kept, one that
 * does not (an order that is not there, a stock that was another) is left out. Blocks get a new
 * chain, new LSNs and new digests. Without `skip` the log ends at the fault: a legal prefix.
 *
 * Where damage lies in segments that a whole checkpoint covers, those segments and the older
 * checkpoints are left out: the state does not need them.
 *
 * Threads: one; nobody may write the log at the same time. */
#ifndef HISTORY_REPAIR_H
#define HISTORY_REPAIR_H

#include "history/check.h"

/* A record that is lost. */
struct history_lost {
    const struct event *event;
    uint64_t wall_ms;
    bool misfit; /* with skip: it does not fit the state that is left */
};

struct history_repair_options {
    struct storage *from;
    struct storage *to; /* an empty directory, gets the new log; NULL: only report */
    bool skip;
    void (*lost)(void *context, const struct history_lost *lost); /* each one; may be NULL */
    void *context;
};

struct history_repair_report {
    bool needed;
    bool possible;
    char why[400]; /* why not possible */
    bool has_fault;
    struct history_fault fault; /* what the log is repaired at */
    uint64_t torn_bytes;        /* at its end, never acknowledged */
    bool drops_covered;         /* segments up to the base, and older checkpoints, are left out */
    uint64_t base;              /* checkpoint that the new log stands on; 0: none */
    uint64_t lsn;               /* the log is whole up to here */
    /* After the fault. */
    uint64_t blocks_unreadable;
    uint64_t blocks_readable;
    uint64_t records_kept;
    uint64_t records_lost; /* that are known: those of unreadable blocks are not */
    uint64_t last_lsn;     /* of the damaged log, as far as it can be seen */
    uint64_t new_lsn;      /* the new log's end */
    uint64_t items_short;  /* skip: items of which more is held and sold than there is */
};

/* findings: of history_check with state. OK: see *report; with options->to, and if needed and
 * possible, the new log is there and synced. NO_SPACE, FULL, IO_ERROR, NO_MEMORY. */
enum hf_status history_repair(const struct history_repair_options *options,
                              const struct history_findings *findings,
                              struct history_repair_report *report);

#endif
