/* reconcile_print.c - a difference between the file and the engine, as text and JSON.
 *
 * Threads: the main thread. */
#include "cli/reconcile_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/print.h"
#include "cli/values.h"

static json_t *units_array(const struct difference_view *view)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < view->now->info.line_count; i++) {
        const struct hf_order_line *line = &view->now->lines[i];
        char name[2 * HF_CODE_BYTES];
        item_table_name(view->items, line->item, name);
        json_array_append_new(array, json_pack("{s:I, s:o, s:I}", "line", (json_int_t)line->line,
                                               "item", json_text(name, strlen(name)), "qty",
                                               (json_int_t)line->qty));
    }
    return array;
}

static json_t *wanted_array(const struct difference_view *view)
{
    const struct file_order *order = view->order;
    json_t *array = json_array();
    for (uint32_t i = 0; order && i < order->part_count; i++) {
        char name[2 * HF_CODE_BYTES];
        item_table_name(view->items, order->parts[i].item, name);
        json_array_append_new(array, json_pack("{s:o, s:I}", "item", json_text(name, strlen(name)),
                                               "qty", (json_int_t)order->parts[i].qty));
    }
    return array;
}

static json_t *plan_lines_array(const struct plan *plan)
{
    json_t *array = json_array();
    for (uint32_t i = 0; !plan->all && plan->action != ACTION_NONE && i < plan->line_count; i++) {
        json_array_append_new(array,
                              json_pack("{s:I, s:I}", "line", (json_int_t)plan->lines[i].line,
                                        "qty", (json_int_t)plan->lines[i].qty));
    }
    return array;
}

json_t *reconcile_object(const struct difference_view *view)
{
    const struct file_order *order = view->order;
    char id[37];
    hf_id_to_text(view->now->info.id, id);
    const char *name = order ? order->name : id;
    return json_pack("{s:s, s:s, s:o, s:I, s:s, s:o, s:s, s:o, s:s, s:b, s:o}", "kind",
                     view->plan->kind, "id", id, "order", json_text(name, strlen(name)), "row",
                     (json_int_t)(order ? order->row : 0), "engine_state",
                     state_name((unsigned)view->now->info.state), "engine", units_array(view),
                     "file_state", order ? order->state : "", "file", wanted_array(view), "action",
                     reconcile_action_name(view->plan->action), "all", view->plan->all, "lines",
                     plan_lines_array(view->plan));
}

void reconcile_print(const struct difference_view *view)
{
    const struct file_order *order = view->order;
    char id[37];
    char name[2 * HF_CODE_BYTES];
    const struct plan *plan = view->plan;
    hf_id_to_text(view->now->info.id, id);
    printf("%-14s  ", plan->kind);
    print_safe(stdout, order ? order->name : id);
    if (order) {
        printf(" (row %" PRIu64 ")", order->row);
    }
    printf(": engine %s", state_name((unsigned)view->now->info.state));
    for (uint32_t i = 0; i < view->now->info.line_count; i++) {
        item_table_name(view->items, view->now->lines[i].item, name);
        printf(" %" PRIu32 " x ", view->now->lines[i].qty);
        print_safe(stdout, name);
    }
    printf("; file %s", order ? order->state : "does not have it");
    for (uint32_t i = 0; order && i < order->part_count; i++) {
        item_table_name(view->items, order->parts[i].item, name);
        printf(" %" PRId64 " x ", order->parts[i].qty);
        print_safe(stdout, name);
    }
    printf("; %s", plan->action == ACTION_NONE ? "no action" : reconcile_action_name(plan->action));
    for (uint32_t i = 0; !plan->all && plan->action != ACTION_NONE && i < plan->line_count; i++) {
        printf(" line %" PRIu32 ": %" PRIu32, plan->lines[i].line, plan->lines[i].qty);
    }
}
