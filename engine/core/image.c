/* image.c - the core's state without its log: orders in hand as images, loading, and reading a
 * ledger.
 *
 * Threads: one, before anything else runs; orders may be loaded by several lanes (replay.h).
 * Invariant: an image that is loaded is one that events could have made. A checkpoint's bytes come
 * from a disk, so all of an image is checked. */
#include "core/image.h"
#include "base/check.h"

#include <stdlib.h>

#include "core/inventory_admin.h"
#include "core/pairs.h"
#include "core/replay.h"
#include "core/replay_lane.h"

/* ---- Orders in hand ---- */

void order_hand_image(struct order_hand *hand, struct order_image *image)
{
    const struct order *order = &hand->order;
    CHECK(order->state != ORDER_NONE);
    CHECK(!(order->flags & ORDER_BUSY));
    CHECK(order->line_count >= 1 && order->line_count <= ORDER_LINES_MAX);
    bool block = order->flags & ORDER_BLOCK;
    bool shaped = order->flags & ORDER_SHAPED;
    if (!block) {
        hand->lines[0] = transition_line(order, 0);
    }
    *image = (struct order_image){
        .id = order->id,
        .buyer = order->buyer,
        .lsn = order->lsn,
        .deadline_ms = order->deadline_ms,
        .contents = shaped ? order->contents : 0,
        .extended_ms = order->extended_ms,
        .state = (enum order_state)order->state,
        .shaped = shaped,
        .block = block,
        .counted = order->flags & ORDER_COUNTED,
        .line_count = order->line_count,
        .lines = hand->lines,
    };
}

/* ---- Whether an image is possible ---- */

static bool line_fits_state(const struct order_line_view *line, enum order_state state)
{
    switch (state) {
    case ORDER_HELD:
    case ORDER_EXPIRED:
        return line->released <= line->qty && line->committed == 0 && line->returned == 0;
    case ORDER_RELEASED:
        return line->released == line->qty && line->committed == 0 && line->returned == 0;
    case ORDER_COMMITTED:
    case ORDER_RETURNED:
        /* Engines before this one wrote qty - committed as released. */
        return line->committed <= line->qty && line->released <= line->qty - line->committed &&
               (state == ORDER_RETURNED ? line->returned == line->committed
                                        : line->returned <= line->committed);
    default:
        return false;
    }
}

/* A plain line was neither pre-sold nor split; one of several was not counted either. A shaped
 * order has its grants in the order of the lines that were asked. */
static bool line_fits_shape(const struct order_image *image, uint32_t i)
{
    CHECK(i < image->line_count);
    const struct order_line_view *line = &image->lines[i];
    if (line->counted && image->buyer == 0) {
        return false;
    }
    if (!image->shaped) {
        return line->presale_qty == 0 && line->ticket == 0 &&
               (!line->counted || image->line_count == 1);
    }
    return line->presale_qty <= line->qty && (line->ticket != 0) == (line->presale_qty != 0) &&
           line->line >= (i > 0 ? image->lines[i - 1].line : 1) &&
           line->line <= (uint16_t)image->contents;
}

static bool line_fits(const struct inventory *inventory, const struct order_line_view *line)
{
    return inventory_has_item(inventory, line->item) && line->qty >= 1 && line->qty <= QTY_MAX;
}

/* Whether the lines of a block are possible in the order's state. */
static bool block_fits(const struct inventory *inventory, const struct order_image *image)
{
    uint64_t qty = 0;
    uint64_t released = 0;
    uint64_t committed = 0;
    uint64_t returned = 0;
    for (uint32_t i = 0; i < image->line_count; i++) {
        const struct order_line_view *line = &image->lines[i];
        if (!line_fits(inventory, line) || !line_fits_state(line, image->state) ||
            !line_fits_shape(image, i)) {
            return false;
        }
        qty += line->qty;
        released += line->released;
        committed += line->committed;
        returned += line->returned;
    }
    /* Some units are left, unless all of them were returned. */
    switch (image->state) {
    case ORDER_COMMITTED:
        return returned < committed;
    case ORDER_RETURNED:
        return committed > 0;
    case ORDER_RELEASED:
        return true;
    default:
        return released < qty;
    }
}

