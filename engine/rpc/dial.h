/* dial.h - REQ: the client's connection, dialed again and again while there is none; the timer.
 *
 * The timer ends late calls, dials, and gives up a peer that does not greet. It runs only as long
 * as there is something to do.
 *
 * Threads: any; most of it runs in nng's callbacks. */
#ifndef RPC_DIAL_H
#define RPC_DIAL_H

#include "rpc/client_call.h"

#define RECONNECT_MIN_MS 10u /* between two dials, at first */

/* Makes the dialer and the timer. OK, NO_MEMORY, INVALID (bad URL). */
enum hf_status dial_open(struct transport_client *client);

/* Dials for the first time, and starts the timer. */
void dial_start(struct transport_client *client);

/* Ends timer and dialer. client->closing is set. Without the lock. */
void dial_stop(struct transport_client *client);

/* Starts the timer if there is something to do. Lock held. */
void client_tick(struct transport_client *client);

/* A call waits while there is no connection: the next dial comes sooner. Lock held. */
void client_hurry(struct transport_client *client);

/* Frees the client. Nothing refers to it any more. */
void client_free(struct transport_client *client);

#endif
