/* forgetter_test.c - ended orders are remembered for retain_ended, and not for ever: what is
 * forgotten, when, what stays, and that a small table takes any number of orders. What is done when
 * the log takes nothing.
 *
 * Threads: one. */
#include "base/diag.h"
#include "base/hash.h"
#include "engine_rig.h"
#include "server/engine_internal.h"
#include "server/forgetter.h"
#include "server/worker.h"
#include "wal/marks.h"
#include "wal/wal_private.h"

#define RETAIN_MS       10000u
#define ORDERS_MAX_HERE 4096u

static void open_rig(struct rig *rig, uint64_t units)
{
    rig_open(rig, MIB(4));
    engine_close(rig->engine);
    rig->options.inventory.orders_max = ORDERS_MAX_HERE;
    rig->options.inventory.hold_ms_max = 10 * HOLD_MS;
    rig->options.retain_ended_ms = RETAIN_MS;
    rig_recover(rig);
    define_phone(rig, (int64_t)units);
}

/* ---- Between two steps (CMakeLists.txt) ---- */

static struct wal *failing; /* this log fails when it was decided what goes into it */

enum txn_step __wrap_inventory_forget(struct txn *txn, uint64_t before_lsn,
                                      struct order_cursor *cursor, uint32_t look_max,
                                      uint64_t *hinted);
enum txn_step __real_inventory_forget(struct txn *txn, uint64_t before_lsn,
                                      struct order_cursor *cursor, uint32_t look_max,
                                      uint64_t *hinted);
enum txn_step __wrap_inventory_expire(struct txn *txn);
enum txn_step __real_inventory_expire(struct txn *txn);

static void fail_log(void)
{
    if (failing) {
        wal_fail(failing, "a test");
        failing = NULL;
    }
}

enum txn_step __wrap_inventory_forget(struct txn *txn, uint64_t before_lsn,
                                      struct order_cursor *cursor, uint32_t look_max,
                                      uint64_t *hinted)
{
    enum txn_step step = __real_inventory_forget(txn, before_lsn, cursor, look_max, hinted);
    fail_log();
    return step;
}

enum txn_step __wrap_inventory_expire(struct txn *txn)
{
    enum txn_step step = __real_inventory_expire(txn);
    fail_log();
    return step;
}

#define LOOKS_MAX                                                                                  \
    10000u /* at the clock while it forgets: more are made by going round for ever                 \
            */

static uint64_t forget(struct rig *rig)
{
    rig->looks_left = LOOKS_MAX;
    uint64_t forgotten = engine_forget(rig->engine);
    rig->looks_left = 0;
    return forgotten;
}

/* ---- */

/* Time passes, and the engine reads it. */
static uint64_t pass_ms(struct rig *rig, uint64_t ms)
{
    rig->ms += ms;
    engine_expire(rig->engine);
    uint64_t forgotten = forget(rig);
    rig_settle(rig);
    return forgotten;
}

static struct id128 id_of(uint64_t number)
{
    return (struct id128){hash_u64(number), number};
}

static enum hf_status reserve(struct rig *rig, uint64_t number, uint64_t buyer, uint32_t qty,
                              uint32_t hold_ms)
{
    uint8_t id[ID_BYTES];
    id_to_bytes(id_of(number), id);
    struct line_message line = {.item = 1, .qty = qty};
    struct order_message order = {
        .id = {id, ID_BYTES}, .buyer = buyer, .hold_ms = hold_ms, .line_count = 1, .lines = &line};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    struct ask ask;
    enum hf_status status = ask_wait(rig, &ask, &request)->orders.results[0].status;
    ask_free(&ask);
    return status;
}

static enum hf_status edit(struct rig *rig, enum request_type type, uint64_t number, uint32_t qty)
{
    uint8_t id[ID_BYTES];
    id_to_bytes(id_of(number), id);
    struct line_qty_message line = {1, qty};
    struct edit_message edit = {
        .id = {id, ID_BYTES}, .line_count = qty ? 1 : 0, .lines = qty ? &line : NULL};
    struct request request = {.type = type};
    request.edit.count = 1;
    request.edit.edits = &edit;
    struct ask ask;
    enum hf_status status = ask_wait(rig, &ask, &request)->orders.results[0].status;
    ask_free(&ask);
    return status;
}

