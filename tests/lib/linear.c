/* linear.c - see linear.h. Threads: one.
 *
 * A node of the search is the world after some of the calls: what one clerk would have in his book,
 * which calls he has done, and the earliest moment that it can be. Its successors are the worlds
 * after each call that may come next (no other undone call was answered before it was made), and
 * those in which an order has expired. A node that was met before led nowhere: it is not gone into
 * again. */
#include "lib/linear.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

#define STATES_MAX    2000000u
#define SEEN_AT_FIRST 4096u
#define MASK_WORDS    (LINEAR_CALLS / 64u)

struct world_item {
    int32_t stocked;
    int32_t held;
    int32_t sold;
};

struct world_order {
    uint8_t state;
    uint8_t content;
    uint8_t loose; /* its deadline is this or later */
    uint8_t unused;
    uint8_t granted[LINEAR_ITEMS];
    uint8_t released[LINEAR_ITEMS];
    uint32_t changed; /* since lsn was told */
    uint64_t deadline_ms;
    uint64_t lsn; /* of its last change that was told; 0: none was */
};

struct world_adjustment {
    uint8_t done;
    uint8_t unused;
    uint8_t item;
    uint8_t to_item;
    int32_t delta;
};

/* Without padding: it is hashed. */
struct node {
    uint64_t done[MASK_WORDS];
    uint64_t now_ns; /* it can't be earlier than this */
    struct world_item items[LINEAR_ITEMS];
    struct world_order orders[LINEAR_ORDERS];
    struct world_adjustment adjustments[LINEAR_ADJUSTMENTS];
};

static_assert(sizeof(struct node) == MASK_WORDS * 8 + 8 + LINEAR_ITEMS * 12 + LINEAR_ORDERS * 32 +
                                         LINEAR_ADJUSTMENTS * 8,
              "no padding");

struct search {
    const struct linear_history *history;
    struct linear_report *report;
    uint8_t by_answer[LINEAR_CALLS]; /* the calls, those answered first first */
    uint64_t states_max;
    uint64_t *seen; /* hashes of nodes, 0: free */
    uint64_t seen_size;
    uint64_t seen_count;
};

/* ---- What was met before ---- */

static void seen_grow(struct search *search)
{
    uint64_t size = search->seen_size ? 2 * search->seen_size : SEEN_AT_FIRST;
    uint64_t *seen = calloc(size, sizeof *seen);
    CHECK(seen != NULL);
    for (uint64_t i = 0; i < search->seen_size; i++) {
        uint64_t hash = search->seen[i];
        uint64_t at = hash & (size - 1);
        while (hash && seen[at]) {
            at = (at + 1) & (size - 1);
        }
        seen[at] = hash ? hash : seen[at];
    }
    free(search->seen);
    search->seen = seen;
    search->seen_size = size;
}

/* False: the node was met before. */
static bool seen_add(struct search *search, const struct node *node)
{
    if (2 * search->seen_count >= search->seen_size) {
        seen_grow(search);
    }
    uint64_t hash = hash_bytes(node, sizeof *node) | 1;
    uint64_t at = hash & (search->seen_size - 1);
    for (; search->seen[at]; at = (at + 1) & (search->seen_size - 1)) {
        if (search->seen[at] == hash) {
            return false;
        }
    }
    search->seen[at] = hash;
    search->seen_count++;
    return true;
}

/* ---- Small questions ---- */

static const struct linear_call *call_at(const struct search *search, unsigned index)
{
    return &search->history->calls[index];
}

static bool is_done(const struct node *node, unsigned index)
{
    return node->done[index / 64] >> (index % 64) & 1;
}

static void set_done(struct node *node, unsigned index)
{
    node->done[index / 64] |= UINT64_C(1) << (index % 64);
}

static uint64_t end_ns(const struct linear_call *call)
{
    return call->answered ? call->answered_ns : UINT64_MAX;
}

static int64_t available(const struct node *node, unsigned item)
{
    const struct world_item *it = &node->items[item];
    return (int64_t)it->stocked - it->held - it->sold;
}

static unsigned lines_of(const struct linear_call *reserve)
{
    unsigned lines = 0;
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        lines += reserve->wanted[i] > 0;
    }
    return lines;
}

