/* engine_rig.c - the engine without a transport.
 *
 * Threads: see the header. A slot of a lane belongs to its lane until engine_submit, then to who
 * runs done(), which posts the slot's semaphore as the last thing it does with it. */
#include "micro/engine_rig.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/spin.h"
#include "io/storage_open.h"
#include "micro/null_storage.h"
#include "micro/rig.h"
#include "micro/stopwatch.h"
#include "server/engine.h"
#include "wire/codec.h"

#define HOLD_MS 60000u

struct engine_rig {
    struct engine_rig_options options;
    struct storage *storage;
    struct clock clock;
    uint64_t ahead_ms; /* how far the rig's time is ahead of the real one */
    struct engine *engine;
    struct arena client; /* the request's bytes */
    struct arena server; /* the request's columns, the answer */
    struct engine_call call;
    atomic_bool done;
    uint64_t replayed_ns; /* when recovery last told of its progress */
};

struct slot {
    struct engine_call call;
    struct arena arena;
    struct engine_lane *lane;
    sem_t free;
};

struct engine_lane {
    struct engine_rig *rig;
    uint32_t batches;
    uint32_t next_batch;
    struct bytes *requests;
    struct arena memory;
    uint32_t in_flight;
    uint32_t next_slot;
    struct slot *slots;
    _Atomic uint64_t held;
};

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_real());
}

/* ---- A clock that can be put forward ---- */

static uint64_t rig_unix_ns(void *context)
{
    const struct engine_rig *rig = context;
    return clock_unix_ns(clock_real()) + rig->ahead_ms * 1000000u;
}

static uint64_t rig_boottime_ns(void *context)
{
    const struct engine_rig *rig = context;
    return clock_boottime_ns(clock_real()) + rig->ahead_ms * 1000000u;
}

static uint64_t rig_boot(void *context)
{
    (void)context;
    return 1;
}

static uint64_t rig_monotonic_ns(void *context)
{
    (void)context;
    return now_ns();
}

/* ---- One request at a time ---- */

static void rig_done(struct engine_call *call)
{
    struct engine_rig *rig =
        (struct engine_rig *)((char *)call - offsetof(struct engine_rig, call));
    /* release: pairs with the acquire in rig_run. */
    atomic_store_explicit(&rig->done, true, memory_order_release);
}

/* Executes a request to its durable answer, in rig->call.response. */
static void rig_run(struct engine_rig *rig, const struct request *request,
                    struct engine_phases *phases)
{
    uint64_t begin_ns = stopwatch_cpu_ns();
    atomic_store_explicit(&rig->done, false, memory_order_relaxed);
    rig->call = (struct engine_call){.arena = &rig->server, .done = rig_done};
    engine_submit(rig->engine, &rig->call, request);
    uint64_t submitted_ns = stopwatch_cpu_ns();
    /* acquire: pairs with the release in rig_done. */
    for (unsigned step = 0; !atomic_load_explicit(&rig->done, memory_order_acquire); step++) {
        if (rig->options.running) {
            spin_pause(step);
        } else {
            engine_step(rig->engine);
        }
    }
    uint64_t end_ns = stopwatch_cpu_ns();
    phases->submit_ns += stopwatch_between(begin_ns, submitted_ns);
    phases->log_ns += stopwatch_between(submitted_ns, end_ns);
}

static void rig_admin(struct engine_rig *rig, const struct request *request)
{
    struct engine_phases phases = {0};
    rig_run(rig, request, &phases);
    CHECK(rig->call.response.status == HF_OK);
    arena_clear(&rig->server);
}

/* ---- Items ---- */

#define ADMIN_AT_ONCE 1000u

static void define_some(struct engine_rig *rig, uint32_t first, uint32_t count)
{
    char names[ADMIN_AT_ONCE][16];
    uint8_t ids[ADMIN_AT_ONCE][ID_BYTES];
    struct item_message items[ADMIN_AT_ONCE];
    struct adjustment_message adjustments[ADMIN_AT_ONCE];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "SKU%u", first + i);
        id_to_bytes((struct id128){UINT64_MAX, first + i}, ids[i]);
        items[i] = (struct item_message){
            .sku = bytes_of(names[i]), .pool = bytes_of("default"), .hot = rig->options.hot};
        adjustments[i] = (struct adjustment_message){.id = {ids[i], ID_BYTES},
                                                     .item = first + i,
                                                     .has_set_to = true,
                                                     .set_to = rig->options.units};
    }
    struct request define = {.type = REQUEST_DEFINE};
    define.define.item_count = count;
    define.define.items = items;
    rig_admin(rig, &define);
    if (rig->options.units > 0) {
        struct request adjust = {.type = REQUEST_ADJUST};
        adjust.adjust.count = count;
        adjust.adjust.adjustments = adjustments;
        rig_admin(rig, &adjust);
    }
}

/* ---- Life ---- */

