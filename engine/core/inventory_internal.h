/* inventory_internal.h - what the files of the inventory share. Nobody else includes it.
 *
 *     inventory.c          init, transactions, reading, counts
 *     replay.c             lanes of replay, deadlines after it
 *     inventory_verify.c   digest and verify
 *     inventory_reserve.c  deciding on new orders
 *     inventory_edit.c     deciding on existing orders: commit, release, return, extend, expire
 *     inventory_admin.c    definitions, adjustments and moves
 *     plan.c               what definitions, adjustments and moves would come to
 *     inventory_grant.c    filling the lines of a shaped order: policies, fallbacks, limits,
 * pre-sale inventory_publish.c  publishing and replay inventory_forget.c   forgetting ended orders,
 * listing orders image.c              the state without its log: what a checkpoint holds
 *
 * Lock order: an order shard's lock, then stock's, lines', buyers' or presale's. Wheels' locks are
 * taken with no other held. The admin mutex is outermost. */
#ifndef CORE_INVENTORY_INTERNAL_H
#define CORE_INVENTORY_INTERNAL_H

#include <pthread.h>

#include "base/check.h"
#include "core/adjustments.h"
#include "core/buyers.h"
#include "core/catalog.h"
#include "core/expiry.h"
#include "core/inventory.h"
#include "core/lines.h"
#include "core/orders.h"
#include "core/presale.h"
#include "core/publication.h"
#include "core/transition.h"

struct inventory {
    struct inventory_options options;
    char hold_max_reason[80];   /* why an order that asks for more than hold_ms_max is refused */
    char orders_max_reason[64]; /* why there is no room for one more order */
    char buyers_max_reason[64]; /* likewise for counting one more buyer */
    struct stock *stock;
    struct orders orders;
    struct lines *lines;
    struct expiry *expiry;
    struct catalog *catalog;
    struct buyers *buyers;
    struct presale *presale;
    struct publication *publication;
    /* Between a move's debit and its credit its units are in no pool: whoever comes short over
     * several items then has to look again (reserve_shaped). */
    _Atomic uint64_t moves_begun;
    _Atomic uint64_t moves_done;
    struct adjustments adjustments; /* under admin */
    pthread_mutex_t admin;
    bool claiming; /* a checkpoint's orders are held against its ledger */
};

/* A definition between its decision and its publication: all memory that it needs. */
struct definition {
    uint32_t sku;                     /* 0: to be made */
    uint32_t item;                    /* 0: to be made, or a SKU's definition */
    const struct catalog_text *code;  /* for a SKU to be made */
    const struct catalog_text *label; /* NULL: as it is */
    const struct catalog_text *pool;  /* for an item to be made */
    int64_t debited; /* units taken when it was decided: what it leaves fewer free */
};

#define TXN_ORDERS_BYTES_MAX (WAL_APPEND_BYTES_MAX - EVENT_ADMIN_BYTES)

static_assert(EVENT_HELD_GRANTS(ORDER_LINES_MAX) <= TXN_ORDERS_BYTES_MAX, "any order fits alone");

struct txn_memory {
    uint64_t encoded_bytes;                         /* upper bound of the events' records */
    uint64_t used_bytes;                            /* of bytes: never more than encoded_bytes */
    struct order_line_view *blocks[TXN_EVENTS_MAX]; /* for transition_apply */
    /* The admin call's event. */
    struct sku_rule sku;
    struct item_def item;
    struct stock_change change;
    struct stock_move move;
    struct definition definition;
    struct adjustment_made made;
    /* Scratch of one decision. */
    uint64_t sort_keys[ORDER_LINES_MAX];
    struct order_line wanted[ORDER_LINES_MAX];
    uint32_t quantities[ORDER_LINES_MAX];
    uint32_t asked[ORDER_LINES_MAX];            /* of an edit, for each line that was asked */
    char reason[208];                           /* that an outcome points to */
    struct order_grant grants[ORDER_LINES_MAX]; /* that an outcome points to */
    /* Lines and quantities that events point to. */
    _Alignas(8) uint8_t bytes[WAL_APPEND_BYTES_MAX];
};

struct replay_lane;

