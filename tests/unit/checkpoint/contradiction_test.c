/* contradiction_test.c - checkpoints of which each record can be and every checksum is right, but
 * whose orders have other units of limits and of pre-sale tickets than the ledger counts.
 *
 * Giving such units back later would take what is not there. So whoever loads the file refuses it;
 * and who only builds on it, or replays a log behind it, finds a record that does not fit.
 *
 * Threads: one, and those that loading starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/file.h"
#include "checkpoint/load.h"
#include "core/image.h"
#include "core/replay.h"
#include "lib/sim_storage.h"
#include "wal/record.h"

#define NUMBER 1u
#define ORDERS 5u
#define RECORD 512u /* bytes, at most */

/* One order of `qty` units of item 1, some of them pre-sold, and what the ledger counts. */
struct claimed {
    enum order_state state;
    uint32_t qty;
    uint32_t released;
    uint32_t presale_qty;
    uint32_t ticket;
    uint64_t buyer;
    uint64_t lsn;
    bool counted;
};

struct file {
    struct claimed orders[ORDERS];
    uint32_t tickets[6]; /* units; [0]: of ticket 1 */
    uint32_t last_ticket;
    uint32_t units[3]; /* of buyers 7, 8 and 9 */
    uint32_t skus;     /* as the header counts them */
    uint32_t items;
};

/* A held, a partly released, a paid, an expired and a returned one; ticket 6 is of one that was
 * forgotten, as are two units of buyer 9. */
static const struct file whole = {
    .orders = {{ORDER_HELD, 5, 0, 4, 1, 7, 100, true},
               {ORDER_HELD, 5, 3, 4, 2, 7, 200, true},
               {ORDER_COMMITTED, 5, 0, 2, 3, 8, 300, true},
               {ORDER_EXPIRED, 5, 0, 5, 4, 8, 400, true},
               {ORDER_RETURNED, 5, 0, 1, 5, 9, 500, true}},
    .tickets = {4, 2, 2, 0, 0, 2},
    .last_ticket = 6,
    .units = {7, 5, 2},
    .skus = 1,
    .items = 1,
};

static uint8_t *room(struct frame_writer *writer, enum frame_kind kind)
{
    enum hf_status status;
    uint8_t *to = frame_writer_room(writer, kind, RECORD, &status);
    assert_non_null(to);
    return to;
}

static struct id128 order_id(unsigned i)
{
    return (struct id128){0xB0, i};
}

static void put_order(struct frame_writer *writer, unsigned i, const struct claimed *order)
{
    bool paid = order->state == ORDER_COMMITTED || order->state == ORDER_RETURNED;
    const struct order_line_view line = {.item = 1,
                                         .qty = order->qty,
                                         .released = order->released,
                                         .committed = paid ? order->qty : 0,
                                         .returned =
                                             order->state == ORDER_RETURNED ? order->qty : 0,
                                         .presale_qty = order->presale_qty,
                                         .ticket = order->ticket,
                                         .line = 1,
                                         .counted = order->counted};
    const struct order_image image = {.id = order_id(i),
                                      .buyer = order->buyer,
                                      .lsn = order->lsn,
                                      .deadline_ms = 1000,
                                      .contents = 0xAB0001,
                                      .state = order->state,
                                      .shaped = true,
                                      .block = true,
                                      .line_count = 1,
                                      .lines = &line};
    frame_writer_added(writer, order_record_encode(room(writer, FRAME_ORDERS), &image));
    writer->header.info.orders++;
    writer->header.info.orders_held += order->state == ORDER_HELD;
}

static void put_orders(struct frame_writer *writer, const struct file *file)
{
    for (unsigned part = 0; part < CHECKPOINT_SEEKS; part++) {
        assert_int_equal(frame_writer_flush(writer), HF_OK);
        writer->header.seek_offset[part] = writer->offset;
        uint64_t last = 0;
        for (unsigned round = 0; round < ORDERS; round++) {
            unsigned next = ORDERS;
            for (unsigned i = 0; i < ORDERS; i++) { /* in the order of their hashes */
                uint64_t hash = id_hash(order_id(i));
                if (hash >> 60 == part && hash > last &&
                    (next == ORDERS || hash < id_hash(order_id(next)))) {
                    next = i;
                }
            }
            if (next < ORDERS) {
                last = id_hash(order_id(next));
                put_order(writer, next, &file->orders[next]);
            }
        }
    }
    assert_int_equal(frame_writer_flush(writer), HF_OK);
    writer->header.ledger_offset = writer->offset;
}

