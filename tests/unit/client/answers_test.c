/* answers_test.c - many threads, one client, and an engine that answers late, in any order, and now
 * and then with what does not fit: each caller gets the answer to its own order, or is told that
 * there is none.
 *
 * All that an answer says is made of the order's id: another order's answer says something else.
 *
 * Threads: callers; the transport's; some of the engine's own, which answer. */
#include <holdfast/client.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/test_point.h"
#include "lib/budget.h"
#include "lib/patience.h"
#include "lib/refuse_nobody.h"
#include "lib/rng.h"
#include "rpc/transport.h"
#include "wire/codec.h"

#define THREADS   16u
#define CALLS     625u /* of each: 10 000 in all */
#define ANSWERERS 3u
#define HELD_MAX  128u
#define BATCH     7u

static void sleep_ms(unsigned ms)
{
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&wait, NULL);
}

/* ---- What an answer says ---- */

enum what { WHAT_RESERVE = 1, WHAT_COMMIT, WHAT_RELEASE, WHAT_GET, WHAT_BATCH };

static uint64_t token_of(const uint8_t id[16], enum what what)
{
    uint64_t half[2];
    memcpy(half, id, sizeof half);
    return hash_u64(half[0] ^ hash_u64(half[1]) ^ (uint64_t)what) >> 16;
}

static struct result_message result_of(uint64_t token)
{
    bool refused = token % 5 == 0;
    return (struct result_message){
        .status = refused ? HF_SOLD_OUT : HF_OK,
        .blocking_line = refused ? 1 + (uint32_t)(token % 7) : 0,
        .deadline_ms = token,
        .state = refused ? HF_ORDER_NONE : HF_ORDER_HELD,
        .replayed = token % 3 == 0,
    };
}

/* ---- The engine ---- */

struct engine {
    struct transport_server *server;
    char url[128];
    unsigned delay_ms;    /* of an answer, at most */
    unsigned spoil;       /* one in so many answers does not fit; 0: none */
    atomic_uint spoiled;  /* orders, and other calls, in those */
    pthread_mutex_t lock; /* all below */
    pthread_cond_t wake;
    struct transport_exchange *held[HELD_MAX];
    unsigned held_count;
    bool stop;
    pthread_t threads[ANSWERERS];
};

struct memory {
    struct arena arena;
};

static bool memory_init(void *context, void *user)
{
    (void)context;
    arena_init(&((struct memory *)user)->arena, MIB(64));
    return true;
}

static void memory_deinit(void *context, void *user)
{
    (void)context;
    arena_deinit(&((struct memory *)user)->arena);
}

/* Answers with `count` results, or, spoiled, with one too few or too many. */
static void answer_orders(struct arena *arena, const struct request *request, bool spoiled,
                          struct response *response)
{
    bool reserve = request->type == REQUEST_RESERVE;
    uint32_t count = reserve ? request->reserve.count : request->edit.count;
    struct result_message *results = arena_calloc(arena, count + 1, sizeof *results);
    assert_non_null(results);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *id =
            reserve ? request->reserve.orders[i].id.data : request->edit.edits[i].id.data;
        uint64_t token = token_of(id, reserve                           ? WHAT_RESERVE
                                      : request->type == REQUEST_COMMIT ? WHAT_COMMIT
                                                                        : WHAT_RELEASE);
        results[i] = result_of(token);
        if (reserve && token % 5 != 0 && token % 2 == 0) {
            struct grant_message *grant = arena_calloc(arena, 1, sizeof *grant);
            assert_non_null(grant);
            *grant =
                (struct grant_message){.line = 1, .item = 1 + (uint32_t)(token % 1000), .qty = 1};
            results[i].grants = grant;
            results[i].grant_count = 1;
        }
        if (results[i].status != HF_OK && response->message.len == 0) {
            char *text = arena_alloc(arena, 32);
            assert_non_null(text);
            (void)snprintf(text, 32, "refused %llu", (unsigned long long)token);
            response->message = bytes_of(text);
        }
    }
    response->type = RESPONSE_ORDERS;
    response->orders.count = !spoiled ? count : count % 2 ? count + 1 : count - 1;
    response->orders.results = results;
}

