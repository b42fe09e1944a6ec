/* dial.c - REQ: the client's connection, dialed again and again while there is none. See dial.h.
 *
 * Threads: one opens and closes a client; the rest are nng's callbacks. */
#include "rpc/dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/test_point.h"
#include "rpc/frame.h"
#include "rpc/link_send.h"
#include "rpc/timing.h"

#define DIAL_TIMEOUT_MS  10000
#define RECONNECT_MAX_MS 1000u
/* Between two ticks of the timer. nng's timers are expensive: it waits for the last part of a
 * millisecond without sleeping. */
#define TICK_MIN_MS 10u /* without a connection */
#define TICK_MAX_MS 100u
/* A call ends late by up to a tick: an eighth of the shortest timeout so far, within the two bounds
 * above. The tick may be TICK_MAX_MS long if it began before the first call with so short a
 * timeout. */
#define TICKS_A_TIMEOUT 8u

static uint32_t tick_ms(const struct transport_client *client)
{
    if (!client->link_greeted) {
        return TICK_MIN_MS;
    }
    uint32_t ms = client->shortest_ms / TICKS_A_TIMEOUT;
    return ms < TICK_MIN_MS ? TICK_MIN_MS : ms < TICK_MAX_MS ? ms : TICK_MAX_MS;
}

void client_tick(struct transport_client *client)
{
    bool needed = client->busy_slots > 0 || !client->link_greeted;
    if (needed && !client->is_ticking && !client->closing) {
        client->is_ticking = true;
        nng_sleep_aio((nng_duration)tick_ms(client), client->timer);
    }
}

/* ---- The connection ---- */

/* There is a connection: sends on it all requests that wait. */
static void client_greeted(struct link *link)
{
    struct transport_client *client = client_of(link);
    pthread_mutex_lock(&client->lock);
    if (client->link == link) {
        /* Before anything is sent on it: so a request that was sent is never taken for unsent.
         * release: pairs with the acquire in transport_client_connections. */
        atomic_fetch_add_explicit(&client->connections_total, 1, memory_order_release);
        atomic_store_explicit(&client->connections, 1, memory_order_release);
        client->link_greeted = true;
        client->trouble = TROUBLE_NONE;
        client->redial_pause_ms = RECONNECT_MIN_MS;
        client_send_all(client);
    }
    pthread_mutex_unlock(&client->lock);
    link_flush(link);
}

/* Whether there has been a connection. Lock held: relaxed. */
static bool client_is_established(const struct transport_client *client)
{
    return atomic_load_explicit(&client->connections_total, memory_order_relaxed) > 0;
}

void client_hurry(struct transport_client *client)
{
    uint64_t at_ms = client->dialed_ms + RECONNECT_MIN_MS;
    if (!client_is_established(client) && !client->link && !client->is_dialing &&
        client->redial_at_ms > at_ms) {
        client->redial_at_ms = at_ms;
    }
}

/* Dials again after a pause, which grows with each dial that fails. Lock held. */
static void client_redial_later(struct transport_client *client)
{
    client->redial_at_ms = timing_now_ms() + client->redial_pause_ms;
    client->redial_pause_ms = client->redial_pause_ms * 2 < RECONNECT_MAX_MS
                                  ? client->redial_pause_ms * 2
                                  : RECONNECT_MAX_MS;
    if (client->busy_slots > 0) {
        client_hurry(client);
    }
    client_tick(client);
}

/* Ends the calls that wait, unless there has been a connection: a list for calls_finish(). Lock
 * held.
 */
static struct transport_call *client_refuse(struct transport_client *client)
{
    return client_is_established(client) ? NULL : calls_give_up(client, GIVE_UP_REFUSED, NULL);
}

static void client_down(struct link *link)
{
    struct transport_client *client = client_of(link);
    struct transport_call *refused = NULL;
    test_point("client_down"); /* no lock */
    pthread_mutex_lock(&client->lock);
    bool ours = client->link == link;
    if (ours) {
        if (!client->link_greeted) {
            client->trouble = link->foreign                                    ? TROUBLE_FOREIGN
                              : timing_now_ms() - link->made_ms >= GREETING_MS ? TROUBLE_SILENT
                                                                               : TROUBLE_HUNG_UP;
        }
        client->link = NULL;
        client->link_greeted = false;
        /* release: pairs with the acquire in transport_client_connected. */
        atomic_store_explicit(&client->connections, 0, memory_order_release);
        refused = link->foreign ? client_refuse(client) : NULL;
        client_redial_later(client);
    }
    pthread_mutex_unlock(&client->lock);
    calls_finish(client, refused);
    if (ours) {
        link_put(link);
    }
}

