/* checkpoint_test.c - a checkpoint's bytes: docs/checkpoint-format.md by example, what is refused,
 * and building from segments that can't be built from. States that checkpoints hold are compared
 * with replays in tests/unit/server/checkpoint_test.c.
 *
 * Threads: one. */
#include "unit/wal/wal_rig.h"

#include "checkpoint/build.h"
#include "checkpoint/file.h"
#include "checkpoint/info.h"
#include "core/image.h"

static void header_has_its_fields_where_the_document_says(void **state)
{
    (void)state;
    struct checkpoint_header header = {
        .info = {.number = 7,
                 .start = {.cluster = {0x0011223344556677ull, 0x8899AABBCCDDEEFFull},
                           .segment = 8,
                           .lsn = 1000,
                           .next_index = 20,
                           .previous_hash = 30,
                           .term = 40},
                 .wall_ms = 50,
                 .engine_ms = 51,
                 .digest = 60,
                 .file_bytes = 5 * WAL_PAGE_BYTES,
                 .skus = 70,
                 .items = 80,
                 .orders = 90,
                 .orders_held = 89},
        .ledger_offset = 3 * WAL_PAGE_BYTES,
        .frames = 3,
        .frames_hash = 100,
    };
    for (unsigned i = 0; i < CHECKPOINT_SEEKS; i++) {
        header.seek_offset[i] = (i < 8 ? 1 : 2) * (uint64_t)WAL_PAGE_BYTES;
    }
    uint8_t page[WAL_PAGE_BYTES];
    checkpoint_header_encode(&header, page);
    assert_memory_equal(page, "HFCHKPT1\2\0\0\0\0\0\0\0\0\x11\x22\x33", 20);
    const uint64_t fields[] = {7,
                               8,
                               1000,
                               20,
                               30,
                               40,
                               50,
                               60,
                               5 * WAL_PAGE_BYTES,
                               70,
                               80,
                               90,
                               89,
                               3 * WAL_PAGE_BYTES,
                               3,
                               100,
                               WAL_PAGE_BYTES};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        assert_true(load_u64(page + 32 + 8 * i) == fields[i]);
    }
    assert_true(load_u64(page + 288) == hash_bytes(page, 288));
    assert_true(load_u64(page + 296) == 51);
    assert_true(load_u64(page + 304) == hash_bytes(page, 304));
    struct checkpoint_header read;
    const char *reason;
    assert_true(checkpoint_header_decode(&read, page, &reason));
    uint8_t again[WAL_PAGE_BYTES];
    checkpoint_header_encode(&read, again);
    assert_memory_equal(page, again, sizeof page);
    /* Version 1 ends with its first checksum. */
    page[8] = 1;
    memset(page + 296, 0, 16);
    store_u64(page + 288, hash_bytes(page, 288));
    assert_true(checkpoint_header_decode(&read, page, &reason));
    assert_int_equal(read.version, 1);
    assert_int_equal(read.info.engine_ms, 0);
    assert_int_equal(read.info.orders_held, 89);
}

