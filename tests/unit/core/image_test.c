/* image_test.c - checkpoints of random histories: folded order by order, loaded, replayed.
 *
 * A history with every kind of event runs in a live inventory. Then its log goes three ways, and
 * all must lead to the live state:
 *
 *     log -> ledger + orders folded in any order -> images -> loaded
 *     log's first part -> a checkpoint -> ledger + the rest folded onto it -> images -> loaded
 *     log -> replayed
 *
 * SEED=n runs one history; HOLDFAST_LONG=1 many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "core/replay.h"
#include "lib/budget.h"
#include "lib/core_rig.h"
#include "lib/rng.h"

#define IDS       60u
#define ITEMS     6u
#define STEPS     700u
#define LINES_MAX 4u

/* Items 1..3 are of SKU "a", 4 and 5 of "b", 6 of "c". */
static const char *const item_skus[] = {"a", "a", "a", "b", "b", "c"};
static const char *const item_pools[] = {"p", "q", "r", "p", "q", "p"};

struct asked {
    struct order_request request;
    struct order_line lines[LINES_MAX];
    struct line_shape shapes[LINES_MAX];
    uint32_t fallbacks[LINES_MAX][2];
};

struct history {
    struct rig rig;
    struct rng rng;
    struct inventory_options options;
    uint64_t seed;
    uint64_t next_adjustment;
    struct asked asked[IDS]; /* what an id was last tried with */
    unsigned seen[32];       /* events by type */
    unsigned shaped;
    unsigned presold;
};

#define AGREE(h, condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("%s; SEED=%llu", #condition, (unsigned long long)(h)->seed);                  \
        }                                                                                          \
    } while (0)

static void history_publish(struct history *h)
{
    for (uint32_t i = 0; i < h->rig.txn->event_count; i++) {
        const struct event *event = &h->rig.txn->events[i];
        h->seen[event->type]++;
        h->shaped += event->grants != NULL;
        for (uint32_t k = 0; event->grants && k < event->line_count; k++) {
            h->presold += event->grants[k].presale_qty > 0;
        }
    }
    rig_publish(&h->rig);
}

#define RUN(h, call)                                                                               \
    do {                                                                                           \
        while ((call) == TXN_AGAIN) {                                                              \
            history_publish(h);                                                                    \
        }                                                                                          \
        history_publish(h);                                                                        \
    } while (0)

/* ---- The history ---- */

static void do_define(struct history *h)
{
    uint32_t i = (uint32_t)rng_below(&h->rng, ITEMS);
    struct item_def def = {.sku = bytes_of(item_skus[i]), .pool = bytes_of(item_pools[i])};
    def.safety = (int64_t)rng_below(&h->rng, 3);
    def.presale_cap = rng_chance(&h->rng, 2) ? 0 : (int64_t)rng_below(&h->rng, 30);
    def.hot = rng_chance(&h->rng, 4);
    uint32_t item;
    AGREE(h, inventory_define_item(h->rig.txn, &def, &item) == HF_OK && item == i + 1);
    history_publish(h);
    struct sku_rule rule = {.sku = bytes_of(item_skus[rng_below(&h->rng, ITEMS)])};
    rule.label = bytes_of(rng_chance(&h->rng, 2) ? "Thing" : "");
    rule.limit_per_buyer = rng_chance(&h->rng, 2) ? 0 : (uint32_t)rng_between(&h->rng, 1, 30);
    rule.hold_ms = (uint32_t)rng_below(&h->rng, 3) * 100;
    AGREE(h, inventory_define_sku(h->rig.txn, &rule) == HF_OK);
    history_publish(h);
}

static void do_adjust(struct history *h)
{
    bool replayed;
    struct id128 id = {0xC0, h->next_adjustment++};
    struct bytes reason = bytes_of(rng_chance(&h->rng, 2) ? "count" : "");
    uint32_t item = (uint32_t)rng_between(&h->rng, 1, ITEMS);
    bool force = rng_chance(&h->rng, 5);
    if (rng_chance(&h->rng, 2)) {
        struct move move = {.id = id, .from = item, .force = force, .reason = reason};
        move.to = (uint32_t)rng_between(&h->rng, 1, ITEMS);
        move.units = (int64_t)rng_between(&h->rng, 1, 5);
        (void)inventory_move(h->rig.txn, &move, &replayed);
    } else {
        struct adjustment asked = {.id = id, .item = item, .force = force, .reason = reason};
        asked.delta = (int64_t)rng_below(&h->rng, 30) - 8;
        (void)inventory_adjust(h->rig.txn, &asked, &replayed);
    }
    history_publish(h);
}

/* A new request for an id: plain, or with policies, fallbacks and splits. */
static void make_request(struct history *h, struct asked *asked, uint64_t id)
{
    bool shaped = rng_chance(&h->rng, 2);
    uint32_t count = rng_chance(&h->rng, 2) ? 1 : (uint32_t)rng_between(&h->rng, 1, LINES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct line_shape *shape = &asked->shapes[i];
        uint32_t item = (uint32_t)rng_between(&h->rng, 1, ITEMS);
        asked->lines[i] = (struct order_line){item, (uint32_t)rng_between(&h->rng, 1, 6)};
        *shape = (struct line_shape){.policy = (enum line_policy)rng_below(&h->rng, 3)};
        shape->min_qty =
            shape->policy == LINE_UP_TO ? (uint32_t)rng_below(&h->rng, asked->lines[i].qty + 1) : 0;
        shape->split = rng_chance(&h->rng, 2);
        shape->fallback_count = (uint32_t)rng_below(&h->rng, 3);
        asked->fallbacks[i][0] = item % ITEMS + 1;
        asked->fallbacks[i][1] = (item + 2) % ITEMS + 1;
        shape->fallbacks = asked->fallbacks[i];
    }
    asked->request = (struct order_request){
        .id = {0xB0, id},
        .buyer = rng_below(&h->rng, 4),
        .hold_ms = rng_chance(&h->rng, 2) ? 0 : (uint32_t)rng_between(&h->rng, 1, 2000),
        .line_count = count,
        .lines = asked->lines,
        .shapes = shaped ? asked->shapes : NULL,
    };
}

