/* reader.c - the log's blocks from the first to the last that is valid.
 *
 * A block is valid when its header, its payload and its padding are whole, and it continues exactly
 * where the one before ended: cluster, segment number, index, LSN and chain hash all fit. Where
 * none is, tail.c finds out what that means.
 *
 * Threads: one. */
#include "wal/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/pages.h"
#include "wal/reader_private.h"
#include "wal/tail.h"

/* ---- Bytes of the open segment ---- */

/* Notes which file can't be read, and why. Returns the status to continue with. */
static enum hf_status in_trouble(struct wal_reader *reader, size_t position, enum hf_status status)
{
    char name[STORAGE_NAME_BYTES_MAX];
    segment_name(name, SEGMENT_LOG, reader->segments.numbers[position]);
    snprintf(reader->trouble, sizeof reader->trouble, "%s can't be read: %s", name,
             storage_reason(status));
    return status == HF_NO_MEMORY ? HF_NO_MEMORY : HF_IO_ERROR;
}

void reader_read_small(struct wal_reader *reader)
{
    reader->read_bytes = READER_FIRST_BYTES;
}

/* The size of the next read, where the buffer has so much room; the one after may be twice that. */
static size_t next_piece(struct wal_reader *reader, size_t room)
{
    size_t piece = reader->read_bytes;
    CHECK(piece > 0);
    CHECK(room > 0);
    size_t most = reader->gentle || reader->searching ? READER_GENTLE_BYTES : READER_BUFFER_BYTES;
    reader->read_bytes = 2 * piece < most ? 2 * piece : most;
    return piece < room ? piece : room;
}

/* Reads more into the buffer, until it holds `len` bytes or the file ends. */
static enum hf_status fill(struct wal_reader *reader, size_t len)
{
    for (bool more = true; more && reader->buffer_bytes < len;) {
        size_t piece = next_piece(reader, READER_BUFFER_BYTES - reader->buffer_bytes);
        size_t got = 0;
        enum hf_status status = reader->storage->ops->read(
            reader->storage, reader->file, reader->buffer + reader->buffer_bytes, piece,
            reader->buffer_offset + reader->buffer_bytes, &got);
        if (status != HF_OK) {
            return in_trouble(reader, reader->position, status);
        }
        CHECK(got <= piece);
        reader->buffer_bytes += got;
        more = got == piece;
    }
    return HF_OK;
}

enum hf_status reader_need(struct wal_reader *reader, uint64_t offset, size_t len,
                           const uint8_t **data)
{
    CHECK(reader->file_open);
    CHECK(len <= READER_BUFFER_BYTES);
    *data = NULL;
    uint64_t buffer_end = reader->buffer_offset + reader->buffer_bytes;
    if (offset < reader->buffer_offset || offset + len > buffer_end) {
        size_t kept = 0;
        if (offset >= reader->buffer_offset && offset < buffer_end) {
            kept = (size_t)(buffer_end - offset);
            memmove(reader->buffer, reader->buffer + (offset - reader->buffer_offset), kept);
        }
        reader->buffer_offset = offset;
        reader->buffer_bytes = kept;
        enum hf_status status = fill(reader, len);
        if (status != HF_OK) {
            return status;
        }
    }
    if (reader->buffer_bytes - (offset - reader->buffer_offset) >= len) {
        *data = reader->buffer + (offset - reader->buffer_offset);
    }
    return HF_OK;
}

void reader_close_segment(struct wal_reader *reader)
{
    if (reader->file_open) {
        reader->storage->ops->close(reader->storage, reader->file);
        reader->file_open = false;
    }
    reader->buffer_offset = 0;
    reader->buffer_bytes = 0;
}

enum hf_status reader_open_segment(struct wal_reader *reader, size_t position)
{
    CHECK(position < reader->segments.count);
    reader_close_segment(reader);
    char name[STORAGE_NAME_BYTES_MAX];
    segment_name(name, SEGMENT_LOG, reader->segments.numbers[position]);
    enum hf_status status = reader->storage->ops->open(reader->storage, name, false, &reader->file,
                                                       &reader->file_bytes);
    if (status != HF_OK) {
        return in_trouble(reader, position, status);
    }
    if (reader->gentle) {
        reader->storage->ops->read_direct(reader->storage, reader->file);
    }
    reader->file_open = true;
    reader->position = position;
    reader->offset = WAL_PAGE_BYTES;
    return HF_OK;
}

/* ---- Checks ---- */

