/* stock.c - units of each item, split over cache-line shards when threads collide.
 *
 * Threads: any; see stock.h. No allocation after stock_init().
 *
 * What there is
 *   word      of a cell: what is free there, shifted left by one; bit 0 of the base cell's word
 *             says that the item is split. So every load and every CAS of the base cell knows
 *             whether it holds all that is free.
 *   credits   of a shard: how many credits were begun and ended by the threads that prefer it,
 *             whichever cell they then credit. The base cell's counters stay 0.
 *   lock      of an item: held by a thread that moves units between cells (gather), drives free
 *             below zero (debit, define) or reads all the numbers. `moves` is odd while the lock's
 *             holder has units in hand. A thread that takes from several items holds all their
 *             locks, taken in the order of handles, and all their `moves` are odd until it is done.
 *             All other threads hold at most one item's lock, so no two threads wait for each
 *             other.
 *
 * Invariants
 *   1. free, the sum of the cells and of what a gatherer has in hand, changes only by a take, a
 *      give, a debit, a restock or a definition, and by exactly its units.
 *   2. A shard is never below 0. The base cell is below 0 only when all shards are 0, except within
 *      debit_split(), which holds the lock.
 *   3. Not split: the base cell holds all that is free, and no thread credits another cell.
 *
 * Why SOLD_OUT is never a wrong answer
 *   Not split: the moment is the load of the base cell that found too few units; by 3 it saw all
 *   that was free.
 *   Split: a scan (a) reads `moves` and every credits_done, (b) reads every word, (c) reads every
 *   credits_started and `moves` again. A cell's started is never below its done, and both only
 *   rise. So when (a) and (c) agree, no credit was unfinished at (a) and none began until (c); for
 *   the same reason no lock holder had units in hand. Let T be the moment between (b) and (c). From
 *   the moment when a word was read until T, nothing was added to any cell. So at T each cell held
 *   at most what was read: if the sum of what was read is too small, free was too small at T. A
 *   lock holder that scans does not check `moves`, and counts what it has in hand as free.
 *   One counter, raised after each credit (or before it), would not be enough. Suppose that a giver
 *   stops between the two steps, with its units in a cell that was scanned already. Another thread
 *   takes some of them, a third takes from a cell not yet scanned, and the scan finds too few units
 *   although free was never too small. tests/model/stock.pml finds that run.
 *   Only one gatherer works at a time, so two never fail because each has units that the other
 *   needs; the fast path takes only what it keeps.
 *   Several items: all are split first. A scan runs (a) and (b) of one item after another, then (c)
 *   of all. T is the moment between the last (b) and the first (c), and lies within each item's own
 *   (b) to (c). So, as above, at T each cell of each item held at most what was read; and if the
 *   sum over all items is too small, what was free in them together was too small at T. It would
 *   not be enough to end the scan of one item before the next begins: a unit credited to the first
 *   lets another thread take from the second, which is scanned later. Units in hand, of whichever
 *   item, count as free until the hand is full; the take happens at that moment. So it fails only
 *   when the units are in none of the items, never because of how they are spread. No other thread
 *   can notice that some of the units left their cells earlier: `moves` of each item is odd, so a
 *   scan without that item's lock proves nothing, and a thread that needs the lock waits.
 *   tests/model/stock_any.pml checks this.
 *   When less than the most that was asked is taken, the same proof shows that no further unit was
 *   free. An item with a debt counts as 0: its debt takes nothing from the others.
 *
 * Why no unit is sold twice, and none below zero
 *   Units leave a cell only by a CAS that found them there. What remains to show is invariant 2: a
 *   shard's units may be sold only while the base is not below 0. A giver credits the base while
 * that is below 0 (credit()). A giver that saw the base at 0 or more may be overtaken by a debit
 * that drives the base below 0. Therefore debit_split() first lowers the base, then waits until
 * each cell had a moment without an unfinished credit, and then drains the shards into the base.
 * The giver's begin and its load of the base, and the debit's CAS and its load of the credits, are
 * seq_cst: either the giver sees the lowered base or the debit sees the giver. A take from a shard
 * until then is concurrent with the debit and counts as before it: the debit takes place when the
 * drain is done. The debit still respects its floor then: when the base was lowered the shards were
 * counted as empty, and those takes got only units that were credited since.
 *
 * Order of memory: every change of a word is acq_rel, every load that a decision rests on acquire.
 * So a thread that sees a word also sees the begin of the credit and the odd `moves` that came
 * before it.
 *
 * Source: Striped64 (java.util.concurrent) for splitting on contention; the scan is a snapshot by
 * double collect (Afek et al., "Atomic snapshots of shared memory", 1993), one-sided because takes
 * only lower a cell. */
#include "core/stock.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/pages.h"
#include "base/schedule.h"
#include "base/spin.h"

#define SHARDS         SCHEDULE_BOUND(STOCK_SHARDS, 3u)
#define CELLS          (1u + SHARDS) /* the base cell, then the shards */
#define SPLIT_BIT      INT64_C(1)
#define UNIT           INT64_C(2)              /* one unit in a word */
#define CELL_UNITS_MAX ((int64_t)1 << 60)      /* far above all that an operator can define */
#define SPLIT_AFTER    SCHEDULE_BOUND(64u, 2u) /* failed CASes on the base cell */
#define READ_TRIES     16u                     /* tries to get two equal readings */

