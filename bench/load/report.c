/* report.c - progress and results. Threads: one. */
#include "load/report.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load/link.h"
#include "load/oracle.h"
#include "load/pause.h"
#include "load/timeline.h"
#include "load/traffic.h"

const char *report_fate_name(enum fate fate)
{
    static const char *const names[FATE_COUNT] = {
        [FATE_NONE] = "not made",
        [FATE_UNKNOWN] = "unanswered",
        [FATE_HELD] = "held",
        [FATE_COMMIT_UNKNOWN] = "held, commit unanswered",
        [FATE_RELEASE_UNKNOWN] = "held, release unanswered",
        [FATE_COMMITTED] = "committed",
        [FATE_RELEASED] = "released",
        [FATE_EXPIRED] = "expired",
        [FATE_SOLD_OUT] = "sold out",
        [FATE_REFUSED] = "refused",
        [FATE_FAILED] = "failed",
    };
    return names[fate];
}

const char *report_count(char text[REPORT_COUNT_BYTES], uint64_t number)
{
    char digits[REPORT_COUNT_BYTES];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    int to = 0;
    for (int from = 0; from < length; from++) {
        if (from > 0 && (length - from) % 3 == 0) {
            text[to++] = ' ';
        }
        text[to++] = digits[from];
    }
    text[to] = '\0';
    return text;
}

/* A latency as people read it. */
static const char *show_time(char text[REPORT_COUNT_BYTES], uint64_t ns)
{
    double us = (double)ns / 1000;
    if (us < 1000) {
        snprintf(text, REPORT_COUNT_BYTES, "%.0f us", us);
    } else if (us < 1e6) {
        snprintf(text, REPORT_COUNT_BYTES, us < 1e5 ? "%.2f ms" : "%.0f ms", us / 1e3);
    } else {
        snprintf(text, REPORT_COUNT_BYTES, "%.2f s", us / 1e6);
    }
    return text;
}

static uint64_t answers_of(const struct tally *tally)
{
    return tally->ok + tally->sold_out + tally->refused + tally->failed;
}

static double per_second(uint64_t count, uint64_t ns)
{
    return ns > 0 ? (double)count * 1e9 / (double)ns : 0;
}

/* ---- Progress ---- */

