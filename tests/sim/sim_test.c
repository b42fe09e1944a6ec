/* sim_test.c - load, crash and recovery against the model, a million times, from seeds.
 *
 * One seed is one disk, perhaps an archive, and several lives of an engine on them. The log's
 * segments are so small that some blocks fill one: so segments are begun, covered by checkpoints,
 * archived, recycled and reused all the time. In each life a random load is submitted while
 * the log's writer, the housekeeper, the forgetter, the checkpointer and the clock are stepped in a
 * random order, and the disk becomes full and has room again; then the power fails (between two
 * operations or in the middle of one, be it the log's, a checkpoint's, the archive's or a start's),
 * the process is killed, a write fails, or the engine is stopped in good order. What the disk had
 * not synced is lost, done, or torn at 512 bytes. Between two lives the newest checkpoint may be
 * damaged or gone. Then the engine recovers, and
 *
 *   - every answer that was given is still true: the recovered log reaches at least to the LSN that
 *     each answer depended on; and what a start has recovered is there at the next, too;
 *   - what was recovered is exactly what the model makes of a prefix of the decisions, in their
 *     order: all that were recovered, and nothing else;
 *   - stock and orders agree with each other, and with the digest;
 *   - it began with the newest checkpoint that is whole, and said so if it passed one over;
 *   - the log's files are no more than the settings say, and what was recycled is in the archive:
 *     from that and the present segments an engine without any checkpoint comes to the same state.
 *
 * Now and then, on a copy of the disk, something is lost that may hold acknowledged orders: a
 * segment, or all checkpoints. Then the engine must refuse to start, and change nothing.
 *
 * The machine's clock has faults of its own (sim_machine.h): it jumps, runs backwards, stops and
 * drifts, also while the engine is down; the machine is restarted now and then. The engine's
 * time must be the true time, less what went by between boots: so no hold ends before its deadline
 * and none later, and nothing is forgotten early, whatever the clock does.
 *
 * What the seeds reached is counted and printed, and the first hundred must reach enough
 * (sim_reach.h).
 *
 * usage: sim_test [--from SEED] [--seeds N]     SEED=n in the environment runs that one alone;
 * HOLDFAST_LONG=1 runs SEEDS_LONG, a million crashes. Two processes may share them: one with
 * --seeds N, the other with --from N+1 --seeds N.
 * Threads: one. Prints the seed on failure. */
#include <malloc.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/limits.h"
#include "lib/budget.h"
#include "sim.h"

#define LIVES       6u
#define STEPS       130u
#define SEEDS_FLOOR REACH_FLOOR_SEEDS
#define SEEDS_S     12.0
#define SEEDS_LONG  130000u
#define START_MS    1762790400000ull /* 2025-11-11 00:00 in Shanghai */
#define GROUP_BYTES KIB(8)           /* the greatest request has some 5 KiB of records */

/* ---- Time ---- */

/* Lets the engine look at the clock, and holds both its times against what is true. */
static void look_at_clock(struct sim *sim)
{
    char what[200];
    engine_tick(sim->engine, &sim->now);
    SIM_CHECK(sim, sim->now.engine_ms == sim->now_ms, "engine time is %lld ms off",
              (long long)(sim->now.engine_ms - sim->now_ms));
    SIM_CHECK(sim, sim_machine_check(&sim->machine, sim->now.wall_ms, what, sizeof what), "%s",
              what);
}

/* Time passes while the engine runs. */
static void pass(struct sim *sim, uint64_t ms)
{
    sim_machine_pass(&sim->machine, ms);
    sim->now_ms += ms;
    look_at_clock(sim);
}

/* Time passes while it does not; at times the machine is off for a while. */
static void pass_down(struct sim *sim)
{
    struct rng *rng = &sim->rng;
    uint64_t ms = rng_chance(rng, 2) ? 0 : rng_below(rng, rng_chance(rng, 4) ? 400000 : 100);
    sim_machine_pass(&sim->machine, ms);
    if (rng_chance(rng, 4)) {
        sim_machine_fault(&sim->machine, rng);
    }
    sim->now_ms += ms;
    if (rng_chance(rng, 4)) {
        sim_machine_boot(&sim->machine, rng_below(rng, 1000000));
    }
}

