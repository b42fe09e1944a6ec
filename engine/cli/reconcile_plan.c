/* reconcile_plan.c - what is wrong with one order, and what would make the engine agree with the
 * file.
 *
 * Threads: any; pure functions. */
#include "cli/reconcile_plan.h"

#include "base/check.h"

const char *reconcile_action_name(enum action action)
{
    static const char *const names[] = {"none", "commit", "commit late", "release", "return"};
    CHECK(action <= ACTION_RETURN);
    return names[action];
}

/* What the file wants against what the engine has, item by item. */
struct balance {
    int64_t excess;  /* units too many in the engine */
    int64_t missing; /* too few */
    bool doubled;    /* what is missing is what the file has more than once */
};

/* Adds units to the plan's entry of a line. Lines come in their order. */
static void plan_line(struct plan *plan, uint32_t line, uint32_t qty)
{
    struct hf_line_qty *last = plan->line_count ? &plan->lines[plan->line_count - 1] : NULL;
    if (last && last->line == line) {
        last->qty += qty;
    } else if (plan->line_count < ORDER_LINES_MAX) {
        plan->lines[plan->line_count++] = (struct hf_line_qty){line, qty};
    }
}

static int64_t wanted_of(const struct file_order *order, uint32_t item)
{
    for (uint32_t i = 0; i < order->part_count; i++) {
        if (order->parts[i].item == item) {
            return order->parts[i].qty;
        }
    }
    return 0;
}

/* Units of an item in the engine's lines before `upto`. */
static int64_t units_before(const struct order_now *now, uint32_t upto, uint32_t item)
{
    int64_t units = 0;
    for (uint32_t i = 0; i < upto; i++) {
        units += now->lines[i].item == item ? now->lines[i].qty : 0;
    }
    return units;
}

/* Fills the first lines of an item first; the plan gets what is kept, or what is too many. */
static struct balance weigh(const struct file_order *order, const struct order_now *now, bool keep,
                            struct plan *plan)
{
    struct balance balance = {0, 0, true};
    for (uint32_t i = 0; i < now->info.line_count; i++) {
        const struct hf_order_line *line = &now->lines[i];
        int64_t left = wanted_of(order, line->item) - units_before(now, i, line->item);
        int64_t kept = left <= 0 ? 0 : left < line->qty ? left : line->qty;
        int64_t excess = line->qty - kept;
        balance.excess += excess;
        if (keep || excess > 0) {
            plan_line(plan, line->line, (uint32_t)(keep ? kept : excess));
        }
    }
    for (uint32_t i = 0; i < order->part_count; i++) {
        const struct order_part *part = &order->parts[i];
        int64_t has = units_before(now, now->info.line_count, part->item);
        if (has < part->qty) {
            balance.missing += part->qty - has;
            balance.doubled = balance.doubled && part->repeated > 1 && has == part->row_qty;
        }
    }
    return balance;
}

static void set(struct plan *plan, const char *kind, enum action action, bool all)
{
    plan->kind = kind;
    plan->action = action;
    plan->all = all;
}

static void plan_held(struct plan *plan, const struct file_order *order,
                      const struct order_now *now)
{
    if (now->info.state != HF_ORDER_HELD) {
        set(plan, now->info.state == HF_ORDER_NONE ? "missing_order" : "state_differs", ACTION_NONE,
            false);
        return;
    }
    struct balance balance = weigh(order, now, false, plan);
    if (balance.excess > 0) {
        set(plan, "wrong_quantity", ACTION_RELEASE, false);
    } else if (balance.missing > 0) {
        set(plan, "wrong_quantity", ACTION_NONE, false);
    }
}

static void plan_committed(struct plan *plan, const struct file_order *order,
                           const struct order_now *now)
{
    struct balance balance;
    switch (now->info.state) {
    case HF_ORDER_HELD:
        balance = weigh(order, now, true, plan);
        set(plan, "missing_commit", ACTION_COMMIT, balance.excess == 0);
        break;
    case HF_ORDER_EXPIRED:
        set(plan, "missing_commit", ACTION_COMMIT_LATE, true);
        break;
    case HF_ORDER_COMMITTED:
        balance = weigh(order, now, false, plan);
        if (balance.excess > 0) {
            set(plan, "wrong_quantity", ACTION_RETURN, false);
        } else if (balance.missing > 0) {
            set(plan, balance.doubled ? "double_commit" : "wrong_quantity", ACTION_NONE, false);
        }
        break;
    case HF_ORDER_NONE:
        set(plan, "missing_order", ACTION_NONE, false);
        break;
    default:
        set(plan, "state_differs", ACTION_NONE, false);
        break;
    }
}

void reconcile_plan(struct plan *plan, const struct file_order *order, const struct order_now *now)
{
    plan->kind = NULL;
    plan->action = ACTION_NONE;
    plan->all = false;
    plan->line_count = 0;
    bool held = now->info.state == HF_ORDER_HELD;
    bool committed = now->info.state == HF_ORDER_COMMITTED;
    if (!order || order->wanted == WANTED_ENDED) {
        if (held) {
            set(plan, order ? "state_differs" : "orphan_hold", ACTION_RELEASE, true);
        } else if (committed) {
            set(plan, order ? "state_differs" : "orphan_commit", ACTION_RETURN, true);
        }
    } else if (order->wanted == WANTED_HELD) {
        plan_held(plan, order, now);
    } else {
        plan_committed(plan, order, now);
    }
}
