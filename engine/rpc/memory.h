/* memory.h - memory that connections read into (chunks) and write from (outboxes), and the budget
 * that all connections of a listener's owner share.
 *
 * Every byte is charged that was allocated, to the connection that holds it, and nothing that was
 * only announced: a chunk grows to at most 4 times what has come in, from 256 KiB on to twice that.
 * Above `max` the budget is pressed: the watchdog closes those that hold most for longest
 * (watchdog.c). Whoever needs memory meanwhile takes it from the reserve above `max`: long pieces
 * up to `long_max`, short ones up to max + reserve. `used` never passes max + reserve. So long
 * messages can't take the last memory from short ones.
 *
 * Threads: any for a budget and for a chunk's references. An outbox is guarded by its link's lock.
 *
 * Invariant: a chunk or an outbox takes its bytes out of the budget, and returns exactly these when
 * it is freed. The budget's `used` is the sum of its holders' `bytes`. */
#ifndef RPC_MEMORY_H
#define RPC_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNK_BYTES_FIRST  ((size_t)1024)  /* of a connection that has not said much yet */
#define CHUNK_BYTES_MAX    ((size_t)65536) /* a larger chunk holds one long message */
#define OUTBOX_BYTES_FIRST ((size_t)256)
#define OUTBOX_BYTES_KEPT                                                                          \
    ((size_t)262144) /* by a connection that has nothing to send, for a second */

/* Limits what messages and backlogs of all connections take together: each connection has a bound
 * of its own, but there are many connections. */
struct budget {
    atomic_uint_fast64_t used;
    uint64_t max; /* 0: no limit */
    uint64_t reserve;
    uint64_t long_max;            /* for chunks above CHUNK_BYTES_MAX, outboxes above
                                     OUTBOX_BYTES_KEPT */
    atomic_uint_fast64_t wanted;  /* the longest piece that was refused since the watchdog looked */
    atomic_bool pressed;          /* the watchdog was called, and has not looked yet */
    void (*press)(void *context); /* calls the watchdog. Any lock of a link may be held. NULL:
                                     nobody is closed */
    void *context;
};

/* What one connection holds of it. */
struct holder {
    struct budget *budget; /* NULL: nothing is counted */
    atomic_uint_fast64_t bytes;
};

/* A budget of `max` bytes with a reserve of 1/8, of which long pieces may have 3/4 (`max` alone, if
 * nobody is closed for memory: `yields` false). */
void budget_init(struct budget *budget, uint64_t max, bool yields);

/* Memory that a connection reads into. The requests in it are not copied: each exchange whose
 * request is in it has a reference. It is reused or freed when the last of them is answered. */
struct chunk {
    atomic_uint refs; /* the link's own, and one for each exchange with a request in it */
    size_t size;
    struct holder *holder; /* outlives the chunk */
    uint8_t bytes[];
};

/* A chunk with one reference. NULL: no memory, or none left in the budget. */
struct chunk *chunk_make(size_t size, struct holder *holder);
void chunk_get(struct chunk *chunk); /* the caller has a reference */
void chunk_put(struct chunk *chunk); /* NULL: nothing */

/* Messages that are to be written, one after another in one piece of memory. */
struct outbox {
    uint8_t *bytes;
    size_t len;
    size_t room;
    unsigned messages;
};

/* Makes room for `more` bytes. False: no memory, or none left in the budget. */
bool outbox_reserve(struct outbox *outbox, size_t more, struct holder *holder);

/* Adds bytes for which room was reserved. */
void outbox_add(struct outbox *outbox, const void *data, size_t len);

/* Empties the outbox. Frees its memory if it is above OUTBOX_BYTES_KEPT. */
void outbox_clear(struct outbox *outbox, struct holder *holder);

/* Frees the memory. The number of messages stays. */
void outbox_free(struct outbox *outbox, struct holder *holder);

#endif
