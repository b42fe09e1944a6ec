/* client.c - opens and closes a client.
 *
 * Threads: any. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/check.h"
#include "base/limits.h"
#include "client/client_internal.h"
#include "client/deadline.h"
#include "client/fail.h"
#include "client/flight.h"
#include "client/singles.h"
#include "client/validate.h"
#include "rpc/transport.h"

#define TIMEOUT_MS_DEFAULT 5000u
#define IN_FLIGHT_DEFAULT  16u
#define BATCH_DEFAULT      1024u

/* What holdfast/client.h promises. */
static_assert(CLIENT_IN_FLIGHT_MAX == 64, "in_flight_max");
static_assert(CLIENT_BATCH_ORDERS_MAX == 4096, "batch_max");
static_assert(TOKEN_BYTES_MAX == 256, "token");
static_assert(IN_FLIGHT_DEFAULT <= CLIENT_IN_FLIGHT_MAX, "a default is a permitted value");
static_assert(BATCH_DEFAULT <= CLIENT_BATCH_ORDERS_MAX, "a default is a permitted value");

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
    return validate_text("token", options->token, TOKEN_BYTES_MAX);
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
    status = flights_open(client, singles_dispatch);
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
    made->timeout_ms = or_default(options->timeout_ms, TIMEOUT_MS_DEFAULT);
    made->until_ns = options->total_timeout_ms > 0
                         ? client_now_ns() + (uint64_t)options->total_timeout_ms * NS_PER_MS
                         : UINT64_MAX;
    made->in_flight_max = or_default(options->in_flight_max, IN_FLIGHT_DEFAULT);
    made->batch_max = or_default(options->batch_max, BATCH_DEFAULT);
    CHECK(made->in_flight_max <= CLIENT_IN_FLIGHT_MAX);
    CHECK(made->batch_max <= CLIENT_BATCH_ORDERS_MAX);
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
    /* Once this thread has ended nothing is sent any more, so the transport may be closed. */
    if (retry_started) {
        pthread_join(client->retry_thread, NULL);
    }
    singles_cancel(client);
    transport_client_close(client->transport);
    flights_close(client);
    free(client->token);
    free(client);
}

void hf_free(void *memory)
{
    free(memory);
}
