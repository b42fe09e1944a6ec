/* frame.c - SP's bytes in a stream: the handshake, messages' heads, the backtrace. See frame.h.
 *
 * Threads: the one that reads the link. */
#include "rpc/frame.h"

#include <string.h>

#include "base/check.h"
#include "rpc/link.h"

void frame_greeting(uint8_t greeting[GREETING_LEN], uint8_t protocol)
{
    const uint8_t bytes[GREETING_LEN] = {0, 'S', 'P', 0, 0, protocol, 0, 0};
    memcpy(greeting, bytes, sizeof bytes);
}

size_t frame_head(uint8_t head[FRAME_HEAD_MAX], bool is_ipc, uint64_t len)
{
    size_t at = 0;
    if (is_ipc) {
        head[at++] = 1;
    }
    for (unsigned i = 0; i < 8; i++) {
        head[at++] = (uint8_t)(len >> (56 - 8 * i));
    }
    CHECK(at <= FRAME_HEAD_MAX);
    return at;
}

/* Notes when the peer has last said something whole. */
static void link_said(struct link *link)
{
    atomic_store_explicit(&link->said_ms, link->received_ns / 1000000u, memory_order_relaxed);
}

enum parsed frame_take_greeting(struct link *link)
{
    uint8_t expected[GREETING_LEN];
    frame_greeting(expected, link->kind->peer);
    size_t have = link->end - link->begin;
    size_t compare = have < GREETING_LEN ? have : GREETING_LEN;
    if (memcmp(link->chunk->bytes + link->begin, expected, compare) != 0) {
        link->foreign = true;
        return PARSED_BROKEN;
    }
    if (have < GREETING_LEN) {
        return PARSED_PART;
    }
    link->begin += GREETING_LEN;
    link->greeted = true;
    link_said(link);
    link->kind->greeted(link);
    return PARSED_FRAME;
}

/* Splits a message into backtrace and body. PARSED_PART: it went through too many hops. */
static enum parsed parse_backtrace(const uint8_t *at, size_t len, struct frame *frame)
{
    for (unsigned hop = 1; hop <= HOPS_MAX; hop++) {
        if (len < 4u * hop) {
            return PARSED_BROKEN;
        }
        if (at[4u * (hop - 1)] & LAST_HOP) {
            frame->header = (struct bytes){at, 4u * hop};
            frame->body = (struct bytes){at + 4u * hop, len - 4u * hop};
            return PARSED_FRAME;
        }
    }
    return PARSED_PART;
}

enum parsed link_next(struct link *link, struct frame *frame)
{
    for (;;) {
        const uint8_t *at = link->chunk->bytes + link->begin;
        size_t have = link->end - link->begin;
        size_t head_bytes = link->is_ipc ? 9 : 8;
        link->needed = 0;
        if (have < head_bytes) {
            return PARSED_PART;
        }
        uint64_t len = 0;
        for (unsigned i = 0; i < 8; i++) {
            len = len << 8 | at[head_bytes - 8 + i];
        }
        if (len > link->message_bytes_max || (link->is_ipc && at[0] != 1)) {
            return PARSED_BROKEN;
        }
        frame->total = head_bytes + (size_t)len;
        if (have < frame->total) {
            link->needed = frame->total;
            return PARSED_PART;
        }
        enum parsed parsed = parse_backtrace(at + head_bytes, (size_t)len, frame);
        if (parsed != PARSED_PART) {
            return parsed;
        }
        link->begin += frame->total; /* as nng does: it is dropped, and the connection stays */
    }
}

void link_take(struct link *link, const struct frame *frame)
{
    CHECK(link->end - link->begin >= frame->total); /* link_next() has found it whole */
    link->begin += frame->total;
    /* relaxed, both: for those who look whether the connection is quiet or slow. */
    link_said(link);
    if (atomic_load_explicit(&link->long_since_ms, memory_order_relaxed) != 0) {
        atomic_store_explicit(&link->long_since_ms, 0, memory_order_relaxed);
    }
}
