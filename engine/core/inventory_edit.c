/* inventory_edit.c - deciding on existing orders: commit, release, return, extend, expire.
 *
 * Each operation follows its column of the table in docs/design.md, section States, under the
 * order's shard lock. First, in every state, the lines and quantities that it names are checked
 * against the order (edit_fits). If the state shows that the operation was done before, they are
 * also checked against what was done then.
 *
 * Threads: any; inventory_expire one at a time.
 * Invariant: an order is BUSY from the moment when an event is decided here until that event is
 * published; units are taken here (late commit), and credited only when the event is published. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/schedule.h"
#include "core/inventory_effect.h"
#include "core/inventory_rules.h"
#include "core/inventory_units.h"

#define QTY_UNNAMED UINT32_MAX /* a line that an edit does not name */

/* An existing order that is being decided on, with its shard locked. */
struct target {
    struct order_shard *shard;
    struct order *order;
    uint32_t handle;
};

enum target_found {
    TARGET_LOCKED, /* the order may be decided on; target_unlock when done */
    TARGET_NONE,   /* no such order, or the edit does not fit it; the outcome is filled in */
    TARGET_AGAIN,  /* TXN_AGAIN */
};

static void target_unlock(const struct target *target)
{
    spin_unlock(&target->shard->spin);
}

/* Puts an event that fits into the transaction and makes the order busy. False: out of memory (the
 * outcome is FULL), nothing is changed. */
static bool target_decide(struct txn *txn, const struct target *target, const struct event *draft,
                          struct order_outcome *outcome)
{
    struct order *order = target->order;
    CHECK(!(order->flags & ORDER_BUSY));
    CHECK(transition_misfit(order, draft) == NULL);
    struct order_line_view *block = NULL;
    if (transition_needs_block(order, draft)) {
        block = lines_alloc(txn->inventory->lines, target->handle, order->line_count);
        if (!block) {
            outcome->status = HF_FULL;
            outcome->reason = "out of memory";
            return false;
        }
    }
    uint32_t n = draft->quantities ? order->line_count : 0;
    struct event *event =
        txn_add(txn, draft->type, target->handle, n ? EVENT_QUANTITIES(n) : EVENT_BYTES);
    *event = *draft;
    event->id = order->id;
    event->line_count = n;
    if (n) {
        uint32_t *quantities = txn_bytes(txn, n * sizeof *quantities);
        memcpy(quantities, draft->quantities, n * sizeof *quantities);
        event->quantities = quantities;
    }
    event->digest_delta = edit_digest(txn->inventory, order, event);
    txn->memory->blocks[txn->event_count - 1] = block;
    SCHEDULE_POINT("edit.busy");
    order->flags |= ORDER_BUSY;
    outcome->status = HF_OK;
    outcome->state = transition_state(order, event);
    CHECK(outcome->state != ORDER_NONE);
    return true;
}

static void decide_expiry(struct txn *txn, const struct target *target)
{
    struct order_outcome outcome;
    struct event draft = {.type = EVENT_ORDER_EXPIRED};
    CHECK(target->order->state == ORDER_HELD);
    CHECK(order_deadline(target->order) <= txn->now_ms);
    bool decided = target_decide(txn, target, &draft, &outcome);
    CHECK(decided); /* an expiry never needs memory */
}

/* Finds an order to decide on. An order whose deadline has passed is expired first: the expiry
 * becomes an event, and the operation is called again. */
static enum target_found target_find(struct txn *txn, struct id128 id, struct target *target,
                                     struct order_outcome *outcome)
{
    *outcome = (struct order_outcome){.status = HF_OK};
    struct orders *orders = &txn->inventory->orders;
    uint64_t hash = id_hash(id);
    target->shard = orders_shard(orders, hash);
    spin_lock(&target->shard->spin);
    target->handle = orders_find(orders, target->shard, hash, id);
    SCHEDULE_POINT("edit.found");
    enum target_found found = TARGET_LOCKED;
    if (target->handle == ORDER_NO_HANDLE) {
        outcome->status = HF_NOT_FOUND;
        found = TARGET_NONE;
    } else {
        target->order = orders_at(orders, target->handle);
        if (target->order->flags & ORDER_BUSY ||
            !txn_has_room(txn, EVENT_QUANTITIES(target->order->line_count))) {
            found = TARGET_AGAIN;
        } else if (target->order->state == ORDER_HELD &&
                   order_deadline(target->order) <= txn->now_ms) {
            decide_expiry(txn, target);
            found = TARGET_AGAIN;
        }
    }
    if (found != TARGET_LOCKED) {
        target_unlock(target);
    } else {
        CHECK(!(target->order->flags & ORDER_BUSY));
        CHECK(id_equal(target->order->id, id));
        outcome->state = (enum order_state)target->order->state;
    }
    return found;
}

