/* handlers.h - the threads that handle requests: REP's own, not nng's.
 *
 * nng's threads accept, read, write and keep time for all connections: none of them may be kept
 * from that. So requests are handled by threads of the server, as many as there are processors.
 * There is one exception: when nothing waits, a handler is free and the request is small, the
 * thread that has read it handles it at once; to wake another thread would take longer. At most
 * `handlers` requests are handled at once, on whichever threads, and nng has twice as many threads
 * as processors.
 *
 * Threads: one starts and stops them. */
#ifndef RPC_HANDLERS_H
#define RPC_HANDLERS_H

#include <stdbool.h>

#include "holdfast/status.h"
#include "rpc/exchange.h"

/* Processors that this process may use: by its affinity, and by its control group's quota. */
unsigned handlers_default(void);

/* Starts the threads: one more than may handle at once. While all handlers are stuck, it refuses
 * what has waited too long. OK or NO_MEMORY; handlers_stop() ends those that were started. */
enum hf_status handlers_start(struct transport_server *server);

/* Drops what waits, and waits until no handler runs; none runs afterwards. No arrival may come any
 * more. May be called again. */
void handlers_stop(struct transport_server *server);

/* Handles one turn on this thread, if a handler is free. Lock held, and given back. */
void handlers_run_here(struct transport_server *server);

#endif
