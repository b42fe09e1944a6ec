/* tempdir.c - a directory of the test's own. Threads: any. */
#include "lib/tempdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"

#define OPEN_DIRECTORIES_MAX 16

static _Noreturn void fail(const char *what, const char *path)
{
    fprintf(stderr, "%s ", what);
    perror(path);
    exit(2);
}

char *tempdir_join(const char *path, const char *name)
{
    char *joined = NULL;
    CHECK(asprintf(&joined, "%s/%s", path, name) > 0);
    return joined;
}

char *tempdir_make(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = tempdir_join(parent && *parent ? parent : "/tmp", "holdfast-test-XXXXXX");
    if (!mkdtemp(path)) {
        fail("cannot make the directory", path);
    }
    return path;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

void tempdir_remove(char *path)
{
    /* Only what tempdir_make made: a wrong path here would be costly. */
    CHECK(strstr(path, "/holdfast-test-") != NULL);
    if (nftw(path, remove_one, OPEN_DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS) != 0) {
        fail("cannot remove", path);
    }
    free(path);
}
