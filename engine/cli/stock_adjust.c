/* stock_adjust.c - `holdfast stock adjust`: changes an item's stock.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/stock.h"
#include "cli/values.h"

static struct connection connection;
static const char *reason_text;
static const char *reference;
static const char *id_text;
static int64_t expected;
static bool has_expected;
static bool force;

static const struct option_spec options[] = {
    {"reason", OPTION_TEXT, &reason_text, NULL, "TEXT", "why, for the log; at most 128 bytes"},
    {"reference", OPTION_TEXT, &reference, NULL, "TEXT",
     "a document's number, for the log; at most 128 bytes"},
    {"id", OPTION_TEXT, &id_text, NULL, "ID",
     "the change's own id: repeating it changes nothing (default: random)"},
    {"expected", OPTION_SIGNED, &expected, &has_expected, "N",
     "change only if N units are stocked now"},
    {"force", OPTION_FLAG, &force, NULL, NULL, "even if it leaves less than is held and sold"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec spec = {
    .name = "stock adjust",
    .arguments = "SKU[@POOL] +N|-N|=N",
    .help = "Adds units to an item's stock, takes some off, or sets it. stocked is the sum of all\n"
            "adjustments: units held and sold are counted in it.\n"
            "\n"
            "  holdfast stock adjust 85123A@wh-beijing +500 --reason 'goods in'\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .arguments_min = 2,
    .arguments_max = 2,
    .signed_arguments = true,
};

static bool parse_change(const char *text, struct hf_adjustment *adjustment, char *reason)
{
    if (*text != '+' && *text != '-' && *text != '=') {
        snprintf(reason, REASON_BYTES, "is none of +N, -N and =N");
        return false;
    }
    adjustment->set = *text == '=';
    int64_t min = adjustment->set ? 0 : -STOCK_MAX;
    return parse_signed(adjustment->set ? text + 1 : text, min, STOCK_MAX, &adjustment->value,
                        reason);
}

static int read_adjustment(const struct args *args, struct item_name *item,
                           struct hf_adjustment *adjustment)
{
    char reason[REASON_BYTES];
    if (!parse_item(args->values[0], item, reason)) {
        return args_wrong(&spec, "'%s' %s", args->values[0], reason);
    }
    if (!parse_change(args->values[1], adjustment, reason)) {
        return args_wrong(&spec, "'%s' %s", args->values[1], reason);
    }
    if (reason_text && strlen(reason_text) > REASON_BYTES_MAX) {
        return args_wrong(&spec, "option --reason: longer than %u bytes", REASON_BYTES_MAX);
    }
    if (reference && strlen(reference) > REASON_BYTES_MAX) {
        return args_wrong(&spec, "option --reference: longer than %u bytes", REASON_BYTES_MAX);
    }
    adjustment->id = id_text ? hf_id_from_text(id_text) : hf_id_random();
    adjustment->sku = item->sku;
    adjustment->pool = item->pool;
    adjustment->has_expected = has_expected;
    adjustment->expected = expected;
    adjustment->reason = reason_text;
    adjustment->reference = reference;
    adjustment->force = force;
    return ARGS_GO_ON;
}

/* Why one adjustment was refused: with the item's name, and its numbers where they help. Right
 * behind the call: the client keeps the engine's words about the first that was refused. */
static void refusal_text(struct hf_client *client, const struct item_name *item,
                         const struct hf_adjust_result *result, char text[CONNECT_REASON_BYTES])
{
    char pools[POOLS_TEXT_BYTES];
    char subject[2 * HF_CODE_BYTES];
    snprintf(subject, sizeof subject, "%s@%s", item->sku, item->pool);
    connect_reason(result->status, subject, text);
    if (result->status == HF_UNKNOWN_ITEM && stock_other_pools(client, item->sku, pools)) {
        snprintf(text, CONNECT_REASON_BYTES, "%s: %s", subject, pools);
    }
    size_t used = strlen(text);
    if (result->stock.item != 0) {
        snprintf(text + used, CONNECT_REASON_BYTES - used,
                 " (stocked %" PRId64 ", held %" PRId64 ", sold %" PRId64 ")",
                 result->stock.stocked, result->stock.held, result->stock.sold);
    }
}

/* message: why it was refused; NULL: it was not. */
static void print_result(const struct hf_adjustment *adjustment,
                         const struct hf_adjust_result *result, const char *message)
{
    char id[37];
    hf_id_to_text(adjustment->id, id);
    if (connection.json) {
        json_t *object =
            json_pack("{s:s, s:s, s:b}", "id", id, "status", hf_status_name(result->status),
                      "replayed", (int)result->replayed);
        if (message) {
            json_object_set_new(object, "message", json_text(message, strlen(message)));
        }
        if (result->stock.item != 0) {
            json_object_set_new(object, "stock", stock_object(&result->stock));
        }
        print_json(object);
    } else if (result->status == HF_OK) {
        printf("adjustment  %s\n", id);
        if (result->replayed) {
            printf("replayed    this was done before; nothing was changed\n");
        }
        putchar('\n');
        stock_print(&result->stock, 1, false);
    }
}

int stock_adjust(int argc, char **argv)
{
    struct args args;
    struct item_name item;
    struct hf_adjustment adjustment = {0};
    struct hf_client *client;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = read_adjustment(&args, &item, &adjustment);
    }
    if (code == ARGS_GO_ON) {
        code = connect_open(&spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_adjust_result result = {0};
    enum hf_status status = hf_adjust(client, &adjustment, 1, &result);
    if (status != HF_OK) {
        code = connect_failed(status, args.values[0]);
        if (status == HF_TIMED_OUT) {
            char id[37];
            hf_id_to_text(adjustment.id, id);
            fprintf(stderr, "Repeat it with --id %s\n", id);
        }
    } else {
        char text[CONNECT_REASON_BYTES];
        bool refused = result.status != HF_OK;
        code = EXIT_DONE;
        if (refused) {
            refusal_text(client, &item, &result, text);
            code = connect_say(result.status, text);
        }
        print_result(&adjustment, &result, refused ? text : NULL);
    }
    hf_client_close(client);
    return code;
}
