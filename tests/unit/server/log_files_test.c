/* log_files_test.c - every file of a small log removed, emptied, cut, renamed, doubled, swapped
 * with another log's or with one of a copy of this log that went on by itself, or replaced by what
 * it was before, one at a time and in pairs. What must hold:
 *
 *   - `wal verify` (history_check) foretells whether an engine starts;
 *   - nothing that was acknowledged is dropped in silence: either it does not start, or all is
 * there;
 *   - neither looking nor a refused start changes anything.
 *
 * What is there is known from the events that the log was made of (the sum of what each adds to the
 * digest), not from what any reader says.
 *
 * Threads: one. */
#include <errno.h>

#include "base/diag.h"
#include "checkpoint/build.h"
#include "checkpoint/format.h"
#include "checkpoint/load.h"
#include "history/check.h"
#include "lib/fault_storage.h"
#include "lib/sim_clock.h"
#include "server/engine.h"
#include "unit/wal/small_log.h"

#define FILES_MAX    32u
#define VERSIONS_MAX 8u
#define LAST_USED    "wal-0000000000000006.seg"
#define MARK         "begun-0000000000000006.mark"
#define SIZES                                                                                      \
    {                                                                                              \
        .items_max = 8, .orders_max = 64, .hold_ms_default = 1000, .hold_ms_max = 900000           \
    }

/* ---- The log ---- */

struct version {
    uint8_t *data;
    uint64_t size;
    bool prefix; /* the same life of the file, with fewer blocks */
};

struct kept_file {
    char name[STORAGE_NAME_BYTES_MAX];
    uint8_t *data;
    uint64_t size;
    struct version older[VERSIONS_MAX];
    unsigned older_count;
    struct version foreign; /* another cluster's; size 0: none */
    struct version branch;  /* of another past of this log; size 0: none */
};

/* Segments 1 and 2 were recycled; checkpoints 2 and 4; 3 and 4 are covered, 5 and 6 are not; 7
 * and 8 are prepared, 7 with an earlier life. */
struct golden {
    struct small_log log;
    struct storage *snapshots[VERSIONS_MAX * 4];
    unsigned snapshot_count;
    struct kept_file files[FILES_MAX];
    unsigned file_count;
};

static struct golden golden;
static const char newest_checkpoint[] = "checkpoint-0000000000000004.ckp";

static void snapshot(void)
{
    assert_true(golden.snapshot_count < VERSIONS_MAX * 4);
    golden.snapshots[golden.snapshot_count++] = sim_storage_copy(golden.log.storage, 1);
}

static void add_orders(uint64_t first)
{
    struct small_log *log = &golden.log;
    small_segment(log);
    for (uint64_t order = first; order < first + 4; order++) {
        small_event(log, small_held(order, 1));
        small_block(log, BLOCK_DATA);
        snapshot();
    }
    small_block(log, BLOCK_NOOP);
}

static void make_checkpoint(uint64_t base, uint64_t upto)
{
    struct checkpoint_info info;
    const struct checkpoint_build_options options = {.storage = golden.log.storage,
                                                     .base = base,
                                                     .upto = upto,
                                                     .memory_bytes = MIB(1),
                                                     .inventory = SIZES};
    assert_int_equal(checkpoint_build(&options, &info), HF_OK);
}

static void make_log(void)
{
    struct small_log *log = &golden.log;
    small_log_make(log);
    assert_non_null(small_block_at(log->storage, 1));
    const struct storage_ops *ops = log->storage->ops;
    for (unsigned segment = 3; segment <= 6; segment++) {
        add_orders(10 * segment);
    }
    make_checkpoint(0, 2);
    make_checkpoint(2, 4);
    ops->rename(log->storage, "wal-0000000000000001.seg", "spare-0000000000000001.seg");
    ops->rename(log->storage, "wal-0000000000000002.seg", "spare-0000000000000002.seg");
    uint64_t size;
    ops->create_zeroed(log->storage, "wal-0000000000000007.seg", SMALL_SEGMENT_BYTES);
    memcpy(small_file(log->storage, 7),
           sim_storage_data(log->storage, "spare-0000000000000001.seg", &size),
           SMALL_SEGMENT_BYTES);
    ops->create_zeroed(log->storage, "wal-0000000000000008.seg", SMALL_SEGMENT_BYTES);
    storage_file file;
    assert_int_equal(ops->create(log->storage, MARK, &file), HF_OK);
    ops->close(log->storage, file);
}

