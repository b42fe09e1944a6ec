/* check.c - checks all of a log and its checkpoints.
 *
 * Threads: one. */
#include "history/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "wal/segment.h"
#include "wal/tail.h"

#define PROGRESS_EVERY_BLOCKS 64u
#define TORN_LOOKS            5u

struct check {
    const struct history_check_options *options;
    struct history_findings *findings;
    const char *what; /* is being done, for progress */
};

static void set_fault(struct history_fault *fault, const char *file, uint64_t offset, uint64_t lsn,
                      const char *reason)
{
    *fault = (struct history_fault){.any = true, .file_offset = offset, .lsn = lsn};
    snprintf(fault->file, sizeof fault->file, "%s", file);
    snprintf(fault->reason, sizeof fault->reason, "%s", reason);
}

/* Where the log would end if a block were not there. */
static void cut_before(struct history_fault *fault, const struct wal_block *block,
                       const struct wal_end *before)
{
    const struct block_header *header = &block->header;
    fault->cut = *before;
    if (before->segment == 0) { /* the first block that was read */
        fault->cut.next_index = header->index;
        fault->cut.lsn = header->first_lsn;
        fault->cut.previous_hash = header->previous_hash;
        fault->cut.cluster = header->cluster;
        fault->cut.term = header->term;
    }
}

/* The end as it is after a block. */
static void end_after(struct wal_end *end, const struct wal_block *block)
{
    const struct block_header *header = &block->header;
    *end = (struct wal_end){
        .cluster = header->cluster,
        .segment = header->segment,
        .offset = block->file_offset + block_span_bytes(header->payload_bytes),
        .lsn = header->first_lsn + header->payload_bytes,
        .next_index = header->index + 1,
        .term = header->term,
        .wall_ms = header->wall_ms,
        .engine_ms = header->engine_ms,
        .boot_ms = header->boot_ms,
        .boot = header->boot,
    };
    uint8_t encoded[BLOCK_HEADER_BYTES];
    block_header_encode(header, encoded);
    end->previous_hash = block_chain(encoded);
}

static void checking(void *context, uint64_t done, uint64_t total)
{
    const struct check *check = context;
    if (check->options->progress) {
        check->options->progress(check->options->context, check->what, done, total);
    }
}

static void report_progress(const struct check *check, const struct wal_reader *reader,
                            uint64_t blocks)
{
    if (check->options->progress && blocks % PROGRESS_EVERY_BLOCKS == 0) {
        uint64_t done;
        uint64_t total;
        wal_reader_progress(reader, &done, &total);
        check->options->progress(check->options->context, check->what, done, total);
    }
}

/* ---- Checkpoints ---- */

/* What is wrong with a checkpoint that an engine beside us takes away is no damage: its name goes
 * first. DAMAGED; BUSY: it is gone. */
static enum hf_status damaged_or_gone(struct storage *storage, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    storage_file file;
    uint64_t size;
    checkpoint_name(name, number);
    enum hf_status status = storage->ops->open(storage, name, false, &file, &size);
    if (status == HF_OK) {
        storage->ops->close(storage, file);
    }
    return status == HF_NOT_FOUND ? HF_BUSY : HF_DAMAGED;
}

static enum hf_status check_checkpoint(struct check *check, struct checkpoint_finding *finding)
{
    struct storage *storage = check->options->storage;
    enum hf_status status =
        checkpoint_verify(storage, finding->number, &finding->info, checking, check);
    if (checkpoint_is_lost(status)) {
        status = damaged_or_gone(storage, finding->number);
    }
    if (status == HF_DAMAGED) {
        finding->condition = finding->info.apart ? CHECKPOINT_APART : CHECKPOINT_DAMAGED;
        return HF_OK;
    }
    return status == HF_NOT_FOUND ? HF_BUSY : status;
}

static enum hf_status check_checkpoints(struct check *check)
{
    struct history_findings *findings = check->findings;
    uint64_t *numbers;
    size_t count;
    enum hf_status status = checkpoint_list(check->options->storage, &numbers, &count);
    if (status == HF_OK && count > 0) {
        findings->checkpoints = calloc(count, sizeof *findings->checkpoints);
        status = findings->checkpoints ? HF_OK : HF_NO_MEMORY;
    }
    check->what = "checking checkpoints";
    for (size_t i = 0; i < count && status == HF_OK; i++) {
        findings->checkpoints[i].number = numbers[i];
        findings->checkpoint_count++;
        status = check_checkpoint(check, &findings->checkpoints[i]);
    }
    free(numbers);
    CHECK(status != HF_OK || findings->checkpoint_count == count);
    return status;
}

