/* repeat_test.c - operations on orders in every state, with every kind of quantities: what is asked
 * is held against the order first, then against what was done before.
 *
 * The cells are docs/protocol.md's, under "Commit, release, return". Each is tried with a plain
 * order and with one that is told by its grants, as it was made and after its log was replayed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/core_rig.h"

#define NOW      1000000u
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Orders of 5 units in line 1 and 2 in line 2, and what was done to them. */
enum made {
    NONE,
    HELD,
    HELD_LESS, /* two units of line 1 were released */
    PAID,
    PAID_LESS, /* two units of line 1 were released before */
    PAID_PART, /* three units of line 1, no more */
    PAID_BACK, /* one unit of line 1 was returned since */
    RELEASED,
    EXPIRED,
    EXPIRED_LESS,
    RETURNED,
    PAID_LATE, /* three units of line 1, after it had expired */
    MADE,
};

static const char *const made_names[MADE] = {
    "none",       "held",          "held, less",      "paid",
    "paid, less", "paid in part",  "paid, some back", "released",
    "expired",    "expired, less", "returned",        "paid late, in part"};

enum operation { COMMIT, LATE, RELEASE, RETURN, EXTEND };

/* What becomes of a request. */
enum { OK, RE, IN, CO, NF, NC, AC, AR, EX };

static const struct {
    enum hf_status status;
    bool replayed;
} answers[] = {
    [OK] = {HF_OK, false},
    [RE] = {HF_OK, true},
    [IN] = {HF_INVALID, false},
    [CO] = {HF_ID_CONFLICT, false},
    [NF] = {HF_NOT_FOUND, false},
    [NC] = {HF_NOT_COMMITTED, false},
    [AC] = {HF_ALREADY_COMMITTED, false},
    [AR] = {HF_ALREADY_RELEASED, false},
    [EX] = {HF_EXPIRED, false},
};

#define ALL_INVALID                                                                                \
    {                                                                                              \
        NF, IN, IN, IN, IN, IN, IN, IN, IN, IN, IN, IN                                             \
    }

