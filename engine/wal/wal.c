/* wal.c - opening, starting, stopping and closing the log.
 *
 * Threads: wal_open, wal_start, wal_stop and wal_close from one. */
#include "wal/wal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/pages.h"
#include "wal/append.h"
#include "wal/cut.h"
#include "wal/segments.h"
#include "wal/wal_private.h"
#include "wal/writer.h"

/* How long the preparer waits before it tries again to make a segment. Room on a full disk may come
 * at any time; after other failures, which are logged each time, twice as long from try to try. */
#define PREPARE_RETRY_NS     250000000u
#define PREPARE_RETRY_NS_MAX 8000000000u

static uint32_t group_bytes(const struct wal_options *options)
{
    return options->group_bytes ? options->group_bytes : (uint32_t)WAL_GROUP_BYTES_MAX;
}

static void check_options(const struct wal_options *options)
{
    CHECK(options->group_bytes <= WAL_GROUP_BYTES_MAX);
    CHECK(options->group_bytes % 8 == 0);
    CHECK(options->segment_bytes >= WAL_SEGMENT_BYTES_LEAST(group_bytes(options)));
    CHECK(options->segment_bytes <= WAL_SEGMENT_BYTES_MAX);
    CHECK(options->segment_bytes % WAL_PAGE_BYTES == 0);
    CHECK(options->spare_segments >= 1);
    CHECK(options->spare_segments <= WAL_SPARES_MAX);
    CHECK(options->in_flight_max >= 1);
    CHECK(options->in_flight_max < WAL_GROUPS);
}

static enum hf_status random_id(struct id128 *id)
{
    uint8_t bytes[ID_BYTES];
    size_t got = 0;
    while (got < sizeof bytes) {
        ssize_t n = getrandom(bytes + got, sizeof bytes - got, 0);
        if (n < 0 && errno != EINTR) {
            diag_error("no random numbers: %s", strerror(errno));
            return HF_IO_ERROR;
        }
        got += n > 0 ? (size_t)n : 0;
    }
    *id = id_from_bytes(bytes);
    return HF_OK;
}

/* The sizes that follow from the options. */
static void set_sizes(struct wal *wal, const struct wal_options *options)
{
    wal->options = *options;
    wal->options.group_bytes = group_bytes(options);
    size_t span_bytes = block_span_bytes(wal->options.group_bytes);
    wal->buffer_bytes = WAL_PAGE_BYTES + span_bytes;
    CHECK(wal->buffer_bytes % WAL_PAGE_BYTES == 0);
    wal->memory_bytes = WAL_GROUPS * wal->buffer_bytes;
    /* Twice what all buffers hold, for work that was admitted and has not appended yet; but never
     * more than a fresh segment has, or small segments would never do. What waits to be sealed
     * comes on top: else a small segment's room would be given away once for each buffer. */
    wal->segment_groups = wal_groups_in(wal, options->segment_bytes - WAL_PAGE_BYTES);
    wal->reserve_groups =
        2 * WAL_GROUPS < wal->segment_groups ? 2 * WAL_GROUPS : wal->segment_groups;
    CHECK(wal->segment_groups >= 1);
    CHECK(wal->reserve_groups <= wal->segment_groups);
}

/* Memory and locks; everything else is zero. */
static struct wal *make(const struct wal_options *options, struct storage *storage,
                        struct timekeeper *time)
{
    struct wal *wal = aligned_alloc(CACHE_LINE_BYTES, sizeof *wal);
    if (!wal) {
        return NULL;
    }
    memset(wal, 0, sizeof *wal);
    set_sizes(wal, options);
    wal->memory = pages_map_buffer(wal->memory_bytes);
    if (!wal->memory) {
        free(wal);
        return NULL;
    }
    wal->storage = storage;
    wal->time = time;
    wal->clock = time->clock;
    wal->writer.file = -1;
    wal_sleep_init(&wal->writer_sleep);
    wal_sleep_init(&wal->stall_sleep);
    wal_sleep_init(&wal->prepare_sleep);
    CHECK(pthread_mutex_init(&wal->segments.mutex, NULL) == 0);
    for (unsigned i = 0; i < WAL_GROUPS; i++) {
        wal->groups[i].buffer = (uint8_t *)wal->memory + i * wal->buffer_bytes;
        wal_group_reset(&wal->groups[i]);
    }
    return wal;
}

