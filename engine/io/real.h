/* real.h - what the two ways of writing to the real disk share (sync.c, uring.c). Private to
 * engine/io.
 *
 * Threads: see storage.h. The mutex guards which entries of the table of files are used. A used
 * entry belongs to the thread that has its file open. */
#ifndef IO_REAL_H
#define IO_REAL_H

#include <pthread.h>

#include "io/storage.h"

#define REAL_FILES_MAX  256
#define REAL_WRITES_MAX 64u /* submitted and not reaped at once */

struct real_file {
    bool used;
    int read_fd;      /* through the page cache: any alignment; -1: not open */
    int write_fd;     /* O_DIRECT where the file system has it; -1 when open for reading only */
    bool read_direct; /* read_fd is O_DIRECT, too */
    char name[STORAGE_NAME_BYTES_MAX];
};

/* First in both implementations. */
struct real_storage {
    struct storage base;
    int directory_fd;
    bool read_only;
    bool direct; /* O_DIRECT has not been refused yet; guarded by mutex */
    pthread_mutex_t mutex;
    struct real_file files[REAL_FILES_MAX];
};

/* ---- Operations that are the same for both ---- */

enum hf_status real_list(struct storage *storage, bool (*visit)(void *context, const char *name),
                         void *context);
enum hf_status real_open(struct storage *storage, const char *name, bool writable,
                         storage_file *file, uint64_t *size);
enum hf_status real_create_zeroed(struct storage *storage, const char *name, uint64_t size);
enum hf_status real_create(struct storage *storage, const char *name, storage_file *file);
void real_close(struct storage *storage, storage_file file);
void real_read_direct(struct storage *storage, storage_file file);
enum hf_status real_read(struct storage *storage, storage_file file, void *buffer, size_t len,
                         uint64_t offset, size_t *got);
enum hf_status real_write(struct storage *storage, storage_file file, const void *buffer,
                          size_t len, uint64_t offset);
enum hf_status real_truncate(struct storage *storage, storage_file file, uint64_t size);
enum hf_status real_write_sync(struct storage *storage, storage_file file, const void *buffer,
                               size_t len, uint64_t offset);
enum hf_status real_sync(struct storage *storage, storage_file file);
enum hf_status real_rename(struct storage *storage, const char *from, const char *to);
enum hf_status real_unlink(struct storage *storage, const char *name);
enum hf_status real_settle(struct storage *storage);

/* ---- Helpers ---- */

/* NO_SPACE, NOT_FOUND, NO_MEMORY or IO_ERROR for an errno. storage_reason() then names the errno.
 */
enum hf_status real_status(int error);

/* The same for writes and syncs: NO_SPACE, or IO_ERROR for all else. */
enum hf_status real_write_status(int error);

/* The open file, which must be open for writing. */
const struct real_file *real_writable(const struct real_storage *real, storage_file file);

/* Writes an error message about a failed write, and returns its status. */
enum hf_status real_write_failed(const struct real_file *file, size_t len, uint64_t offset,
                                 int error);

/* Writes `len` bytes with pwritev2 and these RWF_ flags. 0 or an errno. */
int real_write_all(int fd, const void *buffer, size_t len, uint64_t offset, int flags);

/* The same, and durable on return: one call where the kernel takes RWF_DSYNC (88 us against 88 us
 * for write and fdatasync, 4 KiB, NVMe; one system call less), two where it does not. */
int real_write_durably(int fd, const void *buffer, size_t len, uint64_t offset);

/* Releases what both implementations have. The struct itself stays. */
void real_deinit(struct real_storage *real);

#endif
