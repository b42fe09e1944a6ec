/* format_test.c - headers against the byte tables of docs/wal-format.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "wal/format.h"
#include "wal/record.h"

static const struct segment_header segment = {
    .cluster = {0x0011223344556677ull, 0x8899AABBCCDDEEFFull},
    .number = 3,
    .first_lsn = 0x1122334455667788ull,
    .first_index = 77,
    .previous_hash = 0xFEDCBA9876543210ull,
    .durable_index = 76,
    .created_ms = 1794355200000ull,
    .segment_bytes = MIB(64),
    .recycled = true,
};

static const struct block_header block = {
    .type = BLOCK_DATA,
    .cluster = {0x0011223344556677ull, 0x8899AABBCCDDEEFFull},
    .term = 5,
    .index = 77,
    .previous_hash = 0xFEDCBA9876543210ull,
    .durable_index = 76,
    .first_lsn = 4800,
    .record_count = 2,
    .payload_bytes = 96,
    .wall_ms = 1794355200001ull,
    .engine_ms = 0x01A1C6300B0Cull,
    .boot_ms = 0x1122334455ull,
    .boot = 0x66778899AAull,
    .payload_hash = 0xA5A5A5A5A5A5A5A5ull,
    .segment = 3,
};

static void segment_header_has_the_documented_layout(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    memset(bytes, 0xEE, sizeof bytes);
    segment_header_encode(&segment, bytes);
    assert_memory_equal(bytes, "HFWALSEG", 8);
    assert_int_equal(load_u32(bytes + 8), 3);
    assert_int_equal(load_u32(bytes + 12), 1); /* recycled */
    const uint8_t cluster[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};
    assert_memory_equal(bytes + 16, cluster, 16);
    assert_int_equal(load_u64(bytes + 32), 3);
    assert_int_equal(load_u64(bytes + 40), 0x1122334455667788ull);
    assert_int_equal(load_u64(bytes + 48), 77);
    assert_int_equal(load_u64(bytes + 56), 0xFEDCBA9876543210ull);
    assert_int_equal(load_u64(bytes + 64), 76);
    assert_int_equal(load_u64(bytes + 72), 1794355200000ull);
    assert_int_equal(load_u64(bytes + 80), 64 * 1024 * 1024);
    assert_int_equal(load_u64(bytes + 88), hash_bytes(bytes, 88));
}

static void block_header_has_the_documented_layout(void **state)
{
    (void)state;
    uint8_t bytes[BLOCK_HEADER_BYTES];
    memset(bytes, 0xEE, sizeof bytes);
    block_header_encode(&block, bytes);
    assert_memory_equal(bytes, "HFWALBLK", 8);
    assert_int_equal(load_u32(bytes + 8), 3);
    assert_int_equal(load_u16(bytes + 12), 1);
    assert_int_equal(load_u16(bytes + 14), 0);
    assert_int_equal(bytes[16], 0x00);
    assert_int_equal(bytes[31], 0xFF);
    assert_int_equal(load_u64(bytes + 32), 3);
    assert_int_equal(load_u64(bytes + 40), 5);
    assert_int_equal(load_u64(bytes + 48), 77);
    assert_int_equal(load_u64(bytes + 56), 0xFEDCBA9876543210ull);
    assert_int_equal(load_u64(bytes + 64), 76);
    assert_int_equal(load_u64(bytes + 72), 4800);
    assert_int_equal(load_u64(bytes + 80), 1794355200001ull);
    assert_int_equal(load_u32(bytes + 88), 2);
    assert_int_equal(load_u32(bytes + 92), 96);
    assert_int_equal(load_u64(bytes + 96), 0xA5A5A5A5A5A5A5A5ull);
    const uint8_t times[16] = {0x0C, 0x0B, 0x30, 0xC6, 0xA1, 0x01, 0x55, 0x44,
                               0x33, 0x22, 0x11, 0xAA, 0x99, 0x88, 0x77, 0x66};
    assert_memory_equal(bytes + 104, times, sizeof times);
    assert_int_equal(load_u64(bytes + 120), hash_bytes(bytes, 120));
    assert_int_equal(block_chain(bytes), hash_bytes(bytes, 128));
}

