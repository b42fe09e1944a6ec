/* linear_test.c - what callers of an engine are answered is what one clerk would have answered one
 * after another (lib/linear.h), in interleavings that the seed chooses.
 *
 * As tests/unit/server/linear_test.c, but with the whole engine on one system thread: the callers,
 * the log's writer and the housekeeper are threads of a case (lib/schedule.h). So a seed repeats
 * all of it, and a busy machine sees as many windows as an idle one. Time in a history is a number
 * that goes up with each call and each answer.
 *
 * Threads: one. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "lib/linear_wire.h"
#include "lib/schedule.h"
#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "server/engine.h"

#define CALLERS      4u
#define OPERATIONS   6u /* of a caller, at most */
#define MAKES        (2u * OPERATIONS + PLAN_ORDERS + 1u)
#define START_MS     1762790400000ull
#define HOLD_MS      40u
#define MAIN_THREAD  CALLERS
#define CRASH_ONE_IN 3u

struct caller {
    unsigned thread;
    struct rng rng;
    struct arena arena;
    unsigned operations; /* left */
    unsigned count;
    struct linear_call calls[MAKES];
    int again; /* the call to make once more; -1: none */
};

/* The case that runs. */
static struct {
    uint64_t seed;
    struct clock clock;
    uint64_t ms;
    uint64_t events; /* calls and answers so far: the history's time */
    struct storage *storage;
    struct engine_options options;
    struct engine *engine;
    struct linear_plan plan;
    uint32_t items[PLAN_ITEMS];
    uint8_t life;
    unsigned running;      /* callers */
    unsigned answers_left; /* until the power fails; 0: it does not */
    uint64_t failed_at;    /* an event */
    uint64_t failed_ms;
    struct caller callers[CALLERS + 1];
} shop;

static struct {
    uint64_t crashes;
    uint64_t sold_out;
    uint64_t replayed;
    uint64_t expired;
    uint64_t undecided;
    uint64_t rounds;
} met;

/* ---- The engine ---- */

static uint64_t unix_ns(void *unused)
{
    (void)unused;
    return (START_MS + shop.ms) * 1000000u;
}

static uint64_t uptime_ns(void *unused)
{
    (void)unused;
    return (1000 + shop.ms) * 1000000u;
}

/* Lets the writer go on: it is another thread, but while the case sets up. */
static void let_write(void)
{
    if (shop.running > 0) {
        schedule_wait();
    } else {
        engine_step(shop.engine);
    }
}

static void on_stall(void *unused)
{
    (void)unused;
    let_write();
}

static void recover(void)
{
    struct engine_recovery recovery;
    enum hf_status status =
        engine_open(&shop.engine, &shop.options, shop.storage, &shop.clock, &recovery);
    if (status != HF_OK) {
        fprintf(stderr, "%s\n", recovery.message);
    }
    SCHEDULE_CHECK(status == HF_OK);
    wal_set_stall_hook(engine_wal(shop.engine), on_stall, NULL);
}

static void open_shop(struct schedule *schedule)
{
    memset(&shop, 0, sizeof shop);
    shop.seed = schedule->seed;
    shop.clock = (struct clock){NULL, unix_ns, uptime_ns, uptime_ns, sim_boot};
    shop.storage = sim_storage_make(schedule->seed);
    shop.options = (struct engine_options){
        .inventory = {.items_max = 4,
                      .orders_max = 64,
                      .hold_ms_default = HOLD_MS,
                      .hold_ms_max = HOLD_MS},
        .wal = {.segment_bytes = KIB(256),
                .group_bytes = KIB(64),
                .spare_segments = 1,
                .in_flight_max = 1,
                .digest_every_bytes = 512},
    };
    recover();
}

static void close_shop(void)
{
    char what[256] = "";
    bool sound = inventory_verify(engine_inventory(shop.engine), what, sizeof what);
    if (!sound) {
        fprintf(stderr, "%s\n", what);
    }
    SCHEDULE_CHECK(sound);
    engine_close(shop.engine);
    storage_destroy(shop.storage);
}

/* ---- Asking ---- */

struct ask {
    struct engine_call call;
    bool done;
};

static void ask_done(struct engine_call *call)
{
    struct ask *ask = (struct ask *)call;
    SCHEDULE_CHECK(!ask->done);
    ask->done = true;
}

