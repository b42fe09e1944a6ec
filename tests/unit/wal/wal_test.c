/* wal_test.c - appending, group commit, waiters, segments and faults, one thread. */
#include "unit/wal/wal_rig.h"
#include "wal/wal_private.h"

/* The log ends cleanly and holds exactly the records that were appended, in order. */
static void assert_log_complete(struct rig *rig)
{
    struct rig_log log;
    rig_read(&log, rig->storage);
    assert_false(log.end.damaged);
    assert_false(log.end.torn);
    assert_int_equal(log.count, rig->next_serial);
    for (size_t i = 0; i < log.count; i++) {
        assert_int_equal(log.serials[i], i);
    }
    assert_int_equal(log.digest, rig->digest);
    rig_log_free(&log);
}

static void wal_of_an_empty_directory_begins_with_an_epoch(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_true(log.end.empty);
    assert_false(log.end.torn);
    rig_log_free(&log);
    for (uint64_t term = 1; term <= 3; term++) {
        assert_int_equal(rig_open(&rig), HF_OK);
        assert_int_equal(wal_commit_lsn(rig.wal), 0);
        assert_int_equal(wal_tail_lsn(rig.wal), 0);
        rig_read(&log, rig.storage);
        assert_int_equal(log.block_count, term);
        assert_int_equal(log.blocks[term - 1].header.type, BLOCK_EPOCH);
        assert_int_equal(log.blocks[term - 1].header.term, term);
        assert_int_equal(log.blocks[term - 1].header.index, term);
        assert_int_equal(log.blocks[term - 1].header.durable_index, term - 1);
        assert_int_equal(log.end.term, term);
        assert_true(id_equal(log.end.cluster, wal_cluster(rig.wal)));
        rig_log_free(&log);
        rig_close(&rig);
    }
    rig_deinit(&rig);
}

static void wal_append_gives_consecutive_lsns(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 2);
    assert_int_equal(rig_open(&rig), HF_OK);
    uint64_t lsn;
    assert_int_equal(rig_append(&rig, 1, &lsn), HF_OK);
    assert_int_equal(lsn, 48);
    assert_int_equal(rig_append(&rig, 10, &lsn), HF_OK);
    assert_int_equal(lsn, 48 * 11);
    assert_int_equal(wal_tail_lsn(rig.wal), 48 * 11);
    assert_int_equal(wal_commit_lsn(rig.wal), 0);
    rig_settle(&rig);
    assert_int_equal(wal_commit_lsn(rig.wal), 48 * 11);
    assert_log_complete(&rig);
    rig_deinit(&rig);
}

static void wal_group_forms_while_another_is_written(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 3);
    assert_int_equal(rig_open(&rig), HF_OK);
    sim_storage_hold(rig.storage, true);
    rig_append(&rig, 1, NULL);
    wal_step(rig.wal, false);
    assert_int_equal(sim_storage_in_flight(rig.storage), 1);
    for (int i = 0; i < 100; i++) {
        rig_append(&rig, 3, NULL);
        wal_step(rig.wal, false);
    }
    assert_int_equal(sim_storage_in_flight(rig.storage), 1);
    rig_settle(&rig);
    struct wal_stats stats;
    wal_stats(rig.wal, &stats);
    assert_int_equal(stats.blocks, 2);
    assert_int_equal(stats.group_records_max, 300);
    assert_int_equal(stats.payload_bytes, 301 * 48);
    assert_log_complete(&rig);
    rig_deinit(&rig);
}

static void wal_waiters_are_told_in_order_once_durable(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 4);
    assert_int_equal(rig_open(&rig), HF_OK);
    struct rig_waiter waiters[5];
    for (int i = 0; i < 5; i++) {
        rig_waiter_init(&waiters[i]);
    }
    rig_told = 0;
    assert_false(wal_wait(rig.wal, 0, &waiters[0].waiter)); /* nothing was appended */
    uint64_t first;
    uint64_t second;
    sim_storage_hold(rig.storage, true);
    rig_append(&rig, 2, &first);
    assert_true(wal_wait(rig.wal, first, &waiters[0].waiter));
    wal_step(rig.wal, false); /* the first group is under way */
    /* A read that depends on the first group only does not wait for the second. */
    rig_append(&rig, 2, &second);
    assert_true(wal_wait(rig.wal, second, &waiters[1].waiter));
    assert_true(wal_wait(rig.wal, first, &waiters[2].waiter));
    assert_true(wal_wait(rig.wal, first - 48, &waiters[3].waiter));
    assert_int_equal(rig_told, 0);
    wal_step(rig.wal, true);
    assert_int_equal(waiters[0].order, 1);
    assert_int_equal(waiters[2].order, 2);
    assert_int_equal(waiters[3].order, 3);
    assert_int_equal(waiters[1].told, 0);
    assert_int_equal(wal_commit_lsn(rig.wal), first);
    assert_false(wal_wait(rig.wal, first, &waiters[4].waiter));
    rig_settle(&rig);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(waiters[i].told, 1);
        assert_int_equal(waiters[i].status, HF_OK);
    }
    assert_int_equal(waiters[4].told, 0);
    rig_deinit(&rig);
}

