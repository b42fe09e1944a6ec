/* stock_adjust.c - `holdfast stock adjust` and `holdfast stock move`: change an item's stock, and
 * move units between pools.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/stock_find.h"
#include "cli/stock_print.h"
#include "cli/values.h"

static struct connection connection;
static const char *reason_text;
static const char *reference;
static const char *id_text;
static int64_t expected;
static bool has_expected;
static bool force;

#define CHANGE_OPTIONS(expected_help)                                                              \
    {                                                                                              \
        "reason", OPTION_TEXT, &reason_text,                                                       \
        NULL,     "TEXT",      "why; kept in the log, at most 128 bytes"},                         \
        {"reference", OPTION_TEXT, &reference,                                                     \
         NULL,        "TEXT",      "a document's number; kept in the log, at most 128 bytes"},     \
        {"id",                                                                                     \
         OPTION_TEXT,                                                                              \
         &id_text,                                                                                 \
         NULL,                                                                                     \
         "ID",                                                                                     \
         "the ID of this change: a repetition with the same ID changes nothing (default: "         \
         "random)"},                                                                               \
        {"expected", OPTION_SIGNED, &expected, &has_expected, "N", expected_help},                 \
        {"force", OPTION_FLAG, &force,                                                             \
         NULL,    NULL,        "also if fewer units remain than are held and sold"},               \
        CONNECTION_OPTIONS(connection)

static const struct option_spec options[] = {
    CHANGE_OPTIONS("change it only if N units are stocked now"),
};

static const struct command_spec spec = {
    .name = "stock adjust",
    .arguments = "SKU[@POOL] +N|-N|=N",
    .help = "Changes an item's stock: adds N units (+N), takes N away (-N), or sets it to N (=N).\n"
            "stocked is the sum of all adjustments; units that are held or sold are part of it,\n"
            "so it can't be set below them unless forced.\n"
            "\n"
            "  holdfast stock adjust 85123A@wh-beijing +500 --reason 'goods in'\n"
            "  holdfast stock adjust 85123A@wh-beijing =1200 --expected 1180 --reason "
            "'stocktaking'\n" ENGINE_HELP,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .arguments_min = 2,
    .arguments_max = 2,
    .signed_arguments = true,
};

static bool parse_change(const char *text, struct hf_adjustment *adjustment, char *reason)
{
    if (*text != '+' && *text != '-' && *text != '=') {
        snprintf(reason, REASON_BYTES, "is not +N, -N or =N");
        return false;
    }
    adjustment->set = *text == '=';
    int64_t min = adjustment->set ? 0 : -STOCK_MAX;
    return parse_signed(adjustment->set ? text + 1 : text, min, STOCK_MAX, &adjustment->value,
                        reason);
}

/* Reads the options of both commands. */
static int read_options(const struct command_spec *command, struct hf_adjustment *adjustment)
{
    char why[TEXT_ERROR_BYTES];
    if (!text_fits(TEXT_REASON, reason_text, why)) {
        return args_wrong(command, "option --reason: %s", why);
    }
    if (!text_fits(TEXT_REASON, reference, why)) {
        return args_wrong(command, "option --reference: %s", why);
    }
    if (id_text && id_text[0] == '\0') {
        return args_wrong(command, "option --id: it is empty");
    }
    if (id_text && id_is_nil(id_from_text(id_text, strlen(id_text)))) {
        return args_wrong(command, "option --id: it is " ID_NIL_REASON);
    }
    adjustment->id = id_text ? hf_id_from_text(id_text) : hf_id_random();
    adjustment->has_expected = has_expected;
    adjustment->expected = expected;
    adjustment->reason = reason_text;
    adjustment->reference = reference;
    adjustment->force = force;
    return ARGS_GO_ON;
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
    adjustment->sku = item->sku;
    adjustment->pool = item->pool;
    return read_options(&spec, adjustment);
}

/* Why one adjustment was refused: with the item's name, and its numbers where they help. Call it
 * directly after the call: the client keeps the engine's message about the first that was refused.
 */
