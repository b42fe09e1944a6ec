/* lines.h - memory for the lines of orders, in blocks of 1, 2, 4 .. ORDER_LINES_MAX lines.
 *
 * An order of one line needs no block until a part of the line is committed, released or returned.
 * Blocks are cut from chunks whose memory comes with use and is kept until lines_deinit(). A freed
 * block is used for the next order of its size. At start, address space is reserved for as much
 * memory as the machine has.
 *
 * Threads: any. Each pool has a spin lock, which is an innermost one (it may be taken under an
 * order shard's). No allocation and no system call under it. */
#ifndef CORE_LINES_H
#define CORE_LINES_H

#include <stdint.h>

#include "base/limits.h"
#include "core/order.h"
#include "holdfast/status.h"

struct lines;

/* NO_MEMORY when address space is refused. Takes no memory for blocks yet. */
enum hf_status lines_init(struct lines **out);

/* Frees all blocks. NULL is allowed. */
void lines_deinit(struct lines *lines);

/* A block for `count` lines (1..ORDER_LINES_MAX), not zeroed; NULL when out of memory.
 * key: any number; spreads callers over the pools. Free with the same key and count. */
struct order_line_view *lines_alloc(struct lines *lines, uint32_t key, uint32_t count);

/* Frees a block. */
void lines_free(struct lines *lines, uint32_t key, struct order_line_view *block, uint32_t count);

#endif
