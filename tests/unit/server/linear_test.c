/* linear_test.c - what several threads are answered, at the same time and across power failures, is
 * what one clerk would have answered one after another (lib/linear.h).
 *
 * A round has two items, pools of one SKU with a few units each, and some orders; each thread does
 * a few operations on them, so that most meet another's. In some rounds the power fails in the
 * middle: what was not answered is asked again after the restart, with the same id. In the end
 * everything is read, and the history is checked. Time is a number that the threads set on.
 *
 * With schedule points (tests/schedule) each of them yields now and then, which makes the windows
 * between two steps many times wider.
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
#include "base/log.h"
#include "lib/budget.h"
#include "lib/linear_plan.h"
#include "lib/rng.h"
#include "lib/shared_storage.h"
#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "server/engine.h"

#ifdef HOLDFAST_SCHEDULE
#include "lib/schedule.h"
#endif

#define THREADS     4u
#define ITEMS       2u
#define ORDERS      5u
#define ADJUSTMENTS 12u
#define OPERATIONS  7u                     /* of a thread, at most */
#define MAKES       (2u * OPERATIONS + 4u) /* calls of a thread: some operations are two, or again */
#define LIFE_ROUNDS 64u                    /* before a new engine */
#define START_MS    1762790400000ull
#define HOLD_MS     40u
#define SLACK_MS    8u /* a step of the clock between two looks at it */
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
    uint32_t items[ITEMS]; /* handles */
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
        .options = {.inventory = {.items_max = 2 * ITEMS * LIFE_ROUNDS,
                                  .orders_max = 8192,
                                  .hold_ms_default = HOLD_MS,
                                  .hold_ms_max = HOLD_MS},
                    .wal = {.segment_bytes = MIB(1),
                            .group_bytes = KIB(64),
                            .spare_segments = 1,
                            .in_flight_max = 1,
                            .digest_every_bytes = KIB(16)}},
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

static void make_id(uint8_t id[ID_BYTES], uint8_t kind, uint64_t round, uint8_t number)
{
    memset(id, 0, ID_BYTES);
    id[0] = kind;
    id[1] = number;
    memcpy(id + 8, &round, sizeof round);
}

/* ---- One call as a request ---- */

struct wire {
    struct request request;
    uint8_t ids[2][ID_BYTES];
    struct line_message lines[2][LINEAR_ITEMS];
    struct line_qty_message total[2];
    struct order_message orders[2];
    struct edit_message edits[2];
    struct adjustment_message adjustment;
    uint32_t items[ITEMS];
    uint64_t id_hi[2];
    uint64_t id_lo[2];
    uint32_t qty[2];
    uint64_t buyer[2];
};

static void wire_reserve(struct wire *wire, unsigned at, const struct round *round,
                         const struct linear_call *call)
{
    struct order_message *order = &wire->orders[at];
    *order = (struct order_message){.id = {wire->ids[at], ID_BYTES},
                                    .buyer = 1,
                                    .hold_ms = call->hold_ms,
                                    .lines = wire->lines[at]};
    for (unsigned i = 0; i < ITEMS; i++) {
        if (call->wanted[i]) {
            struct line_message *line = &wire->lines[at][order->line_count++];
            *line = (struct line_message){.item = round->items[i], .qty = call->wanted[i]};
            if (call->split) {
                line->split = true;
                line->fallback_count = 1;
                line->fallback = &round->items[1];
            }
        }
    }
    wire->request.reserve.count = at + 1;
    wire->request.reserve.orders = wire->orders;
}

static void wire_edit(struct wire *wire, unsigned at, const struct linear_call *call)
{
    struct edit_message *edit = &wire->edits[at];
    *edit = (struct edit_message){.id = {wire->ids[at], ID_BYTES}, .late_ok = call->late_ok};
    if (call->total) {
        wire->total[at] = (struct line_qty_message){1, call->total};
        edit->line_count = 1;
        edit->lines = &wire->total[at];
    }
    wire->request.edit.count = at + 1;
    wire->request.edit.edits = wire->edits;
}

static void wire_adjust(struct wire *wire, const struct round *round,
                        const struct linear_call *call)
{
    wire->adjustment = (struct adjustment_message){.id = {wire->ids[0], ID_BYTES},
                                                   .item = round->items[call->item],
                                                   .has_delta = true,
                                                   .delta = call->delta};
    if (call->type == LINEAR_MOVE) {
        wire->adjustment.to_item = round->items[call->to_item];
    }
    wire->request.adjust.count = 1;
    wire->request.adjust.adjustments = &wire->adjustment;
}