static double cpu_seconds(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void report_ticker_start(struct report_ticker *ticker, bool on)
{
    *ticker = (struct report_ticker){
        .on = on,
        .in_place = on && isatty(STDERR_FILENO) == 1,
        .start_ns = pause_now_ns(),
        .last_cpu_s = cpu_seconds(),
    };
    ticker->last_ns = ticker->start_ns;
}

void report_ticker_stop(struct report_ticker *ticker)
{
    if (ticker->on && ticker->in_place && ticker->last_ns != ticker->start_ns) {
        fputc('\n', stderr);
    }
    ticker->on = false;
}

bool report_due(const struct report_ticker *ticker)
{
    return ticker->on && pause_now_ns() - ticker->last_ns >= 1000000000;
}

static const char *show_quantile(char text[REPORT_COUNT_BYTES], const struct histogram *histogram,
                                 double share)
{
    return histogram->count > 0 ? show_time(text, histogram_quantile(histogram, share)) : "-";
}

/* Of the terminal: a line that is wider could not be written over. */
static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

void report_progress(struct report_ticker *ticker, const struct figures *figures)
{
    char count[4][REPORT_COUNT_BYTES];
    char latency[4][REPORT_COUNT_BYTES];
    static struct histogram recent; /* one thread: see report.h */
    uint64_t now = pause_now_ns();
    uint64_t answers = answers_of(&figures->all);
    double cpu_s = cpu_seconds();
    double since_s = (double)(now - ticker->last_ns) / 1e9;
    timeline_difference(&recent, &figures->reserve, &ticker->last_latency);
    char line[1024];
    snprintf(line, sizeof line,
             "%6.1f s  %s orders  %s/s  p50 %s  p99 %s  p99.9 %s  max %s  ok %s  sold out %s  cpu "
             "%.0f %%",
             (double)(now - ticker->start_ns) / 1e9, report_count(count[0], answers),
             report_count(count[1], (uint64_t)per_second(answers - ticker->last_answers,
                                                         now - ticker->last_ns)),
             show_quantile(latency[0], &recent, 0.5), show_quantile(latency[1], &recent, 0.99),
             show_quantile(latency[2], &recent, 0.999), show_quantile(latency[3], &recent, 1),
             report_count(count[2], figures->all.ok), report_count(count[3], figures->all.sold_out),
             100 * (cpu_s - ticker->last_cpu_s) / since_s);
    if (ticker->in_place) {
        fprintf(stderr, "\r\033[K%.*s", columns() - 1, line);
    } else {
        fprintf(stderr, "%s\n", line);
    }
    fflush(stderr);
    ticker->last_ns = now;
    ticker->last_answers = answers;
    ticker->last_cpu_s = cpu_s;
    ticker->last_latency = figures->reserve;
}

/* ---- The result ---- */

void report_json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20 || c == '<') { /* '<': so that no text can end a page's script */
            fprintf(out, "\\u%04x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

static void json_latency(FILE *out, const char *prefix, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double share;
    } points[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        fprintf(out, ",\"%s%s_us\":%.1f", prefix, points[i].name,
                (double)histogram_quantile(histogram, points[i].share) / 1000);
    }
    fprintf(out, ",\"%smax_us\":%.1f", prefix, (double)histogram->max / 1000);
}

static double cpu_us_per_order(const struct cost *cost)
{
    return cost->orders > 0 ? (cost->user_s + cost->system_s) * 1e6 / (double)cost->orders : 0;
}

static void json_cost(FILE *out, const struct cost *cost)
{
    fprintf(out,
            ",\"generator_cpu_user_s\":%.3f,\"generator_cpu_system_s\":%.3f"
            ",\"generator_cpu_us_per_order\":%.4f,\"generator_cores\":%.3f"
            ",\"generator_rss_mib\":%.1f",
            cost->user_s, cost->system_s, cpu_us_per_order(cost),
            cost->wall_s > 0 ? (cost->user_s + cost->system_s) / cost->wall_s : 0,
            (double)cost->max_rss_kib / 1024);
}

static void json_verdict(FILE *out, const struct verdict *verdict)
{
    fprintf(out,
            ",\"checked\":%s,\"acknowledged\":%" PRIu64 ",\"asked_back\":%" PRIu64
            ",\"forgotten\":%" PRIu64 ",\"unknown\":%" PRIu64 ",\"unresolved\":%" PRIu64
            ",\"units_held\":%" PRId64 ",\"units_sold\":%" PRId64,
            verdict->checked ? "true" : "false", verdict->acked, verdict->asked, verdict->forgotten,
            verdict->unknown, verdict->unresolved, verdict->units_held, verdict->units_sold);
    fprintf(out,
            ",\"oversold\":%" PRIu64 ",\"undersold\":%" PRIu64 ",\"lost\":%" PRIu64
            ",\"duplicated\":%" PRIu64 ",\"note\":",
            verdict->oversold, verdict->undersold, verdict->lost, verdict->duplicated);
    report_json_text(out, verdict->note);
}

void report_json(FILE *out, const struct load_options *options, const struct figures *figures,
                 const struct verdict *verdict)
{
    const struct tally *tally = &figures->measured;
    fprintf(out,
            "{\"orders\":%" PRIu64 ",\"elapsed_s\":%.6f,\"orders_per_s\":%.1f,\"ok_per_s\":%.1f",
            answers_of(tally), (double)figures->measured_ns / 1e9,
            per_second(answers_of(tally), figures->measured_ns),
            per_second(tally->ok, figures->measured_ns));
    fprintf(out,
            ",\"ok\":%" PRIu64 ",\"sold_out\":%" PRIu64 ",\"refused\":%" PRIu64
            ",\"errors\":%" PRIu64 ",\"committed\":%" PRIu64 ",\"released\":%" PRIu64
            ",\"expired\":%" PRIu64,
            tally->ok, tally->sold_out, tally->refused, tally->failed, tally->committed,
            tally->released, tally->expired);
    json_latency(out, "", &figures->reserve);
    json_latency(out, "follow_", &figures->follow);
    fprintf(out,
            ",\"stall_us\":%.1f,\"retries\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"unsent\":%" PRIu64
            ",\"gave_up\":%s",
            (double)figures->stall_ns / 1000, figures->retries, figures->sent, figures->unsent,
            figures->gave_up ? "true" : "false");
    fprintf(out,
            ",\"batch\":%" PRIu32 ",\"connections\":%" PRIu32 ",\"in_flight\":%" PRIu32
            ",\"rate\":%.1f,\"shape\":\"%s\",\"zipf\":%g,\"hot_share\":%g,\"seed\":%" PRIu64,
            options->batch, options->connections, options->in_flight, options->rate,
            options->shape == SHAPE_1111 ? "1111" : "flat", options->zipf, options->hot_share,
            options->seed);
    json_cost(out, &figures->cost);
    if (verdict) {
        json_verdict(out, verdict);
    }
    fprintf(out, ",\"error\":");
    report_json_text(out, figures->error);
    fputc('}', out);
}

static void print_count(const char *name, uint64_t number)
{
    char text[REPORT_COUNT_BYTES];
    printf("%-14s%16s\n", name, report_count(text, number));
}

static void print_count_if(const char *name, uint64_t number)
{
    if (number > 0) {
        print_count(name, number);
    }
}

static void print_latency(const char *name, const struct histogram *histogram)
{
    char text[5][REPORT_COUNT_BYTES];
    if (histogram->count == 0) {
        return;
    }
    printf("%-14s p50 %s, p99 %s, p99.9 %s, p99.99 %s, max %s\n", name,
           show_time(text[0], histogram_quantile(histogram, 0.5)),
           show_time(text[1], histogram_quantile(histogram, 0.99)),
           show_time(text[2], histogram_quantile(histogram, 0.999)),
           show_time(text[3], histogram_quantile(histogram, 0.9999)),
           show_time(text[4], histogram->max));
}

static void print_verdict(const struct verdict *verdict)
{
    char text[2][REPORT_COUNT_BYTES];
    if (verdict->checked) {
        printf("asked back    %16s of %s acknowledged orders, and all items\n",
               report_count(text[0], verdict->asked), report_count(text[1], verdict->acked));
    } else {
        printf("not checked: the engine could not be asked about all of %s acknowledged orders\n",
               report_count(text[0], verdict->acked));
    }
    print_count_if("forgotten", verdict->forgotten);
    print_count_if("unanswered", verdict->unknown);
    print_count_if("unresolved", verdict->unresolved);
    if (verdict->checked) {
        print_count("units sold", (uint64_t)verdict->units_sold);
        print_count_if("units held", (uint64_t)verdict->units_held);
        print_count("oversold", verdict->oversold);
        print_count("undersold", verdict->undersold);
        print_count("lost", verdict->lost);
        print_count("duplicated", verdict->duplicated);
    }
    if (verdict->note[0]) {
        printf("note: %s\n", verdict->note);
    }
}

static void print_table(const struct figures *figures, const struct verdict *verdict)
{
    const struct tally *tally = &figures->measured;
    char text[2][REPORT_COUNT_BYTES];
    printf("orders        %16s in %.2f s: %s/s\n", report_count(text[0], answers_of(tally)),
           (double)figures->measured_ns / 1e9,
           report_count(text[1], (uint64_t)per_second(answers_of(tally), figures->measured_ns)));
    print_count("ok", tally->ok);
    print_count("sold out", tally->sold_out);
    print_count_if("refused", tally->refused);
    print_count_if("errors", tally->failed);
    print_count_if("committed", tally->committed);
    print_count_if("released", tally->released);
    print_count_if("expired", tally->expired);
    print_count_if("sent again", figures->retries);
    print_count_if("due, not sent", figures->unsent);
    print_latency("latency", &figures->reserve);
    print_latency("commit/release", &figures->follow);
    printf("%-14s %s\n", "longest wait", show_time(text[0], figures->stall_ns));
    const struct cost *cost = &figures->cost;
    printf("%-14s CPU %.2f s user, %.2f s system: %.3f us an order, %.2f cores; %.0f MiB\n",
           "generator", cost->user_s, cost->system_s, cpu_us_per_order(cost),
           cost->wall_s > 0 ? (cost->user_s + cost->system_s) / cost->wall_s : 0,
           (double)cost->max_rss_kib / 1024);
    if (figures->gave_up) {
        printf("gave up: the engine did not answer\n");
    }
    if (figures->error[0]) {
        printf("first error: %s\n", figures->error);
    }
    if (verdict) {
        print_verdict(verdict);
    }
}

void report_result(const struct load_options *options, const struct figures *figures,
                   const struct verdict *verdict)
{
    if (options->json) {
        report_json(stdout, options, figures, verdict);
        fputc('\n', stdout);
    } else {
        print_table(figures, verdict);
    }
    fflush(stdout);
}
