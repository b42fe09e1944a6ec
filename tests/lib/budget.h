/* budget.h - how many seeds or rounds a random test runs: those that fit into its seconds.
 *
 *     struct budget budget = budget_make("histories", 40, 2.0, 150000);
 *     while (budget_next(&budget)) {
 *         run_history(first_seed + budget.round);
 *     }
 *
 * A slow or busy machine runs fewer and still ends in time; at the end a line shows how many
 * were run, such as "ran 1234 histories in 5.0 s (floor 40)". Nothing that a test asserts may
 * depend on the number beyond the floor.
 *
 * Threads: a struct budget belongs to one. */
#ifndef TESTS_LIB_BUDGET_H
#define TESTS_LIB_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct budget {
    const char *what;  /* that are counted, such as "seeds" */
    uint64_t round;    /* the present one, from 0; after the last: how many were run */
    uint64_t floor;    /* rounds that always run */
    uint64_t most;     /* the most rounds that run */
    uint64_t begun_ns; /* CLOCK_MONOTONIC */
    double seconds;    /* no further round begins after these */
    bool started;
};

/* floor    runs whatever the time; to be chosen so that it takes a second or less on this project's
 *          machines: a busy machine that is ten times slower then ends far within its time limit.
 * seconds  for the whole of it; HOLDFAST_TEST_SECONDS in the environment takes their place (0: the
 *          floor alone).
 * many     exactly this number of rounds runs when HOLDFAST_LONG is set (tests/run.sh --long),
 * whatever the time.
 *
 * A set SEED means one round: that seed alone. A HOLDFAST_TEST_SECONDS that is no number ends the
 * program with status 2. */
struct budget budget_make(const char *what, uint64_t floor, double seconds, uint64_t many);

/* True: run round budget->round. False: it was enough, and the line has been printed. */
bool budget_next(struct budget *budget);

#endif
