/* csv_input.h - a file's bytes as UTF-8, block by block: gunzipped and, when its encoding is named,
 * converted by iconv.
 *
 * Without a name it is UTF-8. A file that shows by its first bytes that it is another, or no text
 * at all (UTF-16, UTF-32, a workbook), is refused with what to do about it.
 *
 * Threads: one. Memory: some 150 KiB. */
#ifndef BASE_CSV_INPUT_H
#define BASE_CSV_INPUT_H

#include "base/bytes.h"
#include "holdfast/status.h"

#define INPUT_ERROR_BYTES 200u

struct csv_input;

/* Opens a file ("-": standard input). encoding: NULL or "" for UTF-8, else a name that iconv knows,
 * as "gb18030", "utf-16le", "windows-1252". OK; IO_ERROR; INVALID: no such encoding, or the file is
 * in another; NO_MEMORY. error (INPUT_ERROR_BYTES) says what is wrong. */
enum hf_status input_open(struct csv_input **out, const char *path, const char *encoding,
                          char *error);

/* The same over bytes in memory, which must stay until input_close(). Not gunzipped. */
enum hf_status input_open_bytes(struct csv_input **out, struct bytes content, const char *encoding,
                                char *error);

/* NULL is allowed. */
void input_close(struct csv_input *input);

/* The next bytes, one up, valid until the next call; the first may begin with a byte order mark.
 * OK; NOT_FOUND: there are no more; IO_ERROR; INVALID: what comes next is not in the encoding. Then
 * input_error() says why. */
enum hf_status input_next(struct csv_input *input, struct bytes *block);
const char *input_error(const struct csv_input *input);

/* A guess at what bytes that are not UTF-8 are in: "GB18030", "windows-1252" or NULL. */
const char *input_guess(struct bytes text);

#endif
