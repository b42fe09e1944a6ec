/* rebuild_test.c - history/rebuild and history/restore: the state of a moment is that of the
 * records up to it, a log that lies is not rebuilt, and what is restored leads to the same.
 *
 * Threads: one. */
#include "unit/wal/small_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "checkpoint/build.h"
#include "history/overlay.h"
#include "history/restore.h"
#include "io/storage_open.h"
#include "lib/tempdir.h"

/* ---- Helpers ---- */

static struct rebuild rebuild;

static enum hf_status until_lsn(struct storage *storage, uint64_t lsn)
{
    const struct rebuild_options options = {.until = {.value = lsn}};
    return rebuild_run(&rebuild, storage, &options);
}

static enum hf_status until_ms(struct storage *storage, uint64_t ms)
{
    const struct rebuild_options options = {.until = {.is_time = true, .value = ms}};
    return rebuild_run(&rebuild, storage, &options);
}

static enum hf_status to_the_end(struct storage *storage)
{
    const struct rebuild_options options = {.all = true};
    return rebuild_run(&rebuild, storage, &options);
}

/* The LSN at which a block ends. */
static uint64_t end_of(struct small_log *log, uint64_t index)
{
    struct block_header header;
    const char *reason;
    assert_true(block_header_decode(&header, small_block_at(log->storage, index), &reason));
    return header.first_lsn + header.payload_bytes;
}

static bool is_known(uint64_t order)
{
    struct order_view view;
    struct id128 id = {1, order};
    return inventory_order(rebuild.replay.inventory, id, &view, NULL, 0) == HF_OK;
}

/* How many orders are known, and whether all of it adds up. */
static uint64_t orders_known(void)
{
    struct inventory_counts counts;
    char what[256];
    assert_true(inventory_verify(rebuild.replay.inventory, what, sizeof what));
    assert_int_equal(inventory_digest(rebuild.replay.inventory), rebuild.replay.digest);
    inventory_counts(rebuild.replay.inventory, &counts);
    return counts.orders_known;
}

static void make_checkpoint(struct storage *storage)
{
    struct checkpoint_info info;
    struct checkpoint_build_options options = {
        .storage = storage, .upto = 1, .memory_bytes = MIB(1)};
    assert_int_equal(history_replay_sizes(storage, &options.inventory), HF_OK);
    assert_int_equal(checkpoint_build(&options, &info), HF_OK);
}

/* ---- Moments ---- */

static void rebuild_to_the_end_is_what_the_log_leads_to(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    for (int with_checkpoint = 0; with_checkpoint < 2; with_checkpoint++) {
        assert_int_equal(to_the_end(log.storage), HF_OK);
        assert_int_equal(rebuild.replay.lsn, log.lsn);
        assert_int_equal(rebuild.replay.digest, log.digest);
        assert_int_equal(rebuild.replay.digests, 1);
        assert_int_equal(rebuild.from.number, with_checkpoint);
        assert_int_equal(orders_known(), 5);
        assert_false(rebuild.more);
        assert_false(rebuild.torn);
        rebuild_end(&rebuild);
        if (!with_checkpoint) {
            make_checkpoint(log.storage);
        }
    }
    small_log_free(&log);
}

