/* linear_plan.h - random small rounds for histories (linear.h): two pools of one SKU with a few
 * units, some orders that several callers share, and what each caller asks next.
 *
 * Half of what is asked makes orders, and nearly all of it meets what another caller asks. In one
 * round of four there is little but moves of all units from pool to pool and back, and lines that
 * may be filled from both.
 *
 * Threads: a plan is made by one, and only read afterwards; linear_plan_next by any, each with
 * random numbers of its own. */
#ifndef TESTS_LIB_LINEAR_PLAN_H
#define TESTS_LIB_LINEAR_PLAN_H

#include "lib/linear.h"
#include "lib/rng.h"

#define PLAN_ITEMS       2u
#define PLAN_ORDERS      5u
#define PLAN_ADJUSTMENTS 12u
#define PLAN_CALLS       2u /* that linear_plan_next gives at most */

struct linear_plan {
    int32_t stocked[PLAN_ITEMS];
    uint32_t hold_ms_max;
    bool shuttle;         /* little but moves, and lines that may be filled from both pools */
    bool watched;         /* orders of both items, and many readings */
    unsigned order_count; /* that are in use, from the first: the fewer, the more often they meet */
    bool split[PLAN_ORDERS];
    uint8_t wanted[PLAN_ORDERS][2][LINEAR_ITEMS]; /* of each order, as it is and as it is not */
    struct linear_call changes[PLAN_ADJUSTMENTS];
};

void linear_plan_make(struct linear_plan *plan, uint32_t hold_ms_max, struct rng *rng);

/* What is asked next: one call, or two of a kind that are made as one request. Returns how many.
 * Only what is asked is filled in. */
unsigned linear_plan_next(const struct linear_plan *plan, unsigned thread, struct rng *rng,
                          struct linear_call calls[PLAN_CALLS]);

/* Reads everything: PLAN_ORDERS + 1 calls. */
void linear_plan_read(unsigned index, struct linear_call *call);

#endif
