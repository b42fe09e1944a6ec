/* format.c - header, frames and records of a checkpoint to and from bytes.
 *
 * Threads: any; pure functions. As in the log, each thing has one encoding, and a decoder checks
 * all of it: lengths, ranges, reserved bytes. */
#include "checkpoint/format.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "wal/format.h"
#include "wal/record.h"
#include "wal/segment.h"

static const char frame_magic[] = "HFCHFRAM";

/* ---- The header's page ---- */

/* u64 fields after magic (8), version (4), reserved (4) and cluster (16). */
#define HEADER_FIELDS_AT   32u
#define HEADER_CHECKSUM_AT CHECKPOINT_CHECKSUM_AT
static_assert(HEADER_CHECKSUM_AT == HEADER_FIELDS_AT + 8 * (16 + CHECKPOINT_SEEKS),
              "the checksum comes right after the fields");
/* What version 2 adds is after the checksum, whose place is the same in every version. */
#define HEADER_ENGINE_MS_AT  (HEADER_CHECKSUM_AT + 8)
#define HEADER_CHECKSUM_2_AT (HEADER_ENGINE_MS_AT + 8)
#define HEADER_END_1         HEADER_ENGINE_MS_AT
#define HEADER_END_2         (HEADER_CHECKSUM_2_AT + 8)

static uint32_t put_fields(uint8_t *page, const uint64_t *fields, uint32_t count, uint32_t at)
{
    for (uint32_t i = 0; i < count; i++) {
        store_u64(page + at + 8 * (size_t)i, fields[i]);
    }
    return at + 8 * count;
}

void checkpoint_header_encode(const struct checkpoint_header *header, uint8_t *page)
{
    const struct checkpoint_info *info = &header->info;
    const uint64_t fields[] = {
        info->number,
        info->start.segment,
        info->start.lsn,
        info->start.next_index,
        info->start.previous_hash,
        info->start.term,
        info->wall_ms,
        info->digest,
        info->file_bytes,
        info->skus,
        info->items,
        info->orders,
        info->orders_held,
        header->ledger_offset,
        header->frames,
        header->frames_hash,
    };
    memset(page, 0, WAL_PAGE_BYTES);
    memcpy(page, CHECKPOINT_MAGIC, 8);
    store_u32(page + 8, CHECKPOINT_VERSION);
    id_to_bytes(info->start.cluster, page + CHECKPOINT_CLUSTER_AT);
    uint32_t at = put_fields(page, fields, sizeof fields / sizeof fields[0], HEADER_FIELDS_AT);
    at = put_fields(page, header->seek_offset, CHECKPOINT_SEEKS, at);
    CHECK(at == HEADER_CHECKSUM_AT);
    store_u64(page + at, hash_bytes(page, at));
    store_u64(page + HEADER_ENGINE_MS_AT, info->engine_ms);
    store_u64(page + HEADER_CHECKSUM_2_AT, hash_bytes(page, HEADER_CHECKSUM_2_AT));
}

/* The header's fields, read one after another. */
static void decode_fields(struct checkpoint_header *header, const uint8_t *page)
{
    struct checkpoint_info *info = &header->info;
    uint64_t *const fields[] = {
        &info->number,
        &info->start.segment,
        &info->start.lsn,
        &info->start.next_index,
        &info->start.previous_hash,
        &info->start.term,
        &info->wall_ms,
        &info->digest,
        &info->file_bytes,
        &info->skus,
        &info->items,
        &info->orders,
        &info->orders_held,
        &header->ledger_offset,
        &header->frames,
        &header->frames_hash,
    };
    size_t at = HEADER_FIELDS_AT;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++, at += 8) {
        *fields[i] = load_u64(page + at);
    }
    for (size_t i = 0; i < CHECKPOINT_SEEKS; i++, at += 8) {
        header->seek_offset[i] = load_u64(page + at);
    }
}

/* Whether a place is one where a frame may begin, in [from, to]. */
static bool place_fits(uint64_t offset, uint64_t from, uint64_t to)
{
    return offset % WAL_PAGE_BYTES == 0 && offset >= from && offset <= to;
}

