/* request.c - fuzzes the way of a request: decoded, executed by an engine, answered, and the engine
 * restarted from its log.
 *
 * The input is a row of messages, each behind a byte that says what happens before it (nothing, a
 * step of the log, time passing and expiry) and its length in two bytes. They meet an engine with a
 * few items, on a simulated disk and clock. Then
 *   - each call is answered once, with an answer that encodes and decodes;
 *   - a decoded request encodes, and what that gives decodes and encodes to the same bytes;
 *   - orders, stock and digest agree, before and after a restart, and the digest is the same.
 * Mutations change fields and rows of the messages, to numbers at and beside their bounds: so what
 * the core takes for granted (CHECK) is held against all that a client can say. Two items have
 * stock and pre-sale without end, for sums.
 * Threads: one. */
#include <string.h>

#include "fuzz.h"
#include "fuzz_message.h"
#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "server/engine.h"
#include "wire/codec.h"

const unsigned fuzz_runs = 2000;

#define CALLS_MAX 64u
#define ITEMS     6u
#define STALL_MAX 10000u /* steps until a buffer of the log is free; more means never */
#define STEPS_MAX 10000u /* until all is done; more means never */
#define START_MS  1794355200000ull

/* One message on its way. */
struct fuzz_call {
    struct engine_call call;
    struct arena arena;
    unsigned answered;
};

struct rig {
    struct storage *storage;
    struct engine *engine;
    struct clock clock;
    uint64_t now_ms;
    struct fuzz_call calls[CALLS_MAX];
    unsigned call_count;
    uint64_t stalled_lsn; /* durable when an appender last waited for a buffer */
    unsigned stalls;      /* since then */
};

static struct storage *original; /* a log that defines the items */

static uint64_t rig_unix_ns(void *context)
{
    return ((struct rig *)context)->now_ms * 1000000u;
}

static uint64_t rig_monotonic_ns(void *context)
{
    return ((struct rig *)context)->now_ms * 1000000u;
}

static uint64_t rig_boottime_ns(void *context)
{
    return (((struct rig *)context)->now_ms - START_MS + 1000) * 1000000u;
}

static void stall(void *context)
{
    struct rig *rig = context;
    uint64_t lsn = wal_commit_lsn(engine_wal(rig->engine));
    rig->stalls = lsn == rig->stalled_lsn ? rig->stalls + 1 : 0;
    rig->stalled_lsn = lsn;
    FUZZ_CHECK(rig->stalls < STALL_MAX, "an appender waits for a buffer for ever");
    engine_step(rig->engine);
}

static void rig_open(struct rig *rig)
{
    static const struct engine_options options = {.inventory = {.items_max = 256,
                                                                .orders_max = 1024,
                                                                .hold_ms_default = 1000,
                                                                .hold_ms_max = 100000},
                                                  .wal = {.segment_bytes = WAL_SEGMENT_BYTES_MIN,
                                                          .spare_segments = 1,
                                                          .in_flight_max = 1,
                                                          .digest_every_bytes = 512},
                                                  .recovery_threads = 1};
    struct engine_recovery recovery;
    enum hf_status status =
        engine_open(&rig->engine, &options, rig->storage, &rig->clock, &recovery);
    FUZZ_CHECK(status == HF_OK, "the engine does not start: %s", recovery.message);
    wal_set_stall_hook(engine_wal(rig->engine), stall, rig);
}

static void rig_check(struct rig *rig)
{
    char what[256] = "";
    FUZZ_CHECK(inventory_verify(engine_inventory(rig->engine), what, sizeof what), "%s", what);
    FUZZ_CHECK(inventory_digest(engine_inventory(rig->engine)) == engine_digest(rig->engine),
               "the digest differs");
}

/* ---- Answers ---- */

static void call_done(struct engine_call *engine_call)
{
    struct fuzz_call *call = (struct fuzz_call *)engine_call;
    call->answered++;
}

static void check_answer(struct fuzz_call *call)
{
    FUZZ_CHECK(call->answered == 1, "answered %u times", call->answered);
    const struct response *response = &call->call.response;
    FUZZ_CHECK(response->status != HF_INTERNAL, "%.*s", (int)response->message.len,
               (const char *)response->message.data);
    struct bytes encoded;
    if (codec_response_encode(&call->arena, response, &encoded) != HF_OK) {
        return; /* too large: the server says so instead */
    }
    struct response decoded;
    call->arena.cap_bytes += MIB(128);
    FUZZ_CHECK(codec_response_decode(&call->arena, encoded, &decoded) == HF_OK,
               "an answer that can't be decoded");
    FUZZ_CHECK(decoded.status == response->status && decoded.type == response->type,
               "another answer");
}

