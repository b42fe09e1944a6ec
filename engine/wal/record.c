/* record.c - events to records and back; docs/wal-format.md has the tables.
 *
 * Threads: any; pure functions. There is one encoding for each event: a decoder that accepts a
 * record has checked every length, every reserved byte and every range, so that what it accepts
 * encodes to the same bytes again. */
#include "wal/record.h"

#include <string.h>

#include "base/check.h"
#include "base/limits.h"

#define RECORD_HEADER_BYTES 8u

enum record_flags {
    RECORD_LATE = EVENT_LATE,
    RECORD_FORCED = EVENT_FORCED,
    RECORD_COUNTED = EVENT_COUNTED, /* ORDER_HELD of one plain line alone */
    RECORD_GRANTS = RECORD_FLAG_GRANTS,
    RECORD_QUANTITIES = 64, /* an edit names units per line */
    RECORD_MULTILINE = RECORD_FLAG_MULTILINE,
};

/* Sizes of the records, and where their last, variable part begins. The decoder has none of them:
 * it reads field after field, and a record that it has not used up is refused. */
#define HELD_BYTES      48u /* ORDER_HELD, one plain line */
#define HELD_LINES_AT   48u
#define LINE_BYTES      8u
#define EDIT_BYTES      24u /* the id alone */
#define QUANTITIES_AT   32u
#define QUANTITY_BYTES  4u
#define EXTENDED_BYTES  32u
#define SKU_TEXTS_AT    40u
#define ITEM_TEXTS_AT   32u
#define ADJUST_TEXTS_AT 48u
#define MOVE_TEXTS_AT   56u
#define TEXT_LEN_BYTES  2u
#define GRANTS_AT       RECORD_GRANTS_AT
#define GRANT_BYTES     RECORD_GRANT_BYTES

static_assert(sizeof(struct order_line) == LINE_BYTES, "lines are copied as they are");
static_assert(sizeof(struct order_grant) == GRANT_BYTES, "grants are read where they lie");
static_assert(offsetof(struct order_grant, qty) == 4 &&
                  offsetof(struct order_grant, presale_qty) == 8 &&
                  offsetof(struct order_grant, ticket) == 12 &&
                  offsetof(struct order_grant, line) == 16 &&
                  offsetof(struct order_grant, counted) == 18 && sizeof(bool) == 1,
              "grants are read where they lie");

/* Any order fits a record, and the bounds by which core counts what a transaction takes
 * (core/event.h) are no less than the sizes. */
#define LINES_MAX ((uint64_t)ORDER_LINES_MAX)
static_assert(RECORD_ORDER_BYTES_MAX <= WAL_RECORD_BYTES_MAX, "an order with grants fits");
static_assert(HELD_LINES_AT + LINE_BYTES * LINES_MAX <= RECORD_ORDER_BYTES_MAX, "so do its lines");
static_assert(QUANTITIES_AT + QUANTITY_BYTES * LINES_MAX <= RECORD_ORDER_BYTES_MAX,
              "and an edit's quantities");
static_assert(RECORD_ORDER_BYTES_MIN == EDIT_BYTES, "an edit is the shortest");
static_assert(RECORD_ADMIN_BYTES_MAX <= EVENT_ADMIN_BYTES, "core's bound of an admin event");
static_assert(ADJUST_TEXTS_AT + 2 * (TEXT_LEN_BYTES + REASON_BYTES_MAX) + 7 <=
                  RECORD_ADMIN_BYTES_MAX,
              "an adjustment is no longer than a SKU");
static_assert(MOVE_TEXTS_AT + 2 * (TEXT_LEN_BYTES + REASON_BYTES_MAX) + 7 <= RECORD_ADMIN_BYTES_MAX,
              "nor is a move");
static_assert(SKU_TEXTS_AT + 2 * TEXT_LEN_BYTES + CODE_BYTES_MAX + LABEL_BYTES_MAX + 7 <=
                  RECORD_ADMIN_BYTES_MAX,
              "a SKU's record has its texts");
static_assert(HELD_BYTES <= EVENT_HELD_BYTES && EDIT_BYTES <= EVENT_BYTES &&
                  EXTENDED_BYTES <= EVENT_BYTES,
              "core's bounds of orders' events");
