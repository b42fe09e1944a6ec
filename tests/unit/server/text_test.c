/* text_test.c - texts of requests: how they are kept, that every spelling of a name means the same
 * SKU, and what an older log's codes are good for. What is right follows from base/text.h and
 * docs/decisions/0018-text.md.
 *
 * Threads: one. */
#include <stdio.h>

#include "engine_rig.h"
#include "server/engine_internal.h"
#include "server/worker.h"

#define NFC  "caf\xC3\xA9"
#define NFD  "cafe\xCC\x81"
#define ZWSP "\xE2\x80\x8B"
#define WIDE "\xE3\x80\x80"

/* ---- Asking ---- */

static enum hf_status status_of(struct rig *rig, const struct request *request, char *message)
{
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, request);
    enum hf_status status = response->status;
    if (response->type == RESPONSE_ADJUST && response->adjust.count > 0) {
        status = response->adjust.results[0].status;
    } else if (response->type == RESPONSE_ORDERS && response->orders.count > 0) {
        status = response->orders.results[0].status;
    }
    if (message) {
        snprintf(message, 512, "%.*s", (int)response->message.len,
                 (const char *)response->message.data);
    }
    ask_free(&ask);
    return status;
}

/* The item's handle; 0: refused. */
static uint32_t define(struct rig *rig, const char *sku, const char *pool)
{
    struct ask ask;
    const struct item_message item = {.sku = bytes_of(sku), .pool = bytes_of(pool)};
    struct request request = {.type = REQUEST_DEFINE, .define.item_count = 1};
    request.define.items = &item;
    const struct response *response = ask_wait(rig, &ask, &request);
    uint32_t handle = response->status == HF_OK ? response->define.items[0] : 0;
    ask_free(&ask);
    return handle;
}

static enum hf_status adjust(struct rig *rig, const char *sku, const char *pool, const char *reason,
                             const char *reference, char *message)
{
    static uint64_t count;
    uint8_t id[ID_BYTES];
    id_to_bytes((struct id128){7, ++count}, id);
    const struct adjustment_message adjustment = {.id = {id, ID_BYTES},
                                                  .sku = bytes_of(sku),
                                                  .pool = bytes_of(pool),
                                                  .has_delta = true,
                                                  .delta = 5,
                                                  .reason = bytes_of(reason),
                                                  .reference = bytes_of(reference)};
    struct request request = {.type = REQUEST_ADJUST, .adjust.count = 1};
    request.adjust.adjustments = &adjustment;
    return status_of(rig, &request, message);
}

static enum hf_status reserve(struct rig *rig, const char *sku, const char *pool)
{
    static uint64_t count;
    uint8_t id[ID_BYTES];
    id_to_bytes((struct id128){9, ++count}, id);
    const struct line_message line = {.sku = bytes_of(sku), .pool = bytes_of(pool), .qty = 1};
    const struct order_message order = {.id = {id, ID_BYTES}, .line_count = 1, .lines = &line};
    struct request request = {.type = REQUEST_RESERVE, .reserve.count = 1};
    request.reserve.orders = &order;
    return status_of(rig, &request, NULL);
}

/* The first item's handle that get_stock finds; 0: none. */
static uint32_t stock_item(struct rig *rig, const char *sku)
{
    struct ask ask;
    const struct bytes code = bytes_of(sku);
    struct request request = {.type = REQUEST_GET_STOCK, .get_stock.sku_count = 1};
    request.get_stock.skus = &code;
    const struct response *response = ask_wait(rig, &ask, &request);
    uint32_t item = response->status == HF_OK ? response->stock.items[0].item : 0;
    ask_free(&ask);
    return item;
}

static enum hf_status read_sku(struct rig *rig, const char *sku)
{
    const struct bytes code = bytes_of(sku);
    struct request request = {.type = REQUEST_GET_SKUS, .get_skus.count = 1};
    request.get_skus.skus = &code;
    return status_of(rig, &request, NULL);
}

