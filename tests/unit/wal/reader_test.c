/* reader_test.c - where a log ends: torn tails are cut off, damage is refused. Small logs are made
 * here by hand, from docs/wal-format.md. */
#include "unit/wal/wal_rig.h"
#include "wal/cut.h"

#define SMALL_SEGMENT_BYTES (8 * WAL_PAGE_BYTES)

/* A log in the making. */
struct craft {
    struct storage *storage;
    struct id128 cluster;
    uint64_t segment_bytes;
    uint64_t segment;
    uint64_t offset;
    uint64_t index; /* of the next block */
    uint64_t lsn;
    uint64_t previous_hash;
    uint64_t term;
    uint64_t durable_lag; /* how far durable_index is behind: 1 with one group in flight */
    uint64_t serial;
    bool recycled;
};

static void craft_init(struct craft *craft, uint64_t segment_bytes)
{
    *craft = (struct craft){.storage = sim_storage_make(1),
                            .cluster = {11, 12},
                            .segment_bytes = segment_bytes,
                            .index = 1,
                            .term = 1,
                            .durable_lag = 1};
}

static uint8_t *craft_data(struct craft *craft, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    snprintf(name, sizeof name, "wal-%016llx.seg", (unsigned long long)number);
    return sim_storage_data(craft->storage, name, &size);
}

static void craft_segment(struct craft *craft)
{
    char name[STORAGE_NAME_BYTES_MAX];
    craft->segment++;
    snprintf(name, sizeof name, "wal-%016llx.seg", (unsigned long long)craft->segment);
    if (!craft_data(craft, craft->segment)) {
        assert_int_equal(
            craft->storage->ops->create_zeroed(craft->storage, name, craft->segment_bytes), HF_OK);
    }
    struct segment_header header = {.cluster = craft->cluster,
                                    .number = craft->segment,
                                    .first_lsn = craft->lsn,
                                    .first_index = craft->index,
                                    .previous_hash = craft->previous_hash,
                                    .durable_index = craft->index - craft->durable_lag,
                                    .segment_bytes = craft->segment_bytes,
                                    .recycled = craft->recycled};
    uint8_t *page = craft_data(craft, craft->segment);
    memset(page, 0, WAL_PAGE_BYTES);
    segment_header_encode(&header, page);
    craft->offset = WAL_PAGE_BYTES;
}

/* Adds a block; returns the offset where it begins. */
static uint64_t craft_block(struct craft *craft, enum block_type type, uint32_t records)
{
    uint8_t *at = craft_data(craft, craft->segment) + craft->offset;
    uint64_t delta;
    uint32_t len = rig_encode(craft->serial, records, at + BLOCK_HEADER_BYTES, &delta);
    uint64_t span = block_span_bytes(len);
    assert_true(craft->offset + span <= craft->segment_bytes);
    memset(at + BLOCK_HEADER_BYTES + len, 0, span - BLOCK_HEADER_BYTES - len);
    uint64_t lag = craft->durable_lag < craft->index ? craft->durable_lag : craft->index;
    struct block_header header = {.type = type,
                                  .cluster = craft->cluster,
                                  .term = craft->term,
                                  .index = craft->index,
                                  .previous_hash = craft->previous_hash,
                                  .durable_index = craft->index - lag,
                                  .first_lsn = craft->lsn,
                                  .record_count = records,
                                  .payload_bytes = len,
                                  .payload_hash = hash_bytes(at + BLOCK_HEADER_BYTES, len),
                                  .segment = craft->segment};
    block_header_encode(&header, at);
    craft->previous_hash = block_chain(at);
    craft->index++;
    craft->lsn += len;
    craft->serial += records;
    uint64_t began = craft->offset;
    craft->offset += span;
    return began;
}

static void craft_deinit(struct craft *craft)
{
    storage_destroy(craft->storage);
}

static void read_end(struct storage *storage, struct wal_end *end)
{
    struct rig_log log;
    rig_read(&log, storage);
    *end = log.end;
    rig_log_free(&log);
}

/* ---- Clean ends ---- */

static void reader_finds_a_crafted_log_whole(void **state)
{
    (void)state;
    struct craft craft;
    craft_init(&craft, SMALL_SEGMENT_BYTES);
    craft_segment(&craft);
    craft_block(&craft, BLOCK_EPOCH, 0);
    craft_block(&craft, BLOCK_DATA, 3);
    craft_block(&craft, BLOCK_DATA, 150); /* two pages */
    craft_segment(&craft);                /* early: a block did not fit */
    craft_block(&craft, BLOCK_DATA, 1);
    struct rig_log log;
    rig_read(&log, craft.storage);
    assert_false(log.end.empty);
    assert_false(log.end.torn);
    assert_false(log.end.damaged);
    assert_int_equal(log.count, 154);
    assert_int_equal(log.end.segment, 2);
    assert_int_equal(log.end.offset, 2 * WAL_PAGE_BYTES);
    assert_int_equal(log.end.segment_bytes, SMALL_SEGMENT_BYTES);
    assert_int_equal(log.end.lsn, 154 * 48);
    assert_int_equal(log.end.next_index, 5);
    assert_int_equal(log.end.term, 1);
    assert_int_equal(log.end.previous_hash, craft.previous_hash);
    rig_log_free(&log);
    craft_deinit(&craft);
}

