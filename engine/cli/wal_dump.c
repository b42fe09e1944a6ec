/* wal_dump.c - `holdfast wal dump`: prints a log's records, one a line.
 *
 * Items are handles in the log; their names are learned from the ITEM_DEFINED records on the way,
 * so the log is always read from its beginning, whatever part of it is printed.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal.h"

static const char *data = DATA_DEFAULT;
static bool json;
static struct wal_log opened;
static uint64_t from_lsn;
static uint64_t to_lsn = UINT64_MAX;
static uint64_t limit = UINT64_MAX;
static const char *type_name;
static const char *order_text;
static const char *sku_text;
static uint64_t item_wanted;

static const struct option_spec options[] = {
    {"data", OPTION_TEXT, &data, NULL, "DIR", "the engine's directory (default: " DATA_DEFAULT ")"},
    {"from", OPTION_UNSIGNED, &from_lsn, NULL, "LSN", "from the record with this LSN on"},
    {"to", OPTION_UNSIGNED, &to_lsn, NULL, "LSN", "up to the record with this LSN"},
    {"limit", OPTION_UNSIGNED, &limit, NULL, "N", "at most so many records"},
    {"type", OPTION_TEXT, &type_name, NULL, "NAME", "only records of this type, as ORDER_HELD"},
    {"order", OPTION_TEXT, &order_text, NULL, "ID", "only records of this order"},
    {"sku", OPTION_TEXT, &sku_text, NULL, "SKU[@POOL]", "only records that name this SKU or item"},
    {"item", OPTION_UNSIGNED, &item_wanted, NULL, "N", "only records that name this item"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON, one object a line"},
};

static const struct command_spec spec = {
    .name = "wal dump",
    .arguments = "",
    .help = "Prints a log's records, one a line: its LSN, the time when its block was sealed, its\n"
            "type, and what it holds. Reads only; may run beside the log's engine.\n"
            "\n"
            "--sku and --item find records that name an item: definitions, adjustments and\n"
            "ORDER_HELD. What became of those orders later is found with --order.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* ---- Names of items ---- */

struct item_names {
    struct arena arena;
    uint32_t count; /* handles below it may have a name */
    struct {
        const char *sku;
        const char *pool;
    } * names; /* by handle; sku NULL: not defined yet */
};

