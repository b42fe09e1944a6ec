/* segments.c - the segment that is written, those prepared to follow it, and those released.
 *
 * A segment to come bears its final name before it is used, so that continuing to it costs no
 * system call but the write itself: the first block goes in one write with the segment's header,
 * and that write begins the segment. Until then the file holds zeros, or an earlier life.
 *
 * The name begun-N.mark says which segment is the last that holds a durable block: should its file
 * get lost, together with all that were prepared after it, the log would look whole without it.
 * The mark follows its segment by some milliseconds and never precedes it.
 *
 * Threads: the writer makes room; one preparer makes segments; one checkpointer gives them back.
 * segments.mutex guards the lists. */
#include "wal/segments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/diag.h"
#include "wal/segment.h"
#include "wal/wal_private.h"

/* ---- The writer's side ---- */

uint64_t wal_groups_in(const struct wal *wal, uint64_t bytes)
{
    return bytes / block_span_bytes(wal->options.group_bytes);
}

static bool room_is_there(const struct wal *wal, uint64_t groups)
{
    /* relaxed: see wal_admit. */
    uint64_t room = atomic_load_explicit(&wal->segments.room_groups, memory_order_relaxed);
    unsigned ready = atomic_load_explicit(&wal->segments.ready, memory_order_relaxed);
    return room + ready * wal->segment_groups >= groups;
}

bool wal_segment_room_suffices(const struct wal *wal)
{
    /* relaxed: see wal_admit. */
    uint64_t filling = atomic_load_explicit(&wal->append.filling, memory_order_relaxed);
    /* acquire: pairs with the release in the writer's submit(). The room is then what a group left
     * that is not counted as waiting any more. */
    uint64_t sealed = atomic_load_explicit(&wal->segments.sealed, memory_order_acquire);
    uint64_t waiting = filling > sealed ? filling - sealed : 0; /* `sealed` may be newer */
    return room_is_there(wal, waiting + wal->reserve_groups);
}

bool wal_segment_room_is_ample(const struct wal *wal)
{
    return room_is_there(wal, WAL_GROUPS + wal->reserve_groups);
}

/* Goes on to the next segment. BUSY when none is ready. */
static enum hf_status begin_next(struct wal *wal)
{
    struct segments *segments = &wal->segments;
    struct writer *writer = &wal->writer;
    pthread_mutex_lock(&segments->mutex);
    if (segments->prepared_count == 0) {
        pthread_mutex_unlock(&segments->mutex);
        return HF_BUSY;
    }
    struct prepared_segment next = segments->prepared[0];
    segments->prepared_count--;
    for (unsigned i = 0; i < segments->prepared_count; i++) {
        segments->prepared[i] = segments->prepared[i + 1];
    }
    /* wal_segment_prepare has made room. */
    CHECK(segments->begun_count < segments->begun_room);
    CHECK(segments->begun_count == 0 || segments->begun[segments->begun_count - 1] < next.number);
    segments->begun[segments->begun_count++] = next.number;
    unsigned ready = segments->prepared_count;
    pthread_mutex_unlock(&segments->mutex);

    CHECK(next.number == writer->segment + 1);
    if (writer->file >= 0) {
        CHECK(writer->retired_count < WAL_GROUPS + 1);
        writer->retired[writer->retired_count++] =
            (struct prepared_segment){writer->file, writer->segment, writer->recycled};
    }
    writer->file = next.file;
    writer->segment = next.number;
    writer->segment_bytes = wal->options.segment_bytes;
    writer->recycled = next.recycled;
    writer->offset = 0;
    /* relaxed: hints for wal_admit; the room first, so that it never looks as if both were gone. */
    atomic_store_explicit(&segments->room_groups, wal->segment_groups, memory_order_relaxed);
    atomic_store_explicit(&segments->ready, ready, memory_order_relaxed);
    atomic_fetch_add_explicit(&wal->stats.segments, 1, memory_order_relaxed);
    wal_sleep_wake(&wal->prepare_sleep);
    return HF_OK;
}

