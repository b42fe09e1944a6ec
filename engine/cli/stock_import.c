/* stock_import.c - `holdfast stock import`: defines items and sets their stock from a CSV file, or
 * prints what that would change. The file is read in import.c, the work done in import_apply.c.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/times.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/import.h"
#include "cli/import_apply.h"
#include "cli/import_check.h"
#include "cli/import_summary.h"
#include "cli/print.h"

static struct connection connection = {.step_by_step = true};
static const char *reference_option;
static bool dry_run;
static const char *encoding;

static const struct option_spec options[] = {
    {"reference", OPTION_TEXT, &reference_option, NULL, "TEXT",
     "the name of this import, at most 128 bytes (default: a hash of the file's content)"},
    {"dry-run", OPTION_FLAG, &dry_run, NULL, NULL,
     "check the file, also against the engine, and show what would change; change nothing"},
    {"encoding", OPTION_TEXT, &encoding, NULL, "NAME",
     "the file's encoding, as gb18030 or utf-16le (default: utf-8)"},
    CONNECTION_OPTIONS_STEP_BY_STEP(connection),
};

static const struct command_spec spec = {
    .name = "stock import",
    .arguments = "FILE.csv",
    .help =
        "Creates SKUs and items and sets their stock from a CSV file, plain or gzipped; - is\n"
        "standard input. The first row names the columns, in any order:\n"
        "\n"
        "  sku              the product's code; the only column that is required\n"
        "  pool             where or for whom the stock is kept; empty: default\n"
        "  stock            units stocked\n"
        "  safety           units that are kept back, not sold\n"
        "  presale_cap      units that may be sold before they are in stock\n"
        "  hot              yes: expect many buyers at once, split the counter now\n"
        "  label            the product's name, for people\n"
        "  limit_per_buyer  the most units that one buyer may have, in all pools; 0: no limit\n"
        "  opens_at, closes_at    times, as 2026-11-11T00:00:00+08:00, '2026-11-11 00:00' (local\n"
        "                   time) or Unix milliseconds; 0: none\n"
        "  paused           yes or no\n"
        "  hold_ms, hold_ms_max   how long units are held, and the longest that an order may ask "
        "for, in\n"
        "                   milliseconds or as 15m\n"
        "\n"
        "An empty cell changes nothing. The rules of a SKU (label and the columns below it)\n"
        "may be in any of its rows. The whole file is checked first, also by the engine: if\n"
        "any row is wrong or refused, nothing is imported. Importing the same file again\n"
        "changes nothing, also after sales; to set the same stock once more, name another\n"
        "--reference. Rows are numbered from 1, which is the header.\n"
        "\n"
        "  holdfast stock import sale.csv --dry-run\n"
        "  holdfast stock import sale.csv --reference 2026-11-11\n" ENGINE_HELP,
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
    json_t *more = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ended_sales",
        (json_int_t)summary->ended, "items", (json_int_t)summary->items, "new_skus",
        (json_int_t)summary->new_skus, "new_items", (json_int_t)summary->new_items, "changed_rules",
        (json_int_t)summary->changed_rules, "changed_items", (json_int_t)summary->changed_items,
        "stock_set", (json_int_t)summary->stock_set, "replayed", (json_int_t)summary->replayed,
        "changed_stock", (json_int_t)summary->changed_stock, "units_added",
        (json_int_t)summary->units_added, "units_removed", (json_int_t)summary->units_removed);
    json_object_update_missing(object, more);
    json_decref(more);
    if (summary->status != HF_OK) {
        json_object_set_new(object, "message",
                            json_text(summary->message, strlen(summary->message)));
    }
    return object;
}

/* The same lines for an import and a dry run of it. */
static void print_counts(const struct import_summary *summary)
{
    printf("SKUs           %" PRIu32 " new, %" PRIu32 " changed\n", summary->new_skus,
           summary->changed_rules);
    printf("items          %" PRIu32 " new, %" PRIu32 " changed, %" PRIu32 " unchanged\n",
           summary->new_items, summary->changed_items,
           summary->items - summary->new_items - summary->changed_items);
    printf("stock set      %" PRIu32 " (%" PRIu32 " changed: +%" PRId64 " -%" PRId64 " units)\n",
           summary->stock_set, summary->changed_stock, summary->units_added,
           summary->units_removed);
    printf("set before     %" PRIu32 "\n", summary->replayed);
    printf("refused        %" PRIu32 "\n", summary->refused);
}

