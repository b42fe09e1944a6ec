/* parallel.c - one piece of work done by several threads at once. Threads: any caller. */
#include "base/parallel.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/limits.h"

struct part {
    void (*work)(void *context, unsigned number);
    void *context;
    unsigned number;
    pthread_t thread;
    bool running;
};

static void *part_main(void *argument)
{
    const struct part *part = argument;
    part->work(part->context, part->number);
    return NULL;
}

void parallel_run(unsigned count, void (*work)(void *context, unsigned number), void *context)
{
    struct part parts[THREADS_MAX];
    CHECK(count >= 1 && count <= THREADS_MAX);
    for (unsigned i = 0; i + 1 < count; i++) {
        parts[i] = (struct part){.work = work, .context = context, .number = i};
        parts[i].running = pthread_create(&parts[i].thread, NULL, part_main, &parts[i]) == 0;
    }
    work(context, count - 1);
    for (unsigned i = 0; i + 1 < count; i++) {
        if (parts[i].running) {
            pthread_join(parts[i].thread, NULL);
        } else {
            work(context, i);
        }
    }
}
