/* secret_test.c - a token from a file: what one may be, and who may read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "lib/tempdir.h"

static char token[TOKEN_BYTES_MAX + 1];
static char reason[512];

/* What reading a file of these bytes and this mode says. */
static bool read_file(const char *bytes, size_t len, mode_t mode)
{
    char *dir = tempdir_make();
    char *path = tempdir_join(dir, "token");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    reason[0] = '\0';
    bool fine = secret_read(path, token, reason, sizeof reason);
    free(path);
    tempdir_remove(dir);
    return fine;
}

static void secret_cuts_one_line_end(void **state)
{
    (void)state;
    assert_true(read_file("hush hush;", 10, 0600));
    assert_string_equal(token, "hush hush;");
    assert_true(read_file("hush\n", 5, 0600));
    assert_string_equal(token, "hush");
    assert_true(read_file("hush\r\n", 6, 0400));
    assert_string_equal(token, "hush");
    assert_true(read_file(" hush \n", 7, 0640));
    assert_string_equal(token, " hush ");
}

static void secret_refuses_what_is_no_token(void **state)
{
    (void)state;
    assert_false(read_file("", 0, 0600));
    assert_non_null(strstr(reason, "it is empty"));
    assert_false(read_file("\n", 1, 0600));
    assert_non_null(strstr(reason, "it is empty"));
    assert_false(read_file("a\nb\n", 4, 0600));
    assert_non_null(strstr(reason, "more than one line"));
    assert_false(read_file("a\n\n", 3, 0600));
    assert_false(read_file("a\0b", 3, 0600));
    assert_non_null(strstr(reason, "control character"));
}

static void secret_may_be_as_long_as_a_token(void **state)
{
    char text[TOKEN_BYTES_MAX + 3];
    (void)state;
    memset(text, 'x', sizeof text);
    text[TOKEN_BYTES_MAX] = '\n';
    assert_true(read_file(text, TOKEN_BYTES_MAX + 1, 0600));
    assert_int_equal(strlen(token), TOKEN_BYTES_MAX);
    text[TOKEN_BYTES_MAX] = 'x';
    assert_false(read_file(text, TOKEN_BYTES_MAX + 1, 0600));
    assert_non_null(strstr(reason, "longer than 256 bytes"));
    assert_false(read_file(text, sizeof text, 0600));
}

static void secret_is_for_owner_and_group(void **state)
{
    static const mode_t wide[] = {0604, 0644, 0602, 0620, 0666};
    (void)state;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        assert_false(read_file("hush", 4, wide[i]));
        assert_non_null(strstr(reason, "chmod 600"));
    }
}

static void secret_says_why_a_file_cannot_be_read(void **state)
{
    (void)state;
    assert_false(secret_read("/nonexistent/token", token, reason, sizeof reason));
    assert_string_equal(reason, "/nonexistent/token: can't be read: No such file or directory");
    assert_false(secret_read("/", token, reason, sizeof reason));
    assert_string_equal(reason, "/: can't be read: Is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_cuts_one_line_end),
        cmocka_unit_test(secret_refuses_what_is_no_token),
        cmocka_unit_test(secret_may_be_as_long_as_a_token),
        cmocka_unit_test(secret_is_for_owner_and_group),
        cmocka_unit_test(secret_says_why_a_file_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
