/* repair_test.c - every damage is found, and what repairs make of it is a whole log. */
#include "checkpoint/build.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "history/check.h"
#include "history/repair.h"
#include "unit/wal/small_log.h"

/* ---- Helpers ---- */

static void check(struct storage *storage, bool state, struct history_findings *findings)
{
    const struct history_check_options options = {.storage = storage, .state = state};
    assert_int_equal(history_check(&options, findings), HF_OK);
}

/* Makes the checkpoint of segment 1. */
static void make_checkpoint(struct storage *storage)
{
    struct checkpoint_info info;
    struct checkpoint_build_options options = {
        .storage = storage, .upto = 1, .memory_bytes = MIB(1)};
    assert_int_equal(history_replay_sizes(storage, &options.inventory), HF_OK);
    assert_int_equal(checkpoint_build(&options, &info), HF_OK);
}

static uint8_t *checkpoint_data(struct storage *storage, uint64_t number, uint64_t *size)
{
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, number);
    uint8_t *data = sim_storage_data(storage, name, size);
    assert_non_null(data);
    return data;
}

struct repaired {
    struct storage *to;
    struct history_repair_report report;
    struct history_findings findings; /* of the new log */
    uint64_t lost;
    uint64_t lost_misfit;
    uint64_t lost_orders[16]; /* of the records that were named */
};

static void note_lost(void *context, const struct history_lost *lost)
{
    struct repaired *repaired = context;
    assert_true(repaired->lost < 16);
    repaired->lost_orders[repaired->lost++] = lost->event->id.lo;
    repaired->lost_misfit += lost->misfit;
}

/* Repairs, and checks what came of it. */
static void repair(struct storage *from, bool skip, struct repaired *repaired)
{
    struct history_findings findings;
    struct history_repair_report told;
    *repaired = (struct repaired){.to = sim_storage_make(2)};
    check(from, true, &findings);
    struct history_repair_options options = {
        .from = from, .skip = skip, .lost = note_lost, .context = repaired};
    assert_int_equal(history_repair(&options, &findings, &told), HF_OK);
    options.lost = NULL;
    options.to = repaired->to;
    assert_int_equal(history_repair(&options, &findings, &repaired->report), HF_OK);
    /* What was announced is what was done. */
    assert_int_equal(told.needed, repaired->report.needed);
    assert_int_equal(told.possible, repaired->report.possible);
    assert_int_equal(told.new_lsn, repaired->report.new_lsn);
    assert_int_equal(told.records_kept, repaired->report.records_kept);
    assert_int_equal(told.records_lost, repaired->report.records_lost);
    history_findings_free(&findings);
    check(repaired->to, true, &repaired->findings);
}

static void repaired_whole(struct repaired *repaired)
{
    assert_true(repaired->report.possible);
    assert_true(history_findings_whole(&repaired->findings));
    assert_false(repaired->findings.end.torn);
    assert_true(repaired->findings.state_checked);
    assert_int_equal(repaired->findings.end.lsn, repaired->report.new_lsn);
}

static void repaired_free(struct repaired *repaired)
{
    history_findings_free(&repaired->findings);
    storage_destroy(repaired->to);
}

/* ---- What is found ---- */

static void check_finds_a_whole_log_whole(void **unused)
{
    (void)unused;
    struct small_log log;
    struct history_findings findings;
    small_log_make(&log);
    for (int with_checkpoint = 0; with_checkpoint < 2; with_checkpoint++) {
        check(log.storage, true, &findings);
        assert_true(history_findings_whole(&findings));
        assert_false(findings.end.torn);
        assert_int_equal(findings.blocks, SMALL_BLOCKS);
        assert_int_equal(findings.records, SMALL_RECORDS);
        assert_int_equal(findings.digests, 1);
        assert_int_equal(findings.segments, 2);
        assert_int_equal(findings.base, with_checkpoint);
        assert_int_equal(findings.digests_compared, 1);
        history_findings_free(&findings);
        if (!with_checkpoint) {
            make_checkpoint(log.storage);
        }
    }
    small_log_free(&log);
}

