/* forgetter.c - forgets orders that ended long ago.
 *
 * Threads: the expirer's, with its worker. */
#include "server/forgetter.h"

#include "server/engine_internal.h"

#define LOOK_MAX        4096u /* orders a step: some 300 us when all of them go */
#define PASSES_A_RETAIN 16u   /* how often the table is gone through */
#define PASS_MS_MIN     100u
#define STALE_MIN       4096u /* deadlines of ended orders that are worth a sweep */
#define LOOKS_A_STEP    4u    /* while nearly all that is looked at goes: orders come as fast */

/* Whether so many deadlines are those of ended orders that they stand in the way of forgetting. */
static bool needs_sweep(const struct engine *engine)
{
    struct inventory_counts counts;
    inventory_counts(engine->inventory, &counts);
    uint64_t stale =
        counts.deadlines > counts.orders_held ? counts.deadlines - counts.orders_held : 0;
    /* In a small table a few are many. */
    uint64_t few = engine->options.inventory.orders_max / 8;
    few = few < STALE_MIN ? few : STALE_MIN;
    return stale > 0 && stale >= few && stale >= counts.orders_known / 4;
}

/* Begins a pass when one is due. False: nothing to do now. */
static bool pass_begin(struct engine *engine, uint64_t retain_ms, uint64_t now_ms)
{
    struct forgetter *forgetter = &engine->forgetter;
    if (forgetter->cut_lsn != 0) {
        return true;
    }
    if (now_ms < forgetter->next_pass_ms || now_ms < retain_ms) {
        return false;
    }
    uint64_t pause_ms = retain_ms / PASSES_A_RETAIN;
    forgetter->next_pass_ms = now_ms + (pause_ms > PASS_MS_MIN ? pause_ms : PASS_MS_MIN);
    forgetter->cut_lsn = wal_marks_lsn(&forgetter->marks, now_ms - retain_ms);
    forgetter->cursor = (struct order_cursor){0};
    forgetter->sweeping = forgetter->cut_lsn != 0 && needs_sweep(engine);
    forgetter->hints = (struct hint_cursor){0};
    return forgetter->cut_lsn != 0;
}

/* Looks at LOOK_MAX orders of the present pass. Returns how many were forgotten; *usable: the log
 * takes more. */
static uint64_t look(struct engine *engine, uint64_t now_ms, bool *usable)
{
    struct forgetter *forgetter = &engine->forgetter;
    struct worker *worker = engine->expirer;
    uint64_t count = 0;
    enum txn_step step = TXN_AGAIN;
    while (step == TXN_AGAIN && (*usable = wal_admit(engine->wal) == HF_OK)) {
        worker->txn.now_ms = now_ms;
        /* All before cut_lsn is old enough, and so is a record that ends just there. */
        step = inventory_forget(&worker->txn, forgetter->cut_lsn + 1, &forgetter->cursor, LOOK_MAX);
        uint32_t events = worker->txn.event_count;
        if (!worker_flush(worker)) {
            *usable = false;
            return count;
        }
        count += events;
    }
    if (forgetter->cursor.done) {
        forgetter->cut_lsn = 0;
    }
    forgetter->forgotten += count;
    return count;
}

uint64_t forgetter_step(struct engine *engine)
{
    struct forgetter *forgetter = &engine->forgetter;
    uint64_t retain_ms = engine->options.retain_ended_ms;
    /* The tail first: what is appended between the two is then not taken for older than it is. */
    uint64_t tail_lsn = wal_tail_lsn(engine->wal);
    uint64_t now_ms = engine_now_ms(engine);
    wal_marks_add(&forgetter->marks, tail_lsn, now_ms);
    if (retain_ms == 0 || !pass_begin(engine, retain_ms, now_ms)) {
        return 0;
    }
    if (forgetter->sweeping) {
        inventory_sweep_hints(engine->inventory, &forgetter->hints, LOOK_MAX, now_ms);
        forgetter->sweeping = !forgetter->hints.done;
        return 0;
    }
    uint64_t count = 0;
    bool usable = true;
    for (unsigned i = 0; i < LOOKS_A_STEP && usable && forgetter->cut_lsn != 0; i++) {
        uint64_t forgotten = look(engine, now_ms, &usable);
        count += forgotten;
        if (forgotten < LOOK_MAX / 2) {
            break;
        }
    }
    return count;
}

uint64_t forgetter_run(struct engine *engine)
{
    uint64_t count = 0;
    engine->forgetter.next_pass_ms = 0;
    do {
        count += forgetter_step(engine);
    } while (engine->forgetter.cut_lsn != 0 && wal_admit(engine->wal) == HF_OK);
    return count;
}
