/* wal_position.c - places in the log as an operator names them: LSN or time.
 *
 * Threads: any; pure functions. */
#include <stdio.h>
#include <string.h>

#include "cli/values.h"
#include "cli/wal.h"

static bool all_digits(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

bool parse_position(const char *text, struct wal_position *position, char *reason)
{
    *position = (struct wal_position){.is_time = true};
    if (all_digits(text)) {
        position->is_time = false;
        return parse_unsigned(text, 0, UINT64_MAX, &position->value, reason);
    }
    bool unix_ms = text[0] == '@' && all_digits(text + 1);
    bool fine = (unix_ms || text[0] != '@') &&
                parse_time(unix_ms ? text + 1 : text, &position->value, reason);
    if (!fine) {
        snprintf(reason, REASON_BYTES,
                 "is none of an LSN (digits), @UNIX_MS, or a date such as 2026-11-11T00:00:00Z");
    }
    return fine;
}

int position_compare(const struct wal_position *position, uint64_t lsn, uint64_t wall_ms)
{
    uint64_t value = position->is_time ? wall_ms : lsn;
    return (value > position->value) - (value < position->value);
}
