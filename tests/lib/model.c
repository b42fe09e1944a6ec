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

static void *zeroed(size_t count, size_t size)
{
    void *at = calloc(count, size);
    if (!at) {
        abort();
    }
    return at;
}

void model_init(struct model *model, const struct inventory_options *options)
{
    *model = (struct model){.options = *options};
    model->items = zeroed((size_t)options->items_max + 1, sizeof *model->items);
    model->skus = zeroed((size_t)options->items_max + 1, sizeof *model->skus);
}

static void order_free(struct model_order *order)
{
    free(order->lines);
    free(order->grants);
}

void model_deinit(struct model *model)
{
    for (uint32_t i = 0; i < model->order_count; i++) {
        order_free(&model->orders[i]);
    }
    free(model->orders);
    free(model->adjustments);
    free(model->answer);
    free(model->items);
    free(model->skus);
}

uint32_t model_add_sku(struct model *model)
{
    return ++model->sku_count;
}

uint32_t model_add_item(struct model *model, uint32_t sku, int64_t safety, int64_t presale_cap)
{
    uint32_t item = ++model->item_count;
    model->items[item] =
        (struct model_item){.sku = sku, .safety = safety, .presale_cap = presale_cap};
    return item;
}

/* ---- Adding up ---- */

static const struct sku_rule *rule_of(const struct model *model, uint32_t item)
{
    return &model->skus[model->items[item].sku];
}

static uint32_t grant_held(const struct model_order *order, const struct order_line_view *grant)
{
    return order->state == ORDER_HELD ? grant->qty - grant->released : 0;
}

static uint32_t grant_sold(const struct model_order *order, const struct order_line_view *grant)
{
    bool sold = order->state == ORDER_COMMITTED || order->state == ORDER_RETURNED;
    return sold ? grant->committed - grant->returned : 0;
}

/* Units that the order still has. */
static uint32_t grant_live(const struct model_order *order, const struct order_line_view *grant)
{
    return grant_held(order, grant) + grant_sold(order, grant);
}

struct stock_view model_stock(const struct model *model, uint32_t item)
{
    const struct model_item *it = &model->items[item];
    struct stock_view view = {
        .stocked = it->stocked, .safety = it->safety, .presale_cap = it->presale_cap};
    for (uint32_t i = 0; i < model->order_count; i++) {
        const struct model_order *order = &model->orders[i];
        for (uint32_t j = 0; j < order->grant_count; j++) {
            const struct order_line_view *grant = &order->grants[j];
            if (grant->item == item) {
                view.held += grant_held(order, grant);
                view.sold += grant_sold(order, grant);
                view.settled += order->forgotten ? grant_sold(order, grant) : 0;
            }
        }
    }
    view.available = view.stocked - view.safety - view.held - view.sold + view.presale_cap;
    return view;
}

/* Units that count, whether or not the SKU is limited now. */
static uint32_t counted_units(const struct model *model, uint32_t sku, uint64_t buyer)
{
    uint32_t units = 0;
    for (uint32_t i = 0; i < model->order_count; i++) {
        const struct model_order *order = &model->orders[i];
        for (uint32_t j = 0; order->buyer == buyer && j < order->grant_count; j++) {
            const struct order_line_view *grant = &order->grants[j];
            if (grant->counted && model->items[grant->item].sku == sku) {
                units += grant_live(order, grant);
            }
        }
    }
    return units;
}

uint32_t model_buyer_units(const struct model *model, uint32_t sku, uint64_t buyer)
{
    return model->skus[sku].limit_per_buyer ? counted_units(model, sku, buyer) : 0;
}

uint64_t model_buyers(const struct model *model)
{
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < model->order_count; i++) {
        uint64_t buyer = model->orders[i].buyer;
        bool seen = false;
        for (uint32_t j = 0; j < i && !seen; j++) {
            seen = model->orders[j].buyer == buyer;
        }
        for (uint32_t sku = 1; !seen && sku <= model->sku_count; sku++) {
            pairs += counted_units(model, sku, buyer) > 0;
        }
    }
    return pairs;
}

/* ---- Who waits for stock ---- */

/* Pre-sold units that the order still has: the last to go when it gives some up. */
static uint32_t presale_live(const struct model_order *order, const struct order_line_view *grant)
{
    uint32_t live = grant_live(order, grant);
    return live < grant->presale_qty ? live : grant->presale_qty;
}

/* Pre-sold units of the item whose ticket is later. */
static int64_t presale_behind(const struct model *model, uint32_t item, uint32_t ticket)
{
    int64_t units = 0;
    for (uint32_t i = 0; i < model->order_count; i++) {
        const struct model_order *order = &model->orders[i];
        for (uint32_t j = 0; j < order->grant_count; j++) {
            if (order->grants[j].item == item && order->grants[j].ticket > ticket) {
                units += presale_live(order, &order->grants[j]);
            }
        }
    }
    return units;
}