/* A page says whose it is by its cluster, and what went before it by a hash. */
static void make_other(struct id128 *cluster, uint64_t *previous_hash, bool branch)
{
    if (branch) {
        *previous_hash ^= 1;
    } else {
        cluster->lo ^= 1;
    }
}

/* The same bytes as another cluster would have written them, or this one, had something else gone
 * before: a copy of the log that went on by itself. */
static void make_version(const struct kept_file *file, struct version *version, bool branch)
{
    *version = (struct version){.data = malloc(file->size + 1), .size = file->size};
    memcpy(version->data, file->data, file->size);
    for (uint64_t at = 0; at < file->size; at += WAL_PAGE_BYTES) {
        uint8_t *page = version->data + at;
        struct segment_header segment;
        struct block_header block;
        struct checkpoint_header checkpoint;
        const char *reason;
        if (segment_header_decode(&segment, page, &reason)) {
            make_other(&segment.cluster, &segment.previous_hash, branch);
            segment_header_encode(&segment, page);
        } else if (block_header_decode(&block, page, &reason)) {
            make_other(&block.cluster, &block.previous_hash, branch);
            block_header_encode(&block, page);
        } else if (at == 0 && checkpoint_header_decode(&checkpoint, page, &reason)) {
            struct wal_start *start = &checkpoint.info.start;
            make_other(&start->cluster, &start->previous_hash, branch);
            checkpoint_header_encode(&checkpoint, page);
        }
    }
    if (memcmp(version->data, file->data, file->size) == 0) {
        version->size = 0;
    }
}

static void add_older(struct kept_file *file, const uint8_t *data, bool prefix)
{
    for (unsigned i = 0; i < file->older_count; i++) {
        if (memcmp(file->older[i].data, data, file->size) == 0) {
            return;
        }
    }
    if (memcmp(file->data, data, file->size) == 0 || file->older_count == VERSIONS_MAX) {
        return;
    }
    struct version *older = &file->older[file->older_count++];
    *older = (struct version){.data = malloc(file->size), .size = file->size, .prefix = prefix};
    memcpy(older->data, data, file->size);
}

/* What a segment's file was: prepared, an earlier life, and with fewer blocks. */
static void find_older(struct kept_file *file)
{
    if (strncmp(file->name, "wal-", 4) != 0) {
        return;
    }
    uint8_t *zeros = calloc(1, file->size);
    uint64_t size;
    add_older(file, zeros, false);
    add_older(file, sim_storage_data(golden.log.storage, "spare-0000000000000001.seg", &size),
              false);
    for (unsigned i = 0; i < golden.snapshot_count; i++) {
        const uint8_t *data = sim_storage_data(golden.snapshots[i], file->name, &size);
        if (data && size == file->size) {
            add_older(file, data, true);
        }
    }
    free(zeros);
}

static bool keep_file(void *context, const char *name)
{
    (void)context;
    assert_true(golden.file_count < FILES_MAX);
    struct kept_file *file = &golden.files[golden.file_count++];
    snprintf(file->name, sizeof file->name, "%s", name);
    const uint8_t *data = sim_storage_data(golden.log.storage, name, &file->size);
    file->data = malloc(file->size + 1);
    memcpy(file->data, data, file->size);
    make_version(file, &file->foreign, false);
    make_version(file, &file->branch, true);
    find_older(file);
    return true;
}

static int set_up(void **state)
{
    (void)state;
    diag_set_level(DIAG_ERROR + 1);
    make_log();
    golden.log.storage->ops->list(golden.log.storage, keep_file, NULL);
    assert_int_equal(golden.file_count, 11);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < golden.file_count; i++) {
        struct kept_file *file = &golden.files[i];
        for (unsigned j = 0; j < file->older_count; j++) {
            free(file->older[j].data);
        }
        free(file->foreign.data);
        free(file->branch.data);
        free(file->data);
    }
    for (unsigned i = 0; i < golden.snapshot_count; i++) {
        storage_destroy(golden.snapshots[i]);
    }
    small_log_free(&golden.log);
    return 0;
}

