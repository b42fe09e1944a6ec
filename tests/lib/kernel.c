/* kernel.c - see kernel.h.
 *
 * The calls go on to the next definition of the same name (RTLD_NEXT): the C library's or a
 * sanitizer's. Calls that come before those are known, while the program is being loaded, go to the
 * kernel itself: to look names up may allocate, and the allocator opens files.
 *
 * Threads: `lock` guards the tables and serializes the hooks; `watching` and `fd_known` are looked
 * at without it, so that sockets and the like cost nothing. */
#include "lib/kernel.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct open_file {
    bool is_directory;
    dev_t device;
    ino_t inode;
    uint64_t file;
    int flags;
    char name[KERNEL_NAME_BYTES_MAX];
};

struct file_number {
    dev_t device;
    ino_t inode;
    uint64_t file;
};

/* A call with the memory of its names. */
struct frame {
    struct kernel_call call;
    char name[KERNEL_NAME_BYTES_MAX];
    char to[KERNEL_NAME_BYTES_MAX];
};

/* A write that the ring has, until its completion is reaped. */
struct ring_write {
    const struct io_uring *ring; /* NULL: free */
    uint64_t user_data;
    bool forced; /* the completion has `result`, whatever the kernel put there */
    int result;
    struct frame frame;
};

#define RING_WRITES_MAX 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool watching;
static _Thread_local bool inside; /* in a hook: its own calls are not reported */
static struct kernel_hooks hooks;
static char root[PATH_MAX];
static uint64_t call_count;
static uint64_t file_count;
static struct open_file open_files[KERNEL_FDS_MAX];
static atomic_bool fd_known[KERNEL_FDS_MAX];
static struct file_number *numbers;
static size_t number_count;
static size_t number_room;
static struct ring_write ring_writes[RING_WRITES_MAX];

/* ---- The next definitions ---- */

static struct {
    int (*openat)(int, const char *, int, ...);
    int (*close)(int);
    int (*closedir)(DIR *);
    ssize_t (*read)(int, void *, size_t);
    ssize_t (*pread)(int, void *, size_t, off_t);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*pwritev)(int, const struct iovec *, int, off_t);
    ssize_t (*pwritev2)(int, const struct iovec *, int, off_t, int);
    int (*queue_init)(unsigned, struct io_uring *, unsigned);
    int (*ring_register)(unsigned, unsigned, const void *, unsigned);
    int (*register_buffers)(struct io_uring *, const struct iovec *, unsigned);
    int (*submit)(struct io_uring *);
    int (*get_cqe)(struct io_uring *, struct io_uring_cqe **, unsigned, unsigned, sigset_t *);
} next;

/* A function's address, into a pointer of its type. */
static void find_next(void *pointer, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(pointer, &found, sizeof found);
}

__attribute__((constructor(101))) static void find_all(void)
{
    if (next.openat) {
        return;
    }
    find_next(&next.close, "close");
    find_next(&next.closedir, "closedir");
    find_next(&next.read, "read");
    find_next(&next.pread, "pread");
    find_next(&next.write, "write");
    find_next(&next.pwrite, "pwrite");
    find_next(&next.pwritev, "pwritev");
    find_next(&next.pwritev2, "pwritev2");
    find_next(&next.queue_init, "io_uring_queue_init");
    find_next(&next.ring_register, "io_uring_register");
    find_next(&next.register_buffers, "io_uring_register_buffers");
    find_next(&next.submit, "io_uring_submit");
    find_next(&next.get_cqe, "__io_uring_get_cqe");
    find_next(&next.openat, "openat");
}

static int next_openat(int at, const char *path, int flags, mode_t mode)
{
    return next.openat ? next.openat(at, path, flags, mode)
                       : (int)syscall(SYS_openat, at, path, flags, mode);
}

static int next_close(int fd)
{
    return next.close ? next.close(fd) : (int)syscall(SYS_close, fd);
}

static ssize_t next_read(int fd, void *buffer, size_t len)
{
    return next.read ? next.read(fd, buffer, len) : syscall(SYS_read, fd, buffer, len);
}