/* In the order of enum made. */
static const struct {
    enum operation operation;
    uint32_t line_count;
    struct line_qty lines[2];
    uint8_t answer[MADE];
} rows[] = {
    {COMMIT, 0, {{0}}, {NF, OK, OK, RE, RE, CO, RE, AR, EX, EX, RE, CO}},
    {COMMIT, 2, {{1, 5}, {2, 2}}, {NF, OK, IN, RE, IN, CO, RE, AR, EX, IN, RE, CO}},
    {COMMIT, 2, {{2, 2}, {1, 5}}, {NF, OK, IN, RE, IN, CO, RE, AR, EX, IN, RE, CO}},
    {COMMIT, 2, {{1, 3}, {2, 2}}, {NF, OK, OK, CO, RE, CO, CO, AR, EX, EX, CO, CO}},
    {COMMIT, 1, {{1, 3}}, {NF, OK, OK, CO, CO, RE, CO, AR, EX, EX, CO, RE}},
    {COMMIT, 2, {{1, 3}, {2, 0}}, {NF, OK, OK, CO, CO, RE, CO, AR, EX, EX, CO, RE}},
    {COMMIT, 1, {{1, 2}}, {NF, OK, OK, CO, CO, CO, CO, AR, EX, EX, CO, CO}},
    {COMMIT, 1, {{1, 4}}, {NF, OK, IN, CO, IN, CO, CO, AR, EX, IN, CO, CO}},
    {COMMIT, 1, {{2, 2}}, {NF, OK, OK, CO, CO, CO, CO, AR, EX, EX, CO, CO}},
    {COMMIT, 1, {{1, 6}}, ALL_INVALID},
    {COMMIT, 1, {{1, 99}}, ALL_INVALID},
    {COMMIT, 1, {{1, UINT32_MAX}}, ALL_INVALID},
    {COMMIT, 2, {{1, 3}, {2, 3}}, ALL_INVALID},
    {COMMIT, 1, {{3, 1}}, ALL_INVALID},
    {COMMIT, 1, {{0, 1}}, ALL_INVALID},
    {COMMIT, 1, {{UINT32_MAX, 1}}, ALL_INVALID},
    {COMMIT, 2, {{1, 3}, {1, 3}}, ALL_INVALID},
    {COMMIT, 1, {{1, 0}}, ALL_INVALID},
    {COMMIT, 2, {{1, 0}, {2, 0}}, ALL_INVALID},

    {LATE, 0, {{0}}, {NF, OK, OK, RE, RE, CO, RE, AR, OK, OK, RE, CO}},
    {LATE, 1, {{1, 3}}, {NF, OK, OK, CO, CO, RE, CO, AR, OK, OK, CO, RE}},
    {LATE, 1, {{1, 4}}, {NF, OK, IN, CO, IN, CO, CO, AR, OK, IN, CO, CO}},
    {LATE, 1, {{1, 6}}, ALL_INVALID},
    {LATE, 1, {{3, 1}}, ALL_INVALID},
    {LATE, 1, {{1, 0}}, ALL_INVALID},

    {RELEASE, 0, {{0}}, {NF, OK, OK, AC, AC, AC, AC, RE, RE, RE, AC, AC}},
    {RELEASE, 1, {{1, 1}}, {NF, OK, RE, AC, RE, AC, AC, RE, RE, RE, AC, AC}},
    {RELEASE, 1, {{1, 2}}, {NF, OK, RE, AC, RE, AC, AC, RE, RE, RE, AC, AC}},
    {RELEASE, 1, {{1, 3}}, {NF, OK, OK, AC, AC, AC, AC, RE, RE, RE, AC, AC}},
    {RELEASE, 2, {{1, 2}, {2, 1}}, {NF, OK, OK, AC, AC, AC, AC, RE, RE, RE, AC, AC}},
    {RELEASE, 2, {{1, 5}, {2, 2}}, {NF, OK, OK, AC, AC, AC, AC, RE, RE, RE, AC, AC}},
    {RELEASE, 1, {{1, 0}}, {NF, RE, RE, RE, RE, RE, RE, RE, RE, RE, RE, RE}},
    {RELEASE, 1, {{1, 6}}, ALL_INVALID},
    {RELEASE, 2, {{1, 1}, {2, 3}}, ALL_INVALID},
    {RELEASE, 1, {{3, 1}}, ALL_INVALID},
    {RELEASE, 1, {{0, 1}}, ALL_INVALID},
    {RELEASE, 2, {{2, 1}, {2, 1}}, ALL_INVALID},

    {RETURN, 0, {{0}}, {NF, NC, NC, OK, OK, OK, OK, AR, EX, EX, RE, OK}},
    {RETURN, 1, {{1, 1}}, {NF, NC, NC, OK, OK, OK, RE, AR, EX, EX, RE, OK}},
    {RETURN, 1, {{1, 3}}, {NF, NC, NC, OK, OK, OK, OK, AR, EX, EX, RE, OK}},
    {RETURN, 1, {{1, 4}}, {NF, NC, IN, OK, IN, IN, OK, AR, EX, IN, RE, IN}},
    {RETURN, 1, {{2, 2}}, {NF, NC, NC, OK, OK, IN, OK, AR, EX, EX, RE, IN}},
    {RETURN, 1, {{1, 0}}, {NF, NC, NC, RE, RE, RE, RE, AR, EX, EX, RE, RE}},
    {RETURN, 1, {{1, 6}}, ALL_INVALID},
    {RETURN, 1, {{2, 3}}, ALL_INVALID},
    {RETURN, 1, {{3, 1}}, ALL_INVALID},
    {RETURN, 1, {{0, 1}}, ALL_INVALID},
    {RETURN, 2, {{1, 1}, {1, 1}}, ALL_INVALID},

    /* `qty` is the time. */
    {EXTEND, 1, {{0, 3000}}, {NF, OK, OK, AC, AC, AC, AC, AR, EX, EX, AC, AC}},
    {EXTEND, 1, {{0, 5001}}, ALL_INVALID},
};

/* ---- Orders ---- */