/* ---- What happens to a file ---- */

enum harm_kind {
    HARM_REMOVE,
    HARM_EMPTY,
    HARM_CUT,   /* to `size` bytes */
    HARM_OLDER, /* version */
    HARM_FOREIGN,
    HARM_BRANCH,
    HARM_COPY, /* onto `to` */
    HARM_NAME, /* gets the name `to` */
};

struct harm {
    enum harm_kind kind;
    const struct kept_file *file;
    uint64_t size;
    unsigned version;
    const char *to;
};

/* Puts bytes under a name. */
static void put(struct storage *storage, const char *name, const uint8_t *data, uint64_t size)
{
    uint64_t made;
    assert_int_equal(storage->ops->create_zeroed(storage, name, size), HF_OK);
    memcpy(sim_storage_data(storage, name, &made), data, size);
}

static void do_harm(struct storage *storage, const struct harm *harm)
{
    const struct kept_file *file = harm->file;
    switch (harm->kind) {
    case HARM_REMOVE:
        storage->ops->unlink(storage, file->name);
        break;
    case HARM_EMPTY:
    case HARM_CUT:
        put(storage, file->name, file->data, harm->kind == HARM_CUT ? harm->size : 0);
        break;
    case HARM_OLDER:
        put(storage, file->name, file->older[harm->version].data, file->size);
        break;
    case HARM_FOREIGN:
        put(storage, file->name, file->foreign.data, file->size);
        break;
    case HARM_BRANCH:
        put(storage, file->name, file->branch.data, file->size);
        break;
    case HARM_COPY:
        put(storage, harm->to, file->data, file->size);
        break;
    case HARM_NAME:
        storage->ops->unlink(storage, file->name);
        put(storage, harm->to, file->data, file->size);
        break;
    }
}

static void describe(const struct harm *harm, char text[192])
{
    static const char *const kinds[] = {"removed",        "emptied",         "cut",
                                        "older version",  "another cluster", "another past",
                                        "copied over to", "renamed to"};
    snprintf(text, 192, "%s %s %s (size %llu, version %u)", harm->file->name, kinds[harm->kind],
             harm->to ? harm->to : "", (unsigned long long)harm->size, harm->version);
}

/* The last used segment holds less than it did, and nothing that is left can say so: what
 * docs/wal-format.md says is not noticed. */
static bool last_is_fewer_blocks(const struct harm *harm)
{
    return strcmp(harm->file->name, LAST_USED) == 0 && harm->kind == HARM_OLDER &&
           harm->file->older[harm->version].prefix;
}

static bool last_looks_prepared(const struct harm *harm)
{
    bool replaced = harm->kind == HARM_OLDER && strcmp(harm->file->name, LAST_USED) == 0;
    bool covered =
        (harm->kind == HARM_COPY || harm->kind == HARM_NAME) && strcmp(harm->to, LAST_USED) == 0;
    return replaced || covered;
}

static bool mark_is_gone(const struct harm *harm)
{
    return strcmp(harm->file->name, MARK) == 0 &&
           (harm->kind == HARM_REMOVE || harm->kind == HARM_NAME);
}

static bool unnoticeable(const struct harm *a, const struct harm *b)
{
    return last_is_fewer_blocks(a) || (b && last_is_fewer_blocks(b)) ||
           (b && last_looks_prepared(a) && mark_is_gone(b)) ||
           (b && last_looks_prepared(b) && mark_is_gone(a));
}

/* ---- The verdicts ---- */

static uint64_t one_ms(void *context)
{
    (void)context;
    return SMALL_MS * 1000000u + 60000000000u;
}

static uint64_t one_ns(void *context)
{
    (void)context;
    return 1000000000u;
}

static struct tally {
    unsigned cases;
    unsigned refused;
    unsigned started;
    unsigned unnoticed;
} tally;

