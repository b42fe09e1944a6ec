/* codec.h - messages to and from protobuf. The only user of protobuf-c.
 *
 * Threads: any; an arena belongs to one call. All memory comes from the arena: freeing the arena
 * frees everything. How to add a field: see codec.c. */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "base/arena.h"
#include "wire/message.h"

/* Decodes a request. The result points into the arena; `bytes` may go away. A request without a
 * body decodes to REQUEST_NONE.
 *
 * OK; NO_MEMORY with *error: the machine has no memory now, and the same message may be decoded
 * later; INVALID with *error, static or in the arena: "not a holdfast.v1.Request", "message:
 * 9000000 bytes, at most 8388608", "reserve.orders[3].lines[0].sku: not valid UTF-8", "decoding
 * needs more than ... bytes". */
enum hf_status codec_request_decode(struct arena *arena, struct bytes bytes,
                                    struct request *request, const char **error);

/* The name of a request's body, as "reserve_batch", for people; "" when there is no such body.
 * Static. */
const char *codec_request_name(unsigned type);

/* Encodes a request into the arena. OK or NO_MEMORY. */
enum hf_status codec_request_encode(struct arena *arena, const struct request *request,
                                    struct bytes *out);

/* Decodes a response. OK, or INVALID. */
enum hf_status codec_response_decode(struct arena *arena, struct bytes bytes,
                                     struct response *response);

/* Encodes a response into the arena. OK or NO_MEMORY. */
enum hf_status codec_response_encode(struct arena *arena, const struct response *response,
                                     struct bytes *out);

/* Encodes an answer that needs no arena: BUSY, a message, and when to come again. Returns its
 * length; `room` must suffice: REFUSAL_FIXED_BYTES and the message. */
size_t codec_refusal_encode(const char *message, uint32_t retry_after_ms, uint8_t *to, size_t room);
#define REFUSAL_FIXED_BYTES 16u

#endif
