/* follow_test.c - wal/follow: what is handed out is durable, in order, without gaps. */
#include "unit/wal/wal_rig.h"
#include "wal/follow.h"

/* Reads what there is; checks that records go on where they stopped. Returns how it ended. */
static enum hf_status read_on(struct wal_follow *follow, uint64_t *next_serial)
{
    struct wal_block block;
    enum hf_status status;
    while ((status = wal_follow_next(follow, &block)) == HF_OK) {
        uint32_t at = 0;
        while (block.header.type == BLOCK_DATA && at < block.header.payload_bytes) {
            struct event event;
            struct record_scratch scratch;
            size_t used;
            const char *reason;
            assert_int_equal(record_decode(block.payload + at, block.header.payload_bytes - at,
                                           &event, &scratch, &used, &reason),
                             HF_OK);
            assert_int_equal(event.id.lo, *next_serial);
            ++*next_serial;
            at += (uint32_t)used;
        }
        assert_int_equal(wal_follow_lsn(follow),
                         block.header.first_lsn + block.header.payload_bytes);
    }
    return status;
}

static struct wal_follow *follow_from(struct rig *rig, uint64_t lsn)
{
    struct wal_follow *follow;
    uint64_t oldest;
    assert_int_equal(wal_follow_open(&follow, rig->storage, lsn, 0, &oldest), HF_OK);
    return follow;
}

/* keep_bytes: files up to so many are kept to be used again. */
static void rig_begin_keeping(struct rig *rig, uint64_t keep_bytes)
{
    rig_init(rig, 1);
    rig->options.keep_bytes = keep_bytes;
    assert_int_equal(rig_open(rig), HF_OK);
}

static void rig_begin(struct rig *rig)
{
    rig_begin_keeping(rig, 0);
}

/* Fills segments until `number` is sealed. */
static void seal(struct rig *rig, uint64_t number)
{
    while (wal_sealed_segment(rig->wal) < number) {
        wal_prepare_step(rig->wal);
        assert_int_equal(rig_append(rig, 5000, NULL), HF_OK);
        rig_settle(rig);
    }
}

/* Idle: a NOOP proves the rest. A write that is under way is not always done at the first look. */
static void prove(struct rig *rig)
{
    rig->clock.ns += 10000000u;
    for (unsigned i = 0; i < 64; i++) {
        wal_step(rig->wal, false);
    }
}

static void follow_finds_nothing_where_there_is_no_log(void **state)
{
    (void)state;
    struct storage *storage = sim_storage_make(1);
    struct wal_follow *follow;
    uint64_t oldest;
    assert_int_equal(wal_follow_open(&follow, storage, 0, 0, &oldest), HF_NOT_FOUND);
    assert_null(follow);
    storage_destroy(storage);
}

static void follow_tells_a_block_when_a_later_one_proves_it(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t serial = 0;
    rig_begin(&rig);
    struct wal_follow *follow = follow_from(&rig, 0);
    assert_int_equal(rig_append(&rig, 3, NULL), HF_OK);
    rig_settle(&rig);
    /* Durable, as the engine knows; but nothing in the log says so yet. */
    assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
    assert_int_equal(serial, 0);
    assert_int_equal(rig_append(&rig, 2, NULL), HF_OK);
    rig_settle(&rig);
    assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
    assert_int_equal(serial, 3);
    rig.clock.ns += 10000000u;      /* idle: a NOOP proves the rest */
    for (int i = 0; i < 100; i++) { /* a pass may find nothing done yet */
        wal_step(rig.wal, false);
    }
    assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
    assert_int_equal(serial, 5);
    wal_follow_close(follow);
    rig_deinit(&rig);
}

static void follow_goes_from_segment_to_segment(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t serial = 0;
    rig_begin(&rig);
    struct wal_follow *follow = follow_from(&rig, 0);
    for (uint64_t number = 1; number <= 4; number++) {
        seal(&rig, number);
        assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
        assert_true(serial > 0 && serial <= rig.next_serial);
    }
    /* And all of it at once. */
    uint64_t again = 0;
    struct wal_follow *late = follow_from(&rig, 0);
    assert_int_equal(read_on(late, &again), HF_NOT_FOUND);
    assert_int_equal(again, serial);
    wal_follow_close(late);
    wal_follow_close(follow);
    rig_deinit(&rig);
}

static void follow_goes_on_after_a_restart(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t serial = 0;
    rig_begin(&rig);
    struct wal_follow *follow = follow_from(&rig, 0);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(rig_append(&rig, 4, NULL), HF_OK);
        rig_settle(&rig);
        rig_close(&rig);
        assert_int_equal(rig_open(&rig), HF_OK);
        assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
        assert_int_equal(serial, rig.next_serial); /* the EPOCH block proves them */
    }
    wal_follow_close(follow);
    rig_deinit(&rig);
}

