/* client.h - the C client of Holdfast.
 *
 * A client talks to one engine over nng. It is thread-safe: share one among all threads of a
 * process. The client puts concurrent single-order calls together into shared messages; while the
 * engine is idle, a call is sent at once. Every function may be called by any thread, except where
 * it says otherwise.
 *
 * Every call that changes something carries ids chosen by the caller, so it may be repeated
 * safely: the engine answers a repetition with the first answer. The client itself repeats a
 * request whose connection was lost, until the call's timeout. HF_TIMED_OUT means that the outcome
 * is unknown: call again with the same id. HF_UNREACHABLE means that nothing was sent.
 *
 * No call waits longer than its timeout, whatever the engine or the network does, except for the
 * time that it takes to notice: usually a quarter of a second, never more than a second. A client
 * that has never been connected does not wait when its connection is refused: nothing listens, the
 * name is not known, the path does not exist or is not permitted, or what listens speaks another
 * protocol. Then the call returns HF_UNREACHABLE at once, hf_last_message() gives the reason, and
 * the next call tries again. Once a
 * client has been connected, calls wait up to their timeout for the engine to come back.
 *
 * Functions return HF_OK when the engine answered and did what was asked, or a status that gives
 * the reason (status.h). Memory that is passed in belongs to the caller and is not read after the
 * call has returned; for asynchronous calls see each function. */
#ifndef HOLDFAST_CLIENT_H
#define HOLDFAST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HF_MESSAGE_BYTES 256 /* of hf_last_message(), with the terminator */
#define HF_CODE_BYTES    65  /* a SKU's or pool's code, with the terminator */

struct hf_client;

/* A 16-byte id of an order or an adjustment. */
struct hf_id {
    uint8_t bytes[16];
};

/* The id of a text: a UUID or 32 hex digits for themselves, any other text for the XXH3 128-bit
 * hash of its bytes. Any thread. */
HF_API struct hf_id hf_id_from_text(const char *text);

/* A new random id (UUID version 4) from the system's random source. Any thread. */
HF_API struct hf_id hf_id_random(void);

/* Writes the id as a UUID: 36 characters and the terminator. Any thread. */
HF_API void hf_id_to_text(struct hf_id id, char text[37]);

struct hf_options {
    uint32_t timeout_ms;       /* of each call, repetitions included, 1 up; 0: 5000 */
    uint32_t in_flight_max;    /* messages under way at once, 1..64; 0: 16 */
    uint32_t batch_max;        /* orders put into one message, 1..4096; 0: 1024 */
    const char *token;         /* sent with each request; NULL: none. At most 256 bytes; copied */
    uint32_t total_timeout_ms; /* no call lasts longer than this after the opening; 0: no limit */
};

/* Opens a client of the engine at url, as "tcp://127.0.0.1:7411" or "ipc:///path/holdfast.sock".
 * options: NULL for the defaults. Starts to connect and does not wait for the connection: later
 * calls wait for it and report when it failed.
 * HF_OK, HF_INVALID (url, options), HF_NO_MEMORY. */
HF_API enum hf_status hf_client_open(struct hf_client **client, const char *url,
                                     const struct hf_options *options);

/* Ends asynchronous calls that are under way with HF_CANCELED and frees the client. Before this
 * returns, each call's callback has been called exactly once and has returned. It waits for
 * callbacks that are running, and at most a second for anything else, such as the engine or the
 * network. No other call on this client may be running or be made any more. Not from a callback.
 * NULL is allowed. */
HF_API void hf_client_close(struct hf_client *client);

/* The message of this thread's last call that did not return HF_OK: it names the field and the
 * reason where the engine gave one. After batches and adjustments that returned HF_OK: about the
 * first order or adjustment that was refused, where the engine said more than its status; else
 * empty. Never NULL; valid until this thread's next call. */
HF_API const char *hf_last_message(void);

/* ---- Orders ---- */

enum hf_order_state {
    HF_ORDER_NONE = 0,
    HF_ORDER_HELD = 1,
    HF_ORDER_COMMITTED = 2,
    HF_ORDER_RELEASED = 3,
    HF_ORDER_EXPIRED = 4,
    HF_ORDER_RETURNED = 5,
};

