/* csv_test.c - base/csv against RFC 4180's rules and the limits of its header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <xxhash.h>
#include <zlib.h>

#include "base/csv.h"

static struct csv *open_text(const char *text)
{
    struct csv *csv = NULL;
    char error[CSV_ERROR_BYTES] = "";
    enum hf_status status = csv_open_bytes(&csv, bytes_of(text), error);
    if (status != HF_OK) {
        fail_msg("%s", error);
    }
    return csv;
}

static void expect_row(struct csv *csv, uint64_t number, const char *const *fields, uint32_t count)
{
    struct csv_row row;
    enum hf_status status = csv_next(csv, &row);
    if (status != HF_OK) {
        fail_msg("row %d: %s", (int)number, csv_error(csv));
    }
    assert_int_equal(row.number, number);
    assert_int_equal(row.field_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal((const char *)row.fields[i].data, fields[i]);
        assert_int_equal(row.fields[i].len, strlen(fields[i]));
    }
}

#define EXPECT_ROW(csv, number, ...)                                                               \
    do {                                                                                           \
        const char *const fields_[] = {__VA_ARGS__};                                               \
        expect_row(csv, number, fields_, sizeof fields_ / sizeof *fields_);                        \
    } while (0)

static void expect_end(struct csv *csv)
{
    struct csv_row row;
    assert_int_equal(csv_next(csv, &row), HF_NOT_FOUND);
    assert_int_equal(csv_next(csv, &row), HF_NOT_FOUND);
    csv_close(csv);
}

static void expect_bad_row(const char *text, const char *error)
{
    struct csv *csv = open_text(text);
    struct csv_row row;
    enum hf_status status;
    while ((status = csv_next(csv, &row)) == HF_OK) {
    }
    assert_int_equal(status, HF_INVALID);
    assert_string_equal(csv_error(csv), error);
    assert_int_equal(csv_next(csv, &row), HF_INVALID); /* for good */
    csv_close(csv);
}

static void expect_bad_header(const char *text, const char *expected)
{
    struct csv *csv = (struct csv *)1;
    char error[CSV_ERROR_BYTES];
    assert_int_equal(csv_open_bytes(&csv, bytes_of(text), error), HF_INVALID);
    assert_string_equal(error, expected);
    assert_null(csv);
}

static void csv_reads_plain_rows(void **state)
{
    (void)state;
    struct csv *csv = open_text("sku,qty\nA,1\nB,\n,3\n");
    assert_int_equal(csv_column_count(csv), 2);
    EXPECT_ROW(csv, 2, "A", "1");
    EXPECT_ROW(csv, 3, "B", "");
    EXPECT_ROW(csv, 4, "", "3");
    expect_end(csv);
}

static void csv_needs_no_newline_at_the_end(void **state)
{
    (void)state;
    struct csv *csv = open_text("a,b\n1,2");
    EXPECT_ROW(csv, 2, "1", "2");
    expect_end(csv);
    csv = open_text("a,b\n1,");
    EXPECT_ROW(csv, 2, "1", "");
    expect_end(csv);
    csv = open_text("a,b\n1,\"x\"");
    EXPECT_ROW(csv, 2, "1", "x");
    expect_end(csv);
    expect_end(open_text("a,b"));
}

static void csv_reads_crlf_and_skips_the_byte_order_mark(void **state)
{
    (void)state;
    struct csv *csv = open_text("\xEF\xBB\xBF"
                                "a,b\r\n1,\"2\"\r\n3,4\r\n");
    assert_int_equal(csv_column(csv, "a"), 0);
    EXPECT_ROW(csv, 2, "1", "2");
    EXPECT_ROW(csv, 3, "3", "4");
    expect_end(csv);
}

static void csv_unquotes_commas_quotes_and_newlines(void **state)
{
    (void)state;
    struct csv *csv =
        open_text("a,b\n\"x, y\",\"he said \"\"no\"\"\"\n\"two\r\nlines\",\"\"\n1,2\n");
    EXPECT_ROW(csv, 2, "x, y", "he said \"no\"");
    EXPECT_ROW(csv, 3, "two\r\nlines", "");
    EXPECT_ROW(csv, 4, "1", "2");
    expect_end(csv);
}

static void csv_skips_empty_lines_but_counts_them(void **state)
{
    (void)state;
    struct csv *csv = open_text("\na,b\n\n\r\n1,2\n\n");
    EXPECT_ROW(csv, 5, "1", "2");
    expect_end(csv);
}

