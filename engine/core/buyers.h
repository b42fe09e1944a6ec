/* buyers.h - how many units of a limited SKU each buyer has: counted at reserve, given back by
 * release, expiry and return, kept by commit, over all pools and orders.
 *
 * A sharded open-addressed table of 16-byte slots (buyer, SKU, units). A slot is there only while
 * its units are not 0, so only buyers of limited SKUs take space. Counting follows stock's
 * discipline: taken when an order is decided, given back once the record that gives back has its
 * LSN.
 *
 * Threads: any; a shard's spin lock, which is an innermost one (taken under an order shard's). No
 * allocation and no system call under it: address space for all sizes is reserved at start. */
#ifndef CORE_BUYERS_H
#define CORE_BUYERS_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/status.h"

struct buyers;

/* buyers_max: pairs of buyer and SKU that are counted at once, 1..ORDERS_MAX. NO_MEMORY when
 * address space is refused. */
enum hf_status buyers_init(struct buyers **out, uint64_t buyers_max);

/* NULL is allowed. */
void buyers_deinit(struct buyers *buyers);

/* Counts units towards a buyer's limit: as many of `most` as the limit leaves.
 *
 * sku     the SKU's number, from 1.
 * buyer   not 0.
 * least   0..most: fewer will not do.
 * most    1..UINT32_MAX.
 * limit   from 1.
 * OK with *taken in least..most; LIMIT_EXCEEDED with nothing taken when the limit leaves fewer than
 * `least`, or nothing; FULL when the table has no room. */
enum hf_status buyers_take(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t least,
                           uint32_t most, uint32_t limit, uint32_t *taken);

/* Counts units whatever the limit: replay, late commits of what was counted before. FULL when the
 * table has no room, or the pair's units would leave a uint32. */
enum hf_status buyers_force(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units);

/* Gives units back that were counted. buyers_try_give: false, and nothing is changed, when not so
 * many are counted (replay, of files that contradict each other). */
void buyers_give(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units);
bool buyers_try_give(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units);

/* Gives back memory that the table has grown out of. Returns whether there is more. Next to free
 * when there is none. No lock held; one thread at a time, beside all others. */
bool buyers_tidy(struct buyers *buyers);

/* Units counted now; 0 if none. */
uint32_t buyers_units(struct buyers *buyers, uint32_t sku, uint64_t buyer);

/* Pairs counted now. */
uint64_t buyers_count(const struct buyers *buyers);

/* Calls visit for each pair. Nothing else may run meanwhile. */
void buyers_visit(struct buyers *buyers,
                  void (*visit)(void *context, uint32_t sku, uint64_t buyer, uint32_t units),
                  void *context);

/* What orders that are loaded from a checkpoint count of units that were loaded before: all of them
 * together no more than there are. Between _begin and _end nothing else may run but claims, from
 * any threads. buyers_claims_begin: false when out of memory; _end is due then, too. buyers_claim:
 * false when so many are not left. */
bool buyers_claims_begin(struct buyers *buyers);
bool buyers_claim(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units);
void buyers_claims_end(struct buyers *buyers);

#endif
