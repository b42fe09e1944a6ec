/* answer.c - the status and message of an answer when a request is refused.
 *
 * Threads: any; a call belongs to one. */
#include "server/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/escape.h"

#define MESSAGE_TEXT_BYTES 512u

/* A copy of the text in the arena, on one line: it may hold bytes of the client's. */
static struct bytes keep_text(struct arena *arena, const char *text)
{
    char shown[MESSAGE_TEXT_BYTES];
    size_t len = escape_text(bytes_of(text), shown, sizeof shown);
    CHECK(len < sizeof shown);
    uint8_t *copy = arena_alloc(arena, len);
    if (!copy) {
        return (struct bytes){0};
    }
    memcpy(copy, shown, len);
    return (struct bytes){copy, len};
}

void answer_fail(struct engine_call *call, enum hf_status status, const char *format, ...)
{
    CHECK(status != HF_OK);
    char text[MESSAGE_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    call->response = (struct response){.status = status};
    call->response.message = keep_text(call->arena, text);
}

static size_t place_text(struct answer_place place, char *text, size_t text_bytes)
{
    size_t len = (size_t)snprintf(text, text_bytes, "%s", place.name);
    if (place.index != PLACE_NONE) {
        len += (size_t)snprintf(text + len, text_bytes - len, "[%u]", place.index);
    }
    if (place.line != PLACE_NONE) {
        len += (size_t)snprintf(text + len, text_bytes - len, ".lines[%u]", place.line);
    }
    CHECK(len < text_bytes);
    return len;
}

void answer_note(struct engine_call *call, struct answer_place place, const char *format, ...)
{
    CHECK(place.name != NULL);
    if (call->response.message.len > 0) {
        return;
    }
    char text[MESSAGE_TEXT_BYTES];
    size_t len = place_text(place, text, sizeof text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + len, sizeof text - len, format, arguments);
    va_end(arguments);
    call->response.message = keep_text(call->arena, text);
}

void answer_starved(struct engine_call *call)
{
    answer_fail(call, HF_BUSY, "out of memory");
    call->response.retry_after_ms = REQUEST_MEMORY_RETRY_MS;
}

void answer_no_memory(struct engine_call *call)
{
    if (call->arena->starved) {
        answer_starved(call);
    } else {
        answer_fail(call, HF_INVALID, "the request needs more memory than one may take");
    }
}
