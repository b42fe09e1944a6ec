/* inventory_reserve.c - deciding on new orders.
 *
 * Threads: any. The id's shard is locked from the look-up until the entry is made, so of two
 * reserves of one id one wins and the other finds it. Units are taken under that lock, which keeps
 * the order "shard, then stock".
 * Invariant: units that were taken are in an entry and an event, or were credited again. */
#include "base/check.h"
#include "base/schedule.h"
#include "core/inventory_effect.h"
#include "core/inventory_grant.h"
#include "core/inventory_rules.h"
#include "core/inventory_units.h"

/* ---- Rules ---- */

/* What the rules mean for an order whose lines are all plain. */
struct plain_rules {
    uint32_t hold_ms;
    uint32_t sku;   /* the last line's */
    uint32_t limit; /* the last line's; 0: none */
    bool limited;   /* some line's SKU is limited */
    bool presale;   /* some line's item may be pre-sold */
};

/* Checks all rules of all lines except limits. The blocking line is the first that breaks a rule.
 */
static enum hf_status rules_check(const struct txn *txn, const struct order_request *request,
                                  struct plain_rules *rules, struct order_outcome *outcome)
{
    const struct inventory *inventory = txn->inventory;
    struct hold_rule hold = hold_rule_start(inventory);
    *rules = (struct plain_rules){0};
    for (uint32_t i = 0; i < request->line_count; i++) {
        CHECK(inventory_has_item(inventory, request->lines[i].item));
        CHECK(request->lines[i].qty >= 1 && request->lines[i].qty <= QTY_MAX);
        struct sale_rule rule;
        catalog_sale_rule(inventory->catalog, request->lines[i].item, &rule);
        outcome->status = sale_status(&rule, txn, request->buyer, &outcome->reason);
        if (outcome->status != HF_OK) {
            outcome->blocking_line = i + 1;
            return outcome->status;
        }
        hold_rule_add(&hold, inventory, &rule, i + 1);
        rules->sku = rule.sku;
        rules->limit = rule.limit_per_buyer;
        rules->limited |= rule.limit_per_buyer != 0;
        rules->presale |= rule.presale;
    }
    return hold_rule_apply(&hold, inventory, request->hold_ms, &rules->hold_ms, outcome);
}

/* ---- Reserve ---- */

/* Whether a plain order's lines are those of a request. */
static bool lines_same(const struct order *order, const struct order_request *request)
{
    CHECK(!(order->flags & ORDER_SHAPED));
    bool same = order->line_count == request->line_count && !shapes_matter(request);
    for (uint32_t i = 0; same && i < request->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        same = line.item == request->lines[i].item && line.qty == request->lines[i].qty;
    }
    return same;
}

static void outcome_grants(struct order_outcome *outcome, const struct order_request *request,
                           const struct order_grant *grants, uint32_t grant_count)
{
    CHECK(grant_count <= ORDER_LINES_MAX);
    if (grant_count > 0 && !grants_simple(request, grants, grant_count)) {
        outcome->grants = grants;
        outcome->grant_count = grant_count;
    }
}

/* Whether the order was made by an equal request. An order that has more grants than the request
 * can get was made by another request, even if the hashes are equal: they have 48 bits, and a
 * client can find two requests with one hash. The code after this relies on grants_max. */
static bool contents_same(const struct order *order, const struct order_request *request)
{
    if (!(order->flags & ORDER_SHAPED)) {
        return lines_same(order, request);
    }
    return order->contents == order_contents(request) && order->line_count <= grants_max(request);
}

/* The units that an order has now, as grants. */
static uint32_t grants_now(const struct order *order, struct order_grant *grants)
{
    CHECK(order->line_count <= ORDER_LINES_MAX);
    uint32_t count = 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        uint32_t qty = (uint32_t)line_live((enum order_state)order->state, &line);
        if (qty > 0) {
            grants[count++] =
                (struct order_grant){.item = line.item,
                                     .qty = qty,
                                     .presale_qty = line.presale_qty < qty ? line.presale_qty : qty,
                                     .ticket = line.ticket,
                                     .line = line.line,
                                     .counted = line.counted};
        }
    }
    return count;
}

/* Answers a repeated request: the first answer's status, if the contents are the same, and the
 * order as it is now. The answer must not contain units that the order has lost since. */
static void reserve_again(struct txn *txn, const struct order *order,
                          const struct order_request *request, struct order_outcome *outcome)
{
    CHECK(!(order->flags & ORDER_BUSY));
    CHECK(order->state != ORDER_NONE);
    CHECK(id_equal(order->id, request->id));
    outcome->state = (enum order_state)order->state;
    if (order->buyer != request->buyer || !contents_same(order, request)) {
        outcome->status = HF_ID_CONFLICT;
        outcome->reason = "the order exists with another buyer or other lines";
        return;
    }
    outcome->status = HF_OK;
    outcome->replayed = true;
    outcome->deadline_ms = order_deadline(order);
    /* Most orders have one whole line, and no block. */
    if (order->flags & ORDER_BLOCK) {
        uint32_t count = grants_now(order, txn->memory->grants);
        outcome_grants(outcome, request, txn->memory->grants, count);
    }
}

