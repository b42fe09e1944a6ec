/* watchdog.c - the thread that looks after listeners and connections.
 *
 * Listeners come and go in it alone, but for those that are added. */
#include "rpc/transport_private.h"

#include <errno.h>

#include "base/diag.h"

#define WATCH_EVERY_MS     100u
#define WATCH_CLOSE_MAX    256u /* connections closed in one round */
#define PROBE_EVERY_MS     1000u
#define PROBE_FAILURES_MAX 2
#define RELISTEN_TRIES     50     /* 20 ms apart: the old socket may take a moment to go */
#define LONG_MESSAGE_MS    60000u /* for one that takes memory of its own to come in whole */

/* ---- Listeners ---- */

/* Closes and opens the listener at its place; its connections stay. */
static void relisten(struct acceptor *acceptor, struct listener *listener)
{
    if (listener->up) {
        diag_warn("%s has stopped taking connections: listening anew", listener->url);
        listener_stop(listener);
    }
    for (int i = 0; i < RELISTEN_TRIES && !acceptor_stopping(acceptor); i++) {
        if (listener_start(listener) == HF_OK) {
            atomic_fetch_add_explicit(&acceptor->relistens, 1, memory_order_relaxed);
            return;
        }
        pause_ms(20);
    }
    diag_error("%s cannot be listened on; trying again", listener->url);
}

/* Looks at one listener: dead when it fails two probes in a row and no connection has come
 * meanwhile, as one would under a load that makes everything slow. Without the lock. */
static bool probe_dead(struct acceptor *acceptor, const struct listener *listener)
{
    uint64_t total = atomic_load_explicit(&acceptor->connections_total, memory_order_relaxed);
    for (int i = 0; i < PROBE_FAILURES_MAX; i++) {
        if (probe_dial(listener) != PROBE_DEAD || acceptor_stopping(acceptor)) {
            return false;
        }
    }
    return total == atomic_load_explicit(&acceptor->connections_total, memory_order_relaxed);
}

static void watch_listeners(struct acceptor *acceptor)
{
    pthread_mutex_lock(&acceptor->lock);
    /* Without room for a connection a probe would be refused too. */
    unsigned count = acceptor_is_full(acceptor) ? 0 : acceptor->listener_count;
    pthread_mutex_unlock(&acceptor->lock);
    for (unsigned i = 0; i < count && !acceptor_stopping(acceptor); i++) {
        struct listener *listener = acceptor->listeners[i];
        if (!listener->up || probe_dead(acceptor, listener)) {
            relisten(acceptor, listener);
        }
    }
}

/* ---- Connections ---- */

/* What the watchdog does to a connection. Link's lock held. */
static bool connection_is_burden(const struct connection *connection, uint64_t now)
{
    const struct acceptor_options *options = &connection->acceptor->options;
    const struct link *link = &connection->link;
    uint32_t all = connection->handling + link_unsent(link);
    return (all > options->in_hand_max && connection_stalled(connection, now)) ||
           (link->is_sending && now - link->write_ms >= (uint64_t)options->send_timeout_ms);
}

/* A long message has been coming in for too long: it keeps memory from others. */
static bool connection_dawdles(const struct connection *connection, uint64_t now)
{
    uint64_t since = atomic_load_explicit(&connection->link.long_since_ms, memory_order_relaxed);
    return since != 0 && now >= since && now - since >= LONG_MESSAGE_MS;
}

/* Cuts off the connections that hold more than their share and read nothing, and those that take
 * a reply or send a request too slowly; drops those that don't say what they are. */
