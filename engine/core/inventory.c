/* inventory.c - init of the core, entering orders in its table, and taking memory before it is
 * needed.
 *
 * Threads: see inventory.h. */
#include "core/inventory.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "core/inventory_internal.h"

static enum hf_status parts_init(struct inventory *inventory)
{
    const struct inventory_options *options = &inventory->options;
    enum hf_status status = stock_init(&inventory->stock, options->items_max);
    if (status == HF_OK) {
        status = publication_init(&inventory->publication);
    }
    if (status == HF_OK) {
        status = orders_init(&inventory->orders, options->orders_max);
    }
    if (status == HF_OK) {
        orders_make_ready(&inventory->orders, options->orders_ready);
        status = lines_init(&inventory->lines);
    }
    if (status == HF_OK) {
        status = expiry_init(&inventory->expiry, options->orders_max);
    }
    if (status == HF_OK) {
        status = catalog_init(&inventory->catalog, options->items_max);
    }
    if (status == HF_OK) {
        status = buyers_init(&inventory->buyers, options->buyers_max);
    }
    if (status == HF_OK) {
        status = presale_init(&inventory->presale, options->items_max, options->tickets_max);
    }
    return status;
}

enum hf_status inventory_init(struct inventory **out, const struct inventory_options *options)
{
    CHECK(options->hold_ms_default >= 1);
    CHECK(options->hold_ms_max >= 1);
    struct inventory *inventory = calloc(1, sizeof *inventory);
    if (!inventory) {
        return HF_NO_MEMORY;
    }
    inventory->options = *options;
    CHECK(options->items_max >= 1);
    CHECK(options->orders_max >= 1);
    if (inventory->options.buyers_max == 0) {
        inventory->options.buyers_max = options->orders_max;
    }
    if (inventory->options.tickets_max == 0) {
        inventory->options.tickets_max = options->orders_max;
    }
    snprintf(inventory->hold_max_reason, sizeof inventory->hold_max_reason,
             "hold_ms is greater than the engine allows: %u at most", options->hold_ms_max);
    snprintf(inventory->orders_max_reason, sizeof inventory->orders_max_reason,
             "orders-max (%llu) is reached", (unsigned long long)options->orders_max);
    snprintf(inventory->buyers_max_reason, sizeof inventory->buyers_max_reason,
             "buyers-max (%llu) is reached", (unsigned long long)inventory->options.buyers_max);
    pthread_mutex_init(&inventory->admin, NULL);
    enum hf_status status = parts_init(inventory);
    if (status != HF_OK) {
        inventory_deinit(inventory);
        return status;
    }
    *out = inventory;
    return HF_OK;
}

void inventory_deinit(struct inventory *inventory)
{
    if (!inventory) {
        return;
    }
    adjustments_deinit(&inventory->adjustments);
    presale_deinit(inventory->presale);
    buyers_deinit(inventory->buyers);
    catalog_deinit(inventory->catalog);
    expiry_deinit(inventory->expiry);
    lines_deinit(inventory->lines);
    orders_deinit(&inventory->orders);
    publication_deinit(inventory->publication);
    stock_deinit(inventory->stock);
    pthread_mutex_destroy(&inventory->admin);
    free(inventory);
}

bool inventory_has_item(const struct inventory *inventory, uint32_t item)
{
    return item >= 1 && item <= catalog_items(inventory->catalog);
}

uint32_t order_enter(struct inventory *inventory, unsigned slot, struct order_shard *shard,
                     uint64_t hash, const struct event *event)
{
    struct orders *orders = &inventory->orders;
    uint32_t handle = orders_enter(orders, slot, shard, hash, event->id);
    if (handle == ORDER_NO_HANDLE) {
        return handle;
    }
    struct order_line_view *block = NULL;
    if (transition_enters_block(event)) {
        block = lines_alloc(inventory->lines, handle, event->line_count);
        if (!block) {
            orders_remove(orders, slot, shard, hash, handle);
            return ORDER_NO_HANDLE;
        }
    }
    CHECK(orders_at(orders, handle)->flags & ORDER_BUSY);
    transition_enter(orders_at(orders, handle), event, block);
    return handle;
}

/* ---- Memory ---- */

bool inventory_prefault(struct inventory *inventory)
{
    return orders_prefault(&inventory->orders);
}

bool inventory_tidy(struct inventory *inventory)
{
    bool orders = orders_tidy(&inventory->orders);
    return buyers_tidy(inventory->buyers) || orders;
}
