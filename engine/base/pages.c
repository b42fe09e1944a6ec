/* pages.c - memory in whole pages from the system. The only caller of mmap. Threads: any. */
#include "base/pages.h"

#include <stddef.h>
#include <sys/mman.h>

void *pages_map_buffer(uint64_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void *pages_map(uint64_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void *pages_map_huge(uint64_t bytes)
{
    void *at = pages_map(bytes);
    if (at) {
        (void)madvise(at, bytes, MADV_HUGEPAGE); /* a hint */
    }
    return at;
}

void *pages_map_small(uint64_t bytes)
{
    void *at = pages_map(bytes);
    if (at) {
        (void)madvise(at, bytes, MADV_NOHUGEPAGE); /* a hint */
    }
    return at;
}

void pages_unmap(void *at, uint64_t bytes)
{
    if (at) {
        munmap(at, bytes);
    }
}

void pages_populate(void *at, uint64_t bytes)
{
    (void)madvise(at, bytes, MADV_POPULATE_WRITE);
}

void pages_give_back(void *at, uint64_t bytes)
{
    (void)madvise(at, bytes, MADV_DONTNEED);
}