static void wal_acknowledges_in_order_with_several_in_flight(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct rig rig;
        rig_init(&rig, seed);
        rig.options.in_flight_max = 4;
        assert_int_equal(rig_open(&rig), HF_OK);
        struct rig_waiter waiters[30];
        rig_told = 0;
        for (int i = 0; i < 30; i++) {
            uint64_t lsn;
            rig_append(&rig, 1, &lsn);
            rig_waiter_init(&waiters[i]);
            assert_true(wal_wait(rig.wal, lsn, &waiters[i].waiter));
            wal_step(rig.wal, false);
        }
        rig_settle(&rig);
        for (unsigned i = 0; i < 30; i++) {
            assert_int_equal(waiters[i].order, i + 1);
        }
        assert_log_complete(&rig);
        rig_deinit(&rig);
    }
}

/* ---- Runs of waiters ---- */

struct runs {
    unsigned before;
    unsigned after;
    unsigned told_before; /* at the last before() */
    unsigned longest;     /* told in one run, at most */
};

static void run_begins(void *context)
{
    struct runs *runs = context;
    assert_int_equal(runs->before, runs->after);
    runs->before++;
    runs->told_before = rig_told;
}

static void run_ends(void *context)
{
    struct runs *runs = context;
    runs->after++;
    assert_int_equal(runs->before, runs->after);
    assert_true(rig_told > runs->told_before); /* no run of nobody */
    unsigned length = rig_told - runs->told_before;
    runs->longest = length > runs->longest ? length : runs->longest;
}

static void append_waiters(struct rig *rig, struct rig_waiter *waiters, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t lsn;
        assert_int_equal(rig_append(rig, 1, &lsn), HF_OK);
        rig_waiter_init(&waiters[i]);
        assert_true(wal_wait(rig->wal, lsn, &waiters[i].waiter));
    }
}

static void wal_calls_its_hooks_around_each_run_of_waiters(void **state)
{
    (void)state;
    struct rig rig;
    struct runs runs = {0};
    struct rig_waiter waiters[7];
    rig_init(&rig, 5);
    assert_int_equal(rig_open(&rig), HF_OK);
    wal_set_tell_hooks(rig.wal, run_begins, run_ends, &runs);
    rig_told = 0;
    append_waiters(&rig, waiters, 5);
    rig_settle(&rig);
    assert_int_equal(rig_told, 5);
    assert_int_equal(runs.after, 1);
    assert_int_equal(runs.longest, 5);
    assert_int_equal(rig_append(&rig, 1, NULL), HF_OK); /* nobody waits for this group */
    rig_settle(&rig);
    assert_int_equal(runs.before, 1);
    sim_storage_fail_write(rig.storage, 1, HF_IO_ERROR);
    append_waiters(&rig, waiters, 7);
    for (int i = 0; i < 10; i++) {
        wal_step(rig.wal, true);
    }
    assert_int_equal(wal_state(rig.wal), WAL_CLOSED);
    assert_int_equal(rig_told, 12);
    assert_int_equal(runs.after, 2);
    assert_int_equal(runs.longest, 7);
    wal_set_tell_hooks(rig.wal, NULL, NULL, NULL);
    rig_waiter_init(&waiters[0]);
    assert_true(wal_wait(rig.wal, 0, &waiters[0].waiter));
    wal_stop(rig.wal);
    assert_int_equal(waiters[0].told, 1);
    assert_int_equal(runs.before, 2);
    rig_deinit(&rig);
}

/* ---- What is told first ---- */

static unsigned starts;
static unsigned told_at_start;

static void count_start(struct storage *storage)
{
    (void)storage;
    starts++;
    told_at_start = rig_told;
}

