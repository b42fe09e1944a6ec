/* inventory_rules.c - how long an order may be held.
 *
 * Threads: any. */
#include "core/inventory_rules.h"

#include "base/check.h"

enum hf_status hold_rule_apply(const struct hold_rule *hold, const struct inventory *inventory,
                               uint32_t asked_ms, uint32_t *hold_ms, struct order_outcome *outcome)
{
    if (asked_ms > hold->hold_ms_max) {
        outcome->status = HF_INVALID;
        outcome->blocking_line = hold->max_line;
        outcome->reason =
            hold->max_line ? "hold_ms is greater than the SKU allows" : inventory->hold_max_reason;
        return HF_INVALID;
    }
    *hold_ms = asked_ms        ? asked_ms
               : hold->hold_ms ? hold->hold_ms
                               : inventory->options.hold_ms_default;
    if (*hold_ms > hold->hold_ms_max) {
        *hold_ms = hold->hold_ms_max; /* a default does not break a rule */
    }
    CHECK(*hold_ms >= 1);
    CHECK(*hold_ms <= hold->hold_ms_max);
    return HF_OK;
}