/* True when every call is answered and the log is durable: expiry has nobody who waits for it. */
static bool all_done(const struct rig *rig)
{
    const struct wal *wal = engine_wal(rig->engine);
    for (unsigned i = 0; i < rig->call_count; i++) {
        if (rig->calls[i].answered == 0) {
            return false;
        }
    }
    return wal_commit_lsn(wal) >= wal_tail_lsn(wal);
}

/* Steps until all is done: the simulated disk takes its time. */
static void rig_settle(struct rig *rig)
{
    for (unsigned step = 0; step < STEPS_MAX && !all_done(rig); step++) {
        engine_step(rig->engine);
    }
    FUZZ_CHECK(all_done(rig), "a call is never answered, or a record never durable");
    for (unsigned i = 0; i < rig->call_count; i++) {
        check_answer(&rig->calls[i]);
        arena_deinit(&rig->calls[i].arena);
    }
    rig->call_count = 0;
}

/* ---- Requests ---- */

static void check_round_trip(const struct request *request)
{
    struct arena arena;
    arena_init(&arena, MIB(256));
    struct bytes first;
    struct bytes second;
    struct request decoded;
    const char *error = NULL;
    FUZZ_CHECK(codec_request_encode(&arena, request, &first) == HF_OK, "no room");
    FUZZ_CHECK(codec_request_decode(&arena, first, &decoded, &error) == HF_OK, "%s", error);
    FUZZ_CHECK(codec_request_encode(&arena, &decoded, &second) == HF_OK, "no room");
    FUZZ_CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0,
               "%zu bytes, then %zu", first.len, second.len);
    arena_deinit(&arena);
}

static void submit(struct rig *rig, const uint8_t *data, size_t size)
{
    if (rig->call_count == CALLS_MAX) {
        rig_settle(rig);
    }
    struct fuzz_call *call = &rig->calls[rig->call_count++];
    memset(call, 0, sizeof *call);
    arena_init(&call->arena, DECODE_ARENA_BYTES_MAX);
    call->call.arena = &call->arena;
    call->call.done = call_done;
    uint8_t *copy = fuzz_copy(data, size);
    struct request request;
    const char *error = NULL;
    enum hf_status status =
        codec_request_decode(&call->arena, (struct bytes){copy, size}, &request, &error);
    free(copy); /* the request must not point there */
    call->arena.cap_bytes += ANSWER_ARENA_BYTES_MAX;
    if (status == HF_OK) {
        check_round_trip(&request);
        engine_submit(rig->engine, &call->call, &request);
    } else {
        FUZZ_CHECK(status == HF_INVALID && error && error[0] != '\0', "refused without a reason");
        engine_refuse(rig->engine, &call->call, status, error);
    }
}

static void run_messages(struct rig *rig, struct cursor *input)
{
    while (cursor_left(input) > 0 && !input->overrun) {
        unsigned before = cursor_u8(input);
        size_t len = cursor_u16(input);
        len = len < cursor_left(input) ? len : cursor_left(input);
        const uint8_t *message = cursor_take(input, len);
        if (before % 4 == 1) {
            engine_step(rig->engine);
        } else if (before % 4 == 2) {
            rig->now_ms += (before / 4) * 50u;
            engine_expire(rig->engine);
        } else if (before % 4 == 3) {
            rig->now_ms += before / 4;
        }
        if (message) {
            submit(rig, message, len);
        }
    }
}

/* ---- Seeds: requests as clients make them, with numbers as nobody should ---- */

struct parts {
    uint8_t ids[4][ID_BYTES];
    uint64_t hi[4];
    uint64_t lo[4];
    uint64_t buyers[4];
    uint32_t items[8];
    uint32_t qtys[8];
    uint32_t line_counts[4];
    struct line_message lines[4];
    struct order_message orders[4];
    struct line_qty_message named[4];
    struct edit_message edits[4];
    struct sku_message skus[4];
    struct item_message defs[4];
    struct adjustment_message adjustments[4];
    struct bytes codes[4];
    uint32_t states[4];
};

/* Mostly a number that makes sense; now and then any. */
static uint64_t near(struct rng *rng, uint64_t low, uint64_t high)
{
    return rng_chance(rng, 12) ? fuzz_number(rng) : rng_between(rng, low, high);
}