static enum hf_status set_bad(struct wal_reader *reader, uint64_t offset, const char *reason)
{
    segment_name(reader->bad_file, SEGMENT_LOG, reader->segments.numbers[reader->position]);
    reader->bad_offset = offset;
    reader->bad_reason = reason;
    return HF_NOT_FOUND;
}

/* Does the header continue where the log before it ended? NULL or what does not fit. */
static const char *segment_fault(const struct wal_reader *reader,
                                 const struct segment_header *header)
{
    const struct wal_end *end = &reader->end;
    if (header->number != reader->segments.numbers[reader->position]) {
        return "the segment header has another number than the file's name";
    }
    if (header->segment_bytes != reader->file_bytes) {
        return "the file has another size than its segment header says";
    }
    if (!reader->cluster_known) {
        bool first_fits =
            header->number > 1 ||
            (header->first_index == 1 && header->first_lsn == 0 && header->previous_hash == 0);
        return first_fits ? NULL : "the first segment does not begin at the log's beginning";
    }
    if (!id_equal(header->cluster, end->cluster)) {
        return "the segment belongs to another log";
    }
    if (header->first_index != end->next_index || header->first_lsn != end->lsn ||
        header->previous_hash != end->previous_hash) {
        return "the segment does not continue where the one before it ended";
    }
    return NULL;
}

/* Reads the open segment's header page. OK, NOT_FOUND (see bad_reason), IO_ERROR. */
static enum hf_status check_segment(struct wal_reader *reader, struct segment_header *header)
{
    const uint8_t *page;
    enum hf_status status = reader_need(reader, 0, WAL_PAGE_BYTES, &page);
    if (status != HF_OK) {
        return status;
    }
    if (!page) {
        return set_bad(reader, 0, "the file is shorter than a page");
    }
    const char *reason;
    if (!segment_header_decode(header, page, &reason)) {
        return set_bad(reader, 0, reason);
    }
    reason = segment_fault(reader, header);
    if (!reason &&
        !bytes_all_zero(page + SEGMENT_HEADER_BYTES, WAL_PAGE_BYTES - SEGMENT_HEADER_BYTES)) {
        reason = "the segment header's page is not zero after the header";
    }
    reader->recycled = header->recycled;
    return reason ? set_bad(reader, 0, reason) : HF_OK;
}

/* Is it the block that should come now? NULL or what does not fit. */
static const char *block_fault(const struct wal_reader *reader, const struct block_header *header)
{
    const struct wal_end *end = &reader->end;
    CHECK(reader->cluster_known);
    if (!id_equal(header->cluster, end->cluster)) {
        return "the block belongs to another log";
    }
    if (header->index < end->next_index) {
        return "the block is from the file's earlier life";
    }
    if (header->index != end->next_index) {
        return "the block has another index than the next one";
    }
    if (header->segment != reader->segments.numbers[reader->position]) {
        return "the block was written to another segment";
    }
    if (header->previous_hash != end->previous_hash) {
        return "the block does not follow the one before it: the chain of hashes is broken";
    }
    if (header->first_lsn != end->lsn) {
        return "the block's first LSN does not continue the block before";
    }
    if (header->term < end->term || header->term == 0 || header->durable_index >= header->index) {
        return "the block's term or durable index is impossible";
    }
    if (reader->offset + block_span_bytes(header->payload_bytes) > reader->file_bytes) {
        return "the block reaches beyond its segment";
    }
    return NULL;
}

/* Reads the block at reader->offset. OK, NOT_FOUND (see bad_reason), IO_ERROR. */
static enum hf_status check_block(struct wal_reader *reader, struct wal_block *block,
                                  uint64_t *chain)
{
    const uint8_t *data;
    enum hf_status status = reader_need(reader, reader->offset, WAL_PAGE_BYTES, &data);
    if (status != HF_OK) {
        return status;
    }
    if (!data) {
        return set_bad(reader, reader->offset, "the segment has no room for another block");
    }
    const char *reason;
    if (!block_header_decode(&block->header, data, &reason)) {
        return set_bad(reader, reader->offset, reason);
    }
    reason = block_fault(reader, &block->header);
    if (reason) {
        return set_bad(reader, reader->offset, reason);
    }
    uint32_t payload_bytes = block->header.payload_bytes;
    size_t span = (size_t)block_span_bytes(payload_bytes);
    status = reader_need(reader, reader->offset, span, &data);
    if (status != HF_OK) {
        return status;
    }
    if (!data) {
        return set_bad(reader, reader->offset, "the file ends inside the block");
    }
    block->payload = data + BLOCK_HEADER_BYTES;
    if (hash_bytes(block->payload, payload_bytes) != block->header.payload_hash) {
        return set_bad(reader, reader->offset, "the block's payload does not match its checksum");
    }
    if (!bytes_all_zero(block->payload + payload_bytes,
                        span - BLOCK_HEADER_BYTES - payload_bytes)) {
        return set_bad(reader, reader->offset, "the block's padding is not zero");
    }
    *chain = block_chain(data);
    return HF_OK;
}

