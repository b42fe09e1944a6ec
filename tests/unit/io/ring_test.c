/* ring_test.c - several log writes under way at once, with faults in them and in the ring itself:
 * each write has one completion, its own, and no write is OK that is not all on
 * the disk. Through io_uring, and with pwritev2 what fits.
 *
 * The random histories print their last seed; SEED=N replays one. Threads: one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "io/storage_open.h"
#include "lib/budget.h"
#include "lib/rng.h"
#include "unit/io/disk_rig.h"

#define WRITES      8u
#define WRITE_BYTES (4 * WAL_PAGE_BYTES)
#define FILE_BYTES  (WRITES * WRITE_BYTES)
#define TOKEN_FIRST 0xabcdef0000000100u /* all 64 bits come back */

struct place {
    struct rig rig;
    storage_file file;
    enum hf_status status[WRITES]; /* of each write's completion */
    unsigned completions[WRITES];
};

static bool open_place(struct place *place, enum storage_mode mode)
{
    uint64_t size;
    memset(place, 0, sizeof *place);
    if (!rig_open(&place->rig, mode)) {
        rig_close(&place->rig);
        return false;
    }
    struct rig *rig = &place->rig;
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", FILE_BYTES), HF_OK);
    assert_int_equal(rig->ops->open(rig->storage, "a", true, &place->file, &size), HF_OK);
    kernel_log_clear();
    return true;
}

static void close_place(struct place *place)
{
    place->rig.ops->close(place->rig.storage, place->file);
    rig_close(&place->rig);
}

/* Write i has bytes, a place and a token of its own. It does not begin yet. */
static enum hf_status hand_over(struct place *place, unsigned i)
{
    struct rig *rig = &place->rig;
    return rig->ops->submit_write(rig->storage, place->file, rig->buffer + i * WRITE_BYTES,
                                  WRITE_BYTES, i * WRITE_BYTES, TOKEN_FIRST + i);
}

static void start(struct rig *rig)
{
    if (rig->ops->start) {
        rig->ops->start(rig->storage);
    }
}

/* The same, and it begins. */
static enum hf_status submit(struct place *place, unsigned i)
{
    enum hf_status status = hand_over(place, i);
    start(&place->rig);
    return status;
}

/* Reaps `count` completions, and not one more. */
static void reap_all(struct place *place, unsigned count)
{
    struct rig *rig = &place->rig;
    struct storage_completion done[3 + 1]; /* one more than asked for may not be written */
    unsigned rounds = 0;
    while (count > 0) {
        unsigned n = rig->ops->reap(rig->storage, true, done, 3);
        assert_in_range(n, 1, 3);
        assert_true(n <= count);
        for (unsigned i = 0; i < n; i++) {
            assert_in_range(done[i].token, TOKEN_FIRST, TOKEN_FIRST + WRITES - 1);
            unsigned which = (unsigned)(done[i].token - TOKEN_FIRST);
            place->status[which] = done[i].status;
            place->completions[which]++;
        }
        count -= n;
        assert_true(++rounds < 1000);
    }
    assert_int_equal(rig->ops->reap(rig->storage, true, done, 3), 0);
    assert_int_equal(rig->ops->reap(rig->storage, false, done, 3), 0);
}

/* A write that is OK is on the disk; any other was never reported as OK. */
static void check_contents(struct place *place)
{
    struct rig *rig = &place->rig;
    assert_int_equal(rig_read(rig, "a", rig->back), FILE_BYTES);
    for (unsigned i = 0; i < WRITES; i++) {
        if (place->completions[i] > 0 && place->status[i] == HF_OK) {
            assert_memory_equal(rig->back + i * WRITE_BYTES, rig->buffer + i * WRITE_BYTES,
                                WRITE_BYTES);
        }
    }
}

/* ---- One fault among several writes ---- */

struct expected {
    int error;
    size_t take;
    enum hf_status status;
};

static void run_one_among_many(enum storage_mode mode, const struct expected *expected,
                               unsigned which)
{
    struct place place;
    if (!open_place(&place, mode)) {
        skip();
    }
    kernel_log_plan(KERNEL_WRITE, which + 1, expected->error, expected->take);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(submit(&place, i), HF_OK);
    }
    reap_all(&place, WRITES);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(place.completions[i], 1);
        assert_int_equal(place.status[i], i == which ? expected->status : HF_OK);
    }
    /* A failed one is not tried again; a short or interrupted one is continued. */
    bool again = expected->status == HF_OK;
    assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), again ? WRITES + 1 : WRITES);
    assert_int_equal(kernel_log_unsynced("data/a"), again ? 0 : WRITE_BYTES - expected->take);
    check_contents(&place);
    close_place(&place);
}

