/* archive.h - copies sealed segments into the archive before the log recycles them.
 *
 * Threads: the checkpointer's. */
#ifndef SERVER_ARCHIVE_H
#define SERVER_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

/* A sealed segment into the archive, if there is one. False: it is not there, keep the segment.
 * context: the checkpointer. */
bool archive_segment(void *context, uint64_t number);

#endif
