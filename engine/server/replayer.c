/* replayer.c - a ring of batches between the thread that reads the log and those that apply it.
 *
 *     reader --> batch n+2 (being filled) | n+1 | n --> lane 0, lane 1, ...: each its own records
 *
 * A batch holds the bytes of whole records in a row, of one segment, and for each lane where its
 * own are, with their ids' hashes: the reader has had to look at each record's header anyway to
 * find the next, and with the hash a lane can prefetch what it will touch.
 *
 * Threads: the reader, and one for each lane unless there is one only. The ring's numbers are under
 * its mutex; a batch is the reader's until it is handed over, then each lane's for reading, with
 * its own lane_end for writing, then the reader's again. */
#include "server/replayer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/pages.h"
#include "core/replay.h"
#include "wal/digest.h"
#include "wal/record.h"

#define BATCH_BYTES  WAL_GROUP_BYTES_MAX
#define BATCH_BLOCKS 512u /* blocks that one batch may hold parts of */
#define ROUTES_MAX   (BATCH_BYTES / RECORD_ORDER_BYTES_MIN + 1)
#define RING         8u  /* batches */
#define INDEX_AHEAD  32u /* records from prefetching the index until it is read */
#define ORDER_AHEAD  10u /* and from prefetching an order's entry */

/* Where a record of a lane's own lies in the batch. */
struct route {
    uint64_t hash;
    uint32_t offset;
    uint16_t words; /* of 8 bytes */
    bool enters;    /* a new order: it has no entry yet */
};

#define WORD_BYTES 8u

static_assert(WAL_RECORD_BYTES_MAX / WORD_BYTES <= UINT16_MAX, "any record's length fits");

/* From `offset` in the batch on, records lie in the file from file_offset on. */
struct mark {
    uint32_t offset;
    uint64_t file_offset;
};

/* How a lane came out of a batch. */
struct lane_end {
    _Alignas(CACHE_LINE_BYTES) enum hf_status status;
    uint32_t offset; /* of the record that failed */
    const char *reason;
    uint64_t digest; /* of all that the lane has applied */
};

struct batch {
    uint8_t *payload; /* BATCH_BYTES */
    uint32_t bytes;
    uint32_t records;
    uint64_t first_lsn;
    char file[STORAGE_NAME_BYTES_MAX];
    struct mark marks[BATCH_BLOCKS];
    uint32_t mark_count;
    bool digest_follows;
    uint64_t digest;        /* that the lanes' must add up to */
    uint64_t digest_offset; /* of the DIGEST block in the file */
    /* By lane. */
    struct route *routes[RECOVERY_THREADS_MAX];
    uint32_t route_counts[RECOVERY_THREADS_MAX];
    struct lane_end ends[RECOVERY_THREADS_MAX];
};

struct lane {
    struct replayer *replayer;
    unsigned number;
    struct replay_lane *replay;
    bool failed;
    uint64_t done; /* batches; under the mutex */
    pthread_t thread;
    bool running;
};

struct replayer {
    struct inventory *inventory;
    unsigned lane_count;
    struct lane lanes[RECOVERY_THREADS_MAX];
    struct batch batches[RING];

    /* Under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t work; /* a batch was handed over, or it is to stop */
    pthread_cond_t idle; /* a lane is done with one */
    uint64_t handed;     /* batches */
    bool stop;

    /* The reader's. */
    uint64_t retired; /* batches that were found sound */
    uint64_t next_lsn;
    uint64_t base_digest; /* all but what the lanes have applied */
    uint64_t records;
    uint64_t digests;
    enum hf_status status; /* not OK: it has failed for good */
    struct replayer_fault fault;
};

/* ---- Lanes ---- */

static void lane_fail(struct lane *lane, struct lane_end *end, enum hf_status status,
                      const struct route *route, const char *reason)
{
    CHECK(!lane->failed);
    CHECK(status != HF_OK);
    lane->failed = true;
    end->status = status;
    end->offset = route->offset;
    end->reason = reason;
}

/* One record. False: it failed. */
static bool lane_apply(struct lane *lane, const struct batch *batch, const struct route *route,
                       struct lane_end *end)
{
    struct event event;
    struct record_scratch scratch;
    size_t used;
    const char *reason;
    uint32_t bytes = route->words * WORD_BYTES;
    CHECK(bytes > 0);
    CHECK(route->offset + (uint64_t)bytes <= batch->bytes);
    if (record_decode(batch->payload + route->offset, bytes, &event, &scratch, &used, &reason) !=
        HF_OK) {
        lane_fail(lane, end, HF_DAMAGED, route, reason);
        return false;
    }
    event.lsn = batch->first_lsn + route->offset + bytes;
    enum hf_status status = replay_apply(lane->replay, &event, route->hash);
    if (status != HF_OK) {
        lane_fail(lane, end, status, route,
                  "the record does not fit the state that the log led to");
    }
    return status == HF_OK;
}

