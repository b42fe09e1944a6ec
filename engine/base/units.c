/* units.c - durations and sizes as people write them.
 *
 * Threads: any; pure functions. */
#include "base/units.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"

#define DECIMALS_MAX 9u /* with a unit of a day or a GiB still within 64 bits */

bool units_of_duration(const char *unit, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1},           {"s", 1000},         {"m", 60u * 1000},
                 {"min", 60u * 1000}, {"h", 3600u * 1000}, {"d", 86400u * 1000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].unit) == 0) {
            *ms = units[i].ms;
            return true;
        }
    }
    return false;
}

static bool unit_of_size(const char *unit, uint64_t *bytes)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"K", KIB(1)},   {"KiB", KIB(1)}, {"M", MIB(1)},
                 {"MiB", MIB(1)}, {"G", GIB(1)},   {"GiB", GIB(1)}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcasecmp(unit, units[i].unit) == 0) {
            *bytes = units[i].bytes;
            return true;
        }
    }
    return false;
}

bool units_digits(const char **text, uint64_t *number)
{
    bool fits = true;
    *number = 0;
    for (; **text >= '0' && **text <= '9'; ++*text) {
        fits = fits && !__builtin_mul_overflow(*number, 10u, number) &&
               !__builtin_add_overflow(*number, (uint64_t)(**text - '0'), number);
    }
    return fits;
}

/* Digits after a point, as so many of `factor`; false: that is no whole number. */
static bool take_fraction(const char *digits, size_t count, uint64_t factor, uint64_t *value)
{
    uint64_t part = 0;
    uint64_t whole = 1;
    for (size_t i = 0; i < count; i++) {
        part = part * 10 + (uint64_t)(digits[i] - '0');
        whole *= 10;
    }
    *value = part * factor / whole;
    return part * factor % whole == 0;
}

static enum units_result take(const char *text, bool (*unit_of)(const char *, uint64_t *),
                              uint64_t *value)
{
    uint64_t number;
    uint64_t factor = 1;
    uint64_t rest = 0;
    const char *at = text;
    bool fits = units_digits(&at, &number);
    const char *point = *at == '.' ? at : NULL;
    size_t decimals = point ? strspn(point + 1, "0123456789") : 0;
    if (at == text || (point && (decimals == 0 || decimals > DECIMALS_MAX))) {
        return UNITS_MALFORMED;
    }
    at += point ? decimals + 1 : 0;
    if ((*at != '\0' && !unit_of(at, &factor)) ||
        (point && !take_fraction(point + 1, decimals, factor, &rest))) {
        return UNITS_MALFORMED;
    }
    fits = fits && !__builtin_mul_overflow(number, factor, value) &&
           !__builtin_add_overflow(*value, rest, value);
    return fits ? UNITS_FINE : UNITS_TOO_LARGE;
}

enum units_result units_duration(const char *text, uint64_t *ms)
{
    return take(text, units_of_duration, ms);
}

enum units_result units_size(const char *text, uint64_t *bytes)
{
    return take(text, unit_of_size, bytes);
}

enum units_result units_number(const char *text, uint64_t *number)
{
    const char *at = text;
    bool fits = units_digits(&at, number);
    if (at == text || *at != '\0') {
        return UNITS_MALFORMED;
    }
    return fits ? UNITS_FINE : UNITS_TOO_LARGE;
}

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* With the largest unit that leaves a whole number. The last unit is 1. */
static const char *write_with_unit(const struct unit *units, uint64_t number,
                                   char text[UNITS_TEXT_BYTES])
{
    const char *suffix = "";
    uint64_t factor = 1;
    for (const struct unit *unit = units; number > 0; unit++) {
        if (number % unit->factor == 0) {
            suffix = unit->suffix;
            factor = unit->factor;
            break;
        }
    }
    snprintf(text, UNITS_TEXT_BYTES, "%llu%s", (unsigned long long)(number / factor), suffix);
    return text;
}

const char *units_text_of_size(uint64_t bytes, char text[UNITS_TEXT_BYTES])
{
    static const struct unit units[] = {{"G", GIB(1)}, {"M", MIB(1)}, {"K", KIB(1)}, {"", 1}};
    return write_with_unit(units, bytes, text);
}

const char *units_text_of_duration(uint64_t ms, char text[UNITS_TEXT_BYTES])
{
    static const struct unit units[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    return write_with_unit(units, ms, text);
}
