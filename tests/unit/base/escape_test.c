/* escape_test.c - text that is shown stays on its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/escape.h"

static void expect(const char *given, size_t len, const char *wanted)
{
    char to[256];
    size_t used = escape_text((struct bytes){(const uint8_t *)given, len}, to, sizeof to);
    assert_string_equal(to, wanted);
    assert_int_equal(used, strlen(wanted));
}

static void escape_shows_what_would_break_a_line(void **state)
{
    (void)state;
    expect("A\nB\r\t\x1b[2J\x7f", 10, "A\\x0aB\\x0d\\x09\\x1b[2J\\x7f");
    expect("A\0B", 3, "A\\x00B");
    expect("\xC2\x85\xC2\x9B", 4, "\\x85\\x9b");
    expect("\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAE\xEF\xBB\xBF", 12, "\\u2028\\u2029\\u202e\\ufeff");
    expect("\xF3\xA0\x81\x81", 4, "\\U000e0041");
    expect("\xE2\x80\x8B\xC2\xAD", 5, "\\u200b\\xad");
}

static void escape_leaves_the_rest(void **state)
{
    (void)state;
    static const char fine[] =
        "A \\x0a \xC3\xA9 \xE6\x89\x8B \xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9";
    expect(fine, sizeof fine - 1, fine);
    expect("", 0, "");
}

static void escape_shows_bytes_that_are_no_utf8(void **state)
{
    (void)state;
    expect("\xFF\x41\xC3", 3, "\\xffA\\xc3");
    expect("\xED\xA0\x80", 3, "\\xed\\xa0\\x80");
}

static void escape_is_cut_between_characters(void **state)
{
    (void)state;
    static const char *const wanted[] = {"",  "a",      "a",      "a",
                                         "a", "a\\x0a", "a\\x0a", "a\\x0a\xC3\xA9"};
    for (size_t room = 1; room <= 8; room++) {
        char to[9];
        memset(to, 'z', sizeof to);
        escape_text(bytes_of("a\n\xC3\xA9"), to, room);
        assert_string_equal(to, wanted[room - 1]);
        assert_int_equal(to[room], 'z');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escape_shows_what_would_break_a_line),
        cmocka_unit_test(escape_leaves_the_rest),
        cmocka_unit_test(escape_shows_bytes_that_are_no_utf8),
        cmocka_unit_test(escape_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
