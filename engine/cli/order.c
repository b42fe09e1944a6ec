/* order.c - `holdfast order`: reserve, commit, release, extend and return orders. Reading them is
 * in order_read.c.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/times.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/order.h"
#include "cli/print.h"
#include "cli/stock_find.h"
#include "cli/subcommand.h"
#include "cli/values.h"

static struct connection connection;

static struct hf_id order_id(const char *text)
{
    return strcmp(text, "new") == 0 ? hf_id_random() : order_id_of(text);
}

/* ---- Results ---- */

/* What the lines of a reserve were given, with the items' names. */
struct granted {
    struct hf_order_line *lines;
    uint32_t count;         /* 0: all that was asked */
    struct hf_stock *items; /* one for each */
};

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

/* When the outcome is unknown the command is to be repeated with the same id, also if that was
 * made here. */
static void say_id(struct hf_id id)
{
    char text[37];
    hf_id_to_text(id, text);
    fprintf(stderr, "The order's id is %s\n", text);
}

/* The engine's words that are said better here. */
#define NO_SUCH_LINE    "line is not a line of the order"
#define HOLD_BEYOND_SKU "hold_ms is greater than the SKU allows"

/* Says how long the SKU lets its units be held. */
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
 * there, the pools that the SKU is in. lines: of a reserve; else NULL. */
static void refusal_text(struct hf_client *client, enum hf_status status,
                         const struct hf_result *result, const struct line_wish *lines,
                         uint32_t line_count, char text[CONNECT_REASON_BYTES])
{
    char subject[64 + 2 * HF_CODE_BYTES];
    char pools[POOLS_TEXT_BYTES];
    uint32_t line = result->blocking_line;
    const struct item_name *item = line >= 1 && line <= line_count ? &lines[line - 1].item : NULL;
    if (item) {
        snprintf(subject, sizeof subject, "line %" PRIu32 " (%s@%s)", line, item->sku, item->pool);
    } else if (line >= 1) {
        snprintf(subject, sizeof subject, "line %" PRIu32, line);
    }
    connect_reason(status, line >= 1 ? subject : NULL, text);
    if (status == HF_INVALID && !lines && strstr(text, NO_SUCH_LINE)) {
        snprintf(text, CONNECT_REASON_BYTES, "the order has no %s", line >= 1 ? subject : "line 0");
    }
    if (status == HF_INVALID && item && strstr(text, HOLD_BEYOND_SKU)) {
        add_hold_max(client, item->sku, text);
    }
    if (status == HF_UNKNOWN_ITEM && item && stock_other_pools(client, item->sku, pools)) {
        snprintf(text, CONNECT_REASON_BYTES, "%s: %s", subject, pools);
    }
}

/* A reserve was answered with its first answer, but the order has lost its units since. */
static bool holds_nothing(const struct hf_result *result)
{
    return result->state == HF_ORDER_RELEASED || result->state == HF_ORDER_EXPIRED ||
           result->state == HF_ORDER_RETURNED;
}

/* What `replayed` means to people; another for `extend`. */
static const char *replayed_text = "this was done before; nothing was changed";

/* Prints what became of an order and returns the exit code. lines: of a reserve, with the grants
 * that it was given; else NULL. */
static int report(struct hf_client *client, struct hf_id id, enum hf_status status,
                  const struct hf_result *result, const struct line_wish *lines,
                  uint32_t line_count, const struct granted *granted)
{
    char text[CONNECT_REASON_BYTES] = "";
    int code = EXIT_DONE;
    if (status != HF_OK) {
        refusal_text(client, status, result, lines, line_count, text);
        code = connect_say(status, text);
        if (status == HF_TIMED_OUT) {
            say_id(id);
        }
    } else if (lines && holds_nothing(result)) {
        snprintf(text, sizeof text,
                 "this order was reserved before and has %s since: it holds nothing",
                 result->state == HF_ORDER_EXPIRED    ? "EXPIRED"
                 : result->state == HF_ORDER_RELEASED ? "been RELEASED"
                                                      : "been RETURNED");
        code = EXIT_NO;
    }
    if (connection.json) {
        json_t *object = result_object(id, status, result);
        if (text[0] != '\0') {
            json_object_set_new(object, "message", json_text(text, strlen(text)));
        }
        if (granted && granted->count > 0) {
            json_object_set_new(
                object, "grants",
                order_lines_json(granted->lines, granted->count, granted->items, false));
        }
        print_json(object);
        return code;
    }
    if (code == EXIT_NO && status == HF_OK) {
        fprintf(stderr, "%s\n", text);
    }
    if (status == HF_OK) {
        char id_text[37];
        hf_id_to_text(id, id_text);
        printf("order     %s\nstate     %s\n", id_text, state_name(result->state));
        if (result->state == HF_ORDER_HELD && result->deadline_ms != 0) {
            order_print_deadline(client, result->deadline_ms);
        }
        if (result->replayed && code == EXIT_DONE) {
            printf("replayed  %s\n", replayed_text);
        }
    }
    return code;
}

