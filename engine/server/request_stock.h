/* request_stock.h - definitions, adjustments and moves.
 *
 * Each function fills call->response. False: the log is closed. The worker's transaction is empty
 * before and after.
 * Threads: any; they take the core's admin lock. */
#ifndef SERVER_REQUEST_STOCK_H
#define SERVER_REQUEST_STOCK_H

#include "server/engine.h"
#include "server/worker.h"

bool request_define(struct worker *worker, struct engine_call *call, const struct request *request);
bool request_adjust(struct worker *worker, struct engine_call *call, const struct request *request);

#endif
