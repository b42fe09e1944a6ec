/* inventory_model_test.c - random histories against the model, and their replay.
 *
 * Few items with little stock in few pools, few buyers with small limits, few ids used again and
 * again, also after they were forgotten; lines of all shapes that repeat items, partial quantities,
 * rules and stock that change in between, time that jumps: every answer of the core must be the
 * model's, all sums must agree, and the history's events must replay to the same state. Now and
 * then the core is lost and the history goes on with one that replayed its events. In some
 * histories a standby applies every record as it is made, and its books are checked after each one:
 * whatever record is the last before a crash, what is recovered is a legal state.
 *
 * SEED=n runs one history; HOLDFAST_LONG=1 many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/budget.h"
#include "lib/core_rig.h"
#include "lib/model.h"
#include "lib/rng.h"

#define IDS           10u
#define ITEMS         6u
#define SKUS          3u
#define BUYERS        4u /* 0 is none */
#define STEPS         150u
#define LINES_MAX     5u
#define FALLBACKS_MAX 3u
#define GRANTS_MAX    (LINES_MAX * (1 + FALLBACKS_MAX))
#define COUNT(array)  (sizeof(array) / sizeof(array)[0])

/* What an id was last tried with. */
struct tried {
    uint64_t buyer;
    uint32_t line_count; /* 0: nothing yet */
    bool plain;
    struct order_line lines[LINES_MAX];
    struct line_shape shapes[LINES_MAX];
    uint32_t fallbacks[LINES_MAX][FALLBACKS_MAX];
};

struct history {
    struct rig rig;
    struct model model;
    struct rng rng;
    struct inventory_options options;
    uint64_t seed;
    uint32_t step;
    bool batching; /* publish seldom */
    bool forced;   /* less was left than was promised, as asked for */
    struct tried tried[IDS];
    struct inventory *standby; /* NULL: none */
    uint32_t standby_count;    /* events that it has applied */
    uint64_t standby_digest;
};

/* The pools of each SKU. */
static const uint32_t item_sku[ITEMS + 1] = {0, 1, 1, 1, 2, 2, 3};
static const char *const sku_codes[SKUS + 1] = {"", "a", "b", "c"};
static const char *const pool_codes[ITEMS + 1] = {"", "x", "y", "z", "x", "y", "x"};

static void fail_history(const struct history *h, const char *what, uint64_t got, uint64_t want)
{
    fail_msg("%s: got %llu, the model says %llu; step %u; SEED=%llu", what, (unsigned long long)got,
             (unsigned long long)want, h->step, (unsigned long long)h->seed);
}

