/* info.c - which checkpoints there are, and what their headers say.
 *
 * Threads: each call belongs to one thread. */
#include "checkpoint/info.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint/file.h"
#include "wal/format.h"
#include "wal/segment.h"

void checkpoint_name(char name[STORAGE_NAME_BYTES_MAX], uint64_t number)
{
    segment_name(name, SEGMENT_CHECKPOINT, number);
}

enum hf_status checkpoint_list(struct storage *storage, uint64_t **numbers, size_t *count)
{
    struct segment_list list;
    enum hf_status status = segment_list_read(&list, storage, SEGMENT_CHECKPOINT);
    *numbers = list.numbers;
    *count = list.count;
    return status;
}

enum hf_status checkpoint_remove(struct storage *storage, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, number);
    return storage->ops->unlink(storage, name);
}

/* Does the segment after a checkpoint say that it continues elsewhere? Then one of the two is of
 * another log, or of a copy of this one that continued by itself. A segment that is missing or
 * damaged says nothing. */
static bool contradicted(struct storage *storage, const struct wal_start *start)
{
    char name[STORAGE_NAME_BYTES_MAX];
    uint8_t page[SEGMENT_HEADER_BYTES];
    storage_file file;
    uint64_t size;
    size_t got = 0;
    segment_name(name, SEGMENT_LOG, start->segment);
    if (storage->ops->open(storage, name, false, &file, &size) != HF_OK) {
        return false;
    }
    enum hf_status status = storage->ops->read(storage, file, page, sizeof page, 0, &got);
    storage->ops->close(storage, file);
    struct segment_header header;
    const char *reason;
    return status == HF_OK && got == sizeof page && segment_header_decode(&header, page, &reason) &&
           header.number == start->segment &&
           (!id_equal(header.cluster, start->cluster) || header.first_lsn != start->lsn ||
            header.first_index != start->next_index ||
            header.previous_hash != start->previous_hash);
}

enum hf_status checkpoint_open(struct frame_reader *reader, struct storage *storage,
                               uint64_t number, struct checkpoint_info *info)
{
    *info = (struct checkpoint_info){.number = number};
    enum hf_status status = frame_reader_open(reader, storage, number);
    if (status == HF_OK) {
        *info = reader->header.info;
        info->apart = contradicted(storage, &info->start);
    } else if (checkpoint_is_lost(status)) {
        frame_reader_message(reader, status, info->message, sizeof info->message);
        frame_reader_close(reader);
    }
    if (info->apart) {
        snprintf(info->message, sizeof info->message,
                 "%s: segment %llu does not continue where it ends", reader->name,
                 (unsigned long long)info->start.segment);
        frame_reader_close(reader);
        status = HF_DAMAGED;
    }
    return status;
}

enum hf_status checkpoint_read_info(struct storage *storage, uint64_t number,
                                    struct checkpoint_info *info)
{
    struct frame_reader reader;
    enum hf_status status = checkpoint_open(&reader, storage, number, info);
    if (status == HF_OK) {
        frame_reader_close(&reader);
    }
    return status;
}