/* The next write begins before many waiters of the last one are told, but not before a few are. */
static void wal_starts_a_write_before_it_tells_many(void **state)
{
    (void)state;
    for (unsigned more = 0; more <= 1; more++) {
        struct rig rig;
        struct rig_waiter waiters[WAL_TELL_FIRST_MAX + 1];
        rig_init(&rig, 6);
        assert_int_equal(rig_open(&rig), HF_OK);
        struct storage_ops ops = *rig.storage->ops;
        ops.start = count_start;
        rig.storage->ops = &ops;
        starts = 0;
        rig_told = 0;
        sim_storage_hold(rig.storage, true);
        append_waiters(&rig, waiters, WAL_TELL_FIRST_MAX + more);
        wal_step(rig.wal, false);
        assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
        wal_step(rig.wal, true);
        assert_int_equal(rig_told, WAL_TELL_FIRST_MAX + more);
        assert_int_equal(sim_storage_in_flight(rig.storage), 1);
        assert_int_equal(starts, more);
        assert_int_equal(more ? told_at_start : 0, 0);
        rig_settle(&rig);
        rig_deinit(&rig);
    }
}

/* ---- Waiting for a free buffer ---- */

struct patience {
    struct rig rig;
    atomic_bool waits;
    unsigned stalls;
};

static void patient_hook(void *context)
{
    struct patience *patience = context;
    assert_true(atomic_load(&patience->waits));
    patience->stalls++;
    patience->rig.clock.ns += 7;
    wal_step(patience->rig.wal, true);
}

static void wal_append_says_that_it_waits_until_it_has_its_place(void **state)
{
    (void)state;
    struct patience patience = {.stalls = 0};
    struct wal_patience told = {.waits = &patience.waits};
    struct rig *rig = &patience.rig;
    rig_init(rig, 8);
    assert_int_equal(rig_open(rig), HF_OK);
    wal_set_stall_hook(rig->wal, patient_hook, &patience);
    for (unsigned i = 0; i < 4 * WAL_GROUPS; i++) {
        uint32_t count = WAL_APPEND_BYTES_MAX / 48;
        uint64_t delta;
        uint64_t start;
        uint32_t len = rig_encode(rig->next_serial, count, rig->scratch, &delta);
        assert_int_equal(
            wal_append_patient(rig->wal, rig->scratch, len, count, delta, &start, &told), HF_OK);
        rig->next_serial += count;
        rig->digest += delta;
        assert_false(atomic_load(&patience.waits));
    }
    assert_true(patience.stalls > 0);
    assert_int_equal(told.waited_ns, 7 * patience.stalls);
    rig_settle(rig);
    assert_log_complete(rig);
    rig_deinit(rig);
}

static void wal_goes_on_over_segments(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 6);
    assert_int_equal(rig_open(&rig), HF_OK);
    wal_set_stall_hook(rig.wal, rig_stall, &rig);
    struct rng rng;
    rng_init(&rng, 6);
    /* 20 MiB in segments of 4, with groups of all sizes; opened anew now and then. */
    for (int i = 0; wal_tail_lsn(rig.wal) < MIB(20); i++) {
        uint32_t count = (uint32_t)rng_between(&rng, 1, WAL_APPEND_BYTES_MAX / 48);
        assert_int_equal(rig_append(&rig, count, NULL), HF_OK);
        if (rng_chance(&rng, 3)) {
            wal_step(rig.wal, rng_chance(&rng, 2));
        }
        if (i % 17 == 16) {
            wal_stop(rig.wal);
            rig_close(&rig);
            assert_int_equal(rig_open(&rig), HF_OK);
            wal_set_stall_hook(rig.wal, rig_stall, &rig);
        }
    }
    wal_stop(rig.wal);
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_true(log.end.segment >= 6);
    assert_true(log.digest_blocks >= 1);
    rig_log_free(&log);
    assert_log_complete(&rig);
    rig_deinit(&rig);
}

static void wal_writes_digests_every_so_many_bytes(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 7);
    rig.options.digest_every_bytes = 100000;
    assert_int_equal(rig_open(&rig), HF_OK);
    for (int i = 0; i < 100; i++) {
        rig_append(&rig, 250, NULL); /* 12 000 bytes */
        rig_settle(&rig);
    }
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_int_equal(log.digest_blocks, 100 * 12000 / 108000); /* every 9 appends */
    rig_log_free(&log);
    wal_stop(rig.wal);
    rig_read(&log, rig.storage);
    assert_int_equal(log.digest_blocks, 12);
    rig_log_free(&log);
    rig_deinit(&rig);
}

