/* build.c - checkpoint(k) + segments -> checkpoint(k+1), streaming.
 *
 * The segments are read once or, when their order records exceed the memory, once for each part of
 * the ids' hashes. In the first reading definitions, adjustments and moves go into the ledger. Each
 * reading gathers its part's order records and sorts them by order; merged with the base's orders,
 * which are sorted likewise, each order is taken in hand once: as the base has it, then its events.
 * What no event names is copied as it is.
 *
 * The digest is carried along: the base's, plus what each event adds. It must agree with the last
 * DIGEST block of the segments, which the engine wrote from its live state: so a fault here, or
 * there, is found before the segments are given up.
 *
 * Threads: one. Source: sort-merge of a log into a sorted file (O'Neil et al., The Log-Structured
 * Merge-Tree, 1996). */
#include "checkpoint/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "checkpoint/file.h"
#include "checkpoint/gather.h"
#include "checkpoint/load.h"
#include "core/replay.h"
#include "wal/digest.h"
#include "wal/record.h"

#define MEMORY_BYTES_MIN MIB(1)
#define PACE_COST        4096u /* between two calls of pace, in units of some 25 ns */
#define COST_RECORD      1u /* of reading and gathering one, of sorting one, of copying an order */
#define COST_EVENT       3u /* of folding one in */
#define COST_BLOCK       16u
#define PREFETCH_RECORDS 8u

/* Where the merge is in the base's orders. */
struct base_orders {
    struct frame_reader reader;
    bool open;
    const uint8_t *record; /* NULL: none left */
    uint32_t bytes;
    uint64_t key;
    struct id128 id;
    const uint8_t *next;
    size_t left;
};

struct build {
    const struct checkpoint_build_options *options;
    struct checkpoint_info *info;
    struct inventory *ledger;
    struct replay_lane *lane; /* what orders hold or have sold: a checkpoint has no sum of it */
    struct order_hand *hand;
    struct order_line_view *lines;
    struct base_orders base;
    struct frame_writer writer;
    struct gather *gather;
    const struct gather_part *part;
    struct wal_marks marks;
    struct wal_start start;
    struct wal_end end;
    uint64_t digest;
    unsigned seek_next; /* parts of the file that have been begun */
    /* The last DIGEST block, and what adds up to it. */
    bool has_check;
    uint64_t check_lsn;
    uint64_t check_digest;
    uint64_t check_sum;
    uint64_t admin_sum;
    /* Progress. */
    uint64_t done_bytes;
    uint64_t total_bytes;
    uint64_t cost; /* since pace was called */
};

static enum hf_status fail(struct build *build, enum hf_status status, const char *what)
{
    if (build->info->message[0] == '\0') {
        snprintf(build->info->message, sizeof build->info->message, "%s", what);
    }
    return status;
}

static enum hf_status fail_base(struct build *build, enum hf_status status)
{
    if (checkpoint_is_lost(status)) {
        frame_reader_message(&build->base.reader, status, build->info->message,
                             sizeof build->info->message);
    }
    return status;
}

static enum hf_status fail_block(struct build *build, const struct wal_block *block,
                                 const char *what)
{
    snprintf(build->info->message, sizeof build->info->message, "%s, offset %llu: %s", block->file,
             (unsigned long long)block->file_offset, what);
    return HF_DAMAGED;
}

/* Goes easy. CANCELED when told to stop. */
static enum hf_status pace(struct build *build, uint64_t cost)
{
    build->cost += cost;
    if (build->cost < PACE_COST || !build->options->pace) {
        return HF_OK;
    }
    build->cost = 0;
    return build->options->pace(build->options->context, build->done_bytes, build->total_bytes)
               ? HF_OK
               : HF_CANCELED;
}

/* ---- Reading the segments ---- */

/* A definition, an adjustment or a move. */
static enum hf_status take_admin(struct build *build, const struct wal_block *block,
                                 const uint8_t *record, uint32_t bytes, uint64_t lsn)
{
    struct event event;
    struct record_scratch scratch;
    size_t used;
    const char *reason;
    if (record_decode(record, bytes, &event, &scratch, &used, &reason) != HF_OK) {
        return fail_block(build, block, reason);
    }
    event.lsn = lsn;
    enum hf_status status = inventory_apply(build->ledger, &event);
    if (status == HF_DAMAGED) {
        return fail_block(build, block, "a record does not fit the state that the log led to");
    }
    build->admin_sum += event.digest_delta;
    return status;
}

