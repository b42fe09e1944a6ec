/* acceptor.h - the side of a server that accepts: listeners, the connections that they have
 * accepted, and the watchdog over both. REP (transport_server.c) and PUB use it.
 *
 * Threads: one starts and stops it; any may listen. */
#ifndef RPC_ACCEPTOR_H
#define RPC_ACCEPTOR_H

#include <stddef.h>

#include "holdfast/status.h"
#include "rpc/connection.h"
#include "rpc/listener.h"
#include "rpc/watchdog.h"

struct acceptor {
    struct connections connections; /* first: a connection's set leads to its server */
    struct listeners listeners;
    struct watchdog watchdog;
};

/* No listener yet, and no thread. */
void acceptor_init(struct acceptor *acceptor, const struct connection_options *options);

/* Starts the watchdog. OK or NO_MEMORY. */
enum hf_status acceptor_start(struct acceptor *acceptor);

/* As transport_server_listen(). */
enum hf_status acceptor_listen(struct acceptor *acceptor, const char *url, char *actual_url,
                               size_t actual_url_bytes);

/* Ends the watchdog and the listeners. No connection is accepted afterwards; connections stay. May
 * be called again. */
void acceptor_stop(struct acceptor *acceptor);

/* All connections have been released, and it was stopped. */
void acceptor_deinit(struct acceptor *acceptor);

#endif
