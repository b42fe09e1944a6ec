/* writer.c - the one thread that writes the log.
 *
 * A pass: reap what is finished, count groups as durable in order, submit the next group, and only
 * then tell the waiters of the durable ones: the disk works while replies are sent.
 *
 * Besides DATA it writes, between groups: a DIGEST block each WAL_DIGEST_BYTES or so and at the
 * end; and, when the log has been idle for WAL_SEAL_IDLE_NS after a DATA block, one NOOP block,
 * whose durable_index proves that DATA block durable, so that later damage to it is not taken for a
 * torn tail.
 *
 * A failed write closes the log: nothing is written or acknowledged any more, whatever else comes
 * back from the disk.
 *
 * Threads: one at a time: the writer's own after wal_start, or a test's. */
#include "wal/writer.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/diag.h"
#include "base/hash.h"
#include "base/usdt.h"
#include "wal/append.h"
#include "wal/digest.h"
#include "wal/segments.h"
#include "wal/wal_private.h"

static bool is_closed(const struct wal *wal)
{
    /* relaxed: the writer itself closes the log. */
    return atomic_load_explicit(&wal->closed, memory_order_relaxed);
}

/* ---- Closing ---- */

void wal_fail(struct wal *wal, const char *what)
{
    spin_lock(&wal->append.lock);
    bool closed_before = is_closed(wal);
    /* release: pairs with the acquire in wal_wait. */
    atomic_store_explicit(&wal->closed, true, memory_order_release);
    wal->append.stalled = 0;
    spin_unlock(&wal->append.lock);
    if (!closed_before) {
        diag_error("the log is closed: %s", what);
    }
    wal_sleep_wake(&wal->stall_sleep);
}

/* Tells all of a list. True when there was anybody. */
static bool tell(struct wal *wal, struct waiter_list *list, enum hf_status status)
{
    if (!list->first) {
        return false;
    }
    if (wal->tell_before) {
        wal->tell_before(wal->tell_context);
    }
    waiter_list_tell(list, status);
    if (wal->tell_after) {
        wal->tell_after(wal->tell_context);
    }
    return true;
}

/* Tells everybody that the log is closed. True when there was anybody. */
static bool tell_closed(struct wal *wal)
{
    struct waiter_list told = {0};
    spin_lock(&wal->append.lock);
    /* relaxed: they change under the lock. In the order they came. */
    uint64_t number = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
    for (unsigned i = 0; i < WAL_GROUPS; i++) {
        waiter_list_join(&told, &wal_group(wal, number + i)->waiters);
    }
    waiter_list_join(&told, &wal->append.late);
    spin_unlock(&wal->append.lock);
    return tell(wal, &told, HF_INTERNAL);
}

/* ---- Reaping ---- */

/* When the oldest write under way began; 0: none is. */
static uint64_t oldest_write_ns(struct wal *wal)
{
    /* relaxed: only this thread changes it. */
    uint64_t number = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
    for (; number < wal->writer.submitted; number++) {
        const struct wal_group *group = wal_group(wal, number);
        if (!group->written) {
            return group->submitted_ns;
        }
    }
    return 0;
}

/* Collects finished writes. True when there were any. */
static bool reap(struct wal *wal, bool wait)
{
    struct writer *writer = &wal->writer;
    if (writer->in_flight == 0) {
        return false;
    }
    struct storage_completion completions[WAL_GROUPS];
    unsigned n = wal->storage->ops->reap(wal->storage, wait, completions, WAL_GROUPS);
    CHECK(n <= writer->in_flight);
    writer->in_flight -= n;
    uint64_t now_ns = n > 0 ? clock_monotonic_ns(wal->clock) : 0;
    for (unsigned i = 0; i < n; i++) {
        if (completions[i].status != HF_OK) {
            /* The storage has said which file, where and why. */
            wal_fail(wal, "a write failed, and what is on the disk is not known");
            continue;
        }
        struct wal_group *group = wal_group(wal, completions[i].token);
        CHECK(completions[i].token < writer->submitted);
        CHECK(!group->written);
        group->written = true;
        write_time_end(&wal->write_time, group->submitted_ns, now_ns, oldest_write_ns(wal));
    }
    return n > 0;
}

