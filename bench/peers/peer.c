/* peer.c - see peer.h. */
#include "peer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum phase { PHASE_WARM_UP, PHASE_MEASURED, PHASE_OVER };

/* relaxed throughout: a hint that threads see soon; joining them orders their figures. */
static _Atomic int phase;

void peer_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static bool read_option(struct peer_options *options, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"--host", &options->host},
                 {"--url", &options->url},
                 {"--file", &options->file},
                 {"--mode", &options->mode}};
    const struct {
        const char *name;
        uint32_t *to;
    } numbers[] = {{"--port", &options->port},
                   {"--connections", &options->connections},
                   {"--in-flight", &options->in_flight},
                   {"--batch", &options->batch},
                   {"--skus", &options->skus},
                   {"--request-bytes", &options->request_bytes},
                   {"--reply-bytes", &options->reply_bytes}};
    const struct {
        const char *name;
        double *to;
    } reals[] = {{"--seconds", &options->seconds},
                 {"--warm-up", &options->warm_up},
                 {"--rate", &options->rate}};

    char *end = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].to = value;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            unsigned long number = strtoul(value, &end, 10);
            *numbers[i].to = (uint32_t)number;
            return end != value && *end == '\0' && number >= 1 && number <= UINT32_MAX;
        }
    }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        if (strcmp(name, reals[i].name) == 0) {
            *reals[i].to = strtod(value, &end);
            return end != value && *end == '\0' && *reals[i].to >= 0;
        }
    }
    return false;
}

void peer_options_parse(struct peer_options *options, int argc, char **argv)
{
    *options = (struct peer_options){.host = "127.0.0.1",
                                     .connections = 1,
                                     .in_flight = 1,
                                     .batch = 1,
                                     .skus = 1,
                                     .request_bytes = 64,
                                     .reply_bytes = 64,
                                     .seconds = 1};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc || !read_option(options, argv[i], argv[i + 1])) {
            fprintf(stderr, "%s: bad option %s; bench/peers.sh shows how it is used\n", argv[0],
                    argv[i]);
            exit(2);
        }
    }
    if (options->connections > PEER_WORKERS_MAX) {
        fprintf(stderr, "%s: at most %u connections\n", argv[0], PEER_WORKERS_MAX);
        exit(2);
    }
}

uint64_t peer_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void peer_worker_init(struct peer_worker *worker, const struct peer_options *options,
                      uint32_t index)
{
    memset(worker, 0, sizeof *worker);
    worker->options = options;
    worker->index = index;
    if (getrandom(&worker->id_hi, sizeof worker->id_hi, 0) != (ssize_t)sizeof worker->id_hi) {
        peer_fail("getrandom failed");
    }
    worker->random = worker->id_hi | 1;
}

uint32_t peer_next_sku(struct peer_worker *worker)
{
    /* xorshift64 (Marsaglia): good enough to spread orders. */
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return (uint32_t)(worker->random >> 32) % worker->options->skus;
}

bool peer_goes_on(void)
{
    return atomic_load_explicit(&phase, memory_order_relaxed) != PHASE_OVER;
}

void peer_count(struct peer_worker *worker, uint64_t orders, uint64_t since_ns)
{
    int now = atomic_load_explicit(&phase, memory_order_relaxed);
    if (now == PHASE_MEASURED || (now == PHASE_OVER && worker->done == 0)) {
        worker->done += orders;
        histogram_add(&worker->latency, peer_now_ns() - since_ns);
    }
}

static void pass(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) != 0) {
    }
}

double peer_let_pass(const struct peer_options *options)
{
    pass(options->warm_up);
    uint64_t since = peer_now_ns();
    atomic_store_explicit(&phase, PHASE_MEASURED, memory_order_relaxed);
    pass(options->seconds);
    atomic_store_explicit(&phase, PHASE_OVER, memory_order_relaxed);
    return (double)(peer_now_ns() - since) / 1e9;
}

struct thread_start {
    void (*work)(struct peer_worker *worker);
    struct peer_worker *worker;
};

static void *thread_main(void *argument)
{
    struct thread_start *start = argument;
    start->work(start->worker);
    return NULL;
}

void peer_run(const struct peer_options *options, void (*work)(struct peer_worker *worker))
{
    static struct peer_worker workers[PEER_WORKERS_MAX];
    struct thread_start starts[PEER_WORKERS_MAX];
    pthread_t threads[PEER_WORKERS_MAX];

    for (uint32_t i = 0; i < options->connections; i++) {
        peer_worker_init(&workers[i], options, i);
        starts[i] = (struct thread_start){.work = work, .worker = &workers[i]};
        if (pthread_create(&threads[i], NULL, thread_main, &starts[i]) != 0) {
            peer_fail("no thread for connection %u", i);
        }
    }
    double seconds = peer_let_pass(options);
    for (uint32_t i = 0; i < options->connections; i++) {
        pthread_join(threads[i], NULL);
    }
    peer_print(options, workers, options->connections, seconds);
}

void peer_print(const struct peer_options *options, const struct peer_worker *workers,
                uint32_t count, double seconds)
{
    static struct histogram all;
    uint64_t done = 0;
    for (uint32_t i = 0; i < count; i++) {
        histogram_merge(&all, &workers[i].latency);
        done += workers[i].done;
    }
    if (done == 0) {
        peer_fail("nothing was done within %.1f s", seconds);
    }
    printf("{\"per_s\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
           "\"count\":%" PRIu64 ",\"seconds\":%.3f,\"connections\":%" PRIu32
           ",\"in_flight\":%" PRIu32 ",\"batch\":%" PRIu32 "}\n",
           (double)done / seconds, (double)histogram_quantile(&all, 0.5) / 1e3,
           (double)histogram_quantile(&all, 0.99) / 1e3,
           (double)histogram_quantile(&all, 0.999) / 1e3, (double)all.max / 1e3, done, seconds,
           options->connections, options->in_flight, options->batch);
}
