/* stock_list.c - `holdfast stock list`: all items, page by page.
 *
 * Threads: the main thread. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/stock_print.h"

static struct connection connection;

static const struct option_spec list_options[] = {CONNECTION_OPTIONS_STEP_BY_STEP(connection)};

static const struct command_spec list_spec = {
    .name = "stock list",
    .arguments = "",
    .help = "Lists all items in the order of their SKUs. Changes nothing.\n"
            "\n"
            "available: what can be reserved now: stocked - safety - held - sold + presale_cap.\n"
            "\n"
            "  holdfast stock list --json\n" ENGINE_HELP,
    .options = list_options,
    .option_count = sizeof list_options / sizeof *list_options,
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

int cmd_stock_list(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    int code = args_parse(&list_spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        connection.step_by_step = true;
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