/* The oldest group that is not done is durable: moves commit_lsn, frees its buffer. */
static void advance(struct wal *wal, struct wal_group *group, struct waiter_list *durable)
{
    struct writer *writer = &wal->writer;
    CHECK(group->written);
    CHECK(group->index == writer->durable_index + 1);
    writer->durable_index = group->index;
    wal_segment_retire(wal, group->segment);
    /* relaxed: for people. */
    atomic_store_explicit(&wal->stats.index, group->index, memory_order_relaxed);

    USDT1(durable, group->first_lsn + group->payload_bytes);
    spin_lock(&wal->append.lock);
    /* relaxed, three times: only this thread changes commit_lsn and done; the lock is held. */
    CHECK(atomic_load_explicit(&wal->commit_lsn, memory_order_relaxed) == group->first_lsn);
    CHECK(atomic_load_explicit(&wal->append.tail_lsn, memory_order_relaxed) >=
          group->first_lsn + group->payload_bytes);
    CHECK(atomic_load_explicit(&wal->append.done, memory_order_relaxed) < writer->submitted);
    /* release: pairs with the acquire in wal_wait and wal_commit_lsn. Before the waiters run, and
     * in one critical section with detaching them. */
    atomic_store_explicit(&wal->commit_lsn, group->first_lsn + group->payload_bytes,
                          memory_order_release);
    waiter_list_join(durable, &group->waiters);
    wal_group_reset(group);
    /* relaxed: changed under the lock. */
    atomic_fetch_add_explicit(&wal->append.done, 1, memory_order_relaxed);
    bool wake = wal->append.stalled > 0;
    wal->append.stalled = 0;
    spin_unlock(&wal->append.lock);
    if (wake) {
        wal_sleep_wake(&wal->stall_sleep);
    }
}

/* Counts written groups as durable, strictly in order. True when there were any. */
static bool advance_all(struct wal *wal, struct waiter_list *durable)
{
    bool any = false;
    for (;;) {
        /* relaxed: only this thread changes it. */
        uint64_t done = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
        struct wal_group *group = wal_group(wal, done);
        if (is_closed(wal) || done == wal->writer.submitted || !group->written) {
            break;
        }
        advance(wal, group, durable);
        any = true;
    }
    if (any) {
        wal->writer.idle_since_ns = clock_monotonic_ns(wal->clock);
    }
    return any;
}

/* ---- Sealing ---- */

/* Waits until all appenders have copied what they reserved. They hold no lock and make no system
 * call meanwhile. */
static void await_copies(struct wal_group *group)
{
    /* acquire: pairs with the release in wal_append. */
    for (unsigned step = 0;
         atomic_load_explicit(&group->copied_bytes, memory_order_acquire) != group->payload_bytes;
         step++) {
        spin_pause(step);
    }
}

/* Writes the segment's header into the room before the block. */
static void seal_segment(struct wal *wal, const struct wal_group *group, uint64_t wall_ms)
{
    struct writer *writer = &wal->writer;
    CHECK(writer->segment >= 1);
    CHECK(writer->offset == 0);
    struct segment_header header = {
        .cluster = wal->cluster,
        .number = writer->segment,
        .first_lsn = group->first_lsn,
        .first_index = writer->next_index,
        .previous_hash = writer->previous_hash,
        .durable_index = writer->durable_index,
        .created_ms = wall_ms,
        .segment_bytes = writer->segment_bytes,
        .recycled = writer->recycled,
    };
    memset(group->buffer, 0, WAL_PAGE_BYTES);
    segment_header_encode(&header, group->buffer);
}

