/* waits_test.c - how calls end: a busy engine, one that does not answer, one that is not there, and
 * a client that is closed. */
#include "base/test_point.h"
#include "client_rig.h"

static void client_tells_all_when_the_engine_refuses_a_message(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    atomic_store(&setup.fake.whole, HF_UNAUTHORIZED);
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_UNAUTHORIZED);
    assert_string_equal(hf_last_message(), "as a whole");
    uint32_t item;
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_UNAUTHORIZED);
    assert_string_equal(hf_last_message(), "as a whole");
    const uint64_t ids[] = {1};
    assert_int_equal(hf_commit_batch(setup.client, 1, ids, ids, NULL), HF_UNAUTHORIZED);
    atomic_store(&setup.fake.whole, HF_OK);
    atomic_store(&setup.fake.silly, true); /* OK, and nothing in it */
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_INTERNAL);
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_INTERNAL);
    assert_int_equal(hf_commit_batch(setup.client, 1, ids, ids, NULL), HF_INTERNAL);
    tear_down(&setup);
}

static void client_repeats_when_the_engine_is_busy(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    atomic_store(&setup.fake.retry_after_ms, 20);
    atomic_store(&setup.fake.busy, 3);
    uint64_t start = now_ms();
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_OK);
    assert_true(now_ms() - start >= 60); /* each time as long as it was asked to */
    assert_int_equal(atomic_load(&setup.fake.messages), 4);
    assert_int_equal(atomic_load(&setup.fake.orders), 1);
    atomic_store(&setup.fake.busy, 1);
    const uint64_t ids[] = {2};
    struct hf_batch_result result;
    assert_int_equal(hf_commit_batch(setup.client, 1, ids, ids, &result), HF_OK);
    tear_down(&setup);
}

/* The one that was asked to come again later does not keep the other waiting. A slow machine may
 * need some tries. */
static void client_repeats_what_is_due_first(void **state)
{
    (void)state;
    uint64_t until = patience_until();
    bool in_order = false;
    while (!in_order) {
        struct setup setup;
        struct tally later = {0};
        struct tally soon = {0};
        assert_true(now_ms() < until);
        set_up_with(&setup, (struct hf_options){.batch_max = 1});
        atomic_store(&setup.fake.retry_after_ms, 1000);
        atomic_store(&setup.fake.busy, 1);
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &later), HF_OK);
        wait_for(&setup.fake.messages, 1);
        sleep_ms(20);
        atomic_store(&setup.fake.retry_after_ms, 10);
        atomic_store(&setup.fake.busy, 1);
        order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &soon), HF_OK);
        wait_for(&soon.done, 1);
        in_order = atomic_load(&later.done) == 0;
        tear_down(&setup);
    }
}

/* Where it would be too late to come again, the caller is told BUSY, and at once. A slow machine
 * may need some tries to hear of it in time. */
static void client_says_busy_when_it_may_not_come_again_in_time(void **state)
{
    (void)state;
    uint64_t until = patience_until();
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 500});
    connect_first(&setup);
    atomic_store(&setup.fake.retry_after_ms, 1000);
    atomic_store(&setup.fake.busy, 1000000);
    struct hf_order order = order_of(0);
    while (hf_reserve(setup.client, &order, NULL) != HF_BUSY) {
        assert_true(now_ms() < until);
    }
    tear_down(&setup);
}

static void client_gives_up_on_a_busy_engine_in_time(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 500});
    connect_first(&setup);
    atomic_store(&setup.fake.retry_after_ms, 30);
    atomic_store(&setup.fake.busy, 1000000);
    uint64_t start = now_ms();
    struct hf_order order = order_of(0);
    enum hf_status status = hf_reserve(setup.client, &order, NULL);
    /* The last repetition may still have been under way. */
    assert_true(status == HF_BUSY || status == HF_TIMED_OUT);
    assert_true(now_ms() - start < PATIENCE_MS);
    tear_down(&setup);
}