static void put_ledger(struct frame_writer *writer, const struct file *file)
{
    const struct sku_rule sku = {.sku = bytes_of("phone"), .limit_per_buyer = 100};
    const struct item_def item = {
        .item = 1, .sku = bytes_of("phone"), .pool = bytes_of("presale"), .presale_cap = 1000};
    const struct event sku_event = {.type = EVENT_SKU_DEFINED, .sku = &sku};
    const struct event item_event = {.type = EVENT_ITEM_DEFINED, .item = &item};
    frame_writer_added(writer, record_encode(&sku_event, room(writer, FRAME_LEDGER)));
    frame_writer_added(writer, record_encode(&item_event, room(writer, FRAME_LEDGER)));
    frame_writer_added(writer, stock_record_encode(room(writer, FRAME_LEDGER), 1, 5, 2));
    for (unsigned i = 0; i < 3; i++) {
        if (file->units[i] > 0) {
            uint8_t *to = room(writer, FRAME_LEDGER);
            frame_writer_added(writer, buyer_record_encode(to, 1, 7 + i, file->units[i]));
        }
    }
    for (uint32_t ticket = 1; ticket <= file->last_ticket; ticket++) {
        if (file->tickets[ticket - 1] > 0 || ticket == file->last_ticket) {
            uint8_t *to = room(writer, FRAME_LEDGER);
            frame_writer_added(writer,
                               ticket_record_encode(to, 1, ticket, file->tickets[ticket - 1]));
        }
    }
}

static struct storage *make(const struct file *file)
{
    struct storage *storage = sim_storage_make(1);
    struct frame_writer writer;
    assert_int_equal(frame_writer_open(&writer, storage, NUMBER), HF_OK);
    writer.header.info.start = (struct wal_start){
        .cluster = {11, 12}, .segment = 2, .lsn = 5000, .next_index = 50, .term = 1};
    writer.header.info.skus = file->skus;
    writer.header.info.items = file->items;
    put_orders(&writer, file);
    put_ledger(&writer, file);
    assert_int_equal(frame_writer_finish(&writer), HF_OK);
    return storage;
}

static enum hf_status load(const struct file *file, unsigned threads, struct checkpoint_info *info,
                           struct inventory **inventory)
{
    const struct inventory_options sizes = {
        .items_max = 16, .orders_max = 256, .hold_ms_default = 1000, .hold_ms_max = 1000};
    struct storage *storage = make(file);
    assert_int_equal(inventory_init(inventory, &sizes), HF_OK);
    enum hf_status status = checkpoint_load(storage, NUMBER, *inventory, threads, info, NULL, NULL);
    storage_destroy(storage);
    return status;
}

