/* wal.h - what the words below `holdfast wal` share: opening a log for reading, positions in it,
 * names of items, records as text and JSON, and saying how a log ends.
 *
 * Threads: the main thread. Nothing is written; the engine of that log may be running. */
#ifndef CLI_WAL_H
#define CLI_WAL_H

#include <stdbool.h>

#include <jansson.h>

#include "base/arena.h"
#include "checkpoint/checkpoint.h"
#include "cli/args.h"
#include "history/replay.h"
#include "io/storage.h"
#include "wal/reader.h"
#include "wal/record.h"

#define DATA_DEFAULT "./holdfast-data"

#define FOLDER_BYTES 1100u

/* Options that several of the words have. */
#define WAL_DATA_OPTION(text)                                                                      \
    {                                                                                              \
        "data", OPTION_TEXT, &(text), NULL, "DIR",                                                 \
            "the engine's directory (default: " DATA_DEFAULT ")"                                   \
    }
#define WAL_ARCHIVE_OPTION(text)                                                                   \
    {                                                                                              \
        "archive", OPTION_TEXT, &(text), NULL, "DIR", "where the engine archived older segments"   \
    }
#define WAL_FROM_OPTION(text)                                                                      \
    {                                                                                              \
        "from", OPTION_TEXT, &(text), NULL, "LSN|TIME",                                            \
            "from this LSN on, or of this time and later"                                          \
    }
#define WAL_TO_OPTION(text)                                                                        \
    {                                                                                              \
        "to", OPTION_TEXT, &(text), NULL, "LSN|TIME",                                              \
            "up to this LSN, or of this time and earlier"                                          \
    }

/* ---- wal.c: opening ---- */

struct wal_log {
    char folder[FOLDER_BYTES]; /* the log's files are in: DATA/wal */
    struct storage *storage;
    struct wal_reader *reader; /* NULL until wal_log_read */
    uint64_t first;            /* segment that reading began with; 0: the log is empty */
    /* The checkpoint that wal_log_choose found; number 0: none, or none is needed. */
    struct checkpoint_info checkpoint;
};

/* Opens the folder of an engine's data directory, without a reader. ARGS_GO_ON, or the exit code;
 * what was wrong has been said. json: there too. */
int wal_log_find(struct wal_log *log, const char *data, bool json);

/* The newest checkpoint with a whole header that ends at or below an LSN (UINT64_MAX: any), in
 * log->checkpoint; number 0 when there is none. Its body is not looked at. */
enum hf_status wal_log_choose(struct wal_log *log, uint64_t lsn_max);

/* Opens the reader: behind log->checkpoint if `behind` and there is one, else at the first segment
 * there is. Closes the one before. OK, IO_ERROR, NO_MEMORY. */
enum hf_status wal_log_read(struct wal_log *log, bool behind);

void wal_log_close(struct wal_log *log);

/* After reading failed, or ended damaged, at a segment: has the engine given that segment back
 * meanwhile? Then it is no damage: read again, from a checkpoint. segment 0: where reading began.
 */
bool wal_log_recycled(const struct wal_log *log, uint64_t segment);

#define WAL_TRIES_MAX 5u /* readings that are begun anew because the engine gave segments back */

/* Says on stderr why the log can't be read, and with `json` as an object on stdout. EXIT_NO. */
int wal_failed(enum hf_status status, bool json, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Why checking a log failed. EXIT_NO. */
int wal_check_failed(const struct wal_log *log, enum hf_status status, bool json);

/* Finds the log in an engine's data directory, runs `work` with the directory locked against
 * engines, and closes the log. What work returns, or EXIT_NO; what was wrong has been said. Work
 * sets *changed once it changes the directory: else no trace of the lock is left there either. */
int wal_log_locked(struct wal_log *log, const char *data, bool json, int (*work)(bool *changed));

/* Shows progress; context: struct progress. */
void wal_progress(void *context, const char *what, uint64_t done, uint64_t total);

/* Say on stderr how a log ends. folder: of the log. */
void wal_say_damage(const char *folder, const struct wal_end *end);
void wal_say_torn(const char *folder, const struct wal_end *end);

/* ---- wal_position.c: LSN|TIME ---- */

/* A place in the log as an operator names it: digits are an LSN; a date and time as parse_time()
 * takes it, or @ and Unix milliseconds, are a time. */
struct wal_position {
    bool is_time;
    uint64_t value; /* LSN, or Unix ms */
};

/* False, with a reason that completes "'12x' ...". */
bool parse_position(const char *text, struct wal_position *position, char *reason);

/* Where a record lies: below 0: before the position; 0: at it; above 0: behind it. lsn: of the
 * record's end; wall_ms: of its block, which is the time of all its records. */
int position_compare(const struct wal_position *position, uint64_t lsn, uint64_t wall_ms);

/* Records between two LSNs, or of blocks whose time lies between two times, both included. Times in
 * a log may go back, where a clock was set back or had jumped ahead: each record counts by its own.
 */
struct wal_range {
    struct wal_position from;
    struct wal_position to;
};

/* What --from and --to give; NULL: the log's beginning, its end. ARGS_GO_ON, or the exit code when
 * one can't be read or they are the wrong way round; it has been said. */
int parse_range(const struct command_spec *spec, const char *from, const char *to,
                struct wal_range *range);

/* Where a record lies: below 0: before the range; 0: in it; above 0: behind it. */
int range_compare(const struct wal_range *range, uint64_t lsn, uint64_t wall_ms);

/* Whether all records from one that begins at an LSN on are behind the range. */
bool range_is_over(const struct wal_range *range, uint64_t lsn);

/* ---- wal_names.c: names of items ---- */

struct item_names {
    struct arena arena;
    uint32_t count; /* handles below it may have a name */
    struct {
        const char *sku;
        const char *pool;
    } * names; /* by handle; sku NULL: not defined yet */
};

void item_names_init(struct item_names *names);
void item_names_deinit(struct item_names *names);

/* Learns an ITEM_DEFINED record's. */
void item_names_learn(struct item_names *names, const struct item_def *def);

/* Learns all items of a checkpoint. As checkpoint_load. */
enum hf_status item_names_load(struct item_names *names, struct storage *storage, uint64_t number);

/* Learns those of the newest checkpoint that is whole; none is no error. */
enum hf_status item_names_load_newest(struct item_names *names, struct storage *storage);

/* "?" when unknown. */
const char *item_sku(const struct item_names *names, uint32_t item);
const char *item_pool(const struct item_names *names, uint32_t item);

/* ---- wal_print.c: records for people and programs ---- */

/* One line: LSN, time, type, and what it holds. */
void print_event(const struct item_names *names, const struct event *event, uint64_t wall_ms);

/* The same as an object. */
json_t *event_object(const struct item_names *names, const struct event *event, uint64_t wall_ms);

#endif