static ssize_t next_pread(int fd, void *buffer, size_t len, off_t offset)
{
    return next.pread ? next.pread(fd, buffer, len, offset)
                      : syscall(SYS_pread64, fd, buffer, len, offset);
}

static ssize_t next_write(int fd, const void *data, size_t len)
{
    return next.write ? next.write(fd, data, len) : syscall(SYS_write, fd, data, len);
}

/* ---- Names ---- */

/* Appends a path's parts to a clean absolute path of PATH_MAX bytes. False: too long. */
static bool append_parts(char *to, const char *path)
{
    size_t used = strlen(to);
    for (const char *part = path; *part;) {
        size_t len = strcspn(part, "/");
        if (len == 2 && part[0] == '.' && part[1] == '.') {
            char *slash = strrchr(to, '/');
            used = slash ? (size_t)(slash - to) : 0;
        } else if (len > 0 && !(len == 1 && part[0] == '.')) {
            if (used + 1 + len >= PATH_MAX) {
                return false;
            }
            to[used] = '/';
            memcpy(to + used + 1, part, len);
            used += 1 + len;
        }
        to[used] = '\0';
        part += len + (part[len] == '/');
    }
    return true;
}

static bool is_known(int fd)
{
    return fd >= 0 && fd < KERNEL_FDS_MAX &&
           atomic_load_explicit(&fd_known[fd], memory_order_acquire);
}

/* The open file behind an fd, which may have been closed behind our back (by closedir inside the C
 * library, say) and be another by now: then it is forgotten. NULL: not one of ours. Under lock. */
static struct open_file *file_of(int fd)
{
    struct stat about;
    if (!is_known(fd)) {
        return NULL;
    }
    struct open_file *file = &open_files[fd];
    if (fstat(fd, &about) != 0 || about.st_dev != file->device || about.st_ino != file->inode) {
        atomic_store_explicit(&fd_known[fd], false, memory_order_release);
        return NULL;
    }
    return file;
}

/* The name below the root that a path leads to, KERNEL_NAME_BYTES_MAX. False: it is outside. */
static bool name_below(int at, const char *path, char *name)
{
    char full[PATH_MAX] = "";
    if (path[0] != '/' && at == AT_FDCWD) {
        if (!getcwd(full, sizeof full)) {
            return false;
        }
        if (strcmp(full, "/") == 0) {
            full[0] = '\0';
        }
    } else if (path[0] != '/') {
        pthread_mutex_lock(&lock);
        const struct open_file *directory = file_of(at);
        if (!directory) {
            pthread_mutex_unlock(&lock);
            return false;
        }
        snprintf(full, sizeof full, "%s", root);
        bool fits = append_parts(full, directory->name);
        pthread_mutex_unlock(&lock);
        if (!fits) {
            return false;
        }
    }
    size_t root_len = strlen(root);
    if (!append_parts(full, path) || strncmp(full, root, root_len) != 0 ||
        (full[root_len] != '\0' && full[root_len] != '/')) {
        return false;
    }
    const char *below = full[root_len] ? full + root_len + 1 : ".";
    if (strlen(below) >= KERNEL_NAME_BYTES_MAX) {
        fprintf(stderr, "kernel: %s: a name that is too long\n", below);
        abort();
    }
    snprintf(name, KERNEL_NAME_BYTES_MAX, "%s", below);
    return true;
}

/* The number of a file, or a new one. Under lock. */
static uint64_t number_of(const struct stat *about, bool created)
{
    size_t i = 0;
    while (i < number_count &&
           (numbers[i].device != about->st_dev || numbers[i].inode != about->st_ino)) {
        i++;
    }
    if (i == number_count) {
        if (number_count == number_room) {
            number_room = number_room ? 2 * number_room : 64;
            numbers = realloc(numbers, number_room * sizeof *numbers);
            if (!numbers) {
                abort();
            }
        }
        numbers[number_count++] = (struct file_number){about->st_dev, about->st_ino, 0};
    }
    if (created || numbers[i].file == 0) {
        numbers[i].file = ++file_count;
    }
    return numbers[i].file;
}

/* ---- Telling ---- */