static void answer_batch(struct arena *arena, const struct request *request, bool spoiled,
                         struct response *response)
{
    uint32_t count = request->batch.id_hi_count;
    uint32_t *status = arena_calloc(arena, count, sizeof *status);
    assert_non_null(status);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t halves[2] = {request->batch.id_hi[i], request->batch.id_lo[i]};
        uint64_t token = token_of((const uint8_t *)halves, WHAT_BATCH);
        status[i] = result_of(token).status;
        response->batch.ok_count += status[i] == HF_OK;
        response->batch.deadline_ms ^= token;
    }
    response->type = RESPONSE_BATCH;
    response->batch.status_count = spoiled ? count - 1 : count;
    response->batch.status = status;
}

static void answer(struct engine *engine, struct transport_exchange *exchange, struct rng *rng)
{
    struct memory *memory = transport_exchange_user(exchange);
    struct arena *arena = &memory->arena;
    struct request request;
    const char *error = NULL;
    struct response response = {.status = HF_OK};
    struct bytes reply;
    arena_clear(arena);
    assert_int_equal(
        codec_request_decode(arena, transport_exchange_body(exchange), &request, &error), HF_OK);
    bool spoiled = engine->spoil > 0 && rng_chance(rng, engine->spoil);
    uint32_t calls = request.type == REQUEST_RESERVE ? request.reserve.count
                     : request.type == REQUEST_COMMIT || request.type == REQUEST_RELEASE
                         ? request.edit.count
                         : 1;
    if (spoiled) {
        atomic_fetch_add(&engine->spoiled, calls);
    }
    switch (request.type) {
    case REQUEST_GET_ORDER:
        response.type = spoiled ? RESPONSE_DEFINE : RESPONSE_ORDER;
        if (!spoiled) {
            response.order =
                (struct order_info_message){.id = request.get_order.id,
                                            .state = HF_ORDER_HELD,
                                            .buyer = token_of(request.get_order.id.data, WHAT_GET)};
        }
        break;
    case REQUEST_RESERVE_BATCH:
        answer_batch(arena, &request, spoiled, &response);
        break;
    default:
        answer_orders(arena, &request, spoiled, &response);
        break;
    }
    assert_int_equal(codec_response_encode(arena, &response, &reply), HF_OK);
    if (spoiled && rng_chance(rng, 3)) { /* no answer at all */
        static const uint8_t nonsense[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
        reply = (struct bytes){nonsense, sizeof nonsense};
    }
    transport_reply(exchange, reply);
}

static void engine_handle(void *context, struct transport_exchange *exchange)
{
    struct engine *engine = context;
    pthread_mutex_lock(&engine->lock);
    assert_true(engine->held_count < HELD_MAX);
    engine->held[engine->held_count++] = exchange;
    pthread_cond_signal(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
}

static void *engine_run(void *arg)
{
    struct engine *engine = arg;
    struct rng rng;
    rng_init(&rng, (uintptr_t)&rng);
    pthread_mutex_lock(&engine->lock);
    while (!engine->stop || engine->held_count > 0) {
        if (engine->held_count == 0) {
            pthread_cond_wait(&engine->wake, &engine->lock);
            continue;
        }
        unsigned at = (unsigned)rng_below(&rng, engine->held_count);
        struct transport_exchange *exchange = engine->held[at];
        engine->held[at] = engine->held[--engine->held_count];
        pthread_mutex_unlock(&engine->lock);
        if (engine->delay_ms > 0) {
            sleep_ms((unsigned)rng_below(&rng, engine->delay_ms));
        }
        answer(engine, exchange, &rng);
        pthread_mutex_lock(&engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static void engine_start_at(struct engine *engine, const char *url, unsigned delay_ms,
                            unsigned spoil)
{
    memset(engine, 0, sizeof *engine);
    engine->delay_ms = delay_ms;
    engine->spoil = spoil;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->wake, NULL);
    const struct transport_server_options options = {
        .contexts = HELD_MAX,
        .message_bytes_max = MESSAGE_BYTES_MAX,
        .send_timeout_ms = PATIENCE_MS,
        .user_bytes = sizeof(struct memory),
        .user_init = memory_init,
        .user_deinit = memory_deinit,
        .handle = engine_handle,
        .per_connection = SERVER_CONTEXTS_MAX,
        .refuse = refuse_nobody,
        .context = engine,
    };
    assert_int_equal(transport_server_open(&engine->server, &options), HF_OK);
    assert_int_equal(transport_server_listen(engine->server, url, engine->url, sizeof engine->url),
                     HF_OK);
    for (unsigned i = 0; i < ANSWERERS; i++) {
        assert_int_equal(pthread_create(&engine->threads[i], NULL, engine_run, engine), 0);
    }
}

static void engine_start(struct engine *engine, unsigned delay_ms, unsigned spoil)
{
    engine_start_at(engine, "tcp://127.0.0.1:0", delay_ms, spoil);
}

static void engine_stop(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->stop = true;
    pthread_cond_broadcast(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
    transport_server_drain(engine->server, patience_ms());
    for (unsigned i = 0; i < ANSWERERS; i++) {
        pthread_join(engine->threads[i], NULL);
    }
    transport_server_close(engine->server);
    pthread_cond_destroy(&engine->wake);
    pthread_mutex_destroy(&engine->lock);
}

/* ---- Callers ---- */

struct caller {
    pthread_t thread;
    struct hf_client *client;
    uint64_t seed;
    bool late;           /* its calls may end without an answer */
    atomic_uint started; /* asynchronous ones */
    atomic_uint ended;
    atomic_uint unanswered; /* told that the answer did not fit */
};

static const struct hf_line one_line = {.item = 1, .qty = 1};

/* True: it was answered, with that status. */
static bool is_answered(struct caller *caller, enum hf_status status, enum hf_status expected)
{
    if (status == HF_INTERNAL) {
        atomic_fetch_add(&caller->unanswered, 1);
        return false;
    }
    if (caller->late &&
        (status == HF_TIMED_OUT || status == HF_UNREACHABLE || status == HF_CANCELED)) {
        return false;
    }
    assert_int_equal(status, expected);
    return true;
}

static void check_result(struct caller *caller, enum hf_status status,
                         const struct hf_result *result, uint64_t token, bool grants)
{
    struct result_message expected = result_of(token);
    if (!is_answered(caller, status, expected.status)) {
        return;
    }
    assert_int_equal(result->status, expected.status);
    assert_true(result->deadline_ms == token);
    assert_int_equal(result->blocking_line, expected.blocking_line);
    assert_int_equal(result->replayed, expected.replayed);
    bool granted = grants && token % 5 != 0 && token % 2 == 0;
    assert_int_equal(result->grant_count, granted);
    if (granted) {
        assert_int_equal(result->grants[0].item, 1 + token % 1000);
    }
    /* What is said of a refusal is said of this one, or of none. */
    if (status != HF_OK && strncmp(hf_last_message(), "refused ", 8) == 0) {
        assert_true(strtoull(hf_last_message() + 8, NULL, 10) == token);
    }
}

/* An asynchronous order's own. */
struct started {
    struct caller *caller;
    uint64_t token;
    atomic_uint times;
};

static void started_done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct started *started = user;
    struct caller *caller = started->caller;
    assert_int_equal(atomic_fetch_add(&started->times, 1), 0);
    check_result(caller, status, result, started->token, true);
    atomic_fetch_add(&caller->ended, 1);
}

static void call_batch(struct caller *caller, struct rng *rng)
{
    uint64_t hi[BATCH];
    uint64_t lo[BATCH];
    uint32_t items[BATCH];
    uint64_t sum = 0;
    for (unsigned i = 0; i < BATCH; i++) {
        hi[i] = rng_next(rng);
        lo[i] = rng_next(rng);
        items[i] = 1;
        sum ^= token_of((const uint8_t *)(uint64_t[2]){hi[i], lo[i]}, WHAT_BATCH);
    }
    struct hf_batch_result result;
    const struct hf_batch batch = {.count = BATCH, .id_hi = hi, .id_lo = lo, .item = items};
    if (is_answered(caller, hf_reserve_batch(caller->client, &batch, &result), HF_OK)) {
        assert_true(result.deadline_ms == sum);
        assert_non_null(result.status);
        for (unsigned i = 0; i < BATCH; i++) {
            uint64_t token = token_of((const uint8_t *)(uint64_t[2]){hi[i], lo[i]}, WHAT_BATCH);
            assert_int_equal(result.status[i], result_of(token).status);
        }
    }
}

static void call_one(struct caller *caller, struct rng *rng, struct started *started)
{
    struct hf_id id = hf_id_random();
    struct hf_order order = {.id = id, .line_count = 1, .lines = &one_line};
    struct hf_result result = {0};
    struct hf_order_info info;
    enum hf_status status;
    switch (rng_below(rng, 8)) {
    case 0:
        call_batch(caller, rng);
        break;
    case 1:
        status = hf_get_order(caller->client, id, &info, NULL, 0);
        if (is_answered(caller, status, HF_OK)) {
            assert_true(info.buyer == token_of(id.bytes, WHAT_GET));
        }
        break;
    case 2:
        status = hf_commit(caller->client, id, &result);
        check_result(caller, status, &result, token_of(id.bytes, WHAT_COMMIT), false);
        break;
    case 3:
        if (rng_chance(rng, 2)) { /* in a message of its own */
            status = hf_commit_late(caller->client, id, NULL, 0, &result);
            check_result(caller, status, &result, token_of(id.bytes, WHAT_COMMIT), false);
            break;
        }
        status = hf_release(caller->client, id, &result);
        check_result(caller, status, &result, token_of(id.bytes, WHAT_RELEASE), false);
        break;
    case 4:
    case 5:
        *started = (struct started){.caller = caller, .token = token_of(id.bytes, WHAT_RESERVE)};
        atomic_fetch_add(&caller->started, 1);
        assert_int_equal(hf_reserve_async(caller->client, &order, started_done, started), HF_OK);
        break;
    default:
        status = hf_reserve(caller->client, &order, &result);
        check_result(caller, status, &result, token_of(id.bytes, WHAT_RESERVE), true);
        break;
    }
}

static void *caller_run(void *arg)
{
    struct caller *caller = arg;
    struct rng rng;
    rng_init(&rng, caller->seed);
    unsigned calls = caller->late ? CALLS / 25 : CALLS;
    struct started *started = calloc(calls, sizeof *started);
    assert_non_null(started);
    for (unsigned i = 0; i < calls; i++) {
        call_one(caller, &rng, &started[i]);
    }
    uint64_t until = patience_until();
    while (atomic_load(&caller->ended) < atomic_load(&caller->started)) {
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true((uint64_t)now.tv_sec * 1000u < until);
        sleep_ms(1);
    }
    free(started);
    return NULL;
}

static void callers_run(struct engine *engine, bool late, uint32_t timeout_ms)
{
    static struct caller callers[THREADS];
    struct hf_client *client;
    const struct hf_options options = {.timeout_ms = timeout_ms, .batch_max = 20};
    assert_int_equal(hf_client_open(&client, engine->url, &options), HF_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.client = client, .late = late, .seed = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]), 0);
    }
    unsigned unanswered = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(callers[i].thread, NULL);
        unanswered += atomic_load(&callers[i].unanswered);
    }
    if (!late) {
        assert_int_equal(unanswered, atomic_load(&engine->spoiled));
    }
    hf_client_close(client);
}

