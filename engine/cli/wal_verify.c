/* wal_verify.c - `holdfast wal verify`: checks every byte of a log and of its checkpoints.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "checkpoint/info.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal_open.h"
#include "cli/wal_say.h"
#include "history/check.h"
#include "io/identity.h"
#include "io/storage.h"
#include "io/storage_directory.h"

/* The state is built unasked up to here: some seconds, and no more memory than a machine that runs
 * an engine can spare. */
#define STATE_UNASKED_BYTES GIB(1)

static const char *data = DATA_DEFAULT;
static const char *archive;
static bool json;
static bool state_wanted;
static bool state_unwanted;
static struct history_log opened;
static bool lock_unfit;    /* DATA/LOCK is no file that can be locked: no engine starts */
static bool being_written; /* the tail looks torn, but an engine is at work on it */

static const struct option_spec options[] = {
    WAL_DATA_OPTION(data),
    WAL_ARCHIVE_OPTION(archive),
    {"state", OPTION_FLAG, &state_wanted, NULL, NULL, "build the state, whatever memory it takes"},
    {"no-state", OPTION_FLAG, &state_unwanted, NULL, NULL, "do not build the state"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON"},
};

static const struct command_spec spec = {
    .name = "wal verify",
    .arguments = "",
    .help =
        "Checks every byte of a log and its checkpoints: checksums, the chain of blocks, every\n"
        "record, and that the log continues where the newest checkpoint ends. Builds the state\n"
        "that they lead to, and compares it with the DIGEST blocks that the engine wrote and with\n"
        "the checkpoints; by default only where that takes less than 1 GiB of memory. Reads only;\n"
        "may run beside the log's engine. A torn tail is no damage: it was never acknowledged.\n"
        "While an engine runs, it is reported as being written.\n"
        "Exit 1: something is damaged.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

static const char *condition_of(const struct history_findings *findings)
{
    return !history_findings_whole(findings) ? "damaged"
           : findings->end.torn              ? being_written ? "being written" : "torn tail"
           : findings->end.empty             ? "empty"
                                             : "whole";
}

static const char *checkpoint_condition_text(enum checkpoint_condition condition)
{
    switch (condition) {
    case CHECKPOINT_WHOLE:
        return "whole";
    case CHECKPOINT_DAMAGED:
        return "damaged";
    case CHECKPOINT_APART:
        return "of another log";
    case CHECKPOINT_OUTDATED:
        break;
    }
    return "outdated";
}

/* What an engine's start would do. */
static void start_text(const struct history_findings *findings, char text[64])
{
    if (lock_unfit) {
        snprintf(text, 64, "refused: LOCK is not a regular file");
    } else if (!history_findings_starts(findings)) {
        snprintf(text, 64, "refused");
    } else if (findings->base) {
        snprintf(text, 64, "from checkpoint %" PRIu64, findings->base);
    } else {
        snprintf(text, 64, findings->end.empty ? "with a new log" : "from the log's beginning");
    }
}

/* ---- Text ---- */

static void print_checkpoint(const struct checkpoint_finding *finding)
{
    const struct checkpoint_info *info = &finding->info;
    printf("checkpoint %" PRIu64 ": %s", finding->number,
           checkpoint_condition_text(finding->condition));
    if (finding->condition != CHECKPOINT_DAMAGED) {
        printf(", LSN %" PRIu64 ", %" PRIu64 " orders (%" PRIu64 " held), %" PRIu64 " items",
               info->start.lsn, info->orders, info->orders_held, info->items);
    }
    putchar('\n');
}

static void print_findings(const struct history_findings *findings)
{
    const struct wal_end *end = &findings->end;
    char cluster[ID_TEXT_BYTES];
    char when[TIME_TEXT_BYTES];
    char start[64];
    id_to_text(end->cluster, cluster);
    time_text(end->wall_ms, when);
    printf("log        %s\n", opened.folder);
    printf("condition  %s\n", condition_of(findings));
    start_text(findings, start);
    printf("start      %s\n", start);
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        print_checkpoint(&findings->checkpoints[i]);
    }
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
    printf("last       %s\n", end->wall_ms ? when : "-");
    if (!findings->state_checked) {
        printf("state      not built\n");
    } else {
        printf("state      %s, %" PRIu64 " digests compared\n",
               findings->state.any ? "does not fit" : "fits", findings->digests_compared);
    }
}

static void say_fault(const struct history_fault *fault, const char *meaning)
{
    fprintf(stderr, "DAMAGED: %s/%s, offset %" PRIu64 ": %s (LSN %" PRIu64 ").\n%s\n",
            opened.folder, fault->file, fault->file_offset, fault->reason, fault->lsn, meaning);
}

static void say_checkpoints(const struct history_findings *findings)
{
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        const struct checkpoint_finding *finding = &findings->checkpoints[i];
        if (finding->condition != CHECKPOINT_DAMAGED && finding->condition != CHECKPOINT_APART) {
            continue;
        }
        fprintf(stderr, "DAMAGED: checkpoint %" PRIu64 ": %s\n", finding->number,
                finding->info.message);
        if (findings->base) {
            fprintf(stderr, "Nothing is lost: checkpoint %" PRIu64 " is whole.\n", findings->base);
        } else if (findings->first_segment == 1) {
            fprintf(stderr, "Nothing is lost: the log is there from its beginning.\n");
        }
    }
}

