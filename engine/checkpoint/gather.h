/* gather.h - the order records of a part of the hashes, gathered from the log in its
 * order and handed out in the orders' order. Private to engine/checkpoint.
 *
 * Gathering puts a record into one of many buckets, by the highest bits of its key (id_hash() of
 * the order's id), each written from its beginning to its end. A bucket is small enough for the
 * processor's cache, and is sorted only when it is its turn; so no record costs a cache miss of its
 * own, neither when it is sorted nor when it is folded in after that.
 *
 * Memory is a limit, not a forecast: when it is full the highest bucket is given up, and with it
 * the keys from there on; they are for another reading of the log. Only what falls into one bucket
 * alone may exceed it: one order with very many events.
 *
 * Threads: one. */
#ifndef CHECKPOINT_GATHER_H
#define CHECKPOINT_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "holdfast/status.h"

#define GATHER_CHUNK_BYTES      KIB(48)
#define GATHER_RECORD_BYTES_MAX (GATHER_CHUNK_BYTES - 24) /* a longer one is no order's */

struct gathered {
    uint64_t key;
    uint64_t lsn;
    const uint8_t *record;
};

/* The keys that are gathered. */
struct gather_part {
    uint64_t first;
    uint64_t last; /* lower than it began with when memory was full */
};

static inline bool gather_has(const struct gather_part *part, uint64_t key)
{
    return key >= part->first && key <= part->last;
}

struct gather;

/* memory_bytes: for all records of a part, from 1 MiB up. log_bytes: more than all records have.
 * NO_MEMORY. */
enum hf_status gather_open(struct gather **out, uint64_t memory_bytes, uint64_t log_bytes);

/* Gives the memory back. NULL is allowed. */
void gather_close(struct gather *gather);

/* Forgets what is there, and begins a part: keys from `first` to `last`. */
void gather_begin(struct gather *gather, uint64_t first, uint64_t last);

/* The present part; the pointer is good until gather_close. */
const struct gather_part *gather_part(const struct gather *gather);

/* Takes an order's record that record_peek() took, of up to GATHER_RECORD_BYTES_MAX, with a key of
 * the part. NO_MEMORY. */
enum hf_status gather_add(struct gather *gather, uint64_t key, uint64_t lsn, const uint8_t *record,
                          uint32_t bytes);

/* The next bucket's records, by key, id and LSN; valid until the next call. A step of a few 100 us.
 * OK; NOT_FOUND: that was all; NO_MEMORY. */
enum hf_status gather_next(struct gather *gather, const struct gathered **records, uint64_t *count);

#endif
