/* linear_test.c - what several threads are answered, at the same time and across power failures, is
 * what one clerk would have answered one after another (lib/linear.h).
 *
 * A round has two items, pools of one SKU with a few units each, and some orders; each thread does
 * a few operations on them, so that most meet another's. In some rounds the power fails in the
 * middle: what was not answered is asked again after the restart, with the same id. In the end
 * everything is read, and the history is checked. Time is a number that the threads set on.
 *
 * Threads: THREADS, each with calls of its own; the main one sets up, waits, and checks. SEED
 * repeats a round's operations, though not who comes first. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/diag.h"
#include "lib/budget.h"
#include "lib/linear_wire.h"
#include "lib/rng.h"
#include "lib/shared_storage.h"
#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "server/engine.h"

#define THREADS     4u
#define ITEMS       2u
#define ORDERS      5u
#define ADJUSTMENTS 12u
#define OPERATIONS  7u                     /* of a thread, at most */
#define MAKES       (2u * OPERATIONS + 4u) /* calls of a thread: some operations are two, or again */
#define LIFE_ROUNDS 64u                    /* before a new engine */
#define START_MS    1762790400000ull
#define HOLD_MS     40u
#define SLACK_MS    8u /* a step of the clock between two readings */
#define MAIN_THREAD THREADS

struct shop {
    struct clock clock;
    _Atomic uint64_t ms;
    struct storage *storage; /* a shared one, over a simulated one */
    struct engine_options options;
    struct engine *engine;
    uint32_t rounds; /* with this engine and storage */
};

/* One thread of a round. */
struct caller {
    struct round *round;
    unsigned thread;
    pthread_t id;
    struct rng rng;
    struct arena arena;
    unsigned operations; /* left */
    unsigned count;
    struct linear_call calls[MAKES];
    int again; /* the call to make once more; -1: none */
};

struct round {
    struct shop *shop;
    uint64_t number;
    uint64_t seed;
    uint32_t items[PLAN_ITEMS]; /* handles */
    struct linear_plan plan;
    uint8_t life;
    atomic_int answers_left; /* until the power fails */
    _Atomic uint64_t failed_ns;
    _Atomic uint64_t failed_ms;
    pthread_barrier_t barrier;
    struct caller callers[THREADS + 1];
    struct linear_history history;
};

static struct {
    uint64_t crashes;
    uint64_t sold_out;
    uint64_t replayed;
    uint64_t expired;
    uint64_t unanswered;
    uint64_t states;
    uint64_t undecided;
    uint64_t calls;
    uint64_t overlaps; /* pairs of calls that were under way at the same time */
} met;

/* ---- Time ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t shop_ms(void *context)
{
    /* seq_cst: a thread that has set the clock on is seen to have by who is called later. */
    return atomic_load(&((struct shop *)context)->ms);
}

static uint64_t shop_unix_ns(void *context)
{
    return (START_MS + shop_ms(context)) * 1000000u;
}

static uint64_t shop_uptime_ns(void *context)
{
    return (1000 + shop_ms(context)) * 1000000u;
}

/* ---- The engine ---- */

static void shop_recover(struct shop *shop)
{
    struct engine_recovery recovery;
    enum hf_status status =
        engine_open(&shop->engine, &shop->options, shop->storage, &shop->clock, &recovery);
    if (status != HF_OK) {
        fprintf(stderr, "recovery: %s\n", recovery.message);
    }
    CHECK(status == HF_OK);
    CHECK(engine_start(shop->engine) == HF_OK);
}

static void shop_open(struct shop *shop, uint64_t seed)
{
    uint64_t ms = shop_ms(shop);
    *shop = (struct shop){
        .clock = {shop, shop_unix_ns, shop_uptime_ns, shop_uptime_ns, sim_boot},
        .ms = ms,
        .storage = shared_storage_make(sim_storage_make(seed), seed),
        .options = {.inventory = {.items_max = 2 * PLAN_ITEMS * LIFE_ROUNDS,
                                  .orders_max = 8192,
                                  .hold_ms_default = HOLD_MS,
                                  .hold_ms_max = HOLD_MS},
                    .wal = {.segment_bytes = MIB(1),
                            .group_bytes = KIB(64),
                            .spare_segments = 1,
                            .in_flight_max = 1,
                            .digest_every_bytes = 512}},
    };
    shop_recover(shop);
}

