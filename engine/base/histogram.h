/* histogram.h - latencies in log-linear buckets, 1 ns to 2^40 ns, within 1.6 % of the truth.
 *
 * Threads: one writer; merge to combine. Source: HdrHistogram's bucket layout. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6u
#define HISTOGRAM_BUCKETS  ((40u - HISTOGRAM_SUB_BITS + 1u) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* All zero: a zeroed struct is an empty histogram too. */
void histogram_init(struct histogram *histogram);

/* Counts one value; values beyond the range count in the last bucket, max stays exact. */
void histogram_add(struct histogram *histogram, uint64_t value);

/* Adds all of `from` to `into`. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that a share (0..1) of all values does not exceed: the upper end of its bucket, at most
 * max. 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