struct scene {
    struct rig rig;
    struct inventory_options options;
    bool shaped;
};

/* Plain, or with line 1 from two items: the grants of its lines are 3 + 2 and 2. */
static struct order_outcome reserve(struct scene *s)
{
    static const uint32_t other = 3;
    static const struct order_line lines[2] = {{1, 5}, {2, 2}};
    static const struct line_shape shapes[2] = {
        {.policy = LINE_ALL, .split = true, .fallback_count = 1, .fallbacks = &other},
        {.policy = LINE_ALL}};
    struct order_request request = {.id = {0xB0, 1},
                                    .buyer = 7,
                                    .line_count = 2,
                                    .lines = lines,
                                    .shapes = s->shaped ? shapes : NULL};
    struct order_outcome outcome;
    RIG_RUN(&s->rig, inventory_reserve(s->rig.txn, &request, &outcome));
    return outcome;
}

static struct order_outcome operate(struct scene *s, enum operation operation,
                                    const struct line_qty *lines, uint32_t count)
{
    struct order_outcome outcome;
    struct order_edit edit = {
        .id = {0xB0, 1}, .late_ok = operation == LATE, .line_count = count, .lines = lines};
    switch (operation) {
    case COMMIT:
    case LATE:
        RIG_RUN(&s->rig, inventory_commit(s->rig.txn, &edit, &outcome));
        break;
    case RELEASE:
        RIG_RUN(&s->rig, inventory_release(s->rig.txn, &edit, &outcome));
        break;
    case RETURN:
        RIG_RUN(&s->rig, inventory_return(s->rig.txn, &edit, &outcome));
        break;
    default:
        outcome = rig_extend(&s->rig, 1, lines[0].qty);
    }
    return outcome;
}

static void must(struct scene *s, enum operation operation, uint32_t line, uint32_t qty)
{
    struct line_qty lines = {line, qty};
    struct order_outcome outcome = operate(s, operation, &lines, line != 0);
    assert_int_equal(outcome.status, HF_OK);
    assert_false(outcome.replayed);
}

static void expire(struct scene *s)
{
    s->rig.txn->now_ms += 1000;
    rig_expire(&s->rig);
}

static void bring(struct scene *s, enum made made)
{
    if (made != NONE) {
        assert_int_equal(reserve(s).status, HF_OK);
    }
    if (made == HELD_LESS || made == PAID_LESS || made == EXPIRED_LESS) {
        must(s, RELEASE, 1, 2);
    }
    if (made == PAID || made == PAID_LESS || made == PAID_BACK || made == RETURNED) {
        must(s, COMMIT, 0, 0);
    }
    if (made == RELEASED) {
        must(s, RELEASE, 0, 0);
    }
    if (made == EXPIRED || made == EXPIRED_LESS || made == PAID_LATE) {
        expire(s);
    }
    if (made == PAID_PART || made == PAID_LATE) {
        must(s, made == PAID_LATE ? LATE : COMMIT, 1, 3);
    }
    if (made == PAID_BACK) {
        must(s, RETURN, 1, 1);
    }
    if (made == RETURNED) {
        must(s, RETURN, 0, 0);
    }
}

static void open_scene(struct scene *s, bool shaped, bool recovered, enum made made)
{
    *s = (struct scene){.options = rig_options(64), .shaped = shaped};
    rig_open(&s->rig, &s->options);
    rig_item(&s->rig, "a", shaped ? 3 : 10);
    rig_item(&s->rig, "b", 10);
    rig_item(&s->rig, "c", 10);
    bring(s, made);
    if (recovered) {
        rig_recover(&s->rig, &s->options);
    }
}

static void close_scene(struct scene *s)
{
    rig_check(&s->rig);
    rig_close(&s->rig);
}

/* ---- The table ---- */

