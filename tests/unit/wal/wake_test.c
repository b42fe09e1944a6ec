/* wake_test.c - who waits for the log is told and woken: each condition by itself, in one thread,
 * so that what would leave somebody waiting fails at once instead of hanging.
 *
 * It looks into the log (wal_private.h): that somebody is asleep is said by the test.
 * Threads: one, but for the appender that waits for a buffer. */
#include <pthread.h>
#include <time.h>

#include "unit/wal/wal_rig.h"
#include "wal/wal_private.h"

#define BIG (WAL_APPEND_BYTES_MAX / 48) /* records of the greatest append: two fill a group */

static void open_log(struct rig *rig, unsigned in_flight)
{
    rig_init(rig, 1);
    rig->options.segment_bytes = MIB(64);
    rig->options.in_flight_max = in_flight;
    assert_int_equal(rig_open(rig), HF_OK);
}

static void wait_for(struct rig *rig, struct rig_waiter *waiter, uint64_t lsn)
{
    rig_waiter_init(waiter);
    assert_true(wal_wait(rig->wal, lsn, &waiter->waiter));
}

static void append_and_wait(struct rig *rig, struct rig_waiter *waiter)
{
    uint64_t lsn;
    assert_int_equal(rig_append(rig, 1, &lsn), HF_OK);
    wait_for(rig, waiter, lsn);
}

static unsigned free_groups(const struct wal *wal)
{
    uint64_t filling = atomic_load(&wal->append.filling);
    uint64_t done = atomic_load(&wal->append.done);
    return (unsigned)(WAL_GROUPS - 1 - (filling - done));
}

/* ---- Woken ---- */

static void append_wakes_a_writer_that_sleeps(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig, 1);
    struct wal_sleep *sleep = &rig.wal->writer_sleep;
    uint64_t before = wal_sleep_count(sleep);
    assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
    assert_int_equal(wal_sleep_count(sleep), before);
    rig.wal->append.writer_asleep = true;
    assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
    assert_int_equal(wal_sleep_count(sleep), before + 1);
    assert_false(rig.wal->append.writer_asleep);
    rig_settle(&rig);
    rig_deinit(&rig);
}

static void wait_wakes_the_writer_of_a_closed_log(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig, 1);
    wal_fail(rig.wal, "a test");
    struct wal_sleep *sleep = &rig.wal->writer_sleep;
    uint64_t before = wal_sleep_count(sleep);
    rig.wal->append.writer_asleep = true;
    struct rig_waiter waiter;
    wait_for(&rig, &waiter, 0);
    assert_int_equal(wal_sleep_count(sleep), before + 1);
    assert_false(rig.wal->append.writer_asleep);
    assert_int_equal(waiter.told, 0);
    assert_true(wal_step(rig.wal, false));
    assert_int_equal(waiter.told, 1);
    assert_int_equal(waiter.status, HF_INTERNAL);
    rig_deinit(&rig);
}

static void durable_group_wakes_who_waits_for_its_buffer(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig, 1);
    struct wal_sleep *sleep = &rig.wal->stall_sleep;
    uint64_t before = wal_sleep_count(sleep);
    rig.wal->append.stalled = 2;
    assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
    rig_settle(&rig);
    assert_int_equal(wal_sleep_count(sleep), before + 1);
    assert_int_equal(rig.wal->append.stalled, 0);
    assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
    rig_settle(&rig);
    assert_int_equal(wal_sleep_count(sleep), before + 1); /* nobody is there */
    rig_deinit(&rig);
}

static void failure_wakes_who_waits_for_a_buffer(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig, 1);
    struct wal_sleep *sleep = &rig.wal->stall_sleep;
    uint64_t before = wal_sleep_count(sleep);
    rig.wal->append.stalled = 1;
    wal_fail(rig.wal, "a test");
    assert_int_equal(wal_sleep_count(sleep), before + 1);
    assert_int_equal(rig_append(&rig, 1, NULL), HF_INTERNAL);
    rig_deinit(&rig);
}