void wal_seal(struct wal *wal, struct wal_group *group, struct sealed_block *block)
{
    struct writer *writer = &wal->writer;
    await_copies(group);
    uint8_t *at = group->buffer + WAL_PAGE_BYTES;
    uint8_t *payload = at + BLOCK_HEADER_BYTES;
    uint64_t span = block_span_bytes(group->payload_bytes);
    CHECK(span + WAL_PAGE_BYTES <= wal->buffer_bytes);
    CHECK((group->record_count > 0) == (group->type == BLOCK_DATA));
    CHECK(writer->durable_index < writer->next_index);
    memset(payload + group->payload_bytes, 0,
           (size_t)(span - BLOCK_HEADER_BYTES - group->payload_bytes));
    struct time_reading now;
    timekeeper_read(wal->time, &now);
    /* What readers make of a deadline is then what callers were shown. */
    uint64_t wall_ms = time_shown_ms(now.engine_ms, now.ahead_ms);
    bool first = writer->offset == 0;
    if (first) {
        seal_segment(wal, group, wall_ms);
        writer->offset = WAL_PAGE_BYTES;
    }
    struct block_header header = {
        .type = group->type,
        .cluster = wal->cluster,
        .term = writer->term,
        .index = writer->next_index,
        .previous_hash = writer->previous_hash,
        .durable_index = writer->durable_index,
        .first_lsn = group->first_lsn,
        .record_count = group->record_count,
        .payload_bytes = group->payload_bytes,
        .wall_ms = wall_ms,
        .engine_ms = now.engine_ms,
        .boot_ms = now.boot_ms,
        .boot = now.boot,
        .payload_hash = hash_bytes(payload, group->payload_bytes),
        .segment = writer->segment,
    };
    block_header_encode(&header, at);
    writer->sealed_engine_ms = now.engine_ms;
    writer->sealed_ahead_ms = now.ahead_ms;
    group->index = writer->next_index++;
    group->segment = writer->segment;
    writer->previous_hash = block_chain(at);
    writer->proved_index = writer->durable_index;
    if (group->type == BLOCK_DATA) {
        writer->last_data_index = group->index;
    }
    block->data = first ? group->buffer : at;
    block->len = (size_t)span + (first ? WAL_PAGE_BYTES : 0);
    block->offset = first ? 0 : writer->offset;
    writer->offset += span;
    CHECK(block->offset + block->len == writer->offset);
    CHECK(writer->offset <= writer->segment_bytes);
    /* relaxed: a hint for wal_admit. */
    uint64_t room = wal_groups_in(wal, writer->segment_bytes - writer->offset);
    atomic_store_explicit(&wal->segments.room_groups, room, memory_order_relaxed);
}

/* ---- What comes next ---- */

/* Closes the group that fills. append.lock is held. */
static void close_filling(struct wal *wal)
{
    CHECK(wal_filling_group(wal) != NULL);
    /* relaxed: changed under the lock. */
    atomic_fetch_add_explicit(&wal->append.filling, 1, memory_order_relaxed);
}

/* Puts a DIGEST block after all that has been appended. False when no buffer is free now. */
static bool add_digest(struct wal *wal)
{
    spin_lock(&wal->append.lock);
    struct wal_group *group = wal_filling_group(wal);
    if (group && group->payload_bytes > 0) {
        close_filling(wal);
        group = wal_filling_group(wal);
    }
    if (group) {
        /* relaxed: changed under the lock. */
        uint64_t lsn = atomic_load_explicit(&wal->append.tail_lsn, memory_order_relaxed);
        CHECK(group->payload_bytes == 0);
        uint8_t *payload = group->buffer + WAL_PAGE_BYTES + BLOCK_HEADER_BYTES;
        digest_encode(lsn, wal->append.digest, payload);
        group->type = BLOCK_DIGEST;
        group->first_lsn = lsn;
        group->payload_bytes = DIGEST_PAYLOAD_BYTES;
        /* relaxed: this thread itself seals it. */
        atomic_store_explicit(&group->copied_bytes, DIGEST_PAYLOAD_BYTES, memory_order_relaxed);
        /* release: as in wal_append. */
        atomic_store_explicit(&wal->append.tail_lsn, lsn + DIGEST_PAYLOAD_BYTES,
                              memory_order_release);
        close_filling(wal);
    }
    spin_unlock(&wal->append.lock);
    return group != NULL;
}

/* The times of the last block are old, or wall time has stepped since: what a start would go by
 * must be in the log. */
static bool times_are_due(const struct wal *wal)
{
    const struct writer *writer = &wal->writer;
    struct time_reading now;
    timekeeper_read(wal->time, &now);
    int64_t stepped_ms = now.ahead_ms - writer->sealed_ahead_ms;
    return now.engine_ms - writer->sealed_engine_ms >= WAL_TIME_EVERY_MS ||
           stepped_ms > (int64_t)CLOCK_SLEW_MS || stepped_ms < -(int64_t)CLOCK_SLEW_MS;
}

/* Nothing has happened for a while, and the last DATA block is not proved durable by a later one,
 * or its times are no longer what a start should go by. */