static_assert(HELD_LINES_AT + LINE_BYTES * LINES_MAX <= EVENT_HELD_LINES(LINES_MAX) &&
                  RECORD_ORDER_BYTES_MAX <= EVENT_HELD_GRANTS(LINES_MAX) &&
                  QUANTITIES_AT + QUANTITY_BYTES * LINES_MAX + 7 <= EVENT_QUANTITIES(LINES_MAX),
              "core's bounds of what has lines");
static_assert(WAL_APPEND_BYTES_MAX >= WAL_RECORD_BYTES_MAX + TXN_EVENTS_MAX * HELD_BYTES,
              "an append holds the longest record and a batch of short ones");

static uint32_t padded(size_t bytes)
{
    return (uint32_t)((bytes + 7) & ~(size_t)7);
}

/* ---- Encoding ---- */

static uint32_t strings_bytes(uint32_t fixed_bytes, struct bytes a, struct bytes b)
{
    return padded(fixed_bytes + TEXT_LEN_BYTES + a.len + TEXT_LEN_BYTES + b.len);
}

uint32_t record_bytes(const struct event *event)
{
    switch (event->type) {
    case EVENT_ORDER_HELD:
        if (event->grants) {
            return padded(GRANTS_AT + GRANT_BYTES * (size_t)event->line_count);
        }
        return event->line_count == 1 ? HELD_BYTES : HELD_LINES_AT + LINE_BYTES * event->line_count;
    case EVENT_ORDER_COMMITTED:
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_RETURNED:
        return event->quantities
                   ? QUANTITIES_AT + padded(QUANTITY_BYTES * (size_t)event->line_count)
                   : EDIT_BYTES;
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_FORGOTTEN:
        return EDIT_BYTES;
    case EVENT_ORDER_EXTENDED:
        return EXTENDED_BYTES;
    case EVENT_SKU_DEFINED:
        return strings_bytes(SKU_TEXTS_AT, event->sku->sku, event->sku->label);
    case EVENT_ITEM_DEFINED:
        return strings_bytes(ITEM_TEXTS_AT, event->item->sku, event->item->pool);
    case EVENT_STOCK_ADJUSTED:
        return strings_bytes(ADJUST_TEXTS_AT, event->adjust->reason, event->adjust->reference);
    case EVENT_STOCK_MOVED:
        return strings_bytes(MOVE_TEXTS_AT, event->move->reason, event->move->reference);
    }
    check_failed(__FILE__, __LINE__, __func__, "the event has a type");
}

/* Zeros from the last field up to the record's end. What was counted (record_bytes) is what was
 * written, up to the padding. */
static void fill_padding(uint8_t *to, const uint8_t *end)
{
    CHECK(to <= end);
    CHECK(end - to < 8);
    memset(to, 0, (size_t)(end - to));
}

/* Field by field: the last byte of a grant in memory is anything. */
static void encode_grants(const struct event *event, uint8_t *to, const uint8_t *end)
{
    to[1] |= RECORD_GRANTS;
    id_to_bytes(event->id, to + 8);
    store_u64(to + 24, event->buyer);
    store_u64(to + 32, event->deadline_ms);
    store_u64(to + 40, event->contents);
    store_u32(to + 48, event->line_count);
    store_u32(to + 52, 0);
    to += GRANTS_AT;
    for (uint32_t i = 0; i < event->line_count; i++, to += GRANT_BYTES) {
        const struct order_grant *grant = &event->grants[i];
        store_u32(to, grant->item);
        store_u32(to + 4, grant->qty);
        store_u32(to + 8, grant->presale_qty);
        store_u32(to + 12, grant->ticket);
        store_u16(to + 16, grant->line);
        to[18] = grant->counted ? 1 : 0;
        to[19] = 0;
    }
    fill_padding(to, end);
}