/* Flips a bit; what must be seen; flips it back. */
static void flip_in_log(struct storage *storage, uint64_t index, uint8_t *byte, unsigned bit)
{
    struct history_findings findings;
    *byte ^= (uint8_t)(1u << bit);
    check(storage, false, &findings);
    if (index < SMALL_BLOCKS) {
        assert_false(history_findings_whole(&findings));
        assert_true(findings.end.damaged);
        assert_int_equal(findings.end.next_index, index);
    } else {
        /* The last block of all: nothing behind it proves that it was durable. */
        assert_true(findings.end.torn || findings.end.damaged);
    }
    history_findings_free(&findings);
    *byte ^= (uint8_t)(1u << bit);
}

/* A storage in which the checkpoint of segment 1 begins to go before the nth read of any file. */
static struct {
    struct storage_ops ops;
    const struct storage_ops *inner;
    uint64_t reads; /* until then */
} going;

static void wear_checkpoint(struct storage *storage)
{
    char name[STORAGE_NAME_BYTES_MAX];
    char dying[STORAGE_NAME_BYTES_MAX + 4];
    storage_file file;
    uint64_t size;
    checkpoint_name(name, 1);
    snprintf(dying, sizeof dying, "%s.tmp", name);
    assert_int_equal(going.inner->rename(storage, name, dying), HF_OK);
    assert_int_equal(going.inner->open(storage, dying, true, &file, &size), HF_OK);
    assert_int_equal(going.inner->truncate(storage, file, WAL_PAGE_BYTES), HF_OK);
    going.inner->close(storage, file);
}

static enum hf_status going_read(struct storage *storage, storage_file file, void *buffer,
                                 size_t len, uint64_t offset, size_t *got)
{
    if (going.reads > 0 && --going.reads == 0) {
        wear_checkpoint(storage);
    }
    return going.inner->read(storage, file, buffer, len, offset, got);
}

/* What the engine takes away while it is looked at is not damaged. */
static void check_is_busy_when_a_checkpoint_goes_meanwhile(void **unused)
{
    (void)unused;
    unsigned busy = 0;
    bool gone = true;
    for (uint64_t nth = 1; gone; nth++) {
        struct small_log log;
        struct history_findings findings;
        small_log_make(&log);
        make_checkpoint(log.storage);
        going.inner = log.storage->ops;
        going.ops = *log.storage->ops;
        going.ops.read = going_read;
        going.reads = nth;
        log.storage->ops = &going.ops;
        const struct history_check_options options = {.storage = log.storage, .state = true};
        enum hf_status status = history_check(&options, &findings);
        gone = going.reads == 0;
        if (status == HF_OK) {
            assert_true(history_findings_whole(&findings));
            history_findings_free(&findings);
        } else {
            assert_int_equal(status, HF_BUSY);
            busy++;
            check(log.storage, true, &findings); /* again */
            assert_true(history_findings_whole(&findings));
            assert_int_equal(findings.base, 0);
            history_findings_free(&findings);
        }
        log.storage->ops = going.inner;
        small_log_free(&log);
    }
    assert_true(busy >= 4); /* its frames, when they are checked and when they are loaded */
}

static void check_finds_every_flipped_bit_of_a_log(void **unused)
{
    (void)unused;
    struct small_log log;
    small_log_make(&log);
    for (uint64_t index = 1; index <= SMALL_BLOCKS; index++) {
        uint8_t *block = small_block_at(log.storage, index);
        for (unsigned at = 0; at < WAL_PAGE_BYTES; at++) {
            bool padding = at >= BLOCK_HEADER_BYTES + 160 && block[at] == 0;
            for (unsigned bit = 0; bit < 8; bit++) {
                /* Padding is compared with zero: one bit of each byte, in turn. */
                if (!padding || bit == at % 8) {
                    flip_in_log(log.storage, index, block + at, bit);
                }
            }
        }
    }
    small_log_free(&log);
}

static void check_finds_every_flipped_bit_of_a_segment_header(void **unused)
{
    (void)unused;
    struct small_log log;
    small_log_make(&log);
    for (uint64_t segment = 1; segment <= 2; segment++) {
        uint8_t *page = small_file(log.storage, segment);
        for (unsigned at = 0; at < WAL_PAGE_BYTES * 8; at++) {
            if (at / 8 < SEGMENT_HEADER_BYTES || at % 8 == at / 8 % 8) {
                flip_in_log(log.storage, segment == 1 ? 1 : SMALL_PAGES, page + at / 8, at % 8);
            }
        }
    }
    small_log_free(&log);
}