uint32_t model_covered(const struct model *model, const struct model_order *order, uint32_t grant)
{
    const struct order_line_view *it = &order->grants[grant];
    struct stock_view view = model_stock(model, it->item);
    int64_t live = presale_live(order, it);
    int64_t uncovered = view.held + view.sold - (view.stocked - view.safety);
    if (uncovered < 0) {
        uncovered = 0;
    }
    /* Those behind go without before this one does. */
    uncovered -= presale_behind(model, it->item, it->ticket);
    if (uncovered < 0) {
        uncovered = 0;
    }
    return (uint32_t)(uncovered > live ? 0 : live - uncovered);
}

/* ---- Orders ---- */

static struct model_order *find(const struct model *model, struct id128 id)
{
    for (uint32_t i = 0; i < model->order_count; i++) {
        if (id_equal(model->orders[i].id, id) && !model->orders[i].forgotten) {
            return &model->orders[i];
        }
    }
    return NULL;
}

const struct model_order *model_find(const struct model *model, struct id128 id)
{
    return find(model, id);
}

static uint64_t orders_known(const struct model *model)
{
    uint64_t known = 0;
    for (uint32_t i = 0; i < model->order_count; i++) {
        known += !model->orders[i].forgotten;
    }
    return known;
}

static void order_end(const struct model *model, struct model_order *order, enum order_state state)
{
    order->state = state;
    order->ended_ms = model->now_ms;
}

uint32_t model_expire(struct model *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->order_count; i++) {
        struct model_order *order = &model->orders[i];
        if (order->deadline_ms <= model->now_ms) {
            order->swept = true;
            if (order->state == ORDER_HELD) {
                order_end(model, order, ORDER_EXPIRED);
                count++;
            }
        }
    }
    return count;
}

bool model_forget(struct model *model, struct id128 id)
{
    struct model_order *order = find(model, id);
    if (!order || order->state == ORDER_HELD) {
        return false;
    }
    order->forgotten = true;
    return true;
}

