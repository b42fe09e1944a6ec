/* tail.c - the log's end: clean, torn or damaged?
 *
 * The block that should come next (the missing one) is not there. All that lies after is looked
 * through, page by page, for headers of this log:
 *   - one that says (durable_index) that the missing block was durable when it was written: damage.
 *     A header proves that by itself, its payload may be torn.
 *   - one that does not say so, or bytes that no earlier life of the file explains: a torn tail.
 *   - neither: the log ends cleanly.
 * And the names of the folder's files may prove that a segment held more than there is: damage, too
 * (catalogue.h).
 * A payload can't hold a false header at a page's start: a caller chooses at most 24 bytes in a
 * row of it (ids), or UTF-8 without NUL (texts), and a header has neither form.
 *
 * Threads: one. */
#include "wal/tail.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/catalogue.h"
#include "wal/reader_private.h"

#define LOOK_AGAIN_NS 20000000L /* a block is written in a few of a disk's writes */

/* What was found after the log's end. */
struct tail {
    uint64_t missing_index;
    bool current;  /* something of this log's present life, that proves nothing */
    bool stray;    /* bytes that nothing explains */
    bool evidence; /* something that proves a block after the end */
    uint64_t evidence_index;
    uint64_t evidence_segment;
    uint64_t evidence_offset;
    const char *evidence_reason; /* what is wrong with it itself; NULL: nothing */
    uint64_t torn_bytes;
    struct catalogue_fault names; /* what the files' names prove */
};

static void found_evidence(struct tail *tail, const struct wal_reader *reader, uint64_t offset,
                           uint64_t index, const char *reason)
{
    CHECK(reader->position < reader->segments.count);
    if (!tail->evidence) {
        tail->evidence = true;
        tail->evidence_index = index;
        tail->evidence_segment = reader->segments.numbers[reader->position];
        tail->evidence_offset = offset;
        tail->evidence_reason = reason;
    }
}

/* A file of another log lies among this one's: an operator's mistake, and nothing to write over.
 * Files are only ever recycled within one log. */
static const char another_log[] = "this belongs to another log (another cluster id)";

static bool foreign(const struct wal_reader *reader, struct id128 cluster)
{
    return reader->cluster_known && !id_equal(cluster, reader->end.cluster);
}

/* Looks at the first page of a segment. True when it is from the file's earlier life. */
static bool check_segment_header(struct wal_reader *reader, struct tail *tail, const uint8_t *page)
{
    struct segment_header header;
    const char *reason;
    if (!segment_header_intact(page)) {
        return false;
    }
    if (!segment_header_decode(&header, page, &reason)) {
        found_evidence(tail, reader, 0, 0, reason);
        return false;
    }
    uint64_t number = reader->segments.numbers[reader->position];
    if (foreign(reader, header.cluster)) {
        found_evidence(tail, reader, 0, 0, another_log);
        return false;
    }
    if (header.number < number) {
        return true;
    }
    tail->current = true;
    if (header.number > number) {
        found_evidence(tail, reader, 0, header.durable_index,
                       "the segment header has another number than the file's name");
    } else if (header.segment_bytes != reader->file_bytes) {
        found_evidence(tail, reader, 0, header.durable_index,
                       "the file has another size than its segment header says");
    } else if (!reader->cluster_known) {
        found_evidence(tail, reader, 0, header.durable_index, reader->bad_reason);
    } else if (header.durable_index >= tail->missing_index) {
        found_evidence(tail, reader, 0, header.durable_index, NULL);
    }
    return false;
}

/* Looks at a page that a block may begin on. True when it is from the file's earlier life. */
static bool check_block_header(struct wal_reader *reader, struct tail *tail, uint64_t offset,
                               const uint8_t *page)
{
    struct block_header header;
    const char *reason;
    if (!block_header_intact(page)) {
        return false;
    }
    if (!block_header_decode(&header, page, &reason)) {
        found_evidence(tail, reader, offset, 0, reason);
        return false;
    }
    if (foreign(reader, header.cluster)) {
        found_evidence(tail, reader, offset, 0, another_log);
        return false;
    }
    if (header.index < tail->missing_index) {
        return true;
    }
    tail->current = true;
    if (header.durable_index >= tail->missing_index) {
        found_evidence(tail, reader, offset, header.index, NULL);
    }
    return false;
}

