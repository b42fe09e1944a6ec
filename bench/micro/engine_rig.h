/* engine_rig.h - the engine without a transport: encoded requests in, encoded answers out.
 *
 * Two ways to drive it. Alone: one thread does all, the log's writer too, and the CPU time of each
 * step is taken. Running: the log has its threads, and lanes submit, each from a thread of its own.
 * Plain enough for C++. Threads: one, but for lanes: one each. */
#ifndef MICRO_ENGINE_RIG_H
#define MICRO_ENGINE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct engine_rig;
struct engine_lane;

struct engine_rig_options {
    const char *directory; /* NULL: a log that keeps nothing */
    uint64_t orders_max;
    uint64_t orders_ready; /* of them, in memory from the start */
    uint32_t items;
    int64_t units; /* of each item; 0: sold out from the start */
    bool hot;      /* items are split from the start */
    bool small;    /* the smallest segments, for a few batches */
    bool running;  /* with the engine's threads, for lanes; else alone */
};

/* CPU time by step, added up over batches. */
struct engine_phases {
    uint64_t decode_ns; /* the request's bytes to columns */
    uint64_t submit_ns; /* engine_submit: decide, append, publish */
    uint64_t log_ns;    /* the writer: seal and checksum the block, tell the waiter */
    uint64_t encode_ns; /* the answer to bytes */
};

/* Never fails (aborts). */
struct engine_rig *engine_rig_make(const struct engine_rig_options *options);
void engine_rig_free(struct engine_rig *rig);

/* Alone: one columnar batch of orders first .. first+count-1, from its bytes to its answer's bytes.
 * Returns how many were held. */
uint32_t engine_rig_batch(struct engine_rig *rig, uint64_t first, uint32_t count,
                          struct engine_phases *phases);

/* Alone: the deadline of all orders passes, and they expire. Returns how many. */
uint64_t engine_rig_expire(struct engine_rig *rig);

/* Alone: closes the engine and opens it again on the same directory. *replay_ns: until the log was
 * replayed; *open_ns: until the engine could work. Returns how many records were replayed. */
uint64_t engine_rig_reopen(struct engine_rig *rig, uint64_t *replay_ns, uint64_t *open_ns);

/* A lane has `batches` requests of `count` orders each ready from the start, the first order of all
 * being number `first`, and keeps up to in_flight of them under way. */
struct engine_lane *engine_lane_make(struct engine_rig *rig, uint64_t first, uint32_t batches,
                                     uint32_t count, uint32_t in_flight);
void engine_lane_free(struct engine_lane *lane);

/* Submits the next batch: decodes it first, and waits when in_flight others are under way. The
 * answer is encoded where it becomes durable, as the server does. */
void engine_lane_submit(struct engine_lane *lane);

/* Waits for all answers. Returns the orders held since the last time. */
uint64_t engine_lane_drain(struct engine_lane *lane);

#ifdef __cplusplus
}
#endif

#endif
