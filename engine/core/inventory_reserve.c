/* inventory_reserve.c - deciding on new orders.
 *
 * Threads: any. The id's shard is locked from the look-up until the entry is made, so of two
 * reserves of one id one wins and the other finds it. Units are taken under that lock, which keeps
 * the order "shard, then stock".
 * Invariant: what was taken is in an entry and an event, or was given back. */
#include "base/check.h"
#include "core/inventory_internal.h"

/* ---- Stock for several lines ---- */

static void heap_sink(uint64_t *keys, uint32_t at, uint32_t count)
{
    uint64_t key = keys[at];
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && keys[child + 1] > keys[child]) {
            child++;
        }
        if (keys[child] <= key) {
            break;
        }
        keys[at] = keys[child];
    }
    keys[at] = key;
}

/* Heapsort: in place, no worst case that a caller could choose. */
static void keys_sort(uint64_t *keys, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;) {
        heap_sink(keys, i, count);
    }
    for (uint32_t end = count; end-- > 1;) {
        uint64_t greatest = keys[0];
        keys[0] = keys[end];
        keys[end] = greatest;
        heap_sink(keys, 0, end);
    }
}

/* Line numbers by item, then by line: key = item << 32 | line. */
static void lines_sort(uint64_t *keys, const struct order_line *lines, uint32_t count)
{
    bool sorted = true;
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = (uint64_t)lines[i].item << 32 | i;
        sorted = sorted && (i == 0 || keys[i - 1] < keys[i]);
    }
    if (!sorted) {
        keys_sort(keys, count);
    }
}

/* The end of the run of one item's keys that begins at `from`, and the sum of its lines. */
static uint32_t run_end(const uint64_t *keys, const struct order_line *lines, uint32_t count,
                        uint32_t from, int64_t *sum)
{
    uint32_t end = from;
    *sum = 0;
    while (end < count && keys[end] >> 32 == keys[from] >> 32) {
        *sum += lines[(uint32_t)keys[end]].qty;
        end++;
    }
    return end;
}

enum hf_status units_take(struct txn *txn, const struct order_line *lines, uint32_t line_count,
                          uint32_t *blocking_line)
{
    struct stock *stock = txn->inventory->stock;
    if (line_count == 1) {
        enum hf_status status = stock_take(stock, txn->slot, lines[0].item, lines[0].qty);
        *blocking_line = status == HF_OK ? 0 : 1;
        return status;
    }
    uint64_t *keys = txn->memory->sort_keys;
    lines_sort(keys, lines, line_count);
    int64_t sum;
    for (uint32_t at = 0, end; at < line_count; at = end) {
        end = run_end(keys, lines, line_count, at, &sum);
        enum hf_status status =
            sum == 0 ? HF_OK : stock_take(stock, txn->slot, (uint32_t)(keys[at] >> 32), sum);
        if (status == HF_OK) {
            continue;
        }
        for (uint32_t i = 0; i < at; i++) {
            const struct order_line *line = &lines[(uint32_t)keys[i]];
            if (line->qty > 0) {
                stock_give(stock, txn->slot, line->item, line->qty);
            }
        }
        while (lines[(uint32_t)keys[at]].qty == 0) {
            at++;
        }
        *blocking_line = (uint32_t)keys[at] + 1;
        return status;
    }
    *blocking_line = 0;
    return HF_OK;
}

void units_give_back(struct txn *txn, const struct order_line *lines, uint32_t line_count)
{
    for (uint32_t i = 0; i < line_count; i++) {
        if (lines[i].qty > 0) {
            stock_give(txn->inventory->stock, txn->slot, lines[i].item, lines[i].qty);
        }
    }
}

/* ---- Rules ---- */

struct hold_rule hold_rule_start(const struct inventory *inventory)
{
    return (struct hold_rule){.hold_ms_max = inventory->options.hold_ms_max};
}

