/* plan_test.c - what definitions name, what may result of them, and that a plan says beforehand
 * what the changes themselves then come to.
 *
 * Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/plan.h"
#include "lib/budget.h"
#include "lib/core_rig.h"
#include "lib/rng.h"

/* ---- Definitions ---- */

static void definition_without_fields_names_what_is_not_zero_or_empty(void **state)
{
    (void)state;
    struct sku_rule none = {.sku = bytes_of("a")};
    assert_int_equal(sku_fields_named(&none, 0), 0);
    struct sku_rule all = {.sku = bytes_of("a"),
                           .label = bytes_of("A"),
                           .limit_per_buyer = 1,
                           .opens_at_ms = 1,
                           .closes_at_ms = 2,
                           .paused = true,
                           .hold_ms = 1,
                           .hold_ms_max = 1};
    assert_int_equal(sku_fields_named(&all, 0), SKU_FIELDS_ALL);
    assert_int_equal(sku_fields_named(&all, SKU_FIELD_PAUSED), SKU_FIELD_PAUSED);
    assert_int_equal(sku_fields_named(&none, SKU_FIELDS_ALL), SKU_FIELDS_ALL);
    struct item_def nothing = {.sku = bytes_of("a"), .pool = bytes_of("p")};
    assert_int_equal(item_fields_named(&nothing, 0), 0);
    struct item_def some = {.safety = 5, .hot = true};
    assert_int_equal(item_fields_named(&some, 0), ITEM_FIELD_SAFETY | ITEM_FIELD_HOT);
    assert_int_equal(item_fields_named(&some, ITEM_FIELD_PRESALE_CAP), ITEM_FIELD_PRESALE_CAP);
}

/* Each field alone: it gets the asked value, and all others keep theirs. */
static void merge_changes_the_named_field_and_no_other(void **state)
{
    (void)state;
    const struct sku_rule present = {bytes_of("a"), bytes_of("old"), 1, 2, 3, true, 4, 5};
    const struct sku_rule asked = {bytes_of("a"), {0}, 0, 0, 0, false, 0, 0};
    for (uint32_t bit = 1; bit <= SKU_FIELDS_ALL; bit *= 2) {
        struct sku_rule got = sku_rule_merge(&present, &asked, bit);
        assert_int_equal(got.label.len, bit == SKU_FIELD_LABEL ? 0 : 3);
        assert_int_equal(got.limit_per_buyer, bit == SKU_FIELD_LIMIT_PER_BUYER ? 0 : 1);
        assert_int_equal(got.opens_at_ms, bit == SKU_FIELD_OPENS_AT ? 0 : 2);
        assert_int_equal(got.closes_at_ms, bit == SKU_FIELD_CLOSES_AT ? 0 : 3);
        assert_int_equal(got.paused, bit != SKU_FIELD_PAUSED);
        assert_int_equal(got.hold_ms, bit == SKU_FIELD_HOLD ? 0 : 4);
        assert_int_equal(got.hold_ms_max, bit == SKU_FIELD_HOLD_MAX ? 0 : 5);
    }
    const struct item_def item = {7, bytes_of("a"), bytes_of("p"), 1, 2, true};
    const struct item_def zero = {0, bytes_of("a"), bytes_of("p"), 0, 0, false};
    for (uint32_t bit = 1; bit <= ITEM_FIELDS_ALL; bit *= 2) {
        struct item_def got = item_def_merge(&item, &zero, bit);
        assert_int_equal(got.item, 7);
        assert_int_equal(got.safety, bit == ITEM_FIELD_SAFETY ? 0 : 1);
        assert_int_equal(got.presale_cap, bit == ITEM_FIELD_PRESALE_CAP ? 0 : 2);
        assert_int_equal(got.hot, bit != ITEM_FIELD_HOT);
    }
}

