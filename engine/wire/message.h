/* message.h - requests and responses as plain structs, for both sides of the wire.
 *
 * A struct here has the fields of one message of proto/holdfast.proto; the proto file has their
 * comments. To add a field: first the proto file, then the member here, then its line in
 * codec_layout.c, then the code that decides by it (the list is in codec.c).
 *
 * After decoding, pointers point into the arena; for encoding, into the caller's memory. Strings
 * are struct bytes: not terminated, and valid UTF-8 after decoding. Ids are struct bytes too where
 * the proto file has bytes: the code that uses an id checks its length. */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/fields.h"
#include "base/id.h"
#include "holdfast/status.h"

/* The number of the body's field in proto/holdfast.proto. */
enum request_type {
    REQUEST_NONE = 0,
    REQUEST_RESERVE = 10,
    REQUEST_COMMIT = 11,
    REQUEST_RELEASE = 12,
    REQUEST_EXTEND = 13,
    REQUEST_RETURN = 14,
    REQUEST_RESERVE_BATCH = 15,
    REQUEST_COMMIT_BATCH = 16,
    REQUEST_RELEASE_BATCH = 17,
    REQUEST_GET_ORDER = 20,
    REQUEST_GET_STOCK = 21,
    REQUEST_LIST_STOCK = 22,
    REQUEST_LIST_ORDERS = 23,
    REQUEST_GET_SKUS = 24,
    REQUEST_DEFINE = 30,
    REQUEST_ADJUST = 31,
    REQUEST_STATUS = 40,
};

struct line_message {
    uint32_t item; /* 0: by sku and pool */
    struct bytes sku;
    struct bytes pool;
    uint32_t qty;
    uint32_t policy; /* LinePolicy's number, unchecked */
    uint32_t min_qty;
    uint32_t fallback_count;
    const uint32_t *fallback;
    bool split;
};

struct order_message {
    struct bytes id;
    uint64_t buyer;
    uint32_t hold_ms;
    uint32_t line_count;
    const struct line_message *lines;
};

struct line_qty_message {
    uint32_t line;
    uint32_t qty;
};

struct edit_message {
    struct bytes id;
    bool late_ok;
    uint32_t line_count;
    const struct line_qty_message *lines;
};

/* Columns, with the lengths that the sender gave: the code that uses them compares the lengths. */
struct batch_message {
    uint32_t id_hi_count;
    const uint64_t *id_hi;
    uint32_t id_lo_count;
    const uint64_t *id_lo;
    uint32_t buyer_count;
    const uint64_t *buyer;
    uint32_t item_count;
    const uint32_t *item;
    uint32_t qty_count;
    const uint32_t *qty;
    uint32_t line_count_count;
    const uint32_t *line_count;
    uint32_t hold_ms; /* reserve_batch */
    bool late_ok;     /* commit_batch */
};

struct sku_message {
    struct bytes sku;
    struct bytes label;
    uint32_t limit_per_buyer;
    uint64_t opens_at_ms;
    uint64_t closes_at_ms;
    bool paused;
    uint32_t hold_ms;
    uint32_t hold_ms_max;
    uint32_t fields; /* enum sku_fields: which to change; 0: those that are not zero or empty */
};

struct item_message {
    struct bytes sku;
    struct bytes pool;
    int64_t safety;
    int64_t presale_cap;
    bool hot;
    uint32_t fields; /* enum item_fields: the same */
};

struct define_message {
    uint32_t sku_count;
    const struct sku_message *skus;
    uint32_t item_count;
    const struct item_message *items;
    bool dry_run;
    uint32_t skus_before; /* dry_run: how many requests before this one would have made */
    uint32_t items_before;
};

struct adjustment_message {
    struct bytes id;
    uint32_t item;
    struct bytes sku;
    struct bytes pool;
    bool has_delta;
    int64_t delta;
    bool has_set_to;
    int64_t set_to;
    bool has_expected;
    int64_t expected;
    struct bytes reason;
    struct bytes reference;
    bool force;
    uint32_t to_item;     /* where a move goes; 0: by to_pool */
    struct bytes to_pool; /* both empty: no move */
};

struct request {
    struct bytes token;
    uint32_t timeout_ms;
    uint32_t answer_bytes_max; /* 0: ANSWER_BYTES_DEFAULT */
    enum request_type type;
    union {
        struct {
            uint32_t count;
            const struct order_message *orders;
        } reserve;
        struct {
            uint32_t count;
            const struct edit_message *edits;
        } edit; /* commit, release, return */
        struct {
            struct bytes id;
            uint32_t hold_ms;
        } extend;
        struct batch_message batch; /* reserve_batch, commit_batch, release_batch */
        struct {
            struct bytes id;
        } get_order;
        struct {
            uint32_t item_count;
            const uint32_t *items;
            uint32_t sku_count;
            const struct bytes *skus;
        } get_stock;
        struct {
            struct bytes after_sku;
            uint32_t limit;
        } list_stock;
        struct {
            uint64_t buyer;
            struct bytes sku;
            struct bytes pool;
            uint32_t state_count;
            const uint32_t *states; /* OrderState's numbers, unchecked */
            struct bytes after;
            uint32_t limit;
        } list_orders;
        struct {
            uint32_t count;
            const struct bytes *skus;
        } get_skus;
        struct define_message define;
        struct {
            uint32_t count;
            const struct adjustment_message *adjustments;
            bool dry_run;
            bool has_after; /* dry_run: as if this had been defined before */
            struct define_message after;
        } adjust;
        struct {
            bool slowest;
        } status;
    };
};

