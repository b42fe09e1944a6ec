/* request_batch.h - orders in columns: reserve_batch, commit_batch, release_batch.
 *
 * Each function fills call->response. False: the log is closed. The worker's transaction is empty
 * before and after.
 * Threads: any; a worker and a call belong to one. */
#ifndef SERVER_REQUEST_BATCH_H
#define SERVER_REQUEST_BATCH_H

#include "server/engine.h"
#include "server/worker.h"

bool request_reserve_batch(struct worker *worker, struct engine_call *call,
                           const struct request *request);
bool request_edit_batch(struct worker *worker, struct engine_call *call,
                        const struct request *request);

#endif