#define AGREE(h, got, want)                                                                        \
    do {                                                                                           \
        if ((uint64_t)(got) != (uint64_t)(want)) {                                                 \
            fail_history(h, #got, (uint64_t)(got), (uint64_t)(want));                              \
        }                                                                                          \
    } while (0)

/* ---- Agreement ---- */

static void agree_outcome(const struct history *h, const struct order_outcome *core,
                          const struct order_outcome *model)
{
    AGREE(h, core->status, model->status);
    AGREE(h, core->replayed, model->replayed);
    AGREE(h, core->blocking_line, model->blocking_line);
    AGREE(h, core->deadline_ms, model->deadline_ms);
    AGREE(h, core->state, model->state);
    AGREE(h, core->grant_count, model->grant_count);
    for (uint32_t i = 0; i < model->grant_count; i++) {
        AGREE(h, core->grants[i].line, model->grants[i].line);
        AGREE(h, core->grants[i].item, model->grants[i].item);
        AGREE(h, core->grants[i].qty, model->grants[i].qty);
        AGREE(h, core->grants[i].presale_qty, model->grants[i].presale_qty);
        AGREE(h, core->grants[i].ticket != 0, model->grants[i].ticket != 0);
        AGREE(h, core->grants[i].counted, model->grants[i].counted);
    }
}

static void agree_grant(const struct history *h, struct inventory *inventory,
                        const struct model_order *order, uint32_t i,
                        const struct order_line_view *core)
{
    const struct order_line_view *model = &order->grants[i];
    AGREE(h, core->item, model->item);
    AGREE(h, core->line, model->line);
    AGREE(h, core->qty, model->qty);
    AGREE(h, core->released, model->released);
    AGREE(h, core->committed, model->committed);
    AGREE(h, core->returned, model->returned);
    AGREE(h, core->counted, model->counted);
    AGREE(h, core->presale_qty, model->presale_qty);
    AGREE(h, core->ticket != 0, model->ticket != 0);
    AGREE(h, inventory_covered(inventory, core, order->state), model_covered(&h->model, order, i));
}

static void agree_order(const struct history *h, struct inventory *inventory, uint32_t index)
{
    struct id128 id = {0xB0, index};
    const struct model_order *model = model_find(&h->model, id);
    struct order_view view;
    struct order_line_view lines[GRANTS_MAX];
    enum hf_status status = inventory_order(inventory, id, &view, lines, GRANTS_MAX);
    AGREE(h, status, model ? HF_OK : HF_NOT_FOUND);
    if (!model) {
        return;
    }
    AGREE(h, view.state, model->state);
    AGREE(h, view.deadline_ms, model->deadline_ms);
    AGREE(h, view.buyer, model->buyer);
    AGREE(h, view.line_count, model->grant_count);
    for (uint32_t i = 0; i < model->grant_count; i++) {
        agree_grant(h, inventory, model, i, &lines[i]);
    }
}

static void agree_counts(const struct history *h, const struct inventory *inventory)
{
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    uint64_t known = 0;
    uint64_t held = 0;
    for (uint32_t i = 0; i < IDS; i++) {
        const struct model_order *order = model_find(&h->model, (struct id128){0xB0, i});
        known += order != NULL;
        held += order && order->state == ORDER_HELD;
    }
    AGREE(h, counts.items, ITEMS);
    AGREE(h, counts.skus, SKUS);
    AGREE(h, counts.orders_known, known);
    AGREE(h, counts.orders_held, held);
    AGREE(h, counts.buyers, model_buyers(&h->model));
}

static void agree_state(const struct history *h, struct inventory *inventory)
{
    for (uint32_t item = 1; item <= ITEMS; item++) {
        struct item_view view;
        assert_int_equal(inventory_item(inventory, item, &view), HF_OK);
        struct stock_view model = model_stock(&h->model, item);
        AGREE(h, view.stock.stocked, model.stocked);
        AGREE(h, view.stock.held, model.held);
        AGREE(h, view.stock.sold, model.sold);
        AGREE(h, view.stock.available, model.available);
        AGREE(h, view.stock.safety, model.safety);
        AGREE(h, view.stock.presale_cap, model.presale_cap);
        AGREE(h, view.stock.settled, model.settled);
    }
    for (uint32_t i = 0; i < IDS; i++) {
        agree_order(h, inventory, i);
    }
    for (uint32_t sku = 1; sku <= SKUS; sku++) {
        for (uint64_t buyer = 0; buyer < BUYERS; buyer++) {
            AGREE(h, inventory_buyer_units(inventory, bytes_of(sku_codes[sku]), buyer),
                  model_buyer_units(&h->model, sku, buyer));
        }
    }
    agree_counts(h, inventory);
}

static bool listed(const struct order_filter *filter, const struct model_order *order)
{
    if ((filter->buyer && order->buyer != filter->buyer) ||
        (filter->states && !(filter->states & 1u << order->state))) {
        return false;
    }
    for (uint32_t i = 0; filter->items && i < order->grant_count; i++) {
        for (uint32_t j = 0; j < filter->item_count; j++) {
            if (order->grants[i].item == filter->items[j]) {
                return true;
            }
        }
    }
    return filter->items == NULL;
}

/* Each order that the filter lets through is listed once, whatever the pages' size. */
static void agree_list(struct history *h)
{
    uint32_t items[2] = {(uint32_t)rng_between(&h->rng, 1, ITEMS),
                         (uint32_t)rng_between(&h->rng, 1, ITEMS)};
    struct order_filter filter = {.buyer = rng_below(&h->rng, BUYERS),
                                  .states = (uint32_t)rng_below(&h->rng, 64)};
    if (rng_chance(&h->rng, 2)) {
        filter.items = items;
        filter.item_count = 2;
    }
    uint32_t seen[IDS] = {0};
    struct order_cursor cursor = {0};
    while (!cursor.done) {
        struct order_view views[3];
        uint32_t max = (uint32_t)rng_between(&h->rng, 1, COUNT(views));
        uint32_t count = inventory_list_orders(h->rig.inventory, &filter, &cursor, views, max,
                                               (uint32_t)rng_between(&h->rng, 1, 6));
        assert_true(count <= max);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(views[i].id.hi == 0xB0 && views[i].id.lo < IDS);
            seen[views[i].id.lo]++;
        }
    }
    for (uint32_t i = 0; i < IDS; i++) {
        const struct model_order *order = model_find(&h->model, (struct id128){0xB0, i});
        AGREE(h, seen[i], order && listed(&filter, order));
    }
}

