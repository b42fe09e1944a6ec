/* values.c - durations, items and lines as people write them on a command line or in a file.
 *
 * Threads: any; pure functions. */
#include "cli/values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/units.h"

/* More than a line with all its fallbacks needs. */
#define LINE_TEXT_BYTES ((LINE_FALLBACKS_MAX + 2u) * 2u * HF_CODE_BYTES)

bool parse_bool(const char *text, bool *value, char *reason)
{
    static const char *const words[2][3] = {{"no", "false", "0"}, {"yes", "true", "1"}};
    for (int truth = 0; truth < 2; truth++) {
        for (int i = 0; i < 3; i++) {
            if (strcasecmp(text, words[truth][i]) == 0) {
                *value = truth == 1;
                return true;
            }
        }
    }
    return parse_refuse(reason, "is neither yes nor no");
}

bool parse_duration(const char *text, uint32_t *ms, char *reason)
{
    uint64_t value;
    enum units_result result = units_duration(text, &value);
    if (result == UNITS_MALFORMED) {
        return parse_refuse(reason,
                            "is not a duration such as 15m, 90s, 2h or 1500 (milliseconds)");
    }
    if (result == UNITS_TOO_LARGE || value > UINT32_MAX) {
        return parse_refuse(reason, "is more than 49 days");
    }
    *ms = (uint32_t)value;
    return true;
}

/* The engine checks codes and normalizes them; codes that it has from older versions are found only
 * by their exact bytes. So a code is passed on unchanged if it fits. */
static bool parse_code_part(const char *text, size_t len, const char *what,
                            char code[HF_CODE_BYTES], char *reason)
{
    uint8_t room[TEXT_ROOM_BYTES];
    char why[TEXT_ERROR_BYTES];
    struct bytes taken = {(const uint8_t *)text, len};
    if (len == 0) {
        return parse_refuse(reason, "has no %s", what);
    }
    if ((len > CODE_BYTES_MAX || !utf8_valid(taken.data, len)) &&
        !text_take(TEXT_CODE, taken, room, &taken, why)) {
        return parse_refuse(reason, "is not a valid %s: %.80s", what, why);
    }
    memcpy(code, taken.data, taken.len);
    code[taken.len] = '\0';
    return true;
}

bool parse_code(const char *text, char code[HF_CODE_BYTES], char *reason)
{
    return parse_code_part(text, strlen(text), "code", code, reason);
}

struct hf_id order_id_of(const char *text)
{
    struct hf_id id;
    struct bytes trimmed = text_trim(bytes_of(text));
    id_to_bytes(id_from_text((const char *)trimmed.data, trimmed.len), id.bytes);
    return id;
}

static bool parse_item_part(const char *text, size_t len, struct item_name *item, char *reason)
{
    const char *at = memrchr(text, '@', len);
    item->has_pool = at != NULL;
    strcpy(item->pool, "default");
    if (!at) {
        return parse_code_part(text, len, "SKU", item->sku, reason);
    }
    size_t sku_len = (size_t)(at - text);
    return parse_code_part(text, sku_len, "SKU", item->sku, reason) &&
           parse_code_part(at + 1, len - sku_len - 1, "pool", item->pool, reason);
}

bool parse_item(const char *text, struct item_name *item, char *reason)
{
    return parse_item_part(text, strlen(text), item, reason);
}

/* Whether a colon and digits are directly before the colon. */
static bool number_before(const char *text, const char *colon)
{
    const char *at = colon;
    while (at > text && at[-1] >= '0' && at[-1] <= '9') {
        at--;
    }
    return at < colon && at > text + 1 && at[-1] == ':';
}

/* SKU[@POOL][:QTY] */
static bool parse_item_qty(const char *text, struct line_wish *line, char *reason)
{
    const char *colon = strrchr(text, ':');
    const char *at = strrchr(text, '@');
    line->qty = 1;
    if (at && colon && colon > at && !all_digits(colon + 1)) {
        /* More likely a mistake than a pool with a colon in its name. */
        return parse_refuse(reason, "ends in '%.70s', which is not a quantity", colon);
    }
    if (!colon || !all_digits(colon + 1)) {
        /* A SKU seldom has a number between colons: the word after it is probably misspelt. */
        return colon && number_before(text, colon)
                   ? parse_refuse(
                         reason,
                         "ends in '%.70s', which is none of :up-to, :optional, :or= and :split",
                         colon)
                   : parse_item(text, &line->item, reason);
    }
    uint64_t value;
    char inner[REASON_BYTES];
    if (!parse_unsigned(colon + 1, 1, QTY_MAX, &value, inner)) {
        return parse_refuse(reason, "has a quantity that %s", inner);
    }
    line->qty = (uint32_t)value;
    return parse_item_part(text, (size_t)(colon - text), &line->item, reason);
}

