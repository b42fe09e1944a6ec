/* json.c - JSON without characters that end a line or are controls.
 *
 * Threads: any; pure functions. */
#include "feed/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/escape.h"

/* The length of a JSON escape of the point, written to `to`: beyond the 16-bit ones it is two. */
static size_t json_escape(uint32_t point, char to[13])
{
    if (point < 0x10000) {
        return (size_t)snprintf(to, 13, "\\u%04x", (unsigned)point);
    }
    unsigned high = 0xD800 + ((point - 0x10000) >> 10);
    unsigned low = 0xDC00 + ((point - 0x10000) & 0x3FF);
    return (size_t)snprintf(to, 13, "\\u%04x\\u%04x", high, low);
}

#define JSON_GROWTH_MAX 6u /* U+007F, one byte, becomes six */

/* Copies JSON with escapes for what JSON itself lets through: U+007F and up. NULL: no memory. */
static char *json_escaped(const char *json, size_t len)
{
    char *to = malloc(len * JSON_GROWTH_MAX + 1);
    size_t used = 0;
    for (size_t at = 0; to && at < len;) {
        uint32_t point;
        size_t taken = utf8_next((const uint8_t *)json + at, len - at, &point);
        CHECK(taken > 0);
        if (point >= 0x7F && escape_needed(point)) {
            char escape[13];
            size_t more = json_escape(point, escape);
            memcpy(to + used, escape, more);
            used += more;
        } else {
            memcpy(to + used, json + at, taken);
            used += taken;
        }
        at += taken;
    }
    if (to) {
        CHECK(used <= len * JSON_GROWTH_MAX);
        to[used] = '\0';
    }
    return to;
}

static bool json_needs_escape(const char *json)
{
    struct bytes left = bytes_of(json);
    while (left.len > 0) {
        uint32_t point;
        size_t taken = utf8_next(left.data, left.len, &point);
        CHECK(taken > 0);
        if (point >= 0x7F && escape_needed(point)) {
            return true;
        }
        left = (struct bytes){left.data + taken, left.len - taken};
    }
    return false;
}

char *json_dumped(json_t *value, size_t flags)
{
    char *json = value ? json_dumps(value, flags) : NULL;
    json_decref(value);
    if (!json || !json_needs_escape(json)) {
        return json;
    }
    char *escaped = json_escaped(json, strlen(json));
    free(json);
    return escaped;
}

char *json_line(json_t *value)
{
    return json_dumped(value, JSON_COMPACT);
}

json_t *json_text(const void *data, size_t len)
{
    if (utf8_valid(data, len)) {
        return json_stringn(data, len);
    }
    char *text = malloc(len * 3 + 1); /* a U+FFFD takes three bytes */
    if (!text) {
        return NULL;
    }
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = ((const uint8_t *)data)[i];
        if (byte < 0x80 && byte != 0) {
            text[used++] = (char)byte;
        } else {
            memcpy(text + used, "\xEF\xBF\xBD", 3);
            used += 3;
        }
    }
    CHECK(used <= len * 3);
    json_t *value = json_stringn(text, used);
    free(text);
    return value;
}
