/* inventory.c - init, transactions, reading and counts of the core.
 *
 * Threads: see inventory.h. Reading an order is done under its shard's lock, so that it is seen
 * whole; reading stock, SKUs and items takes no lock. */
#include "core/inventory.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/schedule.h"
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

/* ---- Transactions ---- */

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
    void *at = memory->bytes + memory->used_bytes;
    memory->used_bytes += (bytes + 7) & ~7ull;
    CHECK(memory->used_bytes <= memory->encoded_bytes);
    return at;
}

/* ---- Reading ---- */

uint32_t inventory_find_item(const struct inventory *inventory, struct bytes sku, struct bytes pool)
{
    uint32_t number = catalog_find_sku(inventory->catalog, sku);
    return number ? catalog_find_item(inventory->catalog, number, pool) : 0;
}

bool inventory_has_item(const struct inventory *inventory, uint32_t item)
{
    return item >= 1 && item <= catalog_items(inventory->catalog);
}

static void item_view_fill(const struct inventory *inventory, uint32_t item, struct item_view *view)
{
    const struct catalog *catalog = inventory->catalog;
    view->item = item;
    view->sku = catalog_sku_code(catalog, catalog_item_sku(catalog, item));
    view->pool = catalog_item_pool(catalog, item);
    view->hot = catalog_item_hot(catalog, item);
    stock_read_promised(inventory->stock, item, &view->stock);
}

void inventory_items(const struct inventory *inventory, const uint32_t *items, uint32_t count,
                     struct item_view *views)
{
    struct reading reading;
    reading_init(&reading);
    do {
        reading_begin(inventory->publication, &reading);
        for (uint32_t i = 0; i < count; i++) {
            item_view_fill(inventory, items[i], &views[i]);
        }
    } while (reading_again(inventory->publication, &reading));
}

enum hf_status inventory_item(const struct inventory *inventory, uint32_t item,
                              struct item_view *view)
{
    if (!inventory_has_item(inventory, item)) {
        return HF_UNKNOWN_ITEM;
    }
    inventory_items(inventory, &item, 1, view);
    return HF_OK;
}

uint32_t inventory_sku_items(const struct inventory *inventory, struct bytes sku, uint32_t *items,
                             uint32_t max)
{
    uint32_t number = catalog_find_sku(inventory->catalog, sku);
    uint32_t count = 0;
    if (number == 0) {
        return 0;
    }
    for (uint32_t item = catalog_next_item(inventory->catalog, number, 0); item != 0;
         item = catalog_next_item(inventory->catalog, number, item)) {
        if (count < max) {
            items[count] = item;
        }
        count++;
    }
    return count;
}

bool inventory_next_sku(struct inventory *inventory, struct bytes after, struct bytes *sku)
{
    uint32_t number = catalog_next_sku(inventory->catalog, after);
    if (number == 0) {
        return false;
    }
    *sku = catalog_sku_code(inventory->catalog, number);
    return true;
}

enum hf_status inventory_sku(const struct inventory *inventory, struct bytes sku,
                             struct sku_rule *rule)
{
    uint32_t number = catalog_find_sku(inventory->catalog, sku);
    if (number == 0) {
        return HF_NOT_FOUND;
    }
    catalog_sku_rule(inventory->catalog, number, rule);
    return HF_OK;
}

void order_view_fill(struct order_view *view, const struct order *order)
{
    *view = (struct order_view){
        .id = order->id,
        .state = (enum order_state)order->state,
        .buyer = order->buyer,
        .deadline_ms = order_deadline(order),
        .lsn = order->lsn,
        .line_count = order->line_count,
    };
}

