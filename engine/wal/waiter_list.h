/* waiter_list.h - lists of those who wait for the log, in the order in which they came. Private to
 * engine/wal.
 *
 * Threads: a list belongs to whoever holds the lock that guards it. */
#ifndef WAL_WAITER_LIST_H
#define WAL_WAITER_LIST_H

#include <stdbool.h>

#include "wal/wal.h"

/* All zero is empty. The waiters are linked through wal_waiter.next. */
struct waiter_list {
    struct wal_waiter *first;
    struct wal_waiter *last;
};

/* Adds one at the end. */
void waiter_list_add(struct waiter_list *list, struct wal_waiter *waiter);

/* Moves all of `more` to the end of `list`; `more` is empty then. */
void waiter_list_join(struct waiter_list *list, struct waiter_list *more);

/* True when more than `count` wait. Costs at most count + 1 steps. */
bool waiter_list_longer(const struct waiter_list *list, unsigned count);

/* Empties the list and calls done(status) of each waiter in turn. Hold no lock. True when there
 * was a waiter. */
bool waiter_list_tell(struct waiter_list *list, enum hf_status status);

#endif
