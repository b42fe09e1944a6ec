/* file.c - a checkpoint's file, frame by frame.
 *
 * A file is written from its beginning to its end under a temporary name; its first page comes
 * last, then everything is synced, then it gets its name: a file with a name is whole.
 *
 * Threads: one a writer or reader. */
#include "checkpoint/file.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/pages.h"
#include "wal/segment.h"

static uint8_t *buffer_make(void)
{
    return pages_map_buffer(FRAME_BYTES_MAX);
}

static void buffer_free(uint8_t *buffer)
{
    pages_unmap(buffer, FRAME_BYTES_MAX);
}

/* ---- Writing ---- */

enum hf_status frame_writer_open(struct frame_writer *writer, struct storage *storage,
                                 uint64_t number)
{
    *writer = (struct frame_writer){.storage = storage, .file = -1, .offset = WAL_PAGE_BYTES};
    writer->header.info.number = number;
    writer->frame = buffer_make();
    if (!writer->frame) {
        return HF_NO_MEMORY;
    }
    char name[STORAGE_NAME_BYTES_MAX];
    segment_name(name, SEGMENT_CHECKPOINT, number);
    size_t len = strlen(name);
    CHECK(len + 5 <= sizeof writer->temporary);
    memcpy(writer->temporary, name, len);
    memcpy(writer->temporary + len, ".tmp", 5);
    enum hf_status status = storage->ops->create(storage, writer->temporary, &writer->file);
    if (status != HF_OK) {
        buffer_free(writer->frame);
        writer->frame = NULL;
    }
    return status;
}

enum hf_status frame_writer_flush(struct frame_writer *writer)
{
    if (writer->record_count == 0) {
        return HF_OK;
    }
    struct checkpoint_header *whole = &writer->header;
    struct frame_header header = {
        .kind = writer->kind,
        .record_count = writer->record_count,
        .payload_bytes = writer->payload_bytes,
        .sequence = whole->frames,
        .checkpoint = whole->info.number,
    };
    frame_encode(&header, writer->frame);
    size_t used = FRAME_HEADER_BYTES + (size_t)writer->payload_bytes;
    size_t span = frame_span(writer->payload_bytes);
    CHECK(used <= span);
    CHECK(span <= FRAME_BYTES_MAX);
    CHECK(writer->offset % WAL_PAGE_BYTES == 0);
    memset(writer->frame + used, 0, span - used);
    enum hf_status status = writer->storage->ops->write(writer->storage, writer->file,
                                                        writer->frame, span, writer->offset);
    whole->frames++;
    whole->frames_hash = frame_chain(whole->frames_hash, header.hash);
    writer->offset += span;
    writer->payload_bytes = 0;
    writer->record_count = 0;
    return status;
}

uint8_t *frame_writer_room(struct frame_writer *writer, enum frame_kind kind, uint32_t most,
                           enum hf_status *status)
{
    CHECK(most <= FRAME_PAYLOAD_MAX);
    *status = HF_OK;
    if (writer->kind != kind || writer->payload_bytes + (uint64_t)most > FRAME_PAYLOAD_MAX) {
        *status = frame_writer_flush(writer);
        writer->kind = kind;
    }
    CHECK(*status != HF_OK || writer->payload_bytes + (uint64_t)most <= FRAME_PAYLOAD_MAX);
    writer->room_bytes = most;
    return *status == HF_OK ? writer->frame + FRAME_HEADER_BYTES + writer->payload_bytes : NULL;
}

void frame_writer_added(struct frame_writer *writer, uint32_t bytes)
{
    CHECK(bytes > 0 && bytes % 8 == 0);
    CHECK(bytes <= writer->room_bytes);
    CHECK(writer->payload_bytes + (uint64_t)bytes <= FRAME_PAYLOAD_MAX);
    writer->room_bytes = 0;
    writer->payload_bytes += bytes;
    writer->record_count++;
}

static void writer_close(struct frame_writer *writer)
{
    if (writer->file >= 0) {
        writer->storage->ops->close(writer->storage, writer->file);
        writer->file = -1;
    }
    buffer_free(writer->frame);
    writer->frame = NULL;
}

void frame_writer_abandon(struct frame_writer *writer)
{
    bool made = writer->file >= 0;
    writer_close(writer);
    if (made) {
        (void)writer->storage->ops->unlink(writer->storage, writer->temporary);
    }
}

enum hf_status frame_writer_finish(struct frame_writer *writer)
{
    const struct storage_ops *ops = writer->storage->ops;
    enum hf_status status = frame_writer_flush(writer);
    CHECK(writer->record_count == 0 || status != HF_OK);
    CHECK(writer->offset % WAL_PAGE_BYTES == 0);
    writer->header.info.file_bytes = writer->offset;
    if (status == HF_OK) {
        checkpoint_header_encode(&writer->header, writer->frame);
        status = ops->write(writer->storage, writer->file, writer->frame, WAL_PAGE_BYTES, 0);
    }
    if (status == HF_OK) {
        status = ops->sync(writer->storage, writer->file);
    }
    if (status != HF_OK) {
        frame_writer_abandon(writer);
        return status;
    }
    writer_close(writer);
    char name[STORAGE_NAME_BYTES_MAX];
    segment_name(name, SEGMENT_CHECKPOINT, writer->header.info.number);
    return ops->rename(writer->storage, writer->temporary, name);
}

