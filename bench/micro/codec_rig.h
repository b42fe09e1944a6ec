/* codec_rig.h - a reserve request and its answer, as rows or as columns, for the codec's suite.
 *
 * Plain enough for C++. Threads: one. */
#ifndef MICRO_CODEC_RIG_H
#define MICRO_CODEC_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct codec_rig;

/* A message of `orders` one-line orders. Never fails (aborts). */
struct codec_rig *codec_rig_make(uint32_t orders, bool columns);
void codec_rig_free(struct codec_rig *rig);

/* Each returns the message's bytes on the wire. The arena is cleared before. */
size_t codec_rig_encode_request(struct codec_rig *rig);
size_t codec_rig_decode_request(struct codec_rig *rig);
size_t codec_rig_encode_response(struct codec_rig *rig);
size_t codec_rig_decode_response(struct codec_rig *rig);

#ifdef __cplusplus
}
#endif

#endif