/* Units of a line. */
static uint32_t units(struct rng *rng)
{
    static const uint32_t bounds[] = {0, QTY_MAX - 1, QTY_MAX, QTY_MAX + 1, UINT32_MAX};
    return rng_chance(rng, 12) ? bounds[rng_below(rng, 5)] : (uint32_t)near(rng, 1, 5);
}

static struct bytes code(struct rng *rng)
{
    static const char *const codes[] = {
        "A",
        "B",
        "C",
        "D",
        "default",
        "",
        "store-7",
        "\xE6\x89\x8B\xE6\x9C\xBA",
        "0123456789012345678901234567890123456789012345678901234567890123",
        "01234567890123456789012345678901234567890123456789012345678901234"};
    return bytes_of(codes[rng_chance(rng, 2) ? rng_below(rng, 5) : rng_below(rng, 10)]);
}

static void fill_orders(struct rng *rng, struct parts *parts)
{
    for (unsigned i = 0; i < 4; i++) {
        struct id128 id = {0x1111, rng_below(rng, 6)};
        id_to_bytes(id, parts->ids[i]);
        parts->hi[i] = id.hi;
        parts->lo[i] = id.lo;
        parts->buyers[i] = near(rng, 0, 2);
        parts->line_counts[i] = (uint32_t)near(rng, 1, 2);
        parts->items[2 * i] = (uint32_t)near(rng, 1, ITEMS);
        parts->items[2 * i + 1] = (uint32_t)near(rng, 1, ITEMS);
        parts->qtys[2 * i] = units(rng);
        parts->qtys[2 * i + 1] = units(rng);
        struct bytes bytes = {parts->ids[i], rng_chance(rng, 20) ? 15 : ID_BYTES};
        parts->lines[i] =
            (struct line_message){.item = parts->items[i],
                                  .qty = units(rng),
                                  .policy = rng_chance(rng, 2) ? 0 : (uint32_t)near(rng, 0, 2),
                                  .min_qty = (uint32_t)near(rng, 0, 2),
                                  .fallback_count = (uint32_t)rng_below(rng, 3),
                                  .fallback = parts->items,
                                  .split = rng_chance(rng, 2)};
        if (rng_chance(rng, 3)) {
            parts->lines[i].item = 0;
            parts->lines[i].sku = code(rng);
            parts->lines[i].pool = rng_chance(rng, 2) ? (struct bytes){0} : code(rng);
        }
        parts->orders[i] = (struct order_message){.id = bytes,
                                                  .buyer = parts->buyers[i],
                                                  .hold_ms = (uint32_t)near(rng, 0, 2000),
                                                  .line_count = (uint32_t)rng_below(rng, 4),
                                                  .lines = parts->lines};
        parts->named[i] =
            (struct line_qty_message){(uint32_t)near(rng, 1, 3), (uint32_t)near(rng, 0, 5)};
        parts->edits[i] = (struct edit_message){.id = bytes,
                                                .late_ok = rng_chance(rng, 2),
                                                .line_count = (uint32_t)rng_below(rng, 3),
                                                .lines = parts->named};
    }
}

static void fill_admin(struct rng *rng, struct parts *parts)
{
    for (unsigned i = 0; i < 4; i++) {
        parts->codes[i] = code(rng);
        parts->states[i] = (uint32_t)near(rng, 1, 5);
        parts->skus[i] = (struct sku_message){.sku = code(rng),
                                              .label = code(rng),
                                              .limit_per_buyer = (uint32_t)near(rng, 0, 9),
                                              .opens_at_ms = near(rng, 0, 0),
                                              .closes_at_ms = near(rng, 0, 0),
                                              .paused = rng_chance(rng, 8),
                                              .hold_ms = (uint32_t)near(rng, 0, 900),
                                              .hold_ms_max = (uint32_t)near(rng, 0, 90000),
                                              .fields = (uint32_t)near(rng, 0, 127)};
        parts->defs[i] = (struct item_message){.sku = code(rng),
                                               .pool = code(rng),
                                               .safety = (int64_t)near(rng, 0, 3),
                                               .presale_cap = (int64_t)near(rng, 0, 3),
                                               .hot = rng_chance(rng, 2)};
        struct adjustment_message *adjustment = &parts->adjustments[i];
        *adjustment = (struct adjustment_message){.id = {parts->ids[i], ID_BYTES},
                                                  .item = (uint32_t)near(rng, 1, ITEMS),
                                                  .delta = (int64_t)(near(rng, 0, 20) - 10),
                                                  .set_to = (int64_t)near(rng, 0, 30),
                                                  .expected = (int64_t)near(rng, 0, 30),
                                                  .has_expected = rng_chance(rng, 6),
                                                  .reason = code(rng),
                                                  .reference = code(rng),
                                                  .force = rng_chance(rng, 4)};
        adjustment->has_delta = rng_chance(rng, 2);
        adjustment->has_set_to = !adjustment->has_delta && !rng_chance(rng, 10);
        if (rng_chance(rng, 3)) {
            adjustment->to_item = rng_chance(rng, 2) ? (uint32_t)near(rng, 1, ITEMS + 2) : 0;
            adjustment->to_pool = rng_chance(rng, 2) ? bytes_of("store-7") : (struct bytes){0};
            adjustment->delta = rng_chance(rng, 8) ? adjustment->delta : 1;
        }
    }
}