static enum hf_status list_orders(struct rig *rig, const char *sku, const char *pool)
{
    struct request request = {.type = REQUEST_LIST_ORDERS,
                              .list_orders = {.sku = bytes_of(sku), .pool = bytes_of(pool)}};
    return status_of(rig, &request, NULL);
}

/* ---- Tests ---- */

static void every_spelling_means_the_same_sku(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    uint32_t item = define(&rig, " " NFD WIDE, "east\t");
    assert_int_equal(item, 1);
    static const char *const spellings[] = {NFC, NFD, " " NFC, NFD "\xC2\xA0", WIDE NFD "\r\n"};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        const char *sku = spellings[i];
        assert_int_equal(define(&rig, sku, "east"), item);
        assert_int_equal(adjust(&rig, sku, " east", "", "", NULL), HF_OK);
        assert_int_equal(reserve(&rig, sku, "east "), HF_OK);
        assert_int_equal(stock_item(&rig, sku), item);
        assert_int_equal(read_sku(&rig, sku), HF_OK);
        assert_int_equal(list_orders(&rig, sku, "east" WIDE), HF_OK);
    }
    rig_crash(&rig);
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig.engine), item, &view), HF_OK);
    assert_int_equal(view.sku.len, strlen(NFC));
    assert_memory_equal(view.sku.data, NFC, view.sku.len);
    assert_int_equal(view.pool.len, 4);
    assert_int_equal(view.stock.stocked, 25);
    rig_close(&rig);
}

static void labels_are_kept_as_text_is(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    const struct sku_message sku = {.sku = bytes_of(NFC), .label = bytes_of("  " NFD " \n")};
    struct request request = {.type = REQUEST_DEFINE, .define.sku_count = 1};
    request.define.skus = &sku;
    assert_int_equal(status_of(&rig, &request, NULL), HF_OK);
    struct sku_rule rule;
    assert_int_equal(inventory_sku(engine_inventory(rig.engine), bytes_of(NFC), &rule), HF_OK);
    assert_int_equal(rule.label.len, strlen(NFC));
    assert_memory_equal(rule.label.data, NFC, rule.label.len);
    rig_close(&rig);
}

static void texts_that_are_refused_are_named(void **state)
{
    (void)state;
    struct rig rig;
    char message[512];
    rig_open(&rig, MIB(4));
    assert_int_equal(define(&rig, "A", "default"), 1);
    assert_int_equal(define(&rig, "A" ZWSP, "default"), 0);
    assert_int_equal(define(&rig, "A", "p\nq"), 0);
    assert_int_equal(define(&rig, "A\nORDER_COMMITTED\n\n{}", ""), 0);
    assert_int_equal(adjust(&rig, "A", "", "goods\nin", "", message), HF_INVALID);
    assert_string_equal(message, "adjust.adjustments[0].reason: U+000A LINE FEED at byte 5 is not "
                                 "allowed");
    assert_int_equal(adjust(&rig, "A", "", "", "\x1b[2J", message), HF_INVALID);
    assert_string_equal(message, "adjust.adjustments[0].reference: U+001B ESCAPE at byte 0 is not "
                                 "allowed");
    assert_int_equal(adjust(&rig, "A\xC2\xAD", "", "", "", message), HF_INVALID);
    assert_string_equal(message, "adjust.adjustments[0].sku: U+00AD SOFT HYPHEN at byte 1 is not "
                                 "allowed");
    assert_int_equal(reserve(&rig, "A" ZWSP, ""), HF_INVALID);
    assert_int_equal(reserve(&rig, "A", "default" ZWSP), HF_INVALID);
    assert_int_equal(read_sku(&rig, "A" ZWSP), HF_INVALID);
    assert_int_equal(stock_item(&rig, "A" ZWSP), 0);
    assert_int_equal(list_orders(&rig, "A" ZWSP, ""), HF_INVALID);
    assert_int_equal(list_orders(&rig, "A", ZWSP), HF_INVALID);
    assert_int_equal(engine_inventory(rig.engine) != NULL, 1);
    rig_close(&rig);
}

