/* housekeeper.h - what is done all the time beside requests: expiry, forgetting, memory ahead of
 * use.
 *
 * Threads: one, the housekeeper's own, with a worker of its own; in a simulation the only one. */
#ifndef SERVER_HOUSEKEEPER_H
#define SERVER_HOUSEKEEPER_H

#include <stdbool.h>
#include <stdint.h>

struct engine;

/* Expires what is due, in at most so many transactions. *more: some are left. Returns how many
 * expired. */
uint64_t expire_due(struct engine *engine, uint32_t transactions_max, bool *more);

/* The thread, until engine->expirer_stop. argument: the engine. */
void *expirer_main(void *argument);

#endif