static void follow_says_expired_when_its_segment_is_given_back(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t serial = 0;
    uint64_t oldest;
    rig_begin(&rig);
    struct wal_follow *slow = follow_from(&rig, 0);
    seal(&rig, 3);
    wal_recycle(rig.wal, 2, NULL);
    seal(&rig, 6); /* the files are other segments now */
    assert_int_equal(read_on(slow, &serial), HF_EXPIRED);
    struct wal_follow *none;
    assert_int_equal(wal_follow_open(&none, rig.storage, 0, 0, &oldest), HF_EXPIRED);
    assert_null(none);
    assert_true(oldest > 0);
    /* What is left can be followed. */
    struct wal_follow *rest = follow_from(&rig, oldest);
    assert_int_equal(wal_follow_lsn(rest), oldest);
    wal_follow_close(rest);
    wal_follow_close(slow);
    rig_deinit(&rig);
}

/* ---- Given back, and the file still looks as it did ---- */

/* Reads until it stands behind a block in the second half of a segment. */
static void read_into(struct wal_follow *follow, uint64_t number, uint64_t *next_serial)
{
    struct wal_block block;
    do {
        assert_int_equal(wal_follow_next(follow, &block), HF_OK);
        if (block.header.type == BLOCK_DATA) {
            *next_serial += block.header.record_count;
        }
    } while (block.header.segment < number || block.file_offset < WAL_SEGMENT_BYTES_MIN / 2);
    assert_int_equal(block.header.segment, number);
}

/* The rest that is in the file may be told; but never that there is nothing more. */
static void check_expires(uint64_t keep_bytes)
{
    struct rig rig;
    uint64_t serial = 0;
    uint64_t oldest;
    rig_begin_keeping(&rig, keep_bytes);
    seal(&rig, 6);
    struct wal_follow *slow = follow_from(&rig, 0);
    read_into(slow, 3, &serial);
    wal_recycle(rig.wal, 5, NULL);
    assert_int_equal(read_on(slow, &serial), HF_EXPIRED);
    assert_int_equal(read_on(slow, &serial), HF_EXPIRED);
    seal(&rig, 8);
    assert_int_equal(read_on(slow, &serial), HF_EXPIRED);
    struct wal_follow *none;
    assert_int_equal(wal_follow_open(&none, rig.storage, wal_follow_lsn(slow), 0, &oldest),
                     HF_EXPIRED);
    assert_true(oldest > wal_follow_lsn(slow));
    wal_follow_close(slow);
    rig_deinit(&rig);
}

static void follow_says_expired_when_its_segment_is_a_spare(void **state)
{
    (void)state;
    check_expires(GIB(1));
}

static void follow_says_expired_when_its_segment_is_worn_away(void **state)
{
    (void)state;
    check_expires(0);
}

/* A copy of a segment's file. Free with free(). */
static uint8_t *copy_segment(struct rig *rig, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    wal_segment_name(name, number);
    const uint8_t *data = sim_storage_data(rig->storage, name, &size);
    uint8_t *copy = malloc(WAL_SEGMENT_BYTES_MIN);
    assert_non_null(copy);
    assert_int_equal(size, WAL_SEGMENT_BYTES_MIN);
    memcpy(copy, data, size);
    return copy;
}

/* As an archive does, the directory has another file of that name. */
static void archive_segment(struct rig *rig, uint64_t number, uint8_t *copy)
{
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    wal_segment_name(name, number);
    assert_int_equal(rig->storage->ops->create_zeroed(rig->storage, name, WAL_SEGMENT_BYTES_MIN),
                     HF_OK);
    memcpy(sim_storage_data(rig->storage, name, &size), copy, WAL_SEGMENT_BYTES_MIN);
    free(copy);
}

static void check_goes_on_in_the_archive(uint64_t keep_bytes)
{
    enum { GIVEN_BACK = 5 };
    struct rig rig;
    uint64_t serial = 0;
    uint8_t *copies[GIVEN_BACK + 1];
    rig_begin_keeping(&rig, keep_bytes);
    seal(&rig, GIVEN_BACK + 1);
    struct wal_follow *slow = follow_from(&rig, 0);
    read_into(slow, 3, &serial);
    for (uint64_t number = 1; number <= GIVEN_BACK; number++) {
        copies[number] = copy_segment(&rig, number);
    }
    wal_recycle(rig.wal, GIVEN_BACK, NULL);
    seal(&rig, GIVEN_BACK + 3);
    for (uint64_t number = 1; number <= GIVEN_BACK; number++) {
        archive_segment(&rig, number, copies[number]);
    }
    prove(&rig);
    assert_int_equal(read_on(slow, &serial), HF_NOT_FOUND);
    assert_int_equal(serial, rig.next_serial);
    wal_follow_close(slow);
    rig_deinit(&rig);
}

