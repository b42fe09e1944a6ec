/* demand.h - who wants what: a pure function of the seed and the order's number.
 *
 * Because it is pure, nothing about an order needs to be stored but what became of it: a retry and
 * the oracle derive the order again from its number. Numbers below the first round come from the
 * random demand; a round is a run of numbers that asks for one unit of each of some items in turn.
 *
 * Threads: demand_wish() any; rounds are added while no order is under way.
 * Source: Vose, A linear algorithm for generating random numbers with a given distribution (1991),
 * for the alias table. */
#ifndef LOAD_DEMAND_H
#define LOAD_DEMAND_H

#include <stdbool.h>
#include <stdint.h>

#define DEMAND_ROUNDS_MAX 256u

enum demand_then {
    THEN_HOLD, /* leave it held */
    THEN_COMMIT,
    THEN_RELEASE,
};

/* One order. */
struct wish {
    uint32_t index; /* position in the list of items, not a handle */
    uint32_t qty;
    uint64_t buyer;
    enum demand_then then; /* what follows when it was reserved */
};

enum round_kind {
    ROUND_SWEEP, /* sells what is left: nothing is given back any more */
    ROUND_PROBE, /* gives back what it got */
};

struct demand_round {
    uint64_t first; /* order number */
    uint64_t count;
    uint32_t *indexes; /* owned */
    uint32_t index_count;
    enum round_kind kind;
};

struct demand_alias {
    uint32_t threshold; /* of 2^32: below it the column's own item, else the other */
    uint32_t other;
};

struct demand {
    uint64_t seed;
    uint64_t buyers;
    uint32_t item_count;
    uint32_t qty_max;
    uint64_t commit_below;      /* of 2^32 */
    uint64_t release_below;     /* of 2^32, commit_below included */
    struct demand_alias *alias; /* NULL: uniform */
    struct demand_round rounds[DEMAND_ROUNDS_MAX];
    uint32_t round_count;
};

struct demand_options {
    uint64_t seed;
    uint32_t item_count; /* 1 up */
    double zipf;         /* 0: uniform */
    double hot_share;    /* 0..1 of all orders want the first item; 0: as zipf says */
    uint32_t qty_max;    /* 1 up */
    uint64_t buyers;     /* 1 up */
    double commit_share;
    double release_share;
};

/* False when out of memory. */
bool demand_init(struct demand *demand, const struct demand_options *options);
void demand_deinit(struct demand *demand);

/* The order of that number. Some 10 ns. */
struct wish demand_wish(const struct demand *demand, uint64_t number);

/* The round of that number; NULL when it is of the random demand. */
const struct demand_round *demand_round_of(const struct demand *demand, uint64_t number);

/* Adds a round of `each` orders for each of the items, from number `first`, which is beyond all
 * earlier ones. The indexes are copied. False when out of memory or DEMAND_ROUNDS_MAX are used. */
bool demand_add_round(struct demand *demand, enum round_kind kind, uint64_t first,
                      const uint32_t *indexes, uint32_t index_count, uint32_t each);

#endif
