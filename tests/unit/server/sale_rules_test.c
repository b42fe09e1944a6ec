/* sale_rules_test.c - what a sale can be made of, through the engine: policies, fallbacks, limits,
 * pre-sale, moves, opening times, and the lists that show what became of it. Expected values follow
 * from docs/sale-rules.md, by hand.
 *
 * Threads: one. Every engine here is restarted from its log in the end: what was decided is found
 * again. */
#include "base/diag.h"
#include "engine_rig.h"

/* Items, by handle: each SKU's rules are set by the test. */
enum {
    PHONE_EAST = 1, /* SKU "phone", pools "east" and "west" */
    PHONE_WEST,
    GIFT,
    SLOT,
    FUND,
    LATER, /* may be pre-sold: 5 units */
    ITEMS = LATER,
};

#define BUYER 77u

static void define_items(struct rig *rig)
{
    static const char *const names[ITEMS][2] = {{"phone", "east"},   {"phone", "west"},
                                                {"gift", "default"}, {"slot", "default"},
                                                {"fund", "default"}, {"later", "default"}};
    struct item_message items[ITEMS];
    for (unsigned i = 0; i < ITEMS; i++) {
        items[i] = (struct item_message){.sku = bytes_of(names[i][0]),
                                         .pool = bytes_of(names[i][1]),
                                         .presale_cap = i + 1 == LATER ? 5 : 0};
    }
    struct request define = {.type = REQUEST_DEFINE};
    define.define.item_count = ITEMS;
    define.define.items = items;
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, &define);
    assert_int_equal(response->status, HF_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_int_equal(response->define.items[i], i + 1);
    }
    ask_free(&ask);
}

static void open_rig(struct rig *rig)
{
    rig_open(rig, MIB(4));
    define_items(rig);
}

/* Checks, restarts, checks again. */
static void close_rig(struct rig *rig)
{
    rig_verify(rig);
    rig_crash(rig);
    rig_close(rig);
}

static void set_rule(struct rig *rig, const struct sku_message *rule)
{
    struct request define = {.type = REQUEST_DEFINE};
    define.define.sku_count = 1;
    define.define.skus = rule;
    struct ask ask;
    assert_int_equal(ask_wait(rig, &ask, &define)->status, HF_OK);
    ask_free(&ask);
}

static void set_limit(struct rig *rig, const char *sku, uint32_t limit)
{
    set_rule(rig, &(struct sku_message){.sku = bytes_of(sku), .limit_per_buyer = limit});
}

/* Asks for one adjustment; the answer's row is copied. */
static struct adjust_result_message adjust(struct rig *rig, uint8_t id,
                                           struct adjustment_message adjustment, char *message)
{
    uint8_t id_bytes[ID_BYTES] = {0xAD, id};
    adjustment.id = (struct bytes){id_bytes, ID_BYTES};
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = 1;
    request.adjust.adjustments = &adjustment;
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, &request);
    assert_int_equal(response->adjust.count, 1);
    struct adjust_result_message result = response->adjust.results[0];
    result.stock.sku = result.stock.pool = (struct bytes){0};
    result.to_stock.sku = result.to_stock.pool = (struct bytes){0};
    if (message) {
        assert_true(response->message.len < 200);
        if (response->message.len > 0) {
            memcpy(message, response->message.data, response->message.len);
        }
        message[response->message.len] = '\0';
    }
    ask_free(&ask);
    return result;
}

static void stock_up(struct rig *rig, uint8_t id, uint32_t item, int64_t units)
{
    struct adjust_result_message result =
        adjust(rig, id,
               (struct adjustment_message){.item = item, .has_delta = true, .delta = units}, NULL);
    assert_int_equal(result.status, HF_OK);
}

static int64_t available(struct rig *rig, uint32_t item)
{
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig->engine), item, &view), HF_OK);
    return view.stock.available;
}

/* ---- Orders ---- */

static const uint8_t *order_id(uint8_t id)
{
    static uint8_t bytes[ID_BYTES];
    memset(bytes, 0, sizeof bytes);
    bytes[15] = id;
    bytes[0] = id; /* so that they spread over the table */
    return bytes;
}

/* Reserves; the result's grants live until the ask is freed. */
static const struct result_message *reserve(struct rig *rig, struct ask *ask, uint8_t id,
                                            const struct line_message *lines, uint32_t count)
{
    struct order_message order = {
        .id = {order_id(id), ID_BYTES}, .buyer = BUYER, .line_count = count, .lines = lines};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    const struct response *response = ask_wait(rig, ask, &request);
    assert_int_equal(response->orders.count, 1);
    return &response->orders.results[0];
}

static enum hf_status reserve_status(struct rig *rig, uint8_t id, const struct line_message *lines,
                                     uint32_t count)
{
    struct ask ask;
    enum hf_status status = reserve(rig, &ask, id, lines, count)->status;
    ask_free(&ask);
    return status;
}

static enum hf_status edit(struct rig *rig, enum request_type type, uint8_t id, bool late_ok)
{
    struct edit_message edits = {.id = {order_id(id), ID_BYTES}, .late_ok = late_ok};
    struct request request = {.type = type};
    request.edit.count = 1;
    request.edit.edits = &edits;
    struct ask ask;
    enum hf_status status = ask_wait(rig, &ask, &request)->orders.results[0].status;
    ask_free(&ask);
    return status;
}

