/* timekeeper_test.c - engine time and wall time under clocks that jump, stop, drift and come
 * back, over restarts, and against a model of its own: docs/decisions/0014-time.md by example.
 *
 * Threads: one, except in the last test. Prints the seed on failure. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/diag.h"
#include "base/timekeeper.h"
#include "lib/budget.h"
#include "lib/rng.h"

#define START_MS  1794355200000 /* 2026-11-11 */
#define SECOND_MS 1000
#define HOUR_MS   3600000
#define TICK_MS   5
#define RULE_MS   300000 /* how long a jump must last */

/* A machine: time since its start, and the time of its wall clock. */
struct machine {
    struct clock clock;
    int64_t boot_ns;
    int64_t ahead_ms;   /* wall clock less time since the start */
    int64_t phase_ns;   /* and a little more */
    int64_t held_up_ns; /* between the start and the end of reading the wall clock */
    int64_t late_ms;    /* once: between the reading of the time since the start, and its use */
    uint64_t boot;
    struct timekeeper time;
};

static uint64_t machine_unix_ns(void *context)
{
    struct machine *machine = context;
    machine->boot_ns += machine->held_up_ns;
    uint64_t ns = (uint64_t)(machine->boot_ns + machine->ahead_ms * 1000000 + machine->phase_ns);
    machine->boot_ns += machine->held_up_ns;
    return ns;
}

static uint64_t machine_boottime_ns(void *context)
{
    struct machine *machine = context;
    uint64_t ns = (uint64_t)machine->boot_ns;
    if (machine->late_ms > 0) { /* another thread goes first */
        struct time_reading others;
        machine->boot_ns += machine->late_ms * 1000000;
        machine->late_ms = 0;
        timekeeper_read(&machine->time, &others);
    }
    return ns;
}

static uint64_t machine_boot(void *context)
{
    return ((struct machine *)context)->boot;
}

static void machine_start(struct machine *machine, const struct time_past *past, bool trust)
{
    machine->clock = (struct clock){machine, machine_unix_ns, machine_boottime_ns,
                                    machine_boottime_ns, machine_boot};
    timekeeper_init(&machine->time, &machine->clock, past, trust);
}

/* A machine that is on for a minute, with a new log. */
static struct machine *machine_new(void)
{
    static struct machine machine;
    machine = (struct machine){.boot_ns = 60000000000, .boot = 7};
    machine.ahead_ms = START_MS - 60000;
    machine_start(&machine, &(struct time_past){0}, false);
    return &machine;
}

static void machine_run(struct machine *machine, int64_t ms)
{
    for (int64_t gone = 0; gone < ms; gone += TICK_MS) {
        machine->boot_ns += TICK_MS * 1000000;
        timekeeper_tick(&machine->time);
    }
}

static struct time_reading reading(struct machine *machine)
{
    struct time_reading now;
    timekeeper_read(&machine->time, &now);
    assert_int_equal(now.engine_ms, timekeeper_engine_ms(&machine->time));
    return now;
}

static struct time_status status_of(struct machine *machine)
{
    struct time_status status;
    timekeeper_status(&machine->time, &status);
    return status;
}

/* The times that a block sealed now has. */
static struct time_past block_now(struct machine *machine)
{
    struct time_reading now = reading(machine);
    return (struct time_past){now.engine_ms, time_shown_ms(now.engine_ms, now.ahead_ms),
                              now.boot_ms, now.boot};
}

static void a_new_log_believes_the_clock(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    struct time_reading now = reading(machine);
    assert_int_equal(now.engine_ms, START_MS);
    assert_int_equal(now.wall_ms, START_MS);
    assert_int_equal(now.ahead_ms, 0);
    assert_int_equal(now.boot_ms, 60000);
    assert_int_equal(now.boot, 7);
    machine_run(machine, 12345);
    now = reading(machine);
    assert_int_equal(now.engine_ms, START_MS + 12345);
    assert_int_equal(now.wall_ms, START_MS + 12345);
    assert_int_equal(status_of(machine).steps_seen, 0);
}

