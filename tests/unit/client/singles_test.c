/* singles_test.c - single orders: put together into messages, taken apart again, each with its own
 * answer. */
#include "client_rig.h"

static void client_reserve_returns_the_engines_result(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_order order = order_of(0);
    order.hold_ms = 500;
    struct hf_result result;
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_OK);
    assert_int_equal(result.status, HF_OK);
    assert_int_equal(result.deadline_ms, 1500);
    assert_int_equal(result.state, HF_ORDER_HELD);
    assert_false(result.replayed);
    order = order_of(200);
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_OK);
    assert_true(result.replayed);
    order = order_of(HF_SOLD_OUT);
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_SOLD_OUT);
    assert_int_equal(result.status, HF_SOLD_OUT);
    assert_int_equal(result.blocking_line, 2);
    assert_true(strlen(hf_last_message()) > 0);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_SOLD_OUT);
    order = order_of(HF_INVALID);
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_INVALID);
    assert_string_equal(hf_last_message(), "reserve.orders: this one is wrong");
    tear_down(&setup);
}

static void client_sends_names_to_be_resolved(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    const struct hf_line lines[] = {{.sku = "85123A", .qty = 1},
                                    {.sku = "85123A", .pool = "仓库", .qty = 2}};
    struct hf_order order = order_of(0);
    order.line_count = 2;
    order.lines = lines;
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_OK);
    struct tally tally = {0};
    assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    wait_for(&tally.done, 1);
    assert_int_equal(atomic_load(&tally.by_status[HF_OK]), 1);
    tear_down(&setup);
}

/* Lines of every shape, and the grants by which the engine of this test says that it saw them. */
static const uint32_t spare_items[] = {21, 22};
static const struct hf_line shaped_lines[] = {
    {.item = 1, .qty = 9, .policy = HF_LINE_UP_TO, .min_qty = 9},
    {.sku = "A", .qty = 1, .policy = HF_LINE_OPTIONAL},
    {.item = 3, .qty = 1, .split = true, .fallback_count = 2, .fallbacks = spare_items},
    {.sku = "B", .pool = "p", .qty = 1, .fallback_count = 1, .fallbacks = spare_items},
};
static const struct hf_grant shaped_grants[] = {{1, 1, 9, 1},   {2, 500, 0, 2}, {3, 3, 0, 0},
                                                {3, 21, 11, 0}, {3, 22, 11, 0}, {4, 500, 0, 0},
                                                {4, 21, 1, 0}};

#define SHAPED_GRANTS (sizeof shaped_grants / sizeof *shaped_grants)

static struct hf_order shaped_order(void)
{
    return (struct hf_order){
        .id = hf_id_random(), .buyer = BUYER_GRANTED, .line_count = 4, .lines = shaped_lines};
}

static void client_sends_shapes_of_lines_and_returns_grants(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    /* The last line is not split, so the order has room for one grant less than this engine gives.
     */
    struct hf_order order = shaped_order();
    struct hf_result result = {0};
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_OK);
    assert_int_equal(result.grant_count, SHAPED_GRANTS - 1);
    assert_memory_equal(result.grants, shaped_grants, (SHAPED_GRANTS - 1) * sizeof *shaped_grants);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_OK);
    /* An order that got all it asked has none. */
    order = order_of(0);
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_OK);
    assert_int_equal(result.grant_count, 0);
    assert_null(result.grants);
    tear_down(&setup);
}

static void granted_done(void *user, enum hf_status status, const struct hf_result *result)
{
    assert_int_equal(status, HF_OK);
    assert_int_equal(result->grant_count, SHAPED_GRANTS);
    assert_memory_equal(result->grants, shaped_grants, sizeof shaped_grants);
    atomic_fetch_add((atomic_uint *)user, 1);
}

static void client_copies_shapes_of_lines_when_not_waiting(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    atomic_uint done = 0;
    atomic_store(&setup.fake.holding, true);
    for (unsigned i = 0; i < 50; i++) {
        /* All of it is gone when the call returns. */
        uint32_t spare[] = {21, 22};
        struct hf_line lines[4];
        memcpy(lines, shaped_lines, sizeof lines);
        lines[2].fallbacks = spare;
        lines[3].fallbacks = spare;
        struct hf_order order = shaped_order();
        order.lines = lines;
        assert_int_equal(hf_reserve_async(setup.client, &order, granted_done, &done), HF_OK);
        memset(spare, 0xFF, sizeof spare);
        memset(lines, 0xFF, sizeof lines);
    }
    wait_for(&setup.fake.messages, 1);
    fake_answer_held(&setup.fake);
    wait_for(&done, 50);
    tear_down(&setup);
}