/* The item of a line, from 1. */
static unsigned item_of_line(const struct linear_call *reserve, unsigned line)
{
    unsigned item = 0;
    for (unsigned left = line; item < LINEAR_ITEMS; item++) {
        left -= reserve->wanted[item] > 0;
        if (left == 0) {
            break;
        }
    }
    return item;
}

static unsigned units_of(const struct world_order *order, unsigned item)
{
    bool has = order->state == LINEAR_HELD || order->state == LINEAR_COMMITTED;
    return has ? (unsigned)order->granted[item] - order->released[item] : 0;
}

static bool units_agree(const struct world_order *order, const uint8_t units[LINEAR_ITEMS])
{
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        if (units_of(order, i) != units[i]) {
            return false;
        }
    }
    return true;
}

static bool has_item(unsigned mask, unsigned item)
{
    return mask >> item & 1;
}

/* ---- Units that are nobody's for a moment ---- */

static int64_t sum_in(const uint8_t units[LINEAR_ITEMS], unsigned mask)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        sum += has_item(mask, i) ? units[i] : 0;
    }
    return sum;
}

static int64_t order_units_in(const struct world_order *order, unsigned mask)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        sum += has_item(mask, i) ? order->granted[i] - order->released[i] : 0;
    }
    return sum;
}

/* What a refused reserve of several lines may have for a while: all but the line that was short. */
static int64_t refused_units(const struct linear_call *call, unsigned mask)
{
    if (call->split || lines_of(call) < 2) {
        return 0;
    }
    unsigned short_item = item_of_line(call, call->blocking);
    return sum_in(call->wanted, mask & ~(1u << short_item));
}

static bool changes(const struct linear_call *call)
{
    return !call->answered || (call->status == HF_OK && (!call->replayed || call->replayed_unsure));
}

/* Units of the items that a call in progress may have taken before it shows. */
static int64_t may_have_taken(const struct node *node, const struct linear_call *call,
                              unsigned mask)
{
    switch (call->type) {
    case LINEAR_RESERVE:
        if (call->answered && call->status == HF_SOLD_OUT) {
            return refused_units(call, mask);
        }
        if (!changes(call)) {
            return 0;
        }
        if (call->answered) {
            return sum_in(call->units, mask);
        }
        return call->split && (mask & 3) ? call->wanted[0] : sum_in(call->wanted, mask);
    case LINEAR_COMMIT:
        return call->late_ok && (changes(call) || call->status == HF_EXPIRED_SOLD_OUT)
                   ? order_units_in(&node->orders[call->order], mask)
                   : 0;
    case LINEAR_ADJUST:
        return changes(call) && call->delta < 0 && has_item(mask, call->item) ? -call->delta : 0;
    case LINEAR_MOVE:
        return changes(call) && has_item(mask, call->item) && !has_item(mask, call->to_item)
                   ? call->delta
                   : 0;
    default:
        return 0;
    }
}

/* Likewise of one that is done: what it gives back is free before anybody can see that it is. */
static int64_t may_have_still(const struct linear_call *call, unsigned mask)
{
    bool is_refused = call->type == LINEAR_RESERVE && call->answered && call->status == HF_SOLD_OUT;
    return is_refused ? refused_units(call, mask) : 0;
}

/* Units that at one moment may be neither free nor seen as an order's. */
static int64_t on_their_way(const struct search *search, const struct node *node, unsigned self,
                            unsigned mask, uint64_t at_ns)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < search->history->count; i++) {
        const struct linear_call *call = call_at(search, i);
        if (i != self && call->called_ns <= at_ns && at_ns <= end_ns(call)) {
            sum += is_done(node, i) ? may_have_still(call, mask) : may_have_taken(node, call, mask);
        }
    }
    return sum;
}

/* Whether at some moment that this call can be at there were fewer than `units` free of the items
 * together. The earliest such moment becomes the node's. */
