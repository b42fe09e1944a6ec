/* order_test.c - what has been synced when an operation of the real storage returns, and in which
 * order: each against the promise in storage.h, through io_uring and through pwritev2.
 *
 * The page cache survives a killed process, so no test that kills one can see a missing sync: here
 * the system calls themselves are checked (lib/kernel_log.h). Threads: one. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/storage_directory.h"
#include "io/storage_open.h"
#include "unit/io/disk_rig.h"

#define FILE_BYTES KIB(64)

static int set_up(void **state, enum storage_mode mode)
{
    struct rig *rig = calloc(1, sizeof *rig);
    if (!rig_open(rig, mode)) {
        assert_int_equal(mode, STORAGE_URING);
        print_message("io_uring is not permitted here: its part is skipped\n");
    }
    *state = rig;
    return 0;
}

static int set_up_uring(void **state)
{
    return set_up(state, STORAGE_URING);
}

static int set_up_sync(void **state)
{
    return set_up(state, STORAGE_SYNC);
}

static int tear_down(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

static struct rig *rig_of(void **state)
{
    struct rig *rig = *state;
    if (!rig->storage) {
        skip();
    }
    return rig;
}

static storage_file make_and_open(struct rig *rig, const char *name)
{
    storage_file file;
    uint64_t size;
    assert_int_equal(rig->ops->create_zeroed(rig->storage, name, FILE_BYTES), HF_OK);
    assert_int_equal(rig->ops->open(rig->storage, name, true, &file, &size), HF_OK);
    assert_int_equal(size, FILE_BYTES);
    kernel_log_clear();
    return file;
}

/* The place of the nth call of a kind since the clearing, from 0. */
static size_t place_of(enum kernel_op op, unsigned nth)
{
    size_t count;
    const struct kernel_log_call *calls = kernel_log_calls(&count);
    for (size_t i = 0; i < count; i++) {
        if (calls[i].op == op && nth-- == 0) {
            return i;
        }
    }
    kernel_log_print();
    fail_msg("there was no such call: %s", kernel_op_name(op));
    return 0;
}

static const struct kernel_log_call *call_at(size_t place)
{
    size_t count;
    const struct kernel_log_call *calls = kernel_log_calls(&count);
    assert_true(place < count);
    return &calls[place];
}

static void reap_ok(struct rig *rig, unsigned count)
{
    if (rig->ops->start) {
        rig->ops->start(rig->storage);
    }
    while (count > 0) {
        struct storage_completion done[4];
        unsigned n = rig->ops->reap(rig->storage, true, done, 4);
        assert_in_range(n, 1, count);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(done[i].status, HF_OK);
        }
        count -= n;
    }
}

static void order_log_write_is_durable_when_it_is_reaped(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file = make_and_open(rig, "a");
    void *buffers[1] = {rig->buffer};
    rig->ops->register_buffers(rig->storage, buffers, FILE_BYTES, 1);
    /* From a registered buffer and from another; a page and many. */
    const struct {
        size_t from;
        size_t len;
        uint64_t offset;
    } writes[] = {{0, 4096, 0},
                  {4096, 3 * 4096, 8192},
                  {KIB(128), 4096, 32768},
                  {KIB(160), 2 * 4096, 4096 * 12}};
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        kernel_log_clear();
        assert_int_equal(rig->ops->submit_write(rig->storage, file, rig->buffer + writes[i].from,
                                                writes[i].len, writes[i].offset, i),
                         HF_OK);
        reap_ok(rig, 1);
        const struct kernel_log_call *call = call_at(place_of(KERNEL_WRITE, 0));
        assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 1);
        assert_int_equal(call->ring, strcmp(rig->ops->name(rig->storage), "io_uring") == 0);
        assert_int_equal(call->offset, writes[i].offset);
        assert_int_equal(call->len, writes[i].len);
        assert_int_equal(call->flags & RWF_DSYNC, RWF_DSYNC);
        assert_int_equal(kernel_log_unsynced("data/a"), 0);
    }
    rig->ops->close(rig->storage, file);
}

