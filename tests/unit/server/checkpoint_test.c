/* checkpoint_test.c - checkpoints, recycling and the archive, over a simulated disk that fails,
 * fills up and stops at each of its operations. A state is what a replay of the whole log makes it:
 * what checkpoints lead to must be the same, thing by thing (state_dump.h).
 *
 * Threads: one. SEED=n runs that seed alone. */
#include <fcntl.h>
#include <unistd.h>

#include "base/diag.h"
#include "checkpoint/build.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "engine_rig.h"
#include "history.h"
#include "io/storage_open.h"
#include "lib/budget.h"
#include "lib/tempdir.h"
#include "state_dump.h"
#include "wal/record.h"

#define RETAIN_MS     1000u
#define SEGMENT_BYTES KIB(512)
#define GROUP_BYTES   KIB(128)

/* An engine that forgets soon, with room for the bulk of some segments. group_bytes: see
 * wal_options. */
static void open_rig_of(struct rig *rig, struct storage *archive, uint64_t segment_bytes,
                        uint32_t group_bytes)
{
    rig_open(rig, MIB(4));
    engine_close(rig->engine);
    storage_destroy(rig->storage);
    rig->storage = sim_storage_make(1);
    rig->options.wal.segment_bytes = segment_bytes;
    rig->options.wal.group_bytes = group_bytes;
    rig->options.inventory.orders_max = 1 << 17;
    rig->options.inventory.hold_ms_max = 10 * HOLD_MS;
    rig->options.retain_ended_ms = RETAIN_MS;
    rig->options.checkpoint_memory = MIB(4);
    rig->options.wal.digest_every_bytes = segment_bytes / 8;
    rig->options.archive = archive;
    rig_recover(rig);
}

/* With segments that are small and soon full. */
static void open_rig(struct rig *rig, struct storage *archive)
{
    open_rig_of(rig, archive, SEGMENT_BYTES, GROUP_BYTES);
}

static void close_rig(struct rig *rig)
{
    struct storage *archive = rig->options.archive;
    rig_close(rig);
    if (archive) {
        storage_destroy(archive);
    }
}

static char *dump_rig(struct rig *rig)
{
    return dump_state(engine_inventory(rig->engine));
}

/* The engine's present state is `expected`, which is freed. */
static void assert_state(struct rig *rig, char *expected)
{
    char *found = dump_rig(rig);
    assert_same_state(expected, found);
    free(found);
    free(expected);
    rig_verify(rig);
}

/* A crash and a start later the engine's state is what it is now. */
static void assert_kept(struct rig *rig)
{
    char *expected = dump_rig(rig);
    rig_crash(rig);
    assert_state(rig, expected);
}

/* The power fails, and nobody starts the engine again. */
static void crash(struct rig *rig)
{
    sim_storage_stop(rig->storage);
    engine_close(rig->engine);
    sim_storage_crash(rig->storage);
}

/* An engine on copies of the disks of one that is stopped. */
static void copy_rig(struct rig *copy, const struct rig *rig, uint64_t seed)
{
    *copy = *rig;
    copy->clock.context = copy;
    copy->storage = sim_storage_copy(rig->storage, seed);
    copy->options.archive = sim_storage_copy(rig->options.archive, seed);
    rig_recover(copy);
}

/* ---- Files ---- */

struct file_count {
    const char *prefix;
    const char *suffix;
    unsigned count;
};

static bool count_file(void *context, const char *name)
{
    struct file_count *files = context;
    size_t len = strlen(name);
    size_t end = strlen(files->suffix);
    files->count += strncmp(name, files->prefix, strlen(files->prefix)) == 0 && len >= end &&
                    strcmp(name + len - end, files->suffix) == 0;
    return true;
}

static unsigned count_files(struct storage *storage, const char *prefix, const char *suffix)
{
    struct file_count files = {prefix, suffix, 0};
    assert_int_equal(storage->ops->list(storage, count_file, &files), HF_OK);
    return files.count;
}

static unsigned count_checkpoints(const struct rig *rig)
{
    return count_files(rig->storage, "checkpoint-", ".ckp");
}

static uint64_t first_segment(const struct rig *rig)
{
    uint64_t first;
    assert_int_equal(wal_first_segment(rig->storage, &first), HF_OK);
    return first;
}

