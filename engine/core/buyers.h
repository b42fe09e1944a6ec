/* buyers.h - how many units of a limited SKU each buyer has: counted at reserve, uncounted by
 * release, expiry and return, kept by commit, over all pools and orders.
 *
 * A sharded open-addressed table of 16-byte slots (buyer, SKU, units). A slot is used only while
 * its units are not 0, so only buyers of limited SKUs take space. Counting follows the same
 * discipline as stock: units are counted when an order is decided, and uncounted once the record
 * that frees them has its LSN.
 *
 * Threads: any; a shard has a spin lock, which is an innermost one (it may be taken under an order
 * shard's). No allocation and no system call under it: address space for all sizes is reserved at
 * start. */
#ifndef CORE_BUYERS_H
#define CORE_BUYERS_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/status.h"

struct buyers;

/* buyers_max: how many pairs of buyer and SKU are counted at one time, 1..ORDERS_MAX. NO_MEMORY
 * when address space is refused. */
enum hf_status buyers_init(struct buyers **out, uint64_t buyers_max);

/* NULL is allowed. */
void buyers_deinit(struct buyers *buyers);

/* Counts units towards a buyer's limit: `most`, or fewer if the limit leaves fewer.
 *
 * sku     the SKU's number, from 1.
 * buyer   not 0.
 * least   0..most: fewer are not accepted.
 * most    1..UINT32_MAX.
 * limit   from 1.
 * OK with *taken in least..most; LIMIT_EXCEEDED with nothing taken when the limit leaves fewer than
 * `least`, or nothing; FULL when the table has no room. */
enum hf_status buyers_take(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t least,
                           uint32_t most, uint32_t limit, uint32_t *taken);

/* Counts units whatever the limit is: for replay, and for late commits of units that were counted
 * before. FULL when the table has no room, or the pair's units would not fit in 32 bits. */
enum hf_status buyers_force(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units);

/* Uncounts units that were counted. buyers_try_give: false, and nothing is changed, when fewer are
 * counted (in replay of files that contradict each other). */
void buyers_give(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units);
bool buyers_try_give(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units);

/* Returns some of the memory that the table has outgrown to the system. Returns whether more is
 * left; costs almost nothing when none is. No lock held; one thread at a time, while others work.
 */
bool buyers_tidy(struct buyers *buyers);

/* Units that are counted now; 0: none. */
uint32_t buyers_units(struct buyers *buyers, uint32_t sku, uint64_t buyer);

/* Pairs that are counted now. */
uint64_t buyers_count(const struct buyers *buyers);

/* Calls visit for each pair. Nothing else may run at the same time. */
void buyers_visit(struct buyers *buyers,
                  void (*visit)(void *context, uint32_t sku, uint64_t buyer, uint32_t units),
                  void *context);

/* Checks the orders that are loaded from a checkpoint against the units that were loaded before:
 * all orders together may not count more units than there are. Between buyers_claims_begin and _end
 * nothing may run except buyers_claim, from any threads. buyers_claims_begin: false when out of
 * memory; call _end then, too. buyers_claim: false when fewer units are left. */
bool buyers_claims_begin(struct buyers *buyers);
bool buyers_claim(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units);
void buyers_claims_end(struct buyers *buyers);

#endif
