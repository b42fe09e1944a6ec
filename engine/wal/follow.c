/* follow.c - reads a log that is being written.
 *
 * A place is where the next block is expected, and what it must fit: index, chain, LSN. A header
 * that fits is the next block's; whether that block is durable a later header shows, by its
 * durable_index. So before a block is handed out a scout goes ahead, from header to header, until
 * one proves it. The scout begins again each time: an engine that starts may have cut off a block
 * that the scout saw and nothing proved.
 *
 * A segment may be released while its file is open here: the file becomes a spare and then
 * another segment, or is cut to nothing. Until then it may look as it always did. So where nothing
 * fits it is opened by name once more, for its copy may be in an archive; and if the name is gone,
 * and nothing follows where it broke off, what was to be read has expired. Only who has come to the
 * log's end need not look: a segment that is prepared and not begun says that the one before it is
 * in use.
 *
 * Threads: one. */
#include "wal/follow.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "wal/segment.h"

struct place {
    uint64_t segment;
    uint64_t offset;
    uint64_t index;
    uint64_t previous_hash;
    uint64_t lsn;
    bool open;
    storage_file file;
    uint64_t file_bytes;
};

struct wal_follow {
    struct storage *storage;
    struct id128 cluster;
    struct place place;
    uint64_t durable_index;
    uint64_t scouted_lsn;   /* how far the scout came the last time */
    uint64_t missing_index; /* of the block that was not there the last time */
    bool at_end;            /* the segment after it was not begun, seen after that */
    /* Records are read where they stand. */
    _Alignas(max_align_t) uint8_t page[WAL_PAGE_BYTES];
    _Alignas(max_align_t) uint8_t block[WAL_GROUP_BYTES_MAX + 2 * WAL_PAGE_BYTES];
};

/* ---- Bytes ---- */

static void close_place(struct wal_follow *follow, struct place *place)
{
    if (place->open) {
        follow->storage->ops->close(follow->storage, place->file);
        place->open = false;
    }
}

static enum hf_status open_place(struct wal_follow *follow, struct place *place)
{
    char name[STORAGE_NAME_BYTES_MAX];
    if (place->open) {
        return HF_OK;
    }
    segment_name(name, SEGMENT_LOG, place->segment);
    enum hf_status status =
        follow->storage->ops->open(follow->storage, name, false, &place->file, &place->file_bytes);
    place->open = status == HF_OK;
    return status;
}

/* Exactly len bytes. NOT_FOUND: the file ends before. */
static enum hf_status read_place(struct wal_follow *follow, const struct place *place, void *to,
                                 size_t len, uint64_t offset)
{
    size_t got;
    if (offset + len > place->file_bytes) {
        return HF_NOT_FOUND;
    }
    enum hf_status status =
        follow->storage->ops->read(follow->storage, place->file, to, len, offset, &got);
    return status != HF_OK ? HF_IO_ERROR : got == len ? HF_OK : HF_NOT_FOUND;
}

/* The header of the place's file, which is open. NOT_FOUND: it is not begun, or another's. */
static enum hf_status read_segment_header(struct wal_follow *follow, const struct place *place,
                                          struct segment_header *header)
{
    const char *reason;
    enum hf_status status = read_place(follow, place, follow->page, WAL_PAGE_BYTES, 0);
    if (status == HF_OK && (!segment_header_decode(header, follow->page, &reason) ||
                            header->number != place->segment)) {
        status = HF_NOT_FOUND;
    }
    return status;
}

/* ---- Steps ---- */

/* The header at the place, if it is that of the block that should come there. */
static enum hf_status read_header(struct wal_follow *follow, const struct place *place,
                                  struct block_header *header)
{
    const char *reason;
    enum hf_status status = read_place(follow, place, follow->page, WAL_PAGE_BYTES, place->offset);
    if (status != HF_OK) {
        return status;
    }
    bool fits = block_header_decode(header, follow->page, &reason) &&
                id_equal(header->cluster, follow->cluster) && header->segment == place->segment &&
                header->index == place->index && header->previous_hash == place->previous_hash &&
                header->first_lsn == place->lsn &&
                place->offset + block_span_bytes(header->payload_bytes) <= place->file_bytes;
    return fits ? HF_OK : HF_NOT_FOUND;
}