static void reader_calls_an_earlier_life_a_clean_end(void **state)
{
    (void)state;
    struct craft craft;
    struct wal_end end;
    craft_init(&craft, SMALL_SEGMENT_BYTES);
    /* First life of the file: segment 1, blocks 1 to 7. */
    craft_segment(&craft);
    for (int i = 0; i < 7; i++) {
        craft_block(&craft, i == 0 ? BLOCK_EPOCH : BLOCK_DATA, i == 0 ? 0 : 2);
    }
    craft_segment(&craft); /* segment 2: full, too */
    for (int i = 0; i < 7; i++) {
        craft_block(&craft, BLOCK_DATA, 2);
    }
    /* Prepared, not begun: segment 3 in segment 1's file. */
    assert_int_equal(craft.storage->ops->rename(craft.storage, "wal-0000000000000001.seg",
                                                "wal-0000000000000003.seg"),
                     HF_OK);
    read_end(craft.storage, &end);
    assert_false(end.torn);
    assert_false(end.damaged);
    assert_int_equal(end.segment, 2);
    assert_int_equal(end.offset, SMALL_SEGMENT_BYTES);
    /* Begun: one new block before six old ones. */
    craft.recycled = true;
    craft_segment(&craft);
    craft_block(&craft, BLOCK_DATA, 1);
    read_end(craft.storage, &end);
    assert_false(end.torn);
    assert_false(end.damaged);
    assert_int_equal(end.segment, 3);
    assert_int_equal(end.offset, 2 * WAL_PAGE_BYTES);
    craft_deinit(&craft);
}

/* ---- Torn tails ---- */

/* Opens the log and goes on writing it; checks what is there afterwards. */
static void go_on(struct storage *storage, uint64_t records_before)
{
    struct rig rig;
    rig_init(&rig, 5);
    storage_destroy(rig.storage);
    rig.storage = storage;
    assert_int_equal(rig_open(&rig), HF_OK);
    assert_int_equal(rig.next_serial, records_before);
    assert_int_equal(rig_append(&rig, 4, NULL), HF_OK);
    rig_settle(&rig);
    wal_stop(rig.wal);
    rig_close(&rig);
    struct rig_log log;
    rig_read(&log, storage);
    assert_false(log.end.torn);
    assert_false(log.end.damaged);
    assert_int_equal(log.count, records_before + 4);
    for (size_t i = 0; i < log.count; i++) {
        assert_int_equal(log.serials[i], i);
    }
    rig_log_free(&log);
    free(rig.scratch);
}

static void torn_tail_is_cut_at_every_sector(void **state)
{
    (void)state;
    for (int shape = 0; shape < 2; shape++) { /* 0: the first sectors are there, 1: the last */
        for (uint64_t cut = 0; cut <= 2 * WAL_PAGE_BYTES; cut += 512) {
            struct craft craft;
            craft_init(&craft, WAL_SEGMENT_BYTES_MIN);
            craft_segment(&craft);
            craft_block(&craft, BLOCK_EPOCH, 0);
            craft_block(&craft, BLOCK_DATA, 3);
            uint64_t began = craft_block(&craft, BLOCK_DATA, 150);
            uint8_t *data = craft_data(&craft, 1) + began;
            if (shape == 0) {
                memset(data + cut, 0, 2 * WAL_PAGE_BYTES - cut);
            } else {
                memset(data, 0, cut);
            }
            uint64_t used = BLOCK_HEADER_BYTES + 150 * 48;
            bool whole = shape == 0 ? cut >= used : cut == 0;
            bool nothing = shape == 0 ? cut == 0 : cut >= used;
            struct wal_end end;
            read_end(craft.storage, &end);
            assert_false(end.damaged);
            assert_int_equal(end.torn, !whole && !nothing);
            assert_int_equal(end.lsn, (whole ? 153 : 3) * 48);
            if (end.torn) {
                assert_int_equal(end.offset, began);
                assert_int_equal(end.file_offset, began);
                assert_string_equal(end.file, "wal-0000000000000001.seg");
                assert_true(end.torn_bytes > 0 && end.torn_bytes <= used);
                assert_true(strlen(end.reason) > 0);
            }
            go_on(craft.storage, whole ? 153 : 3);
            craft_deinit(&craft);
        }
    }
}

static void torn_first_block_of_a_segment_is_cut(void **state)
{
    (void)state;
    for (uint64_t cut = 0; cut <= 2 * WAL_PAGE_BYTES; cut += 512) {
        for (int shape = 0; shape < 2; shape++) {
            struct craft craft;
            craft_init(&craft, WAL_SEGMENT_BYTES_MIN);
            craft_segment(&craft);
            craft_block(&craft, BLOCK_EPOCH, 0);
            craft_block(&craft, BLOCK_DATA, 3);
            craft_segment(&craft);
            craft_block(&craft, BLOCK_DATA, 2);
            uint8_t *data = craft_data(&craft, 2);
            if (shape == 0) {
                memset(data + cut, 0, 2 * WAL_PAGE_BYTES - cut);
            } else {
                memset(data, 0, cut);
            }
            bool whole = shape == 0 ? cut > WAL_PAGE_BYTES : cut == 0;
            struct wal_end end;
            read_end(craft.storage, &end);
            assert_false(end.damaged);
            assert_int_equal(end.segment, whole ? 2 : 1);
            go_on(craft.storage, whole ? 5 : 3);
            craft_deinit(&craft);
        }
    }
}

