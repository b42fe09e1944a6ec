/* overlay.h - a log whose older segments are in an archive, as one directory.
 *
 * The engine copies a segment into its archive before it gives the segment's file back, so that the
 * data directory and the archive together hold the log without a gap. A segment that is in both is
 * read from the data directory.
 *
 * Threads: the main thread. Reads only: there are no operations that write. */
#ifndef CLI_OVERLAY_H
#define CLI_OVERLAY_H

#include <stdbool.h>

#include "cli/wal.h"

/* wal_log_find(), and with the log the segments in `archive` (NULL: none). */
int overlay_find(struct wal_log *log, const char *data, const char *archive, bool json);

/* The same without what reading blocks needs. Close with storage_destroy(). */
int overlay_open(struct storage **out, const char *data, const char *archive, bool json);

/* As overlay_open, without a word. OK, NOT_FOUND, IO_ERROR, NO_MEMORY. Any thread. */
enum hf_status overlay_try(struct storage **out, const char *data, const char *archive);

#endif