/* The newest whole checkpoint is what an engine starts from. */
static void choose_base(struct history_findings *findings)
{
    findings->base = 0;
    findings->base_info = NULL;
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        if (findings->checkpoints[i].condition == CHECKPOINT_WHOLE) {
            findings->base = findings->checkpoints[i].number;
            findings->base_info = &findings->checkpoints[i].info;
        }
    }
    CHECK((findings->base == 0) == (findings->base_info == NULL));
    findings->beginning_missing = findings->base == 0 && findings->first_segment > 1;
}

static void mark_outdated(struct history_findings *findings)
{
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        struct checkpoint_finding *finding = &findings->checkpoints[i];
        if (finding->condition == CHECKPOINT_WHOLE && finding->number < findings->base &&
            finding->number + 1 < findings->first_segment) {
            finding->condition = CHECKPOINT_OUTDATED;
        }
    }
}

/* ---- Blocks ---- */

static void check_block(struct check *check, const struct wal_block *block,
                        const struct wal_end *before, struct history_fault *unreadable)
{
    struct history_findings *findings = check->findings;
    findings->segments += block->file_offset == WAL_PAGE_BYTES;
    findings->blocks++;
    findings->payload_bytes += block->header.payload_bytes;
    findings->digests += block->header.type == BLOCK_DIGEST;
    if (block->header.type != BLOCK_DATA) {
        return;
    }
    struct history_records records = {.block = block};
    struct event event;
    const char *reason;
    while (history_records_next(&records, &event, &reason)) {
        findings->records++;
    }
    CHECK(reason || records.offset == block->header.payload_bytes);
    CHECK(reason || records.count == block->header.record_count);
    if (reason && !unreadable->any) {
        set_fault(unreadable, block->file, block->file_offset + BLOCK_HEADER_BYTES + records.offset,
                  block->header.first_lsn + records.offset, reason);
        cut_before(unreadable, block, before);
    }
}

/* Has an engine that runs beside us recycled what is being read? */
static bool given_back(struct storage *storage, uint64_t segment)
{
    uint64_t first;
    return segment != 0 && wal_first_segment(storage, &first) == HF_OK && first > segment;
}

/* Reads from `start` (NULL: the first segment) to the end of segment `last` (0: the log's end). */
static enum hf_status read_part(struct check *check, const struct wal_start *start, uint64_t last,
                                struct wal_end *end, struct history_fault *unreadable)
{
    struct storage *storage = check->options->storage;
    struct wal_reader *reader;
    enum hf_status status = wal_reader_open_at(&reader, storage, start, last);
    if (status != HF_OK) {
        return status;
    }
    if (check->options->patient) {
        wal_reader_be_patient(reader, TORN_LOOKS);
    }
    struct wal_block block;
    struct wal_end before = {0};
    uint64_t blocks = 0;
    while ((status = wal_reader_next(reader, &block)) == HF_OK) {
        check_block(check, &block, &before, unreadable);
        end_after(&before, &block);
        report_progress(check, reader, ++blocks);
    }
    if (status == HF_NOT_FOUND) {
        wal_reader_end(reader, end);
        status = HF_OK;
    }
    if (status == HF_IO_ERROR) {
        snprintf(check->findings->trouble, sizeof check->findings->trouble, "%s",
                 wal_reader_trouble(reader));
    }
    wal_reader_close(reader);
    uint64_t stood = before.segment ? before.segment
                     : start        ? start->segment
                                    : check->findings->first_segment;
    return (status == HF_IO_ERROR || end->damaged || unreadable->any) && given_back(storage, stood)
               ? HF_BUSY
               : status;
}

static bool end_is_start(const struct wal_end *end, const struct wal_start *start)
{
    return end->lsn == start->lsn && end->next_index == start->next_index &&
           end->previous_hash == start->previous_hash && id_equal(end->cluster, start->cluster);
}

/* The segments that the base covers. */
static enum hf_status read_covered(struct check *check)
{
    struct history_findings *findings = check->findings;
    struct history_fault *covered = &findings->covered;
    struct wal_end end = {0};
    if (findings->base == 0 || findings->first_segment == 0 ||
        findings->first_segment > findings->base) {
        return HF_OK;
    }
    check->what = "checking what the checkpoint covers";
    enum hf_status status = wal_check_covered(check->options->storage, findings->base, &end);
    if (status == HF_OK && end.damaged) {
        findings->covered_gap = true;
        set_fault(covered, end.file, 0, 0, end.reason);
        return HF_OK;
    }
    if (status == HF_OK) {
        status = read_part(check, NULL, findings->base, &end, covered);
    }
    if (status == HF_IO_ERROR) { /* a start from the checkpoint does not read it */
        char name[STORAGE_NAME_BYTES_MAX];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(findings->trouble, " "),
                 findings->trouble);
        set_fault(covered, name, 0, 0, findings->trouble);
        return HF_OK;
    }
    if (status != HF_OK || covered->any) {
        return status;
    }
    if (end.damaged || end.empty) {
        set_fault(covered, end.file, end.file_offset, end.lsn,
                  end.damaged ? end.reason : "no block is whole");
        if (end.empty) {
            wal_segment_name(covered->file, findings->first_segment);
        }
    } else if (!end_is_start(&end, &findings->base_info->start)) {
        char name[STORAGE_NAME_BYTES_MAX];
        wal_segment_name(name, findings->base);
        set_fault(covered, name, end.offset, end.lsn,
                  "the segment does not end where the checkpoint of that number says");
    }
    return status;
}

