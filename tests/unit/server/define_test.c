/* define_test.c - definitions and dry runs through the engine: what is not named stays, all of a
 * request is checked before its first change, and a dry run changes nothing. Expected values follow
 * from docs/protocol.md.
 *
 * Threads: one. */
#include <stdio.h>

#include "engine_rig.h"

static struct defined_message define(struct rig *rig, struct define_message message,
                                     enum hf_status expected, const char *text)
{
    struct request request = {.type = REQUEST_DEFINE};
    request.define = message;
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, &request);
    assert_int_equal(response->status, expected);
    if (text) {
        assert_true(message_has(response, text));
    }
    struct defined_message result = {0};
    if (expected == HF_OK) {
        static uint32_t items[8];
        result = response->define;
        assert_true(result.count <= 8);
        for (uint32_t i = 0; i < result.count; i++) {
            items[i] = result.items[i];
        }
        result.items = items;
    }
    ask_free(&ask);
    return result;
}

static struct defined_message define_item(struct rig *rig, struct item_message item)
{
    return define(rig, (struct define_message){.item_count = 1, .items = &item}, HF_OK, NULL);
}

static void define_sku(struct rig *rig, struct sku_message sku, enum hf_status expected,
                       const char *text)
{
    define(rig, (struct define_message){.sku_count = 1, .skus = &sku}, expected, text);
}

static struct item_view item_of(struct rig *rig, uint32_t item)
{
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig->engine), item, &view), HF_OK);
    return view;
}

static struct sku_rule rule_of(struct rig *rig, const char *sku)
{
    struct sku_rule rule;
    assert_int_equal(inventory_sku(engine_inventory(rig->engine), bytes_of(sku), &rule), HF_OK);
    return rule;
}

static void close_rig(struct rig *rig)
{
    rig_verify(rig);
    rig_crash(rig);
    rig_close(rig);
}

static void define_keeps_what_it_does_not_name(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    struct item_message item = {.sku = bytes_of("h"), .safety = 5, .presale_cap = 7, .hot = true};
    struct defined_message made = define_item(&rig, item);
    assert_int_equal(made.items_made, 1);
    assert_int_equal(made.skus_made, 1);
    /* To learn the handle, as people do. */
    made = define_item(&rig, (struct item_message){.sku = bytes_of("h")});
    assert_int_equal(made.items[0], 1);
    assert_int_equal(made.items_made + made.items_changed + made.skus_made + made.skus_changed, 0);
    define_item(&rig, (struct item_message){.sku = bytes_of("h"), .safety = 1});
    assert_int_equal(item_of(&rig, 1).stock.safety, 1);
    assert_int_equal(item_of(&rig, 1).stock.presale_cap, 7);
    assert_true(item_of(&rig, 1).hot);
    made = define_item(
        &rig, (struct item_message){.sku = bytes_of("h"), .safety = 3, .fields = ITEM_FIELD_HOT});
    assert_int_equal(made.items_changed, 1);
    assert_int_equal(item_of(&rig, 1).stock.safety, 1); /* there, but not named */
    assert_false(item_of(&rig, 1).hot);
    define_sku(&rig,
               (struct sku_message){.sku = bytes_of("h"), .label = bytes_of("H"), .hold_ms = 9},
               HF_OK, NULL);
    define_sku(&rig, (struct sku_message){.sku = bytes_of("h"), .paused = true}, HF_OK, NULL);
    define_sku(&rig, (struct sku_message){.sku = bytes_of("h")}, HF_OK, NULL);
    rig_crash(&rig); /* the log has the outcomes */
    assert_true(rule_of(&rig, "h").paused);
    assert_int_equal(rule_of(&rig, "h").label.len, 1);
    assert_int_equal(rule_of(&rig, "h").hold_ms, 9);
    define_sku(&rig, (struct sku_message){.sku = bytes_of("h"), .fields = SKU_FIELD_LABEL}, HF_OK,
               NULL);
    assert_int_equal(rule_of(&rig, "h").label.len, 0);
    assert_true(rule_of(&rig, "h").paused);
    close_rig(&rig);
}

static void define_refuses_fields_that_there_are_not(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    static const uint32_t fields[] = {128, 255, 0x80000000u, UINT32_MAX};
    for (unsigned i = 0; i < 4; i++) {
        define_sku(&rig, (struct sku_message){.sku = bytes_of("h"), .fields = fields[i]},
                   HF_INVALID, "define.skus[0].fields");
        struct item_message item = {.sku = bytes_of("h"), .fields = fields[i] >> 4};
        define(&rig, (struct define_message){.item_count = 1, .items = &item}, HF_INVALID,
               "define.items[0].fields");
    }
    close_rig(&rig);
}

#define DAY_MS 1800000000000u /* some day that a sale can be on */