static bool is_known(struct rig *rig, uint64_t number)
{
    struct order_view view;
    return inventory_order(engine_inventory(rig->engine), id_of(number), &view, NULL, 0) == HF_OK;
}

static struct stock_view stock_of(struct rig *rig)
{
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig->engine), 1, &view), HF_OK);
    return view.stock;
}

static void ended_orders_go_after_retain_ended_and_not_before(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 100);
    assert_int_equal(reserve(&rig, 1, 0, 1, 1000), HF_OK);
    assert_int_equal(reserve(&rig, 2, 0, 2, 1000), HF_OK);
    assert_int_equal(reserve(&rig, 3, 0, 3, 1000), HF_OK);
    assert_int_equal(reserve(&rig, 4, 0, 4, 1000), HF_OK);
    assert_int_equal(reserve(&rig, 5, 0, 5, 5 * RETAIN_MS), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, 0), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_RELEASE, 2, 0), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 3, 0), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_RETURN, 3, 0), HF_OK);
    pass_ms(&rig, WAL_MARKS_STEP_MS);
    pass_ms(&rig, 1000 - WAL_MARKS_STEP_MS); /* order 4 expires */
    assert_int_equal(pass_ms(&rig, RETAIN_MS + WAL_MARKS_STEP_MS - 1001), 0);
    for (uint64_t number = 1; number <= 5; number++) {
        assert_true(is_known(&rig, number));
    }
    assert_int_equal(pass_ms(&rig, 1), 3); /* 1 to 3 ended at 0, up to the first mark */
    assert_false(is_known(&rig, 1) || is_known(&rig, 2) || is_known(&rig, 3));
    assert_int_equal(pass_ms(&rig, 999 - WAL_MARKS_STEP_MS), 0);
    assert_true(is_known(&rig, 4));
    assert_int_equal(pass_ms(&rig, 1), 1);
    assert_false(is_known(&rig, 4));
    /* What is held is not forgotten, however old it is. */
    assert_int_equal(pass_ms(&rig, 3 * RETAIN_MS), 0);
    assert_true(is_known(&rig, 5));
    assert_int_equal(stock_of(&rig).sold, 1);
    assert_int_equal(stock_of(&rig).held, 5);
    rig_verify(&rig);
    rig_close(&rig);
}

/* The time counts from the last change, which may be long after the order was made. */
static void return_begins_the_time_anew(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 100);
    assert_int_equal(reserve(&rig, 1, 0, 3, 1000), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, 0), HF_OK);
    pass_ms(&rig, WAL_MARKS_STEP_MS);
    pass_ms(&rig, RETAIN_MS - WAL_MARKS_STEP_MS - 1);
    assert_int_equal(edit(&rig, REQUEST_RETURN, 1, 1), HF_OK);
    assert_int_equal(pass_ms(&rig, WAL_MARKS_STEP_MS), 0);
    assert_int_equal(pass_ms(&rig, RETAIN_MS - 1), 0);
    assert_int_equal(pass_ms(&rig, 1), 1);
    assert_int_equal(stock_of(&rig).sold, 2);
    assert_int_equal(stock_of(&rig).available, 98);
    rig_verify(&rig);
    rig_close(&rig);
}

static void set_limit(struct rig *rig, uint32_t limit)
{
    struct sku_message rule = {.sku = bytes_of("phone"), .limit_per_buyer = limit};
    struct request request = {.type = REQUEST_DEFINE};
    request.define.sku_count = 1;
    request.define.skus = &rule;
    struct ask ask;
    assert_int_equal(ask_wait(rig, &ask, &request)->status, HF_OK);
    ask_free(&ask);
}

