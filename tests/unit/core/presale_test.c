/* presale_test.c - tickets: drawing, who is behind, chunks that are used anew, against plain
 * arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "core/presale.h"
#include "lib/rng.h"

#define CHUNK 4096u /* tickets of one chunk, as presale.h says */

static struct presale *make(uint32_t items_max, uint64_t tickets_max)
{
    struct presale *presale;
    assert_int_equal(presale_init(&presale, items_max, tickets_max), HF_OK);
    return presale;
}

/* Draws a ticket and gives it units. */
static uint32_t draw(struct presale *presale, uint32_t item, uint32_t units)
{
    uint32_t ticket = presale_draw(presale, item);
    if (ticket != 0) {
        assert_true(presale_change(presale, item, ticket, units));
    }
    return ticket;
}

static void presale_draws_dense_tickets_for_each_item(void **state)
{
    (void)state;
    struct presale *presale = make(3, 100);
    assert_int_equal(presale_last(presale, 1), 0);
    for (uint32_t i = 1; i <= CHUNK + 1; i++) {
        assert_int_equal(draw(presale, 1, 1), i);
        assert_int_equal(presale_last(presale, 1), i);
    }
    assert_int_equal(draw(presale, 3, 1), 1);
    assert_int_equal(presale_last(presale, 2), 0);
    presale_deinit(presale);
}

static void presale_tells_the_units_behind_a_ticket(void **state)
{
    (void)state;
    struct presale *presale = make(1, 10 * CHUNK);
    assert_int_equal(presale_behind(presale, 1, 0), 0);
    assert_int_equal(presale_behind(presale, 1, 1), 0);
    const uint32_t count = 2 * CHUNK + 5;
    for (uint32_t i = 1; i <= count; i++) {
        draw(presale, 1, 3);
    }
    static const uint32_t tickets[] = {
        0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 2 * CHUNK + 5};
    for (size_t i = 0; i < sizeof tickets / sizeof tickets[0]; i++) {
        assert_int_equal(presale_behind(presale, 1, tickets[i]), 3 * (count - tickets[i]));
    }
    assert_int_equal(presale_behind(presale, 1, 4 * CHUNK), 0);
    presale_deinit(presale);
}

static void presale_has_room_for_its_tickets_and_a_chunk_an_item(void **state)
{
    (void)state;
    /* One chunk for tickets, one for each of two items. */
    struct presale *presale = make(2, CHUNK);
    for (uint32_t i = 1; i <= 3 * CHUNK; i++) {
        assert_int_equal(draw(presale, 1, 1), i);
    }
    assert_int_equal(presale_draw(presale, 1), 0);
    assert_int_equal(presale_last(presale, 1), 3 * CHUNK);
    assert_int_equal(presale_draw(presale, 2), 0);
    assert_false(presale_change(presale, 2, 7, 1));
    assert_int_equal(presale_last(presale, 2), 0);
    assert_int_equal(presale_behind(presale, 2, 0), 0);
    /* All units of the middle chunk go but one: still no room; the last one: room for a chunk. */
    for (uint32_t i = CHUNK + 1; i < 2 * CHUNK; i++) {
        assert_true(presale_change(presale, 1, i, -1));
    }
    assert_int_equal(presale_draw(presale, 2), 0);
    assert_true(presale_change(presale, 1, 2 * CHUNK, -1));
    assert_int_equal(draw(presale, 2, 5), 1);
    assert_int_equal(presale_behind(presale, 2, 0), 5);
    assert_int_equal(presale_behind(presale, 1, CHUNK), CHUNK);
    assert_int_equal(presale_behind(presale, 1, 0), 2 * CHUNK);
    presale_deinit(presale);
}

static void presale_goes_on_when_all_units_come_and_go(void **state)
{
    (void)state;
    struct presale *presale = make(1, 1);
    for (uint32_t i = 1; i <= 20 * CHUNK; i++) {
        assert_int_equal(draw(presale, 1, 2), i);
        assert_true(presale_change(presale, 1, i, -2));
        assert_int_equal(presale_behind(presale, 1, 0), 0);
    }
    presale_deinit(presale);
}

