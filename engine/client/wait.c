/* wait.c - a caller that waits for its call's done(). */
#include "client/wait.h"

#include <assert.h>
#include <errno.h>

#include "base/check.h"
#include "client/deadline.h"

#define TRANSPORT_LATE_MS 100u /* by which the transport may end a call after its timeout */
#define TRY_EVERY_MS      10u  /* to take a call back that is being sent or answered just now */

static_assert(GRACE_MS > LATE_MS_MAX + TRANSPORT_LATE_MS, "the grace outlasts both delays");

void wait_init(struct wait *wait)
{
    pthread_mutex_init(&wait->lock, NULL);
    client_cond_init(&wait->cond);
    wait->done = false;
}

void wait_deinit(struct wait *wait)
{
    pthread_cond_destroy(&wait->cond);
    pthread_mutex_destroy(&wait->lock);
}

void wait_end(struct wait *wait)
{
    CHECK(!wait->done);
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