static void note_progress(void *context, uint64_t done_bytes, uint64_t total_bytes,
                          uint64_t records)
{
    (void)done_bytes;
    (void)total_bytes;
    (void)records;
    struct engine_rig *rig = context;
    rig->replayed_ns = now_ns();
}

static void open_storage(struct engine_rig *rig)
{
    if (rig->options.directory) {
        CHECK(storage_open(&rig->storage, rig->options.directory, STORAGE_AUTO, false) == HF_OK);
    } else {
        rig->storage = null_storage_make();
        CHECK(rig->storage != NULL);
    }
}

/* Returns how many records were replayed. */
static uint64_t rig_open(struct engine_rig *rig)
{
    struct engine_options options = {
        .inventory = {.items_max = rig->options.items,
                      .orders_max = rig->options.orders_max,
                      .orders_ready = rig->options.orders_ready,
                      .hold_ms_default = HOLD_MS,
                      .hold_ms_max = HOLD_MS},
        .wal = {.segment_bytes =
                    rig->options.small ? WAL_SEGMENT_BYTES_MIN : WAL_SEGMENT_BYTES_DEFAULT,
                .spare_segments = WAL_SPARE_SEGMENTS_DEFAULT,
                .in_flight_max = 1,
                .digest_every_bytes = WAL_DIGEST_EVERY_BYTES},
        .progress = note_progress,
        .progress_context = rig,
    };
    struct engine_recovery recovery;
    enum hf_status status =
        engine_open(&rig->engine, &options, rig->storage, &rig->clock, &recovery);
    if (status != HF_OK) {
        fprintf(stderr, "engine_open: %s %s\n", hf_status_text(status), recovery.message);
    }
    CHECK(status == HF_OK);
    return recovery.records;
}

struct engine_rig *engine_rig_make(const struct engine_rig_options *options)
{
    struct engine_rig *rig = calloc(1, sizeof *rig);
    CHECK(rig != NULL);
    rig->options = *options;
    rig->clock = (struct clock){rig, rig_unix_ns, rig_monotonic_ns, rig_boottime_ns, rig_boot};
    arena_init(&rig->client, DECODE_ARENA_BYTES_MAX);
    arena_init(&rig->server, DECODE_ARENA_BYTES_MAX + ANSWER_ARENA_BYTES_MAX);
    open_storage(rig);
    rig_open(rig);
    if (options->running) {
        while (wal_prepare_step(engine_wal(rig->engine))) {
        }
        CHECK(engine_start(rig->engine) == HF_OK);
    }
    for (uint32_t first = 1; first <= options->items; first += ADMIN_AT_ONCE) {
        uint32_t left = options->items - first + 1;
        define_some(rig, first, left < ADMIN_AT_ONCE ? left : ADMIN_AT_ONCE);
    }
    return rig;
}

void engine_rig_free(struct engine_rig *rig)
{
    if (rig->options.running) {
        engine_stop(rig->engine);
    }
    engine_close(rig->engine);
    storage_destroy(rig->storage);
    arena_deinit(&rig->client);
    arena_deinit(&rig->server);
    free(rig);
}

uint64_t engine_rig_reopen(struct engine_rig *rig, uint64_t *replay_ns, uint64_t *open_ns)
{
    CHECK(!rig->options.running);
    engine_close(rig->engine);
    storage_destroy(rig->storage);
    open_storage(rig);
    uint64_t begin_ns = now_ns();
    uint64_t records = rig_open(rig);
    *open_ns = now_ns() - begin_ns;
    *replay_ns = rig->replayed_ns - begin_ns;
    return records;
}

/* ---- Alone ---- */

static void make_batch(struct arena *arena, uint64_t first, uint32_t count, uint32_t items,
                       struct bytes *out)
{
    uint64_t *hi = arena_alloc(arena, count * sizeof *hi);
    uint64_t *lo = arena_alloc(arena, count * sizeof *lo);
    uint64_t *buyer = arena_alloc(arena, count * sizeof *buyer);
    uint32_t *item = arena_alloc(arena, count * sizeof *item);
    uint32_t *qty = arena_alloc(arena, count * sizeof *qty);
    CHECK(hi && lo && buyer && item && qty);
    for (uint32_t i = 0; i < count; i++) {
        struct id128 id = rig_id(first + i);
        hi[i] = id.hi;
        lo[i] = id.lo;
        buyer[i] = first + i + 1;
        item[i] = rig_item(first + i, items);
        qty[i] = 1;
    }
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    request.batch = (struct batch_message){
        .id_hi_count = count,
        .id_hi = hi,
        .id_lo_count = count,
        .id_lo = lo,
        .buyer_count = count,
        .buyer = buyer,
        .item_count = count,
        .item = item,
        .qty_count = count,
        .qty = qty,
    };
    CHECK(codec_request_encode(arena, &request, out) == HF_OK);
}

uint32_t engine_rig_batch(struct engine_rig *rig, uint64_t first, uint32_t count,
                          struct engine_phases *phases)
{
    struct bytes wire;
    make_batch(&rig->client, first, count, rig->options.items, &wire);
    uint64_t begin_ns = stopwatch_cpu_ns();
    struct request request;
    const char *error;
    CHECK(codec_request_decode(&rig->server, wire, &request, &error) == HF_OK);
    phases->decode_ns += stopwatch_between(begin_ns, stopwatch_cpu_ns());