static void client_commits_late(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_id id = {.bytes = {HF_OK}};
    const struct hf_line_qty lines[] = {{1, 1}, {2, 1}};
    struct hf_result result;
    assert_int_equal(hf_commit_late(setup.client, id, NULL, 0, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_COMMIT);
    assert_true(result.replayed);            /* this engine's word for late_ok */
    assert_int_equal(result.deadline_ms, 0); /* and for the number of lines */
    assert_int_equal(hf_commit_late(setup.client, id, lines, 2, &result), HF_OK);
    assert_true(result.replayed);
    assert_int_equal(result.deadline_ms, 2);
    assert_int_equal(hf_commit_lines(setup.client, id, lines, 2, &result), HF_OK);
    assert_false(result.replayed);
    id.bytes[0] = HF_EXPIRED_SOLD_OUT;
    assert_int_equal(hf_commit_late(setup.client, id, NULL, 0, &result), HF_EXPIRED_SOLD_OUT);
    tear_down(&setup);
}

static void client_commits_and_releases(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_result result;
    struct hf_id id = {{0}};
    assert_int_equal(hf_commit(setup.client, id, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_COMMIT);
    assert_int_equal(hf_release(setup.client, id, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_RELEASE);
    id.bytes[0] = HF_NOT_FOUND; /* the fake's answer */
    assert_int_equal(hf_commit(setup.client, id, &result), HF_NOT_FOUND);
    assert_int_equal(hf_release(setup.client, id, NULL), HF_NOT_FOUND);

    id.bytes[0] = 0;
    const struct hf_line_qty lines[] = {{1, 2}, {2, 3}};
    assert_int_equal(hf_commit_lines(setup.client, id, lines, 2, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_COMMIT);
    assert_int_equal(hf_release_lines(setup.client, id, lines, 2, &result), HF_OK);
    assert_int_equal(hf_return_lines(setup.client, id, NULL, 0, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_RETURN);
    id.bytes[0] = HF_NOT_COMMITTED;
    assert_int_equal(hf_return_lines(setup.client, id, lines, 2, &result), HF_NOT_COMMITTED);
    assert_int_equal(result.status, HF_NOT_COMMITTED);
    tear_down(&setup);
}

static void client_gathers_while_messages_are_under_way(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.batch_max = 100});
    atomic_store(&setup.fake.holding, true);
    struct tally tally = {0};
    for (unsigned i = 0; i < 1000; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    }
    wait_for(&setup.fake.messages, 1);
    sleep_ms(20);
    unsigned first = atomic_load(&setup.fake.messages);
    assert_in_range(first, 1, 16); /* in_flight_max; they left at once, with an order each */
    fake_answer_held(&setup.fake);
    wait_for(&tally.done, 1000);
    assert_int_equal(atomic_load(&tally.by_status[HF_OK]), 1000);
    assert_int_equal(atomic_load(&setup.fake.orders), 1000);
    assert_int_equal(atomic_load(&setup.fake.largest), 100);
    assert_in_range(atomic_load(&setup.fake.messages), 10, first + 20);
    tear_down(&setup);
}

struct caller {
    pthread_t thread;
    struct setup *setup;
    unsigned wrong;
};

static void *caller_run(void *arg)
{
    struct caller *caller = arg;
    for (unsigned i = 0; i < 50; i++) {
        uint64_t buyer = i % 5 == 0 ? HF_SOLD_OUT : i % 7 == 0 ? HF_PAUSED : 1000;
        struct hf_order order = order_of(buyer);
        struct hf_result result;
        enum hf_status expected = buyer == 1000 ? HF_OK : (enum hf_status)buyer;
        enum hf_status status = hf_reserve(caller->setup->client, &order, &result);
        caller->wrong += status != expected || result.status != expected;
        caller->wrong += hf_commit(caller->setup->client, (struct hf_id){{0}}, &result) != HF_OK;
    }
    return NULL;
}

static void client_gives_each_of_many_threads_its_own_answer(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    enum { CALLERS = 32 };
    struct caller callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.setup = &setup};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    assert_int_equal(atomic_load(&setup.fake.orders), CALLERS * 100);
    /* Concurrent callers share: how well depends on the machine, that they do does not. */
    assert_true(atomic_load(&setup.fake.messages) < CALLERS * 100);
    assert_true(atomic_load(&setup.fake.largest) > 1);
    tear_down(&setup);
}

static void client_sends_one_order_a_message_when_told_so(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.batch_max = 1, .in_flight_max = 8});
    struct tally tally = {0};
    for (unsigned i = 0; i < 100; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    }
    wait_for(&tally.done, 100);
    assert_int_equal(atomic_load(&setup.fake.messages), 100);
    assert_int_equal(atomic_load(&setup.fake.largest), 1);
    tear_down(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_reserve_returns_the_engines_result),
        cmocka_unit_test(client_sends_names_to_be_resolved),
        cmocka_unit_test(client_sends_shapes_of_lines_and_returns_grants),
        cmocka_unit_test(client_copies_shapes_of_lines_when_not_waiting),
        cmocka_unit_test(client_commits_late),
        cmocka_unit_test(client_commits_and_releases),
        cmocka_unit_test(client_gathers_while_messages_are_under_way),
        cmocka_unit_test(client_gives_each_of_many_threads_its_own_answer),
        cmocka_unit_test(client_sends_one_order_a_message_when_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