/* Both halves of a write that the kernel did in two are synced. */
static void order_the_rest_of_a_short_log_write_is_durable(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file = make_and_open(rig, "a");
    kernel_log_plan(KERNEL_WRITE, 1, 0, 4096);
    kernel_log_plan(KERNEL_WRITE, 2, 0, 8192);
    assert_int_equal(rig->ops->submit_write(rig->storage, file, rig->buffer, 5 * 4096, 4096, 1),
                     HF_OK);
    reap_ok(rig, 1);
    assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(call_at(place_of(KERNEL_WRITE, i))->flags & RWF_DSYNC, RWF_DSYNC);
    }
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
    rig->ops->close(rig->storage, file);
}

/* A file system that has no RWF_DSYNC: write, then sync. */
static void order_log_write_is_synced_where_the_flag_is_refused(void **state)
{
    struct rig *rig = rig_of(state);
    if (strcmp(rig->ops->name(rig->storage), "pwritev2") != 0) {
        skip();
    }
    storage_file file = make_and_open(rig, "a");
    kernel_log_plan(KERNEL_WRITE, 1, EOPNOTSUPP, 0);
    assert_int_equal(rig->ops->submit_write(rig->storage, file, rig->buffer, 4096, 4096, 1), HF_OK);
    reap_ok(rig, 1);
    assert_true(place_of(KERNEL_DATA_SYNC, 0) > place_of(KERNEL_WRITE, 1));
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
    rig->ops->close(rig->storage, file);
}

static void order_write_sync_and_sync_do_sync(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file = make_and_open(rig, "a");
    assert_int_equal(rig->ops->write_sync(rig->storage, file, rig->buffer, 8192, 4096), HF_OK);
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
    assert_true(place_of(KERNEL_DATA_SYNC, 0) > place_of(KERNEL_WRITE, 0));

    assert_int_equal(rig->ops->write(rig->storage, file, rig->buffer, 8192, 4096), HF_OK);
    assert_int_equal(kernel_log_unsynced("data/a"), 8192);
    kernel_log_clear();
    assert_int_equal(rig->ops->sync(rig->storage, file), HF_OK);
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
    assert_string_equal(call_at(place_of(KERNEL_DATA_SYNC, 0))->name, "data/a");

    /* Also with nothing written by this process: an earlier one's unsynced bytes. */
    kernel_log_clear();
    assert_int_equal(rig->ops->sync(rig->storage, file), HF_OK);
    assert_int_equal(kernel_log_count(KERNEL_DATA_SYNC, "data/a"), 1);
    rig->ops->close(rig->storage, file);
}

static void order_truncate_cuts_and_sync_makes_it_durable(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file = make_and_open(rig, "a");
    uint64_t size;
    assert_int_equal(rig->ops->truncate(rig->storage, file, 8192), HF_OK);
    assert_true(rig_exists(rig, "a", &size));
    assert_int_equal(size, 8192);
    assert_int_equal(rig->ops->sync(rig->storage, file), HF_OK);
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
    rig->ops->close(rig->storage, file);
}

static void order_zeroed_file_is_written_synced_named_and_its_name_synced(void **state)
{
    struct rig *rig = rig_of(state);
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", FILE_BYTES), HF_OK);
    /* Written, not only allocated: a write into allocated blocks alone would need the journal. */
    size_t written = 0;
    for (unsigned i = 0; i < kernel_log_count(KERNEL_WRITE, NULL); i++) {
        const struct kernel_log_call *call = call_at(place_of(KERNEL_WRITE, i));
        assert_int_equal(call->offset, written);
        written += call->len;
    }
    assert_int_equal(written, FILE_BYTES);
    size_t renamed = place_of(KERNEL_RENAME, 0);
    assert_string_equal(call_at(renamed)->to, "data/a");
    assert_int_equal(call_at(renamed)->unsynced, 0); /* before it has its name */
    assert_true(place_of(KERNEL_DATA_SYNC, 0) < renamed);
    assert_true(place_of(KERNEL_SYNC, 0) > renamed);
    assert_string_equal(call_at(place_of(KERNEL_SYNC, 0))->name, "data");
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
    assert_int_equal(kernel_log_names_pending("data"), 0);
    uint64_t size;
    assert_true(rig_exists(rig, "a", &size));
    assert_int_equal(size, FILE_BYTES);
    assert_false(rig_exists(rig, "a.tmp", &size));
}

