/* miss.c - see miss.h. Threads: the caller's, and readers, which share only the memory (zeros). */
#include "machine/miss.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/pages.h"

#define LINE_BYTES 64u
#define ROUNDS     2048u /* of all chains between two looks at the clock: below a millisecond */

struct memory {
    unsigned char *at;
    uint64_t bytes;
    unsigned shift; /* what is left of 64 bits after this is the number of a line */
};

struct reader {
    const struct memory *memory;
    uint64_t seed;
    double seconds;
    unsigned chains;
    double access_ns; /* the result */
    pthread_t thread;
};

static double now_s(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The next place of a chain: a linear congruential generator (Knuth's MMIX), whose high bits choose
 * the line, and to which what the line holds is added. It holds 0, but the processor must wait for
 * that before it knows the next address. */
static inline uint64_t next(const struct memory *memory, uint64_t place)
{
    uint64_t value;
    memcpy(&value, memory->at + (place >> memory->shift) * LINE_BYTES, sizeof value);
    return place * 6364136223846793005u + 1442695040888963407u + value;
}

static uint64_t follow_one(const struct memory *memory, uint64_t place)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        place = next(memory, place);
    }
    return place;
}

static void follow_many(const struct memory *memory, uint64_t places[MISS_IN_FLIGHT])
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        for (unsigned k = 0; k < MISS_IN_FLIGHT; k++) {
            places[k] = next(memory, places[k]);
        }
    }
}

static void *read_memory(void *argument)
{
    struct reader *reader = argument;
    uint64_t places[MISS_IN_FLIGHT];
    for (unsigned k = 0; k < MISS_IN_FLIGHT; k++) {
        places[k] = (reader->seed + k) * 0x9e3779b97f4a7c15u; /* far from each other */
    }
    uint64_t accesses = 0;
    double until_s = now_s(CLOCK_MONOTONIC) + reader->seconds;
    double since_s = now_s(CLOCK_THREAD_CPUTIME_ID);
    do {
        if (reader->chains == 1) {
            places[0] = follow_one(reader->memory, places[0]);
        } else {
            follow_many(reader->memory, places);
        }
        accesses += (uint64_t)ROUNDS * reader->chains;
    } while (now_s(CLOCK_MONOTONIC) < until_s);
    double took_s = now_s(CLOCK_THREAD_CPUTIME_ID) - since_s;
    volatile uint64_t kept = 0; /* so that the reads are not left out */
    for (unsigned k = 0; k < MISS_IN_FLIGHT; k++) {
        kept = kept + places[k];
    }
    reader->access_ns = took_s * 1e9 / (double)accesses;
    return NULL;
}

/* Runs so many readers at once; *access_ns is the mean of theirs. */
static int run_readers(const struct memory *memory, uint32_t count, unsigned chains, double seconds,
                       double *access_ns)
{
    struct reader *readers = calloc(count, sizeof *readers);
    int error = readers ? 0 : ENOMEM;
    uint32_t started = 0;
    while (error == 0 && started < count) {
        struct reader *reader = &readers[started];
        *reader = (struct reader){.memory = memory,
                                  .seed = 1 + (uint64_t)started * MISS_IN_FLIGHT,
                                  .seconds = seconds,
                                  .chains = chains};
        error = pthread_create(&reader->thread, NULL, read_memory, reader);
        started += error == 0 ? 1 : 0;
    }
    double sum = 0;
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(readers[i].thread, NULL);
        sum += readers[i].access_ns;
    }
    free(readers);
    *access_ns = error == 0 ? sum / count : 0;
    return error;
}

/* Bytes of this process in huge pages; 0 where the system does not tell. */
static uint64_t huge_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    if (!file) {
        return 0;
    }
    char line[256];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, file) && sscanf(line, "AnonHugePages: %llu kB", &kib) != 1) {
    }
    fclose(file);
    return (uint64_t)kib * 1024;
}

/* All of it written, so that each page is there, and none is the shared page of zeros. */
static int memory_take(struct memory *memory, uint64_t bytes)
{
    *memory = (struct memory){.at = pages_map_huge(bytes), .bytes = bytes, .shift = 64};
    if (!memory->at) {
        return ENOMEM;
    }
    for (uint64_t lines = bytes / LINE_BYTES; lines > 1; lines /= 2) {
        memory->shift--;
    }
    pages_populate(memory->at, bytes);
    for (uint64_t at = 0; at < bytes; at += PAGE_BYTES) {
        *(volatile unsigned char *)(memory->at + at) = 0;
    }
    return 0;
}

int miss_measure(const struct miss_plan *plan, struct miss *miss)
{
    CHECK(plan->bytes >= MISS_BYTES_MIN && plan->bytes <= MISS_BYTES_MAX);
    CHECK((plan->bytes & (plan->bytes - 1)) == 0);
    CHECK(plan->seconds > 0 && plan->seconds <= MISS_SECONDS_MAX);
    CHECK(plan->threads >= 1 && plan->threads <= MISS_THREADS_MAX);
    memset(miss, 0, sizeof *miss);
    uint64_t huge_before = huge_bytes();
    struct memory memory;
    int error = memory_take(&memory, plan->bytes);
    if (error != 0) {
        return error;
    }
    uint64_t huge_after = huge_bytes();
    uint64_t huge = huge_after > huge_before ? huge_after - huge_before : 0;
    miss->huge_share = huge < plan->bytes ? (double)huge / (double)plan->bytes : 1;
    error = run_readers(&memory, 1, 1, plan->seconds, &miss->alone_ns);
    if (error == 0) {
        error = run_readers(&memory, 1, MISS_IN_FLIGHT, plan->seconds, &miss->in_flight_ns);
    }
    if (error == 0) {
        error = run_readers(&memory, plan->threads, MISS_IN_FLIGHT, plan->seconds,
                            &miss->all_in_flight_ns);
    }
    pages_unmap(memory.at, memory.bytes);
    return error;
}