static void client_times_out(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 300});
    connect_first(&setup);
    atomic_store(&setup.fake.holding, true);
    struct hf_order order = order_of(0);
    uint64_t start = now_ms();
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_TIMED_OUT);
    assert_true(now_ms() - start >= 295);
    uint32_t item;
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_TIMED_OUT);
    /* Afterwards it works as before, and late answers disturb nobody. */
    fake_answer_held(&setup.fake);
    connect_first(&setup);
    tear_down(&setup);
}

/* When calls were made, by their buyers' numbers from FIRST_BUYER on: after the first of two
 * moments, and before the other. */
#define FIRST_BUYER 1000u
#define CALLS       60u

struct spread {
    struct tally tally;
    uint64_t before_ms[CALLS];
    uint64_t after_ms[CALLS];
    struct spread_call {
        struct spread *spread;
        uint64_t end_ms;
    } calls[CALLS];
};

static void spread_done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct spread_call *call = user;
    call->end_ms = now_ms();
    tally_done(&call->spread->tally, status, result);
}

/* No order is in a message with one that waits LATE_MS longer: it would wait as long. */
static void assert_gathered_by_deadline(struct fake *fake, const struct spread *spread)
{
    const unsigned late_ms = 250; /* the client's own */
    for (unsigned i = 0; i < fake->held_count; i++) {
        struct arena arena;
        struct request request;
        const char *error = NULL;
        arena_init(&arena, MIB(1));
        assert_int_equal(
            codec_request_decode(&arena, transport_exchange_body(fake->held[i]), &request, &error),
            HF_OK);
        for (uint32_t k = 1; k < request.reserve.count; k++) {
            uint64_t first = request.reserve.orders[0].buyer - FIRST_BUYER;
            uint64_t other = request.reserve.orders[k].buyer - FIRST_BUYER;
            assert_true(first < CALLS);
            assert_true(other < CALLS);
            assert_true(spread->before_ms[other] <= spread->after_ms[first] + late_ms);
        }
        arena_deinit(&arena);
    }
}

static void client_ends_every_call_near_its_timeout_when_nothing_answers(void **state)
{
    (void)state;
    struct setup setup;
    static struct spread spread;
    const unsigned timeout_ms = 2000;
    set_up_with(&setup, (struct hf_options){.timeout_ms = timeout_ms});
    connect_first(&setup);
    atomic_store(&setup.fake.holding, true);
    /* Spread over more than one timeout, so that calls wait behind messages that time out. */
    for (unsigned i = 0; i < CALLS; i++) {
        struct hf_order order = order_of(FIRST_BUYER + i);
        spread.calls[i].spread = &spread;
        spread.before_ms[i] = now_ms();
        assert_int_equal(hf_reserve_async(setup.client, &order, spread_done, &spread.calls[i]),
                         HF_OK);
        spread.after_ms[i] = now_ms() + 1; /* rounded down */
        sleep_ms(40);
    }
    wait_for(&spread.tally.done, CALLS);
    assert_int_equal(atomic_load(&spread.tally.by_status[HF_TIMED_OUT]), CALLS);
    for (unsigned i = 0; i < CALLS; i++) { /* none before its time */
        assert_true(spread.calls[i].end_ms >= spread.before_ms[i] + timeout_ms);
    }
    pthread_mutex_lock(&setup.fake.lock);
    assert_gathered_by_deadline(&setup.fake, &spread);
    pthread_mutex_unlock(&setup.fake.lock);
    tear_down(&setup);
}

static void client_tells_unreachable_from_timed_out(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 100});
    fake_stop(&setup.fake);
    struct hf_client *client;
    const struct hf_options options = {.timeout_ms = 100};
    assert_int_equal(hf_client_open(&client, setup.fake.url, &options), HF_OK);
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve(client, &order, NULL), HF_UNREACHABLE);
    assert_true(strlen(hf_last_message()) > 0);
    hf_client_close(client);
    hf_client_close(setup.client);
}

/* The transport's timer ends calls; held, it ends none. */
static atomic_uint ticks_held;
static atomic_bool tick_is_held;

