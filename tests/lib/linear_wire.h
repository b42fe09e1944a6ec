/* linear_wire.h - calls of a history (linear.h) as requests to an engine, and its answers in them.
 *
 * Orders' and adjustments' ids are made of the round's number, so rounds don't meet. What requests
 * and answers point to lies in the struct linear_wire and in the answer's arena.
 *
 * Threads: each works with its own. */
#ifndef TESTS_LIB_LINEAR_WIRE_H
#define TESTS_LIB_LINEAR_WIRE_H

#include "lib/linear_plan.h"
#include "wire/message.h"

struct linear_wire {
    struct request request;
    uint8_t ids[PLAN_CALLS][ID_BYTES];
    struct line_message lines[PLAN_CALLS][LINEAR_ITEMS];
    struct line_qty_message total[PLAN_CALLS];
    struct order_message orders[PLAN_CALLS];
    struct edit_message edits[PLAN_CALLS];
    struct adjustment_message adjustment;
    struct item_message defs[PLAN_ITEMS];
    char sku[32];
    uint32_t items[PLAN_ITEMS];
    uint64_t id_hi[PLAN_CALLS];
    uint64_t id_lo[PLAN_CALLS];
    uint32_t qty[PLAN_CALLS];
    uint64_t buyer[PLAN_CALLS];
};

/* Plans the next calls, as linear_plan_next; some are to be made in columns (brief). */
unsigned linear_wire_next(const struct linear_plan *plan, unsigned thread, struct rng *rng,
                          struct linear_call calls[PLAN_CALLS]);

/* Makes `count` calls of one kind a request. items: handles. */
void linear_wire_request(struct linear_wire *wire, uint64_t round, const uint32_t *items,
                         const struct linear_call *calls, unsigned count);

/* Fills in what was answered to each of them. */
void linear_wire_answer(const struct response *response, const uint32_t *items,
                        struct linear_call *calls, unsigned count);

/* Requests that set up a round: its SKU with two pools, of which some are hot; and the stock of one
 * of these. */
void linear_wire_define(struct linear_wire *wire, uint64_t round, struct rng *rng);
void linear_wire_stock(struct linear_wire *wire, uint64_t round, const uint32_t *items,
                       unsigned item, int32_t units);

#endif
