/* archive.c - copies sealed segments into the archive before the log recycles them.
 *
 * Threads: the checkpointer's. */
#include "server/archive.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/pages.h"
#include "wal/reader.h"

#define COPY_BYTES KIB(256) /* as the log is read: see wal_reader_read_gently */

static_assert(COPY_BYTES % WAL_PAGE_BYTES == 0, "direct reads are of whole pages");

/* A file that is copied from one storage to another. */
struct copy {
    struct pacer *pacer;
    struct storage *from;
    storage_file source;
    uint64_t size;
    struct storage *to;
    storage_file target;
    uint8_t *buffer; /* twice COPY_BYTES */
};

static enum hf_status copy_bytes(const struct copy *copy)
{
    enum hf_status status = HF_OK;
    uint64_t copied = 0;
    CHECK(copy->buffer != NULL);
    for (uint64_t offset = 0; offset < copy->size && status == HF_OK; offset += COPY_BYTES) {
        uint64_t left = copy->size - offset;
        size_t len = (size_t)(left < COPY_BYTES ? left : COPY_BYTES);
        CHECK(len > 0 && len <= COPY_BYTES);
        size_t got;
        status = copy->from->ops->read(copy->from, copy->source, copy->buffer, len, offset, &got);
        if (status == HF_OK && got != len) {
            status = HF_IO_ERROR;
        }
        if (status == HF_OK) {
            status = copy->to->ops->write(copy->to, copy->target, copy->buffer, len, offset);
        }
        copied += len;
        if (status == HF_OK && !pace(copy->pacer)) {
            status = HF_CANCELED;
        }
    }
    CHECK(status != HF_OK || copied == copy->size);
    return status == HF_OK ? copy->to->ops->sync(copy->to, copy->target) : status;
}

/* Whether two open files of the same size hold the same. OK; CONFLICT: they don't. */
static enum hf_status compare_bytes(const struct copy *copy)
{
    uint8_t *other = copy->buffer + COPY_BYTES;
    enum hf_status status = HF_OK;
    uint64_t compared = 0;
    CHECK(copy->buffer != NULL);
    for (uint64_t offset = 0; offset < copy->size && status == HF_OK; offset += COPY_BYTES) {
        uint64_t left = copy->size - offset;
        size_t len = (size_t)(left < COPY_BYTES ? left : COPY_BYTES);
        CHECK(len > 0 && len <= COPY_BYTES);
        size_t got;
        size_t other_got = 0;
        status = copy->from->ops->read(copy->from, copy->source, copy->buffer, len, offset, &got);
        if (status == HF_OK) {
            status = copy->to->ops->read(copy->to, copy->target, other, len, offset, &other_got);
        }
        if (status == HF_OK && (got != len || other_got != len)) {
            status = HF_IO_ERROR;
        }
        if (status == HF_OK && memcmp(copy->buffer, other, len) != 0) {
            status = HF_CONFLICT;
        }
        compared += len;
        if (status == HF_OK && !pace(copy->pacer)) {
            status = HF_CANCELED;
        }
    }
    CHECK(status != HF_OK || compared == copy->size);
    return status;
}

/* What the archive has under that name already: OK, nothing or the same; CONFLICT, something else:
 * of another log, or of another past of this one. */
static enum hf_status look_at_target(struct copy *copy, const char *name)
{
    CHECK(copy->to != copy->from);
    uint64_t size;
    enum hf_status status = copy->to->ops->open(copy->to, name, false, &copy->target, &size);
    if (status == HF_NOT_FOUND) {
        return HF_OK;
    }
    if (status == HF_OK) {
        status = size == copy->size ? compare_bytes(copy) : HF_CONFLICT;
        copy->to->ops->close(copy->to, copy->target);
    }
    return status;
}

/* Copies the open source under a temporary name first; after a failure nothing is left. */
static enum hf_status copy_open(struct copy *copy, const char *name, const char *temporary)
{
    CHECK(strcmp(name, temporary) != 0);
    struct storage *to = copy->to;
    enum hf_status status = to->ops->create(to, temporary, &copy->target);
    if (status != HF_OK) {
        return status;
    }
    status = copy_bytes(copy);
    to->ops->close(to, copy->target);
    if (status != HF_OK) {
        (void)to->ops->unlink(to, temporary);
        return status;
    }
    return to->ops->rename(to, temporary, name);
}

static enum hf_status copy_file(struct copy *copy, const char *name, const char *temporary)
{
    CHECK(copy->from != NULL);
    CHECK(copy->to != NULL);
    struct storage *from = copy->from;
    void *buffer = pages_map_buffer(2 * COPY_BYTES);
    if (!buffer) {
        return HF_NO_MEMORY;
    }
    copy->buffer = buffer;
    enum hf_status status = from->ops->open(from, name, false, &copy->source, &copy->size);
    if (status == HF_OK) {
        from->ops->read_direct(from, copy->source);
        status = look_at_target(copy, name);
        if (status == HF_OK) {
            status = copy_open(copy, name, temporary);
        }
        from->ops->close(from, copy->source);
    }
    pages_unmap(buffer, 2 * COPY_BYTES);
    return status;
}

static void tell_archive_failed(const char *name, enum hf_status status)
{
    CHECK(status != HF_OK);
    diag_error("%s can't be archived (%s): it is kept, and the log grows until it can", name,
               status == HF_CONFLICT ? "the archive has another log's file of that name, which is "
                                       "left alone: give this engine an archive of its own"
                                     : storage_reason(status));
}

/* A sealed segment into the archive: copied, synced, then named, so that a file with a name is
 * whole. A copy of it that is there already, from a run that was stopped here, is made again: it
 * may not be safe yet. */
bool archive_segment(struct archive *archive, uint64_t number)
{
    CHECK(number > 0);
    CHECK(archive->log != archive->to);
    if (!archive->to) {
        return true;
    }
    char name[STORAGE_NAME_BYTES_MAX];
    char temporary[STORAGE_NAME_BYTES_MAX + 8];
    wal_segment_name(name, number);
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    struct copy copy = {.pacer = archive->pacer, .from = archive->log, .to = archive->to};
    enum hf_status status = copy_file(&copy, name, temporary);
    if (status == HF_CANCELED) {
        return false;
    }
    if (status != HF_OK && !archive->failed) {
        tell_archive_failed(name, status);
    } else if (status == HF_OK && archive->failed) {
        diag_info("segments can be archived again");
    }
    archive->failed = status != HF_OK;
    return status == HF_OK;
}