static void assert_grant(const struct grant_message *grant, uint32_t line, uint32_t item,
                         uint32_t qty, uint32_t presale_qty)
{
    assert_int_equal(grant->line, line);
    assert_int_equal(grant->item, item);
    assert_int_equal(grant->qty, qty);
    assert_int_equal(grant->presale_qty, presale_qty);
}

/* ---- Lines ---- */

static void lines_are_checked_field_by_field(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 5);
    static const uint32_t west[] = {PHONE_WEST};
    static const uint32_t unknown[] = {PHONE_WEST, ITEMS + 1};
    static const uint32_t twice[] = {PHONE_WEST, GIFT, PHONE_WEST};
    static const uint32_t itself[] = {PHONE_EAST};
    static uint32_t many[LINE_FALLBACKS_MAX + 1];
    const struct {
        struct line_message line;
        enum hf_status status;
        const char *message;
    } cases[] = {
        {{.policy = 3}, HF_INVALID, "lines[0].policy: 3"},
        {{.policy = UINT32_MAX}, HF_INVALID, "lines[0].policy"},
        {{.min_qty = 1}, HF_INVALID, "lines[0].min_qty: only with"},
        {{.policy = LINE_OPTIONAL, .min_qty = 1}, HF_INVALID, "lines[0].min_qty: only with"},
        {{.policy = LINE_UP_TO, .min_qty = 3}, HF_INVALID, "lines[0].min_qty: 3, more than qty, 2"},
        {{.fallback_count = 2, .fallback = unknown}, HF_UNKNOWN_ITEM, "lines[0].fallback[1]: "},
        {{.fallback_count = 3, .fallback = twice}, HF_INVALID, "lines[0].fallback[2]: "},
        {{.fallback_count = 1, .fallback = itself}, HF_INVALID, "lines[0].fallback[0]: "},
        {{.fallback_count = LINE_FALLBACKS_MAX + 1, .fallback = many},
         HF_INVALID,
         "lines[0].fallback: 65 items, must be 0..64"},
        {{.policy = LINE_UP_TO, .min_qty = 2}, HF_OK, ""},
        {{.fallback_count = 1, .fallback = west, .split = true}, HF_OK, ""},
        {{.split = true}, HF_OK, ""}, /* means nothing */
    };
    for (uint8_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct line_message line = cases[i].line;
        line.item = PHONE_EAST;
        line.qty = line.qty ? line.qty : 2;
        struct ask ask;
        const struct result_message *result = reserve(&rig, &ask, 1, &line, 1);
        assert_int_equal(result->status, cases[i].status);
        assert_true(message_has(&ask.call.response, cases[i].message));
        assert_int_equal(result->blocking_line, cases[i].status == HF_OK ? 0 : 1);
        ask_free(&ask);
        if (cases[i].status == HF_OK) {
            rig.ms++;
            assert_int_equal(edit(&rig, REQUEST_RELEASE, 1, false), HF_OK);
            rig_close(&rig);
            open_rig(&rig);
            stock_up(&rig, 1, PHONE_EAST, 5);
        }
    }
    close_rig(&rig);
}

/* An order has as many lines, and items that split lines fall back to, as may be, and one more. */
static void lines_and_fallbacks_are_bounded_together(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 5000);
    static const uint32_t fallbacks[] = {PHONE_WEST, GIFT};
    static struct line_message lines[ORDER_LINES_MAX];
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct line_message){.item = PHONE_EAST, .qty = 1};
    }
    /* Not split: an item takes the place of another. */
    lines[5].fallback_count = 2;
    lines[5].fallback = fallbacks;
    assert_int_equal(reserve_status(&rig, 1, lines, ORDER_LINES_MAX), HF_OK);
    lines[5].split = true;
    assert_int_equal(reserve_status(&rig, 2, lines, ORDER_LINES_MAX - 2), HF_OK);
    struct ask ask;
    const struct result_message *result = reserve(&rig, &ask, 3, lines, ORDER_LINES_MAX - 1);
    assert_int_equal(result->status, HF_INVALID);
    assert_int_equal(result->blocking_line, 6);
    assert_true(message_has(&ask.call.response, "lines[5].fallback: "));
    ask_free(&ask);
    close_rig(&rig);
}

