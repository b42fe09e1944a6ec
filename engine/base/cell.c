/* cell.c - what a cell of a table is. Threads: any; pure. */
#include "base/cell.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

__attribute__((format(printf, 2, 3))) static bool refuse(char *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, CELL_ERROR_BYTES, format, args);
    va_end(args);
    return false;
}

/* ---- Shapes: where each reads on from; len + 1: it is not there ---- */

static char at_of(struct bytes cell, size_t at)
{
    return at < cell.len ? (char)cell.data[at] : '\0';
}

static size_t digits_at(struct bytes cell, size_t at)
{
    size_t end = at;
    while (isdigit((unsigned char)at_of(cell, end))) {
        end++;
    }
    return end - at;
}

/* 1.23E+15, -4,5e-07, 1E+20: a digit, maybe more after a point, an exponent with its sign. With a
 * point the sign may be missing, as in 1.23E15 of other programs. 1E5 may be a code. */
static bool is_scientific(struct bytes cell)
{
    size_t at = at_of(cell, 0) == '-' || at_of(cell, 0) == '+';
    size_t whole = digits_at(cell, at);
    at += whole;
    if (whole == 0) {
        return false;
    }
    bool point = at_of(cell, at) == '.' || at_of(cell, at) == ',';
    if (point) {
        at += 1 + digits_at(cell, at + 1);
    }
    bool sign = at_of(cell, at + 1) == '+' || at_of(cell, at + 1) == '-';
    if (toupper((unsigned char)at_of(cell, at)) != 'E' || (!sign && !point)) {
        return false;
    }
    at += 1 + sign;
    size_t exponent = digits_at(cell, at);
    return exponent > 0 && exponent <= 3 && at + exponent == cell.len;
}

/* 11/11/2026 or 2026/11/11. */
static bool is_slashed_date(struct bytes cell)
{
    size_t digits[3];
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        digits[i] = digits_at(cell, at);
        at += digits[i];
        if (digits[i] == 0 || digits[i] > 4 || (i < 2 && at_of(cell, at++) != '/')) {
            return false;
        }
    }
    bool year_first = digits[0] == 4 && digits[1] <= 2 && digits[2] <= 2;
    bool year_last = digits[0] <= 2 && digits[1] <= 2 && digits[2] == 4;
    return at == cell.len && (year_first || year_last);
}

/* 11-Nov, Nov-26: what becomes of 11-11 or NOV26. */
static bool is_month_date(struct bytes cell)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    bool day_first = isdigit((unsigned char)at_of(cell, 0));
    size_t digits = digits_at(cell, day_first ? 0 : 4);
    size_t month = day_first ? digits + 1 : 0;
    if (digits == 0 || digits > 2 || cell.len != digits + 4 ||
        at_of(cell, day_first ? digits : 3) != '-') {
        return false;
    }
    for (size_t i = 0; i + 3 < sizeof months; i += 3) {
        if (memcmp(cell.data + month, months + i, 3) == 0) {
            return true;
        }
    }
    return false;
}

/* 11 and 11 with the signs for month and day, or year and month: the same in Chinese. */
static bool is_chinese_date(struct bytes cell)
{
    static const char units[3][4] = {"\xE5\xB9\xB4", "\xE6\x9C\x88",
                                     "\xE6\x97\xA5"}; /* year, month, day */
    size_t at = 0;
    unsigned parts = 0;
    for (unsigned i = 0; i < 3; i++) {
        size_t digits = digits_at(cell, at);
        if (digits > 0 && digits <= 4 && cell.len >= at + digits + 3 &&
            memcmp(cell.data + at + digits, units[i], 3) == 0) {
            at += digits + 3;
            parts++;
        }
    }
    return parts >= 2 && at == cell.len;
}

static bool equals(struct bytes cell, const char *word)
{
    return cell.len == strlen(word) && strncasecmp((const char *)cell.data, word, cell.len) == 0;
}

static bool is_error_value(struct bytes cell)
{
    static const char *const values[] = {"#N/A",   "#REF!",   "#VALUE!", "#DIV/0!",
                                         "#NAME?", "#NUM!",   "#NULL!",  "#SPILL!",
                                         "#CALC!", "#FIELD!", "#BUSY!",  "#GETTING_DATA"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (equals(cell, values[i])) {
            return true;
        }
    }
    size_t hashes = 0; /* a column that was too narrow, copied as it was shown */
    while (at_of(cell, hashes) == '#') {
        hashes++;
    }
    return hashes >= 3 && hashes == cell.len;
}

