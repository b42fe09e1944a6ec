/* misfit_test.c - bytes whose checksums are right and which still can't be: one field at a time.
 *
 * A checksum tells of bytes that changed. It doesn't tell of a block that is in the wrong place, a
 * file under another's name, or a record that no engine writes. So each field of docs/wal-format.md
 * that must fit is forged here, checksums and all, and must be refused.
 *
 * Threads: one. */
#include "unit/wal/wal_rig.h"

#include "base/limits.h"
#include "wal/follow.h"

#define SEGMENT_SIZE (8 * WAL_PAGE_BYTES)

static const struct id128 cluster = {11, 12};
static const struct id128 id = {0x0011223344556677ull, 0x8899AABBCCDDEEFFull};

/* ---- Records ---- */

struct forged {
    unsigned at;
    unsigned width;
    uint64_t value;
    enum hf_status status;
};

/* Each change of an event's record by itself. */
static void check_forged(const struct event *event, const struct forged *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        _Alignas(8) uint8_t bytes[256];
        struct event back;
        struct record_scratch scratch;
        size_t used;
        const char *reason;
        memset(bytes, 0, sizeof bytes);
        record_encode(event, bytes);
        memcpy(bytes + cases[i].at, &cases[i].value, cases[i].width);
        enum hf_status status = record_decode(bytes, sizeof bytes, &back, &scratch, &used, &reason);
        if (status != cases[i].status) {
            fail_msg("type %d, case %zu: byte %u = %llu: %s", (int)event->type, i, cases[i].at,
                     (unsigned long long)cases[i].value, reason ? reason : "accepted");
        }
    }
}

#define CHECK_FORGED(event, cases) check_forged(event, cases, sizeof(cases) / sizeof(cases)[0])

static void record_of_an_order_has_one_form_and_one_length(void **state)
{
    (void)state;
    const struct order_line lines[2] = {{1, 1}, {2, 2}};
    struct event event = {.type = EVENT_ORDER_HELD, .id = id, .line_count = 1, .lines = lines};
    const struct forged one[] = {
        {0, 1, 1, HF_OK},        {0, 1, 0, HF_DAMAGED}, /* types */
        {0, 1, 8, HF_DAMAGED},   {1, 1, 4, HF_OK},      /* counted */
        {1, 1, 1, HF_DAMAGED},                          /* flags of other types */
        {1, 1, 2, HF_DAMAGED},   {1, 1, 64, HF_DAMAGED}, {1, 1, 16, HF_DAMAGED}, /* no type's */
        {2, 1, 1, HF_DAMAGED},                                                   /* reserved */
        {3, 1, 1, HF_DAMAGED},   {4, 4, 40, HF_DAMAGED},                         /* length */
        {4, 4, 49, HF_DAMAGED},  {4, 4, 56, HF_DAMAGED}, {4, 4, 0, HF_DAMAGED},
        {4, 4, 512, HF_DAMAGED},
    };
    CHECK_FORGED(&event, one);
    event.line_count = 2;
    const struct forged two[] = {
        {1, 1, 128, HF_OK},
        {1, 1, 128 + 4, HF_DAMAGED},
        {4, 4, 64 + 8, HF_DAMAGED},
        {40, 4, 1, HF_DAMAGED}, /* one line, in the form for several */
        {40, 4, 0, HF_DAMAGED},
        {44, 4, 1, HF_DAMAGED},
        {56, 4, 0, HF_DAMAGED},
        {56, 4, ITEMS_MAX, HF_OK},
        {56, 4, ITEMS_MAX + 1, HF_DAMAGED},
        {60, 4, QTY_MAX, HF_OK},
        {60, 4, QTY_MAX + 1, HF_DAMAGED},
        {60, 4, 0, HF_DAMAGED},
    };
    CHECK_FORGED(&event, two);
    /* A single line in the form for several, of the right length for it. */
    _Alignas(8) uint8_t bytes[64];
    struct event back;
    struct record_scratch scratch;
    size_t used;
    const char *reason;
    record_encode(&event, bytes);
    store_u32(bytes + 4, 56);
    store_u32(bytes + 40, 1);
    assert_int_equal(record_decode(bytes, 56, &back, &scratch, &used, &reason), HF_DAMAGED);
}

