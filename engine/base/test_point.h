/* test_point.h - places where a test may hold a thread: between two steps that another thread could
 * come between.
 *
 * A point names the function that it is in. Without a hook, as in every program except a test, it
 * costs one load of a variable that nobody writes. Points are where connections and the client's
 * messages begin and end, not on an order's way through the engine: the points of base/schedule.h
 * are there, which are code only in a build of their own.
 *
 * Threads: any. The hook runs on the thread that has come to the point, with the locks that it
 * holds there: a comment at each point names them. */
#ifndef BASE_TEST_POINT_H
#define BASE_TEST_POINT_H

#include <stdatomic.h>
#include <stddef.h>

typedef void (*test_point_hook)(const char *name);

extern _Atomic(test_point_hook) test_point_hook_now; /* NULL: no hook */

/* NULL: removes the hook. A thread that came to a point before may still be in the old one. */
static inline void test_point_set(test_point_hook hook)
{
    /* release: pairs with the acquire in test_point(): the hook's data are visible. */
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