enum hf_status wal_segment_make_room(struct wal *wal, uint64_t span_bytes)
{
    struct writer *writer = &wal->writer;
    CHECK(span_bytes % WAL_PAGE_BYTES == 0);
    uint64_t offset = writer->offset ? writer->offset : WAL_PAGE_BYTES;
    if (writer->file >= 0 && offset + span_bytes <= writer->segment_bytes) {
        return HF_OK;
    }
    enum hf_status status = begin_next(wal);
    if (status == HF_BUSY && !wal->started) {
        status = wal_segment_prepare(wal); /* nobody else will */
        if (status == HF_OK) {
            status = begin_next(wal);
        }
    }
    /* Where no segment can be made, what was admitted waits until one can, as long as it takes; it
     * has not been acknowledged. Only who stops the log can't wait. */
    bool stuck =
        status == HF_NO_SPACE || (status == HF_BUSY &&
                                  /* relaxed: set by the preparer before it wakes the writer. */
                                  atomic_load_explicit(&wal->segments.stuck, memory_order_relaxed));
    if (!stuck) {
        return status;
    }
    /* acquire: pairs with the release in wal_stop. */
    return atomic_load_explicit(&wal->stopping, memory_order_acquire) ? HF_NO_SPACE : HF_BUSY;
}

void wal_segment_retire(struct wal *wal, uint64_t durable_number)
{
    struct writer *writer = &wal->writer;
    CHECK(durable_number <= writer->segment);
    /* relaxed: wal_recycle may see it late. */
    atomic_store_explicit(&wal->segments.durable_number, durable_number, memory_order_relaxed);
    unsigned gone = 0;
    while (gone < writer->retired_count && writer->retired[gone].number < durable_number) {
        wal->storage->ops->close(wal->storage, writer->retired[gone].file);
        gone++;
    }
    writer->retired_count -= gone;
    for (unsigned i = 0; gone > 0 && i < writer->retired_count; i++) {
        writer->retired[i] = writer->retired[i + gone];
    }
}

/* ---- The preparer's side ---- */

/* Room for `needed` numbers. */
static bool numbers_reserve(uint64_t **numbers, size_t *room, size_t needed)
{
    if (needed <= *room) {
        return true;
    }
    uint64_t *grown = realloc(*numbers, (2 * needed + 16) * sizeof *grown);
    if (!grown) {
        return false;
    }
    *numbers = grown;
    *room = 2 * needed + 16;
    CHECK(*room > needed);
    return true;
}

/* Room in the list of begun segments for all that are prepared and one more. mutex is held. */
static bool reserve_begun(struct segments *segments)
{
    return numbers_reserve(&segments->begun, &segments->begun_room,
                           segments->begun_count + segments->prepared_count + 1);
}

/* A spare file's number, if there are that many. Only the preparer takes numbers out of the list,
 * and others come after them: so what is at a place stays there meanwhile. */
static bool spare_at(struct segments *segments, size_t place, uint64_t *number)
{
    pthread_mutex_lock(&segments->mutex);
    bool any = place < segments->spare_count;
    *number = any ? segments->spares[place] : 0;
    pthread_mutex_unlock(&segments->mutex);
    return any;
}

static void forget_spare(struct segments *segments, size_t place)
{
    pthread_mutex_lock(&segments->mutex);
    CHECK(place < segments->spare_count);
    segments->spare_count--;
    for (size_t i = place; i < segments->spare_count; i++) {
        segments->spares[i] = segments->spares[i + 1];
    }
    pthread_mutex_unlock(&segments->mutex);
}

/* A spare file becomes the segment `name`. OK, with the file open; NOT_FOUND: it is of no use (of
 * another size, or gone) and is no more; else it stays a spare. */
