/* checkpoint.h - what a checkpoint is, and what its header says.
 *
 * A checkpoint is the state that the log leads to at the end of a segment, as a file. It is made
 * from the checkpoint before it and the sealed segments since then, never from live memory:
 *
 *     checkpoint(k) + segments -> checkpoint(k+1)
 *
 * is a pure function: equal logs give equal bytes. It streams. Everything except orders is a ledger
 * in memory (core/image.h). The file has its orders in the order of id_hash(); the segments' order
 * records are gathered, sorted by id_hash and LSN, and merged with the orders of the old file into
 * the new one. When they exceed memory_bytes, the segments are read several times, each time for a
 * part of the hashes. So memory does not grow with the number of orders.
 *
 * A checkpoint always covers whole segments: its number is that of the last segment it covers, and
 * reading continues with the next one. Its file is checkpoint-<16 hex digits>.ckp, or *.tmp while
 * it is being made: it is written under that name, synced, renamed, and the directory synced.
 * docs/checkpoint-format.md has every byte.
 *
 * Modules: build.h makes one; load.h checks and loads them; info.h lists them and reads headers;
 * gather, file and format are private.
 *
 * Threads: any; plain data. */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/storage.h"
#include "wal/marks.h"
#include "wal/reader.h"

/* What a checkpoint's header says. */
struct checkpoint_info {
    uint64_t number;        /* of the last segment it covers */
    struct wal_start start; /* where the log continues: in segment number + 1 */
    uint64_t wall_ms;       /* of the last block it covers */
    uint64_t engine_ms;     /* the same; 0: not known */
    uint64_t digest;        /* of the state at start.lsn */
    uint64_t file_bytes;
    uint64_t skus;
    uint64_t items;
    uint64_t orders;
    uint64_t orders_held;
    struct wal_marks marks;
    bool apart;        /* DAMAGED, because the segment after it does not continue where it ends */
    char message[256]; /* DAMAGED, IO_ERROR: file and reason; otherwise "" */
};

/* True when reading a checkpoint failed because of the file itself: its bytes are damaged or can't
 * be read. An older checkpoint and the log after it lead to the same state, so this one may be
 * passed over. Not so when memory ran out or settings are too small: an older one would meet the
 * same. */
static inline bool checkpoint_is_lost(enum hf_status status)
{
    return status == HF_DAMAGED || status == HF_IO_ERROR;
}

#endif
