/* wal_stats.c - `holdfast wal stats`: what a log holds, by type, SKU, time and block.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/id.h"
#include "base/limits.h"
#include "checkpoint/info.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal_open.h"
#include "cli/wal_print.h"
#include "cli/wal_say.h"
#include "wal/record.h"

#define POWERS        24u /* rows of a histogram: powers of two */
#define TYPES         256u
#define BUCKETS_SHOWN 40u

static const char *data = DATA_DEFAULT;
static const char *archive;
static bool json;
static bool all;
static uint64_t top = 10;
static uint32_t bucket_ms;
static const char *from_text;
static const char *to_text;
static struct history_log opened;

static const struct option_spec options[] = {
    WAL_DATA_OPTION(data),
    WAL_ARCHIVE_OPTION(archive),
    {"top", OPTION_UNSIGNED, &top, NULL, "N", "SKUs to show (default: 10)"},
    {"all", OPTION_FLAG, &all, NULL, NULL, "show all SKUs"},
    {"bucket", OPTION_DURATION, &bucket_ms, NULL, "DURATION",
     "width of a time step, such as 10s (default: at most 40 steps)"},
    WAL_FROM_OPTION(from_text),
    WAL_TO_OPTION(to_text),
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON"},
};

static const struct command_spec spec = {
    .name = "wal stats",
    .arguments = "",
    .help = "Counts what a log holds: records by type, orders and units reserved by SKU and over\n"
            "time, how many records and bytes a block has (the groups that were written at once),\n"
            "segments and checkpoints. Reads only; may run beside the log's engine. Segments that\n"
            "the engine has archived and recycled are counted with --archive.\n"
            "\n"
            "An LSN is digits; a TIME is 2026-11-11T00:00:00+08:00 and the like (without an\n"
            "offset: local time), or @ and Unix milliseconds.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* ---- By SKU ---- */

struct sku_count {
    const char *sku;
    uint64_t orders;
    uint64_t units;
    uint64_t seen; /* serial of the order that counted last */
};

struct sku_counts {
    struct sku_count *skus;
    uint32_t count;
    uint32_t room;
    uint32_t *slots;     /* open addressing by the code's hash; 0: free, else index + 1 */
    uint32_t slot_count; /* a power of two */
    uint32_t *of_item;   /* index + 1 by item; 0: not looked up yet */
    uint32_t items;
};

static uint32_t *find_slot(const struct sku_counts *counts, const char *sku)
{
    uint32_t at = (uint32_t)hash_bytes(sku, strlen(sku)) & (counts->slot_count - 1);
    while (counts->slots[at] != 0 && strcmp(counts->skus[counts->slots[at] - 1].sku, sku) != 0) {
        at = (at + 1) & (counts->slot_count - 1);
    }
    return &counts->slots[at];
}

static void grow(struct sku_counts *counts)
{
    counts->room = counts->room ? 2 * counts->room : 64;
    counts->slot_count = 4 * counts->room;
    counts->skus = must_grow(counts->skus, counts->room, sizeof *counts->skus);
    free(counts->slots);
    counts->slots = must_alloc(counts->slot_count, sizeof *counts->slots);
    memset(counts->slots, 0, counts->slot_count * sizeof *counts->slots);
    for (uint32_t i = 0; i < counts->count; i++) {
        *find_slot(counts, counts->skus[i].sku) = i + 1;
    }
}

static struct sku_count *sku_by_name(struct sku_counts *counts, const char *sku)
{
    if (counts->count == counts->room) {
        grow(counts);
    }
    uint32_t *slot = find_slot(counts, sku);
    if (*slot == 0) {
        counts->skus[counts->count++] = (struct sku_count){.sku = sku};
        *slot = counts->count;
    }
    return &counts->skus[*slot - 1];
}

static struct sku_count *sku_by_item(struct sku_counts *counts, const struct item_names *names,
                                     uint32_t item)
{
    if (item >= counts->items) {
        uint32_t items = item * 2 + 64;
        counts->of_item = must_grow(counts->of_item, items, sizeof *counts->of_item);
        memset(counts->of_item + counts->items, 0, (items - counts->items) * sizeof(uint32_t));
        counts->items = items;
    }
    if (counts->of_item[item] == 0) {
        struct sku_count *sku = sku_by_name(counts, item_sku(names, item));
        counts->of_item[item] = (uint32_t)(sku - counts->skus) + 1;
    }
    return &counts->skus[counts->of_item[item] - 1];
}

static int by_units(const void *a, const void *b)
{
    const struct sku_count *first = a;
    const struct sku_count *second = b;
    if (first->units != second->units) {
        return first->units < second->units ? 1 : -1;
    }
    return strcmp(first->sku, second->sku);
}

/* ---- Over time ---- */

/* Each but the last divides the next. */
static const uint64_t widths_ms[] = {1000,     5000,      10000,       30000,       60000,
                                     300000,   600000,    1800000,     3600000,     21600000,
                                     86400000, 604800000, 2419200000u, 31449600000u};

struct bucket {
    uint64_t begin_ms;
    uint64_t records;
    uint64_t orders;
    uint64_t units;
};

struct timeline {
    struct bucket *buckets; /* ascending, none empty */
    uint32_t count;
    uint32_t room;
    unsigned width; /* of widths_ms, unless it was asked for */
};

static uint64_t width_ms(const struct timeline *timeline)
{
    return bucket_ms ? bucket_ms : widths_ms[timeline->width];
}

/* The next wider steps. */
static void widen(struct timeline *timeline)
{
    uint32_t kept = 0;
    timeline->width++;
    for (uint32_t i = 0; i < timeline->count; i++) {
        struct bucket bucket = timeline->buckets[i];
        bucket.begin_ms -= bucket.begin_ms % width_ms(timeline);
        if (kept > 0 && timeline->buckets[kept - 1].begin_ms == bucket.begin_ms) {
            struct bucket *into = &timeline->buckets[kept - 1];
            into->records += bucket.records;
            into->orders += bucket.orders;
            into->units += bucket.units;
        } else {
            timeline->buckets[kept++] = bucket;
        }
    }
    timeline->count = kept;
}

/* A block's bucket: nearly always the last one, but for where a clock went back. */
static struct bucket *bucket_of(struct timeline *timeline, uint64_t wall_ms)
{
    uint64_t begin = wall_ms - wall_ms % width_ms(timeline);
    uint32_t at = timeline->count;
    while (at > 0 && timeline->buckets[at - 1].begin_ms > begin) {
        at--;
    }
    if (at > 0 && timeline->buckets[at - 1].begin_ms == begin) {
        return &timeline->buckets[at - 1];
    }
    if (timeline->count == BUCKETS_SHOWN && !bucket_ms &&
        timeline->width + 1 < sizeof widths_ms / sizeof *widths_ms) {
        widen(timeline);
        return bucket_of(timeline, wall_ms);
    }
    if (timeline->count == timeline->room) {
        timeline->room = timeline->room ? 2 * timeline->room : 64;
        timeline->buckets = must_grow(timeline->buckets, timeline->room, sizeof *timeline->buckets);
    }
    memmove(&timeline->buckets[at + 1], &timeline->buckets[at],
            (timeline->count++ - at) * sizeof *timeline->buckets);
    timeline->buckets[at] = (struct bucket){.begin_ms = begin};
    return &timeline->buckets[at];
}

/* ---- Counting ---- */

struct counts {
    struct item_names names;
    struct sku_counts skus;
    struct timeline timeline;
    struct history_range range;
    uint64_t by_type[TYPES];
    uint64_t type_bytes[TYPES];
    uint64_t records;
    uint64_t orders;
    uint64_t units;
    uint64_t segments;
    uint64_t blocks; /* of all types */
    uint64_t groups; /* DATA blocks */
    uint64_t group_records[POWERS];
    uint64_t group_bytes[POWERS];
    uint64_t group_records_max;
    uint64_t payload_bytes;
    uint64_t disk_bytes; /* of the blocks, with headers and padding */
    uint64_t first_ms;
    uint64_t last_ms;
    uint64_t lsn;
    struct checkpoint_info *checkpoints;
    size_t checkpoint_count;
};

static unsigned power_of(uint64_t value)
{
    unsigned power = 0;
    while (value >>= 1) {
        power++;
    }
    return power < POWERS ? power : POWERS - 1;
}

static void count_held(struct counts *counts, const struct event *event, struct bucket *bucket)
{
    counts->orders++;
    bucket->orders++;
    for (uint32_t i = 0; i < event->line_count; i++) {
        uint32_t item = event->grants ? event->grants[i].item : event->lines[i].item;
        uint32_t qty = event->grants ? event->grants[i].qty : event->lines[i].qty;
        struct sku_count *sku = sku_by_item(&counts->skus, &counts->names, item);
        sku->orders += sku->seen != counts->orders;
        sku->seen = counts->orders;
        sku->units += qty;
        counts->units += qty;
        bucket->units += qty;
    }
}

/* False: a record can't be read; it has been said. */
static bool count_records(struct counts *counts, const struct wal_block *block)
{
    struct history_records records = {.block = block};
    struct event event;
    const char *reason;
    uint64_t wall_ms = block->header.wall_ms;
    uint32_t began = 0;
    while (history_records_next(&records, &event, &reason)) {
        uint32_t bytes = records.offset - began;
        began = records.offset;
        if (event.type == EVENT_ITEM_DEFINED) {
            wal_learn_item(&counts->names, event.item);
        }
        if (range_compare(&counts->range, event.lsn, wall_ms) != 0) {
            continue;
        }
        struct bucket *bucket = bucket_of(&counts->timeline, wall_ms);
        counts->records++;
        bucket->records++;
        counts->by_type[event.type]++;
        counts->type_bytes[event.type] += bytes;
        if (event.type == EVENT_ORDER_HELD) {
            count_held(counts, &event, bucket);
        }
    }
    if (reason) {
        fprintf(stderr, "DAMAGED: %s/%s, offset %" PRIu64 ": %s\n", opened.folder, block->file,
                block->file_offset + BLOCK_HEADER_BYTES + records.offset, reason);
    }
    return !reason;
}

static bool count_block(struct counts *counts, const struct wal_block *block)
{
    const struct block_header *header = &block->header;
    uint64_t end = header->first_lsn + header->payload_bytes;
    const struct history_position *to = &counts->range.to;
    if (position_compare(&counts->range.from, end, header->wall_ms) < 0 ||
        (to->is_time && position_compare(to, end, header->wall_ms) > 0)) {
        return true;
    }
    counts->segments += counts->blocks == 0 || block->file_offset == WAL_PAGE_BYTES;
    counts->blocks++;
    counts->payload_bytes += header->payload_bytes;
    counts->disk_bytes += block_span_bytes(header->payload_bytes);
    if (counts->first_ms == 0 || header->wall_ms < counts->first_ms) {
        counts->first_ms = header->wall_ms;
    }
    counts->last_ms = header->wall_ms > counts->last_ms ? header->wall_ms : counts->last_ms;
    counts->lsn = end;
    if (header->type != BLOCK_DATA) {
        return true;
    }
    counts->groups++;
    counts->group_records[power_of(header->record_count)]++;
    counts->group_bytes[power_of(header->payload_bytes)]++;
    if (header->record_count > counts->group_records_max) {
        counts->group_records_max = header->record_count;
    }
    return count_records(counts, block);
}

/* OK; BUSY: recycled while it was read; DAMAGED: printed; or why reading failed. */
static enum hf_status count_all(struct counts *counts, struct progress *progress)
{
    struct wal_block block;
    struct wal_end end = {0};
    enum hf_status status;
    uint64_t seen = 0;
    while ((status = wal_reader_next(opened.reader, &block)) == HF_OK) {
        uint64_t done;
        uint64_t total;
        if (range_is_over(&counts->range, block.header.first_lsn)) {
            return HF_OK;
        }
        if (!count_block(counts, &block)) {
            return HF_DAMAGED;
        }
        seen = block.header.segment;
        wal_reader_progress(opened.reader, &done, &total);
        progress_show(progress, "counting", done, total);
    }
    if (status == HF_NOT_FOUND) {
        wal_reader_end(opened.reader, &end);
        status = HF_OK;
    }
    if ((status == HF_IO_ERROR || end.damaged) && history_log_recycled(&opened, seen)) {
        return HF_BUSY;
    }
    if (end.damaged) {
        wal_say_damage(opened.folder, &end);
        return HF_DAMAGED;
    }
    return status;
}

static enum hf_status read_checkpoints(struct counts *counts)
{
    uint64_t *numbers;
    size_t count;
    enum hf_status status = checkpoint_list(opened.storage, &numbers, &count);
    if (status == HF_OK && count > 0) {
        counts->checkpoints = must_alloc(count, sizeof *counts->checkpoints);
    }
    for (size_t i = 0; status == HF_OK && i < count; i++) {
        struct checkpoint_info *info = &counts->checkpoints[counts->checkpoint_count];
        counts->checkpoint_count += checkpoint_read_info(opened.storage, numbers[i], info) == HF_OK;
    }
    free(numbers);
    return status;
}

/* ---- Text ---- */

static void print_summary(const struct counts *counts)
{
    char from[TIME_TEXT_BYTES];
    char to[TIME_TEXT_BYTES];
    char took[DURATION_TEXT_BYTES];
    uint64_t span_ms = counts->last_ms - counts->first_ms;
    time_text(counts->first_ms, from);
    time_text(counts->last_ms, to);
    duration_text(span_ms, took);
    printf("log          %s\n", opened.folder);
    printf("time         %s to %s (%s)\n", counts->blocks ? from : "-", counts->blocks ? to : "-",
           took);
    printf("segments     %" PRIu64 "\n", counts->segments);
    printf("checkpoints  %zu\n", counts->checkpoint_count);
    for (size_t i = 0; i < counts->checkpoint_count; i++) {
        const struct checkpoint_info *info = &counts->checkpoints[i];
        printf("  %-10" PRIu64 " LSN %" PRIu64 ", %" PRIu64 " orders, %" PRIu64 " bytes\n",
               info->number, info->start.lsn, info->orders, info->file_bytes);
    }
    printf("blocks       %" PRIu64 ", of them with records %" PRIu64 "\n", counts->blocks,
           counts->groups);
    printf("bytes        %" PRIu64 " of records, %" PRIu64 " on the disk\n", counts->payload_bytes,
           counts->disk_bytes);
    printf("records      %" PRIu64, counts->records);
    if (span_ms > 0) {
        printf(" (%.0f/s)", (double)counts->records * 1000.0 / (double)span_ms);
    }
    printf("\norders       %" PRIu64 ", %" PRIu64 " units\n", counts->orders, counts->units);
}

static void print_types(const struct counts *counts)
{
    static const struct print_column columns[] = {
        {"type", false}, {"records", true}, {"bytes", true}};
    struct print_table table;
    print_table_init(&table, columns, 3);
    for (unsigned type = 0; type < TYPES; type++) {
        if (counts->by_type[type]) {
            print_table_text(&table, record_type_name((enum event_type)type));
            print_table_number(&table, (int64_t)counts->by_type[type]);
            print_table_number(&table, (int64_t)counts->type_bytes[type]);
        }
    }
    putchar('\n');
    print_table_flush(&table);
    print_table_deinit(&table);
}

static uint32_t skus_shown(const struct counts *counts)
{
    return all || counts->skus.count < top ? counts->skus.count : (uint32_t)top;
}

static void print_skus(const struct counts *counts)
{
    static const struct print_column columns[] = {
        {"SKU", false}, {"orders", true}, {"units", true}};
    struct print_table table;
    uint32_t shown = skus_shown(counts);
    print_table_init(&table, columns, 3);
    for (uint32_t i = 0; i < shown; i++) {
        print_table_text(&table, counts->skus.skus[i].sku);
        print_table_number(&table, (int64_t)counts->skus.skus[i].orders);
        print_table_number(&table, (int64_t)counts->skus.skus[i].units);
    }
    putchar('\n');
    print_table_flush(&table);
    print_table_deinit(&table);
    if (shown < counts->skus.count) {
        printf("... and %" PRIu32 " SKUs more; --all shows them\n", counts->skus.count - shown);
    }
}

static void print_timeline(const struct counts *counts)
{
    static const struct print_column columns[] = {
        {"from", false}, {"records", true}, {"orders", true}, {"units", true}};
    struct print_table table;
    char text[TIME_TEXT_BYTES];
    print_table_init(&table, columns, 4);
    for (uint32_t i = 0; i < counts->timeline.count; i++) {
        const struct bucket *bucket = &counts->timeline.buckets[i];
        time_text(bucket->begin_ms, text);
        print_table_text(&table, text);
        print_table_number(&table, (int64_t)bucket->records);
        print_table_number(&table, (int64_t)bucket->orders);
        print_table_number(&table, (int64_t)bucket->units);
    }
    duration_text(width_ms(&counts->timeline), text);
    printf("\nIn steps of %s:\n", text);
    print_table_flush(&table);
    print_table_deinit(&table);
}

static void print_groups(const struct counts *counts)
{
    static const struct print_column columns[] = {
        {"of a block", true}, {"by records", true}, {"by bytes", true}};
    struct print_table table;
    print_table_init(&table, columns, 3);
    for (unsigned power = 0; power < POWERS; power++) {
        if (counts->group_records[power] || counts->group_bytes[power]) {
            char text[32];
            snprintf(text, sizeof text, "%" PRIu64 "+", (uint64_t)1 << power);
            print_table_text(&table, text);
            print_table_number(&table, (int64_t)counts->group_records[power]);
            print_table_number(&table, (int64_t)counts->group_bytes[power]);
        }
    }
    printf("\nBlocks with records, at most %" PRIu64 " of them:\n", counts->group_records_max);
    print_table_flush(&table);
    print_table_deinit(&table);
}

/* ---- JSON ---- */

static json_t *types_object(const struct counts *counts)
{
    json_t *types = json_object();
    for (unsigned type = 0; type < TYPES; type++) {
        if (counts->by_type[type]) {
            json_object_set_new(types, record_type_name((enum event_type)type),
                                json_integer((json_int_t)counts->by_type[type]));
        }
    }
    return types;
}

static json_t *skus_array(const struct counts *counts)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < skus_shown(counts); i++) {
        const struct sku_count *sku = &counts->skus.skus[i];
        json_array_append_new(
            rows, json_pack("{s:o, s:I, s:I}", "sku", json_text(sku->sku, strlen(sku->sku)),
                            "orders", (json_int_t)sku->orders, "units", (json_int_t)sku->units));
    }
    return rows;
}

