/* turns_test.c - who is handled next, and who is refused: shares of greedy connections, classes,
 * and what controlled delay refuses, with times given by hand. */
#include "rpc/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS ((uint64_t)1000000)

static const unsigned plenty[TRANSPORT_CLASSES] = {1000, 1000, 1000};

/* A hall where queues wait; `owner` of an arrival is its queue's number. */
enum { QUEUES = 300 };
struct hall {
    struct turns turns;
    struct turn_queue queues[QUEUES];
    uint64_t handled[QUEUES]; /* cost */
    unsigned count[QUEUES];
    unsigned refused[QUEUES];
};

struct guest {
    struct arrival arrival; /* first: what is taken leads to it */
    unsigned owner;
};

static struct hall *hall_open(uint64_t target_ns)
{
    struct hall *hall = calloc(1, sizeof *hall);
    assert_non_null(hall);
    assert_true(turns_init(&hall->turns, QUEUES, target_ns, 100 * MS, 0));
    return hall;
}

static void come(struct hall *hall, unsigned owner, enum transport_class class, size_t bytes,
                 uint64_t now_ns)
{
    struct guest *guest = calloc(1, sizeof *guest);
    assert_non_null(guest);
    guest->owner = owner;
    guest->arrival.class = class;
    guest->arrival.cost = turn_cost(bytes, 0);
    guest->arrival.received_ns = now_ns;
    turns_push(&hall->turns, &hall->queues[owner], &guest->arrival, now_ns);
}

/* Takes a turn. Returns the number that were handled; *owner: of whom. */
static unsigned turn(struct hall *hall, const unsigned *room, bool small, uint64_t now_ns,
                     unsigned *owner)
{
    struct arrival_list handle = {0};
    struct arrival_list refuse = {0};
    unsigned count = turns_take(&hall->turns, room, small, now_ns, &handle, &refuse);
    unsigned seen = 0;
    struct arrival *arrival;
    while ((arrival = arrival_list_take(&handle)) != NULL) {
        struct guest *guest = (struct guest *)arrival;
        assert_true(seen == 0 || guest->owner == *owner); /* a turn is one connection's */
        *owner = guest->owner;
        hall->handled[guest->owner] += arrival->cost;
        hall->count[guest->owner]++;
        seen++;
        free(guest);
    }
    assert_int_equal(seen, count);
    while ((arrival = arrival_list_take(&refuse)) != NULL) {
        struct guest *guest = (struct guest *)arrival;
        hall->refused[guest->owner]++;
        free(guest);
    }
    return count;
}

static void hall_close(struct hall *hall)
{
    struct arrival_list all = {0};
    turns_clear(&hall->turns, 0, &all);
    for (unsigned i = 0; i < QUEUES; i++) {
        turns_clear_queue(&hall->turns, &hall->queues[i], 0, &all);
    }
    struct arrival *arrival;
    while ((arrival = arrival_list_take(&all)) != NULL) {
        free(arrival);
    }
    assert_int_equal(turns_waiting(&hall->turns), 0);
    turns_deinit(&hall->turns);
    free(hall);
}

/* ---- Shares ---- */