/* Segments were recycled, and all of them are in the archive. */
static void assert_archived(const struct rig *rig)
{
    uint64_t first = first_segment(rig);
    assert_true(first > 1);
    assert_int_equal(count_files(rig->options.archive, "wal-", ".seg"), first - 1);
}

static uint8_t *checkpoint_data(struct storage *storage, uint64_t number, uint64_t *size)
{
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, number);
    uint8_t *data = sim_storage_data(storage, name, size);
    assert_non_null(data);
    return data;
}

/* Changes one bit of a checkpoint. */
static void damage(struct storage *storage, uint64_t number, struct rng *rng)
{
    uint64_t size;
    uint8_t *data = checkpoint_data(storage, number, &size);
    data[rng_below(rng, size)] ^= (uint8_t)(1u << rng_below(rng, 8));
}

/* ---- Checkpoints against replay ---- */

/* The state that the log leads to up to the end of a segment, by replaying all of it. */
static struct inventory *replay_log(const struct rig *rig, struct storage *storage, uint64_t upto)
{
    struct inventory *inventory;
    assert_int_equal(inventory_init(&inventory, &rig->options.inventory), HF_OK);
    struct wal_reader *reader;
    assert_int_equal(wal_reader_open_at(&reader, storage, NULL, upto), HF_OK);
    struct wal_block block;
    while (wal_reader_next(reader, &block) == HF_OK) {
        for (size_t at = 0; block.header.type == BLOCK_DATA && at < block.header.payload_bytes;) {
            struct event event;
            struct record_scratch scratch;
            size_t used;
            const char *reason;
            assert_int_equal(record_decode(block.payload + at, block.header.payload_bytes - at,
                                           &event, &scratch, &used, &reason),
                             HF_OK);
            at += used;
            event.lsn = block.header.first_lsn + at;
            assert_int_equal(inventory_apply(inventory, &event), HF_OK);
        }
    }
    wal_reader_close(reader);
    return inventory;
}

static struct checkpoint_info build(const struct rig *rig, struct storage *storage, uint64_t base,
                                    uint64_t upto, uint64_t memory_bytes)
{
    const struct checkpoint_build_options options = {
        .storage = storage,
        .base = base,
        .upto = upto,
        .memory_bytes = memory_bytes,
        .inventory = rig->options.inventory,
    };
    struct checkpoint_info info;
    enum hf_status status = checkpoint_build(&options, &info);
    assert_string_equal(info.message, "");
    assert_int_equal(status, HF_OK);
    return info;
}

static void assert_checkpoint_is_state(const struct rig *rig, struct storage *storage,
                                       uint64_t number, unsigned threads)
{
    struct inventory *expected = replay_log(rig, storage, number);
    struct inventory *found;
    struct checkpoint_info info;
    assert_int_equal(inventory_init(&found, &rig->options.inventory), HF_OK);
    enum hf_status status = checkpoint_load(storage, number, found, threads, &info, NULL, NULL);
    assert_string_equal(info.message, "");
    assert_int_equal(status, HF_OK);
    char *expected_text = dump_state(expected);
    char *found_text = dump_state(found);
    assert_same_state(expected_text, found_text);
    assert_true(info.digest == inventory_digest(expected));
    struct inventory_counts counts;
    inventory_counts(expected, &counts);
    assert_int_equal(info.orders, counts.orders_known);
    assert_int_equal(info.orders_held, counts.orders_held);
    assert_int_equal(info.items, counts.items);
    assert_int_equal(info.skus, counts.skus);
    free(expected_text);
    free(found_text);
    inventory_deinit(expected);
    inventory_deinit(found);
}

/* Copies of the log, each with checkpoints made another way: the bytes are the same. */
static void check_builds(const struct rig *rig, uint64_t upto, uint64_t seed)
{
    struct storage *once = sim_storage_copy(rig->storage, seed);
    struct storage *parts = sim_storage_copy(rig->storage, seed);
    struct storage *steps = sim_storage_copy(rig->storage, seed);
    build(rig, once, 0, upto, MIB(256));
    build(rig, parts, 0, upto, MIB(1));
    for (uint64_t number = 1; number <= upto; number++) {
        build(rig, steps, number - 1, number, MIB(4));
        assert_checkpoint_is_state(rig, steps, number, 1 + (unsigned)(number % 3));
    }
    uint64_t sizes[3];
    const uint8_t *whole = checkpoint_data(once, upto, &sizes[0]);
    const uint8_t *in_parts = checkpoint_data(parts, upto, &sizes[1]);
    const uint8_t *in_steps = checkpoint_data(steps, upto, &sizes[2]);
    assert_true(sizes[0] == sizes[1] && memcmp(whole, in_parts, sizes[0]) == 0);
    assert_true(sizes[0] == sizes[2] && memcmp(whole, in_steps, sizes[0]) == 0);
    struct checkpoint_info info;
    assert_int_equal(checkpoint_verify(once, upto, &info, NULL, NULL), HF_OK);
    storage_destroy(once);
    storage_destroy(parts);
    storage_destroy(steps);
}