static void next_segment_wakes_the_preparer_and_is_told_to_the_writer(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    assert_int_equal(rig_open(&rig), HF_OK);
    while (wal_prepare_step(rig.wal)) {
    }
    uint64_t prepare = wal_sleep_count(&rig.wal->prepare_sleep);
    uint64_t segment = rig.wal->writer.segment;
    for (int i = 0; i < 100 && rig.wal->writer.segment == segment; i++) {
        assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
        rig_settle(&rig);
    }
    assert_int_not_equal(rig.wal->writer.segment, segment);
    assert_true(wal_sleep_count(&rig.wal->prepare_sleep) > prepare);
    uint64_t writer = wal_sleep_count(&rig.wal->writer_sleep);
    assert_true(wal_prepare_step(rig.wal));
    assert_true(wal_sleep_count(&rig.wal->writer_sleep) > writer);
    rig_deinit(&rig);
}

/* ---- An append that waits ---- */

struct waiting {
    struct rig *rig;
    enum hf_status status;
    _Atomic bool done;
};

static void *append_one_more(void *argument)
{
    struct waiting *waiting = argument;
    uint64_t delta;
    static uint8_t record[64];
    uint32_t len = rig_encode(waiting->rig->next_serial, 1, record, &delta);
    uint64_t lsn;
    waiting->status = wal_append(waiting->rig->wal, record, len, 1, delta, &lsn);
    atomic_store(&waiting->done, true);
    return NULL;
}

/* 0, too, while somebody has the lock. */
static unsigned stalled(struct wal *wal)
{
    unsigned count = 0;
    if (spin_try_lock(&wal->append.lock)) {
        count = wal->append.stalled;
        spin_unlock(&wal->append.lock);
    }
    return count;
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* All buffers are full: it is counted as one who waits, and goes on when one comes free; or ends
 * when the log closes. The limits are for a log that is at fault. */
static void append_waits_for_a_buffer_and_goes_on(void **state)
{
    (void)state;
    for (unsigned fails = 0; fails < 2; fails++) {
        struct rig rig;
        open_log(&rig, 1);
        sim_storage_hold(rig.storage, true);
        for (unsigned i = 0; i < 2 * WAL_GROUPS; i++) {
            assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
        }
        assert_int_equal(rig_append(&rig, 1, NULL), HF_OK); /* the last few bytes */
        assert_int_equal(rig.stalls, 0);
        wal_set_stall_hook(rig.wal, NULL, NULL);
        struct waiting waiting = {.rig = &rig};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, append_one_more, &waiting), 0);
        unsigned count = 0;
        for (unsigned i = 0; i < 5000 && (count = stalled(rig.wal)) == 0; i++) {
            rest();
        }
        assert_int_equal(count, 1);
        assert_false(atomic_load(&waiting.done));
        if (fails) {
            wal_fail(rig.wal, "a test");
        }
        sim_storage_hold(rig.storage, false);
        for (unsigned i = 0; i < 5000 && !atomic_load(&waiting.done); i++) {
            wal_step(rig.wal, false);
            rest();
        }
        assert_true(atomic_load(&waiting.done));
        pthread_join(thread, NULL);
        assert_int_equal(waiting.status, fails ? HF_INTERNAL : HF_OK);
        rig.clock.looks_left = 100000;
        wal_stop(rig.wal);
        rig_deinit(&rig);
    }
}

/* ---- Admitted ---- */

