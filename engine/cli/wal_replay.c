/* wal_replay.c - `holdfast wal replay`: the state that a log led to, at its end or at a moment
 * before: printed, written out as a new data directory, or compared with a running engine.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/stock_print.h"
#include "cli/wal_open.h"
#include "cli/wal_say.h"
#include "history/restore.h"

#define COMPARE_TRIES 3u
#define PAGE_ROWS     1024u

static const char *data = DATA_DEFAULT;
static const char *archive;
static const char *until;
static const char *out;
static const char *diff;
static bool json;
static struct connection connection = {.step_by_step = true};

static const struct option_spec options[] = {
    WAL_DATA_OPTION(data),
    WAL_ARCHIVE_OPTION(archive),
    {"until", OPTION_TEXT, &until, NULL, "LSN|TIME",
     "the state as of then (default: the log's end)"},
    {"out", OPTION_TEXT, &out, NULL, "DIR", "build a data directory of it, to start an engine on"},
    {"diff", OPTION_TEXT, &diff, NULL, "URL", "compare it with the engine that is running there"},
    {"timeout", OPTION_DURATION, &connection.timeout_ms, &connection.timeout_given, "DURATION",
     "with --diff: how long asking may take in all (default: no limit, but 5s for each answer)"},
    {"token", OPTION_TEXT, &connection.token, NULL, "TEXT",
     "with --diff: sent along if the engine wants one"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON"},
};

static const struct command_spec spec = {
    .name = "wal replay",
    .arguments = "",
    .help =
        "Rebuilds the state from a log, without its engine, and prints it. Reads only; the log's\n"
        "engine may be running.\n"
        "\n"
        "--until names a moment. An LSN (digits) means all records that end at or before it. A\n"
        "time (2026-11-11T00:00:00+08:00 and the like, without an offset: local time; or @ and\n"
        "Unix milliseconds) means all up to the last block written at or before it: times go back\n"
        "where a clock did. Moments before the oldest checkpoint need the segments since the "
        "log's\n"
        "beginning: --archive names where the engine put them.\n"
        "\n"
        "--out builds a new data directory that ends at that moment. Give the engine that starts\n"
        "on it an archive of its own: what it writes has the same segment numbers.\n"
        "\n"
        "--diff compares with a running engine, at one moment. While the engine changes its state\n"
        "the two can't be compared, and this says so. Exit 1: they differ.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* ---- What was rebuilt ---- */

static struct hf_stock row_of(const struct item_view *view)
{
    struct hf_stock row = {.item = view->item,
                           .stocked = view->stock.stocked,
                           .held = view->stock.held,
                           .sold = view->stock.sold,
                           .available = view->stock.available,
                           .safety = view->stock.safety,
                           .presale_cap = view->stock.presale_cap};
    memcpy(row.sku, view->sku.data, view->sku.len);
    memcpy(row.pool, view->pool.data, view->pool.len);
    return row;
}

struct rows {
    struct hf_stock *rows;
    uint32_t count;
};

static int compare_rows(const void *a, const void *b)
{
    const struct hf_stock *left = a;
    const struct hf_stock *right = b;
    int order = strcmp(left->sku, right->sku);
    return order ? order : (left->item > right->item) - (left->item < right->item);
}

/* All items, by SKU and then as they were defined. */
static struct rows rebuilt_rows(const struct inventory *inventory)
{
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    struct rows rows = {must_alloc((size_t)counts.items + 1, sizeof *rows.rows), 0};
    for (uint32_t item = 1; item <= counts.items; item++) {
        struct item_view view;
        if (inventory_item(inventory, item, &view) == HF_OK) {
            rows.rows[rows.count++] = row_of(&view);
        }
    }
    qsort(rows.rows, rows.count, sizeof *rows.rows, compare_rows);
    return rows;
}

