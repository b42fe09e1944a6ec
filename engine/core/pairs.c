/* pairs.c - a list of counted pairs.
 *
 * Threads: one. */
#include "core/pairs.h"
#include "base/check.h"

#include <stdlib.h>

void pairs_deinit(struct pairs *pairs)
{
    free(pairs->at);
    *pairs = (struct pairs){0};
}

void pairs_add(struct pairs *pairs, uint32_t group, uint64_t key, uint64_t units)
{
    if (pairs->count == pairs->capacity) {
        uint64_t capacity = pairs->capacity ? pairs->capacity * 2 : 1024;
        struct pair *grown = realloc(pairs->at, capacity * sizeof *grown);
        if (!grown) {
            pairs->no_memory = true;
            return;
        }
        pairs->at = grown;
        CHECK(capacity > pairs->capacity);
        pairs->capacity = capacity;
    }
    CHECK(pairs->count < pairs->capacity);
    pairs->at[pairs->count++] = (struct pair){.key = key, .group = group, .units = units};
}

void pairs_add_buyer(void *pairs, uint32_t sku, uint64_t buyer, uint32_t units)
{
    CHECK(sku != 0);
    CHECK(buyer != 0);
    pairs_add(pairs, sku, buyer, units);
}

void pairs_add_ticket(void *context, uint32_t ticket, uint32_t units)
{
    struct pairs *pairs = context;
    CHECK(pairs->group != 0);
    pairs_add(pairs, pairs->group, ticket, units);
}

int pair_compare(const struct pair *a, const struct pair *b)
{
    int order = (a->group > b->group) - (a->group < b->group);
    return order ? order : (a->key > b->key) - (a->key < b->key);
}

static int compare(const void *a, const void *b)
{
    return pair_compare(a, b);
}

void pairs_sort(struct pairs *pairs)
{
    if (pairs->count > 1) {
        qsort(pairs->at, pairs->count, sizeof *pairs->at, compare);
    }
}
