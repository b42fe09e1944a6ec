/* wal_checkpoint.c - `holdfast wal checkpoint`: makes a checkpoint while no engine runs.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "checkpoint/build.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal_open.h"
#include "cli/wal_say.h"
#include "io/storage_open.h"

static const char *data = DATA_DEFAULT;
static const char *out_folder;
static bool json;
static struct history_log opened;

static const struct option_spec options[] = {
    WAL_DATA_OPTION(data),
    {"out", OPTION_TEXT, &out_folder, NULL, "DIR2", "put it there; it is made if it is missing"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON"},
};

static const struct command_spec spec = {
    .name = "wal checkpoint",
    .arguments = "",
    .help =
        "Makes a checkpoint of all sealed segments: all but the last one that was begun. It "
        "starts\n"
        "from the newest whole checkpoint, or from the log's beginning. The engine must not run;\n"
        "its next start then replays only what comes after the checkpoint. No segment is removed:\n"
        "the engine recycles them later.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

struct plan {
    uint64_t base; /* 0: the log's beginning */
    struct checkpoint_info base_info;
    uint64_t upto; /* last sealed segment */
};

static bool show_pace(void *context, uint64_t done, uint64_t total)
{
    progress_show(context, "making", done, total);
    return true;
}

/* The newest checkpoint that is whole. */
static enum hf_status find_base(struct plan *plan)
{
    uint64_t *numbers;
    size_t count;
    enum hf_status status = checkpoint_list(opened.storage, &numbers, &count);
    while (status == HF_OK && count > 0 && plan->base == 0) {
        uint64_t number = numbers[--count];
        enum hf_status found =
            checkpoint_verify(opened.storage, number, &plan->base_info, NULL, NULL);
        if (found == HF_OK) {
            plan->base = number;
        } else if (checkpoint_is_lost(found)) {
            fprintf(stderr,
                    "This checkpoint can't be used: %s\nAn older one, or the log's beginning, is "
                    "tried.\n",
                    plan->base_info.message);
        } else {
            status = found;
        }
    }
    free(numbers);
    return status;
}

/* The first blocks of the last two segments, and what the last block proves. */
struct first_blocks {
    uint64_t segment; /* the last; 0: none */
    uint64_t index;
    uint64_t index_before; /* of the segment before; 0: none was read */
    uint64_t durable_index;
};

static void note_block(struct first_blocks *first, const struct block_header *header)
{
    if (header->segment != first->segment) {
        first->index_before = first->index;
        first->index = header->index;
        first->segment = header->segment;
    }
    first->durable_index = header->durable_index;
}

/* As the engine has it: a segment is sealed once a block of a later one is known to be durable. A
 * block that was only written may be gone after a power cut, and no checkpoint may cover what comes
 * before it alone. 0: none. */
static uint64_t last_sealed(const struct first_blocks *first)
{
    if (first->segment >= 1 && first->durable_index >= first->index) {
        return first->segment - 1;
    }
    bool before = first->index_before > 0 && first->durable_index >= first->index_before;
    return before && first->segment >= 2 ? first->segment - 2 : 0;
}

/* Reads the log to its end, to know which segments are sealed, and that they are whole. */
static int find_sealed(struct plan *plan)
{
    struct wal_block block = {0};
    struct wal_end end;
    struct first_blocks first = {0};
    enum hf_status status = wal_reader_open_at(&opened.reader, opened.storage,
                                               plan->base ? &plan->base_info.start : NULL, 0);
    while (status == HF_OK) {
        status = wal_reader_next(opened.reader, &block);
        if (status == HF_OK) {
            note_block(&first, &block.header);
        }
    }
    if (status != HF_NOT_FOUND) {
        return wal_failed(status, json, "%s: the log can't be read: %s", opened.folder,
                          storage_reason(status));
    }
    wal_reader_end(opened.reader, &end);
    if (end.damaged) {
        wal_say_damage(opened.folder, &end);
        return wal_failed(HF_DAMAGED, json, "%s, offset %" PRIu64 ": %s", end.file, end.file_offset,
                          end.reason);
    }
    plan->upto = last_sealed(&first);
    return ARGS_GO_ON;
}

