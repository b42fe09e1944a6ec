/* inventory_admin.h - definitions of SKUs and items, adjustments and moves: for publishing, replay
 * and plans.
 *
 * Threads: one at a time, under the admin lock or in replay. */
#ifndef CORE_INVENTORY_ADMIN_H
#define CORE_INVENTORY_ADMIN_H

#include "core/inventory_internal.h"

/* ---- Definitions ---- */

/* Finds or prepares what a definition needs. OK or FULL. */
enum hf_status definition_of_sku(struct inventory *inventory, const struct sku_rule *rule,
                                 struct definition *definition);
enum hf_status definition_of_item(struct inventory *inventory, const struct item_def *def,
                                  struct definition *definition);

/* What installing a definition adds to the digest; call it before the definition is installed. */
uint64_t definition_sku_digest(const struct inventory *inventory, const struct sku_rule *rule,
                               const struct definition *definition);
uint64_t definition_item_digest(const struct inventory *inventory, const struct item_def *def,
                                const struct definition *definition);

/* Makes a definition visible. */
void definition_install_sku(struct inventory *inventory, const struct sku_rule *rule,
                            const struct definition *definition);
void definition_install_item(struct inventory *inventory, const struct item_def *def,
                             const struct definition *definition);

/* The present definition of an item, with its SKU and pool from the catalog. */
struct item_def item_def_of(const struct inventory *inventory, uint32_t item);

/* What a definition that names some fields would result in now. */
struct sku_rule inventory_merged_sku(const struct inventory *inventory,
                                     const struct sku_rule *asked, uint32_t named);
struct item_def inventory_merged_item(const struct inventory *inventory,
                                      const struct item_def *asked, uint32_t named);

/* The digest of a SKU and of an item as they are. */
uint64_t sku_digest(const struct inventory *inventory, uint32_t sku);
uint64_t item_digest(const struct inventory *inventory, uint32_t item);

/* ---- Adjustments and moves ---- */

/* Whether an adjustment or a move was made under the id before (`before`; NULL: none was). If so,
 * *status is the answer to the repeated request: OK with *replayed, or ID_CONFLICT. */
bool adjust_again(const struct adjustment_made *before, const struct adjustment *asked,
                  bool *replayed, enum hf_status *status);
bool move_again(const struct adjustment_made *before, const struct move *asked, bool *replayed,
                enum hf_status *status);

/* What an adjustment would leave in stock. OK, CONFLICT or INVALID. */
enum hf_status adjust_check(const struct adjustment *asked, int64_t before, int64_t *stocked);

/* What a move between two items of one SKU would leave in stock. OK, CONFLICT or INVALID. */
enum hf_status move_check(const struct move *asked, int64_t from_stocked, int64_t to_stocked,
                          struct stock_move *move);

/* A move, as the table of adjustments keeps it under its id. */
struct adjustment_made move_made(struct id128 id, const struct stock_move *move);

/* Makes a STOCK_ADJUSTED event visible. */
void adjust_publish(struct inventory *inventory, unsigned slot, const struct adjustment_made *made);

/* Makes a STOCK_MOVED event visible. */
void move_publish(struct inventory *inventory, unsigned slot, const struct stock_move *move,
                  const struct adjustment_made *made);

/* Replays a STOCK_MOVED event; fills in its digest_delta. OK, FULL or DAMAGED. */
enum hf_status move_apply(struct inventory *inventory, struct event *event);

#endif
