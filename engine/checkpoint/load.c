/* load.c - checks checkpoints, and loads them.
 *
 * Threads: each call belongs to one thread; loading starts more for itself. What is in a frame is
 * read only after its checksum was found to fit. */
#include "checkpoint/load.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/parallel.h"
#include "checkpoint/file.h"
#include "checkpoint/info.h"
#include "core/replay.h"
#include "wal/record.h"

/* ---- Records ---- */

/* A walk over the records of a frame. */
struct frame_records {
    const uint8_t *next;
    size_t left;
    uint32_t count;
};

/* The next record. False at the frame's end, and where there is none that fits. */
static bool records_next(struct frame_records *records, const uint8_t **record, uint32_t *bytes)
{
    unsigned type;
    if (records->left == 0 || !checkpoint_record_peek(records->next, records->left, &type, bytes)) {
        return false;
    }
    CHECK(*bytes <= records->left);
    *record = records->next;
    records->next += *bytes;
    records->left -= *bytes;
    records->count++;
    return true;
}

static bool records_done(const struct frame_records *records, const struct frame_header *header)
{
    return records->left == 0 && records->count == header->record_count;
}

/* SKUs and items are the log's records, and the rest the checkpoint's own. */
static enum hf_status load_ledger_record(struct inventory *inventory, struct wal_marks *marks,
                                         const uint8_t *record, uint32_t bytes)
{
    if (record[0] >= CHECKPOINT_STOCK) {
        return ledger_record_load(record, bytes, inventory, marks);
    }
    struct event event;
    struct record_scratch scratch;
    size_t used;
    const char *reason;
    if (record_decode(record, bytes, &event, &scratch, &used, &reason) != HF_OK || used != bytes ||
        (event.type != EVENT_SKU_DEFINED && event.type != EVENT_ITEM_DEFINED)) {
        return HF_DAMAGED;
    }
    return inventory_apply(inventory, &event);
}

enum hf_status checkpoint_load_ledger(struct frame_reader *reader, struct inventory *inventory,
                                      struct wal_marks *marks)
{
    struct frame_header header;
    const uint8_t *payload;
    enum hf_status status;
    frame_reader_seek(reader, reader->header.ledger_offset, reader->file_bytes);
    while ((status = frame_reader_next(reader, &header, &payload)) == HF_OK) {
        struct frame_records records = {payload, header.payload_bytes, 0};
        const uint8_t *record;
        uint32_t bytes;
        if (header.kind != FRAME_LEDGER) {
            return frame_reader_fault(reader, "a frame of orders among the ledger's");
        }
        while (status == HF_OK && records_next(&records, &record, &bytes)) {
            status = load_ledger_record(inventory, marks, record, bytes);
        }
        if (status == HF_DAMAGED || (status == HF_OK && !records_done(&records, &header))) {
            return frame_reader_fault(reader, "an impossible record of the ledger");
        }
        if (status != HF_OK) {
            return status;
        }
    }
    if (reader->header.version < CHECKPOINT_VERSION) {
        wal_marks_init(marks); /* none is better than those of a clock that may have been wrong */
    }
    return status == HF_NOT_FOUND ? HF_OK : status;
}

/* ---- Orders ----
 *
 * The file's orders are in CHECKPOINT_SEEKS parts, by the highest bits of their ids' hashes, and so
 * are the shards of the order table: each thread draws parts that share no shard with others, in
 * the order of the file, and loads them with a reader of its own. There are several threads to a
 * processor, and each waits for its own reads, past the page cache: while some wait others load,
 * and the disk always has something to do. What is reported of the file as a whole is put together
 * from the parts afterwards. */

#define PROGRESS_BYTES MIB(16) /* progress is reported after that many */
#define LOADERS_EACH   4u      /* to a thread that may be at work */
#define INDEX_AHEAD    32u /* orders from prefetching their place in the index until it is used */

struct orders_part {
    enum hf_status status;
    char message[sizeof(((struct checkpoint_info *)0)->message)]; /* DAMAGED */
    uint64_t *hashes; /* of the part's frames, for the chain over all of them */
    size_t frames;
    size_t frames_room;
    uint64_t first_sequence; /* of the frames */
    uint64_t orders;
    uint64_t held;
};