static bool numbers_fit(const struct checkpoint_header *header)
{
    const struct checkpoint_info *info = &header->info;
    if (info->number == 0 || info->start.segment != info->number + 1 ||
        info->start.next_index == 0 || info->orders_held > info->orders ||
        info->file_bytes % WAL_PAGE_BYTES != 0 || header->ledger_offset >= info->file_bytes ||
        !place_fits(header->ledger_offset, WAL_PAGE_BYTES, info->file_bytes) ||
        header->seek_offset[0] != WAL_PAGE_BYTES) {
        return false;
    }
    uint64_t from = WAL_PAGE_BYTES;
    for (uint32_t i = 0; i < CHECKPOINT_SEEKS; from = header->seek_offset[i], i++) {
        if (!place_fits(header->seek_offset[i], from, header->ledger_offset)) {
            return false;
        }
    }
    return true;
}

/* NULL when the page is a header of a version that is known, with the cluster it names; else what
 * is wrong with it. */
static const char *header_fault(const uint8_t *page, struct id128 *cluster)
{
    const char *reason;
    if (!checkpoint_cluster_decode(cluster, page, &reason)) {
        return reason;
    }
    uint32_t version = load_u32(page + 8);
    if (version < CHECKPOINT_READ_MIN || version > CHECKPOINT_VERSION || load_u32(page + 12) != 0) {
        return "the checkpoint was written by another version of the format";
    }
    if (version > 1 &&
        load_u64(page + HEADER_CHECKSUM_2_AT) != hash_bytes(page, HEADER_CHECKSUM_2_AT)) {
        return "the checkpoint header's second checksum does not match";
    }
    size_t end = version > 1 ? HEADER_END_2 : HEADER_END_1;
    return bytes_all_zero(page + end, WAL_PAGE_BYTES - end)
               ? NULL
               : "the checkpoint header's page is not zero after the header";
}

bool checkpoint_header_decode(struct checkpoint_header *header, const uint8_t *page,
                              const char **reason)
{
    *header = (struct checkpoint_header){0};
    *reason = header_fault(page, &header->info.start.cluster);
    if (*reason) {
        return false;
    }
    header->version = load_u32(page + 8);
    decode_fields(header, page);
    header->info.engine_ms = header->version > 1 ? load_u64(page + HEADER_ENGINE_MS_AT) : 0;
    if (!numbers_fit(header)) {
        *reason = "the checkpoint header's numbers are impossible";
    }
    return !*reason;
}

/* ---- Frames ---- */

/* magic 8, kind 2, reserved 2, record count 4, payload bytes 4, reserved 4, sequence 8, checkpoint
 * 8, hash 8: of the 40 bytes before it and the payload. */
static uint64_t frame_hash(const uint8_t *frame, uint32_t payload_bytes)
{
    uint64_t head = hash_bytes(frame, FRAME_HEADER_BYTES - 8);
    return hash_u64(head) + hash_bytes(frame + FRAME_HEADER_BYTES, payload_bytes);
}

void frame_encode(struct frame_header *header, uint8_t *frame)
{
    CHECK(header->payload_bytes <= FRAME_PAYLOAD_MAX);
    memcpy(frame, frame_magic, 8);
    store_u16(frame + 8, (uint16_t)header->kind);
    store_u16(frame + 10, 0);
    store_u32(frame + 12, header->record_count);
    store_u32(frame + 16, header->payload_bytes);
    store_u32(frame + 20, 0);
    store_u64(frame + 24, header->sequence);
    store_u64(frame + 32, header->checkpoint);
    header->hash = frame_hash(frame, header->payload_bytes);
    store_u64(frame + 40, header->hash);
}