/* Changes one thing, and wants to see it refused, and told why. */
#define REFUSED(words, change)                                                                     \
    do {                                                                                           \
        struct file file = whole;                                                                  \
        change;                                                                                    \
        for (unsigned threads = 1; threads <= 2; threads++) {                                      \
            struct checkpoint_info info;                                                           \
            struct inventory *inventory;                                                           \
            enum hf_status status = load(&file, threads, &info, &inventory);                       \
            inventory_deinit(inventory);                                                           \
            if (status != HF_DAMAGED || !strstr(info.message, words)) {                            \
                fail_msg("%s: %s, %s", #change, hf_status_name(status), info.message);             \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* ---- Tests ---- */

static void orders_and_a_ledger_that_agree_are_loaded(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 2; threads++) {
        struct checkpoint_info info;
        struct inventory *inventory;
        char what[256] = "";
        assert_int_equal(load(&whole, threads, &info, &inventory), HF_OK);
        assert_true(inventory_verify(inventory, what, sizeof what));
        /* The claims have left nothing behind. */
        assert_int_equal(inventory_buyer_units(inventory, bytes_of("phone"), 7), 7);
        const struct order_line_view line = {.item = 1, .qty = 5, .presale_qty = 4, .ticket = 1};
        /* 9 units are short, and 6 of them behind this ticket. */
        assert_int_equal(inventory_covered(inventory, &line, ORDER_HELD), 1);
        inventory_deinit(inventory);
    }
}

static void units_of_a_ticket_that_are_not_its_orders_are_refused(void **state)
{
    (void)state;
    REFUSED("ledger counts", file.tickets[0] = 0);
    REFUSED("ledger counts", file.tickets[0]--);
    REFUSED("ledger counts", file.tickets[0]++);
    REFUSED("ledger counts", file.tickets[1] = 4); /* as before units were released */
    REFUSED("ledger counts", file.tickets[1] = 1);
    REFUSED("ledger counts", file.tickets[2] = 0);
    REFUSED("ledger counts", file.tickets[3] = 1); /* an expired order has none */
    REFUSED("ledger counts", file.tickets[4] = 1);
    REFUSED("ledger counts", file.orders[0].presale_qty = 3);
    REFUSED("ledger counts", file.orders[2].presale_qty = 3);
}

static void ticket_of_two_orders_or_never_drawn_is_refused(void **state)
{
    (void)state;
    REFUSED("ledger counts", file.orders[2].ticket = 2);
    REFUSED("ledger counts", file.orders[3].ticket = 1);
    REFUSED("ledger counts", file.orders[4].ticket = 4);
    REFUSED("ledger counts", file.orders[3].ticket = 7);
    REFUSED("ledger counts", file.orders[3].ticket = UINT32_MAX);
    REFUSED("ledger counts", file.last_ticket = 4);
    REFUSED("ledger counts", file.last_ticket = 0);
    REFUSED("impossible", file.orders[0].ticket = 0); /* pre-sold, and no place among those */
    REFUSED("impossible", file.orders[3].ticket = 0);
    REFUSED("impossible", file.orders[2].presale_qty = 0);
}

static void units_of_a_buyer_that_are_not_counted_are_refused(void **state)
{
    (void)state;
    REFUSED("ledger counts", file.units[0] = 0);
    REFUSED("ledger counts", file.units[0] = 6); /* enough for either of its orders */
    REFUSED("ledger counts", file.units[1] = 4);
    REFUSED("ledger counts", file.orders[0].buyer = 9);
    REFUSED("ledger counts", file.orders[0].buyer = 10);
    REFUSED("ledger counts", file.orders[1].released = 2; file.tickets[1] = 3);
}

static void header_that_counts_other_definitions_is_refused(void **state)
{
    (void)state;
    REFUSED("definitions", file.skus = 0);
    REFUSED("definitions", file.skus = 2);
    REFUSED("definitions", file.items = 0);
    REFUSED("definitions", file.items = 2);
}

static void order_that_changed_behind_the_checkpoint_is_refused(void **state)
{
    (void)state;
    REFUSED("impossible", file.orders[0].lsn = 5001);
    REFUSED("impossible", file.orders[4].lsn = UINT64_MAX);
}

/* Who builds the next checkpoint has only one order at a time before it: the record that gives back
 * what is not counted does not fit, and nothing of it is applied. */
static void record_that_gives_back_what_is_not_counted_does_not_fit(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 3; which++) {
        struct checkpoint_info info;
        struct inventory *inventory;
        struct file file = whole;
        memset(file.orders, 0, sizeof file.orders);
        for (unsigned i = 0; i < ORDERS; i++) { /* of other items' worth: nothing is claimed */
            file.orders[i] = (struct claimed){ORDER_RELEASED, 1, 1, 0, 0, 0, 100, false};
        }
        file.tickets[0] = which == 0 ? 3 : 4;
        file.units[0] = which == 1 ? 4 : 5;
        assert_int_equal(load(&file, 1, &info, &inventory), HF_OK);
        struct order_hand *hand = calloc(1, sizeof *hand);
        struct replay_lane *lane;
        assert_non_null(hand);
        const struct order_line_view line = {
            .item = 1, .qty = 5, .presale_qty = 4, .ticket = 1, .line = 1, .counted = true};
        const struct order_image image = {.id = {0xC0, 1},
                                          .buyer = 7,
                                          .lsn = 100,
                                          .deadline_ms = 1000,
                                          .contents = 0xAB0001,
                                          .state = ORDER_HELD,
                                          .shaped = true,
                                          .block = true,
                                          .line_count = 1,
                                          .lines = &line};
        assert_int_equal(replay_lane_init(&lane, inventory, 0), HF_OK);
        assert_int_equal(order_hand_load(inventory, hand, &image), HF_OK);
        struct event expired = {.type = EVENT_ORDER_EXPIRED, .id = {0xC0, 1}, .lsn = 6000};
        assert_int_equal(replay_fold(lane, hand, &expired), which == 2 ? HF_OK : HF_DAMAGED);
        assert_int_equal(inventory_buyer_units(inventory, bytes_of("phone"), 7),
                         which == 2 ? 0 : file.units[0]);
        replay_lane_deinit(lane);
        free(hand);
        inventory_deinit(inventory);
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(orders_and_a_ledger_that_agree_are_loaded),
        TEST(units_of_a_ticket_that_are_not_its_orders_are_refused),
        TEST(ticket_of_two_orders_or_never_drawn_is_refused),
        TEST(units_of_a_buyer_that_are_not_counted_are_refused),
        TEST(header_that_counts_other_definitions_is_refused),
        TEST(order_that_changed_behind_the_checkpoint_is_refused),
        TEST(record_that_gives_back_what_is_not_counted_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