static void headers_come_back_as_they_were(void **state)
{
    (void)state;
    const char *reason;
    uint8_t bytes[BLOCK_HEADER_BYTES];
    struct segment_header segment_back;
    memset(&segment_back, 0, sizeof segment_back);
    segment_header_encode(&segment, bytes);
    assert_true(segment_header_decode(&segment_back, bytes, &reason));
    assert_memory_equal(&segment_back, &segment, sizeof segment);
    struct block_header back;
    memset(&back, 0, sizeof back);
    block_header_encode(&block, bytes);
    assert_true(block_header_decode(&back, bytes, &reason));
    assert_null(reason);
    assert_int_equal(back.type, block.type);
    assert_true(id_equal(back.cluster, block.cluster));
    assert_int_equal(back.term, block.term);
    assert_int_equal(back.index, block.index);
    assert_int_equal(back.previous_hash, block.previous_hash);
    assert_int_equal(back.durable_index, block.durable_index);
    assert_int_equal(back.first_lsn, block.first_lsn);
    assert_int_equal(back.record_count, block.record_count);
    assert_int_equal(back.payload_bytes, block.payload_bytes);
    assert_int_equal(back.version, 3);
    assert_int_equal(back.wall_ms, block.wall_ms);
    assert_int_equal(back.engine_ms, block.engine_ms);
    assert_int_equal(back.boot_ms, block.boot_ms);
    assert_int_equal(back.boot, block.boot);
    assert_int_equal(back.payload_hash, block.payload_hash);
    assert_int_equal(back.segment, block.segment);
}

