/* publisher.c - SP PUB: every message goes into each subscriber's outbox.
 *
 * A subscriber has nothing to say after its handshake: whatever comes ends its connection.
 *
 * Threads: any may send. While a message is put into the outboxes the list of connections is
 * locked; the writes are started after that, because nng may call back at once. */
#include "rpc/publisher.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/diag.h"
#include "rpc/acceptor.h"
#include "rpc/frame.h"
#include "rpc/link_receive.h"
#include "rpc/link_send.h"

struct publisher {
    struct acceptor acceptor; /* first: they are one piece of memory */
    struct publisher_options options;
    atomic_uint_fast64_t lost;
    atomic_bool losing; /* it was said that messages are lost */
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

enum hf_status publisher_open(struct publisher **out, const struct publisher_options *options)
{
    CHECK(options->subscribers_max >= 1);
    CHECK(options->subscribers_max <= STREAM_SUBSCRIBERS_MAX);
    CHECK(options->send_timeout_ms > 0);
    struct publisher *publisher = calloc(1, sizeof *publisher);
    if (!publisher) {
        return HF_NO_MEMORY;
    }
    publisher->options = *options;
    acceptor_init(&publisher->acceptor,
                  &(struct connection_options){.kind = &pub_kind,
                                               .memory_bytes_max = options->memory_bytes_max,
                                               .connections_max = options->subscribers_max,
                                               .in_hand_max = options->backlog_messages,
                                               .send_timeout_ms = options->send_timeout_ms});
    if (acceptor_start(&publisher->acceptor) != HF_OK) {
        publisher_close(publisher);
        return HF_NO_MEMORY;
    }
    *out = publisher;
    return HF_OK;
}

enum hf_status publisher_listen(struct publisher *publisher, const char *url, char *actual_url,
                                size_t actual_url_bytes)
{
    return acceptor_listen(&publisher->acceptor, url, actual_url, actual_url_bytes);
}

void publisher_close(struct publisher *publisher)
{
    acceptor_stop(&publisher->acceptor);
    while (connections_close_first(&publisher->acceptor.connections)) {
    }
    connections_wait_released(&publisher->acceptor.connections);
    acceptor_deinit(&publisher->acceptor);
    free(publisher);
}

/* Link's lock held. */
static bool backlog_has_room(const struct publisher_options *options, const struct link *link,
                             size_t len)
{
    return link_unsent(link) < options->backlog_messages &&
           link->pending.len + link->leaving.len + FRAME_HEAD_MAX + len <= options->backlog_bytes;
}

static void count_lost(struct publisher *publisher)
{
    atomic_fetch_add_explicit(&publisher->lost, 1, memory_order_relaxed);
    /* relaxed: said once, by whoever comes first. */
    if (!atomic_exchange_explicit(&publisher->losing, true, memory_order_relaxed)) {
        diag_warn("the change stream: a subscriber is too slow and loses messages; this is said "
                  "once");
    }
}

/* Adds a message to what is to be sent. True: it is to be written, and the caller has a reference.
 */
static bool subscriber_add(struct publisher *publisher, struct link *link, struct bytes message)
{
    pthread_mutex_lock(&link->lock);
    bool added = !link->closed && backlog_has_room(&publisher->options, link, message.len) &&
                 link_add(link, (struct bytes){NULL, 0}, message);
    bool lost = !added && !link->closed;
    bool write = added && link_begin_write(link);
    if (write) {
        link_get(link);
    }
    pthread_mutex_unlock(&link->lock);
    if (lost) {
        count_lost(publisher);
    }
    return write;
}

void publisher_send(struct publisher *publisher, struct bytes message)
{
    struct connections *set = &publisher->acceptor.connections;
    struct link *writing[STREAM_SUBSCRIBERS_MAX];
    unsigned count = 0;
    pthread_mutex_lock(&set->lock);
    for (struct connection *at = set->first; at; at = at->next) {
        if (at->counted && subscriber_add(publisher, &at->link, message)) {
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

void publisher_stats(const struct publisher *publisher, struct publisher_stats *stats)
{
    /* Counters for people: relaxed, each is right by itself. */
    const struct acceptor *acceptor = &publisher->acceptor;
    stats->subscribers = atomic_load_explicit(&acceptor->connections.open, memory_order_relaxed);
    stats->lost = atomic_load_explicit(&publisher->lost, memory_order_relaxed);
    stats->cut_off =
        atomic_load_explicit(&acceptor->connections.disconnected, memory_order_relaxed);
    stats->relistens = atomic_load_explicit(&acceptor->watchdog.relistens, memory_order_relaxed);
}
