/* peek_test.c - what a request is, found without decoding it: against the decoder, for all kinds;
 * and for what is no request. */
#include "wire/peek.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "lib/rng.h"
#include "wire/codec.h"

static const enum request_type types[] = {
    REQUEST_RESERVE,   REQUEST_COMMIT,        REQUEST_RELEASE,      REQUEST_EXTEND,
    REQUEST_RETURN,    REQUEST_RESERVE_BATCH, REQUEST_COMMIT_BATCH, REQUEST_RELEASE_BATCH,
    REQUEST_GET_ORDER, REQUEST_GET_STOCK,     REQUEST_LIST_STOCK,   REQUEST_LIST_ORDERS,
    REQUEST_GET_SKUS,  REQUEST_DEFINE,        REQUEST_ADJUST,       REQUEST_STATUS,
};
enum { TYPES = sizeof types / sizeof types[0] };

static void request_peek_sees_what_the_decoder_sees(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, MIB(64));
    for (unsigned i = 0; i < TYPES; i++) {
        struct request request = {.type = types[i], .timeout_ms = i * 1000003u};
        struct bytes wire;
        assert_int_equal(codec_request_encode(&arena, &request, &wire), HF_OK);
        struct request_peek peek = request_peek(wire);
        assert_int_equal(peek.type, types[i]);
        assert_int_equal(peek.timeout_ms, request.timeout_ms);
        request.token = bytes_of("secret");
        assert_int_equal(codec_request_encode(&arena, &request, &wire), HF_OK);
        peek = request_peek(wire);
        assert_int_equal(peek.type, types[i]);
        assert_int_equal(peek.timeout_ms, request.timeout_ms);
        /* Two of them one after another: the last body counts, as in the decoder. */
        struct request status = {.type = REQUEST_STATUS};
        struct bytes second;
        assert_int_equal(codec_request_encode(&arena, &status, &second), HF_OK);
        uint8_t both[4096];
        assert_true(wire.len + second.len <= sizeof both);
        memcpy(both, wire.data, wire.len);
        memcpy(both + wire.len, second.data, second.len);
        assert_int_equal(request_peek((struct bytes){both, wire.len + second.len}).type,
                         REQUEST_STATUS);
    }
    arena_deinit(&arena);
}

static void request_peek_takes_anything(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 42);
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t *bytes = malloc(24); /* of its own: a sanitizer sees what is read beyond it */
        assert_non_null(bytes);
        size_t len = rng_below(&rng, 25);
        for (size_t k = 0; k < len; k++) {
            bytes[k] = (uint8_t)(rng_chance(&rng, 2) ? rng_below(&rng, 256) : rng_below(&rng, 48));
        }
        (void)request_peek((struct bytes){bytes + 0, len});
        free(bytes);
    }
    assert_int_equal(request_peek((struct bytes){NULL, 0}).type, REQUEST_NONE);
    /* 16 fields of another kind, and then a body: the body is not looked for any further. */
    uint8_t many[64];
    for (unsigned i = 0; i < PEEK_FIELDS_MAX; i++) {
        many[2 * i] = 3 << 3;
        many[2 * i + 1] = 7;
    }
    many[2 * PEEK_FIELDS_MAX] = 0xC2; /* status, empty */
    many[2 * PEEK_FIELDS_MAX + 1] = 0x02;
    many[2 * PEEK_FIELDS_MAX + 2] = 0;
    assert_int_equal(request_peek((struct bytes){many, 2 * PEEK_FIELDS_MAX + 3}).type,
                     REQUEST_NONE);
    assert_int_equal(request_peek((struct bytes){many + 2, 2 * PEEK_FIELDS_MAX + 1}).type,
                     REQUEST_STATUS);
    /* A body that says it is longer than the message. */
    static const uint8_t cut[] = {10, 3, 'a', 'b', 'c', 0xC2, 0x02, 5, 1};
    assert_int_equal(request_peek((struct bytes){cut, sizeof cut}).type, REQUEST_NONE);
}

static void codec_refusal_encode_makes_a_busy_response(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, MIB(1));
    uint8_t bytes[128];
    size_t len = codec_refusal_encode("too many requests", 1234, bytes, sizeof bytes);
    assert_true(len <= REFUSAL_FIXED_BYTES + strlen("too many requests"));
    struct response response;
    assert_int_equal(codec_response_decode(&arena, (struct bytes){bytes, len}, &response), HF_OK);
    assert_int_equal(response.status, HF_BUSY);
    assert_int_equal(response.retry_after_ms, 1234);
    assert_int_equal(response.message.len, strlen("too many requests"));
    assert_memory_equal(response.message.data, "too many requests", response.message.len);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_peek_sees_what_the_decoder_sees),
        cmocka_unit_test(request_peek_takes_anything),
        cmocka_unit_test(codec_refusal_encode_makes_a_busy_response),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