static void csv_finds_columns_by_name_in_any_case(void **state)
{
    (void)state;
    struct csv *csv = open_text("SKU, Pool ,\"safety\"\n");
    assert_int_equal(csv_column(csv, "sku"), 0);
    assert_int_equal(csv_column(csv, "pool"), 1);
    assert_int_equal(csv_column(csv, "safety"), 2);
    assert_int_equal(csv_column(csv, "stock"), -1);
    assert_string_equal(csv_column_name(csv, 1), "Pool");
    expect_end(csv);
}

static void csv_refuses_a_bad_header(void **state)
{
    (void)state;
    expect_bad_header("", "the file is empty: it needs a row of column names");
    expect_bad_header("\n\n", "the file is empty: it needs a row of column names");
    expect_bad_header("a,,b\n", "row 1: column 2 has no name");
    expect_bad_header("a,b,A\n", "row 1: two columns are named A");
    expect_bad_header("\"a", "row 1: the file ends inside a quoted field");
}

static void csv_refuses_bad_rows_and_names_them(void **state)
{
    (void)state;
    expect_bad_row("a,b\n1,2\n1\n", "row 3: 1 fields, but the header has 2");
    expect_bad_row("a,b\n1,2,3\n", "row 2: 3 fields, but the header has 2");
    expect_bad_row("a,b\n1,2\"\n", "row 2: a quote inside an unquoted field");
    expect_bad_row("a,b\n\"1\"x,2\n", "row 2: something else than a comma after a closing quote");
    expect_bad_row("a,b\n1,\"2\n", "row 2: the file ends inside a quoted field");
    expect_bad_row("a,b\n1\r,2\n", "row 2: a carriage return without a line feed");
}

static void csv_refuses_a_nul_byte(void **state)
{
    (void)state;
    static const uint8_t text[] = {'a', '\n', '1', '\0', '\n'};
    struct csv *csv;
    struct csv_row row;
    char error[CSV_ERROR_BYTES];
    assert_int_equal(csv_open_bytes(&csv, (struct bytes){text, sizeof text}, error), HF_OK);
    assert_int_equal(csv_next(csv, &row), HF_INVALID);
    assert_string_equal(csv_error(csv), "row 2: a NUL byte");
    csv_close(csv);
}

static void csv_trims_cells_of_all_white_space(void **state)
{
    (void)state;
    struct csv *csv = open_text(" sku\t,\xE3\x80\x80Qty\xC2\xA0\n A ,\" 1 \"\n"
                                "\xE2\x80\x83\xE9\xA9\xAC\xE6\xA1\xB6\xC2\x85,\"\n2\r\n\"\n"
                                "a b,\xE3\x80\x80\n");
    assert_int_equal(csv_column(csv, "SKU"), 0);
    assert_int_equal(csv_column(csv, "qty"), 1);
    assert_string_equal(csv_column_name(csv, 1), "Qty");
    EXPECT_ROW(csv, 2, "A", "1");
    EXPECT_ROW(csv, 3, "\xE9\xA9\xAC\xE6\xA1\xB6", "2");
    EXPECT_ROW(csv, 4, "a b", "");
    expect_end(csv);
}

static void csv_names_what_spreadsheets_leave(void **state)
{
    (void)state;
    expect_bad_row("a,b\n1,2\n,\n",
                   "row 3: nothing but commas: an empty row, as spreadsheets leave "
                   "them; delete it");
    expect_bad_row(
        "a,b,c\n , ,\xE3\x80\x80\n",
        "row 2: nothing but commas: an empty row, as spreadsheets leave them; delete it");
    expect_bad_header("sku;qty\nA;1\n",
                      "row 1: columns between semicolons: save the file with commas "
                      "between them");
    expect_bad_header("sku\tqty\nA\t1\n",
                      "row 1: columns between tabs: save the file with commas between them");
    expect_bad_header("sep=;\nsku;qty\n",
                      "row 1: a spreadsheet's line 'sep=;', not column names: delete it");
    expect_bad_header("PK\3\4xxxx",
                      "the file is an Excel workbook or another zip file: save it as CSV "
                      "in UTF-8");
}

static void expect_bad_bytes(const char *data, size_t len, const char *expected)
{
    struct csv *csv;
    char error[CSV_ERROR_BYTES];
    assert_int_equal(csv_open_bytes(&csv, (struct bytes){(const uint8_t *)data, len}, error),
                     HF_INVALID);
    assert_null(csv);
    assert_string_equal(error, expected);
}