static void fill_batch(struct rng *rng, const struct parts *parts, struct batch_message *batch)
{
    uint32_t count = 1 + (uint32_t)rng_below(rng, 4);
    bool lines = rng_chance(rng, 2);
    uint32_t line_count = 0;
    for (uint32_t i = 0; i < count && lines; i++) {
        line_count += parts->line_counts[i];
    }
    uint32_t rows = lines ? (line_count < 8 ? line_count : 8) : count;
    *batch = (struct batch_message){.id_hi_count = count,
                                    .id_hi = parts->hi,
                                    .id_lo_count = rng_chance(rng, 12) ? 1 : count,
                                    .id_lo = parts->lo,
                                    .buyer_count = rng_chance(rng, 2) ? 0 : count,
                                    .buyer = parts->buyers,
                                    .item_count = rows,
                                    .item = parts->items,
                                    .qty_count = rng_chance(rng, 2) ? 0 : rows,
                                    .qty = parts->qtys,
                                    .line_count_count = lines ? count : 0,
                                    .line_count = parts->line_counts,
                                    .hold_ms = (uint32_t)near(rng, 0, 2000),
                                    .late_ok = rng_chance(rng, 2)};
}

/* A commit or release batch has ids alone. */
static void keep_ids(struct batch_message *batch)
{
    batch->buyer_count = 0;
    batch->item_count = 0;
    batch->qty_count = 0;
    batch->line_count_count = 0;
    batch->hold_ms = 0;
}

