/* wal_private.h - the log's state, which wal.c, append.c, writer.c and segments.c share. Private to
 * engine/wal.
 *
 * Groups are numbered from 0 without end; group n lives in buffer n % WAL_GROUPS. Three counters
 * part them, and they only ever grow:
 *
 *     done <= submitted <= filling <= done + WAL_GROUPS
 *
 *     below done          durable, waiters detached, buffer free
 *     done..submitted     being written (the order of their indexes is the order of their numbers)
 *     submitted..filling  closed for appends, waits for the writer
 *     filling             takes appends, unless filling == done + WAL_GROUPS: then no buffer is
 * free
 *
 * append.lock guards everything in struct wal_append_state and the groups' fields that say so. The
 * writer's own fields are touched by wal_step's thread alone. segments.mutex guards the lists of
 * segments (segments.h). */
#ifndef WAL_WAL_PRIVATE_H
#define WAL_WAL_PRIVATE_H

#include "base/spin.h"
#include "wal/format.h"
#include "wal/segments.h"
#include "wal/sleep.h"
#include "wal/waiter_list.h"
#include "wal/wal.h"
#include "wal/write_time.h"
#include "wal/writer.h"

/* Idle time after which a NOOP block proves the last DATA block durable. */
#define WAL_SEAL_IDLE_NS 5000000u

/* Even an idle log gets a NOOP block this often: a start in another boot of the machine takes the
 * time from the last block, and believes a clock only if it is not too far ahead of that. */
#define WAL_TIME_EVERY_MS 600000u

/* So many waiters are told before the next group's write begins, so that it can be written and
 * waited for in one system call; more are told while the disk works. Measured in
 * docs/benchmarks.md, "The log's writes". */
#define WAL_TELL_FIRST_MAX 64u

/* Groups that must be free before new work is admitted: work that was admitted may need them. */
#define WAL_GROUPS_MARGIN 3u

struct wal_group {
    uint8_t *buffer; /* wal->buffer_bytes, page aligned */

    /* Guarded by append.lock until the group is closed; then the writer's. */
    enum block_type type;
    uint32_t payload_bytes; /* reserved so far */
    uint32_t record_count;
    uint64_t first_lsn;

    struct waiter_list waiters; /* guarded by append.lock, always */

    /* Bytes copied in. Appenders add with release when their copy is done; before the writer reads
     * the payload, it waits with acquire until this equals payload_bytes. */
    _Atomic uint32_t copied_bytes;

    /* The writer's. */
    uint64_t index;
    uint64_t segment;
    uint64_t submitted_ns; /* when its write began */
    bool written;
};

struct wal_append_state {
    struct spin lock;
    bool writer_asleep;      /* whoever appends next must wake it */
    unsigned stalled;        /* appenders that wait for a free buffer */
    uint64_t digest;         /* of all that was appended */
    struct waiter_list late; /* came after the log was closed */

    /* Written under the lock; read without it where a slightly old value does no harm. */
    _Atomic uint64_t filling;
    _Atomic uint64_t done;
    _Atomic uint64_t tail_lsn;
};

struct wal {
    _Alignas(CACHE_LINE_BYTES) struct wal_append_state append;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t commit_lsn; /* moved before waiters are notified */
    _Atomic bool closed;
    _Atomic bool stopping;         /* the writer */
    _Atomic bool prepare_stopping; /* the preparer, later: the writer may still need a segment */
    _Alignas(CACHE_LINE_BYTES) struct write_time write_time; /* written once or twice a group */
    _Alignas(CACHE_LINE_BYTES) struct writer writer;
    struct wal_group groups[WAL_GROUPS];
    struct segments segments;

    struct wal_options options; /* group_bytes is not 0 any more */
    uint64_t segment_groups;    /* groups that fit a fresh segment, whatever their sizes */
    uint64_t reserve_groups;    /* groups for which there must be room before work is admitted */
    struct storage *storage;
    struct timekeeper *time;
    const struct clock *clock;
    struct id128 cluster;
    void *memory; /* of the groups' buffers */
    size_t memory_bytes;
    size_t buffer_bytes; /* of one buffer: room for a segment's header page, then the block */

    void (*stall_hook)(void *context);
    void *stall_context;
    void (*tell_before)(void *context);
    void (*tell_after)(void *context);
    void *tell_context;
    struct wal_sleep writer_sleep;
    struct wal_sleep stall_sleep;
    struct wal_sleep prepare_sleep;
    bool started;
    pthread_t writer_thread;
    pthread_t prepare_thread;

    struct {
        _Atomic uint64_t blocks;
        _Atomic uint64_t payload_bytes;
        _Atomic uint64_t written_bytes;
        _Atomic uint64_t segments;
        _Atomic uint64_t index;
        _Atomic uint64_t group_records_max;
    } stats;
};

#endif
