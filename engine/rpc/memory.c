/* memory.c - memory that connections read into and write from, and its budget. See memory.h. */
#include "rpc/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* ---- The budget ---- */

void budget_init(struct budget *budget, uint64_t max, bool yields)
{
    budget->max = max;
    budget->reserve = max / 8;
    budget->long_max = yields ? max + budget->reserve / 4 * 3 : max;
}

/* relaxed throughout: numbers on which nothing else depends. */

static void budget_press(struct budget *budget)
{
    if (budget->press && !atomic_exchange_explicit(&budget->pressed, true, memory_order_relaxed)) {
        budget->press(budget->context);
    }
}

static void budget_refuse(struct budget *budget, uint64_t bytes)
{
    uint64_t wanted = atomic_load_explicit(&budget->wanted, memory_order_relaxed);
    while (wanted < bytes &&
           !atomic_compare_exchange_weak_explicit(&budget->wanted, &wanted, bytes,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Takes `bytes` up to a limit: one of the budget's two. */
static bool holder_take(struct holder *holder, uint64_t bytes, bool is_long)
{
    struct budget *budget = holder->budget;
    if (!budget) {
        return true;
    }
    uint64_t limit = is_long ? budget->long_max : budget->max + budget->reserve;
    uint64_t after = atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed) + bytes;
    bool taken = budget->max == 0 || after <= limit;
    if (taken) {
        atomic_fetch_add_explicit(&holder->bytes, bytes, memory_order_relaxed);
    } else {
        atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
        budget_refuse(budget, bytes);
    }
    if (budget->max != 0 && after > budget->max) {
        budget_press(budget);
    }
    return taken;
}

static void holder_give(struct holder *holder, uint64_t bytes)
{
    struct budget *budget = holder->budget;
    if (!budget) {
        return;
    }
    uint64_t held = atomic_fetch_sub_explicit(&holder->bytes, bytes, memory_order_relaxed);
    uint64_t used = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    CHECK(held >= bytes); /* what is returned was taken */
    CHECK(used >= bytes);
}

/* ---- Chunks ---- */

struct chunk *chunk_make(size_t size, struct holder *holder)
{
    if (!holder_take(holder, size, size > CHUNK_BYTES_MAX)) {
        return NULL;
    }
    struct chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk) {
        atomic_init(&chunk->refs, 1);
        chunk->size = size;
        chunk->holder = holder;
    } else {
        holder_give(holder, size);
    }
    return chunk;
}

void chunk_get(struct chunk *chunk)
{
    /* relaxed: the caller has a reference. */
    atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed);
}

void chunk_put(struct chunk *chunk)
{
    /* release: all reads of the chunk come before its reuse; acquire: for the thread that frees it.
     */
    if (chunk && atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel) == 1) {
        holder_give(chunk->holder, chunk->size);
        free(chunk);
    }
}

/* ---- Outboxes ---- */

void outbox_free(struct outbox *outbox, struct holder *holder)
{
    free(outbox->bytes);
    holder_give(holder, outbox->room);
    *outbox = (struct outbox){.messages = outbox->messages};
}

bool outbox_reserve(struct outbox *outbox, size_t more, struct holder *holder)
{
    if (outbox->room - outbox->len >= more) {
        return true;
    }
    size_t room = outbox->room * 2 > outbox->len + more ? outbox->room * 2 : outbox->len + more;
    room = room > OUTBOX_BYTES_FIRST ? room : OUTBOX_BYTES_FIRST;
    size_t grown = room - outbox->room;
    if (!holder_take(holder, grown, room > OUTBOX_BYTES_KEPT)) {
        return false;
    }
    uint8_t *bytes = realloc(outbox->bytes, room);
    if (!bytes) {
        holder_give(holder, grown);
        return false;
    }
    outbox->bytes = bytes;
    outbox->room = room;
    CHECK(outbox->room - outbox->len >= more);
    return true;
}

void outbox_add(struct outbox *outbox, const void *data, size_t len)
{
    CHECK(outbox->room - outbox->len >= len); /* outbox_reserve() has made room */
    if (len > 0) {
        memcpy(outbox->bytes + outbox->len, data, len);
        outbox->len += len;
    }
}

void outbox_clear(struct outbox *outbox, struct holder *holder)
{
    outbox->len = 0;
    outbox->messages = 0;
    if (outbox->room > OUTBOX_BYTES_KEPT) {
        outbox_free(outbox, holder);
    }
}
