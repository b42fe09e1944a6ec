/* call_status.c - reads the engine's own state. Waits for the answer.
 *
 * Threads: any. */
#include "client/call.h"
#include "client/convert.h"

enum hf_status hf_get_status(struct hf_client *client, struct hf_engine_status *status_out)
{
    struct request request = {.type = REQUEST_STATUS};
    struct flight *flight;
    enum hf_status status = call_run(client, &request, RESPONSE_STATUS, &flight);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &flight->response;
    *status_out = (struct hf_engine_status){
        .commit_lsn = response->status_info.commit_lsn,
        .uptime_ms = response->status_info.uptime_ms,
        .items = response->status_info.items,
        .orders_held = response->status_info.orders_held,
        .orders_known = response->status_info.orders_known,
        .buyers = response->status_info.buyers,
        .items_max = response->status_info.items_max,
        .orders_max = response->status_info.orders_max,
        .buyers_max = response->status_info.buyers_max,
        .skus = response->status_info.skus,
        .retain_ended_ms = response->status_info.retain_ended_ms,
        .hold_ms = response->status_info.hold_ms,
        .hold_ms_max = response->status_info.hold_ms_max,
        .wal_bytes = response->status_info.wal_bytes,
        .wal_bytes_max = response->status_info.wal_bytes_max,
        .wall_ms = response->status_info.wall_ms,
        .clock_difference_ms = response->status_info.clock_difference_ms,
        .clock_doubted_ms = response->status_info.clock_doubted_ms,
        .clock_confirms_ms = response->status_info.clock_confirms_ms,
        .clock_steps_seen = response->status_info.clock_steps_seen,
        .clock_steps_believed = response->status_info.clock_steps_believed,
        .clock_step_ms = response->status_info.clock_step_ms,
        .clock_step_at_ms = response->status_info.clock_step_at_ms,
    };
    convert_text(status_out->version, sizeof status_out->version, response->status_info.version);
    convert_text(status_out->clock, sizeof status_out->clock, response->status_info.clock);
    convert_text(status_out->state, sizeof status_out->state, response->status_info.state);
    convert_text(status_out->wal_io, sizeof status_out->wal_io, response->status_info.wal_io);
    flight_release(flight);
    return HF_OK;
}

enum hf_status hf_get_slowest(struct hf_client *client,
                              struct hf_slow_answer answers[HF_SLOW_ANSWERS_MAX], uint32_t *count)
{
    struct request request = {.type = REQUEST_STATUS};
    request.status.slowest = true;
    struct flight *flight;
    enum hf_status status = call_run(client, &request, RESPONSE_STATUS, &flight);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &flight->response;
    *count = 0;
    while (*count < response->status_info.slowest_count && *count < HF_SLOW_ANSWERS_MAX) {
        convert_slow_answer(&answers[*count], &response->status_info.slowest[*count]);
        ++*count;
    }
    flight_release(flight);
    return HF_OK;
}
