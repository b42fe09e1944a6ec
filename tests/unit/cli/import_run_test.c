/* import_run_test.c - cli/import_run: an import does to an engine what its file says, once; a check
 * tells the same and does nothing.
 *
 * The engine is a table in this file, which stands in for the client's calls: one item a SKU, in
 * the order in which they were defined. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/import_apply.h"
#include "cli/import_batch.h"
#include "cli/import_check.h"
#include "cli/import_known.h"
#include "client/fail.h"

/* ---- The engine ---- */

#define ITEMS_ROOM 20000u

static struct {
    struct hf_stock stock[ITEMS_ROOM];
    struct hf_sku_rules rules[ITEMS_ROOM];
    struct hf_id set_by[ITEMS_ROOM]; /* the adjustment that set it last */
    uint32_t count;
    uint32_t items_max;
    const char *refuses;  /* a SKU that can't be defined */
    unsigned adjusts;     /* requests until one fails; 0: none does */
    unsigned asked;       /* dry runs */
    pthread_mutex_t lock; /* two threads import */
} engine = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void engine_reset(void)
{
    engine.count = 0;
    engine.items_max = ITEMS_ROOM;
    engine.refuses = NULL;
    engine.adjusts = 0;
    engine.asked = 0;
}

/* SKUs are defined in the order of their codes here, so the table is sorted. */
static int compare_code(const void *code, const void *stock)
{
    return strcmp(code, ((const struct hf_stock *)stock)->sku);
}

static struct hf_stock *find(const char *sku)
{
    return bsearch(sku, engine.stock, engine.count, sizeof *engine.stock, compare_code);
}

static struct hf_stock *make(const char *sku, int64_t stocked)
{
    assert_true(engine.count < ITEMS_ROOM);
    struct hf_stock *stock = &engine.stock[engine.count];
    *stock = (struct hf_stock){.item = ++engine.count, .stocked = stocked};
    snprintf(stock->sku, sizeof stock->sku, "%s", sku);
    snprintf(stock->pool, sizeof stock->pool, "default");
    engine.rules[stock->item - 1] = (struct hf_sku_rules){0};
    engine.set_by[stock->item - 1] = (struct hf_id){{0}};
    return stock;
}

static enum hf_status define_one(const struct hf_item *item, uint32_t at, uint32_t *handle,
                                 struct hf_defined *defined)
{
    if (engine.refuses && strcmp(engine.refuses, item->sku) == 0) {
        return client_fail(HF_INVALID, "define.items[%u].safety: not liked", at);
    }
    struct hf_stock *stock = find(item->sku);
    if (!stock && engine.count == engine.items_max) {
        return client_fail(HF_FULL, "define.items[%u]: items-max is reached", at);
    }
    defined->skus_made += stock == NULL;
    defined->items_made += stock == NULL;
    stock = stock ? stock : make(item->sku, 0);
    if (item->fields & HF_ITEM_SAFETY) {
        stock->safety = item->safety;
    }
    *handle = stock->item;
    return HF_OK;
}

/* Not asked by what is tested here; the client's own would bring the others with it. */
enum hf_status hf_get_status(struct hf_client *client, struct hf_engine_status *status)
{
    (void)client;
    *status = (struct hf_engine_status){0};
    return HF_OK;
}

enum hf_status hf_define_counted(struct hf_client *client, const struct hf_sku *skus,
                                 uint32_t sku_count, const struct hf_item *items,
                                 uint32_t item_count, uint32_t *items_out,
                                 struct hf_defined *defined)
{
    (void)client;
    enum hf_status status = HF_OK;
    *defined = (struct hf_defined){0};
    pthread_mutex_lock(&engine.lock);
    for (uint32_t i = 0; i < item_count && status == HF_OK; i++) {
        status = define_one(&items[i], i, &items_out[i], defined);
    }
    for (uint32_t i = 0; i < sku_count && status == HF_OK; i++) {
        assert_int_equal(skus[i].fields, HF_SKU_LIMIT_PER_BUYER);
        engine.rules[find(skus[i].sku)->item - 1].limit_per_buyer = skus[i].limit_per_buyer;
    }
    pthread_mutex_unlock(&engine.lock);
    return status;
}