/* Never more promised than there is, but where an operator asked for it. */
static void check_not_oversold(const struct history *h, const struct inventory *inventory)
{
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    for (uint32_t item = 1; item <= counts.items && !h->forced; item++) {
        struct item_view view;
        assert_int_equal(inventory_item(inventory, item, &view), HF_OK);
        if (view.stock.available + view.stock.safety < 0) {
            fail_history(h, "oversold item", item, 0);
        }
    }
}

static void check_books(const struct history *h, struct inventory *inventory, uint32_t records,
                        uint64_t digest)
{
    char what[256] = "";
    if (!inventory_verify(inventory, what, sizeof what)) {
        fail_msg("after %u records: %s; step %u; SEED=%llu", records, what, h->step,
                 (unsigned long long)h->seed);
    }
    AGREE(h, inventory_digest(inventory), digest);
    check_not_oversold(h, inventory);
}

/* A promise that was broken on request is made good in time: from then on it counts again. */
static void forgive(struct history *h)
{
    h->forced = false;
    for (uint32_t item = 1; item <= ITEMS; item++) {
        struct stock_view view = model_stock(&h->model, item);
        h->forced = h->forced || view.available + view.safety < 0;
    }
}

/* Lets the standby apply what has been published. */
static void follow(struct history *h)
{
    while (h->standby && h->standby_count < h->rig.log_count) {
        struct event event = h->rig.log[h->standby_count++];
        uint64_t delta = event.digest_delta;
        AGREE(h, inventory_apply(h->standby, &event), HF_OK);
        AGREE(h, event.digest_delta, delta);
        h->standby_digest += delta;
        check_books(h, h->standby, h->standby_count, h->standby_digest);
    }
}

/* ---- Steps ---- */

/* Units are given back when published, so whatever might want them waits for that; what only takes
 * or changes deadlines may share a transaction. */
static void settle(struct history *h, bool gives)
{
    if (gives || !h->batching || rng_chance(&h->rng, 6)) {
        rig_publish(&h->rig);
        follow(h);
    }
}

#define DECIDE(h, call)                                                                            \
    while ((call) == TXN_AGAIN) {                                                                  \
        assert_true((h)->rig.txn->event_count > 0);                                                \
        rig_publish(&(h)->rig);                                                                    \
    }

static struct id128 pick_id(struct history *h, uint32_t *index)
{
    *index = (uint32_t)rng_below(&h->rng, IDS);
    return (struct id128){0xB0, *index};
}

static uint32_t pick_hold(struct history *h)
{
    static const uint32_t holds[] = {0, 0, 1, 50, 999, 5000, 5001};
    return holds[rng_below(&h->rng, COUNT(holds))];
}

