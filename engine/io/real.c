/* real.c - files of a directory: what the io_uring and the pwritev2 storage share.
 *
 * Threads: any, for different files. Every failure is logged here, once, with the file's name. */
#include "io/real.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/limits.h"
#include "base/pages.h"

#define ZERO_BYTES MIB(1) /* of one write of zeros: 64 MiB take 25 ms so (measured, NVMe) */

static enum hf_status status_of(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return HF_NO_SPACE;
    case ENOENT:
        return HF_NOT_FOUND;
    case ENOMEM:
        return HF_NO_MEMORY;
    default:
        return HF_IO_ERROR;
    }
}

enum hf_status real_status(int error)
{
    enum hf_status status = status_of(error);
    storage_note_error(error, status);
    return status;
}

/* For a file that must be there: NOT_FOUND becomes IO_ERROR. */
static enum hf_status failed_status(int error)
{
    enum hf_status status = status_of(error);
    status = status == HF_NOT_FOUND ? HF_IO_ERROR : status;
    storage_note_error(error, status);
    return status;
}

enum hf_status real_write_status(int error)
{
    enum hf_status status = status_of(error) == HF_NO_SPACE ? HF_NO_SPACE : HF_IO_ERROR;
    storage_note_error(error, status);
    return status;
}

static struct real_storage *real_of(struct storage *storage)
{
    return (struct real_storage *)storage;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct name_list {
    char **names;
    size_t count;
    size_t room;
};

static bool name_list_add(struct name_list *list, const char *name)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        char **names = realloc(list->names, room * sizeof *names);
        if (!names) {
            return false;
        }
        list->names = names;
        list->room = room;
    }
    list->names[list->count] = strdup(name);
    return list->names[list->count] && ++list->count;
}

static enum hf_status read_names(struct real_storage *real, struct name_list *list)
{
    /* Opened again: a duplicate would share its position with other threads' listings. */
    int fd = openat(real->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int error = errno;
        diag_error("the directory can't be listed: %s", strerror(error));
        if (fd >= 0) {
            close(fd);
        }
        return failed_status(error);
    }
    enum hf_status status = HF_OK;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            status = errno == 0 ? HF_OK : failed_status(errno);
            break;
        }
        /* Also the name of a folder: it is in use, and the caller may have to know of it. */
        if (strlen(entry->d_name) >= STORAGE_NAME_BYTES_MAX || strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (!name_list_add(list, entry->d_name)) {
            status = HF_NO_MEMORY;
            break;
        }
    }
    closedir(dir);
    return status;
}

enum hf_status real_list(struct storage *storage, bool (*visit)(void *context, const char *name),
                         void *context)
{
    struct name_list list = {0};
    enum hf_status status = read_names(real_of(storage), &list);
    if (status == HF_OK && list.count > 0) {
        qsort(list.names, list.count, sizeof *list.names, compare_names);
        for (size_t i = 0; i < list.count && visit(context, list.names[i]); i++) {
        }
    }
    for (size_t i = 0; i < list.count; i++) {
        free(list.names[i]);
    }
    free(list.names);
    return status;
}

/* Opens for writing past the page cache, or through it where the file system refuses that. -1
 * with errno. */
static int open_for_writing(struct real_storage *real, const char *name, int flags)
{
    pthread_mutex_lock(&real->mutex);
    bool direct = real->direct;
    pthread_mutex_unlock(&real->mutex);
    if (direct) {
        int fd = openat(real->directory_fd, name, flags | O_DIRECT, STORAGE_FILE_MODE);
        if (fd >= 0 || errno != EINVAL) {
            return fd;
        }
        diag_warn("%s: the file system has no O_DIRECT; writes go through the page cache", name);
        pthread_mutex_lock(&real->mutex);
        real->direct = false;
        pthread_mutex_unlock(&real->mutex);
    }
    return openat(real->directory_fd, name, flags, STORAGE_FILE_MODE);
}

static storage_file take_slot(struct real_storage *real)
{
    storage_file file = -1;
    pthread_mutex_lock(&real->mutex);
    for (int i = 0; i < REAL_FILES_MAX; i++) {
        if (!real->files[i].used) {
            real->files[i].used = true;
            file = i;
            break;
        }
    }
    pthread_mutex_unlock(&real->mutex);
    return file;
}

static void give_slot(struct real_storage *real, storage_file file)
{
    pthread_mutex_lock(&real->mutex);
    CHECK(real->files[file].used);
    real->files[file].used = false;
    pthread_mutex_unlock(&real->mutex);
}

/* Only a regular file is opened: to open a pipe would wait for its other end. 0 or an errno. */
static int check_regular(const struct real_storage *real, const char *name)
{
    struct stat about;
    if (fstatat(real->directory_fd, name, &about, 0) != 0) {
        return errno;
    }
    return S_ISREG(about.st_mode) ? 0 : S_ISDIR(about.st_mode) ? EISDIR : EINVAL;
}

