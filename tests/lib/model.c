/* model.c - the oracle: orders in an array, states in a switch. Slow on purpose. */
#include "lib/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* ---- Memory ---- */

static void *grown(void *at, uint32_t *capacity, uint32_t count, size_t size)
{
    if (count < *capacity) {
        return at;
    }
    *capacity = *capacity ? *capacity * 2 : 16;
    at = realloc(at, *capacity * size);
    if (!at) {
        abort();
    }
    return at;
}

void model_init(struct model *model, const struct inventory_options *options)
{
    *model = (struct model){.options = *options};
    model->items = calloc((size_t)options->items_max + 1, sizeof *model->items);
    if (!model->items) {
        abort();
    }
}

void model_deinit(struct model *model)
{
    for (uint32_t i = 0; i < model->order_count; i++) {
        free(model->orders[i].lines);
    }
    free(model->orders);
    free(model->adjustments);
    free(model->items);
}

uint32_t model_add_item(struct model *model, int64_t safety, int64_t presale_cap)
{
    uint32_t item = ++model->item_count;
    model->items[item] = (struct model_item){.safety = safety, .presale_cap = presale_cap};
    return item;
}

/* ---- Adding up ---- */

static uint32_t line_held(const struct model_order *order, const struct order_line_view *line)
{
    return order->state == ORDER_HELD ? line->qty - line->released : 0;
}

static uint32_t line_sold(const struct model_order *order, const struct order_line_view *line)
{
    bool sold = order->state == ORDER_COMMITTED || order->state == ORDER_RETURNED;
    return sold ? line->committed - line->returned : 0;
}

struct stock_view model_stock(const struct model *model, uint32_t item)
{
    const struct model_item *it = &model->items[item];
    struct stock_view view = {
        .stocked = it->stocked, .safety = it->safety, .presale_cap = it->presale_cap};
    for (uint32_t i = 0; i < model->order_count; i++) {
        const struct model_order *order = &model->orders[i];
        for (uint32_t j = 0; j < order->line_count; j++) {
            if (order->lines[j].item == item) {
                view.held += line_held(order, &order->lines[j]);
                view.sold += line_sold(order, &order->lines[j]);
            }
        }
    }
    view.available = view.stocked - view.safety - view.held - view.sold + view.presale_cap;
    return view;
}

/* ---- Orders ---- */

static struct model_order *find(const struct model *model, struct id128 id)
{
    for (uint32_t i = 0; i < model->order_count; i++) {
        if (id_equal(model->orders[i].id, id)) {
            return &model->orders[i];
        }
    }
    return NULL;
}

const struct model_order *model_find(const struct model *model, struct id128 id)
{
    return find(model, id);
}

uint32_t model_expire(struct model *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->order_count; i++) {
        struct model_order *order = &model->orders[i];
        if (order->state == ORDER_HELD && order->deadline_ms <= model->now_ms) {
            order->state = ORDER_EXPIRED;
            count++;
        }
    }
    return count;
}

/* The order that an operation names, expired if it is due. */
static struct model_order *find_for(struct model *model, struct id128 id,
                                    struct order_outcome *outcome)
{
    *outcome = (struct order_outcome){.status = HF_NOT_FOUND};
    struct model_order *order = find(model, id);
    if (order) {
        if (order->state == ORDER_HELD && order->deadline_ms <= model->now_ms) {
            order->state = ORDER_EXPIRED;
        }
        outcome->status = HF_OK;
        outcome->state = order->state;
    }
    return order;
}

static void refuse(struct order_outcome *outcome, enum hf_status status, uint32_t line)
{
    outcome->status = status;
    outcome->blocking_line = line;
}

static void replay(struct order_outcome *outcome)
{
    outcome->status = HF_OK;
    outcome->replayed = true;
}

/* The first line of the lowest-numbered item that has too little; 0: all can be filled. */
static uint32_t short_line(const struct model *model, const struct order_line_view *lines,
                           uint32_t count)
{
    for (uint32_t item = 1; item <= model->item_count; item++) {
        int64_t wanted = 0;
        uint32_t first = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t units = lines[i].item == item ? lines[i].qty - lines[i].released : 0;
            if (units > 0) {
                wanted += units;
                first = first ? first : i + 1;
            }
        }
        if (wanted > 0 && wanted > model_stock(model, item).available) {
            return first;
        }
    }
    return 0;
}

