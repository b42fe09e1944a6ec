/* checkpointer_test.c - when a checkpoint is due, when it is tried again, and that a stop ends it:
 * the looks of the checkpointer's thread, taken one by one.
 *
 * wal_bytes_max is 32 segments: 4 of them are enough where there is little to do, 8 in any case
 * (checkpointer.h). Threads: one. */
#include "engine_rig.h"
#include "server/engine_internal.h"

#define SEGMENT  MIB(4)
#define SEGMENTS 32u

static void open_rig(struct rig *rig, struct storage *archive)
{
    rig_open(rig, SEGMENT);
    engine_close(rig->engine);
    rig->options.wal_bytes_max = SEGMENTS * SEGMENT;
    rig->options.archive = archive;
    rig_recover(rig);
    define_phone(rig, (int64_t)1 << 40);
}

static uint64_t sealed(struct rig *rig)
{
    return wal_sealed_segment(engine_wal(rig->engine));
}

static void seal_up_to(struct rig *rig, uint64_t number)
{
    for (unsigned i = 0; i < 1000 && sealed(rig) < number; i++) {
        write_log(rig);
    }
    assert_int_equal(sealed(rig), number);
}

static uint64_t look(struct rig *rig)
{
    checkpointer_look(&rig->engine->checkpointer);
    return rig->engine->checkpointer.made;
}

static void checkpoint_is_due_by_bytes_and_by_load(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, NULL);
    assert_int_equal(look(&rig), 0);
    seal_up_to(&rig, 3);
    assert_int_equal(look(&rig), 0);
    assert_int_equal(look(&rig), 0); /* little to do, but less than an eighth */
    seal_up_to(&rig, 4);
    assert_int_equal(look(&rig), 0); /* an eighth, but much was written since the last look */
    assert_int_equal(look(&rig), 1);
    assert_int_equal(rig.engine->checkpointer.last, 4);
    assert_int_equal(look(&rig), 1); /* nothing is new */
    seal_up_to(&rig, 11);
    assert_int_equal(look(&rig), 1); /* less than a quarter */
    seal_up_to(&rig, 12);
    assert_int_equal(look(&rig), 2); /* a quarter, whatever there is to do */
    assert_int_equal(rig.engine->checkpointer.last, 12);
    assert_int_equal(rig.engine->checkpointer.previous, 4);
    rig_verify(&rig);
    rig_crash(&rig);
    rig_close(&rig);
}

/* What fails is tried again after a second, two, four, up to a minute; not in between. */
static void failed_checkpoint_is_tried_again_later_and_later(void **state)
{
    (void)state;
    static const uint64_t pauses_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 64000, 64000, 64000};
    struct rig rig;
    open_rig(&rig, NULL);
    seal_up_to(&rig, 8);
    const struct checkpointer *checkpointer = &rig.engine->checkpointer;
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        sim_storage_fail_write(rig.storage, 1, HF_NO_SPACE);
        uint64_t before = sim_storage_operations(rig.storage);
        assert_int_equal(look(&rig), 0);
        assert_true(checkpointer->failed);
        uint64_t operations = sim_storage_operations(rig.storage);
        assert_true(operations > before); /* tried */
        rig.ms += pauses_ms[i] - 1;
        assert_int_equal(look(&rig), 0);
        assert_int_equal(sim_storage_operations(rig.storage), operations); /* not tried */
        rig.ms += 1;
    }
    sim_storage_fail_write(rig.storage, 0, HF_OK);
    assert_int_equal(look(&rig), 1);
    assert_false(checkpointer->failed);
    /* And from the beginning. */
    seal_up_to(&rig, 16);
    sim_storage_fail_write(rig.storage, 1, HF_NO_SPACE);
    assert_int_equal(look(&rig), 1);
    rig.ms += 1000;
    assert_int_equal(look(&rig), 2);
    assert_false(engine_failed(rig.engine));
    rig_verify(&rig);
    rig_close(&rig);
}

/* Segments wait for an archive that is out of reach, which is tried though no checkpoint is due. */
static void archive_is_tried_again_where_nothing_is_due(void **state)
{
    (void)state;
    struct rig rig;
    struct storage *archive = sim_storage_make(2);
    open_rig(&rig, archive);
    const struct checkpointer *checkpointer = &rig.engine->checkpointer;
    seal_up_to(&rig, 8);
    assert_int_equal(look(&rig), 1);
    seal_up_to(&rig, 16);
    sim_storage_stop(archive);
    assert_int_equal(look(&rig), 2);
    assert_true(checkpointer->archive.failed);
    uint64_t first;
    assert_int_equal(wal_first_segment(rig.storage, &first), HF_OK);
    assert_int_equal(first, 1);
    sim_storage_crash(archive);
    rig.ms += 999;
    (void)look(&rig);
    assert_true(checkpointer->archive.failed);
    rig.ms += 1;
    assert_int_equal(look(&rig), 2);
    assert_false(checkpointer->archive.failed);
    assert_int_equal(wal_first_segment(rig.storage, &first), HF_OK);
    assert_int_equal(first, 9);
    rig_verify(&rig);
    rig_close(&rig);
    storage_destroy(archive);
}

static void stop_ends_a_checkpoint_and_leaves_the_last_one(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, NULL);
    seal_up_to(&rig, 8);
    struct checkpointer *checkpointer = &rig.engine->checkpointer;
    assert_int_equal(checkpointer_run(checkpointer), HF_OK);
    seal_up_to(&rig, 16);
    atomic_store(&checkpointer->pacer.stop, true);
    assert_int_equal(checkpointer_run(checkpointer), HF_CANCELED);
    assert_int_equal(checkpointer->last, 8);
    assert_false(checkpointer->failed);
    atomic_store(&checkpointer->pacer.stop, false);
    assert_int_equal(checkpointer_run(checkpointer), HF_OK);
    assert_int_equal(checkpointer->last, 16);
    assert_int_equal(checkpointer_run(checkpointer), HF_NOT_FOUND);
    rig_verify(&rig);
    rig_close(&rig);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checkpoint_is_due_by_bytes_and_by_load),
        TEST(failed_checkpoint_is_tried_again_later_and_later),
        TEST(archive_is_tried_again_where_nothing_is_due),
        TEST(stop_ends_a_checkpoint_and_leaves_the_last_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