static bool image_fits(const struct inventory *inventory, const struct order_image *image)
{
    if (image->state < ORDER_HELD || image->state > ORDER_RETURNED || image->line_count < 1 ||
        image->line_count > ORDER_LINES_MAX || (image->shaped && !image->block) ||
        (!image->shaped && image->contents != 0) ||
        (image->contents & UINT16_MAX) > ORDER_LINES_MAX || /* lines that were asked */
        image->extended_ms > UINT64_MAX - image->deadline_ms) {
        return false;
    }
    if (image->block) {
        return !image->counted && block_fits(inventory, image);
    }
    return image->line_count == 1 && line_fits(inventory, &image->lines[0]) &&
           (!image->counted || image->buyer != 0);
}

/* Fills an order from an image that fits. block: memory for its lines, if it has a block. */
static void order_fill(struct order *order, const struct order_image *image,
                       struct order_line_view *block)
{
    *order = (struct order){
        .id = image->id,
        .buyer = image->buyer,
        .lsn = image->lsn,
        .deadline_ms = image->deadline_ms,
        .extended_ms = image->extended_ms,
        .line_count = (uint16_t)image->line_count,
        .state = (uint8_t)image->state,
    };
    CHECK(image->line_count >= 1 && image->line_count <= ORDER_LINES_MAX);
    if (image->block) {
        CHECK(block != NULL);
        if (block != image->lines) {
            memcpy(block, image->lines, image->line_count * sizeof *block);
        }
        order->lines = block;
        order->flags = (uint8_t)(ORDER_BLOCK | (image->shaped ? ORDER_SHAPED : 0));
    } else {
        order->one = (struct order_line){image->lines[0].item, image->lines[0].qty};
        order->flags = image->counted ? ORDER_COUNTED : 0;
    }
    if (image->shaped) {
        order->contents = image->contents;
    }
}

enum hf_status order_hand_load(struct inventory *inventory, struct order_hand *hand,
                               const struct order_image *image)
{
    if (!image_fits(inventory, image)) {
        return HF_DAMAGED;
    }
    order_fill(&hand->order, image, hand->lines);
    return HF_OK;
}

/* ---- Loading ---- */

enum hf_status inventory_load_stock(struct inventory *inventory, uint32_t item, int64_t stocked,
                                    int64_t settled)
{
    if (!inventory_has_item(inventory, item) || stocked < 0 || stocked > STOCK_MAX || settled < 0 ||
        settled > 2 * STOCK_MAX) { /* with a presale_cap of STOCK_MAX, too */
        return HF_DAMAGED;
    }
    struct stock *stock = inventory->stock;
    struct stock_view view;
    stock_read(stock, item, &view);
    if (view.stocked != 0 || view.sold != 0) {
        return HF_DAMAGED;
    }
    if (stocked > 0) {
        stock_restock(stock, 0, item, stocked);
    }
    if (settled > 0) {
        units_change(stock, 0, item, settled, settled);
        stock_settle(stock, item, settled);
    }
    return HF_OK;
}

enum hf_status inventory_load_adjustment(struct inventory *inventory,
                                         const struct adjustment_made *made)
{
    if (!inventory_has_item(inventory, made->item) || made->delta < -STOCK_MAX ||
        made->delta > STOCK_MAX || made->stocked < 0 || made->stocked > STOCK_MAX ||
        adjustments_find(&inventory->adjustments, made->id)) {
        return HF_DAMAGED;
    }
    if (!adjustments_make_room(&inventory->adjustments)) {
        return HF_FULL;
    }
    adjustments_add(&inventory->adjustments, made);
    return HF_OK;
}

enum hf_status inventory_load_buyer(struct inventory *inventory, uint32_t sku, uint64_t buyer,
                                    uint32_t units)
{
    if (sku < 1 || sku > catalog_skus(inventory->catalog) || buyer == 0 || units == 0 ||
        buyers_units(inventory->buyers, sku, buyer) != 0) {
        return HF_DAMAGED;
    }
    return buyers_force(inventory->buyers, sku, buyer, units);
}