static void outcome_replayed(struct order_outcome *outcome)
{
    outcome->status = HF_OK;
    outcome->replayed = true;
}

static void outcome_invalid(struct order_outcome *outcome, uint32_t line, const char *reason)
{
    outcome->status = HF_INVALID;
    outcome->blocking_line = line;
    outcome->reason = reason;
}

/* ---- What an edit asks ----
 *
 * Whether a request is right does not depend on the order's state: a line that the order does not
 * have, or more units than the line has, is refused in every state. Otherwise a caller with a wrong
 * number would get the answer that its request was done long ago. */

/* Reads the quantity that an edit names for each line of the request; QTY_UNNAMED for the others.
 * False: it names a line that does not exist, or names one twice. */
static bool edit_lines(const struct order *order, const struct order_edit *edit, uint32_t *asked,
                       struct order_outcome *outcome)
{
    uint32_t line_count = transition_asked_lines(order);
    CHECK(line_count >= 1 && line_count <= ORDER_LINES_MAX);
    for (uint32_t i = 0; i < line_count; i++) {
        asked[i] = QTY_UNNAMED;
    }
    for (uint32_t i = 0; i < edit->line_count; i++) {
        uint32_t line = edit->lines[i].line;
        if (line == 0 || line > line_count) {
            outcome_invalid(outcome, line, "line is not a line of the order");
            return false;
        }
        if (asked[line - 1] != QTY_UNNAMED) {
            outcome_invalid(outcome, line, "a line is named twice");
            return false;
        }
        if (edit->lines[i].qty > QTY_MAX) {
            outcome_invalid(outcome, line, "quantity is greater than the line holds");
            return false;
        }
        asked[line - 1] = edit->lines[i].qty;
    }
    return true;
}

static bool order_is_paid(const struct order *order)
{
    return order->state == ORDER_COMMITTED || order->state == ORDER_RETURNED;
}

/* The most that an operation may name of a grant: for a commit, what was not released before; for
 * totals, all that was granted or committed. A released order has no units, and does not know how
 * many it had just before: there it is all that was granted. */
static uint32_t grant_most(const struct order *order, const struct order_line_view *grant,
                           enum event_type type)
{
    CHECK(type == EVENT_ORDER_COMMITTED || type == EVENT_ORDER_RELEASED ||
          type == EVENT_ORDER_RETURNED);
    if (order->state == ORDER_RELEASED || type == EVENT_ORDER_RELEASED) {
        return grant->qty;
    }
    return type == EVENT_ORDER_RETURNED && order_is_paid(order) ? grant->committed
                                                                : grant->qty - grant->released;
}

/* The end of a line's grants, which begin at `from`. In a plain order each line has exactly one. */
static uint32_t grants_end(const struct order *order, uint32_t from, uint32_t line)
{
    while (from < order->line_count && transition_line(order, from).line == line) {
        from++;
    }
    CHECK(from <= order->line_count);
    return from;
}

/* Reads the quantities that an edit names into `asked`, and checks them against the order. True:
 * they are right in at least some state. */
