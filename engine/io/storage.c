/* storage.c - a directory on the real disk: opening, locking, and which way its writes go.
 *
 * Threads: storage_open and storage_destroy from one; see storage.h. */
#include "io/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/limits.h"
#include "io/real.h"

#define WEAR_BYTES MIB(2) /* of one piece: a discard of it takes less than a millisecond */

static enum hf_status failed_status(int error)
{
    enum hf_status status = real_status(error) == HF_NO_SPACE ? HF_NO_SPACE : HF_IO_ERROR;
    storage_note_error(error, status);
    return status;
}

/* Makes the directory's name durable. Also of one that is there: who made it may have been killed
 * before. made: by us; of another's we only ask what we may, and a parent that can't be opened or
 * synced at all (another's, or read-only) was not written a moment ago. */
static enum hf_status sync_parent(const char *directory, bool made)
{
    char *copy = strdup(directory);
    if (!copy) {
        return HF_NO_MEMORY;
    }
    int parent = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = parent < 0 || fsync(parent) != 0 ? errno : 0;
    bool refused = error == EACCES || error == EPERM || error == EROFS || error == EINVAL;
    if (parent >= 0) {
        close(parent);
    }
    free(copy);
    if (error == 0 || (refused && !made)) {
        return HF_OK;
    }
    diag_error("%s: its parent can't be synced: %s", directory, strerror(error));
    return failed_status(error);
}

enum hf_status storage_make_directory(const char *directory)
{
    bool made = mkdir(directory, STORAGE_DIRECTORY_MODE) == 0;
    int error = errno;
    if (!made && error != EEXIST) {
        diag_error("%s: the directory can't be made: %s", directory, strerror(error));
        return failed_status(error);
    }
    enum hf_status status = sync_parent(directory, made);
    if (status != HF_OK && made) {
        rmdir(directory); /* or the next try would find it, and take its name for durable */
    }
    return status;
}

/* ---- Reasons ---- */

static _Thread_local struct {
    int error; /* 0: none */
    enum hf_status status;
} last_failure;

void storage_note_error(int error, enum hf_status status)
{
    last_failure.error = error;
    last_failure.status = status;
}

const char *storage_reason(enum hf_status status)
{
    const char *text = last_failure.error != 0 && last_failure.status == status
                           ? strerrordesc_np(last_failure.error)
                           : NULL;
    return text ? text : hf_status_text(status);
}

/* ---- Opening ---- */

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
            diag_error("io_uring can't be used here: %s", why_not);
            *status = HF_UNSUPPORTED;
            return NULL;
        }
        diag_warn("io_uring can't be used here (%s): the log is written with pwritev2", why_not);
    }
    *status = HF_NO_MEMORY;
    return sync_storage_make();
}

enum hf_status storage_open(struct storage **out, const char *directory, enum storage_mode mode,
                            bool read_only)
{
    *out = NULL;
    if (!read_only) {
        enum hf_status status = storage_make_directory(directory);
        if (status != HF_OK) {
            return status;
        }
    }
    int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0) {
        int error = errno;
        diag_error("%s: the directory can't be opened: %s", directory, strerror(error));
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
    return HF_OK;
}

enum hf_status storage_settle(struct storage *storage)
{
    return storage->ops->settle ? storage->ops->settle(storage) : HF_OK;
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
    if (status != HF_OK) {
        return status;
    }
    status = storage->ops->open(storage, dying, true, &file, &size);
    if (status != HF_OK) { /* then at once, as it may hold up others' writes for a moment */
        return storage->ops->unlink(storage, dying);
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

/* BUSY: who had the lock has removed its file meanwhile (storage_unlock_unused). */
static enum hf_status lock_file(const char *path, int *lock)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, STORAGE_FILE_MODE);
    if (fd < 0) {
        int error = errno;
        diag_error("%s: can't be opened: %s", path, strerror(error));
        return failed_status(error);
    }
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        if (error != EINTR) {
            close(fd);
            return error == EWOULDBLOCK ? HF_LOCKED : HF_IO_ERROR;
        }
    }
    struct stat locked;
    struct stat named;
    if (fstat(fd, &locked) != 0 || stat(path, &named) != 0 || locked.st_ino != named.st_ino) {
        close(fd);
        return HF_BUSY;
    }
    *lock = fd;
    return HF_OK;
}

enum storage_lock_state storage_lock_state(const char *directory)
{
    char path[PATH_MAX];
    struct stat about;
    int used = snprintf(path, sizeof path, "%s/LOCK", directory);
    if (used < 0 || (size_t)used >= sizeof path || lstat(path, &about) != 0) {
        return STORAGE_LOCK_FREE;
    }
    if (!S_ISREG(about.st_mode)) {
        return STORAGE_LOCK_UNFIT;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return STORAGE_LOCK_FREE;
    }
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held ? STORAGE_LOCK_HELD : STORAGE_LOCK_FREE;
}

bool storage_lock_missing(const char *directory, struct timespec *modified)
{
    struct stat about;
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool missing =
        fd >= 0 && fstat(fd, &about) == 0 && faccessat(fd, "LOCK", F_OK, 0) != 0 && errno == ENOENT;
    if (missing) {
        *modified = about.st_mtim;
    }
    if (fd >= 0) {
        close(fd);
    }
    return missing;
}

void storage_unlock_unused(const char *directory, int lock, struct timespec modified)
{
    int fd = lock >= 0 ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, modified};
        if (unlinkat(fd, "LOCK", 0) == 0) {
            (void)futimens(fd, times);
        }
        close(fd);
    }
    storage_unlock(lock);
}

enum hf_status storage_lock(const char *directory, int *lock)
{
    *lock = -1;
    enum hf_status status = storage_make_directory(directory);
    if (status != HF_OK) {
        return status;
    }
    size_t path_bytes = strlen(directory) + sizeof "/LOCK";
    char *path = malloc(path_bytes);
    if (!path) {
        return HF_NO_MEMORY;
    }
    snprintf(path, path_bytes, "%s/LOCK", directory);
    do {
        status = lock_file(path, lock);
    } while (status == HF_BUSY);
    free(path);
    return status;
}

void storage_unlock(int lock)
{
    if (lock >= 0) {
        close(lock);
    }
}
