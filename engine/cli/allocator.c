/* allocator.c - which allocator the process runs with.
 *
 * The program is linked to jemalloc, which takes over malloc and free by being loaded before the
 * C library; asking it for its version is what keeps it linked.
 *
 * Threads: any. */
#include "cli/allocator.h"

#include <stddef.h>

#ifdef HOLDFAST_SANITIZED

const char *cli_allocator(void)
{
    return NULL;
}

#else

#include <jemalloc/jemalloc.h>

const char *cli_allocator(void)
{
    const char *version = NULL;
    size_t bytes = sizeof version;
    return mallctl("version", &version, &bytes, NULL, 0) == 0 ? version : NULL;
}

#endif
