/* wal.c - fuzzes the log's reader over a log that was tampered with.
 *
 * The input is a row of changes of a small log of three segments: bytes, pages and blocks
 * overwritten, swapped, removed; and, because a wrong checksum ends most stories, headers and
 * payloads sealed again after a change. Then
 *   - every block that the reader returns has a right checksum, goes on where the one before ended,
 *     and lies in its file as it was returned;
 *   - the end is one of clean, torn and damaged, and the same when it is read again;
 *   - a block that is still whole and says that a missing one was durable makes it damage;
 *   - changes of the last block alone never do, and all before it is read;
 *   - what is not damaged can be cut off, and then ends cleanly at the same place.
 * Threads: one. */
#include <string.h>

#include "base/hash.h"
#include "fuzz.h"
#include "lib/sim_storage.h"
#include "wal/cut.h"
#include "wal/record.h"
#include "wal/wal.h"

const unsigned fuzz_runs = 3000;

#define SEGMENTS        3u
#define SEGMENT_PAGES   8u
#define SEGMENT_BYTES   (SEGMENT_PAGES * WAL_PAGE_BYTES)
#define BLOCKS_MAX      64u
#define CHANGES_MAX     64u
#define LAST_SEGMENT_AT 3u /* blocks in the last segment */

/* ---- The log before it is tampered with ---- */

struct log_block {
    uint64_t segment;
    uint64_t offset;
    uint64_t span;
    uint64_t durable_index;
    uint8_t page[WAL_PAGE_BYTES]; /* every block here is of one page */
};

static struct storage *original;
static struct log_block blocks[BLOCKS_MAX]; /* by index, from 1 */
static uint64_t block_count;
static uint8_t segment_pages[SEGMENTS + 1][WAL_PAGE_BYTES];

static void name_segment(char name[STORAGE_NAME_BYTES_MAX], uint64_t number)
{
    snprintf(name, STORAGE_NAME_BYTES_MAX, "wal-%016llx.seg", (unsigned long long)number);
}

static uint8_t *segment_data(struct storage *storage, uint64_t number, uint64_t *size)
{
    char name[STORAGE_NAME_BYTES_MAX];
    name_segment(name, number);
    return sim_storage_data(storage, name, size);
}

static uint32_t make_payload(uint64_t index, uint8_t *to, uint32_t *records)
{
    uint32_t len = 0;
    *records = 0;
    for (; index > 1 && *records <= index % 4; (*records)++) {
        struct event event = {.type = EVENT_ORDER_HELD,
                              .id = {index, *records},
                              .deadline_ms = 1794355200000ull,
                              .line_count = 1,
                              .one = {1, 1}};
        event.lines = &event.one;
        len += record_encode(&event, to + len);
    }
    return len;
}

struct maker {
    uint64_t lsn;
    uint64_t previous_hash;
};

static void make_segment(struct maker *maker, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    name_segment(name, number);
    FUZZ_CHECK(original->ops->create_zeroed(original, name, SEGMENT_BYTES) == HF_OK, "%s", name);
    struct segment_header header = {.cluster = {11, 12},
                                    .number = number,
                                    .first_lsn = maker->lsn,
                                    .first_index = block_count + 1,
                                    .previous_hash = maker->previous_hash,
                                    .durable_index = block_count,
                                    .segment_bytes = SEGMENT_BYTES};
    uint64_t size;
    uint8_t *data = segment_data(original, number, &size);
    segment_header_encode(&header, data);
    memcpy(segment_pages[number], data, WAL_PAGE_BYTES);
}

static void make_block(struct maker *maker, uint64_t segment, uint64_t offset)
{
    uint64_t size;
    uint8_t *at = segment_data(original, segment, &size) + offset;
    uint64_t index = ++block_count;
    uint32_t records;
    uint32_t len = make_payload(index, at + BLOCK_HEADER_BYTES, &records);
    struct block_header header = {.type = index == 1 ? BLOCK_EPOCH : BLOCK_DATA,
                                  .cluster = {11, 12},
                                  .term = 1,
                                  .index = index,
                                  .previous_hash = maker->previous_hash,
                                  .durable_index = index - 1,
                                  .first_lsn = maker->lsn,
                                  .record_count = records,
                                  .payload_bytes = len,
                                  .payload_hash = hash_bytes(at + BLOCK_HEADER_BYTES, len),
                                  .segment = segment};
    block_header_encode(&header, at);
    maker->previous_hash = block_chain(at);
    maker->lsn += len;
    struct log_block *block = &blocks[index];
    *block = (struct log_block){
        .segment = segment, .offset = offset, .span = WAL_PAGE_BYTES, .durable_index = index - 1};
    FUZZ_CHECK(block_span_bytes(len) == block->span, "a block of one page");
    memcpy(block->page, at, WAL_PAGE_BYTES);
}

