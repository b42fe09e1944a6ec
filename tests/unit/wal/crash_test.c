/* crash_test.c - power cuts and kills at any operation: what was acknowledged is still there, what
 * is there is a prefix of what was appended, and it is never called damaged. */
#include "base/diag.h"
#include "lib/budget.h"
#include "unit/wal/wal_rig.h"

/* One history: engines that open, append, recycle and die. */
struct history {
    struct rig rig;
    struct rng rng;
    uint64_t seed;
    uint64_t acked;      /* records acknowledged in any life: serials below it must survive */
    uint64_t checkpoint; /* records below it may be gone: a checkpoint has them */
    uint64_t *digests;   /* by serial: of all records before it */
};

struct ack {
    struct wal_waiter waiter;
    struct history *history;
    uint64_t serial; /* one behind the last record that it waits for */
    bool used;
};

/* Sanitizers make each life of an engine ten times as long. */
#if defined(HOLDFAST_SANITIZED)
#define SEEDS 1
#else
#define SEEDS 3
#endif
#define ACKS        64
#define SERIALS_MAX 400000

static struct ack acks[ACKS];

static void ack_done(struct wal_waiter *waiter, enum hf_status status)
{
    struct ack *ack = (struct ack *)waiter;
    assert_true(ack->used);
    ack->used = false;
    if (status == HF_OK && ack->serial > ack->history->acked) {
        ack->history->acked = ack->serial;
    }
}

static void hook(void *context)
{
    struct history *history = context;
    wal_step(history->rig.wal, true);
}

/* The LSN of a serial is not known to the test beforehand: DIGEST blocks count too. */
static void append_some(struct history *history)
{
    struct rig *rig = &history->rig;
    uint32_t most = rng_chance(&history->rng, 4) ? WAL_APPEND_BYTES_MAX / 48 : 200;
    uint32_t count = (uint32_t)rng_between(&history->rng, 1, most);
    if (rig->next_serial + count >= SERIALS_MAX) {
        return;
    }
    uint64_t lsn;
    if (rig_append(rig, count, &lsn) != HF_OK) {
        return;
    }
    for (uint64_t serial = rig->next_serial - count; serial < rig->next_serial; serial++) {
        history->digests[serial + 1] = history->digests[serial] + rig_delta(serial);
    }
    for (unsigned i = 0; i < ACKS; i++) {
        if (!acks[i].used) {
            acks[i] = (struct ack){{.done = ack_done}, history, rig->next_serial, true};
            if (!wal_wait(rig->wal, lsn, &acks[i].waiter)) {
                ack_done(&acks[i].waiter, HF_OK);
            }
            break;
        }
    }
}

/* Recovers: checks what is there, and opens the log. False: crashed again on the way. */
static bool recover(struct history *history)
{
    struct rig *rig = &history->rig;
    struct rig_log log;
    memset(&log, 0, sizeof log);
    struct wal_reader *reader;
    if (wal_reader_open(&reader, rig->storage) != HF_OK) {
        return false;
    }
    struct wal_block block;
    enum hf_status status;
    while ((status = wal_reader_next(reader, &block)) == HF_OK) {
        if (block.header.type == BLOCK_DIGEST) {
            uint64_t at = log.count > 0 ? log.serials[log.count - 1] + 1 : 0;
            if (log.count > 0) {
                assert_int_equal(load_u64(block.payload + 8), history->digests[at]);
            }
        } else if (block.header.type == BLOCK_DATA) {
            rig_read_records(&log, &block);
        }
    }
    if (status != HF_NOT_FOUND) {
        wal_reader_close(reader);
        rig_log_free(&log);
        return false;
    }
    wal_reader_end(reader, &log.end);
    wal_reader_close(reader);
    if (log.end.damaged) {
        fail_msg("SEED=%llu: damaged: %s at %llu: %s", (unsigned long long)history->seed,
                 log.end.file, (unsigned long long)log.end.file_offset, log.end.reason);
    }
    for (size_t i = 1; i < log.count; i++) {
        assert_int_equal(log.serials[i], log.serials[i - 1] + 1);
    }
    uint64_t next = log.count > 0 ? log.serials[log.count - 1] + 1 : history->checkpoint;
    assert_true(log.count == 0 || log.serials[0] <= history->checkpoint);
    if (next < history->acked) {
        fail_msg("SEED=%llu: record %llu was acknowledged and is lost",
                 (unsigned long long)history->seed, (unsigned long long)history->acked - 1);
    }
    rig->next_serial = next;
    rig->digest = history->digests[next];
    status = wal_open(&rig->wal, &rig->options, rig->storage, rig_time(&rig->clock.clock, &log.end),
                      &log.end, rig->digest);
    rig_log_free(&log);
    if (status != HF_OK) {
        assert_true(sim_storage_crashed(rig->storage));
        return false;
    }
    wal_set_stall_hook(rig->wal, hook, history);
    return true;
}

