/* watchdog.c - the thread that looks after listeners and connections. See watchdog.h.
 *
 * Only this thread closes listeners and opens them again while the server lives. */
#include "rpc/watchdog.h"

#include <errno.h>

#include "base/diag.h"
#include "rpc/timing.h"

#define WATCH_EVERY_MS  100u
#define WATCH_CLOSE_MAX 256u  /* connections closed in one round */
#define GIVE_BACK_MS    1000u /* after the last reply left */
#define WARN_EVERY_MS   60000u
#define HOLDERS_MAX     16u /* found by one look at all connections */
#define MEMORY_PAUSE_MS 2u  /* for what was closed to be released, before the next look */
#define PROBE_EVERY_MS  1000u
#define RELISTEN_TRIES  10     /* before an error is written: the old socket may take a moment */
#define LONG_MESSAGE_MS 60000u /* for a message that takes memory of its own to come in whole */

/* ---- Listeners ---- */

static bool watchdog_stopping(const struct watchdog *watchdog)
{
    return connections_stopping(watchdog->connections);
}

/* Opens a listener that is closed. Tried again in the next round: the old socket may take a moment
 * to go, and a connection must not wait for that. */
static void reopen(struct watchdog *watchdog, struct listener *listener)
{
    if (listener_start(listener) == HF_OK) {
        atomic_fetch_add_explicit(&watchdog->relistens, 1, memory_order_relaxed);
        listener->lost = false;
        listener->failures = 0;
        return;
    }
    if (++listener->failures == RELISTEN_TRIES) {
        diag_error("%s cannot be listened on; trying again", listener->url);
    }
}

/* Looks at a listener, and closes it if it is dead. */
static void watch_listener(struct listener *listener)
{
    enum probe probe = probe_look(&listener->target);
    if (probe == PROBE_DEAD) {
        diag_warn("%s has stopped taking connections: listening again", listener->url);
        listener_stop(listener);
    } else if (probe == PROBE_TAKEN && !listener->lost) {
        diag_error("%s: something else was put in the place of its socket: nobody can connect "
                   "there until that is removed",
                   listener->url);
    }
    listener->lost = probe == PROBE_TAKEN;
}

static void watch_listeners(struct watchdog *watchdog, bool look)
{
    unsigned count = listeners_count(watchdog->listeners);
    for (unsigned i = 0; i < count && !watchdog_stopping(watchdog); i++) {
        struct listener *listener = watchdog->listeners->at[i];
        if (listener->up && look) {
            watch_listener(listener);
        }
        if (!listener->up) {
            reopen(watchdog, listener);
        }
    }
}

/* ---- Connections ---- */

/* The connection has too much in hand and does not read, or its write takes too long. Link's lock
 * held. */
