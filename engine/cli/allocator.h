/* allocator.h - which allocator the process runs with.
 *
 * Threads: any. */
#ifndef CLI_ALLOCATOR_H
#define CLI_ALLOCATOR_H

/* jemalloc's version, as "5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c"; NULL in sanitized
 * builds, whose sanitizer brings its own allocator. Static. */
const char *cli_allocator(void);

/* Makes now what the allocator would make with new threads, when there may be no memory: so that
 * running out of memory fails calls, and does not end the process. Before other threads run. */
void cli_allocator_ready(void);

#endif
