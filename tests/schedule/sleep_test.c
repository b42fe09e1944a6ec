/* sleep_test.c - nobody goes to sleep beside what would have to wake him: the log's writer, and an
 * append that waits for a buffer.
 *
 * Both sleep for 100 ms at most, which repairs a lost wake and hides it. So nobody sleeps here: the
 * wait itself is replaced (the linker's --wrap), and fails the test when there is something to do.
 * The other side comes in between any two steps: at each point in turn (base/schedule.h) that is
 * outside the lock.
 *
 * Threads: one. */
#include "unit/wal/wal_rig.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/test_point.h"
#include "wal/append.h"

#define BIG (WAL_APPEND_BYTES_MAX / 48) /* records of the greatest append: two fill a group */

/* What the other side does, and at which point. */
static struct {
    struct rig *rig;
    void (*act)(struct rig *rig);
    unsigned points_left; /* acts when it comes to 0 */
    bool armed;           /* not within what it does itself */
    bool acted;
} other;

/* What was seen of those who slept. */
static struct {
    bool (*awake)(struct rig *rig); /* says whether there is something to do */
    unsigned count;
    bool said_so;    /* the writer, in writer_asleep */
    uint64_t for_ns; /* at most */
    bool overslept;
} slept;

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    (void)cond;
    (void)mutex;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t for_ns =
        (until->tv_sec - now.tv_sec) * INT64_C(1000000000) + until->tv_nsec - now.tv_nsec;
    slept.count++;
    slept.for_ns = for_ns > 0 ? (uint64_t)for_ns : 0;
    slept.said_so = other.rig->wal->append.writer_asleep;
    slept.overslept |= slept.awake(other.rig);
    if (slept.count > 1000) {
        fail_msg("somebody sleeps again and again");
    }
    return ETIMEDOUT;
}

static void at_point(const char *name)
{
    if (!other.armed || other.acted || strcmp(name, "spin.locked") == 0) {
        return; /* within the lock */
    }
    if (other.points_left-- == 0) {
        other.armed = false;
        other.acted = true;
        other.act(other.rig);
        other.armed = true;
    }
}

static void open_log(struct rig *rig)
{
    rig_init(rig, 1);
    rig->options.segment_bytes = MIB(64);
    rig->options.in_flight_max = 1;
    assert_int_equal(rig_open(rig), HF_OK);
    rig_settle(rig);
    memset(&slept, 0, sizeof slept);
    memset(&other, 0, sizeof other);
    other.rig = rig;
}

static void close_log(struct rig *rig)
{
    test_point_set(NULL);
    rig->clock.looks_left = 100000;
    wal_stop(rig->wal);
    rig_deinit(rig);
}

/* Runs one step that may sleep, and lets the other side act at its n-th point. False: the step has
 * fewer points. */
static bool step_with(struct rig *rig, unsigned n, void (*act)(struct rig *rig),
                      bool (*awake)(struct rig *rig), void (*step)(struct rig *rig))
{
    slept.awake = awake;
    other.act = act;
    other.points_left = n;
    other.armed = true;
    test_point_set(at_point);
    step(rig);
    test_point_set(NULL);
    if (slept.overslept) {
        fail_msg("somebody sleeps beside what is to be done, which came at point %u", n);
    }
    return other.acted;
}

static void step_writer(struct rig *rig)
{
    wal_step(rig->wal, true);
}

/* The writer, with what comes at any of its points. */
static void writer_meets(void (*act)(struct rig *rig), bool (*awake)(struct rig *rig))
{
    bool more = true;
    unsigned slept_beside = 0;
    for (unsigned n = 0; more; n++) {
        struct rig rig;
        open_log(&rig);
        more = step_with(&rig, n, act, awake, step_writer);
        slept_beside += slept.count;
        close_log(&rig);
        assert_true(n < 1000);
    }
    assert_true(slept_beside > 0); /* at least when it came to no point any more */
}

static void append_one(struct rig *rig)
{
    assert_int_equal(rig_append(rig, 1, NULL), HF_OK);
}

