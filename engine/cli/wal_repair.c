/* wal_repair.c - `holdfast wal repair`: shows what a repair would do, and does it with --yes.
 *
 * The new log is made in a directory beside the old one, checked like any log, and takes its place
 * in one exchange of names; the old one stays as it was. A crash leaves the one or the other.
 *
 * Threads: the main thread. */
#include "history/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/id.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal_open.h"
#include "cli/wal_print.h"
#include "cli/wal_say.h"
#include "feed/event_json.h"
#include "io/storage_directory.h"
#include "io/storage_open.h"

#define LOST_SHOWN      20u
#define LOST_SHOWN_JSON 1000u

static const char *data = DATA_DEFAULT;
static bool json;
static bool yes;
static bool skip;
static bool all;
static struct history_log opened;

static const struct option_spec options[] = {
    WAL_DATA_OPTION(data),
    {"yes", OPTION_FLAG, &yes, NULL, NULL, "repair the log; the old files are kept beside it"},
    {"skip", OPTION_FLAG, &skip, NULL, NULL,
     "leave out the damage and keep what still fits after it"},
    {"all", OPTION_FLAG, &all, NULL, NULL, "name every lost record that can be read"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON"},
};

static const struct command_spec spec = {
    .name = "wal repair",
    .arguments = "",
    .help =
        "Makes a damaged log whole again. Without --yes nothing is changed: it shows what is "
        "wrong,\n"
        "what it would do, and which records that would lose (exit 1).\n"
        "\n"
        "The new log ends at the damage: all records after it are lost, also acknowledged ones. "
        "The\n"
        "state that is left is one that the shop was in. --skip leaves out only what can't be "
        "read,\n"
        "or does not fit any more without it, and keeps the rest. The shop never was in that "
        "state:\n"
        "compare it with your orders. Damaged checkpoints are left out where an older one or the\n"
        "log can replace them. Damage in what the newest checkpoint covers loses nothing.\n"
        "\n"
        "The engine must not run. The old files stay in DIR/wal.before-<time>: delete them when "
        "you\n"
        "are sure.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* ---- What is lost ---- */

struct losses {
    struct item_names names;
    uint64_t shown;
    uint64_t count;
    json_t *rows; /* json */
};

static void show_lost(void *context, const struct history_lost *lost)
{
    struct losses *losses = context;
    losses->count++;
    if (lost->event->type == EVENT_ITEM_DEFINED) {
        wal_learn_item(&losses->names, lost->event->item);
    }
    if (!all && losses->shown == (json ? LOST_SHOWN_JSON : LOST_SHOWN)) {
        return;
    }
    losses->shown++;
    if (json) {
        json_t *object = must_have(event_object(&losses->names, lost->event, lost->wall_ms));
        json_object_set_new(object, "misfit", json_boolean(lost->misfit));
        json_array_append_new(losses->rows, object);
        return;
    }
    if (losses->count == 1) {
        printf("Lost records, as far as they can be read:\n");
    }
    print_event(&losses->names, lost->event, lost->wall_ms);
}

/* Names from the checkpoints and the readable part of the log. */
static enum hf_status learn_names(struct item_names *names)
{
    struct wal_block block;
    enum hf_status status = item_names_load_newest(names, opened.storage);
    if (status == HF_OK) {
        status = history_log_read(&opened, false);
    }
    while (status == HF_OK && (status = wal_reader_next(opened.reader, &block)) == HF_OK) {
        struct history_records records = {.block = &block};
        struct event event;
        const char *reason;
        while (block.header.type == BLOCK_DATA && history_records_next(&records, &event, &reason)) {
            if (event.type == EVENT_ITEM_DEFINED) {
                wal_learn_item(names, event.item);
            }
        }
    }
    return status == HF_NOT_FOUND ? HF_OK : status;
}

/* ---- The report ---- */

static void print_checkpoints(const struct history_findings *findings)
{
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        const struct checkpoint_finding *finding = &findings->checkpoints[i];
        bool covered = findings->covered.any && finding->number < findings->base;
        if (finding->condition == CHECKPOINT_DAMAGED || finding->condition == CHECKPOINT_APART) {
            printf("checkpoint %" PRIu64 " is left out: %s\n", finding->number,
                   finding->info.message);
        } else if (covered || finding->condition == CHECKPOINT_OUTDATED) {
            printf("checkpoint %" PRIu64 " is left out: it can't replace checkpoint %" PRIu64 "\n",
                   finding->number, findings->base);
        }
    }
    if (findings->covered.any) {
        const struct history_fault *covered = &findings->covered;
        printf("%s, offset %" PRIu64 ": %s\n", covered->file, covered->file_offset,
               covered->reason);
        printf("The segments up to %" PRIu64 " are left out: checkpoint %" PRIu64
               " has all that they led to.\n",
               findings->base, findings->base);
    }
}

static void print_fault(const struct history_repair_report *report)
{
    printf("%s, offset %" PRIu64 ": %s\n", report->fault.file, report->fault.file_offset,
           report->fault.reason);
    printf("The log is whole up to LSN %" PRIu64 ". Blocks after it that can't be read: %" PRIu64
           "; that can: %" PRIu64 ".\n",
           report->lsn, report->blocks_unreadable, report->blocks_readable);
    if (report->last_lsn > report->lsn) {
        printf("Affected: LSN %" PRIu64 " to LSN %" PRIu64 ".\n", report->lsn, report->last_lsn);
    }
    printf("Records after it that are kept: %" PRIu64 "; lost, of those that can be read: %" PRIu64
           ".\n",
           report->records_kept, report->records_lost);
    if (report->items_short != 0) {
        printf("Items with more units held and sold than in stock: %" PRIu64
               ". Adjust their stock.\n",
               report->items_short);
    }
}

static void print_report(const struct history_findings *findings,
                         const struct history_repair_report *report, const struct losses *losses)
{
    if (losses->count > losses->shown) {
        printf("... and %" PRIu64 " more; --all prints them\n", losses->count - losses->shown);
    }
    print_checkpoints(findings);
    if (report->torn_bytes != 0) {
        printf("A torn tail of %" PRIu64
               " bytes is removed. Nothing is lost: it was never acknowledged.\n",
               report->torn_bytes);
    }
    if (report->has_fault) {
        print_fault(report);
    }
    if (!report->needed) {
        printf("The log is whole: there is nothing to repair.\n");
    } else if (!report->possible) {
        printf("This can't be repaired: %s.\n", report->why);
    } else {
        printf("The new log ends at LSN %" PRIu64 ".\n", report->new_lsn);
    }
}

static json_t *report_object(const struct history_repair_report *report, struct losses *losses)
{
    json_t *object = json_pack(
        "{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I}", "needed", report->needed,
        "possible", report->needed && report->possible, "lsn", (json_int_t)report->lsn, "last_lsn",
        (json_int_t)report->last_lsn, "new_lsn", (json_int_t)report->new_lsn, "torn_bytes",
        (json_int_t)report->torn_bytes, "blocks_unreadable", (json_int_t)report->blocks_unreadable,
        "blocks_readable", (json_int_t)report->blocks_readable, "records_kept",
        (json_int_t)report->records_kept, "records_lost", (json_int_t)report->records_lost,
        "drops_covered", report->drops_covered, "items_short", (json_int_t)report->items_short);
    if (report->has_fault) {
        json_object_update_new(
            object, json_pack("{s:s, s:I, s:o}", "file", report->fault.file, "offset",
                              (json_int_t)report->fault.file_offset, "reason",
                              json_text(report->fault.reason, strlen(report->fault.reason))));
    }
    if (report->needed && !report->possible) {
        json_object_update_new(object, error_object(HF_DAMAGED, report->why));
    }
    json_object_set_new(object, "lost", losses->rows);
    losses->rows = NULL;
    return object;
}

/* ---- Doing it ---- */

struct folders {
    char made[FOLDER_BYTES + 48];   /* the new log, while it is made */
    char before[FOLDER_BYTES + 48]; /* the old one, afterwards */
};

static void name_folders(struct folders *folders)
{
    char stamp[32];
    struct tm parts;
    time_t now = time(NULL);
    gmtime_r(&now, &parts);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &parts);
    snprintf(folders->made, sizeof folders->made, "%s.repaired-%s", opened.folder, stamp);
    snprintf(folders->before, sizeof folders->before, "%s.before-%s", opened.folder, stamp);
}

