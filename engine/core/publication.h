/* publication.h - reading what the log passes through, beside threads that publish.
 *
 * Between the append that gives a transaction's records their LSNs and the end of its publication
 * some of what they say is visible and some is not. A reader that looked then would see a state
 * that the log never had: one order of a transaction, one end of a move, a later record without an
 * earlier one. So a publisher says when it begins, before its append, and when it has ended; and a
 * reader looks between publications:
 *
 *     struct reading reading;
 *     reading_init(&reading);
 *     do {
 *         reading_begin(publication, &reading);
 *         ... read; nothing that is not to be done twice ...
 *     } while (reading_again(publication, &reading));
 *
 * Then what was read is the state at one LSN, with all records before it and none behind. Readers
 * write nothing and wait for nobody; only one that has come in between too often holds up those who
 * are about to begin, for as long as its look takes.
 *
 * Threads: any. A slot publishes for one thread at a time; who publishes must not read meanwhile.
 */
#ifndef CORE_PUBLICATION_H
#define CORE_PUBLICATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "holdfast/status.h"

struct publication;

/* NO_MEMORY. */
enum hf_status publication_init(struct publication **out);
void publication_deinit(struct publication *publication);

/* Before the records have their LSNs; two stores and two loads. slot: 0..THREADS_MAX-1. */
void publication_begin(struct publication *publication, unsigned slot);

/* To be true while who publishes in the slot waits for the log and has no LSN yet, and false before
 * it has one: a reader that holds up all others does not wait for such a one. */
atomic_bool *publication_waits(struct publication *publication, unsigned slot);

/* All is visible, or nothing of it ever will be. */
void publication_end(struct publication *publication, unsigned slot);

/* A reader's place. */
struct reading {
    uint32_t tries;
    uint32_t slots; /* how many slots have ever published */
    bool holds;     /* nobody may begin */
    uint64_t turns[THREADS_MAX];
};

/* Not initialized as a whole: it is a cache line for each eight threads. */
static inline void reading_init(struct reading *reading)
{
    reading->tries = 0;
    reading->holds = false;
}

void reading_begin(struct publication *publication, struct reading *reading);

/* True: somebody published meanwhile, read again. */
bool reading_again(struct publication *publication, struct reading *reading);

#endif