static void rules_over_two_fields_are_about_the_result(void **state)
{
    (void)state;
    const uint32_t opens = SKU_FIELD_OPENS_AT;
    const uint32_t closes = SKU_FIELD_CLOSES_AT;
    const uint32_t hold = SKU_FIELD_HOLD;
    const uint32_t hold_max = SKU_FIELD_HOLD_MAX;
    static const struct {
        struct sku_rule result;
        uint32_t named;
        const char *field; /* NULL: it fits */
    } cases[] = {
        {{.opens_at_ms = 5, .closes_at_ms = 6}, opens | closes, NULL},
        {{.opens_at_ms = 6, .closes_at_ms = 6}, closes, "closes_at_ms"},
        {{.opens_at_ms = 6, .closes_at_ms = 6}, opens, "opens_at_ms"},
        {{.opens_at_ms = 6, .closes_at_ms = 6}, opens | closes, "closes_at_ms"},
        {{.opens_at_ms = 6, .closes_at_ms = 0}, opens | closes, NULL},
        {{.opens_at_ms = 0, .closes_at_ms = 1}, closes, NULL},
        {{.opens_at_ms = 6, .closes_at_ms = 5}, SKU_FIELD_PAUSED | hold, NULL}, /* not named */
        {{.hold_ms = 100}, hold, NULL},
        {{.hold_ms = 101}, hold, "hold_ms"},
        {{.hold_ms = 101}, hold_max, "hold_ms_max"},
        {{.hold_ms = 101}, opens | SKU_FIELD_LABEL, NULL},
        {{.hold_ms = 101, .hold_ms_max = 101}, hold, NULL},
        {{.hold_ms = 51, .hold_ms_max = 50}, hold_max, "hold_ms_max"},
        {{.hold_ms = 51, .hold_ms_max = 50}, hold | hold_max, "hold_ms"},
        {{.hold_ms = 0, .hold_ms_max = 50}, hold | hold_max, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct misfit misfit = {0};
        bool fits = sku_rule_fits(&cases[i].result, cases[i].named, 100, &misfit);
        assert_int_equal(fits, cases[i].field == NULL);
        if (!fits) {
            assert_string_equal(misfit.field, cases[i].field);
            assert_true(strlen(misfit.reason) > 0);
        }
    }
}

static void change_merges_with_what_is_there(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    struct item_def def = {.sku = bytes_of("a"), .pool = bytes_of("p"), .safety = 5, .hot = true};
    uint32_t item;
    assert_int_equal(
        inventory_change_item(rig.txn, &def, ITEM_FIELD_SAFETY | ITEM_FIELD_HOT, &item), HF_OK);
    rig_publish(&rig);
    struct item_def other = {.sku = bytes_of("a"), .pool = bytes_of("p"), .presale_cap = 9};
    assert_int_equal(inventory_change_item(rig.txn, &other, ITEM_FIELD_PRESALE_CAP, &item), HF_OK);
    assert_int_equal(rig.txn->event_count, 1); /* the log gets the outcome, whole */
    assert_true(rig.txn->events[0].item->hot);
    assert_int_equal(rig.txn->events[0].item->safety, 5);
    assert_int_equal(rig.txn->events[0].item->presale_cap, 9);
    rig_publish(&rig);
    /* Naming nothing changes nothing. */
    assert_int_equal(inventory_change_item(rig.txn, &other, 0, &item), HF_OK);
    assert_int_equal(rig.txn->event_count, 0);
    struct sku_rule rule = {.sku = bytes_of("a"), .opens_at_ms = 5};
    assert_int_equal(inventory_change_sku(rig.txn, &rule, SKU_FIELD_OPENS_AT), HF_OK);
    rig_publish(&rig);
    struct sku_rule pause = {.sku = bytes_of("a"), .paused = true};
    assert_int_equal(inventory_change_sku(rig.txn, &pause, SKU_FIELD_PAUSED), HF_OK);
    rig_publish(&rig);
    struct sku_rule now;
    assert_int_equal(inventory_sku(rig.inventory, bytes_of("a"), &now), HF_OK);
    assert_true(now.paused);
    assert_int_equal(now.opens_at_ms, 5);
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Plans ---- */

static void plan_counts_what_it_would_make_towards_the_limit(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    options.items_max = 4;
    rig_open(&rig, &options);
    rig_define(&rig, "a", "p", 0, 0);
    struct misfit misfit;
    uint32_t item;
    struct plan *plan = plan_make(rig.inventory, 16, 16);
    struct item_def def = {.sku = bytes_of("a"), .pool = bytes_of("q")};
    assert_int_equal(plan_define_item(plan, &def, 0, &item), HF_OK);
    assert_int_equal(item, 2);
    assert_true(plan_makes_item(plan, item));
    def.sku = bytes_of("b");
    assert_int_equal(plan_define_item(plan, &def, 0, &item), HF_OK);
    assert_int_equal(plan_define_item(plan, &def, 0, &item), HF_OK); /* again: it is there now */
    assert_int_equal(item, 3);
    plan_assume_made(plan, 0, 1);
    def.sku = bytes_of("c");
    assert_int_equal(plan_define_item(plan, &def, 0, &item), HF_FULL);
    plan_assume_made(plan, 2, 0);
    assert_int_equal(plan_define_item(plan, &def, 0, &item), HF_FULL); /* of its SKU */
    struct sku_rule rule = {.sku = bytes_of("c")};
    assert_int_equal(plan_define_sku(plan, &rule, 0, &misfit), HF_FULL);
    rule.sku = bytes_of("b");
    rule.limit_per_buyer = 3;
    assert_int_equal(plan_define_sku(plan, &rule, 0, &misfit), HF_OK);
    struct plan_counts counts = plan_counts(plan);
    assert_int_equal(counts.skus_made, 1);
    assert_int_equal(counts.skus_changed, 0); /* it is new */
    assert_int_equal(counts.items_made, 2);
    assert_int_equal(counts.items_changed, 0);
    plan_free(plan);
    assert_int_equal(inventory_find_item(rig.inventory, bytes_of("b"), bytes_of("q")), 0);
    rig_check(&rig);
    rig_close(&rig);
}

/* One random change of either kind. Few names, so that they meet. */
enum kind { DEFINE_SKU, DEFINE_ITEM, ADJUST, MOVE };

struct change {
    enum kind kind;
    struct sku_rule rule;
    struct item_def def;
    uint32_t fields;
    struct adjustment adjustment;
    struct move move;
};

struct answer {
    enum hf_status status;
    uint32_t item;
    bool replayed;
    int64_t delta;
};

static struct bytes one_of(struct rng *rng, const char *const *names, unsigned count)
{
    return bytes_of(names[rng_below(rng, count)]);
}

static struct change random_change(struct rng *rng)
{
    static const char *const skus[] = {"a", "b", "c"};
    static const char *const pools[] = {"p", "q"};
    struct change change = {.kind = (enum kind)rng_below(rng, 4)};
    struct id128 id = {9, rng_below(rng, 6)};
    change.rule = (struct sku_rule){.sku = one_of(rng, skus, 3),
                                    .opens_at_ms = rng_below(rng, 4),
                                    .closes_at_ms = rng_below(rng, 4),
                                    .paused = rng_chance(rng, 2),
                                    .hold_ms = (uint32_t)rng_below(rng, 3) * 4000,
                                    .hold_ms_max = (uint32_t)rng_below(rng, 3) * 6000};
    change.def = (struct item_def){.sku = one_of(rng, skus, 3),
                                   .pool = one_of(rng, pools, 2),
                                   .safety = (int64_t)rng_below(rng, 3),
                                   .presale_cap = (int64_t)rng_below(rng, 3),
                                   .hot = rng_chance(rng, 2)};
    change.fields = (uint32_t)rng_below(
        rng, (change.kind == DEFINE_SKU ? SKU_FIELDS_ALL : ITEM_FIELDS_ALL) + 1u);
    change.adjustment = (struct adjustment){.id = id,
                                            .item = (uint32_t)rng_between(rng, 1, 5),
                                            .has_set_to = rng_chance(rng, 2),
                                            .set_to = (int64_t)rng_below(rng, 8),
                                            .delta = (int64_t)rng_below(rng, 9) - 4,
                                            .has_expected = rng_chance(rng, 4),
                                            .expected = (int64_t)rng_below(rng, 6),
                                            .force = rng_chance(rng, 8)};
    change.move = (struct move){.id = id,
                                .from = (uint32_t)rng_between(rng, 1, 5),
                                .to = (uint32_t)rng_between(rng, 1, 5),
                                .units = (int64_t)rng_between(rng, 1, 4),
                                .has_expected = rng_chance(rng, 4),
                                .expected = (int64_t)rng_below(rng, 6),
                                .force = rng_chance(rng, 8)};
    return change;
}

static struct answer planned(struct plan *plan, const struct change *change)
{
    struct answer answer = {0};
    struct misfit misfit;
    switch (change->kind) {
    case DEFINE_SKU:
        answer.status = plan_define_sku(plan, &change->rule, change->fields, &misfit);
        break;
    case DEFINE_ITEM:
        answer.status = plan_define_item(plan, &change->def, change->fields, &answer.item);
        break;
    case ADJUST:
        answer.status = plan_adjust(plan, &change->adjustment, &answer.replayed, &answer.delta);
        break;
    case MOVE:
        answer.status = plan_move(plan, &change->move, &answer.replayed, &answer.delta);
        break;
    }
    return answer;
}

/* What a definition would break is not done: the plan of a request comes before its changes. */
static struct answer made(struct rig *rig, const struct change *change, enum hf_status planned)
{
    struct answer answer = {0};
    switch (change->kind) {
    case DEFINE_SKU:
        answer.status = planned == HF_INVALID
                            ? HF_INVALID
                            : inventory_change_sku(rig->txn, &change->rule,
                                                   sku_fields_named(&change->rule, change->fields));
        break;
    case DEFINE_ITEM:
        answer.status = inventory_change_item(
            rig->txn, &change->def, item_fields_named(&change->def, change->fields), &answer.item);
        break;
    case ADJUST:
        answer.status = inventory_adjust(rig->txn, &change->adjustment, &answer.replayed);
        answer.delta = rig->txn->event_count ? rig->txn->events[0].adjust->delta : 0;
        break;
    case MOVE:
        answer.status = inventory_move(rig->txn, &change->move, &answer.replayed);
        answer.delta = rig->txn->event_count ? -rig->txn->events[0].move->units : 0;
        break;
    }
    rig_publish(rig);
    return answer;
}

static void check_same_items(struct rig *rig, struct plan *plan)
{
    struct inventory_counts counts;
    inventory_counts(rig->inventory, &counts);
    for (uint32_t item = 1; item <= counts.items; item++) {
        struct item_view real;
        struct item_view view;
        assert_int_equal(inventory_item(rig->inventory, item, &real), HF_OK);
        assert_int_equal(plan_item(plan, item, &view), HF_OK);
        assert_int_equal(view.hot, real.hot);
        assert_int_equal(view.stock.stocked, real.stock.stocked);
        assert_int_equal(view.stock.held, real.stock.held);
        assert_int_equal(view.stock.safety, real.stock.safety);
        assert_int_equal(view.stock.presale_cap, real.stock.presale_cap);
        assert_int_equal(view.stock.available, real.stock.available);
    }
}

/* A plan of some changes, made over a state that others have left, and then the changes. */
static void plan_and_make(struct rig *rig, struct rng *rng, uint64_t seed)
{
    enum { CHANGES = 12 };
    struct change changes[CHANGES];
    struct answer answers[CHANGES];
    struct inventory_counts before;
    struct inventory_counts after;
    struct plan *plan = plan_make(rig->inventory, 3 * CHANGES, 3 * CHANGES);
    inventory_counts(rig->inventory, &before);
    for (unsigned i = 0; i < CHANGES; i++) {
        changes[i] = random_change(rng);
        answers[i] = planned(plan, &changes[i]);
    }
    inventory_counts(rig->inventory, &after);
    assert_int_equal(after.items, before.items);
    for (unsigned i = 0; i < CHANGES; i++) {
        struct answer got = made(rig, &changes[i], answers[i].status);
        bool same = got.status == answers[i].status && got.item == answers[i].item &&
                    got.replayed == answers[i].replayed && got.delta == answers[i].delta;
        if (!same) {
            fail_msg("seed %llu, change %u of kind %d: planned %s, made %s",
                     (unsigned long long)seed, i, changes[i].kind,
                     hf_status_name(answers[i].status), hf_status_name(got.status));
        }
    }
    inventory_counts(rig->inventory, &after);
    assert_int_equal(plan_counts(plan).items_made, after.items - before.items);
    assert_int_equal(plan_counts(plan).skus_made, after.skus - before.skus);
    check_same_items(rig, plan);
    plan_free(plan);
}

static void plan_says_what_the_changes_then_come_to(void **state)
{
    (void)state;
    struct budget budget = budget_make("plans", 300, 1.0, 20000);
    uint64_t first = rng_seed_from_env(1);
    while (budget_next(&budget)) {
        uint64_t seed = first + budget.round;
        struct rng rng;
        struct rig rig;
        struct inventory_options options = rig_options(64);
        rng_init(&rng, seed);
        options.items_max = (uint32_t)rng_between(&rng, 2, 7);
        rig_open(&rig, &options);
        rig_item(&rig, "a", 6);
        plan_and_make(&rig, &rng, seed);
        rig_reserve(&rig, 1, 1, (uint32_t)rng_between(&rng, 1, 4));
        plan_and_make(&rig, &rng, seed);
        rig_check(&rig);
        rig_close(&rig);
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(definition_without_fields_names_what_is_not_zero_or_empty),
        TEST(merge_changes_the_named_field_and_no_other),
        TEST(rules_over_two_fields_are_about_the_result),
        TEST(change_merges_with_what_is_there),
        TEST(plan_counts_what_it_would_make_towards_the_limit),
        TEST(plan_says_what_the_changes_then_come_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
