/* sync.c - the log's writes with pwritev2, where io_uring is not permitted.
 *
 * A write is carried out by the reap() that waits for it, so that a writer that has something else
 * to do does that first.
 *
 * Threads: submit and reap from one; see storage.h for the rest. */
#include "io/sync.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/limits.h"

struct sync_write {
    storage_file file;
    const void *buffer;
    size_t len;
    uint64_t offset;
    uint64_t token;
};

struct sync_storage {
    struct real_storage real;
    struct sync_write writes[REAL_WRITES_MAX]; /* a ring */
    unsigned first;
    unsigned count;
};

static const char *sync_name(const struct storage *storage)
{
    (void)storage;
    return "pwritev2";
}

static void sync_register_buffers(struct storage *storage, void *const *buffers, size_t bytes_each,
                                  unsigned count)
{
    (void)storage;
    (void)buffers;
    (void)bytes_each;
    (void)count;
}

static enum hf_status sync_submit_write(struct storage *storage, storage_file file,
                                        const void *buffer, size_t len, uint64_t offset,
                                        uint64_t token)
{
    struct sync_storage *sync = (struct sync_storage *)storage;
    real_writable(&sync->real, file);
    CHECK((uintptr_t)buffer % WAL_PAGE_BYTES == 0);
    CHECK(len % WAL_PAGE_BYTES == 0);
    CHECK(offset % WAL_PAGE_BYTES == 0);
    CHECK(sync->count < REAL_WRITES_MAX);
    sync->writes[(sync->first + sync->count) % REAL_WRITES_MAX] =
        (struct sync_write){file, buffer, len, offset, token};
    sync->count++;
    return HF_OK;
}

static unsigned sync_reap(struct storage *storage, bool wait,
                          struct storage_completion *completions, unsigned max)
{
    struct sync_storage *sync = (struct sync_storage *)storage;
    CHECK(sync->count <= REAL_WRITES_MAX);
    if (!wait || max == 0 || sync->count == 0) {
        return 0;
    }
    const struct sync_write *write = &sync->writes[sync->first];
    const struct real_file *entry = real_writable(&sync->real, write->file);
    int error = real_write_durably(entry->write_fd, write->buffer, write->len, write->offset);
    completions->token = write->token;
    completions->status =
        error == 0 ? HF_OK : real_write_failed(entry, write->len, write->offset, error);
    sync->first = (sync->first + 1) % REAL_WRITES_MAX;
    sync->count--;
    return 1;
}

static void sync_destroy(struct storage *storage)
{
    real_deinit((struct real_storage *)storage);
    free(storage);
}

static const struct storage_ops sync_ops = {
    .name = sync_name,
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
    .register_buffers = sync_register_buffers,
    .submit_write = sync_submit_write,
    .reap = sync_reap,
    .destroy = sync_destroy,
};

struct real_storage *sync_storage_make(void)
{
    struct sync_storage *sync = calloc(1, sizeof *sync);
    if (!sync) {
        return NULL;
    }
    sync->real.base.ops = &sync_ops;
    return &sync->real;
}