static bool was_short(const struct search *search, struct node *node, unsigned self, unsigned mask,
                      int64_t units, uint64_t until_ns)
{
    int64_t visible = 0;
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        int64_t free = has_item(mask, i) ? available(node, i) : 0;
        visible += free > 0 ? free : 0;
    }
    uint64_t best = UINT64_MAX;
    /* What is on its way only grows when a call begins: so it is enough to look then, and now. */
    for (unsigned i = 0; i <= search->history->count; i++) {
        uint64_t at = i < search->history->count ? call_at(search, i)->called_ns : node->now_ns;
        if (at >= node->now_ns && at <= until_ns && at < best &&
            visible - on_their_way(search, node, self, mask, at) < units) {
            best = at;
        }
    }
    if (best == UINT64_MAX) {
        return false;
    }
    node->now_ns = best;
    return true;
}

/* ---- One call in the book ----
 *
 * Each step changes the node as the call does, and says whether its answer is right there. Of a
 * call without answer only what changes something is asked: else it might as well not have
 * happened. */

struct step {
    struct search *search;
    unsigned index;
    const struct linear_call *call;
    uint64_t until_ns; /* the first answer of those undone */
    unsigned variant;  /* of a split reserve without answer: so many from the first item */
};

static bool step_short(const struct step *step, struct node *node, unsigned mask, int64_t units)
{
    return was_short(step->search, node, step->index, mask, units, step->until_ns);
}

static bool replayed_is(const struct linear_call *call, bool replayed)
{
    return call->replayed_unsure || call->replayed == replayed;
}

static bool take_units(struct node *node, const uint8_t units[LINEAR_ITEMS])
{
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        if (units[i] > 0 && available(node, i) < units[i]) {
            return false;
        }
        node->items[i].held += units[i];
    }
    return true;
}

static void give_held(struct node *node, const struct world_order *order)
{
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        node->items[i].held -= order->granted[i] - order->released[i];
    }
}

static bool near_ms(const struct step *step, uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) <= step->search->history->slack_ms;
}

static bool deadline_fits(const struct step *step, uint64_t deadline_ms)
{
    const struct linear_call *call = step->call;
    uint64_t slack = step->search->history->slack_ms;
    return deadline_ms + slack >= call->called_ms + call->hold_ms &&
           deadline_ms <= call->answered_ms + call->hold_ms + slack;
}

static void set_deadline(struct world_order *order, const struct linear_call *call)
{
    bool told = call->answered && !call->brief;
    order->loose = !told;
    order->deadline_ms = told ? call->deadline_ms : call->called_ms + call->hold_ms;
}

static bool deadline_is(const struct step *step, const struct world_order *order)
{
    return order->loose || near_ms(step, step->call->deadline_ms, order->deadline_ms);
}

/* The order is changed by the call. False: its record stands before the one of the last change. */
static bool change_order(const struct linear_call *call, struct world_order *order)
{
    bool later = !call->answered || call->lsn == 0 || call->lsn > order->lsn;
    order->changed = !call->answered || call->lsn == 0;
    order->lsn = order->changed ? order->lsn : call->lsn;
    return later;
}

/* What a reader is told of the last change; false: that is not it. */
static bool lsn_is(const struct linear_call *call, struct world_order *order)
{
    bool right = call->lsn == 0 || order->lsn == 0 ||
                 (order->changed ? call->lsn > order->lsn : call->lsn == order->lsn);
    if (call->lsn > 0) {
        order->lsn = call->lsn;
        order->changed = 0;
    }
    return right;
}

static bool state_is(const struct linear_call *call, const struct world_order *order)
{
    return call->brief || call->state == order->state;
}

static bool reserve_again(const struct step *step, const struct world_order *order)
{
    const struct linear_call *call = step->call;
    if (!call->answered) {
        return false;
    }
    if (call->content != order->content) {
        return call->status == HF_ID_CONFLICT;
    }
    return call->status == HF_OK && replayed_is(call, true) && state_is(call, order) &&
           (call->brief || (units_agree(order, call->units) && deadline_is(step, order)));
}

