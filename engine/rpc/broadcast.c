/* broadcast.c - SP PUB: every message goes into each subscriber's outbox.
 *
 * A subscriber sends nothing after its handshake: whatever it sends ends its connection.
 *
 * Threads: any may send. While a message is put into the outboxes the list of connections is
 * locked; the writes are started after that, because nng may call back at once. */
#include "rpc/broadcast.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/diag.h"
#include "rpc/acceptor.h"
#include "rpc/frame.h"
#include "rpc/link_receive.h"
#include "rpc/link_send.h"

struct broadcast {
    struct acceptor acceptor; /* first: they are one piece of memory */
    struct broadcast_options options;
    atomic_uint_fast64_t lost;
    atomic_bool losing; /* the warning of lost messages was written */
};

static void subscriber_received(struct link *link)
{
    enum next next = link_greeting(link);
    if (next == NEXT_TAKE) {
        next = link->begin == link->end ? NEXT_READ : NEXT_DOWN;
    }
    link_continue(link, next);
}

static const struct link_kind pub_kind = {
    .self = PROTOCOL_PUB,
    .peer = PROTOCOL_SUB,
    .greeted = connection_greeted,
    .received = subscriber_received,
    .down = connection_down,
    .release = connection_release,
};

enum hf_status broadcast_open(struct broadcast **out, const struct broadcast_options *options)
{
    CHECK(options->subscribers_max >= 1);
    CHECK(options->subscribers_max <= STREAM_SUBSCRIBERS_MAX);
    CHECK(options->send_timeout_ms > 0);
    struct broadcast *broadcast = calloc(1, sizeof *broadcast);
    if (!broadcast) {
        return HF_NO_MEMORY;
    }
    broadcast->options = *options;
    acceptor_init(&broadcast->acceptor,
                  &(struct connection_options){.kind = &pub_kind,
                                               .memory_bytes_max = options->memory_bytes_max,
                                               .loses_messages = true,
                                               .connections_max = options->subscribers_max,
                                               .in_hand_max = options->backlog_messages,
                                               .send_timeout_ms = options->send_timeout_ms});
    if (acceptor_start(&broadcast->acceptor) != HF_OK) {
        broadcast_close(broadcast);
        return HF_NO_MEMORY;
    }
    *out = broadcast;
    return HF_OK;
}

enum hf_status broadcast_listen(struct broadcast *broadcast, const char *url, char *actual_url,
                                size_t actual_url_bytes)
{
    return acceptor_listen(&broadcast->acceptor, url, actual_url, actual_url_bytes);
}

void broadcast_close(struct broadcast *broadcast)
{
    acceptor_stop(&broadcast->acceptor);
    while (connections_close_first(&broadcast->acceptor.connections)) {
    }
    connections_wait_released(&broadcast->acceptor.connections);
    acceptor_deinit(&broadcast->acceptor);
    free(broadcast);
}

/* Link's lock held. */
static bool backlog_has_room(const struct broadcast_options *options, const struct link *link,
                             size_t len)
{
    return link_unsent(link) < options->backlog_messages &&
           link->pending.len + link->leaving.len + FRAME_HEAD_MAX + len <= options->backlog_bytes;
}

static void count_lost(struct broadcast *broadcast)
{
    atomic_fetch_add_explicit(&broadcast->lost, 1, memory_order_relaxed);
    /* relaxed: one thread writes the warning, whichever it is. */
    if (!atomic_exchange_explicit(&broadcast->losing, true, memory_order_relaxed)) {
        diag_warn("the change stream: a subscriber is too slow and loses messages; this is said "
                  "once");
    }
}

/* Adds a message to what is to be sent. True: it is to be written, and the caller has a reference.
 */
static bool subscriber_add(struct broadcast *broadcast, struct link *link, struct bytes message)
{
    pthread_mutex_lock(&link->lock);
    bool added = !link->closed && backlog_has_room(&broadcast->options, link, message.len) &&
                 link_add(link, (struct bytes){NULL, 0}, message);
    bool lost = !added && !link->closed;
    bool write = added && link_begin_write(link);
    if (write) {
        link_get(link);
    }
    pthread_mutex_unlock(&link->lock);
    if (lost) {
        count_lost(broadcast);
    }
    return write;
}

void broadcast_send(struct broadcast *broadcast, struct bytes message)
{
    struct connections *set = &broadcast->acceptor.connections;
    struct link *writing[STREAM_SUBSCRIBERS_MAX];
    unsigned count = 0;
    pthread_mutex_lock(&set->lock);
    for (struct connection *at = set->first; at; at = at->next) {
        if (at->counted && subscriber_add(broadcast, &at->link, message)) {
            CHECK(count < STREAM_SUBSCRIBERS_MAX);
            writing[count++] = &at->link;
        }
    }
    pthread_mutex_unlock(&set->lock);
    for (unsigned i = 0; i < count; i++) {
        link_write(writing[i]);
        link_put(writing[i]);
    }
}

void broadcast_stats(const struct broadcast *broadcast, struct broadcast_stats *stats)
{
    /* Counters for people: relaxed, each is right by itself. */
    const struct acceptor *acceptor = &broadcast->acceptor;
    stats->subscribers = atomic_load_explicit(&acceptor->connections.open, memory_order_relaxed);
    stats->lost = atomic_load_explicit(&broadcast->lost, memory_order_relaxed);
    stats->disconnected =
        atomic_load_explicit(&acceptor->connections.disconnected, memory_order_relaxed);
    stats->relistens = atomic_load_explicit(&acceptor->watchdog.relistens, memory_order_relaxed);
}
