/* client.c - opening and closing a client, ids, and each thread's last message.
 *
 * Threads: any. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/address.h"
#include "base/id.h"
#include "base/limits.h"
#include "client/client_internal.h"

/* ---- What each thread keeps ---- */

static _Thread_local char last_message[HF_MESSAGE_BYTES];

/* Freed when the thread ends, through the key's destructor. Its size stands in front of it. */
static pthread_key_t memory_key;
static pthread_once_t memory_once = PTHREAD_ONCE_INIT;

struct thread_memory {
    size_t bytes;
    max_align_t data[];
};

static void make_memory_key(void)
{
    pthread_key_create(&memory_key, free);
}

void *client_thread_memory(size_t bytes)
{
    pthread_once(&memory_once, make_memory_key);
    struct thread_memory *memory = pthread_getspecific(memory_key);
    if (!memory || memory->bytes < bytes) {
        memory = realloc(memory, sizeof *memory + bytes);
        if (!memory) {
            return NULL;
        }
        memory->bytes = bytes;
        pthread_setspecific(memory_key, memory);
    }
    return memory->data;
}

enum hf_status client_fail(enum hf_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_message, sizeof last_message, format, arguments);
    va_end(arguments);
    return status;
}

enum hf_status client_fail_as(enum hf_status status, const struct response *response)
{
    if (response && response->message.len > 0) {
        int len = response->message.len < HF_MESSAGE_BYTES ? (int)response->message.len
                                                           : HF_MESSAGE_BYTES - 1;
        return client_fail(status, "%.*s", len, (const char *)response->message.data);
    }
    return client_fail(status, "%s", hf_status_text(status));
}

const char *hf_last_message(void)
{
    return last_message;
}

struct hf_result client_result(const struct result_message *from)
{
    return (struct hf_result){
        .status = from->status,
        .replayed = from->replayed,
        .blocking_line = from->blocking_line,
        .deadline_ms = from->deadline_ms,
        .state = (enum hf_order_state)from->state,
    };
}

uint32_t client_copy_grants(struct hf_grant *to, uint32_t max, const struct result_message *from)
{
    uint32_t count = from->grant_count < max ? from->grant_count : max;
    for (uint32_t i = 0; i < count; i++) {
        const struct grant_message *grant = &from->grants[i];
        to[i] = (struct hf_grant){grant->line, grant->item, grant->qty, grant->presale_qty};
    }
    return count;
}

struct bytes client_text(const char *text)
{
    return text ? bytes_of(text) : (struct bytes){0};
}

/* ---- Ids ---- */

struct hf_id hf_id_from_text(const char *text)
{
    struct hf_id id;
    id_to_bytes(id_from_text(text, strlen(text)), id.bytes);
    return id;
}

struct hf_id hf_id_random(void)
{
    struct hf_id id;
    size_t done = 0;
    while (done < sizeof id.bytes) {
        ssize_t got = getrandom(id.bytes + done, sizeof id.bytes - done, 0);
        if (got > 0) {
            done += (size_t)got;
        }
    }
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0F) | 0x40); /* version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3F) | 0x80); /* the RFC's variant */
    return id;
}

void hf_id_to_text(struct hf_id id, char text[37])
{
    id_to_text(id_from_bytes(id.bytes), text);
}

void hf_free(void *memory)
{
    free(memory);
}

/* ---- Life ---- */

static enum hf_status check_options(const struct hf_options *options)
{
    if (options->in_flight_max > CLIENT_IN_FLIGHT_MAX) {
        return client_fail(HF_INVALID, "in_flight_max: %u, must be 0..%u", options->in_flight_max,
                           CLIENT_IN_FLIGHT_MAX);
    }
    if (options->batch_max > CLIENT_BATCH_ORDERS_MAX) {
        return client_fail(HF_INVALID, "batch_max: %u, must be 0..%u", options->batch_max,
                           CLIENT_BATCH_ORDERS_MAX);
    }
    return check_text("token", options->token, TOKEN_BYTES_MAX);
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static enum hf_status open_parts(struct hf_client *client, const char *url, const char *token)
{
    client->token = strdup(token ? token : "");
    if (!client->token) {
        return HF_NO_MEMORY;
    }
    enum hf_status status = transport_client_open(&client->transport, url, client->in_flight_max);
    if (status != HF_OK) {
        return status;
    }
    status = messages_open(client);
    if (status != HF_OK) {
        transport_client_close(client->transport);
    }
    return status;
}

enum hf_status hf_client_open(struct hf_client **client, const char *url,
                              const struct hf_options *options)
{
    static const struct hf_options defaults = {0};
    *client = NULL;
    options = options ? options : &defaults;
    if (!url) {
        return client_fail(HF_INVALID, "url: missing");
    }
    struct address address;
    char reason[ADDRESS_REASON_BYTES];
    if (!address_parse(url, ADDRESS_CONNECT, &address, reason)) {
        return client_fail(HF_INVALID, "url: %s", reason);
    }
    if (check_options(options) != HF_OK) {
        return HF_INVALID;
    }
    struct hf_client *made = calloc(1, sizeof *made);
    if (!made) {
        return client_fail(HF_NO_MEMORY, "out of memory");
    }
    made->timeout_ms = or_default(options->timeout_ms, CLIENT_TIMEOUT_MS_DEFAULT);
    made->until_ns = options->total_timeout_ms > 0
                         ? client_now_ns() + (uint64_t)options->total_timeout_ms * 1000000u
                         : UINT64_MAX;
    made->in_flight_max = or_default(options->in_flight_max, CLIENT_IN_FLIGHT_DEFAULT);
    made->batch_max = or_default(options->batch_max, CLIENT_BATCH_DEFAULT);
    singles_init(made);
    enum hf_status status = open_parts(made, url, options->token);
    if (status != HF_OK) {
        free(made->token);
        free(made);
        return client_fail(status, "%s", hf_status_text(status));
    }
    *client = made;
    return HF_OK;
}

void hf_client_close(struct hf_client *client)
{
    if (!client) {
        return;
    }
    pthread_mutex_lock(&client->lock);
    client->closing = true;
    pthread_cond_broadcast(&client->freed);
    pthread_cond_broadcast(&client->retry);
    bool retry_started = client->retry_started; /* none is started once `closing` is set */
    pthread_mutex_unlock(&client->lock);
    /* Nobody sends any more once this thread has ended: the transport may be closed. */
    if (retry_started) {
        pthread_join(client->retry_thread, NULL);
    }
    singles_cancel(client);
    transport_client_close(client->transport);
    messages_close(client);
    free(client->token);
    free(client);
}
