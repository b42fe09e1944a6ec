/* suggest_test.c - which words look like one that there is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/suggest.h"

static const char *meant(const char *wanted, const char *const *words)
{
    static char text[SUGGEST_TEXT_BYTES];
    struct suggest suggest;
    suggest_begin(&suggest, wanted);
    for (size_t i = 0; words[i]; i++) {
        suggest_offer(&suggest, words[i]);
    }
    return suggest_text(&suggest, text);
}

static void suggest_finds_what_was_mistyped(void **state)
{
    static const char *const commands[] = {"serve", "stock",  "order",     "load",
                                           "wal",   "status", "reconcile", NULL};
    (void)state;
    assert_string_equal(meant("stok", commands), " (did you mean 'stock'?)");
    assert_string_equal(meant("sotck", commands), " (did you mean 'stock'?)");
    assert_string_equal(meant("STOCK", commands), " (did you mean 'stock'?)");
    assert_string_equal(meant("statsu", commands), " (did you mean 'status'?)");
    assert_string_equal(meant("recon", commands), " (did you mean 'reconcile'?)");
    assert_string_equal(meant("wla", commands), " (did you mean 'wal'?)");
    assert_string_equal(meant("bogus", commands), "");
    assert_string_equal(meant("x", commands), "");
    assert_string_equal(meant("", commands), "");
}

static void suggest_has_the_nearest_first_and_three_at_most(void **state)
{
    static const char *const codes[] = {"85123X", "85132A", "85123B", "95124B", "85123AB", NULL};
    (void)state;
    assert_string_equal(meant("85123A", codes), " (did you mean '85123X', '85132A' or '85123B'?)");
}

static void suggest_counts_letters_not_bytes(void **state)
{
    static const char *const codes[] = {"手机壳红色", NULL};
    (void)state;
    assert_string_equal(meant("手机壳蓝色", codes), " (did you mean '手机壳红色'?)");
    assert_string_equal(meant("电视壳蓝色", codes), "");
}

static void suggest_passes_over_what_is_too_long(void **state)
{
    char longest[SUGGEST_WORD_BYTES];
    char longer[SUGGEST_WORD_BYTES + 1];
    const char *const words[] = {longest, longer, NULL};
    (void)state;
    memset(longest, 'a', sizeof longest);
    memset(longer, 'a', sizeof longer);
    longest[sizeof longest - 1] = '\0';
    longer[sizeof longer - 1] = '\0';
    char wanted[SUGGEST_WORD_BYTES];
    memcpy(wanted, longest, sizeof wanted);
    wanted[3] = 'b';
    assert_non_null(strstr(meant(wanted, words), longest));
    assert_null(strstr(meant(wanted, words), " or "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suggest_finds_what_was_mistyped),
        cmocka_unit_test(suggest_has_the_nearest_first_and_three_at_most),
        cmocka_unit_test(suggest_counts_letters_not_bytes),
        cmocka_unit_test(suggest_passes_over_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