/* An order's record is decoded only when it is folded in: once, however many readings there are. */
static enum hf_status take_record(struct build *build, const struct wal_block *block,
                                  bool first_reading, uint32_t *at)
{
    enum event_type type;
    uint32_t bytes;
    struct id128 id;
    const uint8_t *record = block->payload + *at;
    if (!record_peek(record, block->header.payload_bytes - *at, &type, &bytes, &id)) {
        return fail_block(build, block, "an impossible record");
    }
    *at += bytes;
    uint64_t lsn = block->header.first_lsn + *at;
    if (record_is_order(type)) {
        uint64_t key = id_hash(id);
        if (bytes > GATHER_RECORD_BYTES_MAX) {
            return fail_block(build, block, "an impossible record");
        }
        return gather_has(build->part, key) ? gather_add(build->gather, key, lsn, record, bytes)
                                            : HF_OK;
    }
    return first_reading ? take_admin(build, block, record, bytes, lsn) : HF_OK;
}

static enum hf_status take_block(struct build *build, const struct wal_block *block,
                                 bool first_reading)
{
    build->done_bytes += block_span_bytes(block->header.payload_bytes);
    if (first_reading) {
        wal_marks_add(&build->marks, block->header.first_lsn + block->header.payload_bytes,
                      block->header.engine_ms);
    }
    if (block->header.type == BLOCK_DIGEST && first_reading) {
        const char *reason = digest_decode(block, &build->check_digest);
        if (reason) {
            return fail_block(build, block, reason);
        }
        build->has_check = true;
        build->check_lsn = block->header.first_lsn;
        build->check_sum = build->digest + build->admin_sum;
    }
    if (block->header.type != BLOCK_DATA) {
        return pace(build, COST_BLOCK);
    }
    enum hf_status status = HF_OK;
    uint32_t count = 0;
    for (uint32_t at = 0; at < block->header.payload_bytes && status == HF_OK; count++) {
        status = take_record(build, block, first_reading, &at);
    }
    if (status == HF_OK && count != block->header.record_count) {
        status = fail_block(build, block, "the block's record count is wrong");
    }
    return status == HF_OK ? pace(build, COST_BLOCK + COST_RECORD * count) : status;
}

/* Reads the segments, for one part of the orders. */
static enum hf_status read_segments(struct build *build, bool first_reading)
{
    struct wal_reader *reader;
    const struct wal_start *start = build->options->base ? &build->start : NULL;
    enum hf_status status =
        wal_reader_open_at(&reader, build->options->storage, start, build->options->upto);
    if (status != HF_OK) {
        return status;
    }
    if (build->options->gently) {
        wal_reader_read_gently(reader);
    }
    struct wal_block block;
    while ((status = wal_reader_next(reader, &block)) == HF_OK &&
           (status = take_block(build, &block, first_reading)) == HF_OK) {
    }
    if (status == HF_NOT_FOUND) {
        wal_reader_end(reader, &build->end);
        status = HF_OK;
        if (build->end.damaged || build->end.torn || build->end.empty) {
            snprintf(build->info->message, sizeof build->info->message, "%s, offset %llu: %s",
                     build->end.file, (unsigned long long)build->end.file_offset,
                     build->end.reason);
            status = HF_DAMAGED;
        }
    }
    wal_reader_close(reader);
    return status;
}

/* ---- The base's orders ---- */

/* Moves on to the next order of the base; record NULL at the end. */
static enum hf_status base_next(struct build *build)
{
    struct base_orders *base = &build->base;
    base->record = NULL;
    if (!base->open) {
        return HF_OK;
    }
    while (base->left == 0) {
        struct frame_header header;
        enum hf_status status = frame_reader_next(&base->reader, &header, &base->next);
        if (status == HF_NOT_FOUND) {
            return HF_OK;
        }
        if (status == HF_OK && header.kind != FRAME_ORDERS) {
            status = frame_reader_fault(&base->reader, "a frame of the ledger among the orders'");
        }
        if (status != HF_OK) {
            return fail_base(build, status);
        }
        base->left = header.payload_bytes;
        build->done_bytes += frame_span(header.payload_bytes);
    }
    unsigned type;
    if (!checkpoint_record_peek(base->next, base->left, &type, &base->bytes) ||
        base->bytes < ORDER_RECORD_BYTES || order_record_state(base->next) == ORDER_NONE) {
        return fail_base(build, frame_reader_fault(&base->reader, "an impossible record"));
    }
    base->record = base->next;
    base->next += base->bytes;
    base->left -= base->bytes;
    base->id = order_record_id(base->record);
    base->key = id_hash(base->id);
    return HF_OK;
}

