/* inventory_verify.c - the digest of the whole state, and whether its parts agree.
 *
 * The units of all orders add up to what stock, limits and tickets count, except for forgotten
 * orders: their sold units are in stock_view.settled, and what they counted towards limits and
 * tickets stays counted, which can't be more than they sold.
 *
 * Threads: one, while nothing else runs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/inventory_admin.h"

#include "base/check.h"
#include "core/pairs.h"

/* ---- Digest ---- */

static void digest_add_order(void *context, uint32_t handle, const struct order *order)
{
    (void)handle;
    uint64_t *sum = context;
    if (order->state == ORDER_NONE) {
        return;
    }
    CHECK(order->line_count >= 1);
    *sum += order_digest(order);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        *sum += digest_units(line.item, line_units((enum order_state)order->state, &line));
    }
}

static void digest_add_buyer(void *context, uint32_t sku, uint64_t buyer, uint32_t units)
{
    uint64_t *sum = context;
    CHECK(units >= 1);
    *sum += digest_buyer(sku, buyer, units);
}

uint64_t inventory_digest(struct inventory *inventory)
{
    uint64_t sum = 0;
    orders_visit(&inventory->orders, digest_add_order, &sum);
    buyers_visit(inventory->buyers, digest_add_buyer, &sum);
    for (uint32_t sku = 1; sku <= catalog_skus(inventory->catalog); sku++) {
        sum += sku_digest(inventory, sku);
    }
    for (uint32_t item = 1; item <= catalog_items(inventory->catalog); item++) {
        struct stock_view view;
        stock_read(inventory->stock, item, &view);
        sum += item_digest(inventory, item) + digest_stocked(item, view.stocked) +
               digest_units(item, (struct line_units){0, view.settled});
    }
    for (uint64_t i = 0; i < inventory->adjustments.capacity; i++) {
        if (inventory->adjustments.slots[i].used) {
            sum += adjustment_digest(&inventory->adjustments.slots[i]);
        }
    }
    return sum;
}

/* ---- Claims: units of orders in limits and tickets ---- */

/* Sorts, and adds up the units of equal keys. */
static void claims_sum(struct pairs *claims)
{
    pairs_sort(claims);
    uint64_t last = 0;
    for (uint64_t i = 1; i < claims->count; i++) {
        if (pair_compare(&claims->at[last], &claims->at[i]) == 0) {
            claims->at[last].units += claims->at[i].units;
        } else {
            claims->at[++last] = claims->at[i];
        }
    }
    CHECK(claims->count == 0 || last < claims->count);
    claims->count = claims->count ? last + 1 : 0;
}

/* Words for the report. */
struct claims_of {
    const char *group; /* "SKU" */
    const char *key;   /* "buyer" */
};

static void claims_report(const struct claims_of *of, const struct pair *claim, uint64_t counted,
                          char *what, uint32_t what_bytes)
{
    snprintf(what, what_bytes,
             "%s %" PRIu32 ", %s %" PRIu64 ": %" PRIu64
             " units are counted, its orders have %" PRIu64,
             of->group, claim->group, of->key, claim->key, counted, claim->units);
}

/* Whether each of the orders' claims is counted, and what is counted beyond them in a group is at
 * most `settled` (by group), which forgotten orders sold. settled is changed. */
static bool claims_agree(struct pairs *orders, struct pairs *counted, uint64_t *settled,
                         const struct claims_of *of, char *what, uint32_t what_bytes)
{
    claims_sum(orders);
    claims_sum(counted);
    uint64_t i = 0;
    for (uint64_t j = 0; j < counted->count; j++) {
        const struct pair *count = &counted->at[j];
        uint64_t have = 0;
        if (i < orders->count) {
            int order = pair_compare(&orders->at[i], count);
            if (order < 0) {
                break; /* claimed, but not counted at all */
            }
            have = order == 0 ? orders->at[i++].units : 0;
        }
        if (count->units < have || count->units - have > settled[count->group]) {
            struct pair claim = {.key = count->key, .group = count->group, .units = have};
            claims_report(of, &claim, count->units, what, what_bytes);
            return false;
        }
        settled[count->group] -= count->units - have;
        CHECK(i <= orders->count);
    }
    if (i < orders->count) {
        claims_report(of, &orders->at[i], 0, what, what_bytes);
        return false;
    }
    return true;
}

/* ---- Verify ---- */

struct verify_sums {
    const struct inventory *inventory;
    struct line_units *items; /* by handle */
    struct pairs buyers;      /* units that orders have in limits */
    struct pairs tickets;     /* and in tickets */
    uint64_t known;
    uint64_t held;
    uint64_t hinted;
    uint64_t held_unhinted;
    const struct order *odd; /* the first order with an impossible line */
};

static bool line_is_odd(const struct inventory *inventory, const struct order *order,
                        const struct order_line_view *line)
{
    return !inventory_has_item(inventory, line->item) || line->qty == 0 ||
           line->released > line->qty || line->committed > line->qty - line->released ||
           line->returned > line->committed || line->presale_qty > line->qty ||
           (line->ticket != 0 && line->presale_qty == 0) || (line->counted && order->buyer == 0);
}

static void verify_add_line(struct verify_sums *sums, const struct order *order,
                            const struct order_line_view *line)
{
    struct line_units units = line_units((enum order_state)order->state, line);
    CHECK(units.held >= 0);
    CHECK(units.sold >= 0);
    sums->items[line->item].held += units.held;
    sums->items[line->item].sold += units.sold;
    uint64_t live = (uint64_t)(units.held + units.sold);
    if (line->counted && live > 0) {
        uint32_t sku = catalog_item_sku(sums->inventory->catalog, line->item);
        pairs_add(&sums->buyers, sku, order->buyer, live);
    }
    uint64_t presold = live < line->presale_qty ? live : line->presale_qty;
    if (line->ticket != 0 && presold > 0) {
        pairs_add(&sums->tickets, line->item, line->ticket, presold);
    }
}