static void make_log(void)
{
    original = sim_storage_make(1);
    struct maker maker = {0};
    for (uint64_t segment = 1; segment <= SEGMENTS; segment++) {
        make_segment(&maker, segment);
        uint64_t count = segment == SEGMENTS ? LAST_SEGMENT_AT : SEGMENT_PAGES - 1;
        for (uint64_t i = 1; i <= count; i++) {
            make_block(&maker, segment, i * WAL_PAGE_BYTES);
        }
    }
}

/* ---- Changes ---- */

struct tamper {
    struct storage *storage;
    struct cursor input;
    bool last_only; /* nothing before the last block was changed, nothing was sealed */
};

static uint8_t *pick_page(struct tamper *tamper, uint64_t *segment, uint64_t *page)
{
    *segment = 1 + cursor_u8(&tamper->input) % SEGMENTS;
    *page = cursor_u8(&tamper->input) % SEGMENT_PAGES;
    uint64_t size;
    uint8_t *data = segment_data(tamper->storage, *segment, &size);
    return data && (*page + 1) * WAL_PAGE_BYTES <= size ? data + *page * WAL_PAGE_BYTES : NULL;
}

/* Makes the checksums of what begins on this page right. */
static void seal(uint8_t *page, uint64_t room)
{
    if (memcmp(page, "HFWALSEG", 8) == 0) {
        store_u64(page + SEGMENT_HEADER_BYTES - 8, hash_bytes(page, SEGMENT_HEADER_BYTES - 8));
    } else if (memcmp(page, "HFWALBLK", 8) == 0) {
        uint32_t payload_bytes = load_u32(page + 92);
        if (payload_bytes <= room - BLOCK_HEADER_BYTES) {
            store_u64(page + 96, hash_bytes(page + BLOCK_HEADER_BYTES, payload_bytes));
        }
        store_u64(page + BLOCK_HEADER_BYTES - 8, hash_bytes(page, BLOCK_HEADER_BYTES - 8));
    }
}

static void overwrite(struct tamper *tamper, uint8_t *page)
{
    size_t at = cursor_u16(&tamper->input) % WAL_PAGE_BYTES;
    size_t len = cursor_u8(&tamper->input) % 32;
    len = len < WAL_PAGE_BYTES - at ? len : WAL_PAGE_BYTES - at;
    const uint8_t *from = cursor_take(&tamper->input, len);
    if (from) {
        memcpy(page + at, from, len);
    }
}

static void copy_page(struct tamper *tamper, uint8_t *page)
{
    uint64_t segment;
    uint64_t number;
    const uint8_t *from = pick_page(tamper, &segment, &number);
    if (from) {
        memmove(page, from, WAL_PAGE_BYTES);
    }
}

/* The file is gone, or of another size. */
static void remove_or_resize(struct tamper *tamper, uint64_t segment)
{
    char name[STORAGE_NAME_BYTES_MAX];
    name_segment(name, segment);
    uint64_t size = cursor_u16(&tamper->input);
    if (size % 4 == 0) {
        (void)tamper->storage->ops->unlink(tamper->storage, name);
        return;
    }
    size = size % (SEGMENT_BYTES + WAL_PAGE_BYTES);
    uint8_t before[SEGMENT_BYTES + WAL_PAGE_BYTES] = {0};
    uint64_t old_size = 0;
    const uint8_t *data = segment_data(tamper->storage, segment, &old_size);
    if (data) {
        memcpy(before, data, old_size);
    }
    (void)tamper->storage->ops->create_zeroed(tamper->storage, name, size);
    memcpy(segment_data(tamper->storage, segment, &size), before, size);
}

/* A number at or beside a bound: of payloads, of counts, of what is left of the segment. */
static void set_bound(uint8_t *at, unsigned which, uint64_t room)
{
    const uint64_t bounds[] = {0,
                               1,
                               room - BLOCK_HEADER_BYTES,
                               room - BLOCK_HEADER_BYTES + 1,
                               room - BLOCK_HEADER_BYTES - 8,
                               WAL_PAGE_BYTES,
                               WAL_GROUP_BYTES_MAX,
                               WAL_GROUP_BYTES_MAX + 1,
                               WAL_RECORD_BYTES_MAX + 8,
                               SEGMENT_BYTES,
                               QTY_MAX,
                               QTY_MAX + 1,
                               ORDER_LINES_MAX + 1,
                               UINT32_MAX,
                               INT64_MAX,
                               UINT64_MAX};
    uint64_t value = bounds[which % 16];
    if (which & 16) {
        store_u64(at, value);
    } else {
        store_u32(at, (uint32_t)value);
    }
}

