/* repair.c - a whole log out of a damaged one.
 *
 * Threads: one. Invariant: the old log is never written; the new one is made in another directory,
 * from its beginning to its end, and synced before this returns. */
#include "history/repair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/pages.h"
#include "checkpoint/info.h"
#include "wal/digest.h"
#include "wal/segment.h"

#define COPY_BYTES  MIB(1)
#define BLOCK_BYTES (block_span_bytes(WAL_GROUP_BYTES_MAX))

struct repair {
    const struct history_repair_options *options;
    const struct history_findings *findings;
    struct history_repair_report *report;
    struct wal_end cut; /* where the good part ends; segment 0: before the first block there is */
    bool cluster_known;
    uint64_t first;               /* segment that the good part begins with */
    uint64_t segment_bytes;       /* of new segments */
    struct history_replay replay; /* skip: the state so far */
    uint8_t *buffer;              /* BLOCK_BYTES, page aligned: what is read */
    uint8_t *out;                 /* the same: what is written */
    /* Where the next block goes. */
    storage_file file; /* -1: none is open */
    uint64_t segment;
    uint64_t offset;
    uint64_t file_bytes;
};

/* ---- What can be done ---- */

static void not_possible(struct history_repair_report *report, const char *why)
{
    report->possible = false;
    snprintf(report->why, sizeof report->why, "%s", why);
}

static void plan(struct repair *repair)
{
    const struct history_findings *findings = repair->findings;
    struct history_repair_report *report = repair->report;
    report->base = findings->base;
    report->possible = true;
    report->needed = !history_findings_whole(findings) || findings->end.torn;
    report->has_fault = history_findings_fault(findings, &report->fault);
    report->torn_bytes = findings->end.torn && !report->has_fault ? findings->end.torn_bytes : 0;
    repair->cut = report->has_fault ? report->fault.cut : findings->end;
    report->drops_covered = findings->covered.any;
    bool from_base = findings->covered.any || (findings->base && repair->cut.segment == 0 &&
                                               findings->first_segment > findings->base);
    repair->first = from_base ? findings->base + 1 : findings->first_segment;
    repair->cluster_known = repair->cut.segment != 0 || findings->base != 0;
    if (findings->base && repair->cut.segment == 0) {
        /* Nothing after the checkpoint is good. */
        const struct wal_start *start = &findings->base_info->start;
        repair->cut = (struct wal_end){.cluster = start->cluster,
                                       .lsn = start->lsn,
                                       .next_index = start->next_index,
                                       .previous_hash = start->previous_hash,
                                       .term = start->term,
                                       .wall_ms = findings->base_info->wall_ms,
                                       .engine_ms = findings->base_info->engine_ms};
    } else if (repair->cut.segment == 0 && report->has_fault) {
        repair->cut = (struct wal_end){.next_index = 1, .term = 1};
        repair->cluster_known = false;
    }
    report->lsn = report->last_lsn = report->new_lsn = repair->cut.lsn;
    if (findings->beginning_missing) {
        not_possible(report,
                     "the log's first segments are gone, and no checkpoint is whole: put the "
                     "segments back from the archive, or a checkpoint from a backup");
    } else if (findings->state.any && findings->state_digest) {
        not_possible(report, "the bytes are whole, but the state that they lead to is not the one "
                             "that the engine had: no byte can be named that is wrong");
    } else if (repair->cut.segment == 0 && findings->base == 0 && report->has_fault &&
               !repair->options->skip) {
        not_possible(report, "the damage is at the log's very beginning: nothing would be left. "
                             "--skip may keep what comes after it");
    }
}

/* ---- Writing the new log ---- */

static enum hf_status close_segment(struct repair *repair)
{
    struct storage *to = repair->options->to;
    enum hf_status status = HF_OK;
    if (repair->file >= 0) {
        status = to->ops->sync(to, repair->file);
        to->ops->close(to, repair->file);
        repair->file = -1;
    }
    return status;
}

