/* format.h - byte layouts of segment and block headers, as docs/wal-format.md has them.
 *
 * All integers are little-endian. A log is a row of segments; a segment is a header of one page
 * and a row of blocks; a block is a header, a payload of records, and zeros up to the next page.
 *
 * LSN: the log's payload bytes, counted from 0 over all blocks of all segments; headers and
 * padding don't count. A record's LSN is that of its end.
 *
 * Threads: any; pure functions. */
#ifndef WAL_FORMAT_H
#define WAL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/limits.h"

#define WAL_FORMAT_VERSION   3u /* as written; docs/wal-format.md has what 1 and 2 had not */
#define WAL_FORMAT_READ_MIN  1u
#define WAL_FORMAT_TIMED     3u  /* from here on blocks have an engine time */
#define SEGMENT_HEADER_BYTES 96u /* of a page; the rest of the page is zeros */
#define BLOCK_HEADER_BYTES   128u

enum block_type {
    BLOCK_DATA = 1,   /* records */
    BLOCK_NOOP = 2,   /* nothing: says that all before it is durable */
    BLOCK_CONFIG = 3, /* reserved */
    BLOCK_EPOCH = 4,  /* an engine took the log over; the payload is empty */
    BLOCK_DIGEST = 5, /* u64 LSN, u64 digest of the state at that LSN */
    BLOCK_FREEZE = 6, /* reserved */
    BLOCK_ADOPT = 7,  /* reserved */
    BLOCK_DROP = 8,   /* reserved */
};

struct segment_header {
    struct id128 cluster;   /* made at random with the log's first segment */
    uint64_t number;        /* from 1; the file's name has it too */
    uint64_t first_lsn;     /* LSN at the segment's start */
    uint64_t first_index;   /* index of its first block */
    uint64_t previous_hash; /* chain value before its first block */
    uint64_t durable_index; /* last block known durable when the segment was begun */
    uint64_t created_ms;    /* wall clock */
    uint64_t segment_bytes; /* the file's size */
    bool recycled;          /* the file had an earlier life: what is after the log's end in it may
                               be anything */
};

struct block_header {
    uint32_t version; /* as decoded; 0 is written as WAL_FORMAT_VERSION */
    enum block_type type;
    struct id128 cluster;   /* as in the segment's header: a file may come from another log */
    uint64_t term;          /* grows by one each time an engine takes the log over */
    uint64_t index;         /* dense, from 1 over the whole log */
    uint64_t previous_hash; /* block_chain() of the block before; 0 for the first */
    uint64_t durable_index; /* last block known durable when this one was submitted */
    uint64_t first_lsn;     /* LSN at the payload's start */
    uint32_t record_count;
    uint32_t payload_bytes; /* 0..WAL_GROUP_BYTES_MAX */
    uint64_t wall_ms;       /* when the block was sealed, as the engine believed: Unix ms */
    uint64_t engine_ms;    /* engine time then (base/timekeeper.h), 48 bits; 0: not known, as in all
                              blocks of versions 1 and 2. Deadlines in records are in it */
    uint64_t boot_ms;      /* time since the machine's start then, 40 bits */
    uint64_t boot;         /* which start that was, 40 bits; 0: not known */
    uint64_t payload_hash; /* XXH3 of the payload */
    uint64_t segment;      /* number of the segment it was written to */
};

/* Writes SEGMENT_HEADER_BYTES with their checksum. */
void segment_header_encode(const struct segment_header *header, uint8_t *to);

/* False, with a static reason, when magic, version or checksum don't fit. */
bool segment_header_decode(struct segment_header *header, const uint8_t *from, const char **reason);

/* Writes BLOCK_HEADER_BYTES with their checksum. */
void block_header_encode(const struct block_header *header, uint8_t *to);

/* False, with a static reason, when magic, version, type, sizes or the header's checksum don't
 * fit. The payload is not read. */
bool block_header_decode(struct block_header *header, const uint8_t *from, const char **reason);

/* What the log must know of a checkpoint's first page: to which cluster it belongs. The rest of
 * that page is checkpoint/format.h's. */
#define CHECKPOINT_MAGIC       "HFCHKPT1"
#define CHECKPOINT_CLUSTER_AT  16u
#define CHECKPOINT_CHECKSUM_AT 288u /* u64 over the bytes before it; the same in every version */

/* False, with a static reason, when the magic or that checksum doesn't fit. */
bool checkpoint_cluster_decode(struct id128 *cluster, const uint8_t *page, const char **reason);

/* True when magic and header checksum fit, whatever the version and type: a header that is intact
 * and still can't be decoded comes from a newer version. */
bool segment_header_intact(const uint8_t *from);
bool block_header_intact(const uint8_t *from);

/* What the next block carries as previous_hash: a hash of this block's encoded header, which
 * holds the payload's hash. */
uint64_t block_chain(const uint8_t *encoded_header);

/* The block's engine time, where it has none of its own: wall time, which deadlines were in then.
 */
static inline uint64_t block_engine_ms(const struct block_header *header)
{
    return header->engine_ms ? header->engine_ms : header->wall_ms;
}

/* What is added to a deadline of the block's records to show it: time_shown_ms. */
static inline int64_t block_ahead_ms(const struct block_header *header)
{
    return (int64_t)(header->wall_ms - block_engine_ms(header));
}

/* Bytes that a block takes in its segment: header and payload, up to a whole page. */
static inline uint64_t block_span_bytes(uint32_t payload_bytes)
{
    uint64_t bytes = BLOCK_HEADER_BYTES + (uint64_t)payload_bytes;
    return (bytes + WAL_PAGE_BYTES - 1) / WAL_PAGE_BYTES * WAL_PAGE_BYTES;
}

#endif