static void do_reserve(struct history *h)
{
    uint32_t id = (uint32_t)rng_below(&h->rng, IDS);
    struct order_view view;
    struct id128 key = {0xB0, id};
    if (inventory_order(h->rig.inventory, key, &view, NULL, 0) == HF_NOT_FOUND) {
        make_request(h, &h->asked[id], id);
    }
    struct order_outcome outcome;
    RUN(h, inventory_reserve(h->rig.txn, &h->asked[id].request, &outcome));
    AGREE(h, outcome.status != HF_FULL && outcome.status != HF_ID_CONFLICT);
}

static void do_edit(struct history *h)
{
    static rig_edit_function *const edits[] = {inventory_commit, inventory_commit,
                                               inventory_release, inventory_return};
    struct line_qty lines[2];
    struct order_edit edit = {.id = {0xB0, rng_below(&h->rng, IDS)}, .lines = lines};
    edit.late_ok = rng_chance(&h->rng, 2);
    edit.line_count = rng_chance(&h->rng, 2) ? 0 : (uint32_t)rng_between(&h->rng, 1, 2);
    for (uint32_t i = 0; i < edit.line_count; i++) {
        lines[i] = (struct line_qty){i + 1, (uint32_t)rng_below(&h->rng, 4)};
    }
    rig_edit_function *function = edits[rng_below(&h->rng, 4)];
    struct order_outcome outcome;
    RUN(h, function(h->rig.txn, &edit, &outcome));
    AGREE(h, outcome.status != HF_FULL);
}

static void do_extend(struct history *h)
{
    struct id128 id = {0xB0, rng_below(&h->rng, IDS)};
    struct order_outcome outcome;
    RUN(h, inventory_extend(h->rig.txn, id, 500 + (uint32_t)rng_below(&h->rng, 3000), &outcome));
}

static void do_pass_time(struct history *h)
{
    h->rig.txn->now_ms += rng_chance(&h->rng, 3) ? 2000 : rng_below(&h->rng, 300);
    RUN(h, inventory_expire(h->rig.txn));
}

static void do_forget(struct history *h)
{
    struct order_cursor cursor = {0};
    uint64_t before = h->rig.lsn - rng_below(&h->rng, h->rig.lsn / 2);
    while (!cursor.done) {
        AGREE(h, inventory_forget(h->rig.txn, before, &cursor, 1000, NULL) == TXN_DONE);
    }
    history_publish(h);
}

static void history_run(struct history *h, uint64_t seed)
{
    *h = (struct history){.seed = seed, .options = rig_options(256)};
    rng_init(&h->rng, seed);
    rig_open(&h->rig, &h->options);
    for (uint32_t i = 0; i < ITEMS; i++) {
        AGREE(h, rig_define(&h->rig, item_skus[i], item_pools[i], 0, 0) == i + 1);
        AGREE(h, rig_set_stock(&h->rig, i + 1, 20) == HF_OK);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t what = rng_below(&h->rng, 32);
        if (what < 14) {
            do_reserve(h);
        } else if (what < 24) {
            do_edit(h);
        } else if (what < 26) {
            do_extend(h);
        } else if (what < 28) {
            do_adjust(h);
        } else if (what < 29) {
            do_define(h);
        } else if (what < 31) {
            do_pass_time(h);
        } else if (rng_chance(&h->rng, 4)) {
            do_forget(h);
        }
    }
    rig_check(&h->rig);
}

/* ---- Checkpoints ---- */

struct kept_order {
    bool there;
    struct order_image image; /* its lines are in `lines` */
    struct order_line_view lines[ORDER_LINES_MAX];
};

/* A state without its log; orders by the low half of their ids. */
struct checkpoint {
    struct inventory *ledger;
    struct kept_order *orders; /* IDS */
    uint64_t digest;           /* of the events */
};

static bool is_order_event(const struct event *event)
{
    return event->type < EVENT_SKU_DEFINED;
}

static void keep_hand(struct order_hand *hand, struct kept_order *kept)
{
    kept->there = hand->order.state != ORDER_NONE;
    if (kept->there) {
        order_hand_image(hand, &kept->image);
        memcpy(kept->lines, kept->image.lines, kept->image.line_count * sizeof kept->lines[0]);
        kept->image.lines = kept->lines;
    }
}

/* One order's events of log[from .. to), onto what was kept of it. */
static void fold_order(struct history *h, struct checkpoint *checkpoint,
                       const struct replay_lane *lane, struct order_hand *hand, uint32_t id,
                       uint32_t from, uint32_t to)
{
    struct kept_order *kept = &checkpoint->orders[id];
    hand->order = (struct order){.state = ORDER_NONE};
    if (kept->there) {
        AGREE(h, order_hand_load(checkpoint->ledger, hand, &kept->image) == HF_OK);
    }
    for (uint32_t i = from; i < to; i++) {
        struct event event = h->rig.log[i];
        if (is_order_event(&event) && event.id.lo == id) {
            event.digest_delta = 0;
            AGREE(h, replay_fold(lane, hand, &event) == HF_OK);
            AGREE(h, event.digest_delta == h->rig.log[i].digest_delta);
            checkpoint->digest += event.digest_delta;
        }
    }
    keep_hand(hand, kept);
}

/* Adds log[from .. to) to a checkpoint: first all that is not of orders, then orders, in an order
 * of its own. */
