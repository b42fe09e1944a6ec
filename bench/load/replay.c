/* replay.c - the steps of a trace, many at once, in the order that matters.
 *
 * A crew of threads takes the steps in the file's order. A return waits until the sale of its order
 * and the earlier returns from it are done: each order counts its finished steps, and a return
 * knows how many come before it. A step waits only for earlier ones, which somebody has taken
 * already, so nobody waits for ever.
 *
 * Threads: the crew; each has lines of its own, an order's counter is atomic, the rest of the
 * shared figures is under a lock. */
#include "load/replay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/histogram.h"
#include "base/limits.h"
#include "load/crew.h"
#include "load/oracle.h"
#include "load/pause.h"
#include "load/report.h"
#include "load/stockroom.h"
#include "load/trace.h"

/* Long enough for a restart in the middle; the commit follows at once. */
#define TRACE_HOLD_MS 86400000u
#define TURN_NAP_NS   UINT64_C(100000)

/* What one thread of the crew needs. */
struct desk {
    struct hf_line *lines;
    struct hf_order_line *seen;
};

struct replay {
    const struct load_options *options;
    const struct link *link;
    struct trace trace;
    struct stockroom room;
    bool *fresh;             /* by SKU: stocked by this run, not by an earlier one of the file */
    _Atomic(uint32_t) *done; /* by order: steps finished */
    atomic_bool stopped;
    struct desk desks[CREW_THREADS];

    pthread_mutex_t lock; /* of all below */
    struct histogram latency;
    uint64_t started_ns;
    uint64_t ended_ns;
    uint64_t last_answer_ns;
    uint64_t stall_ns;
    uint64_t retries;
    uint64_t replayed; /* steps that had been done before */
    uint64_t errors;
    enum hf_status away; /* why the engine could not be reached; HF_OK: it could */
    struct verdict verdict;
};

/* ---- Steps ---- */

static void note_failure(struct replay *replay, const struct trace_step *step, const char *what,
                         enum hf_status status)
{
    CHECK(pthread_mutex_lock(&replay->lock) == 0);
    if (link_is_transient(status)) {
        replay->away = status;
    } else {
        replay->errors++;
        /* There is enough of everything: the stock was counted. */
        replay->verdict.undersold += status == HF_SOLD_OUT;
    }
    if (replay->verdict.note[0] == '\0') {
        char message[LINK_MESSAGE_BYTES];
        snprintf(replay->verdict.note, sizeof replay->verdict.note,
                 "row %" PRIu64 ": order %.40s: %s: %s: %.150s", step->row,
                 names_at(&replay->trace.order_names, step->order), what, hf_status_name(status),
                 link_message(status, message));
    }
    CHECK(pthread_mutex_unlock(&replay->lock) == 0);
}

static void note_success(struct replay *replay, uint64_t since_ns, uint32_t tries, bool replayed)
{
    uint64_t now = pause_now_ns();
    CHECK(pthread_mutex_lock(&replay->lock) == 0);
    histogram_add(&replay->latency, now - since_ns);
    if (now > replay->last_answer_ns) {
        uint64_t gap = now - replay->last_answer_ns;
        replay->stall_ns = gap > replay->stall_ns ? gap : replay->stall_ns;
        replay->last_answer_ns = now;
    }
    replay->retries += tries - 1;
    replay->replayed += replayed && tries == 1;
    CHECK(pthread_mutex_unlock(&replay->lock) == 0);
}

static struct hf_id order_id(const struct replay *replay, uint32_t order)
{
    return hf_id_from_text(names_at(&replay->trace.order_names, order));
}

/* Calls again until there is an answer. `call` fills status. */
#define UNTIL_ANSWERED(replay, tries, status, call)                                                \
    do {                                                                                           \
        uint64_t since_ = pause_now_ns();                                                          \
        do {                                                                                       \
            (tries)++;                                                                             \
            (status) = (call);                                                                     \
        } while (link_again((replay)->link, (status), since_));                                    \
    } while (0)

