/* tempdir.h - a directory of the test's own.
 *
 * Threads: any. A failure ends the program with a message: a test can't go on without. */
#ifndef TESTS_LIB_TEMPDIR_H
#define TESTS_LIB_TEMPDIR_H

/* Makes a new empty directory under $TMPDIR, or /tmp. Returns its path, for tempdir_remove. */
char *tempdir_make(void);

/* Removes the directory and all that is in it, without following symbolic links, and frees the
 * path. */
void tempdir_remove(char *path);

/* "path/name", for free(). */
char *tempdir_join(const char *path, const char *name);

#endif
