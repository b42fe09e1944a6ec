/* text_test.c - what a text may be, and how it is kept. Normal forms are Unicode's own, from
 * NormalizationTest.txt and CompositionExclusions.txt; the rest from text.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/text.h"

/* UTF-8 of a code point, written by hand. */
static size_t put_point(uint32_t point, char *to)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    size_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t leads[] = {0, 0xC0, 0xE0, 0xF0};
    to[0] = (char)(leads[more] | point >> (6 * more));
    for (size_t i = 1; i <= more; i++) {
        to[i] = (char)(0x80 | ((point >> (6 * (more - i))) & 0x3F));
    }
    return more + 1;
}

/* Code points, ended by 0, as UTF-8. */
static size_t put_points(const uint32_t *points, char *to)
{
    size_t len = 0;
    for (; *points; points++) {
        len += put_point(*points, to + len);
    }
    to[len] = '\0';
    return len;
}

static char error[TEXT_ERROR_BYTES];
static uint8_t room[TEXT_ROOM_BYTES];

/* The text as it is kept, terminated; NULL when it is refused. */
static const char *take(enum text_kind kind, const void *data, size_t len)
{
    static char kept[TEXT_ROOM_BYTES + 1];
    struct bytes text;
    error[0] = '\0';
    if (!text_take(kind, (struct bytes){data, len}, room, &text, error)) {
        assert_null(text.data);
        assert_string_not_equal(error, "");
        return NULL;
    }
    assert_string_equal(error, "");
    memcpy(kept, text.data, text.len);
    kept[text.len] = '\0';
    return kept;
}

static void expect_kept(enum text_kind kind, const char *given, const char *wanted)
{
    const char *kept = take(kind, given, strlen(given));
    if (!kept) {
        fail_msg("'%s' was refused: %s", given, error);
    }
    assert_string_equal(kept, wanted);
}

static void expect_refused(enum text_kind kind, const char *given, size_t len, const char *why)
{
    assert_null(take(kind, given, len));
    assert_string_equal(error, why);
}

static void text_is_kept_in_form_c(void **state)
{
    (void)state;
    static const struct {
        uint32_t given[8];
        uint32_t kept[8];
    } cases[] = {
        {{0x65, 0x301}, {0xE9}},
        {{0x44, 0x307}, {0x1E0A}},
        {{0x44, 0x307, 0x323}, {0x1E0C, 0x307}}, /* marks in another order */
        {{0x44, 0x323, 0x307}, {0x1E0C, 0x307}},
        {{0x1E0A, 0x323}, {0x1E0C, 0x307}},
        {{0x61, 0x315, 0x300, 0x5AE, 0x62}, {0xE0, 0x5AE, 0x315, 0x62}},
        {{0x212B}, {0xC5}},   /* angstrom */
        {{0x2126}, {0x3A9}},  /* ohm */
        {{0x212A}, {0x4B}},   /* kelvin */
        {{0xF900}, {0x8C48}}, /* a compatibility ideograph */
        {{0x1100, 0x1161}, {0xAC00}},
        {{0x1100, 0x1161, 0x11A8}, {0xAC01}},
        {{0xAC00, 0x11A8}, {0xAC01}},
        {{0x958}, {0x915, 0x93C}}, /* excluded from composition: grows */
        {{0xFB1D}, {0x5D9, 0x5B4}},
        {{0x1D160}, {0x1D158, 0x1D165, 0x1D16E}},
        {{0x1FA7}, {0x1FA7}},
        {{0x3C9, 0x314, 0x342, 0x345}, {0x1FA7}},
        {{0xFF21, 0xFF11}, {0xFF21, 0xFF11}}, /* full width stays: form C, not KC */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char given[64];
        char wanted[64];
        put_points(cases[i].given, given);
        put_points(cases[i].kept, wanted);
        expect_kept(TEXT_CODE, given, wanted);
        expect_kept(TEXT_LABEL, given, wanted);
        expect_kept(TEXT_REASON, wanted, wanted);
    }
}

