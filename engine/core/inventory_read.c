/* inventory_read.c - reading: items and SKUs, orders one by one and by a filter, counts.
 *
 * Threads: any. An order is read under its shard's lock, so that it is seen whole; stock, SKUs and
 * items are read without a lock. A read of several of them is done between publications
 * (publication.h), so that it returns the state at one LSN. */
#include "base/check.h"
#include "base/schedule.h"
#include "core/inventory_internal.h"

/* ---- Items and SKUs ---- */

uint32_t inventory_find_item(const struct inventory *inventory, struct bytes sku, struct bytes pool)
{
    uint32_t number = catalog_find_sku(inventory->catalog, sku);
    return number ? catalog_find_item(inventory->catalog, number, pool) : 0;
}

static void item_view_fill(const struct inventory *inventory, uint32_t item, struct item_view *view)
{
    const struct catalog *catalog = inventory->catalog;
    CHECK(inventory_has_item(inventory, item));
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
        CHECK(count <= inventory->options.items_max); /* if items were chained in a ring, the loop
                                                         would not end */
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

/* ---- One order ---- */

static void order_view_fill(struct order_view *view, const struct order *order)
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
    int64_t uncovered = missing - behind; /* missing units beyond those of later tickets */
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

/* ---- Orders by a filter ---- */

struct listing {
    const struct order_filter *filter;
    bool items_sorted; /* the filter's items are sorted, as the items of one SKU are */
    struct order_view *views;
    uint32_t max;
    uint32_t count;
};

static bool items_are_sorted(const struct order_filter *filter)
{
    for (uint32_t i = 1; filter->items && i < filter->item_count; i++) {
        if (filter->items[i - 1] > filter->items[i]) {
            return false;
        }
    }
    return true;
}

static bool listing_has_item(const struct listing *listing, uint32_t item)
{
    const uint32_t *items = listing->filter->items;
    uint32_t low = 0;
    uint32_t high = listing->filter->item_count;
    if (!listing->items_sorted) {
        while (low < high && items[low] != item) {
            low++;
        }
        return low < high;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (items[middle] < item) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < listing->filter->item_count && items[low] == item;
}

static bool listing_lets_through(const struct listing *listing, const struct order *order)
{
    const struct order_filter *filter = listing->filter;
    if ((filter->buyer && order->buyer != filter->buyer) ||
        (filter->states && !(filter->states & 1u << order->state))) {
        return false;
    }
    if (!filter->items) {
        return true;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (listing_has_item(listing, transition_line(order, i).item)) {
            return true;
        }
    }
    return false;
}

static bool listing_visit(void *context, struct order_shard *shard, uint32_t handle,
                          struct order *order)
{
    (void)shard;
    (void)handle;
    struct listing *listing = context;
    if (!listing_lets_through(listing, order)) {
        return true;
    }
    if (listing->count == listing->max) {
        return false;
    }
    CHECK(listing->count < listing->max);
    CHECK(order->state != ORDER_NONE);
    order_view_fill(&listing->views[listing->count++], order);
    return true;
}

uint32_t inventory_list_orders(struct inventory *inventory, const struct order_filter *filter,
                               struct order_cursor *cursor, struct order_view *views, uint32_t max,
                               uint32_t look_max)
{
    struct listing listing = {
        .filter = filter,
        .items_sorted = items_are_sorted(filter),
        .views = views,
        .max = max,
    };
    orders_walk(&inventory->orders, cursor, look_max, listing_visit, &listing);
    CHECK(listing.count <= max);
    return listing.count;
}

/* ---- Buyers and counts ---- */

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