static void try_cell(struct scene *s, size_t row, enum made made)
{
    uint32_t records = s->rig.log_count;
    enum order_state before = rig_state(&s->rig, 1);
    struct order_outcome outcome =
        operate(s, rows[row].operation, rows[row].lines, rows[row].line_count);
    unsigned wanted = rows[row].answer[made];
    if (outcome.status != answers[wanted].status || outcome.replayed != answers[wanted].replayed) {
        fail_msg("row %zu, order that is %s, %s: status %s, %s, wanted %s", row, made_names[made],
                 s->shaped ? "shaped" : "plain", hf_status_name(outcome.status),
                 outcome.replayed ? "replayed" : "not replayed",
                 hf_status_name(answers[wanted].status));
    }
    assert_int_equal(outcome.state, rig_state(&s->rig, 1));
    if (wanted != OK) {
        assert_int_equal(s->rig.log_count, records);
        assert_int_equal(rig_state(&s->rig, 1), before);
        return;
    }
    assert_int_equal(s->rig.log_count, records + 1);
    /* Whatever was done: the same again changes nothing. */
    outcome = operate(s, rows[row].operation, rows[row].lines, rows[row].line_count);
    assert_int_equal(outcome.status, HF_OK);
    assert_true(outcome.replayed);
    assert_int_equal(s->rig.log_count, records + 1);
}

static void repeat_answers_each_cell_of_the_table(void **state)
{
    (void)state;
    for (unsigned variant = 0; variant < 4; variant++) {
        for (size_t row = 0; row < COUNT(rows); row++) {
            for (unsigned made = NONE; made < MADE; made++) {
                struct scene s;
                open_scene(&s, variant & 1, variant & 2, (enum made)made);
                try_cell(&s, row, (enum made)made);
                close_scene(&s);
            }
        }
    }
}

/* ---- What a conflict says ---- */

static void repeat_conflict_says_what_was_committed(void **state)
{
    (void)state;
    static const struct {
        enum made made;
        struct line_qty lines;
        const char *reason;
    } cases[] = {
        {PAID, {1, 4}, "it was committed with other quantities: line 1: 5, line 2: 2"},
        {PAID_LESS, {1, 2}, "it was committed with other quantities: line 1: 3, line 2: 2"},
        {PAID_PART, {1, 4}, "it was committed with other quantities: line 1: 3, line 2: 0"},
        {PAID_BACK, {1, 4}, "it was committed with other quantities: line 1: 5, line 2: 2"},
        {RETURNED, {2, 1}, "it was committed with other quantities: line 1: 5, line 2: 2"},
    };
    for (unsigned shaped = 0; shaped < 2; shaped++) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            struct scene s;
            open_scene(&s, shaped, false, cases[i].made);
            struct order_outcome outcome = operate(&s, COMMIT, &cases[i].lines, 1);
            assert_int_equal(outcome.status, HF_ID_CONFLICT);
            assert_string_equal(outcome.reason, cases[i].reason);
            assert_int_equal(outcome.blocking_line, 0);
            close_scene(&s);
        }
    }
}

static void repeat_conflict_of_a_long_order_says_how_many_lines_more(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "a", 1000000);
    static struct order_line lines[ORDER_LINES_MAX];
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct order_line){1, 10};
    }
    assert_int_equal(rig_reserve_lines(&rig, 1, lines, ORDER_LINES_MAX, 0).status, HF_OK);
    assert_int_equal(rig_edit(&rig, inventory_commit, 1, NULL, 0).status, HF_OK);
    struct line_qty part = {1, 9};
    struct order_outcome outcome = rig_edit(&rig, inventory_commit, 1, &part, 1);
    assert_int_equal(outcome.status, HF_ID_CONFLICT);
    assert_non_null(strstr(outcome.reason, ": line 1: 10, line 2: 10, "));
    unsigned long told = 0;
    for (const char *at = outcome.reason; (at = strstr(at, "line ")) != NULL; at++) {
        told++;
    }
    unsigned long more = strtoul(strstr(outcome.reason, ", and ") + 6, NULL, 10);
    assert_int_equal(told + more, ORDER_LINES_MAX);
    assert_non_null(strstr(outcome.reason, " more lines"));
    rig_close(&rig);
}

/* ---- Reserve again ---- */