/* What a reserve that is done gives: what was answered, or what may have been. */
static bool reserve_grants(const struct step *step, uint8_t units[LINEAR_ITEMS])
{
    const struct linear_call *call = step->call;
    if (!call->split) {
        memcpy(units, call->wanted, LINEAR_ITEMS);
        return !call->answered || memcmp(units, call->units, LINEAR_ITEMS) == 0;
    }
    memset(units, 0, LINEAR_ITEMS);
    if (call->answered) {
        memcpy(units, call->units, LINEAR_ITEMS);
        return sum_in(units, ~0u) == call->wanted[0] && units[0] + units[1] == call->wanted[0];
    }
    units[0] = (uint8_t)step->variant;
    units[1] = (uint8_t)(call->wanted[0] - step->variant);
    return true;
}

static bool step_reserve(const struct step *step, struct node *node)
{
    const struct linear_call *call = step->call;
    struct world_order *order = &node->orders[call->order];
    if (order->state != LINEAR_UNKNOWN) {
        return reserve_again(step, order);
    }
    if (call->answered && call->status == HF_SOLD_OUT) {
        if (call->split) {
            return step_short(step, node, 3, call->wanted[0]);
        }
        unsigned item = item_of_line(call, call->blocking);
        return call->blocking >= 1 && item < LINEAR_ITEMS &&
               step_short(step, node, 1u << item, call->wanted[item]);
    }
    if (call->answered && (call->status != HF_OK || !replayed_is(call, false))) {
        return false;
    }
    if (call->answered && !call->brief &&
        (call->state != LINEAR_HELD || !deadline_fits(step, call->deadline_ms))) {
        return false;
    }
    uint8_t units[LINEAR_ITEMS];
    if (!reserve_grants(step, units) || !take_units(node, units)) {
        return false;
    }
    memcpy(order->granted, units, LINEAR_ITEMS);
    order->state = LINEAR_HELD;
    order->content = call->content;
    set_deadline(order, call);
    return change_order(call, order);
}

/* Whether an operation that is not a repetition fits: it was not answered, or with OK, and so. */
static bool answered_anew(const struct linear_call *call, struct world_order *order)
{
    if (!change_order(call, order)) {
        return false;
    }
    return !call->answered ||
           (call->status == HF_OK && replayed_is(call, false) && state_is(call, order));
}

static bool answered_again(const struct linear_call *call, const struct world_order *order)
{
    return call->answered && call->status == HF_OK && replayed_is(call, true) &&
           state_is(call, order);
}

static bool refused(const struct linear_call *call, const struct world_order *order,
                    enum hf_status status)
{
    return call->answered && call->status == status && state_is(call, order);
}

static void sell_held(struct node *node, struct world_order *order)
{
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        node->items[i].sold += order->granted[i] - order->released[i];
    }
    give_held(node, order);
    order->state = LINEAR_COMMITTED;
}

static bool commit_late(const struct step *step, struct node *node, struct world_order *order)
{
    const struct linear_call *call = step->call;
    if (!call->late_ok) {
        return refused(call, order, HF_EXPIRED);
    }
    uint8_t units[LINEAR_ITEMS];
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        units[i] = (uint8_t)(order->granted[i] - order->released[i]);
    }
    if (refused(call, order, HF_EXPIRED_SOLD_OUT)) {
        for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
            if (units[i] > 0 && step_short(step, node, 1u << i, units[i])) {
                return true;
            }
        }
        return false;
    }
    if (!take_units(node, units)) {
        return false;
    }
    sell_held(node, order);
    return answered_anew(call, order);
}

static bool step_commit(const struct step *step, struct node *node)
{
    struct world_order *order = &node->orders[step->call->order];
    switch (order->state) {
    case LINEAR_UNKNOWN:
        return refused(step->call, order, HF_NOT_FOUND);
    case LINEAR_HELD:
        sell_held(node, order);
        return answered_anew(step->call, order);
    case LINEAR_RELEASED:
        return refused(step->call, order, HF_ALREADY_RELEASED);
    case LINEAR_EXPIRED:
        return commit_late(step, node, order);
    default:
        return answered_again(step->call, order);
    }
}

/* The first line's item. */
static unsigned first_item(const struct world_order *order)
{
    unsigned item = 0;
    while (item < LINEAR_ITEMS && order->granted[item] == 0) {
        item++;
    }
    return item;
}