enum hf_status inventory_order(struct inventory *inventory, struct id128 id,
                               struct order_view *view, struct order_line_view *lines, uint32_t max)
{
    uint64_t hash = id_hash(id);
    struct order_shard *shard = orders_shard(&inventory->orders, hash);
    enum hf_status status = HF_NOT_FOUND;
    spin_lock(&shard->spin);
    uint32_t handle = orders_find(&inventory->orders, shard, hash, id);
    if (handle != ORDER_NO_HANDLE && orders_at(&inventory->orders, handle)->state != ORDER_NONE) {
        const struct order *order = orders_at(&inventory->orders, handle);
        order_view_fill(view, order);
        for (uint32_t i = 0; i < order->line_count && i < max; i++) {
            lines[i] = transition_line(order, i);
        }
        status = HF_OK;
    }
    spin_unlock(&shard->spin);
    return status;
}

uint32_t inventory_covered(struct inventory *inventory, const struct order_line_view *grant,
                           enum order_state state)
{
    struct line_units units = line_units(state, grant);
    int64_t live = units.held + units.sold;
    live = live < grant->presale_qty ? live : grant->presale_qty;
    if (live == 0) {
        return 0;
    }
    struct stock_view view;
    stock_read_promised(inventory->stock, grant->item, &view);
    int64_t missing = view.held + view.sold - (view.stocked - view.safety);
    int64_t behind = (int64_t)presale_behind(inventory->presale, grant->item, grant->ticket);
    int64_t uncovered = missing - behind; /* what later tickets don't account for */
    uncovered = uncovered < 0 ? 0 : uncovered < live ? uncovered : live;
    return (uint32_t)(live - uncovered);
}

enum hf_status inventory_order_covered(struct inventory *inventory, struct id128 id,
                                       struct order_view *view, struct order_line_view *lines,
                                       uint32_t *covered, uint32_t max)
{
    enum hf_status status;
    struct reading reading;
    reading_init(&reading);
    do {
        reading_begin(inventory->publication, &reading);
        status = inventory_order(inventory, id, view, lines, max);
        for (uint32_t i = 0; status == HF_OK && i < view->line_count && i < max; i++) {
            covered[i] = inventory_covered(inventory, &lines[i], view->state);
        }
    } while (reading_again(inventory->publication, &reading));
    return status;
}

uint32_t inventory_buyer_units(struct inventory *inventory, struct bytes sku, uint64_t buyer)
{
    struct sku_rule rule;
    uint32_t number = catalog_find_sku(inventory->catalog, sku);
    if (number == 0 || buyer == 0) {
        return 0;
    }
    catalog_sku_rule(inventory->catalog, number, &rule);
    return rule.limit_per_buyer ? buyers_units(inventory->buyers, number, buyer) : 0;
}

static void counts_fill(const struct inventory *inventory, struct inventory_counts *counts)
{
    *counts = (struct inventory_counts){
        .items = catalog_items(inventory->catalog),
        .skus = catalog_skus(inventory->catalog),
        .buyers = buyers_count(inventory->buyers),
    };
    for (uint32_t i = 0; i < inventory->orders.shard_count; i++) {
        const struct order_shard *shard = &inventory->orders.shards[i];
        SCHEDULE_POINT("counts.shard");
        counts->orders_known += atomic_load_explicit(&shard->known, memory_order_acquire);
        counts->orders_held += atomic_load_explicit(&shard->held, memory_order_acquire);
    }
}

void inventory_counts(const struct inventory *inventory, struct inventory_counts *counts)
{
    struct reading reading;
    reading_init(&reading);
    do {
        reading_begin(inventory->publication, &reading);
        counts_fill(inventory, counts);
    } while (reading_again(inventory->publication, &reading));
    counts->deadlines = expiry_hints(inventory->expiry);
}

uint64_t inventory_next_deadline_ms(const struct inventory *inventory)
{
    return expiry_next_ms(inventory->expiry);
}

/* ---- Memory ---- */

bool inventory_ahead(struct inventory *inventory)
{
    return orders_ahead(&inventory->orders);
}

bool inventory_tidy(struct inventory *inventory)
{
    bool orders = orders_tidy(&inventory->orders);
    return buyers_tidy(inventory->buyers) || orders;
}