static enum hf_status open_segment(struct repair *repair, uint64_t number)
{
    struct storage *to = repair->options->to;
    char name[STORAGE_NAME_BYTES_MAX];
    wal_segment_name(name, number);
    CHECK(number != 0);
    CHECK(repair->file < 0);
    repair->segment = number;
    return to->ops->open(to, name, true, &repair->file, &repair->file_bytes);
}

/* Begins the next segment, with a header that continues where the log ends now. */
static enum hf_status begin_segment(struct repair *repair)
{
    struct storage *to = repair->options->to;
    struct wal_end *end = &repair->cut;
    char name[STORAGE_NAME_BYTES_MAX];
    enum hf_status status = close_segment(repair);
    CHECK(repair->file < 0);
    uint64_t number = end->segment             ? end->segment + 1
                      : repair->findings->base ? repair->findings->base + 1
                                               : 1;
    wal_segment_name(name, number);
    if (status == HF_OK) {
        status = to->ops->create_zeroed(to, name, repair->segment_bytes);
    }
    if (status == HF_OK) {
        status = open_segment(repair, number);
    }
    if (status != HF_OK) {
        return status;
    }
    struct segment_header header = {.cluster = end->cluster,
                                    .number = number,
                                    .first_lsn = end->lsn,
                                    .first_index = end->next_index,
                                    .previous_hash = end->previous_hash,
                                    .durable_index = end->next_index - 1,
                                    .created_ms = end->wall_ms,
                                    .segment_bytes = repair->segment_bytes};
    uint8_t *page = repair->out + BLOCK_BYTES;
    memset(page, 0, WAL_PAGE_BYTES);
    segment_header_encode(&header, page);
    repair->offset = WAL_PAGE_BYTES;
    end->segment = number;
    return to->ops->write(to, repair->file, page, WAL_PAGE_BYTES, 0);
}

/* When a block was written, which it keeps. */
struct block_times {
    uint64_t wall_ms;
    uint64_t engine_ms;
    uint64_t boot_ms;
    uint64_t boot;
};

static struct block_times times_of(const struct block_header *header)
{
    return (struct block_times){header->wall_ms, header->engine_ms, header->boot_ms, header->boot};
}

/* Adds a block whose payload is in `out` after the header. */
static enum hf_status add_block(struct repair *repair, enum block_type type, uint32_t records,
                                uint32_t payload_bytes, struct block_times times)
{
    struct storage *to = repair->options->to;
    struct wal_end *end = &repair->cut;
    uint64_t span = block_span_bytes(payload_bytes);
    enum hf_status status = HF_OK;
    CHECK(span <= BLOCK_BYTES);
    CHECK((type == BLOCK_DATA) == (records > 0));
    if (!to) {
        end->lsn += payload_bytes;
        return HF_OK;
    }
    if (repair->file < 0 || repair->offset + span > repair->file_bytes) {
        if (repair->segment_bytes < WAL_PAGE_BYTES + span) {
            repair->segment_bytes = WAL_PAGE_BYTES + span;
        }
        status = begin_segment(repair);
    }
    if (status != HF_OK) {
        return status;
    }
    CHECK(repair->file >= 0);
    CHECK(repair->offset + span <= repair->file_bytes);
    uint8_t *payload = repair->out + BLOCK_HEADER_BYTES;
    memset(payload + payload_bytes, 0, span - BLOCK_HEADER_BYTES - payload_bytes);
    struct block_header header = {.type = type,
                                  .cluster = end->cluster,
                                  .term = end->term,
                                  .index = end->next_index,
                                  .previous_hash = end->previous_hash,
                                  .durable_index = end->next_index - 1,
                                  .first_lsn = end->lsn,
                                  .record_count = records,
                                  .payload_bytes = payload_bytes,
                                  .wall_ms = times.wall_ms,
                                  .engine_ms = times.engine_ms,
                                  .boot_ms = times.boot_ms,
                                  .boot = times.boot,
                                  .payload_hash = hash_bytes(payload, payload_bytes),
                                  .segment = repair->segment};
    block_header_encode(&header, repair->out);
    status = to->ops->write(to, repair->file, repair->out, span, repair->offset);
    repair->offset += span;
    end->offset = repair->offset;
    end->previous_hash = block_chain(repair->out);
    end->next_index++;
    end->lsn += payload_bytes;
    end->wall_ms = times.wall_ms;
    end->engine_ms = times.engine_ms;
    end->boot_ms = times.boot_ms;
    end->boot = times.boot;
    return status;
}