static bool sell(struct replay *replay, struct hf_client *client, struct desk *desk,
                 const struct trace_step *step)
{
    const struct trace *trace = &replay->trace;
    const struct trace_order *order = &trace->orders[step->order];
    for (uint32_t i = 0; i < order->line_count; i++) {
        const struct trace_line *line = &trace->lines[order->first_line + i];
        desk->lines[i] =
            (struct hf_line){.item = replay->room.handles[line->sku], .qty = line->qty};
    }
    struct hf_order request = {
        .id = order_id(replay, step->order),
        .buyer = order->buyer,
        .hold_ms = TRACE_HOLD_MS,
        .line_count = order->line_count,
        .lines = desk->lines,
    };
    struct hf_result result;
    enum hf_status status;
    uint32_t tries = 0;
    uint64_t since = pause_now_ns();
    UNTIL_ANSWERED(replay, tries, status, hf_reserve(client, &request, &result));
    if (status != HF_OK) {
        note_failure(replay, step, "reserve", status);
        return !link_is_transient(status);
    }
    note_success(replay, since, tries, result.replayed);
    tries = 0;
    since = pause_now_ns();
    UNTIL_ANSWERED(replay, tries, status, hf_commit(client, request.id, &result));
    if (status != HF_OK) {
        note_failure(replay, step, "commit", status);
        return !link_is_transient(status);
    }
    note_success(replay, since, tries, result.replayed);
    return true;
}

static bool take_back(struct replay *replay, struct hf_client *client,
                      const struct trace_step *step)
{
    /* acquire: pairs with the release in run_step; the earlier steps of the order are done. */
    while (atomic_load_explicit(&replay->done[step->order], memory_order_acquire) < step->turn) {
        if (atomic_load_explicit(&replay->stopped, memory_order_relaxed)) {
            return false;
        }
        pause_ns(TURN_NAP_NS);
    }
    struct hf_line_qty line = {.line = step->line, .qty = step->qty};
    struct hf_result result;
    enum hf_status status;
    uint32_t tries = 0;
    uint64_t since = pause_now_ns();
    UNTIL_ANSWERED(replay, tries, status,
                   hf_return_lines(client, order_id(replay, step->order), &line, 1, &result));
    if (status != HF_OK) {
        note_failure(replay, step, "return", status);
        return !link_is_transient(status);
    }
    note_success(replay, since, tries, result.replayed);
    return true;
}

static bool write_off(struct replay *replay, struct hf_client *client,
                      const struct trace_step *step)
{
    char text[REASON_BYTES_MAX + 64];
    char reference[64];
    const char *name = names_at(&replay->trace.order_names, step->order);
    snprintf(reference, sizeof reference, "row %" PRIu64, step->row);
    snprintf(text, sizeof text, "write-off %.120s row %" PRIu64, name, step->row);
    struct hf_adjustment adjustment = {
        .id = hf_id_from_text(text),
        .item = replay->room.handles[step->sku],
        .value = -(int64_t)step->qty,
        .reason = "write-off",
        .reference = reference,
    };
    struct hf_adjust_result result;
    enum hf_status status;
    uint32_t tries = 0;
    uint64_t since = pause_now_ns();
    UNTIL_ANSWERED(replay, tries, status, hf_adjust(client, &adjustment, 1, &result));
    if (status == HF_OK) {
        status = result.status;
    }
    if (status != HF_OK) {
        note_failure(replay, step, "write-off", status);
        return !link_is_transient(status);
    }
    note_success(replay, since, tries, result.replayed);
    return true;
}

static struct hf_client *client_of(const struct replay *replay, uint32_t thread)
{
    return replay->link->clients[thread % replay->link->client_count];
}

/* crew_work. False: the engine is away for good. */
static bool run_step(void *context, uint32_t thread, uint64_t number)
{
    struct replay *replay = context;
    const struct trace_step *step = &replay->trace.steps[number];
    struct hf_client *client = client_of(replay, thread);
    bool go_on;
    if (step->kind == TRACE_WRITE_OFF) {
        go_on = write_off(replay, client, step);
    } else {
        go_on = step->kind == TRACE_SELL ? sell(replay, client, &replay->desks[thread], step)
                                         : take_back(replay, client, step);
        /* release: pairs with the acquire in take_back. */
        atomic_fetch_add_explicit(&replay->done[step->order], 1, memory_order_release);
    }
    if (!go_on) {
        atomic_store_explicit(&replay->stopped, true, memory_order_relaxed);
    }
    return go_on;
}