/* A group is always filling: a DIGEST block goes behind it all the same. */
static void wal_writes_digests_while_there_is_no_end_of_appends(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 8);
    rig.options.digest_every_bytes = 20000;
    assert_int_equal(rig_open(&rig), HF_OK);
    for (int i = 0; i < 200; i++) {
        rig_append(&rig, 50, NULL); /* 2400 bytes */
        wal_step(rig.wal, false);
    }
    rig_settle(&rig);
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_true(log.digest_blocks >= 5 && log.digest_blocks <= 200 * 2400 / 20000);
    rig_log_free(&log);
    rig_deinit(&rig);
}

static void wal_seals_the_last_data_block_when_idle(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 8);
    assert_int_equal(rig_open(&rig), HF_OK);
    rig_append(&rig, 1, NULL);
    rig_settle(&rig);
    struct wal_stats stats;
    wal_stats(rig.wal, &stats);
    assert_int_equal(stats.blocks, 1);
    rig.clock.ns += 4900000;
    assert_false(wal_step(rig.wal, false));
    rig.clock.ns += 200000;
    rig_settle(&rig);
    wal_stats(rig.wal, &stats);
    assert_int_equal(stats.blocks, 2);
    rig.clock.ns += 1000000000;
    rig_settle(&rig);
    wal_stats(rig.wal, &stats);
    assert_int_equal(stats.blocks, 2); /* once is enough */
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_int_equal(log.blocks[2].header.type, BLOCK_NOOP);
    assert_int_equal(log.blocks[2].header.durable_index, log.blocks[1].header.index);
    rig_log_free(&log);
    assert_log_complete(&rig);
    rig_deinit(&rig);
}

/* A start in another boot goes by the last block's times: an idle log must not let them grow old.
 */
static void wal_seals_its_times_when_idle(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 8);
    assert_int_equal(rig_open(&rig), HF_OK);
    struct wal_stats stats;
    rig.clock.ns += 599000000000u;
    rig_settle(&rig);
    wal_stats(rig.wal, &stats);
    assert_int_equal(stats.blocks, 0);
    for (uint64_t blocks = 1; blocks <= 3; blocks++) { /* 10 minutes each */
        rig.clock.ns += 600000000000u;
        rig_settle(&rig);
        rig_settle(&rig);
        wal_stats(rig.wal, &stats);
        assert_int_equal(stats.blocks, blocks);
    }
    struct rig_log log;
    rig_read(&log, rig.storage);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(log.blocks[i].header.type, BLOCK_NOOP);
        assert_int_equal(log.blocks[i].header.wall_ms,
                         RIG_DEADLINE_MS + 1000 + 599000 + i * 600000);
    }
    rig_log_free(&log);
    rig_deinit(&rig);
}

static void wal_seals_a_step_of_wall_time_when_idle(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 8);
    assert_int_equal(rig_open(&rig), HF_OK);
    struct wal_stats stats;
    rig.clock.wall_ahead_ns = 7200000000000u;
    for (unsigned s = 0; s <= 310; s += 5) { /* 300 s later it is believed */
        timekeeper_tick(rig_last_time);
        rig_settle(&rig);
        wal_stats(rig.wal, &stats);
        assert_true(s > 290 || stats.blocks == 0);
        rig.clock.ns += 5000000000u;
    }
    assert_int_equal(stats.blocks, 1);
    rig.clock.wall_ahead_ns = 0;
    for (unsigned s = 0; s <= 310; s += 5) { /* and back */
        timekeeper_tick(rig_last_time);
        rig_settle(&rig);
        rig.clock.ns += 5000000000u;
    }
    wal_stats(rig.wal, &stats);
    assert_int_equal(stats.blocks, 2);
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_int_equal(log.blocks[1].header.type, BLOCK_NOOP);
    assert_int_equal(log.blocks[1].header.wall_ms - log.blocks[1].header.engine_ms, 7200000);
    assert_int_equal(log.blocks[2].header.type, BLOCK_NOOP);
    assert_int_equal(log.blocks[2].header.wall_ms, log.blocks[2].header.engine_ms);
    rig_log_free(&log);
    rig_deinit(&rig);
}

