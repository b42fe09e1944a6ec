/* csv_input.c - a file's bytes as UTF-8, block by block.
 *
 * Threads: one. */
#include "base/csv_input.h"

#include <errno.h>
#include <iconv.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include <zlib.h>

#include "base/check.h"
#include "base/limits.h"

#define BLOCK_BYTES       KIB(64)
#define ENCODING_NAME_MAX 40u
#define SNIFFED_BYTES     512u

struct csv_input {
    gzFile file;         /* NULL: over memory */
    struct bytes memory; /* what is left of it */
    bool ended;          /* there are no more raw bytes */
    iconv_t converter;   /* (iconv_t)-1: none, it is UTF-8 */
    bool bad;            /* the raw bytes that come next are not in the encoding */
    char encoding[ENCODING_NAME_MAX + 1];
    size_t raw_from; /* raw bytes that are still to be converted */
    size_t raw_to;
    uint8_t raw[BLOCK_BYTES];
    uint8_t text[BLOCK_BYTES];
    char error[INPUT_ERROR_BYTES];
};

#define NO_CONVERTER ((iconv_t)-1)

__attribute__((format(printf, 3, 4))) static enum hf_status
fail(struct csv_input *input, enum hf_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(input->error, sizeof input->error, format, args);
    va_end(args);
    return status;
}

/* ---- Raw bytes ---- */

static enum hf_status read_file(struct csv_input *input)
{
    size_t room = sizeof input->raw - input->raw_to;
    int got = gzread(input->file, input->raw + input->raw_to, (unsigned)room);
    if (got > 0) {
        input->raw_to += (size_t)got;
        return HF_OK;
    }
    int code = Z_OK;
    const char *reason = gzerror(input->file, &code);
    input->ended = true;
    if (got == 0 && code == Z_OK) {
        return HF_NOT_FOUND;
    }
    /* Z_BUF_ERROR: the file ends in the middle of a gzip stream. */
    return fail(input, HF_IO_ERROR, "%s",
                code == Z_ERRNO       ? strerror(errno)
                : code == Z_BUF_ERROR ? "the compressed file is cut short"
                                      : reason);
}

/* Adds raw bytes after those that are left. NOT_FOUND: the input has ended. */
static enum hf_status read_raw(struct csv_input *input)
{
    size_t left = input->raw_to - input->raw_from;
    memmove(input->raw, input->raw + input->raw_from, left);
    input->raw_from = 0;
    input->raw_to = left;
    if (input->ended) {
        return HF_NOT_FOUND;
    }
    if (input->file) {
        return read_file(input);
    }
    size_t room = sizeof input->raw - left;
    size_t more = input->memory.len < room ? input->memory.len : room;
    if (more == 0) {
        input->ended = true;
        return HF_NOT_FOUND;
    }
    memcpy(input->raw + left, input->memory.data, more);
    input->raw_to += more;
    input->memory = (struct bytes){input->memory.data + more, input->memory.len - more};
    return HF_OK;
}

/* ---- What the first bytes show ---- */

static bool begins(struct bytes text, const char *mark, size_t len)
{
    return text.len >= len && memcmp(text.data, mark, len) == 0;
}

/* UTF-16 without a mark: ASCII, of which any table has some, has a NUL in each pair. */
static const char *pairs_with_nul(struct bytes text)
{
    size_t nuls[2] = {0, 0};
    size_t len = text.len < SNIFFED_BYTES ? text.len : SNIFFED_BYTES;
    for (size_t i = 0; i < len; i++) {
        nuls[i % 2] += text.data[i] == 0;
    }
    if (nuls[0] + nuls[1] < 2 || nuls[0] + nuls[1] <= len / 8) {
        return NULL; /* damage, which the reader names */
    }
    return nuls[0] == 0 ? "UTF-16LE" : nuls[1] == 0 ? "UTF-16BE" : NULL;
}

