/* cut.c - cutting off a log's suffix, so that a crash in the middle leaves a log.
 *
 * What is cut goes newest first: whole segments by unlink, then, from the end of the last segment
 * that stays back to the cut, each block's header, and then the bytes around them. So at any
 * moment what is left is a prefix, with at most one torn block at its end: no block is ever
 * missing before one that is still there, which would look like damage.
 *
 * Threads: one; nobody else may use the log. */
#include "wal/cut.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/pages.h"

#define CHUNK_BYTES MIB(1)

struct cut {
    struct storage *storage;
    const struct wal_end *end;
    storage_file file;
    uint8_t *chunk;       /* what is there */
    const uint8_t *zeros; /* what comes there; as large */
};

/* True when a block of the present life begins here, which the reader could still take in. */
static bool begins_block(const struct wal_end *end, const uint8_t *page)
{
    struct block_header header;
    const char *reason;
    if (!block_header_intact(page)) {
        return false;
    }
    return !block_header_decode(&header, page, &reason) || header.index >= end->next_index;
}

/* Zeros [offset, offset + len), which is at most a chunk. */
static enum hf_status cut_chunk(struct cut *cut, uint64_t offset, size_t len)
{
    const struct storage_ops *ops = cut->storage->ops;
    size_t got;
    CHECK(len <= CHUNK_BYTES && len % WAL_PAGE_BYTES == 0);
    CHECK(offset >= cut->end->offset);
    enum hf_status status = ops->read(cut->storage, cut->file, cut->chunk, len, offset, &got);
    if (status != HF_OK || got != len) {
        return HF_IO_ERROR;
    }
    if (bytes_all_zero(cut->chunk, len)) {
        return HF_OK;
    }
    for (size_t at = len; at > 0; at -= WAL_PAGE_BYTES) {
        size_t page = at - WAL_PAGE_BYTES;
        if (begins_block(cut->end, cut->chunk + page)) {
            status =
                ops->write_sync(cut->storage, cut->file, cut->zeros, WAL_PAGE_BYTES, offset + page);
            if (status != HF_OK) {
                return status;
            }
        }
    }
    return ops->write_sync(cut->storage, cut->file, cut->zeros, len, offset);
}

/* Zeros the last segment from its end back to the cut. */
static enum hf_status cut_segment(struct cut *cut)
{
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    segment_name(name, SEGMENT_LOG, cut->end->segment);
    enum hf_status status = cut->storage->ops->open(cut->storage, name, true, &cut->file, &size);
    if (status != HF_OK) {
        return status;
    }
    uint64_t upto = size / WAL_PAGE_BYTES * WAL_PAGE_BYTES;
    while (upto > cut->end->offset && status == HF_OK) {
        uint64_t left = upto - cut->end->offset;
        size_t len = (size_t)(left < CHUNK_BYTES ? left : CHUNK_BYTES);
        upto -= len;
        CHECK(upto >= cut->end->offset);
        status = cut_chunk(cut, upto, len);
    }
    cut->storage->ops->close(cut->storage, cut->file);
    return status;
}

/* Removes the segments after the one that stays, newest first. */
static enum hf_status cut_segments(struct storage *storage, uint64_t last)
{
    struct segment_list list;
    enum hf_status status = segment_list_read(&list, storage, SEGMENT_LOG);
    if (status != HF_OK) {
        return status;
    }
    for (size_t i = list.count; i > 0 && list.numbers[i - 1] > last && status == HF_OK; i--) {
        char name[STORAGE_NAME_BYTES_MAX];
        segment_name(name, SEGMENT_LOG, list.numbers[i - 1]);
        status = storage->ops->unlink(storage, name);
    }
    segment_list_free(&list);
    return status;
}

enum hf_status wal_cut(struct storage *storage, const struct wal_end *end)
{
    CHECK(!end->damaged);
    CHECK(end->offset % WAL_PAGE_BYTES == 0);
    enum hf_status status = cut_segments(storage, end->segment);
    if (status != HF_OK || end->segment == 0) {
        return status;
    }
    uint8_t *memory = pages_map_buffer(2 * CHUNK_BYTES);
    if (!memory) {
        return HF_NO_MEMORY;
    }
    struct cut cut = {storage, end, -1, memory, memory + CHUNK_BYTES};
    status = cut_segment(&cut);
    pages_unmap(memory, 2 * CHUNK_BYTES);
    return status;
}