static void one_among_many(enum storage_mode mode)
{
    const struct expected all[] = {
        {EIO, 0, HF_IO_ERROR},   {ENOSPC, 0, HF_NO_SPACE},   {EDQUOT, 0, HF_NO_SPACE},
        {EBADF, 0, HF_IO_ERROR}, {0, 0, HF_IO_ERROR},        {EINTR, 0, HF_OK},
        {EAGAIN, 0, HF_OK},      {0, WAL_PAGE_BYTES, HF_OK}, {0, 3 * WAL_PAGE_BYTES, HF_OK},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (unsigned which = 0; which < WRITES; which += 3) {
            run_one_among_many(mode, &all[i], which);
        }
    }
}

static void ring_failed_write_is_the_only_one_that_fails(void **state)
{
    (void)state;
    one_among_many(STORAGE_URING);
}

static void sync_failed_write_is_the_only_one_that_fails(void **state)
{
    (void)state;
    one_among_many(STORAGE_SYNC);
}

/* A part that is no whole number of pages can't be continued past the page cache. */
static void ring_write_cut_within_a_page_fails(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    kernel_log_plan(KERNEL_WRITE, 1, 0, WAL_PAGE_BYTES + 512);
    assert_int_equal(submit(&place, 0), HF_OK);
    reap_all(&place, 1);
    assert_int_equal(place.status[0], HF_IO_ERROR);
    close_place(&place);
}

/* ---- The ring itself ---- */

static void ring_submit_that_is_put_off_is_submitted_again(void **state)
{
    (void)state;
    static const int errors[] = {EINTR, EAGAIN, EBUSY};
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    for (unsigned i = 0; i < 3; i++) {
        kernel_log_clear();
        kernel_log_plan(KERNEL_RING_SUBMIT, 1, errors[i], 0);
        kernel_log_plan(KERNEL_RING_SUBMIT, 2, errors[i], 0);
        assert_int_equal(submit(&place, i), HF_OK);
        assert_int_equal(kernel_log_met(), 2);
        reap_all(&place, 1);
        assert_int_equal(place.status[i], HF_OK);
        assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 1);
    }
    check_contents(&place);
    close_place(&place);
}

static void ring_wait_that_is_interrupted_waits_on(void **state)
{
    (void)state;
    static const int errors[] = {EINTR, EAGAIN};
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    for (unsigned i = 0; i < 2; i++) {
        kernel_log_clear();
        kernel_log_plan(KERNEL_RING_WAIT, 1, errors[i], 0);
        assert_int_equal(submit(&place, i), HF_OK);
        reap_all(&place, 1);
        assert_int_equal(kernel_log_met(), 1);
        assert_int_equal(place.status[i], HF_OK);
    }
    check_contents(&place);
    close_place(&place);
}

/* What can't be submitted fails, and so does all after it: the ring is not to be trusted. What was
 * submitted before still gets its own completion. */
static void ring_that_refuses_a_write_takes_no_more(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    assert_int_equal(submit(&place, 0), HF_OK);
    kernel_log_plan(KERNEL_RING_SUBMIT, 1, EBADF, 0);
    assert_int_equal(submit(&place, 1), HF_OK); /* taken; that it failed is reaped */
    assert_int_equal(submit(&place, 2), HF_IO_ERROR);
    reap_all(&place, 2);
    assert_int_equal(place.completions[0], 1);
    assert_int_equal(place.status[0], HF_OK);
    assert_int_equal(place.completions[1], 1);
    assert_int_equal(place.status[1], HF_IO_ERROR);
    check_contents(&place);
    close_place(&place);
}

/* One that has not begun when the ring breaks is refused too, and each is reaped once, however few
 * completions the caller has room for. */
static void ring_that_refuses_a_write_fails_those_that_have_not_begun(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(hand_over(&place, i), HF_OK);
    }
    kernel_log_plan(KERNEL_RING_SUBMIT, 3, EBADF, 0);
    reap_all(&place, WRITES);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(place.completions[i], 1);
        assert_int_equal(place.status[i], i < 2 ? HF_OK : HF_IO_ERROR);
    }
    assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 2);
    check_contents(&place);
    close_place(&place);
}

/* ---- Writes that begin when they are waited for ---- */