/* A lane's records of one batch. It stops at its first fault. */
static void lane_run(struct lane *lane, struct batch *batch)
{
    const struct route *routes = batch->routes[lane->number];
    uint32_t count = batch->route_counts[lane->number];
    struct lane_end *end = &batch->ends[lane->number];
    CHECK(lane->number < lane->replayer->lane_count);
    CHECK(count <= batch->records);
    end->status = HF_OK;
    for (uint32_t i = 0; i < INDEX_AHEAD && i < count; i++) {
        replay_prefetch_index(lane->replay, routes[i].hash);
    }
    for (uint32_t i = 0; i < count && !lane->failed; i++) {
        if (i + INDEX_AHEAD < count) {
            replay_prefetch_index(lane->replay, routes[i + INDEX_AHEAD].hash);
        }
        if (i + ORDER_AHEAD < count && !routes[i + ORDER_AHEAD].enters) {
            replay_prefetch_order(lane->replay, routes[i + ORDER_AHEAD].hash);
        }
        if (!lane_apply(lane, batch, &routes[i], end)) {
            break;
        }
    }
    end->digest = replay_digest(lane->replay);
}

static void *lane_main(void *argument)
{
    struct lane *lane = argument;
    struct replayer *replayer = lane->replayer;
    pthread_mutex_lock(&replayer->mutex);
    for (;;) {
        while (lane->done == replayer->handed && !replayer->stop) {
            pthread_cond_wait(&replayer->work, &replayer->mutex);
        }
        if (replayer->stop) {
            break;
        }
        CHECK(lane->done < replayer->handed);
        pthread_mutex_unlock(&replayer->mutex);
        lane_run(lane, &replayer->batches[lane->done % RING]);
        pthread_mutex_lock(&replayer->mutex);
        lane->done++;
        pthread_cond_signal(&replayer->idle);
    }
    pthread_mutex_unlock(&replayer->mutex);
    return NULL;
}

/* ---- Batches ---- */

static struct batch *batch_open(struct replayer *replayer)
{
    CHECK(replayer->handed - replayer->retired < RING || replayer->status != HF_OK);
    return &replayer->batches[replayer->handed % RING];
}

static bool batch_empty(const struct batch *batch)
{
    return batch->records == 0 && !batch->digest_follows;
}

static void batch_clear(struct batch *batch)
{
    batch->bytes = 0;
    batch->records = 0;
    batch->mark_count = 0;
    batch->digest_follows = false;
    memset(batch->route_counts, 0, sizeof batch->route_counts);
}

static enum hf_status fail_at(struct replayer *replayer, enum hf_status status, const char *file,
                              uint64_t offset, const char *reason)
{
    CHECK(replayer->status == HF_OK);
    replayer->status = status;
    memcpy(replayer->fault.file, file, sizeof replayer->fault.file);
    replayer->fault.offset = offset;
    replayer->fault.reason = reason;
    return status;
}

/* Where a record of the batch lies in its file. */
static uint64_t batch_file_offset(const struct batch *batch, uint32_t offset)
{
    uint32_t i = batch->mark_count;
    CHECK(i > 0);
    while (batch->marks[--i].offset > offset) {
        CHECK(i > 0);
    }
    return batch->marks[i].file_offset + (offset - batch->marks[i].offset);
}

/* What the lanes found in a batch that all are done with. */
static enum hf_status batch_check(struct replayer *replayer, const struct batch *batch)
{
    const struct lane_end *first = NULL;
    uint64_t digest = 0;
    for (unsigned i = 0; i < replayer->lane_count; i++) {
        const struct lane_end *end = &batch->ends[i];
        digest += end->digest;
        if (end->status != HF_OK && (!first || end->offset < first->offset)) {
            first = end;
        }
    }
    if (first) {
        return fail_at(replayer, first->status, batch->file,
                       batch_file_offset(batch, first->offset), first->reason);
    }
    const char *reason = batch->digest_follows ? digest_fault(digest, batch->digest) : NULL;
    if (reason) {
        return fail_at(replayer, HF_DAMAGED, batch->file, batch->digest_offset, reason);
    }
    replayer->digests += batch->digest_follows;
    return HF_OK;
}