/* A segment's file gets its name when all of it is there. */
static bool size_possible(uint64_t bytes)
{
    return bytes >= 2 * WAL_PAGE_BYTES && bytes % WAL_PAGE_BYTES == 0;
}

/* Looks through one segment from an offset on. */
static enum hf_status search_segment(struct wal_reader *reader, struct tail *tail, size_t position,
                                     uint64_t from)
{
    CHECK(from % WAL_PAGE_BYTES == 0);
    enum hf_status status = reader_open_segment(reader, position);
    if (status != HF_OK) {
        return status;
    }
    if (!size_possible(reader->file_bytes)) {
        found_evidence(tail, reader, 0, 0,
                       "the file is cut short: a segment's file gets its name when it is whole");
    }
    bool earlier_life = from > 0 && reader->end_recycled;
    uint64_t used_end = from;
    for (uint64_t offset = from; offset < reader->file_bytes; offset += WAL_PAGE_BYTES) {
        const uint8_t *page;
        status = reader_need(reader, offset, WAL_PAGE_BYTES, &page);
        if (status != HF_OK) {
            return status;
        }
        if (!page) {
            break; /* less than a page is left: nothing of ours */
        }
        if (bytes_all_zero(page, WAL_PAGE_BYTES)) {
            continue;
        }
        size_t used = WAL_PAGE_BYTES;
        while (page[used - 1] == 0) {
            used--;
        }
        used_end = offset + used;
        if (offset == 0 ? check_segment_header(reader, tail, page)
                        : check_block_header(reader, tail, offset, page)) {
            earlier_life = true;
        }
        /* A block was begun just here, and its header is broken. */
        if (offset == from && from > 0 && memcmp(page, "HFWALBLK", 8) == 0 &&
            !block_header_intact(page)) {
            tail->current = true;
        }
    }
    CHECK(used_end >= from);
    tail->torn_bytes += used_end - from;
    tail->stray |= used_end > from && !earlier_life;
    return HF_OK;
}

/* Looks through all that lies after the log's end. */
static enum hf_status search_after_end(struct wal_reader *reader, struct tail *tail)
{
    const struct wal_end *end = &reader->end;
    bool any_block = end->segment != 0;
    size_t position = 0;
    while (any_block && reader->segments.numbers[position] != end->segment) {
        position++;
        CHECK(position < reader->segments.count);
    }
    enum hf_status status = search_segment(reader, tail, position, any_block ? end->offset : 0);
    for (position++; position < reader->segments.count && status == HF_OK; position++) {
        status = search_segment(reader, tail, position, 0);
    }
    return status;
}

/* Checks the files' names. Those before the start, or after where reading stops, are not
 * asked: who reads just a part need not have the rest. */
static enum hf_status check_segment_names(const struct wal_reader *reader, struct tail *tail)
{
    struct catalogue catalogue;
    enum hf_status status = catalogue_read(&catalogue, reader->storage);
    if (status != HF_OK) {
        return status;
    }
    bool to_the_end = reader->last_segment == 0;
    uint64_t last = reader->end.segment;
    if (last == 0 && reader->start_segment != 0) {
        last = reader->start_segment - 1;
    }
    if (!catalogue_gap(&catalogue, reader->start_segment,
                       to_the_end ? UINT64_MAX : reader->last_segment, &tail->names) &&
        to_the_end && !catalogue_short(&catalogue, last, &tail->names) && reader->cluster_known) {
        status = catalogue_foreign(&catalogue, reader->storage, reader->end.cluster, &tail->names);
    }
    catalogue_free(&catalogue);
    return status;
}

