/* write_time_test.c - how long an answer will wait for the log, from the times of its writes. */
#include "unit/wal/wal_rig.h"

#include "wal/write_time.h"

#define MS(n) ((uint64_t)(n)*1000000u)

/* ---- By itself ---- */

/* One write of so long, at once after the last. */
static void write_once(struct write_time *time, uint64_t *now, uint64_t took_ns)
{
    uint64_t begun = *now;
    write_time_begin(time, begun);
    *now += took_ns;
    write_time_end(time, begun, *now, 0);
}

static void nothing_is_expected_before_the_first_write(void **state)
{
    (void)state;
    const struct write_time time = {0};
    assert_int_equal(write_time_expected(&time, MS(1), 0, 1), 0);
    assert_int_equal(write_time_expected(&time, MS(5000), 7, 1), 0);
}

static void steady_writes_are_expected_as_they_are(void **state)
{
    (void)state;
    struct write_time time = {0};
    uint64_t now = MS(1);
    for (int i = 0; i < 20; i++) {
        write_once(&time, &now, MS(300));
        assert_int_equal(write_time_expected(&time, now, 0, 1), MS(300));
    }
    /* One under way for 100 ms: its rest and one more; then two groups that wait. */
    write_time_begin(&time, now);
    assert_int_equal(write_time_expected(&time, now + MS(100), 1, 1), MS(500));
    assert_int_equal(write_time_expected(&time, now + MS(100), 3, 1), MS(1100));
    /* With two at once the next can begin now, or after the one under way. */
    assert_int_equal(write_time_expected(&time, now + MS(100), 1, 2), MS(300));
    assert_int_equal(write_time_expected(&time, now + MS(100), 2, 2), MS(500));
    assert_int_equal(write_time_expected(&time, now + MS(100), 4, 2), MS(800));
}

static void write_under_way_for_longer_than_usual_counts(void **state)
{
    (void)state;
    struct write_time time = {0};
    uint64_t now = MS(1);
    write_once(&time, &now, MS(1));
    write_time_begin(&time, now);
    assert_int_equal(write_time_expected(&time, now, 1, 1), MS(2));
    assert_int_equal(write_time_expected(&time, now + MS(1), 1, 1), MS(1));
    assert_int_equal(write_time_expected(&time, now + MS(250), 1, 1), MS(250));
    assert_int_equal(write_time_expected(&time, now + MS(4000), 1, 1), MS(4000));
    assert_int_equal(write_time_expected(&time, now + MS(4000), 2, 1), MS(8000));
}

static void disk_that_becomes_slow_is_noticed_within_a_few_writes(void **state)
{
    (void)state;
    struct write_time time = {0};
    uint64_t now = MS(1);
    for (int i = 0; i < 100; i++) {
        write_once(&time, &now, 100000);
    }
    write_once(&time, &now, MS(300));
    assert_in_range(write_time_expected(&time, now, 0, 1), MS(150), MS(300));
    for (int i = 0; i < 4; i++) {
        write_once(&time, &now, MS(300));
    }
    assert_in_range(write_time_expected(&time, now, 0, 1), MS(270), MS(300));
}

static void one_slow_write_is_forgotten_after_fast_ones(void **state)
{
    (void)state;
    struct write_time time = {0};
    uint64_t now = MS(1);
    write_once(&time, &now, MS(300));
    for (int i = 0; i < 60; i++) {
        write_once(&time, &now, 100000);
    }
    assert_in_range(write_time_expected(&time, now, 0, 1), 100000, MS(1));
}

static void expectation_fades_while_nothing_is_written(void **state)
{
    (void)state;
    struct write_time time = {0};
    uint64_t now = MS(1);
    write_once(&time, &now, MS(300));
    assert_int_equal(write_time_expected(&time, now + MS(500), 0, 1), MS(150));
    assert_int_equal(write_time_expected(&time, now + MS(999), 0, 1), MS(300) / 1000);
    assert_int_equal(write_time_expected(&time, now + MS(1000), 0, 1), 0);
    assert_int_equal(write_time_expected(&time, now + MS(100000), 0, 1), 0);
    /* A reading of the clock from before the end of the write is no long time. */
    assert_int_equal(write_time_expected(&time, now - 5, 0, 1), MS(300));
    /* It is not back when something is written again. */
    now += MS(1000);
    write_once(&time, &now, MS(2));
    assert_int_equal(write_time_expected(&time, now, 0, 1), MS(2));
}

