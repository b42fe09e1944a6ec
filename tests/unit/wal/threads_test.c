/* threads_test.c - many appenders, one writer, the real disk: every waiter is told exactly once,
 * and what is read back is exactly what was appended, where its LSN says. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "io/storage_open.h"
#include "lib/tempdir.h"
#include "unit/wal/wal_rig.h"

#define APPENDERS       8
#define APPENDS         250
#define RECORDS_PER_MAX 300u

struct shared {
    struct wal *wal;
    _Atomic uint64_t next_serial;
    _Atomic uint64_t digest;
    _Atomic uint64_t told;
    _Atomic uint64_t told_wrongly;
    uint64_t *lsn_of; /* by serial; each written by one appender */
};

/* One append and those who wait for it. */
struct append_wait {
    struct wal_waiter waiter;
    struct shared *shared;
    uint64_t lsn;
    _Atomic unsigned told;
};

static void append_done(struct wal_waiter *waiter, enum hf_status status)
{
    struct append_wait *wait = (struct append_wait *)waiter;
    if (status != HF_OK || wal_commit_lsn(wait->shared->wal) < wait->lsn) {
        atomic_fetch_add_explicit(&wait->shared->told_wrongly, 1, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&wait->shared->told, 1, memory_order_relaxed);
    /* release: the appender frees it once it sees this. */
    atomic_fetch_add_explicit(&wait->told, 1, memory_order_release);
}

struct appender {
    struct shared *shared;
    pthread_t thread;
    struct rng rng;
    struct append_wait waits[APPENDS];
    uint64_t waited;
    uint8_t records[RECORDS_PER_MAX * 48];
};

static void append_one(struct appender *appender, struct append_wait *wait)
{
    struct shared *shared = appender->shared;
    uint32_t count = (uint32_t)rng_between(&appender->rng, 1,
                                           rng_chance(&appender->rng, 3) ? RECORDS_PER_MAX : 3);
    uint64_t serial = atomic_fetch_add_explicit(&shared->next_serial, count, memory_order_relaxed);
    uint64_t delta;
    uint32_t len = rig_encode(serial, count, appender->records, &delta);
    uint64_t start;
    while (wal_admit(shared->wal) != HF_OK) {
        sched_yield();
    }
    if (wal_append(shared->wal, appender->records, len, count, delta, &start) != HF_OK) {
        atomic_fetch_add_explicit(&shared->told_wrongly, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&shared->digest, delta, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        shared->lsn_of[serial + i] = start + (i + 1) * 48u;
    }
    wait->shared = shared;
    wait->waiter.done = append_done;
    wait->lsn = rng_chance(&appender->rng, 4) ? wal_tail_lsn(shared->wal) : start + len;
    if (wal_wait(shared->wal, wait->lsn, &wait->waiter)) {
        appender->waited++;
    }
}

static void *run_appender(void *context)
{
    struct appender *appender = context;
    for (int i = 0; i < APPENDS; i++) {
        append_one(appender, &appender->waits[i]);
        if (rng_chance(&appender->rng, 10)) {
            /* As a caller that sends its next request after the reply. */
            while (wal_commit_lsn(appender->shared->wal) < appender->waits[i].lsn) {
                sched_yield();
            }
        }
    }
    return NULL;
}

static void check_log(const struct shared *shared, struct storage *storage, uint64_t records)
{
    struct rig_log log;
    rig_read(&log, storage);
    assert_false(log.end.torn);
    assert_false(log.end.damaged);
    assert_int_equal(log.count, records);
    assert_int_equal(log.digest, atomic_load_explicit(&shared->digest, memory_order_relaxed));
    assert_true(log.digest_blocks >= 1);
    uint8_t *seen = calloc(1, records);
    for (size_t i = 0; i < log.count; i++) {
        assert_true(log.serials[i] < records);
        assert_int_equal(seen[log.serials[i]]++, 0);
        assert_int_equal(log.lsns[i], shared->lsn_of[log.serials[i]]);
    }
    free(seen);
    rig_log_free(&log);
}

static void run(enum storage_mode mode, unsigned in_flight)
{
    char *directory = tempdir_make();
    struct storage *storage;
    enum hf_status status = storage_open(&storage, directory, mode, false);
    if (status == HF_UNSUPPORTED) {
        tempdir_remove(directory);
        skip();
    }
    assert_int_equal(status, HF_OK);
    struct rig_log log;
    rig_read(&log, storage);
    struct wal_options options = {.segment_bytes = WAL_SEGMENT_BYTES_MIN,
                                  .spare_segments = 2,
                                  .in_flight_max = in_flight,
                                  .digest_every_bytes = 1000000};
    struct shared *shared = calloc(1, sizeof *shared);
    shared->lsn_of = calloc((size_t)APPENDERS * APPENDS * RECORDS_PER_MAX, sizeof(uint64_t));
    struct timekeeper *time = rig_time(clock_real(), &log.end);
    assert_int_equal(wal_open(&shared->wal, &options, storage, time, &log.end, 0), HF_OK);
    rig_log_free(&log);
    assert_int_equal(wal_start(shared->wal), HF_OK);

    struct appender *appenders = calloc(APPENDERS, sizeof *appenders);
    uint64_t seed = rng_seed_from_env(7);
    for (unsigned i = 0; i < APPENDERS; i++) {
        appenders[i].shared = shared;
        rng_init(&appenders[i].rng, seed + i);
        assert_int_equal(pthread_create(&appenders[i].thread, NULL, run_appender, &appenders[i]),
                         0);
    }
    uint64_t waited = 0;
    for (unsigned i = 0; i < APPENDERS; i++) {
        pthread_join(appenders[i].thread, NULL);
        waited += appenders[i].waited;
    }
    wal_stop(shared->wal);
    assert_int_equal(wal_commit_lsn(shared->wal), wal_tail_lsn(shared->wal));
    assert_int_equal(atomic_load_explicit(&shared->told, memory_order_relaxed), waited);
    assert_int_equal(atomic_load_explicit(&shared->told_wrongly, memory_order_relaxed), 0);
    for (unsigned i = 0; i < APPENDERS; i++) {
        for (unsigned k = 0; k < APPENDS; k++) {
            assert_true(atomic_load_explicit(&appenders[i].waits[k].told, memory_order_acquire) <=
                        1);
        }
    }
    wal_close(shared->wal);
    check_log(shared, storage, atomic_load_explicit(&shared->next_serial, memory_order_relaxed));
    storage_destroy(storage);
    free(appenders);
    free(shared->lsn_of);
    free(shared);
    tempdir_remove(directory);
}

static void wal_tells_every_waiter_once_with_uring(void **state)
{
    (void)state;
    run(STORAGE_URING, 1);
}

static void wal_tells_every_waiter_once_with_several_in_flight(void **state)
{
    (void)state;
    run(STORAGE_URING, 4);
}

static void wal_tells_every_waiter_once_with_pwritev2(void **state)
{
    (void)state;
    run(STORAGE_SYNC, 1);
}

/* A group that fills while the writer is away must not strand appenders. */
static void *run_heavy(void *context)
{
    struct shared *shared = context;
    uint8_t *records = malloc(WAL_APPEND_BYTES_MAX);
    uint64_t delta;
    for (int i = 0; i < 12; i++) {
        uint32_t count = WAL_APPEND_BYTES_MAX / 48;
        uint64_t serial =
            atomic_fetch_add_explicit(&shared->next_serial, count, memory_order_relaxed);
        uint32_t len = rig_encode(serial, count, records, &delta);
        uint64_t start;
        if (wal_append(shared->wal, records, len, count, delta, &start) != HF_OK) {
            atomic_fetch_add_explicit(&shared->told_wrongly, 1, memory_order_relaxed);
        }
    }
    free(records);
    return NULL;
}

static void wal_lets_stalled_appenders_go_on(void **state)
{
    (void)state;
    char *directory = tempdir_make();
    struct storage *storage;
    assert_int_equal(storage_open(&storage, directory, STORAGE_AUTO, false), HF_OK);
    struct wal_end end = {.empty = true, .next_index = 1};
    struct wal_options options = {.segment_bytes = MIB(8), .spare_segments = 2, .in_flight_max = 1};
    struct shared shared = {0};
    struct timekeeper *time = rig_time(clock_real(), &end);
    assert_int_equal(wal_open(&shared.wal, &options, storage, time, &end, 0), HF_OK);
    assert_int_equal(wal_start(shared.wal), HF_OK);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_heavy, &shared), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    wal_stop(shared.wal);
    assert_int_equal(atomic_load_explicit(&shared.told_wrongly, memory_order_relaxed), 0);
    wal_close(shared.wal);
    struct rig_log log;
    rig_read(&log, storage);
    assert_int_equal(log.count, 48u * (WAL_APPEND_BYTES_MAX / 48));
    rig_log_free(&log);
    storage_destroy(storage);
    tempdir_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wal_tells_every_waiter_once_with_uring),
        cmocka_unit_test(wal_tells_every_waiter_once_with_several_in_flight),
        cmocka_unit_test(wal_tells_every_waiter_once_with_pwritev2),
        cmocka_unit_test(wal_lets_stalled_appenders_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
