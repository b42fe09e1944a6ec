/* order.c - `holdfast order`: reserve, commit, release, extend, return and show orders.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/stock.h"
#include "cli/values.h"

#define ID_HELP "ID is a UUID, 32 hex digits, or any other text, which stands for its hash.\n"

static struct connection connection;

static struct hf_id order_id(const char *text)
{
    return strcmp(text, "new") == 0 ? hf_id_random() : hf_id_from_text(text);
}

/* ---- Results ---- */

struct named_line {
    struct item_name item;
    uint32_t qty;
};

/* "2026-11-11T00:15:00.000Z (in 14 min 59 s)" */
static void deadline_line(uint64_t deadline_ms)
{
    char when[TIME_TEXT_BYTES];
    char distance[DURATION_TEXT_BYTES];
    uint64_t now_ms = clock_unix_ms(clock_real());
    bool ahead = deadline_ms >= now_ms;
    time_text(deadline_ms, when);
    duration_text(ahead ? deadline_ms - now_ms : now_ms - deadline_ms, distance);
    printf("deadline  %s (%s%s%s)\n", when, ahead ? "in " : "", distance, ahead ? "" : " ago");
}

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

/* Why an order was refused: with the line that it was refused for, and for an item that is not
 * there, the pools that the SKU is in. lines: of a reserve; else NULL. */
