/* definitions.h - what a definition means: which fields it names, what it results in, and the rules
 * that the result must keep.
 *
 * A definition changes the fields that it names and no others. It names them by the bits of
 * `fields` (base/fields.h), or with 0 there those that are not zero or empty. A new SKU or item has
 * zeros and empty texts in the fields that were never named.
 *
 * A rule over several fields is about the result. It is checked only when the definition names one
 * of these fields: a SKU that broke a rule before (the engine's settings may change) can still be
 * changed in other fields. Replay does not check: the log holds results that were checked.
 *
 * Threads: any; pure functions. */
#ifndef CORE_DEFINITIONS_H
#define CORE_DEFINITIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fields.h"
#include "core/event.h"

/* The fields that a definition names. fields: as asked, within SKU_FIELDS_ALL or ITEM_FIELDS_ALL.
 */
uint32_t sku_fields_named(const struct sku_rule *asked, uint32_t fields);
uint32_t item_fields_named(const struct item_def *asked, uint32_t fields);

/* The result: `present` (all zero for a new one) with the named fields of `asked`. The codes are
 * present's, or asked's where present has none. */
struct sku_rule sku_rule_merge(const struct sku_rule *present, const struct sku_rule *asked,
                               uint32_t named);
struct item_def item_def_merge(const struct item_def *present, const struct item_def *asked,
                               uint32_t named);

/* Whether all fields except the codes are equal. */
bool sku_rule_equal(const struct sku_rule *a, const struct sku_rule *b);
bool item_def_equal(const struct item_def *a, const struct item_def *b);

#define MISFIT_REASON_BYTES 128u

/* Why a result is not allowed. */
struct misfit {
    const char *field; /* a field that the definition named, as on the wire: "closes_at_ms" */
    char reason[MISFIT_REASON_BYTES];
};

/* Whether a SKU's rules, as they would be, fit together. hold_ms_max: the engine's, which applies
 * where the rules have none. */
bool sku_rule_fits(const struct sku_rule *result, uint32_t named, uint32_t hold_ms_max,
                   struct misfit *misfit);

#endif