static bool edit_fits(const struct order *order, enum event_type type,
                      const struct order_edit *edit, uint32_t *asked, struct order_outcome *outcome)
{
    if (edit->line_count == 0) {
        return true;
    }
    if (!edit_lines(order, edit, asked, outcome)) {
        return false;
    }
    bool any = false;
    uint32_t at = 0;
    for (uint32_t line = 1; line <= transition_asked_lines(order); line++) {
        uint64_t most = 0;
        for (uint32_t end = grants_end(order, at, line); at < end; at++) {
            struct order_line_view grant = transition_line(order, at);
            most += grant_most(order, &grant, type);
        }
        uint32_t qty = asked[line - 1] == QTY_UNNAMED ? 0 : asked[line - 1];
        if (qty > most) {
            outcome_invalid(outcome, line,
                            type == EVENT_ORDER_RETURNED && order_is_paid(order)
                                ? "quantity is greater than what was committed"
                                : "quantity is greater than the line holds");
            return false;
        }
        any = any || qty > 0;
    }
    if (!any && type == EVENT_ORDER_COMMITTED) {
        outcome_invalid(outcome, 0, "nothing would be committed: release instead");
        return false;
    }
    return true;
}

/* ---- Quantities of an event ---- */

/* The quantities of a commit, one for each grant. Lines that are not named are not committed; of a
 * line's grants the first ones are committed first. */
static void commit_quantities(const struct order *order, const uint32_t *asked,
                              uint32_t *quantities)
{
    uint32_t at = 0;
    for (uint32_t line = 1; line <= transition_asked_lines(order); line++) {
        uint32_t qty = asked[line - 1] == QTY_UNNAMED ? 0 : asked[line - 1];
        for (uint32_t end = grants_end(order, at, line); at < end; at++) {
            struct order_line_view grant = transition_line(order, at);
            uint32_t most = grant.qty - grant.released;
            quantities[at] = qty < most ? qty : most;
            qty -= quantities[at];
        }
        CHECK(qty == 0); /* edit_fits */
    }
    CHECK(at == order->line_count); /* each grant has its quantity */
}

/* A grant's part of the total that a release or a return raises, and the most that this part may
 * be. */
static uint32_t total_before(const struct order_line_view *grant, enum event_type type)
{
    return type == EVENT_ORDER_RETURNED ? grant->returned : grant->released;
}

static uint32_t total_most(const struct order_line_view *grant, enum event_type type)
{
    return type == EVENT_ORDER_RETURNED ? grant->committed : grant->qty;
}

/* Spreads a line's total over its grants. The increase is taken from the last grants, so that units
 * of the items that the line prefers are kept longest. True: the total grows. */
static bool total_spread(const struct order *order, enum event_type type, uint32_t from,
                         uint32_t end, uint32_t total, uint32_t *quantities)
{
    CHECK(from <= end);
    CHECK(end <= order->line_count);
    uint32_t before = 0;
    for (uint32_t i = from; i < end; i++) {
        struct order_line_view grant = transition_line(order, i);
        quantities[i] = total_before(&grant, type);
        before += quantities[i];
    }
    if (total == QTY_UNNAMED || total <= before) {
        return false;
    }
    uint32_t more = total - before;
    for (uint32_t i = end; i-- > from && more > 0;) {
        struct order_line_view grant = transition_line(order, i);
        uint32_t room = total_most(&grant, type) - quantities[i];
        uint32_t part = more < room ? more : room;
        quantities[i] += part;
        more -= part;
    }
    CHECK(more == 0); /* edit_fits */
    return true;
}

/* The quantities of a release or a return: totals, never less than before. True: some line's total
 * grows. */
static bool total_quantities(const struct order *order, enum event_type type, const uint32_t *asked,
                             uint32_t *quantities)
{
    bool changes = false;
    uint32_t from = 0;
    for (uint32_t line = 1; line <= transition_asked_lines(order); line++) {
        uint32_t end = grants_end(order, from, line);
        changes |= total_spread(order, type, from, end, asked[line - 1], quantities);
        from = end;
    }
    CHECK(from == order->line_count); /* each grant has its quantity */
    return changes;
}

/* target_find for an edit, and edit_fits: TARGET_LOCKED when both are fine. */
static enum target_found edit_find(struct txn *txn, enum event_type type,
                                   const struct order_edit *edit, struct target *target,
                                   struct order_outcome *outcome)
{
    enum target_found found = target_find(txn, edit->id, target, outcome);
    if (found == TARGET_LOCKED &&
        !edit_fits(target->order, type, edit, txn->memory->asked, outcome)) {
        target_unlock(target);
        return TARGET_NONE;
    }
    return found;
}

