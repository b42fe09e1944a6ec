/* transition_test.c - which events fit an order, and what they make of it: each state with each
 * event and each quantity, against the state table and the sums of docs/design.md, States. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/transition.h"

#define LINES 2u

static const enum order_state states[] = {ORDER_HELD, ORDER_COMMITTED, ORDER_RELEASED,
                                          ORDER_EXPIRED, ORDER_RETURNED};
static const enum event_type events[] = {EVENT_ORDER_COMMITTED, EVENT_ORDER_RELEASED,
                                         EVENT_ORDER_EXPIRED, EVENT_ORDER_EXTENDED,
                                         EVENT_ORDER_RETURNED};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* An order of two lines, with a block; something of each line is gone in every state. */
struct two {
    struct order order;
    struct order_line_view lines[LINES];
};

static void two_init(struct two *two, enum order_state state)
{
    *two = (struct two){
        .order = {.id = {1, 2},
                  .buyer = 7,
                  .deadline_ms = 1000,
                  .line_count = LINES,
                  .state = (uint8_t)state,
                  .flags = ORDER_BLOCK},
        .lines = {{.item = 1, .qty = 5, .line = 1, .counted = true, .presale_qty = 3},
                  {.item = 2, .qty = 4, .line = 2}},
    };
    two->order.lines = two->lines;
    two->lines[0].released = 1;
    if (state == ORDER_RELEASED) {
        two->lines[0].released = 5;
        two->lines[1].released = 4;
    } else if (state == ORDER_COMMITTED || state == ORDER_RETURNED) {
        two->lines[0].committed = 4;
        two->lines[1].committed = 3;
        two->lines[0].returned = state == ORDER_RETURNED ? 4 : 1;
        two->lines[1].returned = state == ORDER_RETURNED ? 3 : 0;
    }
}

/* The state table: COMMIT of a held order, or late of an expired one; RELEASE, EXPIRE and EXTEND of
 * a held one; RETURN of a committed one. */
static bool in_the_table(enum order_state state, enum event_type event, bool late)
{
    if (event == EVENT_ORDER_COMMITTED) {
        return state == (late ? ORDER_EXPIRED : ORDER_HELD);
    }
    return state == (event == EVENT_ORDER_RETURNED ? ORDER_COMMITTED : ORDER_HELD);
}

static void transition_fits_the_state_table_alone(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(states); s++) {
        for (size_t e = 0; e < COUNT(events); e++) {
            for (unsigned late = 0; late < 2; late++) {
                struct two two;
                two_init(&two, states[s]);
                struct event event = {.type = events[e],
                                      .flags = late ? EVENT_LATE : 0,
                                      .deadline_ms = 2000,
                                      .line_count = LINES};
                bool fits = transition_misfit(&two.order, &event) == NULL;
                assert_int_equal(fits, in_the_table(states[s], events[e], late));
            }
        }
    }
}

/* Whether `qty` may stand for one line: within what it has, and not less than before. */
static bool line_takes(const struct order_line_view *line, enum event_type event, uint32_t qty)
{
    switch (event) {
    case EVENT_ORDER_COMMITTED:
        return qty <= line->qty - line->released;
    case EVENT_ORDER_RELEASED:
        return qty >= line->released && qty <= line->qty;
    default:
        return qty >= line->returned && qty <= line->committed;
    }
}

static bool line_changes(const struct order_line_view *line, enum event_type event, uint32_t qty)
{
    return qty != (event == EVENT_ORDER_COMMITTED  ? 0
                   : event == EVENT_ORDER_RELEASED ? line->released
                                                   : line->returned);
}