/* The order that an operation names, expired if it is due. */
static struct model_order *find_for(struct model *model, struct id128 id,
                                    struct order_outcome *outcome)
{
    *outcome = (struct order_outcome){.status = HF_NOT_FOUND};
    struct model_order *order = find(model, id);
    if (order) {
        if (order->state == ORDER_HELD && order->deadline_ms <= model->now_ms) {
            order_end(model, order, ORDER_EXPIRED);
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

/* An outcome's grants: the units that the order has now. None when it has none at all, or every
 * line has all it asked, from its own item and from stock. */
static void tell_grants(struct model *model, const struct model_order *order,
                        struct order_outcome *outcome)
{
    bool plain = order->grant_count == order->line_count;
    uint32_t count = 0;
    for (uint32_t i = 0; i < order->grant_count; i++) {
        const struct order_line_view *grant = &order->grants[i];
        const struct model_line *line = &order->lines[grant->line - 1];
        plain = plain && grant->item == line->items[0] && grant_live(order, grant) == line->qty &&
                grant->presale_qty == 0;
        if (grant_live(order, grant) == 0) {
            continue;
        }
        model->answer = grown(model->answer, &model->answer_capacity, count, sizeof *model->answer);
        model->answer[count++] = (struct order_grant){.item = grant->item,
                                                      .qty = grant_live(order, grant),
                                                      .presale_qty = presale_live(order, grant),
                                                      .ticket = grant->ticket,
                                                      .line = grant->line,
                                                      .counted = grant->counted};
    }
    outcome->grant_count = plain ? 0 : count;
    outcome->grants = plain || count == 0 ? NULL : model->answer;
}

/* ---- Rules ---- */

/* Whether units of the item may be sold to the buyer now at all. */
static enum hf_status sale_status(const struct model *model, uint32_t item, uint64_t buyer)
{
    const struct sku_rule *rule = rule_of(model, item);
    if (rule->paused) {
        return HF_PAUSED;
    }
    uint64_t wall_ms = (uint64_t)((int64_t)model->now_ms + model->wall_ahead_ms);
    if (wall_ms < rule->opens_at_ms) {
        return HF_NOT_OPEN;
    }
    if (rule->closes_at_ms != 0 && wall_ms >= rule->closes_at_ms) {
        return HF_CLOSED;
    }
    return rule->limit_per_buyer != 0 && buyer == 0 ? HF_BUYER_REQUIRED : HF_OK;
}

/* The first line that the order needs and that none of its items may be sold for blocks; what
 * stands in the way of its own item is why. */
static bool rules_allow(const struct model *model, const struct model_order *order,
                        struct order_outcome *outcome)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        const struct model_line *line = &order->lines[i];
        bool any = line->policy == LINE_OPTIONAL;
        for (uint32_t j = 0; j < line->item_count; j++) {
            any = any || sale_status(model, line->items[j], order->buyer) == HF_OK;
        }
        if (!any) {
            refuse(outcome, sale_status(model, line->items[0], order->buyer), i + 1);
            return false;
        }
    }
    return true;
}

/* The shortest and the greatest time to hold for items. */
struct hold {
    uint32_t usual; /* 0: no rule says */
    uint32_t most;
    uint32_t most_line; /* whose rule that is; 0: the engine's */
    bool any;
};

static void hold_add(const struct model *model, struct hold *hold, uint32_t item, uint32_t line)
{
    const struct sku_rule *rule = rule_of(model, item);
    if (rule->hold_ms && (hold->usual == 0 || rule->hold_ms < hold->usual)) {
        hold->usual = rule->hold_ms;
    }
    uint32_t max = rule->hold_ms_max ? rule->hold_ms_max : model->options.hold_ms_max;
    if (!hold->any || max < hold->most) {
        hold->most = max;
        hold->most_line = rule->hold_ms_max ? line : 0;
        hold->any = true;
    }
}

/* False: asked for more than is allowed, the outcome says by whose rule. */
static bool hold_time(const struct model *model, const struct hold *hold, uint32_t asked,
                      uint32_t *hold_ms, struct order_outcome *outcome)
{
    if (asked > hold->most) {
        refuse(outcome, HF_INVALID, hold->most_line);
        return false;
    }
    *hold_ms = asked ? asked : hold->usual ? hold->usual : model->options.hold_ms_default;
    if (*hold_ms > hold->most) {
        *hold_ms = hold->most;
    }
    return true;
}

/* ---- Filling an order ----
 *
 * The order is in the array and HELD while it is filled, so that every sum knows what it got so
 * far. Lines that must have all of it come first, then what lines need at least, then what they
 * may have, then gifts; each takes at once what it can get. */

/* Why the item can't give the order so many units; OK: it can. */
static enum hf_status why_not(const struct model *model, const struct model_order *order,
                              uint32_t item, uint64_t qty)
{
    enum hf_status status = sale_status(model, item, order->buyer);
    if (status != HF_OK) {
        return status;
    }
    uint32_t limit = rule_of(model, item)->limit_per_buyer;
    if (limit != 0 && counted_units(model, model->items[item].sku, order->buyer) + qty > limit) {
        return HF_LIMIT_EXCEEDED;
    }
    return model_stock(model, item).available < (int64_t)qty ? HF_SOLD_OUT : HF_OK;
}

/* Why a line can't have so many: where a limit stands in the way of one of its items, that. */
static enum hf_status why_not_line(const struct model *model, const struct model_order *order,
                                   uint32_t line, uint32_t qty)
{
    const struct model_line *asked = &order->lines[line];
    enum hf_status status = HF_SOLD_OUT;
    for (uint32_t i = 0; i < asked->item_count; i++) {
        if (why_not(model, order, asked->items[i], qty) == HF_LIMIT_EXCEEDED) {
            status = HF_LIMIT_EXCEEDED;
        }
    }
    return status;
}

/* As many units as the item can give, up to `most`. */
static uint32_t room(const struct model *model, const struct model_order *order, uint32_t item,
                     uint32_t most)
{
    while (most > 0 && why_not(model, order, item, most) != HF_OK) {
        most--;
    }
    return most;
}

/* The line's grant of the item; NULL if it has none. */
static struct order_line_view *grant_of(const struct model_order *order, uint32_t line,
                                        uint32_t item)
{
    for (uint32_t i = 0; i < order->grant_count; i++) {
        if (order->grants[i].line == line + 1 && order->grants[i].item == item) {
            return &order->grants[i];
        }
    }
    return NULL;
}

/* The line's first grant; NULL if it has none. */
static struct order_line_view *line_grant(const struct model_order *order, uint32_t line)
{
    for (uint32_t i = 0; i < order->grant_count; i++) {
        if (order->grants[i].line == line + 1) {
            return &order->grants[i];
        }
    }
    return NULL;
}

static struct order_line_view *grant_add(struct model_order *order, uint32_t line, uint32_t item)
{
    order->grants =
        grown(order->grants, &order->grant_capacity, order->grant_count, sizeof *order->grants);
    struct order_line_view *grant = &order->grants[order->grant_count++];
    *grant = (struct order_line_view){.item = item, .line = (uint16_t)(line + 1)};
    return grant;
}

/* Gives the line units of one of its items. */
static void give(const struct model *model, struct model_order *order, uint32_t line, uint32_t item,
                 uint32_t qty)
{
    struct stock_view view = model_stock(model, item);
    int64_t stocked_left = view.stocked - view.safety - view.held - view.sold;
    if (stocked_left < 0) {
        stocked_left = 0;
    }
    struct order_line_view *grant = grant_of(order, line, item);
    if (!grant) {
        grant = grant_add(order, line, item);
    }
    grant->qty += qty;
    grant->presale_qty += stocked_left < qty ? qty - (uint32_t)stocked_left : 0;
    grant->counted = rule_of(model, item)->limit_per_buyer != 0;
}

/* Units that the line has. */
static uint32_t line_qty(const struct model_order *order, uint32_t line)
{
    uint32_t qty = 0;
    for (uint32_t i = 0; i < order->grant_count; i++) {
        qty += order->grants[i].line == line + 1 ? order->grants[i].qty : 0;
    }
    return qty;
}

/* Takes back what the line has. */
static void line_undo(struct model_order *order, uint32_t line)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < order->grant_count; i++) {
        if (order->grants[i].line != line + 1) {
            order->grants[kept++] = order->grants[i];
        }
    }
    order->grant_count = kept;
}