static bool sync_data(void)
{
    int fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return synced;
}

static bool unlink_visit(void *context, const char *name)
{
    struct storage *storage = context;
    storage->ops->unlink(storage, name);
    return true;
}

/* Puts the new log in the old one's place, and the old one beside it. */
static int take_place(const struct folders *folders)
{
    if (!sync_data() ||
        renameat2(AT_FDCWD, folders->made, AT_FDCWD, opened.folder, RENAME_EXCHANGE) != 0) {
        return wal_failed(
            HF_IO_ERROR, json,
            "the repaired log %s can't take the place of %s: %s. The old log is as it "
            "was; exchange the two by hand, while no engine runs",
            folders->made, opened.folder, strerror(errno));
    }
    if (!sync_data() || rename(folders->made, folders->before) != 0 || !sync_data()) {
        return wal_failed(HF_IO_ERROR, json,
                          "the log is repaired, but the old one can't be renamed and is in %s: %s",
                          folders->made, strerror(errno));
    }
    return EXIT_DONE;
}

/* The new log is checked as any other. OK, DAMAGED or why that failed. */
static enum hf_status check_new(struct storage *to)
{
    struct history_findings findings;
    enum hf_status status =
        history_check(&(struct history_check_options){.storage = to, .state = true}, &findings);
    if (status == HF_OK) {
        status = history_findings_whole(&findings) ? HF_OK : HF_DAMAGED;
        history_findings_free(&findings);
    }
    return status;
}