static bool reports(void)
{
    return atomic_load_explicit(&watching, memory_order_acquire) && !inside;
}

static void frame_init(struct frame *frame, enum kernel_op op)
{
    frame->call = (struct kernel_call){.op = op, .fd = -1, .take = KERNEL_ALL};
    frame->name[0] = '\0';
    frame->to[0] = '\0';
    frame->call.name = frame->name;
}

/* Fills in what is known of an open file. False: it is none of ours. */
static bool frame_for_fd(struct frame *frame, enum kernel_op op, int fd)
{
    if (!reports() || !is_known(fd)) {
        return false;
    }
    pthread_mutex_lock(&lock);
    const struct open_file *file = file_of(fd);
    if (file) {
        frame_init(frame, op);
        memcpy(frame->name, file->name, sizeof frame->name);
        frame->call.file = file->file;
        frame->call.is_directory = file->is_directory;
        frame->call.open_flags = file->flags;
        frame->call.fd = fd;
    }
    pthread_mutex_unlock(&lock);
    return file != NULL;
}

/* Fills in what is known of a path. False: it is outside. */
static bool frame_for_path(struct frame *frame, enum kernel_op op, int at, const char *path)
{
    int error = errno;
    if (!reports()) {
        return false;
    }
    frame_init(frame, op);
    if (!name_below(at, path, frame->name)) {
        errno = error;
        return false;
    }
    struct stat about;
    if (fstatat(at, path, &about, AT_SYMLINK_NOFOLLOW) == 0) {
        pthread_mutex_lock(&lock);
        frame->call.file = number_of(&about, false);
        pthread_mutex_unlock(&lock);
        frame->call.is_directory = S_ISDIR(about.st_mode);
    } else {
        frame->call.created = true;
    }
    errno = error;
    return true;
}

static void before(struct frame *frame)
{
    int error = errno;
    pthread_mutex_lock(&lock);
    frame->call.number = ++call_count;
    if (hooks.before) {
        inside = true;
        hooks.before(hooks.context, &frame->call);
        inside = false;
    }
    frame->call.data = NULL;
    pthread_mutex_unlock(&lock);
    errno = error;
}

