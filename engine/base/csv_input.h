/* csv_input.h - a file's bytes as UTF-8, block by block: gunzipped and, when its encoding is named,
 * converted by iconv.
 *
 * Without a named encoding the file must be UTF-8. A file whose first bytes show that it is in
 * another encoding (UTF-16, UTF-32) or no text at all (a workbook) is refused with what to do about
 * it.
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

/* The next bytes, at least one, valid until the next call. The first may begin with a byte order
 * mark. OK; NOT_FOUND: the end; IO_ERROR, or INVALID when the next bytes are not in the encoding:
 * input_error() says why. */
enum hf_status input_next(struct csv_input *input, struct bytes *block);
const char *input_error(const struct csv_input *input);

/* A guess at the encoding of bytes that are not UTF-8: "GB18030", "windows-1252" or NULL. */
const char *input_guess(struct bytes text);

#endif