static struct response ask(struct arena *arena, const struct request *request)
{
    struct ask ask = {.call = {.done = ask_done, .arena = arena}};
    engine_submit(shop.engine, &ask.call, request);
    while (!ask.done) {
        let_write();
    }
    return ask.call.response;
}

/* The power fails once so many answers were given. */
static void count_answer(void)
{
    if (shop.life == 0 && shop.answers_left > 0 && --shop.answers_left == 0) {
        shop.failed_ms = START_MS + shop.ms;
        shop.failed_at = ++shop.events;
        sim_storage_stop(shop.storage);
    }
}

/* Makes the caller's last `count` calls as one request. False: it was not answered. */
static bool make_calls(struct caller *caller, unsigned count)
{
    struct linear_call *calls = &caller->calls[caller->count - count];
    struct linear_wire wire;
    linear_wire_request(&wire, 1, shop.items, calls, count);
    uint64_t called_at = ++shop.events;
    uint64_t called_ms = START_MS + shop.ms;
    uint8_t life = shop.life;
    struct response response = ask(&caller->arena, &wire.request);
    uint64_t answered_at = ++shop.events;
    bool answered = response.status != HF_INTERNAL;
    for (unsigned i = 0; i < count; i++) {
        calls[i].thread = (uint8_t)caller->thread;
        calls[i].life = life;
        calls[i].called_ns = called_at;
        calls[i].called_ms = called_ms;
        calls[i].answered_ns = answered_at;
        calls[i].answered_ms = START_MS + shop.ms;
        calls[i].answered = answered;
    }
    if (answered) {
        linear_wire_answer(&response, shop.items, calls, count);
        count_answer();
    }
    arena_clear(&caller->arena);
    return answered;
}

/* ---- The case's threads ---- */

static struct linear_call *new_call(struct caller *caller, struct linear_call asked)
{
    SCHEDULE_CHECK(caller->count < MAKES);
    struct linear_call *call = &caller->calls[caller->count++];
    *call = asked;
    return call;
}

static unsigned plan_next(struct caller *caller)
{
    struct linear_call calls[PLAN_CALLS];
    if (caller->again >= 0) {
        new_call(caller, caller->calls[caller->again]);
        caller->again = -1;
        return 1;
    }
    unsigned count = linear_wire_next(&shop.plan, caller->thread, &caller->rng, calls);
    for (unsigned i = 0; i < count; i++) {
        new_call(caller, calls[i]);
    }
    return count;
}

static void call_on(void *context)
{
    struct caller *caller = context;
    for (bool fine = true; fine && caller->operations > 0; caller->operations--) {
        unsigned count = plan_next(caller);
        fine = make_calls(caller, count);
        if (!fine && rng_chance(&caller->rng, 2)) {
            caller->again = (int)caller->count - 1;
        }
        if (rng_chance(&caller->rng, 3)) {
            shop.ms += rng_between(&caller->rng, 1, 8);
        }
        schedule_point("caller");
    }
    shop.running--;
}

static void write_on(void *unused)
{
    (void)unused;
    while (shop.running > 0) {
        engine_step(shop.engine);
        schedule_wait();
    }
}

static void expire_on(void *unused)
{
    (void)unused;
    while (shop.running > 0) {
        engine_expire(shop.engine);
        schedule_wait();
    }
}

static void run_callers(struct schedule *schedule)
{
    for (unsigned i = 0; i < CALLERS; i++) {
        schedule_add(schedule, call_on, &shop.callers[i]);
    }
    schedule_add(schedule, write_on, NULL);
    schedule_add(schedule, expire_on, NULL);
    shop.running = CALLERS;
    schedule_run(schedule);
}

/* ---- A round ---- */

