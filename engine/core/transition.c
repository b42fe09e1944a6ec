/* transition.c - what an event does to an order, and to the digest.
 *
 * Threads: pure functions; entries under their shard's lock. */
#include "core/transition.h"

#include "base/check.h"
#include "base/hash.h"

/* ---- Lines ---- */

/* The line of an order without a block: the order's state applies to all of its units. */
static struct order_line_view whole_line(const struct order *order, enum order_state state)
{
    CHECK(!(order->flags & ORDER_BLOCK) || order->line_count == 1);
    struct order_line one = order->one;
    struct order_line_view line = {.item = one.item, .qty = one.qty, .line = 1};
    line.released = state == ORDER_RELEASED ? one.qty : 0;
    line.committed = state == ORDER_COMMITTED || state == ORDER_RETURNED ? one.qty : 0;
    line.returned = state == ORDER_RETURNED ? one.qty : 0;
    line.counted = (order->flags & ORDER_COUNTED) != 0;
    return line;
}

struct order_line_view transition_line(const struct order *order, uint32_t line)
{
    CHECK(line < order->line_count);
    if (!(order->flags & ORDER_BLOCK)) {
        return whole_line(order, (enum order_state)order->state);
    }
    struct order_line_view view = order->lines[line];
    if (!(order->flags & ORDER_SHAPED)) {
        view.line = (uint16_t)(line + 1);
    }
    return view;
}

uint32_t transition_asked_lines(const struct order *order)
{
    return order->flags & ORDER_SHAPED ? (uint32_t)(order->contents & UINT16_MAX)
                                       : order->line_count;
}

struct order_line_view transition_line_after(const struct order_line_view *line,
                                             enum event_type type, uint32_t qty)
{
    CHECK(line->released <= line->qty);
    CHECK(line->returned <= line->committed);
    struct order_line_view after = *line;
    switch (type) {
    case EVENT_ORDER_COMMITTED:
        after.committed = qty == QTY_ALL ? line->qty - line->released : qty;
        break;
    case EVENT_ORDER_RELEASED:
        after.released = qty == QTY_ALL ? line->qty : qty;
        break;
    case EVENT_ORDER_RETURNED:
        after.returned = qty == QTY_ALL ? line->committed : qty;
        break;
    default:
        break; /* EXPIRED, EXTENDED: released, committed and returned stay the same */
    }
    CHECK(after.committed <= after.qty);
    CHECK(after.released <= after.qty);
    return after;
}

struct order_line_view transition_held_line(const struct event *event, uint32_t i)
{
    if (event->grants) {
        const struct order_grant *grant = &event->grants[i];
        return (struct order_line_view){.item = grant->item,
                                        .qty = grant->qty,
                                        .presale_qty = grant->presale_qty,
                                        .ticket = grant->ticket,
                                        .line = grant->line,
                                        .counted = grant->counted};
    }
    struct order_line line = event->line_count == 1 ? event->one : event->lines[i];
    return (struct order_line_view){.item = line.item,
                                    .qty = line.qty,
                                    .line = (uint16_t)(i + 1),
                                    .counted = (event->flags & EVENT_COUNTED) != 0};
}

static bool line_equal(const struct order_line_view *a, const struct order_line_view *b)
{
    return a->item == b->item && a->qty == b->qty && a->released == b->released &&
           a->committed == b->committed && a->returned == b->returned;
}

bool transition_needs_block(const struct order *order, const struct event *event)
{
    if (order->flags & ORDER_BLOCK) {
        return false;
    }
    CHECK(order->line_count == 1);
    CHECK(!(order->flags & ORDER_SHAPED));
    struct order_line_view line = transition_line(order, 0);
    struct order_line_view after = transition_line_after(&line, event->type, event_qty(event, 0));
    struct order_line_view whole = whole_line(order, transition_state(order, event));
    return !line_equal(&after, &whole);
}

/* ---- States ---- */

static bool state_fits(enum order_state state, const struct event *event)
{
    switch (event->type) {
    case EVENT_ORDER_COMMITTED:
        return state == (event->flags & EVENT_LATE ? ORDER_EXPIRED : ORDER_HELD);
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_EXTENDED:
        return state == ORDER_HELD;
    case EVENT_ORDER_RETURNED:
        return state == ORDER_COMMITTED;
    default:
        return false;
    }
}

/* Checks quantities: each is at most what the line has, none is less than before, and at least one
 * changes. */
