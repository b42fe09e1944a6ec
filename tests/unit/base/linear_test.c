/* linear_test.c - the checker of histories, held against histories made by hand: legal ones are
 * accepted, and each kind of illegal one is refused.
 *
 * Times are small numbers, nanoseconds and milliseconds alike. Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/linear.h"

#define HOLD_MS 1000000u

static struct linear_history history;

static void begin(int32_t first, int32_t second)
{
    memset(&history, 0, sizeof history);
    history.stocked[0] = first;
    history.stocked[1] = second;
}

static struct linear_call *add(enum linear_type type, uint64_t from, uint64_t to)
{
    struct linear_call *call = &history.calls[history.count++];
    call->type = type;
    call->life = LINEAR_ANY_LIFE;
    call->called_ns = call->called_ms = from;
    call->answered_ns = call->answered_ms = to;
    call->answered = true;
    return call;
}

static void no_answer(struct linear_call *call)
{
    call->answered = false;
    call->life = 0;
}

static struct linear_call *reserve(uint64_t from, uint64_t to, uint8_t order, uint8_t first,
                                   uint8_t second, enum hf_status status)
{
    struct linear_call *call = add(LINEAR_RESERVE, from, to);
    call->order = order;
    call->wanted[0] = first;
    call->wanted[1] = second;
    call->hold_ms = HOLD_MS;
    call->status = status;
    if (status == HF_OK) {
        memcpy(call->units, call->wanted, sizeof call->units);
        call->state = LINEAR_HELD;
        call->deadline_ms = from + HOLD_MS;
    } else {
        call->blocking = 1;
    }
    return call;
}

static struct linear_call *edit(enum linear_type type, uint64_t from, uint64_t to, uint8_t order,
                                enum hf_status status, enum linear_state state)
{
    struct linear_call *call = add(type, from, to);
    call->order = order;
    call->status = status;
    call->state = (uint8_t)state;
    return call;
}

/* Reads one item: stocked, held, sold. */
static struct linear_call *look(uint64_t from, uint64_t to, uint8_t item, int32_t stocked,
                                int32_t held, int32_t sold)
{
    struct linear_call *call = add(LINEAR_GET_STOCK, from, to);
    call->items = (uint8_t)(1u << item);
    call->stock[item] = (struct linear_stock){stocked, held, sold, stocked - held - sold};
    return call;
}

static void look_at_both(uint64_t from, uint64_t to, int32_t first_held, int32_t second_held)
{
    struct linear_call *call = look(from, to, 0, history.stocked[0], first_held, 0);
    call->items = 3;
    call->stock[1] =
        (struct linear_stock){history.stocked[1], second_held, 0, history.stocked[1] - second_held};
}

static struct linear_call *adjust(uint64_t from, uint64_t to, uint8_t number, int32_t delta,
                                  int32_t stocked)
{
    struct linear_call *call = add(LINEAR_ADJUST, from, to);
    call->adjustment = number;
    call->delta = delta;
    call->stock[0].stocked = stocked;
    return call;
}

static struct linear_call *move(uint64_t from, uint64_t to, uint8_t number, uint8_t to_item,
                                int32_t units, int32_t stocked)
{
    struct linear_call *call = add(LINEAR_MOVE, from, to);
    call->adjustment = number;
    call->item = 1 - to_item;
    call->to_item = to_item;
    call->delta = units;
    call->stock[0].stocked = stocked;
    return call;
}

static void expect(enum linear_verdict verdict)
{
    struct linear_report report;
    enum linear_verdict found = linear_check(&history, 0, &report);
    if (found != verdict) {
        linear_print(&history, &report, stderr);
    }
    assert_int_equal(found, verdict);
}

/* ---- Orders ---- */

static void an_order_that_is_paid_and_returned_is_legal(void **state)
{
    (void)state;
    begin(3, 0);
    reserve(1, 2, 0, 2, 0, HF_OK);
    look(3, 4, 0, 3, 2, 0);
    edit(LINEAR_COMMIT, 5, 6, 0, HF_OK, LINEAR_COMMITTED);
    look(7, 8, 0, 3, 0, 2);
    edit(LINEAR_RELEASE, 9, 10, 0, HF_ALREADY_COMMITTED, LINEAR_COMMITTED);
    edit(LINEAR_RETURN, 11, 12, 0, HF_OK, LINEAR_RETURNED);
    look(13, 14, 0, 3, 0, 0);
    expect(LINEAR_LEGAL);
}