static void csv_names_the_encoding_of_a_file(void **state)
{
    (void)state;
#define BAD_BYTES(text, expected) expect_bad_bytes(text, sizeof(text) - 1, expected)
    BAD_BYTES("\xFF\xFEs\0k\0u\0\n\0",
              "the file is in UTF-16LE: give --encoding utf-16le, or save it "
              "as UTF-8");
    BAD_BYTES("s\0k\0u\0\n\0",
              "the file is in UTF-16LE: give --encoding utf-16le, or save it as UTF-8");
    BAD_BYTES("\xFE\xFF\0s\0k\0u",
              "the file is in UTF-16BE: give --encoding utf-16be, or save it as "
              "UTF-8");
    BAD_BYTES("\0s\0k\0u\0\n",
              "the file is in UTF-16BE: give --encoding utf-16be, or save it as UTF-8");
    BAD_BYTES("\xFF\xFE\0\0s\0\0\0",
              "the file is in UTF-32LE: give --encoding utf-32le, or save it as "
              "UTF-8");
    BAD_BYTES("\xC2\xED\xCD\xB0,qty\n",
              "row 1: column 1: not valid UTF-8 at byte 0; it may be in GB18030: name it with "
              "--encoding, or save the file as UTF-8");
    expect_bad_row("sku,qty\nA,1\nB\xC2\xED\xCD\xB0,2\n",
                   "row 3: column sku: not valid UTF-8 at byte 1; it may be in GB18030: name it "
                   "with --encoding, or save the file as UTF-8");
    expect_bad_row("sku,label\nA,caf\xE9\n",
                   "row 2: column label: not valid UTF-8 at byte 3; it may be in windows-1252: "
                   "name it with --encoding, or save the file as UTF-8");
    expect_bad_row("sku,qty\nA\xFF\xFF\x81,1\n\n", "row 2: column sku: not valid UTF-8 at byte 1");
}

/* A header of one column, and one row of so many bytes. */
static struct csv *open_row_of(size_t len, char **text)
{
    *text = malloc(len + 3);
    assert_non_null(*text);
    memcpy(*text, "a\n", 2);
    memset(*text + 2, 'x', len);
    (*text)[len + 2] = '\0';
    return open_text(*text);
}

static void csv_bounds_the_length_of_a_row(void **state)
{
    (void)state;
    char *text;
    struct csv_row row;
    struct csv *csv = open_row_of(CSV_ROW_BYTES_MAX, &text);
    assert_int_equal(csv_next(csv, &row), HF_OK);
    assert_int_equal(row.fields[0].len, CSV_ROW_BYTES_MAX);
    expect_end(csv);
    free(text);
    csv = open_row_of(CSV_ROW_BYTES_MAX + 1, &text);
    assert_int_equal(csv_next(csv, &row), HF_INVALID);
    assert_string_equal(csv_error(csv), "row 2: longer than 1048576 bytes");
    csv_close(csv);
    free(text);
}

/* A header of so many columns: c0,c1,... */
static void header_of(uint32_t columns, char *text)
{
    for (uint32_t i = 0; i < columns; i++) {
        text += sprintf(text, "%sc%u", i ? "," : "", i);
    }
}

static void csv_bounds_the_number_of_fields(void **state)
{
    (void)state;
    char text[4096];
    header_of(CSV_FIELDS_MAX, text);
    struct csv *csv = open_text(text);
    assert_int_equal(csv_column_count(csv), CSV_FIELDS_MAX);
    expect_end(csv);
    header_of(CSV_FIELDS_MAX + 1, text);
    expect_bad_header(text, "row 1: more than 256 fields");
}

static void csv_accepts_the_longest_row_of_the_most_fields(void **state)
{
    (void)state;
    size_t room = CSV_ROW_BYTES_MAX + 8192;
    char *text = malloc(room);
    assert_non_null(text);
    header_of(CSV_FIELDS_MAX, text);
    char *at = text + strlen(text);
    *at++ = '\n';
    memset(at, ',', CSV_FIELDS_MAX - 1);
    at += CSV_FIELDS_MAX - 1;
    memset(at, 'x', CSV_ROW_BYTES_MAX);
    at[CSV_ROW_BYTES_MAX] = '\0';
    struct csv *csv = open_text(text);
    struct csv_row row;
    assert_int_equal(csv_next(csv, &row), HF_OK);
    assert_int_equal(row.fields[CSV_FIELDS_MAX - 1].len, CSV_ROW_BYTES_MAX);
    expect_end(csv);
    free(text);
}

/* ---- Files ---- */

