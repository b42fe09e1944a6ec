/* names.h - numbers for byte strings: each different one gets the next number from 0.
 *
 * Threads: one at a time. */
#ifndef LOAD_NAMES_H
#define LOAD_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_NONE UINT32_MAX

struct names {
    uint32_t count;
    uint32_t capacity;
    uint64_t *offsets; /* of each name in bytes; count + 1 of them */
    uint32_t *slots;   /* open addressing: number + 1, or 0 */
    uint32_t slot_count;
    char *bytes; /* each followed by a NUL */
    uint64_t bytes_used;
    uint64_t bytes_capacity;
};

/* A zeroed struct is empty. */
void names_deinit(struct names *names);

/* The number of a string, a new one if it was not seen before; NAMES_NONE when out of memory. */
uint32_t names_intern(struct names *names, const void *data, size_t len);

/* The string of a number, with a NUL after it; valid until the next names_intern(). */
const char *names_at(const struct names *names, uint32_t number);
size_t names_length(const struct names *names, uint32_t number);

#endif
