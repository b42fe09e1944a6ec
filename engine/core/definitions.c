/* definitions.c - fields named, merged and checked.
 *
 * Threads: any; pure functions. */
#include "core/definitions.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"

/* ---- Which fields ---- */

uint32_t sku_fields_named(const struct sku_rule *asked, uint32_t fields)
{
    CHECK((fields & ~(uint32_t)SKU_FIELDS_ALL) == 0);
    if (fields != 0) {
        return fields;
    }
    return (asked->label.len > 0 ? SKU_FIELD_LABEL : 0u) |
           (asked->limit_per_buyer != 0 ? SKU_FIELD_LIMIT_PER_BUYER : 0u) |
           (asked->opens_at_ms != 0 ? SKU_FIELD_OPENS_AT : 0u) |
           (asked->closes_at_ms != 0 ? SKU_FIELD_CLOSES_AT : 0u) |
           (asked->paused ? SKU_FIELD_PAUSED : 0u) | (asked->hold_ms != 0 ? SKU_FIELD_HOLD : 0u) |
           (asked->hold_ms_max != 0 ? SKU_FIELD_HOLD_MAX : 0u);
}

uint32_t item_fields_named(const struct item_def *asked, uint32_t fields)
{
    CHECK((fields & ~(uint32_t)ITEM_FIELDS_ALL) == 0);
    if (fields != 0) {
        return fields;
    }
    return (asked->safety != 0 ? ITEM_FIELD_SAFETY : 0u) |
           (asked->presale_cap != 0 ? ITEM_FIELD_PRESALE_CAP : 0u) |
           (asked->hot ? ITEM_FIELD_HOT : 0u);
}

/* ---- What results ---- */

struct sku_rule sku_rule_merge(const struct sku_rule *present, const struct sku_rule *asked,
                               uint32_t named)
{
    CHECK((named & ~(uint32_t)SKU_FIELDS_ALL) == 0);
    struct sku_rule rule = *present;
    if (rule.sku.len == 0) {
        rule.sku = asked->sku;
    }
    if (named & SKU_FIELD_LABEL) {
        rule.label = asked->label;
    }
    if (named & SKU_FIELD_LIMIT_PER_BUYER) {
        rule.limit_per_buyer = asked->limit_per_buyer;
    }
    if (named & SKU_FIELD_OPENS_AT) {
        rule.opens_at_ms = asked->opens_at_ms;
    }
    if (named & SKU_FIELD_CLOSES_AT) {
        rule.closes_at_ms = asked->closes_at_ms;
    }
    if (named & SKU_FIELD_PAUSED) {
        rule.paused = asked->paused;
    }
    if (named & SKU_FIELD_HOLD) {
        rule.hold_ms = asked->hold_ms;
    }
    if (named & SKU_FIELD_HOLD_MAX) {
        rule.hold_ms_max = asked->hold_ms_max;
    }
    return rule;
}

struct item_def item_def_merge(const struct item_def *present, const struct item_def *asked,
                               uint32_t named)
{
    CHECK((named & ~(uint32_t)ITEM_FIELDS_ALL) == 0);
    struct item_def def = *present;
    if (def.sku.len == 0) {
        def.sku = asked->sku;
        def.pool = asked->pool;
    }
    if (named & ITEM_FIELD_SAFETY) {
        def.safety = asked->safety;
    }
    if (named & ITEM_FIELD_PRESALE_CAP) {
        def.presale_cap = asked->presale_cap;
    }
    if (named & ITEM_FIELD_HOT) {
        def.hot = asked->hot;
    }
    return def;
}

bool sku_rule_equal(const struct sku_rule *a, const struct sku_rule *b)
{
    return bytes_equal(a->label, b->label) && a->limit_per_buyer == b->limit_per_buyer &&
           a->opens_at_ms == b->opens_at_ms && a->closes_at_ms == b->closes_at_ms &&
           a->paused == b->paused && a->hold_ms == b->hold_ms && a->hold_ms_max == b->hold_ms_max;
}

bool item_def_equal(const struct item_def *a, const struct item_def *b)
{
    return a->safety == b->safety && a->presale_cap == b->presale_cap && a->hot == b->hot;
}

/* ---- Rules over several fields ---- */

__attribute__((format(printf, 3, 4))) static bool refuse(struct misfit *misfit, const char *field,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(misfit->reason, sizeof misfit->reason, format, args);
    va_end(args);
    CHECK(field != NULL);
    misfit->field = field;
    return false;
}

/* A sale that closes before it opens would never be open. */
static bool window_fits(const struct sku_rule *result, uint32_t named, struct misfit *misfit)
{
    if (result->opens_at_ms == 0 || result->closes_at_ms == 0 ||
        result->closes_at_ms > result->opens_at_ms) {
        return true;
    }
    if (named & SKU_FIELD_CLOSES_AT) {
        return refuse(misfit, "closes_at_ms", "%" PRIu64 ", not after opens_at_ms, %" PRIu64,
                      result->closes_at_ms, result->opens_at_ms);
    }
    return refuse(misfit, "opens_at_ms", "%" PRIu64 ", not before closes_at_ms, %" PRIu64,
                  result->opens_at_ms, result->closes_at_ms);
}

/* A hold_ms longer than any order may be held would be shortened without notice. */
static bool hold_fits(const struct sku_rule *result, uint32_t named, uint32_t hold_ms_max,
                      struct misfit *misfit)
{
    uint32_t max = result->hold_ms_max ? result->hold_ms_max : hold_ms_max;
    const char *whose = result->hold_ms_max ? "hold_ms_max" : "the engine's hold-ms-max";
    if (result->hold_ms <= max) {
        return true;
    }
    if (named & SKU_FIELD_HOLD) {
        return refuse(misfit, "hold_ms", "%" PRIu32 ", greater than %s, %" PRIu32, result->hold_ms,
                      whose, max);
    }
    return refuse(misfit, "hold_ms_max",
                  "%" PRIu32 ": hold_ms, %" PRIu32 ", would be greater than %s, %" PRIu32,
                  result->hold_ms_max, result->hold_ms, whose, max);
}

bool sku_rule_fits(const struct sku_rule *result, uint32_t named, uint32_t hold_ms_max,
                   struct misfit *misfit)
{
    CHECK(hold_ms_max >= 1);
    CHECK((named & ~(uint32_t)SKU_FIELDS_ALL) == 0);
    const uint32_t window = SKU_FIELD_OPENS_AT | SKU_FIELD_CLOSES_AT;
    const uint32_t hold = SKU_FIELD_HOLD | SKU_FIELD_HOLD_MAX;
    return ((named & window) == 0 || window_fits(result, named, misfit)) &&
           ((named & hold) == 0 || hold_fits(result, named, hold_ms_max, misfit));
}