static void set_up(struct schedule *schedule)
{
    struct arena *arena = &shop.callers[MAIN_THREAD].arena;
    for (unsigned i = 0; i <= CALLERS; i++) {
        struct caller *caller = &shop.callers[i];
        caller->thread = i;
        caller->operations = (unsigned)rng_between(&schedule->rng, 1, OPERATIONS);
        caller->again = -1;
        rng_init(&caller->rng, rng_next(&schedule->rng));
        arena_init(&caller->arena, MIB(1));
    }
    linear_plan_make(&shop.plan, HOLD_MS, &schedule->rng);
    struct linear_wire wire;
    linear_wire_define(&wire, 1, &schedule->rng);
    struct response response = ask(arena, &wire.request);
    SCHEDULE_CHECK(response.status == HF_OK);
    memcpy(shop.items, response.define.items, sizeof shop.items);
    for (unsigned i = 0; i < PLAN_ITEMS; i++) {
        linear_wire_stock(&wire, 1, shop.items, i, shop.plan.stocked[i]);
        SCHEDULE_CHECK(ask(arena, &wire.request).status == HF_OK);
    }
    arena_clear(arena);
    if (rng_chance(&schedule->rng, CRASH_ONE_IN)) {
        shop.answers_left = (unsigned)rng_between(&schedule->rng, 1, 2 * OPERATIONS);
    }
}

static void crash(void)
{
    struct linear_call *restart =
        new_call(&shop.callers[MAIN_THREAD], (struct linear_call){.type = LINEAR_RESTART,
                                                                  .thread = MAIN_THREAD,
                                                                  .answered = true,
                                                                  .called_ns = shop.failed_at,
                                                                  .called_ms = shop.failed_ms});
    engine_close(shop.engine);
    sim_storage_crash(shop.storage);
    recover();
    restart->answered_ns = ++shop.events;
    restart->answered_ms = START_MS + shop.ms;
    shop.life = 1;
    met.crashes++;
}

static void read_all(void)
{
    struct caller *caller = &shop.callers[MAIN_THREAD];
    shop.life = 1;
    for (unsigned i = 0; i <= PLAN_ORDERS; i++) {
        linear_plan_read(i, new_call(caller, (struct linear_call){0}));
        SCHEDULE_CHECK(make_calls(caller, 1));
    }
}

static void check_history(void)
{
    static struct linear_history history;
    memset(&history, 0, sizeof history);
    history.slack_ms = 8; /* a step of the clock between two looks at it */
    for (unsigned i = 0; i < PLAN_ITEMS; i++) {
        history.stocked[i] = shop.plan.stocked[i];
    }
    for (unsigned i = 0; i <= CALLERS; i++) {
        for (unsigned k = 0; k < shop.callers[i].count; k++) {
            const struct linear_call *call = &shop.callers[i].calls[k];
            history.calls[history.count++] = *call;
            met.sold_out += call->answered && call->status == HF_SOLD_OUT;
            met.replayed += call->answered && call->replayed;
            met.expired += call->answered && call->state == LINEAR_EXPIRED;
        }
    }
    struct linear_report report;
    enum linear_verdict verdict = linear_check(&history, 0, &report);
    met.undecided += verdict == LINEAR_UNDECIDED;
    if (verdict == LINEAR_ILLEGAL) {
        linear_print(&history, &report, stderr);
    }
    SCHEDULE_CHECK(verdict != LINEAR_ILLEGAL);
}

static void callers_are_answered_as_by_one_clerk(struct schedule *schedule)
{
    static_assert((CALLERS + 1) * MAKES <= LINEAR_CALLS, "they fit into a history");
    open_shop(schedule);
    set_up(schedule);
    run_callers(schedule);
    if (shop.failed_at > 0) {
        crash();
        run_callers(schedule);
    }
    read_all();
    check_history();
    for (unsigned i = 0; i <= CALLERS; i++) {
        arena_deinit(&shop.callers[i].arena);
    }
    close_shop();
    met.rounds++;
}

int main(int argc, char **argv)
{
    static const struct schedule_case cases[] = {
        {"callers_are_answered_as_by_one_clerk", callers_are_answered_as_by_one_clerk},
    };
    diag_set_level((enum diag_level)(DIAG_ERROR + 1)); /* failed writes are many */
    int status = schedule_main(argc, argv, cases, 1, 100, 4.0, 200000);
    printf("%llu crashes, %llu sold out, %llu replayed, %llu found expired, %llu undecided\n",
           (unsigned long long)met.crashes, (unsigned long long)met.sold_out,
           (unsigned long long)met.replayed, (unsigned long long)met.expired,
           (unsigned long long)met.undecided);
    if (status == 0 && met.rounds >= 100) {
        SCHEDULE_CHECK(met.crashes > 0 && met.sold_out > 0 && met.replayed > 0 && met.expired > 0);
        SCHEDULE_CHECK(met.undecided * 10 <= met.rounds);
    }
    return status;
}
