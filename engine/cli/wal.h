/* wal.h - what the words below `holdfast wal` share: opening a log for reading, walking the records
 * of a block, and saying how a log ends.
 *
 * Threads: the main thread. Nothing is written; the engine of that log may be running. */
#ifndef CLI_WAL_H
#define CLI_WAL_H

#include <stdbool.h>

#include "cli/args.h"
#include "io/storage.h"
#include "wal/reader.h"
#include "wal/record.h"

#define DATA_DEFAULT "./holdfast-data"

#define FOLDER_BYTES 1100u

struct wal_log {
    char folder[FOLDER_BYTES]; /* the log's files are in: DATA/wal */
    struct storage *storage;
    struct wal_reader *reader;
};

/* Opens the log of an engine's data directory. ARGS_GO_ON, or the exit code; what was wrong has
 * been said. json: there too. */
int wal_log_open(struct wal_log *log, const char *data, bool json);
void wal_log_close(struct wal_log *log);

/* A walk over the records of a DATA block. Start from {.block = block}. */
struct wal_records {
    const struct wal_block *block;
    uint32_t offset; /* in the payload: where the next record begins */
    uint32_t count;  /* read so far */
    struct record_scratch scratch;
};

/* The next record: true, with event->lsn set. False at the block's end, with *reason NULL; or
 * where the payload, though its checksum fits, can't be read, with *reason. */
bool wal_records_next(struct wal_records *records, struct event *event, const char **reason);

/* Says on stderr why the log can't be read, and with `json` as an object on stdout. EXIT_NO. */
int wal_failed(enum hf_status status, bool json, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Say on stderr how a log ends. folder: of the log. */
void wal_say_damage(const char *folder, const struct wal_end *end);
void wal_say_torn(const char *folder, const struct wal_end *end);

#endif