static char *copy_bytes(struct arena *arena, struct bytes text)
{
    char *copy = must_have(arena_alloc(arena, text.len + 1));
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

static void learn(struct item_names *names, const struct item_def *def)
{
    if (def->item > ITEMS_MAX) {
        return; /* no engine makes such a handle; it stays without a name */
    }
    if (def->item >= names->count) {
        uint32_t count = def->item * 2 + 64;
        names->names = must_grow(names->names, count, sizeof *names->names);
        memset(names->names + names->count, 0, (count - names->count) * sizeof *names->names);
        names->count = count;
    }
    if (!names->names[def->item].sku) {
        names->names[def->item].sku = copy_bytes(&names->arena, def->sku);
        names->names[def->item].pool = copy_bytes(&names->arena, def->pool);
    }
}

static const char *sku_of(const struct item_names *names, uint32_t item)
{
    const char *sku = item < names->count ? names->names[item].sku : NULL;
    return sku ? sku : "?";
}

static const char *pool_of(const struct item_names *names, uint32_t item)
{
    const char *pool = item < names->count ? names->names[item].pool : NULL;
    return pool ? pool : "?";
}

/* ---- Which records ---- */

struct filter {
    bool any_type;
    enum event_type type;
    bool any_order;
    struct id128 order;
    bool any_item; /* neither --sku nor --item */
    struct item_name name;
};

/* The type of that name; false: there is none. */
static bool find_type(const char *name, enum event_type *type)
{
    for (unsigned value = 0; value < 256; value++) {
        const char *known = record_type_name((enum event_type)value);
        if (known && strcasecmp(known, name) == 0) {
            *type = (enum event_type)value;
            return true;
        }
    }
    return false;
}

static int make_filter(struct filter *filter)
{
    char reason[REASON_BYTES];
    *filter = (struct filter){.any_type = !type_name,
                              .any_order = !order_text,
                              .any_item = !sku_text && item_wanted == 0};
    if (type_name && !find_type(type_name, &filter->type)) {
        return args_wrong(&spec, "option --type: there is no type '%s'", type_name);
    }
    if (sku_text && !parse_item(sku_text, &filter->name, reason)) {
        return args_wrong(&spec, "option --sku: '%s' %s", sku_text, reason);
    }
    if (order_text) {
        filter->order = id_from_text(order_text, strlen(order_text));
    }
    return ARGS_GO_ON;
}

static bool same_text(struct bytes text, const char *wanted)
{
    return text.len == strlen(wanted) && memcmp(text.data, wanted, text.len) == 0;
}

static bool item_matches(const struct filter *filter, const struct item_names *names, uint32_t item)
{
    if (item_wanted != 0 && item != item_wanted) {
        return false;
    }
    return !sku_text ||
           (strcmp(sku_of(names, item), filter->name.sku) == 0 &&
            (!filter->name.has_pool || strcmp(pool_of(names, item), filter->name.pool) == 0));
}

static bool names_wanted_item(const struct filter *filter, const struct item_names *names,
                              const struct event *event)
{
    switch (event->type) {
    case EVENT_ORDER_HELD:
        for (uint32_t i = 0; i < event->line_count; i++) {
            if (item_matches(filter, names, event->lines[i].item)) {
                return true;
            }
        }
        return false;
    case EVENT_SKU_DEFINED:
        return sku_text && item_wanted == 0 && same_text(event->sku->sku, filter->name.sku);
    case EVENT_ITEM_DEFINED:
        return item_matches(filter, names, event->item->item);
    case EVENT_STOCK_ADJUSTED:
        return item_matches(filter, names, event->adjust->item);
    default:
        return false;
    }
}

static bool is_order_event(const struct event *event)
{
    return event->type >= EVENT_ORDER_HELD && event->type <= EVENT_ORDER_RETURNED;
}

static bool wanted(const struct filter *filter, const struct item_names *names,
                   const struct event *event)
{
    return event->lsn >= from_lsn && event->lsn <= to_lsn &&
           (filter->any_type || event->type == filter->type) &&
           (filter->any_order || (is_order_event(event) && id_equal(event->id, filter->order))) &&
           (filter->any_item || names_wanted_item(filter, names, event));
}

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
    print_safe(stdout, sku_of(names, item));
    putchar('@');
    print_safe(stdout, pool_of(names, item));
}

static void print_time(const char *key, uint64_t unix_ms)
{
    char text[TIME_TEXT_BYTES];
    if (unix_ms != 0) {
        time_text(unix_ms, text);
        printf(" %s=%s", key, text);
    }
}

