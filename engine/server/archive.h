/* archive.h - copies sealed segments into the archive before the log recycles them.
 *
 * Threads: the checkpointer's. */
#ifndef SERVER_ARCHIVE_H
#define SERVER_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/storage.h"
#include "server/pace.h"

struct archive {
    struct storage *log; /* where the segments are */
    struct storage *to;  /* NULL: there is no archive */
    struct pacer *pacer;
    bool failed; /* the last time; reported once */
};

/* Copies a sealed segment into the archive, if there is one. False: the archive does not have it,
 * and the segment must be kept. */
bool archive_segment(struct archive *archive, uint64_t number);

#endif