static void torn_first_segment_is_an_empty_log(void **state)
{
    (void)state;
    for (uint64_t cut = 0; cut < 2 * WAL_PAGE_BYTES; cut += 512) {
        for (int shape = 0; shape < 2; shape++) {
            struct craft craft;
            craft_init(&craft, WAL_SEGMENT_BYTES_MIN);
            craft_segment(&craft);
            craft_block(&craft, BLOCK_EPOCH, 0);
            uint8_t *data = craft_data(&craft, 1);
            if (shape == 0) {
                memset(data + cut, 0, 2 * WAL_PAGE_BYTES - cut);
            } else {
                memset(data, 0, cut);
            }
            bool whole = shape == 0 ? cut > WAL_PAGE_BYTES : cut == 0;
            struct wal_end end;
            read_end(craft.storage, &end);
            assert_false(end.damaged);
            assert_int_equal(end.empty, !whole);
            go_on(craft.storage, 0);
            craft_deinit(&craft);
        }
    }
}

static void later_blocks_that_prove_nothing_are_torn(void **state)
{
    (void)state;
    /* Three in flight: the second of them is missing, the third is there. */
    for (int across = 0; across < 2; across++) {
        struct craft craft;
        craft_init(&craft, WAL_SEGMENT_BYTES_MIN);
        craft_segment(&craft);
        craft_block(&craft, BLOCK_EPOCH, 0);
        craft_block(&craft, BLOCK_DATA, 1);
        uint64_t began = craft_block(&craft, BLOCK_DATA, 1);
        craft.durable_lag = 2;
        if (across) {
            craft_segment(&craft);
        }
        craft_block(&craft, BLOCK_DATA, 1);
        memset(craft_data(&craft, 1) + began, 0, WAL_PAGE_BYTES);
        struct wal_end end;
        read_end(craft.storage, &end);
        assert_true(end.torn);
        assert_false(end.damaged);
        assert_int_equal(end.next_index, 3);
        go_on(craft.storage, 1);
        craft_deinit(&craft);
    }
}

/* ---- Damage ---- */

/* Flips of all bits that hold something (of one in each byte, under sanitizers), and of one in
 * every third byte of the padding. */
static void expect_damage(struct craft *craft, uint64_t segment, uint64_t from, uint64_t dense,
                          uint64_t upto)
{
    uint8_t *data = craft_data(craft, segment);
    for (uint64_t at = from; at < upto; at += at < from + dense ? 1 : 3) {
#if defined(HOLDFAST_SANITIZED)
        bool sparse = true;
#else
        bool sparse = at >= from + dense;
#endif
        for (unsigned bit = sparse ? at % 8 : 0; bit < 8; bit += sparse ? 8 : 1) {
            data[at] ^= (uint8_t)(1u << bit);
            struct wal_end end;
            read_end(craft->storage, &end);
            if (!end.damaged) {
                fail_msg("segment %llu: a flip of bit %u at %llu was not found",
                         (unsigned long long)segment, bit, (unsigned long long)at);
            }
            assert_false(end.torn);
            assert_true(end.valid_after_index > 0 || at < WAL_PAGE_BYTES);
            assert_true(strlen(end.reason) > 0);
            assert_true(end.file_offset <= at);
            data[at] ^= (uint8_t)(1u << bit);
        }
    }
}

static void damage_to_any_block_but_the_last_is_found(void **state)
{
    (void)state;
    struct craft craft;
    craft_init(&craft, SMALL_SEGMENT_BYTES);
    craft_segment(&craft);
    uint64_t offsets[4];
    offsets[0] = craft_block(&craft, BLOCK_EPOCH, 0);
    offsets[1] = craft_block(&craft, BLOCK_DATA, 2);
    offsets[2] = craft_block(&craft, BLOCK_DATA, 1);
    craft_segment(&craft);
    offsets[3] = craft_block(&craft, BLOCK_DATA, 2);
    craft_block(&craft, BLOCK_NOOP, 0); /* proves the last DATA block */
    struct wal_end end;
    read_end(craft.storage, &end);
    assert_int_equal(end.next_index, 6);
    expect_damage(&craft, 1, 0, SEGMENT_HEADER_BYTES, WAL_PAGE_BYTES);
    expect_damage(&craft, 1, offsets[0], 128, offsets[1]);
    expect_damage(&craft, 1, offsets[1], 128 + 96, offsets[2]);
    expect_damage(&craft, 1, offsets[2], 128 + 48, offsets[2] + WAL_PAGE_BYTES);
    expect_damage(&craft, 2, 0, SEGMENT_HEADER_BYTES, WAL_PAGE_BYTES);
    expect_damage(&craft, 2, offsets[3], 128 + 96, offsets[3] + WAL_PAGE_BYTES);
    craft_deinit(&craft);
}

