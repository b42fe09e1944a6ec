/* item_names.c - names of items, which the log's records call by their handles.
 *
 * They are learned from ITEM_DEFINED records on the way; where the engine has recycled the log's
 * beginning, from a checkpoint. A handle never gets another name, so any checkpoint will do.
 *
 * Threads: one. */
#include "history/item_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "history/replay.h"

/* NULL: no memory. */
static char *copy_bytes(struct arena *arena, struct bytes text)
{
    char *copy = arena_alloc(arena, text.len + 1);
    if (copy) {
        memcpy(copy, text.data, text.len);
        copy[text.len] = '\0';
    }
    return copy;
}

void item_names_init(struct item_names *names)
{
    *names = (struct item_names){0};
    arena_init(&names->arena, SIZE_MAX / 4);
}

void item_names_deinit(struct item_names *names)
{
    free(names->names);
    arena_deinit(&names->arena);
    *names = (struct item_names){0};
}

/* Makes room for the name of an item. False: no memory. */
static bool make_room(struct item_names *names, uint32_t item)
{
    uint32_t count = item * 2 + 64;
    if (item < names->count) {
        return true;
    }
    void *grown = reallocarray(names->names, count, sizeof *names->names);
    if (!grown) {
        return false;
    }
    names->names = grown;
    memset(names->names + names->count, 0, (count - names->count) * sizeof *names->names);
    names->count = count;
    return true;
}

static enum hf_status learn(struct item_names *names, uint32_t item, struct bytes sku,
                            struct bytes pool)
{
    if (item > ITEMS_MAX) {
        return HF_OK; /* no engine makes such a handle; it stays without a name */
    }
    if (!make_room(names, item)) {
        return HF_NO_MEMORY;
    }
    CHECK(item < names->count);
    if (!names->names[item].sku) {
        const char *pool_text = copy_bytes(&names->arena, pool);
        const char *sku_text = pool_text ? copy_bytes(&names->arena, sku) : NULL;
        if (!sku_text) {
            return HF_NO_MEMORY;
        }
        names->names[item].sku = sku_text;
        names->names[item].pool = pool_text;
    }
    return HF_OK;
}

enum hf_status item_names_learn(struct item_names *names, const struct item_def *def)
{
    return learn(names, def->item, def->sku, def->pool);
}

enum hf_status item_names_load(struct item_names *names, struct storage *storage, uint64_t number)
{
    struct inventory_options sizes;
    struct inventory *catalog;
    struct checkpoint_info info;
    enum hf_status status = history_replay_sizes(storage, &sizes);
    sizes.orders_max = 1; /* none are loaded */
    if (status == HF_OK) {
        status = inventory_init(&catalog, &sizes);
    }
    if (status != HF_OK) {
        return status;
    }
    status = checkpoint_load_catalog(storage, number, catalog, &info);
    for (uint32_t item = 1; status == HF_OK && item <= info.items; item++) {
        struct item_view view;
        status = inventory_item(catalog, item, &view);
        if (status == HF_OK) {
            status = learn(names, item, view.sku, view.pool);
        }
    }
    inventory_deinit(catalog);
    return status;
}

enum hf_status item_names_load_newest(struct item_names *names, struct storage *storage)
{
    uint64_t *numbers;
    size_t count;
    enum hf_status status = checkpoint_list(storage, &numbers, &count);
    if (status != HF_OK) {
        return status;
    }
    /* The engine may remove one while this reads them. */
    status = HF_DAMAGED;
    while (count > 0 && (checkpoint_is_lost(status) || status == HF_NOT_FOUND)) {
        status = item_names_load(names, storage, numbers[--count]);
    }
    free(numbers);
    return checkpoint_is_lost(status) || status == HF_NOT_FOUND ? HF_OK : status;
}

const char *item_sku(const struct item_names *names, uint32_t item)
{
    const char *sku = item < names->count ? names->names[item].sku : NULL;
    return sku ? sku : "?";
}

const char *item_pool(const struct item_names *names, uint32_t item)
{
    const char *pool = item < names->count ? names->names[item].pool : NULL;
    return pool ? pool : "?";
}