static bool release_held(const struct linear_call *call, struct node *node,
                         struct world_order *order)
{
    if (call->total == 0) {
        give_held(node, order);
        order->state = LINEAR_RELEASED;
        return answered_anew(call, order);
    }
    unsigned item = first_item(order);
    if (call->total <= order->released[item]) {
        return answered_again(call, order);
    }
    node->items[item].held -= call->total - order->released[item];
    order->released[item] = call->total;
    if (order_units_in(order, ~0u) == 0) {
        order->state = LINEAR_RELEASED;
    }
    return answered_anew(call, order);
}

static bool step_release(const struct step *step, struct node *node)
{
    const struct linear_call *call = step->call;
    struct world_order *order = &node->orders[call->order];
    switch (order->state) {
    case LINEAR_UNKNOWN:
        return refused(call, order, HF_NOT_FOUND);
    case LINEAR_HELD:
        return release_held(call, node, order);
    case LINEAR_RELEASED:
    case LINEAR_EXPIRED:
        return answered_again(call, order);
    default:
        return call->total > 0 && call->total <= order->released[first_item(order)]
                   ? answered_again(call, order)
                   : refused(call, order, HF_ALREADY_COMMITTED);
    }
}

static bool step_return(const struct step *step, struct node *node)
{
    struct world_order *order = &node->orders[step->call->order];
    switch (order->state) {
    case LINEAR_UNKNOWN:
        return refused(step->call, order, HF_NOT_FOUND);
    case LINEAR_HELD:
        return refused(step->call, order, HF_NOT_COMMITTED);
    case LINEAR_COMMITTED:
        for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
            node->items[i].sold -= order->granted[i] - order->released[i];
        }
        order->state = LINEAR_RETURNED;
        return answered_anew(step->call, order);
    case LINEAR_RELEASED:
        return refused(step->call, order, HF_ALREADY_RELEASED);
    case LINEAR_EXPIRED:
        return refused(step->call, order, HF_EXPIRED);
    default:
        return answered_again(step->call, order);
    }
}

static bool step_extend(const struct step *step, struct node *node)
{
    const struct linear_call *call = step->call;
    struct world_order *order = &node->orders[call->order];
    switch (order->state) {
    case LINEAR_UNKNOWN:
        return refused(call, order, HF_NOT_FOUND);
    case LINEAR_HELD:
        break;
    case LINEAR_RELEASED:
        return refused(call, order, HF_ALREADY_RELEASED);
    case LINEAR_EXPIRED:
        return refused(call, order, HF_EXPIRED);
    default:
        return refused(call, order, HF_ALREADY_COMMITTED);
    }
    if (!call->answered) {
        set_deadline(order, call);
        return change_order(call, order);
    }
    if (call->status == HF_OK && replayed_is(call, true) && deadline_is(step, order)) {
        /* Not later than it was. */
        return call->state == LINEAR_HELD &&
               call->called_ms + call->hold_ms <=
                   call->deadline_ms + step->search->history->slack_ms;
    }
    bool later = order->loose || call->deadline_ms > order->deadline_ms;
    set_deadline(order, call);
    return later && answered_anew(call, order) && deadline_fits(step, call->deadline_ms);
}

static bool step_get_order(const struct step *step, struct node *node)
{
    const struct linear_call *call = step->call;
    struct world_order *order = &node->orders[call->order];
    if (order->state == LINEAR_UNKNOWN) {
        return call->status == HF_NOT_FOUND;
    }
    return call->status == HF_OK && call->state == order->state &&
           units_agree(order, call->units) && deadline_is(step, order) && lsn_is(call, order);
}

static bool step_get_stock(const struct step *step, const struct node *node)
{
    const struct linear_call *call = step->call;
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        const struct world_item *item = &node->items[i];
        const struct linear_stock *told = &call->stock[i];
        if (has_item(call->items, i) &&
            (told->stocked != item->stocked || told->held != item->held ||
             told->sold != item->sold || told->available != available(node, i))) {
            return false;
        }
    }
    return call->status == HF_OK;
}

/* An adjustment or a move that was made before. */
static bool adjust_again(const struct linear_call *call, const struct world_adjustment *made)
{
    bool same =
        made->item == call->item && made->to_item == call->to_item && made->delta == call->delta;
    return call->answered && (same ? call->status == HF_OK && replayed_is(call, true)
                                   : call->status == HF_ID_CONFLICT);
}

