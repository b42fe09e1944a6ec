/* sync.h - a storage whose log writes use pwritev2, where io_uring is not permitted. */
#ifndef IO_SYNC_H
#define IO_SYNC_H

#include "io/real.h"

/* The implementation's struct, all zero except its operations. NULL: no memory. */
struct real_storage *sync_storage_make(void);

#endif