/* What all lines fall back to is tried under a lock: as many items as may be, and one more. */
static void fallbacks_of_an_order_are_bounded(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 5000);
    static const uint32_t fallbacks[] = {PHONE_WEST, GIFT};
    static struct line_message lines[ORDER_FALLBACKS_MAX / 2 + 1];
    for (uint32_t i = 0; i <= ORDER_FALLBACKS_MAX / 2; i++) {
        lines[i] = (struct line_message){
            .item = PHONE_EAST, .qty = 1, .fallback_count = 2, .fallback = fallbacks};
    }
    assert_int_equal(reserve_status(&rig, 1, lines, ORDER_FALLBACKS_MAX / 2), HF_OK);
    lines[ORDER_FALLBACKS_MAX / 2].fallback_count = 1;
    struct ask ask;
    const struct result_message *result =
        reserve(&rig, &ask, 2, lines, ORDER_FALLBACKS_MAX / 2 + 1);
    assert_int_equal(result->status, HF_INVALID);
    assert_int_equal(result->blocking_line, ORDER_FALLBACKS_MAX / 2 + 1);
    assert_true(message_has(&ask.call.response, "lines[1024].fallback: "));
    ask_free(&ask);
    assert_int_equal(available(&rig, PHONE_EAST), 5000 - ORDER_FALLBACKS_MAX / 2);
    close_rig(&rig);
}

static void up_to_takes_what_there_is_and_no_less_than_its_minimum(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 5);
    struct line_message line = {.item = PHONE_EAST, .qty = 9, .policy = LINE_UP_TO, .min_qty = 6};
    struct ask ask;
    const struct result_message *result = reserve(&rig, &ask, 1, &line, 1);
    assert_int_equal(result->status, HF_SOLD_OUT);
    assert_int_equal(result->blocking_line, 1);
    assert_true(message_has(&ask.call.response, "reserve.orders[0].lines[0]: "));
    ask_free(&ask);
    assert_int_equal(available(&rig, PHONE_EAST), 5);
    line.min_qty = 5;
    result = reserve(&rig, &ask, 1, &line, 1);
    assert_int_equal(result->status, HF_OK);
    assert_int_equal(result->grant_count, 1);
    assert_grant(&result->grants[0], 1, PHONE_EAST, 5, 0);
    ask_free(&ask);
    /* Again: the first answer; asked otherwise: a conflict. */
    stock_up(&rig, 2, PHONE_EAST, 100);
    for (unsigned crash = 0; crash < 2; crash++) {
        result = reserve(&rig, &ask, 1, &line, 1);
        assert_true(result->status == HF_OK && result->replayed);
        assert_int_equal(result->grant_count, 1);
        assert_grant(&result->grants[0], 1, PHONE_EAST, 5, 0);
        ask_free(&ask);
        line.min_qty = 4;
        assert_int_equal(reserve_status(&rig, 1, &line, 1), HF_ID_CONFLICT);
        line.min_qty = 5;
        rig_crash(&rig);
    }
    assert_int_equal(available(&rig, PHONE_EAST), 100);
    rig_close(&rig);
}

static void optional_is_left_out_and_an_order_of_nothing_is_sold_out(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 3);
    stock_up(&rig, 2, GIFT, 1);
    const struct line_message lines[] = {
        {.item = PHONE_EAST, .qty = 1},
        {.item = GIFT, .qty = 1, .policy = LINE_OPTIONAL},
    };
    /* The first gets the gift, and with it just what it asked: no grants are reported. The second
     * not. */
    struct ask ask;
    const struct result_message *result = reserve(&rig, &ask, 1, lines, 2);
    assert_int_equal(result->status, HF_OK);
    assert_int_equal(result->grant_count, 0);
    ask_free(&ask);
    result = reserve(&rig, &ask, 1, lines, 2);
    assert_true(result->status == HF_OK && result->replayed && result->grant_count == 0);
    ask_free(&ask);
    result = reserve(&rig, &ask, 2, lines, 2);
    assert_int_equal(result->status, HF_OK);
    assert_int_equal(result->grant_count, 1);
    assert_grant(&result->grants[0], 1, PHONE_EAST, 1, 0);
    ask_free(&ask);
    /* The gift alone: nothing is there to give. A paused gift is left out as well. */
    assert_int_equal(reserve_status(&rig, 3, &lines[1], 1), HF_SOLD_OUT);
    stock_up(&rig, 3, GIFT, 1);
    set_rule(&rig, &(struct sku_message){.sku = bytes_of("gift"), .paused = true});
    assert_int_equal(reserve_status(&rig, 4, lines, 2), HF_OK);
    assert_int_equal(available(&rig, GIFT), 1);
    assert_int_equal(available(&rig, PHONE_EAST), 0);
    close_rig(&rig);
}

static void fallbacks_are_tried_for_the_whole_or_filled_one_after_another(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 3);
    stock_up(&rig, 2, PHONE_WEST, 4);
    static const uint32_t west[] = {PHONE_WEST};
    struct line_message line = {
        .item = PHONE_EAST, .qty = 4, .fallback_count = 1, .fallback = west};
    struct ask ask;
    const struct result_message *result = reserve(&rig, &ask, 1, &line, 1);
    assert_int_equal(result->status, HF_OK);
    assert_int_equal(result->grant_count, 1);
    assert_grant(&result->grants[0], 1, PHONE_WEST, 4, 0);
    ask_free(&ask);
    assert_int_equal(edit(&rig, REQUEST_RELEASE, 1, false), HF_OK);
    line.qty = 6;
    assert_int_equal(reserve_status(&rig, 2, &line, 1), HF_SOLD_OUT);
    line.split = true;
    result = reserve(&rig, &ask, 3, &line, 1);
    assert_int_equal(result->status, HF_OK);
    assert_int_equal(result->grant_count, 2);
    assert_grant(&result->grants[0], 1, PHONE_EAST, 3, 0);
    assert_grant(&result->grants[1], 1, PHONE_WEST, 3, 0);
    ask_free(&ask);
    assert_int_equal(available(&rig, PHONE_EAST), 0);
    assert_int_equal(available(&rig, PHONE_WEST), 1);
    close_rig(&rig);
}

