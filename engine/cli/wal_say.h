/* wal_say.h - what the words below `holdfast wal` say alike: why a log can't be read, how it ends,
 * and how far reading it has come.
 *
 * Threads: the main thread. */
#ifndef CLI_WAL_SAY_H
#define CLI_WAL_SAY_H

#include <stdbool.h>

#include "cli/print.h"
#include "history/log.h"

/* Prints to stderr why the log can't be read, and with `json` an object to stdout. EXIT_NO. */
int wal_failed(enum hf_status status, bool json, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same when checking a log failed. EXIT_NO. */
int wal_check_failed(const struct history_log *log, enum hf_status status, bool json);

/* Shows progress; context: struct progress. */
void wal_progress(void *context, const char *what, uint64_t done, uint64_t total);

/* Says on stderr that a checkpoint was passed over; context: struct progress. */
void wal_passed_over(void *context, const char *why);

/* Say on stderr how a log ends. folder: of the log. */
void wal_say_damage(const char *folder, const struct wal_end *end);
void wal_say_torn(const char *folder, const struct wal_end *end);

#endif
