/* wal_verify.c - `holdfast wal verify`: checks every byte of a log.
 *
 * The reader checks each block's checksums and its place in the chain; here each record is decoded
 * on top, and what a healthy log and a damaged one hold is told. The state that the records lead to
 * is not built, so DIGEST blocks are counted, not compared: the engine does that at its start.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal.h"

static const char *data = DATA_DEFAULT;
static bool json;
static struct wal_log opened;

static const struct option_spec options[] = {
    {"data", OPTION_TEXT, &data, NULL, "DIR", "the engine's directory (default: " DATA_DEFAULT ")"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON"},
};

static const struct command_spec spec = {
    .name = "wal verify",
    .arguments = "",
    .help = "Checks every byte of a log: checksums, the chain of blocks, and every record. Reads\n"
            "only; may run beside the log's engine. A torn tail is no damage: it was never\n"
            "acknowledged. Exit 1: the log is damaged.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

struct findings {
    uint64_t segments;
    uint64_t blocks;
    uint64_t records;
    uint64_t digests;
    uint64_t payload_bytes;
    char segment[STORAGE_NAME_BYTES_MAX]; /* the file that the last block is in */
    /* A block whose checksums fit, but whose records can't be read. */
    bool unreadable;
    char file[STORAGE_NAME_BYTES_MAX];
    uint64_t file_offset;
    uint64_t lsn;
    char reason[160];
};

static void check_block(const struct wal_block *block, struct findings *findings)
{
    if (strcmp(findings->segment, block->file) != 0) {
        snprintf(findings->segment, sizeof findings->segment, "%s", block->file);
        findings->segments++;
    }
    findings->blocks++;
    findings->payload_bytes += block->header.payload_bytes;
    findings->digests += block->header.type == BLOCK_DIGEST;
    if (block->header.type != BLOCK_DATA) {
        return;
    }
    struct wal_records records = {.block = block};
    struct event event;
    const char *reason;
    while (wal_records_next(&records, &event, &reason)) {
        findings->records++;
    }
    if (reason && !findings->unreadable) {
        findings->unreadable = true;
        memcpy(findings->file, block->file, sizeof findings->file);
        findings->file_offset = block->file_offset + BLOCK_HEADER_BYTES + records.offset;
        findings->lsn = block->header.first_lsn + records.offset;
        snprintf(findings->reason, sizeof findings->reason, "%s", reason);
    }
}

/* Reads to the log's end. OK or IO_ERROR. */
static enum hf_status check_all(struct wal_reader *reader, struct findings *findings)
{
    struct progress progress;
    struct wal_block block;
    enum hf_status status;
    progress_start(&progress);
    while ((status = wal_reader_next(reader, &block)) == HF_OK) {
        uint64_t done;
        uint64_t total;
        check_block(&block, findings);
        wal_reader_progress(reader, &done, &total);
        progress_show(&progress, "checking", done, total);
    }
    progress_end(&progress);
    return status == HF_NOT_FOUND ? HF_OK : status;
}

static const char *condition_of(const struct wal_end *end, const struct findings *findings)
{
    return end->damaged || findings->unreadable ? "damaged"
           : end->torn                          ? "torn tail"
           : end->empty                         ? "empty"
                                                : "whole";
}

static void print_findings(const struct wal_end *end, const struct findings *findings)
{
    char cluster[ID_TEXT_BYTES];
    char when[TIME_TEXT_BYTES];
    id_to_text(end->cluster, cluster);
    time_text(end->wall_ms, when);
    printf("log        %s\n", opened.folder);
    printf("condition  %s\n", condition_of(end, findings));
    if (end->empty) {
        return;
    }
    printf("cluster    %s\n", cluster);
    printf("segments   %" PRIu64 "\n", findings->segments);
    printf("blocks     %" PRIu64 "\n", findings->blocks);
    printf("records    %" PRIu64 "\n", findings->records);
    printf("digests    %" PRIu64 "\n", findings->digests);
    printf("LSN        %" PRIu64 "\n", end->lsn);
    printf("term       %" PRIu64 "\n", end->term);
    printf("last       %s\n", findings->blocks ? when : "-");
}

static void print_findings_json(const struct wal_end *end, const struct findings *findings)
{
    char cluster[ID_TEXT_BYTES];
    id_to_text(end->cluster, cluster);
    json_t *object = json_pack(
        "{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "log",
        json_text(opened.folder, strlen(opened.folder)), "condition", condition_of(end, findings),
        "cluster", cluster, "segments", (json_int_t)findings->segments, "blocks",
        (json_int_t)findings->blocks, "records", (json_int_t)findings->records, "digests",
        (json_int_t)findings->digests, "lsn", (json_int_t)end->lsn, "term", (json_int_t)end->term,
        "last_ms", (json_int_t)end->wall_ms, "torn_bytes",
        (json_int_t)(end->torn ? end->torn_bytes : 0));
    if (findings->unreadable) {
        json_object_update_new(object,
                               json_pack("{s:s, s:I, s:o}", "file", findings->file, "offset",
                                         (json_int_t)findings->file_offset, "reason",
                                         json_text(findings->reason, strlen(findings->reason))));
    } else if (end->damaged || end->torn) {
        json_object_update_new(object,
                               json_pack("{s:s, s:I, s:o, s:I}", "file", end->file, "offset",
                                         (json_int_t)end->file_offset, "reason",
                                         json_text(end->reason, strlen(end->reason)),
                                         "valid_after_index", (json_int_t)end->valid_after_index));
    }
    if (findings->unreadable || end->damaged) {
        char text[512];
        snprintf(text, sizeof text, "%s, offset %" PRIu64 ": %s",
                 findings->unreadable ? findings->file : end->file,
                 findings->unreadable ? findings->file_offset : end->file_offset,
                 findings->unreadable ? findings->reason : end->reason);
        json_object_update_new(object, error_object(HF_DAMAGED, text));
    }
    print_json(object);
}

static int report(const struct wal_end *end, const struct findings *findings)
{
    json ? print_findings_json(end, findings) : print_findings(end, findings);
    fflush(stdout);
    if (findings->unreadable) {
        fprintf(stderr,
                "DAMAGED: %s/%s, offset %" PRIu64 ": record at LSN %" PRIu64 ": %s.\n"
                "The block's checksum fits: it was written like this, by another version or with a "
                "fault.\n",
                opened.folder, findings->file, findings->file_offset, findings->lsn,
                findings->reason);
    }
    if (end->damaged) {
        wal_say_damage(opened.folder, end);
    } else if (end->torn) {
        wal_say_torn(opened.folder, end);
    }
    return end->damaged || findings->unreadable ? EXIT_NO : EXIT_DONE;
}

int wal_verify(int argc, char **argv)
{
    struct args args;
    struct findings findings = {0};
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = wal_log_open(&opened, data, json);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    enum hf_status status = check_all(opened.reader, &findings);
    if (status == HF_OK) {
        struct wal_end end;
        wal_reader_end(opened.reader, &end);
        code = report(&end, &findings);
    } else {
        code = wal_failed(status, json, "%s: reading failed behind block %" PRIu64 " (%s): %s",
                          opened.folder, findings.blocks, findings.segment, hf_status_text(status));
    }
    wal_log_close(&opened);
    return code;
}
