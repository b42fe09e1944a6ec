/* handlers.c - the threads that handle requests. See handlers.h. */
#include "rpc/handlers.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "rpc/link_send.h"
#include "rpc/pacing.h"
#include "rpc/timing.h"

#define SHED_EVERY_MS  5u  /* how often what waits too long is refused while there is no room */
#define PAUSE_TURNS    32u /* that are taken within another request's pause */
#define ROOM_KEPT_PART 8u  /* of the exchanges: new requests leave it to the classes before them */

/* ---- How many ---- */

/* Whole processors of a control group's quota, rounded up. 0: no quota. */
static unsigned quota_processors(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    unsigned long long quota = 0;
    unsigned long long period = 0;
    bool known = file && fscanf(file, "%llu %llu", &quota, &period) == 2 && quota > 0 && period > 0;
    if (file) {
        (void)fclose(file);
    }
    return known && quota / period < TRANSPORT_HANDLERS_MAX
               ? (unsigned)((quota + period - 1) / period)
               : 0;
}

unsigned handlers_default(void)
{
    cpu_set_t set;
    unsigned count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = (unsigned)CPU_COUNT(&set);
    } else {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        count = online > 0 ? (unsigned)online : 1;
    }
    unsigned quota = quota_processors();
    count = quota > 0 && quota < count ? quota : count;
    count = count < TRANSPORT_HANDLERS_MAX ? count : TRANSPORT_HANDLERS_MAX;
    return count > 0 ? count : 1;
}

/* ---- One turn ---- */

/* What was taken at once: of one connection. */
struct turn {
    struct arrival_list handle;
    struct arrival_list refuse;
    struct transport_exchange *exchanges; /* one for each that is handled */
    uint64_t began_ns;
    uint64_t cost;
};

/* How many exchanges each class may have now. */
static void room_of(const struct transport_server *server, unsigned room[TRANSPORT_CLASSES])
{
    unsigned kept = server->options.classify ? server->exchange_count / ROOM_KEPT_PART : 0;
    unsigned free = server->free_count;
    room[TRANSPORT_OPERATOR] = free;
    room[TRANSPORT_FINISH] = free > kept / 2 ? free - kept / 2 : 0;
    room[TRANSPORT_NEW] = free > kept ? free - kept : 0;
}

/* Takes a turn. Lock held. False: there is nothing to do. */
static bool turn_take(struct transport_server *server, bool small, struct turn *turn)
{
    *turn = (struct turn){.began_ns = timing_now_ns()};
    if (!turns_waiting(&server->turns)) {
        return false;
    }
    unsigned room[TRANSPORT_CLASSES];
    room_of(server, room);
    unsigned count =
        turns_take(&server->turns, room, small, turn->began_ns, &turn->handle, &turn->refuse);
    CHECK(count <= server->free_count);
    struct transport_exchange **last = &turn->exchanges;
    for (const struct arrival *at = turn->handle.first; at; at = at->next) {
        turn->cost += at->cost;
        *last = exchange_take(server);
        last = &(*last)->next_free;
    }
    *last = NULL;
    bool any = count > 0 || turn->refuse.first;
    server->turns_taken += any;
    return any;
}

/* Handles what was taken. Without the lock. What is replied meanwhile leaves together. */
static void turn_handle(struct transport_server *server, struct turn *turn)
{
    arrivals_refuse(server, &turn->refuse);
    if (!turn->handle.first) {
        return;
    }
    struct link *outer = corked;
    struct link *link = &turn->handle.first->connection->link;
    link_get(link);
    corked = link;
    struct arrival *arrival;
    while ((arrival = arrival_list_take(&turn->handle)) != NULL) {
        struct transport_exchange *exchange = turn->exchanges;
        turn->exchanges = exchange->next_free;
        CHECK(&arrival->connection->link == link);
        exchange_begin(exchange, arrival);
    }
    corked = outer;
    if (outer != link) {
        link_flush(link);
    }
    pacing_resume_early(server, connection_of(link));
    link_put(link);
}

/* Handles what was taken, and counts it. Lock held, and given back meanwhile. */
static void turn_run(struct transport_server *server, struct turn *turn)
{
    pthread_mutex_unlock(&server->lock);
    turn_handle(server, turn);
    pthread_mutex_lock(&server->lock);
    if (turn->cost > 0) {
        turns_note_handled(&server->turns, turn->cost, timing_now_ns() - turn->began_ns);
    }
}

/* ---- Threads ---- */