static void reserve_add_event(struct txn *txn, const struct event *draft, uint32_t handle)
{
    uint32_t n = draft->line_count;
    struct event *event = txn_add(txn, EVENT_ORDER_HELD, handle, event_bytes_max(draft));
    *event = *draft;
    if (draft->grants) {
        struct order_grant *copy = txn_bytes(txn, n * sizeof *copy);
        memcpy(copy, draft->grants, n * sizeof *copy);
        event->grants = copy;
    } else if (n == 1) {
        event->lines = &event->one;
    } else {
        struct order_line *copy = txn_bytes(txn, n * sizeof *copy);
        memcpy(copy, draft->lines, n * sizeof *copy);
        event->lines = copy;
    }
    event->digest_delta = held_digest(txn->inventory, event);
}

/* Enters the order, whose units were taken before, and adds its event. False: the outcome is FULL,
 * nothing is changed. */
static bool reserve_enter(struct txn *txn, uint64_t hash, struct order_shard *shard,
                          const struct event *draft, struct order_outcome *outcome)
{
    uint32_t handle = order_enter(txn->inventory, txn->slot, shard, hash, draft);
    if (handle == ORDER_NO_HANDLE) {
        outcome->status = HF_FULL;
        outcome->reason = txn->inventory->orders_max_reason;
        return false;
    }
    reserve_add_event(txn, draft, handle);
    outcome->state = ORDER_HELD;
    outcome->deadline_ms = draft->deadline_ms;
    return true;
}

static struct event reserve_draft(const struct txn *txn, const struct order_request *request,
                                  uint32_t hold_ms)
{
    return (struct event){
        .type = EVENT_ORDER_HELD,
        .id = request->id,
        .buyer = request->buyer,
        .deadline_ms = txn->now_ms + hold_ms,
        .line_count = request->line_count,
        .one = request->lines[0],
        .lines = request->lines,
    };
}

/* How long the order may be held, by the rules of the SKUs of which it got units. */
static enum hf_status grants_hold(const struct txn *txn, const struct order_request *request,
                                  uint32_t grant_count, uint32_t *hold_ms,
                                  struct order_outcome *outcome)
{
    CHECK(grant_count <= ORDER_LINES_MAX);
    struct hold_rule hold = hold_rule_start(txn->inventory);
    for (uint32_t i = 0; i < grant_count; i++) {
        struct sale_rule rule;
        catalog_sale_rule(txn->inventory->catalog, txn->memory->grants[i].item, &rule);
        hold_rule_add(&hold, txn->inventory, &rule, txn->memory->grants[i].line);
    }
    return hold_rule_apply(&hold, txn->inventory, request->hold_ms, hold_ms, outcome);
}

/* Whether the order got less than it asked for although it named further items. */
static bool short_of_several(const struct order_request *request, const struct order_grant *grants,
                             uint32_t count, enum hf_status status)
{
    bool several = false;
    int64_t missing = 0;
    for (uint32_t i = 0; request->shapes && i < request->line_count; i++) {
        several = several || request->shapes[i].fallback_count > 0;
        missing += request->lines[i].qty;
    }
    for (uint32_t i = 0; i < count; i++) {
        missing -= grants[i].qty;
    }
    return several && (status == HF_SOLD_OUT || missing > 0);
}

/* As grants_take. TXN_AGAIN, with nothing taken, when too few units were found while a move was
 * taking units from one pool to another: such units are in neither pool, although they were for
 * sale all the time. */
static enum txn_step grants_take_settled(struct txn *txn, const struct order_request *request,
                                         uint32_t *count, struct order_outcome *outcome)
{
    struct inventory *inventory = txn->inventory;
    /* acquire, both: they pair with move_begin and move_done. A move that ended before the first
     * load has its units in their new pool; a move that began before a scan saw its debit is seen
     * by the second load. */
    SCHEDULE_POINT("reserve.moves_done");
    uint64_t done = atomic_load_explicit(&inventory->moves_done, memory_order_acquire);
    enum hf_status status = grants_take(txn, request, count, outcome);
    SCHEDULE_POINT("reserve.moves_begun");
    if (!short_of_several(request, txn->memory->grants, *count, status) ||
        atomic_load_explicit(&inventory->moves_begun, memory_order_acquire) == done) {
        return TXN_DONE;
    }
    grants_give_back(txn, request->buyer, txn->memory->grants, *count);
    *outcome = (struct order_outcome){.status = HF_OK};
    return TXN_AGAIN;
}

/* Makes a new order that is described by its grants, unless they turn out to be those of a plain
 * order. */