struct orders_load {
    const struct checkpoint_header *header;
    struct inventory *inventory; /* NULL: only check */
    unsigned threads;
    unsigned draws; /* how many there are: each takes that many parts in a row */
    _Atomic unsigned next_draw;
    struct orders_part parts[CHECKPOINT_SEEKS];
    _Atomic unsigned failed_part; /* what lies after need not be read */
    _Atomic uint64_t done_bytes;
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
    struct part_loader *loaders;
};

/* What a thread has. */
struct part_loader {
    struct frame_reader reader;
    struct order_line_view *lines;
    struct replay_lane *lane; /* NULL: only check */
    uint64_t previous_key;
};

static bool part_note_frame(struct orders_part *part, const struct frame_header *header)
{
    if (part->frames == part->frames_room) {
        size_t room = part->frames_room ? 2 * part->frames_room : 64;
        uint64_t *hashes = realloc(part->hashes, room * sizeof *hashes);
        if (!hashes) {
            return false;
        }
        part->hashes = hashes;
        part->frames_room = room;
    }
    if (part->frames == 0) {
        part->first_sequence = header->sequence;
    }
    CHECK(part->frames < part->frames_room);
    part->hashes[part->frames++] = header->hash;
    return true;
}

/* key: the hash of its id. */
static enum hf_status load_order_record(struct part_loader *loader, struct orders_part *part,
                                        unsigned number, const uint8_t *record, uint32_t bytes,
                                        uint64_t key)
{
    struct order_image image;
    if (!order_record_decode(record, bytes, &image, loader->lines)) {
        return HF_DAMAGED;
    }
    if (image.lsn > loader->reader.header.info.start.lsn || key < loader->previous_key ||
        key / (UINT64_MAX / CHECKPOINT_SEEKS + 1) != number) {
        return HF_DAMAGED;
    }
    loader->previous_key = key;
    part->orders++;
    part->held += image.state == ORDER_HELD;
    return loader->lane ? image_load_order(loader->lane, &image, key) : HF_OK;
}

/* Orders that are read ahead: orders come in the order of shards, but in a shard's index each
 * has a place of its own, and that is fetched meanwhile. */
struct orders_ahead {
    struct frame_records records;
    uint64_t
        keys[INDEX_AHEAD]; /* of the record with that number in the frame, modulo INDEX_AHEAD */
};

static void ahead_next(struct orders_ahead *ahead, const struct replay_lane *lane)
{
    const uint8_t *record;
    uint32_t bytes;
    uint32_t number = ahead->records.count;
    if (records_next(&ahead->records, &record, &bytes)) {
        uint64_t key = id_hash(order_record_id(record));
        ahead->keys[number % INDEX_AHEAD] = key;
        if (lane) {
            replay_prefetch_index(lane, key);
        }
    }
}

static enum hf_status load_frame(struct part_loader *loader, struct orders_part *part,
                                 unsigned number, const struct frame_header *header,
                                 const uint8_t *payload)
{
    struct frame_records records = {payload, header->payload_bytes, 0};
    struct orders_ahead ahead = {.records = records};
    const uint8_t *record;
    uint32_t bytes;
    enum hf_status status = HF_OK;
    if (header->kind != FRAME_ORDERS) {
        return frame_reader_fault(&loader->reader, "a frame of the ledger among the orders'");
    }
    for (uint32_t i = 0; i < INDEX_AHEAD; i++) {
        ahead_next(&ahead, loader->lane);
    }
    while (status == HF_OK && records_next(&records, &record, &bytes)) {
        uint64_t key = ahead.keys[(records.count - 1) % INDEX_AHEAD];
        status = load_order_record(loader, part, number, record, bytes, key);
        ahead_next(&ahead, loader->lane);
    }
    if (status == HF_CONFLICT) {
        return frame_reader_fault(&loader->reader, "an order has other units of a limit or of a "
                                                   "pre-sale ticket than the ledger counts");
    }
    if (status == HF_DAMAGED || (status == HF_OK && !records_done(&records, header))) {
        return frame_reader_fault(&loader->reader, "an impossible order's record");
    }
    return status;
}

