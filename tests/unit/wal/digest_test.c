/* Tests of wal/digest: what a DIGEST block says, and what is no such block. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wal/digest.h"

static void digest_is_read_as_it_was_written(void **state)
{
    (void)state;
    uint8_t payload[DIGEST_PAYLOAD_BYTES];
    uint64_t digest = 0;
    digest_encode(0x0102030405060708u, 0xF1F2F3F4F5F6F7F8u, payload);
    assert_memory_equal(payload, "\x08\x07\x06\x05\x04\x03\x02\x01\xF8\xF7\xF6\xF5\xF4\xF3\xF2\xF1",
                        sizeof payload);
    const struct wal_block block = {.header = {.type = BLOCK_DIGEST,
                                               .first_lsn = 0x0102030405060708u,
                                               .payload_bytes = sizeof payload},
                                    .payload = payload};
    assert_null(digest_decode(&block, &digest));
    assert_int_equal(digest, 0xF1F2F3F4F5F6F7F8u);
}

static void digest_of_another_place_or_size_is_refused(void **state)
{
    (void)state;
    uint8_t payload[DIGEST_PAYLOAD_BYTES];
    uint64_t digest;
    digest_encode(4096, 7, payload);
    struct wal_block block = {
        .header = {.type = BLOCK_DIGEST, .first_lsn = 4096, .payload_bytes = sizeof payload},
        .payload = payload};
    assert_null(digest_decode(&block, &digest));
    block.header.first_lsn = 4097;
    assert_non_null(digest_decode(&block, &digest));
    block.header.first_lsn = 4096;
    block.header.payload_bytes = sizeof payload - 1;
    assert_non_null(digest_decode(&block, &digest));
}

static void digests_are_compared(void **state)
{
    (void)state;
    assert_null(digest_fault(0, 0));
    assert_null(digest_fault(UINT64_MAX, UINT64_MAX));
    assert_non_null(digest_fault(0, 1));
    assert_non_null(digest_fault(1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_is_read_as_it_was_written),
        cmocka_unit_test(digest_of_another_place_or_size_is_refused),
        cmocka_unit_test(digests_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