/* Of a result as the C library gives it: -1 and errno. Returns it, with the errno. */
static ssize_t after(struct frame *frame, ssize_t result)
{
    int error = errno;
    if (frame->call.error != 0) {
        error = frame->call.error;
        result = -1;
    }
    frame->call.result = result < 0 ? -error : result;
    pthread_mutex_lock(&lock);
    if (hooks.after) {
        inside = true;
        hooks.after(hooks.context, &frame->call);
        inside = false;
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

/* Whether a call that is done in full or not at all is done. */
static bool is_done(const struct frame *frame)
{
    return frame->call.take != 0;
}

/* How many bytes are done of those asked for. */
static size_t taken(const struct frame *frame)
{
    return frame->call.take < frame->call.len ? frame->call.take : frame->call.len;
}

void kernel_fail(struct kernel_call *call, int error)
{
    call->error = error;
    call->take = 0;
}

void kernel_shorten(struct kernel_call *call, size_t len)
{
    call->error = 0;
    call->take = len;
}

bool kernel_watch(const char *directory, const struct kernel_hooks *new_hooks)
{
    find_all();
    char real[PATH_MAX];
    if (!realpath(directory, real)) {
        return false;
    }
    pthread_mutex_lock(&lock);
    snprintf(root, sizeof root, "%s", strcmp(real, "/") == 0 ? "" : real);
    hooks = *new_hooks;
    call_count = 0;
    file_count = 0;
    pthread_mutex_unlock(&lock);
    atomic_store_explicit(&watching, true, memory_order_release);
    return true;
}

void kernel_unwatch(void)
{
    atomic_store_explicit(&watching, false, memory_order_release);
    pthread_mutex_lock(&lock);
    for (int fd = 0; fd < KERNEL_FDS_MAX; fd++) {
        atomic_store_explicit(&fd_known[fd], false, memory_order_relaxed);
    }
    memset(ring_writes, 0, sizeof ring_writes);
    free(numbers);
    numbers = NULL;
    number_count = 0;
    number_room = 0;
    hooks = (struct kernel_hooks){0};
    pthread_mutex_unlock(&lock);
}

const char *kernel_op_name(enum kernel_op op)
{
    static const char *const names[KERNEL_OPS] = {
        [KERNEL_OPEN] = "open",
        [KERNEL_CLOSE] = "close",
        [KERNEL_READ] = "read",
        [KERNEL_WRITE] = "write",
        [KERNEL_DATA_SYNC] = "fdatasync",
        [KERNEL_SYNC] = "fsync",
        [KERNEL_TRUNCATE] = "ftruncate",
        [KERNEL_ALLOCATE] = "fallocate",
        [KERNEL_RENAME] = "rename",
        [KERNEL_UNLINK] = "unlink",
        [KERNEL_MKDIR] = "mkdir",
        [KERNEL_RING_MAKE] = "io_uring_queue_init",
        [KERNEL_RING_ENABLE] = "io_uring_register",
        [KERNEL_RING_REGISTER] = "io_uring_register_buffers",
        [KERNEL_RING_SUBMIT] = "io_uring_submit",
        [KERNEL_RING_WAIT] = "io_uring_wait",
    };
    return names[op];
}

/* ---- Opening and closing ---- */

/* Remembers what was opened. */
static void note_open(struct frame *frame, int fd)
{
    struct stat about;
    if (fd >= KERNEL_FDS_MAX || fstat(fd, &about) != 0) {
        fprintf(stderr, "kernel: too many files are open\n");
        abort();
    }
    pthread_mutex_lock(&lock);
    struct open_file *file = &open_files[fd];
    *file = (struct open_file){
        .is_directory = S_ISDIR(about.st_mode),
        .device = about.st_dev,
        .inode = about.st_ino,
        .file = number_of(&about, frame->call.created),
        .flags = frame->call.flags,
    };
    memcpy(file->name, frame->name, sizeof file->name);
    frame->call.file = file->file;
    frame->call.is_directory = file->is_directory;
    atomic_store_explicit(&fd_known[fd], true, memory_order_release);
    pthread_mutex_unlock(&lock);
}

static int told_openat(int at, const char *path, int flags, mode_t mode)
{
    struct frame frame;
    if (!frame_for_path(&frame, KERNEL_OPEN, at, path)) {
        return next_openat(at, path, flags, mode);
    }
    frame.call.flags = flags;
    frame.call.open_flags = flags;
    frame.call.created = frame.call.created && (flags & O_CREAT) != 0;
    before(&frame);
    int fd = -1;
    if (is_done(&frame)) {
        fd = next_openat(at, path, flags, mode);
        if (fd >= 0 && frame.call.error != 0) {
            next_close(fd);
        } else if (fd >= 0) {
            note_open(&frame, fd);
            frame.call.fd = fd;
        }
    }
    return (int)after(&frame, fd);
}

#define MODE_OF(flags, mode)                                                                       \
    mode_t mode = 0;                                                                               \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                                  \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode = va_arg(list, mode_t);                                                               \
        va_end(list);                                                                              \
    }

EXPORT int openat(int at, const char *path, int flags, ...)
{
    MODE_OF(flags, mode)
    return told_openat(at, path, flags, mode);
}

EXPORT int openat64(int at, const char *path, int flags, ...)
{
    MODE_OF(flags, mode)
    return told_openat(at, path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
    MODE_OF(flags, mode)
    return told_openat(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    MODE_OF(flags, mode)
    return told_openat(AT_FDCWD, path, flags, mode);
}

EXPORT int close(int fd)
{
    struct frame frame;
    if (!frame_for_fd(&frame, KERNEL_CLOSE, fd)) {
        return next_close(fd);
    }
    before(&frame);
    /* Forgotten before it is closed: another thread may be given its number at once. */
    atomic_store_explicit(&fd_known[fd], false, memory_order_release);
    return (int)after(&frame, next_close(fd));
}

EXPORT int closedir(DIR *dir)
{
    struct frame frame;
    int fd = dirfd(dir);
    if (!frame_for_fd(&frame, KERNEL_CLOSE, fd)) {
        return next.closedir(dir);
    }
    before(&frame);
    atomic_store_explicit(&fd_known[fd], false, memory_order_release);
    return (int)after(&frame, next.closedir(dir));
}

EXPORT int dup(int fd)
{
    int copy = (int)syscall(SYS_dup, fd);
    if (copy >= 0 && copy < KERNEL_FDS_MAX && reports()) {
        pthread_mutex_lock(&lock);
        const struct open_file *file = file_of(fd);
        if (file) {
            open_files[copy] = *file;
            atomic_store_explicit(&fd_known[copy], true, memory_order_release);
        }
        pthread_mutex_unlock(&lock);
    }
    return copy;
}

/* ---- Reading and writing ---- */

EXPORT ssize_t pread(int fd, void *buffer, size_t len, off_t offset)
{
    struct frame frame;
    if (!frame_for_fd(&frame, KERNEL_READ, fd)) {
        return next_pread(fd, buffer, len, offset);
    }
    frame.call.offset = (uint64_t)offset;
    frame.call.len = len;
    before(&frame);
    return after(&frame, is_done(&frame) ? next_pread(fd, buffer, taken(&frame), offset) : 0);
}

EXPORT ssize_t pread64(int fd, void *buffer, size_t len, off_t offset)
{
    return pread(fd, buffer, len, offset);
}

EXPORT ssize_t read(int fd, void *buffer, size_t len)
{
    struct frame frame;
    if (!frame_for_fd(&frame, KERNEL_READ, fd)) {
        return next_read(fd, buffer, len);
    }
    frame.call.offset = (uint64_t)lseek(fd, 0, SEEK_CUR);
    frame.call.len = len;
    before(&frame);
    return after(&frame, is_done(&frame) ? next_read(fd, buffer, taken(&frame)) : 0);
}

static size_t length_of(const struct iovec *parts, int count)
{
    size_t len = 0;
    for (int i = 0; i < count; i++) {
        len += parts[i].iov_len;
    }
    return len;
}

/* A part of a write, whatever its length: past O_DIRECT, which wants whole blocks, through another
 * opening of the same file. Durable where the whole would have been. Returns as pwritev2. */
static ssize_t write_some(int fd, const void *data, size_t len, off_t offset, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int other = next_openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (other < 0) {
        return -1;
    }
    struct iovec part = {(void *)data, len};
    ssize_t n = next.pwritev2(other, &part, 1, offset, flags);
    int error = errno;
    next_close(other);
    errno = error;
    return n;
}

static int durable_flags(int open_flags)
{
    return (open_flags & O_SYNC) == O_SYNC ? RWF_SYNC : (open_flags & O_DSYNC) ? RWF_DSYNC : 0;
}

/* A write of one of our files, at `offset`. The position of the fd is left alone. */
static ssize_t told_write(struct frame *frame, const void *data, size_t len, off_t offset,
                          int flags)
{
    frame->call.offset = (uint64_t)offset;
    frame->call.len = len;
    frame->call.flags = flags | durable_flags(frame->call.open_flags);
    frame->call.data = data;
    before(frame);
    ssize_t n = 0;
    if (frame->call.take < len) {
        n = frame->call.take > 0
                ? write_some(frame->call.fd, data, frame->call.take, offset, frame->call.flags)
                : 0;
    } else {
        struct iovec part = {(void *)data, len};
        n = next.pwritev2(frame->call.fd, &part, 1, offset, flags);
    }
    return after(frame, n);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    struct frame frame;
    if (offset < 0 || !frame_for_fd(&frame, KERNEL_WRITE, fd)) {
        return next.pwritev2(fd, parts, count, offset, flags);
    }
    if (count == 1) {
        return told_write(&frame, parts[0].iov_base, parts[0].iov_len, offset, flags);
    }
    /* Put together, as aligned as O_DIRECT may want it. */
    size_t len = length_of(parts, count);
    uint8_t *data = aligned_alloc(4096, len / 4096 * 4096 + 4096);
    if (!data) {
        abort();
    }
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        memcpy(data + used, parts[i].iov_base, parts[i].iov_len);
        used += parts[i].iov_len;
    }
    ssize_t n = told_write(&frame, data, len, offset, flags);
    free(data);
    return n;
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return is_known(fd) && reports() ? pwritev2(fd, parts, count, offset, 0)
                                     : next.pwritev(fd, parts, count, offset);
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    struct iovec part = {(void *)data, len};
    return is_known(fd) && reports() ? pwritev2(fd, &part, 1, offset, 0)
                                     : next.pwrite(fd, data, len, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset)
{
    return pwrite(fd, data, len, offset);
}

EXPORT ssize_t write(int fd, const void *data, size_t len)
{
    struct frame frame;
    if (!frame_for_fd(&frame, KERNEL_WRITE, fd)) {
        return next_write(fd, data, len);
    }
    bool appends = (frame.call.open_flags & O_APPEND) != 0;
    off_t offset = lseek(fd, 0, appends ? SEEK_END : SEEK_CUR);
    ssize_t n = told_write(&frame, data, len, offset, 0);
    if (n > 0) {
        lseek(fd, offset + n, SEEK_SET);
    }
    return n;
}

/* ---- Syncing and sizes ---- */

EXPORT int fdatasync(int fd)
{
    struct frame frame;
    if (!frame_for_fd(&frame, KERNEL_DATA_SYNC, fd)) {
        return (int)syscall(SYS_fdatasync, fd);
    }
    before(&frame);
    return (int)after(&frame, is_done(&frame) ? syscall(SYS_fdatasync, fd) : 0);
}

EXPORT int fsync(int fd)
{
    struct frame frame;
    if (!frame_for_fd(&frame, KERNEL_SYNC, fd)) {
        return (int)syscall(SYS_fsync, fd);
    }
    before(&frame);
    return (int)after(&frame, is_done(&frame) ? syscall(SYS_fsync, fd) : 0);
}

EXPORT int ftruncate(int fd, off_t size)
{
    struct frame frame;
    if (!frame_for_fd(&frame, KERNEL_TRUNCATE, fd)) {
        return (int)syscall(SYS_ftruncate, fd, size);
    }
    frame.call.offset = (uint64_t)size;
    before(&frame);
    return (int)after(&frame, is_done(&frame) ? syscall(SYS_ftruncate, fd, size) : 0);
}

EXPORT int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t len)
{
    struct frame frame;
    if (!frame_for_fd(&frame, KERNEL_ALLOCATE, fd)) {
        return (int)syscall(SYS_fallocate, fd, mode, offset, len);
    }
    frame.call.offset = (uint64_t)offset;
    frame.call.len = (size_t)len;
    frame.call.flags = mode;
    before(&frame);
    return (int)after(&frame, is_done(&frame) ? syscall(SYS_fallocate, fd, mode, offset, len) : 0);
}

EXPORT int fallocate64(int fd, int mode, off_t offset, off_t len)
{
    return fallocate(fd, mode, offset, len);
}

/* ---- Names of files ---- */

/* The name of what was `from` and is now `to`, or lies below it. */
static void rename_one(char *name, const char *from, const char *to)
{
    size_t len = strlen(from);
    if (strncmp(name, from, len) == 0 && (name[len] == '\0' || name[len] == '/')) {
        char renamed[2 * KERNEL_NAME_BYTES_MAX];
        snprintf(renamed, sizeof renamed, "%s%s", to, name + len);
        snprintf(name, KERNEL_NAME_BYTES_MAX, "%.*s", (int)KERNEL_NAME_BYTES_MAX - 1, renamed);
    }
}

/* Whatever is open below the old name is below the new one now. */
static void note_rename(const struct frame *frame)
{
    bool exchanged = (frame->call.flags & RENAME_EXCHANGE) != 0;
    pthread_mutex_lock(&lock);
    for (int fd = 0; fd < KERNEL_FDS_MAX; fd++) {
        if (is_known(fd)) {
            char *name = open_files[fd].name;
            size_t len = strlen(frame->to);
            bool other =
                strncmp(name, frame->to, len) == 0 && (name[len] == '\0' || name[len] == '/');
            if (!other) {
                rename_one(name, frame->name, frame->to);
            } else if (exchanged) {
                rename_one(name, frame->to, frame->name);
            }
        }
    }
    pthread_mutex_unlock(&lock);
}

EXPORT int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    struct frame frame;
    if (!frame_for_path(&frame, KERNEL_RENAME, from_at, from) || !name_below(to_at, to, frame.to)) {
        return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    }
    frame.call.created = false;
    frame.call.to = frame.to;
    frame.call.flags = (int)flags;
    before(&frame);
    long result = is_done(&frame) ? syscall(SYS_renameat2, from_at, from, to_at, to, flags) : 0;
    if (is_done(&frame) && result == 0) {
        note_rename(&frame);
    }
    return (int)after(&frame, result);
}

EXPORT int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return renameat2(from_at, from, to_at, to, 0);
}

