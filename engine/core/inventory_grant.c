/* inventory_grant.c - filling the lines of a shaped order: policies, fallbacks, limits, pre-sale.
 *
 * Lines are filled greedily, in phases; each line takes its units at once:
 *
 *     1  lines that need all of one item: lines of the same item are added up, as for a plain order
 *     2  the least that lines must have: the minimum of UP_TO, the whole of ALL with fallbacks
 *     3  the rest of UP_TO
 *     4  OPTIONAL: the whole quantity, or nothing
 *
 * So no line is filled beyond its minimum while another line still lacks units without which the
 * order fails. A line without `split` has units of one item only, so phase 3 may move its minimum
 * to an item that has the whole quantity.
 *
 * Limits are counted before units are taken, and units that were counted but not taken are
 * uncounted at once. So when one buyer makes two orders at the same time, one may be refused
 * because of units that the other then uncounts; the same happens with units of stock that an order
 * in progress has taken.
 *
 * Threads: any, under the order's shard lock.
 * Invariant: everything that is taken is in memory->grants, so that one function can undo it. */
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "core/inventory_grant.h"
#include "core/inventory_rules.h"
#include "core/inventory_units.h"

#define CHOICES_MAX (1u + LINE_FALLBACKS_MAX)

/* An item that may fill a line: it is on sale, and the buyer is known if its SKU needs one. */
struct choice {
    uint32_t item;
    uint32_t sku;
    uint32_t limit; /* 0: none */
    bool presale;
};

/* The filling of a request's lines, one at a time. */
struct filling {
    struct txn *txn;
    const struct order_request *request;
    struct order_grant *grants;
    uint32_t count;
    uint32_t second; /* grants of phase 2 begin here, in the order of lines */
    uint32_t third;  /* and end here */
    uint32_t cursor; /* in phase 3: the first grant of phase 2 that is of this line or a later one
                      */
    uint32_t line;   /* from 0 */
    struct choice choices[CHOICES_MAX];
    uint32_t choice_count;
    const char *reason; /* why no item may fill the line */
};

/* ---- The request ---- */

static const struct line_shape *shape_of(const struct order_request *request, uint32_t line)
{
    static const struct line_shape plain = {.policy = LINE_ALL};
    CHECK(line < request->line_count);
    return request->shapes ? &request->shapes[line] : &plain;
}

/* Whether the line needs its whole quantity, from its own item. */
static bool shape_is_plain(const struct line_shape *shape)
{
    return shape->policy == LINE_ALL && shape->fallback_count == 0;
}

bool shapes_matter(const struct order_request *request)
{
    for (uint32_t i = 0; request->shapes && i < request->line_count; i++) {
        if (!shape_is_plain(&request->shapes[i])) {
            return true;
        }
    }
    return false;
}

uint32_t grants_max(const struct order_request *request)
{
    CHECK(request->line_count >= 1);
    uint32_t max = request->line_count;
    for (uint32_t i = 0; request->shapes && i < request->line_count; i++) {
        const struct line_shape *shape = &request->shapes[i];
        CHECK(shape->fallback_count <= LINE_FALLBACKS_MAX);
        max += shape->split ? shape->fallback_count : 0;
    }
    CHECK(max <= ORDER_LINES_MAX);
    return max;
}

bool grants_simple(const struct order_request *request, const struct order_grant *grants,
                   uint32_t grant_count)
{
    bool simple = grant_count == request->line_count;
    for (uint32_t i = 0; simple && i < grant_count; i++) {
        simple = grants[i].line == i + 1 && grants[i].item == request->lines[i].item &&
                 grants[i].qty == request->lines[i].qty && grants[i].presale_qty == 0;
    }
    return simple;
}

/* Each line's hash is over the hash of the lines before it and the fields that decide how it may be
 * filled: fields that its policy does not use are left out. */
