/* format.h - a checkpoint's bytes: header, frames and records. Private to engine/checkpoint.
 *
 * docs/checkpoint-format.md has the tables. Threads: any; pure functions. */
#ifndef CHECKPOINT_FORMAT_H
#define CHECKPOINT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoint/checkpoint.h"
#include "core/image.h"

#define CHECKPOINT_VERSION  2u  /* as written: marks are of engine time */
#define CHECKPOINT_READ_MIN 1u  /* its marks are of a wall clock that may have been wrong */
#define CHECKPOINT_SEEKS    16u /* parts of the orders, by the highest bits of id_hash() */
#define FRAME_HEADER_BYTES  48u
#define FRAME_BYTES_MAX     MIB(1) /* header, payload and padding */
#define FRAME_PAYLOAD_MAX   (FRAME_BYTES_MAX - FRAME_HEADER_BYTES)

/* Sizes of an order's record: of one plain line, which is the shortest; of any other. */
#define ORDER_RECORD_BYTES     64u
#define ORDER_LINES_AT         72u
#define ORDER_LINE_BYTES       32u
#define ORDER_RECORD_BYTES_MAX (ORDER_LINES_AT + ORDER_LINE_BYTES * ORDER_LINES_MAX)

static_assert(FRAME_PAYLOAD_MAX >= 2 * ORDER_RECORD_BYTES_MAX, "a frame holds the longest orders");

/* All of the first page but the marks, which are in the ledger. */
struct checkpoint_header {
    uint32_t version;            /* as read */
    struct checkpoint_info info; /* without marks */
    uint64_t ledger_offset;      /* in the file: where the frames of the ledger begin */
    uint64_t frames;
    uint64_t frames_hash;                   /* frame_chain() over all frames */
    uint64_t seek_offset[CHECKPOINT_SEEKS]; /* first frame of each part of the orders */
};

/* Writes a page. */
void checkpoint_header_encode(const struct checkpoint_header *header, uint8_t *page);

/* False, with a static reason. */
bool checkpoint_header_decode(struct checkpoint_header *header, const uint8_t *page,
                              const char **reason);

enum frame_kind {
    FRAME_ORDERS = 1,
    FRAME_LEDGER = 2,
};

struct frame_header {
    enum frame_kind kind;
    uint32_t record_count;
    uint32_t payload_bytes;
    uint64_t sequence;   /* from 0 over the whole file */
    uint64_t checkpoint; /* number of the checkpoint that it belongs to */
    uint64_t hash;       /* filled in by encode and decode */
};

/* Writes the header before a payload that is at frame + FRAME_HEADER_BYTES. */
void frame_encode(struct frame_header *header, uint8_t *frame);

/* Reads it. False, with a static reason, when it can't be one; the payload is checked by
 * frame_fault(). */
bool frame_decode(struct frame_header *header, const uint8_t *frame, const char **reason);

/* What is wrong with a whole frame (header, payload, padding): NULL if nothing. */
const char *frame_fault(const struct frame_header *header, const uint8_t *frame);

static inline size_t frame_span(uint32_t payload_bytes)
{
    return (FRAME_HEADER_BYTES + (size_t)payload_bytes + WAL_PAGE_BYTES - 1) / WAL_PAGE_BYTES *
           WAL_PAGE_BYTES;
}

/* Adds a frame to the hash over all of them. */
uint64_t frame_chain(uint64_t chain, uint64_t frame_hash);

/* ---- Records. SKUs and items are the log's records 16 and 17 ---- */

enum checkpoint_record {
    CHECKPOINT_STOCK = 32,
    CHECKPOINT_ADJUSTMENT = 33,
    CHECKPOINT_BUYER = 34,
    CHECKPOINT_TICKET = 35,
    CHECKPOINT_MARK = 36,
    CHECKPOINT_ORDER = 40,       /* one plain line */
    CHECKPOINT_ORDER_LINES = 41, /* any other */
};

#define LEDGER_RECORD_BYTES_MAX 1024u /* its room in a frame: so frames' bounds are fixed */

/* Each writes a record and returns its bytes. */
uint32_t stock_record_encode(uint8_t *to, uint32_t item, int64_t stocked, int64_t settled);
uint32_t adjustment_record_encode(uint8_t *to, const struct adjustment_made *made);
uint32_t buyer_record_encode(uint8_t *to, uint32_t sku, uint64_t buyer, uint32_t units);
uint32_t ticket_record_encode(uint8_t *to, uint32_t item, uint32_t ticket, uint32_t units);
uint32_t mark_record_encode(uint8_t *to, const struct wal_marks *marks, uint32_t i);
uint32_t order_record_bytes(const struct order_image *image);
uint32_t order_record_encode(uint8_t *to, const struct order_image *image);

/* A record's type and length. False: not a record. */
bool checkpoint_record_peek(const uint8_t *from, size_t len, unsigned *type, uint32_t *bytes);

/* The id of an order's record; it has been peeked at, and is at least that long. */
struct id128 order_record_id(const uint8_t *from);

/* Its state; NONE: no order can have the one that the record names. As order_record_id(). */
enum order_state order_record_state(const uint8_t *from);

/* Reads an order's record; lines has room for ORDER_LINES_MAX. False: not one. */
bool order_record_decode(const uint8_t *from, uint32_t bytes, struct order_image *image,
                         struct order_line_view *lines);

/* Applies a ledger's record (the checkpoint's own types) to an inventory, or to marks. OK, FULL,
 * DAMAGED. */
enum hf_status ledger_record_load(const uint8_t *from, uint32_t bytes, struct inventory *inventory,
                                  struct wal_marks *marks);

#endif