/* 1,234,567 or 1.234 or 1 234: groups of three. */
static bool has_thousands(struct bytes cell)
{
    size_t at = at_of(cell, 0) == '-' || at_of(cell, 0) == '+';
    size_t first = digits_at(cell, at);
    at += first;
    size_t groups = 0;
    while (first >= 1 && first <= 3 && at < cell.len && strchr(",.' ", at_of(cell, at)) &&
           digits_at(cell, at + 1) == 3) {
        groups++;
        at += 4;
    }
    return groups > 0 && at == cell.len;
}

/* Full-width digits and signs, as input methods make them: U+FF0B to U+FF19. */
static bool has_full_width(struct bytes cell)
{
    while (cell.len > 0) {
        uint32_t point;
        size_t step = utf8_next(cell.data, cell.len, &point);
        if (step == 0) {
            return false;
        }
        if (point >= 0xFF0B && point <= 0xFF19) {
            return true;
        }
        cell = (struct bytes){cell.data + step, cell.len - step};
    }
    return false;
}

static bool has_point(struct bytes cell)
{
    size_t at = at_of(cell, 0) == '-' || at_of(cell, 0) == '+';
    at += digits_at(cell, at);
    return at > 0 && (at_of(cell, at) == '.' || at_of(cell, at) == ',') &&
           at + 1 + digits_at(cell, at + 1) == cell.len;
}

/* ---- Readings ---- */

bool cell_is_date(struct bytes cell)
{
    return is_slashed_date(cell) || is_month_date(cell) || is_chinese_date(cell);
}

bool cell_check(struct bytes cell, char error[CELL_ERROR_BYTES])
{
    if (is_error_value(cell)) {
        return refuse(error, "is a spreadsheet's error, not a value");
    }
    if (cell.len >= 2 && cell.data[0] == '=' && cell.data[1] == '"') {
        return refuse(error, "is a spreadsheet's formula: export values");
    }
    return true;
}

static bool refuse_scientific(char *error, struct bytes cell)
{
    return refuse(error,
                  "is what a spreadsheet has turned a number into (%.*s): its digits are "
                  "lost; format the column as text and fill it again",
                  cell.len < 20 ? (int)cell.len : 20, (const char *)cell.data);
}

bool cell_check_name(struct bytes cell, char error[CELL_ERROR_BYTES])
{
    if (!cell_check(cell, error)) {
        return false;
    }
    if (is_scientific(cell)) {
        return refuse_scientific(error, cell);
    }
    if (cell_is_date(cell)) {
        return refuse(error, "is a date: a spreadsheet makes one of what looks like it; format the "
                             "column as text and fill it again");
    }
    if (at_of(cell, 0) == '\'') {
        return refuse(error, "begins with an apostrophe, a spreadsheet's sign for text: take it "
                             "off");
    }
    return true;
}

bool cell_code(struct bytes cell, uint8_t room[TEXT_ROOM_BYTES], struct bytes *code,
               char error[CELL_ERROR_BYTES])
{
    char why[TEXT_ERROR_BYTES];
    if (!cell_check_name(cell, error)) {
        return false;
    }
    return text_take(TEXT_CODE, cell, room, code, why) || refuse(error, "is no code: %s", why);
}

bool cell_spoiled_number(struct bytes cell, char error[CELL_ERROR_BYTES])
{
    if (!cell_check(cell, error)) {
        return true;
    }
    if (is_scientific(cell)) {
        return !refuse_scientific(error, cell);
    }
    if (has_full_width(cell)) {
        return !refuse(error, "has full-width digits or signs: write 0 to 9");
    }
    if (has_thousands(cell)) {
        return !refuse(error, "has a separator of thousands: write digits alone");
    }
    if (has_point(cell)) {
        return !refuse(error, "has a decimal point: write a whole number");
    }
    if (cell_is_date(cell)) {
        return !refuse(error, "is a date, not a number");
    }
    return false;
}

bool cell_number(struct bytes cell, int64_t min, int64_t max, int64_t *value,
                 char error[CELL_ERROR_BYTES])
{
    size_t at = at_of(cell, 0) == '-';
    int64_t sum = 0;
    bool fits = true;
    *value = 0;
    if (cell_spoiled_number(cell, error)) {
        return false;
    }
    if (at_of(cell, 0) == '+') {
        return refuse(error, "has a sign: a cell is the number itself, not a change");
    }
    if (digits_at(cell, at) == 0 || at + digits_at(cell, at) != cell.len) {
        return refuse(error, "is not a whole number");
    }
    for (; at < cell.len; at++) {
        fits = fits && !__builtin_mul_overflow(sum, 10, &sum) &&
               !__builtin_add_overflow(sum, cell.data[at] - '0', &sum);
    }
    *value = !fits ? 0 : cell.data[0] == '-' ? -sum : sum; /* what came round may be INT64_MIN */
    if (!fits || *value < min || *value > max) {
        return refuse(error, "is not between %" PRId64 " and %" PRId64, min, max);
    }
    return true;
}
