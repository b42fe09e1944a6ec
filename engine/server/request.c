/* request.c - one request from its arrival to its answer: check, admit, execute, wait, answer.
 *
 * Threads: any. What a request changed is published before its answer waits, and the answer waits
 * for its own last record or, when it changed nothing, for the log's tail as it was when it was
 * decided (docs/design.md, Discipline, rule 3). */
#include <stddef.h>

#include "base/check.h"
#include "base/schedule.h"
#include "server/answer.h"
#include "server/engine_internal.h"
#include "server/request_batch.h"
#include "server/request_orders.h"
#include "server/request_read.h"
#include "server/request_stock.h"

#define BUSY_RETRY_MS      5u
#define READ_ONLY_RETRY_MS 1000u
#define NS_PER_MS          1000000u

/* ---- Answers ---- */

static void call_durable(struct wal_waiter *waiter, enum hf_status status)
{
    struct engine_call *call =
        (struct engine_call *)((char *)waiter - offsetof(struct engine_call, waiter));
    if (status != HF_OK) {
        answer_fail(call, HF_INTERNAL,
                    "the log is closed after a failed write: nothing is known "
                    "to be durable beyond what was answered before");
        call->way.durable_ns = clock_monotonic_ns(call->engine->clock);
    } else {
        call->way.durable_ns = wal_durable_ns(call->engine->wal);
        CHECK(call->response.lsn <= wal_commit_lsn(call->engine->wal));
    }
    call->done(call);
}

/* Sends the answer once all before lsn is durable. */
static void answer_when_durable(struct engine_call *call, uint64_t lsn)
{
    CHECK(call->response.status != HF_OK || call->response.type != RESPONSE_NONE);
    call->response.lsn = lsn;
    call->way.appended_ns = clock_monotonic_ns(call->engine->clock);
    call->waiter.done = call_durable;
    if (!wal_wait(call->engine->wal, lsn, &call->waiter)) {
        CHECK(lsn <= wal_commit_lsn(call->engine->wal));
        call->done(call);
    }
}

/* ---- Before it is started ---- */

static bool request_changes(enum request_type type)
{
    switch (type) {
    case REQUEST_RESERVE:
    case REQUEST_COMMIT:
    case REQUEST_RELEASE:
    case REQUEST_EXTEND:
    case REQUEST_RETURN:
    case REQUEST_RESERVE_BATCH:
    case REQUEST_COMMIT_BATCH:
    case REQUEST_RELEASE_BATCH:
    case REQUEST_DEFINE:
    case REQUEST_ADJUST:
        return true;
    case REQUEST_NONE:
    case REQUEST_GET_ORDER:
    case REQUEST_GET_STOCK:
    case REQUEST_LIST_STOCK:
    case REQUEST_LIST_ORDERS:
    case REQUEST_GET_SKUS:
    case REQUEST_STATUS:
        break;
    }
    return false;
}

static void answer_read_only(struct engine *engine, struct engine_call *call)
{
    char reason[WAL_REASON_BYTES];
    wal_stuck_reason(engine->wal, reason);
    answer_fail(call, HF_READ_ONLY,
                "the next log segment can't be made: %s; reads are answered, changes are not",
                reason[0] ? reason : "it could not be a moment ago");
}

/* False: the answer would come after the request's timeout_ms, by what has passed and by how long
 * the log takes now. */
static bool answer_in_time(struct engine *engine, struct engine_call *call,
                           const struct request *request)
{
    if (request->timeout_ms == 0 || call->received_ns == 0) {
        return true;
    }
    uint64_t timeout_ns = (uint64_t)request->timeout_ms * NS_PER_MS;
    uint64_t now_ns = clock_monotonic_ns(engine->clock);
    uint64_t waited_ns = now_ns > call->received_ns ? now_ns - call->received_ns : 0;
    uint64_t log_ns = request_changes(request->type) ? wal_expected_ns(engine->wal) : 0;
    if (waited_ns > timeout_ns) {
        answer_fail(call, HF_BUSY, "timeout_ms: %u ms had passed before the request was started",
                    request->timeout_ms);
    } else if (waited_ns + log_ns > timeout_ns) {
        answer_fail(call, HF_BUSY,
                    "timeout_ms: %u ms would have passed before the answer: the log takes about "
                    "%llu ms now",
                    request->timeout_ms, (unsigned long long)(log_ns / NS_PER_MS));
    } else {
        return true;
    }
    call->response.retry_after_ms = BUSY_RETRY_MS + (uint32_t)(log_ns / NS_PER_MS);
    return false;
}

