/* stock_import.c - `holdfast stock import`: defines items and sets their stock from a CSV file.
 *
 * Repeatable: a definition made twice is the same, and each stock setting has an id that follows
 * from the import's reference and the item. So an import that broke off is simply run again.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/import.h"
#include "cli/print.h"
#include "cli/stock.h"

#define BATCH_ROWS    500u /* of one request: some 50 KiB */
#define REFUSED_SHOWN 20u

static struct connection connection;
static const char *reference_option;
static bool dry_run;

static const struct option_spec options[] = {
    {"reference", OPTION_TEXT, &reference_option, NULL, "TEXT",
     "names this import, at most 128 bytes (default: the content's XXH3)"},
    {"dry-run", OPTION_FLAG, &dry_run, NULL, NULL, "only check the file; no engine is needed"},
    CONNECTION_OPTIONS(connection),
};

static const struct command_spec spec = {
    .name = "stock import",
    .arguments = "FILE.csv",
    .help =
        "Defines SKUs and items and sets their stock from a CSV file, plain or gzipped; - is\n"
        "standard input. The first row names the columns, in any order:\n"
        "\n"
        "  sku              the product's code; the only column that must be there\n"
        "  pool             where or for whom the stock is kept; empty: default\n"
        "  stock            units stocked\n"
        "  safety           units kept back\n"
        "  presale_cap      units that may be sold beyond the stock\n"
        "  hot              yes: many buyers at once, split the counter now\n"
        "  label            the SKU's name for people\n"
        "  limit_per_buyer  empty or 0: a limit is not supported by this version yet\n"
        "  opens_at, closes_at    times, as 2026-11-11T00:00:00+08:00 or Unix milliseconds\n"
        "  paused           yes or no\n"
        "  hold_ms, hold_ms_max   how long units are held, and at most; 15m is understood too\n"
        "\n"
        "An empty cell leaves what it is about as it is. A SKU's rules (label and below) may be\n"
        "named in any of its rows. The whole file is checked first: if any row is wrong, nothing\n"
        "is done. Importing the same file again changes nothing, also after sales; to set the\n"
        "same stock once more, name another --reference.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
};

struct summary {
    uint32_t rows;
    uint32_t skus;
    uint32_t items; /* defined */
    uint32_t stock_set;
    uint32_t replayed; /* set by an earlier run of this import */
    uint32_t refused;
    int64_t units;                      /* of all rows that name stock */
    enum hf_status status;              /* OK, or the first thing that went wrong */
    char message[CONNECT_REASON_BYTES]; /* what that was */
    char reference[REASON_BYTES_MAX + 1];
};

/* ---- Definitions ---- */

/* An item's definition replaces its numbers, so those that the file does not name are read from the
 * engine. rows: all of one SKU. */
static enum hf_status fill_numbers(struct hf_client *client, struct import_row *const *rows,
                                   uint32_t count)
{
    bool complete = true;
    for (uint32_t i = 0; i < count; i++) {
        complete = complete && rows[i]->has_safety && rows[i]->has_presale_cap;
    }
    if (complete) {
        return HF_OK;
    }
    struct hf_stock *known;
    uint32_t known_count;
    enum hf_status status = stock_of_sku(client, rows[0]->sku, &known, &known_count);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < known_count; k++) {
            if (strcmp(known[k].pool, rows[i]->pool) == 0) {
                rows[i]->safety = rows[i]->has_safety ? rows[i]->safety : known[k].safety;
                rows[i]->presale_cap =
                    rows[i]->has_presale_cap ? rows[i]->presale_cap : known[k].presale_cap;
            }
        }
    }
    free(known);
    return status == HF_UNKNOWN_ITEM ? HF_OK : status;
}

static struct hf_sku rules_of(const struct import_row *row)
{
    return (struct hf_sku){.sku = row->sku,
                           .label = row->label,
                           .limit_per_buyer = row->limit_per_buyer,
                           .opens_at_ms = row->opens_at_ms,
                           .closes_at_ms = row->closes_at_ms,
                           .paused = row->paused,
                           .hold_ms = row->hold_ms,
                           .hold_ms_max = row->hold_ms_max,
                           .fields = row->rules};
}

/* Defines the items of `count` sorted rows, and the rules of the SKUs that begin among them.
 * handles: one for each row. */
static enum hf_status define_batch(struct hf_client *client, struct import_row *const *rows,
                                   uint32_t count, const struct import_row *row_before,
                                   uint32_t *handles)
{
    struct hf_sku skus[BATCH_ROWS];
    struct hf_item items[BATCH_ROWS];
    uint32_t sku_count = 0;
    CHECK(count <= BATCH_ROWS);
    for (uint32_t i = 0; i < count; i++) {
        const struct import_row *before = i > 0 ? rows[i - 1] : row_before;
        bool first_of_sku = !before || strcmp(before->sku, rows[i]->sku) != 0;
        if (first_of_sku && rows[i]->rules != 0) {
            skus[sku_count++] = rules_of(rows[i]);
        }
        items[i] = (struct hf_item){.sku = rows[i]->sku,
                                    .pool = rows[i]->pool,
                                    .safety = rows[i]->safety,
                                    .presale_cap = rows[i]->presale_cap,
                                    .hot = rows[i]->hot};
    }
    return hf_define(client, skus, sku_count, items, count, handles);
}