enum hf_status inventory_load_ticket(struct inventory *inventory, uint32_t item, uint32_t ticket,
                                     uint32_t units)
{
    if (!inventory_has_item(inventory, item) || units > QTY_MAX ||
        ticket <= presale_last(inventory->presale, item)) {
        return HF_DAMAGED;
    }
    return presale_change(inventory->presale, item, ticket, units) ? HF_OK : HF_FULL;
}

bool inventory_claims_begin(struct inventory *inventory)
{
    inventory->claiming = true;
    return buyers_claims_begin(inventory->buyers) &&
           presale_claims_begin(inventory->presale, catalog_items(inventory->catalog));
}

void inventory_claims_end(struct inventory *inventory)
{
    inventory->claiming = false;
    buyers_claims_end(inventory->buyers);
    presale_claims_end(inventory->presale, catalog_items(inventory->catalog));
}

/* Whether the ledger counts the order's units in limits and tickets. */
static bool order_claims(struct inventory *inventory, const struct order *order)
{
    if (!inventory->claiming || !(order->flags & (ORDER_COUNTED | ORDER_BLOCK))) {
        return true;
    }
    bool counted = true;
    for (uint32_t i = 0; i < order->line_count && counted; i++) {
        struct order_line_view line = transition_line(order, i);
        uint32_t live = (uint32_t)line_live((enum order_state)order->state, &line);
        CHECK(live <= line.qty); /* image_fits */
        uint32_t presold = live < line.presale_qty ? live : line.presale_qty;
        counted = (!line.counted || live == 0 ||
                   buyers_claim(inventory->buyers, catalog_item_sku(inventory->catalog, line.item),
                                order->buyer, live)) &&
                  (line.ticket == 0 ||
                   presale_claim(inventory->presale, line.item, line.ticket, presold));
    }
    return counted;
}

/* Takes and sells an order's units in stock. */
static void order_load_units(const struct replay_lane *lane, const struct order *order)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        struct line_units units = line_units((enum order_state)order->state, &line);
        CHECK(units.held >= 0);
        CHECK(units.sold >= 0);
        replay_units(lane, line.item, units.held + units.sold, units.sold);
    }
}

enum hf_status image_load_order(struct replay_lane *lane, const struct order_image *image,
                                uint64_t hash)
{
    struct inventory *inventory = lane->inventory;
    if (!image_fits(inventory, image)) {
        return HF_DAMAGED;
    }
    struct orders *orders = &inventory->orders;
    struct order_shard *shard = orders_shard(orders, hash);
    if (orders_find(orders, shard, hash, image->id) != ORDER_NO_HANDLE) {
        return HF_DAMAGED;
    }
    uint32_t handle = orders_enter(orders, lane->slot, shard, hash, image->id);
    if (handle == ORDER_NO_HANDLE) {
        return HF_FULL;
    }
    struct order_line_view *block = NULL;
    if (image->block) {
        block = lines_alloc(inventory->lines, handle, image->line_count);
        if (!block) {
            orders_remove(orders, lane->slot, shard, hash, handle);
            return HF_FULL;
        }
    }
    struct order *order = orders_at(orders, handle);
    CHECK(order->state == ORDER_NONE);
    order_fill(order, image, block);
    CHECK(order->state != ORDER_NONE);
    CHECK(id_equal(order->id, image->id));
    if (!order_claims(inventory, order)) {
        return HF_CONFLICT;
    }
    order_load_units(lane, order);
    counter_add(&shard->known, 1);
    counter_add(&shard->held, order->state == ORDER_HELD);
    return HF_OK;
}

enum hf_status inventory_load_order(struct inventory *inventory, const struct order_image *image)
{
    return image_load_order(&(struct replay_lane){.inventory = inventory}, image,
                            id_hash(image->id));
}

/* ---- Reading a ledger out ---- */

