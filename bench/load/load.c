/* load.c - the subcommand: one run of made-up demand, or of a trace. Threads: the caller's. */
#include "load/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "load/demand.h"
#include "load/link.h"
#include "load/options.h"
#include "load/oracle.h"
#include "load/replay.h"
#include "load/report.h"
#include "load/stockroom.h"
#include "load/traffic.h"

enum { EXIT_KEPT = 0, EXIT_NOT_KEPT = 1, EXIT_USAGE = 2, EXIT_NOT_REACHABLE = 3 };

static int exit_for(enum hf_status status)
{
    return status == HF_TIMED_OUT || status == HF_UNREACHABLE ? EXIT_NOT_REACHABLE : EXIT_NOT_KEPT;
}

/* Sends, asks and reports; the engine is reached and the items are there. */
static int run_traffic(const struct load_options *options, const struct link *link,
                       struct stockroom *room, struct demand *demand, struct traffic *traffic)
{
    uint64_t started_ms = clock_unix_ms(clock_real());
    traffic_run(traffic);
    if (options->until_sold_out) {
        traffic_sell_out(traffic);
    }
    /* The figures end here: the oracle's probes are not part of them. */
    struct figures *figures = malloc(sizeof *figures);
    if (!figures) {
        fprintf(stderr, "holdfast load: out of memory\n");
        return EXIT_NOT_KEPT;
    }
    traffic_figures(traffic, figures);
    struct verdict verdict = {0};
    int code = EXIT_KEPT;
    if (options->oracle) {
        enum hf_status status =
            oracle_run(&verdict, options, link, room, demand, traffic, started_ms);
        if (status != HF_OK) {
            code = exit_for(status);
        } else if (!oracle_is_clean(&verdict)) {
            code = EXIT_NOT_KEPT;
        }
    }
    report_result(options, figures, options->oracle ? &verdict : NULL);
    if (code == EXIT_KEPT && figures->gave_up) {
        code = EXIT_NOT_REACHABLE;
    }
    if (code == EXIT_KEPT && figures->all.ok == 0 && figures->all.failed > 0) {
        code = EXIT_NOT_KEPT; /* nothing was measured but errors */
    }
    free(figures);
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

static int run_demand(const struct load_options *options, struct link *link)
{
    struct stockroom room;
    struct demand demand;
    struct traffic *traffic = NULL;
    char error[STOCKROOM_ERROR_BYTES];
    enum hf_status status = stockroom_open(&room, link, options, error);
    if (status != HF_OK) {
        fprintf(stderr, "holdfast load: %s\n", error);
        return exit_for(status);
    }
    if (options->progress) {
        announce(&room);
    }
    int code = EXIT_NOT_KEPT;
    struct demand_options demand_options = {
        .seed = options->seed,
        .item_count = room.count,
        .zipf = options->zipf,
        .qty_max = options->qty_max,
        .buyers = options->buyers,
        .commit_share = options->commit_share,
        .release_share = options->release_share,
    };
    if (!demand_init(&demand, &demand_options)) {
        fprintf(stderr, "holdfast load: out of memory\n");
        goto close_room;
    }
    if (traffic_open(&traffic, options, link, &room, &demand) != HF_OK) {
        fprintf(stderr, "holdfast load: out of memory\n");
        goto close_demand;
    }
    code = run_traffic(options, link, &room, &demand, traffic);
    link_close(link); /* no callback may come any more */
    traffic_close(traffic);
close_demand:
    demand_deinit(&demand);
close_room:
    stockroom_close(&room);
    return code;
}

int command_load(int argc, char **argv)
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
    struct link link;
    enum hf_status status = link_open(&link, &options);
    if (status != HF_OK) {
        fprintf(stderr, "holdfast load: %s: %s\n", options.url, hf_last_message());
        return status == HF_INVALID ? EXIT_USAGE : EXIT_NOT_REACHABLE;
    }
    int code = options.trace ? replay_run(&options, &link) : run_demand(&options, &link);
    link_close(&link);
    return code;
}
