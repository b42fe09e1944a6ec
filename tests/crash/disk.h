/* disk.h - what a disk may hold when the power fails, after so much of a trace (trace.h).
 *
 * The rules are those of POSIX and of the flags, as mean as they let a file system be:
 *   - What a write with RWF_DSYNC wrote is durable when it has come back, and so is what was
 * written to a file before an fdatasync or fsync of it was called that has come back with success.
 * With the bytes goes the file's size, not its name.
 *   - A name is durable when its directory was synced after the name was given, renamed or taken
 * away.
 *   - All else may be there, or not, or torn between 512-byte sectors; in any order.
 *   - A rename that is not durable may have left both names, and never none.
 *   - A file without a durable name is gone, and so is all that is in a directory without one.
 *
 * Beside it stand three rules for the engine itself, which hold between its own calls: a file that
 * gets its name by a rename has nothing unsynced; a thread that has changed names syncs the
 * directory before it goes on to write or to change others; and what is made
 * durable lies in a file whose name is durable, with those of the directories above it, unless it
 * is a file that gets its name later (NAME.tmp).
 *
 * Threads: one. Memory: all of the trace's files; out of memory aborts. */
#ifndef CRASH_DISK_H
#define CRASH_DISK_H

#include <stdbool.h>
#include <stddef.h>

#include "crash/trace.h"
#include "lib/rng.h"

#define DISK_PATH_BYTES 128u

struct disk;

struct disk *disk_make(const struct trace_head *trace);
void disk_free(struct disk *disk);

/* One more record of those that there are by now. False: there is none. */
bool disk_step(struct disk *disk);

/* Records so far, and the last one; NULL: none yet. */
uint64_t disk_at(const struct disk *disk);
const struct trace_record *disk_last(const struct disk *disk);

/* What of the engine's own rules was broken so far; NULL: nothing. */
const char *disk_fault(const struct disk *disk);

/* Changes of names, and writes or sizes, that a power cut may undo now. */
unsigned disk_pending_names(const struct disk *disk);
unsigned disk_pending_data(const struct disk *disk);

/* Calls whose end the engine did not see: their BEFORE records, up to max. */
unsigned disk_unfinished(const struct disk *disk, const struct trace_record **records,
                         unsigned max);

/* Records when a write failed in the present life; 0: none has. */
uint64_t disk_write_failed(const struct disk *disk);

/* Whether the name is there now, for a running process. */
bool disk_has(const struct disk *disk, const char *path);

/* ---- A power cut ---- */

struct disk_file {
    char path[DISK_PATH_BYTES];
    bool is_directory;
    uint64_t size;
    uint8_t *bytes; /* `size` of them, zero where nothing is; not of directories */
    bool borrowed;  /* from the disk, until its next step: nothing of the file is pending */
};

struct disk_image {
    struct disk_file *files; /* a directory before what is in it */
    unsigned count;
    char dropped[512]; /* what is not as a running process would see it, for people */
};

/* One of the states that it may leave, as the dice fall. rng NULL: nothing is lost. */
void disk_crash(const struct disk *disk, struct rng *rng, struct disk_image *image);
void disk_image_free(struct disk_image *image);
const struct disk_file *disk_image_find(const struct disk_image *image, const char *path);

#endif
