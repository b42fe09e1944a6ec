/* identity.h - which log a data directory has: DIR/CLUSTER, a line with the cluster's id.
 *
 * The file is beside the log's folder, not in it. If the folder is empty, because its disk was not
 * mounted, or holds another log, the engine notices and does not take it for its own. The file is
 * written when the log is first opened, and never again, unless somebody has removed it.
 *
 * Threads: any. */
#ifndef IO_IDENTITY_H
#define IO_IDENTITY_H

#include <stdbool.h>

#include "base/id.h"
#include "holdfast/status.h"

#define IDENTITY_NAME "CLUSTER"

/* OK; NOT_FOUND: there is no such file; IO_ERROR: it can't be read (a warning is written); DAMAGED:
 * it holds something else than an id. */
enum hf_status identity_read(const char *directory, struct id128 *cluster);

/* Writes it, durably; whole or not at all. OK, NO_SPACE, IO_ERROR. */
enum hf_status identity_write(const char *directory, struct id128 cluster);

#endif