/* ---- State ---- */

/* Where the state is built from: as far back as log and checkpoints are whole. 0: the beginning. */
static uint64_t state_begin(const struct history_findings *findings)
{
    if (findings->covered.any || findings->base == 0 || findings->first_segment > findings->base) {
        return findings->base;
    }
    if (findings->first_segment == 1) {
        return 0;
    }
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        if (findings->checkpoints[i].condition == CHECKPOINT_WHOLE) {
            return findings->checkpoints[i].number;
        }
    }
    return findings->base;
}

/* Where the log continues after a checkpoint, the state must be the checkpoint's. */
static bool passes_checkpoint(struct check *check, const struct history_replay *replay,
                              const struct wal_block *block)
{
    struct history_findings *findings = check->findings;
    for (size_t i = 0; block->file_offset == WAL_PAGE_BYTES && i < findings->checkpoint_count;
         i++) {
        const struct checkpoint_finding *finding = &findings->checkpoints[i];
        if (finding->number + 1 == block->header.segment &&
            finding->condition == CHECKPOINT_WHOLE && finding->info.digest != replay->digest) {
            char name[STORAGE_NAME_BYTES_MAX];
            checkpoint_name(name, finding->number);
            set_fault(&findings->state, name, 0, replay->lsn,
                      "its state is not the one that the log leads to");
            findings->state_digest = true;
            return false;
        }
    }
    return true;
}

static void replay_fault(struct history_findings *findings, const struct history_replay *replay,
                         const struct wal_block *block, const struct wal_end *before)
{
    set_fault(&findings->state, replay->file, replay->file_offset, replay->lsn, replay->reason);
    cut_before(&findings->state, block, before);
    findings->state_digest = block->header.type == BLOCK_DIGEST;
}

static enum hf_status replay_log(struct check *check, struct history_replay *replay,
                                 struct wal_reader *reader)
{
    struct history_findings *findings = check->findings;
    struct wal_end before = {0};
    struct wal_block block;
    enum hf_status status;
    while ((status = wal_reader_next(reader, &block)) == HF_OK &&
           passes_checkpoint(check, replay, &block)) {
        status = history_replay_block(replay, &block);
        if (status == HF_DAMAGED) {
            replay_fault(findings, replay, &block, &before);
            return HF_OK;
        }
        if (status != HF_OK) {
            return status;
        }
        end_after(&before, &block);
        report_progress(check, reader, replay->blocks);
    }
    char what[128];
    if (findings->state.any || (status != HF_OK && status != HF_NOT_FOUND)) {
        return status == HF_NOT_FOUND ? HF_OK : status;
    }
    if (inventory_digest(replay->inventory) != replay->digest) {
        set_fault(&findings->state, "", 0, replay->lsn,
                  "the state differs from the sum of its changes");
        findings->state_digest = true;
    } else if (!inventory_verify(replay->inventory, what, sizeof what)) {
        set_fault(&findings->state, "", 0, replay->lsn, what);
        findings->state_digest = true;
    }
    return HF_OK;
}

/* A checkpoint whose contents are not what its digest says is damaged, though its checksums fit. */
static enum hf_status mark_damaged(struct history_findings *findings, uint64_t number,
                                   const char *reason)
{
    struct checkpoint_finding *finding = NULL;
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        if (findings->checkpoints[i].number == number) {
            finding = &findings->checkpoints[i];
        }
    }
    /* Else history_check() would try the same one again for ever. */
    CHECK(finding != NULL);
    CHECK(finding->condition == CHECKPOINT_WHOLE);
    finding->condition = CHECKPOINT_DAMAGED;
    snprintf(finding->info.message, sizeof finding->info.message, "%s", reason);
    return HF_DAMAGED;
}

static enum hf_status begin_state(struct check *check, struct history_replay *replay,
                                  uint64_t number, const struct inventory_options *sizes)
{
    struct storage *storage = check->options->storage;
    enum hf_status status = history_replay_begin(replay, storage, number, sizes);
    if (status == HF_DAMAGED) {
        status = damaged_or_gone(storage, number);
    }
    if (status == HF_DAMAGED) {
        return mark_damaged(check->findings, number, replay->reason);
    }
    return status == HF_NOT_FOUND ? HF_BUSY : status;
}

