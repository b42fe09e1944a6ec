/* link_receive.h - a link's reading side: memory to read into, and which callback reads next.
 *
 * Threads: one reads at a time (link.h). */
#ifndef RPC_LINK_RECEIVE_H
#define RPC_LINK_RECEIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "rpc/frame.h"
#include "rpc/link.h"

#define BATCH_MAX 32u /* messages that are taken out of a chunk at once */

/* What to do with a link after messages were taken. */
enum next {
    NEXT_TAKE,      /* take again: there may be more whole messages */
    NEXT_READ,      /* read: no whole message is left */
    NEXT_DOWN,      /* end the link: the peer does not keep to the protocol */
    NEXT_ELSEWHERE, /* nothing: another callback reads now, or will be made to */
};

enum next next_of(enum parsed parsed);

/* Takes the peer's handshake, if it was not taken yet. */
enum next link_greeting(struct link *link);

/* Called before the messages from `begin` on are handled, which were taken. If handling them may
 * take long, reading continues at once in another thread. A few small messages are handled first:
 * this keeps nng's threads out of each other's way, and saves an answer two system calls. */
enum next link_pass_on(struct link *link, enum next next, size_t begin);

/* Ends a callback's turn: reads, ends the link, or does nothing. */
void link_continue(struct link *link, enum next next);

/* Stops reading while too much is unsent; link_sent() resumes it. True: reading has stopped. Only
 * the thread that reads. */
bool link_choke(struct link *link);

/* Starts the next read: another callback has the link then. Ends the link if it is closed. When
 * there is no memory to read into, this is tried again every 5 ms: nothing is read meanwhile. Only
 * the thread that reads; it has a reference of its own. */
void link_receive(struct link *link);

/* nng's callback: a read has ended, or link_resume() was called. */
void link_received(void *arg);

#endif