static void check_finds_every_flipped_bit_of_a_checkpoint(void **unused)
{
    (void)unused;
    struct small_log log;
    struct checkpoint_info info;
    uint64_t size;
    small_log_make(&log);
    make_checkpoint(log.storage);
    uint8_t *data = checkpoint_data(log.storage, 1, &size);
    assert_int_equal(checkpoint_verify(log.storage, 1, &info, NULL, NULL), HF_OK);
    for (uint64_t at = 0; at < size; at++) {
        bool padding = at % WAL_PAGE_BYTES >= 512 && data[at] == 0;
        for (unsigned bit = 0; bit < 8; bit++) {
            if (padding && bit != at % 8) {
                continue;
            }
            data[at] ^= (uint8_t)(1u << bit);
            assert_int_equal(checkpoint_verify(log.storage, 1, &info, NULL, NULL), HF_DAMAGED);
            assert_true(info.message[0] != '\0');
            data[at] ^= (uint8_t)(1u << bit);
        }
    }
    struct history_findings findings;
    data[size - 1] ^= 1;
    check(log.storage, true, &findings);
    assert_false(history_findings_whole(&findings));
    assert_false(findings.end.damaged);
    assert_int_equal(findings.base, 0);
    history_findings_free(&findings);
    small_log_free(&log);
}

/* Bytes of a block that are not zero, from its start; 0: before any. */
static unsigned used_bytes(const uint8_t *block)
{
    unsigned used = WAL_PAGE_BYTES;
    while (used > 0 && block[used - 1] == 0) {
        used--;
    }
    return used;
}

static void check_tells_where_a_log_was_cut(void **unused)
{
    (void)unused;
    struct small_log log;
    small_log_make(&log);
    /* As if the log's last write had been cut short: block `index` ends after `at` bytes, zeros
     * behind. */
    for (uint64_t index = SMALL_BLOCKS; index > SMALL_PAGES; index--) {
        uint8_t *block = small_block_at(log.storage, index);
        unsigned used = used_bytes(block);
        for (unsigned at = WAL_PAGE_BYTES; at-- > 0;) {
            struct history_findings findings;
            block[at] = 0;
            check(log.storage, false, &findings);
            assert_true(history_findings_whole(&findings));
            assert_int_equal(findings.end.torn, at < used && used_bytes(block) > 0);
            assert_int_equal(findings.end.next_index, at < used ? index : index + 1);
            history_findings_free(&findings);
        }
    }
    small_log_free(&log);
}

static void check_calls_a_shortened_file_damaged(void **unused)
{
    (void)unused;
    struct small_log log;
    small_log_make(&log);
    uint8_t *copy = aligned_alloc(WAL_PAGE_BYTES, SMALL_SEGMENT_BYTES);
    assert_non_null(copy);
    memcpy(copy, small_file(log.storage, 2), SMALL_SEGMENT_BYTES);
    for (unsigned pages = 1; pages < SMALL_PAGES; pages++) {
        struct storage *storage = sim_storage_copy(log.storage, 3);
        const char name[] = "wal-0000000000000002.seg";
        struct history_findings findings;
        storage_file file;
        assert_int_equal(storage->ops->create(storage, name, &file), HF_OK);
        assert_int_equal(storage->ops->write(storage, file, copy, pages * WAL_PAGE_BYTES, 0),
                         HF_OK);
        storage->ops->close(storage, file);
        check(storage, false, &findings);
        assert_true(findings.end.damaged);
        assert_int_equal(findings.end.next_index, SMALL_PAGES);
        history_findings_free(&findings);
        storage_destroy(storage);
    }
    free(copy);
    small_log_free(&log);
}

