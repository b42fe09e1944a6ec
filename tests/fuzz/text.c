/* text.c - fuzzes what reads short texts: ids, buyers, UTF-8, and what a text from outside may be.
 *
 * Expected values come from a second reading of RFC 3629 and of docs/design.md, Wire.
 * Threads: one. */
#include <ctype.h>
#include <string.h>

#include "base/bytes.h"
#include "base/escape.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/text.h"
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

/* What is kept is kept again as it is, and white space around a text makes no other of it. */
static void check_text(enum text_kind kind, const uint8_t *data, size_t size)
{
    static const size_t most[] = {64, 256, 128};
    static const char white[] = "\xE3\x80\x80 \t\xC2\x85";
    uint8_t room[TEXT_ROOM_BYTES];
    uint8_t again[TEXT_ROOM_BYTES];
    uint8_t padded[2 * sizeof white + FUZZ_INPUT_BYTES_MAX];
    char error[TEXT_ERROR_BYTES] = "";
    struct bytes kept;
    struct bytes twice;
    bool taken = text_take(kind, (struct bytes){data, size}, room, &kept, error);
    FUZZ_CHECK(taken == (error[0] == '\0'), "%s", error);
    memcpy(padded, white, sizeof white - 1);
    memcpy(padded + sizeof white - 1, data, size);
    memcpy(padded + sizeof white - 1 + size, white, sizeof white - 1);
    struct bytes wide = {padded, size + 2 * (sizeof white - 1)};
    FUZZ_CHECK(text_take(kind, wide, again, &twice, error) == taken, "%zu bytes", size);
    if (!taken) {
        return;
    }
    FUZZ_CHECK(twice.len == kept.len && memcmp(twice.data, kept.data, kept.len) == 0, "padded");
    FUZZ_CHECK(kept.len <= most[kind] && (kept.len > 0 || kind != TEXT_CODE), "%zu", kept.len);
    FUZZ_CHECK(well_formed(kept.data, kept.len), "%zu bytes", kept.len);
    FUZZ_CHECK(text_take(kind, kept, again, &twice, error), "%s", error);
    FUZZ_CHECK(twice.data == kept.data && twice.len == kept.len, "not the same again");
    FUZZ_CHECK(text_trim(kept).len == kept.len, "white space at the edges");
}

/* What is shown is one line, and has been shown. */
static void check_escape(const uint8_t *data, size_t size)
{
    static char shown[ESCAPE_BYTES_MAX * FUZZ_INPUT_BYTES_MAX + 1];
    size_t len = escape_text((struct bytes){data, size}, shown, sizeof shown);
    FUZZ_CHECK(len >= size && len == strlen(shown), "%zu bytes of %zu", len, size);
    FUZZ_CHECK(well_formed((const uint8_t *)shown, len), "%zu bytes", len);
    for (size_t i = 0; i < len; i++) {
        FUZZ_CHECK((uint8_t)shown[i] >= 0x20 && shown[i] != 0x7F, "a control at %zu", i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_CHECK(utf8_valid(data, size) == well_formed(data, size), "%zu bytes", size);
    for (int kind = TEXT_CODE; kind <= TEXT_REASON; kind++) {
        check_text((enum text_kind)kind, data, size);
    }
    check_escape(data, size);
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
    static const char *const texts[] = {
        " 85123A ",
        "e\xCC\x81 o\xCC\xA3\xCC\x87",
        "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8",
        "\xE0\xA5\x98\xE2\x80\x8B",
        "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xEF\xB8\x8F",
        ("\xE3\x80\x80 A\xC2\xA0"
         "B"),
        "\xF0\x9D\x85\xA0\xEF\xAC\x9D",
    };
    switch (rng_below(rng, 5)) {
    case 4:
        snprintf(text, sizeof text, "%s", texts[rng_below(rng, sizeof texts / sizeof *texts)]);
        break;
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
