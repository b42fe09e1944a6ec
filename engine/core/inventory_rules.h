/* inventory_rules.h - the rules that units are sold by: whether a SKU may be sold to a buyer now,
 * and how long an order of several SKUs may be held.
 *
 * Threads: any; pure functions of the rules that were read. Functions that every reserve calls are
 * inline: a call for each line would slow the benchmarks measurably. */
#ifndef CORE_INVENTORY_RULES_H
#define CORE_INVENTORY_RULES_H

#include "core/inventory_internal.h"

/* ---- Whether units may be sold ---- */

/* Whether units of a SKU with these rules may be sold to a buyer now: OK; PAUSED, NOT_OPEN, CLOSED
 * or BUYER_REQUIRED, and why. */
static inline enum hf_status sale_status(const struct sale_rule *rule, const struct txn *txn,
                                         uint64_t buyer, const char **reason)
{
    uint64_t wall_ms = (uint64_t)((int64_t)txn->now_ms + txn->wall_ahead_ms);
    if (rule->paused) {
        *reason = "the sale of the SKU is paused";
        return HF_PAUSED;
    }
    if (wall_ms < rule->opens_at_ms) {
        *reason = "the sale of the SKU has not opened";
        return HF_NOT_OPEN;
    }
    if (rule->closes_at_ms && wall_ms >= rule->closes_at_ms) {
        *reason = "the sale of the SKU has closed";
        return HF_CLOSED;
    }
    if (rule->limit_per_buyer && buyer == 0) {
        *reason = "the SKU has a limit_per_buyer: a buyer is required";
        return HF_BUYER_REQUIRED;
    }
    return HF_OK;
}

/* Why units could not be counted towards a limit: LIMIT_EXCEEDED or FULL. */
static inline const char *count_reason(const struct inventory *inventory, enum hf_status status)
{
    return status == HF_LIMIT_EXCEEDED ? "the buyer would have more than the SKU's limit_per_buyer"
                                       : inventory->buyers_max_reason;
}

/* ---- How long to hold ---- */

/* Combines the rules of an order's SKUs. */
struct hold_rule {
    uint32_t hold_ms;     /* the smallest default; 0: no rule sets one */
    uint32_t hold_ms_max; /* the smallest maximum */
    uint32_t max_line;    /* from 1: the line whose maximum it is; 0: the engine's */
    bool any;             /* a rule was added */
};

static inline struct hold_rule hold_rule_start(const struct inventory *inventory)
{
    return (struct hold_rule){.hold_ms_max = inventory->options.hold_ms_max};
}

/* Adds the rule of an item. line: the item's line, from 1. */
static inline void hold_rule_add(struct hold_rule *hold, const struct inventory *inventory,
                                 const struct sale_rule *rule, uint32_t line)
{
    if (rule->hold_ms && (hold->hold_ms == 0 || rule->hold_ms < hold->hold_ms)) {
        hold->hold_ms = rule->hold_ms;
    }
    uint32_t max = rule->hold_ms_max ? rule->hold_ms_max : inventory->options.hold_ms_max;
    /* The first line's maximum is used even when it is greater than the engine's. */
    if (!hold->any || max < hold->hold_ms_max) {
        hold->hold_ms_max = max;
        hold->max_line = rule->hold_ms_max ? line : 0;
    }
    hold->any = true;
}

/* Sets an outcome to INVALID, with line and reason: the requested time to hold is too long. */
void hold_rule_refuse(const struct hold_rule *hold, const struct inventory *inventory,
                      struct order_outcome *outcome);

/* The time to hold, when asked_ms was requested (0: by rule). OK, or INVALID with the outcome's
 * line and reason set. */
static inline enum hf_status hold_rule_apply(const struct hold_rule *hold,
                                             const struct inventory *inventory, uint32_t asked_ms,
                                             uint32_t *hold_ms, struct order_outcome *outcome)
{
    if (asked_ms > hold->hold_ms_max) {
        hold_rule_refuse(hold, inventory, outcome);
        return HF_INVALID;
    }
    *hold_ms = asked_ms        ? asked_ms
               : hold->hold_ms ? hold->hold_ms
                               : inventory->options.hold_ms_default;
    if (*hold_ms > hold->hold_ms_max) {
        *hold_ms = hold->hold_ms_max; /* a default must not break a rule */
    }
    return HF_OK;
}

#endif