/* Fills in where the damage is: what comes first. */
static void tell_damage(struct wal_reader *reader, const struct tail *tail)
{
    struct wal_end *end = &reader->end;
    end->damaged = true;
    end->valid_after_index = tail->evidence_index;
    const char *reason = reader->bad_reason;
    memcpy(end->file, reader->bad_file, sizeof end->file);
    end->file_offset = reader->bad_offset;
    if (tail->names.any && (!tail->evidence || (tail->names.segment != 0 &&
                                                tail->evidence_segment > tail->names.segment))) {
        memcpy(end->file, tail->names.file, sizeof end->file);
        end->file_offset = 0;
        reason = tail->names.reason;
    } else if (tail->evidence_reason) {
        segment_name(end->file, SEGMENT_LOG, tail->evidence_segment);
        end->file_offset = tail->evidence_offset;
        reason = tail->evidence_reason;
    } else if (reader->next_reason && tail->evidence_segment == end->segment + 1 &&
               tail->evidence_offset > 0 && tail->evidence_index > tail->missing_index) {
        /* Nothing is wrong up to the next segment, whose header was not accepted. */
        segment_name(end->file, SEGMENT_LOG, end->segment + 1);
        end->file_offset = 0;
        reason = reader->next_reason;
    }
    snprintf(end->reason, sizeof end->reason, "%s", reason);
}

enum hf_status reader_start_again(struct wal_reader *reader)
{
    reader_close_segment(reader);
    reader_read_small(reader);
    enum hf_status status = reader_list_segments(reader);
    if (status != HF_OK || reader->end.segment == 0) {
        return status;
    }
    for (size_t i = 0; i < reader->segments.count; i++) {
        if (reader->segments.numbers[i] == reader->end.segment) {
            status = reader_open_segment(reader, i);
            reader->offset = reader->end.offset;
            reader->recycled = reader->end_recycled;
            return status;
        }
    }
    return HF_CANCELED; /* released while we read it: the caller is too slow */
}

static void tell_torn(struct wal_reader *reader, const struct tail *tail)
{
    struct wal_end *end = &reader->end;
    CHECK(!end->damaged);
    CHECK(reader->bad_reason != NULL);
    end->torn = true;
    end->torn_bytes = tail->torn_bytes;
    memcpy(end->file, reader->bad_file, sizeof end->file);
    end->file_offset = reader->bad_offset;
    snprintf(end->reason, sizeof end->reason, "%s", reader->bad_reason);
}

static void tell_missing(struct wal_reader *reader, uint64_t segment, const char *reason)
{
    struct wal_end *end = &reader->end;
    end->damaged = true;
    end->torn = false;
    segment_name(end->file, SEGMENT_LOG, segment);
    end->file_offset = 0;
    snprintf(end->reason, sizeof end->reason, "%s", reason);
}

/* True when the segment's header says that it continues just where reading ended. */
static bool goes_on(struct wal_reader *reader, uint64_t number)
{
    const struct storage_ops *ops = reader->storage->ops;
    char name[STORAGE_NAME_BYTES_MAX];
    storage_file file;
    uint64_t size;
    segment_name(name, SEGMENT_LOG, number);
    if (ops->open(reader->storage, name, false, &file, &size) != HF_OK) {
        return false;
    }
    size_t got;
    struct segment_header header;
    const char *reason;
    enum hf_status status =
        ops->read(reader->storage, file, reader->buffer, WAL_PAGE_BYTES, 0, &got);
    ops->close(reader->storage, file);
    return status == HF_OK && got == WAL_PAGE_BYTES &&
           segment_header_decode(&header, reader->buffer, &reason) && header.number == number &&
           id_equal(header.cluster, reader->end.cluster) &&
           header.first_index == reader->end.next_index &&
           header.previous_hash == reader->end.previous_hash;
}

/* Where reading began after a checkpoint, there is a block: a segment is covered only once the
 * next one holds a durable block. And where it stops at a sealed segment's end, the next one goes
 * on. */