enum hf_line_policy {
    HF_LINE_ALL = 0,      /* the order fails if the line can't be filled */
    HF_LINE_UP_TO = 1,    /* what is free, up to qty, but at least min_qty */
    HF_LINE_OPTIONAL = 2, /* left out if it can't be filled: a gift */
};

/* A quantity of one item: by handle, or by SKU and pool when item is 0. A plain line, which takes
 * all its units from this item, leaves `policy` and everything after it zero. */
struct hf_line {
    uint32_t item;    /* a handle from hf_resolve(); 0: by name */
    const char *sku;  /* when item is 0: 1..64 bytes of UTF-8; white space at the edges and
                         the Unicode form make no difference (docs/protocol.md#text) */
    const char *pool; /* when item is 0; NULL: "default" */
    uint32_t qty;     /* 1..1 000 000 000 */
    enum hf_line_policy policy;
    uint32_t min_qty; /* with HF_LINE_UP_TO: the fewest units to accept, 0..qty; else 0 */
    bool split; /* fill from the item and the fallbacks together, in order; else from the first
                   of them that has all */
    uint32_t fallback_count;   /* 0..64; of all lines of an order at most 2048 */
    const uint32_t *fallbacks; /* handles of other items, of any SKU, tried in this order */
};

struct hf_order {
    struct hf_id id;
    uint64_t buyer;      /* 0: none */
    uint32_t hold_ms;    /* how long the units are held, ms; 0: the SKU's or the engine's default */
    uint32_t line_count; /* 1..2048 */
    const struct hf_line *lines;
};

/* The units that a line got from one item. */
struct hf_grant {
    uint32_t line; /* from 1 */
    uint32_t item;
    uint32_t qty;
    uint32_t presale_qty; /* of qty: beyond what was in stock */
};

/* The result of one order. */
struct hf_result {
    enum hf_status status;
    bool replayed;             /* the order was known already: nothing was changed, and the
                                  other fields are as they are now */
    uint32_t blocking_line;    /* from 1: the line that was refused; 0: none */
    uint64_t deadline_ms;      /* Unix time until when the units are held */
    enum hf_order_state state; /* the order's present state */
    uint32_t grant_count; /* of a reserve: of the units that the order has now. 0: every line has
                             all it asked, from its own item, and nothing was pre-sold; or none has
                             any, when the order is neither held nor committed */
    const struct hf_grant *grants; /* in the order of lines; NULL: none. Valid in the callback, or
                                      until this thread's next call */
};

/* Reserves the units of one order and waits for the durable answer. Either every line gets what its
 * policy demands, or the order takes nothing. *result (may be NULL) is filled when the engine
 * answered. Returns result->status, or a status of HF_STATUS_LOCAL or more, such as HF_TIMED_OUT
 * and HF_UNREACHABLE. */
HF_API enum hf_status hf_reserve(struct hf_client *client, const struct hf_order *order,
                                 struct hf_result *result);

/* Commits, or releases, all of an order; results as hf_reserve. */
HF_API enum hf_status hf_commit(struct hf_client *client, struct hf_id id,
                                struct hf_result *result);
HF_API enum hf_status hf_release(struct hf_client *client, struct hf_id id,
                                 struct hf_result *result);

/* Names units of one line of an order. */
struct hf_line_qty {
    uint32_t line; /* from 1 */
    uint32_t qty;
};

/* Commits the given quantity of each named line and releases the rest of the order for good.
 * line_count: 1..2048. When the order is committed already: HF_OK if the same was committed, else
 * HF_ID_CONFLICT, and hf_last_message() names what was committed. */
HF_API enum hf_status hf_commit_lines(struct hf_client *client, struct hf_id id,
                                      const struct hf_line_qty *lines, uint32_t line_count,
                                      struct hf_result *result);

/* Commits an order even if it has expired, when all its units are free again. Else
 * HF_EXPIRED_SOLD_OUT, or HF_LIMIT_EXCEEDED if the buyer has bought up to the limit since. An order
 * that is held is committed as by hf_commit. line_count 0: all of the order; else as
 * hf_commit_lines. */
HF_API enum hf_status hf_commit_late(struct hf_client *client, struct hf_id id,
                                     const struct hf_line_qty *lines, uint32_t line_count,
                                     struct hf_result *result);