static void show_steps(void *context, uint64_t begun)
{
    struct replay *replay = context;
    uint64_t count = replay->trace.step_count;
    if (replay->options->progress) {
        fprintf(stderr, "%6.1f s  %" PRIu64 " of %" PRIu64 " steps\n",
                (double)(pause_now_ns() - replay->started_ns) / 1e9, begun < count ? begun : count,
                count);
    }
}

/* ---- Stock ---- */

/* What the file needs of a SKU. */
static int64_t needed(const struct trace_sku *sku)
{
    return sku->sold + sku->written_off;
}

static enum hf_status define_skus(struct replay *replay)
{
    uint32_t count = replay->trace.sku_codes.count;
    enum hf_status status = stockroom_init(&replay->room, count);
    const char **codes = calloc((size_t)count + 1, sizeof *codes);
    if (status == HF_OK && codes) {
        for (uint32_t i = 0; i < count; i++) {
            codes[i] = names_at(&replay->trace.sku_codes, i);
        }
        status = stockroom_define(replay->link, codes, count, replay->room.handles);
    } else {
        status = HF_NO_MEMORY;
    }
    free(codes);
    return status;
}

static enum hf_status send_stock(struct replay *replay)
{
    uint32_t count = replay->trace.sku_codes.count;
    struct hf_adjustment *adjustments = calloc((size_t)count + 1, sizeof *adjustments);
    if (!adjustments) {
        return HF_NO_MEMORY;
    }
    char reference[64];
    snprintf(reference, sizeof reference, "trace %016" PRIx64, replay->trace.content_hash);
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t units = needed(&replay->trace.skus[i]);
        if (units > 0) {
            char text[64 + HF_CODE_BYTES + 16];
            snprintf(text, sizeof text, "%s stock %s", reference,
                     names_at(&replay->trace.sku_codes, i));
            adjustments[used++] = (struct hf_adjustment){
                .id = hf_id_from_text(text),
                .item = replay->room.handles[i],
                .value = units,
                .reason = "trace",
                .reference = reference,
            };
        }
    }
    uint32_t failed = 0;
    enum hf_status status = stockroom_adjust(replay->link, adjustments, used, &failed);
    free(adjustments);
    return status;
}

/* Makes the items and stocks them, once for a file. What an earlier run of the same file has done
 * to an item is part of this one. */
static enum hf_status stock_skus(struct replay *replay)
{
    enum hf_status status = define_skus(replay);
    if (status == HF_OK) {
        status = stockroom_read(&replay->room, replay->link, replay->room.before);
    }
    if (status == HF_OK) {
        status = send_stock(replay);
    }
    if (status == HF_OK) {
        status = stockroom_read(&replay->room, replay->link, replay->room.after);
    }
    for (uint32_t i = 0; status == HF_OK && i < replay->room.count; i++) {
        struct hf_stock *before = &replay->room.before[i];
        replay->fresh[i] = replay->room.after[i].stocked != before->stocked;
        if (!replay->fresh[i]) {
            before->stocked = 0;
            before->held = 0;
            before->sold = 0;
        }
    }
    return status;
}

/* ---- Asking back ---- */

static bool lines_agree(const struct replay *replay, const struct trace_order *order,
                        const struct hf_order_info *info, const struct hf_order_line *seen)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        const struct trace_line *line = &replay->trace.lines[order->first_line + i];
        uint32_t left = line->qty - line->returned;
        if (left == 0) {
            continue; /* lines without units are left out */
        }
        if (at == info->line_count || seen[at].line != i + 1 || seen[at].qty != left ||
            seen[at].item != replay->room.handles[line->sku]) {
            return false;
        }
        at++;
    }
    return at == info->line_count;
}

/* crew_work: number is an order's. */
static bool ask_order(void *context, uint32_t thread, uint64_t number)
{
    struct replay *replay = context;
    const struct trace_order *order = &replay->trace.orders[number];
    struct desk *desk = &replay->desks[thread];
    struct hf_order_info info = {0};
    enum hf_status status;
    uint32_t tries = 0;
    if (order->line_count == 0) {
        return true;
    }
    UNTIL_ANSWERED(replay, tries, status,
                   hf_get_order(client_of(replay, thread), order_id(replay, (uint32_t)number),
                                &info, desk->seen, ORDER_LINES_MAX));
    bool kept = status == HF_OK && info.buyer == order->buyer &&
                lines_agree(replay, order, &info, desk->seen) &&
                info.state == (info.line_count > 0 ? HF_ORDER_COMMITTED : HF_ORDER_RETURNED);
    CHECK(pthread_mutex_lock(&replay->lock) == 0);
    if (link_is_transient(status)) {
        replay->away = status;
    } else {
        replay->verdict.asked++;
        replay->verdict.lost += !kept;
        if (!kept && replay->verdict.note[0] == '\0') {
            snprintf(replay->verdict.note, sizeof replay->verdict.note,
                     "order %.64s: the engine has it otherwise (%s, state %d, %" PRIu32 " lines)",
                     names_at(&replay->trace.order_names, (uint32_t)number), hf_status_name(status),
                     (int)info.state, info.line_count);
        }
    }
    CHECK(pthread_mutex_unlock(&replay->lock) == 0);
    return !link_is_transient(status);
}