/* A line of any shape; its items may repeat. */
static void pick_shape(struct history *h, struct tried *tried, uint32_t line)
{
    struct line_shape *shape = &tried->shapes[line];
    *shape = (struct line_shape){.policy = (enum line_policy)rng_below(&h->rng, 3),
                                 .split = rng_chance(&h->rng, 2)};
    if (shape->policy == LINE_UP_TO) {
        shape->min_qty = (uint32_t)rng_below(&h->rng, tried->lines[line].qty + 1);
    }
    if (rng_chance(&h->rng, 2)) {
        shape->fallback_count = (uint32_t)rng_between(&h->rng, 1, FALLBACKS_MAX);
    }
    for (uint32_t i = 0; i < shape->fallback_count; i++) {
        bool near = rng_chance(&h->rng, 2); /* often of the same SKU */
        tried->fallbacks[line][i] = near ? (tried->lines[line].item + i) % ITEMS + 1
                                         : (uint32_t)rng_between(&h->rng, 1, ITEMS);
    }
}

static void pick_lines(struct history *h, struct tried *tried)
{
    *tried = (struct tried){.buyer = rng_below(&h->rng, BUYERS), .plain = rng_chance(&h->rng, 2)};
    tried->line_count = rng_chance(&h->rng, 2) ? 1 : (uint32_t)rng_between(&h->rng, 1, LINES_MAX);
    for (uint32_t i = 0; i < tried->line_count; i++) {
        tried->lines[i] = (struct order_line){(uint32_t)rng_between(&h->rng, 1, ITEMS),
                                              (uint32_t)rng_between(&h->rng, 1, 4)};
        if (!tried->plain) {
            pick_shape(h, tried, i);
        }
    }
}

/* Changes one thing, which may be one that does not matter. */
static void vary(struct history *h, struct tried *tried)
{
    uint32_t line = (uint32_t)rng_below(&h->rng, tried->line_count);
    struct line_shape *shape = &tried->shapes[line];
    switch (rng_below(&h->rng, 8)) {
    case 0:
        tried->buyer = 9;
        break;
    case 1:
        tried->lines[line].item = tried->lines[line].item % ITEMS + 1;
        break;
    case 2:
        tried->lines[line].qty++;
        break;
    case 3:
        shape->policy = (enum line_policy)rng_below(&h->rng, 3);
        break;
    case 4:
        shape->min_qty = shape->min_qty ? 0 : 1;
        break;
    case 5:
        shape->split = !shape->split;
        break;
    case 6:
        tried->fallbacks[line][0] = (uint32_t)rng_between(&h->rng, 1, ITEMS);
        shape->fallback_count = shape->fallback_count ? shape->fallback_count - 1 : 1;
        break;
    default:
        tried->line_count -= tried->line_count > 1;
    }
    tried->plain = false;
}

static void do_reserve(struct history *h)
{
    uint32_t i;
    struct order_request request = {.id = pick_id(h, &i), .hold_ms = pick_hold(h)};
    if (h->tried[i].line_count == 0 || rng_chance(&h->rng, 3)) {
        pick_lines(h, &h->tried[i]);
    }
    struct tried tried = h->tried[i];
    if (rng_chance(&h->rng, 8)) {
        vary(h, &tried);
    }
    for (uint32_t j = 0; j < tried.line_count; j++) {
        tried.shapes[j].fallbacks = tried.fallbacks[j];
    }
    request.buyer = tried.buyer;
    request.lines = tried.lines;
    request.line_count = tried.line_count;
    /* Plain lines are the same with shapes that say so and without. */
    request.shapes = tried.plain && rng_chance(&h->rng, 2) ? NULL : tried.shapes;
    struct order_outcome core;
    struct order_outcome model;
    DECIDE(h, inventory_reserve(h->rig.txn, &request, &core));
    model_reserve(&h->model, &request, &model);
    agree_outcome(h, &core, &model);
    settle(h, false);
}