/* Releases units of an order that is held. Quantities are totals for the line since the order was
 * made, so that a repetition changes nothing. line_count: 1..2048. */
HF_API enum hf_status hf_release_lines(struct hf_client *client, struct hf_id id,
                                       const struct hf_line_qty *lines, uint32_t line_count,
                                       struct hf_result *result);

/* Takes committed units back into stock. Quantities are totals for the line since the order was
 * made. line_count 0: all of the order. */
HF_API enum hf_status hf_return_lines(struct hf_client *client, struct hf_id id,
                                      const struct hf_line_qty *lines, uint32_t line_count,
                                      struct hf_result *result);

/* Moves an order's deadline to hold_ms from now (0: the default), if that is later. */
HF_API enum hf_status hf_extend(struct hf_client *client, struct hf_id id, uint32_t hold_ms,
                                struct hf_result *result);

/* Called when an asynchronous call has ended: status as the blocking call returns it. Runs on one
 * of the client's threads; may start calls, must not block and must not close the client. */
typedef void (*hf_done)(void *user, enum hf_status status, const struct hf_result *result);

/* As hf_reserve, hf_commit, hf_release, without waiting. `order` and its lines are copied. HF_OK:
 * done will be called exactly once, perhaps before this returns; anything else: it will not. */
HF_API enum hf_status hf_reserve_async(struct hf_client *client, const struct hf_order *order,
                                       hf_done done, void *user);
HF_API enum hf_status hf_commit_async(struct hf_client *client, struct hf_id id, hf_done done,
                                      void *user);
HF_API enum hf_status hf_release_async(struct hf_client *client, struct hf_id id, hf_done done,
                                       void *user);

/* ---- Batches, for callers that have many orders at once: columns ---- */

struct hf_batch {
    uint32_t count;        /* orders, 1..65536 */
    const uint64_t *id_hi; /* ids' big-endian halves */
    const uint64_t *id_lo;
    const uint64_t *buyer;      /* NULL: none */
    const uint32_t *item;       /* handles, one for each line */
    const uint32_t *qty;        /* one for each line; NULL: 1 each */
    const uint32_t *line_count; /* one for each order; NULL: one line each */
    uint32_t hold_ms;           /* 0: default */
};

struct hf_batch_result {
    uint32_t count;
    uint32_t ok_count;
    const uint32_t *status; /* enum hf_status of each order; NULL: all OK. Valid in the callback, or
                               until the thread's next call */
    uint64_t deadline_ms;
};

typedef void (*hf_batch_done)(void *user, enum hf_status status,
                              const struct hf_batch_result *result);

/* Reserves many orders in one message. Each order succeeds or fails by itself. Returns HF_OK when
 * the engine processed the batch, whatever the status of each order. */
HF_API enum hf_status hf_reserve_batch(struct hf_client *client, const struct hf_batch *batch,
                                       struct hf_batch_result *result);

/* As hf_reserve_batch, without waiting. The columns are copied before this returns. HF_BUSY when
 * in_flight_max messages are under way. */
HF_API enum hf_status hf_reserve_batch_async(struct hf_client *client, const struct hf_batch *batch,
                                             hf_batch_done done, void *user);

/* Commits or releases `count` whole orders in one message. */
HF_API enum hf_status hf_commit_batch(struct hf_client *client, uint32_t count,
                                      const uint64_t *id_hi, const uint64_t *id_lo,
                                      struct hf_batch_result *result);
HF_API enum hf_status hf_release_batch(struct hf_client *client, uint32_t count,
                                       const uint64_t *id_hi, const uint64_t *id_lo,
                                       struct hf_batch_result *result);
HF_API enum hf_status hf_commit_batch_async(struct hf_client *client, uint32_t count,
                                            const uint64_t *id_hi, const uint64_t *id_lo,
                                            hf_batch_done done, void *user);
HF_API enum hf_status hf_release_batch_async(struct hf_client *client, uint32_t count,
                                             const uint64_t *id_hi, const uint64_t *id_lo,
                                             hf_batch_done done, void *user);

/* ---- Reading ---- */

struct hf_order_line {
    uint32_t line; /* from 1 */
    uint32_t item;
    uint32_t qty;         /* units that the order has now: held, or committed less returned */
    uint32_t presale_qty; /* of qty: beyond what was in stock when they were granted */
    uint32_t covered_qty; /* of presale_qty: what stock covers by now, oldest orders first */
};