static void hold_tick(const char *name)
{
    if (strcmp(name, "client_ticked") == 0 && atomic_load(&tick_is_held)) {
        atomic_fetch_add(&ticks_held, 1);
        while (atomic_load(&tick_is_held)) {
            sleep_ms(1);
        }
    }
}

static void client_calls_end_by_themselves_when_nobody_ends_them(void **state)
{
    (void)state;
    struct setup setup;
    struct hf_order order = order_of(0);
    uint32_t item;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 200, .in_flight_max = 4});
    connect_first(&setup);
    atomic_store(&setup.fake.holding, true);
    atomic_store(&ticks_held, 0);
    atomic_store(&tick_is_held, true);
    test_point_set(hold_tick);
    struct tally tally = {0};
    assert_int_equal(hf_commit_async(setup.client, order.id, tally_done, &tally), HF_OK);
    wait_for(&ticks_held, 1);

    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_TIMED_OUT); /* sent */
    assert_string_equal(hf_last_message(), hf_status_text(HF_TIMED_OUT));
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_TIMED_OUT);
    order = order_of(0); /* two messages are under way still: two more fill the client */
    assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    assert_int_equal(hf_release_async(setup.client, order.id, tally_done, &tally), HF_OK);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_TIMED_OUT); /* in its queue */
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_TIMED_OUT);

    atomic_store(&tick_is_held, false);
    test_point_set(NULL);
    wait_for(&tally.done, 3);
    assert_int_equal(atomic_load(&tally.by_status[HF_TIMED_OUT]), 3);
    fake_answer_held(&setup.fake); /* answers that nobody waits for */
    connect_first(&setup);
    tear_down(&setup);
}

struct blocked {
    pthread_t thread;
    struct hf_client *client;
    struct hf_order order;
    enum hf_status status;
    struct hf_result result;
};

static void *blocked_run(void *arg)
{
    struct blocked *blocked = arg;
    blocked->status = hf_reserve(blocked->client, &blocked->order, &blocked->result);
    return NULL;
}

static void blocked_start(struct blocked *blocked, struct hf_client *client, uint32_t hold_ms)
{
    *blocked = (struct blocked){.client = client, .order = order_of(0)};
    blocked->order.hold_ms = hold_ms; /* the answer's deadline says it */
    assert_int_equal(pthread_create(&blocked->thread, NULL, blocked_run, blocked), 0);
}

/* Two orders in one message, of which the first is taken back before the answer comes: the other
 * one gets its own. A slow machine may need some tries for the second to wait still. */
static bool try_answer_after_taking_back(void)
{
    struct setup setup;
    struct tally tally = {0};
    struct blocked first;
    struct blocked second;
    struct hf_order order = order_of(0);
    set_up_with(&setup, (struct hf_options){.timeout_ms = 400, .in_flight_max = 1});
    connect_first(&setup);
    atomic_store(&setup.fake.holding, true);
    atomic_store(&ticks_held, 0);
    atomic_store(&tick_is_held, true);
    test_point_set(hold_tick);
    assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    wait_for(&ticks_held, 1);
    blocked_start(&first, setup.client, 11);
    sleep_ms(20);
    blocked_start(&second, setup.client, 22);
    sleep_ms(5);
    unsigned before = atomic_load(&setup.fake.messages);
    fake_answer_held(&setup.fake); /* the others go out together */
    atomic_store(&setup.fake.holding, true);
    for (unsigned i = 0; i < 100 && atomic_load(&setup.fake.messages) == before; i++) {
        sleep_ms(1);
    }
    pthread_join(first.thread, NULL);
    fake_answer_held(&setup.fake);
    pthread_join(second.thread, NULL);
    atomic_store(&tick_is_held, false);
    test_point_set(NULL);
    tear_down(&setup);
    if (second.status == HF_OK) {
        assert_int_equal(second.result.deadline_ms, 1022);
    }
    return first.status == HF_TIMED_OUT && second.status == HF_OK &&
           atomic_load(&setup.fake.largest) == 2;
}