EXPORT int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int unlinkat(int at, const char *path, int flags)
{
    struct frame frame;
    if (!frame_for_path(&frame, KERNEL_UNLINK, at, path)) {
        return (int)syscall(SYS_unlinkat, at, path, flags);
    }
    frame.call.created = false;
    frame.call.flags = flags;
    before(&frame);
    return (int)after(&frame, is_done(&frame) ? syscall(SYS_unlinkat, at, path, flags) : 0);
}

EXPORT int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

EXPORT int mkdirat(int at, const char *path, mode_t mode)
{
    struct frame frame;
    if (!frame_for_path(&frame, KERNEL_MKDIR, at, path)) {
        return (int)syscall(SYS_mkdirat, at, path, mode);
    }
    frame.call.is_directory = true;
    before(&frame);
    long result = is_done(&frame) ? syscall(SYS_mkdirat, at, path, mode) : 0;
    struct stat about;
    if (is_done(&frame) && result == 0 && fstatat(at, path, &about, 0) == 0) {
        pthread_mutex_lock(&lock);
        frame.call.file = number_of(&about, true);
        pthread_mutex_unlock(&lock);
    }
    return (int)after(&frame, result);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/* ---- The ring ---- */

/* An event of the ring itself. 0, or the -errno that it is to fail with. */
static int ring_event(struct frame *frame)
{
    frame->call.ring = true;
    before(frame);
    return -frame->call.error;
}

static int ring_event_end(struct frame *frame, int result)
{
    errno = result < 0 ? -result : 0;
    ssize_t told_result = after(frame, result < 0 ? -1 : result);
    return told_result < 0 ? -errno : (int)told_result;
}

EXPORT int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    struct frame frame;
    if (!reports()) {
        return next.queue_init(entries, ring, flags);
    }
    frame_init(&frame, KERNEL_RING_MAKE);
    int error = ring_event(&frame);
    return ring_event_end(&frame, error ? error : next.queue_init(entries, ring, flags));
}