static void checkpoint_add(struct history *h, struct checkpoint *checkpoint, uint32_t from,
                           uint32_t to, uint64_t seed)
{
    for (uint32_t i = from; i < to; i++) {
        struct event event = h->rig.log[i];
        if (!is_order_event(&event)) {
            AGREE(h, inventory_apply(checkpoint->ledger, &event) == HF_OK);
            AGREE(h, event.digest_delta == h->rig.log[i].digest_delta);
            checkpoint->digest += event.digest_delta;
        }
    }
    struct rng rng;
    rng_init(&rng, seed);
    uint32_t ids[IDS];
    for (uint32_t i = 0; i < IDS; i++) {
        uint64_t k = rng_below(&rng, i + 1);
        ids[i] = ids[k];
        ids[k] = i;
    }
    struct order_hand *hand = calloc(1, sizeof *hand);
    AGREE(h, hand != NULL);
    struct replay_lane *lane;
    AGREE(h, replay_lane_init(&lane, checkpoint->ledger, 0) == HF_OK);
    for (uint32_t i = 0; i < IDS; i++) {
        fold_order(h, checkpoint, lane, hand, ids[i], from, to);
    }
    replay_lane_finish(lane);
    replay_lane_deinit(lane);
    free(hand);
}

static struct checkpoint checkpoint_new(struct history *h)
{
    struct checkpoint checkpoint = {.orders = calloc(IDS, sizeof *checkpoint.orders)};
    AGREE(h, checkpoint.orders != NULL);
    AGREE(h, inventory_init(&checkpoint.ledger, &h->options) == HF_OK);
    return checkpoint;
}

static void checkpoint_free(struct checkpoint *checkpoint)
{
    inventory_deinit(checkpoint->ledger);
    free(checkpoint->orders);
}

/* ---- Loading a ledger into another inventory ---- */

static bool load_sku(void *context, const struct sku_rule *rule)
{
    struct event event = {.type = EVENT_SKU_DEFINED, .sku = rule};
    CHECK(inventory_apply(context, &event) == HF_OK);
    return true;
}

static bool load_item(void *context, const struct item_def *def, int64_t stocked, int64_t settled)
{
    struct event event = {.type = EVENT_ITEM_DEFINED, .item = def};
    CHECK(inventory_apply(context, &event) == HF_OK);
    CHECK(inventory_load_stock(context, def->item, stocked, settled) == HF_OK);
    return true;
}

static bool load_adjustment(void *context, const struct adjustment_made *made)
{
    CHECK(inventory_load_adjustment(context, made) == HF_OK);
    CHECK(inventory_load_adjustment(context, made) == HF_DAMAGED);
    return true;
}

static bool load_buyer(void *context, uint32_t sku, uint64_t buyer, uint32_t units)
{
    CHECK(inventory_load_buyer(context, sku, buyer, units) == HF_OK);
    CHECK(inventory_load_buyer(context, sku, buyer, units) == HF_DAMAGED);
    return true;
}

static bool load_ticket(void *context, uint32_t item, uint32_t ticket, uint32_t units)
{
    CHECK(inventory_load_ticket(context, item, ticket, units) == HF_OK);
    CHECK(inventory_load_ticket(context, item, ticket, units) == HF_DAMAGED);
    return true;
}

static struct inventory *load_ledger(struct history *h, struct inventory *ledger)
{
    struct inventory *inventory;
    AGREE(h, inventory_init(&inventory, &h->options) == HF_OK);
    const struct ledger_visitor visitor = {.context = inventory,
                                           .sku = load_sku,
                                           .item = load_item,
                                           .adjustment = load_adjustment,
                                           .buyer = load_buyer,
                                           .ticket = load_ticket};
    AGREE(h, inventory_visit_ledger(ledger, &visitor));
    return inventory;
}

static struct inventory *load_checkpoint(struct history *h, const struct checkpoint *checkpoint)
{
    struct inventory *inventory = load_ledger(h, checkpoint->ledger);
    for (uint32_t i = 0; i < IDS; i++) {
        const struct kept_order *kept = &checkpoint->orders[i];
        if (kept->there) {
            AGREE(h, inventory_load_order(inventory, &kept->image) == HF_OK);
            AGREE(h, inventory_load_order(inventory, &kept->image) == HF_DAMAGED);
        }
    }
    return inventory;
}

/* ---- What a ledger reads out, as a row of numbers ---- */

static uint64_t *hash_add(void *hash, uint64_t value)
{
    uint64_t *h = hash;
    *h = hash_u64(*h * 31 + value);
    return h;
}

static bool hash_sku(void *hash, const struct sku_rule *rule)
{
    hash_add(hash, hash_bytes(rule->sku.data, rule->sku.len));
    hash_add(hash, hash_bytes(rule->label.data, rule->label.len));
    hash_add(hash, rule->limit_per_buyer);
    hash_add(hash, rule->hold_ms);
    return true;
}

static bool hash_item(void *hash, const struct item_def *def, int64_t stocked, int64_t settled)
{
    hash_add(hash, def->item);
    hash_add(hash, (uint64_t)def->safety << 32 | (uint64_t)def->presale_cap << 1 | def->hot);
    hash_add(hash, hash_bytes(def->pool.data, def->pool.len));
    hash_add(hash, (uint64_t)stocked);
    hash_add(hash, (uint64_t)settled);
    return true;
}

static bool hash_adjustment(void *hash, const struct adjustment_made *made)
{
    hash_add(hash, made->id.lo);
    hash_add(hash, adjustment_digest(made));
    return true;
}

static bool hash_buyer(void *hash, uint32_t sku, uint64_t buyer, uint32_t units)
{
    hash_add(hash, sku);
    hash_add(hash, buyer);
    hash_add(hash, units);
    return true;
}

static bool hash_ticket(void *hash, uint32_t item, uint32_t ticket, uint32_t units)
{
    hash_add(hash, item);
    hash_add(hash, ticket);
    hash_add(hash, units);
    return true;
}