/* Each bit of the page matters. */
static void header_is_refused_when_any_bit_is_changed(void **state)
{
    (void)state;
    struct checkpoint_header header = {
        .info = {.number = 1, .start = {.segment = 2, .next_index = 1}, .file_bytes = 8192},
        .ledger_offset = WAL_PAGE_BYTES,
    };
    for (unsigned i = 0; i < CHECKPOINT_SEEKS; i++) {
        header.seek_offset[i] = WAL_PAGE_BYTES;
    }
    uint8_t page[WAL_PAGE_BYTES];
    checkpoint_header_encode(&header, page);
    struct checkpoint_header read;
    const char *reason;
    assert_true(checkpoint_header_decode(&read, page, &reason));
    for (uint32_t bit = 0; bit < 8 * WAL_PAGE_BYTES; bit++) {
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(checkpoint_header_decode(&read, page, &reason));
        assert_non_null(reason);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* Whole, but it can't be. */
    const struct {
        size_t at;
        uint64_t value;
    } cases[] = {{32, 0},     {40, 3},     {56, 0},     {96, 4096},  {96, 8193}, {128, 1},
                 {136, 8192}, {136, 4095}, {160, 8192}, {168, 8192}, {168, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        checkpoint_header_encode(&header, page);
        store_u64(page + cases[i].at, cases[i].value);
        store_u64(page + 288, hash_bytes(page, 288));
        store_u64(page + 304, hash_bytes(page, 304));
        if (checkpoint_header_decode(&read, page, &reason)) {
            fail_msg("case %zu is taken", i);
        }
    }
}

static void order_records_come_back_as_they_were(void **state)
{
    (void)state;
    static uint8_t record[ORDER_RECORD_BYTES_MAX];
    static uint8_t again[ORDER_RECORD_BYTES_MAX];
    static struct order_line_view lines[ORDER_LINES_MAX];
    static struct order_line_view found[ORDER_LINES_MAX];
    struct rng rng;
    rng_init(&rng, 1);
    const uint32_t counts[] = {1, 2, 3, ORDER_LINES_MAX};
    for (unsigned i = 0; i < 400; i++) {
        bool block = i % 2;
        struct order_image image = {
            .id = {rng_next(&rng), rng_next(&rng)},
            .buyer = rng_next(&rng),
            .lsn = rng_next(&rng),
            .deadline_ms = rng_next(&rng),
            .contents = block && i % 4 == 1 ? rng_next(&rng) : 0,
            .extended_ms = (uint32_t)rng_next(&rng),
            .state = (enum order_state)rng_between(&rng, ORDER_HELD, ORDER_RETURNED),
            .shaped = block && i % 4 == 1,
            .block = block,
            .counted = !block && i % 3 == 0,
            .line_count = block ? counts[i / 2 % 4] : 1,
            .lines = lines,
        };
        for (uint32_t line = 0; line < image.line_count; line++) {
            lines[line] = (struct order_line_view){.item = (uint32_t)rng_next(&rng),
                                                   .qty = (uint32_t)rng_next(&rng)};
            if (block) {
                lines[line].released = (uint32_t)rng_next(&rng);
                lines[line].committed = (uint32_t)rng_next(&rng);
                lines[line].returned = (uint32_t)rng_next(&rng);
                lines[line].presale_qty = (uint32_t)rng_next(&rng);
                lines[line].ticket = (uint32_t)rng_next(&rng);
                lines[line].line = (uint16_t)rng_next(&rng);
                lines[line].counted = rng_chance(&rng, 2);
            }
        }
        uint32_t bytes = order_record_encode(record, &image);
        assert_int_equal(bytes, block ? 72 + 32 * image.line_count : 64);
        assert_int_equal(bytes, order_record_bytes(&image));
        assert_true(id_equal(order_record_id(record), image.id));
        struct order_image read;
        assert_true(order_record_decode(record, bytes, &read, found));
        assert_int_equal(order_record_encode(again, &read), bytes);
        assert_memory_equal(record, again, bytes);
        assert_false(order_record_decode(record, bytes - 8, &read, found));
        record[2] = ORDER_RETURNED + 1;
        assert_false(order_record_decode(record, bytes, &read, found));
    }
}

/* ---- Building ---- */

static const struct inventory_options sizes = {
    .items_max = 4, .orders_max = 16, .hold_ms_default = 1000, .hold_ms_max = 1000};

static enum hf_status build(struct storage *storage, uint64_t base, uint64_t upto,
                            bool (*pace)(void *context, uint64_t done, uint64_t total),
                            struct checkpoint_info *info)
{
    const struct checkpoint_build_options options = {.storage = storage,
                                                     .base = base,
                                                     .upto = upto,
                                                     .memory_bytes = MIB(1),
                                                     .inventory = sizes,
                                                     .pace = pace};
    return checkpoint_build(&options, info);
}

static struct id128 id_of_serial(uint64_t serial)
{
    return (struct id128){hash_u64(serial), serial};
}

/* A log of two sealed segments: a record, then orders of item 1. */
static void make_log_after(struct storage *storage, const uint8_t *first, uint32_t first_bytes,
                           struct id128 (*id_of)(uint64_t serial))
{
    struct rig_clock clock;
    rig_clock_init(&clock);
    const struct wal_options options = {
        .segment_bytes = WAL_SEGMENT_BYTES_MIN, .spare_segments = 1, .in_flight_max = 1};
    struct wal *wal;
    const struct wal_end empty = {.empty = true, .next_index = 1};
    struct timekeeper *time = rig_time(&clock.clock, &empty);
    assert_int_equal(wal_open(&wal, &options, storage, time, &empty, 0), HF_OK);
    static uint8_t records[KIB(256)];
    uint64_t lsn;
    if (first_bytes > 0) {
        assert_int_equal(wal_append(wal, first, first_bytes, 1, 0, &lsn), HF_OK);
    }
    for (uint64_t serial = 0; wal_sealed_segment(wal) < 2;) {
        uint32_t len = 0;
        uint32_t count = 0;
        for (; len + 48 <= sizeof records; count++, serial++) {
            struct event event = {.type = EVENT_ORDER_HELD,
                                  .id = id_of(serial),
                                  .deadline_ms = RIG_DEADLINE_MS,
                                  .line_count = 1,
                                  .one = {1, 1}};
            event.lines = &event.one;
            len += record_encode(&event, records + len);
        }
        assert_int_equal(wal_append(wal, records, len, count, 0, &lsn), HF_OK);
        while (wal_step(wal, true) && wal_commit_lsn(wal) < wal_tail_lsn(wal)) {
        }
    }
    wal_stop(wal);
    wal_close(wal);
}

static uint32_t encode_item(uint8_t *to)
{
    const struct item_def def = {.item = 1, .sku = bytes_of("phone"), .pool = bytes_of("default")};
    struct event item = {.type = EVENT_ITEM_DEFINED, .item = &def};
    return record_encode(&item, to);
}

static void make_log(struct storage *storage)
{
    uint8_t item[256];
    make_log_after(storage, item, encode_item(item), id_of_serial);
}

static unsigned paces;

static bool stop_later(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    assert_true(total > 0);
    (void)done;
    return --paces > 0;
}

static void build_stops_when_told_and_leaves_nothing(void **state)
{
    (void)state;
    struct storage *storage = sim_storage_make(1);
    make_log(storage);
    uint64_t used = sim_storage_used(storage);
    struct checkpoint_info info;
    const unsigned when[] = {1, 2, 50, 100, 150};
    for (size_t i = 0; i < sizeof when / sizeof when[0]; i++) {
        paces = when[i];
        assert_int_equal(build(storage, 0, 2, stop_later, &info), HF_CANCELED);
        assert_int_equal(sim_storage_used(storage), used);
    }
    assert_int_equal(build(storage, 0, 2, NULL, &info), HF_OK);
    assert_true(info.orders > 100000 && info.orders == info.orders_held);
    assert_int_equal(info.start.segment, 3);
    struct checkpoint_info read;
    assert_int_equal(checkpoint_read_info(storage, 2, &read), HF_OK);
    assert_int_equal(read.orders, info.orders);
    assert_int_equal(checkpoint_read_info(storage, 1, &read), HF_NOT_FOUND);
    storage_destroy(storage);
}

static void build_is_refused_where_the_log_does_not_lead_to_a_state(void **state)
{
    (void)state;
    struct checkpoint_info info;
    struct storage *storage = sim_storage_make(1);
    make_log_after(storage, NULL, 0, id_of_serial); /* orders of an item that there is not */
    assert_int_equal(build(storage, 0, 1, NULL, &info), HF_DAMAGED);
    assert_non_null(strstr(info.message, "does not fit the state"));
    storage_destroy(storage);

    storage = sim_storage_make(1);
    make_log(storage);
    assert_int_equal(build(storage, 0, 3, NULL, &info), HF_DAMAGED); /* it is not sealed */
    assert_true(info.message[0] != '\0');
    assert_int_equal(build(storage, 1, 2, NULL, &info), HF_NOT_FOUND); /* there is no base */
    char name[STORAGE_NAME_BYTES_MAX];
    wal_segment_name(name, 1);
    uint64_t size;
    uint8_t *data = sim_storage_data(storage, name, &size);
    data[size / 2] ^= 1;
    assert_int_equal(build(storage, 0, 2, NULL, &info), HF_DAMAGED);
    assert_non_null(strstr(info.message, name));
    assert_int_equal(storage->ops->unlink(storage, name), HF_OK);
    assert_int_equal(build(storage, 0, 2, NULL, &info), HF_DAMAGED);
    assert_non_null(strstr(info.message, "first segments are gone"));
    storage_destroy(storage);
}

static void build_refuses_a_record_that_is_too_long_for_an_order(void **state)
{
    (void)state;
    static uint8_t record[KIB(64)];
    record[0] = EVENT_ORDER_EXPIRED;
    store_u32(record + 4, sizeof record);
    struct storage *storage = sim_storage_make(1);
    make_log_after(storage, record, sizeof record, id_of_serial);
    struct checkpoint_info info;
    assert_int_equal(build(storage, 0, 1, NULL, &info), HF_DAMAGED);
    assert_non_null(strstr(info.message, "an impossible record"));
    storage_destroy(storage);
}

/* The order is copied, not decoded: nothing happened to it after the base. */
static void build_refuses_an_order_of_the_base_without_a_state(void **state)
{
    (void)state;
    struct storage *storage = sim_storage_make(1);
    make_log(storage);
    struct checkpoint_info info;
    assert_int_equal(build(storage, 0, 1, NULL, &info), HF_OK);
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, 1);
    uint64_t size;
    uint8_t *frame = sim_storage_data(storage, name, &size) + WAL_PAGE_BYTES;
    const uint8_t states[] = {ORDER_NONE, ORDER_RETURNED + 1};
    for (size_t i = 0; i < sizeof states; i++) {
        struct frame_header header;
        const char *reason;
        assert_true(frame_decode(&header, frame, &reason));
        frame[FRAME_HEADER_BYTES + 2] = states[i];
        frame_encode(&header, frame);
        assert_int_equal(build(storage, 1, 2, NULL, &info), HF_DAMAGED);
        assert_non_null(strstr(info.message, "an impossible record"));
    }
    storage_destroy(storage);
}

/* Every other id has the same hash: with this lower half the upper one does not matter to it. */
static struct id128 id_of_few_hashes(uint64_t serial)
{
    return (struct id128){hash_u64(serial),
                          serial % 2 == 0 ? 0xE7037ED1A0B428DBull ^ 1 : hash_u64(~serial)};
}

/* Checks that a file's orders are in the order of hash and id, each there once; how many. */
static uint64_t check_order_of_orders(struct storage *storage, uint64_t number, uint64_t *alike)
{
    struct frame_reader reader;
    assert_int_equal(frame_reader_open(&reader, storage, number), HF_OK);
    frame_reader_seek(&reader, WAL_PAGE_BYTES, reader.header.ledger_offset);
    struct frame_header frame;
    const uint8_t *payload;
    struct id128 before = {0, 0};
    uint64_t count = 0;
    *alike = 0;
    while (frame_reader_next(&reader, &frame, &payload) == HF_OK) {
        for (uint32_t at = 0; at < frame.payload_bytes; at += 64, count++) {
            struct id128 id = order_record_id(payload + at);
            uint64_t key = id_hash(id);
            uint64_t key_before = id_hash(before);
            assert_true(count == 0 || key > key_before ||
                        (key == key_before &&
                         (id.hi > before.hi || (id.hi == before.hi && id.lo > before.lo))));
            *alike += count > 0 && key == key_before;
            before = id;
        }
    }
    frame_reader_close(&reader);
    return count;
}

static void build_sorts_orders_of_one_hash_by_their_ids(void **state)
{
    (void)state;
    uint8_t item[256];
    struct storage *storage = sim_storage_make(1);
    make_log_after(storage, item, encode_item(item), id_of_few_hashes);
    struct storage *steps = sim_storage_copy(storage, 1);
    struct checkpoint_info info;
    assert_int_equal(build(storage, 0, 2, NULL, &info), HF_OK);
    uint64_t alike;
    assert_true(check_order_of_orders(storage, 2, &alike) == info.orders);
    assert_in_range(alike, info.orders / 2 - 1, info.orders / 2);
    assert_int_equal(build(steps, 0, 1, NULL, &info), HF_OK);
    assert_int_equal(build(steps, 1, 2, NULL, &info), HF_OK);
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, 2);
    uint64_t size;
    uint64_t size_in_steps;
    const uint8_t *once = sim_storage_data(storage, name, &size);
    const uint8_t *in_steps = sim_storage_data(steps, name, &size_in_steps);
    assert_true(size == size_in_steps && memcmp(once, in_steps, size) == 0);
    storage_destroy(storage);
    storage_destroy(steps);
}

