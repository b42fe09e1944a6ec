/* record.c - fuzzes record_decode(), and inventory_apply() with what it accepts.
 *
 * There is one encoding for each event, so what is accepted encodes to the same bytes. Whatever the
 * records say, the core takes them or says DAMAGED or FULL, and what it took is consistent: orders,
 * stock and digest agree. Mutations decode a record, move its numbers to their bounds and beyond,
 * and encode it again. Threads: one. */
#include "wal/record.h"

#include <string.h>

#include "core/inventory.h"
#include "fuzz.h"

const unsigned fuzz_runs = 10000;

/* The input's records in memory that is aligned as a block's payload is. */
static uint8_t *aligned_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    FUZZ_CHECK((uintptr_t)copy % 8 == 0, "malloc aligns");
    return copy;
}

static void check_round_trip(const uint8_t *record, const struct event *event, size_t used)
{
    FUZZ_CHECK(record_bytes(event) == used, "%u bytes, were %zu", record_bytes(event), used);
    uint8_t *again = malloc(used);
    FUZZ_CHECK(again, "out of memory");
    FUZZ_CHECK(record_encode(event, again) == used, "%zu bytes", used);
    FUZZ_CHECK(memcmp(again, record, used) == 0, "%s encodes otherwise",
               record_type_name(event->type));
    free(again);
}

static void check_core(struct inventory *inventory, uint64_t digest)
{
    char what[256] = "";
    FUZZ_CHECK(inventory_verify(inventory, what, sizeof what), "%s", what);
    FUZZ_CHECK(inventory_digest(inventory) == digest, "the digest differs");
}