/* NULL if the quantities name everything that the event may move; else the quantities. */
static const uint32_t *quantities_or_all(const struct order *order, enum event_type type,
                                         const uint32_t *quantities)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        uint32_t all =
            type == EVENT_ORDER_COMMITTED ? line.qty - line.released : total_most(&line, type);
        CHECK(quantities[i] <= all);
        if (quantities[i] != all) {
            return quantities;
        }
    }
    return NULL;
}

/* ---- Commit ---- */

/* Credits what late_count took, for the order's first grants. */
static void late_uncount(struct txn *txn, const struct order *order, uint32_t grant_count)
{
    CHECK(grant_count <= order->line_count);
    struct inventory *inventory = txn->inventory;
    for (uint32_t i = 0; i < grant_count; i++) {
        struct order_line_view grant = transition_line(order, i);
        struct line_counts again = counts_again(&grant);
        if (again.counted > 0) {
            buyers_give(inventory->buyers, catalog_item_sku(inventory->catalog, grant.item),
                        order->buyer, (uint32_t)again.counted);
        }
        if (again.presale > 0) {
            CHECK(presale_change(inventory->presale, grant.item, grant.ticket, -again.presale));
        }
    }
}

/* Counts a grant's units towards the limit as it is now, and takes their place in the grant's
 * ticket. */
static enum hf_status late_count_grant(struct txn *txn, uint64_t buyer,
                                       const struct order_line_view *grant)
{
    struct inventory *inventory = txn->inventory;
    struct line_counts again = counts_again(grant);
    if (again.presale > 0 &&
        !presale_take(inventory->presale, grant->item, grant->ticket, (uint32_t)again.presale)) {
        return HF_FULL;
    }
    if (again.counted == 0) {
        return HF_OK;
    }
    struct sale_rule rule;
    catalog_sale_rule(inventory->catalog, grant->item, &rule);
    CHECK(buyer != 0);
    uint32_t qty = (uint32_t)again.counted;
    uint32_t limit = rule.limit_per_buyer ? rule.limit_per_buyer : UINT32_MAX;
    uint32_t taken;
    enum hf_status status =
        buyers_take(inventory->buyers, rule.sku, buyer, qty, qty, limit, &taken);
    if (status != HF_OK && again.presale > 0) {
        CHECK(presale_change(inventory->presale, grant->item, grant->ticket, -again.presale));
    }
    return status;
}

static bool late_count(struct txn *txn, const struct order *order, struct order_outcome *outcome)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view grant = transition_line(order, i);
        enum hf_status status = late_count_grant(txn, order->buyer, &grant);
        if (status != HF_OK) {
            late_uncount(txn, order, i);
            outcome->status = status;
            outcome->blocking_line = grant.line;
            outcome->reason = count_reason(txn->inventory, status);
            return false;
        }
    }
    return true;
}

/* Takes and counts again all units that the order had not released. */
static bool late_take(struct txn *txn, const struct order *order, struct order_outcome *outcome)
{
    CHECK(order->state == ORDER_EXPIRED);
    struct order_line *wanted = txn->memory->wanted;
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        wanted[i] = (struct order_line){line.item, line.qty - line.released};
    }
    uint32_t blocking;
    if (units_take(txn, wanted, order->line_count, &blocking) != HF_OK) {
        outcome->status = HF_EXPIRED_SOLD_OUT;
        CHECK(blocking >= 1 && blocking <= order->line_count);
        outcome->blocking_line = transition_line(order, blocking - 1).line;
        return false;
    }
    if (!late_count(txn, order, outcome)) {
        units_give_back(txn, wanted, order->line_count);
        return false;
    }
    return true;
}