bool frame_decode(struct frame_header *header, const uint8_t *frame, const char **reason)
{
    *header = (struct frame_header){
        .kind = (enum frame_kind)load_u16(frame + 8),
        .record_count = load_u32(frame + 12),
        .payload_bytes = load_u32(frame + 16),
        .sequence = load_u64(frame + 24),
        .checkpoint = load_u64(frame + 32),
        .hash = load_u64(frame + 40),
    };
    *reason = memcmp(frame, frame_magic, 8) != 0             ? "no frame here"
              : header->payload_bytes > FRAME_PAYLOAD_MAX    ? "the frame's size is impossible"
              : load_u16(frame + 10) || load_u32(frame + 20) ? "reserved bytes of a frame are set"
              : header->kind != FRAME_ORDERS && header->kind != FRAME_LEDGER
                  ? "a frame of a kind that this version does not know"
                  : NULL;
    return !*reason;
}

const char *frame_fault(const struct frame_header *header, const uint8_t *frame)
{
    if (frame_hash(frame, header->payload_bytes) != header->hash) {
        return "the frame does not match its checksum";
    }
    size_t used = FRAME_HEADER_BYTES + (size_t)header->payload_bytes;
    for (size_t i = used; i < frame_span(header->payload_bytes); i++) {
        if (frame[i] != 0) {
            return "the frame's padding is not zero";
        }
    }
    return NULL;
}

uint64_t frame_chain(uint64_t chain, uint64_t hash)
{
    return hash_u64(chain * 0x9E3779B97F4A7C15ull + hash);
}

/* ---- Records ---- */

#define STOCK_BYTES      32u
#define ADJUSTMENT_BYTES 56u
#define SHORT_BYTES      24u /* of a buyer, a ticket, a mark */

static_assert(RECORD_ADMIN_BYTES_MAX <= LEDGER_RECORD_BYTES_MAX, "SKUs and items fit their room");
static_assert(ADJUSTMENT_BYTES <= LEDGER_RECORD_BYTES_MAX, "so does what is ours");

static uint32_t begin(uint8_t *to, unsigned type, unsigned flags, unsigned state, uint32_t bytes)
{
    CHECK(bytes % 8 == 0);
    CHECK(bytes >= SHORT_BYTES);
    memset(to, 0, bytes);
    to[0] = (uint8_t)type;
    to[1] = (uint8_t)flags;
    to[2] = (uint8_t)state;
    store_u32(to + 4, bytes);
    return bytes;
}

uint32_t stock_record_encode(uint8_t *to, uint32_t item, int64_t stocked, int64_t settled)
{
    uint32_t bytes = begin(to, CHECKPOINT_STOCK, 0, 0, STOCK_BYTES);
    store_u32(to + 8, item);
    store_u64(to + 16, (uint64_t)stocked);
    store_u64(to + 24, (uint64_t)settled);
    return bytes;
}

uint32_t adjustment_record_encode(uint8_t *to, const struct adjustment_made *made)
{
    uint32_t bytes = begin(to, CHECKPOINT_ADJUSTMENT, 0, 0, ADJUSTMENT_BYTES);
    store_u32(to + 8, made->item);
    id_to_bytes(made->id, to + 16);
    store_u64(to + 32, (uint64_t)made->delta);
    store_u64(to + 40, (uint64_t)made->stocked);
    store_u64(to + 48, made->texts);
    return bytes;
}

uint32_t buyer_record_encode(uint8_t *to, uint32_t sku, uint64_t buyer, uint32_t units)
{
    uint32_t bytes = begin(to, CHECKPOINT_BUYER, 0, 0, SHORT_BYTES);
    store_u32(to + 8, sku);
    store_u32(to + 12, units);
    store_u64(to + 16, buyer);
    return bytes;
}

uint32_t ticket_record_encode(uint8_t *to, uint32_t item, uint32_t ticket, uint32_t units)
{
    uint32_t bytes = begin(to, CHECKPOINT_TICKET, 0, 0, SHORT_BYTES);
    store_u32(to + 8, item);
    store_u32(to + 12, ticket);
    store_u32(to + 16, units);
    return bytes;
}

uint32_t mark_record_encode(uint8_t *to, const struct wal_marks *marks, uint32_t i)
{
    CHECK(i < marks->count);
    uint32_t bytes = begin(to, CHECKPOINT_MARK, 0, 0, SHORT_BYTES);
    store_u64(to + 8, marks->marks[i].lsn);
    store_u64(to + 16, marks->marks[i].engine_ms);
    return bytes;
}

