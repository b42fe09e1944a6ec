/* storage_test.c - the real disk, through io_uring and through pwritev2. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "io/storage.h"
#include "io/storage_directory.h"
#include "io/storage_open.h"
#include "lib/tempdir.h"

#define FILE_BYTES (4 * MIB(1))

struct place {
    enum storage_mode mode;
    char *directory;
    struct storage *storage; /* NULL: not to be had here */
    uint8_t *buffer;         /* 2 MiB, aligned */
};

static int set_up(void **state, enum storage_mode mode)
{
    struct place *place = calloc(1, sizeof *place);
    place->mode = mode;
    place->directory = tempdir_make();
    place->buffer = aligned_alloc(WAL_PAGE_BYTES, MIB(2));
    if (storage_open(&place->storage, place->directory, mode, false) != HF_OK) {
        place->storage = NULL;
    }
    *state = place;
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
    struct place *place = *state;
    storage_destroy(place->storage);
    tempdir_remove(place->directory);
    free(place->buffer);
    free(place);
    return 0;
}

static struct place *place_of(void **state)
{
    struct place *place = *state;
    if (!place->storage) {
        assert_int_equal(place->mode, STORAGE_URING);
        skip();
    }
    return place;
}

static void fill(uint8_t *buffer, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        buffer[i] = (uint8_t)(i * 31 + seed + (i >> 12));
    }
}

static void storage_writes_are_read_back(void **state)
{
    struct place *place = place_of(state);
    const struct storage_ops *ops = place->storage->ops;
    assert_string_equal(ops->name(place->storage),
                        place->mode == STORAGE_URING ? "io_uring" : "pwritev2");
    assert_int_equal(ops->create_zeroed(place->storage, "a", FILE_BYTES), HF_OK);
    storage_file file;
    uint64_t size;
    assert_int_equal(ops->open(place->storage, "a", true, &file, &size), HF_OK);
    assert_int_equal(size, FILE_BYTES);

    void *buffers[1] = {place->buffer};
    ops->register_buffers(place->storage, buffers, MIB(1), 1);
    fill(place->buffer, MIB(2), 1);
    /* From a registered buffer and from another; odd page counts; both under way at once. */
    assert_int_equal(ops->submit_write(place->storage, file, place->buffer, 3 * 4096, 4096, 7),
                     HF_OK);
    assert_int_equal(
        ops->submit_write(place->storage, file, place->buffer + MIB(1), MIB(1), MIB(1), 8), HF_OK);
    unsigned seen = 0;
    while (seen != 3) {
        struct storage_completion completions[4];
        unsigned n = ops->reap(place->storage, true, completions, 4);
        assert_true(n >= 1);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(completions[i].status, HF_OK);
            assert_true(completions[i].token == 7 || completions[i].token == 8);
            seen |= completions[i].token == 7 ? 1 : 2;
        }
    }
    struct storage_completion none;
    assert_int_equal(ops->reap(place->storage, true, &none, 1), 0);
    assert_int_equal(ops->write_sync(place->storage, file, place->buffer, 4096, 0), HF_OK);
    assert_int_equal(ops->sync(place->storage, file), HF_OK);

    uint8_t *back = malloc(FILE_BYTES);
    size_t got;
    assert_int_equal(ops->read(place->storage, file, back, FILE_BYTES, 0, &got), HF_OK);
    assert_int_equal(got, FILE_BYTES);
    assert_memory_equal(back, place->buffer, 4096);
    assert_memory_equal(back + 4096, place->buffer, 3 * 4096);
    assert_memory_equal(back + MIB(1), place->buffer + MIB(1), MIB(1));
    for (size_t i = 4 * 4096; i < MIB(1); i++) {
        assert_int_equal(back[i], 0);
    }
    /* Odd places, and beyond the end. */
    assert_int_equal(ops->read(place->storage, file, back, 100, FILE_BYTES - 3, &got), HF_OK);
    assert_int_equal(got, 3);
    assert_int_equal(ops->read(place->storage, file, back, 5, 4099, &got), HF_OK);
    assert_memory_equal(back, place->buffer + 3, 5);
    ops->close(place->storage, file);
    free(back);
}

static void storage_reads_past_the_page_cache_what_was_written(void **state)
{
    struct place *place = place_of(state);
    const struct storage_ops *ops = place->storage->ops;
    storage_file file;
    uint64_t size;
    fill(place->buffer, MIB(2), 5);
    assert_int_equal(ops->create(place->storage, "a", &file), HF_OK);
    assert_int_equal(ops->write(place->storage, file, place->buffer, MIB(1) + 4096, 0), HF_OK);
    ops->close(place->storage, file);

    assert_int_equal(ops->open(place->storage, "a", false, &file, &size), HF_OK);
    assert_int_equal(size, MIB(1) + 4096);
    ops->read_direct(place->storage, file);
    uint8_t *back = aligned_alloc(WAL_PAGE_BYTES, MIB(2));
    size_t got;
    assert_int_equal(ops->read(place->storage, file, back, MIB(1), 4096, &got), HF_OK);
    assert_int_equal(got, MIB(1));
    assert_memory_equal(back, place->buffer + 4096, MIB(1));
    assert_int_equal(ops->read(place->storage, file, back, MIB(2), MIB(1), &got), HF_OK);
    assert_int_equal(got, 4096);
    assert_memory_equal(back, place->buffer + MIB(1), 4096);
    ops->close(place->storage, file);

    /* The next one to use the place of the file may read anywhere. */
    assert_int_equal(ops->open(place->storage, "a", false, &file, &size), HF_OK);
    assert_int_equal(ops->read(place->storage, file, back, 5, 4099, &got), HF_OK);
    assert_int_equal(got, 5);
    assert_memory_equal(back, place->buffer + 4099, 5);
    ops->close(place->storage, file);
    free(back);
}

