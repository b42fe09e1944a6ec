/* request_check.c - what requests have in common: counts, ranges, ids, texts, and the items they
 * name.
 *
 * A log older than the rule for texts (base/text.h) may hold codes that it refuses, or keeps in
 * another form. Nothing removes them, so a name that is spelled as one of them, byte by byte, means
 * it.
 *
 * Threads: any. */
#include "server/request_check.h"

#include <string.h>

#include "base/check.h"
#include "core/plan.h"
#include "server/engine_internal.h"

bool check_range(struct engine_call *call, struct answer_place place, const char *field,
                 int64_t value, int64_t min, int64_t max)
{
    CHECK(min <= max);
    if (value < min || value > max) {
        answer_note(call, place, ".%s: %lld, must be %lld..%lld", field, (long long)value,
                    (long long)min, (long long)max);
        return false;
    }
    return true;
}

bool request_count_fits(struct engine_call *call, const char *field, uint32_t count, uint32_t max)
{
    CHECK(max > 0);
    if (count == 0 || count > max) {
        answer_fail(call, HF_INVALID, "%s: %u of them, must be 1..%u", field, count, max);
        return false;
    }
    return true;
}

bool request_check_id(struct engine_call *call, struct answer_place place, const char *field,
                      struct id128 id)
{
    if (id_is_nil(id)) {
        answer_note(call, place, "%s: " ID_NIL_REASON, field);
        return false;
    }
    return true;
}

bool request_parse_id(struct engine_call *call, struct answer_place place, struct bytes bytes,
                      struct id128 *id)
{
    if (bytes.len != ID_BYTES) {
        answer_note(call, place, ".id: %zu bytes, must be %u", bytes.len, ID_BYTES);
        return false;
    }
    *id = id_from_bytes(bytes.data);
    return request_check_id(call, place, ".id", *id);
}

bool request_memory_there(struct engine_call *call, const void *memory)
{
    if (!memory) {
        answer_starved(call);
    }
    return memory != NULL;
}

bool request_memory_fits(struct engine_call *call, const void *memory)
{
    if (!memory) {
        answer_no_memory(call);
    }
    return memory != NULL;
}

/* ---- Texts ---- */

static const char default_pool[] = "default";

/* Moves what is in `room` to the call's memory. False: out of memory, the answer says so. */
static bool keep_taken(struct engine_call *call, const uint8_t *room, struct bytes *text)
{
    CHECK(text->data != room || text->len <= TEXT_ROOM_BYTES);
    if (text->data != room) {
        return true;
    }
    uint8_t *copy = arena_alloc(call->arena, text->len);
    if (!request_memory_fits(call, copy)) {
        return false;
    }
    memcpy(copy, room, text->len);
    text->data = copy;
    return true;
}

bool request_take_text(struct engine_call *call, struct answer_place place, const char *field,
                       enum text_kind kind, struct bytes *text)
{
    uint8_t room[TEXT_ROOM_BYTES];
    char error[TEXT_ERROR_BYTES];
    struct bytes taken;
    if (!text_take(kind, *text, room, &taken, error)) {
        answer_note(call, place, ".%s: %s", field, error);
        return false;
    }
    *text = taken;
    return keep_taken(call, room, text);
}

/* Is there, in the engine, what is spelled just so: a SKU; or a pool, of the SKU `of`? */
static bool is_known(const struct engine *engine, const struct bytes *of, struct bytes code)
{
    CHECK(engine->inventory != NULL);
    struct sku_rule rule;
    if (code.len == 0 || code.len > CODE_BYTES_MAX) {
        return false;
    }
    return of ? inventory_find_item(engine->inventory, *of, code) != 0
              : inventory_sku(engine->inventory, code, &rule) == HF_OK;
}