static void forgotten_orders_leave_totals_and_limits_and_free_their_ids(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 10);
    set_limit(&rig, 3);
    assert_int_equal(reserve(&rig, 1, 7, 2, 1000), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, 0), HF_OK);
    assert_int_equal(reserve(&rig, 2, 8, 2, 1000), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_RELEASE, 2, 0), HF_OK);
    assert_int_equal(reserve(&rig, 1, 7, 1, 1000), HF_ID_CONFLICT);
    assert_int_equal(pass_ms(&rig, WAL_MARKS_STEP_MS), 0);
    assert_int_equal(pass_ms(&rig, RETAIN_MS), 2);
    for (unsigned crash = 0; crash < 2; crash++) {
        assert_false(is_known(&rig, 1) || is_known(&rig, 2));
        assert_int_equal(stock_of(&rig).sold, 2);
        assert_int_equal(stock_of(&rig).available, 8);
        assert_int_equal(inventory_buyer_units(engine_inventory(rig.engine), bytes_of("phone"), 7),
                         2);
        assert_int_equal(inventory_buyer_units(engine_inventory(rig.engine), bytes_of("phone"), 8),
                         0);
        assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, 0), HF_NOT_FOUND);
        assert_int_equal(edit(&rig, REQUEST_RETURN, 1, 0), HF_NOT_FOUND);
        rig_crash(&rig); /* replay forgets the same */
    }
    assert_int_equal(reserve(&rig, 1, 7, 2, 1000), HF_LIMIT_EXCEEDED);
    assert_int_equal(reserve(&rig, 1, 7, 1, 1000), HF_OK);
    assert_int_equal(reserve(&rig, 2, 7, 1, 1000), HF_LIMIT_EXCEEDED);
    assert_int_equal(reserve(&rig, 2, 8, 3, 1000), HF_OK);
    assert_int_equal(stock_of(&rig).available, 4);
    rig_crash(&rig);
    assert_int_equal(stock_of(&rig).available, 4);
    rig_close(&rig);
}

static void nothing_is_forgotten_when_retain_ended_is_zero(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 10);
    engine_close(rig.engine);
    rig.options.retain_ended_ms = 0;
    rig_recover(&rig);
    assert_int_equal(reserve(&rig, 1, 0, 1, 1000), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_RELEASE, 1, 0), HF_OK);
    assert_int_equal(pass_ms(&rig, 100000000), 0);
    assert_true(is_known(&rig, 1));
    rig_close(&rig);
}

/* Not even the forgetter's own times move, before there is anything to forget. */
static void no_pass_begins_when_retain_ended_is_zero(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    assert_int_equal(rig.options.retain_ended_ms, 0);
    assert_int_equal(forgetter_step(&rig.engine->housekeeper.forgetter), 0);
    assert_int_equal(rig.engine->housekeeper.forgetter.next_pass_ms, 0);
    rig_close(&rig);
}

/* There is no time so long ago. */
static void nothing_is_forgotten_when_retain_ended_is_longer_than_time(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 10);
    engine_close(rig.engine);
    rig.options.retain_ended_ms = UINT64_MAX;
    rig_recover(&rig);
    assert_int_equal(reserve(&rig, 1, 0, 1, 1000), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_RELEASE, 1, 0), HF_OK);
    pass_ms(&rig, WAL_MARKS_STEP_MS);
    assert_int_equal(pass_ms(&rig, 100000000), 0);
    assert_true(is_known(&rig, 1));
    rig_close(&rig);
}

/* ---- A log that takes nothing ---- */

static void end_an_order(struct rig *rig)
{
    assert_int_equal(reserve(rig, 1, 0, 1, 1000), HF_OK);
    assert_int_equal(edit(rig, REQUEST_RELEASE, 1, 0), HF_OK);
    pass_ms(rig, WAL_MARKS_STEP_MS);
}

static void full_disk_keeps_orders_known_until_there_is_room(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 10);
    end_an_order(&rig);
    sim_storage_set_capacity(rig.storage, sim_storage_used(rig.storage));
    for (int i = 0; i < 100 && wal_admit(engine_wal(rig.engine)) == HF_OK; i++) {
        write_log(&rig);
    }
    assert_int_not_equal(wal_admit(engine_wal(rig.engine)), HF_OK);
    uint64_t lsn = wal_tail_lsn(engine_wal(rig.engine));
    assert_int_equal(pass_ms(&rig, RETAIN_MS + WAL_MARKS_STEP_MS), 0);
    assert_int_equal(wal_tail_lsn(engine_wal(rig.engine)), lsn);
    assert_true(is_known(&rig, 1));
    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    assert_true(wal_prepare_step(engine_wal(rig.engine)));
    assert_int_equal(wal_admit(engine_wal(rig.engine)), HF_OK);
    assert_int_equal(pass_ms(&rig, 1), 1);
    assert_false(is_known(&rig, 1));
    rig_verify(&rig);
    rig_close(&rig);
}

