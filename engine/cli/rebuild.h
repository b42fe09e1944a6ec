/* rebuild.h - the state that a log led to at a moment of its past.
 *
 * Every prefix of the log is a legal history, so the moment may be any: an LSN stands for all
 * records that end at or before it; a time for all blocks up to the last one that was sealed at or
 * before it. Times may go back where a clock did: what lies before that block belongs to it,
 * whatever its time.
 *
 * Threads: the main thread. Reads only; the engine of that log may be running. */
#ifndef CLI_REBUILD_H
#define CLI_REBUILD_H

#include "cli/wal.h"

/* Told of each event that is applied; NULL members: not asked. */
struct rebuild_watch {
    void *context;
    /* The state that the watching begins with: a checkpoint's, or none. */
    void (*begin)(void *context, struct inventory *inventory, const struct checkpoint_info *from);
    void (*before)(void *context, struct inventory *inventory, const struct event *event);
    void (*after)(void *context, struct inventory *inventory, const struct event *event,
                  uint64_t wall_ms);
};

struct rebuild_options {
    bool all; /* the log's end, whatever `until` says */
    struct wal_position until;
    bool from_oldest; /* as much of the log as there is: from its beginning, or the oldest
                         checkpoint; else from the newest that is not behind `until` */
    struct rebuild_watch watch;
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
    struct wal_replay replay;    /* replay.lsn: where the state is; its inventory */
    struct checkpoint_info from; /* number 0: the log's beginning */
    uint64_t wall_ms;            /* of the last block applied; 0: none */
    int64_t ahead_ms;            /* likewise: what shows deadlines */
    struct rebuild_block last;   /* the last block of which something is kept */
    struct rebuild_block first;  /* the first one read; nothing may be kept of it */
    bool more;                   /* the log goes on behind the moment */
    bool torn;                   /* the log was read to its end, and that is torn */
    char message[600];           /* why it failed */
};

/* Rebuilds. OK: end with rebuild_end(); else message says why, and nothing is left to end:
 * NOT_FOUND: the log's part that is needed is not there; DAMAGED; FULL, IO_ERROR, NO_MEMORY. */
enum hf_status rebuild_run(struct rebuild *rebuild, struct storage *storage,
                           const struct rebuild_options *options);
void rebuild_end(struct rebuild *rebuild);

#endif