/* Gives the line up to qty units of its items, one after another; returns how many. */
static uint32_t give_split(const struct model *model, struct model_order *order, uint32_t line,
                           uint32_t qty)
{
    const struct model_line *asked = &order->lines[line];
    uint32_t given = 0;
    for (uint32_t i = 0; i < asked->item_count && given < qty; i++) {
        uint32_t units = room(model, order, asked->items[i], qty - given);
        if (units > 0) {
            give(model, order, line, asked->items[i], units);
            given += units;
        }
    }
    return given;
}

/* Gives the line qty units of the first of its items that has them; false: none has. */
static bool give_one(const struct model *model, struct model_order *order, uint32_t line,
                     uint32_t qty)
{
    const struct model_line *asked = &order->lines[line];
    for (uint32_t i = 0; i < asked->item_count; i++) {
        if (why_not(model, order, asked->items[i], qty) == HF_OK) {
            give(model, order, line, asked->items[i], qty);
            return true;
        }
    }
    return false;
}

/* Gives a line without units exactly so many, by its shape. False: none. */
static bool give_exactly(const struct model *model, struct model_order *order, uint32_t line,
                         uint32_t qty)
{
    if (!order->lines[line].split) {
        return give_one(model, order, line, qty);
    }
    if (give_split(model, order, line, qty) < qty) {
        line_undo(order, line);
        return false;
    }
    return true;
}

static bool is_whole(const struct model_line *line)
{
    return line->policy == LINE_ALL && line->item_count == 1;
}

/* Lines that must have all of their own item: first the limits, in the order of lines. */
static bool whole_within_limits(const struct model *model, const struct model_order *order,
                                struct order_outcome *outcome)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        uint32_t item = order->lines[i].items[0];
        uint64_t wanted = 0;
        for (uint32_t j = 0; j <= i; j++) {
            const struct model_line *line = &order->lines[j];
            bool same = model->items[line->items[0]].sku == model->items[item].sku;
            wanted += is_whole(line) && same ? line->qty : 0;
        }
        if (is_whole(&order->lines[i]) &&
            why_not(model, order, item, wanted) == HF_LIMIT_EXCEEDED) {
            refuse(outcome, HF_LIMIT_EXCEEDED, i + 1);
            return false;
        }
    }
    return true;
}

/* Then stock, added up, in the order of items: the first line of one that is short blocks. */
static bool whole_in_stock(const struct model *model, const struct model_order *order,
                           struct order_outcome *outcome)
{
    for (uint32_t item = 1; item <= model->item_count; item++) {
        int64_t wanted = 0;
        uint32_t first = 0;
        for (uint32_t i = 0; i < order->line_count; i++) {
            if (is_whole(&order->lines[i]) && order->lines[i].items[0] == item) {
                wanted += order->lines[i].qty;
                first = first ? first : i + 1;
            }
        }
        if (wanted > 0 && wanted > model_stock(model, item).available) {
            refuse(outcome, HF_SOLD_OUT, first);
            return false;
        }
    }
    return true;
}

static bool fill_whole(const struct model *model, struct model_order *order,
                       struct order_outcome *outcome)
{
    if (!whole_within_limits(model, order, outcome) || !whole_in_stock(model, order, outcome)) {
        return false;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (is_whole(&order->lines[i])) {
            give(model, order, i, order->lines[i].items[0], order->lines[i].qty);
        }
    }
    return true;
}

/* What a line that has other items to fall back to, or takes what there is, needs at least. */
static uint32_t needed(const struct model_line *line)
{
    if (line->policy == LINE_UP_TO) {
        return line->min_qty;
    }
    return line->policy == LINE_ALL && !is_whole(line) ? line->qty : 0;
}

static bool fill_needs(const struct model *model, struct model_order *order,
                       struct order_outcome *outcome)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        uint32_t qty = needed(&order->lines[i]);
        if (qty > 0 && !give_exactly(model, order, i, qty)) {
            refuse(outcome, why_not_line(model, order, i, qty), i + 1);
            return false;
        }
    }
    return true;
}

/* The rest of a line that takes what there is, from one item. The first item with the whole
 * quantity gives it, in place of another that gave what the line needs. If there is none, the item
 * that gave that adds what it can, or the first with any units if none did. */
static void fill_more_of_one(const struct model *model, struct model_order *order, uint32_t line)
{
    const struct model_line *asked = &order->lines[line];
    uint32_t had = line_qty(order, line);
    for (uint32_t i = 0; i < asked->item_count; i++) {
        struct order_line_view *grant = line_grant(order, line);
        if (grant && grant->item != asked->items[i]) {
            struct order_line_view saved = *grant;
            grant->qty = 0;
            if (why_not(model, order, asked->items[i], asked->qty) == HF_OK) {
                line_undo(order, line);
                give(model, order, line, asked->items[i], asked->qty);
                return;
            }
            *grant = saved;
        } else if (why_not(model, order, asked->items[i], asked->qty - had) == HF_OK) {
            give(model, order, line, asked->items[i], asked->qty - had);
            return;
        }
    }
    for (uint32_t i = 0; i < asked->item_count; i++) {
        uint32_t units = room(model, order, asked->items[i], asked->qty - had);
        if (units > 0 && (had == 0 || grant_of(order, line, asked->items[i]))) {
            give(model, order, line, asked->items[i], units);
            return;
        }
    }
}