/* Continues after the log's end. */
static void take_over(struct wal *wal, const struct wal_end *end, uint64_t digest)
{
    struct writer *writer = &wal->writer;
    writer->next_index = end->next_index;
    writer->previous_hash = end->previous_hash;
    writer->term = end->term + 1;
    writer->durable_index = end->next_index - 1;
    writer->idle_since_ns = clock_monotonic_ns(wal->clock);
    wal->append.digest = digest;
    /* relaxed: no other thread yet. */
    atomic_store_explicit(&wal->append.tail_lsn, end->lsn, memory_order_relaxed);
    atomic_store_explicit(&wal->commit_lsn, end->lsn, memory_order_relaxed);
    atomic_store_explicit(&wal->stats.index, writer->durable_index, memory_order_relaxed);
    atomic_store_explicit(&wal->segments.durable_number, end->segment, memory_order_relaxed);
}

/* Writes the EPOCH block, and waits for it. */
static enum hf_status write_epoch(struct wal *wal)
{
    struct writer *writer = &wal->writer;
    struct wal_group *group = wal_group(wal, 0);
    CHECK(group->payload_bytes == 0);
    group->type = BLOCK_EPOCH;
    /* relaxed: no other thread yet. */
    group->first_lsn = atomic_load_explicit(&wal->append.tail_lsn, memory_order_relaxed);
    enum hf_status status = wal_segment_make_room(wal, block_span_bytes(0));
    if (status != HF_OK) {
        return status;
    }
    struct sealed_block block;
    wal_seal(wal, group, &block);
    status = wal->storage->ops->write_sync(wal->storage, writer->file, block.data, block.len,
                                           block.offset);
    if (status != HF_OK) {
        return status;
    }
    CHECK(group->index == writer->durable_index + 1);
    CHECK(group->segment == writer->segment);
    writer->durable_index = group->index;
    wal_segment_retire(wal, group->segment);
    atomic_store_explicit(&wal->stats.index, group->index, memory_order_relaxed);
    wal_group_reset(group);
    return HF_OK;
}

/* Before anything is touched: the last segment can be written to, or opening fails here. */
static enum hf_status check_writable(struct wal *wal, const struct wal_end *end)
{
    char name[STORAGE_NAME_BYTES_MAX];
    storage_file file;
    uint64_t size;
    if (end->segment == 0) {
        return HF_OK;
    }
    segment_name(name, SEGMENT_LOG, end->segment);
    enum hf_status status = wal->storage->ops->open(wal->storage, name, true, &file, &size);
    if (status == HF_OK) {
        wal->storage->ops->close(wal->storage, file);
    }
    return status == HF_NOT_FOUND ? HF_IO_ERROR : status;
}

/* Reads a page of a segment. False: there is none. */
static bool read_page(struct wal *wal, uint64_t segment, uint64_t offset, uint8_t *page)
{
    char name[STORAGE_NAME_BYTES_MAX];
    storage_file file;
    uint64_t size;
    size_t got = 0;
    segment_name(name, SEGMENT_LOG, segment);
    if (wal->storage->ops->open(wal->storage, name, false, &file, &size) != HF_OK) {
        return false;
    }
    enum hf_status status =
        wal->storage->ops->read(wal->storage, file, page, WAL_PAGE_BYTES, offset, &got);
    wal->storage->ops->close(wal->storage, file);
    return status == HF_OK && got == WAL_PAGE_BYTES;
}

/* A killed engine's last write may have come to the disk after the log was read to its end: it was
 * never acknowledged, and goes the way of a torn tail. */
static bool came_late(struct wal *wal, const struct wal_end *end)
{
    uint8_t *page = wal->groups[0].buffer;
    struct block_header block;
    struct segment_header segment;
    const char *reason;
    return (read_page(wal, end->segment, end->offset, page) &&
            block_header_decode(&block, page, &reason) && block.index >= end->next_index) ||
           (read_page(wal, end->segment + 1, 0, page) &&
            segment_header_decode(&segment, page, &reason) && segment.number > end->segment);
}

/* Everything of wal_open that may fail after the memory is there. Nothing is changed before
 * storage_settle(). */
static enum hf_status open_behind(struct wal *wal, const struct wal_end *end, uint64_t digest)
{
    CHECK(!end->damaged);
    wal->cluster = end->cluster;
    enum hf_status status = end->empty ? random_id(&wal->cluster) : check_writable(wal, end);
    if (status == HF_OK) {
        status = storage_settle(wal->storage);
    }
    if (status == HF_OK && (end->torn || end->empty || came_late(wal, end))) {
        status = wal_cut(wal->storage, end);
    }
    if (status == HF_OK) {
        take_over(wal, end, digest);
        status = wal_segments_load(wal, end);
    }
    if (status == HF_OK) {
        status = write_epoch(wal);
    }
    if (status == HF_OK) {
        (void)wal_mark_begun(wal); /* or later */
    }
    if (status == HF_OK && !wal_segment_room_is_ample(wal)) {
        /* Or the first appends of a small segment would be refused until the preparer has begun. A
         * full disk is no reason not to open: reads are answered. */
        wal_segment_prepare(wal);
    }
    return status;
}

