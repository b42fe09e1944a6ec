/* txn.c - the memory of a transaction: its events, and the lines and quantities that they point to.
 *
 * Threads: one a transaction. */
#include "core/txn.h"

#include <stdlib.h>

#include "base/check.h"

enum hf_status txn_init(struct txn *txn, struct inventory *inventory, unsigned slot)
{
    CHECK(slot < THREADS_MAX);
    *txn = (struct txn){.inventory = inventory, .slot = slot};
    txn->memory = malloc(sizeof *txn->memory);
    if (!txn->memory) {
        return HF_NO_MEMORY;
    }
    txn->memory->encoded_bytes = 0;
    txn->memory->used_bytes = 0;
    return HF_OK;
}

void txn_deinit(struct txn *txn)
{
    free(txn->memory);
    txn->memory = NULL;
}

struct event *txn_add(struct txn *txn, enum event_type type, uint32_t handle, uint64_t bytes)
{
    struct txn_memory *memory = txn->memory;
    CHECK(txn->event_count < TXN_EVENTS_MAX);
    CHECK(memory->encoded_bytes + bytes <= WAL_APPEND_BYTES_MAX);
    uint32_t i = txn->event_count++;
    memory->encoded_bytes += bytes;
    memory->blocks[i] = NULL;
    txn->changed[i] = handle;
    txn->events[i] = (struct event){.type = type};
    return &txn->events[i];
}

void *txn_bytes(struct txn *txn, uint64_t bytes)
{
    struct txn_memory *memory = txn->memory;
    CHECK(txn->event_count > 0);
    CHECK(memory->used_bytes % 8 == 0);
    void *at = memory->bytes + memory->used_bytes;
    memory->used_bytes += (bytes + 7) & ~7ull;
    CHECK(memory->used_bytes <= memory->encoded_bytes);
    return at;
}
