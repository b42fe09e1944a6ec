/* faults_test.c - each operation of the real storage with each kind of fault in each system call
 * that it makes, through io_uring and through pwritev2.
 *
 * An operation is run again and again: with the fault in its first call, in its second, and so on
 * until no call is left. Each time the rules of storage.h are held against it:
 *   - a call that was interrupted or did less than asked for loses nothing;
 *   - the status is the one that belongs to the errno, and what failed is never OK;
 *   - nothing is retried after a failed write or sync;
 *   - what is reported as durable was synced, by calls that succeeded;
 *   - NO_SPACE leaves no file, no failure leaves a file descriptor open, and the storage
 *     still works.
 * Threads: one. Real syncs are skipped (lib/kernel_log.h): their being asked for is what counts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "io/identity.h"
#include "io/storage_directory.h"
#include "io/storage_open.h"
#include "unit/io/disk_rig.h"

#define FILE_BYTES KIB(64)
#define CALLS_MAX  40u

/* ---- Operations ---- */

/* One run of an operation; each has its own fields filled in. */
struct run {
    struct rig *rig;
    storage_file file; /* "a", open for writing */
    enum hf_status status;
    size_t got; /* of a read */
};

struct operation {
    const char *name;
    void (*act)(struct run *run);
    /* Only after OK: what was asked for is there. */
    void (*check_done)(struct run *run);
    bool durable; /* OK means that "a" and all names are */
};

/* Fails with where it was, and the calls. */
static char where[256];

#define EXPECT(what)                                                                               \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            kernel_log_print();                                                                    \
            fail_msg("%s: does not hold: %s", where, #what);                                       \
        }                                                                                          \
    } while (0)

#define WRITE_BYTES  (5 * WAL_PAGE_BYTES)
#define WRITE_OFFSET (2 * WAL_PAGE_BYTES)

static enum hf_status reap_one(struct rig *rig, uint64_t token)
{
    if (rig->ops->start) {
        rig->ops->start(rig->storage);
    }
    struct storage_completion done = {0};
    EXPECT(rig->ops->reap(rig->storage, true, &done, 1) == 1);
    EXPECT(done.token == token);
    return done.status;
}

static void act_log_write(struct run *run)
{
    struct rig *rig = run->rig;
    run->status =
        rig->ops->submit_write(rig->storage, run->file, rig->buffer, WRITE_BYTES, WRITE_OFFSET, 77);
    if (run->status == HF_OK) {
        run->status = reap_one(rig, 77);
    }
}

static void act_write(struct run *run)
{
    struct rig *rig = run->rig;
    run->status = rig->ops->write(rig->storage, run->file, rig->buffer, WRITE_BYTES, WRITE_OFFSET);
}

static void act_write_sync(struct run *run)
{
    struct rig *rig = run->rig;
    run->status =
        rig->ops->write_sync(rig->storage, run->file, rig->buffer, WRITE_BYTES, WRITE_OFFSET);
}

/* The written bytes are where they belong, and all around them is as it was. */
static void check_written(struct run *run)
{
    struct rig *rig = run->rig;
    EXPECT(rig_read(rig, "a", rig->back) == FILE_BYTES);
    EXPECT(memcmp(rig->back + WRITE_OFFSET, rig->buffer, WRITE_BYTES) == 0);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        bool inside = i >= WRITE_OFFSET && i < WRITE_OFFSET + WRITE_BYTES;
        EXPECT(inside || rig->back[i] == 0);
    }
}

static void act_sync(struct run *run)
{
    run->status = run->rig->ops->sync(run->rig->storage, run->file);
}

static void act_truncate(struct run *run)
{
    run->status = run->rig->ops->truncate(run->rig->storage, run->file, 2 * WAL_PAGE_BYTES);
}

static void check_truncated(struct run *run)
{
    uint64_t size = 0;
    EXPECT(rig_exists(run->rig, "a", &size));
    EXPECT(size == 2 * WAL_PAGE_BYTES);
}

static void act_read(struct run *run)
{
    struct rig *rig = run->rig;
    memset(rig->back, 7, FILE_BYTES);
    run->status = rig->ops->read(rig->storage, run->file, rig->back, FILE_BYTES, 0, &run->got);
}

static void check_read(struct run *run)
{
    EXPECT(run->got == FILE_BYTES);
    EXPECT(memcmp(run->rig->back, run->rig->buffer, FILE_BYTES) == 0);
}

