/* sim_files.c - what happens to the log's files: checkpoints, the archive, full disks, damage and
 * losses; and what must hold of the files afterwards.
 *
 * What may be damaged is chosen by the documents, not by the engine: wal-format.md, "What the names
 * prove", and checkpoint-format.md, "Reading". One damaged checkpoint costs nothing, since the one
 * before it is kept with its segments. Anything that may hold acknowledged orders must be missed.
 *
 * Threads: one. */
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/info.h"
#include "sim.h"
#include "wal/format.h"

#define NUMBERS_MAX 256u

/* ---- Names ---- */

struct numbers {
    const char *prefix;
    const char *suffix;
    uint32_t count;
    uint64_t numbers[NUMBERS_MAX]; /* ascending, as names are sorted */
};

static bool take_number(void *context, const char *name)
{
    struct numbers *list = context;
    size_t prefix = strlen(list->prefix);
    if (strncmp(name, list->prefix, prefix) == 0 && strlen(name) > prefix + 16 &&
        strcmp(name + prefix + 16, list->suffix) == 0) {
        CHECK(list->count < NUMBERS_MAX);
        list->numbers[list->count++] = strtoull(name + prefix, NULL, 16);
    }
    return true;
}

static struct numbers numbers_of(struct storage *storage, const char *prefix, const char *suffix)
{
    struct numbers list = {.prefix = prefix, .suffix = suffix};
    CHECK(storage->ops->list(storage, take_number, &list) == HF_OK);
    return list;
}

static struct numbers segments_of(struct storage *storage)
{
    return numbers_of(storage, "wal-", ".seg");
}

static struct numbers checkpoints_of(struct storage *storage)
{
    return numbers_of(storage, "checkpoint-", ".ckp");
}

static uint64_t first_of(const struct numbers *list)
{
    return list->count > 0 ? list->numbers[0] : 0;
}

static uint64_t last_of(const struct numbers *list)
{
    return list->count > 0 ? list->numbers[list->count - 1] : 0;
}

static uint8_t *segment_data(struct storage *storage, uint64_t number, uint64_t *size)
{
    char name[STORAGE_NAME_BYTES_MAX];
    wal_segment_name(name, number);
    return sim_storage_data(storage, name, size);
}

static uint8_t *checkpoint_data(struct storage *storage, uint64_t number, uint64_t *size)
{
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, number);
    return sim_storage_data(storage, name, size);
}

uint64_t sim_newest_checkpoint(struct storage *storage)
{
    struct numbers list = checkpoints_of(storage);
    return last_of(&list);
}

/* ---- Checkpoints that were damaged ---- */

static bool is_damaged(struct sim *sim, uint64_t number)
{
    uint64_t size;
    if (number == 0 || number != sim->damaged) {
        return false;
    }
    const uint8_t *data = checkpoint_data(sim->storage, number, &size);
    return data && hash_bytes(data, size) == sim->damaged_hash;
}

uint64_t sim_usable_checkpoint(struct sim *sim)
{
    struct numbers list = checkpoints_of(sim->storage);
    uint32_t i = list.count;
    while (i > 0 && is_damaged(sim, list.numbers[i - 1])) {
        i--;
    }
    return i > 0 ? list.numbers[i - 1] : 0;
}

/* Whether an engine could do without the newest checkpoint: by the one before and the segments
 * after it, or by a log that is there from its beginning. */
static bool newest_is_spare(struct sim *sim, uint64_t *newest)
{
    struct numbers checkpoints = checkpoints_of(sim->storage);
    struct numbers segments = segments_of(sim->storage);
    *newest = last_of(&checkpoints);
    if (*newest == 0 || is_damaged(sim, *newest)) {
        return false;
    }
    uint64_t before = checkpoints.count > 1 ? checkpoints.numbers[checkpoints.count - 2] : 0;
    return !is_damaged(sim, before) && first_of(&segments) <= before + 1;
}

