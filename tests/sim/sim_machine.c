/* sim_machine.c - a simulated machine's clocks, and what an engine's wall time may make of them.
 *
 * The checks know the rule of docs/decisions/0014-time.md, not how the engine keeps it: they look
 * at true time, at how far the clock is off, and at what wall time did since the last look. */
#include "sim_machine.h"

#include <stdio.h>
#include <stdlib.h>

#define SLEW_MS    1000   /* a greater difference is a jump */
#define CONFIRM_MS 300000 /* and is believed after so long */
#define LATE_MS    25000  /* and must be then: two looks are at most 10 s apart */
#define DAY_MS     86400000

static uint64_t machine_unix_ns(void *context)
{
    const struct sim_machine *machine = context;
    return (uint64_t)((int64_t)machine->true_ms + machine->off_ms) * 1000000u;
}

static uint64_t machine_boottime_ns(void *context)
{
    return ((const struct sim_machine *)context)->boot_ms * 1000000u;
}

static uint64_t machine_boot(void *context)
{
    return ((const struct sim_machine *)context)->boot;
}

void sim_machine_init(struct sim_machine *machine, uint64_t true_ms)
{
    *machine =
        (struct sim_machine){.true_ms = true_ms, .looked_ms = true_ms, .boot_ms = 60000, .boot = 1};
    machine->clock = (struct clock){machine, machine_unix_ns, machine_boottime_ns,
                                    machine_boottime_ns, machine_boot};
}

static void set_off(struct sim_machine *machine, int64_t off_ms)
{
    if (llabs(off_ms - machine->off_ms) > SLEW_MS) {
        machine->off_since_ms = machine->true_ms;
    }
    machine->off_ms = off_ms;
}

void sim_machine_pass(struct sim_machine *machine, uint64_t ms)
{
    machine->true_ms += ms;
    machine->boot_ms += ms;
    if (machine->fault == FAULT_STOP || machine->fault == FAULT_DRIFT) {
        machine->off_ms += machine->fault == FAULT_STOP ? -(int64_t)ms : (int64_t)ms / 8;
        machine->off_since_ms = machine->true_ms;
    }
}

void sim_machine_boot(struct sim_machine *machine, uint64_t off_ms)
{
    machine->true_ms += off_ms;
    machine->boot_ms = 20000 + off_ms % 300000; /* the engine may start late */
    machine->boot++;
}

void sim_machine_fault(struct sim_machine *machine, struct rng *rng)
{
    enum sim_fault fault = (enum sim_fault)rng_below(rng, FAULT_COUNT);
    int64_t jump_ms = 5000 + (int64_t)rng_below(rng, rng_chance(rng, 2) ? 60000 : 2 * DAY_MS);
    machine->fault = fault;
    machine->counts.faults++;
    switch (fault) {
    case FAULT_NONE:
        set_off(machine, 0);
        break;
    case FAULT_AHEAD:
        set_off(machine, jump_ms);
        break;
    case FAULT_BACK:
        set_off(machine, -jump_ms);
        break;
    case FAULT_STEP:
        set_off(machine, machine->off_ms + (int64_t)rng_below(rng, 1800) - 900);
        break;
    default:
        break;
    }
}

/* What is known after a look. */
static void looked(struct sim_machine *machine, int64_t wall_off_ms)
{
    bool far = llabs(machine->off_ms - wall_off_ms) > SLEW_MS;
    if (far && !machine->far) {
        machine->far_since_ms = machine->true_ms;
    }
    machine->far = far;
    machine->wall_off_ms = wall_off_ms;
    machine->wall_low_ms = wall_off_ms < machine->wall_low_ms ? wall_off_ms : machine->wall_low_ms;
    machine->wall_high_ms =
        wall_off_ms > machine->wall_high_ms ? wall_off_ms : machine->wall_high_ms;
    machine->looked_ms = machine->true_ms;
}

/* Whether wall time was put right bit by bit: at a tenth of the time, and towards the clock. */
static bool slewed_well(const struct sim_machine *machine, int64_t moved_ms, int64_t gone_ms)
{
    int64_t off_ms = machine->off_ms - machine->wall_off_ms;
    bool towards = (moved_ms > 0) == (off_ms > 0) && llabs(moved_ms) <= llabs(off_ms);
    return moved_ms == 0 || (towards && llabs(moved_ms) <= gone_ms / 10 + 1);
}

