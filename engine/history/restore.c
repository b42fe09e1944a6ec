/* restore.c - a new data directory that ends at a moment of a log's past.
 *
 * The log is built under another name (wal.tmp) and renamed when all of it is synced: an engine
 * that is started too early finds no log that looks whole but ends too soon.
 *
 * The last block may hold records after the moment. It is written again with fewer: same index,
 * chain and time, so that it follows the block before; nothing follows it that could vouch for what
 * it was. A log that ends just where a checkpoint does still needs a block after it, to prove the
 * checkpoint's last segment: the first block after it is then written again as a NOOP.
 *
 * Threads: one. */
#include "history/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/pages.h"
#include "checkpoint/info.h"
#include "history/overlay.h"
#include "io/storage_directory.h"
#include "io/storage_open.h"

#define COPY_BYTES MIB(1)

static_assert(COPY_BYTES >= WAL_GROUP_BYTES_MAX && COPY_BYTES % WAL_PAGE_BYTES == 0,
              "copied in whole pages");

struct restore {
    const struct rebuild *rebuild;
    struct storage *from;
    struct storage *to;
    uint8_t *buffer; /* COPY_BYTES and a page, page aligned */
    const char *directory;
    const struct rebuild_report *report;
    char *message;
};

#define BUFFER_BYTES (COPY_BYTES + WAL_PAGE_BYTES)

static enum hf_status failed(struct restore *restore, enum hf_status status, const char *name)
{
    snprintf(restore->message, RESTORE_MESSAGE_BYTES, "%s/%s: can't be made: %s",
             restore->directory, name, storage_reason(status));
    return status;
}

/* Copies the bytes before `size` of one open file to another. Zeros fill the last page. */
static enum hf_status copy_bytes(struct restore *restore, storage_file source, storage_file target,
                                 uint64_t size)
{
    uint64_t copied = 0;
    for (uint64_t offset = 0; offset < size; offset += COPY_BYTES) {
        size_t len = (size_t)(size - offset < COPY_BYTES ? size - offset : COPY_BYTES);
        size_t pages = (len + WAL_PAGE_BYTES - 1) / WAL_PAGE_BYTES * WAL_PAGE_BYTES;
        size_t got;
        enum hf_status status =
            restore->from->ops->read(restore->from, source, restore->buffer, len, offset, &got);
        if (status == HF_OK && got != len) {
            status = HF_IO_ERROR;
        }
        if (status == HF_OK) {
            memset(restore->buffer + len, 0, pages - len);
            status = restore->to->ops->write(restore->to, target, restore->buffer, pages, offset);
        }
        if (status != HF_OK) {
            return status;
        }
        copied += len;
    }
    CHECK(copied == size);
    return HF_OK;
}

/* A file as it is. Its size is a multiple of a page: segments and checkpoints are. */
static enum hf_status copy_file(struct restore *restore, const char *name)
{
    storage_file source;
    storage_file target;
    uint64_t size;
    enum hf_status status = restore->from->ops->open(restore->from, name, false, &source, &size);
    if (status != HF_OK) {
        return failed(restore, status, name);
    }
    status = size % WAL_PAGE_BYTES == 0 ? restore->to->ops->create(restore->to, name, &target)
                                        : HF_DAMAGED;
    if (status == HF_OK) {
        status = copy_bytes(restore, source, target, size);
        if (status == HF_OK) {
            status = restore->to->ops->sync(restore->to, target);
        }
        restore->to->ops->close(restore->to, target);
    }
    restore->from->ops->close(restore->from, source);
    return status == HF_OK ? status : failed(restore, status, name);
}

/* ---- The last segment ---- */

