/* linear_test.c - what several clients are answered by the real binary, also while it is killed and
 * started again, is what one clerk would have answered one after another (lib/linear.h).
 *
 * usage: linear_test URL...        started by linear.py, which kills the engine when asked to
 *
 * As tests/unit/server/linear_test.c, over the wire: threads share clients, so that their calls are
 * put together into messages, and the clients send again what a killed engine has not answered.
 * What was under way at a kill may have been done before it, after it, or both times.
 *
 * "kill" on standard output asks for a kill and a new start; a line on standard input says that the
 * engine is up again.
 *
 * Threads: THREADS; the main one sets up, asks for kills, and checks. SEED repeats what is asked.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <holdfast/client.h>

#include "base/check.h"
#include "lib/budget.h"
#include "lib/linear_plan.h"
#include "lib/rng.h"

#define THREADS     4u
#define CLIENTS     3u
#define OPERATIONS  10u /* of a thread, at most */
#define KILL_ROUNDS 8u  /* in one of so many the engine is killed */
#define KILLS       2u  /* in such a round, at most */
#define HOLD_MS     200u
#define SLACK_MS    50u /* the engine's wall time may be slewed */
#define TIMEOUT_MS  300000u
#define BURSTS      4u
#define BURST       12u /* calls at once: more than a client has messages of a kind under way */
#define BURST_UNITS 60

struct caller {
    struct round *round;
    unsigned thread;
    pthread_t id;
    struct rng rng;
    struct hf_client *client;
    unsigned operations;
    unsigned count;
    struct linear_call calls[OPERATIONS + BURSTS * BURST + PLAN_ORDERS + PLAN_CALLS];
};

struct round {
    uint64_t seed;
    struct linear_plan plan;
    uint32_t items[PLAN_ITEMS];
    uint8_t id_prefix[8]; /* random: the engine lives through many rounds and programs */
    atomic_uint answers;
    atomic_uint running;
    unsigned kill_count;
    struct linear_call kills[KILLS];
    struct caller callers[THREADS + 1];
    struct linear_history history;
};

static struct hf_client *clients[CLIENTS];

static struct {
    uint64_t kills;
    uint64_t twice;
    uint64_t sold_out;
    uint64_t replayed;
    uint64_t expired;
    uint64_t undecided;
} met;

/* ---- Time ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void rest(uint64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* ---- Calls ---- */

static struct hf_id id_of(const struct round *round, uint8_t kind, uint8_t number)
{
    struct hf_id id;
    memset(&id, 0, sizeof id);
    memcpy(id.bytes, round->id_prefix, sizeof round->id_prefix);
    id.bytes[14] = kind;
    id.bytes[15] = number;
    return id;
}

static unsigned item_index(const struct round *round, uint32_t item)
{
    unsigned index = 0;
    while (index < PLAN_ITEMS && round->items[index] != item) {
        index++;
    }
    CHECK(index < PLAN_ITEMS); /* else another caller's */
    return index;
}

static void read_result(const struct round *round, struct linear_call *call, enum hf_status status,
                        const struct hf_result *result)
{
    call->status = status;
    call->replayed = result->replayed;
    call->blocking = (uint8_t)result->blocking_line;
    call->state = (uint8_t)result->state;
    call->deadline_ms = result->deadline_ms;
    if (call->type != LINEAR_RESERVE || status != HF_OK) {
        return;
    }
    for (uint32_t i = 0; i < result->grant_count; i++) {
        unsigned index = item_index(round, result->grants[i].item);
        call->units[index] = (uint8_t)(call->units[index] + result->grants[i].qty);
    }
    bool has_units = result->state == HF_ORDER_HELD || result->state == HF_ORDER_COMMITTED;
    if (result->grant_count == 0 && has_units) {
        memcpy(call->units, call->wanted, sizeof call->units);
    }
}

