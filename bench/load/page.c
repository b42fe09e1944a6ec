/* page.c - the report's data, put into its page. Threads: one. */
#include "load/page.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "load/report.h"
#include "load/traffic.h"

/* page.html, as it is, into this object file; CMake says where it stands. */
__asm__(".section .rodata\n"
        "load_page_html:\n"
        ".incbin \"" LOAD_PAGE_HTML "\"\n"
        "load_page_html_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char load_page_html[] __attribute__((visibility("hidden")));
extern const char load_page_html_end[] __attribute__((visibility("hidden")));

#define GAP "@DATA@"

#define CURVE_POINTS_A_DECADE 16

static double us(uint64_t ns)
{
    return (double)ns / 1000;
}

/* ---- Settings ---- */

static void text_setting(FILE *out, const char *name, const char *value)
{
    fputs(",[", out);
    report_json_text(out, name);
    fputc(',', out);
    report_json_text(out, value);
    fputc(']', out);
}

static void number_setting(FILE *out, const char *name, double value)
{
    fputs(",[", out);
    report_json_text(out, name);
    fprintf(out, ",%.15g]", value);
}

static void pace_settings(FILE *out, const struct load_options *options)
{
    if (options->rate > 0) {
        text_setting(out, "loop", "open");
        number_setting(out,
                       options->shape == SHAPE_1111 ? "orders per second, at the peak"
                                                    : "orders per second",
                       options->rate);
        text_setting(out, "shape", options->shape == SHAPE_1111 ? "11.11" : "flat");
    } else {
        text_setting(out, "loop", "closed");
    }
}

static void bound_settings(FILE *out, const struct load_options *options)
{
    char text[64];
    if (options->orders > 0) {
        number_setting(out, "orders", (double)options->orders);
    } else if (options->duration_s > 0) {
        snprintf(text, sizeof text, "%g s", options->duration_s);
        text_setting(out, "duration", text);
    } else {
        text_setting(out, "until", "sold out");
    }
    snprintf(text, sizeof text, "%g s", options->warm_up_s);
    text_setting(out, "warm-up before it", text);
}

static void write_settings(FILE *out, const struct page *page)
{
    const struct load_options *options = page->options;
    char text[64];
    fprintf(out, "\"settings\":[[\"connections\",%" PRIu32 "]", options->connections);
    number_setting(out, "messages in flight on each", options->in_flight);
    number_setting(out, "orders a message", options->batch);
    pace_settings(out, options);
    bound_settings(out, options);
    number_setting(out, "items", page->item_count);
    if (options->hot_share > 0) {
        snprintf(text, sizeof text, "%g %% of all orders", options->hot_share * 100);
        text_setting(out, "the first item", text);
    }
    if (options->zipf > 0) {
        number_setting(out, "Zipf exponent", options->zipf);
    } else {
        text_setting(out, options->hot_share > 0 ? "the others" : "wanted", "all alike");
    }
    snprintf(text, sizeof text, options->qty_max > 1 ? "1 to %" PRIu32 : "%" PRIu32,
             options->qty_max);
    text_setting(out, "units an order", text);
    snprintf(text, sizeof text, "%g %%, %g %%", options->commit_share * 100,
             options->release_share * 100);
    text_setting(out, "committed, released", text);
    number_setting(out, "buyers", (double)options->buyers);
    snprintf(text, sizeof text, "%g s", options->hold_ms / 1000.0);
    text_setting(out, "hold", text);
    snprintf(text, sizeof text, "%" PRIu64, options->seed);
    text_setting(out, "seed", text);
    fputc(']', out);
}

/* ---- Series ---- */

/* Orders per second that were due in a window. */
static double due_per_s(const struct page *page, const struct timeline_window *window)
{
    double start_s = page->lead_s + (double)window->start_ns / 1e9;
    double end_s = page->lead_s + (double)window->end_ns / 1e9;
    double last_s = page->lead_s + page->options->duration_s;
    if (page->options->duration_s > 0 && end_s > last_s) {
        end_s = last_s; /* nothing is due while the last answers come in */
    }
    if (end_s <= start_s) {
        return 0;
    }
    double before = schedule_count(page->schedule, start_s);
    double due = schedule_count(page->schedule, end_s) - before;
    if (page->options->orders > 0) { /* nor once all have been sent */
        double left =
            schedule_count(page->schedule, page->lead_s) + (double)page->options->orders - before;
        due = left < 0 ? 0 : left < due ? left : due;
    }
    return due * 1e9 / (double)(window->end_ns - window->start_ns);
}

static void write_windows(FILE *out, const struct page *page)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
    uint32_t count = page->timeline ? page->timeline->count : 0;
    fputs("\"windows\":[", out);
    for (uint32_t i = 0; i < count; i++) {
        const struct timeline_window *window = &page->timeline->windows[i];
        fprintf(out, "%s\n[%.4f,%.4f,%" PRIu64 ",%" PRIu64 ",%" PRIu64, i > 0 ? "," : "",
                (double)window->start_ns / 1e9, (double)window->end_ns / 1e9, window->counts.ok,
                window->counts.sold_out, window->counts.other);
        for (size_t q = 0; q < sizeof shares / sizeof *shares; q++) {
            fprintf(out, ",%.1f", us(histogram_quantile(&window->latency, shares[q])));
        }
        if (page->schedule) {
            fprintf(out, ",%.1f]", due_per_s(page, window));
        } else {
            fputs(",null]", out);
        }
    }
    fputc(']', out);
}