enum hf_status wal_open(struct wal **out, const struct wal_options *options,
                        struct storage *storage, struct timekeeper *time, const struct wal_end *end,
                        uint64_t digest)
{
    check_options(options);
    *out = NULL;
    if (end->damaged) {
        return HF_DAMAGED;
    }
    struct wal *wal = make(options, storage, time);
    if (!wal) {
        return HF_NO_MEMORY;
    }
    enum hf_status status = open_behind(wal, end, digest);
    if (status != HF_OK) {
        wal_close(wal);
        return status;
    }
    *out = wal;
    return HF_OK;
}

void wal_close(struct wal *wal)
{
    if (!wal) {
        return;
    }
    CHECK(!wal->started);
    /* A simulated crash forgets its writes: then there is nothing to wait for. */
    struct storage_completion completions[WAL_GROUPS];
    while (wal->writer.in_flight > 0) {
        unsigned n = wal->storage->ops->reap(wal->storage, true, completions, WAL_GROUPS);
        if (n == 0) {
            break;
        }
        wal->writer.in_flight -= n;
    }
    wal_segments_unload(wal);
    pthread_mutex_destroy(&wal->segments.mutex);
    wal_sleep_deinit(&wal->writer_sleep);
    wal_sleep_deinit(&wal->stall_sleep);
    wal_sleep_deinit(&wal->prepare_sleep);
    pages_unmap(wal->memory, wal->memory_bytes);
    free(wal);
}

/* ---- Threads ---- */

static bool is_stopping(const struct wal *wal)
{
    /* acquire: pairs with the release in wal_stop; what was appended before is seen. */
    return atomic_load_explicit(&wal->stopping, memory_order_acquire);
}

static void *run_writer(void *context)
{
    struct wal *wal = context;
    while (!is_stopping(wal)) {
        wal_step(wal, true);
    }
    wal_finish(wal);
    return NULL;
}

static void *run_preparer(void *context)
{
    struct wal *wal = context;
    /* acquire: pairs with the release in wal_stop. */
    uint64_t pause_ns = PREPARE_RETRY_NS;
    while (!atomic_load_explicit(&wal->prepare_stopping, memory_order_acquire)) {
        uint64_t seen = wal_sleep_count(&wal->prepare_sleep);
        enum hf_status status = wal_prepare(wal);
        bool failed = status != HF_OK && status != HF_NOT_FOUND && status != HF_NO_SPACE;
        if (status != HF_OK) {
            wal_sleep_wait(&wal->prepare_sleep, seen, failed ? pause_ns : PREPARE_RETRY_NS);
        }
        pause_ns = !failed                           ? PREPARE_RETRY_NS
                   : pause_ns < PREPARE_RETRY_NS_MAX ? 2 * pause_ns
                                                     : pause_ns;
    }
    (void)wal_mark_begun(wal);
    return NULL;
}

enum hf_status wal_start(struct wal *wal)
{
    CHECK(!wal->started);
    wal->started = true;
    /* Touched now, not when the first groups fill. A hint: not every kernel knows it. */
    pages_populate(wal->memory, wal->memory_bytes);
    if (pthread_create(&wal->writer_thread, NULL, run_writer, wal) != 0) {
        wal->started = false;
        return HF_NO_MEMORY;
    }
    if (pthread_create(&wal->prepare_thread, NULL, run_preparer, wal) != 0) {
        atomic_store_explicit(&wal->stopping, true, memory_order_release);
        wal_sleep_wake(&wal->writer_sleep);
        pthread_join(wal->writer_thread, NULL);
        wal->started = false;
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

void wal_stop(struct wal *wal)
{
    /* release: pairs with the acquire in is_stopping. */
    atomic_store_explicit(&wal->stopping, true, memory_order_release);
    if (!wal->started) {
        wal_finish(wal);
        return;
    }
    wal_sleep_wake(&wal->writer_sleep);
    pthread_join(wal->writer_thread, NULL);
    /* release: pairs with the acquire in run_preparer. */
    atomic_store_explicit(&wal->prepare_stopping, true, memory_order_release);
    wal_sleep_wake(&wal->prepare_sleep);
    pthread_join(wal->prepare_thread, NULL);
    wal->started = false;
}
