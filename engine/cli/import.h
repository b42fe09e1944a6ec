/* import.h - a stock file as rows that have been checked: what `holdfast stock import` reads.
 *
 * The whole file is read and checked before anything is done with it. An empty cell and a missing
 * column mean the same: the value is not changed.
 *
 * Threads: one. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/arena.h"
#include "base/csv.h"

/* One row: an item, and the rules of its SKU. */
struct import_row {
    uint64_t number; /* in the file, from 1, the header's */
    const char *sku;
    const char *pool;  /* "default" if the row names no pool */
    const char *label; /* NULL: not given */
    uint32_t rules;    /* enum hf_sku_field: those that the row names; a SKU's first row: any row */
    uint32_t own_rules; /* those that the row names itself */
    uint32_t limit_per_buyer;
    uint64_t opens_at_ms;
    uint64_t closes_at_ms;
    bool paused;
    uint32_t hold_ms;
    uint32_t hold_ms_max;
    bool has_stock;
    bool has_safety;
    bool has_presale_cap;
    bool has_hot;
    bool hot;
    int64_t stock;
    int64_t safety;
    int64_t presale_cap;
};

struct import {
    struct arena arena; /* of all texts */
    uint32_t row_count;
    uint32_t row_room;
    struct import_row *rows;    /* in the file's order */
    struct import_row **sorted; /* the same by SKU, pool and number */
    uint32_t sku_count;
    uint64_t content_hash; /* XXH3 of the file, decompressed */
    uint64_t error_count;  /* all of them have been counted, the first ones printed */
    char first_error[512]; /* "row 2, column stock: ..."; "" if there is no error */
};

/* Reads and checks a file ("-": standard input) in an encoding (csv.h); prints on stderr what is
 * wrong with it, row by row. False if anything is. import_deinit() in either case. */
bool import_read(struct import *import, const char *path, const char *encoding);
void import_deinit(struct import *import);

#endif