/* ---- Copying ---- */

/* Writes the first `upto` bytes of an open file to another, and zeros up to `size`. */
static enum hf_status copy_bytes(struct repair *repair, storage_file source, storage_file target,
                                 uint64_t upto, uint64_t size)
{
    struct storage *from = repair->options->from;
    struct storage *to = repair->options->to;
    enum hf_status status = HF_OK;
    uint64_t written = 0;
    CHECK(upto <= size);
    for (uint64_t offset = 0; offset < size && status == HF_OK; offset += COPY_BYTES) {
        size_t len = (size_t)(size - offset < COPY_BYTES ? size - offset : COPY_BYTES);
        uint64_t left = offset < upto ? upto - offset : 0;
        size_t wanted = left < len ? (size_t)left : len;
        size_t got = 0;
        memset(repair->buffer, 0, len);
        if (wanted > 0) {
            status = from->ops->read(from, source, repair->buffer, wanted, offset, &got);
        }
        if (status == HF_OK && got != wanted) {
            status = HF_IO_ERROR;
        }
        if (status == HF_OK) {
            status = to->ops->write(to, target, repair->buffer, len, offset);
            written += len;
        }
    }
    CHECK(status != HF_OK || written == size);
    return status == HF_OK ? to->ops->sync(to, target) : status;
}

/* A file into the new directory; upto UINT64_MAX: all of it. */
static enum hf_status copy_file(struct repair *repair, const char *name, uint64_t upto)
{
    struct storage *from = repair->options->from;
    struct storage *to = repair->options->to;
    char temporary[STORAGE_NAME_BYTES_MAX + 8];
    storage_file source;
    storage_file target;
    uint64_t size;
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    enum hf_status status = from->ops->open(from, name, false, &source, &size);
    if (status != HF_OK) {
        return HF_IO_ERROR;
    }
    status = to->ops->create(to, temporary, &target);
    if (status == HF_OK) {
        status = copy_bytes(repair, source, target, upto < size ? upto : size, size);
        to->ops->close(to, target);
    }
    from->ops->close(from, source);
    return status == HF_OK ? to->ops->rename(to, temporary, name) : status;
}

static enum hf_status copy_checkpoints(struct repair *repair)
{
    const struct history_findings *findings = repair->findings;
    enum hf_status status = HF_OK;
    for (size_t i = 0; i < findings->checkpoint_count && status == HF_OK; i++) {
        const struct checkpoint_finding *finding = &findings->checkpoints[i];
        bool needed = !findings->covered.any || finding->number == findings->base;
        if (finding->condition == CHECKPOINT_WHOLE && needed) {
            char name[STORAGE_NAME_BYTES_MAX];
            checkpoint_name(name, finding->number);
            status = copy_file(repair, name, UINT64_MAX);
        }
    }
    return status;
}

/* The good part: whole segments, and the last one up to the cut. */
static enum hf_status copy_segments(struct repair *repair)
{
    const struct wal_end *cut = &repair->cut;
    uint64_t last = cut->segment ? cut->segment : repair->findings->base;
    enum hf_status status = HF_OK;
    for (uint64_t number = repair->first; number != 0 && number <= last && status == HF_OK;
         number++) {
        char name[STORAGE_NAME_BYTES_MAX];
        wal_segment_name(name, number);
        status = copy_file(repair, name, number == cut->segment ? cut->offset : UINT64_MAX);
    }
    if (status == HF_OK && cut->segment) {
        status = open_segment(repair, cut->segment);
        repair->offset = cut->offset;
    }
    return status;
}

/* ---- What comes after the fault ---- */

struct later {
    struct segment_list list;
    size_t position;
    storage_file file; /* -1: none */
    uint64_t size;
    uint64_t offset;
    uint64_t next_index; /* blocks below it have been seen */
    uint64_t begin_segment;
    uint64_t begin_offset;
};

