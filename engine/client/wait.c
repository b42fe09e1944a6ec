/* wait.c - a caller that waits for its call's done().
 *
 * Threads: one waits, another ends it. */
#include <errno.h>

#include "client/client_internal.h"

#define NS_PER_MS    1000000u
#define TRY_EVERY_MS 10u /* to take a call back that is being sent or answered just now */

void wait_init(struct wait *wait)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&wait->lock, NULL);
    pthread_cond_init(&wait->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    wait->done = false;
}

void wait_deinit(struct wait *wait)
{
    pthread_cond_destroy(&wait->cond);
    pthread_mutex_destroy(&wait->lock);
}

void wait_end(struct wait *wait)
{
    wait->done = true;
    pthread_cond_signal(&wait->cond);
}

bool wait_until(struct wait *wait, uint64_t until_ns)
{
    struct timespec until = client_timespec(until_ns);
    pthread_mutex_lock(&wait->lock);
    while (!wait->done && pthread_cond_timedwait(&wait->cond, &wait->lock, &until) != ETIMEDOUT) {
    }
    bool done = wait->done;
    pthread_mutex_unlock(&wait->lock);
    return done;
}

bool wait_for(struct wait *wait, uint64_t deadline_ns, bool (*take_back)(void *context),
              void *context)
{
    uint64_t until_ns = deadline_ns + (uint64_t)GRACE_MS * NS_PER_MS;
    while (!wait_until(wait, until_ns)) {
        if (take_back(context)) {
            return false;
        }
        until_ns = client_now_ns() + (uint64_t)TRY_EVERY_MS * NS_PER_MS;
    }
    return true;
}