static void fill_more(const struct model *model, struct model_order *order, uint32_t line)
{
    uint32_t rest = order->lines[line].qty - line_qty(order, line);
    if (rest > 0 && order->lines[line].split) {
        give_split(model, order, line, rest);
    } else if (rest > 0) {
        fill_more_of_one(model, order, line);
    }
}

static bool fill(struct model *model, struct model_order *order, struct order_outcome *outcome)
{
    if (!fill_whole(model, order, outcome) || !fill_needs(model, order, outcome)) {
        return false;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (order->lines[i].policy == LINE_UP_TO) {
            fill_more(model, order, i);
        }
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (order->lines[i].policy == LINE_OPTIONAL) {
            give_exactly(model, order, i, order->lines[i].qty);
        }
    }
    if (order->grant_count == 0) {
        refuse(outcome, HF_SOLD_OUT, 1);
        return false;
    }
    return true;
}

/* ---- Reserve ---- */

/* What of a request's line counts: two that differ in nothing else are the same. */
static struct model_line line_asked(const struct order_request *request, uint32_t line)
{
    struct model_line asked = {
        .qty = request->lines[line].qty, .item_count = 1, .items = {request->lines[line].item}};
    if (request->shapes) {
        const struct line_shape *shape = &request->shapes[line];
        asked.policy = shape->policy;
        asked.min_qty = shape->policy == LINE_UP_TO ? shape->min_qty : 0;
        asked.split = shape->split && shape->fallback_count > 0;
        asked.item_count += shape->fallback_count;
        for (uint32_t i = 0; i < shape->fallback_count; i++) {
            asked.items[1 + i] = shape->fallbacks[i];
        }
    }
    return asked;
}

static bool line_equal(const struct model_line *a, const struct model_line *b)
{
    return a->qty == b->qty && a->policy == b->policy && a->min_qty == b->min_qty &&
           a->split == b->split && a->item_count == b->item_count &&
           memcmp(a->items, b->items, sizeof a->items) == 0;
}

static void reserve_again(struct model *model, const struct model_order *order,
                          const struct order_request *request, struct order_outcome *outcome)
{
    outcome->state = order->state;
    bool same = order->buyer == request->buyer && order->line_count == request->line_count;
    for (uint32_t i = 0; same && i < request->line_count; i++) {
        struct model_line asked = line_asked(request, i);
        same = line_equal(&order->lines[i], &asked);
    }
    if (!same) {
        refuse(outcome, HF_ID_CONFLICT, 0);
        return;
    }
    replay(outcome);
    outcome->deadline_ms = order->deadline_ms;
    tell_grants(model, order, outcome);
}

/* Adds the order to the array: held, but of nothing yet. */
static struct model_order *order_add(struct model *model, const struct order_request *request)
{
    model->orders =
        grown(model->orders, &model->order_capacity, model->order_count, sizeof *model->orders);
    struct model_order *order = &model->orders[model->order_count++];
    *order = (struct model_order){.id = request->id,
                                  .buyer = request->buyer,
                                  .state = ORDER_HELD,
                                  .line_count = request->line_count};
    order->lines = zeroed(request->line_count, sizeof *order->lines);
    for (uint32_t i = 0; i < request->line_count; i++) {
        order->lines[i] = line_asked(request, i);
    }
    return order;
}

/* Puts grants in the order of lines, and of each line's items. */
static void order_sort(struct model_order *order)
{
    struct order_line_view *sorted = zeroed(order->grant_count, sizeof *sorted);
    uint32_t count = 0;
    for (uint32_t line = 0; line < order->line_count; line++) {
        for (uint32_t i = 0; i < order->lines[line].item_count; i++) {
            struct order_line_view *grant = grant_of(order, line, order->lines[line].items[i]);
            if (grant) {
                sorted[count++] = *grant;
                grant->line = 0; /* an item may be named twice */
            }
        }
    }
    free(order->grants);
    order->grants = sorted;
    order->grant_capacity = count;
}

/* How long to hold: by the rules of the SKUs of which units were given. */
static bool hold_granted(const struct model *model, const struct model_order *order, uint32_t asked,
                         uint32_t *hold_ms, struct order_outcome *outcome)
{
    struct hold hold = {0};
    for (uint32_t i = 0; i < order->grant_count; i++) {
        hold_add(model, &hold, order->grants[i].item, order->grants[i].line);
    }
    return hold_time(model, &hold, asked, hold_ms, outcome);
}

/* Of lines that get all of their own item or nothing, that is known before any is given. */
static bool hold_plain(const struct model *model, const struct model_order *order, uint32_t asked,
                       struct order_outcome *outcome)
{
    struct hold hold = {0};
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (!is_whole(&order->lines[i])) {
            return true;
        }
        hold_add(model, &hold, order->lines[i].items[0], i + 1);
    }
    uint32_t hold_ms;
    return hold_time(model, &hold, asked, &hold_ms, outcome);
}