static void turns_give_each_of_n_connections_an_nth_whatever_its_messages(void **state)
{
    (void)state;
    enum { N = 256, ROUNDS = 40, WAITING = 64 };
    struct hall *hall = hall_open(0);
    static const size_t sizes[] = {60, 300, 5000, 36000, 500000};
    unsigned owner = 0;
    uint64_t all = 0;
    uint64_t most = 0;
    unsigned came[N] = {0};
    /* Each always has something that waits: connection 0 the largest, many more than the others. */
    for (unsigned i = 0; i < N; i++) {
        for (unsigned k = 0; k < (i == 0 ? 100 : WAITING); k++) {
            come(hall, i, TRANSPORT_NEW, sizes[i == 0 ? 4 : i % 4], 0);
        }
    }
    while (all < (uint64_t)N * ROUNDS * TURN_QUANTUM) {
        assert_true(turn(hall, plenty, false, 0, &owner) > 0);
        all = 0;
        for (unsigned i = 0; i < N; i++) {
            all += hall->handled[i];
        }
        for (unsigned k = 0; k < hall->count[owner] - came[owner]; k++) {
            come(hall, owner, TRANSPORT_NEW, sizes[owner == 0 ? 4 : owner % 4], 0);
        }
        came[owner] = hall->count[owner];
    }
    for (unsigned i = 0; i < N; i++) {
        uint64_t slack = 2 * TURN_QUANTUM + turn_cost(sizes[i == 0 ? 4 : i % 4], 0);
        most = hall->handled[i] > most ? hall->handled[i] : most;
        assert_true(hall->handled[i] + slack >= all / N);
        assert_true(hall->handled[i] <= all / N + slack);
    }
    assert_true(most > 0);
    hall_close(hall);
}

/* A connection that pauses does not save up, and does not escape what it owes. */
static void turns_keep_debts_and_no_savings(void **state)
{
    (void)state;
    struct hall *hall = hall_open(0);
    unsigned owner = 0;
    come(hall, 1, TRANSPORT_NEW, 20 * TURN_QUANTUM, 0);
    assert_int_equal(turn(hall, plenty, false, 0, &owner), 1);
    for (unsigned i = 0; i < 200; i++) {
        come(hall, 2, TRANSPORT_NEW, 4000, 0);
    }
    come(hall, 1, TRANSPORT_NEW, 10, 0);
    unsigned turns = 0;
    while (hall->count[1] == 1) {
        assert_true(turn(hall, plenty, false, 0, &owner) > 0);
        turns++;
    }
    assert_true(turns >= 15 && turns <= 21); /* a quantum each */
    uint64_t before = hall->handled[2];
    for (unsigned i = 0; i < 200; i++) { /* it was away while the other had much */
        come(hall, 3, TRANSPORT_NEW, 4000, 0);
    }
    while (hall->count[3] < 100) {
        assert_true(turn(hall, plenty, false, 0, &owner) > 0);
    }
    assert_true(hall->handled[2] - before + 4 * TURN_QUANTUM >= hall->handled[3]);
    hall_close(hall);
}

/* Whoever has had little waits for one turn, however many there are that want more. */
static void turns_let_a_newcomer_wait_for_no_round(void **state)
{
    (void)state;
    struct hall *hall = hall_open(0);
    unsigned owner = 0;
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned k = 0; k < 100; k++) {
            come(hall, i, TRANSPORT_NEW, 100, 0);
        }
    }
    for (unsigned i = 0; i < 300; i++) {
        assert_true(turn(hall, plenty, false, 0, &owner) > 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        come(hall, 250, TRANSPORT_NEW, 100, 0);
        unsigned turns = 0;
        do {
            assert_true(turn(hall, plenty, false, 0, &owner) > 0);
            turns++;
        } while (owner != 250);
        assert_true(turns <= 101); /* of those that are as far back; a half of them at most */
        for (unsigned k = 0; k < 40; k++) {
            assert_true(turn(hall, plenty, false, 0, &owner) > 0);
        }
    }
    hall_close(hall);
}

static void turns_charge_what_an_answer_cost(void **state)
{
    (void)state;
    struct hall *hall = hall_open(0);
    unsigned owner = 0;
    come(hall, 1, TRANSPORT_NEW, 10, 0);
    assert_int_equal(turn(hall, plenty, false, 0, &owner), 1);
    turns_charge(&hall->turns, &hall->queues[1], TRANSPORT_NEW, 3 * TURN_QUANTUM);
    come(hall, 1, TRANSPORT_NEW, 10, 0);
    for (unsigned i = 0; i < 200; i++) {
        come(hall, 2, TRANSPORT_NEW, 4000, 0);
    }
    while (hall->count[1] == 1) {
        assert_true(turn(hall, plenty, false, 0, &owner) > 0);
    }
    assert_true(hall->handled[2] >= 2 * TURN_QUANTUM);
    hall_close(hall);
}