static void an_order_that_is_made_twice_is_refused(void **state)
{
    (void)state;
    for (int replayed = 0; replayed <= 1; replayed++) {
        begin(3, 0);
        reserve(1, 2, 0, 1, 0, HF_OK);
        struct linear_call *again = reserve(1, 3, 0, 1, 0, HF_OK);
        again->replayed = replayed == 1;
        expect(replayed ? LINEAR_LEGAL : LINEAR_ILLEGAL);
    }
}

static void a_commit_and_a_release_have_one_winner(void **state)
{
    (void)state;
    begin(1, 0);
    reserve(1, 2, 0, 1, 0, HF_OK);
    edit(LINEAR_COMMIT, 3, 9, 0, HF_OK, LINEAR_COMMITTED);
    struct linear_call *release = edit(LINEAR_RELEASE, 3, 9, 0, HF_OK, LINEAR_RELEASED);
    expect(LINEAR_ILLEGAL);
    release->status = HF_ALREADY_COMMITTED;
    release->state = LINEAR_COMMITTED;
    expect(LINEAR_LEGAL);
}

static void an_answer_to_another_caller_is_refused(void **state)
{
    (void)state;
    begin(9, 9);
    struct linear_call *one = reserve(1, 9, 0, 2, 0, HF_OK);
    struct linear_call *other = reserve(1, 9, 1, 0, 3, HF_OK);
    expect(LINEAR_LEGAL);
    memcpy(one->units, other->wanted, sizeof one->units);
    memcpy(other->units, one->wanted, sizeof other->units);
    expect(LINEAR_ILLEGAL);
}

static void a_reader_that_sees_the_state_before_is_refused(void **state)
{
    (void)state;
    begin(1, 0);
    reserve(1, 2, 0, 1, 0, HF_OK);
    edit(LINEAR_COMMIT, 3, 5, 0, HF_OK, LINEAR_COMMITTED);
    struct linear_call *read = edit(LINEAR_GET_ORDER, 4, 7, 0, HF_OK, LINEAR_HELD);
    read->deadline_ms = 1 + HOLD_MS;
    read->units[0] = 1;
    expect(LINEAR_LEGAL); /* it may have looked before the commit */
    read->called_ns = 6;
    expect(LINEAR_ILLEGAL);
}

static void two_readers_that_see_time_go_back_are_refused(void **state)
{
    (void)state;
    begin(1, 0);
    reserve(1, 9, 0, 1, 0, HF_OK);
    look(2, 3, 0, 1, 1, 0);
    look(4, 5, 0, 1, 0, 0);
    expect(LINEAR_ILLEGAL);
    history.calls[1].stock[0] = (struct linear_stock){1, 0, 0, 1};
    expect(LINEAR_LEGAL);
}

static void an_answer_before_its_call_is_refused(void **state)
{
    (void)state;
    begin(1, 0);
    reserve(5, 4, 0, 1, 0, HF_OK);
    expect(LINEAR_ILLEGAL);
}

static void other_contents_are_a_conflict(void **state)
{
    (void)state;
    begin(9, 0);
    reserve(1, 2, 0, 1, 0, HF_OK);
    struct linear_call *again = reserve(3, 4, 0, 2, 0, HF_ID_CONFLICT);
    again->content = 1;
    expect(LINEAR_LEGAL);
    again->content = 0;
    expect(LINEAR_ILLEGAL);
}

static void a_part_that_is_released_is_free(void **state)
{
    (void)state;
    begin(5, 0);
    reserve(1, 2, 0, 5, 0, HF_OK);
    struct linear_call *part = edit(LINEAR_RELEASE, 3, 4, 0, HF_OK, LINEAR_HELD);
    part->total = 2;
    struct linear_call *again = edit(LINEAR_RELEASE, 5, 6, 0, HF_OK, LINEAR_HELD);
    again->total = 2;
    again->replayed = true;
    edit(LINEAR_COMMIT, 7, 8, 0, HF_OK, LINEAR_COMMITTED);
    look(9, 10, 0, 5, 0, 3);
    expect(LINEAR_LEGAL);
    again->replayed = false;
    expect(LINEAR_ILLEGAL);
}

