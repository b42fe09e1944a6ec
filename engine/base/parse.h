/* parse.h - whole numbers as people write them on a command line, in a file or in a request.
 *
 * A parser returns true, or false with a reason (REASON_BYTES) that completes "'12x' ...": "is not
 * a whole number".
 *
 * Threads: any; pure functions. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#define REASON_BYTES 128u

/* Writes a reason, which is truncated to REASON_BYTES, and returns false. */
__attribute__((format(printf, 2, 3))) bool parse_refuse(char *reason, const char *format, ...);

/* One decimal digit or more, and nothing else. */
bool all_digits(const char *text);

/* Decimal digits, min..max. */
bool parse_unsigned(const char *text, uint64_t min, uint64_t max, uint64_t *value, char *reason);

/* Decimal digits after an optional sign, min..max. */
bool parse_signed(const char *text, int64_t min, int64_t max, int64_t *value, char *reason);

#endif