void client_free(struct transport_client *client)
{
    if (client->dialer) {
        nng_stream_dialer_free(client->dialer);
    }
    for (unsigned i = 0; i < client->slot_count; i++) {
        free(client->slots[i].bytes);
    }
    free(client->slots);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

static void client_link_release(struct link *link)
{
    struct transport_client *client = client_of(link);
    free(link);
    pthread_mutex_lock(&client->lock);
    CHECK(client->links > 0);
    client->links--;
    bool last = client->abandoned && client->links == 0;
    pthread_mutex_unlock(&client->lock);
    if (last) {
        client_free(client);
    }
}

static const struct link_kind client_kind = {
    .self = PROTOCOL_REQ,
    .peer = PROTOCOL_REP,
    .greeted = client_greeted,
    .received = client_received,
    .down = client_down,
    .release = client_link_release,
};

/* ---- Dialing ---- */

/* The connection has much to send, and its peer does not read: without this check, requests of
 * calls that were given up would pile up. Client's lock held. */
static bool link_is_clogged(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool clogged = link->pending.len > OUTBOX_BYTES_MAX;
    pthread_mutex_unlock(&link->lock);
    return clogged;
}

/* Makes the link of a stream that a dial has opened, with two references: the owner's and the
 * reads'. NULL: no memory, and the stream is closed. */
static struct link *client_make_link(struct transport_client *client, nng_stream *stream)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link) {
        nng_stream_free(stream);
        return NULL;
    }
    pthread_mutex_lock(&client->lock);
    client->links++; /* before client_link_release() may run */
    pthread_mutex_unlock(&client->lock);
    if (!link_init(link, &client_kind, client, stream, client->is_ipc, MESSAGE_BYTES_MAX, NULL)) {
        return NULL;
    }
    link_get(link);
    return link;
}

/* A dial's failure means that nobody can be reached at the address. False: something is short just
 * now, on either side, or nothing has answered yet. */
static bool is_refusal(const struct transport_client *client, int error)
{
    switch (error) {
    case NNG_ETIMEDOUT:
    case NNG_ENOMEM:
    case NNG_ENOFILES:
    case NNG_ECONNRESET:
    case NNG_ECONNABORTED:
    case NNG_ECANCELED:
    case NNG_ECLOSED:
    case NNG_EINTR:
        return false;
    case NNG_EAGAIN: /* over ipc: the listener's queue is full */
        return !client->is_ipc;
    default:
        return true;
    }
}

/* nng's callback: a dial has ended. Clears is_dialing and sets the link in one step, under the
 * lock: a thread that sees is_dialing cleared also sees the link, and dials no second one. */
static void client_dialed(void *arg)
{
    struct transport_client *client = arg;
    int error = nng_aio_result(client->dialing);
    struct link *link =
        error == 0 ? client_make_link(client, nng_aio_get_output(client->dialing, 0)) : NULL;
    struct transport_call *refused = NULL;
    test_point("client_dialed"); /* no lock */
    pthread_mutex_lock(&client->lock);
    CHECK(client->is_dialing);
    CHECK(!client->link);
    client->is_dialing = false;
    client->dialed_ms = timing_now_ms();
    client->link = link;
    if (!link) {
        client->trouble = TROUBLE_DIAL;
        client->dial_error = error != 0 ? error : NNG_ENOMEM;
        refused = is_refusal(client, client->dial_error) ? client_refuse(client) : NULL;
        client_redial_later(client);
    }
    pthread_mutex_unlock(&client->lock);
    calls_finish(client, refused);
    if (link) {
        test_point("client_dialed: start"); /* no lock */
        link_start(link);
    }
}

/* Dials when it is time to. Returns a connection to be closed: one whose handshake has not come in
 * time or, when calls were given up, one whose peer does not read. Requests that wait are sent
 * again on the next one. Lock held. */
static struct link *client_look(struct transport_client *client, uint64_t now, bool gave_up)
{
    struct link *silent = NULL;
    if (client->link && (client->link_greeted ? gave_up && link_is_clogged(client->link)
                                              : now - client->link->made_ms >= GREETING_MS)) {
        silent = client->link;
        link_get(silent);
    }
    if (!client->link && !client->is_dialing && now >= client->redial_at_ms) {
        client->is_dialing = true;
        client->dials++;
        nng_stream_dialer_dial(client->dialer, client->dialing);
    }
    return silent;
}

/* nng's callback: a tick of the timer. It is stopped only when the client is being closed. */
static void client_ticked(void *arg)
{
    struct transport_client *client = arg;
    bool gave_up = false;
    pthread_mutex_lock(&client->lock);
    struct transport_call *late = calls_give_up(client, GIVE_UP_LATE, &gave_up);
    pthread_mutex_unlock(&client->lock);
    calls_finish(client, late);
    test_point("client_ticked"); /* no lock */
    pthread_mutex_lock(&client->lock);
    struct link *silent = client->closing ? NULL : client_look(client, timing_now_ms(), gave_up);
    client->is_ticking = false;
    client_tick(client);
    pthread_mutex_unlock(&client->lock);
    if (silent) {
        (void)link_shut(silent);
        link_put(silent);
    }
}

