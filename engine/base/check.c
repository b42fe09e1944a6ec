/* check.c - how a failed assertion ends the process.
 *
 * Threads: any. Uses no lock and no allocation of ours: the state may be anything by now. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *function, const char *what)
{
    fprintf(stderr, "%s:%d: %s: check failed: %s\n", file, line, function, what);
    abort();
}