/* ---- Merging ---- */

/* Room for an order's record, in the right part of the file. */
static uint8_t *order_room(struct build *build, uint64_t key, uint32_t bytes,
                           enum hf_status *status)
{
    struct checkpoint_header *header = &build->writer.header;
    unsigned part = (unsigned)(key >> 60);
    if (build->seek_next <= part) {
        *status = frame_writer_flush(&build->writer);
        if (*status != HF_OK) {
            return NULL;
        }
        while (build->seek_next <= part) {
            header->seek_offset[build->seek_next++] = build->writer.offset;
        }
    }
    return frame_writer_room(&build->writer, FRAME_ORDERS, bytes, status);
}

static void count_order(struct build *build, uint32_t bytes, unsigned state)
{
    CHECK(state != ORDER_NONE);
    struct checkpoint_info *info = &build->writer.header.info;
    frame_writer_added(&build->writer, bytes);
    info->orders++;
    info->orders_held += state == ORDER_HELD;
    build->done_bytes += bytes;
}

/* An order that nothing happened to. */
static enum hf_status copy_order(struct build *build)
{
    const struct base_orders *base = &build->base;
    enum hf_status status;
    uint8_t *to = order_room(build, base->key, base->bytes, &status);
    if (to) {
        memcpy(to, base->record, base->bytes);
        count_order(build, base->bytes, order_record_state(base->record));
        status = base_next(build);
    }
    return status == HF_OK ? pace(build, COST_RECORD) : status;
}

static enum hf_status take_base_in_hand(struct build *build)
{
    struct order_image image;
    struct base_orders *base = &build->base;
    if (!order_record_decode(base->record, base->bytes, &image, build->lines) ||
        order_hand_load(build->ledger, build->hand, &image) != HF_OK) {
        return fail_base(build, frame_reader_fault(&base->reader, "an impossible order"));
    }
    return base_next(build);
}

static enum hf_status fail_record(struct build *build, const struct event *event, const char *what)
{
    char text[ID_TEXT_BYTES];
    id_to_text(event->id, text);
    snprintf(build->info->message, sizeof build->info->message, "LSN %llu, order %s: %s",
             (unsigned long long)event->lsn, text, what);
    return HF_DAMAGED;
}

static enum hf_status decode_gathered(struct build *build, const struct gathered *gathered,
                                      struct event *event)
{
    struct record_scratch scratch; /* not of orders */
    size_t used;
    const char *reason;
    enum hf_status status = record_decode(gathered->record, load_u32(gathered->record + 4), event,
                                          &scratch, &used, &reason);
    event->lsn = gathered->lsn;
    return status == HF_OK ? HF_OK : fail_record(build, event, reason);
}

static enum hf_status fold(struct build *build, struct event *event)
{
    enum hf_status status = replay_fold(build->lane, build->hand, event);
    if (status == HF_DAMAGED) {
        return fail_record(build, event, "the record does not fit the state that the log led to");
    }
    build->digest += event->digest_delta;
    if (build->has_check && event->lsn <= build->check_lsn) {
        build->check_sum += event->digest_delta;
    }
    return status;
}

static enum hf_status write_hand(struct build *build, uint64_t key)
{
    struct order_image image;
    order_hand_image(build->hand, &image);
    uint32_t bytes = order_record_bytes(&image);
    enum hf_status status;
    uint8_t *to = order_room(build, key, bytes, &status);
    if (to) {
        uint32_t written = order_record_encode(to, &image);
        CHECK(written == bytes);
        count_order(build, written, image.state);
    }
    return status;
}

/* The bucket is in the second-level cache, most of it. */
static void prefetch_record(const struct gathered *records, uint64_t count, uint64_t i)
{
    if (i + PREFETCH_RECORDS < count) {
        const uint8_t *record = records[i + PREFETCH_RECORDS].record;
        __builtin_prefetch(record);
        __builtin_prefetch(record + CACHE_LINE_BYTES / 2);
    }
}

/* One order with all its events, of which `event` is the first. *i: that one in the bucket, then
 * the one after the last. */