/* ---- Transactions (inventory.c) ---- */

/* True when an event of so many encoded bytes fits beside those that the transaction has; always
 * true for the first one. */
static inline bool txn_has_room(const struct txn *txn, uint64_t bytes)
{
    return txn->event_count == 0 || (txn->event_count < TXN_EVENTS_MAX &&
                                     txn->memory->encoded_bytes + bytes <= TXN_ORDERS_BYTES_MAX);
}

/* Adds an event that txn_has_room for: zeroed but for its type. handle: its order's, or
 * ORDER_NO_HANDLE. */
struct event *txn_add(struct txn *txn, enum event_type type, uint32_t handle, uint64_t bytes);

/* Memory for the event that is being added, until the transaction is published; at most as much as
 * its encoded bytes, less 24. */
void *txn_bytes(struct txn *txn, uint64_t bytes);

/* ---- Stock for several lines (inventory_reserve.c) ---- */

/* Takes all lines' units, those of one item together, in the order of items; quantities of 0 are
 * skipped. SOLD_OUT: nothing is taken, *blocking_line is the first line (from 1) of the item that
 * could not be filled. */
enum hf_status units_take(struct txn *txn, const struct order_line *lines, uint32_t line_count,
                          uint32_t *blocking_line);

/* As units_take, and tells for each line how many of its units are beyond what is in stock, in
 * presale[line_count]: the last lines' first. */
enum hf_status units_take_presale(struct txn *txn, const struct order_line *lines,
                                  uint32_t line_count, uint32_t *presale, uint32_t *blocking_line);

/* Takes of one item that was not pre-sold when its rule was read. Should it be by now, *beyond says
 * how many of the units are beyond what is in stock; else it is 0. */
enum hf_status plain_take(struct txn *txn, uint32_t item, int64_t qty, int64_t *beyond);

/* Undoes units_take. */
void units_give_back(struct txn *txn, const struct order_line *lines, uint32_t line_count);

/* Enters the order of an ORDER_HELD event, not yet published. Under the shard's lock, after
 * orders_find. ORDER_NO_HANDLE: the table is full, or out of memory. */
uint32_t order_enter(struct inventory *inventory, unsigned slot, struct order_shard *shard,
                     uint64_t hash, const struct event *event);

/* Sorts numbers in place. */
void keys_sort(uint64_t *keys, uint32_t count);

/* Whether units of a SKU with these rules may be sold to a buyer now: OK; PAUSED, NOT_OPEN, CLOSED
 * or BUYER_REQUIRED, and why. */
enum hf_status sale_status(const struct sale_rule *rule, const struct txn *txn, uint64_t buyer,
                           const char **reason);

/* ---- Filling shaped orders (inventory_grant.c) ---- */

/* Whether a request has a line that may be filled otherwise than whole and from its own item. */
bool shapes_matter(const struct order_request *request);

/* The most grants that a request may be given. */
uint32_t grants_max(const struct order_request *request);

/* Whether the grants are simply every line's whole quantity from its own item, nothing pre-sold. */
bool grants_simple(const struct order_request *request, const struct order_grant *grants,
                   uint32_t grant_count);

/* Takes units, and counts them towards limits, for each line by its shape; memory->grants holds
 * what was given, *grant_count how many grants. Not OK: nothing is taken, the outcome has status,
 * line and reason. */
enum hf_status grants_take(struct txn *txn, const struct order_request *request,
                           uint32_t *grant_count, struct order_outcome *outcome);

/* Draws the tickets of grants with units that are pre-sold. Their units have their place from then
 * on, before the order's record: publishing can't lack the room. */
void grants_draw(struct txn *txn, struct order_grant *grants, uint32_t grant_count);

/* Undoes grants_take and grants_draw. */
void grants_give_back(struct txn *txn, uint64_t buyer, const struct order_grant *grants,
                      uint32_t grant_count);

/* What a shaped order was asked, as order->contents: the number of lines in the low 16 bits, a hash
 * of all lines and shapes above. */
uint64_t order_contents(const struct order_request *request);

/* ---- Reading (inventory.c) ---- */

/* An order as a reader sees it; under its shard's lock. */
void order_view_fill(struct order_view *view, const struct order *order);

