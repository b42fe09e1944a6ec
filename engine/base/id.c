/* id.c - ids and buyers from text and bytes. Threads: any; pure. */
#include "base/id.h"

#include "base/hash.h"

#define HEX_DIGITS 32u

/* Where a UUID's text has its dashes (RFC 9562, section 4). */
static bool is_dash_place(size_t at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

/* The value of a hex digit, or -1. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* Reads a UUID (36 characters) or 32 hex digits; false when the text is neither. */
static bool parse_hex_id(const char *text, size_t text_bytes, struct id128 *id)
{
    bool dashed = text_bytes == ID_TEXT_BYTES - 1;
    if (!dashed && text_bytes != HEX_DIGITS) {
        return false;
    }
    struct id128 parsed = {0, 0};
    for (size_t i = 0; i < text_bytes; i++) {
        if (dashed && is_dash_place(i)) {
            if (text[i] != '-') {
                return false;
            }
            continue;
        }
        int digit = hex_value(text[i]);
        if (digit < 0) {
            return false;
        }
        parsed.hi = parsed.hi << 4 | parsed.lo >> 60;
        parsed.lo = parsed.lo << 4 | (uint64_t)digit;
    }
    *id = parsed;
    return true;
}

struct id128 id_from_text(const char *text, size_t text_bytes)
{
    struct id128 id;
    if (parse_hex_id(text, text_bytes, &id)) {
        return id;
    }
    return hash_bytes_128(text, text_bytes);
}

void id_to_text(struct id128 id, char text[ID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned next = 0;
    for (size_t i = 0; i < ID_TEXT_BYTES - 1; i++) {
        if (is_dash_place(i)) {
            text[i] = '-';
            continue;
        }
        uint64_t half = next < HEX_DIGITS / 2 ? id.hi : id.lo;
        text[i] = digits[half >> (60 - 4 * (next % 16)) & 15];
        next++;
    }
    text[ID_TEXT_BYTES - 1] = '\0';
}

/* Reads decimal digits; false when there is anything else, or the value exceeds a uint64. */
static bool parse_decimal(const char *text, size_t text_bytes, uint64_t *value)
{
    uint64_t parsed = 0;
    for (size_t i = 0; i < text_bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(parsed, (uint64_t)10, &parsed) ||
            __builtin_add_overflow(parsed, (uint64_t)(text[i] - '0'), &parsed)) {
            return false;
        }
    }
    *value = parsed;
    return true;
}

uint64_t buyer_from_text(const char *text, size_t text_bytes)
{
    uint64_t buyer;
    if (parse_decimal(text, text_bytes, &buyer)) {
        return buyer; /* no text at all reads as 0: none */
    }
    return hash_bytes(text, text_bytes);
}
