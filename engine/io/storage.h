/* storage.h - files of one directory, behind a table of functions: the real disk, or a simulated
 * one that loses and tears what was not synced.
 *
 * Threads: one `struct storage` may be used from several threads for different files; submit and
 * reap are for one thread alone (the log's writer), which owns the ring.
 *
 * Durability: a completed write of storage_submit_write is durable (RWF_DSYNC). After any failed
 * write or sync the caller must not use the file's contents, and nothing is retried. */
#ifndef IO_STORAGE_H
#define IO_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "holdfast/status.h"

#define STORAGE_NAME_BYTES_MAX 64u

struct storage;

/* A file's number; valid until closed. */
typedef int storage_file;

struct storage_completion {
    uint64_t token;        /* as given to storage_submit_write */
    enum hf_status status; /* OK: all of it is durable. NO_SPACE, IO_ERROR */
};

struct storage_ops {
    /* What carries the writes: "io_uring", "pwritev2" or "simulated". Static. */
    const char *(*name)(const struct storage *storage);

    /* The directory's names, sorted, whatever bears them; calls visit for each. Stops when visit
     * says false. */
    enum hf_status (*list)(struct storage *storage, bool (*visit)(void *context, const char *name),
                           void *context);

    /* Opens an existing file for reading, or for reading and writing. Writes go past the page
     * cache (O_DIRECT) where the file system can; reads need no alignment. *size: bytes. */
    enum hf_status (*open)(struct storage *storage, const char *name, bool writable,
                           storage_file *file, uint64_t *size);

    /* Makes a file of `size` bytes of written zeros (not just allocated), synced, with its name
     * durable. An existing file of that name is replaced. NO_SPACE leaves nothing behind. */
    enum hf_status (*create_zeroed)(struct storage *storage, const char *name, uint64_t size);

    /* Makes an empty file for writing it from its beginning to its end: write, then sync, then
     * rename. An existing file of that name is replaced. Its name need not be durable. */
    enum hf_status (*create)(struct storage *storage, const char *name, storage_file *file);

    /* Writes, without syncing; may lie beyond the file's end, which then moves. Buffer, len and
     * offset multiples of WAL_PAGE_BYTES. NO_SPACE, IO_ERROR. */
    enum hf_status (*write)(struct storage *storage, storage_file file, const void *buffer,
                            size_t len, uint64_t offset);

    /* Cuts a file that is open for writing to `size` bytes, a multiple of WAL_PAGE_BYTES. Need not
     * be durable. IO_ERROR. */
    enum hf_status (*truncate)(struct storage *storage, storage_file file, uint64_t size);

    void (*close)(struct storage *storage, storage_file file);

    /* From now on reads of this file go past the page cache, where the file system can: for what is
     * read once, by threads that have something else to do while one of them waits. Their buffers,
     * lengths and offsets must be multiples of WAL_PAGE_BYTES. */
    void (*read_direct)(struct storage *storage, storage_file file);

    /* Reads up to len bytes; *got is less only at the file's end. */
    enum hf_status (*read)(struct storage *storage, storage_file file, void *buffer, size_t len,
                           uint64_t offset, size_t *got);

    /* Writes, and syncs the whole file (as sync does), waiting for it. Buffer, len and offset
     * multiples of WAL_PAGE_BYTES. */
    enum hf_status (*write_sync)(struct storage *storage, storage_file file, const void *buffer,
                                 size_t len, uint64_t offset);

    /* Makes durable all that the file holds, also what an earlier process wrote and never synced:
     * what recovery has read may otherwise still be lost. The file is open for writing. */
    enum hf_status (*sync)(struct storage *storage, storage_file file);

    /* Rename (replacing), unlink; each durable on return (directory synced). So is NOT_FOUND: the
     * name has no file, and gets none back. */
    enum hf_status (*rename)(struct storage *storage, const char *from, const char *to);
    enum hf_status (*unlink)(struct storage *storage, const char *name);

    /* Tells the ring about memory that writes will come from; at most once, before any submit.
     * An optimization: failure is not an error. */
    void (*register_buffers)(struct storage *storage, void *const *buffers, size_t bytes_each,
                             unsigned count);

    /* Starts a durable write. buffer: aligned to WAL_PAGE_BYTES, untouched until its completion is
     * reaped; len, offset: multiples of WAL_PAGE_BYTES; inside the file's size. */
    enum hf_status (*submit_write)(struct storage *storage, storage_file file, const void *buffer,
                                   size_t len, uint64_t offset, uint64_t token);

