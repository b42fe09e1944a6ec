/* codec.c - requests and responses to and from protobuf, through protobuf-c and an arena.
 *
 * Decoding has two steps. protobuf-c unpacks the message into the arena, whose cap bounds what a
 * hostile message can take (1 MiB of empty submessages asks for 63 MB). Then rows are copied into
 * the structs of message.h; columns are handed over as protobuf-c made them. Text is checked here,
 * because the generated code calls every string bytes (proto/CMakeLists.txt says why). The server
 * checks which numbers are allowed.
 *
 * Both directions walk the same tables (codec_layout.c).
 *
 * To add a field to a message:
 *   1. proto/holdfast.proto: the field, with a number that was never used in this message, and a
 *      comment with its unit and what 0 or empty means. An old caller sends 0: 0 must mean what the
 *      engine did before.
 *   2. message.h: a member of the same name in the struct of that message.
 *   3. codec_layout.c: NUMBER, FLAG, TEXT ... in the LAYOUT of that message. This file needs no
 *      change. A field that is in the proto file and in no LAYOUT fails a CHECK in take_fields()
 * and put_fields() at the first message of its kind.
 *   4. engine/server/request_*.c: checks the value (a wrong one is INVALID, with the field's name)
 *      and hands it to the core. Of a response: fills it in.
 *   5. include/holdfast/client.h and engine/client/: if callers of the library can give or read it.
 *   6. docs/protocol.md, and a round trip in tests/unit/wire/codec_test.c.
 * To add a kind of request or response: also its number in message.h's enum, its member in the
 * union, its LAYOUT, and its row in request_bodies or response_bodies.
 *
 * Threads: any; an arena belongs to one call.
 * Invariant: nothing decoded points into the message's own bytes.
 * Source: protobuf-c 1.4.1, protobuf-c.c. Its parser accepts repeated scalars packed and unpacked,
 * and takes the last of several members of a oneof. */
#include "wire/codec.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "holdfast.pb-c.h"
#include "wire/codec_layout.h"

#define ERROR_BYTES_MAX 160u
#define PATH_DEPTH_MAX  2u /* orders, and their lines */

/* ---- Memory and errors ---- */

struct unpacking {
    struct arena *arena;
    bool exhausted; /* the arena's cap was reached */
};

static void *unpack_alloc(void *context, size_t size)
{
    struct unpacking *unpacking = context;
    void *memory = arena_alloc(unpacking->arena, size);
    unpacking->exhausted |= memory == NULL;
    return memory;
}

static void unpack_free(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

/* The state of decoding one message. While it runs, the arena's cap is lower by ERROR_BYTES_MAX: so
 * there is room for the error that says that the cap was reached. */
struct decoder {
    struct arena *arena;
    size_t cap_bytes;   /* the arena's own */
    const char **error; /* NULL: the caller wants none */
    const char *body;   /* name of the body; NULL: not in it yet */
    unsigned depth;     /* rows that decoding is inside of */
    struct {
        const char *name; /* of the repeated field */
        size_t index;
    } path[PATH_DEPTH_MAX];
};

/* The machine has no memory now: nothing is wrong with the message. */
static enum hf_status refuse_starved(struct decoder *decoder)
{
    if (decoder->error) {
        *decoder->error = "out of memory";
    }
    return HF_NO_MEMORY;
}

/* Sets the error. Returns INVALID, or NO_MEMORY when there is no memory for the error. */
__attribute__((format(printf, 2, 3))) static enum hf_status refuse(struct decoder *decoder,
                                                                   const char *format, ...)
{
    if (!decoder->error) {
        return HF_INVALID;
    }
    decoder->arena->cap_bytes = decoder->cap_bytes;
    char *text = arena_alloc(decoder->arena, ERROR_BYTES_MAX);
    if (!text) {
        return refuse_starved(decoder);
    }
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, ERROR_BYTES_MAX, format, args);
    va_end(args);
    CHECK(len >= 0);
    CHECK((size_t)len < ERROR_BYTES_MAX);
    *decoder->error = text;
    return HF_INVALID;
}

/* The arena gave no memory. */
static enum hf_status refuse_memory(struct decoder *decoder)
{
    if (decoder->arena->starved) {
        return refuse_starved(decoder);
    }
    return refuse(decoder, "decoding needs more than %zu bytes", decoder->cap_bytes);
}

