/* storage_directory.h - making a data directory, and its lock.
 *
 * Threads: any. */
#ifndef IO_STORAGE_DIRECTORY_H
#define IO_STORAGE_DIRECTORY_H

#include <stdbool.h>
#include <time.h>

#include "holdfast/status.h"

/* Of directories that are made, as far as the process's umask allows: written by the owner, read by
 * the group. */
#define STORAGE_DIRECTORY_MODE 0750

/* Makes a directory (not its parents), and makes its name durable. If that fails, no directory is
 * left. An existing one is fine: its name is made durable where that is permitted.
 * OK; NO_SPACE, IO_ERROR (with an error message), NO_MEMORY. */
enum hf_status storage_make_directory(const char *directory);

/* Makes the directory (not its parents) if it is missing, and takes its exclusive lock (flock on
 * DIR/LOCK), until storage_unlock() or the end of the process. LOCKED: another process has it. */
enum hf_status storage_lock(const char *directory, int *lock);
void storage_unlock(int lock);

enum storage_lock_state {
    STORAGE_LOCK_FREE,  /* nobody has it, or its file is missing */
    STORAGE_LOCK_HELD,  /* an engine or a tool has it */
    STORAGE_LOCK_UNFIT, /* DIR/LOCK is no regular file: nobody can take it */
};

/* Tests a directory's lock. To test it is to take it (shared) for a moment: an engine that starts
 * in just that moment finds it taken. */
enum storage_lock_state storage_lock_state(const char *directory);

/* True when the lock's file is missing. *modified is then the time of the directory's last change.
 */
bool storage_lock_missing(const char *directory, struct timespec *modified);

/* As storage_unlock(), and removes the lock's file: for a tool that has made the file and must
 * leave no trace. modified: from storage_lock_missing(), restored as the directory's time. */
void storage_unlock_unused(const char *directory, int lock, struct timespec modified);

#endif
