/* order_show.c - `holdfast order show`: one order, with its lines.
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
#include "cli/order_print.h"
#include "cli/print.h"
#include "cli/values.h"

static struct connection connection;

static const struct option_spec show_options[] = {CONNECTION_OPTIONS(connection)};

static const struct command_spec show_spec = {
    .name = "order show",
    .arguments = "ID",
    .help =
        "Shows an order: its state, buyer and deadline, and the units that it has now, by\n"
        "line and item. Lines without units are left out. Changes nothing.\n"
        "\n"
        "pre-sold  units of qty that were not in stock when they were reserved\n"
        "covered   how many of these the stock covers now; the oldest orders are covered first\n"
        "\n" ORDER_ID_HELP "\n"
        "  holdfast order show 4711\n" ENGINE_HELP,
    .options = show_options,
    .option_count = sizeof show_options / sizeof *show_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

static void show_lines(const struct hf_order_info *info, const struct hf_stock *items)
{
    static const struct print_column columns[] = {
        {"line", true}, {"item", true},     {"sku", false},   {"pool", false},
        {"qty", true},  {"pre-sold", true}, {"covered", true}};
    bool presale = false;
    for (uint32_t i = 0; i < info->line_count; i++) {
        presale = presale || info->lines[i].presale_qty > 0;
    }
    struct print_table table;
    print_table_init(&table, columns, presale ? 7 : 5);
    for (uint32_t i = 0; i < info->line_count; i++) {
        print_table_number(&table, info->lines[i].line);
        print_table_number(&table, info->lines[i].item);
        print_table_text(&table, items[i].sku);
        print_table_text(&table, items[i].pool);
        print_table_number(&table, info->lines[i].qty);
        if (presale) {
            print_table_number(&table, info->lines[i].presale_qty);
            print_table_number(&table, info->lines[i].covered_qty);
        }
    }
    putchar('\n');
    print_table_flush(&table);
    print_table_deinit(&table);
}

static void show_order(struct hf_client *client, const struct hf_order_info *info,
                       const struct hf_stock *items)
{
    char id_text[37];
    hf_id_to_text(info->id, id_text);
    printf("order     %s\nstate     %s\n", id_text, state_name(info->state));
    if (info->buyer == 0) {
        printf("buyer     none\n");
    } else {
        printf("buyer     %" PRIu64 "\n", info->buyer);
    }
    if (info->state == HF_ORDER_HELD) {
        order_print_deadline(client, info->deadline_ms);
    }
    printf("LSN       %" PRIu64 "\n", info->lsn);
    if (info->line_count > 0) {
        show_lines(info, items);
    }
}

static int read_and_show(struct hf_client *client, struct hf_id id)
{
    struct hf_order_info info = {0};
    struct hf_order_line *lines = must_alloc(ORDER_LINES_MAX, sizeof *lines);
    struct hf_stock *items = NULL;
    enum hf_status status = hf_get_order(client, id, &info, lines, ORDER_LINES_MAX);
    if (status == HF_OK) {
        status = order_read_items(client, info.lines, info.line_count, &items);
    }
    int code = EXIT_DONE;
    if (status != HF_OK) {
        code = connect_failed(status, NULL);
    } else if (connection.json) {
        print_json(order_object(&info, items));
    } else {
        show_order(client, &info, items);
    }
    free(items);
    free(lines);
    return code;
}

int cmd_order_show(int argc, char **argv)
{
    struct hf_client *client;
    struct hf_id id;
    int code = order_open(&show_spec, &connection, argc, argv, &id, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = read_and_show(client, id);
    hf_client_close(client);
    return code;
}
