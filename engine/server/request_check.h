/* request_check.h - what requests have in common: counts, ranges, ids, texts, and the items they
 * name.
 *
 * Threads: any. */
#ifndef SERVER_REQUEST_CHECK_H
#define SERVER_REQUEST_CHECK_H

#include "base/text.h"
#include "server/answer.h"

struct plan;

/* True when a request has 1..max of something; else the answer is INVALID. */
bool request_count_fits(struct engine_call *call, const char *field, uint32_t count, uint32_t max);

/* True when a field's value is min..max; else the message is noted. */
bool check_range(struct engine_call *call, struct answer_place place, const char *field,
                 int64_t value, int64_t min, int64_t max);

/* True when there is memory; else answer_no_memory. */
bool request_memory_fits(struct engine_call *call, const void *memory);

/* The same of memory that is not the arena's: else answer_starved. */
bool request_memory_there(struct engine_call *call, const void *memory);

/* An id that may name an order or an adjustment; else the message is noted at the place, after
 * `field` (".id", or nothing). Logs of older engines may hold others: recovery does not ask. */
bool request_check_id(struct engine_call *call, struct answer_place place, const char *field,
                      struct id128 id);

/* The same from bytes, with their length. */
bool request_parse_id(struct engine_call *call, struct answer_place place, struct bytes bytes,
                      struct id128 *id);

/* ---- Texts ---- */

/* Makes a text of a request as it is to be kept (base/text.h). False: the message is noted, the
 * status is for the caller to set. Codes that an older log has are left as they are: a SKU's when
 * there is such a SKU, a pool's when the SKU is in such a pool. An empty pool is the default one.
 */
bool request_take_text(struct engine_call *call, struct answer_place place, const char *field,
                       enum text_kind kind, struct bytes *text);
bool request_take_sku(struct engine *engine, struct engine_call *call, struct answer_place place,
                      const char *field, struct bytes *sku);
bool request_take_pool(struct engine *engine, struct engine_call *call, struct answer_place place,
                       const char *field, struct bytes sku, struct bytes *pool);
/* Both, in fields named sku and pool. */
bool request_take_item(struct engine *engine, struct engine_call *call, struct answer_place place,
                       struct bytes *sku, struct bytes *pool);
/* A place in the order of codes, which need not be one: what could not be is left as it is. False:
 * out of memory, the answer says so. */
bool request_take_after(struct engine *engine, struct engine_call *call, struct bytes *after);

/* ---- Items ---- */

/* Where items are found: in the inventory, or in a plan of what it would be. */
struct stockroom {
    struct engine *engine;
    struct plan *plan; /* NULL: changes are made */
};
enum hf_status stockroom_item(const struct stockroom *room, uint32_t item, struct item_view *view);
uint32_t stockroom_find(const struct stockroom *room, struct bytes sku, struct bytes pool);

/* Finds the item that a line or an adjustment names. 0 with a noted message when the name is
 * malformed (*status INVALID) or there is none (*status UNKNOWN_ITEM). */
uint32_t request_resolve_in(const struct stockroom *room, struct engine_call *call,
                            struct answer_place place, uint32_t item, struct bytes sku,
                            struct bytes pool, enum hf_status *status);

/* The same in the inventory. */
uint32_t request_resolve(struct engine *engine, struct engine_call *call, struct answer_place place,
                         uint32_t item, struct bytes sku, struct bytes pool,
                         enum hf_status *status);

struct stock_message request_stock_of(const struct item_view *view);

#endif