static void adjust_one(const struct hf_adjustment *asked, struct hf_stock *stock,
                       struct hf_adjust_result *result)
{
    struct hf_id *set_by = &engine.set_by[stock->item - 1];
    if (memcmp(set_by, &asked->id, sizeof *set_by) == 0) {
        result->replayed = true;
    } else if (asked->value < stock->held + stock->sold) {
        result->status = HF_WOULD_OVERSELL;
    } else {
        *set_by = asked->id;
        result->delta = asked->value - stock->stocked;
        stock->stocked = asked->value;
    }
}

enum hf_status hf_adjust(struct hf_client *client, const struct hf_adjustment *adjustments,
                         uint32_t count, struct hf_adjust_result *results)
{
    (void)client;
    if (engine.adjusts > 0 && --engine.adjusts == 0) {
        return client_fail(HF_INTERNAL, "the log is closed");
    }
    pthread_mutex_lock(&engine.lock);
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_adjustment *asked = &adjustments[i];
        struct hf_stock *stock = asked->item ? &engine.stock[asked->item - 1] : find(asked->sku);
        results[i] = (struct hf_adjust_result){0};
        adjust_one(asked, stock, &results[i]);
        results[i].stock = *stock;
    }
    pthread_mutex_unlock(&engine.lock);
    return HF_OK;
}

/* Does it to the table and puts the table back, but for what would be made in requests before. */
enum hf_status hf_check(struct hf_client *client, const struct hf_dry_run *asked,
                        struct hf_defined *defined, struct hf_adjust_result *results)
{
    uint32_t count = engine.count;
    uint32_t items_max = engine.items_max;
    uint32_t *handles = calloc(asked->item_count + 1, sizeof *handles);
    void *stock = malloc(sizeof engine.stock);
    void *set_by = malloc(sizeof engine.set_by);
    assert_true(handles && stock && set_by);
    memcpy(stock, engine.stock, sizeof engine.stock);
    memcpy(set_by, engine.set_by, sizeof engine.set_by);
    engine.items_max -= asked->items_before;
    enum hf_status status =
        hf_define_counted(client, NULL, 0, asked->items, asked->item_count, handles, defined);
    if (status == HF_OK) {
        hf_adjust(client, asked->adjustments, asked->adjustment_count, results);
    }
    memcpy(engine.stock, stock, sizeof engine.stock);
    memcpy(engine.set_by, set_by, sizeof engine.set_by);
    engine.count = count;
    engine.items_max = items_max;
    free(set_by);
    free(stock);
    free(handles);
    engine.asked++;
    return status;
}

/* ---- Imports ---- */

/* What an import of a file comes to. */
struct setup {
    struct import import;
    struct import_summary summary;
    struct progress progress;
};

/* Reads text as a file. */
static void read_text(struct setup *setup, const char *text)
{
    char name[256];
    const char *directory = getenv("TMPDIR");
    memset(setup, 0, sizeof *setup);
    snprintf(name, sizeof name, "%s/holdfast-import-XXXXXX", directory ? directory : "/tmp");
    int descriptor = mkstemp(name);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
    close(descriptor);
    assert_true(import_read(&setup->import, name, NULL));
    unlink(name);
    snprintf(setup->summary.reference, sizeof setup->summary.reference, "r1");
    progress_start(&setup->progress);
}

/* Writes "sku,..." with `rows` rows, the i-th SKU S00000i with stock i, and reads it. */
static void read_rows(struct setup *setup, uint32_t rows)
{
    char name[256];
    const char *directory = getenv("TMPDIR");
    memset(setup, 0, sizeof *setup);
    snprintf(name, sizeof name, "%s/holdfast-import-XXXXXX", directory ? directory : "/tmp");
    int descriptor = mkstemp(name);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    fprintf(file, "sku,stock,safety,limit_per_buyer\n");
    for (uint32_t i = 0; i < rows; i++) {
        fprintf(file, "S%06u,%u,,3\n", i, i);
    }
    fclose(file);
    assert_true(import_read(&setup->import, name, NULL));
    unlink(name);
    snprintf(setup->summary.reference, sizeof setup->summary.reference, "r1");
    progress_start(&setup->progress);
}