/* One bit, or some bytes that become zeros; or, while no engine runs, the end is removed. */
static void damage_bytes(struct sim *sim, struct storage *storage, uint64_t number, bool running)
{
    struct rng *rng = &sim->rng;
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    uint8_t *data = checkpoint_data(storage, number, &size);
    CHECK(data);
    if (size < 2 * WAL_PAGE_BYTES) {
        return; /* its end has been removed before */
    }
    switch (rng_below(rng, running ? 2 : 3)) {
    case 0:
        data[rng_below(rng, size)] ^= (uint8_t)(1u << rng_below(rng, 8));
        break;
    case 1: /* a header's or frame's page, which is not zero */
        memset(data + rng_below(rng, 2) * WAL_PAGE_BYTES, 0, 64);
        break;
    default: {
        storage_file file;
        checkpoint_name(name, number);
        CHECK(storage->ops->open(storage, name, true, &file, &size) == HF_OK);
        uint64_t pages = rng_below(rng, size / WAL_PAGE_BYTES);
        CHECK(storage->ops->truncate(storage, file, pages * WAL_PAGE_BYTES) == HF_OK);
        CHECK(storage->ops->sync(storage, file) == HF_OK);
        storage->ops->close(storage, file);
    }
    }
}

static void damage_newest(struct sim *sim, uint64_t newest, bool running)
{
    uint64_t size;
    damage_bytes(sim, sim->storage, newest, running);
    const uint8_t *data = checkpoint_data(sim->storage, newest, &size);
    sim->damaged = newest;
    sim->damaged_hash = hash_bytes(data, size);
}

void sim_damage_checkpoint(struct sim *sim)
{
    uint64_t newest;
    if (!rng_chance(&sim->rng, 5) || !newest_is_spare(sim, &newest)) {
        return;
    }
    if (rng_chance(&sim->rng, 4)) {
        CHECK(checkpoint_remove(sim->storage, newest) == HF_OK);
        sim_reached(sim, REACH_CHECKPOINTS_GONE);
    } else {
        damage_newest(sim, newest, false);
    }
}

/* ---- Making checkpoints ---- */

/* What goes wrong while one is made. */
struct trouble {
    bool damaged; /* the newest one */
    bool main;    /* the disk fails or is full */
    bool archive;
};

static struct trouble make_trouble(struct sim *sim)
{
    struct rng *rng = &sim->rng;
    struct trouble trouble = {.main = sim->full || sim->write_fails, .archive = sim->archive_down};
    uint64_t newest;
    enum hf_status status = rng_chance(rng, 2) ? HF_IO_ERROR : HF_NO_SPACE;
    switch (rng_below(rng, 18)) {
    case 0:
    case 1:
    case 2:
        sim_storage_crash_after(sim->storage, 1 + rng_below(rng, 16));
        break;
    case 3:
        if (!sim->write_fails) {
            sim_storage_fail_write(sim->storage, 1 + rng_below(rng, 4), status);
            trouble.main = true;
        }
        break;
    case 4:
    case 5:
    case 6:
        if (sim->archive && !sim->archive_down) {
            sim_storage_crash_after(sim->archive, 1 + rng_below(rng, 8));
            trouble.archive = true;
        }
        break;
    case 7:
        if (sim->archive) {
            sim_storage_fail_write(sim->archive, 1 + rng_below(rng, 3), status);
            trouble.archive = true;
        }
        break;
    case 8:
        if (newest_is_spare(sim, &newest)) {
            damage_newest(sim, newest, true);
            trouble.damaged = true;
        }
        break;
    default:
        break;
    }
    return trouble;
}

static void end_trouble(struct sim *sim)
{
    if (!sim->write_fails) {
        sim_storage_fail_write(sim->storage, 0, HF_IO_ERROR);
    }
    if (!sim_storage_crashed(sim->storage)) {
        sim_storage_crash_after(sim->storage, 0);
    }
    if (sim->archive) {
        sim_storage_fail_write(sim->archive, 0, HF_IO_ERROR);
        if (!sim_storage_crashed(sim->archive)) {
            sim_storage_crash_after(sim->archive, 0);
        }
    }
}

/* The newest checkpoint is that of the last sealed segment, the one before is the last that was
 * whole, and there is no other. */
static void check_made(struct sim *sim, uint64_t sealed, uint64_t before)
{
    struct numbers checkpoints = checkpoints_of(sim->storage);
    SIM_CHECK(sim, last_of(&checkpoints) == sealed,
              "segment %llu is sealed, the newest checkpoint is %llu", (unsigned long long)sealed,
              (unsigned long long)last_of(&checkpoints));
    SIM_CHECK(sim, checkpoints.count <= 2, "%u checkpoints are kept", checkpoints.count);
    SIM_CHECK(sim, before == 0 || first_of(&checkpoints) == before,
              "checkpoint %llu was whole, and the older one is %llu", (unsigned long long)before,
              (unsigned long long)first_of(&checkpoints));
}