EXPORT int io_uring_register(unsigned fd, unsigned opcode, const void *arg, unsigned args)
{
    struct frame frame;
    if (!reports() || opcode != IORING_REGISTER_ENABLE_RINGS) {
        return next.ring_register(fd, opcode, arg, args);
    }
    frame_init(&frame, KERNEL_RING_ENABLE);
    int error = ring_event(&frame);
    return ring_event_end(&frame, error ? error : next.ring_register(fd, opcode, arg, args));
}

EXPORT int io_uring_register_buffers(struct io_uring *ring, const struct iovec *parts,
                                     unsigned count)
{
    struct frame frame;
    if (!reports()) {
        return next.register_buffers(ring, parts, count);
    }
    frame_init(&frame, KERNEL_RING_REGISTER);
    int error = ring_event(&frame);
    return ring_event_end(&frame, error ? error : next.register_buffers(ring, parts, count));
}

static struct ring_write *ring_write_add(const struct io_uring *ring, uint64_t user_data)
{
    pthread_mutex_lock(&lock);
    struct ring_write *write = ring_writes;
    while (write < ring_writes + RING_WRITES_MAX && write->ring) {
        write++;
    }
    if (write == ring_writes + RING_WRITES_MAX) {
        fprintf(stderr, "kernel: too many writes are under way\n");
        abort();
    }
    write->ring = ring;
    write->user_data = user_data;
    write->forced = false;
    pthread_mutex_unlock(&lock);
    return write;
}

