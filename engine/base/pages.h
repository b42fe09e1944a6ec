/* pages.h - memory in whole pages from the system: reserved address space, and buffers.
 *
 * Tables reserve at start all that they may ever need, so that nothing is allocated while a lock is
 * held. Threads: any. Every function here is a system call: never call one under a spin lock. */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stdint.h>

#define PAGE_BYTES 4096u

/* Reserves `bytes` bytes of zeros at a page boundary. The system gives memory to a page when the
 * page is first written. NULL when the system refuses. */
void *pages_map(uint64_t bytes);

/* The same, in huge pages where the system has them: fewer TLB misses on what is hit at random,
 * fewer page faults on what grows densely. */
void *pages_map_huge(uint64_t bytes);

/* The same, never in huge pages: for what is touched sparsely. */
void *pages_map_small(uint64_t bytes);

/* The same for a buffer that will be used whole, such as one for O_DIRECT: the system counts it
 * against its memory now, and so can refuse it now. */
void *pages_map_buffer(uint64_t bytes);

/* Ends any of these mappings; `bytes` as it was mapped. NULL is allowed. */
void pages_unmap(void *at, uint64_t bytes);

/* Takes the memory now. A hint: what the system refuses now is taken at the first write. */
void pages_populate(void *at, uint64_t bytes);

/* Returns the memory to the system; the bytes are zero afterwards. `at` and `bytes` in whole pages.
 */
void pages_give_back(void *at, uint64_t bytes);

#endif