/* ---- Reading ---- */

enum hf_status frame_reader_fault(struct frame_reader *reader, const char *what)
{
    CHECK(what != NULL);
    if (!reader->fault) {
        reader->fault = what;
        reader->fault_offset = reader->offset;
    }
    return HF_DAMAGED;
}

void frame_reader_message(const struct frame_reader *reader, enum hf_status status, char *to,
                          size_t to_bytes)
{
    if (status != HF_DAMAGED) {
        snprintf(to, to_bytes, "%s can't be read: %s", reader->name, storage_reason(status));
        return;
    }
    snprintf(to, to_bytes, "%s, offset %llu: %s", reader->name,
             (unsigned long long)reader->fault_offset,
             reader->fault ? reader->fault : "nothing is wrong");
}

/* Reads up to len bytes into the buffer, `least` of which must be there. */
static enum hf_status read_least(struct frame_reader *reader, uint64_t offset, size_t least,
                                 size_t len, size_t *got)
{
    enum hf_status status =
        reader->storage->ops->read(reader->storage, reader->file, reader->buffer, len, offset, got);
    if (status != HF_OK) {
        return HF_IO_ERROR;
    }
    CHECK(*got <= len);
    return *got >= least ? HF_OK : frame_reader_fault(reader, "the file ends too early");
}

static enum hf_status check_header(struct frame_reader *reader, uint64_t number)
{
    size_t got;
    enum hf_status status = read_least(reader, 0, WAL_PAGE_BYTES, WAL_PAGE_BYTES, &got);
    const char *reason;
    if (status == HF_OK && !checkpoint_header_decode(&reader->header, reader->buffer, &reason)) {
        status = frame_reader_fault(reader, reason);
    }
    if (status == HF_OK && reader->header.info.number != number) {
        status = frame_reader_fault(reader, "the header has another number than the file's name");
    }
    if (status == HF_OK && reader->header.info.file_bytes != reader->file_bytes) {
        status = frame_reader_fault(reader, "the file has another size than its header says");
    }
    return status;
}

enum hf_status frame_reader_open(struct frame_reader *reader, struct storage *storage,
                                 uint64_t number)
{
    *reader = (struct frame_reader){.storage = storage, .file = -1};
    segment_name(reader->name, SEGMENT_CHECKPOINT, number);
    reader->buffer = buffer_make();
    enum hf_status status = reader->buffer ? HF_OK : HF_NO_MEMORY;
    if (status == HF_OK) {
        status =
            storage->ops->open(storage, reader->name, false, &reader->file, &reader->file_bytes);
    }
    if (status == HF_OK) {
        status = check_header(reader, number);
    }
    if (status != HF_OK && status != HF_DAMAGED) {
        frame_reader_close(reader);
        return status;
    }
    frame_reader_seek(reader, WAL_PAGE_BYTES, reader->file_bytes);
    reader->next_sequence = 0;
    return status;
}

void frame_reader_close(struct frame_reader *reader)
{
    if (reader->file >= 0) {
        reader->storage->ops->close(reader->storage, reader->file);
        reader->file = -1;
    }
    buffer_free(reader->buffer);
    reader->buffer = NULL;
}

void frame_reader_seek(struct frame_reader *reader, uint64_t offset, uint64_t end)
{
    CHECK(offset % WAL_PAGE_BYTES == 0);
    reader->offset = offset;
    reader->end = end;
    reader->next_sequence = UINT64_MAX;
}

enum hf_status frame_reader_next(struct frame_reader *reader, struct frame_header *header,
                                 const uint8_t **payload)
{
    if (reader->offset >= reader->end) {
        return HF_NOT_FOUND;
    }
    /* Most frames are of the greatest size, so that hardly anything is read twice. */
    uint64_t left = reader->end - reader->offset;
    size_t len = left < FRAME_BYTES_MAX ? (size_t)left : FRAME_BYTES_MAX;
    size_t got;
    enum hf_status status = read_least(reader, reader->offset, WAL_PAGE_BYTES, len, &got);
    const char *reason;
    if (status == HF_OK && !frame_decode(header, reader->buffer, &reason)) {
        status = frame_reader_fault(reader, reason);
    }
    if (status != HF_OK) {
        return status;
    }
    size_t span = frame_span(header->payload_bytes);
    if (span > got) {
        return frame_reader_fault(reader, span > left ? "the frame reaches into what follows it"
                                                      : "the file ends too early");
    }
    reason = frame_fault(header, reader->buffer);
    if (!reason &&
        (header->checkpoint != reader->header.info.number ||
         (reader->next_sequence != UINT64_MAX && header->sequence != reader->next_sequence))) {
        reason = "the frame is out of place";
    }
    if (reason) {
        return frame_reader_fault(reader, reason);
    }
    CHECK(reader->offset + span <= reader->end);
    reader->chain = frame_chain(reader->chain, header->hash);
    reader->next_sequence = header->sequence + 1;
    reader->offset += span;
    *payload = reader->buffer + FRAME_HEADER_BYTES;
    return HF_OK;
}
