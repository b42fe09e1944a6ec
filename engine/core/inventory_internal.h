/* inventory_internal.h - the inventory itself, for the files that make it up. No other file
 * includes it.
 *
 * Each of these files has one subject, from the bottom up:
 *
 *     inventory.c          init; entering an order in the table
 *     inventory_units.c    units of stock for several lines
 *     inventory_rules.c    the rules that units are sold by
 *     inventory_effect.c   what an event does besides changing the order
 *     inventory_forget.c   forgetting orders that have ended
 *     inventory_admin.c    definitions, adjustments and moves
 *     inventory_grant.c    filling the lines of a shaped order
 *     inventory_reserve.c  deciding on new orders
 *     inventory_edit.c     deciding on existing orders: commit, release, return, extend, expire
 *     inventory_hints.c    dropping deadlines that no order needs any more
 *     inventory_publish.c  making decided events visible
 *     inventory_apply.c    applying events of the log
 *     inventory_read.c     reading
 *     inventory_verify.c   the digest of the whole state, and whether its parts agree
 *     plan.c               what definitions, adjustments and moves would result in
 *     image.c              the state without its log: what a checkpoint holds
 *     replay.c             lanes of replay, orders in hand, deadlines after replay
 *
 * Lock order: an order shard's lock, then stock's, lines', buyers' or presale's. A wheel's lock is
 * taken while no other is held. The admin mutex is outermost. */
#ifndef CORE_INVENTORY_INTERNAL_H
#define CORE_INVENTORY_INTERNAL_H

#include <pthread.h>

#include "core/adjustments.h"
#include "core/buyers.h"
#include "core/catalog.h"
#include "core/expiry.h"
#include "core/inventory.h"
#include "core/lines.h"
#include "core/orders.h"
#include "core/presale.h"
#include "core/publication.h"
#include "core/transition.h"

struct inventory {
    struct inventory_options options;
    char hold_max_reason[80];   /* why an order that asks for more than hold_ms_max is refused */
    char orders_max_reason[64]; /* why there is no room for one more order */
    char buyers_max_reason[64]; /* why one more buyer can't be counted */
    struct stock *stock;
    struct orders orders;
    struct lines *lines;
    struct expiry *expiry;
    struct catalog *catalog;
    struct buyers *buyers;
    struct presale *presale;
    struct publication *publication;
    /* Between a move's debit and its credit its units are in no pool. A reserve that finds too few
     * units in several items meanwhile must try again (reserve_shaped). */
    _Atomic uint64_t moves_begun;
    _Atomic uint64_t moves_done;
    struct adjustments adjustments; /* under admin */
    pthread_mutex_t admin;
    bool claiming; /* a checkpoint's orders are being checked against its ledger */
};

/* Enters the order of an ORDER_HELD event, not yet published. Call it under the shard's lock, after
 * orders_find. Returns ORDER_NO_HANDLE when the table is full, or out of memory. */
uint32_t order_enter(struct inventory *inventory, unsigned slot, struct order_shard *shard,
                     uint64_t hash, const struct event *event);

#endif
