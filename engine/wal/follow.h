/* follow.h - reads a log that is being written, block by block, for as long as one likes.
 *
 * Only blocks that a later one proves durable are handed out: what was reported is never taken
 * back, not even when the machine loses its power just now. An idle engine writes that proof after
 * 5 ms (NOOP).
 *
 * Where wal_reader finds out how a log ends, this one just waits: what is not there yet may come.
 *
 * Threads: one. Reads only; beside a running engine, and across its stops and starts. */
#ifndef WAL_FOLLOW_H
#define WAL_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "io/storage.h"
#include "wal/reader.h"

struct wal_follow;

/* Opens at the start of the segment that has the record after an LSN; UINT64_MAX: the last one.
 * segment_max: not after that segment, whatever the LSN (0: wherever it is). OK; NOT_FOUND: there
 * is no log yet; EXPIRED: the engine has given that part back, *oldest_lsn (always set when there
 * is a log) is where what is left begins; DAMAGED, IO_ERROR, NO_MEMORY. */
enum hf_status wal_follow_open(struct wal_follow **out, struct storage *storage, uint64_t lsn,
                               uint64_t segment_max, uint64_t *oldest_lsn);
void wal_follow_close(struct wal_follow *follow);

/* The next durable block. OK; NOT_FOUND: there is none yet; EXPIRED: the engine has given it back
 * before it was read; DAMAGED: its payload does not match its checksum; IO_ERROR. block is valid
 * until the next call. */
enum hf_status wal_follow_next(struct wal_follow *follow, struct wal_block *block);

/* All before it has been handed out. */
uint64_t wal_follow_lsn(const struct wal_follow *follow);

/* After wal_follow_next said NOT_FOUND: where the log ended just then, with blocks that nothing
 * proves durable yet. */
uint64_t wal_follow_end_lsn(const struct wal_follow *follow);

#endif
