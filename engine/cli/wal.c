/* wal.c - `holdfast wal`: finds the word below it; and what those words share.
 *
 * Threads: the main thread. */
#include "cli/wal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/subcommand.h"

static const struct subcommand commands[] = {
    {"verify", cmd_wal_verify, "check every byte of a log"},
    {"dump", cmd_wal_dump, "print a log's records"},
    {"stats", cmd_wal_stats, "count what a log holds, by SKU, time and type"},
    {"checkpoint", cmd_wal_checkpoint, "make a checkpoint while no engine runs"},
    {"repair", cmd_wal_repair, "make a damaged log whole again"},
    {"replay", cmd_wal_replay, "rebuild the state as of any moment; build a data directory of it"},
    {"why", cmd_wal_why, "tell how an item's stock came to be what it is"},
    {"tail", cmd_wal_tail, "follow a log's records as they become durable"},
};

static const struct subcommand_group group = {
    .name = "holdfast wal",
    .summary = "Looks at a write-ahead log, also beside its engine; repairs it without.",
    .subcommands = commands,
    .count = sizeof commands / sizeof *commands,
};

int cmd_wal(int argc, char **argv)
{
    return run_subcommand(&group, argc, argv);
}

int wal_failed(enum hf_status status, bool json, const char *format, ...)
{
    char text[FOLDER_BYTES + 512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_safe(stderr, text);
    fputc('\n', stderr);
    if (json) {
        print_json_line(error_object(status, text));
    }
    return EXIT_NO;
}

int wal_log_find(struct wal_log *log, const char *data, bool json)
{
    struct stat about;
    *log = (struct wal_log){0};
    int used = snprintf(log->folder, sizeof log->folder, "%s/wal", data);
    if (used < 0 || (size_t)used >= sizeof log->folder) {
        return wal_failed(HF_INVALID, json, "%.64s...: the name is too long", data);
    }
    if (stat(log->folder, &about) != 0) {
        return wal_failed(HF_NOT_FOUND, json,
                          "%s: there is no log: %s; --data names the engine's directory",
                          log->folder, strerror(errno));
    }
    if (!S_ISDIR(about.st_mode)) {
        return wal_failed(HF_NOT_FOUND, json, "%s: not a directory", log->folder);
    }
    enum hf_status status = storage_open(&log->storage, log->folder, STORAGE_SYNC, true);
    if (status != HF_OK) {
        return wal_failed(status, json, "%s: the log can't be opened: %s", log->folder,
                          storage_reason(status));
    }
    return ARGS_GO_ON;
}

enum hf_status wal_log_choose(struct wal_log *log, uint64_t lsn_max)
{
    uint64_t *numbers;
    size_t count;
    log->checkpoint = (struct checkpoint_info){0};
    enum hf_status status = checkpoint_list(log->storage, &numbers, &count);
    while (status == HF_OK && count > 0 && log->checkpoint.number == 0) {
        struct checkpoint_info info;
        enum hf_status read = checkpoint_read_info(log->storage, numbers[--count], &info);
        if (read == HF_OK && info.start.lsn <= lsn_max) {
            log->checkpoint = info;
        } else if (read != HF_OK && !checkpoint_is_lost(read) && read != HF_NOT_FOUND) {
            status = read;
        }
    }
    free(numbers);
    return status;
}

enum hf_status wal_log_read(struct wal_log *log, bool behind)
{
    wal_reader_close(log->reader);
    log->reader = NULL;
    const struct wal_start *start =
        behind && log->checkpoint.number != 0 ? &log->checkpoint.start : NULL;
    enum hf_status status = wal_first_segment(log->storage, &log->first);
    if (status == HF_OK && start) {
        log->first = start->segment;
    }
    if (status == HF_OK) {
        status = wal_reader_open_at(&log->reader, log->storage, start, 0);
    }
    return status;
}

void wal_log_close(struct wal_log *log)
{
    wal_reader_close(log->reader);
    if (log->storage) {
        storage_destroy(log->storage);
    }
    log->reader = NULL;
    log->storage = NULL;
}

bool wal_log_recycled(const struct wal_log *log, uint64_t segment)
{
    uint64_t first;
    uint64_t stood = segment ? segment : log->first;
    return wal_first_segment(log->storage, &first) == HF_OK && first > stood && stood != 0;
}

int wal_check_failed(const struct wal_log *log, enum hf_status status, bool json)
{
    return wal_failed(status, json, "%s: checking failed: %s", log->folder,
                      status == HF_BUSY
                          ? "the engine gives the log's segments back faster than they are read"
                          : storage_reason(status));
}

int wal_log_locked(struct wal_log *log, const char *data, bool json, int (*work)(bool *changed))
{
    int code = wal_log_find(log, data, json);
    if (code != ARGS_GO_ON) {
        return code;
    }
    int lock;
    struct timespec modified;
    bool lock_made = storage_lock_missing(data, &modified);
    enum hf_status status = storage_lock(data, &lock);
    if (status == HF_OK) {
        bool changed = false;
        code = work(&changed);
        if (lock_made && !changed) {
            storage_unlock_unused(data, lock, modified);
        } else {
            storage_unlock(lock);
        }
    } else {
        code = wal_failed(status, json, "%s: %s", data,
                          status == HF_LOCKED ? "an engine runs on it: stop it first"
                                              : storage_reason(status));
    }
    wal_log_close(log);
    return code;
}

void wal_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
    progress_show(context, what, done, total);
}

void wal_say_damage(const char *folder, const struct wal_end *end)
{
    fprintf(stderr,
            "DAMAGED: %s/%s, offset %llu: %s\n"
            "The log is whole up to LSN %llu (block %llu).",
            folder, end->file, (unsigned long long)end->file_offset, end->reason,
            (unsigned long long)end->lsn, (unsigned long long)(end->next_index - 1));
    uint64_t lost = end->valid_after_index - end->next_index;
    if (end->valid_after_index > end->next_index) {
        fprintf(stderr,
                "\n%llu block%s from %llu on %s lost: block %llu behind is whole, so what\n"
                "was lost was durable and may have been acknowledged.\n",
                (unsigned long long)lost, lost == 1 ? "" : "s", (unsigned long long)end->next_index,
                lost == 1 ? "is" : "are", (unsigned long long)end->valid_after_index);
    } else if (end->valid_after_index != 0) {
        fprintf(stderr, " Block %llu follows, but does not fit to it.\n",
                (unsigned long long)end->valid_after_index);
    } else {
        fputc('\n', stderr);
    }
}

void wal_say_torn(const char *folder, const struct wal_end *end)
{
    fprintf(stderr,
            "Torn tail: %s/%s, offset %llu: %s.\n"
            "These %llu bytes were never acknowledged and are cut off at the engine's next start.\n"
            "Beside a running engine they may be a block that is being written now.\n",
            folder, end->file, (unsigned long long)end->file_offset, end->reason,
            (unsigned long long)end->torn_bytes);
}
