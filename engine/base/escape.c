/* escape.c - text from outside made fit to be shown. Threads: any; pure. */
#include "base/escape.h"

#include <stdio.h>

bool escape_needed(uint32_t point)
{
    static const struct {
        uint32_t first;
        uint32_t last;
    } needed[] = {
        {0x00, 0x1F},     {0x7F, 0x9F},     {0xAD, 0xAD},     {0x061C, 0x061C},
        {0x180E, 0x180E}, {0x200B, 0x200B}, {0x200E, 0x200F}, {0x2028, 0x202E},
        {0x2060, 0x206F}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F},
    };
    if (point >= 0x20 && point < 0x7F) {
        return false;
    }
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (point >= needed[i].first && point <= needed[i].last) {
            return true;
        }
    }
    return false;
}

size_t escape_next(struct bytes text, char to[ESCAPE_BYTES_MAX], size_t *taken)
{
    char escape[ESCAPE_BYTES_MAX + 1];
    uint32_t point;
    *taken = utf8_next(text.data, text.len, &point);
    if (*taken > 0 && !escape_needed(point)) {
        memcpy(to, text.data, *taken);
        return *taken;
    }
    if (*taken == 0) {
        *taken = 1;
        point = text.data[0];
    }
    const char *format = point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x";
    int len = snprintf(escape, sizeof escape, format, (unsigned)point);
    CHECK(len > 0 && (size_t)len <= ESCAPE_BYTES_MAX);
    memcpy(to, escape, (size_t)len);
    return (size_t)len;
}

size_t escape_text(struct bytes text, char *to, size_t room)
{
    size_t used = 0;
    CHECK(room > 0);
    while (text.len > 0) {
        char next[ESCAPE_BYTES_MAX];
        size_t taken;
        size_t len = escape_next(text, next, &taken);
        if (len >= room - used) {
            break;
        }
        memcpy(to + used, next, len);
        used += len;
        text = (struct bytes){text.data + taken, text.len - taken};
    }
    to[used] = '\0';
    return used;
}
