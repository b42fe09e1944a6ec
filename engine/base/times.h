/* times.h - points in time as people write them, on a command line or in a file: one parser for
 * all, and how times are shown.
 *
 * A time without an offset is local time, in the zone that TZ names (tzset(3); none: UTC). Digits
 * alone are Unix milliseconds, and only where they can be meant so.
 *
 * Threads: the main thread (the zone belongs to the process). */
#ifndef BASE_TIMES_H
#define BASE_TIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

/* Digits alone are taken for the times that a sale can have: what is shorter are seconds or a date,
 * what is longer micro- or nanoseconds, which would all be far from what was meant. */
#define TIME_DIGITS_MIN_MS SALE_TIME_MS_MIN
#define TIME_DIGITS_MAX_MS SALE_TIME_MS_MAX

/* A time as Unix milliseconds: 2026-11-11, 2026-11-11 10:00, 2026-11-11T10:00:00.000, with nothing
 * after it (local time), or Z, +08:00, +0800; or Unix milliseconds; or 0. False with a reason that
 * completes "'20261212' ..."; a local time that does not exist or is there twice, when clocks are
 * set, is refused too. */
bool parse_time(const char *text, uint64_t *unix_ms, char *reason);

/* The same for when a sale opens or closes: a date before 2000 or after 2099 is refused, too, as
 * the engine does. One of 1970 would come to 0, which stands for none: the sale would never close.
 */
bool parse_sale_time(const char *text, uint64_t *unix_ms, char *reason);

#define TIME_TEXT_BYTES 40u

/* "2026-11-11T00:00:00.000Z". */
void time_text(uint64_t unix_ms, char text[TIME_TEXT_BYTES]);

/* "2026-11-11 08:00:00 +08:00": local time, for people; with milliseconds where there are any. */
void time_local_text(uint64_t unix_ms, char text[TIME_TEXT_BYTES]);

#endif
