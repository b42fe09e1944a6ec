/* stock_define.c - `holdfast stock define`: makes a SKU's item, and changes its rules.
 *
 * A definition names what it changes (hf_sku.fields, hf_item.fields); all else stays as it is.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/sale.h"
#include "cli/values.h"

static struct connection connection;

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
    {"label", OPTION_TEXT, &label, &given.label, "TEXT", "the product's name, for people"},
    {"limit-per-buyer", OPTION_UNSIGNED, &limit_per_buyer, &given.limit_per_buyer, "N",
     "the most units that one buyer may have, in all pools and orders; 0: no limit"},
    {"opens-at", OPTION_TIME, &opens_at_ms, &given.opens_at, "TIME",
     "when the sale opens, as '2026-11-11 00:00' (local time) or 2026-11-11T00:00:00+08:00; 0: it "
     "is always open"},
    {"closes-at", OPTION_TIME, &closes_at_ms, &given.closes_at, "TIME",
     "when the sale closes; 0: never"},
    {"hold", OPTION_DURATION, &hold_ms, &given.hold, "DURATION",
     "how long units are held if the order does not name a time, as 15m; 0: the engine's hold-ms"},
    {"hold-max", OPTION_DURATION, &hold_ms_max, &given.hold_max, "DURATION",
     "the longest hold that an order may ask for; 0: the engine's hold-ms-max"},
    {"safety", OPTION_SIGNED, &safety, &given.safety, "N",
     "units of the item's stock that are kept back, not sold"},
    {"presale-cap", OPTION_SIGNED, &presale_cap, &given.presale_cap, "N",
     "units of the item that may be sold before they are in stock"},
    {"hot", OPTION_FLAG, &hot, &given.hot, NULL,
     "expect many buyers at once: split the item's counter now, not at the first collisions"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec define_spec = {
    .name = "stock define",
    .arguments = "SKU[@POOL]",
    .help = "Creates an item, a SKU in a pool (default: `default`), if there is none, and changes\n"
            "those rules of the SKU and numbers of the item that options name. All others stay as\n"
            "they are. An item that is new has no stock: see `holdfast stock adjust`.\n"
            "\n"
            "  holdfast stock define 85123A@online --limit-per-buyer 2 --opens-at '2026-11-11 "
            "00:00'\n" ENGINE_HELP,
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

static int tell_defined(struct hf_client *client, const struct hf_sku *sku,
                        const struct hf_sku_rules *was)
{
    struct hf_sku_rules is;
    enum hf_status status = sale_read(client, sku->sku, &is);
    if (status != HF_OK) {
        return connect_failed(status, sku->sku);
    }
    bool about_times = (sku->fields & (HF_SKU_OPENS_AT | HF_SKU_CLOSES_AT)) != 0;
    sale_report(was, &is, "defined", about_times ? SALE_LATER : SALE_ANY, connect_engine_ms(client),
                connection.json);
    return EXIT_DONE;
}

int cmd_stock_define(int argc, char **argv)
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
    struct hf_sku_rules was;
    (void)sale_read(client, name.sku, &was); /* only to print what has changed */
    enum hf_status status = hf_define(client, &sku, sku.fields != 0 ? 1 : 0, &item, 1, NULL);
    if (status == HF_OK) {
        code = tell_defined(client, &sku, &was);
    } else {
        code = connect_failed(status, args.values[0]);
    }
    hf_client_close(client);
    return code;
}
