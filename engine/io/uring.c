/* uring.c - the log's writes through io_uring. The only user of liburing.
 *
 * The ring is made disabled when the storage is opened, and enabled by the first thread that
 * submits: with SINGLE_ISSUER that thread then owns it. register_buffers, submit and reap are for
 * that thread alone; it must have reaped all its writes before it ends.
 *
 * A write that the thread waits for at once, alone, is a pwritev2 of that thread: one system call.
 * Through the ring it would be two, and the kernel would wake a worker of its own twice, once when
 * the write is done and once when the disk's cache is flushed; while other threads keep the
 * processors busy, such a worker may wait for the scheduler's next tick (4 ms instead of 0.1,
 * docs/benchmarks.md). All other writes go through the ring, so that the disk works meanwhile.
 *
 * There each write is one SQE with RWF_DSYNC. A short write is completed by another SQE for the
 * rest; a write that the kernel put off (EAGAIN, EINTR) is submitted again, since nothing of it
 * happened. Anything else is an error, and final.
 *
 * Source: io_uring_setup(2), io_uring_enter(2). */
#include "io/uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/limits.h"

#define BUFFERS_MAX 64u

struct uring_write {
    bool used;
    bool begun;
    int error; /* it could not begin; 0: none */
    storage_file file;
    const uint8_t *buffer; /* what is left of it */
    size_t len;
    uint64_t offset;
    uint64_t token;
};

struct uring_storage {
    struct real_storage real;
    struct io_uring ring;
    bool enabled;
    bool broken; /* it refused a write, which may still be in its queue: it gets no more writes */
    bool lost;   /* waiting for it has failed: nothing is known about its writes any more */
    unsigned in_flight;
    unsigned waiting; /* of those: taken, and not begun */
    struct uring_write writes[REAL_WRITES_MAX];
    unsigned buffer_count; /* registered; 0: none */
    const uint8_t *buffers[BUFFERS_MAX];
    size_t buffer_bytes;
};

static const char *uring_name(const struct storage *storage)
{
    (void)storage;
    return "io_uring";
}

