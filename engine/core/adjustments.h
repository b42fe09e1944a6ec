/* adjustments.h - the ids of adjustments that were made, so that a retry changes nothing.
 *
 * What is kept of an adjustment is what its record in the log holds, so that replay finds the
 * same: the item, the change, the stock afterwards, and a hash of its texts. A move between items
 * is kept as an adjustment of the item that it took from; its hash tells where it went. All are
 * kept for good: there are few, beside orders.
 *
 * Threads: one at a time (the inventory's admin lock). Grows by the allocator. */
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
    uint64_t texts;  /* hash of reason and reference; of a move: with where it went */
    uint32_t item;
    bool used; /* the table's own: the slot holds one */
};

/* All zero is an empty table. */
struct adjustments {
    struct adjustment_made *slots;
    uint64_t capacity; /* 0 or a power of two */
    uint64_t count;
};

void adjustments_deinit(struct adjustments *adjustments);

/* What was made under an id; NULL if nothing was. Valid until the next adjustments_make_room. */
const struct adjustment_made *adjustments_find(const struct adjustments *adjustments,
                                               struct id128 id);

/* Makes sure that the next adjustments_add has room. False: out of memory. */
bool adjustments_make_room(struct adjustments *adjustments);

/* Adds one whose id is not there, after adjustments_make_room. */
void adjustments_add(struct adjustments *adjustments, const struct adjustment_made *made);

/* The hash of an adjustment's texts. */
uint64_t adjustment_texts(struct bytes reason, struct bytes reference);

/* The same of a move to an item (from 1): never what adjustment_texts gives, but by an unlikely
 * chance. */
uint64_t adjustment_move_texts(struct bytes reason, struct bytes reference, uint32_t to);

/* What it adds to the digest. */
uint64_t adjustment_digest(const struct adjustment_made *made);

#endif