/* Why units could not be counted towards a limit: LIMIT_EXCEEDED or FULL. */
static inline const char *count_reason(const struct inventory *inventory, enum hf_status status)
{
    return status == HF_LIMIT_EXCEEDED ? "the buyer would have more than the SKU's limit_per_buyer"
                                       : inventory->buyers_max_reason;
}

/* ---- Applying an order's event (inventory_publish.c) ---- */

/* What a new order's event, or one for an existing order, adds to the digest: transition's part and
 * what counts towards limits. */
uint64_t held_digest(const struct inventory *inventory, const struct event *event);
/* What a late commit takes again of a line when it is decided, besides stock. */
struct line_counts counts_again(const struct order_line_view *line);

uint64_t edit_digest(const struct inventory *inventory, const struct order *order,
                     const struct event *event);

/* Whether an ORDER_HELD event is one that can be: items that are known, quantities and grants
 * within their bounds, 1..ORDER_LINES_MAX of them. */
bool order_held_fits(const struct inventory *inventory, const struct event *event);

/* Applies an event of the log to an order that is in the table or in a hand: its lines, state,
 * deadline and LSN, its units in stock, what counts towards its buyer's limit, its tickets; fills
 * in event->digest_delta. For ORDER_HELD the order is zeroed but for what a table sets (id,
 * ORDER_BUSY). The order is nobody else's meanwhile. Not for ORDER_FORGOTTEN. block: memory for the
 * lines, used where the order becomes one with ORDER_BLOCK, else left alone; may be NULL when it
 * does not. OK; DAMAGED: it does not fit; FULL: no room for its buyer or a ticket. Nothing is
 * changed unless it is OK. */
enum hf_status order_apply(const struct replay_lane *lane, struct order *order, struct event *event,
                           struct order_line_view *block);

/* Applies an order's event of the log to the order table; hash: id_hash(event->id), of a shard that
 * is the lane's alone. Fills in event->digest_delta. OK, FULL, or DAMAGED when it does not fit. */
enum hf_status order_event_apply(const struct replay_lane *lane, struct event *event,
                                 uint64_t hash);

/* ---- Forgetting (inventory_forget.c) ---- */

/* Settles the units that an ended order has sold. */
void forget_settle(struct inventory *inventory, const struct order *order);

/* Publishes an ORDER_FORGOTTEN event; under the order's shard lock. */
void forget_publish(struct inventory *inventory, unsigned slot, struct order_shard *shard,
                    uint32_t handle);

/* Replays one; fills in its digest_delta. DAMAGED: no such order, or it has not ended. */
enum hf_status forget_apply(const struct replay_lane *lane, struct event *event, uint64_t hash);

/* States in which an order may be forgotten. */
static inline bool state_ended(enum order_state state)
{
    return state == ORDER_COMMITTED || state == ORDER_RELEASED || state == ORDER_EXPIRED ||
           state == ORDER_RETURNED;
}

/* ---- Moves (inventory_admin.c) ---- */

/* Publishes the transaction's STOCK_MOVED event. */
void move_publish(struct inventory *inventory, unsigned slot, const struct stock_move *move,
                  const struct adjustment_made *made);

/* Replays one; fills in its digest_delta. OK, FULL or DAMAGED. */
enum hf_status move_apply(struct inventory *inventory, struct event *event);

/* ---- How long to hold (inventory_reserve.c) ---- */

/* Gathers what the rules of an order's SKUs say. */
struct hold_rule {
    uint32_t hold_ms;     /* the smallest default; 0: none says */
    uint32_t hold_ms_max; /* the smallest maximum */
    uint32_t max_line;    /* from 1: whose it is; 0: the engine's */
    bool any;             /* a rule was added */
};

struct hold_rule hold_rule_start(const struct inventory *inventory);
void hold_rule_add(struct hold_rule *hold, const struct inventory *inventory,
                   const struct sale_rule *rule, uint32_t line);

/* The time to hold for a request of asked_ms (0: by rule). OK, or INVALID with the outcome's line
 * and reason set. */
enum hf_status hold_rule_apply(const struct hold_rule *hold, const struct inventory *inventory,
                               uint32_t asked_ms, uint32_t *hold_ms, struct order_outcome *outcome);