static void encode_held(const struct event *event, uint8_t *to, const uint8_t *end)
{
    if (event->grants) {
        CHECK(event->line_count <= ORDER_LINES_MAX);
        CHECK((event->flags & EVENT_COUNTED) == 0);
        encode_grants(event, to, end);
        return;
    }
    if (event->line_count == 1) {
        CHECK(end == to + HELD_BYTES);
        to[1] |= (uint8_t)(event->flags & EVENT_COUNTED);
        memcpy(to + 8, event->lines, LINE_BYTES);
        id_to_bytes(event->id, to + 16);
        store_u64(to + 32, event->buyer);
        store_u64(to + 40, event->deadline_ms);
        return;
    }
    CHECK(event->line_count >= 1 && event->line_count <= ORDER_LINES_MAX);
    CHECK((event->flags & EVENT_COUNTED) == 0);
    to[1] |= RECORD_MULTILINE;
    id_to_bytes(event->id, to + 8);
    store_u64(to + 24, event->buyer);
    store_u64(to + 32, event->deadline_ms);
    store_u32(to + 40, event->line_count);
    store_u32(to + 44, 0);
    size_t lines_bytes = LINE_BYTES * (size_t)event->line_count;
    CHECK(end == to + HELD_LINES_AT + lines_bytes);
    memcpy(to + HELD_LINES_AT, event->lines, lines_bytes);
}

static void encode_edit(const struct event *event, uint8_t *to, const uint8_t *end)
{
    id_to_bytes(event->id, to + 8);
    if (!event->quantities) {
        CHECK(end == to + EDIT_BYTES);
        return;
    }
    CHECK(event->line_count >= 1);
    CHECK(event->line_count <= ORDER_LINES_MAX);
    to[1] |= RECORD_QUANTITIES;
    store_u32(to + 24, event->line_count);
    store_u32(to + 28, 0);
    size_t quantities_bytes = QUANTITY_BYTES * (size_t)event->line_count;
    memcpy(to + QUANTITIES_AT, event->quantities, quantities_bytes);
    fill_padding(to + QUANTITIES_AT + quantities_bytes, end);
}

/* Two strings, each with its u16 length, and zeros up to the record's end. */
static void encode_strings(struct bytes a, struct bytes b, uint8_t *to, const uint8_t *end)
{
    const struct bytes strings[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        CHECK(strings[i].len <= LABEL_BYTES_MAX);
        store_u16(to, (uint16_t)strings[i].len);
        if (strings[i].len > 0) {
            memcpy(to + 2, strings[i].data, strings[i].len);
        }
        to += 2 + strings[i].len;
    }
    fill_padding(to, end);
}

static void encode_sku(const struct sku_rule *sku, uint8_t *to, const uint8_t *end)
{
    store_u32(to + 8, sku->limit_per_buyer);
    store_u32(to + 12, sku->hold_ms);
    store_u32(to + 16, sku->hold_ms_max);
    store_u32(to + 20, sku->paused ? 1 : 0);
    store_u64(to + 24, sku->opens_at_ms);
    store_u64(to + 32, sku->closes_at_ms);
    encode_strings(sku->sku, sku->label, to + SKU_TEXTS_AT, end);
}

static void encode_item(const struct item_def *item, uint8_t *to, const uint8_t *end)
{
    store_u32(to + 8, item->item);
    store_u32(to + 12, item->hot ? 1 : 0);
    store_u64(to + 16, (uint64_t)item->safety);
    store_u64(to + 24, (uint64_t)item->presale_cap);
    encode_strings(item->sku, item->pool, to + ITEM_TEXTS_AT, end);
}

static void encode_adjust(const struct event *event, uint8_t *to, const uint8_t *end)
{
    store_u32(to + 8, event->adjust->item);
    store_u32(to + 12, 0);
    id_to_bytes(event->id, to + 16);
    store_u64(to + 32, (uint64_t)event->adjust->delta);
    store_u64(to + 40, (uint64_t)event->adjust->stocked);
    encode_strings(event->adjust->reason, event->adjust->reference, to + ADJUST_TEXTS_AT, end);
}

static void encode_move(const struct event *event, uint8_t *to, const uint8_t *end)
{
    store_u32(to + 8, event->move->from);
    store_u32(to + 12, event->move->to);
    id_to_bytes(event->id, to + 16);
    store_u64(to + 32, (uint64_t)event->move->units);
    store_u64(to + 40, (uint64_t)event->move->from_stocked);
    store_u64(to + 48, (uint64_t)event->move->to_stocked);
    encode_strings(event->move->reason, event->move->reference, to + MOVE_TEXTS_AT, end);
}