uint64_t order_contents(const struct order_request *request)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < request->line_count; i++) {
        const struct line_shape *shape = shape_of(request, i);
        uint8_t bytes[28 + 4 * LINE_FALLBACKS_MAX];
        uint32_t fallbacks = shape->fallback_count;
        CHECK(fallbacks <= LINE_FALLBACKS_MAX);
        store_u64(bytes, hash);
        store_u32(bytes + 8, request->lines[i].item);
        store_u32(bytes + 12, request->lines[i].qty);
        store_u32(bytes + 16, (uint32_t)shape->policy);
        store_u32(bytes + 20, shape->policy == LINE_UP_TO ? shape->min_qty : 0);
        store_u32(bytes + 24, shape->split && fallbacks > 0);
        for (uint32_t k = 0; k < fallbacks; k++) {
            store_u32(bytes + 28 + 4 * (size_t)k, shape->fallbacks[k]);
        }
        hash = hash_bytes(bytes, 28 + 4 * (size_t)fallbacks);
    }
    CHECK(request->line_count <= UINT16_MAX);
    return (hash & ~(uint64_t)UINT16_MAX) | request->line_count;
}

/* ---- Grants ---- */

/* Adds to a line's grant of the item, or makes one. Only in phase 3 does the line have grants
 * already: those of phase 2. */
static void grant_add(struct filling *filling, const struct choice *choice, int64_t qty,
                      int64_t presale)
{
    uint16_t line = (uint16_t)(filling->line + 1);
    CHECK(qty > 0 && qty <= QTY_MAX);
    CHECK(presale >= 0 && presale <= qty);
    for (uint32_t i = filling->cursor; i < filling->third && filling->grants[i].line == line; i++) {
        struct order_grant *grant = &filling->grants[i];
        if (grant->item == choice->item) {
            grant->qty += (uint32_t)qty;
            grant->presale_qty += (uint32_t)presale;
            CHECK(grant->qty <= filling->request->lines[filling->line].qty);
            return;
        }
    }
    CHECK(filling->count < ORDER_LINES_MAX);
    filling->grants[filling->count++] = (struct order_grant){.item = choice->item,
                                                             .qty = (uint32_t)qty,
                                                             .presale_qty = (uint32_t)presale,
                                                             .line = line,
                                                             .counted = choice->limit != 0};
}

static void limit_give_back(struct txn *txn, uint64_t buyer, uint32_t item, uint32_t units)
{
    CHECK(buyer != 0);
    CHECK(units >= 1);
    struct inventory *inventory = txn->inventory;
    buyers_give(inventory->buyers, catalog_item_sku(inventory->catalog, item), buyer, units);
}

static void grant_give_back(struct txn *txn, uint64_t buyer, const struct order_grant *grant)
{
    CHECK(grant->qty >= 1);
    CHECK(grant->presale_qty <= grant->qty);
    stock_give(txn->inventory->stock, txn->slot, grant->item, grant->qty);
    if (grant->counted) {
        limit_give_back(txn, buyer, grant->item, grant->qty);
    }
    if (grant->ticket != 0) {
        CHECK(presale_change(txn->inventory->presale, grant->item, grant->ticket,
                             -(int64_t)grant->presale_qty));
    }
}

void grants_give_back(struct txn *txn, uint64_t buyer, const struct order_grant *grants,
                      uint32_t grant_count)
{
    CHECK(grant_count <= ORDER_LINES_MAX);
    for (uint32_t i = 0; i < grant_count; i++) {
        grant_give_back(txn, buyer, &grants[i]);
    }
}

void grants_draw(struct txn *txn, struct order_grant *grants, uint32_t grant_count)
{
    for (uint32_t i = 0; i < grant_count; i++) {
        struct order_grant *grant = &grants[i];
        if (grant->presale_qty == 0) {
            continue;
        }
        CHECK(grant->ticket == 0);
        CHECK(grant->presale_qty <= grant->qty);
        struct presale *presale = txn->inventory->presale;
        grant->ticket = presale_draw(presale, grant->item);
        if (grant->ticket == 0 ||
            !presale_take(presale, grant->item, grant->ticket, grant->presale_qty)) {
            grant->presale_qty = 0; /* no room: sold without a ticket */
            grant->ticket = 0;
        }
    }
}

/* ---- The items that may fill a line ---- */

/* OK, or why the item may not be sold to this buyer now. */
static enum hf_status choice_of(const struct filling *filling, uint32_t item, struct choice *choice,
                                const char **reason)
{
    const struct inventory *inventory = filling->txn->inventory;
    CHECK(inventory_has_item(inventory, item));
    struct sale_rule rule;
    catalog_sale_rule(inventory->catalog, item, &rule);
    *choice = (struct choice){item, rule.sku, rule.limit_per_buyer, rule.presale};
    return sale_status(&rule, filling->txn, filling->request->buyer, reason);
}