static bool connection_is_burden(const struct connection *connection, uint64_t now)
{
    const struct connection_options *options = &connection->set->options;
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

/* Returns the memory that a connection keeps to write from, when it has had nothing to write for a
 * while: there may be thousands that are quiet. Link's lock held. */
static void connection_give_back(struct connection *connection, uint64_t now)
{
    struct link *link = &connection->link;
    bool quiet = !link->is_sending && link_unsent(link) == 0 && link->pending.len == 0 &&
                 link->leaving.len == 0 && now > link->progress_ms + GIVE_BACK_MS;
    if (quiet && link->pending.room + link->leaving.room > 0) {
        outbox_free(&link->pending, &link->memory);
        outbox_free(&link->leaving, &link->memory);
    }
}

/* Closes the connections that hold more than their share and read nothing, those that take a reply
 * or send a request too slowly, and those whose handshake has not come. */
static void watch_connections(struct connections *set)
{
    struct connection *found[WATCH_CLOSE_MAX];
    bool burden[WATCH_CLOSE_MAX];
    unsigned count = 0;
    pthread_mutex_lock(&set->lock);
    for (struct connection *at = set->first; at && count < WATCH_CLOSE_MAX; at = at->next) {
        if (at->down) {
            continue;
        }
        pthread_mutex_lock(&at->link.lock);
        uint64_t now = timing_now_ms(); /* read under the lock: not before the times that it is
                                           compared with */
        bool closed = at->link.closed;  /* it is being closed already */
        burden[count] = connection_is_burden(at, now) || connection_dawdles(at, now);
        connection_give_back(at, now);
        pthread_mutex_unlock(&at->link.lock);
        if (!closed && (burden[count] || (!at->counted && now - at->link.made_ms >= GREETING_MS))) {
            link_get(&at->link);
            found[count++] = at;
        }
    }
    pthread_mutex_unlock(&set->lock);
    for (unsigned i = 0; i < count; i++) {
        if (burden[i]) {
            connection_disconnect(found[i]);
        } else {
            (void)link_shut(&found[i]->link);
        }
        link_put(&found[i]->link);
    }
}

/* ---- Memory ---- */

/* Those that hold most for longest, the worst first. */
struct holders {
    struct connection *worst[HOLDERS_MAX];
    uint64_t score[HOLDERS_MAX];
    unsigned count;
    uint64_t going; /* bytes of those that are closed already */
};

/* How much of a burden a connection is (watchdog.h). 0: it is closed, or holds nothing. Link's lock
 * held. */
static uint64_t holder_score(const struct connection *connection, uint64_t now)
{
    const struct link *link = &connection->link;
    uint64_t bytes = atomic_load_explicit(&link->memory.bytes, memory_order_relaxed);
    uint64_t since = atomic_load_explicit(&link->long_since_ms, memory_order_relaxed);
    if (link_unsent(link) > 0 && (since == 0 || link->progress_ms < since)) {
        since = link->progress_ms;
    }
    uint64_t slow_ms = since != 0 && now > since ? now - since : 0;
    return link->closed ? 0 : bytes * (1 + slow_ms);
}

static void holders_add(struct holders *holders, struct connection *connection, uint64_t score)
{
    if (holders->count == HOLDERS_MAX) {
        if (score <= holders->score[HOLDERS_MAX - 1]) {
            return;
        }
        holders->count--;
    }
    unsigned at = holders->count++;
    while (at > 0 && score > holders->score[at - 1]) {
        holders->worst[at] = holders->worst[at - 1];
        holders->score[at] = holders->score[at - 1];
        at--;
    }
    holders->worst[at] = connection;
    holders->score[at] = score;
}

/* Looks at all connections. Each of the worst gets a reference. */
static void holders_find(struct connections *set, struct holders *holders)
{
    *holders = (struct holders){0};
    pthread_mutex_lock(&set->lock);
    for (struct connection *at = set->first; at; at = at->next) {
        uint64_t score = 0;
        if (!at->down) {
            pthread_mutex_lock(&at->link.lock);
            score = holder_score(at, timing_now_ms());
            pthread_mutex_unlock(&at->link.lock);
        }
        if (score > 0) {
            holders_add(holders, at, score);
        } else {
            holders->going += atomic_load_explicit(&at->link.memory.bytes, memory_order_relaxed);
        }
    }
    for (unsigned i = 0; i < holders->count; i++) {
        link_get(&holders->worst[i]->link);
    }
    pthread_mutex_unlock(&set->lock);
}

/* Closes the worst of them until what stays is below the goal. False: more must go. */
static bool holders_close(struct connections *set, struct holders *holders, uint64_t goal)
{
    uint64_t going = holders->going;
    uint64_t used = atomic_load_explicit(&set->budget.used, memory_order_relaxed);
    for (unsigned i = 0; i < holders->count; i++) {
        struct link *link = &holders->worst[i]->link;
        if (used > going && used - going > goal) {
            going += atomic_load_explicit(&link->memory.bytes, memory_order_relaxed);
            connection_disconnect(holders->worst[i]);
        }
        link_put(link);
    }
    return used <= going || used - going <= goal || holders->count == 0;
}

/* What the others may hold, once the worst are closed. */
static uint64_t memory_goal(struct budget *budget)
{
    uint64_t wanted = atomic_exchange_explicit(&budget->wanted, 0, memory_order_relaxed);
    bool helps = wanted < budget->long_max; /* otherwise nothing makes room for it */
    uint64_t room = helps ? budget->long_max - wanted : budget->max;
    return room < budget->max ? room : budget->max;
}

static void watch_memory(struct connections *set)
{
    struct budget *budget = &set->budget;
    if (!atomic_exchange_explicit(&budget->pressed, false, memory_order_relaxed)) {
        return;
    }
    uint64_t goal = memory_goal(budget);
    uint64_t now = timing_now_ms();
    struct holders holders;
    if (set->memory_warned_ms == 0 || now - set->memory_warned_ms >= WARN_EVERY_MS) {
        set->memory_warned_ms = now;
        diag_warn("connections hold %llu MiB, the most allowed: those that hold most for longest "
                  "are closed",
                  (unsigned long long)(budget->max >> 20));
    }
    do {
        holders_find(set, &holders);
    } while (!holders_close(set, &holders, goal));
    timing_pause_ms(MEMORY_PAUSE_MS);
}

/* The budget calls. Any link's lock may be held. */
static void watchdog_press(void *context)
{
    struct watchdog *watchdog = context;
    pthread_mutex_lock(&watchdog->lock);
    watchdog->pressed = true;
    pthread_cond_signal(&watchdog->wake);
    pthread_mutex_unlock(&watchdog->lock);
}

/* ---- The thread ---- */

/* Sleeps until the next round, or until memory is short. Lock held. False: it is time to end. */
static bool watchdog_sleep(struct watchdog *watchdog)
{
    struct timespec until = timing_in_ms(WATCH_EVERY_MS);
    while (!watchdog->stop && !watchdog->pressed &&
           pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until) != ETIMEDOUT) {
    }
    watchdog->pressed = false;
    return !watchdog->stop;
}