/* As after a checkpoint of all that there is. */
static void recycle(struct history *history)
{
    struct wal *wal = history->rig.wal;
    if (wal_commit_lsn(wal) == wal_tail_lsn(wal)) {
        history->checkpoint = history->rig.next_serial;
        wal_recycle(wal, UINT64_MAX, NULL);
    }
}

static void work(struct history *history)
{
    struct rig *rig = &history->rig;
    uint64_t rounds = rng_between(&history->rng, 1, 60);
    for (uint64_t i = 0; i < rounds && wal_state(rig->wal) != WAL_CLOSED; i++) {
        uint64_t dice = rng_below(&history->rng, 20);
        if (dice < 8) {
            append_some(history);
        } else if (dice < 17) {
            wal_step(rig->wal,
                     rng_chance(&history->rng, 2) && sim_storage_in_flight(rig->storage) > 0);
        } else if (dice == 17) {
            wal_prepare_step(rig->wal);
        } else if (dice == 18) {
            rig->clock.ns += rng_below(&history->rng, 8000000);
        } else if (rng_chance(&history->rng, 3)) {
            recycle(history);
        }
    }
}

static void die(struct history *history)
{
    struct rig *rig = &history->rig;
    bool stopped = rig->wal && !sim_storage_crashed(rig->storage) && rng_chance(&history->rng, 5);
    if (stopped) {
        wal_stop(rig->wal);
    }
    /* Also in the middle of an operation: what it did to names is then in the cache alone. */
    if (rng_chance(&history->rng, 3)) {
        sim_storage_kill(rig->storage);
    } else {
        sim_storage_crash(rig->storage);
    }
    rig_close(rig);
    memset(acks, 0, sizeof acks);
}

static void run_history(uint64_t seed)
{
    struct history history = {.seed = seed};
    rng_init(&history.rng, seed);
    rig_init(&history.rig, seed);
    history.digests = calloc(SERIALS_MAX + 1, sizeof *history.digests);
    assert_non_null(history.digests);
    struct wal_options *options = &history.rig.options;
    options->in_flight_max = rng_chance(&history.rng, 2) ? 1 : 4;
    options->digest_every_bytes = rng_chance(&history.rng, 2) ? 0 : 200000;
    options->spare_segments = (uint32_t)rng_between(&history.rng, 1, 2);
    memset(acks, 0, sizeof acks);
    for (int life = 0; life < 12; life++) {
        if (rng_chance(&history.rng, 2)) {
            /* Often early, in the middle of opening. */
            uint64_t most = rng_chance(&history.rng, 2) ? 12 : 80;
            sim_storage_crash_after(history.rig.storage, rng_between(&history.rng, 1, most));
        } else {
            sim_storage_crash_after(history.rig.storage, 0);
        }
        if (recover(&history)) {
            work(&history);
        }
        die(&history);
    }
    sim_storage_crash_after(history.rig.storage, 0);
    assert_true(recover(&history));
    rig_deinit(&history.rig);
    free(history.digests);
}

static void acked_records_survive_any_crash(void **state)
{
    (void)state;
    uint64_t first = rng_seed_from_env(1);
    struct budget budget = budget_make("histories", 3, 2.0, 3000);
    while (budget_next(&budget)) {
        run_history(first + budget.round);
    }
}

/* Every operation of a short life in turn is the last one. */
static void every_operation_may_be_the_last(void **state)
{
    (void)state;
    for (uint64_t last = 1;; last++) {
        bool crashed = false;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct history history = {.seed = seed};
            rng_init(&history.rng, seed);
            rig_init(&history.rig, seed);
            history.digests = calloc(SERIALS_MAX + 1, sizeof *history.digests);
            memset(acks, 0, sizeof acks);
            sim_storage_crash_after(history.rig.storage, last);
            if (recover(&history)) {
                for (int i = 0; i < 12 && wal_state(history.rig.wal) != WAL_CLOSED; i++) {
                    append_some(&history);
                    rig_settle(&history.rig);
                    if (i == 8) {
                        recycle(&history);
                    }
                }
                wal_stop(history.rig.wal);
            }
            crashed |= sim_storage_crashed(history.rig.storage);
            sim_storage_crash(history.rig.storage);
            rig_close(&history.rig);
            memset(acks, 0, sizeof acks);
            assert_true(recover(&history));
            rig_deinit(&history.rig);
            free(history.digests);
        }
        if (!crashed) {
            break;
        }
    }
}