#define PARTS_MAX (1u + LINE_FALLBACKS_MAX)

static_assert(CELL_UNITS_MAX / 64 > STOCK_MAX, "no sum of an item's numbers leaves a word");
static_assert(INT64_MAX / PARTS_MAX / 8 > STOCK_MAX, "nor does one of several items an int64");
static_assert(PARTS_MAX <= UINT8_MAX, "a part's index is a byte");

/* A cache line of its own, so that threads of different cells don't disturb each other. */
struct cell {
    alignas(CACHE_LINE_BYTES) _Atomic int64_t word;
    _Atomic int64_t sold; /* may be below 0: units sold by one cell, returned by another */
    _Atomic uint64_t credits_started;
    _Atomic uint64_t credits_done;
};

struct item {
    struct cell base;
    /* The cold line. */
    struct spin lock;
    _Atomic uint32_t collisions;
    _Atomic uint64_t moves; /* written under the lock */
    int64_t stocked;        /* this and the following: under the lock */
    int64_t safety;
    int64_t presale_cap;
    int64_t settled;
};

static_assert(sizeof(struct cell) == CACHE_LINE_BYTES, "a cell is a line");
static_assert(sizeof(struct item) == (size_t)2 * CACHE_LINE_BYTES, "an item is two lines");

struct stock {
    uint32_t items_max;
    struct item *items;  /* by handle; 0 is not used */
    struct cell *shards; /* SHARDS for each handle; touched only when the item is split */
    /* Units held or sold as published: an array for each slot, by handle. A thread counts in its
     * own slot's, without a locked instruction; only publishing changes it. */
    _Atomic int64_t *promised;
    _Atomic uint32_t promise_slots; /* slots that have counted any; only rises */
};

/* What one pass over the cells of a split item saw. */
struct scan {
    uint64_t moves; /* without the lock only */
    uint64_t credits_done[CELLS];
    int64_t positive; /* sum of the cells above 0 */
    int64_t debt;     /* of the base cell: 0 or below */
    unsigned richest; /* the cell with the most */
};

/* ---- Memory ---- */

static size_t items_bytes(const struct stock *stock)
{
    return ((size_t)stock->items_max + 1) * sizeof(struct item);
}

static size_t shards_bytes(const struct stock *stock)
{
    return ((size_t)stock->items_max + 1) * SHARDS * sizeof(struct cell);
}

static size_t promised_bytes(const struct stock *stock)
{
    return ((size_t)stock->items_max + 1) * THREADS_MAX * sizeof *stock->promised;
}

enum hf_status stock_init(struct stock **out, uint32_t items_max)
{
    CHECK(items_max >= 1);
    CHECK(items_max <= ITEMS_MAX);

    *out = NULL;
    struct stock *stock = calloc(1, sizeof *stock);
    if (stock == NULL) {
        return HF_NO_MEMORY;
    }
    stock->items_max = items_max;
    stock->items = pages_map(items_bytes(stock));
    stock->shards = pages_map(shards_bytes(stock));
    stock->promised = pages_map_small(promised_bytes(stock));
    if (stock->items == NULL || stock->shards == NULL || stock->promised == NULL) {
        stock_deinit(stock);
        return HF_NO_MEMORY;
    }
    *out = stock;
    return HF_OK;
}

void stock_deinit(struct stock *stock)
{
    if (stock == NULL) {
        return;
    }
    pages_unmap(stock->items, items_bytes(stock));
    pages_unmap(stock->shards, shards_bytes(stock));
    pages_unmap(stock->promised, promised_bytes(stock));
    free(stock);
}

static struct item *item_at(const struct stock *stock, uint32_t item)
{
    CHECK(item >= 1);
    CHECK(item <= stock->items_max);
    return &stock->items[item];
}

/* Cell 0 is the base, 1..SHARDS are the shards. */
static struct cell *cell_at(const struct stock *stock, uint32_t item, unsigned index)
{
    return index == 0 ? &stock->items[item].base
                      : &stock->shards[(size_t)item * SHARDS + index - 1];
}

static struct cell *own_cell(const struct stock *stock, uint32_t item, unsigned slot)
{
    CHECK(slot < THREADS_MAX);
    return cell_at(stock, item, 1 + slot % SHARDS);
}

/* ---- One cell ---- */

static int64_t free_of(int64_t word)
{
    return word >> 1; /* arithmetic: a debt stays below 0, and the split bit falls off */
}

/* acquire: pairs with the release in every change of a word. */
static int64_t load_word(const struct cell *cell)
{
    SCHEDULE_POINT("stock.load");
    return atomic_load_explicit(&cell->word, memory_order_acquire);
}

/* Adds units to a word that was read as *word; else *word is what is there now. seq_cst is for the
 * debit that lowers the base (see the top); on x86 it is the same instruction. */