static void change(struct tamper *tamper)
{
    unsigned kind = cursor_u8(&tamper->input) % 8;
    uint64_t segment;
    uint64_t number;
    uint8_t *page = pick_page(tamper, &segment, &number);
    if (segment != SEGMENTS || number != LAST_SEGMENT_AT || kind >= 5) {
        tamper->last_only = false;
    }
    if (kind == 6) {
        remove_or_resize(tamper, segment);
    } else if (!page) {
        return;
    } else if (kind <= 1) {
        page[cursor_u16(&tamper->input) % WAL_PAGE_BYTES] ^=
            (uint8_t)(cursor_u8(&tamper->input) | 1);
    } else if (kind == 2) {
        overwrite(tamper, page);
    } else if (kind == 3) {
        size_t at = cursor_u16(&tamper->input) % WAL_PAGE_BYTES;
        memset(page + at, 0, WAL_PAGE_BYTES - at);
    } else if (kind == 4) {
        memset(page + cursor_u8(&tamper->input) % 8 * 512u, cursor_u8(&tamper->input), 512);
    } else if (kind == 5) {
        copy_page(tamper, page);
    } else {
        /* One field of the header, or of a record, and sealed, so that the reader takes it as
         * meant. */
        size_t at = 8 + cursor_u8(&tamper->input) % (BLOCK_HEADER_BYTES - 8);
        uint8_t value = cursor_u8(&tamper->input);
        uint64_t room = (SEGMENT_PAGES - number) * WAL_PAGE_BYTES;
        if (value % 2 == 0) {
            page[at] = (uint8_t)(page[at] + value);
        } else {
            set_bound(page + (value & 2 ? at : at + BLOCK_HEADER_BYTES), value >> 2, room);
        }
        seal(page, room);
    }
}

/* ---- What the reader says of it ---- */

struct seen {
    uint64_t count;
    uint64_t last_index;
    struct wal_end end;
};

static void check_block(struct storage *storage, const struct wal_block *block,
                        const struct wal_block *before, uint64_t previous_hash)
{
    const struct block_header *header = &block->header;
    FUZZ_CHECK(hash_bytes(block->payload, header->payload_bytes) == header->payload_hash,
               "%s, %llu: a wrong payload was returned", block->file,
               (unsigned long long)block->file_offset);
    uint64_t size = 0;
    const uint8_t *data = sim_storage_data(storage, block->file, &size);
    FUZZ_CHECK(data && block->file_offset + block_span_bytes(header->payload_bytes) <= size,
               "%s, %llu: not in the file", block->file, (unsigned long long)block->file_offset);
    uint8_t encoded[BLOCK_HEADER_BYTES];
    block_header_encode(header, encoded);
    FUZZ_CHECK(memcmp(encoded, data + block->file_offset, sizeof encoded) == 0,
               "the header is not the file's");
    FUZZ_CHECK(memcmp(block->payload, data + block->file_offset + BLOCK_HEADER_BYTES,
                      header->payload_bytes) == 0,
               "the payload is not the file's");
    if (before) {
        const struct block_header *last = &before->header;
        FUZZ_CHECK(header->index == last->index + 1, "index %llu",
                   (unsigned long long)header->index);
        FUZZ_CHECK(header->first_lsn == last->first_lsn + last->payload_bytes, "the LSN");
        FUZZ_CHECK(header->previous_hash == previous_hash, "the chain is broken");
        FUZZ_CHECK(id_equal(header->cluster, last->cluster), "of another log");
    }
}

/* The records of a valid block: refused or taken, never a crash. */
static void decode_records(const struct wal_block *block)
{
    struct event event;
    struct record_scratch scratch;
    size_t used;
    const char *reason;
    for (size_t at = 0; block->header.type == BLOCK_DATA && at < block->header.payload_bytes;
         at += used) {
        if (record_decode(block->payload + at, block->header.payload_bytes - at, &event, &scratch,
                          &used, &reason) != HF_OK) {
            return;
        }
    }
}

static void check_end(const struct seen *seen, enum hf_status status)
{
    const struct wal_end *end = &seen->end;
    FUZZ_CHECK(status == HF_NOT_FOUND, "%d", status);
    FUZZ_CHECK(end->empty + end->torn * (!end->empty) + end->damaged <= 1,
               "empty %d, torn %d, damaged %d", end->empty, end->torn, end->damaged);
    FUZZ_CHECK(!end->empty || seen->count == 0, "empty, with blocks");
    FUZZ_CHECK(memchr(end->file, '\0', sizeof end->file), "a name does not end");
    FUZZ_CHECK(memchr(end->reason, '\0', sizeof end->reason), "a reason does not end");
    FUZZ_CHECK(!end->damaged || end->reason[0] != '\0', "damaged, without a reason");
    FUZZ_CHECK(seen->count == 0 || end->next_index == seen->last_index + 1, "the next index");
}

