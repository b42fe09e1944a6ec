/* load.c - the subcommand: one run of made-up demand, or of a trace. Threads: the caller's. */
#include "load/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "load/demand.h"
#include "load/link.h"
#include "load/options.h"
#include "load/oracle.h"
#include "load/page.h"
#include "load/replay.h"
#include "load/report.h"
#include "load/stockroom.h"
#include "load/traffic.h"

enum { EXIT_KEPT = 0, EXIT_NOT_KEPT = 1, EXIT_USAGE = 2, EXIT_NOT_REACHABLE = 3 };

static int exit_for(enum hf_status status)
{
    return status == HF_TIMED_OUT || status == HF_UNREACHABLE ? EXIT_NOT_REACHABLE : EXIT_NOT_KEPT;
}

/* The engine's own figures, for the report; known: false when it did not tell. */
struct engine_view {
    struct hf_engine_status status;
    bool known;
};

static void look_at_engine(const struct link *link, struct engine_view *view)
{
    view->known = hf_get_status(link->clients[0], &view->status) == HF_OK;
}

/* One run of made-up demand. */
struct run {
    const struct load_options *options;
    struct link *link;
    FILE *page; /* NULL: none is wanted */
    struct stockroom room;
    struct demand demand;
    struct traffic *traffic;
    struct figures *figures;
    struct verdict verdict;
    struct engine_view before;
    uint64_t started_ms;
};

static bool report_page(const struct run *run)
{
    struct engine_view after;
    look_at_engine(run->link, &after);
    struct page page = {
        .options = run->options,
        .figures = run->figures,
        .verdict = run->options->oracle ? &run->verdict : NULL,
        .timeline = traffic_timeline(run->traffic),
        .started_ms = run->started_ms,
        .item_count = run->room.count,
        .before = run->before.known ? &run->before.status : NULL,
        .after = after.known ? &after.status : NULL,
    };
    page.schedule = traffic_schedule(run->traffic, &page.lead_s);
    bool written = page_write(run->page, &page);
    if (!written) {
        fprintf(stderr, "holdfast load: %s: can't be written\n", run->options->report);
    }
    return written;
}

/* Sends, asks and reports; the engine is reached and the items are there. */
static int run_traffic(struct run *run)
{
    const struct load_options *options = run->options;
    look_at_engine(run->link, &run->before);
    run->started_ms = clock_unix_ms(clock_real());
    traffic_run(run->traffic);
    if (options->until_sold_out) {
        traffic_sell_out(run->traffic);
    }
    traffic_end_figures(run->traffic);
    traffic_figures(run->traffic, run->figures);
    int code = EXIT_KEPT;
    if (options->oracle) {
        enum hf_status status = oracle_run(&run->verdict, options, run->link, &run->room,
                                           &run->demand, run->traffic, run->started_ms);
        if (status != HF_OK) {
            code = exit_for(status);
        } else if (!oracle_is_clean(&run->verdict)) {
            code = EXIT_NOT_KEPT;
        }
    }
    report_result(options, run->figures, options->oracle ? &run->verdict : NULL);
    if (run->page && !report_page(run) && code == EXIT_KEPT) {
        code = EXIT_NOT_KEPT;
    }
    if (code == EXIT_KEPT && run->figures->gave_up) {
        code = EXIT_NOT_REACHABLE;
    }
    if (code == EXIT_KEPT && run->figures->all.ok == 0 && run->figures->all.failed > 0) {
        code = EXIT_NOT_KEPT; /* nothing was measured but errors */
    }
    return code;
}

/* What there is to be had; bench/rush.sh reads this line. */
static void announce(const struct stockroom *room)
{
    int64_t units = 0;
    for (uint32_t i = 0; i < room->count; i++) {
        units += room->before[i].available > 0 ? room->before[i].available : 0;
    }
    fprintf(stderr, "%" PRIu32 " items, %" PRId64 " units free\n", room->count, units);
}

static int open_traffic(struct run *run)
{
    const struct load_options *options = run->options;
    struct demand_options demand_options = {
        .seed = options->seed,
        .item_count = run->room.count,
        .zipf = options->zipf,
        .hot_share = options->hot_share,
        .qty_max = options->qty_max,
        .buyers = options->buyers,
        .commit_share = options->commit_share,
        .release_share = options->release_share,
    };
    run->figures = malloc(sizeof *run->figures);
    if (!run->figures || !demand_init(&run->demand, &demand_options) ||
        traffic_open(&run->traffic, options, run->link, &run->room, &run->demand) != HF_OK) {
        fprintf(stderr, "holdfast load: out of memory\n");
        return EXIT_NOT_KEPT;
    }
    enum hf_status status = link_greet(run->link);
    if (status != HF_OK) {
        fprintf(stderr, "holdfast load: %s: not all connections could be made: %s\n", options->url,
                hf_status_text(status));
        return exit_for(status);
    }
    return EXIT_KEPT;
}

static int run_demand(const struct load_options *options, struct link *link, FILE *page)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run) {
        fprintf(stderr, "holdfast load: out of memory\n");
        return EXIT_NOT_KEPT;
    }
    *run = (struct run){.options = options, .link = link, .page = page};
    char error[STOCKROOM_ERROR_BYTES];
    enum hf_status status = stockroom_open(&run->room, link, options, error);
    if (status != HF_OK) {
        fprintf(stderr, "holdfast load: %s\n", error);
        free(run);
        return exit_for(status);
    }
    if (options->progress) {
        announce(&run->room);
    }
    int code = open_traffic(run);
    if (code == EXIT_KEPT) {
        code = run_traffic(run);
    }
    link_close(link); /* no callback may come any more */
    traffic_close(run->traffic);
    demand_deinit(&run->demand);
    stockroom_close(&run->room);
    free(run->figures);
    free(run);
    return code;
}

/* Opens the page before any load is sent: what can't be written is said in time. */
static bool open_page(const struct load_options *options, FILE **page)
{
    *page = options->report ? fopen(options->report, "w") : NULL;
    if (options->report && !*page) {
        fprintf(stderr, "holdfast load: %s: %s\n", options->report, strerror(errno));
        return false;
    }
    return true;
}

int cmd_load(int argc, char **argv)
{
    struct load_options options;
    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_HELP:
        return EXIT_KEPT;
    case OPTIONS_WRONG:
        return EXIT_USAGE;
    case OPTIONS_RUN:
        break;
    }
    FILE *page;
    if (!open_page(&options, &page)) {
        return EXIT_USAGE;
    }
    struct link link;
    enum hf_status status = link_open(&link, &options);
    if (status != HF_OK) {
        if (*hf_last_message()) {
            fprintf(stderr, "holdfast load: %s: %s\n", options.url, hf_last_message());
        }
        if (page) {
            fclose(page);
        }
        return status == HF_INVALID ? EXIT_USAGE : EXIT_NOT_REACHABLE;
    }
    int code = options.trace ? replay_run(&options, &link) : run_demand(&options, &link, page);
    link_close(&link);
    if (page && fclose(page) != 0) {
        fprintf(stderr, "holdfast load: %s: %s\n", options.report, strerror(errno));
        code = code == EXIT_KEPT ? EXIT_NOT_KEPT : code;
    }
    return code;
}