static void damage_is_told_with_its_place(void **state)
{
    (void)state;
    struct craft craft;
    struct wal_end end;
    craft_init(&craft, SMALL_SEGMENT_BYTES);
    craft_segment(&craft);
    craft_block(&craft, BLOCK_EPOCH, 0);
    uint64_t began = craft_block(&craft, BLOCK_DATA, 2);
    craft_segment(&craft);
    craft_block(&craft, BLOCK_DATA, 2);
    craft_block(&craft, BLOCK_DATA, 2);
    craft_data(&craft, 1)[began + 130] ^= 1;
    read_end(craft.storage, &end);
    assert_true(end.damaged);
    assert_string_equal(end.file, "wal-0000000000000001.seg");
    assert_int_equal(end.file_offset, began);
    assert_non_null(strstr(end.reason, "payload"));
    craft_data(&craft, 1)[began + 130] ^= 1;
    /* The next segment's header. */
    craft_data(&craft, 2)[50] ^= 1;
    read_end(craft.storage, &end);
    assert_true(end.damaged);
    assert_string_equal(end.file, "wal-0000000000000002.seg");
    assert_int_equal(end.file_offset, 0);
    assert_non_null(strstr(end.reason, "segment header"));
    craft_deinit(&craft);
}

static void lost_blocks_and_files_are_damage(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        struct craft craft;
        struct wal_end end;
        craft_init(&craft, SMALL_SEGMENT_BYTES);
        uint64_t began = 0;
        for (int segment = 0; segment < 3; segment++) {
            craft_segment(&craft);
            began = craft_block(&craft, segment ? BLOCK_DATA : BLOCK_EPOCH, segment ? 1 : 0);
            craft_block(&craft, BLOCK_DATA, 1);
        }
        if (which == 0) { /* zeros where a durable block was */
            memset(craft_data(&craft, 2) + began, 0, WAL_PAGE_BYTES);
        } else { /* each file in turn */
            char name[STORAGE_NAME_BYTES_MAX];
            snprintf(name, sizeof name, "wal-%016llx.seg", (unsigned long long)which);
            assert_int_equal(craft.storage->ops->unlink(craft.storage, name), HF_OK);
        }
        read_end(craft.storage, &end);
        /* Without the first or the last the rest is a log by itself. */
        assert_int_equal(end.damaged, which == 0 || which == 2);
        if (which == 2) {
            assert_string_equal(end.file, "wal-0000000000000002.seg");
            assert_non_null(strstr(end.reason, "missing"));
        }
        craft_deinit(&craft);
    }
}

/* Three segments with two blocks each, and so many prepared ones behind them. */
static void craft_prepared(struct craft *craft, unsigned prepared)
{
    craft_init(craft, SMALL_SEGMENT_BYTES);
    for (int segment = 0; segment < 3; segment++) {
        craft_segment(craft);
        craft_block(craft, segment ? BLOCK_DATA : BLOCK_EPOCH, segment ? 1 : 0);
        craft_block(craft, BLOCK_DATA, 1);
    }
    for (unsigned i = 0; i < prepared; i++) {
        char name[STORAGE_NAME_BYTES_MAX];
        snprintf(name, sizeof name, "wal-%016x.seg", 4 + i);
        assert_int_equal(
            craft->storage->ops->create_zeroed(craft->storage, name, SMALL_SEGMENT_BYTES), HF_OK);
    }
}

static void craft_remove(struct craft *craft, const char *name)
{
    assert_int_equal(craft->storage->ops->unlink(craft->storage, name), HF_OK);
}

static void craft_touch(struct craft *craft, const char *name)
{
    storage_file file;
    assert_int_equal(craft->storage->ops->create(craft->storage, name, &file), HF_OK);
    craft->storage->ops->close(craft->storage, file);
}

/* The reader says that a file is at fault, and how; the log is told whole up to `next_index`. */
static void expect_names_damage(struct craft *craft, const char *file, const char *reason,
                                uint64_t next_index)
{
    struct wal_end end;
    struct wal *wal;
    struct rig_clock clock;
    rig_clock_init(&clock);
    read_end(craft->storage, &end);
    assert_true(end.damaged);
    assert_false(end.torn);
    assert_string_equal(end.file, file);
    assert_string_equal(end.reason, reason);
    assert_int_equal(end.next_index, next_index);
    const struct wal_options options = {
        .segment_bytes = WAL_SEGMENT_BYTES_MIN, .spare_segments = 1, .in_flight_max = 1};
    struct timekeeper *time = rig_time(&clock.clock, &end);
    assert_int_equal(wal_open(&wal, &options, craft->storage, time, &end, 0), HF_DAMAGED);
}

/* What a killed engine still had under way comes to the disk after its log was read: it was never
 * acknowledged, and leaves no trace behind the new engine's first block. */
static void writes_that_come_after_the_reading_are_cut_off(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct craft craft;
        struct wal_end end;
        struct wal *wal;
        struct rig_clock clock;
        rig_clock_init(&clock);
        craft_init(&craft, SMALL_SEGMENT_BYTES);
        craft_segment(&craft);
        craft_block(&craft, BLOCK_EPOCH, 0);
        craft_block(&craft, BLOCK_DATA, 1);
        read_end(craft.storage, &end);
        assert_int_equal(end.next_index, 3);
        if (which == 0) { /* in the segment, or in the next one */
            craft_block(&craft, BLOCK_DATA, 1);
        } else {
            craft_segment(&craft);
        }
        craft_block(&craft, BLOCK_DATA, 1);
        const struct wal_options options = {
            .segment_bytes = WAL_SEGMENT_BYTES_MIN, .spare_segments = 1, .in_flight_max = 1};
        struct timekeeper *time = rig_time(&clock.clock, &end);
        assert_int_equal(wal_open(&wal, &options, craft.storage, time, &end, 0), HF_OK);
        wal_close(wal);
        read_end(craft.storage, &end);
        assert_false(end.damaged);
        assert_false(end.torn);
        assert_int_equal(end.next_index, 4);
        assert_int_equal(end.segment, 1);
        craft_deinit(&craft);
    }
}

