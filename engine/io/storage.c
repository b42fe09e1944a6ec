/* storage.c - a directory on the real disk: opening, locking, and which way its writes go.
 *
 * Threads: storage_open and storage_destroy from one; see storage.h. */
#include "io/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/real.h"

#define WEAR_BYTES MIB(2) /* of one piece: a discard of it takes less than a millisecond */

/* Makes a directory, and its name durable. An existing one is fine. */
static enum hf_status make_directory(const char *directory)
{
    if (mkdir(directory, STORAGE_DIRECTORY_MODE) != 0) {
        if (errno == EEXIST) {
            return HF_OK;
        }
        log_error("%s: the directory can't be made: %s", directory, strerror(errno));
        return real_status(errno) == HF_NO_SPACE ? HF_NO_SPACE : HF_IO_ERROR;
    }
    char *copy = strdup(directory);
    if (!copy) {
        return HF_NO_MEMORY;
    }
    enum hf_status status = HF_OK;
    int parent = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || fsync(parent) != 0) {
        log_error("%s: its parent can't be synced: %s", directory, strerror(errno));
        status = HF_IO_ERROR;
    }
    if (parent >= 0) {
        close(parent);
    }
    free(copy);
    return status;
}

static bool ends_with(const char *name, const char *ending)
{
    size_t name_len = strlen(name);
    size_t ending_len = strlen(ending);
    return name_len >= ending_len && strcmp(name + name_len - ending_len, ending) == 0;
}

/* A process that was killed may have left writes under way: its ring is torn down behind its back,
 * and a direct write that still reaches the disk after we have read the log's end would overwrite
 * what we write there. fallocate() of blocks that are allocated changes nothing, but waits for
 * the file's direct writes (inode_dio_wait in ext4, xfs and others). */
static void wait_for_old_writes(int directory_fd, const char *name)
{
    int fd = openat(directory_fd, name, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct stat stat;
    if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size > 0) {
        /* Where it is refused there is nothing to wait for in this way; not an error. */
        (void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, stat.st_size);
    }
    close(fd);
}

static bool tidy_visit(void *context, const char *name)
{
    struct real_storage *real = context;
    /* What this engine was making; other files of that ending are somebody else's. */
    if (ends_with(name, ".seg.tmp") || ends_with(name, ".ckp.tmp") ||
        ends_with(name, ".mark.tmp")) {
        if (unlinkat(real->directory_fd, name, 0) != 0) {
            log_warn("%s: a leftover that can't be removed: %s", name, strerror(errno));
        }
    } else if (ends_with(name, ".seg")) {
        wait_for_old_writes(real->directory_fd, name);
    }
    return true;
}

/* The implementation for a mode, or NULL with *status. */
static struct real_storage *make_for_mode(enum storage_mode mode, bool read_only,
                                          enum hf_status *status)
{
    if (mode != STORAGE_SYNC && !read_only) {
        const char *why_not = NULL;
        struct real_storage *real = uring_storage_make(&why_not);
        if (real) {
            return real;
        }
        if (mode == STORAGE_URING) {
            log_error("io_uring can't be used here: %s", why_not);
            *status = HF_UNSUPPORTED;
            return NULL;
        }
        log_warn("io_uring can't be used here (%s): the log is written with pwritev2", why_not);
    }
    *status = HF_NO_MEMORY;
    return sync_storage_make();
}

enum hf_status storage_open(struct storage **out, const char *directory, enum storage_mode mode,
                            bool read_only)
{
    *out = NULL;
    if (!read_only) {
        enum hf_status status = make_directory(directory);
        if (status != HF_OK) {
            return status;
        }
    }
    int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0) {
        int error = errno;
        log_error("%s: the directory can't be opened: %s", directory, strerror(error));
        return real_status(error);
    }
    enum hf_status status;
    struct real_storage *real = make_for_mode(mode, read_only, &status);
    if (!real) {
        close(directory_fd);
        return status;
    }
    real->directory_fd = directory_fd;
    real->read_only = read_only;
    real->direct = true;
    CHECK(pthread_mutex_init(&real->mutex, NULL) == 0);
    *out = &real->base;
    if (!read_only) {
        status = real_list(&real->base, tidy_visit, real);
        if (status != HF_OK) {
            storage_destroy(*out);
            *out = NULL;
            return status;
        }
    }
    return HF_OK;
}

/* Cuts pieces off the file's end until none is left. */
static enum hf_status wear_down(struct storage *storage, storage_file file, uint64_t size,
                                bool (*rest)(void *context), void *context)
{
    enum hf_status status = HF_OK;
    while (size > WEAR_BYTES && status == HF_OK) {
        size = (size - 1) / WEAR_BYTES * WEAR_BYTES;
        status = storage->ops->truncate(storage, file, size);
        if (status == HF_OK && rest && !rest(context)) {
            status = HF_CANCELED;
        }
    }
    return status;
}

enum hf_status storage_wear_away(struct storage *storage, const char *name,
                                 bool (*rest)(void *context), void *context)
{
    char dying[STORAGE_NAME_BYTES_MAX + 4];
    storage_file file;
    uint64_t size;
    snprintf(dying, sizeof dying, "%s.tmp", name);
    enum hf_status status = storage->ops->rename(storage, name, dying);
    if (status == HF_OK) {
        status = storage->ops->open(storage, dying, true, &file, &size);
    }
    if (status != HF_OK) {
        return status;
    }
    status = wear_down(storage, file, size, rest, context);
    storage->ops->close(storage, file);
    return status == HF_OK ? storage->ops->unlink(storage, dying) : status;
}

void storage_destroy(struct storage *storage)
{
    if (storage) {
        storage->ops->destroy(storage);
    }
}

enum hf_status storage_lock(const char *directory, int *lock)
{
    *lock = -1;
    enum hf_status status = make_directory(directory);
    if (status != HF_OK) {
        return status;
    }
    size_t path_bytes = strlen(directory) + sizeof "/LOCK";
    char *path = malloc(path_bytes);
    if (!path) {
        return HF_NO_MEMORY;
    }
    snprintf(path, path_bytes, "%s/LOCK", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, STORAGE_FILE_MODE);
    int error = errno;
    free(path);
    if (fd < 0) {
        log_error("%s/LOCK: can't be opened: %s", directory, strerror(error));
        return real_status(error) == HF_NO_SPACE ? HF_NO_SPACE : HF_IO_ERROR;
    }
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        error = errno;
        if (error == EINTR) {
            continue;
        }
        close(fd);
        return error == EWOULDBLOCK ? HF_LOCKED : HF_IO_ERROR;
    }
    *lock = fd;
    return HF_OK;
}

void storage_unlock(int lock)
{
    if (lock >= 0) {
        close(lock);
    }
}