static void turns_end_where_room_or_their_most_does(void **state)
{
    (void)state;
    struct hall *hall = hall_open(0);
    unsigned owner = 0;
    for (unsigned i = 0; i < 100; i++) {
        come(hall, 1, TRANSPORT_NEW, 0, 0);
    }
    assert_int_equal(turn(hall, (const unsigned[]){5, 5, 3}, false, 0, &owner), 3);
    assert_int_equal(turn(hall, (const unsigned[]){5, 5, 0}, false, 0, &owner), 0);
    assert_int_equal(turn(hall, plenty, false, 0, &owner), TURN_ARRIVALS_MAX);
    hall_close(hall);
}

/* ---- Classes ---- */

static void turns_take_classes_in_order_and_starve_none(void **state)
{
    (void)state;
    struct hall *hall = hall_open(0);
    unsigned owner = 0;
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 2000; k++) {
            come(hall, i, TRANSPORT_NEW - i, 1000, 0); /* those that came last come first */
        }
    }
    assert_int_equal(turn(hall, (const unsigned[]){1, 1, 1}, false, 0, &owner), 1);
    assert_int_equal(owner, 2);
    uint64_t turned = 0;
    while (hall->count[2] < 1900) {
        assert_true(turn(hall, plenty, false, 0, &owner) > 0);
        turned++;
    }
    uint64_t all = hall->handled[0] + hall->handled[1] + hall->handled[2];
    assert_true(hall->handled[2] >= all * 3 / 4);
    assert_true(hall->handled[1] >= all / 16);
    assert_true(hall->handled[0] >= all / 160);
    assert_true(hall->handled[0] < hall->handled[1]);
    hall_close(hall);
}

/* Within a pause nothing large is begun, and others than the large one are found. */
static void turns_find_small_ones_behind_large_ones(void **state)
{
    (void)state;
    struct hall *hall = hall_open(0);
    unsigned owner = 0;
    for (unsigned i = 0; i < 20; i++) {
        come(hall, i, TRANSPORT_NEW, TURN_SMALL_COST, 0);
    }
    assert_int_equal(turn(hall, plenty, true, 0, &owner), 0);
    come(hall, 20, TRANSPORT_NEW, 100, 0);
    assert_int_equal(turn(hall, plenty, true, 0, &owner), 1);
    assert_int_equal(owner, 20);
    assert_int_equal(turn(hall, plenty, true, 0, &owner), 0);
    assert_int_equal(turn(hall, plenty, false, 0, &owner), 1);
    hall_close(hall);
}

static void turns_pass_over_who_does_not_read(void **state)
{
    (void)state;
    struct hall *hall = hall_open(0);
    unsigned owner = 0;
    come(hall, 1, TRANSPORT_NEW, 100, 0);
    come(hall, 2, TRANSPORT_NEW, 30 * TURN_QUANTUM, 0);
    come(hall, 2, TRANSPORT_NEW, 30 * TURN_QUANTUM, 0);
    atomic_store(&hall->queues[1].clogged, true);
    assert_int_equal(turn(hall, plenty, false, 0, &owner), 1);
    assert_int_equal(turn(hall, plenty, false, 0, &owner), 1); /* its debt holds up nobody */
    assert_int_equal(owner, 2);
    assert_int_equal(turn(hall, plenty, false, 0, &owner), 0);
    assert_int_equal(turns_waiting(&hall->turns), 1);
    assert_false(turns_overloaded(&hall->turns, TRANSPORT_NEW, 1000 * MS)); /* nobody else waits */
    come(hall, 1, TRANSPORT_NEW, 100, 0);
    atomic_store(&hall->queues[1].clogged, false);
    turns_unclog(&hall->turns, &hall->queues[1], 0);
    assert_int_equal(turn(hall, plenty, false, 0, &owner), 2);
    assert_int_equal(owner, 1);
    hall_close(hall);
}