static void temp_name(char *name, size_t bytes)
{
    const char *directory = getenv("TMPDIR");
    snprintf(name, bytes, "%s/holdfast-csv-XXXXXX", directory ? directory : "/tmp");
    int file = mkstemp(name);
    assert_true(file >= 0);
    close(file);
}

static void write_file(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Rows "i,a,b" with i from 0: longer than one buffer of the reader. */
static char *many_rows(uint32_t rows, size_t *len)
{
    char *text = malloc(64 + (size_t)rows * 40);
    assert_non_null(text);
    char *at = text + sprintf(text, "i,a,b\n");
    for (uint32_t i = 0; i < rows; i++) {
        at += sprintf(at, "%u,\"x\"\"%u\",\"y,\n%u\"\r\n", i, i * 7, i);
    }
    *len = (size_t)(at - text);
    return text;
}

static void expect_many_rows(const char *name, uint32_t rows, uint64_t content_hash)
{
    struct csv *csv;
    char error[CSV_ERROR_BYTES];
    assert_int_equal(csv_open(&csv, name, NULL, error), HF_OK);
    for (uint32_t i = 0; i < rows; i++) {
        char fields[3][32];
        snprintf(fields[0], sizeof fields[0], "%u", i);
        snprintf(fields[1], sizeof fields[1], "x\"%u", i * 7);
        snprintf(fields[2], sizeof fields[2], "y,\n%u", i);
        EXPECT_ROW(csv, i + 2, fields[0], fields[1], fields[2]);
    }
    struct csv_row row;
    assert_int_equal(csv_next(csv, &row), HF_NOT_FOUND);
    assert_int_equal(csv_content_hash(csv), content_hash);
    csv_close(csv);
}

static void csv_reads_files_plain_and_gzipped_alike(void **state)
{
    (void)state;
    char name[256];
    temp_name(name, sizeof name);
    size_t len;
    char *text = many_rows(20000, &len);
    uint64_t hash = XXH3_64bits(text, len);

    FILE *plain = fopen(name, "wb");
    assert_non_null(plain);
    assert_int_equal(fwrite(text, 1, len, plain), len);
    fclose(plain);
    expect_many_rows(name, 20000, hash);

    gzFile packed = gzopen(name, "wb");
    assert_non_null(packed);
    assert_int_equal(gzwrite(packed, text, (unsigned)len), (int)len);
    gzclose(packed);
    expect_many_rows(name, 20000, hash);
    free(text);
    unlink(name);
}

static void csv_tells_a_gzip_file_that_is_cut_short(void **state)
{
    (void)state;
    char name[256];
    temp_name(name, sizeof name);
    gzFile packed = gzopen(name, "wb");
    assert_non_null(packed);
    gzputs(packed, "a,b\n1,2\n3,4\n");
    gzclose(packed);
    assert_int_equal(truncate(name, 25), 0);

    struct csv *csv;
    char error[CSV_ERROR_BYTES];
    enum hf_status status = csv_open(&csv, name, NULL, error);
    if (status == HF_OK) {
        struct csv_row row;
        while ((status = csv_next(csv, &row)) == HF_OK) {
        }
        snprintf(error, sizeof error, "%s", csv_error(csv));
        csv_close(csv);
    }
    assert_int_equal(status, HF_IO_ERROR);
    assert_non_null(strstr(error, "cut short"));
    unlink(name);
}

/* Reads a file of such bytes in such an encoding, of which each row is
 * "\u9a6c\u6876<number>,caf\u00e9". */
static void expect_converted(const char *name, const void *data, size_t len, const char *encoding,
                             uint32_t rows)
{
    char error[CSV_ERROR_BYTES] = "";
    struct csv *csv;
    struct csv_row row;
    write_file(name, data, len);
    assert_int_equal(csv_open(&csv, name, encoding, error), HF_OK);
    assert_string_equal(error, "");
    for (uint32_t i = 0; i < rows; i++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "\xE9\xA9\xAC\xE6\xA1\xB6%u", i);
        assert_int_equal(csv_next(csv, &row), HF_OK);
        assert_string_equal(row.fields[0].data, wanted);
        assert_string_equal(row.fields[1].data, "caf\xC3\xA9");
    }
    expect_end(csv);
}