static enum hf_status verify(struct storage *storage, bool state, bool *starts, bool *whole)
{
    struct history_findings findings;
    const struct history_check_options options = {.storage = storage, .state = state};
    enum hf_status status = history_check(&options, &findings);
    *starts = status == HF_OK && history_findings_starts(&findings);
    *whole = status == HF_OK && history_findings_whole(&findings);
    if (status == HF_OK) {
        history_findings_free(&findings);
    }
    return status;
}

/* Starts an engine: whether it does, and whether all that was acknowledged is there. */
static bool start(struct storage *storage, bool *complete, struct engine_recovery *recovery)
{
    static const struct clock clock = {NULL, one_ms, one_ns, one_ns, sim_boot};
    const struct engine_options options = {
        .inventory = SIZES,
        .recovery_threads = 1,
        .wal = {.segment_bytes = WAL_SEGMENT_BYTES_MIN, .spare_segments = 1, .in_flight_max = 1}};
    struct engine *engine;
    bool started = engine_open(&engine, &options, storage, &clock, recovery) == HF_OK;
    *complete = started && inventory_digest(engine_inventory(engine)) == golden.log.digest;
    if (started) {
        engine_close(engine);
    }
    return started;
}

static void run_case(const struct harm *a, const struct harm *b, bool state)
{
    char text[2][192] = {"", ""};
    describe(a, text[0]);
    if (b) {
        describe(b, text[1]);
    }
    struct storage *storage = sim_storage_copy(golden.log.storage, 1);
    do_harm(storage, a);
    if (b) {
        do_harm(storage, b);
    }
    uint64_t operations = sim_storage_operations(storage);
    bool starts;
    bool whole;
    bool complete;
    struct engine_recovery recovery;
    verify(storage, state, &starts, &whole);
    assert_int_equal(sim_storage_operations(storage), operations);
    bool started = start(storage, &complete, &recovery);
    if (started != starts) {
        fail_msg("%s; %s: verify says %s, the start: %s %s", text[0], text[1],
                 starts ? "starts" : "refused", started ? "started" : "refused", recovery.message);
    }
    if (!started && sim_storage_operations(storage) != operations) {
        fail_msg("%s; %s: refused (%s), but something was changed", text[0], text[1],
                 recovery.message);
    }
    bool excused = unnoticeable(a, b);
    if (started && !complete && !excused) {
        fail_msg("%s; %s: acknowledged orders are gone in silence (verify: %s)", text[0], text[1],
                 whole ? "whole" : "damaged");
    }
    tally.cases++;
    tally.refused += !started;
    tally.started += started;
    tally.unnoticed += started && !complete;
    storage_destroy(storage);
}

/* ---- All of them ---- */

/* Calls for each thing that can happen to each file. renames: also to be doubled or renamed. */
static void for_each_harm(bool renames, void (*call)(const struct harm *harm, void *context),
                          void *context)
{
    static const char *const names[] = {
        "wal-0000000000000009.seg",        "wal-0000000000000020.seg",
        "wal-0000000000000002.seg",        "spare-0000000000000003.seg",
        "spare-0000000000000009.seg",      "checkpoint-0000000000000003.ckp",
        "checkpoint-0000000000000006.ckp", "begun-0000000000000005.mark",
        "begun-0000000000000009.mark",     "wal-0000000000000006.SEG",
        "wal-0000000000000006.seg.bak",    "wal-6.seg",
        "Wal-0000000000000006.seg"};
    for (unsigned i = 0; i < golden.file_count; i++) {
        const struct kept_file *file = &golden.files[i];
        call(&(struct harm){.kind = HARM_REMOVE, .file = file}, context);
        if (file->size > 0) {
            call(&(struct harm){.kind = HARM_EMPTY, .file = file}, context);
            call(&(struct harm){.kind = HARM_CUT, .file = file, .size = 512}, context);
            call(&(struct harm){.kind = HARM_CUT, .file = file, .size = WAL_PAGE_BYTES}, context);
            uint64_t half = file->size / 2 / WAL_PAGE_BYTES * WAL_PAGE_BYTES;
            call(&(struct harm){.kind = HARM_CUT, .file = file, .size = half}, context);
            call(&(struct harm){.kind = HARM_CUT, .file = file, .size = file->size - 1}, context);
        }
        for (unsigned j = 0; j < file->older_count; j++) {
            call(&(struct harm){.kind = HARM_OLDER, .file = file, .version = j}, context);
        }
        if (file->foreign.size > 0) {
            call(&(struct harm){.kind = HARM_FOREIGN, .file = file}, context);
        }
        if (file->branch.size > 0) {
            call(&(struct harm){.kind = HARM_BRANCH, .file = file}, context);
        }
        for (unsigned j = 0; renames && j < golden.file_count + sizeof names / sizeof *names; j++) {
            const char *to =
                j < golden.file_count ? golden.files[j].name : names[j - golden.file_count];
            if (strcmp(to, file->name) != 0) {
                call(&(struct harm){.kind = HARM_COPY, .file = file, .to = to}, context);
                call(&(struct harm){.kind = HARM_NAME, .file = file, .to = to}, context);
            }
        }
    }
}

