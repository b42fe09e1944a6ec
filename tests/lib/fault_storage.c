/* fault_storage.c - see the header.
 *
 * Threads: one, except for what the storage below allows. */
#include "lib/fault_storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define HANDLES_MAX 512

struct fault_storage {
    struct storage base;
    struct storage *under;
    enum fault_operation operation;
    char prefix[STORAGE_NAME_BYTES_MAX];
    int error;
    unsigned times;
    unsigned asked;
    unsigned after; /* operations that are done first */
    char names[HANDLES_MAX][STORAGE_NAME_BYTES_MAX];
};

static struct fault_storage *fault_of(const struct storage *storage)
{
    return (struct fault_storage *)storage;
}

/* OK: it is to be done. */
static enum hf_status fault(struct storage *storage, enum fault_operation operation,
                            const char *name)
{
    struct fault_storage *faulty = fault_of(storage);
    if (operation != faulty->operation ||
        strncmp(name, faulty->prefix, strlen(faulty->prefix)) != 0) {
        return HF_OK;
    }
    faulty->asked++;
    if (faulty->times == 0 || faulty->asked <= faulty->after) {
        return HF_OK;
    }
    faulty->times -= faulty->times != FAULT_ALWAYS;
    enum hf_status status = faulty->error == ENOSPC || faulty->error == EDQUOT ? HF_NO_SPACE
                            : faulty->error == ENOMEM                          ? HF_NO_MEMORY
                                                                               : HF_IO_ERROR;
    storage_note_error(faulty->error, status);
    return status;
}

#define UNDER(storage)         (fault_of(storage)->under)
#define DOWN(storage, op, ...) (UNDER(storage)->ops->op(UNDER(storage), ##__VA_ARGS__))

static const char *fault_name(const struct storage *storage)
{
    return DOWN(storage, name);
}

static enum hf_status fault_list(struct storage *storage,
                                 bool (*visit)(void *context, const char *name), void *context)
{
    enum hf_status status = fault(storage, FAULT_LIST, "");
    return status == HF_OK ? DOWN(storage, list, visit, context) : status;
}

static enum hf_status fault_open(struct storage *storage, const char *name, bool writable,
                                 storage_file *file, uint64_t *size)
{
    enum hf_status status = fault(storage, FAULT_OPEN, name);
    if (status == HF_OK && writable) {
        status = fault(storage, FAULT_OPEN_TO_WRITE, name);
    }
    if (status == HF_OK) {
        status = DOWN(storage, open, name, writable, file, size);
    }
    if (status == HF_OK) {
        CHECK(*file < HANDLES_MAX);
        snprintf(fault_of(storage)->names[*file], STORAGE_NAME_BYTES_MAX, "%s", name);
    }
    return status;
}

static enum hf_status fault_create_zeroed(struct storage *storage, const char *name, uint64_t size)
{
    enum hf_status status = fault(storage, FAULT_CREATE_ZEROED, name);
    return status == HF_OK ? DOWN(storage, create_zeroed, name, size) : status;
}

static enum hf_status fault_create(struct storage *storage, const char *name, storage_file *file)
{
    enum hf_status status = fault(storage, FAULT_CREATE, name);
    if (status == HF_OK) {
        status = DOWN(storage, create, name, file);
    }
    if (status == HF_OK) {
        snprintf(fault_of(storage)->names[*file], STORAGE_NAME_BYTES_MAX, "%s", name);
    }
    return status;
}

static enum hf_status fault_write(struct storage *storage, storage_file file, const void *buffer,
                                  size_t len, uint64_t offset)
{
    return DOWN(storage, write, file, buffer, len, offset);
}

static enum hf_status fault_truncate(struct storage *storage, storage_file file, uint64_t size)
{
    return DOWN(storage, truncate, file, size);
}

static void fault_close(struct storage *storage, storage_file file)
{
    DOWN(storage, close, file);
}