/* As long as three buffers are free, and no longer; what was admitted then never waits. */
static void work_is_admitted_while_three_buffers_are_free(void **state)
{
    (void)state;
    for (unsigned in_flight = 1; in_flight <= 3; in_flight++) {
        struct rig rig;
        open_log(&rig, in_flight);
        sim_storage_hold(rig.storage, true);
        for (int i = 0; i < 100 && wal_admit(rig.wal) == HF_OK; i++) {
            assert_true(free_groups(rig.wal) >= 3);
            assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
            wal_step(rig.wal, false);
            assert_int_equal(rig.stalls, 0);
        }
        assert_int_equal(wal_admit(rig.wal), HF_BUSY);
        assert_int_equal(free_groups(rig.wal), 2);
        assert_int_equal(wal_state(rig.wal), WAL_OPEN);
        /* Two whole groups more, for what was in hand. */
        for (int i = 0; i < 4; i++) {
            assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
            assert_int_equal(rig.stalls, 0);
        }
        assert_int_equal(wal_commit_lsn(rig.wal), 0);
        rig_settle(&rig);
        assert_int_equal(wal_admit(rig.wal), HF_OK);
        rig_deinit(&rig);
    }
}

/* No room until the preparer has been at work is BUSY; READ_ONLY, once it has failed. */
static void lack_of_room_is_busy_and_a_full_disk_read_only(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    assert_int_equal(rig_open(&rig), HF_OK);
    for (int i = 0; i < 100 && wal_admit(rig.wal) == HF_OK; i++) {
        assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
        rig_settle(&rig);
    }
    assert_int_equal(wal_admit(rig.wal), HF_BUSY);
    sim_storage_set_capacity(rig.storage, sim_storage_used(rig.storage));
    assert_false(wal_prepare_step(rig.wal));
    assert_int_equal(wal_admit(rig.wal), HF_READ_ONLY);
    assert_int_equal(wal_state(rig.wal), WAL_READ_ONLY);
    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    assert_true(wal_prepare_step(rig.wal));
    assert_int_equal(wal_admit(rig.wal), HF_OK);
    rig_deinit(&rig);
}

/* One appender that asks before each append; the writer may be behind by as much as it likes. The
 * disk has room for the first segments alone. */
static void append_until_read_only(uint32_t group_bytes, uint64_t segment_bytes, unsigned segments,
                                   uint64_t seed)
{
    struct rig rig;
    struct rng rng;
    rng_init(&rng, seed);
    rig_init(&rig, seed);
    rig.options.group_bytes = group_bytes;
    rig.options.segment_bytes = segment_bytes;
    rig.options.spare_segments = 2;
    sim_storage_set_capacity(rig.storage, segments * segment_bytes);
    assert_int_equal(rig_open(&rig), HF_OK);
    while (wal_prepare_step(rig.wal)) {
    }
    uint64_t most = (group_bytes < WAL_APPEND_BYTES_MAX ? group_bytes : WAL_APPEND_BYTES_MAX) / 48;
    enum hf_status status = HF_OK;
    for (unsigned refused = 0; refused < 2;) {
        status = wal_admit(rig.wal);
        if (status == HF_OK) {
            uint64_t count = seed % 2 ? most : rng_between(&rng, 1, most);
            assert_int_equal(rig_append(&rig, (uint32_t)count, NULL), HF_OK);
            refused = 0;
        } else {
            rig_settle(&rig); /* all of it has room: or this fails */
            refused++;
        }
        if (seed % 3 == 0 && rng_chance(&rng, 2)) {
            wal_step(rig.wal, false);
        }
        (void)wal_prepare_step(rig.wal);
    }
    assert_int_equal(status, HF_READ_ONLY);
    assert_int_equal(wal_commit_lsn(rig.wal), wal_tail_lsn(rig.wal));
    assert_true(wal_tail_lsn(rig.wal) >= group_bytes / 2); /* some was admitted */
    rig_deinit(&rig);
}

static void what_is_admitted_has_room_whatever_a_segment_has(void **state)
{
    (void)state;
    static const uint32_t groups[] = {KIB(4), KIB(8), KIB(8) + 8, KIB(32)};
    for (unsigned i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        uint64_t pages = WAL_SEGMENT_BYTES_LEAST(groups[i]) / WAL_PAGE_BYTES + 1;
        for (unsigned halves = 2; halves <= 24; halves++) {
            for (uint64_t seed = 1; seed <= 6; seed++) {
                append_until_read_only(groups[i], pages * halves / 2 * WAL_PAGE_BYTES,
                                       2 + halves % 2, seed);
            }
        }
    }
}

