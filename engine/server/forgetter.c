/* forgetter.c - forgets orders that ended long ago.
 *
 * Threads: the housekeeper's, with its worker. */
#include "server/forgetter.h"

#define LOOK_MAX        1024u /* orders of one transaction: some 200 us when all of them go */
#define PASSES_A_RETAIN 16u   /* how often a pass begins, if the one before is over */
#define PASS_MS_MIN     100u
#define LOOKS_A_MS      1024u /* orders, at least */
#define LOOKS_A_STEP    8192u /* at most, or twice what a millisecond wants: see looks_due */
#define PASS_PART       4u    /* of retain_ended: what a pass takes at most */
#define HINTED_MIN      4096u /* orders that only their hint keeps, and that are worth a sweep */

void forgetter_init(struct forgetter *forgetter, struct worker *worker, uint64_t retain_ms,
                    uint64_t orders_max, const struct wal_marks *marks)
{
    CHECK(worker != NULL);
    CHECK(worker->workers != NULL);
    CHECK(marks->count <= WAL_MARKS_MAX);
    const struct workers *workers = worker->workers;
    *forgetter = (struct forgetter){.inventory = workers->inventory,
                                    .wal = workers->wal,
                                    .time = workers->time,
                                    .worker = worker,
                                    .retain_ms = retain_ms,
                                    .orders_max = orders_max,
                                    .marks = *marks};
}

static_assert(LOOK_MAX <= TXN_EVENTS_MAX, "one transaction can forget all that one look sees");
static_assert(LOOKS_A_STEP % LOOK_MAX == 0, "a step is a number of whole looks");

/* Whether hints kept so many orders in the present pass that a sweep is worth while. */
static bool needs_sweep(const struct forgetter *forgetter)
{
    CHECK(forgetter->cut_lsn != 0);
    /* In a small table a few are many. */
    uint64_t few = forgetter->orders_max / 8;
    few = few < HINTED_MIN ? few : HINTED_MIN;
    return !forgetter->swept && forgetter->hinted > 0 && forgetter->hinted >= few &&
           forgetter->hinted >= forgetter->orders_known / 4;
}

/* Begins a pass when one is due. False: nothing to do now. */
static bool pass_begin(struct forgetter *forgetter, uint64_t now_ms)
{
    uint64_t retain_ms = forgetter->retain_ms;
    if (forgetter->cut_lsn != 0) {
        return true;
    }
    if (now_ms < forgetter->next_pass_ms || now_ms < retain_ms) {
        return false;
    }
    uint64_t pause_ms = retain_ms / PASSES_A_RETAIN;
    forgetter->next_pass_ms = now_ms + (pause_ms > PASS_MS_MIN ? pause_ms : PASS_MS_MIN);
    forgetter->cut_lsn = wal_marks_lsn(&forgetter->marks, now_ms - retain_ms);
    if (forgetter->cut_lsn == 0) {
        return false;
    }
    struct inventory_counts counts;
    inventory_counts(forgetter->inventory, &counts);
    uint64_t looks_a_ms = counts.orders_known * PASS_PART / retain_ms;
    forgetter->orders_known = counts.orders_known;
    forgetter->looks_a_ms = looks_a_ms > LOOKS_A_MS ? looks_a_ms : LOOKS_A_MS;
    CHECK(forgetter->looks_a_ms >= LOOKS_A_MS);
    forgetter->looked_ms = now_ms;
    forgetter->hinted = 0;
    forgetter->sweeping = false;
    forgetter->swept = false;
    forgetter->cursor = (struct order_cursor){0};
    return true;
}

/* All orders have been read. The pass ends, unless hints kept many of them: then these hints are
 * swept out, and the orders are read once more. */
