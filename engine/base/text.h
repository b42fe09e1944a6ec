/* text.h - which texts from outside are accepted, and how they are kept: one rule for codes,
 * labels, reasons and references, wherever they come from.
 *
 * Two texts that look the same must be the same. So a text is kept without white space at its edges
 * and in Unicode's normalization form C, and a character that can't be seen is refused, not
 * dropped.
 *
 *                          a code (SKU, pool)          a label, reason or reference
 *   bytes, as kept         1..64                       0..256 (label), 0..128
 *   white space            trimmed at the edges, all of Unicode's White_Space; inside of a
 *                          only U+0020, one at a time  any but control characters and separators
 *   control characters     refused: C0, DEL, C1, U+2028, U+2029
 *   format, zero-width     refused: Cf and all that Unicode calls default ignorable
 *   except                 nothing                     ZWJ and VS15/VS16 in emoji, ZWNJ and ZWJ
 *                                                      where a script needs them, Arabic signs
 *   unassigned, private    refused; noncharacters and surrogates too
 *   look-alike symbols     U+2800, U+FFFC, U+FFFD refused; a combining mark can't be the first
 *
 * Not checked: letters of different scripts that look alike, letter case, full-width forms.
 * docs/decisions/0018-text.md has the reasons.
 *
 * A log may have older texts that break these rules. They are read as they are: the rules are for
 * texts that come in.
 *
 * Threads: any; pure functions; no allocation. Cost: printable ASCII some ns; all else about 100 ns
 * a character. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/bytes.h"
#include "base/limits.h"

enum text_kind {
    TEXT_CODE,   /* of a SKU or a pool: what machines compare */
    TEXT_LABEL,  /* a SKU's name for people */
    TEXT_REASON, /* of an adjustment: its reason or its reference */
};

#define TEXT_ROOM_BYTES  LABEL_BYTES_MAX /* the longest text of any kind */
#define TEXT_ERROR_BYTES 160u

/* Checks and normalizes a text. True: *text is the text to keep, a part of `given` or in `room`.
 * False: *text is {NULL, 0}, and error says why, such as "U+200B ZERO WIDTH SPACE at byte 3 is not
 * allowed"; bytes of `given` are counted from 0. */
bool text_take(enum text_kind kind, struct bytes given, uint8_t room[TEXT_ROOM_BYTES],
               struct bytes *text, char error[TEXT_ERROR_BYTES]);

/* True when a text would be accepted; NULL too. */
bool text_fits(enum text_kind kind, const char *text, char error[TEXT_ERROR_BYTES]);

/* The text without Unicode's white space at its edges. Bytes that are not UTF-8 are no white space.
 */
struct bytes text_trim(struct bytes given);

/* "U+200B ZERO WIDTH SPACE"; of a code point without a name here: "U+E0041 (a tag character)". */
#define TEXT_POINT_BYTES 64u
void text_point_name(uint32_t point, char name[TEXT_POINT_BYTES]);

#endif