/* ---- Going on ---- */

/* Takes a valid block into the end's account. */
static void accept_block(struct wal_reader *reader, struct wal_block *block, uint64_t chain)
{
    struct wal_end *end = &reader->end;
    uint64_t span = block_span_bytes(block->header.payload_bytes);
    CHECK(block->header.index == end->next_index);
    CHECK(block->header.first_lsn == end->lsn);
    CHECK(reader->offset + span <= reader->file_bytes);
    segment_name(block->file, SEGMENT_LOG, reader->segments.numbers[reader->position]);
    block->file_offset = reader->offset;
    reader->offset += span;
    reader->done_bytes += span;
    end->segment = reader->segments.numbers[reader->position];
    end->offset = reader->offset;
    reader->end_recycled = reader->recycled;
    end->segment_bytes = reader->file_bytes;
    end->lsn += block->header.payload_bytes;
    end->next_index = block->header.index + 1;
    end->term = block->header.term;
    end->previous_hash = chain;
    end->wall_ms = block->header.wall_ms;
    end->engine_ms = block->header.engine_ms;
    end->boot_ms = block->header.boot_ms;
    end->boot = block->header.boot;
}

/* Opens the log's first segment. OK, NOT_FOUND, IO_ERROR. */
static enum hf_status enter_first(struct wal_reader *reader)
{
    if (reader->segments.count == 0) {
        return HF_NOT_FOUND;
    }
    enum hf_status status = reader_open_segment(reader, 0);
    if (status != HF_OK) {
        return status;
    }
    struct segment_header header;
    status = check_segment(reader, &header);
    if (status == HF_OK) {
        reader->cluster_known = true;
        reader->end.cluster = header.cluster;
        reader->end.next_index = header.first_index;
        reader->end.lsn = header.first_lsn;
        reader->end.previous_hash = header.previous_hash;
    }
    return status;
}

/* Goes on in the next segment, if that begins with the block that should come now. A block never
 * spans segments, so there may be anything in the rest of this one. OK, NOT_FOUND, IO_ERROR. */
static enum hf_status enter_next(struct wal_reader *reader)
{
    CHECK(reader->position < reader->segments.count);
    size_t next = reader->position + 1;
    uint64_t number = reader->segments.numbers[reader->position];
    /* Every segment that was begun holds a block. */
    if (reader->end.segment != number || next >= reader->segments.count ||
        reader->segments.numbers[next] != number + 1) {
        return HF_NOT_FOUND;
    }
    reader->next_reason = NULL;
    char bad_file[STORAGE_NAME_BYTES_MAX];
    memcpy(bad_file, reader->bad_file, sizeof bad_file);
    uint64_t bad_offset = reader->bad_offset;
    const char *bad_reason = reader->bad_reason;
    enum hf_status status = reader_open_segment(reader, next);
    if (status != HF_OK) {
        return status;
    }
    struct segment_header header;
    status = check_segment(reader, &header);
    if (status == HF_OK) {
        reader->done_bytes += WAL_PAGE_BYTES;
        return HF_OK;
    }
    /* What failed before is what counts, unless tail.c finds otherwise. */
    reader->next_reason = reader->bad_reason;
    memcpy(reader->bad_file, bad_file, sizeof bad_file);
    reader->bad_offset = bad_offset;
    reader->bad_reason = bad_reason;
    return status;
}

enum hf_status wal_reader_next(struct wal_reader *reader, struct wal_block *block)
{
    while (!reader->ended) {
        enum hf_status status = HF_OK;
        if (!reader->file_open) {
            status = enter_first(reader);
        }
        uint64_t chain;
        if (status == HF_OK) {
            status = check_block(reader, block, &chain);
            if (status == HF_OK) {
                accept_block(reader, block, chain);
                return HF_OK;
            }
        }
        if (status == HF_NOT_FOUND && reader->file_open) {
            status = enter_next(reader);
            if (status == HF_OK) {
                continue;
            }
        }
        if (status == HF_NOT_FOUND && reader->following) {
            status = reader_start_again(reader);
            return status == HF_OK ? HF_NOT_FOUND : status;
        }
        if (status == HF_NOT_FOUND) {
            bool again = false;
            status = reader_conclude(reader, &again);
            if (status == HF_OK && again) {
                continue;
            }
        }
        if (status != HF_OK) {
            return status;
        }
    }
    return HF_NOT_FOUND;
}

