/* lies_test.c - logs and checkpoints whose every checksum is right, and which are still wrong.
 *
 * A flipped bit is found by the first checksum over it. What is left to the checks behind those
 * is a file that was written wrong: by a fault of an engine, by a tool, or by two engines. Each of
 * these checks gets a log here that only it can notice: a small log is changed in one thing, and
 * all checksums and hashes are made to fit again.
 *
 * Threads: one. */
#include "unit/wal/small_log.h"

#include "checkpoint/build.h"
#include "checkpoint/file.h"
#include "checkpoint/info.h"
#include "core/transition.h"
#include "history/check.h"
#include "history/repair.h"
#include "wal/tail.h"

/* ---- Lies ---- */

/* Blocks `from` and on again, as they stand, with payload hashes and a chain that fit. */
static void reseal(struct storage *storage, uint64_t from)
{
    for (uint64_t index = from; index <= SMALL_BLOCKS; index++) {
        uint8_t *at = small_block_at(storage, index);
        struct block_header header;
        const char *reason;
        assert_true(block_header_decode(&header, at, &reason));
        header.payload_hash = hash_bytes(at + BLOCK_HEADER_BYTES, header.payload_bytes);
        if (index > 1) {
            header.previous_hash = block_chain(small_block_at(storage, index - 1));
        }
        block_header_encode(&header, at);
        if (index == SMALL_PAGES) { /* the first block of segment 2 */
            struct segment_header segment;
            uint8_t *page = small_file(storage, 2);
            assert_true(segment_header_decode(&segment, page, &reason));
            segment.previous_hash = header.previous_hash;
            segment_header_encode(&segment, page);
        }
    }
}

#define CHANGE_BLOCK(storage, number, change)                                                      \
    do {                                                                                           \
        struct block_header header;                                                                \
        const char *why;                                                                           \
        assert_true(block_header_decode(&header, small_block_at(storage, number), &why));          \
        change;                                                                                    \
        block_header_encode(&header, small_block_at(storage, number));                             \
    } while (0)

static uint8_t *checkpoint_data(struct storage *storage, uint64_t number, uint64_t *size)
{
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, number);
    uint8_t *data = sim_storage_data(storage, name, size);
    assert_non_null(data);
    return data;
}

#define CHANGE_CHECKPOINT(storage, number, change)                                                 \
    do {                                                                                           \
        struct checkpoint_header header;                                                           \
        const char *why;                                                                           \
        uint64_t bytes;                                                                            \
        uint8_t *first = checkpoint_data(storage, number, &bytes);                                 \
        assert_true(checkpoint_header_decode(&header, first, &why));                               \
        change;                                                                                    \
        checkpoint_header_encode(&header, first);                                                  \
    } while (0)

/* Adds units that count towards a buyer's limit, and no order has, to a checkpoint; its hashes and
 * its digest tell of them. Returns what the digest grew by. */
static uint64_t add_buyer(struct storage *storage, uint64_t number, uint64_t buyer, uint32_t units)
{
    uint64_t delta = digest_buyer(1, buyer, units);
    uint64_t chain = 0;
    bool added = false;
    uint64_t size;
    uint8_t *data = checkpoint_data(storage, number, &size);
    for (uint64_t at = WAL_PAGE_BYTES; at < size;) {
        struct frame_header frame;
        const char *why;
        assert_true(frame_decode(&frame, data + at, &why));
        size_t span = frame_span(frame.payload_bytes);
        if (frame.kind == FRAME_LEDGER) {
            uint8_t *end = data + at + FRAME_HEADER_BYTES + frame.payload_bytes;
            frame.payload_bytes += buyer_record_encode(end, 1, buyer, units);
            frame.record_count++;
            assert_int_equal(frame_span(frame.payload_bytes), span);
            frame_encode(&frame, data + at);
            added = true;
        }
        chain = frame_chain(chain, frame.hash);
        at += span;
    }
    assert_true(added);
    CHANGE_CHECKPOINT(storage, number, {
        header.frames_hash = chain;
        header.info.digest += delta;
    });
    return delta;
}

/* ---- Helpers ---- */

static enum hf_status build(struct storage *storage, uint64_t upto, struct checkpoint_info *info)
{
    struct checkpoint_build_options options = {
        .storage = storage, .upto = upto, .memory_bytes = MIB(1)};
    assert_int_equal(history_replay_sizes(storage, &options.inventory), HF_OK);
    return checkpoint_build(&options, info);
}

