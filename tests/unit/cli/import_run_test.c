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

#include "cli/commands.h"
#include "cli/import_run.h"
#include "client/client_internal.h"

/* ---- The engine ---- */

#define ITEMS_ROOM 20000u

static struct {
    struct hf_stock stock[ITEMS_ROOM];
    struct hf_sku_rules rules[ITEMS_ROOM];
    struct hf_id set_by[ITEMS_ROOM]; /* the adjustment that set it last */
    uint32_t count;
    uint32_t items_max;
    const char *refuses; /* a SKU that can't be defined */
    unsigned listed;     /* calls of each kind */
    unsigned asked;
    pthread_mutex_t lock; /* two threads import */
} engine = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void engine_reset(void)
{
    engine.count = 0;
    engine.items_max = ITEMS_ROOM;
    engine.refuses = NULL;
    engine.listed = 0;
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

static enum hf_status define_one(const struct hf_item *item, uint32_t at, uint32_t *handle)
{
    if (engine.refuses && strcmp(engine.refuses, item->sku) == 0) {
        return client_fail(HF_INVALID, "define.items[%u].sku: not liked", at);
    }
    struct hf_stock *stock = find(item->sku);
    if (!stock && engine.count == engine.items_max) {
        return client_fail(HF_FULL, "define: no room for more items");
    }
    stock = stock ? stock : make(item->sku, 0);
    stock->safety = item->fields & HF_ITEM_SAFETY ? item->safety : stock->safety;
    stock->presale_cap = item->fields & HF_ITEM_PRESALE_CAP ? item->presale_cap : stock->presale_cap;
    *handle = stock->item;
    return HF_OK;
}

enum hf_status hf_define(struct hf_client *client, const struct hf_sku *skus, uint32_t sku_count,
                         const struct hf_item *items, uint32_t item_count, uint32_t *items_out)
{
    (void)client;
    enum hf_status status = HF_OK;
    pthread_mutex_lock(&engine.lock);
    for (uint32_t i = 0; i < item_count && status == HF_OK; i++) {
        status = define_one(&items[i], i, &items_out[i]);
    }
    for (uint32_t i = 0; i < sku_count && status == HF_OK; i++) {
        assert_int_equal(skus[i].fields, HF_SKU_LIMIT_PER_BUYER);
        engine.rules[find(skus[i].sku)->item - 1].limit_per_buyer = skus[i].limit_per_buyer;
    }
    pthread_mutex_unlock(&engine.lock);
    return status;
}

static enum hf_status adjust_one(const struct hf_adjustment *asked, struct hf_stock *stock,
                                 bool *replayed)
{
    struct hf_id *set_by = &engine.set_by[stock->item - 1];
    if (memcmp(set_by, &asked->id, sizeof *set_by) == 0) {
        *replayed = !asked->has_expected;
        return asked->has_expected ? HF_ID_CONFLICT : HF_OK;
    }
    if (asked->has_expected && asked->expected != stock->stocked) {
        return HF_CONFLICT;
    }
    if (asked->value < stock->held + stock->sold) {
        return HF_WOULD_OVERSELL;
    }
    *set_by = asked->id;
    stock->stocked = asked->value;
    return HF_OK;
}

enum hf_status hf_adjust(struct hf_client *client, const struct hf_adjustment *adjustments,
                         uint32_t count, struct hf_adjust_result *results)
{
    (void)client;
    pthread_mutex_lock(&engine.lock);
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_adjustment *asked = &adjustments[i];
        struct hf_stock *stock = asked->item ? &engine.stock[asked->item - 1] : find(asked->sku);
        results[i] = (struct hf_adjust_result){0};
        results[i].status = adjust_one(asked, stock, &results[i].replayed);
        results[i].stock = *stock;
    }
    pthread_mutex_unlock(&engine.lock);
    return HF_OK;
}

enum hf_status hf_get_stock(struct hf_client *client, const char *sku, struct hf_stock *stock,
                            uint32_t max, uint32_t *count)
{
    (void)client;
    (void)max;
    engine.asked++;
    const struct hf_stock *found = find(sku);
    *count = found != NULL;
    if (found) {
        *stock = *found;
    }
    return found ? HF_OK : HF_UNKNOWN_ITEM;
}

enum hf_status hf_list_stock(struct hf_client *client, const char *after_sku, uint32_t limit,
                             struct hf_stock **stock, uint32_t *count)
{
    (void)client;
    engine.listed++;
    uint32_t from = 0;
    while (from < engine.count && strcmp(engine.stock[from].sku, after_sku) <= 0) {
        from++;
    }
    *count = engine.count - from < limit ? engine.count - from : limit;
    *stock = malloc((*count + 1) * sizeof **stock);
    assert_non_null(*stock);
    memcpy(*stock, engine.stock + from, *count * sizeof **stock);
    return HF_OK;
}

enum hf_status hf_get_skus(struct hf_client *client, const char *const *skus, uint32_t count,
                           struct hf_sku_rules *rules)
{
    (void)client;
    for (uint32_t i = 0; i < count; i++) {
        rules[i] = engine.rules[find(skus[i])->item - 1];
    }
    return HF_OK;
}

enum hf_status hf_get_status(struct hf_client *client, struct hf_engine_status *status)
{
    (void)client;
    *status = (struct hf_engine_status){.items = engine.count};
    return HF_OK;
}

enum hf_status hf_resolve(struct hf_client *client, const char *sku, const char *pool,
                          uint32_t *item)
{
    (void)client;
    (void)pool;
    *item = find(sku) ? find(sku)->item : 0;
    return *item ? HF_OK : HF_UNKNOWN_ITEM;
}