void hold_rule_add(struct hold_rule *hold, const struct inventory *inventory,
                   const struct sale_rule *rule, uint32_t line)
{
    if (rule->hold_ms && (hold->hold_ms == 0 || rule->hold_ms < hold->hold_ms)) {
        hold->hold_ms = rule->hold_ms;
    }
    uint32_t max = rule->hold_ms_max ? rule->hold_ms_max : inventory->options.hold_ms_max;
    /* The first line's maximum stands even when it is greater than the engine's. */
    if (line == 1 || max < hold->hold_ms_max) {
        hold->hold_ms_max = max;
        hold->max_line = rule->hold_ms_max ? line : 0;
    }
}

enum hf_status hold_rule_apply(const struct hold_rule *hold, const struct inventory *inventory,
                               uint32_t asked_ms, uint32_t *hold_ms, struct order_outcome *outcome)
{
    if (asked_ms > hold->hold_ms_max) {
        outcome->status = HF_INVALID;
        outcome->blocking_line = hold->max_line;
        outcome->reason = hold->max_line ? "hold_ms is greater than the SKU allows"
                                         : "hold_ms is greater than the engine allows";
        return HF_INVALID;
    }
    *hold_ms = asked_ms        ? asked_ms
               : hold->hold_ms ? hold->hold_ms
                               : inventory->options.hold_ms_default;
    if (*hold_ms > hold->hold_ms_max) {
        *hold_ms = hold->hold_ms_max; /* a default does not break a rule */
    }
    return HF_OK;
}

static enum hf_status sale_status(const struct sale_rule *rule, uint64_t now_ms,
                                  const char **reason)
{
    if (rule->paused) {
        *reason = "the sale of the SKU is paused";
        return HF_PAUSED;
    }
    if (now_ms < rule->opens_at_ms) {
        *reason = "the sale of the SKU has not opened";
        return HF_NOT_OPEN;
    }
    if (rule->closes_at_ms && now_ms >= rule->closes_at_ms) {
        *reason = "the sale of the SKU has closed";
        return HF_CLOSED;
    }
    return HF_OK;
}

/* All rules of all lines; the first line that breaks one blocks. */
static enum hf_status rules_check(const struct txn *txn, const struct order_request *request,
                                  uint32_t *hold_ms, struct order_outcome *outcome)
{
    const struct inventory *inventory = txn->inventory;
    struct hold_rule hold = hold_rule_start(inventory);
    for (uint32_t i = 0; i < request->line_count; i++) {
        CHECK(inventory_has_item(inventory, request->lines[i].item));
        CHECK(request->lines[i].qty >= 1 && request->lines[i].qty <= QTY_MAX);
        struct sale_rule rule;
        catalog_sale_rule(inventory->catalog, request->lines[i].item, &rule);
        outcome->status = sale_status(&rule, txn->now_ms, &outcome->reason);
        if (outcome->status != HF_OK) {
            outcome->blocking_line = i + 1;
            return outcome->status;
        }
        hold_rule_add(&hold, inventory, &rule, i + 1);
    }
    return hold_rule_apply(&hold, inventory, request->hold_ms, hold_ms, outcome);
}

/* ---- Reserve ---- */

/* The first answer again, if the contents are the same. */
static void reserve_again(const struct order *order, const struct order_request *request,
                          struct order_outcome *outcome)
{
    outcome->state = (enum order_state)order->state;
    bool same = order->buyer == request->buyer && order->line_count == request->line_count;
    for (uint32_t i = 0; same && i < request->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        same = line.item == request->lines[i].item && line.qty == request->lines[i].qty;
    }
    if (!same) {
        outcome->status = HF_ID_CONFLICT;
        outcome->reason = "the order exists with another buyer or other lines";
        return;
    }
    outcome->status = HF_OK;
    outcome->replayed = true;
    outcome->deadline_ms = order->deadline_ms;
}

/* Fills the entry's lines. False: out of memory. */
static bool order_set_lines(struct inventory *inventory, struct order *order, uint32_t handle,
                            const struct order_line *lines, uint32_t line_count)
{
    order->line_count = (uint16_t)line_count;
    if (line_count == 1) {
        order->one = lines[0];
        return true;
    }
    struct order_line_view *block = lines_alloc(inventory->lines, handle, line_count);
    if (!block) {
        return false;
    }
    for (uint32_t i = 0; i < line_count; i++) {
        block[i] = (struct order_line_view){.item = lines[i].item, .qty = lines[i].qty};
    }
    order->lines = block;
    order->flags |= ORDER_BLOCK;
    return true;
}