static void number_missing_before_a_later_one_is_damage_whatever_it_held(void **state)
{
    (void)state;
    static const char *const reasons[] = {
        NULL, NULL,
        "segment 2 is missing: wal-0000000000000003.seg is there and proves that it existed",
        "segment 3 is missing: wal-0000000000000004.seg is there and proves that it existed",
        "segment 4 is missing: wal-0000000000000005.seg is there and proves that it existed"};
    for (unsigned missing = 2; missing <= 5; missing++) {
        struct craft craft;
        char name[STORAGE_NAME_BYTES_MAX];
        craft_prepared(&craft, 2);
        snprintf(name, sizeof name, "wal-%016x.seg", missing);
        craft_remove(&craft, name);
        if (missing < 5) {
            expect_names_damage(&craft, name, reasons[missing],
                                missing == 2   ? 3
                                : missing == 3 ? 5
                                               : 7);
        } else { /* the last one prepared: nothing was in it, and nothing proves it */
            struct wal_end end;
            read_end(craft.storage, &end);
            assert_false(end.damaged);
            assert_false(end.torn);
        }
        craft_deinit(&craft);
    }
}

static void names_that_prove_a_later_segment_are_believed(void **state)
{
    (void)state;
    static const struct {
        const char *proof;
        const char *told; /* NULL: it proves nothing new */
        const char *reason;
    } cases[] = {
        {"begun-0000000000000003.mark", NULL, NULL},
        {"begun-0000000000000002.mark", NULL, NULL},
        {"begun-0000000000000004.mark", "wal-0000000000000004.seg",
         "segment 4 holds no block of it: begun-0000000000000004.mark is there and proves that it "
         "did"},
        {"begun-0000000000000006.mark", "wal-0000000000000006.seg",
         "segment 6 is missing: begun-0000000000000006.mark is there and proves that it existed"},
        {"checkpoint-0000000000000002.ckp", NULL, NULL},
        {"checkpoint-0000000000000003.ckp", "wal-0000000000000004.seg",
         "segment 4 holds no block of it: checkpoint-0000000000000003.ckp is there and proves that "
         "it did"},
        {"spare-0000000000000002.seg", NULL, NULL},
        {"spare-0000000000000003.seg", "wal-0000000000000004.seg",
         "segment 4 holds no block of it: spare-0000000000000003.seg is there and proves that it "
         "did"},
        {"spare-0000000000000005.seg", "wal-0000000000000006.seg",
         "segment 6 is missing: spare-0000000000000005.seg is there and proves that it existed"},
        /* Not ours, or still in the making. */
        {"begun-0000000000000006.mark.tmp", NULL, NULL},
        {"checkpoint-0000000000000006.ckp.tmp", NULL, NULL},
        {"wal-0000000000000009.seg.bak", NULL, NULL},
        {"WAL-0000000000000009.seg", NULL, NULL},
        {"wal-9.seg", NULL, NULL},
        {"wal-0000000000000000.seg", NULL, NULL},
        {"wal-000000000000000A.seg", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct craft craft;
        craft_prepared(&craft, 2);
        craft_touch(&craft, cases[i].proof);
        if (cases[i].told) {
            expect_names_damage(&craft, cases[i].told, cases[i].reason, 7);
        } else {
            struct wal_end end;
            read_end(craft.storage, &end);
            assert_false(end.damaged);
            assert_int_equal(end.next_index, 7);
        }
        craft_deinit(&craft);
    }
}

/* Files get their names whole: one that is too short to be a segment was one. */
static void file_that_was_emptied_is_damage(void **state)
{
    (void)state;
    for (unsigned number = 1; number <= 5; number++) {
        for (uint64_t size = 0; size <= WAL_PAGE_BYTES; size += WAL_PAGE_BYTES) {
            struct craft craft;
            struct wal_end end;
            char name[STORAGE_NAME_BYTES_MAX];
            storage_file file;
            uint64_t before;
            craft_prepared(&craft, 2);
            snprintf(name, sizeof name, "wal-%016x.seg", number);
            const struct storage_ops *ops = craft.storage->ops;
            assert_int_equal(ops->open(craft.storage, name, true, &file, &before), HF_OK);
            assert_int_equal(ops->truncate(craft.storage, file, size), HF_OK);
            ops->close(craft.storage, file);
            read_end(craft.storage, &end);
            assert_true(end.damaged);
            assert_string_equal(end.file, name);
            craft_deinit(&craft);
        }
    }
}

/* The last segment's file as it was before: prepared, or an earlier life, or another's copy. */
static void last_segment_replaced_by_what_it_was_is_damage(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct craft craft;
        craft_prepared(&craft, 0);
        craft_touch(&craft, "begun-0000000000000003.mark");
        if (which == 0) {
            memset(craft_data(&craft, 3), 0, SMALL_SEGMENT_BYTES);
        } else {
            memcpy(craft_data(&craft, 3), craft_data(&craft, 2), SMALL_SEGMENT_BYTES);
        }
        expect_names_damage(&craft, "wal-0000000000000003.seg",
                            "segment 3 holds no block of it: begun-0000000000000003.mark is there "
                            "and proves that it did",
                            5);
        craft_deinit(&craft);
    }
}