/* What the engine made of the time that it was down for. */
static void check_start(struct sim *sim, bool first)
{
    char what[200];
    struct time_reading now;
    engine_tick(sim->engine, &now);
    bool seen = sim_machine_started(&sim->machine);
    SIM_CHECK(sim, first || now.engine_ms <= sim->now_ms, "engine time is %lld ms ahead",
              (long long)(now.engine_ms - sim->now_ms));
    SIM_CHECK(sim, first || !seen || now.engine_ms == sim->now_ms,
              "the same boot, and engine time lacks %lld ms",
              (long long)(sim->now_ms - now.engine_ms));
    SIM_CHECK(sim,
              first || sim_machine_check_start(&sim->machine, seen, sim->now.wall_ms, now.wall_ms,
                                               what, sizeof what),
              "%s", what);
    sim->now_ms = now.engine_ms;
    sim->now = now;
}

/* ---- Steps ---- */

/* Minutes in which nothing is asked: long enough for a clock to be believed. */
static void be_quiet(struct sim *sim)
{
    for (uint64_t i = rng_below(&sim->rng, 45); i > 0 && !engine_failed(sim->engine); i--) {
        pass(sim, 9000 + rng_below(&sim->rng, 1000));
        (void)sim_ready(sim);
        engine_step(sim->engine);
    }
}

static void go_on(struct sim *sim)
{
    if (rng_chance(&sim->rng, 30)) {
        sim_machine_fault(&sim->machine, &sim->rng);
    }
    pass(sim, rng_below(&sim->rng, 30));
    if (rng_chance(&sim->rng, 150)) {
        be_quiet(sim);
    }
}

/* READ_ONLY comes and goes with the room on the disk. */
static void look_at_room(struct sim *sim)
{
    bool read_only = wal_admit(engine_wal(sim->engine)) == HF_READ_ONLY;
    if (read_only && !sim->read_only) {
        sim_reached(sim, REACH_READ_ONLY);
        SIM_CHECK(sim, sim->full, "READ_ONLY, and there is room");
    } else if (!read_only && sim->read_only && !engine_failed(sim->engine)) {
        sim_reached(sim, REACH_READ_ONLY_OVER);
    }
    sim->read_only = read_only;
    if (read_only && rng_chance(&sim->rng, 3)) {
        sim_submit_refused(sim);
        uint64_t expired = engine_expire(sim->engine);
        SIM_CHECK(sim, expired == 0, "READ_ONLY, and %llu orders expire",
                  (unsigned long long)expired);
    }
    if (!sim->full || !rng_chance(&sim->rng, read_only ? 6 : 30)) {
        return;
    }
    sim_give_room(sim);
    engine_step(sim->engine);
    SIM_CHECK(sim,
              sim_storage_crashed(sim->storage) ||
                  wal_admit(engine_wal(sim->engine)) != HF_READ_ONLY,
              "READ_ONLY, and there is room again");
}

/* One random thing. */
static void act(struct sim *sim)
{
    uint64_t what = rng_below(&sim->rng, 100);
    look_at_room(sim);
    if (what < 20) {
        go_on(sim);
    } else if (what < 46) {
        engine_step(sim->engine);
    } else if (what < 51) {
        sim_checkpoint(sim);
    } else if (what < 53) {
        sim_change_room(sim);
    } else if (sim_ready(sim)) {
        sim_load(sim);
    } else {
        engine_step(sim->engine);
    }
}

static void live(struct sim *sim)
{
    uint64_t fault = rng_below(&sim->rng, 10);
    if (fault < 4) {
        sim_storage_crash_after(sim->storage,
                                1 + rng_below(&sim->rng, rng_chance(&sim->rng, 3) ? 40 : 160));
    } else if (fault < 5) {
        sim_storage_fail_write(sim->storage, 1 + rng_below(&sim->rng, 40),
                               rng_chance(&sim->rng, 2) ? HF_IO_ERROR : HF_NO_SPACE);
        sim->write_fails = true;
    }
    uint64_t steps = STEPS / 4 + rng_below(&sim->rng, STEPS);
    for (uint64_t i = 0; i < steps && !engine_failed(sim->engine); i++) {
        act(sim);
    }
}

