/* replay_lane.h - one thread's part of replay or loading, with its own sums of units.
 *
 * Threads: one for each lane. */
#ifndef CORE_REPLAY_LANE_H
#define CORE_REPLAY_LANE_H

#include "core/inventory_units.h"

/* The units of an item that the orders of one lane have. */
struct unit_sums {
    int64_t taken; /* held or sold */
    int64_t sold;
};

/* One thread's part of replay or loading; replay.h. */
struct replay_lane {
    struct inventory *inventory;
    unsigned slot;          /* the thread's slot */
    struct unit_sums *sums; /* by item; NULL: units are added to stock at once */
    uint64_t sums_bytes;
    uint64_t digest; /* of the events that it has applied */
};

/* As units_change() for a lane: its own sums need no lock, and what is free does not matter to
 * replay. */
static inline void replay_units(const struct replay_lane *lane, uint32_t item, int64_t taken,
                                int64_t sold)
{
    if (lane->sums) {
        lane->sums[item].taken += taken;
        lane->sums[item].sold += sold;
    } else {
        units_change(lane->inventory->stock, lane->slot, item, taken, sold);
    }
}

#endif