static void make_reserve(struct caller *caller, struct linear_call *call)
{
    const struct round *round = caller->round;
    struct hf_line lines[PLAN_ITEMS];
    struct hf_order order = {
        .id = id_of(round, 1, call->order), .buyer = 1, .hold_ms = call->hold_ms, .lines = lines};
    for (unsigned i = 0; i < PLAN_ITEMS; i++) {
        if (call->wanted[i]) {
            lines[order.line_count++] =
                (struct hf_line){.item = round->items[i],
                                 .qty = call->wanted[i],
                                 .split = call->split,
                                 .fallback_count = call->split ? 1 : 0,
                                 .fallbacks = call->split ? &round->items[1] : NULL};
        }
    }
    struct hf_result result = {0};
    enum hf_status status = hf_reserve(caller->client, &order, &result);
    read_result(round, call, status, &result);
}

static void make_edit(struct caller *caller, struct linear_call *call)
{
    const struct round *round = caller->round;
    struct hf_client *client = caller->client;
    struct hf_id id = id_of(round, 1, call->order);
    struct hf_line_qty line = {1, call->total};
    struct hf_result result = {0};
    enum hf_status status;
    switch (call->type) {
    case LINEAR_COMMIT:
        status = call->late_ok ? hf_commit_late(client, id, NULL, 0, &result)
                               : hf_commit(client, id, &result);
        break;
    case LINEAR_RELEASE:
        status = call->total ? hf_release_lines(client, id, &line, 1, &result)
                             : hf_release(client, id, &result);
        break;
    case LINEAR_RETURN:
        status = hf_return_lines(client, id, NULL, 0, &result);
        break;
    default:
        status = hf_extend(client, id, call->hold_ms, &result);
    }
    read_result(round, call, status, &result);
}

static void make_get_order(struct caller *caller, struct linear_call *call)
{
    const struct round *round = caller->round;
    struct hf_order_info info;
    struct hf_order_line lines[4];
    struct hf_id id = id_of(round, 1, call->order);
    call->status = hf_get_order(caller->client, id, &info, lines, 4);
    if (call->status != HF_OK) {
        return;
    }
    CHECK(memcmp(info.id.bytes, id.bytes, sizeof id.bytes) == 0);
    call->state = (uint8_t)info.state;
    call->deadline_ms = info.deadline_ms;
    call->lsn = info.lsn;
    for (uint32_t i = 0; i < info.line_count; i++) {
        unsigned index = item_index(round, info.lines[i].item);
        call->units[index] = (uint8_t)(call->units[index] + info.lines[i].qty);
    }
}

static struct linear_stock stock_of(const struct hf_stock *stock)
{
    return (struct linear_stock){(int32_t)stock->stocked, (int32_t)stock->held,
                                 (int32_t)stock->sold, (int32_t)stock->available};
}

static void make_get_stock(struct caller *caller, struct linear_call *call)
{
    const struct round *round = caller->round;
    uint32_t items[PLAN_ITEMS] = {0};
    struct hf_stock stock[PLAN_ITEMS];
    uint32_t count = 0;
    for (unsigned i = 0; i < PLAN_ITEMS; i++) {
        if (call->items >> i & 1) {
            items[count++] = round->items[i];
        }
    }
    call->status = hf_get_items(caller->client, items, count, stock);
    for (uint32_t i = 0; call->status == HF_OK && i < count; i++) {
        call->stock[item_index(round, stock[i].item)] = stock_of(&stock[i]);
    }
}

static void make_adjust(struct caller *caller, struct linear_call *call)
{
    const struct round *round = caller->round;
    struct hf_adjustment adjustment = {.id = id_of(round, 2, call->adjustment),
                                       .item = round->items[call->item],
                                       .value = call->delta};
    if (call->type == LINEAR_MOVE) {
        adjustment.to_item = round->items[call->to_item];
    }
    struct hf_adjust_result result;
    call->status = hf_adjust(caller->client, &adjustment, 1, &result);
    if (call->status == HF_OK || call->status == HF_INVALID) {
        call->status = result.status;
        call->replayed = result.replayed;
        call->stock[0] = stock_of(&result.stock);
    }
}