static bool seal_is_due(const struct wal *wal)
{
    const struct writer *writer = &wal->writer;
    if (writer->in_flight > 0 ||
        clock_monotonic_ns(wal->clock) - writer->idle_since_ns < WAL_SEAL_IDLE_NS) {
        return false;
    }
    return writer->last_data_index > writer->proved_index || times_are_due(wal);
}

/* The next group to write, closed for appends; NULL when there is nothing to write. */
static struct wal_group *next_group(struct wal *wal)
{
    struct writer *writer = &wal->writer;
    uint64_t every = wal->options.digest_every_bytes;
    if (every > 0 && writer->since_digest_bytes >= every && add_digest(wal)) {
        writer->since_digest_bytes = 0;
    }
    bool seal = seal_is_due(wal);
    spin_lock(&wal->append.lock);
    /* relaxed: they change under the lock. */
    uint64_t filling = atomic_load_explicit(&wal->append.filling, memory_order_relaxed);
    if (writer->submitted == filling) {
        struct wal_group *group = wal_filling_group(wal);
        if (group && group->payload_bytes > 0) {
            close_filling(wal);
            filling++;
        } else if (group && seal) {
            group->type = BLOCK_NOOP;
            group->first_lsn = atomic_load_explicit(&wal->append.tail_lsn, memory_order_relaxed);
            close_filling(wal);
            filling++;
        }
    }
    spin_unlock(&wal->append.lock);
    CHECK(writer->submitted <= filling);
    return writer->submitted < filling ? wal_group(wal, writer->submitted) : NULL;
}

static void count_block(struct wal *wal, const struct wal_group *group, size_t written_bytes)
{
    CHECK(written_bytes % WAL_PAGE_BYTES == 0);
    CHECK(written_bytes >= BLOCK_HEADER_BYTES + group->payload_bytes);
    /* relaxed: counters for people; only this thread changes them. */
    atomic_fetch_add_explicit(&wal->stats.blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&wal->stats.payload_bytes, group->payload_bytes,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&wal->stats.written_bytes, written_bytes, memory_order_relaxed);
    if (group->record_count >
        atomic_load_explicit(&wal->stats.group_records_max, memory_order_relaxed)) {
        atomic_store_explicit(&wal->stats.group_records_max, group->record_count,
                              memory_order_relaxed);
    }
}

/* Seals and submits one group. */
static void submit(struct wal *wal, struct wal_group *group)
{
    struct writer *writer = &wal->writer;
    struct sealed_block block;
    CHECK(group == wal_group(wal, writer->submitted));
    CHECK(writer->in_flight < wal->options.in_flight_max);
    wal_seal(wal, group, &block);
    group->submitted_ns = clock_monotonic_ns(wal->clock);
    write_time_begin(&wal->write_time, group->submitted_ns);
    enum hf_status status = wal->storage->ops->submit_write(
        wal->storage, writer->file, block.data, block.len, block.offset, writer->submitted);
    writer->submitted++;
    /* release: pairs with the acquire in wal_segment_room_suffices. Its room was taken before. */
    atomic_store_explicit(&wal->segments.sealed, writer->submitted, memory_order_release);
    if (status != HF_OK) {
        wal_fail(wal, "a write could not be started");
        return;
    }
    writer->in_flight++;
    if (group->type == BLOCK_DATA) {
        writer->since_digest_bytes += group->payload_bytes;
    }
    count_block(wal, group, block.len);
}

/* Submits groups while there are any and not too many are under way. True when there were any. */
static bool submit_all(struct wal *wal)
{
    struct writer *writer = &wal->writer;
    bool any = false;
    writer->blocked = false;
    /* Counted up to the oldest that is not done: writes that end out of order must not take all
     * the buffers. relaxed: only this thread changes `done`. */
    while (!is_closed(wal) &&
           writer->submitted - atomic_load_explicit(&wal->append.done, memory_order_relaxed) <
               wal->options.in_flight_max) {
        struct wal_group *group = next_group(wal);
        if (!group) {
            break;
        }
        enum hf_status status = wal_segment_make_room(wal, block_span_bytes(group->payload_bytes));
        if (status == HF_BUSY) {
            writer->blocked = true; /* the preparer wakes us */
            break;
        }
        if (status != HF_OK) {
            wal_fail(wal, "the segment is full and the next one can't be made");
            break;
        }
        submit(wal, group);
        any = true;
    }
    return any;
}

/* ---- Passes ---- */

