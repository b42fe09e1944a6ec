/* fault_storage.h - a storage over another one, in which chosen operations on chosen files fail
 * with an errno, as on a real disk: storage_reason() names it.
 *
 * Threads: as the storage below; the faults are set by one thread while no other is at work. */
#ifndef LIB_FAULT_STORAGE_H
#define LIB_FAULT_STORAGE_H

#include "io/storage.h"

enum fault_operation {
    FAULT_OPEN, /* for reading or writing */
    FAULT_OPEN_TO_WRITE,
    FAULT_READ,
    FAULT_CREATE_ZEROED,
    FAULT_CREATE,
    FAULT_RENAME, /* the name that it had */
    FAULT_UNLINK,
    FAULT_LIST, /* of all names: the prefix is "" */
};

#define FAULT_ALWAYS (~0u)

/* Over `under`, which is destroyed with it. */
struct storage *fault_storage_make(struct storage *under);

/* From now on the operation fails, `times` times, on files whose names begin with `prefix`. One
 * fault at a time; 0 times: none. */
void fault_storage_set(struct storage *storage, enum fault_operation operation, const char *prefix,
                       int error, unsigned times);

/* The same, after the operation has been done `after` times. */
void fault_storage_set_later(struct storage *storage, enum fault_operation operation,
                             const char *prefix, int error, unsigned times, unsigned after);

/* How often an operation was asked for on such files since the fault was set, failing or not. */
unsigned fault_storage_asked(const struct storage *storage);

struct storage *fault_storage_under(const struct storage *storage);

#endif
