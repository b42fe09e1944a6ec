/* sim_machine.h - a simulated machine's clocks, with faults, and what an engine's wall time may
 * make of them.
 *
 * True time passes evenly. So does the time since the machine's start, but that begins again with
 * each boot. The wall clock is off from true time: it jumps, ahead or back, for a while or for
 * good, takes small steps, stops, or drifts.
 *
 * Threads: one. */
#ifndef TESTS_SIM_MACHINE_H
#define TESTS_SIM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "lib/rng.h"
#include "sim_reach.h"

enum sim_fault {
    FAULT_NONE,  /* the clock is right again */
    FAULT_AHEAD, /* by 5 s to 48 h */
    FAULT_BACK,
    FAULT_STEP, /* by up to 900 ms, ahead or back */
    FAULT_STOP,
    FAULT_DRIFT,
    FAULT_COUNT
};

struct sim_counts {
    uint64_t faults;
    uint64_t believed;  /* jumps that the engine's wall time took over */
    uint64_t gone;      /* that it did not */
    uint64_t same_boot; /* starts of the engine */
    uint64_t other_boot;
    uint64_t doubted_starts; /* with a clock that had jumped */
};

struct sim_machine {
    struct clock clock; /* hand this to the engine */
    uint64_t true_ms;   /* Unix time */
    uint64_t boot_ms;   /* since the machine's start */
    uint64_t boot;
    enum sim_fault fault;
    int64_t off_ms;        /* the wall clock less true time */
    uint64_t off_since_ms; /* true time when that last changed by what is no small step */
    /* The engine's wall time less true time, when it was last read. */
    int64_t wall_off_ms;
    int64_t wall_low_ms; /* the least and the most since its start, or since a jump was believed */
    int64_t wall_high_ms;
    uint64_t looked_ms; /* true time then */
    bool far;           /* the wall clock is off by a jump */
    uint64_t far_since_ms;
    bool believed;         /* a jump, since the engine's start */
    uint64_t started_boot; /* the one in which the engine was last started */
    struct sim_counts counts;
};

void sim_machine_init(struct sim_machine *machine, uint64_t true_ms);

/* Time passes. */
void sim_machine_pass(struct sim_machine *machine, uint64_t ms);

/* The machine is off for a while, and started again. */
void sim_machine_boot(struct sim_machine *machine, uint64_t off_ms);

/* Something happens to the wall clock. */
void sim_machine_fault(struct sim_machine *machine, struct rng *rng);

/* Whether the engine's wall time may be what it is, when it was right at the last look; to be
 * called each time that it reads the clock. False, with what is wrong. */
bool sim_machine_check(struct sim_machine *machine, uint64_t wall_ms, char *what, size_t bytes);

/* An engine has started; true: in the same boot as the one before. */
bool sim_machine_started(struct sim_machine *machine);

/* Then: wall time before (the last look at it) and after. */
bool sim_machine_check_start(struct sim_machine *machine, bool same_boot, uint64_t before_ms,
                             uint64_t after_ms, char *what, size_t bytes);

/* Adds what happened to the counts of what was reached. */
void sim_machine_reach(const struct sim_machine *machine, uint64_t total[REACH_COUNT]);

#endif