static void client_gives_10000_calls_of_16_threads_their_own_answers(void **state)
{
    (void)state;
    struct engine engine;
    engine_start(&engine, 0, 0);
    callers_run(&engine, false, patience_ms());
    engine_stop(&engine);
}

/* One answer in 40 has a result too few or too many, or is another call's kind, or nonsense: just
 * its callers are told so. */
static void client_tells_those_alone_whose_answer_does_not_fit(void **state)
{
    (void)state;
    struct engine engine;
    engine_start(&engine, 0, 40);
    callers_run(&engine, false, patience_ms());
    assert_true(atomic_load(&engine.spoiled) > 0);
    engine_stop(&engine);
}

static void no_action(int number)
{
    (void)number;
}

/* Answers come when their calls are over, and their places and messages are other calls'; and
 * signals interrupt whoever waits. */
static void client_gives_late_answers_to_nobody(void **state)
{
    (void)state;
    struct engine engine;
    struct sigaction action = {.sa_handler = no_action}; /* without SA_RESTART */
    struct itimerval each = {.it_interval = {0, 1000}, .it_value = {0, 1000}};
    const struct itimerval none = {0};
    engine_start(&engine, 12, 0);
    (void)sigaction(SIGALRM, &action, NULL);
    (void)setitimer(ITIMER_REAL, &each, NULL);
    callers_run(&engine, true, 10);
    (void)setitimer(ITIMER_REAL, &none, NULL);
    engine_stop(&engine);
}