static enum txn_step reserve_shaped(struct txn *txn, const struct order_request *request,
                                    uint64_t hash, struct order_shard *shard,
                                    struct order_outcome *outcome)
{
    if (!txn_has_room(txn, EVENT_HELD_GRANTS((uint64_t)grants_max(request)))) {
        return TXN_AGAIN;
    }
    struct order_grant *grants = txn->memory->grants;
    uint32_t count;
    if (grants_take_settled(txn, request, &count, outcome) == TXN_AGAIN) {
        return TXN_AGAIN;
    }
    if (outcome->status != HF_OK) {
        return TXN_DONE;
    }
    uint32_t hold_ms;
    if (grants_hold(txn, request, count, &hold_ms, outcome) != HF_OK) {
        grants_give_back(txn, request->buyer, grants, count);
        return TXN_DONE;
    }
    CHECK(count >= 1);
    CHECK(count <= grants_max(request));
    grants_draw(txn, grants, count);
    struct event draft = reserve_draft(txn, request, hold_ms);
    bool counted = false;
    for (uint32_t i = 0; i < count; i++) {
        counted = counted || grants[i].counted;
    }
    if (!shapes_matter(request) && grants_simple(request, grants, count) &&
        (count == 1 || !counted)) {
        draft.flags = counted ? EVENT_COUNTED : 0;
    } else {
        draft.lines = NULL;
        draft.grants = grants;
        draft.line_count = count;
        draft.contents = order_contents(request);
    }
    if (!reserve_enter(txn, hash, shard, &draft, outcome)) {
        grants_give_back(txn, request->buyer, grants, count);
        return TXN_DONE;
    }
    outcome_grants(outcome, request, grants, count);
    return TXN_DONE;
}

/* Counts the only line of an order towards its buyer's limit. */
static enum hf_status reserve_count(struct txn *txn, const struct order_request *request,
                                    const struct plain_rules *rules, struct order_outcome *outcome)
{
    CHECK(request->line_count == 1);
    CHECK(request->buyer != 0);
    CHECK(rules->limit != 0);
    uint32_t qty = request->lines[0].qty;
    uint32_t taken;
    enum hf_status status = buyers_take(txn->inventory->buyers, rules->sku, request->buyer, qty,
                                        qty, rules->limit, &taken);
    if (status != HF_OK) {
        outcome->status = status;
        outcome->blocking_line = 1;
        outcome->reason = count_reason(txn->inventory, status);
    }
    return status;
}

/* Whether an item may be pre-sold by now, although it could not be when its rule was read. Then
 * units that were taken without tickets may be beyond what is in stock, and need tickets. */
static bool presale_opened(const struct inventory *inventory, const struct order_request *request)
{
    bool opened = false;
    for (uint32_t i = 0; i < request->line_count; i++) {
        opened |= catalog_item_presale(inventory->catalog, request->lines[i].item);
    }
    return __builtin_expect(opened, 0);
}

/* Decides on an order whose id is new; under the shard's lock. */
static enum txn_step reserve_new(struct txn *txn, const struct order_request *request,
                                 uint64_t hash, struct order_shard *shard,
                                 struct order_outcome *outcome)
{
    if (request->shapes && shapes_matter(request)) {
        return reserve_shaped(txn, request, hash, shard, outcome);
    }
    struct plain_rules rules;
    if (rules_check(txn, request, &rules, outcome) != HF_OK) {
        return TXN_DONE;
    }
    struct event draft = reserve_draft(txn, request, rules.hold_ms);
    if (__builtin_expect(rules.limited | rules.presale, 0)) {
        if (request->line_count > 1 || rules.presale) {
            return reserve_shaped(txn, request, hash, shard, outcome);
        }
        if (reserve_count(txn, request, &rules, outcome) != HF_OK) {
            return TXN_DONE;
        }
        draft.flags = EVENT_COUNTED;
    }
    outcome->status = units_take(txn, request->lines, request->line_count, &outcome->blocking_line);
    bool taken = outcome->status == HF_OK;
    if (taken && presale_opened(txn->inventory, request)) {
        units_give_back(txn, request->lines, request->line_count);
        if (draft.flags & EVENT_COUNTED) {
            buyers_give(txn->inventory->buyers, rules.sku, request->buyer, request->lines[0].qty);
        }
        return TXN_AGAIN;
    }
    if (!taken || !reserve_enter(txn, hash, shard, &draft, outcome)) {
        if (taken) {
            units_give_back(txn, request->lines, request->line_count);
        }
        if (draft.flags & EVENT_COUNTED) {
            buyers_give(txn->inventory->buyers, rules.sku, request->buyer, request->lines[0].qty);
        }
    }
    return TXN_DONE;
}

enum txn_step inventory_reserve(struct txn *txn, const struct order_request *request,
                                struct order_outcome *outcome)
{
    CHECK(!txn->publishing);
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
    SCHEDULE_POINT("reserve.found");
    if (handle == ORDER_NO_HANDLE) {
        step = reserve_new(txn, request, hash, shard, outcome);
    } else if (orders_at(&inventory->orders, handle)->flags & ORDER_BUSY) {
        step = TXN_AGAIN;
    } else {
        reserve_again(txn, orders_at(&inventory->orders, handle), request, outcome);
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

void inventory_prefetch_order(const struct inventory *inventory, struct id128 id)
{
    orders_prefetch_entry(&inventory->orders, id_hash(id));
}
