/* misfit_test.c - checkpoints whose checksums are right and which still can't be: one
 * field or record at a time.
 *
 * As misfit_test.c for the log. A checkpoint with some 30 orders is changed in one thing, its
 * hashes are made to fit again, and checking and loading must both refuse it.
 *
 * Threads: one, and those that loading starts. */
#include "unit/wal/small_log.h"

#include "checkpoint/build.h"
#include "checkpoint/file.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "history/replay.h"

#define ORDERS 30u
#define NUMBER 3u /* of the checkpoint: it covers three segments */

/* ---- The checkpoint ---- */

static uint8_t *checkpoint_data(struct storage *storage, uint64_t *size)
{
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, NUMBER);
    uint8_t *data = sim_storage_data(storage, name, size);
    assert_non_null(data);
    return data;
}

static void make_checkpoint(struct small_log *log)
{
    struct checkpoint_info info;
    small_log_make(log);
    small_segment(log);
    for (uint64_t order = 0; order < ORDERS; order++) {
        small_event(log, small_held(100 + order, 1));
    }
    small_block(log, BLOCK_DATA);
    small_segment(log);
    small_block(log, BLOCK_NOOP);
    struct checkpoint_build_options options = {
        .storage = log->storage, .upto = NUMBER, .memory_bytes = MIB(1)};
    assert_int_equal(history_replay_sizes(log->storage, &options.inventory), HF_OK);
    assert_int_equal(checkpoint_build(&options, &info), HF_OK);
    assert_int_equal(info.orders, ORDERS + 5);
}

/* Finds the first frame of a kind with at least so many records. */
static uint8_t *find_frame(struct storage *storage, enum frame_kind kind, uint32_t records)
{
    uint64_t size;
    uint8_t *data = checkpoint_data(storage, &size);
    for (uint64_t at = WAL_PAGE_BYTES; at < size;) {
        struct frame_header frame;
        const char *why;
        assert_true(frame_decode(&frame, data + at, &why));
        if (frame.kind == kind && frame.record_count >= records) {
            return data + at;
        }
        at += frame_span(frame.payload_bytes);
    }
    fail_msg("there is no such frame");
    return NULL;
}

/* All hashes again, as frames and header stand. */
static void reseal(struct storage *storage)
{
    uint64_t size;
    uint8_t *data = checkpoint_data(storage, &size);
    struct checkpoint_header header;
    const char *why;
    assert_true(checkpoint_header_decode(&header, data, &why));
    header.frames_hash = 0;
    for (uint64_t at = WAL_PAGE_BYTES; at < size;) {
        uint8_t *frame = data + at;
        uint32_t payload_bytes = load_u32(frame + 16);
        uint64_t hash = hash_u64(hash_bytes(frame, FRAME_HEADER_BYTES - 8)) +
                        hash_bytes(frame + FRAME_HEADER_BYTES, payload_bytes);
        store_u64(frame + 40, hash);
        header.frames_hash = frame_chain(header.frames_hash, hash);
        at += frame_span(payload_bytes);
    }
    checkpoint_header_encode(&header, data);
}

static enum hf_status load(struct storage *storage, unsigned threads)
{
    struct inventory *inventory;
    struct checkpoint_info info;
    struct inventory_options sizes;
    assert_int_equal(history_replay_sizes(storage, &sizes), HF_OK);
    assert_int_equal(inventory_init(&inventory, &sizes), HF_OK);
    enum hf_status status = checkpoint_load(storage, NUMBER, inventory, threads, &info, NULL, NULL);
    assert_true(status == HF_OK || info.message[0] != '\0');
    inventory_deinit(inventory);
    return status;
}

/* Refused by whoever loads it; and, where it is not the state that tells, by who only checks. */
static void check_refused(struct storage *storage, bool checked, const char *what)
{
    struct checkpoint_info info;
    enum hf_status verified = checkpoint_verify(storage, NUMBER, &info, NULL, NULL);
    enum hf_status one = load(storage, 1);
    enum hf_status several = load(storage, 2);
    if ((checked && verified != HF_DAMAGED) || one != HF_DAMAGED || several != HF_DAMAGED) {
        fail_msg("%s: checked %s, loaded %s, by several %s", what, hf_status_text(verified),
                 hf_status_text(one), hf_status_text(several));
    }
}

