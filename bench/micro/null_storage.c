/* null_storage.c - a directory that keeps nothing.
 *
 * Threads: the queue of finished writes belongs to who submits and reaps, file_bytes to who makes
 * files.
 * Invariant: at most WRITES_MAX writes lie between submit and reap. */
#include "micro/null_storage.h"

#include <stdlib.h>

#include "base/check.h"

#define WRITES_MAX 64u /* far more than the log has under way */

struct null_storage {
    struct storage base;
    uint64_t file_bytes; /* of the file that was made last: a log's files are alike */
    uint64_t submitted;
    uint64_t reaped;
    uint64_t tokens[WRITES_MAX];
};

static const char *null_name(const struct storage *storage)
{
    (void)storage;
    return "null";
}

static enum hf_status null_list(struct storage *storage,
                                bool (*visit)(void *context, const char *name), void *context)
{
    (void)storage;
    (void)visit;
    (void)context;
    return HF_OK;
}

static enum hf_status null_open(struct storage *storage, const char *name, bool writable,
                                storage_file *file, uint64_t *size)
{
    (void)name;
    (void)writable;
    *file = 0;
    *size = ((struct null_storage *)storage)->file_bytes;
    return HF_OK;
}

static enum hf_status null_create_zeroed(struct storage *storage, const char *name, uint64_t size)
{
    (void)name;
    ((struct null_storage *)storage)->file_bytes = size;
    return HF_OK;
}

static enum hf_status null_create(struct storage *storage, const char *name, storage_file *file)
{
    (void)storage;
    (void)name;
    *file = 0;
    return HF_OK;
}

static void null_close(struct storage *storage, storage_file file)
{
    (void)storage;
    (void)file;
}

static void null_read_direct(struct storage *storage, storage_file file)
{
    (void)storage;
    (void)file;
}

static enum hf_status null_read(struct storage *storage, storage_file file, void *buffer,
                                size_t len, uint64_t offset, size_t *got)
{
    (void)storage;
    (void)file;
    (void)buffer;
    (void)len;
    (void)offset;
    *got = 0;
    return HF_OK;
}

static enum hf_status null_write_sync(struct storage *storage, storage_file file,
                                      const void *buffer, size_t len, uint64_t offset)
{
    (void)storage;
    (void)file;
    (void)buffer;
    (void)len;
    (void)offset;
    return HF_OK;
}

static enum hf_status null_truncate(struct storage *storage, storage_file file, uint64_t size)
{
    (void)storage;
    (void)file;
    (void)size;
    return HF_OK;
}

static enum hf_status null_sync(struct storage *storage, storage_file file)
{
    (void)storage;
    (void)file;
    return HF_OK;
}

static enum hf_status null_rename(struct storage *storage, const char *from, const char *to)
{
    (void)storage;
    (void)from;
    (void)to;
    return HF_OK;
}

static enum hf_status null_unlink(struct storage *storage, const char *name)
{
    (void)storage;
    (void)name;
    return HF_OK;
}

static void null_register_buffers(struct storage *storage, void *const *buffers, size_t bytes_each,
                                  unsigned count)
{
    (void)storage;
    (void)buffers;
    (void)bytes_each;
    (void)count;
}

static enum hf_status null_submit_write(struct storage *storage, storage_file file,
                                        const void *buffer, size_t len, uint64_t offset,
                                        uint64_t token)
{
    (void)file;
    (void)buffer;
    (void)len;
    (void)offset;
    struct null_storage *null = (struct null_storage *)storage;
    CHECK(null->submitted - null->reaped < WRITES_MAX);
    null->tokens[null->submitted++ % WRITES_MAX] = token;
    return HF_OK;
}

static unsigned null_reap(struct storage *storage, bool wait,
                          struct storage_completion *completions, unsigned max)
{
    (void)wait;
    struct null_storage *null = (struct null_storage *)storage;
    unsigned count = 0;
    while (count < max && null->reaped < null->submitted) {
        completions[count++] = (struct storage_completion){
            .token = null->tokens[null->reaped++ % WRITES_MAX], .status = HF_OK};
    }
    return count;
}

static void null_destroy(struct storage *storage)
{
    free(storage);
}

static const struct storage_ops null_ops = {
    .name = null_name,
    .list = null_list,
    .open = null_open,
    .create_zeroed = null_create_zeroed,
    .create = null_create,
    .write = null_write_sync,
    .truncate = null_truncate,
    .close = null_close,
    .read_direct = null_read_direct,
    .read = null_read,
    .write_sync = null_write_sync,
    .sync = null_sync,
    .rename = null_rename,
    .unlink = null_unlink,
    .register_buffers = null_register_buffers,
    .submit_write = null_submit_write,
    .reap = null_reap,
    .destroy = null_destroy,
};

struct storage *null_storage_make(void)
{
    struct null_storage *null = calloc(1, sizeof *null);
    if (null) {
        null->base.ops = &null_ops;
    }
    return null ? &null->base : NULL;
}
