/* reconcile_act.c - reads an order from the engine, and carries out a plan for it.
 *
 * Threads: the main thread. */
#include "cli/reconcile_act.h"

#include "base/check.h"
#include "base/limits.h"
#include "cli/reconcile_plan.h"

#define TOTAL_STEPS_MAX 1000u

enum hf_status reconcile_fetch(struct hf_client *client, struct hf_id id, struct order_now *now)
{
    enum hf_status status = hf_get_order(client, id, &now->info, now->lines, ORDER_LINES_MAX);
    if (status == HF_NOT_FOUND) {
        now->info = (struct hf_order_info){.id = id};
        return HF_OK;
    }
    return status;
}

static uint32_t units_of_line(const struct order_now *now, uint32_t line)
{
    uint32_t units = 0;
    for (uint32_t i = 0; i < now->info.line_count; i++) {
        units += now->lines[i].line == line ? now->lines[i].qty : 0;
    }
    return units;
}

/* Takes `units` from a line. The engine takes totals since the order was made, so that a repetition
 * changes nothing, and it does not report how many units were taken before. A total that is not
 * above those changes nothing. So the total is raised by what is still to be taken until all of it
 * is: it never takes too much. */
static enum hf_status take_units(struct hf_client *client, struct order_now *now,
                                 enum action action, uint32_t line, uint32_t units)
{
    struct hf_id id = now->info.id;
    uint32_t target = units_of_line(now, line) - units;
    uint32_t total = 0;
    for (unsigned step = 0; step < TOTAL_STEPS_MAX; step++) {
        uint32_t left = units_of_line(now, line);
        if (left <= target) {
            return HF_OK;
        }
        total += left - target;
        const struct hf_line_qty edit = {line, total};
        enum hf_status status = action == ACTION_RELEASE
                                    ? hf_release_lines(client, id, &edit, 1, NULL)
                                    : hf_return_lines(client, id, &edit, 1, NULL);
        status = status == HF_OK ? reconcile_fetch(client, id, now) : status;
        if (status != HF_OK) {
            return status;
        }
    }
    return HF_CONFLICT;
}

static enum hf_status take_lines(struct hf_client *client, struct order_now *now,
                                 const struct plan *plan)
{
    CHECK(plan->line_count > 0);
    CHECK(plan->line_count <= ORDER_LINES_MAX);
    enum hf_status status = HF_OK;
    for (uint32_t i = 0; i < plan->line_count && status == HF_OK; i++) {
        status = take_units(client, now, plan->action, plan->lines[i].line, plan->lines[i].qty);
    }
    return status;
}

enum hf_status reconcile_act(struct hf_client *client, struct order_now *now,
                             const struct plan *plan)
{
    struct hf_id id = now->info.id;
    switch (plan->action) {
    case ACTION_COMMIT:
        return plan->all ? hf_commit(client, id, NULL)
                         : hf_commit_lines(client, id, plan->lines, plan->line_count, NULL);
    case ACTION_COMMIT_LATE:
        return hf_commit_late(client, id, NULL, 0, NULL);
    case ACTION_RELEASE:
        return plan->all ? hf_release(client, id, NULL) : take_lines(client, now, plan);
    case ACTION_RETURN:
        return plan->all ? hf_return_lines(client, id, NULL, 0, NULL)
                         : take_lines(client, now, plan);
    case ACTION_NONE:
        break;
    }
    return HF_OK;
}