/* Of segments there is none that the older of two checkpoints covers. */
static void check_given_back(struct sim *sim)
{
    struct numbers checkpoints = checkpoints_of(sim->storage);
    struct numbers segments = segments_of(sim->storage);
    uint64_t older = checkpoints.count > 1 ? checkpoints.numbers[0] : 0;
    SIM_CHECK(sim, first_of(&segments) == older + 1,
              "the older checkpoint is %llu, the first segment %llu", (unsigned long long)older,
              (unsigned long long)first_of(&segments));
}

static void note_segments(struct sim *sim, uint64_t archived_before)
{
    struct numbers segments = segments_of(sim->storage);
    sim->reach[REACH_GIVEN_BACK] += first_of(&segments) - sim->first_segment;
    sim->first_segment = first_of(&segments);
    if (sim->archive && !sim_storage_crashed(sim->archive)) {
        struct numbers archived = segments_of(sim->archive);
        sim->reach[REACH_ARCHIVED] += archived.count - archived_before;
    }
}

void sim_checkpoint(struct sim *sim)
{
    uint64_t archived = 0;
    if (sim_storage_crashed(sim->storage)) {
        return; /* the engine has not noticed yet */
    }
    if (sim->archive && !sim_storage_crashed(sim->archive)) {
        struct numbers list = segments_of(sim->archive);
        archived = list.count;
    }
    uint64_t sealed = wal_sealed_segment(engine_wal(sim->engine));
    struct trouble trouble = make_trouble(sim);
    uint64_t before = sim_usable_checkpoint(sim);
    enum hf_status status = engine_checkpoint(sim->engine);
    if (sim_storage_crashed(sim->storage)) {
        sim_reached(sim, REACH_CHECKPOINTS_CUT);
        end_trouble(sim);
        return;
    }
    if (sim->archive && sim_storage_crashed(sim->archive) && !sim->archive_down) {
        sim->archive_down = true;
        sim_reached(sim, REACH_ARCHIVE_CUT);
    }
    end_trouble(sim);
    note_segments(sim, archived);
    sim_reached(sim, status == HF_OK          ? REACH_CHECKPOINTS
                     : status == HF_NOT_FOUND ? REACH_CHECKPOINTS_NONE
                                              : REACH_CHECKPOINTS_FAILED);
    if (trouble.main) {
        return;
    }
    SIM_CHECK(sim, status == HF_OK || status == HF_NOT_FOUND, "a checkpoint can't be made: %s",
              hf_status_name(status));
    if (status == HF_NOT_FOUND) {
        return;
    }
    check_made(sim, sealed, before);
    sim->reach[REACH_CHECKPOINTS_REBUILT] += trouble.damaged;
    if (trouble.archive && sim->archive) {
        sim_reached(sim, REACH_ARCHIVE_FAILED);
    } else {
        check_given_back(sim);
    }
}

/* ---- Room ---- */

void sim_give_room(struct sim *sim)
{
    sim_storage_set_capacity(sim->storage, UINT64_MAX);
    sim->full = false;
}

void sim_change_room(struct sim *sim)
{
    if (sim->full) {
        sim_give_room(sim);
        return;
    }
    uint64_t room = rng_chance(&sim->rng, 4) ? sim->options.wal.segment_bytes : 0;
    sim_storage_set_capacity(sim->storage, sim_storage_used(sim->storage) + room);
    sim->full = true;
    sim_reached(sim, REACH_DISKS_FULL);
}

/* ---- Refusals ---- */

struct fingerprint {
    struct storage *storage;
    uint64_t hash;
};

static bool add_file(void *context, const char *name)
{
    struct fingerprint *print = context;
    uint64_t size;
    const uint8_t *data = sim_storage_data(print->storage, name, &size);
    print->hash = hash_u64(print->hash + hash_bytes(name, strlen(name)));
    print->hash = hash_u64(print->hash + hash_bytes(data, size));
    return true;
}

static uint64_t fingerprint(struct storage *storage)
{
    struct fingerprint print = {storage, 0};
    CHECK(storage->ops->list(storage, add_file, &print) == HF_OK);
    return print.hash;
}