/* The block in the buffer, of which only `block`'s part is kept. Returns the bytes to write. */
static size_t shorten(uint8_t *buffer, const struct rebuild_block *block)
{
    struct block_header header = block->header;
    if (block->kept_bytes == 0) {
        header.type = BLOCK_NOOP;
    }
    size_t span = (size_t)block_span_bytes(block->kept_bytes);
    size_t used = BLOCK_HEADER_BYTES + block->kept_bytes;
    CHECK(block->kept_bytes < block->header.payload_bytes);
    CHECK(used <= span);
    header.payload_bytes = block->kept_bytes;
    header.record_count = block->kept_records;
    header.payload_hash = hash_bytes(buffer + BLOCK_HEADER_BYTES, block->kept_bytes);
    memset(buffer + used, 0, span - used);
    block_header_encode(&header, buffer);
    return span;
}

static enum hf_status write_last_block(struct restore *restore, storage_file source,
                                       storage_file target, const struct rebuild_block *block)
{
    size_t span = (size_t)block_span_bytes(block->header.payload_bytes);
    size_t got;
    CHECK(span <= BUFFER_BYTES);
    CHECK(block->kept_bytes <= block->header.payload_bytes);
    enum hf_status status = restore->from->ops->read(restore->from, source, restore->buffer, span,
                                                     block->file_offset, &got);
    if (status == HF_OK && got != span) {
        status = HF_IO_ERROR;
    }
    if (status != HF_OK) {
        return status;
    }
    if (block->kept_bytes < block->header.payload_bytes) {
        span = shorten(restore->buffer, block);
    }
    return restore->to->ops->write(restore->to, target, restore->buffer, span, block->file_offset);
}

/* A segment up to and with a block; zeros after it, as in a prepared one. */
static enum hf_status copy_last(struct restore *restore, const char *name,
                                const struct rebuild_block *block)
{
    storage_file source;
    storage_file target;
    uint64_t size;
    uint64_t made;
    enum hf_status status = restore->from->ops->open(restore->from, name, false, &source, &size);
    if (status != HF_OK) {
        return failed(restore, status, name);
    }
    status = restore->to->ops->create_zeroed(restore->to, name, size);
    if (status == HF_OK) {
        status = restore->to->ops->open(restore->to, name, true, &target, &made);
    }
    if (status == HF_OK) {
        status = copy_bytes(restore, source, target, block->file_offset);
        if (status == HF_OK) {
            status = write_last_block(restore, source, target, block);
        }
        if (status == HF_OK) {
            status = restore->to->ops->sync(restore->to, target);
        }
        restore->to->ops->close(restore->to, target);
    }
    restore->from->ops->close(restore->from, source);
    return status == HF_OK ? status : failed(restore, status, name);
}

static enum hf_status copy_all(struct restore *restore)
{
    const struct rebuild *rebuild = restore->rebuild;
    const struct rebuild_block *last = rebuild->last.any ? &rebuild->last : &rebuild->first;
    char name[STORAGE_NAME_BYTES_MAX];
    enum hf_status status = HF_OK;
    uint64_t number = 1;
    if (rebuild->from.number) {
        checkpoint_name(name, rebuild->from.number);
        status = copy_file(restore, name);
        number = rebuild->from.number + 1;
    }
    for (; status == HF_OK && last->any && number < last->header.segment; number++) {
        wal_segment_name(name, number);
        status = copy_file(restore, name);
    }
    if (status == HF_OK && last->any) {
        wal_segment_name(name, last->header.segment);
        status = copy_last(restore, name, last);
    }
    return status;
}

/* ---- The directory ---- */

static enum hf_status is_empty(struct restore *restore)
{
    DIR *directory = opendir(restore->directory);
    if (!directory) {
        if (errno == ENOENT) {
            return HF_OK;
        }
        snprintf(restore->message, RESTORE_MESSAGE_BYTES, "%s: %s", restore->directory,
                 strerror(errno));
        return HF_INVALID;
    }
    enum hf_status status = HF_OK;
    const struct dirent *entry;
    while (status == HF_OK && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            snprintf(restore->message, RESTORE_MESSAGE_BYTES,
                     "%s: is not empty; nothing was written", restore->directory);
            status = HF_INVALID;
        }
    }
    closedir(directory);
    return status;
}

