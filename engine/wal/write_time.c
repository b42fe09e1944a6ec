/* write_time.c - how long the log's writes take, and so how long an answer will wait for one.
 *
 * Threads: see write_time.h. */
#include "wal/write_time.h"

#include "base/check.h"

/* Relaxed: see write_time.h. */
static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

/* The time from `from` on; 0 when another thread's reading of the clock is a little newer. */
static uint64_t since(uint64_t now_ns, uint64_t from_ns)
{
    return now_ns > from_ns ? now_ns - from_ns : 0;
}

/* The typical time as it is when nothing was written for so long. */
static uint64_t faded(uint64_t typical_ns, uint64_t idle_ns)
{
    if (idle_ns >= WRITE_TIME_FADE_NS) {
        return 0;
    }
    return typical_ns / 1000 * ((WRITE_TIME_FADE_NS - idle_ns) / (WRITE_TIME_FADE_NS / 1000));
}

void write_time_begin(struct write_time *time, uint64_t now_ns)
{
    if (get(&time->begun_ns) != 0) {
        return;
    }
    set(&time->typical_ns, faded(get(&time->typical_ns), since(now_ns, get(&time->ended_ns))));
    set(&time->begun_ns, now_ns);
}

void write_time_end(struct write_time *time, uint64_t begun_ns, uint64_t now_ns, uint64_t oldest_ns)
{
    CHECK(begun_ns <= now_ns);
    uint64_t took = now_ns - begun_ns;
    uint64_t typical = get(&time->typical_ns);
    if (typical == 0) {
        typical = took;
    } else if (took > typical) {
        typical += (took - typical + 1) / 2;
    } else {
        typical -= (typical - took) / 8;
    }
    set(&time->typical_ns, typical);
    set(&time->ended_ns, now_ns);
    set(&time->begun_ns, oldest_ns);
}

uint64_t write_time_expected(const struct write_time *time, uint64_t now_ns, uint64_t ahead,
                             uint64_t at_once)
{
    CHECK(at_once >= 1);
    uint64_t one = get(&time->typical_ns);
    uint64_t begun = get(&time->begun_ns);
    if (begun == 0) {
        one = faded(one, since(now_ns, get(&time->ended_ns)));
        return ahead < at_once ? one : one + (ahead - at_once + 1) * one / at_once;
    }
    uint64_t elapsed = since(now_ns, begun);
    one = one > elapsed ? one : elapsed;
    if (ahead < at_once) {
        return one;
    }
    return (one - elapsed) + (ahead - at_once) * one / at_once + one;
}