/* of: NULL for a SKU; for a pool, its SKU. */
static bool take_code(struct engine *engine, struct engine_call *call, struct answer_place place,
                      const char *field, const struct bytes *of, struct bytes *code)
{
    uint8_t room[TEXT_ROOM_BYTES];
    char error[TEXT_ERROR_BYTES];
    struct bytes taken;
    bool fine = text_take(TEXT_CODE, *code, room, &taken, error);
    bool same = fine && taken.data == code->data && taken.len == code->len;
    if (same || is_known(engine, of, *code)) {
        return true;
    }
    if (!fine) {
        answer_note(call, place, ".%s: %s", field, error);
        return false;
    }
    *code = taken;
    return keep_taken(call, room, code);
}

bool request_take_sku(struct engine *engine, struct engine_call *call, struct answer_place place,
                      const char *field, struct bytes *sku)
{
    return take_code(engine, call, place, field, NULL, sku);
}

bool request_take_pool(struct engine *engine, struct engine_call *call, struct answer_place place,
                       const char *field, struct bytes sku, struct bytes *pool)
{
    if (pool->len == 0) {
        *pool = bytes_of(default_pool);
        return true;
    }
    return take_code(engine, call, place, field, &sku, pool);
}

bool request_take_item(struct engine *engine, struct engine_call *call, struct answer_place place,
                       struct bytes *sku, struct bytes *pool)
{
    return request_take_sku(engine, call, place, "sku", sku) &&
           request_take_pool(engine, call, place, "pool", *sku, pool);
}

bool request_take_after(struct engine *engine, struct engine_call *call, struct bytes *after)
{
    uint8_t room[TEXT_ROOM_BYTES];
    char error[TEXT_ERROR_BYTES];
    struct bytes taken;
    if (is_known(engine, NULL, *after) || !text_take(TEXT_CODE, *after, room, &taken, error)) {
        return true;
    }
    *after = taken;
    return keep_taken(call, room, after);
}

/* ---- Items ---- */

enum hf_status stockroom_item(const struct stockroom *room, uint32_t item, struct item_view *view)
{
    CHECK(room->engine != NULL);
    return room->plan ? plan_item(room->plan, item, view)
                      : inventory_item(room->engine->inventory, item, view);
}

uint32_t stockroom_find(const struct stockroom *room, struct bytes sku, struct bytes pool)
{
    CHECK(room->engine != NULL);
    return room->plan ? plan_find_item(room->plan, sku, pool)
                      : inventory_find_item(room->engine->inventory, sku, pool);
}

uint32_t request_resolve_in(const struct stockroom *room, struct engine_call *call,
                            struct answer_place place, uint32_t item, struct bytes sku,
                            struct bytes pool, enum hf_status *status)
{
    *status = HF_INVALID;
    if (item != 0) {
        if (inventory_has_item(room->engine->inventory, item)) {
            return item;
        }
        *status = HF_UNKNOWN_ITEM;
        answer_note(call, place, ".item: there is no item %u", item);
        return 0;
    }
    if (!request_take_item(room->engine, call, place, &sku, &pool)) {
        return 0;
    }
    item = stockroom_find(room, sku, pool);
    if (item == 0) {
        *status = HF_UNKNOWN_ITEM;
        answer_note(call, place, ".sku: there is no item %.*s in pool %.*s", text_len(sku),
                    (const char *)sku.data, text_len(pool), (const char *)pool.data);
    }
    return item;
}

uint32_t request_resolve(struct engine *engine, struct engine_call *call, struct answer_place place,
                         uint32_t item, struct bytes sku, struct bytes pool, enum hf_status *status)
{
    struct stockroom room = {engine, NULL};
    return request_resolve_in(&room, call, place, item, sku, pool, status);
}

struct stock_message request_stock_of(const struct item_view *view)
{
    return (struct stock_message){
        .item = view->item,
        .sku = view->sku,
        .pool = view->pool,
        .stocked = view->stock.stocked,
        .held = view->stock.held,
        .sold = view->stock.sold,
        .available = view->stock.available,
        .safety = view->stock.safety,
        .presale_cap = view->stock.presale_cap,
    };
}