/* Waits for something to do. Lock held. */
static void handler_sleep(struct transport_server *server)
{
    bool watch = turns_waiting(&server->turns) > 0 || server->paced_first;
    server->idle++;
    server->watching += watch;
    if (watch) {
        struct timespec until = timing_in_ms(SHED_EVERY_MS);
        (void)pthread_cond_timedwait(&server->wake, &server->lock, &until);
    } else {
        pthread_cond_wait(&server->wake, &server->lock);
    }
    server->watching -= watch;
    server->idle--;
}

/* There is no room for what waits, or no handler: refuses what has waited too long. Lock held.
 * True: it was given back meanwhile. */
static bool handler_shed(struct transport_server *server)
{
    struct arrival_list refuse = {0};
    turns_shed(&server->turns, timing_now_ns(), &refuse);
    if (refuse.first) {
        pthread_mutex_unlock(&server->lock);
        arrivals_refuse(server, &refuse);
        pthread_mutex_lock(&server->lock);
        return true;
    }
    return false;
}

static void *handler_run(void *arg)
{
    struct transport_server *server = arg;
    struct turn turn;
    uint64_t seen = 0;
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        if (pacing_is_due(server)) {
            pthread_mutex_unlock(&server->lock);
            pacing_resume(server, false);
            pthread_mutex_lock(&server->lock);
            continue;
        }
        bool busy = server->running >= server->options.handlers;
        if (busy || !turn_take(server, false, &turn)) {
            /* Handlers that take turns refuse what has waited too long themselves. */
            bool stuck = !busy || server->turns_taken == seen;
            seen = server->turns_taken;
            if (!stuck || !handler_shed(server)) {
                handler_sleep(server);
            }
            continue;
        }
        server->running++;
        if (turns_waiting(&server->turns)) {
            server_wake(server);
        }
        turn_run(server, &turn);
        server->running--;
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

void handlers_run_here(struct transport_server *server)
{
    struct turn turn;
    if (server->stopping || server->running >= server->options.handlers ||
        !turn_take(server, true, &turn)) {
        server_wake(server);
        pthread_mutex_unlock(&server->lock);
        return;
    }
    server->running++;
    turn_run(server, &turn);
    server->running--;
    if (turns_waiting(&server->turns)) {
        server_wake(server);
    }
    pthread_mutex_unlock(&server->lock);
}

void transport_pause(struct transport_exchange *exchange)
{
    static _Thread_local bool pausing;
    struct transport_server *server = exchange->server;
    if (pausing) {
        return;
    }
    pausing = true;
    if (corked) {
        link_flush(corked); /* what is replied already does not wait */
    }
    struct turn turn;
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < PAUSE_TURNS && !server->stopping && turn_take(server, true, &turn);
         i++) {
        turn_run(server, &turn);
    }
    pthread_mutex_unlock(&server->lock);
    pausing = false;
}

enum hf_status handlers_start(struct transport_server *server)
{
    CHECK(server->options.handlers >= 1);
    CHECK(server->options.handlers <= TRANSPORT_HANDLERS_MAX);
    /* One more than may handle: when all do, it refuses what has waited too long. */
    while (server->thread_count < server->options.handlers + 1) {
        if (pthread_create(&server->threads[server->thread_count], NULL, handler_run, server) !=
            0) {
            return HF_NO_MEMORY;
        }
        server->thread_count++;
    }
    return HF_OK;
}

/* Waits until no callback runs that may take requests: none comes any more. */
static void wait_callbacks(struct transport_server *server)
{
    /* seq_cst: as in connections_stopping(); acquires what rep_received() releases. */
    while (atomic_load_explicit(&server->working, memory_order_seq_cst) > 0) {
        timing_pause_ms(1);
    }
}

/* Drops what waits, and has no turn taken any more. */
static void drop_waiting(struct transport_server *server)
{
    struct arrival_list dropped = {0};
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    turns_clear(&server->turns, timing_now_ns(), &dropped);
    pthread_cond_broadcast(&server->wake);
    pthread_mutex_unlock(&server->lock);
    arrivals_drop(server, &dropped);
}

void handlers_stop(struct transport_server *server)
{
    CHECK(connections_stopping(&server->acceptor.connections));
    drop_waiting(server); /* before a callback that handles is waited for */
    wait_callbacks(server);
    drop_waiting(server); /* what callbacks had taken before they were stopped */
    pacing_resume(server, true);
    while (server->thread_count > 0) {
        pthread_join(server->threads[--server->thread_count], NULL);
    }
}