/* The time to hold for items; false: asked for more than is allowed, *line says by whose rule. */
static bool hold_time(const struct model *model, const struct order_line_view *lines,
                      uint32_t count, uint32_t asked, uint32_t *hold_ms, uint32_t *line)
{
    uint32_t usual = 0;
    uint32_t most = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct sku_rule *rule = &model->items[lines[i].item].rule;
        if (rule->hold_ms && (usual == 0 || rule->hold_ms < usual)) {
            usual = rule->hold_ms;
        }
        uint32_t max = rule->hold_ms_max ? rule->hold_ms_max : model->options.hold_ms_max;
        if (i == 0 || max < most) {
            most = max;
            *line = rule->hold_ms_max ? i + 1 : 0;
        }
    }
    *hold_ms = asked ? asked : usual ? usual : model->options.hold_ms_default;
    if (asked == 0 && *hold_ms > most) {
        *hold_ms = most;
    }
    return *hold_ms <= most;
}

static void reserve_again(const struct model_order *order, const struct order_request *request,
                          struct order_outcome *outcome)
{
    outcome->state = order->state;
    bool same = order->buyer == request->buyer && order->line_count == request->line_count;
    for (uint32_t i = 0; same && i < request->line_count; i++) {
        same = order->lines[i].item == request->lines[i].item &&
               order->lines[i].qty == request->lines[i].qty;
    }
    if (!same) {
        refuse(outcome, HF_ID_CONFLICT, 0);
        return;
    }
    replay(outcome);
    outcome->deadline_ms = order->first_deadline_ms;
}

static bool rules_allow(const struct model *model, const struct order_request *request,
                        struct order_outcome *outcome)
{
    for (uint32_t i = 0; i < request->line_count; i++) {
        const struct sku_rule *rule = &model->items[request->lines[i].item].rule;
        if (rule->paused) {
            refuse(outcome, HF_PAUSED, i + 1);
            return false;
        }
        if (model->now_ms < rule->opens_at_ms) {
            refuse(outcome, HF_NOT_OPEN, i + 1);
            return false;
        }
        if (rule->closes_at_ms != 0 && model->now_ms >= rule->closes_at_ms) {
            refuse(outcome, HF_CLOSED, i + 1);
            return false;
        }
    }
    return true;
}

/* Fills the next place of the array; it counts once order_count grows. */
static struct model_order *order_fill(struct model *model, const struct order_request *request)
{
    model->orders =
        grown(model->orders, &model->order_capacity, model->order_count, sizeof *model->orders);
    struct model_order *order = &model->orders[model->order_count];
    *order = (struct model_order){
        .id = request->id, .buyer = request->buyer, .line_count = request->line_count};
    order->lines = calloc(request->line_count, sizeof *order->lines);
    if (!order->lines) {
        abort();
    }
    for (uint32_t i = 0; i < request->line_count; i++) {
        order->lines[i].item = request->lines[i].item;
        order->lines[i].qty = request->lines[i].qty;
    }
    return order;
}

void model_reserve(struct model *model, const struct order_request *request,
                   struct order_outcome *outcome)
{
    *outcome = (struct order_outcome){.status = HF_OK};
    const struct model_order *known = find(model, request->id);
    if (known) {
        reserve_again(known, request, outcome);
        return;
    }
    if (!rules_allow(model, request, outcome)) {
        return;
    }
    struct model_order *order = order_fill(model, request);
    uint32_t hold_ms;
    uint32_t line;
    bool held = false;
    if (!hold_time(model, order->lines, order->line_count, request->hold_ms, &hold_ms, &line)) {
        refuse(outcome, HF_INVALID, line);
    } else if ((line = short_line(model, order->lines, order->line_count)) != 0) {
        refuse(outcome, HF_SOLD_OUT, line);
    } else if (model->order_count == model->options.orders_max) {
        refuse(outcome, HF_FULL, 0);
    } else {
        held = true;
    }
    if (!held) {
        free(order->lines);
        return;
    }
    order->state = ORDER_HELD;
    order->deadline_ms = order->first_deadline_ms = model->now_ms + hold_ms;
    model->order_count++;
    outcome->state = ORDER_HELD;
    outcome->deadline_ms = order->deadline_ms;
}

