/* wal.c - `holdfast wal`: finds the word below it; and what those words share.
 *
 * Threads: the main thread. */
#include "cli/wal.h"

#include <stdarg.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/subcommand.h"
#include "cli/values.h"
#include "io/storage_directory.h"

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
    char text[HISTORY_MESSAGE_BYTES];
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

int wal_find(struct history_log *log, const char *data, const char *archive, bool json)
{
    enum hf_status status = history_log_find(log, data, archive);
    return status == HF_OK ? ARGS_GO_ON : wal_failed(status, json, "%s", log->message);
}

int parse_range(const struct command_spec *spec, const char *from, const char *to,
                struct history_range *range)
{
    char reason[REASON_BYTES];
    *range = HISTORY_RANGE_ALL;
    if (from && !parse_position(from, &range->from, reason)) {
        return args_wrong(spec, "option --from: '%s' %s", from, reason);
    }
    if (to && !parse_position(to, &range->to, reason)) {
        return args_wrong(spec, "option --to: '%s' %s", to, reason);
    }
    if (range_is_backwards(range)) {
        return args_wrong(spec, "--from %s is behind --to %s", from, to);
    }
    return ARGS_GO_ON;
}

int wal_check_failed(const struct history_log *log, enum hf_status status, bool json)
{
    return wal_failed(status, json, "%s: checking failed: %s", log->folder,
                      status == HF_BUSY
                          ? "the engine gives the log's segments back faster than they are read"
                          : storage_reason(status));
}

int wal_log_locked(struct history_log *log, const char *data, bool json, int (*work)(bool *changed))
{
    int code = wal_find(log, data, NULL, json);
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
    history_log_close(log);
    return code;
}

void wal_learn_item(struct item_names *names, const struct item_def *def)
{
    if (item_names_learn(names, def) != HF_OK) {
        must_have(NULL);
    }
}

void wal_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
    progress_show(context, what, done, total);
}

void wal_passed_over(void *context, const char *why)
{
    progress_end(context);
    fprintf(stderr, "A checkpoint was passed over: %s\n", why);
}

int wal_rebuild(struct rebuild *rebuild, struct storage *storage, struct rebuild_options wanted,
                bool json)
{
    struct progress progress;
    wanted.report = (struct rebuild_report){&progress, wal_passed_over, wal_progress};
    progress_start(&progress);
    enum hf_status status = rebuild_run(rebuild, storage, &wanted);
    progress_end(&progress);
    return status == HF_OK ? ARGS_GO_ON : wal_failed(status, json, "%s", rebuild->message);
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
