/* print.h - what commands print: aligned tables for people, JSON for programs.
 *
 * Codes, labels and messages come from outside: what could end a line or move the terminal's cursor
 * is shown as an escape (base/escape.h), in JSON as JSON's own.
 *
 * Threads: the main thread. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <holdfast/status.h>
#include <jansson.h>

#include "feed/json.h"

#define TABLE_COLUMNS_MAX 16u

struct print_column {
    const char *title;
    bool number; /* aligned to the right */
};

/* A table that is printed in parts: widths are those of the rows gathered so far. */
struct print_table {
    unsigned column_count;
    const struct print_column *columns;
    unsigned widths[TABLE_COLUMNS_MAX];
    size_t cell_count;
    size_t cell_room;
    char **cells;
    bool titled; /* the titles have been printed */
};

/* columns stay the caller's, for the table's life. */
void print_table_init(struct print_table *table, const struct print_column *columns,
                      unsigned column_count);
void print_table_deinit(struct print_table *table);

/* Adds the next cell of the present row; a row is complete with its last column. */
void print_table_text(struct print_table *table, const char *text);
void print_table_number(struct print_table *table, int64_t value);

/* Prints the complete rows added since the last flush, and the titles before the first ones (also
 * if there are no rows). */
void print_table_flush(struct print_table *table);

/* Writes text with what base/escape.h escapes made visible; returns the columns it takes on a
 * terminal. */
unsigned print_safe(FILE *to, const char *text);

/* Prints a value as indented JSON with a line's end, and drops the reference. */
void print_json(json_t *value);

/* The same on one line, for commands that print an object a line. */
void print_json_line(json_t *value);

/* {"status": its name, "message": ...}: what --json prints when a command fails. */
json_t *error_object(enum hf_status status, const char *message);

/* A JSON array that is printed element by element. */
struct json_rows {
    bool any;
};
void json_rows_open(struct json_rows *rows);
void json_rows_add(struct json_rows *rows, json_t *value); /* drops the reference */
void json_rows_close(struct json_rows *rows);

/* A progress line on stderr: shown when that is a terminal and a second has passed. */
struct progress {
    bool terminal;
    bool shown;
    uint64_t started_ns;
    uint64_t last_ns;
};
void progress_start(struct progress *progress);
void progress_show(struct progress *progress, const char *what, uint64_t done, uint64_t total);
void progress_end(struct progress *progress); /* wipes the line */

/* These return memory, or end the process: a command can do nothing without it. */
void *must_alloc(size_t count, size_t size);
void *must_have(void *memory); /* NULL: out of memory */
void *must_grow(void *memory, size_t count, size_t size);

#endif