/* ---- The worked example of docs/sale-rules.md ---- */

static void trade_in_is_refused_as_a_whole_when_the_fund_runs_dry(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 10);
    stock_up(&rig, 2, GIFT, 1);
    stock_up(&rig, 3, SLOT, 10);
    stock_up(&rig, 4, FUND, 100000); /* in fen: 1000 yuan */
    const struct line_message lines[] = {
        {.item = PHONE_EAST, .qty = 1},
        {.item = SLOT, .qty = 1},
        {.item = FUND, .qty = 60000},
        {.item = GIFT, .qty = 1, .policy = LINE_OPTIONAL},
    };
    assert_int_equal(reserve_status(&rig, 1, lines, 4), HF_OK);
    struct ask ask;
    const struct result_message *result = reserve(&rig, &ask, 2, lines, 4);
    assert_int_equal(result->status, HF_SOLD_OUT);
    assert_int_equal(result->blocking_line, 3);
    assert_true(message_has(&ask.call.response, "reserve.orders[0].lines[2]: "));
    ask_free(&ask);
    assert_int_equal(available(&rig, PHONE_EAST), 9);
    assert_int_equal(available(&rig, SLOT), 9);
    assert_int_equal(available(&rig, FUND), 40000);
    assert_int_equal(available(&rig, GIFT), 0);
    assert_int_equal(edit(&rig, REQUEST_RELEASE, 1, false), HF_OK);
    assert_int_equal(reserve_status(&rig, 2, lines, 4), HF_OK);
    close_rig(&rig);
}

/* ---- Limits ---- */

static uint64_t buyers_counted(struct rig *rig)
{
    struct request request = {.type = REQUEST_STATUS};
    struct ask ask;
    uint64_t buyers = ask_wait(rig, &ask, &request)->status_info.buyers;
    ask_free(&ask);
    return buyers;
}

static void limit_counts_over_pools_and_orders(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 10);
    stock_up(&rig, 2, PHONE_WEST, 10);
    set_limit(&rig, "phone", 3);
    struct line_message east = {.item = PHONE_EAST, .qty = 2};
    struct line_message west = {.item = PHONE_WEST, .qty = 2};
    assert_int_equal(reserve_status(&rig, 1, &east, 1), HF_OK);
    struct ask ask;
    const struct result_message *result = reserve(&rig, &ask, 2, &west, 1);
    assert_int_equal(result->status, HF_LIMIT_EXCEEDED);
    assert_int_equal(result->blocking_line, 1);
    ask_free(&ask);
    west.qty = 1;
    assert_int_equal(reserve_status(&rig, 2, &west, 1), HF_OK);
    assert_int_equal(buyers_counted(&rig), 1);
    rig_crash(&rig);
    assert_int_equal(reserve_status(&rig, 3, &west, 1), HF_LIMIT_EXCEEDED);
    /* A commit keeps what counts, a return and a release give it back. */
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, false), HF_OK);
    assert_int_equal(reserve_status(&rig, 3, &west, 1), HF_LIMIT_EXCEEDED);
    assert_int_equal(edit(&rig, REQUEST_RELEASE, 2, false), HF_OK);
    assert_int_equal(reserve_status(&rig, 3, &west, 1), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_RETURN, 1, false), HF_OK);
    assert_int_equal(reserve_status(&rig, 4, &east, 1), HF_OK);
    /* Up to: as far as the limit goes. Lowering it takes nothing away. */
    set_limit(&rig, "phone", 5);
    struct line_message more = {.item = PHONE_EAST, .qty = 9, .policy = LINE_UP_TO};
    result = reserve(&rig, &ask, 5, &more, 1);
    assert_int_equal(result->status, HF_OK);
    assert_grant(&result->grants[0], 1, PHONE_EAST, 2, 0);
    ask_free(&ask);
    set_limit(&rig, "phone", 1);
    assert_int_equal(available(&rig, PHONE_EAST), 6);
    assert_int_equal(reserve_status(&rig, 6, &west, 1), HF_LIMIT_EXCEEDED);
    close_rig(&rig);
}