static void count_states(struct inventory *inventory, uint64_t states[ORDER_RETURNED + 1])
{
    static struct order_view views[PAGE_ROWS];
    struct order_filter any = {0};
    struct order_cursor cursor = {0};
    memset(states, 0, (ORDER_RETURNED + 1) * sizeof *states);
    while (!cursor.done) {
        uint32_t count =
            inventory_list_orders(inventory, &any, &cursor, views, PAGE_ROWS, PAGE_ROWS);
        for (uint32_t i = 0; i < count; i++) {
            states[views[i].state]++;
        }
    }
}

/* The tables and the sum of what the records added must agree. */
static bool digest_agrees(struct rebuild *rebuild)
{
    return inventory_digest(rebuild->replay.inventory) == rebuild->replay.digest;
}

static json_t *state_object(struct rebuild *rebuild, const struct rows *rows, bool agrees)
{
    char digest[20];
    uint64_t states[ORDER_RETURNED + 1];
    struct inventory_counts counts;
    const struct history_replay *replay = &rebuild->replay;
    inventory_counts(replay->inventory, &counts);
    count_states(replay->inventory, states);
    snprintf(digest, sizeof digest, "%016" PRIx64, replay->digest);
    json_t *stock = json_array();
    for (uint32_t i = 0; i < rows->count; i++) {
        json_array_append_new(stock, stock_object(&rows->rows[i]));
    }
    json_t *orders = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I}", "known", (json_int_t)counts.orders_known, "held",
        (json_int_t)states[ORDER_HELD], "committed", (json_int_t)states[ORDER_COMMITTED],
        "released", (json_int_t)states[ORDER_RELEASED], "expired",
        (json_int_t)states[ORDER_EXPIRED], "returned", (json_int_t)states[ORDER_RETURNED]);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:o, s:o}", "lsn",
                     (json_int_t)replay->lsn, "last_ms", (json_int_t)rebuild->wall_ms, "checkpoint",
                     (json_int_t)rebuild->from.number, "checkpoint_lsn",
                     (json_int_t)rebuild->from.start.lsn, "records", (json_int_t)replay->records,
                     "digests", (json_int_t)replay->digests, "digest", digest, "digest_agrees",
                     agrees, "skus", (json_int_t)counts.skus, "items", (json_int_t)counts.items,
                     "orders", orders, "stock", stock);
}

static void print_state(struct rebuild *rebuild, const struct rows *rows, bool agrees)
{
    char when[TIME_TEXT_BYTES];
    uint64_t states[ORDER_RETURNED + 1];
    struct inventory_counts counts;
    const struct history_replay *replay = &rebuild->replay;
    inventory_counts(replay->inventory, &counts);
    count_states(replay->inventory, states);
    uint64_t wall_ms = rebuild->wall_ms ? rebuild->wall_ms : rebuild->from.wall_ms;
    time_text(wall_ms, when);
    printf("LSN        %" PRIu64 "\n", replay->lsn);
    printf("last       %s\n", wall_ms ? when : "-");
    if (rebuild->from.number) {
        printf("from       checkpoint %" PRIu64 ", LSN %" PRIu64 "\n", rebuild->from.number,
               rebuild->from.start.lsn);
    } else {
        printf("from       the log's beginning\n");
    }
    printf("records    %" PRIu64 "\n", replay->records);
    printf("digest     %016" PRIx64 "%s\n", replay->digest,
           agrees ? "" : " (the state's own differs: see stderr)");
    printf("SKUs       %" PRIu64 "\n", counts.skus);
    printf("items      %" PRIu64 "\n", counts.items);
    printf("orders     %" PRIu64 ": %" PRIu64 " held, %" PRIu64 " committed, %" PRIu64
           " released, %" PRIu64 " expired, %" PRIu64 " returned\n\n",
           counts.orders_known, states[ORDER_HELD], states[ORDER_COMMITTED], states[ORDER_RELEASED],
           states[ORDER_EXPIRED], states[ORDER_RETURNED]);
    stock_print(rows->rows, rows->count, false);
}

