/* wal_private.h - the log's insides, shared by wal.c, append.c, writer.c and segments.c. Private
 * to engine/wal.
 *
 * Groups are numbered from 0 without end; group n lives in buffer n % WAL_GROUPS. Three counters
 * part them, and only ever grow:
 *
 *     done <= submitted <= filling <= done + WAL_GROUPS
 *
 *     below done        durable, waiters detached, buffer free
 *     done..submitted   being written (index order is number order)
 *     submitted..filling  closed for appends, waits for the writer
 *     filling           takes appends, unless filling == done + WAL_GROUPS: then no buffer is free
 *
 * append.lock guards everything in struct wal_append_state and the groups' fields that say so. The
 * writer's own fields are touched by wal_step's thread alone. segments.mutex guards the list of
 * segments; it is held for no system call but open and close. */
#ifndef WAL_WAL_PRIVATE_H
#define WAL_WAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/spin.h"
#include "wal/segment.h"
#include "wal/wal.h"

#define WAL_SPARES_MAX WAL_SPARE_SEGMENTS_MAX

/* Idle time after which a NOOP block proves the last DATA block durable. */
#define WAL_SEAL_IDLE_NS 5000000u

/* An idle log gets a NOOP block so often all the same: a start in another boot of the machine goes
 * by the times of the last block, and believes a clock that is not too far ahead of them. */
#define WAL_TIME_EVERY_MS 600000u

/* Groups that must be free for new work to be admitted. What is in hand may need them. */
#define WAL_GROUPS_MARGIN 3u

struct waiter_list {
    struct wal_waiter *first;
    struct wal_waiter *last;
};

void waiter_list_add(struct waiter_list *list, struct wal_waiter *waiter);
void waiter_list_join(struct waiter_list *list, struct waiter_list *more); /* empties `more` */
bool waiter_list_tell(struct waiter_list *list, enum hf_status status);    /* true: any */

struct wal_group {
    uint8_t *buffer; /* wal->buffer_bytes, page aligned */

    /* Guarded by append.lock until the group is closed; then the writer's. */
    enum block_type type;
    uint32_t payload_bytes; /* reserved so far */
    uint32_t record_count;
    uint64_t first_lsn;

    struct waiter_list waiters; /* guarded by append.lock, always */

    /* Bytes copied in. Appenders add with release when their copy is done; the writer, before it
     * looks at the payload, waits with acquire until it equals payload_bytes. */
    _Atomic uint32_t copied_bytes;

    /* The writer's. */
    uint64_t index;
    uint64_t segment;
    bool written;
};

struct wal_append_state {
    struct spin lock;
    bool writer_asleep;      /* whoever appends next must wake it */
    unsigned stalled;        /* appenders that wait for a free buffer */
    uint64_t digest;         /* of all that was appended */
    struct waiter_list late; /* came after the log was closed */

    /* Written under the lock; read without it where a moment's lag does no harm. */
    _Atomic uint64_t filling;
    _Atomic uint64_t done;
    _Atomic uint64_t tail_lsn;
};

/* A thread's sleep, and the word that ends it. */
struct wal_sleep {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    _Atomic uint64_t count; /* grows with each wake, under the mutex */
};

struct prepared_segment {
    storage_file file;
    uint64_t number;
    bool recycled;
};

struct segments {
    pthread_mutex_t mutex;
    struct prepared_segment prepared[WAL_SPARES_MAX]; /* next first; named, open */
    unsigned prepared_count;
    uint64_t prepare_next; /* number of the segment to prepare next; the preparer's own */
    uint64_t *begun;       /* numbers, oldest first */
    size_t begun_count;
    size_t begun_room;
    uint64_t *spares; /* numbers of spare files */
    size_t spare_count;
    size_t spare_room;
    size_t spare_first; /* in the list: try this one first. The preparer's own */
    uint64_t made; /* segment whose file is there and could not be opened. The preparer's own */
    char stuck_reason[WAL_REASON_BYTES]; /* why the last attempt failed; "": it did not */
    uint64_t marked;  /* segment that begun-N.mark names; 0: there is none. The preparer's own */
    bool mark_failed; /* that was said. The preparer's own */

    /* For wal_admit and wal_recycle. */
    _Atomic unsigned ready;       /* prepared_count */
    _Atomic bool stuck;           /* the last attempt to prepare one failed: see stuck_reason */
    _Atomic uint64_t room_groups; /* the present segment still has room for so many, of any size */
    _Atomic uint64_t sealed;      /* writer.submitted */
    _Atomic uint64_t durable_number; /* segment of the last durable block */
};

/* What only the writer touches. */
struct writer {
    uint64_t submitted;
    unsigned in_flight;
    bool buffers_registered;
    bool blocked; /* the next group waits for a segment */