static uint64_t ledger_hash(struct history *h, struct inventory *ledger)
{
    uint64_t hash = 0;
    const struct ledger_visitor visitor = {.context = &hash,
                                           .sku = hash_sku,
                                           .item = hash_item,
                                           .adjustment = hash_adjustment,
                                           .buyer = hash_buyer,
                                           .ticket = hash_ticket};
    AGREE(h, inventory_visit_ledger(ledger, &visitor));
    return hash;
}

/* ---- Equal states ---- */

static bool line_equal(const struct order_line_view *a, const struct order_line_view *b)
{
    return a->item == b->item && a->qty == b->qty && a->released == b->released &&
           a->committed == b->committed && a->returned == b->returned &&
           a->presale_qty == b->presale_qty && a->ticket == b->ticket && a->line == b->line &&
           a->counted == b->counted;
}

static void check_order(struct history *h, struct inventory *other, uint32_t id)
{
    struct order_view a;
    struct order_view b;
    struct order_line_view lines_a[LINES_MAX * 3];
    struct order_line_view lines_b[LINES_MAX * 3];
    struct id128 key = {0xB0, id};
    enum hf_status status = inventory_order(h->rig.inventory, key, &a, lines_a, LINES_MAX * 3);
    AGREE(h, inventory_order(other, key, &b, lines_b, LINES_MAX * 3) == status);
    if (status != HF_OK) {
        return;
    }
    AGREE(h, a.state == b.state && a.buyer == b.buyer && a.deadline_ms == b.deadline_ms);
    AGREE(h, a.lsn == b.lsn && a.line_count == b.line_count && a.line_count <= LINES_MAX * 3);
    for (uint32_t i = 0; i < a.line_count; i++) {
        AGREE(h, line_equal(&lines_a[i], &lines_b[i]));
        AGREE(h, inventory_covered(h->rig.inventory, &lines_a[i], a.state) ==
                     inventory_covered(other, &lines_b[i], b.state));
    }
}

static void check_stock(struct history *h, struct inventory *other)
{
    for (uint32_t item = 1; item <= ITEMS; item++) {
        struct item_view a;
        struct item_view b;
        AGREE(h, inventory_item(h->rig.inventory, item, &a) == HF_OK);
        AGREE(h, inventory_item(other, item, &b) == HF_OK);
        AGREE(h, a.hot == b.hot);
        AGREE(h, memcmp(&a.stock, &b.stock, sizeof a.stock) == 0);
    }
    for (uint64_t buyer = 0; buyer < 4; buyer++) {
        for (uint32_t i = 0; i < ITEMS; i++) {
            struct bytes sku = bytes_of(item_skus[i]);
            AGREE(h, inventory_buyer_units(h->rig.inventory, sku, buyer) ==
                         inventory_buyer_units(other, sku, buyer));
        }
    }
}

/* A retry gets the first answer again. */
static void check_retry(struct history *h, struct txn *txn, uint32_t id)
{
    struct order_view view;
    struct id128 key = {0xB0, id};
    if (inventory_order(h->rig.inventory, key, &view, NULL, 0) != HF_OK) {
        return;
    }
    struct order_outcome a;
    struct order_outcome b;
    AGREE(h, inventory_reserve(h->rig.txn, &h->asked[id].request, &a) == TXN_DONE);
    AGREE(h, inventory_reserve(txn, &h->asked[id].request, &b) == TXN_DONE);
    AGREE(h, a.status == HF_OK && a.replayed && b.status == HF_OK && b.replayed);
    AGREE(h, a.state == b.state && a.deadline_ms == b.deadline_ms);
    AGREE(h, a.grant_count == b.grant_count);
    for (uint32_t i = 0; i < a.grant_count; i++) {
        AGREE(h, a.grants[i].item == b.grants[i].item && a.grants[i].qty == b.grants[i].qty);
        AGREE(h, a.grants[i].line == b.grants[i].line);
        AGREE(h, a.grants[i].presale_qty == b.grants[i].presale_qty);
    }
}

/* Everything ends and is forgotten: what is left has the same digest, whichever way it came. */
static uint64_t end_all(struct txn *txn, uint64_t now_ms)
{
    txn->now_ms = now_ms;
    uint64_t lsn = 1u << 30;
    struct order_cursor cursor = {0};
    for (enum txn_step step = TXN_AGAIN; step == TXN_AGAIN;) {
        step = inventory_expire(txn);
        for (uint32_t i = 0; i < txn->event_count; i++) {
            txn->events[i].lsn = lsn += 48;
        }
        inventory_publish(txn);
    }
    while (!cursor.done) {
        CHECK(inventory_forget(txn, UINT64_MAX, &cursor, 1000, NULL) == TXN_DONE);
    }
    for (uint32_t i = 0; i < txn->event_count; i++) {
        txn->events[i].lsn = lsn += 48;
    }
    inventory_publish(txn);
    struct inventory_counts counts;
    inventory_counts(txn->inventory, &counts);
    CHECK(counts.orders_known == 0);
    return inventory_digest(txn->inventory);
}

static void check_verified(struct history *h, struct inventory *inventory)
{
    char what[256] = "";
    if (!inventory_verify(inventory, what, sizeof what)) {
        fail_msg("%s; SEED=%llu", what, (unsigned long long)h->seed);
    }
}

/* The other inventory is in the live one's state. Frees it; returns the digest once all has ended.
 */
