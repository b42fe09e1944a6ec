/* log_test.c - history/log: what is wrong with a directory is said, and nothing is left open.
 *
 * Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "history/log.h"
#include "lib/tempdir.h"

static struct history_log found;

static void check_refused(enum hf_status expected, const char *data, const char *archive,
                          const char *why)
{
    assert_int_equal(history_log_find(&found, data, archive), expected);
    if (!strstr(found.message, why)) {
        fail_msg("\"%s\" does not have \"%s\"", found.message, why);
    }
    assert_null(found.storage);
    history_log_close(&found);
}

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void log_that_is_not_there_is_refused_by_its_name(void **state)
{
    (void)state;
    char *data = tempdir_make();
    char *folder = tempdir_join(data, "wal");
    check_refused(HF_NOT_FOUND, data, NULL, folder);
    check_refused(HF_NOT_FOUND, data, NULL, "there is no log");
    touch(folder);
    check_refused(HF_NOT_FOUND, data, NULL, "not a directory");
    free(folder);
    tempdir_remove(data);
}

static void log_with_too_long_a_name_is_refused(void **state)
{
    (void)state;
    static char name[FOLDER_BYTES + 1];
    memset(name, 'd', FOLDER_BYTES - 4); /* "/wal" and the end are one more */
    check_refused(HF_INVALID, name, NULL, "too long");
    name[FOLDER_BYTES - 5] = '\0';
    check_refused(HF_NOT_FOUND, name, NULL, "there is no log");
}

static void log_needs_the_archive_that_is_named(void **state)
{
    (void)state;
    char *data = tempdir_make();
    char *folder = tempdir_join(data, "wal");
    char *archive = tempdir_join(data, "archive");
    char *copy = tempdir_join(archive, "wal-0000000000000003.seg");
    assert_int_equal(mkdir(folder, 0700), 0);
    check_refused(HF_NOT_FOUND, data, archive, "the archive can't be opened: there is no such");
    assert_int_equal(mkdir(archive, 0700), 0);
    touch(copy);
    assert_int_equal(history_log_find(&found, data, archive), HF_OK);
    uint64_t first;
    assert_int_equal(wal_first_segment(found.storage, &first), HF_OK);
    assert_int_equal(first, 3); /* the archive's segments are among the log's */
    history_log_close(&found);
    assert_int_equal(history_log_find(&found, data, NULL), HF_OK);
    assert_int_equal(wal_first_segment(found.storage, &first), HF_OK);
    assert_int_equal(first, 0);
    history_log_close(&found);
    free(copy);
    free(archive);
    free(folder);
    tempdir_remove(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_that_is_not_there_is_refused_by_its_name),
        cmocka_unit_test(log_with_too_long_a_name_is_refused),
        cmocka_unit_test(log_needs_the_archive_that_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