/* Does a part of the write here; the ring only carries a completion that reports it. */
static void replace(struct io_uring_sqe *sqe, struct ring_write *write)
{
    const struct kernel_call *call = &write->frame.call;
    write->forced = true;
    write->result = 0;
    if (call->take > 0) {
        ssize_t n = write_some(call->fd, (const void *)(uintptr_t)sqe->addr, taken(&write->frame),
                               (off_t)call->offset, call->flags);
        write->result = n < 0 ? -errno : (int)n;
    }
    if (call->error != 0) {
        write->result = -call->error;
    }
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_NOP;
    sqe->fd = -1;
    sqe->user_data = write->user_data;
}

static void tell_write(const struct io_uring *ring, struct io_uring_sqe *sqe)
{
    struct frame frame;
    if ((sqe->opcode != IORING_OP_WRITE && sqe->opcode != IORING_OP_WRITE_FIXED) ||
        !frame_for_fd(&frame, KERNEL_WRITE, sqe->fd)) {
        return;
    }
    struct ring_write *write = ring_write_add(ring, sqe->user_data);
    write->frame = frame;
    write->frame.call.name = write->frame.name;
    struct kernel_call *call = &write->frame.call;
    call->ring = true;
    call->offset = sqe->off;
    call->len = sqe->len;
    call->flags = (int)sqe->rw_flags | durable_flags(call->open_flags);
    call->data = (const void *)(uintptr_t)sqe->addr;
    before(&write->frame);
    if (call->error == 0 && call->take < call->len && call->take % 4096 == 0 && call->take > 0) {
        sqe->len = (unsigned)call->take; /* the kernel itself reports how little it did */
    } else if (call->error != 0 || call->take < call->len) {
        replace(sqe, write);
    }
}