static void limit_needs_a_buyer_and_holds_in_columns(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 10);
    set_limit(&rig, "phone", 2);
    const uint64_t hi[] = {1, 2, 3, 4};
    const uint64_t lo[] = {1, 2, 3, 4};
    const uint64_t buyers[] = {8, 8, 0, 9};
    const uint32_t items[] = {PHONE_EAST, PHONE_EAST, PHONE_EAST, PHONE_EAST};
    const uint32_t qtys[] = {1, 2, 1, 2};
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    request.batch = (struct batch_message){.id_hi_count = 4,
                                           .id_hi = hi,
                                           .id_lo_count = 4,
                                           .id_lo = lo,
                                           .buyer_count = 4,
                                           .buyer = buyers,
                                           .item_count = 4,
                                           .item = items,
                                           .qty_count = 4,
                                           .qty = qtys};
    struct ask ask;
    const struct response *response = ask_wait(&rig, &ask, &request);
    assert_int_equal(response->batch.ok_count, 2);
    assert_int_equal(response->batch.status[0], HF_OK);
    assert_int_equal(response->batch.status[1], HF_LIMIT_EXCEEDED);
    assert_int_equal(response->batch.status[2], HF_BUYER_REQUIRED);
    assert_int_equal(response->batch.status[3], HF_OK);
    ask_free(&ask);
    assert_int_equal(buyers_counted(&rig), 2);
    close_rig(&rig);
}

static void late_commit_counts_again(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 10);
    set_limit(&rig, "phone", 2);
    struct line_message line = {.item = PHONE_EAST, .qty = 2};
    assert_int_equal(reserve_status(&rig, 1, &line, 1), HF_OK);
    rig.ms += HOLD_MS + 1;
    engine_expire(rig.engine);
    rig_settle(&rig);
    assert_int_equal(buyers_counted(&rig), 0);
    line.qty = 1;
    assert_int_equal(reserve_status(&rig, 2, &line, 1), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, true), HF_LIMIT_EXCEEDED);
    assert_int_equal(edit(&rig, REQUEST_RELEASE, 2, false), HF_OK);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, true), HF_OK);
    assert_int_equal(reserve_status(&rig, 3, &line, 1), HF_LIMIT_EXCEEDED);
    close_rig(&rig);
}

/* ---- Pre-sale ---- */

static struct grant_message first_grant(struct rig *rig, uint8_t id)
{
    struct request request = {.type = REQUEST_GET_ORDER};
    request.get_order.id = (struct bytes){order_id(id), ID_BYTES};
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, &request);
    assert_int_equal(response->status, HF_OK);
    assert_int_equal(response->order.grant_count, 1);
    struct grant_message grant = response->order.grants[0];
    ask_free(&ask);
    return grant;
}

static void presale_is_told_and_covered_oldest_first(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, LATER, 1); /* and 5 more may be sold */
    struct line_message line = {.item = LATER, .qty = 3};
    struct ask ask;
    const struct result_message *result = reserve(&rig, &ask, 1, &line, 1);
    assert_int_equal(result->status, HF_OK);
    assert_int_equal(result->grant_count, 1);
    assert_grant(&result->grants[0], 1, LATER, 3, 2);
    ask_free(&ask);
    assert_int_equal(reserve_status(&rig, 2, &line, 1), HF_OK);
    assert_int_equal(reserve_status(&rig, 3, &line, 1), HF_SOLD_OUT);
    assert_int_equal(first_grant(&rig, 1).covered_qty, 0);
    assert_int_equal(edit(&rig, REQUEST_COMMIT, 1, false), HF_OK);
    /* 3 units arrive: the first order's 2, then 1 of the second's 3. */
    stock_up(&rig, 2, LATER, 3);
    for (unsigned crash = 0; crash < 2; crash++) {
        assert_int_equal(first_grant(&rig, 1).presale_qty, 2);
        assert_int_equal(first_grant(&rig, 1).covered_qty, 2);
        assert_int_equal(first_grant(&rig, 2).presale_qty, 3);
        assert_int_equal(first_grant(&rig, 2).covered_qty, 1);
        rig_crash(&rig);
    }
    assert_int_equal(edit(&rig, REQUEST_RETURN, 1, false), HF_OK);
    assert_int_equal(first_grant(&rig, 2).covered_qty, 3);
    close_rig(&rig);
}

/* ---- Moves ---- */

static void move_takes_units_from_one_pool_to_another(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 10);
    struct line_message line = {.item = PHONE_EAST, .qty = 4};
    assert_int_equal(reserve_status(&rig, 1, &line, 1), HF_OK);
    struct adjustment_message move = {.item = PHONE_EAST,
                                      .has_delta = true,
                                      .delta = 6,
                                      .has_expected = true,
                                      .expected = 10,
                                      .to_pool = bytes_of("west"),
                                      .reason = bytes_of("rebalance")};
    for (unsigned again = 0; again < 2; again++) {
        struct adjust_result_message result = adjust(&rig, 2, move, NULL);
        assert_int_equal(result.status, HF_OK);
        assert_int_equal(result.replayed, again == 1);
        assert_true(result.has_stock && result.has_to_stock);
        assert_int_equal(result.stock.item, PHONE_EAST);
        assert_int_equal(result.stock.stocked, 4);
        assert_int_equal(result.to_stock.item, PHONE_WEST);
        assert_int_equal(result.to_stock.stocked, 6);
        assert_int_equal(result.to_stock.available, 6);
        rig_crash(&rig);
    }
    move.has_expected = false;
    move.delta = 5;
    assert_int_equal(adjust(&rig, 2, move, NULL).status, HF_ID_CONFLICT);
    move.delta = 1;
    assert_int_equal(adjust(&rig, 3, move, NULL).status, HF_WOULD_OVERSELL);
    move.force = true;
    struct adjust_result_message forced = adjust(&rig, 3, move, NULL);
    assert_int_equal(forced.status, HF_OK);
    assert_int_equal(forced.stock.available, -1);
    close_rig(&rig);
}