static void fill_request(struct rng *rng, const struct parts *parts, struct request *request)
{
    static const enum request_type types[] = {
        REQUEST_RESERVE,       REQUEST_RESERVE,   REQUEST_RESERVE_BATCH, REQUEST_RESERVE_BATCH,
        REQUEST_COMMIT,        REQUEST_RELEASE,   REQUEST_EXTEND,        REQUEST_RETURN,
        REQUEST_COMMIT_BATCH,  REQUEST_GET_ORDER, REQUEST_GET_STOCK,     REQUEST_LIST_STOCK,
        REQUEST_RELEASE_BATCH, REQUEST_DEFINE,    REQUEST_ADJUST,        REQUEST_STATUS,
        REQUEST_COMMIT,        REQUEST_NONE,      REQUEST_LIST_ORDERS,   REQUEST_GET_SKUS,
        REQUEST_RESERVE,       REQUEST_RESERVE};
    *request = (struct request){.type = types[rng_below(rng, sizeof types / sizeof types[0])]};
    uint32_t count = (uint32_t)rng_below(rng, 5);
    switch (request->type) {
    case REQUEST_RESERVE:
        request->reserve.count = count;
        request->reserve.orders = parts->orders;
        break;
    case REQUEST_COMMIT:
    case REQUEST_RELEASE:
    case REQUEST_RETURN:
        request->edit.count = count;
        request->edit.edits = parts->edits;
        break;
    case REQUEST_EXTEND:
        request->extend.id = parts->edits[0].id;
        request->extend.hold_ms = (uint32_t)near(rng, 0, 5000);
        break;
    case REQUEST_RESERVE_BATCH:
        fill_batch(rng, parts, &request->batch);
        request->batch.late_ok = false;
        break;
    case REQUEST_COMMIT_BATCH:
    case REQUEST_RELEASE_BATCH:
        fill_batch(rng, parts, &request->batch);
        keep_ids(&request->batch);
        break;
    case REQUEST_GET_ORDER:
        request->get_order.id = parts->edits[0].id;
        break;
    case REQUEST_GET_STOCK:
        request->get_stock.item_count = count;
        request->get_stock.items = parts->items;
        request->get_stock.sku_count = (uint32_t)rng_below(rng, 5);
        request->get_stock.skus = parts->codes;
        break;
    case REQUEST_LIST_STOCK:
        request->list_stock.after_sku = code(rng);
        request->list_stock.limit = (uint32_t)near(rng, 0, 5);
        break;
    case REQUEST_LIST_ORDERS:
        request->list_orders.buyer = near(rng, 0, 2);
        request->list_orders.sku = rng_chance(rng, 2) ? code(rng) : (struct bytes){0};
        request->list_orders.pool = rng_chance(rng, 4) ? code(rng) : (struct bytes){0};
        request->list_orders.state_count = (uint32_t)rng_below(rng, 3);
        request->list_orders.states = parts->states;
        request->list_orders.after = (struct bytes){parts->ids[0], rng_chance(rng, 4) ? 16 : 0};
        request->list_orders.limit = (uint32_t)near(rng, 0, 3);
        break;
    case REQUEST_GET_SKUS:
        request->get_skus.count = count;
        request->get_skus.skus = parts->codes;
        break;
    case REQUEST_DEFINE:
        request->define.sku_count = count;
        request->define.skus = parts->skus;
        request->define.item_count = (uint32_t)rng_below(rng, 5);
        request->define.items = parts->defs;
        request->define.dry_run = rng_chance(rng, 4);
        break;
    case REQUEST_ADJUST:
        request->adjust.count = count;
        request->adjust.adjustments = parts->adjustments;
        request->adjust.dry_run = rng_chance(rng, 4);
        request->adjust.has_after = request->adjust.dry_run && rng_chance(rng, 2);
        request->adjust.after.sku_count = (uint32_t)rng_below(rng, 5);
        request->adjust.after.skus = parts->skus;
        request->adjust.after.item_count = (uint32_t)rng_below(rng, 5);
        request->adjust.after.items = parts->defs;
        break;
    case REQUEST_STATUS:
        request->status.slowest = rng_chance(rng, 2);
        break;
    case REQUEST_NONE:
        break;
    }
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    size_t len = 0;
    for (uint64_t count = rng_between(rng, 1, 48); count > 0; count--) {
        struct parts parts;
        struct request request;
        struct arena arena;
        struct bytes encoded;
        fill_orders(rng, &parts);
        fill_admin(rng, &parts);
        fill_request(rng, &parts, &request);
        arena_init(&arena, MIB(1));
        FUZZ_CHECK(codec_request_encode(&arena, &request, &encoded) == HF_OK, "no room");
        if (len + 3 + encoded.len <= room) {
            to[len++] = (uint8_t)rng_next(rng);
            store_u16(to + len, (uint16_t)encoded.len);
            memcpy(to + len + 2, encoded.data, encoded.len);
            len += 2 + encoded.len;
        }
        arena_deinit(&arena);
    }
    return len;
}

/* ---- Mutations ---- */

#define MESSAGES_MAX 64u

/* Where an input's messages are: each behind a byte and its length. */
static unsigned find_messages(const uint8_t *data, size_t size, size_t at[MESSAGES_MAX + 1])
{
    unsigned count = 0;
    for (size_t next = 0; next + 3 <= size && count < MESSAGES_MAX;) {
        at[count++] = next;
        next += 3 + (size_t)load_u16(data + next + 1);
        at[count] = next < size ? next : size;
    }
    return count;
}

/* Puts other bytes in the place of data[from..to[; the size afterwards, or as it was when there is
 * no room. */
static size_t splice(uint8_t *data, size_t size, size_t room, size_t from, size_t to,
                     const uint8_t *bytes, size_t len)
{
    if (size - (to - from) + len > room) {
        return size;
    }
    memmove(data + from + len, data + to, size - to);
    if (len > 0) {
        memcpy(data + from, bytes, len);
    }
    return size - (to - from) + len;
}

/* Changes a field of the message in data[from..to[. */
static size_t mutate_message(struct rng *rng, uint8_t *data, size_t size, size_t room, size_t from,
                             size_t to)
{
    struct arena arena;
    struct request request;
    struct bytes encoded;
    const char *error;
    arena_init(&arena, MIB(16));
    if (codec_request_decode(&arena, (struct bytes){data + from + 3, to - from - 3}, &request,
                             &error) == HF_OK) {
        for (uint64_t count = rng_between(rng, 1, 3); count > 0; count--) {
            fuzz_mutate_request(rng, &arena, &request);
        }
        if (codec_request_encode(&arena, &request, &encoded) == HF_OK &&
            encoded.len <= UINT16_MAX && size - (to - from) + 3 + encoded.len <= room) {
            store_u16(data + from + 1, (uint16_t)encoded.len);
            size = splice(data, size, room, from + 3, to, encoded.data, encoded.len);
        }
    }
    arena_deinit(&arena);
    return size;
}