/* UTF-16LE of such a table, by hand; returns its bytes. */
static size_t make_utf16(uint32_t rows, uint8_t *to)
{
    size_t len = 0;
    for (uint32_t i = 0; i <= rows; i++) {
        char number[16];
        uint16_t units[32] = {0x9A6C, 0x6876};
        size_t count = 2;
        snprintf(number, sizeof number, i == 0 ? "a,b\r\n" : "%u,caf", i - 1);
        count = i == 0 ? 0 : count;
        for (const char *at = number; *at; at++) {
            units[count++] = (uint8_t)*at;
        }
        if (i > 0) {
            units[count++] = 0xE9;
            units[count++] = '\n';
        }
        for (size_t k = 0; k < count; k++) {
            to[len++] = (uint8_t)(units[k] & 0xFF);
            to[len++] = (uint8_t)(units[k] >> 8);
        }
    }
    return len;
}

static void csv_converts_what_is_named(void **state)
{
    (void)state;
    enum { ROWS = 20000 }; /* many blocks: characters lie across their ends */
    char name[256];
    temp_name(name, sizeof name);
    uint8_t *text = malloc(ROWS * 64);
    assert_non_null(text);
    size_t len = make_utf16(ROWS, text);
    expect_converted(name, text, len, "utf-16le", ROWS);
    expect_converted(name, text, len, "UTF-16LE", ROWS);
    expect_converted(name,
                     "a,b\n\xC2\xED\xCD\xB0"
                     "0,caf\xA8\xA6\n",
                     16, "gb18030", 1);
    expect_converted(name,
                     "a,b\n\xC2\xED\xCD\xB0"
                     "0,caf\xA8\xA6\n",
                     16, "GBK", 1);
    expect_converted(name,
                     "\xEF\xBB\xBF"
                     "a,b\n\xE9\xA9\xAC\xE6\xA1\xB6"
                     "0,caf\xC3\xA9\n",
                     21, "utf-8", 1);
    free(text);
    struct csv *csv;
    struct csv_row row;
    char error[CSV_ERROR_BYTES];
    assert_int_equal(csv_open(&csv, name, "utf-17", error), HF_INVALID);
    assert_string_equal(error,
                        "--encoding utf-17: no such encoding; 'iconv --list' names those there "
                        "are");
    assert_int_equal(csv_open(&csv, name, "gb18030", error), HF_INVALID);
    assert_string_equal(error, "the file is marked as UTF-8, not in gb18030: leave --encoding off");
    write_file(name, "a,b\n1,2\n3,\xFF\xFF\n", 12);
    assert_int_equal(csv_open(&csv, name, "gb18030", error), HF_OK);
    assert_int_equal(csv_next(csv, &row), HF_OK);
    assert_int_equal(csv_next(csv, &row), HF_INVALID);
    assert_string_equal(csv_error(csv), "row 3: the bytes that come next are not gb18030");
    csv_close(csv);
    unlink(name);
}

static void csv_says_why_a_file_cannot_be_opened(void **state)
{
    (void)state;
    struct csv *csv;
    char error[CSV_ERROR_BYTES];
    assert_int_equal(csv_open(&csv, "/nonexistent/file.csv", NULL, error), HF_IO_ERROR);
    assert_string_equal(error, "No such file or directory");
    assert_int_equal(csv_open(&csv, "/", NULL, error), HF_IO_ERROR);
    assert_non_null(strstr(error, "directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_reads_plain_rows),
        cmocka_unit_test(csv_needs_no_newline_at_the_end),
        cmocka_unit_test(csv_reads_crlf_and_skips_the_byte_order_mark),
        cmocka_unit_test(csv_unquotes_commas_quotes_and_newlines),
        cmocka_unit_test(csv_skips_empty_lines_but_counts_them),
        cmocka_unit_test(csv_finds_columns_by_name_in_any_case),
        cmocka_unit_test(csv_refuses_a_bad_header),
        cmocka_unit_test(csv_refuses_bad_rows_and_names_them),
        cmocka_unit_test(csv_refuses_a_nul_byte),
        cmocka_unit_test(csv_bounds_the_length_of_a_row),
        cmocka_unit_test(csv_bounds_the_number_of_fields),
        cmocka_unit_test(csv_accepts_the_longest_row_of_the_most_fields),
        cmocka_unit_test(csv_reads_files_plain_and_gzipped_alike),
        cmocka_unit_test(csv_tells_a_gzip_file_that_is_cut_short),
        cmocka_unit_test(csv_trims_cells_of_all_white_space),
        cmocka_unit_test(csv_names_what_spreadsheets_leave),
        cmocka_unit_test(csv_names_the_encoding_of_a_file),
        cmocka_unit_test(csv_converts_what_is_named),
        cmocka_unit_test(csv_says_why_a_file_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
