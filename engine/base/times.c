/* times.c - points in time as people write them.
 *
 * Threads: the main thread. */
#include "base/times.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/parse.h"

/* ---- Digits alone ---- */

/* Eight digits, or the first eight of more, that are a year of this or the next century, a month
 * and a day. */
static bool looks_like_date(const char *digits)
{
    char part[9];
    memcpy(part, digits, 8);
    part[8] = '\0';
    unsigned long number = strtoul(part, NULL, 10);
    unsigned long year = number / 10000;
    unsigned long month = number / 100 % 100;
    unsigned long day = number % 100;
    return year >= 1970 && year <= 2199 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* Why digits are no Unix milliseconds: what they were meant as, where that can be told. */
static bool refuse_digits(const char *text, uint64_t value, char *reason)
{
    size_t len = strlen(text);
    if (len == 8 && looks_like_date(text)) {
        return parse_refuse(reason, "looks like a date: write %.4s-%.2s-%.2s", text, text + 4,
                            text + 6);
    }
    if ((len == 12 || len == 14) && looks_like_date(text)) {
        return parse_refuse(
            reason, "looks like a date and a time: write '%.4s-%.2s-%.2s %.2s:%.2s%s%.2s'", text,
            text + 4, text + 6, text + 8, text + 10, len == 14 ? ":" : "", text + 12);
    }
    if (value >= TIME_DIGITS_MIN_MS / 1000 && value <= TIME_DIGITS_MAX_MS / 1000) {
        return parse_refuse(reason, "looks like Unix seconds: write %" PRIu64 "000 (milliseconds)",
                            value);
    }
    if (len == 16 || len == 19) {
        return parse_refuse(reason, "looks like Unix %s: write milliseconds",
                            len == 16 ? "microseconds" : "nanoseconds");
    }
    return parse_refuse(
        reason, "is no time in Unix milliseconds of the years 2000 to 2099 (%llu..%llu)",
        (unsigned long long)TIME_DIGITS_MIN_MS, (unsigned long long)TIME_DIGITS_MAX_MS);
}

static bool parse_digits(const char *text, uint64_t *unix_ms, char *reason)
{
    uint64_t value;
    if (!parse_unsigned(text, 0, UINT64_MAX, &value, reason)) {
        return refuse_digits(text, 0, reason);
    }
    bool zero = text[strspn(text, "0")] == '\0';
    if (!zero && (value < TIME_DIGITS_MIN_MS || value > TIME_DIGITS_MAX_MS)) {
        return refuse_digits(text, value, reason);
    }
    *unix_ms = value;
    return true;
}

/* ---- Dates ---- */

/* A date and a time of day as they were written. */
struct written {
    struct tm tm;
    int ms;
    bool has_offset;
    int offset_s;
};

/* Exactly `width` digits. */
static bool take_fixed(const char **text, int width, int *value)
{
    *value = 0;
    for (int i = 0; i < width; i++, (*text)++) {
        if (**text < '0' || **text > '9') {
            return false;
        }
        *value = *value * 10 + (**text - '0');
    }
    return true;
}

static bool take_char(const char **text, char c)
{
    if (**text != c) {
        return false;
    }
    (*text)++;
    return true;
}

/* A fraction of a second, ".5" up to ".999999999"; what is below a millisecond is dropped. */
static bool take_fraction(const char **text, int *ms)
{
    int scale = 100;
    int digits = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++, digits++) {
        *ms += (**text - '0') * scale;
        scale /= 10;
    }
    return digits >= 1 && digits <= 9;
}

/* HH:MM[:SS[.fff]] */
static bool take_clock(const char **text, struct written *written)
{
    struct tm *tm = &written->tm;
    if (!take_fixed(text, 2, &tm->tm_hour) || !take_char(text, ':') ||
        !take_fixed(text, 2, &tm->tm_min)) {
        return false;
    }
    if (take_char(text, ':') && (!take_fixed(text, 2, &tm->tm_sec) ||
                                 (take_char(text, '.') && !take_fraction(text, &written->ms)))) {
        return false;
    }
    return tm->tm_hour <= 23 && tm->tm_min <= 59 && tm->tm_sec <= 59;
}

/* Z, +HH:MM, +HHMM, or nothing. */
static bool take_offset(const char **text, struct written *written)
{
    if (**text == '\0') {
        return true;
    }
    written->has_offset = true;
    if (take_char(text, 'Z')) {
        return true;
    }
    take_char(text, ' '); /* as time_local_text() writes it */
    int sign = **text == '+' ? 1 : **text == '-' ? -1 : 0;
    int hours;
    int minutes;
    if (sign == 0) {
        return false;
    }
    (*text)++;
    if (!take_fixed(text, 2, &hours)) {
        return false;
    }
    take_char(text, ':');
    if (!take_fixed(text, 2, &minutes)) {
        return false;
    }
    written->offset_s = sign * (hours * 3600 + minutes * 60);
    return hours <= 14 && minutes <= 59;
}

static bool take_written(const char *text, struct written *written)
{
    struct tm *tm = &written->tm;
    int year;
    int month;
    int day;
    if (!take_fixed(&text, 4, &year) || !take_char(&text, '-') || !take_fixed(&text, 2, &month) ||
        !take_char(&text, '-') || !take_fixed(&text, 2, &day)) {
        return false;
    }
    if ((take_char(&text, 'T') || take_char(&text, ' ')) &&
        (!take_clock(&text, written) || !take_offset(&text, written))) {
        return false;
    }
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    struct tm moved = *tm;
    timegm(&moved); /* makes the 31st of November the 1st of December: such a date is none */
    return *text == '\0' && moved.tm_mon == month - 1 && moved.tm_mday == day;
}