static void a_glitch_moves_neither_time(void **state)
{
    (void)state;
    static const int64_t jumps[] = {26 * HOUR_MS, 48 * HOUR_MS, -HOUR_MS, 1001 + TICK_MS, -1010};
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct machine *machine = machine_new();
        machine_run(machine, SECOND_MS);
        machine->ahead_ms += jumps[i];
        machine_run(machine, 2 * SECOND_MS);
        struct time_status status = status_of(machine);
        assert_true(status.doubted);
        assert_int_equal(status.steps_seen, 1);
        assert_true(llabs(status.difference_ms - jumps[i]) <= 1);
        assert_int_equal(status.step_ms, status.difference_ms);
        assert_int_equal(status.step_at_ms, START_MS + SECOND_MS + TICK_MS);
        assert_int_equal(status.doubted_ms, 2 * SECOND_MS - TICK_MS);
        assert_int_equal(status.confirms_ms, RULE_MS - 2 * SECOND_MS + TICK_MS);
        assert_int_equal(reading(machine).wall_ms, START_MS + 3 * SECOND_MS);
        machine->ahead_ms -= jumps[i];
        machine_run(machine, SECOND_MS);
        status = status_of(machine);
        assert_false(status.doubted);
        assert_int_equal(status.difference_ms, 0);
        assert_int_equal(status.steps_believed, 0);
        assert_int_equal(reading(machine).wall_ms, START_MS + 4 * SECOND_MS);
        assert_int_equal(reading(machine).engine_ms, START_MS + 4 * SECOND_MS);
    }
}

static void a_jump_is_believed_after_300_s(void **state)
{
    (void)state;
    static const int64_t jumps[] = {26 * HOUR_MS, -HOUR_MS, 1500};
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct machine *machine = machine_new();
        machine->ahead_ms += jumps[i];
        machine_run(machine, RULE_MS);
        assert_int_equal(reading(machine).wall_ms, START_MS + RULE_MS);
        assert_true(status_of(machine).doubted);
        machine_run(machine, TICK_MS); /* it was seen a tick after it came */
        struct time_reading now = reading(machine);
        assert_int_equal(now.wall_ms, START_MS + RULE_MS + TICK_MS + jumps[i]);
        assert_int_equal(now.engine_ms, START_MS + RULE_MS + TICK_MS);
        assert_int_equal(now.ahead_ms, jumps[i]);
        assert_int_equal(status_of(machine).steps_believed, 1);
        assert_false(status_of(machine).doubted);
        machine_run(machine, SECOND_MS);
        assert_int_equal(reading(machine).wall_ms, now.wall_ms + SECOND_MS);
    }
}

/* A jump that changes by more than a second is a new one; by less, it is still the same. */
static void a_jump_must_stay_the_same(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    machine->ahead_ms += HOUR_MS;
    machine_run(machine, RULE_MS - SECOND_MS);
    machine->ahead_ms += 1100;
    machine_run(machine, RULE_MS - SECOND_MS);
    assert_int_equal(status_of(machine).steps_seen, 2);
    assert_int_equal(status_of(machine).steps_believed, 0);
    machine->ahead_ms += 900;
    machine_run(machine, 2 * SECOND_MS);
    assert_int_equal(status_of(machine).steps_seen, 2);
    assert_int_equal(status_of(machine).steps_believed, 1);
    assert_int_equal(reading(machine).wall_ms, START_MS + 2 * RULE_MS + HOUR_MS + 1100 + 900);
}