/* True when the request may be started; else the answer says why not. */
static bool request_admit(struct engine *engine, struct engine_call *call,
                          const struct request *request)
{
    const char *token = engine->options.token;
    if (token && token[0] != '\0' && !secret_equal(token, request->token)) {
        answer_fail(call, HF_UNAUTHORIZED, "token: %s",
                    request->token.len > 0 ? "not the right one" : "missing");
        return false;
    }
    if (request->answer_bytes_max > 0 && request->answer_bytes_max < ANSWER_BYTES_LEAST) {
        answer_fail(call, HF_INVALID, "answer_bytes_max: %u, must be 0, or at least %llu",
                    request->answer_bytes_max, (unsigned long long)ANSWER_BYTES_LEAST);
        return false;
    }
    if (!answer_in_time(engine, call, request)) {
        return false;
    }
    if (!request_changes(request->type)) {
        call->refuse_longer = true;
        return true;
    }
    enum hf_status status = wal_admit(engine->wal);
    switch (status) {
    case HF_OK:
        return true;
    case HF_BUSY:
        answer_fail(call, HF_BUSY, "more work than the log can take");
        call->response.retry_after_ms = BUSY_RETRY_MS;
        return false;
    case HF_READ_ONLY:
        answer_read_only(engine, call);
        call->response.retry_after_ms = READ_ONLY_RETRY_MS;
        return false;
    default:
        answer_fail(call, HF_INTERNAL, "the log is closed after a failed write");
        return false;
    }
}

/* ---- Executing ---- */

static bool execute_change(struct worker *worker, struct engine_call *call,
                           const struct request *request)
{
    CHECK(request_changes(request->type));
    switch (request->type) {
    case REQUEST_RESERVE:
        return request_reserve(worker, call, request);
    case REQUEST_RESERVE_BATCH:
        return request_reserve_batch(worker, call, request);
    case REQUEST_COMMIT:
    case REQUEST_RELEASE:
    case REQUEST_RETURN:
        return request_edit(worker, call, request);
    case REQUEST_COMMIT_BATCH:
    case REQUEST_RELEASE_BATCH:
        return request_edit_batch(worker, call, request);
    case REQUEST_EXTEND:
        return request_extend(worker, call, request);
    case REQUEST_DEFINE:
        return request_define(worker, call, request);
    default:
        CHECK(request->type == REQUEST_ADJUST);
        return request_adjust(worker, call, request);
    }
}

static void execute_read(struct engine *engine, struct engine_call *call,
                         const struct request *request)
{
    CHECK(!request_changes(request->type));
    switch (request->type) {
    case REQUEST_GET_ORDER:
        request_get_order(engine, call, request);
        break;
    case REQUEST_GET_STOCK:
        request_get_stock(engine, call, request);
        break;
    case REQUEST_LIST_STOCK:
        request_list_stock(engine, call, request);
        break;
    case REQUEST_LIST_ORDERS:
        request_list_orders(engine, call, request);
        break;
    case REQUEST_GET_SKUS:
        request_get_skus(engine, call, request);
        break;
    case REQUEST_STATUS:
        request_status(engine, call, request);
        break;
    default:
        answer_fail(call, HF_INVALID, "body: none, or of a kind that this version does not know");
        break;
    }
}

/* Runs a request that may change something. True: *lsn says what the answer has to wait for. */
static bool run_change(struct engine *engine, struct engine_call *call,
                       const struct request *request, uint64_t *lsn)
{
    struct worker *worker = worker_acquire(&engine->workers);
    if (!worker && engine_failed(engine)) {
        return false;
    }
    if (!worker) {
        answer_starved(call);
        *lsn = 0;
        return true;
    }
    worker->call = call;
    bool fine = execute_change(worker, call, request) && worker_flush(worker);
    SCHEDULE_POINT("submit.changed");
    /* A new decision depends on nothing later than its own record. A refusal or a replay may
     * depend on anything that was visible when it was decided: the tail, read after that. */
    *lsn = worker->depends_on_tail ? wal_tail_lsn(engine->wal) : worker->lsn;
    CHECK(*lsn >= worker->lsn);
    CHECK(!fine || worker->txn.event_count == 0);
    if (worker->read_only) {
        call->response.retry_after_ms = READ_ONLY_RETRY_MS;
    }
    call->way.append_ns = worker->append_ns;
    worker_release(worker, fine);
    return fine;
}

void engine_submit(struct engine *engine, struct engine_call *call, const struct request *request)
{
    CHECK(call->done != NULL);
    CHECK(call->arena != NULL);
    call->engine = engine;
    call->response = (struct response){0};
    slowest_describe(&call->way, request);
    call->answer_bytes_max =
        request->answer_bytes_max ? request->answer_bytes_max : ANSWER_BYTES_DEFAULT;
    uint64_t lsn = 0;
    if (!request_admit(engine, call, request)) {
        call->done(call);
        return;
    }
    if (!request_changes(request->type)) {
        execute_read(engine, call, request);
        SCHEDULE_POINT("submit.read");
        lsn = wal_tail_lsn(engine->wal);
    } else if (!run_change(engine, call, request, &lsn)) {
        answer_fail(call, HF_INTERNAL, "the log is closed after a failed write");
        call->done(call);
        return;
    }
    answer_when_durable(call, lsn);
}

void engine_refuse(struct engine *engine, struct engine_call *call, enum hf_status status,
                   const char *message)
{
    CHECK(call->done != NULL);
    CHECK(status != HF_OK);
    call->engine = engine;
    answer_fail(call, status == HF_NO_MEMORY ? HF_BUSY : status, "%s", message);
    if (status == HF_NO_MEMORY) {
        call->response.retry_after_ms = REQUEST_MEMORY_RETRY_MS;
    } else if (status == HF_BUSY) {
        call->response.retry_after_ms = BUSY_RETRY_MS;
    }
    call->done(call);
}