static void client_gives_an_order_its_answer_when_its_neighbour_was_taken_back(void **state)
{
    (void)state;
    uint64_t until = patience_until();
    while (!try_answer_after_taking_back()) {
        assert_true(now_ms() < until);
    }
}

static void client_ends_in_time_when_the_engine_is_busy_for_ever(void **state)
{
    (void)state;
    struct setup setup;
    struct hf_order order = order_of(0);
    set_up_with(&setup, (struct hf_options){.timeout_ms = 200});
    connect_first(&setup);
    atomic_store(&setup.fake.retry_after_ms, 1);
    atomic_store(&setup.fake.busy, UINT32_MAX);
    uint64_t start = now_ms();
    for (unsigned i = 0; i < 3; i++) { /* BUSY, or the last repetition was not answered in time */
        uint32_t item;
        enum hf_status status = hf_reserve(setup.client, &order, NULL);
        assert_true(status == HF_BUSY || status == HF_TIMED_OUT);
        status = hf_resolve(setup.client, "A", NULL, &item);
        assert_true(status == HF_BUSY || status == HF_TIMED_OUT);
    }
    assert_true(now_ms() - start < PATIENCE_MS);
    tear_down(&setup);
}

static void client_calls_end_together_with_a_total_timeout(void **state)
{
    (void)state;
    struct setup setup;
    struct hf_order order = order_of(0);
    uint32_t item;
    uint64_t start;
    enum hf_status status = HF_UNREACHABLE;
    for (unsigned total_ms = 500;; total_ms *= 2) { /* a slow machine is not connected so soon */
        start = now_ms();
        set_up_with(&setup, (struct hf_options){.timeout_ms = 2 * patience_ms(),
                                                .total_timeout_ms = total_ms});
        atomic_store(&setup.fake.holding, true);
        status = hf_resolve(setup.client, "A", NULL, &item);
        assert_true(now_ms() - start >= total_ms - 5);
        if (status != HF_UNREACHABLE) {
            break;
        }
        assert_true(total_ms < PATIENCE_MS);
        tear_down(&setup);
    }
    assert_int_equal(status, HF_TIMED_OUT);
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_TIMED_OUT);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_TIMED_OUT);
    assert_int_equal(atomic_load(&setup.fake.messages), 1);
    assert_true(now_ms() - start < patience_ms());
    tear_down(&setup);
}

static void client_says_at_once_that_nobody_listens(void **state)
{
    (void)state;
    struct setup setup;
    struct hf_client *client;
    char reason[HF_MESSAGE_BYTES];
    set_up(&setup);
    tear_down(&setup);
    const struct hf_options options = {.timeout_ms = 10 * PATIENCE_MS};
    uint64_t start = now_ms();
    assert_int_equal(hf_client_open(&client, setup.fake.url, &options), HF_OK);
    (void)snprintf(reason, sizeof reason, "nothing listens on %s (connection refused)",
                   setup.fake.url);
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve(client, &order, NULL), HF_UNREACHABLE);
    assert_string_equal(hf_last_message(), reason);
    uint32_t item;
    assert_int_equal(hf_resolve(client, "A", NULL, &item), HF_UNREACHABLE);
    assert_string_equal(hf_last_message(), reason);
    struct tally tally = {0};
    assert_int_equal(hf_commit_async(client, order.id, tally_done, &tally), HF_OK);
    wait_for(&tally.done, 1);
    assert_int_equal(atomic_load(&tally.by_status[HF_UNREACHABLE]), 1);
    assert_true(now_ms() - start < PATIENCE_MS);
    hf_client_close(client);
}

static void client_goes_on_when_the_engine_comes_back(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    char url[128];
    (void)snprintf(url, sizeof url, "%s", setup.fake.url);
    atomic_store(&setup.fake.holding, true);
    struct tally tally = {0};
    for (unsigned i = 0; i < 10; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    }
    wait_for(&setup.fake.messages, 1);
    fake_stop(&setup.fake);
    fake_start(&setup.fake, url);
    wait_for(&tally.done, 10);
    assert_int_equal(atomic_load(&tally.by_status[HF_OK]), 10);
    tear_down(&setup);
}