/* Changes something of a checkpoint of its own, behind a `frame` of a kind, and expects both to
 * refuse it. `checked`: so does who reads it without loading. */
#define FRAME_REFUSED(kind, records, checked, ...)                                                 \
    do {                                                                                           \
        struct small_log log;                                                                      \
        make_checkpoint(&log);                                                                     \
        uint8_t *frame = find_frame(log.storage, kind, records);                                   \
        uint8_t *payload = frame + FRAME_HEADER_BYTES;                                             \
        (void)payload;                                                                             \
        __VA_ARGS__;                                                                               \
        reseal(log.storage);                                                                       \
        check_refused(log.storage, checked, #__VA_ARGS__);                                         \
        small_log_free(&log);                                                                      \
    } while (0)

/* Adds a record of so many bytes to a frame. */
static uint8_t *add_record(uint8_t *frame, uint32_t bytes, uint32_t count)
{
    uint32_t used = load_u32(frame + 16);
    store_u32(frame + 12, load_u32(frame + 12) + count);
    store_u32(frame + 16, used + bytes);
    assert_int_equal(frame_span(used + bytes), frame_span(used));
    return frame + FRAME_HEADER_BYTES + used;
}

#define HEADER_REFUSED(change)                                                                     \
    do {                                                                                           \
        struct small_log log;                                                                      \
        struct checkpoint_header header;                                                           \
        const char *why;                                                                           \
        uint64_t size;                                                                             \
        make_checkpoint(&log);                                                                     \
        uint8_t *data = checkpoint_data(log.storage, &size);                                       \
        assert_true(checkpoint_header_decode(&header, data, &why));                                \
        change;                                                                                    \
        checkpoint_header_encode(&header, data);                                                   \
        check_refused(log.storage, true, #change);                                                 \
        small_log_free(&log);                                                                      \
    } while (0)

/* ---- Tests ---- */

static void checkpoint_as_it_was_made_is_loaded(void **state)
{
    (void)state;
    struct small_log log;
    struct checkpoint_info info;
    make_checkpoint(&log);
    reseal(log.storage); /* which changes nothing */
    assert_int_equal(checkpoint_verify(log.storage, NUMBER, &info, NULL, NULL), HF_OK);
    assert_int_equal(load(log.storage, 1), HF_OK);
    assert_int_equal(load(log.storage, 2), HF_OK);
    small_log_free(&log);
}

static void header_that_tells_of_other_frames_is_refused(void **state)
{
    (void)state;
    HEADER_REFUSED(header.info.orders++);
    HEADER_REFUSED(header.info.orders--);
    HEADER_REFUSED(header.info.orders_held++);
    HEADER_REFUSED(header.info.orders_held--);
    HEADER_REFUSED(header.info.orders_held = header.info.orders + 1);
    HEADER_REFUSED(header.frames++);
    HEADER_REFUSED(header.frames--);
    HEADER_REFUSED(header.frames_hash++);
    HEADER_REFUSED(header.info.number++);
    HEADER_REFUSED(header.info.file_bytes += WAL_PAGE_BYTES);
    HEADER_REFUSED(header.info.file_bytes -= WAL_PAGE_BYTES);
    HEADER_REFUSED(header.ledger_offset -= WAL_PAGE_BYTES);
    HEADER_REFUSED(header.ledger_offset += 8);
    HEADER_REFUSED(header.info.start.segment++);
    HEADER_REFUSED(header.info.start.next_index = 0);
    HEADER_REFUSED(header.seek_offset[0] += WAL_PAGE_BYTES);
    HEADER_REFUSED(header.seek_offset[7] += 8);
}

/* Each part of the orders has those whose hashes begin so: one that lies in another part would be
 * entered by the wrong thread. */
static void order_in_another_part_is_refused(void **state)
{
    (void)state;
    unsigned moved = 0;
    for (unsigned part = 0; part + 1 < CHECKPOINT_SEEKS; part++) {
        struct small_log log;
        struct checkpoint_header header;
        const char *why;
        uint64_t size;
        make_checkpoint(&log);
        uint8_t *data = checkpoint_data(log.storage, &size);
        assert_true(checkpoint_header_decode(&header, data, &why));
        bool any = header.seek_offset[part + 1] > header.seek_offset[part];
        header.seek_offset[part + 1] = header.seek_offset[part];
        checkpoint_header_encode(&header, data);
        if (any) {
            check_refused(log.storage, true, "a part's orders in the next one");
            moved++;
        }
        small_log_free(&log);
    }
    assert_true(moved >= 8);
}

static void swap(uint8_t *a, uint8_t *b, size_t bytes)
{
    uint8_t kept[64];
    assert_true(bytes <= sizeof kept);
    memcpy(kept, a, bytes);
    memcpy(a, b, bytes);
    memcpy(b, kept, bytes);
}

static void frame_of_orders_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    FRAME_REFUSED(FRAME_ORDERS, 1, true, store_u32(frame + 12, load_u32(frame + 12) + 1));
    FRAME_REFUSED(FRAME_ORDERS, 2, true, store_u32(frame + 12, load_u32(frame + 12) - 1));
    FRAME_REFUSED(FRAME_ORDERS, 1, true, memset(add_record(frame, 24, 0), 0, 24));
    FRAME_REFUSED(FRAME_ORDERS, 2, true, swap(payload, payload + 64, 64));
    FRAME_REFUSED(FRAME_ORDERS, 1, true, memcpy(add_record(frame, 64, 1), payload, 64));
    FRAME_REFUSED(FRAME_ORDERS, 1, true, store_u64(frame + 24, load_u64(frame + 24) + 1));
    FRAME_REFUSED(FRAME_ORDERS, 1, true, store_u64(frame + 32, load_u64(frame + 32) + 1));
    FRAME_REFUSED(FRAME_ORDERS, 1, true, store_u32(frame + 20, 1)); /* reserved */
    FRAME_REFUSED(FRAME_ORDERS, 1, true, frame[10] = 1);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, frame[8] = 3);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, frame[0] ^= 1);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, frame[8] = FRAME_LEDGER);
}