/* Applies records until one is not accepted. */
static void replay(struct inventory *inventory, const uint8_t *records, size_t size)
{
    uint64_t digest = 0;
    enum hf_status applied = HF_OK;
    for (size_t at = 0; at < size;) {
        struct event event;
        struct record_scratch scratch;
        size_t used;
        const char *reason = NULL;
        enum hf_status status =
            record_decode(records + at, size - at, &event, &scratch, &used, &reason);
        if (status != HF_OK) {
            FUZZ_CHECK(status == HF_DAMAGED && used == 0 && reason, "refused without a reason");
            break;
        }
        FUZZ_CHECK(used >= 8 && used % 8 == 0 && used <= size - at, "%zu bytes", used);
        check_round_trip(records + at, &event, used);
        at += used;
        event.lsn = at;
        if (applied == HF_OK) {
            applied = inventory_apply(inventory, &event);
            FUZZ_CHECK(applied == HF_OK || applied == HF_DAMAGED || applied == HF_FULL, "%d",
                       applied);
            digest += applied == HF_OK ? event.digest_delta : 0;
        }
    }
    check_core(inventory, digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct inventory_options options = {
        .items_max = 64, .orders_max = 256, .hold_ms_default = 1000, .hold_ms_max = 60000};
    struct inventory *inventory;
    FUZZ_CHECK(inventory_init(&inventory, &options) == HF_OK, "no memory");
    uint8_t *records = aligned_copy(data, size);
    replay(inventory, records, size);
    free(records);
    inventory_deinit(inventory);
    return 0;
}

/* ---- Seeds: a history that is legal at first, and soon not ---- */

struct history {
    struct rng *rng;
    uint8_t *to;
    size_t len;
    size_t room;
};

static void add(struct history *history, const struct event *event)
{
    uint32_t bytes = record_bytes(event);
    if (history->len + bytes <= history->room) {
        record_encode(event, history->to + history->len);
        history->len += bytes;
    }
}

static void add_item(struct history *history, uint32_t number)
{
    /* Items 1 and 2 are of one SKU, 3 and 4 of another. */
    char sku[16];
    snprintf(sku, sizeof sku, "S%u", (number + 1) / 2);
    struct sku_rule rule = {.sku = bytes_of(sku),
                            .label = bytes_of("a label"),
                            .limit_per_buyer = (uint32_t)rng_below(history->rng, 4) * 10};
    struct item_def item = {.item = number,
                            .sku = bytes_of(sku),
                            .pool = bytes_of(number % 2 ? "default" : "store"),
                            .safety = (int64_t)rng_below(history->rng, 2),
                            .presale_cap = (int64_t)rng_below(history->rng, 3),
                            .hot = rng_chance(history->rng, 2)};
    struct stock_change change = {
        .item = number, .delta = 1000, .stocked = 1000, .reason = bytes_of("seed")};
    if (rng_chance(history->rng, 2)) {
        add(history, &(struct event){.type = EVENT_SKU_DEFINED, .sku = &rule});
    }
    add(history, &(struct event){.type = EVENT_ITEM_DEFINED, .item = &item});
    struct event event = {.type = EVENT_STOCK_ADJUSTED, .id = {1, number}, .adjust = &change};
    event.flags = rng_chance(history->rng, 4) ? EVENT_FORCED : 0;
    add(history, &event);
}

static void add_order(struct history *history, uint64_t id)
{
    struct order_line lines[4];
    struct event event = {.type = EVENT_ORDER_HELD,
                          .id = {2, id},
                          .buyer = rng_below(history->rng, 3),
                          .deadline_ms = rng_below(history->rng, 100000),
                          .line_count = 1 + (uint32_t)rng_below(history->rng, 4),
                          .lines = lines};
    for (uint32_t i = 0; i < event.line_count; i++) {
        lines[i] = (struct order_line){i + 1, 1 + (uint32_t)rng_below(history->rng, 9)};
    }
    add(history, &event);
}

/* An order that is told by its grants; now and then counted, or a plain line that is. */
static void add_shaped(struct history *history, uint64_t id)
{
    struct order_grant grants[4];
    struct order_line line = {1 + (uint32_t)rng_below(history->rng, 4), 1};
    struct event event = {.type = EVENT_ORDER_HELD,
                          .id = {2, id},
                          .buyer = rng_below(history->rng, 3),
                          .deadline_ms = rng_below(history->rng, 100000),
                          .line_count = 1 + (uint32_t)rng_below(history->rng, 4),
                          .grants = grants,
                          .contents = rng_next(history->rng) << 16 | 4};
    for (uint32_t i = 0; i < event.line_count; i++) {
        uint32_t qty = 1 + (uint32_t)rng_below(history->rng, 3);
        uint32_t presale = (uint32_t)rng_below(history->rng, qty + 1);
        grants[i] = (struct order_grant){.item = 1 + (uint32_t)rng_below(history->rng, 4),
                                         .qty = qty,
                                         .presale_qty = presale,
                                         .ticket = presale ? 1 + (uint32_t)id : 0,
                                         .line = (uint16_t)(1 + i),
                                         .counted = rng_chance(history->rng, 2)};
    }
    if (rng_chance(history->rng, 3)) {
        event.grants = NULL;
        event.line_count = 1;
        event.lines = &line;
        event.contents = 0;
        event.flags = EVENT_COUNTED;
    }
    add(history, &event);
}

static void add_move(struct history *history, uint64_t id)
{
    struct stock_move move = {.from = 1 + (uint32_t)rng_below(history->rng, 4),
                              .units = (int64_t)rng_between(history->rng, 1, 5),
                              .reason = bytes_of("seed")};
    move.to = 1 + move.from % 4;
    move.from_stocked = 1000 - move.units;
    move.to_stocked = 1000 + move.units;
    add(history, &(struct event){.type = EVENT_STOCK_MOVED, .id = {3, id}, .move = &move});
}

static void add_edit(struct history *history, uint64_t id)
{
    static const enum event_type types[] = {EVENT_ORDER_COMMITTED, EVENT_ORDER_RELEASED,
                                            EVENT_ORDER_EXPIRED,   EVENT_ORDER_EXTENDED,
                                            EVENT_ORDER_RETURNED,  EVENT_ORDER_FORGOTTEN};
    uint32_t quantities[4];
    struct event event = {.type = types[rng_below(history->rng, 6)], .id = {2, id}};
    event.deadline_ms = event.type == EVENT_ORDER_EXTENDED ? fuzz_number(history->rng) : 0;
    bool named = event.type != EVENT_ORDER_EXPIRED && event.type != EVENT_ORDER_EXTENDED &&
                 event.type != EVENT_ORDER_FORGOTTEN;
    if (named && rng_chance(history->rng, 2)) {
        event.line_count = 1 + (uint32_t)rng_below(history->rng, 4);
        event.quantities = quantities;
        for (uint32_t i = 0; i < event.line_count; i++) {
            quantities[i] = (uint32_t)rng_below(history->rng, 5);
        }
    }
    if (event.type == EVENT_ORDER_COMMITTED && rng_chance(history->rng, 4)) {
        event.flags = EVENT_LATE;
    }
    add(history, &event);
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    struct history history = {.rng = rng, .to = to, .room = room};
    for (uint32_t item = 1; item <= 4; item++) {
        add_item(&history, item);
    }
    uint64_t orders = rng_below(rng, 8);
    for (uint64_t id = 0; id < orders; id++) {
        rng_chance(rng, 3) ? add_shaped(&history, id) : add_order(&history, id);
    }
    for (uint64_t edits = rng_below(rng, 8); edits > 0; edits--) {
        add_edit(&history, rng_below(rng, orders + 1));
        if (rng_chance(rng, 6)) {
            add_move(&history, edits);
        }
    }
    return history.len;
}

/* ---- Mutations ---- */

#define RECORDS_MAX 64u

static uint32_t units_near(struct rng *rng)
{
    static const uint32_t bounds[] = {0, 1, 2, QTY_MAX - 1, QTY_MAX, QTY_MAX + 1, UINT32_MAX};
    return bounds[rng_below(rng, sizeof bounds / sizeof bounds[0])];
}

static int64_t stock_near(struct rng *rng)
{
    static const int64_t bounds[] = {
        -STOCK_MAX - 1, -STOCK_MAX, -1,           0, 1, 1000, 1001, STOCK_MAX - 1001,
        STOCK_MAX - 1,  STOCK_MAX,  STOCK_MAX + 1};
    return bounds[rng_below(rng, sizeof bounds / sizeof bounds[0])];
}

static uint32_t item_near(struct rng *rng)
{
    static const uint32_t bounds[] = {0, 1, 2, 3, 4, 5, ITEMS_MAX, ITEMS_MAX + 1, UINT32_MAX};
    return bounds[rng_below(rng, sizeof bounds / sizeof bounds[0])];
}

static uint32_t ticket_near(struct rng *rng)
{
    static const uint32_t bounds[] = {0, 1, 2, 4096, 4097, UINT32_MAX - 1, UINT32_MAX};
    return bounds[rng_below(rng, sizeof bounds / sizeof bounds[0])];
}

/* Room for what an event points to, to be written to. */
struct parts {
    struct order_line lines[ORDER_LINES_MAX];
    struct order_grant grants[ORDER_LINES_MAX];
    uint32_t quantities[ORDER_LINES_MAX];
    struct sku_rule sku;
    struct item_def item;
    struct stock_change change;
    struct stock_move move;
};

static void mutate_grant(struct rng *rng, struct order_grant *grant)
{
    switch (rng_below(rng, 6)) {
    case 0:
        grant->item = item_near(rng);
        break;
    case 1:
        grant->qty = units_near(rng);
        break;
    case 2:
        grant->presale_qty = rng_chance(rng, 2) ? grant->qty : units_near(rng);
        break;
    case 3:
        grant->ticket = ticket_near(rng);
        break;
    case 4:
        grant->line = (uint16_t)rng_below(rng, 5);
        break;
    default:
        grant->counted = !grant->counted;
        break;
    }
}

static void mutate_held(struct rng *rng, struct event *event, struct parts *parts)
{
    uint32_t i = (uint32_t)rng_below(rng, event->line_count);
    if (event->grants) {
        memcpy(parts->grants, event->grants, event->line_count * sizeof *parts->grants);
        event->grants = parts->grants;
        bool all = rng_chance(rng, 3); /* sums that no order comes to */
        for (uint32_t k = 0; all && k < event->line_count; k++) {
            parts->grants[k].item = parts->grants[0].item;
            parts->grants[k].qty = parts->grants[k].presale_qty = QTY_MAX;
            parts->grants[k].ticket = 1;
        }
        mutate_grant(rng, &parts->grants[i]);
    } else {
        memcpy(parts->lines, event->lines, event->line_count * sizeof *parts->lines);
        event->lines = parts->lines;
        *(rng_chance(rng, 2) ? &parts->lines[i].item : &parts->lines[i].qty) =
            rng_chance(rng, 2) ? units_near(rng) : item_near(rng);
    }
}

static void mutate_event(struct rng *rng, struct event *event, struct parts *parts)
{
    switch (event->type) {
    case EVENT_ORDER_HELD:
        mutate_held(rng, event, parts);
        break;
    case EVENT_SKU_DEFINED:
        parts->sku = *event->sku;
        parts->sku.limit_per_buyer = units_near(rng);
        parts->sku.opens_at_ms = rng_chance(rng, 2) ? fuzz_number(rng) : 0;
        event->sku = &parts->sku;
        break;
    case EVENT_ITEM_DEFINED:
        parts->item = *event->item;
        *(rng_chance(rng, 2) ? &parts->item.safety : &parts->item.presale_cap) = stock_near(rng);
        event->item = &parts->item;
        break;
    case EVENT_STOCK_ADJUSTED:
        parts->change = *event->adjust;
        parts->change.delta = stock_near(rng);
        parts->change.stocked = rng_chance(rng, 2) ? parts->change.delta : stock_near(rng);
        event->adjust = &parts->change;
        break;
    case EVENT_STOCK_MOVED:
        parts->move = *event->move;
        parts->move.units = stock_near(rng);
        parts->move.to_stocked = stock_near(rng);
        event->move = &parts->move;
        break;
    default:
        if (event->quantities) {
            memcpy(parts->quantities, event->quantities,
                   event->line_count * sizeof *parts->quantities);
            parts->quantities[rng_below(rng, event->line_count)] = units_near(rng);
            event->quantities = parts->quantities;
        } else if (event->type == EVENT_ORDER_EXTENDED) {
            event->deadline_ms = fuzz_number(rng);
        }
        break;
    }
    if (rng_chance(rng, 8)) {
        event->buyer = fuzz_number(rng);
    }
}

size_t fuzz_mutate(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    static struct parts parts;
    size_t at[RECORDS_MAX];
    unsigned count = 0;
    uint8_t *copy = aligned_copy(data, size);
    struct event event;
    struct record_scratch scratch;
    const char *reason;
    size_t used;
    for (size_t next = 0;
         next < size && count < RECORDS_MAX &&
         record_decode(copy + next, size - next, &event, &scratch, &used, &reason) == HF_OK;
         next += used) {
        at[count++] = next;
    }
    if (count == 0 || rng_chance(rng, 8)) {
        free(copy);
        return fuzz_mutate_bytes(rng, data, size, room);
    }
    size_t from = at[rng_below(rng, count)];
    FUZZ_CHECK(record_decode(copy + from, size - from, &event, &scratch, &used, &reason) == HF_OK,
               "decoded before");
    if (rng_chance(rng, 4)) {
        event.id.lo = rng_below(rng, 8); /* another order, or one more of them */
        if (size + used <= room) {
            memmove(data + from + used, data + from, size - from);
            size += used;
        }
    }
    mutate_event(rng, &event, &parts);
    if (record_bytes(&event) == used) {
        record_encode(&event, data + from);
    }
    free(copy);
    return size;
}
