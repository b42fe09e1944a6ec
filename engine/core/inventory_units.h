/* inventory_units.h - units of stock for the lines of an order: taken when an order is decided, or
 * by replay and loading, whether or not they are free.
 *
 * Threads: any; for units of an order, under its shard's lock. */
#ifndef CORE_INVENTORY_UNITS_H
#define CORE_INVENTORY_UNITS_H

#include "base/check.h"
#include "core/inventory_internal.h"

/* ---- Taken when an order is decided ---- */

/* As units_take(). presale: NULL, or presale[line_count], which is set to how many of each line's
 * units are beyond what is in stock; units of the last lines count as beyond first. */
enum hf_status units_take_presale(struct txn *txn, const struct order_line *lines,
                                  uint32_t line_count, uint32_t *presale, uint32_t *blocking_line);

/* Takes the units of all lines, those of one item together, in the order of items; quantities of 0
 * are skipped. SOLD_OUT: nothing is taken, and *blocking_line is the first line (from 1) of the
 * item that had too few units. */
static inline enum hf_status units_take(struct txn *txn, const struct order_line *lines,
                                        uint32_t line_count, uint32_t *blocking_line)
{
    if (line_count == 1) {
        enum hf_status status =
            stock_take(txn->inventory->stock, txn->slot, lines[0].item, lines[0].qty);
        *blocking_line = status == HF_OK ? 0 : 1;
        return status;
    }
    return units_take_presale(txn, lines, line_count, NULL, blocking_line);
}

/* Takes units of one item that had no pre-sale when its rule was read. If it has one by now,
 * *beyond is how many of the units are beyond what is in stock; else it is 0. */
enum hf_status plain_take(struct txn *txn, uint32_t item, int64_t qty, int64_t *beyond);

/* Undoes units_take. */
void units_give_back(struct txn *txn, const struct order_line *lines, uint32_t line_count);

/* Sorts numbers in place. */
void keys_sort(uint64_t *keys, uint32_t count);

/* ---- Taken by replay and loading, whether or not they are free ---- */

static inline void units_force(struct stock *stock, unsigned slot, uint32_t item, int64_t qty)
{
    enum hf_status status = stock_debit(stock, slot, item, qty, INT64_MIN);
    CHECK(status == HF_OK);
}

/* Takes units of stock (below 0: credits them), and counts some as sold (below 0: as no longer
 * sold). */
static inline void units_change(struct stock *stock, unsigned slot, uint32_t item, int64_t taken,
                                int64_t sold)
{
    if (taken > 0) {
        units_force(stock, slot, item, taken);
    }
    if (taken != 0) {
        stock_promise(stock, slot, item, taken);
    }
    if (sold != 0) {
        stock_sell(stock, slot, item, sold);
    }
    if (taken < 0) {
        stock_give(stock, slot, item, -taken);
    }
}

#endif