uint32_t record_encode(const struct event *event, uint8_t *to)
{
    uint32_t bytes = record_bytes(event);
    CHECK(bytes % 8 == 0);
    const uint8_t *end = to + bytes;
    to[0] = (uint8_t)event->type;
    to[1] = (uint8_t)(event->flags & (EVENT_LATE | EVENT_FORCED));
    store_u16(to + 2, 0);
    store_u32(to + 4, bytes);
    switch (event->type) {
    case EVENT_ORDER_HELD:
        encode_held(event, to, end);
        break;
    case EVENT_ORDER_COMMITTED:
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_RETURNED:
        encode_edit(event, to, end);
        break;
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_FORGOTTEN:
        id_to_bytes(event->id, to + 8);
        break;
    case EVENT_ORDER_EXTENDED:
        id_to_bytes(event->id, to + 8);
        store_u64(to + 24, event->deadline_ms);
        break;
    case EVENT_SKU_DEFINED:
        encode_sku(event->sku, to, end);
        break;
    case EVENT_ITEM_DEFINED:
        encode_item(event->item, to, end);
        break;
    case EVENT_STOCK_ADJUSTED:
        encode_adjust(event, to, end);
        break;
    case EVENT_STOCK_MOVED:
        encode_move(event, to, end);
        break;
    }
    return bytes;
}

/* ---- Decoding: each function returns NULL, or what is wrong ---- */

static struct id128 cursor_id(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, ID_BYTES);
    return at ? id_from_bytes(at) : (struct id128){0, 0};
}

static bool line_valid(struct order_line line)
{
    return line.item >= 1 && line.item <= ITEMS_MAX && line.qty >= 1 && line.qty <= QTY_MAX;
}

/* One grant of an order of that many lines; NULL, or what is wrong with it. */
static const char *grant_fault(const uint8_t *at, uint32_t order_lines, uint32_t line_before)
{
    uint32_t qty = load_u32(at + 4);
    uint32_t presale_qty = load_u32(at + 8);
    uint32_t line = load_u16(at + 16);
    if (!line_valid((struct order_line){load_u32(at), qty})) {
        return "item or quantity out of range";
    }
    if (presale_qty > qty || (presale_qty == 0) != (load_u32(at + 12) == 0)) {
        return "a grant's pre-sale does not fit it";
    }
    if (line < 1 || line > order_lines || line < line_before) {
        return "a grant's line is out of range";
    }
    if (at[18] > 1) {
        return "a yes or no is neither";
    }
    return at[19] != 0 ? "a reserved byte of the record is set" : NULL;
}

static const char *decode_grants(struct cursor *cursor, struct event *event)
{
    event->id = cursor_id(cursor);
    event->buyer = cursor_u64(cursor);
    event->deadline_ms = cursor_u64(cursor);
    event->contents = cursor_u64(cursor);
    event->line_count = cursor_u32(cursor);
    uint32_t reserved = cursor_u32(cursor);
    uint32_t order_lines = (uint32_t)(event->contents & 0xFFFF);
    if (order_lines < 1 || order_lines > ORDER_LINES_MAX) {
        return "the number of lines is out of range";
    }
    if (event->line_count < 1 || event->line_count > ORDER_LINES_MAX || reserved != 0) {
        return "the number of grants is out of range";
    }
    const uint8_t *grants = cursor_take(cursor, GRANT_BYTES * (size_t)event->line_count);
    if (!grants) {
        return "the record is too short";
    }
    uint32_t line_before = 1;
    for (uint32_t i = 0; i < event->line_count; i++) {
        const uint8_t *at = grants + GRANT_BYTES * (size_t)i;
        const char *fault = grant_fault(at, order_lines, line_before);
        if (fault) {
            return fault;
        }
        line_before = load_u16(at + 16);
    }
    event->grants = (const struct order_grant *)(const void *)grants;
    return NULL;
}