static bool choices_have(const struct filling *filling, uint32_t item)
{
    for (uint32_t i = 0; i < filling->choice_count; i++) {
        if (filling->choices[i].item == item) {
            return true;
        }
    }
    return false;
}

/* Starts with a line. Its choices are its item and its fallbacks, in order; each only once if units
 * are taken from all of them together. Not OK: no item is left, and the status is why the line's
 * own item can't be sold. */
static enum hf_status line_choose(struct filling *filling, uint32_t line)
{
    const struct line_shape *shape = shape_of(filling->request, line);
    enum hf_status blocked = HF_OK;
    CHECK(shape->fallback_count <= LINE_FALLBACKS_MAX);
    filling->line = line;
    filling->choice_count = 0;
    for (uint32_t i = 0; i <= shape->fallback_count; i++) {
        uint32_t item = i == 0 ? filling->request->lines[line].item : shape->fallbacks[i - 1];
        const char *reason = NULL;
        struct choice *choice = &filling->choices[filling->choice_count];
        enum hf_status status = choice_of(filling, item, choice, &reason);
        if (status == HF_OK) {
            filling->choice_count += !(shape->split && choices_have(filling, item));
        } else if (blocked == HF_OK) {
            blocked = status;
            filling->reason = reason;
        }
    }
    CHECK(filling->choice_count <= CHOICES_MAX);
    CHECK(filling->choice_count > 0 || blocked != HF_OK);
    return filling->choice_count > 0 ? HF_OK : blocked;
}

/* ---- From one item ---- */

static enum hf_status limit_take(struct filling *filling, const struct choice *choice,
                                 uint32_t least, uint32_t most, uint32_t *room)
{
    CHECK(least <= most);
    *room = most;
    if (choice->limit == 0) {
        return HF_OK;
    }
    return buyers_take(filling->txn->inventory->buyers, choice->sku, filling->request->buyer, least,
                       most, choice->limit, room);
}

static void limit_give(struct filling *filling, const struct choice *choice, int64_t units)
{
    if (choice->limit != 0 && units > 0) {
        buyers_give(filling->txn->inventory->buyers, choice->sku, filling->request->buyer,
                    (uint32_t)units);
    }
}

/* Takes units of one item's stock: least..most, the most that are free. */
static enum hf_status units_fill(struct filling *filling, const struct choice *choice,
                                 uint32_t least, uint32_t most, struct stock_part *part)
{
    struct txn *txn = filling->txn;
    struct stock *stock = txn->inventory->stock;
    CHECK(least <= most);
    *part = (struct stock_part){.item = choice->item};
    if (least < most) {
        return stock_take_any(stock, txn->slot, part, 1, least, most);
    }
    part->taken = most;
    return choice->presale
               ? stock_take_presale(stock, txn->slot, choice->item, most, &part->presale)
               : plain_take(txn, choice->item, most, &part->presale);
}

/* Fills the line from one item, within the limit. */
static enum hf_status fill_one(struct filling *filling, const struct choice *choice, uint32_t least,
                               uint32_t most)
{
    uint32_t room = 0;
    enum hf_status status = limit_take(filling, choice, least, most, &room);
    if (status != HF_OK) {
        return status;
    }
    struct stock_part part;
    status = units_fill(filling, choice, least, room, &part);
    if (status != HF_OK) {
        limit_give(filling, choice, room);
        return status;
    }
    CHECK(part.taken >= least);
    CHECK(part.taken <= room);
    limit_give(filling, choice, room - part.taken);
    if (part.taken > 0) {
        grant_add(filling, choice, part.taken, part.presale);
    }
    return HF_OK;
}

/* Fills the line from the first item that has the whole quantity. If a limit excluded one of the
 * items, the limit is the reason of a failure, because units may be left. */
static enum hf_status fill_from_first(struct filling *filling, uint32_t qty)
{
    CHECK(qty >= 1);
    enum hf_status failed = HF_SOLD_OUT;
    for (uint32_t i = 0; i < filling->choice_count; i++) {
        enum hf_status status = fill_one(filling, &filling->choices[i], qty, qty);
        if (status == HF_OK || status == HF_FULL) {
            return status;
        }
        failed = status == HF_LIMIT_EXCEEDED ? status : failed;
    }
    return failed;
}

/* ---- From one item after another ---- */