/* A whole block at later->offset? Its padding does not matter. OK, NOT_FOUND, IO_ERROR. */
static enum hf_status block_at(struct repair *repair, struct later *later, struct wal_block *block)
{
    struct storage *from = repair->options->from;
    struct block_header *header = &block->header;
    const char *reason;
    size_t got;
    enum hf_status status =
        from->ops->read(from, later->file, repair->buffer, WAL_PAGE_BYTES, later->offset, &got);
    if (status != HF_OK || got != WAL_PAGE_BYTES ||
        !block_header_decode(header, repair->buffer, &reason)) {
        return status == HF_OK ? HF_NOT_FOUND : HF_IO_ERROR;
    }
    uint64_t span = block_span_bytes(header->payload_bytes);
    CHECK(span <= BLOCK_BYTES); /* block_header_decode() refuses larger ones */
    bool ours = !repair->cluster_known || id_equal(header->cluster, repair->cut.cluster);
    if (!ours || header->segment != later->list.numbers[later->position] ||
        header->index < later->next_index || later->offset + span > later->size) {
        return HF_NOT_FOUND;
    }
    status = from->ops->read(from, later->file, repair->buffer, span, later->offset, &got);
    if (status != HF_OK || got != span) {
        return HF_IO_ERROR;
    }
    block->payload = repair->buffer + BLOCK_HEADER_BYTES;
    if (hash_bytes(block->payload, header->payload_bytes) != header->payload_hash) {
        return HF_NOT_FOUND;
    }
    wal_segment_name(block->file, header->segment);
    block->file_offset = later->offset;
    return HF_OK;
}

/* Opens the segment at the present position, if it is not before the cut. */
static enum hf_status enter_segment(struct repair *repair, struct later *later)
{
    struct storage *from = repair->options->from;
    CHECK(later->position < later->list.count);
    uint64_t number = later->list.numbers[later->position];
    char name[STORAGE_NAME_BYTES_MAX];
    if (number < later->begin_segment) {
        return HF_NOT_FOUND;
    }
    wal_segment_name(name, number);
    later->offset = number == later->begin_segment ? later->begin_offset : WAL_PAGE_BYTES;
    return from->ops->open(from, name, false, &later->file, &later->size) == HF_OK ? HF_OK
                                                                                   : HF_IO_ERROR;
}

/* The next whole block. OK, NOT_FOUND (there are no more), IO_ERROR. */
static enum hf_status later_next(struct repair *repair, struct later *later,
                                 struct wal_block *block)
{
    struct storage *from = repair->options->from;
    while (later->position < later->list.count) {
        enum hf_status status = later->file >= 0 ? HF_OK : enter_segment(repair, later);
        if (status == HF_IO_ERROR) {
            return status;
        }
        while (status == HF_OK && later->offset + WAL_PAGE_BYTES <= later->size) {
            status = block_at(repair, later, block);
            if (status == HF_OK) {
                later->offset += block_span_bytes(block->header.payload_bytes);
                later->next_index = block->header.index + 1;
                return HF_OK;
            }
            later->offset += WAL_PAGE_BYTES;
            status = status == HF_NOT_FOUND ? HF_OK : status;
        }
        if (later->file >= 0) {
            from->ops->close(from, later->file);
            later->file = -1;
        }
        if (status == HF_IO_ERROR) {
            return status;
        }
        later->position++;
    }
    return HF_NOT_FOUND;
}

static void tell_lost(struct repair *repair, const struct event *event,
                      const struct block_header *header, bool misfit)
{
    repair->report->records_lost++;
    if (repair->options->lost) {
        struct event shown = *event;
        event_show_times(&shown, header);
        repair->options->lost(repair->options->context,
                              &(struct history_lost){&shown, header->wall_ms, misfit});
    }
}

