/* call_single.c - calls about one order whose messages are shared: reserve, commit, release.
 *
 * Threads: any. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "client/caller_order.h"
#include "client/client_internal.h"
#include "client/fail.h"
#include "client/singles.h"
#include "client/thread_memory.h"
#include "client/validate.h"
#include "client/wait.h"

/* ---- Asynchronous ---- */

/* One block: the single, then the order with all that its lines point to. */
static struct single *single_copy(const struct hf_order *order)
{
    struct single *single = calloc(1, sizeof *single + caller_order_copy_bytes(order));
    if (single) {
        single->order = caller_order_copy(single + 1, order);
    }
    return single;
}

static enum hf_status start_owned(struct hf_client *client, struct single *single,
                                  enum single_kind kind, const uint8_t id[16], size_t bytes,
                                  hf_done done, void *user)
{
    if (!single) {
        return client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
    }
    single->kind = kind;
    single->owned = true;
    single->bytes = bytes;
    single->done = done;
    single->user = user;
    memcpy(single->id, id, sizeof single->id);
    enum hf_status status = single_start(client, single);
    if (status != HF_OK) {
        free(single);
    }
    return status;
}

enum hf_status hf_reserve_async(struct hf_client *client, const struct hf_order *order,
                                hf_done done, void *user)
{
    enum hf_status status = validate_order(order);
    if (status != HF_OK) {
        return status;
    }
    return start_owned(client, single_copy(order), SINGLE_RESERVE, order->id.bytes,
                       caller_order_bytes(order), done, user);
}

enum hf_status hf_commit_async(struct hf_client *client, struct hf_id id, hf_done done, void *user)
{
    return start_owned(client, calloc(1, sizeof(struct single)), SINGLE_COMMIT, id.bytes,
                       CALLER_ORDER_BYTES, done, user);
}

enum hf_status hf_release_async(struct hf_client *client, struct hf_id id, hf_done done, void *user)
{
    return start_owned(client, calloc(1, sizeof(struct single)), SINGLE_RELEASE, id.bytes,
                       CALLER_ORDER_BYTES, done, user);
}

/* ---- Blocking ---- */

struct single_waiter {
    struct wait wait;
    struct hf_client *client;
    struct single *single;
    enum hf_status status;
    struct hf_result result;
    struct hf_grant *grants; /* the waiting thread's */
    uint32_t grants_max;
    char text[HF_MESSAGE_BYTES];
};

static void wake_single(void *user, enum hf_status status, const struct hf_result *result)
{
    struct single_waiter *waiter = user;
    pthread_mutex_lock(&waiter->wait.lock);
    waiter->status = status;
    waiter->result = *result;
    uint32_t grant_count =
        result->grant_count < waiter->grants_max ? result->grant_count : waiter->grants_max;
    if (grant_count > 0) {
        CHECK(waiter->grants);
        memcpy(waiter->grants, result->grants, grant_count * sizeof *result->grants);
    }
    waiter->result.grant_count = grant_count;
    waiter->result.grants = grant_count > 0 ? waiter->grants : NULL;
    if (status != HF_OK) {
        strncpy(waiter->text, hf_last_message(), sizeof waiter->text - 1);
    }
    wait_end(&waiter->wait);
    pthread_mutex_unlock(&waiter->wait.lock);
}

/* Ends the wait without an answer. False: the order is being encoded or answered. */
static bool take_single_back(void *context)
{
    struct single_waiter *waiter = context;
    struct hf_client *client = waiter->client;
    bool queued;
    bool taken = single_take_back(client, waiter->single, &queued);
    if (taken) {
        waiter->status =
            queued ? client_fail_late(client) : client_fail_transport(client, HF_TIMED_OUT);
        waiter->result = (struct hf_result){.status = waiter->status};
        strncpy(waiter->text, hf_last_message(), sizeof waiter->text - 1);
    }
    return taken;
}

/* Runs one order and waits, so that it may stay in the caller's memory. */
static enum hf_status single_run(struct hf_client *client, struct single *single,
                                 struct hf_result *result)
{
    struct single_waiter waiter = {.client = client, .single = single};
    if (single->order && result) {
        waiter.grants_max = caller_order_grants_max(single->order);
        waiter.grants = thread_memory(waiter.grants_max * sizeof *waiter.grants);
        if (!waiter.grants) {
            return client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
        }
    }
    wait_init(&waiter.wait);
    single->done = wake_single;
    single->user = &waiter;
    enum hf_status status = single_start(client, single);
    if (status == HF_OK) {
        (void)wait_for(&waiter.wait, single->deadline_ns, take_single_back, &waiter);
    }
    wait_deinit(&waiter.wait);
    if (status != HF_OK) {
        return status;
    }
    if (result) {
        *result = waiter.result;
    }
    if (waiter.status != HF_OK) {
        client_fail(waiter.status, "%s", waiter.text);
    }
    return waiter.status;
}

enum hf_status hf_reserve(struct hf_client *client, const struct hf_order *order,
                          struct hf_result *result)
{
    enum hf_status status = validate_order(order);
    if (status != HF_OK) {
        return status;
    }
    struct single single = {
        .kind = SINGLE_RESERVE, .order = order, .bytes = caller_order_bytes(order)};
    memcpy(single.id, order->id.bytes, sizeof single.id);
    return single_run(client, &single, result);
}

static enum hf_status run_edit(struct hf_client *client, enum single_kind kind, struct hf_id id,
                               struct hf_result *result)
{
    struct single single = {.kind = kind, .bytes = CALLER_ORDER_BYTES};
    memcpy(single.id, id.bytes, sizeof single.id);
    return single_run(client, &single, result);
}

enum hf_status hf_commit(struct hf_client *client, struct hf_id id, struct hf_result *result)
{
    return run_edit(client, SINGLE_COMMIT, id, result);
}

enum hf_status hf_release(struct hf_client *client, struct hf_id id, struct hf_result *result)
{
    return run_edit(client, SINGLE_RELEASE, id, result);
}