static void print_summary(const struct import_summary *summary)
{
    if (connection.json) {
        print_json(summary_object(summary));
        return;
    }
    printf("reference      %s\n", summary->reference);
    printf("rows           %" PRIu32 "\n", summary->rows);
    printf("SKUs in file   %" PRIu32 "\n", summary->skus);
    printf("units in file  %" PRId64 "\n", summary->units);
    if (dry_run) {
        printf("\nNothing was changed (--dry-run). An import would do this:\n");
    }
    print_counts(summary);
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

/* Whether the file and the command are not at fault: the same import may succeed later. */
static bool may_pass(enum hf_status status)
{
    return status == HF_UNREACHABLE || status == HF_TIMED_OUT || status == HF_BUSY ||
           status == HF_READ_ONLY;
}

static void say_refused(const struct import_summary *summary, const char *name)
{
    for (uint32_t i = 0; i < summary->refused && i < IMPORT_REFUSED_SHOWN; i++) {
        char text[CONNECT_REASON_BYTES + 256];
        snprintf(text, sizeof text, "%.200s: %s", name, summary->refused_texts[i]);
        connect_say(summary->refused_status[i], text);
    }
    if (summary->refused > IMPORT_REFUSED_SHOWN) {
        fprintf(stderr, "... and %" PRIu32 " more\n", summary->refused - IMPORT_REFUSED_SHOWN);
    }
}

/* Checks the whole import and, without --dry-run and if nothing is refused, applies it. The summary
 * has the row where it stopped. */
static enum hf_status check_and_apply(struct hf_client *client, const struct import *import,
                                      struct import_summary *summary, bool *applied)
{
    struct progress progress;
    progress_start(&progress);
    enum hf_status status = import_check(client, import, &progress, summary);
    *applied = status == HF_OK && summary->refused == 0 && !dry_run;
    if (*applied) {
        import_forget_counts(summary);
        status = import_apply(client, import, &progress, summary);
    }
    progress_end(&progress);
    return status;
}

/* Warns of sales that have ended according to the file, which is most often a mistake. Returns
 * their number. */
static uint32_t warn_of_ended(struct hf_client *client, const struct import *import,
                              const char *name)
{
    uint64_t now_ms = 0; /* asked for once a row needs it */
    uint32_t count = 0;
    for (uint32_t i = 0; i < import->row_count; i++) {
        const struct import_row *row = import->sorted[i];
        char when[TIME_TEXT_BYTES];
        if (!(row->own_rules & HF_SKU_CLOSES_AT) || row->closes_at_ms == 0) {
            continue;
        }
        now_ms = now_ms ? now_ms : connect_engine_ms(client);
        if (row->closes_at_ms > now_ms || count++ >= IMPORT_REFUSED_SHOWN) {
            continue;
        }
        time_local_text(row->closes_at_ms, when);
        fputs("warning: ", stderr);
        print_safe(stderr, name);
        fprintf(stderr, ": row %" PRIu64 ", column closes_at: the sale has ended already, %s\n",
                row->number, when);
    }
    return count;
}

static int run(const struct import *import, const char *name, struct import_summary *summary)
{
    struct hf_client *client;
    bool applied;
    int code = connect_open(&spec, &connection, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    summary->ended = warn_of_ended(client, import, name);
    enum hf_status status = check_and_apply(client, import, summary, &applied);
    say_refused(summary, name);
    if (status != HF_OK) {
        code = connect_say(status, summary->message);
        fprintf(stderr, "The %s stopped before its end.%s\n", applied ? "import" : "check",
                may_pass(status) ? " Run the same command again to finish it." : "");
    } else {
        code = summary->refused > 0 ? EXIT_NO : EXIT_DONE;
    }
    if (!applied && !dry_run) {
        fprintf(stderr, "Nothing was imported.\n");
    }
    hf_client_close(client);
    return code;
}

static int read_and_run(const char *path)
{
    struct import import;
    struct import_summary *summary = must_alloc(1, sizeof *summary);
    int code = EXIT_NO;
    if (import_read(&import, path, encoding)) {
        begin_summary(&import, summary);
        code = run(&import, strcmp(path, "-") == 0 ? "standard input" : path, summary);
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

/* Normalizes the reference as the engine does: the ids of stock settings follow from it. */
static int take_reference(void)
{
    static char reference[REASON_BYTES_MAX + 1];
    uint8_t room[TEXT_ROOM_BYTES];
    char why[TEXT_ERROR_BYTES];
    struct bytes taken;
    if (!text_take(TEXT_REASON, bytes_of(reference_option), room, &taken, why)) {
        return args_wrong(&spec, "option --reference: %s", why);
    }
    if (taken.len == 0) {
        return args_wrong(&spec, "option --reference: must be 1..%u bytes", REASON_BYTES_MAX);
    }
    memcpy(reference, taken.data, taken.len);
    reference[taken.len] = '\0';
    reference_option = reference;
    return ARGS_GO_ON;
}

int cmd_stock_import(int argc, char **argv)
{
    struct args args;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON && reference_option) {
        code = take_reference();
    }
    return code == ARGS_GO_ON ? read_and_run(args.values[0]) : code;
}
