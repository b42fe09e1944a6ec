/* expiry_test.c - timing wheels: to the millisecond, over all levels, whatever time does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/expiry.h"
#include "lib/budget.h"
#include "lib/rng.h"

#define NOW 1700000000123ull

/* As the inventory uses it: a hint that is taken early is entered anew. */
struct hints {
    struct expiry *expiry;
    uint64_t due[4096]; /* by handle; 0: none */
    uint64_t now;
};

static void hints_open(struct hints *hints)
{
    memset(hints, 0, sizeof *hints);
    hints->now = NOW;
    assert_int_equal(expiry_init(&hints->expiry, 4096), HF_OK);
}

static void add(struct hints *hints, uint32_t handle, uint64_t at_ms)
{
    hints->due[handle] = at_ms;
    expiry_lock(hints->expiry, handle % EXPIRY_WHEELS);
    expiry_add(hints->expiry, handle % EXPIRY_WHEELS, handle, at_ms, hints->now);
    expiry_unlock(hints->expiry, handle % EXPIRY_WHEELS);
}

/* Takes all that is due; returns how many. */
static uint32_t take_due(struct hints *hints)
{
    uint32_t fired = 0;
    for (unsigned wheel = 0; wheel < EXPIRY_WHEELS; wheel++) {
        uint32_t handles[EXPIRY_TAKE];
        uint32_t count;
        while ((count = expiry_take(hints->expiry, wheel, hints->now, handles)) > 0) {
            for (uint32_t i = 0; i < count; i++) {
                assert_int_not_equal(hints->due[handles[i]], 0);
                if (hints->due[handles[i]] <= hints->now) {
                    hints->due[handles[i]] = 0;
                    fired++;
                } else {
                    add(hints, handles[i], hints->due[handles[i]]);
                }
            }
        }
        assert_false(expiry_due(hints->expiry, wheel, hints->now));
    }
    return fired;
}

static void expiry_fires_at_the_deadline_and_not_before(void **state)
{
    (void)state;
    static const uint64_t ahead[] = {
        1,           2,        4094,        4095,          4096,          4097,        16777214,
        16777215,    16777216, 16777217,    900000,        604800000,     68719476735, 68719476736,
        68719476737, 1000000,  99999999999, 1000000000000, 4000000000000, 5000};
    for (size_t i = 0; i < sizeof ahead / sizeof ahead[0]; i++) {
        struct hints hints;
        hints_open(&hints);
        add(&hints, 1, NOW + ahead[i]);
        assert_true(expiry_next_ms(hints.expiry) <= NOW + ahead[i]);
        hints.now = NOW + ahead[i] - 1;
        assert_int_equal(take_due(&hints), 0);
        assert_int_equal(expiry_hints(hints.expiry), 1);
        hints.now = NOW + ahead[i];
        assert_int_equal(take_due(&hints), 1);
        assert_int_equal(expiry_hints(hints.expiry), 0);
        assert_true(expiry_next_ms(hints.expiry) == UINT64_MAX);
        expiry_deinit(hints.expiry);
    }
}

static void expiry_fires_what_is_entered_overdue(void **state)
{
    (void)state;
    struct hints hints;
    hints_open(&hints);
    add(&hints, 1, NOW + 10);
    hints.now = NOW + 5000;
    assert_int_equal(take_due(&hints), 1);
    add(&hints, 2, NOW + 3);
    add(&hints, 3, NOW + 5000);
    assert_true(expiry_next_ms(hints.expiry) <= NOW + 5000);
    assert_int_equal(take_due(&hints), 2);
    expiry_deinit(hints.expiry);
}

static void expiry_keeps_the_millisecond_when_time_goes_back(void **state)
{
    (void)state;
    struct hints hints;
    hints_open(&hints);
    add(&hints, 1, NOW + 100000000);
    hints.now = NOW + 3600000;
    assert_int_equal(take_due(&hints), 0);
    hints.now = NOW;
    add(&hints, 2, NOW + 20);
    add(&hints, 3, NOW + 30);
    hints.now = NOW + 19;
    assert_int_equal(take_due(&hints), 0);
    hints.now = NOW + 20;
    assert_int_equal(take_due(&hints), 1);
    assert_int_equal(hints.due[2], 0);
    hints.now = NOW + 30;
    assert_int_equal(take_due(&hints), 1);
    expiry_deinit(hints.expiry);
}

static void expiry_places_the_wheel_when_the_present_is_unknown(void **state)
{
    (void)state;
    struct hints hints;
    hints_open(&hints);
    hints.now = 0; /* replay */
    add(&hints, 1, NOW + 500);
    add(&hints, 17, NOW + 1000000);
    add(&hints, 33, NOW - 100000);
    hints.now = NOW;
    assert_int_equal(take_due(&hints), 1);
    hints.now = NOW + 499;
    assert_int_equal(take_due(&hints), 0);
    hints.now = NOW + 500;
    assert_int_equal(take_due(&hints), 1);
    hints.now = NOW + 1000000;
    assert_int_equal(take_due(&hints), 1);
    expiry_deinit(hints.expiry);
}

static uint64_t random_ahead(struct rng *rng)
{
    static const uint64_t scales[] = {5, 100, 5000, 1000000, 20000000, 3000000000, 100000000000};
    return rng_below(rng, scales[rng_below(rng, sizeof scales / sizeof scales[0])]);
}

static void expiry_loses_nothing_in_random_runs(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(1);
    struct budget budget = budget_make("runs", 5, 1.0, 3000);
    while (budget_next(&budget)) {
        struct rng rng;
        rng_init(&rng, seed + budget.round);
        struct hints hints;
        hints_open(&hints);
        for (uint32_t step = 0; step < 400; step++) {
            for (uint32_t i = 0; i < 20; i++) {
                uint32_t handle = (uint32_t)rng_below(&rng, 4096);
                if (hints.due[handle] == 0) {
                    add(&hints, handle, hints.now + random_ahead(&rng));
                }
            }
            uint64_t ahead = random_ahead(&rng);
            hints.now = rng_chance(&rng, 10) ? hints.now - ahead % 10000 : hints.now + ahead;
            uint32_t due = 0;
            uint64_t first = UINT64_MAX;
            for (uint32_t i = 0; i < 4096; i++) {
                due += hints.due[i] != 0 && hints.due[i] <= hints.now;
                first = hints.due[i] != 0 && hints.due[i] < first ? hints.due[i] : first;
            }
            bool late = expiry_next_ms(hints.expiry) > first;
            uint32_t fired = take_due(&hints);
            if (late || fired != due) {
                fail_msg("fired %u of %u; late %d; step %u; SEED=%llu", fired, due, late, step,
                         (unsigned long long)(seed + budget.round));
            }
        }
        expiry_deinit(hints.expiry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expiry_fires_at_the_deadline_and_not_before),
        cmocka_unit_test(expiry_fires_what_is_entered_overdue),
        cmocka_unit_test(expiry_keeps_the_millisecond_when_time_goes_back),
        cmocka_unit_test(expiry_places_the_wheel_when_the_present_is_unknown),
        cmocka_unit_test(expiry_loses_nothing_in_random_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