/* ---- Starts ---- */

static void stall(void *context)
{
    struct sim *sim = context;
    engine_step(sim->engine);
}

static enum hf_status start(struct sim *sim, struct engine_recovery *recovery)
{
    return engine_open(&sim->engine, &sim->options, sim->storage, &sim->machine.clock, recovery);
}

static void note_torn(struct sim *sim, const struct engine_recovery *recovery)
{
    if (recovery->torn_bytes > 0) {
        sim_reached(sim, REACH_TORN);
        sim->reach[REACH_TORN_AT_ONCE] += sim->options.wal.in_flight_max > 1;
    }
}

/* The power fails while the engine starts, or just then. */
static void start_and_crash(struct sim *sim)
{
    struct engine_recovery recovery;
    sim_storage_crash_after(sim->storage, 1 + rng_below(&sim->rng, 10));
    enum hf_status status = start(sim, &recovery);
    SIM_CHECK(sim,
              status == HF_OK || sim_storage_crashed(sim->storage) ||
                  (status == HF_NO_SPACE && sim->full),
              "%s", recovery.message);
    if (status == HF_OK) {
        engine_close(sim->engine);
    }
    note_torn(sim, &recovery);
    sim_reached(sim,
                sim_storage_crashed(sim->storage) ? REACH_POWER_CUTS_WITHIN : REACH_POWER_CUTS);
    sim_reached(sim, REACH_POWER_CUTS_STARTING);
    sim_storage_crash_after(sim->storage, 0);
    sim_storage_crash(sim->storage);
}

/* What the start made of the checkpoints that were there. */
static void check_checkpoint(struct sim *sim, const struct engine_recovery *recovery,
                             uint64_t newest, uint64_t usable)
{
    SIM_CHECK(sim, recovery->checkpoint == usable,
              "the start began with checkpoint %llu, of %llu that is whole: %s",
              (unsigned long long)recovery->checkpoint, (unsigned long long)usable,
              recovery->notice);
    SIM_CHECK(sim, (newest != usable) == (strstr(recovery->notice, "passed over") != NULL),
              "a checkpoint was passed over, and the notice says: %s", recovery->notice);
    sim->reach[REACH_CHECKPOINTS_LOADED] += usable > 0;
    sim->reach[REACH_CHECKPOINTS_PASSED] += newest != usable;
}

static void check_lsn(struct sim *sim, const struct engine_recovery *recovery)
{
    SIM_CHECK(sim, recovery->lsn >= sim->acked_lsn, "recovered to LSN %llu, acknowledged to %llu",
              (unsigned long long)recovery->lsn, (unsigned long long)sim->acked_lsn);
    SIM_CHECK(sim, sim->stopped_lsn == 0 || recovery->lsn == sim->stopped_lsn,
              "recovered to LSN %llu, stopped at %llu", (unsigned long long)recovery->lsn,
              (unsigned long long)sim->stopped_lsn);
    sim->stopped_lsn = 0;
}

/* Starts the engine; now and then the power fails while it recovers. */
static void begin_life(struct sim *sim)
{
    struct engine_recovery recovery;
    bool first = sim->reach[REACH_RECOVERIES] == 0;
    if (sim->archive && rng_chance(&sim->rng, 2)) {
        CHECK(storage_settle(sim->archive) == HF_OK);
    }
    if (rng_chance(&sim->rng, 3)) {
        start_and_crash(sim);
    }
    uint64_t newest = sim_newest_checkpoint(sim->storage);
    uint64_t usable = sim_usable_checkpoint(sim);
    enum hf_status status = start(sim, &recovery);
    if (status == HF_NO_SPACE && sim->full) {
        sim_give_room(sim);
        status = start(sim, &recovery);
    }
    SIM_CHECK(sim, status == HF_OK, "the engine does not start: %s: %s", hf_status_name(status),
              recovery.message);
    sim->reach[REACH_FULL_AT_START] += sim->full;
    note_torn(sim, &recovery);
    sim->reach[REACH_DIGESTS] += recovery.digests;
    sim_reached(sim, REACH_RECOVERIES);
    check_lsn(sim, &recovery);
    check_checkpoint(sim, &recovery, newest, usable);
    check_start(sim, first);
    sim_check_files(sim, recovery.torn_bytes > 0);
    sim->starts_ms[2] = sim->starts_ms[1];
    sim->starts_ms[1] = sim->starts_ms[0];
    sim->starts_ms[0] = sim->now_ms;
    sim_rewind(sim, recovery.lsn);
    sim->acked_lsn = recovery.lsn; /* it has been read now */
    wal_set_stall_hook(engine_wal(sim->engine), stall, sim);
    if (first) {
        sim_define_items(sim);
    } else {
        sim_check_state(sim, sim->engine);
        sim_check_archive(sim);
    }
}