static enum hf_status use_spare(struct wal *wal, uint64_t spare, const char *name,
                                storage_file *file)
{
    const struct storage_ops *ops = wal->storage->ops;
    char spare_name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    segment_name(spare_name, SEGMENT_SPARE, spare);
    enum hf_status status = ops->open(wal->storage, spare_name, true, file, &size);
    if (status != HF_OK) {
        return status;
    }
    bool fits = size == wal->options.segment_bytes;
    status =
        fits ? ops->rename(wal->storage, spare_name, name) : ops->unlink(wal->storage, spare_name);
    if (fits && status == HF_OK) {
        return HF_OK;
    }
    ops->close(wal->storage, *file);
    return status == HF_OK ? HF_NOT_FOUND : status;
}

/* Any spare that can be used. One that can't be opened or renamed stays in the list for the next
 * time; after SPARE_FAILURES_MAX of them a new file is made, and the next time begins with others.
 * OK, NOT_FOUND. */
#define SPARE_FAILURES_MAX 2u

static enum hf_status use_any_spare(struct wal *wal, const char *name, storage_file *file)
{
    struct segments *segments = &wal->segments;
    uint64_t spare;
    unsigned failures = 0;
    size_t place = segments->spare_first;
    if (!spare_at(segments, place, &spare)) {
        place = segments->spare_first = 0;
    }
    while (failures < SPARE_FAILURES_MAX && spare_at(segments, place, &spare)) {
        enum hf_status status = use_spare(wal, spare, name, file);
        if (status == HF_OK || status == HF_NOT_FOUND) {
            forget_spare(segments, place);
        } else {
            segments->spare_first = ++place;
            failures++;
        }
        if (status == HF_OK) {
            return HF_OK;
        }
    }
    return HF_NOT_FOUND;
}

/* Makes the file of a segment to come, and opens it. A file that was made and could not be opened
 * is there the next time. */
static enum hf_status make_segment(struct wal *wal, uint64_t number, storage_file *file,
                                   bool *recycled)
{
    const struct storage_ops *ops = wal->storage->ops;
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t size;
    enum hf_status status = HF_OK;
    segment_name(name, SEGMENT_LOG, number);
    if (wal->segments.made != number) {
        status = use_any_spare(wal, name, file);
        *recycled = status == HF_OK;
        if (status != HF_NOT_FOUND) {
            return status;
        }
        status = ops->create_zeroed(wal->storage, name, wal->options.segment_bytes);
    }
    if (status != HF_OK) {
        return status;
    }
    wal->segments.made = number;
    status = ops->open(wal->storage, name, true, file, &size);
    if (status == HF_NOT_FOUND) {
        wal->segments.made = 0; /* somebody has removed it */
    }
    if (status == HF_OK && size != wal->options.segment_bytes) {
        ops->close(wal->storage, *file);
        status = HF_IO_ERROR;
    }
    return status == HF_NOT_FOUND ? HF_IO_ERROR : status;
}

/* Why a segment could not be made, in words. */
static void say_stuck(enum hf_status status, char text[WAL_REASON_BYTES])
{
    if (status == HF_NO_SPACE) {
        snprintf(text, WAL_REASON_BYTES, "the disk is full: %s", storage_reason(status));
    } else {
        snprintf(text, WAL_REASON_BYTES, "%s", storage_reason(status));
    }
}

void wal_stuck_reason(struct wal *wal, char text[WAL_REASON_BYTES])
{
    pthread_mutex_lock(&wal->segments.mutex);
    memcpy(text, wal->segments.stuck_reason, WAL_REASON_BYTES);
    pthread_mutex_unlock(&wal->segments.mutex);
}

