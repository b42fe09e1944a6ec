/* fuzz_message.c - see fuzz_message.h.
 *
 * Threads: one. */
#include "fuzz_message.h"

#include <string.h>

#include "base/limits.h"
#include "fuzz.h"
#include "wire/codec_layout.h"

/* ---- Numbers ---- */

#define BOUNDS_MAX 10u

/* Numbers at and beside the bounds of fields, by the fields' names. */
static const struct {
    const char *name;
    uint64_t values[BOUNDS_MAX]; /* to the first 0 but the very first */
} bounds[] = {
    {"qty", {0, 1, 2, QTY_MAX - 1, QTY_MAX, QTY_MAX + 1, INT32_MAX, UINT32_MAX}},
    {"min_qty", {0, 1, 2, QTY_MAX, QTY_MAX + 1, UINT32_MAX}},
    {"line", {0, 1, 2, 3, ORDER_LINES_MAX, ORDER_LINES_MAX + 1, UINT32_MAX}},
    {"line_count",
     {0, 1, 2, 3, ORDER_LINES_MAX, ORDER_LINES_MAX + 1, REQUEST_LINES_MAX, REQUEST_LINES_MAX + 1,
      UINT32_MAX}},
    {"item", {0, 1, 4, 5, 6, 7, 256, 257, UINT32_MAX}},
    {"to_item", {0, 1, 5, 6, 7, 256, 257, UINT32_MAX}},
    {"fallback", {0, 1, 5, 6, 7, 256, 257, UINT32_MAX}},
    {"policy", {0, 1, 2, 3, UINT32_MAX}},
    {"hold_ms", {0, 1, 999, 1000, 99999, 100000, 100001, UINT32_MAX}},
    {"hold_ms_max", {0, 1, 999, 1000, 100000, 100001, UINT32_MAX}},
    {"limit_per_buyer", {0, 1, 2, QTY_MAX, QTY_MAX + 1, UINT32_MAX}},
    {"fields", {0, 1, 7, 8, 127, 128, 255, UINT32_MAX}},
    {"safety", {0, 1, STOCK_MAX - 1, STOCK_MAX, STOCK_MAX + 1, INT64_MAX, UINT64_MAX}},
    {"presale_cap", {0, 1, STOCK_MAX - 1, STOCK_MAX, STOCK_MAX + 1, INT64_MAX, UINT64_MAX}},
    {"delta",
     {0, 1, UINT64_MAX, STOCK_MAX, STOCK_MAX + 1, -(uint64_t)STOCK_MAX, -(uint64_t)STOCK_MAX - 1,
      INT64_MAX, (uint64_t)INT64_MAX + 1}},
    {"set_to", {0, 1, UINT64_MAX, STOCK_MAX - 1, STOCK_MAX, STOCK_MAX + 1, INT64_MAX}},
    {"expected", {0, 1, UINT64_MAX, STOCK_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1}},
    {"opens_at_ms",
     {0, 1, SALE_TIME_MS_MIN - 1, SALE_TIME_MS_MIN, 1794355200000u, SALE_TIME_MS_MAX,
      SALE_TIME_MS_MAX + 1, UINT64_MAX}},
    {"closes_at_ms",
     {0, 1, SALE_TIME_MS_MIN - 1, SALE_TIME_MS_MIN, 1794355200000u, SALE_TIME_MS_MAX,
      SALE_TIME_MS_MAX + 1, UINT64_MAX}},
    {"skus_before", {0, 1, 250, 251, 252, UINT32_MAX}},
    {"items_before", {0, 1, 249, 250, 251, UINT32_MAX}},
    {"limit",
     {0, 1, LIST_ORDERS_MAX, LIST_ORDERS_MAX + 1, LIST_STOCK_MAX, LIST_STOCK_MAX + 1, UINT32_MAX}},
};

static uint64_t number_for(struct rng *rng, const char *name)
{
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0] && !rng_chance(rng, 6); i++) {
        if (strcmp(bounds[i].name, name) == 0) {
            unsigned count = 1;
            while (count < BOUNDS_MAX && bounds[i].values[count] != 0) {
                count++;
            }
            return bounds[i].values[rng_below(rng, count)];
        }
    }
    return fuzz_number(rng);
}

/* ---- Bytes ---- */