static void text_is_trimmed_of_all_white_space(void **state)
{
    (void)state;
    static const uint32_t white[] = {
        0x9,    0xA,    0xB,    0xC,    0xD,    0x20,   0x85,   0xA0,   0x1680,
        0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
        0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
    };
    for (size_t i = 0; i < sizeof white / sizeof *white; i++) {
        for (size_t k = 0; k < sizeof white / sizeof *white; k++) {
            char given[32];
            put_points((const uint32_t[]){white[i], white[k], 'A', ' ', 'B', white[k], 0}, given);
            expect_kept(TEXT_CODE, given, "A B");
            expect_kept(TEXT_LABEL, given, "A B");
        }
        char given[32];
        size_t len = put_points((const uint32_t[]){white[i], white[i], 0}, given);
        expect_refused(TEXT_CODE, given, len, "nothing but white space");
        expect_kept(TEXT_REASON, given, "");
        assert_int_equal(text_trim((struct bytes){(const uint8_t *)given, len}).len, 0);
    }
}

static void text_refuses_what_can_not_be_seen(void **state)
{
    (void)state;
    static const struct {
        uint32_t point;
        const char *name; /* as the error has it */
    } refused[] = {
        {0x1, "U+0001 START OF HEADING"},
        {0x9, "U+0009 CHARACTER TABULATION"},
        {0xA, "U+000A LINE FEED"},
        {0xD, "U+000D CARRIAGE RETURN"},
        {0x1B, "U+001B ESCAPE"},
        {0x1F, "U+001F INFORMATION SEPARATOR ONE"},
        {0x7F, "U+007F DELETE"},
        {0x80, "U+0080 (a control character)"},
        {0x85, "U+0085 NEXT LINE"},
        {0x9B, "U+009B CONTROL SEQUENCE INTRODUCER"},
        {0xAD, "U+00AD SOFT HYPHEN"},
        {0x34F, "U+034F COMBINING GRAPHEME JOINER"},
        {0x61C, "U+061C ARABIC LETTER MARK"},
        {0x115F, "U+115F HANGUL CHOSEONG FILLER"},
        {0x17B4, "U+17B4 (an invisible mark)"},
        {0x180E, "U+180E MONGOLIAN VOWEL SEPARATOR"},
        {0x200B, "U+200B ZERO WIDTH SPACE"},
        {0x200C, "U+200C ZERO WIDTH NON-JOINER"},
        {0x200D, "U+200D ZERO WIDTH JOINER"},
        {0x200E, "U+200E LEFT-TO-RIGHT MARK"},
        {0x2028, "U+2028 LINE SEPARATOR"},
        {0x2029, "U+2029 PARAGRAPH SEPARATOR"},
        {0x202E, "U+202E RIGHT-TO-LEFT OVERRIDE"},
        {0x2060, "U+2060 WORD JOINER"},
        {0x2065, "U+2065 (not assigned)"},
        {0x2066, "U+2066 LEFT-TO-RIGHT ISOLATE"},
        {0x206F, "U+206F (a format character)"},
        {0x3164, "U+3164 HANGUL FILLER"},
        {0xFE0F, "U+FE0F (a variation selector)"},
        {0xFEFF, "U+FEFF ZERO WIDTH NO-BREAK SPACE"},
        {0xFFA0, "U+FFA0 HALFWIDTH HANGUL FILLER"},
        {0xFFF9, "U+FFF9 (a format character)"},
        {0xE000, "U+E000 (private use)"},
        {0x378, "U+0378 (not assigned)"},
        {0xFDD0, "U+FDD0 (no character)"},
        {0x1FFFF, "U+1FFFF (no character)"},
        {0x1D173, "U+1D173 (a format character)"},
        {0xE0001, "U+E0001 (a tag character)"},
        {0xE0041, "U+E0041 (a tag character)"},
        {0xE0100, "U+E0100 (a variation selector)"},
        {0x10FFFD, "U+10FFFD (private use)"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        for (int kind = TEXT_CODE; kind <= TEXT_REASON; kind++) {
            char given[32];
            char why[TEXT_ERROR_BYTES];
            size_t len = put_points((const uint32_t[]){0xE9, 'B', refused[i].point, 'C', 0}, given);
            snprintf(why, sizeof why, "%s at byte 3 is not allowed", refused[i].name);
            expect_refused((enum text_kind)kind, given, len, why);
        }
    }
}

static void text_refuses_more_in_codes(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *why;
    } codes[] = {
        {"A\xC2\xA0"
         "B",
         "U+00A0 NO-BREAK SPACE at byte 1 is not allowed"},
        {"A\xE3\x80\x80"
         "B",
         "U+3000 IDEOGRAPHIC SPACE at byte 1 is not allowed"},
        {"A\xE2\x80\xAF"
         "B",
         "U+202F NARROW NO-BREAK SPACE at byte 1 is not allowed"},
        {"A\xE2\xA0\x80", "U+2800 BRAILLE PATTERN BLANK at byte 1 is not allowed"},
        {"A\xEF\xBF\xBD", "U+FFFD REPLACEMENT CHARACTER at byte 1 is not allowed"},
        {"A  B", "two spaces in a row at byte 1"},
        {" A  B ", "two spaces in a row at byte 2"},
        {"\xCC\x81"
         "A",
         "U+0301 (a combining mark) at byte 0 is not allowed"},
        {" \xCC\x81", "U+0301 (a combining mark) at byte 1 is not allowed"},
        {"\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9",
         "U+200D ZERO WIDTH JOINER at byte 4 is not allowed"},
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        expect_refused(TEXT_CODE, codes[i].given, strlen(codes[i].given), codes[i].why);
    }
    expect_kept(TEXT_LABEL,
                "A\xE3\x80\x80"
                "B",
                "A\xE3\x80\x80"
                "B");
    expect_kept(TEXT_LABEL, "5\xC2\xA0\xE2\x82\xAC  off ", "5\xC2\xA0\xE2\x82\xAC  off");
}