static void wait_for_lanes(struct replayer *replayer, uint64_t batches)
{
    if (replayer->lane_count == 1) {
        return; /* handing over has done it */
    }
    pthread_mutex_lock(&replayer->mutex);
    for (unsigned i = 0; i < replayer->lane_count; i++) {
        while (replayer->lanes[i].done < batches) {
            pthread_cond_wait(&replayer->idle, &replayer->mutex);
        }
    }
    pthread_mutex_unlock(&replayer->mutex);
}

/* Waits for the first `batches` of all that were handed over, and checks what became of them. */
static enum hf_status retire(struct replayer *replayer, uint64_t batches)
{
    CHECK(batches <= replayer->handed);
    wait_for_lanes(replayer, batches);
    while (replayer->retired < batches && replayer->status == HF_OK) {
        struct batch *batch = &replayer->batches[replayer->retired % RING];
        if (batch_check(replayer, batch) == HF_OK) {
            replayer->retired++;
        }
    }
    return replayer->status;
}

/* Hands the batch that is being filled to the lanes, if it holds anything; the next one is then
 * there to be filled. */
static enum hf_status hand_over(struct replayer *replayer)
{
    struct batch *batch = batch_open(replayer);
    if (batch_empty(batch)) {
        return replayer->status;
    }
    if (replayer->lane_count == 1) {
        lane_run(&replayer->lanes[0], batch);
        replayer->handed++;
        if (retire(replayer, replayer->handed) != HF_OK) {
            return replayer->status;
        }
    } else {
        pthread_mutex_lock(&replayer->mutex);
        replayer->handed++;
        pthread_cond_broadcast(&replayer->work);
        pthread_mutex_unlock(&replayer->mutex);
    }
    if (replayer->handed >= RING && retire(replayer, replayer->handed - RING + 1) != HF_OK) {
        return replayer->status;
    }
    CHECK(replayer->handed - replayer->retired < RING);
    batch_clear(batch_open(replayer));
    return HF_OK;
}

/* Until all that was taken so far is applied. */
static enum hf_status drain(struct replayer *replayer)
{
    enum hf_status status = hand_over(replayer);
    return status == HF_OK ? retire(replayer, replayer->handed) : status;
}

/* ---- Blocks ---- */

/* Something wrong that the reader has found itself: what came before it counts first. */
static enum hf_status fail_block(struct replayer *replayer, const struct wal_block *block,
                                 uint64_t offset, const char *reason)
{
    enum hf_status status = drain(replayer);
    return status == HF_OK ? fail_at(replayer, HF_DAMAGED, block->file, offset, reason) : status;
}

static uint64_t record_offset(const struct wal_block *block, uint32_t at)
{
    return block->file_offset + BLOCK_HEADER_BYTES + at;
}

/* A record that can't be routed: decoding says why. */
static enum hf_status fail_record(struct replayer *replayer, const struct wal_block *block,
                                  uint32_t at)
{
    struct event event;
    struct record_scratch scratch;
    size_t used;
    const char *reason;
    enum hf_status status = record_decode(block->payload + at, block->header.payload_bytes - at,
                                          &event, &scratch, &used, &reason);
    CHECK(status == HF_DAMAGED);
    return fail_block(replayer, block, record_offset(block, at), reason);
}

/* A record that is not an order's. */
static enum hf_status apply_alone(struct replayer *replayer, const struct wal_block *block,
                                  uint32_t at, uint32_t bytes)
{
    struct event event;
    struct record_scratch scratch;
    size_t used;
    const char *reason;
    enum hf_status status = drain(replayer);
    if (status != HF_OK) {
        return status;
    }
    uint64_t offset = record_offset(block, at);
    if (record_decode(block->payload + at, bytes, &event, &scratch, &used, &reason) != HF_OK) {
        return fail_at(replayer, HF_DAMAGED, block->file, offset, reason);
    }
    event.lsn = block->header.first_lsn + at + bytes;
    status = inventory_apply(replayer->inventory, &event);
    if (status != HF_OK) {
        return fail_at(replayer, status, block->file, offset,
                       "the record does not fit the state that the log led to");
    }
    replayer->base_digest += event.digest_delta;
    return HF_OK;
}

/* A batch with room for the rest of a block, that continues where it ends. */
static enum hf_status batch_for(struct replayer *replayer, const struct wal_block *block,
                                uint32_t at)
{
    const struct batch *batch = batch_open(replayer);
    uint64_t lsn = block->header.first_lsn + at;
    bool fits = batch->bytes + (uint64_t)(block->header.payload_bytes - at) <= BATCH_BYTES &&
                batch->mark_count < BATCH_BLOCKS && !batch->digest_follows &&
                (batch->mark_count == 0 ||
                 (batch->first_lsn + batch->bytes == lsn && strcmp(batch->file, block->file) == 0));
    return fits ? HF_OK : hand_over(replayer);
}