/* SKU[@POOL],... */
static bool parse_fallbacks(const char *text, struct line_wish *line, char *reason)
{
    while (text) {
        const char *comma = strchr(text, ',');
        size_t len = comma ? (size_t)(comma - text) : strlen(text);
        if (line->fallback_count == LINE_FALLBACKS_MAX) {
            return parse_refuse(reason, "names more than %u items after or=", LINE_FALLBACKS_MAX);
        }
        char inner[REASON_BYTES];
        if (!parse_item_part(text, len, &line->fallbacks[line->fallback_count++], inner)) {
            return parse_refuse(reason, "has a name after or= that %.80s", inner);
        }
        text = comma ? comma + 1 : NULL;
    }
    return true;
}

/* up-to[=MIN] */
static bool parse_up_to(const char *word, struct line_wish *line, char *reason)
{
    uint64_t least = 0;
    char inner[REASON_BYTES];
    if (word[5] == '=' && !parse_unsigned(word + 6, 0, QTY_MAX, &least, inner)) {
        return parse_refuse(reason, "has a number after up-to= that %.80s", inner);
    }
    line->min_qty = (uint32_t)least;
    return true;
}

enum line_word { WORD_NONE, WORD_OPTIONAL, WORD_SPLIT, WORD_UP_TO, WORD_OR };

static enum line_word line_word_of(const char *word)
{
    if (strcmp(word, "optional") == 0) {
        return WORD_OPTIONAL;
    }
    if (strcmp(word, "split") == 0) {
        return WORD_SPLIT;
    }
    if (strcmp(word, "up-to") == 0 || strncmp(word, "up-to=", 6) == 0) {
        return WORD_UP_TO;
    }
    return strncmp(word, "or=", 3) == 0 ? WORD_OR : WORD_NONE;
}

/* Reads one of the words after a line. False: it does not fit. */
static bool take_line_word(const char *word, struct line_wish *line, char *reason)
{
    enum line_word which = line_word_of(word);
    if ((which == WORD_OPTIONAL || which == WORD_UP_TO) && line->policy != HF_LINE_ALL) {
        return parse_refuse(reason, "has more than one of :up-to and :optional");
    }
    if ((which == WORD_SPLIT && line->split) || (which == WORD_OR && line->fallback_count > 0)) {
        return parse_refuse(reason, "has :%s twice", which == WORD_OR ? "or=" : "split");
    }
    switch (which) {
    case WORD_OPTIONAL:
        line->policy = HF_LINE_OPTIONAL;
        return true;
    case WORD_SPLIT:
        line->split = true;
        return true;
    case WORD_UP_TO:
        line->policy = HF_LINE_UP_TO;
        return parse_up_to(word, line, reason);
    default:
        return parse_fallbacks(word + 3, line, reason);
    }
}

bool parse_line(const char *text, struct line_wish *line, char *reason)
{
    char copy[LINE_TEXT_BYTES];
    memset(line, 0, sizeof *line);
    if (strlen(text) >= sizeof copy) {
        return parse_refuse(reason, "is longer than %u bytes", LINE_TEXT_BYTES - 1);
    }
    strcpy(copy, text);
    char *colon;
    while ((colon = strrchr(copy, ':')) && line_word_of(colon + 1) != WORD_NONE) {
        if (!take_line_word(colon + 1, line, reason)) {
            return false;
        }
        *colon = '\0';
    }
    if (!parse_item_qty(copy, line, reason)) {
        return false;
    }
    if (line->min_qty > line->qty) {
        return parse_refuse(reason, "has a minimum, up-to=, greater than its quantity");
    }
    if (line->split && line->fallback_count == 0) {
        return parse_refuse(reason, "has :split but no other items: name them after or=");
    }
    return true;
}

bool parse_states(const char *text, uint32_t *states, char *reason)
{
    *states = 0;
    while (text) {
        const char *comma = strchr(text, ',');
        size_t len = comma ? (size_t)(comma - text) : strlen(text);
        unsigned state = HF_ORDER_HELD;
        while (state <= HF_ORDER_RETURNED && (strlen(state_name(state)) != len ||
                                              strncasecmp(state_name(state), text, len) != 0)) {
            state++;
        }
        if (state > HF_ORDER_RETURNED) {
            return parse_refuse(
                reason, "is not a list of states: held, committed, released, expired, returned");
        }
        *states |= 1u << state;
        text = comma ? comma + 1 : NULL;
    }
    return true;
}

void duration_text(uint64_t ms, char text[DURATION_TEXT_BYTES])
{
    uint64_t s = ms / 1000;
    if (s == 0) {
        snprintf(text, DURATION_TEXT_BYTES, "%" PRIu64 " ms", ms);
    } else if (s < 60) {
        snprintf(text, DURATION_TEXT_BYTES, "%" PRIu64 " s", s);
    } else if (s < 3600) {
        snprintf(text, DURATION_TEXT_BYTES, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(text, DURATION_TEXT_BYTES, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    } else {
        snprintf(text, DURATION_TEXT_BYTES, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
                 s / 3600 % 24);
    }
}

const char *state_name(unsigned state)
{
    static const char *const names[] = {"NONE",     "HELD",    "COMMITTED",
                                        "RELEASED", "EXPIRED", "RETURNED"};
    return state < sizeof names / sizeof *names ? names[state] : "UNKNOWN";
}