static void follow_goes_on_in_the_archive_when_its_segment_is_a_spare(void **state)
{
    (void)state;
    check_goes_on_in_the_archive(GIB(1));
}

static void follow_goes_on_in_the_archive_when_its_segment_is_worn_away(void **state)
{
    (void)state;
    check_goes_on_in_the_archive(0);
}

/* The next segment is there, in its place: nothing that was not read. */
static void follow_goes_on_when_all_of_its_segment_was_read_and_given_back(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t serial = 0;
    rig_begin_keeping(&rig, GIB(1));
    struct wal_follow *follow = follow_from(&rig, 0);
    for (uint64_t number = 2; number <= 5; number++) {
        seal(&rig, number);
        prove(&rig);
        assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
        assert_int_equal(serial, rig.next_serial);
        wal_recycle(rig.wal, UINT64_MAX, NULL);
    }
    wal_follow_close(follow);
    rig_deinit(&rig);
}

static void follow_says_damaged_when_a_proven_payload_is_not_what_was_written(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t serial = 0;
    uint64_t size;
    rig_begin(&rig);
    struct wal_follow *follow = follow_from(&rig, 0);
    assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
    rig_settle(&rig);
    assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
    rig_settle(&rig);
    /* Segment header, EPOCH block, then the first record's. */
    uint8_t *data = sim_storage_data(rig.storage, "wal-0000000000000001.seg", &size);
    data[2 * WAL_PAGE_BYTES + BLOCK_HEADER_BYTES + 8] ^= 1;
    assert_int_equal(read_on(follow, &serial), HF_DAMAGED);
    assert_int_equal(serial, 0);
    data[2 * WAL_PAGE_BYTES + BLOCK_HEADER_BYTES + 8] ^= 1;
    assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
    assert_int_equal(serial, 1);
    wal_follow_close(follow);
    rig_deinit(&rig);
}

/* Each byte of a block's header in turn is not yet what it will be: as long as it isn't, the header
 * proves nothing. */
static void follow_waits_while_a_header_is_torn(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t serial = 0;
    uint64_t size;
    rig_begin(&rig);
    struct wal_follow *follow = follow_from(&rig, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rig_append(&rig, 1, NULL), HF_OK);
        rig_settle(&rig);
    }
    /* Segment header, EPOCH block, the first record's, and the one that proves it. */
    uint8_t *data = sim_storage_data(rig.storage, "wal-0000000000000001.seg", &size);
    uint8_t *header = data + (size_t)3 * WAL_PAGE_BYTES;
    for (unsigned i = 0; i < BLOCK_HEADER_BYTES; i++) {
        header[i] ^= 1;
        assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
        assert_int_equal(serial, 0);
        header[i] ^= 1;
    }
    assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
    assert_int_equal(serial, 1);
    wal_follow_close(follow);
    rig_deinit(&rig);
}

/* The same of a segment's header. */
static void follow_waits_while_the_next_segments_header_is_torn(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t size;
    rig_begin(&rig);
    seal(&rig, 1);
    uint8_t *header = sim_storage_data(rig.storage, "wal-0000000000000002.seg", &size);
    uint64_t before = 0;
    for (unsigned i = 0; i < SEGMENT_HEADER_BYTES; i++) {
        uint64_t serial = 0;
        struct wal_follow *follow = follow_from(&rig, 0);
        header[i] ^= 1;
        assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
        assert_true(serial < rig.next_serial && (i == 0 || serial == before));
        before = serial;
        header[i] ^= 1;
        assert_int_equal(read_on(follow, &serial), HF_NOT_FOUND);
        assert_true(serial > before);
        wal_follow_close(follow);
    }
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follow_finds_nothing_where_there_is_no_log),
        cmocka_unit_test(follow_tells_a_block_when_a_later_one_proves_it),
        cmocka_unit_test(follow_goes_from_segment_to_segment),
        cmocka_unit_test(follow_goes_on_after_a_restart),
        cmocka_unit_test(follow_says_expired_when_its_segment_is_given_back),
        cmocka_unit_test(follow_says_expired_when_its_segment_is_a_spare),
        cmocka_unit_test(follow_says_expired_when_its_segment_is_worn_away),
        cmocka_unit_test(follow_goes_on_in_the_archive_when_its_segment_is_a_spare),
        cmocka_unit_test(follow_goes_on_in_the_archive_when_its_segment_is_worn_away),
        cmocka_unit_test(follow_goes_on_when_all_of_its_segment_was_read_and_given_back),
        cmocka_unit_test(follow_says_damaged_when_a_proven_payload_is_not_what_was_written),
        cmocka_unit_test(follow_waits_while_a_header_is_torn),
        cmocka_unit_test(follow_waits_while_the_next_segments_header_is_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