/* As "reserve.orders[3].lines[0].sku: not valid UTF-8". name NULL: the innermost row itself. */
static enum hf_status refuse_field(struct decoder *decoder, const char *name, const char *fault)
{
    char path[ERROR_BYTES_MAX];
    size_t len = (size_t)snprintf(path, sizeof path, "%s", decoder->body ? decoder->body : "");
    for (unsigned i = 0; i < decoder->depth; i++) {
        len += (size_t)snprintf(path + len, sizeof path - len, ".%s[%zu]", decoder->path[i].name,
                                decoder->path[i].index);
        CHECK(len < sizeof path);
    }
    return refuse(decoder, "%s%s%s: %s", path, len > 0 && name ? "." : "", name ? name : "", fault);
}

/* ---- Places in structs ---- */

static const void *member_of(const void *object, uint16_t offset)
{
    return (const char *)object + offset;
}

static void *member_in(void *object, uint16_t offset)
{
    return (char *)object + offset;
}

/* A pointer of any type. C does not allow to read it as a void *. */
static void *pointer_of(const void *object, uint16_t offset)
{
    void *pointer;
    memcpy(&pointer, member_of(object, offset), sizeof pointer);
    return pointer;
}

static void pointer_set(void *object, uint16_t offset, const void *pointer)
{
    memcpy(member_in(object, offset), &pointer, sizeof pointer);
}

/* ---- Decoding ---- */

static enum hf_status take_fields(struct decoder *decoder, const struct layout *layout,
                                  const void *from, void *to);

static struct bytes bytes_from(ProtobufCBinaryData binary)
{
    return (struct bytes){binary.data, binary.len};
}

/* A status from outside. Numbers that only this side of the wire makes become INTERNAL. */
static enum hf_status status_from(int status)
{
    return status < 0 || status >= HF_STATUS_LOCAL ? HF_INTERNAL : (enum hf_status)status;
}

/* name: as for refuse_field. */
static enum hf_status take_text(struct decoder *decoder, const char *name,
                                const ProtobufCBinaryData *from, struct bytes *to)
{
    *to = bytes_from(*from);
    if (from->len == 0 || utf8_valid(from->data, from->len)) {
        return HF_OK;
    }
    return refuse_field(decoder, name,
                        memchr(from->data, 0, from->len) ? "has a NUL in it" : "not valid UTF-8");
}

static enum hf_status take_texts(struct decoder *decoder, size_t *index,
                                 const ProtobufCBinaryData *from, size_t count, struct bytes *to)
{
    enum hf_status status = HF_OK;
    for (size_t i = 0; status == HF_OK && i < count; i++) {
        *index = i;
        status = take_text(decoder, NULL, &from[i], &to[i]);
    }
    return status;
}

static enum hf_status take_rows(struct decoder *decoder, size_t *index, const struct layout *layout,
                                ProtobufCMessage *const *from, size_t count, char *to)
{
    enum hf_status status = HF_OK;
    for (size_t i = 0; status == HF_OK && i < count; i++) {
        *index = i;
        status = take_fields(decoder, layout, from[i], to + i * layout->here_bytes);
    }
    return status;
}

static enum hf_status take_repeated(struct decoder *decoder, const struct field *field,
                                    const void *from, void *to)
{
    size_t count = *(const size_t *)member_of(from, field->wire_more);
    const void *values = pointer_of(from, field->wire);
    if (count == 0) {
        return HF_OK;
    }
    CHECK(count <= UINT32_MAX); /* a value takes a byte of the message, at least */
    *(uint32_t *)member_in(to, field->here_more) = (uint32_t)count;
    if (field->kind == FIELD_COLUMN) {
        pointer_set(to, field->here, values);
        return HF_OK;
    }
    bool texts = field->kind == FIELD_TEXTS;
    void *rows = arena_calloc(decoder->arena, count,
                              texts ? sizeof(struct bytes) : field->inner->here_bytes);
    if (!rows) {
        return refuse_memory(decoder);
    }
    unsigned depth = decoder->depth;
    CHECK(depth < PATH_DEPTH_MAX);
    decoder->path[depth].name = field->name;
    size_t *index = &decoder->path[depth].index;
    decoder->depth = depth + 1;
    enum hf_status status = texts ? take_texts(decoder, index, values, count, rows)
                                  : take_rows(decoder, index, field->inner, values, count, rows);
    CHECK(decoder->depth == depth + 1); /* rows inside have counted themselves out */
    decoder->depth = depth;
    pointer_set(to, field->here, rows);
    return status;
}

