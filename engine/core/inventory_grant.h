/* inventory_grant.h - filling the lines of a shaped order: policies, fallbacks, limits, pre-sale.
 *
 * Threads: any, under the order's shard lock. */
#ifndef CORE_INVENTORY_GRANT_H
#define CORE_INVENTORY_GRANT_H

#include "core/inventory_internal.h"

/* Whether a request has a line that may be filled in part, or from another item. */
bool shapes_matter(const struct order_request *request);

/* The most grants that a request may get. */
uint32_t grants_max(const struct order_request *request);

/* Whether the grants are simply every line's whole quantity from its own item, with nothing
 * pre-sold. */
bool grants_simple(const struct order_request *request, const struct order_grant *grants,
                   uint32_t grant_count);

/* Takes units, and counts them towards limits, for each line by its shape; memory->grants holds the
 * grants, *grant_count their number. Not OK: nothing is taken, and the outcome has status, line and
 * reason. */
enum hf_status grants_take(struct txn *txn, const struct order_request *request,
                           uint32_t *grant_count, struct order_outcome *outcome);

/* Draws the tickets of grants with pre-sold units. The units have their place in the tickets from
 * then on, before the order's record, so that publishing can't fail for lack of room. */
void grants_draw(struct txn *txn, struct order_grant *grants, uint32_t grant_count);

/* Undoes grants_take and grants_draw. */
void grants_give_back(struct txn *txn, uint64_t buyer, const struct order_grant *grants,
                      uint32_t grant_count);

/* What was asked for a shaped order, as order->contents holds it: the number of lines in the low 16
 * bits, and above them a hash of all lines and shapes. */
uint64_t order_contents(const struct order_request *request);

#endif