static void judge_skus(struct replay *replay)
{
    struct verdict *verdict = &replay->verdict;
    uint64_t missing = 0;
    for (uint32_t i = 0; i < replay->room.count; i++) {
        const struct trace_sku *sku = &replay->trace.skus[i];
        const struct hf_stock *before = &replay->room.before[i];
        const struct hf_stock *after = &replay->room.after[i];
        struct claims claims = {.committed = sku->sold - sku->returned, .refused_qty = UINT32_MAX};
        missing += oracle_judge_item(before, after, &claims, false, verdict);
        verdict->units_sold += after->sold - before->sold;
        int64_t stocked = before->stocked + needed(sku) - sku->written_off;
        if (after->stocked != stocked) {
            verdict->lost += verdict->lost == 0;
            if (verdict->note[0] == '\0') {
                snprintf(verdict->note, sizeof verdict->note,
                         "%s: stocked is %" PRId64 ", the file comes to %" PRId64, after->sku,
                         after->stocked, stocked);
            }
        }
    }
    if (verdict->lost == 0) {
        verdict->lost = missing;
    }
}

static enum hf_status ask_back(struct replay *replay)
{
    struct verdict *verdict = &replay->verdict;
    verdict->acked = replay->trace.counts.sales;
    if (!crew_run(ask_order, replay, 0, replay->trace.order_names.count, NULL)) {
        return replay->away != HF_OK ? replay->away : HF_NO_MEMORY;
    }
    enum hf_status status = stockroom_read(&replay->room, replay->link, replay->room.after);
    if (status == HF_OK) {
        judge_skus(replay);
        verdict->checked = true;
    }
    return status;
}

/* ---- The result ---- */

static int compare_stock(const void *a, const void *b)
{
    return strcmp(((const struct hf_stock *)a)->sku, ((const struct hf_stock *)b)->sku);
}

static void write_code(FILE *out, const char *code)
{
    if (!strpbrk(code, ",\"\r\n")) {
        fputs(code, out);
        return;
    }
    fputc('"', out);
    for (; *code; code++) {
        if (*code == '"') {
            fputc('"', out);
        }
        fputc(*code, out);
    }
    fputc('"', out);
}

/* sku,sold as the engine has it, in the order of the codes' bytes. */
static bool write_totals(struct replay *replay)
{
    const char *path = replay->options->totals;
    struct stockroom *room = &replay->room;
    FILE *out = fopen(path, "w");
    if (!out) {
        fprintf(stderr, "holdfast load: %s: %m\n", path);
        return false;
    }
    qsort(room->after, room->count, sizeof *room->after, compare_stock);
    fputs("sku,sold\n", out);
    for (uint32_t i = 0; i < room->count; i++) {
        write_code(out, room->after[i].sku);
        fprintf(out, ",%" PRId64 "\n", room->after[i].sold);
    }
    bool written = fflush(out) == 0;
    written = fclose(out) == 0 && written;
    if (!written) {
        fprintf(stderr, "holdfast load: %s: %m\n", path);
    }
    return written;
}

