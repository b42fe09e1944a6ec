/* storage_open.c - opens a directory on the real disk, and decides which way its writes go. The
 * only file that knows both implementations.
 *
 * Threads: any; each storage is opened by one. */
#include "io/storage_open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/diag.h"
#include "io/real.h"
#include "io/storage_directory.h"
#include "io/sync.h"
#include "io/uring.h"

/* Makes the implementation for a mode. NULL with *status: not possible. */
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