/* Adds records of orders, from `*at` on, to the batch: up to the block's end, a record that is not
 * an order's, or one that can't be. */
static enum hf_status route_orders(struct replayer *replayer, const struct wal_block *block,
                                   uint32_t *at)
{
    enum hf_status status = batch_for(replayer, block, *at);
    if (status != HF_OK) {
        return status;
    }
    struct batch *batch = batch_open(replayer);
    uint32_t from = *at;
    uint32_t records = 0;
    enum event_type type;
    uint32_t bytes;
    struct id128 id;
    while (
        *at < block->header.payload_bytes &&
        record_peek(block->payload + *at, block->header.payload_bytes - *at, &type, &bytes, &id) &&
        record_is_order(type)) {
        uint64_t hash = id_hash(id);
        unsigned lane = replay_lane_of(replayer->inventory, hash, replayer->lane_count);
        CHECK(lane < replayer->lane_count);
        CHECK(batch->route_counts[lane] < ROUTES_MAX);
        batch->routes[lane][batch->route_counts[lane]++] =
            (struct route){hash, batch->bytes + (*at - from), (uint16_t)(bytes / WORD_BYTES),
                           type == EVENT_ORDER_HELD};
        *at += bytes;
        records++;
    }
    if (records > 0) {
        if (batch->mark_count == 0) {
            batch->first_lsn = block->header.first_lsn + from;
            memcpy(batch->file, block->file, sizeof batch->file);
        }
        CHECK(batch->mark_count < BATCH_BLOCKS);
        CHECK(batch->bytes + (uint64_t)(*at - from) <= BATCH_BYTES);
        batch->marks[batch->mark_count++] = (struct mark){batch->bytes, record_offset(block, from)};
        memcpy(batch->payload + batch->bytes, block->payload + from, *at - from);
        batch->bytes += *at - from;
        batch->records += records;
        replayer->records += records;
    }
    return HF_OK;
}

static enum hf_status take_records(struct replayer *replayer, const struct wal_block *block)
{
    uint32_t len = block->header.payload_bytes;
    uint64_t records_before = replayer->records;
    for (uint32_t at = 0; at < len;) {
        enum event_type type;
        uint32_t bytes;
        struct id128 id;
        if (!record_peek(block->payload + at, len - at, &type, &bytes, &id)) {
            return fail_record(replayer, block, at);
        }
        enum hf_status status;
        if (record_is_order(type)) {
            status = route_orders(replayer, block, &at);
        } else {
            status = apply_alone(replayer, block, at, bytes);
            at += bytes;
            replayer->records++;
        }
        if (status != HF_OK) {
            return status;
        }
    }
    if (replayer->records - records_before != block->header.record_count) {
        return fail_block(replayer, block, block->file_offset, "the block's record count is wrong");
    }
    return HF_OK;
}

static enum hf_status take_digest(struct replayer *replayer, const struct wal_block *block)
{
    uint64_t digest;
    const char *reason = digest_decode(block, &digest);
    if (reason) {
        return fail_block(replayer, block, block->file_offset, reason);
    }
    struct batch *batch = batch_open(replayer);
    if (batch->mark_count > 0 && strcmp(batch->file, block->file) != 0) {
        enum hf_status status = hand_over(replayer);
        if (status != HF_OK) {
            return status;
        }
        batch = batch_open(replayer);
    }
    memcpy(batch->file, block->file, sizeof batch->file);
    batch->digest_follows = true;
    batch->digest = digest - replayer->base_digest;
    batch->digest_offset = block->file_offset;
    return hand_over(replayer);
}

enum hf_status replayer_block(struct replayer *replayer, const struct wal_block *block)
{
    if (replayer->status != HF_OK) {
        return replayer->status;
    }
    switch (block->header.type) {
    case BLOCK_DATA:
        return take_records(replayer, block);
    case BLOCK_DIGEST:
        return take_digest(replayer, block);
    case BLOCK_NOOP:
    case BLOCK_EPOCH:
        return HF_OK;
    case BLOCK_CONFIG:
    case BLOCK_FREEZE:
    case BLOCK_ADOPT:
    case BLOCK_DROP:
        break;
    }
    return fail_block(replayer, block, block->file_offset,
                      "a type of block that this version does not know");
}