static void presale_draws_up_to_the_last_number(void **state)
{
    (void)state;
    struct presale *presale = make(1, 1);
    assert_true(presale_change(presale, 1, UINT32_MAX - 1, 1));
    assert_int_equal(draw(presale, 1, PRESALE_UNITS_MAX), UINT32_MAX);
    assert_int_equal(presale_draw(presale, 1), 0);
    assert_int_equal(presale_behind(presale, 1, UINT32_MAX - 1), PRESALE_UNITS_MAX);
    assert_int_equal(presale_behind(presale, 1, UINT32_MAX), 0);
    presale_deinit(presale);
}

static void presale_takes_tickets_in_any_order_when_replayed(void **state)
{
    (void)state;
    struct presale *presale = make(1, 10 * CHUNK);
    assert_true(presale_change(presale, 1, 5 * CHUNK, 0)); /* drawn, no units */
    assert_int_equal(presale_last(presale, 1), 5 * CHUNK);
    assert_true(presale_change(presale, 1, 3, 4));
    assert_true(presale_change(presale, 1, 4 * CHUNK, 2));
    assert_true(presale_change(presale, 1, 2 * CHUNK, 1));
    assert_int_equal(presale_last(presale, 1), 5 * CHUNK);
    assert_int_equal(presale_behind(presale, 1, 2), 7);
    assert_int_equal(presale_behind(presale, 1, 3), 3);
    assert_int_equal(presale_behind(presale, 1, 2 * CHUNK), 2);
    assert_int_equal(presale_draw(presale, 1), 5 * CHUNK + 1);
    presale_deinit(presale);
}

/* ---- Against arrays ---- */

enum { ITEMS = 3, TICKETS = 12 * 4096 };

struct naive {
    uint32_t units[ITEMS + 1][TICKETS + 1];
    bool pending[ITEMS + 1][TICKETS + 1];
    uint32_t last[ITEMS + 1];
    uint64_t seen; /* of presale_visit */
    uint32_t item;
};

static void compare_visited(void *context, uint32_t ticket, uint32_t units)
{
    struct naive *naive = context;
    assert_true(ticket <= naive->last[naive->item]);
    assert_int_equal(units, naive->units[naive->item][ticket]);
    naive->seen += units;
}

static uint64_t naive_behind(const struct naive *naive, uint32_t item, uint32_t ticket,
                             bool published)
{
    uint64_t behind = 0;
    for (uint32_t i = ticket + 1; i <= naive->last[item]; i++) {
        behind += published && naive->pending[item][i] ? 0 : naive->units[item][i];
    }
    return behind;
}

static void compare(struct presale *presale, struct naive *naive, struct rng *rng)
{
    for (uint32_t item = 1; item <= ITEMS; item++) {
        assert_int_equal(presale_last(presale, item), naive->last[item]);
        for (unsigned i = 0; i < 8; i++) {
            uint32_t ticket = (uint32_t)rng_below(rng, naive->last[item] + 1u);
            assert_int_equal(presale_behind(presale, item, ticket),
                             naive_behind(naive, item, ticket, true));
        }
        naive->seen = 0;
        naive->item = item;
        presale_visit(presale, item, compare_visited, naive);
        assert_int_equal(naive->seen, naive_behind(naive, item, 0, false));
    }
}

