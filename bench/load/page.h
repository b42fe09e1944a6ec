/* page.h - the report that a browser shows: one HTML file with plots, without any network.
 *
 * page.html is the page with a gap for the data; it is part of the program. Threads: one. */
#ifndef LOAD_PAGE_H
#define LOAD_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <holdfast/client.h>

#include "load/options.h"
#include "load/schedule.h"
#include "load/timeline.h"

struct figures;
struct verdict;

struct page {
    const struct load_options *options;
    const struct figures *figures;
    const struct verdict *verdict;   /* NULL: the oracle was not asked */
    const struct timeline *timeline; /* NULL: none */
    const struct schedule *schedule; /* NULL: closed loop */
    double lead_s;                   /* measuring began so long after the schedule's start */
    uint64_t started_ms;             /* Unix time */
    uint32_t item_count;
    const struct hf_engine_status *before; /* NULL: not known */
    const struct hf_engine_status *after;
};

/* Writes the page. False when the file could not be written. */
bool page_write(FILE *out, const struct page *page);

/* The data alone, as JSON; no '<' is in it. */
void page_write_data(FILE *out, const struct page *page);

#endif