/* ---- Ends ---- */

/* Leaves blocks under way, for the power cut to lose or tear: long ones, since of most only the
 * first sector matters. */
static void write_on(struct sim *sim)
{
    for (int i = 0; i < 8 && sim_storage_in_flight(sim->storage) > 0; i++) {
        engine_step(sim->engine);
    }
    sim_storage_hold(sim->storage, true);
    for (uint64_t i = 1 + rng_below(&sim->rng, 4); i > 0 && sim_ready(sim); i--) {
        sim_submit_long(sim);
        if (rng_chance(&sim->rng, 2) && sim_ready(sim)) {
            sim_submit_orders(sim);
        }
        engine_step(sim->engine);
    }
}

static void end_by_power_cut(struct sim *sim, bool within)
{
    sim_reached(sim, within ? REACH_POWER_CUTS_WITHIN : REACH_POWER_CUTS);
    sim->reach[REACH_CUTS_WRITING] += sim_storage_in_flight(sim->storage) > 0;
    sim_storage_stop(sim->storage);
    engine_close(sim->engine);
    sim_storage_hold(sim->storage, false);
    sim_storage_crash(sim->storage);
    if (sim->archive) {
        sim_storage_crash(sim->archive);
    }
}

/* What the process did not live to sync, a later power cut may still undo. */
static void end_by_kill(struct sim *sim, bool within)
{
    sim_reached(sim, within ? REACH_KILLS_WITHIN : REACH_KILLS);
    sim_storage_stop(sim->storage);
    engine_close(sim->engine);
    sim_storage_hold(sim->storage, false);
    sim_storage_kill(sim->storage);
    if (sim->archive) {
        sim_storage_kill(sim->archive);
    }
}

/* All that was asked is answered, and all that was decided stays. */
static void end_by_stop(struct sim *sim)
{
    sim_give_room(sim);
    wal_stop(engine_wal(sim->engine));
    SIM_CHECK(sim, !sim->calls, "the engine has stopped, and a call is not answered");
    SIM_CHECK(sim, !engine_failed(sim->engine) || sim->write_fails, "a stop has closed the log");
    sim->stopped_lsn = engine_failed(sim->engine) ? 0 : wal_tail_lsn(engine_wal(sim->engine));
    sim_reached(sim, REACH_STOPS);
    engine_close(sim->engine);
}

static void end_life(struct sim *sim)
{
    bool failed = engine_failed(sim->engine);
    bool cut =
        sim_storage_crashed(sim->storage) || (sim->archive && sim_storage_crashed(sim->archive));
    sim_storage_crash_after(sim->storage, 0);
    sim_storage_fail_write(sim->storage, 0, HF_IO_ERROR);
    look_at_clock(sim);
    sim->reach[REACH_LOGS_CLOSED] += failed && !cut;
    if (!cut && !failed && rng_chance(&sim->rng, 8)) {
        end_by_stop(sim);
    } else {
        if (!cut && rng_chance(&sim->rng, 2)) {
            write_on(sim);
        }
        (rng_chance(&sim->rng, 3) ? end_by_kill : end_by_power_cut)(sim, cut);
    }
    sim_drop_calls(sim);
    if (rng_chance(&sim->rng, 2)) {
        sim_give_room(sim);
    }
    sim->read_only = false;
    sim->forgetting = false;
    sim->write_fails = false;
    sim->archive_down = false;
    pass_down(sim);
    sim_damage_checkpoint(sim);
    sim_try_refusal(sim);
}

/* ---- Seeds ---- */