static void act_open(struct run *run)
{
    storage_file file;
    uint64_t size = 0;
    struct rig *rig = run->rig;
    run->status = rig->ops->open(rig->storage, "a", true, &file, &size);
    if (run->status == HF_OK) {
        EXPECT(size == FILE_BYTES);
        rig->ops->close(rig->storage, file);
    }
}

static void act_create(struct run *run)
{
    storage_file file;
    struct rig *rig = run->rig;
    run->status = rig->ops->create(rig->storage, "c", &file);
    if (run->status == HF_OK) {
        rig->ops->close(rig->storage, file);
    }
}

static void check_created(struct run *run)
{
    uint64_t size = 1;
    EXPECT(rig_exists(run->rig, "c", &size));
    EXPECT(size == 0);
}

/* More than is written in one go, with an odd rest. */
#define ZEROED_BYTES (MIB(1) + 2 * WAL_PAGE_BYTES)

static void act_create_zeroed(struct run *run)
{
    run->status = run->rig->ops->create_zeroed(run->rig->storage, "z", ZEROED_BYTES);
}

static void check_zeroed(struct run *run)
{
    uint64_t size = 0;
    EXPECT(rig_exists(run->rig, "z", &size));
    EXPECT(size == ZEROED_BYTES);
    EXPECT(kernel_log_unsynced("data/z") == 0);
}

static void act_rename(struct run *run)
{
    run->status = run->rig->ops->rename(run->rig->storage, "b", "d");
}

static void check_renamed(struct run *run)
{
    uint64_t size;
    EXPECT(!rig_exists(run->rig, "b", &size));
    EXPECT(rig_exists(run->rig, "d", &size));
}

static void act_unlink(struct run *run)
{
    run->status = run->rig->ops->unlink(run->rig->storage, "b");
}

static void check_unlinked(struct run *run)
{
    uint64_t size;
    EXPECT(!rig_exists(run->rig, "b", &size));
}

static bool visit_name(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
    return true;
}

static void act_list(struct run *run)
{
    unsigned count = 0;
    run->status = run->rig->ops->list(run->rig->storage, visit_name, &count);
    EXPECT(run->status != HF_OK || count == 2);
}

static void act_unlink_gradually(struct run *run)
{
    run->status = storage_unlink_gradually(run->rig->storage, "b", NULL, NULL);
}

static void act_make_directory(struct run *run)
{
    char *directory = tempdir_join(run->rig->parent, "other");
    run->status = storage_make_directory(directory);
    EXPECT(run->status != HF_OK || kernel_log_names_pending(".") == 0);
    free(directory);
}

static void act_open_storage(struct run *run)
{
    struct storage *other = NULL;
    char *directory = tempdir_join(run->rig->parent, "other");
    run->status = storage_open(&other, directory, STORAGE_SYNC, false);
    EXPECT((run->status == HF_OK) == (other != NULL));
    storage_destroy(other);
    EXPECT(run->status != HF_OK || kernel_log_names_pending(".") == 0);
    free(directory);
}

static void act_lock(struct run *run)
{
    int lock = -1;
    run->status = storage_lock(run->rig->directory, &lock);
    EXPECT((run->status == HF_OK) == (lock >= 0));
    storage_unlock(lock);
}

static const struct id128 cluster = {1, 2};

static void act_identity(struct run *run)
{
    run->status = identity_write(run->rig->directory, cluster);
}

static void check_identity(struct run *run)
{
    struct id128 read = {0};
    EXPECT(identity_read(run->rig->directory, &read) == HF_OK);
    EXPECT(memcmp(&read, &cluster, sizeof read) == 0);
    EXPECT(kernel_log_unsynced("data/" IDENTITY_NAME) == 0);
}

static void act_settle(struct run *run)
{
    run->status = storage_settle(run->rig->storage);
}

static void check_nothing(struct run *run)
{
    (void)run;
}

static const struct operation operations[] = {
    {"submit_write", act_log_write, check_written, true},
    {"write", act_write, check_written, false},
    {"write_sync", act_write_sync, check_written, true},
    {"sync", act_sync, check_nothing, true},
    {"truncate", act_truncate, check_truncated, false},
    {"read", act_read, check_read, false},
    {"open", act_open, check_nothing, false},
    {"create", act_create, check_created, false},
    {"create_zeroed", act_create_zeroed, check_zeroed, true},
    {"rename", act_rename, check_renamed, true},
    {"unlink", act_unlink, check_unlinked, true},
    {"list", act_list, check_nothing, false},
    {"unlink_gradually", act_unlink_gradually, check_unlinked, true},
    {"make_directory", act_make_directory, check_nothing, false},
    {"storage_open", act_open_storage, check_nothing, false},
    {"lock", act_lock, check_nothing, false},
    {"identity", act_identity, check_identity, true},
    {"settle", act_settle, check_nothing, true},
};

