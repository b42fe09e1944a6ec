/* transport_dial.c - REQ: the client's connection, dialed again and again while there is none.
 *
 * Threads: one opens and closes a client; the rest is nng's callbacks, of which the timer's runs
 * as often as client_tick() says while there is something to look at. */
#include "rpc/transport_private.h"

#include "base/address.h"

#define DIAL_TIMEOUT_MS  10000
#define RECONNECT_MIN_MS 10u
#define RECONNECT_MAX_MS 1000u
/* Between two looks at what has to end or to begin. nng's timers are dear: it waits for the last
 * part of a millisecond without sleeping. */
#define TICK_MIN_MS 10u /* without a connection */
#define TICK_MAX_MS 100u
/* A call ends late by up to a tick: an eighth of the shortest timeout that there was, but between
 * the two above; and up to TICK_MAX_MS if that tick had begun before the first call so short. */
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

/* There is a connection: all that waits goes out on it. */
static void client_greeted(struct link *link)
{
    struct transport_client *client = client_of(link);
    pthread_mutex_lock(&client->lock);
    if (client->link == link) {
        /* Before anything is sent on it, so that "none so far" is never said of a sent request.
         * release: pairs with the acquire in transport_client_connections. */
        atomic_fetch_add_explicit(&client->connections_total, 1, memory_order_release);
        atomic_store_explicit(&client->connections, 1, memory_order_release);
        client->link_greeted = true;
        client->redial_pause_ms = RECONNECT_MIN_MS;
        client_send_all(client);
    }
    pthread_mutex_unlock(&client->lock);
    link_flush(link);
}

/* Dials again after a pause that grows while nothing comes of it. Lock held. */
static void client_redial_later(struct transport_client *client)
{
    client->redial_at_ms = now_ms() + client->redial_pause_ms;
    client->redial_pause_ms = client->redial_pause_ms * 2 < RECONNECT_MAX_MS
                                  ? client->redial_pause_ms * 2
                                  : RECONNECT_MAX_MS;
    client_tick(client);
}

static void client_down(struct link *link)
{
    struct transport_client *client = client_of(link);
    pthread_mutex_lock(&client->lock);
    bool ours = client->link == link;
    if (ours) {
        client->link = NULL;
        client->link_greeted = false;
        /* release: pairs with the acquire in transport_client_connected. */
        atomic_store_explicit(&client->connections, 0, memory_order_release);
        client_redial_later(client);
    }
    pthread_mutex_unlock(&client->lock);
    if (ours) {
        link_put(link);
    }
}

static void client_link_release(struct link *link)
{
    struct transport_client *client = client_of(link);
    free(link);
    pthread_mutex_lock(&client->lock);
    client->links--;
    pthread_mutex_unlock(&client->lock);
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

/* Whether much of what a connection has to send is for calls that were given up: its peer does not
 * read, and without end more would be added. Client's lock held. */
static bool link_is_clogged(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool clogged = link->pending.len > OUTBOX_BYTES_MAX;
    pthread_mutex_unlock(&link->lock);
    return clogged;
}

static void client_dialed(void *arg)
{
    struct transport_client *client = arg;
    int error = nng_aio_result(client->dialing);
    nng_stream *stream = error == 0 ? nng_aio_get_output(client->dialing, 0) : NULL;
    struct link *link = stream ? calloc(1, sizeof *link) : NULL;
    pthread_mutex_lock(&client->lock);
    client->is_dialing = false;
    client->links += link ? 1 : 0;
    pthread_mutex_unlock(&client->lock);
    if (stream && !link) {
        nng_stream_free(stream);
    }
    if (link &&
        !link_init(link, &client_kind, client, stream, client->is_ipc, MESSAGE_BYTES_MAX, NULL)) {
        link = NULL;
    }
    if (link) {
        link_get(link);
    }
    pthread_mutex_lock(&client->lock);
    client->link = link;
    if (!link) {
        client_redial_later(client);
    }
    pthread_mutex_unlock(&client->lock);
    if (link) {
        link_start(link);
    }
}

/* Dials when it is time to; gives a connection up that does not greet or, when calls were given up,
 * does not take what it is sent: what still waits is sent again on the next. Lock held. */
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
        nng_stream_dialer_dial(client->dialer, client->dialing);
    }
    return silent;
}

/* The timer. */
static void client_ticked(void *arg)
{
    struct transport_client *client = arg;
    if (nng_aio_result(client->timer) != 0) {
        return;
    }
    bool gave_up = client_give_up(client, false);
    pthread_mutex_lock(&client->lock);
    struct link *silent = client->closing ? NULL : client_look(client, now_ms(), gave_up);
    client->is_ticking = false;
    client_tick(client);
    pthread_mutex_unlock(&client->lock);
    if (silent) {
        (void)link_shut(silent);
        link_put(silent);
    }
}

/* ---- Opening and closing ---- */

static enum hf_status client_open_dialer(struct transport_client *client)
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
    memcpy(client->url, url, strlen(url) + 1);
    pthread_mutex_init(&client->lock, NULL);
    enum hf_status status = client_open_slots(client);
    if (status == HF_OK) {
        status = client_open_dialer(client);
    }
    if (status != HF_OK) {
        transport_client_close(client);
        return status;
    }
    pthread_mutex_lock(&client->lock);
    client_look(client, now_ms(), false); /* dials */
    client_tick(client);
    pthread_mutex_unlock(&client->lock);
    *out = client;
    return HF_OK;
}

/* Waits until all done() have returned and nothing refers to the client's links. */
static void client_wait_idle(struct transport_client *client)
{
    for (;;) {
        pthread_mutex_lock(&client->lock);
        bool idle = client->under_way == 0 && client->links == 0;
        pthread_mutex_unlock(&client->lock);
        if (idle) {
            return;
        }
        pause_ms(1);
    }
}

static void aio_end(nng_aio *aio)
{
    if (aio) {
        nng_aio_stop(aio);
        nng_aio_free(aio);
    }
}

void transport_client_close(struct transport_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->closing = true; /* no call starts afterwards, and no tick */
    pthread_mutex_unlock(&client->lock);
    aio_end(client->timer);
    if (client->dialer) {
        nng_stream_dialer_close(client->dialer);
    }
    aio_end(client->dialing);
    pthread_mutex_lock(&client->lock);
    struct link *link = client->link;
    if (link) {
        link_get(link);
    }
    pthread_mutex_unlock(&client->lock);
    (void)client_give_up(client, true);
    if (link) {
        (void)link_shut(link);
        link_put(link);
    }
    client_wait_idle(client);
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