static int make(const struct history_findings *findings, struct folders *folders)
{
    struct storage *to;
    struct history_repair_report report;
    name_folders(folders);
    if (mkdir(folders->made, STORAGE_DIRECTORY_MODE) != 0) {
        return wal_failed(HF_IO_ERROR, json, "%s can't be made, nothing was changed: %s",
                          folders->made, strerror(errno));
    }
    enum hf_status status = storage_open(&to, folders->made, STORAGE_SYNC, false);
    if (status != HF_OK) {
        return wal_failed(status, json, "%s can't be opened, the log was not changed: %s",
                          folders->made, storage_reason(status));
    }
    status = history_repair(
        &(struct history_repair_options){.from = opened.storage, .to = to, .skip = skip}, findings,
        &report);
    if (status == HF_OK) {
        status = check_new(to);
    }
    if (status != HF_OK) {
        to->ops->list(to, unlink_visit, to);
        rmdir(folders->made);
    }
    storage_destroy(to);
    return status == HF_OK
               ? take_place(folders)
               : wal_failed(status, json, "the repair failed, the log was not changed: %s",
                            storage_reason(status));
}

static int report_and_repair(const struct history_findings *findings, struct losses *losses,
                             bool *changed)
{
    struct history_repair_report report;
    struct folders folders;
    enum hf_status status = history_repair(
        &(struct history_repair_options){
            .from = opened.storage, .skip = skip, .lost = show_lost, .context = losses},
        findings, &report);
    if (status != HF_OK) {
        return wal_failed(status, json, "%s: the log can't be read: %s", opened.folder,
                          storage_reason(status));
    }
    bool doing = yes && report.needed && report.possible;
    int code = !report.needed ? EXIT_DONE : EXIT_NO;
    json_t *object = NULL;
    if (json) {
        object = report_object(&report, losses);
    } else {
        print_report(findings, &report, losses);
        fflush(stdout);
    }
    if (doing) {
        *changed = true;
        code = make(findings, &folders);
    }
    if (json) {
        json_object_set_new(object, "repaired", json_boolean(doing && code == EXIT_DONE));
        if (doing && code == EXIT_DONE) {
            json_object_set_new(object, "before",
                                json_text(folders.before, strlen(folders.before)));
        }
        print_json(object);
    } else if (doing && code == EXIT_DONE) {
        printf("Done. The old files are in %s.\n", folders.before);
    } else if (report.needed && report.possible && !yes) {
        printf("Nothing was changed. --yes repairs the log%s.\n",
               report.has_fault && !skip ? "; --skip shows what could be kept" : "");
    }
    return code;
}

static int repair_locked(bool *changed)
{
    struct history_findings findings;
    struct progress progress;
    struct losses losses = {.rows = json ? json_array() : NULL};
    progress_start(&progress);
    enum hf_status status = history_check(&(struct history_check_options){.storage = opened.storage,
                                                                          .state = true,
                                                                          .progress = wal_progress,
                                                                          .context = &progress},
                                          &findings);
    progress_end(&progress);
    if (status != HF_OK) {
        return wal_check_failed(&opened, status, json);
    }
    item_names_init(&losses.names);
    status = learn_names(&losses.names);
    int code = status == HF_OK ? report_and_repair(&findings, &losses, changed)
                               : wal_failed(status, json, "%s: the log can't be read: %s",
                                            opened.folder, storage_reason(status));
    item_names_deinit(&losses.names);
    json_decref(losses.rows);
    history_findings_free(&findings);
    return code;
}

int cmd_wal_repair(int argc, char **argv)
{
    struct args args;
    int code = args_parse(&spec, argc, argv, &args);
    return code == ARGS_GO_ON ? wal_log_locked(&opened, data, json, repair_locked) : code;
}
