/* sim_reach.c - counts of what the seeds reached. Threads: one. */
#include "sim_reach.h"

#include <stdio.h>

static const struct {
    uint64_t floor;
    const char *text;
} rows[REACH_COUNT] = {
#define REACH_ROW(name, floor, text) {floor, text},
    REACH_ALL(REACH_ROW)
#undef REACH_ROW
};

void reach_add(uint64_t total[REACH_COUNT], const uint64_t more[REACH_COUNT])
{
    for (int i = 0; i < REACH_COUNT; i++) {
        total[i] += more[i];
    }
}

uint64_t reach_crashes(const uint64_t counts[REACH_COUNT])
{
    return counts[REACH_POWER_CUTS] + counts[REACH_POWER_CUTS_WITHIN] + counts[REACH_KILLS] +
           counts[REACH_KILLS_WITHIN];
}

void reach_print(const uint64_t counts[REACH_COUNT], uint64_t seeds)
{
    printf("%-58s %12s %12s\n", "reached", "count", "per 1000");
    for (int i = 0; i < REACH_COUNT; i++) {
        printf("%-58s %12llu %12.1f\n", rows[i].text, (unsigned long long)counts[i],
               seeds ? (double)counts[i] * 1000 / (double)seeds : 0);
    }
    printf("crashes, each recovered from and held against the model: %llu\n",
           (unsigned long long)reach_crashes(counts));
}

bool reach_suffices(const uint64_t counts[REACH_COUNT])
{
    bool fine = true;
    for (int i = 0; i < REACH_COUNT; i++) {
        if (counts[i] < rows[i].floor) {
            fprintf(stderr, "FAILED: %u seeds reached too little: %s: %llu, at least %llu\n",
                    REACH_FLOOR_SEEDS, rows[i].text, (unsigned long long)counts[i],
                    (unsigned long long)rows[i].floor);
            fine = false;
        }
    }
    return fine;
}