static bool reserve_new(struct model *model, struct model_order *order, uint32_t asked_ms,
                        struct order_outcome *outcome)
{
    if (!rules_allow(model, order, outcome) || !hold_plain(model, order, asked_ms, outcome) ||
        !fill(model, order, outcome)) {
        return false;
    }
    order_sort(order);
    uint32_t hold_ms;
    if (!hold_granted(model, order, asked_ms, &hold_ms, outcome)) {
        return false;
    }
    if (orders_known(model) > model->options.orders_max) {
        refuse(outcome, HF_FULL, 0);
        return false;
    }
    order->deadline_ms = order->first_deadline_ms = model->now_ms + hold_ms;
    for (uint32_t i = 0; i < order->grant_count; i++) {
        struct order_line_view *grant = &order->grants[i];
        grant->ticket = grant->presale_qty ? ++model->items[grant->item].tickets : 0;
    }
    return true;
}

void model_reserve(struct model *model, const struct order_request *request,
                   struct order_outcome *outcome)
{
    *outcome = (struct order_outcome){.status = HF_OK};
    const struct model_order *known = find(model, request->id);
    if (known) {
        reserve_again(model, known, request, outcome);
        return;
    }
    struct model_order *order = order_add(model, request);
    if (!reserve_new(model, order, request->hold_ms, outcome)) {
        order_free(order);
        model->order_count--;
        return;
    }
    outcome->state = ORDER_HELD;
    outcome->deadline_ms = order->deadline_ms;
    tell_grants(model, order, outcome);
}

/* ---- Quantities of an edit ---- */

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

/* What a line's grants have: a sum over one of their numbers. */
enum number { QTY, LEFT, RELEASED, COMMITTED, RETURNED };

static uint32_t number_of(const struct order_line_view *grant, enum number number)
{
    switch (number) {
    case QTY:
        return grant->qty;
    case LEFT:
        return grant->qty - grant->released;
    case RELEASED:
        return grant->released;
    case COMMITTED:
        return grant->committed;
    default:
        return grant->returned;
    }
}

static uint32_t line_sum(const struct model_order *order, uint32_t line, enum number number)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < order->grant_count; i++) {
        sum += order->grants[i].line == line + 1 ? number_of(&order->grants[i], number) : 0;
    }
    return sum;
}

/* What an operation may name of a line. It is the same in each state, but that nothing is known of
 * what an order that was released had before. */
static uint32_t may_name(const struct model_order *order, uint32_t line, enum number operation)
{
    if (order->state == ORDER_RELEASED || operation == RELEASED) {
        return line_sum(order, line, QTY);
    }
    bool paid = order->state == ORDER_COMMITTED || order->state == ORDER_RETURNED;
    return line_sum(order, line, operation == RETURNED && paid ? COMMITTED : LEFT);
}

/* What a request says is right or wrong whatever the order's state is. operation: the number that
 * it raises. False: refused. */
static bool edit_fits(const struct model_order *order, const struct order_edit *edit,
                      enum number operation, uint32_t *qty, struct order_outcome *outcome)
{
    if (!named(order, edit, qty, outcome)) {
        return false;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (!within(qty[i], may_name(order, i, operation), i, outcome)) {
            return false;
        }
        sum += qty[i] == UINT32_MAX ? 0 : qty[i];
    }
    if (operation == COMMITTED && edit->line_count > 0 && sum == 0) {
        refuse(outcome, HF_INVALID, 0);
        return false;
    }
    return true;
}

/* ---- Commit ---- */

/* Whether all that the expired order had not released is free again. */
static bool free_again(const struct model *model, const struct model_order *order,
                       struct order_outcome *outcome)
{
    for (uint32_t item = 1; item <= model->item_count; item++) {
        int64_t wanted = 0;
        uint32_t first = 0;
        for (uint32_t i = 0; i < order->grant_count; i++) {
            const struct order_line_view *grant = &order->grants[i];
            if (grant->item == item && number_of(grant, LEFT) > 0) {
                wanted += number_of(grant, LEFT);
                first = first ? first : grant->line;
            }
        }
        if (wanted > 0 && wanted > model_stock(model, item).available) {
            refuse(outcome, HF_EXPIRED_SOLD_OUT, first);
            return false;
        }
    }
    return true;
}

/* Whether what counted of it is within the limits as they are now. */
static bool counts_again(const struct model *model, const struct model_order *order,
                         struct order_outcome *outcome)
{
    for (uint32_t i = 0; i < order->grant_count; i++) {
        uint32_t sku = model->items[order->grants[i].item].sku;
        uint32_t limit = model->skus[sku].limit_per_buyer;
        uint64_t wanted = counted_units(model, sku, order->buyer);
        for (uint32_t j = 0; j <= i; j++) {
            const struct order_line_view *grant = &order->grants[j];
            bool same = grant->counted && model->items[grant->item].sku == sku;
            wanted += same ? number_of(grant, LEFT) : 0;
        }
        bool counts = order->grants[i].counted && number_of(&order->grants[i], LEFT) > 0;
        if (counts && limit != 0 && wanted > limit) {
            refuse(outcome, HF_LIMIT_EXCEEDED, order->grants[i].line);
            return false;
        }
    }
    return true;
}

/* How many units of each line a commit is for. */
static void commit_wanted(const struct model_order *order, const struct order_edit *edit,
                          uint32_t *qty)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (edit->line_count == 0) {
            qty[i] = line_sum(order, i, LEFT);
        } else if (qty[i] == UINT32_MAX) {
            qty[i] = 0;
        }
    }
}