static void ring_write_that_is_waited_for_at_once_is_one_call(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    for (unsigned i = 0; i < WRITES; i++) {
        kernel_log_clear();
        if (i == 2) {
            kernel_log_plan(KERNEL_WRITE, 1, EIO, 0);
        }
        assert_int_equal(hand_over(&place, i), HF_OK);
        assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 0);
        struct storage_completion done;
        struct rig *rig = &place.rig;
        assert_int_equal(rig->ops->reap(rig->storage, true, &done, 1), 1);
        assert_int_equal(done.token, TOKEN_FIRST + i);
        assert_int_equal(done.status, i == 2 ? HF_IO_ERROR : HF_OK);
        place.completions[i] = 1;
        place.status[i] = done.status;
        assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 1);
        assert_int_equal(kernel_log_count(KERNEL_RING_SUBMIT, NULL), 0);
        assert_int_equal(kernel_log_count(KERNEL_RING_WAIT, NULL), 0);
        assert_int_equal(kernel_log_unsynced("data/a"), i >= 2 ? WRITE_BYTES : 0);
        assert_int_equal(rig->ops->reap(rig->storage, true, &done, 1), 0);
    }
    check_contents(&place);
    close_place(&place);
}

static void ring_writes_begin_with_a_reap_that_does_not_wait(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    struct rig *rig = &place.rig;
    struct storage_completion done;
    assert_int_equal(hand_over(&place, 0), HF_OK);
    unsigned n = rig->ops->reap(rig->storage, false, &done, 1);
    assert_int_equal(kernel_log_count(KERNEL_RING_SUBMIT, NULL), 1);
    if (n == 0) {
        assert_int_equal(rig->ops->reap(rig->storage, true, &done, 1), 1);
    }
    assert_int_equal(done.status, HF_OK);
    assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 1);
    close_place(&place);
}

/* With one under way the others are not waited for one by one. */
static void ring_takes_all_that_wait_when_there_are_several(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    assert_int_equal(submit(&place, 0), HF_OK);
    for (unsigned i = 1; i < WRITES; i++) {
        assert_int_equal(hand_over(&place, i), HF_OK);
    }
    reap_all(&place, WRITES);
    size_t count;
    const struct kernel_log_call *calls = kernel_log_calls(&count);
    for (size_t i = 0; i < count; i++) {
        assert_true(calls[i].op != KERNEL_WRITE || calls[i].ring);
    }
    assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), WRITES);
    check_contents(&place);
    close_place(&place);
}

/* The same for the rest of a short write, and for one that is put off: the write is reported as
 * failed, and what is still in the ring's queue is never sent with a later write. */
static void ring_that_refuses_the_rest_of_a_write_takes_no_more(void **state)
{
    (void)state;
    static const struct expected parts[] = {{0, WAL_PAGE_BYTES, HF_OK}, {EAGAIN, 0, HF_OK}};
    for (unsigned i = 0; i < 2; i++) {
        struct place place;
        if (!open_place(&place, STORAGE_URING)) {
            skip();
        }
        kernel_log_plan(KERNEL_WRITE, 1, parts[i].error, parts[i].take);
        kernel_log_plan(KERNEL_RING_SUBMIT, 2, EBADF, 0);
        assert_int_equal(submit(&place, 0), HF_OK);
        reap_all(&place, 1);
        assert_int_equal(place.status[0], HF_IO_ERROR);
        assert_int_equal(submit(&place, 1), HF_IO_ERROR);
        assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 1);
        close_place(&place);
    }
}

static void ring_that_is_broken_takes_no_rest_either(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    kernel_log_plan(KERNEL_WRITE, 1, 0, WAL_PAGE_BYTES);
    kernel_log_plan(KERNEL_WRITE, 2, 0, WAL_PAGE_BYTES);
    kernel_log_plan(KERNEL_RING_SUBMIT, 3, EBADF, 0);
    assert_int_equal(submit(&place, 0), HF_OK);
    assert_int_equal(submit(&place, 1), HF_OK);
    reap_all(&place, 2);
    assert_int_equal(place.status[0], HF_IO_ERROR);
    assert_int_equal(place.status[1], HF_IO_ERROR);
    assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 2);
    close_place(&place);
}

/* Nothing is known of any write when the ring can't be waited for: all fail. */
static void ring_that_can_not_be_waited_for_fails_all(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(submit(&place, i), HF_OK);
    }
    kernel_log_plan(KERNEL_RING_WAIT, 1, EBADF, 0);
    reap_all(&place, WRITES);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(place.completions[i], 1);
        assert_int_equal(place.status[i], HF_IO_ERROR);
    }
    assert_int_equal(submit(&place, 0), HF_IO_ERROR);
    close_place(&place);
}

