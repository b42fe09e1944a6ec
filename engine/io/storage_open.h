/* storage_open.h - opens a directory on the real disk as a storage.
 *
 * Threads: any. */
#ifndef IO_STORAGE_OPEN_H
#define IO_STORAGE_OPEN_H

#include <stdbool.h>

#include "io/storage.h"

enum storage_mode {
    STORAGE_AUTO,  /* io_uring if it is permitted, else pwritev2, with a notice */
    STORAGE_URING, /* io_uring or fail with UNSUPPORTED */
    STORAGE_SYNC,  /* pwritev2 */
};

/* Opens a directory on the real disk. Makes it (not its parents) if it is missing.
 *
 * read_only: nothing is made or written, and an engine may be using the directory. Otherwise the
 * caller takes storage_lock() first, and calls storage_settle() before the first change: until then
 * nothing in the directory is touched.
 * OK; NOT_FOUND (read_only and no such directory), IO_ERROR, UNSUPPORTED, NO_MEMORY. */
enum hf_status storage_open(struct storage **out, const char *directory, enum storage_mode mode,
                            bool read_only);

#endif