static uint32_t rows_of_sku(const struct import *import, uint32_t from)
{
    uint32_t end = from + 1;
    while (end < import->row_count &&
           strcmp(import->sorted[end]->sku, import->sorted[from]->sku) == 0) {
        end++;
    }
    return end - from;
}

static uint32_t batch_at(const struct import *import, uint32_t from)
{
    uint32_t left = import->row_count - from;
    return left < BATCH_ROWS ? left : BATCH_ROWS;
}

/* An engine that has no items yet need not be asked about each. */
static enum hf_status read_numbers(struct hf_client *client, const struct import *import,
                                   struct progress *progress)
{
    struct hf_engine_status engine;
    enum hf_status asked = hf_get_status(client, &engine);
    if (asked != HF_OK || engine.items == 0) {
        return asked;
    }
    for (uint32_t i = 0; i < import->row_count;) {
        uint32_t count = rows_of_sku(import, i);
        enum hf_status status = fill_numbers(client, import->sorted + i, count);
        if (status != HF_OK) {
            return status;
        }
        i += count;
        progress_show(progress, "reading ", i, 3 * (uint64_t)import->row_count);
    }
    return HF_OK;
}

static enum hf_status define_all(struct hf_client *client, const struct import *import,
                                 uint32_t *handles, struct progress *progress,
                                 struct summary *summary)
{
    uint64_t total = 3 * (uint64_t)import->row_count;
    for (uint32_t i = 0; i < import->row_count;) {
        uint32_t count = batch_at(import, i);
        const struct import_row *before = i > 0 ? import->sorted[i - 1] : NULL;
        enum hf_status status =
            define_batch(client, import->sorted + i, count, before, handles + i);
        if (status != HF_OK) {
            return status;
        }
        i += count;
        summary->items = i;
        progress_show(progress, "defining", import->row_count + (uint64_t)i, total);
    }
    return HF_OK;
}

/* ---- Stock ---- */

/* The id of an import's setting of an item: the hash of "import", the reference, the SKU and the
 * pool, each with a NUL behind it. */
static struct hf_id adjustment_id(const char *reference, const struct import_row *row)
{
    char text[16 + REASON_BYTES_MAX + 2 * HF_CODE_BYTES];
    int used = snprintf(text, sizeof text, "import%c%s%c%s%c%s", '\0', reference, '\0', row->sku,
                        '\0', row->pool);
    CHECK(used > 0 && (size_t)used < sizeof text);
    struct hf_id id;
    id_to_bytes(hash_bytes_128(text, (size_t)used + 1), id.bytes);
    return id;
}

static void say_refused(const struct import_row *row, const struct hf_adjust_result *result,
                        struct summary *summary)
{
    if (summary->refused++ >= REFUSED_SHOWN) {
        return;
    }
    char text[CONNECT_REASON_BYTES];
    int used =
        snprintf(text, sizeof text, "row %" PRIu64 " (%s@%s): stock %" PRId64 ": %s", row->number,
                 row->sku, row->pool, row->stock,
                 result->status == HF_ID_CONFLICT ? "an import of this reference set another value"
                                                  : hf_status_text(result->status));
    if (result->stock.item != 0) {
        snprintf(text + used, sizeof text - (size_t)used, " (held %" PRId64 ", sold %" PRId64 ")",
                 result->stock.held, result->stock.sold);
    }
    connect_say(result->status, text);
    if (summary->status == HF_OK) {
        summary->status = result->status;
        memcpy(summary->message, text, sizeof text);
    }
}

static enum hf_status set_batch(struct hf_client *client, struct import_row *const *rows,
                                const uint32_t *handles, uint32_t count, struct summary *summary)
{
    struct hf_adjustment adjustments[BATCH_ROWS];
    struct hf_adjust_result *results = must_alloc(BATCH_ROWS, sizeof *results);
    const struct import_row *of[BATCH_ROWS];
    uint32_t used = 0;
    CHECK(count <= BATCH_ROWS);
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i]->has_stock) {
            of[used] = rows[i];
            adjustments[used++] =
                (struct hf_adjustment){.id = adjustment_id(summary->reference, rows[i]),
                                       .item = handles[i],
                                       .set = true,
                                       .value = rows[i]->stock,
                                       .reason = "import",
                                       .reference = summary->reference};
        }
    }
    enum hf_status status = used > 0 ? hf_adjust(client, adjustments, used, results) : HF_OK;
    for (uint32_t i = 0; status == HF_OK && i < used; i++) {
        if (results[i].status != HF_OK) {
            say_refused(of[i], &results[i], summary);
        } else if (results[i].replayed) {
            summary->replayed++;
        } else {
            summary->stock_set++;
        }
    }
    free(results);
    return status;
}

