/* csv.c - reads comma-separated files row by row, as RFC 4180 has them.
 *
 * Threads: one.
 * Invariant: `row` holds the fields of the present row one after the other, each with a NUL after
 * it; without the NULs they never exceed CSV_ROW_BYTES_MAX, nor field_count CSV_FIELDS_MAX.
 * Source: RFC 4180; the leniencies are listed in the header. */
#include "base/csv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <xxhash.h>

#include "base/check.h"
#include "base/csv_input.h"
#include "base/text.h"

struct csv {
    struct csv_input *input;
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

/* Gets more input. NOT_FOUND: the input has ended. */
static enum hf_status refill(struct csv *csv)
{
    struct bytes block;
    enum hf_status status = input_next(csv->input, &block);
    if (status == HF_OK) {
        XXH3_64bits_update(csv->hash, block.data, block.len);
        CHECK(csv->next == csv->end); /* all of the last block was read */
        CHECK(block.len > 0);
        csv->next = block.data;
        csv->end = block.data + block.len;
    } else if (status == HF_INVALID) {
        return row_error(csv, "%s", input_error(csv->input));
    } else if (status != HF_NOT_FOUND) {
        snprintf(csv->error, sizeof csv->error, "reading failed after row %llu: %s",
                 (unsigned long long)csv->row_number - 1, input_error(csv->input));
        csv->status = status;
    }
    return status;
}

static bool put(struct csv *csv, uint8_t c)
{
    if (csv->row_bytes - csv->field_count == CSV_ROW_BYTES_MAX) { /* the NULs don't count */
        row_error(csv, "longer than %llu bytes", (unsigned long long)CSV_ROW_BYTES_MAX);
        return false;
    }
    CHECK(csv->row_bytes < sizeof csv->row);
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
            row_error(csv, "something else than a comma after a closing quote");
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

/* ---- Cells ---- */

/* Refuses a cell that is not UTF-8, with a guess at its encoding if one can be made. */
static enum hf_status encoding_error(struct csv *csv, const char *column, struct bytes cell)
{
    const char *guess = input_guess(cell);
    size_t at = 0;
    uint32_t point;
    for (size_t step; at < cell.len; at += step) {
        step = utf8_next(cell.data + at, cell.len - at, &point);
        if (step == 0) {
            break;
        }
    }
    return row_error(csv, "%s: not valid UTF-8 at byte %zu%s%s%s", column, at,
                     guess ? "; it may be in " : "", guess ? guess : "",
                     guess ? ": name it with --encoding, or save the file as UTF-8" : "");
}

/* Trims white space from a field, in place. */
static struct bytes trim_cell(struct csv *csv, uint32_t field)
{
    CHECK(csv->starts[field] < csv->starts[field + 1]); /* each field has its NUL */
    CHECK(csv->starts[field + 1] <= csv->row_bytes);
    char *start = csv->row + csv->starts[field];
    struct bytes cell = {(const uint8_t *)start, csv->starts[field + 1] - csv->starts[field] - 1};
    cell = text_trim(cell);
    csv->row[(const char *)cell.data - csv->row + (ptrdiff_t)cell.len] = '\0';
    return cell;
}

#define COLUMN_TEXT_BYTES 80u

static void column_name(const struct csv *csv, uint32_t field, bool named,
                        char text[COLUMN_TEXT_BYTES])
{
    if (named) {
        snprintf(text, COLUMN_TEXT_BYTES, "column %.64s", csv->names[field]);
    } else {
        snprintf(text, COLUMN_TEXT_BYTES, "column %u", field + 1);
    }
}

/* Trims and checks the present row's fields. named: false for the header itself. */
static enum hf_status take_cells(struct csv *csv, bool named)
{
    bool filled = false;
    for (uint32_t i = 0; i < csv->field_count; i++) {
        struct bytes cell = trim_cell(csv, i);
        char column[COLUMN_TEXT_BYTES];
        if (!utf8_valid(cell.data, cell.len)) {
            column_name(csv, i, named, column);
            return encoding_error(csv, column, cell);
        }
        filled = filled || cell.len > 0;
        csv->fields[i] = cell;
    }
    if (!filled && csv->field_count > 1) {
        return row_error(csv, "nothing but commas: an empty row, as spreadsheets leave them; "
                              "delete it");
    }
    return HF_OK;
}

/* ---- The header ---- */

/* Refuses a table whose columns are separated by something else than commas. */
static enum hf_status check_separator(struct csv *csv)
{
    static const struct {
        char separator;
        const char *name;
    } separators[] = {{';', "semicolons"}, {'\t', "tabs"}, {'|', "bars"}};
    const char *header = (const char *)csv->fields[0].data;
    if (strncasecmp(header, "sep=", 4) == 0) {
        return row_error(csv, "a spreadsheet's line '%.8s', not column names: delete it", header);
    }
    for (size_t i = 0; i < 3 && csv->field_count == 1; i++) {
        if (strchr(header, separators[i].separator)) {
            return row_error(csv, "columns between %s: save the file with commas between them",
                             separators[i].name);
        }
    }
    return HF_OK;
}

static enum hf_status keep_names(struct csv *csv)
{
    csv->name_text = malloc(csv->row_bytes);
    if (!csv->name_text) {
        snprintf(csv->error, sizeof csv->error, "out of memory");
        return HF_NO_MEMORY;
    }
    memcpy(csv->name_text, csv->row, csv->row_bytes);
    for (uint32_t i = 0; i < csv->field_count; i++) {
        char *name = csv->name_text + ((const char *)csv->fields[i].data - csv->row);
        if (*name == '\0') {
            return row_error(csv, "column %u has no name", i + 1);
        }
        if (csv_column(csv, name) >= 0) {
            return row_error(csv, "two columns are named %.64s", name);
        }
        csv->names[csv->column_count++] = name;
    }
    CHECK(csv->column_count == csv->field_count);
    return HF_OK;
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
    status = take_cells(csv, false);
    status = status == HF_OK ? check_separator(csv) : status;
    return status == HF_OK ? keep_names(csv) : status;
}

/* Gets the first input, and skips a byte order mark. */
static enum hf_status begin(struct csv *csv)
{
    csv->row_number = 1;
    enum hf_status status = refill(csv);
    csv->row_number = 0;
    if (status == HF_OK && csv->end - csv->next >= 3 && memcmp(csv->next, "\xEF\xBB\xBF", 3) == 0) {
        csv->next += 3;
    }
    return status == HF_NOT_FOUND ? HF_OK : status;
}

static struct csv *csv_new(void)
{
    struct csv *csv = malloc(sizeof *csv);
    if (csv) {
        memset(csv, 0, offsetof(struct csv, row));
        csv->hash = XXH3_createState();
    }
    if (!csv || !csv->hash) {
        free(csv);
        return NULL;
    }
    XXH3_64bits_reset(csv->hash);
    return csv;
}

/* Owns the input from here on. status: of opening the input; if not OK, `error` is set already. */
static enum hf_status open_over(struct csv **out, struct csv_input *input, enum hf_status status,
                                char *error)
{
    *out = NULL;
    if (status != HF_OK) {
        return status;
    }
    struct csv *csv = csv_new();
    if (!csv) {
        input_close(input);
        snprintf(error, CSV_ERROR_BYTES, "out of memory");
        return HF_NO_MEMORY;
    }
    csv->input = input;
    status = begin(csv);
    status = status == HF_OK ? read_header(csv) : status;
    if (status != HF_OK) {
        snprintf(error, CSV_ERROR_BYTES, "%s", csv->error);
        csv_close(csv);
        return status;
    }
    *out = csv;
    return HF_OK;
}

static_assert(CSV_ERROR_BYTES >= INPUT_ERROR_BYTES, "an input's error fits");

enum hf_status csv_open(struct csv **out, const char *path, const char *encoding, char *error)
{
    struct csv_input *input;
    enum hf_status status = input_open(&input, path, encoding, error);
    return open_over(out, input, status, error);
}

enum hf_status csv_open_bytes(struct csv **out, struct bytes content, char *error)
{
    struct csv_input *input;
    enum hf_status status = input_open_bytes(&input, content, NULL, error);
    return open_over(out, input, status, error);
}

void csv_close(struct csv *csv)
{
    if (!csv) {
        return;
    }
    input_close(csv->input);
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
    if (take_cells(csv, true) != HF_OK) {
        return csv->status;
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
