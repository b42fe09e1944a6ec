/* request_orders.h - orders in rows: reserve, commit, release, return, extend.
 *
 * Each function fills call->response. False: the log is closed. The worker's transaction is empty
 * before and after.
 * Threads: any; a worker and a call belong to one. */
#ifndef SERVER_REQUEST_ORDERS_H
#define SERVER_REQUEST_ORDERS_H

#include "server/engine.h"
#include "server/worker.h"

bool request_reserve(struct worker *worker, struct engine_call *call,
                     const struct request *request);
bool request_edit(struct worker *worker, struct engine_call *call, const struct request *request);
bool request_extend(struct worker *worker, struct engine_call *call, const struct request *request);

#endif
