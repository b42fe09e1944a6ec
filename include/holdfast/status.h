/* status.h - the result of an operation: one enum, on the wire and of every function.
 *
 * Values below HF_STATUS_LOCAL travel in replies (proto/holdfast.proto has the same numbers) and
 * are never reused. Values from HF_STATUS_LOCAL up are only ever made on this side of the wire. */
#ifndef HOLDFAST_STATUS_H
#define HOLDFAST_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HF_API __attribute__((visibility("default")))
#else
#define HF_API
#endif

/* X(name, value, meaning) */
#define HF_STATUS_LIST(X)                                                                          \
    X(OK, 0, "done")                                                                               \
    X(INVALID, 1, "the request is malformed; the message names the field and why")                 \
    X(UNAUTHORIZED, 2, "the token is missing or wrong")                                            \
    X(BUSY, 3, "more work than the engine can log; try again after retry_after_ms")                \
    X(FULL, 4, "the order table or the stock table is full")                                       \
    X(READ_ONLY, 5, "no more log can be written now; reads are answered, changes are refused")     \
    X(INTERNAL, 6, "the engine has failed and takes no more work")                                 \
    X(UNKNOWN_ITEM, 10, "no such item")                                                            \
    X(SOLD_OUT, 11, "fewer units are free than asked")                                             \
    X(LIMIT_EXCEEDED, 12, "the buyer's limit for this SKU would be exceeded")                      \
    X(BUYER_REQUIRED, 13, "this SKU is limited per buyer, and the order names none")               \
    X(NOT_OPEN, 14, "the sale of this SKU has not opened")                                         \
    X(CLOSED, 15, "the sale of this SKU has closed")                                               \
    X(PAUSED, 16, "the sale of this SKU is paused")                                                \
    X(ID_CONFLICT, 17, "this id was used before with other contents")                              \
    X(NOT_FOUND, 20, "no such order")                                                              \
    X(ALREADY_COMMITTED, 21, "the order was committed")                                            \
    X(ALREADY_RELEASED, 22, "the order was released")                                              \
    X(EXPIRED, 23, "the order's deadline has passed")                                              \
    X(EXPIRED_SOLD_OUT, 24, "the deadline has passed and its units are no longer free")            \
    X(NOT_COMMITTED, 25, "the order is held, not committed")                                       \
    X(WOULD_OVERSELL, 30, "the adjustment would leave less than is held and sold")                 \
    X(CONFLICT, 31, "the present value is not the expected one")                                   \
    X(TIMED_OUT, 100,                                                                              \
      "no reply in time; the outcome is unknown, a retry with the same id is safe")                \
    X(UNREACHABLE, 101, "the engine cannot be reached")                                            \
    X(NO_MEMORY, 102, "out of memory")                                                             \
    X(IO_ERROR, 103, "a file operation failed")                                                    \
    X(NO_SPACE, 104, "no space left on the device")                                                \
    X(DAMAGED, 105, "a file is damaged")                                                           \
    X(LOCKED, 106, "another engine is using the directory")                                        \
    X(UNSUPPORTED, 107, "not supported here")                                                      \
    X(CANCELED, 108, "the client was closed before the reply came")

enum hf_status {
#define HF_STATUS_ENUM(name, value, text) HF_##name = value,
    HF_STATUS_LIST(HF_STATUS_ENUM)
#undef HF_STATUS_ENUM
};

#define HF_STATUS_LOCAL 100

/* The status's name as the wire contract spells it, such as "SOLD_OUT"; "UNKNOWN" for a number
 * that is no status. The string is static. Any thread. */
HF_API const char *hf_status_name(enum hf_status status);

/* What the status means, in a sentence without a full stop. The string is static. Any thread. */
HF_API const char *hf_status_text(enum hf_status status);

#ifdef __cplusplus
}
#endif
#endif
