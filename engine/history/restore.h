/* restore.h - a new data directory that ends at a moment of a log's past.
 *
 * Threads: one. */
#ifndef HISTORY_RESTORE_H
#define HISTORY_RESTORE_H

#include "history/rebuild.h"

#define RESTORE_MESSAGE_BYTES 1600u

/* Builds `directory`, from which an engine starts in the state that `rebuild` has: the checkpoint
 * it began with, and the segments after that, of which the last one ends at the last record
 * applied. `storage` is only read. The directory is made if it is missing, and must be empty. The
 * new log is read back, and must lead to the same LSN and digest; it gets its name once it is whole
 * and safe on disk. report: of reading back. OK; else message (RESTORE_MESSAGE_BYTES) gives the
 * reason: INVALID (not empty, a name too long), LOCKED, NO_SPACE, IO_ERROR, DAMAGED, NO_MEMORY. */
enum hf_status restore_build(const struct rebuild *rebuild, struct storage *storage,
                             const char *directory, const struct rebuild_report *report,
                             char *message);

#endif
