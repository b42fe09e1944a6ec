/* parallel.h - one piece of work done by several threads at once. */
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

/* Calls work(context, number) for each number below `count`, each in a thread of its own, the last
 * in the caller's. Returns when all are done. If the system has no more threads, the caller does
 * their work too, one after the other: so no call may wait for another. */
void parallel_run(unsigned count, void (*work)(void *context, unsigned number), void *context);

#endif
