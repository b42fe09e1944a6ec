/* stock.h - units of each item, split over cache-line shards when threads collide.
 *
 * Per item the module keeps what is free to take and what was sold, in cells of one cache line,
 * and the three numbers an operator sets (stocked, safety, presale_cap). Held follows:
 *
 *     free + held + sold == stocked - safety + presale_cap
 *
 * Units taken by an operation that has no LSN yet are not free, but no order that can be seen has
 * them. So what orders have is counted apart, when they are published (stock_promise): stock_read
 * tells held by what is free, stock_read_promised by what was published.
 *
 * An item starts with one cell. When threads collide on it, or it was defined hot, it is split
 * over STOCK_SHARDS more; each thread prefers its own (slot modulo the number of shards). A thread
 * whose cell is short gathers from the others under the item's spin lock, moving half of the
 * richest cell's rest into its own. SOLD_OUT needs a proof: a scan of all cells that came short,
 * while counters of the givings back begun and ended, and of the moves, did not change. A taking
 * from several items proves it of all together, by one scan of them all.
 *
 * Threads: any, unless said otherwise. No allocation after stock_init(). */
#ifndef CORE_STOCK_H
#define CORE_STOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/status.h"

struct stock;

/* What an item's numbers are at a moment. held is never below 0 as reported. */
struct stock_view {
    int64_t stocked;
    int64_t held;
    int64_t sold;
    int64_t available; /* stocked - safety - held - sold + presale_cap: what is free */
    int64_t safety;
    int64_t presale_cap;
    int64_t settled; /* of sold: by orders that are forgotten */
};

/* What one item gave to a line that may be filled from several. */
struct stock_part {
    uint32_t item;
    int64_t taken;   /* filled in */
    int64_t presale; /* of taken: beyond what is in stock (stocked - safety); filled in */
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

/* As stock_define, of which `debited` units (0 up) have been taken by stock_debit already: a change
 * that leaves fewer free is debited before its record has its LSN, like anything that takes. */
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

/* Take from several items, filling one after another in their order: at least `least` units in all
 * (0: what there is, even nothing), at most `most` (1 up).
 *
 * count   1..1 + LINE_FALLBACKS_MAX different items.
 * OK with each part's numbers; taken adds up to least..most, and to less than `most` only if at
 * some moment during the call no more was free in all of them together. SOLD_OUT, with nothing
 * taken, if at some moment fewer than `least` were free together: never because of how units are
 * spread. Several items: they are split (stock_is_split) from then on, so that givings back can be
 * told. Under the items' spin locks, taken in the order of handles: O(count * cells). */
enum hf_status stock_take_any(struct stock *stock, unsigned slot, struct stock_part *parts,
                              uint32_t count, int64_t least, int64_t most);

/* Take qty units of one item that has a presale_cap, and tell how many of them are beyond what is
 * in stock: exact while nothing is given back, else each giving back during the call counts as one
 * before or one after. As stock_take otherwise, but under the item's spin lock. From an item with a
 * presale_cap units are taken by this or stock_take_any alone. */
enum hf_status stock_take_presale(struct stock *stock, unsigned slot, uint32_t item, int64_t qty,
                                  int64_t *presale);

/* Sold units of an order that is forgotten: they stay sold, and no order tells of them any more.
 * delta: may be above 0 only, but for a checkpoint's loading. */
void stock_settle(struct stock *stock, uint32_t item, int64_t delta);

/* Give qty units back. Call only after the record that gives them back has its LSN, or when the
 * taking is being undone before any record of it. Wait-free but for the counter's retry. */
void stock_give(struct stock *stock, unsigned slot, uint32_t item, int64_t qty);

/* Count delta units as sold (commit: above 0; return: below 0); they were, or will be, held. */
void stock_sell(struct stock *stock, unsigned slot, uint32_t item, int64_t delta);

/* Count delta units as promised: an order that has them, held or sold, becomes visible; below 0: it
 * has them no more. One thread at a time per slot. Wait-free, a plain addition. */
void stock_promise(struct stock *stock, unsigned slot, uint32_t item, int64_t delta);

/* Lower what is free by qty, for an adjustment or a definition: as stock_take, but free may fall to
 * `floor` (at most 0; INT64_MIN: forced). WOULD_OVERSELL if it does not fit. Then stocked is not
 * changed yet: stock_restock (or stock_redefine) does that once the record has its LSN. One caller
 * at a time per item. */
enum hf_status stock_debit(struct stock *stock, unsigned slot, uint32_t item, int64_t qty,
                           int64_t floor);

/* Change stocked by delta; for delta above 0 the units become free now, for delta below 0 they
 * were debited before. One caller at a time per item. */
void stock_restock(struct stock *stock, unsigned slot, uint32_t item, int64_t delta);

/* The item's numbers. Exact when nothing is under way; else each is true of some moment during
 * the call and together they add up. */
void stock_read(struct stock *stock, uint32_t item, struct stock_view *view);

/* The item's numbers by what was published: takes and debits that are under way are not seen.
 * Exact when nobody publishes meanwhile (publication.h). */
void stock_read_promised(struct stock *stock, uint32_t item, struct stock_view *view);

/* True when the item has been split. */
bool stock_is_split(const struct stock *stock, uint32_t item);

/* Brings the cell of an item into the processor's cache; for batches. */
void stock_prefetch(const struct stock *stock, unsigned slot, uint32_t item);

#endif
