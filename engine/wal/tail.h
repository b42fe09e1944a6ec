/* tail.h - how a log ends: cleanly, with a torn tail, or with damage.
 *
 * This is the one place where that is decided (docs/decisions/0001-torn-or-damaged.md). The
 * question arises where the next block should begin and reader.c finds none that is valid: the
 * missing block.
 *
 *     damaged   something proves that the missing block was durable once, so that it may have been
 *               acknowledged: a later header of this log whose durable_index is at or above the
 *               missing index, or a file name (catalogue.h). Also anything that must not be
 *               overwritten: a header of a newer version, or of another log.
 *     torn      nothing proves it, but there are bytes at the end that no earlier life of the file
 *               explains: a write that was never acknowledged. It may be cut away (cut.h).
 *     clean     neither: zeros, or blocks of an earlier life of the file.
 *
 * When an engine may be writing at the same moment, the missing block is read once more before
 * damage is reported: it may have been written in between.
 *
 * Threads: one. */
#ifndef WAL_TAIL_H
#define WAL_TAIL_H

#include "wal/reader.h"

/* For reader.c: the next block is not there. Decides how the log ends, and fills in reader->end.
 * *again: the directory was read again and the block may be there now, so read on. OK, IO_ERROR,
 * NO_MEMORY. */
enum hf_status reader_conclude(struct wal_reader *reader, bool *again);

/* Is the log that ends like this the one with this cluster's id? NULL: it is, or damage hides which
 * one it is; otherwise what is wrong. */
const char *wal_cluster_fault(const struct wal_end *end, struct id128 cluster);

/* Checks the segments that a checkpoint covers (numbers up to base), which are not read at a start.
 * fault->damaged: a number is missing among them, and no engine starts. fault->torn: a file can't
 * be opened, or its header or size is wrong, which costs no state. fault->file and fault->reason
 * describe it. OK, IO_ERROR, NO_MEMORY. */
enum hf_status wal_check_covered(struct storage *storage, uint64_t base, struct wal_end *fault);

#endif