/* Prints the state. False: its tables do not agree with its history. */
static bool tell(struct rebuild *rebuild)
{
    struct rows rows = rebuilt_rows(rebuild->replay.inventory);
    bool agrees = digest_agrees(rebuild);
    if (json) {
        print_json(state_object(rebuild, &rows, agrees));
    } else {
        print_state(rebuild, &rows, agrees);
    }
    free(rows.rows);
    if (!agrees) {
        fprintf(stderr,
                "The rebuilt tables differ from the sum of their records: this version of holdfast "
                "has a fault. Start no engine on the result.\n");
    }
    return agrees;
}

/* ---- --out ---- */

static int build_directory(struct rebuild *rebuild, struct storage *storage)
{
    char message[RESTORE_MESSAGE_BYTES];
    struct progress progress;
    progress_start(&progress);
    const struct rebuild_report report = {&progress, wal_passed_over, wal_progress};
    enum hf_status status = restore_build(rebuild, storage, out, &report, message);
    progress_end(&progress);
    if (status != HF_OK) {
        return wal_failed(status, json, "%s", message);
    }
    if (!tell(rebuild)) {
        return EXIT_NO;
    }
    fprintf(stderr, "%s: built and read back; it ends at LSN %" PRIu64 ".\n", out,
            rebuild->replay.lsn);
    return EXIT_DONE;
}

/* ---- --diff ---- */

/* The engine's stock, in the order of rebuilt_rows. */
static enum hf_status engine_rows(struct hf_client *client, struct rows *rows)
{
    char after[HF_CODE_BYTES] = "";
    *rows = (struct rows){0};
    for (;;) {
        struct hf_stock *page;
        uint32_t count;
        enum hf_status status = hf_list_stock(client, after, 0, &page, &count);
        if (status != HF_OK || count == 0) {
            if (status == HF_OK) {
                hf_free(page);
                qsort(rows->rows, rows->count, rows->rows ? sizeof *rows->rows : 1, compare_rows);
            }
            return status;
        }
        rows->rows = must_grow(rows->rows, rows->count + count, sizeof *rows->rows);
        memcpy(rows->rows + rows->count, page, count * sizeof *page);
        rows->count += count;
        snprintf(after, sizeof after, "%s", page[count - 1].sku);
        hf_free(page);
    }
}

struct comparison {
    uint64_t lsn;       /* of the engine, before */
    uint64_t lsn_after; /* and after its stock was read */
    uint64_t compared;
    uint64_t differences;
    struct json_rows array;
};

static void difference(struct comparison *comparison, const char *subject, const char *field,
                       int64_t rebuilt, int64_t engine)
{
    comparison->differences++;
    if (json) {
        json_rows_add(&comparison->array,
                      json_pack("{s:o, s:s, s:I, s:I}", "subject",
                                json_text(subject, strlen(subject)), "field", field, "rebuilt",
                                (json_int_t)rebuilt, "engine", (json_int_t)engine));
        return;
    }
    print_safe(stdout, subject);
    printf(": %s: rebuilt %" PRId64 ", engine %" PRId64 "\n", field, rebuilt, engine);
}

static void compare_item(struct comparison *comparison, const struct hf_stock *rebuilt,
                         const struct hf_stock *engine)
{
    char subject[2 * HF_CODE_BYTES];
    const struct hf_stock *either = rebuilt ? rebuilt : engine;
    const struct {
        const char *name;
        int64_t rebuilt;
        int64_t engine;
    } fields[] = {
        {"stocked", rebuilt ? rebuilt->stocked : 0, engine ? engine->stocked : 0},
        {"held", rebuilt ? rebuilt->held : 0, engine ? engine->held : 0},
        {"sold", rebuilt ? rebuilt->sold : 0, engine ? engine->sold : 0},
        {"safety", rebuilt ? rebuilt->safety : 0, engine ? engine->safety : 0},
        {"presale_cap", rebuilt ? rebuilt->presale_cap : 0, engine ? engine->presale_cap : 0},
        {"defined", rebuilt != NULL, engine != NULL},
    };
    snprintf(subject, sizeof subject, "%s@%s", either->sku, either->pool);
    comparison->compared++;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].rebuilt != fields[i].engine) {
            difference(comparison, subject, fields[i].name, fields[i].rebuilt, fields[i].engine);
        }
    }
}