/* ---- Why there is no connection ---- */

/* The path of an ipc URL is missing: nng's error for that is "refused", too. */
static bool path_is_missing(const struct transport_client *client)
{
    return client->is_ipc && access(client->url + strlen("ipc://"), F_OK) != 0;
}

/* The error is the resolver's. Errors of getaddrinfo() for which nng has no code arrive as
 * NNG_ESYSERR and a small negative number. */
static bool is_resolvers(int error)
{
    return error == NNG_EADDRINVAL || error == NNG_EAGAIN ||
           (error < NNG_ESYSERR && error > NNG_ESYSERR - 1000);
}

static void dial_reason(const struct transport_client *client, int error,
                        char text[TRANSPORT_REASON_BYTES])
{
    const char *url = client->url;
    if (error == NNG_ECONNREFUSED || error == NNG_ENOENT) {
        snprintf(text, TRANSPORT_REASON_BYTES, "nothing listens on %s (%s)", url,
                 path_is_missing(client) ? "there is no such path" : "connection refused");
    } else if (error == NNG_EPERM) {
        snprintf(text, TRANSPORT_REASON_BYTES, "%s may not be opened (permission denied)", url);
    } else if (error == NNG_EAGAIN && client->is_ipc) {
        snprintf(text, TRANSPORT_REASON_BYTES, "%s takes no connections (its queue is full)", url);
    } else if (is_resolvers(error)) {
        snprintf(text, TRANSPORT_REASON_BYTES, "the host of %s is not known", url);
    } else {
        snprintf(text, TRANSPORT_REASON_BYTES, "%s can't be reached (%s)", url,
                 nng_strerror(error));
    }
}

void transport_client_reason(struct transport_client *client, char text[TRANSPORT_REASON_BYTES])
{
    pthread_mutex_lock(&client->lock);
    enum trouble trouble = client->trouble;
    int error = client->dial_error;
    if (trouble == TROUBLE_NONE && client->link && !client->link_greeted) {
        trouble = TROUBLE_SILENT;
    }
    pthread_mutex_unlock(&client->lock);
    const char *url = client->url;
    switch (trouble) {
    case TROUBLE_DIAL:
        dial_reason(client, error, text);
        break;
    case TROUBLE_FOREIGN:
        snprintf(text, TRANSPORT_REASON_BYTES,
                 "what listens on %s does not speak Holdfast's protocol", url);
        break;
    case TROUBLE_HUNG_UP:
        snprintf(text, TRANSPORT_REASON_BYTES, "%s takes connections, but closes them at once",
                 url);
        break;
    case TROUBLE_SILENT:
        snprintf(text, TRANSPORT_REASON_BYTES, "%s takes connections, but does not answer", url);
        break;
    default:
        snprintf(text, TRANSPORT_REASON_BYTES, "there is no connection to %s", url);
    }
}

/* ---- Opening and closing ---- */

enum hf_status dial_open(struct transport_client *client)
{
    if (nng_aio_alloc(&client->dialing, client_dialed, client) != 0) {
        client->dialing = NULL;
        return HF_NO_MEMORY;
    }
    if (nng_aio_alloc(&client->timer, client_ticked, client) != 0) {
        client->timer = NULL;
        return HF_NO_MEMORY;
    }
    nng_aio_set_timeout(client->dialing, DIAL_TIMEOUT_MS);
    int error = nng_stream_dialer_alloc(&client->dialer, client->url);
    if (error != 0) {
        client->dialer = NULL;
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_INVALID;
    }
    if (!client->is_ipc) {
        (void)nng_stream_dialer_set_bool(client->dialer, NNG_OPT_TCP_NODELAY, true);
        (void)nng_stream_dialer_set_bool(client->dialer, NNG_OPT_TCP_KEEPALIVE, true);
    }
    return HF_OK;
}

void dial_start(struct transport_client *client)
{
    pthread_mutex_lock(&client->lock);
    client_look(client, timing_now_ms(), false); /* dials */
    client_tick(client);
    pthread_mutex_unlock(&client->lock);
}

static void aio_end(nng_aio *aio)
{
    if (aio) {
        nng_aio_stop(aio);
        nng_aio_free(aio);
    }
}

void dial_stop(struct transport_client *client)
{
    aio_end(client->timer);
    if (client->dialer) {
        nng_stream_dialer_close(client->dialer);
    }
    aio_end(client->dialing);
}
