/* log_rig.c - the log as its suites drive it.
 *
 * Threads: log_rig_commit and log_rig_drain from one; a slot's waiter on the log's writer, which
 * posts the slot's semaphore as the last thing it does with it. The histogram is the writer's until
 * all slots have been waited for. */
#include "micro/log_rig.h"

#include <semaphore.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/histogram.h"
#include "base/limits.h"
#include "base/spin.h"
#include "io/storage_open.h"
#include "micro/null_storage.h"
#include "wal/wal.h"

#define RECORD_BYTES 48u
#define SPARES       4u

struct slot {
    struct wal_waiter waiter;
    struct log_rig *rig;
    uint64_t begin_ns;
    sem_t free;
};

struct log_rig {
    struct storage *storage;
    struct wal *wal;
    bool started;
    uint32_t in_flight;
    uint32_t next; /* the slot that is used next */
    struct slot *slots;
    struct histogram latency_ns;
    uint64_t records;
    uint64_t blocks_before;
    uint8_t bytes[WAL_APPEND_BYTES_MAX];
};

static struct wal *open_empty(struct storage *storage, bool small)
{
    struct wal_options options = {
        .segment_bytes = small ? WAL_SEGMENT_BYTES_MIN : WAL_SEGMENT_BYTES_DEFAULT,
        .spare_segments = SPARES,
        .in_flight_max = 1,
        .digest_every_bytes = WAL_DIGEST_EVERY_BYTES,
    };
    struct wal_end end = {.empty = true, .next_index = 1};
    struct wal *wal;
    static struct timekeeper time; /* of the only log that is open */
    timekeeper_init(&time, clock_real(), &(struct time_past){0}, false);
    CHECK(wal_open(&wal, &options, storage, &time, &end, 0) == HF_OK);
    return wal;
}

struct log_rig *log_rig_make(const char *directory, uint32_t in_flight, bool small)
{
    struct log_rig *rig = calloc(1, sizeof *rig);
    CHECK(rig != NULL);
    if (directory) {
        CHECK(storage_open(&rig->storage, directory, STORAGE_AUTO, false) == HF_OK);
    } else {
        rig->storage = null_storage_make();
        CHECK(rig->storage != NULL);
    }
    rig->wal = open_empty(rig->storage, small);
    rig->in_flight = in_flight;
    rig->slots = calloc(in_flight, sizeof *rig->slots);
    CHECK(rig->slots != NULL);
    for (uint32_t i = 0; i < in_flight; i++) {
        rig->slots[i].rig = rig;
        CHECK(sem_init(&rig->slots[i].free, 0, 1) == 0);
    }
    for (uint32_t i = 0; i < sizeof rig->bytes; i++) {
        rig->bytes[i] = (uint8_t)(i * 31 + i / 256);
    }
    return rig;
}

void log_rig_free(struct log_rig *rig)
{
    if (rig->started) {
        wal_stop(rig->wal);
    }
    wal_close(rig->wal);
    storage_destroy(rig->storage);
    for (uint32_t i = 0; i < rig->in_flight; i++) {
        sem_destroy(&rig->slots[i].free);
    }
    free(rig->slots);
    free(rig);
}

void log_rig_append(struct log_rig *rig, uint32_t bytes)
{
    uint32_t records = bytes < RECORD_BYTES ? 1 : bytes / RECORD_BYTES;
    uint64_t lsn;
    CHECK(wal_append(rig->wal, rig->bytes, bytes, records, 1, &lsn) == HF_OK);
}

void log_rig_write(struct log_rig *rig)
{
    while (wal_step(rig->wal, false)) {
    }
}

void log_rig_start(struct log_rig *rig)
{
    while (wal_prepare_step(rig->wal)) {
    }
    CHECK(wal_start(rig->wal) == HF_OK);
    rig->started = true;
}

static void slot_done(struct wal_waiter *waiter, enum hf_status status)
{
    struct slot *slot = (struct slot *)((char *)waiter - offsetof(struct slot, waiter));
    CHECK(status == HF_OK);
    histogram_add(&slot->rig->latency_ns, clock_monotonic_ns(clock_real()) - slot->begin_ns);
    sem_post(&slot->free);
}

static void slot_wait(struct slot *slot)
{
    while (sem_wait(&slot->free) != 0) {
    }
}

void log_rig_commit(struct log_rig *rig, uint32_t records)
{
    struct slot *slot = &rig->slots[rig->next];
    rig->next = (rig->next + 1) % rig->in_flight;
    slot_wait(slot);
    for (unsigned step = 0; wal_admit(rig->wal) != HF_OK; step++) {
        spin_pause(step);
    }
    slot->begin_ns = clock_monotonic_ns(clock_real());
    uint32_t bytes = records * RECORD_BYTES;
    uint64_t lsn;
    CHECK(wal_append(rig->wal, rig->bytes, bytes, records, 1, &lsn) == HF_OK);
    rig->records += records;
    slot->waiter.done = slot_done;
    if (!wal_wait(rig->wal, lsn + bytes, &slot->waiter)) {
        sem_post(&slot->free); /* durable already: not worth a figure */
    }
}

struct log_rig_result log_rig_drain(struct log_rig *rig)
{
    for (uint32_t i = 0; i < rig->in_flight; i++) {
        slot_wait(&rig->slots[i]);
    }
    struct wal_stats stats;
    wal_stats(rig->wal, &stats);
    struct log_rig_result result = {
        .storage = rig->storage->ops->name(rig->storage),
        .records = rig->records,
        .blocks = stats.blocks - rig->blocks_before,
        .p50_ns = histogram_quantile(&rig->latency_ns, 0.5),
        .p99_ns = histogram_quantile(&rig->latency_ns, 0.99),
        .max_ns = rig->latency_ns.max,
    };
    rig->records = 0;
    rig->blocks_before = stats.blocks;
    histogram_init(&rig->latency_ns);
    for (uint32_t i = 0; i < rig->in_flight; i++) {
        sem_post(&rig->slots[i].free);
    }
    return result;
}
