/* item_names_test.c - names of items from checkpoints.
 *
 * Threads: one. */
#include "history/item_names.h"
#include "unit/checkpoint/ticket_checkpoint.h"

static void wal_names_come_from_a_checkpoint_with_many_tickets(void **state)
{
    (void)state;
    struct storage *storage = ticket_checkpoint_make();
    struct item_names names;
    item_names_init(&names);
    assert_int_equal(item_names_load(&names, storage, TICKETS_CHECKPOINT), HF_OK);
    assert_string_equal(item_sku(&names, 1), "phone");
    assert_string_equal(item_pool(&names, 1), "presale");
    assert_string_equal(item_sku(&names, 2), "?");
    item_names_deinit(&names);
    storage_destroy(storage);
}

static void wal_names_come_from_the_newest_checkpoint(void **state)
{
    (void)state;
    struct storage *storage = ticket_checkpoint_make();
    struct item_names names;
    item_names_init(&names);
    assert_int_equal(item_names_load_newest(&names, storage), HF_OK);
    assert_string_equal(item_sku(&names, 1), "phone");
    item_names_deinit(&names);
    storage_destroy(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wal_names_come_from_a_checkpoint_with_many_tickets),
        cmocka_unit_test(wal_names_come_from_the_newest_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