static void shop_stop(struct shop *shop)
{
    engine_stop(shop->engine);
    char what[256] = "";
    bool sound = engine_failed(shop->engine) ||
                 inventory_verify(engine_inventory(shop->engine), what, sizeof what);
    if (!sound) {
        fprintf(stderr, "%s\n", what);
    }
    CHECK(sound);
    engine_close(shop->engine);
    shop->engine = NULL;
}

static void shop_close(struct shop *shop)
{
    if (shop->engine) {
        shop_stop(shop);
        storage_destroy(shop->storage);
    }
}

/* ---- Asking ---- */

struct ask {
    struct engine_call call;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
};

static void ask_done(struct engine_call *call)
{
    struct ask *ask = (struct ask *)call;
    CHECK(pthread_mutex_lock(&ask->mutex) == 0);
    CHECK(!ask->done);
    ask->done = true;
    CHECK(pthread_cond_signal(&ask->cond) == 0);
    CHECK(pthread_mutex_unlock(&ask->mutex) == 0);
}

/* Asks, and waits for the answer, which lies in the arena. */
static struct response ask(struct shop *shop, struct arena *arena, const struct request *request)
{
    struct ask ask = {.call = {.done = ask_done, .arena = arena},
                      .mutex = PTHREAD_MUTEX_INITIALIZER,
                      .cond = PTHREAD_COND_INITIALIZER};
    engine_submit(shop->engine, &ask.call, request);
    CHECK(pthread_mutex_lock(&ask.mutex) == 0);
    while (!ask.done) {
        pthread_cond_wait(&ask.cond, &ask.mutex);
    }
    CHECK(pthread_mutex_unlock(&ask.mutex) == 0);
    CHECK(pthread_mutex_destroy(&ask.mutex) == 0);
    CHECK(pthread_cond_destroy(&ask.cond) == 0);
    return ask.call.response;
}

static void count_met(const struct linear_call *call)
{
    met.sold_out += call->answered && call->status == HF_SOLD_OUT;
    met.replayed += call->answered && call->replayed;
    met.expired += call->answered && call->state == LINEAR_EXPIRED;
    met.unanswered += !call->answered;
}

static void count_overlaps(const struct linear_history *history)
{
    for (unsigned i = 0; i < history->count; i++) {
        const struct linear_call *a = &history->calls[i];
        for (unsigned k = 0; k < i; k++) {
            const struct linear_call *b = &history->calls[k];
            met.overlaps += a->thread != b->thread && a->called_ns < b->answered_ns &&
                            b->called_ns < a->answered_ns;
        }
    }
    met.calls += history->count;
}

/* The power fails once so many answers were given. */
static void count_answer(struct round *round)
{
    if (round->life > 0 || atomic_fetch_sub(&round->answers_left, 1) != 1) {
        return;
    }
    round->failed_ms = START_MS + shop_ms(round->shop);
    round->failed_ns = now_ns();
    shared_storage_stop(round->shop->storage);
}

/* Makes the caller's last `calls` calls as one request. False: it was not answered. */
static bool make_calls(struct caller *caller, unsigned count)
{
    struct round *round = caller->round;
    struct linear_call *calls = &caller->calls[caller->count - count];
    struct linear_wire wire;
    linear_wire_request(&wire, round->number, round->items, calls, count);
    uint64_t called_ms = START_MS + shop_ms(round->shop);
    for (unsigned i = 0; i < count; i++) {
        calls[i].thread = (uint8_t)caller->thread;
        calls[i].life = round->life;
        calls[i].called_ms = called_ms;
        calls[i].called_ns = now_ns();
    }
    struct response response = ask(round->shop, &caller->arena, &wire.request);
    uint64_t answered_ns = now_ns();
    uint64_t answered_ms = START_MS + shop_ms(round->shop);
    bool answered = response.status != HF_INTERNAL;
    for (unsigned i = 0; i < count; i++) {
        calls[i].answered = answered;
        calls[i].answered_ns = answered_ns;
        calls[i].answered_ms = answered_ms;
    }
    if (answered) {
        linear_wire_answer(&response, round->items, calls, count);
    }
    arena_clear(&caller->arena);
    if (answered) {
        count_answer(round);
    }
    return answered;
}

