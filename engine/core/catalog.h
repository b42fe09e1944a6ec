/* catalog.h - SKUs and items by name, and the sale rules of SKUs.
 *
 * SKUs and items get dense numbers from 1 and are never removed. Their names are copied once
 * (catalog_intern) and live as long as the catalog. Two hash tables, of SKUs and of (SKU, pool),
 * have their final size from the start: address space is reserved, pages come with use.
 *
 * Threads: readers take no lock: a slot, or a count, is stored with release after everything that
 * it leads to is complete, and read with acquire. Functions under "Writer" are for one thread at a
 * time (the inventory's admin lock). A version counter makes sure that a SKU's rules are read
 * whole. */
#ifndef CORE_CATALOG_H
#define CORE_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"
#include "holdfast/status.h"

struct catalog;

/* A name, copied into the catalog's memory. */
struct catalog_text {
    uint32_t len;
    uint8_t data[];
};

/* What a reserve needs to know about an item's SKU. */
struct sale_rule {
    uint64_t opens_at_ms;     /* 0: always open */
    uint64_t closes_at_ms;    /* 0: never closes */
    uint32_t hold_ms;         /* 0: the engine's default */
    uint32_t hold_ms_max;     /* 0: the engine's hold_ms_max */
    uint32_t limit_per_buyer; /* 0: none */
    uint32_t sku;             /* the SKU's number */
    bool paused;
    bool presale; /* the item may be sold beyond what is in stock */
};

/* items_max: the most items, and the most SKUs. NO_MEMORY when refused. */
enum hf_status catalog_init(struct catalog **out, uint32_t items_max);

/* NULL is allowed. */
void catalog_deinit(struct catalog *catalog);

/* ---- Readers: any thread, no lock ---- */

uint32_t catalog_items(const struct catalog *catalog); /* the greatest handle in use */
uint32_t catalog_skus(const struct catalog *catalog);

/* The SKU's number; 0: no such SKU. */
uint32_t catalog_find_sku(const struct catalog *catalog, struct bytes code);

/* The item's handle; 0: no such item. */
uint32_t catalog_find_item(const struct catalog *catalog, uint32_t sku, struct bytes pool);

/* Of an item in use. */
uint32_t catalog_item_sku(const struct catalog *catalog, uint32_t item);
struct bytes catalog_item_pool(const struct catalog *catalog, uint32_t item);
bool catalog_item_hot(const struct catalog *catalog, uint32_t item);

/* Of a SKU in use. */
struct bytes catalog_sku_code(const struct catalog *catalog, uint32_t sku);
void catalog_sku_rule(const struct catalog *catalog, uint32_t number, struct sku_rule *rule);

/* The rules that an item is sold by. Some nanoseconds. */
void catalog_sale_rule(const struct catalog *catalog, uint32_t item, struct sale_rule *rule);

/* Brings the rules of an item in use into the cache; for batches. */
void catalog_prefetch(const struct catalog *catalog, uint32_t item);

/* The next item of the same SKU, in the order they were defined; item 0: the first. Returns 0 at
 * the end. */
uint32_t catalog_next_item(const struct catalog *catalog, uint32_t sku, uint32_t item);

/* The SKU with the first code greater than `after` in the order of bytes; 0: no such SKU. Any
 * thread; it takes a mutex of its own, and sorts if SKUs were added since the last call. */
uint32_t catalog_next_sku(struct catalog *catalog, struct bytes after);

/* ---- Writer ---- */

/* A copy of the bytes for the catalog's life; NULL when out of memory. */
const struct catalog_text *catalog_intern(struct catalog *catalog, struct bytes text);

/* Adds a new SKU, without rules. `code` is from catalog_intern. The caller has checked that there
 * is room: catalog_skus() < items_max. Returns its number. */
uint32_t catalog_add_sku(struct catalog *catalog, const struct catalog_text *code);

/* Replaces a SKU's rules. `label` is from catalog_intern; NULL: the label stays. */
void catalog_set_rule(struct catalog *catalog, uint32_t number, const struct sku_rule *rule,
                      const struct catalog_text *label);

/* Adds a new item; its handle is catalog_items() + 1. `pool` is from catalog_intern. The caller has
 * checked that there is room, and has made the item's stock before, because readers can find the
 * item at once. */
uint32_t catalog_add_item(struct catalog *catalog, uint32_t sku, const struct catalog_text *pool,
                          bool hot);

void catalog_set_hot(struct catalog *catalog, uint32_t item, bool hot);

/* Whether the item has a presale_cap: set before the cap is raised from 0, cleared after it went to
 * 0, so that no unit is pre-sold unnoticed. Of an item in use, or of the next one to be added. */
void catalog_set_presale(struct catalog *catalog, uint32_t item, bool presale);

/* The flag as it is now: a thread that got units because of a cap sees it set. */
bool catalog_item_presale(const struct catalog *catalog, uint32_t item);

#endif