static const char *decode_held(struct cursor *cursor, unsigned flags, struct event *event)
{
    if ((flags & (flags - 1)) != 0) {
        return "an order is of one form only";
    }
    if (flags & RECORD_GRANTS) {
        return decode_grants(cursor, event);
    }
    if (!(flags & RECORD_MULTILINE)) {
        event->line_count = 1;
        event->one.item = cursor_u32(cursor);
        event->one.qty = cursor_u32(cursor);
        event->lines = &event->one;
        event->id = cursor_id(cursor);
        event->buyer = cursor_u64(cursor);
        event->deadline_ms = cursor_u64(cursor);
        if (cursor->overrun) {
            return "the record is too short";
        }
        return line_valid(event->one) ? NULL : "item or quantity out of range";
    }
    event->id = cursor_id(cursor);
    event->buyer = cursor_u64(cursor);
    event->deadline_ms = cursor_u64(cursor);
    event->line_count = cursor_u32(cursor);
    uint32_t reserved = cursor_u32(cursor);
    if (event->line_count < 2 || event->line_count > ORDER_LINES_MAX || reserved != 0) {
        return "the number of lines is out of range";
    }
    const uint8_t *lines = cursor_take(cursor, 8 * (size_t)event->line_count);
    if (!lines) {
        return "the record is too short";
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        const uint8_t *at = lines + 8 * (size_t)i;
        if (!line_valid((struct order_line){load_u32(at), load_u32(at + 4)})) {
            return "item or quantity out of range";
        }
    }
    event->lines = (const struct order_line *)(const void *)lines;
    return NULL;
}

static const char *decode_edit(struct cursor *cursor, unsigned flags, struct event *event)
{
    event->id = cursor_id(cursor);
    if (!(flags & RECORD_QUANTITIES)) {
        return NULL;
    }
    event->line_count = cursor_u32(cursor);
    uint32_t reserved = cursor_u32(cursor);
    if (event->line_count < 1 || event->line_count > ORDER_LINES_MAX || reserved != 0) {
        return "the number of lines is out of range";
    }
    const uint8_t *quantities = cursor_take(cursor, 4 * (size_t)event->line_count);
    if (!quantities) {
        return "the record is too short";
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        if (load_u32(quantities + 4 * (size_t)i) > QTY_MAX) {
            return "a quantity is out of range";
        }
    }
    event->quantities = (const uint32_t *)(const void *)quantities;
    return NULL;
}

static const char *decode_string(struct cursor *cursor, struct bytes *string, size_t len_min,
                                 size_t len_max)
{
    size_t len = cursor_u16(cursor);
    const uint8_t *data = cursor_take(cursor, len);
    if (!data) {
        return "the record is too short";
    }
    if (len < len_min || len > len_max) {
        return "a text's length is out of range";
    }
    if (!utf8_valid(data, len)) {
        return "a text is not valid UTF-8";
    }
    *string = (struct bytes){data, len};
    return NULL;
}

static bool stock_valid(int64_t units)
{
    return units >= 0 && units <= STOCK_MAX;
}

static const char *decode_sku(struct cursor *cursor, struct sku_rule *sku)
{
    sku->limit_per_buyer = cursor_u32(cursor);
    sku->hold_ms = cursor_u32(cursor);
    sku->hold_ms_max = cursor_u32(cursor);
    uint32_t paused = cursor_u32(cursor);
    sku->opens_at_ms = cursor_u64(cursor);
    sku->closes_at_ms = cursor_u64(cursor);
    if (paused > 1) {
        return "a yes or no is neither";
    }
    sku->paused = paused != 0;
    const char *fault = decode_string(cursor, &sku->sku, 1, CODE_BYTES_MAX);
    return fault ? fault : decode_string(cursor, &sku->label, 0, LABEL_BYTES_MAX);
}

static const char *decode_item(struct cursor *cursor, struct item_def *item)
{
    item->item = cursor_u32(cursor);
    uint32_t hot = cursor_u32(cursor);
    item->safety = (int64_t)cursor_u64(cursor);
    item->presale_cap = (int64_t)cursor_u64(cursor);
    if (hot > 1) {
        return "a yes or no is neither";
    }
    item->hot = hot != 0;
    if (item->item < 1 || item->item > ITEMS_MAX) {
        return "item out of range";
    }
    if (!stock_valid(item->safety) || !stock_valid(item->presale_cap)) {
        return "units out of range";
    }
    const char *fault = decode_string(cursor, &item->sku, 1, CODE_BYTES_MAX);
    return fault ? fault : decode_string(cursor, &item->pool, 1, CODE_BYTES_MAX);
}