/* What a split line may take, and what it takes. Items of one limited SKU share the room that the
 * limit leaves; `owner` is the first of these items. */
struct splitting {
    struct stock_part parts[CHOICES_MAX];
    uint32_t choice[CHOICES_MAX]; /* by part: its choice */
    uint32_t part_count;
    uint32_t owner[CHOICES_MAX]; /* by choice: its owner; the choice itself when its SKU is not
                                    limited */
    uint32_t room[CHOICES_MAX];  /* by owner: units counted towards the limit */
    bool short_of_room;          /* a limit leaves less than the line asks for */
};

static uint32_t split_owner(const struct filling *filling, uint32_t choice)
{
    const struct choice *choices = filling->choices;
    CHECK(choice < filling->choice_count);
    for (uint32_t i = 0; i < choice && choices[choice].limit; i++) {
        if (choices[i].limit && choices[i].sku == choices[choice].sku) {
            return i;
        }
    }
    return choice;
}

/* Uncounts the units that are still in the rooms. */
static void split_close(struct filling *filling, const struct splitting *split, uint32_t count)
{
    CHECK(count <= filling->choice_count);
    for (uint32_t i = 0; i < count; i++) {
        if (split->owner[i] == i) {
            limit_give(filling, &filling->choices[i], split->room[i]);
        }
    }
}

/* Counts up to `most` units towards each limit. Items without room do not become parts. */
static enum hf_status split_open(struct filling *filling, struct splitting *split, uint32_t most)
{
    split->part_count = 0;
    split->short_of_room = false;
    for (uint32_t i = 0; i < filling->choice_count; i++) {
        split->owner[i] = split_owner(filling, i);
        if (split->owner[i] == i) {
            enum hf_status status =
                limit_take(filling, &filling->choices[i], 0, most, &split->room[i]);
            if (status == HF_FULL) {
                split_close(filling, split, i);
                return status;
            }
            split->room[i] = status == HF_OK ? split->room[i] : 0;
        }
        uint32_t room = split->room[split->owner[i]];
        CHECK(room <= most);
        split->short_of_room |= room < most;
        if (room > 0) {
            split->parts[split->part_count] = (struct stock_part){.item = filling->choices[i].item};
            split->choice[split->part_count++] = i;
        }
    }
    return HF_OK;
}

/* Takes from all parts: at one moment if each limit leaves room for `most`, or if one limit applies
 * to all parts; else part by part. */
static enum hf_status split_take(struct filling *filling, struct splitting *split, uint32_t least,
                                 uint32_t most)
{
    struct txn *txn = filling->txn;
    struct stock *stock = txn->inventory->stock;
    uint32_t smallest = most;
    bool one_owner = true;
    for (uint32_t i = 0; i < split->part_count; i++) {
        uint32_t owner = split->owner[split->choice[i]];
        smallest = split->room[owner] < smallest ? split->room[owner] : smallest;
        one_owner = one_owner && owner == split->owner[split->choice[0]];
    }
    if (split->part_count == 0 || (one_owner && smallest < least)) {
        return HF_LIMIT_EXCEEDED;
    }
    if (one_owner || smallest == most) {
        return stock_take_any(stock, txn->slot, split->parts, split->part_count, least, smallest);
    }
    uint32_t room[CHOICES_MAX];
    memcpy(room, split->room, filling->choice_count * sizeof *room);
    int64_t left = most;
    for (uint32_t i = 0; i < split->part_count; i++) {
        uint32_t *rest = &room[split->owner[split->choice[i]]];
        int64_t want = *rest < left ? *rest : left;
        if (want > 0) {
            enum hf_status status = stock_take_any(stock, txn->slot, &split->parts[i], 1, 0, want);
            CHECK(status == HF_OK);
            CHECK(split->parts[i].taken <= want);
            left -= split->parts[i].taken;
            *rest -= (uint32_t)split->parts[i].taken;
        }
    }
    CHECK(left >= 0);
    if (most - left >= least) {
        return HF_OK;
    }
    for (uint32_t i = 0; i < split->part_count; i++) {
        if (split->parts[i].taken > 0) {
            stock_give(stock, txn->slot, split->parts[i].item, split->parts[i].taken);
        }
    }
    return HF_LIMIT_EXCEEDED;
}

