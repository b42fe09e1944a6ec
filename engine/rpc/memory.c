/* memory.c - memory that connections read into and write from, and its budget. See memory.h. */
#include "rpc/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* ---- The budget ---- */

static bool budget_take(struct budget *budget, uint64_t bytes)
{
    /* relaxed: a number on which nothing else depends. */
    uint64_t before = atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    if (budget->max == 0 || before + bytes <= budget->max) {
        return true;
    }
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    return false;
}

static void budget_give(struct budget *budget, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    CHECK(before >= bytes); /* what is returned was taken */
}

/* ---- Chunks ---- */

struct chunk *chunk_make(size_t size, struct budget *budget)
{
    budget = size > CHUNK_BYTES_MAX ? budget : NULL;
    if (budget && !budget_take(budget, size)) {
        return NULL;
    }
    struct chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk) {
        atomic_init(&chunk->refs, 1);
        chunk->size = size;
        chunk->budget = budget;
    } else if (budget) {
        budget_give(budget, size);
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
        if (chunk->budget) {
            budget_give(chunk->budget, chunk->size);
        }
        free(chunk);
    }
}

/* ---- Outboxes ---- */

void outbox_free(struct outbox *outbox, struct budget *budget)
{
    free(outbox->bytes);
    if (budget) {
        budget_give(budget, outbox->budgeted);
    }
    *outbox = (struct outbox){.messages = outbox->messages};
}

bool outbox_reserve(struct outbox *outbox, size_t more, struct budget *budget)
{
    if (outbox->room - outbox->len >= more) {
        return true;
    }
    size_t room = outbox->room * 2 > outbox->len + more ? outbox->room * 2 : outbox->len + more;
    room = room > 1024 ? room : 1024;
    size_t budgeted = budget && room > OUTBOX_BYTES_KEPT ? room - outbox->budgeted : 0;
    if (budgeted > 0 && !budget_take(budget, budgeted)) {
        return false;
    }
    uint8_t *bytes = realloc(outbox->bytes, room);
    if (!bytes) {
        if (budgeted > 0) {
            budget_give(budget, budgeted);
        }
        return false;
    }
    outbox->bytes = bytes;
    outbox->room = room;
    outbox->budgeted += budgeted;
    CHECK(outbox->room - outbox->len >= more);
    CHECK(outbox->budgeted <= outbox->room);
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

void outbox_clear(struct outbox *outbox, struct budget *budget)
{
    outbox->len = 0;
    outbox->messages = 0;
    if (outbox->room > OUTBOX_BYTES_KEPT) {
        outbox_free(outbox, budget);
    }
}