/* What an interrupted process left under the name in the making, and an older file of the name. */
static void order_new_file_has_nothing_of_an_old_one(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file;
    uint64_t size;
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a.tmp", 4 * FILE_BYTES), HF_OK);
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", 2 * FILE_BYTES), HF_OK);
    assert_int_equal(rig->ops->open(rig->storage, "a", true, &file, &size), HF_OK);
    assert_int_equal(size, 2 * FILE_BYTES);
    assert_int_equal(rig->ops->write_sync(rig->storage, file, rig->buffer, FILE_BYTES, 0), HF_OK);
    rig->ops->close(rig->storage, file);
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", FILE_BYTES), HF_OK);
    assert_int_equal(rig_read(rig, "a", rig->back), FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        assert_int_equal(rig->back[i], 0);
    }
    assert_int_equal(rig->ops->create(rig->storage, "a", &file), HF_OK);
    assert_int_equal(rig_read(rig, "a", rig->back), 0);
    rig->ops->close(rig->storage, file);
}

static void order_large_zeroed_file_is_written_in_full(void **state)
{
    struct rig *rig = rig_of(state);
    const uint64_t large = MIB(2) + 4096;
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", large), HF_OK);
    size_t written = 0;
    for (unsigned i = 0; i < kernel_log_count(KERNEL_WRITE, NULL); i++) {
        const struct kernel_log_call *call = call_at(place_of(KERNEL_WRITE, i));
        assert_int_equal(call->offset, written);
        written += call->len;
    }
    assert_int_equal(written, large);
    assert_int_equal(call_at(place_of(KERNEL_RENAME, 0))->unsynced, 0);
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
}

static void order_rename_and_unlink_sync_the_directory(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file = make_and_open(rig, "a");
    rig->ops->close(rig->storage, file);
    assert_int_equal(rig->ops->rename(rig->storage, "a", "b"), HF_OK);
    assert_true(place_of(KERNEL_SYNC, 0) > place_of(KERNEL_RENAME, 0));
    assert_int_equal(kernel_log_names_pending("data"), 0);
    uint64_t size;
    assert_true(rig_exists(rig, "b", &size));
    assert_false(rig_exists(rig, "a", &size));

    kernel_log_clear();
    assert_int_equal(rig->ops->unlink(rig->storage, "b"), HF_OK);
    assert_true(place_of(KERNEL_SYNC, 0) > place_of(KERNEL_UNLINK, 0));
    assert_int_equal(kernel_log_names_pending("data"), 0);
    assert_false(rig_exists(rig, "b", &size));
}

/* A name may be gone by an earlier try that could not sync the directory. */
static void order_what_is_not_there_is_durably_not_there(void **state)
{
    struct rig *rig = rig_of(state);
    assert_int_equal(rig->ops->unlink(rig->storage, "none"), HF_NOT_FOUND);
    assert_true(place_of(KERNEL_SYNC, 0) > place_of(KERNEL_UNLINK, 0));
    kernel_log_clear();
    assert_int_equal(rig->ops->rename(rig->storage, "none", "some"), HF_NOT_FOUND);
    assert_true(place_of(KERNEL_SYNC, 0) > place_of(KERNEL_RENAME, 0));
}

/* What a checkpoint's writer does with these operations: all durable once it has its name. */
static void order_file_made_piece_by_piece_is_durable_once_it_is_renamed(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file;
    assert_int_equal(rig->ops->create(rig->storage, "c.tmp", &file), HF_OK);
    assert_int_equal(rig->ops->write(rig->storage, file, rig->buffer, 4096, 0), HF_OK);
    assert_int_equal(rig->ops->write(rig->storage, file, rig->buffer, 8192, 4096), HF_OK);
    assert_int_not_equal(kernel_log_unsynced("data/c.tmp"), 0);
    assert_int_equal(rig->ops->sync(rig->storage, file), HF_OK);
    rig->ops->close(rig->storage, file);
    assert_int_equal(rig->ops->rename(rig->storage, "c.tmp", "c"), HF_OK);
    assert_int_equal(call_at(place_of(KERNEL_RENAME, 0))->unsynced, 0);
    assert_int_equal(kernel_log_unsynced("data/c"), 0);
    assert_int_equal(kernel_log_names_pending("data"), 0);
}

static bool rest_always(void *context)
{
    (void)context;
    return true;
}

