/* wal.h - what the words below `holdfast wal` share: their options, finding a log, records as text,
 * and saying how a log ends or why it can't be read.
 *
 * Threads: the main thread. */
#ifndef CLI_WAL_H
#define CLI_WAL_H

#include <stdbool.h>

#include <jansson.h>

#include "cli/args.h"
#include "history/item_names.h"
#include "history/log.h"
#include "history/position.h"
#include "history/rebuild.h"
#include "wal/record.h"

#define DATA_DEFAULT "./holdfast-data"

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

/* ---- wal.c ---- */

/* history_log_find(). ARGS_GO_ON, or the exit code, after printing the reason. json: there too. */
int wal_find(struct history_log *log, const char *data, const char *archive, bool json);

/* What --from and --to give; NULL: the log's beginning, its end. ARGS_GO_ON, or the exit code when
 * one can't be read or they are the wrong way round; the reason has been printed. */
int parse_range(const struct command_spec *spec, const char *from, const char *to,
                struct history_range *range);

/* Prints to stderr why the log can't be read, and with `json` an object to stdout. EXIT_NO. */
int wal_failed(enum hf_status status, bool json, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same when checking a log failed. EXIT_NO. */
int wal_check_failed(const struct history_log *log, enum hf_status status, bool json);

/* Finds the log in an engine's data directory, runs `work` with the directory locked against
 * engines, and closes the log. Returns what work returns, or EXIT_NO after printing the reason.
 * Work sets *changed once it changes the directory: else no trace of the lock is left there. */
int wal_log_locked(struct history_log *log, const char *data, bool json,
                   int (*work)(bool *changed));

/* item_names_learn(); out of memory ends the process. */
void wal_learn_item(struct item_names *names, const struct item_def *def);

/* rebuild_run(), with its progress and the checkpoints that it passed over shown on stderr.
 * ARGS_GO_ON: end it with rebuild_end(); else the exit code, after printing the reason. */
int wal_rebuild(struct rebuild *rebuild, struct storage *storage, struct rebuild_options wanted,
                bool json);

/* Shows progress; context: struct progress. */
void wal_progress(void *context, const char *what, uint64_t done, uint64_t total);

/* Says that a checkpoint was passed over; context: struct progress. */
void wal_passed_over(void *context, const char *why);

/* Say on stderr how a log ends. folder: of the log. */
void wal_say_damage(const char *folder, const struct wal_end *end);
void wal_say_torn(const char *folder, const struct wal_end *end);

/* ---- wal_print.c ---- */

/* One line: LSN, time, type, and what it holds. */
void print_event(const struct item_names *names, const struct event *event, uint64_t wall_ms);

#endif