/* A clock that stops, runs half again as fast, or goes to and fro. */
static void a_wild_clock_is_never_believed(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct machine *machine = machine_new();
        for (int64_t gone = 0; gone < 4 * RULE_MS; gone += TICK_MS) {
            machine->ahead_ms += kind == 0 ? -TICK_MS : kind == 1 ? TICK_MS / 2 : 0;
            if (kind == 2 && gone % 200000 == 0) {
                machine->ahead_ms += gone % 400000 == 0 ? HOUR_MS : -HOUR_MS;
            }
            machine_run(machine, TICK_MS);
        }
        struct time_reading now = reading(machine);
        assert_int_equal(status_of(machine).steps_believed, 0);
        assert_int_equal(now.engine_ms, START_MS + 4 * RULE_MS);
        /* What was slewed before it was seen to be a jump: at most a tenth of ten seconds. */
        assert_true(llabs((int64_t)now.wall_ms - (START_MS + 4 * RULE_MS)) <= 1100);
    }
}

static void a_small_difference_is_made_good_and_wall_time_never_goes_back(void **state)
{
    (void)state;
    static const int64_t differences[] = {1000, 300, 20, -20, -300, -1000};
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        struct machine *machine = machine_new();
        machine->ahead_ms += differences[i];
        uint64_t before = reading(machine).wall_ms;
        for (int64_t gone = 0; gone < 10 * SECOND_MS; gone += TICK_MS) {
            machine_run(machine, TICK_MS);
            uint64_t wall_ms = reading(machine).wall_ms;
            assert_true(wall_ms >= before);
            assert_true(wall_ms - before <= TICK_MS + 1); /* a tenth of 5 ms is less than one */
            before = wall_ms;
        }
        machine_run(machine, 10 * TICK_MS);
        struct time_reading now = reading(machine);
        int64_t gone = 10 * SECOND_MS + 10 * TICK_MS;
        assert_int_equal(now.wall_ms, START_MS + gone + differences[i]);
        assert_int_equal(now.engine_ms, START_MS + gone);
        assert_int_equal(status_of(machine).steps_seen, 0);
        assert_int_equal(now.ahead_ms, differences[i]);
    }
}

/* Slewing back makes wall time smaller between two readings at one moment, and the more the longer
 * nobody ticked: a thread that read before must not see it. */
/* Time in which there was little to make good is no credit for later. */
static void slewing_never_goes_faster_than_its_part_of_the_time(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    machine->ahead_ms -= 1;
    machine->boot_ns += 100 * 1000000; /* 1 ms to make good, in time for 10 */
    timekeeper_tick(&machine->time);
    machine->ahead_ms -= 20;
    machine->boot_ns += 20 * 1000000;
    timekeeper_tick(&machine->time);
    struct time_reading now = reading(machine);
    assert_true(now.ahead_ms >= -1 - 2);
}

static void wall_time_waits_rather_than_go_back_while_it_is_slewed(void **state)
{
    (void)state;
    static const int64_t gaps[] = {TICK_MS, 10 * TICK_MS, 3 * SECOND_MS};
    for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        struct machine *machine = machine_new();
        machine->ahead_ms -= 900;
        uint64_t seen = 0;
        for (int64_t gone = 0; gone < 20 * SECOND_MS; gone += gaps[i]) {
            machine->boot_ns += gaps[i] * 1000000;
            uint64_t before = reading(machine).wall_ms;
            timekeeper_tick(&machine->time);
            uint64_t after = reading(machine).wall_ms;
            assert_true(before >= seen);
            assert_true(after >= before);
            seen = after;
        }
        assert_int_equal(reading(machine).ahead_ms, -900);
    }
}

/* What is sold from a moment on is not held from a moment before it. */
static void a_reader_that_is_held_up_gets_times_of_one_moment(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    struct time_reading before;
    struct time_reading now;
    for (int64_t late_ms = 1; late_ms < 100; late_ms++) {
        timekeeper_read(&machine->time, &before);
        machine->late_ms = late_ms;
        timekeeper_read(&machine->time, &now);
        assert_int_equal(now.wall_ms, before.wall_ms + (uint64_t)late_ms);
        assert_int_equal(now.wall_ms, time_shown_ms(now.engine_ms, now.ahead_ms));
    }
}

