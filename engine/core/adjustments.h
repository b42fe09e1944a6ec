/* adjustments.h - the ids of adjustments that were made, so that a retry changes nothing.
 *
 * Of an adjustment the table keeps what its record in the log holds, so that replay results in the
 * same: the item, the change, the stock afterwards, and a hash of its texts. A move between items
 * is kept as an adjustment of the item that it took from; its hash includes the item that it went
 * to. All are kept for good: they are few compared with orders.
 *
 * Threads: one at a time (the inventory's admin lock). Its memory is from calloc, and grows with
 * the table. */
#ifndef CORE_ADJUSTMENTS_H
#define CORE_ADJUSTMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "core/event.h"

struct adjustment_made {
    struct id128 id;
    int64_t delta;
    int64_t stocked; /* afterwards */
    uint64_t texts;  /* hash of reason and reference; of a move: also of the item it went to */
    uint32_t item;
    bool used; /* private to the table: the slot holds an adjustment */
};

/* All zero is an empty table. */
struct adjustments {
    struct adjustment_made *slots;
    uint64_t capacity; /* 0 or a power of two */
    uint64_t count;
};

void adjustments_deinit(struct adjustments *adjustments);

/* The adjustment that was made under an id; NULL: none. Valid until the next adjustments_make_room.
 */
const struct adjustment_made *adjustments_find(const struct adjustments *adjustments,
                                               struct id128 id);

/* Makes sure that the next adjustments_add has room. False: out of memory. */
bool adjustments_make_room(struct adjustments *adjustments);

/* Adds an adjustment whose id is not in the table, after adjustments_make_room. */
void adjustments_add(struct adjustments *adjustments, const struct adjustment_made *made);

/* The hash of an adjustment's texts. */
uint64_t adjustment_texts(struct bytes reason, struct bytes reference);

/* The same for a move to an item (from 1). It differs from what adjustment_texts returns, except by
 * an unlikely chance. */
uint64_t adjustment_move_texts(struct bytes reason, struct bytes reference, uint32_t to);

/* What the adjustment adds to the digest. */
uint64_t adjustment_digest(const struct adjustment_made *made);

#endif