/* main.c has it; nothing here is found by a word. */
int run_subcommand(const char *command, const char *summary, const struct subcommand *subcommands,
                   unsigned count, int argc, char **argv)
{
    (void)summary;
    (void)subcommands;
    (void)count;
    (void)argc;
    (void)argv;
    fail_msg("%s", command);
    return EXIT_USAGE;
}

/* ---- Imports ---- */

/* What an import of a file comes to. */
struct setup {
    struct import import;
    struct import_known *known;
    struct import_summary summary;
    struct progress progress;
};

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
    assert_true(import_read(&setup->import, name));
    unlink(name);
    setup->known = calloc(rows, sizeof *setup->known);
    assert_non_null(setup->known);
    snprintf(setup->summary.reference, sizeof setup->summary.reference, "r1");
    progress_start(&setup->progress);
}

static enum hf_status ask(struct setup *setup)
{
    return import_ask(NULL, &setup->import, engine.count, setup->known, &setup->progress);
}

static enum hf_status apply(struct setup *setup)
{
    assert_int_equal(ask(setup), HF_OK);
    return import_apply(NULL, &setup->import, &setup->progress, &setup->summary);
}

static void done(struct setup *setup)
{
    progress_end(&setup->progress);
    import_deinit(&setup->import);
    free(setup->known);
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
    assert_non_null(strstr(setup.summary.message, "row 2 (S000000@default): stock 0: "));
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
    assert_string_equal(setup.summary.message, "row 5002 (S005000@default): sku: not liked");
    assert_int_equal(setup.summary.items, 4096); /* the batch before is done */
    done(&setup);

    engine_reset();
    engine.items_max = 9999;
    read_rows(&setup, ROWS);
    assert_int_equal(apply(&setup), HF_FULL);
    assert_non_null(strstr(setup.summary.message, "begins with row 8194 (S008192@default): "));
    done(&setup);
}

static void import_check_tells_what_would_change_and_changes_nothing(void **state)
{
    (void)state;
    struct setup setup;
    engine_reset();
    make("S000001", 1);           /* as the file has it, but for the limit */
    make("S000003", 50);          /* will be 3 */
    make("S000004", 1)->sold = 1; /* will be 4 */
    make("S000005", 9)->held = 6; /* 5 would be too few */
    engine.rules[1].limit_per_buyer = 3;
    read_rows(&setup, 8);
    struct hf_stock before[4];
    memcpy(before, engine.stock, sizeof before);
    assert_int_equal(ask(&setup), HF_OK);
    assert_int_equal(import_check(NULL, &setup.import, setup.known, &setup.summary), HF_OK);
    assert_int_equal(engine.count, 4);
    assert_memory_equal(engine.stock, before, sizeof before);
    const struct import_summary *summary = &setup.summary;
    assert_int_equal(summary->new_skus, 4); /* 0, 2, 6, 7 */
    assert_int_equal(summary->new_items, 4);
    assert_int_equal(summary->changed_items, 0);
    assert_int_equal(summary->changed_rules, 3);
    assert_int_equal(summary->changed_stock, 5); /* 2, 3, 4, 6, 7: 0 has none to set */
    assert_int_equal(summary->units_added, 2 + 3 + 6 + 7);
    assert_int_equal(summary->units_removed, 47);
    assert_int_equal(summary->refused, 1);
    assert_non_null(strstr(summary->refused_texts[0], "row 7 (S000005@default): stock 5"));
    done(&setup);
}

static void import_check_knows_what_the_same_import_has_set(void **state)
{
    (void)state;
    struct setup setup;
    engine_reset();
    read_rows(&setup, 8);
    assert_int_equal(apply(&setup), HF_OK);
    done(&setup);
    engine.stock[7].stocked = 100; /* goods came in since */
    read_rows(&setup, 8);
    assert_int_equal(ask(&setup), HF_OK);
    assert_int_equal(import_check(NULL, &setup.import, setup.known, &setup.summary), HF_OK);
    assert_int_equal(setup.summary.changed_stock, 0);
    assert_int_equal(setup.summary.replayed, 1);
    done(&setup);
}

static void import_asks_for_the_lesser_of_rows_and_items(void **state)
{
    (void)state;
    struct setup setup;
    char sku[16];
    engine_reset();
    for (unsigned i = 0; i < 12000; i++) {
        snprintf(sku, sizeof sku, "S%06u", i);
        make(sku, i)->safety = i;
    }
    read_rows(&setup, 11000); /* two pages of the engine's */
    assert_int_equal(ask(&setup), HF_OK);
    assert_int_equal(engine.asked, 0);
    assert_int_equal(engine.listed, 2);
    for (uint32_t i = 0; i < 11000; i++) {
        assert_true(setup.known[i].item);
        assert_int_equal(setup.known[i].safety, i);
    }
    done(&setup);
    read_rows(&setup, 3);
    assert_int_equal(ask(&setup), HF_OK);
    assert_int_equal(engine.asked, 3);
    assert_int_equal(engine.listed, 2);
    assert_int_equal(setup.known[2].stocked, 2);
    done(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_defines_and_sets_all_in_order_and_once),
        cmocka_unit_test(import_tells_the_row_that_is_refused),
        cmocka_unit_test(import_tells_the_row_at_which_it_breaks_off),
        cmocka_unit_test(import_check_tells_what_would_change_and_changes_nothing),
        cmocka_unit_test(import_check_knows_what_the_same_import_has_set),
        cmocka_unit_test(import_asks_for_the_lesser_of_rows_and_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