static void record_of_an_edit_names_quantities_that_can_be(void **state)
{
    (void)state;
    const uint32_t quantities[3] = {1, 2, 3};
    struct event event = {
        .type = EVENT_ORDER_RELEASED, .id = id, .line_count = 3, .quantities = quantities};
    const struct forged cases[] = {
        {1, 1, 64, HF_OK},
        {1, 1, 64 + 1, HF_DAMAGED}, /* a late release */
        {1, 1, 0, HF_DAMAGED},      /* and too long then */
        {24, 4, 0, HF_DAMAGED},
        {24, 4, ORDER_LINES_MAX + 1, HF_DAMAGED},
        {24, 4, 4, HF_OK}, /* the padding is a fourth, of 0 */
        {24, 4, 1, HF_DAMAGED},
        {28, 4, 1, HF_DAMAGED},
        {32, 4, 0, HF_OK},
        {36, 4, QTY_MAX, HF_OK},
        {36, 4, QTY_MAX + 1, HF_DAMAGED},
        {40, 4, UINT32_MAX, HF_DAMAGED},
        {44, 1, 1, HF_DAMAGED}, /* padding */
        {47, 1, 1, HF_DAMAGED},
    };
    CHECK_FORGED(&event, cases);
    /* The padding is written, whatever was there. */
    uint8_t bytes[48];
    memset(bytes, 0xEE, sizeof bytes);
    assert_int_equal(record_encode(&event, bytes), 48);
    assert_int_equal(load_u32(bytes + 44), 0);
    event.type = EVENT_ORDER_COMMITTED;
    const struct forged committed[] = {{1, 1, 64 + 1, HF_OK}, {1, 1, 64 + 2, HF_DAMAGED}};
    CHECK_FORGED(&event, committed);
    const struct event expired = {.type = EVENT_ORDER_EXPIRED, .id = id};
    const struct forged whole[] = {
        {1, 1, 64, HF_DAMAGED}, {4, 4, 32, HF_DAMAGED}, {4, 4, 16, HF_DAMAGED}};
    CHECK_FORGED(&expired, whole);
}

static void record_of_a_definition_has_values_that_can_be(void **state)
{
    (void)state;
    const struct sku_rule rule = {.sku = bytes_of("A"), .label = bytes_of("bcd")};
    const struct event sku = {.type = EVENT_SKU_DEFINED, .sku = &rule};
    const struct forged rules[] = {
        {20, 4, 1, HF_OK}, /* paused */
        {20, 4, 2, HF_DAMAGED},    {20, 4, 256, HF_DAMAGED},
        {40, 2, 0, HF_DAMAGED}, /* no code: and what follows is the label's */
        {42, 1, 0xFF, HF_DAMAGED}, {45, 1, 0xFF, HF_DAMAGED},
        {45, 1, 0, HF_DAMAGED},
    };
    CHECK_FORGED(&sku, rules);
    const struct item_def def = {.item = 1, .sku = bytes_of("A"), .pool = bytes_of("p")};
    const struct event item = {.type = EVENT_ITEM_DEFINED, .item = &def};
    const uint64_t most = (uint64_t)STOCK_MAX;
    const struct forged defs[] = {
        {8, 4, 0, HF_DAMAGED}, /* handle */
        {8, 4, ITEMS_MAX, HF_OK},
        {8, 4, ITEMS_MAX + 1, HF_DAMAGED},
        {12, 4, 1, HF_OK}, /* hot */
        {12, 4, 2, HF_DAMAGED},
        {16, 8, most, HF_OK}, /* safety, presale_cap */
        {16, 8, most + 1, HF_DAMAGED},
        {16, 8, UINT64_MAX, HF_DAMAGED},
        {24, 8, most, HF_OK},
        {24, 8, most + 1, HF_DAMAGED},
        {24, 8, UINT64_MAX, HF_DAMAGED},
    };
    CHECK_FORGED(&item, defs);
    /* Texts of no bytes, where there must be one; everything else fits. */
    const struct item_def no_pool = {.item = 1, .sku = bytes_of("A"), .pool = bytes_of("")};
    const struct item_def no_code = {.item = 1, .sku = bytes_of(""), .pool = bytes_of("p")};
    const struct sku_rule no_sku = {.label = bytes_of("label")};
    const struct event nameless[] = {{.type = EVENT_ITEM_DEFINED, .item = &no_pool},
                                     {.type = EVENT_ITEM_DEFINED, .item = &no_code},
                                     {.type = EVENT_SKU_DEFINED, .sku = &no_sku}};
    const struct forged as_it_is[] = {{2, 1, 0, HF_DAMAGED}};
    for (size_t i = 0; i < 3; i++) {
        CHECK_FORGED(&nameless[i], as_it_is);
    }
    uint8_t text[LABEL_BYTES_MAX];
    memset(text, 'x', sizeof text);
    const struct item_def long_pool = {
        .item = 1, .sku = bytes_of("A"), .pool = {text, CODE_BYTES_MAX + 1}};
    const struct event too_long = {.type = EVENT_ITEM_DEFINED, .item = &long_pool};
    CHECK_FORGED(&too_long, as_it_is);
}