/* How many units an edit names for each line; UINT32_MAX: not named. False: refused. */
static bool named(const struct model_order *order, const struct order_edit *edit, uint32_t *qty,
                  struct order_outcome *outcome)
{
    memset(qty, 0xFF, order->line_count * sizeof *qty);
    for (uint32_t i = 0; i < edit->line_count; i++) {
        uint32_t line = edit->lines[i].line;
        if (line < 1 || line > order->line_count || qty[line - 1] != UINT32_MAX) {
            refuse(outcome, HF_INVALID, line);
            return false;
        }
        qty[line - 1] = edit->lines[i].qty;
    }
    return true;
}

/* An edit that names more than `most` of a line is refused. */
static bool within(uint32_t qty, uint32_t most, uint32_t line, struct order_outcome *outcome)
{
    if (qty != UINT32_MAX && qty > most) {
        refuse(outcome, HF_INVALID, line + 1);
        return false;
    }
    return true;
}

static void commit_units(struct model *model, struct model_order *order,
                         const struct order_edit *edit, struct order_outcome *outcome)
{
    uint32_t qty[ORDER_LINES_MAX];
    uint64_t sum = 0;
    if (!named(order, edit, qty, outcome)) {
        return;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        uint32_t left = order->lines[i].qty - order->lines[i].released;
        if (edit->line_count == 0) {
            qty[i] = left;
        }
        if (!within(qty[i], left, i, outcome)) {
            return;
        }
        qty[i] = qty[i] == UINT32_MAX ? 0 : qty[i];
        sum += qty[i];
    }
    if (sum == 0) {
        refuse(outcome, HF_INVALID, 0);
        return;
    }
    if (order->state == ORDER_EXPIRED) {
        uint32_t line = short_line(model, order->lines, order->line_count);
        if (line != 0) {
            refuse(outcome, HF_EXPIRED_SOLD_OUT, line);
            return;
        }
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        order->lines[i].committed = qty[i];
        order->lines[i].released = order->lines[i].qty - qty[i];
    }
    order->state = ORDER_COMMITTED;
    *outcome = (struct order_outcome){.status = HF_OK, .state = ORDER_COMMITTED};
}

void model_commit(struct model *model, const struct order_edit *edit, struct order_outcome *outcome)
{
    struct model_order *order = find_for(model, edit->id, outcome);
    if (!order) {
        return;
    }
    switch (order->state) {
    case ORDER_HELD:
        commit_units(model, order, edit, outcome);
        break;
    case ORDER_EXPIRED:
        refuse(outcome, HF_EXPIRED, 0);
        if (edit->late_ok) {
            commit_units(model, order, edit, outcome);
        }
        break;
    case ORDER_COMMITTED:
    case ORDER_RETURNED:
        replay(outcome);
        break;
    case ORDER_RELEASED:
        refuse(outcome, HF_ALREADY_RELEASED, 0);
        break;
    case ORDER_NONE:
        abort();
    }
}

/* Release and return: totals for the line since the order was made. */
static void move_totals(struct model_order *order, bool returns, const struct order_edit *edit,
                        struct order_outcome *outcome)
{
    uint32_t qty[ORDER_LINES_MAX];
    bool changes = false;
    bool all = true;
    if (!named(order, edit, qty, outcome)) {
        return;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        const struct order_line_view *line = &order->lines[i];
        uint32_t most = returns ? line->committed : line->qty;
        uint32_t before = returns ? line->returned : line->released;
        if (edit->line_count == 0) {
            qty[i] = most;
        }
        if (!within(qty[i], most, i, outcome)) {
            return;
        }
        if (qty[i] == UINT32_MAX || qty[i] < before) {
            qty[i] = before;
        }
        changes = changes || qty[i] > before;
        all = all && qty[i] == most;
    }
    if (!changes) {
        replay(outcome);
        return;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        *(returns ? &order->lines[i].returned : &order->lines[i].released) = qty[i];
    }
    if (all) {
        order->state = returns ? ORDER_RETURNED : ORDER_RELEASED;
    }
    *outcome = (struct order_outcome){.status = HF_OK, .state = order->state};
}

void model_release(struct model *model, const struct order_edit *edit,
                   struct order_outcome *outcome)
{
    struct model_order *order = find_for(model, edit->id, outcome);
    if (!order) {
        return;
    }
    switch (order->state) {
    case ORDER_HELD:
        move_totals(order, false, edit, outcome);
        break;
    case ORDER_RELEASED:
    case ORDER_EXPIRED:
        replay(outcome);
        break;
    case ORDER_COMMITTED:
    case ORDER_RETURNED:
        refuse(outcome, HF_ALREADY_COMMITTED, 0);
        break;
    case ORDER_NONE:
        abort();
    }
}