static void do_edit(struct history *h)
{
    uint32_t i;
    struct line_qty lines[LINES_MAX + 1];
    struct order_edit edit = {.id = pick_id(h, &i), .late_ok = rng_chance(&h->rng, 2)};
    edit.lines = lines;
    edit.line_count = rng_chance(&h->rng, 2) ? 0 : (uint32_t)rng_between(&h->rng, 1, LINES_MAX);
    for (uint32_t j = 0; j < edit.line_count; j++) {
        uint32_t line =
            rng_chance(&h->rng, 8) ? (uint32_t)rng_below(&h->rng, LINES_MAX + 2) : j + 1;
        lines[j] = (struct line_qty){line, (uint32_t)rng_below(&h->rng, 4)};
    }
    struct order_outcome core;
    struct order_outcome model;
    rig_publish(&h->rig);
    switch (rng_below(&h->rng, 3)) {
    case 0:
        DECIDE(h, inventory_commit(h->rig.txn, &edit, &core));
        model_commit(&h->model, &edit, &model);
        break;
    case 1:
        DECIDE(h, inventory_release(h->rig.txn, &edit, &core));
        model_release(&h->model, &edit, &model);
        break;
    default:
        DECIDE(h, inventory_return(h->rig.txn, &edit, &core));
        model_return(&h->model, &edit, &model);
    }
    agree_outcome(h, &core, &model);
    settle(h, true);
}

static void do_extend(struct history *h)
{
    uint32_t i;
    struct id128 id = pick_id(h, &i);
    uint32_t hold_ms = pick_hold(h);
    struct order_outcome core;
    struct order_outcome model;
    DECIDE(h, inventory_extend(h->rig.txn, id, hold_ms, &core));
    model_extend(&h->model, id, hold_ms, &model);
    agree_outcome(h, &core, &model);
    settle(h, model.state == ORDER_EXPIRED);
}

static void do_expire(struct history *h)
{
    rig_publish(&h->rig);
    uint64_t next = inventory_next_deadline_ms(h->rig.inventory);
    DECIDE(h, inventory_expire(h->rig.txn));
    uint64_t before = h->rig.txn->event_count;
    uint32_t expired = model_expire(&h->model);
    assert_true(expired == 0 || next <= h->rig.txn->now_ms);
    AGREE(h, before, expired);
    settle(h, true);
}

/* The LSN of an order's last change among the log's first records. */
static uint64_t last_lsn(const struct history *h, struct id128 id, uint32_t count)
{
    while (count-- > 0) {
        const struct event *event = &h->rig.log[count];
        if (event->type <= EVENT_ORDER_FORGOTTEN && id_equal(event->id, id)) {
            return event->lsn;
        }
    }
    return UINT64_MAX;
}

/* Only what ended before may be forgotten; all of it must be whose deadlines are over. */
static void do_forget(struct history *h)
{
    rig_publish(&h->rig);
    uint32_t records = h->rig.log_count;
    uint64_t before_lsn =
        rng_chance(&h->rng, 3) ? rng_below(&h->rng, h->rig.lsn + 1) : h->rig.lsn + 1;
    struct order_cursor cursor = {0};
    while (!cursor.done) {
        uint32_t look_max = (uint32_t)rng_between(&h->rng, 1, 2 * IDS);
        DECIDE(h, inventory_forget(h->rig.txn, before_lsn, &cursor, look_max, NULL));
        rig_publish(&h->rig);
    }
    for (uint32_t i = records; i < h->rig.log_count; i++) {
        const struct event *event = &h->rig.log[i];
        AGREE(h, event->type, EVENT_ORDER_FORGOTTEN);
        assert_true(last_lsn(h, event->id, records) < before_lsn);
        assert_true(model_forget(&h->model, event->id));
    }
    for (uint32_t i = 0; i < IDS; i++) {
        struct id128 id = {0xB0, i};
        const struct model_order *order = model_find(&h->model, id);
        bool over = order && order->state != ORDER_HELD && order->swept &&
                    last_lsn(h, id, records) < before_lsn;
        AGREE(h, over, false);
    }
    settle(h, true);
}

static void note_forced(struct history *h)
{
    h->forced =
        h->forced || (h->rig.txn->event_count && h->rig.txn->events[0].flags & EVENT_FORCED);
}

