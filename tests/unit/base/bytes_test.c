/* bytes_test.c - little-endian loads and stores, the cursor's end, and UTF-8 by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>

#include "base/bytes.h"

static void bytes_stores_are_little_endian(void **state)
{
    (void)state;
    uint8_t at[9] = {0};
    store_u16(at + 1, 0x0102);
    assert_memory_equal(at + 1, "\x02\x01", 2);
    store_u32(at + 1, 0x01020304);
    assert_memory_equal(at + 1, "\x04\x03\x02\x01", 4);
    store_u64(at + 1, 0x0102030405060708);
    assert_memory_equal(at + 1, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_int_equal(load_u16(at + 1), 0x0708);
    assert_int_equal(load_u32(at + 1), 0x05060708);
    assert_true(load_u64(at + 1) == 0x0102030405060708);
}

static void cursor_reads_up_to_the_last_byte(void **state)
{
    (void)state;
    const uint8_t data[15] = {1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0};
    struct cursor cursor = cursor_over(data, sizeof data);
    assert_int_equal(cursor_u8(&cursor), 1);
    assert_int_equal(cursor_u16(&cursor), 2);
    assert_int_equal(cursor_u32(&cursor), 3);
    assert_int_equal(cursor_left(&cursor), 8);
    assert_int_equal(cursor_u64(&cursor), 4);
    assert_int_equal(cursor_left(&cursor), 0);
    assert_non_null(cursor_take(&cursor, 0));
    assert_false(cursor.overrun);
}

static void cursor_past_the_end_gives_zeros_for_good(void **state)
{
    (void)state;
    const uint8_t data[3] = {0xFF, 0xFF, 0xFF};
    struct cursor cursor = cursor_over(data, sizeof data);
    assert_int_equal(cursor_u32(&cursor), 0);
    assert_true(cursor.overrun);
    /* The bytes that are left stay out of reach. */
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_int_equal(cursor_u16(&cursor), 0);
    assert_int_equal(cursor_u64(&cursor), 0);
    assert_null(cursor_take(&cursor, 0));
    assert_true(cursor.overrun);
}

static void cursor_refuses_each_width_one_byte_short(void **state)
{
    (void)state;
    const uint8_t data[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct cursor cursor = cursor_over(data, 0);
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_true(cursor.overrun);
    cursor = cursor_over(data, 1);
    assert_int_equal(cursor_u16(&cursor), 0);
    assert_true(cursor.overrun);
    cursor = cursor_over(data, 3);
    assert_int_equal(cursor_u32(&cursor), 0);
    assert_true(cursor.overrun);
    cursor = cursor_over(data, 7);
    assert_int_equal(cursor_u64(&cursor), 0);
    assert_true(cursor.overrun);
    cursor = cursor_over(data, 8);
    assert_null(cursor_take(&cursor, SIZE_MAX));
    assert_true(cursor.overrun);
}

struct utf8_case {
    const char *what;
    bool valid;
    size_t len;
    const char *data;
};

/* Bounds from table 3-7 of the Unicode standard; each with its neighbours outside. */
static const struct utf8_case utf8_cases[] = {
    {"nothing", true, 0, ""},
    {"ASCII", true, 6, "85123A"},
    {"U+0001", true, 1, "\x01"},
    {"U+007F", true, 1, "\x7F"},
    {"NUL alone", false, 1, "\x00"},
    {"NUL inside", false, 3, "a\x00z"},
    {"NUL at the end", false, 2, "a\x00"},
    {"U+0080", true, 2, "\xC2\x80"},
    {"U+07FF", true, 2, "\xDF\xBF"},
    {"U+0800", true, 3, "\xE0\xA0\x80"},
    {"U+D7FF", true, 3, "\xED\x9F\xBF"},
    {"U+E000", true, 3, "\xEE\x80\x80"},
    {"U+FFFF", true, 3, "\xEF\xBF\xBF"},
    {"U+10000", true, 4, "\xF0\x90\x80\x80"},
    {"U+10FFFF", true, 4, "\xF4\x8F\xBF\xBF"},
    {"Chinese and an emoji", true, 11, "\xE5\xBA\x93\xE5\xAD\x98!\xF0\x9F\x8E\x81"},
    {"continuation alone", false, 1, "\x80"},
    {"continuation alone, greatest", false, 2, "a\xBF"},
    {"overlong NUL, 2 bytes", false, 2, "\xC0\x80"},
    {"overlong U+007F, 2 bytes", false, 2, "\xC1\xBF"},
    {"overlong U+07FF, 3 bytes", false, 3, "\xE0\x9F\xBF"},
    {"overlong NUL, 3 bytes", false, 3, "\xE0\x80\x80"},
    {"overlong U+FFFF, 4 bytes", false, 4, "\xF0\x8F\xBF\xBF"},
    {"first surrogate, U+D800", false, 3, "\xED\xA0\x80"},
    {"last surrogate, U+DFFF", false, 3, "\xED\xBF\xBF"},
    {"surrogate pair", false, 6, "\xED\xA0\xBD\xED\xB8\x80"},
    {"U+110000", false, 4, "\xF4\x90\x80\x80"},
    {"lead F5", false, 4, "\xF5\x80\x80\x80"},
    {"5-byte form", false, 5, "\xF8\x88\x80\x80\x80"},
    {"lead FF", false, 1, "\xFF"},
    {"2 bytes, cut", false, 1, "\xC2"},
    {"3 bytes, cut after 1", false, 1, "\xE5"},
    {"3 bytes, cut after 2", false, 2, "\xE5\xBA"},
    {"4 bytes, cut after 3", false, 3, "\xF0\x9F\x8E"},
    {"cut behind good text", false, 6, "abcd\xE5\xBA"},
    {"second byte is ASCII", false, 2, "\xC2z"},
    {"second byte is a lead", false, 3, "\xC2\xC2\x80"},
    {"third byte is ASCII", false, 3, "\xE5\xBAz"},
    {"fourth byte is ASCII", false, 4, "\xF0\x9F\x8Ez"},
};

static void utf8_valid_follows_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof utf8_cases / sizeof *utf8_cases; i++) {
        const struct utf8_case *c = &utf8_cases[i];
        if (utf8_valid((const uint8_t *)c->data, c->len) != c->valid) {
            fail_msg("%s must be %s", c->what, c->valid ? "valid" : "invalid");
        }
    }
}