static void every_bit_flip_of_a_header_is_found(void **state)
{
    (void)state;
    const char *reason;
    uint8_t bytes[BLOCK_HEADER_BYTES];
    struct segment_header segment_back;
    struct block_header back;
    segment_header_encode(&segment, bytes);
    for (unsigned bit = 0; bit < 8 * SEGMENT_HEADER_BYTES; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(segment_header_decode(&segment_back, bytes, &reason));
        assert_non_null(reason);
        assert_false(segment_header_intact(bytes));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    block_header_encode(&block, bytes);
    for (unsigned bit = 0; bit < 8 * BLOCK_HEADER_BYTES; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(block_header_decode(&back, bytes, &reason));
        assert_non_null(reason);
        assert_false(block_header_intact(bytes));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* A block of version 1 or 2: it has wall time alone, and deadlines are in that. Encoded again it is
 * the same, which the chain of hashes needs. */
static void a_block_without_engine_time_has_wall_time(void **state)
{
    (void)state;
    const char *reason;
    uint8_t bytes[BLOCK_HEADER_BYTES];
    uint8_t again[BLOCK_HEADER_BYTES];
    struct block_header old = block;
    struct block_header back;
    for (uint32_t version = 1; version <= 3; version++) {
        old.engine_ms = old.boot_ms = old.boot = 0;
        block_header_encode(&old, bytes);
        store_u32(bytes + 8, version);
        store_u64(bytes + 120, hash_bytes(bytes, 120));
        assert_true(block_header_decode(&back, bytes, &reason));
        assert_int_equal(back.engine_ms, 0);
        assert_int_equal(block_engine_ms(&back), block.wall_ms);
        assert_int_equal(block_ahead_ms(&back), 0);
        block_header_encode(&back, again);
        assert_memory_equal(again, bytes, sizeof bytes);
    }
    assert_int_equal(block_engine_ms(&block), block.engine_ms);
    assert_int_equal(block_ahead_ms(&block), (int64_t)(block.wall_ms - block.engine_ms));
}

/* Changes bytes of a header and gives it the right checksum again. */
static void forge(uint8_t *bytes, unsigned at, uint32_t value, unsigned width)
{
    block_header_encode(&block, bytes);
    memcpy(bytes + at, &value, width);
    store_u64(bytes + 120, hash_bytes(bytes, 120));
}

static void an_intact_header_of_another_version_is_refused(void **state)
{
    (void)state;
    const struct {
        unsigned at;
        uint32_t value;
        unsigned width;
    } cases[] = {
        {8, 4, 4}, /* version */
        {8, 2, 4}, /* which has no engine time */
        {8, 0, 4},
        {12, 0, 2}, /* types */
        {12, 3, 2},
        {12, 6, 2},
        {12, 9, 2},
        {14, 1, 2},  /* reserved */
        {92, 97, 4}, /* payload: not a multiple of 8, too large, less than its records */
        {92, (uint32_t)WAL_GROUP_BYTES_MAX + 8, 4},
        {92, 8, 4},
        {88, 0, 4},
    };
    uint8_t bytes[BLOCK_HEADER_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct block_header back;
        const char *reason;
        forge(bytes, cases[i].at, cases[i].value, cases[i].width);
        assert_true(block_header_intact(bytes));
        assert_false(block_header_decode(&back, bytes, &reason));
        assert_non_null(reason);
    }
    /* No engine time, but a boot. */
    struct block_header back;
    const char *reason;
    block_header_encode(&block, bytes);
    memset(bytes + 104, 0, 6);
    store_u64(bytes + 120, hash_bytes(bytes, 120));
    assert_false(block_header_decode(&back, bytes, &reason));
}

static void headers_of_older_versions_are_read(void **state)
{
    (void)state;
    for (uint32_t version = 0; version <= 4; version++) {
        bool known = version >= 1 && version <= 3;
        const char *reason;
        uint8_t bytes[BLOCK_HEADER_BYTES];
        struct block_header back;
        struct block_header old = block;
        old.engine_ms = 0;
        block_header_encode(&old, bytes);
        store_u32(bytes + 8, version);
        store_u64(bytes + 120, hash_bytes(bytes, 120));
        assert_int_equal(block_header_decode(&back, bytes, &reason), known);
        struct segment_header segment_back;
        segment_header_encode(&segment, bytes);
        store_u32(bytes + 8, version);
        store_u64(bytes + 88, hash_bytes(bytes, 88));
        assert_true(segment_header_intact(bytes));
        assert_int_equal(segment_header_decode(&segment_back, bytes, &reason), known);
        assert_int_equal(reason == NULL, known);
    }
}

/* The example in docs/wal-format.md, read from the document itself. */
static void documented_example_is_a_valid_block(void **state)
{
    (void)state;
    FILE *document = fopen(HOLDFAST_SOURCE_DIR "/docs/wal-format.md", "r");
    assert_non_null(document);
    _Alignas(8) uint8_t bytes[176];
    size_t count = 0;
    char line[512];
    while (fgets(line, sizeof line, document)) {
        unsigned at;
        unsigned b[16];
        if (sscanf(line, "    %4x %x %x %x %x %x %x %x %x %x %x %x %x %x %x %x %x", &at, &b[0],
                   &b[1], &b[2], &b[3], &b[4], &b[5], &b[6], &b[7], &b[8], &b[9], &b[10], &b[11],
                   &b[12], &b[13], &b[14], &b[15]) == 17 &&
            at == count && count < sizeof bytes) {
            for (int i = 0; i < 16; i++) {
                bytes[count++] = (uint8_t)b[i];
            }
        }
    }
    fclose(document);
    assert_int_equal(count, sizeof bytes);
    struct block_header header;
    const char *reason;
    assert_true(block_header_decode(&header, bytes, &reason));
    assert_int_equal(header.index, 2);
    assert_int_equal(header.payload_bytes, 48);
    assert_int_equal(header.payload_hash, hash_bytes(bytes + 128, 48));
    struct event event;
    struct record_scratch scratch;
    size_t used;
    assert_int_equal(record_decode(bytes + 128, 48, &event, &scratch, &used, &reason), HF_OK);
    assert_int_equal(event.type, EVENT_ORDER_HELD);
    assert_int_equal(event.lines[0].item, 258);
    assert_int_equal(event.lines[0].qty, 3);
    assert_int_equal(event.buyer, 77);
    assert_int_equal(event.deadline_ms, header.engine_ms + 900000);
}

static void block_span_is_whole_pages(void **state)
{
    (void)state;
    assert_int_equal(block_span_bytes(0), 4096);
    assert_int_equal(block_span_bytes(4096 - 128), 4096);
    assert_int_equal(block_span_bytes(4096 - 127), 8192);
    assert_int_equal(block_span_bytes(1024 * 1024), 1024 * 1024 + 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segment_header_has_the_documented_layout),
        cmocka_unit_test(block_header_has_the_documented_layout),
        cmocka_unit_test(headers_come_back_as_they_were),
        cmocka_unit_test(a_block_without_engine_time_has_wall_time),
        cmocka_unit_test(every_bit_flip_of_a_header_is_found),
        cmocka_unit_test(an_intact_header_of_another_version_is_refused),
        cmocka_unit_test(headers_of_older_versions_are_read),
        cmocka_unit_test(documented_example_is_a_valid_block),
        cmocka_unit_test(block_span_is_whole_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