static void make_call(struct caller *caller, struct linear_call *call)
{
    call->thread = (uint8_t)caller->thread;
    call->life = LINEAR_ANY_LIFE;
    call->answered = true;
    call->called_ms = now_ms();
    call->called_ns = now_ns();
    switch (call->type) {
    case LINEAR_RESERVE:
        make_reserve(caller, call);
        break;
    case LINEAR_GET_ORDER:
        make_get_order(caller, call);
        break;
    case LINEAR_GET_STOCK:
        make_get_stock(caller, call);
        break;
    case LINEAR_ADJUST:
    case LINEAR_MOVE:
        make_adjust(caller, call);
        break;
    default:
        make_edit(caller, call);
    }
    call->answered_ns = now_ns();
    call->answered_ms = now_ms();
    if (call->status >= HF_STATUS_LOCAL) {
        fprintf(stderr, "%s: %s\n", hf_status_name(call->status), hf_last_message());
    }
    CHECK(call->status < HF_STATUS_LOCAL);
}

/* ---- A thread ---- */

static void *run_caller(void *argument)
{
    struct caller *caller = argument;
    struct round *round = caller->round;
    while (caller->operations > 0) {
        struct linear_call calls[PLAN_CALLS];
        unsigned count = linear_plan_next(&round->plan, caller->thread, &caller->rng, calls);
        for (unsigned i = 0; i < count && caller->operations > 0; i++, caller->operations--) {
            caller->calls[caller->count] = calls[i];
            make_call(caller, &caller->calls[caller->count++]);
            atomic_fetch_add(&round->answers, 1);
        }
        if (rng_chance(&caller->rng, 4)) {
            rest(rng_below(&caller->rng, 300000));
        }
    }
    atomic_fetch_sub(&round->running, 1);
    return NULL;
}

/* ---- Many calls of one thread at once ----
 *
 * More than a client has messages under way, so that they share some: with answers that differ from
 * order to order, each must get its own. */

struct burst {
    struct round *round;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned left;
};

struct burst_call {
    struct burst *burst;
    struct linear_call *call;
};

static void burst_done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct burst_call *done = user;
    struct burst *burst = done->burst;
    CHECK(status < HF_STATUS_LOCAL);
    read_result(burst->round, done->call, status, result);
    done->call->answered_ns = now_ns();
    done->call->answered_ms = now_ms();
    CHECK(pthread_mutex_lock(&burst->mutex) == 0);
    burst->left--;
    CHECK(pthread_cond_signal(&burst->cond) == 0);
    CHECK(pthread_mutex_unlock(&burst->mutex) == 0);
}

static void start_call(struct caller *caller, struct burst_call *start)
{
    struct linear_call *call = start->call;
    struct hf_id id = id_of(caller->round, 1, call->order);
    unsigned item = call->wanted[0] ? 0 : 1;
    struct hf_line line = {.item = caller->round->items[item], .qty = call->wanted[item]};
    struct hf_order order = {
        .id = id, .buyer = 1, .hold_ms = call->hold_ms, .line_count = 1, .lines = &line};
    call->thread = (uint8_t)caller->thread;
    call->life = LINEAR_ANY_LIFE;
    call->answered = true;
    call->called_ms = now_ms();
    call->called_ns = now_ns();
    enum hf_status status =
        call->type == LINEAR_RESERVE  ? hf_reserve_async(caller->client, &order, burst_done, start)
        : call->type == LINEAR_COMMIT ? hf_commit_async(caller->client, id, burst_done, start)
                                      : hf_release_async(caller->client, id, burst_done, start);
    CHECK(status == HF_OK);
}

/* Calls of one kind, on as many orders. What is wanted follows from the order. */
static void make_burst(struct caller *caller, enum linear_type type)
{
    struct burst burst = {.round = caller->round,
                          .mutex = PTHREAD_MUTEX_INITIALIZER,
                          .cond = PTHREAD_COND_INITIALIZER,
                          .left = BURST};
    struct burst_call calls[BURST];
    unsigned first = (unsigned)rng_below(&caller->rng, LINEAR_ORDERS);
    for (unsigned i = 0; i < BURST; i++) {
        struct linear_call *call = &caller->calls[caller->count++];
        unsigned order = (first + 5 * i) % LINEAR_ORDERS;
        *call = (struct linear_call){.type = type, .order = (uint8_t)order};
        if (type == LINEAR_RESERVE) {
            call->wanted[order % 2] = (uint8_t)(1 + order % 3);
            call->hold_ms = TIMEOUT_MS;
        }
        calls[i] = (struct burst_call){&burst, call};
        start_call(caller, &calls[i]);
    }
    CHECK(pthread_mutex_lock(&burst.mutex) == 0);
    while (burst.left > 0) {
        pthread_cond_wait(&burst.cond, &burst.mutex);
    }
    CHECK(pthread_mutex_unlock(&burst.mutex) == 0);
    CHECK(pthread_mutex_destroy(&burst.mutex) == 0);
    CHECK(pthread_cond_destroy(&burst.cond) == 0);
}