static void one(const struct harm *harm, void *context)
{
    run_case(harm, NULL, *(bool *)context);
}

static void say_tally(void)
{
    print_message("%u cases: %u refused, %u started with all that was acknowledged, %u without, as "
                  "the documents say\n",
                  tally.cases, tally.refused, tally.started - tally.unnoticed, tally.unnoticed);
    tally = (struct tally){0};
}

static void log_that_nothing_happened_to_starts(void **state)
{
    (void)state;
    bool starts;
    bool whole;
    bool complete;
    struct engine_recovery recovery;
    struct storage *storage = sim_storage_copy(golden.log.storage, 1);
    assert_int_equal(verify(storage, true, &starts, &whole), HF_OK);
    assert_true(starts && whole);
    assert_true(start(storage, &complete, &recovery));
    assert_true(complete);
    assert_string_equal(recovery.notice, "");
    storage_destroy(storage);
}

static void each_file_alone(void **state)
{
    (void)state;
    bool build_state = true;
    for_each_harm(false, one, &build_state);
    say_tally();
    build_state = false;
    for_each_harm(true, one, &build_state);
    say_tally();
}

static void other(const struct harm *harm, void *context)
{
    const struct harm *first = context;
    if (harm->file > first->file) {
        run_case(first, harm, false);
    }
}

static void first_of_two(const struct harm *harm, void *context)
{
    (void)context;
    struct harm first = *harm;
    for_each_harm(false, other, &first);
}

static void pairs_of_files(void **state)
{
    (void)state;
    for_each_harm(false, first_of_two, NULL);
    say_tally();
}

/* ---- What docs/wal-format.md says of some ---- */

static const struct kept_file *file_named(const char *name)
{
    for (unsigned i = 0; i < golden.file_count; i++) {
        if (strcmp(golden.files[i].name, name) == 0) {
            return &golden.files[i];
        }
    }
    fail_msg("there is no %s", name);
    return NULL;
}

/* What a start says after one harm. */
static bool start_after(const struct harm *harm, struct engine_recovery *recovery)
{
    bool complete;
    struct storage *storage = sim_storage_copy(golden.log.storage, 1);
    do_harm(storage, harm);
    bool started = start(storage, &complete, recovery);
    assert_int_equal(complete, started);
    storage_destroy(storage);
    return started;
}

static void number_missing_in_what_the_checkpoint_covers_is_refused(void **state)
{
    (void)state;
    struct engine_recovery recovery;
    const struct harm harm = {.kind = HARM_REMOVE, .file = file_named("wal-0000000000000004.seg")};
    assert_false(start_after(&harm, &recovery));
    assert_non_null(strstr(recovery.message, "segment 4 is missing"));
}

static void files_of_another_cluster_are_refused_by_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < golden.file_count; i++) {
        const struct kept_file *file = &golden.files[i];
        struct engine_recovery recovery;
        if (file->foreign.size > 0) {
            const struct harm harm = {.kind = HARM_FOREIGN, .file = file};
            if (start_after(&harm, &recovery) || !strstr(recovery.message, file->name)) {
                fail_msg("%s of another cluster: %s; %s", file->name, recovery.message,
                         recovery.notice);
            }
        }
    }
}

