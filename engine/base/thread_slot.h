/* thread_slot.h - a small dense number for each thread, to choose its own shard or slot by.
 *
 * Threads: any. Not unique: thread number THREADS_MAX + 1 shares the first one's. So it may
 * choose where to look first, and never who owns something. */
#ifndef BASE_THREAD_SLOT_H
#define BASE_THREAD_SLOT_H

/* The calling thread's number, below THREADS_MAX, the same at each call. Numbers are handed out
 * at first use, in order; a thread's end does not give its number back. */
unsigned thread_slot(void);

#endif
