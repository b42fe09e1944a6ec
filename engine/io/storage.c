/* storage.c - what is done with any storage through its table of functions; why the last operation
 * failed.
 *
 * Threads: see storage.h. */
#include "io/storage.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"

#define PIECE_BYTES MIB(2) /* of a file that is removed: a discard of it takes less than 1 ms */

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

/* ---- Settling, removing, closing ---- */

enum hf_status storage_settle(struct storage *storage)
{
    return storage->ops->settle ? storage->ops->settle(storage) : HF_OK;
}

/* Cuts pieces off the file's end until none is left. */
static enum hf_status cut_down(struct storage *storage, storage_file file, uint64_t size,
                               bool (*pause)(void *context), void *context)
{
    enum hf_status status = HF_OK;
    while (size > PIECE_BYTES && status == HF_OK) {
        size = (size - 1) / PIECE_BYTES * PIECE_BYTES;
        status = storage->ops->truncate(storage, file, size);
        if (status == HF_OK && pause && !pause(context)) {
            status = HF_CANCELED;
        }
    }
    CHECK(status != HF_OK || size <= PIECE_BYTES);
    return status;
}

enum hf_status storage_unlink_gradually(struct storage *storage, const char *name,
                                        bool (*pause)(void *context), void *context)
{
    char dying[STORAGE_NAME_BYTES_MAX + 4];
    storage_file file;
    uint64_t size;
    CHECK(strlen(name) < STORAGE_NAME_BYTES_MAX);
    snprintf(dying, sizeof dying, "%s.tmp", name);
    enum hf_status status = storage->ops->rename(storage, name, dying);
    if (status != HF_OK) {
        return status;
    }
    status = storage->ops->open(storage, dying, true, &file, &size);
    if (status != HF_OK) { /* then at once, though others' writes may wait a moment for it */
        return storage->ops->unlink(storage, dying);
    }
    status = cut_down(storage, file, size, pause, context);
    storage->ops->close(storage, file);
    return status == HF_OK ? storage->ops->unlink(storage, dying) : status;
}

void storage_destroy(struct storage *storage)
{
    if (storage) {
        storage->ops->destroy(storage);
    }
}
