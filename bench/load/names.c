/* names.c - an open-addressing table over an array of strings. Threads: one at a time. */
#include "load/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

void names_deinit(struct names *names)
{
    free(names->offsets);
    free(names->slots);
    free(names->bytes);
    memset(names, 0, sizeof *names);
}

const char *names_at(const struct names *names, uint32_t number)
{
    CHECK(number < names->count);
    return names->bytes + names->offsets[number];
}

size_t names_length(const struct names *names, uint32_t number)
{
    CHECK(number < names->count);
    return (size_t)(names->offsets[number + 1] - names->offsets[number] - 1);
}

/* The slot of a string: its own, or the empty one where it belongs. */
static uint32_t find_slot(const struct names *names, const void *data, size_t len)
{
    uint32_t mask = names->slot_count - 1;
    uint32_t slot = (uint32_t)hash_bytes(data, len) & mask;
    while (names->slots[slot]) {
        uint32_t number = names->slots[slot] - 1;
        if (names_length(names, number) == len && memcmp(names_at(names, number), data, len) == 0) {
            break;
        }
        slot = (slot + 1) & mask;
    }
    return slot;
}

static bool grow_table(struct names *names)
{
    uint32_t slot_count = names->slot_count ? names->slot_count * 2 : 1024;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    uint64_t *offsets =
        realloc(names->offsets, ((size_t)slot_count / 2 + 1) * sizeof *names->offsets);
    if (offsets) {
        names->offsets = offsets;
    }
    if (!slots || !offsets) {
        free(slots);
        return false;
    }
    free(names->slots);
    names->slots = slots;
    names->slot_count = slot_count;
    names->capacity = slot_count / 2;
    names->offsets[names->count] = names->bytes_used;
    for (uint32_t i = 0; i < names->count; i++) {
        names->slots[find_slot(names, names_at(names, i), names_length(names, i))] = i + 1;
    }
    return true;
}

static bool append_bytes(struct names *names, const void *data, size_t len)
{
    uint64_t need = names->bytes_used + len + 1;
    if (need > names->bytes_capacity) {
        uint64_t larger = need * 2 < 4096 ? 4096 : need * 2;
        char *bytes = realloc(names->bytes, larger);
        if (!bytes) {
            return false;
        }
        names->bytes = bytes;
        names->bytes_capacity = larger;
    }
    memcpy(names->bytes + names->bytes_used, data, len);
    names->bytes[names->bytes_used + len] = '\0';
    names->bytes_used = need;
    return true;
}

uint32_t names_intern(struct names *names, const void *data, size_t len)
{
    if (names->count == names->capacity && !grow_table(names)) {
        return NAMES_NONE;
    }
    uint32_t slot = find_slot(names, data, len);
    if (names->slots[slot]) {
        return names->slots[slot] - 1;
    }
    if (!append_bytes(names, data, len)) {
        return NAMES_NONE;
    }
    names->count++;
    names->slots[slot] = names->count;
    names->offsets[names->count] = names->bytes_used;
    return names->count - 1;
}