    /* Collects finished writes, up to max; waits for at least one if `wait` and any is under way.
     * Returns how many. */
    unsigned (*reap)(struct storage *storage, bool wait, struct storage_completion *completions,
                     unsigned max);

    /* Before the first change, once it is decided that there will be one: removes what an
     * interrupted process was making, waits for writes that a killed one still has under way, and
     * makes durable what names there are: it may have been killed before it synced them. NULL:
     * nothing of that kind. */
    enum hf_status (*settle)(struct storage *storage);

    void (*destroy)(struct storage *storage);
};

/* Implementations put this first in their own struct. */
struct storage {
    const struct storage_ops *ops;
};

/* Removes a file in small pieces, and calls rest() after each but the last: where the file system
 * tells the disk of blocks that it frees (ext4 mounted with `discard`) other writes stand still
 * meanwhile, for 100 ms and more when a file of a GiB goes at once. First it gets the ending .tmp,
 * so that it is gone, durably, for all others. rest: false gives up, and what is left goes when the
 * directory is opened the next time; NULL: no rests. OK, NOT_FOUND, CANCELED, IO_ERROR. */
enum hf_status storage_wear_away(struct storage *storage, const char *name,
                                 bool (*rest)(void *context), void *context);

enum storage_mode {
    STORAGE_AUTO,  /* io_uring if it is permitted, else pwritev2, with a notice */
    STORAGE_URING, /* io_uring or fail with UNSUPPORTED */
    STORAGE_SYNC,  /* pwritev2 */
};

/* What files and directories are made with, as far as the process's umask lets them: an engine's
 * data are its owner's to write and its group's to read, whatever the umask would allow beyond. */
#define STORAGE_FILE_MODE      0640
#define STORAGE_DIRECTORY_MODE 0750

/* Opens a directory on the real disk, making it (not its parents) if missing.
 * read_only: nothing is made or written; the directory may be in use by an engine. Otherwise take
 * storage_lock() first, and call storage_settle() before the first change: until then nothing in
 * the directory is touched. OK; NOT_FOUND (read_only and no such directory), IO_ERROR, UNSUPPORTED,
 * NO_MEMORY. */
enum hf_status storage_open(struct storage **out, const char *directory, enum storage_mode mode,
                            bool read_only);
enum hf_status storage_settle(struct storage *storage);
void storage_destroy(struct storage *storage);

/* Why the calling thread's last operation on any storage failed, in the system's words ("too many
 * open files"), when it came to `status`; else what the status says. Static. The statuses say what
 * the caller can do: NO_SPACE is a full disk or quota alone, NO_MEMORY is memory, IO_ERROR all else
 * (no access, too many files, a read-only file system, a broken disk). */
const char *storage_reason(enum hf_status status);

/* For implementations: the calling thread's operation failed with an errno. */
void storage_note_error(int error, enum hf_status status);

/* Makes a directory (not its parents), and its name durable: where that fails, no directory is
 * left. An existing one is fine, and its name is made durable where that is permitted. OK;
 * NO_SPACE, IO_ERROR (said in the log), NO_MEMORY. */
enum hf_status storage_make_directory(const char *directory);

/* Makes the directory (not its parents) if it is missing, and takes its exclusive lock (flock on
 * DIR/LOCK) for the life of the process or until storage_unlock. LOCKED when somebody has it. */
enum hf_status storage_lock(const char *directory, int *lock);
void storage_unlock(int lock);

enum storage_lock_state {
    STORAGE_LOCK_FREE,  /* or its file is missing */
    STORAGE_LOCK_HELD,  /* by an engine or a tool */
    STORAGE_LOCK_UNFIT, /* DIR/LOCK is no regular file: nobody can take it */
};

/* Looks at a directory's lock and leaves it alone. It is tried for no longer than it takes to ask:
 * an engine that starts in just that moment finds it taken. */
enum storage_lock_state storage_lock_state(const char *directory);

/* Whether the lock's file is missing; then *modified is when the directory was last changed. */
bool storage_lock_missing(const char *directory, struct timespec *modified);

/* As storage_unlock, and removes the lock's file: for who has made it, and leaves without a trace.
 * modified: as it was before. */
void storage_unlock_unused(const char *directory, int lock, struct timespec modified);

#endif