/* What people's texts may have is Unicode's TS 51 for emoji and RFC 5892 for the joiners. */
static void text_for_people_keeps_the_joiners_it_needs(void **state)
{
    (void)state;
    static const uint32_t kept[][8] = {
        {0x1F468, 0x200D, 0x1F469, 0x200D, 0x1F467}, /* a family */
        {0x1F44D, 0x1F3FD, 0x200D, 0x1F469},
        {0x2764, 0xFE0F, 0x200D, 0x1F525}, /* a heart on fire */
        {0x2764, 0xFE0F},
        {'1', 0xFE0F, 0x20E3},
        {0x1F1E8, 0x1F1F3},                   /* a flag */
        {0x645, 0x6CC, 0x200C, 0x62E, 0x648}, /* Persian */
        {0x915, 0x94D, 0x200D, 0x937},        /* Devanagari: a half form */
        {0x915, 0x94D, 0x200C, 0x937},
        {0x600, 0x661}, /* Arabic number sign */
    };
    static const uint32_t refused[][8] = {
        {0x1F468, 0x200D},
        {0x1F468, 0x200D, 'A'},
        {0x1F468, 0x200D, 0x200D, 0x1F469},
        {'A', 0x200D, 0x1F469},
        {'1', 0xFE0F},
        {'A', 0xFE0F, 0x20E3},
        {0x645, 0x200C, 'A'},
        {0x645, 0x200C, 0x200C, 0x645},
        {0x915, 0x200D, 0x937},
    };
    char text[64];
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        put_points(kept[i], text);
        expect_kept(TEXT_LABEL, text, text);
        expect_kept(TEXT_REASON, text, text);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        size_t len = put_points(refused[i], text);
        assert_null(take(TEXT_LABEL, text, len));
    }
}

static void text_must_be_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        size_t len;
        const char *why;
    } cases[] = {
        {"A\xED\xA0\x80", 4, "not valid UTF-8 at byte 1"}, /* a lone surrogate */
        {"\xC0\xAF", 2, "not valid UTF-8 at byte 0"},      /* overlong */
        {"AB\xE0\x80\x80", 5, "not valid UTF-8 at byte 2"},
        {"A\xF4\x90\x80\x80", 5, "not valid UTF-8 at byte 1"},
        {"A\xC3", 2, "not valid UTF-8 at byte 1"},
        {"A\xFF", 2, "not valid UTF-8 at byte 1"},
        {"A\0B", 3, "U+0000 NULL at byte 1 is not allowed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_refused(TEXT_CODE, cases[i].given, cases[i].len, cases[i].why);
        expect_refused(TEXT_LABEL, cases[i].given, cases[i].len, cases[i].why);
    }
}