static inline __attribute__((always_inline)) bool change_word(struct cell *cell, int64_t *word,
                                                              int64_t units)
{
    CHECK(free_of(*word) + units < CELL_UNITS_MAX);
    CHECK(free_of(*word) + units > -CELL_UNITS_MAX);
    SCHEDULE_POINT("stock.change");
    return atomic_compare_exchange_strong_explicit(&cell->word, word, *word + units * UNIT,
                                                   memory_order_seq_cst, memory_order_acquire);
}

static void add_units(struct cell *cell, int64_t units)
{
    if (units == 0) {
        return;
    }
    SCHEDULE_POINT("stock.add");
    int64_t before = atomic_fetch_add_explicit(&cell->word, units * UNIT, memory_order_acq_rel);
    CHECK(free_of(before) + units < CELL_UNITS_MAX);
}

static int64_t min_units(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Takes what the cell has, at most `most`. */
static int64_t take_up_to(struct cell *cell, int64_t most)
{
    int64_t word = load_word(cell);
    while (free_of(word) > 0 && most > 0) {
        int64_t units = min_units(free_of(word), most);
        if (change_word(cell, &word, -units)) {
            return units;
        }
    }
    return 0;
}

/* ---- Splitting ---- */

/* One RMW: from then on no thread takes the base cell for all that is free. */
static void split(struct item *item)
{
    SCHEDULE_POINT("stock.split");
    atomic_fetch_or_explicit(&item->base.word, SPLIT_BIT, memory_order_acq_rel);
}

static void note_collision(struct item *item)
{
    /* relaxed: only a number; exactly one thread draws each value. */
    uint32_t before = atomic_fetch_add_explicit(&item->collisions, 1, memory_order_relaxed);
    if (before + 1 == SPLIT_AFTER) {
        split(item);
    }
}

bool stock_is_split(const struct stock *stock, uint32_t item)
{
    return (load_word(&item_at(stock, item)->base) & SPLIT_BIT) != 0;
}

/* ---- The scan of a split item ---- */

/* Steps (a), without `moves`, and (b). */
static void scan_cells(const struct stock *stock, uint32_t item, struct scan *scan)
{
    SCHEDULE_POINT("stock.scan");
    for (unsigned i = 1; i < CELLS; i++) {
        /* acquire: pairs with the release that ends credit(); its units are seen in (b). */
        scan->credits_done[i] =
            atomic_load_explicit(&cell_at(stock, item, i)->credits_done, memory_order_acquire);
    }
    int64_t base = free_of(load_word(cell_at(stock, item, 0)));
    int64_t most = base;
    scan->positive = base > 0 ? base : 0;
    scan->debt = base < 0 ? base : 0;
    scan->richest = 0;
    for (unsigned i = 1; i < CELLS; i++) {
        int64_t units = free_of(load_word(cell_at(stock, item, i)));
        scan->positive += units;
        if (units > most) {
            most = units;
            scan->richest = i;
        }
    }
}

/* Step (c), without `moves`. True: nothing was credited between (a) and here. */
static bool scan_is_settled(const struct stock *stock, uint32_t item, const struct scan *scan)
{
    SCHEDULE_POINT("stock.scanned");
    for (unsigned i = 1; i < CELLS; i++) {
        /* Follows the loads of (b), which are acquire; a begin that came before a word that was
         * seen there is seen here. */
        uint64_t started =
            atomic_load_explicit(&cell_at(stock, item, i)->credits_started, memory_order_acquire);
        if (started != scan->credits_done[i]) {
            return false;
        }
    }
    return true;
}

/* Without the lock and without writing. False: a thread is moving units. */
static bool scan_unlocked(const struct stock *stock, uint32_t item, struct scan *scan)
{
    SCHEDULE_POINT("stock.proof");
    /* acquire: pairs with the release in moves_end. */
    scan->moves = atomic_load_explicit(&stock->items[item].moves, memory_order_acquire);
    if (scan->moves % 2 != 0) {
        return false;
    }
    scan_cells(stock, item, scan);
    return true;
}

/* Step (c) for scan_unlocked. */
static bool unlocked_is_settled(const struct stock *stock, uint32_t item, const struct scan *scan)
{
    return scan_is_settled(stock, item, scan) &&
           atomic_load_explicit(&stock->items[item].moves, memory_order_acquire) == scan->moves;
}

/* Without the lock and without writing, so that refusals don't slow each other down. False: there
 * may be enough, or a thread was crediting or moving units. */
static bool proven_short(const struct stock *stock, uint32_t item, int64_t qty)
{
    struct scan scan;
    return scan_unlocked(stock, item, &scan) && scan.positive < qty &&
           unlocked_is_settled(stock, item, &scan);
}

/* ---- Under the lock ---- */

static void moves_begin(struct item *item)
{
    SCHEDULE_POINT("stock.moves_begin");
    /* relaxed: the change of a word that follows is a release; a thread that sees that change sees
     * this. */
    uint64_t moves = atomic_load_explicit(&item->moves, memory_order_relaxed);
    CHECK(moves % 2 == 0);
    atomic_store_explicit(&item->moves, moves + 1, memory_order_relaxed);
}

static void moves_end(struct item *item)
{
    SCHEDULE_POINT("stock.moves_end");
    uint64_t moves = atomic_load_explicit(&item->moves, memory_order_relaxed);
    CHECK(moves % 2 == 1);
    /* release: pairs with the acquire in proven_short. */
    atomic_store_explicit(&item->moves, moves + 1, memory_order_release);
}

/* Takes up to `most` from all cells, the richest first: fewer cells are touched. */
static int64_t take_from_all(const struct stock *stock, uint32_t item, unsigned richest,
                             int64_t most)
{
    int64_t hand = take_up_to(cell_at(stock, item, richest), most);
    for (unsigned i = 0; i < CELLS && hand < most; i++) {
        hand += take_up_to(cell_at(stock, item, i), most - hand);
    }
    return hand;
}

/* Takes qty units from any cells. False: it is proven that too few are free. */
static bool gather(const struct stock *stock, uint32_t item, struct cell *own, int64_t qty)
{
    int64_t hand = 0;
    struct scan scan;
    for (unsigned step = 0;; step++) {
        scan_cells(stock, item, &scan);
        if (hand + scan.positive < qty && scan_is_settled(stock, item, &scan)) {
            /* Units were in hand only if the base was not below 0, and it can't be now: only a
             * holder of the lock lowers it. So they may go to a shard. */
            add_units(own, hand);
            return false;
        }
        hand += take_from_all(stock, item, scan.richest, qty - hand);
        if (hand == qty) {
            break;
        }
        spin_pause(step);
    }
    /* Moves more than is needed, so that this thread's next takes are fast again. */
    struct cell *richest = cell_at(stock, item, scan.richest);
    if (richest != own) {
        int64_t half = free_of(load_word(richest)) / 2;
        add_units(own, take_up_to(richest, half));
    }
    return true;
}

static bool fits(int64_t units, int64_t qty, int64_t floor)
{
    return floor == INT64_MIN || units - qty >= floor;
}

/* The base has just gone below 0: restores invariant 2. */
static void settle_debt(const struct stock *stock, uint32_t item)
{
    for (unsigned i = 1; i < CELLS; i++) {
        struct cell *cell = cell_at(stock, item, i);
        for (unsigned step = 0;; step++) {
            SCHEDULE_POINT("stock.settle");
            uint64_t done = atomic_load_explicit(&cell->credits_done, memory_order_acquire);
            /* seq_cst: with the CAS that lowered the base, against the begin and the load of
             * the base in credit(). */
            if (atomic_load_explicit(&cell->credits_started, memory_order_seq_cst) == done) {
                break;
            }
            spin_pause(step);
        }
    }
    for (unsigned i = 1; i < CELLS; i++) {
        int64_t units = take_up_to(cell_at(stock, item, i), CELL_UNITS_MAX);
        add_units(cell_at(stock, item, 0), units);
    }
}

/* Lowers a split item's free by qty, down to floor. False: it was proven not to fit. */
static bool debit_split(const struct stock *stock, uint32_t item, struct cell *own, int64_t qty,
                        int64_t floor)
{
    struct cell *base = cell_at(stock, item, 0);
    int64_t hand = 0;
    for (unsigned step = 0;; step++) {
        struct scan scan;
        scan_cells(stock, item, &scan);
        if (!fits(hand + scan.positive + scan.debt, qty, floor) &&
            scan_is_settled(stock, item, &scan)) {
            add_units(own, hand); /* as in gather() */
            return false;
        }
        hand += take_from_all(stock, item, scan.richest, qty - hand);
        if (hand == qty) {
            return true;
        }
        /* The shards count as empty here: units that were credited to them since only help. */
        int64_t word = load_word(base);
        if (free_of(word) <= 0 && fits(free_of(word), qty - hand, floor) &&
            change_word(base, &word, hand - qty)) {
            settle_debt(stock, item);
            return true;
        }
        spin_pause(step);
    }
}

static bool debit_locked(const struct stock *stock, uint32_t item, struct cell *own, int64_t qty,
                         int64_t floor)
{
    struct item *it = &stock->items[item];
    int64_t word = load_word(&it->base);
    while ((word & SPLIT_BIT) == 0) {
        if (!fits(free_of(word), qty, floor)) {
            return false;
        }
        if (change_word(&it->base, &word, -qty)) {
            return true;
        }
    }
    moves_begin(it);
    bool done = debit_split(stock, item, own, qty, floor);
    moves_end(it);
    return done;
}

/* Credits the base: if that is below 0 it has to be filled first anyway. */
static void credit_locked(struct item *item, int64_t qty)
{
    moves_begin(item);
    add_units(&item->base, qty);
    moves_end(item);
}

/* ---- Taking ---- */

static enum hf_status take_split(struct stock *stock, unsigned slot, uint32_t item, int64_t qty)
{
    struct cell *own = own_cell(stock, item, slot);
    int64_t word = load_word(own);
    while (free_of(word) >= qty) {
        if (change_word(own, &word, -qty)) {
            return HF_OK;
        }
    }
    if (proven_short(stock, item, qty)) {
        return HF_SOLD_OUT;
    }
    struct item *it = &stock->items[item];
    spin_lock(&it->lock);
    moves_begin(it);
    bool taken = gather(stock, item, own, qty);
    moves_end(it);
    spin_unlock(&it->lock);
    return taken ? HF_OK : HF_SOLD_OUT;
}

enum hf_status stock_take(struct stock *stock, unsigned slot, uint32_t item, int64_t qty)
{
    CHECK(qty >= 1);
    CHECK(qty <= INT64_MAX / 2);

    struct item *it = item_at(stock, item);
    int64_t word = load_word(&it->base);
    while ((word & SPLIT_BIT) == 0) {
        if (free_of(word) < qty) {
            return HF_SOLD_OUT;
        }
        if (change_word(&it->base, &word, -qty)) {
            return HF_OK;
        }
        note_collision(it);
    }
    return take_split(stock, slot, item, qty);
}

/* ---- Taking from several items ---- */

/* One take from several items. */
struct sweep {
    const struct stock *stock;
    struct stock_part *parts; /* in the order of preference */
    uint32_t count;
    uint8_t by_handle[PARTS_MAX]; /* indices of parts, the order of locks */
    struct scan scans[PARTS_MAX];
};

/* By insertion: a line seldom has more than three items. */
static void sort_by_handle(struct sweep *sweep)
{
    const struct stock_part *parts = sweep->parts;
    for (uint32_t i = 0; i < sweep->count; i++) {
        uint32_t at = i;
        for (; at > 0 && parts[sweep->by_handle[at - 1]].item > parts[i].item; at--) {
            sweep->by_handle[at] = sweep->by_handle[at - 1];
        }
        sweep->by_handle[at] = (uint8_t)i;
        /* With an item twice, the thread would wait for a lock that it holds itself. */
        CHECK(at == 0 || parts[sweep->by_handle[at - 1]].item != parts[i].item);
    }
}

static struct item *part_item(const struct sweep *sweep, uint32_t part)
{
    return &sweep->stock->items[sweep->parts[part].item];
}

static void lock_parts(struct sweep *sweep)
{
    sort_by_handle(sweep);
    for (uint32_t i = 0; i < sweep->count; i++) {
        spin_lock(&part_item(sweep, sweep->by_handle[i])->lock);
    }
}

static void unlock_parts(const struct sweep *sweep)
{
    for (uint32_t i = sweep->count; i > 0; i--) {
        spin_unlock(&part_item(sweep, sweep->by_handle[i - 1])->lock);
    }
}

/* Without the locks: fewer than qty units are free of all parts together. False: not proven. */
static bool parts_proven_short(struct sweep *sweep, int64_t qty)
{
    int64_t seen = 0;
    for (uint32_t i = 0; i < sweep->count && seen < qty; i++) {
        if (!scan_unlocked(sweep->stock, sweep->parts[i].item, &sweep->scans[i])) {
            return false;
        }
        seen += sweep->scans[i].positive;
    }
    bool is_short = seen < qty;
    for (uint32_t i = 0; i < sweep->count && is_short; i++) {
        is_short = unlocked_is_settled(sweep->stock, sweep->parts[i].item, &sweep->scans[i]);
    }
    return is_short;
}

/* Under the locks: what is in the cells of all parts. */
static int64_t scan_parts(struct sweep *sweep)
{
    int64_t seen = 0;
    for (uint32_t i = 0; i < sweep->count; i++) {
        scan_cells(sweep->stock, sweep->parts[i].item, &sweep->scans[i]);
        seen += sweep->scans[i].positive;
    }
    return seen;
}

static bool parts_are_settled(const struct sweep *sweep)
{
    for (uint32_t i = 0; i < sweep->count; i++) {
        if (!scan_is_settled(sweep->stock, sweep->parts[i].item, &sweep->scans[i])) {
            return false;
        }
    }
    return true;
}

/* Takes up to `most` of what the last scan saw, in the order of preference. */
static int64_t take_from_parts(struct sweep *sweep, int64_t most)
{
    int64_t units = 0;
    for (uint32_t i = 0; i < sweep->count && units < most; i++) {
        struct stock_part *part = &sweep->parts[i];
        if (sweep->scans[i].positive > 0) {
            int64_t taken =
                take_from_all(sweep->stock, part->item, sweep->scans[i].richest, most - units);
            part->taken += taken;
            units += taken;
        }
    }
    return units;
}

static void put_back_parts(const struct sweep *sweep, unsigned slot)
{
    for (uint32_t i = 0; i < sweep->count; i++) {
        /* As in gather(): a base that units were taken under is not below 0. */
        struct stock_part *part = &sweep->parts[i];
        add_units(own_cell(sweep->stock, part->item, slot), part->taken);
        part->taken = 0;
    }
}

/* gather() over several items, at least `least` and at most `most`. False: it is proven that too
 * few are free. */
static bool gather_parts(struct sweep *sweep, unsigned slot, int64_t least, int64_t most)
{
    int64_t hand = 0;
    for (unsigned step = 0;; step++) {
        int64_t seen = scan_parts(sweep);
        bool is_short = hand + seen < least;
        if ((is_short || seen == 0) && parts_are_settled(sweep)) {
            if (is_short) {
                put_back_parts(sweep, slot);
            }
            return !is_short;
        }
        hand += take_from_parts(sweep, most - hand);
        if (hand == most) {
            return true;
        }
        spin_pause(step);
    }
}

/* How many of `taken` units are beyond what is in stock, when `units` were left free after the
 * take. */
static int64_t presale_of(const struct item *item, int64_t taken, int64_t units)
{
    int64_t beyond = item->presale_cap - units;
    return beyond > 0 ? min_units(beyond, taken) : 0;
}

/* Under the locks, after the take. How exact the result is: units of an item with a presale_cap are
 * taken only under its lock, so only credits change what is free during the call. This reads what
 * the take left, and of the units credited since then those whose cell was not read yet: each
 * credit counts as if it came before the take or after it. So presale is never above what was
 * beyond stock when the take was done, and below it by at most what was credited during the call.
 * It is exact when nothing is credited, and always exact when what is free stays on one side of
 * presale_cap. */
static void fill_presale(struct sweep *sweep)
{
    for (uint32_t i = 0; i < sweep->count; i++) {
        struct stock_part *part = &sweep->parts[i];
        const struct item *it = part_item(sweep, i);
        if (part->taken > 0 && it->presale_cap > 0) {
            scan_cells(sweep->stock, part->item, &sweep->scans[i]);
            part->presale = presale_of(it, part->taken, sweep->scans[i].positive);
        }
    }
}

static bool take_from_split_parts(struct sweep *sweep, unsigned slot, int64_t least, int64_t most)
{
    for (uint32_t i = 0; i < sweep->count; i++) {
        moves_begin(part_item(sweep, i));
    }
    bool taken = gather_parts(sweep, slot, least, most);
    if (taken) {
        fill_presale(sweep);
    }
    for (uint32_t i = 0; i < sweep->count; i++) {
        moves_end(part_item(sweep, i));
    }
    return taken;
}

/* Under the lock: takes least..most units of an item that is not split, from its base cell, which
 * holds all that is free: so what is left is exact. False: the item is split, nothing was done. */
static bool take_unsplit(struct item *item, struct stock_part *part, int64_t least, int64_t most,
                         bool *taken)
{
    int64_t word = load_word(&item->base);
    while ((word & SPLIT_BIT) == 0) {
        int64_t units = free_of(word) > 0 ? min_units(free_of(word), most) : 0;
        *taken = units >= least;
        if (!*taken || units == 0) {
            return true;
        }
        if (change_word(&item->base, &word, -units)) {
            part->taken = units;
            part->presale = presale_of(item, units, free_of(word) - units);
            return true;
        }
    }
    return false;
}

/* Splits several items, because only then are credits counted; a single item need not be split.
 * True: all are split. */
static bool split_parts(struct stock *stock, const struct stock_part *parts, uint32_t count)
{
    bool all_split = true;
    for (uint32_t i = 0; i < count; i++) {
        struct item *it = item_at(stock, parts[i].item);
        bool is_split = stock_is_split(stock, parts[i].item);
        if (!is_split && count > 1) {
            split(it);
            is_split = true;
        }
        all_split = all_split && is_split;
    }
    return all_split;
}

enum hf_status stock_take_any(struct stock *stock, unsigned slot, struct stock_part *parts,
                              uint32_t count, int64_t least, int64_t most)
{
    CHECK(slot < THREADS_MAX);
    CHECK(count >= 1 && count <= PARTS_MAX);
    CHECK(least >= 0 && least <= most);
    CHECK(most >= 1);

    for (uint32_t i = 0; i < count; i++) {
        parts[i].taken = 0;
        parts[i].presale = 0;
    }
    struct sweep sweep;
    sweep.stock = stock;
    sweep.parts = parts;
    sweep.count = count;

    bool all_split = split_parts(stock, parts, count);
    /* With a least of 0, proof that not even 1 unit is free is enough: then nothing is taken. */
    if (all_split && parts_proven_short(&sweep, least > 0 ? least : 1)) {
        return least > 0 ? HF_SOLD_OUT : HF_OK;
    }
    lock_parts(&sweep);
    bool taken = false;
    if (all_split || !take_unsplit(part_item(&sweep, 0), &parts[0], least, most, &taken)) {
        taken = take_from_split_parts(&sweep, slot, least, most);
    }
    unlock_parts(&sweep);
    return taken ? HF_OK : HF_SOLD_OUT;
}

enum hf_status stock_take_presale(struct stock *stock, unsigned slot, uint32_t item, int64_t qty,
                                  int64_t *presale)
{
    CHECK(qty >= 1);

    struct stock_part part = {.item = item};
    enum hf_status status = stock_take_any(stock, slot, &part, 1, qty, qty);
    CHECK(part.taken == (status == HF_OK ? qty : 0));
    *presale = part.presale;
    return status;
}

/* ---- Giving ---- */

/* Credits a split item: the base while that is below 0, else the thread's own cell. */
static void credit(struct stock *stock, unsigned slot, uint32_t item, int64_t qty)
{
    struct cell *own = own_cell(stock, item, slot);
    struct cell *base = cell_at(stock, item, 0);

    SCHEDULE_POINT("stock.credit");
    /* seq_cst, this and the load: see settle_debt(). */
    atomic_fetch_add_explicit(&own->credits_started, 1, memory_order_seq_cst);
    SCHEDULE_POINT("stock.credit_begun");
    int64_t word = atomic_load_explicit(&base->word, memory_order_seq_cst);
    bool credited = false;
    while (free_of(word) < 0 && !credited) {
        credited = change_word(base, &word, qty);
    }
    if (!credited) {
        add_units(own, qty);
    }
    SCHEDULE_POINT("stock.credited");
    /* release: pairs with the acquire in scan_cells and settle_debt. */
    atomic_fetch_add_explicit(&own->credits_done, 1, memory_order_acq_rel);
}

void stock_give(struct stock *stock, unsigned slot, uint32_t item, int64_t qty)
{
    CHECK(qty >= 1);
    CHECK(qty < CELL_UNITS_MAX);

    struct item *it = item_at(stock, item);
    int64_t word = load_word(&it->base);
    while ((word & SPLIT_BIT) == 0) {
        if (change_word(&it->base, &word, qty)) {
            return;
        }
        note_collision(it);
    }
    credit(stock, slot, item, qty);
}

void stock_sell(struct stock *stock, unsigned slot, uint32_t item, int64_t delta)
{
    struct item *it = item_at(stock, item);
    bool is_split = (load_word(&it->base) & SPLIT_BIT) != 0;
    struct cell *cell = is_split ? own_cell(stock, item, slot) : &it->base;
    SCHEDULE_POINT("stock.sell");
    /* release: a reader that sees it sees the take that came before. */
    atomic_fetch_add_explicit(&cell->sold, delta, memory_order_release);
}

static _Atomic int64_t *promised_at(const struct stock *stock, uint32_t slot, uint32_t item)
{
    return &stock->promised[slot * ((size_t)stock->items_max + 1) + item];
}

void stock_promise(struct stock *stock, unsigned slot, uint32_t item, int64_t delta)
{
    CHECK(slot < THREADS_MAX);
    CHECK(item >= 1 && item <= stock->items_max);
    uint32_t slots = atomic_load_explicit(&stock->promise_slots, memory_order_relaxed);
    while (slots <= slot &&
           !atomic_compare_exchange_weak_explicit(&stock->promise_slots, &slots, slot + 1,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    _Atomic int64_t *promised = promised_at(stock, slot, item);
    SCHEDULE_POINT("stock.promise");
    /* relaxed: only the slot's thread writes it. release: a reader that sees it sees that a
     * publication was begun. */
    int64_t before = atomic_load_explicit(promised, memory_order_relaxed);
    atomic_store_explicit(promised, before + delta, memory_order_release);
}

void stock_settle(struct stock *stock, uint32_t item, int64_t delta)
{
    struct item *it = item_at(stock, item);
    spin_lock(&it->lock);
    int64_t settled;
    CHECK(!__builtin_add_overflow(it->settled, delta, &settled));
    CHECK(settled >= 0);
    SCHEDULE_POINT("stock.settled");
    it->settled = settled;
    spin_unlock(&it->lock);
}

/* ---- Definitions and adjustments ---- */

void stock_define(struct stock *stock, uint32_t item, int64_t safety, int64_t presale_cap, bool hot)
{
    stock_redefine(stock, item, safety, presale_cap, hot, 0);
}

void stock_redefine(struct stock *stock, uint32_t item, int64_t safety, int64_t presale_cap,
                    bool hot, int64_t debited)
{
    CHECK(safety >= 0 && safety <= STOCK_MAX);
    CHECK(presale_cap >= 0 && presale_cap <= STOCK_MAX);
    CHECK(debited >= 0);

    struct item *it = item_at(stock, item);
    spin_lock(&it->lock);
    int64_t delta = (presale_cap - safety) - (it->presale_cap - it->safety) + debited;
    it->safety = safety;
    SCHEDULE_POINT("stock.redefine");
    it->presale_cap = presale_cap;
    if (hot) {
        split(it);
    }
    if (delta > 0) {
        credit_locked(it, delta);
    } else if (delta < 0) {
        bool done = debit_locked(stock, item, own_cell(stock, item, 0), -delta, INT64_MIN);
        CHECK(done);
    }
    spin_unlock(&it->lock);
}

enum hf_status stock_debit(struct stock *stock, unsigned slot, uint32_t item, int64_t qty,
                           int64_t floor)
{
    CHECK(qty >= 1);
    CHECK(qty < CELL_UNITS_MAX);
    CHECK(floor <= 0);

    struct item *it = item_at(stock, item);
    spin_lock(&it->lock);
    bool done = debit_locked(stock, item, own_cell(stock, item, slot), qty, floor);
    spin_unlock(&it->lock);
    return done ? HF_OK : HF_WOULD_OVERSELL;
}

void stock_restock(struct stock *stock, unsigned slot, uint32_t item, int64_t delta)
{
    CHECK(slot < THREADS_MAX);

    struct item *it = item_at(stock, item);
    spin_lock(&it->lock);
    int64_t before = it->stocked;
    SCHEDULE_POINT("stock.restock");
    it->stocked = before + delta;
    if (delta > 0) {
        credit_locked(it, delta);
    }
    spin_unlock(&it->lock);
}

/* ---- Reading ---- */

struct reading {
    unsigned cell_count; /* 1 until the item is split */
    int64_t words[CELLS];
    int64_t sold[CELLS];
    uint64_t credits_done[CELLS];    /* read before the words */
    uint64_t credits_started[CELLS]; /* read after them */
};

static void read_cells(const struct stock *stock, uint32_t item, struct reading *reading)
{
    bool is_split = (load_word(cell_at(stock, item, 0)) & SPLIT_BIT) != 0;
    reading->cell_count = is_split ? CELLS : 1;
    for (unsigned i = 0; i < reading->cell_count; i++) {
        const struct cell *cell = cell_at(stock, item, i);
        reading->credits_done[i] = atomic_load_explicit(&cell->credits_done, memory_order_acquire);
    }
    for (unsigned i = 0; i < reading->cell_count; i++) {
        const struct cell *cell = cell_at(stock, item, i);
        SCHEDULE_POINT("stock.read");
        reading->sold[i] = atomic_load_explicit(&cell->sold, memory_order_acquire);
        reading->words[i] = load_word(cell);
    }
    for (unsigned i = 0; i < reading->cell_count; i++) {
        const struct cell *cell = cell_at(stock, item, i);
        reading->credits_started[i] =
            atomic_load_explicit(&cell->credits_started, memory_order_acquire);
    }
}

/* True when nothing was credited from the first reading until after the second, and no word
 * differs: then none changed in between, because takes only lower them. */
static bool readings_agree(const struct reading *first, const struct reading *second)
{
    if (first->cell_count != second->cell_count) {
        return false;
    }
    for (unsigned i = 0; i < first->cell_count; i++) {
        if (first->words[i] != second->words[i] || first->sold[i] != second->sold[i] ||
            first->credits_done[i] != second->credits_started[i]) {
            return false;
        }
    }
    return true;
}

void stock_read(struct stock *stock, uint32_t item, struct stock_view *view)
{
    struct item *it = item_at(stock, item);
    struct reading readings[2];

    /* The lock keeps out moves, debits, restocks and definitions; takes, credits and sales
     * continue. */
    spin_lock(&it->lock);
    read_cells(stock, item, &readings[0]);
    unsigned last = 0;
    for (unsigned try = 0; try < READ_TRIES; try++) {
        last = 1 - last;
        read_cells(stock, item, &readings[last]);
        if (readings_agree(&readings[1 - last], &readings[last])) {
            break;
        }
    }
    view->stocked = it->stocked;
    view->safety = it->safety;
    view->presale_cap = it->presale_cap;
    view->settled = it->settled; /* read after the cells: not more than was seen sold */
    spin_unlock(&it->lock);

    int64_t units = 0;
    int64_t sold = 0;
    for (unsigned i = 0; i < readings[last].cell_count; i++) {
        units += free_of(readings[last].words[i]);
        sold += readings[last].sold[i];
    }
    /* Under load a unit may be seen both free and sold: then it counts as neither. */
    int64_t sellable = view->stocked - view->safety + view->presale_cap;
    int64_t held = sellable - units - sold;
    view->sold = sold;
    view->held = held > 0 ? held : 0;
    view->available = sellable - view->held - sold;
}

void stock_read_promised(struct stock *stock, uint32_t item, struct stock_view *view)
{
    struct item *it = item_at(stock, item);
    int64_t promised = 0;
    int64_t sold = 0;
    uint32_t slots = atomic_load_explicit(&stock->promise_slots, memory_order_acquire);
    for (uint32_t slot = 0; slot < slots; slot++) {
        SCHEDULE_POINT("stock.read_promised");
        promised += atomic_load_explicit(promised_at(stock, slot, item), memory_order_acquire);
    }
    /* An item that is not split has sold nothing in its shards. */
    unsigned cells = (load_word(&it->base) & SPLIT_BIT) != 0 ? CELLS : 1;
    for (unsigned i = 0; i < cells; i++) {
        SCHEDULE_POINT("stock.read_sold");
        sold += atomic_load_explicit(&cell_at(stock, item, i)->sold, memory_order_acquire);
    }
    /* Against definitions and adjustments. */
    spin_lock(&it->lock);
    *view = (struct stock_view){.stocked = it->stocked,
                                .held = promised - sold,
                                .sold = sold,
                                .safety = it->safety,
                                .presale_cap = it->presale_cap,
                                .settled = it->settled};
    spin_unlock(&it->lock);
    view->available = view->stocked - view->safety - promised + view->presale_cap;
}

void stock_prefetch(const struct stock *stock, unsigned slot, uint32_t item)
{
    /* Prefetched for reading: a cache line that no other processor has comes exclusive anyway, and
     * the base of a split item has to stay shared. The shard of a split item is used often, so it
     * is in the cache already. */
    (void)slot;
    __builtin_prefetch(&stock->items[item].base, 0, 3);
}