static void check_tells_a_record_that_does_not_fit(void **unused)
{
    (void)unused;
    struct small_log log;
    struct history_findings findings;
    struct history_fault fault;
    small_log_make(&log);
    /* Order 2 was released; the log says so again: another block with a good checksum. */
    struct event event = small_edit(EVENT_ORDER_RELEASED, 2);
    log.bytes = record_encode(&event, log.payload);
    log.records = 1;
    small_block(&log, BLOCK_DATA);
    check(log.storage, false, &findings);
    assert_true(history_findings_whole(&findings));
    history_findings_free(&findings);
    check(log.storage, true, &findings);
    assert_false(history_findings_whole(&findings));
    assert_true(history_findings_fault(&findings, &fault));
    assert_int_equal(fault.cut.next_index, SMALL_BLOCKS + 1);
    assert_int_equal(fault.file_offset, 5 * WAL_PAGE_BYTES + BLOCK_HEADER_BYTES);
    history_findings_free(&findings);
    struct repaired repaired;
    repair(log.storage, false, &repaired);
    repaired_whole(&repaired);
    assert_int_equal(repaired.lost, 1);
    assert_int_equal(repaired.findings.blocks, SMALL_BLOCKS);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void check_compares_digests(void **unused)
{
    (void)unused;
    struct small_log log;
    struct history_findings findings;
    small_log_make(&log);
    log.digest++;
    small_block(&log, BLOCK_DIGEST);
    check(log.storage, true, &findings);
    assert_false(history_findings_whole(&findings));
    assert_true(findings.state_digest);
    history_findings_free(&findings);
    struct repaired repaired;
    repair(log.storage, true, &repaired);
    assert_true(repaired.report.needed);
    assert_false(repaired.report.possible);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void check_tells_a_checkpoint_of_another_log(void **unused)
{
    (void)unused;
    struct small_log log;
    struct history_findings findings;
    struct segment_header header;
    const char *reason;
    small_log_make(&log);
    make_checkpoint(log.storage);
    /* The segment behind the checkpoint begins elsewhere. */
    uint8_t *page = small_file(log.storage, 2);
    assert_true(segment_header_decode(&header, page, &reason));
    header.previous_hash++;
    segment_header_encode(&header, page);
    check(log.storage, true, &findings);
    assert_int_equal(findings.checkpoints[0].condition, CHECKPOINT_APART);
    assert_int_equal(findings.base, 0);
    assert_false(history_findings_whole(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

/* ---- Repairs ---- */

static void repair_leaves_a_whole_log_alone(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    repair(log.storage, false, &repaired);
    assert_false(repaired.report.needed);
    assert_int_equal(sim_storage_used(repaired.to), 0);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_cuts_a_torn_tail(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    small_block_at(log.storage, SMALL_BLOCKS)[5] ^= 1;
    repair(log.storage, false, &repaired);
    repaired_whole(&repaired);
    assert_int_equal(repaired.findings.blocks, SMALL_BLOCKS - 1);
    assert_int_equal(repaired.report.new_lsn, log.lsn);
    assert_int_equal(repaired.lost, 0);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_cuts_at_damage_in_any_block(void **unused)
{
    (void)unused;
    for (uint64_t index = 2; index < SMALL_BLOCKS; index++) {
        struct small_log log;
        struct repaired repaired;
        small_log_make(&log);
        small_block_at(log.storage, index)[60] ^= 1;
        repair(log.storage, false, &repaired);
        repaired_whole(&repaired);
        assert_true(repaired.report.has_fault);
        assert_int_equal(repaired.findings.blocks, index - 1);
        assert_int_equal(repaired.report.blocks_unreadable, 1);
        assert_int_equal(repaired.report.blocks_readable, SMALL_BLOCKS - index);
        assert_int_equal(repaired.lost, repaired.report.records_lost);
        repaired_free(&repaired);
        small_log_free(&log);
    }
}

static void repair_names_what_a_cut_loses(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    small_block_at(log.storage, 5)[BLOCK_HEADER_BYTES] ^= 1; /* order 4 */
    repair(log.storage, false, &repaired);
    repaired_whole(&repaired);
    assert_int_equal(repaired.lost, 3);
    assert_int_equal(repaired.lost_orders[0], 2); /* released */
    assert_int_equal(repaired.lost_orders[1], 4); /* committed */
    assert_int_equal(repaired.lost_orders[2], 5); /* held */
    assert_int_equal(repaired.lost_misfit, 0);
    assert_int_equal(repaired.report.last_lsn, log.lsn);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_refuses_to_leave_nothing(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    small_block_at(log.storage, 1)[60] ^= 1;
    repair(log.storage, false, &repaired);
    assert_true(repaired.report.needed);
    assert_false(repaired.report.possible);
    assert_int_equal(sim_storage_used(repaired.to), 0);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_skips_damage_in_any_block(void **unused)
{
    (void)unused;
    /* What each block's loss costs more: records behind it that do not fit any more. */
    static const uint64_t misfits[SMALL_BLOCKS + 1] = {[2] = 8, [3] = 2, [5] = 1};
    static const uint64_t records[SMALL_BLOCKS + 1] = {
        [2] = 2, [3] = 2, [4] = 2, [5] = 1, [6] = 1, [8] = 2};
    for (uint64_t index = 1; index < SMALL_BLOCKS; index++) {
        struct small_log log;
        struct repaired repaired;
        small_log_make(&log);
        small_block_at(log.storage, index)[60] ^= 1;
        repair(log.storage, true, &repaired);
        repaired_whole(&repaired);
        assert_int_equal(repaired.lost, misfits[index]);
        assert_int_equal(repaired.lost_misfit, misfits[index]);
        assert_int_equal(repaired.findings.records,
                         SMALL_RECORDS - records[index] - misfits[index]);
        assert_int_equal(repaired.findings.digests_compared, index != 7);
        assert_int_equal(repaired.report.items_short, 0);
        repaired_free(&repaired);
        small_log_free(&log);
    }
}

static void repair_skips_without_loss_where_no_record_is_touched(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    small_block_at(log.storage, 3)[4000] ^= 1; /* padding */
    small_file(log.storage, 2)[50] ^= 1;       /* a segment's header */
    repair(log.storage, true, &repaired);
    repaired_whole(&repaired);
    assert_int_equal(repaired.findings.records, SMALL_RECORDS);
    assert_int_equal(repaired.lost, 0);
    assert_int_equal(repaired.report.blocks_unreadable, 0);
    assert_int_equal(repaired.report.new_lsn, log.lsn);
    repaired_free(&repaired);
    small_log_free(&log);
}

/* Blocks that are written anew were written when they were: deadlines and what goes on behind the
 * log's end are reckoned from that. */
static void repair_keeps_the_times_of_blocks(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_timed = true;
    small_log_make(&log);
    small_timed = false;
    small_block_at(log.storage, 3)[BLOCK_HEADER_BYTES] ^= 1;
    repair(log.storage, true, &repaired);
    repaired_whole(&repaired);
    struct wal_reader *reader;
    struct wal_block block;
    unsigned blocks = 0;
    assert_int_equal(wal_reader_open(&reader, repaired.to), HF_OK);
    while (wal_reader_next(reader, &block) == HF_OK) {
        const struct block_header *header = &block.header;
        assert_int_equal(header->engine_ms, header->wall_ms - 1000);
        assert_int_equal(header->boot_ms, header->wall_ms - SMALL_MS);
        assert_int_equal(header->boot, 0xB007);
        blocks++;
    }
    assert_true(blocks > 3);
    wal_reader_close(reader);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_skips_a_damaged_beginning(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    small_file(log.storage, 1)[50] ^= 1;
    repair(log.storage, true, &repaired);
    repaired_whole(&repaired);
    assert_int_equal(repaired.findings.records, SMALL_RECORDS);
    assert_true(id_equal(repaired.findings.end.cluster, small_cluster));
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_counts_items_that_are_short(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    /* 50 more came in (lost below), then an order took 120. */
    const struct stock_change stocked = {.item = 1, .delta = 50, .stocked = 150};
    small_event(&log,
                (struct event){.type = EVENT_STOCK_ADJUSTED, .id = {2, 2}, .adjust = &stocked});
    small_block(&log, BLOCK_DATA);
    small_segment(&log);
    small_event(&log, small_held(6, 120));
    small_block(&log, BLOCK_DATA);
    small_block_at(log.storage, SMALL_BLOCKS + 1)[60] ^= 1;
    repair(log.storage, true, &repaired);
    repaired_whole(&repaired);
    assert_int_equal(repaired.report.records_kept, 1);
    assert_int_equal(repaired.report.items_short, 1);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_leaves_out_a_damaged_checkpoint(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    uint64_t size;
    small_log_make(&log);
    make_checkpoint(log.storage);
    checkpoint_data(log.storage, 1, &size)[WAL_PAGE_BYTES + 60] ^= 1;
    repair(log.storage, false, &repaired);
    repaired_whole(&repaired);
    assert_int_equal(repaired.findings.checkpoint_count, 0);
    assert_int_equal(repaired.findings.records, SMALL_RECORDS);
    repaired_free(&repaired);
    /* Not where the log's beginning is gone. */
    assert_int_equal(log.storage->ops->unlink(log.storage, "wal-0000000000000001.seg"), HF_OK);
    repair(log.storage, true, &repaired);
    assert_true(repaired.report.needed);
    assert_false(repaired.report.possible);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_drops_damage_that_a_checkpoint_covers(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    make_checkpoint(log.storage);
    small_block_at(log.storage, 3)[60] ^= 1;
    repair(log.storage, false, &repaired);
    repaired_whole(&repaired);
    assert_true(repaired.report.drops_covered);
    assert_int_equal(repaired.findings.first_segment, 2);
    assert_int_equal(repaired.findings.base, 1);
    assert_int_equal(repaired.report.new_lsn, log.lsn);
    repaired_free(&repaired);
    small_log_free(&log);
}

static void repair_keeps_a_checkpoint_when_all_behind_it_is_lost(void **unused)
{
    (void)unused;
    for (int skip = 0; skip < 2; skip++) {
        for (int gone = 0; gone < 2; gone++) { /* the covered segment */
            struct small_log log;
            struct repaired repaired;
            small_log_make(&log);
            make_checkpoint(log.storage);
            if (gone) {
                assert_int_equal(log.storage->ops->unlink(log.storage, "wal-0000000000000001.seg"),
                                 HF_OK);
            }
            small_block_at(log.storage, 6)[60] ^= 1;
            repair(log.storage, skip, &repaired);
            repaired_whole(&repaired);
            assert_int_equal(repaired.findings.base, 1);
            assert_int_equal(repaired.findings.first_segment, gone ? 2 : 1);
            assert_int_equal(repaired.report.records_kept, skip ? 2 : 0);
            assert_int_equal(repaired.lost, skip ? 0 : 2);
            repaired_free(&repaired);
            small_log_free(&log);
        }
    }
}

static void repair_writes_new_segments_when_one_is_full(void **unused)
{
    (void)unused;
    struct small_log log;
    struct repaired repaired;
    small_log_make(&log);
    for (unsigned segment = 0; segment < 4; segment++) {
        small_segment(&log);
        for (unsigned i = 0; i < SMALL_PAGES - 1; i++) {
            small_event(&log, small_held(6 + log.index, 1));
            small_block(&log, BLOCK_DATA);
        }
    }
    small_block_at(log.storage, 4)[60] ^= 1;
    repair(log.storage, true, &repaired);
    repaired_whole(&repaired);
    assert_int_equal(repaired.report.records_kept, 4 + 20);
    assert_true(repaired.findings.segments >= 2);
    repaired_free(&repaired);
    small_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_finds_a_whole_log_whole),
        cmocka_unit_test(check_is_busy_when_a_checkpoint_goes_meanwhile),
        cmocka_unit_test(check_finds_every_flipped_bit_of_a_log),
        cmocka_unit_test(check_finds_every_flipped_bit_of_a_segment_header),
        cmocka_unit_test(check_finds_every_flipped_bit_of_a_checkpoint),
        cmocka_unit_test(check_tells_where_a_log_was_cut),
        cmocka_unit_test(check_calls_a_shortened_file_damaged),
        cmocka_unit_test(check_tells_a_record_that_does_not_fit),
        cmocka_unit_test(check_compares_digests),
        cmocka_unit_test(check_tells_a_checkpoint_of_another_log),
        cmocka_unit_test(repair_leaves_a_whole_log_alone),
        cmocka_unit_test(repair_cuts_a_torn_tail),
        cmocka_unit_test(repair_cuts_at_damage_in_any_block),
        cmocka_unit_test(repair_names_what_a_cut_loses),
        cmocka_unit_test(repair_refuses_to_leave_nothing),
        cmocka_unit_test(repair_skips_damage_in_any_block),
        cmocka_unit_test(repair_skips_without_loss_where_no_record_is_touched),
        cmocka_unit_test(repair_keeps_the_times_of_blocks),
        cmocka_unit_test(repair_skips_a_damaged_beginning),
        cmocka_unit_test(repair_counts_items_that_are_short),
        cmocka_unit_test(repair_leaves_out_a_damaged_checkpoint),
        cmocka_unit_test(repair_drops_damage_that_a_checkpoint_covers),
        cmocka_unit_test(repair_keeps_a_checkpoint_when_all_behind_it_is_lost),
        cmocka_unit_test(repair_writes_new_segments_when_one_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