/* Tells the operator, once for each reason, and wal_admit, that a segment can or can't be made. */
static void note_preparation(struct wal *wal, enum hf_status status)
{
    struct segments *segments = &wal->segments;
    char reason[WAL_REASON_BYTES] = "";
    if (status != HF_OK) {
        say_stuck(status, reason);
    }
    pthread_mutex_lock(&segments->mutex);
    bool changed = strcmp(reason, segments->stuck_reason) != 0;
    memcpy(segments->stuck_reason, reason, sizeof reason);
    pthread_mutex_unlock(&segments->mutex);
    /* relaxed: a hint; the writer is woken after it. */
    atomic_store_explicit(&segments->stuck, status != HF_OK, memory_order_relaxed);
    if (status != HF_OK && changed) {
        diag_error("the next log segment can't be made: %s; new work will be refused when the "
                   "present one is full",
                   reason);
    } else if (status == HF_OK && changed) {
        diag_info("log segments can be made again");
    }
}

enum hf_status wal_segment_prepare(struct wal *wal)
{
    struct segments *segments = &wal->segments;
    pthread_mutex_lock(&segments->mutex);
    bool enough = segments->prepared_count >= wal->options.spare_segments;
    bool listed = reserve_begun(segments);
    uint64_t number = segments->prepare_next;
    pthread_mutex_unlock(&segments->mutex);
    if (enough) {
        return HF_NOT_FOUND;
    }
    storage_file file = -1;
    bool recycled = false;
    enum hf_status status = listed ? make_segment(wal, number, &file, &recycled) : HF_NO_MEMORY;
    note_preparation(wal, status);
    if (status == HF_OK) {
        pthread_mutex_lock(&segments->mutex);
        CHECK(segments->prepared_count < WAL_SPARES_MAX);
        CHECK(segments->prepared_count == 0 ||
              segments->prepared[segments->prepared_count - 1].number + 1 == number);
        segments->prepared[segments->prepared_count++] =
            (struct prepared_segment){file, number, recycled};
        segments->prepare_next = number + 1;
        unsigned ready = segments->prepared_count;
        /* relaxed: a hint for wal_admit. */
        atomic_store_explicit(&segments->ready, ready, memory_order_relaxed);
        pthread_mutex_unlock(&segments->mutex);
    }
    /* A writer that waits for a segment wants to know either way. */
    wal_sleep_wake(&wal->writer_sleep);
    return status;
}

/* The first mark: an empty file, named when it is there. */
static enum hf_status make_mark(struct wal *wal, const char *name)
{
    const struct storage_ops *ops = wal->storage->ops;
    char temporary[STORAGE_NAME_BYTES_MAX + 4];
    storage_file file;
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    enum hf_status status = ops->create(wal->storage, temporary, &file);
    if (status != HF_OK) {
        return status;
    }
    ops->close(wal->storage, file);
    return ops->rename(wal->storage, temporary, name);
}

bool wal_mark_begun(struct wal *wal)
{
    struct segments *segments = &wal->segments;
    /* relaxed: a segment that is said to hold a durable block keeps holding it. */
    uint64_t number = atomic_load_explicit(&segments->durable_number, memory_order_relaxed);
    if (number == segments->marked) {
        return true;
    }
    char name[STORAGE_NAME_BYTES_MAX];
    char before[STORAGE_NAME_BYTES_MAX];
    segment_name(name, SEGMENT_BEGUN, number);
    segment_name(before, SEGMENT_BEGUN, segments->marked);
    enum hf_status status = segments->marked == 0
                                ? make_mark(wal, name)
                                : wal->storage->ops->rename(wal->storage, before, name);
    if (status == HF_OK || status == HF_NOT_FOUND) {
        segments->marked = status == HF_OK ? number : 0; /* somebody has removed it */
    } else if (!segments->mark_failed) {
        diag_warn("%s can't be made (%s): should the log's last file get lost, that may not be "
                  "noticed",
                  name, storage_reason(status));
    }
    segments->mark_failed = status != HF_OK;
    return status == HF_OK;
}

enum hf_status wal_prepare(struct wal *wal)
{
    /* relaxed: pairs with nothing; a closed log needs no segments. */
    if (atomic_load_explicit(&wal->closed, memory_order_relaxed)) {
        return HF_NOT_FOUND;
    }
    enum hf_status status = wal_segment_prepare(wal);
    /* The storage reports each failure: so not NO_SPACE, after which the next try comes soon. */
    return wal_mark_begun(wal) || status != HF_NOT_FOUND ? status : HF_IO_ERROR;
}