static void run_builds(uint64_t seed)
{
    struct rig rig;
    struct history history;
    /* Large enough for more than one part. */
    open_rig_of(&rig, NULL, MIB(4), 0);
    history_begin(&rig, &history, seed);
    for (uint64_t segment = 1; segment <= 3; segment++) {
        history_act(&rig, &history, 400);
        history_fill(&rig, &history, segment);
    }
    rig_verify(&rig);
    engine_close(rig.engine);
    check_builds(&rig, 3, seed);
    storage_destroy(rig.storage);
}

static void for_seeds(void (*run)(uint64_t seed), unsigned many)
{
    uint64_t first = rng_seed_from_env(1);
    struct budget budget = budget_make("seeds", 1, 1.0, many);
    while (budget_next(&budget)) {
        uint64_t seed = first + budget.round;
        print_message("SEED=%llu\n", (unsigned long long)seed);
        run(seed);
    }
}

static void checkpoints_are_the_state_that_the_log_leads_to(void **state)
{
    (void)state;
    for_seeds(run_builds, 30);
}

/* ---- Recovery ---- */

static bool copy_segment(void *context, const char *name)
{
    struct storage **both = context;
    if (strncmp(name, "wal-", 4) == 0) {
        uint64_t size;
        uint64_t made;
        const uint8_t *data = sim_storage_data(both[0], name, &size);
        assert_int_equal(both[1]->ops->create_zeroed(both[1], name, size), HF_OK);
        memcpy(sim_storage_data(both[1], name, &made), data, size);
    }
    return true;
}

/* The whole log, from the archive and what is not in it yet. */
static struct storage *whole_log(const struct rig *rig)
{
    struct storage *whole = sim_storage_make(1);
    struct storage *archived[] = {rig->options.archive, whole};
    struct storage *present[] = {rig->storage, whole};
    archived[0]->ops->list(archived[0], copy_segment, archived);
    present[0]->ops->list(present[0], copy_segment, present);
    return whole;
}

/* The state that the archived log and the rest lead to without any checkpoint. */
static char *dump_whole_log(const struct rig *rig)
{
    struct rig other = *rig;
    other.clock.context = &other;
    other.storage = whole_log(rig);
    other.options.archive = NULL;
    rig_recover(&other);
    char *text = dump_rig(&other);
    rig_close(&other);
    return text;
}

/* A history with checkpoints on the way; `tail` operations after the last. */
static void make_history(struct rig *rig, struct history *history, uint64_t seed, unsigned tail)
{
    history_begin(rig, history, seed);
    uint64_t sealed = 0;
    for (unsigned i = 0; i < 3; i++) {
        history_act(rig, history, 200);
        history_fill(rig, history, ++sealed);
        assert_int_equal(engine_checkpoint(rig->engine), HF_OK);
        assert_int_equal(engine_checkpoint(rig->engine), HF_NOT_FOUND);
    }
    history_act(rig, history, tail);
    rig_settle(rig);
}

static void run_recovery(uint64_t seed)
{
    struct rig rig;
    struct history history;
    open_rig(&rig, sim_storage_make(seed));
    make_history(&rig, &history, seed, 200);
    /* The last two are kept, and the segments behind the older one. */
    assert_int_equal(count_checkpoints(&rig), 2);
    assert_archived(&rig);
    assert_kept(&rig);
    assert_state(&rig, dump_whole_log(&rig));
    /* And it continues. */
    history_act(&rig, &history, 100);
    assert_kept(&rig);
    close_rig(&rig);
}

static void recovery_from_a_checkpoint_equals_that_from_the_whole_log(void **state)
{
    (void)state;
    for_seeds(run_recovery, 30);
}

/* ---- Damage ---- */