static json_t *timeline_array(const struct counts *counts)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < counts->timeline.count; i++) {
        const struct bucket *bucket = &counts->timeline.buckets[i];
        json_array_append_new(
            rows, json_pack("{s:I, s:I, s:I, s:I}", "from_ms", (json_int_t)bucket->begin_ms,
                            "records", (json_int_t)bucket->records, "orders",
                            (json_int_t)bucket->orders, "units", (json_int_t)bucket->units));
    }
    return rows;
}

static json_t *powers_array(const uint64_t *powers)
{
    json_t *rows = json_array();
    for (unsigned power = 0; power < POWERS; power++) {
        if (powers[power]) {
            json_array_append_new(rows, json_pack("{s:I, s:I}", "from", (json_int_t)1 << power,
                                                  "blocks", (json_int_t)powers[power]));
        }
    }
    return rows;
}

static json_t *checkpoints_array(const struct counts *counts)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < counts->checkpoint_count; i++) {
        const struct checkpoint_info *info = &counts->checkpoints[i];
        json_array_append_new(
            rows, json_pack("{s:I, s:I, s:I, s:I}", "number", (json_int_t)info->number, "lsn",
                            (json_int_t)info->start.lsn, "orders", (json_int_t)info->orders,
                            "bytes", (json_int_t)info->file_bytes));
    }
    return rows;
}