static int enable(struct uring_storage *uring)
{
    if (!uring->enabled) {
        /* Not io_uring_enable_rings(): liburing 2.3 forgets to export it. */
        int rc =
            io_uring_register((unsigned)uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
        if (rc < 0) {
            diag_error("io_uring: the ring can't be enabled: %s", strerror(-rc));
            return rc;
        }
        uring->enabled = true;
    }
    return 0;
}

static void uring_register_buffers(struct storage *storage, void *const *buffers, size_t bytes_each,
                                   unsigned count)
{
    struct uring_storage *uring = (struct uring_storage *)storage;
    CHECK(count <= BUFFERS_MAX);
    CHECK(uring->buffer_count == 0);
    if (enable(uring) < 0) {
        return;
    }
    struct iovec parts[BUFFERS_MAX];
    for (unsigned i = 0; i < count; i++) {
        parts[i] = (struct iovec){buffers[i], bytes_each};
        uring->buffers[i] = buffers[i];
    }
    uring->buffer_bytes = bytes_each;
    int rc = io_uring_register_buffers(&uring->ring, parts, count);
    if (rc < 0) {
        /* Often RLIMIT_MEMLOCK. It costs a few microseconds a write, no more. */
        diag_debug("io_uring: buffers are not registered: %s", strerror(-rc));
        return;
    }
    uring->buffer_count = count;
}

/* The registered buffer that memory lies in, or -1. */
static int buffer_index(const struct uring_storage *uring, const uint8_t *memory, size_t len)
{
    for (unsigned i = 0; i < uring->buffer_count; i++) {
        const uint8_t *start = uring->buffers[i];
        if (memory >= start && memory + len <= start + uring->buffer_bytes) {
            return (int)i;
        }
    }
    return -1;
}

/* Hands one write to the kernel. 0 or an errno: then the ring is broken. */
static int issue(struct uring_storage *uring, struct uring_write *write)
{
    const struct real_file *entry = real_writable(&uring->real, write->file);
    if (uring->broken) {
        return EIO;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    CHECK(sqe != NULL);
    int index = buffer_index(uring, write->buffer, write->len);
    if (index >= 0) {
        io_uring_prep_write_fixed(sqe, entry->write_fd, write->buffer, (unsigned)write->len,
                                  write->offset, index);
    } else {
        io_uring_prep_write(sqe, entry->write_fd, write->buffer, (unsigned)write->len,
                            write->offset);
    }
    sqe->rw_flags = RWF_DSYNC;
    io_uring_sqe_set_data(sqe, write);
    for (;;) {
        int rc = io_uring_submit(&uring->ring);
        if (rc >= 1) {
            return 0;
        }
        if (rc != 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY) {
            uring->broken = true;
            return -rc;
        }
    }
}

static enum hf_status uring_submit_write(struct storage *storage, storage_file file,
                                         const void *buffer, size_t len, uint64_t offset,
                                         uint64_t token)
{
    struct uring_storage *uring = (struct uring_storage *)storage;
    CHECK((uintptr_t)buffer % WAL_PAGE_BYTES == 0);
    CHECK(len % WAL_PAGE_BYTES == 0);
    CHECK(offset % WAL_PAGE_BYTES == 0);
    CHECK(uring->in_flight < REAL_WRITES_MAX);
    if (uring->broken || enable(uring) < 0) {
        storage_note_error(EIO, HF_IO_ERROR);
        return HF_IO_ERROR;
    }
    struct uring_write *write = uring->writes;
    while (write->used) {
        write++;
    }
    real_writable(&uring->real, file);
    *write = (struct uring_write){
        .used = true, .file = file, .buffer = buffer, .len = len, .offset = offset, .token = token};
    uring->waiting++;
    uring->in_flight++;
    return HF_OK;
}

static void uring_start(struct storage *storage)
{
    struct uring_storage *uring = (struct uring_storage *)storage;
    CHECK(uring->waiting <= uring->in_flight);
    for (unsigned i = 0; i < REAL_WRITES_MAX && uring->waiting > 0; i++) {
        struct uring_write *write = &uring->writes[i];
        if (write->used && !write->begun) {
            write->begun = true;
            write->error = issue(uring, write);
            uring->waiting--;
        }
    }
    CHECK(uring->waiting == 0);
}

/* The end of a write. error: 0 or an errno. */
static void end(struct uring_storage *uring, struct uring_write *write, int error,
                struct storage_completion *completion)
{
    CHECK(write->used);
    CHECK(uring->in_flight > 0);
    completion->token = write->token;
    completion->status = HF_OK;
    if (error != 0) {
        completion->status = real_write_failed(real_writable(&uring->real, write->file), write->len,
                                               write->offset, error);
    }
    write->used = false;
    uring->in_flight--;
}

/* Carries out the only write under way, which has not begun. */
static void write_alone(struct uring_storage *uring, struct storage_completion *completion)
{
    CHECK(uring->in_flight == 1);
    CHECK(uring->waiting == 1);
    struct uring_write *write = uring->writes;
    while (!write->used) {
        write++;
    }
    CHECK(!write->begun);
    uring->waiting = 0;
    const struct real_file *entry = real_writable(&uring->real, write->file);
    int error = real_write_durably(entry->write_fd, write->buffer, write->len, write->offset);
    end(uring, write, error, completion);
}

/* Collects the writes that could not begin. */
static unsigned collect_refused(struct uring_storage *uring, struct storage_completion *completions,
                                unsigned max)
{
    unsigned n = 0;
    for (unsigned i = 0; i < REAL_WRITES_MAX && n < max; i++) {
        struct uring_write *write = &uring->writes[i];
        if (write->used && write->error != 0) {
            end(uring, write, write->error, &completions[n++]);
        }
    }
    return n;
}

/* Deals with one finished SQE. True when its write has come to an end, with *completion. */
static bool finish(struct uring_storage *uring, struct uring_write *write, int result,
                   struct storage_completion *completion)
{
    CHECK(write->used);
    CHECK(write->begun);
    int error = 0;
    if (result > 0 && (size_t)result < write->len && (size_t)result % WAL_PAGE_BYTES == 0) {
        write->buffer += result;
        write->offset += (uint64_t)result;
        write->len -= (size_t)result;
        error = issue(uring, write);
    } else if (result == -EAGAIN || result == -EINTR) {
        error = issue(uring, write);
    } else if (result < 0) {
        error = -result;
    } else if ((size_t)result != write->len) {
        error = EIO;
    } else {
        write->len = 0;
    }
    if (error == 0 && write->len > 0) {
        return false;
    }
    end(uring, write, error, completion);
    return true;
}

/* The ring is lost: ends every write with an error. The kernel may still report how they ended;
 * nothing reads that any more. */
static unsigned give_up(struct uring_storage *uring, struct storage_completion *completions,
                        unsigned max)
{
    unsigned n = 0;
    for (unsigned i = 0; i < REAL_WRITES_MAX && n < max; i++) {
        if (uring->writes[i].used) {
            completions[n++] = (struct storage_completion){uring->writes[i].token, HF_IO_ERROR};
            uring->writes[i].used = false;
            uring->in_flight--;
        }
    }
    return n;
}

static unsigned uring_reap(struct storage *storage, bool wait,
                           struct storage_completion *completions, unsigned max)
{
    struct uring_storage *uring = (struct uring_storage *)storage;
    CHECK(max > 0);
    if (wait && uring->in_flight == 1 && uring->waiting == 1) {
        write_alone(uring, completions);
        return 1;
    }
    uring_start(storage);
    unsigned n = uring->broken ? collect_refused(uring, completions, max) : 0;
    while (n < max && uring->in_flight > 0 && !uring->lost) {
        struct io_uring_cqe *cqe = NULL;
        /* Not io_uring_wait_cqe() and io_uring_peek_cqe(): this one always calls the library, so
         * that tests can come in between (tests/lib/kernel.h). */
        int rc = io_uring_wait_cqe_nr(&uring->ring, &cqe, wait && n == 0);
        if (rc == -EINTR) {
            continue;
        }
        if (rc == -EAGAIN && !(wait && n == 0)) {
            break;
        }
        if (rc < 0 && rc != -EAGAIN) {
            diag_error("io_uring: waiting for writes failed: %s", strerror(-rc));
            uring->broken = true;
            uring->lost = true;
            break;
        }
        if (!cqe) {
            continue;
        }
        struct uring_write *write = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        if (finish(uring, write, result, &completions[n])) {
            n++;
        }
    }
    return uring->lost ? n + give_up(uring, completions + n, max - n) : n;
}

static void uring_destroy(struct storage *storage)
{
    struct uring_storage *uring = (struct uring_storage *)storage;
    struct storage_completion completions[8];
    /* The kernel must be done with the writes' memory before anybody frees it. */
    while (uring->in_flight > 0) {
        uring_reap(storage, true, completions, 8);
    }
    CHECK(uring->in_flight == 0);
    io_uring_queue_exit(&uring->ring);
    real_deinit(&uring->real);
    free(uring);
}

static const struct storage_ops uring_ops = {
    .name = uring_name,
    .list = real_list,
    .open = real_open,
    .create_zeroed = real_create_zeroed,
    .create = real_create,
    .write = real_write,
    .truncate = real_truncate,
    .close = real_close,
    .read_direct = real_read_direct,
    .read = real_read,
    .write_sync = real_write_sync,
    .sync = real_sync,
    .rename = real_rename,
    .unlink = real_unlink,
    .settle = real_settle,
    .register_buffers = uring_register_buffers,
    .submit_write = uring_submit_write,
    .start = uring_start,
    .reap = uring_reap,
    .destroy = uring_destroy,
};

/* Makes the ring, with the flags of newer kernels (6.1) where they are known. 0 or -errno. */
static int make_ring(struct uring_storage *uring)
{
    int rc = io_uring_queue_init(REAL_WRITES_MAX, &uring->ring,
                                 IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
                                     IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
    if (rc == -EINVAL) {
        rc = io_uring_queue_init(REAL_WRITES_MAX, &uring->ring, 0);
        uring->enabled = rc == 0;
    }
    return rc;
}

struct real_storage *uring_storage_make(const char **why_not)
{
    struct uring_storage *uring = calloc(1, sizeof *uring);
    if (!uring) {
        *why_not = "out of memory";
        return NULL;
    }
    int rc = make_ring(uring);
    if (rc < 0) {
        *why_not = rc == -EPERM    ? "not permitted"
                   : rc == -ENOSYS ? "the kernel does not have it"
                   : rc == -ENOMEM ? "not enough locked memory is allowed"
                                   : "setting it up failed";
        free(uring);
        return NULL;
    }
    uring->real.base.ops = &uring_ops;
    return &uring->real;
}
