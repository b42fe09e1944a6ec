/* serve_stream.h - the change stream of a running engine, for other services.
 *
 * It follows the log's files, as `wal tail` does, and so tells only what is durable; the engine's
 * own threads know nothing of it. docs/protocol.md has the messages.
 *
 * Threads: start and stop from the main thread; two of its own. */
#ifndef CLI_SERVE_STREAM_H
#define CLI_SERVE_STREAM_H

#include <stdbool.h>

#include "server/server.h"

/* Begins to serve the log of a data directory that there may not be yet, on the addresses that the
 * settings name, if any. The settings outlive it. False: what is wrong has been said. */
bool serve_stream_start(const struct config *config, server_announce announce);

/* Ends the threads, if they were started. */
void serve_stream_stop(void);

#endif