static void take_choice(const struct field *field, const void *from, void *to)
{
    if (*(const uint32_t *)member_of(from, field->wire_more) == field->choice) {
        *(bool *)member_in(to, field->here_more) = true;
        memcpy(member_in(to, field->here), member_of(from, field->wire), sizeof(int64_t));
    }
}

static enum hf_status take_part(struct decoder *decoder, const struct field *field,
                                const void *from, void *to)
{
    const void *part = pointer_of(from, field->wire);
    *(bool *)member_in(to, field->here_more) = part != NULL;
    return part ? take_fields(decoder, field->inner, part, member_in(to, field->here)) : HF_OK;
}

/* A field of a message into a struct that was zero. */
static enum hf_status take_field(struct decoder *decoder, const struct field *field,
                                 const void *from, void *to)
{
    switch (field->kind) {
    case FIELD_U32:
        memcpy(member_in(to, field->here), member_of(from, field->wire), sizeof(uint32_t));
        return HF_OK;
    case FIELD_U64:
        memcpy(member_in(to, field->here), member_of(from, field->wire), sizeof(uint64_t));
        return HF_OK;
    case FIELD_BOOL:
        *(bool *)member_in(to, field->here) =
            *(const protobuf_c_boolean *)member_of(from, field->wire) != 0;
        return HF_OK;
    case FIELD_STATUS:
        *(enum hf_status *)member_in(to, field->here) =
            status_from((int)*(const Holdfast__V1__Status *)member_of(from, field->wire));
        return HF_OK;
    case FIELD_BYTES:
        *(struct bytes *)member_in(to, field->here) =
            bytes_from(*(const ProtobufCBinaryData *)member_of(from, field->wire));
        return HF_OK;
    case FIELD_TEXT:
        return take_text(decoder, field->name, member_of(from, field->wire),
                         member_in(to, field->here));
    case FIELD_COLUMN:
    case FIELD_TEXTS:
    case FIELD_ROWS:
        return take_repeated(decoder, field, from, to);
    case FIELD_CHOICE:
        take_choice(field, from, to);
        return HF_OK;
    case FIELD_PART:
        break;
    }
    return take_part(decoder, field, from, to);
}

static enum hf_status take_fields(struct decoder *decoder, const struct layout *layout,
                                  const void *from, void *to)
{
    CHECK(layout->field_count == layout->wire->n_fields); /* each field of the proto file */
    enum hf_status status = HF_OK;
    for (size_t i = 0; status == HF_OK && i < layout->field_count; i++) {
        const struct field *field = &layout->fields[i];
        status = take_field(decoder, field, from, to);
    }
    return status;
}

static enum hf_status refuse_message(struct decoder *decoder)
{
    return refuse(decoder, "not a holdfast.v1.Request");
}

static enum hf_status take_request(struct decoder *decoder, struct bytes bytes,
                                   struct request *request)
{
    struct unpacking unpacking = {decoder->arena, false};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &unpacking};
    const Holdfast__V1__Request *from =
        holdfast__v1__request__unpack(&allocator, bytes.len, bytes.data);
    if (!from) {
        return unpacking.exhausted ? refuse_memory(decoder) : refuse_message(decoder);
    }
    memset(request, 0, sizeof *request);
    request->timeout_ms = from->timeout_ms;
    request->answer_bytes_max = from->answer_bytes_max;
    request->type = (enum request_type)from->body_case;
    enum hf_status status = take_text(decoder, "token", &from->token, &request->token);
    if (status != HF_OK || request->type == REQUEST_NONE) {
        return status;
    }
    const struct body *body = codec_request_body(request->type);
    if (!body) {
        return refuse_message(decoder);
    }
    decoder->body = body->name;
    return take_fields(decoder, body->layout, from->reserve, &request->reserve);
}

enum hf_status codec_request_decode(struct arena *arena, struct bytes bytes,
                                    struct request *request, const char **error)
{
    CHECK(arena->cap_bytes - arena->used_bytes > ERROR_BYTES_MAX);
    struct decoder decoder = {.arena = arena, .cap_bytes = arena->cap_bytes, .error = error};
    if (bytes.len > REQUEST_BYTES_MAX) {
        return refuse(&decoder, "message: %zu bytes, at most %" PRIu64, bytes.len,
                      (uint64_t)REQUEST_BYTES_MAX);
    }
    arena->cap_bytes -= ERROR_BYTES_MAX;
    enum hf_status status = take_request(&decoder, bytes, request);
    CHECK(status != HF_OK || decoder.depth == 0);
    CHECK(status != HF_OK || arena->cap_bytes == decoder.cap_bytes - ERROR_BYTES_MAX);
    arena->cap_bytes = decoder.cap_bytes;
    CHECK(arena->used_bytes <= arena->cap_bytes);
    return status;
}