static void set_options(struct sim *sim)
{
    struct rng *rng = &sim->rng;
    uint64_t segment_bytes =
        WAL_SEGMENT_BYTES_LEAST(GROUP_BYTES) + rng_below(rng, 5) * WAL_PAGE_BYTES;
    sim->options = (struct engine_options){
        .inventory = {.items_max = ITEMS,
                      .orders_max = 256,
                      .hold_ms_default = 200,
                      .hold_ms_max = 100000},
        .wal = {.segment_bytes = segment_bytes,
                .group_bytes = GROUP_BYTES,
                .spare_segments = 1 + (uint32_t)rng_below(rng, 3),
                .keep_bytes = rng_below(rng, 8) * segment_bytes,
                .in_flight_max = rng_chance(rng, 3) ? 2 + (uint32_t)rng_below(rng, 3) : 1,
                .digest_every_bytes = 1 + rng_below(rng, 4000)},
        .retain_ended_ms = 1 + rng_below(rng, 200),
        .checkpoint_memory = CHECKPOINT_MEMORY_MIN,
        .recovery_threads = 1,
        .archive = sim->archive,
    };
}

static void run_seed(uint64_t seed, uint64_t total[REACH_COUNT])
{
    struct sim sim = {.seed = seed, .now_ms = START_MS};
    rng_init(&sim.rng, seed);
    sim_machine_init(&sim.machine, START_MS);
    sim.storage = sim_storage_make(seed);
    sim.archive = rng_chance(&sim.rng, 2) ? sim_storage_make(seed + 1) : NULL;
    set_options(&sim);
    sim_model_init(&sim);
    begin_life(&sim);
    for (uint32_t i = 0; i < LIVES; i++) {
        live(&sim);
        end_life(&sim);
        begin_life(&sim);
    }
    engine_close(sim.engine);
    storage_destroy(sim.storage);
    if (sim.archive) {
        storage_destroy(sim.archive);
    }
    sim_drop_calls(&sim);
    model_deinit(&sim.model);
    free(sim.history);
    reach_add(total, sim.reach);
    sim_machine_reach(&sim.machine, total);
}

/* ---- The program ---- */

static uint64_t number_of(const char *text)
{
    char *end;
    uint64_t number = strtoull(text ? text : "", &end, 10);
    if (!text || *text == '\0' || *end != '\0') {
        fprintf(stderr, "usage: sim_test [--from SEED] [--seeds N]\n");
        exit(2);
    }
    return number;
}

static void read_arguments(int argc, char **argv, struct budget *budget, uint64_t *first)
{
    for (int i = 1; i < argc; i += 2) {
        uint64_t number = number_of(i + 1 < argc ? argv[i + 1] : NULL);
        if (strcmp(argv[i], "--from") == 0) {
            *first = number;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            budget->floor = budget->most = number;
        } else {
            (void)number_of(NULL);
        }
    }
}

/* An engine takes memory for millions of orders; this one has some hundred, and is made again a
 * thousand times a second. So: no huge pages to be filled with zeros, and freed memory is kept. */
static void spare_the_kernel(void)
{
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    (void)mallopt(M_MMAP_THRESHOLD, (int)MIB(64));
    (void)mallopt(M_TRIM_THRESHOLD, (int)MIB(256));
}

int main(int argc, char **argv)
{
    diag_set_level(DIAG_ERROR + 1);
    spare_the_kernel();
    struct budget budget = budget_make("seeds", SEEDS_FLOOR, SEEDS_S, SEEDS_LONG);
    uint64_t first = rng_seed_from_env(1);
    read_arguments(argc, argv, &budget, &first);
    uint64_t total[REACH_COUNT] = {0};
    bool enough = true;
    while (budget_next(&budget)) {
        run_seed(first + budget.round, total);
        uint64_t seeds = budget.round + 1;
        if (seeds == REACH_FLOOR_SEEDS && first == 1) {
            enough = reach_suffices(total);
        }
        if (seeds % 5000 == 0) {
            fprintf(stderr, "%llu seeds, %llu crashes\n", (unsigned long long)seeds,
                    (unsigned long long)reach_crashes(total));
        }
    }
    printf("seeds from %llu\n", (unsigned long long)first);
    reach_print(total, budget.round);
    return enough ? 0 : 1;
}
