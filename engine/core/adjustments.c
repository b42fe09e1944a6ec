/* adjustments.c - an open-addressed table of the adjustments that were made.
 *
 * Threads: one at a time. Invariant: at most half full; nothing is ever removed. */
#include "core/adjustments.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

void adjustments_deinit(struct adjustments *adjustments)
{
    free(adjustments->slots);
    *adjustments = (struct adjustments){0};
}

static struct adjustment_made *slot_for(const struct adjustments *adjustments, struct id128 id)
{
    CHECK((adjustments->capacity & (adjustments->capacity - 1)) == 0);
    CHECK(adjustments->count < adjustments->capacity);
    uint64_t at = id_hash(id) & (adjustments->capacity - 1);
    while (adjustments->slots[at].used && !id_equal(adjustments->slots[at].id, id)) {
        at = (at + 1) & (adjustments->capacity - 1);
    }
    return &adjustments->slots[at];
}

const struct adjustment_made *adjustments_find(const struct adjustments *adjustments,
                                               struct id128 id)
{
    if (adjustments->capacity == 0) {
        return NULL;
    }
    const struct adjustment_made *slot = slot_for(adjustments, id);
    return slot->used ? slot : NULL;
}

bool adjustments_make_room(struct adjustments *adjustments)
{
    if ((adjustments->count + 1) * 2 <= adjustments->capacity) {
        return true;
    }
    struct adjustments grown = {.capacity = adjustments->capacity ? adjustments->capacity * 2 : 64};
    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (!grown.slots) {
        return false;
    }
    for (uint64_t i = 0; i < adjustments->capacity; i++) {
        if (adjustments->slots[i].used) {
            adjustments_add(&grown, &adjustments->slots[i]);
        }
    }
    CHECK(grown.count == adjustments->count);
    free(adjustments->slots);
    *adjustments = grown;
    return true;
}

void adjustments_add(struct adjustments *adjustments, const struct adjustment_made *made)
{
    CHECK((adjustments->count + 1) * 2 <= adjustments->capacity);
    struct adjustment_made *slot = slot_for(adjustments, made->id);
    CHECK(!slot->used);
    *slot = *made;
    slot->used = true;
    adjustments->count++;
    CHECK(adjustments_find(adjustments, made->id) == slot);
}

uint64_t adjustment_texts(struct bytes reason, struct bytes reference)
{
    return hash_u64(hash_bytes(reason.data, reason.len)) +
           hash_bytes(reference.data, reference.len);
}

uint64_t adjustment_move_texts(struct bytes reason, struct bytes reference, uint32_t to)
{
    return hash_u64(adjustment_texts(reason, reference) + to * 0x9E3779B97F4A7C15ull);
}

uint64_t adjustment_digest(const struct adjustment_made *made)
{
    CHECK(made->item != 0);
    uint64_t h = hash_u64(id_hash(made->id) + made->item);
    h = hash_u64(h + (uint64_t)made->delta);
    h = hash_u64(h + (uint64_t)made->stocked);
    return hash_u64(h + made->texts);
}
