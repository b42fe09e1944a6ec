/* wal_print.c - the log's records as a line of text, and as JSON.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal.h"

/* ---- Text ---- */

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

/* ---- JSON ---- */

static json_t *item_object(const struct item_names *names, uint32_t item)
{
    const char *sku = item_sku(names, item);
    const char *pool = item_pool(names, item);
    return json_pack("{s:I, s:o, s:o}", "item", (json_int_t)item, "sku",
                     json_text(sku, strlen(sku)), "pool", json_text(pool, strlen(pool)));
}

static void set_number(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_bytes(json_t *object, const char *key, struct bytes text)
{
    json_object_set_new(object, key, json_text(text.data, text.len));
}

/* "lines", or where the order was shaped "grants" and how many lines were asked. */
static void held_fields(json_t *object, const struct item_names *names, const struct event *event)
{
    char buyer[24];
    snprintf(buyer, sizeof buyer, "%" PRIu64, event->buyer);
    json_object_set_new(object, "buyer", json_string(buyer));
    json_t *lines = json_array();
    for (uint32_t i = 0; i < event->line_count; i++) {
        const struct order_grant *grant = event->grants ? &event->grants[i] : NULL;
        json_t *line = item_object(names, grant ? grant->item : event->lines[i].item);
        set_number(line, "qty", grant ? grant->qty : event->lines[i].qty);
        if (grant) {
            set_number(line, "line", grant->line);
            set_number(line, "presale_qty", grant->presale_qty);
            set_number(line, "ticket", grant->ticket);
            json_object_set_new(line, "counted", json_boolean(grant->counted));
        }
        json_array_append_new(lines, line);
    }
    json_object_set_new(object, event->grants ? "grants" : "lines", lines);
    if (event->grants) {
        set_number(object, "line_count", event->contents & 0xFFFF);
    }
    if (event->flags & EVENT_COUNTED) {
        json_object_set_new(object, "counted", json_true());
    }
}

static void order_fields(json_t *object, const struct item_names *names, const struct event *event)
{
    if (event->type == EVENT_ORDER_HELD) {
        held_fields(object, names, event);
    }
    if (event->type == EVENT_ORDER_HELD || event->type == EVENT_ORDER_EXTENDED) {
        set_number(object, "deadline_ms", event->deadline_ms);
        return;
    }
    if (event->type != EVENT_ORDER_EXPIRED && event->quantities) {
        json_t *quantities = json_array();
        for (uint32_t i = 0; i < event->line_count; i++) {
            json_array_append_new(quantities, json_integer(event->quantities[i]));
        }
        json_object_set_new(object, "quantities", quantities);
    }
    if (event->flags & EVENT_LATE) {
        json_object_set_new(object, "late", json_true());
    }
}

static void sku_fields(json_t *object, const struct sku_rule *rule)
{
    set_bytes(object, "sku", rule->sku);
    set_bytes(object, "label", rule->label);
    set_number(object, "limit_per_buyer", rule->limit_per_buyer);
    set_number(object, "opens_at_ms", rule->opens_at_ms);
    set_number(object, "closes_at_ms", rule->closes_at_ms);
    json_object_set_new(object, "paused", json_boolean(rule->paused));
    set_number(object, "hold_ms", rule->hold_ms);
    set_number(object, "hold_ms_max", rule->hold_ms_max);
}

static void adjust_fields(json_t *object, const struct item_names *names, const struct event *event)
{
    json_t *item = item_object(names, event->adjust->item);
    json_object_update(object, item);
    json_decref(item);
    json_object_set_new(object, "delta", json_integer(event->adjust->delta));
    json_object_set_new(object, "stocked", json_integer(event->adjust->stocked));
    set_bytes(object, "reason", event->adjust->reason);
    set_bytes(object, "reference", event->adjust->reference);
    json_object_set_new(object, "forced", json_boolean(event->flags & EVENT_FORCED));
}

static void move_fields(json_t *object, const struct item_names *names, const struct event *event)
{
    const struct stock_move *move = event->move;
    json_object_set_new(object, "from", item_object(names, move->from));
    json_object_set_new(object, "to", item_object(names, move->to));
    json_object_set_new(object, "units", json_integer(move->units));
    json_object_set_new(object, "from_stocked", json_integer(move->from_stocked));
    json_object_set_new(object, "to_stocked", json_integer(move->to_stocked));
    set_bytes(object, "reason", move->reason);
    set_bytes(object, "reference", move->reference);
    json_object_set_new(object, "forced", json_boolean(event->flags & EVENT_FORCED));
}

static void item_fields(json_t *object, const struct item_def *def)
{
    set_number(object, "item", def->item);
    set_bytes(object, "sku", def->sku);
    set_bytes(object, "pool", def->pool);
    json_object_set_new(object, "safety", json_integer(def->safety));
    json_object_set_new(object, "presale_cap", json_integer(def->presale_cap));
    json_object_set_new(object, "hot", json_boolean(def->hot));
}

json_t *event_object(const struct item_names *names, const struct event *event, uint64_t wall_ms)
{
    json_t *object = json_pack("{s:I, s:I, s:s}", "lsn", (json_int_t)event->lsn, "wall_ms",
                               (json_int_t)wall_ms, "type", record_type_name(event->type));
    if (event->type != EVENT_SKU_DEFINED && event->type != EVENT_ITEM_DEFINED) {
        char id[ID_TEXT_BYTES];
        id_to_text(event->id, id);
        json_object_set_new(object, "id", json_string(id));
    }
    switch (event->type) {
    case EVENT_SKU_DEFINED:
        sku_fields(object, event->sku);
        break;
    case EVENT_ITEM_DEFINED:
        item_fields(object, event->item);
        break;
    case EVENT_STOCK_ADJUSTED:
        adjust_fields(object, names, event);
        break;
    case EVENT_STOCK_MOVED:
        move_fields(object, names, event);
        break;
    default:
        order_fields(object, names, event);
        break;
    }
    return object;
}
