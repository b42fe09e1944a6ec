/* crew.c - threads over a shared counter. Threads: see crew.h. */
#include "load/crew.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "load/pause.h"

struct crew {
    crew_work work;
    void *context;
    uint64_t end;
    _Atomic(uint64_t) next;
    atomic_bool stopped;
    atomic_uint running;
};

struct member {
    struct crew *crew;
    uint32_t thread;
    pthread_t handle;
};

static void *member_run(void *user)
{
    struct member *member = user;
    struct crew *crew = member->crew;
    while (!atomic_load_explicit(&crew->stopped, memory_order_relaxed)) {
        /* relaxed: hands out numbers only; what the work touches is guarded by the work. */
        uint64_t number = atomic_fetch_add_explicit(&crew->next, 1, memory_order_relaxed);
        if (number >= crew->end) {
            break;
        }
        if (!crew->work(crew->context, member->thread, number)) {
            atomic_store_explicit(&crew->stopped, true, memory_order_relaxed);
        }
    }
    /* relaxed: only paces the caller's naps; pthread_join orders the rest. */
    atomic_fetch_sub_explicit(&crew->running, 1, memory_order_relaxed);
    return NULL;
}

static void wait_for_all(struct crew *crew, uint64_t first,
                         void (*each_second)(void *context, uint64_t begun))
{
    uint64_t last_ns = pause_now_ns();
    while (atomic_load_explicit(&crew->running, memory_order_relaxed) > 0) {
        pause_ns(1000000);
        uint64_t now = pause_now_ns();
        if (each_second && now - last_ns >= 1000000000) {
            last_ns = now;
            each_second(crew->context,
                        atomic_load_explicit(&crew->next, memory_order_relaxed) - first);
        }
    }
}

bool crew_run(crew_work work, void *context, uint64_t first, uint64_t count,
              void (*each_second)(void *context, uint64_t begun))
{
    struct crew crew = {.work = work, .context = context, .end = first + count};
    struct member members[CREW_THREADS];
    uint32_t started = 0;
    atomic_init(&crew.next, first);
    atomic_init(&crew.stopped, false);
    atomic_init(&crew.running, 0);
    while (started < CREW_THREADS && started < count) {
        members[started] = (struct member){.crew = &crew, .thread = started};
        atomic_fetch_add_explicit(&crew.running, 1, memory_order_relaxed);
        if (pthread_create(&members[started].handle, NULL, member_run, &members[started]) != 0) {
            atomic_fetch_sub_explicit(&crew.running, 1, memory_order_relaxed);
            break;
        }
        started++;
    }
    wait_for_all(&crew, first, each_second);
    for (uint32_t i = 0; i < started; i++) {
        CHECK(pthread_join(members[i].handle, NULL) == 0);
    }
    return !atomic_load_explicit(&crew.stopped, memory_order_relaxed) &&
           (started > 0 || count == 0);
}
