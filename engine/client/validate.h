/* validate.h - arguments are checked before anything is sent: a malformed order must not spoil the
 * message that it would share with others.
 *
 * Each returns HF_OK, or HF_INVALID with the thread's last message, which begins with the field.
 * Threads: any. */
#ifndef CLIENT_VALIDATE_H
#define CLIENT_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <holdfast/client.h>

/* The whole order, also NULL. */
enum hf_status validate_order(const struct hf_order *order);

/* A SKU's or a pool's code; NULL and "" are missing. */
enum hf_status validate_code(const char *field, const char *code, bool may_be_missing);

/* UTF-8 of at most bytes_max; NULL is fine. */
enum hf_status validate_text(const char *field, const char *text, size_t bytes_max);

/* 1..max. */
enum hf_status validate_count(const char *field, uint32_t count, uint32_t max);

#endif