/* One field of an order's record at a time. */
static void record_of_an_order_that_can_not_be_is_refused(void **state)
{
    (void)state;
    FRAME_REFUSED(FRAME_ORDERS, 1, true, payload[0] = CHECKPOINT_STOCK);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, payload[0] = CHECKPOINT_ORDER_LINES);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, payload[1] = 2);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, payload[2] = ORDER_NONE);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, payload[2] = ORDER_RETURNED + 1);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, payload[3] = 1);
    FRAME_REFUSED(FRAME_ORDERS, 1, true, store_u32(payload + 4, 72));
    FRAME_REFUSED(FRAME_ORDERS, 1, true, store_u32(payload + 60, 1));  /* reserved */
    FRAME_REFUSED(FRAME_ORDERS, 1, false, store_u32(payload + 48, 7)); /* no such item */
    FRAME_REFUSED(FRAME_ORDERS, 1, false, store_u32(payload + 52, 0));
    FRAME_REFUSED(FRAME_ORDERS, 1, false, store_u32(payload + 52, QTY_MAX + 1));
}

/* The ledger is looked at when it is loaded. */
static void record_of_the_ledger_that_can_not_be_is_refused(void **state)
{
    (void)state;
    FRAME_REFUSED(FRAME_LEDGER, 1, false, store_u32(frame + 12, load_u32(frame + 12) + 1));
    FRAME_REFUSED(FRAME_LEDGER, 1, false, memset(add_record(frame, 24, 0), 0, 24));
    FRAME_REFUSED(FRAME_LEDGER, 1, true, frame[8] = FRAME_ORDERS);
    /* Definitions are the log's records; nothing else of the log's is. */
    FRAME_REFUSED(FRAME_LEDGER, 1, false, {
        struct event event = small_held(200, 1);
        event.lines = &event.one;
        assert_int_equal(record_encode(&event, add_record(frame, 48, 1)), 48);
    });
    /* Units of nobody's, of no SKU; a second count of one buyer. */
    FRAME_REFUSED(FRAME_LEDGER, 1, false,
                  (void)buyer_record_encode(add_record(frame, 24, 1), 1, 0, 1));
    FRAME_REFUSED(FRAME_LEDGER, 1, false,
                  (void)buyer_record_encode(add_record(frame, 24, 1), 2, 9, 1));
    FRAME_REFUSED(FRAME_LEDGER, 1, false,
                  (void)buyer_record_encode(add_record(frame, 24, 1), 1, 9, 0));
    FRAME_REFUSED(FRAME_LEDGER, 1, false, {
        (void)buyer_record_encode(add_record(frame, 24, 1), 1, 9, 1);
        (void)buyer_record_encode(add_record(frame, 24, 1), 1, 9, 1);
    });
    /* Tickets: of no item, of too many units, not above the one before. */
    FRAME_REFUSED(FRAME_LEDGER, 1, false,
                  (void)ticket_record_encode(add_record(frame, 24, 1), 2, 1, 1));
    FRAME_REFUSED(FRAME_LEDGER, 1, false,
                  (void)ticket_record_encode(add_record(frame, 24, 1), 1, 1, QTY_MAX + 1));
    FRAME_REFUSED(FRAME_LEDGER, 1, false, {
        (void)ticket_record_encode(add_record(frame, 24, 1), 1, 2, 1);
        (void)ticket_record_encode(add_record(frame, 24, 1), 1, 2, 1);
    });
    /* Reserved bytes of a record that is fine otherwise. */
    for (unsigned at = 1; at <= 3; at++) {
        FRAME_REFUSED(FRAME_LEDGER, 1, false, {
            uint8_t *record = add_record(frame, 24, 1);
            (void)buyer_record_encode(record, 1, 9, 1);
            record[at] = 1;
        });
    }
    FRAME_REFUSED(FRAME_LEDGER, 1, false, {
        uint8_t *record = add_record(frame, 24, 1);
        (void)ticket_record_encode(record, 1, 1, 1);
        store_u32(record + 20, 1);
    });
    FRAME_REFUSED(FRAME_LEDGER, 1, true, store_u64(frame + 24, load_u64(frame + 24) + 1));
    /* Stock that was told before, an adjustment that was made before. */
    FRAME_REFUSED(FRAME_LEDGER, 1, false,
                  (void)stock_record_encode(add_record(frame, 32, 1), 1, 1, 0));
    FRAME_REFUSED(FRAME_LEDGER, 1, false, {
        const struct adjustment_made made = {.id = {2, 1}, .delta = 1, .stocked = 1, .item = 1};
        (void)adjustment_record_encode(add_record(frame, 56, 1), &made);
    });
    /* Marks that fall. */
    FRAME_REFUSED(FRAME_LEDGER, 1, false, {
        const struct wal_marks marks = {
            .count = 2, .marks = {{UINT64_MAX - 8, 2 * SMALL_MS}, {8, 3 * SMALL_MS}}};
        (void)mark_record_encode(add_record(frame, 24, 1), &marks, 0);
        (void)mark_record_encode(add_record(frame, 24, 1), &marks, 1);
    });
    FRAME_REFUSED(FRAME_LEDGER, 1, false, {
        const struct wal_marks marks = {
            .count = 2, .marks = {{UINT64_MAX - 16, 3 * SMALL_MS}, {UINT64_MAX - 8, 2 * SMALL_MS}}};
        (void)mark_record_encode(add_record(frame, 24, 1), &marks, 0);
        (void)mark_record_encode(add_record(frame, 24, 1), &marks, 1);
    });
}

