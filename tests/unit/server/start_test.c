/* start_test.c - what a start takes for its own log, and what it says of the log's end.
 *
 * Threads: one. */
#include "base/diag.h"
#include "engine_rig.h"
#include "wal/reader.h"

/* ---- Helpers ---- */

/* An engine with a phone, closed in good order. */
static void make_log(struct rig *rig)
{
    rig_open(rig, WAL_SEGMENT_BYTES_MIN);
    define_phone(rig, 10);
    rig_settle(rig);
    engine_close(rig->engine);
    rig->engine = NULL;
}

static struct wal_end end_of(struct rig *rig)
{
    struct wal_reader *reader;
    struct wal_block block;
    struct wal_end end;
    assert_int_equal(wal_reader_open(&reader, rig->storage), HF_OK);
    while (wal_reader_next(reader, &block) == HF_OK) {
    }
    wal_reader_end(reader, &end);
    wal_reader_close(reader);
    return end;
}

static enum hf_status start(struct rig *rig, struct engine_recovery *recovery)
{
    enum hf_status status =
        engine_open(&rig->engine, &rig->options, rig->storage, &rig->clock, recovery);
    assert_int_equal(status == HF_OK, recovery->message[0] == '\0');
    return status;
}

/* ---- Tests ---- */

static void start_takes_its_own_log_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct engine_recovery recovery;
    make_log(&rig);
    struct id128 cluster = end_of(&rig).cluster;
    struct id128 other = {cluster.hi, cluster.lo + 1};
    uint64_t used = sim_storage_used(rig.storage);
    rig.options.cluster = &other;
    assert_int_equal(start(&rig, &recovery), HF_DAMAGED);
    assert_non_null(strstr(recovery.message, "another log than CLUSTER"));
    assert_int_equal(sim_storage_used(rig.storage), used); /* nothing was changed */
    rig.options.cluster = &cluster;
    assert_int_equal(start(&rig, &recovery), HF_OK);
    rig_close(&rig);
}

/* A disk that is not mounted looks like a log that has not begun. */
static void start_begins_no_log_where_there_was_one(void **state)
{
    (void)state;
    struct rig rig;
    struct engine_recovery recovery;
    const struct id128 cluster = {1, 2};
    make_log(&rig);
    storage_destroy(rig.storage);
    rig.storage = sim_storage_make(2);
    rig.options.cluster = &cluster;
    assert_int_equal(start(&rig, &recovery), HF_DAMAGED);
    assert_non_null(strstr(recovery.message, "the log is empty"));
    assert_int_equal(sim_storage_used(rig.storage), 0);
    rig.options.cluster = NULL;
    assert_int_equal(start(&rig, &recovery), HF_OK);
    rig_close(&rig);
}

/* What is removed is reported, in bytes; nothing is where the log ends cleanly. */
static void start_tells_of_a_torn_tail(void **state)
{
    (void)state;
    struct rig rig;
    struct engine_recovery recovery;
    make_log(&rig);
    struct wal_end end = end_of(&rig);
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    wal_segment_name(name, end.segment);
    uint8_t *data = sim_storage_data(rig.storage, name, &size);
    assert_int_equal(start(&rig, &recovery), HF_OK);
    assert_int_equal(recovery.torn_bytes, 0);
    assert_int_equal(recovery.lsn, end.lsn);
    engine_close(rig.engine);
    end = end_of(&rig);
    /* A block that was begun: its header is there, and not as it should be. */
    memcpy(data + end.offset, data + end.offset - WAL_PAGE_BYTES, 600);
    data[end.offset + 50] ^= 1;
    assert_int_equal(start(&rig, &recovery), HF_OK);
    assert_in_range(recovery.torn_bytes, 1, WAL_PAGE_BYTES);
    assert_int_equal(recovery.lsn, end.lsn);
    engine_close(rig.engine);
    assert_int_equal(start(&rig, &recovery), HF_OK); /* it was removed */
    assert_int_equal(recovery.torn_bytes, 0);
    rig_close(&rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_takes_its_own_log_alone),
        cmocka_unit_test(start_begins_no_log_where_there_was_one),
        cmocka_unit_test(start_tells_of_a_torn_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