/* A change's record comes after the one of the change before. */
static void an_order_s_lsn_is_that_of_its_last_change(void **state)
{
    (void)state;
    begin(9, 0);
    reserve(1, 2, 0, 1, 0, HF_OK)->lsn = 48;
    struct linear_call *commit = edit(LINEAR_COMMIT, 3, 4, 0, HF_OK, LINEAR_COMMITTED);
    struct linear_call *read = edit(LINEAR_GET_ORDER, 5, 6, 0, HF_OK, LINEAR_COMMITTED);
    read->units[0] = 1;
    read->deadline_ms = 1 + HOLD_MS;
    commit->lsn = 96;
    for (uint64_t lsn = 48; lsn <= 144; lsn += 48) {
        read->lsn = lsn;
        expect(lsn == 96 ? LINEAR_LEGAL : LINEAR_ILLEGAL);
    }
    commit->lsn = 48;
    expect(LINEAR_ILLEGAL);
    commit->lsn = 0; /* not told, but later */
    expect(LINEAR_LEGAL);
    read->lsn = 48;
    expect(LINEAR_ILLEGAL);
}

/* ---- Stock ---- */

static void the_last_unit_sold_twice_is_refused(void **state)
{
    (void)state;
    begin(1, 0);
    reserve(1, 9, 0, 1, 0, HF_OK);
    reserve(1, 9, 1, 1, 0, HF_OK);
    expect(LINEAR_ILLEGAL);
    history.stocked[0] = 2;
    expect(LINEAR_LEGAL);
}

static void sold_out_while_units_are_free_is_refused(void **state)
{
    (void)state;
    begin(2, 0);
    reserve(1, 2, 0, 1, 0, HF_OK);
    struct linear_call *refused = reserve(3, 9, 1, 1, 0, HF_SOLD_OUT);
    expect(LINEAR_ILLEGAL);
    struct linear_call *taker = reserve(4, 10, 2, 1, 0, HF_OK);
    expect(LINEAR_LEGAL);
    taker->called_ns = 10; /* it came too late to have had the unit */
    taker->answered_ns = 11;
    expect(LINEAR_ILLEGAL);
    taker->called_ns = 4;
    refused->wanted[0] = 2;
    expect(LINEAR_LEGAL);
}

static void a_unit_that_was_given_back_is_free(void **state)
{
    (void)state;
    begin(1, 0);
    reserve(1, 2, 0, 1, 0, HF_OK);
    struct linear_call *release = edit(LINEAR_RELEASE, 3, 6, 0, HF_OK, LINEAR_RELEASED);
    struct linear_call *refused = reserve(5, 9, 1, 1, 0, HF_SOLD_OUT);
    expect(LINEAR_LEGAL); /* while it is being given back */
    refused->called_ns = 7;
    expect(LINEAR_ILLEGAL);
    (void)release;
}

/* Each of the two moments has a unit: one given back, or one that was there. A scan that looks at
 * the places one after another sees neither. */
static void sold_out_needs_one_moment_without_units(void **state)
{
    (void)state;
    begin(2, 0);
    reserve(1, 2, 0, 1, 0, HF_OK);
    reserve(10, 30, 1, 1, 0, HF_SOLD_OUT);
    struct linear_call *release = edit(LINEAR_RELEASE, 12, 14, 0, HF_OK, LINEAR_RELEASED);
    reserve(16, 18, 2, 1, 0, HF_OK);
    expect(LINEAR_ILLEGAL);
    release->answered_ns = 17; /* now both may be on their way at once */
    expect(LINEAR_LEGAL);
}

/* An order that is refused at its second line has the first for a while. */
static void sold_out_for_units_of_an_order_that_is_refused_is_legal(void **state)
{
    (void)state;
    begin(1, 0);
    struct linear_call *two = reserve(1, 9, 0, 1, 1, HF_SOLD_OUT);
    two->blocking = 2;
    reserve(2, 3, 1, 1, 0, HF_SOLD_OUT);
    expect(LINEAR_LEGAL);
    two->answered_ns = 1;
    expect(LINEAR_ILLEGAL);
    history.calls[1].status = HF_OK;
    history.calls[1].units[0] = 1;
    history.calls[1].state = LINEAR_HELD;
    history.calls[1].deadline_ms = 2 + HOLD_MS;
    expect(LINEAR_LEGAL);
    two->blocking = 1; /* of which there was one */
    expect(LINEAR_ILLEGAL);
}