enum hf_status wal_reader_follow(struct wal_reader *reader)
{
    CHECK(reader->ended);
    CHECK(!reader->end.damaged);
    reader->ended = false;
    reader->following = true;
    reader->end.empty = false;
    reader->end.torn = false;
    return reader_start_again(reader);
}

/* ---- The reader itself ---- */

/* Sums the sizes of all segments, for progress. */
static enum hf_status measure(struct wal_reader *reader)
{
    for (size_t i = 0; i < reader->segments.count; i++) {
        char name[STORAGE_NAME_BYTES_MAX];
        segment_name(name, SEGMENT_LOG, reader->segments.numbers[i]);
        storage_file file;
        uint64_t size;
        enum hf_status status =
            reader->storage->ops->open(reader->storage, name, false, &file, &size);
        if (status != HF_OK) {
            continue; /* released by the engine that runs beside us, or unreadable: reading
                         shows which */
        }
        reader->storage->ops->close(reader->storage, file);
        reader->total_bytes += size;
    }
    return HF_OK;
}

enum hf_status reader_list_segments(struct wal_reader *reader)
{
    struct segment_list *list = &reader->segments;
    segment_list_free(list);
    enum hf_status status = segment_list_read(list, reader->storage, SEGMENT_LOG);
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        uint64_t number = list->numbers[i];
        if (number >= reader->start_segment &&
            (reader->last_segment == 0 || number <= reader->last_segment)) {
            list->numbers[kept++] = number;
        }
    }
    CHECK(kept <= list->count);
    list->count = kept;
    return status;
}

/* What the first block must fit, when it is not the log's first. */
static void begin_at(struct wal_reader *reader, const struct wal_start *start)
{
    CHECK(start->segment >= 1 && start->next_index >= 1);
    reader->start_segment = start->segment;
    reader->cluster_known = true;
    reader->end.cluster = start->cluster;
    reader->end.lsn = start->lsn;
    reader->end.next_index = start->next_index;
    reader->end.previous_hash = start->previous_hash;
    reader->end.term = start->term;
}

enum hf_status wal_reader_open(struct wal_reader **out, struct storage *storage)
{
    return wal_reader_open_at(out, storage, NULL, 0);
}

enum hf_status wal_reader_open_at(struct wal_reader **out, struct storage *storage,
                                  const struct wal_start *start, uint64_t last)
{
    *out = NULL;
    struct wal_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        return HF_NO_MEMORY;
    }
    reader->storage = storage;
    reader_read_small(reader);
    reader->end.next_index = 1;
    reader->last_segment = last;
    if (start) {
        begin_at(reader, start);
    }
    reader->buffer = pages_map_buffer(READER_BUFFER_BYTES);
    enum hf_status status = HF_NO_MEMORY;
    if (reader->buffer) {
        status = reader_list_segments(reader);
        if (status == HF_OK) {
            status = measure(reader);
        }
    }
    if (status != HF_OK) {
        wal_reader_close(reader);
        return status;
    }
    *out = reader;
    return HF_OK;
}

void wal_reader_read_gently(struct wal_reader *reader)
{
    CHECK(!reader->file_open);
    reader->gentle = true;
}

void wal_reader_close(struct wal_reader *reader)
{
    if (!reader) {
        return;
    }
    reader_close_segment(reader);
    segment_list_free(&reader->segments);
    pages_unmap(reader->buffer, READER_BUFFER_BYTES);
    free(reader);
}

void wal_reader_be_patient(struct wal_reader *reader, unsigned looks)
{
    reader->looks_left = looks;
}

const char *wal_reader_trouble(const struct wal_reader *reader)
{
    return reader->trouble;
}

void wal_reader_end(const struct wal_reader *reader, struct wal_end *end)
{
    CHECK(reader->ended);
    *end = reader->end;
}

void wal_reader_progress(const struct wal_reader *reader, uint64_t *done, uint64_t *total)
{
    *done = reader->ended ? reader->total_bytes : reader->done_bytes;
    *total = reader->total_bytes;
}