/* ---- Faults ---- */

struct fault {
    const char *name;
    int error;   /* 0: none, but a short count */
    size_t take; /* bytes of a read or write that are done */
    bool both;   /* through the ring too: except for log writes both ways share their code */
};

static const struct fault faults[] = {
    {"a short count of a page", 0, WAL_PAGE_BYTES, true},
    {"a short count of 3 pages", 0, 3 * WAL_PAGE_BYTES, false},
    {"a short count of 128 bytes", 0, 128, false},
    {"a short count of 9 sectors", 0, 9 * 512, false},
    {"a count of 0", 0, 0, false},
    {"EINTR", EINTR, 0, true},
    {"EAGAIN", EAGAIN, 0, false},
    {"EIO", EIO, 0, true},
    {"EIO with a page written", EIO, WAL_PAGE_BYTES, false},
    {"ENOSPC", ENOSPC, 0, true},
    {"ENOSPC with a page written", ENOSPC, WAL_PAGE_BYTES, false},
    {"EDQUOT", EDQUOT, 0, false},
    {"EMFILE", EMFILE, 0, false},
    {"EACCES", EACCES, 0, false},
    {"EROFS", EROFS, 0, false},
    {"ENOMEM", ENOMEM, 0, false},
    {"EIO though it was done", EIO, KERNEL_ALL, false},
};

#define FAULTS (sizeof faults / sizeof *faults)

static bool is_transfer(enum kernel_op op)
{
    return op == KERNEL_READ || op == KERNEL_WRITE;
}

/* Whether this fault concerns such a call. */
static bool fits(const struct fault *fault, enum kernel_op op)
{
    if (is_transfer(op)) {
        return fault->error != EMFILE && fault->error != EACCES;
    }
    /* A short count is for transfers alone; a close does not give EAGAIN or EMFILE. */
    bool is_sync = op == KERNEL_CLOSE || op == KERNEL_DATA_SYNC || op == KERNEL_SYNC;
    return fault->error != 0 && fault->error != EAGAIN &&
           (fault->take == 0 || fault->take == KERNEL_ALL) && !(is_sync && fault->error == EMFILE);
}

/* Which status an errno may lead to: see storage.h. */
static bool is_status_of(int error, enum hf_status status)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return status == HF_NO_SPACE;
    case ENOMEM:
        return status == HF_NO_MEMORY || status == HF_IO_ERROR;
    default:
        return status == HF_IO_ERROR;
    }
}

/* The call in which the fault was. */
static const struct kernel_log_call *planned_call(size_t *place, size_t *count)
{
    const struct kernel_log_call *calls = kernel_log_calls(count);
    for (size_t i = 0; i < *count; i++) {
        if (calls[i].planned) {
            *place = i;
            return &calls[i];
        }
    }
    return NULL;
}

/* Failures that may be passed over: of what changes nothing that is promised. */
static bool may_be_ignored(const struct operation *operation, const struct kernel_log_call *call,
                           int error)
{
    bool settles = operation->act == act_settle && !call->is_directory;
    bool unlinks = operation->act == act_unlink_gradually && call->op == KERNEL_OPEN;
    /* A file that was only read, or whose every byte was synced before; a directory. */
    bool closes = call->op == KERNEL_CLOSE && operation->act != act_create_zeroed;
    /* Reserving space only helps: without it the writes fail. */
    bool reserves = call->op == KERNEL_ALLOCATE && error != ENOSPC && error != EDQUOT;
    /* The directory was there already: its parent may be out of our reach. */
    bool parent =
        call->is_directory && (error == EACCES || error == EROFS) && operation->act == act_lock;
    return settles || unlinks || closes || reserves || parent;
}

/* After a failed write or sync nothing more is written to that file or synced. */
static void check_not_retried(const struct kernel_log_call *failed, size_t place, size_t count)
{
    const struct kernel_log_call *calls = kernel_log_calls(&count);
    for (size_t i = place + 1; i < count; i++) {
        bool same = calls[i].file == failed->file;
        bool writes = calls[i].op == KERNEL_WRITE || calls[i].op == KERNEL_DATA_SYNC ||
                      (calls[i].op == KERNEL_SYNC && !calls[i].is_directory);
        EXPECT(!(same && writes));
        EXPECT(!(failed->op == KERNEL_SYNC && same && calls[i].op == KERNEL_SYNC));
    }
}

