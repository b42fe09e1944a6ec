/* wal_start_test.c - what the engine's start makes of a log that is torn or damaged: it refuses, or
 * drops only what was never acknowledged. The same logs as in unit/history/repair_test.c. */
#include "lib/sim_clock.h"
#include "server/engine.h"
#include "unit/wal/small_log.h"

static uint64_t start_unix_ns(void *context)
{
    (void)context;
    return (SMALL_MS + 60000) * 1000000u;
}

static uint64_t start_monotonic_ns(void *context)
{
    (void)context;
    return 1000000000u;
}

/* Starts an engine on a copy of the log. */
static enum hf_status start(struct storage *log, struct engine_recovery *recovery)
{
    static const struct clock clock = {NULL, start_unix_ns, start_monotonic_ns, start_monotonic_ns,
                                       sim_boot};
    const struct engine_options options = {
        .inventory = {.items_max = 8,
                      .orders_max = 64,
                      .hold_ms_default = 1000,
                      .hold_ms_max = 900000},
        .wal = {.segment_bytes = WAL_SEGMENT_BYTES_MIN, .spare_segments = 1, .in_flight_max = 1}};
    struct storage *storage = sim_storage_copy(log, 7);
    struct engine *engine = NULL;
    enum hf_status status = engine_open(&engine, &options, storage, &clock, recovery);
    if (status == HF_OK) {
        char what[128];
        assert_true(inventory_verify(engine_inventory(engine), what, sizeof what));
        assert_true(engine_digest(engine) == inventory_digest(engine_inventory(engine)));
        engine_close(engine);
    }
    storage_destroy(storage);
    return status;
}

static void start_refuses_damage_and_drops_only_the_last_block(void **unused)
{
    (void)unused;
    struct small_log log;
    struct engine_recovery recovery;
    small_log_make(&log);
    static const unsigned places[] = {0, 13, 50, 90, 97, 121, BLOCK_HEADER_BYTES + 3, 4095};
    for (uint64_t index = 1; index <= SMALL_BLOCKS; index++) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            uint8_t *byte = small_block_at(log.storage, index) + places[i];
            *byte ^= 4;
            enum hf_status status = start(log.storage, &recovery);
            if (index < SMALL_BLOCKS) {
                assert_int_equal(status, HF_DAMAGED);
                assert_non_null(strstr(recovery.message, "wal-"));
            } else if (status == HF_OK) {
                assert_int_equal(recovery.records, SMALL_RECORDS);
                assert_int_equal(recovery.blocks, SMALL_BLOCKS - 1);
            }
            *byte ^= 4;
        }
    }
    small_log_free(&log);
}

static void start_drops_only_what_a_cut_write_left(void **unused)
{
    (void)unused;
    struct small_log log;
    struct engine_recovery recovery;
    small_log_make(&log);
    for (uint64_t index = SMALL_BLOCKS; index > SMALL_PAGES; index--) {
        uint8_t *block = small_block_at(log.storage, index);
        uint64_t records = index > 8 ? SMALL_RECORDS : index > 7 ? SMALL_RECORDS - 2 : 8;
        for (unsigned at = 256; at-- > 0;) {
            block[at] = 0;
            if (at % 32 != 0 && at != BLOCK_HEADER_BYTES - 1) {
                continue;
            }
            assert_int_equal(start(log.storage, &recovery), HF_OK);
            bool whole = at >= BLOCK_HEADER_BYTES && recovery.blocks == index;
            assert_int_equal(recovery.blocks, whole ? index : index - 1);
            assert_true(whole || recovery.records == records);
        }
        memset(block, 0, WAL_PAGE_BYTES);
    }
    small_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_refuses_damage_and_drops_only_the_last_block),
        cmocka_unit_test(start_drops_only_what_a_cut_write_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