/* The least that an operator may set: a segment holds less than all buffers do. */
static void what_is_admitted_has_room_in_the_smallest_segments(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        append_until_read_only((uint32_t)WAL_GROUP_BYTES_MAX, WAL_SEGMENT_BYTES_MIN, 3, seed);
    }
}

/* No room is left, and no segment is ready. */
static void fill_the_log(struct rig *rig)
{
    rig_init(rig, 1);
    assert_int_equal(rig_open(rig), HF_OK);
    for (int i = 0; i < 100 && wal_admit(rig->wal) == HF_OK; i++) {
        assert_int_equal(rig_append(rig, BIG, NULL), HF_OK);
        rig_settle(rig);
    }
    assert_int_equal(wal_admit(rig->wal), HF_BUSY);
    sim_storage_set_capacity(rig->storage, sim_storage_used(rig->storage));
}

/* What was admitted before the disk was full is written when there is room again. */
static void full_disk_does_not_close_the_log(void **state)
{
    (void)state;
    struct rig rig;
    fill_the_log(&rig);
    for (int i = 0; i < 100 && !rig.wal->writer.blocked; i++) {
        assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
        for (int k = 0; k < 10; k++) {
            wal_step(rig.wal, false);
        }
        assert_int_not_equal(wal_state(rig.wal), WAL_CLOSED);
    }
    assert_true(rig.wal->writer.blocked);
    assert_int_equal(wal_state(rig.wal), WAL_READ_ONLY);
    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    rig_settle(&rig);
    assert_int_equal(wal_commit_lsn(rig.wal), wal_tail_lsn(rig.wal));
    rig_deinit(&rig);
}

/* The writer waits for the preparer's segment, except that a log that is to stop does not wait for
 * one that can't be made. */
static void stopping_log_waits_for_a_segment_that_can_be_made(void **state)
{
    (void)state;
    struct rig rig;
    fill_the_log(&rig);
    struct wal *wal = rig.wal;
    assert_int_equal(wal->segments.prepared_count, 0);
    wal->started = true; /* by somebody else: it is the preparer who makes segments */
    for (unsigned stopping = 0; stopping < 2; stopping++) {
        atomic_store(&wal->stopping, stopping);
        atomic_store(&wal->segments.stuck, false);
        assert_int_equal(wal_segment_make_room(wal, wal->writer.segment_bytes), HF_BUSY);
        atomic_store(&wal->segments.stuck, true);
        assert_int_equal(wal_segment_make_room(wal, wal->writer.segment_bytes),
                         stopping ? HF_NO_SPACE : HF_BUSY);
    }
    wal->started = false;
    rig_deinit(&rig);
}

/* ---- Told ---- */

static void waiters_of_one_group_are_told_with_it_and_not_before(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig, 1);
    sim_storage_hold(rig.storage, true);
    struct rig_waiter first[3];
    struct rig_waiter second[2];
    for (int i = 0; i < 3; i++) {
        append_and_wait(&rig, &first[i]);
    }
    wal_step(rig.wal, false); /* the first group is under way */
    uint64_t between = wal_tail_lsn(rig.wal);
    append_and_wait(&rig, &second[0]);
    wait_for(&rig, &second[1], between + 1); /* the byte before is the second group's */
    struct rig_waiter end;
    wait_for(&rig, &end, between); /* the first group's last byte */
    for (int i = 0; i < 100 && wal_commit_lsn(rig.wal) < between; i++) {
        wal_step(rig.wal, true);
    }
    assert_int_equal(wal_commit_lsn(rig.wal), between);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(first[i].told, 1);
        assert_int_equal(first[i].status, HF_OK);
    }
    assert_int_equal(end.told, 1);
    assert_int_equal(second[0].told + second[1].told, 0);
    rig_settle(&rig);
    assert_int_equal(second[0].told, 1);
    assert_int_equal(second[1].told, 1);
    rig_deinit(&rig);
}

