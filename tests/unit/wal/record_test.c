/* record_test.c - records there and back, and everything that is not one refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "lib/rng.h"
#include "wal/record.h"

#define EXAMPLES_MAX 48

static const struct id128 id = {0x0011223344556677ull, 0x8899AABBCCDDEEFFull};

/* Events of every type and shape. */
struct examples {
    struct event events[EXAMPLES_MAX];
    unsigned count;
    struct order_line lines[ORDER_LINES_MAX];
    uint32_t quantities[ORDER_LINES_MAX];
    struct sku_rule sku[3];
    struct item_def item[2];
    struct stock_change adjust[2];
    struct stock_move move[2];
    struct order_grant grants[ORDER_LINES_MAX];
    uint8_t text[LABEL_BYTES_MAX];
};

static struct event *add(struct examples *examples, enum event_type type)
{
    struct event *event = &examples->events[examples->count++];
    event->type = type;
    return event;
}

/* Shaped orders: of one grant, of two (padded), of as many as there may be. */
static void add_shaped(struct examples *examples)
{
    const uint32_t grant_counts[] = {1, 2, 3, ORDER_LINES_MAX};
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        struct order_grant *grant = &examples->grants[i];
        /* Lines 1, 1, 2, 2 and so on; the byte behind `counted` is not the record's. */
        memset(grant, 0xEE, sizeof *grant);
        grant->item = i % 2 ? ITEMS_MAX : i + 1;
        grant->qty = i % 3 ? QTY_MAX : 1;
        grant->presale_qty = i % 3 == 1 ? QTY_MAX : i % 3 == 2 ? 7 : 0;
        grant->ticket = grant->presale_qty ? UINT32_MAX - i : 0;
        grant->line = (uint16_t)(1 + i / 2);
        grant->counted = i % 2;
    }
    for (int i = 0; i < 4; i++) {
        struct event *event = add(examples, EVENT_ORDER_HELD);
        event->id = id;
        event->buyer = 77;
        event->deadline_ms = 1794355200000ull;
        event->line_count = grant_counts[i];
        event->grants = examples->grants;
        event->contents = i % 2 ? 0xFEDCBA9876540000ull | ORDER_LINES_MAX : 2;
    }
    struct event *counted = add(examples, EVENT_ORDER_HELD);
    counted->id = id;
    counted->buyer = 78;
    counted->line_count = 1;
    counted->lines = examples->lines;
    counted->flags = EVENT_COUNTED;
}

static void add_orders(struct examples *examples)
{
    const uint32_t line_counts[] = {1, 2, 3, ORDER_LINES_MAX};
    for (int i = 0; i < 4; i++) {
        struct event *event = add(examples, EVENT_ORDER_HELD);
        event->id = id;
        event->buyer = UINT64_MAX - 1;
        event->deadline_ms = 1794355200000ull;
        event->line_count = line_counts[i];
        event->lines = examples->lines;
        const enum event_type types[] = {EVENT_ORDER_COMMITTED, EVENT_ORDER_RELEASED,
                                         EVENT_ORDER_RETURNED};
        for (int t = 0; t < 3; t++) {
            event = add(examples, types[t]);
            event->id = id;
            event->line_count = line_counts[i];
            event->quantities = examples->quantities;
            event->flags = t == 0 && i == 1 ? EVENT_LATE : 0;
        }
    }
    const enum event_type whole[] = {EVENT_ORDER_COMMITTED, EVENT_ORDER_RELEASED,
                                     EVENT_ORDER_RETURNED,  EVENT_ORDER_EXPIRED,
                                     EVENT_ORDER_EXTENDED,  EVENT_ORDER_FORGOTTEN};
    for (int i = 0; i < 6; i++) {
        struct event *event = add(examples, whole[i]);
        event->id = id;
        event->flags = i == 0 ? EVENT_LATE : 0;
        event->deadline_ms = whole[i] == EVENT_ORDER_EXTENDED ? 1794355200999ull : 0;
    }
}