/* A commit of what is committed: it must be the same one. */
static void commit_again(const struct model_order *order, const struct order_edit *edit,
                         uint32_t *qty, struct order_outcome *outcome)
{
    commit_wanted(order, edit, qty);
    replay(outcome);
    for (uint32_t i = 0; i < order->line_count; i++) {
        if (qty[i] != line_sum(order, i, COMMITTED)) {
            outcome->replayed = false;
            refuse(outcome, HF_ID_CONFLICT, 0);
        }
    }
}

static void commit_units(struct model *model, struct model_order *order,
                         const struct order_edit *edit, uint32_t *qty,
                         struct order_outcome *outcome)
{
    commit_wanted(order, edit, qty);
    if (order->state == ORDER_EXPIRED &&
        (!free_again(model, order, outcome) || !counts_again(model, order, outcome))) {
        return;
    }
    /* A line's first grants are bought, its last ones given up. */
    for (uint32_t i = 0; i < order->grant_count; i++) {
        struct order_line_view *grant = &order->grants[i];
        uint32_t *rest = &qty[grant->line - 1];
        uint32_t left = number_of(grant, LEFT);
        grant->committed = *rest < left ? *rest : left;
        *rest -= grant->committed;
    }
    order_end(model, order, ORDER_COMMITTED);
    *outcome = (struct order_outcome){.status = HF_OK, .state = ORDER_COMMITTED};
}

void model_commit(struct model *model, const struct order_edit *edit, struct order_outcome *outcome)
{
    uint32_t qty[ORDER_LINES_MAX];
    struct model_order *order = find_for(model, edit->id, outcome);
    if (!order || !edit_fits(order, edit, COMMITTED, qty, outcome)) {
        return;
    }
    switch (order->state) {
    case ORDER_HELD:
        commit_units(model, order, edit, qty, outcome);
        break;
    case ORDER_EXPIRED:
        refuse(outcome, HF_EXPIRED, 0);
        if (edit->late_ok) {
            commit_units(model, order, edit, qty, outcome);
        }
        break;
    case ORDER_COMMITTED:
    case ORDER_RETURNED:
        commit_again(order, edit, qty, outcome);
        break;
    case ORDER_RELEASED:
        refuse(outcome, HF_ALREADY_RELEASED, 0);
        break;
    case ORDER_NONE:
        abort();
    }
}

/* ---- Release and return ---- */