/* wal.tmp becomes wal, durably. */
static enum hf_status give_name(struct restore *restore, const char *temporary, const char *folder)
{
    int fd = rename(temporary, folder) == 0 ? open(restore->directory, O_RDONLY | O_DIRECTORY) : -1;
    bool fine = fd >= 0 && fsync(fd) == 0;
    if (!fine) {
        snprintf(restore->message, RESTORE_MESSAGE_BYTES, "%s: %s", folder, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return fine ? HF_OK : HF_IO_ERROR;
}

/* Reads back what was built. */
static enum hf_status compare(struct restore *restore)
{
    const struct rebuild_options all = {.all = true, .report = *restore->report};
    const struct history_replay *wanted = &restore->rebuild->replay;
    struct rebuild *again = calloc(1, sizeof *again);
    if (!again) {
        snprintf(restore->message, RESTORE_MESSAGE_BYTES, "%s: out of memory", restore->directory);
        return HF_NO_MEMORY;
    }
    enum hf_status status = rebuild_run(again, restore->to, &all);
    if (status != HF_OK) {
        snprintf(restore->message, RESTORE_MESSAGE_BYTES, "%s: what was built can't be read: %s",
                 restore->directory, again->message);
    } else {
        const struct history_replay *replay = &again->replay;
        if (replay->lsn != wanted->lsn || replay->digest != wanted->digest || again->torn) {
            snprintf(restore->message, RESTORE_MESSAGE_BYTES,
                     "%s: what was built leads to LSN %llu and digest %016llx, not to LSN %llu "
                     "and digest %016llx",
                     restore->directory, (unsigned long long)replay->lsn,
                     (unsigned long long)replay->digest, (unsigned long long)wanted->lsn,
                     (unsigned long long)wanted->digest);
            status = HF_DAMAGED;
        }
        rebuild_end(again);
    }
    free(again);
    return status;
}

static enum hf_status build(struct restore *restore)
{
    char temporary[FOLDER_BYTES + 16];
    char folder[FOLDER_BYTES + 16];
    snprintf(temporary, sizeof temporary, "%s/wal.tmp", restore->directory);
    snprintf(folder, sizeof folder, "%s/wal", restore->directory);
    enum hf_status status = storage_open(&restore->to, temporary, STORAGE_SYNC, false);
    if (status != HF_OK) {
        return failed(restore, status, "wal.tmp");
    }
    status = copy_all(restore);
    if (status == HF_OK) {
        status = compare(restore);
    }
    storage_destroy(restore->to);
    return status == HF_OK ? give_name(restore, temporary, folder) : status;
}

enum hf_status restore_build(const struct rebuild *rebuild, struct storage *storage,
                             const char *directory, const struct rebuild_report *report,
                             char *message)
{
    struct restore restore = {.rebuild = rebuild,
                              .from = storage,
                              .directory = directory,
                              .report = report,
                              .message = message};
    int lock;
    CHECK(rebuild->replay.inventory != NULL); /* it was rebuilt, and is not ended yet */
    if (strlen(directory) >= FOLDER_BYTES) {  /* cut short, it would be another directory's name */
        snprintf(message, RESTORE_MESSAGE_BYTES,
                 "%.64s...: the name is too long; nothing was written", directory);
        return HF_INVALID;
    }
    enum hf_status status = is_empty(&restore);
    if (status != HF_OK) {
        return status;
    }
    status = storage_lock(directory, &lock);
    if (status != HF_OK) {
        snprintf(message, RESTORE_MESSAGE_BYTES, "%s: can't be made: %s", directory,
                 storage_reason(status));
        return status;
    }
    restore.buffer = pages_map_buffer(BUFFER_BYTES);
    if (!restore.buffer) {
        snprintf(message, RESTORE_MESSAGE_BYTES, "%s: out of memory", directory);
        status = HF_NO_MEMORY;
    } else {
        status = build(&restore);
        pages_unmap(restore.buffer, BUFFER_BYTES);
    }
    storage_unlock(lock);
    return status;
}
