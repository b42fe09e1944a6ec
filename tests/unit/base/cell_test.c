/* cell_test.c - what a cell is read as, and what spreadsheets have made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cell.h"

static char error[CELL_ERROR_BYTES];

static void expect_word(bool fine, const char *cell, const char *word)
{
    if (fine) {
        fail_msg("'%s' was taken", cell);
    }
    if (!strstr(error, word)) {
        fail_msg("'%s' %s: does not say '%s'", cell, error, word);
    }
}

static void cell_number_reads_whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *cell;
        int64_t value;
    } cases[] = {{"0", 0}, {"007", 7}, {"-5", -5}, {"9007199254740992", (int64_t)1 << 53}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 99;
        assert_true(cell_number(bytes_of(cases[i].cell), -10, (int64_t)1 << 53, &value, error));
        assert_true(value == cases[i].value);
    }
}

static void cell_number_says_why_not(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "whole number"},
        {"12x", "whole number"},
        {"-", "whole number"},
        {"--1", "whole number"},
        {"0x10", "whole number"},
        {"1e3", "whole number"},
        {"+5", "a sign"},
        {"1,000", "separator of thousands"},
        {"1.234.567", "separator of thousands"},
        {"-1 000", "separator of thousands"},
        {"1.0", "decimal point"},
        {"5,", "decimal point"},
        {"0,5", "decimal point"},
        {"\xEF\xBC\x91\xEF\xBC\x90", "full-width"},
        {"1.23E+15", "spreadsheet has turned a number into (1.23E+15)"},
        {"1E+05", "turned"},
        {"-4,5e-07", "turned"},
        {"11/11/2026", "a date"},
        {"2026/11/11", "a date"},
        {"11-Nov", "a date"},
        {"#N/A", "error"},
        {"#REF!", "error"},
        {"#div/0!", "error"},
        {"#######", "error"},
        {"=\"5\"", "formula"},
        {"101", "is not between 0 and 100"},
        {"-1", "is not between 0 and 100"},
        {"99999999999999999999", "is not between 0 and 100"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value;
        expect_word(cell_number(bytes_of(cases[i][0]), 0, 100, &value, error), cases[i][0],
                    cases[i][1]);
    }
}

static void cell_names_are_not_what_a_spreadsheet_made(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"1.23E+15", "(1.23E+15)"},
        {"8.5123E+04", "turned"},
        {"1E+20", "turned"},
        {"11/11/2026", "a date"},
        {"2026/1/1", "a date"},
        {"1-Nov", "a date"},
        {"Nov-26", "a date"},
        {"'00123", "apostrophe"},
        {"#NAME?", "error"},
        {"=\"00123\"", "formula"},
        {"1.23E15", "(1.23E15)"},
        {"4,5e-7", "turned"},
        {"11\xE6\x9C\x88"
         "11\xE6\x97\xA5",
         "a date"},
        {"2026\xE5\xB9\xB4"
         "11\xE6\x9C\x88",
         "a date"},
        {"2026\xE5\xB9\xB4"
         "1\xE6\x9C\x88"
         "2\xE6\x97\xA5",
         "a date"},
    };
    static const char *const fine[] = {"85123A",
                                       "1E5",
                                       "12E3",
                                       "A1E+05",
                                       "12/24/36",
                                       "1/2",
                                       "#1",
                                       "##",
                                       "E+15",
                                       "2026-11-11",
                                       "10-Noble",
                                       "",
                                       "=A",
                                       "it's",
                                       "1.5",
                                       "1,000",
                                       "May-flower",
                                       "1.E",
                                       "1.5EX",
                                       "11\xE6\x9C\x88",
                                       ("11\xE6\x9C\x88"
                                        "11\xE6\x97\xA5X")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_word(cell_check_name(bytes_of(bad[i][0]), error), bad[i][0], bad[i][1]);
    }
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        if (!cell_check_name(bytes_of(fine[i]), error)) {
            fail_msg("'%s' %s", fine[i], error);
        }
    }
}

static void cell_code_is_the_engines(void **state)
{
    (void)state;
    uint8_t room[TEXT_ROOM_BYTES];
    struct bytes code;
    assert_true(cell_code(bytes_of("e\xCC\x81"), room, &code, error));
    assert_int_equal(code.len, 2);
    assert_memory_equal(code.data, "\xC3\xA9", 2);
    expect_word(cell_code(bytes_of("A\xE2\x80\x8B"), room, &code, error), "A",
                "is no code: U+200B");
    expect_word(cell_code(bytes_of("1.23E+15"), room, &code, error), "1.23E+15", "turned");
    expect_word(cell_code(bytes_of(""), room, &code, error), "", "0 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cell_number_reads_whole_numbers),
        cmocka_unit_test(cell_number_says_why_not),
        cmocka_unit_test(cell_names_are_not_what_a_spreadsheet_made),
        cmocka_unit_test(cell_code_is_the_engines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