static bool pass(struct wal *wal, bool wait)
{
    struct waiter_list durable = {0};
    bool any = reap(wal, wait);
    any |= advance_all(wal, &durable);
    any |= submit_all(wal);
    /* Many are told while the disk works, few before it does. */
    if (wal->storage->ops->start && waiter_list_longer(&durable, WAL_TELL_FIRST_MAX)) {
        wal->storage->ops->start(wal->storage);
    }
    tell(wal, &durable, HF_OK);
    if (is_closed(wal)) {
        any |= tell_closed(wal);
    }
    return any;
}

/* Sleeps until somebody appends, a segment is ready, or it is time to seal. */
static void sleep_idle(struct wal *wal)
{
    struct writer *writer = &wal->writer;
    uint64_t timeout_ns =
        writer->last_data_index > writer->proved_index ? WAL_SEAL_IDLE_NS : 100000000u;
    spin_lock(&wal->append.lock);
    struct wal_group *group = wal_filling_group(wal);
    /* relaxed: they change under the lock. */
    bool work =
        group == NULL || group->payload_bytes > 0 ||
        atomic_load_explicit(&wal->append.filling, memory_order_relaxed) != writer->submitted;
    bool late = wal->append.late.first != NULL;
    uint64_t seen = wal_sleep_count(&wal->writer_sleep);
    if (writer->blocked) {
        /* The preparer may have been done before `seen` was read: asks again soon enough. */
        timeout_ns = 1000000;
    }
    /* relaxed: wal_stop sets it before it wakes the writer, and `seen` was read before. */
    bool stopping = atomic_load_explicit(&wal->stopping, memory_order_relaxed);
    bool sleep = writer->blocked || (!late && !stopping && (!work || is_closed(wal)));
    wal->append.writer_asleep = sleep;
    spin_unlock(&wal->append.lock);
    if (sleep) {
        wal_sleep_wait(&wal->writer_sleep, seen, timeout_ns);
        spin_lock(&wal->append.lock);
        wal->append.writer_asleep = false;
        spin_unlock(&wal->append.lock);
    }
}

static void register_buffers(struct wal *wal)
{
    if (wal->writer.buffers_registered) {
        return;
    }
    wal->writer.buffers_registered = true;
    void *buffers[WAL_GROUPS];
    for (unsigned i = 0; i < WAL_GROUPS; i++) {
        buffers[i] = wal->groups[i].buffer;
        CHECK((uintptr_t)buffers[i] % WAL_PAGE_BYTES == 0);
    }
    wal->storage->ops->register_buffers(wal->storage, buffers, wal->buffer_bytes, WAL_GROUPS);
}

/* As many groups are under way as may be: there is nothing to do but to wait for the disk. */
static bool waits_for_disk(const struct wal *wal)
{
    /* relaxed: only this thread changes it. */
    uint64_t done = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
    return wal->writer.in_flight > 0 && wal->writer.submitted - done >= wal->options.in_flight_max;
}

bool wal_step(struct wal *wal, bool wait)
{
    register_buffers(wal);
    bool any = pass(wal, wait && waits_for_disk(wal));
    if (any || !wait) {
        return any;
    }
    if (wal->writer.in_flight > 0) {
        return pass(wal, true);
    }
    sleep_idle(wal);
    return pass(wal, false);
}

/* True when nothing waits to be written. */
static bool drained(struct wal *wal)
{
    spin_lock(&wal->append.lock);
    struct wal_group *group = wal_filling_group(wal);
    /* relaxed: they change under the lock. */
    uint64_t filling = atomic_load_explicit(&wal->append.filling, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&wal->append.done, memory_order_relaxed);
    CHECK(done <= filling);
    bool empty = done == filling && group && group->payload_bytes == 0;
    spin_unlock(&wal->append.lock);
    return empty;
}

static void drain(struct wal *wal)
{
    while (!is_closed(wal) && !drained(wal)) {
        wal_step(wal, true);
    }
}

void wal_finish(struct wal *wal)
{
    drain(wal);
    if (!is_closed(wal) && add_digest(wal)) {
        drain(wal);
    }
    /* The kernel must be done with the buffers; and the ring is this thread's. */
    while (wal->writer.in_flight > 0 && reap(wal, true)) {
    }
    if (is_closed(wal)) {
        tell_closed(wal);
    }
}