static void being_held_up_is_no_jump(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    machine->held_up_ns = 40000000000;
    machine_run(machine, 20 * TICK_MS);
    machine->held_up_ns = 0;
    machine_run(machine, TICK_MS);
    assert_int_equal(status_of(machine).steps_seen, 0);
    assert_int_equal(reading(machine).wall_ms, machine->boot_ns / 1000000 + machine->ahead_ms);
}

/* Nobody ticked in between: two ticks are not 300 s. */
static void sleep_confirms_nothing(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    machine->ahead_ms += HOUR_MS;
    machine_run(machine, TICK_MS);
    machine->boot_ns += 20ll * HOUR_MS * 1000000;
    timekeeper_tick(&machine->time);
    assert_int_equal(status_of(machine).doubted_ms, 10000);
    assert_int_equal(status_of(machine).steps_believed, 0);
    assert_int_equal(reading(machine).engine_ms, START_MS + TICK_MS + 20 * HOUR_MS);
    assert_int_equal(reading(machine).wall_ms, START_MS + TICK_MS + 20 * HOUR_MS);
}

/* Whatever the phases of the two clocks: so sales open to the millisecond. */
static void wall_time_is_the_clocks_to_the_millisecond(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < 1000; i++) {
        machine->phase_ns = (int64_t)rng_below(&rng, 1000000);
        machine_start(machine, &(struct time_past){0}, false);
        for (int k = 0; k < 10; k++) {
            machine->boot_ns += (int64_t)rng_below(&rng, 3000000);
            timekeeper_tick(&machine->time);
            machine->boot_ns += (int64_t)rng_below(&rng, 3000000);
            struct time_reading now = reading(machine);
            assert_int_equal(now.wall_ms, machine_unix_ns(machine) / 1000000);
            assert_int_equal(now.ahead_ms, 0);
        }
    }
}

/* ---- Starts ---- */

static void a_restart_in_the_same_boot_counts_what_went_by(void **state)
{
    (void)state;
    static const int64_t glitches[] = {0, 26 * HOUR_MS, -HOUR_MS};
    for (size_t i = 0; i < sizeof glitches / sizeof *glitches; i++) {
        struct machine *machine = machine_new();
        machine_run(machine, SECOND_MS);
        struct time_past past = block_now(machine);
        machine->boot_ns += 7 * 1000000000ll;
        machine->ahead_ms += glitches[i];
        machine_start(machine, &past, false);
        struct time_reading now = reading(machine);
        assert_int_equal(now.engine_ms, START_MS + 8 * SECOND_MS);
        assert_int_equal(now.wall_ms, START_MS + 8 * SECOND_MS);
        assert_int_equal(status_of(machine).doubted, glitches[i] != 0);
        assert_int_equal(status_of(machine).steps_seen, glitches[i] != 0);
        machine_run(machine, RULE_MS + TICK_MS);
        assert_int_equal(reading(machine).engine_ms, START_MS + 8 * SECOND_MS + RULE_MS + TICK_MS);
        assert_int_equal(reading(machine).wall_ms,
                         START_MS + 8 * SECOND_MS + RULE_MS + TICK_MS + glitches[i]);
    }
}

/* Many restarts, with readings at odd nanoseconds: nothing is gained or lost. */
static void restarts_in_the_same_boot_add_up_exactly(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    struct rng rng;
    rng_init(&rng, 2);
    for (int i = 0; i < 1000; i++) {
        struct time_past past = block_now(machine);
        machine->boot_ns += (int64_t)rng_below(&rng, 3000000);
        machine_start(machine, &past, false);
    }
    assert_int_equal(reading(machine).engine_ms, START_MS - 60000 + machine->boot_ns / 1000000);
}