/* An encoder is the independent model: all code points, and no other form, are valid. */
static void utf8_valid_takes_every_code_point_but_surrogates(void **state)
{
    (void)state;
    for (uint32_t point = 1; point <= 0x1FFFFF; point++) {
        uint8_t form[4];
        size_t len;
        if (point < 0x80) {
            form[0] = (uint8_t)point;
            len = 1;
        } else if (point < 0x800) {
            form[0] = (uint8_t)(0xC0 | point >> 6);
            form[1] = (uint8_t)(0x80 | (point & 0x3F));
            len = 2;
        } else if (point < 0x10000) {
            form[0] = (uint8_t)(0xE0 | point >> 12);
            form[1] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
            form[2] = (uint8_t)(0x80 | (point & 0x3F));
            len = 3;
        } else {
            form[0] = (uint8_t)(0xF0 | point >> 18);
            form[1] = (uint8_t)(0x80 | (point >> 12 & 0x3F));
            form[2] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
            form[3] = (uint8_t)(0x80 | (point & 0x3F));
            len = 4;
        }
        bool wanted = point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
        if (utf8_valid(form, len) != wanted) {
            fail_msg("U+%04X must be %s", (unsigned)point, wanted ? "valid" : "invalid");
        }
    }
}

static void secret_equal_takes_that_very_secret_alone(void **state)
{
    (void)state;
    assert_true(secret_equal("hunter2", bytes_of("hunter2")));
    assert_false(secret_equal("hunter2", bytes_of("hunter3")));
    assert_false(secret_equal("hunter2", bytes_of("Hunter2")));
    assert_false(secret_equal("hunter2", bytes_of("hunter")));
    assert_false(secret_equal("hunter2", bytes_of("hunter22")));
    assert_false(secret_equal("abab", bytes_of("ab"))); /* what is given is not repeated */
    assert_false(secret_equal("hunter2", bytes_of("")));
    assert_false(secret_equal("hunter2", (struct bytes){NULL, 0}));
    assert_true(secret_equal("", (struct bytes){NULL, 0}));
    assert_false(secret_equal("", bytes_of("x")));
    static const uint8_t with_nul[] = {'h', 'i', 0};
    assert_false(secret_equal("hi", (struct bytes){with_nul, 3}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_equal_takes_that_very_secret_alone),
        cmocka_unit_test(bytes_stores_are_little_endian),
        cmocka_unit_test(cursor_reads_up_to_the_last_byte),
        cmocka_unit_test(cursor_past_the_end_gives_zeros_for_good),
        cmocka_unit_test(cursor_refuses_each_width_one_byte_short),
        cmocka_unit_test(utf8_valid_follows_the_table),
        cmocka_unit_test(utf8_valid_takes_every_code_point_but_surrogates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