static const char *decode_adjust(struct cursor *cursor, struct event *event,
                                 struct stock_change *adjust)
{
    adjust->item = cursor_u32(cursor);
    uint32_t reserved = cursor_u32(cursor);
    event->id = cursor_id(cursor);
    adjust->delta = (int64_t)cursor_u64(cursor);
    adjust->stocked = (int64_t)cursor_u64(cursor);
    if (adjust->item < 1 || adjust->item > ITEMS_MAX || reserved != 0) {
        return "item out of range";
    }
    if (adjust->delta < -STOCK_MAX || adjust->delta > STOCK_MAX || !stock_valid(adjust->stocked)) {
        return "units out of range";
    }
    const char *fault = decode_string(cursor, &adjust->reason, 0, REASON_BYTES_MAX);
    return fault ? fault : decode_string(cursor, &adjust->reference, 0, REASON_BYTES_MAX);
}

static const char *decode_move(struct cursor *cursor, struct event *event, struct stock_move *move)
{
    move->from = cursor_u32(cursor);
    move->to = cursor_u32(cursor);
    event->id = cursor_id(cursor);
    move->units = (int64_t)cursor_u64(cursor);
    move->from_stocked = (int64_t)cursor_u64(cursor);
    move->to_stocked = (int64_t)cursor_u64(cursor);
    if (move->from < 1 || move->from > ITEMS_MAX || move->to < 1 || move->to > ITEMS_MAX) {
        return "item out of range";
    }
    if (move->from == move->to) {
        return "a move from an item to itself";
    }
    if (move->units < 1 || move->units > STOCK_MAX || !stock_valid(move->from_stocked) ||
        !stock_valid(move->to_stocked)) {
        return "units out of range";
    }
    const char *fault = decode_string(cursor, &move->reason, 0, REASON_BYTES_MAX);
    return fault ? fault : decode_string(cursor, &move->reference, 0, REASON_BYTES_MAX);
}

/* The flags that a record of this type may have; -1 when there is no such type. */
static int flags_allowed(unsigned type)
{
    switch (type) {
    case EVENT_ORDER_HELD:
        return RECORD_COUNTED | RECORD_GRANTS | RECORD_MULTILINE; /* one of them */
    case EVENT_ORDER_COMMITTED:
        return RECORD_LATE | RECORD_QUANTITIES;
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_RETURNED:
        return RECORD_QUANTITIES;
    case EVENT_STOCK_ADJUSTED:
    case EVENT_STOCK_MOVED:
        return RECORD_FORCED;
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_EXTENDED:
    case EVENT_ORDER_FORGOTTEN:
    case EVENT_SKU_DEFINED:
    case EVENT_ITEM_DEFINED:
        return 0;
    default:
        return -1;
    }
}

static const char *decode_body(struct cursor *cursor, unsigned flags, struct event *event,
                               struct record_scratch *scratch)
{
    switch (event->type) {
    case EVENT_ORDER_HELD:
        return decode_held(cursor, flags, event);
    case EVENT_ORDER_COMMITTED:
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_RETURNED:
        return decode_edit(cursor, flags, event);
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_FORGOTTEN:
        event->id = cursor_id(cursor);
        return NULL;
    case EVENT_ORDER_EXTENDED:
        event->id = cursor_id(cursor);
        event->deadline_ms = cursor_u64(cursor);
        return NULL;
    case EVENT_SKU_DEFINED:
        event->sku = &scratch->sku;
        return decode_sku(cursor, &scratch->sku);
    case EVENT_ITEM_DEFINED:
        event->item = &scratch->item;
        return decode_item(cursor, &scratch->item);
    case EVENT_STOCK_ADJUSTED:
        event->adjust = &scratch->adjust;
        return decode_adjust(cursor, event, &scratch->adjust);
    case EVENT_STOCK_MOVED:
        event->move = &scratch->move;
        return decode_move(cursor, event, &scratch->move);
    }
    return "a record of a type that this version does not know";
}