static void order_is_counted_as_forgotten_once_that_is_in_the_log(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 10);
    end_an_order(&rig);
    rig.ms += RETAIN_MS;
    engine_expire(rig.engine); /* its deadline goes by */
    failing = engine_wal(rig.engine);
    assert_int_equal(forget(&rig), 0);
    assert_null(failing);
    assert_int_equal(rig.engine->housekeeper.forgetter.forgotten, 0);
    rig_close(&rig);
}

static void order_is_counted_as_expired_once_that_is_in_the_log(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 10);
    assert_int_equal(reserve(&rig, 1, 0, 1, 1000), HF_OK);
    rig.ms += 1000;
    failing = engine_wal(rig.engine);
    assert_int_equal(engine_expire(rig.engine), 0);
    assert_null(failing);
    assert_int_equal(atomic_load(&rig.engine->housekeeper.expired), 0);
    rig_close(&rig);
}

static struct wal *written; /* into this log, when somebody reads the clock */

static uint64_t write_and_tell_time(void *context)
{
    static const uint8_t record[48];
    struct wal *wal = written;
    written = NULL;
    uint64_t lsn;
    if (wal) {
        assert_int_equal(wal_append(wal, record, sizeof record, 1, 0, &lsn), HF_OK);
    }
    return rig_boottime_ns(context);
}

/* Else an order that ended in between would be forgotten too early. */
static void record_is_not_taken_for_older_than_it_is(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 10);
    rig.clock.boottime_ns = write_and_tell_time;
    rig.ms += WAL_MARKS_STEP_MS;
    uint64_t lsn = wal_tail_lsn(engine_wal(rig.engine));
    written = engine_wal(rig.engine);
    assert_int_equal(forgetter_step(&rig.engine->housekeeper.forgetter), 0);
    assert_null(written);
    assert_true(wal_tail_lsn(engine_wal(rig.engine)) > lsn);
    assert_int_equal(wal_marks_lsn(&rig.engine->housekeeper.forgetter.marks, UINT64_MAX), lsn);
    rig_close(&rig);
}

/* ---- Many ---- */

enum { ROUND = ORDERS_MAX_HERE / 2 };

static uint32_t batch(struct rig *rig, enum request_type type, uint64_t first, uint32_t hold_ms)
{
    static uint64_t hi[ROUND];
    static uint64_t lo[ROUND];
    static uint32_t items[ROUND];
    for (uint32_t i = 0; i < ROUND; i++) {
        struct id128 id = id_of(first + i);
        hi[i] = id.hi;
        lo[i] = id.lo;
        items[i] = 1;
    }
    struct request request = {.type = type};
    request.batch = (struct batch_message){
        .id_hi_count = ROUND, .id_hi = hi, .id_lo_count = ROUND, .id_lo = lo};
    if (type == REQUEST_RESERVE_BATCH) {
        request.batch.item_count = ROUND;
        request.batch.item = items;
        request.batch.hold_ms = hold_ms;
    }
    struct ask ask;
    uint32_t ok = ask_wait(rig, &ask, &request)->batch.ok_count;
    ask_free(&ask);
    return ok;
}

/* Rounds of orders that fill half of the table each, ended at once, held for hold_ms if they were
 * not; some stay held. The deadlines of those that ended stand in the way of forgetting until their
 * time comes or they are swept out. */
