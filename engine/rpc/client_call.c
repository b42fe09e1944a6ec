/* client_call.c - REQ: calls, from their slot to their reply or their end without one.
 *
 * Threads: any start calls; done() runs on nng's threads. */
#include "rpc/client_call.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "rpc/frame.h"
#include "rpc/link_receive.h"
#include "rpc/link_send.h"
#include "rpc/timing.h"

#define SLOT_KEEPS ((size_t)65536) /* bytes of memory between two calls */

/* ---- Slots ---- */

/* Frees the slot. The caller must end the call that is returned. Lock held. */
static struct transport_call *slot_end(struct transport_client *client, struct slot *slot)
{
    struct transport_call *call = slot->call;
    CHECK(call);
    slot->call = NULL;
    if (slot->room > SLOT_KEEPS) {
        free(slot->bytes);
        slot->bytes = NULL;
        slot->room = 0;
    }
    slot->next_free = client->free_slots;
    client->free_slots = slot;
    CHECK(client->busy_slots > 0);
    client->busy_slots--;
    return call;
}

/* `count` done() have returned. */
static void calls_ended(struct transport_client *client, unsigned count)
{
    pthread_mutex_lock(&client->lock);
    CHECK(client->under_way >= count);
    client->under_way -= count;
    pthread_mutex_unlock(&client->lock);
}

/* Adds the slot's request to what is to be sent. Client's lock held. */
void slot_send(struct transport_client *client, struct slot *slot)
{
    uint8_t id[4] = {(uint8_t)(slot->id >> 24), (uint8_t)(slot->id >> 16), (uint8_t)(slot->id >> 8),
                     (uint8_t)slot->id};
    struct link *link = client->link;
    pthread_mutex_lock(&link->lock);
    /* Without memory the request counts as lost: its call ends at its timeout. */
    slot->sent |=
        link_add(link, (struct bytes){id, sizeof id}, (struct bytes){slot->bytes, slot->len});
    pthread_mutex_unlock(&link->lock);
}

void client_send_all(struct transport_client *client)
{
    for (unsigned i = 0; i < client->slot_count; i++) {
        if (client->slots[i].call) {
            slot_send(client, &client->slots[i]);
        }
    }
}

/* Copies the request into the slot. Lock held. */
static bool slot_fill(struct slot *slot, struct bytes request)
{
    if (slot->room < request.len) {
        uint8_t *bytes = realloc(slot->bytes, request.len);
        if (!bytes) {
            return false;
        }
        slot->bytes = bytes;
        slot->room = request.len;
    }
    CHECK(request.len <= slot->room);
    if (request.len > 0) {
        memcpy(slot->bytes, request.data, request.len);
    }
    slot->len = request.len;
    return true;
}

/* ---- Replies ---- */

struct reply {
    struct transport_call *call;
    struct bytes bytes;
};

/* The call that a reply is for. NULL: no call waits for it any more. Lock held. */
static struct transport_call *client_find(struct transport_client *client, struct bytes header)
{
    if (header.len != 4) {
        return NULL;
    }
    uint32_t id = (uint32_t)header.data[0] << 24 | (uint32_t)header.data[1] << 16 |
                  (uint32_t)header.data[2] << 8 | header.data[3];
    uint32_t at = id & (CALLS_MAX - 1);
    if (at >= client->slot_count || !client->slots[at].call || client->slots[at].id != id) {
        return NULL;
    }
    return slot_end(client, &client->slots[at]);
}

/* Takes replies out of what has come in, at most BATCH_MAX. Returns their number. */
static unsigned client_take(struct transport_client *client, struct link *link,
                            struct reply *replies, enum next *next)
{
    unsigned count = 0;
    struct frame frame;
    enum parsed parsed = PARSED_FRAME;
    pthread_mutex_lock(&client->lock);
    while (count < BATCH_MAX && (parsed = link_next(link, &frame)) == PARSED_FRAME) {
        struct transport_call *call = client_find(client, frame.header);
        if (call) {
            replies[count++] = (struct reply){call, frame.body};
        }
        link_take(link, &frame);
    }
    pthread_mutex_unlock(&client->lock);
    *next = next_of(parsed);
    return count;
}

void client_received(struct link *link)
{
    struct transport_client *client = client_of(link);
    struct reply replies[BATCH_MAX];
    struct chunk *chunk =
        link->chunk; /* another thread that reads may soon put another one there */
    if (chunk) {
        chunk_get(chunk);
    }
    enum next next = link_greeting(link);
    while (next == NEXT_TAKE) {
        size_t begin = link->begin;
        unsigned count = client_take(client, link, replies, &next);
        next = link_pass_on(link, next, begin);
        corked = link;
        for (unsigned i = 0; i < count; i++) {
            replies[i].call->done(replies[i].call, HF_OK, replies[i].bytes);
        }
        corked = NULL;
        link_flush(link);
        calls_ended(client, count);
    }
    chunk_put(chunk);
    link_continue(link, next);
}

/* ---- Calls ---- */

enum hf_status slot_begin(struct transport_client *client, struct transport_call *call,
                          struct bytes request, uint32_t timeout_ms, struct slot **out)
{
    struct slot *slot = client->free_slots;
    if (client->closing || !slot) {
        return client->closing ? HF_CANCELED : HF_BUSY;
    }
    if (!slot_fill(slot, request)) {
        return HF_NO_MEMORY;
    }
    CHECK(!slot->call);
    client->free_slots = slot->next_free;
    client->busy_slots++;
    CHECK(client->busy_slots <= client->slot_count);
    client->under_way++;
    slot->call = call;
    slot->sent = false;
    slot->dials = client->dials;
    slot->until_ms = timing_now_ms() + timeout_ms;
    client->shortest_ms = timeout_ms < client->shortest_ms ? timeout_ms : client->shortest_ms;
    slot->id = 0x80000000u | (client->ids++ << SLOT_BITS) | (uint32_t)(slot - client->slots);
    *out = slot;
    return HF_OK;
}

struct transport_call *calls_give_up(struct transport_client *client, enum give_up which,
                                     bool *any_sent)
{
    struct transport_call *first = NULL;
    struct transport_call **last = &first;
    uint64_t now = timing_now_ms();
    for (unsigned i = 0; i < client->slot_count; i++) {
        struct slot *slot = &client->slots[i];
        if (!slot->call || (which == GIVE_UP_LATE && now < slot->until_ms) ||
            (which == GIVE_UP_REFUSED && slot->dials >= client->dials)) {
            continue;
        }
        /* Not sent means not done; sent means unknown. */
        enum hf_status status = slot->sent ? HF_TIMED_OUT : HF_UNREACHABLE;
        if (slot->sent && any_sent) {
            *any_sent = true;
        }
        struct transport_call *call = slot_end(client, slot);
        CHECK(!slot->call);
        call->status = which == GIVE_UP_ALL ? HF_CANCELED : status;
        *last = call;
        last = &call->next;
    }
    *last = NULL;
    return first;
}

void calls_finish(struct transport_client *client, struct transport_call *first)
{
    while (first) {
        struct transport_call *call = first;
        first = call->next; /* done() may use the call again */
        call->done(call, call->status, (struct bytes){NULL, 0});
        calls_ended(client, 1);
    }
}

bool calls_forget(struct transport_client *client, struct transport_call *call)
{
    for (unsigned i = 0; i < client->slot_count; i++) {
        if (client->slots[i].call == call) {
            (void)slot_end(client, &client->slots[i]);
            CHECK(client->under_way > 0);
            client->under_way--;
            return true;
        }
    }
    return false;
}