/* The segment that the mark names: the last with a durable block, or one just before it. */
static uint64_t begun(struct storage *storage)
{
    struct numbers marks = numbers_of(storage, "begun-", ".mark");
    return last_of(&marks);
}

/* A segment that must not be missing: there is a later one, or the mark names it; and it is not one
 * of the first, which a checkpoint may cover. 0: there is none. */
static uint64_t needed_segment(struct sim *sim)
{
    struct numbers segments = segments_of(sim->storage);
    uint64_t number = segments.count > 1
                          ? segments.numbers[1 + rng_below(&sim->rng, segments.count - 1)]
                          : first_of(&segments);
    bool first = number == first_of(&segments);
    bool proved = number < last_of(&segments) || number <= begun(sim->storage);
    return proved && (!first || sim_newest_checkpoint(sim->storage) == 0) ? number : 0;
}

/* A segment that is read at a start and durable to its end. 0: there is none. */
static uint64_t sealed_segment(struct sim *sim)
{
    uint64_t low = sim_usable_checkpoint(sim) + 1;
    uint64_t high = begun(sim->storage);
    return low < high ? rng_between(&sim->rng, low, high - 1) : 0;
}

static bool lose_segment(struct sim *sim, struct storage *storage)
{
    uint64_t number = needed_segment(sim);
    char name[STORAGE_NAME_BYTES_MAX];
    if (number == 0) {
        return false;
    }
    wal_segment_name(name, number);
    CHECK(storage->ops->unlink(storage, name) == HF_OK);
    return true;
}

static bool damage_segment(struct sim *sim, struct storage *storage)
{
    uint64_t number = sealed_segment(sim);
    uint64_t size;
    uint8_t *data = number ? segment_data(storage, number, &size) : NULL;
    if (!data) {
        return false;
    }
    /* In its header, or that of its first block. */
    uint64_t at = rng_below(&sim->rng, 2) * WAL_PAGE_BYTES + rng_below(&sim->rng, 96);
    data[at] ^= (uint8_t)(1u << rng_below(&sim->rng, 8));
    return true;
}

/* Damages all checkpoints of a log whose first segments are gone. */
static bool damage_checkpoints(struct sim *sim, struct storage *storage)
{
    struct numbers checkpoints = checkpoints_of(storage);
    struct numbers segments = segments_of(storage);
    if (first_of(&segments) <= 1) {
        return false;
    }
    for (uint32_t i = 0; i < checkpoints.count; i++) {
        damage_bytes(sim, storage, checkpoints.numbers[i], false);
    }
    return true;
}

void sim_try_refusal(struct sim *sim)
{
    static const struct {
        bool (*spoil)(struct sim *sim, struct storage *storage);
        enum reach reach;
        const char *why; /* is in the message */
    } kinds[] = {{lose_segment, REACH_LOST_REFUSED, "wal-"},
                 {damage_segment, REACH_DAMAGED_REFUSED, "wal-"},
                 {damage_checkpoints, REACH_NO_CHECKPOINT_REFUSED, "no whole checkpoint"}};
    if (!rng_chance(&sim->rng, 8)) {
        return;
    }
    uint64_t kind = rng_below(&sim->rng, 3);
    struct storage *copy = sim_storage_copy(sim->storage, sim->seed);
    if (kinds[kind].spoil(sim, copy)) {
        struct engine_options options = sim->options;
        struct engine *engine;
        struct engine_recovery recovery;
        options.archive = NULL;
        uint64_t before = fingerprint(copy);
        enum hf_status status =
            engine_open(&engine, &options, copy, &sim->machine.clock, &recovery);
        SIM_CHECK(sim, status == HF_DAMAGED, "%s, and the engine says %s",
                  kind == 0 ? "a segment is gone" : "something is damaged", hf_status_name(status));
        SIM_CHECK(sim, strstr(recovery.message, kinds[kind].why) != NULL,
                  "the engine refuses, and says: %s", recovery.message);
        SIM_CHECK(sim, fingerprint(copy) == before, "the engine refuses, and has changed files");
        sim_reached(sim, kinds[kind].reach);
    }
    storage_destroy(copy);
}

/* ---- At a start ---- */

