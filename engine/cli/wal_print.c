/* wal_print.c - the log's records as lines of text.
 *
 * Threads: the main thread. */
#include "cli/wal_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "cli/print.h"
#include "cli/values.h"
#include "wal/record.h"

/* KEY="VALUE", with quotes inside doubled. */
static void print_quoted(const char *key, struct bytes text)
{
    if (text.len == 0) {
        return;
    }
    printf(" %s=\"", key);
    for (size_t i = 0; i < text.len;) {
        char piece[LABEL_BYTES_MAX + 1];
        size_t used = 0;
        for (; i < text.len && used < LABEL_BYTES_MAX && text.data[i] != '"'; i++) {
            piece[used++] = (char)text.data[i];
        }
        piece[used] = '\0';
        print_safe(stdout, piece);
        if (i < text.len && text.data[i] == '"') {
            fputs("\"\"", stdout);
            i++;
        }
    }
    putchar('"');
}

static void print_item(const struct item_names *names, uint32_t item)
{
    printf(" %" PRIu32 ":", item);
    print_safe(stdout, item_sku(names, item));
    putchar('@');
    print_safe(stdout, item_pool(names, item));
}

static void print_time(const char *key, uint64_t unix_ms)
{
    char text[TIME_TEXT_BYTES];
    if (unix_ms != 0) {
        time_text(unix_ms, text);
        printf(" %s=%s", key, text);
    }
}

/* What each line was given: LINE=ITEM xQTY, and how much of it stock does not cover. */
static void print_grants(const struct item_names *names, const struct event *event)
{
    printf(" lines=%u", (unsigned)(event->contents & 0xFFFF));
    for (uint32_t i = 0; i < event->line_count; i++) {
        const struct order_grant *grant = &event->grants[i];
        printf(" line %u:", grant->line);
        print_item(names, grant->item);
        printf(" x%" PRIu32, grant->qty);
        if (grant->presale_qty != 0) {
            printf(" presale=%" PRIu32 " ticket=%" PRIu32, grant->presale_qty, grant->ticket);
        }
        fputs(grant->counted ? " counted" : "", stdout);
    }
}

static void print_held(const struct item_names *names, const struct event *event)
{
    if (event->buyer != 0) {
        printf(" buyer=%" PRIu64, event->buyer);
    }
    print_time("deadline", event->deadline_ms);
    if (event->grants) {
        print_grants(names, event);
        return;
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        print_item(names, event->lines[i].item);
        printf(" x%" PRIu32, event->lines[i].qty);
    }
    fputs(event->flags & EVENT_COUNTED ? " counted" : "", stdout);
}

static void print_order(const struct item_names *names, const struct event *event)
{
    char id[ID_TEXT_BYTES];
    id_to_text(event->id, id);
    printf(" %s", id);
    if (event->type == EVENT_ORDER_HELD) {
        print_held(names, event);
    }
    if (event->type == EVENT_ORDER_EXTENDED) {
        print_time("deadline", event->deadline_ms);
    }
    bool has_quantities = event->type == EVENT_ORDER_COMMITTED ||
                          event->type == EVENT_ORDER_RELEASED ||
                          event->type == EVENT_ORDER_RETURNED;
    for (uint32_t i = 0; has_quantities && event->quantities && i < event->line_count; i++) {
        printf(" %" PRIu32 ":%" PRIu32, i + 1, event->quantities[i]);
    }
    if (event->flags & EVENT_LATE) {
        printf(" late");
    }
}

static void print_sku(const struct sku_rule *rule)
{
    print_quoted("sku", rule->sku);
    print_quoted("label", rule->label);
    if (rule->limit_per_buyer != 0) {
        printf(" limit_per_buyer=%" PRIu32, rule->limit_per_buyer);
    }
    print_time("opens_at", rule->opens_at_ms);
    print_time("closes_at", rule->closes_at_ms);
    if (rule->paused) {
        printf(" paused");
    }
    if (rule->hold_ms != 0) {
        printf(" hold_ms=%" PRIu32, rule->hold_ms);
    }
    if (rule->hold_ms_max != 0) {
        printf(" hold_ms_max=%" PRIu32, rule->hold_ms_max);
    }
}

static void print_adjust(const struct item_names *names, const struct event *event)
{
    print_item(names, event->adjust->item);
    printf(" %+" PRId64 " stocked=%" PRId64, event->adjust->delta, event->adjust->stocked);
    print_quoted("reason", event->adjust->reason);
    print_quoted("reference", event->adjust->reference);
    fputs(event->flags & EVENT_FORCED ? " forced" : "", stdout);
}

static void print_move(const struct item_names *names, const struct event *event)
{
    const struct stock_move *move = event->move;
    printf(" %" PRId64 " from", move->units);
    print_item(names, move->from);
    printf(" stocked=%" PRId64 " to", move->from_stocked);
    print_item(names, move->to);
    printf(" stocked=%" PRId64, move->to_stocked);
    print_quoted("reason", move->reason);
    print_quoted("reference", move->reference);
    fputs(event->flags & EVENT_FORCED ? " forced" : "", stdout);
}

void print_event(const struct item_names *names, const struct event *event, uint64_t wall_ms)
{
    char when[TIME_TEXT_BYTES];
    time_text(wall_ms, when);
    printf("%12" PRIu64 "  %s  %-15s", event->lsn, when, record_type_name(event->type));
    switch (event->type) {
    case EVENT_SKU_DEFINED:
        print_sku(event->sku);
        break;
    case EVENT_ITEM_DEFINED:
        print_item(names, event->item->item);
        printf(" safety=%" PRId64 " presale_cap=%" PRId64 "%s", event->item->safety,
               event->item->presale_cap, event->item->hot ? " hot" : "");
        break;
    case EVENT_STOCK_ADJUSTED:
    case EVENT_STOCK_MOVED: {
        char id[ID_TEXT_BYTES];
        id_to_text(event->id, id);
        printf(" %s", id);
        event->type == EVENT_STOCK_ADJUSTED ? print_adjust(names, event) : print_move(names, event);
        break;
    }
    default:
        print_order(names, event);
        break;
    }
    putchar('\n');
}

void wal_learn_item(struct item_names *names, const struct item_def *def)
{
    if (item_names_learn(names, def) != HF_OK) {
        must_have(NULL);
    }
}
