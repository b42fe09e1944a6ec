/* rig.h - orders by number: what all the suites mean by order n. Any thread; pure. */
#ifndef MICRO_RIG_H
#define MICRO_RIG_H

#include <stdint.h>

#include "base/hash.h"
#include "base/id.h"

/* Like a random id to the tables, and told by its number. */
static inline struct id128 rig_id(uint64_t number)
{
    return (struct id128){hash_u64(number + 1), number};
}

/* 1..items, without order. */
static inline uint32_t rig_item(uint64_t number, uint32_t items)
{
    return items == 1 ? 1 : 1 + (uint32_t)(hash_u64(number ^ 0x5DEECE66Dull) % items);
}

#endif
