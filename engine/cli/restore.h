/* restore.h - a new data directory that ends at a moment of a log's past.
 *
 * Threads: the main thread. */
#ifndef CLI_RESTORE_H
#define CLI_RESTORE_H

#include "cli/rebuild.h"

#define RESTORE_MESSAGE_BYTES 1600u

/* Builds `directory`, from which an engine starts in the state that `rebuild` has: the checkpoint
 * it began with, and the segments behind that, of which the last one ends at the last record
 * applied. `storage` is only read. The directory is made if it is missing, and must be empty; its
 * log gets its name once it is whole and safe on disk. Then it is read back, and must lead to the
 * same LSN and digest. OK; else message (RESTORE_MESSAGE_BYTES) says why: INVALID (not empty),
 * LOCKED, NO_SPACE, IO_ERROR, DAMAGED. */
enum hf_status restore_build(const struct rebuild *rebuild, struct storage *storage,
                             const char *directory, char *message);

#endif
