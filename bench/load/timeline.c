/* timeline.c - windows of time as differences of totals. Threads: one. */
#include "load/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

bool timeline_init(struct timeline *timeline, uint64_t start_ns)
{
    memset(timeline, 0, sizeof *timeline);
    timeline->start_ns = start_ns;
    timeline->last_ns = start_ns;
    timeline->window_ns = TIMELINE_WINDOW_NS;
    timeline->windows = calloc(TIMELINE_WINDOWS, sizeof *timeline->windows);
    return timeline->windows != NULL;
}

void timeline_deinit(struct timeline *timeline)
{
    free(timeline->windows);
    timeline->windows = NULL;
    timeline->count = 0;
}

bool timeline_is_due(const struct timeline *timeline, uint64_t now_ns)
{
    return now_ns >= timeline->last_ns + timeline->window_ns;
}

void timeline_difference(struct histogram *grown, const struct histogram *after,
                         const struct histogram *before)
{
    CHECK(after->count >= before->count);
    grown->count = after->count - before->count;
    grown->sum = after->sum - before->sum;
    /* Of all values so far; quantiles are bounded by the buckets of the new ones first. */
    grown->max = after->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        grown->buckets[i] = after->buckets[i] - before->buckets[i];
    }
}

static void add_counts(struct timeline_counts *into, const struct timeline_counts *from)
{
    into->ok += from->ok;
    into->sold_out += from->sold_out;
    into->other += from->other;
}

/* Makes the window one with the next. */
static void merge_next(struct timeline_window *window, const struct timeline_window *next)
{
    window->end_ns = next->end_ns;
    add_counts(&window->counts, &next->counts);
    histogram_merge(&window->latency, &next->latency);
}

/* Makes one window of each two. */
static void halve(struct timeline *timeline)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < timeline->count; i += 2) {
        struct timeline_window *window = &timeline->windows[kept++];
        if (window != &timeline->windows[i]) {
            *window = timeline->windows[i];
        }
        if (i + 1 < timeline->count) {
            merge_next(window, &timeline->windows[i + 1]);
        }
    }
    timeline->count = kept;
    timeline->window_ns *= 2;
}

void timeline_add(struct timeline *timeline, uint64_t now_ns, const struct timeline_counts *totals,
                  const struct histogram *latency)
{
    CHECK(now_ns > timeline->last_ns);
    if (timeline->count == TIMELINE_WINDOWS) {
        halve(timeline);
    }
    struct timeline_window *window = &timeline->windows[timeline->count++];
    window->start_ns = timeline->last_ns - timeline->start_ns;
    window->end_ns = now_ns - timeline->start_ns;
    window->counts = (struct timeline_counts){
        .ok = totals->ok - timeline->last_counts.ok,
        .sold_out = totals->sold_out - timeline->last_counts.sold_out,
        .other = totals->other - timeline->last_counts.other,
    };
    timeline_difference(&window->latency, latency, &timeline->last_latency);
    timeline->last_ns = now_ns;
    timeline->last_counts = *totals;
    timeline->last_latency = *latency;
}

void timeline_end(struct timeline *timeline, uint64_t now_ns, const struct timeline_counts *totals,
                  const struct histogram *latency)
{
    if (now_ns <= timeline->last_ns) {
        return;
    }
    timeline_add(timeline, now_ns, totals, latency);
    if (timeline->count < 2) {
        return;
    }
    const struct timeline_window *last = &timeline->windows[timeline->count - 1];
    if (last->end_ns - last->start_ns < timeline->window_ns / 2) {
        merge_next(&timeline->windows[timeline->count - 2], last);
        timeline->count--;
    }
}