static void check_failure(struct run *run, const struct operation *operation,
                          const struct fault *fault, const struct kernel_log_call *call,
                          size_t place, size_t count)
{
    bool is_later = is_transfer(call->op) && fault->error == EINTR;
    bool is_put_off = call->op == KERNEL_WRITE && fault->error == EAGAIN;
    if (is_later || is_put_off) {
        EXPECT(run->status == HF_OK);
        return;
    }
    if (!may_be_ignored(operation, call, fault->error)) {
        EXPECT(run->status != HF_OK);
        EXPECT(is_status_of(fault->error, run->status));
    }
    if (call->op == KERNEL_WRITE || call->op == KERNEL_DATA_SYNC || call->op == KERNEL_SYNC) {
        check_not_retried(call, place, count);
    }
}

static void check_short_count(struct run *run, const struct fault *fault,
                              const struct kernel_log_call *call)
{
    if (fault->take == 0 && call->op == KERNEL_WRITE && call->len > 0) {
        EXPECT(run->status == HF_IO_ERROR); /* the kernel says that it will not go on */
    } else if (fault->take % WAL_PAGE_BYTES == 0) {
        EXPECT(run->status == HF_OK || (call->op == KERNEL_READ && fault->take == 0));
    } else {
        EXPECT(run->status == HF_OK || run->status == HF_IO_ERROR);
    }
}

static void check_nothing_left(struct run *run)
{
    uint64_t size;
    EXPECT(!rig_exists(run->rig, "z", &size));
    EXPECT(!rig_exists(run->rig, "z.tmp", &size));
}

/* The storage still works as before, except a ring that is broken. */
static void check_still_works(struct run *run)
{
    struct rig *rig = run->rig;
    storage_file file;
    uint64_t size = 0;
    kernel_log_clear();
    EXPECT(rig->ops->create_zeroed(rig->storage, "y", FILE_BYTES) == HF_OK);
    EXPECT(rig->ops->open(rig->storage, "y", true, &file, &size) == HF_OK);
    EXPECT(size == FILE_BYTES);
    EXPECT(rig->ops->submit_write(rig->storage, file, rig->buffer, WAL_PAGE_BYTES, 0, 5) == HF_OK);
    EXPECT(reap_one(rig, 5) == HF_OK);
    rig->ops->close(rig->storage, file);
    EXPECT(kernel_log_unsynced("data/y") == 0);
}

/* All of the storage's files, and the directory that some operations make. */
static void remove_leftovers(const struct rig *rig, bool makes_directory)
{
    DIR *dir = opendir(rig->directory);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
        }
    }
    closedir(dir);
    if (makes_directory) {
        char *path = tempdir_join(rig->parent, "other");
        (void)rmdir(path);
        free(path);
    }
}

/* Files "a" (open) and "b", all of them durable, and nothing else. */
static void prepare(struct run *run, struct rig *rig, const struct operation *operation)
{
    uint64_t size;
    *run = (struct run){.rig = rig};
    remove_leftovers(rig,
                     operation->act == act_make_directory || operation->act == act_open_storage);
    assert_int_equal(rig->ops->create_zeroed(rig->storage, "a", FILE_BYTES), HF_OK);
    assert_int_equal(
        rig->ops->create_zeroed(rig->storage, "b",
                                operation->act == act_unlink_gradually ? MIB(3) : KIB(4)),
        HF_OK);
    assert_int_equal(rig->ops->open(rig->storage, "a", true, &run->file, &size), HF_OK);
    if (operation->act == act_read) {
        assert_int_equal(rig->ops->write(rig->storage, run->file, rig->buffer, FILE_BYTES, 0),
                         HF_OK);
    }
    if (operation->act == act_settle) { /* one to wait for, one to remove */
        assert_int_equal(rig->ops->create_zeroed(rig->storage, "1.seg", KIB(4)), HF_OK);
        assert_int_equal(rig->ops->create_zeroed(rig->storage, "2.seg.tmp", KIB(4)), HF_OK);
    }
    kernel_log_clear();
}