static void after_another_boot_engine_time_goes_on_where_it_stood(void **state)
{
    (void)state;
    static const struct {
        int64_t off_ms; /* what the wall clock says has gone by */
        bool believed;
    } cases[] = {{0, true},
                 {5 * SECOND_MS, true},
                 {24 * HOUR_MS, true},
                 {24 * HOUR_MS + SECOND_MS, false},
                 {9000ll * HOUR_MS, false},
                 {-1010, false},
                 {-9000ll * HOUR_MS, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct machine *machine = machine_new();
        machine_run(machine, SECOND_MS);
        struct time_past past = block_now(machine);
        machine->boot = 8;
        machine->boot_ns = 90000000000; /* it has been on for longer than the one before */
        machine->ahead_ms = START_MS + SECOND_MS - 90000 + cases[i].off_ms;
        machine_start(machine, &past, false);
        struct time_reading now = reading(machine);
        assert_int_equal(now.engine_ms, START_MS + SECOND_MS);
        assert_int_equal(now.wall_ms,
                         START_MS + SECOND_MS + (cases[i].believed ? cases[i].off_ms : 0));
        assert_int_equal(status_of(machine).doubted, !cases[i].believed);
        machine_run(machine, RULE_MS + TICK_MS);
        now = reading(machine);
        assert_int_equal(now.engine_ms, START_MS + SECOND_MS + RULE_MS + TICK_MS);
        assert_int_equal(now.wall_ms, START_MS + SECOND_MS + RULE_MS + TICK_MS + cases[i].off_ms);
    }
}

/* A clock that is a little slow after a boot: wall time waits for it. */
static void after_another_boot_a_second_back_is_slewed(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    struct time_past past = block_now(machine);
    machine->boot = 8;
    machine->ahead_ms -= 900;
    machine_start(machine, &past, false);
    assert_int_equal(reading(machine).wall_ms, START_MS);
    assert_false(status_of(machine).doubted);
    machine_run(machine, 10 * SECOND_MS);
    assert_int_equal(reading(machine).wall_ms, START_MS + 10 * SECOND_MS - 900);
}

/* The same boot's number, but its clock is before the log's: a machine put back to a picture. */
static void a_boot_clock_before_the_logs_is_another_boots(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    machine_run(machine, 10 * SECOND_MS);
    struct time_past past = block_now(machine);
    machine->boot_ns -= 1000000;
    machine_start(machine, &past, false);
    assert_int_equal(reading(machine).engine_ms, START_MS + 10 * SECOND_MS);
    /* And a boot that is not known is none. */
    machine->boot = past.boot = 0;
    machine->boot_ns += 5000000000;
    machine_start(machine, &past, false);
    assert_int_equal(reading(machine).engine_ms, START_MS + 10 * SECOND_MS);
}

static void an_older_log_has_wall_time_for_engine_time(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    machine_start(machine, &(struct time_past){.wall_ms = START_MS - HOUR_MS}, false);
    assert_int_equal(reading(machine).engine_ms, START_MS - HOUR_MS);
    assert_int_equal(reading(machine).wall_ms, START_MS);
}

static void trust_believes_at_once(void **state)
{
    (void)state;
    static const int64_t jumps[] = {9000ll * HOUR_MS, -HOUR_MS};
    for (size_t i = 0; i < 2; i++) {
        struct machine *machine = machine_new();
        struct time_past past = block_now(machine);
        machine->boot = i == 0 ? 7 : 8;
        machine->ahead_ms += jumps[i];
        machine_start(machine, &past, true);
        assert_int_equal(reading(machine).wall_ms, START_MS + jumps[i]);
        assert_int_equal(reading(machine).engine_ms, START_MS);
        machine_run(machine, SECOND_MS);
        assert_false(status_of(machine).doubted);
    }
}

/* Clocks and logs that say the greatest numbers there are. */
static void absurd_times_are_bounded(void **state)
{
    (void)state;
    struct machine *machine = machine_new();
    const struct time_past past = {UINT64_MAX, UINT64_MAX, UINT64_MAX, 9};
    machine_start(machine, &past, false);
    machine_run(machine, SECOND_MS);
    assert_true(reading(machine).engine_ms <= 9000000000000 + SECOND_MS);
    assert_true(status_of(machine).doubted);
    machine = machine_new();
    machine->ahead_ms = INT64_MAX / 2 / 1000000; /* in ns it still fits */
    machine_run(machine, RULE_MS + SECOND_MS);
    assert_int_equal(reading(machine).engine_ms, START_MS + RULE_MS + SECOND_MS);
}

/* ---- Against a model ---- */

/* What the rule says, for a clock that is off by one difference after another: worked out for each
 * stretch of time as a whole. */
struct model {
    double wall;   /* ahead of engine time, ms */
    double ref;    /* difference that is doubted */
    double agreed; /* for how long; negative: none is doubted */
    unsigned believed;
};

static void model_stretch(struct model *model, double ahead, double ms)
{
    double difference = ahead - model->wall;
    double size = difference < 0 ? -difference : difference;
    if (size <= 1000) {
        double most = ms / 10;
        double part = size < most ? size : most;
        model->wall += difference < 0 ? -part : part;
        model->agreed = -1;
        return;
    }
    double change = difference - model->ref;
    if (model->agreed < 0 || change > 1000 || change < -1000) {
        model->ref = difference;
        model->agreed = 0;
    }
    model->agreed += ms;
    if (model->agreed >= RULE_MS) {
        model->wall = ahead;
        model->agreed = -1;
        model->believed++;
    }
}

static void a_random_clock_is_followed_as_the_model_says(void **state)
{
    (void)state;
    uint64_t first = rng_seed_from_env(1);
    unsigned believed = 0;
    struct budget budget = budget_make("clocks", 30, 1.0, 2000);
    while (budget_next(&budget)) {
        uint64_t seed = first + budget.round;
        struct rng rng;
        rng_init(&rng, seed);
        struct machine *machine = machine_new();
        struct model model = {.agreed = -1};
        int64_t base = machine->ahead_ms;
        int64_t gone = 0;
        for (unsigned i = 0; i < 30; i++) {
            /* Off the limits by 20 ms at least: the model knows no ticks. */
            static const int64_t sizes[] = {0, 40, 500, 5000, 90000, 86400000};
            int64_t size = sizes[rng_below(&rng, 6)];
            int64_t ahead = size == 0 ? 0 : (int64_t)rng_below(&rng, 2 * (uint64_t)size) - size;
            int64_t ms = (int64_t)rng_below(&rng, 4) * 100000 + 20000 +
                         TICK_MS * (int64_t)rng_below(&rng, 1000);
            double off = (double)ahead - model.wall;
            double near = off < 0 ? -off - 1000 : off - 1000;
            double drift = off - model.ref;
            drift = drift < 0 ? -drift - 1000 : drift - 1000;
            double until = RULE_MS - (model.agreed < 0 ? 0 : model.agreed) - (double)ms;
            if ((near > -20 && near < 20) || (drift > -20 && drift < 20) ||
                (until > -200 && until < 200)) {
                continue;
            }
            machine->ahead_ms = base + ahead;
            machine_run(machine, ms);
            gone += ms;
            model_stretch(&model, (double)ahead, (double)ms);
            struct time_reading now = reading(machine);
            double wall = (double)((int64_t)now.wall_ms - (START_MS + gone));
            if (now.engine_ms != (uint64_t)(START_MS + gone) || wall - model.wall > 3 ||
                wall - model.wall < -3 || status_of(machine).steps_believed != model.believed) {
                fail_msg("SEED=%llu: stretch %u: wall time is %.0f ahead, the model says %.0f",
                         (unsigned long long)seed, i, wall, model.wall);
            }
        }
        believed += model.believed;
    }
    assert_true(believed > 0 || budget.round == 1);
}

/* ---- Threads ---- */

enum { READERS = 3, READS = 20000 };

static _Atomic int64_t shared_boot_ns = 1000000000;
static _Atomic int64_t shared_ahead_ms = START_MS;

static uint64_t shared_unix_ns(void *context)
{
    (void)context;
    return (uint64_t)(atomic_load(&shared_boot_ns) + atomic_load(&shared_ahead_ms) * 1000000);
}

static uint64_t shared_boottime_ns(void *context)
{
    (void)context;
    return (uint64_t)atomic_fetch_add(&shared_boot_ns, 10000);
}

static uint64_t shared_boot(void *context)
{
    (void)context;
    return 1;
}

static void *read_often(void *argument)
{
    struct timekeeper *time = argument;
    uint64_t engine_ms = 0;
    uint64_t wall_ms = 0;
    for (int i = 0; i < READS; i++) {
        struct time_reading now;
        struct time_status status;
        timekeeper_read(time, &now);
        timekeeper_status(time, &status);
        assert_true(now.engine_ms >= engine_ms);
        assert_true(now.wall_ms >= wall_ms); /* no step back here is believed */
        assert_true(now.engine_ms - now.boot_ms == START_MS);
        engine_ms = now.engine_ms;
        wall_ms = now.wall_ms;
    }
    return NULL;
}

static void readers_see_whole_times_while_the_clock_is_slewed_and_steps(void **state)
{
    (void)state;
    static struct timekeeper time;
    const struct clock clock = {NULL, shared_unix_ns, shared_boottime_ns, shared_boottime_ns,
                                shared_boot};
    timekeeper_init(&time, &clock, &(struct time_past){0}, false);
    pthread_t threads[READERS];
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, &time), 0);
    }
    for (int i = 0; i < READS; i++) {
        /* To and fro by half a second, and now and then an hour ahead for good. */
        if (i % 100 == 0) {
            atomic_fetch_add(&shared_ahead_ms, i % 200 == 0 ? 500 : -500);
        }
        if (i % 5000 == 0) {
            atomic_fetch_add(&shared_ahead_ms, HOUR_MS);
        }
        atomic_fetch_add(&shared_boot_ns, 200000000);
        timekeeper_tick(&time);
    }
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    struct time_status status;
    timekeeper_status(&time, &status);
    assert_true(status.steps_believed > 0);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_log_believes_the_clock),
        cmocka_unit_test(a_glitch_moves_neither_time),
        cmocka_unit_test(a_jump_is_believed_after_300_s),
        cmocka_unit_test(a_jump_must_stay_the_same),
        cmocka_unit_test(a_wild_clock_is_never_believed),
        cmocka_unit_test(a_small_difference_is_made_good_and_wall_time_never_goes_back),
        cmocka_unit_test(wall_time_waits_rather_than_go_back_while_it_is_slewed),
        cmocka_unit_test(a_reader_that_is_held_up_gets_times_of_one_moment),
        cmocka_unit_test(being_held_up_is_no_jump),
        cmocka_unit_test(sleep_confirms_nothing),
        cmocka_unit_test(wall_time_is_the_clocks_to_the_millisecond),
        cmocka_unit_test(a_restart_in_the_same_boot_counts_what_went_by),
        cmocka_unit_test(restarts_in_the_same_boot_add_up_exactly),
        cmocka_unit_test(after_another_boot_engine_time_goes_on_where_it_stood),
        cmocka_unit_test(after_another_boot_a_second_back_is_slewed),
        cmocka_unit_test(a_boot_clock_before_the_logs_is_another_boots),
        cmocka_unit_test(an_older_log_has_wall_time_for_engine_time),
        cmocka_unit_test(slewing_never_goes_faster_than_its_part_of_the_time),
        cmocka_unit_test(trust_believes_at_once),
        cmocka_unit_test(absurd_times_are_bounded),
        cmocka_unit_test(a_random_clock_is_followed_as_the_model_says),
        cmocka_unit_test(readers_see_whole_times_while_the_clock_is_slewed_and_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