/* Fills the line from all its choices together, one after another. */
static enum hf_status fill_split(struct filling *filling, uint32_t least, uint32_t most)
{
    struct splitting split;
    enum hf_status status = split_open(filling, &split, most);
    if (status != HF_OK) {
        return status;
    }
    status = split_take(filling, &split, least, most);
    for (uint32_t i = 0; status == HF_OK && i < split.part_count; i++) {
        const struct stock_part *part = &split.parts[i];
        const struct choice *choice = &filling->choices[split.choice[i]];
        if (part->taken > 0) {
            grant_add(filling, choice, part->taken, part->presale);
            if (choice->limit) {
                CHECK(split.room[split.owner[split.choice[i]]] >= part->taken);
                split.room[split.owner[split.choice[i]]] -= (uint32_t)part->taken;
            }
        }
    }
    split_close(filling, &split, filling->choice_count);
    return status == HF_SOLD_OUT && split.short_of_room ? HF_LIMIT_EXCEEDED : status;
}

/* ---- Phase 1: whole lines of one item ---- */

/* Counts the lines towards their limits and lists them in memory->wanted and the grants. */
static enum hf_status whole_lines_count(struct filling *filling)
{
    const struct order_request *request = filling->request;
    struct order_line *wanted = filling->txn->memory->wanted;
    for (uint32_t i = 0; i < request->line_count; i++) {
        wanted[i] = (struct order_line){request->lines[i].item, 0};
        if (!shape_is_plain(shape_of(request, i))) {
            continue;
        }
        enum hf_status status = line_choose(filling, i);
        uint32_t room;
        uint32_t qty = request->lines[i].qty;
        if (status == HF_OK) {
            status = limit_take(filling, &filling->choices[0], qty, qty, &room);
        }
        if (status != HF_OK) {
            return status;
        }
        wanted[i].qty = qty;
        grant_add(filling, &filling->choices[0], qty, 0);
    }
    return HF_OK;
}

static enum hf_status fill_whole_lines(struct filling *filling)
{
    struct txn *txn = filling->txn;
    uint32_t *presale = txn->memory->quantities;
    enum hf_status status = whole_lines_count(filling);
    if (status == HF_OK && filling->count > 0) {
        uint32_t blocking_line;
        status = units_take_presale(txn, txn->memory->wanted, filling->request->line_count, presale,
                                    &blocking_line);
        filling->line = blocking_line - 1;
        CHECK(status == HF_OK || blocking_line >= 1);
    }
    for (uint32_t i = 0; i < filling->count; i++) {
        struct order_grant *grant = &filling->grants[i];
        if (status == HF_OK) {
            grant->presale_qty = presale[grant->line - 1];
        } else if (grant->counted) {
            limit_give_back(txn, filling->request->buyer, grant->item, grant->qty);
        }
    }
    filling->count = status == HF_OK ? filling->count : 0;
    return status;
}

/* ---- Phases 2 to 4 ---- */

static enum hf_status fill_qty(struct filling *filling, uint32_t qty)
{
    return shape_of(filling->request, filling->line)->split && filling->choice_count > 1
               ? fill_split(filling, qty, qty)
               : fill_from_first(filling, qty);
}

static enum hf_status fill_minimums(struct filling *filling)
{
    const struct order_request *request = filling->request;
    for (uint32_t i = 0; i < request->line_count; i++) {
        const struct line_shape *shape = shape_of(request, i);
        bool up_to = shape->policy == LINE_UP_TO;
        uint32_t qty = up_to ? shape->min_qty : request->lines[i].qty;
        CHECK(qty <= request->lines[i].qty);
        if (shape->policy == LINE_OPTIONAL || shape_is_plain(shape) || qty == 0) {
            continue;
        }
        enum hf_status status = line_choose(filling, i);
        status = status == HF_OK ? fill_qty(filling, qty) : status;
        if (status != HF_OK) {
            return status;
        }
    }
    return HF_OK;
}