static const char *quantities_misfit(const struct order *order, const struct event *event)
{
    CHECK(event->line_count == order->line_count);
    bool changes = false;
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        uint32_t qty = event->quantities[i];
        uint32_t most = line.qty;
        uint32_t least = line.released;
        if (event->type == EVENT_ORDER_COMMITTED) {
            most = line.qty - line.released;
            least = 0;
        } else if (event->type == EVENT_ORDER_RETURNED) {
            most = line.committed;
            least = line.returned;
        }
        if (qty < least || qty > most) {
            return "a quantity is not within what its line has";
        }
        changes = changes || qty > least;
    }
    return changes ? NULL : "the quantities change nothing";
}

const char *transition_misfit(const struct order *order, const struct event *event)
{
    if (!state_fits((enum order_state)order->state, event)) {
        return "the order is not in a state for this";
    }
    if (event->type == EVENT_ORDER_EXTENDED) {
        uint64_t present = order_deadline(order);
        return event->deadline_ms <= present || event->deadline_ms - order->deadline_ms > UINT32_MAX
                   ? "the deadline is not later, or too far"
                   : NULL;
    }
    if (!event->quantities) {
        return NULL;
    }
    if (event->type == EVENT_ORDER_EXPIRED || event->line_count != order->line_count) {
        return "the quantities are not one for each line";
    }
    return quantities_misfit(order, event);
}

enum order_state transition_state(const struct order *order, const struct event *event)
{
    bool all = true;
    for (uint32_t i = 0; event->quantities && all && i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        uint32_t most = event->type == EVENT_ORDER_RETURNED ? line.committed : line.qty;
        all = event->quantities[i] == most;
    }
    switch (event->type) {
    case EVENT_ORDER_COMMITTED:
        return ORDER_COMMITTED;
    case EVENT_ORDER_RELEASED:
        return all ? ORDER_RELEASED : ORDER_HELD;
    case EVENT_ORDER_EXPIRED:
        return ORDER_EXPIRED;
    case EVENT_ORDER_RETURNED:
        return all ? ORDER_RETURNED : ORDER_COMMITTED;
    default:
        CHECK(event->type == EVENT_ORDER_EXTENDED);
        return ORDER_HELD;
    }
}

void transition_enter(struct order *order, const struct event *event, struct order_line_view *block)
{
    CHECK(event->line_count >= 1);
    order->buyer = event->buyer;
    order->deadline_ms = event->deadline_ms;
    order->line_count = (uint16_t)event->line_count;
    if (!transition_enters_block(event)) {
        order->one = event->one;
        order->flags |= event->flags & EVENT_COUNTED ? ORDER_COUNTED : 0;
        return;
    }
    CHECK(block != NULL);
    for (uint32_t i = 0; i < event->line_count; i++) {
        block[i] = transition_held_line(event, i);
    }
    order->lines = block;
    order->flags |= ORDER_BLOCK;
    if (event->grants) {
        order->flags |= ORDER_SHAPED;
        order->contents = event->contents;
    }
}

void transition_apply(struct order *order, const struct event *event, struct order_line_view *block)
{
    CHECK(event->type != EVENT_ORDER_HELD);
    CHECK(order->state != ORDER_NONE);
    enum order_state after = transition_state(order, event);
    if (block) {
        CHECK(!(order->flags & ORDER_BLOCK));
        block[0] = transition_line(order, 0);
        order->lines = block;
        order->flags = (uint8_t)((order->flags | ORDER_BLOCK) & ~ORDER_COUNTED);
    }
    for (uint32_t i = 0; order->flags & ORDER_BLOCK && i < order->line_count; i++) {
        struct order_line_view *line = &order->lines[i];
        *line = transition_line_after(line, event->type, event_qty(event, i));
    }
    CHECK(after != ORDER_NONE);
    if (event->type == EVENT_ORDER_EXTENDED) {
        order->extended_ms = (uint32_t)(event->deadline_ms - order->deadline_ms);
    }
    order->state = (uint8_t)after;
    order->lsn = event->lsn;
    order->flags &= (uint8_t)~ORDER_BUSY;
}

/* ---- Limits and tickets ---- */

struct line_counts transition_counts(const struct order *order, const struct event *event,
                                     uint32_t i)
{
    struct order_line_view line = transition_line(order, i);
    struct order_line_view changed = transition_line_after(&line, event->type, event_qty(event, i));
    int64_t before = line_live((enum order_state)order->state, &line);
    int64_t after = line_live(transition_state(order, event), &changed);
    CHECK(before >= 0);
    CHECK(after >= 0);
    struct line_counts counts = {0, 0};
    if (line.counted) {
        counts.counted = after - before;
    }
    int64_t presale = line.presale_qty;
    counts.presale = (after < presale ? after : presale) - (before < presale ? before : presale);
    return counts;
}

/* ---- Digest ---- */

