/* reconcile_act.h - reads an order of the engine as it is now, and does what a plan says about it.
 *
 * Threads: the main thread. */
#ifndef CLI_RECONCILE_ACT_H
#define CLI_RECONCILE_ACT_H

#include <holdfast/client.h>

#include "cli/reconcile_plan.h"

/* OK also when there is no such order: state NONE. */
enum hf_status reconcile_fetch(struct hf_client *client, struct hf_id id, struct order_now *now);

/* Does what the plan, which was made of `now`, says. Where units are taken from lines, `now` is
 * read again. */
enum hf_status reconcile_act(struct hf_client *client, struct order_now *now,
                             const struct plan *plan);

#endif