static void client_close_cancels_what_is_under_way(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.in_flight_max = 2});
    atomic_store(&setup.fake.holding, true);
    struct tally tally = {0};
    struct batch_tally batches = {0};
    for (unsigned i = 0; i < 100; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
        assert_int_equal(hf_commit_async(setup.client, order.id, tally_done, &tally), HF_OK);
    }
    wait_for(&setup.fake.messages, 2);
    const uint64_t ids[] = {1};
    assert_int_equal(hf_commit_batch_async(setup.client, 1, ids, ids, batch_done, &batches),
                     HF_BUSY);
    hf_client_close(setup.client);
    assert_int_equal(atomic_load(&tally.done), 200);
    assert_int_equal(atomic_load(&tally.by_status[HF_CANCELED]), 200);
    assert_int_equal(atomic_load(&batches.done), 0);
    fake_stop(&setup.fake);
}

static void client_close_cancels_what_waits_for_a_busy_engine(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    atomic_store(&setup.fake.retry_after_ms, 900);
    atomic_store(&setup.fake.busy, 1000000);
    struct tally tally = {0};
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    wait_for(&setup.fake.messages, 1);
    sleep_ms(20);
    uint64_t start = now_ms();
    hf_client_close(setup.client);
    assert_true(now_ms() - start < PATIENCE_MS);
    assert_int_equal(atomic_load(&tally.done), 1);
    fake_stop(&setup.fake);
}

/* A callback that starts the next call. */
struct chain {
    struct hf_client *client;
    atomic_uint left;
    atomic_uint done;
};

static void chain_done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct chain *chain = user;
    (void)result;
    if (status == HF_OK && take_one(&chain->left)) {
        struct hf_order order = order_of(0);
        if (hf_reserve_async(chain->client, &order, chain_done, chain) == HF_OK) {
            return;
        }
    }
    atomic_fetch_add(&chain->done, 1);
}

static void client_callbacks_may_start_calls(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct chain chain = {.client = setup.client, .left = 2000};
    for (int i = 0; i < 8; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, chain_done, &chain), HF_OK);
    }
    wait_for(&chain.done, 8);
    assert_int_equal(atomic_load(&setup.fake.orders), 2008);

    chain = (struct chain){.client = setup.client, .left = 1000000000};
    for (int i = 0; i < 8; i++) { /* and closing ends them */
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, chain_done, &chain), HF_OK);
    }
    sleep_ms(20);
    hf_client_close(setup.client);
    assert_int_equal(atomic_load(&chain.done), 8);
    fake_stop(&setup.fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_tells_all_when_the_engine_refuses_a_message),
        cmocka_unit_test(client_repeats_when_the_engine_is_busy),
        cmocka_unit_test(client_repeats_what_is_due_first),
        cmocka_unit_test(client_says_busy_when_it_may_not_come_again_in_time),
        cmocka_unit_test(client_gives_up_on_a_busy_engine_in_time),
        cmocka_unit_test(client_times_out),
        cmocka_unit_test(client_ends_every_call_near_its_timeout_when_nothing_answers),
        cmocka_unit_test(client_tells_unreachable_from_timed_out),
        cmocka_unit_test(client_calls_end_by_themselves_when_nobody_ends_them),
        cmocka_unit_test(client_gives_an_order_its_answer_when_its_neighbour_was_taken_back),
        cmocka_unit_test(client_ends_in_time_when_the_engine_is_busy_for_ever),
        cmocka_unit_test(client_calls_end_together_with_a_total_timeout),
        cmocka_unit_test(client_says_at_once_that_nobody_listens),
        cmocka_unit_test(client_goes_on_when_the_engine_comes_back),
        cmocka_unit_test(client_close_cancels_what_is_under_way),
        cmocka_unit_test(client_close_cancels_what_waits_for_a_busy_engine),
        cmocka_unit_test(client_callbacks_may_start_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
