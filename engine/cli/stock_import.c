/* stock_import.c - `holdfast stock import`: defines items and sets their stock from a CSV file, or
 * tells what that would change. The file is read in import.c, the work done in import_apply.c.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/import.h"
#include "cli/import_run.h"
#include "cli/print.h"

static struct connection connection = {.step_by_step = true};
static const char *reference_option;
static bool dry_run;

static const struct option_spec options[] = {
    {"reference", OPTION_TEXT, &reference_option, NULL, "TEXT",
     "names this import, at most 128 bytes (default: the content's XXH3)"},
    {"dry-run", OPTION_FLAG, &dry_run, NULL, NULL,
     "check the file against the engine and tell what would change; change nothing"},
    CONNECTION_OPTIONS_STEP_BY_STEP(connection),
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
        "  limit_per_buyer  units that one buyer may have, over all pools; 0: any number\n"
        "  opens_at, closes_at    times, as 2026-11-11T00:00:00+08:00 or Unix milliseconds\n"
        "  paused           yes or no\n"
        "  hold_ms, hold_ms_max   how long units are held, and at most; 15m is understood too\n"
        "\n"
        "An empty cell leaves what it is about as it is. A SKU's rules (label and below) may be\n"
        "named in any of its rows. The whole file is checked first: if any row is wrong, nothing\n"
        "is done. Importing the same file again changes nothing, also after sales; to set the\n"
        "same stock once more, name another --reference. Rows are numbered from 1, the header's.\n"
        "\n"
        "--dry-run tells what the import would make, change, set and refuse as the engine is "
        "now.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
};

static json_t *summary_object(const struct import_summary *summary)
{
    json_t *object =
        json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I}", "status", hf_status_name(summary->status),
                  "reference", summary->reference, "dry_run", (int)dry_run, "rows",
                  (json_int_t)summary->rows, "skus", (json_int_t)summary->skus, "units",
                  (json_int_t)summary->units, "refused", (json_int_t)summary->refused);
    json_t *more =
        dry_run
            ? json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "new_skus",
                        (json_int_t)summary->new_skus, "new_items", (json_int_t)summary->new_items,
                        "changed_items", (json_int_t)summary->changed_items, "changed_rules",
                        (json_int_t)summary->changed_rules, "changed_stock",
                        (json_int_t)summary->changed_stock, "units_added",
                        (json_int_t)summary->units_added, "units_removed",
                        (json_int_t)summary->units_removed, "replayed",
                        (json_int_t)summary->replayed)
            : json_pack("{s:I, s:I, s:I}", "items", (json_int_t)summary->items, "stock_set",
                        (json_int_t)summary->stock_set, "replayed", (json_int_t)summary->replayed);
    json_object_update_missing(object, more);
    json_decref(more);
    if (summary->status != HF_OK) {
        json_object_set_new(object, "message",
                            json_text(summary->message, strlen(summary->message)));
    }
    return object;
}

static void print_plan(const struct import_summary *summary)
{
    printf("\nNothing was done (--dry-run). An import would\n");
    printf("make           %" PRIu32 " SKUs, %" PRIu32 " items\n", summary->new_skus,
           summary->new_items);
    printf("change         the rules of %" PRIu32 " SKUs, safety or presale_cap of %" PRIu32
           " items\n",
           summary->changed_rules, summary->changed_items);
    printf("set stock      of %" PRIu32 " items: +%" PRId64 " -%" PRId64 " units\n",
           summary->changed_stock, summary->units_added, summary->units_removed);
    printf("leave          %" PRIu32 " items whose stock was set by this import before\n",
           summary->replayed);
    printf("refuse         %" PRIu32 "\n", summary->refused);
}

static void print_summary(const struct import_summary *summary)
{
    if (connection.json) {
        print_json(summary_object(summary));
        return;
    }
    printf("reference      %s\n", summary->reference);
    printf("rows           %" PRIu32 "\n", summary->rows);
    printf("SKUs           %" PRIu32 "\n", summary->skus);
    printf("units in file  %" PRId64 "\n", summary->units);
    if (dry_run) {
        print_plan(summary);
        return;
    }
    printf("items defined  %" PRIu32 "\n", summary->items);
    printf("stock set      %" PRIu32 "\n", summary->stock_set);
    printf("set before     %" PRIu32 "\n", summary->replayed);
    printf("refused        %" PRIu32 "\n", summary->refused);
}

static void begin_summary(const struct import *import, struct import_summary *summary)
{
    memset(summary, 0, sizeof *summary);
    summary->rows = import->row_count;
    summary->skus = import->sku_count;
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

/* Asks, and then does it or tells what it would do. Where it breaks off is in the summary. */
static enum hf_status ask_and_run(struct hf_client *client, const struct import *import,
                                  struct progress *progress, struct import_summary *summary)
{
    struct import_known *known = must_alloc(import->row_count, sizeof *known);
    struct hf_engine_status engine;
    enum hf_status status = hf_get_status(client, &engine);
    if (status == HF_OK && dry_run) {
        status = import_ask(client, import, engine.items, known, progress);
    }
    if (status != HF_OK) {
        summary->status = status;
        connect_reason(status, NULL, summary->message);
    } else {
        status = dry_run ? import_check(client, import, known, summary)
                         : import_apply(client, import, progress, summary);
    }
    free(known);
    return status;
}

