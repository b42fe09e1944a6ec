/* order_reserve.c - `holdfast order reserve`: reserves units, and prints what each line got.
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
#include "cli/order_report.h"
#include "cli/print.h"
#include "cli/values.h"

static struct connection connection;

static struct hf_id order_id(const char *text)
{
    return strcmp(text, "new") == 0 ? hf_id_random() : order_id_of(text);
}

static const char *buyer_text;
static uint32_t hold_ms;

static const struct option_spec reserve_options[] = {
    {"buyer", OPTION_TEXT, &buyer_text, NULL, "B",
     "who buys: a number, or any other text, which is hashed to one (default: nobody)"},
    {"hold", OPTION_DURATION, &hold_ms, NULL, "DURATION",
     "how long the units are held, as 15m (default: the SKU's hold, else the engine's hold-ms)"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec reserve_spec = {
    .name = "order reserve",
    .arguments = "ID LINE...",
    .help =
        "Reserves units of one or more items for a buyer: all that the lines demand, or\n"
        "nothing. The units are held until the order's deadline; until then nobody else can\n"
        "have them.\n"
        "\n" ORDER_ID_HELP
        "`new` makes a random ID. Repeating the command with the same ID and the same\n"
        "contents returns the first answer again, so a retry is safe.\n"
        "\n"
        "LINE is SKU[@POOL][:QTY], followed by any of these in any order:\n"
        "  :up-to[=MIN]           as many units as there are, but at least MIN (default: 0)\n"
        "  :optional              the whole quantity or none; the order is made without it: a "
        "gift\n"
        "  :or=SKU[@POOL],...     other items, tried in this order for the whole quantity\n"
        "  :split                 the item and the others may fill the quantity together\n"
        "Without a pool: `default`. Without a quantity: 1. A SKU that contains an @ needs its\n"
        "pool. A SKU that ends in a colon and digits or in one of these words, and a pool\n"
        "with a colon, need a quantity. Codes after or= can't contain commas or colons.\n"
        "\n"
        "  holdfast order reserve 4711 --buyer alice --hold 15m 85123A@online:2 GIFT:optional\n"
        "  holdfast order reserve 4712 --buyer bob PHONE@east:3:or=PHONE@west,PHONE@north:split\n"
        "  holdfast order reserve 4713 --buyer eve 85123A@online:10:up-to=4\n"
        "\n"
        "When a line got fewer units than it asked for, another item, or units that are sold\n"
        "before they are in stock, the table shows what each line got; --json has it as\n"
        "`grants`.\n" ENGINE_HELP,
    .options = reserve_options,
    .option_count = sizeof reserve_options / sizeof *reserve_options,
    .arguments_min = 2,
    .arguments_max = -1,
};

/* One row: what a line asked for, and what it got of an item. */
static void add_line_row(struct print_table *table, uint32_t number, const struct line_wish *wish,
                         const struct hf_order_line *grant, const struct hf_stock *item)
{
    print_table_number(table, number);
    print_table_text(table, item ? item->sku : wish->item.sku);
    print_table_text(table, item ? item->pool : wish->item.pool);
    print_table_number(table, wish->qty);
    print_table_number(table, grant ? grant->qty : 0);
    print_table_number(table, grant ? grant->presale_qty : 0);
}

/* Every line got what it asked for. */
static void print_plain_lines(const struct line_wish *wishes, uint32_t count)
{
    static const struct print_column columns[] = {
        {"line", true}, {"sku", false}, {"pool", false}, {"qty", true}};
    struct print_table table;
    print_table_init(&table, columns, 4);
    for (uint32_t i = 0; i < count; i++) {
        print_table_number(&table, i + 1);
        print_table_text(&table, wishes[i].item.sku);
        print_table_text(&table, wishes[i].item.pool);
        print_table_number(&table, wishes[i].qty);
    }
    print_table_flush(&table);
    print_table_deinit(&table);
}

static void print_lines(const struct line_wish *wishes, uint32_t count,
                        const struct order_grants *granted)
{
    static const struct print_column columns[] = {{"line", true},  {"sku", false},
                                                  {"pool", false}, {"asked", true},
                                                  {"got", true},   {"pre-sold", true}};
    putchar('\n');
    if (granted->count == 0) {
        print_plain_lines(wishes, count);
        return;
    }
    struct print_table table;
    print_table_init(&table, columns, 6);
    uint32_t at = 0; /* grants are in the order of lines */
    for (uint32_t i = 0; i < count; i++) {
        bool any = false;
        for (; at < granted->count && granted->lines[at].line == i + 1; at++, any = true) {
            add_line_row(&table, i + 1, &wishes[i], &granted->lines[at], &granted->items[at]);
        }
        if (!any) {
            add_line_row(&table, i + 1, &wishes[i], NULL, NULL);
        }
    }
    print_table_flush(&table);
    print_table_deinit(&table);
}

