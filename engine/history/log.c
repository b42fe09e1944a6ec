/* log.c - opens the log of an engine's data directory for reading.
 *
 * Threads: one at a time. */
#include "history/log.h"
#include "checkpoint/info.h"
#include "io/storage_open.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"

__attribute__((format(printf, 3, 4))) static enum hf_status
refuse(struct history_log *log, enum hf_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(log->message, sizeof log->message, format, args);
    va_end(args);
    return status;
}

/* Opens the log's folder alone. */
static enum hf_status find_folder(struct history_log *log, const char *data)
{
    struct stat about;
    int used = snprintf(log->folder, sizeof log->folder, "%s/wal", data);
    if (used < 0 || (size_t)used >= sizeof log->folder) {
        return refuse(log, HF_INVALID, "%.64s...: the name is too long", data);
    }
    if (stat(log->folder, &about) != 0) {
        return refuse(log, HF_NOT_FOUND,
                      "%s: there is no log: %s; --data names the engine's directory", log->folder,
                      strerror(errno));
    }
    if (!S_ISDIR(about.st_mode)) {
        return refuse(log, HF_NOT_FOUND, "%s: not a directory", log->folder);
    }
    enum hf_status status = storage_open(&log->storage, log->folder, STORAGE_SYNC, true);
    if (status != HF_OK) {
        return refuse(log, status, "%s: the log can't be opened: %s", log->folder,
                      storage_reason(status));
    }
    return HF_OK;
}

enum hf_status history_log_find(struct history_log *log, const char *data, const char *archive)
{
    *log = (struct history_log){0};
    enum hf_status status = find_folder(log, data);
    CHECK((status == HF_OK) == (log->storage != NULL));
    if (status != HF_OK || !archive) {
        return status;
    }
    status = overlay_add(&log->storage, archive);
    CHECK((status == HF_OK) == (log->storage != NULL));
    if (status == HF_OK) {
        return HF_OK;
    }
    return refuse(log, status, "%s: the archive can't be opened: %s", archive,
                  status == HF_NOT_FOUND ? "there is no such directory" : storage_reason(status));
}

enum hf_status history_log_choose(struct history_log *log, uint64_t lsn_max)
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
    CHECK(log->checkpoint.number == 0 || log->checkpoint.start.lsn <= lsn_max);
    return status;
}

enum hf_status history_log_read(struct history_log *log, bool after_checkpoint)
{
    CHECK(log->storage != NULL);
    wal_reader_close(log->reader);
    log->reader = NULL;
    const struct wal_start *start =
        after_checkpoint && log->checkpoint.number != 0 ? &log->checkpoint.start : NULL;
    enum hf_status status = wal_first_segment(log->storage, &log->first);
    if (status == HF_OK && start) {
        log->first = start->segment;
    }
    if (status == HF_OK) {
        status = wal_reader_open_at(&log->reader, log->storage, start, 0);
    }
    return status;
}

void history_log_close(struct history_log *log)
{
    wal_reader_close(log->reader);
    if (log->storage) {
        storage_destroy(log->storage);
    }
    log->reader = NULL;
    log->storage = NULL;
}

bool history_log_recycled(const struct history_log *log, uint64_t segment)
{
    uint64_t first;
    uint64_t was_there = segment ? segment : log->first;
    return wal_first_segment(log->storage, &first) == HF_OK && first > was_there && was_there != 0;
}
