/* deadline.c - the clock of the client's deadlines. */
#include "client/deadline.h"

#include "base/check.h"
#include "client/client_internal.h"

uint64_t client_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct timespec client_timespec(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

uint64_t client_deadline_ns(const struct hf_client *client)
{
    CHECK(client->timeout_ms > 0);
    uint64_t own_ns = client_now_ns() + (uint64_t)client->timeout_ms * NS_PER_MS;
    return own_ns < client->until_ns ? own_ns : client->until_ns;
}

void client_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}