static void refusal_text(struct hf_client *client, const struct hf_adjustment *adjustment,
                         const struct hf_adjust_result *result, char text[CONNECT_REASON_BYTES])
{
    char pools[POOLS_TEXT_BYTES];
    char subject[2 * HF_CODE_BYTES];
    uint32_t item;
    bool unknown = result->status == HF_UNKNOWN_ITEM;
    const char *pool = adjustment->pool;
    snprintf(subject, sizeof subject, "%s@%s", adjustment->sku, pool);
    connect_reason(result->status, subject, text);
    if (unknown && adjustment->to_pool &&
        hf_resolve(client, adjustment->sku, pool, &item) == HF_OK) {
        snprintf(text, CONNECT_REASON_BYTES,
                 "%s@%s: there is no such item; 'holdfast stock define' creates it",
                 adjustment->sku, adjustment->to_pool);
    } else if (unknown && stock_other_pools(client, adjustment->sku, pools)) {
        snprintf(text, CONNECT_REASON_BYTES, "%s: %s", subject, pools);
    }
    size_t used = strlen(text);
    if (result->status == HF_INVALID && result->stock.item != 0 && adjustment->to_pool &&
        adjustment->value > result->stock.stocked) {
        snprintf(text, CONNECT_REASON_BYTES, "%s: only %" PRId64 " units are stocked", subject,
                 result->stock.stocked);
    } else if (result->stock.item != 0) {
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
        if (result->to_stock.item != 0) {
            json_object_set_new(object, "to_stock", stock_object(&result->to_stock));
        }
        print_json(object);
    } else if (result->status == HF_OK) {
        printf("adjustment  %s\n", id);
        if (result->replayed) {
            printf("replayed    this was done before: nothing was changed\n");
        }
        putchar('\n');
        const struct hf_stock rows[] = {result->stock, result->to_stock};
        stock_print(rows, result->to_stock.item != 0 ? 2 : 1, false);
    }
}

/* Sends the change and prints the result; returns the exit code. */
static int change(const struct command_spec *command, const struct hf_adjustment *adjustment,
                  const char *subject)
{
    struct hf_client *client;
    int code = connect_open(command, &connection, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_adjust_result result = {0};
    enum hf_status status = hf_adjust(client, adjustment, 1, &result);
    if (status != HF_OK) {
        code = connect_failed(status, subject);
        if (status == HF_TIMED_OUT) {
            char id[37];
            hf_id_to_text(adjustment->id, id);
            fprintf(stderr, "To retry, repeat the command with --id %s\n", id);
        }
    } else {
        char text[CONNECT_REASON_BYTES];
        bool refused = result.status != HF_OK;
        code = EXIT_DONE;
        if (refused) {
            refusal_text(client, adjustment, &result, text);
            code = connect_say(result.status, text);
        }
        print_result(adjustment, &result, refused ? text : NULL);
    }
    hf_client_close(client);
    return code;
}

int cmd_stock_adjust(int argc, char **argv)
{
    struct args args;
    struct item_name item;
    struct hf_adjustment adjustment = {0};
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = read_adjustment(&args, &item, &adjustment);
    }
    return code == ARGS_GO_ON ? change(&spec, &adjustment, args.values[0]) : code;
}

/* ---- move ---- */

static const struct option_spec move_options[] = {
    CHANGE_OPTIONS("move them only if FROM has N units stocked now"),
};

static const struct command_spec move_spec = {
    .name = "stock move",
    .arguments = "SKU FROM TO N",
    .help =
        "Moves N units of a SKU from the pool FROM to the pool TO, as one change: at no\n"
        "moment do both pools have them, or neither. Held and sold units stay where they are,\n"
        "so only free units can leave, unless forced. Both pools must exist (`holdfast stock\n"
        "define SKU@TO`).\n"
        "\n"
        "  holdfast stock move 85123A wh-beijing wh-shanghai 200 --reason 'balance'\n" ENGINE_HELP,
    .options = move_options,
    .option_count = sizeof move_options / sizeof *move_options,
    .arguments_min = 4,
    .arguments_max = 4,
};

static int read_move(const struct args *args, struct item_name *from, char to[HF_CODE_BYTES],
                     struct hf_adjustment *adjustment)
{
    char *const *values = args->values;
    char reason[REASON_BYTES];
    if (!parse_code(values[0], from->sku, reason)) {
        return args_wrong(&move_spec, "'%s' %s", values[0], reason);
    }
    if (!parse_code(values[1], from->pool, reason)) {
        return args_wrong(&move_spec, "'%s' %s", values[1], reason);
    }
    if (!parse_code(values[2], to, reason)) {
        return args_wrong(&move_spec, "'%s' %s", values[2], reason);
    }
    if (strcmp(from->pool, to) == 0) {
        return args_wrong(&move_spec, "'%s' is both FROM and TO: name two pools", values[2]);
    }
    if (!parse_signed(values[3], 1, STOCK_MAX, &adjustment->value, reason)) {
        return args_wrong(&move_spec, "'%s' %s", values[3], reason);
    }
    adjustment->sku = from->sku;
    adjustment->pool = from->pool;
    adjustment->to_pool = to;
    return read_options(&move_spec, adjustment);
}

int cmd_stock_move(int argc, char **argv)
{
    struct args args;
    struct item_name from = {.has_pool = true};
    char to[HF_CODE_BYTES];
    struct hf_adjustment adjustment = {0};
    int code = args_parse(&move_spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = read_move(&args, &from, to, &adjustment);
    }
    return code == ARGS_GO_ON ? change(&move_spec, &adjustment, args.values[0]) : code;
}
