/* log.h - opens the log of an engine's data directory for reading, with its archive if need be.
 *
 * Threads: one at a time. Nothing is written; the engine of that log may be running. */
#ifndef HISTORY_LOG_H
#define HISTORY_LOG_H

#include <stdbool.h>

#include "checkpoint/checkpoint.h"
#include "history/overlay.h"
#include "wal/reader.h"

#define HISTORY_MESSAGE_BYTES (FOLDER_BYTES + 512u)

/* All zero is closed. */
struct history_log {
    char folder[FOLDER_BYTES]; /* the log's files are in it: DATA/wal */
    struct storage *storage;
    struct wal_reader *reader; /* NULL until history_log_read */
    uint64_t first;            /* segment that reading began with; 0: the log is empty */
    /* The checkpoint that history_log_choose found; number 0: none, or none is needed. */
    struct checkpoint_info checkpoint;
    char message[HISTORY_MESSAGE_BYTES]; /* why history_log_find failed */
};

/* Opens the log in an engine's data directory, and with it the segments in `archive` (NULL: none);
 * without a reader. OK; else message names what is wrong, and nothing is left to close: INVALID (a
 * name too long), NOT_FOUND, IO_ERROR, NO_MEMORY. */
enum hf_status history_log_find(struct history_log *log, const char *data, const char *archive);

/* The newest checkpoint with a whole header that ends at or below an LSN (UINT64_MAX: any), in
 * log->checkpoint; number 0 when there is none. Its body is not read. OK, IO_ERROR, NO_MEMORY. */
enum hf_status history_log_choose(struct history_log *log, uint64_t lsn_max);

/* Opens the reader: after log->checkpoint if `after_checkpoint` and one was chosen, else at the
 * first segment there is. Closes the reader before. OK, IO_ERROR, NO_MEMORY. */
enum hf_status history_log_read(struct history_log *log, bool after_checkpoint);

void history_log_close(struct history_log *log);

/* Call it after reading failed, or ended damaged, at a segment (0: where reading began). True: the
 * engine has recycled that segment since, and it is no damage: read again, from a checkpoint. */
bool history_log_recycled(const struct history_log *log, uint64_t segment);

#define HISTORY_TRIES_MAX                                                                          \
    5u /* readings that are begun again because the engine recycled segments */

#endif