/* Opens for reading, and for writing if asked. 0 or an errno, with nothing open. */
static int open_both(struct real_storage *real, struct real_file *entry, bool writable,
                     uint64_t *size)
{
    struct stat about;
    int error = check_regular(real, entry->name);
    if (error != 0) {
        return error;
    }
    entry->read_fd = openat(real->directory_fd, entry->name, O_RDONLY | O_CLOEXEC);
    if (entry->read_fd >= 0 && writable) {
        entry->write_fd = open_for_writing(real, entry->name, O_RDWR | O_CLOEXEC);
    }
    if (entry->read_fd >= 0 && (!writable || entry->write_fd >= 0) &&
        fstat(entry->read_fd, &about) == 0) {
        storage_note_error(0, HF_OK);
        *size = (uint64_t)about.st_size;
        return 0;
    }
    error = errno;
    if (entry->write_fd >= 0) {
        close(entry->write_fd);
    }
    if (entry->read_fd >= 0) {
        close(entry->read_fd);
    }
    return error;
}

enum hf_status real_open(struct storage *storage, const char *name, bool writable,
                         storage_file *file, uint64_t *size)
{
    struct real_storage *real = real_of(storage);
    CHECK(strlen(name) < STORAGE_NAME_BYTES_MAX);
    CHECK(!writable || !real->read_only);
    storage_file slot = take_slot(real);
    if (slot < 0) {
        diag_error("%s: too many files are open", name);
        return failed_status(EMFILE);
    }
    struct real_file *entry = &real->files[slot];
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->write_fd = -1;
    entry->read_direct = false;
    entry->read_fd = -1;
    int error = open_both(real, entry, writable, size);
    if (error != 0) {
        if (error != ENOENT) {
            diag_error("%s: can't be opened: %s", name, strerror(error));
        }
        give_slot(real, slot);
        return real_status(error);
    }
    *file = slot;
    return HF_OK;
}

enum hf_status real_create(struct storage *storage, const char *name, storage_file *file)
{
    struct real_storage *real = real_of(storage);
    CHECK(!real->read_only);
    int fd = open_for_writing(real, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        diag_error("%s: can't be made: %s", name, strerror(error));
        return real_write_status(error);
    }
    close(fd);
    uint64_t size;
    enum hf_status status = real_open(storage, name, true, file, &size);
    return status == HF_NOT_FOUND ? HF_IO_ERROR : status;
}

static struct real_file *file_of(const struct real_storage *real, storage_file file)
{
    CHECK(file >= 0);
    CHECK(file < REAL_FILES_MAX);
    return (struct real_file *)&real->files[file];
}

void real_close(struct storage *storage, storage_file file)
{
    struct real_file *entry = file_of(real_of(storage), file);
    CHECK(entry->read_fd >= 0);
    close(entry->read_fd);
    if (entry->write_fd >= 0) {
        close(entry->write_fd);
    }
    entry->read_fd = -1;
    entry->write_fd = -1;
    give_slot(real_of(storage), file);
}

/* A caller that reads READ_ON_BYTES_MIN at once will read on: the next bytes are fetched while it
 * works on these. The kernel's own readahead fetches only a fraction of that, and one call of
 * posix_fadvise() no more than the device's greatest request. */
#define READ_ON_BYTES_MIN KIB(512)
#define READ_ON_STEP      KIB(256)

static void read_on(int fd, uint64_t offset, size_t len)
{
    for (uint64_t at = offset; at < offset + len; at += READ_ON_STEP) {
        (void)posix_fadvise(fd, (off_t)at, (off_t)READ_ON_STEP, POSIX_FADV_WILLNEED); /* a hint */
    }
}

void real_read_direct(struct storage *storage, storage_file file)
{
    struct real_file *entry = file_of(real_of(storage), file);
    int flags = fcntl(entry->read_fd, F_GETFL);
    entry->read_direct = flags >= 0 && fcntl(entry->read_fd, F_SETFL, flags | O_DIRECT) == 0;
}

enum hf_status real_read(struct storage *storage, storage_file file, void *buffer, size_t len,
                         uint64_t offset, size_t *got)
{
    const struct real_file *entry = file_of(real_of(storage), file);
    *got = 0;
    while (*got < len) {
        ssize_t n =
            pread(entry->read_fd, (uint8_t *)buffer + *got, len - *got, (off_t)(offset + *got));
        if (n == 0) {
            break;
        }
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            int error = errno;
            diag_error("%s: reading %zu bytes at %llu failed: %s", entry->name, len,
                       (unsigned long long)offset, strerror(error));
            return failed_status(error);
        }
        *got += (size_t)n;
    }
    CHECK(*got <= len);
    if (len >= READ_ON_BYTES_MIN && *got == len && !entry->read_direct) {
        read_on(entry->read_fd, offset + len, len);
    }
    return HF_OK;
}

