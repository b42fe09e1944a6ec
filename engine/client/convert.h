/* convert.h - between the public structs (holdfast/client.h) and those of the wire.
 *
 * Threads: any. */
#ifndef CLIENT_CONVERT_H
#define CLIENT_CONVERT_H

#include <stddef.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/bytes.h"
#include "wire/message.h"

/* A text's bytes, without the terminator; they stay the text's. NULL: none. */
struct bytes convert_bytes(const char *text);

/* Copies `from` into `to`, which has room for to_bytes (1 up), and ends it with a terminator; what
 * does not fit is left out. */
void convert_text(char *to, size_t to_bytes, struct bytes from);

/* What an answer reports about one order, except its grants. */
struct hf_result convert_result(const struct result_message *from);

/* Copies up to `max` grants; returns how many. */
uint32_t convert_grants(struct hf_grant *to, uint32_t max, const struct result_message *from);

void convert_slow_answer(struct hf_slow_answer *to, const struct slow_answer_message *from);

void convert_stock(struct hf_stock *to, const struct stock_message *from);

#endif
