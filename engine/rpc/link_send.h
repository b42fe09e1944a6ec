/* link_send.h - a link's writing side: what is added while a write is under way leaves with the
 * next.
 *
 * Threads: any. */
#ifndef RPC_LINK_SEND_H
#define RPC_LINK_SEND_H

#include <stdbool.h>

#include "base/bytes.h"
#include "rpc/link.h"

/* Adds a message to what is to be sent. Lock held. False: closed, or no memory. */
bool link_add(struct link *link, struct bytes header, struct bytes body);

/* Prepares what is pending for one write, unless a write is under way. Lock held. True: the caller
 * must write it, with link_unlock() or link_write(). */
bool link_begin_write(struct link *link);

/* Writes what link_begin_write() has prepared. Without the lock; the caller has a reference. */
void link_write(struct link *link);

/* Gives the lock back; then writes if `write`. */
void link_unlock(struct link *link, bool write);

/* Writes what is pending. Without the lock. */
void link_flush(struct link *link);

/* Sends the handshake. False: no memory. */
bool link_send_greeting(struct link *link);

/* nng's callback: a write has ended. */
void link_sent(void *arg);

#endif