static void print_order(const struct item_names *names, const struct event *event)
{
    char id[ID_TEXT_BYTES];
    id_to_text(event->id, id);
    printf(" %s", id);
    if (event->type == EVENT_ORDER_HELD && event->buyer != 0) {
        printf(" buyer=%" PRIu64, event->buyer);
    }
    if (event->type == EVENT_ORDER_HELD || event->type == EVENT_ORDER_EXTENDED) {
        print_time("deadline", event->deadline_ms);
    }
    for (uint32_t i = 0; event->type == EVENT_ORDER_HELD && i < event->line_count; i++) {
        print_item(names, event->lines[i].item);
        printf(" x%" PRIu32, event->lines[i].qty);
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

static void print_event(const struct item_names *names, const struct event *event, uint64_t wall_ms)
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
    case EVENT_STOCK_ADJUSTED: {
        char id[ID_TEXT_BYTES];
        id_to_text(event->id, id);
        printf(" %s", id);
        print_item(names, event->adjust->item);
        printf(" %+" PRId64 " stocked=%" PRId64, event->adjust->delta, event->adjust->stocked);
        print_quoted("reason", event->adjust->reason);
        print_quoted("reference", event->adjust->reference);
        fputs(event->flags & EVENT_FORCED ? " forced" : "", stdout);
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
    const char *sku = sku_of(names, item);
    const char *pool = pool_of(names, item);
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

static void order_fields(json_t *object, const struct item_names *names, const struct event *event)
{
    if (event->type == EVENT_ORDER_HELD) {
        char buyer[24];
        snprintf(buyer, sizeof buyer, "%" PRIu64, event->buyer);
        json_object_set_new(object, "buyer", json_string(buyer));
        json_t *lines = json_array();
        for (uint32_t i = 0; i < event->line_count; i++) {
            json_t *line = item_object(names, event->lines[i].item);
            set_number(line, "qty", event->lines[i].qty);
            json_array_append_new(lines, line);
        }
        json_object_set_new(object, "lines", lines);
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

static void item_fields(json_t *object, const struct item_def *def)
{
    set_number(object, "item", def->item);
    set_bytes(object, "sku", def->sku);
    set_bytes(object, "pool", def->pool);
    json_object_set_new(object, "safety", json_integer(def->safety));
    json_object_set_new(object, "presale_cap", json_integer(def->presale_cap));
    json_object_set_new(object, "hot", json_boolean(def->hot));
}

static void print_event_json(const struct item_names *names, const struct event *event,
                             uint64_t wall_ms)
{
    json_t *object = json_pack("{s:I, s:I, s:s}", "lsn", (json_int_t)event->lsn, "wall_ms",
                               (json_int_t)wall_ms, "type", record_type_name(event->type));
    if (is_order_event(event) || event->type == EVENT_STOCK_ADJUSTED) {
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
    default:
        order_fields(object, names, event);
        break;
    }
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

/* ---- The command ---- */

static void say_damage_json(const char *file, uint64_t offset, const char *reason)
{
    char text[512];
    if (json) {
        snprintf(text, sizeof text, "%s, offset %" PRIu64 ": %s", file, offset, reason);
        print_json_line(error_object(HF_DAMAGED, text));
    }
}

/* Prints what is wanted of a block. False: a record can't be read, which has been said. */
static bool dump_block(const struct wal_block *block, const struct filter *filter,
                       struct item_names *names, uint64_t *printed)
{
    struct wal_records records = {.block = block};
    struct event event;
    const char *reason;
    while (*printed < limit && wal_records_next(&records, &event, &reason)) {
        if (event.type == EVENT_ITEM_DEFINED) {
            learn(names, event.item);
        }
        if (!wanted(filter, names, &event)) {
            continue;
        }
        json ? print_event_json(names, &event, block->header.wall_ms)
             : print_event(names, &event, block->header.wall_ms);
        (*printed)++;
    }
    if (*printed < limit && reason) {
        say_damage_json(block->file, block->file_offset + BLOCK_HEADER_BYTES + records.offset,
                        reason);
        fflush(stdout);
        fprintf(stderr, "DAMAGED: %s/%s, offset %" PRIu64 ": record at LSN %" PRIu64 ": %s\n",
                opened.folder, block->file,
                block->file_offset + BLOCK_HEADER_BYTES + records.offset,
                block->header.first_lsn + records.offset, reason);
        return false;
    }
    return true;
}

static int dump_all(struct wal_reader *reader, const struct filter *filter,
                    struct item_names *names)
{
    struct wal_block block;
    struct wal_end end;
    uint64_t printed = 0;
    enum hf_status status = HF_OK;
    while (printed < limit && (status = wal_reader_next(reader, &block)) == HF_OK) {
        if (block.header.first_lsn >= to_lsn) {
            return EXIT_DONE; /* the rest is not asked for */
        }
        if (block.header.type == BLOCK_DATA && !dump_block(&block, filter, names, &printed)) {
            return EXIT_NO;
        }
    }
    if (status == HF_OK) {
        return EXIT_DONE;
    }
    fflush(stdout);
    if (status != HF_NOT_FOUND) {
        return wal_failed(status, json, "%s: reading failed: %s", opened.folder,
                          hf_status_text(status));
    }
    wal_reader_end(reader, &end);
    if (end.damaged) {
        say_damage_json(end.file, end.file_offset, end.reason);
        wal_say_damage(opened.folder, &end);
        return EXIT_NO;
    }
    if (end.torn) {
        wal_say_torn(opened.folder, &end);
    }
    return EXIT_DONE;
}

int wal_dump(int argc, char **argv)
{
    struct args args;
    struct filter filter;
    struct item_names names = {0};
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = make_filter(&filter);
    }
    if (code == ARGS_GO_ON) {
        code = wal_log_open(&opened, data, json);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    arena_init(&names.arena, SIZE_MAX / 4);
    code = dump_all(opened.reader, &filter, &names);
    free(names.names);
    arena_deinit(&names.arena);
    wal_log_close(&opened);
    return code;
}
