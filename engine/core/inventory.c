/* inventory.c - init, transactions, reading, counts, digest and verify of the core.
 *
 * Threads: see inventory.h. Reading an order is done under its shard's lock, so that it is seen
 * whole; reading stock, SKUs and items takes no lock. */
#include "core/inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "core/inventory_internal.h"

enum hf_status inventory_init(struct inventory **out, const struct inventory_options *options)
{
    CHECK(options->hold_ms_default >= 1);
    CHECK(options->hold_ms_max >= 1);
    struct inventory *inventory = calloc(1, sizeof *inventory);
    if (!inventory) {
        return HF_NO_MEMORY;
    }
    inventory->options = *options;
    pthread_mutex_init(&inventory->admin, NULL);
    enum hf_status status = stock_init(&inventory->stock, options->items_max);
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
    catalog_deinit(inventory->catalog);
    expiry_deinit(inventory->expiry);
    lines_deinit(inventory->lines);
    orders_deinit(&inventory->orders);
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

enum hf_status inventory_item(const struct inventory *inventory, uint32_t item,
                              struct item_view *view)
{
    if (!inventory_has_item(inventory, item)) {
        return HF_UNKNOWN_ITEM;
    }
    const struct catalog *catalog = inventory->catalog;
    view->item = item;
    view->sku = catalog_sku_code(catalog, catalog_item_sku(catalog, item));
    view->pool = catalog_item_pool(catalog, item);
    view->hot = catalog_item_hot(catalog, item);
    stock_read(inventory->stock, item, &view->stock);
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
        *view = (struct order_view){
            .id = id,
            .state = (enum order_state)order->state,
            .buyer = order->buyer,
            .deadline_ms = order_deadline(order),
            .lsn = order->lsn,
            .line_count = order->line_count,
        };
        for (uint32_t i = 0; i < order->line_count && i < max; i++) {
            lines[i] = transition_line(order, i);
        }
        status = HF_OK;
    }
    spin_unlock(&shard->spin);
    return status;
}

void inventory_counts(const struct inventory *inventory, struct inventory_counts *counts)
{
    *counts = (struct inventory_counts){
        .items = catalog_items(inventory->catalog),
        .skus = catalog_skus(inventory->catalog),
    };
    for (uint32_t i = 0; i < inventory->orders.shard_count; i++) {
        const struct order_shard *shard = &inventory->orders.shards[i];
        counts->orders_known += atomic_load_explicit(&shard->known, memory_order_relaxed);
        counts->orders_held += atomic_load_explicit(&shard->held, memory_order_relaxed);
    }
}

uint64_t inventory_next_deadline_ms(const struct inventory *inventory)
{
    return expiry_next_ms(inventory->expiry);
}

/* ---- Digest ---- */

struct digest_sum {
    uint64_t sum;
};

static void digest_add_order(void *context, uint32_t handle, const struct order *order)
{
    (void)handle;
    struct digest_sum *digest = context;
    if (order->state == ORDER_NONE) {
        return;
    }
    digest->sum += order_digest(order);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        digest->sum += digest_units(line.item, line_units((enum order_state)order->state, &line));
    }
}

uint64_t inventory_digest(struct inventory *inventory)
{
    struct digest_sum digest = {0};
    orders_visit(&inventory->orders, digest_add_order, &digest);
    for (uint32_t sku = 1; sku <= catalog_skus(inventory->catalog); sku++) {
        digest.sum += sku_digest(inventory, sku);
    }
    for (uint32_t item = 1; item <= catalog_items(inventory->catalog); item++) {
        struct stock_view view;
        stock_read(inventory->stock, item, &view);
        digest.sum += item_digest(inventory, item) + digest_stocked(item, view.stocked);
    }
    for (uint64_t i = 0; i < inventory->adjustments.capacity; i++) {
        if (inventory->adjustments.slots[i].used) {
            digest.sum += adjustment_digest(&inventory->adjustments.slots[i]);
        }
    }
    return digest.sum;
}

/* ---- Verify ---- */

struct verify_sums {
    const struct inventory *inventory;
    struct line_units *items; /* by handle */
    uint64_t known;
    uint64_t held;
    const struct order *odd; /* the first with a line that can't be */
};

static void verify_add_order(void *context, uint32_t handle, const struct order *order)
{
    (void)handle;
    struct verify_sums *sums = context;
    if (order->state == ORDER_NONE) {
        return;
    }
    sums->known++;
    sums->held += order->state == ORDER_HELD;
    bool odd = order->flags & ORDER_BUSY || order->state > ORDER_RETURNED;
    for (uint32_t i = 0; i < order->line_count && !odd; i++) {
        struct order_line_view line = transition_line(order, i);
        odd = !inventory_has_item(sums->inventory, line.item) || line.qty == 0 ||
              line.released > line.qty || line.committed > line.qty - line.released ||
              line.returned > line.committed;
        if (!odd) {
            struct line_units units = line_units((enum order_state)order->state, &line);
            sums->items[line.item].held += units.held;
            sums->items[line.item].sold += units.sold;
        }
    }
    if (odd && !sums->odd) {
        sums->odd = order;
    }
}

static bool verify_item(const struct inventory *inventory, uint32_t item, struct line_units units,
                        char *what, uint32_t what_bytes)
{
    struct stock_view view;
    stock_read(inventory->stock, item, &view);
    int64_t available = view.stocked - view.safety - units.held - units.sold + view.presale_cap;
    if (view.held == units.held && view.sold == units.sold && view.available == available) {
        return true;
    }
    snprintf(what, what_bytes,
             "item %" PRIu32 ": held %" PRId64 ", sold %" PRId64 ", available %" PRId64
             " in stock, but its orders make it held %" PRId64 ", sold %" PRId64
             ", available %" PRId64,
             item, view.held, view.sold, view.available, units.held, units.sold, available);
    return false;
}

static bool verify_sums_agree(const struct inventory *inventory, const struct verify_sums *sums,
                              char *what, uint32_t what_bytes)
{
    if (sums->odd) {
        char id[ID_TEXT_BYTES];
        id_to_text(sums->odd->id, id);
        snprintf(what, what_bytes, "order %s: its state or a line of it can't be", id);
        return false;
    }
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    if (counts.orders_known != sums->known || counts.orders_held != sums->held) {
        snprintf(what, what_bytes,
                 "%" PRIu64 " orders, %" PRIu64 " held are counted, but there are %" PRIu64
                 ", %" PRIu64 " held",
                 counts.orders_known, counts.orders_held, sums->known, sums->held);
        return false;
    }
    if (expiry_hints(inventory->expiry) < sums->held) {
        snprintf(what, what_bytes, "%" PRIu64 " orders are held, but fewer deadlines are entered",
                 sums->held);
        return false;
    }
    for (uint32_t item = 1; item <= catalog_items(inventory->catalog); item++) {
        if (!verify_item(inventory, item, sums->items[item], what, what_bytes)) {
            return false;
        }
    }
    return true;
}

bool inventory_verify(struct inventory *inventory, char *what, uint32_t what_bytes)
{
    struct verify_sums sums = {.inventory = inventory};
    sums.items = calloc((size_t)catalog_items(inventory->catalog) + 1, sizeof *sums.items);
    if (!sums.items) {
        snprintf(what, what_bytes, "out of memory");
        return false;
    }
    orders_visit(&inventory->orders, verify_add_order, &sums);
    bool agree = verify_sums_agree(inventory, &sums, what, what_bytes);
    free(sums.items);
    return agree;
}
