/* call_batch.c - calls about many orders in one message, as columns.
 *
 * The columns are encoded before a call returns, so they stay the caller's. Threads: any. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "client/call.h"
#include "client/client_internal.h"
#include "client/deadline.h"
#include "client/fail.h"
#include "client/thread_memory.h"
#include "client/validate.h"

static enum hf_status check_ids(uint32_t count, const uint64_t *id_hi, const uint64_t *id_lo)
{
    if (!id_hi || !id_lo) {
        return client_fail(HF_INVALID, "%s: missing", id_hi ? "id_lo" : "id_hi");
    }
    return validate_count("count", count, REQUEST_ORDERS_MAX);
}

/* Fills in a reserve batch; the engine checks what is inside the columns. */
static enum hf_status reserve_request(const struct hf_batch *batch, struct request *request)
{
    if (!batch) {
        return client_fail(HF_INVALID, "batch: missing");
    }
    enum hf_status status = check_ids(batch->count, batch->id_hi, batch->id_lo);
    if (status != HF_OK) {
        return status;
    }
    if (!batch->item) {
        return client_fail(HF_INVALID, "item: missing");
    }
    uint64_t lines = batch->line_count ? 0 : batch->count;
    for (uint32_t i = 0; batch->line_count && i < batch->count; i++) {
        lines += batch->line_count[i];
    }
    if (lines > REQUEST_LINES_MAX) {
        return client_fail(HF_INVALID, "line_count: %llu lines in all, at most %u",
                           (unsigned long long)lines, REQUEST_LINES_MAX);
    }
    uint32_t count = batch->count;
    *request = (struct request){.type = REQUEST_RESERVE_BATCH};
    request->batch = (struct batch_message){
        .id_hi_count = count,
        .id_hi = batch->id_hi,
        .id_lo_count = count,
        .id_lo = batch->id_lo,
        .buyer_count = batch->buyer ? count : 0,
        .buyer = batch->buyer,
        .item_count = (uint32_t)lines,
        .item = batch->item,
        .qty_count = batch->qty ? (uint32_t)lines : 0,
        .qty = batch->qty,
        .line_count_count = batch->line_count ? count : 0,
        .line_count = batch->line_count,
        .hold_ms = batch->hold_ms,
    };
    return HF_OK;
}

static enum hf_status edit_request(enum request_type type, uint32_t count, const uint64_t *id_hi,
                                   const uint64_t *id_lo, struct request *request)
{
    enum hf_status status = check_ids(count, id_hi, id_lo);
    *request = (struct request){.type = type};
    request->batch = (struct batch_message){
        .id_hi_count = count, .id_hi = id_hi, .id_lo_count = count, .id_lo = id_lo};
    return status;
}

/* The result that a response holds; its status column points into the message. */
static enum hf_status read_result(const struct flight *flight, uint32_t count,
                                  struct hf_batch_result *result)
{
    const struct response *response = &flight->response;
    *result = (struct hf_batch_result){.count = count};
    if (response->type != RESPONSE_BATCH) {
        enum hf_status status = response->status != HF_OK ? response->status : HF_INTERNAL;
        return client_fail_as(status, response);
    }
    if (response->batch.status_count != 0 && response->batch.status_count != count) {
        return client_fail(HF_INTERNAL, "the engine's answer has %u statuses for %u orders",
                           response->batch.status_count, count);
    }
    client_note(response);
    result->ok_count = response->batch.ok_count;
    result->deadline_ms = response->batch.deadline_ms;
    result->status = response->batch.status_count ? response->batch.status : NULL;
    return HF_OK;
}

/* ---- Blocking ---- */

static enum hf_status run_batch(struct hf_client *client, struct request *request,
                                struct hf_batch_result *result)
{
    struct flight *flight;
    enum hf_status status = flight_exchange(client, request, &flight);
    if (status != HF_OK) {
        return status;
    }
    uint32_t count = request->batch.id_hi_count;
    struct hf_batch_result got;
    status = read_result(flight, count, &got);
    if (status == HF_OK && got.status) {
        uint32_t *kept = thread_memory(count * sizeof *kept);
        if (kept) {
            memcpy(kept, got.status, count * sizeof *kept);
        } else {
            status = client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
        }
        got.status = kept;
    }
    flight_release(flight);
    if (result) {
        *result = got;
    }
    return status;
}

enum hf_status hf_reserve_batch(struct hf_client *client, const struct hf_batch *batch,
                                struct hf_batch_result *result)
{
    struct request request;
    enum hf_status status = reserve_request(batch, &request);
    return status == HF_OK ? run_batch(client, &request, result) : status;
}

enum hf_status hf_commit_batch(struct hf_client *client, uint32_t count, const uint64_t *id_hi,
                               const uint64_t *id_lo, struct hf_batch_result *result)
{
    struct request request;
    enum hf_status status = edit_request(REQUEST_COMMIT_BATCH, count, id_hi, id_lo, &request);
    return status == HF_OK ? run_batch(client, &request, result) : status;
}

enum hf_status hf_release_batch(struct hf_client *client, uint32_t count, const uint64_t *id_hi,
                                const uint64_t *id_lo, struct hf_batch_result *result)
{
    struct request request;
    enum hf_status status = edit_request(REQUEST_RELEASE_BATCH, count, id_hi, id_lo, &request);
    return status == HF_OK ? run_batch(client, &request, result) : status;
}

/* ---- Asynchronous ---- */

static void batch_finished(struct flight *flight, enum hf_status status)
{
    struct hf_batch_result result = {.count = flight->batch_count};
    if (status == HF_OK) {
        status = read_result(flight, flight->batch_count, &result);
    }
    CHECK(result.count == flight->batch_count);
    flight->batch_done(flight->user, status, &result);
    flight_release(flight);
}

static enum hf_status start_batch(struct hf_client *client, struct request *request,
                                  hf_batch_done done, void *user)
{
    struct flight *flight = flight_try_take(client);
    if (!flight) {
        return client_fail(HF_BUSY, "all %u messages are under way", client->in_flight_max);
    }
    flight->batch_done = done;
    flight->batch_count = request->batch.id_hi_count;
    flight_send(flight, request, client_deadline_ns(client), NULL, batch_finished, user);
    return HF_OK;
}

enum hf_status hf_reserve_batch_async(struct hf_client *client, const struct hf_batch *batch,
                                      hf_batch_done done, void *user)
{
    struct request request;
    enum hf_status status = reserve_request(batch, &request);
    return status == HF_OK ? start_batch(client, &request, done, user) : status;
}

enum hf_status hf_commit_batch_async(struct hf_client *client, uint32_t count,
                                     const uint64_t *id_hi, const uint64_t *id_lo,
                                     hf_batch_done done, void *user)
{
    struct request request;
    enum hf_status status = edit_request(REQUEST_COMMIT_BATCH, count, id_hi, id_lo, &request);
    return status == HF_OK ? start_batch(client, &request, done, user) : status;
}

enum hf_status hf_release_batch_async(struct hf_client *client, uint32_t count,
                                      const uint64_t *id_hi, const uint64_t *id_lo,
                                      hf_batch_done done, void *user)
{
    struct request request;
    enum hf_status status = edit_request(REQUEST_RELEASE_BATCH, count, id_hi, id_lo, &request);
    return status == HF_OK ? start_batch(client, &request, done, user) : status;
}