static bool step_adjust(const struct step *step, struct node *node)
{
    const struct linear_call *call = step->call;
    bool move = call->type == LINEAR_MOVE;
    struct world_adjustment *made = &node->adjustments[call->adjustment];
    struct world_item *item = &node->items[call->item];
    if (made->done) {
        return adjust_again(call, made);
    }
    int32_t delta = move ? -call->delta : call->delta;
    if (item->stocked + delta < 0) {
        return call->answered && call->status == HF_INVALID;
    }
    if (call->answered && call->status == HF_WOULD_OVERSELL) {
        return delta < 0 && step_short(step, node, 1u << call->item, -delta);
    }
    if (call->answered && (call->status != HF_OK || !replayed_is(call, false))) {
        return false;
    }
    if (delta < 0 && available(node, call->item) < -delta) {
        return false;
    }
    item->stocked += delta;
    if (move) {
        node->items[call->to_item].stocked += call->delta;
    }
    made->done = 1;
    made->item = call->item;
    made->to_item = call->to_item;
    made->delta = call->delta;
    return !call->answered || (call->replayed_unsure && call->replayed) ||
           call->stock[0].stocked == item->stocked;
}

/* A kill: whatever was asked before it and not done never will be; what was answered before was
 * done before. */
static bool step_restart(const struct step *step, struct node *node)
{
    uint8_t ended = step->call->life; /* the life that the kill ended */
    for (unsigned i = 0; i < step->search->history->count; i++) {
        const struct linear_call *call = call_at(step->search, i);
        if (call->life == LINEAR_ANY_LIFE || call->life > ended || is_done(node, i)) {
            continue;
        }
        if (call->answered && i != step->index) {
            return false;
        }
        set_done(node, i);
    }
    return true;
}

/* An operation that is decided on an order after its deadline finds it expired. */
static bool comes_late(const struct step *step, const struct node *node)
{
    const struct linear_call *call = step->call;
    const struct world_order *order = &node->orders[call->order];
    bool decides = call->type == LINEAR_COMMIT || call->type == LINEAR_RELEASE ||
                   call->type == LINEAR_RETURN || call->type == LINEAR_EXTEND;
    return decides && order->state == LINEAR_HELD && !order->loose &&
           call->called_ms > order->deadline_ms + step->search->history->slack_ms;
}

static bool take_step(const struct step *step, struct node *node)
{
    const struct linear_call *call = step->call;
    if (node->now_ns < call->called_ns) {
        node->now_ns = call->called_ns;
    }
    if (call->answered && (call->status == HF_BUSY || call->status == HF_READ_ONLY)) {
        return true; /* nothing was done */
    }
    if (comes_late(step, node)) {
        return false;
    }
    switch (call->type) {
    case LINEAR_RESERVE:
        return step_reserve(step, node);
    case LINEAR_COMMIT:
        return step_commit(step, node);
    case LINEAR_RELEASE:
        return step_release(step, node);
    case LINEAR_RETURN:
        return step_return(step, node);
    case LINEAR_EXTEND:
        return step_extend(step, node);
    case LINEAR_GET_ORDER:
        return call->answered && step_get_order(step, node);
    case LINEAR_GET_STOCK:
        return call->answered && step_get_stock(step, node);
    case LINEAR_RESTART:
        return step_restart(step, node);
    default:
        return step_adjust(step, node);
    }
}

/* ---- The search ---- */

static bool search_from(struct search *search, const struct node *node);

static void note_best(struct search *search, const struct node *node)
{
    uint32_t placed = 0;
    for (unsigned i = 0; i < search->history->count; i++) {
        placed += is_done(node, i);
    }
    if (placed > search->report->placed) {
        search->report->placed = placed;
        for (unsigned i = 0; i < search->history->count; i++) {
            search->report->was_placed[i] = is_done(node, i);
        }
    }
}

/* The first answer of the calls that are not done; false when all that were answered are. */
static bool first_answer(const struct search *search, const struct node *node, uint64_t *until_ns,
                         uint64_t *until_ms)
{
    for (unsigned i = 0; i < search->history->count; i++) {
        unsigned index = search->by_answer[i];
        const struct linear_call *call = call_at(search, index);
        if (call->answered && !is_done(node, index)) {
            *until_ns = call->answered_ns;
            *until_ms = call->answered_ms;
            return true;
        }
    }
    return false;
}