enum hf_status codec_response_decode(struct arena *arena, struct bytes bytes,
                                     struct response *response)
{
    struct decoder decoder = {.arena = arena, .cap_bytes = arena->cap_bytes};
    struct unpacking unpacking = {arena, false};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &unpacking};
    const Holdfast__V1__Response *from =
        holdfast__v1__response__unpack(&allocator, bytes.len, bytes.data);
    if (!from) {
        return HF_INVALID;
    }
    memset(response, 0, sizeof *response);
    response->status = status_from((int)from->status);
    response->lsn = from->lsn;
    response->retry_after_ms = from->retry_after_ms;
    response->type = (enum response_type)from->body_case;
    enum hf_status status = take_text(&decoder, "message", &from->message, &response->message);
    if (status != HF_OK || response->type == RESPONSE_NONE) {
        return status;
    }
    const struct body *body = codec_response_body(response->type);
    return body ? take_fields(&decoder, body->layout, from->orders, &response->orders) : HF_INVALID;
}

/* ---- Encoding ---- */

static enum hf_status put_fields(struct arena *arena, const struct layout *layout, const void *from,
                                 ProtobufCMessage *to);

/* protobuf-c's structs are not const, but packing only reads them. */
static ProtobufCBinaryData binary_from(struct bytes bytes)
{
    return (ProtobufCBinaryData){bytes.len, (uint8_t *)(uintptr_t)bytes.data};
}

static enum hf_status put_texts(struct arena *arena, const struct field *field,
                                const struct bytes *from, uint32_t count, void *to)
{
    ProtobufCBinaryData *texts = arena_alloc(arena, count * sizeof *texts);
    if (!texts) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        texts[i] = binary_from(from[i]);
    }
    pointer_set(to, field->wire, texts);
    return HF_OK;
}

static enum hf_status put_rows(struct arena *arena, const struct field *field, const char *from,
                               uint32_t count, void *to)
{
    const struct layout *layout = field->inner;
    ProtobufCMessage **rows = arena_alloc(arena, count * sizeof *rows);
    char *messages = arena_alloc(arena, count * layout->wire->sizeof_message);
    if (!rows || !messages) {
        return HF_NO_MEMORY;
    }
    enum hf_status status = HF_OK;
    for (uint32_t i = 0; status == HF_OK && i < count; i++) {
        rows[i] = (void *)(messages + i * layout->wire->sizeof_message);
        status = put_fields(arena, layout, from + i * layout->here_bytes, rows[i]);
    }
    pointer_set(to, field->wire, rows);
    return status;
}

static enum hf_status put_repeated(struct arena *arena, const struct field *field, const void *from,
                                   void *to)
{
    uint32_t count = *(const uint32_t *)member_of(from, field->here_more);
    const void *values = pointer_of(from, field->here);
    *(size_t *)member_in(to, field->wire_more) = count;
    if (count == 0) {
        return HF_OK;
    }
    if (field->kind == FIELD_COLUMN) {
        pointer_set(to, field->wire, values);
        return HF_OK;
    }
    return field->kind == FIELD_TEXTS ? put_texts(arena, field, values, count, to)
                                      : put_rows(arena, field, values, count, to);
}

static void put_choice(const struct field *field, const void *from, void *to)
{
    if (*(const bool *)member_of(from, field->here_more)) {
        *(uint32_t *)member_in(to, field->wire_more) = field->choice;
        memcpy(member_in(to, field->wire), member_of(from, field->here), sizeof(int64_t));
    }
}

static enum hf_status put_part(struct arena *arena, const struct field *field, const void *from,
                               void *to)
{
    if (!*(const bool *)member_of(from, field->here_more)) {
        return HF_OK;
    }
    ProtobufCMessage *part = arena_alloc(arena, field->inner->wire->sizeof_message);
    if (!part) {
        return HF_NO_MEMORY;
    }
    pointer_set(to, field->wire, part);
    return put_fields(arena, field->inner, member_of(from, field->here), part);
}