static void make_checkpoint(struct storage *storage, uint64_t upto)
{
    struct checkpoint_info info;
    assert_int_equal(build(storage, upto, &info), HF_OK);
}

static void check(struct storage *storage, bool state, struct history_findings *findings)
{
    const struct history_check_options options = {.storage = storage, .state = state};
    assert_int_equal(history_check(&options, findings), HF_OK);
}

static void check_is_whole(struct storage *storage)
{
    struct history_findings findings;
    check(storage, true, &findings);
    assert_true(history_findings_whole(&findings));
    assert_true(history_findings_starts(&findings));
    history_findings_free(&findings);
}

static void remove_segment(struct storage *storage, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    wal_segment_name(name, number);
    assert_int_equal(storage->ops->unlink(storage, name), HF_OK);
}

/* A third segment, so that the second is sealed. */
static void add_segment(struct small_log *log)
{
    small_segment(log);
    small_event(log, small_held(6, 1));
    small_block(log, BLOCK_DATA);
    small_block(log, BLOCK_NOOP);
}

/* ---- Blocks ---- */

static void block_that_counts_other_records_is_told(void **state)
{
    (void)state;
    for (int more = -1; more <= 1; more += 2) {
        struct small_log log;
        struct history_findings findings;
        struct checkpoint_info info;
        small_log_make(&log);
        CHANGE_BLOCK(log.storage, 3, header.record_count += (uint32_t)more);
        reseal(log.storage, 3);
        for (int with_state = 0; with_state < 2; with_state++) {
            check(log.storage, with_state, &findings);
            assert_false(findings.end.damaged);
            assert_true(findings.unreadable.any);
            assert_int_equal(findings.unreadable.cut.next_index, 3);
            assert_false(history_findings_whole(&findings));
            assert_false(history_findings_starts(&findings));
            history_findings_free(&findings);
        }
        assert_int_equal(build(log.storage, 1, &info), HF_DAMAGED);
        assert_non_null(strstr(info.message, "record count"));
        small_log_free(&log);
    }
}