static bool search_calls(struct search *search, const struct node *node, uint64_t until_ns)
{
    for (unsigned i = 0; i < search->history->count; i++) {
        unsigned index = search->by_answer[i];
        const struct linear_call *call = call_at(search, index);
        if (is_done(node, index) || call->called_ns > until_ns) {
            continue;
        }
        unsigned variants = call->type == LINEAR_RESERVE && call->split && !call->answered
                                ? call->wanted[0] + 1u
                                : 1;
        for (unsigned variant = 0; variant < variants; variant++) {
            struct step step = {search, index, call, until_ns, variant};
            struct node next = *node;
            set_done(&next, index);
            if (take_step(&step, &next) && search_from(search, &next)) {
                return true;
            }
        }
    }
    return false;
}

static bool search_expiries(struct search *search, const struct node *node, uint64_t until_ms)
{
    for (unsigned i = 0; i < LINEAR_ORDERS; i++) {
        const struct world_order *order = &node->orders[i];
        if (order->state == LINEAR_HELD &&
            order->deadline_ms <= until_ms + search->history->slack_ms) {
            struct node next = *node;
            give_held(&next, order);
            next.orders[i].state = LINEAR_EXPIRED;
            next.orders[i].changed = 1;
            if (search_from(search, &next)) {
                return true;
            }
        }
    }
    return false;
}

static bool search_from(struct search *search, const struct node *node)
{
    uint64_t until_ns, until_ms;
    if (!first_answer(search, node, &until_ns, &until_ms)) {
        return true;
    }
    if (node->now_ns > until_ns || search->report->states >= search->states_max ||
        !seen_add(search, node)) {
        return false;
    }
    search->report->states++;
    note_best(search, node);
    return search_calls(search, node, until_ns) || search_expiries(search, node, until_ms);
}

/* What no history can be: NULL when it can. */
static const char *malformed(const struct linear_history *history)
{
    if (history->count > LINEAR_CALLS) {
        return "too many calls";
    }
    for (unsigned i = 0; i < history->count; i++) {
        const struct linear_call *call = &history->calls[i];
        if (call->answered &&
            (call->answered_ns < call->called_ns || call->answered_ms < call->called_ms)) {
            return "a call was answered before it was made";
        }
        if (call->order >= LINEAR_ORDERS || call->adjustment >= LINEAR_ADJUSTMENTS ||
            call->item >= LINEAR_ITEMS || call->to_item >= LINEAR_ITEMS) {
            return "a call is about something that there is not";
        }
    }
    return NULL;
}

static const struct linear_history *sorted; /* for compare_answers; one thread */

static int compare_answers(const void *a, const void *b)
{
    uint64_t left = end_ns(&sorted->calls[*(const uint8_t *)a]);
    uint64_t right = end_ns(&sorted->calls[*(const uint8_t *)b]);
    return left < right ? -1 : left > right;
}

enum linear_verdict linear_check(const struct linear_history *history, uint64_t states_max,
                                 struct linear_report *report)
{
    struct search search = {
        .history = history, .report = report, .states_max = states_max ? states_max : STATES_MAX};
    *report = (struct linear_report){.malformed = malformed(history)};
    if (report->malformed) {
        return LINEAR_ILLEGAL;
    }
    for (unsigned i = 0; i < history->count; i++) {
        search.by_answer[i] = (uint8_t)i;
    }
    sorted = history;
    qsort(search.by_answer, history->count, 1, compare_answers);
    struct node node;
    memset(&node, 0, sizeof node);
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        node.items[i].stocked = history->stocked[i];
    }
    bool found = search_from(&search, &node);
    free(search.seen);
    return found                                 ? LINEAR_LEGAL
           : report->states >= search.states_max ? LINEAR_UNDECIDED
                                                 : LINEAR_ILLEGAL;
}

/* ---- For people ---- */

static const char *const type_names[] = {"reserve",   "commit",    "release", "return", "extend",
                                         "get order", "get stock", "adjust",  "move",   "RESTART"};
