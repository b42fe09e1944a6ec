/* definitions.h - what a definition means: which fields it names, what results of it, and the rules
 * that the result has to keep.
 *
 * A definition changes the fields that it names and no others. It names them by the bits of
 * `fields` (base/fields.h), or with 0 there those that are not zero or empty. A SKU or an item that
 * is not there yet has zeros and empty texts until they are named.
 *
 * A rule over several fields is about the result, and is looked at when the definition names one of
 * them: a result that broke a rule before (the engine's settings may change) does not stand in the
 * way of changing something else. Replay takes what the log says: results that were checked.
 *
 * Threads: any; pure functions. */
#ifndef CORE_DEFINITIONS_H
#define CORE_DEFINITIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fields.h"
#include "core/event.h"

/* The fields that a definition names. fields: as asked, within SKU_FIELDS_ALL, ITEM_FIELDS_ALL. */
uint32_t sku_fields_named(const struct sku_rule *asked, uint32_t fields);
uint32_t item_fields_named(const struct item_def *asked, uint32_t fields);

/* What results: the named fields of `asked` over `present`, all zero where there is none. The names
 * are present's, or asked's where present has none. */
struct sku_rule sku_rule_merge(const struct sku_rule *present, const struct sku_rule *asked,
                               uint32_t named);
struct item_def item_def_merge(const struct item_def *present, const struct item_def *asked,
                               uint32_t named);

/* Equal in all but the names. */
bool sku_rule_equal(const struct sku_rule *a, const struct sku_rule *b);
bool item_def_equal(const struct item_def *a, const struct item_def *b);

#define MISFIT_REASON_BYTES 128u

/* Why a result can't be. */
struct misfit {
    const char *field; /* that the definition named, as on the wire: "closes_at_ms" */
    char reason[MISFIT_REASON_BYTES];
};

/* Whether a SKU's rules, as they would be, fit together. hold_ms_max: the engine's, which holds
 * where the rules have none. */
bool sku_rule_fits(const struct sku_rule *result, uint32_t named, uint32_t hold_ms_max,
                   struct misfit *misfit);

#endif