/* ---- Life ---- */

static enum hf_status batches_make(struct replayer *replayer)
{
    for (unsigned i = 0; i < RING; i++) {
        struct batch *batch = &replayer->batches[i];
        batch->payload = pages_map(BATCH_BYTES);
        bool made = batch->payload != NULL;
        for (unsigned lane = 0; lane < replayer->lane_count && made; lane++) {
            /* A lane could get all records; memory comes with use. */
            batch->routes[lane] = pages_map_small(ROUTES_MAX * sizeof(struct route));
            made = batch->routes[lane] != NULL;
        }
        if (!made) {
            return HF_NO_MEMORY;
        }
        batch_clear(batch);
    }
    return HF_OK;
}

static enum hf_status lanes_start(struct replayer *replayer)
{
    for (unsigned i = 0; i < replayer->lane_count; i++) {
        struct lane *lane = &replayer->lanes[i];
        *lane = (struct lane){.replayer = replayer, .number = i};
        enum hf_status status = replay_lane_init(&lane->replay, replayer->inventory, i);
        if (status != HF_OK) {
            return status;
        }
        if (replayer->lane_count > 1) {
            lane->running = pthread_create(&lane->thread, NULL, lane_main, lane) == 0;
            if (!lane->running) {
                return HF_NO_MEMORY;
            }
        }
    }
    return HF_OK;
}

enum hf_status replayer_start(struct replayer **out, struct inventory *inventory, unsigned threads,
                              uint64_t digest)
{
    CHECK(threads >= 1);
    *out = NULL;
    struct replayer *replayer = aligned_alloc(CACHE_LINE_BYTES, sizeof *replayer);
    if (!replayer) {
        return HF_NO_MEMORY;
    }
    memset(replayer, 0, sizeof *replayer);
    replayer->inventory = inventory;
    replayer->base_digest = digest;
    threads = threads < RECOVERY_THREADS_MAX ? threads : RECOVERY_THREADS_MAX;
    replayer->lane_count = replay_lanes(inventory, threads);
    CHECK(replayer->lane_count >= 1);
    CHECK(replayer->lane_count <= threads);
    pthread_mutex_init(&replayer->mutex, NULL);
    pthread_cond_init(&replayer->work, NULL);
    pthread_cond_init(&replayer->idle, NULL);
    enum hf_status status = batches_make(replayer);
    if (status == HF_OK) {
        status = lanes_start(replayer);
    }
    if (status != HF_OK) {
        replayer_stop(replayer);
        return status;
    }
    *out = replayer;
    return HF_OK;
}

enum hf_status replayer_finish(struct replayer *replayer, uint64_t *digest)
{
    enum hf_status status = replayer->status == HF_OK ? drain(replayer) : replayer->status;
    if (status != HF_OK) {
        return status;
    }
    CHECK(replayer->retired == replayer->handed);
    *digest = replayer->base_digest;
    for (unsigned i = 0; i < replayer->lane_count; i++) {
        replay_lane_finish(replayer->lanes[i].replay);
        *digest += replay_digest(replayer->lanes[i].replay);
    }
    return HF_OK;
}

const struct replayer_fault *replayer_fault(const struct replayer *replayer)
{
    return &replayer->fault;
}

uint64_t replayer_records(const struct replayer *replayer)
{
    return replayer->records;
}

uint64_t replayer_digests(const struct replayer *replayer)
{
    return replayer->digests;
}

void replayer_stop(struct replayer *replayer)
{
    if (!replayer) {
        return;
    }
    pthread_mutex_lock(&replayer->mutex);
    replayer->stop = true;
    pthread_cond_broadcast(&replayer->work);
    pthread_mutex_unlock(&replayer->mutex);
    for (unsigned i = 0; i < replayer->lane_count; i++) {
        if (replayer->lanes[i].running) {
            pthread_join(replayer->lanes[i].thread, NULL);
        }
    }
    for (unsigned i = 0; i < replayer->lane_count; i++) {
        replay_lane_deinit(replayer->lanes[i].replay);
    }
    for (unsigned i = 0; i < RING; i++) {
        pages_unmap(replayer->batches[i].payload, BATCH_BYTES);
        for (unsigned lane = 0; lane < replayer->lane_count; lane++) {
            pages_unmap(replayer->batches[i].routes[lane], ROUTES_MAX * sizeof(struct route));
        }
    }
    pthread_cond_destroy(&replayer->idle);
    pthread_cond_destroy(&replayer->work);
    pthread_mutex_destroy(&replayer->mutex);
    free(replayer);
}