static void fault_read_direct(struct storage *storage, storage_file file)
{
    DOWN(storage, read_direct, file);
}

static enum hf_status fault_read(struct storage *storage, storage_file file, void *buffer,
                                 size_t len, uint64_t offset, size_t *got)
{
    *got = 0;
    enum hf_status status = fault(storage, FAULT_READ, fault_of(storage)->names[file]);
    return status == HF_OK ? DOWN(storage, read, file, buffer, len, offset, got) : status;
}

static enum hf_status fault_write_sync(struct storage *storage, storage_file file,
                                       const void *buffer, size_t len, uint64_t offset)
{
    return DOWN(storage, write_sync, file, buffer, len, offset);
}

static enum hf_status fault_sync(struct storage *storage, storage_file file)
{
    return DOWN(storage, sync, file);
}

static enum hf_status fault_rename(struct storage *storage, const char *from, const char *to)
{
    enum hf_status status = fault(storage, FAULT_RENAME, from);
    return status == HF_OK ? DOWN(storage, rename, from, to) : status;
}

static enum hf_status fault_unlink(struct storage *storage, const char *name)
{
    enum hf_status status = fault(storage, FAULT_UNLINK, name);
    return status == HF_OK ? DOWN(storage, unlink, name) : status;
}

static void fault_register_buffers(struct storage *storage, void *const *buffers, size_t bytes_each,
                                   unsigned count)
{
    DOWN(storage, register_buffers, buffers, bytes_each, count);
}

static enum hf_status fault_submit_write(struct storage *storage, storage_file file,
                                         const void *buffer, size_t len, uint64_t offset,
                                         uint64_t token)
{
    return DOWN(storage, submit_write, file, buffer, len, offset, token);
}

static unsigned fault_reap(struct storage *storage, bool wait,
                           struct storage_completion *completions, unsigned max)
{
    return DOWN(storage, reap, wait, completions, max);
}

static enum hf_status fault_settle(struct storage *storage)
{
    return storage_settle(UNDER(storage));
}

static void fault_destroy(struct storage *storage)
{
    storage_destroy(UNDER(storage));
    free(storage);
}

static const struct storage_ops fault_ops = {
    .name = fault_name,
    .list = fault_list,
    .open = fault_open,
    .create_zeroed = fault_create_zeroed,
    .create = fault_create,
    .write = fault_write,
    .truncate = fault_truncate,
    .close = fault_close,
    .read_direct = fault_read_direct,
    .read = fault_read,
    .write_sync = fault_write_sync,
    .sync = fault_sync,
    .rename = fault_rename,
    .unlink = fault_unlink,
    .register_buffers = fault_register_buffers,
    .submit_write = fault_submit_write,
    .reap = fault_reap,
    .settle = fault_settle,
    .destroy = fault_destroy,
};

struct storage *fault_storage_make(struct storage *under)
{
    struct fault_storage *faulty = calloc(1, sizeof *faulty);
    CHECK(faulty != NULL);
    faulty->base.ops = &fault_ops;
    faulty->under = under;
    return &faulty->base;
}

void fault_storage_set(struct storage *storage, enum fault_operation operation, const char *prefix,
                       int error, unsigned times)
{
    struct fault_storage *faulty = fault_of(storage);
    faulty->operation = operation;
    snprintf(faulty->prefix, sizeof faulty->prefix, "%s", prefix);
    faulty->error = error;
    faulty->times = times;
    faulty->asked = 0;
    faulty->after = 0;
}

void fault_storage_set_later(struct storage *storage, enum fault_operation operation,
                             const char *prefix, int error, unsigned times, unsigned after)
{
    fault_storage_set(storage, operation, prefix, error, times);
    fault_of(storage)->after = after;
}

unsigned fault_storage_asked(const struct storage *storage)
{
    return fault_of(storage)->asked;
}

struct storage *fault_storage_under(const struct storage *storage)
{
    return UNDER(storage);
}