static int report(const struct plan *plan, const struct checkpoint_info *info, const char *folder)
{
    char name[STORAGE_NAME_BYTES_MAX];
    char when[TIME_TEXT_BYTES];
    checkpoint_name(name, info->number);
    time_text(info->wall_ms, when);
    if (json) {
        print_json(json_pack(
            "{s:b, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "made", true, "folder",
            json_text(folder, strlen(folder)), "file", name, "checkpoint", (json_int_t)info->number,
            "base", (json_int_t)plan->base, "lsn", (json_int_t)info->start.lsn, "wall_ms",
            (json_int_t)info->wall_ms, "skus", (json_int_t)info->skus, "items",
            (json_int_t)info->items, "orders", (json_int_t)info->orders, "orders_held",
            (json_int_t)info->orders_held, "bytes", (json_int_t)info->file_bytes));
        return EXIT_DONE;
    }
    printf("%s/%s\n", folder, name);
    printf("covers     segments up to %" PRIu64 ", LSN %" PRIu64 ", %s\n", info->number,
           info->start.lsn, when);
    if (plan->base) {
        printf("from       checkpoint %" PRIu64 " and %" PRIu64 " segments\n", plan->base,
               plan->upto - plan->base);
    } else {
        printf("from       the log's beginning\n");
    }
    printf("holds      %" PRIu64 " SKUs, %" PRIu64 " items, %" PRIu64 " orders (%" PRIu64
           " held), %" PRIu64 " bytes\n",
           info->skus, info->items, info->orders, info->orders_held, info->file_bytes);
    return EXIT_DONE;
}

static int nothing_new(const struct plan *plan)
{
    if (json) {
        print_json(json_pack("{s:b, s:I}", "made", false, "checkpoint", (json_int_t)plan->base));
    } else if (plan->base) {
        printf("Nothing was made: no segment is sealed since checkpoint %" PRIu64 ".\n",
               plan->base);
    } else {
        printf("Nothing was made: no segment is sealed yet.\n");
    }
    return EXIT_DONE;
}

static int build(const struct plan *plan, struct storage *out, const char *folder)
{
    struct progress progress;
    struct checkpoint_info info = {0};
    struct checkpoint_build_options wanted = {.storage = opened.storage,
                                              .out = out,
                                              .base = plan->base,
                                              .upto = plan->upto,
                                              .memory_bytes = CHECKPOINT_MEMORY_DEFAULT,
                                              .pace = show_pace,
                                              .context = &progress};
    enum hf_status status = history_replay_sizes(opened.storage, &wanted.inventory);
    progress_start(&progress);
    if (status == HF_OK) {
        status = checkpoint_build(&wanted, &info);
    }
    progress_end(&progress);
    if (status != HF_OK) {
        return wal_failed(status, json, "no checkpoint was made: %s",
                          info.message[0] ? info.message : storage_reason(status));
    }
    return report(plan, &info, folder);
}

static int make(bool *changed)
{
    struct plan plan = {0};
    struct storage *out;
    const char *folder = out_folder ? out_folder : opened.folder;
    enum hf_status status = find_base(&plan);
    if (status != HF_OK) {
        return wal_failed(status, json, "%s: the checkpoints can't be read: %s", opened.folder,
                          storage_reason(status));
    }
    int code = find_sealed(&plan);
    if (code != ARGS_GO_ON) {
        return code;
    }
    if (plan.upto <= plan.base) {
        return nothing_new(&plan);
    }
    status = storage_open(&out, folder, STORAGE_SYNC, false);
    if (status == HF_OK) {
        *changed = true;
        status = storage_settle(out);
    }
    if (status != HF_OK) {
        return wal_failed(status, json, "%s can't be opened: %s", folder, storage_reason(status));
    }
    code = build(&plan, out, folder);
    storage_destroy(out);
    return code;
}

int cmd_wal_checkpoint(int argc, char **argv)
{
    struct args args;
    int code = args_parse(&spec, argc, argv, &args);
    return code == ARGS_GO_ON ? wal_log_locked(&opened, data, json, make) : code;
}