/* Each record of a block: kept if it fits, else lost. */
static enum hf_status salvage_records(struct repair *repair, const struct wal_block *block)
{
    struct history_records records = {.block = block};
    uint8_t *payload = repair->out + BLOCK_HEADER_BYTES;
    uint32_t kept_bytes = 0;
    uint32_t kept = 0;
    struct event event;
    const char *reason;
    uint32_t began = 0;
    uint64_t lost_before = repair->report->records_lost;
    while (history_records_next(&records, &event, &reason)) {
        uint32_t bytes = records.offset - began;
        enum hf_status status = HF_DAMAGED;
        if (repair->options->skip) {
            struct event again = event;
            again.lsn = repair->cut.lsn + kept_bytes + bytes;
            status = inventory_apply(repair->replay.inventory, &again);
            repair->replay.digest += status == HF_OK ? again.digest_delta : 0;
        }
        if (status == HF_OK) {
            memcpy(payload + kept_bytes, block->payload + began, bytes);
            kept_bytes += bytes;
            kept++;
        } else if (status == HF_DAMAGED) {
            tell_lost(repair, &event, &block->header, repair->options->skip);
        } else {
            return status;
        }
        began = records.offset;
    }
    CHECK(kept + (repair->report->records_lost - lost_before) == records.count);
    CHECK(kept_bytes <= records.offset);
    repair->report->records_kept += kept;
    return kept ? add_block(repair, BLOCK_DATA, kept, kept_bytes, times_of(&block->header)) : HF_OK;
}

static enum hf_status salvage_block(struct repair *repair, const struct wal_block *block)
{
    const struct block_header *header = &block->header;
    struct history_repair_report *report = repair->report;
    report->blocks_readable++;
    report->last_lsn = header->first_lsn + header->payload_bytes;
    if (!repair->cluster_known) {
        repair->cut.cluster = header->cluster;
        repair->cluster_known = true;
    }
    if (repair->options->skip && header->term > repair->cut.term) {
        repair->cut.term = header->term;
    }
    if (header->type == BLOCK_DATA) {
        return salvage_records(repair, block);
    }
    if (!repair->options->skip) {
        return HF_OK;
    }
    if (header->type == BLOCK_EPOCH) {
        return add_block(repair, BLOCK_EPOCH, 0, 0, times_of(header));
    }
    if (header->type == BLOCK_DIGEST) {
        uint8_t *payload = repair->out + BLOCK_HEADER_BYTES;
        digest_encode(repair->cut.lsn, repair->replay.digest, payload);
        return add_block(repair, BLOCK_DIGEST, 0, DIGEST_PAYLOAD_BYTES, times_of(header));
    }
    return HF_OK; /* a NOOP proves nothing here */
}

static enum hf_status salvage(struct repair *repair)
{
    const struct wal_end *cut = &repair->cut;
    uint64_t missing = cut->next_index;
    struct later later = {.file = -1,
                          .next_index = missing,
                          .begin_segment = cut->segment ? cut->segment : repair->first,
                          .begin_offset = cut->segment ? cut->offset : WAL_PAGE_BYTES};
    if (cut->segment == 0 && repair->findings->base) {
        later.begin_segment = repair->findings->base + 1;
    }
    enum hf_status status = segment_list_read(&later.list, repair->options->from, SEGMENT_LOG);
    struct wal_block block;
    while (status == HF_OK && (status = later_next(repair, &later, &block)) == HF_OK) {
        status = salvage_block(repair, &block);
    }
    if (later.file >= 0) {
        repair->options->from->ops->close(repair->options->from, later.file);
    }
    segment_list_free(&later.list);
    repair->report->blocks_unreadable =
        later.next_index - missing - repair->report->blocks_readable;
    return status == HF_NOT_FOUND ? HF_OK : status;
}

/* ---- The state before the fault ---- */

static enum hf_status build_state(struct repair *repair)
{
    struct storage *from = repair->options->from;
    uint64_t base = repair->findings->base;
    struct inventory_options sizes;
    struct wal_reader *reader;
    struct wal_block block;
    enum hf_status status = history_replay_sizes(from, &sizes);
    if (status == HF_OK) {
        status = history_replay_begin(&repair->replay, from, base, &sizes);
    }
    if (status == HF_OK) {
        status = wal_reader_open_at(&reader, from, base ? &repair->replay.start : NULL, 0);
    }
    if (status != HF_OK) {
        return status;
    }
    while ((status = wal_reader_next(reader, &block)) == HF_OK &&
           block.header.index < repair->cut.next_index) {
        status = history_replay_block(&repair->replay, &block);
        if (status != HF_OK) {
            break;
        }
    }
    wal_reader_close(reader);
    return status == HF_NOT_FOUND ? HF_OK : status;
}