static void *watchdog_run(void *arg)
{
    struct watchdog *watchdog = arg;
    uint64_t probed_ms = timing_now_ms();
    uint64_t watched_ms = probed_ms;
    pthread_mutex_lock(&watchdog->lock);
    while (watchdog_sleep(watchdog)) {
        pthread_mutex_unlock(&watchdog->lock);
        watch_memory(watchdog->connections);
        if (timing_now_ms() - watched_ms < WATCH_EVERY_MS / 2) {
            pthread_mutex_lock(&watchdog->lock);
            continue; /* memory was short, and nothing else is due */
        }
        watch_connections(watchdog->connections);
        watched_ms = timing_now_ms();
        bool look = timing_now_ms() - probed_ms >= PROBE_EVERY_MS;
        watch_listeners(watchdog, look);
        probed_ms = look ? timing_now_ms() : probed_ms;
        pthread_mutex_lock(&watchdog->lock);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

void watchdog_init(struct watchdog *watchdog, struct listeners *listeners,
                   struct connections *connections)
{
    watchdog->listeners = listeners;
    watchdog->connections = connections;
    connections->budget.press = connections->options.loses_messages ? NULL : watchdog_press;
    connections->budget.context = watchdog;
    pthread_mutex_init(&watchdog->lock, NULL);
    timing_cond_init(&watchdog->wake);
}

void watchdog_deinit(struct watchdog *watchdog)
{
    pthread_cond_destroy(&watchdog->wake);
    pthread_mutex_destroy(&watchdog->lock);
}

enum hf_status watchdog_start(struct watchdog *watchdog)
{
    if (pthread_create(&watchdog->thread, NULL, watchdog_run, watchdog) != 0) {
        return HF_NO_MEMORY;
    }
    watchdog->started = true;
    return HF_OK;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (!watchdog->started) {
        return;
    }
    pthread_mutex_lock(&watchdog->lock);
    watchdog->stop = true;
    pthread_cond_signal(&watchdog->wake);
    pthread_mutex_unlock(&watchdog->lock);
    pthread_join(watchdog->thread, NULL);
    watchdog->started = false;
}