static void move_is_checked_field_by_field(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 10);
    const struct {
        struct adjustment_message move;
        enum hf_status status;
        const char *message;
    } cases[] = {
        {{.to_item = PHONE_WEST}, HF_INVALID, "[0].delta: must be given"},
        {{.to_item = PHONE_WEST, .has_set_to = true}, HF_INVALID, "[0].delta: must be given"},
        {{.to_item = PHONE_WEST, .has_delta = true}, HF_INVALID, "[0].delta: 0, must be 1.."},
        {{.to_item = PHONE_WEST, .has_delta = true, .delta = -1}, HF_INVALID, "[0].delta: -1"},
        {{.to_item = ITEMS + 1, .has_delta = true, .delta = 1}, HF_UNKNOWN_ITEM, "[0].to_item: "},
        {{.to_item = PHONE_EAST, .has_delta = true, .delta = 1}, HF_INVALID, "[0].to_item: "},
        {{.to_item = GIFT, .has_delta = true, .delta = 1},
         HF_INVALID,
         "[0].to_item: an item of another SKU"},
        {{.to_pool = bytes_of("north"), .has_delta = true, .delta = 1},
         HF_UNKNOWN_ITEM,
         "[0].to_pool: "},
        {{.to_pool = bytes_of("east"), .has_delta = true, .delta = 1}, HF_INVALID, "[0].to_pool: "},
        {{.to_item = PHONE_WEST, .has_delta = true, .delta = 11}, HF_INVALID, "fall below 0"},
        {{.to_item = PHONE_WEST,
          .has_delta = true,
          .delta = 1,
          .has_expected = true,
          .expected = 9},
         HF_CONFLICT,
         "[0]: "},
        {{.to_item = PHONE_WEST, .has_delta = true, .delta = 10}, HF_OK, ""},
    };
    for (uint8_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct adjustment_message move = cases[i].move;
        char message[200];
        move.item = PHONE_EAST;
        assert_int_equal(adjust(&rig, 9, move, message).status, cases[i].status);
        if (!strstr(message, cases[i].message)) {
            fail_msg("case %u: %s", i, message);
        }
    }
    close_rig(&rig);
}

/* ---- Opening times, inside a request ---- */

enum { CROWD = 2048 };

/* Orders for one unit each, all in one message, while the clock advances a millisecond a reading.
 */
static const struct response *ask_crowd(struct rig *rig, struct ask *ask)
{
    static uint64_t hi[CROWD];
    static uint64_t lo[CROWD];
    static uint32_t items[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        hi[i] = (uint64_t)i << 52;
        lo[i] = i + 1;
        items[i] = PHONE_EAST;
    }
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    request.batch = (struct batch_message){.id_hi_count = CROWD,
                                           .id_hi = hi,
                                           .id_lo_count = CROWD,
                                           .id_lo = lo,
                                           .item_count = CROWD,
                                           .item = items};
    rig->ms_per_look = 1;
    const struct response *response = ask_wait(rig, ask, &request);
    rig->ms_per_look = 0;
    assert_int_equal(response->batch.status_count, CROWD);
    return response;
}

static void sale_opens_to_the_millisecond_inside_a_request(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, CROWD);
    set_rule(&rig, &(struct sku_message){.sku = bytes_of("phone"), .opens_at_ms = START_MS + 5});
    struct ask ask;
    const struct response *response = ask_crowd(&rig, &ask);
    /* Each refusal reads the clock: no more of them than milliseconds until it opens. */
    uint32_t refused = 0;
    while (refused < CROWD && response->batch.status[refused] == HF_NOT_OPEN) {
        refused++;
    }
    assert_true(refused >= 1 && refused < 5);
    for (uint32_t i = refused; i < CROWD; i++) {
        assert_int_equal(response->batch.status[i], HF_OK);
    }
    ask_free(&ask);
    close_rig(&rig);
}

static void sale_closes_inside_a_request(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, CROWD);
    set_rule(&rig, &(struct sku_message){.sku = bytes_of("phone"), .closes_at_ms = START_MS + 4});
    struct ask ask;
    const struct response *response = ask_crowd(&rig, &ask);
    uint32_t held = 0;
    while (held < CROWD && response->batch.status[held] == HF_OK) {
        held++;
    }
    assert_true(held >= 256 && held <= 4 * 256);
    for (uint32_t i = held; i < CROWD; i++) {
        assert_int_equal(response->batch.status[i], HF_CLOSED);
    }
    ask_free(&ask);
    close_rig(&rig);
}

/* ---- Lists ---- */

static const struct response *list(struct rig *rig, struct ask *ask, uint64_t buyer,
                                   const char *sku, const char *pool, const uint32_t *state,
                                   uint32_t limit, struct bytes after)
{
    struct request request = {.type = REQUEST_LIST_ORDERS};
    request.list_orders.buyer = buyer;
    request.list_orders.sku = bytes_of(sku);
    request.list_orders.pool = bytes_of(pool);
    request.list_orders.state_count = state != NULL;
    request.list_orders.states = state;
    request.list_orders.limit = limit;
    request.list_orders.after = after;
    return ask_wait(rig, ask, &request);
}