/* ---- Refusing ---- */

/* One is taken each millisecond. */
static void turns_refuse_what_waits_when_someone_always_does(void **state)
{
    (void)state;
    struct hall *hall = hall_open(5 * MS);
    unsigned owner = 0;
    const unsigned one[TRANSPORT_CLASSES] = {1, 1, 1};
    for (uint64_t ms = 0; ms < 300; ms++) {
        for (unsigned k = 0; k < 10; k++) { /* ten times as many as are handled */
            come(hall, 1, TRANSPORT_NEW, TURN_QUANTUM, ms * MS); /* one a round */
        }
        if (ms % 10 == 0) {
            come(hall, 2, TRANSPORT_NEW, 0, ms * MS);
        }
        unsigned count = 0;
        while (count == 0) {
            count = turn(hall, one, false, ms * MS, &owner);
        }
        if (ms <= 100) {
            assert_int_equal(hall->refused[1], 0);
        }
    }
    /* Of 3000, 300 were handled; those of the first 100 ms were worked off or refused. */
    assert_true(hall->refused[1] > 2500);
    assert_true(hall->count[1] + hall->count[2] == 300);
    assert_int_equal(hall->refused[2], 0);
    assert_true(turns_overloaded(&hall->turns, TRANSPORT_NEW, 300 * MS));
    assert_true(turns_waiting(&hall->turns) <= 61); /* of the last 5 ms */
    hall_close(hall);
}

static void turns_refuse_nobody_while_the_queue_empties_now_and_then(void **state)
{
    (void)state;
    struct hall *hall = hall_open(5 * MS);
    unsigned owner = 0;
    for (uint64_t ms = 0; ms < 1000; ms += 50) {
        for (unsigned k = 0; k < 20; k++) {
            come(hall, k, TRANSPORT_NEW, 0, ms * MS);
        }
        for (unsigned k = 0; k < 20; k++) { /* the last waits 40 ms */
            assert_int_equal(turn(hall, plenty, false, (ms + 2 * k) * MS, &owner), 1);
        }
    }
    for (unsigned k = 0; k < 20; k++) {
        assert_int_equal(hall->refused[k], 0);
        assert_int_equal(hall->count[k], 20);
    }
    hall_close(hall);
}

static void turns_refuse_what_is_late_and_say_why(void **state)
{
    (void)state;
    struct hall *hall = hall_open(5 * MS);
    struct guest *guest = calloc(1, sizeof *guest);
    struct arrival_list handle = {0};
    struct arrival_list refuse = {0};
    guest->arrival = (struct arrival){.class = TRANSPORT_FINISH,
                                      .cost = turn_cost(10, 0),
                                      .received_ns = 7 * MS,
                                      .timeout_ms = 20};
    turns_push(&hall->turns, &hall->queues[1], &guest->arrival, 7 * MS);
    turns_shed(&hall->turns, 27 * MS, &refuse);
    assert_null(refuse.first);
    assert_int_equal(turns_take(&hall->turns, plenty, false, 27 * MS + 1, &handle, &refuse), 0);
    assert_ptr_equal(refuse.first, &guest->arrival);
    assert_int_equal(guest->arrival.refusal, TRANSPORT_REFUSE_LATE);
    free(guest);
    hall_close(hall);
}

/* With no room at all, what waits too long is still refused. */
static void turns_shed_without_room(void **state)
{
    (void)state;
    struct hall *hall = hall_open(5 * MS);
    struct arrival_list refuse = {0};
    for (unsigned k = 0; k < 50; k++) {
        come(hall, k % 7, TRANSPORT_NEW, 100, (uint64_t)k * 2 * MS); /* the last at 98 ms */
    }
    turns_shed(&hall->turns, 100 * MS, &refuse);
    assert_null(refuse.first); /* not for an interval yet */
    turns_shed(&hall->turns, 101 * MS, &refuse);
    unsigned count = 0;
    struct arrival *arrival;
    while ((arrival = arrival_list_take(&refuse)) != NULL) {
        assert_int_equal(arrival->refusal, TRANSPORT_REFUSE_OVERLOAD);
        assert_true(arrival->received_ns < 96 * MS);
        free(arrival);
        count++;
    }
    assert_int_equal(count, 48);
    assert_int_equal(turns_waiting(&hall->turns), 2);
    hall_close(hall);
}