static void add_definitions(struct examples *examples)
{
    examples->sku[0] = (struct sku_rule){.sku = bytes_of("85123A")};
    examples->sku[1] = (struct sku_rule){{examples->text, CODE_BYTES_MAX},
                                         {examples->text, LABEL_BYTES_MAX},
                                         2,
                                         1794355200000ull,
                                         1794441600000ull,
                                         true,
                                         900000,
                                         UINT32_MAX};
    examples->sku[2] = (struct sku_rule){.sku = bytes_of("A"), .label = bytes_of("\xE6\xB5\xB7")};
    for (int i = 0; i < 3; i++) {
        add(examples, EVENT_SKU_DEFINED)->sku = &examples->sku[i];
    }
    examples->item[0] = (struct item_def){.item = 1, .sku = bytes_of("A"), .pool = bytes_of("B")};
    examples->item[1] = (struct item_def){ITEMS_MAX,
                                          {examples->text, CODE_BYTES_MAX},
                                          {examples->text, CODE_BYTES_MAX},
                                          STOCK_MAX,
                                          STOCK_MAX,
                                          true};
    examples->adjust[0] = (struct stock_change){.item = 1, .delta = 5, .stocked = 5};
    examples->adjust[1] = (struct stock_change){ITEMS_MAX,
                                                -STOCK_MAX,
                                                0,
                                                {examples->text, REASON_BYTES_MAX},
                                                {examples->text, REASON_BYTES_MAX}};
    examples->move[0] = (struct stock_move){.from = 1, .to = 2, .units = 1, .to_stocked = 1};
    examples->move[1] = (struct stock_move){ITEMS_MAX,
                                            ITEMS_MAX - 1,
                                            STOCK_MAX,
                                            0,
                                            STOCK_MAX,
                                            {examples->text, REASON_BYTES_MAX},
                                            {examples->text, REASON_BYTES_MAX}};
    for (int i = 0; i < 2; i++) {
        struct event *moved = add(examples, EVENT_STOCK_MOVED);
        moved->id = id;
        moved->move = &examples->move[i];
        moved->flags = i == 1 ? EVENT_FORCED : 0;
        add(examples, EVENT_ITEM_DEFINED)->item = &examples->item[i];
        struct event *event = add(examples, EVENT_STOCK_ADJUSTED);
        event->id = id;
        event->adjust = &examples->adjust[i];
        event->flags = i == 1 ? EVENT_FORCED : 0;
    }
}

static struct examples *make_examples(void)
{
    struct examples *examples = calloc(1, sizeof *examples);
    assert_non_null(examples);
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        examples->lines[i] = (struct order_line){i % 2 ? ITEMS_MAX : i + 1, i % 3 ? QTY_MAX : 1};
        examples->quantities[i] = i % 3 ? QTY_MAX : 0;
    }
    memset(examples->text, 'x', sizeof examples->text);
    add_orders(examples);
    add_shaped(examples);
    add_definitions(examples);
    assert_true(examples->count <= EXAMPLES_MAX);
    return examples;
}

static void assert_bytes(struct bytes a, struct bytes b)
{
    assert_int_equal(a.len, b.len);
    if (a.len > 0) {
        assert_memory_equal(a.data, b.data, a.len);
    }
}

static void assert_details(const struct event *a, const struct event *b)
{
    switch (a->type) {
    case EVENT_SKU_DEFINED:
        assert_bytes(a->sku->sku, b->sku->sku);
        assert_bytes(a->sku->label, b->sku->label);
        assert_int_equal(a->sku->limit_per_buyer, b->sku->limit_per_buyer);
        assert_int_equal(a->sku->opens_at_ms, b->sku->opens_at_ms);
        assert_int_equal(a->sku->closes_at_ms, b->sku->closes_at_ms);
        assert_int_equal(a->sku->paused, b->sku->paused);
        assert_int_equal(a->sku->hold_ms, b->sku->hold_ms);
        assert_int_equal(a->sku->hold_ms_max, b->sku->hold_ms_max);
        break;
    case EVENT_ITEM_DEFINED:
        assert_int_equal(a->item->item, b->item->item);
        assert_bytes(a->item->sku, b->item->sku);
        assert_bytes(a->item->pool, b->item->pool);
        assert_int_equal(a->item->safety, b->item->safety);
        assert_int_equal(a->item->presale_cap, b->item->presale_cap);
        assert_int_equal(a->item->hot, b->item->hot);
        break;
    case EVENT_STOCK_ADJUSTED:
        assert_int_equal(a->adjust->item, b->adjust->item);
        assert_int_equal(a->adjust->delta, b->adjust->delta);
        assert_int_equal(a->adjust->stocked, b->adjust->stocked);
        assert_bytes(a->adjust->reason, b->adjust->reason);
        assert_bytes(a->adjust->reference, b->adjust->reference);
        break;
    case EVENT_STOCK_MOVED:
        assert_int_equal(a->move->from, b->move->from);
        assert_int_equal(a->move->to, b->move->to);
        assert_int_equal(a->move->units, b->move->units);
        assert_int_equal(a->move->from_stocked, b->move->from_stocked);
        assert_int_equal(a->move->to_stocked, b->move->to_stocked);
        assert_bytes(a->move->reason, b->move->reason);
        assert_bytes(a->move->reference, b->move->reference);
        break;
    default:
        break;
    }
}