/* How many orders a list has in all, page by page; each one is seen once. */
static uint32_t list_count(struct rig *rig, uint64_t buyer, const char *sku, const char *pool,
                           const uint32_t *state, uint32_t limit)
{
    bool seen[256] = {false};
    uint8_t next[64];
    struct bytes after = {next, 0};
    uint32_t count = 0;
    do {
        struct ask ask;
        const struct response *response = list(rig, &ask, buyer, sku, pool, state, limit, after);
        assert_int_equal(response->status, HF_OK);
        assert_int_equal(response->type, RESPONSE_ORDER_LIST);
        assert_true(response->order_list.count <= limit);
        for (uint32_t i = 0; i < response->order_list.count; i++) {
            const struct order_info_message *order = &response->order_list.orders[i];
            assert_int_equal(order->id.len, ID_BYTES);
            assert_false(seen[order->id.data[15]]);
            seen[order->id.data[15]] = true;
            assert_true(state == NULL || order->state == *state);
            count++;
        }
        assert_true(response->order_list.next.len <= sizeof next);
        after.len = response->order_list.next.len;
        if (after.len > 0) {
            memcpy(next, response->order_list.next.data, after.len);
        }
        ask_free(&ask);
    } while (after.len > 0);
    return count;
}

static void list_orders_finds_by_buyer_sku_pool_and_state(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, 100);
    stock_up(&rig, 2, PHONE_WEST, 100);
    stock_up(&rig, 3, GIFT, 100);
    /* 1..20: east; 21..30: west with a gift; 31..35: a gift. The first 4 are committed. */
    for (uint8_t id = 1; id <= 35; id++) {
        const struct line_message lines[] = {{.item = id <= 20   ? PHONE_EAST
                                                      : id <= 30 ? PHONE_WEST
                                                                 : GIFT,
                                              .qty = 1},
                                             {.item = GIFT, .qty = 1}};
        assert_int_equal(reserve_status(&rig, id, lines, id > 20 && id <= 30 ? 2 : 1), HF_OK);
    }
    for (uint8_t id = 1; id <= 4; id++) {
        assert_int_equal(edit(&rig, REQUEST_COMMIT, id, false), HF_OK);
    }
    static const uint32_t held = ORDER_HELD;
    static const uint32_t committed = ORDER_COMMITTED;
    for (uint32_t limit = 1; limit <= LIST_ORDERS_MAX; limit *= 10) {
        assert_int_equal(list_count(&rig, 0, "", "", NULL, limit), 35);
        assert_int_equal(list_count(&rig, BUYER, "", "", NULL, limit), 35);
        assert_int_equal(list_count(&rig, BUYER + 1, "", "", NULL, limit), 0);
        assert_int_equal(list_count(&rig, BUYER, "phone", "", NULL, limit), 30);
        assert_int_equal(list_count(&rig, 0, "phone", "west", NULL, limit), 10);
        assert_int_equal(list_count(&rig, 0, "gift", "", NULL, limit), 15);
        assert_int_equal(list_count(&rig, 0, "phone", "", &held, limit), 26);
        assert_int_equal(list_count(&rig, BUYER, "phone", "east", &committed, limit), 4);
    }
    struct ask ask;
    const struct response *response =
        list(&rig, &ask, 0, "phone", "west", NULL, 1, (struct bytes){0});
    assert_int_equal(response->order_list.count, 1);
    const struct order_info_message *order = &response->order_list.orders[0];
    assert_int_equal(order->buyer, BUYER);
    assert_int_equal(order->grant_count, 2);
    assert_grant(&order->grants[0], 1, PHONE_WEST, 1, 0);
    assert_grant(&order->grants[1], 2, GIFT, 1, 0);
    assert_int_equal(order->deadline_ms, START_MS + HOLD_MS);
    ask_free(&ask);
    close_rig(&rig);
}

/* Orders of so many lines that 1 MiB has room for 15 of them, at 64 bytes an order and 32 a line.
 */
static void list_orders_goes_on_when_an_answer_is_full(void **state)
{
    (void)state;
    enum { ORDERS = 40 };
    struct rig rig;
    open_rig(&rig);
    stock_up(&rig, 1, PHONE_EAST, ORDERS * ORDER_LINES_MAX);
    static struct line_message lines[ORDER_LINES_MAX];
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct line_message){.item = PHONE_EAST, .qty = 1};
    }
    for (uint8_t id = 1; id <= ORDERS; id++) {
        assert_int_equal(reserve_status(&rig, id, lines, ORDER_LINES_MAX), HF_OK);
    }
    struct ask ask;
    const struct response *response = list(&rig, &ask, 0, "", "", NULL, 1000, (struct bytes){0});
    assert_int_equal(response->order_list.count, 15);
    assert_int_equal(response->order_list.orders[14].grant_count, ORDER_LINES_MAX);
    assert_true(response->order_list.next.len > 0);
    ask_free(&ask);
    assert_int_equal(list_count(&rig, BUYER, "phone", "", NULL, 1000), ORDERS);
    close_rig(&rig);
}