static void pass_end(struct forgetter *forgetter)
{
    CHECK(forgetter->cursor.done);
    CHECK(forgetter->cut_lsn != 0);
    if (!needs_sweep(forgetter)) {
        forgetter->cut_lsn = 0;
        return;
    }
    forgetter->sweeping = true;
    forgetter->swept = true;
    forgetter->hints = (struct hint_cursor){0};
    forgetter->cursor = (struct order_cursor){0};
}

/* How many orders to read now: even shares, so that forgetting is a steady part of the load and
 * no wave. A step is bounded: deadlines are checked between two. */
static uint64_t looks_due(struct forgetter *forgetter, uint64_t now_ms)
{
    CHECK(forgetter->looks_a_ms > 0);
    uint64_t looks = (now_ms - forgetter->looked_ms) * forgetter->looks_a_ms;
    forgetter->looked_ms = now_ms;
    uint64_t most = 2 * forgetter->looks_a_ms;
    most = most > LOOKS_A_STEP ? most : LOOKS_A_STEP;
    return looks < most ? looks : most;
}

/* Looks at up to LOOK_MAX orders of the present pass. Returns how many were forgotten; *usable: the
 * log takes more. */
static uint64_t look(struct forgetter *forgetter, uint64_t now_ms, bool *usable)
{
    struct worker *worker = forgetter->worker;
    CHECK(worker->txn.event_count == 0 || wal_state(forgetter->wal) == WAL_CLOSED);
    CHECK(!forgetter->sweeping);
    *usable = wal_admit(forgetter->wal) == HF_OK;
    if (!*usable) {
        return 0;
    }
    worker->txn.now_ms = now_ms;
    /* All before cut_lsn is old enough, and so is a record that ends just there. A transaction that
     * is full is as good as one that is done: the next one continues at the cursor. */
    (void)inventory_forget(&worker->txn, forgetter->cut_lsn + 1, &forgetter->cursor, LOOK_MAX,
                           &forgetter->hinted);
    uint32_t events = worker->txn.event_count;
    CHECK(events <= TXN_EVENTS_MAX);
    *usable = worker_flush(worker);
    if (!*usable) {
        return 0;
    }
    if (forgetter->cursor.done) {
        pass_end(forgetter);
    }
    CHECK(worker->txn.event_count == 0);
    forgetter->forgotten += events;
    return events;
}

/* One step of the present pass: so many looks, at orders or at hints. */
static uint64_t pass_step(struct forgetter *forgetter, uint64_t looks, uint64_t now_ms)
{
    uint64_t count = 0;
    bool usable = true;
    for (uint64_t n = 0; n < looks && usable && forgetter->cut_lsn != 0; n += LOOK_MAX) {
        if (forgetter->sweeping) {
            inventory_sweep_hints(forgetter->inventory, &forgetter->hints, LOOK_MAX, now_ms);
            forgetter->sweeping = !forgetter->hints.done;
        } else {
            count += look(forgetter, now_ms, &usable);
        }
    }
    return count;
}

uint64_t forgetter_step(struct forgetter *forgetter)
{
    /* The tail first: what is appended between the two is then not taken for older than it is. */
    uint64_t tail_lsn = wal_tail_lsn(forgetter->wal);
    uint64_t now_ms = timekeeper_engine_ms(forgetter->time);
    wal_marks_add(&forgetter->marks, tail_lsn, now_ms);
    if (forgetter->retain_ms == 0 || !pass_begin(forgetter, now_ms)) {
        return 0;
    }
    return pass_step(forgetter, looks_due(forgetter, now_ms), now_ms);
}

uint64_t forgetter_run(struct forgetter *forgetter)
{
    forgetter->next_pass_ms = 0;
    timekeeper_tick(forgetter->time);
    uint64_t count = forgetter_step(forgetter); /* of a pass that was under way */
    while (forgetter->cut_lsn != 0 && wal_admit(forgetter->wal) == HF_OK) {
        count += pass_step(forgetter, LOOKS_A_STEP, timekeeper_engine_ms(forgetter->time));
    }
    return count;
}
