/* stock_rules.c - `holdfast stock define`, `open`, `pause` and `close`: a SKU's sale rules.
 *
 * A definition names the rules that it changes (hf_sku.fields); all others stay as they are.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/stock.h"
#include "cli/values.h"

static struct connection connection;

static void report(const struct hf_sku *sku, const char *what)
{
    if (connection.json) {
        print_json(json_pack("{s:s, s:s, s:s}", "sku", sku->sku, "status", "OK", "done", what));
    } else {
        print_safe(stdout, sku->sku);
        printf(": %s\n", what);
    }
}

/* ---- open, pause, close ---- */

static uint64_t at_ms;
static bool has_at;

static const struct option_spec at_options[] = {
    {"at", OPTION_TIME, &at_ms, &has_at, "TIME", "not now but then, as 2026-11-11T00:00:00+08:00"},
    CONNECTION_OPTIONS(connection),
};

static const struct option_spec plain_options[] = {CONNECTION_OPTIONS(connection)};

#define SALE_TEXT_BYTES (TIME_TEXT_BYTES + 16u)

/* "closed", or "closes at 2026-11-12T00:00:00.000Z". */
static void sale_text(char text[SALE_TEXT_BYTES], const char *now, const char *later)
{
    char when[TIME_TEXT_BYTES];
    time_text(at_ms, when);
    snprintf(text, SALE_TEXT_BYTES, "%s%s%s", has_at ? later : now, has_at ? " " : "",
             has_at ? when : "");
}

/* A SKU's code may hold an @; one that the engine does not know is most often meant as SKU@POOL. */
static int no_such_sku(const char *code)
{
    struct item_name item;
    char reason[REASON_BYTES];
    char text[CONNECT_REASON_BYTES];
    connect_reason(HF_UNKNOWN_ITEM, code, text);
    if (parse_item(code, &item, reason) && item.has_pool) {
        snprintf(text, sizeof text,
                 "%s: there is no such SKU; a sale's rules belong to the SKU in "
                 "all its pools: name it without a pool, as %s",
                 code, item.sku);
    }
    if (connection.json) {
        print_json(error_object(HF_UNKNOWN_ITEM, text));
    }
    return connect_say(HF_UNKNOWN_ITEM, text);
}