static void list_orders_is_checked_field_by_field(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    static const uint32_t none = ORDER_NONE;
    static const uint32_t beyond = ORDER_RETURNED + 1;
    static const uint8_t garbage[16] = {1, 2, 3};
    const struct {
        const char *sku;
        const char *pool;
        const uint32_t *state;
        uint32_t limit;
        uint32_t after_len;
        enum hf_status status;
        const char *message;
    } cases[] = {
        {"nothing", "", NULL, 0, 0, HF_UNKNOWN_ITEM, "list_orders.sku: there is no SKU nothing"},
        {"phone", "north", NULL, 0, 0, HF_UNKNOWN_ITEM, "list_orders.pool: "},
        {"", "east", NULL, 0, 0, HF_INVALID, "list_orders.sku: 0 bytes"},
        {"phone", "", &none, 0, 0, HF_INVALID, "list_orders.state[0]: 0"},
        {"phone", "", &beyond, 0, 0, HF_INVALID, "list_orders.state[0]: 6"},
        {"phone", "", NULL, LIST_ORDERS_MAX + 1, 0, HF_INVALID, "list_orders.limit: 1001"},
        {"phone", "", NULL, LIST_ORDERS_MAX, 1, HF_INVALID, "list_orders.after: "},
        {"phone", "", NULL, 0, 15, HF_INVALID, "list_orders.after: "},
        {"phone", "", NULL, 0, 16, HF_INVALID, "list_orders.after: "},
        {"phone", "", NULL, LIST_ORDERS_MAX, 0, HF_OK, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ask ask;
        const struct response *response =
            list(&rig, &ask, 0, cases[i].sku, cases[i].pool, cases[i].state, cases[i].limit,
                 (struct bytes){garbage, cases[i].after_len});
        assert_int_equal(response->status, cases[i].status);
        assert_true(message_has(response, cases[i].message));
        ask_free(&ask);
    }
    close_rig(&rig);
}

static void get_skus_tells_the_rules(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    set_rule(&rig, &(struct sku_message){.sku = bytes_of("phone"),
                                         .label = bytes_of("a phone"),
                                         .limit_per_buyer = 2,
                                         .opens_at_ms = START_MS + 3,
                                         .closes_at_ms = START_MS + 4,
                                         .paused = true,
                                         .hold_ms = 5,
                                         .hold_ms_max = 6});
    const struct bytes skus[] = {bytes_of("gift"), bytes_of("phone"), bytes_of("nothing")};
    struct request request = {.type = REQUEST_GET_SKUS};
    request.get_skus.skus = skus;
    request.get_skus.count = 2;
    struct ask ask;
    const struct response *response = ask_wait(&rig, &ask, &request);
    assert_int_equal(response->status, HF_OK);
    assert_int_equal(response->skus.count, 2);
    assert_int_equal(response->skus.skus[0].limit_per_buyer, 0);
    const struct sku_message *phone = &response->skus.skus[1];
    assert_memory_equal(phone->sku.data, "phone", 5);
    assert_memory_equal(phone->label.data, "a phone", 7);
    assert_int_equal(phone->limit_per_buyer, 2);
    assert_true(phone->opens_at_ms == START_MS + 3 && phone->closes_at_ms == START_MS + 4 &&
                phone->paused);
    assert_true(phone->hold_ms == 5 && phone->hold_ms_max == 6);
    ask_free(&ask);
    request.get_skus.count = 3;
    response = ask_wait(&rig, &ask, &request);
    assert_int_equal(response->status, HF_UNKNOWN_ITEM);
    assert_true(message_has(response, "get_skus.sku[2]: there is no SKU nothing"));
    ask_free(&ask);
    request.get_skus.count = 0;
    assert_int_equal(ask_wait(&rig, &ask, &request)->status, HF_INVALID);
    ask_free(&ask);
    close_rig(&rig);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(lines_are_checked_field_by_field),
        TEST(lines_and_fallbacks_are_bounded_together),
        TEST(fallbacks_of_an_order_are_bounded),
        TEST(up_to_takes_what_there_is_and_no_less_than_its_minimum),
        TEST(optional_is_left_out_and_an_order_of_nothing_is_sold_out),
        TEST(fallbacks_are_tried_for_the_whole_or_filled_one_after_another),
        TEST(trade_in_is_refused_as_a_whole_when_the_fund_runs_dry),
        TEST(limit_counts_over_pools_and_orders),
        TEST(limit_needs_a_buyer_and_holds_in_columns),
        TEST(late_commit_counts_again),
        TEST(presale_is_told_and_covered_oldest_first),
        TEST(move_takes_units_from_one_pool_to_another),
        TEST(move_is_checked_field_by_field),
        TEST(sale_opens_to_the_millisecond_inside_a_request),
        TEST(sale_closes_inside_a_request),
        TEST(list_orders_finds_by_buyer_sku_pool_and_state),
        TEST(list_orders_goes_on_when_an_answer_is_full),
        TEST(list_orders_is_checked_field_by_field),
        TEST(get_skus_tells_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