/* Under overload a queue takes as much as is handled in two targets, divided by all that wait; and
 * overload ends when nothing was refused for an interval, however short the queue is. */
static void turns_share_the_next_targets_until_nothing_is_refused(void **state)
{
    (void)state;
    struct hall *hall = hall_open(5 * MS);
    unsigned owner = 0;
    const unsigned one[TRANSPORT_CLASSES] = {1, 1, 1};
    assert_true(turns_share(&hall->turns, &hall->queues[1], 0) == UINT64_MAX);
    for (uint64_t at = 0; at < 500; at++) { /* one a ms is handled, two come */
        come(hall, 1, TRANSPORT_NEW, TURN_QUANTUM, at * MS);
        come(hall, 2, TRANSPORT_NEW, TURN_QUANTUM, at * MS);
        unsigned count = 0;
        while (count == 0) {
            count = turn(hall, one, false, at * MS, &owner);
        }
    }
    /* In 10 ms ten are handled, of two connections: five each. */
    struct turn_lane *lane = &hall->queues[1].lanes[TRANSPORT_NEW];
    uint64_t share = turns_share(&hall->turns, &hall->queues[1], 500 * MS) + lane->cost;
    assert_true(share >= 4 * turn_cost(TURN_QUANTUM, 0));
    assert_true(share <= 6 * turn_cost(TURN_QUANTUM, 0));
    for (unsigned i = 0; i < 10; i++) {
        come(hall, 1, TRANSPORT_NEW, TURN_QUANTUM, 500 * MS);
    }
    assert_int_equal(turns_share(&hall->turns, &hall->queues[1], 500 * MS), 0);
    assert_true(turns_share(&hall->turns, &hall->queues[3], 500 * MS) ==
                UINT64_MAX); /* its first */
    while (turns_waiting(&hall->turns) > 0) {
        (void)turn(hall, plenty, false, 501 * MS, &owner);
    }
    assert_true(turns_overloaded(&hall->turns, TRANSPORT_NEW, 502 * MS));
    turns_note_refused(&hall->turns, 1000, 550 * MS);
    assert_true(turns_overloaded(&hall->turns, TRANSPORT_NEW, 649 * MS));
    assert_false(turns_overloaded(&hall->turns, TRANSPORT_NEW, 650 * MS));
    assert_false(turns_overloaded(&hall->turns, TRANSPORT_FINISH, 550 * MS));
    hall_close(hall);
}

/* Commits may wait for ten targets, large messages for as long as they take themselves, times 16.
 */
