/* append.c - appending and waiting, from any thread.
 *
 * An appender holds the spin lock while it reserves its place: a handful of additions. The copy is
 * done outside; copied_bytes shows the writer when the copy is complete.
 *
 * Waking the writer: before it sleeps it sets writer_asleep under the lock, having seen under the
 * same lock that there is nothing to write. An appender reads the flag under the lock, after
 * adding its bytes. So either the writer sees the bytes, or the appender sees the flag.
 *
 * Stalling: an appender that finds no free buffer counts itself under the lock and notes the count
 * of stall_sleep there; the writer that frees a buffer takes the number of stalled under the lock
 * and then moves that count. So it can't be missed.
 *
 * Waiters: a waiter is linked under the lock to a group that is not done; the writer detaches a
 * group's waiters and counts the group as done in one critical section. So each waiter is notified
 * once, and none is lost. */
#include "wal/append.h"

#include <string.h>

#include "base/check.h"
#include "base/schedule.h"
#include "base/usdt.h"

/* ---- Appending ---- */

void wal_group_reset(struct wal_group *group)
{
    CHECK(group->waiters.first == NULL);
    CHECK(group->waiters.last == NULL);
    group->type = BLOCK_DATA;
    group->payload_bytes = 0;
    group->record_count = 0;
    group->first_lsn = 0;
    group->submitted_ns = 0;
    group->written = false;
    /* relaxed: nobody copies into an empty group; handed on by append.lock. */
    atomic_store_explicit(&group->copied_bytes, 0, memory_order_relaxed);
}

struct wal_group *wal_filling_group(struct wal *wal)
{
    /* relaxed: both change under the lock, which is held. */
    uint64_t filling = atomic_load_explicit(&wal->append.filling, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
    CHECK(filling - done <= WAL_GROUPS);
    return filling - done < WAL_GROUPS ? wal_group(wal, filling) : NULL;
}

/* The group with room for len bytes more, closing the one that has not; NULL when no buffer is
 * free. append.lock is held. */
static struct wal_group *group_with_room(struct wal *wal, uint32_t len)
{
    struct wal_group *group = wal_filling_group(wal);
    if (group && group->payload_bytes + len > wal->options.group_bytes) {
        /* relaxed: changed under the lock. */
        atomic_fetch_add_explicit(&wal->append.filling, 1, memory_order_relaxed);
        group = wal_filling_group(wal);
    }
    CHECK(!group || group->payload_bytes + len <= wal->options.group_bytes);
    return group;
}

/* Waits until a buffer may be free. append.lock is held on entry, and not on return. */
static void stall_sleep(struct wal *wal)
{
    if (wal->stall_hook) {
        spin_unlock(&wal->append.lock);
        wal->stall_hook(wal->stall_context);
        return;
    }
    wal->append.stalled++;
    uint64_t seen = wal_sleep_count(&wal->stall_sleep);
    spin_unlock(&wal->append.lock);
    wal_sleep_wait(&wal->stall_sleep, seen, 100000000u);
}

/* As stall_sleep, and reports it. */
static void stall(struct wal *wal, struct wal_patience *patience)
{
    if (!patience) {
        stall_sleep(wal);
        return;
    }
    /* release, both: who sees what follows the append sees that it waits no more. */
    atomic_store_explicit(patience->waits, true, memory_order_release);
    uint64_t begin_ns = clock_monotonic_ns(wal->clock);
    stall_sleep(wal);
    patience->waited_ns += clock_monotonic_ns(wal->clock) - begin_ns;
    atomic_store_explicit(patience->waits, false, memory_order_release);
}

/* Takes append.lock once there is room for len bytes; NULL, and no lock, when the log is closed. */
static struct wal_group *lock_with_room(struct wal *wal, uint32_t len,
                                        struct wal_patience *patience)
{
    for (;;) {
        spin_lock(&wal->append.lock);
        /* relaxed: set under the lock. */
        if (atomic_load_explicit(&wal->closed, memory_order_relaxed)) {
            spin_unlock(&wal->append.lock);
            return NULL;
        }
        struct wal_group *group = group_with_room(wal, len);
        if (group) {
            return group;
        }
        stall(wal, patience);
    }
}

enum hf_status wal_append_patient(struct wal *wal, const void *records, uint32_t len,
                                  uint32_t record_count, uint64_t digest_delta, uint64_t *start_lsn,
                                  struct wal_patience *patience)
{
    CHECK(len >= 8);
    CHECK(len <= WAL_APPEND_BYTES_MAX);
    CHECK(len <= wal->options.group_bytes);
    CHECK(len % 8 == 0);
    CHECK(record_count >= 1);
    CHECK(record_count <= len / 8);
    struct wal_group *group = lock_with_room(wal, len, patience);
    if (!group) {
        return HF_INTERNAL;
    }
    /* relaxed: changed under the lock. */
    uint64_t lsn = atomic_load_explicit(&wal->append.tail_lsn, memory_order_relaxed);
    uint32_t at = group->payload_bytes;
    if (at == 0) {
        group->first_lsn = lsn;
    }
    CHECK(group->first_lsn + at == lsn);
    group->payload_bytes = at + len;
    group->record_count += record_count;
    wal->append.digest += digest_delta;
    /* release: pairs with the acquire in wal_tail_lsn. */
    atomic_store_explicit(&wal->append.tail_lsn, lsn + len, memory_order_release);
    bool wake = wal->append.writer_asleep;
    wal->append.writer_asleep = false;
    spin_unlock(&wal->append.lock);

