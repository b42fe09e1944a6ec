/* replay_test.c - the sizes that tools give the state that they rebuild.
 *
 * Threads: one. */
#include "history/replay.h"

#include "checkpoint/load.h"
#include "unit/checkpoint/ticket_checkpoint.h"

static void replay_sizes_have_room_for_each_ticket_of_a_checkpoint(void **state)
{
    (void)state;
    struct storage *storage = ticket_checkpoint_make();
    struct inventory_options sizes;
    struct inventory *inventory;
    struct checkpoint_info info;
    assert_int_equal(history_replay_sizes(storage, &sizes), HF_OK);
    assert_int_equal(inventory_init(&inventory, &sizes), HF_OK);
    assert_int_equal(checkpoint_load(storage, TICKETS_CHECKPOINT, inventory, 1, &info, NULL, NULL),
                     HF_OK);
    struct item_view view;
    assert_int_equal(inventory_item(inventory, 1, &view), HF_OK);
    assert_int_equal(view.stock.sold, TICKETS);
    inventory_deinit(inventory);
    storage_destroy(storage);
}

/* Orders of many lines take most of the file; what they take is no room for tickets or buyers. */
static void replay_sizes_count_tickets_and_buyers_in_the_ledger_alone(void **state)
{
    enum { ORDERS = 10 };
    (void)state;
    struct storage *storage = sim_storage_make(1);
    struct inventory_options sizes;
    struct frame_writer writer;
    enum hf_status status;
    assert_int_equal(frame_writer_open(&writer, storage, 1), HF_OK);
    struct checkpoint_header *header = &writer.header;
    header->info.start = (struct wal_start){
        .cluster = {11, 12}, .segment = 2, .lsn = 5000, .next_index = 50, .term = 1};
    header->info.orders = ORDERS;
    for (unsigned i = 0; i < CHECKPOINT_SEEKS; i++) {
        header->seek_offset[i] = WAL_PAGE_BYTES;
    }
    for (unsigned i = 0; i < ORDERS; i++) {
        memset(frame_writer_room(&writer, FRAME_ORDERS, FRAME_PAYLOAD_MAX, &status), 0,
               FRAME_PAYLOAD_MAX);
        frame_writer_added(&writer, FRAME_PAYLOAD_MAX);
    }
    assert_int_equal(frame_writer_flush(&writer), HF_OK);
    header->ledger_offset = writer.offset;
    assert_int_equal(writer.offset, WAL_PAGE_BYTES + ORDERS * FRAME_BYTES_MAX);
    frame_writer_added(&writer, ticket_record_encode(tickets_room(&writer), 1, 1, 1));
    assert_int_equal(frame_writer_finish(&writer), HF_OK);

    assert_int_equal(history_replay_sizes(storage, &sizes), HF_OK);
    /* A page of 24-byte records, and what tools keep for what a running engine adds. */
    const uint64_t slack = 1 << 22;
    const uint64_t records = WAL_PAGE_BYTES / 24;
    assert_int_equal(sizes.orders_max, slack + ORDERS);
    assert_int_equal(sizes.buyers_max, slack + records);
    assert_int_equal(sizes.tickets_max, slack + ORDERS + records * PRESALE_CHUNK_TICKETS);
    storage_destroy(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_sizes_have_room_for_each_ticket_of_a_checkpoint),
        cmocka_unit_test(replay_sizes_count_tickets_and_buyers_in_the_ledger_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
