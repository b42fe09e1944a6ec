/* record.h - events as the log's bytes. A one-line reserve takes 48.
 *
 * Threads: any; pure functions. Every record is a multiple of 8 bytes and begins with
 * u8 type, u8 flags, u16 reserved (0), u32 bytes (of the whole record). docs/wal-format.md has the
 * rest. An unknown type, a set reserved bit or a length that does not fit is refused. */
#ifndef WAL_RECORD_H
#define WAL_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "core/event.h"
#include "holdfast/status.h"

/* Bytes that the event's record takes: 8..WAL_RECORD_BYTES_MAX. */
uint32_t record_bytes(const struct event *event);

/* Writes the record; returns its bytes. `to` has room for record_bytes(event). */
uint32_t record_encode(const struct event *event, uint8_t *to);

/* Memory that decoded events point into; reused from record to record. Lines, quantities and grants
 * need none: they are used where they lie in the record. */
struct record_scratch {
    struct sku_rule sku;
    struct item_def item;
    struct stock_change adjust;
    struct stock_move move;
};

/* Reads the record at `from`. OK: *event is filled, its pointers into `from` or `scratch`, and
 * *used is the record's length. DAMAGED: *reason says why (static). */
enum hf_status record_decode(const uint8_t *from, size_t len, struct event *event,
                             struct record_scratch *scratch, size_t *used, const char **reason);

/* What sorting records needs of one, without decoding it: its type, length and, for an order's, its
 * id. False: it can't be a record, and record_decode() says why. True says no more than that there
 * is room for what is returned. */
bool record_peek(const uint8_t *from, size_t len, enum event_type *type, uint32_t *bytes,
                 struct id128 *id);

/* True for the events of orders. */
static inline bool record_is_order(enum event_type type)
{
    return type <= EVENT_ORDER_FORGOTTEN;
}

/* Sizes of orders' records: the shortest, and the longest, which is an ORDER_HELD with grants. */
#define RECORD_GRANTS_AT       56u /* where a record's grants begin */
#define RECORD_GRANT_BYTES     20u
#define RECORD_ORDER_BYTES_MIN 24u
#define RECORD_ORDER_BYTES_MAX                                                                     \
    ((RECORD_GRANTS_AT + RECORD_GRANT_BYTES * (uint64_t)ORDER_LINES_MAX + 7) / 8 * 8)

/* The longest record of any other event: a SKU's, whose texts are the longest. */
#define RECORD_ADMIN_BYTES_MAX (64u + CODE_BYTES_MAX + LABEL_BYTES_MAX)

/* Flags of an ORDER_HELD record. */
#define RECORD_FLAG_GRANTS    8u   /* described by its grants */
#define RECORD_FLAG_MULTILINE 128u /* of two lines or more */

/* Where the id lies in an order's record, and the id. record_peek() has read it. */
static inline uint32_t record_order_id_at(const uint8_t *record)
{
    bool plain = record[0] == EVENT_ORDER_HELD &&
                 !(record[1] & (RECORD_FLAG_GRANTS | RECORD_FLAG_MULTILINE));
    return plain ? 16 : 8;
}

static inline struct id128 record_order_id(const uint8_t *record)
{
    return id_from_bytes(record + record_order_id_at(record));
}

/* The type's name for people, as "ORDER_HELD"; NULL if there is none. */
const char *record_type_name(enum event_type type);

#endif