static void assert_grants(const struct event *a, const struct event *b)
{
    assert_int_equal(a->contents, b->contents);
    for (uint32_t i = 0; i < a->line_count; i++) {
        assert_int_equal(a->grants[i].item, b->grants[i].item);
        assert_int_equal(a->grants[i].qty, b->grants[i].qty);
        assert_int_equal(a->grants[i].presale_qty, b->grants[i].presale_qty);
        assert_int_equal(a->grants[i].ticket, b->grants[i].ticket);
        assert_int_equal(a->grants[i].line, b->grants[i].line);
        assert_int_equal(a->grants[i].counted, b->grants[i].counted);
    }
}

static void assert_events(const struct event *a, const struct event *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->flags, b->flags);
    assert_true(id_equal(a->id, b->id));
    assert_int_equal(a->buyer, b->buyer);
    assert_int_equal(a->deadline_ms, b->deadline_ms);
    assert_int_equal(a->line_count, b->line_count);
    assert_int_equal(a->quantities != NULL, b->quantities != NULL);
    assert_int_equal(a->grants != NULL, b->grants != NULL);
    if (a->grants) {
        assert_grants(a, b);
    } else if (a->type == EVENT_ORDER_HELD) {
        assert_memory_equal(a->lines, b->lines, 8 * (size_t)a->line_count);
    }
    if (a->quantities) {
        assert_memory_equal(a->quantities, b->quantities, 4 * (size_t)a->line_count);
    }
    assert_details(a, b);
}

static enum hf_status decode(const uint8_t *from, size_t len, struct event *event, size_t *used)
{
    static struct record_scratch scratch;
    const char *reason;
    enum hf_status status = record_decode(from, len, event, &scratch, used, &reason);
    assert_int_equal(status != HF_OK, reason != NULL);
    return status;
}

static void record_comes_back_as_it_was(void **state)
{
    struct examples *examples = *state;
    uint8_t *bytes = malloc(WAL_RECORD_BYTES_MAX);
    for (unsigned i = 0; i < examples->count; i++) {
        const struct event *event = &examples->events[i];
        uint32_t len = record_encode(event, bytes);
        assert_int_equal(len, record_bytes(event));
        assert_int_equal(len % 8, 0);
        assert_true(len <= WAL_RECORD_BYTES_MAX);
        struct event back;
        size_t used;
        assert_int_equal(decode(bytes, len, &back, &used), HF_OK);
        assert_int_equal(used, len);
        assert_events(&back, event);
        /* More behind it does no harm. */
        memset(bytes + len, 0xFF, 64);
        assert_int_equal(decode(bytes, len + 64, &back, &used), HF_OK);
        assert_int_equal(used, len);
    }
    free(bytes);
}

