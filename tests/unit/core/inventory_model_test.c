/* inventory_model_test.c - random histories against the model, and their replay.
 *
 * Few items with little stock, few ids used again and again, lines that repeat items, partial
 * quantities, time that jumps: every answer of the core must be the model's, all stock must agree,
 * and the history's events, and any prefix of them, must replay to the same state.
 *
 * SEED=n runs one history; HOLDFAST_LONG=1 a hundred times as many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/core_rig.h"
#include "lib/model.h"
#include "lib/rng.h"

#define IDS       10u
#define ITEMS     4u
#define STEPS     150u
#define LINES_MAX 5u

struct history {
    struct rig rig;
    struct model model;
    struct rng rng;
    struct inventory_options options;
    uint64_t seed;
    uint32_t step;
    bool batching;                           /* publish seldom */
    bool forced;                             /* an adjustment was forced */
    struct order_line lines[IDS][LINES_MAX]; /* what an id was last tried with */
    uint32_t line_counts[IDS];
};

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

static void agree_outcome(const struct history *h, const struct order_outcome *core,
                          const struct order_outcome *model)
{
    AGREE(h, core->status, model->status);
    AGREE(h, core->replayed, model->replayed);
    AGREE(h, core->blocking_line, model->blocking_line);
    AGREE(h, core->deadline_ms, model->deadline_ms);
    AGREE(h, core->state, model->state);
}

/* Units are given back when published, so whatever might want them waits for that; what only takes
 * or changes deadlines may share a transaction. */
