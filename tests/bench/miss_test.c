/* miss_test.c - that accesses are measured on all ways. None is judged: machines differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/miss.h"

static void miss_measures_all_three_and_gives_the_memory_back(void **state)
{
    (void)state;
    struct miss_plan plan = {.bytes = MISS_BYTES_MIN, .seconds = 0.01, .threads = 3};
    for (int i = 0; i < 2; i++) {
        struct miss miss;
        assert_int_equal(miss_measure(&plan, &miss), 0);
        assert_true(miss.alone_ns > 0);
        assert_true(miss.in_flight_ns > 0);
        assert_true(miss.all_in_flight_ns > 0);
        assert_true(miss.huge_share >= 0 && miss.huge_share <= 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(miss_measures_all_three_and_gives_the_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