static void run_rounds(uint32_t hold_ms)
{
    enum { ROUNDS = 40 };
    struct rig rig;
    open_rig(&rig, 1000000);
    uint64_t held = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t first = 1 + round * (ROUND + 1);
        assert_int_equal(batch(&rig, REQUEST_RESERVE_BATCH, first, hold_ms), ROUND);
        assert_int_equal(
            batch(&rig, round % 2 ? REQUEST_COMMIT_BATCH : REQUEST_RELEASE_BATCH, first, 0), ROUND);
        if (round % 4 == 0) { /* the one order between two rounds */
            assert_int_equal(reserve(&rig, first + ROUND, 0, 1, 10 * HOLD_MS), HF_OK);
            held++;
        }
        pass_ms(&rig, WAL_MARKS_STEP_MS);
        pass_ms(&rig, RETAIN_MS);
        struct inventory_counts counts;
        inventory_counts(engine_inventory(rig.engine), &counts);
        assert_int_equal(counts.orders_known, held);
        assert_true(counts.deadlines <= held + ORDERS_MAX_HERE / 8);
        if (round % 16 == 7) {
            rig_crash(&rig);
        }
    }
    assert_int_equal(stock_of(&rig).sold, ROUNDS / 2 * ROUND);
    assert_int_equal(stock_of(&rig).held, held);
    rig_verify(&rig);
    /* Those that were held all the time end as any. */
    pass_ms(&rig, 10 * HOLD_MS);
    pass_ms(&rig, RETAIN_MS);
    struct inventory_counts counts;
    inventory_counts(engine_inventory(rig.engine), &counts);
    assert_int_equal(counts.orders_known, 0);
    assert_int_equal(stock_of(&rig).held, 0);
    rig_crash(&rig);
    rig_close(&rig);
}

static void small_table_takes_any_number_of_orders(void **state)
{
    (void)state;
    run_rounds(RETAIN_MS / 2);
}

static void deadlines_of_ended_orders_are_swept_out_when_holds_are_long(void **state)
{
    (void)state;
    run_rounds(8 * HOLD_MS);
}

/* However many are due, each millisecond forgets its share: deadlines, and those who ask, would
 * wait for a step that forgets them all. */
static void forgetting_goes_in_even_steps(void **state)
{
    (void)state;
    enum { A_MS = 1024 }; /* LOOKS_A_MS */
    struct rig rig;
    open_rig(&rig, 1000000);
    assert_int_equal(batch(&rig, REQUEST_RESERVE_BATCH, 1, RETAIN_MS / 2), ROUND);
    assert_int_equal(batch(&rig, REQUEST_RELEASE_BATCH, 1, 0), ROUND);
    pass_ms(&rig, WAL_MARKS_STEP_MS);
    rig.ms += RETAIN_MS;
    engine_expire(rig.engine);
    assert_int_equal(forgetter_step(&rig.engine->housekeeper.forgetter), 0); /* a pass begins */
    uint64_t forgotten = 0;
    for (int steps = 0; forgotten < ROUND; steps++) {
        assert_true(steps < 100); /* places without an order count as well */
        rig.ms++;
        uint64_t count = forgetter_step(&rig.engine->housekeeper.forgetter);
        assert_true(count <= A_MS);
        forgotten += count;
        rig_settle(&rig);
    }
    assert_int_equal(forgotten, ROUND);
    rig_verify(&rig);
    rig_close(&rig);
}

/* A sweep in the middle of holds: each still expires at its own time. */
static void sweep_leaves_deadlines_of_held_orders_as_they_are(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 1000000);
    enum { HELD = 64 };
    for (uint64_t number = 1; number <= HELD; number++) {
        assert_int_equal(reserve(&rig, number, 0, 1, (uint32_t)(3 * RETAIN_MS + 977 * number)),
                         HF_OK);
    }
    uint64_t from = rig.ms;
    assert_int_equal(batch(&rig, REQUEST_RESERVE_BATCH, 1000, 8 * HOLD_MS), ROUND);
    assert_int_equal(batch(&rig, REQUEST_RELEASE_BATCH, 1000, 0), ROUND);
    pass_ms(&rig, WAL_MARKS_STEP_MS);
    pass_ms(&rig, RETAIN_MS);
    assert_false(is_known(&rig, 1000));
    for (uint64_t number = 1; number <= HELD; number++) {
        uint64_t deadline = from + 3 * RETAIN_MS + 977 * number;
        pass_ms(&rig, deadline - 1 - rig.ms);
        struct order_view view;
        assert_int_equal(
            inventory_order(engine_inventory(rig.engine), id_of(number), &view, NULL, 0), HF_OK);
        assert_int_equal(view.state, ORDER_HELD);
        pass_ms(&rig, 1);
        assert_int_equal(
            inventory_order(engine_inventory(rig.engine), id_of(number), &view, NULL, 0), HF_OK);
        assert_int_equal(view.state, ORDER_EXPIRED);
    }
    rig_verify(&rig);
    rig_close(&rig);
}

#define TEST(name) cmocka_unit_test(name)