static void record_of_a_one_line_reserve_is_48_documented_bytes(void **state)
{
    (void)state;
    const struct order_line line = {258, 3};
    struct event event = {.type = EVENT_ORDER_HELD,
                          .id = id,
                          .buyer = 9,
                          .deadline_ms = 1794355200000ull,
                          .line_count = 1,
                          .lines = &line};
    const uint8_t expected[48] = {
        1,    0,    0,    0,    48,   0,    0,    0,    2,    1,    0,    0,
        3,    0,    0,    0,    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
        0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 9,    0,    0,    0,
        0,    0,    0,    0,    0x00, 0xA0, 0xE3, 0xC8, 0xA1, 0x01, 0,    0,
    };
    uint8_t bytes[48];
    assert_int_equal(record_encode(&event, bytes), 48);
    uint64_t deadline = 1794355200000ull;
    assert_memory_equal(bytes, expected, 40);
    assert_memory_equal(bytes + 40, &deadline, 8);
}

static void record_of_grants_has_the_documented_layout(void **state)
{
    (void)state;
    const struct order_grant grants[2] = {{.item = 258, .qty = 3, .line = 1, .counted = true},
                                          {259, 5, 4, 6, 2, false}};
    const struct event event = {.type = EVENT_ORDER_HELD,
                                .id = id,
                                .buyer = 9,
                                .deadline_ms = 1794355200000ull,
                                .line_count = 2,
                                .grants = grants,
                                .contents = 0x1122334455660003ull};
    /* From offset 40: contents, n, reserved, then the grants. */
    const uint8_t expected[56] = {
        3, 0, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 2, 0, 0, 0, 0, 0, 0, 0,             /* */
        2, 1, 0,    0,    3,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, /* */
        3, 1, 0,    0,    5,    0,    0,    0,    4, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0};
    uint8_t bytes[96];
    assert_int_equal(record_encode(&event, bytes), 96);
    assert_int_equal(bytes[0], 1);
    assert_int_equal(bytes[1], 8);
    assert_int_equal(load_u32(bytes + 4), 96);
    assert_int_equal(bytes[8], 0x00);
    assert_int_equal(bytes[23], 0xFF);
    assert_int_equal(load_u64(bytes + 24), 9);
    assert_int_equal(load_u64(bytes + 32), 1794355200000ull);
    assert_memory_equal(bytes + 40, expected, sizeof expected);
}

static void record_of_a_move_has_the_documented_layout(void **state)
{
    (void)state;
    const struct stock_move move = {258, 259, 5, 10, 15, bytes_of("why"), bytes_of("")};
    const struct event event = {.type = EVENT_STOCK_MOVED, .id = id, .move = &move};
    uint8_t bytes[64];
    assert_int_equal(record_encode(&event, bytes), 64);
    assert_int_equal(bytes[0], 19);
    assert_int_equal(load_u32(bytes + 8), 258);
    assert_int_equal(load_u32(bytes + 12), 259);
    assert_int_equal(bytes[16], 0x00);
    assert_int_equal(bytes[31], 0xFF);
    assert_int_equal(load_u64(bytes + 32), 5);
    assert_int_equal(load_u64(bytes + 40), 10);
    assert_int_equal(load_u64(bytes + 48), 15);
    assert_memory_equal(bytes + 56, "\3\0why\0\0", 7);
}

static void record_is_refused_at_every_truncation(void **state)
{
    struct examples *examples = *state;
    uint8_t *bytes = malloc(WAL_RECORD_BYTES_MAX);
    for (unsigned i = 0; i < examples->count; i++) {
        uint32_t len = record_encode(&examples->events[i], bytes);
        for (uint32_t cut = 0; cut < len; cut += cut < 600 ? 1 : 97) {
            /* Of its own, so that a sanitizer sees a read beyond it. */
            uint8_t *part = malloc(cut ? cut : 1);
            memcpy(part, bytes, cut);
            struct event back;
            size_t used;
            assert_int_equal(decode(part, cut, &back, &used), HF_DAMAGED);
            assert_int_equal(used, 0);
            /* Also when the length says so. */
            if (cut >= 8) {
                store_u32(part + 4, cut);
                assert_int_equal(decode(part, cut, &back, &used), HF_DAMAGED);
            }
            free(part);
        }
    }
    free(bytes);
}

