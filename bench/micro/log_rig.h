/* log_rig.h - the log as its suites drive it: on nothing, or on files of a directory.
 *
 * Plain enough for C++. Threads: one, but for log_rig_append between log_rig_start and
 * log_rig_free: any. */
#ifndef MICRO_LOG_RIG_H
#define MICRO_LOG_RIG_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct log_rig;

struct log_rig_result {
    const char *storage; /* what carries the writes; static */
    uint64_t records;
    uint64_t blocks; /* group commits */
    uint64_t p50_ns; /* from before an append until it is durable */
    uint64_t p99_ns;
    uint64_t max_ns;
};

/* An empty log. directory: NULL for one that keeps nothing. in_flight: appends that may wait to be
 * durable at once, with log_rig_commit. small: the smallest segments, for a few appends. Never
 * fails (aborts). */
struct log_rig *log_rig_make(const char *directory, uint32_t in_flight, bool small);
void log_rig_free(struct log_rig *rig);

/* One append of so many bytes, in records of 48 where they fit. */
void log_rig_append(struct log_rig *rig, uint32_t bytes);

/* Writes what was appended: the writer's part, in this thread. Not after log_rig_start. */
void log_rig_write(struct log_rig *rig);

/* Starts the log's own threads, its segments made ready before. */
void log_rig_start(struct log_rig *rig);

/* One append of so many records of 48 bytes, and somebody waiting for it; itself waits only while
 * in_flight others do. After log_rig_start. */
void log_rig_commit(struct log_rig *rig, uint32_t records);

/* Waits until all is durable; the figures since the last time. */
struct log_rig_result log_rig_drain(struct log_rig *rig);

#ifdef __cplusplus
}
#endif

#endif
