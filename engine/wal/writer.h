/* writer.h - the one thread that writes the log. Private to engine/wal.
 *
 * wal_step, which writer.c has too, is declared in wal.h.
 *
 * Threads: one at a time: the writer's own after wal_start, or a test's. */
#ifndef WAL_WRITER_H
#define WAL_WRITER_H

#include "wal/segments.h"

struct wal_group;

/* What only the writer's thread touches. */
struct writer {
    uint64_t submitted;
    unsigned in_flight;
    bool buffers_registered;
    bool blocked; /* the next group waits for a segment */

    /* Where the next block goes. */
    storage_file file; /* -1: no segment yet */
    uint64_t segment;
    uint64_t segment_bytes;
    bool recycled;
    uint64_t offset; /* 0: the next block begins the segment, and is written with its header */
    uint64_t next_index;
    uint64_t previous_hash;
    uint64_t term;
    uint64_t durable_index;
    uint64_t proved_index; /* greatest durable_index that a submitted block carries */
    uint64_t last_data_index;
    uint64_t idle_since_ns;
    uint64_t since_digest_bytes;
    /* Times of the last block that this process sealed; before its first block: of the open. */
    uint64_t sealed_engine_ms;
    int64_t sealed_ahead_ms;

    struct prepared_segment retired[WAL_GROUPS + 1]; /* written full; closed once durable */
    unsigned retired_count;
};

/* Where the bytes of a sealed block are, and where they go. */
struct sealed_block {
    const uint8_t *data;
    size_t len;
    uint64_t offset;
};

/* Gives a closed group its header; its segment has room for it. */
void wal_seal(struct wal *wal, struct wal_group *group, struct sealed_block *block);

/* Closes the log after a failure. */
void wal_fail(struct wal *wal, const char *what);

/* Writes all that was appended and a DIGEST block, and notifies all waiters. The writer's thread.
 */
void wal_finish(struct wal *wal);

#endif
