/* bytes.h - little-endian loads and stores, and one bounds-checked cursor for bytes from outside.
 *
 * Threads: any; a cursor belongs to its user. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the log is little-endian");

static inline void store_u16(void *to, uint16_t value)
{
    memcpy(to, &value, sizeof value);
}
static inline void store_u32(void *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}
static inline void store_u64(void *to, uint64_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline uint16_t load_u16(const void *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint32_t load_u32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t load_u64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* Bytes in memory that somebody else owns. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool bytes_all_zero(const uint8_t *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* Reads from untrusted bytes. A read past the end gives zeros and sets `overrun`, which stays set:
 * check it once, after the last read. */
struct cursor {
    const uint8_t *next;
    const uint8_t *end;
    bool overrun;
};

static inline struct cursor cursor_over(const void *data, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)data; /* the cast is for C++: benchmarks include this */
    return (struct cursor){bytes, bytes + len, false};
}

static inline size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->next);
}

/* The next len bytes, or NULL past the end. */
static inline const uint8_t *cursor_take(struct cursor *cursor, size_t len)
{
    if (cursor->overrun || cursor_left(cursor) < len) {
        cursor->overrun = true;
        return NULL;
    }
    const uint8_t *at = cursor->next;
    cursor->next += len;
    return at;
}

static inline uint8_t cursor_u8(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, 1);
    return at ? *at : 0;
}

static inline uint16_t cursor_u16(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, 2);
    return at ? load_u16(at) : 0;
}

static inline uint32_t cursor_u32(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, 4);
    return at ? load_u32(at) : 0;
}

static inline uint64_t cursor_u64(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, 8);
    return at ? load_u64(at) : 0;
}

/* True when the bytes are well-formed UTF-8 without NUL (RFC 3629: no surrogates, no overlong
 * forms, nothing above U+10FFFF). */
bool utf8_valid(const uint8_t *data, size_t len);

/* The length of the well-formed character at data, of len > 0 bytes, and its code point. 0: no
 * well-formed character. */
size_t utf8_next(const uint8_t *data, size_t len, uint32_t *point);

/* True when `given` is the secret. The time that this takes does not show where they differ. */
bool secret_equal(const char *secret, struct bytes given);

#endif