/* The memory of writes under way is the kernel's: the storage ends when it is done with them. */
static void ring_ends_after_its_writes(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(submit(&place, i), HF_OK);
    }
    storage_destroy(place.rig.storage);
    place.rig.storage = NULL;
    size_t count;
    const struct kernel_log_call *calls = kernel_log_calls(&count);
    for (size_t i = 0; i < count; i++) {
        assert_true(calls[i].op != KERNEL_WRITE || calls[i].ended);
    }
    for (unsigned i = 0; i < WRITES; i++) {
        place.completions[i] = 1;
    }
    check_contents(&place);
    rig_close(&place.rig);
}

/* ---- Making the ring ---- */

/* A storage in a directory of its own, after a plan. */
static enum hf_status open_planned(struct rig *rig, enum storage_mode mode, unsigned failures,
                                   int error)
{
    rig->storage = NULL;
    for (unsigned i = 1; i <= failures; i++) {
        kernel_log_plan(KERNEL_RING_MAKE, i, error, 0);
    }
    enum hf_status status = storage_open(&rig->storage, rig->directory, mode, false);
    rig->ops = rig->storage ? rig->storage->ops : NULL;
    return status;
}

static void check_one_write(struct rig *rig, const char *name, bool ring)
{
    storage_file file;
    uint64_t size;
    assert_string_equal(rig->ops->name(rig->storage), name);
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", FILE_BYTES), HF_OK);
    assert_int_equal(rig->ops->open(rig->storage, "a", true, &file, &size), HF_OK);
    kernel_log_clear();
    assert_int_equal(rig->ops->submit_write(rig->storage, file, rig->buffer, WRITE_BYTES, 0, 1),
                     HF_OK);
    start(rig);
    struct storage_completion done;
    assert_int_equal(rig->ops->reap(rig->storage, true, &done, 1), 1);
    assert_int_equal(done.status, HF_OK);
    size_t count;
    const struct kernel_log_call *calls = kernel_log_calls(&count);
    for (size_t i = 0; i < count; i++) {
        assert_true(calls[i].op != KERNEL_WRITE || calls[i].ring == ring);
    }
    assert_int_equal(kernel_log_unsynced("data/a"), 0);
    rig->ops->close(rig->storage, file);
}

static void ring_that_is_not_permitted_is_not_needed(void **state)
{
    (void)state;
    static const int errors[] = {EPERM, ENOSYS, ENOMEM, EINVAL};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct rig rig;
        (void)rig_open(&rig, STORAGE_SYNC);
        storage_destroy(rig.storage);
        kernel_log_clear();
        assert_int_equal(open_planned(&rig, STORAGE_URING, 2, errors[i]), HF_UNSUPPORTED);
        assert_null(rig.storage);
        kernel_log_clear();
        assert_int_equal(open_planned(&rig, STORAGE_AUTO, 2, errors[i]), HF_OK);
        check_one_write(&rig, "pwritev2", false);
        rig_close(&rig);
    }
}

/* An older kernel does not know the newest flags. */
static void ring_is_made_without_the_flags_of_new_kernels(void **state)
{
    (void)state;
    struct rig rig;
    if (!rig_open(&rig, STORAGE_URING)) {
        rig_close(&rig);
        skip();
    }
    storage_destroy(rig.storage);
    kernel_log_clear();
    assert_int_equal(open_planned(&rig, STORAGE_URING, 1, EINVAL), HF_OK);
    check_one_write(&rig, "io_uring", true);
    assert_int_equal(kernel_log_count(KERNEL_RING_ENABLE, NULL), 0);
    rig_close(&rig);
}

static void ring_that_can_not_be_enabled_takes_no_write(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    kernel_log_plan(KERNEL_RING_ENABLE, 1, EBADF, 0);
    enum hf_status status = submit(&place, 0);
    if (kernel_log_met() == 0) { /* a kernel before 6.1: it needs no enabling */
        reap_all(&place, 1);
    } else {
        assert_int_equal(status, HF_IO_ERROR);
        assert_int_equal(kernel_log_count(KERNEL_WRITE, NULL), 0);
    }
    close_place(&place);
}