static enum hf_status set_all(struct hf_client *client, const struct import *import,
                              const uint32_t *handles, struct progress *progress,
                              struct summary *summary)
{
    uint64_t total = 3 * (uint64_t)import->row_count;
    for (uint32_t i = 0; i < import->row_count;) {
        uint32_t count = batch_at(import, i);
        enum hf_status status = set_batch(client, import->sorted + i, handles + i, count, summary);
        if (status != HF_OK) {
            return status;
        }
        i += count;
        progress_show(progress, "setting ", 2 * (uint64_t)import->row_count + i, total);
    }
    return HF_OK;
}

/* ---- The command ---- */

static void print_summary(const struct summary *summary)
{
    if (connection.json) {
        json_t *object =
            json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "status",
                      hf_status_name(summary->status), "reference", summary->reference, "dry_run",
                      (int)dry_run, "rows", (json_int_t)summary->rows, "skus",
                      (json_int_t)summary->skus, "items", (json_int_t)summary->items, "stock_set",
                      (json_int_t)summary->stock_set, "replayed", (json_int_t)summary->replayed,
                      "refused", (json_int_t)summary->refused, "units", (json_int_t)summary->units);
        if (summary->status != HF_OK) {
            json_object_set_new(object, "message",
                                json_text(summary->message, strlen(summary->message)));
        }
        print_json(object);
        return;
    }
    printf("reference      %s\n", summary->reference);
    printf("rows           %" PRIu32 "\n", summary->rows);
    printf("SKUs           %" PRIu32 "\n", summary->skus);
    printf("units in file  %" PRId64 "\n", summary->units);
    if (dry_run) {
        printf("nothing done   the file is fine (--dry-run)\n");
        return;
    }
    printf("items defined  %" PRIu32 "\n", summary->items);
    printf("stock set      %" PRIu32 "\n", summary->stock_set);
    printf("set before     %" PRIu32 "\n", summary->replayed);
    printf("refused        %" PRIu32 "\n", summary->refused);
}

static void begin_summary(const struct import *import, struct summary *summary)
{
    *summary = (struct summary){.rows = import->row_count, .skus = import->sku_count};
    for (uint32_t i = 0; i < import->row_count; i++) {
        /* At most 2^24 rows of 2^53 units: beyond what int64 holds, so it stops at its end. */
        if (__builtin_add_overflow(summary->units, import->rows[i].stock, &summary->units)) {
            summary->units = INT64_MAX;
        }
    }
    if (reference_option) {
        snprintf(summary->reference, sizeof summary->reference, "%s", reference_option);
    } else {
        snprintf(summary->reference, sizeof summary->reference, "%016" PRIx64,
                 import->content_hash);
    }
}

/* What is no fault of the file or the command: the same import may go through later. */
static bool may_pass(enum hf_status status)
{
    return status == HF_UNREACHABLE || status == HF_TIMED_OUT || status == HF_BUSY ||
           status == HF_READ_ONLY;
}

static int apply(const struct import *import, struct summary *summary)
{
    struct hf_client *client;
    struct progress progress;
    int code = connect_open(&spec, &connection, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    uint32_t *handles = must_alloc(import->row_count, sizeof *handles);
    progress_start(&progress);
    enum hf_status status = read_numbers(client, import, &progress);
    if (status == HF_OK) {
        status = define_all(client, import, handles, &progress, summary);
    }
    if (status == HF_OK) {
        status = set_all(client, import, handles, &progress, summary);
    }
    progress_end(&progress);
    if (status != HF_OK) {
        summary->status = status;
        connect_reason(status, NULL, summary->message);
        code = connect_say(status, summary->message);
        fprintf(stderr, "The import broke off.%s\n",
                may_pass(status) ? " It may be run again as it is." : "");
    } else {
        code = summary->refused > 0 ? EXIT_NO : EXIT_DONE;
    }
    if (summary->refused > REFUSED_SHOWN) {
        fprintf(stderr, "... and %" PRIu32 " more\n", summary->refused - REFUSED_SHOWN);
    }
    free(handles);
    hf_client_close(client);
    return code;
}

int stock_import(int argc, char **argv)
{
    struct args args;
    struct import import;
    struct summary summary;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON && reference_option &&
        (reference_option[0] == '\0' || strlen(reference_option) > REASON_BYTES_MAX)) {
        code = args_wrong(&spec, "option --reference: must be 1..%u bytes", REASON_BYTES_MAX);
    }
    if (code == ARGS_GO_ON && reference_option &&
        !utf8_valid((const uint8_t *)reference_option, strlen(reference_option))) {
        code = args_wrong(&spec, "option --reference: not valid UTF-8");
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    if (import_read(&import, args.values[0])) {
        begin_summary(&import, &summary);
        code = dry_run ? EXIT_DONE : apply(&import, &summary);
        if (code != EXIT_USAGE && (code != EXIT_NOT_REACHABLE || connection.json)) {
            print_summary(&summary);
        }
    } else {
        fprintf(stderr, "Nothing was imported.\n");
        if (connection.json) {
            print_json(error_object(HF_INVALID, import.first_error));
        }
        code = EXIT_NO;
    }
    import_deinit(&import);
    return code;
}
