/* histogram.c - log-linear buckets. Threads: one writer.
 *
 * Layout: block 0 holds 0..63, a bucket each. Block b > 0 holds 64 * 2^(b-1) .. 128 * 2^(b-1) - 1
 * in 64 buckets of width 2^(b-1), so that a bucket's width is at most 1/64 of its values. */
#include "base/histogram.h"

#include <stddef.h>

#include "base/check.h"

#define SUB_BUCKETS (1u << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB_BUCKETS) {
        return (unsigned)value;
    }
    unsigned exponent = 63u - (unsigned)__builtin_clzll(value);
    unsigned shift = exponent - HISTOGRAM_SUB_BITS;
    unsigned bucket =
        ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift) - SUB_BUCKETS;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The greatest value that belongs to the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < SUB_BUCKETS) {
        return bucket;
    }
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t sub = bucket & (SUB_BUCKETS - 1);
    return ((SUB_BUCKETS + sub + 1) << shift) - 1;
}

void histogram_init(struct histogram *histogram)
{
    *histogram = (struct histogram){0};
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max) {
        histogram->max = value;
    }
    histogram->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max) {
        into->max = from->max;
    }
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    CHECK(share >= 0.0 && share <= 1.0);
    if (histogram->count == 0) {
        return 0;
    }
    /* The rank of the wanted value, from 1: the least that is share * count or more. */
    double exact = share * (double)histogram->count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0) {
        rank++;
    }
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t end = bucket_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return histogram->max; /* the last bucket also has the values beyond the range */
}
