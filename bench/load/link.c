/* link.c - opening clients, waiting and trying again. Threads: any. */
#include "load/link.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"

/* A message counts as under way until its callback has returned: room for those that run at once,
 * so that the next message can be sent from there. */
#define CALLBACKS_MAX 16u

enum hf_status link_open(struct link *link, const struct load_options *options)
{
    memset(link, 0, sizeof *link);
    link->give_up_ns = (uint64_t)(options->give_up_s * 1e9);
    uint32_t in_flight = options->in_flight + CALLBACKS_MAX;
    struct hf_options client_options = {
        .in_flight_max = in_flight < CLIENT_IN_FLIGHT_MAX ? in_flight : CLIENT_IN_FLIGHT_MAX,
        .token = options->token,
    };
    for (uint32_t i = 0; i < options->connections; i++) {
        enum hf_status status = hf_client_open(&link->clients[i], options->url, &client_options);
        if (status != HF_OK) {
            link_close(link);
            return status;
        }
        link->client_count++;
    }
    return HF_OK;
}

void link_close(struct link *link)
{
    for (uint32_t i = 0; i < link->client_count; i++) {
        hf_client_close(link->clients[i]);
    }
    link->client_count = 0;
}

uint64_t link_now_ns(void)
{
    return clock_monotonic_ns(clock_real());
}

void link_sleep_ns(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    (void)nanosleep(&time, NULL);
}

bool link_is_transient(enum hf_status status)
{
    switch (status) {
    case HF_TIMED_OUT:
    case HF_UNREACHABLE:
    case HF_BUSY:
    case HF_READ_ONLY:
    case HF_INTERNAL: /* an engine whose log is closed exits, and is started again */
        return true;
    default:
        return false;
    }
}

bool link_again(const struct link *link, enum hf_status status, uint64_t since_ns)
{
    if (!link_is_transient(status) || link_now_ns() - since_ns > link->give_up_ns) {
        return false;
    }
    link_sleep_ns(LINK_RETRY_NS);
    return true;
}