static void do_adjust(struct history *h)
{
    struct adjustment asked = {
        .id = {0xA0, rng_below(&h->rng, 64)},
        .item = (uint32_t)rng_between(&h->rng, 1, ITEMS + 1),
        .has_set_to = rng_chance(&h->rng, 2),
        .delta = (int64_t)rng_below(&h->rng, 9) - 4,
        .set_to = (int64_t)rng_below(&h->rng, 14) - 1,
        .has_expected = rng_chance(&h->rng, 4),
        .expected = (int64_t)rng_below(&h->rng, 10),
        .force = rng_chance(&h->rng, 10),
        .reason = bytes_of(rng_chance(&h->rng, 8) ? "recount" : ""),
    };
    rig_publish(&h->rig);
    bool core_replayed;
    bool model_replayed;
    enum hf_status core = inventory_adjust(h->rig.txn, &asked, &core_replayed);
    note_forced(h);
    enum hf_status model = model_adjust(&h->model, &asked, &model_replayed);
    AGREE(h, core, model);
    AGREE(h, core_replayed, model_replayed);
    settle(h, true);
}

static void do_move(struct history *h)
{
    struct move asked = {
        .id = {0xA0, rng_below(&h->rng, 64)},
        .from = (uint32_t)rng_between(&h->rng, 1, ITEMS),
        .units = (int64_t)rng_between(&h->rng, 1, 5),
        .has_expected = rng_chance(&h->rng, 4),
        .expected = (int64_t)rng_below(&h->rng, 10),
        .force = rng_chance(&h->rng, 10),
        .reason = bytes_of(rng_chance(&h->rng, 8) ? "nearer" : ""),
    };
    asked.to = rng_chance(&h->rng, 6) ? (uint32_t)rng_between(&h->rng, 1, ITEMS + 1)
                                      : asked.from % ITEMS + 1;
    rig_publish(&h->rig);
    bool core_replayed;
    bool model_replayed;
    enum hf_status core = inventory_move(h->rig.txn, &asked, &core_replayed);
    note_forced(h);
    enum hf_status model = model_move(&h->model, &asked, &model_replayed);
    AGREE(h, core, model);
    AGREE(h, core_replayed, model_replayed);
    settle(h, true);
}

/* ---- Definitions ---- */

static void define_sku(struct history *h, uint32_t sku)
{
    static const uint32_t limits[] = {0, 0, 2, 4, 7};
    uint64_t now = h->rig.txn->now_ms;
    struct sku_rule rule = {.sku = bytes_of(sku_codes[sku]),
                            .limit_per_buyer = limits[rng_below(&h->rng, COUNT(limits))],
                            .paused = rng_chance(&h->rng, 12)};
    if (rng_chance(&h->rng, 8)) {
        rule.opens_at_ms = now + rng_below(&h->rng, 200) - 100;
    }
    if (rng_chance(&h->rng, 8)) {
        rule.closes_at_ms = now + rng_below(&h->rng, 2000);
    }
    if (rng_chance(&h->rng, 4)) {
        rule.hold_ms = 400;
    }
    if (rng_chance(&h->rng, 4)) {
        rule.hold_ms_max = rng_chance(&h->rng, 2) ? 300 : 900; /* the default is 1000 */
    }
    assert_int_equal(inventory_define_sku(h->rig.txn, &rule), HF_OK);
    h->model.skus[sku] = rule;
}

static void define_item(struct history *h, uint32_t item)
{
    struct item_def def = {.sku = bytes_of(sku_codes[item_sku[item]]),
                           .pool = bytes_of(pool_codes[item]),
                           .safety = rng_chance(&h->rng, 3) ? 2 : 0,
                           .presale_cap =
                               rng_chance(&h->rng, 3) ? (int64_t)rng_between(&h->rng, 1, 6) : 0,
                           .hot = rng_chance(&h->rng, 4)};
    uint32_t handle;
    assert_int_equal(inventory_define_item(h->rig.txn, &def, &handle), HF_OK);
    AGREE(h, handle, item);
    struct model_item *model = &h->model.items[item];
    h->forced = h->forced || def.presale_cap < model->presale_cap;
    model->safety = def.safety;
    model->presale_cap = def.presale_cap;
}

static void do_define(struct history *h)
{
    rig_publish(&h->rig);
    if (rng_chance(&h->rng, 2)) {
        define_sku(h, (uint32_t)rng_between(&h->rng, 1, SKUS));
    } else {
        define_item(h, (uint32_t)rng_between(&h->rng, 1, ITEMS));
    }
    settle(h, true);
}