static long offset_at(time_t seconds)
{
    struct tm tm;
    return localtime_r(&seconds, &tm) ? tm.tm_gmtoff : 0;
}

/* Local time to Unix seconds. Clocks are set by the difference of two offsets, those of a day
 * before and a day behind: a time that fits none is skipped, one that fits both is there twice. */
static bool from_local(const struct tm *tm, int64_t *seconds, char *reason)
{
    struct tm copy = *tm;
    time_t as_utc = timegm(&copy);
    long before = offset_at(as_utc - 86400);
    long behind = offset_at(as_utc + 86400);
    bool fits_before = offset_at(as_utc - before) == before;
    bool fits_behind = offset_at(as_utc - behind) == behind;
    if (!fits_before && !fits_behind) {
        return parse_refuse(reason,
                            "does not exist in the local time zone, where clocks are set forward "
                            "then: write an offset, as +08:00");
    }
    if (fits_before && fits_behind && before != behind) {
        return parse_refuse(
            reason, "is there twice in the local time zone, where clocks are set back then: "
                    "write an offset, as +08:00");
    }
    *seconds = as_utc - (fits_before ? before : behind);
    return true;
}

/* Whether local time is what TZ says: the C library takes a zone that it has no rules for as UTC,
 * and says nothing. A name has a file with its rules; "CST-8" is its own rule. */
static bool zone_known(char *reason)
{
    const char *zone = getenv("TZ");
    if (!zone || *zone == '\0') {
        return true;
    }
    const char *name = zone + (*zone == ':');
    const char *folder = getenv("TZDIR");
    char path[512];
    const char *mark = strpbrk(name, "0123456789/"); /* a rule has an offset before any slash */
    int used = snprintf(path, sizeof path, "%s/%s",
                        *name == '/'        ? ""
                        : folder && *folder ? folder
                                            : "/usr/share/zoneinfo",
                        name);
    if ((used > 0 && (size_t)used < sizeof path && access(path, R_OK) == 0) ||
        strcmp(name, "UTC") == 0 || strcmp(name, "GMT") == 0 || (mark && *mark != '/')) {
        return true;
    }
    return parse_refuse(
        reason,
        "is local time, and TZ names a zone, '%.60s', that this machine has no rules for: "
        "write an offset, as +08:00",
        name);
}

bool parse_time(const char *text, uint64_t *unix_ms, char *reason)
{
    if (*text != '\0' && text[strspn(text, "0123456789")] == '\0') {
        return parse_digits(text, unix_ms, reason);
    }
    struct written written = {0};
    if (!take_written(text, &written)) {
        return parse_refuse(reason,
                            "is not a time such as 2026-11-11, '2026-11-11 00:00' (local time), "
                            "2026-11-11T00:00:00+08:00, or Unix milliseconds");
    }
    int64_t seconds = 0;
    if (written.has_offset) {
        seconds = timegm(&written.tm) - written.offset_s;
    } else {
        tzset();
        if (!zone_known(reason) || !from_local(&written.tm, &seconds, reason)) {
            return false;
        }
    }
    if (seconds < 0) {
        return parse_refuse(reason, "is before 1970");
    }
    *unix_ms = (uint64_t)seconds * 1000 + (uint64_t)written.ms;
    return true;
}

bool parse_sale_time(const char *text, uint64_t *unix_ms, char *reason)
{
    if (!parse_time(text, unix_ms, reason)) {
        return false;
    }
    bool none = text[strspn(text, "0")] == '\0';
    if (!none && *unix_ms < SALE_TIME_MS_MIN) {
        return parse_refuse(reason, "is before 2000");
    }
    return *unix_ms <= SALE_TIME_MS_MAX || parse_refuse(reason, "is after 2099");
}

/* ---- Showing ---- */

void time_text(uint64_t unix_ms, char text[TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year > 8099) {
        snprintf(text, TIME_TEXT_BYTES, "%" PRIu64 " ms", unix_ms);
        return;
    }
    size_t used = strftime(text, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + used, TIME_TEXT_BYTES - used, ".%03uZ", (unsigned)(unix_ms % 1000));
}

void time_local_text(uint64_t unix_ms, char text[TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    tzset();
    if (!localtime_r(&seconds, &tm) || tm.tm_year > 8099) {
        snprintf(text, TIME_TEXT_BYTES, "%" PRIu64 " ms", unix_ms);
        return;
    }
    size_t used = strftime(text, TIME_TEXT_BYTES, "%Y-%m-%d %H:%M:%S", &tm);
    if (unix_ms % 1000 != 0) {
        used += (size_t)snprintf(text + used, TIME_TEXT_BYTES - used, ".%03u",
                                 (unsigned)(unix_ms % 1000));
    }
    long minutes = labs(tm.tm_gmtoff) / 60;
    snprintf(text + used, TIME_TEXT_BYTES - used, " %c%02ld:%02ld", tm.tm_gmtoff < 0 ? '-' : '+',
             minutes / 60, minutes % 60);
}
