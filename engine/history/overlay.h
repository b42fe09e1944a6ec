/* overlay.h - a log whose older segments are in an archive, as one directory.
 *
 * The engine copies a segment into its archive before it recycles the segment's file, so the data
 * directory and the archive together hold the log without a gap. A segment that is in both is read
 * from the data directory.
 *
 * Threads: one at a time. Reads only: there are no operations that write. */
#ifndef HISTORY_OVERLAY_H
#define HISTORY_OVERLAY_H

#include "io/storage.h"

#define FOLDER_BYTES 1100u /* the name of a log's folder, DATA/wal */

/* Puts the segments in `archive` beside the log in *storage, and owns that from then on. OK; else
 * *storage is destroyed and NULL: NOT_FOUND (no such directory), IO_ERROR, NO_MEMORY. */
enum hf_status overlay_add(struct storage **storage, const char *archive);

/* Opens the log in a data directory, with the segments in `archive` (NULL: none). Close it with
 * storage_destroy(). OK, NOT_FOUND, IO_ERROR, NO_MEMORY. */
enum hf_status overlay_try(struct storage **out, const char *data, const char *archive);

#endif