/* [share, us] at even steps of log(1 / (1 - share)), as far as there are values, and the maximum at
 * share 1. */
static void write_curve(FILE *out, const char *name, const struct histogram *histogram)
{
    fprintf(out, "\"%s\":[", name);
    for (int i = 0; histogram->count > 0; i++) {
        double rest = pow(10, -(double)i / CURVE_POINTS_A_DECADE);
        if (rest * (double)histogram->count < 1) {
            break;
        }
        fprintf(out, "[%.9f,%.2f],", 1 - rest, us(histogram_quantile(histogram, 1 - rest)));
    }
    if (histogram->count > 0) {
        fprintf(out, "[1,%.2f]", us(histogram->max));
    }
    fputc(']', out);
}

/* ---- The engine ---- */

static void write_engine(FILE *out, const char *name, const struct hf_engine_status *engine)
{
    fprintf(out, "\"%s\":", name);
    if (!engine) {
        fputs("null", out);
        return;
    }
    fputs("{\"version\":", out);
    report_json_text(out, engine->version);
    fputs(",\"state\":", out);
    report_json_text(out, engine->state);
    fputs(",\"wal_io\":", out);
    report_json_text(out, engine->wal_io);
    fprintf(out,
            ",\"commit_lsn\":%" PRIu64 ",\"uptime_ms\":%" PRIu64 ",\"items\":%" PRIu64
            ",\"orders_held\":%" PRIu64 ",\"orders_known\":%" PRIu64 "}",
            engine->commit_lsn, engine->uptime_ms, engine->items, engine->orders_held,
            engine->orders_known);
}

/* ---- All of it ---- */

void page_write_data(FILE *out, const struct page *page)
{
    fprintf(out, "{\"started_ms\":%" PRIu64 ",\"batch\":%" PRIu32 ",\"url\":", page->started_ms,
            page->options->batch);
    report_json_text(out, page->options->url);
    fputs(",\"command\":", out);
    report_json_text(out, page->options->command);
    if (page->schedule && page->schedule->shape == SHAPE_1111) {
        fprintf(out, ",\"zero_s\":%.4f,\n", page->schedule->zero_s - page->lead_s);
    } else {
        fputs(",\"zero_s\":null,\n", out);
    }
    write_settings(out, page);
    fputs(",\n\"result\":", out);
    report_json(out, page->options, page->figures, page->verdict);
    fputs(",\n", out);
    write_windows(out, page);
    fputs(",\n", out);
    write_curve(out, "curve", &page->figures->reserve);
    fputs(",\n", out);
    write_curve(out, "follow_curve", &page->figures->follow);
    fputs(",\n\"engine\":{", out);
    write_engine(out, "before", page->before);
    fputc(',', out);
    write_engine(out, "after", page->after);
    fputs("}}", out);
}

bool page_write(FILE *out, const struct page *page)
{
    size_t len = (size_t)(load_page_html_end - load_page_html);
    const char *gap = memmem(load_page_html, len, GAP, strlen(GAP));
    CHECK(gap);
    const char *rest = gap + strlen(GAP);
    fwrite(load_page_html, 1, (size_t)(gap - load_page_html), out);
    page_write_data(out, page);
    fwrite(rest, 1, (size_t)(load_page_html_end - rest), out);
    return fflush(out) == 0 && !ferror(out);
}