static void checkpoint_of_another_past_is_passed_over(void **state)
{
    (void)state;
    static const char name[] = "checkpoint-0000000000000004.ckp";
    struct engine_recovery recovery;
    const struct harm harm = {.kind = HARM_BRANCH, .file = file_named(name)};
    assert_true(start_after(&harm, &recovery));
    assert_int_equal(recovery.checkpoint, 2);
    assert_non_null(strstr(recovery.notice, name));
    assert_non_null(strstr(recovery.notice, "segment 5 does not continue where it ends"));
}

/* A damaged checkpoint still has its name, which proves the segment after it, though every other
 * file that did is gone. */
static void damaged_checkpoint_proves_the_segment_behind_it(void **state)
{
    (void)state;
    static const char *const gone[] = {"wal-0000000000000005.seg", "wal-0000000000000006.seg",
                                       "wal-0000000000000007.seg", "wal-0000000000000008.seg",
                                       MARK};
    struct storage *storage = sim_storage_copy(golden.log.storage, 1);
    uint64_t size;
    sim_storage_data(storage, newest_checkpoint, &size)[WAL_PAGE_BYTES + 60] ^= 1;
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        assert_int_equal(storage->ops->unlink(storage, gone[i]), HF_OK);
    }
    bool complete;
    struct engine_recovery recovery;
    assert_false(start(storage, &complete, &recovery));
    assert_non_null(strstr(recovery.message, "segment 5 is missing"));
    storage_destroy(storage);
}

/* Header and frames are whole, each for itself. */
static void checkpoint_that_is_not_what_its_header_tells_is_damaged(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint64_t add;
    } cases[] = {{120, 1}, {128, UINT64_MAX}, {144, 1}, {152, 1}, {0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct kept_file *file = file_named(newest_checkpoint);
        struct storage *storage = sim_storage_copy(golden.log.storage, 1);
        uint64_t size;
        if (cases[i].at == 0) { /* a page more */
            assert_int_equal(
                storage->ops->create_zeroed(storage, file->name, file->size + WAL_PAGE_BYTES),
                HF_OK);
        }
        uint8_t *data = sim_storage_data(storage, file->name, &size);
        memcpy(data, file->data, file->size);
        if (cases[i].at) {
            store_u64(data + cases[i].at, load_u64(data + cases[i].at) + cases[i].add);
            store_u64(data + 288, hash_bytes(data, 288));
            store_u64(data + 304, hash_bytes(data, 304));
        }
        struct checkpoint_info info;
        struct engine_recovery recovery;
        bool complete;
        assert_int_equal(checkpoint_verify(storage, 4, &info, NULL, NULL), HF_DAMAGED);
        assert_true(start(storage, &complete, &recovery));
        assert_true(complete);
        assert_int_equal(recovery.checkpoint, 2);
        storage_destroy(storage);
    }
}

/* ---- Files that can't be read ---- */

/* Each file in turn can't be opened, or can't be read. */
static void files_that_cant_be_read(void **state)
{
    (void)state;
    static const enum fault_operation operations[] = {FAULT_OPEN, FAULT_READ};
    for (unsigned i = 0; i < 2 * golden.file_count; i++) {
        const struct kept_file *file = &golden.files[i / 2];
        struct storage *disk = sim_storage_copy(golden.log.storage, 1);
        struct storage *storage = fault_storage_make(disk);
        fault_storage_set(storage, operations[i % 2], file->name, EIO, FAULT_ALWAYS);
        uint64_t operations_before = sim_storage_operations(disk);
        bool starts;
        bool whole;
        bool complete;
        struct engine_recovery recovery;
        (void)verify(storage, false, &starts, &whole);
        bool started = start(storage, &complete, &recovery);
        if (started != starts || (started && !complete)) {
            fail_msg("%s: verify says %s; start: %d %s", file->name, starts ? "starts" : "refused",
                     started, recovery.message);
        }
        if (!started) {
            assert_int_equal(sim_storage_operations(disk), operations_before);
            assert_non_null(strstr(recovery.message, file->name));
            assert_non_null(strstr(recovery.message, "Input/output error"));
        }
        storage_destroy(storage);
    }
}

