/* gather.c - buckets of order records, in chunks of one mapping; sorted one by one.
 *
 * Threads: one. Source: radix partitioning until the parts fit the cache (Manegold, Boncz, Kersten,
 * Optimizing Main-Memory Join on Modern Hardware, 2002). */
#include "checkpoint/gather.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "base/pages.h"
#include "wal/record.h"

#define BUCKET_BYTES      KIB(512) /* about: half of a second-level cache */
#define BUCKETS_MIN       4u
#define BUCKETS_MAX       4096u
#define CHUNKS_A_BUCKET   4u /* at least: their last chunks are not full */
#define WRITE_AHEAD_BYTES 192u
#define SORTED_TOGETHER   4u /* records of a bucket that insertion sorts, about */

/* Records one after the other, as in the log except for their headers: there the length is in bytes
 * 2 and 3, and the LSN's distance from the chunk's in bytes 4 to 7, both in units of 8 bytes. So a
 * record takes no more than in the log. */
struct chunk {
    struct chunk *next;
    uint64_t used_bytes; /* set when the next chunk is begun, and before sorting */
    uint64_t first_lsn;
    uint8_t bytes[];
};

#define LSN_DISTANCE_MAX ((uint64_t)UINT32_MAX * 8)

static_assert(sizeof(struct chunk) + GATHER_RECORD_BYTES_MAX <= GATHER_CHUNK_BYTES,
              "a record fits a chunk");
static_assert(GATHER_RECORD_BYTES_MAX / 8 <= UINT16_MAX, "its length fits its header");
static_assert(GATHER_RECORD_BYTES_MAX >= RECORD_ORDER_BYTES_MAX, "an order fits");

struct bucket {
    uint8_t *at; /* where the next record goes */
    uint32_t room_bytes;
    uint32_t count;
    uint64_t first_lsn; /* of the last chunk */
    struct chunk *first;
    struct chunk *last;
};

struct gather {
    uint8_t *arena; /* address space for all there can be; memory comes with use */
    uint64_t arena_bytes;
    uint64_t limit_bytes; /* of it: beyond only for one bucket */
    uint64_t used_bytes;
    struct chunk *free;
    struct bucket *buckets;
    uint64_t buckets_max;
    struct gather_part part;
    unsigned shift;  /* key - part.first, shifted so far, is the bucket */
    uint64_t sorted; /* buckets that have been handed out */
    /* The present bucket's records, as gathered and in order. */
    struct gathered *found;
    struct gathered *ordered;
    uint32_t *ends;
    uint64_t room; /* records */
};

/* ---- Gathering ---- */

static uint64_t count_buckets(uint64_t chunks, uint64_t part_bytes)
{
    uint64_t buckets = part_bytes / BUCKET_BYTES + BUCKETS_MIN;
    uint64_t most = chunks / CHUNKS_A_BUCKET < BUCKETS_MAX ? chunks / CHUNKS_A_BUCKET : BUCKETS_MAX;
    return buckets < most ? buckets : most;
}

