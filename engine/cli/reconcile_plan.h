/* reconcile_plan.h - what is wrong with one order, and what would make the engine agree with the
 * file.
 *
 * Threads: any; pure functions. */
#ifndef CLI_RECONCILE_PLAN_H
#define CLI_RECONCILE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/limits.h"
#include "cli/reconcile_file.h"

enum action { ACTION_NONE, ACTION_COMMIT, ACTION_COMMIT_LATE, ACTION_RELEASE, ACTION_RETURN };

/* "none", "commit", "commit late", "release", "return". */
const char *reconcile_action_name(enum action action);

/* What is wrong with one order. */
struct plan {
    const char *kind; /* NULL: nothing */
    enum action action;
    bool all; /* the action is on all of the order */
    uint32_t line_count;
    struct hf_line_qty lines[ORDER_LINES_MAX]; /* commit: units to commit; else units too many */
};

struct order_now {
    struct hf_order_info info; /* state NONE: the engine does not know it */
    struct hf_order_line lines[ORDER_LINES_MAX];
};

/* Compares an order of the engine with the file's. order NULL: it is not in the file. */
void reconcile_plan(struct plan *plan, const struct file_order *order, const struct order_now *now);

#endif