struct hf_order_info {
    struct hf_id id;
    enum hf_order_state state;
    uint64_t buyer;
    uint64_t deadline_ms;
    uint64_t lsn;        /* log position of its last change */
    uint32_t line_count; /* of `lines`: those that have units, at most the caller's max */
    struct hf_order_line *lines;
};

/* Reads an order. A line that was filled from several items has an entry for each. lines: room for
 * lines_max of them, NULL with 0 to leave them out. HF_OK, HF_NOT_FOUND. */
HF_API enum hf_status hf_get_order(struct hf_client *client, struct hf_id id,
                                   struct hf_order_info *info, struct hf_order_line *lines,
                                   uint32_t lines_max);

/* Which orders to list; all zero: every order. */
struct hf_order_filter {
    uint64_t buyer;   /* 0: any */
    const char *sku;  /* orders that have or had units of it; NULL: any */
    const char *pool; /* of the SKU; NULL: all its pools */
    uint32_t states;  /* sum of 1u << enum hf_order_state; 0: any */
};

/* A position in a list. All zero: the beginning. Valid until the engine is restarted. */
struct hf_order_cursor {
    bool done;    /* there are no more orders */
    uint8_t size; /* bytes in use */
    uint8_t bytes[46];
};

/* The next page of a list of orders, in no particular order: about `limit` of them, 1..1000 (0: the
 * engine's choice), perhaps fewer or none while there are more. *orders is an array to be freed
 * with hf_free(), with the lines, which follow one another from orders[0].lines on; NULL when the
 * status is not HF_OK. Call again with the same cursor until cursor->done. An order that exists
 * from the first page to the last is listed once. HF_OK, HF_UNKNOWN_ITEM (SKU or pool), HF_INVALID.
 */
HF_API enum hf_status hf_list_orders(struct hf_client *client, const struct hf_order_filter *filter,
                                     struct hf_order_cursor *cursor, uint32_t limit,
                                     struct hf_order_info **orders, uint32_t *count);

struct hf_stock {
    uint32_t item;
    char sku[HF_CODE_BYTES];
    char pool[HF_CODE_BYTES];
    int64_t stocked;
    int64_t held;
    int64_t sold;
    int64_t available;
    int64_t safety;
    int64_t presale_cap;
};

/* The handle of a SKU in a pool (NULL: "default"). HF_OK, HF_UNKNOWN_ITEM. */
HF_API enum hf_status hf_resolve(struct hf_client *client, const char *sku, const char *pool,
                                 uint32_t *item);

/* Stock of all pools of one SKU: fills up to max entries; *count gets the number of pools, which
 * may be more than max. */
HF_API enum hf_status hf_get_stock(struct hf_client *client, const char *sku,
                                   struct hf_stock *stock, uint32_t max, uint32_t *count);

/* Stock of items by handle, in their order. */
HF_API enum hf_status hf_get_items(struct hf_client *client, const uint32_t *items, uint32_t count,
                                   struct hf_stock *stock);

/* Stock of all SKUs in the order of their codes: whole SKUs after `after_sku` (NULL or "": from the
 * first), about `limit` items (0: the engine's choice). *stock is an array to be freed with
 * hf_free(); *count 0 means that there are no more. For the next page pass the last SKU's code. */
HF_API enum hf_status hf_list_stock(struct hf_client *client, const char *after_sku, uint32_t limit,
                                    struct hf_stock **stock, uint32_t *count);

#define HF_LABEL_BYTES 257 /* a SKU's label, with the terminator */

/* The sale rules of a SKU as they are; what each means: struct hf_sku. */
struct hf_sku_rules {
    char sku[HF_CODE_BYTES];
    char label[HF_LABEL_BYTES];
    uint32_t limit_per_buyer;
    uint64_t opens_at_ms;
    uint64_t closes_at_ms;
    bool paused;
    uint32_t hold_ms;
    uint32_t hold_ms_max;
};

/* The rules of `count` SKUs, 1..65536, in the order of `skus`. HF_OK, or HF_UNKNOWN_ITEM when one
 * of them does not exist: the message names it, and nothing is filled. */