/* Told by one thread alone, of what all have done. */
static void tell_progress(struct orders_load *load, unsigned thread, uint64_t bytes)
{
    /* relaxed: a number for people. */
    uint64_t before = atomic_fetch_add_explicit(&load->done_bytes, bytes, memory_order_relaxed);
    if (load->progress && thread == 0 &&
        (load->threads == 1 || (before + bytes) / PROGRESS_BYTES != before / PROGRESS_BYTES)) {
        load->progress(load->context, before + bytes, load->header->info.file_bytes);
    }
}

static enum hf_status load_frames(struct orders_load *load, unsigned thread, unsigned number)
{
    const struct checkpoint_header *whole = load->header;
    struct part_loader *loader = &load->loaders[thread];
    struct frame_reader *reader = &loader->reader;
    struct orders_part *part = &load->parts[number];
    uint64_t end =
        number + 1 < CHECKPOINT_SEEKS ? whole->seek_offset[number + 1] : whole->ledger_offset;
    frame_reader_seek(reader, whole->seek_offset[number], end);
    struct frame_header header;
    const uint8_t *payload;
    enum hf_status status;
    while ((status = frame_reader_next(reader, &header, &payload)) == HF_OK) {
        if (!part_note_frame(part, &header)) {
            return HF_NO_MEMORY;
        }
        status = load_frame(loader, part, number, &header, payload);
        if (status != HF_OK) {
            return status;
        }
        tell_progress(load, thread, frame_span(header.payload_bytes));
        /* relaxed: only saves work. */
        if (atomic_load_explicit(&load->failed_part, memory_order_relaxed) < number) {
            return HF_CANCELED;
        }
    }
    return status == HF_NOT_FOUND ? HF_OK : status;
}

