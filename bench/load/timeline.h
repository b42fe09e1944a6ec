/* timeline.h - a run cut into windows of time: what was answered in each, and how fast.
 *
 * It is fed with totals and keeps the differences, so nobody who counts needs to know of it. A
 * window has a histogram of its own; when the windows are used up, each two become one and windows
 * last twice as long from then on. So any length of run is between half of and TIMELINE_WINDOWS.
 *
 * Threads: one. Memory: some 4.5 MB. */
#ifndef LOAD_TIMELINE_H
#define LOAD_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"

#define TIMELINE_WINDOWS   240u
#define TIMELINE_WINDOW_NS UINT64_C(100000000) /* at first */

struct timeline_counts {
    uint64_t ok;
    uint64_t sold_out;
    uint64_t other; /* refused and failed */
};

struct timeline_window {
    uint64_t start_ns; /* after the timeline's start */
    uint64_t end_ns;
    struct timeline_counts counts;
    struct histogram latency; /* its max is known to the bucket only */
};

struct timeline {
    uint64_t start_ns;
    uint64_t last_ns; /* end of the last window, or the start */
    uint64_t window_ns;
    uint32_t count;
    struct timeline_window *windows;
    struct timeline_counts last_counts; /* totals at last_ns */
    struct histogram last_latency;
};

/* Totals are taken to be zero at start_ns. False when out of memory. */
bool timeline_init(struct timeline *timeline, uint64_t start_ns);
void timeline_deinit(struct timeline *timeline);

/* True when a window is complete. */
bool timeline_is_due(const struct timeline *timeline, uint64_t now_ns);

/* Ends a window at now_ns, later than the last: it gets what the totals have grown by. */
void timeline_add(struct timeline *timeline, uint64_t now_ns, const struct timeline_counts *totals,
                  const struct histogram *latency);

/* Ends the last window at now_ns. One of less than half the usual length goes to the window before
 * it: rates over moments mean nothing. */
void timeline_end(struct timeline *timeline, uint64_t now_ns, const struct timeline_counts *totals,
                  const struct histogram *latency);

/* What a histogram has grown by since `before`. */
void timeline_difference(struct histogram *grown, const struct histogram *after,
                         const struct histogram *before);

#endif