static void commit_decide(struct txn *txn, const struct target *target,
                          const struct order_edit *edit, struct order_outcome *outcome)
{
    const struct order *order = target->order;
    uint32_t *quantities = txn->memory->quantities;
    struct event draft = {.type = EVENT_ORDER_COMMITTED};
    CHECK(order->state == ORDER_HELD || order->state == ORDER_EXPIRED);
    if (edit->line_count > 0) {
        commit_quantities(order, txn->memory->asked, quantities);
        draft.quantities = quantities_or_all(order, draft.type, quantities);
        draft.line_count = order->line_count;
    }
    if (order->state == ORDER_EXPIRED) {
        draft.flags = EVENT_LATE;
        if (!late_take(txn, order, outcome)) {
            return;
        }
    }
    if (!target_decide(txn, target, &draft, outcome) && draft.flags & EVENT_LATE) {
        late_uncount(txn, order, order->line_count);
        units_give_back(txn, txn->memory->wanted, order->line_count);
    }
}

/* Writes how much was committed of each line, in words, as far as there is room. */
static void commit_text(const struct order *order, char *text, size_t text_bytes)
{
    uint32_t line_count = transition_asked_lines(order);
    size_t len = (size_t)snprintf(text, text_bytes, "it was committed with other quantities:");
    uint32_t at = 0;
    for (uint32_t line = 1; line <= line_count; line++) {
        uint64_t qty = 0;
        for (uint32_t end = grants_end(order, at, line); at < end; at++) {
            qty += transition_line(order, at).committed;
        }
        CHECK(len < text_bytes);
        if (text_bytes - len < 80) {
            snprintf(text + len, text_bytes - len, ", and %" PRIu32 " more lines",
                     line_count - line + 1);
            return;
        }
        len += (size_t)snprintf(text + len, text_bytes - len, "%s line %" PRIu32 ": %" PRIu64,
                                line > 1 ? "," : "", line, qty);
    }
}

/* A commit of an order that is committed. It must be equal to the first commit: units that were
 * left out then are gone, and naming fewer does not return units that were sold then. Returned
 * units count as committed, because they were. */
static void commit_again(struct txn *txn, const struct order *order, const struct order_edit *edit,
                         struct order_outcome *outcome)
{
    CHECK(order_is_paid(order));
    uint32_t *quantities = txn->memory->quantities;
    bool same = true;
    if (edit->line_count > 0) {
        commit_quantities(order, txn->memory->asked, quantities);
    }
    for (uint32_t i = 0; i < order->line_count && same; i++) {
        struct order_line_view grant = transition_line(order, i);
        uint32_t qty = edit->line_count > 0 ? quantities[i] : grant.qty - grant.released;
        same = qty == grant.committed;
    }
    if (same) {
        outcome_replayed(outcome);
        return;
    }
    outcome->status = HF_ID_CONFLICT;
    commit_text(order, txn->memory->reason, sizeof txn->memory->reason);
    outcome->reason = txn->memory->reason;
}

enum txn_step inventory_commit(struct txn *txn, const struct order_edit *edit,
                               struct order_outcome *outcome)
{
    struct target target;
    enum target_found found = edit_find(txn, EVENT_ORDER_COMMITTED, edit, &target, outcome);
    if (found != TARGET_LOCKED) {
        return found == TARGET_AGAIN ? TXN_AGAIN : TXN_DONE;
    }
    switch (target.order->state) {
    case ORDER_HELD:
        commit_decide(txn, &target, edit, outcome);
        break;
    case ORDER_COMMITTED:
    case ORDER_RETURNED:
        commit_again(txn, target.order, edit, outcome);
        break;
    case ORDER_RELEASED:
        outcome->status = HF_ALREADY_RELEASED;
        break;
    default:
        CHECK(target.order->state == ORDER_EXPIRED);
        outcome->status = HF_EXPIRED;
        if (edit->late_ok) {
            commit_decide(txn, &target, edit, outcome);
        }
    }
    target_unlock(&target);
    return TXN_DONE;
}

/* ---- Release and return ---- */

/* Raises the total that is RELEASED or RETURNED. */
static void totals_decide(struct txn *txn, const struct target *target, enum event_type type,
                          const struct order_edit *edit, struct order_outcome *outcome)
{
    const struct order *order = target->order;
    uint32_t *quantities = txn->memory->quantities;
    struct event draft = {.type = type};
    CHECK(type == EVENT_ORDER_RELEASED || type == EVENT_ORDER_RETURNED);
    CHECK(order->state == (type == EVENT_ORDER_RELEASED ? ORDER_HELD : ORDER_COMMITTED));
    if (edit->line_count > 0) {
        if (!total_quantities(order, type, txn->memory->asked, quantities)) {
            outcome_replayed(outcome);
            return;
        }
        draft.quantities = quantities_or_all(order, type, quantities);
        draft.line_count = order->line_count;
    }
    target_decide(txn, target, &draft, outcome);
}