static void read_log(struct storage *storage, struct seen *seen)
{
    *seen = (struct seen){0};
    struct wal_reader *reader;
    FUZZ_CHECK(wal_reader_open(&reader, storage) == HF_OK, "not opened");
    struct wal_block block;
    struct wal_block before;
    uint64_t previous_hash = 0;
    enum hf_status status;
    while ((status = wal_reader_next(reader, &block)) == HF_OK) {
        check_block(storage, &block, seen->count ? &before : NULL, previous_hash);
        decode_records(&block);
        uint8_t encoded[BLOCK_HEADER_BYTES];
        block_header_encode(&block.header, encoded);
        previous_hash = block_chain(encoded);
        before = block;
        seen->last_index = block.header.index;
        seen->count++;
        FUZZ_CHECK(seen->count <= SEGMENTS * SEGMENT_PAGES, "more blocks than pages");
    }
    wal_reader_end(reader, &seen->end);
    wal_reader_close(reader);
    check_end(seen, status);
}

/* True when the segment's first page and the block's are as they were made. */
static bool block_untouched(struct storage *storage, const struct log_block *block)
{
    uint64_t size = 0;
    const uint8_t *data = segment_data(storage, block->segment, &size);
    return data && size == SEGMENT_BYTES &&
           memcmp(data, segment_pages[block->segment], WAL_PAGE_BYTES) == 0 &&
           memcmp(data + block->offset, block->page, WAL_PAGE_BYTES) == 0;
}

static void check_class(const struct tamper *tamper, const struct seen *seen)
{
    const struct wal_end *end = &seen->end;
    for (uint64_t index = 1; index <= block_count; index++) {
        const struct log_block *block = &blocks[index];
        /* A forged length may make one block's payload of the next ones. */
        bool behind = block->segment > end->segment ||
                      (block->segment == end->segment && block->offset >= end->offset);
        if (behind && block->durable_index >= end->next_index &&
            block_untouched(tamper->storage, block)) {
            FUZZ_CHECK(end->damaged, "block %llu is whole, and block %llu would be cut off",
                       (unsigned long long)index, (unsigned long long)end->next_index);
        }
    }
    if (tamper->last_only) {
        FUZZ_CHECK(!seen->end.damaged, "a torn last block is called damage: %s", seen->end.reason);
        FUZZ_CHECK(seen->end.next_index >= block_count, "a block before the last was lost");
    }
}

static void check_cut(struct storage *storage, const struct seen *seen)
{
    if (seen->end.damaged || seen->end.empty || seen->count == 0) {
        return;
    }
    FUZZ_CHECK(wal_cut(storage, &seen->end) == HF_OK, "not cut");
    struct seen after;
    read_log(storage, &after);
    FUZZ_CHECK(!after.end.damaged && !after.end.torn, "cut, and then: %s", after.end.reason);
    FUZZ_CHECK(after.count == seen->count && after.end.lsn == seen->end.lsn, "cut elsewhere");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!original) {
        make_log();
    }
    struct tamper tamper = {.storage = sim_storage_copy(original, 1),
                            .input = cursor_over(data, size),
                            .last_only = true};
    for (unsigned i = 0; i < CHANGES_MAX && !tamper.input.overrun; i++) {
        if (cursor_left(&tamper.input) == 0) {
            break;
        }
        change(&tamper);
    }
    struct seen seen;
    struct seen again;
    read_log(tamper.storage, &seen);
    read_log(tamper.storage, &again);
    FUZZ_CHECK(seen.count == again.count && seen.end.damaged == again.end.damaged &&
                   seen.end.torn == again.end.torn && seen.end.offset == again.end.offset,
               "two readings differ");
    check_class(&tamper, &seen);
    check_cut(tamper.storage, &seen);
    storage_destroy(tamper.storage);
    return 0;
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    size_t len = 0;
    bool last_only = rng_chance(rng, 4);
    for (uint64_t changes = rng_between(rng, 1, 6); changes > 0 && len + 16 < room; changes--) {
        to[len++] = (uint8_t)rng_below(rng, last_only ? 5 : 8);
        to[len++] = (uint8_t)(last_only ? SEGMENTS - 1 : rng_below(rng, SEGMENTS));
        to[len++] = (uint8_t)(last_only ? LAST_SEGMENT_AT : rng_below(rng, SEGMENT_PAGES));
        to[len++] = (uint8_t)rng_below(rng, 160);
        to[len++] = (uint8_t)(rng_chance(rng, 2) ? 0 : rng_next(rng));
        to[len++] = (uint8_t)rng_next(rng);
    }
    return len;
}