static void wal_closes_when_a_write_fails(void **state)
{
    (void)state;
    for (unsigned in_flight = 1; in_flight <= 3; in_flight += 2) {
        struct rig rig;
        rig_init(&rig, 9);
        rig.options.in_flight_max = in_flight;
        assert_int_equal(rig_open(&rig), HF_OK);
        uint64_t lsn;
        struct rig_waiter durable;
        rig_waiter_init(&durable);
        rig_append(&rig, 1, &lsn);
        assert_true(wal_wait(rig.wal, lsn, &durable.waiter));
        rig_settle(&rig);
        assert_int_equal(durable.status, HF_OK);

        sim_storage_fail_write(rig.storage, 1, HF_IO_ERROR);
        sim_storage_hold(rig.storage, true);
        struct rig_waiter waiters[6];
        for (int i = 0; i < 5; i++) {
            rig_waiter_init(&waiters[i]);
            assert_int_equal(rig_append(&rig, 1, &lsn), HF_OK);
            assert_true(wal_wait(rig.wal, lsn, &waiters[i].waiter));
            wal_step(rig.wal, false);
        }
        for (int i = 0; i < 100 && wal_state(rig.wal) != WAL_CLOSED; i++) {
            wal_step(rig.wal, true);
        }
        assert_int_equal(wal_state(rig.wal), WAL_CLOSED);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(waiters[i].told, 1);
            /* Never OK for the one that failed, nor for those behind it. */
            assert_int_equal(waiters[i].status, HF_INTERNAL);
        }
        assert_int_equal(wal_commit_lsn(rig.wal), 48);
        assert_int_equal(wal_admit(rig.wal), HF_INTERNAL);
        assert_int_equal(rig_append(&rig, 1, NULL), HF_INTERNAL);
        /* Those who come later are told too, whatever they wait for. */
        for (int i = 0; i < 2; i++) {
            rig_waiter_init(&waiters[5]);
            assert_true(wal_wait(rig.wal, i == 0 ? lsn : 48, &waiters[5].waiter));
            wal_step(rig.wal, false);
            assert_int_equal(waiters[5].told, 1);
            assert_int_equal(waiters[5].status, HF_INTERNAL);
        }
        wal_stop(rig.wal);
        rig_deinit(&rig);
    }
}

static void wal_refuses_work_while_the_disk_is_full(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 10);
    sim_storage_set_capacity(rig.storage, 3 * WAL_SEGMENT_BYTES_MIN);
    assert_int_equal(rig_open(&rig), HF_OK);
    assert_int_equal(wal_admit(rig.wal), HF_OK);
    /* Admitted work always fits; a batch is at most what one request appends at a time. */
    unsigned appended = 0;
    enum hf_status status;
    while ((status = wal_admit(rig.wal)) == HF_OK) {
        assert_int_equal(rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
        rig_settle(&rig);
        wal_prepare_step(rig.wal);
        appended++;
        assert_true(appended < 100);
    }
    assert_int_equal(status, HF_READ_ONLY);
    assert_int_equal(wal_state(rig.wal), WAL_READ_ONLY);
    assert_int_equal(wal_commit_lsn(rig.wal), wal_tail_lsn(rig.wal));
    /* What was already in hand still fits: a group of each buffer would. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
    }
    rig_settle(&rig);
    assert_int_equal(wal_state(rig.wal), WAL_READ_ONLY);
    /* Reads are answered. */
    struct rig_waiter waiter;
    rig_waiter_init(&waiter);
    assert_false(wal_wait(rig.wal, wal_tail_lsn(rig.wal), &waiter.waiter));
    /* Room again. */
    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    assert_true(wal_prepare_step(rig.wal));
    assert_int_equal(wal_admit(rig.wal), HF_OK);
    assert_int_equal(wal_state(rig.wal), WAL_OPEN);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
        rig_settle(&rig);
    }
    wal_stop(rig.wal);
    assert_log_complete(&rig);
    rig_deinit(&rig);
}

/* Appends without asking wal_admit until the room is gone; the waiter waits for the last record. */
static void fill_all_room(struct rig *rig, struct rig_waiter *waiter)
{
    for (int i = 0; i < 100 && wal_commit_lsn(rig->wal) == wal_tail_lsn(rig->wal); i++) {
        assert_int_equal(rig_append(rig, 5000, NULL), HF_OK);
        for (int step = 0; step < 20; step++) {
            wal_step(rig->wal, false);
        }
    }
    rig_waiter_init(waiter);
    assert_true(wal_wait(rig->wal, wal_tail_lsn(rig->wal), &waiter->waiter));
    assert_int_not_equal(wal_state(rig->wal), WAL_CLOSED);
}