uint32_t order_enter(struct inventory *inventory, unsigned slot, struct order_shard *shard,
                     uint64_t hash, const struct event *event, const struct order_line *lines)
{
    struct orders *orders = &inventory->orders;
    uint32_t handle = orders_enter(orders, slot, shard, hash, event->id);
    if (handle == ORDER_NO_HANDLE) {
        return handle;
    }
    struct order *order = orders_at(orders, handle);
    order->buyer = event->buyer;
    order->deadline_ms = event->deadline_ms;
    if (!order_set_lines(inventory, order, handle, lines, event->line_count)) {
        orders_remove(orders, slot, shard, hash, handle);
        return ORDER_NO_HANDLE;
    }
    return handle;
}

static void reserve_add_event(struct txn *txn, const struct event *draft, uint32_t handle,
                              const struct order_line *lines)
{
    uint32_t n = draft->line_count;
    struct event *event =
        txn_add(txn, EVENT_ORDER_HELD, handle, n == 1 ? EVENT_HELD_BYTES : EVENT_HELD_LINES(n));
    *event = *draft;
    if (n == 1) {
        event->one = lines[0];
        event->lines = &event->one;
    } else {
        struct order_line *copy = txn_bytes(txn, n * sizeof *copy);
        memcpy(copy, lines, n * sizeof *copy);
        event->lines = copy;
    }
    event->digest_delta =
        transition_held_digest(event->id, event->buyer, event->deadline_ms, lines, n);
}

/* No such order yet: under the shard's lock. */
static void reserve_new(struct txn *txn, const struct order_request *request, uint64_t hash,
                        struct order_shard *shard, struct order_outcome *outcome)
{
    uint32_t hold_ms;
    if (rules_check(txn, request, &hold_ms, outcome) != HF_OK) {
        return;
    }
    outcome->status = units_take(txn, request->lines, request->line_count, &outcome->blocking_line);
    if (outcome->status != HF_OK) {
        return;
    }
    struct event draft = {
        .type = EVENT_ORDER_HELD,
        .id = request->id,
        .buyer = request->buyer,
        .deadline_ms = txn->now_ms + hold_ms,
        .line_count = request->line_count,
    };
    uint32_t handle = order_enter(txn->inventory, txn->slot, shard, hash, &draft, request->lines);
    if (handle == ORDER_NO_HANDLE) {
        units_give_back(txn, request->lines, request->line_count);
        outcome->status = HF_FULL;
        return;
    }
    reserve_add_event(txn, &draft, handle, request->lines);
    outcome->state = ORDER_HELD;
    outcome->deadline_ms = draft.deadline_ms;
}

enum txn_step inventory_reserve(struct txn *txn, const struct order_request *request,
                                struct order_outcome *outcome)
{
    CHECK(request->line_count >= 1 && request->line_count <= ORDER_LINES_MAX);
    *outcome = (struct order_outcome){.status = HF_OK};
    if (!txn_has_room(txn, EVENT_HELD_LINES(request->line_count))) {
        return TXN_AGAIN;
    }
    struct inventory *inventory = txn->inventory;
    uint64_t hash = id_hash(request->id);
    struct order_shard *shard = orders_shard(&inventory->orders, hash);
    enum txn_step step = TXN_DONE;
    spin_lock(&shard->spin);
    uint32_t handle = orders_find(&inventory->orders, shard, hash, request->id);
    if (handle == ORDER_NO_HANDLE) {
        reserve_new(txn, request, hash, shard, outcome);
    } else if (orders_at(&inventory->orders, handle)->flags & ORDER_BUSY) {
        step = TXN_AGAIN;
    } else {
        reserve_again(orders_at(&inventory->orders, handle), request, outcome);
    }
    spin_unlock(&shard->spin);
    return step;
}

void inventory_prefetch(const struct inventory *inventory, unsigned slot, struct id128 id,
                        uint32_t item)
{
    orders_prefetch(&inventory->orders, id_hash(id));
    if (item != 0) {
        catalog_prefetch(inventory->catalog, item);
        stock_prefetch(inventory->stock, slot, item);
    }
}
