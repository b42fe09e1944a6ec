/* reader.h - reads a log from its first segment to its end, and distinguishes a torn tail from
 * damage.
 *
 * The end of a log is where the next block should begin and none that is valid does. What is found
 * there decides:
 *   - zeros, or blocks of a file's earlier life (lower index): the log ends here, cleanly.
 *   - bytes that fail a check, and nothing after them that proves a later block: a torn tail. It
 *     was never acknowledged, and is to be cut off.
 *   - bytes that fail a check, and after them, in this segment or a later one, a valid block of
 *     this log whose durable_index is at or above the missing block's: damage, because the missing
 *     block was durable and may have been acknowledged.
 * A valid block with an unknown type or version is damage too ("written by a newer version").
 * And so is a log that ends before the folder's names say it did: a segment that is missing between
 * others, or that a spare, a checkpoint or a mark proves (catalogue.h).
 *
 * Threads: one. Reads only; works beside a running engine, and then sees a prefix of its log. */
#ifndef WAL_READER_H
#define WAL_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "io/storage.h"
#include "wal/format.h"
#include "wal/segment.h"

struct wal_reader;

/* Where a log ends, and in what condition. */
struct wal_end {
    bool empty;   /* there is no segment at all */
    bool torn;    /* bytes at the end were never acknowledged and are to be cut off */
    bool damaged; /* see below; nothing may be written */
    struct id128 cluster;
    uint64_t segment;       /* number of the segment that the last valid block is in, or that was
                               begun last; 0 when empty */
    uint64_t offset;        /* in that segment: where the next block goes */
    uint64_t segment_bytes; /* that segment's size */
    uint64_t lsn;           /* end of the last valid block */
    uint64_t next_index;    /* index the next block will have */
    uint64_t term;          /* of the last valid block; 0 if none */
    uint64_t previous_hash; /* chain value for the next block */
    uint64_t wall_ms;       /* of the last valid block, as the three that follow */
    uint64_t engine_ms;
    uint64_t boot_ms;
    uint64_t boot;
    uint64_t torn_bytes; /* from offset to the last byte that is not zero */
    /* When torn or damaged: where, and what was wrong. */
    char file[STORAGE_NAME_BYTES_MAX];
    uint64_t file_offset;
    uint64_t valid_after_index; /* damaged: the index of a valid block after the damage, or 0 */
    char reason[160];
};

struct wal_block {
    struct block_header header;
    const uint8_t *payload; /* valid until the next call */
    char file[STORAGE_NAME_BYTES_MAX];
    uint64_t file_offset;
};

/* Where reading begins when not at the log's first segment: after a checkpoint. */
struct wal_start {
    struct id128 cluster;
    uint64_t segment; /* number of the segment to begin with */
    uint64_t lsn;     /* at its start, as all of these */
    uint64_t next_index;
    uint64_t previous_hash;
    uint64_t term;
};

/* Opens the log in storage. OK (also when there is none), IO_ERROR, NO_MEMORY. */
enum hf_status wal_reader_open(struct wal_reader **out, struct storage *storage);

/* As above, from `start` (NULL: the first segment there is) and no further than the end of segment
 * `last` (0: the log's end). Segments before and after are not read. Both are promises: with
 * `start` there is a durable block, with `last` the segment is sealed and the next one continues;
 * where that is not so the log is damaged. */
enum hf_status wal_reader_open_at(struct wal_reader **out, struct storage *storage,
                                  const struct wal_start *start, uint64_t last);

/* From now on reads in small pieces, past the page cache, for who reads beside an engine at work: a
 * read of 4 MiB holds up the log's writes for 10 ms. Before the first wal_reader_next. */
void wal_reader_read_gently(struct wal_reader *reader);

void wal_reader_close(struct wal_reader *reader);

/* The next valid block: OK with *block filled; NOT_FOUND at the log's end, whatever its condition:
 * then ask wal_reader_end(); IO_ERROR. */
enum hf_status wal_reader_next(struct wal_reader *reader, struct wal_block *block);

/* Before a torn tail is reported, waits 20 ms and reads on, up to that many times: a block that an
 * engine is writing just now looks torn. */
void wal_reader_be_patient(struct wal_reader *reader, unsigned looks);

/* After wal_reader_next said NOT_FOUND and the log was not damaged: continues where it was. From
 * now on wal_reader_next says NOT_FOUND whenever the next block is not there yet, without looking
 * why: call it again later. It says CANCELED when the segment that it was in was released. OK,
 * CANCELED, IO_ERROR, NO_MEMORY. */
enum hf_status wal_reader_follow(struct wal_reader *reader);

/* After IO_ERROR: which file, and the system's reason; "" when none is known. */
const char *wal_reader_trouble(const struct wal_reader *reader);

/* How the log ends. Call after wal_reader_next said NOT_FOUND. */
void wal_reader_end(const struct wal_reader *reader, struct wal_end *end);

/* Bytes of all segments, and bytes read so far; for progress. */
void wal_reader_progress(const struct wal_reader *reader, uint64_t *done, uint64_t *total);

#endif