static uint32_t granted(const struct order_outcome *outcome, uint32_t line)
{
    uint32_t qty = 0;
    for (uint32_t i = 0; i < outcome->grant_count; i++) {
        qty += outcome->grants[i].line == line ? outcome->grants[i].qty : 0;
    }
    return qty;
}

/* Units of lines 1 and 2 that the order has now. */
static void check_again(struct scene *s, enum order_state state, uint32_t one, uint32_t two)
{
    uint32_t records = s->rig.log_count;
    struct order_outcome outcome = reserve(s);
    assert_int_equal(outcome.status, HF_OK);
    assert_true(outcome.replayed);
    assert_int_equal(outcome.state, state);
    assert_int_equal(s->rig.log_count, records);
    assert_int_equal(outcome.deadline_ms, rig_order(&s->rig, 1, NULL, 0).deadline_ms);
    bool all = one == 5 && two == 2 && !s->shaped;
    assert_int_equal(granted(&outcome, 1), all ? 0 : one);
    assert_int_equal(granted(&outcome, 2), all ? 0 : two);
    for (uint32_t i = 0; i < outcome.grant_count; i++) {
        assert_true(outcome.grants[i].qty > 0);
    }
}

static void repeat_of_a_reserve_tells_what_the_order_is_now(void **state)
{
    (void)state;
    static const struct {
        enum order_state state;
        uint32_t one;
        uint32_t two;
    } now[MADE] = {
        [HELD] = {ORDER_HELD, 5, 2},
        [HELD_LESS] = {ORDER_HELD, 3, 2},
        [PAID] = {ORDER_COMMITTED, 5, 2},
        [PAID_LESS] = {ORDER_COMMITTED, 3, 2},
        [PAID_PART] = {ORDER_COMMITTED, 3, 0},
        [PAID_BACK] = {ORDER_COMMITTED, 4, 2},
        [RELEASED] = {ORDER_RELEASED, 0, 0},
        [EXPIRED] = {ORDER_EXPIRED, 0, 0},
        [EXPIRED_LESS] = {ORDER_EXPIRED, 0, 0},
        [RETURNED] = {ORDER_RETURNED, 0, 0},
        [PAID_LATE] = {ORDER_COMMITTED, 3, 0},
    };
    for (unsigned variant = 0; variant < 4; variant++) {
        for (unsigned made = HELD; made < MADE; made++) {
            struct scene s;
            open_scene(&s, variant & 1, variant & 2, (enum made)made);
            check_again(&s, now[made].state, now[made].one, now[made].two);
            close_scene(&s);
        }
    }
}

static void repeat_of_a_reserve_tells_the_present_deadline(void **state)
{
    (void)state;
    for (unsigned shaped = 0; shaped < 2; shaped++) {
        struct scene s;
        open_scene(&s, shaped, false, HELD);
        assert_int_equal(reserve(&s).deadline_ms, NOW + 1000);
        assert_int_equal(rig_extend(&s.rig, 1, 4000).status, HF_OK);
        assert_int_equal(reserve(&s).deadline_ms, NOW + 4000);
        must(&s, COMMIT, 0, 0);
        assert_int_equal(reserve(&s).deadline_ms, NOW + 4000);
        close_scene(&s);
    }
}

/* ---- Adjustments ---- */

static void check_adjusted(struct rig *rig, const struct adjustment *asked, enum hf_status wanted,
                           bool replay)
{
    uint32_t records = rig->log_count;
    bool replayed = false;
    enum hf_status status = inventory_adjust(rig->txn, asked, &replayed);
    rig_publish(rig);
    assert_int_equal(status, wanted);
    assert_int_equal(replayed, replay);
    assert_int_equal(rig->log_count, records + (wanted == HF_OK && !replay));
}