static void turns_have_patience_with_commits_and_large_messages(void **state)
{
    (void)state;
    struct hall *hall = hall_open(5 * MS);
    struct arrival_list refuse = {0};
    turns_note_handled(&hall->turns, 100000, 100 * MS); /* 1000 bytes a ms */
    turns_charge(&hall->turns, &hall->queues[3], TRANSPORT_NEW, TURN_QUANTUM + 1);
    turns_charge(&hall->turns, &hall->queues[4], TRANSPORT_NEW, TURN_QUANTUM + 1);
    come(hall, 1, TRANSPORT_NEW, 100, 0);
    come(hall, 2, TRANSPORT_FINISH, 100, 0);
    come(hall, 1, TRANSPORT_NEW, 100, 110 * MS - 5 * MS);
    come(hall, 3, TRANSPORT_NEW, 488, 110 * MS - 15 * MS); /* 1 ms: may wait 16 */
    come(hall, 4, TRANSPORT_NEW, 488, 110 * MS - 17 * MS);
    come(hall, 5, TRANSPORT_NEW, 50000, 110 * MS - 20 * MS); /* 50 ms: four targets at most */
    come(hall, 6, TRANSPORT_NEW, 50000, 110 * MS - 21 * MS);
    come(hall, 7, TRANSPORT_FINISH, 100, 110 * MS - 49 * MS);
    come(hall, 8, TRANSPORT_NEW, 100, 110 * MS - 20 * MS); /* has had nothing: four targets too */
    come(hall, 9, TRANSPORT_NEW, 100, 110 * MS - 21 * MS);
    turns_shed(&hall->turns, 110 * MS, &refuse);
    bool gone[10] = {false};
    struct arrival *arrival;
    while ((arrival = arrival_list_take(&refuse)) != NULL) {
        gone[((struct guest *)arrival)->owner] = true;
        free(arrival);
    }
    assert_true(gone[1]);
    assert_true(gone[2]);
    assert_false(gone[3]);
    assert_true(gone[4]);
    assert_false(gone[5]);
    assert_true(gone[6]);
    assert_false(gone[7]);
    assert_false(gone[8]);
    assert_true(gone[9]);
    assert_int_equal(turns_waiting(&hall->turns), 5);
    hall_close(hall);
}

/* Nine of ten are refused: they should come back when those before them have been handled. */
static void turns_ask_for_patience_by_what_waits_and_the_rate(void **state)
{
    (void)state;
    struct hall *hall = hall_open(5 * MS);
    unsigned owner = 0;
    const unsigned one[TRANSPORT_CLASSES] = {1, 1, 1};
    uint32_t ms = turns_retry_ms(&hall->turns, 0);
    assert_true(ms >= 1 && ms <= 8); /* nothing is known: about 5 */
    for (uint64_t at = 0; at < 1000; at++) {
        come(hall, 1, TRANSPORT_NEW, 0, at * MS);
        come(hall, 1, TRANSPORT_NEW, 0, at * MS);
        unsigned count = 0;
        while (count == 0) {
            count = turn(hall, one, false, at * MS, &owner);
        }
    }
    /* As much was refused as was handled: about a second, give or take a half. */
    uint32_t least = UINT32_MAX;
    uint32_t most = 0;
    for (unsigned i = 0; i < 200; i++) {
        ms = turns_retry_ms(&hall->turns, 1000 * MS);
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    assert_true(least >= 400 && least < 800);
    assert_true(most > 1000 && most <= 3 * TURN_RETRY_MS_MAX / 2);
    ms = turns_retry_ms(&hall->turns, 60000 * MS); /* long after */
    assert_true(ms <= 3 * TURN_RETRY_MS_MAX / 2);
    hall_close(hall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_give_each_of_n_connections_an_nth_whatever_its_messages),
        cmocka_unit_test(turns_keep_debts_and_no_savings),
        cmocka_unit_test(turns_let_a_newcomer_wait_for_no_round),
        cmocka_unit_test(turns_charge_what_an_answer_cost),
        cmocka_unit_test(turns_end_where_room_or_their_most_does),
        cmocka_unit_test(turns_take_classes_in_order_and_starve_none),
        cmocka_unit_test(turns_find_small_ones_behind_large_ones),
        cmocka_unit_test(turns_pass_over_who_does_not_read),
        cmocka_unit_test(turns_refuse_what_waits_when_someone_always_does),
        cmocka_unit_test(turns_refuse_nobody_while_the_queue_empties_now_and_then),
        cmocka_unit_test(turns_refuse_what_is_late_and_say_why),
        cmocka_unit_test(turns_shed_without_room),
        cmocka_unit_test(turns_share_the_next_targets_until_nothing_is_refused),
        cmocka_unit_test(turns_have_patience_with_commits_and_large_messages),
        cmocka_unit_test(turns_ask_for_patience_by_what_waits_and_the_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