static void half_an_order_is_never_seen(void **state)
{
    (void)state;
    begin(5, 5);
    reserve(1, 9, 0, 2, 3, HF_OK);
    look_at_both(2, 8, 2, 3);
    expect(LINEAR_LEGAL);
    history.calls[1].stock[1] = (struct linear_stock){5, 0, 0, 5};
    expect(LINEAR_ILLEGAL);
}

static void half_a_move_is_never_seen(void **state)
{
    (void)state;
    begin(5, 5);
    move(1, 9, 0, 1, 2, 3);
    look_at_both(2, 8, 0, 0);
    expect(LINEAR_LEGAL);
    history.calls[1].stock[0] = (struct linear_stock){3, 0, 0, 3};
    expect(LINEAR_ILLEGAL);
    history.calls[1].stock[1] = (struct linear_stock){7, 0, 0, 7};
    expect(LINEAR_LEGAL);
}

static void a_split_line_is_not_refused_for_units_that_are_moved(void **state)
{
    (void)state;
    begin(1, 0);
    move(1, 9, 0, 1, 1, 0);
    struct linear_call *split = reserve(2, 8, 0, 1, 0, HF_SOLD_OUT);
    expect(LINEAR_LEGAL); /* from the one pool alone */
    split->split = true;
    expect(LINEAR_ILLEGAL);
    split->status = HF_OK;
    split->state = LINEAR_HELD;
    split->units[1] = 1;
    split->deadline_ms = 2 + HOLD_MS;
    expect(LINEAR_LEGAL);
}

static void a_lost_adjustment_is_refused(void **state)
{
    (void)state;
    begin(0, 0);
    adjust(1, 5, 0, 1, 1);
    struct linear_call *second = adjust(1, 5, 1, 1, 2);
    look(6, 7, 0, 2, 0, 0);
    expect(LINEAR_LEGAL);
    second->stock[0].stocked = 1;
    history.calls[2].stock[0] = (struct linear_stock){1, 0, 0, 1};
    expect(LINEAR_ILLEGAL);
}

static void an_adjustment_takes_no_units_that_are_held(void **state)
{
    (void)state;
    begin(1, 0);
    reserve(1, 9, 0, 1, 0, HF_OK);
    struct linear_call *down = adjust(1, 9, 0, -1, 0);
    expect(LINEAR_ILLEGAL);
    down->status = HF_WOULD_OVERSELL;
    expect(LINEAR_LEGAL);
    history.stocked[0] = 2;
    expect(LINEAR_ILLEGAL);
}

/* ---- Time ---- */

static void no_order_expires_early(void **state)
{
    (void)state;
    begin(1, 0);
    struct linear_call *made = reserve(1, 2, 0, 1, 0, HF_OK);
    made->hold_ms = 10;
    made->deadline_ms = 11;
    struct linear_call *read = edit(LINEAR_GET_ORDER, 3, 10, 0, HF_OK, LINEAR_EXPIRED);
    read->deadline_ms = 11;
    expect(LINEAR_ILLEGAL);
    read->answered_ns = read->answered_ms = 11;
    expect(LINEAR_LEGAL);
    look(12, 13, 0, 1, 0, 0);
    reserve(14, 15, 1, 1, 0, HF_SOLD_OUT);
    expect(LINEAR_ILLEGAL); /* its unit was seen to be free */
}

static void no_order_is_paid_late(void **state)
{
    (void)state;
    begin(1, 0);
    struct linear_call *made = reserve(1, 2, 0, 1, 0, HF_OK);
    made->hold_ms = 10;
    made->deadline_ms = 12;
    struct linear_call *commit = edit(LINEAR_COMMIT, 12, 20, 0, HF_OK, LINEAR_COMMITTED);
    expect(LINEAR_LEGAL);
    commit->called_ns = commit->called_ms = 13;
    expect(LINEAR_ILLEGAL);
    commit->late_ok = true;
    expect(LINEAR_LEGAL);
    commit->late_ok = false;
    commit->status = HF_EXPIRED;
    commit->state = LINEAR_EXPIRED;
    expect(LINEAR_LEGAL);
}

static void a_deadline_is_as_late_as_was_asked(void **state)
{
    (void)state;
    begin(1, 0);
    struct linear_call *made = reserve(5, 8, 0, 1, 0, HF_OK);
    made->hold_ms = 10;
    for (uint64_t deadline = 14; deadline <= 19; deadline++) {
        made->deadline_ms = deadline;
        expect(deadline >= 15 && deadline <= 18 ? LINEAR_LEGAL : LINEAR_ILLEGAL);
    }
}