static void record_of_an_adjustment_has_values_that_can_be(void **state)
{
    (void)state;
    const struct stock_change change = {.item = 1, .delta = 5, .stocked = 5};
    const struct event event = {.type = EVENT_STOCK_ADJUSTED, .id = id, .adjust = &change};
    const uint64_t most = (uint64_t)STOCK_MAX;
    const struct forged cases[] = {
        {1, 1, 2, HF_OK},      /* forced */
        {1, 1, 1, HF_DAMAGED}, /* late */
        {8, 4, 0, HF_DAMAGED},
        {8, 4, ITEMS_MAX, HF_OK},
        {8, 4, ITEMS_MAX + 1, HF_DAMAGED},
        {12, 4, 1, HF_DAMAGED}, /* reserved */
        {15, 1, 128, HF_DAMAGED},
        {32, 8, most, HF_OK}, /* delta */
        {32, 8, most + 1, HF_DAMAGED},
        {32, 8, 0 - most, HF_OK},
        {32, 8, 0 - most - 1, HF_DAMAGED},
        {40, 8, most, HF_OK}, /* stocked */
        {40, 8, most + 1, HF_DAMAGED},
        {40, 8, UINT64_MAX, HF_DAMAGED},
        {52, 1, 1, HF_DAMAGED}, /* padding */
    };
    CHECK_FORGED(&event, cases);
}

/* What peeking lets through has its id within the record, and the record within the bytes. */
static void record_peek_reads_nothing_beyond(void **state)
{
    (void)state;
    const struct order_line line = {1, 1};
    const struct event held = {.type = EVENT_ORDER_HELD, .id = id, .line_count = 1, .lines = &line};
    const struct event expired = {.type = EVENT_ORDER_EXPIRED, .id = id};
    const struct event *const events[] = {&held, &expired};
    for (size_t i = 0; i < 2; i++) {
        _Alignas(8) uint8_t bytes[64];
        enum event_type type;
        uint32_t len;
        struct id128 found;
        uint32_t whole = record_encode(events[i], bytes);
        assert_true(record_peek(bytes, whole, &type, &len, &found));
        assert_int_equal(type, events[i]->type);
        assert_int_equal(len, whole);
        assert_true(id_equal(found, id));
        assert_true(record_peek(bytes, whole + 8, &type, &len, &found));
        assert_false(record_peek(bytes, whole - 8, &type, &len, &found));
        assert_false(record_peek(bytes, 7, &type, &len, &found));
        /* Too short for the id that such a record has. */
        for (uint32_t bytes_said = 0; bytes_said < (i == 0 ? 32 : 24); bytes_said += 8) {
            store_u32(bytes + 4, bytes_said);
            assert_false(record_peek(bytes, whole, &type, &len, &found));
        }
        store_u32(bytes + 4, whole - 4);
        assert_false(record_peek(bytes, whole, &type, &len, &found));
        store_u32(bytes + 4, WAL_RECORD_BYTES_MAX + 8);
        assert_false(record_peek(bytes, UINT32_MAX, &type, &len, &found));
        bytes[0] = 0;
        store_u32(bytes + 4, whole);
        assert_false(record_peek(bytes, whole, &type, &len, &found));
    }
}

