/* thread_slot.h - a small dense number for each thread, by which it chooses its shard or slot.
 *
 * Threads: any. Not unique: thread number THREADS_MAX + 1 has the same number as the first. So the
 * number may choose where a thread looks first, but never which thread owns something. */
#ifndef BASE_THREAD_SLOT_H
#define BASE_THREAD_SLOT_H

/* The calling thread's number, below THREADS_MAX, the same at each call. Threads get their numbers
 * in the order of their first calls. The end of a thread does not free its number. */
unsigned thread_slot(void);

#endif