bool checkpoint_record_peek(const uint8_t *from, size_t len, unsigned *type, uint32_t *bytes)
{
    if (len < 8) {
        return false;
    }
    *type = from[0];
    *bytes = load_u32(from + 4);
    return *bytes >= SHORT_BYTES && *bytes % 8 == 0 && *bytes <= len;
}

static enum hf_status load_mark(const uint8_t *from, struct wal_marks *marks)
{
    struct wal_mark mark = {load_u64(from + 8), load_u64(from + 16)};
    const struct wal_mark *last = marks->count ? &marks->marks[marks->count - 1] : NULL;
    if (marks->count == WAL_MARKS_MAX ||
        (last && (mark.lsn <= last->lsn || mark.engine_ms < last->engine_ms))) {
        return HF_DAMAGED;
    }
    marks->marks[marks->count++] = mark;
    return HF_OK;
}

static enum hf_status load_adjustment(const uint8_t *from, struct inventory *inventory)
{
    struct adjustment_made made = {
        .id = id_from_bytes(from + 16),
        .delta = (int64_t)load_u64(from + 32),
        .stocked = (int64_t)load_u64(from + 40),
        .texts = load_u64(from + 48),
        .item = load_u32(from + 8),
    };
    return load_u32(from + 12) == 0 ? inventory_load_adjustment(inventory, &made) : HF_DAMAGED;
}

enum hf_status ledger_record_load(const uint8_t *from, uint32_t bytes, struct inventory *inventory,
                                  struct wal_marks *marks)
{
    if (from[1] != 0 || from[2] != 0 || from[3] != 0) {
        return HF_DAMAGED;
    }
    unsigned type = from[0];
    if (type == CHECKPOINT_STOCK && bytes == STOCK_BYTES && load_u32(from + 12) == 0) {
        return inventory_load_stock(inventory, load_u32(from + 8), (int64_t)load_u64(from + 16),
                                    (int64_t)load_u64(from + 24));
    }
    if (type == CHECKPOINT_ADJUSTMENT && bytes == ADJUSTMENT_BYTES) {
        return load_adjustment(from, inventory);
    }
    if (type == CHECKPOINT_BUYER && bytes == SHORT_BYTES) {
        return inventory_load_buyer(inventory, load_u32(from + 8), load_u64(from + 16),
                                    load_u32(from + 12));
    }
    if (type == CHECKPOINT_TICKET && bytes == SHORT_BYTES && load_u32(from + 20) == 0) {
        return inventory_load_ticket(inventory, load_u32(from + 8), load_u32(from + 12),
                                     load_u32(from + 16));
    }
    return type == CHECKPOINT_MARK && bytes == SHORT_BYTES ? load_mark(from, marks) : HF_DAMAGED;
}

/* ---- Orders ---- */

enum order_record_flags {
    ORDER_RECORD_COUNTED = 1,
    ORDER_RECORD_SHAPED = 2,
};

static bool one_plain_line(const struct order_image *image)
{
    return image->line_count == 1 && !image->block && !image->shaped;
}

uint32_t order_record_bytes(const struct order_image *image)
{
    return one_plain_line(image) ? ORDER_RECORD_BYTES
                                 : ORDER_LINES_AT + ORDER_LINE_BYTES * image->line_count;
}

/* What both forms begin with: 48 bytes. */
static void encode_order_head(uint8_t *to, const struct order_image *image)
{
    id_to_bytes(image->id, to + 8);
    store_u64(to + 24, image->buyer);
    store_u64(to + 32, image->lsn);
    store_u64(to + 40, image->deadline_ms);
}

static void encode_line(uint8_t *to, const struct order_line_view *line)
{
    store_u32(to, line->item);
    store_u32(to + 4, line->qty);
    store_u32(to + 8, line->released);
    store_u32(to + 12, line->committed);
    store_u32(to + 16, line->returned);
    store_u32(to + 20, line->presale_qty);
    store_u32(to + 24, line->ticket);
    store_u16(to + 28, line->line);
    to[30] = line->counted;
}

