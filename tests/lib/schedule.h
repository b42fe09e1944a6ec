/* schedule.h - runs a test's threads in an interleaving that a seed chooses.
 *
 * For programs that are linked with the engine's code as it is with schedule points
 * (base/schedule.h). There are two ways.
 *
 * One at a time: a case adds threads of work and runs them. They are coroutines of one system
 * thread, and change only at points, chosen by the seed: the same seed gives the same interleaving.
 * Half of the seeds walk at random; the others give each thread a priority, let the highest run,
 * and lower it at a few points (Burckhardt et al., "A randomized scheduler with probabilistic
 * guarantees of finding bugs", 2010). A thread that waits lets the others run; when no thread makes
 * progress for SCHEDULE_POINTS_MAX points, the case fails. So nothing hangs.
 *
 *     static void two_take_one_unit(struct schedule *schedule)
 *     {
 *         ... set up; schedule->rng is the case's own ...
 *         schedule_add(schedule, take, &first);
 *         schedule_add(schedule, take, &second);
 *         schedule_run(schedule);
 *         SCHEDULE_CHECK(first.taken + second.taken == 1);
 *     }
 *
 * A case that fails, by SCHEDULE_CHECK or by a CHECK of the engine's, prints its name, its SEED and
 * the points that its threads came to. SEED=N and the case's name as argument run that one again.
 *
 * Really at once: schedule_yields() has each point yield the processor now and then. For tests with
 * threads of the system; a seed then only sets how often.
 *
 * Threads: one calls all of this, except the work itself, schedule_wait and SCHEDULE_CHECK. */
#ifndef TESTS_LIB_SCHEDULE_H
#define TESTS_LIB_SCHEDULE_H

#include <stdint.h>

#include "lib/rng.h"

#define SCHEDULE_THREADS_MAX 8u
#define SCHEDULE_POINTS_MAX  200000u /* of one case: beyond, it hangs */

/* One run of a case. */
struct schedule {
    uint64_t seed;
    struct rng rng; /* for what the case sets up and its threads do */
};

struct schedule_case {
    const char *name;
    void (*run)(struct schedule *schedule);
};

/* A thread that schedule_run() will run; at most SCHEDULE_THREADS_MAX. */
void schedule_add(struct schedule *schedule, void (*work)(void *context), void *context);

/* Runs the threads that were added until all have ended. May be called again after more were
 * added. */
void schedule_run(struct schedule *schedule);

/* Between two runs of one case: the second is in an order of its own, as if it were the first. For
 * cases whose setting up costs more than a run. */
void schedule_anew(struct schedule *schedule);

/* In a thread's work: lets the others run, one of which has to change something first. */
void schedule_wait(void);

/* In a thread's work: a point of the test's own. */
void schedule_point(const char *name);

/* Between the two the thread runs alone: its points are none. For what a test keeps beside the code
 * under test, and with the same code. Must not wait for another thread. */
void schedule_alone(void);
void schedule_together(void);

/* Called at each point, on the thread that has come to it, before another may run; NULL: none. For
 * what must hold at every moment. Reset when a case begins. */
void schedule_watch(void (*watch)(void *context, const char *point), void *context);

/* Runs each case with one seed after another, as many as the budget allows (budget.h): `floor`,
 * `seconds` and `many` are of rounds, each of which runs every case once. The program's argument,
 * if there is one, is the only case to run. Returns the exit status. */
int schedule_main(int argc, char **argv, const struct schedule_case *cases, unsigned case_count,
                  uint64_t floor, double seconds, uint64_t many);

#define SCHEDULE_CHECK(condition)                                                                  \
    ((condition) ? (void)0 : schedule_failed(__FILE__, __LINE__, #condition))

/* Two numbers that must be the same; both are printed. */
#define SCHEDULE_CHECK_EQUAL(is, expected)                                                         \
    schedule_check_equal(__FILE__, __LINE__, #is, (int64_t)(is), (int64_t)(expected))

_Noreturn void schedule_failed(const char *file, int line, const char *what);
void schedule_check_equal(const char *file, int line, const char *what, int64_t is,
                          int64_t expected);

/* From now on each thread that comes to a point yields once in `one_in` of them. */
void schedule_yields(uint64_t seed, uint64_t one_in);

#endif
