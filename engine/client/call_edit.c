/* call_edit.c - edits of one order by line, and a later deadline. Each waits for the answer.
 *
 * Threads: any. */
#include <assert.h>

#include "base/limits.h"
#include "client/call.h"
#include "client/convert.h"
#include "client/fail.h"

/* Runs a request that answers with one OrderResult. */
static enum hf_status run_order(struct hf_client *client, struct request *request,
                                struct hf_result *result)
{
    struct flight *flight;
    enum hf_status status = call_run(client, request, RESPONSE_ORDERS, &flight);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &flight->response;
    if (response->orders.count != 1) {
        flight_release(flight);
        return client_fail(HF_INTERNAL, "the engine's answer has not one result");
    }
    const struct result_message *from = &response->orders.results[0];
    struct hf_result got = convert_result(from);
    if (got.status != HF_OK) {
        client_fail_as(got.status, response);
    }
    flight_release(flight);
    if (result) {
        *result = got;
    }
    return got.status;
}

/* least: the fewest lines. 1 where no lines would mean all of the order: a caller that names lines
 * does not mean that. */
static enum hf_status run_lines(struct hf_client *client, enum request_type type, bool late_ok,
                                uint32_t least, struct hf_id id, const struct hf_line_qty *lines,
                                uint32_t line_count, struct hf_result *result)
{
    if (line_count < least || line_count > ORDER_LINES_MAX) {
        return client_fail(HF_INVALID, "line_count: %u, must be %u..%u", line_count, least,
                           ORDER_LINES_MAX);
    }
    if (line_count > 0 && !lines) {
        return client_fail(HF_INVALID, "lines: missing");
    }
    static_assert(sizeof(struct hf_line_qty) == sizeof(struct line_qty_message), "same layout");
    struct line_qty_message named[ORDER_LINES_MAX];
    for (uint32_t i = 0; i < line_count; i++) {
        named[i] = (struct line_qty_message){lines[i].line, lines[i].qty};
    }
    struct edit_message edit = {.id = {id.bytes, sizeof id.bytes},
                                .late_ok = late_ok,
                                .line_count = line_count,
                                .lines = named};
    struct request request = {.type = type};
    request.edit.count = 1;
    request.edit.edits = &edit;
    return run_order(client, &request, result);
}

enum hf_status hf_commit_lines(struct hf_client *client, struct hf_id id,
                               const struct hf_line_qty *lines, uint32_t line_count,
                               struct hf_result *result)
{
    return run_lines(client, REQUEST_COMMIT, false, 1, id, lines, line_count, result);
}

enum hf_status hf_commit_late(struct hf_client *client, struct hf_id id,
                              const struct hf_line_qty *lines, uint32_t line_count,
                              struct hf_result *result)
{
    return run_lines(client, REQUEST_COMMIT, true, 0, id, lines, line_count, result);
}

enum hf_status hf_release_lines(struct hf_client *client, struct hf_id id,
                                const struct hf_line_qty *lines, uint32_t line_count,
                                struct hf_result *result)
{
    return run_lines(client, REQUEST_RELEASE, false, 1, id, lines, line_count, result);
}

enum hf_status hf_return_lines(struct hf_client *client, struct hf_id id,
                               const struct hf_line_qty *lines, uint32_t line_count,
                               struct hf_result *result)
{
    return run_lines(client, REQUEST_RETURN, false, 0, id, lines, line_count, result);
}

enum hf_status hf_extend(struct hf_client *client, struct hf_id id, uint32_t hold_ms,
                         struct hf_result *result)
{
    struct request request = {.type = REQUEST_EXTEND};
    request.extend.id = (struct bytes){id.bytes, sizeof id.bytes};
    request.extend.hold_ms = hold_ms;
    return run_order(client, &request, result);
}