static enum hf_status merge_order(struct build *build, struct event *event,
                                  const struct gathered *records, uint64_t count, uint64_t *i)
{
    uint64_t key = records[*i].key;
    struct id128 id = event->id;
    const struct base_orders *base = &build->base;
    enum hf_status status = HF_OK;
    build->hand->order = (struct order){.state = ORDER_NONE};
    if (base->record && base->key == key && id_equal(base->id, id)) {
        status = take_base_in_hand(build);
    }
    uint32_t events = 0;
    while (status == HF_OK && id_equal(event->id, id)) {
        prefetch_record(records, count, *i);
        status = fold(build, event);
        events++;
        (*i)++;
        if (status != HF_OK || *i == count || records[*i].key != key) {
            break;
        }
        status = decode_gathered(build, &records[*i], event);
    }
    CHECK(status != HF_OK || events > 0);
    if (status == HF_OK && build->hand->order.state != ORDER_NONE) {
        status = write_hand(build, key);
    }
    return status == HF_OK ? pace(build, COST_EVENT * events) : status;
}

static bool id_less(struct id128 a, struct id128 b)
{
    return a.hi != b.hi ? a.hi < b.hi : a.lo < b.lo;
}

/* The base's orders that come before one, as they are. */
static enum hf_status copy_orders_before(struct build *build, uint64_t key, struct id128 id)
{
    const struct base_orders *base = &build->base;
    enum hf_status status = HF_OK;
    while (status == HF_OK && base->record &&
           (base->key < key || (base->key == key && id_less(base->id, id)))) {
        status = copy_order(build);
    }
    return status;
}

static enum hf_status merge_bucket(struct build *build, const struct gathered *records,
                                   uint64_t count)
{
    enum hf_status status = HF_OK;
    for (uint64_t i = 0; i < count && status == HF_OK;) {
        struct event event;
        CHECK(i == 0 || records[i].key >= records[i - 1].key);
        status = decode_gathered(build, &records[i], &event);
        if (status == HF_OK) {
            status = copy_orders_before(build, records[i].key, event.id);
        }
        if (status == HF_OK) {
            status = merge_order(build, &event, records, count, &i);
        }
    }
    return status;
}

static enum hf_status merge_part(struct build *build)
{
    const struct base_orders *base = &build->base;
    const struct gathered *records;
    uint64_t count;
    enum hf_status status;
    while ((status = gather_next(build->gather, &records, &count)) == HF_OK &&
           (status = pace(build, COST_RECORD * count)) == HF_OK &&
           (status = merge_bucket(build, records, count)) == HF_OK) {
    }
    status = status == HF_NOT_FOUND ? HF_OK : status;
    while (status == HF_OK && base->record && base->key <= build->part->last) {
        status = copy_order(build);
    }
    return status;
}

/* ---- The ledger ---- */

/* The writer and whether it failed, for the visitors. */
struct ledger_out {
    struct build *build;
    enum hf_status status;
};

static uint8_t *ledger_room(struct ledger_out *out)
{
    out->status = pace(out->build, COST_EVENT);
    return out->status == HF_OK ? frame_writer_room(&out->build->writer, FRAME_LEDGER,
                                                    LEDGER_RECORD_BYTES_MAX, &out->status)
                                : NULL;
}

static bool put_event(struct ledger_out *out, const struct event *event)
{
    uint8_t *to = ledger_room(out);
    if (to) {
        frame_writer_added(&out->build->writer, record_encode(event, to));
    }
    return to != NULL;
}

static bool put_sku(void *context, const struct sku_rule *rule)
{
    struct ledger_out *out = context;
    out->build->writer.header.info.skus++;
    return put_event(out, &(struct event){.type = EVENT_SKU_DEFINED, .sku = rule});
}

static bool put_item(void *context, const struct item_def *def, int64_t stocked, int64_t settled)
{
    struct ledger_out *out = context;
    out->build->writer.header.info.items++;
    if (!put_event(out, &(struct event){.type = EVENT_ITEM_DEFINED, .item = def})) {
        return false;
    }
    uint8_t *to = ledger_room(out);
    if (to) {
        frame_writer_added(&out->build->writer,
                           stock_record_encode(to, def->item, stocked, settled));
    }
    return to != NULL;
}

static bool put_adjustment(void *context, const struct adjustment_made *made)
{
    struct ledger_out *out = context;
    uint8_t *to = ledger_room(out);
    if (to) {
        frame_writer_added(&out->build->writer, adjustment_record_encode(to, made));
    }
    return to != NULL;
}