static void print_counts_json(const struct counts *counts)
{
    uint64_t span_ms = counts->last_ms - counts->first_ms;
    json_t *object = json_pack(
        "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "log",
        json_text(opened.folder, strlen(opened.folder)), "first_ms", (json_int_t)counts->first_ms,
        "last_ms", (json_int_t)counts->last_ms, "lsn", (json_int_t)counts->lsn, "segments",
        (json_int_t)counts->segments, "blocks", (json_int_t)counts->blocks, "groups",
        (json_int_t)counts->groups, "records", (json_int_t)counts->records, "orders",
        (json_int_t)counts->orders, "units", (json_int_t)counts->units, "payload_bytes",
        (json_int_t)counts->payload_bytes, "disk_bytes", (json_int_t)counts->disk_bytes,
        "group_records_max", (json_int_t)counts->group_records_max);
    json_object_update_new(
        object,
        json_pack("{s:f, s:o, s:I, s:o, s:I, s:o, s:o, s:o, s:o}", "records_per_s",
                  span_ms ? (double)counts->records * 1000.0 / (double)span_ms : 0.0, "types",
                  types_object(counts), "sku_count", (json_int_t)counts->skus.count, "skus",
                  skus_array(counts), "bucket_ms", (json_int_t)width_ms(&counts->timeline),
                  "timeline", timeline_array(counts), "group_records",
                  powers_array(counts->group_records), "group_bytes",
                  powers_array(counts->group_bytes), "checkpoints", checkpoints_array(counts)));
    print_json(object);
}