static void wal_waits_for_room_with_what_was_admitted(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 11);
    sim_storage_set_capacity(rig.storage, 2 * WAL_SEGMENT_BYTES_MIN);
    assert_int_equal(rig_open(&rig), HF_OK);
    struct rig_waiter waiter;
    fill_all_room(&rig, &waiter);
    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    rig_settle(&rig);
    assert_int_equal(waiter.told, 1);
    assert_int_equal(waiter.status, HF_OK);
    wal_stop(rig.wal);
    assert_log_complete(&rig);
    rig_deinit(&rig);
}

static void wal_stop_gives_up_what_has_no_room(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 12);
    sim_storage_set_capacity(rig.storage, 2 * WAL_SEGMENT_BYTES_MIN);
    assert_int_equal(rig_open(&rig), HF_OK);
    struct rig_waiter waiter;
    fill_all_room(&rig, &waiter);
    uint64_t durable = wal_commit_lsn(rig.wal);
    rig.clock.looks_left = 1000;
    wal_stop(rig.wal);
    rig.clock.looks_left = 0;
    assert_int_equal(waiter.told, 1);
    assert_int_equal(waiter.status, HF_INTERNAL);
    assert_int_equal(wal_state(rig.wal), WAL_CLOSED);
    rig_close(&rig);
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_false(log.end.damaged);
    assert_int_equal(log.end.lsn, durable);
    rig_log_free(&log);
    rig_deinit(&rig);
}

static void wal_is_busy_when_few_groups_are_free(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 12);
    rig.options.segment_bytes = MIB(64);
    assert_int_equal(rig_open(&rig), HF_OK);
    sim_storage_hold(rig.storage, true);
    unsigned appends = 0;
    while (wal_admit(rig.wal) == HF_OK) {
        rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL);
        wal_step(rig.wal, false);
        assert_true(++appends < 100);
    }
    assert_int_equal(wal_admit(rig.wal), HF_BUSY);
    assert_int_equal(wal_state(rig.wal), WAL_OPEN);
    /* What was admitted before still appends without waiting: nobody runs the writer here. */
    for (int i = 0; i < 3; i++) {
        rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL);
    }
    rig_settle(&rig);
    assert_int_equal(wal_admit(rig.wal), HF_OK);
    assert_log_complete(&rig);
    rig_deinit(&rig);
}

static void wal_recycles_segments_before_a_checkpoint(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 13);
    assert_int_equal(rig_open(&rig), HF_OK);
    for (int i = 0; i < 30; i++) {
        rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL);
        rig_settle(&rig);
    }
    uint64_t size;
    char first[STORAGE_NAME_BYTES_MAX] = "wal-0000000000000001.seg";
    wal_recycle(rig.wal, 0, NULL); /* covers nothing */
    assert_non_null(sim_storage_data(rig.storage, first, &size));
    uint64_t used = sim_storage_used(rig.storage);
    wal_recycle(rig.wal, UINT64_MAX, NULL);
    assert_null(sim_storage_data(rig.storage, first, &size));
    assert_non_null(sim_storage_data(rig.storage, "spare-0000000000000001.seg", &size));
    assert_true(sim_storage_used(rig.storage) < used);
    /* The log now begins later, and goes on in files with a past. */
    sim_storage_set_capacity(rig.storage, sim_storage_used(rig.storage));
    uint64_t before = wal_sealed_segment(rig.wal);
    uint64_t serial_before = rig.next_serial;
    rig.options.spare_segments = 1;
    for (int i = 0; i < 4; i++) {
        rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL);
        rig_settle(&rig);
        wal_prepare_step(rig.wal);
        wal_recycle(rig.wal, before, NULL);
    }
    rig_append(&rig, 1, NULL);
    rig_settle(&rig);
    rig_close(&rig);
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_false(log.end.damaged);
    assert_false(log.end.torn);
    assert_true(log.blocks[0].header.index > 1);
    assert_true(log.serials[0] < serial_before);
    assert_int_equal(log.serials[log.count - 1], rig.next_serial - 1);
    rig_log_free(&log);
    rig_deinit(&rig);
}