/* Into the next segment, if that continues here. Notes whether it waits to be begun. */
static enum hf_status enter_next(struct wal_follow *follow, struct place *place)
{
    struct segment_header header;
    struct place next = *place;
    next.segment++;
    next.offset = WAL_PAGE_BYTES;
    next.open = false;
    enum hf_status status = open_place(follow, &next);
    if (status != HF_OK) {
        return status;
    }
    status = read_segment_header(follow, &next, &header);
    follow->at_end = place->open && status == HF_NOT_FOUND;
    if (status == HF_OK &&
        (!id_equal(header.cluster, follow->cluster) || header.first_index != place->index ||
         header.previous_hash != place->previous_hash || header.first_lsn != place->lsn)) {
        status = HF_NOT_FOUND;
    }
    if (status != HF_OK) {
        close_place(follow, &next);
        return status;
    }
    close_place(follow, place);
    *place = next;
    return HF_OK;
}

/* Nothing fits: opens the segment by its name once more. OK: it is there, or no later one is;
 * EXPIRED: it was released. */
static enum hf_status look_again(struct wal_follow *follow, struct place *place)
{
    struct segment_list list;
    close_place(follow, place);
    enum hf_status status = open_place(follow, place);
    if (status != HF_NOT_FOUND) {
        return status;
    }
    status = segment_list_read(&list, follow->storage, SEGMENT_LOG);
    if (status == HF_OK && list.count > 0 && list.numbers[list.count - 1] > place->segment) {
        status = HF_EXPIRED;
    }
    segment_list_free(&list);
    return status;
}

/* The next block's header; the place stays before it. */
static enum hf_status find_header(struct wal_follow *follow, struct place *place,
                                  struct block_header *header)
{
    enum hf_status status = open_place(follow, place);
    if (status == HF_OK) {
        status = read_header(follow, place, header);
    }
    if (status == HF_NOT_FOUND && place->offset > WAL_PAGE_BYTES) {
        status = enter_next(follow, place);
        status = status == HF_OK ? read_header(follow, place, header) : status;
    }
    return status;
}

/* Moves the place after a block whose header is in follow->page. */
static void step_over_block(struct wal_follow *follow, struct place *place,
                            const struct block_header *header)
{
    CHECK(header->index == place->index);
    CHECK(header->first_lsn == place->lsn);
    place->offset += block_span_bytes(header->payload_bytes);
    CHECK(place->offset <= place->file_bytes);
    place->index++;
    place->lsn += header->payload_bytes;
    place->previous_hash = block_chain(follow->page);
}

/* Goes ahead until something proves the next block durable. NOT_FOUND: nothing does yet. */
static enum hf_status scout(struct wal_follow *follow)
{
    struct place ahead = follow->place;
    struct block_header header;
    ahead.open = false;
    enum hf_status status = HF_OK;
    while (status == HF_OK && follow->durable_index < follow->place.index) {
        status = find_header(follow, &ahead, &header);
        if (status == HF_OK) {
            if (header.durable_index > follow->durable_index) {
                follow->durable_index = header.durable_index;
            }
            step_over_block(follow, &ahead, &header);
        }
    }
    follow->scouted_lsn = ahead.lsn;
    follow->missing_index = ahead.index;
    close_place(follow, &ahead);
    return status;
}

static enum hf_status read_block(struct wal_follow *follow, struct wal_block *block)
{
    struct place *place = &follow->place;
    follow->missing_index = place->index;
    enum hf_status status = find_header(follow, place, &block->header);
    if (status != HF_OK) {
        return status;
    }
    uint32_t payload_bytes = block->header.payload_bytes;
    size_t span = (size_t)block_span_bytes(payload_bytes);
    CHECK(span <= sizeof follow->block);
    status = read_place(follow, place, follow->block, span, place->offset);
    if (status != HF_OK) {
        return status;
    }
    block->payload = follow->block + BLOCK_HEADER_BYTES;
    if (memcmp(follow->block, follow->page, BLOCK_HEADER_BYTES) != 0 ||
        hash_bytes(block->payload, payload_bytes) != block->header.payload_hash) {
        return HF_DAMAGED;
    }
    segment_name(block->file, SEGMENT_LOG, place->segment);
    block->file_offset = place->offset;
    step_over_block(follow, place, &block->header);
    return HF_OK;
}

