/* wal_open.c - how the words below `holdfast wal` find a log.
 *
 * Threads: the main thread. */
#include "cli/wal_open.h"

#include "cli/commands.h"
#include "cli/wal_say.h"
#include "io/storage_directory.h"

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
        return args_wrong(spec, "--from %s is after --to %s", from, to);
    }
    return ARGS_GO_ON;
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
                          status == HF_LOCKED ? "an engine runs on this directory: stop it first"
                                              : storage_reason(status));
    }
    history_log_close(log);
    return code;
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