/* Files of all kinds: log, prepared, spare. */
static unsigned count_files(struct rig *rig)
{
    return (unsigned)(sim_storage_used(rig->storage) / WAL_SEGMENT_BYTES_MIN);
}

static void append_until(struct rig *rig, uint64_t sealed)
{
    while (wal_sealed_segment(rig->wal) < sealed) {
        rig_append(rig, WAL_APPEND_BYTES_MAX / 48, NULL);
        rig_settle(rig);
        wal_prepare_step(rig->wal);
    }
}

static bool count_rest(void *context)
{
    (*(unsigned *)context)++;
    return true;
}

static void wal_keeps_files_to_be_used_again_up_to_a_bound(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 15);
    rig.options.keep_bytes = 6 * WAL_SEGMENT_BYTES_MIN;
    assert_int_equal(rig_open(&rig), HF_OK);
    append_until(&rig, 8);
    unsigned rests = 0;
    const struct wal_recycler recycler = {.rest = count_rest, .context = &rests};
    /* 8 sealed, one that is written, one that is prepared. */
    assert_int_equal(count_files(&rig), 10);
    wal_recycle(rig.wal, UINT64_MAX, &recycler);
    /* One more than were always kept, spare_segments, whatever the bound; four went, in two pieces
     * each. */
    assert_int_equal(count_files(&rig), 6);
    assert_true(rests >= 3 && rests <= 4);
    /* As many again without a new file. */
    sim_storage_set_capacity(rig.storage, sim_storage_used(rig.storage));
    append_until(&rig, 12);
    assert_int_equal(count_files(&rig), 6);
    /* Opened with a smaller bound: what is too many goes. */
    wal_recycle(rig.wal, UINT64_MAX, &recycler);
    assert_int_equal(count_files(&rig), 6);
    rig_close(&rig);
    rig.options.keep_bytes = 4 * WAL_SEGMENT_BYTES_MIN;
    assert_int_equal(rig_open(&rig), HF_OK);
    assert_int_equal(count_files(&rig), 4);
    rig_append(&rig, 1, NULL);
    rig_settle(&rig);
    struct rig_log log;
    rig_read(&log, rig.storage);
    assert_false(log.end.damaged);
    assert_false(log.end.torn);
    assert_int_equal(log.serials[log.count - 1], rig.next_serial - 1);
    rig_log_free(&log);
    rig_deinit(&rig);
}

static bool rest_no_more(void *context)
{
    ++*(unsigned *)context;
    return false;
}

/* Who gives up in the middle of a file wants the next one left alone. */
static void wal_gives_no_more_back_once_it_was_told_to_stop(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 16);
    assert_int_equal(rig_open(&rig), HF_OK);
    append_until(&rig, 8);
    unsigned rests = 0;
    uint64_t first;
    const struct wal_recycler recycler = {.rest = rest_no_more, .context = &rests};
    wal_recycle(rig.wal, UINT64_MAX, &recycler);
    assert_int_equal(rests, 1);
    /* The first is a spare, the second half gone. */
    assert_int_equal(wal_first_segment(rig.storage, &first), HF_OK);
    assert_int_equal(first, 3);
    assert_int_equal(wal_log_bytes(rig.wal), 7 * (uint64_t)WAL_SEGMENT_BYTES_MIN);
    wal_recycle(rig.wal, UINT64_MAX, NULL); /* and on from there */
    assert_int_equal(wal_first_segment(rig.storage, &first), HF_OK);
    assert_int_equal(first, 9);
    rig_deinit(&rig);
}

/* A file's earlier life never shows, however often it was used. */
static void wal_ignores_the_earlier_life_of_recycled_files(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 14);
    assert_int_equal(rig_open(&rig), HF_OK);
    struct rng rng;
    rng_init(&rng, 14);
    sim_storage_set_capacity(rig.storage, 4 * WAL_SEGMENT_BYTES_MIN);
    for (int i = 0; i < 400; i++) {
        uint32_t count = (uint32_t)rng_between(&rng, 1, 8000);
        assert_int_equal(rig_append(&rig, count, NULL), HF_OK);
        rig_settle(&rig);
        wal_recycle(rig.wal, UINT64_MAX, NULL);
        wal_prepare_step(rig.wal);
        if (i % 10 == 9) {
            struct rig_log log;
            rig_read(&log, rig.storage);
            assert_false(log.end.damaged);
            assert_false(log.end.torn);
            assert_int_equal(log.end.lsn, wal_commit_lsn(rig.wal));
            assert_int_equal(log.serials[log.count - 1], rig.next_serial - 1);
            rig_log_free(&log);
        }
    }
    struct wal_stats stats;
    wal_stats(rig.wal, &stats);
    assert_true(stats.segments > 10);
    rig_deinit(&rig);
}