enum response_type {
    RESPONSE_NONE = 0,
    RESPONSE_ORDERS = 10,
    RESPONSE_BATCH = 11,
    RESPONSE_ORDER = 20,
    RESPONSE_STOCK = 21,
    RESPONSE_ORDER_LIST = 23,
    RESPONSE_SKUS = 24,
    RESPONSE_DEFINE = 30,
    RESPONSE_ADJUST = 31,
    RESPONSE_STATUS = 40,
};

struct grant_message {
    uint32_t line;
    uint32_t item;
    uint32_t qty;
    uint32_t presale_qty;
    uint32_t covered_qty; /* only of an order that is read */
};

struct result_message {
    enum hf_status status;
    bool replayed;
    uint32_t blocking_line;
    uint64_t deadline_ms;
    uint32_t state; /* OrderState's number */
    uint32_t grant_count;
    const struct grant_message *grants;
};

struct order_info_message {
    struct bytes id;
    uint32_t state;
    uint64_t buyer;
    uint64_t deadline_ms;
    uint32_t grant_count;
    const struct grant_message *grants;
    uint64_t lsn;
};

struct stock_message {
    uint32_t item;
    struct bytes sku;
    struct bytes pool;
    int64_t stocked;
    int64_t held;
    int64_t sold;
    int64_t available;
    int64_t safety;
    int64_t presale_cap;
};

struct adjust_result_message {
    enum hf_status status;
    bool replayed;
    bool has_stock;
    struct stock_message stock;
    bool has_to_stock; /* of a move */
    struct stock_message to_stock;
    int64_t delta; /* by how much stock changed; 0 if the adjustment was made before */
};

/* What definitions made and changed. */
struct defined_message {
    uint32_t count; /* of handles; a dry run gives 0 for an item that does not exist yet */
    const uint32_t *items;
    uint32_t skus_made;
    uint32_t skus_changed;
    uint32_t items_made;
    uint32_t items_changed;
};

struct slow_answer_message {
    uint64_t at_ms;
    struct bytes request; /* empty: it had no body */
    enum hf_status status;
    uint32_t orders;
    uint32_t lines;
    uint32_t request_bytes;
    uint32_t answer_bytes;
    uint64_t lsn;
    uint64_t queue_ns;
    uint64_t decide_ns;
    uint64_t append_ns;
    uint64_t sync_ns;
    uint64_t reply_ns;
};

struct response {
    enum hf_status status;
    struct bytes message; /* empty: no message */
    uint64_t lsn;
    uint32_t retry_after_ms;
    enum response_type type;
    union {
        struct {
            uint32_t count;
            const struct result_message *results;
        } orders;
        struct {
            uint32_t ok_count;
            uint32_t status_count;
            const uint32_t *status;
            uint64_t deadline_ms;
        } batch;
        struct order_info_message order;
        struct {
            uint32_t count;
            const struct order_info_message *orders;
            struct bytes next; /* empty: no more orders */
        } order_list;
        struct {
            uint32_t count;
            const struct sku_message *skus; /* `fields` means nothing */
        } skus;
        struct {
            uint32_t count;
            const struct stock_message *items;
        } stock;
        struct defined_message define;
        struct {
            uint32_t count;
            const struct adjust_result_message *results;
            bool has_after;
            struct defined_message after;
        } adjust;
        struct {
            struct bytes version;
            struct bytes state;
            struct bytes wal_io;
            uint64_t commit_lsn;
            uint64_t uptime_ms;
            uint64_t items;
            uint64_t orders_held;
            uint64_t orders_known;
            uint64_t buyers;
            uint64_t items_max;
            uint64_t orders_max;
            uint64_t buyers_max;
            uint64_t skus;
            uint64_t retain_ended_ms;
            uint64_t hold_ms;
            uint64_t hold_ms_max;
            uint64_t wal_bytes;
            uint64_t wal_bytes_max;
            struct bytes clock;
            uint64_t wall_ms;
            int64_t clock_difference_ms;
            uint64_t clock_doubted_ms;
            uint64_t clock_confirms_ms;
            uint64_t clock_steps_seen;
            uint64_t clock_steps_believed;
            int64_t clock_step_ms;
            uint64_t clock_step_at_ms;
            uint32_t slowest_count;
            const struct slow_answer_message *slowest;
        } status_info;
    };
};

#endif