/* DAMAGED: a checkpoint has turned out to be damaged: begin again without it. */
static enum hf_status check_state(struct check *check)
{
    struct history_findings *findings = check->findings;
    struct storage *storage = check->options->storage;
    uint64_t number = state_begin(findings);
    CHECK(number <= findings->base);
    struct inventory_options sizes;
    struct history_replay replay;
    struct wal_reader *reader;
    enum hf_status status = history_replay_sizes(storage, &sizes);
    if (status == HF_OK && number != findings->base) {
        status = begin_state(check, &replay, findings->base, &sizes);
        if (status == HF_OK) {
            history_replay_end(&replay);
        }
    }
    if (status == HF_OK) {
        status = begin_state(check, &replay, number, &sizes);
    }
    if (status != HF_OK) {
        return status;
    }
    check->what = "building the state";
    status = wal_reader_open_at(&reader, storage, number ? &replay.start : NULL, 0);
    if (status == HF_OK) {
        status = replay_log(check, &replay, reader);
        wal_reader_close(reader);
    }
    CHECK(replay.digests <= replay.blocks);
    uint64_t stood = number ? number + 1 : findings->first_segment;
    if ((status == HF_IO_ERROR || findings->state.any) && given_back(storage, stood)) {
        status = HF_BUSY;
    }
    findings->state_checked = status == HF_OK;
    findings->digests_compared = replay.digests;
    history_replay_end(&replay);
    return status;
}

/* ---- All of it ---- */

static enum hf_status check_from_base(struct check *check)
{
    struct history_findings *findings = check->findings;
    choose_base(findings);
    findings->segments = findings->blocks = findings->records = 0;
    findings->digests = findings->payload_bytes = 0;
    findings->covered = findings->unreadable = findings->state = (struct history_fault){0};
    findings->covered_gap = false;
    enum hf_status status = read_covered(check);
    if (status == HF_OK) {
        check->what = "checking the log";
        status = read_part(check, findings->base ? &findings->base_info->start : NULL, 0,
                           &findings->end, &findings->unreadable);
    }
    if (status == HF_OK) {
        mark_outdated(findings);
    }
    if (status == HF_OK && check->options->state && !findings->beginning_missing) {
        status = check_state(check);
    }
    return status;
}

enum hf_status history_check(const struct history_check_options *options,
                             struct history_findings *findings)
{
    struct check check = {.options = options, .findings = findings};
    *findings = (struct history_findings){0};
    enum hf_status status = wal_first_segment(options->storage, &findings->first_segment);
    if (status == HF_OK) {
        status = check_checkpoints(&check);
    }
    if (status == HF_OK) {
        do {
            status = check_from_base(&check);
        } while (status == HF_DAMAGED);
    }
    if (status == HF_OK && options->cluster) {
        findings->elsewhere = wal_cluster_fault(&findings->end, *options->cluster);
    }
    if (status != HF_OK) {
        history_findings_free(findings);
    }
    return status;
}

void history_findings_free(struct history_findings *findings)
{
    free(findings->checkpoints);
    findings->checkpoints = NULL;
    findings->checkpoint_count = 0;
    findings->base_info = NULL;
}

bool history_findings_fault(const struct history_findings *findings, struct history_fault *fault)
{
    *fault = (struct history_fault){0};
    if (findings->end.damaged) {
        const struct wal_end *end = &findings->end;
        set_fault(fault, end->file, end->file_offset, end->lsn, end->reason);
        fault->cut = *end;
    }
    if (findings->unreadable.any) { /* such a block is before the log's end */
        *fault = findings->unreadable;
    }
    if (findings->state.any && !findings->state_digest &&
        (!fault->any || findings->state.cut.next_index < fault->cut.next_index)) {
        *fault = findings->state;
    }
    return fault->any;
}

bool history_findings_starts(const struct history_findings *findings)
{
    struct history_fault fault;
    uint64_t covered_lsn = findings->base ? findings->base_info->start.lsn : 0;
    /* What a start builds begins with the base. */
    bool state = findings->state.any && findings->state.lsn > covered_lsn;
    return !history_findings_fault(findings, &fault) && !state && !findings->beginning_missing &&
           !findings->covered_gap && !findings->elsewhere;
}

bool history_findings_whole(const struct history_findings *findings)
{
    for (size_t i = 0; i < findings->checkpoint_count; i++) {
        enum checkpoint_condition condition = findings->checkpoints[i].condition;
        if (condition == CHECKPOINT_DAMAGED || condition == CHECKPOINT_APART) {
            return false;
        }
    }
    return !findings->end.damaged && !findings->unreadable.any && !findings->covered.any &&
           !findings->state.any && !findings->beginning_missing && !findings->elsewhere;
}