/* A buyer, a deadline, a quantity: each could as well be another. Only the checksum tells. */
static void byte_of_a_frame_that_changed_is_refused(void **state)
{
    (void)state;
    struct small_log log;
    struct checkpoint_info info;
    make_checkpoint(&log);
    static const struct {
        enum frame_kind kind;
        unsigned at; /* in the payload */
    } cases[] = {{FRAME_ORDERS, 24}, {FRAME_ORDERS, 40}, {FRAME_ORDERS, 52}, {FRAME_LEDGER, 16}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *frame = find_frame(log.storage, cases[i].kind, 1);
        frame[FRAME_HEADER_BYTES + cases[i].at] ^= 2;
        assert_int_equal(checkpoint_verify(log.storage, NUMBER, &info, NULL, NULL), HF_DAMAGED);
        assert_non_null(strstr(info.message, "checksum"));
        assert_int_equal(load(log.storage, 1), HF_DAMAGED);
        frame[FRAME_HEADER_BYTES + cases[i].at] ^= 2;
    }
    assert_int_equal(load(log.storage, 1), HF_OK);
    small_log_free(&log);
}

/* What is not a checksum's is zero. */
static void bytes_behind_header_and_frames_are_zero(void **state)
{
    (void)state;
    struct small_log log;
    struct checkpoint_info info;
    uint64_t size;
    make_checkpoint(&log);
    uint8_t *data = checkpoint_data(log.storage, &size);
    const uint8_t *frame = find_frame(log.storage, FRAME_ORDERS, 1);
    const uint64_t places[] = {WAL_PAGE_BYTES - 1, (uint64_t)(frame - data) + WAL_PAGE_BYTES - 1,
                               size - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        data[places[i]] = 1;
        assert_int_equal(checkpoint_verify(log.storage, NUMBER, &info, NULL, NULL), HF_DAMAGED);
        assert_int_equal(load(log.storage, 1), HF_DAMAGED);
        data[places[i]] = 0;
    }
    assert_int_equal(load(log.storage, 1), HF_OK);
    small_log_free(&log);
}