static void watch_connections(struct acceptor *acceptor)
{
    struct connection *found[WATCH_CLOSE_MAX];
    bool burden[WATCH_CLOSE_MAX];
    unsigned count = 0;
    pthread_mutex_lock(&acceptor->lock);
    for (struct connection *at = acceptor->first; at && count < WATCH_CLOSE_MAX; at = at->next) {
        pthread_mutex_lock(&at->link.lock);
        uint64_t now = now_ms();       /* not before the times that it is compared with */
        bool closed = at->link.closed; /* it is on its way out, and needs no place here */
        burden[count] = connection_is_burden(at, now) || connection_dawdles(at, now);
        pthread_mutex_unlock(&at->link.lock);
        if (!closed && (burden[count] || (!at->counted && now - at->link.made_ms >= GREETING_MS))) {
            link_get(&at->link);
            found[count++] = at;
        }
    }
    pthread_mutex_unlock(&acceptor->lock);
    for (unsigned i = 0; i < count; i++) {
        if (burden[i]) {
            connection_cut_off(found[i]);
        } else {
            (void)link_shut(&found[i]->link);
        }
        link_put(&found[i]->link);
    }
}

/* Since when a connection has nothing in hand. 0: it has. Link's lock held. */
static uint64_t connection_idle_since(const struct connection *connection)
{
    const struct link *link = &connection->link;
    bool busy = link->closed || connection->handling > 0 || link_unsent(link) > 0;
    return busy ? 0 : link->progress_ms > link->made_ms ? link->progress_ms : link->made_ms;
}

/* When a connection was refused, makes room for the next: for one, and not while another is on its
 * way out, whose place will be free. */
static void watch_idle(struct acceptor *acceptor)
{
    struct connection *found = NULL;
    uint64_t found_since = UINT64_MAX;
    uint32_t staying = 0;
    pthread_mutex_lock(&acceptor->lock);
    bool wanted =
        acceptor->options.idle_ms_max > 0 && acceptor->is_full && acceptor_is_full(acceptor);
    for (struct connection *at = wanted ? acceptor->first : NULL; at; at = at->next) {
        pthread_mutex_lock(&at->link.lock);
        uint64_t since = connection_idle_since(at);
        staying += !at->link.closed;
        pthread_mutex_unlock(&at->link.lock);
        /* The list's oldest are its last. */
        if (since != 0 && since <= found_since) {
            found = at;
            found_since = since;
        }
    }
    if (found && (staying < acceptor->options.connections_max ||
                  now_ms() - found_since < acceptor->options.idle_ms_max)) {
        found = NULL;
    }
    if (found) {
        link_get(&found->link);
    }
    pthread_mutex_unlock(&acceptor->lock);
    if (found) {
        (void)link_shut(&found->link);
        link_put(&found->link);
    }
}

/* ---- The thread ---- */

/* Sleeps until the next round. Lock held. False: it is time to end. */
static bool watchdog_sleep(struct acceptor *acceptor)
{
    struct timespec until = in_ms(WATCH_EVERY_MS);
    while (!acceptor->watchdog_stop &&
           pthread_cond_timedwait(&acceptor->wake, &acceptor->lock, &until) != ETIMEDOUT) {
    }
    return !acceptor->watchdog_stop;
}

static void *watchdog_run(void *arg)
{
    struct acceptor *acceptor = arg;
    uint64_t probed_ms = now_ms();
    pthread_mutex_lock(&acceptor->lock);
    while (watchdog_sleep(acceptor)) {
        pthread_mutex_unlock(&acceptor->lock);
        watch_connections(acceptor);
        watch_idle(acceptor);
        if (now_ms() - probed_ms >= PROBE_EVERY_MS) {
            watch_listeners(acceptor);
            probed_ms = now_ms();
        }
        pthread_mutex_lock(&acceptor->lock);
    }
    pthread_mutex_unlock(&acceptor->lock);
    return NULL;
}

enum hf_status watchdog_start(struct acceptor *acceptor)
{
    if (pthread_create(&acceptor->watchdog, NULL, watchdog_run, acceptor) != 0) {
        return HF_NO_MEMORY;
    }
    acceptor->watchdog_started = true;
    return HF_OK;
}

void watchdog_stop(struct acceptor *acceptor)
{
    if (!acceptor->watchdog_started) {
        return;
    }
    pthread_mutex_lock(&acceptor->lock);
    acceptor->watchdog_stop = true;
    pthread_cond_signal(&acceptor->wake);
    pthread_mutex_unlock(&acceptor->lock);
    pthread_join(acceptor->watchdog, NULL);
    acceptor->watchdog_started = false;
}
