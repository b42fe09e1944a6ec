/* csv.h - reads comma-separated files row by row, as RFC 4180 has them.
 *
 *     struct csv *csv;
 *     struct csv_row row;
 *     char error[CSV_ERROR_BYTES];
 *     if (csv_open(&csv, path, NULL, error) != HF_OK) ...              say `error`
 *     int sku = csv_column(csv, "sku");                                -1: there is no such column
 *     while ((status = csv_next(csv, &row)) == HF_OK) ... row.fields[sku] ...
 *     if (status != HF_NOT_FOUND) ...                                  say csv_error(csv)
 *     csv_close(csv);
 *
 * The first row names the columns. Accepted beyond the RFC: gzip (by content, whatever the file's
 * name), a UTF-8 byte order mark, LF alone as a line's end, no line's end after the last row, and
 * empty lines, which are skipped. Refused: a quote inside an unquoted field, anything after a
 * closing quote, a NUL byte, rows with more or fewer fields than the header, a file that ends
 * inside a quoted field, and what spreadsheets leave: rows of commas alone, columns between
 * semicolons or tabs, a "sep=" line, UTF-16 that is not named, a workbook.
 *
 * A cell is a field without white space at its edges (all of Unicode's, quoted or not), and UTF-8.
 * What may be in it: base/cell.h.
 *
 * Rows are numbered as a spreadsheet shows them: the header is row 1, empty lines count.
 *
 * Threads: one. Memory: about 1.3 MiB, whatever the file's size. */
#ifndef BASE_CSV_H
#define BASE_CSV_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "holdfast/status.h"

#define CSV_ROW_BYTES_MAX MIB(1) /* of a row's fields together */
#define CSV_FIELDS_MAX    256u   /* of a row */
#define CSV_ERROR_BYTES   320u   /* of an error's text, with the terminator */

struct csv;

struct csv_row {
    uint64_t number;            /* from 1, the header's; so the first one returned is 2 or more */
    uint32_t field_count;       /* the same as the header's */
    const struct bytes *fields; /* unquoted, trimmed, each followed by a NUL; valid until the next
                                   call */
};

/* Opens a file ("-": standard input) and reads its header. encoding: NULL or "" for UTF-8, else a
 * name that iconv knows. OK; IO_ERROR; INVALID: no header, one with an empty or repeated name, or
 * not in that encoding; NO_MEMORY. error (CSV_ERROR_BYTES) says what is wrong. */
enum hf_status csv_open(struct csv **out, const char *path, const char *encoding, char *error);

/* The same over bytes in memory, which must stay until csv_close(). Not gunzipped. */
enum hf_status csv_open_bytes(struct csv **out, struct bytes content, char *error);

/* NULL is allowed. */
void csv_close(struct csv *csv);

/* The position of the column with this name, in any letter case. -1: none. */
int csv_column(const struct csv *csv, const char *name);

/* The number of columns, and a column's name as the header spells it, without surrounding blanks.
 */
uint32_t csv_column_count(const struct csv *csv);
const char *csv_column_name(const struct csv *csv, uint32_t column);

/* The next row. OK; NOT_FOUND at the end; INVALID or IO_ERROR, which every later call returns too:
 * csv_error() says why. */
enum hf_status csv_next(struct csv *csv, struct csv_row *row);

/* What was wrong, with the row's number: "row 7: a quote inside an unquoted field". */
const char *csv_error(const struct csv *csv);

/* XXH3 64-bit of the content that was read, decompressed and in UTF-8: of the whole file once
 * csv_next() has returned NOT_FOUND. */
uint64_t csv_content_hash(const struct csv *csv);

#endif