HF_API enum hf_status hf_get_skus(struct hf_client *client, const char *const *skus, uint32_t count,
                                  struct hf_sku_rules *rules);

/* Frees an array that a function of this library returned. NULL is allowed. */
HF_API void hf_free(void *memory);

struct hf_engine_status {
    char version[32];
    char state[32];  /* "serving", "read-only", ... */
    char wal_io[32]; /* "io_uring" or "pwritev2" */
    uint64_t commit_lsn;
    uint64_t uptime_ms;
    uint64_t items;
    uint64_t orders_held;
    uint64_t orders_known;
    uint64_t buyers; /* counted for limits: one for each buyer and limited SKU */
    /* The engine's settings that bound these, and others that callers meet. */
    uint64_t items_max;
    uint64_t orders_max;
    uint64_t buyers_max;
    uint64_t skus;            /* in use; bounded by items_max, too */
    uint64_t retain_ended_ms; /* 0: for ever */
    uint64_t hold_ms;
    uint64_t hold_ms_max;
    uint64_t wal_bytes;     /* of the log's segments */
    uint64_t wal_bytes_max; /* what they should take; 0: no checkpoints are made */
    /* The engine's time. */
    char clock[16];              /* the machine's: "steady", or "doubted": it has jumped */
    uint64_t wall_ms;            /* what sales open by: Unix time */
    int64_t clock_difference_ms; /* how far the machine's clock is ahead of that */
    uint64_t clock_doubted_ms;   /* for how long it has been doubted */
    uint64_t clock_confirms_ms;  /* in how long it will be believed, if it stays so */
    uint64_t clock_steps_seen;   /* jumps since the engine's start */
    uint64_t clock_steps_believed;
    int64_t clock_step_ms;     /* the last one's size; 0: none */
    uint64_t clock_step_at_ms; /* when it was seen, in wall_ms */
};

/* Reads the engine's state. */
HF_API enum hf_status hf_get_status(struct hf_client *client, struct hf_engine_status *status);

/* One answer of the engine's, and how long each stage of its request's way took. */
struct hf_slow_answer {
    uint64_t at_ms;   /* when it was handed to the connection: Unix time, as wall_ms */
    char request[24]; /* as "reserve_batch"; "": the request could not be read */
    enum hf_status status;
    uint32_t orders; /* orders, or adjustments, definitions, items and SKUs that it names */
    uint32_t lines;  /* of those orders, as far as the request names them */
    uint32_t request_bytes;
    uint32_t answer_bytes;
    uint64_t lsn;       /* what the answer waited for; 0: nothing */
    uint64_t queue_ns;  /* from the socket until a thread began with it, and its pauses */
    uint64_t decide_ns; /* decoding, checks, decisions; all of a request that was refused */
    uint64_t append_ns; /* many records into the log's buffer, and waiting for room there */
    uint64_t sync_ns;   /* until all that the answer depends on was durable */
    uint64_t reply_ns;  /* until it and those that leave with it were handed over */
};

#define HF_SLOW_ANSWERS_MAX 60u

/* Reads the slowest answer of each of the last 60 seconds, the newest first. A second without an
 * answer has none. */
HF_API enum hf_status hf_get_slowest(struct hf_client *client,
                                     struct hf_slow_answer answers[HF_SLOW_ANSWERS_MAX],
                                     uint32_t *count);

/* ---- Stock keeping ---- */

/* A definition changes the fields that `fields` names and no others; `fields` 0 names those that
 * are not zero or empty. Fields of a new SKU or item that are not named are zero or empty. */
struct hf_sku {
    const char *sku;
    const char *label;        /* NULL: empty */
    uint32_t limit_per_buyer; /* 0: none */
    uint64_t opens_at_ms;     /* 0: always open */
    uint64_t closes_at_ms;    /* 0: never closes */
    bool paused;
    uint32_t hold_ms;     /* 0: the engine's default */
    uint32_t hold_ms_max; /* 0: the engine's */
    uint32_t fields;      /* enum hf_sku_field: which to change; 0: those that are not zero */
};

