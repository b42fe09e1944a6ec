/* cut.h - removes the end of a log, so that a crash in the middle still leaves a log.
 *
 * Threads: one; nobody else may use the log. */
#ifndef WAL_CUT_H
#define WAL_CUT_H

#include "io/storage.h"
#include "wal/reader.h"

/* Makes a log end where `end` says: later segments are removed, newest first, then the rest of the
 * last segment is zeroed, from its end back to the cut. A crash in the middle leaves a longer
 * prefix of the same log, or the same torn tail; cutting again finishes the work. The end is not
 * damaged. OK, IO_ERROR, NO_MEMORY. */
enum hf_status wal_cut(struct storage *storage, const struct wal_end *end);

#endif
