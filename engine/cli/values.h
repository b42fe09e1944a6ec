/* values.h - durations, items and lines as people write them on a command line or in a file.
 *
 * A parser returns true, or false with a reason that completes "'12x' ...": "is not a whole
 * number".
 *
 * Threads: any; pure functions. */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/limits.h"
#include "base/parse.h"
#include "base/times.h"

/* yes, no, true, false, 1, 0, in any letter case. */
bool parse_bool(const char *text, bool *value, char *reason);

/* A duration in milliseconds, 0..UINT32_MAX: digits followed by ms, s, m, h or d; digits alone are
 * ms. */
bool parse_duration(const char *text, uint32_t *ms, char *reason);

/* A SKU's or pool's code: 1..64 bytes of UTF-8 as the engine keeps it. The engine decides which
 * characters it may contain. */
bool parse_code(const char *text, char code[HF_CODE_BYTES], char *reason);

/* An order's id from its text, as hf_id_from_text() does, without white space at its edges: so a
 * cell of a file and a word of a command line are one order. */
struct hf_id order_id_of(const char *text);

struct item_name {
    char sku[HF_CODE_BYTES];
    char pool[HF_CODE_BYTES]; /* "default" if no pool was named */
    bool has_pool;
};

/* SKU or SKU@POOL. The last @ counts, so a SKU with one needs its pool named. */
bool parse_item(const char *text, struct item_name *item, char *reason);

/* A line of an order as it is asked for. */
struct line_wish {
    struct item_name item;
    uint32_t qty;
    enum hf_line_policy policy;
    uint32_t min_qty;
    bool split;
    uint32_t fallback_count;
    struct item_name fallbacks[LINE_FALLBACKS_MAX];
};

/* SKU[@POOL][:QTY] and any of :up-to[=MIN], :optional, :or=SKU[@POOL],... and :split after it. The
 * item is as for parse_item, the quantity 1..1 000 000 000, 1 if it is left out. A SKU that itself
 * ends in a colon and digits, or in a colon and one of these words, needs its quantity; after an @
 * the last colon always begins one. A code with a comma or a colon can't be fallen back to. */
bool parse_line(const char *text, struct line_wish *line, char *reason);

/* Names of order states between commas, as held,expired, in any letter case: the sum of 1 << each.
 */
bool parse_states(const char *text, uint32_t *states, char *reason);

#define DURATION_TEXT_BYTES 40u

/* "14 min 58 s", "2 d 3 h", "250 ms": the two largest units. */
void duration_text(uint64_t ms, char text[DURATION_TEXT_BYTES]);

/* The name of an order's state, as "HELD"; "UNKNOWN" for a number that is not a state. */
const char *state_name(unsigned state);

#endif