/* Often not permitted (RLIMIT_MEMLOCK): then it does without. */
static void ring_does_without_registered_buffers(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    void *buffers[1] = {place.rig.buffer};
    kernel_log_plan(KERNEL_RING_REGISTER, 1, ENOMEM, 0);
    place.rig.ops->register_buffers(place.rig.storage, buffers, FILE_BYTES, 1);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(submit(&place, i), HF_OK);
    }
    reap_all(&place, WRITES);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(place.status[i], HF_OK);
    }
    check_contents(&place);
    close_place(&place);
}

/* From a registered buffer, from one that only begins in it, from others: each write's own bytes.
 */
static void ring_takes_each_buffer_for_what_it_is(void **state)
{
    (void)state;
    struct place place;
    if (!open_place(&place, STORAGE_URING)) {
        skip();
    }
    void *buffers[2] = {place.rig.buffer + WRITE_BYTES, place.rig.buffer + 4 * WRITE_BYTES};
    place.rig.ops->register_buffers(place.rig.storage, buffers, WRITE_BYTES + WAL_PAGE_BYTES, 2);
    kernel_log_plan(KERNEL_WRITE, 2, 0, WAL_PAGE_BYTES);
    kernel_log_plan(KERNEL_WRITE, 5, 0, 2 * WAL_PAGE_BYTES);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(submit(&place, i), HF_OK);
    }
    reap_all(&place, WRITES);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(place.status[i], HF_OK);
    }
    check_contents(&place);
    close_place(&place);
}

/* ---- Where the file system has no RWF_DSYNC ---- */

static void sync_write_whose_sync_fails_has_failed(void **state)
{
    (void)state;
    struct place place;
    assert_true(open_place(&place, STORAGE_SYNC));
    kernel_log_plan(KERNEL_WRITE, 1, EOPNOTSUPP, 0);
    kernel_log_plan(KERNEL_DATA_SYNC, 1, EIO, 0);
    assert_int_equal(submit(&place, 0), HF_OK);
    reap_all(&place, 1);
    assert_int_equal(place.status[0], HF_IO_ERROR);
    assert_int_equal(kernel_log_count(KERNEL_DATA_SYNC, NULL), 1);
    close_place(&place);
}

/* ---- As many as there may be ---- */

static void run_full(enum storage_mode mode)
{
    struct place place;
    if (!open_place(&place, mode)) {
        skip();
    }
    struct rig *rig = &place.rig;
    enum { MOST = 64 };
    bool seen[2 * MOST] = {false};
    struct storage_completion done[MOST + 1]; /* one more than asked for may not be written */
    unsigned reaped = 0;
    for (unsigned i = 0; i < 2 * MOST; i++) {
        while (i - reaped == MOST) { /* the most allowed; again from the first slot */
            unsigned n = rig->ops->reap(rig->storage, true, done, 5);
            assert_in_range(n, 1, 5);
            for (unsigned k = 0; k < n; k++) {
                assert_int_equal(done[k].status, HF_OK);
                assert_true(done[k].token < i && !seen[done[k].token]);
                seen[done[k].token] = true;
            }
            reaped += n;
        }
        assert_int_equal(rig->ops->submit_write(rig->storage, place.file, rig->buffer,
                                                WAL_PAGE_BYTES, (i % WRITES) * WAL_PAGE_BYTES, i),
                         HF_OK);
    }
    while (reaped < 2 * MOST) {
        unsigned n = rig->ops->reap(rig->storage, true, done, MOST);
        assert_in_range(n, 1, 2 * MOST - reaped);
        for (unsigned k = 0; k < n; k++) {
            assert_true(done[k].token < 2 * MOST && !seen[done[k].token]);
            seen[done[k].token] = true;
        }
        reaped += n;
    }
    assert_int_equal(rig->ops->reap(rig->storage, true, done, MOST), 0);
    close_place(&place);
}

static void ring_takes_as_many_as_there_may_be(void **state)
{
    (void)state;
    run_full(STORAGE_URING);
}

static void sync_takes_as_many_as_there_may_be(void **state)
{
    (void)state;
    run_full(STORAGE_SYNC);
}

/* ---- Random histories ---- */

static uint64_t seed_at_work;

static int tell_seed(void **state)
{
    (void)state;
    print_message("the last seed was %llu\n", (unsigned long long)seed_at_work);
    return 0;
}