static void say_what_is_wrong(const struct history_findings *findings)
{
    say_checkpoints(findings);
    if (findings->elsewhere) {
        fprintf(stderr, "DAMAGED: %s: %s.\n", opened.folder, findings->elsewhere);
    }
    if (findings->beginning_missing) {
        fprintf(stderr,
                "DAMAGED: %s: the log begins with segment %" PRIu64
                ", and there is no whole checkpoint\nto begin with: what was before is lost.\n",
                opened.folder, findings->first_segment);
    }
    if (findings->covered.any) {
        say_fault(
            &findings->covered,
            findings->covered_gap
                ? "Nothing is lost: the checkpoint covers it. But the engine never removes "
                  "a file so that\na gap is left: it does not start until the file is back, or "
                  "the log is repaired."
                : "Nothing is lost: the checkpoint covers it. But if "
                  "that checkpoint is lost,\nolder ones can't replace it.");
    }
    if (findings->unreadable.any) {
        say_fault(&findings->unreadable,
                  "The block's checksum fits: it was written like this, by another version or by a "
                  "fault of the engine.");
    }
    if (findings->state.any && !findings->unreadable.any) {
        say_fault(&findings->state, findings->state_digest
                                        ? "The fault is somewhere before this point."
                                        : "The block's checksum fits: it was written like this.");
    }
    if (findings->end.damaged) {
        wal_say_damage(opened.folder, &findings->end);
    } else if (being_written) {
        fprintf(stderr,
                "Being written: an engine runs on this log; what comes after LSN %" PRIu64
                " was not whole yet.\n",
                findings->end.lsn);
    } else if (findings->end.torn) {
        wal_say_torn(opened.folder, &findings->end);
    }
    if (!history_findings_whole(findings)) {
        fprintf(stderr, "'holdfast wal repair' shows what can be done.\n");
    }
}

/* ---- JSON ---- */

static json_t *checkpoint_object(const struct checkpoint_finding *finding)
{
    const struct checkpoint_info *info = &finding->info;
    json_t *object = json_pack("{s:I, s:s}", "number", (json_int_t)finding->number, "condition",
                               checkpoint_condition_text(finding->condition));
    if (finding->condition == CHECKPOINT_DAMAGED || finding->condition == CHECKPOINT_APART) {
        json_object_set_new(object, "reason", json_text(info->message, strlen(info->message)));
    } else {
        json_object_update_new(
            object, json_pack("{s:I, s:I, s:I, s:I}", "lsn", (json_int_t)info->start.lsn, "orders",
                              (json_int_t)info->orders, "orders_held",
                              (json_int_t)info->orders_held, "items", (json_int_t)info->items));
    }
    return object;
}

/* The first thing that is wrong. */
static bool first_fault(const struct history_findings *findings, struct history_fault *fault)
{
    if (history_findings_fault(findings, fault)) {
        return true;
    }
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        const struct checkpoint_finding *finding = &findings->checkpoints[i];
        if (finding->condition == CHECKPOINT_DAMAGED || finding->condition == CHECKPOINT_APART) {
            checkpoint_name(fault->file, finding->number);
            memcpy(fault->reason, finding->info.message, sizeof fault->reason);
            return fault->any = true;
        }
    }
    if (findings->state.any || findings->covered.any) {
        *fault = findings->state.any ? findings->state : findings->covered;
    } else if (findings->elsewhere) {
        fault->any = true;
        snprintf(fault->reason, sizeof fault->reason, "%s", findings->elsewhere);
    } else if (findings->beginning_missing) {
        fault->any = true;
        snprintf(fault->reason, sizeof fault->reason,
                 "the log's first segments are gone, and there is no whole checkpoint");
    }
    return fault->any;
}