static void say_refused(const struct import_summary *summary)
{
    for (uint32_t i = 0; i < summary->refused && i < IMPORT_REFUSED_SHOWN; i++) {
        connect_say(summary->refused_status[i], summary->refused_texts[i]);
    }
    if (summary->refused > IMPORT_REFUSED_SHOWN) {
        fprintf(stderr, "... and %" PRIu32 " more\n", summary->refused - IMPORT_REFUSED_SHOWN);
    }
}

static int run(const struct import *import, struct import_summary *summary)
{
    struct hf_client *client;
    struct progress progress;
    int code = connect_open(&spec, &connection, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    progress_start(&progress);
    enum hf_status status = ask_and_run(client, import, &progress, summary);
    progress_end(&progress);
    say_refused(summary);
    if (status != HF_OK) {
        code = connect_say(status, summary->message);
        fprintf(stderr, "The %s broke off.%s\n", dry_run ? "check" : "import",
                may_pass(status) ? " It may be run again as it is." : "");
    } else {
        code = summary->refused > 0 ? EXIT_NO : EXIT_DONE;
    }
    hf_client_close(client);
    return code;
}

static int read_and_run(const char *path)
{
    struct import import;
    struct import_summary *summary = must_alloc(1, sizeof *summary);
    int code = EXIT_NO;
    if (import_read(&import, path)) {
        begin_summary(&import, summary);
        code = run(&import, summary);
        if (code != EXIT_USAGE && (code != EXIT_NOT_REACHABLE || connection.json)) {
            print_summary(summary);
        }
    } else {
        fprintf(stderr, "Nothing was imported.\n");
        if (connection.json) {
            print_json(error_object(HF_INVALID, import.first_error));
        }
    }
    import_deinit(&import);
    free(summary);
    return code;
}

int stock_import(int argc, char **argv)
{
    struct args args;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON && reference_option &&
        (reference_option[0] == '\0' || strlen(reference_option) > REASON_BYTES_MAX)) {
        code = args_wrong(&spec, "option --reference: must be 1..%u bytes", REASON_BYTES_MAX);
    }
    if (code == ARGS_GO_ON && reference_option &&
        !utf8_valid((const uint8_t *)reference_option, strlen(reference_option))) {
        code = args_wrong(&spec, "option --reference: not valid UTF-8");
    }
    return code == ARGS_GO_ON ? read_and_run(args.values[0]) : code;
}