static void spare_of_another_log_is_damage(void **state)
{
    (void)state;
    struct craft craft;
    struct craft other;
    craft_prepared(&craft, 2);
    craft_prepared(&other, 0);
    other.cluster.lo ^= 1;
    craft_segment(&other);
    uint64_t size;
    assert_int_equal(craft.storage->ops->create_zeroed(craft.storage, "spare-0000000000000002.seg",
                                                       SMALL_SEGMENT_BYTES),
                     HF_OK);
    memcpy(sim_storage_data(craft.storage, "spare-0000000000000002.seg", &size),
           craft_data(&other, 4), SMALL_SEGMENT_BYTES);
    expect_names_damage(&craft, "spare-0000000000000002.seg",
                        "this belongs to another log (another cluster id): take it away", 7);
    craft_deinit(&craft);
    craft_deinit(&other);
}

/* The engine's own: the mark follows the segments, and does not outlive a cut. */
static void mark_names_the_last_segment_that_holds_a_durable_block(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t size;
    rig_init(&rig, 31);
    assert_int_equal(rig_open(&rig), HF_OK);
    assert_non_null(sim_storage_data(rig.storage, "begun-0000000000000001.mark", &size));
    while (wal_sealed_segment(rig.wal) < 2) {
        rig_append(&rig, 4000, NULL);
        rig_settle(&rig);
        wal_prepare_step(rig.wal);
    }
    wal_prepare_step(rig.wal);
    assert_null(sim_storage_data(rig.storage, "begun-0000000000000001.mark", &size));
    assert_non_null(sim_storage_data(rig.storage, "begun-0000000000000003.mark", &size));
    rig_close(&rig);
    /* The newest used file is lost, with all that were prepared. */
    struct wal_end end;
    for (unsigned number = 3; number < 6; number++) {
        char name[STORAGE_NAME_BYTES_MAX];
        snprintf(name, sizeof name, "wal-%016x.seg", number);
        rig.storage->ops->unlink(rig.storage, name);
    }
    read_end(rig.storage, &end);
    assert_true(end.damaged);
    assert_string_equal(end.file, "wal-0000000000000003.seg");
    assert_int_equal(rig_open(&rig), HF_DAMAGED);
    rig_deinit(&rig);
}

/* A segment's first block is written and not durable yet: a power loss may take it, and a mark that
 * names the segment would keep the engine from starting for ever. */
static void mark_does_not_precede_a_durable_block(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t size;
    rig_init(&rig, 32);
    assert_int_equal(rig_open(&rig), HF_OK);
    uint64_t begun = wal_log_bytes(rig.wal);
    for (;;) {
        wal_prepare_step(rig.wal);
        sim_storage_hold(rig.storage, true);
        rig_append(&rig, 4000, NULL);
        wal_step(rig.wal, false);
        if (wal_log_bytes(rig.wal) > begun) {
            break;
        }
        sim_storage_hold(rig.storage, false);
        rig_settle(&rig);
    }
    wal_prepare_step(rig.wal);
    assert_non_null(sim_storage_data(rig.storage, "begun-0000000000000001.mark", &size));
    assert_null(sim_storage_data(rig.storage, "begun-0000000000000002.mark", &size));
    sim_storage_hold(rig.storage, false);
    rig_settle(&rig);
    wal_prepare_step(rig.wal);
    assert_non_null(sim_storage_data(rig.storage, "begun-0000000000000002.mark", &size));
    rig_deinit(&rig);
}

static void damaged_last_block_counts_as_damage_once_sealed(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct rig rig;
        rig_init(&rig, 20);
        assert_int_equal(rig_open(&rig), HF_OK);
        rig_append(&rig, 5, NULL);
        rig_settle(&rig);
        if (sealed) {
            rig.clock.ns += 10000000;
            rig_settle(&rig);
        }
        rig_close(&rig);
        uint64_t size;
        uint8_t *data = sim_storage_data(rig.storage, "wal-0000000000000001.seg", &size);
        data[2 * WAL_PAGE_BYTES + 200] ^= 4;
        struct wal_end end;
        read_end(rig.storage, &end);
        assert_int_equal(end.damaged, sealed);
        assert_int_equal(end.torn, !sealed);
        assert_int_equal(rig_open(&rig), sealed ? HF_DAMAGED : HF_OK);
        rig_deinit(&rig);
    }
}