static void list_takes_only_names_of_checkpoints(void **state)
{
    (void)state;
    static const char *const names[] = {"checkpoint-0000000000000002.ckp",
                                        "checkpoint-000000000000000a.ckp",
                                        "checkpoint-0000000000000000.ckp",
                                        "checkpoint-000000000000000A.ckp",
                                        "checkpoint-0000000000000003.ckp.tmp",
                                        "checkpoint-3.ckp",
                                        "wal-0000000000000001.seg",
                                        "checkpoint-.ckp"};
    struct storage *storage = sim_storage_make(1);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(storage->ops->create_zeroed(storage, names[i], WAL_PAGE_BYTES), HF_OK);
    }
    uint64_t *numbers;
    size_t count;
    assert_int_equal(checkpoint_list(storage, &numbers, &count), HF_OK);
    assert_int_equal(count, 2);
    assert_true(numbers[0] == 2 && numbers[1] == 10);
    free(numbers);
    struct checkpoint_info info;
    assert_int_equal(checkpoint_read_info(storage, 2, &info), HF_DAMAGED);
    assert_non_null(strstr(info.message, names[0]));
    storage_destroy(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_has_its_fields_where_the_document_says),
        cmocka_unit_test(header_is_refused_when_any_bit_is_changed),
        cmocka_unit_test(order_records_come_back_as_they_were),
        cmocka_unit_test(build_stops_when_told_and_leaves_nothing),
        cmocka_unit_test(build_is_refused_where_the_log_does_not_lead_to_a_state),
        cmocka_unit_test(build_refuses_a_record_that_is_too_long_for_an_order),
        cmocka_unit_test(build_refuses_an_order_of_the_base_without_a_state),
        cmocka_unit_test(build_sorts_orders_of_one_hash_by_their_ids),
        cmocka_unit_test(list_takes_only_names_of_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