static enum hf_status reopen(struct rig *rig, struct engine_recovery *recovery)
{
    crash(rig);
    enum hf_status status =
        engine_open(&rig->engine, &rig->options, rig->storage, &rig->clock, recovery);
    if (status == HF_OK) {
        wal_set_stall_hook(engine_wal(rig->engine), stall, rig);
    }
    return status;
}

static void last_two(struct rig *rig, uint64_t numbers[2])
{
    uint64_t *all;
    size_t count;
    assert_int_equal(checkpoint_list(rig->storage, &all, &count), HF_OK);
    assert_int_equal(count, 2);
    memcpy(numbers, all, 2 * sizeof all[0]);
    free(all);
}

static void damaged_checkpoint_is_passed_over_for_the_one_before(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    open_rig(&rig, NULL);
    make_history(&rig, &history, 7, 50);
    char *expected = dump_rig(&rig);
    uint64_t numbers[2];
    last_two(&rig, numbers);
    damage(rig.storage, numbers[1], &history.rng);
    struct engine_recovery recovery;
    assert_int_equal(reopen(&rig, &recovery), HF_OK);
    assert_int_equal(recovery.checkpoint, numbers[0]);
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, numbers[1]);
    assert_non_null(strstr(recovery.notice, name));
    assert_state(&rig, expected);
    /* The damaged one is gone; the next one is made from the older, which stays beside it. */
    assert_int_equal(count_checkpoints(&rig), 1);
    history_fill(&rig, &history, numbers[1] + 2);
    assert_int_equal(engine_checkpoint(rig.engine), HF_OK);
    assert_int_equal(count_checkpoints(&rig), 2);
    expected = dump_rig(&rig);
    assert_int_equal(reopen(&rig, &recovery), HF_OK);
    assert_true(recovery.checkpoint > numbers[1]);
    assert_string_equal(recovery.notice, "");
    assert_state(&rig, expected);
    close_rig(&rig);
}

/* The newest checkpoint covers it: a start does not need it. */
static void damage_in_a_covered_segment_does_not_keep_the_engine_from_starting(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    open_rig(&rig, NULL);
    make_history(&rig, &history, 17, 50);
    char *expected = dump_rig(&rig);
    uint64_t first = first_segment(&rig);
    uint64_t numbers[2];
    last_two(&rig, numbers);
    assert_true(first <= numbers[1]);
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    wal_segment_name(name, first);
    sim_storage_data(rig.storage, name, &size)[0] ^= 1;
    struct engine_recovery recovery;
    assert_int_equal(reopen(&rig, &recovery), HF_OK);
    assert_int_equal(recovery.checkpoint, numbers[1]);
    assert_state(&rig, expected);
    close_rig(&rig);
}

static void engine_refuses_to_start_when_both_checkpoints_are_damaged(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    open_rig(&rig, NULL);
    make_history(&rig, &history, 8, 0);
    uint64_t numbers[2];
    last_two(&rig, numbers);
    damage(rig.storage, numbers[0], &history.rng);
    damage(rig.storage, numbers[1], &history.rng);
    crash(&rig);
    uint64_t used = sim_storage_used(rig.storage);
    struct engine_recovery recovery;
    assert_int_equal(engine_open(&rig.engine, &rig.options, rig.storage, &rig.clock, &recovery),
                     HF_DAMAGED);
    assert_non_null(strstr(recovery.message, "checkpoint-"));
    assert_true(sim_storage_used(rig.storage) == used);
    storage_destroy(rig.storage);
}

static void damaged_first_checkpoint_costs_only_a_longer_replay(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    open_rig(&rig, NULL);
    history_begin(&rig, &history, 9);
    history_act(&rig, &history, 100);
    history_fill(&rig, &history, 1);
    assert_int_equal(engine_checkpoint(rig.engine), HF_OK);
    char *expected = dump_rig(&rig);
    damage(rig.storage, 1, &history.rng);
    struct engine_recovery recovery;
    assert_int_equal(reopen(&rig, &recovery), HF_OK);
    assert_int_equal(recovery.checkpoint, 0);
    assert_true(recovery.notice[0] != '\0');
    assert_state(&rig, expected);
    history_fill(&rig, &history, 2);
    assert_int_equal(engine_checkpoint(rig.engine), HF_OK);
    close_rig(&rig);
}

