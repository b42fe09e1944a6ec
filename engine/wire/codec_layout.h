/* codec_layout.h - at which offset each field of proto/holdfast.proto is, in protobuf-c's struct
 * ("wire") and in message.h's ("here"). Private to the codec. How to add a field: see codec.c.
 *
 * Threads: any; all of it is constant. */
#ifndef WIRE_CODEC_LAYOUT_H
#define WIRE_CODEC_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

enum field_kind {
    FIELD_U32, /* a number of 32 bits on both sides, signed or not */
    FIELD_U64, /* a number of 64 bits on both sides, signed or not */
    FIELD_BOOL,
    FIELD_STATUS,
    FIELD_BYTES,
    FIELD_TEXT,   /* bytes that are checked when decoded: UTF-8 without NUL */
    FIELD_COLUMN, /* repeated numbers */
    FIELD_TEXTS,  /* repeated text */
    FIELD_ROWS,   /* repeated messages */
    FIELD_CHOICE, /* a 64-bit number in a oneof; here a number with a flag, has_NAME */
    FIELD_PART,   /* a message that may be missing; here a struct with a flag, has_NAME */
};

struct field {
    const char *name; /* in proto/holdfast.proto */
    enum field_kind kind;
    uint16_t wire;              /* offset in protobuf-c's struct */
    uint16_t wire_more;         /* repeated: of the count; choice: of the oneof's case */
    uint16_t here;              /* offset in message.h's struct */
    uint16_t here_more;         /* repeated: of the count; choice, part: of the flag */
    uint32_t choice;            /* the case's number */
    const struct layout *inner; /* rows, part */
};

struct layout {
    const ProtobufCMessageDescriptor *wire;
    size_t here_bytes;
    size_t field_count;
    const struct field *fields;
};

/* A body of a request or response. */
struct body {
    const char *name; /* of the oneof's member */
    const struct layout *layout;
};

/* The body whose field in the oneof has this number. NULL: no such body. The members of a oneof
 * share one offset, and so do those of the union in struct request or struct response: so any
 * member's name reaches the body. */
const struct body *codec_request_body(unsigned type);
const struct body *codec_response_body(unsigned type);

#endif