static bool put_buyer(void *context, uint32_t sku, uint64_t buyer, uint32_t units)
{
    struct ledger_out *out = context;
    uint8_t *to = ledger_room(out);
    if (to) {
        frame_writer_added(&out->build->writer, buyer_record_encode(to, sku, buyer, units));
    }
    return to != NULL;
}

static bool put_ticket(void *context, uint32_t item, uint32_t ticket, uint32_t units)
{
    struct ledger_out *out = context;
    uint8_t *to = ledger_room(out);
    if (to) {
        frame_writer_added(&out->build->writer, ticket_record_encode(to, item, ticket, units));
    }
    return to != NULL;
}

static enum hf_status write_ledger(struct build *build)
{
    struct checkpoint_header *header = &build->writer.header;
    enum hf_status status = frame_writer_flush(&build->writer);
    header->ledger_offset = build->writer.offset;
    while (build->seek_next < CHECKPOINT_SEEKS) {
        header->seek_offset[build->seek_next++] = build->writer.offset;
    }
    CHECK(build->seek_next == CHECKPOINT_SEEKS);
    CHECK(header->ledger_offset % WAL_PAGE_BYTES == 0);
    struct ledger_out out = {build, status};
    const struct ledger_visitor visitor = {&out,           put_sku,   put_item,
                                           put_adjustment, put_buyer, put_ticket};
    if (status == HF_OK && !inventory_visit_ledger(build->ledger, &visitor)) {
        return out.status == HF_OK ? HF_NO_MEMORY : out.status;
    }
    for (uint32_t i = 0; i < build->marks.count && out.status == HF_OK; i++) {
        uint8_t *to = ledger_room(&out);
        if (to) {
            frame_writer_added(&build->writer, mark_record_encode(to, &build->marks, i));
        }
    }
    return out.status;
}

/* ---- The whole ---- */

static enum hf_status load_base(struct build *build)
{
    struct base_orders *base = &build->base;
    enum hf_status status =
        frame_reader_open(&base->reader, build->options->storage, build->options->base);
    if (status != HF_OK && status != HF_DAMAGED) {
        return fail_base(build, status);
    }
    base->open = true;
    if (build->options->gently) {
        struct storage *storage = build->options->storage;
        storage->ops->read_direct(storage, base->reader.file);
    }
    if (status == HF_OK) {
        status = checkpoint_load_ledger(&base->reader, build->ledger, &build->marks);
    }
    if (status != HF_OK) {
        return fail_base(build, status);
    }
    const struct checkpoint_header *header = &base->reader.header;
    build->start = header->info.start;
    build->digest = header->info.digest;
    frame_reader_seek(&base->reader, WAL_PAGE_BYTES, header->ledger_offset);
    return base_next(build);
}

/* How many parts the orders are treated in: what is gathered takes no more than in the log, and
 * buckets are not quite full. */
static enum hf_status plan_parts(struct build *build, uint64_t *parts)
{
    const struct checkpoint_build_options *options = build->options;
    uint64_t payload = 0;
    struct wal_reader *reader;
    /* Segments are all but alike: what they can hold is near what they do. */
    enum hf_status status = wal_reader_open_at(&reader, options->storage,
                                               options->base ? &build->start : NULL, options->upto);
    if (status == HF_OK) {
        uint64_t done;
        wal_reader_progress(reader, &done, &payload);
        wal_reader_close(reader);
    }
    uint64_t memory =
        options->memory_bytes > MEMORY_BYTES_MIN ? options->memory_bytes : MEMORY_BYTES_MIN;
    *parts = payload / 32 * 33 / memory + 1;
    uint64_t base_bytes = build->base.open ? build->base.reader.file_bytes : 0;
    build->total_bytes = payload * *parts + 2 * base_bytes + payload / 2;
    return status == HF_OK ? gather_open(&build->gather, memory, payload) : status;
}

static enum hf_status build_part(struct build *build, uint64_t first, uint64_t last)
{
    gather_begin(build->gather, first, last);
    build->part = gather_part(build->gather);
    enum hf_status status = read_segments(build, first == 0);
    return status == HF_OK ? merge_part(build) : status;
}

static enum hf_status build_orders(struct build *build)
{
    uint64_t parts;
    enum hf_status status = plan_parts(build, &parts);
    uint64_t width = UINT64_MAX / parts;
    /* One more than planned where memory was full before. */
    for (uint64_t first = 0, last = 0; status == HF_OK && last < UINT64_MAX; first = last + 1) {
        status = build_part(build, first, first < UINT64_MAX - width ? first + width : UINT64_MAX);
        last = build->part->last;
        CHECK(status != HF_OK || last >= first);
    }
    build->digest += build->admin_sum;
    const char *reason = status == HF_OK && build->has_check
                             ? digest_fault(build->check_sum, build->check_digest)
                             : NULL;
    return reason ? fail(build, HF_DAMAGED, reason) : status;
}