/* ---- What a thread does ---- */

static struct linear_call *new_call(struct caller *caller)
{
    CHECK(caller->count < MAKES);
    struct linear_call *call = &caller->calls[caller->count++];
    *call = (struct linear_call){0};
    return call;
}

/* Plans the next request. Returns how many calls it makes. */
static unsigned plan(struct caller *caller)
{
    struct linear_call calls[PLAN_CALLS];
    unsigned count = linear_wire_next(&caller->round->plan, caller->thread, &caller->rng, calls);
    for (unsigned i = 0; i < count; i++) {
        *new_call(caller) = calls[i];
    }
    return count;
}

static void pause_between(struct caller *caller)
{
    struct rng *rng = &caller->rng;
    if (rng_chance(rng, 3)) {
        atomic_fetch_add(&caller->round->shop->ms, rng_between(rng, 1, 8));
    }
    if (rng_chance(rng, 3)) {
        sched_yield();
    } else if (rng_chance(rng, 4)) {
        nanosleep(&(struct timespec){.tv_nsec = (long)rng_below(rng, 200000)}, NULL);
    }
}

static void *run_caller(void *argument)
{
    struct caller *caller = argument;
    pthread_barrier_wait(&caller->round->barrier);
    while (caller->operations > 0) {
        unsigned count = 1;
        if (caller->again >= 0) {
            struct linear_call again = caller->calls[caller->again];
            *new_call(caller) = again;
            caller->again = -1;
        } else {
            count = plan(caller);
        }
        caller->operations--;
        if (!make_calls(caller, count)) {
            caller->again = rng_chance(&caller->rng, 4) ? -1 : (int)caller->count - 1;
            return NULL; /* the engine has failed */
        }
        pause_between(caller);
    }
    return NULL;
}

/* ---- A round ---- */

/* Asks for what can't be refused, again and again while the log is busy. */
static struct response must(struct round *round, const struct request *request)
{
    struct arena *arena = &round->callers[MAIN_THREAD].arena;
    struct response response;
    do {
        arena_clear(arena);
        response = ask(round->shop, arena, request);
    } while (response.status == HF_BUSY);
    CHECK(response.status == HF_OK);
    return response;
}

static void define_items(struct round *round, struct rng *rng)
{
    struct linear_wire wire;
    linear_wire_define(&wire, round->number, rng);
    memcpy(round->items, must(round, &wire.request).define.items, sizeof round->items);
    for (unsigned i = 0; i < PLAN_ITEMS; i++) {
        round->history.stocked[i] = round->plan.stocked[i];
        linear_wire_stock(&wire, round->number, round->items, i, round->plan.stocked[i]);
        must(round, &wire.request);
    }
}

static void run_threads(struct round *round)
{
    CHECK(pthread_barrier_init(&round->barrier, NULL, THREADS) == 0);
    for (unsigned i = 0; i < THREADS; i++) {
        struct caller *caller = &round->callers[i];
        CHECK(pthread_create(&caller->id, NULL, run_caller, caller) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_join(round->callers[i].id, NULL) == 0);
    }
    CHECK(pthread_barrier_destroy(&round->barrier) == 0);
}

static void crash(struct round *round)
{
    struct shop *shop = round->shop;
    struct linear_call *restart = new_call(&round->callers[MAIN_THREAD]);
    *restart = (struct linear_call){.type = LINEAR_RESTART,
                                    .thread = MAIN_THREAD,
                                    .called_ns = round->failed_ns,
                                    .called_ms = round->failed_ms,
                                    .answered = true};
    shop_stop(shop);
    sim_storage_crash(shared_storage_under(shop->storage));
    shop_recover(shop);
    restart->answered_ns = now_ns();
    restart->answered_ms = START_MS + shop_ms(shop);
    met.crashes++;
    round->life = 1;
}

