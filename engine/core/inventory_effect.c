/* inventory_effect.c - what an event does to limits, tickets and the digest.
 *
 * Threads: any; the order under its shard's lock, or its lane's alone (replay_lane.h). */
#include "core/inventory_effect.h"
#include "base/check.h"

enum hf_status counts_change(struct inventory *inventory, uint64_t buyer,
                             const struct order_line_view *line, struct line_counts counts)
{
    CHECK(counts.counted == 0 || buyer != 0);
    CHECK(counts.presale == 0 || line->ticket != 0);
    uint32_t sku = counts.counted ? catalog_item_sku(inventory->catalog, line->item) : 0;
    if (counts.counted > 0) {
        enum hf_status status =
            buyers_force(inventory->buyers, sku, buyer, (uint32_t)counts.counted);
        if (status != HF_OK) {
            return status;
        }
    } else if (counts.counted < 0 &&
               !buyers_try_give(inventory->buyers, sku, buyer, (uint32_t)-counts.counted)) {
        return HF_DAMAGED;
    }
    bool room = counts.presale == 0 ||
                presale_change(inventory->presale, line->item, line->ticket, counts.presale);
    if (!room && counts.counted > 0) {
        buyers_give(inventory->buyers, sku, buyer, (uint32_t)counts.counted);
    } else if (!room && counts.counted < 0) {
        CHECK(buyers_force(inventory->buyers, sku, buyer, (uint32_t)-counts.counted) == HF_OK);
    }
    return room ? HF_OK : counts.presale > 0 ? HF_FULL : HF_DAMAGED;
}

struct line_counts counts_again(const struct order_line_view *line)
{
    int64_t qty = (int64_t)line->qty - line->released;
    CHECK(qty >= 0);
    int64_t presale = line->presale_qty;
    return (struct line_counts){line->counted ? qty : 0, presale < qty ? presale : qty};
}

uint64_t held_digest(const struct inventory *inventory, const struct event *event)
{
    uint64_t digest = transition_held_digest(event);
    if (!event->grants && !(event->flags & EVENT_COUNTED)) {
        return digest;
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        struct order_line_view line = transition_held_line(event, i);
        if (line.counted) {
            digest += digest_buyer(catalog_item_sku(inventory->catalog, line.item), event->buyer,
                                   line.qty);
        }
    }
    return digest;
}

uint64_t edit_digest(const struct inventory *inventory, const struct order *order,
                     const struct event *event)
{
    uint64_t digest = transition_digest(order, event);
    for (uint32_t i = 0; counts_matter(order) && i < order->line_count; i++) {
        int64_t counted = transition_counts(order, event, i).counted;
        if (counted != 0) {
            uint32_t item = transition_line(order, i).item;
            digest +=
                digest_buyer(catalog_item_sku(inventory->catalog, item), order->buyer, counted);
        }
    }
    return digest;
}