static void check_bounds(struct wal_reader *reader)
{
    const struct wal_end *end = &reader->end;
    if (reader->start_segment != 0 && end->segment == 0) {
        tell_missing(reader, reader->start_segment,
                     "the log does not continue where the checkpoint ends");
    } else if (reader->last_segment != 0 &&
               (end->segment != reader->last_segment || !goes_on(reader, end->segment + 1))) {
        tell_missing(reader, reader->last_segment,
                     "the segment ends before the next one continues");
    }
}

enum hf_status reader_conclude(struct wal_reader *reader, bool *again)
{
    struct wal_end *end = &reader->end;
    struct tail tail = {.missing_index = end->next_index};
    *again = false;
    CHECK(!reader->ended);
    CHECK(!end->torn && !end->damaged);
    /* The names first: what they prove, beside a running engine, is there when it is looked for. */
    enum hf_status status = check_segment_names(reader, &tail);
    if (status == HF_OK && reader->segments.count > 0) {
        reader_read_small(reader);
        reader->searching = true;
        status = search_after_end(reader, &tail);
        reader->searching = false;
    }
    if (status != HF_OK) {
        return status;
    }
    /* Only the log's very first segment may hold nothing: the engine was stopped while making it.
     */
    if (end->segment == 0 && reader->start_segment == 0 && reader->segments.count > 0 &&
        reader->segments.numbers[0] != 1) {
        found_evidence(&tail, reader, 0, 0, NULL);
        tail.names.any = false;
    }
    bool damaged = tail.evidence || tail.names.any;
    if (damaged && reader->retried_index != tail.missing_index) {
        /* An engine may have written it while we read: then it is there now. */
        reader->retried_index = tail.missing_index;
        *again = true;
        status = reader_start_again(reader);
        return status == HF_CANCELED ? HF_IO_ERROR : status;
    }
    if (!damaged && (tail.current || tail.stray) && reader->looks_left > 0) {
        reader->looks_left--;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_NS}, NULL);
        *again = true;
        status = reader_start_again(reader);
        return status == HF_CANCELED ? HF_IO_ERROR : status;
    }
    reader->ended = true;
    reader_close_segment(reader);
    if (damaged) {
        tell_damage(reader, &tail);
    } else if (tail.current || tail.stray) {
        tell_torn(reader, &tail);
    }
    if (!end->damaged) {
        check_bounds(reader);
    }
    if (end->segment == 0 && !end->damaged) {
        end->empty = true;
        end->cluster = (struct id128){0, 0};
        end->next_index = 1;
    }
    CHECK(!(end->torn && end->damaged));
    CHECK(!(end->empty && end->damaged));
    return HF_OK;
}

const char *wal_cluster_fault(const struct wal_end *end, struct id128 cluster)
{
    if (end->empty) {
        return "the log is empty, but CLUSTER in the data directory says that there was one: is "
               "its "
               "disk mounted? Without CLUSTER an engine begins a new log";
    }
    if (id_is_nil(end->cluster)) {
        return NULL; /* damage hides which log it is */
    }
    return id_equal(end->cluster, cluster)
               ? NULL
               : "this is another log than CLUSTER in the data directory says: put the right one "
                 "back. Without CLUSTER an engine takes this one";
}

enum hf_status wal_check_covered(struct storage *storage, uint64_t base, struct wal_end *fault)
{
    struct catalogue catalogue;
    struct catalogue_fault found;
    *fault = (struct wal_end){0};
    enum hf_status status = catalogue_read(&catalogue, storage);
    if (status != HF_OK) {
        return status;
    }
    fault->damaged = catalogue_gap(&catalogue, 0, base, &found);
    if (!fault->damaged) {
        status = catalogue_covered(&catalogue, storage, base, &found);
        fault->torn = status == HF_OK && found.any;
    }
    memcpy(fault->file, found.file, sizeof fault->file);
    snprintf(fault->reason, sizeof fault->reason, "%s", found.reason);
    catalogue_free(&catalogue);
    return status;
}
