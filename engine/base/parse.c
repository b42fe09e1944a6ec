/* parse.c - whole numbers as people write them.
 *
 * Threads: any; pure functions. */
#include "base/parse.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

bool parse_refuse(char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, REASON_BYTES, format, args);
    va_end(args);
    return false;
}

bool all_digits(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

bool parse_unsigned(const char *text, uint64_t min, uint64_t max, uint64_t *value, char *reason)
{
    bool negative = *text == '-';
    if (!all_digits(text + negative)) {
        return parse_refuse(reason, "is not a whole number");
    }
    if (negative || !units_digits(&text, value) || *value < min || *value > max) {
        return parse_refuse(reason, "is not between %" PRIu64 " and %" PRIu64, min, max);
    }
    return true;
}

bool parse_signed(const char *text, int64_t min, int64_t max, int64_t *value, char *reason)
{
    bool negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+');
    uint64_t magnitude = 0;
    if (!all_digits(digits)) {
        return parse_refuse(reason, "is not a whole number");
    }
    bool fits = units_digits(&digits, &magnitude) && magnitude <= INT64_MAX;
    *value = !fits ? 0 : negative ? -(int64_t)magnitude : (int64_t)magnitude;
    if (!fits || *value < min || *value > max) {
        return parse_refuse(reason, "is not between %" PRId64 " and %" PRId64, min, max);
    }
    return true;
}