/* The encoding that the first bytes show. NULL: they show none. */
static const char *marked_encoding(struct bytes text)
{
    if (begins(text, "\xFF\xFE\0\0", 4)) {
        return "UTF-32LE";
    }
    if (begins(text, "\0\0\xFE\xFF", 4)) {
        return "UTF-32BE";
    }
    if (begins(text, "\xFF\xFE", 2)) {
        return "UTF-16LE";
    }
    if (begins(text, "\xFE\xFF", 2)) {
        return "UTF-16BE";
    }
    return begins(text, "\xEF\xBB\xBF", 3) ? "UTF-8" : pairs_with_nul(text);
}

static const char *workbook(struct bytes text)
{
    return begins(text, "PK\3\4", 4)             ? "an Excel workbook or another zip file"
           : begins(text, "\xD0\xCF\x11\xE0", 4) ? "an old Excel workbook"
                                                 : NULL;
}

/* Looks at the first block. Marks say what a file is in; a name may only agree. */
static enum hf_status sniff(struct csv_input *input)
{
    struct bytes text = {input->raw, input->raw_to};
    const char *marked = marked_encoding(text);
    const char *book = workbook(text);
    if (book) {
        return fail(input, HF_INVALID, "the file is %s: save it as CSV in UTF-8", book);
    }
    if (!marked) {
        return HF_OK;
    }
    bool utf8 = strcmp(marked, "UTF-8") == 0;
    if (input->converter == NO_CONVERTER && !utf8) {
        char option[16];
        snprintf(option, sizeof option, "%s", marked);
        for (char *at = option; *at; at++) {
            *at = (char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at);
        }
        return fail(input, HF_INVALID, "the file is in %s: give --encoding %s, or save it as UTF-8",
                    marked, option);
    }
    if (input->converter != NO_CONVERTER && utf8) {
        return fail(input, HF_INVALID,
                    "the file is marked as UTF-8, not in %s: leave --encoding "
                    "off",
                    input->encoding);
    }
    return HF_OK;
}

static bool converts(const char *encoding, struct bytes text)
{
    char to[1024];
    iconv_t converter = iconv_open("UTF-8", encoding);
    if (converter == NO_CONVERTER) {
        return false;
    }
    char *in = (char *)(uintptr_t)text.data;
    size_t left = text.len;
    bool fine = true;
    while (left > 0 && fine) {
        char *out = to;
        size_t room = sizeof to;
        fine = iconv(converter, &in, &left, &out, &room) != (size_t)-1 || errno == E2BIG;
    }
    iconv_close(converter);
    return fine;
}

const char *input_guess(struct bytes text)
{
    static const char *const encodings[] = {"GB18030", "windows-1252"};
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
        if (converts(encodings[i], text)) {
            return encodings[i];
        }
    }
    return NULL;
}

/* ---- Converted bytes ---- */

/* Converts what there is into input->text. Returns the bytes made. */
static size_t convert(struct csv_input *input)
{
    char *in = (char *)input->raw + input->raw_from;
    size_t left = input->raw_to - input->raw_from;
    char *out = (char *)input->text;
    size_t room = sizeof input->text;
    if (iconv(input->converter, &in, &left, &out, &room) == (size_t)-1) {
        /* EINVAL: the last character is not whole; more may come. E2BIG: that was all for now. */
        input->bad = errno == EILSEQ || (errno == EINVAL && input->ended);
    }
    input->raw_from = input->raw_to - left;
    return sizeof input->text - room;
}

static enum hf_status next_converted(struct csv_input *input, struct bytes *block)
{
    while (!input->bad) {
        size_t made = convert(input);
        if (made > 0) {
            *block = (struct bytes){input->text, made};
            return HF_OK;
        }
        enum hf_status status = input->bad ? HF_OK : read_raw(input);
        if (status == HF_NOT_FOUND && input->raw_from == input->raw_to) {
            return HF_NOT_FOUND;
        }
        if (status == HF_IO_ERROR) {
            return status;
        }
    }
    return fail(input, HF_INVALID, "the bytes that come next are not %s", input->encoding);
}