/* ---- Headers by themselves ---- */

static void header_of_a_block_has_contents_that_its_type_has(void **state)
{
    (void)state;
    static const struct {
        enum block_type type;
        uint32_t records;
        uint32_t bytes;
        bool fits;
    } cases[] = {
        {BLOCK_DATA, 1, 8, true},     {BLOCK_DATA, 2, 16, true},    {BLOCK_DATA, 0, 8, false},
        {BLOCK_DATA, 2, 8, false},    {BLOCK_DATA, 1, 0, false},    {BLOCK_NOOP, 0, 0, true},
        {BLOCK_NOOP, 1, 0, false},    {BLOCK_NOOP, 0, 8, false},    {BLOCK_EPOCH, 0, 0, true},
        {BLOCK_EPOCH, 1, 0, false},   {BLOCK_EPOCH, 0, 8, false},   {BLOCK_DIGEST, 0, 16, true},
        {BLOCK_DIGEST, 0, 8, false},  {BLOCK_DIGEST, 0, 24, false}, {BLOCK_DIGEST, 0, 0, false},
        {BLOCK_DIGEST, 1, 16, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct block_header header = {.type = cases[i].type,
                                            .index = 1,
                                            .term = 1,
                                            .record_count = cases[i].records,
                                            .payload_bytes = cases[i].bytes};
        struct block_header back;
        const char *reason;
        uint8_t bytes[BLOCK_HEADER_BYTES];
        block_header_encode(&header, bytes);
        if (block_header_decode(&back, bytes, &reason) != cases[i].fits) {
            fail_msg("case %zu: type %d, %u records, %u bytes", i, (int)cases[i].type,
                     cases[i].records, cases[i].bytes);
        }
    }
}

static void header_of_a_segment_has_no_flags_but_one(void **state)
{
    (void)state;
    const struct segment_header header = {.number = 1, .first_index = 1};
    for (uint32_t bit = 0; bit < 32; bit++) {
        struct segment_header back;
        const char *reason;
        uint8_t bytes[SEGMENT_HEADER_BYTES];
        segment_header_encode(&header, bytes);
        store_u32(bytes + 12, 1u << bit);
        store_u64(bytes + 88, hash_bytes(bytes, 88));
        assert_int_equal(segment_header_decode(&back, bytes, &reason), bit == 0);
        assert_true(bit != 0 || back.recycled);
    }
}

/* ---- Headers in their place ---- */

/* A small log, made by hand. */
struct made {
    struct storage *storage;
    uint64_t segment;
    uint64_t offset;
    uint64_t index;
    uint64_t lsn;
    uint64_t previous_hash;
    uint64_t term;
    uint64_t serial;
};

static uint8_t *made_data(struct made *made, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    snprintf(name, sizeof name, "wal-%016llx.seg", (unsigned long long)number);
    return sim_storage_data(made->storage, name, &size);
}

static void made_segment(struct made *made)
{
    char name[STORAGE_NAME_BYTES_MAX];
    made->segment++;
    snprintf(name, sizeof name, "wal-%016llx.seg", (unsigned long long)made->segment);
    assert_int_equal(made->storage->ops->create_zeroed(made->storage, name, SEGMENT_SIZE), HF_OK);
    const struct segment_header header = {.cluster = cluster,
                                          .number = made->segment,
                                          .first_lsn = made->lsn,
                                          .first_index = made->index,
                                          .previous_hash = made->previous_hash,
                                          .durable_index = made->index - 1,
                                          .segment_bytes = SEGMENT_SIZE};
    segment_header_encode(&header, made_data(made, made->segment));
    made->offset = WAL_PAGE_BYTES;
}

static struct block_header made_header(const struct made *made, uint32_t records, uint32_t len)
{
    return (struct block_header){.type = records ? BLOCK_DATA : BLOCK_EPOCH,
                                 .cluster = cluster,
                                 .term = made->term,
                                 .index = made->index,
                                 .previous_hash = made->previous_hash,
                                 .durable_index = made->index - 1,
                                 .first_lsn = made->lsn,
                                 .record_count = records,
                                 .payload_bytes = len,
                                 .segment = made->segment,
                                 .wall_ms = RIG_DEADLINE_MS + 10 * made->index,
                                 .engine_ms = RIG_DEADLINE_MS + 10 * made->index - 3,
                                 .boot_ms = 1000 + made->index,
                                 .boot = 77 + made->index};
}

static void made_block(struct made *made, uint32_t records)
{
    uint8_t *at = made_data(made, made->segment) + made->offset;
    uint64_t delta;
    uint32_t len = rig_encode(made->serial, records, at + BLOCK_HEADER_BYTES, &delta);
    struct block_header header = made_header(made, records, len);
    header.payload_hash = hash_bytes(at + BLOCK_HEADER_BYTES, len);
    block_header_encode(&header, at);
    made->previous_hash = block_chain(at);
    made->index++;
    made->lsn += len;
    made->serial += records;
    made->offset += block_span_bytes(len);
}

/* Two segments of two blocks; first_index is 1 in a log that begins at its beginning. */
static void made_init(struct made *made, uint64_t first_index, uint64_t first_lsn,
                      uint64_t first_hash)
{
    *made = (struct made){.storage = sim_storage_make(1),
                          .index = first_index,
                          .lsn = first_lsn,
                          .previous_hash = first_hash,
                          .term = 4};
    made_segment(made);
    made_block(made, 0);
    made_block(made, 2);
    made_segment(made);
    made_block(made, 1);
    made_block(made, 1);
}

static void made_read(struct made *made, struct wal_end *end)
{
    struct rig_log log;
    rig_read(&log, made->storage);
    *end = log.end;
    rig_log_free(&log);
}

static void made_log_is_read_to_its_end_and_tells_its_times(void **state)
{
    (void)state;
    struct made made;
    struct wal_end end;
    made_init(&made, 1, 0, 0);
    made_read(&made, &end);
    assert_false(end.damaged);
    assert_false(end.torn);
    assert_int_equal(end.next_index, 5);
    assert_int_equal(end.lsn, 4 * 48);
    assert_int_equal(end.segment, 2);
    assert_int_equal(end.offset, 3 * WAL_PAGE_BYTES);
    assert_int_equal(end.term, 4);
    assert_true(id_equal(end.cluster, cluster));
    assert_int_equal(end.previous_hash, made.previous_hash);
    /* Those of the last block: time goes on from there. */
    assert_int_equal(end.wall_ms, RIG_DEADLINE_MS + 40);
    assert_int_equal(end.engine_ms, RIG_DEADLINE_MS + 37);
    assert_int_equal(end.boot_ms, 1004);
    assert_int_equal(end.boot, 81);
    storage_destroy(made.storage);
}

/* The log's last block with one field that does not fit is not read, and the log does not end
 * cleanly before it. */
#define CHECK_BLOCK(change)                                                                        \
    do {                                                                                           \
        struct made made;                                                                          \
        struct wal_end end;                                                                        \
        struct block_header header;                                                                \
        const char *reason;                                                                        \
        made_init(&made, 1, 0, 0);                                                                 \
        uint8_t *at = made_data(&made, 2) + 2 * WAL_PAGE_BYTES;                                    \
        assert_true(block_header_decode(&header, at, &reason));                                    \
        assert_int_equal(header.index, 4);                                                         \
        change;                                                                                    \
        block_header_encode(&header, at);                                                          \
        made_read(&made, &end);                                                                    \
        if (end.next_index != 4 || end.lsn != 3 * 48 || (!end.torn && !end.damaged)) {             \
            fail_msg("read as if it fitted: %s", #change);                                         \
        }                                                                                          \
        storage_destroy(made.storage);                                                             \
    } while (0)

static void block_that_does_not_fit_is_not_read(void **state)
{
    (void)state;
    CHECK_BLOCK(header.cluster.lo++);
    CHECK_BLOCK(header.cluster.hi++);
    CHECK_BLOCK(header.index++);
    CHECK_BLOCK(header.segment = 1);
    CHECK_BLOCK(header.segment = 3);
    CHECK_BLOCK(header.previous_hash++);
    CHECK_BLOCK(header.first_lsn += 8);
    CHECK_BLOCK(header.first_lsn -= 8);
    CHECK_BLOCK(header.term = 3);
    CHECK_BLOCK(header.durable_index = 4);
    CHECK_BLOCK(header.durable_index = UINT64_MAX);
    CHECK_BLOCK(header.payload_hash++);
}

/* Of another cluster, it is not this log's unfinished write: nothing may be written over it. */
static void block_of_another_log_is_damage(void **state)
{
    (void)state;
    struct made made;
    struct wal_end end;
    struct block_header header;
    const char *reason;
    made_init(&made, 1, 0, 0);
    uint8_t *at = made_data(&made, 2) + 2 * WAL_PAGE_BYTES;
    assert_true(block_header_decode(&header, at, &reason));
    header.cluster.lo++;
    block_header_encode(&header, at);
    made_read(&made, &end);
    assert_true(end.damaged);
    assert_false(end.torn);
    assert_int_equal(end.file_offset, 2 * WAL_PAGE_BYTES);
    assert_non_null(strstr(end.reason, "another cluster"));
    storage_destroy(made.storage);
}

/* A term of 0 is no term, also where nothing came before. */
static void term_of_zero_is_not_read(void **state)
{
    (void)state;
    struct made made = {.storage = sim_storage_make(1), .index = 1};
    struct wal_end end;
    made_segment(&made);
    made_block(&made, 0);
    made_read(&made, &end);
    assert_int_equal(end.next_index, 1);
    assert_int_equal(end.segment, 0);
    storage_destroy(made.storage);
}

/* The second segment's header with one field that does not fit: nothing of it is read. */
#define CHECK_SEGMENT(change)                                                                      \
    do {                                                                                           \
        struct made made;                                                                          \
        struct wal_end end;                                                                        \
        struct segment_header header;                                                              \
        const char *reason;                                                                        \
        made_init(&made, 1, 0, 0);                                                                 \
        uint8_t *page = made_data(&made, 2);                                                       \
        assert_true(segment_header_decode(&header, page, &reason));                                \
        change;                                                                                    \
        segment_header_encode(&header, page);                                                      \
        made_read(&made, &end);                                                                    \
        if (end.next_index != 3 || end.segment != 1 || (!end.torn && !end.damaged)) {              \
            fail_msg("read as if it fitted: %s", #change);                                         \
        }                                                                                          \
        storage_destroy(made.storage);                                                             \
    } while (0)

static void segment_that_does_not_fit_is_not_read(void **state)
{
    (void)state;
    CHECK_SEGMENT(header.cluster.lo++);
    CHECK_SEGMENT(header.number = 3);
    CHECK_SEGMENT(header.number = 1);
    CHECK_SEGMENT(header.first_lsn += 8);
    CHECK_SEGMENT(header.first_index++);
    CHECK_SEGMENT(header.first_index--);
    CHECK_SEGMENT(header.previous_hash++);
    CHECK_SEGMENT(header.segment_bytes += WAL_PAGE_BYTES);
    CHECK_SEGMENT(header.segment_bytes -= WAL_PAGE_BYTES);
}

/* Segment 1 is the log's beginning: index 1, LSN 0, and nothing before it. */
static void first_segment_begins_at_the_beginning(void **state)
{
    (void)state;
    static const struct {
        uint64_t index;
        uint64_t lsn;
        uint64_t hash;
    } cases[] = {{2, 0, 0}, {1, 48, 0}, {1, 0, 1}, {5, 480, 9}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct made made;
        struct wal_end end;
        made_init(&made, cases[i].index, cases[i].lsn, cases[i].hash);
        made_read(&made, &end);
        assert_true(end.damaged);
        assert_int_equal(end.segment, 0);
        assert_non_null(strstr(end.reason, "beginning"));
        storage_destroy(made.storage);
    }
}

/* ---- Following ---- */

/* The index of the last block that a follower is given. */
static uint64_t follow_to_end(struct made *made)
{
    struct wal_follow *follow;
    struct wal_block block;
    uint64_t oldest;
    uint64_t last = 0;
    assert_int_equal(wal_follow_open(&follow, made->storage, 0, 0, &oldest), HF_OK);
    while (wal_follow_next(follow, &block) == HF_OK) {
        assert_int_equal(block.header.index, last + 1);
        last = block.header.index;
    }
    wal_follow_close(follow);
    return last;
}

/* Block 3 is given out when block 4 proves it durable: one that does not fit proves nothing. */
#define CHECK_PROOF(change)                                                                        \
    do {                                                                                           \
        struct made made;                                                                          \
        struct block_header header;                                                                \
        const char *reason;                                                                        \
        made_init(&made, 1, 0, 0);                                                                 \
        uint8_t *at = made_data(&made, 2) + 2 * WAL_PAGE_BYTES;                                    \
        assert_true(block_header_decode(&header, at, &reason));                                    \
        change;                                                                                    \
        block_header_encode(&header, at);                                                          \
        if (follow_to_end(&made) != 2) {                                                           \
            fail_msg("it proves something: %s", #change);                                          \
        }                                                                                          \
        storage_destroy(made.storage);                                                             \
    } while (0)

static void follower_believes_no_block_that_does_not_fit(void **state)
{
    (void)state;
    struct made whole;
    made_init(&whole, 1, 0, 0);
    assert_int_equal(follow_to_end(&whole), 3); /* nothing proves the last one yet */
    storage_destroy(whole.storage);
    CHECK_PROOF(header.cluster.lo++);
    CHECK_PROOF(header.index++);
    CHECK_PROOF(header.segment = 1);
    CHECK_PROOF(header.previous_hash++);
    CHECK_PROOF(header.first_lsn += 8);
    CHECK_PROOF(header.payload_bytes = 7 * WAL_PAGE_BYTES); /* beyond the segment */
}

static void follower_enters_no_segment_that_does_not_fit(void **state)
{
    (void)state;
#define CHECK_ENTERED(change)                                                                      \
    do {                                                                                           \
        struct made made;                                                                          \
        struct segment_header header;                                                              \
        const char *reason;                                                                        \
        made_init(&made, 1, 0, 0);                                                                 \
        uint8_t *page = made_data(&made, 2);                                                       \
        assert_true(segment_header_decode(&header, page, &reason));                                \
        change;                                                                                    \
        segment_header_encode(&header, page);                                                      \
        if (follow_to_end(&made) > 2) {                                                            \
            fail_msg("entered: %s", #change);                                                      \
        }                                                                                          \
        storage_destroy(made.storage);                                                             \
    } while (0)
    CHECK_ENTERED(header.cluster.lo++);
    CHECK_ENTERED(header.number = 3);
    CHECK_ENTERED(header.first_index++);
    CHECK_ENTERED(header.previous_hash++);
    CHECK_ENTERED(header.first_lsn += 8; header.durable_index = 0);
#undef CHECK_ENTERED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_of_an_order_has_one_form_and_one_length),
        cmocka_unit_test(record_of_an_edit_names_quantities_that_can_be),
        cmocka_unit_test(record_of_a_definition_has_values_that_can_be),
        cmocka_unit_test(record_of_an_adjustment_has_values_that_can_be),
        cmocka_unit_test(record_peek_reads_nothing_beyond),
        cmocka_unit_test(header_of_a_block_has_contents_that_its_type_has),
        cmocka_unit_test(header_of_a_segment_has_no_flags_but_one),
        cmocka_unit_test(made_log_is_read_to_its_end_and_tells_its_times),
        cmocka_unit_test(block_that_does_not_fit_is_not_read),
        cmocka_unit_test(block_of_another_log_is_damage),
        cmocka_unit_test(term_of_zero_is_not_read),
        cmocka_unit_test(segment_that_does_not_fit_is_not_read),
        cmocka_unit_test(follower_believes_no_block_that_does_not_fit),
        cmocka_unit_test(follower_enters_no_segment_that_does_not_fit),
        cmocka_unit_test(first_segment_begins_at_the_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
