/* call.h - a request that has a message of its own, run to its answer.
 *
 * Threads: any. */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "client/flight.h"

/* Runs a request whose answer has one type, and waits for it. HF_OK: *flight holds an answer of
 * that type and is to be released. Else the status is the engine's own, or flight_exchange()'s, and
 * *flight is not to be used. */
enum hf_status call_run(struct hf_client *client, struct request *request, enum response_type type,
                        struct flight **flight);

#endif
