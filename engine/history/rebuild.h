/* rebuild.h - the state that a log led to at a moment of its past.
 *
 * Every prefix of the log is a legal history, so the moment may be any: an LSN stands for all
 * records that end at or before it; a time for all blocks up to the last one that was sealed at or
 * before it. Times may go back where a clock did: all that comes before that block belongs to it,
 * whatever its time.
 *
 * Threads: one. Reads only; the engine of that log may be running. */
#ifndef HISTORY_REBUILD_H
#define HISTORY_REBUILD_H

#include "history/position.h"
#include "history/replay.h"

/* Called for each event that is applied; a member may be NULL. */
struct rebuild_watch {
    void *context;
    /* The state before the first event: a checkpoint's, or an empty one. */
    void (*begin)(void *context, struct inventory *inventory, const struct checkpoint_info *from);
    void (*before)(void *context, struct inventory *inventory, const struct event *event);
    void (*after)(void *context, struct inventory *inventory, const struct event *event,
                  uint64_t wall_ms);
};

/* What rebuilding reports while it runs; a member may be NULL. */
struct rebuild_report {
    void *context;
    /* A checkpoint is damaged or can't be read, and another one, or the log's beginning, is tried.
     * why: the file and the reason. */
    void (*passed_over)(void *context, const char *why);
    void (*progress)(void *context, const char *what, uint64_t done, uint64_t total);
};

struct rebuild_options {
    bool all; /* to the log's end; `until` is not used */
    struct history_position until;
    bool from_oldest; /* as much of the log as there is: from its beginning, or the oldest
                         checkpoint; else from the newest that is not after `until` */
    struct rebuild_watch watch;
    struct rebuild_report report;
};

/* A block, and how much of it belongs to the log up to the moment. */
struct rebuild_block {
    bool any;
    struct block_header header;
    uint64_t file_offset;
    uint32_t kept_records;
    uint32_t kept_bytes;
};

struct rebuild {
    struct history_replay replay; /* replay.lsn: where the state is; its inventory */
    struct checkpoint_info from;  /* number 0: the log's beginning */
    uint64_t wall_ms;             /* of the last block applied; 0: none */
    int64_t ahead_ms;             /* of the same block: what event_show_times() needs */
    struct rebuild_block last;    /* the last block of which something is kept */
    struct rebuild_block first;   /* the first one read; perhaps nothing is kept of it */
    bool more;                    /* the log continues after the moment */
    bool torn;                    /* the log was read to its end, and that is torn */
    char message[600];            /* why it failed */
};

/* Rebuilds. OK: end with rebuild_end(); else message gives the reason, and nothing is left to end:
 * NOT_FOUND: a part of the log that is needed is missing; DAMAGED; FULL, IO_ERROR, NO_MEMORY. */
enum hf_status rebuild_run(struct rebuild *rebuild, struct storage *storage,
                           const struct rebuild_options *options);
void rebuild_end(struct rebuild *rebuild);

#endif