static bool records_are_there(struct rig *rig)
{
    return wal_tail_lsn(rig->wal) > wal_commit_lsn(rig->wal);
}

static void writer_does_not_sleep_beside_an_append(void **state)
{
    (void)state;
    writer_meets(append_one, records_are_there);
}

static void stop(struct rig *rig)
{
    /* As wal_stop does for a log that was started. */
    atomic_store(&rig->wal->stopping, true);
    wal_sleep_wake(&rig->wal->writer_sleep);
}

static bool is_to_stop(struct rig *rig)
{
    return atomic_load(&rig->wal->stopping);
}

static void writer_does_not_sleep_when_it_is_to_stop(void **state)
{
    (void)state;
    writer_meets(stop, is_to_stop);
}

static struct rig_waiter late;

static void fail_and_wait(struct rig *rig)
{
    wal_fail(rig->wal, "a test");
    rig_waiter_init(&late);
    assert_true(wal_wait(rig->wal, 0, &late.waiter));
}

static bool somebody_is_not_told(struct rig *rig)
{
    return rig->wal->append.late.first != NULL;
}

static void writer_does_not_sleep_beside_who_is_to_be_told(void **state)
{
    (void)state;
    writer_meets(fail_and_wait, somebody_is_not_told);
}

static bool never(struct rig *rig)
{
    (void)rig;
    return false;
}

/* Who appends wakes the writer only when that has said that it sleeps; and it wakes by itself in
 * time to prove its last block. */
static void writer_that_sleeps_says_so_and_for_how_long(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig);
    slept.awake = never;
    append_one(&rig);
    rig_settle(&rig);
    memset(&slept, 0, sizeof slept);
    slept.awake = never;
    step_writer(&rig);
    assert_int_equal(slept.count, 1);
    assert_true(slept.said_so);
    assert_false(rig.wal->append.writer_asleep);
    assert_true(slept.for_ns <= WAL_SEAL_IDLE_NS);
    rig.clock.ns += WAL_SEAL_IDLE_NS;
    assert_true(wal_step(rig.wal, true)); /* the proof */
    close_log(&rig);
}

/* ---- An append that waits ---- */

static void free_buffers(struct rig *rig)
{
    sim_storage_hold(rig->storage, false);
    for (unsigned i = 0; i < 1000 && wal_commit_lsn(rig->wal) < wal_tail_lsn(rig->wal); i++) {
        wal_step(rig->wal, false); /* the simulated disk takes its time */
    }
}

static bool buffer_is_free(struct rig *rig)
{
    return wal_filling_group(rig->wal) != NULL;
}

static void append_more(struct rig *rig)
{
    assert_int_equal(rig_append(rig, BIG, NULL), HF_OK);
}

/* All buffers are full, and come free at any of the points of the append that waits for one. */
static void append_does_not_sleep_beside_a_free_buffer(void **state)
{
    (void)state;
    bool more = true;
    unsigned n = 0;
    while (more) {
        struct rig rig;
        open_log(&rig);
        sim_storage_hold(rig.storage, true);
        for (unsigned i = 0; i < 2 * WAL_GROUPS; i++) {
            assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
        }
        wal_set_stall_hook(rig.wal, NULL, NULL);
        /* The points until the first sleep; from there on it would go round for ever. */
        slept.awake = buffer_is_free;
        more = n < 8;
        if (more) {
            assert_true(step_with(&rig, n++, free_buffers, buffer_is_free, append_more));
        } else {
            free_buffers(&rig);
        }
        wal_set_stall_hook(rig.wal, rig_stall, &rig);
        close_log(&rig);
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writer_does_not_sleep_beside_an_append),
        TEST(writer_does_not_sleep_when_it_is_to_stop),
        TEST(writer_does_not_sleep_beside_who_is_to_be_told),
        TEST(writer_that_sleeps_says_so_and_for_how_long),
        TEST(append_does_not_sleep_beside_a_free_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