/* Both are sorted alike: a merge. */
static void compare_stock(struct comparison *comparison, const struct rows *rebuilt,
                          const struct rows *engine)
{
    uint32_t left = 0;
    uint32_t right = 0;
    while (left < rebuilt->count || right < engine->count) {
        const struct hf_stock *ours = left < rebuilt->count ? &rebuilt->rows[left] : NULL;
        const struct hf_stock *theirs = right < engine->count ? &engine->rows[right] : NULL;
        int order = !ours ? 1 : !theirs ? -1 : compare_rows(ours, theirs);
        compare_item(comparison, order <= 0 ? ours : NULL, order >= 0 ? theirs : NULL);
        left += order <= 0;
        right += order >= 0;
    }
}

static void compare_orders(struct comparison *comparison, const struct inventory *inventory,
                           const struct hf_engine_status *engine)
{
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    const struct {
        const char *name;
        uint64_t rebuilt;
        uint64_t engine;
    } fields[] = {
        {"items", counts.items, engine->items},
        {"held", counts.orders_held, engine->orders_held},
        {"known", counts.orders_known, engine->orders_known},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].rebuilt != fields[i].engine) {
            difference(comparison, i == 0 ? "engine" : "orders", fields[i].name,
                       (int64_t)fields[i].rebuilt, (int64_t)fields[i].engine);
        }
    }
}

/* One try: the engine's LSN, the log up to there, the engine's stock, and its LSN again. *code is
 * set, unless ARGS_GO_ON, when there is nothing to compare. */
static enum hf_status look(struct hf_client *client, struct storage *storage,
                           struct rebuild *rebuild, struct rows *engine,
                           struct hf_engine_status *status, struct comparison *comparison,
                           int *code)
{
    enum hf_status outcome = hf_get_status(client, status);
    if (outcome != HF_OK) {
        return outcome;
    }
    comparison->lsn = status->commit_lsn;
    const struct rebuild_options upto = {.until = {.value = comparison->lsn}};
    *code = wal_rebuild(rebuild, storage, upto, json);
    if (*code != ARGS_GO_ON) {
        return HF_OK;
    }
    outcome = engine_rows(client, engine);
    if (outcome == HF_OK) {
        outcome = hf_get_status(client, status);
        comparison->lsn_after = status->commit_lsn;
    }
    if (outcome != HF_OK) {
        rebuild_end(rebuild);
        free(engine->rows);
    }
    return outcome;
}

static int report_comparison(struct comparison *comparison, const struct rebuild *rebuild)
{
    uint64_t rebuilt_lsn = rebuild->replay.lsn;
    bool quiescent = comparison->lsn == comparison->lsn_after;
    bool same_log = rebuilt_lsn == comparison->lsn && !(quiescent && rebuild->more);
    if (json) {
        json_rows_close(&comparison->array);
    } else {
        printf("%" PRIu64 " items compared at LSN %" PRIu64 ": %" PRIu64 " difference%s\n",
               comparison->compared, comparison->lsn, comparison->differences,
               comparison->differences == 1 ? "" : "s");
    }
    if (!same_log) {
        fprintf(stderr,
                "The engine is at LSN %" PRIu64 ", but this log %s LSN %" PRIu64
                ": is it that engine's?\n",
                comparison->lsn, rebuild->more ? "continues after" : "ends at", rebuilt_lsn);
    }
    if (!quiescent) {
        fprintf(stderr,
                "The engine changed its state during the comparison, from LSN %" PRIu64
                " to LSN %" PRIu64
                ". Differences may come from that; compare again when it is quiet.\n",
                comparison->lsn, comparison->lsn_after);
    }
    return comparison->differences == 0 && same_log && quiescent ? EXIT_DONE : EXIT_NO;
}