static void fill_info(struct build *build)
{
    struct checkpoint_info *info = &build->writer.header.info;
    CHECK(build->end.segment == build->options->upto);
    CHECK(build->end.lsn >= build->start.lsn);
    CHECK(info->orders_held <= info->orders);
    info->start = (struct wal_start){
        .cluster = build->end.cluster,
        .segment = build->options->upto + 1,
        .lsn = build->end.lsn,
        .next_index = build->end.next_index,
        .previous_hash = build->end.previous_hash,
        .term = build->end.term,
    };
    info->wall_ms = build->end.wall_ms;
    info->engine_ms = build->end.engine_ms;
    info->digest = build->digest;
}

/* Without a base the log must be there from its beginning. */
static enum hf_status check_beginning(struct build *build)
{
    uint64_t first;
    enum hf_status status = wal_first_segment(build->options->storage, &first);
    if (status == HF_OK && !build->options->base && first != 1) {
        return fail(build, HF_DAMAGED,
                    "the log's first segments are gone, and there is no checkpoint to start from");
    }
    return status;
}

/* What was written of the ledger is all that it holds. */
static void check_ledger(const struct build *build)
{
    struct inventory_counts counts;
    inventory_counts(build->ledger, &counts);
    CHECK(build->writer.header.info.skus == counts.skus);
    CHECK(build->writer.header.info.items == counts.items);
}

static enum hf_status build_file(struct build *build)
{
    struct storage *out = build->options->out ? build->options->out : build->options->storage;
    enum hf_status status = check_beginning(build);
    if (status == HF_OK) {
        status = frame_writer_open(&build->writer, out, build->options->upto);
    }
    if (status != HF_OK) {
        return status;
    }
    status = build_orders(build);
    if (status == HF_OK) {
        status = write_ledger(build);
    }
    if (status != HF_OK) {
        frame_writer_abandon(&build->writer);
        return status;
    }
    check_ledger(build);
    fill_info(build);
    status = frame_writer_finish(&build->writer);
    if (status == HF_OK) {
        *build->info = build->writer.header.info;
        build->info->marks = build->marks;
    }
    return status;
}

/* Orders are folded in by their hashes, not by time: on the way the ledger may hold the buyers and
 * tickets of the base and those of the end at once, and those of the order in hand. So it has twice
 * the room (of address space): for tickets it follows from orders_max. */
static struct inventory_options ledger_sizes(const struct inventory_options *engine)
{
    struct inventory_options sizes = *engine;
    uint64_t orders = 2 * engine->orders_max;
    uint64_t buyers = engine->buyers_max ? 2 * engine->buyers_max + ORDER_LINES_MAX : orders;
    sizes.orders_max = orders < ORDERS_MAX ? orders : ORDERS_MAX;
    sizes.buyers_max = buyers < ORDERS_MAX ? buyers : ORDERS_MAX;
    sizes.orders_ready = 0;
    return sizes;
}

enum hf_status checkpoint_build(const struct checkpoint_build_options *options,
                                struct checkpoint_info *info)
{
    CHECK(options->upto > options->base);
    *info = (struct checkpoint_info){.number = options->upto};
    struct build build = {.options = options, .info = info};
    build.hand = malloc(sizeof *build.hand);
    build.lines = malloc(ORDER_LINES_MAX * sizeof *build.lines);
    enum hf_status status = build.hand && build.lines ? HF_OK : HF_NO_MEMORY;
    if (status == HF_OK) {
        const struct inventory_options ledger = ledger_sizes(&options->inventory);
        status = inventory_init(&build.ledger, &ledger);
    }
    if (status == HF_OK) {
        status = replay_lane_init(&build.lane, build.ledger, 0);
    }
    if (status == HF_OK && options->base) {
        status = load_base(&build);
    }
    if (status == HF_OK) {
        status = build_file(&build);
    }
    if (build.base.open) {
        frame_reader_close(&build.base.reader);
    }
    replay_lane_deinit(build.lane);
    if (build.ledger) {
        inventory_deinit(build.ledger);
    }
    gather_close(build.gather);
    free(build.lines);
    free(build.hand);
    return status;
}