/* Repeats a part; returns the bytes. */
static size_t fill(char *to, const char *part, size_t times)
{
    size_t len = strlen(part);
    for (size_t i = 0; i < times; i++) {
        memcpy(to + i * len, part, len);
    }
    to[times * len] = '\0';
    return times * len;
}

static void text_is_measured_as_it_is_kept(void **state)
{
    (void)state;
    static char given[8192];
    static const struct {
        enum text_kind kind;
        size_t max;
        const char *why;
    } kinds[] = {{TEXT_CODE, 64, "65 bytes, must be 1..64"},
                 {TEXT_LABEL, 256, "257 bytes, must be 0..256"},
                 {TEXT_REASON, 128, "129 bytes, must be 0..128"}};
    for (size_t i = 0; i < 3; i++) {
        fill(given, "x", kinds[i].max);
        expect_kept(kinds[i].kind, given, given);
        size_t len = fill(given, "x", kinds[i].max + 1);
        expect_refused(kinds[i].kind, given, len, kinds[i].why);
        given[0] = given[kinds[i].max] = ' '; /* one too many before it is trimmed */
        assert_int_equal(strlen(take(kinds[i].kind, given, len)), kinds[i].max - 1);
    }
    expect_refused(TEXT_CODE, "", 0, "0 bytes, must be 1..64");
    /* Jamo of 9 bytes are one syllable of 3: 21 of them are 189 bytes, and 63 kept. */
    size_t len = fill(given, "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", 21);
    assert_int_equal(len, 189);
    assert_int_equal(strlen(take(TEXT_CODE, given, len)), 63);
    len = fill(given, "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", 22);
    expect_refused(TEXT_CODE, given, len, "66 bytes, must be 1..64");
    /* 85 syllables, and one byte: a label's room to the last. */
    len = fill(given, "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", 85);
    given[len++] = '.';
    assert_int_equal(strlen(take(TEXT_LABEL, given, len)), 256);
    /* U+0958 of 3 bytes is kept as two of 3. */
    len = fill(given, "\xE0\xA5\x98", 11);
    expect_refused(TEXT_CODE, given, len, "66 bytes, must be 1..64");
    len = fill(given, "\xE0\xA5\x98", 10);
    assert_int_equal(strlen(take(TEXT_CODE, given, len)), 60);
    /* Text that is far too long is not read. */
    len = fill(given, "\xE0\xA5\x98", 2000);
    expect_refused(TEXT_LABEL, given, len, "6000 bytes, must be 0..256");
    len = fill(given, "\xCC\x81", 1000);
    given[0] = 'e';
    given[1] = 'e';
    assert_null(take(TEXT_LABEL, given, len));
    /* White space is not counted, however much there is. */
    memset(given, ' ', 4000);
    given[2000] = 'A';
    assert_string_equal(take(TEXT_CODE, given, 4000), "A");
}

static void text_that_is_kept_is_what_was_given(void **state)
{
    (void)state;
    static const char plain[] = "85123A (red), 2 m";
    struct bytes text;
    assert_true(text_take(TEXT_CODE, bytes_of(plain), room, &text, error));
    assert_ptr_equal(text.data, plain);
    assert_true(text_take(TEXT_CODE, bytes_of("\xE9\xA9\xAC\xE6\xA1\xB6"), room, &text, error));
    assert_ptr_not_equal(text.data, room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_kept_in_form_c),
        cmocka_unit_test(text_is_trimmed_of_all_white_space),
        cmocka_unit_test(text_refuses_what_can_not_be_seen),
        cmocka_unit_test(text_refuses_more_in_codes),
        cmocka_unit_test(text_for_people_keeps_the_joiners_it_needs),
        cmocka_unit_test(text_must_be_utf8),
        cmocka_unit_test(text_is_measured_as_it_is_kept),
        cmocka_unit_test(text_that_is_kept_is_what_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
