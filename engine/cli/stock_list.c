/* stock_list.c - `holdfast stock list` and `holdfast stock show`.
 *
 * Threads: the main thread. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/stock.h"
#include "cli/values.h"

static struct connection connection;

static const struct option_spec options[] = {CONNECTION_OPTIONS(connection)};

static const struct command_spec list_spec = {
    .name = "stock list",
    .arguments = "",
    .help = "Lists all items in the order of their SKUs. available is what can be sold now:\n"
            "stocked - safety - held - sold + presale_cap.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* Prints page by page, so that a million items need no more memory than a page. */
static enum hf_status list_all(struct hf_client *client)
{
    struct stock_table table;
    struct json_rows array;
    char after[HF_CODE_BYTES] = "";
    bool first = true;
    for (;;) {
        struct hf_stock *rows = NULL;
        uint32_t count = 0;
        enum hf_status status = hf_list_stock(client, after, 0, &rows, &count);
        if (status == HF_OK && first) {
            first = false;
            connection.json ? json_rows_open(&array) : stock_table_init(&table, rows, count);
        }
        if (status == HF_OK && connection.json) {
            for (uint32_t i = 0; i < count; i++) {
                json_rows_add(&array, stock_object(&rows[i]));
            }
        } else if (status == HF_OK) {
            stock_table_print(&table, rows, count);
        }
        if (status == HF_OK && count > 0) {
            snprintf(after, sizeof after, "%s", rows[count - 1].sku);
        }
        hf_free(rows);
        if (status == HF_OK && count > 0) {
            continue;
        }
        if (!first) {
            connection.json ? json_rows_close(&array) : stock_table_deinit(&table);
        }
        return status;
    }
}

int stock_list(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    int code = args_parse(&list_spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = connect_open(&list_spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    enum hf_status status = list_all(client);
    code = status == HF_OK ? EXIT_DONE : connect_failed(status, NULL);
    hf_client_close(client);
    return code;
}

static const struct command_spec show_spec = {
    .name = "stock show",
    .arguments = "SKU",
    .help = "Shows a SKU's stock in all its pools. available is what can be sold now:\n"
            "stocked - safety - held - sold + presale_cap.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
};

int stock_show(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    char sku[HF_CODE_BYTES];
    char reason[REASON_BYTES];
    int code = args_parse(&show_spec, argc, argv, &args);
    if (code == ARGS_GO_ON && !parse_code(args.values[0], sku, reason)) {
        code = args_wrong(&show_spec, "'%s' %s", args.values[0], reason);
    }
    if (code == ARGS_GO_ON) {
        code = connect_open(&show_spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_stock *rows;
    uint32_t count;
    enum hf_status status = stock_of_sku(client, sku, &rows, &count);
    if (status == HF_OK) {
        stock_print(rows, count, connection.json);
        code = EXIT_DONE;
    } else {
        code = connect_failed(status, sku);
    }
    free(rows);
    hf_client_close(client);
    return code;
}
