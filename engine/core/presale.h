/* presale.h - who waits for stock: pre-sold units of each item in the order of their tickets.
 *
 * A grant of units beyond what is in stock draws the item's next ticket (from 1, dense), and the
 * module keeps how many of its units are still held or sold. When stock arrives it covers tickets
 * from the lowest up; so a ticket is covered but for what is still short, as far as later tickets
 * don't account for that (presale_behind). Nothing is stored about coverage: it follows from the
 * item's numbers, so replay and a running engine agree.
 *
 * Per item a chain of chunks of 4096 tickets, newest first, of 4 bytes a ticket; address space is
 * reserved at start and pages come with use. A chunk whose units are all gone, and that is not the
 * newest, is used anew.
 *
 * Threads: any; spin locks by item, innermost. No allocation and no system call under them. */
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

/* items_max: handles 1..items_max; tickets_max: tickets with units at once, 1..PRESALE_TICKETS_MAX
 * (rounded up to chunks, and a chunk for each item besides: an item's first tickets always fit). A
 * ticket far from all others takes a chunk. NO_MEMORY when address space is refused. */
enum hf_status presale_init(struct presale **out, uint32_t items_max, uint64_t tickets_max);

/* NULL is allowed. */
void presale_deinit(struct presale *presale);

/* Draws the item's next ticket, without units yet. 0: no room; the units are then sold as any. Give
 * it its units soon: while 4096 later ones are drawn, its chunk may be used anew. */
uint32_t presale_draw(struct presale *presale, uint32_t item);

/* Changes a ticket's units by delta. A ticket above all that were drawn (replay) counts as drawn,
 * with those below it. False, and nothing was changed: no room for it (replay, also of more than
 * PRESALE_UNITS_MAX; or a ticket whose chunk was used anew before it got units); or it has fewer
 * units than it is to lose (replay). O(chunks after it). */
bool presale_change(struct presale *presale, uint32_t item, uint32_t ticket, int64_t delta);

/* Gives a ticket that has none its units, for an order that is decided but has no LSN yet: they
 * keep their place, but are not seen (presale_behind) until presale_publish. presale_change gives
 * them back if it comes to nothing. False: as with presale_change; or the ticket has units, of
 * another order by a checkpoint that gave it to both. */
bool presale_take(struct presale *presale, uint32_t item, uint32_t ticket, uint32_t units);

/* What presale_take gave is seen from now on. */
void presale_publish(struct presale *presale, uint32_t item, uint32_t ticket);

/* Units of the item's tickets after this one, as published; ticket 0: of all. O(chunks after it):
 * some 10 ns each, and up to a microsecond within its own. */
uint64_t presale_behind(struct presale *presale, uint32_t item, uint32_t ticket);

/* The last ticket that was drawn; 0: none. */
uint32_t presale_last(struct presale *presale, uint32_t item);

/* Calls visit for each ticket with units, of one item, in no particular order. Nothing else may run
 * meanwhile. */
void presale_visit(struct presale *presale, uint32_t item,
                   void (*visit)(void *context, uint32_t ticket, uint32_t units), void *context);

/* What orders that are loaded from a checkpoint have of tickets that were loaded before: each has
 * a ticket of its own, which was drawn and has just the order's units; 0: none any more. Between
 * _begin and _end nothing else may run but claims, from any threads. items: as many as are defined.
 * presale_claims_begin: false when out of memory; _end is due then, too. presale_claim: false when
 * it is not so. */
bool presale_claims_begin(struct presale *presale, uint32_t items);
bool presale_claim(struct presale *presale, uint32_t item, uint32_t ticket, uint32_t units);
void presale_claims_end(struct presale *presale, uint32_t items);

#endif