static enum hf_status check(struct setup *setup)
{
    return import_check(NULL, &setup->import, &setup->progress, &setup->summary);
}

static enum hf_status apply(struct setup *setup)
{
    return import_apply(NULL, &setup->import, &setup->progress, &setup->summary);
}

static void done(struct setup *setup)
{
    progress_end(&setup->progress);
    import_deinit(&setup->import);
}

#define ROWS 10000u /* more than two batches, and not a whole number of them */

static void import_defines_and_sets_all_in_order_and_once(void **state)
{
    (void)state;
    struct setup setup;
    engine_reset();
    read_rows(&setup, ROWS);
    assert_int_equal(apply(&setup), HF_OK);
    assert_int_equal(setup.summary.items, ROWS);
    assert_int_equal(setup.summary.stock_set, ROWS);
    assert_int_equal(engine.count, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        assert_int_equal(engine.stock[i].item, i + 1); /* handles follow the SKUs' order */
        assert_int_equal(engine.stock[i].stocked, i);
        assert_int_equal(engine.rules[i].limit_per_buyer, 3);
    }
    done(&setup);
    /* Again, after a sale and a change that the file says nothing about. */
    engine.stock[5].sold = 5;
    engine.stock[5].safety = 2;
    read_rows(&setup, ROWS);
    assert_int_equal(apply(&setup), HF_OK);
    assert_int_equal(setup.summary.stock_set, 0);
    assert_int_equal(setup.summary.replayed, ROWS);
    assert_int_equal(engine.stock[5].safety, 2);
    done(&setup);
}

/* It was checked; what is refused all the same has changed since. */
static void import_tells_the_row_that_is_refused(void **state)
{
    (void)state;
    struct setup setup;
    engine_reset();
    make("S000000", 50)->sold = 4;
    read_rows(&setup, 10);
    assert_int_equal(apply(&setup), HF_OK);
    assert_int_equal(setup.summary.refused, 1);
    assert_int_equal(setup.summary.stock_set, 9);
    assert_int_equal(setup.summary.status, HF_WOULD_OVERSELL);
    assert_non_null(strstr(setup.summary.message, "row 2 (S000000@default), column stock: 0: "));
    assert_non_null(strstr(setup.summary.message, "(held 0, sold 4)"));
    assert_int_equal(engine.stock[0].stocked, 50);
    done(&setup);
}

static void import_tells_the_row_at_which_it_breaks_off(void **state)
{
    (void)state;
    struct setup setup;
    engine_reset();
    engine.refuses = "S005000";
    read_rows(&setup, ROWS);
    assert_int_equal(apply(&setup), HF_INVALID);
    assert_string_equal(setup.summary.message,
                        "row 5002 (S005000@default), column safety: not liked");
    assert_int_equal(setup.summary.items, 4096); /* the batch before is done */
    done(&setup);

    engine_reset();
    engine.items_max = 9999;
    read_rows(&setup, ROWS);
    assert_int_equal(apply(&setup), HF_FULL);
    assert_string_equal(setup.summary.message, "row 10001 (S009999@default): items-max is reached");
    done(&setup);
}

/* What had been set before is told; and that it broke off, where. */
static void import_says_where_setting_stock_broke_off(void **state)
{
    (void)state;
    struct setup setup;
    engine_reset();
    engine.adjusts = 2;
    read_rows(&setup, ROWS);
    assert_int_equal(apply(&setup), HF_INTERNAL);
    assert_int_equal(setup.summary.status, HF_INTERNAL);
    assert_non_null(strstr(setup.summary.message, "row 4098 (S004096@default)"));
    assert_int_equal(setup.summary.stock_set, BATCH_ROWS);
    assert_int_equal(engine.stock[BATCH_ROWS - 1].stocked, BATCH_ROWS - 1);
    assert_int_equal(engine.stock[BATCH_ROWS].stocked, 0);
    done(&setup);
}