/* ---- Whatever step takes long ---- */

static struct rng step_rng;
static pthread_mutex_t step_lock = PTHREAD_MUTEX_INITIALIZER;

/* Every third step between two of the client's, or the engine's, takes up to some ticks. */
static void take_long(const char *name)
{
    (void)name;
    pthread_mutex_lock(&step_lock);
    unsigned ms = rng_chance(&step_rng, 3) ? (unsigned)rng_below(&step_rng, 25) : 0;
    pthread_mutex_unlock(&step_lock);
    sleep_ms(ms);
}

#define STEPPERS 4u
#define PENDING  12u

static void *stepper_run(void *arg)
{
    struct caller *caller = arg;
    struct rng rng;
    struct started started[10];
    rng_init(&rng, caller->seed);
    for (unsigned i = 0; i < 10; i++) {
        call_one(caller, &rng, &started[i]);
    }
    while (atomic_load(&caller->ended) < atomic_load(&caller->started)) {
        sleep_ms(1);
    }
    return NULL;
}

/* The engine goes and comes back, calls end by their timeouts, and the client is closed with orders
 * that wait in its queues, in its messages and with the engine. */
static void steps_run(uint64_t seed)
{
    struct engine engine;
    struct hf_client *client;
    struct caller callers[STEPPERS];
    struct caller closing = {.late = true};
    struct started pending[PENDING];
    struct rng rng;
    char url[128];
    rng_init(&rng, seed);
    engine_start(&engine, 5, 0);
    (void)snprintf(url, sizeof url, "%s", engine.url);
    const struct hf_options options = {.timeout_ms = (uint32_t)rng_between(&rng, 5, 60),
                                       .in_flight_max = (uint32_t)rng_between(&rng, 1, 4),
                                       .batch_max = rng_chance(&rng, 3) ? 1 : 5};
    assert_int_equal(hf_client_open(&client, url, &options), HF_OK);
    for (unsigned i = 0; i < STEPPERS; i++) {
        callers[i] = (struct caller){.client = client, .late = true, .seed = seed * STEPPERS + i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, stepper_run, &callers[i]), 0);
    }
    if (rng_chance(&rng, 2)) {
        sleep_ms((unsigned)rng_below(&rng, 30));
        engine_stop(&engine);
        sleep_ms((unsigned)rng_below(&rng, 20));
        engine_start_at(&engine, url, 5, 0);
    }
    for (unsigned i = 0; i < STEPPERS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    for (unsigned i = 0; i < PENDING; i++) {
        struct hf_order order = {.id = hf_id_random(), .line_count = 1, .lines = &one_line};
        pending[i] =
            (struct started){.caller = &closing, .token = token_of(order.id.bytes, WHAT_RESERVE)};
        assert_int_equal(hf_reserve_async(client, &order, started_done, &pending[i]), HF_OK);
    }
    sleep_ms((unsigned)rng_below(&rng, 10));
    hf_client_close(client);
    for (unsigned i = 0; i < PENDING; i++) {
        if (atomic_load(&pending[i].times) != 1) {
            fail_msg("SEED=%llu: a call has ended %u times", (unsigned long long)seed,
                     atomic_load(&pending[i].times));
        }
    }
    engine_stop(&engine);
}

static void client_ends_every_call_once_whatever_step_takes_long(void **state)
{
    (void)state;
    uint64_t first = rng_seed_from_env(1);
    struct budget budget = budget_make("lives of a client", 10, 4.0, 5000);
    rng_init(&step_rng, first);
    test_point_set(take_long);
    while (budget_next(&budget)) {
        steps_run(first + budget.round);
    }
    test_point_set(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_gives_10000_calls_of_16_threads_their_own_answers),
        cmocka_unit_test(client_tells_those_alone_whose_answer_does_not_fit),
        cmocka_unit_test(client_gives_late_answers_to_nobody),
        cmocka_unit_test(client_ends_every_call_once_whatever_step_takes_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
