/* engine_rig.h - what the engine's tests share: an engine over a simulated disk, with a clock set
 * by hand and the log's writer stepped by hand, and asking it. Included by one file of each test
 * program.
 *
 * Threads: one, where a test does not say otherwise. */
#ifndef UNIT_ENGINE_RIG_H
#define UNIT_ENGINE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "server/engine.h"

#define RIG static __attribute__((unused)) /* not every program uses all of it */

#define START_MS 1762790400000ull /* 2025-11-11 00:00 in Shanghai */
#define HOLD_MS  60000u

struct rig {
    struct clock clock;
    uint64_t ms;
    uint64_t ms_per_look; /* how far time advances when it is read */
    unsigned looks_left;  /* 0: any number; else, after so many the engine goes round for ever */
    struct storage *storage;
    struct engine_options options;
    struct engine *engine;
    unsigned stalls;      /* waits for a buffer in a row, with nothing durable in between */
    uint64_t stalled_lsn; /* durable at the last of them */
};

struct ask {
    struct engine_call call;
    struct arena arena;
    bool done;
};

RIG uint64_t rig_unix_ns(void *context)
{
    return (START_MS + ((struct rig *)context)->ms) * 1000000u;
}

RIG uint64_t rig_boottime_ns(void *context)
{
    struct rig *rig = context;
    if (rig->looks_left > 0 && --rig->looks_left == 0) {
        fail_msg("the engine goes round without doing anything");
    }
    rig->ms += rig->ms_per_look;
    return (1000 + rig->ms) * 1000000u;
}

RIG uint64_t rig_monotonic_ns(void *context)
{
    return (1000 + ((struct rig *)context)->ms) * 1000000u;
}

#define STALLS_MAX 10000u /* passes of the writer that free no buffer: it never will */

/* What would wait for ever fails instead. */
RIG void stall(void *context)
{
    struct rig *rig = context;
    uint64_t lsn = wal_commit_lsn(engine_wal(rig->engine));
    rig->stalls = lsn == rig->stalled_lsn ? rig->stalls + 1 : 0;
    rig->stalled_lsn = lsn;
    if (rig->stalls >= STALLS_MAX) {
        fail_msg("an append waits for a buffer for ever");
    }
    engine_step(rig->engine);
}

RIG void rig_recover(struct rig *rig)
{
    struct engine_recovery recovery;
    enum hf_status status =
        engine_open(&rig->engine, &rig->options, rig->storage, &rig->clock, &recovery);
    assert_string_equal(recovery.message, "");
    assert_int_equal(status, HF_OK);
    wal_set_stall_hook(engine_wal(rig->engine), stall, rig);
}

RIG void rig_open(struct rig *rig, uint64_t segment_bytes)
{
    *rig = (struct rig){
        .clock = {rig, rig_unix_ns, rig_monotonic_ns, rig_boottime_ns, sim_boot},
        .storage = sim_storage_make(1),
        .options = {.inventory = {.items_max = 64,
                                  .orders_max = 4096,
                                  .hold_ms_default = HOLD_MS,
                                  .hold_ms_max = HOLD_MS},
                    .wal = {.segment_bytes = segment_bytes,
                            .spare_segments = 1,
                            .in_flight_max = 1,
                            .digest_every_bytes = MIB(1)}},
    };
    rig_recover(rig);
}

/* Stock and orders agree, and the digest that was kept is that of the state. */
RIG void rig_verify(struct rig *rig)
{
    char what[256] = "";
    if (!inventory_verify(engine_inventory(rig->engine), what, sizeof what)) {
        fail_msg("%s", what);
    }
    assert_true(engine_digest(rig->engine) == inventory_digest(engine_inventory(rig->engine)));
}

RIG void rig_close(struct rig *rig)
{
    engine_close(rig->engine);
    storage_destroy(rig->storage);
}

/* The power fails; what recovery makes of the log must be sound. */
RIG void rig_crash(struct rig *rig)
{
    sim_storage_stop(rig->storage);
    engine_close(rig->engine);
    sim_storage_crash(rig->storage);
    rig_recover(rig);
    rig_verify(rig);
}

/* Until there is nothing more to do. A write that is under way is not done at the first look. */
RIG void rig_settle(struct rig *rig)
{
    for (unsigned idle = 0; idle < 64; idle++) {
        if (engine_step(rig->engine)) {
            idle = 0;
        }
    }
}

/* ---- Asking ---- */

RIG void ask_done(struct engine_call *call)
{
    struct ask *ask = (struct ask *)call;
    assert_false(ask->done);
    ask->done = true;
}

RIG void ask_submit(struct rig *rig, struct ask *ask, const struct request *request)
{
    *ask = (struct ask){.call = {.done = ask_done}};
    arena_init(&ask->arena, MIB(32));
    ask->call.arena = &ask->arena;
    engine_submit(rig->engine, &ask->call, request);
}

RIG const struct response *ask_wait(struct rig *rig, struct ask *ask, const struct request *request)
{
    ask_submit(rig, ask, request);
    rig_settle(rig);
    assert_true(ask->done);
    return &ask->call.response;
}

RIG void ask_free(struct ask *ask)
{
    arena_deinit(&ask->arena);
}

RIG bool message_has(const struct response *response, const char *text)
{
    char message[512];
    size_t len = response->message.len < sizeof message ? response->message.len : 0;
    if (len > 0) {
        memcpy(message, response->message.data, len);
    }
    message[len] = '\0';
    return strstr(message, text) != NULL;
}

/* Item 1, "phone" in the default pool, with so many units. */
RIG void define_phone(struct rig *rig, int64_t units)
{
    struct ask ask;
    struct item_message item = {.sku = bytes_of("phone")};
    struct request define = {.type = REQUEST_DEFINE};
    define.define.item_count = 1;
    define.define.items = &item;
    assert_int_equal(ask_wait(rig, &ask, &define)->status, HF_OK);
    assert_int_equal(ask.call.response.define.items[0], 1);
    ask_free(&ask);
    static const uint8_t id[ID_BYTES] = {0xAD};
    struct adjustment_message adjustment = {
        .id = {id, ID_BYTES}, .item = 1, .has_delta = true, .delta = units};
    struct request adjust = {.type = REQUEST_ADJUST};
    adjust.adjust.count = 1;
    adjust.adjust.adjustments = &adjustment;
    assert_int_equal(ask_wait(rig, &ask, &adjust)->adjust.results[0].status, HF_OK);
    ask_free(&ask);
}

/* Half a MiB of log: changes of stock that change nothing, with many words. */
RIG void write_log(struct rig *rig)
{
    enum { COUNT = 1600 };
    static uint64_t id;
    static uint8_t ids[COUNT][ID_BYTES];
    static struct adjustment_message changes[COUNT];
    static char reason[REASON_BYTES_MAX + 1];
    memset(reason, 'r', REASON_BYTES_MAX);
    for (unsigned i = 0; i < COUNT; i++) {
        id_to_bytes((struct id128){0xF1, ++id}, ids[i]);
        changes[i] = (struct adjustment_message){.id = {ids[i], ID_BYTES},
                                                 .item = 1,
                                                 .has_delta = true,
                                                 .reason = bytes_of(reason),
                                                 .reference = bytes_of(reason)};
    }
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = COUNT;
    request.adjust.adjustments = changes;
    struct ask ask;
    assert_int_equal(ask_wait(rig, &ask, &request)->adjust.results[0].status, HF_OK);
    ask_free(&ask);
}

#endif