/* Changes the rules of a SKU that exists: a misspelt code must not make a new one. */
static int change_sale(const struct command_spec *spec, struct hf_sku *sku, const char *what)
{
    struct hf_client *client;
    struct hf_stock *rows;
    uint32_t count;
    int code = connect_open(spec, &connection, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    enum hf_status status = stock_of_sku(client, sku->sku, &rows, &count);
    free(rows);
    if (status == HF_OK) {
        status = hf_define(client, sku, 1, NULL, 0, NULL);
    }
    if (status == HF_OK) {
        report(sku, what);
        code = EXIT_DONE;
    } else {
        code = status == HF_UNKNOWN_ITEM ? no_such_sku(sku->sku) : connect_failed(status, sku->sku);
    }
    hf_client_close(client);
    return code;
}

static int parse_sale(const struct command_spec *spec, int argc, char **argv,
                      char code[HF_CODE_BYTES])
{
    struct args args;
    char reason[REASON_BYTES];
    int result = args_parse(spec, argc, argv, &args);
    if (result == ARGS_GO_ON && !parse_code(args.values[0], code, reason)) {
        result = args_wrong(spec, "'%s' %s", args.values[0], reason);
    }
    return result;
}

static const struct command_spec open_spec = {
    .name = "stock open",
    .arguments = "SKU",
    .help = "Opens a SKU's sale: it is not paused, has no closing time, and opens now or at a\n"
            "time.\n",
    .options = at_options,
    .option_count = sizeof at_options / sizeof *at_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

int stock_open_sale(int argc, char **argv)
{
    char code[HF_CODE_BYTES];
    int result = parse_sale(&open_spec, argc, argv, code);
    if (result != ARGS_GO_ON) {
        return result;
    }
    struct hf_sku sku = {.sku = code,
                         .opens_at_ms = has_at ? at_ms : 0,
                         .fields = HF_SKU_OPENS_AT | HF_SKU_CLOSES_AT | HF_SKU_PAUSED};
    char what[SALE_TEXT_BYTES];
    sale_text(what, "open", "opens at");
    return change_sale(&open_spec, &sku, what);
}

static const struct command_spec pause_spec = {
    .name = "stock pause",
    .arguments = "SKU",
    .help = "Pauses a SKU's sale: reserves are refused with PAUSED until `holdfast stock open`.\n"
            "Orders that are held stay, and can be committed.\n",
    .options = plain_options,
    .option_count = sizeof plain_options / sizeof *plain_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

int stock_pause_sale(int argc, char **argv)
{
    char code[HF_CODE_BYTES];
    int result = parse_sale(&pause_spec, argc, argv, code);
    if (result != ARGS_GO_ON) {
        return result;
    }
    struct hf_sku sku = {.sku = code, .paused = true, .fields = HF_SKU_PAUSED};
    return change_sale(&pause_spec, &sku, "paused");
}

static const struct command_spec close_spec = {
    .name = "stock close",
    .arguments = "SKU",
    .help = "Closes a SKU's sale, now or at a time: reserves are refused with CLOSED. Orders that\n"
            "are held stay, and can be committed.\n",
    .options = at_options,
    .option_count = sizeof at_options / sizeof *at_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

int stock_close_sale(int argc, char **argv)
{
    char code[HF_CODE_BYTES];
    int result = parse_sale(&close_spec, argc, argv, code);
    if (result != ARGS_GO_ON) {
        return result;
    }
    struct hf_sku sku = {.sku = code,
                         .closes_at_ms = has_at ? at_ms : clock_unix_ms(clock_real()),
                         .fields = HF_SKU_CLOSES_AT};
    char what[SALE_TEXT_BYTES];
    sale_text(what, "closed", "closes at");
    return change_sale(&close_spec, &sku, what);
}

/* ---- define ---- */

static const char *label;
static uint64_t limit_per_buyer;
static uint64_t opens_at_ms;
static uint64_t closes_at_ms;
static uint32_t hold_ms;
static uint32_t hold_ms_max;
static int64_t safety;
static int64_t presale_cap;
static bool hot;

static struct {
    bool label, limit_per_buyer, opens_at, closes_at, hold, hold_max, safety, presale_cap, hot;
} given;

static const struct option_spec define_options[] = {
    {"label", OPTION_TEXT, &label, &given.label, "TEXT", "the SKU's name for people"},
    {"limit-per-buyer", OPTION_UNSIGNED, &limit_per_buyer, &given.limit_per_buyer, "N",
     "units that one buyer may have, over all pools and orders; 0: any number"},
    {"opens-at", OPTION_TIME, &opens_at_ms, &given.opens_at, "TIME", "0: always open"},
    {"closes-at", OPTION_TIME, &closes_at_ms, &given.closes_at, "TIME", "0: never closes"},
    {"hold", OPTION_DURATION, &hold_ms, &given.hold, "DURATION",
     "how long units are held when the order does not say"},
    {"hold-max", OPTION_DURATION, &hold_ms_max, &given.hold_max, "DURATION",
     "the longest that an order may ask for"},
    {"safety", OPTION_SIGNED, &safety, &given.safety, "N", "units of the item that are kept back"},
    {"presale-cap", OPTION_SIGNED, &presale_cap, &given.presale_cap, "N",
     "units of the item that may be sold beyond its stock"},
    {"hot", OPTION_FLAG, &hot, &given.hot, NULL,
     "many buyers at once: split the item's counter now"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec define_spec = {
    .name = "stock define",
    .arguments = "SKU[@POOL]",
    .help = "Makes a SKU's item in a pool (no pool: default) if there is none, and changes those\n"
            "rules of the SKU and numbers of the item that options name.\n",
    .options = define_options,
    .option_count = sizeof define_options / sizeof *define_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

static int check_define(void)
{
    char why[TEXT_ERROR_BYTES];
    if (given.label && !text_fits(TEXT_LABEL, label, why)) {
        return args_wrong(&define_spec, "option --label: %s", why);
    }
    if (limit_per_buyer > UINT32_MAX) {
        return args_wrong(&define_spec, "option --limit-per-buyer: must be 0..%" PRIu32,
                          UINT32_MAX);
    }
    if (safety < 0 || safety > STOCK_MAX) {
        return args_wrong(&define_spec, "option --safety: must be 0..%" PRId64, STOCK_MAX);
    }
    if (presale_cap < 0 || presale_cap > STOCK_MAX) {
        return args_wrong(&define_spec, "option --presale-cap: must be 0..%" PRId64, STOCK_MAX);
    }
    return ARGS_GO_ON;
}

static uint32_t given_fields(void)
{
    return (given.label ? HF_SKU_LABEL : 0u) |
           (given.limit_per_buyer ? HF_SKU_LIMIT_PER_BUYER : 0u) |
           (given.opens_at ? HF_SKU_OPENS_AT : 0u) | (given.closes_at ? HF_SKU_CLOSES_AT : 0u) |
           (given.hold ? HF_SKU_HOLD : 0u) | (given.hold_max ? HF_SKU_HOLD_MAX : 0u);
}

int stock_define_rules(int argc, char **argv)
{
    struct args args;
    struct item_name name;
    struct hf_client *client;
    char reason[REASON_BYTES];
    int code = args_parse(&define_spec, argc, argv, &args);
    if (code == ARGS_GO_ON && !parse_item(args.values[0], &name, reason)) {
        code = args_wrong(&define_spec, "'%s' %s", args.values[0], reason);
    }
    if (code == ARGS_GO_ON) {
        code = check_define();
    }
    if (code == ARGS_GO_ON) {
        code = connect_open(&define_spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_sku sku = {.sku = name.sku,
                         .label = label,
                         .limit_per_buyer = (uint32_t)limit_per_buyer,
                         .opens_at_ms = opens_at_ms,
                         .closes_at_ms = closes_at_ms,
                         .hold_ms = hold_ms,
                         .hold_ms_max = hold_ms_max,
                         .fields = given_fields()};
    struct hf_item item = {.sku = name.sku,
                           .pool = name.pool,
                           .safety = safety,
                           .presale_cap = presale_cap,
                           .hot = hot,
                           .fields = (given.safety ? HF_ITEM_SAFETY : 0u) |
                                     (given.presale_cap ? HF_ITEM_PRESALE_CAP : 0u) |
                                     (given.hot ? HF_ITEM_HOT : 0u)};
    enum hf_status status = hf_define(client, &sku, sku.fields != 0 ? 1 : 0, &item, 1, NULL);
    if (status == HF_OK) {
        report(&sku, "defined");
        code = EXIT_DONE;
    } else {
        code = connect_failed(status, args.values[0]);
    }
    hf_client_close(client);
    return code;
}