enum hf_status gather_open(struct gather **out, uint64_t memory_bytes, uint64_t log_bytes)
{
    CHECK(memory_bytes >= MIB(1));
    struct gather *gather = calloc(1, sizeof *gather);
    *out = gather;
    if (!gather) {
        return HF_NO_MEMORY;
    }
    uint64_t chunks = memory_bytes / GATHER_CHUNK_BYTES;
    gather->limit_bytes = chunks * GATHER_CHUNK_BYTES;
    gather->buckets_max =
        count_buckets(chunks, memory_bytes < log_bytes ? memory_bytes : log_bytes);
    /* Two chunks of a bucket, one after the other, hold more than one could. */
    gather->arena_bytes = 3 * log_bytes + (gather->buckets_max + 1) * GATHER_CHUNK_BYTES;
    gather->buckets = calloc(gather->buckets_max, sizeof *gather->buckets);
    /* Not in huge pages: what is taken for a minute is dear where the host takes free ones back. */
    gather->arena = pages_map(gather->arena_bytes);
    if (!gather->buckets || !gather->arena) {
        gather_close(gather);
        *out = NULL;
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

static void free_bucket_memory(struct gather *gather)
{
    free(gather->found);
    free(gather->ordered);
    free(gather->ends);
}

void gather_close(struct gather *gather)
{
    if (!gather) {
        return;
    }
    free_bucket_memory(gather);
    pages_unmap(gather->arena, gather->arena_bytes);
    free(gather->buckets);
    free(gather);
}

void gather_begin(struct gather *gather, uint64_t first, uint64_t last)
{
    CHECK(first <= last);
    if (gather->used_bytes > gather->limit_bytes) {
        pages_give_back(gather->arena + gather->limit_bytes,
                        gather->used_bytes - gather->limit_bytes);
    }
    memset(gather->buckets, 0, gather->buckets_max * sizeof *gather->buckets);
    gather->used_bytes = 0;
    gather->free = NULL;
    gather->part = (struct gather_part){first, last};
    gather->sorted = 0;
    gather->shift = 0;
    while ((last - first) >> gather->shift >= gather->buckets_max) {
        gather->shift++;
    }
    CHECK((last - first) >> gather->shift < gather->buckets_max);
}

const struct gather_part *gather_part(const struct gather *gather)
{
    return &gather->part;
}

/* The highest bucket that holds anything, or the one that is about to. */
static uint64_t highest_bucket(const struct gather *gather, uint64_t wanting)
{
    uint64_t highest = (gather->part.last - gather->part.first) >> gather->shift;
    while (highest > wanting && gather->buckets[highest].count == 0) {
        highest--;
    }
    return highest;
}

/* Gives up the highest bucket for the one that wants a chunk, which may be the same. False when
 * there is no other. */
static bool give_up_highest(struct gather *gather, uint64_t wanting)
{
    uint64_t highest = highest_bucket(gather, wanting);
    bool alone = highest == wanting;
    for (uint64_t i = 0; i < wanting && alone; i++) {
        alone = gather->buckets[i].count == 0;
    }
    if (alone) {
        return false;
    }
    struct bucket *bucket = &gather->buckets[highest];
    if (bucket->last) {
        bucket->last->next = gather->free;
        gather->free = bucket->first;
    }
    *bucket = (struct bucket){0};
    CHECK(highest > 0);
    gather->part.last = gather->part.first + (highest << gather->shift) - 1;
    CHECK(gather->part.last >= gather->part.first);
    return true;
}

static bool is_given_up(const struct gather *gather, uint64_t bucket)
{
    return bucket > (gather->part.last - gather->part.first) >> gather->shift;
}

/* Room for another chunk, unless the bucket that wants it is given up for it. False: there is no
 * memory. */
static bool make_room(struct gather *gather, uint64_t wanting)
{
    while (!gather->free && gather->used_bytes >= gather->limit_bytes &&
           !is_given_up(gather, wanting) && give_up_highest(gather, wanting)) {
    }
    return gather->free || is_given_up(gather, wanting) ||
           gather->used_bytes + GATHER_CHUNK_BYTES <= gather->arena_bytes;
}

static void begin_chunk(struct gather *gather, struct bucket *bucket, uint64_t lsn)
{
    struct chunk *chunk = gather->free;
    if (chunk) {
        gather->free = chunk->next;
    } else {
        chunk = (struct chunk *)(void *)(gather->arena + gather->used_bytes);
        gather->used_bytes += GATHER_CHUNK_BYTES;
        CHECK(gather->used_bytes <= gather->arena_bytes);
    }
    chunk->next = NULL;
    chunk->first_lsn = lsn;
    bucket->first_lsn = lsn;
    if (bucket->last) {
        bucket->last->used_bytes = (uint64_t)(bucket->at - bucket->last->bytes);
        bucket->last->next = chunk;
    } else {
        bucket->first = chunk;
    }
    bucket->last = chunk;
    bucket->at = chunk->bytes;
    bucket->room_bytes = GATHER_CHUNK_BYTES - sizeof *chunk;
}

enum hf_status gather_add(struct gather *gather, uint64_t key, uint64_t lsn, const uint8_t *record,
                          uint32_t bytes)
{
    CHECK(bytes <= GATHER_RECORD_BYTES_MAX && bytes % 8 == 0);
    CHECK(gather_has(&gather->part, key));
    uint64_t wanting = (key - gather->part.first) >> gather->shift;
    CHECK(wanting < gather->buckets_max);
    struct bucket *bucket = &gather->buckets[wanting];
    if (bucket->room_bytes < bytes || lsn - bucket->first_lsn > LSN_DISTANCE_MAX) {
        if (!make_room(gather, wanting)) {
            return HF_NO_MEMORY;
        }
        if (key > gather->part.last) {
            return HF_OK; /* its own bucket had to go */
        }
        begin_chunk(gather, bucket, lsn);
    }
    CHECK(bucket->room_bytes >= bytes);
    uint8_t *to = bucket->at;
    __builtin_prefetch(to + WRITE_AHEAD_BYTES, 1); /* more streams than the processor follows */
    memcpy(to, record, bytes);
    store_u16(to + 2, (uint16_t)(bytes / 8));
    store_u32(to + 4, (uint32_t)((lsn - bucket->first_lsn) / 8));
    bucket->at += bytes;
    bucket->room_bytes -= bytes;
    bucket->count++;
    return HF_OK;
}

/* ---- Sorting ---- */

static bool make_bucket_room(struct gather *gather, uint64_t count)
{
    if (count <= gather->room) {
        return true;
    }
    free_bucket_memory(gather);
    uint64_t room = count + count / 4;
    gather->found = malloc(room * sizeof *gather->found);
    gather->ordered = malloc(room * sizeof *gather->ordered);
    gather->ends = malloc((room + 2) * sizeof *gather->ends);
    bool made = gather->found && gather->ordered && gather->ends;
    CHECK(room >= count);
    gather->room = made ? room : 0;
    return made;
}

/* Fills in found, and gives the records their headers back. */
static void find_records(struct gather *gather, struct bucket *bucket)
{
    struct gathered *to = gather->found;
    bucket->last->used_bytes = (uint64_t)(bucket->at - bucket->last->bytes);
    for (struct chunk *chunk = bucket->first; chunk; chunk = chunk->next) {
        uint8_t *end = chunk->bytes + chunk->used_bytes;
        for (uint8_t *at = chunk->bytes; at < end; to++) {
            uint32_t bytes = 8u * load_u16(at + 2);
            *to = (struct gathered){.key = id_hash(record_order_id(at)),
                                    .lsn = chunk->first_lsn + 8 * (uint64_t)load_u32(at + 4),
                                    .record = at};
            store_u16(at + 2, 0);
            store_u32(at + 4, bytes);
            at += bytes;
        }
    }
    CHECK(to == gather->found + bucket->count);
}

/* Stable. */
static void insertion_sort(struct gathered *records, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        struct gathered record = records[i];
        uint64_t at = i;
        for (; at > 0 && record.key < records[at - 1].key; at--) {
            records[at] = records[at - 1];
        }
        records[at] = record;
    }
}

/* Sorts what was found by keys, those of one key in the order of the log: by the highest bits that
 * differ within the bucket, then by insertion. Hashes are even, so that little is left to that; an
 * order with very many events is in order already. */
static void sort_by_key(struct gather *gather, uint64_t first, uint64_t count)
{
    unsigned shift = gather->shift;
    while (shift > 0 && (uint64_t)1 << (gather->shift - shift) < count / SORTED_TOGETHER) {
        shift--;
    }
    uint64_t groups = (uint64_t)1 << (gather->shift - shift);
    uint32_t *ends = gather->ends;
    memset(ends, 0, (groups + 1) * sizeof *ends);
    for (uint64_t i = 0; i < count; i++) {
        ends[((gather->found[i].key - first) >> shift) + 1]++;
    }
    for (uint64_t i = 1; i <= groups; i++) {
        ends[i] += ends[i - 1];
    }
    for (uint64_t i = 0; i < count; i++) {
        gather->ordered[ends[(gather->found[i].key - first) >> shift]++] = gather->found[i];
    }
    CHECK(ends[groups - 1] == count);
    for (uint64_t i = 0, from = 0; i < groups; from = ends[i], i++) {
        insertion_sort(gather->ordered + from, ends[i] - from);
    }
}

static int compare_by_id(const void *a, const void *b)
{
    const struct gathered *x = a;
    const struct gathered *y = b;
    int order = memcmp(x->record + record_order_id_at(x->record),
                       y->record + record_order_id_at(y->record), ID_BYTES);
    return order ? order : (x->lsn > y->lsn) - (x->lsn < y->lsn);
}

/* Different orders of one key: all but impossible, unless somebody chose their ids for it. */
static void sort_alike(struct gathered *records, uint64_t count)
{
    for (uint64_t from = 0, to; from < count; from = to) {
        bool alike = true;
        for (to = from + 1; to < count && records[to].key == records[from].key; to++) {
            alike = alike && id_equal(record_order_id(records[to].record),
                                      record_order_id(records[from].record));
        }
        if (!alike) {
            qsort(records + from, to - from, sizeof *records, compare_by_id);
        }
    }
}

enum hf_status gather_next(struct gather *gather, const struct gathered **records, uint64_t *count)
{
    uint64_t last = (gather->part.last - gather->part.first) >> gather->shift;
    while (gather->sorted <= last && gather->buckets[gather->sorted].count == 0) {
        gather->sorted++;
    }
    if (gather->sorted > last) {
        return HF_NOT_FOUND;
    }
    struct bucket *bucket = &gather->buckets[gather->sorted];
    if (!make_bucket_room(gather, bucket->count)) {
        return HF_NO_MEMORY;
    }
    find_records(gather, bucket);
    sort_by_key(gather, gather->part.first + (gather->sorted << gather->shift), bucket->count);
    sort_alike(gather->ordered, bucket->count);
    CHECK(gather->ordered[0].key <= gather->ordered[bucket->count - 1].key);
    CHECK((gather->ordered[bucket->count - 1].key - gather->part.first) >> gather->shift ==
          gather->sorted);
    gather->sorted++;
    *records = gather->ordered;
    *count = bucket->count;
    return HF_OK;
}
