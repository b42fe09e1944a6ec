/* client_rig.h - a client of the fake engine, and what its asynchronous calls came to.
 *
 * Threads: the test's; tally_done() and batch_done() run on the client's. */
#ifndef TESTS_UNIT_CLIENT_CLIENT_RIG_H
#define TESTS_UNIT_CLIENT_CLIENT_RIG_H

#include <time.h>

#include "fake_engine.h"
#include "lib/patience.h"

static inline uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static inline void sleep_ms(unsigned ms)
{
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&wait, NULL);
}

struct setup {
    struct fake fake;
    struct hf_client *client;
};

static inline void set_up_with(struct setup *setup, struct hf_options options)
{
    fake_start(&setup->fake, "tcp://127.0.0.1:0");
    options.timeout_ms = options.timeout_ms ? options.timeout_ms : PATIENCE_MS;
    assert_int_equal(hf_client_open(&setup->client, setup->fake.url, &options), HF_OK);
}

static inline void set_up(struct setup *setup)
{
    set_up_with(setup, (struct hf_options){0});
}

static inline void tear_down(struct setup *setup)
{
    hf_client_close(setup->client);
    fake_stop(&setup->fake);
}

static const struct hf_line one_line = {.item = 1, .qty = 1};

static inline struct hf_order order_of(uint64_t buyer)
{
    return (struct hf_order){
        .id = hf_id_random(), .buyer = buyer, .line_count = 1, .lines = &one_line};
}

/* A client with a short timeout is connected, however slow the machine is: what it sends afterwards
 * goes out at once. */
static inline void connect_first(struct setup *setup)
{
    uint64_t until = patience_until();
    struct hf_order order = order_of(0);
    while (hf_reserve(setup->client, &order, NULL) != HF_OK) {
        assert_true(now_ms() < until);
    }
}

static inline void wait_for(atomic_uint *value, unsigned at_least)
{
    uint64_t until = patience_until();
    while (atomic_load(value) < at_least) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

/* What asynchronous calls came to. */
struct tally {
    atomic_uint done;
    atomic_uint by_status[200];
};

static inline void tally_done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct tally *tally = user;
    (void)result;
    assert_in_range(status, 0, 199);
    atomic_fetch_add(&tally->by_status[status], 1);
    atomic_fetch_add(&tally->done, 1);
}

struct batch_tally {
    atomic_uint done;
    atomic_uint ok;
    enum hf_status status;
};

static inline void batch_done(void *user, enum hf_status status,
                              const struct hf_batch_result *result)
{
    struct batch_tally *tally = user;
    tally->status = status;
    if (status == HF_OK) {
        atomic_fetch_add(&tally->ok, result->ok_count);
    }
    atomic_fetch_add(&tally->done, 1);
}

#endif