static void pass_time(struct history *h)
{
    uint64_t *now = &h->rig.txn->now_ms;
    switch (rng_below(&h->rng, 24)) {
    case 0:
        *now += 86400000 * rng_below(&h->rng, 40);
        break;
    case 1:
        *now -= rng_below(&h->rng, 3000);
        break;
    case 2:
    case 3:
        *now += rng_below(&h->rng, 2000);
        break;
    case 4:
    case 5:
    case 6:
        *now += rng_below(&h->rng, 60);
        break;
    default:
        break;
    }
    h->model.now_ms = *now;
}

/* ---- Histories ---- */

static void history_open(struct history *h, uint64_t seed)
{
    *h = (struct history){.seed = seed};
    rng_init(&h->rng, seed);
    h->options = rig_options(rng_chance(&h->rng, 8) ? IDS / 2 : IDS);
    h->options.items_max = ITEMS;
    h->options.buyers_max = SKUS * (BUYERS + 1);
    rig_open(&h->rig, &h->options);
    model_init(&h->model, &h->options);
    h->batching = rng_chance(&h->rng, 2);
    if (rng_chance(&h->rng, 8)) {
        assert_int_equal(inventory_init(&h->standby, &h->options), HF_OK);
    }
    for (uint32_t sku = 1; sku <= SKUS; sku++) {
        AGREE(h, model_add_sku(&h->model), sku);
        define_sku(h, sku);
        rig_publish(&h->rig);
    }
    for (uint32_t item = 1; item <= ITEMS; item++) {
        AGREE(h, model_add_item(&h->model, item_sku[item], 0, 0), item);
        define_item(h, item);
        rig_publish(&h->rig);
        int64_t stocked = (int64_t)rng_below(&h->rng, 10);
        assert_int_equal(rig_set_stock(&h->rig, item, stocked), HF_OK);
        h->model.items[item].stocked = stocked;
    }
    h->forced = false;
}

static void do_recover(struct history *h)
{
    rig_publish(&h->rig);
    follow(h);
    rig_recover(&h->rig, &h->options);
    agree_state(h, h->rig.inventory);
}

static void take_step(struct history *h)
{
    if (rng_chance(&h->rng, 2 * STEPS)) {
        do_recover(h);
    }
    switch (rng_below(&h->rng, 32)) {
    case 0:
    case 1:
        do_adjust(h);
        break;
    case 2:
        do_move(h);
        break;
    case 3:
    case 4:
        do_define(h);
        break;
    case 5:
    case 6:
        do_expire(h);
        break;
    case 7:
        do_forget(h);
        break;
    case 8:
    case 9:
        do_extend(h);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
    case 17:
    case 18:
    case 19:
        do_edit(h);
        break;
    default:
        do_reserve(h);
    }
}

static void history_end(struct history *h)
{
    rig_publish(&h->rig);
    follow(h);
    agree_state(h, h->rig.inventory);
    check_books(h, h->rig.inventory, h->rig.log_count, h->rig.digest);
    if (h->standby) {
        inventory_deinit(h->standby);
    } else {
        uint64_t digest;
        struct inventory *replica = rig_replay(&h->rig, h->rig.log_count, &h->options, &digest);
        check_books(h, replica, h->rig.log_count, h->rig.digest);
        agree_state(h, replica);
        inventory_deinit(replica);
    }
    model_deinit(&h->model);
    rig_close(&h->rig);
}

static void run_history(uint64_t seed)
{
    struct history h;
    history_open(&h, seed);
    for (h.step = 0; h.step < STEPS; h.step++) {
        pass_time(&h);
        take_step(&h);
        if (h.rig.txn->event_count == 0 && rng_chance(&h.rng, 8)) {
            follow(&h);
            forgive(&h);
            agree_state(&h, h.rig.inventory);
            agree_list(&h);
            if (h.standby) {
                agree_state(&h, h.standby);
            }
        }
    }
    history_end(&h);
}

static void inventory_answers_as_the_model_in_random_histories(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(1);
    struct budget budget = budget_make("histories", 300, 3.0, 150000);
    while (budget_next(&budget)) {
        run_history(seed + budget.round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_answers_as_the_model_in_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