/* Each row's setting of stock has an id that a repetition has again, and nothing else has. */
static void import_gives_each_row_an_id_of_its_own(void **state)
{
    (void)state;
    static const struct {
        const char *reference;
        struct import_row row;
    } cases[] = {
        {"r1", {.sku = "A", .pool = "x"}},  {"r2", {.sku = "A", .pool = "x"}},
        {"r1", {.sku = "B", .pool = "x"}},  {"r1", {.sku = "A", .pool = "y"}},
        {"r1", {.sku = "Ax", .pool = "x"}}, {"r1", {.sku = "A", .pool = "xx"}},
        {"r1A", {.sku = "A", .pool = "x"}}, {"r", {.sku = "1A", .pool = "x"}},
    };
    struct hf_id ids[sizeof cases / sizeof cases[0]];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ids[i] = import_adjustment_id(cases[i].reference, &cases[i].row);
        struct import_row again = cases[i].row;
        again.number = 7;
        again.stock = 9;
        struct hf_id id = import_adjustment_id(cases[i].reference, &again);
        assert_memory_equal(&id, &ids[i], sizeof id);
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(&ids[k], &ids[i], sizeof id);
        }
    }
}

/* All rows of a SKU are in one request, where its rules are checked as they would be together. */
static void import_keeps_rows_of_a_sku_together(void **state)
{
    (void)state;
    static char text[MIB(1)];
    struct setup setup;
    size_t used = (size_t)snprintf(text, sizeof text, "sku,pool\n");
    for (uint32_t i = 0; i < BATCH_ROWS - 2; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "S%06u,x\n", i);
    }
    for (uint32_t i = 0; i < 20; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "T,p%02u\n", i);
    }
    snprintf(text + used, sizeof text - used, "U,x\n");
    read_text(&setup, text);
    assert_int_equal(import_batch_end(&setup.import, 0), BATCH_ROWS - 2 + 20);
    assert_int_equal(import_batch_end(&setup.import, BATCH_ROWS - 2 + 20), BATCH_ROWS - 2 + 21);
    done(&setup);
}