bool wal_prepare_step(struct wal *wal)
{
    return wal_prepare(wal) == HF_OK;
}

/* ---- The checkpointer's side ---- */

/* Whether a file that is not needed now is kept as a spare. mutex is held. */
static bool keeps_spare(const struct wal *wal, size_t files)
{
    return wal->segments.spare_count < wal->options.spare_segments ||
           files * wal->options.segment_bytes <= wal->options.keep_bytes;
}

/* The oldest segment, if it may go: it is not after `last`, and a later segment holds a durable
 * block, so that a reader always finds one. 0: none. */
static uint64_t oldest_to_recycle(struct wal *wal, uint64_t last, bool *keep)
{
    struct segments *segments = &wal->segments;
    uint64_t number = 0;
    pthread_mutex_lock(&segments->mutex);
    if (segments->begun_count >= 2 && segments->begun[0] <= last &&
        segments->begun[1] <=
            atomic_load_explicit(&segments->durable_number, memory_order_relaxed)) {
        number = segments->begun[0];
        CHECK(number < segments->begun[1]);
    }
    *keep = keeps_spare(wal,
                        segments->begun_count + segments->prepared_count + segments->spare_count) &&
            numbers_reserve(&segments->spares, &segments->spare_room, segments->spare_count + 1);
    pthread_mutex_unlock(&segments->mutex);
    return number;
}

uint64_t wal_sealed_segment(const struct wal *wal)
{
    /* relaxed: a segment that is said to be durable stays so. */
    uint64_t number = atomic_load_explicit(&wal->segments.durable_number, memory_order_relaxed);
    return number > 0 ? number - 1 : 0;
}

uint64_t wal_log_bytes(struct wal *wal)
{
    pthread_mutex_lock(&wal->segments.mutex);
    uint64_t count = wal->segments.begun_count;
    pthread_mutex_unlock(&wal->segments.mutex);
    return count * wal->options.segment_bytes;
}

/* The file of a segment that is released: a spare, or gone. */
static enum hf_status give_back(struct wal *wal, const char *name, uint64_t number, bool keep,
                                const struct wal_recycler *recycler)
{
    char spare_name[STORAGE_NAME_BYTES_MAX];
    segment_name(spare_name, SEGMENT_SPARE, number);
    enum hf_status status =
        keep ? wal->storage->ops->rename(wal->storage, name, spare_name)
             : storage_unlink_gradually(wal->storage, name, recycler ? recycler->rest : NULL,
                                        recycler ? recycler->context : NULL);
    /* NOT_FOUND: an earlier try did it, and then could not sync the directory. */
    return status == HF_NOT_FOUND ? HF_OK : status;
}

static void note_given_back(struct segments *segments, uint64_t number, bool keep)
{
    pthread_mutex_lock(&segments->mutex);
    CHECK(segments->begun_count >= 2);
    CHECK(segments->begun[0] == number);
    segments->begun_count--;
    for (size_t i = 0; i < segments->begun_count; i++) {
        segments->begun[i] = segments->begun[i + 1];
    }
    if (keep) {
        CHECK(segments->spare_count < segments->spare_room);
        segments->spares[segments->spare_count++] = number;
    }
    pthread_mutex_unlock(&segments->mutex);
}

void wal_recycle(struct wal *wal, uint64_t last, const struct wal_recycler *recycler)
{
    bool keep;
    for (uint64_t number; (number = oldest_to_recycle(wal, last, &keep)) != 0;) {
        if (recycler && recycler->before && !recycler->before(recycler->context, number)) {
            return;
        }
        CHECK(number <= last);
        char name[STORAGE_NAME_BYTES_MAX];
        segment_name(name, SEGMENT_LOG, number);
        enum hf_status status = give_back(wal, name, number, keep, recycler);
        if (status != HF_OK && status != HF_CANCELED) {
            diag_warn("%s: the segment can't be released (%s)", name, storage_reason(status));
            return;
        }
        note_given_back(&wal->segments, number, keep);
        if (status == HF_CANCELED) { /* what is left of it is no segment any more */
            return;
        }
    }
    wal_sleep_wake(&wal->prepare_sleep);
}

