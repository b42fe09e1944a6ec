/* small_log.h - a log of real events in small segments, made by hand from docs/wal-format.md, and
 * the state that it leads to. Included by one file of each test program.
 *
 * Threads: one. */
#ifndef UNIT_SMALL_LOG_H
#define UNIT_SMALL_LOG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "core/inventory.h"
#include "lib/sim_storage.h"
#include "wal/format.h"
#include "wal/record.h"

#define SMALL_PAGES         6u /* of a segment: its header and five blocks */
#define SMALL_SEGMENT_BYTES (SMALL_PAGES * WAL_PAGE_BYTES)
#define SMALL_MS            1794355200000ull /* 2026-11-11 */
#define SMALL_BLOCKS        9u
#define SMALL_RECORDS       10u

struct small_log {
    struct storage *storage;
    struct inventory *inventory;
    uint64_t digest;
    uint64_t segment;
    uint64_t offset;
    uint64_t index; /* of the last block */
    uint64_t lsn;
    uint64_t previous_hash;
    uint8_t payload[2048]; /* of the block in the making */
    uint32_t bytes;
    uint32_t records;
};

static const struct id128 small_cluster = {0x1234, 0x5678};

/* Whether blocks have engine time: a second behind wall time. */
static bool small_timed;

static uint8_t *small_file(struct storage *storage, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    snprintf(name, sizeof name, "wal-%016llx.seg", (unsigned long long)number);
    return sim_storage_data(storage, name, &size);
}

static void small_segment(struct small_log *log)
{
    char name[STORAGE_NAME_BYTES_MAX];
    log->segment++;
    snprintf(name, sizeof name, "wal-%016llx.seg", (unsigned long long)log->segment);
    assert_int_equal(log->storage->ops->create_zeroed(log->storage, name, SMALL_SEGMENT_BYTES),
                     HF_OK);
    struct segment_header header = {.cluster = small_cluster,
                                    .number = log->segment,
                                    .first_lsn = log->lsn,
                                    .first_index = log->index + 1,
                                    .previous_hash = log->previous_hash,
                                    .durable_index = log->index,
                                    .segment_bytes = SMALL_SEGMENT_BYTES};
    segment_header_encode(&header, small_file(log->storage, log->segment));
    log->offset = WAL_PAGE_BYTES;
}

/* Adds an event to the block in the making, and to the state. */
static void small_event(struct small_log *log, struct event event)
{
    if (event.type == EVENT_ORDER_HELD && !event.lines) {
        event.lines = &event.one;
    }
    log->bytes += record_encode(&event, log->payload + log->bytes);
    log->records++;
    event.lsn = log->lsn + log->bytes;
    assert_int_equal(inventory_apply(log->inventory, &event), HF_OK);
    log->digest += event.digest_delta;
}

/* Ends the block. */
static void small_block(struct small_log *log, enum block_type type)
{
    if (type == BLOCK_DIGEST) {
        store_u64(log->payload, log->lsn);
        store_u64(log->payload + 8, log->digest);
        log->bytes = 16;
    }
    uint8_t *at = small_file(log->storage, log->segment) + log->offset;
    log->index++;
    struct block_header header = {.type = type,
                                  .cluster = small_cluster,
                                  .term = 1,
                                  .index = log->index,
                                  .previous_hash = log->previous_hash,
                                  .durable_index = log->index - 1,
                                  .first_lsn = log->lsn,
                                  .record_count = log->records,
                                  .payload_bytes = log->bytes,
                                  .wall_ms = SMALL_MS + log->index * 1000,
                                  .payload_hash = hash_bytes(log->payload, log->bytes),
                                  .segment = log->segment};
    if (small_timed) {
        header.engine_ms = header.wall_ms - 1000;
        header.boot_ms = log->index * 1000;
        header.boot = 0xB007;
    }
    block_header_encode(&header, at);
    memcpy(at + BLOCK_HEADER_BYTES, log->payload, log->bytes);
    log->previous_hash = block_chain(at);
    log->offset += WAL_PAGE_BYTES;
    log->lsn += log->bytes;
    log->bytes = 0;
    log->records = 0;
}

static struct event small_held(uint64_t order, uint32_t qty)
{
    struct event event = {.type = EVENT_ORDER_HELD,
                          .id = {1, order},
                          .buyer = 70 + order,
                          .deadline_ms = SMALL_MS + 900000,
                          .line_count = 1,
                          .one = {1, qty}};
    return event;
}

static struct event small_edit(enum event_type type, uint64_t order)
{
    return (struct event){.type = type, .id = {1, order}};
}

/* Segment 1: blocks 1 to 5, with orders 1 to 4; segment 2: blocks 6 to 9. */
static void small_log_make(struct small_log *log)
{
    static const struct inventory_options sizes = {
        .items_max = 8, .orders_max = 64, .hold_ms_default = 1000, .hold_ms_max = 900000};
    *log = (struct small_log){.storage = sim_storage_make(1)};
    assert_int_equal(inventory_init(&log->inventory, &sizes), HF_OK);
    const struct item_def item = {
        .item = 1, .sku = bytes_of("phone"), .pool = bytes_of("default"), .safety = 1};
    const struct stock_change stocked = {.item = 1, .delta = 100, .stocked = 100};
    small_segment(log);
    small_block(log, BLOCK_EPOCH);
    small_event(log, (struct event){.type = EVENT_ITEM_DEFINED, .item = &item});
    small_event(log,
                (struct event){.type = EVENT_STOCK_ADJUSTED, .id = {2, 1}, .adjust = &stocked});
    small_block(log, BLOCK_DATA);
    small_event(log, small_held(1, 1));
    small_event(log, small_held(2, 2));
    small_block(log, BLOCK_DATA);
    small_event(log, small_edit(EVENT_ORDER_COMMITTED, 1));
    small_event(log, small_held(3, 3));
    small_block(log, BLOCK_DATA);
    small_event(log, small_held(4, 4));
    small_block(log, BLOCK_DATA);
    small_segment(log);
    small_event(log, small_edit(EVENT_ORDER_RELEASED, 2));
    small_block(log, BLOCK_DATA);
    small_block(log, BLOCK_DIGEST);
    small_event(log, small_edit(EVENT_ORDER_COMMITTED, 4));
    small_event(log, small_held(5, 5));
    small_block(log, BLOCK_DATA);
    small_block(log, BLOCK_NOOP);
    assert_int_equal(log->index, SMALL_BLOCKS);
}

static void small_log_free(struct small_log *log)
{
    inventory_deinit(log->inventory);
    storage_destroy(log->storage);
}

/* Where a block begins, of those that small_log_make makes. */
static __attribute__((unused)) uint8_t *small_block_at(struct storage *storage, uint64_t index)
{
    uint64_t segment = (index - 1) / (SMALL_PAGES - 1) + 1;
    uint64_t page = (index - 1) % (SMALL_PAGES - 1) + 1;
    return small_file(storage, segment) + page * WAL_PAGE_BYTES;
}

#endif