/* ---- Definitions and adjustments (inventory_admin.c); under the admin lock or in replay ---- */

/* Finds or prepares what a definition needs. OK or FULL. */
enum hf_status definition_of_sku(struct inventory *inventory, const struct sku_rule *rule,
                                 struct definition *definition);
enum hf_status definition_of_item(struct inventory *inventory, const struct item_def *def,
                                  struct definition *definition);

/* What installing it adds to the digest; before it is installed. */
uint64_t definition_sku_digest(const struct inventory *inventory, const struct sku_rule *rule,
                               const struct definition *definition);
uint64_t definition_item_digest(const struct inventory *inventory, const struct item_def *def,
                                const struct definition *definition);

/* Makes it visible. */
void definition_install_sku(struct inventory *inventory, const struct sku_rule *rule,
                            const struct definition *definition);
void definition_install_item(struct inventory *inventory, const struct item_def *def,
                             const struct definition *definition);

/* The present definition of an item; names as in the catalog. */
struct item_def item_def_of(const struct inventory *inventory, uint32_t item);

/* What a definition that names some fields results in, as things are. */
struct sku_rule inventory_merged_sku(const struct inventory *inventory,
                                     const struct sku_rule *asked, uint32_t named);
struct item_def inventory_merged_item(const struct inventory *inventory,
                                      const struct item_def *asked, uint32_t named);

/* Whether something was made under the id before (`before`; NULL: nothing was): then *status is the
 * answer to who asks again, OK with *replayed, or ID_CONFLICT. */
bool adjust_again(const struct adjustment_made *before, const struct adjustment *asked,
                  bool *replayed, enum hf_status *status);
bool move_again(const struct adjustment_made *before, const struct move *asked, bool *replayed,
                enum hf_status *status);

/* What an adjustment would leave in stock. OK, CONFLICT or INVALID. */
enum hf_status adjust_check(const struct adjustment *asked, int64_t before, int64_t *stocked);

/* What a move between two items of one SKU would leave in stock. OK, CONFLICT or INVALID. */
enum hf_status move_check(const struct move *asked, int64_t from_stocked, int64_t to_stocked,
                          struct stock_move *move);

/* A move as it is remembered under its id. */
struct adjustment_made move_made(struct id128 id, const struct stock_move *move);

/* The digest of a SKU and of an item as they are. */
uint64_t sku_digest(const struct inventory *inventory, uint32_t sku);
uint64_t item_digest(const struct inventory *inventory, uint32_t item);

/* ---- Stock, whether or not it is there: replay's and loading's way ---- */

static inline void units_force(struct stock *stock, unsigned slot, uint32_t item, int64_t qty)
{
    enum hf_status status = stock_debit(stock, slot, item, qty, INT64_MIN);
    CHECK(status == HF_OK);
}

/* What the orders of one lane have of an item. */
struct unit_sums {
    int64_t taken; /* held or sold */
    int64_t sold;
};

/* One thread's part of replay or loading; replay.h. */
struct replay_lane {
    struct inventory *inventory;
    unsigned slot;          /* the thread's slot */
    struct unit_sums *sums; /* by item; NULL: units go to stock at once */
    uint64_t sums_bytes;
    uint64_t digest; /* of what it has applied */
};

/* Takes units (below 0: gives back), and counts some as sold (below 0: not any more), in stock. */
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

/* The same for a lane: its own sums need no lock, and what is free does not matter to replay. */
static inline void replay_units(const struct replay_lane *lane, uint32_t item, int64_t taken,
                                int64_t sold)
{
    if (lane->sums) {
        lane->sums[item].taken += taken;
        lane->sums[item].sold += sold;
    } else {
        units_change(lane->inventory->stock, lane->slot, item, taken, sold);
    }
}

/* ---- Counters of a shard; under its lock ---- */

static inline void counter_add(_Atomic uint64_t *counter, uint64_t delta)
{
    /* relaxed: one writer at a time. release: pairs with the acquire in counts_fill, which looks
     * again if this was published meanwhile. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + delta,
                          memory_order_release);
}

#endif
