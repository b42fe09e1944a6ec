/* replay_test.c - the sizes that tools give the state that they rebuild.
 *
 * Threads: one. */
#include "wal/replay.h"

#include "ticket_checkpoint.h"

static void replay_sizes_have_room_for_each_ticket_of_a_checkpoint(void **state)
{
    (void)state;
    struct storage *storage = ticket_checkpoint_make();
    struct inventory_options sizes;
    struct inventory *inventory;
    struct checkpoint_info info;
    assert_int_equal(wal_replay_sizes(storage, &sizes), HF_OK);
    assert_int_equal(inventory_init(&inventory, &sizes), HF_OK);
    assert_int_equal(
        checkpoint_load(storage, TICKETS_CHECKPOINT, inventory, 1, &info, NULL, NULL), HF_OK);
    struct item_view view;
    assert_int_equal(inventory_item(inventory, 1, &view), HF_OK);
    assert_int_equal(view.stock.sold, TICKETS);
    inventory_deinit(inventory);
    storage_destroy(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_sizes_have_room_for_each_ticket_of_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
