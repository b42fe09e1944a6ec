/* caller_order.h - an order as its caller hands it in: what it takes, and a copy of it.
 *
 * The order is valid (validate.h), except where a function takes any. Threads: any. */
#ifndef CLIENT_CALLER_ORDER_H
#define CLIENT_CALLER_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include <holdfast/client.h>

/* About what an order without its lines takes in a message. */
#define CALLER_ORDER_BYTES 64u

/* The most grants that an order can have: one for each line, in split lines one for each item. Any
 * order. */
uint32_t caller_order_grants_max(const struct hf_order *order);

/* Fallbacks of all its lines. Any order. */
uint32_t caller_order_fallbacks(const struct hf_order *order);

/* About what it takes in a message. */
size_t caller_order_bytes(const struct hf_order *order);

/* What a copy takes: the order, its lines, their fallbacks and names. */
size_t caller_order_copy_bytes(const struct hf_order *order);

/* Copies it to `to`, which has room for caller_order_copy_bytes() and is aligned as malloc's. */
struct hf_order *caller_order_copy(void *to, const struct hf_order *order);

#endif
