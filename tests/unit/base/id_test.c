/* id_test.c - the ids of texts and bytes. Hash values: libxxhash 0.8.1's own results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/id.h"

#define UUID "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"

struct id_case {
    const char *text;
    uint64_t hi;
    uint64_t lo;
};

static void check_id_cases(const struct id_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct id128 id = id_from_text(cases[i].text, strlen(cases[i].text));
        if (id.hi != cases[i].hi || id.lo != cases[i].lo) {
            fail_msg("\"%s\" gave %016llX %016llX", cases[i].text, (unsigned long long)id.hi,
                     (unsigned long long)id.lo);
        }
    }
}

static void id_from_text_takes_uuids_and_hex_for_themselves(void **state)
{
    (void)state;
    static const struct id_case cases[] = {
        {UUID, 0xF81D4FAE7DEC11D0, 0xA76500A0C91E6BF6},
        {"F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", 0xF81D4FAE7DEC11D0, 0xA76500A0C91E6BF6},
        {"f81d4fae7dec11d0a76500a0c91e6bf6", 0xF81D4FAE7DEC11D0, 0xA76500A0C91E6BF6},
        {"F81d4FAE7dec11d0A76500a0C91e6bF6", 0xF81D4FAE7DEC11D0, 0xA76500A0C91E6BF6},
        {"00000000000000000000000000000000", 0, 0},
        {"00000000-0000-0000-0000-000000000001", 0, 1},
        {"ffffffffffffffffffffffffffffffff", UINT64_MAX, UINT64_MAX},
        {"00112233445566778899aabbccddeeff", 0x0011223344556677, 0x8899AABBCCDDEEFF},
    };
    check_id_cases(cases, sizeof cases / sizeof *cases);
}

static void id_from_text_hashes_all_other_texts(void **state)
{
    (void)state;
    static const struct id_case cases[] = {
        {"", 0x99AA06D3014798D8, 0x6001C324468D497F},
        {"a", 0xA96FAF705AF16834, 0xE6C632B61E964E1F},
        {"order-1", 0x5A8A409613F90AD0, 0xAF63A0F835CA6746},
        {"ORDER-2024-11-11-000001", 0x73FA2107BDC11612, 0xE3848D0FFB961597},
        /* One character from being a UUID or hex. */
        {"f81d4fae-7dec-11d0-a765-00a0c91e6bf", 0xBD27440CF46A1341, 0x6C9DAF290A2DB037},
        {"f81d4fae-7dec-11d0-a765-00a0c91e6bf6x", 0xB67F75721784DC73, 0x8CEE92EA09AA1849},
        {"f81d4fae-7dec-11d0-a765-00a0c91e6bfg", 0x37BDAB6765A2F870, 0x33A4ED33FAF0C88B},
        {"f81d4fae+7dec-11d0-a765-00a0c91e6bf6", 0xB3392A427A2E98D3, 0xF979C3115FE14EA0},
        {"00112233445566778899aabbccddeef", 0x2823E502CBA405FD, 0x949D47500C5E4297},
        {"00112233445566778899aabbccddeeff0", 0xF1EA241A68430F69, 0xF3C04D56520AFFC9},
        {"00112233445566778899aabbccddeefg", 0x7E3E8E399B608B72, 0x753D24E3B7EA9F6F},
    };
    check_id_cases(cases, sizeof cases / sizeof *cases);
}

static void id_from_text_hashes_a_nul_as_any_byte(void **state)
{
    (void)state;
    struct id128 id = id_from_text("a\0b", 3);
    assert_true(id.hi == 0x39797789ED4C7EA0);
    assert_true(id.lo == 0xD5A06CD078125351);
    id = id_from_text(NULL, 0);
    assert_true(id.hi == 0x99AA06D3014798D8);
}

static void id_halves_are_its_bytes_big_endian(void **state)
{
    (void)state;
    const uint8_t bytes[ID_BYTES] = {0,   1,   2,   3,   4,   5,   6,   7,
                                     248, 249, 250, 251, 252, 253, 254, 255};
    struct id128 id = id_from_bytes(bytes);
    assert_true(id.hi == 0x0001020304050607);
    assert_true(id.lo == 0xF8F9FAFBFCFDFEFF);
    uint8_t back[ID_BYTES];
    id_to_bytes(id, back);
    assert_memory_equal(back, bytes, ID_BYTES);
}