static int64_t live(const struct order_line_view *line, enum order_state state)
{
    bool paid = state == ORDER_COMMITTED || state == ORDER_RETURNED;
    return paid                  ? (int64_t)line->committed - line->returned
           : state == ORDER_HELD ? (int64_t)line->qty - line->released
                                 : 0;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What a fitting event makes of the order. */
static void check_applied(struct two *two, const struct event *event, enum order_state expected)
{
    enum order_state before = (enum order_state)two->order.state;
    struct order_line_view old[LINES] = {two->lines[0], two->lines[1]};
    struct line_counts counts[LINES] = {transition_counts(&two->order, event, 0),
                                        transition_counts(&two->order, event, 1)};
    uint64_t digest_before = order_digest(&two->order);
    uint64_t delta = transition_digest(&two->order, event);
    two->order.flags |= ORDER_BUSY;

    transition_apply(&two->order, event, NULL);

    assert_int_equal(two->order.state, expected);
    assert_int_equal(two->order.lsn, event->lsn);
    assert_int_equal(two->order.flags & ORDER_BUSY, 0);
    uint64_t units = 0;
    for (uint32_t i = 0; i < LINES; i++) {
        const struct order_line_view *line = &two->lines[i];
        int64_t was = live(&old[i], before);
        int64_t is = live(line, expected);
        assert_int_equal(counts[i].counted, i == 0 ? is - was : 0);
        assert_int_equal(counts[i].presale, i == 0 ? least(is, 3) - least(was, 3) : 0);
        units += digest_units(line->item, (struct line_units){expected == ORDER_HELD ? is : 0,
                                                              expected == ORDER_HELD ? 0 : is}) -
                 digest_units(line->item, (struct line_units){before == ORDER_HELD ? was : 0,
                                                              before == ORDER_HELD ? 0 : was});
    }
    assert_true(delta == order_digest(&two->order) - digest_before + units);
}

static void check_quantities(enum order_state from, enum event_type type, uint32_t a, uint32_t b)
{
    struct two two;
    two_init(&two, from);
    uint32_t quantities[LINES] = {a, b};
    struct event event = {.type = type,
                          .flags = from == ORDER_EXPIRED ? EVENT_LATE : 0,
                          .line_count = LINES,
                          .quantities = quantities,
                          .lsn = 99};
    bool fits = line_takes(&two.lines[0], type, a) && line_takes(&two.lines[1], type, b) &&
                (line_changes(&two.lines[0], type, a) || line_changes(&two.lines[1], type, b));
    assert_int_equal(transition_misfit(&two.order, &event) == NULL, fits);
    if (!fits) {
        return;
    }
    struct order_line_view old[LINES] = {two.lines[0], two.lines[1]};
    bool all = type == EVENT_ORDER_RETURNED ? a == old[0].committed && b == old[1].committed
                                            : a == old[0].qty && b == old[1].qty;
    enum order_state expected = type == EVENT_ORDER_COMMITTED  ? ORDER_COMMITTED
                                : type == EVENT_ORDER_RELEASED ? all ? ORDER_RELEASED : ORDER_HELD
                                : all                          ? ORDER_RETURNED
                                                               : ORDER_COMMITTED;
    check_applied(&two, &event, expected);
    for (uint32_t i = 0; i < LINES; i++) {
        const struct order_line_view *line = &two.lines[i];
        assert_int_equal(line->qty, old[i].qty);
        assert_int_equal(line->committed,
                         type == EVENT_ORDER_COMMITTED ? quantities[i] : old[i].committed);
        assert_int_equal(line->released,
                         type == EVENT_ORDER_RELEASED ? quantities[i] : old[i].released);
        assert_int_equal(line->returned,
                         type == EVENT_ORDER_RETURNED ? quantities[i] : old[i].returned);
    }
}

static void transition_takes_quantities_within_the_lines(void **state)
{
    (void)state;
    static const struct {
        enum order_state from;
        enum event_type type;
    } cases[] = {{ORDER_HELD, EVENT_ORDER_COMMITTED},
                 {ORDER_EXPIRED, EVENT_ORDER_COMMITTED},
                 {ORDER_HELD, EVENT_ORDER_RELEASED},
                 {ORDER_COMMITTED, EVENT_ORDER_RETURNED}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (uint32_t a = 0; a <= 7; a++) {
            for (uint32_t b = 0; b <= 6; b++) {
                check_quantities(cases[i].from, cases[i].type, a == 7 ? UINT32_MAX : a, b);
            }
        }
    }
}

static void transition_refuses_quantities_that_are_not_one_a_line(void **state)
{
    (void)state;
    uint32_t quantities[LINES + 1] = {2, 1, 1};
    for (uint32_t count = 0; count <= LINES + 1; count++) {
        struct two two;
        two_init(&two, ORDER_HELD);
        struct event event = {
            .type = EVENT_ORDER_RELEASED, .line_count = count, .quantities = quantities};
        assert_int_equal(transition_misfit(&two.order, &event) == NULL, count == LINES);
    }
    struct two two;
    two_init(&two, ORDER_HELD);
    struct event expired = {
        .type = EVENT_ORDER_EXPIRED, .line_count = LINES, .quantities = quantities};
    assert_non_null(transition_misfit(&two.order, &expired));
}

static void transition_extends_to_what_is_later_alone(void **state)
{
    (void)state;
    static const struct {
        uint64_t to_ms;
        bool fits;
    } cases[] = {{1000, false},
                 {1249, false},
                 {1250, false}, /* as it is */
                 {1251, true},
                 {1000 + (uint64_t)UINT32_MAX, true},
                 {1001 + (uint64_t)UINT32_MAX, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct two two;
        two_init(&two, ORDER_HELD);
        two.order.extended_ms = 250;
        struct event event = {.type = EVENT_ORDER_EXTENDED,
                              .deadline_ms = cases[i].to_ms,
                              .line_count = LINES,
                              .lsn = 5};
        assert_int_equal(transition_misfit(&two.order, &event) == NULL, cases[i].fits);
        if (cases[i].fits) {
            check_applied(&two, &event, ORDER_HELD);
            assert_int_equal(order_deadline(&two.order), cases[i].to_ms);
            assert_int_equal(two.order.deadline_ms, 1000);
        }
    }
}

static void transition_of_all_leaves_nothing_over(void **state)
{
    (void)state;
    static const struct {
        enum order_state from;
        enum event_type type;
        enum order_state to;
        int64_t live;
    } cases[] = {{ORDER_HELD, EVENT_ORDER_COMMITTED, ORDER_COMMITTED, 4 + 4},
                 {ORDER_EXPIRED, EVENT_ORDER_COMMITTED, ORDER_COMMITTED, 4 + 4},
                 {ORDER_HELD, EVENT_ORDER_RELEASED, ORDER_RELEASED, 0},
                 {ORDER_HELD, EVENT_ORDER_EXPIRED, ORDER_EXPIRED, 0},
                 {ORDER_COMMITTED, EVENT_ORDER_RETURNED, ORDER_RETURNED, 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct two two;
        two_init(&two, cases[i].from);
        struct event event = {.type = cases[i].type,
                              .flags = cases[i].from == ORDER_EXPIRED ? EVENT_LATE : 0,
                              .line_count = LINES,
                              .lsn = 3};
        assert_null(transition_misfit(&two.order, &event));
        check_applied(&two, &event, cases[i].to);
        assert_int_equal(live(&two.lines[0], cases[i].to) + live(&two.lines[1], cases[i].to),
                         cases[i].live);
    }
}

/* A one-line order has nothing but its state, until something is told of a part of it. */
static void transition_gives_a_block_to_a_part_of_one_line(void **state)
{
    (void)state;
    for (uint32_t qty = 1; qty <= 5; qty++) {
        struct order order = {0};
        struct event held = {.type = EVENT_ORDER_HELD,
                             .flags = EVENT_COUNTED,
                             .id = {1, 2},
                             .buyer = 7,
                             .deadline_ms = 1000,
                             .line_count = 1,
                             .one = {.item = 1, .qty = 5}};
        assert_false(transition_enters_block(&held));
        order.id = held.id;
        order.state = ORDER_HELD;
        transition_enter(&order, &held, NULL);
        assert_true(transition_held_digest(&held) ==
                    order_digest(&order) + digest_units(1, (struct line_units){5, 0}));
        struct event event = {
            .type = EVENT_ORDER_COMMITTED, .line_count = 1, .quantities = &qty, .lsn = 9};
        assert_null(transition_misfit(&order, &event));
        assert_int_equal(transition_needs_block(&order, &event), qty != 5);
        uint64_t before = order_digest(&order);
        uint64_t delta = transition_digest(&order, &event);
        struct order_line_view block[1];
        transition_apply(&order, &event, qty != 5 ? block : NULL);
        struct order_line_view line = transition_line(&order, 0);
        assert_int_equal(line.qty, 5);
        assert_int_equal(line.committed, qty);
        assert_int_equal(line.released, 0);
        assert_int_equal(line.line, 1);
        assert_true(line.counted);
        uint64_t units = digest_units(1, (struct line_units){0, qty}) -
                         digest_units(1, (struct line_units){5, 0});
        assert_true(delta == order_digest(&order) - before + units);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transition_fits_the_state_table_alone),
        cmocka_unit_test(transition_takes_quantities_within_the_lines),
        cmocka_unit_test(transition_refuses_quantities_that_are_not_one_a_line),
        cmocka_unit_test(transition_extends_to_what_is_later_alone),
        cmocka_unit_test(transition_of_all_leaves_nothing_over),
        cmocka_unit_test(transition_gives_a_block_to_a_part_of_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
