/* pairs.h - a list of counted pairs that can be sorted: a buyer's units of a SKU, or a ticket's
 * units of an item.
 *
 * It is for walks over whole tables, which come in no particular order. Its memory is from realloc,
 * and grows with the list.
 *
 * Threads: one. */
#ifndef CORE_PAIRS_H
#define CORE_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

struct pair {
    uint64_t key;   /* a buyer, or a ticket */
    uint32_t group; /* the SKU, or the item */
    uint64_t units;
};

/* All zero is an empty list. */
struct pairs {
    struct pair *at;
    uint64_t count;
    uint64_t capacity;
    uint32_t group; /* the item that pairs_add_ticket adds to */
    bool no_memory; /* something could not be added */
};

void pairs_deinit(struct pairs *pairs);

void pairs_add(struct pairs *pairs, uint32_t group, uint64_t key, uint64_t units);

/* Visitors that add a pair: for buyers_visit, and for presale_visit of the item pairs->group. */
void pairs_add_buyer(void *pairs, uint32_t sku, uint64_t buyer, uint32_t units);
void pairs_add_ticket(void *context, uint32_t ticket, uint32_t units);

/* Compares by group, then by key: below 0, 0 or above 0. */
int pair_compare(const struct pair *a, const struct pair *b);

/* Sorts by group and key. */
void pairs_sort(struct pairs *pairs);

#endif