/* Texts and ids: short, of the greatest length and one more, or not what they should be. */
static struct bytes bytes_for(struct rng *rng, struct arena *arena, struct bytes present)
{
    static const size_t lengths[] = {0,
                                     1,
                                     ID_BYTES - 1,
                                     ID_BYTES,
                                     ID_BYTES + 1,
                                     CODE_BYTES_MAX,
                                     CODE_BYTES_MAX + 1,
                                     REASON_BYTES_MAX,
                                     REASON_BYTES_MAX + 1,
                                     LABEL_BYTES_MAX,
                                     LABEL_BYTES_MAX + 1};
    size_t len = rng_chance(rng, 3) ? present.len
                                    : lengths[rng_below(rng, sizeof lengths / sizeof *lengths)];
    uint8_t *text = arena_alloc(arena, len + 1);
    FUZZ_CHECK(text, "no room");
    memset(text, rng_chance(rng, 8) ? 0 : 'A' + (int)rng_below(rng, 6), len + 1);
    if (len > 0 && rng_chance(rng, 2)) {
        if (present.len > 0) {
            memcpy(text, present.data, len < present.len ? len : present.len);
        }
        text[rng_below(rng, len)] = (uint8_t)rng_next(rng);
    }
    return (struct bytes){text, len};
}

/* ---- Rows and columns ---- */

/* The rows of a repeated field, in memory that may be written to. */
struct repeated {
    uint8_t **rows; /* where the pointer to them is */
    uint32_t *count;
    size_t bytes; /* of one */
};

static size_t column_bytes(const struct layout *layout, const struct field *field)
{
    const ProtobufCFieldDescriptor *wire =
        protobuf_c_message_descriptor_get_field_by_name(layout->wire, field->name);
    FUZZ_CHECK(wire, "%s: no such field", field->name);
    switch (wire->type) {
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return 8;
    default:
        return 4;
    }
}

static struct repeated repeated_of(const struct layout *layout, const struct field *field,
                                   uint8_t *message)
{
    size_t bytes = field->kind == FIELD_ROWS    ? field->inner->here_bytes
                   : field->kind == FIELD_TEXTS ? sizeof(struct bytes)
                                                : column_bytes(layout, field);
    return (struct repeated){(uint8_t **)(void *)(message + field->here),
                             (uint32_t *)(void *)(message + field->here_more), bytes};
}

static bool is_repeated(const struct field *field)
{
    return field->kind == FIELD_ROWS || field->kind == FIELD_TEXTS || field->kind == FIELD_COLUMN;
}

/* Makes it `count` long; what is new is as what is there, or zero. */
static void repeated_resize(struct arena *arena, struct repeated repeated, uint32_t count)
{
    uint8_t *rows = arena_calloc(arena, count + 1, repeated.bytes);
    FUZZ_CHECK(rows, "no room");
    for (uint32_t i = 0; i<count && * repeated.count> 0; i++) {
        memcpy(rows + i * repeated.bytes, *repeated.rows + i % *repeated.count * repeated.bytes,
               repeated.bytes);
    }
    *repeated.rows = rows;
    *repeated.count = count;
}

static uint32_t length_for(struct rng *rng, uint32_t present)
{
    if (rng_chance(rng, 40)) {
        return ORDER_LINES_MAX + (uint32_t)rng_below(rng, 2);
    }
    if (rng_chance(rng, 20)) {
        return LINE_FALLBACKS_MAX + (uint32_t)rng_below(rng, 2);
    }
    return rng_chance(rng, 2) ? present + 1 : (uint32_t)rng_below(rng, present + 1);
}

/* Makes columns that were as long as one another so again. */
static void columns_resize(struct rng *rng, struct arena *arena, const struct layout *layout,
                           const struct field *changed, uint8_t *message)
{
    uint32_t before = *repeated_of(layout, changed, message).count;
    uint32_t count = length_for(rng, before);
    bool together = !rng_chance(rng, 4);
    for (size_t i = 0; i < layout->field_count; i++) {
        const struct field *field = &layout->fields[i];
        if (field != changed && (field->kind != FIELD_COLUMN || !together)) {
            continue;
        }
        struct repeated repeated = repeated_of(layout, field, message);
        if (*repeated.count == before) {
            repeated_resize(arena, repeated, count);
        }
    }
}

