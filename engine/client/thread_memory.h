/* thread_memory.h - memory of a thread for a result's array.
 *
 * Threads: any; each has its own. It is freed when its thread ends. */
#ifndef CLIENT_THREAD_MEMORY_H
#define CLIENT_THREAD_MEMORY_H

#include <stddef.h>

/* At least `bytes` of this thread's memory, valid until its next call; NULL: out of memory. The
 * memory is kept and only ever grows, so calls in a row allocate nothing. */
void *thread_memory(size_t bytes);

#endif
