/* csv.c - reads comma-separated files row by row, as RFC 4180 has them.
 *
 * Threads: one.
 * Invariant: `row` holds the fields of the present row one after the other, each with a NUL behind
 * it; without the NULs they never exceed CSV_ROW_BYTES_MAX, nor field_count CSV_FIELDS_MAX.
 * Source: RFC 4180; the leniencies are listed in the header. */
#include "base/csv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include <xxhash.h>
#include <zlib.h>

#include "base/check.h"

#define INPUT_BYTES KIB(64)

struct csv {
    gzFile file; /* NULL: over memory */
    bool ended;  /* no input is left */
    const uint8_t *next;
    const uint8_t *end;
    XXH3_state_t *hash;

    enum hf_status status; /* OK until something was wrong */
    char error[CSV_ERROR_BYTES];

    uint64_t row_number; /* of the row being read, or read last */
    size_t row_bytes;
    uint32_t field_count;
    uint32_t starts[CSV_FIELDS_MAX + 1]; /* of each field in `row`; one more for the end */
    struct bytes fields[CSV_FIELDS_MAX];

    uint32_t column_count;
    char *names[CSV_FIELDS_MAX]; /* into name_text */
    char *name_text;

    uint8_t input[INPUT_BYTES];
    char row[CSV_ROW_BYTES_MAX + CSV_FIELDS_MAX];
};

/* Notes what is wrong with the present row, for good. */
__attribute__((format(printf, 2, 3))) static enum hf_status row_error(struct csv *csv,
                                                                      const char *format, ...)
{
    int used =
        snprintf(csv->error, sizeof csv->error, "row %llu: ", (unsigned long long)csv->row_number);
    va_list args;
    va_start(args, format);
    vsnprintf(csv->error + used, sizeof csv->error - (size_t)used, format, args);
    va_end(args);
    csv->status = HF_INVALID;
    return HF_INVALID;
}

static enum hf_status read_error(struct csv *csv, const char *reason)
{
    snprintf(csv->error, sizeof csv->error, "reading failed after row %llu: %s",
             (unsigned long long)csv->row_number, reason);
    csv->status = HF_IO_ERROR;
    return HF_IO_ERROR;
}

/* Gets more input. NOT_FOUND: there is none. */
static enum hf_status refill(struct csv *csv)
{
    if (csv->ended) {
        return HF_NOT_FOUND;
    }
    int got = csv->file ? gzread(csv->file, csv->input, INPUT_BYTES) : 0;
    if (got <= 0) {
        csv->ended = true;
        int code = Z_OK;
        const char *reason = csv->file ? gzerror(csv->file, &code) : "";
        if (got == 0 && code == Z_OK) {
            return HF_NOT_FOUND;
        }
        /* Z_BUF_ERROR: the file ends in the middle of a gzip stream. */
        return read_error(csv, code == Z_ERRNO       ? strerror(errno)
                               : code == Z_BUF_ERROR ? "the compressed file is cut short"
                                                     : reason);
    }
    XXH3_64bits_update(csv->hash, csv->input, (size_t)got);
    csv->next = csv->input;
    csv->end = csv->input + got;
    return HF_OK;
}

static bool put(struct csv *csv, uint8_t c)
{
    if (csv->row_bytes - csv->field_count == CSV_ROW_BYTES_MAX) { /* the NULs don't count */
        row_error(csv, "longer than %llu bytes", (unsigned long long)CSV_ROW_BYTES_MAX);
        return false;
    }
    csv->row[csv->row_bytes++] = (char)c;
    return true;
}

/* Ends the present field. False: the row has too many. */
static bool end_field(struct csv *csv)
{
    if (csv->field_count == CSV_FIELDS_MAX) {
        row_error(csv, "more than %u fields", CSV_FIELDS_MAX);
        return false;
    }
    CHECK(csv->row_bytes < sizeof csv->row);
    csv->row[csv->row_bytes++] = '\0';
    csv->field_count++;
    csv->starts[csv->field_count] = (uint32_t)csv->row_bytes;
    return true;
}

enum state {
    FIELD_START,
    UNQUOTED,
    QUOTED,
    QUOTE_IN_QUOTED, /* the closing one, or the first half of a doubled one */
    AFTER_CR,        /* a line feed must follow */
};

