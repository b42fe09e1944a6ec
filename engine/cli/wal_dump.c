/* wal_dump.c - `holdfast wal dump`: prints a log's records, one a line.
 *
 * Items are handles in the log; their names are learned from the ITEM_DEFINED records on the way,
 * and from a checkpoint where the engine has recycled the log's beginning, or it is not asked for.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/id.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal_open.h"
#include "cli/wal_print.h"
#include "cli/wal_say.h"
#include "feed/event_json.h"
#include "wal/record.h"

#define FOLLOW_EVERY_NS 50000000 /* between two reads for new blocks */

static const char *data = DATA_DEFAULT;
static const char *archive;
static bool json;
static bool follow;
static struct history_log opened;
static const char *from_text;
static const char *to_text;
static uint64_t limit = UINT64_MAX;
static const char *type_names;
static const char *order_text;
static const char *sku_text;
static uint64_t item_wanted;

static const struct option_spec options[] = {
    WAL_DATA_OPTION(data),
    WAL_ARCHIVE_OPTION(archive),
    WAL_FROM_OPTION(from_text),
    WAL_TO_OPTION(to_text),
    {"limit", OPTION_UNSIGNED, &limit, NULL, "N", "at most N records (default: all)"},
    {"type", OPTION_TEXT, &type_names, NULL, "TYPE[,TYPE]",
     "only records of these types, as ORDER_HELD"},
    {"order", OPTION_TEXT, &order_text, NULL, "ID", "only records of this order"},
    {"sku", OPTION_TEXT, &sku_text, NULL, "SKU[@POOL]", "only records that name this SKU or item"},
    {"item", OPTION_UNSIGNED, &item_wanted, NULL, "N", "only records that name this item"},
    {"follow", OPTION_FLAG, &follow, NULL, NULL,
     "continue with what the engine adds, until interrupted"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON, one object a line"},
};

static const struct command_spec spec = {
    .name = "wal dump",
    .arguments = "",
    .help =
        "Prints a log's records, one a line: its LSN, the time when its block was sealed, its\n"
        "type, and what it holds. Reads only; may run beside the log's engine.\n"
        "\n"
        "An LSN is digits; a TIME is 2026-11-11T00:00:00+08:00 and the like (without an\n"
        "offset: local time), or @ and Unix milliseconds. With times, the whole log is read, and\n"
        "each record counts by its own time: times go back where a clock was set back. With\n"
        "--follow, the first record that comes later than --to ends it.\n"
        "\n"
        "--sku and --item find the records that name an item: definitions, adjustments, moves\n"
        "and ORDER_HELD. --order finds what became of an order later. --archive prints the\n"
        "segments that the engine has archived and recycled as well.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* ---- Which records ---- */

struct filter {
    bool types[256]; /* by number */
    bool any_order;
    struct id128 order;
    bool any_item; /* neither --sku nor --item */
    struct item_name name;
    struct history_range range;
};

/* The type of that name; false: there is none. */
static bool find_type(const char *name, size_t len, enum event_type *type)
{
    for (unsigned value = 0; value < 256; value++) {
        const char *known = record_type_name((enum event_type)value);
        if (known && strlen(known) == len && strncasecmp(known, name, len) == 0) {
            *type = (enum event_type)value;
            return true;
        }
    }
    return false;
}

static int make_types(struct filter *filter)
{
    memset(filter->types, !type_names, sizeof filter->types);
    for (const char *at = type_names; at; at = strchr(at, ',')) {
        enum event_type type;
        at += *at == ',';
        size_t len = strcspn(at, ",");
        if (!find_type(at, len, &type)) {
            return args_wrong(&spec, "option --type: there is no type '%.*s'", (int)len, at);
        }
        filter->types[type] = true;
    }
    return ARGS_GO_ON;
}

static int make_filter(struct filter *filter)
{
    char reason[REASON_BYTES];
    *filter = (struct filter){.any_order = !order_text, .any_item = !sku_text && item_wanted == 0};
    if (sku_text && !parse_item(sku_text, &filter->name, reason)) {
        return args_wrong(&spec, "option --sku: '%s' %s", sku_text, reason);
    }
    if (order_text) {
        filter->order = id_from_text(order_text, strlen(order_text));
    }
    int code = parse_range(&spec, from_text, to_text, &filter->range);
    return code == ARGS_GO_ON ? make_types(filter) : code;
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
           (strcmp(item_sku(names, item), filter->name.sku) == 0 &&
            (!filter->name.has_pool || strcmp(item_pool(names, item), filter->name.pool) == 0));
}

static bool names_wanted_item(const struct filter *filter, const struct item_names *names,
                              const struct event *event)
{
    switch (event->type) {
    case EVENT_ORDER_HELD:
        for (uint32_t i = 0; i < event->line_count; i++) {
            uint32_t item = event->grants ? event->grants[i].item : event->lines[i].item;
            if (item_matches(filter, names, item)) {
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
    case EVENT_STOCK_MOVED:
        return item_matches(filter, names, event->move->from) ||
               item_matches(filter, names, event->move->to);
    default:
        return false;
    }
}

static bool is_order_event(const struct event *event)
{
    return event->type >= EVENT_ORDER_HELD && event->type <= EVENT_ORDER_FORGOTTEN;
}

static bool wanted(const struct filter *filter, const struct item_names *names,
                   const struct event *event, uint64_t wall_ms)
{
    return filter->types[event->type] && range_compare(&filter->range, event->lsn, wall_ms) == 0 &&
           (filter->any_order || (is_order_event(event) && id_equal(event->id, filter->order))) &&
           (filter->any_item || names_wanted_item(filter, names, event));
}

/* ---- The command ---- */

struct dump {
    const struct filter *filter;
    struct item_names names;
    uint64_t printed;
    uint64_t lsn; /* all before it has been looked at */
    bool any;     /* a block has been */
    bool following;
    bool broken; /* a record can't be read, which has been said */
};

static void say_damage_json(const char *file, uint64_t offset, const char *reason)
{
    char text[512];
    if (json) {
        snprintf(text, sizeof text, "%s, offset %" PRIu64 ": %s", file, offset, reason);
        print_json_line(error_object(HF_DAMAGED, text));
    }
}

static void print_one(const struct dump *dump, const struct event *event, uint64_t wall_ms)
{
    if (json) {
        print_json_line(event_object(&dump->names, event, wall_ms));
    } else {
        print_event(&dump->names, event, wall_ms);
    }
}

/* Prints what is wanted of a block. False: a record can't be read, which has been said. */
static bool dump_block(struct dump *dump, const struct wal_block *block)
{
    struct history_records records = {.block = block};
    struct event event;
    const char *reason = NULL;
    while (dump->printed < limit && history_records_next(&records, &event, &reason)) {
        if (event.type == EVENT_ITEM_DEFINED) {
            wal_learn_item(&dump->names, event.item);
        }
        if (event.lsn > dump->lsn &&
            wanted(dump->filter, &dump->names, &event, block->header.wall_ms)) {
            event_show_times(&event, &block->header);
            print_one(dump, &event, block->header.wall_ms);
            dump->printed++;
        }
    }
    if (dump->printed < limit && reason) {
        uint64_t offset = block->file_offset + BLOCK_HEADER_BYTES + records.offset;
        say_damage_json(block->file, offset, reason);
        fflush(stdout);
        fprintf(stderr, "DAMAGED: %s/%s, offset %" PRIu64 ": record at LSN %" PRIu64 ": %s\n",
                opened.folder, block->file, offset, block->header.first_lsn + records.offset,
                reason);
        return false;
    }
    return true;
}

/* The log's first block that there is: was anything before it that is asked for? */
static void say_given_back(const struct dump *dump, const struct block_header *first)
{
    uint64_t lsn = first->first_lsn;
    if (opened.checkpoint.number == 0 && lsn > 0 &&
        position_compare(&dump->filter->range.from, lsn, first->wall_ms) >= 0) {
        fprintf(stderr, "The engine has recycled the records up to LSN %" PRIu64 "%s\n", lsn,
                archive ? ", and they are not in the archive."
                        : ": --archive prints them if they were archived.");
    }
}

/* Blocks until there is none, or no more is wanted: *done. OK with *done, or as wal_reader_next. */
static enum hf_status dump_blocks(struct dump *dump, bool *done)
{
    struct wal_block block;
    enum hf_status status = HF_OK;
    *done = false;
    while (dump->printed < limit && (status = wal_reader_next(opened.reader, &block)) == HF_OK) {
        const struct block_header *header = &block.header;
        if (!dump->any) {
            say_given_back(dump, header);
        }
        bool late = dump->following && position_compare(&dump->filter->range.to,
                                                        header->first_lsn + 1, header->wall_ms) > 0;
        if (range_is_over(&dump->filter->range, header->first_lsn) || late) {
            break; /* the rest is not asked for */
        }
        if (dump->any && header->first_lsn > dump->lsn) {
            fprintf(stderr,
                    "Records are missing here: the engine recycled LSN %" PRIu64 " to LSN %" PRIu64
                    " while this read the log.\n",
                    dump->lsn, header->first_lsn);
        }
        if (header->type == BLOCK_DATA && !dump_block(dump, &block)) {
            dump->broken = true;
            break;
        }
        dump->any = true;
        uint64_t end = header->first_lsn + header->payload_bytes;
        dump->lsn = end > dump->lsn ? end : dump->lsn;
    }
    *done = status == HF_OK;
    return status;
}

/* Goes on with what the engine adds. Ends when all is printed that is wanted. */
static enum hf_status dump_follow(struct dump *dump)
{
    bool done = false;
    enum hf_status status = wal_reader_follow(opened.reader);
    dump->following = true;
    while (status == HF_OK && !done) {
        fflush(stdout);
        if (ferror(stdout)) {
            return HF_OK; /* nobody reads it any more */
        }
        status = dump_blocks(dump, &done);
        if (status == HF_NOT_FOUND) {
            nanosleep(&(struct timespec){.tv_nsec = FOLLOW_EVERY_NS}, NULL);
            status = HF_OK;
        }
    }
    return status;
}

static int say_end(const struct wal_end *end)
{
    if (end->damaged) {
        say_damage_json(end->file, end->file_offset, end->reason);
        wal_say_damage(opened.folder, end);
        return EXIT_NO;
    }
    if (end->torn) {
        wal_say_torn(opened.folder, end);
    }
    return EXIT_DONE;
}

/* One reading, from where the last one began to fail. *again: the engine gave back what was being
 * read. */
static int dump_once(struct dump *dump, bool *again)
{
    struct wal_end end = {0};
    bool done;
    enum hf_status status = dump_blocks(dump, &done);
    *again = false;
    if (done) {
        return dump->broken ? EXIT_NO : EXIT_DONE;
    }
    if (status == HF_NOT_FOUND) {
        wal_reader_end(opened.reader, &end);
        if (!end.damaged && follow) {
            status = dump_follow(dump);
            *again = status == HF_CANCELED;
            if (status == HF_OK) {
                return dump->broken ? EXIT_NO : EXIT_DONE;
            }
        }
    }
    bool failed = status != HF_NOT_FOUND || end.damaged;
    *again = *again || (failed && history_log_recycled(&opened, end.segment));
    fflush(stdout);
    if (status == HF_NOT_FOUND) {
        return *again ? EXIT_NO : say_end(&end);
    }
    return *again ? EXIT_NO
                  : wal_failed(status, json, "%s: reading failed: %s", opened.folder,
                               storage_reason(status));
}

static int dump_all(struct dump *dump)
{
    bool again = true;
    int code = EXIT_NO;
    for (unsigned tries = 0; again && tries < HISTORY_TRIES_MAX; tries++) {
        enum hf_status status = HF_OK;
        if (tries > 0) {
            status = history_log_read(&opened, false);
        }
        if (status != HF_OK) {
            return wal_failed(status, json, "%s: the log can't be opened: %s", opened.folder,
                              storage_reason(status));
        }
        code = dump_once(dump, &again);
    }
    if (again) {
        return wal_failed(HF_BUSY, json,
                          "%s: the engine recycles the log's segments faster than they can be read",
                          opened.folder);
    }
    return code;
}

/* Opens the log where printing may begin. */
static enum hf_status open_at(struct dump *dump)
{
    const struct history_position *from = &dump->filter->range.from;
    enum hf_status status = HF_OK;
    /* With a time, the records may be anywhere. */
    if (from->value > 0 && !from->is_time) {
        status = history_log_choose(&opened, from->value - 1);
    }
    if (status == HF_OK) {
        status = history_log_read(&opened, true);
    }
    if (status == HF_OK && opened.first > 1) {
        status = item_names_load_newest(&dump->names, opened.storage);
    }
    return status;
}

int cmd_wal_dump(int argc, char **argv)
{
    struct args args;
    struct filter filter;
    struct dump dump = {.filter = &filter};
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = make_filter(&filter);
    }
    if (code == ARGS_GO_ON) {
        code = wal_find(&opened, data, archive, json);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    item_names_init(&dump.names);
    enum hf_status status = open_at(&dump);
    code = status == HF_OK ? dump_all(&dump)
                           : wal_failed(status, json, "%s: the log can't be opened: %s",
                                        opened.folder, storage_reason(status));
    item_names_deinit(&dump.names);
    history_log_close(&opened);
    return code;
}