static void id_to_text_writes_a_lower_case_uuid(void **state)
{
    (void)state;
    char text[ID_TEXT_BYTES];
    id_to_text((struct id128){0xF81D4FAE7DEC11D0, 0xA76500A0C91E6BF6}, text);
    assert_string_equal(text, UUID);
    id_to_text((struct id128){0, 1}, text);
    assert_string_equal(text, "00000000-0000-0000-0000-000000000001");
}

static void id_equal_looks_at_both_halves(void **state)
{
    (void)state;
    assert_true(id_equal((struct id128){1, 2}, (struct id128){1, 2}));
    assert_false(id_equal((struct id128){1, 2}, (struct id128){1, 3}));
    assert_false(id_equal((struct id128){1, 2}, (struct id128){0, 2}));
}

/* Flipping any one bit of an id flips about half of its hash's bits: 32 on average, and no pair of
 * 128 may come near 0. */
static void id_hash_depends_on_every_bit(void **state)
{
    (void)state;
    const struct id128 starts[] = {
        {0, 0}, {0, 1}, {1, 0}, {0x0192F81D4FAE7DEC, 0xA76500A0C91E6BF6}};
    unsigned flipped = 0;
    for (size_t i = 0; i < 4; i++) {
        uint64_t before = id_hash(starts[i]);
        for (unsigned bit = 0; bit < 128; bit++) {
            struct id128 id = starts[i];
            if (bit < 64) {
                id.lo ^= 1ull << bit;
            } else {
                id.hi ^= 1ull << (bit - 64);
            }
            int bits = __builtin_popcountll(before ^ id_hash(id));
            assert_in_range(bits, 8, 56);
            flipped += (unsigned)bits;
        }
    }
    assert_in_range(flipped / (4 * 128), 30, 34);
}

/* 2^20 sequential ids over 2^20 cells: as thrown at random, e^-1 of the cells stay empty. */
static void id_hash_spreads_sequential_ids(void **state)
{
    (void)state;
    enum { CELLS = 1 << 20 };
    static uint8_t low_cells[CELLS];
    static uint8_t high_cells[CELLS];
    for (uint64_t i = 0; i < CELLS; i++) {
        uint64_t hash = id_hash((struct id128){0, i});
        low_cells[hash % CELLS] = 1;
        high_cells[hash >> 44] = 1;
    }
    unsigned low_empty = 0;
    unsigned high_empty = 0;
    for (size_t i = 0; i < CELLS; i++) {
        low_empty += low_cells[i] == 0;
        high_empty += high_cells[i] == 0;
    }
    assert_in_range(low_empty, CELLS * 0.36, CELLS * 0.38);
    assert_in_range(high_empty, CELLS * 0.36, CELLS * 0.38);
}

static void buyer_from_text_takes_numbers_for_themselves(void **state)
{
    (void)state;
    assert_true(buyer_from_text("", 0) == 0);
    assert_true(buyer_from_text(NULL, 0) == 0);
    assert_true(buyer_from_text("0", 1) == 0);
    assert_true(buyer_from_text("17850", 5) == 17850);
    assert_true(buyer_from_text("017850", 6) == 17850);
    assert_true(buyer_from_text("18446744073709551615", 20) == UINT64_MAX);
}

static void buyer_from_text_hashes_all_other_texts(void **state)
{
    (void)state;
    assert_true(buyer_from_text("18446744073709551616", 20) == 0x7BE2153177DB3E37);
    assert_true(buyer_from_text("4294967296x", 11) == 0x0ED86513DFAF8089);
    assert_true(buyer_from_text("-1", 2) == 0xBC25A7B612CBA21F);
    assert_true(buyer_from_text("buyer@example.com", 17) == 0x9ACD61D7837B2A4E);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_from_text_takes_uuids_and_hex_for_themselves),
        cmocka_unit_test(id_from_text_hashes_all_other_texts),
        cmocka_unit_test(id_from_text_hashes_a_nul_as_any_byte),
        cmocka_unit_test(id_halves_are_its_bytes_big_endian),
        cmocka_unit_test(id_to_text_writes_a_lower_case_uuid),
        cmocka_unit_test(id_equal_looks_at_both_halves),
        cmocka_unit_test(id_hash_depends_on_every_bit),
        cmocka_unit_test(id_hash_spreads_sequential_ids),
        cmocka_unit_test(buyer_from_text_takes_numbers_for_themselves),
        cmocka_unit_test(buyer_from_text_hashes_all_other_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