#define WALL_OFF_MS 3600000

static uint64_t wall_off_unix_ns(void *context)
{
    return (START_MS + ((struct rig *)context)->ms + WALL_OFF_MS) * 1000000u;
}

/* Fills the log's first segment, at one moment. */
static void seal_segment(struct rig *rig)
{
    while (wal_sealed_segment(engine_wal(rig->engine)) == 0) {
        write_log(rig);
    }
}

/* What a checkpoint says of times is engine time, too, however far wall time is from it. */
static void checkpoint_keeps_how_long_ago_orders_ended(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 100);
    rig.clock.unix_ns = wall_off_unix_ns;
    rig.options.trust_clock = true;
    rig_crash(&rig);
    assert_int_equal(reserve(&rig, 1, 0, 1, 1000), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, 0), HF_OK);
    rig.ms += WAL_MARKS_STEP_MS;
    seal_segment(&rig);
    assert_int_equal(engine_checkpoint(rig.engine), HF_OK);
    rig_crash(&rig);
    assert_int_equal(pass_ms(&rig, RETAIN_MS - WAL_MARKS_STEP_MS - 1), 0);
    assert_true(is_known(&rig, 1));
    assert_int_equal(pass_ms(&rig, 2 * WAL_MARKS_STEP_MS + 1), 1);
    assert_false(is_known(&rig, 1));
    rig_verify(&rig);
    rig_close(&rig);
}

/* The log's own times show how long ago an order ended, before the engine has run for long again.
 */
static void log_tells_a_new_start_how_long_ago_orders_ended(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 100);
    assert_int_equal(reserve(&rig, 1, 0, 1, 1000), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, 0), HF_OK);
    rig.ms += WAL_MARKS_STEP_MS;
    assert_int_equal(reserve(&rig, 2, 0, 1, 10 * HOLD_MS), HF_OK); /* a mark after order 1 */
    rig_crash(&rig);
    assert_int_equal(pass_ms(&rig, RETAIN_MS + WAL_MARKS_STEP_MS), 1);
    assert_false(is_known(&rig, 1));
    assert_true(is_known(&rig, 2));
    rig_close(&rig);
}

/* So do a checkpoint's, of what it covers: all that the log after it has is younger. */
static void checkpoint_tells_a_new_start_how_long_ago_orders_ended(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig, 100);
    assert_int_equal(reserve(&rig, 1, 0, 1, 1000), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, 0), HF_OK);
    rig.ms += WAL_MARKS_STEP_MS;
    assert_int_equal(reserve(&rig, 2, 0, 1, 10 * HOLD_MS), HF_OK); /* a mark after order 1 */
    rig.ms += RETAIN_MS + WAL_MARKS_STEP_MS;
    seal_segment(&rig);
    assert_int_equal(engine_checkpoint(rig.engine), HF_OK);
    rig_crash(&rig);
    assert_int_equal(pass_ms(&rig, 0), 1);
    assert_false(is_known(&rig, 1));
    assert_true(is_known(&rig, 2));
    rig_verify(&rig);
    rig_close(&rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(ended_orders_go_after_retain_ended_and_not_before),
        TEST(return_begins_the_time_anew),
        TEST(forgotten_orders_leave_totals_and_limits_and_free_their_ids),
        TEST(no_pass_begins_when_retain_ended_is_zero),
        TEST(nothing_is_forgotten_when_retain_ended_is_zero),
        TEST(nothing_is_forgotten_when_retain_ended_is_longer_than_time),
        TEST(full_disk_keeps_orders_known_until_there_is_room),
        TEST(order_is_counted_as_forgotten_once_that_is_in_the_log),
        TEST(order_is_counted_as_expired_once_that_is_in_the_log),
        TEST(record_is_not_taken_for_older_than_it_is),
        TEST(small_table_takes_any_number_of_orders),
        TEST(deadlines_of_ended_orders_are_swept_out_when_holds_are_long),
        TEST(forgetting_goes_in_even_steps),
        TEST(sweep_leaves_deadlines_of_held_orders_as_they_are),
        TEST(checkpoint_keeps_how_long_ago_orders_ended),
        TEST(log_tells_a_new_start_how_long_ago_orders_ended),
        TEST(checkpoint_tells_a_new_start_how_long_ago_orders_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
