/* storage_directory.c - making a data directory, and its lock. See storage_directory.h. */
#include "io/storage_directory.h"

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

#include "base/diag.h"
#include "io/real.h"

/* ---- The directory ---- */

/* Makes the directory's name durable, also when the directory was there: the process that made it
 * may have been killed before it did so. made: this call made the directory. Otherwise a parent
 * that must not be opened or synced (another user's, or read-only) is fine: nobody has just written
 * it. */
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
    return real_write_status(error);
}

enum hf_status storage_make_directory(const char *directory)
{
    bool made = mkdir(directory, STORAGE_DIRECTORY_MODE) == 0;
    int error = errno;
    if (!made && error != EEXIST) {
        diag_error("%s: the directory can't be made: %s", directory, strerror(error));
        return real_write_status(error);
    }
    enum hf_status status = sync_parent(directory, made);
    if (status != HF_OK && made) {
        rmdir(directory); /* or the next try would find it, and take its name for durable */
    }
    return status;
}

/* ---- Its lock ---- */

/* BUSY: the process that had the lock has just removed its file (storage_unlock_unused). */
static enum hf_status lock_file(const char *path, int *lock)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, STORAGE_FILE_MODE);
    if (fd < 0) {
        int error = errno;
        diag_error("%s: can't be opened: %s", path, strerror(error));
        return real_write_status(error);
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