static void storage_created_file_has_blocks_not_holes(void **state)
{
    struct place *place = place_of(state);
    const struct storage_ops *ops = place->storage->ops;
    assert_int_equal(ops->create_zeroed(place->storage, "zeroed", FILE_BYTES), HF_OK);
    char *path = tempdir_join(place->directory, "zeroed");
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    free(path);
    assert_int_equal(file.st_size, FILE_BYTES);
    assert_true((uint64_t)file.st_blocks * 512 >= FILE_BYTES);
}

struct names {
    char text[256];
};

static bool gather(void *context, const char *name)
{
    struct names *names = context;
    strcat(strcat(names->text, name), " ");
    return true;
}

static void storage_lists_renames_and_removes(void **state)
{
    struct place *place = place_of(state);
    const struct storage_ops *ops = place->storage->ops;
    assert_int_equal(ops->create_zeroed(place->storage, "b", 4096), HF_OK);
    assert_int_equal(ops->create_zeroed(place->storage, "c", 8192), HF_OK);
    assert_int_equal(ops->create_zeroed(place->storage, "a", 4096), HF_OK);
    assert_int_equal(ops->rename(place->storage, "c", "b"), HF_OK);
    struct names names = {""};
    assert_int_equal(ops->list(place->storage, gather, &names), HF_OK);
    assert_string_equal(names.text, "a b ");
    storage_file file;
    uint64_t size;
    assert_int_equal(ops->open(place->storage, "b", false, &file, &size), HF_OK);
    assert_int_equal(size, 8192);
    ops->close(place->storage, file);
    assert_int_equal(ops->unlink(place->storage, "a"), HF_OK);
    assert_int_equal(ops->unlink(place->storage, "a"), HF_NOT_FOUND);
    assert_int_equal(ops->open(place->storage, "a", true, &file, &size), HF_NOT_FOUND);
    names.text[0] = 0;
    assert_int_equal(ops->list(place->storage, gather, &names), HF_OK);
    assert_string_equal(names.text, "b ");
}

static void storage_removes_leftovers_when_it_settles(void **state)
{
    struct place *place = place_of(state);
    char *path = tempdir_join(place->directory, "wal-0000000000000001.seg.tmp");
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0);
    close(fd);
    struct storage *other;
    assert_int_equal(storage_open(&other, place->directory, STORAGE_SYNC, true), HF_OK);
    storage_destroy(other);
    assert_int_equal(access(path, F_OK), 0); /* read only: nothing is touched */
    assert_int_equal(storage_open(&other, place->directory, STORAGE_SYNC, false), HF_OK);
    assert_int_equal(access(path, F_OK), 0); /* nor before it is settled */
    assert_int_equal(storage_settle(other), HF_OK);
    storage_destroy(other);
    assert_int_not_equal(access(path, F_OK), 0);
    free(path);
}

/* Counts the pauses between a file's pieces; gives up after some. */
struct rests {
    unsigned count;
    unsigned most;
};

static bool take_rest(void *context)
{
    struct rests *rests = context;
    return ++rests->count < rests->most;
}

static void storage_unlinks_a_file_gradually(void **state)
{
    struct place *place = place_of(state);
    struct rests rests = {.most = 100};
    char *path = tempdir_join(place->directory, "wal-0000000000000001.seg");
    char *dying = tempdir_join(place->directory, "wal-0000000000000001.seg.tmp");
    const char *name = "wal-0000000000000001.seg";
    const struct storage_ops *ops = place->storage->ops;
    assert_int_equal(ops->create_zeroed(place->storage, name, MIB(7)), HF_OK);
    assert_int_equal(storage_unlink_gradually(place->storage, name, take_rest, &rests), HF_OK);
    assert_int_equal(rests.count, 3); /* at 6, 4 and 2 MiB */
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(dying, F_OK), 0);
    assert_int_equal(storage_unlink_gradually(place->storage, name, NULL, NULL), HF_NOT_FOUND);
    /* Given up: nobody finds it under its name, and the next start takes the rest away. */
    rests = (struct rests){.most = 2};
    assert_int_equal(ops->create_zeroed(place->storage, name, MIB(7)), HF_OK);
    assert_int_equal(storage_unlink_gradually(place->storage, name, take_rest, &rests),
                     HF_CANCELED);
    struct stat about;
    assert_int_equal(stat(dying, &about), 0);
    assert_int_equal(about.st_size, MIB(4));
    assert_int_not_equal(access(path, F_OK), 0);
    struct storage *other;
    assert_int_equal(storage_open(&other, place->directory, STORAGE_SYNC, false), HF_OK);
    assert_int_equal(storage_settle(other), HF_OK);
    storage_destroy(other);
    assert_int_not_equal(access(dying, F_OK), 0);
    free(path);
    free(dying);
}

