/* replayer_test.c - the start's replay of a log whose checksums are right: what it comes to, and
 * what it must notice; by one thread and by several alike.
 *
 * Threads: one that reads, and those that the replayer starts. */
#include "unit/wal/small_log.h"

#include "server/replayer.h"

#define THREADS 4u

/* Four shards of the order table, so that each thread has orders of its own. */
static struct inventory *make_inventory(uint64_t orders_max)
{
    const struct inventory_options sizes = {
        .items_max = 8, .orders_max = orders_max, .hold_ms_default = 1000, .hold_ms_max = 900000};
    struct inventory *inventory;
    assert_int_equal(inventory_init(&inventory, &sizes), HF_OK);
    return inventory;
}

struct outcome {
    struct inventory *inventory;
    enum hf_status status;
    struct replayer_fault fault;
    uint64_t digest;
    uint64_t digests;
};

static void replay(struct storage *storage, unsigned threads, uint64_t orders_max,
                   struct outcome *outcome)
{
    struct replayer *replayer;
    struct wal_reader *reader;
    struct wal_block block;
    *outcome = (struct outcome){.inventory = make_inventory(orders_max)};
    assert_int_equal(replayer_start(&replayer, outcome->inventory, threads, 0), HF_OK);
    assert_int_equal(wal_reader_open(&reader, storage), HF_OK);
    while (outcome->status == HF_OK && wal_reader_next(reader, &block) == HF_OK) {
        outcome->status = replayer_block(replayer, &block);
    }
    if (outcome->status == HF_OK) {
        outcome->status = replayer_finish(replayer, &outcome->digest);
    }
    if (outcome->status == HF_DAMAGED) {
        outcome->fault = *replayer_fault(replayer);
    }
    outcome->digests = replayer_digests(replayer);
    wal_reader_close(reader);
    replayer_stop(replayer);
}

/* Each number of threads, one after the other. */
#define BY_ANY_THREADS(storage, what)                                                              \
    for (unsigned threads = 1; threads <= THREADS; threads *= 2) {                                 \
        struct outcome outcome;                                                                    \
        replay(storage, threads, 65536, &outcome);                                                 \
        what;                                                                                      \
        inventory_deinit(outcome.inventory);                                                       \
    }

static struct order_view order_of(struct inventory *inventory, uint64_t order)
{
    struct order_view view;
    struct id128 id = {1, order};
    assert_int_equal(inventory_order(inventory, id, &view, NULL, 0), HF_OK);
    return view;
}

/* A record of an order that there is not. */
static void add_misfit(struct small_log *log, uint64_t order)
{
    struct event event = small_edit(EVENT_ORDER_EXPIRED, order);
    log->bytes += record_encode(&event, log->payload + log->bytes);
    log->records++;
}

static void replay_leads_to_what_the_log_says(void **state)
{
    (void)state;
    struct small_log log;
    char what[256];
    small_log_make(&log);
    BY_ANY_THREADS(log.storage, {
        assert_int_equal(outcome.status, HF_OK);
        assert_int_equal(outcome.digest, log.digest);
        assert_int_equal(outcome.digests, 1);
        assert_int_equal(inventory_digest(outcome.inventory), log.digest);
        assert_true(inventory_verify(outcome.inventory, what, sizeof what));
        /* Where each order was changed last: its record's end. Definition and adjustment are 40 and
         * 56 bytes, a reserve is 48, what changes one is 24. */
        uint64_t begin = order_of(outcome.inventory, 3).lsn - 2 * 48 - 24 - 48;
        assert_int_equal(order_of(outcome.inventory, 1).lsn, begin + 2 * 48 + 24);
        assert_int_equal(order_of(outcome.inventory, 3).lsn, begin + 2 * 48 + 24 + 48);
        assert_int_equal(order_of(outcome.inventory, 2).lsn, begin + 4 * 48 + 24 + 24);
        assert_int_equal(order_of(outcome.inventory, 4).lsn, begin + 4 * 48 + 2 * 24 + 16 + 24);
        assert_int_equal(order_of(outcome.inventory, 5).lsn, log.lsn);
        assert_int_equal(order_of(outcome.inventory, 1).state, ORDER_COMMITTED);
        assert_int_equal(order_of(outcome.inventory, 2).state, ORDER_RELEASED);
        assert_int_equal(order_of(outcome.inventory, 5).state, ORDER_HELD);
    });
    small_log_free(&log);
}

static void block_that_counts_other_records_is_told(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct small_log log;
        small_log_make(&log);
        small_event(&log, small_held(6, 1));
        small_event(&log, small_held(7, 1));
        log.records += more ? 1u : UINT32_MAX;
        small_block(&log, BLOCK_DATA);
        BY_ANY_THREADS(log.storage, {
            assert_int_equal(outcome.status, HF_DAMAGED);
            assert_string_equal(outcome.fault.reason, "the block's record count is wrong");
            assert_string_equal(outcome.fault.file, "wal-0000000000000002.seg");
            assert_int_equal(outcome.fault.offset, 5 * WAL_PAGE_BYTES);
        });
        small_log_free(&log);
    }
}

