/* thread_memory.c - memory of a thread for a result's array. */
#include "client/thread_memory.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"

/* Freed when the thread ends, through the key's destructor. Its size is in front of it. */
static pthread_key_t memory_key;
static pthread_once_t memory_once = PTHREAD_ONCE_INIT;

struct thread_memory {
    size_t bytes;
    max_align_t data[];
};

static void make_memory_key(void)
{
    pthread_key_create(&memory_key, free);
}

void *thread_memory(size_t bytes)
{
    pthread_once(&memory_once, make_memory_key);
    struct thread_memory *memory = pthread_getspecific(memory_key);
    if (!memory || memory->bytes < bytes) {
        memory = realloc(memory, sizeof *memory + bytes);
        if (!memory) {
            return NULL;
        }
        memory->bytes = bytes;
        pthread_setspecific(memory_key, memory);
    }
    CHECK(memory->bytes >= bytes);
    return memory->data;
}
