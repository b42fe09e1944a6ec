/* inventory_forget.c - forgetting orders that have ended.
 *
 * Forgetting is an event like any other: it is decided under the order's shard lock, which makes
 * the order BUSY; it is logged; and it is published, which takes the entry out of the table. What
 * the order sold stays sold (stock_settle), what it counted towards its buyer's limit stays
 * counted, and its tickets keep their place: all of these belong to units that are still sold.
 *
 * Threads: inventory_forget one at a time.
 * Invariant: an entry is reused only when no wheel has its handle (ORDER_HINTED). */
#include "core/inventory_forget.h"

#include "base/check.h"
#include "base/schedule.h"

struct forgetting {
    struct txn *txn;
    uint64_t before_lsn;
    uint64_t hinted; /* orders that could be forgotten if they had no hint */
    bool full;       /* the transaction is full */
};

static bool order_is_due(const struct order *order, uint64_t before_lsn)
{
    return state_ended((enum order_state)order->state) && order->lsn < before_lsn &&
           !(order->flags & ORDER_BUSY);
}

static bool forget_visit(void *context, struct order_shard *shard, uint32_t handle,
                         struct order *order)
{
    (void)shard;
    struct forgetting *forgetting = context;
    if (!order_is_due(order, forgetting->before_lsn)) {
        return true;
    }
    if (order->flags & ORDER_HINTED) {
        forgetting->hinted++;
        return true;
    }
    if (!txn_has_room(forgetting->txn, EVENT_BYTES)) {
        forgetting->full = true;
        return false;
    }
    struct event *event = txn_add(forgetting->txn, EVENT_ORDER_FORGOTTEN, handle, EVENT_BYTES);
    CHECK(!(order->flags & (ORDER_BUSY | ORDER_HINTED)));
    event->id = order->id;
    event->digest_delta = 0 - order_digest(order);
    SCHEDULE_POINT("forget.busy");
    order->flags |= ORDER_BUSY;
    return true;
}

enum txn_step inventory_forget(struct txn *txn, uint64_t before_lsn, struct order_cursor *cursor,
                               uint32_t look_max, uint64_t *hinted)
{
    CHECK(!txn->publishing);
    struct forgetting forgetting = {.txn = txn, .before_lsn = before_lsn};
    orders_walk(&txn->inventory->orders, cursor, look_max, forget_visit, &forgetting);
    if (hinted) {
        *hinted += forgetting.hinted;
    }
    return forgetting.full ? TXN_AGAIN : TXN_DONE;
}

void forget_settle(struct inventory *inventory, const struct order *order)
{
    CHECK(state_ended((enum order_state)order->state));
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        struct line_units units = line_units((enum order_state)order->state, &line);
        CHECK(units.held == 0); /* it has ended */
        CHECK(units.sold >= 0);
        if (units.sold > 0) {
            stock_settle(inventory->stock, line.item, units.sold);
        }
    }
}

void forget_publish(struct inventory *inventory, unsigned slot, struct order_shard *shard,
                    uint32_t handle)
{
    struct orders *orders = &inventory->orders;
    struct order *order = orders_at(orders, handle);
    CHECK(!(order->flags & ORDER_HINTED));
    forget_settle(inventory, order);
    CHECK(order->line_count >= 1);
    if (order->flags & ORDER_BLOCK) {
        lines_free(inventory->lines, handle, order->lines, order->line_count);
        order->flags &= (uint8_t)~ORDER_BLOCK;
    }
    SCHEDULE_POINT("forget.publish");
    order->state = ORDER_NONE;
    counter_add(&shard->known, (uint64_t)-1);
    orders_remove(orders, slot, shard, id_hash(order->id), handle);
}

enum hf_status forget_apply(const struct replay_lane *lane, struct event *event, uint64_t hash)
{
    struct orders *orders = &lane->inventory->orders;
    struct order_shard *shard = orders_shard(orders, hash);
    uint32_t handle = orders_find(orders, shard, hash, event->id);
    if (handle == ORDER_NO_HANDLE ||
        !state_ended((enum order_state)orders_at(orders, handle)->state)) {
        return HF_DAMAGED;
    }
    event->digest_delta = 0 - order_digest(orders_at(orders, handle));
    forget_publish(lane->inventory, lane->slot, shard, handle);
    return HF_OK;
}
