/* reconcile_act.h - reads an order from the engine, and carries out a plan for it.
 *
 * Threads: the main thread. */
#ifndef CLI_RECONCILE_ACT_H
#define CLI_RECONCILE_ACT_H

#include <holdfast/client.h>

#include "cli/reconcile_plan.h"

/* Reads an order. OK also if the engine does not know it: its state is then NONE. */
enum hf_status reconcile_fetch(struct hf_client *client, struct hf_id id, struct order_now *now);

/* Carries out the plan, which was made from `now`. If units are taken from lines, `now` is read
 * again. */
enum hf_status reconcile_act(struct hf_client *client, struct order_now *now,
                             const struct plan *plan);

#endif