static int compare_with_engine(struct storage *storage)
{
    static struct rebuild rebuild;
    struct hf_client *client;
    struct hf_engine_status status;
    struct comparison comparison;
    struct rows engine = {0};
    connection.url = diff;
    connection.json = json;
    int code = connect_open(&spec, &connection, &client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    for (unsigned tries = 1;; tries++) {
        comparison = (struct comparison){0};
        enum hf_status outcome =
            look(client, storage, &rebuild, &engine, &status, &comparison, &code);
        if (outcome != HF_OK) {
            code = connect_failed(outcome, NULL);
        }
        if (code != ARGS_GO_ON || comparison.lsn == comparison.lsn_after ||
            tries == COMPARE_TRIES) {
            break;
        }
        rebuild_end(&rebuild);
        free(engine.rows);
    }
    hf_client_close(client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct rows rebuilt = rebuilt_rows(rebuild.replay.inventory);
    if (json) {
        json_rows_open(&comparison.array);
    }
    compare_stock(&comparison, &rebuilt, &engine);
    compare_orders(&comparison, rebuild.replay.inventory, &status);
    code = report_comparison(&comparison, &rebuild);
    free(rebuilt.rows);
    free(engine.rows);
    rebuild_end(&rebuild);
    return code;
}

/* ---- The command ---- */

/* Is the moment one that the log knows? ARGS_GO_ON, or the exit code, with all said. */
static int check_moment(const struct rebuild *rebuild, const struct rebuild_options *wanted)
{
    const struct history_position *moment = &wanted->until;
    uint64_t lsn = rebuild->replay.lsn;
    char when[TIME_TEXT_BYTES];
    if (wanted->all) {
        return ARGS_GO_ON;
    }
    if (!moment->is_time && lsn < moment->value && !rebuild->more) {
        return wal_failed(HF_INVALID, json,
                          "LSN %" PRIu64 " is after the log's end, which is LSN %" PRIu64,
                          moment->value, lsn);
    }
    if (rebuild->more && rebuild->from.number == 0 && !rebuild->last.any) {
        time_text(rebuild->first.header.wall_ms, when);
        return wal_failed(HF_INVALID, json, "that is before the log's beginning, which is %s",
                          when);
    }
    if (!moment->is_time && lsn < moment->value) {
        fprintf(stderr, "The moment before LSN %" PRIu64 " is LSN %" PRIu64 ".\n", moment->value,
                lsn);
    }
    return ARGS_GO_ON;
}

static int replay(struct storage *storage, const struct rebuild_options *wanted)
{
    static struct rebuild rebuild;
    int code = wal_rebuild(&rebuild, storage, *wanted, json);
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = check_moment(&rebuild, wanted);
    if (code == ARGS_GO_ON) {
        code = out ? build_directory(&rebuild, storage) : tell(&rebuild) ? EXIT_DONE : EXIT_NO;
    }
    rebuild_end(&rebuild);
    return code;
}

int cmd_wal_replay(int argc, char **argv)
{
    struct args args;
    char reason[REASON_BYTES];
    struct rebuild_options wanted = {.all = true};
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON && until) {
        wanted.all = false;
        if (!parse_position(until, &wanted.until, reason)) {
            code = args_wrong(&spec, "option --until: '%s' %s", until, reason);
        }
    }
    if (code == ARGS_GO_ON && diff && (until || out)) {
        code = args_wrong(&spec, "option --diff: compares the log's end, and goes with neither "
                                 "--until nor --out");
    }
    struct history_log log;
    if (code == ARGS_GO_ON) {
        code = wal_find(&log, data, archive, json);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = diff ? compare_with_engine(log.storage) : replay(log.storage, &wanted);
    history_log_close(&log);
    return code;
}
