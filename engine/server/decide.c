/* decide.c - how one order is decided, in rows and in columns.
 *
 * Threads: any; a worker belongs to one. */
#include "server/decide.h"

#include "base/check.h"
#include "base/usdt.h"
#include "server/engine.h"

#define TIME_LINES                                                                                 \
    256u /* decided between two readings of the clock: a batch's orders take some 50 us */

#define PAUSE_LINES 2048u /* between two pauses of a request: some 300 us */

void request_note_outcome(struct worker *worker, const struct order_outcome *outcome)
{
    if (outcome->status != HF_OK || outcome->replayed) {
        worker->depends_on_tail = true;
    } else {
        /* What was decided now, and what it changed, is in the log before it is answered. */
        CHECK(worker->txn.event_count > 0);
    }
}

/* False: the disk has filled up since the request was started; *outcome says so. */
static bool may_start(struct worker *worker, struct order_outcome *outcome)
{
    enum hf_status status = worker_admit(worker);
    if (status != HF_OK) {
        *outcome = (struct order_outcome){.status = status};
        request_note_outcome(worker, outcome);
    }
    return status == HF_OK;
}

/* The time by which sales open and close. */
static uint64_t wall_ms(const struct worker *worker)
{
    return (uint64_t)((int64_t)worker->txn.now_ms + worker->txn.wall_ahead_ms);
}

/* Reads the clock. True: time has passed since the last reading. */
static bool look_at_clock(struct worker *worker)
{
    uint64_t before = wall_ms(worker);
    worker->lines_decided = 0;
    worker_look_at_clock(worker);
    return wall_ms(worker) != before;
}

/* Lets others in between, once the request has decided so much. What it has decided is published
 * first: nobody waits for a busy order of one who pauses. False: the log is closed. */
static bool pause_when_due(struct worker *worker, uint32_t lines)
{
    worker->lines_unpaused += lines;
    if (worker->lines_unpaused < PAUSE_LINES || !worker->call || !worker->call->pause) {
        return true;
    }
    worker->lines_unpaused = 0;
    if (!worker_flush(worker)) {
        return false;
    }
    uint64_t begin_ns = worker_monotonic_ns(worker);
    worker->call->pause(worker->call);
    worker->call->way.paused_ns += worker_monotonic_ns(worker) - begin_ns;
    (void)look_at_clock(worker);
    return true;
}

bool request_decide(struct worker *worker, decide_function decide, const void *subject,
                    uint32_t lines, struct order_outcome *outcome)
{
    CHECK(!worker->txn.publishing);
    if (!pause_when_due(worker, lines)) {
        return false;
    }
    if (!may_start(worker, outcome)) {
        return true;
    }
    worker->lines_decided += lines;
    if (worker->lines_decided >= TIME_LINES) {
        look_at_clock(worker);
    }
    unsigned step = 0;
    bool sure = false; /* a sale that seems not to be open yet was decided with the present time */
    for (;;) {
        if (decide(&worker->txn, subject, outcome) == TXN_AGAIN) {
            if (!worker_again(worker, &step)) {
                return false;
            }
            look_at_clock(worker); /* the log may have kept us waiting */
        } else if (outcome->status == HF_NOT_OPEN && !sure && look_at_clock(worker)) {
            sure = true;
        } else {
            break;
        }
    }
    request_note_outcome(worker, outcome);
    return true;
}

enum txn_step decide_reserve(struct txn *txn, const void *order, struct order_outcome *outcome)
{
    const struct order_request *request = order;
    enum txn_step step = inventory_reserve(txn, request, outcome);
    USDT2(reserve, outcome->status, request->line_count);
    return step;
}

static enum txn_step decide_commit(struct txn *txn, const void *edit, struct order_outcome *outcome)
{
    return inventory_commit(txn, edit, outcome);
}

static enum txn_step decide_release(struct txn *txn, const void *edit,
                                    struct order_outcome *outcome)
{
    return inventory_release(txn, edit, outcome);
}

static enum txn_step decide_return(struct txn *txn, const void *edit, struct order_outcome *outcome)
{
    return inventory_return(txn, edit, outcome);
}

enum txn_step decide_extend(struct txn *txn, const void *subject, struct order_outcome *outcome)
{
    const struct extension *extension = subject;
    return inventory_extend(txn, extension->id, extension->hold_ms, outcome);
}

decide_function request_decision(enum request_type type, const char **name)
{
    switch (type) {
    case REQUEST_COMMIT:
        *name = "commit.orders";
        return decide_commit;
    case REQUEST_RELEASE:
        *name = "release.orders";
        return decide_release;
    case REQUEST_COMMIT_BATCH:
        *name = "commit_batch";
        return decide_commit;
    case REQUEST_RELEASE_BATCH:
        *name = "release_batch";
        return decide_release;
    default:
        CHECK(type == REQUEST_RETURN);
        *name = "return_units.orders";
        return decide_return;
    }
}