/* Tells of a completion, before the program sees it. */
static void tell_completion(const struct io_uring *ring, struct io_uring_cqe *cqe)
{
    struct ring_write *write = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < RING_WRITES_MAX && !write; i++) {
        if (ring_writes[i].ring == ring && ring_writes[i].user_data == cqe->user_data) {
            write = &ring_writes[i];
        }
    }
    pthread_mutex_unlock(&lock);
    if (!write) {
        return;
    }
    if (write->forced) {
        cqe->res = write->result;
    }
    errno = cqe->res < 0 ? -cqe->res : 0;
    after(&write->frame, cqe->res < 0 ? -1 : cqe->res);
    pthread_mutex_lock(&lock);
    write->ring = NULL;
    pthread_mutex_unlock(&lock);
}

/* All that the program may see from now on: it looks at the ring's memory itself before it asks for
 * more, so several come with one call. */
static void tell_completions(const struct io_uring *ring)
{
    unsigned head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(ring, head, cqe)
    {
        tell_completion(ring, cqe);
    }
}

EXPORT int io_uring_submit(struct io_uring *ring)
{
    struct frame frame;
    if (!reports()) {
        return next.submit(ring);
    }
    frame_init(&frame, KERNEL_RING_SUBMIT);
    int error = ring_event(&frame);
    if (error != 0) {
        return ring_event_end(&frame, error);
    }
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        tell_write(ring, &ring->sq.sqes[i & *ring->sq.kring_mask]);
    }
    int result = next.submit(ring);
    tell_completions(ring);
    return ring_event_end(&frame, result);
}

EXPORT int __io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
                              unsigned wait_count, sigset_t *mask)
{
    struct frame frame;
    if (!reports()) {
        return next.get_cqe(ring, cqe, submit, wait_count, mask);
    }
    frame_init(&frame, KERNEL_RING_WAIT);
    frame.call.len = wait_count;
    frame.call.offset = io_uring_cq_ready(ring);
    int error = ring_event(&frame);
    if (error != 0) {
        *cqe = NULL;
        return ring_event_end(&frame, error);
    }
    int result = next.get_cqe(ring, cqe, submit, wait_count, mask);
    tell_completions(ring);
    return ring_event_end(&frame, result);
}