/* Whatever the decoder accepts has one encoding: the bytes that it was read from. */
static void record_that_is_accepted_encodes_to_the_same_bytes(void **state)
{
    struct examples *examples = *state;
    uint64_t seed = rng_seed_from_env(1111);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    uint8_t *bytes = malloc(WAL_RECORD_BYTES_MAX);
    uint8_t *again = malloc(WAL_RECORD_BYTES_MAX);
    unsigned accepted = 0;
    for (unsigned round = 0; round < 200000; round++) {
        const struct event *event = &examples->events[rng_below(&rng, examples->count)];
        if (record_bytes(event) > 1024) {
            continue;
        }
        uint32_t len = record_encode(event, bytes);
        uint64_t changes = rng_between(&rng, 1, 3);
        for (uint64_t i = 0; i < changes; i++) {
            /* The first bytes matter most. */
            uint64_t at = rng_below(&rng, rng_chance(&rng, 2) ? 8 : len);
            bytes[at] = (uint8_t)(rng_chance(&rng, 2) ? bytes[at] ^ (1u << rng_below(&rng, 8))
                                                      : rng_next(&rng));
        }
        struct event back;
        size_t used;
        if (decode(bytes, len, &back, &used) == HF_OK) {
            accepted++;
            assert_int_equal(record_encode(&back, again), used);
            assert_memory_equal(again, bytes, used);
        }
    }
    assert_true(accepted > 1000); /* ids and such may be anything */
    free(again);
    free(bytes);
}