/* A release of a committed order. If it names only what was released before, it is a repetition;
 * otherwise it is too late. */
static void release_again(struct txn *txn, const struct order *order, const struct order_edit *edit,
                          struct order_outcome *outcome)
{
    CHECK(order_is_paid(order));
    if (edit->line_count > 0 && !total_quantities(order, EVENT_ORDER_RELEASED, txn->memory->asked,
                                                  txn->memory->quantities)) {
        outcome_replayed(outcome);
    } else {
        outcome->status = HF_ALREADY_COMMITTED;
    }
}

enum txn_step inventory_release(struct txn *txn, const struct order_edit *edit,
                                struct order_outcome *outcome)
{
    struct target target;
    enum target_found found = edit_find(txn, EVENT_ORDER_RELEASED, edit, &target, outcome);
    if (found != TARGET_LOCKED) {
        return found == TARGET_AGAIN ? TXN_AGAIN : TXN_DONE;
    }
    switch (target.order->state) {
    case ORDER_HELD:
        totals_decide(txn, &target, EVENT_ORDER_RELEASED, edit, outcome);
        break;
    case ORDER_RELEASED:
    case ORDER_EXPIRED:
        outcome_replayed(outcome);
        break;
    default:
        CHECK(order_is_paid(target.order));
        release_again(txn, target.order, edit, outcome);
    }
    target_unlock(&target);
    return TXN_DONE;
}

enum txn_step inventory_return(struct txn *txn, const struct order_edit *edit,
                               struct order_outcome *outcome)
{
    struct target target;
    enum target_found found = edit_find(txn, EVENT_ORDER_RETURNED, edit, &target, outcome);
    if (found != TARGET_LOCKED) {
        return found == TARGET_AGAIN ? TXN_AGAIN : TXN_DONE;
    }
    switch (target.order->state) {
    case ORDER_HELD:
        outcome->status = HF_NOT_COMMITTED;
        break;
    case ORDER_COMMITTED:
        totals_decide(txn, &target, EVENT_ORDER_RETURNED, edit, outcome);
        break;
    case ORDER_RELEASED:
        outcome->status = HF_ALREADY_RELEASED;
        break;
    case ORDER_EXPIRED:
        outcome->status = HF_EXPIRED;
        break;
    default:
        CHECK(target.order->state == ORDER_RETURNED);
        outcome_replayed(outcome);
    }
    target_unlock(&target);
    return TXN_DONE;
}

/* ---- Extend ---- */

/* Whether the SKUs of an order allow it to be held as long as asked. As with an edit's lines, a
 * time that they don't allow is refused in every state. */
static bool extend_fits(struct txn *txn, const struct order *order, uint32_t asked_ms,
                        uint32_t *hold_ms, struct order_outcome *outcome)
{
    const struct inventory *inventory = txn->inventory;
    struct hold_rule hold = hold_rule_start(inventory);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct sale_rule rule;
        struct order_line_view line = transition_line(order, i);
        catalog_sale_rule(inventory->catalog, line.item, &rule);
        hold_rule_add(&hold, inventory, &rule, line.line);
    }
    return hold_rule_apply(&hold, inventory, asked_ms, hold_ms, outcome) == HF_OK;
}

static void extend_decide(struct txn *txn, const struct target *target, uint32_t hold_ms,
                          struct order_outcome *outcome)
{
    const struct order *order = target->order;
    struct event draft = {.type = EVENT_ORDER_EXTENDED, .deadline_ms = txn->now_ms + hold_ms};
    CHECK(order->state == ORDER_HELD);
    CHECK(hold_ms >= 1);
    if (draft.deadline_ms <= order_deadline(order)) {
        outcome_replayed(outcome);
        outcome->deadline_ms = order_deadline(order);
        return;
    }
    if (draft.deadline_ms - order->deadline_ms > UINT32_MAX) {
        outcome_invalid(outcome, 0, "the deadline would be more than 49 days after the first one");
        return;
    }
    if (target_decide(txn, target, &draft, outcome)) {
        outcome->deadline_ms = draft.deadline_ms;
    }
}