static uint64_t check_equal(struct history *h, struct inventory *other)
{
    check_verified(h, other);
    inventory_replayed(other);
    check_verified(h, other);
    AGREE(h, inventory_digest(other) == h->rig.digest);
    struct inventory_counts a;
    struct inventory_counts b;
    inventory_counts(h->rig.inventory, &a);
    inventory_counts(other, &b);
    AGREE(h, a.items == b.items && a.skus == b.skus && a.buyers == b.buyers);
    AGREE(h, a.orders_known == b.orders_known && a.orders_held == b.orders_held);
    check_stock(h, other);
    struct txn *txn = malloc(sizeof *txn);
    AGREE(h, txn && txn_init(txn, other, 0) == HF_OK);
    txn->now_ms = h->rig.txn->now_ms;
    for (uint32_t id = 0; id < IDS; id++) {
        check_order(h, other, id);
        check_retry(h, txn, id);
    }
    uint64_t digest = end_all(txn, h->rig.txn->now_ms + 100000);
    check_verified(h, other);
    txn_deinit(txn);
    free(txn);
    inventory_deinit(other);
    return digest;
}

static void check_history(struct history *h)
{
    struct checkpoint whole = checkpoint_new(h);
    checkpoint_add(h, &whole, 0, h->rig.log_count, 1);
    AGREE(h, whole.digest == h->rig.digest);

    struct checkpoint first = checkpoint_new(h);
    uint32_t part = (uint32_t)rng_below(&h->rng, h->rig.log_count + 1);
    checkpoint_add(h, &first, 0, part, 2);
    struct inventory *onto = load_ledger(h, first.ledger);
    inventory_deinit(first.ledger);
    first.ledger = onto;
    checkpoint_add(h, &first, part, h->rig.log_count, 3);
    AGREE(h, first.digest == h->rig.digest);
    AGREE(h, ledger_hash(h, first.ledger) == ledger_hash(h, whole.ledger));
    AGREE(h, ledger_hash(h, h->rig.inventory) == ledger_hash(h, whole.ledger));

    uint64_t digest;
    struct inventory *replica = rig_replay(&h->rig, h->rig.log_count, &h->options, &digest);
    AGREE(h, digest == h->rig.digest);
    uint64_t ended = check_equal(h, replica);
    AGREE(h, check_equal(h, load_checkpoint(h, &whole)) == ended);
    AGREE(h, check_equal(h, load_checkpoint(h, &first)) == ended);
    checkpoint_free(&whole);
    checkpoint_free(&first);
    AGREE(h, end_all(h->rig.txn, h->rig.txn->now_ms + 100000) == ended);
}

static void image_of_random_histories_loads_to_the_same_state(void **state)
{
    (void)state;
    static const enum event_type types[] = {
        EVENT_ORDER_HELD,     EVENT_ORDER_COMMITTED, EVENT_ORDER_RELEASED,  EVENT_ORDER_EXPIRED,
        EVENT_ORDER_EXTENDED, EVENT_ORDER_RETURNED,  EVENT_ORDER_FORGOTTEN, EVENT_SKU_DEFINED,
        EVENT_ITEM_DEFINED,   EVENT_STOCK_ADJUSTED,  EVENT_STOCK_MOVED};
    struct budget budget = budget_make("histories", 40, 1.0, 2000);
    uint64_t seed = rng_seed_from_env(1);
    struct history *h = malloc(sizeof *h);
    assert_non_null(h);
    unsigned seen[32] = {0};
    unsigned shaped = 0;
    unsigned presold = 0;
    while (budget_next(&budget)) {
        history_run(h, seed + budget.round);
        check_history(h);
        for (int type = 0; type < 32; type++) {
            seen[type] += h->seen[type];
        }
        shaped += h->shaped;
        presold += h->presold;
        rig_close(&h->rig);
    }
    free(h);
    bool enough = budget.round >= 40; /* not with a SEED */
    for (size_t i = 0; enough && i < sizeof types / sizeof types[0]; i++) {
        assert_true(seen[types[i]] >= 100);
    }
    assert_true(!enough || (shaped >= 1000 && presold >= 100));
}

/* ---- What can not be ---- */

struct scene {
    struct rig rig;
    struct order_hand *hand;
    struct order_line_view lines[2];
    struct order_image image;
};

/* Two items; a committed order of two lines, as it would be loaded. */
static void open_scene(struct scene *s)
{
    struct inventory_options options = rig_options(64);
    rig_open(&s->rig, &options);
    rig_item(&s->rig, "phone", 100);
    rig_item(&s->rig, "case", 100);
    s->hand = calloc(1, sizeof *s->hand);
    assert_non_null(s->hand);
    s->lines[0] = (struct order_line_view){.item = 1, .qty = 5, .released = 2, .committed = 3};
    s->lines[1] = (struct order_line_view){.item = 2, .qty = 4, .committed = 4, .returned = 1};
    s->image = (struct order_image){.id = {0xB0, 1},
                                    .buyer = 7,
                                    .lsn = 48,
                                    .deadline_ms = 1000,
                                    .state = ORDER_COMMITTED,
                                    .block = true,
                                    .line_count = 2,
                                    .lines = s->lines};
}

static void close_scene(struct scene *s)
{
    free(s->hand);
    rig_close(&s->rig);
}

static void check_damaged(struct scene *s, const char *why)
{
    if (order_hand_load(s->rig.inventory, s->hand, &s->image) != HF_DAMAGED ||
        inventory_load_order(s->rig.inventory, &s->image) != HF_DAMAGED) {
        fail_msg("loaded: %s", why);
    }
}