/* Short counts, interruptions and now and then a failure, in any order and in the rests too. */
static void plan_some(struct rng *rng)
{
    static const int errors[] = {0, 0, 0, EINTR, EAGAIN, EIO, ENOSPC};
    unsigned at = 0;
    for (unsigned i = 0; i < 8; i++) {
        at += 1 + (unsigned)rng_below(rng, 4);
        int error = errors[rng_below(rng, sizeof errors / sizeof *errors)];
        size_t take = error == 0 ? (1 + rng_below(rng, 3)) * WAL_PAGE_BYTES : 0;
        kernel_log_plan(KERNEL_WRITE, at, error, take);
    }
    kernel_log_plan(KERNEL_RING_WAIT, 1 + (unsigned)rng_below(rng, 10), EINTR, 0);
    kernel_log_plan(KERNEL_RING_SUBMIT, 1 + (unsigned)rng_below(rng, 10), EAGAIN, 0);
}

/* How many of the calls failed for good. */
static unsigned failures(void)
{
    size_t count;
    unsigned failed = 0;
    const struct kernel_log_call *calls = kernel_log_calls(&count);
    for (size_t i = 0; i < count; i++) {
        failed +=
            calls[i].op == KERNEL_WRITE && (calls[i].result == -EIO || calls[i].result == -ENOSPC);
    }
    return failed;
}

static void run_history(struct place *place, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    kernel_log_clear();
    memset(place->completions, 0, sizeof place->completions);
    rig_fill(place->rig.buffer, FILE_BYTES, (unsigned)seed);
    plan_some(&rng);
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(submit(place, i), HF_OK);
    }
    reap_all(place, WRITES);
    unsigned failed = 0;
    for (unsigned i = 0; i < WRITES; i++) {
        assert_int_equal(place->completions[i], 1);
        failed += place->status[i] != HF_OK;
    }
    assert_int_equal(failed, failures());
    check_contents(place);
}

static void run_histories(enum storage_mode mode, const char *what)
{
    uint64_t first = rng_seed_from_env(1);
    struct place place;
    if (!open_place(&place, mode)) {
        skip();
    }
    struct budget budget = budget_make(what, 50, 1.0, 20000);
    while (budget_next(&budget)) {
        uint64_t seed = first + budget.round;
        seed_at_work = seed;
        run_history(&place, seed);
    }
    close_place(&place);
}

static void ring_random_faults_lose_nothing(void **state)
{
    (void)state;
    run_histories(STORAGE_URING, "histories through the ring");
}

static void sync_random_faults_lose_nothing(void **state)
{
    (void)state;
    run_histories(STORAGE_SYNC, "histories with pwritev2");
}

int main(void)
{
    diag_set_level((enum diag_level)(DIAG_ERROR + 1)); /* failures are what this is about */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_failed_write_is_the_only_one_that_fails),
        cmocka_unit_test(sync_failed_write_is_the_only_one_that_fails),
        cmocka_unit_test(ring_write_cut_within_a_page_fails),
        cmocka_unit_test(ring_submit_that_is_put_off_is_submitted_again),
        cmocka_unit_test(ring_wait_that_is_interrupted_waits_on),
        cmocka_unit_test(ring_that_refuses_a_write_takes_no_more),
        cmocka_unit_test(ring_that_refuses_a_write_fails_those_that_have_not_begun),
        cmocka_unit_test(ring_write_that_is_waited_for_at_once_is_one_call),
        cmocka_unit_test(ring_writes_begin_with_a_reap_that_does_not_wait),
        cmocka_unit_test(ring_takes_all_that_wait_when_there_are_several),
        cmocka_unit_test(ring_that_refuses_the_rest_of_a_write_takes_no_more),
        cmocka_unit_test(ring_that_is_broken_takes_no_rest_either),
        cmocka_unit_test(ring_that_can_not_be_waited_for_fails_all),
        cmocka_unit_test(ring_ends_after_its_writes),
        cmocka_unit_test(ring_that_is_not_permitted_is_not_needed),
        cmocka_unit_test(ring_is_made_without_the_flags_of_new_kernels),
        cmocka_unit_test(ring_that_can_not_be_enabled_takes_no_write),
        cmocka_unit_test(ring_does_without_registered_buffers),
        cmocka_unit_test(ring_takes_each_buffer_for_what_it_is),
        cmocka_unit_test(sync_write_whose_sync_fails_has_failed),
        cmocka_unit_test(ring_takes_as_many_as_there_may_be),
        cmocka_unit_test(sync_takes_as_many_as_there_may_be),
        cmocka_unit_test_teardown(ring_random_faults_lose_nothing, tell_seed),
        cmocka_unit_test_teardown(sync_random_faults_lose_nothing, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