/* ---- reserve ---- */

static const char *buyer_text;
static uint32_t hold_ms;

static const struct option_spec reserve_options[] = {
    {"buyer", OPTION_TEXT, &buyer_text, NULL, "B",
     "who buys: digits for themselves, any other text for its hash"},
    {"hold", OPTION_DURATION, &hold_ms, NULL, "DURATION",
     "how long the units are held, as 15m (default: as the SKU's rules or the engine say)"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec reserve_spec = {
    .name = "order reserve",
    .arguments = "ID LINE...",
    .help =
        "Reserves units of one or more items: what the lines demand, or nothing.\n"
        "\n" ORDER_ID_HELP
        "`new` makes a random one. Reserving again with the same ID and the same contents\n"
        "gives the first answer again, so it is safe to repeat.\n"
        "\n"
        "LINE is SKU[@POOL][:QTY], and behind it, if wanted, in any order:\n"
        "  :up-to[=MIN]           as many as there are, at least MIN (default: 0)\n"
        "  :optional              all or none of it, without stopping the order: a gift\n"
        "  :or=SKU[@POOL],...     other items, tried in this order for the whole quantity\n"
        "  :split                 filled from the item and the others together\n"
        "No pool: default. No quantity: 1. A SKU's code that holds an @ needs its pool named;\n"
        "one that ends in a colon and digits or one of these words, and a pool with a colon,\n"
        "need a quantity. Codes behind or= hold neither commas nor colons.\n"
        "\n"
        "  holdfast order reserve 4711 --buyer alice --hold 15m 85123A@online:2 GIFT:optional\n"
        "  holdfast order reserve 4712 --buyer bob PHONE@east:3:or=PHONE@west,PHONE@north:split\n"
        "  holdfast order reserve 4713 --buyer eve 85123A@online:10:up-to=4\n"
        "\n"
        "Where a line got less than it asked, another item, or units that are sold ahead of\n"
        "the stock, the table shows who got what from where, and --json has it as `grants`.\n",
    .options = reserve_options,
    .option_count = sizeof reserve_options / sizeof *reserve_options,
    .arguments_min = 2,
    .arguments_max = -1,
};

/* One row: what a line asked, and what it was given of an item. */
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

/* Every line got what it asked. */
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
                        const struct granted *granted)
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
static struct granted keep_grants(struct hf_client *client, const struct hf_result *result)
{
    struct granted granted = {.lines = must_alloc(result->grant_count, sizeof *granted.lines),
                              .count = result->grant_count};
    for (uint32_t i = 0; i < result->grant_count; i++) {
        const struct hf_grant *grant = &result->grants[i];
        granted.lines[i] =
            (struct hf_order_line){grant->line, grant->item, grant->qty, grant->presale_qty, 0};
    }
    if (granted.count > 0) {
        /* Without the names the handles must do: the order has been made. */
        (void)order_read_items(client, granted.lines, granted.count, &granted.items);
    }
    return granted;
}

static int send_reserve(struct hf_client *client, const struct hf_order *order,
                        const struct line_wish *wishes)
{
    struct hf_result result = {0};
    struct granted granted = {0};
    enum hf_status status = hf_reserve(client, order, &result);
    if (status == HF_OK) {
        granted = keep_grants(client, &result);
    }
    int code = report(client, order->id, status, &result, wishes, order->line_count, &granted);
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

static int cmd_order_reserve(int argc, char **argv)
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
    if (code != ARGS_GO_ON) {
        return code;
    }
    uint32_t count = (uint32_t)args.count - 1;
    if (count > ORDER_LINES_MAX) {
        return args_wrong(&reserve_spec, "%" PRIu32 " lines; at most %u are allowed", count,
                          ORDER_LINES_MAX);
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

/* ---- commit, release, return ---- */

static const struct option_spec plain_options[] = {CONNECTION_OPTIONS(connection)};

#define PLAIN_OPTIONS                                                                              \
    .options = plain_options, .option_count = sizeof plain_options / sizeof *plain_options

/* LINE:QTY */
static bool parse_line_qty(const char *text, struct hf_line_qty *line, char *reason)
{
    char number[16];
    const char *colon = strchr(text, ':');
    uint64_t value = 0;
    size_t len = colon ? (size_t)(colon - text) : 0;
    if (len == 0 || len >= sizeof number) {
        snprintf(reason, REASON_BYTES, "is not LINE:QTY, as 1:2");
        return false;
    }
    memcpy(number, text, len);
    number[len] = '\0';
    char inner[REASON_BYTES];
    if (!parse_unsigned(number, 1, ORDER_LINES_MAX, &value, inner)) {
        snprintf(reason, REASON_BYTES, "has a line number that %.90s", inner);
        return false;
    }
    line->line = (uint32_t)value;
    if (!parse_unsigned(colon + 1, 0, QTY_MAX, &value, inner)) {
        snprintf(reason, REASON_BYTES, "has a quantity that %.90s", inner);
        return false;
    }
    line->qty = (uint32_t)value;
    return true;
}

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
    if (count > ORDER_LINES_MAX) {
        return args_wrong(spec, "%" PRIu32 " lines; at most %u are allowed", count,
                          ORDER_LINES_MAX);
    }
    struct hf_line_qty *lines = must_alloc(count, sizeof *lines);
    for (uint32_t i = 0; i < count && code == ARGS_GO_ON; i++) {
        char reason[REASON_BYTES];
        if (!parse_line_qty(args.values[i + 1], &lines[i], reason)) {
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
        code = report(client, id, status, &result, NULL, 0, NULL);
        hf_client_close(client);
    }
    free(lines);
    return code;
}

static bool late;

static const struct option_spec commit_options[] = {
    {"late", OPTION_FLAG, &late, NULL, NULL,
     "even if the order has expired, when all of it is still free"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec commit_spec = {
    .name = "order commit",
    .arguments = "ID [LINE:QTY]...",
    .help = "Sells what an order holds. With LINE:QTY, so many units of each named line; the rest\n"
            "is released, for good. Lines are numbered from 1.\n"
            "\n" ORDER_ID_HELP,
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

static int cmd_order_commit(int argc, char **argv)
{
    return edit_order(&commit_spec, commit_whole, commit_lines, argc, argv);
}

static const struct command_spec release_spec = {
    .name = "order release",
    .arguments = "ID [LINE:QTY]...",
    .help = "Gives back what an order holds. With LINE:QTY, units of the named lines: QTY is the\n"
            "total released of that line since the order was made, so that repeating the command\n"
            "changes nothing. Lines are numbered from 1.\n"
            "\n" ORDER_ID_HELP,
    PLAIN_OPTIONS,
    .arguments_min = 1,
    .arguments_max = -1,
};

static int cmd_order_release(int argc, char **argv)
{
    return edit_order(&release_spec, hf_release, hf_release_lines, argc, argv);
}

static const struct command_spec return_spec = {
    .name = "order return",
    .arguments = "ID [LINE:QTY]...",
    .help =
        "Takes sold units of a committed order back into stock. With LINE:QTY, units of the\n"
        "named lines: QTY is the total returned of that line since the order was made, so that\n"
        "repeating the command changes nothing. Lines are numbered from 1.\n"
        "\n" ORDER_ID_HELP,
    PLAIN_OPTIONS,
    .arguments_min = 1,
    .arguments_max = -1,
};

static int cmd_order_return(int argc, char **argv)
{
    return edit_order(&return_spec, NULL, hf_return_lines, argc, argv);
}

/* ---- extend ---- */

static const struct option_spec extend_options[] = {
    {"hold", OPTION_DURATION, &hold_ms, NULL, "DURATION",
     "how long from now, as 15m (default: as the SKU's rules or the engine say)"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec extend_spec = {
    .name = "order extend",
    .arguments = "ID",
    .help = "Moves a held order's deadline, if the new one is later.\n"
            "\n" ORDER_ID_HELP,
    .options = extend_options,
    .option_count = sizeof extend_options / sizeof *extend_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

static int cmd_order_extend(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    int code = args_parse(&extend_spec, argc, argv, &args);
    replayed_text = "its deadline is as late already; nothing was changed";
    if (code == ARGS_GO_ON) {
        code = order_check_id(&extend_spec, args.values[0]);
    }
    if (code == ARGS_GO_ON) {
        code = connect_open(&extend_spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_id id = order_id_of(args.values[0]);
    struct hf_result result = {0};
    enum hf_status status = hf_extend(client, id, hold_ms, &result);
    code = report(client, id, status, &result, NULL, 0, NULL);
    hf_client_close(client);
    return code;
}

static const struct subcommand commands[] = {
    {"reserve", cmd_order_reserve, "hold units for a buyer, all of an order or nothing"},
    {"commit", cmd_order_commit, "sell what an order holds"},
    {"release", cmd_order_release, "give back what an order holds"},
    {"extend", cmd_order_extend, "move a held order's deadline"},
    {"return", cmd_order_return, "take sold units back into stock"},
    {"show", cmd_order_show, "show an order"},
    {"list", cmd_order_list, "list orders of a buyer, of a SKU, in some state"},
};

static const struct subcommand_group group = {
    .name = "holdfast order",
    .summary = "Reserves, commits, releases, extends, returns, shows and lists orders.",
    .subcommands = commands,
    .count = sizeof commands / sizeof *commands,
};

int cmd_order(int argc, char **argv)
{
    return run_subcommand(&group, argc, argv);
}