static void checkpoint_under_another_name_is_refused(void **state)
{
    (void)state;
    struct small_log log;
    struct checkpoint_info info;
    char names[2][STORAGE_NAME_BYTES_MAX];
    make_checkpoint(&log);
    checkpoint_name(names[0], NUMBER);
    checkpoint_name(names[1], NUMBER - 1);
    assert_int_equal(log.storage->ops->rename(log.storage, names[0], names[1]), HF_OK);
    assert_int_equal(checkpoint_read_info(log.storage, NUMBER - 1, &info), HF_DAMAGED);
    assert_int_equal(checkpoint_verify(log.storage, NUMBER - 1, &info, NULL, NULL), HF_DAMAGED);
    assert_non_null(strstr(info.message, "another number"));
    small_log_free(&log);
}

/* ---- Layout: docs/checkpoint-format.md ---- */

static void record_of_a_plain_order_has_the_documented_layout(void **state)
{
    (void)state;
    struct order_line_view line = {.item = 258, .qty = 3};
    const struct order_image image = {.id = {0x0011223344556677ull, 0x8899AABBCCDDEEFFull},
                                      .buyer = 9,
                                      .lsn = 4800,
                                      .deadline_ms = SMALL_MS,
                                      .extended_ms = 77,
                                      .state = ORDER_EXPIRED,
                                      .counted = true,
                                      .line_count = 1,
                                      .lines = &line};
    uint8_t bytes[64];
    memset(bytes, 0xEE, sizeof bytes);
    assert_int_equal(order_record_encode(bytes, &image), 64);
    assert_int_equal(bytes[0], 40);
    assert_int_equal(bytes[1], 1); /* counted */
    assert_int_equal(bytes[2], 4); /* expired */
    assert_int_equal(bytes[3], 0);
    assert_int_equal(load_u32(bytes + 4), 64);
    assert_int_equal(bytes[8], 0x00);
    assert_int_equal(bytes[23], 0xFF);
    assert_int_equal(load_u64(bytes + 24), 9);
    assert_int_equal(load_u64(bytes + 32), 4800);
    assert_int_equal(load_u64(bytes + 40), SMALL_MS);
    assert_int_equal(load_u32(bytes + 48), 258);
    assert_int_equal(load_u32(bytes + 52), 3);
    assert_int_equal(load_u32(bytes + 56), 77);
    assert_int_equal(load_u32(bytes + 60), 0);
    struct order_image read;
    struct order_line_view found;
    assert_true(order_record_decode(bytes, 64, &read, &found));
    assert_true(id_equal(read.id, image.id));
    assert_int_equal(read.buyer, 9);
    assert_int_equal(read.lsn, 4800);
    assert_int_equal(read.deadline_ms, SMALL_MS);
    assert_int_equal(read.extended_ms, 77);
    assert_int_equal(read.state, ORDER_EXPIRED);
    assert_true(read.counted && !read.block && !read.shaped);
    assert_int_equal(found.item, 258);
    assert_int_equal(found.qty, 3);
}

