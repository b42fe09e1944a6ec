/* catalogue.c - what a log folder's names prove.
 *
 * Threads: one. */
#include "wal/catalogue.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "wal/format.h"

enum hf_status catalogue_read(struct catalogue *catalogue, struct storage *storage)
{
    *catalogue = (struct catalogue){0};
    /* The log's segments last: what the others prove was there before them. */
    enum hf_status status = segment_list_read(&catalogue->begun, storage, SEGMENT_BEGUN);
    if (status == HF_OK) {
        status = segment_list_read(&catalogue->checkpoints, storage, SEGMENT_CHECKPOINT);
    }
    if (status == HF_OK) {
        status = segment_list_read(&catalogue->spares, storage, SEGMENT_SPARE);
    }
    if (status == HF_OK) {
        status = segment_list_read(&catalogue->segments, storage, SEGMENT_LOG);
    }
    if (status != HF_OK) {
        catalogue_free(catalogue);
    }
    return status;
}

void catalogue_free(struct catalogue *catalogue)
{
    segment_list_free(&catalogue->segments);
    segment_list_free(&catalogue->spares);
    segment_list_free(&catalogue->checkpoints);
    segment_list_free(&catalogue->begun);
}

/* ---- Numbers ---- */

bool catalogue_gap(const struct catalogue *catalogue, uint64_t from, uint64_t upto,
                   struct catalogue_fault *fault)
{
    const struct segment_list *list = &catalogue->segments;
    *fault = (struct catalogue_fault){0};
    uint64_t expected = from;
    for (size_t i = 0; i < list->count && expected <= upto; i++) {
        uint64_t number = list->numbers[i];
        if (number < from) {
            continue;
        }
        if (expected != 0 && number != expected) {
            char proof[STORAGE_NAME_BYTES_MAX];
            segment_name(proof, SEGMENT_LOG, number);
            fault->any = true;
            fault->segment = expected;
            segment_name(fault->file, SEGMENT_LOG, expected);
            snprintf(fault->reason, sizeof fault->reason,
                     "segment %llu is missing: %s is there and proves that it existed",
                     (unsigned long long)expected, proof);
            return true;
        }
        expected = number + 1;
    }
    return false;
}

static bool in_list(const struct segment_list *list, uint64_t number)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->numbers[i] == number) {
            return true;
        }
    }
    return false;
}

static uint64_t greatest(const struct segment_list *list)
{
    return list->count > 0 ? list->numbers[list->count - 1] : 0;
}

/* Segment `number` must hold a block, for a file of a kind and a number is there. */
static void too_short(const struct catalogue *catalogue, uint64_t number, enum segment_kind kind,
                      uint64_t proof_number, struct catalogue_fault *fault)
{
    char proof[STORAGE_NAME_BYTES_MAX];
    segment_name(proof, kind, proof_number);
    fault->any = true;
    fault->segment = number;
    segment_name(fault->file, SEGMENT_LOG, number);
    bool there = in_list(&catalogue->segments, number);
    snprintf(fault->reason, sizeof fault->reason, "segment %llu %s: %s is there and proves that %s",
             (unsigned long long)number, there ? "holds no block of it" : "is missing", proof,
             there ? "it did" : "it existed");
}

bool catalogue_short(const struct catalogue *catalogue, uint64_t last,
                     struct catalogue_fault *fault)
{
    *fault = (struct catalogue_fault){0};
    uint64_t begun = greatest(&catalogue->begun);
    uint64_t checkpoint = greatest(&catalogue->checkpoints);
    uint64_t spare = greatest(&catalogue->spares);
    if (begun > last) {
        too_short(catalogue, begun, SEGMENT_BEGUN, begun, fault);
    } else if (checkpoint >= last && checkpoint > 0) {
        too_short(catalogue, checkpoint + 1, SEGMENT_CHECKPOINT, checkpoint, fault);
    } else if (spare >= last && spare > 0) {
        too_short(catalogue, spare + 1, SEGMENT_SPARE, spare, fault);
    }
    return fault->any;
}

/* ---- First pages ---- */

/* What is wrong with the file of segment `number`, as far as its first page and its size tell.
 * NULL: nothing. */