static void print_json(const struct replay *replay)
{
    const struct trace_counts *counts = &replay->trace.counts;
    const struct verdict *verdict = &replay->verdict;
    const struct histogram *latency = &replay->latency;
    double elapsed_s = (double)(replay->ended_ns - replay->started_ns) / 1e9;
    printf("{\"rows\":%" PRIu64 ",\"invoices\":%" PRIu64 ",\"lines\":%" PRIu64 ",\"skus\":%" PRIu32
           ",\"units_ordered\":%" PRIu64 ",\"cancellations\":%" PRIu64
           ",\"units_returned\":%" PRIu64 ",\"returned_rows\":%" PRIu64,
           counts->rows, counts->sales, counts->lines, replay->trace.sku_codes.count,
           counts->units_sold, counts->cancellations, counts->units_returned,
           counts->returned_rows);
    printf(",\"unmatched_rows\":%" PRIu64 ",\"unmatched_units\":%" PRIu64 ",\"write_offs\":%" PRIu64
           ",\"write_off_units\":%" PRIu64 ",\"odd_rows\":%" PRIu64 ",\"zero_rows\":%" PRIu64
           ",\"other_buyer_rows\":%" PRIu64,
           counts->unmatched_rows, counts->units_unmatched, counts->write_offs,
           counts->units_written_off, counts->odd_rows, counts->zero_rows,
           counts->other_buyer_rows);
    printf(",\"elapsed_s\":%.6f,\"orders_per_s\":%.1f,\"ok\":%" PRIu64 ",\"sold_out\":%" PRIu64
           ",\"errors\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"replayed\":%" PRIu64,
           elapsed_s, elapsed_s > 0 ? (double)counts->sales / elapsed_s : 0, counts->sales,
           verdict->undersold, replay->errors, replay->retries, replay->replayed);
    printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"p9999_us\":%.1f"
           ",\"max_us\":%.1f,\"stall_us\":%.1f",
           (double)histogram_quantile(latency, 0.5) / 1000,
           (double)histogram_quantile(latency, 0.99) / 1000,
           (double)histogram_quantile(latency, 0.999) / 1000,
           (double)histogram_quantile(latency, 0.9999) / 1000, (double)latency->max / 1000,
           (double)replay->stall_ns / 1000);
    printf(",\"checked\":%s,\"asked_back\":%" PRIu64 ",\"units_sold\":%" PRId64
           ",\"oversold\":%" PRIu64 ",\"undersold\":%" PRIu64 ",\"lost\":%" PRIu64
           ",\"duplicated\":%" PRIu64 ",\"note\":",
           verdict->checked ? "true" : "false", verdict->asked, verdict->units_sold,
           verdict->oversold, verdict->undersold, verdict->lost, verdict->duplicated);
    report_json_text(stdout, verdict->note);
    printf("}\n");
}

static void print_row(const char *name, uint64_t number, const char *more)
{
    char text[REPORT_COUNT_BYTES];
    printf("%-18s%14s%s\n", name, report_count(text, number), more);
}

static void print_table(const struct replay *replay)
{
    const struct trace_counts *counts = &replay->trace.counts;
    const struct verdict *verdict = &replay->verdict;
    double elapsed_s = (double)(replay->ended_ns - replay->started_ns) / 1e9;
    char more[96];
    snprintf(more, sizeof more, " in %.2f s", elapsed_s);
    print_row("rows", counts->rows, more);
    print_row("invoices", counts->sales, "");
    print_row("lines", counts->lines, "");
    print_row("units ordered", counts->units_sold, "");
    snprintf(more, sizeof more, " units, in %" PRIu64 " cancellations", counts->cancellations);
    print_row("returned", counts->units_returned, more);
    snprintf(more, sizeof more, " units in %" PRIu64 " rows: not sold in this file",
             counts->unmatched_rows);
    print_row("unmatched returns", counts->units_unmatched, more);
    snprintf(more, sizeof more, " units in %" PRIu64 " rows", counts->write_offs);
    print_row("written off", counts->units_written_off, more);
    if (counts->odd_rows || counts->zero_rows || counts->other_buyer_rows) {
        printf("odd rows           %" PRIu64 " positive in a cancellation, %" PRIu64
               " of quantity zero, %" PRIu64 " with another buyer than their order\n",
               counts->odd_rows, counts->zero_rows, counts->other_buyer_rows);
    }
    print_row("done before", replay->replayed, " answers were replayed");
    if (replay->errors) {
        print_row("errors", replay->errors, "");
    }
    printf("latency            p50 %.2f ms, p99 %.2f ms, max %.2f ms\n",
           (double)histogram_quantile(&replay->latency, 0.5) / 1e6,
           (double)histogram_quantile(&replay->latency, 0.99) / 1e6,
           (double)replay->latency.max / 1e6);
    if (!verdict->checked) {
        printf("not checked\n");
    } else {
        print_row("units sold", (uint64_t)verdict->units_sold, " says the engine");
        print_row("oversold", verdict->oversold, "");
        print_row("undersold", verdict->undersold, "");
        print_row("lost", verdict->lost, "");
        print_row("duplicated", verdict->duplicated, "");
    }
    if (verdict->note[0]) {
        printf("note: %s\n", verdict->note);
    }
}

