/* schedule.h - points between steps that several threads take at once, for tests that choose which
 * thread runs next.
 *
 * SCHEDULE_POINT("stock.credit") is placed before a step that another thread can see: a load or a
 * change of a shared word, taking a lock, an append. In a build with HOLDFAST_SCHEDULE a point is a
 * test_point(): the hook that a test has set may let another thread run there
 * (tests/lib/schedule.h). In every other build there is no code at all, so points may be on an
 * order's way.
 *
 * SCHEDULE_WAIT("spin") is placed in a loop that waits for another thread: a test that serializes
 * threads must let the others run there. The hook gets its name with a '~' in front.
 *
 * SCHEDULE_BOUND(usual, small) is a number that tests want small, so that what usually happens
 * after many steps happens after few: how often something is tried, or how many parts it has.
 *
 * A new point is one line. It goes between two steps whose order matters; inside a critical section
 * too, where otherwise no test would see the lock go. */
#ifndef BASE_SCHEDULE_H
#define BASE_SCHEDULE_H

#ifdef HOLDFAST_SCHEDULE

#include "base/test_point.h"

#define SCHEDULE_POINT(name)         test_point(name)
#define SCHEDULE_WAIT(name)          test_point("~" name)
#define SCHEDULE_BOUND(usual, small) (small)

#else

#define SCHEDULE_POINT(name)         ((void)0)
#define SCHEDULE_WAIT(name)          ((void)0)
#define SCHEDULE_BOUND(usual, small) (usual)

#endif

#endif
