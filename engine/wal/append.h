/* append.h - the groups that appenders fill and the writer takes over. Private to engine/wal.
 *
 * wal_append, wal_wait, wal_admit and the getters, which append.c has too, are declared in wal.h.
 *
 * Threads: as each function says. */
#ifndef WAL_APPEND_H
#define WAL_APPEND_H

#include "wal/wal_private.h"

static inline struct wal_group *wal_group(struct wal *wal, uint64_t number)
{
    return &wal->groups[number % WAL_GROUPS];
}

/* The group that takes appends, or NULL when no buffer is free. append.lock is held. */
struct wal_group *wal_filling_group(struct wal *wal);

/* Makes a group empty, for its next use. Nobody waits for it. append.lock is held, or no other
 * thread runs yet. */
void wal_group_reset(struct wal_group *group);

#endif
