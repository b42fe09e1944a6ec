/* order_list.c - `holdfast order list`: orders of a buyer, of a SKU, in some state.
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

static const char *buyer_text;
static const char *sku_text;
static const char *states_text;
static const char *after_text;
static bool all_wanted;
#define LIMIT_DEFAULT      1000u
#define LIMIT_DEFAULT_TEXT "1000"
static uint64_t limit = LIMIT_DEFAULT;

static const struct option_spec list_options[] = {
    {"buyer", OPTION_TEXT, &buyer_text, NULL, "B",
     "orders of this buyer: a number, or any other text, which is hashed to one"},
    {"sku", OPTION_TEXT, &sku_text, NULL, "SKU[@POOL]",
     "orders with a line of this SKU, or of it in this pool"},
    {"state", OPTION_TEXT, &states_text, NULL, "STATE,...",
     "orders in one of these states: held, committed, released, expired, returned"},
    {"limit", OPTION_UNSIGNED, &limit, NULL, "N",
     "list at most N orders (default: " LIMIT_DEFAULT_TEXT "); 0: all"},
    {"all", OPTION_FLAG, &all_wanted, NULL, NULL, "list all of them; the same as --limit 0"},
    {"after", OPTION_TEXT, &after_text, NULL, "PLACE",
     "continue a list: the PLACE that a list with the same options printed at its end"},
    CONNECTION_OPTIONS_STEP_BY_STEP(connection),
};

static const struct command_spec list_spec = {
    .name = "order list",
    .arguments = "",
    .help = "Lists orders, in no particular order. Changes nothing. Options narrow the list;\n"
            "without any, it has all orders that the engine knows. units: what an order has now,\n"
            "in all its lines. When the list is longer than the limit, stderr says so, and how to\n"
            "continue.\n"
            "\n"
            "  holdfast order list --buyer alice --state held\n"
            "  holdfast order list --sku 85123A@online --state held,committed --limit 100 "
            "--json\n" ENGINE_HELP,
    .options = list_options,
    .option_count = sizeof list_options / sizeof *list_options,
};

#define PAGE_ORDERS 1000u

/* A list as it is printed, page by page: millions of orders need no more memory than a page. */
struct listing {
    struct print_table table;
    struct json_rows array;
    uint64_t printed;
    bool begun;
};

static void listing_begin(struct listing *listing)
{
    static const struct print_column columns[] = {{"order", false}, {"state", false},
                                                  {"buyer", true},  {"deadline", false},
                                                  {"lines", true},  {"units", true}};
    if (!listing->begun) {
        connection.json ? json_rows_open(&listing->array)
                        : print_table_init(&listing->table, columns, 6);
    }
    listing->begun = true;
}

static void listing_end(struct listing *listing)
{
    if (listing->begun) {
        connection.json ? json_rows_close(&listing->array) : print_table_deinit(&listing->table);
    }
}

static void add_order_row(struct print_table *table, const struct hf_order_info *info)
{
    char text[TIME_TEXT_BYTES];
    int64_t units = 0;
    uint32_t lines = 0;
    for (uint32_t i = 0; i < info->line_count; i++) {
        units += info->lines[i].qty;
        lines += i == 0 || info->lines[i].line != info->lines[i - 1].line;
    }
    hf_id_to_text(info->id, text);
    print_table_text(table, text);
    print_table_text(table, state_name(info->state));
    snprintf(text, sizeof text, "%" PRIu64, info->buyer);
    print_table_text(table, info->buyer ? text : "none");
    time_text(info->deadline_ms, text);
    print_table_text(table, info->state == HF_ORDER_HELD ? text : "-");
    print_table_number(table, lines);
    print_table_number(table, units);
}

/* JSON has the lines, too, with the names of their items, which are read for the whole page at
 * once. */
static enum hf_status add_json_page(struct hf_client *client, struct listing *listing,
                                    const struct hf_order_info *orders, uint32_t count)
{
    uint32_t line_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        line_count += orders[i].line_count;
    }
    struct hf_stock *items = NULL;
    /* The lines of all orders of a page are one array. */
    enum hf_status status =
        order_read_items(client, count > 0 ? orders[0].lines : NULL, line_count, &items);
    const struct hf_stock *at = items;
    for (uint32_t i = 0; i < count && status == HF_OK; i++) {
        json_rows_add(&listing->array, order_object(&orders[i], at));
        at += orders[i].line_count;
    }
    free(items);
    return status;
}

static enum hf_status list_page(struct hf_client *client, const struct hf_order_filter *filter,
                                struct hf_order_cursor *cursor, struct listing *listing)
{
    struct hf_order_info *orders;
    uint32_t count;
    uint64_t left = limit ? limit - listing->printed : PAGE_ORDERS;
    uint32_t page = left < PAGE_ORDERS ? (uint32_t)left : PAGE_ORDERS;
    enum hf_status status = hf_list_orders(client, filter, cursor, page, &orders, &count);
    if (status != HF_OK) {
        return status;
    }
    listing_begin(listing);
    if (connection.json) {
        status = add_json_page(client, listing, orders, count);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            add_order_row(&listing->table, &orders[i]);
        }
        print_table_flush(&listing->table);
    }
    listing->printed += count;
    hf_free(orders);
    return status;
}