/* Mostly the oldest tickets lose their units, as when orders are returned or released. */
static void step(struct presale *presale, struct naive *naive, struct rng *rng, bool replay)
{
    uint32_t item = (uint32_t)rng_between(rng, 1, ITEMS);
    uint32_t *units = naive->units[item];
    if (naive->last[item] + 100 < TICKETS && rng_chance(rng, 2)) {
        uint32_t ticket = naive->last[item] + 1;
        uint32_t some = (uint32_t)rng_between(rng, 0, 5);
        if (replay) {
            ticket += (uint32_t)rng_below(rng, 90);
        } else {
            assert_int_equal(presale_draw(presale, item), ticket);
        }
        bool pending = !replay && some > 0 && rng_chance(rng, 2);
        assert_true(pending ? presale_take(presale, item, ticket, some)
                            : presale_change(presale, item, ticket, some));
        naive->pending[item][ticket] = pending;
        units[ticket] = some;
        naive->last[item] = ticket;
    } else if (naive->last[item] > 0) {
        uint32_t ticket = (uint32_t)rng_between(rng, 1, naive->last[item]);
        ticket = rng_chance(rng, 4) ? ticket : ticket / 2 + 1;
        for (uint32_t i = 0; i < 40 && ticket + i <= naive->last[item]; i++) {
            bool *pending = &naive->pending[item][ticket + i];
            if (*pending && rng_chance(rng, 2)) {
                presale_publish(presale, item, ticket + i);
                *pending = false;
                continue;
            }
            int64_t delta = rng_chance(rng, 8) ? 1 : -(int64_t)units[ticket + i];
            assert_true(presale_change(presale, item, ticket + i, delta));
            units[ticket + i] = (uint32_t)(units[ticket + i] + delta);
            *pending = *pending && units[ticket + i] > 0;
        }
    }
}

static void presale_agrees_with_arrays(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(11);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    struct naive *naive = malloc(sizeof *naive);
    assert_non_null(naive);
    for (int replay = 0; replay < 2; replay++) {
        memset(naive, 0, sizeof *naive);
        struct presale *presale = make(ITEMS, (uint64_t)ITEMS * TICKETS);
        for (unsigned i = 0; i < 40000; i++) {
            step(presale, naive, &rng, replay);
            if (i % 1000 == 0) {
                compare(presale, naive, &rng);
            }
        }
        compare(presale, naive, &rng);
        presale_deinit(presale);
    }
    free(naive);
}

/* ---- Threads ---- */

enum { THREADS = 8, DRAWS = 3000 };

struct worker {
    struct presale *presale;
    uint32_t tickets[DRAWS];
};

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    for (uint32_t i = 0; i < DRAWS; i++) {
        worker->tickets[i] = presale_draw(worker->presale, 1);
        if (!presale_change(worker->presale, 1, worker->tickets[i], 3) ||
            !presale_change(worker->presale, 1, worker->tickets[i], i % 2 ? -3 : -1)) {
            worker->tickets[i] = 0;
        }
        (void)presale_behind(worker->presale, 1, worker->tickets[i]);
    }
    return NULL;
}

static void presale_draws_each_ticket_once_when_threads_draw(void **state)
{
    (void)state;
    static struct worker workers[THREADS];
    static bool drawn[THREADS * DRAWS + 1];
    struct presale *presale = make(2, THREADS * DRAWS);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].presale = presale;
        assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (uint32_t k = 0; k < DRAWS; k++) {
            uint32_t ticket = workers[i].tickets[k];
            assert_in_range(ticket, 1, THREADS * DRAWS);
            assert_false(drawn[ticket]);
            drawn[ticket] = true;
        }
    }
    assert_int_equal(presale_behind(presale, 1, 0), THREADS * DRAWS / 2 * 2);
    presale_deinit(presale);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presale_draws_dense_tickets_for_each_item),
        cmocka_unit_test(presale_tells_the_units_behind_a_ticket),
        cmocka_unit_test(presale_has_room_for_its_tickets_and_a_chunk_an_item),
        cmocka_unit_test(presale_goes_on_when_all_units_come_and_go),
        cmocka_unit_test(presale_draws_up_to_the_last_number),
        cmocka_unit_test(presale_takes_tickets_in_any_order_when_replayed),
        cmocka_unit_test(presale_agrees_with_arrays),
        cmocka_unit_test(presale_draws_each_ticket_once_when_threads_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