/* What comes back from the disk with a failure, or after one, is not acknowledged, and nothing more
 * is written. failing: which of three writes. */
static void failed_write_ends_all_acknowledgements(unsigned failing, bool at_once)
{
    struct rig rig;
    open_log(&rig, 3);
    sim_storage_hold(rig.storage, true);
    sim_storage_fail_write(rig.storage, failing, HF_IO_ERROR);
    struct rig_waiter waiters[5];
    for (int i = 0; i < 5; i++) {
        append_and_wait(&rig, &waiters[i]);
        wal_step(rig.wal, false);
    }
    assert_int_equal(sim_storage_in_flight(rig.storage), 3);
    sim_storage_hold(rig.storage, !at_once);
    for (int i = 0; i < 100 && wal_state(rig.wal) != WAL_CLOSED; i++) {
        wal_step(rig.wal, at_once ? false : true);
    }
    assert_int_equal(wal_state(rig.wal), WAL_CLOSED);
    uint64_t commit_lsn = wal_commit_lsn(rig.wal);
    assert_true(commit_lsn < 48 * failing);
    unsigned in_flight = sim_storage_in_flight(rig.storage);
    for (int i = 0; i < 20; i++) {
        wal_step(rig.wal, false);
    }
    assert_true(sim_storage_in_flight(rig.storage) <= in_flight);
    assert_int_equal(wal_commit_lsn(rig.wal), commit_lsn);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(waiters[i].told, 1);
        assert_int_equal(waiters[i].status,
                         48 * (uint64_t)(i + 1) <= commit_lsn ? HF_OK : HF_INTERNAL);
    }
    assert_int_equal(wal_admit(rig.wal), HF_INTERNAL);
    assert_int_equal(rig_append(&rig, 1, NULL), HF_INTERNAL);
    /* What was durable long ago is not acknowledged any more either. */
    struct rig_waiter late;
    wait_for(&rig, &late, 0);
    wal_step(rig.wal, false);
    assert_int_equal(late.told, 1);
    assert_int_equal(late.status, HF_INTERNAL);
    wal_stop(rig.wal);
    assert_int_equal(wal_commit_lsn(rig.wal), commit_lsn);
    rig_deinit(&rig);
}

static void failed_write_ends_all_acknowledgements_whichever_it_is(void **state)
{
    (void)state;
    for (unsigned failing = 1; failing <= 3; failing++) {
        failed_write_ends_all_acknowledgements(failing, false);
        failed_write_ends_all_acknowledgements(failing, true);
    }
}

/* What waits for its turn when a write fails is not written: nobody knows what lies before it. The
 * disk decides by the seed when the failure is seen; if it is late, the next write is under way. */
static void nothing_is_written_behind_a_failed_write(void **state)
{
    (void)state;
    unsigned seen_first = 0;
    for (uint64_t seed = 1; seed <= 32; seed++) {
        struct rig rig;
        struct rig_waiter waiters[2];
        rig_init(&rig, seed);
        rig.options.in_flight_max = 3;
        assert_int_equal(rig_open(&rig), HF_OK);
        sim_storage_hold(rig.storage, true);
        sim_storage_fail_write(rig.storage, 1, HF_IO_ERROR);
        append_and_wait(&rig, &waiters[0]);
        wal_step(rig.wal, false);
        assert_int_equal(sim_storage_in_flight(rig.storage), 1);
        sim_storage_hold(rig.storage, false);
        append_and_wait(&rig, &waiters[1]);
        wal_step(rig.wal, false);
        if (wal_state(rig.wal) == WAL_CLOSED) {
            seen_first++;
            assert_int_equal(sim_storage_in_flight(rig.storage), 0);
        }
        for (int i = 0; i < 100 && wal_state(rig.wal) != WAL_CLOSED; i++) {
            wal_step(rig.wal, true);
        }
        assert_int_equal(wal_state(rig.wal), WAL_CLOSED);
        assert_int_equal(waiters[0].status, HF_INTERNAL);
        assert_int_equal(waiters[1].status, HF_INTERNAL);
        wal_stop(rig.wal);
        rig_deinit(&rig);
    }
    assert_true(seen_first > 0);
}

