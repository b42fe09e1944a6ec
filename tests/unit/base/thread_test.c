/* thread_test.c - thread numbers, the spin lock, and the clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/spin.h"
#include "base/thread_slot.h"

static void *slot_of_thread(void *slot)
{
    *(unsigned *)slot = thread_slot();
    for (int i = 0; i < 10; i++) {
        if (thread_slot() != *(unsigned *)slot) {
            *(unsigned *)slot = THREADS_MAX;
        }
    }
    return NULL;
}

/* As many threads as there are slots get one each; the next one shares. */
static void thread_slot_is_dense_and_stays(void **state)
{
    (void)state;
    bool seen[THREADS_MAX] = {false};
    seen[thread_slot()] = true;
    for (unsigned i = 1; i < THREADS_MAX; i++) {
        pthread_t thread;
        unsigned slot = THREADS_MAX;
        assert_int_equal(pthread_create(&thread, NULL, slot_of_thread, &slot), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_in_range(slot, 0, THREADS_MAX - 1);
        assert_false(seen[slot]);
        seen[slot] = true;
    }
    pthread_t thread;
    unsigned slot = THREADS_MAX;
    assert_int_equal(pthread_create(&thread, NULL, slot_of_thread, &slot), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(slot, thread_slot());
}

enum { SPIN_THREADS = 4, SPIN_ROUNDS = 20000 };

struct guarded {
    struct spin spin;
    uint64_t count; /* not atomic: the lock is all that keeps it right */
};

static void *count_up(void *argument)
{
    struct guarded *guarded = argument;
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        spin_lock(&guarded->spin);
        guarded->count++;
        spin_unlock(&guarded->spin);
    }
    return NULL;
}

static void spin_lock_lets_one_thread_in_at_a_time(void **state)
{
    (void)state;
    struct guarded guarded = {0};
    pthread_t threads[SPIN_THREADS];
    for (int i = 0; i < SPIN_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &guarded), 0);
    }
    for (int i = 0; i < SPIN_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(guarded.count, SPIN_THREADS * SPIN_ROUNDS);
}

static void spin_try_lock_fails_while_it_is_held(void **state)
{
    (void)state;
    struct spin spin = {0};
    assert_true(spin_try_lock(&spin));
    assert_false(spin_try_lock(&spin));
    spin_unlock(&spin);
    assert_true(spin_try_lock(&spin));
    spin_unlock(&spin);
}

static void clock_real_agrees_with_the_system(void **state)
{
    (void)state;
    const struct clock *clock = clock_real();
    uint64_t now_ms = clock_unix_ms(clock);
    /* time() reads a coarse clock, which is some milliseconds late: in the second before, at times.
     */
    assert_true(now_ms / 1000 + 2 >= (uint64_t)time(NULL));
    assert_true(now_ms / 1000 <= (uint64_t)time(NULL) + 1);
    uint64_t before_ns = clock_monotonic_ns(clock);
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 2000000};
    assert_int_equal(nanosleep(&pause, NULL), 0);
    uint64_t passed_ns = clock_monotonic_ns(clock) - before_ns;
    assert_in_range(passed_ns, 2000000, 60000000000);
    /* It also counts sleep. The boot stays the same, and is known on Linux. */
    assert_true(clock_boottime_ns(clock) >= clock_monotonic_ns(clock) - 60000000000);
    assert_true(clock_boot(clock) != 0 && clock_boot(clock) >> CLOCK_BOOT_BITS == 0);
    assert_int_equal(clock_boot(clock), clock_boot(clock));
}

static uint64_t simulated_time(void *context)
{
    return (*(uint64_t *)context)++;
}

static void clock_can_be_simulated(void **state)
{
    (void)state;
    uint64_t now = 5;
    struct clock clock = {&now, simulated_time, simulated_time, simulated_time, simulated_time};
    assert_int_equal(clock_unix_ns(&clock), 5);
    assert_int_equal(clock_monotonic_ns(&clock), 6);
    assert_int_equal(clock_boottime_ns(&clock), 7);
    assert_int_equal(clock_boot(&clock), 8);
    now = 7999999;
    assert_int_equal(clock_unix_ms(&clock), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread_slot_is_dense_and_stays),
        cmocka_unit_test(spin_lock_lets_one_thread_in_at_a_time),
        cmocka_unit_test(spin_try_lock_fails_while_it_is_held),
        cmocka_unit_test(clock_real_agrees_with_the_system),
        cmocka_unit_test(clock_can_be_simulated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