/* What one byte outside of quotes does; *done: the row is complete. False: it is wrong. */
static bool step_plain(struct csv *csv, enum state *state, uint8_t c, bool *done)
{
    switch (c) {
    case ',':
        *state = FIELD_START;
        return end_field(csv);
    case '\r':
        *state = AFTER_CR;
        return true;
    case '\n':
        *done = true;
        return true;
    case '"':
        if (*state == QUOTE_IN_QUOTED) {
            *state = QUOTED;
            return put(csv, c);
        }
        if (*state == UNQUOTED) {
            row_error(csv, "a quote inside an unquoted field");
            return false;
        }
        *state = QUOTED;
        return true;
    default:
        if (*state == QUOTE_IN_QUOTED) {
            row_error(csv, "something else than a comma behind a closing quote");
            return false;
        }
        *state = UNQUOTED;
        return put(csv, c);
    }
}

static bool step(struct csv *csv, enum state *state, uint8_t c, bool *done)
{
    if (c == '\0') {
        row_error(csv, "a NUL byte");
        return false;
    }
    switch (*state) {
    case QUOTED:
        if (c == '"') {
            *state = QUOTE_IN_QUOTED;
            return true;
        }
        return put(csv, c);
    case AFTER_CR:
        if (c != '\n') {
            row_error(csv, "a carriage return without a line feed");
            return false;
        }
        *done = true;
        return true;
    default:
        return step_plain(csv, state, c, done);
    }
}

/* Reads one row, empty ones too (one field of no bytes). NOT_FOUND: the input has ended. */
static enum hf_status read_row(struct csv *csv)
{
    csv->row_number++;
    csv->row_bytes = 0;
    csv->field_count = 0;
    csv->starts[0] = 0;
    enum state state = FIELD_START;
    bool done = false;
    bool any = false;
    while (!done) {
        if (csv->next == csv->end) {
            enum hf_status status = refill(csv);
            if (status == HF_NOT_FOUND) {
                break;
            }
            if (status != HF_OK) {
                return status;
            }
        }
        any = true;
        if (!step(csv, &state, *csv->next++, &done)) {
            return csv->status;
        }
    }
    if (!any) {
        csv->row_number--;
        return HF_NOT_FOUND;
    }
    if (!done && state == QUOTED) {
        return row_error(csv, "the file ends inside a quoted field");
    }
    return end_field(csv) ? HF_OK : csv->status;
}

/* Reads the next row that is not an empty line. */
static enum hf_status read_filled_row(struct csv *csv)
{
    for (;;) {
        enum hf_status status = read_row(csv);
        if (status != HF_OK || csv->field_count > 1 || csv->row_bytes > 1) {
            return status;
        }
        /* One field of no bytes: an empty line; in a file of one column `""` counts as one too. */
    }
}

static char *trim(char *text)
{
    while (*text == ' ' || *text == '\t') {
        text++;
    }
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t')) {
        text[--len] = '\0';
    }
    return text;
}

static enum hf_status read_header(struct csv *csv)
{
    enum hf_status status = read_filled_row(csv);
    if (status == HF_NOT_FOUND) {
        snprintf(csv->error, sizeof csv->error,
                 "the file is empty: it needs a row of column names");
        return HF_INVALID;
    }
    if (status != HF_OK) {
        return status;
    }
    csv->name_text = malloc(csv->row_bytes);
    if (!csv->name_text) {
        snprintf(csv->error, sizeof csv->error, "out of memory");
        return HF_NO_MEMORY;
    }
    memcpy(csv->name_text, csv->row, csv->row_bytes);
    for (uint32_t i = 0; i < csv->field_count; i++) {
        char *name = trim(csv->name_text + csv->starts[i]);
        if (*name == '\0') {
            return row_error(csv, "column %u has no name", i + 1);
        }
        if (csv_column(csv, name) >= 0) {
            return row_error(csv, "two columns are named %.64s", name);
        }
        csv->names[csv->column_count++] = name;
    }
    return HF_OK;
}