static void order_unlinked_file_is_gone_durably_before_it_is_cut(void **state)
{
    struct rig *rig = rig_of(state);
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", MIB(5)), HF_OK);
    kernel_log_clear();
    assert_int_equal(storage_unlink_gradually(rig->storage, "a", rest_always, NULL), HF_OK);
    assert_true(place_of(KERNEL_SYNC, 0) > place_of(KERNEL_RENAME, 0));
    assert_true(place_of(KERNEL_SYNC, 0) < place_of(KERNEL_TRUNCATE, 0));
    assert_int_equal(kernel_log_count(KERNEL_TRUNCATE, NULL), 2);
    assert_true(place_of(KERNEL_UNLINK, 0) > place_of(KERNEL_TRUNCATE, 1));
    assert_int_equal(kernel_log_names_pending("data"), 0);
}

/* A killed process's writes may still be under way: each segment is waited for, and not changed. */
static void order_settling_waits_for_old_writes_of_each_segment(void **state)
{
    struct rig *rig = rig_of(state);
    const char *names[] = {"1.seg",     "2.seg",      "x.ckp",     "3.seg.tmp",
                           "4.ckp.tmp", "5.mark.tmp", "theirs.tmp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(rig->ops->create_zeroed(rig->storage, names[i], 8192), HF_OK);
    }
    kernel_log_clear();
    assert_int_equal(storage_settle(rig->storage), HF_OK);
    assert_int_equal(kernel_log_count(KERNEL_ALLOCATE, NULL), 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct kernel_log_call *call = call_at(place_of(KERNEL_ALLOCATE, i));
        assert_string_equal(call->name, i == 0 ? "data/1.seg" : "data/2.seg");
        assert_int_equal(call->flags, FALLOC_FL_KEEP_SIZE);
        assert_int_equal(call->offset, 0);
        assert_int_equal(call->len, 8192);
    }
    assert_int_equal(kernel_log_count(KERNEL_UNLINK, NULL), 3);
    /* And what names it found and left are durable. */
    assert_true(place_of(KERNEL_SYNC, 0) > place_of(KERNEL_UNLINK, 2));
    assert_int_equal(kernel_log_names_pending("data"), 0);
    assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 0);
    assert_int_equal(kernel_log_count(KERNEL_TRUNCATE, NULL), 0);
    uint64_t size;
    assert_true(rig_exists(rig, "theirs.tmp", &size));
    assert_false(rig_exists(rig, "3.seg.tmp", &size));
}

/* Also when it is there already: the process that made it may have been killed before its name was
 * durable. */
static void order_directorys_name_is_durable_once_it_is_opened(void **state)
{
    struct rig *rig = *state;
    char *directory = tempdir_join(rig->parent, "other");
    kernel_log_clear();
    assert_int_equal(storage_make_directory(directory), HF_OK);
    assert_true(place_of(KERNEL_SYNC, 0) > place_of(KERNEL_MKDIR, 0));
    assert_string_equal(call_at(place_of(KERNEL_SYNC, 0))->name, ".");
    assert_int_equal(kernel_log_names_pending("."), 0);
    kernel_log_clear();
    assert_int_equal(storage_make_directory(directory), HF_OK);
    assert_int_equal(kernel_log_count(KERNEL_SYNC, "."), 1);
    free(directory);
}

/* Or a second try would find it there, and take its name for durable. */
static void order_a_directory_whose_name_is_not_durable_is_not_left(void **state)
{
    struct rig *rig = *state;
    char *directory = tempdir_join(rig->parent, "other");
    static const struct {
        enum kernel_op op;
        int error;
    } faults[] = {{KERNEL_OPEN, EACCES}, {KERNEL_SYNC, EIO}, {KERNEL_SYNC, EROFS}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        kernel_log_clear();
        kernel_log_plan(faults[i].op, 1, faults[i].error, 0);
        assert_int_equal(storage_make_directory(directory), HF_IO_ERROR);
        assert_string_equal(storage_reason(HF_IO_ERROR), strerrordesc_np(faults[i].error));
        assert_int_equal(access(directory, F_OK), -1);
        /* One that is there is not ours to remove. */
        kernel_log_clear();
        assert_int_equal(storage_make_directory(directory), HF_OK);
        assert_int_equal(kernel_log_names_pending("."), 0);
        kernel_log_plan(KERNEL_SYNC, 1, EIO, 0);
        assert_int_equal(storage_make_directory(directory), HF_IO_ERROR);
        assert_int_equal(rmdir(directory), 0);
    }
    free(directory);
}

