/* wal_rig.h - what the log's tests share: a log over simulated storage with a clock set by hand,
 * records that carry a serial number, and a reading back that checks every block. Included by one
 * file of each test program.
 *
 * Threads: one, unless a test says otherwise. */
#ifndef UNIT_WAL_RIG_H
#define UNIT_WAL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "lib/rng.h"
#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "wal/record.h"
#include "wal/wal.h"

#define RIG_DEADLINE_MS 1794355200000ull /* 2026-11-11 */

struct rig_clock {
    struct clock clock;
    uint64_t ns;
    uint64_t wall_ahead_ns; /* how far the wall clock has jumped ahead */
    unsigned looks_left;    /* 0: any number; else, after so many the log waits for ever */
};

static uint64_t rig_unix_ns(void *context)
{
    const struct rig_clock *clock = context;
    return RIG_DEADLINE_MS * 1000000u + clock->ns + clock->wall_ahead_ns;
}

static uint64_t rig_monotonic_ns(void *context)
{
    struct rig_clock *clock = context;
    if (clock->looks_left > 0 && --clock->looks_left == 0) {
        fail_msg("the log goes round without doing anything");
    }
    return clock->ns;
}

static __attribute__((unused)) void rig_clock_init(struct rig_clock *clock)
{
    clock->clock = (struct clock){clock, rig_unix_ns, rig_monotonic_ns, rig_monotonic_ns, sim_boot};
    clock->ns = 1000000000u;
    clock->wall_ahead_ns = 0;
    clock->looks_left = 0;
}

static
    __attribute__((unused)) struct timekeeper *rig_last_time; /* of the log that was opened last */

/* Time that goes on behind a log's end; one log at a time is open. */
static __attribute__((unused)) struct timekeeper *rig_time(const struct clock *clock,
                                                           const struct wal_end *end)
{
    static struct timekeeper time;
    const struct time_past past = {end->engine_ms, end->wall_ms, end->boot_ms, end->boot};
    timekeeper_init(&time, clock, &past, false);
    rig_last_time = &time;
    return rig_last_time;
}

/* ---- Records with serial numbers ---- */

/* What a record adds to the digest: any function of its serial number will do. */
static uint64_t rig_delta(uint64_t serial)
{
    return hash_u64(serial + 1);
}

static struct event rig_event(uint64_t serial)
{
    struct event event = {.type = EVENT_ORDER_HELD,
                          .id = {0x0123456789ABCDEFull, serial},
                          .buyer = serial * 7,
                          .deadline_ms = RIG_DEADLINE_MS + serial,
                          .line_count = 1};
    event.one = (struct order_line){(uint32_t)(serial % 1000) + 1, (uint32_t)(serial % 5) + 1};
    return event;
}

/* Encodes `count` records from `serial` on; returns their bytes. */
static __attribute__((unused)) uint32_t rig_encode(uint64_t serial, uint32_t count, uint8_t *to,
                                                   uint64_t *digest_delta)
{
    uint32_t len = 0;
    *digest_delta = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct event event = rig_event(serial + i);
        event.lines = &event.one;
        len += record_encode(&event, to + len);
        *digest_delta += rig_delta(serial + i);
    }
    return len;
}

/* ---- Reading back ---- */

struct rig_block {
    struct block_header header;
    char file[STORAGE_NAME_BYTES_MAX];
    uint64_t offset;
};

struct rig_log {
    struct wal_end end;
    uint64_t *serials; /* in log order */
    uint64_t *lsns;    /* of each record: its end */
    size_t count;
    struct rig_block *blocks;
    size_t block_count;
    uint64_t digest;
    uint64_t digest_blocks;
};

static void rig_read_records(struct rig_log *log, const struct wal_block *block)
{
    size_t at = 0;
    uint32_t records = 0;
    while (at < block->header.payload_bytes) {
        struct event event;
        struct record_scratch scratch;
        size_t used;
        const char *reason;
        assert_int_equal(record_decode(block->payload + at, block->header.payload_bytes - at,
                                       &event, &scratch, &used, &reason),
                         HF_OK);
        struct event expected = rig_event(event.id.lo);
        assert_int_equal(event.type, expected.type);
        assert_int_equal(event.id.hi, expected.id.hi);
        assert_int_equal(event.buyer, expected.buyer);
        assert_int_equal(event.deadline_ms, expected.deadline_ms);
        assert_memory_equal(event.lines, &expected.one, sizeof expected.one);
        at += used;
        if ((log->count & (log->count - 1)) == 0) {
            size_t room = log->count ? 2 * log->count : 1;
            log->serials = realloc(log->serials, room * sizeof *log->serials);
            log->lsns = realloc(log->lsns, room * sizeof *log->lsns);
            assert_non_null(log->serials);
            assert_non_null(log->lsns);
        }
        log->serials[log->count] = event.id.lo;
        log->lsns[log->count++] = block->header.first_lsn + at;
        log->digest += rig_delta(event.id.lo);
        records++;
    }
    assert_int_equal(records, block->header.record_count);
}

static void rig_read_block(struct rig_log *log, const struct wal_block *block)
{
    log->blocks = realloc(log->blocks, (log->block_count + 1) * sizeof *log->blocks);
    assert_non_null(log->blocks);
    struct rig_block *entry = &log->blocks[log->block_count++];
    entry->header = block->header;
    memcpy(entry->file, block->file, sizeof entry->file);
    entry->offset = block->file_offset;
    if (block->header.type == BLOCK_DATA) {
        rig_read_records(log, block);
    } else if (block->header.type == BLOCK_DIGEST) {
        assert_int_equal(load_u64(block->payload), block->header.first_lsn);
        assert_int_equal(load_u64(block->payload + 8), log->digest);
        log->digest_blocks++;
    }
}