/* Totals for the line since the order was made. */
static void move_totals(const struct model *model, struct model_order *order, bool returns,
                        const struct order_edit *edit, uint32_t *qty, struct order_outcome *outcome)
{
    bool changes = false;
    bool all = true;
    for (uint32_t i = 0; i < order->line_count; i++) {
        uint32_t most = line_sum(order, i, returns ? COMMITTED : QTY);
        uint32_t before = line_sum(order, i, returns ? RETURNED : RELEASED);
        if (edit->line_count == 0) {
            qty[i] = most;
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
    /* A line's last grants are given up first. */
    for (uint32_t i = order->grant_count; i-- > 0;) {
        struct order_line_view *grant = &order->grants[i];
        uint32_t *rest = &qty[grant->line - 1];
        uint32_t most = returns ? grant->committed : grant->qty;
        uint32_t total = *rest < most ? *rest : most;
        *(returns ? &grant->returned : &grant->released) = total;
        *rest -= total;
    }
    if (all) {
        order_end(model, order, returns ? ORDER_RETURNED : ORDER_RELEASED);
    }
    *outcome = (struct order_outcome){.status = HF_OK, .state = order->state};
}

/* Whether lines were released so far before they were paid. */
static bool released_before(const struct model_order *order, const struct order_edit *edit,
                            const uint32_t *qty)
{
    bool before = edit->line_count > 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        before = before && (qty[i] == UINT32_MAX || qty[i] <= line_sum(order, i, RELEASED));
    }
    return before;
}

void model_release(struct model *model, const struct order_edit *edit,
                   struct order_outcome *outcome)
{
    uint32_t qty[ORDER_LINES_MAX];
    struct model_order *order = find_for(model, edit->id, outcome);
    if (!order || !edit_fits(order, edit, RELEASED, qty, outcome)) {
        return;
    }
    switch (order->state) {
    case ORDER_HELD:
        move_totals(model, order, false, edit, qty, outcome);
        break;
    case ORDER_RELEASED:
    case ORDER_EXPIRED:
        replay(outcome);
        break;
    case ORDER_COMMITTED:
    case ORDER_RETURNED:
        if (released_before(order, edit, qty)) {
            replay(outcome);
        } else {
            refuse(outcome, HF_ALREADY_COMMITTED, 0);
        }
        break;
    case ORDER_NONE:
        abort();
    }
}

void model_return(struct model *model, const struct order_edit *edit, struct order_outcome *outcome)
{
    uint32_t qty[ORDER_LINES_MAX];
    struct model_order *order = find_for(model, edit->id, outcome);
    if (!order || !edit_fits(order, edit, RETURNED, qty, outcome)) {
        return;
    }
    switch (order->state) {
    case ORDER_HELD:
        refuse(outcome, HF_NOT_COMMITTED, 0);
        break;
    case ORDER_COMMITTED:
        move_totals(model, order, true, edit, qty, outcome);
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

/* ---- Extend ---- */

static void extend_held(struct model *model, struct model_order *order, uint32_t hold_ms,
                        struct order_outcome *outcome)
{
    uint64_t deadline_ms = model->now_ms + hold_ms;
    if (deadline_ms <= order->deadline_ms) {
        replay(outcome);
    } else if (deadline_ms - order->first_deadline_ms > UINT32_MAX) {
        refuse(outcome, HF_INVALID, 0);
        return;
    } else {
        order->deadline_ms = deadline_ms;
        order->swept = false;
    }
    outcome->deadline_ms = order->deadline_ms;
}

void model_extend(struct model *model, struct id128 id, uint32_t hold_ms,
                  struct order_outcome *outcome)
{
    struct model_order *order = find_for(model, id, outcome);
    if (!order || !hold_granted(model, order, hold_ms, &hold_ms, outcome)) {
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

/* ---- Adjustments and moves ---- */

static uint64_t texts_hash(struct bytes reason, struct bytes reference)
{
    return hash_bytes(reason.data, reason.len) * 31 + hash_bytes(reference.data, reference.len);
}

/* What was made under an id, be it an adjustment or a move. */
static const struct model_adjustment *find_made(const struct model *model, struct id128 id)
{
    for (uint32_t i = 0; i < model->adjustment_count; i++) {
        if (id_equal(model->adjustments[i].id, id)) {
            return &model->adjustments[i];
        }
    }
    return NULL;
}

static void add_made(struct model *model, struct model_adjustment made)
{
    model->adjustments = grown(model->adjustments, &model->adjustment_capacity,
                               model->adjustment_count, sizeof *model->adjustments);
    model->adjustments[model->adjustment_count++] = made;
}

static bool adjust_again(const struct model_adjustment *made, const struct adjustment *asked)
{
    bool same_change = asked->has_set_to
                           ? asked->set_to == made->stocked_after
                           : asked->delta == made->stocked_after - made->stocked_before;
    bool same_check = !asked->has_expected || asked->expected == made->stocked_before;
    return made->item == asked->item && made->to == 0 && same_change && same_check &&
           made->texts == texts_hash(asked->reason, asked->reference);
}

/* Whether so much stock covers what was promised of the item. */
static bool covers(const struct model *model, uint32_t item, int64_t stocked)
{
    struct stock_view view = model_stock(model, item);
    return stocked + view.presale_cap >= view.held + view.sold;
}

enum hf_status model_adjust(struct model *model, const struct adjustment *asked, bool *replayed)
{
    *replayed = false;
    const struct model_adjustment *made = find_made(model, asked->id);
    if (made) {
        *replayed = adjust_again(made, asked);
        return *replayed ? HF_OK : HF_ID_CONFLICT;
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
    if (after < item->stocked && !covers(model, asked->item, after) && !asked->force) {
        return HF_WOULD_OVERSELL;
    }
    add_made(model, (struct model_adjustment){.id = asked->id,
                                              .item = asked->item,
                                              .texts = texts_hash(asked->reason, asked->reference),
                                              .stocked_before = item->stocked,
                                              .stocked_after = after});
    item->stocked = after;
    return HF_OK;
}

static bool move_again(const struct model_adjustment *made, const struct move *asked)
{
    bool same_check = !asked->has_expected || asked->expected == made->stocked_before;
    return made->item == asked->from && made->to == asked->to && same_check &&
           asked->units == made->stocked_before - made->stocked_after &&
           made->texts == texts_hash(asked->reason, asked->reference);
}

enum hf_status model_move(struct model *model, const struct move *asked, bool *replayed)
{
    *replayed = false;
    const struct model_adjustment *made = find_made(model, asked->id);
    if (made) {
        *replayed = move_again(made, asked);
        return *replayed ? HF_OK : HF_ID_CONFLICT;
    }
    if (asked->from < 1 || asked->from > model->item_count || asked->to < 1 ||
        asked->to > model->item_count) {
        return HF_UNKNOWN_ITEM;
    }
    struct model_item *from = &model->items[asked->from];
    struct model_item *to = &model->items[asked->to];
    if (asked->from == asked->to || from->sku != to->sku) {
        return HF_INVALID;
    }
    if (asked->has_expected && asked->expected != from->stocked) {
        return HF_CONFLICT;
    }
    if (from->stocked < asked->units || to->stocked + asked->units > STOCK_MAX) {
        return HF_INVALID;
    }
    if (!covers(model, asked->from, from->stocked - asked->units) && !asked->force) {
        return HF_WOULD_OVERSELL;
    }
    add_made(model, (struct model_adjustment){.id = asked->id,
                                              .item = asked->from,
                                              .to = asked->to,
                                              .texts = texts_hash(asked->reason, asked->reference),
                                              .stocked_before = from->stocked,
                                              .stocked_after = from->stocked - asked->units});
    from->stocked -= asked->units;
    to->stocked += asked->units;
    return HF_OK;
}
