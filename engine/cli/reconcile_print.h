/* reconcile_print.h - a difference between the file and the engine, as text and JSON.
 *
 * Threads: the main thread. */
#ifndef CLI_RECONCILE_PRINT_H
#define CLI_RECONCILE_PRINT_H

#include <holdfast/client.h>
#include <jansson.h>

#include "cli/reconcile_file.h"
#include "cli/reconcile_items.h"
#include "cli/reconcile_plan.h"

/* An order on both sides, and what is wrong with it. */
struct difference_view {
    const struct item_table *items;
    const struct file_order *order; /* NULL: not in the file */
    const struct order_now *now;
    const struct plan *plan;
};

json_t *reconcile_object(const struct difference_view *view);

/* One line on stdout, without its end. */
void reconcile_print(const struct difference_view *view);

#endif