/* Mixes two words into one: a 64x64->128 multiply, folded. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    u128 m = (u128)(a ^ 0x9E3779B97F4A7C15ull) * (b ^ 0xE7037ED1A0B428DBull);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Units that a line no longer has, and that were not sold. They include what a commit left out: the
 * digest does not distinguish it from what was released before. */
static inline uint32_t line_gone(const struct order_line_view *line, enum order_state state)
{
    bool paid = state == ORDER_COMMITTED || state == ORDER_RETURNED;
    return paid ? line->qty - line->committed : line->released;
}

/* shaped: the order is shaped; in a plain one the line's number follows from its place. */
static inline uint64_t mix_line(uint64_t h, const struct order_line_view *line,
                                enum order_state state, bool shaped)
{
    h = mix(h ^ ((uint64_t)line->item << 32 | line->qty),
            h + ((uint64_t)line_gone(line, state) << 32 | line->committed));
    h = line->returned ? mix(h, line->returned) : h;
    if (shaped) {
        h = mix(h ^ ((uint64_t)line->presale_qty << 32 | line->ticket), h + line->line);
    }
    return line->counted ? mix(h, ORDER_COUNTED) : h;
}

/* An order without its lines. */
static inline uint64_t mix_order(struct id128 id, uint64_t buyer, uint64_t deadline_ms,
                                 enum order_state state, uint32_t extended_ms)
{
    uint64_t h = mix(id.hi, id.lo) + buyer * 0xD6E8FEB86659FD93ull;
    return mix(h, deadline_ms ^ (uint64_t)state << 56) + extended_ms;
}

/* An order in this state, without its lines. */
static inline uint64_t mix_order_in(const struct order *order, enum order_state state,
                                    uint32_t extended_ms)
{
    uint64_t h = mix_order(order->id, order->buyer, order->deadline_ms, state, extended_ms);
    return order->flags & ORDER_SHAPED ? mix(h, order->contents) : h;
}

/* Odd, and different for each item and salt. */
static inline uint64_t item_factor(uint32_t item, uint64_t salt)
{
    return hash_u64(item * 0x9E3779B97F4A7C15ull + salt) | 1u;
}

uint64_t digest_stocked(uint32_t item, int64_t units)
{
    CHECK(item != 0);
    return item_factor(item, 1) * (uint64_t)units;
}

uint64_t digest_units(uint32_t item, struct line_units units)
{
    uint64_t sum = 0;
    if (units.held) {
        sum += item_factor(item, 2) * (uint64_t)units.held;
    }
    if (units.sold) {
        sum += item_factor(item, 3) * (uint64_t)units.sold;
    }
    return sum;
}

uint64_t digest_buyer(uint32_t sku, uint64_t buyer, int64_t units)
{
    CHECK(sku != 0);
    CHECK(buyer != 0);
    return (mix(buyer, sku) | 1u) * (uint64_t)units;
}

uint64_t order_digest(const struct order *order)
{
    CHECK(order->line_count >= 1);
    uint64_t h = mix_order_in(order, (enum order_state)order->state, order->extended_ms);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        h = mix_line(h, &line, (enum order_state)order->state, (order->flags & ORDER_SHAPED) != 0);
    }
    return h;
}

uint64_t transition_digest(const struct order *order, const struct event *event)
{
    enum order_state before = (enum order_state)order->state;
    enum order_state after = transition_state(order, event);
    uint32_t extended_ms = event->type == EVENT_ORDER_EXTENDED
                               ? (uint32_t)(event->deadline_ms - order->deadline_ms)
                               : order->extended_ms;
    bool shaped = (order->flags & ORDER_SHAPED) != 0;
    uint64_t old = mix_order_in(order, before, order->extended_ms);
    uint64_t new = mix_order_in(order, after, extended_ms);
    CHECK(before != ORDER_NONE);
    uint64_t units = 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        struct order_line_view changed =
            transition_line_after(&line, event->type, event_qty(event, i));
        old = mix_line(old, &line, before, shaped);
        new = mix_line(new, &changed, after, shaped);
        units += digest_units(line.item, line_units(after, &changed)) -
                 digest_units(line.item, line_units(before, &line));
    }
    return new - old + units;
}

uint64_t transition_held_digest(const struct event *event)
{
    uint64_t h = mix_order(event->id, event->buyer, event->deadline_ms, ORDER_HELD, 0);
    h = event->grants ? mix(h, event->contents) : h;
    uint64_t units = 0;
    for (uint32_t i = 0; i < event->line_count; i++) {
        struct order_line_view line = transition_held_line(event, i);
        h = mix_line(h, &line, ORDER_HELD, event->grants != NULL);
        units += digest_units(line.item, (struct line_units){line.qty, 0});
    }
    return h + units;
}