#define WITH(s, field, value)                                                                      \
    do {                                                                                           \
        struct scene saved_ = *(s);                                                                \
        (s)->field = value;                                                                        \
        check_damaged(s, #field " = " #value);                                                     \
        *(s) = saved_;                                                                             \
        (s)->image.lines = (s)->lines;                                                             \
    } while (0)

static void image_that_can_not_be_is_damage(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    WITH(&s, image.state, ORDER_NONE);
    WITH(&s, image.state, (enum order_state)6);
    WITH(&s, image.state, ORDER_HELD);
    WITH(&s, image.state, ORDER_RELEASED);
    WITH(&s, image.state, ORDER_EXPIRED);
    WITH(&s, image.state, ORDER_RETURNED);
    WITH(&s, image.line_count, 0);
    WITH(&s, image.line_count, ORDER_LINES_MAX + 1);
    WITH(&s, image.block, false);
    WITH(&s, image.counted, true);
    WITH(&s, image.contents, 1);
    WITH(&s, image.deadline_ms, UINT64_MAX; s.image.extended_ms = 1);
    WITH(&s, lines[0].item, 0);
    WITH(&s, lines[0].item, 3);
    WITH(&s, lines[0].qty, 0);
    WITH(&s, lines[0].qty, 4); /* fewer than was released and committed */
    WITH(&s, lines[0].released, 3);
    WITH(&s, lines[0].committed, 6);
    WITH(&s, lines[1].returned, 5);
    WITH(&s, lines[0].presale_qty, 1);
    WITH(&s, lines[0].ticket, 1);
    WITH(&s, lines[0].counted, true);
    WITH(&s, lines[0].returned, 3; s.lines[1].returned = 4); /* that is RETURNED */
    assert_int_equal(order_hand_load(s.rig.inventory, s.hand, &s.image), HF_OK);
    /* The same when the commit left units out that had not been released. */
    s.lines[0].released = 0;
    WITH(&s, lines[0].returned, 3; s.lines[1].returned = 4);
    WITH(&s, lines[0].committed, 0; s.lines[1].committed = 0; s.lines[1].returned = 0;
         s.image.state = ORDER_RETURNED); /* nothing was sold */
    assert_int_equal(order_hand_load(s.rig.inventory, s.hand, &s.image), HF_OK);
    close_scene(&s);
}

static void image_of_a_shaped_order_has_lines_and_tickets_that_can_be(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.image.shaped = true;
    s.image.contents = 0xABCDEF0000000000u | 2;
    s.lines[0].line = 1;
    s.lines[1].line = 2;
    s.lines[1].counted = true;
    s.lines[1].presale_qty = 4;
    s.lines[1].ticket = 1;
    WITH(&s, image.block, false);
    WITH(&s, lines[0].line, 0);
    WITH(&s, lines[1].line, 3);
    WITH(&s, lines[0].line, 2; s.lines[1].line = 1);
    WITH(&s, image.contents, ORDER_LINES_MAX + 1);
    WITH(&s, image.contents, UINT16_MAX);
    WITH(&s, lines[1].presale_qty, 5);
    WITH(&s, lines[1].presale_qty, 0);
    WITH(&s, image.buyer, 0);
    assert_int_equal(order_hand_load(s.rig.inventory, s.hand, &s.image), HF_OK);
    struct order_image again;
    order_hand_image(s.hand, &again);
    assert_int_equal(again.contents, s.image.contents);
    assert_true(again.shaped && again.block && !again.counted);
    assert_true(line_equal(&again.lines[1], &s.lines[1]));
    close_scene(&s);
}

static void image_of_a_plain_order_is_its_item_and_quantity(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.image.block = false;
    s.image.line_count = 1;
    s.image.state = ORDER_RETURNED;
    s.image.counted = true;
    s.lines[0] = (struct order_line_view){.item = 2, .qty = QTY_MAX};
    WITH(&s, image.buyer, 0);
    WITH(&s, lines[0].qty, QTY_MAX + 1);
    assert_int_equal(order_hand_load(s.rig.inventory, s.hand, &s.image), HF_OK);
    struct order_image again;
    order_hand_image(s.hand, &again);
    assert_int_equal(again.lines[0].returned, QTY_MAX);
    assert_true(again.counted && !again.block);
    close_scene(&s);
}

static void fold_refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct inventory *inventory = s.rig.inventory;
    struct order_line line = {1, 5};
    struct event held = {.type = EVENT_ORDER_HELD,
                         .id = {0xB0, 1},
                         .deadline_ms = 1000,
                         .line_count = 1,
                         .one = line,
                         .lines = &line,
                         .lsn = 48};
    struct event committed = {.type = EVENT_ORDER_COMMITTED, .id = {0xB0, 1}, .lsn = 96};
    struct event forgotten = {.type = EVENT_ORDER_FORGOTTEN, .id = {0xB0, 1}, .lsn = 144};
    struct event adjusted = {.type = EVENT_STOCK_ADJUSTED, .id = {0xB0, 1}};
    struct replay_lane *lane;
    assert_int_equal(replay_lane_init(&lane, inventory, 0), HF_OK);
    assert_int_equal(replay_fold(lane, s.hand, &committed), HF_DAMAGED); /* no order */
    assert_int_equal(replay_fold(lane, s.hand, &forgotten), HF_DAMAGED);
    held.one.item = line.item = 3;
    assert_int_equal(replay_fold(lane, s.hand, &held), HF_DAMAGED);
    assert_int_equal(s.hand->order.state, ORDER_NONE);
    held.one.item = line.item = 1;
    assert_int_equal(replay_fold(lane, s.hand, &held), HF_OK);
    assert_int_equal(replay_fold(lane, s.hand, &held), HF_DAMAGED); /* not empty */
    assert_int_equal(replay_fold(lane, s.hand, &forgotten), HF_DAMAGED);
    assert_int_equal(replay_fold(lane, s.hand, &adjusted), HF_DAMAGED);
    committed.id.lo = 2;
    assert_int_equal(replay_fold(lane, s.hand, &committed), HF_DAMAGED); /* another's */
    committed.id.lo = 1;
    assert_int_equal(replay_fold(lane, s.hand, &committed), HF_OK);
    assert_int_equal(replay_fold(lane, s.hand, &committed), HF_DAMAGED);
    assert_int_equal(replay_fold(lane, s.hand, &forgotten), HF_OK);
    assert_int_equal(s.hand->order.state, ORDER_NONE);
    assert_int_equal(rig_stock(&s.rig, 1).settled, 5);
    assert_int_equal(replay_fold(lane, s.hand, &held), HF_OK); /* the id once more */
    replay_lane_finish(lane);
    assert_int_equal(rig_stock(&s.rig, 1).held, 5);
    replay_lane_deinit(lane);
    close_scene(&s);
}