static void make_bursts(struct caller *caller)
{
    static const enum linear_type types[] = {LINEAR_RESERVE, LINEAR_COMMIT, LINEAR_RELEASE};
    make_burst(caller, LINEAR_RESERVE);
    for (unsigned i = 1; i < BURSTS; i++) {
        make_burst(caller, types[rng_below(&caller->rng, 3)]);
    }
}

/* ---- A round ---- */

static void define_items(struct round *round, struct rng *rng)
{
    char sku[32];
    struct hf_client *client = clients[0];
    snprintf(sku, sizeof sku, "linear-%llu", (unsigned long long)round->seed);
    struct hf_item items[PLAN_ITEMS] = {{.sku = sku, .pool = "east", .hot = rng_chance(rng, 2)},
                                        {.sku = sku, .pool = "west", .hot = rng_chance(rng, 2)}};
    enum hf_status status = hf_define(client, NULL, 0, items, PLAN_ITEMS, round->items);
    CHECK(status == HF_OK);
    for (unsigned i = 0; i < PLAN_ITEMS; i++) {
        struct hf_adjustment stock = {.id = id_of(round, 3, (uint8_t)i),
                                      .item = round->items[i],
                                      .value = round->plan.stocked[i]};
        struct hf_adjust_result result;
        status = hf_adjust(client, &stock, 1, &result);
        CHECK(status == HF_OK && result.status == HF_OK);
        round->history.stocked[i] = round->plan.stocked[i];
    }
}

/* Asks for a kill, and waits until the engine is up again. */
static void kill_engine(struct round *round)
{
    struct linear_call *kill = &round->kills[round->kill_count];
    *kill = (struct linear_call){.type = LINEAR_RESTART,
                                 .thread = THREADS,
                                 .life = (uint8_t)round->kill_count,
                                 .answered = true,
                                 .called_ms = now_ms(),
                                 .called_ns = now_ns()};
    printf("kill\n");
    fflush(stdout);
    char line[16];
    CHECK(fgets(line, sizeof line, stdin) != NULL);
    kill->answered_ns = now_ns();
    kill->answered_ms = now_ms();
    round->kill_count++;
    met.kills++;
}

/* Runs the threads, and kills the engine after some answers. */
static void run_threads(struct round *round, struct rng *rng, unsigned kills)
{
    atomic_store(&round->running, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        struct caller *caller = &round->callers[i];
        CHECK(pthread_create(&caller->id, NULL, run_caller, caller) == 0);
    }
    for (unsigned i = 0; i < kills; i++) {
        unsigned at = atomic_load(&round->answers) + (unsigned)rng_between(rng, 1, OPERATIONS);
        while (atomic_load(&round->running) > 0 && atomic_load(&round->answers) < at) {
            rest(20000);
        }
        kill_engine(round);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_join(round->callers[i].id, NULL) == 0);
    }
}

static bool may_change(const struct linear_call *call)
{
    return call->type != LINEAR_GET_ORDER && call->type != LINEAR_GET_STOCK;
}

static void add_call(struct linear_history *history, const struct linear_call *call)
{
    CHECK(history->count < LINEAR_CALLS);
    history->calls[history->count++] = *call;
    met.sold_out += call->answered && call->status == HF_SOLD_OUT;
    met.replayed += call->answered && call->replayed;
    met.expired += call->answered && call->state == LINEAR_EXPIRED;
}

/* A call, and for each kill that it was under way at another one of the same, which may have been
 * done before that kill. */