/* A disk that goes bad under a running engine: the next checkpoint is made from the older one. */
static void checkpoint_is_made_from_the_older_one_when_the_newest_is_damaged(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    open_rig(&rig, NULL);
    make_history(&rig, &history, 10, 50);
    uint64_t numbers[2];
    last_two(&rig, numbers);
    damage(rig.storage, numbers[1], &history.rng);
    history_fill(&rig, &history, numbers[1] + 1);
    assert_int_equal(engine_checkpoint(rig.engine), HF_OK);
    uint64_t after[2];
    last_two(&rig, after);
    assert_int_equal(after[0], numbers[0]);
    assert_int_equal(after[1], numbers[1] + 1);
    assert_kept(&rig);
    close_rig(&rig);
}

/* The newest checkpoint of a running engine goes bad; at the nth operation of making the next one
 * the power fails (0: it does not). The number of operations. */
static uint64_t pass_over(const struct rig *before, const uint64_t numbers[2], uint64_t nth,
                          uint64_t seed, const char *expected)
{
    struct rig rig;
    struct rng rng;
    rng_init(&rng, seed);
    copy_rig(&rig, before, seed);
    damage(rig.storage, numbers[1], &rng);
    uint64_t from = sim_storage_operations(rig.storage);
    if (nth > 0) {
        sim_storage_crash_after(rig.storage, nth);
    }
    assert_true(engine_checkpoint(rig.engine) == HF_OK || nth > 0);
    uint64_t operations = sim_storage_operations(rig.storage) - from;
    rig_crash(&rig);
    char *text = malloc(strlen(expected) + 1);
    assert_non_null(text);
    assert_state(&rig, strcpy(text, expected));
    /* The older of the two that are kept is the good one, if the new one was made; else it is all
     * there is. */
    uint64_t *kept;
    size_t count;
    assert_int_equal(checkpoint_list(rig.storage, &kept, &count), HF_OK);
    assert_int_equal(kept[0], numbers[0]);
    assert_true(count == 1 || (count == 2 && kept[1] > numbers[1]));
    free(kept);
    close_rig(&rig);
    return operations;
}

static void stop_while_a_damaged_checkpoint_is_passed_over_keeps_the_good_one(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    uint64_t numbers[2];
    open_rig(&rig, sim_storage_make(1));
    make_history(&rig, &history, 10, 50);
    last_two(&rig, numbers);
    history_fill(&rig, &history, numbers[1] + 1);
    char *expected = dump_rig(&rig);
    crash(&rig);
    /* From where the new one is whole; each operation is done, or it is not. */
    uint64_t operations = pass_over(&rig, numbers, 0, 1, expected);
    assert_true(operations > 5);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        for (uint64_t nth = operations - 5; nth <= operations; nth++) {
            pass_over(&rig, numbers, nth, seed, expected);
        }
    }
    free(expected);
    storage_destroy(rig.storage);
    storage_destroy(rig.options.archive);
}

/* Three checkpoints after a stop: the segments after the oldest are recycled already, or not. */
static void three_checkpoints_after_a_stop_become_the_two_that_the_segments_suit(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    uint64_t numbers[2];
    open_rig(&rig, sim_storage_make(1));
    history_begin(&rig, &history, 12);
    for (uint64_t segment = 1; segment <= 4; segment++) {
        history_fill(&rig, &history, segment);
    }
    char *expected = dump_rig(&rig);
    for (uint64_t number = 1; number <= 3; number++) {
        build(&rig, rig.storage, number - 1, number, MIB(4));
    }
    rig_crash(&rig);
    last_two(&rig, numbers);
    assert_int_equal(numbers[0], 1); /* nothing was recycled: it serves, as far as is known */
    assert_int_equal(numbers[1], 3);
    /* Of which the header says that it is damaged. */
    uint64_t size;
    build(&rig, rig.storage, 1, 2, MIB(4));
    checkpoint_data(rig.storage, 1, &size)[8] ^= 1;
    rig_crash(&rig);
    last_two(&rig, numbers);
    assert_int_equal(numbers[0], 2);
    assert_int_equal(numbers[1], 3);
    /* And one whose segments are gone. */
    const uint8_t *data = checkpoint_data(rig.storage, 2, &size);
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, data, size);
    assert_int_equal(engine_checkpoint(rig.engine), HF_OK); /* of segment 4; 2 goes */
    assert_int_equal(first_segment(&rig), 4);
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, 2);
    assert_int_equal(rig.storage->ops->create_zeroed(rig.storage, name, size), HF_OK);
    memcpy(checkpoint_data(rig.storage, 2, &size), copy, size);
    free(copy);
    rig_crash(&rig);
    last_two(&rig, numbers);
    assert_int_equal(numbers[0], 3);
    assert_int_equal(numbers[1], 4);
    assert_state(&rig, expected);
    close_rig(&rig);
}