/* ---- The whole ---- */

static bool open_desks(struct replay *replay)
{
    uint32_t orders = replay->trace.order_names.count;
    replay->done = calloc((size_t)orders + 1, sizeof *replay->done);
    replay->fresh = calloc((size_t)replay->trace.sku_codes.count + 1, sizeof *replay->fresh);
    bool all = replay->done && replay->fresh;
    for (uint32_t i = 0; i < CREW_THREADS; i++) {
        replay->desks[i].lines = calloc(ORDER_LINES_MAX, sizeof *replay->desks[i].lines);
        replay->desks[i].seen = calloc(ORDER_LINES_MAX, sizeof *replay->desks[i].seen);
        all = all && replay->desks[i].lines && replay->desks[i].seen;
    }
    return all;
}

static void replay_close(struct replay *replay)
{
    for (uint32_t i = 0; i < CREW_THREADS; i++) {
        free(replay->desks[i].lines);
        free(replay->desks[i].seen);
    }
    free(replay->done);
    free(replay->fresh);
    stockroom_close(&replay->room);
    trace_deinit(&replay->trace);
    pthread_mutex_destroy(&replay->lock);
    free(replay);
}

/* Reads the file. 0, or the exit code. */
static int read_trace(struct replay *replay)
{
    const char *path = replay->options->trace;
    char why[CSV_ERROR_BYTES];
    char error[TRACE_ERROR_BYTES];
    struct csv *csv;
    if (csv_open(&csv, path, replay->options->encoding, why) != HF_OK) {
        fprintf(stderr, "holdfast load: %s: %s\n", path, why);
        return 2;
    }
    enum hf_status status = trace_read(&replay->trace, csv, error);
    csv_close(csv);
    if (status != HF_OK) {
        fprintf(stderr, "holdfast load: %s: %s\n", path, error);
        return 2;
    }
    if (replay->trace.sku_codes.count == 0) {
        fprintf(stderr, "holdfast load: %s: there are no rows\n", path);
        return 2;
    }
    return 0;
}

static int exit_code(const struct replay *replay, enum hf_status status)
{
    if (replay->away != HF_OK || link_is_transient(status)) {
        return 3;
    }
    bool clean = !replay->options->oracle || oracle_is_clean(&replay->verdict);
    return status == HF_OK && replay->errors == 0 && clean ? 0 : 1;
}

static int carry_out(struct replay *replay)
{
    enum hf_status status = open_desks(replay) ? stock_skus(replay) : HF_NO_MEMORY;
    if (status != HF_OK) {
        char message[LINK_MESSAGE_BYTES];
        fprintf(stderr, "holdfast load: stocking what the file needs: %s\n",
                link_message(status, message));
        return exit_code(replay, status);
    }
    replay->started_ns = pause_now_ns();
    replay->last_answer_ns = replay->started_ns;
    bool done = crew_run(run_step, replay, 0, replay->trace.step_count, show_steps);
    replay->ended_ns = pause_now_ns();
    if (!done && replay->away == HF_OK) {
        status = HF_NO_MEMORY;
    } else if (done && replay->options->oracle) {
        status = ask_back(replay);
    } else if (done) {
        status = stockroom_read(&replay->room, replay->link, replay->room.after);
    }
    if (replay->options->json) {
        print_json(replay);
    } else {
        print_table(replay);
    }
    fflush(stdout);
    bool written = true;
    if (done && status == HF_OK && replay->options->totals) {
        written = write_totals(replay);
    }
    int code = exit_code(replay, status);
    return code == 0 && !written ? 1 : code;
}

int replay_run(const struct load_options *options, const struct link *link)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (!replay) {
        fprintf(stderr, "holdfast load: out of memory\n");
        return 1;
    }
    CHECK(pthread_mutex_init(&replay->lock, NULL) == 0);
    replay->options = options;
    replay->link = link;
    int code = read_trace(replay);
    if (code == 0) {
        code = carry_out(replay);
    }
    replay_close(replay);
    return code;
}
