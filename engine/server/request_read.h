/* request_read.h - everything that only reads: orders, stock, rules, the engine's state.
 *
 * Each function fills call->response.
 * Threads: any; no lock of the engine's own. */
#ifndef SERVER_REQUEST_READ_H
#define SERVER_REQUEST_READ_H

#include "server/engine.h"

void request_get_order(struct engine *engine, struct engine_call *call,
                       const struct request *request);
void request_get_stock(struct engine *engine, struct engine_call *call,
                       const struct request *request);
void request_list_stock(struct engine *engine, struct engine_call *call,
                        const struct request *request);
void request_list_orders(struct engine *engine, struct engine_call *call,
                         const struct request *request);
void request_get_skus(struct engine *engine, struct engine_call *call,
                      const struct request *request);
void request_status(struct engine *engine, struct engine_call *call, const struct request *request);

#endif
