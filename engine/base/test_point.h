/* test_point.h - places where a test may hold a thread: between two steps that another thread could
 * come between.
 *
 * A point names the function that it stands in. Without a hook, as in every program but a test, it
 * costs one load of a variable that nobody writes. They stand where connections and the client's
 * messages begin and end, not on an order's way through the engine: there base/schedule.h has
 * points that are such ones in a build of their own, and nothing in any other.
 *
 * Threads: any. The hook runs on the thread that has come to the point, with whatever locks that
 * holds there: each point says so. */
#ifndef BASE_TEST_POINT_H
#define BASE_TEST_POINT_H

#include <stdatomic.h>
#include <stddef.h>

typedef void (*test_point_hook)(const char *name);

extern _Atomic(test_point_hook) test_point_hook_now; /* NULL: none */

/* NULL: no hook any more. A thread that has come to a point before may still be in the old one. */
static inline void test_point_set(test_point_hook hook)
{
    /* release: pairs with the acquire in test_point(): what the hook needs is there. */
    atomic_store_explicit(&test_point_hook_now, hook, memory_order_release);
}

static inline void test_point(const char *name)
{
    test_point_hook hook = atomic_load_explicit(&test_point_hook_now, memory_order_acquire);
    if (__builtin_expect(hook != NULL, 0)) {
        hook(name);
    }
}

#endif