static void record_of_an_order_of_grants_has_the_documented_layout(void **state)
{
    (void)state;
    struct order_line_view lines[2] = {{.item = 258,
                                        .qty = 9,
                                        .released = 1,
                                        .committed = 7,
                                        .returned = 2,
                                        .presale_qty = 4,
                                        .ticket = 5,
                                        .line = 1,
                                        .counted = true},
                                       {.item = 259, .qty = 8, .line = 3}};
    const struct order_image image = {.id = {0x0011223344556677ull, 0x8899AABBCCDDEEFFull},
                                      .buyer = 9,
                                      .lsn = 4800,
                                      .deadline_ms = SMALL_MS,
                                      .contents = 0x1122334455660003ull,
                                      .extended_ms = 77,
                                      .state = ORDER_COMMITTED,
                                      .shaped = true,
                                      .block = true,
                                      .line_count = 2,
                                      .lines = lines};
    uint8_t bytes[136];
    memset(bytes, 0xEE, sizeof bytes);
    assert_int_equal(order_record_encode(bytes, &image), 136);
    assert_int_equal(bytes[0], 41);
    assert_int_equal(bytes[1], 2); /* of grants */
    assert_int_equal(bytes[2], 2); /* committed */
    assert_int_equal(load_u32(bytes + 4), 136);
    assert_int_equal(bytes[8], 0x00);
    assert_int_equal(load_u64(bytes + 24), 9);
    assert_int_equal(load_u64(bytes + 32), 4800);
    assert_int_equal(load_u64(bytes + 40), SMALL_MS);
    assert_int_equal(load_u64(bytes + 48), 0x1122334455660003ull);
    assert_int_equal(load_u32(bytes + 56), 77);
    assert_int_equal(load_u32(bytes + 60), 2);
    assert_int_equal(load_u64(bytes + 64), 0);
    const uint32_t first[7] = {258, 9, 1, 7, 2, 4, 5};
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(load_u32(bytes + 72 + 4 * i), first[i]);
    }
    assert_int_equal(load_u16(bytes + 100), 1);
    assert_int_equal(bytes[102], 1); /* counted */
    assert_int_equal(bytes[103], 0);
    assert_int_equal(load_u32(bytes + 104), 259);
    assert_int_equal(load_u16(bytes + 132), 3);
    assert_int_equal(bytes[134], 0);
    struct order_image read;
    struct order_line_view found[2];
    assert_true(order_record_decode(bytes, 136, &read, found));
    assert_int_equal(read.lsn, 4800);
    assert_int_equal(read.extended_ms, 77);
    assert_int_equal(read.contents, image.contents);
    assert_true(read.shaped && read.block && !read.counted);
    assert_int_equal(found[0].released, 1);
    assert_int_equal(found[0].committed, 7);
    assert_int_equal(found[0].returned, 2);
    assert_int_equal(found[0].presale_qty, 4);
    assert_int_equal(found[0].ticket, 5);
    assert_int_equal(found[0].line, 1);
    assert_true(found[0].counted);
    assert_int_equal(found[1].item, 259);
    assert_false(found[1].counted);
}

