/* event_json.c - the log's records as JSON objects.
 *
 * Threads: any; pure functions. */
#include "feed/event_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "feed/json.h"
#include "wal/record.h"

/* An object in the making. */
struct fields {
    json_t *object;
    bool whole; /* no member was left out for want of memory */
};

/* Takes the value; NULL: no memory for it. */
static void set(struct fields *fields, const char *key, json_t *value)
{
    fields->whole = json_object_set_new(fields->object, key, value) == 0 && fields->whole;
}

static void set_number(struct fields *fields, const char *key, uint64_t value)
{
    set(fields, key, json_integer((json_int_t)value));
}

static void set_bytes(struct fields *fields, const char *key, struct bytes text)
{
    set(fields, key, json_text(text.data, text.len));
}

static void set_text(struct fields *fields, const char *key, const char *text)
{
    set(fields, key, json_text(text, strlen(text)));
}

/* The object; NULL: no memory for all of it. */
static json_t *finish(struct fields *fields)
{
    if (!fields->whole) {
        json_decref(fields->object);
        return NULL;
    }
    return fields->object;
}

static struct fields begin(void)
{
    json_t *object = json_object();
    return (struct fields){object, object != NULL};
}

static void name_item(struct fields *fields, const struct item_names *names, uint32_t item)
{
    set_number(fields, "item", item);
    set_text(fields, "sku", item_sku(names, item));
    set_text(fields, "pool", item_pool(names, item));
}

static json_t *item_object(const struct item_names *names, uint32_t item)
{
    struct fields fields = begin();
    name_item(&fields, names, item);
    return finish(&fields);
}

static json_t *line_object(const struct item_names *names, const struct event *event, uint32_t i)
{
    const struct order_grant *grant = event->grants ? &event->grants[i] : NULL;
    struct fields fields = begin();
    name_item(&fields, names, grant ? grant->item : event->lines[i].item);
    set_number(&fields, "qty", grant ? grant->qty : event->lines[i].qty);
    if (grant) {
        set_number(&fields, "line", grant->line);
        set_number(&fields, "presale_qty", grant->presale_qty);
        set_number(&fields, "ticket", grant->ticket);
        set(&fields, "counted", json_boolean(grant->counted));
    }
    return finish(&fields);
}

/* "lines"; or, where filling has chosen what each line was granted, "grants" and how many lines
 * were asked for. */
static void held_fields(struct fields *fields, const struct item_names *names,
                        const struct event *event)
{
    char buyer[24];
    snprintf(buyer, sizeof buyer, "%" PRIu64, event->buyer);
    set(fields, "buyer", json_string(buyer));
    json_t *lines = json_array();
    for (uint32_t i = 0; i < event->line_count; i++) {
        json_t *line = line_object(names, event, i);
        fields->whole = json_array_append_new(lines, line) == 0 && fields->whole;
    }
    set(fields, event->grants ? "grants" : "lines", lines);
    if (event->grants) {
        set_number(fields, "line_count", event->contents & 0xFFFF);
    }
    if (event->flags & EVENT_COUNTED) {
        set(fields, "counted", json_true());
    }
}

static void quantity_fields(struct fields *fields, const struct event *event)
{
    json_t *quantities = json_array();
    for (uint32_t i = 0; i < event->line_count; i++) {
        json_t *quantity = json_integer(event->quantities[i]);
        fields->whole = json_array_append_new(quantities, quantity) == 0 && fields->whole;
    }
    set(fields, "quantities", quantities);
}

static void order_fields(struct fields *fields, const struct item_names *names,
                         const struct event *event)
{
    if (event->type == EVENT_ORDER_HELD) {
        held_fields(fields, names, event);
    }
    if (event->type == EVENT_ORDER_HELD || event->type == EVENT_ORDER_EXTENDED) {
        set_number(fields, "deadline_ms", event->deadline_ms);
        return;
    }
    if (event->type != EVENT_ORDER_EXPIRED && event->quantities) {
        quantity_fields(fields, event);
    }
    if (event->flags & EVENT_LATE) {
        set(fields, "late", json_true());
    }
}

static void sku_fields(struct fields *fields, const struct sku_rule *rule)
{
    set_bytes(fields, "sku", rule->sku);
    set_bytes(fields, "label", rule->label);
    set_number(fields, "limit_per_buyer", rule->limit_per_buyer);
    set_number(fields, "opens_at_ms", rule->opens_at_ms);
    set_number(fields, "closes_at_ms", rule->closes_at_ms);
    set(fields, "paused", json_boolean(rule->paused));
    set_number(fields, "hold_ms", rule->hold_ms);
    set_number(fields, "hold_ms_max", rule->hold_ms_max);
}

static void adjust_fields(struct fields *fields, const struct item_names *names,
                          const struct event *event)
{
    name_item(fields, names, event->adjust->item);
    set(fields, "delta", json_integer(event->adjust->delta));
    set(fields, "stocked", json_integer(event->adjust->stocked));
    set_bytes(fields, "reason", event->adjust->reason);
    set_bytes(fields, "reference", event->adjust->reference);
    set(fields, "forced", json_boolean(event->flags & EVENT_FORCED));
}

static void move_fields(struct fields *fields, const struct item_names *names,
                        const struct event *event)
{
    const struct stock_move *move = event->move;
    set(fields, "from", item_object(names, move->from));
    set(fields, "to", item_object(names, move->to));
    set(fields, "units", json_integer(move->units));
    set(fields, "from_stocked", json_integer(move->from_stocked));
    set(fields, "to_stocked", json_integer(move->to_stocked));
    set_bytes(fields, "reason", move->reason);
    set_bytes(fields, "reference", move->reference);
    set(fields, "forced", json_boolean(event->flags & EVENT_FORCED));
}

static void item_fields(struct fields *fields, const struct item_def *def)
{
    set_number(fields, "item", def->item);
    set_bytes(fields, "sku", def->sku);
    set_bytes(fields, "pool", def->pool);
    set(fields, "safety", json_integer(def->safety));
    set(fields, "presale_cap", json_integer(def->presale_cap));
    set(fields, "hot", json_boolean(def->hot));
}

json_t *event_object(const struct item_names *names, const struct event *event, uint64_t wall_ms)
{
    struct fields fields = begin();
    set_number(&fields, "lsn", event->lsn);
    set_number(&fields, "wall_ms", wall_ms);
    set(&fields, "type", json_string(record_type_name(event->type)));
    if (event->type != EVENT_SKU_DEFINED && event->type != EVENT_ITEM_DEFINED) {
        char id[ID_TEXT_BYTES];
        id_to_text(event->id, id);
        set(&fields, "id", json_string(id));
    }
    switch (event->type) {
    case EVENT_SKU_DEFINED:
        sku_fields(&fields, event->sku);
        break;
    case EVENT_ITEM_DEFINED:
        item_fields(&fields, event->item);
        break;
    case EVENT_STOCK_ADJUSTED:
        adjust_fields(&fields, names, event);
        break;
    case EVENT_STOCK_MOVED:
        move_fields(&fields, names, event);
        break;
    default:
        order_fields(&fields, names, event);
        break;
    }
    return finish(&fields);
}
