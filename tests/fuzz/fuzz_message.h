/* fuzz_message.h - changes of requests and responses that know their fields: rows and columns grow
 * and shrink together, and each number becomes one at or beside a bound of its own.
 *
 * It walks the codec's own tables, so a field that is added to the protocol is fuzzed by itself.
 * Threads: one. */
#ifndef FUZZ_FUZZ_MESSAGE_H
#define FUZZ_FUZZ_MESSAGE_H

#include "base/arena.h"
#include "lib/rng.h"
#include "wire/message.h"

/* Changes one thing in a decoded message, whose memory and what is added are the arena's. */
void fuzz_mutate_request(struct rng *rng, struct arena *arena, struct request *request);
void fuzz_mutate_response(struct rng *rng, struct arena *arena, struct response *response);

#endif