/* Everything is read once more, one by one. */
static void read_all(struct round *round)
{
    struct caller *caller = &round->callers[MAIN_THREAD];
    for (unsigned i = 0; i <= PLAN_ORDERS; i++) {
        linear_plan_read(i, new_call(caller));
        CHECK(make_calls(caller, 1));
    }
}

static void check_round(struct round *round)
{
    struct linear_history *history = &round->history;
    history->slack_ms = SLACK_MS;
    for (unsigned i = 0; i <= THREADS; i++) {
        const struct caller *caller = &round->callers[i];
        for (unsigned k = 0; k < caller->count; k++) {
            history->calls[history->count++] = caller->calls[k];
            count_met(&caller->calls[k]);
        }
    }
    count_overlaps(history);
    struct linear_report report;
    enum linear_verdict verdict = linear_check(history, 0, &report);
    met.states += report.states;
    met.undecided += verdict == LINEAR_UNDECIDED;
    if (verdict == LINEAR_ILLEGAL) {
        printf("SEED=%llu: nobody could have answered so one after another\n",
               (unsigned long long)round->seed);
        linear_print(history, &report, stdout);
        fflush(stdout);
    }
    CHECK(verdict != LINEAR_ILLEGAL);
}

static void run_round(struct shop *shop, uint64_t seed)
{
    static struct round round;
    static_assert((THREADS + 1) * MAKES <= LINEAR_CALLS, "they fit into a history");
    memset(&round, 0, sizeof round);
    round.shop = shop;
    round.seed = seed;
    round.number = seed;
    struct rng rng;
    rng_init(&rng, seed);
    for (unsigned i = 0; i <= THREADS; i++) {
        struct caller *caller = &round.callers[i];
        caller->round = &round;
        caller->thread = i;
        caller->operations = (unsigned)rng_between(&rng, 2, OPERATIONS);
        caller->again = -1;
        rng_init(&caller->rng, rng_next(&rng));
        arena_init(&caller->arena, MIB(1));
    }
    linear_plan_make(&round.plan, HOLD_MS, &rng);
    define_items(&round, &rng);
    bool crashes = rng_chance(&rng, 3);
    round.answers_left = crashes ? (int)rng_between(&rng, 1, 2 * OPERATIONS) : 0;
    run_threads(&round);
    if (round.failed_ns > 0) {
        crash(&round);
        run_threads(&round);
    }
    round.life = 1;
    read_all(&round);
    for (unsigned i = 0; i <= THREADS; i++) {
        arena_deinit(&round.callers[i].arena);
    }
    check_round(&round);
}

int main(void)
{
    static struct shop shop;
    diag_set_level((enum diag_level)(DIAG_ERROR + 1)); /* failed writes are many */
    uint64_t first = rng_seed_from_env(1);
    struct budget budget = budget_make("rounds", 60, 4.0, 100000);
    while (budget_next(&budget)) {
        if (budget.round % LIFE_ROUNDS == 0) {
            shop_close(&shop);
            shop_open(&shop, first + budget.round);
        }
        run_round(&shop, first + budget.round);
    }
    shop_close(&shop);
    printf("%llu crashes, %llu sold out, %llu replayed, %llu found expired, %llu without answer; "
           "%.1f others beside a call; %llu states, %llu rounds undecided\n",
           (unsigned long long)met.crashes, (unsigned long long)met.sold_out,
           (unsigned long long)met.replayed, (unsigned long long)met.expired,
           (unsigned long long)met.unanswered, 2.0 * (double)met.overlaps / (double)met.calls,
           (unsigned long long)met.states, (unsigned long long)met.undecided);
    if (budget.round >= budget.floor && budget.floor > 1) {
        CHECK(met.crashes > 0 && met.sold_out > 0 && met.replayed > 0 && met.expired > 0);
        CHECK(met.undecided * 10 <= budget.round);
    }
    return 0;
}
