/* wal_tail.c - `holdfast wal tail`: the log's records from an LSN on, as they become durable.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/wal_open.h"
#include "cli/wal_print.h"
#include "cli/wal_say.h"
#include "feed/changes.h"
#include "feed/event_json.h"

#define POLL_NS 10000000L /* twice a NOOP's 5 ms: a record appears some 15 ms after its answer */

static const char *data = DATA_DEFAULT;
static const char *archive;
static uint64_t from_lsn;
static bool from_given;
static uint64_t limit = UINT64_MAX;
static bool follow_on;
static bool json;

static const struct option_spec options[] = {
    WAL_DATA_OPTION(data),
    WAL_ARCHIVE_OPTION(archive),
    {"from", OPTION_UNSIGNED, &from_lsn, &from_given, "LSN",
     "records after this LSN (default: all of the log)"},
    {"follow", OPTION_FLAG, &follow_on, NULL, NULL, "wait for more, until interrupted"},
    {"limit", OPTION_UNSIGNED, &limit, NULL, "N", "at most N records (default: all)"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON, one object a line"},
};

static const struct command_spec spec = {
    .name = "wal tail",
    .arguments = "",
    .help =
        "Prints a log's records in the order of their LSNs, once they are durable. May run beside\n"
        "the log's engine, and across its stops and starts. To continue after an interruption "
        "give\n"
        "the LSN of the last record that was dealt with: no record is left out. Records are "
        "printed\n"
        "as by `wal dump`. Exit 1: the engine has recycled the part of the log that was asked "
        "for,\n"
        "which may be in the archive; or, without --follow, the LSN is after the log's end.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
}

/* Opens the stream, waiting for the log's first block if need be. */
static enum hf_status open_stream(struct changes *changes, struct storage *storage)
{
    for (;;) {
        uint64_t lsn = from_lsn < CHANGES_NEWEST ? from_lsn : CHANGES_NEWEST - 1;
        enum hf_status status = changes_open(changes, storage, from_given ? lsn : CHANGES_OLDEST);
        if (status != HF_NOT_FOUND || !follow_on) {
            return status;
        }
        wait_a_little();
    }
}

/* Prints what there is. OK: all there is, or the limit; else as changes_next. */
static enum hf_status print_changes(struct changes *changes, uint64_t *printed)
{
    enum hf_status status = HF_OK;
    struct event event;
    uint64_t wall_ms;
    while (*printed < limit && !ferror(stdout) &&
           (status = changes_next(changes, &event, &wall_ms)) == HF_OK) {
        if (json) {
            print_json_line(event_object(&changes->names, &event, wall_ms));
        } else {
            print_event(&changes->names, &event, wall_ms);
        }
        ++*printed;
    }
    fflush(stdout);
    return status == HF_NOT_FOUND ? HF_OK : status;
}

static int stream_failed(const struct changes *changes, enum hf_status status)
{
    if (status == HF_EXPIRED) {
        return wal_failed(status, json,
                          "LSN %" PRIu64 ": the engine has recycled that part of the log; what "
                          "is left begins at LSN %" PRIu64 "%s",
                          changes->lsn, changes->oldest_lsn,
                          archive ? "" : "; --archive prints it if it was archived");
    }
    return wal_failed(status, json, "after LSN %" PRIu64 ": %s", changes->lsn,
                      status == HF_NOT_FOUND ? "there is no log"
                      : changes->reason      ? changes->reason
                                             : storage_reason(status));
}

static int tail(struct storage *storage)
{
    static struct changes changes;
    char text[CHANGES_TEXT_BYTES];
    uint64_t printed = 0;
    enum hf_status status = open_stream(&changes, storage);
    if (status != HF_OK) {
        return stream_failed(&changes, status);
    }
    while ((status = print_changes(&changes, &printed)) == HF_OK && follow_on && printed < limit &&
           !ferror(stdout)) {
        wait_a_little();
    }
    int code = status == HF_OK ? EXIT_DONE : stream_failed(&changes, status);
    if (code == EXIT_DONE && from_given && !follow_on && printed == 0 && limit > 0 &&
        changes_end_before(&changes, from_lsn, text)) {
        code = wal_failed(HF_INVALID, json, "%s", text);
    }
    changes_close(&changes);
    return code;
}

int cmd_wal_tail(int argc, char **argv)
{
    struct args args;
    struct history_log log;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = wal_find(&log, data, archive, json);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = tail(log.storage);
    history_log_close(&log);
    return code;
}
