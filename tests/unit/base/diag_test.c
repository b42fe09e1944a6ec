/* diag_test.c - what reaches standard error: lines, failed checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/diag.h"

#define CAPTURE_BYTES 16384

static char captured[CAPTURE_BYTES];

/* Runs action with standard error going into `captured`. */
static void capture(void (*action)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    action();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    size_t len = 0;
    ssize_t more;
    while ((more = read(ends[0], captured + len, CAPTURE_BYTES - 1 - len)) > 0) {
        len += (size_t)more;
    }
    close(ends[0]);
    captured[len] = '\0';
}

static void write_one_line(void)
{
    errno = EBADF;
    diag_warn("%s has %d units", "85123A", 7);
    assert_int_equal(errno, EBADF);
}

static void diag_line_has_time_level_and_text(void **state)
{
    (void)state;
    time_t before = time(NULL);
    capture(write_one_line);
    struct tm utc = {0};
    int ms = -1;
    int text_at = 0;
    int fields = sscanf(captured, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &utc.tm_year, &utc.tm_mon,
                        &utc.tm_mday, &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &ms, &text_at);
    assert_int_equal(fields, 7);
    assert_int_equal(text_at, 24);
    assert_string_equal(captured + text_at, " WARN 85123A has 7 units\n");
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    time_t written = timegm(&utc);
    assert_true(written >= before && written <= time(NULL));
}

static void write_all_levels(void)
{
    diag_debug("d");
    diag_info("i");
    diag_set_level(DIAG_ERROR);
    diag_warn("w");
    diag_error("e");
    diag_set_level(DIAG_DEBUG);
    diag_debug("d2");
    diag_set_level(DIAG_INFO);
}

static void diag_line_is_dropped_below_the_level(void **state)
{
    (void)state;
    capture(write_all_levels);
    assert_null(strstr(captured, "DEBUG d\n"));
    assert_non_null(strstr(captured, "INFO i\n"));
    assert_null(strstr(captured, "WARN"));
    assert_non_null(strstr(captured, "ERROR e\n"));
    assert_non_null(strstr(captured, "DEBUG d2\n"));
}

static void write_forged_line(void)
{
    diag_info("code %s", "A\n2026-11-11T00:00:00.000Z ERROR all is lost\x1b[2J");
}

static void diag_line_stays_one_line_whatever_the_text(void **state)
{
    (void)state;
    capture(write_forged_line);
    assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
    assert_null(strchr(captured, '\x1b'));
}

static void write_long_line(void)
{
    char *text = calloc(1, 10001);
    assert_non_null(text);
    memset(text, 'x', 10000);
    diag_info("%s", text);
    free(text);
}

static void diag_line_is_cut_at_the_size_of_one_write(void **state)
{
    (void)state;
    capture(write_long_line);
    assert_int_equal(strlen(captured), 4096);
    assert_int_equal(captured[4095], '\n');
    assert_int_equal(captured[4094], 'x');
}

static void fail_check_in_child(void)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        int one = 1;
        CHECK(one == 1);
        CHECK(one == 2);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void check_names_what_failed_and_aborts(void **state)
{
    (void)state;
    capture(fail_check_in_child);
    assert_non_null(strstr(captured, "diag_test.c:"));
    assert_non_null(strstr(captured, "one == 2"));
    assert_null(strstr(captured, "one == 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diag_line_has_time_level_and_text),
        cmocka_unit_test(diag_line_is_dropped_below_the_level),
        cmocka_unit_test(diag_line_stays_one_line_whatever_the_text),
        cmocka_unit_test(diag_line_is_cut_at_the_size_of_one_write),
        cmocka_unit_test(check_names_what_failed_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
