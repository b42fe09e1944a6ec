/* transport_client.c - REQ: opening a client, starting calls, closing it.
 *
 * Threads: one opens and closes a client; any start calls. */
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "rpc/client_call.h"
#include "rpc/dial.h"
#include "rpc/link_send.h"
#include "rpc/timing.h"
#include "rpc/transport.h"

#define CLOSE_MS 1000u /* for what nng has still to end when a client is closed */

/* ---- Calls ---- */

/* Puts the call into a free slot. If there is a connection, adds the request to what is to be sent;
 * the caller must then flush *link and put it back. Lock held. */
static enum hf_status client_begin(struct transport_client *client, struct transport_call *call,
                                   struct bytes request, uint32_t timeout_ms, struct link **link)
{
    struct slot *slot;
    enum hf_status status = slot_begin(client, call, request, timeout_ms, &slot);
    if (status != HF_OK) {
        return status;
    }
    if (client->link_greeted) {
        *link = client->link;
        link_get(*link);
        slot_send(client, slot);
    } else {
        client_hurry(client);
    }
    client_tick(client);
    return HF_OK;
}

enum hf_status transport_client_call(struct transport_client *client, struct transport_call *call,
                                     struct bytes request, uint32_t timeout_ms)
{
    CHECK(call->done);
    CHECK(timeout_ms > 0);
    struct link *link = NULL;
    pthread_mutex_lock(&client->lock);
    enum hf_status status = client_begin(client, call, request, timeout_ms, &link);
    pthread_mutex_unlock(&client->lock);
    if (link) {
        if (link != corked) {
            link_flush(link);
        }
        link_put(link);
    }
    return status;
}

bool transport_client_forget(struct transport_client *client, struct transport_call *call)
{
    pthread_mutex_lock(&client->lock);
    bool found = calls_forget(client, call);
    pthread_mutex_unlock(&client->lock);
    return found;
}

/* ---- Opening and closing ---- */

static enum hf_status client_open_slots(struct transport_client *client)
{
    client->slots = calloc(client->slot_count, sizeof *client->slots);
    if (!client->slots) {
        client->slot_count = 0;
        return HF_NO_MEMORY;
    }
    for (unsigned i = 0; i < client->slot_count; i++) {
        client->slots[i].next_free = client->free_slots;
        client->free_slots = &client->slots[i];
    }
    return HF_OK;
}

enum hf_status transport_client_open(struct transport_client **out, const char *url,
                                     unsigned in_flight_max)
{
    CHECK(in_flight_max >= 1);
    CHECK(in_flight_max <= CALLS_MAX);
    struct address address;
    char reason[ADDRESS_REASON_BYTES];
    if (!address_parse(url, ADDRESS_CONNECT, &address, reason)) {
        return HF_INVALID;
    }
    struct transport_client *client = calloc(1, sizeof *client);
    if (!client) {
        return HF_NO_MEMORY;
    }
    client->slot_count = in_flight_max;
    client->is_ipc = address.ipc;
    client->redial_pause_ms = RECONNECT_MIN_MS;
    client->shortest_ms = UINT32_MAX;
    /* Different from the ids of an earlier client at the same address. */
    client->ids = (uint32_t)hash_u64(clock_monotonic_ns(clock_real()) ^ (uintptr_t)client);
    CHECK(strlen(url) < sizeof client->url); /* address_parse() refuses longer ones */
    memcpy(client->url, url, strlen(url) + 1);
    pthread_mutex_init(&client->lock, NULL);
    enum hf_status status = client_open_slots(client);
    if (status == HF_OK) {
        status = dial_open(client);
    }
    if (status != HF_OK) {
        transport_client_close(client);
        return status;
    }
    dial_start(client);
    *out = client;
    return HF_OK;
}

/* Waits until all done() have returned, and up to CLOSE_MS until nothing refers to the client's
 * links. False: a link is left; the last one frees the client when it ends, and the caller must not
 * use the client any more. */
static bool client_wait_idle(struct transport_client *client)
{
    uint64_t until_ms = timing_now_ms() + CLOSE_MS;
    for (;;) {
        pthread_mutex_lock(&client->lock);
        bool ended = client->under_way == 0;
        bool idle = ended && client->links == 0;
        bool abandoned = ended && !idle && timing_now_ms() >= until_ms;
        client->abandoned = abandoned;
        pthread_mutex_unlock(&client->lock);
        if (idle || abandoned) {
            return idle;
        }
        timing_pause_ms(1);
    }
}

void transport_client_close(struct transport_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->closing = true; /* no call starts afterwards, and no tick */
    pthread_mutex_unlock(&client->lock);
    dial_stop(client);
    pthread_mutex_lock(&client->lock);
    struct link *link = client->link;
    if (link) {
        link_get(link);
    }
    struct transport_call *calls = calls_give_up(client, GIVE_UP_ALL, NULL);
    pthread_mutex_unlock(&client->lock);
    if (link) {
        (void)link_shut(link);
        link_put(link);
    }
    calls_finish(client, calls);
    if (client_wait_idle(client)) {
        client_free(client);
    }
}

bool transport_client_connected(const struct transport_client *client)
{
    /* acquire: pairs with the release in client_down. */
    return atomic_load_explicit(&client->connections, memory_order_acquire) > 0;
}

uint64_t transport_client_connections(const struct transport_client *client)
{
    /* acquire: pairs with the release in client_greeted. */
    return atomic_load_explicit(&client->connections_total, memory_order_acquire);
}
