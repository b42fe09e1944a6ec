/* presale.h - pre-sold units of each item, in the order of their tickets: the order in which they
 * get stock.
 *
 * A grant of units beyond what is in stock draws the item's next ticket (from 1, without gaps). The
 * module keeps how many of the ticket's units are still held or sold. When stock arrives it covers
 * the tickets from the lowest number up. So units that are still missing are first those of the
 * latest tickets: a ticket misses only what is missing beyond the units of all later tickets
 * (presale_behind). Coverage is not stored: it follows from the item's numbers, so replay and a
 * running engine agree.
 *
 * Each item has a chain of chunks of 4096 tickets, newest first, with 4 bytes a ticket. Address
 * space is reserved at start and pages come with use. A chunk that has no units left, and that is
 * not the newest, is reused.
 *
 * Threads: any; one spin lock an item, which is an innermost one. No allocation and no system call
 * under it. */
#ifndef CORE_PRESALE_H
#define CORE_PRESALE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/schedule.h"
#include "holdfast/status.h"

#define PRESALE_CHUNK_TICKETS SCHEDULE_BOUND(4096u, 2u)
#define PRESALE_TICKETS_MAX   ((uint64_t)1 << 40)
#define PRESALE_UNITS_MAX     INT32_MAX /* of one ticket */

struct presale;

/* items_max: handles 1..items_max may be used. tickets_max: how many tickets may have units at one
 * time, 1..PRESALE_TICKETS_MAX. It is rounded up to chunks, and each item gets one chunk more, so
 * that its first tickets always fit. A ticket far from all others takes a whole chunk. NO_MEMORY
 * when address space is refused. */
enum hf_status presale_init(struct presale **out, uint32_t items_max, uint64_t tickets_max);

/* NULL is allowed. */
void presale_deinit(struct presale *presale);

/* Draws the item's next ticket, without units yet. 0: no room; the units are then sold without a
 * ticket. Give the ticket its units soon: once 4096 later ones are drawn, its chunk may be reused.
 */
uint32_t presale_draw(struct presale *presale, uint32_t item);

/* Changes a ticket's units by delta. A ticket above all that were drawn (replay) counts as drawn,
 * and so do those below it. False, and nothing is changed: the ticket has no room (in replay, where
 * it may also be more than PRESALE_UNITS_MAX; or its chunk was reused before it got units); or it
 * has fewer units than it is to lose (in replay). O(chunks after it). */
bool presale_change(struct presale *presale, uint32_t item, uint32_t ticket, int64_t delta);

/* Gives a ticket without units its units, for an order that is decided but has no LSN yet. The
 * units keep their place, but presale_behind does not count them until presale_publish. If the
 * order is not made, presale_change takes them away again. False: as with presale_change; or the
 * ticket already has units, because a checkpoint gave it to two orders. */
bool presale_take(struct presale *presale, uint32_t item, uint32_t ticket, uint32_t units);

/* From now on the units that presale_take gave are counted. */
void presale_publish(struct presale *presale, uint32_t item, uint32_t ticket);

/* The units of the item's later tickets, as published; ticket 0: of all tickets. O(chunks after
 * it): some 10 ns for each, and up to a microsecond within its own. */
uint64_t presale_behind(struct presale *presale, uint32_t item, uint32_t ticket);

/* The last ticket that was drawn; 0: none. */
uint32_t presale_last(struct presale *presale, uint32_t item);

/* Calls visit for each ticket of one item that has units, in no particular order. Nothing else may
 * run at the same time. */
void presale_visit(struct presale *presale, uint32_t item,
                   void (*visit)(void *context, uint32_t ticket, uint32_t units), void *context);

/* Checks the grants of orders that are loaded from a checkpoint against the tickets that were
 * loaded before: each grant has a ticket of its own, which was drawn and has exactly the grant's
 * units (0: no units any more). Between presale_claims_begin and _end nothing may run except
 * presale_claim, from any threads. items: the number of defined items. presale_claims_begin: false
 * when out of memory; call _end then, too. presale_claim: false when the grant contradicts the
 * tickets. */
bool presale_claims_begin(struct presale *presale, uint32_t items);
bool presale_claim(struct presale *presale, uint32_t item, uint32_t ticket, uint32_t units);
void presale_claims_end(struct presale *presale, uint32_t items);

#endif
