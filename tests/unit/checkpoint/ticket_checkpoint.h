/* ticket_checkpoint.h - a checkpoint of one item and a queue of pre-sale tickets far apart: what is
 * left of a long pre-sale whose orders are forgotten and whose units were mostly returned.
 *
 * Threads: one. */
#ifndef UNIT_TICKET_CHECKPOINT_H
#define UNIT_TICKET_CHECKPOINT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/file.h"
#include "core/presale.h"
#include "lib/sim_storage.h"
#include "wal/record.h"

/* More than tools keep as room for what a running engine adds. */
#define TICKETS             6000u
#define TICKETS_CHECKPOINT  1u
#define TICKETS_RECORD_MOST 512u

static uint8_t *tickets_room(struct frame_writer *writer)
{
    enum hf_status status;
    uint8_t *to = frame_writer_room(writer, FRAME_LEDGER, TICKETS_RECORD_MOST, &status);
    assert_non_null(to);
    return to;
}

/* Each ticket in a chunk of its own. Free with storage_destroy. */
static struct storage *ticket_checkpoint_make(void)
{
    struct storage *storage = sim_storage_make(1);
    struct frame_writer writer;
    assert_int_equal(frame_writer_open(&writer, storage, TICKETS_CHECKPOINT), HF_OK);
    struct checkpoint_header *header = &writer.header;
    header->info.start = (struct wal_start){
        .cluster = {11, 12}, .segment = 2, .lsn = 5000, .next_index = 50, .term = 1};
    header->info.skus = 1;
    header->info.items = 1;
    header->ledger_offset = writer.offset;
    for (unsigned i = 0; i < CHECKPOINT_SEEKS; i++) {
        header->seek_offset[i] = writer.offset;
    }
    const struct sku_rule sku = {.sku = bytes_of("phone")};
    const struct item_def item = {.item = 1,
                                  .sku = bytes_of("phone"),
                                  .pool = bytes_of("presale"),
                                  .presale_cap = 2 * TICKETS};
    frame_writer_added(&writer,
                       record_encode(&(struct event){.type = EVENT_SKU_DEFINED, .sku = &sku},
                                     tickets_room(&writer)));
    frame_writer_added(&writer,
                       record_encode(&(struct event){.type = EVENT_ITEM_DEFINED, .item = &item},
                                     tickets_room(&writer)));
    frame_writer_added(&writer, stock_record_encode(tickets_room(&writer), 1, 0, TICKETS));
    for (uint32_t i = 0; i < TICKETS; i++) {
        uint32_t ticket = i * PRESALE_CHUNK_TICKETS + 1;
        frame_writer_added(&writer, ticket_record_encode(tickets_room(&writer), 1, ticket, 1));
    }
    assert_int_equal(frame_writer_finish(&writer), HF_OK);
    return storage;
}

#endif
