/* hiccups.c - see hiccups.h. Threads: the caller's sleeps; the spinning ones share only a flag. */
#include "machine/hiccups.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/check.h"

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Spinning threads ---- */

struct spinners {
    pthread_t *threads;
    uint32_t count; /* started */
    atomic_bool over;
};

/* relaxed: the flag carries nothing else, and joining orders the rest. */
static void *spin(void *argument)
{
    const struct spinners *spinners = argument;
    while (!atomic_load_explicit(&spinners->over, memory_order_relaxed)) {
    }
    return NULL;
}

static void spinners_stop(struct spinners *spinners)
{
    atomic_store_explicit(&spinners->over, true, memory_order_relaxed);
    for (uint32_t i = 0; i < spinners->count; i++) {
        pthread_join(spinners->threads[i], NULL);
    }
    free(spinners->threads);
}

static int spinners_start(struct spinners *spinners, uint32_t count)
{
    spinners->count = 0;
    atomic_init(&spinners->over, false);
    spinners->threads = calloc(count > 0 ? count : 1, sizeof *spinners->threads);
    int error = spinners->threads ? 0 : ENOMEM;
    while (error == 0 && spinners->count < count) {
        error = pthread_create(&spinners->threads[spinners->count], NULL, spin, spinners);
        spinners->count += error == 0 ? 1 : 0;
    }
    if (error != 0) {
        spinners_stop(spinners);
    }
    return error;
}

/* ---- Sleeping ---- */

/* Sleeps until end_ns, a millisecond at a time. `late` may be NULL. */
static void sleep_until(uint64_t end_ns, const atomic_bool *stop, struct histogram *late)
{
    const struct timespec pause = {.tv_nsec = HICCUPS_SLEEP_NS};
    uint64_t before = now_ns();
    while (before < end_ns && !atomic_load_explicit(stop, memory_order_relaxed)) {
        bool slept = nanosleep(&pause, NULL) == 0;
        uint64_t after = now_ns();
        if (slept && late) { /* a signal ends a sleep early: that one says nothing */
            uint64_t took = after - before;
            histogram_add(late, took > HICCUPS_SLEEP_NS ? took - HICCUPS_SLEEP_NS : 0);
        }
        before = after;
    }
}

static uint64_t ns_of(double seconds)
{
    return (uint64_t)(seconds * 1e9);
}

int hiccups_measure(const struct hiccups_plan *plan, const atomic_bool *stop,
                    struct hiccups *hiccups)
{
    CHECK(plan->seconds > 0 && plan->seconds <= HICCUPS_SECONDS_MAX);
    CHECK(plan->warm_up_s >= 0 && plan->warm_up_s <= HICCUPS_SECONDS_MAX);
    CHECK(plan->spinning <= HICCUPS_SPINNING_MAX);
    memset(hiccups, 0, sizeof *hiccups);
    (void)prctl(PR_SET_TIMERSLACK, 1ul); /* without it, each sleep ends some 50 us late */
    struct spinners spinners;
    int error = spinners_start(&spinners, plan->spinning);
    if (error != 0) {
        return error;
    }
    sleep_until(now_ns() + ns_of(plan->warm_up_s), stop, NULL);
    uint64_t since = now_ns();
    sleep_until(since + ns_of(plan->seconds), stop, &hiccups->late);
    hiccups->seconds = (double)(now_ns() - since) / 1e9;
    spinners_stop(&spinners);
    return 0;
}