/* The calls in columns. */
static void wire_columns(struct wire *wire, unsigned at, const struct round *round,
                         const struct linear_call *call)
{
    struct id128 id = id_from_bytes(wire->ids[at]);
    struct batch_message *batch = &wire->request.batch;
    wire->request.type = call->type == LINEAR_RESERVE  ? REQUEST_RESERVE_BATCH
                         : call->type == LINEAR_COMMIT ? REQUEST_COMMIT_BATCH
                                                       : REQUEST_RELEASE_BATCH;
    wire->id_hi[at] = id.hi;
    wire->id_lo[at] = id.lo;
    batch->id_hi = wire->id_hi;
    batch->id_lo = wire->id_lo;
    batch->id_hi_count = batch->id_lo_count = at + 1;
    batch->late_ok = call->late_ok;
    if (call->type == LINEAR_RESERVE) {
        wire->items[at] = round->items[call->wanted[0] == 0];
        wire->qty[at] = call->wanted[call->wanted[0] == 0];
        wire->buyer[at] = 1;
        batch->item = wire->items;
        batch->qty = wire->qty;
        batch->buyer = wire->buyer;
        batch->item_count = batch->qty_count = batch->buyer_count = at + 1;
        batch->hold_ms = call->hold_ms;
    }
}

/* Adds a call to a request that has `at` of the same type. */
static void wire_add(struct wire *wire, unsigned at, const struct round *round,
                     const struct linear_call *call)
{
    static const enum request_type types[] = {
        [LINEAR_RESERVE] = REQUEST_RESERVE,     [LINEAR_COMMIT] = REQUEST_COMMIT,
        [LINEAR_RELEASE] = REQUEST_RELEASE,     [LINEAR_RETURN] = REQUEST_RETURN,
        [LINEAR_EXTEND] = REQUEST_EXTEND,       [LINEAR_GET_ORDER] = REQUEST_GET_ORDER,
        [LINEAR_GET_STOCK] = REQUEST_GET_STOCK, [LINEAR_ADJUST] = REQUEST_ADJUST,
        [LINEAR_MOVE] = REQUEST_ADJUST,
    };
    bool adjusts = call->type == LINEAR_ADJUST || call->type == LINEAR_MOVE;
    wire->request.type = types[call->type];
    make_id(wire->ids[at], adjusts ? 0xAD : 1, round->number,
            adjusts ? call->adjustment : call->order);
    if (call->brief) {
        wire_columns(wire, at, round, call);
        return;
    }
    switch (call->type) {
    case LINEAR_RESERVE:
        wire_reserve(wire, at, round, call);
        break;
    case LINEAR_EXTEND:
        wire->request.extend.id = (struct bytes){wire->ids[0], ID_BYTES};
        wire->request.extend.hold_ms = call->hold_ms;
        break;
    case LINEAR_GET_ORDER:
        wire->request.get_order.id = (struct bytes){wire->ids[0], ID_BYTES};
        break;
    case LINEAR_GET_STOCK:
        wire->request.get_stock.item_count = 0;
        for (unsigned i = 0; i < ITEMS; i++) {
            if (call->items >> i & 1) {
                wire->items[wire->request.get_stock.item_count++] = round->items[i];
            }
        }
        wire->request.get_stock.items = wire->items;
        break;
    case LINEAR_ADJUST:
    case LINEAR_MOVE:
        wire_adjust(wire, round, call);
        break;
    default:
        wire_edit(wire, at, call);
    }
}

/* ---- Its answer ---- */

static void read_grants(const struct round *round, struct linear_call *call,
                        const struct grant_message *grants, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < ITEMS; k++) {
            call->units[k] =
                (uint8_t)(call->units[k] + (grants[i].item == round->items[k] ? grants[i].qty : 0));
        }
    }
}

static void read_result(const struct round *round, struct linear_call *call,
                        const struct result_message *result)
{
    call->status = result->status;
    call->replayed = result->replayed;
    call->blocking = (uint8_t)result->blocking_line;
    call->state = (uint8_t)result->state;
    call->deadline_ms = result->deadline_ms;
    if (call->type != LINEAR_RESERVE || result->status != HF_OK) {
        return;
    }
    if (result->grant_count > 0) {
        read_grants(round, call, result->grants, result->grant_count);
    } else if (result->state == LINEAR_HELD || result->state == LINEAR_COMMITTED) {
        memcpy(call->units, call->wanted, sizeof call->units);
    }
}

