/* frame.h - SP's bytes in a stream: the handshake (greeting), the head of each message, and the
 * backtrace of REQ/REP.
 *
 * A message is 8 bytes of length, big-endian (over ipc one byte with the value 1 before them), and
 * then its bytes. Those of REQ/REP begin with the backtrace: words of 4 bytes, of which the last
 * has its first bit set.
 *
 * Threads: the functions with a link are for the thread that reads it (link.h). */
#ifndef RPC_FRAME_H
#define RPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct link;

/* The protocols' numbers. */
#define PROTOCOL_PUB 0x20
#define PROTOCOL_SUB 0x21
#define PROTOCOL_REQ 0x30
#define PROTOCOL_REP 0x31

#define GREETING_LEN   8u
#define FRAME_HEAD_MAX 9u
#define HOPS_MAX       8u    /* words of a backtrace (nng's default) */
#define LAST_HOP       0x80u /* in the first byte of the backtrace's last word: the request's id */

/* One whole message, in the link's chunk. */
struct frame {
    struct bytes header; /* the backtrace */
    struct bytes body;
    size_t total; /* bytes in the stream */
};

enum parsed {
    PARSED_FRAME,  /* whole */
    PARSED_PART,   /* more bytes must come first */
    PARSED_BROKEN, /* the peer does not keep to the protocol */
};

/* Writes a protocol's handshake. */
void frame_greeting(uint8_t greeting[GREETING_LEN], uint8_t protocol);

/* Writes the head of a message of `len` bytes, and returns the head's own bytes: 8, or 9 over ipc.
 */
size_t frame_head(uint8_t head[FRAME_HEAD_MAX], bool is_ipc, uint64_t len);

/* Takes the peer's handshake out of what has come in, and calls the kind's greeted(). */
enum parsed frame_take_greeting(struct link *link);

/* Finds the next message of a link. link_take() then takes it. Messages that went through more than
 * HOPS_MAX hops are skipped. */
enum parsed link_next(struct link *link, struct frame *frame);
void link_take(struct link *link, const struct frame *frame);

#endif
