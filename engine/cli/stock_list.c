/* stock_list.c - `holdfast stock list` and `holdfast stock show`.
 *
 * Threads: the main thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Prints page by page, so that a million items need no more memory than a page. *begun: something
 * has been printed. */
static enum hf_status list_all(struct hf_client *client, bool *begun)
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
        } else if (!first && connection.json) {
            /* Half an array must not look like a whole one. */
            char text[CONNECT_REASON_BYTES];
            connect_reason(status, NULL, text);
            json_rows_add(&array, error_object(status, text));
        }
        if (status == HF_OK && count > 0) {
            snprintf(after, sizeof after, "%s", rows[count - 1].sku);
        }
        hf_free(rows);
        if (status == HF_OK && count > 0) {
            continue;
        }
        *begun = !first;
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
    bool begun;
    enum hf_status status = list_all(client, &begun);
    if (status == HF_OK) {
        code = EXIT_DONE;
    } else if (begun) {
        char text[CONNECT_REASON_BYTES];
        connect_reason(status, NULL, text);
        code = connect_say(status, text);
    } else {
        code = connect_failed(status, NULL);
    }
    hf_client_close(client);
    return code;
}

static const struct command_spec show_spec = {
    .name = "stock show",
    .arguments = "SKU[@POOL]",
    .help = "Shows a SKU's stock in all its pools, or in one. available is what can be sold now:\n"
            "stocked - safety - held - sold + presale_cap.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
};

/* The row of a pool; NULL: there is none. */
static const struct hf_stock *row_of_pool(const struct hf_stock *rows, uint32_t count,
                                          const char *pool)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(rows[i].pool, pool) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* whole: the argument as it stands. A SKU's code may hold an @ itself. */
static int show_item(struct hf_client *client, const struct item_name *name, const char *whole)
{
    struct hf_stock *rows;
    uint32_t count;
    char text[CONNECT_REASON_BYTES];
    enum hf_status status = stock_of_sku(client, name->sku, &rows, &count);
    const struct hf_stock *row =
        status == HF_OK && name->has_pool ? row_of_pool(rows, count, name->pool) : NULL;
    connect_reason(status, name->sku, text);
    if (status == HF_OK && name->has_pool && !row) {
        char pools[POOLS_TEXT_BYTES];
        pools_text(rows, count, pools);
        snprintf(text, sizeof text, "%s: %s", whole, pools);
        status = HF_UNKNOWN_ITEM;
    }
    if (status == HF_UNKNOWN_ITEM && name->has_pool && strlen(whole) < HF_CODE_BYTES) {
        struct hf_stock *others;
        if (stock_of_sku(client, whole, &others, &count) == HF_OK) {
            free(rows);
            rows = others;
            status = HF_OK;
        }
    }
    int code = EXIT_DONE;
    if (status == HF_OK) {
        stock_print(row ? row : rows, row ? 1 : count, connection.json);
    } else {
        code = connect_say(status, text);
        if (connection.json) {
            print_json(error_object(status, text));
        }
    }
    free(rows);
    return code;
}

int stock_show(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    struct item_name name;
    char reason[REASON_BYTES];
    int code = args_parse(&show_spec, argc, argv, &args);
    if (code == ARGS_GO_ON && !parse_item(args.values[0], &name, reason)) {
        code = args_wrong(&show_spec, "'%s' %s", args.values[0], reason);
    }
    if (code == ARGS_GO_ON) {
        code = connect_open(&show_spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = show_item(client, &name, args.values[0]);
    hf_client_close(client);
    return code;
}