    SCHEDULE_POINT("append.copy");
    memcpy(group->buffer + WAL_PAGE_BYTES + BLOCK_HEADER_BYTES + at, records, len);
    SCHEDULE_POINT("append.copied");
    /* release: pairs with the writer's acquire in wal_seal, which then sees the copy. From here on
     * the group may be written and reused at any moment. */
    atomic_fetch_add_explicit(&group->copied_bytes, len, memory_order_release);
    if (wake) {
        wal_sleep_wake(&wal->writer_sleep);
    }
    USDT2(append, lsn, len);
    *start_lsn = lsn;
    return HF_OK;
}

enum hf_status wal_append(struct wal *wal, const void *records, uint32_t len, uint32_t record_count,
                          uint64_t digest_delta, uint64_t *start_lsn)
{
    return wal_append_patient(wal, records, len, record_count, digest_delta, start_lsn, NULL);
}

/* ---- Waiting ---- */

/* All before lsn is durable, and the log lives. */
static bool durable(const struct wal *wal, uint64_t lsn)
{
    /* acquire: pair with the releases in the writer's advance() and wal_fail(). */
    return atomic_load_explicit(&wal->commit_lsn, memory_order_acquire) >= lsn &&
           !atomic_load_explicit(&wal->closed, memory_order_acquire);
}

/* The first group that is not done and holds the byte before lsn. append.lock is held. */
static struct wal_group *group_of(struct wal *wal, uint64_t lsn)
{
    /* relaxed: both change under the lock. */
    uint64_t number = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
    uint64_t filling = atomic_load_explicit(&wal->append.filling, memory_order_relaxed);
    CHECK(number <= filling);
    /* With no buffer free, the number that fills has no group yet. */
    uint64_t last = filling - number < WAL_GROUPS ? filling : filling - 1;
    for (; number <= last; number++) {
        struct wal_group *group = wal_group(wal, number);
        if (group->payload_bytes > 0 && group->first_lsn + group->payload_bytes >= lsn) {
            return group;
        }
    }
    check_failed(__FILE__, __LINE__, __func__, "lsn has been appended");
}

bool wal_wait(struct wal *wal, uint64_t lsn, struct wal_waiter *waiter)
{
    if (durable(wal, lsn)) {
        return false;
    }
    bool wake = false;
    spin_lock(&wal->append.lock);
    if (durable(wal, lsn)) {
        spin_unlock(&wal->append.lock);
        return false;
    }
    /* relaxed: set under the lock. */
    if (atomic_load_explicit(&wal->closed, memory_order_relaxed)) {
        waiter_list_add(&wal->append.late, waiter);
        wake = wal->append.writer_asleep;
        wal->append.writer_asleep = false;
    } else {
        waiter_list_add(&group_of(wal, lsn)->waiters, waiter);
    }
    spin_unlock(&wal->append.lock);
    if (wake) {
        wal_sleep_wake(&wal->writer_sleep);
    }
    return true;
}

enum hf_status wal_admit(const struct wal *wal)
{
    /* relaxed throughout: a moment's lag costs a refusal too many or one too few, and the margins
     * are there for that. */
    if (atomic_load_explicit(&wal->closed, memory_order_relaxed)) {
        return HF_INTERNAL;
    }
    if (!wal_segment_room_suffices(wal)) {
        return atomic_load_explicit(&wal->segments.stuck, memory_order_relaxed) ? HF_READ_ONLY
                                                                                : HF_BUSY;
    }
    uint64_t filling = atomic_load_explicit(&wal->append.filling, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
    /* The one that fills does not count as free. `done` may be newer than `filling`. */
    uint64_t taken = filling > done ? filling - done + 1 : 1;
    return taken + WAL_GROUPS_MARGIN > WAL_GROUPS ? HF_BUSY : HF_OK;
}

uint64_t wal_expected_ns(const struct wal *wal)
{
    /* relaxed throughout, as in wal_admit. */
    if (atomic_load_explicit(&wal->closed, memory_order_relaxed)) {
        return 0;
    }
    uint64_t filling = atomic_load_explicit(&wal->append.filling, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
    return write_time_expected(&wal->write_time, clock_monotonic_ns(wal->clock),
                               filling > done ? filling - done : 0, wal->options.in_flight_max);
}

/* ---- Getters ---- */

uint64_t wal_commit_lsn(const struct wal *wal)
{
    /* acquire: pairs with the writer's release in advance(). */
    return atomic_load_explicit(&wal->commit_lsn, memory_order_acquire);
}

uint64_t wal_durable_ns(const struct wal *wal)
{
    return wal->writer.idle_since_ns;
}

uint64_t wal_tail_lsn(const struct wal *wal)
{
    /* acquire: pairs with the release in wal_append. */
    return atomic_load_explicit(&wal->append.tail_lsn, memory_order_acquire);
}

enum wal_state wal_state(const struct wal *wal)
{
    switch (wal_admit(wal)) {
    case HF_INTERNAL:
        return WAL_CLOSED;
    case HF_READ_ONLY:
        return WAL_READ_ONLY;
    default:
        return WAL_OPEN;
    }
}

struct id128 wal_cluster(const struct wal *wal)
{
    return wal->cluster;
}

void wal_stats(const struct wal *wal, struct wal_stats *stats)
{
    /* relaxed: counters for people. */
    stats->blocks = atomic_load_explicit(&wal->stats.blocks, memory_order_relaxed);
    stats->payload_bytes = atomic_load_explicit(&wal->stats.payload_bytes, memory_order_relaxed);
    stats->written_bytes = atomic_load_explicit(&wal->stats.written_bytes, memory_order_relaxed);
    stats->segments = atomic_load_explicit(&wal->stats.segments, memory_order_relaxed);
    stats->index = atomic_load_explicit(&wal->stats.index, memory_order_relaxed);
    stats->group_records_max =
        atomic_load_explicit(&wal->stats.group_records_max, memory_order_relaxed);
    stats->term = wal->writer.term;
}

void wal_set_stall_hook(struct wal *wal, void (*hook)(void *context), void *context)
{
    wal->stall_hook = hook;
    wal->stall_context = context;
}

void wal_set_tell_hooks(struct wal *wal, void (*before)(void *context),
                        void (*after)(void *context), void *context)
{
    CHECK(!wal->started);
    CHECK((before == NULL) == (after == NULL));
    wal->tell_before = before;
    wal->tell_after = after;
    wal->tell_context = context;
}
