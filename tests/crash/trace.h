/* trace.h - what an engine asked of the kernel, call by call: a file that the recorder in the
 * engine appends to, that outlives it, and that is read while it grows.
 *
 * A head, and behind it the records in the order in which the calls were told: a call's BEFORE, its
 * AFTER, and between lives of an engine what a dead one left (LEFT). Where a test stands in that
 * order when an answer has come is head->count then: all that the answer may rely on lies before.
 *
 * Threads: one process appends at a time, under the recorder's lock; any may read up to count. */
#ifndef CRASH_TRACE_H
#define CRASH_TRACE_H

#include <stdatomic.h>
#include <stdint.h>

#define TRACE_HEAD_BYTES 4096u
#define TRACE_BYTES_MAX  (768u << 20) /* sparse: what is written takes room, nothing else */

/* The recorder's environment. */
#define TRACE_FILE "CRASH_TRACE" /* the trace's path */
#define TRACE_ROOT "CRASH_ROOT"  /* the directory at and below which calls are recorded */
#define TRACE_SEED "CRASH_SEED"  /* of the faults; unset: none */
#define TRACE_KILL                                                                                 \
    "CRASH_KILL"                  /* "OP N": the engine is killed behind its nth call of that kind \
                                   */
#define TRACE_FAIL  "CRASH_FAIL"  /* "N": its nth write to a segment fails with EIO */
#define TRACE_EARLY "CRASH_EARLY" /* "OP N", as TRACE_KILL: killed before the call */

struct trace_head {
    _Atomic uint64_t count; /* records */
    _Atomic uint64_t bytes; /* of them */
    _Atomic uint32_t full;  /* 1: something found no room */
};

enum trace_kind {
    TRACE_START, /* an engine's first: numbers of files and calls begin anew */
    TRACE_BEFORE,
    TRACE_AFTER,
    TRACE_LEFT, /* of a call that a dead engine did not see the end of: whether it was done */
};

/* Then the name, the other name, the data; in all `bytes`, a multiple of 8. */
struct trace_record {
    uint32_t bytes;
    uint8_t kind;
    uint8_t op; /* enum kernel_op */
    uint8_t is_directory;
    uint8_t created;
    int32_t thread;
    int32_t flags;
    int32_t open_flags;
    uint32_t data_bytes; /* of `len`; the rest is zero */
    uint64_t number;     /* of the call */
    uint64_t file;
    uint64_t offset;
    uint64_t len;
    int64_t result;
    uint64_t time_ns;    /* CLOCK_MONOTONIC */
    uint16_t name_bytes; /* with its end */
    uint16_t to_bytes;   /* likewise; 0: there is none */
    uint8_t ring;
    uint8_t unused[3];
};

static inline const char *trace_name(const struct trace_record *record)
{
    return (const char *)(record + 1);
}

static inline const char *trace_to(const struct trace_record *record)
{
    return trace_name(record) + record->name_bytes;
}

static inline const uint8_t *trace_data(const struct trace_record *record)
{
    return (const uint8_t *)trace_to(record) + record->to_bytes;
}

static inline uint32_t trace_bytes(uint64_t names, uint64_t data)
{
    return (uint32_t)((sizeof(struct trace_record) + names + data + 7) / 8 * 8);
}

#endif