/* A cursor as text, and back. The engine checks its content. */
static bool read_place(const char *text, struct hf_order_cursor *cursor)
{
    size_t len = strlen(text);
    *cursor = (struct hf_order_cursor){.size = (uint8_t)(len / 2)};
    if (len == 0 || len % 2 != 0 || len / 2 > sizeof cursor->bytes ||
        text[strspn(text, "0123456789abcdef")] != '\0') {
        return false;
    }
    for (size_t i = 0; i < len / 2; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        cursor->bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static void print_place(FILE *to, const struct hf_order_cursor *cursor)
{
    for (unsigned i = 0; i < cursor->size; i++) {
        fprintf(to, "%02x", cursor->bytes[i]);
    }
}

#define LOOKS_MAX 64u /* at 65 000 orders each, for one that is to be listed */

/* Prints how to continue the list, unless the next LOOKS_MAX parts have no more orders for it. */
static void say_more(struct hf_client *client, const struct hf_order_filter *filter,
                     const struct hf_order_cursor *cursor, uint64_t printed)
{
    struct hf_order_cursor ahead = *cursor;
    uint32_t count = 0;
    for (unsigned looks = 0; looks < LOOKS_MAX && count == 0 && !ahead.done; looks++) {
        struct hf_order_info *orders;
        if (hf_list_orders(client, filter, &ahead, 1, &orders, &count) != HF_OK) {
            return;
        }
        hf_free(orders);
    }
    if (count > 0 || !ahead.done) {
        fprintf(stderr,
                "These are the first %" PRIu64
                " orders%s. There %s more: use --all, or continue with --after ",
                printed, after_text ? " after that place" : "", count > 0 ? "are" : "may be");
        print_place(stderr, cursor);
        fputc('\n', stderr);
    }
}

/* An exit code. A list that breaks off must not look like a whole one. */
static int list_all(struct hf_client *client, const struct hf_order_filter *filter,
                    struct hf_order_cursor cursor)
{
    struct listing listing = {0};
    enum hf_status status = HF_OK;
    while (status == HF_OK && !cursor.done && (limit == 0 || listing.printed < limit)) {
        status = list_page(client, filter, &cursor, &listing);
    }
    int code = EXIT_DONE;
    if (status != HF_OK && !listing.begun) {
        code = connect_failed(status, sku_text);
    } else if (status != HF_OK) {
        char text[CONNECT_REASON_BYTES];
        connect_reason(status, NULL, text);
        code = connect_say(status, text);
        if (connection.json) {
            json_rows_add(&listing.array, error_object(status, text));
        }
    }
    listing_end(&listing);
    if (status == HF_OK && !cursor.done) {
        fflush(stdout);
        say_more(client, filter, &cursor, listing.printed);
    }
    return code;
}

static int read_filter(struct hf_order_filter *filter, struct item_name *item)
{
    char reason[REASON_BYTES];
    if (sku_text && !parse_item(sku_text, item, reason)) {
        return args_wrong(&list_spec, "option --sku: '%s' %s", sku_text, reason);
    }
    if (states_text && !parse_states(states_text, &filter->states, reason)) {
        return args_wrong(&list_spec, "option --state: '%s' %s", states_text, reason);
    }
    filter->buyer = buyer_text ? buyer_from_text(buyer_text, strlen(buyer_text)) : 0;
    if (buyer_text && filter->buyer == 0) {
        return args_wrong(&list_spec, "option --buyer: '%s' is nobody: 0 is not a buyer",
                          buyer_text);
    }
    filter->sku = sku_text ? item->sku : NULL;
    filter->pool = sku_text && item->has_pool ? item->pool : NULL;
    return ARGS_GO_ON;
}

int cmd_order_list(int argc, char **argv)
{
    struct args args;
    struct item_name item;
    struct hf_order_filter filter = {0};
    struct hf_order_cursor cursor = {0};
    struct hf_client *client;
    int code = args_parse(&list_spec, argc, argv, &args);
    if (code == ARGS_GO_ON && after_text && !read_place(after_text, &cursor)) {
        code =
            args_wrong(&list_spec, "option --after: '%s' is not a place that `order list` printed",
                       after_text);
    }
    limit = all_wanted ? 0 : limit;
    if (code == ARGS_GO_ON) {
        code = order_check_buyer(&list_spec, buyer_text);
    }
    if (code == ARGS_GO_ON) {
        code = read_filter(&filter, &item);
    }
    if (code == ARGS_GO_ON) {
        connection.step_by_step = true;
        code = connect_open(&list_spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = list_all(client, &filter, cursor);
    hf_client_close(client);
    return code;
}
