/* report.h - what people and programs see: progress, the table, the JSON object.
 *
 * Threads: one. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/histogram.h"
#include "load/ledger.h"
#include "load/options.h"

struct figures;
struct verdict;

/* When the next progress line is due, and what the last one said. */
struct report_ticker {
    bool on;
    bool in_place; /* on a terminal the line is written over the last one */
    uint64_t start_ns;
    uint64_t last_ns;
    uint64_t last_answers;
    double last_cpu_s;
    struct histogram last_latency;
};

void report_ticker_start(struct report_ticker *ticker, bool on);

/* No further line; what comes next on the terminal begins on a line of its own. */
void report_ticker_stop(struct report_ticker *ticker);

/* True once a second while progress is wanted. */
bool report_due(const struct report_ticker *ticker);

/* One line on stderr: orders so far, and rate, latencies and the generator's CPU since the last. */
void report_progress(struct report_ticker *ticker, const struct figures *figures);

/* "held", "sold out" and so on. Static. */
const char *report_fate_name(enum fate fate);

/* A whole number with its digits in groups of three: "1 234 567". Returns text. */
#define REPORT_COUNT_BYTES 32u
const char *report_count(char text[REPORT_COUNT_BYTES], uint64_t number);

/* Writes text as a JSON string, with its quotes. */
void report_json_text(FILE *out, const char *text);

/* The result of a run as one JSON object, without a newline. verdict: NULL when the oracle was not
 * asked. */
void report_json(FILE *out, const struct load_options *options, const struct figures *figures,
                 const struct verdict *verdict);

/* The same on stdout, as a table or as JSON. */
void report_result(const struct load_options *options, const struct figures *figures,
                   const struct verdict *verdict);

#endif
