/* open_close_test.c - no open, call or close of the client library hangs, whatever becomes of the
 * engine meanwhile.
 *
 * usage: open_close_test URL
 *
 * Threads open a client, call, and close it, again and again; open_close.py kills, pauses and slows
 * the engine meanwhile, and keeps the processors busy. Each call must end within its timeout, each
 * close at once, and each callback must have been called once before the close returns.
 *
 * "Within its timeout": and a second, and as long as the machine itself was late. For that is what
 * another thread looks at, which only sleeps for a millisecond, again and again: how late it is
 * woken is not the library's doing. The library's threads wake each other in turn, HOPS of them.
 * The normal run is there to see what hangs, and allows for much more.
 *
 * Threads: CALLERS, the one that looks at the clock, and the library's. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <holdfast/client.h>

#include "base/check.h"
#include "lib/budget.h"
#include "lib/rng.h"

#define CALLERS        8u
#define BLOCK          100u /* clients that are opened in one round */
#define ASYNC          6u   /* calls not waited for, at most */
#define TIMEOUT_MS_MAX 400u
#define SPARE_MS       1000u
#define HOPS           8u
#define HANGS_MS       60000u /* in the normal run */

static const char *url;
static uint64_t seed;
static bool is_long;

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* ---- How late the machine is ---- */

static atomic_bool ended;
static atomic_uint_fast64_t machine_late_ms; /* at most, so far */

static void *look_at_clock(void *unused)
{
    (void)unused;
    uint64_t before = now_ms();
    while (!atomic_load(&ended)) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        uint64_t now = now_ms();
        if (now - before > atomic_load(&machine_late_ms)) {
            atomic_store(&machine_late_ms, now - before);
        }
        before = now;
    }
    return NULL;
}

/* ---- What the library took ---- */

enum step { STEP_OPEN, STEP_CALL, STEP_CLOSE, STEPS };
static const char *const step_names[STEPS] = {"open", "call", "close"};

static struct {
    atomic_uint_fast64_t count;
    atomic_uint_fast64_t over_ms; /* the longest, beyond the timeout */
} steps[STEPS];
static atomic_uint_fast64_t statuses[256];
static atomic_bool too_long;

/* A step that was to take at most `allowed_ms` has been taken. */
static void step_ended(enum step step, uint64_t began_ms, uint64_t allowed_ms)
{
    uint64_t took = now_ms() - began_ms;
    uint64_t over = took > allowed_ms ? took - allowed_ms : 0;
    uint64_t most = is_long ? SPARE_MS + HOPS * atomic_load(&machine_late_ms) : HANGS_MS;
    atomic_fetch_add(&steps[step].count, 1);
    uint64_t longest = atomic_load(&steps[step].over_ms);
    while (over > longest && !atomic_compare_exchange_weak(&steps[step].over_ms, &longest, over)) {
    }
    if (over > most) {
        fprintf(stderr,
                "%s took %" PRIu64 " ms of %" PRIu64 " ms, %" PRIu64 " ms more were allowed\n",
                step_names[step], took, allowed_ms, most);
        atomic_store(&too_long, true);
    }
}

static void count_status(enum hf_status status)
{
    CHECK((unsigned)status < 256u);
    atomic_fetch_add(&statuses[status], 1);
}

/* ---- One client's life ---- */

struct tally {
    atomic_uint done;
};

static void call_done(void *user, enum hf_status status, const struct hf_result *result)
{
    (void)result;
    count_status(status);
    atomic_fetch_add(&((struct tally *)user)->done, 1);
}

static void call_once(struct hf_client *client, uint64_t random, uint32_t timeout_ms)
{
    struct hf_engine_status engine;
    struct hf_order order = {.id = hf_id_random(), .line_count = 1};
    const struct hf_line line = {.sku = "NONE", .qty = 1};
    uint32_t item;
    order.lines = &line;
    uint64_t began = now_ms();
    enum hf_status status = random % 4 == 0   ? hf_get_status(client, &engine)
                            : random % 4 == 1 ? hf_commit(client, order.id, NULL)
                            : random % 4 == 2 ? hf_reserve(client, &order, NULL)
                                              : hf_resolve(client, "NONE", NULL, &item);
    step_ended(STEP_CALL, began, timeout_ms);
    CHECK(hf_last_message()[0] != '\0' || status == HF_OK);
    count_status(status);
}

static void live_once(struct rng *rng)
{
    struct hf_options options = {.timeout_ms = 1 + (uint32_t)rng_below(rng, TIMEOUT_MS_MAX)};
    struct hf_client *client;
    struct tally tally = {0};
    unsigned started = 0;
    uint64_t began = now_ms();
    enum hf_status status = hf_client_open(&client, url, &options);
    step_ended(STEP_OPEN, began, 0);
    CHECK(status == HF_OK);
    uint64_t calls = rng_below(rng, 4);
    for (uint64_t i = 0; i < calls; i++) {
        call_once(client, rng_next(rng), options.timeout_ms);
    }
    uint64_t async = rng_below(rng, 2) * rng_below(rng, ASYNC);
    for (uint64_t i = 0; i < async; i++) {
        started += hf_commit_async(client, hf_id_random(), call_done, &tally) == HF_OK;
    }
    began = now_ms();
    hf_client_close(client);
    step_ended(STEP_CLOSE, began, 0);
    CHECK(atomic_load(&tally.done) == started);
}

/* ---- Many ---- */

static atomic_uint next_client;

struct caller {
    pthread_t thread;
    struct rng rng;
};

static void *call_many(void *arg)
{
    struct caller *caller = arg;
    while (atomic_fetch_add(&next_client, 1) < BLOCK) {
        live_once(&caller->rng);
    }
    return NULL;
}

static void run_block(uint64_t round)
{
    struct caller callers[CALLERS];
    atomic_store(&next_client, 0);
    for (unsigned i = 0; i < CALLERS; i++) {
        rng_init(&callers[i].rng, seed + round * CALLERS + i);
        int error = pthread_create(&callers[i].thread, NULL, call_many, &callers[i]);
        CHECK(error == 0);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
}

static void report(void)
{
    for (unsigned i = 0; i < STEPS; i++) {
        printf("%-5s %" PRIu64 ", at most %" PRIu64 " ms beyond the timeout\n", step_names[i],
               (uint64_t)atomic_load(&steps[i].count), (uint64_t)atomic_load(&steps[i].over_ms));
    }
    for (unsigned i = 0; i < 256; i++) {
        uint64_t count = atomic_load(&statuses[i]);
        if (count > 0) {
            printf("%-14s %" PRIu64 "\n", hf_status_name((enum hf_status)i), count);
        }
    }
    printf("a thread that sleeps for 1 ms was away for %" PRIu64 " ms at most\n",
           (uint64_t)atomic_load(&machine_late_ms));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: open_close_test URL\n");
        return 2;
    }
    url = argv[1];
    seed = rng_seed_from_env(1);
    is_long = getenv("HOLDFAST_LONG") != NULL;
    pthread_t clock;
    int error = pthread_create(&clock, NULL, look_at_clock, NULL);
    CHECK(error == 0);
    struct budget budget = budget_make("hundreds of clients", 3, 8.0, 1000);
    while (budget_next(&budget) && !atomic_load(&too_long)) {
        run_block(budget.round);
    }
    atomic_store(&ended, true);
    pthread_join(clock, NULL);
    report();
    return atomic_load(&too_long) ? 1 : 0;
}