static void skip_byte_order_mark(struct csv *csv)
{
    if (csv->end - csv->next >= 3 && memcmp(csv->next, "\xEF\xBB\xBF", 3) == 0) {
        csv->next += 3;
    }
}

static struct csv *csv_new(void)
{
    struct csv *csv = malloc(sizeof *csv);
    if (csv) {
        memset(csv, 0, offsetof(struct csv, input));
        csv->next = csv->end = csv->input;
        csv->hash = XXH3_createState();
    }
    if (!csv || !csv->hash) {
        free(csv);
        return NULL;
    }
    XXH3_64bits_reset(csv->hash);
    return csv;
}

static enum hf_status open_failed(struct csv *csv, enum hf_status status, char *error)
{
    snprintf(error, CSV_ERROR_BYTES, "%s", csv ? csv->error : "out of memory");
    csv_close(csv);
    return status;
}

enum hf_status csv_open(struct csv **out, const char *path, char *error)
{
    *out = NULL;
    struct csv *csv = csv_new();
    if (!csv) {
        return open_failed(NULL, HF_NO_MEMORY, error);
    }
    errno = 0;
    bool standard_input = strcmp(path, "-") == 0;
    int copy = standard_input ? dup(STDIN_FILENO) : -1;
    csv->file = standard_input ? (copy >= 0 ? gzdopen(copy, "rb") : NULL) : gzopen(path, "rbe");
    if (!csv->file) {
        snprintf(csv->error, sizeof csv->error, "%s", errno ? strerror(errno) : "out of memory");
        if (copy >= 0) {
            close(copy);
        }
        return open_failed(csv, HF_IO_ERROR, error);
    }
    enum hf_status status = refill(csv);
    if (status == HF_OK) {
        skip_byte_order_mark(csv);
    }
    if (status == HF_OK || status == HF_NOT_FOUND) {
        status = read_header(csv);
    }
    if (status != HF_OK) {
        return open_failed(csv, status, error);
    }
    *out = csv;
    return HF_OK;
}

enum hf_status csv_open_bytes(struct csv **out, struct bytes content, char *error)
{
    *out = NULL;
    struct csv *csv = csv_new();
    if (!csv) {
        return open_failed(NULL, HF_NO_MEMORY, error);
    }
    csv->next = content.data;
    csv->end = content.data + content.len;
    XXH3_64bits_update(csv->hash, content.data, content.len);
    skip_byte_order_mark(csv);
    enum hf_status status = read_header(csv);
    if (status != HF_OK) {
        return open_failed(csv, status, error);
    }
    *out = csv;
    return HF_OK;
}

void csv_close(struct csv *csv)
{
    if (!csv) {
        return;
    }
    if (csv->file) {
        gzclose(csv->file);
    }
    XXH3_freeState(csv->hash);
    free(csv->name_text);
    free(csv);
}

int csv_column(const struct csv *csv, const char *name)
{
    for (uint32_t i = 0; i < csv->column_count; i++) {
        if (strcasecmp(csv->names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

uint32_t csv_column_count(const struct csv *csv)
{
    return csv->column_count;
}

const char *csv_column_name(const struct csv *csv, uint32_t column)
{
    CHECK(column < csv->column_count);
    return csv->names[column];
}

enum hf_status csv_next(struct csv *csv, struct csv_row *row)
{
    if (csv->status != HF_OK) {
        return csv->status;
    }
    enum hf_status status = read_filled_row(csv);
    if (status != HF_OK) {
        return status;
    }
    if (csv->field_count != csv->column_count) {
        return row_error(csv, "%u fields, but the header has %u", csv->field_count,
                         csv->column_count);
    }
    for (uint32_t i = 0; i < csv->field_count; i++) {
        csv->fields[i].data = (const uint8_t *)csv->row + csv->starts[i];
        csv->fields[i].len = csv->starts[i + 1] - csv->starts[i] - 1;
    }
    row->number = csv->row_number;
    row->field_count = csv->field_count;
    row->fields = csv->fields;
    return HF_OK;
}

const char *csv_error(const struct csv *csv)
{
    return csv->error;
}

uint64_t csv_content_hash(const struct csv *csv)
{
    return XXH3_64bits_digest(csv->hash);
}