    /* Where the next block goes. */
    storage_file file; /* -1: no segment yet */
    uint64_t segment;
    uint64_t segment_bytes;
    bool recycled;
    uint64_t offset; /* 0: begun with the next block, header and all */
    uint64_t next_index;
    uint64_t previous_hash;
    uint64_t term;
    uint64_t durable_index;
    uint64_t proved_index; /* greatest durable_index that a submitted block carries */
    uint64_t last_data_index;
    uint64_t idle_since_ns;
    uint64_t since_digest_bytes;
    /* Times of the last block that was sealed by this process; before the first: of the open. */
    uint64_t sealed_engine_ms;
    int64_t sealed_ahead_ms;

    struct prepared_segment retired[WAL_GROUPS + 1]; /* written full; closed once durable */
    unsigned retired_count;
};

struct wal {
    _Alignas(CACHE_LINE_BYTES) struct wal_append_state append;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t commit_lsn; /* released before waiters are told */
    _Atomic bool closed;
    _Atomic bool stopping;         /* the writer */
    _Atomic bool prepare_stopping; /* the preparer, later: the writer may still need a segment */
    _Alignas(CACHE_LINE_BYTES) struct writer writer;
    struct wal_group groups[WAL_GROUPS];
    struct segments segments;

    struct wal_options options; /* group_bytes is not 0 any more */
    uint64_t segment_groups;    /* that fit a fresh segment, whatever their sizes */
    uint64_t reserve_groups;    /* room that must be there for new work */
    struct storage *storage;
    struct timekeeper *time;
    const struct clock *clock;
    struct id128 cluster;
    void *memory; /* of the groups' buffers */
    size_t memory_bytes;
    size_t buffer_bytes; /* of one: room for a segment's header page, then the block */

    void (*stall_hook)(void *context);
    void *stall_context;
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

/* ---- append.c ---- */

static inline struct wal_group *wal_group(struct wal *wal, uint64_t number)
{
    return &wal->groups[number % WAL_GROUPS];
}

/* The group that takes appends, or NULL when no buffer is free. append.lock is held. */
struct wal_group *wal_filling_group(struct wal *wal);

/* Makes a group empty, for its next use. */
void wal_group_reset(struct wal_group *group);

void wal_sleep_init(struct wal_sleep *sleep);
void wal_sleep_deinit(struct wal_sleep *sleep);
/* Takes no lock: may be called with append.lock held. */
static inline uint64_t wal_sleep_count(struct wal_sleep *sleep)
{
    /* acquire: pairs with the release in wal_sleep_wake. Whoever saw a wake sees its reason. */
    return atomic_load_explicit(&sleep->count, memory_order_acquire);
}
/* Sleeps until the count is not `seen` any more, at most timeout_ns. */
void wal_sleep_wait(struct wal_sleep *sleep, uint64_t seen, uint64_t timeout_ns);
void wal_sleep_wake(struct wal_sleep *sleep);

/* ---- segments.c ---- */

/* Sees to it that a block of so many bytes fits the present segment, going to the next one if need
 * be. OK; BUSY: the next segment is not ready yet; NO_SPACE: it can't be made and the log
 * stops; IO_ERROR. The writer's thread. */
enum hf_status wal_segment_make_room(struct wal *wal, uint64_t span_bytes);

/* Makes one segment ready. OK; NOT_FOUND: there are enough; NO_SPACE, IO_ERROR, NO_MEMORY. */
enum hf_status wal_segment_prepare(struct wal *wal);

/* Sees to it that begun-N.mark names the segment of the last durable block. A failure is said,
 * once, and the next call tries again. False: it failed. The preparer's thread. */
bool wal_mark_begun(struct wal *wal);

/* wal_prepare_step, and how it went: as wal_segment_prepare; IO_ERROR, too, when the mark alone
 * failed. */
enum hf_status wal_prepare(struct wal *wal);

/* How many groups fit so many bytes, whatever their sizes: a block is not split. */
uint64_t wal_groups_in(const struct wal *wal, uint64_t bytes);

/* The present segment's room and those made ready suffice for all that is closed and not sealed,
 * and for all that may be in hand besides. */
bool wal_segment_room_suffices(const struct wal *wal);

/* They will suffice for a while, also when no other segment is made ready meanwhile. */
bool wal_segment_room_is_ample(const struct wal *wal);

/* Closes the files of segments before the one that is durable. The writer's thread. */
void wal_segment_retire(struct wal *wal, uint64_t durable_number);

/* Takes the log's existing segments over. */
enum hf_status wal_segments_load(struct wal *wal, const struct wal_end *end);
void wal_segments_unload(struct wal *wal);

/* ---- writer.c ---- */

/* Where a sealed block's bytes are and go. */
struct sealed_block {
    const uint8_t *data;
    size_t len;
    uint64_t offset;
};

/* Gives a closed group its header; its segment has room. */
void wal_seal(struct wal *wal, struct wal_group *group, struct sealed_block *block);

/* Closes the log after a failure. */
void wal_fail(struct wal *wal, const char *what);

/* Writes all that was appended, and a DIGEST block; tells everybody. The writer's thread. */
void wal_finish(struct wal *wal);

#endif