static void verify_add_order(void *context, uint32_t handle, const struct order *order)
{
    (void)handle;
    struct verify_sums *sums = context;
    if (order->state == ORDER_NONE) {
        return;
    }
    bool hinted = order->flags & ORDER_HINTED;
    sums->known++;
    sums->held += order->state == ORDER_HELD;
    sums->hinted += hinted;
    sums->held_unhinted += order->state == ORDER_HELD && !hinted;
    CHECK(sums->held <= sums->known);
    CHECK(sums->hinted <= sums->known);
    bool odd = order->flags & ORDER_BUSY || order->state > ORDER_RETURNED;
    for (uint32_t i = 0; i < order->line_count && !odd; i++) {
        struct order_line_view line = transition_line(order, i);
        odd = line_is_odd(sums->inventory, order, &line);
        if (!odd) {
            verify_add_line(sums, order, &line);
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
    struct stock_view promised;
    stock_read(inventory->stock, item, &view);
    stock_read_promised(inventory->stock, item, &promised);
    units.sold += view.settled;
    int64_t available = view.stocked - view.safety - units.held - units.sold + view.presale_cap;
    if (view.settled >= 0 && view.held == units.held && view.sold == units.sold &&
        view.available == available && promised.held == view.held && promised.sold == view.sold &&
        promised.available == available) {
        return true;
    }
    snprintf(what, what_bytes,
             "item %" PRIu32 ": held %" PRId64 ", sold %" PRId64 ", available %" PRId64
             " in stock, but its orders, and %" PRId64 " units that forgotten ones sold, make it "
             "held %" PRId64 ", sold %" PRId64 ", available %" PRId64,
             item, view.held, view.sold, view.available, view.settled, units.held, units.sold,
             available);
    return false;
}

static bool verify_orders(const struct inventory *inventory, const struct verify_sums *sums,
                          char *what, uint32_t what_bytes)
{
    if (sums->odd) {
        char id[ID_TEXT_BYTES];
        id_to_text(sums->odd->id, id);
        snprintf(what, what_bytes, "order %s: its state or one of its lines is impossible", id);
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
    /* Before inventory_replayed() there are no hints at all. */
    uint64_t hints = expiry_hints(inventory->expiry);
    if (hints != sums->hinted || (hints > 0 && sums->held_unhinted > 0)) {
        snprintf(what, what_bytes,
                 "%" PRIu64 " deadlines are entered, %" PRIu64 " orders say theirs is, %" PRIu64
                 " held orders have none",
                 hints, sums->hinted, sums->held_unhinted);
        return false;
    }
    for (uint32_t item = 1; item <= catalog_items(inventory->catalog); item++) {
        if (!verify_item(inventory, item, sums->items[item], what, what_bytes)) {
            return false;
        }
    }
    return true;
}

/* Compares what limits and tickets count with what orders have. */
static bool verify_claims(struct inventory *inventory, struct verify_sums *sums, uint64_t *by_sku,
                          uint64_t *by_item, char *what, uint32_t what_bytes)
{
    struct pairs buyers = {0};
    struct pairs tickets = {0};
    buyers_visit(inventory->buyers, pairs_add_buyer, &buyers);
    for (uint32_t item = 1; item <= catalog_items(inventory->catalog); item++) {
        struct stock_view view;
        stock_read(inventory->stock, item, &view);
        by_sku[catalog_item_sku(inventory->catalog, item)] += (uint64_t)view.settled;
        by_item[item] = (uint64_t)view.settled;
        tickets.group = item;
        presale_visit(inventory->presale, item, pairs_add_ticket, &tickets);
    }
    bool no_memory =
        buyers.no_memory || tickets.no_memory || sums->buyers.no_memory || sums->tickets.no_memory;
    if (no_memory) {
        snprintf(what, what_bytes, "out of memory");
    }
    const struct claims_of of_buyers = {"SKU", "buyer"};
    const struct claims_of of_tickets = {"item", "pre-sale ticket"};
    bool agree = !no_memory &&
                 claims_agree(&sums->buyers, &buyers, by_sku, &of_buyers, what, what_bytes) &&
                 claims_agree(&sums->tickets, &tickets, by_item, &of_tickets, what, what_bytes);
    pairs_deinit(&buyers);
    pairs_deinit(&tickets);
    return agree;
}

bool inventory_verify(struct inventory *inventory, char *what, uint32_t what_bytes)
{
    struct verify_sums sums = {.inventory = inventory};
    size_t items = (size_t)catalog_items(inventory->catalog) + 1;
    uint64_t *by_sku = calloc((size_t)catalog_skus(inventory->catalog) + 1, sizeof *by_sku);
    uint64_t *by_item = calloc(items, sizeof *by_item);
    sums.items = calloc(items, sizeof *sums.items);
    bool agree = false;
    if (!sums.items || !by_sku || !by_item) {
        snprintf(what, what_bytes, "out of memory");
    } else {
        orders_visit(&inventory->orders, verify_add_order, &sums);
        agree = verify_orders(inventory, &sums, what, what_bytes) &&
                verify_claims(inventory, &sums, by_sku, by_item, what, what_bytes);
    }
    free(sums.items);
    pairs_deinit(&sums.buyers);
    pairs_deinit(&sums.tickets);
    free(by_sku);
    free(by_item);
    return agree;
}
