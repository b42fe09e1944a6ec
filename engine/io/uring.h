/* uring.h - a storage whose log writes go through io_uring. */
#ifndef IO_URING_H
#define IO_URING_H

#include "io/real.h"

/* The implementation's struct, all zero except its ring and its operations. NULL with *why_not:
 * io_uring can't be used here. */
struct real_storage *uring_storage_make(const char **why_not);

#endif
