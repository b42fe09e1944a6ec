/* cell.h - what a cell of a table is: one reading for every file, whichever command reads it.
 *
 * A cell is what csv.h gives: trimmed, UTF-8. What spreadsheets make of values is refused with that
 * reason, because the value is lost: 1.23E+15 for a long number, #REF!, a date for a code.
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

/* A code, an id or a buyer, as text: false when a spreadsheet has spoiled it besides: 1.23E+15, a
 * date, an apostrophe in front. May be empty. */
bool cell_check_name(struct bytes cell, char error[CELL_ERROR_BYTES]);

/* A SKU's or pool's code, as it is kept (base/text.h). *code is part of the cell or in `room`. */
bool cell_code(struct bytes cell, uint8_t room[TEXT_ROOM_BYTES], struct bytes *code,
               char error[CELL_ERROR_BYTES]);

/* A whole number, min..max: ASCII digits, with a minus before them where min is below 0. A sign
 * that says nothing, separators of thousands, a decimal point, full-width digits: each has its
 * reason. */
bool cell_number(struct bytes cell, int64_t min, int64_t max, int64_t *value,
                 char error[CELL_ERROR_BYTES]);

/* As for a number, what is wrong with it: for a reader that has its own form of one, as a duration.
 * False, with `error` as it was: nothing that a spreadsheet makes. */
bool cell_spoiled_number(struct bytes cell, char error[CELL_ERROR_BYTES]);

/* A date as spreadsheets write it, 11/11/2026 or 11-Nov: which number is the month is not to be
 * told.
 */
bool cell_is_date(struct bytes cell);

#endif
