/* peek.c - what a request is, without decoding it. See peek.h.
 *
 * Source: the protobuf encoding guide: a tag is a varint, the field's number times 8 and its wire
 * type. Of several bodies the last counts, as in the decoder. */
#include "wire/peek.h"

#include "wire/codec_layout.h"

#define FIELD_TIMEOUT_MS 2u

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* What is left to be read; NULL: it is not a protobuf message. */
struct rest {
    const uint8_t *at;
    const uint8_t *end;
};

static uint64_t take_varint(struct rest *rest)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!rest->at || rest->at == rest->end) {
            break;
        }
        uint8_t byte = *rest->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    rest->at = NULL;
    return 0;
}

static void skip(struct rest *rest, uint64_t bytes)
{
    if (rest->at && bytes <= (uint64_t)(rest->end - rest->at)) {
        rest->at += bytes;
    } else {
        rest->at = NULL;
    }
}

/* Skips a field's value, and returns it if it is a varint. */
static uint64_t take_value(struct rest *rest, unsigned wire)
{
    uint64_t value = 0;
    switch (wire) {
    case WIRE_VARINT:
        value = take_varint(rest);
        break;
    case WIRE_FIXED64:
        skip(rest, 8);
        break;
    case WIRE_FIXED32:
        skip(rest, 4);
        break;
    case WIRE_BYTES:
        skip(rest, take_varint(rest));
        break;
    default:
        rest->at = NULL;
        break;
    }
    return value;
}

struct request_peek request_peek(struct bytes message)
{
    struct request_peek peek = {.type = REQUEST_NONE};
    struct rest rest = {message.data, message.data + message.len};
    for (unsigned i = 0; i < PEEK_FIELDS_MAX && rest.at && rest.at < rest.end; i++) {
        uint64_t tag = take_varint(&rest);
        unsigned wire = (unsigned)(tag & 7);
        uint64_t value = take_value(&rest, wire);
        if (!rest.at) {
            break;
        }
        if (tag >> 3 == FIELD_TIMEOUT_MS && wire == WIRE_VARINT) {
            peek.timeout_ms = (uint32_t)value;
        } else if (wire == WIRE_BYTES && tag >> 3 <= UINT32_MAX &&
                   codec_request_body((unsigned)(tag >> 3))) {
            peek.type = (enum request_type)(tag >> 3);
        }
    }
    return peek;
}