static void load_refuses_what_can_not_be(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct inventory *inventory = s.rig.inventory;
    uint32_t item = rig_define(&s.rig, "new", "default", 0, 5); /* 3, and SKU 3 */
    assert_int_equal(inventory_load_stock(inventory, item + 1, 1, 0), HF_DAMAGED);
    assert_int_equal(inventory_load_stock(inventory, item, -1, 0), HF_DAMAGED);
    assert_int_equal(inventory_load_stock(inventory, item, STOCK_MAX + 1, 0), HF_DAMAGED);
    assert_int_equal(inventory_load_stock(inventory, item, 1, -1), HF_DAMAGED);
    assert_int_equal(inventory_load_stock(inventory, item, 1, INT64_MAX), HF_DAMAGED);
    assert_int_equal(inventory_load_stock(inventory, item, STOCK_MAX, 9), HF_OK);
    assert_int_equal(inventory_load_stock(inventory, item, 1, 0), HF_DAMAGED); /* twice */
    assert_int_equal(rig_stock(&s.rig, item).available, STOCK_MAX - 9 + 5);
    struct adjustment_made made = {.id = {1, 1}, .item = item + 1};
    assert_int_equal(inventory_load_adjustment(inventory, &made), HF_DAMAGED);
    made.item = item;
    made.stocked = STOCK_MAX + 1;
    assert_int_equal(inventory_load_adjustment(inventory, &made), HF_DAMAGED);
    made.stocked = STOCK_MAX;
    made.delta = -STOCK_MAX - 1;
    assert_int_equal(inventory_load_adjustment(inventory, &made), HF_DAMAGED);
    made.delta = -STOCK_MAX;
    assert_int_equal(inventory_load_adjustment(inventory, &made), HF_OK);
    assert_int_equal(inventory_load_buyer(inventory, 0, 7, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_buyer(inventory, 4, 7, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_buyer(inventory, 3, 0, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_buyer(inventory, 3, 7, 0), HF_DAMAGED);
    assert_int_equal(inventory_load_buyer(inventory, 3, 7, 1), HF_OK);
    assert_int_equal(inventory_load_ticket(inventory, item + 1, 1, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, item, 0, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, item, 2, QTY_MAX + 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, item, 2, 5), HF_OK);
    assert_int_equal(inventory_load_ticket(inventory, item, 1, 5), HF_DAMAGED); /* ascending */
    assert_int_equal(inventory_load_ticket(inventory, item, 4, 0), HF_OK);
    close_scene(&s);
}

static void load_of_more_orders_than_fit_is_full(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    for (uint64_t i = 1; i <= 64; i++) {
        s.image.id.lo = i;
        assert_int_equal(inventory_load_order(s.rig.inventory, &s.image), HF_OK);
    }
    s.image.id.lo = 65;
    assert_int_equal(inventory_load_order(s.rig.inventory, &s.image), HF_FULL);
    assert_int_equal(rig_stock(&s.rig, 1).sold, 64 * 3);
    assert_int_equal(rig_stock(&s.rig, 2).sold, 64 * 3);
    assert_int_equal(rig_stock(&s.rig, 1).available, 100 - 64 * 3);
    char what[256] = "";
    assert_true(inventory_verify(s.rig.inventory, what, sizeof what));
    close_scene(&s);
}

static bool stop_at_item(void *context, const struct item_def *def, int64_t stocked,
                         int64_t settled)
{
    (void)settled;
    *(uint32_t *)context = def->item;
    return stocked != 100;
}

static bool any_sku(void *context, const struct sku_rule *rule)
{
    (void)context;
    return rule->sku.len > 0;
}

static void ledger_visit_ends_when_told(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    uint32_t last = 0;
    const struct ledger_visitor visitor = {.context = &last, .sku = any_sku, .item = stop_at_item};
    assert_false(inventory_visit_ledger(s.rig.inventory, &visitor));
    assert_int_equal(last, 1);
    close_scene(&s);
}

/* ---- The order of what a ledger reads out ---- */

struct sorted {
    struct id128 id;
    uint32_t group;
    uint64_t key;
    unsigned adjustments;
    unsigned buyers;
    unsigned tickets;
};

static bool sorted_adjustment(void *context, const struct adjustment_made *made)
{
    struct sorted *sorted = context;
    CHECK(sorted->adjustments++ == 0 || made->id.hi > sorted->id.hi ||
          (made->id.hi == sorted->id.hi && made->id.lo > sorted->id.lo));
    sorted->id = made->id;
    sorted->group = 0;
    return true;
}

static void sorted_pair(struct sorted *sorted, uint32_t group, uint64_t key)
{
    CHECK(group > sorted->group || (group == sorted->group && key > sorted->key));
    sorted->group = group;
    sorted->key = key;
}

static bool sorted_buyer(void *context, uint32_t sku, uint64_t buyer, uint32_t units)
{
    struct sorted *sorted = context;
    sorted_pair(sorted, sku, buyer);
    sorted->buyers++;
    return units > 0;
}

static bool sorted_ticket(void *context, uint32_t item, uint32_t ticket, uint32_t units)
{
    struct sorted *sorted = context;
    if (sorted->tickets++ == 0) {
        sorted->group = 0;
    }
    sorted_pair(sorted, item, ticket);
    return units > 0;
}

static bool any_item(void *context, const struct item_def *def, int64_t stocked, int64_t settled)
{
    (void)context;
    return def->item > 0 && stocked >= 0 && settled >= 0;
}

static void ledger_visit_is_sorted(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct inventory *inventory = s.rig.inventory;
    struct rng rng;
    rng_init(&rng, 5);
    for (uint32_t i = 0; i < 500; i++) {
        struct adjustment_made made = {.id = {rng_below(&rng, 8), rng_next(&rng)}, .item = 1};
        assert_int_equal(inventory_load_adjustment(inventory, &made), HF_OK);
    }
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t sku = 1 + i % 2;
        assert_int_equal(inventory_load_buyer(inventory, sku, rng_next(&rng), 1), HF_OK);
        assert_int_equal(inventory_load_ticket(inventory, sku, 1 + i / 2 * 3, 1), HF_OK);
    }
    struct sorted sorted = {.adjustments = 0};
    const struct ledger_visitor visitor = {.context = &sorted,
                                           .sku = any_sku,
                                           .item = any_item,
                                           .adjustment = sorted_adjustment,
                                           .buyer = sorted_buyer,
                                           .ticket = sorted_ticket};
    assert_true(inventory_visit_ledger(inventory, &visitor));
    assert_int_equal(sorted.adjustments, 500 + 2); /* two set the stock */
    assert_int_equal(sorted.buyers, 60);
    assert_int_equal(sorted.tickets, 60);
    close_scene(&s);
}

/* A ticket that was given back is not drawn again. */
static void image_remembers_the_last_ticket(void **state)
{
    (void)state;
    struct history h = {.options = rig_options(64)};
    rig_open(&h.rig, &h.options);
    assert_int_equal(rig_define(&h.rig, "phone", "default", 0, 5), 1);
    struct order_line_view line;
    assert_int_equal(rig_reserve(&h.rig, 1, 1, 3).status, HF_OK);
    rig_order(&h.rig, 1, &line, 1);
    assert_int_equal(line.ticket, 1);
    assert_int_equal(rig_edit(&h.rig, inventory_release, 1, NULL, 0).status, HF_OK);
    struct inventory *loaded = load_ledger(&h, h.rig.inventory);
    struct txn *txn = malloc(sizeof *txn);
    assert_non_null(txn);
    assert_int_equal(txn_init(txn, loaded, 0), HF_OK);
    txn->now_ms = h.rig.txn->now_ms;
    struct order_line asked = {1, 1};
    struct order_request request = {.id = {0xB0, 2}, .line_count = 1, .lines = &asked};
    struct order_outcome outcome;
    assert_int_equal(inventory_reserve(txn, &request, &outcome), TXN_DONE);
    assert_int_equal(outcome.status, HF_OK);
    assert_int_equal(outcome.grant_count, 1);
    assert_int_equal(outcome.grants[0].ticket, 2);
    inventory_publish(txn);
    txn_deinit(txn);
    free(txn);
    inventory_deinit(loaded);
    rig_close(&h.rig);
}

/* ---- What verify finds ---- */

/* An order of 5 units of item 1 in one line that counts towards its buyer's limit, 4 of them
 * pre-sold; `counted` units are loaded for the buyer, `ticket` for the ticket, and forgotten orders
 * have sold `settled`. */
static bool verify_with(uint32_t counted, uint32_t ticket, int64_t settled)
{
    struct scene s;
    open_scene(&s);
    struct inventory *inventory = s.rig.inventory;
    assert_int_equal(rig_define(&s.rig, "new", "default", 0, 100), 3);
    s.image.shaped = true;
    s.image.contents = 1;
    s.image.line_count = 1;
    s.lines[0] = (struct order_line_view){.item = 3,
                                          .qty = 5,
                                          .committed = 5,
                                          .presale_qty = 4,
                                          .ticket = 1,
                                          .line = 1,
                                          .counted = true};
    assert_int_equal(inventory_load_stock(inventory, 3, 0, settled), HF_OK);
    if (counted > 0) {
        assert_int_equal(inventory_load_buyer(inventory, 3, 7, counted), HF_OK);
    }
    if (ticket > 0) {
        assert_int_equal(inventory_load_ticket(inventory, 3, 1, ticket), HF_OK);
    }
    assert_int_equal(inventory_load_order(inventory, &s.image), HF_OK);
    char what[256] = "";
    bool verified = inventory_verify(inventory, what, sizeof what);
    assert_int_equal(verified, what[0] == 0);
    close_scene(&s);
    return verified;
}

static void verify_wants_what_orders_count_to_be_counted(void **state)
{
    (void)state;
    assert_true(verify_with(5, 4, 0));
    assert_false(verify_with(0, 4, 0));
    assert_false(verify_with(4, 4, 0));
    assert_false(verify_with(6, 4, 0));
    assert_true(verify_with(6, 4, 1));
    assert_false(verify_with(7, 4, 1));
    assert_false(verify_with(4, 4, 1));
    assert_false(verify_with(5, 0, 0));
    assert_false(verify_with(5, 3, 0));
    assert_false(verify_with(5, 5, 0));
    assert_true(verify_with(5, 5, 1));
    assert_false(verify_with(5, 6, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_of_random_histories_loads_to_the_same_state),
        cmocka_unit_test(image_that_can_not_be_is_damage),
        cmocka_unit_test(image_of_a_shaped_order_has_lines_and_tickets_that_can_be),
        cmocka_unit_test(image_of_a_plain_order_is_its_item_and_quantity),
        cmocka_unit_test(fold_refuses_what_does_not_fit),
        cmocka_unit_test(load_refuses_what_can_not_be),
        cmocka_unit_test(load_of_more_orders_than_fit_is_full),
        cmocka_unit_test(ledger_visit_ends_when_told),
        cmocka_unit_test(ledger_visit_is_sorted),
        cmocka_unit_test(image_remembers_the_last_ticket),
        cmocka_unit_test(verify_wants_what_orders_count_to_be_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
