/* test_point.c - the hook itself.
 *
 * Threads: any. */
#include "base/test_point.h"

_Atomic(test_point_hook) test_point_hook_now;
