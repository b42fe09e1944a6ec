/* inventory_grant.h - filling the lines of a shaped order: policies, fallbacks, limits, pre-sale.
 *
 * Threads: any, under the order's shard lock. */
#ifndef CORE_INVENTORY_GRANT_H
#define CORE_INVENTORY_GRANT_H

#include "core/inventory_internal.h"

/* Whether a request has a line that may be filled otherwise than whole and from its own item. */
bool shapes_matter(const struct order_request *request);

/* The most grants that a request may be given. */
uint32_t grants_max(const struct order_request *request);

/* Whether the grants are simply every line's whole quantity from its own item, nothing pre-sold. */
bool grants_simple(const struct order_request *request, const struct order_grant *grants,
                   uint32_t grant_count);

/* Takes units, and counts them towards limits, for each line by its shape; memory->grants holds
 * what was given, *grant_count how many grants. Not OK: nothing is taken, the outcome has status,
 * line and reason. */
enum hf_status grants_take(struct txn *txn, const struct order_request *request,
                           uint32_t *grant_count, struct order_outcome *outcome);

/* Draws the tickets of grants with units that are pre-sold. Their units have their place from then
 * on, before the order's record: publishing can't lack the room. */
void grants_draw(struct txn *txn, struct order_grant *grants, uint32_t grant_count);

/* Undoes grants_take and grants_draw. */
void grants_give_back(struct txn *txn, uint64_t buyer, const struct order_grant *grants,
                      uint32_t grant_count);

/* What a shaped order was asked, as order->contents: the number of lines in the low 16 bits, a hash
 * of all lines and shapes above. */
uint64_t order_contents(const struct order_request *request);

#endif
