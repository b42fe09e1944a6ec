/* linear_plan.c - see linear_plan.h. */
#include "lib/linear_plan.h"

#include <string.h>

#define SHUTTLE_UNITS 6 /* in all; few enough that many a move takes all that is free */

static void plan_orders(struct linear_plan *plan, struct rng *rng)
{
    for (unsigned i = 0; i < PLAN_ORDERS; i++) {
        uint8_t(*wanted)[LINEAR_ITEMS] = plan->wanted[i];
        uint64_t kind = plan->shuttle ? 0 : plan->watched ? 2 : rng_below(rng, 4);
        plan->split[i] = kind == 0;
        wanted[0][0] = (uint8_t)(kind == 1 ? 0 : rng_between(rng, 1, 2));
        wanted[0][1] = (uint8_t)(kind == 1 || kind == 2 ? rng_between(rng, 1, 2) : 0);
        memcpy(wanted[1], wanted[0], sizeof wanted[1]);
        wanted[1][kind == 1]++;
    }
}

static void plan_changes(struct linear_plan *plan, struct rng *rng)
{
    for (uint8_t i = 0; i < PLAN_ADJUSTMENTS; i++) {
        bool move = plan->shuttle || i % 4 > 0;
        struct linear_call *change = &plan->changes[i];
        *change = (struct linear_call){.type = move ? LINEAR_MOVE : LINEAR_ADJUST,
                                       .adjustment = i,
                                       .item = (uint8_t)rng_below(rng, PLAN_ITEMS)};
        change->delta = move || rng_chance(rng, 2) ? 1 : -1;
        if (plan->shuttle) {
            change->item = i % PLAN_ITEMS;
            change->delta = (int32_t)rng_between(rng, 2, SHUTTLE_UNITS);
        }
        change->to_item = move ? 1 - change->item : 0;
    }
}

void linear_plan_make(struct linear_plan *plan, uint32_t hold_ms_max, struct rng *rng)
{
    memset(plan, 0, sizeof *plan);
    plan->hold_ms_max = hold_ms_max;
    plan->shuttle = rng_chance(rng, 4);
    plan->watched = !plan->shuttle && rng_chance(rng, 4);
    plan->order_count = rng_chance(rng, 3) ? (unsigned)rng_between(rng, 1, 2) : PLAN_ORDERS;
    for (unsigned i = 0; i < PLAN_ITEMS; i++) {
        plan->stocked[i] =
            plan->shuttle ? (i == 0 ? SHUTTLE_UNITS : 0) : (int32_t)rng_between(rng, i == 0, 3);
    }
    plan_orders(plan, rng);
    plan_changes(plan, rng);
}

static void next_reserve(const struct linear_plan *plan, struct rng *rng, uint8_t order,
                         struct linear_call *call)
{
    *call = (struct linear_call){.type = LINEAR_RESERVE, .order = order};
    call->content = rng_chance(rng, 12);
    memcpy(call->wanted, plan->wanted[order][call->content], sizeof call->wanted);
    call->split = plan->split[order];
    call->hold_ms = (uint32_t)rng_between(rng, plan->hold_ms_max / 8, plan->hold_ms_max);
}

static void next_edit(const struct linear_plan *plan, struct rng *rng, enum linear_type type,
                      uint8_t order, struct linear_call *call)
{
    *call = (struct linear_call){.type = type, .order = order};
    call->late_ok = type == LINEAR_COMMIT && rng_chance(rng, 2);
    call->hold_ms = type == LINEAR_EXTEND ? (uint32_t)rng_between(rng, 1, plan->hold_ms_max) : 0;
    bool one_line = !plan->split[order] && plan->wanted[order][0][0] > 1;
    if (type == LINEAR_RELEASE && one_line && rng_chance(rng, 3)) {
        call->total = 1;
    }
}

/* One or two of them, of one type, on different orders. */
static unsigned next_edits(const struct linear_plan *plan, struct rng *rng, uint8_t order,
                           uint8_t other, bool two, struct linear_call calls[PLAN_CALLS])
{
    static const enum linear_type types[] = {LINEAR_RELEASE, LINEAR_RELEASE, LINEAR_COMMIT,
                                             LINEAR_COMMIT, LINEAR_RETURN};
    enum linear_type type = types[rng_below(rng, sizeof types / sizeof types[0])];
    next_edit(plan, rng, type, order, &calls[0]);
    if (two) {
        next_edit(plan, rng, type, other, &calls[1]);
    }
    return two ? 2 : 1;
}

unsigned linear_plan_next(const struct linear_plan *plan, unsigned thread, struct rng *rng,
                          struct linear_call calls[PLAN_CALLS])
{
    unsigned orders = plan->order_count;
    uint8_t order = (uint8_t)rng_below(rng, orders);
    uint8_t other = (uint8_t)((order + 1 + rng_below(rng, orders)) % orders);
    uint64_t kind = rng_below(rng, 100);
    bool two = rng_chance(rng, 6) && other != order;
    if (plan->watched && rng_chance(rng, 3)) {
        kind = 80;
    }
    if (plan->shuttle && kind >= 30) {
        kind = thread == 0 ? 99 : kind % 60;
    }
    if (kind < 38) {
        next_reserve(plan, rng, order, &calls[0]);
        if (two) {
            next_reserve(plan, rng, other, &calls[1]);
        }
        return two ? 2 : 1;
    }
    if (kind < 64) {
        return next_edits(plan, rng, order, other, two, calls);
    }
    if (kind < 68) {
        next_edit(plan, rng, LINEAR_EXTEND, order, &calls[0]);
    } else if (kind < 76) {
        next_edit(plan, rng, LINEAR_GET_ORDER, order, &calls[0]);
    } else if (kind < 87) {
        uint64_t items = rng_chance(rng, 3) ? rng_between(rng, 1, 2) : 3;
        calls[0] = (struct linear_call){.type = LINEAR_GET_STOCK, .items = (uint8_t)items};
    } else {
        calls[0] = plan->changes[rng_below(rng, PLAN_ADJUSTMENTS)];
    }
    return 1;
}

void linear_plan_read(unsigned index, struct linear_call *call)
{
    *call = (struct linear_call){.type = LINEAR_GET_STOCK, .items = 3};
    if (index < PLAN_ORDERS) {
        *call = (struct linear_call){.type = LINEAR_GET_ORDER, .order = (uint8_t)index};
    }
}
