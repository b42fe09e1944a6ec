/* segments.h - the segment that is being written, those prepared to follow it, and those given
 * back. Private to engine/wal.
 *
 * wal_recycle, wal_sealed_segment, wal_log_bytes and wal_stuck_reason, which segments.c has too,
 * are declared in wal.h.
 *
 * Threads: the writer makes room, one preparer makes segments, one checkpointer gives them back.
 * segments.mutex guards the lists; no file is touched while it is held. */
#ifndef WAL_SEGMENTS_H
#define WAL_SEGMENTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "wal/wal.h"

#define WAL_SPARES_MAX WAL_SPARE_SEGMENTS_MAX

struct prepared_segment {
    storage_file file;
    uint64_t number;
    bool recycled; /* its file had an earlier life */
};

struct segments {
    pthread_mutex_t mutex;
    struct prepared_segment prepared[WAL_SPARES_MAX]; /* next first; named, open */
    unsigned prepared_count;
    uint64_t prepare_next; /* number of the segment to prepare next; the preparer's own */
    uint64_t *begun;       /* numbers, oldest first */
    size_t begun_count;
    size_t begun_room;
    uint64_t *spares; /* numbers of spare files */
    size_t spare_count;
    size_t spare_room;
    size_t spare_first; /* place in the list to try first; the preparer's own */
    uint64_t made;      /* segment whose file exists but could not be opened; the preparer's own */
    char stuck_reason[WAL_REASON_BYTES]; /* why the last attempt failed; "": it did not fail */
    uint64_t marked;  /* segment that begun-N.mark names; 0: no mark. The preparer's own */
    bool mark_failed; /* the failure was logged; the preparer's own */

    /* For wal_admit and wal_recycle. */
    _Atomic unsigned ready;       /* prepared_count */
    _Atomic bool stuck;           /* the last attempt to prepare one failed: see stuck_reason */
    _Atomic uint64_t room_groups; /* groups, of any size, that the present segment has room for */
    _Atomic uint64_t sealed;      /* writer.submitted */
    _Atomic uint64_t durable_number; /* segment of the last durable block */
};

/* Makes sure that a block of span_bytes fits the present segment; begins the next segment if it
 * does not. OK; BUSY: the next segment is not ready yet; NO_SPACE: it can't be made, and the log is
 * being stopped; IO_ERROR. The writer's thread. */
enum hf_status wal_segment_make_room(struct wal *wal, uint64_t span_bytes);

/* Makes one segment ready. OK; NOT_FOUND: enough are ready; NO_SPACE, IO_ERROR, NO_MEMORY. */
enum hf_status wal_segment_prepare(struct wal *wal);

/* Makes sure that begun-N.mark names the segment of the last durable block. A failure is logged
 * once, and the next call tries again. False: it failed. The preparer's thread. */
bool wal_mark_begun(struct wal *wal);

/* wal_prepare_step, with the result of wal_segment_prepare; also IO_ERROR when the mark alone
 * failed. */
enum hf_status wal_prepare(struct wal *wal);

/* How many groups fit into that many bytes, whatever their sizes: a block is never split. */
uint64_t wal_groups_in(const struct wal *wal, uint64_t bytes);

/* True when the room in the present segment and in those that are ready is enough for all groups
 * that are closed and not sealed, and for all work that may have been admitted and not appended. */
bool wal_segment_room_suffices(const struct wal *wal);

/* True when that room will be enough for a while, even if no other segment is made ready. */
bool wal_segment_room_is_ample(const struct wal *wal);

/* Closes the files of the segments before the one that is durable. The writer's thread. */
void wal_segment_retire(struct wal *wal, uint64_t durable_number);

/* Takes over the segments that a log has when it is opened. */
enum hf_status wal_segments_load(struct wal *wal, const struct wal_end *end);
void wal_segments_unload(struct wal *wal);

#endif
