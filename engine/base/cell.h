/* cell.h - what a cell of a table may hold: the same rules for every file and every command.
 *
 * A cell is a field of csv.h: trimmed, UTF-8. A value that a spreadsheet has changed is refused
 * with that reason, because the value is lost: 1.23E+15 for a long number, #REF!, a date for a
 * code.
 *
 * Errors complete "column sku: '1.23E+15' ...".
 *
 * Threads: any; pure functions. */
#ifndef BASE_CELL_H
#define BASE_CELL_H

#include "base/text.h"

#define CELL_ERROR_BYTES 200u

/* False for an error value (#N/A, #REF!, ...) and a formula (="001"), which no column can hold. */
bool cell_check(struct bytes cell, char error[CELL_ERROR_BYTES]);

/* The same for a code, an id or a buyer, as text. False also when a spreadsheet has spoiled it:
 * 1.23E+15, a date, an apostrophe in front. May be empty. */
bool cell_check_name(struct bytes cell, char error[CELL_ERROR_BYTES]);

/* A SKU's or pool's code, as it is kept (base/text.h). *code is part of the cell or in `room`. */
bool cell_code(struct bytes cell, uint8_t room[TEXT_ROOM_BYTES], struct bytes *code,
               char error[CELL_ERROR_BYTES]);

/* A whole number, min..max: ASCII digits, with a minus before them where min is below 0. A plus
 * sign, separators of thousands, a decimal point, full-width digits: each is refused with its
 * reason. */
bool cell_number(struct bytes cell, int64_t min, int64_t max, int64_t *value,
                 char error[CELL_ERROR_BYTES]);

/* True when a spreadsheet has spoiled a number; error says how. For a reader with its own form of a
 * number, such as a duration. False leaves `error` as it was. */
bool cell_spoiled_number(struct bytes cell, char error[CELL_ERROR_BYTES]);

/* A date as spreadsheets write it, 11/11/2026 or 11-Nov. It does not show which number is the
 * month. */
bool cell_is_date(struct bytes cell);

#endif