static void define_checks_the_result_and_all_of_it_first(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    struct sku_message sku = {.sku = bytes_of("s"), .closes_at_ms = DAY_MS + 200};
    define_sku(&rig, sku, HF_OK, NULL);
    sku = (struct sku_message){.sku = bytes_of("s"), .opens_at_ms = DAY_MS + 300};
    define_sku(&rig, sku, HF_INVALID,
               "define.skus[0].opens_at_ms: 1800000000300, not before closes_at_ms, "
               "1800000000200");
    sku = (struct sku_message){.sku = bytes_of("s"), .hold_ms_max = 50};
    define_sku(&rig, sku, HF_OK, NULL);
    sku = (struct sku_message){.sku = bytes_of("s"), .hold_ms = 51};
    define_sku(&rig, sku, HF_INVALID, "define.skus[0].hold_ms: 51, greater than hold_ms_max, 50");
    sku = (struct sku_message){.sku = bytes_of("s"), .hold_ms = HOLD_MS + 1, .fields = 96};
    define_sku(&rig, sku, HF_INVALID, "greater than the engine's hold-ms-max");
    /* Several of one SKU: each over what those before it have left. */
    struct sku_message several[] = {
        {.sku = bytes_of("s"), .closes_at_ms = DAY_MS + 900},
        {.sku = bytes_of("s"), .opens_at_ms = DAY_MS + 800},
        {.sku = bytes_of("new"), .label = bytes_of("x")},
        {.sku = bytes_of("s"), .closes_at_ms = DAY_MS + 700},
    };
    struct define_message message = {.sku_count = 4, .skus = several};
    define(&rig, message, HF_INVALID, "define.skus[3].closes_at_ms");
    assert_int_equal(rule_of(&rig, "s").closes_at_ms, DAY_MS + 200); /* nothing was done */
    struct sku_rule none;
    assert_int_equal(inventory_sku(engine_inventory(rig.engine), bytes_of("new"), &none),
                     HF_NOT_FOUND);
    message.sku_count = 3;
    struct defined_message made = define(&rig, message, HF_OK, NULL);
    assert_int_equal(made.skus_made, 1);
    assert_int_equal(made.skus_changed, 1);
    assert_int_equal(rule_of(&rig, "s").opens_at_ms, DAY_MS + 800);
    close_rig(&rig);
}

/* Seconds, a date in digits, microseconds: a sale would be open at once, or never. */
static void define_takes_no_sale_time_that_is_none(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    static const uint64_t bad[] = {
        1, 20261212, 1800000000, 946684799999, 4102444800000, 1800000000000000, UINT64_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sku_message sku = {.sku = bytes_of("s"), .opens_at_ms = bad[i]};
        define_sku(&rig, sku, HF_INVALID, "must be Unix milliseconds of the years 2000 to 2099");
        sku = (struct sku_message){.sku = bytes_of("s"), .closes_at_ms = bad[i]};
        define_sku(&rig, sku, HF_INVALID, "define.skus[0].closes_at_ms");
    }
    struct sku_message sku = {
        .sku = bytes_of("s"), .opens_at_ms = 946684800000, .closes_at_ms = 4102444799999};
    define_sku(&rig, sku, HF_OK, NULL);
    close_rig(&rig);
}

#define MANY 66u /* two more than the rig's items-max */

static void define_that_does_not_fit_makes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    char codes[MANY][8];
    struct item_message items[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(codes[i], sizeof codes[i], "s%u", i);
        items[i] = (struct item_message){.sku = bytes_of(codes[i])};
    }
    struct define_message message = {.item_count = MANY, .items = items};
    define(&rig, message, HF_FULL, "define.items[64]: items-max (64) is reached");
    struct inventory_counts counts;
    inventory_counts(engine_inventory(rig.engine), &counts);
    assert_int_equal(counts.items, 0);
    /* Parts of one check: what the first would make counts for the second. */
    message = (struct define_message){.item_count = 2, .items = items, .dry_run = true};
    message.items_before = 62;
    message.skus_before = 62;
    struct defined_message made = define(&rig, message, HF_OK, NULL);
    assert_int_equal(made.items_made, 2);
    assert_int_equal(made.items[0], 0);
    message.items_before = 63;
    define(&rig, message, HF_FULL, "define.items[1]: items-max (64) is reached");
    message.items_before = 62;
    message.skus_before = 64;
    define(&rig, message, HF_FULL, "define.items[0]");
    message.dry_run = false;
    define(&rig, message, HF_INVALID, "only with dry_run");
    inventory_counts(engine_inventory(rig.engine), &counts);
    assert_int_equal(counts.items, 0);
    close_rig(&rig);
}

/* ---- Adjustments ---- */

struct adjust_answer {
    enum hf_status status;
    struct adjust_result_message results[4]; /* without texts */
    struct defined_message after;
};

