/* kernel.h - intercepts the system calls by which a program reaches the disk: reports each to
 * hooks, and makes chosen ones fail, be interrupted or do less.
 *
 * It works by having the names of the C library's functions (openat, pwritev2, fdatasync ...) and
 * of liburing's exported ones (io_uring_submit, __io_uring_get_cqe), so it can be
 *   - linked into a test program: target_link_libraries(... hf_testkernel), an object library, so
 *     that programs without it are not affected; or
 *   - part of a library to preload into the unmodified engine (add_library(... MODULE), with
 *     hf_testkernel linked to it): a constructor calls kernel_watch().
 * Until kernel_watch() is called, and for all files outside the watched directory, it only passes
 * the calls on.
 *
 * What is reported: calls on files and directories at and below the watched one. A write through
 * the ring is reported at two moments: before() when it is submitted, after() when its completion
 * is reaped; between them the kernel may carry it out at any time. Every other call is carried out
 * between its before() and its after() too.
 *
 * Not seen: mmap, sendfile and the like, stdio's and readdir's own calls inside the C library,
 * fcntl(F_DUPFD), hard and symbolic links, and files that were open before kernel_watch().
 *
 * Threads: any. One mutex serializes before(), after() and the numbers; it is not held while the
 * kernel is at work, so calls of several threads overlap as they would, and before(), after() show
 * a possible order of them. Hooks may do file I/O of their own: it is not reported. They must not
 * call kernel_watch or kernel_unwatch, nor wait for another thread that does I/O. */
#ifndef TESTS_LIB_KERNEL_H
#define TESTS_LIB_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_NAME_BYTES_MAX 256u
#define KERNEL_FDS_MAX        4096

enum kernel_op {
    KERNEL_OPEN,          /* open, openat, also of directories */
    KERNEL_CLOSE,         /* close, closedir */
    KERNEL_READ,          /* pread, read */
    KERNEL_WRITE,         /* pwritev2, pwritev, pwrite, write, or through the ring */
    KERNEL_DATA_SYNC,     /* fdatasync */
    KERNEL_SYNC,          /* fsync, also of directories */
    KERNEL_TRUNCATE,      /* ftruncate; offset: the new size */
    KERNEL_ALLOCATE,      /* fallocate; offset, len; flags: its mode */
    KERNEL_RENAME,        /* rename, renameat, renameat2; flags: RENAME_... */
    KERNEL_UNLINK,        /* unlink, unlinkat; flags: AT_REMOVEDIR for rmdir */
    KERNEL_MKDIR,         /* mkdir, mkdirat */
    KERNEL_RING_MAKE,     /* io_uring_queue_init; no file, as in all that follow */
    KERNEL_RING_ENABLE,   /* io_uring_register, to enable a ring */
    KERNEL_RING_REGISTER, /* io_uring_register_buffers */
    KERNEL_RING_SUBMIT,   /* io_uring_submit itself, before its writes are reported */
    KERNEL_RING_WAIT,     /* waiting for, or reading, the ring's completions;
                           * len: how many are waited for; offset: how many
                           * are there already */
    KERNEL_OPS,
};

#define KERNEL_ALL SIZE_MAX

/* One call. Valid until the hook returns. */
struct kernel_call {
    enum kernel_op op;
    uint64_t number;   /* of all that were reported, from 1; the same in before() and after() */
    uint64_t file;     /* the same file: the same number, whatever its name; no two files share
                        * one, not even one after the other. From 1; 0: none (a new file has its
                        * number in after()) */
    const char *name;  /* below the watched directory, "a/b"; "." is that itself. Of an open file:
                        * the name that it has by now, as far as this process renamed it */
    const char *to;    /* RENAME: the new name; else NULL */
    bool is_directory; /* what is opened, closed or synced is one */
    bool created;      /* OPEN, MKDIR: it was not there before */
    bool ring;         /* through io_uring */
    int flags;         /* OPEN: O_...; WRITE: RWF_..., with RWF_DSYNC or RWF_SYNC where the file is
                        * open with O_DSYNC or O_SYNC; others as said above */
    int open_flags;    /* of the file that is open: O_... */
    int fd;            /* -1: none */
    uint64_t offset;   /* READ, WRITE: resolved, also where the file's position is meant */
    size_t len;        /* as asked for */
    const void *data;  /* WRITE: len bytes, before() only */

    /* before() may set these, best with the functions below. */
    int error;   /* the call comes back with this errno; 0: as the kernel has it */
    size_t take; /* KERNEL_ALL: all of it is done. READ, WRITE: only so many bytes; others: 0:
                  * nothing is done. This holds for a call with an error too. A CLOSE is always
                  * done, as the kernel does it. */

    /* after() alone: what was returned: an fd, a count, 0; or -errno. */
    int64_t result;
};

struct kernel_hooks {
    void (*before)(void *context, struct kernel_call *call);      /* NULL: none */
    void (*after)(void *context, const struct kernel_call *call); /* NULL: none */
    void *context;
};

/* For before(): nothing is done, and the call fails with an errno. */
void kernel_fail(struct kernel_call *call, int error);

/* For before(): a read or write does only `len` bytes, and returns that. */
void kernel_shorten(struct kernel_call *call, size_t len);

/* From now on calls at and below the directory are reported. One directory at a time; hooks is
 * copied; numbers begin again from 1. False, with errno: there is no such directory. */
bool kernel_watch(const char *directory, const struct kernel_hooks *hooks);

/* From now on nothing is reported. No call of another thread may be under way. */
void kernel_unwatch(void);

/* "fdatasync" and the like: for messages. Static. */
const char *kernel_op_name(enum kernel_op op);

#endif