enum hf_sku_field {
    HF_SKU_LABEL = 1,
    HF_SKU_LIMIT_PER_BUYER = 2,
    HF_SKU_OPENS_AT = 4,
    HF_SKU_CLOSES_AT = 8,
    HF_SKU_PAUSED = 16,
    HF_SKU_HOLD = 32,
    HF_SKU_HOLD_MAX = 64,
};

struct hf_item {
    const char *sku;
    const char *pool; /* NULL: "default" */
    int64_t safety;
    int64_t presale_cap;
    bool hot;        /* many buyers at once: split its counter now */
    uint32_t fields; /* enum hf_item_field: which to change; 0: those that are not zero */
};

enum hf_item_field {
    HF_ITEM_SAFETY = 1,
    HF_ITEM_PRESALE_CAP = 2,
    HF_ITEM_HOT = 4,
};

/* What definitions made and changed: each SKU and each item counted once. A SKU may be made by its
 * first item. */
struct hf_defined {
    uint32_t skus_made;
    uint32_t skus_changed;
    uint32_t items_made;
    uint32_t items_changed;
};

/* Defines SKUs' rules and items, making or changing them, one after another. All are checked first,
 * each on what would result: HF_INVALID and HF_FULL mean that nothing was done. items_out (may be
 * NULL) gets a handle for each item. To learn the handle of an item that is there: hf_resolve(). */
HF_API enum hf_status hf_define(struct hf_client *client, const struct hf_sku *skus,
                                uint32_t sku_count, const struct hf_item *items,
                                uint32_t item_count, uint32_t *items_out);

/* The same; *defined (may be NULL) gets the counts. */
HF_API enum hf_status hf_define_counted(struct hf_client *client, const struct hf_sku *skus,
                                        uint32_t sku_count, const struct hf_item *items,
                                        uint32_t item_count, uint32_t *items_out,
                                        struct hf_defined *defined);

struct hf_adjustment {
    struct hf_id id;
    uint32_t item; /* 0: by name */
    const char *sku;
    const char *pool; /* NULL: "default" */
    bool set;         /* value is the new stock, not a change of it */
    int64_t value;
    bool has_expected;
    int64_t expected;      /* only if stocked is this: else HF_CONFLICT */
    const char *reason;    /* NULL: none; at most 128 bytes */
    const char *reference; /* NULL: none; at most 128 bytes */
    bool force;            /* even if it leaves less than is held and sold */
    /* A move, when either is given: `value` units, 1 up, leave the item for another pool of its
     * SKU. `set` must be false; what is held or sold stays where it is. */
    uint32_t to_item;    /* 0: by to_pool */
    const char *to_pool; /* NULL: by to_item */
};

struct hf_adjust_result {
    enum hf_status status;
    bool replayed;
    struct hf_stock stock;    /* afterwards; zeroed when status is not OK and nothing is known */
    struct hf_stock to_stock; /* of a move: where the units went, same rule; else zeroed */
    int64_t delta;            /* by how much `stock` was changed; replayed: 0 */
};

/* Changes stock, or moves it between pools. results: one for each adjustment. Returns HF_OK when
 * the engine processed all of them, whatever the status of each. */
HF_API enum hf_status hf_adjust(struct hf_client *client, const struct hf_adjustment *adjustments,
                                uint32_t count, struct hf_adjust_result *results);

/* Definitions, and then adjustments, to be checked and not made. */
struct hf_dry_run {
    const struct hf_sku *skus;
    uint32_t sku_count; /* with item_count at most 65536 */
    const struct hf_item *items;
    uint32_t item_count;
    const struct hf_adjustment *adjustments; /* may be of items that would be defined: by name */
    uint32_t adjustment_count;               /* at most 65536 */
    /* When a large input is checked in parts: how many the parts before this one would make. */
    uint32_t skus_before;
    uint32_t items_before;
};

/* Checks all of it as if it were made, and changes nothing. defined and results (one for each
 * adjustment; either may be NULL when there is none) are filled as hf_define_counted() and
 * hf_adjust() would. HF_OK; HF_INVALID and HF_FULL when a definition would be refused: the message
 * begins with its place, as "adjust.after.items[3].safety"; or why the engine takes no changes. */
HF_API enum hf_status hf_check(struct hf_client *client, const struct hf_dry_run *asked,
                               struct hf_defined *defined, struct hf_adjust_result *results);

#ifdef __cplusplus
}
#endif
#endif