const struct real_file *real_writable(const struct real_storage *real, storage_file file)
{
    const struct real_file *entry = file_of(real, file);
    CHECK(entry->write_fd >= 0);
    return entry;
}

enum hf_status real_write_failed(const struct real_file *file, size_t len, uint64_t offset,
                                 int error)
{
    diag_error("%s: writing %zu bytes at %llu failed: %s", file->name, len,
               (unsigned long long)offset, strerror(error));
    return real_write_status(error);
}

int real_write_all(int fd, const void *buffer, size_t len, uint64_t offset, int flags)
{
    const uint8_t *next = buffer;
    while (len > 0) {
        struct iovec part = {(void *)next, len};
        ssize_t n = pwritev2(fd, &part, 1, (off_t)offset, flags);
        if (n < 0) {
            /* Nothing was written, and nothing has failed: it is tried again. */
            if (errno == EINTR || errno == EAGAIN) {
                continue;
            }
            return errno;
        }
        if (n == 0) {
            return EIO;
        }
        next += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

enum hf_status real_write(struct storage *storage, storage_file file, const void *buffer,
                          size_t len, uint64_t offset)
{
    const struct real_file *entry = real_writable(real_of(storage), file);
    CHECK((uintptr_t)buffer % WAL_PAGE_BYTES == 0);
    CHECK(len % WAL_PAGE_BYTES == 0);
    CHECK(offset % WAL_PAGE_BYTES == 0);
    int error = real_write_all(entry->write_fd, buffer, len, offset, 0);
    return error ? real_write_failed(entry, len, offset, error) : HF_OK;
}

enum hf_status real_truncate(struct storage *storage, storage_file file, uint64_t size)
{
    const struct real_file *entry = real_writable(real_of(storage), file);
    CHECK(size % WAL_PAGE_BYTES == 0);
    if (ftruncate(entry->write_fd, (off_t)size) != 0) {
        int error = errno;
        diag_error("%s: can't be cut to %llu bytes: %s", entry->name, (unsigned long long)size,
                   strerror(error));
        return real_write_status(error);
    }
    return HF_OK;
}

enum hf_status real_write_sync(struct storage *storage, storage_file file, const void *buffer,
                               size_t len, uint64_t offset)
{
    enum hf_status status = real_write(storage, file, buffer, len, offset);
    return status == HF_OK ? real_sync(storage, file) : status;
}

enum hf_status real_sync(struct storage *storage, storage_file file)
{
    const struct real_file *entry = real_writable(real_of(storage), file);
    /* Never again after a failure: the kernel may have dropped the pages and say OK next time. */
    if (fdatasync(entry->write_fd) != 0) {
        int error = errno;
        diag_error("%s: fdatasync failed: %s", entry->name, strerror(error));
        return real_write_status(error);
    }
    return HF_OK;
}

static enum hf_status sync_directory(struct real_storage *real, const char *name)
{
    if (fsync(real->directory_fd) != 0) {
        int error = errno;
        diag_error("%s: syncing its directory failed: %s", name, strerror(error));
        return real_write_status(error);
    }
    return HF_OK;
}

/* Writes zeros over the whole of a new file and syncs it. 0 or an errno. */
static int write_zeros(int fd, uint64_t size)
{
    /* Reserves the space in one piece where that can be done, and fails at once on a full disk. The
     * blocks are still unwritten extents: only after the zeros below can they be written without
     * a commit of the file system's journal. */
    if (fallocate(fd, 0, 0, (off_t)size) != 0 && (errno == ENOSPC || errno == EDQUOT)) {
        return errno;
    }
    void *zeros = pages_map_buffer(ZERO_BYTES);
    if (!zeros) {
        return ENOMEM;
    }
    int error = 0;
    for (uint64_t offset = 0; offset < size && error == 0; offset += ZERO_BYTES) {
        uint64_t left = size - offset;
        error =
            real_write_all(fd, zeros, (size_t)(left < ZERO_BYTES ? left : ZERO_BYTES), offset, 0);
    }
    pages_unmap(zeros, ZERO_BYTES);
    if (error == 0 && fdatasync(fd) != 0) {
        error = errno;
    }
    return error;
}

enum hf_status real_create_zeroed(struct storage *storage, const char *name, uint64_t size)
{
    struct real_storage *real = real_of(storage);
    CHECK(!real->read_only);
    CHECK(size % WAL_PAGE_BYTES == 0);
    CHECK(strlen(name) < STORAGE_NAME_BYTES_MAX);
    char temporary[STORAGE_NAME_BYTES_MAX + 4];
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    int fd = open_for_writing(real, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC);
    int error = fd >= 0 ? write_zeros(fd, size) : errno;
    if (fd >= 0 && close(fd) != 0 && error == 0) {
        error = errno;
    }
    if (error == 0 && renameat(real->directory_fd, temporary, real->directory_fd, name) != 0) {
        error = errno;
    }
    if (error != 0) {
        unlinkat(real->directory_fd, temporary, 0);
        if (real_write_status(error) != HF_NO_SPACE) {
            diag_error("%s: can't be made: %s", name, strerror(error));
        }
        return real_write_status(error);
    }
    enum hf_status status = sync_directory(real, name);
    if (status != HF_OK) {
        unlinkat(real->directory_fd, name,
                 0); /* its name may be gone after a power cut: nobody may use it */
    }
    return status;
}

/* There is no file of that name. An earlier try may have removed it and failed to sync the
 * directory: so this makes durable that it is gone. */
static enum hf_status not_there(struct real_storage *real, const char *name)
{
    enum hf_status status = sync_directory(real, name);
    return status == HF_OK ? real_status(ENOENT) : status;
}

enum hf_status real_rename(struct storage *storage, const char *from, const char *to)
{
    struct real_storage *real = real_of(storage);
    CHECK(!real->read_only);
    if (renameat(real->directory_fd, from, real->directory_fd, to) != 0) {
        int error = errno;
        diag_error("%s: can't be renamed to %s: %s", from, to, strerror(error));
        return error == ENOENT ? not_there(real, from) : real_status(error);
    }
    return sync_directory(real, to);
}

enum hf_status real_unlink(struct storage *storage, const char *name)
{
    struct real_storage *real = real_of(storage);
    CHECK(!real->read_only);
    if (unlinkat(real->directory_fd, name, 0) != 0) {
        int error = errno;
        if (error == ENOENT) {
            return not_there(real, name);
        }
        diag_error("%s: can't be removed: %s", name, strerror(error));
        return real_status(error);
    }
    return sync_directory(real, name);
}

/* ---- Settling ---- */

static bool ends_with(const char *name, const char *ending)
{
    size_t name_len = strlen(name);
    size_t ending_len = strlen(ending);
    return name_len >= ending_len && strcmp(name + name_len - ending_len, ending) == 0;
}

/* A process that was killed may have left writes under way: the kernel tears its ring down later,
 * and a direct write that reaches the disk after we have read the log's end would overwrite what we
 * write there. fallocate() of blocks that are allocated changes nothing but the file's
 * times, and waits for its direct writes (inode_dio_wait in ext4, xfs and others). */
static void wait_for_old_writes(int directory_fd, const char *name)
{
    int fd = openat(directory_fd, name, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct stat stat;
    if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size > 0) {
        /* Where it is refused, this way of waiting is not possible; not an error. */
        (void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, stat.st_size);
    }
    close(fd);
}

static bool tidy_visit(void *context, const char *name)
{
    struct real_storage *real = context;
    /* What an engine was making. Other files with the ending .tmp belong to somebody else. */
    if (ends_with(name, ".seg.tmp") || ends_with(name, ".ckp.tmp") ||
        ends_with(name, ".mark.tmp")) {
        if (unlinkat(real->directory_fd, name, 0) != 0) {
            diag_warn("%s: a leftover that can't be removed: %s", name, strerror(errno));
        }
    } else if (ends_with(name, ".seg")) {
        wait_for_old_writes(real->directory_fd, name);
    }
    return true;
}

/* A killed process may have changed names and not synced the directory. From now on the engine
 * builds on the files that it has read: a segment whose name gets lost would take acknowledged
 * records with it. */
enum hf_status real_settle(struct storage *storage)
{
    struct real_storage *real = real_of(storage);
    CHECK(!real->read_only);
    enum hf_status status = real_list(storage, tidy_visit, real);
    return status == HF_OK ? sync_directory(real, "the log's files") : status;
}

int real_write_durably(int fd, const void *buffer, size_t len, uint64_t offset)
{
    int error = real_write_all(fd, buffer, len, offset, RWF_DSYNC);
    if (error == EOPNOTSUPP) {
        error = real_write_all(fd, buffer, len, offset, 0);
        if (error == 0 && fdatasync(fd) != 0) {
            error = errno;
        }
    }
    return error;
}

void real_deinit(struct real_storage *real)
{
    for (int i = 0; i < REAL_FILES_MAX; i++) {
        if (real->files[i].used) {
            real_close(&real->base, i);
        }
    }
    close(real->directory_fd);
    pthread_mutex_destroy(&real->mutex);
}