size_t fuzz_mutate(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    size_t at[MESSAGES_MAX + 1];
    unsigned count = find_messages(data, size, at);
    if (count == 0) {
        return fuzz_mutate_bytes(rng, data, size, room);
    }
    uint64_t which = rng_below(rng, count);
    size_t from = at[which];
    size_t to = at[which + 1];
    if (rng_chance(rng, 3)) {
        /* Many of them, from the last to the first: those before stay where they are. */
        while (count-- > 0) {
            size = rng_chance(rng, 3)
                       ? mutate_message(rng, data, size, room, at[count], at[count + 1])
                       : size;
        }
        return size;
    }
    if (rng_chance(rng, 10)) {
        return splice(data, size, room, from, to, NULL, 0);
    }
    if (rng_chance(rng, 5)) {
        /* Once more, somewhere: an id is used again. */
        uint8_t *copy = fuzz_copy(data + from, to - from);
        size_t place = at[rng_below(rng, count)];
        size = splice(data, size, room, place, place, copy, to - from);
        free(copy);
        return size;
    }
    return mutate_message(rng, data, size, room, from, to);
}

/* ---- The target ---- */

static void rig_init(struct rig *rig, struct storage *storage)
{
    memset(rig, 0, sizeof *rig);
    rig->storage = storage;
    rig->now_ms = START_MS;
    rig->clock = (struct clock){rig, rig_unix_ns, rig_monotonic_ns, rig_boottime_ns, sim_boot};
    rig_open(rig);
}

static void submit_request(struct rig *rig, const struct request *request)
{
    struct fuzz_call *call = &rig->calls[rig->call_count++];
    memset(call, 0, sizeof *call);
    arena_init(&call->arena, MIB(1));
    call->call.arena = &call->arena;
    call->call.done = call_done;
    engine_submit(rig->engine, &call->call, request);
}

/* The log that every input begins with: items of 20 units, two of them of one SKU, one that may be
 * pre-sold, one whose SKU has a limit; one with as many units as may be, one that may be pre-sold
 * without end. */
static void make_original(void)
{
    static const char *const skus[ITEMS] = {"A", "B", "C", "D", "A", "E"};
    static struct rig rig;
    rig_init(&rig, sim_storage_make(1));
    struct item_message items[ITEMS];
    struct sku_message limited = {.sku = bytes_of("B"), .limit_per_buyer = 4};
    struct adjustment_message adjustments[ITEMS];
    uint8_t ids[ITEMS][ID_BYTES];
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i] = (struct item_message){.sku = bytes_of(skus[i]), .hot = i == 0};
        items[i].pool = bytes_of(i == 4 ? "store-7" : "default");
        items[i].presale_cap = i == 2 ? 5 : i == 5 ? STOCK_MAX : 0;
        id_to_bytes((struct id128){0xAD, i}, ids[i]);
        adjustments[i] = (struct adjustment_message){.id = {ids[i], ID_BYTES},
                                                     .item = i + 1,
                                                     .has_delta = true,
                                                     .delta = i == 3 ? STOCK_MAX : 20};
    }
    struct request define = {.type = REQUEST_DEFINE};
    define.define.item_count = ITEMS;
    define.define.sku_count = 1;
    define.define.skus = &limited;
    define.define.items = items;
    submit_request(&rig, &define);
    struct request adjust = {.type = REQUEST_ADJUST};
    adjust.adjust.count = ITEMS;
    adjust.adjust.adjustments = adjustments;
    submit_request(&rig, &adjust);
    rig_settle(&rig);
    engine_close(rig.engine);
    original = rig.storage;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!original) {
        make_original();
    }
    static struct rig rig;
    rig_init(&rig, sim_storage_copy(original, 1));
    struct cursor input = cursor_over(data, size);
    run_messages(&rig, &input);
    rig_settle(&rig);
    rig_check(&rig);
    uint64_t digest = engine_digest(rig.engine);
    engine_close(rig.engine);
    rig_open(&rig);
    FUZZ_CHECK(engine_digest(rig.engine) == digest, "the restarted engine has another digest");
    rig_check(&rig);
    engine_close(rig.engine);
    storage_destroy(rig.storage);
    return 0;
}