static void refusal_text(struct hf_client *client, enum hf_status status,
                         const struct hf_result *result, const struct named_line *lines,
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

/* Prints what became of an order and returns the exit code. lines: of a reserve; else NULL. */
static int report(struct hf_client *client, struct hf_id id, enum hf_status status,
                  const struct hf_result *result, const struct named_line *lines,
                  uint32_t line_count)
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
            deadline_line(result->deadline_ms);
        }
        if (result->replayed && code == EXIT_DONE) {
            printf("replayed  this was done before; nothing was changed\n");
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
    {"hold", OPTION_DURATION, &hold_ms, NULL, "TIME",
     "how long the units are held, as 15m (default: as the SKU's rules or the engine say)"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec reserve_spec = {
    .name = "order reserve",
    .arguments = "ID SKU[@POOL][:QTY]...",
    .help = "Reserves units of one or more items, all of them or none.\n"
            "\n" ID_HELP
            "`new` makes a random one. Reserving again with the same ID and the same contents\n"
            "gives the first answer again, so it is safe to repeat.\n"
            "No pool: default. No quantity: 1. A SKU's code that holds an @ needs its pool named;\n"
            "one that ends in a colon and digits, and a pool with a colon, need a quantity.\n"
            "\n"
            "  holdfast order reserve 4711 --buyer alice --hold 15m 85123A@online:2 GIFT\n",
    .options = reserve_options,
    .option_count = sizeof reserve_options / sizeof *reserve_options,
    .arguments_min = 2,
    .arguments_max = -1,
};

static void print_lines(const struct named_line *named, uint32_t count)
{
    static const struct table_column columns[] = {
        {"line", true}, {"sku", false}, {"pool", false}, {"qty", true}};
    struct table table;
    table_init(&table, columns, 4);
    for (uint32_t i = 0; i < count; i++) {
        table_number(&table, i + 1);
        table_text(&table, named[i].item.sku);
        table_text(&table, named[i].item.pool);
        table_number(&table, named[i].qty);
    }
    putchar('\n');
    table_flush(&table);
    table_deinit(&table);
}

static int reserve_lines(const char *id_text, const struct named_line *named, uint32_t count)
{
    struct hf_client *client;
    int code = connect_open(&reserve_spec, &connection, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_line *lines = must_alloc(count, sizeof *lines);
    for (uint32_t i = 0; i < count; i++) {
        lines[i] = (struct hf_line){
            .sku = named[i].item.sku, .pool = named[i].item.pool, .qty = named[i].qty};
    }
    struct hf_order order = {.id = order_id(id_text),
                             .buyer =
                                 buyer_text ? buyer_from_text(buyer_text, strlen(buyer_text)) : 0,
                             .hold_ms = hold_ms,
                             .line_count = count,
                             .lines = lines};
    struct hf_result result = {0};
    enum hf_status status = hf_reserve(client, &order, &result);
    code = report(client, order.id, status, &result, named, count);
    if (code == EXIT_DONE && !connection.json) {
        print_lines(named, count);
    }
    free(lines);
    hf_client_close(client);
    return code;
}

static int order_reserve(int argc, char **argv)
{
    struct args args;
    int code = args_parse(&reserve_spec, argc, argv, &args);
    if (code != ARGS_GO_ON) {
        return code;
    }
    uint32_t count = (uint32_t)args.count - 1;
    if (count > ORDER_LINES_MAX) {
        return args_wrong(&reserve_spec, "%" PRIu32 " lines; at most %u are allowed", count,
                          ORDER_LINES_MAX);
    }
    struct named_line *named = must_alloc(count, sizeof *named);
    for (uint32_t i = 0; i < count && code == ARGS_GO_ON; i++) {
        char reason[REASON_BYTES];
        if (!parse_line(args.values[i + 1], &named[i].item, &named[i].qty, reason)) {
            code = args_wrong(&reserve_spec, "'%s' %s", args.values[i + 1], reason);
        }
    }
    if (code == ARGS_GO_ON) {
        code = reserve_lines(args.values[0], named, count);
    }
    free(named);
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
        struct hf_id id = hf_id_from_text(args.values[0]);
        struct hf_result result = {0};
        enum hf_status status = count == 0 && whole ? whole(client, id, &result)
                                                    : some(client, id, lines, count, &result);
        code = report(client, id, status, &result, NULL, 0);
        hf_client_close(client);
    }
    free(lines);
    return code;
}

static const struct command_spec commit_spec = {
    .name = "order commit",
    .arguments = "ID [LINE:QTY]...",
    .help = "Sells what an order holds. With LINE:QTY, so many units of each named line; the rest\n"
            "is released, for good. Lines are numbered from 1.\n"
            "\n" ID_HELP,
    PLAIN_OPTIONS,
    .arguments_min = 1,
    .arguments_max = -1,
};

static int order_commit(int argc, char **argv)
{
    return edit_order(&commit_spec, hf_commit, hf_commit_lines, argc, argv);
}

static const struct command_spec release_spec = {
    .name = "order release",
    .arguments = "ID [LINE:QTY]...",
    .help = "Gives back what an order holds. With LINE:QTY, units of the named lines: QTY is the\n"
            "total released of that line since the order was made, so that repeating the command\n"
            "changes nothing. Lines are numbered from 1.\n"
            "\n" ID_HELP,
    PLAIN_OPTIONS,
    .arguments_min = 1,
    .arguments_max = -1,
};

static int order_release(int argc, char **argv)
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
        "\n" ID_HELP,
    PLAIN_OPTIONS,
    .arguments_min = 1,
    .arguments_max = -1,
};

static int order_return(int argc, char **argv)
{
    return edit_order(&return_spec, NULL, hf_return_lines, argc, argv);
}

/* ---- extend ---- */

static const struct option_spec extend_options[] = {
    {"hold", OPTION_DURATION, &hold_ms, NULL, "TIME",
     "how long from now, as 15m (default: as the SKU's rules or the engine say)"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec extend_spec = {
    .name = "order extend",
    .arguments = "ID",
    .help = "Moves a held order's deadline, if the new one is later.\n"
            "\n" ID_HELP,
    .options = extend_options,
    .option_count = sizeof extend_options / sizeof *extend_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

static int order_extend(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    int code = args_parse(&extend_spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = connect_open(&extend_spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_id id = hf_id_from_text(args.values[0]);
    struct hf_result result = {0};
    enum hf_status status = hf_extend(client, id, hold_ms, &result);
    code = report(client, id, status, &result, NULL, 0);
    hf_client_close(client);
    return code;
}

/* ---- show ---- */

static const struct command_spec show_spec = {
    .name = "order show",
    .arguments = "ID",
    .help =
        "Shows an order: its state, buyer, deadline, and the units that it has now. Lines that\n"
        "have none any more are left out.\n"
        "\n" ID_HELP,
    PLAIN_OPTIONS,
    .arguments_min = 1,
    .arguments_max = 1,
};

static void show_order(const struct hf_order_info *info, const struct hf_stock *items)
{
    static const struct table_column columns[] = {
        {"line", true}, {"item", true}, {"sku", false}, {"pool", false}, {"qty", true}};
    char id_text[37];
    hf_id_to_text(info->id, id_text);
    printf("order     %s\nstate     %s\n", id_text, state_name(info->state));
    if (info->buyer == 0) {
        printf("buyer     none\n");
    } else {
        printf("buyer     %" PRIu64 "\n", info->buyer);
    }
    if (info->state == HF_ORDER_HELD) {
        deadline_line(info->deadline_ms);
    }
    printf("LSN       %" PRIu64 "\n", info->lsn);
    if (info->line_count == 0) {
        return;
    }
    struct table table;
    table_init(&table, columns, 5);
    for (uint32_t i = 0; i < info->line_count; i++) {
        table_number(&table, info->lines[i].line);
        table_number(&table, info->lines[i].item);
        table_text(&table, items[i].sku);
        table_text(&table, items[i].pool);
        table_number(&table, info->lines[i].qty);
    }
    putchar('\n');
    table_flush(&table);
    table_deinit(&table);
}

static void show_order_json(const struct hf_order_info *info, const struct hf_stock *items)
{
    char id_text[37];
    char buyer[24];
    char deadline[TIME_TEXT_BYTES];
    hf_id_to_text(info->id, id_text);
    snprintf(buyer, sizeof buyer, "%" PRIu64, info->buyer);
    time_text(info->deadline_ms, deadline);
    json_t *lines = json_array();
    for (uint32_t i = 0; i < info->line_count; i++) {
        json_array_append_new(
            lines, json_pack("{s:I, s:I, s:s, s:s, s:I}", "line", (json_int_t)info->lines[i].line,
                             "item", (json_int_t)info->lines[i].item, "sku", items[i].sku, "pool",
                             items[i].pool, "qty", (json_int_t)info->lines[i].qty));
    }
    /* The buyer is a text: it may be beyond what a JSON number holds exactly. */
    print_json(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "id", id_text, "state",
                         state_name(info->state), "buyer", buyer, "deadline", deadline,
                         "deadline_ms", (json_int_t)info->deadline_ms, "lsn", (json_int_t)info->lsn,
                         "lines", lines));
}

static int read_and_show(struct hf_client *client, struct hf_id id)
{
    struct hf_order_info info = {0};
    struct hf_order_line *lines = must_alloc(ORDER_LINES_MAX, sizeof *lines);
    struct hf_stock *items = NULL;
    enum hf_status status = hf_get_order(client, id, &info, lines, ORDER_LINES_MAX);
    if (status == HF_OK && info.line_count > 0) {
        uint32_t *handles = must_alloc(info.line_count, sizeof *handles);
        items = must_alloc(info.line_count, sizeof *items);
        for (uint32_t i = 0; i < info.line_count; i++) {
            handles[i] = lines[i].item;
        }
        status = hf_get_items(client, handles, info.line_count, items);
        free(handles);
    }
    int code = EXIT_DONE;
    if (status != HF_OK) {
        code = connect_failed(status, NULL);
    } else if (connection.json) {
        show_order_json(&info, items);
    } else {
        show_order(&info, items);
    }
    free(items);
    free(lines);
    return code;
}

static int order_show(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    int code = args_parse(&show_spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = connect_open(&show_spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = read_and_show(client, hf_id_from_text(args.values[0]));
    hf_client_close(client);
    return code;
}

static const struct subcommand commands[] = {
    {"reserve", order_reserve, "hold units for a buyer, all of an order or nothing"},
    {"commit", order_commit, "sell what an order holds"},
    {"release", order_release, "give back what an order holds"},
    {"extend", order_extend, "move a held order's deadline"},
    {"return", order_return, "take sold units back into stock"},
    {"show", order_show, "show an order"},
};

int command_order(int argc, char **argv)
{
    return run_subcommand("order",
                          "Reserves, commits, releases, extends, returns and shows orders.",
                          commands, sizeof commands / sizeof *commands, argc, argv);
}