/* Takes the whole quantity from this item, in place of the line's minimum from another. */
static enum hf_status fill_move(struct filling *filling, const struct choice *choice,
                                struct order_grant *grant, uint32_t qty)
{
    struct txn *txn = filling->txn;
    /* If both items are of one SKU, the minimum stays counted. */
    bool same = grant->counted && choice->limit &&
                catalog_item_sku(txn->inventory->catalog, grant->item) == choice->sku;
    CHECK(grant->qty <= qty);
    uint32_t count = same ? qty - grant->qty : qty;
    uint32_t room;
    enum hf_status status = limit_take(filling, choice, count, count, &room);
    if (status != HF_OK) {
        return status;
    }
    struct stock_part part;
    status = units_fill(filling, choice, qty, qty, &part);
    if (status != HF_OK) {
        limit_give(filling, choice, count);
        return status;
    }
    stock_give(txn->inventory->stock, txn->slot, grant->item, grant->qty);
    if (grant->counted && !same) {
        limit_give_back(txn, filling->request->buyer, grant->item, grant->qty);
    }
    grant->item = choice->item;
    grant->qty = qty;
    grant->presale_qty = (uint32_t)part.presale;
    grant->counted = choice->limit != 0;
    return HF_OK;
}

/* Fills the rest of a line that is of one item; it may have its minimum already. It tries first to
 * find an item that has the whole quantity; if none has, it takes what one item has. FULL, or OK.
 */
static enum hf_status fill_rest_of_one(struct filling *filling, struct order_grant *minimum,
                                       uint32_t qty)
{
    CHECK(!minimum || minimum->qty < qty);
    uint32_t rest = minimum ? qty - minimum->qty : qty;
    for (uint32_t i = 0; i < filling->choice_count; i++) {
        const struct choice *choice = &filling->choices[i];
        enum hf_status status = minimum && minimum->item != choice->item
                                    ? fill_move(filling, choice, minimum, qty)
                                    : fill_one(filling, choice, rest, rest);
        if (status == HF_OK || status == HF_FULL) {
            return status;
        }
    }
    for (uint32_t i = 0; i < filling->choice_count; i++) {
        const struct choice *choice = &filling->choices[i];
        if (minimum && minimum->item != choice->item) {
            continue;
        }
        enum hf_status status = fill_one(filling, choice, 1, rest);
        if (status == HF_OK || status == HF_FULL) {
            return status;
        }
    }
    return HF_OK;
}

/* Moves the cursor to the line's grants of phase 2. */
static void minimum_seek(struct filling *filling)
{
    uint32_t line = filling->line + 1;
    while (filling->cursor < filling->third && filling->grants[filling->cursor].line < line) {
        filling->cursor++;
    }
}

/* The units of the line's grants of phase 2; *first: the first of these grants, NULL if it has
 * none. */
static uint32_t minimum_find(const struct filling *filling, struct order_grant **first)
{
    uint32_t line = filling->line + 1;
    uint32_t sum = 0;
    *first = NULL;
    CHECK(filling->cursor <= filling->third);
    for (uint32_t i = filling->cursor; i < filling->third && filling->grants[i].line == line; i++) {
        *first = *first ? *first : &filling->grants[i];
        sum += filling->grants[i].qty;
    }
    return sum;
}

/* Makes the items of the line's grants of phase 2 count towards limits exactly if those grants do:
 * an operator may have changed the rule in between. */
static void choices_count_as_minimum(struct filling *filling)
{
    uint32_t line = filling->line + 1;
    for (uint32_t i = filling->cursor; i < filling->third && filling->grants[i].line == line; i++) {
        const struct order_grant *grant = &filling->grants[i];
        for (uint32_t k = 0; k < filling->choice_count; k++) {
            struct choice *choice = &filling->choices[k];
            if (choice->item == grant->item && grant->counted != (choice->limit != 0)) {
                choice->limit = grant->counted ? UINT32_MAX : 0;
            }
        }
    }
}

static enum hf_status fill_rests(struct filling *filling)
{
    const struct order_request *request = filling->request;
    filling->cursor = filling->second;
    for (uint32_t i = 0; i < request->line_count; i++) {
        const struct line_shape *shape = shape_of(request, i);
        if (shape->policy != LINE_UP_TO || line_choose(filling, i) != HF_OK) {
            continue;
        }
        minimum_seek(filling);
        choices_count_as_minimum(filling);
        struct order_grant *minimum;
        uint32_t qty = request->lines[i].qty;
        uint32_t had = minimum_find(filling, &minimum);
        CHECK(had <= qty);
        uint32_t rest = qty - had;
        enum hf_status status = HF_OK;
        if (rest > 0) {
            status = shape->split ? fill_split(filling, 0, rest)
                                  : fill_rest_of_one(filling, minimum, qty);
        }
        if (status == HF_FULL) {
            return status;
        }
    }
    filling->cursor = filling->third;
    return HF_OK;
}