static void digest_of_another_place_is_told(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    small_log_make(&log);
    uint8_t *payload = small_block_at(log.storage, 7) + BLOCK_HEADER_BYTES;
    store_u64(payload, load_u64(payload) + 8);
    reseal(log.storage, 7);
    check(log.storage, true, &findings);
    assert_true(findings.state.any);
    assert_false(history_findings_whole(&findings));
    assert_false(history_findings_starts(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

/* ---- Checkpoints ---- */

static void checkpoint_is_not_made_of_what_a_digest_denies(void **state)
{
    (void)state;
    for (int lie = 0; lie < 2; lie++) {
        struct small_log log;
        struct checkpoint_info info;
        small_log_make(&log);
        log.digest += (uint64_t)lie;
        small_block(&log, BLOCK_DIGEST);
        log.digest -= (uint64_t)lie;
        add_segment(&log);
        assert_int_equal(build(log.storage, 2, &info), lie ? HF_DAMAGED : HF_OK);
        if (lie) {
            assert_non_null(strstr(info.message, "differs from the digest"));
        } else {
            check_is_whole(log.storage);
        }
        small_log_free(&log);
    }
}

/* Segment 1 has lost its last block, and segment 2 goes on behind that. */
static void checkpoint_is_not_made_of_a_segment_that_ends_early(void **state)
{
    (void)state;
    struct small_log log;
    struct checkpoint_info info;
    small_log_make(&log);
    memset(small_block_at(log.storage, 5), 0, WAL_PAGE_BYTES);
    assert_int_equal(build(log.storage, 1, &info), HF_DAMAGED);
    assert_true(info.message[0] != '\0');
    small_log_free(&log);
}

/* Whoever starts from it goes on in that term, from that time, at that place. */
static void checkpoint_tells_where_and_when_the_log_goes_on(void **state)
{
    (void)state;
    struct small_log log;
    struct checkpoint_info info;
    struct checkpoint_info read;
    small_timed = true;
    small_log_make(&log);
    small_timed = false;
    for (uint64_t index = 1; index <= SMALL_BLOCKS; index++) {
        CHANGE_BLOCK(log.storage, index, header.term = 3);
    }
    reseal(log.storage, 1);
    assert_int_equal(build(log.storage, 1, &info), HF_OK);
    assert_int_equal(checkpoint_read_info(log.storage, 1, &read), HF_OK);
    for (int again = 0; again < 2; again++) {
        const struct checkpoint_info *told = again ? &read : &info;
        assert_int_equal(told->number, 1);
        assert_int_equal(told->start.segment, 2);
        assert_true(id_equal(told->start.cluster, small_cluster));
        assert_int_equal(told->start.next_index, SMALL_PAGES);
        assert_int_equal(told->start.previous_hash, block_chain(small_block_at(log.storage, 5)));
        assert_int_equal(told->start.term, 3);
        assert_int_equal(told->wall_ms, SMALL_MS + 5000); /* of block 5 */
        assert_int_equal(told->engine_ms, SMALL_MS + 4000);
        assert_int_equal(told->orders, 4);
        assert_int_equal(told->orders_held, 3);
        assert_int_equal(told->skus, 1);
        assert_int_equal(told->items, 1);
    }
    check_is_whole(log.storage);
    small_log_free(&log);
}

static void checkpoint_whose_digest_is_not_its_contents_is_damaged(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    struct history_replay replay;
    struct inventory_options sizes;
    small_log_make(&log);
    make_checkpoint(log.storage, 1);
    check_is_whole(log.storage);
    CHANGE_CHECKPOINT(log.storage, 1, header.info.digest++);
    check(log.storage, true, &findings);
    assert_int_equal(findings.checkpoints[0].condition, CHECKPOINT_DAMAGED);
    assert_false(history_findings_whole(&findings));
    history_findings_free(&findings);
    assert_int_equal(history_replay_sizes(log.storage, &sizes), HF_OK);
    assert_int_equal(history_replay_begin(&replay, log.storage, 1, &sizes), HF_DAMAGED);
    small_log_free(&log);
}

/* It agrees with its own digest, and not with what the log leads to. */
static void checkpoint_of_another_state_is_told(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    char name[STORAGE_NAME_BYTES_MAX];
    small_log_make(&log);
    make_checkpoint(log.storage, 1);
    (void)add_buyer(log.storage, 1, 9, 3);
    check(log.storage, true, &findings);
    assert_int_equal(findings.checkpoints[0].condition, CHECKPOINT_WHOLE);
    assert_true(findings.state.any);
    checkpoint_name(name, 1);
    assert_string_equal(findings.state.file, name);
    assert_false(history_findings_whole(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

/* Checkpoint, log and digests agree, but what is counted towards a limit is no order's. */
static void state_that_does_not_add_up_is_told(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    small_log_make(&log);
    make_checkpoint(log.storage, 1);
    uint64_t delta = add_buyer(log.storage, 1, 9, 3);
    uint8_t *payload = small_block_at(log.storage, 7) + BLOCK_HEADER_BYTES;
    store_u64(payload + 8, load_u64(payload + 8) + delta);
    reseal(log.storage, 7);
    remove_segment(log.storage, 1);
    check(log.storage, true, &findings);
    assert_int_equal(findings.base, 1);
    assert_int_equal(findings.digests_compared, 1);
    assert_true(findings.state.any);
    assert_non_null(strstr(findings.state.reason, "buyer 9: 3 units are counted"));
    assert_false(history_findings_whole(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

/* The log is whole from its beginning; the checkpoint goes on into another segment 2. */
static void checkpoint_that_is_apart_is_told_though_nothing_needs_it(void **state)
{
    (void)state;
#define APART(change)                                                                              \
    do {                                                                                           \
        struct small_log log;                                                                      \
        struct history_findings findings;                                                          \
        small_log_make(&log);                                                                      \
        make_checkpoint(log.storage, 1);                                                           \
        CHANGE_CHECKPOINT(log.storage, 1, change);                                                 \
        check(log.storage, true, &findings);                                                       \
        if (findings.checkpoints[0].condition != CHECKPOINT_APART) {                               \
            fail_msg("not apart: %s", #change);                                                    \
        }                                                                                          \
        assert_int_equal(findings.base, 0);                                                        \
        assert_false(findings.end.damaged);                                                        \
        assert_false(history_findings_whole(&findings));                                           \
        assert_true(history_findings_starts(&findings));                                           \
        history_findings_free(&findings);                                                          \
        small_log_free(&log);                                                                      \
    } while (0)
    APART(header.info.start.previous_hash++);
    APART(header.info.start.lsn += 8);
    APART(header.info.start.next_index++);
#undef APART
}

/* Not a copy of this log that went on by itself, but another log: somebody's mistake. */
static void checkpoint_of_another_log_is_damage(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    char name[STORAGE_NAME_BYTES_MAX];
    small_log_make(&log);
    make_checkpoint(log.storage, 1);
    CHANGE_CHECKPOINT(log.storage, 1, header.info.start.cluster.lo++);
    check(log.storage, true, &findings);
    checkpoint_name(name, 1);
    assert_true(findings.end.damaged);
    assert_string_equal(findings.end.file, name);
    assert_non_null(strstr(findings.end.reason, "another cluster"));
    assert_false(history_findings_starts(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

/* ---- What a checkpoint covers ---- */

static void damage_in_a_covered_segment_is_told_with_its_place(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    small_log_make(&log);
    make_checkpoint(log.storage, 1);
    small_block_at(log.storage, 3)[BLOCK_HEADER_BYTES + 40] ^= 1;
    check(log.storage, true, &findings);
    assert_true(findings.covered.any);
    assert_int_equal(findings.covered.file_offset, 3 * WAL_PAGE_BYTES);
    assert_non_null(strstr(findings.covered.reason, "payload"));
    assert_false(history_findings_whole(&findings));
    assert_true(history_findings_starts(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

/* A start reads no more of what the checkpoint covers than the first pages: it tells of those. */
static void covered_segment_whose_head_does_not_fit_is_noticed(void **state)
{
    (void)state;
#define HEAD(fits, change)                                                                         \
    do {                                                                                           \
        struct small_log log;                                                                      \
        struct wal_end fault;                                                                      \
        struct segment_header header;                                                              \
        const char *why;                                                                           \
        small_log_make(&log);                                                                      \
        make_checkpoint(log.storage, 1);                                                           \
        uint8_t *page = small_file(log.storage, 1);                                                \
        assert_true(segment_header_decode(&header, page, &why));                                   \
        change;                                                                                    \
        segment_header_encode(&header, page);                                                      \
        assert_int_equal(wal_check_covered(log.storage, 1, &fault), HF_OK);                        \
        assert_false(fault.damaged);                                                               \
        if (fault.torn == (fits)) {                                                                \
            fail_msg("%s: told %d", #change, fault.torn);                                          \
        }                                                                                          \
        assert_true((fits) || strcmp(fault.file, "wal-0000000000000001.seg") == 0);                \
        small_log_free(&log);                                                                      \
    } while (0)
    HEAD(true, (void)header);
    HEAD(false, header.number = 9);
    HEAD(false, header.segment_bytes += WAL_PAGE_BYTES);
    HEAD(false, header.segment_bytes -= WAL_PAGE_BYTES);
#undef HEAD
}

/* The log jumps by a word between segment 1 and 2, and the checkpoint is of behind the jump. */
static void covered_segment_that_ends_elsewhere_is_told(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    struct segment_header segment;
    const char *reason;
    small_log_make(&log);
    make_checkpoint(log.storage, 1);
    for (uint64_t index = SMALL_PAGES; index <= SMALL_BLOCKS; index++) {
        CHANGE_BLOCK(log.storage, index, header.first_lsn += 8);
    }
    uint8_t *payload = small_block_at(log.storage, 7) + BLOCK_HEADER_BYTES;
    store_u64(payload, load_u64(payload) + 8);
    reseal(log.storage, SMALL_PAGES);
    uint8_t *page = small_file(log.storage, 2);
    assert_true(segment_header_decode(&segment, page, &reason));
    segment.first_lsn += 8;
    segment_header_encode(&segment, page);
    CHANGE_CHECKPOINT(log.storage, 1, header.info.start.lsn += 8);
    check(log.storage, false, &findings);
    assert_int_equal(findings.base, 1);
    assert_false(findings.end.damaged);
    assert_int_equal(findings.end.next_index, SMALL_BLOCKS + 1);
    assert_true(findings.covered.any);
    assert_false(history_findings_whole(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

static void gap_in_what_a_checkpoint_covers_keeps_an_engine_from_starting(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    small_log_make(&log);
    add_segment(&log);
    make_checkpoint(log.storage, 2);
    check_is_whole(log.storage);
    remove_segment(log.storage, 2);
    check(log.storage, true, &findings);
    assert_int_equal(findings.base, 2);
    assert_true(findings.covered_gap);
    assert_false(findings.end.damaged);
    assert_false(history_findings_whole(&findings));
    assert_false(history_findings_starts(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

/* ---- The whole ---- */

static void log_without_its_beginning_is_told(void **state)
{
    (void)state;
    struct small_log log;
    struct history_findings findings;
    small_log_make(&log);
    remove_segment(log.storage, 1);
    check(log.storage, true, &findings);
    assert_true(findings.beginning_missing);
    assert_false(findings.end.damaged);
    assert_false(history_findings_whole(&findings));
    assert_false(history_findings_starts(&findings));
    history_findings_free(&findings);
    small_log_free(&log);
}

static void log_of_another_data_directory_is_told(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    for (int other = 0; other < 2; other++) {
        struct history_findings findings;
        const struct id128 cluster = {small_cluster.hi, small_cluster.lo + (uint64_t)other};
        const struct history_check_options options = {
            .storage = log.storage, .cluster = &cluster, .state = true};
        assert_int_equal(history_check(&options, &findings), HF_OK);
        assert_int_equal(findings.elsewhere != NULL, other);
        assert_int_equal(history_findings_whole(&findings), !other);
        assert_int_equal(history_findings_starts(&findings), !other);
        history_findings_free(&findings);
    }
    small_log_free(&log);
    /* No log at all, where there was one. */
    struct history_findings findings;
    struct storage *storage = sim_storage_make(1);
    const struct history_check_options options = {.storage = storage, .cluster = &small_cluster};
    assert_int_equal(history_check(&options, &findings), HF_OK);
    assert_non_null(findings.elsewhere);
    assert_false(history_findings_whole(&findings));
    history_findings_free(&findings);
    check_is_whole(storage); /* where there was none that is a new one */
    storage_destroy(storage);
}

/* ---- Replay ---- */

static struct inventory_options few(uint64_t orders_max)
{
    return (struct inventory_options){
        .items_max = 8, .orders_max = orders_max, .hold_ms_default = 1000, .hold_ms_max = 900000};
}

/* Replays the blocks below `upto`; the last status. */
static enum hf_status replay_blocks(struct history_replay *replay, struct wal_reader *reader,
                                    uint64_t upto)
{
    struct wal_block block;
    enum hf_status status = HF_OK;
    while (status == HF_OK && wal_reader_next(reader, &block) == HF_OK) {
        status = history_replay_block(replay, &block);
        if (block.header.index + 1 == upto) {
            break;
        }
    }
    return status;
}

/* A record that finds no room ends the replay: it is not passed over. */
static void replay_says_when_there_is_no_room(void **state)
{
    (void)state;
    struct small_log log;
    struct history_replay replay;
    struct wal_reader *reader;
    const struct inventory_options sizes = few(2);
    small_log_make(&log);
    assert_int_equal(history_replay_begin(&replay, log.storage, 0, &sizes), HF_OK);
    assert_int_equal(wal_reader_open(&reader, log.storage), HF_OK);
    assert_int_equal(replay_blocks(&replay, reader, 0), HF_FULL);
    assert_int_equal(replay.blocks, 4); /* order 3 is in block 4 */
    wal_reader_close(reader);
    history_replay_end(&replay);
    small_log_free(&log);
}

/* Part of a block has been applied: it is not applied again, and the rest is. */
static void replay_skips_records_that_were_applied(void **state)
{
    (void)state;
    struct small_log log;
    struct history_replay replay;
    struct wal_reader *reader;
    struct wal_block block;
    struct event event;
    const char *reason;
    const struct inventory_options sizes = few(64);
    small_log_make(&log);
    assert_int_equal(history_replay_begin(&replay, log.storage, 0, &sizes), HF_OK);
    assert_int_equal(wal_reader_open(&reader, log.storage), HF_OK);
    assert_int_equal(replay_blocks(&replay, reader, 3), HF_OK);
    assert_int_equal(wal_reader_next(reader, &block), HF_OK);
    assert_int_equal(block.header.index, 3);
    struct history_records records = {.block = &block};
    assert_true(history_records_next(&records, &event, &reason));
    assert_int_equal(inventory_apply(replay.inventory, &event), HF_OK);
    replay.lsn = event.lsn;
    replay.digest += event.digest_delta;
    assert_int_equal(history_replay_block(&replay, &block), HF_OK);
    assert_int_equal(history_replay_block(&replay, &block), HF_OK); /* nor all of it */
    assert_int_equal(replay_blocks(&replay, reader, 0), HF_OK);
    assert_int_equal(replay.digests, 1);
    assert_int_equal(replay.digest, log.digest);
    assert_int_equal(inventory_digest(replay.inventory), log.digest);
    wal_reader_close(reader);
    history_replay_end(&replay);
    small_log_free(&log);
}

/* ---- Repair ---- */

static enum hf_status repair(struct storage *from, struct storage *to, bool skip,
                             struct history_repair_report *report)
{
    struct history_findings findings;
    check(from, true, &findings);
    const struct history_repair_options options = {.from = from, .to = to, .skip = skip};
    enum hf_status status = history_repair(&options, &findings, report);
    history_findings_free(&findings);
    return status;
}

/* Block 3, with orders 1 and 2, is damaged. */
static void damage(struct small_log *log)
{
    small_block_at(log->storage, 3)[BLOCK_HEADER_BYTES + 40] ^= 1;
}

/* Repairs what is behind block 3: orders 3 and 4 are kept; what was done with orders 1 and 2 is
 * lost. `fewer`: blocks that must not be kept besides; `lost`: records that are lost. */
static void check_salvage(struct small_log *log, uint64_t unreadable, uint64_t kept, uint64_t lost,
                          uint64_t term)
{
    struct storage *to = sim_storage_make(2);
    struct history_repair_report report;
    struct history_findings findings;
    assert_int_equal(repair(log->storage, to, true, &report), HF_OK);
    assert_true(report.possible);
    assert_int_equal(report.blocks_unreadable, unreadable);
    assert_int_equal(report.records_kept, kept);
    assert_int_equal(report.records_lost, lost);
    check(to, true, &findings);
    assert_true(history_findings_whole(&findings));
    assert_int_equal(findings.end.term, term);
    assert_int_equal(findings.records, 2 + kept);
    history_findings_free(&findings);
    storage_destroy(to);
}

static void repair_keeps_the_term_of_what_it_keeps(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    for (uint64_t index = SMALL_PAGES; index <= SMALL_BLOCKS; index++) {
        CHANGE_BLOCK(log.storage, index, header.term = 2);
    }
    reseal(log.storage, SMALL_PAGES);
    check_is_whole(log.storage);
    damage(&log);
    check_salvage(&log, 1, 4, 2, 2);
    small_log_free(&log);
}

/* The buyer of order 5, in block 8: a record that could be, and is not what was written. */
static void repair_leaves_out_each_block_that_is_damaged(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    damage(&log);
    small_block_at(log.storage, 8)[BLOCK_HEADER_BYTES + 24 + 32] ^= 1;
    check_salvage(&log, 2, 2, 2, 1);
    small_log_free(&log);
}

static void repair_leaves_out_blocks_of_another_log(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    damage(&log);
    CHANGE_BLOCK(log.storage, 8, header.cluster.lo++);
    check_salvage(&log, 2, 2, 2, 1);
    small_log_free(&log);
}

/* A copy of the lost block stands where the file's earlier life would: behind the last block. */
static void repair_leaves_out_blocks_of_an_earlier_life(void **state)
{
    (void)state;
    struct small_log log;
    struct block_header header;
    const char *reason;
    small_log_make(&log);
    uint8_t *old = small_file(log.storage, 2) + 5 * WAL_PAGE_BYTES;
    memcpy(old, small_block_at(log.storage, 3), WAL_PAGE_BYTES);
    assert_true(block_header_decode(&header, old, &reason));
    header.segment = 2;
    block_header_encode(&header, old);
    damage(&log);
    check_salvage(&log, 1, 4, 2, 1);
    small_log_free(&log);
}

/* ---- Reads that fail ---- */

/* A storage whose nth read from now fails, or comes back short. */
static struct {
    struct storage_ops ops;
    const struct storage_ops *inner;
    uint64_t reads; /* until then; 0: it has, or never */
    bool shorter;
} failing;

static enum hf_status failing_read(struct storage *storage, storage_file file, void *buffer,
                                   size_t len, uint64_t offset, size_t *got)
{
    bool now = failing.reads > 0 && --failing.reads == 0;
    if (now && !failing.shorter) {
        return HF_IO_ERROR;
    }
    enum hf_status status = failing.inner->read(storage, file, buffer, len, offset, got);
    if (now && *got > 0) {
        (*got)--;
    }
    return status;
}

/* Repairs again and again, each time with a later read that fails: that is said, or it is none that
 * matters, and what comes of it is the same. Returns how many reads there are. */
static uint64_t repair_with_failing_reads(struct storage *from, bool skip, bool shorter)
{
    struct history_findings findings;
    struct history_repair_report sound = {0};
    uint64_t said = 0;
    check(from, true, &findings);
    for (uint64_t nth = 0;; nth++) { /* 0: none fails */
        struct storage *to = sim_storage_make(2);
        struct history_repair_report report;
        const struct history_repair_options options = {.from = from, .to = to, .skip = skip};
        failing.inner = from->ops;
        failing.ops = *from->ops;
        failing.ops.read = failing_read;
        failing.reads = nth;
        failing.shorter = shorter;
        from->ops = &failing.ops;
        enum hf_status status = history_repair(&options, &findings, &report);
        from->ops = failing.inner;
        bool failed = nth > 0 && failing.reads == 0;
        sound = nth == 0 ? report : sound;
        if (status == HF_OK &&
            (report.new_lsn != sound.new_lsn || report.records_kept != sound.records_kept ||
             report.blocks_unreadable != sound.blocks_unreadable)) {
            fail_msg("read %llu failed, and blocks were left out for it without a word",
                     (unsigned long long)nth);
        }
        said += status != HF_OK;
        if (status == HF_OK) {
            struct history_findings made;
            check(to, true, &made);
            assert_true(history_findings_whole(&made));
            history_findings_free(&made);
        }
        storage_destroy(to);
        if (!failed && nth > 0) {
            history_findings_free(&findings);
            return said;
        }
    }
}

static void repair_says_what_it_could_not_read(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    damage(&log);
    assert_true(repair_with_failing_reads(log.storage, true, false) > SMALL_BLOCKS);
    assert_true(repair_with_failing_reads(log.storage, false, false) > SMALL_BLOCKS - 3);
    small_log_free(&log);
    /* Files that are copied whole: a torn tail is all that is cut off. */
    small_log_make(&log);
    small_block_at(log.storage, SMALL_BLOCKS)[5] ^= 1;
    assert_true(repair_with_failing_reads(log.storage, false, true) >= 2);
    small_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_that_counts_other_records_is_told),
        cmocka_unit_test(digest_of_another_place_is_told),
        cmocka_unit_test(checkpoint_is_not_made_of_what_a_digest_denies),
        cmocka_unit_test(checkpoint_is_not_made_of_a_segment_that_ends_early),
        cmocka_unit_test(checkpoint_tells_where_and_when_the_log_goes_on),
        cmocka_unit_test(checkpoint_whose_digest_is_not_its_contents_is_damaged),
        cmocka_unit_test(checkpoint_of_another_state_is_told),
        cmocka_unit_test(state_that_does_not_add_up_is_told),
        cmocka_unit_test(checkpoint_that_is_apart_is_told_though_nothing_needs_it),
        cmocka_unit_test(checkpoint_of_another_log_is_damage),
        cmocka_unit_test(damage_in_a_covered_segment_is_told_with_its_place),
        cmocka_unit_test(covered_segment_whose_head_does_not_fit_is_noticed),
        cmocka_unit_test(covered_segment_that_ends_elsewhere_is_told),
        cmocka_unit_test(gap_in_what_a_checkpoint_covers_keeps_an_engine_from_starting),
        cmocka_unit_test(log_without_its_beginning_is_told),
        cmocka_unit_test(log_of_another_data_directory_is_told),
        cmocka_unit_test(replay_says_when_there_is_no_room),
        cmocka_unit_test(replay_skips_records_that_were_applied),
        cmocka_unit_test(repair_keeps_the_term_of_what_it_keeps),
        cmocka_unit_test(repair_leaves_out_each_block_that_is_damaged),
        cmocka_unit_test(repair_leaves_out_blocks_of_another_log),
        cmocka_unit_test(repair_leaves_out_blocks_of_an_earlier_life),
        cmocka_unit_test(repair_says_what_it_could_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