/* ---- Versions ---- */

#define CHECKSUM_AT 288u /* docs/checkpoint-format.md */

/* Makes a header one of another version, with a checksum that fits. */
static void set_version(uint8_t *page, uint32_t version)
{
    store_u32(page + 8, version);
    store_u64(page + CHECKSUM_AT, hash_bytes(page, CHECKSUM_AT));
    if (version == 1) { /* which ends here */
        memset(page + CHECKSUM_AT + 8, 0, WAL_PAGE_BYTES - CHECKSUM_AT - 8);
    } else {
        store_u64(page + CHECKSUM_AT + 16, hash_bytes(page, CHECKSUM_AT + 16));
    }
}

static void header_of_another_version_is_refused(void **state)
{
    (void)state;
    for (uint32_t version = 0; version <= 3; version++) {
        struct small_log log;
        uint64_t size;
        make_checkpoint(&log);
        set_version(checkpoint_data(log.storage, &size), version);
        assert_int_equal(load(log.storage, 1), version == 1 || version == 2 ? HF_OK : HF_DAMAGED);
        small_log_free(&log);
    }
}

/* Version 2 has a second checksum, over the first as well; version 1 has just that. */
static void every_bit_of_a_header_of_either_version_counts(void **state)
{
    (void)state;
    for (uint32_t version = 1; version <= 2; version++) {
        struct small_log log;
        struct checkpoint_header header;
        const char *why;
        uint64_t size;
        make_checkpoint(&log);
        uint8_t *page = checkpoint_data(log.storage, &size);
        set_version(page, version);
        for (uint32_t bit = 0; bit < 8 * (CHECKSUM_AT + 32); bit++) {
            page[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (checkpoint_header_decode(&header, page, &why)) {
                fail_msg("version %u: bit %u does not count", version, bit);
            }
            page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        small_log_free(&log);
    }
}

/* Marks of version 1 are of a clock that may have been wrong: they are not used. */
static void marks_of_version_1_are_not_used(void **state)
{
    (void)state;
    for (uint32_t version = 1; version <= 2; version++) {
        struct small_log log;
        struct inventory *inventory;
        struct checkpoint_info info;
        struct inventory_options sizes;
        uint64_t size;
        small_timed = true;
        make_checkpoint(&log);
        small_timed = false;
        set_version(checkpoint_data(log.storage, &size), version);
        assert_int_equal(history_replay_sizes(log.storage, &sizes), HF_OK);
        assert_int_equal(inventory_init(&inventory, &sizes), HF_OK);
        assert_int_equal(checkpoint_load(log.storage, NUMBER, inventory, 1, &info, NULL, NULL),
                         HF_OK);
        assert_int_equal(info.marks.count > 0, version == 2);
        assert_int_equal(info.engine_ms > 0, version == 2);
        inventory_deinit(inventory);
        small_log_free(&log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoint_as_it_was_made_is_loaded),
        cmocka_unit_test(header_that_tells_of_other_frames_is_refused),
        cmocka_unit_test(order_in_another_part_is_refused),
        cmocka_unit_test(frame_of_orders_that_does_not_fit_is_refused),
        cmocka_unit_test(record_of_an_order_that_can_not_be_is_refused),
        cmocka_unit_test(record_of_the_ledger_that_can_not_be_is_refused),
        cmocka_unit_test(checkpoint_under_another_name_is_refused),
        cmocka_unit_test(record_of_a_plain_order_has_the_documented_layout),
        cmocka_unit_test(record_of_an_order_of_grants_has_the_documented_layout),
        cmocka_unit_test(header_of_another_version_is_refused),
        cmocka_unit_test(every_bit_of_a_header_of_either_version_counts),
        cmocka_unit_test(marks_of_version_1_are_not_used),
        cmocka_unit_test(byte_of_a_frame_that_changed_is_refused),
        cmocka_unit_test(bytes_behind_header_and_frames_are_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