/* ---- No room, no archive ---- */

static void full_disk_during_a_checkpoint_leaves_the_engine_working(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    open_rig(&rig, NULL);
    make_history(&rig, &history, 11, 0);
    uint64_t numbers[2];
    last_two(&rig, numbers);
    history_fill(&rig, &history, numbers[1] + 1);
    uint64_t used = sim_storage_used(rig.storage);
    for (uint64_t pages = 0; pages < 4; pages++) {
        sim_storage_set_capacity(rig.storage, used + pages * WAL_PAGE_BYTES);
        assert_int_equal(engine_checkpoint(rig.engine), HF_NO_SPACE);
        assert_int_equal(count_files(rig.storage, "", ".tmp"), 0);
        assert_true(sim_storage_used(rig.storage) == used);
        history_act(&rig, &history, 20);
    }
    /* Nor does a failing write harm anything. */
    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    sim_storage_fail_write(rig.storage, 1, HF_IO_ERROR);
    assert_int_equal(engine_checkpoint(rig.engine), HF_IO_ERROR);
    assert_int_equal(count_files(rig.storage, "", ".tmp"), 0);
    assert_kept(&rig);
    assert_int_equal(engine_checkpoint(rig.engine), HF_OK);
    assert_int_equal(count_checkpoints(&rig), 2);
    close_rig(&rig);
}

enum { BUYERS_MAX = 8 };

/* One order for each of so many buyers, all of whom then are what the table has room for; or the
 * end of each. */
static void buyers_ask(struct rig *rig, enum request_type type, uint64_t first_buyer)
{
    uint64_t hi[BUYERS_MAX];
    uint64_t lo[BUYERS_MAX];
    uint64_t buyer[BUYERS_MAX];
    uint32_t item[BUYERS_MAX];
    for (uint32_t i = 0; i < BUYERS_MAX; i++) {
        hi[i] = 0xBB;
        lo[i] = first_buyer + i;
        buyer[i] = first_buyer + i;
        item[i] = 1;
    }
    struct request request = {.type = type};
    request.batch = (struct batch_message){
        .id_hi_count = BUYERS_MAX, .id_hi = hi, .id_lo_count = BUYERS_MAX, .id_lo = lo};
    if (type == REQUEST_RESERVE_BATCH) {
        request.batch.buyer_count = BUYERS_MAX;
        request.batch.buyer = buyer;
        request.batch.item_count = BUYERS_MAX;
        request.batch.item = item;
    }
    struct ask ask;
    assert_int_equal(ask_wait(rig, &ask, &request)->batch.ok_count, BUYERS_MAX);
    ask_free(&ask);
}

/* Orders are folded in by their hashes, not by time: on the way there are buyers who come later
 * beside those who go. */
static void checkpoint_is_made_while_the_table_of_buyers_is_full(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    open_rig(&rig, NULL);
    engine_close(rig.engine);
    rig.options.inventory.buyers_max = BUYERS_MAX;
    rig_recover(&rig);
    history_begin(&rig, &history, 14);
    struct sku_message rule = {.sku = bytes_of("phone"), .limit_per_buyer = 1};
    struct request request = {.type = REQUEST_DEFINE};
    request.define.sku_count = 1;
    request.define.skus = &rule;
    history_ask(&rig, &request);
    for (uint64_t round = 1; round <= 2; round++) {
        buyers_ask(&rig, REQUEST_RESERVE_BATCH, round * BUYERS_MAX);
        history_fill(&rig, &history, round);
        assert_int_equal(engine_checkpoint(rig.engine), HF_OK);
        assert_kept(&rig);
        buyers_ask(&rig, REQUEST_RELEASE_BATCH, round * BUYERS_MAX);
    }
    close_rig(&rig);
}

static bool bytes_are(const uint8_t *data, uint64_t len, uint8_t value)
{
    uint64_t i = 0;
    while (i < len && data[i] == value) {
        i++;
    }
    return i == len;
}