static void repeat_of_an_adjustment_is_held_against_what_was_done(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "a", 10);
    rig_item(&rig, "b", 10);
    const struct adjustment first = {.id = {0xAA, 1},
                                     .item = 1,
                                     .delta = 5,
                                     .has_expected = true,
                                     .expected = 10,
                                     .reason = bytes_of("in"),
                                     .reference = bytes_of("x1")};
    check_adjusted(&rig, &first, HF_OK, false);
    struct adjustment same[4] = {first, first, first, first};
    same[1].has_expected = false;
    same[2].force = true;
    same[3].has_set_to = true;
    same[3].set_to = 15;
    struct adjustment other[8] = {first, first, first, first, first, first, first, first};
    other[0].item = 2;
    other[1].delta = 6;
    other[2].delta = -5;
    other[3].has_set_to = true;
    other[3].set_to = 5;
    other[4].expected = 15;
    other[5].reason = bytes_of("out");
    other[6].reference = bytes_of("x2");
    other[7].reason = bytes_of("inx1");
    other[7].reference = bytes_of("");
    for (unsigned recovered = 0; recovered < 2; recovered++) {
        for (size_t i = 0; i < COUNT(same); i++) {
            check_adjusted(&rig, &same[i], HF_OK, true);
        }
        for (size_t i = 0; i < COUNT(other); i++) {
            check_adjusted(&rig, &other[i], HF_ID_CONFLICT, false);
        }
        assert_int_equal(rig_stock(&rig, 1).stocked, 15);
        rig_recover(&rig, &options);
    }
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- What older engines let in ---- */

static void repeat_log_with_an_id_of_all_zeros_is_replayed(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "a", 10);
    struct order_line line = {1, 2};
    struct order_request request = {.line_count = 1, .lines = &line};
    struct order_outcome outcome;
    RIG_RUN(&rig, inventory_reserve(rig.txn, &request, &outcome));
    assert_int_equal(outcome.status, HF_OK);
    rig_recover(&rig, &options);
    assert_int_equal(rig_stock(&rig, 1).held, 2);
    rig.txn->now_ms += 1000;
    rig_expire(&rig);
    assert_int_equal(rig_stock(&rig, 1).held, 0);
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- What older logs are compared with ---- */

/* Engines before this one added what a commit left out to what had been released. Their logs hold
 * digests of that: so the digest must not tell the two ways to the same sale from each other. */
static void repeat_digest_does_not_tell_left_out_units_from_released_ones(void **state)
{
    (void)state;
    uint64_t digests[2][3];
    for (unsigned way = 0; way < 2; way++) {
        struct rig rig;
        struct inventory_options options = rig_options(64);
        rig_open(&rig, &options);
        uint32_t item = rig_item(&rig, "a", 100);
        struct order_line lines[2] = {{item, 5}, {item, 4}};
        rig_reserve_lines(&rig, 1, lines, 2, 1000);
        if (way == 0) {
            rig_edit(&rig, inventory_release, 1, &(struct line_qty){1, 2}, 1);
            rig_edit(&rig, inventory_commit, 1, NULL, 0);
        } else {
            rig_edit(&rig, inventory_commit, 1, (struct line_qty[]){{1, 3}, {2, 4}}, 2);
        }
        digests[way][0] = inventory_digest(rig.inventory);
        rig_edit(&rig, inventory_return, 1, &(struct line_qty){1, 1}, 1);
        digests[way][1] = inventory_digest(rig.inventory);
        rig_edit(&rig, inventory_return, 1, NULL, 0);
        digests[way][2] = inventory_digest(rig.inventory);
        assert_int_equal(rig_state(&rig, 1), ORDER_RETURNED);
        rig_check(&rig);
        rig_close(&rig);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(digests[0][i], digests[1][i]);
    }
    assert_int_not_equal(digests[0][0], digests[0][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeat_answers_each_cell_of_the_table),
        cmocka_unit_test(repeat_conflict_says_what_was_committed),
        cmocka_unit_test(repeat_conflict_of_a_long_order_says_how_many_lines_more),
        cmocka_unit_test(repeat_of_a_reserve_tells_what_the_order_is_now),
        cmocka_unit_test(repeat_of_a_reserve_tells_the_present_deadline),
        cmocka_unit_test(repeat_of_an_adjustment_is_held_against_what_was_done),
        cmocka_unit_test(repeat_log_with_an_id_of_all_zeros_is_replayed),
        cmocka_unit_test(repeat_digest_does_not_tell_left_out_units_from_released_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
