/* null_storage.h - a directory that keeps nothing: each write is done as soon as it is submitted.
 *
 * What the log costs without a disk. A log can be opened on it, empty, and written; nothing can be
 * read back. Threads: as io/storage.h says. */
#ifndef MICRO_NULL_STORAGE_H
#define MICRO_NULL_STORAGE_H

#include "io/storage.h"

/* NULL when out of memory. For storage_destroy(). */
struct storage *null_storage_make(void);

#endif
