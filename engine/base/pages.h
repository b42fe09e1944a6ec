/* pages.h - address space whose memory comes with use.
 *
 * Tables reserve at start what they may ever need, so that nothing is allocated while a lock is
 * held. Threads: any; pure system calls, so never under a spin lock. */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stdint.h>

#define PAGE_BYTES 4096u

/* So many bytes of zeros; NULL when the system refuses. */
void *pages_map(uint64_t bytes);

/* The same, in huge pages where the system has them: fewer TLB misses on what is hit at random,
 * fewer page faults on what grows densely. */
void *pages_map_huge(uint64_t bytes);

/* The same, never in huge pages: for what is touched sparsely. */
void *pages_map_small(uint64_t bytes);

/* NULL is allowed. */
void pages_unmap(void *at, uint64_t bytes);

/* Takes memory now. A hint: what the system refuses is taken later. */
void pages_populate(void *at, uint64_t bytes);

/* Gives memory back; the bytes are zero afterwards. `at` and `bytes` in whole pages. */
void pages_give_back(void *at, uint64_t bytes);

#endif
