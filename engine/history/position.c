/* position.c - positions in the log as an operator names them: an LSN or a time.
 *
 * Threads: those that read times need the main thread; the others any. Pure functions. */
#include "history/position.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/times.h"

bool parse_position(const char *text, struct history_position *position, char *reason)
{
    *position = (struct history_position){.is_time = true};
    if (all_digits(text)) {
        position->is_time = false;
        return parse_unsigned(text, 0, UINT64_MAX, &position->value, reason);
    }
    bool unix_ms = text[0] == '@' && all_digits(text + 1);
    bool fine = (unix_ms || text[0] != '@') &&
                parse_time(unix_ms ? text + 1 : text, &position->value, reason);
    if (!fine && unix_ms && strncmp(reason, "looks like", 10) != 0) {
        /* Said to be milliseconds, and nothing else that it could be meant as. */
        return parse_unsigned(text + 1, 0, UINT64_MAX, &position->value, reason);
    }
    /* What is a time, or nearly one, has its own reason. */
    if (!fine && (text[0] == '@' ? !unix_ms : strncmp(reason, "is not a time", 13) == 0)) {
        snprintf(reason, REASON_BYTES,
                 "is none of an LSN (digits), @UNIX_MS, or a date such as 2026-11-11T00:00:00Z");
    }
    return fine;
}

int position_compare(const struct history_position *position, uint64_t lsn, uint64_t wall_ms)
{
    uint64_t value = position->is_time ? wall_ms : lsn;
    return (value > position->value) - (value < position->value);
}

bool range_is_backwards(const struct history_range *range)
{
    return range->from.is_time == range->to.is_time && range->from.value > range->to.value;
}

int range_compare(const struct history_range *range, uint64_t lsn, uint64_t wall_ms)
{
    int at_from = position_compare(&range->from, lsn, wall_ms);
    int at_to = position_compare(&range->to, lsn, wall_ms);
    return at_from < 0 ? at_from : at_to > 0 ? at_to : 0;
}

bool range_is_over(const struct history_range *range, uint64_t lsn)
{
    return !range->to.is_time && lsn >= range->to.value;
}
