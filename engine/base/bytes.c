/* bytes.c - UTF-8: what is well-formed, and its code points. Threads: any; pure.
 *
 * Source: RFC 3629 section 4; Unicode 15, table 3-7 (well-formed byte sequences). */
#include "base/bytes.h"

static bool in_range(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

/* The length of the well-formed sequence at data, of len > 0 bytes; 0: not well-formed.
 * Only the second byte has bounds that depend on the first: they exclude overlong forms (E0, F0),
 * surrogates (ED) and what lies above U+10FFFF (F4). */
static size_t sequence_bytes(const uint8_t *data, size_t len)
{
    uint8_t lead = data[0];
    if (in_range(lead, 0x01, 0x7F)) {
        return 1;
    }
    size_t need = in_range(lead, 0xC2, 0xDF)   ? 2
                  : in_range(lead, 0xE0, 0xEF) ? 3
                  : in_range(lead, 0xF0, 0xF4) ? 4
                                               : 0;
    if (need == 0 || len < need) {
        return 0;
    }
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (!in_range(data[1], low, high)) {
        return 0;
    }
    for (size_t i = 2; i < need; i++) {
        if (!in_range(data[i], 0x80, 0xBF)) {
            return 0;
        }
    }
    return need;
}

size_t utf8_next(const uint8_t *data, size_t len, uint32_t *point)
{
    static const uint8_t lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07}; /* by the sequence's length */
    CHECK(len > 0);
    size_t bytes = sequence_bytes(data, len);
    *point = data[0] & lead_bits[bytes];
    for (size_t i = 1; i < bytes; i++) {
        *point = *point << 6 | (data[i] & 0x3Fu);
    }
    return bytes;
}

bool utf8_valid(const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t step = sequence_bytes(data + at, len - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    CHECK(at == len);
    return true;
}

bool secret_equal(const char *secret, struct bytes given)
{
    size_t len = strlen(secret);
    /* Every byte is compared, wherever the first difference is. */
    unsigned difference = given.len != len;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = given.len > 0 ? given.data[i % given.len] : 0;
        difference |= (unsigned)(byte ^ (uint8_t)secret[i]);
    }
    return difference == 0;
}
