/* oracle_test.c - the judgement of an item: it must notice each way in which an engine can fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "load/oracle.h"

/* 100 units stocked, 60 of them sold and 15 held. */
static const struct hf_stock before = {
    .sku = "S", .pool = "default", .stocked = 100, .available = 100};
static const struct hf_stock after = {
    .sku = "S", .pool = "default", .stocked = 100, .held = 15, .sold = 60, .available = 25};
static const struct claims claims = {.held = 15, .committed = 60, .refused_qty = UINT32_MAX};

static void oracle_finds_nothing_when_all_agrees(void **state)
{
    (void)state;
    struct verdict verdict = {.checked = true};
    assert_int_equal(oracle_judge_item(&before, &after, &claims, false, &verdict), 0);
    assert_true(oracle_is_clean(&verdict));
    assert_string_equal(verdict.note, "");
}

static void oracle_notices_a_lost_hold_and_a_lost_sale(void **state)
{
    (void)state;
    struct verdict verdict = {.checked = true};
    struct hf_stock lost = after;
    lost.held = 14;
    lost.available = 26;
    assert_int_equal(oracle_judge_item(&before, &lost, &claims, false, &verdict), 1);
    /* A hold that may have expired is no loss; a sale always is. */
    assert_int_equal(oracle_judge_item(&before, &lost, &claims, true, &verdict), 0);
    lost = after;
    lost.sold = 58;
    lost.available = 27;
    assert_int_equal(oracle_judge_item(&before, &lost, &claims, true, &verdict), 2);
    /* A commit that became a hold again. */
    lost = after;
    lost.sold = 59;
    lost.held = 16;
    assert_int_equal(oracle_judge_item(&before, &lost, &claims, false, &verdict), 1);
}

static void oracle_notices_units_taken_twice(void **state)
{
    (void)state;
    struct verdict verdict = {.checked = true};
    struct hf_stock twice = after;
    twice.held = 16;
    twice.available = 24;
    assert_int_equal(oracle_judge_item(&before, &twice, &claims, false, &verdict), 0);
    assert_int_equal(verdict.duplicated, 1);
    assert_false(oracle_is_clean(&verdict));
    verdict = (struct verdict){.checked = true};
    twice = after;
    twice.sold = 63;
    twice.available = 22;
    (void)oracle_judge_item(&before, &twice, &claims, false, &verdict);
    assert_int_equal(verdict.duplicated, 3);
    assert_string_not_equal(verdict.note, "");
}

static void oracle_excuses_what_is_in_doubt_and_no_more(void **state)
{
    (void)state;
    struct claims doubtful = claims;
    doubtful.doubtful = 3;
    struct hf_stock sold = after;
    for (int64_t more = 0; more <= 4; more++) {
        struct verdict verdict = {.checked = true};
        sold.sold = after.sold + more;
        sold.available = after.available - more;
        assert_int_equal(oracle_judge_item(&before, &sold, &doubtful, false, &verdict), 0);
        assert_int_equal(verdict.duplicated, more > 3 ? more - 3 : 0);
    }
    /* What is in doubt is no excuse for a sale that is missing. */
    struct verdict verdict = {.checked = true};
    sold.sold = after.sold - 1;
    sold.available = after.available + 1;
    assert_int_equal(oracle_judge_item(&before, &sold, &doubtful, false, &verdict), 1);
}

static void oracle_notices_overselling_by_its_own_count_and_by_the_engines(void **state)
{
    (void)state;
    struct verdict verdict = {.checked = true};
    struct hf_stock over = after;
    over.stocked = 74;
    over.available = -1;
    (void)oracle_judge_item(&before, &over, &claims, false, &verdict);
    assert_int_equal(verdict.oversold, 1);
    /* The engine's numbers look fine, but more was acknowledged than there is. */
    verdict = (struct verdict){.checked = true};
    struct claims more = claims;
    more.committed = 90;
    (void)oracle_judge_item(&before, &after, &more, false, &verdict);
    assert_int_equal(verdict.oversold, 5);
    /* Safety stock may not be sold, presale units may. */
    verdict = (struct verdict){.checked = true};
    over = after;
    over.safety = 30;
    over.available = -5;
    (void)oracle_judge_item(&before, &over, &claims, false, &verdict);
    assert_int_equal(verdict.oversold, 5);
    verdict = (struct verdict){.checked = true};
    over = after;
    over.stocked = 70;
    over.presale_cap = 5;
    over.available = 0;
    (void)oracle_judge_item(&before, &over, &claims, false, &verdict);
    assert_int_equal(verdict.oversold, 0);
}

static void oracle_notices_underselling_from_the_refused_quantity_up(void **state)
{
    (void)state;
    struct verdict verdict = {.checked = true};
    struct claims refused = claims;
    refused.refused_qty = 26;
    (void)oracle_judge_item(&before, &after, &refused, false, &verdict);
    assert_int_equal(verdict.undersold, 0);
    refused.refused_qty = 25;
    (void)oracle_judge_item(&before, &after, &refused, false, &verdict);
    assert_int_equal(verdict.undersold, 25);
}

static void oracle_counts_from_where_the_item_stood(void **state)
{
    (void)state;
    struct verdict verdict = {.checked = true};
    struct hf_stock earlier = before;
    struct hf_stock later = after;
    earlier.sold = 20;
    earlier.held = 5;
    earlier.available = 75;
    later.sold = 80;
    later.held = 20;
    later.available = 0;
    assert_int_equal(oracle_judge_item(&earlier, &later, &claims, false, &verdict), 0);
    assert_true(oracle_is_clean(&verdict));
    /* The five held before may have expired meanwhile. */
    later.held = 15;
    later.available = 5;
    assert_int_equal(oracle_judge_item(&earlier, &later, &claims, false, &verdict), 0);
    assert_true(oracle_is_clean(&verdict));
    later.held = 14;
    later.available = 6;
    assert_int_equal(oracle_judge_item(&earlier, &later, &claims, false, &verdict), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oracle_finds_nothing_when_all_agrees),
        cmocka_unit_test(oracle_notices_a_lost_hold_and_a_lost_sale),
        cmocka_unit_test(oracle_notices_units_taken_twice),
        cmocka_unit_test(oracle_excuses_what_is_in_doubt_and_no_more),
        cmocka_unit_test(oracle_notices_overselling_by_its_own_count_and_by_the_engines),
        cmocka_unit_test(oracle_notices_underselling_from_the_refused_quantity_up),
        cmocka_unit_test(oracle_counts_from_where_the_item_stood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
