/* storage.h - files of one directory, behind a table of functions: the real disk (storage_open.h),
 * or a simulated one that loses and tears what was not synced.
 *
 * Threads: several threads may use one `struct storage` for different files. Only one thread, the
 * log's writer, may call submit_write and reap: it owns the ring.
 *
 * Durability: a write of submit_write is durable once it is reaped with OK (RWF_DSYNC). After any
 * failed write or sync the caller must not use the file's contents, and nothing is tried again. */
#ifndef IO_STORAGE_H
#define IO_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/status.h"

#define STORAGE_NAME_BYTES_MAX 64u

/* Of files that are made, as far as the process's umask allows: written by the owner, read by the
 * group. */
#define STORAGE_FILE_MODE 0640

struct storage;

/* A file's number; valid until closed. */
typedef int storage_file;

struct storage_completion {
    uint64_t token;        /* as given to submit_write */
    enum hf_status status; /* OK: all of it is durable. NO_SPACE, IO_ERROR */
};

struct storage_ops {
    /* What carries the writes: "io_uring", "pwritev2" or "simulated". Static. */
    const char *(*name)(const struct storage *storage);

    /* Calls visit for each name in the directory, in sorted order, whatever has that name. Stops
     * when visit returns false. */
    enum hf_status (*list)(struct storage *storage, bool (*visit)(void *context, const char *name),
                           void *context);

    /* Opens an existing file for reading, or for reading and writing. Writes go past the page
     * cache (O_DIRECT) where the file system can; reads need no alignment. *size: bytes. */
    enum hf_status (*open)(struct storage *storage, const char *name, bool writable,
                           storage_file *file, uint64_t *size);

    /* Makes a file of `size` bytes of written zeros (not just allocated), synced, with its name
     * durable. An existing file of that name is replaced. NO_SPACE leaves nothing behind. */
    enum hf_status (*create_zeroed)(struct storage *storage, const char *name, uint64_t size);

    /* Makes an empty file, to be written from its beginning to its end: write, then sync, then
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

    /* From now on reads of this file go past the page cache, where the file system can: for a file
     * that is read once, by a thread that may wait for the disk. Buffers, lengths and offsets of
     * these reads must be multiples of WAL_PAGE_BYTES. */
    void (*read_direct)(struct storage *storage, storage_file file);

    /* Reads up to len bytes; *got is less only at the file's end. */
    enum hf_status (*read)(struct storage *storage, storage_file file, void *buffer, size_t len,
                           uint64_t offset, size_t *got);

    /* Writes, and syncs the whole file (as sync does), waiting for it. Buffer, len and offset
     * multiples of WAL_PAGE_BYTES. */
    enum hf_status (*write_sync)(struct storage *storage, storage_file file, const void *buffer,
                                 size_t len, uint64_t offset);

    /* Makes durable all that the file holds, also what an earlier process wrote and never synced:
     * otherwise bytes that recovery has read could still be lost. The file is open for writing. */
    enum hf_status (*sync)(struct storage *storage, storage_file file);

    /* Rename (replacing), unlink: each is durable on return (directory synced). NOT_FOUND is
     * durable too: the name has no file, and a power cut does not bring one back. */
    enum hf_status (*rename)(struct storage *storage, const char *from, const char *to);
    enum hf_status (*unlink)(struct storage *storage, const char *name);

    /* Registers with the ring the memory that writes will come from; at most once, before any
     * submit. An optimization: failure is not an error. */
    void (*register_buffers)(struct storage *storage, void *const *buffers, size_t bytes_each,
                             unsigned count);

    /* Takes a durable write, which begins with start() or reap(), at the latest. buffer: aligned to
     * WAL_PAGE_BYTES, untouched until its completion is reaped; len, offset: multiples of
     * WAL_PAGE_BYTES; inside the file's size. */
    enum hf_status (*submit_write)(struct storage *storage, storage_file file, const void *buffer,
                                   size_t len, uint64_t offset, uint64_t token);

    /* Begins the writes that submit_write has taken. For a writer that does something else before
     * it waits: the disk works meanwhile. One that waits at once calls only reap(), which can then
     * write and wait with one system call. What fails is reaped. NULL: nothing to do. */
    void (*start)(struct storage *storage);

    /* Begins what start() would begin. Collects up to `max` finished writes, and returns their
     * number. If `wait` and any write is under way, waits for at least one. */
    unsigned (*reap)(struct storage *storage, bool wait, struct storage_completion *completions,
                     unsigned max);

    /* See storage_settle(). NULL: nothing to do. */
    enum hf_status (*settle)(struct storage *storage);

    void (*destroy)(struct storage *storage);
};

/* Implementations put this first in their own struct. */
struct storage {
    const struct storage_ops *ops;
};

/* Removes a file in small pieces, and calls pause() after each piece except the last. Where the
 * file system reports freed blocks to the disk (ext4 mounted with `discard`), other writes wait for
 * that: 100 ms and more when a file of a GiB is removed at once. The file is first renamed to
 * NAME.tmp: so it is gone, durably, for everybody else. When pause() returns false, removing stops
 * (CANCELED), and storage_settle() removes the rest when the directory is opened the next time.
 * pause NULL: no pauses. OK, NOT_FOUND, CANCELED, IO_ERROR. */
enum hf_status storage_unlink_gradually(struct storage *storage, const char *name,
                                        bool (*pause)(void *context), void *context);

/* Called before the first change of a directory's files, once it is certain that there will be one.
 * Removes files that an interrupted process was making, waits for writes that a killed process
 * still has under way, and makes all names durable: that process may have been killed before it
 * synced them. */
enum hf_status storage_settle(struct storage *storage);
void storage_destroy(struct storage *storage); /* NULL: nothing */

/* Why the calling thread's last operation on any storage failed, in the system's words ("too many
 * open files"), if it failed with `status`; else the status's own text. Static. A status shows what
 * the caller can do: NO_SPACE is only a full disk or quota, NO_MEMORY is memory, IO_ERROR is all
 * else (no access, too many files, a read-only file system, a broken disk). */
const char *storage_reason(enum hf_status status);

/* For implementations: notes that the calling thread's operation failed with an errno. */
void storage_note_error(int error, enum hf_status status);

#endif