/* Segments that were begun since the last look, and those of them whose file had been another's. */
static void note_begun(struct sim *sim, const struct numbers *segments)
{
    for (uint32_t i = 0; i < segments->count; i++) {
        struct segment_header header;
        const char *reason;
        uint64_t size;
        uint64_t number = segments->numbers[i];
        const uint8_t *data = segment_data(sim->storage, number, &size);
        if (number > sim->last_segment && segment_header_decode(&header, data, &reason) &&
            header.number == number) {
            sim->reach[REACH_SEGMENTS] += number > 1;
            sim->reach[REACH_USED_ANEW] += header.recycled;
            sim->last_segment = number;
        }
    }
}

/* The log ends cleanly. */
static void check_end(struct sim *sim)
{
    struct wal_reader *reader;
    struct wal_block block;
    struct wal_end end;
    struct checkpoint_info info;
    uint64_t newest = sim_newest_checkpoint(sim->storage);
    bool covered = newest > 0 && checkpoint_read_info(sim->storage, newest, &info) == HF_OK;
    CHECK(wal_reader_open_at(&reader, sim->storage, covered ? &info.start : NULL, 0) == HF_OK);
    while (wal_reader_next(reader, &block) == HF_OK) {
    }
    wal_reader_end(reader, &end);
    wal_reader_close(reader);
    SIM_CHECK(sim, !end.damaged && !end.torn, "after a start the log's end is %s: %s, %s",
              end.torn ? "torn" : "damaged", end.file, end.reason);
}

static bool count_temporary(void *context, const char *name)
{
    size_t len = strlen(name);
    *(uint32_t *)context += len > 4 && strcmp(name + len - 4, ".tmp") == 0;
    return true;
}

void sim_check_files(struct sim *sim, bool torn)
{
    struct numbers segments = segments_of(sim->storage);
    struct numbers spares = numbers_of(sim->storage, "spare-", ".seg");
    const struct wal_options *wal = &sim->options.wal;
    note_begun(sim, &segments);
    sim->first_segment = first_of(&segments);
    uint64_t bytes = (segments.count + spares.count) * wal->segment_bytes;
    SIM_CHECK(sim, spares.count <= wal->spare_segments || bytes <= wal->keep_bytes,
              "%u spare files, %llu bytes of log", spares.count, (unsigned long long)bytes);
    SIM_CHECK(sim, begun(sim->storage) == sim->last_segment,
              "the mark names segment %llu, the last one is %llu",
              (unsigned long long)begun(sim->storage), (unsigned long long)sim->last_segment);
    uint32_t temporary = 0;
    CHECK(sim->storage->ops->list(sim->storage, count_temporary, &temporary) == HF_OK);
    SIM_CHECK(sim, temporary == 0, "%u files that were in the making are left", temporary);
    if (torn || rng_chance(&sim->rng, 8)) {
        check_end(sim);
    }
}

/* Copies the segments of one storage over those of another. */
static void copy_segments(struct storage *from, struct storage *to)
{
    struct numbers segments = segments_of(from);
    for (uint32_t i = 0; i < segments.count; i++) {
        char name[STORAGE_NAME_BYTES_MAX];
        uint64_t size;
        const uint8_t *data = segment_data(from, segments.numbers[i], &size);
        wal_segment_name(name, segments.numbers[i]);
        CHECK(to->ops->create_zeroed(to, name, size) == HF_OK);
        memcpy(sim_storage_data(to, name, &size), data, size);
    }
}

void sim_check_archive(struct sim *sim)
{
    if (!sim->archive || sim->first_segment <= 1 || !rng_chance(&sim->rng, 4)) {
        return;
    }
    struct storage *whole = sim_storage_make(sim->seed);
    struct engine_options options = sim->options;
    struct engine *engine;
    struct engine_recovery recovery;
    options.archive = NULL;
    copy_segments(sim->archive, whole);
    copy_segments(sim->storage, whole);
    enum hf_status status = engine_open(&engine, &options, whole, &sim->machine.clock, &recovery);
    SIM_CHECK(sim, status == HF_OK, "archive and log are not the whole log: %s: %s",
              hf_status_name(status), recovery.message);
    sim_check_state(sim, engine);
    sim_reached(sim, REACH_ARCHIVE_REPLAYED);
    engine_close(engine);
    storage_destroy(whole);
}