enum txn_step inventory_extend(struct txn *txn, struct id128 id, uint32_t hold_ms,
                               struct order_outcome *outcome)
{
    struct target target;
    enum target_found found = target_find(txn, id, &target, outcome);
    if (found != TARGET_LOCKED) {
        return found == TARGET_AGAIN ? TXN_AGAIN : TXN_DONE;
    }
    if (!extend_fits(txn, target.order, hold_ms, &hold_ms, outcome)) {
        target_unlock(&target);
        return TXN_DONE;
    }
    switch (target.order->state) {
    case ORDER_HELD:
        extend_decide(txn, &target, hold_ms, outcome);
        break;
    case ORDER_RELEASED:
        outcome->status = HF_ALREADY_RELEASED;
        break;
    case ORDER_EXPIRED:
        outcome->status = HF_EXPIRED;
        break;
    default:
        CHECK(target.order->state == ORDER_COMMITTED || target.order->state == ORDER_RETURNED);
        outcome->status = HF_ALREADY_COMMITTED;
    }
    target_unlock(&target);
    return TXN_DONE;
}

/* ---- Expire ---- */

/* Handles a hint that came due: expires its order, enters the hint again, or drops it. A busy order
 * is checked again a millisecond later. */
static void expire_hint(struct txn *txn, unsigned wheel, uint32_t handle)
{
    struct orders *orders = &txn->inventory->orders;
    struct target target = {.shard = orders_shard_of(orders, handle),
                            .order = orders_at(orders, handle),
                            .handle = handle};
    uint64_t again_ms = 0;
    spin_lock(&target.shard->spin);
    if (target.order->state == ORDER_HELD) {
        uint64_t deadline_ms = order_deadline(target.order);
        if (deadline_ms > txn->now_ms) {
            again_ms = deadline_ms;
        } else if (target.order->flags & ORDER_BUSY) {
            again_ms = txn->now_ms + 1;
        } else {
            decide_expiry(txn, &target);
        }
    }
    SCHEDULE_POINT("expire.hint");
    CHECK(target.order->flags & ORDER_HINTED);
    if (again_ms == 0) {
        target.order->flags &= (uint8_t)~ORDER_HINTED;
    }
    spin_unlock(&target.shard->spin);
    if (again_ms) {
        CHECK(again_ms > txn->now_ms);
        expiry_lock(txn->inventory->expiry, wheel);
        expiry_add(txn->inventory->expiry, wheel, handle, again_ms, txn->now_ms);
        expiry_unlock(txn->inventory->expiry, wheel);
    }
}

/* Expires all that is due in one wheel. False: the transaction is full and more is due. */
static bool expire_wheel(struct txn *txn, unsigned wheel)
{
    struct expiry *expiry = txn->inventory->expiry;
    for (;;) {
        uint32_t handles[EXPIRY_TAKE];
        if (txn->event_count + EXPIRY_TAKE > TXN_EVENTS_MAX ||
            !txn_has_room(txn, (uint64_t)EXPIRY_TAKE * EVENT_BYTES)) {
            return !expiry_due(expiry, wheel, txn->now_ms);
        }
        uint32_t count = expiry_take(expiry, wheel, txn->now_ms, handles);
        if (count == 0) {
            return true;
        }
        CHECK(count <= EXPIRY_TAKE);
        for (uint32_t i = 0; i < count; i++) {
            __builtin_prefetch(orders_at(&txn->inventory->orders, handles[i]), 1);
        }
        for (uint32_t i = 0; i < count; i++) {
            expire_hint(txn, wheel, handles[i]);
        }
    }
}

enum txn_step inventory_expire(struct txn *txn)
{
    CHECK(!txn->publishing);
    for (unsigned wheel = 0; wheel < EXPIRY_WHEELS; wheel++) {
        if (!expire_wheel(txn, wheel)) {
            return TXN_AGAIN;
        }
    }
    return TXN_DONE;
}