/* What is left of a record is padding: less than 8 bytes, all zero. */
static const char *decode_padding(struct cursor *cursor)
{
    if (cursor->overrun) {
        return "the record is too short";
    }
    if (cursor_left(cursor) >= 8) {
        return "the record is too long";
    }
    while (cursor_left(cursor) > 0) {
        if (cursor_u8(cursor) != 0) {
            return "the record's padding is not zero";
        }
    }
    return NULL;
}

static const char *decode_record(const uint8_t *from, size_t len, struct event *event,
                                 struct record_scratch *scratch, size_t *used)
{
    if (len < RECORD_HEADER_BYTES) {
        return "the payload ends inside a record";
    }
    int allowed = flags_allowed(from[0]);
    if (allowed < 0) {
        return "a record of a type that this version does not know";
    }
    unsigned flags = from[1];
    if ((flags & ~(unsigned)allowed) != 0 || load_u16(from + 2) != 0) {
        return "a reserved bit of the record is set";
    }
    uint32_t bytes = load_u32(from + 4);
    if (bytes < RECORD_HEADER_BYTES || bytes > WAL_RECORD_BYTES_MAX || bytes % 8 != 0) {
        return "the record's length is impossible";
    }
    if (bytes > len) {
        return "the payload ends inside a record";
    }
    event->type = (enum event_type)from[0];
    event->flags = flags & (EVENT_LATE | EVENT_FORCED | EVENT_COUNTED);
    struct cursor cursor = cursor_over(from + RECORD_HEADER_BYTES, bytes - RECORD_HEADER_BYTES);
    const char *fault = decode_body(&cursor, flags, event, scratch);
    if (!fault) {
        fault = decode_padding(&cursor);
    }
    *used = bytes;
    return fault;
}

enum hf_status record_decode(const uint8_t *from, size_t len, struct event *event,
                             struct record_scratch *scratch, size_t *used, const char **reason)
{
    /* Lines, quantities and grants are used where they lie. */
    CHECK((uintptr_t)from % 4 == 0);
    memset(event, 0, sizeof *event);
    *used = 0;
    *reason = decode_record(from, len, event, scratch, used);
    if (*reason) {
        *used = 0;
        return HF_DAMAGED;
    }
    CHECK(*used <= len);
    CHECK(*used % 8 == 0);
    return HF_OK;
}

bool record_peek(const uint8_t *from, size_t len, enum event_type *type, uint32_t *bytes,
                 struct id128 *id)
{
    if (len < RECORD_HEADER_BYTES || flags_allowed(from[0]) < 0) {
        return false;
    }
    *type = (enum event_type)from[0];
    *bytes = load_u32(from + 4);
    if (*bytes < RECORD_HEADER_BYTES || *bytes > WAL_RECORD_BYTES_MAX || *bytes % 8 != 0 ||
        *bytes > len) {
        return false;
    }
    if (record_is_order(*type)) {
        if (*bytes < record_order_id_at(from) + ID_BYTES) {
            return false;
        }
        *id = record_order_id(from);
    }
    return true;
}

const char *record_type_name(enum event_type type)
{
    switch (type) {
    case EVENT_ORDER_HELD:
        return "ORDER_HELD";
    case EVENT_ORDER_COMMITTED:
        return "ORDER_COMMITTED";
    case EVENT_ORDER_RELEASED:
        return "ORDER_RELEASED";
    case EVENT_ORDER_EXPIRED:
        return "ORDER_EXPIRED";
    case EVENT_ORDER_EXTENDED:
        return "ORDER_EXTENDED";
    case EVENT_ORDER_RETURNED:
        return "ORDER_RETURNED";
    case EVENT_ORDER_FORGOTTEN:
        return "ORDER_FORGOTTEN";
    case EVENT_SKU_DEFINED:
        return "SKU_DEFINED";
    case EVENT_ITEM_DEFINED:
        return "ITEM_DEFINED";
    case EVENT_STOCK_ADJUSTED:
        return "STOCK_ADJUSTED";
    case EVENT_STOCK_MOVED:
        return "STOCK_MOVED";
    }
    return NULL;
}
