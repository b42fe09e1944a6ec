/* identity.h - which log a data directory has: DIR/CLUSTER, a line with the cluster's id.
 *
 * It stands beside the log's folder, not in it: should the folder be empty, because the disk that
 * it is on was not mounted, or hold another log, the engine does not take that for its own. Written
 * when the log is first opened, and never again; removed by hand, it is written anew.
 *
 * Threads: any. */
#ifndef IO_IDENTITY_H
#define IO_IDENTITY_H

#include <stdbool.h>

#include "base/id.h"
#include "holdfast/status.h"

#define IDENTITY_NAME "CLUSTER"

/* OK; NOT_FOUND: the directory says nothing; IO_ERROR: it can't be read (said in the log); DAMAGED:
 * it holds something else. */
enum hf_status identity_read(const char *directory, struct id128 *cluster);

/* Writes it, durably; whole or not at all. OK, NO_SPACE, IO_ERROR. */
enum hf_status identity_write(const char *directory, struct id128 cluster);

#endif
