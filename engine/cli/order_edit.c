/* order_edit.c - `holdfast order commit`, `release`, `return` and `extend`: change an order that
 * there is.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "base/times.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/order_args.h"
#include "cli/order_report.h"
#include "cli/print.h"
#include "cli/values.h"

static struct connection connection;

static const struct option_spec plain_options[] = {CONNECTION_OPTIONS(connection)};

#define PLAIN_OPTIONS                                                                              \
    .options = plain_options, .option_count = sizeof plain_options / sizeof *plain_options

typedef enum hf_status (*edit_whole)(struct hf_client *client, struct hf_id id,
                                     struct hf_result *result);
typedef enum hf_status (*edit_lines)(struct hf_client *client, struct hf_id id,
                                     const struct hf_line_qty *lines, uint32_t line_count,
                                     struct hf_result *result);

/* ID [LINE:QTY]... for the three operations alike. whole: NULL when `some` does that too. */
static int edit_order(const struct command_spec *spec, edit_whole whole, edit_lines some, int argc,
                      char **argv)
{
    struct args args;
    struct hf_client *client;
    int code = args_parse(spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = order_check_id(spec, args.values[0]);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    uint32_t count = (uint32_t)args.count - 1;
    code = order_check_line_count(spec, count);
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_line_qty *lines = must_alloc(count, sizeof *lines);
    for (uint32_t i = 0; i < count && code == ARGS_GO_ON; i++) {
        char reason[REASON_BYTES];
        if (!order_parse_line_qty(args.values[i + 1], &lines[i], reason)) {
            code = args_wrong(spec, "'%s' %s", args.values[i + 1], reason);
        }
    }
    if (code == ARGS_GO_ON) {
        code = connect_open(spec, &connection, &client);
    }
    if (code == ARGS_GO_ON) {
        struct hf_id id = order_id_of(args.values[0]);
        struct hf_result result = {0};
        enum hf_status status = count == 0 && whole ? whole(client, id, &result)
                                                    : some(client, id, lines, count, &result);
        code = order_report(client, &(struct order_outcome){
                                        .id = id,
                                        .status = status,
                                        .result = &result,
                                        .json = connection.json,
                                    });
        hf_client_close(client);
    }
    free(lines);
    return code;
}

static bool late;

static const struct option_spec commit_options[] = {
    {"late", OPTION_FLAG, &late, NULL, NULL,
     "also sell an expired order, if all its units are still free"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec commit_spec = {
    .name = "order commit",
    .arguments = "ID [LINE:QTY]...",
    .help = "Sells the units that an order holds. With LINE:QTY, QTY units of each named line are\n"
            "sold, and all the rest of the order is released for good. Lines are numbered from 1.\n"
            "\n" ORDER_ID_HELP "\n"
            "  holdfast order commit 4711\n"
            "  holdfast order commit 4711 1:2\n" ENGINE_HELP,
    .options = commit_options,
    .option_count = sizeof commit_options / sizeof *commit_options,
    .arguments_min = 1,
    .arguments_max = -1,
};

static enum hf_status commit_whole(struct hf_client *client, struct hf_id id,
                                   struct hf_result *result)
{
    return late ? hf_commit_late(client, id, NULL, 0, result) : hf_commit(client, id, result);
}

static enum hf_status commit_lines(struct hf_client *client, struct hf_id id,
                                   const struct hf_line_qty *lines, uint32_t line_count,
                                   struct hf_result *result)
{
    return late ? hf_commit_late(client, id, lines, line_count, result)
                : hf_commit_lines(client, id, lines, line_count, result);
}

int cmd_order_commit(int argc, char **argv)
{
    return edit_order(&commit_spec, commit_whole, commit_lines, argc, argv);
}

static const struct command_spec release_spec = {
    .name = "order release",
    .arguments = "ID [LINE:QTY]...",
    .help = "Releases the units that an order holds: they can be reserved again. With LINE:QTY,\n"
            "only units of the named lines: QTY is the total released of that line since the\n"
            "order was made, so repeating the command changes nothing. Lines are numbered from 1.\n"
            "\n" ORDER_ID_HELP "\n"
            "  holdfast order release 4711\n"
            "  holdfast order release 4711 1:1\n" ENGINE_HELP,
    PLAIN_OPTIONS,
    .arguments_min = 1,
    .arguments_max = -1,
};

int cmd_order_release(int argc, char **argv)
{
    return edit_order(&release_spec, hf_release, hf_release_lines, argc, argv);
}

static const struct command_spec return_spec = {
    .name = "order return",
    .arguments = "ID [LINE:QTY]...",
    .help = "Takes sold units of a committed order back into stock. With LINE:QTY, only units of\n"
            "the named lines: QTY is the total returned of that line since the order was made, so\n"
            "repeating the command changes nothing. Lines are numbered from 1.\n"
            "\n" ORDER_ID_HELP "\n"
            "  holdfast order return 4711\n"
            "  holdfast order return 4711 1:1\n" ENGINE_HELP,
    PLAIN_OPTIONS,
    .arguments_min = 1,
    .arguments_max = -1,
};

int cmd_order_return(int argc, char **argv)
{
    return edit_order(&return_spec, NULL, hf_return_lines, argc, argv);
}

/* ---- extend ---- */

static uint32_t hold_ms;

static const struct option_spec extend_options[] = {
    {"hold", OPTION_DURATION, &hold_ms, NULL, "DURATION",
     "the time from now to the deadline, as 15m (default: the SKU's hold, else the engine's "
     "hold-ms)"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec extend_spec = {
    .name = "order extend",
    .arguments = "ID",
    .help = "Moves the deadline of a held order to a later time. A deadline that is later already\n"
            "stays.\n"
            "\n" ORDER_ID_HELP "\n"
            "  holdfast order extend 4711 --hold 15m\n" ENGINE_HELP,
    .options = extend_options,
    .option_count = sizeof extend_options / sizeof *extend_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

int cmd_order_extend(int argc, char **argv)
{
    struct hf_client *client;
    struct hf_id id;
    int code = order_open(&extend_spec, &connection, argc, argv, &id, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_result result = {0};
    enum hf_status status = hf_extend(client, id, hold_ms, &result);
    code =
        order_report(client, &(struct order_outcome){
                                 .id = id,
                                 .status = status,
                                 .result = &result,
                                 .replayed = "its deadline is as late already: nothing was changed",
                                 .json = connection.json,
                             });
    hf_client_close(client);
    return code;
}