/* ---- Kills ---- */

static void what_was_answered_survives(void **state)
{
    (void)state;
    begin(1, 0);
    reserve(1, 2, 0, 1, 0, HF_OK);
    add(LINEAR_RESTART, 3, 4)->life = 0;
    struct linear_call *read = edit(LINEAR_GET_ORDER, 5, 6, 0, HF_NOT_FOUND, LINEAR_UNKNOWN);
    expect(LINEAR_ILLEGAL);
    read->status = HF_OK;
    read->state = LINEAR_HELD;
    read->units[0] = 1;
    read->deadline_ms = 1 + HOLD_MS;
    expect(LINEAR_LEGAL);
}

static void what_has_no_answer_has_happened_or_not(void **state)
{
    (void)state;
    for (int held = 0; held <= 1; held++) {
        begin(1, 0);
        no_answer(reserve(1, 2, 0, 1, 0, HF_OK));
        add(LINEAR_RESTART, 3, 4)->life = 0;
        look(5, 6, 0, 1, held, 0);
        expect(LINEAR_LEGAL);
        look(7, 8, 0, 1, 1 - held, 0); /* and nothing else afterwards */
        expect(LINEAR_ILLEGAL);
    }
}

static void what_a_reader_saw_survives(void **state)
{
    (void)state;
    begin(1, 0);
    no_answer(reserve(1, 2, 0, 1, 0, HF_OK));
    look(2, 3, 0, 1, 1, 0);
    add(LINEAR_RESTART, 4, 5)->life = 0;
    struct linear_call *after = look(6, 7, 0, 1, 1, 0);
    expect(LINEAR_LEGAL);
    after->stock[0] = (struct linear_stock){1, 0, 0, 1};
    expect(LINEAR_ILLEGAL);
}

/* ---- The search ---- */

static void a_search_that_is_too_long_says_so(void **state)
{
    (void)state;
    begin(100, 0);
    for (uint8_t i = 0; i < 12; i++) {
        reserve(1, 9, i, 1, 0, HF_OK);
    }
    look(10, 11, 0, 100, 11, 0);
    struct linear_report report;
    assert_int_equal(linear_check(&history, 1000, &report), LINEAR_UNDECIDED);
    assert_int_equal(report.states, 1000);
    expect(LINEAR_ILLEGAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_that_is_paid_and_returned_is_legal),
        cmocka_unit_test(an_order_that_is_made_twice_is_refused),
        cmocka_unit_test(a_commit_and_a_release_have_one_winner),
        cmocka_unit_test(an_answer_to_another_caller_is_refused),
        cmocka_unit_test(a_reader_that_sees_the_state_before_is_refused),
        cmocka_unit_test(two_readers_that_see_time_go_back_are_refused),
        cmocka_unit_test(an_answer_before_its_call_is_refused),
        cmocka_unit_test(other_contents_are_a_conflict),
        cmocka_unit_test(a_part_that_is_released_is_free),
        cmocka_unit_test(an_order_s_lsn_is_that_of_its_last_change),
        cmocka_unit_test(the_last_unit_sold_twice_is_refused),
        cmocka_unit_test(sold_out_while_units_are_free_is_refused),
        cmocka_unit_test(a_unit_that_was_given_back_is_free),
        cmocka_unit_test(sold_out_needs_one_moment_without_units),
        cmocka_unit_test(sold_out_for_units_of_an_order_that_is_refused_is_legal),
        cmocka_unit_test(half_an_order_is_never_seen),
        cmocka_unit_test(half_a_move_is_never_seen),
        cmocka_unit_test(a_split_line_is_not_refused_for_units_that_are_moved),
        cmocka_unit_test(a_lost_adjustment_is_refused),
        cmocka_unit_test(an_adjustment_takes_no_units_that_are_held),
        cmocka_unit_test(no_order_expires_early),
        cmocka_unit_test(no_order_is_paid_late),
        cmocka_unit_test(a_deadline_is_as_late_as_was_asked),
        cmocka_unit_test(what_was_answered_survives),
        cmocka_unit_test(what_has_no_answer_has_happened_or_not),
        cmocka_unit_test(what_a_reader_saw_survives),
        cmocka_unit_test(a_search_that_is_too_long_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