static enum hf_status put_field(struct arena *arena, const struct field *field, const void *from,
                                void *to)
{
    switch (field->kind) {
    case FIELD_U32:
    case FIELD_STATUS:
        memcpy(member_in(to, field->wire), member_of(from, field->here), sizeof(uint32_t));
        return HF_OK;
    case FIELD_U64:
        memcpy(member_in(to, field->wire), member_of(from, field->here), sizeof(uint64_t));
        return HF_OK;
    case FIELD_BOOL:
        *(protobuf_c_boolean *)member_in(to, field->wire) =
            *(const bool *)member_of(from, field->here);
        return HF_OK;
    case FIELD_BYTES:
    case FIELD_TEXT:
        *(ProtobufCBinaryData *)member_in(to, field->wire) =
            binary_from(*(const struct bytes *)member_of(from, field->here));
        return HF_OK;
    case FIELD_COLUMN:
    case FIELD_TEXTS:
    case FIELD_ROWS:
        return put_repeated(arena, field, from, to);
    case FIELD_CHOICE:
        put_choice(field, from, to);
        return HF_OK;
    case FIELD_PART:
        break;
    }
    return put_part(arena, field, from, to);
}

/* Initializes the message that `to` points to, and fills it in. */
static enum hf_status put_fields(struct arena *arena, const struct layout *layout, const void *from,
                                 ProtobufCMessage *to)
{
    CHECK(layout->field_count == layout->wire->n_fields); /* each field of the proto file */
    protobuf_c_message_init(layout->wire, to);
    enum hf_status status = HF_OK;
    for (size_t i = 0; status == HF_OK && i < layout->field_count; i++) {
        const struct field *field = &layout->fields[i];
        status = put_field(arena, field, from, to);
    }
    return status;
}

/* NULL: no memory. */
static void *put_body(struct arena *arena, const struct body *body, const void *from)
{
    CHECK(body != NULL); /* a type without a LAYOUT is a mistake of ours: it is not from outside */
    ProtobufCMessage *message = arena_alloc(arena, body->layout->wire->sizeof_message);
    return message && put_fields(arena, body->layout, from, message) == HF_OK ? message : NULL;
}

static enum hf_status pack(struct arena *arena, const ProtobufCMessage *message, struct bytes *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *data = arena_alloc(arena, len);
    if (!data) {
        return HF_NO_MEMORY;
    }
    size_t packed = protobuf_c_message_pack(message, data);
    CHECK(packed == len); /* the size that was counted is the size that was written */
    *out = (struct bytes){data, len};
    return HF_OK;
}

const char *codec_request_name(unsigned type)
{
    const struct body *body = codec_request_body(type);
    return body ? body->name : "";
}

enum hf_status codec_request_encode(struct arena *arena, const struct request *request,
                                    struct bytes *out)
{
    Holdfast__V1__Request message = HOLDFAST__V1__REQUEST__INIT;
    message.token = binary_from(request->token);
    message.timeout_ms = request->timeout_ms;
    message.answer_bytes_max = request->answer_bytes_max;
    message.body_case = (Holdfast__V1__Request__BodyCase)request->type;
    if (request->type != REQUEST_NONE) {
        message.reserve = put_body(arena, codec_request_body(request->type), &request->reserve);
        if (!message.reserve) {
            return HF_NO_MEMORY;
        }
    }
    return pack(arena, &message.base, out);
}

enum hf_status codec_response_encode(struct arena *arena, const struct response *response,
                                     struct bytes *out)
{
    CHECK((int)response->status < HF_STATUS_LOCAL);
    Holdfast__V1__Response message = HOLDFAST__V1__RESPONSE__INIT;
    message.status = (Holdfast__V1__Status)response->status;
    message.message = binary_from(response->message);
    message.lsn = response->lsn;
    message.retry_after_ms = response->retry_after_ms;
    message.body_case = (Holdfast__V1__Response__BodyCase)response->type;
    if (response->type != RESPONSE_NONE) {
        message.orders = put_body(arena, codec_response_body(response->type), &response->orders);
        if (!message.orders) {
            return HF_NO_MEMORY;
        }
    }
    return pack(arena, &message.base, out);
}

size_t codec_refusal_encode(const char *message, uint32_t retry_after_ms, uint8_t *to, size_t room)
{
    Holdfast__V1__Response response = HOLDFAST__V1__RESPONSE__INIT;
    response.status = HOLDFAST__V1__STATUS__STATUS_BUSY;
    response.message = (ProtobufCBinaryData){strlen(message), (uint8_t *)(uintptr_t)message};
    response.retry_after_ms = retry_after_ms;
    size_t len = holdfast__v1__response__get_packed_size(&response);
    CHECK(len <= room);
    return holdfast__v1__response__pack(&response, to);
}
