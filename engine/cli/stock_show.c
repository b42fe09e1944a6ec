/* stock_show.c - `holdfast stock show`: one SKU's rules, and its stock in its pools.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/times.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/stock_find.h"
#include "cli/stock_print.h"
#include "cli/values.h"

static struct connection connection;

static const struct option_spec show_options[] = {CONNECTION_OPTIONS(connection)};

static const struct command_spec show_spec = {
    .name = "stock show",
    .arguments = "SKU[@POOL]",
    .help = "Shows the rules of a SKU's sale, and its stock in all its pools, or in one. Changes\n"
            "nothing.\n"
            "\n"
            "available: what can be reserved now: stocked - safety - held - sold + presale_cap.\n"
            "\n"
            "  holdfast stock show 85123A\n"
            "  holdfast stock show 85123A@online\n" ENGINE_HELP,
    .options = show_options,
    .option_count = sizeof show_options / sizeof *show_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

/* "open", "paused", "opens 2026-11-11 00:00:00 +08:00, closes ...": the state of the sale. */
static void print_sale(const struct hf_sku_rules *rules, uint64_t now_ms)
{
    char when[TIME_TEXT_BYTES];
    bool closed = rules->closes_at_ms != 0 && rules->closes_at_ms <= now_ms;
    bool waits = rules->opens_at_ms > now_ms;
    printf("sale             %s", rules->paused ? "paused"
                                  : closed      ? "closed"
                                  : waits       ? "not open yet"
                                                : "open");
    if (rules->opens_at_ms != 0) {
        time_local_text(rules->opens_at_ms, when);
        printf(", %s %s", waits ? "opens" : "opened", when);
    }
    if (rules->closes_at_ms != 0) {
        time_local_text(rules->closes_at_ms, when);
        printf(", %s %s", closed ? "closed" : "closes", when);
    }
    putchar('\n');
}

/* now_ms: of the engine. */
static void print_rules(const struct hf_sku_rules *rules, uint64_t now_ms)
{
    char hold[DURATION_TEXT_BYTES];
    char hold_max[DURATION_TEXT_BYTES];
    duration_text(rules->hold_ms, hold);
    duration_text(rules->hold_ms_max, hold_max);
    printf("SKU              ");
    print_safe(stdout, rules->sku);
    if (rules->label[0] != '\0') {
        printf("\nlabel            ");
        print_safe(stdout, rules->label);
    }
    putchar('\n');
    print_sale(rules, now_ms);
    if (rules->limit_per_buyer != 0) {
        printf("limit per buyer  %" PRIu32 "\n", rules->limit_per_buyer);
    }
    printf("hold             %s; at most %s\n\n", rules->hold_ms ? hold : "the engine's hold-ms",
           rules->hold_ms_max ? hold_max : "the engine's hold-ms-max");
}

static json_t *rules_object(const struct hf_sku_rules *rules)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:I, s:I}", "sku", rules->sku, "label",
                     rules->label, "limit_per_buyer", (json_int_t)rules->limit_per_buyer,
                     "opens_at_ms", (json_int_t)rules->opens_at_ms, "closes_at_ms",
                     (json_int_t)rules->closes_at_ms, "paused", (int)rules->paused, "hold_ms",
                     (json_int_t)rules->hold_ms, "hold_ms_max", (json_int_t)rules->hold_ms_max);
}

static void show_rows(struct hf_client *client, const struct hf_sku_rules *rules,
                      const struct hf_stock *rows, uint32_t count)
{
    if (!connection.json) {
        print_rules(rules, connect_engine_ms(client));
        stock_print(rows, count, false);
        return;
    }
    json_t *object = rules_object(rules);
    json_t *items = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(items, stock_object(&rows[i]));
    }
    json_object_set_new(object, "items", items);
    print_json(object);
}

/* The row of a pool; NULL if the SKU is not in it. */
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

/* whole: the argument unchanged, since a SKU's code may contain an @. */
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
    if (status == HF_UNKNOWN_ITEM && !rows) {
        char meant[SUGGEST_TEXT_BYTES];
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s", stock_meant(client, name->sku, meant));
    }
    struct hf_sku_rules rules;
    if (status == HF_OK) {
        const char *sku = rows[0].sku;
        status = hf_get_skus(client, &sku, 1, &rules);
        connect_reason(status, sku, text);
    }
    int code = EXIT_DONE;
    if (status == HF_OK) {
        show_rows(client, &rules, row ? row : rows, row ? 1 : count);
    } else {
        code = connect_say(status, text);
        if (connection.json) {
            print_json(error_object(status, text));
        }
    }
    free(rows);
    return code;
}

int cmd_stock_show(int argc, char **argv)
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