static void newer_blocks_are_damage_not_a_torn_tail(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct craft craft;
        struct wal_end end;
        craft_init(&craft, SMALL_SEGMENT_BYTES);
        craft_segment(&craft);
        craft_block(&craft, BLOCK_EPOCH, 0);
        uint64_t began = craft_block(&craft, BLOCK_DATA, 2);
        uint8_t *header = craft_data(&craft, 1) + began;
        header[what == 0 ? 8 : 12] = what == 2 ? BLOCK_FREEZE : 200; /* version, types */
        store_u64(header + 120, hash_bytes(header, 120));
        read_end(craft.storage, &end);
        assert_true(end.damaged);
        assert_int_equal(end.file_offset, began);
        craft_deinit(&craft);
    }
}

static void blocks_of_another_history_break_the_chain(void **state)
{
    (void)state;
    for (int behind = 0; behind < 3; behind++) {
        struct craft craft;
        struct wal_end end;
        craft_init(&craft, SMALL_SEGMENT_BYTES);
        craft_segment(&craft);
        craft_block(&craft, BLOCK_EPOCH, 0);
        uint64_t began = craft_block(&craft, BLOCK_DATA, 2);
        for (int i = 0; i < behind; i++) {
            craft_block(&craft, BLOCK_DATA, 1);
        }
        /* The same block as another engine might have written it: valid by itself. */
        struct block_header header;
        const char *reason;
        uint8_t *at = craft_data(&craft, 1) + began;
        assert_true(block_header_decode(&header, at, &reason));
        header.wall_ms++;
        block_header_encode(&header, at);
        read_end(craft.storage, &end);
        assert_int_equal(end.next_index, 3);
        assert_int_equal(end.torn, behind == 1);
        assert_int_equal(end.damaged, behind == 2);
        if (behind == 2) {
            assert_int_equal(end.file_offset, began + WAL_PAGE_BYTES);
            assert_non_null(strstr(end.reason, "chain"));
        }
        craft_deinit(&craft);
    }
}

static void reader_refuses_files_of_another_log(void **state)
{
    (void)state;
    struct craft craft;
    struct wal_end end;
    craft_init(&craft, SMALL_SEGMENT_BYTES);
    /* Another log's second segment, copied here: nothing of ours, and nothing to write over. */
    craft.cluster.lo = 99;
    craft.segment = 1;
    craft.index = 50;
    craft_segment(&craft);
    craft_block(&craft, BLOCK_DATA, 1);
    craft_block(&craft, BLOCK_DATA, 1);
    craft.cluster.lo = 12;
    craft.segment = 0;
    craft.index = 1;
    craft.lsn = 0;
    craft.serial = 0;
    craft.previous_hash = 0;
    craft_segment(&craft);
    craft_block(&craft, BLOCK_EPOCH, 0);
    craft_block(&craft, BLOCK_DATA, 1);
    read_end(craft.storage, &end);
    assert_true(end.damaged);
    assert_non_null(strstr(end.reason, "another log"));
    assert_int_equal(end.next_index, 3);
    craft_deinit(&craft);
}

/* ---- Cutting ---- */

/* A log over three segments; the end after block `keep` in *end. */
static void craft_for_cut(struct craft *craft, uint64_t keep, struct wal_end *end)
{
    craft_init(craft, SMALL_SEGMENT_BYTES);
    for (int segment = 0; segment < 3; segment++) {
        craft_segment(craft);
        for (int i = 0; i < 5; i++) {
            if (segment == 0 && i == 0) {
                craft_block(craft, BLOCK_EPOCH, 0);
            } else {
                craft_block(craft, BLOCK_DATA, i == 2 ? 100 : 1);
            }
            if (craft->index == keep + 1) {
                *end = (struct wal_end){.cluster = craft->cluster,
                                        .segment = craft->segment,
                                        .offset = craft->offset,
                                        .segment_bytes = craft->segment_bytes,
                                        .lsn = craft->lsn,
                                        .next_index = craft->index,
                                        .term = 1,
                                        .previous_hash = craft->previous_hash};
            }
        }
    }
}

static void cut_log_ends_where_it_was_cut(void **state)
{
    (void)state;
    for (uint64_t keep = 1; keep <= 15; keep++) {
        struct craft craft;
        struct wal_end cut;
        struct wal_end end;
        craft_for_cut(&craft, keep, &cut);
        assert_int_equal(wal_cut(craft.storage, &cut), HF_OK);
        read_end(craft.storage, &end);
        assert_false(end.torn);
        assert_false(end.damaged);
        assert_int_equal(end.segment, cut.segment);
        assert_int_equal(end.offset, cut.offset);
        assert_int_equal(end.lsn, cut.lsn);
        assert_int_equal(end.next_index, cut.next_index);
        assert_int_equal(end.previous_hash, cut.previous_hash);
        craft_deinit(&craft);
    }
}

static void cut_survives_a_crash_at_every_operation(void **state)
{
    (void)state;
    for (uint64_t keep = 1; keep <= 15; keep += 2) {
        struct craft craft;
        struct wal_end cut;
        struct wal_end end;
        craft_for_cut(&craft, keep, &cut);
        for (uint64_t operation = 1;; operation++) {
            bool crashed = false;
            for (uint64_t seed = 0; seed < 12; seed++) {
                struct storage *storage = sim_storage_copy(craft.storage, seed);
                sim_storage_crash_after(storage, operation);
                enum hf_status status = wal_cut(storage, &cut);
                crashed = sim_storage_crashed(storage);
                assert_int_equal(status, crashed ? HF_IO_ERROR : HF_OK);
                sim_storage_crash(storage);
                read_end(storage, &end);
                assert_false(end.damaged);
                assert_true(end.next_index >= cut.next_index);
                assert_int_equal(wal_cut(storage, &cut), HF_OK);
                read_end(storage, &end);
                assert_false(end.torn);
                assert_false(end.damaged);
                assert_int_equal(end.next_index, cut.next_index);
                storage_destroy(storage);
            }
            if (!crashed) {
                break;
            }
        }
        craft_deinit(&craft);
    }
}