    rig_run(rig, &request, phases);
    CHECK(rig->call.response.status == HF_OK);
    uint32_t held = rig->call.response.batch.ok_count;

    begin_ns = stopwatch_cpu_ns();
    struct bytes answer;
    CHECK(codec_response_encode(&rig->server, &rig->call.response, &answer) == HF_OK);
    arena_clear(&rig->server);
    phases->encode_ns += stopwatch_between(begin_ns, stopwatch_cpu_ns());
    arena_clear(&rig->client);
    return held;
}

uint64_t engine_rig_expire(struct engine_rig *rig)
{
    rig->ahead_ms += 2 * HOLD_MS;
    uint64_t expired = 0;
    for (;;) {
        uint64_t now = engine_expire(rig->engine);
        expired += now;
        while (engine_step(rig->engine)) {
        }
        if (now == 0) {
            return expired;
        }
    }
}

/* ---- Running ---- */

struct engine_lane *engine_lane_make(struct engine_rig *rig, uint64_t first, uint32_t batches,
                                     uint32_t count, uint32_t in_flight)
{
    struct engine_lane *lane = calloc(1, sizeof *lane);
    CHECK(lane != NULL);
    lane->rig = rig;
    lane->batches = batches;
    lane->in_flight = in_flight;
    lane->requests = calloc(batches, sizeof *lane->requests);
    lane->slots = calloc(in_flight, sizeof *lane->slots);
    CHECK(lane->requests && lane->slots);
    arena_init(&lane->memory, GIB(4));
    struct arena scratch;
    arena_init(&scratch, MIB(64));
    for (uint32_t i = 0; i < batches; i++) {
        struct bytes made;
        make_batch(&scratch, first + (uint64_t)i * count, count, rig->options.items, &made);
        uint8_t *copy = arena_alloc(&lane->memory, made.len);
        CHECK(copy != NULL);
        memcpy(copy, made.data, made.len);
        lane->requests[i] = (struct bytes){copy, made.len};
        arena_clear(&scratch);
    }
    arena_deinit(&scratch);
    for (uint32_t i = 0; i < in_flight; i++) {
        lane->slots[i].lane = lane;
        arena_init(&lane->slots[i].arena, DECODE_ARENA_BYTES_MAX + ANSWER_ARENA_BYTES_MAX);
        CHECK(sem_init(&lane->slots[i].free, 0, 1) == 0);
    }
    return lane;
}

void engine_lane_free(struct engine_lane *lane)
{
    for (uint32_t i = 0; i < lane->in_flight; i++) {
        arena_deinit(&lane->slots[i].arena);
        sem_destroy(&lane->slots[i].free);
    }
    arena_deinit(&lane->memory);
    free(lane->slots);
    free(lane->requests);
    free(lane);
}

static void lane_done(struct engine_call *call)
{
    struct slot *slot = (struct slot *)((char *)call - offsetof(struct slot, call));
    /* BUSY leaves nothing done: not counted. */
    CHECK(call->response.status == HF_OK || call->response.status == HF_BUSY);
    if (call->response.status == HF_OK) {
        /* relaxed: read after the semaphore. */
        atomic_fetch_add_explicit(&slot->lane->held, call->response.batch.ok_count,
                                  memory_order_relaxed);
    }
    struct bytes answer;
    CHECK(codec_response_encode(&slot->arena, &call->response, &answer) == HF_OK);
    arena_clear(&slot->arena);
    sem_post(&slot->free);
}

static void slot_wait(struct slot *slot)
{
    while (sem_wait(&slot->free) != 0) {
    }
}

void engine_lane_submit(struct engine_lane *lane)
{
    struct slot *slot = &lane->slots[lane->next_slot];
    lane->next_slot = (lane->next_slot + 1) % lane->in_flight;
    slot_wait(slot);
    struct engine *engine = lane->rig->engine;
    for (unsigned step = 0; wal_admit(engine_wal(engine)) != HF_OK; step++) {
        spin_pause(step);
    }
    CHECK(lane->next_batch < lane->batches);
    struct request request;
    const char *error;
    CHECK(codec_request_decode(&slot->arena, lane->requests[lane->next_batch++], &request,
                               &error) == HF_OK);
    slot->call = (struct engine_call){.arena = &slot->arena, .done = lane_done};
    engine_submit(engine, &slot->call, &request);
}

uint64_t engine_lane_drain(struct engine_lane *lane)
{
    for (uint32_t i = 0; i < lane->in_flight; i++) {
        slot_wait(&lane->slots[i]);
    }
    for (uint32_t i = 0; i < lane->in_flight; i++) {
        sem_post(&lane->slots[i].free);
    }
    return atomic_exchange_explicit(&lane->held, 0, memory_order_relaxed);
}
