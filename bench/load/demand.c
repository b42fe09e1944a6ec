/* demand.c - random demand by alias table, and rounds. Threads: see demand.h. */
#include "load/demand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

#define TWO_32 4294967296.0

/* Vose's method. weights sum to anything; they are scaled so that their mean is 1. */
static bool build_alias(struct demand_alias *alias, double *weights, uint32_t count)
{
    uint32_t *small = malloc(2 * (size_t)count * sizeof *small);
    if (!small) {
        return false;
    }
    uint32_t *large = small + count;
    uint32_t smalls = 0;
    uint32_t larges = 0;
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += weights[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        weights[i] *= count / sum;
        if (weights[i] < 1) {
            small[smalls++] = i;
        } else {
            large[larges++] = i;
        }
    }
    while (smalls > 0 && larges > 0) {
        uint32_t under = small[--smalls];
        uint32_t over = large[larges - 1];
        alias[under] = (struct demand_alias){(uint32_t)(weights[under] * TWO_32), over};
        weights[over] -= 1 - weights[under];
        if (weights[over] < 1) {
            larges--;
            small[smalls++] = over;
        }
    }
    /* What is left has weight 1 but for rounding. */
    while (larges > 0) {
        uint32_t i = large[--larges];
        alias[i] = (struct demand_alias){UINT32_MAX, i};
    }
    while (smalls > 0) {
        uint32_t i = small[--smalls];
        alias[i] = (struct demand_alias){UINT32_MAX, i};
    }
    free(small);
    return true;
}

/* How much each item is wanted. With a hot share, the rest goes by zipf over the other items. */
static void weigh(double *weights, const struct demand_options *options)
{
    uint32_t first = options->hot_share > 0 && options->item_count > 1 ? 1 : 0;
    double sum = 0;
    for (uint32_t i = first; i < options->item_count; i++) {
        weights[i] = pow((double)(i - first) + 1, -options->zipf);
        sum += weights[i];
    }
    if (first == 0) {
        return;
    }
    weights[0] = options->hot_share;
    for (uint32_t i = first; i < options->item_count; i++) {
        weights[i] *= (1 - options->hot_share) / sum;
    }
}

bool demand_init(struct demand *demand, const struct demand_options *options)
{
    CHECK(options->item_count > 0);
    CHECK(options->qty_max > 0);
    CHECK(options->buyers > 0);
    CHECK(options->hot_share >= 0 && options->hot_share <= 1);
    CHECK(options->commit_share + options->release_share <= 1.0 + 1e-9);
    memset(demand, 0, sizeof *demand);
    demand->seed = hash_u64(options->seed + UINT64_C(0x9E3779B97F4A7C15));
    demand->buyers = options->buyers;
    demand->item_count = options->item_count;
    demand->qty_max = options->qty_max;
    demand->commit_below = (uint64_t)(options->commit_share * TWO_32 + 0.5);
    demand->release_below =
        (uint64_t)((options->commit_share + options->release_share) * TWO_32 + 0.5);
    if (!(options->zipf > 0) && !(options->hot_share > 0)) {
        return true;
    }
    double *weights = malloc((size_t)options->item_count * sizeof *weights);
    demand->alias = malloc((size_t)options->item_count * sizeof *demand->alias);
    bool built = weights && demand->alias;
    if (built) {
        weigh(weights, options);
        built = build_alias(demand->alias, weights, options->item_count);
    }
    free(weights);
    if (!built) {
        demand_deinit(demand);
    }
    return built;
}

void demand_deinit(struct demand *demand)
{
    for (uint32_t i = 0; i < demand->round_count; i++) {
        free(demand->rounds[i].indexes);
    }
    free(demand->alias);
    memset(demand, 0, sizeof *demand);
}

/* A 32-bit draw mapped to 0..count-1. */
static uint32_t draw_below(uint32_t draw, uint32_t count)
{
    return (uint32_t)((uint64_t)draw * count >> 32);
}

static enum demand_then draw_then(const struct demand *demand, uint32_t draw)
{
    if (draw < demand->commit_below) {
        return THEN_COMMIT;
    }
    return draw < demand->release_below ? THEN_RELEASE : THEN_HOLD;
}

static struct wish round_wish(const struct demand *demand, const struct demand_round *round,
                              uint64_t number, uint64_t draw)
{
    struct wish wish = {
        .index = round->indexes[(number - round->first) % round->index_count],
        .qty = 1,
        .then = THEN_RELEASE,
    };
    /* A buyer of its own, so that no limit per buyer stops the round. */
    wish.buyer = hash_u64(draw ^ number) | UINT64_C(1) << 63;
    if (round->kind == ROUND_SWEEP) {
        wish.then = draw_then(demand, (uint32_t)draw) == THEN_COMMIT ? THEN_COMMIT : THEN_HOLD;
    }
    return wish;
}

struct wish demand_wish(const struct demand *demand, uint64_t number)
{
    uint64_t first = hash_u64(demand->seed + number * UINT64_C(0x9E3779B97F4A7C15));
    uint64_t second = hash_u64(first ^ UINT64_C(0xD1B54A32D192ED03));
    if (demand->round_count > 0) {
        const struct demand_round *round = demand_round_of(demand, number);
        if (round) {
            return round_wish(demand, round, number, second);
        }
    }
    struct wish wish;
    wish.index = draw_below((uint32_t)first, demand->item_count);
    if (demand->alias) {
        const struct demand_alias *column = &demand->alias[wish.index];
        if ((uint32_t)(first >> 32) >= column->threshold) {
            wish.index = column->other;
        }
    }
    wish.qty = 1 + draw_below((uint32_t)(second >> 32), demand->qty_max);
    wish.then = draw_then(demand, (uint32_t)second);
    wish.buyer = 1 + hash_u64(second) % demand->buyers;
    return wish;
}

const struct demand_round *demand_round_of(const struct demand *demand, uint64_t number)
{
    for (uint32_t i = demand->round_count; i > 0; i--) {
        const struct demand_round *round = &demand->rounds[i - 1];
        if (number >= round->first) {
            return number - round->first < round->count ? round : NULL;
        }
    }
    return NULL;
}

bool demand_add_round(struct demand *demand, enum round_kind kind, uint64_t first,
                      const uint32_t *indexes, uint32_t index_count, uint32_t each)
{
    CHECK(index_count > 0);
    CHECK(each > 0);
    if (demand->round_count == DEMAND_ROUNDS_MAX) {
        return false;
    }
    uint32_t *copy = malloc((size_t)index_count * sizeof *copy);
    if (!copy) {
        return false;
    }
    memcpy(copy, indexes, (size_t)index_count * sizeof *copy);
    demand->rounds[demand->round_count++] = (struct demand_round){
        .first = first,
        .count = (uint64_t)index_count * each,
        .indexes = copy,
        .index_count = index_count,
        .kind = kind,
    };
    return true;
}
