/* text.c - fuzzes what reads short texts: ids, buyers, UTF-8.
 *
 * Expected values come from a second reading of RFC 3629 and of section 7 of the design.
 * Threads: one. */
#include <ctype.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/id.h"
#include "fuzz.h"

const unsigned fuzz_runs = 200000;

/* Decodes one character; returns its bytes, 0 when there is none that is well-formed. */
static size_t character(const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
    size_t len = at[0] < 0x80       ? 1
                 : at[0] >> 5 == 6  ? 2
                 : at[0] >> 4 == 14 ? 3
                 : at[0] >> 3 == 30 ? 4
                                    : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    uint32_t code = len == 1 ? at[0] : at[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if (at[i] >> 6 != 2) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3Fu);
    }
    bool fits = code >= least[len] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    return fits ? len : 0;
}

static bool well_formed(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t len = character(data + at, size - at);
        if (len == 0) {
            return false;
        }
        at += len;
    }
    return true;
}

/* True when the text is a UUID or 32 hex digits: then *id is what they say. */
static bool digits_of(const char *text, size_t size, struct id128 *id)
{
    char digits[33] = "";
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        if (size == 36 && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text[i] != '-') {
                return false;
            }
        } else if (count == 32 || !isxdigit((unsigned char)text[i])) {
            return false;
        } else {
            digits[count++] = text[i];
        }
    }
    if (count != 32 || (size != 32 && size != 36)) {
        return false;
    }
    id->lo = strtoull(digits + 16, NULL, 16);
    digits[16] = '\0';
    id->hi = strtoull(digits, NULL, 16);
    return true;
}

static void check_buyer(const char *text, size_t size)
{
    uint64_t expected = 0;
    bool number = size > 0;
    for (size_t i = 0; i < size && number; i++) {
        number = isdigit((unsigned char)text[i]) &&
                 !__builtin_mul_overflow(expected, 10, &expected) &&
                 !__builtin_add_overflow(expected, (uint64_t)(text[i] - '0'), &expected);
    }
    if (!number) {
        expected = size > 0 ? hash_bytes(text, size) : 0;
    }
    FUZZ_CHECK(buyer_from_text(text, size) == expected, "a buyer of %zu bytes", size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_CHECK(utf8_valid(data, size) == well_formed(data, size), "%zu bytes", size);
    const char *text = (const char *)data;
    struct id128 id = id_from_text(text, size);
    struct id128 expected;
    if (digits_of(text, size, &expected)) {
        FUZZ_CHECK(id_equal(id, expected), "an id of %zu digits", size);
    }
    char again[ID_TEXT_BYTES];
    id_to_text(id, again);
    FUZZ_CHECK(strlen(again) == 36, "\"%s\"", again);
    FUZZ_CHECK(id_equal(id_from_text(again, 36), id), "\"%s\"", again);
    uint8_t bytes[ID_BYTES];
    id_to_bytes(id, bytes);
    FUZZ_CHECK(id_equal(id_from_bytes(bytes), id), "\"%s\"", again);
    check_buyer(text, size);
    return 0;
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    char text[64];
    struct id128 id = {rng_next(rng), rng_next(rng)};
    switch (rng_below(rng, 4)) {
    case 0:
        id_to_text(id, text);
        break;
    case 1:
        snprintf(text, sizeof text, "%016llX%016llx", (unsigned long long)id.hi,
                 (unsigned long long)id.lo);
        break;
    case 2:
        snprintf(text, sizeof text, "%llu", (unsigned long long)fuzz_number(rng));
        break;
    default:
        snprintf(text, sizeof text, "%s",
                 rng_chance(rng, 2) ? "\xE6\x89\x8B\xF0\x9F\x93\xB1\xC3\xA9 order-1"
                                    : "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF");
        break;
    }
    size_t len = strlen(text);
    len = len < room ? len : room;
    memcpy(to, text, len);
    return len;
}