static void record_values_out_of_range_are_refused(void **state)
{
    (void)state;
    struct event back;
    size_t used;
    uint8_t bytes[64];
    const struct order_line line = {1, 1};
    struct event held = {.type = EVENT_ORDER_HELD, .id = id, .line_count = 1, .lines = &line};
    const struct {
        uint32_t item;
        uint32_t qty;
        enum hf_status status;
    } cases[] = {
        {1, 1, HF_OK},
        {0, 1, HF_DAMAGED},
        {ITEMS_MAX, 1, HF_OK},
        {ITEMS_MAX + 1, 1, HF_DAMAGED},
        {1, 0, HF_DAMAGED},
        {1, QTY_MAX, HF_OK},
        {1, QTY_MAX + 1, HF_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        record_encode(&held, bytes);
        store_u32(bytes + 8, cases[i].item);
        store_u32(bytes + 12, cases[i].qty);
        assert_int_equal(decode(bytes, 48, &back, &used), cases[i].status);
    }
    /* A text that is not UTF-8. */
    const struct item_def item = {.item = 1, .sku = bytes_of("\xFF"), .pool = bytes_of("p")};
    const struct event defined = {.type = EVENT_ITEM_DEFINED, .item = &item};
    uint32_t len = record_encode(&defined, bytes);
    assert_int_equal(decode(bytes, len, &back, &used), HF_DAMAGED);
}

static void record_of_an_edit_out_of_range_is_refused(void **state)
{
    (void)state;
    static const enum event_type types[] = {EVENT_ORDER_COMMITTED, EVENT_ORDER_RELEASED,
                                            EVENT_ORDER_RETURNED};
    static const uint32_t bounds[] = {0, QTY_MAX, QTY_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 3 * sizeof bounds / sizeof bounds[0]; i++) {
        const uint32_t quantities[2] = {1, bounds[i / 3]};
        const struct event event = {
            .type = types[i % 3], .id = id, .line_count = 2, .quantities = quantities};
        uint8_t bytes[128];
        struct event back;
        size_t used;
        uint32_t len = record_encode(&event, bytes);
        assert_int_equal(decode(bytes, len, &back, &used),
                         bounds[i / 3] <= QTY_MAX ? HF_OK : HF_DAMAGED);
    }
}

static void record_of_an_adjustment_out_of_range_is_refused(void **state)
{
    (void)state;
    const struct {
        int64_t delta;
        int64_t stocked;
        enum hf_status status;
    } cases[] = {
        {STOCK_MAX, STOCK_MAX, HF_OK},
        {-STOCK_MAX, 0, HF_OK},
        {STOCK_MAX + 1, STOCK_MAX, HF_DAMAGED},
        {-STOCK_MAX - 1, 0, HF_DAMAGED},
        {INT64_MAX, 0, HF_DAMAGED},
        {INT64_MIN, 0, HF_DAMAGED},
        {1, STOCK_MAX + 1, HF_DAMAGED},
        {1, -1, HF_DAMAGED},
        {1, INT64_MAX, HF_DAMAGED},
        {1, INT64_MIN, HF_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct stock_change change = {
            .item = 1, .delta = cases[i].delta, .stocked = cases[i].stocked};
        const struct event event = {.type = EVENT_STOCK_ADJUSTED, .id = id, .adjust = &change};
        uint8_t bytes[128];
        struct event back;
        size_t used;
        uint32_t len = record_encode(&event, bytes);
        assert_int_equal(decode(bytes, len, &back, &used), cases[i].status);
    }
    static const int64_t bounds[] = {-1, 0, STOCK_MAX, STOCK_MAX + 1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < 2 * sizeof bounds / sizeof bounds[0]; i++) {
        struct item_def item = {.item = 1, .sku = bytes_of("s"), .pool = bytes_of("p")};
        *(i % 2 ? &item.safety : &item.presale_cap) = bounds[i / 2];
        const struct event event = {.type = EVENT_ITEM_DEFINED, .item = &item};
        uint8_t bytes[128];
        struct event back;
        size_t used;
        uint32_t len = record_encode(&event, bytes);
        assert_int_equal(decode(bytes, len, &back, &used),
                         bounds[i / 2] >= 0 && bounds[i / 2] <= STOCK_MAX ? HF_OK : HF_DAMAGED);
    }
}

static void record_of_grants_out_of_range_is_refused(void **state)
{
    (void)state;
    const struct order_grant grants[2] = {{1, 5, 0, 0, 2, false}, {2, 5, 2, 9, 2, true}};
    const struct event event = {.type = EVENT_ORDER_HELD,
                                .id = id,
                                .line_count = 2,
                                .grants = grants,
                                .contents = 0xABCDEF0000000003ull};
    const struct {
        unsigned at;
        uint32_t value;
        unsigned width;
        enum hf_status status;
    } cases[] = {
        {1, 8, 1, HF_OK}, /* forms */
        {1, 8 + 4, 1, HF_DAMAGED},
        {1, 8 + 128, 1, HF_DAMAGED},
        {1, 4 + 128, 1, HF_DAMAGED},
        {1, 8 + 1, 1, HF_DAMAGED},
        {40, 0, 2, HF_DAMAGED}, /* lines that were asked */
        {40, 1, 2, HF_DAMAGED},
        {40, 2, 2, HF_OK},
        {40, ORDER_LINES_MAX, 2, HF_OK},
        {40, ORDER_LINES_MAX + 1, 2, HF_DAMAGED},
        {48, 0, 4, HF_DAMAGED}, /* grants */
        {48, 1, 4, HF_DAMAGED},
        {48, 3, 4, HF_DAMAGED},
        {48, ORDER_LINES_MAX + 1, 4, HF_DAMAGED},
        {52, 1, 4, HF_DAMAGED},
        {56, 0, 4, HF_DAMAGED}, /* item */
        {56, ITEMS_MAX, 4, HF_OK},
        {56, ITEMS_MAX + 1, 4, HF_DAMAGED},
        {60, 0, 4, HF_DAMAGED}, /* quantity */
        {60, 1, 4, HF_OK},
        {60, QTY_MAX, 4, HF_OK},
        {60, QTY_MAX + 1, 4, HF_DAMAGED},
        {64, 1, 4, HF_DAMAGED}, /* pre-sold without a ticket */
        {68, 1, 4, HF_DAMAGED}, /* a ticket without pre-sold units */
        {84, 0, 4, HF_DAMAGED},
        {84, 5, 4, HF_OK},
        {84, 6, 4, HF_DAMAGED},
        {88, 0, 4, HF_DAMAGED},
        {88, UINT32_MAX, 4, HF_OK},
        {72, 0, 2, HF_DAMAGED}, /* line */
        {72, 1, 2, HF_OK},
        {72, 3, 2, HF_DAMAGED}, /* and then 2: descending */
        {92, 1, 2, HF_DAMAGED}, /* after 2 */
        {92, 3, 2, HF_OK},
        {92, 4, 2, HF_DAMAGED},
        {74, 1, 1, HF_OK}, /* counted */
        {74, 2, 1, HF_DAMAGED},
        {75, 1, 1, HF_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _Alignas(8) uint8_t bytes[96];
        struct event back;
        size_t used;
        assert_int_equal(record_encode(&event, bytes), sizeof bytes);
        memcpy(bytes + cases[i].at, &cases[i].value, cases[i].width);
        if (decode(bytes, sizeof bytes, &back, &used) != cases[i].status) {
            fail_msg("case %zu: byte %u = %u", i, cases[i].at, cases[i].value);
        }
    }
}

static void record_of_a_move_out_of_range_is_refused(void **state)
{
    (void)state;
    const struct stock_move move = {1, 2, 5, 0, 5, bytes_of(""), bytes_of("")};
    const struct event event = {.type = EVENT_STOCK_MOVED, .id = id, .move = &move};
    const uint64_t most = (uint64_t)STOCK_MAX;
    const struct {
        unsigned at;
        unsigned width;
        uint64_t value;
        enum hf_status status;
    } cases[] = {
        {8, 4, 0, HF_DAMAGED},
        {8, 4, 3, HF_OK},
        {8, 4, ITEMS_MAX, HF_OK},
        {8, 4, ITEMS_MAX + 1, HF_DAMAGED},
        {8, 4, 2, HF_DAMAGED},
        {12, 4, 1, HF_DAMAGED},
        {12, 4, 0, HF_DAMAGED},
        {12, 4, ITEMS_MAX, HF_OK},
        {12, 4, ITEMS_MAX + 1, HF_DAMAGED},
        {32, 8, 0, HF_DAMAGED},
        {32, 8, 1, HF_OK},
        {32, 8, most, HF_OK},
        {32, 8, most + 1, HF_DAMAGED},
        {32, 8, UINT64_MAX, HF_DAMAGED},
        {40, 8, most, HF_OK},
        {40, 8, most + 1, HF_DAMAGED},
        {40, 8, UINT64_MAX, HF_DAMAGED},
        {48, 8, 0, HF_OK},
        {48, 8, most, HF_OK},
        {48, 8, most + 1, HF_DAMAGED},
        {56, 2, 1, HF_DAMAGED}, /* a text of NUL */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _Alignas(8) uint8_t bytes[64];
        struct event back;
        size_t used;
        uint32_t len = record_encode(&event, bytes);
        memcpy(bytes + cases[i].at, &cases[i].value, cases[i].width);
        if (decode(bytes, len, &back, &used) != cases[i].status) {
            fail_msg("case %zu: byte %u", i, cases[i].at);
        }
    }
}

static void record_types_have_names(void **state)
{
    (void)state;
    assert_string_equal(record_type_name(EVENT_ORDER_HELD), "ORDER_HELD");
    assert_string_equal(record_type_name(EVENT_STOCK_ADJUSTED), "STOCK_ADJUSTED");
    assert_string_equal(record_type_name(EVENT_ORDER_FORGOTTEN), "ORDER_FORGOTTEN");
    assert_string_equal(record_type_name(EVENT_STOCK_MOVED), "STOCK_MOVED");
    assert_null(record_type_name((enum event_type)8));
    assert_null(record_type_name((enum event_type)20));
}

static int setup(void **state)
{
    *state = make_examples();
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_comes_back_as_it_was),
        cmocka_unit_test(record_of_a_one_line_reserve_is_48_documented_bytes),
        cmocka_unit_test(record_of_grants_has_the_documented_layout),
        cmocka_unit_test(record_of_a_move_has_the_documented_layout),
        cmocka_unit_test(record_is_refused_at_every_truncation),
        cmocka_unit_test(record_that_is_accepted_encodes_to_the_same_bytes),
        cmocka_unit_test(record_values_out_of_range_are_refused),
        cmocka_unit_test(record_of_an_edit_out_of_range_is_refused),
        cmocka_unit_test(record_of_an_adjustment_out_of_range_is_refused),
        cmocka_unit_test(record_of_grants_out_of_range_is_refused),
        cmocka_unit_test(record_of_a_move_out_of_range_is_refused),
        cmocka_unit_test(record_types_have_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