/* What holds after each operation, with whichever fault. */
static void check(struct run *run, const struct operation *operation, const struct fault *fault)
{
    size_t place = 0;
    size_t count = 0;
    const struct kernel_log_call *call = planned_call(&place, &count);
    bool is_file_end = call && call->op == KERNEL_READ && fault->error == 0 && fault->take == 0;
    if (run->status == HF_OK && !is_file_end) {
        operation->check_done(run);
        EXPECT(!operation->durable || kernel_log_unsynced("data/a") == 0);
        EXPECT(!operation->durable || kernel_log_names_pending("data") == 0);
    }
    if (call && fits(fault, call->op)) {
        if (fault->error == 0) {
            check_short_count(run, fault, call);
        } else {
            check_failure(run, operation, fault, call, place, count);
        }
    }
    if (run->status != HF_OK && fault->error != 0) {
        EXPECT(strcmp(storage_reason(run->status), strerrordesc_np(fault->error)) == 0);
    }
    if (run->status == HF_NO_SPACE && operation->act == act_create_zeroed) {
        check_nothing_left(run);
    }
}

/* False: the operation has no nth call. */
static bool run_fault(struct rig *rig, const struct operation *operation, const struct fault *fault,
                      unsigned nth)
{
    struct run run;
    prepare(&run, rig, operation);
    snprintf(where, sizeof where, "%s, call %u: %s", operation->name, nth, fault->name);
    unsigned fds = rig_fds();
    kernel_log_plan(KERNEL_OPS, nth, fault->error, fault->take);
    operation->act(&run);
    bool exists = kernel_log_met() > 0;
    kernel_log_disarm();
    check(&run, operation, fault);
    EXPECT(rig_fds() == fds);
    if (nth % 4 == 1) {
        check_still_works(&run);
    }
    rig->ops->close(rig->storage, run.file);
    return exists;
}

static void run_all(enum storage_mode mode)
{
    unsigned runs = 0;
    for (size_t o = 0; o < sizeof operations / sizeof *operations; o++) {
        struct rig rig;
        if (!rig_open(&rig, mode)) {
            rig_close(&rig);
            skip();
        }
        for (size_t f = 0; f < FAULTS; f++) {
            unsigned nth = 1;
            if (mode == STORAGE_URING && !faults[f].both && operations[o].act != act_log_write) {
                continue;
            }
            while (run_fault(&rig, &operations[o], &faults[f], nth)) {
                nth++;
                runs++;
                assert_true(nth < CALLS_MAX);
            }
            assert_true(nth > 1);
        }
        rig_close(&rig);
    }
    print_message("%u faults\n", runs);
}

/* As many files as there are places for; what is closed makes room again, and so does a failure. */
static void faults_leave_room_for_all_files(void **state)
{
    (void)state;
    enum { MOST = 256 };
    struct rig rig;
    storage_file files[MOST + 1];
    uint64_t size;
    assert_true(rig_open(&rig, STORAGE_SYNC));
    assert_int_equal(rig.ops->create_zeroed(rig.storage, "a", KIB(4)), HF_OK);
    for (unsigned i = 0; i < MOST; i++) {
        kernel_log_clear();
        kernel_log_plan(KERNEL_OPEN, 1, EIO, 0);
        assert_int_equal(rig.ops->open(rig.storage, "a", false, &files[i], &size), HF_IO_ERROR);
        assert_int_equal(rig.ops->open(rig.storage, "a", false, &files[i], &size), HF_OK);
        for (unsigned other = 0; other < i; other++) {
            assert_int_not_equal(files[other], files[i]);
        }
    }
    assert_int_equal(rig.ops->open(rig.storage, "a", false, &files[MOST], &size), HF_IO_ERROR);
    assert_string_equal(storage_reason(HF_IO_ERROR), strerrordesc_np(EMFILE));
    rig.ops->close(rig.storage, files[100]);
    assert_int_equal(rig.ops->open(rig.storage, "a", false, &files[100], &size), HF_OK);
    rig_close(&rig); /* closes them all */
}

static void faults_of_every_call_through_the_ring(void **state)
{
    (void)state;
    run_all(STORAGE_URING);
}

static void faults_of_every_call_with_pwritev2(void **state)
{
    (void)state;
    run_all(STORAGE_SYNC);
}

/* In memory where that can be: thousands of files, and how soon a disk syncs is of no interest. */
int main(void)
{
    diag_set_level((enum diag_level)(DIAG_ERROR + 1)); /* failures are what this is about */
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) {
        setenv("TMPDIR", "/dev/shm", 1);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_leave_room_for_all_files),
        cmocka_unit_test(faults_of_every_call_through_the_ring),
        cmocka_unit_test(faults_of_every_call_with_pwritev2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