/* Fills the first segment to its last page; the last block is under way. */
static void fill_segment(struct rig *rig, uint64_t seed)
{
    rig_init(rig, seed);
    assert_int_equal(rig_open(rig), HF_OK);
    /* 1024 pages: the header, an EPOCH block, 7 blocks of 129, and one of 119. */
    for (int i = 0; i < 7; i++) {
        assert_int_equal(rig_append(rig, 10922, NULL), HF_OK);
        rig_settle(rig);
    }
    sim_storage_hold(rig->storage, true);
    assert_int_equal(rig_append(rig, 10152, NULL), HF_OK);
    wal_step(rig->wal, false);
    assert_int_equal(sim_storage_in_flight(rig->storage), 1);
}

static void records_read_after_a_kill_survive_a_power_cut(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 16; seed++) {
        struct rig rig;
        fill_segment(&rig, seed);
        uint64_t records = rig.next_serial;
        sim_storage_kill(rig.storage);
        rig_close(&rig);
        /* Recovery finds the last block, which was never synced, and the EPOCH block goes to
         * another file. From now on readers are told of those records. */
        assert_int_equal(rig_open(&rig), HF_OK);
        assert_int_equal(rig.next_serial, records);
        assert_int_equal(wal_commit_lsn(rig.wal), records * 48);
        sim_storage_crash(rig.storage);
        rig_close(&rig);
        struct rig_log log;
        rig_read(&log, rig.storage);
        assert_int_equal(log.end.segment, 2);
        assert_int_equal(log.count, records);
        rig_log_free(&log);
        rig_deinit(&rig);
    }
}

/* A segment to come was named, and the engine killed before it synced the directory. What is
 * acknowledged in that segment later must not go with its name. */
static void names_found_after_a_kill_survive_a_power_cut(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t seed = 0; seed < 512; seed++) {
        struct rig rig;
        uint64_t size;
        rig_init(&rig, seed);
        sim_storage_crash_after(rig.storage, 1 + seed % 12);
        if (rig_open(&rig) == HF_OK) {
            (void)wal_prepare_step(rig.wal);
        }
        bool crashed = sim_storage_crashed(rig.storage);
        sim_storage_kill(rig.storage);
        rig_close(&rig);
        if (crashed && sim_storage_data(rig.storage, "wal-0000000000000002.seg", &size)) {
            found++;
            assert_int_equal(rig_open(&rig), HF_OK);
            for (int i = 0; i < 9; i++) {
                assert_int_equal(rig_append(&rig, 10922, NULL), HF_OK);
                rig_settle(&rig);
            }
            uint64_t records = rig.next_serial;
            sim_storage_crash(rig.storage);
            rig_close(&rig);
            struct rig_log log;
            rig_read(&log, rig.storage);
            assert_int_equal(log.end.segment, 2);
            assert_int_equal(log.count, records);
            rig_log_free(&log);
        }
        rig_deinit(&rig);
    }
    assert_true(found >= 8);
}

static void recycling_never_takes_the_last_durable_block(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 16; seed++) {
        struct rig rig;
        uint64_t size;
        fill_segment(&rig, seed);
        rig_settle(&rig);
        uint64_t records = rig.next_serial;
        /* The next segment is begun, but not durably. */
        assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
        wal_step(rig.wal, false);
        wal_recycle(rig.wal, UINT64_MAX, NULL);
        assert_non_null(sim_storage_data(rig.storage, "wal-0000000000000001.seg", &size));
        sim_storage_crash(rig.storage);
        rig_close(&rig);
        assert_int_equal(rig_open(&rig), HF_OK);
        assert_true(rig.next_serial >= records);
        /* Once it is durable, the one before may go. */
        assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
        sim_storage_hold(rig.storage, false);
        rig_settle(&rig);
        wal_recycle(rig.wal, UINT64_MAX, NULL);
        assert_null(sim_storage_data(rig.storage, "wal-0000000000000001.seg", &size));
        rig_deinit(&rig);
    }
}

int main(void)
{
    diag_set_level((enum diag_level)(DIAG_ERROR + 1)); /* faults are the point here */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acked_records_survive_any_crash),
        cmocka_unit_test(every_operation_may_be_the_last),
        cmocka_unit_test(records_read_after_a_kill_survive_a_power_cut),
        cmocka_unit_test(names_found_after_a_kill_survive_a_power_cut),
        cmocka_unit_test(recycling_never_takes_the_last_durable_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