static void count_short_items(struct repair *repair)
{
    struct inventory *inventory = repair->replay.inventory;
    struct item_view view;
    for (uint32_t item = 1; inventory_item(inventory, item, &view) == HF_OK; item++) {
        repair->report->items_short += view.stock.available < 0;
    }
}

/* ---- All of it ---- */

static enum hf_status find_segment_bytes(struct repair *repair)
{
    struct segment_list list;
    struct storage *from = repair->options->from;
    enum hf_status status = segment_list_read(&list, from, SEGMENT_LOG);
    repair->segment_bytes = WAL_SEGMENT_BYTES_DEFAULT;
    for (size_t i = 0; i < list.count && status == HF_OK; i++) {
        char name[STORAGE_NAME_BYTES_MAX];
        storage_file file;
        uint64_t size;
        wal_segment_name(name, list.numbers[i]);
        status = from->ops->open(from, name, false, &file, &size);
        if (status == HF_OK) {
            from->ops->close(from, file);
            bool sound = size >= 2 * WAL_PAGE_BYTES && size <= WAL_SEGMENT_BYTES_MAX &&
                         size % WAL_PAGE_BYTES == 0;
            repair->segment_bytes = sound ? size : repair->segment_bytes;
        }
        if (list.numbers[i] == repair->cut.segment) {
            break;
        }
    }
    segment_list_free(&list);
    return status;
}

static enum hf_status run(struct repair *repair)
{
    const struct history_repair_options *options = repair->options;
    struct history_repair_report *report = repair->report;
    enum hf_status status = find_segment_bytes(repair);
    if (status == HF_OK && options->skip && report->has_fault) {
        status = build_state(repair);
    }
    if (status == HF_OK && options->to) {
        status = copy_checkpoints(repair);
        if (status == HF_OK) {
            status = copy_segments(repair);
        }
    }
    if (status == HF_OK && report->has_fault) {
        status = salvage(repair);
    }
    /* There must be a block after a checkpoint. */
    if (status == HF_OK && report->base && repair->cut.segment == 0) {
        const struct wal_end *cut = &repair->cut;
        status =
            add_block(repair, BLOCK_NOOP, 0, 0,
                      (struct block_times){cut->wall_ms, cut->engine_ms, cut->boot_ms, cut->boot});
    }
    if (status == HF_OK && options->skip && report->has_fault) {
        count_short_items(repair);
    }
    if (status == HF_OK && report->has_fault && report->base == 0 && repair->cut.next_index == 1 &&
        report->records_kept == 0) {
        not_possible(report,
                     "the damage is at the log's very beginning, and nothing after it can be "
                     "kept: nothing would be left");
    }
    report->new_lsn = repair->cut.lsn;
    enum hf_status closed = options->to ? close_segment(repair) : HF_OK;
    return status == HF_OK ? closed : status;
}

enum hf_status history_repair(const struct history_repair_options *options,
                              const struct history_findings *findings,
                              struct history_repair_report *report)
{
    struct repair repair = {.options = options, .findings = findings, .report = report, .file = -1};
    *report = (struct history_repair_report){0};
    plan(&repair);
    if (!report->needed || !report->possible) {
        return HF_OK;
    }
    size_t bytes = 2 * BLOCK_BYTES + WAL_PAGE_BYTES;
    repair.buffer = pages_map_buffer(bytes);
    if (!repair.buffer) {
        return HF_NO_MEMORY;
    }
    repair.out = repair.buffer + BLOCK_BYTES;
    enum hf_status status = run(&repair);
    CHECK(repair.file < 0);
    if (repair.replay.inventory) {
        history_replay_end(&repair.replay);
    }
    pages_unmap(repair.buffer, bytes);
    return status;
}