static void write_that_can_not_begin_closes_the_log(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig, 1);
    struct rig_waiter waiter;
    append_and_wait(&rig, &waiter);
    sim_storage_stop(rig.storage);
    for (int i = 0; i < 10; i++) {
        wal_step(rig.wal, false);
    }
    assert_int_equal(wal_state(rig.wal), WAL_CLOSED);
    assert_int_equal(waiter.told, 1);
    assert_int_equal(waiter.status, HF_INTERNAL);
    assert_int_equal(wal_commit_lsn(rig.wal), 0);
    wal_stop(rig.wal);
    rig_deinit(&rig);
}

/* Who comes once the log is closed is told when it stops, and what was under way has come to its
 * end: the disk is done with the buffers. */
static void stop_of_a_closed_log_tells_the_last_one(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig, 2);
    sim_storage_hold(rig.storage, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
        assert_int_equal(rig_append(&rig, BIG, NULL), HF_OK);
        wal_step(rig.wal, false);
    }
    assert_int_equal(rig.wal->writer.in_flight, 2);
    wal_fail(rig.wal, "a test");
    while (wal_step(rig.wal, false)) {
    }
    struct rig_waiter waiter;
    wait_for(&rig, &waiter, 0);
    assert_int_equal(waiter.told, 0);
    sim_storage_hold(rig.storage, false);
    wal_stop(rig.wal);
    assert_int_equal(waiter.told, 1);
    assert_int_equal(waiter.status, HF_INTERNAL);
    assert_int_equal(rig.wal->writer.in_flight, 0);
    rig_deinit(&rig);
}

/* All that was appended is written before the log stops, and all are told. */
static void stop_writes_and_tells_all(void **state)
{
    (void)state;
    struct rig rig;
    open_log(&rig, 2);
    struct rig_waiter waiters[40];
    for (int i = 0; i < 40; i++) {
        assert_int_equal(rig_append(&rig, i % 4 == 0 ? BIG : 1, NULL), HF_OK);
        wait_for(&rig, &waiters[i], wal_tail_lsn(rig.wal));
    }
    uint64_t tail = wal_tail_lsn(rig.wal);
    wal_stop(rig.wal);
    assert_true(wal_commit_lsn(rig.wal) >= tail);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(waiters[i].told, 1);
        assert_int_equal(waiters[i].status, HF_OK);
    }
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_int_equal(log.count, rig.next_serial);
    assert_true(log.digest_blocks > 0);
    rig_log_free(&log);
    rig_deinit(&rig);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(append_wakes_a_writer_that_sleeps),
        TEST(wait_wakes_the_writer_of_a_closed_log),
        TEST(durable_group_wakes_who_waits_for_its_buffer),
        TEST(failure_wakes_who_waits_for_a_buffer),
        TEST(next_segment_wakes_the_preparer_and_is_told_to_the_writer),
        TEST(append_waits_for_a_buffer_and_goes_on),
        TEST(work_is_admitted_while_three_buffers_are_free),
        TEST(lack_of_room_is_busy_and_a_full_disk_read_only),
        TEST(what_is_admitted_has_room_whatever_a_segment_has),
        TEST(what_is_admitted_has_room_in_the_smallest_segments),
        TEST(full_disk_does_not_close_the_log),
        TEST(stopping_log_waits_for_a_segment_that_can_be_made),
        TEST(waiters_of_one_group_are_told_with_it_and_not_before),
        TEST(failed_write_ends_all_acknowledgements_whichever_it_is),
        TEST(nothing_is_written_behind_a_failed_write),
        TEST(write_that_can_not_begin_closes_the_log),
        TEST(stop_of_a_closed_log_tells_the_last_one),
        TEST(stop_writes_and_tells_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