static void settle(struct history *h, bool gives)
{
    if (gives || !h->batching || rng_chance(&h->rng, 6)) {
        rig_publish(&h->rig);
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
    return holds[rng_below(&h->rng, sizeof holds / sizeof holds[0])];
}

static void do_reserve(struct history *h)
{
    uint32_t i;
    struct order_request request = {.id = pick_id(h, &i), .hold_ms = pick_hold(h)};
    request.buyer = rng_chance(&h->rng, 12) ? 9 : 0;
    if (h->line_counts[i] == 0 || rng_chance(&h->rng, 4)) {
        h->line_counts[i] =
            rng_chance(&h->rng, 2) ? 1 : (uint32_t)rng_between(&h->rng, 1, LINES_MAX);
        for (uint32_t j = 0; j < h->line_counts[i]; j++) {
            h->lines[i][j] = (struct order_line){(uint32_t)rng_between(&h->rng, 1, ITEMS),
                                                 (uint32_t)rng_between(&h->rng, 1, 4)};
        }
    }
    request.lines = h->lines[i];
    request.line_count = h->line_counts[i];
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
    h->forced =
        h->forced || (h->rig.txn->event_count && h->rig.txn->events[0].flags & EVENT_FORCED);
    enum hf_status model = model_adjust(&h->model, &asked, &model_replayed);
    AGREE(h, core, model);
    AGREE(h, core_replayed, model_replayed);
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

static void agree_state(struct history *h, struct inventory *inventory)
{
    for (uint32_t item = 1; item <= ITEMS; item++) {
        struct item_view view;
        assert_int_equal(inventory_item(inventory, item, &view), HF_OK);
        struct stock_view model = model_stock(&h->model, item);
        AGREE(h, view.stock.stocked, model.stocked);
        AGREE(h, view.stock.held, model.held);
        AGREE(h, view.stock.sold, model.sold);
        AGREE(h, view.stock.available, model.available);
    }
    for (uint32_t i = 0; i < IDS; i++) {
        struct id128 id = {0xB0, i};
        const struct model_order *model = model_find(&h->model, id);
        struct order_view view;
        struct order_line_view lines[LINES_MAX];
        enum hf_status status = inventory_order(inventory, id, &view, lines, LINES_MAX);
        AGREE(h, status, model ? HF_OK : HF_NOT_FOUND);
        if (!model) {
            continue;
        }
        AGREE(h, view.state, model->state);
        AGREE(h, view.deadline_ms, model->deadline_ms);
        AGREE(h, view.buyer, model->buyer);
        AGREE(h, view.line_count, model->line_count);
        for (uint32_t j = 0; j < model->line_count; j++) {
            bool all = model->state == ORDER_RELEASED;
            AGREE(h, lines[j].item, model->lines[j].item);
            AGREE(h, lines[j].qty, model->lines[j].qty);
            AGREE(h, lines[j].released, all ? lines[j].qty : model->lines[j].released);
            AGREE(h, lines[j].committed, model->lines[j].committed);
            AGREE(h, lines[j].returned, model->lines[j].returned);
        }
    }
}

/* A prefix of the log: its own books agree, and it never sold more than there was. */
static void check_prefix(struct history *h, uint32_t count)
{
    uint64_t sum;
    char what[256] = "";
    struct inventory *replica = rig_replay(&h->rig, count, &h->options, &sum);
    if (!inventory_verify(replica, what, sizeof what)) {
        fail_msg("prefix %u: %s; SEED=%llu", count, what, (unsigned long long)h->seed);
    }
    AGREE(h, inventory_digest(replica), sum);
    struct inventory_counts counts;
    inventory_counts(replica, &counts);
    for (uint32_t item = 1; item <= counts.items && !h->forced; item++) {
        struct item_view view;
        assert_int_equal(inventory_item(replica, item, &view), HF_OK);
        if (view.stock.available + view.stock.safety < 0) {
            fail_history(h, "oversold prefix", count, 0);
        }
    }
    if (count == h->rig.log_count) {
        AGREE(h, sum, h->rig.digest);
        agree_state(h, replica);
    }
    inventory_deinit(replica);
}

static void history_open(struct history *h, uint64_t seed)
{
    *h = (struct history){.seed = seed, .options = rig_options(64)};
    h->options.items_max = ITEMS;
    rng_init(&h->rng, seed);
    rig_open(&h->rig, &h->options);
    model_init(&h->model, &h->options);
    h->batching = rng_chance(&h->rng, 2);
    for (uint32_t i = 1; i <= ITEMS; i++) {
        char sku[2] = {(char)('a' + i), 0};
        int64_t safety = rng_chance(&h->rng, 3) ? 2 : 0;
        int64_t presale_cap = rng_chance(&h->rng, 3) ? 3 : 0;
        assert_int_equal(rig_define(&h->rig, sku, "default", safety, presale_cap), i);
        model_add_item(&h->model, safety, presale_cap);
        if (i == 2) {
            struct sku_rule rule = {.sku = bytes_of(sku),
                                    .hold_ms = 400,
                                    .hold_ms_max = 900,
                                    .opens_at_ms = 1000,
                                    .closes_at_ms = rng_chance(&h->rng, 8) ? 1003000 : 0};
            h->model.items[i].rule = rule;
            assert_int_equal(inventory_define_sku(h->rig.txn, &rule), HF_OK);
            rig_publish(&h->rig);
        }
    }
}

static void run_history(uint64_t seed)
{
    struct history h;
    history_open(&h, seed);
    for (h.step = 0; h.step < STEPS; h.step++) {
        pass_time(&h);
        switch (rng_below(&h.rng, 12)) {
        case 0:
            do_adjust(&h);
            break;
        case 1:
            do_expire(&h);
            break;
        case 2:
            do_extend(&h);
            break;
        case 3:
        case 4:
        case 5:
        case 6:
            do_edit(&h);
            break;
        default:
            do_reserve(&h);
        }
        if (h.rig.txn->event_count == 0 && rng_chance(&h.rng, 8)) {
            agree_state(&h, h.rig.inventory);
        }
    }
    rig_publish(&h.rig);
    agree_state(&h, h.rig.inventory);
    rig_check(&h.rig);
    check_prefix(&h, h.rig.log_count);
    check_prefix(&h, (uint32_t)rng_below(&h.rng, h.rig.log_count));
    model_deinit(&h.model);
    rig_close(&h.rig);
}

static void inventory_answers_as_the_model_in_random_histories(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(1);
    unsigned rounds = rng_rounds_from_env(3000, 300000);
    for (unsigned i = 0; i < rounds; i++) {
        run_history(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_answers_as_the_model_in_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