/* The last directory that was synced. */
static _Atomic ino_t synced_directory; /* threads that take a lock sync, too */

/* The storage calls this one. */
int fsync(int fd)
{
    struct stat about;
    if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
        synced_directory = about.st_ino;
    }
    return (int)syscall(SYS_fsync, fd);
}

/* A power loss must not take a log together with the name of its directory. */
static void storage_makes_a_directorys_name_durable(void **state)
{
    (void)state;
    struct stat about;
    char *parent = tempdir_make();
    char *directory = tempdir_join(parent, "data");
    assert_int_equal(stat(parent, &about), 0);
    synced_directory = 0;
    assert_int_equal(storage_make_directory(directory), HF_OK);
    assert_int_equal(synced_directory, about.st_ino);
    assert_int_equal(storage_make_directory(directory), HF_OK);
    free(directory);
    directory = tempdir_join(parent, "none/data");
    assert_int_equal(storage_make_directory(directory), HF_IO_ERROR);
    free(directory);
    tempdir_remove(parent);
}

static void storage_lock_is_exclusive(void **state)
{
    (void)state;
    char *parent = tempdir_make();
    char *directory = tempdir_join(parent, "data");
    int first;
    int second;
    assert_int_equal(storage_lock(directory, &first), HF_OK);
    assert_int_equal(storage_lock(directory, &second), HF_LOCKED);
    storage_unlock(first);
    assert_int_equal(storage_lock(directory, &second), HF_OK);
    storage_unlock(second);
    free(directory);
    tempdir_remove(parent);
}

/* Many that are refused and leave without a trace, at the same moment. */
#define LOCKERS     4u
#define LOCK_ROUNDS 3000u

struct lockers {
    const char *directory;
    atomic_uint holders;
    atomic_uint most;
    atomic_uint locked;
};

static void *run_locker(void *context)
{
    struct lockers *lockers = context;
    for (unsigned i = 0; i < LOCK_ROUNDS; i++) {
        int lock;
        struct timespec modified;
        bool made = storage_lock_missing(lockers->directory, &modified);
        if (storage_lock(lockers->directory, &lock) != HF_OK) {
            continue;
        }
        unsigned holders = atomic_fetch_add(&lockers->holders, 1) + 1;
        if (holders > atomic_load(&lockers->most)) {
            atomic_store(&lockers->most, holders);
        }
        atomic_fetch_add(&lockers->locked, 1);
        (void)usleep(20);
        atomic_fetch_sub(&lockers->holders, 1);
        if (made) {
            storage_unlock_unused(lockers->directory, lock, modified);
        } else {
            storage_unlock(lock);
        }
    }
    return NULL;
}

static void storage_lock_is_exclusive_while_its_file_comes_and_goes(void **state)
{
    (void)state;
    char *directory = tempdir_make();
    struct lockers lockers = {.directory = directory};
    pthread_t threads[LOCKERS];
    for (unsigned i = 0; i < LOCKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_locker, &lockers), 0);
    }
    for (unsigned i = 0; i < LOCKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(atomic_load(&lockers.locked) > 0);
    assert_int_equal(atomic_load(&lockers.most), 1);
    tempdir_remove(directory);
}

static void storage_read_only_wants_a_directory(void **state)
{
    (void)state;
    char *parent = tempdir_make();
    char *directory = tempdir_join(parent, "none");
    struct storage *storage;
    assert_int_equal(storage_open(&storage, directory, STORAGE_AUTO, true), HF_NOT_FOUND);
    assert_int_equal(storage_open(&storage, directory, STORAGE_AUTO, false), HF_OK);
    storage_destroy(storage);
    free(directory);
    tempdir_remove(parent);
}

#define BOTH(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, set_up_uring, tear_down),                                \
        cmocka_unit_test_setup_teardown(test, set_up_sync, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(storage_writes_are_read_back),
        BOTH(storage_reads_past_the_page_cache_what_was_written),
        BOTH(storage_created_file_has_blocks_not_holes),
        BOTH(storage_lists_renames_and_removes),
        BOTH(storage_removes_leftovers_when_it_settles),
        BOTH(storage_unlinks_a_file_gradually),
        cmocka_unit_test(storage_makes_a_directorys_name_durable),
        cmocka_unit_test(storage_lock_is_exclusive),
        cmocka_unit_test(storage_lock_is_exclusive_while_its_file_comes_and_goes),
        cmocka_unit_test(storage_read_only_wants_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