bool sim_machine_check(struct sim_machine *machine, uint64_t wall_ms, char *what, size_t bytes)
{
    int64_t wall_off_ms = (int64_t)(wall_ms - machine->true_ms);
    int64_t moved_ms = wall_off_ms - machine->wall_off_ms;
    int64_t gone_ms = (int64_t)(machine->true_ms - machine->looked_ms);
    int64_t off_ms = machine->off_ms - machine->wall_off_ms;
    bool jump = llabs(off_ms) > SLEW_MS;
    snprintf(what, bytes, "wall time moved by %lld ms in %lld ms, the clock is off by %lld",
             (long long)moved_ms, (long long)gone_ms, (long long)off_ms);
    bool fine = true;
    if (!jump) {
        machine->counts.gone += machine->far;
        fine = slewed_well(machine, moved_ms, gone_ms);
    } else if (moved_ms != 0) {
        fine = machine->far && moved_ms == off_ms &&
               machine->true_ms - machine->far_since_ms >= CONFIRM_MS;
        machine->believed = true;
        machine->counts.believed++;
        machine->wall_low_ms = machine->wall_high_ms = wall_off_ms;
    } else {
        uint64_t since_ms = machine->off_since_ms > machine->far_since_ms ? machine->off_since_ms
                                                                          : machine->far_since_ms;
        fine = !machine->far || machine->true_ms - since_ms < CONFIRM_MS + LATE_MS;
    }
    looked(machine, wall_off_ms);
    return fine;
}

bool sim_machine_started(struct sim_machine *machine)
{
    bool same = machine->started_boot == machine->boot;
    machine->started_boot = machine->boot;
    machine->counts.same_boot += same;
    machine->counts.other_boot += !same;
    return same;
}

bool sim_machine_check_start(struct sim_machine *machine, bool same_boot, uint64_t before_ms,
                             uint64_t after_ms, char *what, size_t bytes)
{
    int64_t wall_off_ms = (int64_t)(after_ms - machine->true_ms);
    int64_t low_ms = machine->wall_low_ms;
    int64_t high_ms = machine->wall_high_ms;
    bool clocks = wall_off_ms == machine->off_ms;
    bool fine = true;
    snprintf(what, bytes, "a start: wall time is off by %lld ms, the clock by %lld, before %lld",
             (long long)wall_off_ms, (long long)machine->off_ms, (long long)machine->wall_off_ms);
    if (same_boot) {
        /* It continues where a block of the log has left it (a jump that was believed may be in
         * none yet), or is slewed forward at once. */
        bool near = machine->off_ms >= low_ms && machine->off_ms <= high_ms + SLEW_MS;
        fine = machine->believed || (wall_off_ms >= low_ms && wall_off_ms <= high_ms) ||
               (clocks && near);
    } else {
        /* Far ahead of all that the log can say: nothing but the log is believed. */
        uint64_t clock_ms = (uint64_t)((int64_t)machine->true_ms + machine->off_ms);
        fine = machine->believed || clocks || after_ms <= before_ms;
        if (!machine->believed && clock_ms > before_ms + DAY_MS) {
            fine = after_ms <= before_ms;
        }
    }
    machine->counts.doubted_starts += llabs(machine->off_ms - wall_off_ms) > SLEW_MS;
    machine->far = false;
    machine->believed = false;
    machine->wall_low_ms = machine->wall_high_ms = wall_off_ms;
    looked(machine, wall_off_ms);
    return fine;
}

void sim_machine_reach(const struct sim_machine *machine, uint64_t total[REACH_COUNT])
{
    total[REACH_CLOCK_FAULTS] += machine->counts.faults;
    total[REACH_CLOCK_BELIEVED] += machine->counts.believed;
    total[REACH_CLOCK_GONE] += machine->counts.gone;
    total[REACH_CLOCK_DOUBTED] += machine->counts.doubted_starts;
    total[REACH_SAME_BOOT] += machine->counts.same_boot;
    total[REACH_OTHER_BOOT] += machine->counts.other_boot;
}