/* *waits: NOT_FOUND, and nothing was released that should have been found. */
static enum hf_status next_durable(struct wal_follow *follow, struct wal_block *block, bool *waits)
{
    enum hf_status status = HF_OK;
    follow->at_end = false;
    if (follow->durable_index < follow->place.index) {
        status = scout(follow);
    }
    *waits = status == HF_NOT_FOUND && follow->at_end;
    CHECK(status != HF_OK || follow->durable_index >= follow->place.index);
    return status == HF_OK ? read_block(follow, block) : status;
}

/* What is not there twice in a row, with the segment opened by its name in between, is not there.
 * An archive's files stay, so that each look comes further than the one before. */
enum hf_status wal_follow_next(struct wal_follow *follow, struct wal_block *block)
{
    uint64_t missed_index = UINT64_MAX;
    for (;;) {
        bool waits;
        enum hf_status status = next_durable(follow, block, &waits);
        if (waits || (status != HF_NOT_FOUND && status != HF_DAMAGED)) {
            return status;
        }
        enum hf_status there = look_again(follow, &follow->place);
        if (follow->missing_index == missed_index) {
            return there == HF_OK ? status : there;
        }
        missed_index = follow->missing_index;
    }
}

uint64_t wal_follow_lsn(const struct wal_follow *follow)
{
    return follow->place.lsn;
}

uint64_t wal_follow_end_lsn(const struct wal_follow *follow)
{
    return follow->scouted_lsn > follow->place.lsn ? follow->scouted_lsn : follow->place.lsn;
}

/* ---- Where to begin ---- */

static void begin_at(struct wal_follow *follow, const struct segment_header *header)
{
    follow->cluster = header->cluster;
    follow->durable_index = header->durable_index;
    follow->place.segment = header->number;
    follow->place.offset = WAL_PAGE_BYTES;
    follow->place.index = header->first_index;
    follow->place.previous_hash = header->previous_hash;
    follow->place.lsn = header->first_lsn;
}

/* The last begun segment that begins at or before lsn, and is not after segment_max. */
static enum hf_status choose(struct wal_follow *follow, const struct segment_list *list,
                             uint64_t lsn, uint64_t segment_max, uint64_t *oldest_lsn)
{
    enum hf_status found = HF_NOT_FOUND;
    for (size_t i = list->count; i > 0; i--) {
        struct segment_header header;
        struct place place = {.segment = list->numbers[i - 1]};
        enum hf_status status = open_place(follow, &place);
        if (status == HF_OK) {
            status = read_segment_header(follow, &place, &header);
            close_place(follow, &place);
        }
        if (status == HF_NOT_FOUND) {
            continue; /* prepared only, or released just now */
        }
        if (status != HF_OK) {
            return status;
        }
        *oldest_lsn = header.first_lsn;
        found = HF_EXPIRED;
        if (header.first_lsn <= lsn && (segment_max == 0 || header.number <= segment_max)) {
            begin_at(follow, &header);
            return HF_OK;
        }
    }
    return found;
}

enum hf_status wal_follow_open(struct wal_follow **out, struct storage *storage, uint64_t lsn,
                               uint64_t segment_max, uint64_t *oldest_lsn)
{
    *out = NULL;
    *oldest_lsn = 0;
    struct wal_follow *follow = calloc(1, sizeof *follow);
    struct segment_list list;
    if (!follow) {
        return HF_NO_MEMORY;
    }
    follow->storage = storage;
    enum hf_status status = segment_list_read(&list, storage, SEGMENT_LOG);
    if (status == HF_OK) {
        status = choose(follow, &list, lsn, segment_max, oldest_lsn);
        segment_list_free(&list);
    }
    if (status != HF_OK) {
        free(follow);
        return status;
    }
    *out = follow;
    return HF_OK;
}

void wal_follow_close(struct wal_follow *follow)
{
    if (follow) {
        close_place(follow, &follow->place);
        free(follow);
    }
}
