/* wal.c - `holdfast wal`: finds the word below it; and what those words share.
 *
 * Threads: the main thread. */
#include "cli/wal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/print.h"

static const struct subcommand commands[] = {
    {"verify", wal_verify, "check every byte of a log"},
    {"dump", wal_dump, "print a log's records"},
};

int command_wal(int argc, char **argv)
{
    return run_subcommand("wal", "Checks and prints a write-ahead log, also beside its engine.",
                          commands, sizeof commands / sizeof *commands, argc, argv);
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

int wal_log_open(struct wal_log *log, const char *data, bool json)
{
    struct stat about;
    *log = (struct wal_log){0};
    int used = snprintf(log->folder, sizeof log->folder, "%s/wal", data);
    if (used < 0 || (size_t)used >= sizeof log->folder) {
        return wal_failed(HF_INVALID, json, "%.64s...: the name is too long", data);
    }
    if (stat(log->folder, &about) != 0) {
        return wal_failed(HF_NOT_FOUND, json, "%s: there is no log: %s", log->folder,
                          strerror(errno));
    }
    if (!S_ISDIR(about.st_mode)) {
        return wal_failed(HF_NOT_FOUND, json, "%s: not a directory", log->folder);
    }
    enum hf_status status = storage_open(&log->storage, log->folder, STORAGE_SYNC, true);
    if (status == HF_OK) {
        status = wal_reader_open(&log->reader, log->storage);
    }
    if (status != HF_OK) {
        wal_log_close(log);
        return wal_failed(status, json, "%s: the log can't be opened: %s", log->folder,
                          hf_status_text(status));
    }
    return ARGS_GO_ON;
}

void wal_log_close(struct wal_log *log)
{
    if (log->reader) {
        wal_reader_close(log->reader);
    }
    if (log->storage) {
        storage_destroy(log->storage);
    }
    log->reader = NULL;
    log->storage = NULL;
}

bool wal_records_next(struct wal_records *records, struct event *event, const char **reason)
{
    const struct block_header *header = &records->block->header;
    *reason = NULL;
    if (records->offset == header->payload_bytes) {
        if (records->count != header->record_count) {
            *reason = "the block's header counts other records than there are";
        }
        return false;
    }
    size_t used;
    enum hf_status status = record_decode(records->block->payload + records->offset,
                                          header->payload_bytes - records->offset, event,
                                          &records->scratch, &used, reason);
    if (status != HF_OK) {
        *reason = *reason ? *reason : "not a record";
        return false;
    }
    records->offset += (uint32_t)used;
    records->count++;
    event->lsn = header->first_lsn + records->offset;
    return true;
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
