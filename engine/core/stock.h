/* stock.h - units of each item, split over cache-line shards when threads collide.
 *
 * For each item the module keeps how many units are free to take and how many were sold, in cells
 * of one cache line, and the three numbers that an operator sets (stocked, safety, presale_cap).
 * How many are held follows from these:
 *
 *     free + held + sold == stocked - safety + presale_cap
 *
 * Units taken by an operation that has no LSN yet are not free, but no visible order has them. So
 * the units that orders have are also counted when the orders are published (stock_promise).
 * stock_read computes held from what is free, stock_read_promised from what was published.
 *
 * An item starts with one cell. When threads collide on it, or it was defined hot, it is split over
 * STOCK_SHARDS more cells; each thread prefers its own (slot modulo the number of shards). A thread
 * whose cell has too few units gathers from the others under the item's spin lock, and moves half
 * of the richest cell's rest into its own. SOLD_OUT needs a proof: a scan of all cells that found
 * too few units, while the counters of credits begun and ended, and of moves, did not change. A
 * take from several items proves it for all of them together, by one scan of them all.
 *
 * Threads: any, unless said otherwise. No allocation after stock_init(). */
#ifndef CORE_STOCK_H
#define CORE_STOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/status.h"

struct stock;

/* An item's numbers at one moment. held is never reported below 0. */
struct stock_view {
    int64_t stocked;
    int64_t held;
    int64_t sold;
    int64_t available; /* stocked - safety - held - sold + presale_cap: what is free */
    int64_t safety;
    int64_t presale_cap;
    int64_t settled; /* the part of sold that forgotten orders sold */
};

/* The units that one item gave to a line that may be filled from several items. */
struct stock_part {
    uint32_t item;
    int64_t taken;   /* filled in */
    int64_t presale; /* the part of taken beyond what is in stock (stocked - safety); filled in */
};

/* items_max: handles 1..items_max may be used. Reserves address space; pages are taken as items
 * are defined. NO_MEMORY when the system refuses. */
enum hf_status stock_init(struct stock **out, uint32_t items_max);
void stock_deinit(struct stock *stock);

/* Makes an item usable with all numbers 0, or changes an item's safety, presale_cap and hot. A
 * change moves free by the difference at once, below zero if need be (nothing then sells).
 * hot: split now; splitting is never undone. One caller at a time per item. */
void stock_define(struct stock *stock, uint32_t item, int64_t safety, int64_t presale_cap,
                  bool hot);

/* As stock_define, for a change of which `debited` units (0 or more) have already been taken by
 * stock_debit. A change that leaves fewer units free is debited before its record has its LSN, like
 * everything that takes units. */
void stock_redefine(struct stock *stock, uint32_t item, int64_t safety, int64_t presale_cap,
                    bool hot, int64_t debited);

/* Take qty units of one item.
 *
 * slot   the caller's thread slot, 0..THREADS_MAX-1 (any other thread may share it).
 * item   a defined handle.
 * qty    1..INT64_MAX/2: the sum of an order's lines of that item.
 * Returns OK, or SOLD_OUT if at some moment during the call fewer than qty were free.
 * Lock-free while the caller's own cell has enough; else O(cells) under the item's spin lock. */
enum hf_status stock_take(struct stock *stock, unsigned slot, uint32_t item, int64_t qty);

/* Take from several items, one after another in their order: at least `least` units in all (0: what
 * is free, even nothing), at most `most` (1 or more).
 *
 * count   1..1 + LINE_FALLBACKS_MAX different items.
 * OK with each part's numbers; taken adds up to least..most, and to less than `most` only if at
 * some moment during the call no more was free in all of them together. SOLD_OUT, with nothing
 * taken, if at some moment fewer than `least` were free in all of them together; never because of
 * how the units are spread. When count is above 1 the items are split (stock_is_split) from then
 * on, because only then are credits counted. Under the items' spin locks, taken in the order of
 * handles: O(count * cells). */
enum hf_status stock_take_any(struct stock *stock, unsigned slot, struct stock_part *parts,
                              uint32_t count, int64_t least, int64_t most);

/* Take qty units of one item that has a presale_cap, and return how many of them are beyond what is
 * in stock. That is exact while nothing is credited; each credit during the call counts as if it
 * came before the call or after it. Otherwise as stock_take, but under the item's spin lock. From
 * an item with a presale_cap units are taken only by this function and stock_take_any. */
enum hf_status stock_take_presale(struct stock *stock, unsigned slot, uint32_t item, int64_t qty,
                                  int64_t *presale);

/* Counts units as sold by forgotten orders: they stay sold, but belong to no order any more. delta:
 * above 0, except while a checkpoint is loaded. */
void stock_settle(struct stock *stock, uint32_t item, int64_t delta);

/* Credit qty units: they are free again. Call it only after the record that credits them has its
 * LSN, or to undo a take before any record of it. Wait-free, except that the counter may be
 * retried. */
void stock_give(struct stock *stock, unsigned slot, uint32_t item, int64_t qty);

/* Count delta units as sold (commit: above 0; return: below 0); they were, or will be, held. */
void stock_sell(struct stock *stock, unsigned slot, uint32_t item, int64_t delta);

/* Count delta units as promised: an order that has them, held or sold, becomes visible; below 0:
 * the order no longer has them. One thread at a time per slot. Wait-free: a plain addition. */
void stock_promise(struct stock *stock, unsigned slot, uint32_t item, int64_t delta);

/* Lower what is free by qty, for an adjustment or a definition: as stock_take, but free may fall to
 * `floor` (at most 0; INT64_MIN: forced). WOULD_OVERSELL if it would fall lower. stocked is not
 * changed here: stock_restock (or stock_redefine) changes it once the record has its LSN. One
 * caller at a time per item. */
enum hf_status stock_debit(struct stock *stock, unsigned slot, uint32_t item, int64_t qty,
                           int64_t floor);

/* Change stocked by delta; with delta above 0 the units become free now, with delta below 0 they
 * were debited before. One caller at a time per item. */
void stock_restock(struct stock *stock, unsigned slot, uint32_t item, int64_t delta);

/* The item's numbers. Exact when nothing else is happening to the item; otherwise each number is
 * right for some moment during the call, and together they add up. */
void stock_read(struct stock *stock, uint32_t item, struct stock_view *view);

/* The item's numbers as published: takes and debits that are not published yet are not seen. Exact
 * when nothing is published during the call (publication.h). */
void stock_read_promised(struct stock *stock, uint32_t item, struct stock_view *view);

/* True when the item has been split. */
bool stock_is_split(const struct stock *stock, uint32_t item);

/* Brings the cell of an item into the processor's cache; for batches. */
void stock_prefetch(const struct stock *stock, unsigned slot, uint32_t item);

#endif