static void read_column(struct linear_call *call, unsigned at, const struct response *response)
{
    bool all_ok = response->batch.status_count == 0;
    call->status = all_ok ? HF_OK : (enum hf_status)response->batch.status[at];
    call->blocking = 1;
    if (call->type == LINEAR_RESERVE && call->status == HF_OK) {
        memcpy(call->units, call->wanted, sizeof call->units);
    }
}

static struct linear_stock stock_of(const struct stock_message *stock)
{
    return (struct linear_stock){(int32_t)stock->stocked, (int32_t)stock->held,
                                 (int32_t)stock->sold, (int32_t)stock->available};
}

static void read_answer(const struct round *round, struct linear_call *call, unsigned at,
                        const struct response *response)
{
    call->status = response->status;
    switch (response->type) {
    case RESPONSE_ORDERS:
        read_result(round, call, &response->orders.results[at]);
        break;
    case RESPONSE_BATCH:
        read_column(call, at, response);
        break;
    case RESPONSE_ORDER:
        call->state = (uint8_t)response->order.state;
        call->deadline_ms = response->order.deadline_ms;
        read_grants(round, call, response->order.grants, response->order.grant_count);
        break;
    case RESPONSE_STOCK:
        for (uint32_t i = 0, k = 0; k < ITEMS; k++) {
            if (call->items >> k & 1) {
                CHECK(i < response->stock.count);
                call->stock[k] = stock_of(&response->stock.items[i++]);
            }
        }
        break;
    case RESPONSE_ADJUST:
        call->status = response->adjust.results[0].status;
        call->replayed = response->adjust.results[0].replayed;
        call->stock[0] = stock_of(&response->adjust.results[0].stock);
        break;
    default:
        break;
    }
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
    struct wire wire;
    memset(&wire, 0, sizeof wire);
    uint64_t called_ms = START_MS + shop_ms(round->shop);
    for (unsigned i = 0; i < count; i++) {
        wire_add(&wire, i, round, &calls[i]);
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
        if (answered) {
            read_answer(round, &calls[i], i, &response);
        }
    }
    arena_clear(&caller->arena);
    if (answered) {
        count_answer(round);
    }
    return answered;
}

/* ---- What a thread does ---- */

/* Plain lines, and whole orders. */
static bool fits_columns(const struct linear_call *call)
{
    bool one_line = (call->wanted[0] > 0) != (call->wanted[1] > 0) && !call->split;
    bool whole = call->type == LINEAR_COMMIT || (call->type == LINEAR_RELEASE && call->total == 0);
    return whole || (call->type == LINEAR_RESERVE && one_line);
}

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
    unsigned count = linear_plan_next(&caller->round->plan, caller->thread, &caller->rng, calls);
    bool columns = rng_chance(&caller->rng, 4);
    for (unsigned i = 0; i < count; i++) {
        columns = columns && fits_columns(&calls[i]) && calls[i].late_ok == calls[0].late_ok &&
                  calls[i].hold_ms == calls[0].hold_ms;
    }
    for (unsigned i = 0; i < count; i++) {
        calls[i].brief = calls[i].replayed_unsure = columns;
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
    char sku[32];
    snprintf(sku, sizeof sku, "sku-%llu", (unsigned long long)round->number);
    struct item_message items[ITEMS] = {
        {.sku = bytes_of(sku), .pool = bytes_of("east"), .hot = rng_chance(rng, 2)},
        {.sku = bytes_of(sku), .pool = bytes_of("west"), .hot = rng_chance(rng, 2)}};
    struct request define = {.type = REQUEST_DEFINE};
    define.define.item_count = ITEMS;
    define.define.items = items;
    memcpy(round->items, must(round, &define).define.items, sizeof round->items);
    for (unsigned i = 0; i < ITEMS; i++) {
        round->history.stocked[i] = round->plan.stocked[i];
        uint8_t id[ID_BYTES];
        make_id(id, 0xAE, round->number, (uint8_t)i);
        struct adjustment_message stock = {.id = {id, ID_BYTES},
                                           .item = round->items[i],
                                           .has_delta = true,
                                           .delta = round->history.stocked[i]};
        struct request adjust = {.type = REQUEST_ADJUST};
        adjust.adjust.count = 1;
        adjust.adjust.adjustments = &stock;
        must(round, &adjust);
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
    log_set_level((enum log_level)(LOG_ERROR + 1)); /* failed writes are many */
    uint64_t first = rng_seed_from_env(1);
#ifdef HOLDFAST_SCHEDULE
    schedule_yields(first, 4);
#endif
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