static void add_faults(json_t *object, const struct history_findings *findings)
{
    const struct wal_end *end = &findings->end;
    struct history_fault fault;
    if (first_fault(findings, &fault)) {
        char text[512];
        snprintf(text, sizeof text, "%s, offset %" PRIu64 ": %s", fault.file, fault.file_offset,
                 fault.reason);
        json_object_update_new(object, error_object(HF_DAMAGED, text));
        json_object_update_new(object, json_pack("{s:s, s:I, s:o}", "file", fault.file, "offset",
                                                 (json_int_t)fault.file_offset, "reason",
                                                 json_text(fault.reason, strlen(fault.reason))));
    } else if (end->torn) {
        json_object_update_new(object, json_pack("{s:s, s:I, s:o}", "file", end->file, "offset",
                                                 (json_int_t)end->file_offset, "reason",
                                                 json_text(end->reason, strlen(end->reason))));
    }
    if (end->damaged) {
        json_object_set_new(object, "valid_after_index",
                            json_integer((json_int_t)end->valid_after_index));
    }
}

static void print_findings_json(const struct history_findings *findings)
{
    const struct wal_end *end = &findings->end;
    char cluster[ID_TEXT_BYTES];
    char start[64];
    id_to_text(end->cluster, cluster);
    start_text(findings, start);
    json_t *checkpoints = json_array();
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        json_array_append_new(checkpoints, checkpoint_object(&findings->checkpoints[i]));
    }
    json_t *object = json_pack(
        "{s:o, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "log",
        json_text(opened.folder, strlen(opened.folder)), "condition", condition_of(findings),
        "start", start, "cluster", cluster, "checkpoints", checkpoints, "segments",
        (json_int_t)findings->segments, "blocks", (json_int_t)findings->blocks, "records",
        (json_int_t)findings->records, "digests", (json_int_t)findings->digests, "lsn",
        (json_int_t)end->lsn, "term", (json_int_t)end->term, "last_ms", (json_int_t)end->wall_ms,
        "torn_bytes", (json_int_t)(end->torn ? end->torn_bytes : 0), "state",
        !findings->state_checked ? "not built"
        : findings->state.any    ? "does not fit"
                                 : "fits");
    add_faults(object, findings);
    print_json(object);
}

/* ---- The command ---- */

/* What the state takes at most. */
static uint64_t state_bytes(void)
{
    struct inventory_options sizes;
    if (history_replay_sizes(opened.storage, &sizes) != HF_OK) {
        return UINT64_MAX;
    }
    return history_replay_bytes(&sizes);
}

int cmd_wal_verify(int argc, char **argv)
{
    struct args args;
    struct history_findings findings;
    struct progress progress;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON && state_wanted && state_unwanted) {
        code = args_wrong(&spec, "--state and --no-state are opposites");
    }
    if (code == ARGS_GO_ON) {
        code = wal_find(&opened, data, archive, json);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct id128 cluster;
    bool known = identity_read(data, &cluster) == HF_OK;
    const struct history_check_options wanted = {
        .storage = opened.storage,
        .cluster = known ? &cluster : NULL,
        .state = state_wanted || (!state_unwanted && state_bytes() <= STATE_UNASKED_BYTES),
        .patient = true,
        .progress = wal_progress,
        .context = &progress};
    enum hf_status status = HF_BUSY;
    progress_start(&progress);
    for (unsigned tries = 0; status == HF_BUSY && tries < HISTORY_TRIES_MAX; tries++) {
        status = history_check(&wanted, &findings);
    }
    progress_end(&progress);
    if (status == HF_OK) {
        enum storage_lock_state lock = storage_lock_state(data);
        lock_unfit = lock == STORAGE_LOCK_UNFIT;
        being_written = findings.end.torn && lock == STORAGE_LOCK_HELD;
        json ? print_findings_json(&findings) : print_findings(&findings);
        fflush(stdout);
        say_what_is_wrong(&findings);
        if (!wanted.state && !state_unwanted) {
            fprintf(stderr,
                    "The state was not built: it may take more than 1 GiB. --state builds it.\n");
        }
        code = history_findings_whole(&findings) && !lock_unfit ? EXIT_DONE : EXIT_NO;
        history_findings_free(&findings);
    } else {
        code = wal_check_failed(&opened, status, json);
    }
    history_log_close(&opened);
    return code;
}
