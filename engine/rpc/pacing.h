/* pacing.h - connections that are not read from for some milliseconds, because they send more than
 * is handled.
 *
 * To read and refuse a message costs as much as to handle one or two: its connection's socket is
 * polled, a thread is woken, and it reads a few hundred bytes. A connection that has just been
 * refused is read from again after PACE_NS, and then much has come at once. Meanwhile TCP slows its
 * sender down. So a flood costs little, and what handlers have to do goes on. What is unread in
 * such a connection's socket may be PACE_NS older than its time of reading says.
 *
 * Threads: any. Invariant: a paced connection has its reads' reference, and one for the list. */
#ifndef RPC_PACING_H
#define RPC_PACING_H

#include <stdbool.h>
#include <stdint.h>

#include "rpc/exchange.h"

#define PACE_NS 8000000u

/* Puts a connection aside instead of reading from it, if it was refused since `since_ns`. Only the
 * thread that reads. False: it is to be read from. */
bool pacing_park(struct transport_server *server, struct connection *connection, uint64_t since_ns);

/* Reads again from those whose time has come; with `all`, from all. Without the lock. */
void pacing_resume(struct transport_server *server, bool all);

/* Reads again from one connection, if nothing of it waits any more and its class is not overloaded:
 * there is room again. Without the lock; the caller has a reference. */
void pacing_resume_early(struct transport_server *server, struct connection *connection);

/* The time of one has come. Lock held. */
bool pacing_is_due(const struct transport_server *server);

#endif