static void wal_takes_other_segment_sizes_when_reopened(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 15);
    const uint64_t sizes[] = {MIB(4), MIB(8), MIB(5), MIB(4)};
    for (int i = 0; i < 4; i++) {
        rig.options.segment_bytes = sizes[i];
        assert_int_equal(rig_open(&rig), HF_OK);
        for (int k = 0; k < 14; k++) {
            assert_int_equal(rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
            rig_settle(&rig);
            wal_prepare_step(rig.wal);
        }
        wal_stop(rig.wal);
        rig_close(&rig);
        assert_log_complete(&rig);
    }
    rig_deinit(&rig);
}

/* Tests make groups small, and so segments that are soon full. Engines with other sizes read and
 * take over what they wrote. */
static void wal_goes_on_over_the_smallest_segments_of_small_groups(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 17);
    rig.options.group_bytes = KIB(8);
    rig.options.segment_bytes = WAL_SEGMENT_BYTES_LEAST(KIB(8));
    assert_int_equal(rig.options.segment_bytes, KIB(32));
    assert_int_equal(rig_open(&rig), HF_OK);
    for (int i = 0; i < 60; i++) {
        uint32_t count = i % 3 == 0 ? KIB(8) / 48 : 1 + (uint32_t)i;
        assert_int_equal(rig_append(&rig, count, NULL), HF_OK);
        assert_int_equal(rig_append(&rig, 3, NULL), HF_OK);
        rig_settle(&rig);
        wal_prepare_step(rig.wal);
    }
    struct wal_stats stats;
    wal_stats(rig.wal, &stats);
    assert_true(stats.segments > 10);
    assert_true(stats.group_records_max <= KIB(8) / 48);
    assert_log_complete(&rig);
    rig_close(&rig);
    rig.options.group_bytes = 0;
    rig.options.segment_bytes = WAL_SEGMENT_BYTES_MIN;
    assert_int_equal(rig_open(&rig), HF_OK);
    assert_int_equal(rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
    rig_settle(&rig);
    assert_log_complete(&rig);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wal_of_an_empty_directory_begins_with_an_epoch),
        cmocka_unit_test(wal_append_gives_consecutive_lsns),
        cmocka_unit_test(wal_group_forms_while_another_is_written),
        cmocka_unit_test(wal_waiters_are_told_in_order_once_durable),
        cmocka_unit_test(wal_acknowledges_in_order_with_several_in_flight),
        cmocka_unit_test(wal_calls_its_hooks_around_each_run_of_waiters),
        cmocka_unit_test(wal_starts_a_write_before_it_tells_many),
        cmocka_unit_test(wal_append_says_that_it_waits_until_it_has_its_place),
        cmocka_unit_test(wal_goes_on_over_segments),
        cmocka_unit_test(wal_writes_digests_every_so_many_bytes),
        cmocka_unit_test(wal_writes_digests_while_there_is_no_end_of_appends),
        cmocka_unit_test(wal_seals_the_last_data_block_when_idle),
        cmocka_unit_test(wal_seals_its_times_when_idle),
        cmocka_unit_test(wal_seals_a_step_of_wall_time_when_idle),
        cmocka_unit_test(wal_closes_when_a_write_fails),
        cmocka_unit_test(wal_refuses_work_while_the_disk_is_full),
        cmocka_unit_test(wal_waits_for_room_with_what_was_admitted),
        cmocka_unit_test(wal_stop_gives_up_what_has_no_room),
        cmocka_unit_test(wal_is_busy_when_few_groups_are_free),
        cmocka_unit_test(wal_recycles_segments_before_a_checkpoint),
        cmocka_unit_test(wal_gives_no_more_back_once_it_was_told_to_stop),
        cmocka_unit_test(wal_keeps_files_to_be_used_again_up_to_a_bound),
        cmocka_unit_test(wal_ignores_the_earlier_life_of_recycled_files),
        cmocka_unit_test(wal_takes_other_segment_sizes_when_reopened),
        cmocka_unit_test(wal_goes_on_over_the_smallest_segments_of_small_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
