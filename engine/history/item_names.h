/* item_names.h - names of items, which the log's records call by their handles.
 *
 * Threads: one. */
#ifndef HISTORY_ITEM_NAMES_H
#define HISTORY_ITEM_NAMES_H

#include "base/arena.h"
#include "core/event.h"
#include "io/storage.h"

struct item_names {
    struct arena arena;
    uint32_t count; /* handles below it may have a name */
    struct {
        const char *sku;
        const char *pool;
    } * names; /* by handle; sku NULL: not defined yet */
};

void item_names_init(struct item_names *names);
void item_names_deinit(struct item_names *names);

/* Learns an ITEM_DEFINED record's. OK, NO_MEMORY. */
enum hf_status item_names_learn(struct item_names *names, const struct item_def *def);

/* Learns all items of a checkpoint. As checkpoint_load. */
enum hf_status item_names_load(struct item_names *names, struct storage *storage, uint64_t number);

/* Learns those of the newest checkpoint that is whole; OK if there is no checkpoint. */
enum hf_status item_names_load_newest(struct item_names *names, struct storage *storage);

/* "?" when unknown. */
const char *item_sku(const struct item_names *names, uint32_t item);
const char *item_pool(const struct item_names *names, uint32_t item);

#endif