static void order_reading_and_listing_change_nothing(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file = make_and_open(rig, "a");
    size_t got;
    rig->ops->close(rig->storage, file);
    struct storage *reader;
    uint64_t size;
    assert_int_equal(storage_open(&reader, rig->directory, STORAGE_AUTO, true), HF_OK);
    assert_int_equal(reader->ops->open(reader, "a", false, &file, &size), HF_OK);
    assert_int_equal(reader->ops->read(reader, file, rig->back, FILE_BYTES, 0, &got), HF_OK);
    assert_int_equal(got, FILE_BYTES);
    reader->ops->close(reader, file);
    storage_destroy(reader);
    static const enum kernel_op changes[] = {KERNEL_WRITE,  KERNEL_TRUNCATE, KERNEL_ALLOCATE,
                                             KERNEL_RENAME, KERNEL_UNLINK,   KERNEL_MKDIR};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_int_equal(kernel_log_count(changes[i], NULL), 0);
    }
    for (unsigned i = 0; i < kernel_log_count(KERNEL_OPEN, NULL); i++) {
        int flags = call_at(place_of(KERNEL_OPEN, i))->flags;
        assert_int_equal(flags & (O_ACCMODE | O_CREAT | O_TRUNC), O_RDONLY);
    }
}

/* Written past the page cache, so that a read shows what the disk has. */
static void order_writes_go_past_the_page_cache(void **state)
{
    struct rig *rig = rig_of(state);
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", FILE_BYTES), HF_OK);
    size_t count;
    const struct kernel_log_call *calls = kernel_log_calls(&count);
    assert_int_equal(calls[0].op, KERNEL_OPEN);
    assert_int_equal(calls[0].flags & O_DIRECT, O_DIRECT);
}

/* Where the file system refuses that, they go through it, and all else is as before. */
static void order_writes_through_the_page_cache_where_they_must(void **state)
{
    struct rig *rig = rig_of(state);
    storage_file file;
    uint64_t size;
    kernel_log_plan(KERNEL_OPEN, 1, EINVAL, 0);
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", FILE_BYTES), HF_OK);
    assert_int_equal(call_at(place_of(KERNEL_RENAME, 0))->unsynced, 0);
    assert_int_equal(rig->ops->open(rig->storage, "a", true, &file, &size), HF_OK);
    assert_int_equal(size, FILE_BYTES);
    for (unsigned i = 1; i < kernel_log_count(KERNEL_OPEN, NULL); i++) {
        assert_int_equal(call_at(place_of(KERNEL_OPEN, i))->flags & O_DIRECT, 0);
    }
    assert_int_equal(rig->ops->submit_write(rig->storage, file, rig->buffer, 4096, 4096, 1), HF_OK);
    reap_ok(rig, 1);
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
    rig->ops->close(rig->storage, file);
}

#define BOTH(test)                                                                                 \
    {#test " (io_uring)", test, set_up_uring, tear_down, NULL},                                    \
    {                                                                                              \
#test " (pwritev2)", test, set_up_sync, tear_down, NULL                                    \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(order_log_write_is_durable_when_it_is_reaped),
        BOTH(order_the_rest_of_a_short_log_write_is_durable),
        BOTH(order_log_write_is_synced_where_the_flag_is_refused),
        BOTH(order_write_sync_and_sync_do_sync),
        BOTH(order_truncate_cuts_and_sync_makes_it_durable),
        BOTH(order_zeroed_file_is_written_synced_named_and_its_name_synced),
        BOTH(order_new_file_has_nothing_of_an_old_one),
        BOTH(order_large_zeroed_file_is_written_in_full),
        BOTH(order_rename_and_unlink_sync_the_directory),
        BOTH(order_what_is_not_there_is_durably_not_there),
        BOTH(order_file_made_piece_by_piece_is_durable_once_it_is_renamed),
        BOTH(order_unlinked_file_is_gone_durably_before_it_is_cut),
        BOTH(order_settling_waits_for_old_writes_of_each_segment),
        BOTH(order_directorys_name_is_durable_once_it_is_opened),
        BOTH(order_a_directory_whose_name_is_not_durable_is_not_left),
        BOTH(order_reading_and_listing_change_nothing),
        BOTH(order_writes_go_past_the_page_cache),
        BOTH(order_writes_through_the_page_cache_where_they_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