/* ---- Opening ---- */

/* Makes durable what recovery has read of a segment. The last one stays open. */
static enum hf_status take_over_young(struct wal *wal, uint64_t number, const struct wal_end *end)
{
    const struct storage_ops *ops = wal->storage->ops;
    char name[STORAGE_NAME_BYTES_MAX];
    storage_file file;
    uint64_t size;
    segment_name(name, SEGMENT_LOG, number);
    if (ops->open(wal->storage, name, true, &file, &size) != HF_OK) {
        return HF_IO_ERROR;
    }
    enum hf_status status = ops->sync(wal->storage, file);
    if (status == HF_OK && number == end->segment) {
        wal->writer.file = file;
    } else {
        ops->close(wal->storage, file);
    }
    return status;
}

/* Enters the segments up to the log's end. A killed engine may have left what recovery has read in
 * a cache, and from now on blocks will say that it is durable. Only the last WAL_GROUPS segments
 * can be so young. None is looked into: recovery has read those that matter, and damage in what a
 * checkpoint covers is no reason not to open. */
static enum hf_status load_begun(struct wal *wal, const struct segment_list *list,
                                 const struct wal_end *end)
{
    struct segments *segments = &wal->segments;
    enum hf_status status = HF_OK;
    for (size_t i = 0; i < list->count && list->numbers[i] <= end->segment && status == HF_OK;
         i++) {
        if (list->numbers[i] > wal->options.covered &&
            list->numbers[i] + WAL_GROUPS > end->segment) {
            status = take_over_young(wal, list->numbers[i], end);
        }
        CHECK(reserve_begun(segments));
        CHECK(segments->begun_count < segments->begun_room);
        segments->begun[segments->begun_count++] = list->numbers[i];
    }
    return status;
}

/* Takes over the segments prepared by an earlier process; those that don't fit are removed, newest
 * first. Nothing is lost with them: their numbers follow the log's end without a gap, and no block
 * was found in them, or else the end would be called damaged. */
static enum hf_status load_prepared(struct wal *wal, const struct segment_list *list,
                                    const struct wal_end *end, uint8_t *page)
{
    const struct storage_ops *ops = wal->storage->ops;
    struct segments *segments = &wal->segments;
    size_t i = 0;
    while (i < list->count && list->numbers[i] <= end->segment) {
        i++;
    }
    char name[STORAGE_NAME_BYTES_MAX];
    for (; i < list->count && segments->prepared_count < wal->options.spare_segments; i++) {
        storage_file file;
        uint64_t size;
        segment_name(name, SEGMENT_LOG, list->numbers[i]);
        if (list->numbers[i] != segments->prepare_next) {
            break;
        }
        if (ops->open(wal->storage, name, true, &file, &size) != HF_OK) {
            return HF_IO_ERROR;
        }
        if (size != wal->options.segment_bytes) {
            ops->close(wal->storage, file);
            break;
        }
        size_t got;
        if (ops->read(wal->storage, file, page, WAL_PAGE_BYTES, 0, &got) != HF_OK) {
            ops->close(wal->storage, file);
            return HF_IO_ERROR;
        }
        /* An earlier life has left a header; a new file has none. */
        bool recycled = !bytes_all_zero(page, WAL_PAGE_BYTES);
        CHECK(reserve_begun(segments));
        CHECK(segments->prepared_count < WAL_SPARES_MAX);
        segments->prepared[segments->prepared_count++] =
            (struct prepared_segment){file, segments->prepare_next++, recycled};
    }
    for (size_t last = list->count; last > i; last--) {
        segment_name(name, SEGMENT_LOG, list->numbers[last - 1]);
        enum hf_status status = ops->unlink(wal->storage, name);
        if (status != HF_OK) {
            return status;
        }
    }
    return HF_OK;
}

