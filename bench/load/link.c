/* link.c - opening clients, waiting and trying again. Threads: any. */
#include "load/link.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bytes.h"
#include "base/escape.h"
#include "base/limits.h"
#include "load/crew.h"
#include "load/pause.h"

/* A message counts as under way until its callback has returned: room for those that run at once,
 * so that the next message can be sent from there. */
#define CALLBACKS_MAX 16u

#define OTHER_FILES 64u /* in addition to the connections */

/* The usual limit of open files is 1024: raises it as far as needed and permitted. */
static bool allow_files(uint32_t connections)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)connections + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) {
        return true;
    }
    if (limit.rlim_max < needed) {
        fprintf(stderr, "holdfast load: %u connections: this process may have %llu files open\n",
                connections, (unsigned long long)limit.rlim_max);
        return false;
    }
    limit.rlim_cur = needed;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

enum hf_status link_open(struct link *link, const struct load_options *options)
{
    memset(link, 0, sizeof *link);
    link->give_up_ns = (uint64_t)(options->give_up_s * 1e9);
    if (!allow_files(options->connections)) {
        return HF_INVALID;
    }
    uint32_t spare = options->in_flight < CALLBACKS_MAX ? options->in_flight : CALLBACKS_MAX;
    uint32_t in_flight = options->in_flight + spare;
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

static bool close_one(void *context, uint32_t thread, uint64_t number)
{
    (void)thread;
    hf_client_close(((struct link *)context)->clients[number]);
    return true;
}

void link_close(struct link *link)
{
    /* Closing waits for the client's own things to come to rest: all wait at once. */
    if (link->client_count > 0 && !(link->refused && link->client_count > CREW_THREADS)) {
        if (!crew_run(close_one, link, 0, link->client_count, NULL)) { /* no thread to be had */
            for (uint32_t i = 0; i < link->client_count; i++) {
                hf_client_close(link->clients[i]);
            }
        }
    }
    link->client_count = 0;
}

struct greeting {
    const struct link *link;
    atomic_int failed; /* enum hf_status of the first that failed; HF_OK: none */
};

static bool greet_one(void *context, uint32_t thread, uint64_t number)
{
    struct greeting *greeting = context;
    (void)thread;
    struct hf_engine_status engine;
    enum hf_status status;
    uint64_t since = pause_now_ns();
    do {
        status = hf_get_status(greeting->link->clients[number], &engine);
    } while (link_again(greeting->link, status, since));
    if (status != HF_OK) {
        int none = HF_OK;
        /* relaxed: read after the crew's threads have been joined. */
        atomic_compare_exchange_strong_explicit(&greeting->failed, &none, (int)status,
                                                memory_order_relaxed, memory_order_relaxed);
    }
    return status == HF_OK;
}

enum hf_status link_greet(struct link *link)
{
    struct greeting greeting = {.link = link};
    atomic_init(&greeting.failed, (int)HF_OK);
    if (!crew_run(greet_one, &greeting, 0, link->client_count, NULL)) {
        link->refused = true;
        int failed = atomic_load_explicit(&greeting.failed, memory_order_relaxed);
        return failed != HF_OK ? (enum hf_status)failed : HF_NO_MEMORY;
    }
    return HF_OK;
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

const char *link_reason(enum hf_status status, const char *text, char room[LINK_MESSAGE_BYTES])
{
    /* The load generator's own memory may be short, too: no call of the library says that. */
    bool plain = status == HF_NO_MEMORY || *text == '\0';
    escape_text(bytes_of(plain ? hf_status_text(status) : text), room, LINK_MESSAGE_BYTES);
    return room;
}

const char *link_message(enum hf_status status, char room[LINK_MESSAGE_BYTES])
{
    return link_reason(status, hf_last_message(), room);
}

bool link_again(const struct link *link, enum hf_status status, uint64_t since_ns)
{
    if (!link_is_transient(status) || pause_now_ns() - since_ns > link->give_up_ns) {
        return false;
    }
    pause_ns(LINK_RETRY_NS);
    return true;
}
