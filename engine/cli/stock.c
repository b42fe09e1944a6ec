/* stock.c - `holdfast stock`: finds the word below it; and how stock is printed.
 *
 * Threads: the main thread. */
#include "cli/stock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/subcommand.h"

static const struct subcommand commands[] = {
    {"import", cmd_stock_import, "define items and set their stock from a CSV file"},
    {"list", cmd_stock_list, "list all items' stock"},
    {"show", cmd_stock_show, "show one SKU's rules, and its stock in all its pools"},
    {"adjust", cmd_stock_adjust, "change an item's stock"},
    {"move", cmd_stock_move, "move units between two pools of a SKU"},
    {"define", cmd_stock_define, "make a SKU or an item, or change its sale rules"},
    {"open", cmd_stock_open, "open a SKU's sale, now or at a time"},
    {"close", cmd_stock_close, "close a SKU's sale, now or at a time"},
    {"pause", cmd_stock_pause, "pause a SKU's sale"},
    {"resume", cmd_stock_resume, "go on with a SKU's sale that is paused"},
};

static const struct subcommand_group group = {
    .name = "holdfast stock",
    .summary = "Imports, lists, changes and moves stock; opens, pauses and closes sales.",
    .subcommands = commands,
    .count = sizeof commands / sizeof *commands,
};

int cmd_stock(int argc, char **argv)
{
    return run_subcommand(&group, argc, argv);
}

/* The last two are for wide tables. */
static const struct print_column columns[] = {
    {"item", true}, {"sku", false},      {"pool", false},  {"stocked", true},    {"held", true},
    {"sold", true}, {"available", true}, {"safety", true}, {"presale_cap", true}};

#define NARROW_COLUMNS 7u
#define WIDE_COLUMNS   9u

void stock_table_init(struct stock_table *table, const struct hf_stock *rows, uint32_t count)
{
    table->wide = false;
    for (uint32_t i = 0; i < count; i++) {
        table->wide = table->wide || rows[i].safety != 0 || rows[i].presale_cap != 0;
    }
    print_table_init(&table->table, columns, table->wide ? WIDE_COLUMNS : NARROW_COLUMNS);
}

void stock_table_deinit(struct stock_table *table)
{
    print_table_deinit(&table->table);
}

void stock_table_print(struct stock_table *table, const struct hf_stock *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_stock *row = &rows[i];
        print_table_number(&table->table, row->item);
        print_table_text(&table->table, row->sku);
        print_table_text(&table->table, row->pool);
        print_table_number(&table->table, row->stocked);
        print_table_number(&table->table, row->held);
        print_table_number(&table->table, row->sold);
        print_table_number(&table->table, row->available);
        if (table->wide) {
            print_table_number(&table->table, row->safety);
            print_table_number(&table->table, row->presale_cap);
        }
    }
    print_table_flush(&table->table);
}

json_t *stock_object(const struct hf_stock *stock)
{
    return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "item",
                     (json_int_t)stock->item, "sku", stock->sku, "pool", stock->pool, "stocked",
                     (json_int_t)stock->stocked, "held", (json_int_t)stock->held, "sold",
                     (json_int_t)stock->sold, "available", (json_int_t)stock->available, "safety",
                     (json_int_t)stock->safety, "presale_cap", (json_int_t)stock->presale_cap);
}

void stock_print(const struct hf_stock *rows, uint32_t count, bool json)
{
    if (json) {
        struct json_rows array;
        json_rows_open(&array);
        for (uint32_t i = 0; i < count; i++) {
            json_rows_add(&array, stock_object(&rows[i]));
        }
        json_rows_close(&array);
        return;
    }
    struct stock_table table;
    stock_table_init(&table, rows, count);
    stock_table_print(&table, rows, count);
    stock_table_deinit(&table);
}

#define FIRST_GUESS 16u /* pools of a SKU; more cost a second call */

enum hf_status stock_of_sku(struct hf_client *client, const char *sku, struct hf_stock **rows,
                            uint32_t *count)
{
    uint32_t room = FIRST_GUESS;
    *rows = NULL;
    for (;;) {
        *rows = must_grow(*rows, room, sizeof **rows);
        enum hf_status status = hf_get_stock(client, sku, *rows, room, count);
        if (status != HF_OK) {
            free(*rows);
            *rows = NULL;
            *count = 0;
            return status;
        }
        if (*count <= room) {
            return HF_OK;
        }
        room = *count;
    }
}

/* ---- Codes that look like one that is not there ---- */

#define LOOKED_PAGES 2u /* of LIST_STOCK_MAX items, in each of the two readings */

/* Offers the SKUs behind a code, page by page. */
static void offer_skus(struct hf_client *client, const char *after, struct suggest *suggest)
{
    char last[HF_CODE_BYTES];
    snprintf(last, sizeof last, "%s", after);
    for (unsigned page = 0; page < LOOKED_PAGES; page++) {
        struct hf_stock *rows;
        uint32_t count;
        if (hf_list_stock(client, last, LIST_STOCK_MAX, &rows, &count) != HF_OK || count == 0) {
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (strcmp(rows[i].sku, last) != 0) {
                suggest_offer(suggest, rows[i].sku);
            }
            snprintf(last, sizeof last, "%s", rows[i].sku);
        }
        hf_free(rows);
    }
}

/* Codes are listed in the order of their bytes: those that begin alike stand together. Where there
 * are more than are looked at, a mistake in the first half is not found. */
const char *stock_meant(struct hf_client *client, const char *sku, char text[SUGGEST_TEXT_BYTES])
{
    struct suggest suggest;
    char half[HF_CODE_BYTES];
    size_t len = strlen(sku) / 2;
    while (len > 0 && ((unsigned char)sku[len] & 0xC0) == 0x80) {
        len--; /* not in the middle of a letter */
    }
    snprintf(half, sizeof half, "%.*s", (int)len, sku);
    suggest_begin(&suggest, sku);
    offer_skus(client, "", &suggest);
    if (suggest.count == 0 && len > 0) {
        offer_skus(client, half, &suggest);
    }
    return suggest_text(&suggest, text);
}

bool stock_other_pools(struct hf_client *client, const char *sku, char text[POOLS_TEXT_BYTES])
{
    struct hf_stock *rows;
    uint32_t count;
    bool known = stock_of_sku(client, sku, &rows, &count) == HF_OK && count > 0;
    if (known) {
        pools_text(rows, count, text);
    }
    free(rows);
    char meant[SUGGEST_TEXT_BYTES];
    if (!known && stock_meant(client, sku, meant)[0] != '\0') {
        snprintf(text, POOLS_TEXT_BYTES, "there is no such SKU%s", meant);
        known = true;
    }
    return known;
}
