/* main.c - holdfast_machine: one figure of the machine, as one line of JSON. bench/machine.py runs
 * it.
 *
 *   holdfast_machine hiccups [--seconds S] [--warm-up S] [--spinning THREADS]
 *   holdfast_machine miss [--seconds S] [--mib N] [--threads N]
 *
 * SIGTERM or SIGINT ends `hiccups` early, with the figures so far: it may run beside a program of
 * unknown length. Exit status: 0 measured; 1 it could not; 2 wrong usage.
 * Threads: main measures; a signal only sets a flag. */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/hiccups.h"
#include "machine/miss.h"

struct options {
    double seconds;
    double warm_up_s;
    double spinning;
    double mib;
    double threads;
};

static atomic_bool stop; /* relaxed throughout: it carries nothing else */

static void on_signal(int number)
{
    (void)number;
    atomic_store_explicit(&stop, true, memory_order_relaxed);
}

static int usage(const char *what)
{
    fprintf(stderr,
            "holdfast_machine: %s\n"
            "usage: holdfast_machine hiccups [--seconds S] [--warm-up S] [--spinning THREADS]\n"
            "       holdfast_machine miss [--seconds S] [--mib N] [--threads N]\n",
            what);
    return 2;
}

static bool read_number(const char *text, double least, double most, double *to)
{
    char *end = NULL;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= least && number <= most)) {
        return false;
    }
    *to = number;
    return true;
}

static bool read_option(struct options *options, const char *name, const char *text)
{
    const struct {
        const char *name;
        double least;
        double most;
        double *to;
    } numbers[] = {
        {"--seconds", 0.001, HICCUPS_SECONDS_MAX, &options->seconds},
        {"--warm-up", 0, HICCUPS_SECONDS_MAX, &options->warm_up_s},
        {"--spinning", 0, HICCUPS_SPINNING_MAX, &options->spinning},
        {"--mib", 1, (double)(MISS_BYTES_MAX >> 20), &options->mib},
        {"--threads", 1, MISS_THREADS_MAX, &options->threads},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return read_number(text, numbers[i].least, numbers[i].most, numbers[i].to);
        }
    }
    return false;
}

static int failed(const char *what, int error)
{
    fprintf(stderr, "holdfast_machine: %s: %s\n", what, strerror(error));
    return 1;
}

static int print_hiccups(const struct options *options)
{
    struct hiccups_plan plan = {.warm_up_s = options->warm_up_s,
                                .seconds = options->seconds,
                                .spinning = (uint32_t)options->spinning};
    static struct hiccups hiccups;
    int error = hiccups_measure(&plan, &stop, &hiccups);
    if (error != 0) {
        return failed("no thread that spins", error);
    }
    const struct histogram *late = &hiccups.late;
    printf("{\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"count\":%" PRIu64
           ",\"seconds\":%.3f,\"spinning\":%" PRIu32 "}\n",
           (double)histogram_quantile(late, 0.5) / 1e3,
           (double)histogram_quantile(late, 0.99) / 1e3,
           (double)histogram_quantile(late, 0.999) / 1e3, (double)late->max / 1e3, late->count,
           hiccups.seconds, plan.spinning);
    return 0;
}

static int print_miss(const struct options *options)
{
    if (options->seconds > MISS_SECONDS_MAX) {
        return usage("miss: --seconds is too long");
    }
    struct miss_plan plan = {.bytes = MISS_BYTES_MIN,
                             .seconds = options->seconds,
                             .threads = (uint32_t)options->threads};
    while (plan.bytes * 2 <= (uint64_t)options->mib << 20) { /* a power of two, not above --mib */
        plan.bytes *= 2;
    }
    struct miss miss;
    int error = miss_measure(&plan, &miss);
    if (error != 0) {
        return failed("miss", error);
    }
    printf("{\"alone_ns\":%.1f,\"in_flight_ns\":%.2f,\"all_in_flight_ns\":%.2f,\"in_flight\":%u"
           ",\"threads\":%" PRIu32 ",\"bytes\":%" PRIu64 ",\"huge_share\":%.3f}\n",
           miss.alone_ns, miss.in_flight_ns, miss.all_in_flight_ns, MISS_IN_FLIGHT, plan.threads,
           plan.bytes, miss.huge_share);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.seconds = 1, .mib = 512, .threads = 1};
    if (argc < 2) {
        return usage("what is to be measured?");
    }
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 == argc || !read_option(&options, argv[i], argv[i + 1])) {
            return usage(argv[i]);
        }
    }
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (strcmp(argv[1], "hiccups") == 0) {
        return print_hiccups(&options);
    }
    if (strcmp(argv[1], "miss") == 0) {
        return print_miss(&options);
    }
    return usage(argv[1]);
}
