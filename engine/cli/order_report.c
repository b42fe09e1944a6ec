/* order_report.c - what an operation on an order came to.
 *
 * Threads: the main thread. */
#include "cli/order_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/times.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/order_print.h"
#include "cli/print.h"
#include "cli/stock_find.h"

static json_t *result_object(struct hf_id id, enum hf_status status, const struct hf_result *result)
{
    char id_text[37];
    char deadline[TIME_TEXT_BYTES];
    hf_id_to_text(id, id_text);
    time_text(result->deadline_ms, deadline);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:b}", "id", id_text, "status", hf_status_name(status), "state",
                  state_name(result->state), "replayed", (int)result->replayed);
    if (result->deadline_ms != 0) {
        json_object_set_new(object, "deadline", json_string(deadline));
        json_object_set_new(object, "deadline_ms", json_integer((json_int_t)result->deadline_ms));
    }
    if (result->blocking_line != 0) {
        json_object_set_new(object, "blocking_line", json_integer(result->blocking_line));
    }
    return object;
}

/* If the outcome is unknown the command must be repeated with the same id, also with one that was
 * made here. */
static void say_id(struct hf_id id)
{
    char text[37];
    hf_id_to_text(id, text);
    fprintf(stderr, "The order's id is %s\n", text);
}

/* Messages of the engine that are replaced by clearer ones here. */
#define NO_SUCH_LINE    "line is not a line of the order"
#define HOLD_BEYOND_SKU "hold_ms is greater than the SKU allows"

/* Adds the longest time that the SKU's units may be held. */
static void add_hold_max(struct hf_client *client, const char *sku, char text[CONNECT_REASON_BYTES])
{
    struct hf_sku_rules rules;
    char longest[DURATION_TEXT_BYTES];
    if (hf_get_skus(client, &sku, 1, &rules) == HF_OK && rules.hold_ms_max != 0) {
        size_t used = strlen(text);
        duration_text(rules.hold_ms_max, longest);
        snprintf(text + used, CONNECT_REASON_BYTES - used, ": %s at most", longest);
    }
}

/* Why an order was refused: with the line that it was refused for, and for an item that is not
 * there, the pools that the SKU is in. */
static void refusal_text(struct hf_client *client, const struct order_outcome *outcome,
                         char text[CONNECT_REASON_BYTES])
{
    char subject[64 + 2 * HF_CODE_BYTES];
    char pools[POOLS_TEXT_BYTES];
    enum hf_status status = outcome->status;
    uint32_t line = outcome->result->blocking_line;
    const struct item_name *item =
        line >= 1 && line <= outcome->line_count ? &outcome->lines[line - 1].item : NULL;
    if (item) {
        snprintf(subject, sizeof subject, "line %" PRIu32 " (%s@%s)", line, item->sku, item->pool);
    } else if (line >= 1) {
        snprintf(subject, sizeof subject, "line %" PRIu32, line);
    }
    connect_reason(status, line >= 1 ? subject : NULL, text);
    if (status == HF_INVALID && !outcome->lines && strstr(text, NO_SUCH_LINE)) {
        snprintf(text, CONNECT_REASON_BYTES, "the order has no %s", line >= 1 ? subject : "line 0");
    }
    if (status == HF_INVALID && item && strstr(text, HOLD_BEYOND_SKU)) {
        add_hold_max(client, item->sku, text);
    }
    if (status == HF_UNKNOWN_ITEM && item && stock_other_pools(client, item->sku, pools)) {
        snprintf(text, CONNECT_REASON_BYTES, "%s: %s", subject, pools);
    }
}

/* A repeated reserve gets its first answer, but the order may have lost its units since. */
static bool holds_nothing(const struct hf_result *result)
{
    return result->state == HF_ORDER_RELEASED || result->state == HF_ORDER_EXPIRED ||
           result->state == HF_ORDER_RETURNED;
}

static json_t *outcome_object(const struct order_outcome *outcome, const char *message)
{
    const struct order_grants *granted = outcome->granted;
    json_t *object = result_object(outcome->id, outcome->status, outcome->result);
    if (message[0] != '\0') {
        json_object_set_new(object, "message", json_text(message, strlen(message)));
    }
    if (granted && granted->count > 0) {
        json_object_set_new(
            object, "grants",
            order_lines_json(granted->lines, granted->count, granted->items, false));
    }
    return object;
}

static void print_outcome(struct hf_client *client, const struct order_outcome *outcome,
                          bool tell_replayed)
{
    const struct hf_result *result = outcome->result;
    char id_text[37];
    hf_id_to_text(outcome->id, id_text);
    printf("order     %s\nstate     %s\n", id_text, state_name(result->state));
    if (result->state == HF_ORDER_HELD && result->deadline_ms != 0) {
        order_print_deadline(client, result->deadline_ms);
    }
    if (tell_replayed) {
        printf("replayed  %s\n",
               outcome->replayed ? outcome->replayed : "this was done before: nothing was changed");
    }
}

int order_report(struct hf_client *client, const struct order_outcome *outcome)
{
    const struct hf_result *result = outcome->result;
    CHECK(outcome->lines || outcome->line_count == 0);
    CHECK(!outcome->granted || outcome->lines); /* only a reserve is granted units */
    char text[CONNECT_REASON_BYTES] = "";
    int code = EXIT_DONE;
    if (outcome->status != HF_OK) {
        refusal_text(client, outcome, text);
        code = connect_say(outcome->status, text);
        if (outcome->status == HF_TIMED_OUT) {
            say_id(outcome->id);
        }
    } else if (outcome->lines && holds_nothing(result)) {
        snprintf(text, sizeof text,
                 "this order was reserved before and has since %s: it holds nothing",
                 result->state == HF_ORDER_EXPIRED    ? "EXPIRED"
                 : result->state == HF_ORDER_RELEASED ? "been RELEASED"
                                                      : "been RETURNED");
        code = EXIT_NO;
    }
    if (outcome->json) {
        print_json(outcome_object(outcome, text));
        return code;
    }
    if (outcome->status == HF_OK) {
        if (code == EXIT_NO) {
            fprintf(stderr, "%s\n", text);
        }
        print_outcome(client, outcome, result->replayed && code == EXIT_DONE);
    }
    return code;
}
