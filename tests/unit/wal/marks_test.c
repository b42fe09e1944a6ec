/* marks_test.c - which LSN was reached at a time: never too late a one, and soon enough for its
 * age, however long the log. Expected values by looking through all that was ever added.
 *
 * Threads: one. SEED=n runs that seed alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/rng.h"
#include "wal/marks.h"

#define START_MS 1762790400000ull

static void marks_tell_the_last_lsn_at_or_before_a_time(void **state)
{
    (void)state;
    struct wal_marks marks = {0};
    assert_int_equal(wal_marks_lsn(&marks, UINT64_MAX), 0);
    wal_marks_add(&marks, 100, START_MS);
    wal_marks_add(&marks, 200, START_MS + WAL_MARKS_STEP_MS);
    assert_int_equal(wal_marks_lsn(&marks, START_MS - 1), 0);
    assert_int_equal(wal_marks_lsn(&marks, START_MS), 100);
    assert_int_equal(wal_marks_lsn(&marks, START_MS + WAL_MARKS_STEP_MS - 1), 100);
    assert_int_equal(wal_marks_lsn(&marks, START_MS + WAL_MARKS_STEP_MS), 200);
    assert_int_equal(wal_marks_lsn(&marks, UINT64_MAX), 200);
}

static void marks_are_a_step_apart_and_ascend(void **state)
{
    (void)state;
    struct wal_marks marks = {0};
    wal_marks_add(&marks, 100, START_MS);
    wal_marks_add(&marks, 200, START_MS + WAL_MARKS_STEP_MS - 1);
    assert_int_equal(marks.count, 1);
    wal_marks_add(&marks, 100, START_MS + WAL_MARKS_STEP_MS); /* no further than before */
    assert_int_equal(marks.count, 1);
    wal_marks_add(&marks, 300, START_MS - 5000); /* a clock that went back */
    assert_int_equal(marks.count, 1);
    wal_marks_add(&marks, 300, START_MS + WAL_MARKS_STEP_MS);
    assert_int_equal(marks.count, 2);
    wal_marks_init(&marks);
    assert_int_equal(wal_marks_lsn(&marks, UINT64_MAX), 0);
}

static void assert_ascending(const struct wal_marks *marks)
{
    assert_in_range(marks->count, 1, WAL_MARKS_MAX);
    for (uint32_t i = 1; i < marks->count; i++) {
        assert_true(marks->marks[i].lsn > marks->marks[i - 1].lsn);
        assert_true(marks->marks[i].engine_ms >= marks->marks[i - 1].engine_ms + WAL_MARKS_STEP_MS);
    }
}

/* An even log with LSN = ms: looking back any time gives an LSN that old, and at most a part of
 * that age and a step older. Adding goes on for a year in growing steps, so that all ages are met.
 */
static void look_back_is_as_exact_at_any_age(void **state)
{
    (void)state;
    static struct wal_marks marks;
    wal_marks_init(&marks);
    const uint64_t year_ms = 366ull * 24 * 3600 * 1000;
    for (uint64_t from = 0; from < year_ms;) {
        uint64_t step = from < 3600000 ? 50 : from / 20000;
        from += step;
        wal_marks_add(&marks, from, START_MS + from);
        if (from % 97 > 2 && from + step < year_ms) {
            continue;
        }
        assert_ascending(&marks);
        for (uint64_t age = 1; age < from; age = age * 3 / 2 + 1) {
            uint64_t lsn = wal_marks_lsn(&marks, START_MS + from - age);
            uint64_t slack = age / WAL_MARKS_PART + age / WAL_MARKS_PART / 8 + 2 * step + 300;
            assert_true(lsn <= from - age);
            assert_true(lsn + slack >= from - age);
        }
    }
}

/* Bursts, silences and clocks that jump: what is said was always true. */
static void marks_never_promise_too_much(void **state)
{
    (void)state;
    enum { ADDED = 20000 };
    static uint64_t lsns[ADDED];
    static uint64_t times[ADDED];
    uint64_t seed = rng_seed_from_env(1);
    struct rng rng;
    rng_init(&rng, seed);
    static struct wal_marks marks;
    static struct wal_marks resumed;
    wal_marks_init(&marks);
    uint64_t lsn = 0;
    uint64_t now = START_MS;
    for (unsigned i = 0; i < ADDED; i++) {
        lsn += rng_below(&rng, 1000);
        now += rng_chance(&rng, 100) ? rng_below(&rng, 100000000) : rng_below(&rng, 300);
        now -= rng_chance(&rng, 200) ? rng_below(&rng, 5000) : 0;
        lsns[i] = lsn;
        times[i] = now;
        if (i == ADDED / 2) {
            memcpy(&resumed, &marks, sizeof marks);
        }
        if (i >= ADDED / 2) {
            wal_marks_add(&resumed, lsn, now);
        }
        wal_marks_add(&marks, lsn, now);
    }
    assert_ascending(&marks);
    assert_memory_equal(&marks, &resumed, sizeof marks);
    for (uint32_t i = 0; i < marks.count; i++) {
        unsigned at = 0;
        while (at < ADDED && lsns[at] != marks.marks[i].lsn) {
            at++;
        }
        while (at + 1 < ADDED && times[at] != marks.marks[i].engine_ms) {
            at++;
        }
        if (at == ADDED || lsns[at] != marks.marks[i].lsn ||
            times[at] != marks.marks[i].engine_ms) {
            fail_msg("SEED=%llu: mark %u was never added", (unsigned long long)seed, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_tell_the_last_lsn_at_or_before_a_time),
        cmocka_unit_test(marks_are_a_step_apart_and_ascend),
        cmocka_unit_test(look_back_is_as_exact_at_any_age),
        cmocka_unit_test(marks_never_promise_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