/* An LSN stands for the records that end at or before it. */
static void moment_has_the_record_that_ends_there(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    uint64_t second = end_of(&log, 3); /* of order 2's reserve */
    static const struct {
        int64_t off;
        uint64_t known;
    } cases[] = {{-49, 0}, {-48, 1}, {-1, 1}, {0, 2}, {1, 2}, {23, 2}, {24, 2}, {71, 2}, {72, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t lsn = second + (uint64_t)cases[i].off;
        assert_int_equal(until_lsn(log.storage, lsn), HF_OK);
        if (orders_known() != cases[i].known) {
            fail_msg("%lld from the end of order 2: %llu orders", (long long)cases[i].off,
                     (unsigned long long)orders_known());
        }
        assert_true(rebuild.replay.lsn <= lsn);
        assert_true(rebuild.more);
        rebuild_end(&rebuild);
    }
    small_log_free(&log);
}

/* A time stands for the blocks up to the last one that was sealed at or before it. */
static void moment_has_the_block_that_was_sealed_then(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    for (uint64_t index = 2; index < SMALL_BLOCKS; index++) {
        uint64_t sealed_ms = SMALL_MS + 1000 * index;
        for (int early = 0; early < 2; early++) {
            assert_int_equal(until_ms(log.storage, sealed_ms - (uint64_t)early), HF_OK);
            assert_int_equal(rebuild.replay.lsn, end_of(&log, index - (uint64_t)early));
            assert_true(rebuild.more);
            (void)orders_known();
            rebuild_end(&rebuild);
        }
    }
    small_log_free(&log);
}

/* A checkpoint of after the moment has what was not yet. */
static void rebuild_begins_with_no_checkpoint_behind_the_moment(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    make_checkpoint(log.storage);
    uint64_t covered = end_of(&log, 5);
    assert_int_equal(until_lsn(log.storage, covered), HF_OK);
    assert_int_equal(rebuild.from.number, 1);
    assert_int_equal(orders_known(), 4);
    rebuild_end(&rebuild);
    assert_int_equal(until_lsn(log.storage, covered - 1), HF_OK);
    assert_int_equal(rebuild.from.number, 0);
    assert_false(is_known(4));
    assert_int_equal(orders_known(), 3);
    rebuild_end(&rebuild);
    assert_int_equal(until_ms(log.storage, SMALL_MS + 4999), HF_OK);
    assert_int_equal(rebuild.from.number, 0);
    assert_int_equal(orders_known(), 3);
    rebuild_end(&rebuild);
    small_log_free(&log);
}

/* ---- Logs that are not whole ---- */

static void rebuild_of_a_damaged_log_says_so(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    small_block_at(log.storage, 4)[BLOCK_HEADER_BYTES + 8] ^= 1;
    assert_int_equal(to_the_end(log.storage), HF_DAMAGED);
    assert_non_null(strstr(rebuild.message, "wal-0000000000000001.seg, offset 16384: "));
    /* Up to there it can be rebuilt. */
    assert_int_equal(until_lsn(log.storage, end_of(&log, 3) - 8), HF_OK);
    assert_int_equal(orders_known(), 1);
    rebuild_end(&rebuild);
    small_log_free(&log);
}

static void rebuild_compares_digests(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    log.digest++;
    small_block(&log, BLOCK_DIGEST);
    assert_int_equal(to_the_end(log.storage), HF_DAMAGED);
    assert_non_null(strstr(rebuild.message, "differs from the digest"));
    small_log_free(&log);
}

static void rebuild_without_the_beginning_wants_the_archive(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    assert_int_equal(log.storage->ops->unlink(log.storage, "wal-0000000000000001.seg"), HF_OK);
    assert_int_equal(to_the_end(log.storage), HF_NOT_FOUND);
    assert_non_null(strstr(rebuild.message, "archive"));
    small_log_free(&log);
}

/* ---- Restoring ---- */

static unsigned count_files(const char *directory)
{
    unsigned count = 0;
    DIR *open = opendir(directory);
    assert_non_null(open);
    while (readdir(open)) {
        count++;
    }
    closedir(open);
    return count - 2; /* . and .. */
}

/* Restores the moment of an LSN, and reads it back. */
static void check_restored(struct small_log *log, uint64_t lsn, uint64_t checkpoint)
{
    char message[RESTORE_MESSAGE_BYTES];
    char *directory = tempdir_make();
    char *folder = tempdir_join(directory, "wal");
    struct storage *restored;
    assert_int_equal(until_lsn(log->storage, lsn), HF_OK);
    assert_int_equal(rebuild.from.number, checkpoint);
    uint64_t digest = rebuild.replay.digest;
    uint64_t known = orders_known();
    uint64_t ends = rebuild.replay.lsn;
    if (restore_build(&rebuild, log->storage, directory, &(struct rebuild_report){0}, message) !=
        HF_OK) {
        fail_msg("LSN %llu: %s", (unsigned long long)lsn, message);
    }
    rebuild_end(&rebuild);
    assert_int_equal(storage_open(&restored, folder, STORAGE_SYNC, true), HF_OK);
    assert_int_equal(to_the_end(restored), HF_OK);
    assert_int_equal(rebuild.replay.digest, digest);
    assert_int_equal(rebuild.replay.lsn, ends);
    assert_int_equal(orders_known(), known);
    assert_false(rebuild.torn);
    rebuild_end(&rebuild);
    storage_destroy(restored);
    free(folder);
    tempdir_remove(directory);
}

/* Every record of the log may be the last one; and just behind a checkpoint there is none. */
static void what_is_restored_leads_to_the_moment(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    for (uint64_t lsn = end_of(&log, 2); lsn <= log.lsn; lsn += 24) {
        check_restored(&log, lsn, 0);
    }
    make_checkpoint(log.storage);
    for (uint64_t lsn = end_of(&log, 4); lsn <= log.lsn; lsn += 24) {
        check_restored(&log, lsn, lsn >= end_of(&log, 5));
    }
    small_log_free(&log);
}

static void nothing_is_restored_into_a_directory_that_holds_something(void **state)
{
    (void)state;
    struct small_log log;
    char message[RESTORE_MESSAGE_BYTES] = "";
    char *directory = tempdir_make();
    char *file = tempdir_join(directory, "something");
    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    small_log_make(&log);
    assert_int_equal(to_the_end(log.storage), HF_OK);
    assert_int_equal(
        restore_build(&rebuild, log.storage, directory, &(struct rebuild_report){0}, message),
        HF_INVALID);
    assert_non_null(strstr(message, "is not empty; nothing was written"));
    assert_int_equal(count_files(directory), 1);
    rebuild_end(&rebuild);
    small_log_free(&log);
    free(file);
    tempdir_remove(directory);
}

static void nothing_is_restored_into_a_directory_with_too_long_a_name(void **state)
{
    (void)state;
    struct small_log log;
    char message[RESTORE_MESSAGE_BYTES] = "";
    char *directory = tempdir_make();
    char long_name[FOLDER_BYTES + 64];
    size_t used = strlen(strcpy(long_name, directory));
    for (; used < FOLDER_BYTES; used += 2) {
        strcpy(long_name + used, "/.");
    }
    small_log_make(&log);
    assert_int_equal(to_the_end(log.storage), HF_OK);
    assert_int_equal(
        restore_build(&rebuild, log.storage, long_name, &(struct rebuild_report){0}, message),
        HF_INVALID);
    assert_non_null(strstr(message, "too long; nothing was written"));
    assert_int_equal(count_files(directory), 0);
    rebuild_end(&rebuild);
    small_log_free(&log);
    tempdir_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rebuild_to_the_end_is_what_the_log_leads_to),
        cmocka_unit_test(moment_has_the_record_that_ends_there),
        cmocka_unit_test(moment_has_the_block_that_was_sealed_then),
        cmocka_unit_test(rebuild_begins_with_no_checkpoint_behind_the_moment),
        cmocka_unit_test(rebuild_of_a_damaged_log_says_so),
        cmocka_unit_test(rebuild_compares_digests),
        cmocka_unit_test(rebuild_without_the_beginning_wants_the_archive),
        cmocka_unit_test(what_is_restored_leads_to_the_moment),
        cmocka_unit_test(nothing_is_restored_into_a_directory_that_holds_something),
        cmocka_unit_test(nothing_is_restored_into_a_directory_with_too_long_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
