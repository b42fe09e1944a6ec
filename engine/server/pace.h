/* pace.h - the checkpointer's pauses: how hard it presses while the engine has work.
 *
 * Threads: the checkpointer's. */
#ifndef SERVER_PACE_H
#define SERVER_PACE_H

#include "server/checkpointer.h"

#define IDLE_BYTES_A_SECOND MIB(10) /* of log: 200 000 orders/s count as little to do */
#define RESTS_BUSY          900u    /* percent of a step: a tenth of a processor */

/* How long pauses are now, in percent of a step. */
uint32_t rests_now(const struct engine *engine, bool busy);

/* Before the first step. */
void pace_begin(struct checkpointer *checkpointer);

/* Rests after a step. False: give up, the engine stops. */
bool pace(struct checkpointer *checkpointer);

/* The same for checkpoint_build. context: the checkpointer. */
bool pace_build(void *context, uint64_t done, uint64_t total);

#endif