/* A file of the archive that is not this log's: another engine's, or another past of this one. */
static void archive_never_gives_up_what_another_log_left_there(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    uint64_t size;
    char name[STORAGE_NAME_BYTES_MAX];
    open_rig(&rig, sim_storage_make(1));
    struct storage *archive = rig.options.archive;
    wal_segment_name(name, 1);
    assert_int_equal(archive->ops->create_zeroed(archive, name, SEGMENT_BYTES), HF_OK);
    uint8_t *theirs = sim_storage_data(archive, name, &size);
    memset(theirs + size - 8, 0xAA, 8);
    make_history(&rig, &history, 16, 0);
    assert_int_equal(first_segment(&rig), 1); /* kept, since it can't be archived */
    assert_int_equal(count_files(archive, "", ""), 1);
    uint8_t *after = sim_storage_data(archive, name, &size);
    assert_int_equal(size, SEGMENT_BYTES);
    assert_true(bytes_are(after, size - 8, 0) && bytes_are(after + size - 8, 8, 0xAA));

    /* It is taken away, and all continues. */
    assert_int_equal(archive->ops->unlink(archive, name), HF_OK);
    assert_int_equal(engine_checkpoint(rig.engine), HF_NOT_FOUND);
    assert_archived(&rig);
    close_rig(&rig);
}

static void segments_stay_while_the_archive_is_out_of_reach(void **state)
{
    (void)state;
    struct rig rig;
    struct history history;
    open_rig(&rig, sim_storage_make(1));
    sim_storage_set_capacity(rig.options.archive, SEGMENT_BYTES - WAL_PAGE_BYTES);
    make_history(&rig, &history, 12, 0);
    assert_int_equal(first_segment(&rig), 1);
    assert_int_equal(count_files(rig.options.archive, "", ""), 0);
    sim_storage_set_capacity(rig.options.archive, UINT64_MAX);
    assert_int_equal(engine_checkpoint(rig.engine), HF_NOT_FOUND); /* nothing new, but this: */
    assert_archived(&rig);
    assert_kept(&rig);
    close_rig(&rig);
}

/* ---- Stopping at every operation ---- */

/* What a stop at the nth operation of the storage, or of the archive, leaves. */
static void stop_at(const struct rig *before, const char *expected, uint64_t nth, bool in_archive)
{
    struct rig rig;
    copy_rig(&rig, before, nth);
    sim_storage_crash_after(in_archive ? rig.options.archive : rig.storage, nth);
    enum hf_status status = engine_checkpoint(rig.engine);
    if (in_archive) {
        assert_int_equal(status, HF_OK); /* the archive's faults are not the checkpoint's */
    }
    crash(&rig);
    sim_storage_crash(rig.options.archive);
    rig_recover(&rig);
    char *text = malloc(strlen(expected) + 1);
    strcpy(text, expected);
    assert_state(&rig, text);
    /* What a stopped engine left does not stand in the way of the next, nor was a segment lost. */
    status = engine_checkpoint(rig.engine);
    assert_true(status == HF_OK || status == HF_NOT_FOUND);
    assert_int_equal(count_checkpoints(&rig), 2);
    if (in_archive || nth % 4 == 0) {
        assert_state(&rig, dump_whole_log(&rig));
    }
    close_rig(&rig);
}

/* An engine that is about to make its third checkpoint, and the number of operations that this
 * takes. */
static void before_third(struct rig *rig, uint64_t seed, uint64_t operations[2], char **expected)
{
    struct history history;
    open_rig(rig, sim_storage_make(seed));
    history_begin(rig, &history, seed);
    for (uint64_t segment = 1; segment <= 3; segment++) {
        history_act(rig, &history, 100);
        history_fill(rig, &history, segment);
        if (segment < 3) {
            assert_int_equal(engine_checkpoint(rig->engine), HF_OK);
        }
    }
    *expected = dump_rig(rig);
    rig_crash(rig);
    engine_close(rig->engine);
    struct rig probe;
    copy_rig(&probe, rig, seed);
    uint64_t from[] = {sim_storage_operations(probe.storage),
                       sim_storage_operations(probe.options.archive)};
    assert_int_equal(engine_checkpoint(probe.engine), HF_OK);
    operations[0] = sim_storage_operations(probe.storage) - from[0];
    operations[1] = sim_storage_operations(probe.options.archive) - from[1];
    close_rig(&probe);
}