uint32_t order_record_encode(uint8_t *to, const struct order_image *image)
{
    CHECK(image->state != ORDER_NONE);
    CHECK(image->line_count >= 1);
    CHECK(image->line_count <= ORDER_LINES_MAX);
    uint32_t bytes = order_record_bytes(image);
    if (one_plain_line(image)) {
        begin(to, CHECKPOINT_ORDER, image->counted ? ORDER_RECORD_COUNTED : 0, image->state, bytes);
        encode_order_head(to, image);
        store_u32(to + 48, image->lines[0].item);
        store_u32(to + 52, image->lines[0].qty);
        store_u32(to + 56, image->extended_ms);
        return bytes;
    }
    begin(to, CHECKPOINT_ORDER_LINES, image->shaped ? ORDER_RECORD_SHAPED : 0, image->state, bytes);
    encode_order_head(to, image);
    store_u64(to + 48, image->contents);
    store_u32(to + 56, image->extended_ms);
    store_u32(to + 60, image->line_count);
    for (uint32_t i = 0; i < image->line_count; i++) {
        encode_line(to + ORDER_LINES_AT + ORDER_LINE_BYTES * (size_t)i, &image->lines[i]);
    }
    return bytes;
}

struct id128 order_record_id(const uint8_t *from)
{
    return id_from_bytes(from + 8);
}

enum order_state order_record_state(const uint8_t *from)
{
    return from[2] <= ORDER_RETURNED ? (enum order_state)from[2] : ORDER_NONE;
}

static void decode_line(const uint8_t *from, struct order_line_view *line)
{
    *line = (struct order_line_view){
        .item = load_u32(from),
        .qty = load_u32(from + 4),
        .released = load_u32(from + 8),
        .committed = load_u32(from + 12),
        .returned = load_u32(from + 16),
        .presale_qty = load_u32(from + 20),
        .ticket = load_u32(from + 24),
        .line = load_u16(from + 28),
        .counted = from[30] == 1,
    };
}

bool order_record_decode(const uint8_t *from, uint32_t bytes, struct order_image *image,
                         struct order_line_view *lines)
{
    bool one = from[0] == CHECKPOINT_ORDER;
    if (bytes < ORDER_RECORD_BYTES || (one && bytes != ORDER_RECORD_BYTES) ||
        (!one && from[0] != CHECKPOINT_ORDER_LINES) || from[3] != 0 ||
        (from[1] & ~(one ? ORDER_RECORD_COUNTED : ORDER_RECORD_SHAPED)) != 0 ||
        from[2] == ORDER_NONE || from[2] > ORDER_RETURNED) {
        return false;
    }
    *image = (struct order_image){
        .id = id_from_bytes(from + 8),
        .buyer = load_u64(from + 24),
        .lsn = load_u64(from + 32),
        .deadline_ms = load_u64(from + 40),
        .extended_ms = load_u32(from + 56),
        .state = (enum order_state)from[2],
        .shaped = (from[1] & ORDER_RECORD_SHAPED) != 0,
        .block = !one,
        .counted = one && (from[1] & ORDER_RECORD_COUNTED) != 0,
        .line_count = one ? 1 : load_u32(from + 60),
        .lines = lines,
    };
    if (one) {
        lines[0] =
            (struct order_line_view){.item = load_u32(from + 48), .qty = load_u32(from + 52)};
        return load_u32(from + 60) == 0;
    }
    image->contents = load_u64(from + 48);
    if (image->line_count < 1 || image->line_count > ORDER_LINES_MAX ||
        bytes != ORDER_LINES_AT + ORDER_LINE_BYTES * image->line_count ||
        load_u64(from + 64) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < image->line_count; i++) {
        const uint8_t *line = from + ORDER_LINES_AT + ORDER_LINE_BYTES * (size_t)i;
        if (line[30] > 1 || line[31] != 0) {
            return false;
        }
        decode_line(line, &lines[i]);
    }
    return true;
}