/* ---- The command ---- */

static void counts_deinit(struct counts *counts)
{
    item_names_deinit(&counts->names);
    free(counts->skus.skus);
    free(counts->skus.slots);
    free(counts->skus.of_item);
    free(counts->timeline.buckets);
    free(counts->checkpoints);
}

static void print_counts(struct counts *counts)
{
    if (counts->skus.count > 0) {
        qsort(counts->skus.skus, counts->skus.count, sizeof *counts->skus.skus, by_units);
    }
    if (json) {
        print_counts_json(counts);
        return;
    }
    print_summary(counts);
    print_types(counts);
    print_skus(counts);
    print_timeline(counts);
    print_groups(counts);
}

static enum hf_status count_once(struct counts *counts)
{
    struct progress progress;
    item_names_init(&counts->names);
    enum hf_status status = read_checkpoints(counts);
    if (status == HF_OK) {
        status = history_log_read(&opened, false);
    }
    if (status == HF_OK && opened.first > 1) {
        status = item_names_load_newest(&counts->names, opened.storage);
    }
    progress_start(&progress);
    if (status == HF_OK) {
        status = count_all(counts, &progress);
    }
    progress_end(&progress);
    return status;
}

int cmd_wal_stats(int argc, char **argv)
{
    struct args args;
    struct history_range range;
    struct counts counts = {0};
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = parse_range(&spec, from_text, to_text, &range);
    }
    if (code == ARGS_GO_ON) {
        code = wal_find(&opened, data, archive, json);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    enum hf_status status = HF_BUSY;
    for (unsigned tries = 0; status == HF_BUSY && tries < HISTORY_TRIES_MAX; tries++) {
        counts_deinit(&counts);
        counts = (struct counts){.range = range};
        status = count_once(&counts);
    }
    code = EXIT_DONE;
    if (status == HF_OK || status == HF_DAMAGED) {
        print_counts(&counts); /* up to the damage, if there is any */
        code = status == HF_OK ? EXIT_DONE : EXIT_NO;
    } else {
        code = wal_check_failed(&opened, status, json);
    }
    counts_deinit(&counts);
    history_log_close(&opened);
    return code;
}