static enum hf_status next_plain(struct csv_input *input, struct bytes *block)
{
    if (input->raw_from == input->raw_to) {
        enum hf_status status = read_raw(input);
        if (status != HF_OK) {
            return status;
        }
    }
    *block = (struct bytes){input->raw + input->raw_from, input->raw_to - input->raw_from};
    input->raw_from = input->raw_to;
    return HF_OK;
}

enum hf_status input_next(struct csv_input *input, struct bytes *block)
{
    return input->converter == NO_CONVERTER ? next_plain(input, block)
                                            : next_converted(input, block);
}

const char *input_error(const struct csv_input *input)
{
    return input->error;
}

/* ---- Opening ---- */

static bool is_utf8_name(const char *encoding)
{
    return strcasecmp(encoding, "utf-8") == 0 || strcasecmp(encoding, "utf8") == 0;
}

static enum hf_status open_converter(struct csv_input *input, const char *encoding)
{
    if (!encoding || encoding[0] == '\0' || is_utf8_name(encoding)) {
        return HF_OK;
    }
    /* A slash would begin words for iconv itself, as //IGNORE. */
    bool fits = strlen(encoding) <= ENCODING_NAME_MAX && !strchr(encoding, '/');
    input->converter = fits ? iconv_open("UTF-8", encoding) : NO_CONVERTER;
    if (input->converter == NO_CONVERTER) {
        return fail(input, HF_INVALID,
                    "--encoding %.40s: no such encoding; 'iconv --list' names those there are",
                    encoding);
    }
    strcpy(input->encoding, encoding);
    return HF_OK;
}

static enum hf_status open_file(struct csv_input *input, const char *path)
{
    errno = 0;
    bool standard_input = strcmp(path, "-") == 0;
    int copy = standard_input ? dup(STDIN_FILENO) : -1;
    input->file = standard_input ? (copy >= 0 ? gzdopen(copy, "rb") : NULL) : gzopen(path, "rbe");
    if (input->file) {
        return HF_OK;
    }
    fail(input, HF_IO_ERROR, "%s", errno ? strerror(errno) : "out of memory");
    if (copy >= 0) {
        close(copy);
    }
    return HF_IO_ERROR;
}

static enum hf_status open_input(struct csv_input **out, const char *path, struct bytes content,
                                 const char *encoding, char *error)
{
    *out = NULL;
    struct csv_input *input = malloc(sizeof *input);
    if (!input) {
        snprintf(error, INPUT_ERROR_BYTES, "out of memory");
        return HF_NO_MEMORY;
    }
    memset(input, 0, sizeof *input);
    input->converter = NO_CONVERTER;
    input->memory = content;
    enum hf_status status = open_converter(input, encoding);
    if (status == HF_OK && path) {
        status = open_file(input, path);
    }
    if (status == HF_OK) {
        status = read_raw(input);
        status = status == HF_OK ? sniff(input) : status == HF_NOT_FOUND ? HF_OK : status;
    }
    if (status != HF_OK) {
        snprintf(error, INPUT_ERROR_BYTES, "%s", input->error);
        input_close(input);
        return status;
    }
    *out = input;
    return HF_OK;
}

enum hf_status input_open(struct csv_input **out, const char *path, const char *encoding,
                          char *error)
{
    return open_input(out, path, (struct bytes){NULL, 0}, encoding, error);
}

enum hf_status input_open_bytes(struct csv_input **out, struct bytes content, const char *encoding,
                                char *error)
{
    return open_input(out, NULL, content, encoding, error);
}

void input_close(struct csv_input *input)
{
    if (!input) {
        return;
    }
    if (input->file) {
        gzclose(input->file);
    }
    if (input->converter != NO_CONVERTER) {
        iconv_close(input->converter);
    }
    free(input);
}