static void run_stops(uint64_t seed)
{
    struct rig rig;
    uint64_t operations[2];
    char *expected;
    before_third(&rig, seed, operations, &expected);
    /* create, write, header, sync, rename, unlink, and a segment that is recycled. */
    assert_true(operations[0] >= 7);
    assert_true(operations[1] >= 4);
    for (unsigned where = 0; where < 2; where++) {
        for (uint64_t nth = 1; nth <= operations[where]; nth++) {
            stop_at(&rig, expected, nth, where == 1);
        }
    }
    free(expected);
    storage_destroy(rig.storage);
    storage_destroy(rig.options.archive);
}

static void stop_at_any_operation_of_a_checkpoint_loses_nothing(void **state)
{
    (void)state;
    for_seeds(run_stops, 20);
}

/* An engine is killed when its archive has given a segment its name, and has not synced that yet.
 * The next one finds a whole copy, gives the segment back, and then the power fails. */
static void segment_that_a_killed_engine_archived_is_archived_again(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t operations[2];
    char *expected;
    before_third(&rig, 1, operations, &expected);
    for (uint64_t seed = 1; seed <= 32; seed++) {
        struct rig copy;
        copy_rig(&copy, &rig, seed);
        sim_storage_crash_after(copy.options.archive, operations[1]); /* the last is the rename */
        (void)engine_checkpoint(copy.engine);
        engine_close(copy.engine);
        sim_storage_kill(copy.storage);
        sim_storage_kill(copy.options.archive);
        uint64_t first = first_segment(&copy);
        bool named = count_files(copy.options.archive, "wal-", ".seg") == first;
        rig_recover(&copy);
        if (!named) {
            close_rig(&copy);
            continue;
        }
        (void)engine_checkpoint(copy.engine);
        assert_true(first_segment(&copy) > first);
        sim_storage_stop(copy.options.archive);
        crash(&copy);
        sim_storage_crash(copy.options.archive);
        rig_recover(&copy);
        assert_archived(&copy);
        close_rig(&copy);
    }
    free(expected);
    storage_destroy(rig.storage);
    storage_destroy(rig.options.archive);
}

/* What is in the making when a process is killed is removed at the next start. */
static void leftovers_are_removed_at_the_next_start(void **state)
{
    (void)state;
    char *path = tempdir_make();
    static const char *const names[] = {"checkpoint-0000000000000007.ckp.tmp",
                                        "wal-0000000000000001.seg.tmp"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *file = tempdir_join(path, names[i]);
        int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        assert_true(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
        free(file);
    }
    struct storage *storage;
    assert_int_equal(storage_open(&storage, path, STORAGE_SYNC, false), HF_OK);
    assert_int_equal(count_files(storage, "", ".tmp"), 2); /* it may yet be refused */
    assert_int_equal(storage_settle(storage), HF_OK);
    assert_int_equal(count_files(storage, "", ".tmp"), 0);
    storage_destroy(storage);
    tempdir_remove(path);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    diag_set_level(DIAG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        TEST(checkpoints_are_the_state_that_the_log_leads_to),
        TEST(recovery_from_a_checkpoint_equals_that_from_the_whole_log),
        TEST(damaged_checkpoint_is_passed_over_for_the_one_before),
        TEST(damage_in_a_covered_segment_does_not_keep_the_engine_from_starting),
        TEST(engine_refuses_to_start_when_both_checkpoints_are_damaged),
        TEST(damaged_first_checkpoint_costs_only_a_longer_replay),
        TEST(checkpoint_is_made_from_the_older_one_when_the_newest_is_damaged),
        TEST(stop_while_a_damaged_checkpoint_is_passed_over_keeps_the_good_one),
        TEST(three_checkpoints_after_a_stop_become_the_two_that_the_segments_suit),
        TEST(full_disk_during_a_checkpoint_leaves_the_engine_working),
        TEST(checkpoint_is_made_while_the_table_of_buyers_is_full),
        TEST(archive_never_gives_up_what_another_log_left_there),
        TEST(segments_stay_while_the_archive_is_out_of_reach),
        TEST(stop_at_any_operation_of_a_checkpoint_loses_nothing),
        TEST(segment_that_a_killed_engine_archived_is_archived_again),
        TEST(leftovers_are_removed_at_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
