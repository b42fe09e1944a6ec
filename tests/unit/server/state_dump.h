/* state_dump.h - the whole state of a core as text, a line for each thing, sorted: two states are
 * the same when their texts are. Included by one file of each test program.
 *
 * Threads: one. */
#ifndef UNIT_STATE_DUMP_H
#define UNIT_STATE_DUMP_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/image.h"

struct dump {
    char *text;
    size_t len;
    size_t room;
};

static void dump_add(struct dump *dump, const char *line, size_t len)
{
    if (dump->len + len + 1 > dump->room) {
        dump->room = 2 * dump->room + len + 4096;
        dump->text = realloc(dump->text, dump->room);
        assert_non_null(dump->text);
    }
    memcpy(dump->text + dump->len, line, len + 1);
    dump->len += len;
}

#define DUMP(dump, ...)                                                                            \
    do {                                                                                           \
        char line_[512];                                                                           \
        int len_ = snprintf(line_, sizeof line_, __VA_ARGS__);                                     \
        assert_in_range(len_, 1, sizeof line_ - 1);                                                \
        dump_add(dump, line_, (size_t)len_);                                                       \
    } while (0)

static bool dump_sku(void *context, const struct sku_rule *rule)
{
    DUMP(context,
         "sku %.*s label %.*s limit %" PRIu32 " opens %" PRIu64 " closes %" PRIu64
         " paused %d hold %" PRIu32 " %" PRIu32 "\n",
         (int)rule->sku.len, (const char *)rule->sku.data, (int)rule->label.len,
         rule->label.len ? (const char *)rule->label.data : "", rule->limit_per_buyer,
         rule->opens_at_ms, rule->closes_at_ms, rule->paused, rule->hold_ms, rule->hold_ms_max);
    return true;
}

static bool dump_item(void *context, const struct item_def *def, int64_t stocked, int64_t settled)
{
    DUMP(context,
         "item %" PRIu32 " %.*s@%.*s hot %d safety %" PRId64 " presale %" PRId64 " stocked %" PRId64
         " settled %" PRId64 "\n",
         def->item, (int)def->sku.len, (const char *)def->sku.data, (int)def->pool.len,
         (const char *)def->pool.data, def->hot, def->safety, def->presale_cap, stocked, settled);
    return true;
}

static bool dump_adjustment(void *context, const struct adjustment_made *made)
{
    DUMP(context,
         "adjustment %016" PRIx64 "%016" PRIx64 " item %" PRIu32 " delta %" PRId64
         " stocked %" PRId64 " texts %" PRIx64 "\n",
         made->id.hi, made->id.lo, made->item, made->delta, made->stocked, made->texts);
    return true;
}

static bool dump_buyer(void *context, uint32_t sku, uint64_t buyer, uint32_t units)
{
    DUMP(context, "buyer %" PRIu64 " of sku %" PRIu32 ": %" PRIu32 "\n", buyer, sku, units);
    return true;
}

static bool dump_ticket(void *context, uint32_t item, uint32_t ticket, uint32_t units)
{
    DUMP(context, "ticket %" PRIu32 " of item %" PRIu32 ": %" PRIu32 "\n", ticket, item, units);
    return true;
}

static int dump_compare(const void *a, const void *b)
{
    struct id128 x = ((const struct order_view *)a)->id;
    struct id128 y = ((const struct order_view *)b)->id;
    int order = (x.hi > y.hi) - (x.hi < y.hi);
    return order ? order : (x.lo > y.lo) - (x.lo < y.lo);
}

static void dump_order(struct dump *dump, struct inventory *inventory, struct id128 id)
{
    static struct order_line_view lines[ORDER_LINES_MAX];
    struct order_view view;
    assert_int_equal(inventory_order(inventory, id, &view, lines, ORDER_LINES_MAX), HF_OK);
    DUMP(dump,
         "order %016" PRIx64 "%016" PRIx64 " state %d buyer %" PRIu64 " deadline %" PRIu64
         " lsn %" PRIu64 " lines %" PRIu32 "\n",
         id.hi, id.lo, (int)view.state, view.buyer, view.deadline_ms, view.lsn, view.line_count);
    for (uint32_t i = 0; i < view.line_count; i++) {
        const struct order_line_view *line = &lines[i];
        DUMP(dump,
             "  item %" PRIu32 " qty %" PRIu32 " released %" PRIu32 " committed %" PRIu32
             " returned %" PRIu32 " presale %" PRIu32 " ticket %" PRIu32 " line %u counted %d\n",
             line->item, line->qty, line->released, line->committed, line->returned,
             line->presale_qty, line->ticket, line->line, line->counted);
    }
}

static void dump_orders(struct dump *dump, struct inventory *inventory)
{
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    struct order_view *views = malloc((counts.orders_known + 1) * sizeof *views);
    assert_non_null(views);
    const struct order_filter filter = {0};
    struct order_cursor cursor = {0};
    uint32_t count = 0;
    while (!cursor.done) {
        count += inventory_list_orders(inventory, &filter, &cursor, views + count,
                                       (uint32_t)counts.orders_known + 1 - count, UINT32_MAX);
    }
    assert_int_equal(count, counts.orders_known);
    qsort(views, count, sizeof *views, dump_compare);
    for (uint32_t i = 0; i < count; i++) {
        dump_order(dump, inventory, views[i].id);
    }
    DUMP(dump, "orders %" PRIu64 " held %" PRIu64 " buyers %" PRIu64 "\n", counts.orders_known,
         counts.orders_held, counts.buyers);
    free(views);
}

static void dump_stock(struct dump *dump, struct inventory *inventory)
{
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    for (uint32_t item = 1; item <= counts.items; item++) {
        struct item_view view;
        assert_int_equal(inventory_item(inventory, item, &view), HF_OK);
        DUMP(dump,
             "stock %" PRIu32 ": stocked %" PRId64 " held %" PRId64 " sold %" PRId64
             " available %" PRId64 "\n",
             item, view.stock.stocked, view.stock.held, view.stock.sold, view.stock.available);
    }
}

/* The text; free() it. */
static char *dump_state(struct inventory *inventory)
{
    struct dump dump = {0};
    const struct ledger_visitor visitor = {&dump,           dump_sku,   dump_item,
                                           dump_adjustment, dump_buyer, dump_ticket};
    assert_true(inventory_visit_ledger(inventory, &visitor));
    dump_stock(&dump, inventory);
    dump_orders(&dump, inventory);
    DUMP(&dump, "digest %016" PRIx64 "\n", inventory_digest(inventory));
    return dump.text;
}

/* Fails with the first line that differs. */
static void assert_same_state(const char *expected, const char *found)
{
    size_t line = 0;
    for (size_t i = 0;; i++) {
        if (expected[i] != found[i]) {
            fail_msg("expected: %.*s\nfound:    %.*s", (int)strcspn(expected + line, "\n"),
                     expected + line, (int)strcspn(found + line, "\n"), found + line);
        }
        if (expected[i] == '\0') {
            return;
        }
        line = expected[i] == '\n' ? i + 1 : line;
    }
}

#endif