static void add_with_twins(struct round *round, struct linear_call call)
{
    for (unsigned i = 0; i < round->kill_count; i++) {
        const struct linear_call *kill = &round->kills[i];
        bool under_way = call.called_ns <= kill->answered_ns && call.answered_ns >= kill->called_ns;
        if (under_way && may_change(&call)) {
            struct linear_call twin = call;
            twin.answered = false;
            twin.life = (uint8_t)i;
            call.replayed_unsure = true;
            add_call(&round->history, &twin);
            met.twice++;
        }
    }
    add_call(&round->history, &call);
}

static void check_round(struct round *round)
{
    struct linear_history *history = &round->history;
    history->slack_ms = SLACK_MS;
    for (unsigned i = 0; i < round->kill_count; i++) {
        add_call(history, &round->kills[i]);
    }
    for (unsigned i = 0; i <= THREADS; i++) {
        for (unsigned k = 0; k < round->callers[i].count; k++) {
            add_with_twins(round, round->callers[i].calls[k]);
        }
    }
    struct linear_report report;
    enum linear_verdict verdict = linear_check(history, 0, &report);
    met.undecided += verdict == LINEAR_UNDECIDED;
    if (verdict == LINEAR_ILLEGAL) {
        fprintf(stderr, "SEED=%llu: nobody could have answered so one after another\n",
                (unsigned long long)round->seed);
        linear_print(history, &report, stderr);
    }
    CHECK(verdict != LINEAR_ILLEGAL);
}

static void run_round(uint64_t seed, bool bursts, bool kills)
{
    static struct round round;
    memset(&round, 0, sizeof round);
    round.seed = seed;
    struct hf_id prefix = hf_id_random();
    memcpy(round.id_prefix, prefix.bytes, sizeof round.id_prefix);
    struct rng rng;
    rng_init(&rng, seed);
    for (unsigned i = 0; i <= THREADS; i++) {
        struct caller *caller = &round.callers[i];
        caller->round = &round;
        caller->thread = i;
        caller->client = clients[i % CLIENTS];
        caller->operations = (unsigned)rng_between(&rng, 3, OPERATIONS);
        rng_init(&caller->rng, rng_next(&rng));
    }
    linear_plan_make(&round.plan, HOLD_MS, &rng);
    if (bursts) {
        round.plan.stocked[0] = round.plan.stocked[1] = BURST_UNITS;
    }
    define_items(&round, &rng);
    struct caller *reader = &round.callers[THREADS];
    if (bursts) {
        make_bursts(reader);
    } else {
        run_threads(&round, &rng, kills ? (unsigned)rng_between(&rng, 1, KILLS) : 0);
    }
    for (unsigned i = 0; i <= PLAN_ORDERS; i++) {
        linear_plan_read(i, &reader->calls[reader->count]);
        make_call(reader, &reader->calls[reader->count++]);
    }
    check_round(&round);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s URL...\n", argv[0]);
        return 2;
    }
    struct hf_options options = {.timeout_ms = TIMEOUT_MS}; /* only what hangs meets it */
    for (unsigned i = 0; i < CLIENTS; i++) {
        enum hf_status status =
            hf_client_open(&clients[i], argv[1 + i % (unsigned)(argc - 1)], &options);
        CHECK(status == HF_OK);
    }
    uint64_t first = rng_seed_from_env(1);
    struct budget budget = budget_make("rounds", 2 * KILL_ROUNDS, 4.0, 3000);
    while (budget_next(&budget)) {
        uint64_t kind = budget.round % KILL_ROUNDS;
        run_round(first + budget.round, kind % 3 == 0, kind == 1);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        hf_client_close(clients[i]);
    }
    printf("%llu kills, %llu calls under way at one, %llu sold out, %llu replayed, "
           "%llu found expired, %llu rounds undecided\n",
           (unsigned long long)met.kills, (unsigned long long)met.twice,
           (unsigned long long)met.sold_out, (unsigned long long)met.replayed,
           (unsigned long long)met.expired, (unsigned long long)met.undecided);
    CHECK(met.undecided * 10 <= budget.round + 10);
    return 0;
}