static struct adjust_answer adjust(struct rig *rig, const struct adjustment_message *adjustments,
                                   uint32_t count, const struct define_message *after,
                                   const char *text)
{
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = count;
    request.adjust.adjustments = adjustments;
    request.adjust.dry_run = after != NULL;
    request.adjust.has_after = after && after->sku_count + after->item_count > 0;
    if (after) {
        request.adjust.after = *after;
    }
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, &request);
    struct adjust_answer answer = {.status = response->status};
    if (text) {
        assert_true(message_has(response, text));
    }
    if (response->type == RESPONSE_ADJUST) {
        assert_int_equal(response->adjust.count, count);
        assert_int_equal(response->adjust.has_after, request.adjust.has_after);
        memcpy(answer.results, response->adjust.results, count * sizeof answer.results[0]);
        answer.after = response->adjust.after;
    }
    ask_free(&ask);
    return answer;
}

static const struct define_message dry = {0};

static void adjust_dry_run_adds_up_and_changes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    static const uint8_t ids[4][ID_BYTES] = {{1}, {2}, {3}, {1}};
    struct adjustment_message asked[] = {
        {.id = {ids[0], ID_BYTES}, .item = 1, .has_delta = true, .delta = -3},
        {.id = {ids[1], ID_BYTES}, .item = 1, .has_delta = true, .delta = -3},
        {.id = {ids[2], ID_BYTES}, .item = 1, .has_set_to = true, .set_to = 9},
        {.id = {ids[3], ID_BYTES}, .item = 1, .has_delta = true, .delta = -3},
    };
    uint64_t digest = engine_digest(rig.engine);
    struct adjust_answer planned = adjust(&rig, asked, 4, &dry, "adjust.adjustments[1]");
    assert_true(engine_digest(rig.engine) == digest);
    assert_int_equal(item_of(&rig, 1).stock.stocked, 5);
    struct adjust_answer made = adjust(&rig, asked, 4, NULL, "adjust.adjustments[1]");
    static const enum hf_status expected[] = {HF_OK, HF_INVALID, HF_OK, HF_OK};
    static const int64_t deltas[] = {-3, 0, 7, 0};
    static const int64_t stocked[] = {2, 2, 9, 9};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(planned.results[i].status, expected[i]);
        assert_int_equal(made.results[i].status, expected[i]);
        assert_int_equal(planned.results[i].replayed, i == 3);
        assert_int_equal(made.results[i].replayed, i == 3);
        assert_int_equal(planned.results[i].delta, deltas[i]);
        assert_int_equal(made.results[i].delta, deltas[i]);
        assert_int_equal(planned.results[i].stock.stocked, stocked[i]);
        assert_int_equal(made.results[i].stock.stocked, stocked[i]);
    }
    close_rig(&rig);
}

static void adjust_dry_run_is_about_what_would_be_defined_before(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    static const uint8_t ids[3][ID_BYTES] = {{1}, {2}, {3}};
    struct item_message items[] = {
        {.sku = bytes_of("phone"), .presale_cap = 4, .hot = true},
        {.sku = bytes_of("phone"), .pool = bytes_of("west")},
    };
    struct define_message after = {.item_count = 2, .items = items};
    struct adjustment_message asked[] = {
        {.id = {ids[0], ID_BYTES},
         .sku = bytes_of("phone"),
         .pool = bytes_of("west"),
         .has_set_to = true,
         .set_to = 9},
        {.id = {ids[1], ID_BYTES},
         .item = 1,
         .has_delta = true,
         .delta = 2,
         .to_pool = bytes_of("west")},
        {.id = {ids[2], ID_BYTES}, .sku = bytes_of("other"), .has_set_to = true, .set_to = 9},
    };
    struct adjust_answer planned = adjust(&rig, asked, 3, &after, "adjust.adjustments[2].sku");
    assert_int_equal(planned.after.items_made, 1);
    assert_int_equal(planned.after.items_changed, 1);
    assert_int_equal(planned.after.skus_made, 0);
    assert_int_equal(planned.results[0].status, HF_OK);
    assert_int_equal(planned.results[0].stock.item, 0);
    assert_int_equal(planned.results[0].stock.stocked, 9);
    assert_int_equal(planned.results[1].status, HF_OK);
    assert_int_equal(planned.results[1].stock.available, 7); /* 5 - 2, and 4 to be pre-sold */
    assert_int_equal(planned.results[1].to_stock.stocked, 11);
    assert_int_equal(planned.results[2].status, HF_UNKNOWN_ITEM);
    struct inventory_counts counts;
    inventory_counts(engine_inventory(rig.engine), &counts);
    assert_int_equal(counts.items, 1);
    items[1].safety = -1;
    planned = adjust(&rig, asked, 3, &after, "adjust.after.items[1].safety");
    assert_int_equal(planned.status, HF_INVALID);
    close_rig(&rig);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(define_keeps_what_it_does_not_name),
        TEST(define_refuses_fields_that_there_are_not),
        TEST(define_checks_the_result_and_all_of_it_first),
        TEST(define_takes_no_sale_time_that_is_none),
        TEST(define_that_does_not_fit_makes_nothing),
        TEST(adjust_dry_run_adds_up_and_changes_nothing),
        TEST(adjust_dry_run_is_about_what_would_be_defined_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
