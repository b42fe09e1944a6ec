/* units.h - durations and sizes as people write them: a number, then a unit. One table for
 * settings, options, cells of a file and the load generator. A number may have a decimal point,
 * with at most 9 digits after it, where the whole is still a whole number of ms or bytes: 1.5h.
 *
 * Threads: any; pure functions. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

enum units_result {
    UNITS_FINE,
    UNITS_MALFORMED, /* no number, no such unit, or a part of a millisecond or byte */
    UNITS_TOO_LARGE, /* for 64 bits */
};

/* Milliseconds in a unit: "ms", "s", "m" or "min", "h", "d". False: no such unit. */
bool units_of_duration(const char *unit, uint64_t *ms);

/* A duration in ms: 1500, 1500ms, 90s, 15m, 2h, 7d; without a unit: ms. */
enum units_result units_duration(const char *text, uint64_t *ms);

/* A size in bytes: 4096, 64K, 64KiB, 16M, 2G, in any letter case; without a unit: bytes. */
enum units_result units_size(const char *text, uint64_t *bytes);

/* Decimal digits alone. */
enum units_result units_number(const char *text, uint64_t *number);

/* Reads decimal digits and moves *text past them; none: 0. False: more than 64 bits hold. */
bool units_digits(const char **text, uint64_t *number);

#define UNITS_TEXT_BYTES 32u

/* As one would write it, with the largest unit that leaves a whole number: 64M, 15m; 0 has none.
 * Both return text. */
const char *units_text_of_size(uint64_t bytes, char text[UNITS_TEXT_BYTES]);
const char *units_text_of_duration(uint64_t ms, char text[UNITS_TEXT_BYTES]);

#endif
