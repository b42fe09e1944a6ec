/* memory.h - memory that connections read into (chunks) and write from (outboxes), and the budget
 * that all connections of a listener's owner share.
 *
 * Threads: any for a budget and for a chunk's references. An outbox is guarded by its link's lock.
 *
 * Invariant: a chunk or an outbox above a size takes its bytes out of the budget, and returns
 * exactly these when it is freed. */
#ifndef RPC_MEMORY_H
#define RPC_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNK_BYTES_MIN   ((size_t)4096)
#define CHUNK_BYTES_MAX   ((size_t)65536)  /* a larger chunk holds one long message */
#define OUTBOX_BYTES_KEPT ((size_t)262144) /* by a connection that has nothing to send */

/* Limits what long messages and backlogs of all connections take together: each connection has a
 * bound of its own, but there are many connections. */
struct budget {
    atomic_uint_fast64_t used;
    uint64_t max; /* 0: no limit */
};

/* Memory that a connection reads into. The requests in it are not copied: each exchange whose
 * request is in it has a reference. It is reused or freed when the last of them is answered. */
struct chunk {
    atomic_uint refs; /* the link's own, and one for each exchange with a request in it */
    size_t size;
    struct budget *budget; /* NULL: takes nothing out of a budget */
    uint8_t bytes[];
};

/* A chunk with one reference. NULL: no memory, or none left in the budget. Only chunks above
 * CHUNK_BYTES_MAX count against the budget. */
struct chunk *chunk_make(size_t size, struct budget *budget);
void chunk_get(struct chunk *chunk); /* the caller has a reference */
void chunk_put(struct chunk *chunk); /* NULL: nothing */

/* Messages that are to be written, one after another in one piece of memory. */
struct outbox {
    uint8_t *bytes;
    size_t len;
    size_t room;
    size_t budgeted; /* bytes of `room` that were taken out of the link's budget */
    unsigned messages;
};

/* Makes room for `more` bytes. False: no memory, or none left in the budget. Only outboxes above
 * OUTBOX_BYTES_KEPT count against the budget. */
bool outbox_reserve(struct outbox *outbox, size_t more, struct budget *budget);

/* Adds bytes for which room was reserved. */
void outbox_add(struct outbox *outbox, const void *data, size_t len);

/* Empties the outbox. Frees its memory if it is above OUTBOX_BYTES_KEPT. */
void outbox_clear(struct outbox *outbox, struct budget *budget);

/* Frees the memory. The number of messages stays. */
void outbox_free(struct outbox *outbox, struct budget *budget);

#endif