static void note_failure(struct orders_load *load, unsigned number)
{
    unsigned before = atomic_load_explicit(&load->failed_part, memory_order_relaxed);
    while (number < before &&
           !atomic_compare_exchange_weak_explicit(&load->failed_part, &before, number,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* False: it failed. */
static bool load_part(struct orders_load *load, unsigned thread, unsigned number)
{
    CHECK(thread < load->threads);
    CHECK(number < CHECKPOINT_SEEKS);
    struct orders_part *part = &load->parts[number];
    part->status = load_frames(load, thread, number);
    if (checkpoint_is_lost(part->status)) {
        frame_reader_message(&load->loaders[thread].reader, part->status, part->message,
                             sizeof part->message);
    }
    if (part->status != HF_OK) {
        note_failure(load, number);
    }
    return part->status == HF_OK;
}

static void load_thread(void *context, unsigned thread)
{
    struct orders_load *load = context;
    unsigned share = CHECKPOINT_SEEKS / load->draws;
    CHECK(share * load->draws == CHECKPOINT_SEEKS);
    bool going = true;
    while (going) {
        /* relaxed: only who gets what. */
        unsigned draw = atomic_fetch_add_explicit(&load->next_draw, 1, memory_order_relaxed);
        if (draw >= load->draws) {
            break;
        }
        for (unsigned i = draw * share; i < (draw + 1) * share && going; i++) {
            going = load_part(load, thread, i);
        }
    }
}

/* ---- What the parts make together ---- */

/* The header is whole, so this is how it was written; but nothing else says so. */
static bool seeks_fit(const struct checkpoint_header *header)
{
    uint64_t before = WAL_PAGE_BYTES;
    bool fit = header->seek_offset[0] == WAL_PAGE_BYTES;
    for (unsigned i = 0; i < CHECKPOINT_SEEKS && fit; i++) {
        uint64_t offset = header->seek_offset[i];
        fit = offset >= before && offset <= header->ledger_offset && offset % WAL_PAGE_BYTES == 0;
        before = offset;
    }
    return fit;
}

/* The first part that failed, in the order of the file: what lies before it was read to its end. */
static enum hf_status first_failure(const struct orders_load *load, struct checkpoint_info *info)
{
    enum hf_status status = HF_OK;
    for (unsigned i = 0; i < CHECKPOINT_SEEKS; i++) {
        const struct orders_part *part = &load->parts[i];
        if (part->status != HF_OK && part->status != HF_CANCELED) {
            memcpy(info->message, part->message, sizeof info->message);
            return part->status;
        }
    }
    return status;
}

/* Frames and orders of all parts, into the reader as if it had read them. */
static enum hf_status add_up(const struct orders_load *load, struct frame_reader *reader)
{
    uint64_t orders = 0;
    uint64_t held = 0;
    reader->chain = 0;
    reader->next_sequence = 0;
    for (unsigned i = 0; i < CHECKPOINT_SEEKS; i++) {
        const struct orders_part *part = &load->parts[i];
        reader->offset = load->header->seek_offset[i];
        if (part->frames > 0 && part->first_sequence != reader->next_sequence) {
            return frame_reader_fault(reader, "the frame is out of place");
        }
        for (size_t j = 0; j < part->frames; j++) {
            reader->chain = frame_chain(reader->chain, part->hashes[j]);
        }
        reader->next_sequence += part->frames;
        orders += part->orders;
        held += part->held;
    }
    reader->offset = load->header->ledger_offset;
    if (orders != load->header->info.orders || held != load->header->info.orders_held) {
        return frame_reader_fault(reader, "the header counts other orders than there are");
    }
    return HF_OK;
}

/* ---- Threads ---- */

/* A reader each, opened before they start: only reading is done side by side. */
static enum hf_status loaders_open(struct orders_load *load, struct storage *storage)
{
    load->loaders = calloc(load->threads, sizeof *load->loaders);
    enum hf_status status = load->loaders ? HF_OK : HF_NO_MEMORY;
    for (unsigned i = 0; i < load->threads && load->loaders; i++) {
        load->loaders[i].reader.file = -1;
    }
    for (unsigned i = 0; i < load->threads && status == HF_OK; i++) {
        struct part_loader *loader = &load->loaders[i];
        loader->lines = malloc(ORDER_LINES_MAX * sizeof *loader->lines);
        status = loader->lines
                     ? frame_reader_open(&loader->reader, storage, load->header->info.number)
                     : HF_NO_MEMORY;
        if (status == HF_OK && load->threads > 1) {
            storage->ops->read_direct(storage, loader->reader.file);
        }
        if (status == HF_OK && load->inventory) {
            status = replay_lane_init(&loader->lane, load->inventory, i);
        }
    }
    return status;
}

static void loaders_close(struct orders_load *load)
{
    for (unsigned i = 0; i < load->threads && load->loaders; i++) {
        struct part_loader *loader = &load->loaders[i];
        frame_reader_close(&loader->reader);
        replay_lane_deinit(loader->lane);
        free(loader->lines);
    }
    free(load->loaders);
    for (unsigned i = 0; i < CHECKPOINT_SEEKS; i++) {
        free(load->parts[i].hashes);
    }
}

/* Loads or checks all orders; afterwards `reader` is before the ledger. */
static enum hf_status load_orders(struct orders_load *load, struct frame_reader *reader,
                                  struct checkpoint_info *info)
{
    reader->offset = 0;
    if (!seeks_fit(load->header)) {
        return frame_reader_fault(reader,
                                  "the checkpoint header's offsets of orders are impossible");
    }
    enum hf_status status = loaders_open(load, reader->storage);
    if (status == HF_OK) {
        parallel_run(load->threads, load_thread, load);
        status = first_failure(load, info);
    }
    for (unsigned i = 0; i < load->threads && status == HF_OK && load->inventory; i++) {
        replay_lane_finish(load->loaders[i].lane);
    }
    return status == HF_OK ? add_up(load, reader) : status;
}

/* ---- Whole files ---- */

/* The frames of the ledger again, for the chain over all of them. */
static enum hf_status check_chain(struct frame_reader *reader)
{
    struct frame_header header;
    const uint8_t *payload;
    enum hf_status status;
    reader->end = reader->file_bytes;
    while ((status = frame_reader_next(reader, &header, &payload)) == HF_OK) {
        if (header.kind != FRAME_LEDGER) {
            return frame_reader_fault(reader, "a frame of orders among the ledger's");
        }
    }
    if (status != HF_NOT_FOUND) {
        return status;
    }
    if (reader->next_sequence != reader->header.frames ||
        reader->chain != reader->header.frames_hash) {
        return frame_reader_fault(reader, "the frames differ from those in the header");
    }
    return HF_OK;
}

/* Whether there is what the header counts. */
static enum hf_status check_definitions(struct frame_reader *reader,
                                        const struct inventory *inventory)
{
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    if (counts.skus != reader->header.info.skus || counts.items != reader->header.info.items) {
        return frame_reader_fault(reader, "the header counts other definitions than there are");
    }
    return HF_OK;
}

/* The ledger first, since orders need its items; then the orders. */
static enum hf_status load_all(struct orders_load *load, struct frame_reader *reader,
                               struct checkpoint_info *info)
{
    enum hf_status status = HF_OK;
    if (load->inventory) {
        status = checkpoint_load_ledger(reader, load->inventory, &info->marks);
    }
    if (status == HF_OK && load->inventory) {
        status = check_definitions(reader, load->inventory);
    }
    if (status == HF_OK && load->inventory && !inventory_claims_begin(load->inventory)) {
        status = HF_NO_MEMORY;
    }
    if (status == HF_OK) {
        status = load_orders(load, reader, info);
    }
    if (load->inventory) {
        inventory_claims_end(load->inventory);
    }
    return status == HF_OK ? check_chain(reader) : status;
}

/* How many parts, or rows of parts, have no shard of the order table in common. */
static unsigned draws_for(const struct inventory *inventory)
{
    return inventory ? replay_lanes(inventory, CHECKPOINT_SEEKS) : 1;
}

/* One alone stays one: it loads in the order of the file. */
static unsigned loaders_for(unsigned threads, unsigned draws)
{
    CHECK(threads >= 1);
    CHECK(draws >= 1 && draws <= CHECKPOINT_SEEKS);
    unsigned wanted = threads == 1 ? 1 : threads * LOADERS_EACH;
    return wanted < draws ? wanted : draws;
}

static enum hf_status load_file(struct storage *storage, uint64_t number,
                                struct inventory *inventory, unsigned threads,
                                struct checkpoint_info *info,
                                void (*progress)(void *context, uint64_t done, uint64_t total),
                                void *context)
{
    struct frame_reader reader;
    enum hf_status status = checkpoint_open(&reader, storage, number, info);
    if (status != HF_OK) {
        return status;
    }
    struct orders_load *load = calloc(1, sizeof *load);
    if (!load) {
        frame_reader_close(&reader);
        return HF_NO_MEMORY;
    }
    unsigned draws = draws_for(inventory);
    *load = (struct orders_load){.header = &reader.header,
                                 .inventory = inventory,
                                 .threads = loaders_for(threads, draws),
                                 .draws = draws,
                                 .failed_part = CHECKPOINT_SEEKS,
                                 .progress = progress,
                                 .context = context};
    status = load_all(load, &reader, info);
    if (checkpoint_is_lost(status) && info->message[0] == '\0') {
        frame_reader_message(&reader, status, info->message, sizeof info->message);
    }
    loaders_close(load);
    free(load);
    frame_reader_close(&reader);
    return status;
}

enum hf_status checkpoint_verify(struct storage *storage, uint64_t number,
                                 struct checkpoint_info *info,
                                 void (*progress)(void *context, uint64_t done, uint64_t total),
                                 void *context)
{
    return load_file(storage, number, NULL, 1, info, progress, context);
}

enum hf_status checkpoint_load(struct storage *storage, uint64_t number,
                               struct inventory *inventory, unsigned threads,
                               struct checkpoint_info *info,
                               void (*progress)(void *context, uint64_t done, uint64_t total),
                               void *context)
{
    CHECK(inventory != NULL);
    return load_file(storage, number, inventory, threads, info, progress, context);
}

enum hf_status checkpoint_load_catalog(struct storage *storage, uint64_t number,
                                       struct inventory *inventory, struct checkpoint_info *info)
{
    struct frame_reader reader;
    enum hf_status status = checkpoint_open(&reader, storage, number, info);
    if (status != HF_OK) {
        return status;
    }
    status = checkpoint_load_ledger(&reader, inventory, &info->marks);
    if (checkpoint_is_lost(status)) {
        frame_reader_message(&reader, status, info->message, sizeof info->message);
    }
    frame_reader_close(&reader);
    return status;
}
