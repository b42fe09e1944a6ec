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

void cli_allocator_ready(void)
{
}

#else

#include <jemalloc/jemalloc.h>

const char *cli_allocator(void)
{
    const char *version = NULL;
    size_t bytes = sizeof version;
    return mallctl("version", &version, &bytes, NULL, 0) == 0 ? version : NULL;
}

/* A thread is given an arena at its first allocation, and one that can't be made then ends the
 * process (5.3.0 takes its lock all the same). To be given one makes it: so this thread is given
 * each of them once. */
void cli_allocator_ready(void)
{
    unsigned arenas = 0;
    unsigned own = 0;
    size_t bytes = sizeof arenas;
    if (mallctl("opt.narenas", &arenas, &bytes, NULL, 0) != 0 ||
        mallctl("thread.arena", &own, &bytes, NULL, 0) != 0) {
        return;
    }
    for (unsigned i = 0; i < arenas; i++) {
        (void)mallctl("thread.arena", NULL, NULL, &i, sizeof i);
    }
    (void)mallctl("thread.arena", NULL, NULL, &own, sizeof own);
}

#endif