/* Reads all of the log; digests are checked, so it must begin with the log's first segment unless
 * `digest` says what came before. */
static void rig_read_from(struct rig_log *log, struct storage *storage, uint64_t digest)
{
    memset(log, 0, sizeof *log);
    log->digest = digest;
    struct wal_reader *reader;
    assert_int_equal(wal_reader_open(&reader, storage), HF_OK);
    struct wal_block block;
    enum hf_status status;
    while ((status = wal_reader_next(reader, &block)) == HF_OK) {
        rig_read_block(log, &block);
    }
    assert_int_equal(status, HF_NOT_FOUND);
    assert_int_equal(wal_reader_next(reader, &block), HF_NOT_FOUND);
    wal_reader_end(reader, &log->end);
    wal_reader_close(reader);
}

static void rig_read(struct rig_log *log, struct storage *storage)
{
    rig_read_from(log, storage, 0);
}

static void rig_log_free(struct rig_log *log)
{
    free(log->serials);
    free(log->lsns);
    free(log->blocks);
}

/* ---- A log that is written ---- */

struct rig {
    struct storage *storage;
    struct rig_clock clock;
    struct wal_options options;
    struct wal *wal;
    unsigned stalls;      /* waits for a buffer in a row, with nothing durable meanwhile */
    uint64_t stalled_lsn; /* durable at the last of them */
    uint64_t next_serial;
    uint64_t digest;
    uint8_t *scratch;
};

static __attribute__((unused)) void rig_init(struct rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof *rig);
    rig->storage = sim_storage_make(seed);
    rig_clock_init(&rig->clock);
    rig->options = (struct wal_options){
        .segment_bytes = WAL_SEGMENT_BYTES_MIN, .spare_segments = 1, .in_flight_max = 1};
    rig->scratch = malloc(WAL_APPEND_BYTES_MAX);
    assert_non_null(rig->scratch);
}

#define RIG_STALLS_MAX 1000u /* passes of the writer that free no buffer: it never will */
#define RIG_IDLE_MAX   10u   /* passes that do nothing: there will be nothing more */

/* Where an append would wait for the writer there is nobody else to run it. What would wait for
 * ever fails instead. */
static __attribute__((unused)) void rig_stall(void *context)
{
    struct rig *rig = context;
    uint64_t lsn = wal_commit_lsn(rig->wal);
    rig->stalls = lsn == rig->stalled_lsn ? rig->stalls + 1 : 0;
    rig->stalled_lsn = lsn;
    if (rig->stalls >= RIG_STALLS_MAX) {
        fail_msg("an append waits for a buffer for ever");
    }
    wal_step(rig->wal, false);
}

/* Recovers and opens; what is in the log is numbered on. */
static __attribute__((unused)) enum hf_status rig_open(struct rig *rig)
{
    struct rig_log log;
    rig_read(&log, rig->storage);
    rig->digest = log.digest;
    rig->next_serial = log.count > 0 ? log.serials[log.count - 1] + 1 : 0;
    enum hf_status status = wal_open(&rig->wal, &rig->options, rig->storage,
                                     rig_time(&rig->clock.clock, &log.end), &log.end, rig->digest);
    rig_log_free(&log);
    if (status == HF_OK) {
        wal_set_stall_hook(rig->wal, rig_stall, rig);
    }
    return status;
}

static __attribute__((unused)) void rig_close(struct rig *rig)
{
    wal_close(rig->wal);
    rig->wal = NULL;
}

static __attribute__((unused)) void rig_deinit(struct rig *rig)
{
    wal_close(rig->wal);
    storage_destroy(rig->storage);
    free(rig->scratch);
}

/* Appends `count` records; *end_lsn is the last one's LSN. */
static __attribute__((unused)) enum hf_status rig_append(struct rig *rig, uint32_t count,
                                                         uint64_t *end_lsn)
{
    uint64_t delta;
    uint32_t len = rig_encode(rig->next_serial, count, rig->scratch, &delta);
    uint64_t start;
    enum hf_status status = wal_append(rig->wal, rig->scratch, len, count, delta, &start);
    if (status == HF_OK) {
        rig->next_serial += count;
        rig->digest += delta;
        if (end_lsn) {
            *end_lsn = start + len;
        }
    }
    return status;
}

/* Steps until all is durable, or the log is closed. */
static __attribute__((unused)) void rig_settle(struct rig *rig)
{
    unsigned idle = 0;
    while (wal_commit_lsn(rig->wal) < wal_tail_lsn(rig->wal) && wal_state(rig->wal) != WAL_CLOSED) {
        idle = wal_step(rig->wal, true) ? 0 : idle + 1;
        if (idle >= RIG_IDLE_MAX) {
            fail_msg("%llu bytes are never durable",
                     (unsigned long long)(wal_tail_lsn(rig->wal) - wal_commit_lsn(rig->wal)));
        }
    }
    while (wal_step(rig->wal, false)) {
    }
}

/* ---- Waiters that count ---- */

struct rig_waiter {
    struct wal_waiter waiter;
    unsigned told;
    enum hf_status status;
    unsigned order; /* the how-manieth of all that were told */
};

static unsigned rig_told;

static __attribute__((unused)) void rig_done(struct wal_waiter *waiter, enum hf_status status)
{
    struct rig_waiter *counted = (struct rig_waiter *)waiter;
    counted->told++;
    counted->status = status;
    counted->order = ++rig_told;
}

static __attribute__((unused)) void rig_waiter_init(struct rig_waiter *waiter)
{
    *waiter = (struct rig_waiter){.waiter = {.done = rig_done}};
}

#endif
