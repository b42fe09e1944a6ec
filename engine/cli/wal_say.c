/* wal_say.c - what the words below `holdfast wal` say alike.
 *
 * Threads: the main thread. */
#include "cli/wal_say.h"

#include <stdarg.h>
#include <stdio.h>

#include "cli/commands.h"

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

int wal_check_failed(const struct history_log *log, enum hf_status status, bool json)
{
    return wal_failed(status, json, "%s: checking failed: %s", log->folder,
                      status == HF_BUSY
                          ? "the engine recycles the log's segments faster than they can be read"
                          : storage_reason(status));
}

void wal_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
    progress_show(context, what, done, total);
}

void wal_passed_over(void *context, const char *why)
{
    progress_end(context);
    fprintf(stderr,
            "This checkpoint can't be used: %s\nAnother one, or the log's beginning, is tried.\n",
            why);
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
                "\n%llu block%s from block %llu on %s lost. Block %llu after the damage is whole:\n"
                "so the lost ones were durable, and their changes may have been acknowledged.\n",
                (unsigned long long)lost, lost == 1 ? "" : "s", (unsigned long long)end->next_index,
                lost == 1 ? "is" : "are", (unsigned long long)end->valid_after_index);
    } else if (end->valid_after_index != 0) {
        fprintf(stderr, " Block %llu comes after the damage, but does not continue this log.\n",
                (unsigned long long)end->valid_after_index);
    } else {
        fputc('\n', stderr);
    }
}

void wal_say_torn(const char *folder, const struct wal_end *end)
{
    fprintf(stderr,
            "Torn tail: %s/%s, offset %llu: %s.\n"
            "Nothing is lost: these %llu bytes were never acknowledged; the engine's next start "
            "removes\n"
            "them. Beside a running engine they may be a block that is being written now.\n",
            folder, end->file, (unsigned long long)end->file_offset, end->reason,
            (unsigned long long)end->torn_bytes);
}