static const char *head_fault(struct storage *storage, uint64_t number, uint8_t *page)
{
    char name[STORAGE_NAME_BYTES_MAX];
    storage_file file;
    uint64_t size;
    size_t got = 0;
    struct segment_header header;
    const char *reason = NULL;
    segment_name(name, SEGMENT_LOG, number);
    enum hf_status status = storage->ops->open(storage, name, false, &file, &size);
    if (status != HF_OK) {
        return storage_reason(status);
    }
    status = storage->ops->read(storage, file, page, WAL_PAGE_BYTES, 0, &got);
    storage->ops->close(storage, file);
    if (status != HF_OK) {
        return storage_reason(status);
    }
    if (got < WAL_PAGE_BYTES) {
        return "the file is shorter than a page";
    }
    if (!segment_header_decode(&header, page, &reason)) {
        return reason;
    }
    if (header.number != number) {
        return "the segment header has another number than the file's name";
    }
    return header.segment_bytes == size ? NULL
                                        : "the file has another size than its segment header says";
}

enum hf_status catalogue_covered(const struct catalogue *catalogue, struct storage *storage,
                                 uint64_t base, struct catalogue_fault *fault)
{
    *fault = (struct catalogue_fault){0};
    uint8_t *page = aligned_alloc(WAL_PAGE_BYTES, WAL_PAGE_BYTES);
    if (!page) {
        return HF_NO_MEMORY;
    }
    const struct segment_list *list = &catalogue->segments;
    for (size_t i = 0; i < list->count && list->numbers[i] <= base && !fault->any; i++) {
        const char *reason = head_fault(storage, list->numbers[i], page);
        if (reason) {
            fault->any = true;
            fault->segment = list->numbers[i];
            segment_name(fault->file, SEGMENT_LOG, list->numbers[i]);
            snprintf(fault->reason, sizeof fault->reason, "%s", reason);
        }
    }
    free(page);
    return HF_OK;
}

/* The cluster that the first page of a file names. */
static bool page_cluster(enum segment_kind kind, const uint8_t *page, struct id128 *cluster)
{
    const char *reason;
    if (kind == SEGMENT_CHECKPOINT) {
        return checkpoint_cluster_decode(cluster, page, &reason);
    }
    struct segment_header header;
    bool whole = segment_header_decode(&header, page, &reason);
    *cluster = header.cluster;
    return whole;
}

/* Of the files of a kind, the first whose first page is another log's. */
static void find_foreign(const struct segment_list *list, enum segment_kind kind,
                         struct storage *storage, struct id128 cluster, uint8_t *page,
                         struct catalogue_fault *fault)
{
    for (size_t i = 0; i < list->count && !fault->any; i++) {
        char name[STORAGE_NAME_BYTES_MAX];
        storage_file file;
        uint64_t size;
        size_t got = 0;
        struct id128 found;
        segment_name(name, kind, list->numbers[i]);
        if (storage->ops->open(storage, name, false, &file, &size) != HF_OK) {
            continue;
        }
        enum hf_status status = storage->ops->read(storage, file, page, WAL_PAGE_BYTES, 0, &got);
        storage->ops->close(storage, file);
        if (status == HF_OK && got == WAL_PAGE_BYTES && page_cluster(kind, page, &found) &&
            !id_equal(found, cluster)) {
            fault->any = true;
            segment_name(fault->file, kind, list->numbers[i]);
            snprintf(fault->reason, sizeof fault->reason,
                     "this belongs to another log (another cluster id): take it away");
        }
    }
}

enum hf_status catalogue_foreign(const struct catalogue *catalogue, struct storage *storage,
                                 struct id128 cluster, struct catalogue_fault *fault)
{
    *fault = (struct catalogue_fault){0};
    uint8_t *page = aligned_alloc(WAL_PAGE_BYTES, WAL_PAGE_BYTES);
    if (!page) {
        return HF_NO_MEMORY;
    }
    find_foreign(&catalogue->checkpoints, SEGMENT_CHECKPOINT, storage, cluster, page, fault);
    find_foreign(&catalogue->spares, SEGMENT_SPARE, storage, cluster, page, fault);
    find_foreign(&catalogue->segments, SEGMENT_LOG, storage, cluster, page, fault);
    free(page);
    return HF_OK;
}