/* The folder can't be listed, once, at each time that a start asks for it: what the names prove to
 * be missing is never passed over. */
static void names_that_cant_be_listed(void **state)
{
    (void)state;
    static const char *const gone[] = {"", "wal-0000000000000004.seg", "wal-0000000000000005.seg",
                                       "wal-0000000000000006.seg"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        bool more = true;
        for (unsigned n = 0; more; n++) {
            struct storage *disk = sim_storage_copy(golden.log.storage, 1);
            if (gone[i][0] != '\0') {
                assert_int_equal(disk->ops->unlink(disk, gone[i]), HF_OK);
            }
            struct storage *storage = fault_storage_make(disk);
            fault_storage_set_later(storage, FAULT_LIST, "", EIO, 1, n);
            bool complete;
            struct engine_recovery recovery;
            bool started = start(storage, &complete, &recovery);
            more = fault_storage_asked(storage) > n;
            if (started ? gone[i][0] != '\0' || !complete : gone[i][0] == '\0' && !more) {
                fail_msg("without \"%s\", list %u: %d %s", gone[i], n, started, recovery.message);
            }
            storage_destroy(storage);
            assert_true(n < 100);
        }
    }
}

static void newest_checkpoint_that_cant_be_read_is_passed_over(void **state)
{
    (void)state;
    static const struct {
        enum fault_operation operation;
        int error;
        const char *text;
    } cases[] = {{FAULT_OPEN, EIO, "Input/output error"},
                 {FAULT_READ, EIO, "Input/output error"},
                 {FAULT_OPEN, EACCES, "Permission denied"},
                 {FAULT_OPEN, ELOOP, "Too many levels of symbolic links"}};
    static const char name[] = "checkpoint-0000000000000004.ckp";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct storage *disk = sim_storage_copy(golden.log.storage, 1);
        struct storage *storage = fault_storage_make(disk);
        fault_storage_set(storage, cases[i].operation, name, cases[i].error, FAULT_ALWAYS);
        bool complete;
        struct engine_recovery recovery;
        assert_true(start(storage, &complete, &recovery));
        assert_true(complete);
        assert_int_equal(recovery.checkpoint, 2);
        assert_non_null(strstr(recovery.notice, name));
        assert_non_null(strstr(recovery.notice, cases[i].text));
        /* It may be out of reach for a while only: it is not removed, and serves the next time. */
        fault_storage_set(storage, cases[i].operation, name, 0, 0);
        assert_true(start(storage, &complete, &recovery));
        assert_true(complete);
        assert_int_equal(recovery.checkpoint, 4);
        assert_string_equal(recovery.notice, "");
        storage_destroy(storage);
    }
}

static void out_of_memory_is_no_reason_to_pass_a_checkpoint_over(void **state)
{
    (void)state;
    struct storage *disk = sim_storage_copy(golden.log.storage, 1);
    struct storage *storage = fault_storage_make(disk);
    fault_storage_set(storage, FAULT_OPEN, "checkpoint-0000000000000004.ckp", ENOMEM, 1);
    uint64_t operations = sim_storage_operations(disk);
    bool complete;
    struct engine_recovery recovery;
    assert_false(start(storage, &complete, &recovery));
    assert_int_equal(sim_storage_operations(disk), operations);
    storage_destroy(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_that_nothing_happened_to_starts),
        cmocka_unit_test(each_file_alone),
        cmocka_unit_test(pairs_of_files),
        cmocka_unit_test(number_missing_in_what_the_checkpoint_covers_is_refused),
        cmocka_unit_test(files_of_another_cluster_are_refused_by_name),
        cmocka_unit_test(checkpoint_of_another_past_is_passed_over),
        cmocka_unit_test(damaged_checkpoint_proves_the_segment_behind_it),
        cmocka_unit_test(checkpoint_that_is_not_what_its_header_tells_is_damaged),
        cmocka_unit_test(files_that_cant_be_read),
        cmocka_unit_test(names_that_cant_be_listed),
        cmocka_unit_test(newest_checkpoint_that_cant_be_read_is_passed_over),
        cmocka_unit_test(out_of_memory_is_no_reason_to_pass_a_checkpoint_over),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