/* Notes the spare files; those that are too many are removed. */
static enum hf_status load_spares(struct wal *wal)
{
    struct segment_list list;
    enum hf_status status = segment_list_read(&list, wal->storage, SEGMENT_SPARE);
    for (size_t i = 0; i < list.count && status == HF_OK; i++) {
        struct segments *segments = &wal->segments;
        size_t files = segments->begun_count + segments->prepared_count + segments->spare_count;
        if (keeps_spare(wal, files + 1) &&
            numbers_reserve(&segments->spares, &segments->spare_room, segments->spare_count + 1)) {
            segments->spares[segments->spare_count++] = list.numbers[i];
        } else {
            char name[STORAGE_NAME_BYTES_MAX];
            segment_name(name, SEGMENT_SPARE, list.numbers[i]);
            enum hf_status removed = wal->storage->ops->unlink(wal->storage, name);
            if (removed != HF_OK && removed != HF_NOT_FOUND) { /* it only takes room */
                diag_warn("%s: a spare can't be removed (%s)", name, storage_reason(removed));
            }
        }
    }
    segment_list_free(&list);
    return status;
}

/* Finds the mark of an earlier process; of several, the last. */
static enum hf_status load_mark(struct wal *wal)
{
    struct segment_list list;
    enum hf_status status = segment_list_read(&list, wal->storage, SEGMENT_BEGUN);
    for (size_t i = 0; i < list.count; i++) {
        char name[STORAGE_NAME_BYTES_MAX];
        segment_name(name, SEGMENT_BEGUN, list.numbers[i]);
        if (i + 1 < list.count) {
            (void)wal->storage->ops->unlink(wal->storage, name); /* it claims less than the last */
        } else {
            wal->segments.marked = list.numbers[i];
        }
    }
    segment_list_free(&list);
    return status;
}

enum hf_status wal_segments_load(struct wal *wal, const struct wal_end *end)
{
    struct writer *writer = &wal->writer;
    uint8_t *page = malloc(WAL_PAGE_BYTES);
    if (!page) {
        return HF_NO_MEMORY;
    }
    struct segment_list list;
    enum hf_status status = segment_list_read(&list, wal->storage, SEGMENT_LOG);
    if (status == HF_OK) {
        writer->segment = end->segment;
        writer->segment_bytes = end->segment_bytes;
        writer->offset = end->offset;
        wal->segments.prepare_next = end->segment + 1;
        status = load_begun(wal, &list, end);
    }
    if (status == HF_OK) {
        status = load_prepared(wal, &list, end, page);
    }
    if (status == HF_OK) {
        status = load_spares(wal);
    }
    if (status == HF_OK) {
        status = load_mark(wal);
    }
    free(page);
    segment_list_free(&list);
    CHECK(status != HF_OK ||
          wal->segments.prepare_next == end->segment + 1 + wal->segments.prepared_count);
    /* relaxed: no other thread yet. */
    atomic_store_explicit(&wal->segments.ready, wal->segments.prepared_count, memory_order_relaxed);
    return status;
}

void wal_segments_unload(struct wal *wal)
{
    const struct storage_ops *ops = wal->storage->ops;
    for (unsigned i = 0; i < wal->segments.prepared_count; i++) {
        ops->close(wal->storage, wal->segments.prepared[i].file);
    }
    for (unsigned i = 0; i < wal->writer.retired_count; i++) {
        ops->close(wal->storage, wal->writer.retired[i].file);
    }
    if (wal->writer.file >= 0) {
        ops->close(wal->storage, wal->writer.file);
    }
    free(wal->segments.begun);
    free(wal->segments.spares);
}