/* As an engine has logged it that took any text. */
static void define_old(struct rig *rig, const char *sku, const char *pool)
{
    struct worker *worker = worker_acquire(&rig->engine->workers);
    uint32_t item;
    const struct item_def def = {.sku = bytes_of(sku), .pool = bytes_of(pool)};
    assert_non_null(worker);
    inventory_admin_lock(rig->engine->inventory);
    assert_int_equal(inventory_define_item(&worker->txn, &def, &item), HF_OK);
    assert_true(worker_flush(worker));
    inventory_admin_unlock(rig->engine->inventory);
    worker_release(worker, true);
    rig_settle(rig);
}

static void an_older_logs_codes_can_still_be_used(void **state)
{
    (void)state;
    static const char *const old[][2] = {{" A", "default"}, {"A" ZWSP, "east\n"}, {NFD, "x  y"}};
    struct rig rig;
    char message[512];
    rig_open(&rig, MIB(4));
    define_old(&rig, "A", "default");
    define_old(&rig, NFC, "default");
    for (size_t i = 0; i < 3; i++) {
        define_old(&rig, old[i][0], old[i][1]);
    }
    rig_crash(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        /* Byte by byte it means the old one, though there is another of the normalized name. */
        const char *sku = old[i][0];
        const char *pool = old[i][1];
        assert_int_equal(define(&rig, sku, pool), 3 + i);
        assert_int_equal(stock_item(&rig, sku), 3 + i);
        assert_int_equal(adjust(&rig, sku, pool, "", "", message), HF_OK);
        assert_int_equal(reserve(&rig, sku, pool), HF_OK);
        assert_int_equal(read_sku(&rig, sku), HF_OK);
        assert_int_equal(list_orders(&rig, sku, pool), HF_OK);
        /* But no more of them can be made. */
        assert_int_equal(define(&rig, sku, "p" ZWSP), 0);
    }
    assert_int_equal(stock_item(&rig, "A "), 1);
    assert_int_equal(stock_item(&rig, " " NFD), 2);
    assert_int_equal(read_sku(&rig, "B" ZWSP), HF_INVALID);
    rig_crash(&rig);
    rig_close(&rig);
}

/* A list continues after each of its SKUs, whatever they are called: it ends, with all of them. */
static void a_list_walks_past_an_older_logs_codes(void **state)
{
    (void)state;
    static const char *const old[] = {" A", "A", ("A" ZWSP), "A\n", NFC, NFD, WIDE};
    struct rig rig;
    rig_open(&rig, MIB(4));
    for (size_t i = 0; i < 7; i++) {
        define_old(&rig, old[i], "default");
    }
    char after[CODE_BYTES_MAX + 1] = "";
    unsigned seen = 0;
    for (unsigned page = 0; page < 20; page++) {
        struct ask ask;
        struct request request = {.type = REQUEST_LIST_STOCK,
                                  .list_stock = {.after_sku = bytes_of(after), .limit = 1}};
        const struct response *response = ask_wait(&rig, &ask, &request);
        assert_int_equal(response->status, HF_OK);
        uint32_t count = response->stock.count;
        if (count > 0) {
            snprintf(after, sizeof after, "%.*s", (int)response->stock.items[0].sku.len,
                     (const char *)response->stock.items[0].sku.data);
            seen |= 1u << response->stock.items[0].item;
        }
        ask_free(&ask);
        if (count == 0) {
            break;
        }
        assert_true(page < 7);
    }
    assert_int_equal(seen, 0xFE);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_means_the_same_sku),
        cmocka_unit_test(labels_are_kept_as_text_is),
        cmocka_unit_test(texts_that_are_refused_are_named),
        cmocka_unit_test(an_older_logs_codes_can_still_be_used),
        cmocka_unit_test(a_list_walks_past_an_older_logs_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