/* A SKU's rules are asked for with its first row, but another may have named them. */
static void import_blames_the_row_that_names_a_rule(void **state)
{
    (void)state;
    struct setup setup;
    struct import_batch batch;
    uint32_t row = 0;
    const char *column = NULL;
    const char *reason = NULL;
    read_text(&setup, "sku,pool,hold_ms,label,stock\n"
                      "A,x,,,1\nB,x,,,1\nB,y,,two,1\nB,z,60s,,\n");
    import_batch_init(&batch, &setup.import, "r1");
    import_batch_define(&batch, 0, NULL);
    import_batch_adjust(&batch, 0, NULL, NULL);
    assert_int_equal(batch.sku_count, 1);
    assert_int_equal(batch.item_count, 4);
    assert_int_equal(batch.adjustment_count, 3);
    static const struct {
        const char *message;
        uint32_t row;
        const char *column;
    } cases[] = {
        {"define.skus[0].hold_ms: too long", 3, "hold_ms"},
        {"define.skus[0].label: too long", 2, "label"},
        {"define.skus[0].sku: too long", 1, "sku"},
        {"define.items[2].safety: too long", 2, "safety"},
        {"adjust.adjustments[2].set_to: too long", 2, "stock"},
        {"adjust.after.items[3]: too long", 3, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(import_batch_blame(&batch, cases[i].message, &row, &column, &reason));
        assert_int_equal(row, cases[i].row);
        assert_string_equal(reason, "too long");
        assert_int_equal(column != NULL, cases[i].column != NULL);
        assert_true(!column || strcmp(column, cases[i].column) == 0);
    }
    assert_false(import_batch_blame(&batch, "define.skus[1].label: x", &row, &column, &reason));
    assert_false(import_batch_blame(&batch, "out of memory", &row, &column, &reason));
    import_batch_deinit(&batch);
    done(&setup);
}

static void same_counts(const struct import_summary *a, const struct import_summary *b)
{
    assert_int_equal(a->items, b->items);
    assert_int_equal(a->new_skus, b->new_skus);
    assert_int_equal(a->new_items, b->new_items);
    assert_int_equal(a->changed_rules, b->changed_rules);
    assert_int_equal(a->changed_items, b->changed_items);
    assert_int_equal(a->stock_set, b->stock_set);
    assert_int_equal(a->replayed, b->replayed);
    assert_int_equal(a->changed_stock, b->changed_stock);
    assert_int_equal(a->units_added, b->units_added);
    assert_int_equal(a->units_removed, b->units_removed);
    assert_int_equal(a->refused, b->refused);
}

static void import_check_tells_what_the_import_then_comes_to(void **state)
{
    (void)state;
    struct setup setup;
    engine_reset();
    make("S000000", 50);          /* will be 0 */
    make("S000001", 1);           /* as the file has it */
    make("S000002", 1)->sold = 1; /* will be 2 */
    read_rows(&setup, ROWS);
    struct hf_stock before[3];
    memcpy(before, engine.stock, sizeof before);
    assert_int_equal(check(&setup), HF_OK);
    assert_int_equal(engine.count, 3);
    assert_int_equal(engine.asked, 3); /* batches */
    assert_memory_equal(engine.stock, before, sizeof before);
    struct import_summary checked = setup.summary;
    assert_int_equal(checked.new_items, ROWS - 3);
    assert_int_equal(checked.new_skus, ROWS - 3);
    assert_int_equal(checked.stock_set, ROWS);
    assert_int_equal(checked.changed_stock, ROWS - 1);
    assert_int_equal(checked.units_removed, 50);
    assert_int_equal(checked.units_added, (int64_t)ROWS * (ROWS - 1) / 2 - 1 - 1);
    import_forget_counts(&setup.summary);
    assert_int_equal(apply(&setup), HF_OK);
    same_counts(&setup.summary, &checked);
    done(&setup);
    /* The same once more. */
    read_rows(&setup, ROWS);
    engine.stock[7].stocked = 100; /* goods came in since */
    assert_int_equal(check(&setup), HF_OK);
    checked = setup.summary;
    assert_int_equal(checked.replayed, ROWS);
    assert_int_equal(checked.changed_stock + checked.stock_set + checked.new_items, 0);
    import_forget_counts(&setup.summary);
    assert_int_equal(apply(&setup), HF_OK);
    same_counts(&setup.summary, &checked);
    assert_int_equal(engine.stock[7].stocked, 100);
    done(&setup);
}

static void import_check_tells_every_row_that_is_refused(void **state)
{
    (void)state;
    struct setup setup;
    engine_reset();
    make("S000000", 9)->held = 6; /* 0 would be too few */
    engine.refuses = "S009998";
    read_rows(&setup, ROWS);
    assert_int_equal(check(&setup), HF_OK);
    assert_int_equal(setup.summary.refused, 2);
    assert_int_equal(setup.summary.status, HF_WOULD_OVERSELL);
    assert_string_equal(setup.summary.refused_texts[1],
                        "row 10000 (S009998@default), column safety: not liked");
    assert_int_equal(setup.summary.new_items, 0); /* nothing would be done */
    assert_int_equal(setup.summary.stock_set, 0);
    assert_int_equal(engine.count, 1);
    done(&setup);
    /* Room is counted over all requests. */
    engine_reset();
    make("S000000", 9);
    engine.items_max = ROWS - 1;
    read_rows(&setup, ROWS);
    assert_int_equal(check(&setup), HF_OK);
    assert_int_equal(setup.summary.refused, 1);
    assert_string_equal(setup.summary.message, "row 10001 (S009999@default): items-max is reached");
    done(&setup);
    engine.items_max = ROWS;
    read_rows(&setup, ROWS);
    assert_int_equal(check(&setup), HF_OK);
    assert_int_equal(setup.summary.refused, 0);
    done(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_defines_and_sets_all_in_order_and_once),
        cmocka_unit_test(import_tells_the_row_that_is_refused),
        cmocka_unit_test(import_tells_the_row_at_which_it_breaks_off),
        cmocka_unit_test(import_says_where_setting_stock_broke_off),
        cmocka_unit_test(import_gives_each_row_an_id_of_its_own),
        cmocka_unit_test(import_keeps_rows_of_a_sku_together),
        cmocka_unit_test(import_blames_the_row_that_names_a_rule),
        cmocka_unit_test(import_check_tells_what_the_import_then_comes_to),
        cmocka_unit_test(import_check_tells_every_row_that_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
