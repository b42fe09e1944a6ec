/* prepare_test.c - segments to come can't be made, for each reason there is: work is refused with
 * that reason, nothing is forgotten, and it goes on by itself. What an earlier process prepared;
 * when a segment's file is closed.
 *
 * Threads: one. */
#include <errno.h>

#include "base/diag.h"
#include "lib/fault_storage.h"
#include "unit/wal/wal_rig.h"
#include "wal/wal_private.h"

/* A log over a disk with faults. */
static void begin_with(struct rig *rig, uint32_t spare_segments)
{
    rig_init(rig, 3);
    rig->options.spare_segments = spare_segments;
    rig->storage = fault_storage_make(rig->storage);
    rig->options.keep_bytes = UINT64_MAX;
    assert_int_equal(rig_open(rig), HF_OK);
}

static void begin(struct rig *rig)
{
    begin_with(rig, 1);
}

static bool there(const struct rig *rig, const char *name)
{
    uint64_t size;
    return sim_storage_data(fault_storage_under(rig->storage), name, &size) != NULL;
}

/* Appends until no more is admitted; returns what admission says then. */
static enum hf_status fill(struct rig *rig)
{
    enum hf_status status;
    unsigned appended = 0;
    while ((status = wal_admit(rig->wal)) == HF_OK && appended++ < 100) {
        assert_int_equal(rig_append(rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
        rig_settle(rig);
        wal_prepare_step(rig->wal);
    }
    return status;
}

/* The preparer has not begun yet, and a segment holds few groups: a log that has just been opened
 * takes work all the same, wherever in a segment it goes on. */
static void log_that_was_just_opened_takes_work(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    for (unsigned groups = 0; groups < 4; groups++) {
        assert_int_equal(wal_admit(rig.wal), HF_OK);
        assert_int_equal(rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
        assert_int_equal(wal_admit(rig.wal), HF_OK);
        rig_settle(&rig);
        assert_int_equal(wal_admit(rig.wal), HF_OK);
        rig_close(&rig);
        assert_int_equal(rig_open(&rig), HF_OK);
    }
    rig_deinit(&rig);
}

static void fill_segments(struct rig *rig, uint64_t sealed)
{
    while (wal_sealed_segment(rig->wal) < sealed) {
        assert_int_equal(rig_append(rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
        rig_settle(rig);
        wal_prepare_step(rig->wal);
    }
}

/* All that was appended is there, and the log goes on. */
static void assert_goes_on(struct rig *rig)
{
    assert_int_equal(wal_admit(rig->wal), HF_OK);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(rig_append(rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
        rig_settle(rig);
        wal_prepare_step(rig->wal);
    }
    uint64_t next = rig->next_serial;
    wal_stop(rig->wal);
    rig_close(rig);
    assert_int_equal(rig_open(rig), HF_OK);
    assert_int_equal(rig->next_serial, next);
    wal_stop(rig->wal);
}

static void each_reason_is_told_as_it_is(void **state)
{
    (void)state;
    static const struct {
        enum fault_operation operation;
        int error;
        const char *reason;
    } cases[] = {
        {FAULT_CREATE_ZEROED, ENOSPC, "the disk is full: No space left on device"},
        {FAULT_CREATE_ZEROED, EDQUOT, "the disk is full: Disk quota exceeded"},
        {FAULT_CREATE_ZEROED, EIO, "Input/output error"},
        {FAULT_CREATE_ZEROED, EACCES, "Permission denied"},
        {FAULT_CREATE_ZEROED, EROFS, "Read-only file system"},
        {FAULT_CREATE_ZEROED, EMFILE, "Too many open files"},
        {FAULT_CREATE_ZEROED, ENOMEM, "Cannot allocate memory"},
        {FAULT_OPEN, EMFILE, "Too many open files"},
        {FAULT_OPEN, EIO, "Input/output error"},
        {FAULT_OPEN_TO_WRITE, EACCES, "Permission denied"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        char reason[WAL_REASON_BYTES];
        begin(&rig);
        wal_stuck_reason(rig.wal, reason);
        assert_string_equal(reason, "");
        fault_storage_set(rig.storage, cases[i].operation, "wal-", cases[i].error, FAULT_ALWAYS);
        assert_int_equal(fill(&rig), HF_READ_ONLY);
        assert_int_equal(wal_state(rig.wal), WAL_READ_ONLY);
        wal_stuck_reason(rig.wal, reason);
        assert_string_equal(reason, cases[i].reason);
        assert_int_equal(wal_commit_lsn(rig.wal), wal_tail_lsn(rig.wal));
        /* It is over. */
        fault_storage_set(rig.storage, cases[i].operation, "wal-", 0, 0);
        assert_true(wal_prepare_step(rig.wal));
        wal_stuck_reason(rig.wal, reason);
        assert_string_equal(reason, "");
        assert_goes_on(&rig);
        rig_deinit(&rig);
    }
}

/* Segments 1 to 3 are given back. */
static void make_spares(struct rig *rig)
{
    fill_segments(rig, 4);
    wal_recycle(rig->wal, 3, NULL);
    assert_true(there(rig, "spare-0000000000000001.seg"));
    assert_true(there(rig, "spare-0000000000000002.seg"));
    assert_true(there(rig, "spare-0000000000000003.seg"));
}

static unsigned spares(const struct rig *rig)
{
    return (unsigned)there(rig, "spare-0000000000000001.seg") +
           there(rig, "spare-0000000000000002.seg") + there(rig, "spare-0000000000000003.seg");
}

/* A spare that can't be had now is tried again, and new files are made meanwhile. */
static void spare_that_fails_stays_a_spare(void **state)
{
    (void)state;
    static const struct {
        enum fault_operation operation;
        int error;
    } cases[] = {{FAULT_OPEN, EMFILE},
                 {FAULT_OPEN, EIO},
                 {FAULT_OPEN_TO_WRITE, EACCES},
                 {FAULT_RENAME, EIO},
                 {FAULT_RENAME, EROFS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        begin(&rig);
        make_spares(&rig);
        fault_storage_set(rig.storage, cases[i].operation, "spare-", cases[i].error, FAULT_ALWAYS);
        fill_segments(&rig, 7);
        assert_int_equal(spares(&rig), 3);
        unsigned asked = fault_storage_asked(rig.storage);
        assert_true(asked >= 3 && asked <= 12); /* tried for each segment, not more often */
        assert_int_equal(wal_admit(rig.wal), HF_OK);
        fault_storage_set(rig.storage, cases[i].operation, "spare-", 0, 0);
        fill_segments(&rig, 9);
        assert_true(spares(&rig) <= 1);
        wal_stop(rig.wal);
        rig_deinit(&rig);
    }
}

/* A segment that can't be given back stays the log's, and goes the next time; one whose name was
 * changed by a try that could not finish has gone. */
static void segment_is_given_back_when_it_can_be(void **state)
{
    (void)state;
    for (unsigned renamed = 0; renamed < 2; renamed++) {
        struct rig rig;
        begin(&rig);
        fill_segments(&rig, 4);
        uint64_t bytes = wal_log_bytes(rig.wal);
        if (renamed) {
            struct storage *disk = fault_storage_under(rig.storage);
            assert_int_equal(
                disk->ops->rename(disk, "wal-0000000000000001.seg", "spare-0000000000000001.seg"),
                HF_OK);
        } else {
            fault_storage_set(rig.storage, FAULT_RENAME, "wal-", EIO, FAULT_ALWAYS);
            wal_recycle(rig.wal, 3, NULL);
            assert_int_equal(wal_log_bytes(rig.wal), bytes);
            assert_int_equal(fault_storage_asked(rig.storage), 1);
            fault_storage_set(rig.storage, FAULT_RENAME, "wal-", 0, 0);
        }
        wal_recycle(rig.wal, 3, NULL);
        assert_int_equal(spares(&rig), 3);
        assert_int_equal(wal_log_bytes(rig.wal), bytes - 3 * rig.options.segment_bytes);
        wal_stop(rig.wal);
        rig_deinit(&rig);
    }
}

/* One bad file does not keep the others from being used, and is used itself once it can be. */
static void spare_that_fails_does_not_stand_before_the_others(void **state)
{
    (void)state;
    for (unsigned bad = 1; bad <= 3; bad++) {
        struct rig rig;
        char name[STORAGE_NAME_BYTES_MAX];
        begin(&rig);
        make_spares(&rig);
        snprintf(name, sizeof name, "spare-%016x.seg", bad);
        fault_storage_set(rig.storage, FAULT_OPEN, name, EIO, FAULT_ALWAYS);
        fill_segments(&rig, 8);
        assert_true(there(&rig, name));
        assert_int_equal(spares(&rig), 1);
        fault_storage_set(rig.storage, FAULT_OPEN, name, 0, 0);
        fill_segments(&rig, 11);
        assert_int_equal(spares(&rig), 0);
        wal_stop(rig.wal);
        rig_deinit(&rig);
    }
}

/* A spare of another size is of no use, and when it can't be removed, no hindrance. */
static void spare_of_another_size_that_cant_be_removed_is_no_hindrance(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    make_spares(&rig);
    rig_close(&rig);
    rig.options.segment_bytes = WAL_SEGMENT_BYTES_MIN + WAL_PAGE_BYTES;
    struct wal_end end;
    struct wal_reader *reader;
    struct wal_block block;
    assert_int_equal(wal_reader_open(&reader, rig.storage), HF_OK);
    while (wal_reader_next(reader, &block) == HF_OK) {
    }
    wal_reader_end(reader, &end);
    wal_reader_close(reader);
    fault_storage_set(rig.storage, FAULT_UNLINK, "spare-", EACCES, FAULT_ALWAYS);
    assert_int_equal(wal_open(&rig.wal, &rig.options, rig.storage, rig_time(&rig.clock.clock, &end),
                              &end, rig.digest),
                     HF_OK);
    fill_segments(&rig, wal_sealed_segment(rig.wal) + 3);
    assert_int_equal(spares(&rig), 3);
    assert_true(fault_storage_asked(rig.storage) >= 3);
    fault_storage_set(rig.storage, FAULT_UNLINK, "spare-", 0, 0);
    fill_segments(&rig, wal_sealed_segment(rig.wal) + 3);
    assert_int_equal(spares(&rig), 0);
    wal_stop(rig.wal);
    rig_deinit(&rig);
}

/* A file of some GiB is not written again because opening it failed. */
static void file_that_was_made_is_not_made_again(void **state)
{
    (void)state;
    struct rig rig;
    begin_with(&rig, 3);
    fault_storage_set(rig.storage, FAULT_OPEN, "wal-", EMFILE, 3);
    struct storage *disk = fault_storage_under(rig.storage);
    assert_false(wal_prepare_step(rig.wal));
    uint64_t operations = sim_storage_operations(disk);
    assert_false(wal_prepare_step(rig.wal));
    assert_false(wal_prepare_step(rig.wal));
    assert_true(wal_prepare_step(rig.wal));
    assert_int_equal(sim_storage_operations(disk), operations);
    assert_goes_on(&rig);
    rig_deinit(&rig);
}

/* The mark is no condition for work, and is made up for. Whoever tries again is told of the
 * failure, to rest longer and longer: the storage has a line for each. */
static void mark_that_cant_be_renamed_is_renamed_later(void **state)
{
    (void)state;
    struct rig rig;
    begin(&rig);
    fault_storage_set(rig.storage, FAULT_RENAME, "begun-", EIO, FAULT_ALWAYS);
    fill_segments(&rig, 2);
    assert_true(there(&rig, "begun-0000000000000001.mark"));
    assert_int_equal(wal_admit(rig.wal), HF_OK);
    while (wal_prepare_step(rig.wal)) {
    }
    assert_int_equal(wal_prepare(rig.wal), HF_IO_ERROR);
    fault_storage_set(rig.storage, FAULT_RENAME, "begun-", ENOSPC, FAULT_ALWAYS);
    assert_int_equal(wal_prepare(rig.wal), HF_IO_ERROR);
    fault_storage_set(rig.storage, FAULT_RENAME, "begun-", 0, 0);
    assert_int_equal(wal_prepare(rig.wal), HF_NOT_FOUND);
    assert_true(there(&rig, "begun-0000000000000003.mark"));
    assert_goes_on(&rig);
    rig_deinit(&rig);
}

/* What an engine with another segment size has prepared goes, newest first, before any of it can be
 * taken for a segment of this size. */
static void prepared_segments_of_another_size_are_removed(void **state)
{
    (void)state;
    struct rig rig;
    begin_with(&rig, 2);
    while (wal_prepare_step(rig.wal)) {
    }
    assert_true(there(&rig, "wal-0000000000000002.seg"));
    assert_true(there(&rig, "wal-0000000000000003.seg"));
    wal_stop(rig.wal);
    rig_close(&rig);
    rig.options.segment_bytes = WAL_SEGMENT_BYTES_MIN + WAL_PAGE_BYTES;
    assert_int_equal(rig_open(&rig), HF_OK);
    assert_false(there(&rig, "wal-0000000000000003.seg"));
    assert_true(there(&rig, "wal-0000000000000001.seg")); /* the log itself stays */
    while (wal_prepare_step(rig.wal)) {
    }
    uint64_t size;
    assert_non_null(
        sim_storage_data(fault_storage_under(rig.storage), "wal-0000000000000002.seg", &size));
    assert_int_equal(size, rig.options.segment_bytes);
    assert_goes_on(&rig);
    rig_deinit(&rig);
}

/* One that can't be removed is no segment of this log: it does not open. */
static void prepared_segment_of_another_size_that_stays_keeps_the_log_closed(void **state)
{
    (void)state;
    struct rig rig;
    begin_with(&rig, 2);
    while (wal_prepare_step(rig.wal)) {
    }
    wal_stop(rig.wal);
    rig_close(&rig);
    rig.options.segment_bytes = WAL_SEGMENT_BYTES_MIN + WAL_PAGE_BYTES;
    const char *last = "wal-0000000000000003.seg";
    fault_storage_set(rig.storage, FAULT_UNLINK, last, EACCES, FAULT_ALWAYS);
    assert_int_not_equal(rig_open(&rig), HF_OK);
    assert_int_equal(fault_storage_asked(rig.storage), 1);
    assert_true(there(&rig, "wal-0000000000000002.seg")); /* no gap before the last */
    fault_storage_set(rig.storage, FAULT_UNLINK, last, 0, 0);
    assert_int_equal(rig_open(&rig), HF_OK);
    assert_goes_on(&rig);
    rig_deinit(&rig);
}

/* A segment's file is written until its last block is durable, and that is known only when a later
 * segment has one. */
static void file_stays_open_while_its_segment_may_be_written(void **state)
{
    (void)state;
    struct rig rig;
    begin_with(&rig, 2);
    while (wal_prepare_step(rig.wal)) {
    }
    fill_segments(&rig, 1);
    const struct writer *writer = &rig.wal->writer;
    assert_int_equal(writer->segment, 2);
    assert_int_equal(writer->retired_count, 0);
    for (unsigned i = 0; i < 100 && writer->segment == 2; i++) {
        assert_int_equal(rig_append(&rig, WAL_APPEND_BYTES_MAX / 48, NULL), HF_OK);
        wal_step(rig.wal, false);
    }
    assert_int_equal(writer->segment, 3);
    assert_int_equal(writer->retired_count, 1);
    wal_segment_retire(rig.wal, 1);
    assert_int_equal(writer->retired_count, 1);
    wal_segment_retire(rig.wal, 2); /* one of its blocks is durable, others are under way */
    assert_int_equal(writer->retired_count, 1);
    wal_segment_retire(rig.wal, 3);
    assert_int_equal(writer->retired_count, 0);
    rig_settle(&rig);
    wal_stop(rig.wal);
    rig_deinit(&rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_that_was_just_opened_takes_work),
        cmocka_unit_test(each_reason_is_told_as_it_is),
        cmocka_unit_test(segment_is_given_back_when_it_can_be),
        cmocka_unit_test(spare_that_fails_stays_a_spare),
        cmocka_unit_test(spare_that_fails_does_not_stand_before_the_others),
        cmocka_unit_test(spare_of_another_size_that_cant_be_removed_is_no_hindrance),
        cmocka_unit_test(file_that_was_made_is_not_made_again),
        cmocka_unit_test(mark_that_cant_be_renamed_is_renamed_later),
        cmocka_unit_test(prepared_segments_of_another_size_are_removed),
        cmocka_unit_test(prepared_segment_of_another_size_that_stays_keeps_the_log_closed),
        cmocka_unit_test(file_stays_open_while_its_segment_may_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