/* ---- How much is read at once ---- */

/* The simulated storage's functions, with each read noted. */
static struct {
    struct storage_ops ops;
    const struct storage_ops *under;
    unsigned count;
    size_t most_bytes;
    uint64_t bytes;
} noted;

static enum hf_status noted_read(struct storage *storage, storage_file file, void *buffer,
                                 size_t len, uint64_t offset, size_t *got)
{
    enum hf_status status = noted.under->read(storage, file, buffer, len, offset, got);
    noted.count++;
    noted.most_bytes = len > noted.most_bytes ? len : noted.most_bytes;
    noted.bytes += *got;
    return status;
}

static void note_reads(struct storage *storage)
{
    noted.count = 0;
    noted.most_bytes = 0;
    noted.bytes = 0;
    noted.under = storage->ops;
    noted.ops = *storage->ops;
    noted.ops.read = noted_read;
    storage->ops = &noted.ops;
}

/* Each page of the buffer that is touched is a page fault: a start pays for few. */
static void reader_reads_little_for_the_first_block(void **state)
{
    (void)state;
    struct craft craft;
    craft_init(&craft, MIB(16));
    craft_segment(&craft);
    craft_block(&craft, BLOCK_EPOCH, 0);
    note_reads(craft.storage);
    struct wal_reader *reader;
    struct wal_block block;
    assert_int_equal(wal_reader_open(&reader, craft.storage), HF_OK);
    assert_int_equal(wal_reader_next(reader, &block), HF_OK);
    assert_int_equal(noted.count, 1);
    assert_int_equal(noted.most_bytes, KIB(64));
    /* Behind the end all is looked through, in pieces that stay in a processor's cache. */
    assert_int_equal(wal_reader_next(reader, &block), HF_NOT_FOUND);
    assert_int_equal(noted.most_bytes, KIB(256));
    assert_true(noted.bytes >= MIB(16));
    wal_reader_close(reader);
    craft_deinit(&craft);
}

static void reader_reads_a_long_log_in_large_pieces(void **state)
{
    (void)state;
    struct craft craft;
    craft_init(&craft, MIB(16));
    for (unsigned segment = 0; segment < 3; segment++) {
        craft_segment(&craft);
        while (craft.offset + KIB(64) <= MIB(16)) {
            craft_block(&craft, BLOCK_DATA, 1000);
        }
    }
    note_reads(craft.storage);
    struct wal_reader *reader;
    struct wal_block block;
    assert_int_equal(wal_reader_open(&reader, craft.storage), HF_OK);
    while (noted.bytes < MIB(44) && wal_reader_next(reader, &block) == HF_OK) {
    }
    /* 64 KiB, 128, ... 4 MiB: seven reads, then 40 MiB in about 4 at a time. */
    assert_int_equal(noted.most_bytes, MIB(4));
    assert_in_range(noted.count, 12, 24);
    wal_reader_close(reader);
    craft_deinit(&craft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_finds_a_crafted_log_whole),
        cmocka_unit_test(reader_calls_an_earlier_life_a_clean_end),
        cmocka_unit_test(torn_tail_is_cut_at_every_sector),
        cmocka_unit_test(torn_first_block_of_a_segment_is_cut),
        cmocka_unit_test(torn_first_segment_is_an_empty_log),
        cmocka_unit_test(later_blocks_that_prove_nothing_are_torn),
        cmocka_unit_test(damage_to_any_block_but_the_last_is_found),
        cmocka_unit_test(damage_is_told_with_its_place),
        cmocka_unit_test(lost_blocks_and_files_are_damage),
        cmocka_unit_test(writes_that_come_after_the_reading_are_cut_off),
        cmocka_unit_test(number_missing_before_a_later_one_is_damage_whatever_it_held),
        cmocka_unit_test(names_that_prove_a_later_segment_are_believed),
        cmocka_unit_test(file_that_was_emptied_is_damage),
        cmocka_unit_test(last_segment_replaced_by_what_it_was_is_damage),
        cmocka_unit_test(spare_of_another_log_is_damage),
        cmocka_unit_test(mark_names_the_last_segment_that_holds_a_durable_block),
        cmocka_unit_test(mark_does_not_precede_a_durable_block),
        cmocka_unit_test(damaged_last_block_counts_as_damage_once_sealed),
        cmocka_unit_test(newer_blocks_are_damage_not_a_torn_tail),
        cmocka_unit_test(blocks_of_another_history_break_the_chain),
        cmocka_unit_test(reader_refuses_files_of_another_log),
        cmocka_unit_test(cut_log_ends_where_it_was_cut),
        cmocka_unit_test(cut_survives_a_crash_at_every_operation),
        cmocka_unit_test(reader_reads_little_for_the_first_block),
        cmocka_unit_test(reader_reads_a_long_log_in_large_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