static bool visit_definitions(struct inventory *inventory, const struct ledger_visitor *visitor)
{
    for (uint32_t sku = 1; sku <= catalog_skus(inventory->catalog); sku++) {
        struct sku_rule rule;
        catalog_sku_rule(inventory->catalog, sku, &rule);
        if (!visitor->sku(visitor->context, &rule)) {
            return false;
        }
    }
    for (uint32_t item = 1; item <= catalog_items(inventory->catalog); item++) {
        struct item_def def = item_def_of(inventory, item);
        struct stock_view view;
        stock_read(inventory->stock, item, &view);
        CHECK(view.stocked >= 0);
        CHECK(view.settled >= 0);
        if (!visitor->item(visitor->context, &def, view.stocked, view.settled)) {
            return false;
        }
    }
    return true;
}

static int compare_made(const void *a, const void *b)
{
    struct id128 x = (*(const struct adjustment_made *const *)a)->id;
    struct id128 y = (*(const struct adjustment_made *const *)b)->id;
    int order = (x.hi > y.hi) - (x.hi < y.hi);
    return order ? order : (x.lo > y.lo) - (x.lo < y.lo);
}

static bool visit_adjustments(const struct adjustments *adjustments,
                              const struct ledger_visitor *visitor)
{
    const struct adjustment_made **sorted =
        malloc((adjustments->count + 1) * sizeof *sorted); /* never 0 bytes */
    if (!sorted) {
        return false;
    }
    uint64_t count = 0;
    for (uint64_t i = 0; i < adjustments->capacity; i++) {
        if (adjustments->slots[i].used) {
            sorted[count++] = &adjustments->slots[i];
        }
    }
    CHECK(count == adjustments->count);
    qsort(sorted, count, sizeof *sorted, compare_made);
    bool going = true;
    for (uint64_t i = 0; going && i < count; i++) {
        going = visitor->adjustment(visitor->context, sorted[i]);
    }
    free(sorted);
    return going;
}

static bool visit_buyers(struct inventory *inventory, const struct ledger_visitor *visitor)
{
    struct pairs pairs = {0};
    buyers_visit(inventory->buyers, pairs_add_buyer, &pairs);
    pairs_sort(&pairs);
    bool going = !pairs.no_memory;
    for (uint64_t i = 0; going && i < pairs.count; i++) {
        const struct pair *pair = &pairs.at[i];
        CHECK(pair->units >= 1 && pair->units <= UINT32_MAX);
        going = visitor->buyer(visitor->context, pair->group, pair->key, (uint32_t)pair->units);
    }
    pairs_deinit(&pairs);
    return going;
}

/* Visits one item's tickets; the last one that was drawn also when it has no units. */
static bool visit_item_tickets(struct inventory *inventory, uint32_t item, struct pairs *pairs,
                               const struct ledger_visitor *visitor)
{
    uint32_t last = presale_last(inventory->presale, item);
    pairs->count = 0;
    pairs->group = item;
    presale_visit(inventory->presale, item, pairs_add_ticket, pairs);
    pairs_sort(pairs);
    if (last != 0 && (pairs->count == 0 || pairs->at[pairs->count - 1].key != last)) {
        pairs_add(pairs, item, last, 0);
    }
    bool going = !pairs->no_memory;
    for (uint64_t i = 0; going && i < pairs->count; i++) {
        const struct pair *pair = &pairs->at[i];
        CHECK(pair->key >= 1 && pair->key <= last);
        going = visitor->ticket(visitor->context, item, (uint32_t)pair->key, (uint32_t)pair->units);
    }
    return going;
}

static bool visit_tickets(struct inventory *inventory, const struct ledger_visitor *visitor)
{
    struct pairs pairs = {0};
    bool going = true;
    for (uint32_t item = 1; going && item <= catalog_items(inventory->catalog); item++) {
        going = visit_item_tickets(inventory, item, &pairs, visitor);
    }
    pairs_deinit(&pairs);
    return going;
}

bool inventory_visit_ledger(struct inventory *inventory, const struct ledger_visitor *visitor)
{
    return visit_definitions(inventory, visitor) &&
           visit_adjustments(&inventory->adjustments, visitor) &&
           visit_buyers(inventory, visitor) && visit_tickets(inventory, visitor);
}