static void oldest_write_under_way_counts_with_several(void **state)
{
    (void)state;
    struct write_time time = {0};
    uint64_t now = MS(1);
    write_once(&time, &now, MS(10));
    write_time_begin(&time, now);
    write_time_begin(&time, now + MS(4));
    assert_int_equal(write_time_expected(&time, now + MS(6), 2, 2), MS(4) + MS(10));
    write_time_end(&time, now, now + MS(10), now + MS(4));
    assert_int_equal(write_time_expected(&time, now + MS(10), 1, 1), MS(4) + MS(10));
}

/* ---- In a log ---- */

static void append_one(struct rig *rig)
{
    assert_int_equal(rig_append(rig, 1, NULL), HF_OK);
}

/* A write that takes so long. */
static void write_group(struct rig *rig, uint64_t took_ns)
{
    append_one(rig);
    wal_step(rig->wal, false);
    assert_int_equal(sim_storage_in_flight(rig->storage), 1);
    rig->clock.ns += took_ns;
    wal_step(rig->wal, true);
    assert_int_equal(sim_storage_in_flight(rig->storage), 0);
}

static void log_expects_what_its_writes_took(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    assert_int_equal(rig_open(&rig), HF_OK);
    sim_storage_hold(rig.storage, true);
    assert_int_equal(wal_expected_ns(rig.wal), 0);
    for (int i = 0; i < 5; i++) {
        write_group(&rig, MS(300));
        assert_int_equal(wal_expected_ns(rig.wal), MS(300));
    }
    append_one(&rig);
    assert_int_equal(wal_expected_ns(rig.wal), MS(300)); /* the group that fills is its own */
    wal_step(rig.wal, false);
    rig.clock.ns += MS(100);
    assert_int_equal(wal_expected_ns(rig.wal), MS(500));
    /* A full group waits, and the next one fills. */
    for (uint64_t first = wal_tail_lsn(rig.wal); wal_tail_lsn(rig.wal) - first <= MIB(1);) {
        assert_int_equal(rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
    }
    assert_int_equal(wal_expected_ns(rig.wal), MS(800));
    rig.clock.ns += MS(200);
    assert_int_equal(wal_expected_ns(rig.wal), MS(600));
    rig_settle(&rig);
    rig.clock.ns += MS(1000);
    assert_int_equal(wal_expected_ns(rig.wal), 0);
    rig_deinit(&rig);
}

static void closed_log_expects_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 2);
    assert_int_equal(rig_open(&rig), HF_OK);
    sim_storage_hold(rig.storage, true);
    write_group(&rig, MS(300));
    sim_storage_fail_write(rig.storage, 1, HF_IO_ERROR);
    write_group(&rig, MS(300));
    assert_int_equal(wal_state(rig.wal), WAL_CLOSED);
    assert_int_equal(wal_expected_ns(rig.wal), 0);
    rig_deinit(&rig);
}

/* The least that a log with several groups under way says is that of a write alone. */
static void log_with_several_under_way_expects_its_own_write(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        rig_init(&rig, seed);
        rig.options.in_flight_max = 3;
        assert_int_equal(rig_open(&rig), HF_OK);
        sim_storage_hold(rig.storage, true);
        for (int i = 0; i < 3; i++) {
            append_one(&rig);
            wal_step(rig.wal, false);
        }
        assert_int_equal(sim_storage_in_flight(rig.storage), 3);
        rig.clock.ns += MS(20);
        wal_step(rig.wal, true); /* reaps one or more, in any order */
        assert_true(sim_storage_in_flight(rig.storage) < 3);
        assert_in_range(wal_expected_ns(rig.wal), MS(20), MS(40));
        rig_settle(&rig);
        assert_int_equal(wal_expected_ns(rig.wal), MS(20));
        rig_deinit(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_expected_before_the_first_write),
        cmocka_unit_test(steady_writes_are_expected_as_they_are),
        cmocka_unit_test(write_under_way_for_longer_than_usual_counts),
        cmocka_unit_test(disk_that_becomes_slow_is_noticed_within_a_few_writes),
        cmocka_unit_test(one_slow_write_is_forgotten_after_fast_ones),
        cmocka_unit_test(expectation_fades_while_nothing_is_written),
        cmocka_unit_test(oldest_write_under_way_counts_with_several),
        cmocka_unit_test(log_expects_what_its_writes_took),
        cmocka_unit_test(closed_log_expects_nothing),
        cmocka_unit_test(log_with_several_under_way_expects_its_own_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