static const char *const state_names[] = {"-",        "held",    "committed",
                                          "released", "expired", "returned"};

static void print_asked(const struct linear_call *call, FILE *out)
{
    switch (call->type) {
    case LINEAR_RESERVE:
        fprintf(out, " order %u%s:", call->order, call->split ? " (split)" : "");
        for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
            if (call->wanted[i]) {
                fprintf(out, " %u of %u", call->wanted[i], i);
            }
        }
        fprintf(out, ", content %u, for %u ms", call->content, call->hold_ms);
        break;
    case LINEAR_GET_STOCK:
        fprintf(out, " of items 0x%x", call->items);
        break;
    case LINEAR_ADJUST:
    case LINEAR_MOVE:
        fprintf(out, " %u: item %u by %d", call->adjustment, call->item, call->delta);
        if (call->type == LINEAR_MOVE) {
            fprintf(out, " to %u", call->to_item);
        }
        break;
    case LINEAR_RESTART:
        break;
    default:
        fprintf(out, " order %u", call->order);
        if (call->total) {
            fprintf(out, ", %u of line 1 in all", call->total);
        }
        fprintf(out, "%s", call->late_ok ? ", late" : "");
        if (call->type == LINEAR_EXTEND) {
            fprintf(out, " by %u ms", call->hold_ms);
        }
    }
}

static void print_answer(const struct linear_call *call, FILE *out)
{
    if (!call->answered) {
        fprintf(out, " -> no answer");
        return;
    }
    fprintf(out, " -> %s%s", hf_status_name(call->status), call->replayed ? " (replayed)" : "");
    if (call->status == HF_SOLD_OUT) {
        fprintf(out, " line %u", call->blocking);
    }
    if (call->type <= LINEAR_GET_ORDER && call->state <= LINEAR_RETURNED) {
        fprintf(out, ", %s, units", state_names[call->state]);
        for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
            fprintf(out, " %u", call->units[i]);
        }
        fprintf(out, ", until %" PRIu64, call->deadline_ms);
    }
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        if ((call->type == LINEAR_GET_STOCK && has_item(call->items, i)) ||
            (call->type == LINEAR_ADJUST && i == 0) || (call->type == LINEAR_MOVE && i == 0)) {
            fprintf(out, " [%d: held %d, sold %d, free %d]", call->stock[i].stocked,
                    call->stock[i].held, call->stock[i].sold, call->stock[i].available);
        }
    }
}

void linear_print(const struct linear_history *history, const struct linear_report *report,
                  FILE *out)
{
    uint64_t first_ns = UINT64_MAX;
    for (unsigned i = 0; i < history->count; i++) {
        first_ns = history->calls[i].called_ns < first_ns ? history->calls[i].called_ns : first_ns;
    }
    fprintf(out, "stocked at first:");
    for (unsigned i = 0; i < LINEAR_ITEMS; i++) {
        fprintf(out, " %d", history->stocked[i]);
    }
    fprintf(out, "\n%u of %u calls could be placed; * marks the others%s%s\n", report->placed,
            history->count, report->malformed ? ": " : "",
            report->malformed ? report->malformed : "");
    bool printed[LINEAR_CALLS] = {false};
    for (unsigned n = 0; n < history->count; n++) {
        unsigned next = LINEAR_CALLS;
        for (unsigned i = 0; i < history->count; i++) {
            if (!printed[i] && (next == LINEAR_CALLS ||
                                history->calls[i].called_ns < history->calls[next].called_ns)) {
                next = i;
            }
        }
        printed[next] = true;
        const struct linear_call *call = &history->calls[next];
        fprintf(out, "%c %9" PRIu64 "..", report->was_placed[next] ? ' ' : '*',
                call->called_ns - first_ns);
        if (call->answered) {
            fprintf(out, "%9" PRIu64, call->answered_ns - first_ns);
        } else {
            fprintf(out, "%9s", "");
        }
        fprintf(out, " ns, %" PRIu64 " ms, thread %u, life %u: %s", call->called_ms, call->thread,
                call->life, type_names[call->type]);
        print_asked(call, out);
        print_answer(call, out);
        fprintf(out, "\n");
    }
}