static enum hf_status fill_optional(struct filling *filling)
{
    for (uint32_t i = 0; i < filling->request->line_count; i++) {
        if (shape_of(filling->request, i)->policy == LINE_OPTIONAL &&
            line_choose(filling, i) == HF_OK &&
            fill_qty(filling, filling->request->lines[i].qty) == HF_FULL) {
            return HF_FULL;
        }
    }
    return HF_OK;
}

/* ---- All phases ---- */

/* Rules are checked before stock, as with plain orders. The blocking line is the first line that
 * the order needs and that no item may fill. */
static enum hf_status rules_allow(struct filling *filling)
{
    const struct order_request *request = filling->request;
    for (uint32_t i = 0; i < request->line_count; i++) {
        CHECK(request->lines[i].qty >= 1 && request->lines[i].qty <= QTY_MAX);
        if (shape_of(request, i)->policy == LINE_OPTIONAL) {
            continue;
        }
        enum hf_status status = line_choose(filling, i);
        if (status != HF_OK) {
            return status;
        }
    }
    return HF_OK;
}

/* A grant's sort key: by line, then by the order of the line's items. */
static uint64_t grant_key(const struct order_request *request, const struct order_grant *grant,
                          uint32_t i)
{
    const struct line_shape *shape = shape_of(request, grant->line - 1u);
    uint32_t rank = 0;
    while (grant->item !=
           (rank ? shape->fallbacks[rank - 1] : request->lines[grant->line - 1].item)) {
        rank++;
        CHECK(rank <= shape->fallback_count);
    }
    CHECK(i < ORDER_LINES_MAX);
    return (uint64_t)grant->line << 48 | (uint64_t)rank << 32 | i;
}

static void grants_sort(struct filling *filling)
{
    struct order_grant *grants = filling->grants;
    uint64_t *keys = filling->txn->memory->sort_keys;
    for (uint32_t i = 0; i < filling->count; i++) {
        keys[i] = grant_key(filling->request, &grants[i], i);
    }
    CHECK(filling->count <= ORDER_LINES_MAX);
    keys_sort(keys, filling->count);
    /* keys[i] is the index of the grant that belongs at i: moves the grants along each cycle. */
    for (uint32_t start = 0; start < filling->count; start++) {
        struct order_grant first = grants[start];
        for (uint32_t at = start;;) {
            uint32_t from = (uint32_t)keys[at];
            keys[at] = at;
            if (from == start) {
                grants[at] = first;
                break;
            }
            grants[at] = grants[from];
            at = from;
        }
    }
}

static const char *refusal_reason(const struct filling *filling, enum hf_status status)
{
    if (status == HF_SOLD_OUT) {
        return NULL;
    }
    return status == HF_LIMIT_EXCEEDED || status == HF_FULL
               ? count_reason(filling->txn->inventory, status)
               : filling->reason;
}

enum hf_status grants_take(struct txn *txn, const struct order_request *request,
                           uint32_t *grant_count, struct order_outcome *outcome)
{
    struct filling filling = {.txn = txn, .request = request, .grants = txn->memory->grants};
    enum hf_status status = rules_allow(&filling);
    if (status == HF_OK) {
        status = fill_whole_lines(&filling);
    }
    filling.second = filling.third = filling.cursor = filling.count;
    CHECK(status == HF_OK || filling.count == 0);
    if (status == HF_OK) {
        status = fill_minimums(&filling);
        filling.third = filling.count;
    }
    if (status == HF_OK) {
        status = fill_rests(&filling);
    }
    if (status == HF_OK) {
        status = fill_optional(&filling);
    }
    if (status != HF_OK) {
        grants_give_back(txn, request->buyer, filling.grants, filling.count);
        outcome->blocking_line = filling.line + 1;
        outcome->reason = refusal_reason(&filling, status);
    } else if (filling.count == 0) {
        status = HF_SOLD_OUT;
        outcome->blocking_line = 1;
        outcome->reason = "no line of the order could be given anything";
    } else {
        grants_sort(&filling);
    }
    CHECK(filling.count <= ORDER_LINES_MAX);
    outcome->status = status;
    *grant_count = status == HF_OK ? filling.count : 0;
    return status;
}
