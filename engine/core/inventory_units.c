/* inventory_units.c - units of stock for orders of several lines: taken once for each item, in the
 * order of items, so that two orders never wait for each other's items.
 *
 * Threads: any, under the order's shard lock.
 * Invariant: a call that is refused leaves nothing taken. */
#include "core/inventory_units.h"

static void heap_sink(uint64_t *keys, uint32_t at, uint32_t count)
{
    CHECK(at < count || count == 0);
    uint64_t key = keys[at];
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && keys[child + 1] > keys[child]) {
            child++;
        }
        if (keys[child] <= key) {
            break;
        }
        keys[at] = keys[child];
    }
    keys[at] = key;
}

/* Heapsort: in place, and without a slow worst case that a client could cause. */
void keys_sort(uint64_t *keys, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;) {
        heap_sink(keys, i, count);
    }
    for (uint32_t end = count; end-- > 1;) {
        uint64_t greatest = keys[0];
        keys[0] = keys[end];
        keys[end] = greatest;
        heap_sink(keys, 0, end);
    }
}

/* Line numbers by item, then by line: key = item << 32 | line. */
static void lines_sort(uint64_t *keys, const struct order_line *lines, uint32_t count)
{
    bool sorted = true;
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = (uint64_t)lines[i].item << 32 | i;
        sorted = sorted && (i == 0 || keys[i - 1] < keys[i]);
    }
    if (!sorted) {
        keys_sort(keys, count);
    }
}

/* The end of the run of one item's keys that begins at `from`, and the sum of its lines. */
static uint32_t run_end(const uint64_t *keys, const struct order_line *lines, uint32_t count,
                        uint32_t from, int64_t *sum)
{
    uint32_t end = from;
    *sum = 0;
    while (end < count && keys[end] >> 32 == keys[from] >> 32) {
        *sum += lines[(uint32_t)keys[end]].qty;
        end++;
    }
    CHECK(end > from);
    return end;
}

enum hf_status plain_take(struct txn *txn, uint32_t item, int64_t qty, int64_t *beyond)
{
    struct stock *stock = txn->inventory->stock;
    *beyond = 0;
    CHECK(qty >= 1);
    enum hf_status status = stock_take(stock, txn->slot, item, qty);
    /* The flag is set before the cap is raised: a thread that got units because of the cap sees the
     * flag. */
    if (status == HF_OK && catalog_item_presale(txn->inventory->catalog, item)) {
        stock_give(stock, txn->slot, item, qty);
        status = stock_take_presale(stock, txn->slot, item, qty, beyond);
    }
    return status;
}

/* Takes units of one item. beyond: NULL, or how many of the units are beyond what is in stock. */
static enum hf_status item_take(struct txn *txn, uint32_t item, int64_t qty, int64_t *beyond)
{
    struct stock *stock = txn->inventory->stock;
    if (beyond) {
        struct sale_rule rule;
        catalog_sale_rule(txn->inventory->catalog, item, &rule);
        if (rule.presale) {
            return stock_take_presale(stock, txn->slot, item, qty, beyond);
        }
        return plain_take(txn, item, qty, beyond);
    }
    return stock_take(stock, txn->slot, item, qty);
}

/* Spreads an item's units beyond what is in stock over the lines of its run, from the last line
 * backwards. */
static void run_spread(const uint64_t *keys, const struct order_line *lines, uint32_t from,
                       uint32_t end, int64_t beyond, uint32_t *presale)
{
    CHECK(beyond >= 0);
    while (end-- > from) {
        uint32_t line = (uint32_t)keys[end];
        presale[line] = beyond < lines[line].qty ? (uint32_t)beyond : lines[line].qty;
        beyond -= presale[line];
    }
    CHECK(beyond == 0);
}

/* presale: NULL, or one for each line. */
static enum hf_status runs_take(struct txn *txn, const struct order_line *lines,
                                uint32_t line_count, uint32_t *presale, uint32_t *blocking_line)
{
    CHECK(line_count >= 1 && line_count <= ORDER_LINES_MAX);
    uint64_t *keys = txn->memory->sort_keys;
    lines_sort(keys, lines, line_count);
    int64_t sum;
    for (uint32_t at = 0, end; at < line_count; at = end) {
        end = run_end(keys, lines, line_count, at, &sum);
        int64_t beyond = 0;
        enum hf_status status =
            sum == 0 ? HF_OK
                     : item_take(txn, (uint32_t)(keys[at] >> 32), sum, presale ? &beyond : NULL);
        if (status == HF_OK) {
            if (presale) {
                run_spread(keys, lines, at, end, beyond, presale);
            }
            continue;
        }
        CHECK(sum > 0);
        for (uint32_t i = 0; i < at; i++) {
            const struct order_line *line = &lines[(uint32_t)keys[i]];
            if (line->qty > 0) {
                stock_give(txn->inventory->stock, txn->slot, line->item, line->qty);
            }
        }
        while (lines[(uint32_t)keys[at]].qty == 0) {
            at++;
        }
        *blocking_line = (uint32_t)keys[at] + 1;
        return status;
    }
    *blocking_line = 0;
    return HF_OK;
}

enum hf_status units_take_presale(struct txn *txn, const struct order_line *lines,
                                  uint32_t line_count, uint32_t *presale, uint32_t *blocking_line)
{
    return runs_take(txn, lines, line_count, presale, blocking_line);
}

void units_give_back(struct txn *txn, const struct order_line *lines, uint32_t line_count)
{
    for (uint32_t i = 0; i < line_count; i++) {
        if (lines[i].qty > 0) {
            stock_give(txn->inventory->stock, txn->slot, lines[i].item, lines[i].qty);
        }
    }
}
