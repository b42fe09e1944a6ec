/* publication.h - lets readers see only states that the log passed through, while other threads
 * publish.
 *
 * Between the append that gives a transaction's records their LSNs and the end of its publication,
 * some of the transaction's changes are visible and some are not. A reader that read then would see
 * a state that the log never had: one order of a transaction, one end of a move, a later record
 * without an earlier one. So a publisher marks its begin, before its append, and its end; and a
 * reader reads between publications:
 *
 *     struct reading reading;
 *     reading_init(&reading);
 *     do {
 *         reading_begin(publication, &reading);
 *         ... read; nothing that is not to be done twice ...
 *     } while (reading_again(publication, &reading));
 *
 * Then what was read is the state at one LSN: with all records before it and none after it. Readers
 * write nothing and wait for no thread. Only a reader that publishers have disturbed too often
 * holds up the publishers that are about to begin, until it has read.
 *
 * Threads: any. One thread at a time publishes in a slot; a thread must not read while it
 * publishes. */
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

/* Begins a publication; call it before the records have their LSNs. slot: 0..THREADS_MAX-1. Costs
 * two stores and two loads. */
void publication_begin(struct publication *publication, unsigned slot);

/* The flag that a slot's publisher sets while it waits for the log and has no LSN yet, and clears
 * before it has one. A reader that holds up all publishers does not wait for one whose flag is set.
 */
atomic_bool *publication_waits(struct publication *publication, unsigned slot);

/* Ends a publication: all of it is visible, or nothing of it ever will be. */
void publication_end(struct publication *publication, unsigned slot);

/* A reader's state between reading_begin and reading_again. */
struct reading {
    uint32_t tries;
    uint32_t slots; /* how many slots have ever published */
    bool holds;     /* it holds up publishers: none may begin */
    uint64_t turns[THREADS_MAX];
};

/* Leaves turns as they are: they are a cache line for every eight threads. */
static inline void reading_init(struct reading *reading)
{
    reading->tries = 0;
    reading->holds = false;
}

void reading_begin(struct publication *publication, struct reading *reading);

/* True: a thread has published since reading_begin; read again. */
bool reading_again(struct publication *publication, struct reading *reading);

#endif
