/* reconcile_file.h - an order system's file of orders, checked and sorted by order.
 *
 * Columns: order, state, sku, pool (may be missing), qty; a row for each line of each order.
 *
 * Threads: one. */
#ifndef CLI_RECONCILE_FILE_H
#define CLI_RECONCILE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/arena.h"
#include "base/id.h"
#include "cli/reconcile_items.h"

/* What an order's units are to be. */
enum wanted_state {
    WANTED_HELD,      /* held, pending, unpaid */
    WANTED_COMMITTED, /* committed, paid, sold */
    WANTED_ENDED, /* released, cancelled, expired, returned, refunded: such an order has no units */
};

/* Units of one item. Rows of the same item are one part. */
struct order_part {
    uint32_t item;
    uint32_t repeated; /* rows of this item, 1 up */
    uint64_t row;      /* the first one's number in the file */
    int64_t qty;       /* of all these rows together */
    int64_t row_qty;   /* of each of them, if all are equal; else 0 */
};

struct file_order {
    struct id128 id;
    const char *name; /* as the file has it */
    uint64_t row;     /* the first one */
    enum wanted_state wanted;
    const char *state; /* as the file has it */
    uint32_t part_count;
    const struct order_part *parts;
    bool seen; /* in the engine */
};

struct order_file {
    struct arena arena;
    uint64_t row_count;
    uint32_t order_count;
    struct file_order *orders; /* by id */
};

#define ORDER_FILE_ERROR_BYTES 640u

/* Reads and checks a file ("-": standard input) in an encoding (base/csv.h). False: error names the
 * row and the reason. */
bool order_file_read(struct order_file *file, const char *path, const char *encoding,
                     const struct item_table *items, char *error);
void order_file_deinit(struct order_file *file);

/* NULL: the file has no such order. */
struct file_order *order_file_find(struct order_file *file, struct id128 id);

#endif
