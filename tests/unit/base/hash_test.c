/* hash_test.c - XXH3 and splitmix64 against values computed elsewhere: libxxhash 0.8.1, and the
 * reference generator of splitmix64. A changed hash would make old logs unreadable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

static void hash_bytes_is_xxh3_64(void **state)
{
    (void)state;
    assert_true(hash_bytes("", 0) == 0x2D06800538D394C2);
    assert_true(hash_bytes(NULL, 0) == 0x2D06800538D394C2);
    assert_true(hash_bytes("a", 1) == 0xE6C632B61E964E1F);
    assert_true(hash_bytes("abc", 3) == 0x78AF5F94892F3950);
    assert_true(hash_bytes("85123A", 6) == 0x00639EBB924ECB71);
    assert_true(hash_bytes("buyer@example.com", 17) == 0x9ACD61D7837B2A4E);
}

static void hash_bytes_128_is_xxh3_128(void **state)
{
    (void)state;
    struct id128 hash = hash_bytes_128("", 0);
    assert_true(hash.hi == 0x99AA06D3014798D8 && hash.lo == 0x6001C324468D497F);
    hash = hash_bytes_128("abc", 3);
    assert_true(hash.hi == 0x06B05AB6733A6185 && hash.lo == 0x78AF5F94892F3950);
}

/* Longer than 240 bytes XXH3 takes its vectorized path; unaligned must not matter. */
static void hash_bytes_of_long_input_ignores_alignment(void **state)
{
    (void)state;
    static uint8_t buffer[1064];
    for (size_t shift = 0; shift < 64; shift++) {
        for (size_t i = 0; i < 1000; i++) {
            buffer[shift + i] = (uint8_t)(i * 7);
        }
        assert_true(hash_bytes(buffer + shift, 1000) == 0x10AD30264426C830);
        struct id128 hash = hash_bytes_128(buffer + shift, 1000);
        assert_true(hash.hi == 0xABEE229CDADAD76D && hash.lo == 0x10AD30264426C830);
    }
}

/* splitmix64 from seed 0 puts out the mixes of 1, 2, 3 times its gamma. */
static void hash_u64_is_splitmix64s_finalizer(void **state)
{
    (void)state;
    const uint64_t gamma = 0x9E3779B97F4A7C15;
    assert_true(hash_u64(0) == 0);
    assert_true(hash_u64(gamma) == 0xE220A8397B1DCDAF);
    assert_true(hash_u64(gamma * 2) == 0x6E789E6AA1B965F4);
    assert_true(hash_u64(gamma * 3) == 0x06C45D188009454F);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_bytes_is_xxh3_64),
        cmocka_unit_test(hash_bytes_128_is_xxh3_128),
        cmocka_unit_test(hash_bytes_of_long_input_ignores_alignment),
        cmocka_unit_test(hash_u64_is_splitmix64s_finalizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
