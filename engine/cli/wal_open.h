/* wal_open.h - how the words below `holdfast wal` find a log: their options, the log's folder with
 * its archive, the lock against engines, and rebuilding a moment.
 *
 * Threads: the main thread. */
#ifndef CLI_WAL_OPEN_H
#define CLI_WAL_OPEN_H

#include <stdbool.h>

#include "cli/args.h"
#include "history/log.h"
#include "history/position.h"
#include "history/rebuild.h"

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

/* history_log_find(). ARGS_GO_ON, or the exit code, after printing the reason. json: there too. */
int wal_find(struct history_log *log, const char *data, const char *archive, bool json);

/* What --from and --to give; NULL: the log's beginning, its end. ARGS_GO_ON, or the exit code when
 * one can't be read or they are the wrong way round; the reason has been printed. */
int parse_range(const struct command_spec *spec, const char *from, const char *to,
                struct history_range *range);

/* Finds the log in an engine's data directory, runs `work` with the directory locked against
 * engines, and closes the log. Returns what work returns, or EXIT_NO after printing the reason.
 * Work sets *changed once it changes the directory: else no trace of the lock is left there. */
int wal_log_locked(struct history_log *log, const char *data, bool json,
                   int (*work)(bool *changed));

/* rebuild_run(), with its progress and the checkpoints that it passed over shown on stderr.
 * ARGS_GO_ON: end it with rebuild_end(); else the exit code, after printing the reason. */
int wal_rebuild(struct rebuild *rebuild, struct storage *storage, struct rebuild_options wanted,
                bool json);

#endif
