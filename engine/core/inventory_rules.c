/* inventory_rules.c - how long an order may be held.
 *
 * Threads: any. */
#include "core/inventory_rules.h"

#include "base/check.h"

void hold_rule_refuse(const struct hold_rule *hold, const struct inventory *inventory,
                      struct order_outcome *outcome)
{
    CHECK(hold->any || hold->max_line == 0);
    outcome->status = HF_INVALID;
    outcome->blocking_line = hold->max_line;
    outcome->reason =
        hold->max_line ? "hold_ms is greater than the SKU allows" : inventory->hold_max_reason;
}