/* Finds the handles of what a line falls back to; ARGS_GO_ON, or the exit code. */
static int find_fallbacks(struct hf_client *client, uint32_t number, const struct line_wish *wish,
                          uint32_t *handles)
{
    for (uint32_t i = 0; i < wish->fallback_count; i++) {
        const struct item_name *name = &wish->fallbacks[i];
        enum hf_status status = hf_resolve(client, name->sku, name->pool, &handles[i]);
        if (status != HF_OK) {
            char subject[64 + 2 * HF_CODE_BYTES];
            snprintf(subject, sizeof subject, "line %" PRIu32 ", or=%s@%s", number, name->sku,
                     name->pool);
            return connect_failed(status, subject);
        }
    }
    return ARGS_GO_ON;
}

/* lines and the fallbacks that they point to, for `count` wishes. */
static int make_lines(struct hf_client *client, const struct line_wish *wishes, uint32_t count,
                      struct hf_line *lines, uint32_t *fallbacks)
{
    int code = ARGS_GO_ON;
    for (uint32_t i = 0; i < count && code == ARGS_GO_ON; i++) {
        const struct line_wish *wish = &wishes[i];
        lines[i] = (struct hf_line){.sku = wish->item.sku,
                                    .pool = wish->item.pool,
                                    .qty = wish->qty,
                                    .policy = wish->policy,
                                    .min_qty = wish->min_qty,
                                    .split = wish->split,
                                    .fallback_count = wish->fallback_count,
                                    .fallbacks = fallbacks};
        code = find_fallbacks(client, i + 1, wish, fallbacks);
        fallbacks += wish->fallback_count;
    }
    return code;
}

/* Keeps what a reserve was granted beyond the client's next call, and reads the items' names. */
static struct order_grants keep_grants(struct hf_client *client, const struct hf_result *result)
{
    struct order_grants granted = {.lines = must_alloc(result->grant_count, sizeof *granted.lines),
                                   .count = result->grant_count};
    for (uint32_t i = 0; i < result->grant_count; i++) {
        const struct hf_grant *grant = &result->grants[i];
        granted.lines[i] =
            (struct hf_order_line){grant->line, grant->item, grant->qty, grant->presale_qty, 0};
    }
    if (granted.count > 0) {
        /* If the names can't be read they are left empty: the order has been made. */
        (void)order_read_items(client, granted.lines, granted.count, &granted.items);
    }
    return granted;
}

static int send_reserve(struct hf_client *client, const struct hf_order *order,
                        const struct line_wish *wishes)
{
    struct hf_result result = {0};
    struct order_grants granted = {0};
    enum hf_status status = hf_reserve(client, order, &result);
    if (status == HF_OK) {
        granted = keep_grants(client, &result);
    }
    const struct order_outcome outcome = {.id = order->id,
                                          .status = status,
                                          .result = &result,
                                          .lines = wishes,
                                          .line_count = order->line_count,
                                          .granted = &granted,
                                          .json = connection.json};
    int code = order_report(client, &outcome);
    if (code == EXIT_DONE && !connection.json) {
        print_lines(wishes, order->line_count, &granted);
    }
    free(granted.items);
    free(granted.lines);
    return code;
}

static int reserve_lines(const char *id_text, const struct line_wish *wishes, uint32_t count)
{
    struct hf_client *client;
    int code = connect_open(&reserve_spec, &connection, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    uint32_t fallback_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        fallback_count += wishes[i].fallback_count;
    }
    struct hf_line *lines = must_alloc(count, sizeof *lines);
    uint32_t *fallbacks = must_alloc(fallback_count, sizeof *fallbacks);
    code = make_lines(client, wishes, count, lines, fallbacks);
    if (code == ARGS_GO_ON) {
        struct hf_order order = {
            .id = order_id(id_text),
            .buyer = buyer_text ? buyer_from_text(buyer_text, strlen(buyer_text)) : 0,
            .hold_ms = hold_ms,
            .line_count = count,
            .lines = lines};
        code = send_reserve(client, &order, wishes);
    }
    free(fallbacks);
    free(lines);
    hf_client_close(client);
    return code;
}

int cmd_order_reserve(int argc, char **argv)
{
    struct args args;
    int code = args_parse(&reserve_spec, argc, argv, &args);
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = order_check_id(&reserve_spec, args.values[0]);
    if (code == ARGS_GO_ON) {
        code = order_check_buyer(&reserve_spec, buyer_text);
    }
    uint32_t count = (uint32_t)args.count - 1;
    if (code == ARGS_GO_ON) {
        code = order_check_line_count(&reserve_spec, count);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct line_wish *wishes = must_alloc(count, sizeof *wishes);
    for (uint32_t i = 0; i < count && code == ARGS_GO_ON; i++) {
        char reason[REASON_BYTES];
        if (!parse_line(args.values[i + 1], &wishes[i], reason)) {
            code = args_wrong(&reserve_spec, "'%s' %s", args.values[i + 1], reason);
        }
    }
    if (code == ARGS_GO_ON) {
        code = reserve_lines(args.values[0], wishes, count);
    }
    free(wishes);
    return code;
}
