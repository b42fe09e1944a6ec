/* escape.h - text from outside made safe to show: one line, whatever was in it.
 *
 * Text that the engine accepts today has no dangerous characters (base/text.h). An older log may
 * have them, and so may files, names of files, and text of a request that is refused. Everything
 * that is written as lines goes through here: diagnostic lines, messages, tables, the change
 * stream's subjects, JSON.
 *
 * Threads: any; pure functions. */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include "base/bytes.h"

#define ESCAPE_BYTES_MAX 10u /* of one character: "\U000e0041" */

/* True for a character that ends a line, moves a terminal's cursor, turns the text's direction or
 * can't be seen: controls, U+2028, U+2029, marks of direction, U+FEFF and the like. False for the
 * joiners of emoji and of scripts. */
bool escape_needed(uint32_t point);

/* Takes the next character of text, which is not empty, and writes it, or its escape, without a
 * terminator: \x1b below U+0100 and for a byte that is not UTF-8, \u202e, \U000e0041. A backslash
 * stays one. Returns the number of bytes written; *taken: of bytes read. */
size_t escape_next(struct bytes text, char to[ESCAPE_BYTES_MAX], size_t *taken);

/* The whole text, cut at a character's end where room ends. Returns the length without the
 * terminator, at most room - 1. room is at least 1; `to` and text do not overlap. */
size_t escape_text(struct bytes text, char *to, size_t room);

#endif
