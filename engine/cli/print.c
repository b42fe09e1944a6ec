/* print.c - what commands print: aligned tables for people, JSON for programs.
 *
 * Threads: the main thread. */
#include "cli/print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/escape.h"
#include "cli/commands.h"

void *must_have(void *memory)
{
    if (!memory) {
        fprintf(stderr, "holdfast: out of memory\n");
        exit(EXIT_NO);
    }
    return memory;
}

void *must_grow(void *memory, size_t count, size_t size)
{
    return must_have(reallocarray(memory, count ? count : 1, size ? size : 1));
}

void *must_alloc(size_t count, size_t size)
{
    void *memory = must_grow(NULL, count, size);
    memset(memory, 0, count * size);
    return memory;
}

/* ---- Text ---- */

/* Code points that take two columns on a terminal: Unicode's East Asian Wide and Fullwidth blocks,
 * and none: combining marks. Enough for aligning product codes. */
static unsigned columns_of(uint32_t point)
{
    static const struct {
        uint32_t first;
        uint32_t last;
    } wide[] = {{0x1100, 0x115F},   {0x2E80, 0xA4CF},  {0xAC00, 0xD7A3}, {0xF900, 0xFAFF},
                {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},  {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F},
                {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};
    if ((point >= 0x0300 && point <= 0x036F) || (point >= 0x200B && point <= 0x200F)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        if (point >= wide[i].first && point <= wide[i].last) {
            return 2;
        }
    }
    return 1;
}

/* Writes to `to` unless it is NULL. */
static unsigned measure(FILE *to, const char *text)
{
    unsigned columns = 0;
    struct bytes left = bytes_of(text);
    while (left.len > 0) {
        char shown[ESCAPE_BYTES_MAX];
        size_t taken;
        uint32_t point;
        size_t len = escape_next(left, shown, &taken);
        bool as_it_is = utf8_next(left.data, left.len, &point) > 0 && !escape_needed(point);
        columns += as_it_is ? columns_of(point) : (unsigned)len;
        if (to) {
            fwrite(shown, 1, len, to);
        }
        left = (struct bytes){left.data + taken, left.len - taken};
    }
    return columns;
}

unsigned print_safe(FILE *to, const char *text)
{
    return measure(to, text);
}

/* ---- Tables ---- */

void print_table_init(struct print_table *table, const struct print_column *columns,
                      unsigned column_count)
{
    CHECK(column_count > 0);
    CHECK(column_count <= TABLE_COLUMNS_MAX);
    *table = (struct print_table){.columns = columns, .column_count = column_count};
    for (unsigned i = 0; i < column_count; i++) {
        table->widths[i] = measure(NULL, columns[i].title);
    }
}

static void drop_cells(struct print_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++) {
        free(table->cells[i]);
    }
    table->cell_count = 0;
}

void print_table_deinit(struct print_table *table)
{
    drop_cells(table);
    free(table->cells);
}

void print_table_text(struct print_table *table, const char *text)
{
    if (table->cell_count == table->cell_room) {
        table->cell_room = table->cell_room ? 2 * table->cell_room : 256;
        table->cells = must_grow(table->cells, table->cell_room, sizeof *table->cells);
    }
    unsigned column = (unsigned)(table->cell_count % table->column_count);
    unsigned width = measure(NULL, text);
    if (width > table->widths[column]) {
        table->widths[column] = width;
    }
    char *copy = must_alloc(strlen(text) + 1, 1);
    strcpy(copy, text);
    table->cells[table->cell_count++] = copy;
}

void print_table_number(struct print_table *table, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    print_table_text(table, text);
}

static void pad(unsigned count)
{
    while (count-- > 0) {
        putchar(' ');
    }
}

static void print_cell(const struct print_table *table, unsigned column, const char *text)
{
    unsigned width = measure(NULL, text);
    CHECK(width <= table->widths[column]);
    unsigned rest = table->widths[column] - width;
    if (table->columns[column].number) {
        pad(rest);
        print_safe(stdout, text);
    } else {
        print_safe(stdout, text);
        pad(column + 1 < table->column_count ? rest : 0);
    }
    fputs(column + 1 < table->column_count ? "  " : "\n", stdout);
}

void print_table_flush(struct print_table *table)
{
    CHECK(table->cell_count % table->column_count == 0);
    for (unsigned i = 0; !table->titled && i < table->column_count; i++) {
        print_cell(table, i, table->columns[i].title);
    }
    table->titled = true;
    for (size_t i = 0; i < table->cell_count; i++) {
        print_cell(table, (unsigned)(i % table->column_count), table->cells[i]);
    }
    drop_cells(table);
}

/* ---- JSON ---- */

static void print_dumped(json_t *value, size_t flags)
{
    char *json = must_have(json_dumped(must_have(value), flags));
    fputs(json, stdout);
    free(json);
}

void print_json(json_t *value)
{
    print_dumped(value, JSON_INDENT(2));
    putchar('\n');
}

void print_json_line(json_t *value)
{
    print_dumped(value, JSON_COMPACT);
    putchar('\n');
}

json_t *error_object(enum hf_status status, const char *message)
{
    return json_pack("{s:s, s:o}", "status", hf_status_name(status), "message",
                     json_text(message, strlen(message)));
}

void json_rows_open(struct json_rows *rows)
{
    rows->any = false;
    putchar('[');
}

void json_rows_add(struct json_rows *rows, json_t *value)
{
    fputs(rows->any ? ",\n  " : "\n  ", stdout);
    print_dumped(value, JSON_COMPACT);
    rows->any = true;
}

void json_rows_close(struct json_rows *rows)
{
    fputs(rows->any ? "\n]\n" : "]\n", stdout);
}

/* ---- Progress ---- */

#define PROGRESS_AFTER_NS 1000000000u
#define PROGRESS_EVERY_NS 100000000u

void progress_start(struct progress *progress)
{
    uint64_t now = clock_monotonic_ns(clock_real());
    *progress = (struct progress){.terminal = isatty(STDERR_FILENO) == 1, .started_ns = now};
}

void progress_show(struct progress *progress, const char *what, uint64_t done, uint64_t total)
{
    if (!progress->terminal) {
        return;
    }
    uint64_t now = clock_monotonic_ns(clock_real());
    if (now - progress->started_ns < PROGRESS_AFTER_NS ||
        now - progress->last_ns < PROGRESS_EVERY_NS) {
        return;
    }
    unsigned percent = total ? (unsigned)((double)done * 100 / (double)total) : 100;
    unsigned marks = percent > 100 ? 30 : percent * 30 / 100;
    fprintf(stderr, "\r%s [%.*s%*s] %3u %%", what, (int)marks, "##############################",
            (int)(30 - marks), "", percent);
    progress->last_ns = now;
    progress->shown = true;
}

void progress_end(struct progress *progress)
{
    if (progress->shown) {
        fputs("\r\033[K", stderr);
    }
    progress->shown = false;
}