static void digest_that_does_not_fit_is_told(void **state)
{
    (void)state;
    for (int of_place = 0; of_place < 2; of_place++) {
        struct small_log log;
        small_log_make(&log);
        log.lsn += of_place ? 8 : 0; /* as the block has it */
        log.digest += of_place ? 0 : 1;
        small_block(&log, BLOCK_DIGEST);
        uint8_t *at = small_file(log.storage, 2) + 5 * WAL_PAGE_BYTES;
        if (of_place) { /* the block itself stands where it should */
            struct block_header header;
            const char *reason;
            assert_true(block_header_decode(&header, at, &reason));
            header.first_lsn -= 8;
            block_header_encode(&header, at);
        }
        BY_ANY_THREADS(log.storage, {
            assert_int_equal(outcome.status, HF_DAMAGED);
            assert_int_equal(outcome.fault.offset, 5 * WAL_PAGE_BYTES);
            assert_non_null(strstr(outcome.fault.reason, of_place ? "the LSN of another place"
                                                                  : "differs from the digest"));
        });
        small_log_free(&log);
    }
}

/* Of several records that don't fit, whosever they are, the first in the log is reported. */
static void first_of_many_misfits_is_told(void **state)
{
    (void)state;
    for (uint64_t first = 0; first < 16; first++) {
        struct small_log log;
        small_log_make(&log);
        for (uint64_t i = 0; i < 16; i++) {
            add_misfit(&log, 1000 + (first + i) % 16);
        }
        small_block(&log, BLOCK_DATA);
        BY_ANY_THREADS(log.storage, {
            assert_int_equal(outcome.status, HF_DAMAGED);
            if (outcome.fault.offset != 5 * WAL_PAGE_BYTES + BLOCK_HEADER_BYTES) {
                fail_msg("%u threads, order %llu first: told at %llu", threads,
                         (unsigned long long)(1000 + first),
                         (unsigned long long)outcome.fault.offset);
            }
        });
        small_log_free(&log);
    }
}

/* Records of two files that follow one another: the fault is reported in the file where it is. */
static void misfit_is_told_in_its_own_file(void **state)
{
    (void)state;
    struct small_log log;
    small_log_make(&log);
    small_event(&log, small_held(6, 1));
    small_event(&log, small_held(7, 1));
    small_block(&log, BLOCK_DATA);
    small_segment(&log);
    add_misfit(&log, 1000);
    small_block(&log, BLOCK_DATA);
    BY_ANY_THREADS(log.storage, {
        assert_int_equal(outcome.status, HF_DAMAGED);
        assert_string_equal(outcome.fault.file, "wal-0000000000000003.seg");
        assert_int_equal(outcome.fault.offset, WAL_PAGE_BYTES + BLOCK_HEADER_BYTES);
    });
    small_log_free(&log);
}

/* The reader refuses them; so does who applies what is read. */
static void block_of_an_unknown_type_is_told(void **state)
{
    (void)state;
    static const enum block_type types[] = {BLOCK_CONFIG, BLOCK_FREEZE, BLOCK_ADOPT, BLOCK_DROP};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct replayer *replayer;
        struct inventory *inventory = make_inventory(64);
        const struct wal_block block = {
            .header = {.type = types[i]}, .file = "wal-0000000000000001.seg", .file_offset = 4096};
        uint64_t digest;
        assert_int_equal(replayer_start(&replayer, inventory, 1, 0), HF_OK);
        assert_int_equal(replayer_block(replayer, &block), HF_DAMAGED);
        assert_int_equal(replayer_fault(replayer)->offset, 4096);
        assert_int_equal(replayer_finish(replayer, &digest), HF_DAMAGED);
        replayer_stop(replayer);
        inventory_deinit(inventory);
    }
}

static void replay_says_when_there_is_no_room(void **state)
{
    (void)state;
    struct small_log log;
    struct outcome outcome;
    small_log_make(&log);
    replay(log.storage, 1, 4, &outcome); /* and order 5 is one more */
    assert_int_equal(outcome.status, HF_FULL);
    inventory_deinit(outcome.inventory);
    small_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_leads_to_what_the_log_says),
        cmocka_unit_test(block_that_counts_other_records_is_told),
        cmocka_unit_test(digest_that_does_not_fit_is_told),
        cmocka_unit_test(first_of_many_misfits_is_told),
        cmocka_unit_test(misfit_is_told_in_its_own_file),
        cmocka_unit_test(block_of_an_unknown_type_is_told),
        cmocka_unit_test(replay_says_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