void model_return(struct model *model, const struct order_edit *edit, struct order_outcome *outcome)
{
    struct model_order *order = find_for(model, edit->id, outcome);
    if (!order) {
        return;
    }
    switch (order->state) {
    case ORDER_HELD:
        refuse(outcome, HF_NOT_COMMITTED, 0);
        break;
    case ORDER_COMMITTED:
        move_totals(order, true, edit, outcome);
        break;
    case ORDER_RELEASED:
        refuse(outcome, HF_ALREADY_RELEASED, 0);
        break;
    case ORDER_EXPIRED:
        refuse(outcome, HF_EXPIRED, 0);
        break;
    case ORDER_RETURNED:
        replay(outcome);
        break;
    case ORDER_NONE:
        abort();
    }
}

static void extend_held(struct model *model, struct model_order *order, uint32_t asked,
                        struct order_outcome *outcome)
{
    uint32_t hold_ms;
    uint32_t line;
    if (!hold_time(model, order->lines, order->line_count, asked, &hold_ms, &line)) {
        refuse(outcome, HF_INVALID, line);
        return;
    }
    uint64_t deadline_ms = model->now_ms + hold_ms;
    if (deadline_ms <= order->deadline_ms) {
        replay(outcome);
    } else if (deadline_ms - order->first_deadline_ms > UINT32_MAX) {
        refuse(outcome, HF_INVALID, 0);
        return;
    } else {
        order->deadline_ms = deadline_ms;
    }
    outcome->deadline_ms = order->deadline_ms;
}

void model_extend(struct model *model, struct id128 id, uint32_t hold_ms,
                  struct order_outcome *outcome)
{
    struct model_order *order = find_for(model, id, outcome);
    if (!order) {
        return;
    }
    switch (order->state) {
    case ORDER_HELD:
        extend_held(model, order, hold_ms, outcome);
        break;
    case ORDER_RELEASED:
        refuse(outcome, HF_ALREADY_RELEASED, 0);
        break;
    case ORDER_EXPIRED:
        refuse(outcome, HF_EXPIRED, 0);
        break;
    case ORDER_COMMITTED:
    case ORDER_RETURNED:
        refuse(outcome, HF_ALREADY_COMMITTED, 0);
        break;
    case ORDER_NONE:
        abort();
    }
}

/* ---- Adjustments ---- */

static uint64_t texts_hash(const struct adjustment *asked)
{
    return hash_bytes(asked->reason.data, asked->reason.len) * 31 +
           hash_bytes(asked->reference.data, asked->reference.len);
}

static bool adjust_again(const struct model_adjustment *made, const struct adjustment *asked)
{
    bool same_change = asked->has_set_to
                           ? asked->set_to == made->stocked_after
                           : asked->delta == made->stocked_after - made->stocked_before;
    bool same_check = !asked->has_expected || asked->expected == made->stocked_before;
    return made->asked.item == asked->item && same_change && same_check &&
           made->texts == texts_hash(asked);
}

enum hf_status model_adjust(struct model *model, const struct adjustment *asked, bool *replayed)
{
    *replayed = false;
    for (uint32_t i = 0; i < model->adjustment_count; i++) {
        if (id_equal(model->adjustments[i].asked.id, asked->id)) {
            *replayed = adjust_again(&model->adjustments[i], asked);
            return *replayed ? HF_OK : HF_ID_CONFLICT;
        }
    }
    if (asked->item < 1 || asked->item > model->item_count) {
        return HF_UNKNOWN_ITEM;
    }
    struct model_item *item = &model->items[asked->item];
    if (asked->has_expected && asked->expected != item->stocked) {
        return HF_CONFLICT;
    }
    int64_t after = asked->has_set_to ? asked->set_to : item->stocked + asked->delta;
    if (after < 0 || after > STOCK_MAX) {
        return HF_INVALID;
    }
    struct stock_view view = model_stock(model, asked->item);
    bool covers = after + view.presale_cap >= view.held + view.sold;
    if (after < item->stocked && !covers && !asked->force) {
        return HF_WOULD_OVERSELL;
    }
    model->adjustments = grown(model->adjustments, &model->adjustment_capacity,
                               model->adjustment_count, sizeof *model->adjustments);
    model->adjustments[model->adjustment_count++] = (struct model_adjustment){
        .asked = *asked,
        .texts = texts_hash(asked),
        .stocked_before = item->stocked,
        .stocked_after = after,
    };
    item->stocked = after;
    return HF_OK;
}
