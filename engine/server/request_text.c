/* request_text.c - texts of requests, as base/text.h wants them.
 *
 * A log older than that rule may hold codes that it refuses, or keeps in another form. Nothing
 * removes them, so a name that is spelled as one of them, byte by byte, means it.
 *
 * Threads: any. */
#include <string.h>

#include "base/text.h"
#include "server/engine_internal.h"

static const char default_pool[] = "default";

/* Moves what is in `room` to the call's memory. False: there is none, the answer says so. */
static bool keep_taken(struct engine_call *call, const uint8_t *room, struct bytes *text)
{
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

bool request_take_text(struct engine_call *call, struct place place, const char *field,
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
    struct sku_rule rule;
    if (code.len == 0 || code.len > CODE_BYTES_MAX) {
        return false;
    }
    return of ? inventory_find_item(engine->inventory, *of, code) != 0
              : inventory_sku(engine->inventory, code, &rule) == HF_OK;
}

/* of: NULL for a SKU; for a pool, its SKU. */
static bool take_code(struct engine *engine, struct engine_call *call, struct place place,
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

bool request_take_sku(struct engine *engine, struct engine_call *call, struct place place,
                      const char *field, struct bytes *sku)
{
    return take_code(engine, call, place, field, NULL, sku);
}

bool request_take_pool(struct engine *engine, struct engine_call *call, struct place place,
                       const char *field, struct bytes sku, struct bytes *pool)
{
    if (pool->len == 0) {
        *pool = bytes_of(default_pool);
        return true;
    }
    return take_code(engine, call, place, field, &sku, pool);
}

bool request_take_item(struct engine *engine, struct engine_call *call, struct place place,
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