/* ---- Fields ---- */

static void mutate_fields(struct rng *rng, struct arena *arena, const struct layout *layout,
                          uint8_t *message);

/* One element of a repeated field that has some. */
static void mutate_element(struct rng *rng, struct arena *arena, const struct field *field,
                           struct repeated repeated)
{
    repeated_resize(arena, repeated, *repeated.count); /* the decoder's may be shared */
    uint8_t *at = *repeated.rows + rng_below(rng, *repeated.count) * repeated.bytes;
    if (field->kind == FIELD_ROWS) {
        mutate_fields(rng, arena, field->inner, at);
    } else if (field->kind == FIELD_TEXTS) {
        struct bytes *text = (struct bytes *)(void *)at;
        *text = bytes_for(rng, arena, *text);
    } else {
        uint64_t number = number_for(rng, field->name);
        memcpy(at, &number, repeated.bytes); /* little-endian, as all that runs here */
    }
}

static void mutate_repeated(struct rng *rng, struct arena *arena, const struct layout *layout,
                            const struct field *field, uint8_t *message)
{
    struct repeated repeated = repeated_of(layout, field, message);
    if (*repeated.count > 0 && !rng_chance(rng, 5)) {
        mutate_element(rng, arena, field, repeated);
    } else {
        columns_resize(rng, arena, layout, field, message);
    }
}

static void mutate_field(struct rng *rng, struct arena *arena, const struct layout *layout,
                         const struct field *field, uint8_t *message)
{
    uint8_t *at = message + field->here;
    uint64_t number = number_for(rng, field->name);
    bool *flag = (bool *)(void *)(message + field->here_more);
    switch (field->kind) {
    case FIELD_STATUS: /* an enum, as the numbers of 32 bits */
        number %= HF_STATUS_LOCAL;
        memcpy(at, &number, 4);
        break;
    case FIELD_U32:
        memcpy(at, &number, 4);
        break;
    case FIELD_U64:
        memcpy(at, &number, 8);
        break;
    case FIELD_BOOL:
        *(bool *)(void *)at = !*(bool *)(void *)at;
        break;
    case FIELD_BYTES:
    case FIELD_TEXT:
        *(struct bytes *)(void *)at = bytes_for(rng, arena, *(struct bytes *)(void *)at);
        break;
    case FIELD_CHOICE:
        memcpy(at, &number, 8);
        *flag = rng_chance(rng, 8) ? !*flag : *flag;
        break;
    case FIELD_PART:
        *flag = rng_chance(rng, 4) ? !*flag : *flag;
        mutate_fields(rng, arena, field->inner, at);
        break;
    case FIELD_COLUMN:
    case FIELD_TEXTS:
    case FIELD_ROWS:
        mutate_repeated(rng, arena, layout, field, message);
        break;
    }
}

static void mutate_fields(struct rng *rng, struct arena *arena, const struct layout *layout,
                          uint8_t *message)
{
    if (layout->field_count == 0) {
        return;
    }
    const struct field *field = &layout->fields[rng_below(rng, layout->field_count)];
    for (size_t i = 0; i < layout->field_count && rng_chance(rng, 2); i++) {
        /* What is repeated holds most of what there is to change. */
        field = is_repeated(&layout->fields[i]) ? &layout->fields[i] : field;
    }
    mutate_field(rng, arena, layout, field, message);
}

/* ---- Messages ---- */

void fuzz_mutate_request(struct rng *rng, struct arena *arena, struct request *request)
{
    const struct body *body = codec_request_body((unsigned)request->type);
    if (rng_chance(rng, 40)) {
        request->answer_bytes_max = (uint32_t)ANSWER_BYTES_LEAST - 1 + (uint32_t)rng_below(rng, 3);
    } else if (body) {
        mutate_fields(rng, arena, body->layout, (uint8_t *)&request->reserve);
    }
}

void fuzz_mutate_response(struct rng *rng, struct arena *arena, struct response *response)
{
    const struct body *body = codec_response_body((unsigned)response->type);
    if (rng_chance(rng, 20) || !body) {
        response->lsn = fuzz_number(rng);
        response->retry_after_ms = (uint32_t)fuzz_number(rng);
    } else {
        mutate_fields(rng, arena, body->layout, (uint8_t *)&response->orders);
    }
}
