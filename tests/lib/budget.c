/* budget.c - see the header. Threads: see the header. */
#include "lib/budget.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is_set(const char *name)
{
    const char *text = getenv(name);
    return text && *text != '\0';
}

static double seconds_from_env(double otherwise)
{
    if (!is_set("HOLDFAST_TEST_SECONDS")) {
        return otherwise;
    }
    const char *text = getenv("HOLDFAST_TEST_SECONDS");
    char *end;
    double seconds = strtod(text, &end);
    if (*end != '\0' || !isfinite(seconds) || seconds < 0) {
        fprintf(stderr, "HOLDFAST_TEST_SECONDS=%s is not a number of seconds\n", text);
        exit(2);
    }
    return seconds;
}

struct budget budget_make(const char *what, uint64_t floor, double seconds, uint64_t many)
{
    struct budget budget = {.what = what, .floor = floor, .most = UINT64_MAX};
    const char *is_long = getenv("HOLDFAST_LONG");
    if (is_set("SEED")) {
        budget.floor = 1;
        budget.most = 1;
    } else if (is_set("HOLDFAST_LONG") && *is_long != '0') {
        budget.floor = many;
        budget.most = many;
    }
    budget.seconds = seconds_from_env(seconds);
    return budget;
}

bool budget_next(struct budget *budget)
{
    if (!budget->started) {
        budget->started = true;
        budget->begun_ns = now_ns();
    } else {
        budget->round++;
    }
    double elapsed = (double)(now_ns() - budget->begun_ns) / 1e9;
    if (budget->round < budget->floor ||
        (budget->round < budget->most && elapsed < budget->seconds)) {
        return true;
    }
    printf("ran %llu %s in %.1f s (floor %llu)\n", (unsigned long long)budget->round, budget->what,
           elapsed, (unsigned long long)budget->floor);
    fflush(stdout);
    return false;
}
