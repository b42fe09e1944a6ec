/* arrivals.c - REP's reading side: messages that have come whole become arrivals, which wait for
 * their turn. See exchange.h.
 *
 * Threads: nng's. One at a time reads a connection. */
#include <stdlib.h>

#include "base/check.h"
#include "rpc/exchange.h"
#include "rpc/frame.h"
#include "rpc/handlers.h"
#include "rpc/link_receive.h"
#include "rpc/link_send.h"
#include "rpc/pacing.h"
#include "rpc/timing.h"

#define HERE_COST_MAX 16384u /* that is handled on the thread that has read it */

/* ---- Coming in ---- */

/* Makes an arrival of a message. NULL: no memory. */
static struct arrival *arrival_make(struct connection *connection, const struct frame *frame,
                                    const struct transport_kind *kind)
{
    struct link *link = &connection->link;
    struct arrival *arrival = malloc(sizeof *arrival);
    if (!arrival) {
        return NULL;
    }
    CHECK((unsigned)kind->class < TRANSPORT_CLASSES);
    link_get(link);
    chunk_get(link->chunk);
    *arrival = (struct arrival){.connection = connection,
                                .chunk = link->chunk,
                                .header = frame->header,
                                .body = frame->body,
                                .received_ns = link->received_ns,
                                .cost = turn_cost(frame->body.len, kind->extra_cost),
                                .timeout_ms = kind->timeout_ms,
                                .class = kind->class};
    return arrival;
}

/* Messages of one read that are refused at once: only their headers are needed. */
struct refusals {
    struct bytes headers[BATCH_MAX];
    unsigned count;
    uint64_t cost;
};

/* What a connection may add to its queue now. */
struct admission {
    uint64_t share; /* cost of new requests */
    uint32_t retry_ms;
};

static struct admission admission_of(struct transport_server *server,
                                     const struct connection *connection)
{
    struct admission admission = {.share = UINT64_MAX};
    uint64_t now_ns = timing_now_ns();
    pthread_mutex_lock(&server->lock);
    admission.share = turns_share(&server->turns, &connection->queue, now_ns);
    if (admission.share != UINT64_MAX) {
        admission.retry_ms = turns_retry_ms(&server->turns, now_ns);
    }
    pthread_mutex_unlock(&server->lock);
    return admission;
}

/* Takes messages out of what has come in, at most BATCH_MAX. Those beyond the connection's share go
 * into *refusals: to make arrivals of them would cost more than to handle some. */
static enum next connection_take(struct connection *connection, struct admission *admission,
                                 struct arrival_list *arrivals, struct refusals *refusals)
{
    struct transport_server *server = server_of(connection);
    const struct transport_server_options *options = &server->options;
    struct link *link = &connection->link;
    struct frame frame;
    enum parsed parsed = PARSED_FRAME;
    for (unsigned count = 0; count < BATCH_MAX; count++) {
        parsed = link_next(link, &frame);
        if (parsed != PARSED_FRAME) {
            break;
        }
        /* When stopping, the request is dropped: its client will send it again elsewhere. */
        if (!connections_stopping(&server->acceptor.connections)) {
            struct transport_kind kind = options->classify
                                             ? options->classify(options->context, frame.body)
                                             : (struct transport_kind){.class = TRANSPORT_NEW};
            uint64_t cost = turn_cost(frame.body.len, kind.extra_cost);
            if (kind.class == TRANSPORT_NEW && cost > admission->share) {
                refusals->headers[refusals->count++] = frame.header;
                refusals->cost += cost;
            } else {
                struct arrival *arrival = arrival_make(connection, &frame, &kind);
                if (!arrival) {
                    return NEXT_DOWN;
                }
                arrival_list_add(arrivals, arrival);
                if (admission->share != UINT64_MAX && kind.class == TRANSPORT_NEW) {
                    admission->share -= cost;
                }
            }
        }
        link_take(link, &frame);
    }
    return next_of(parsed);
}

/* Counts requests in, and moves those that are too many into *refuse. False: the connection is to
 * be closed. Replies that have not left count only against a connection that has stalled: the
 * server learns that a reply has left some time after the client has it, and the client may send
 * its next request at once. */
static bool connection_enter(struct connection *connection, struct arrival_list *arrivals,
                             struct arrival_list *refuse)
{
    struct transport_server *server = server_of(connection);
    uint32_t most = server->options.per_connection;
    struct link *link = &connection->link;
    struct arrival_list all = *arrivals;
    unsigned count = 0;
    *arrivals = (struct arrival_list){0};
    pthread_mutex_lock(&link->lock);
    struct arrival *arrival;
    while ((arrival = arrival_list_take(&all)) != NULL) {
        bool crowd = connection->handling - count >= most;
        arrival->refusal = TRANSPORT_REFUSE_CROWD;
        arrival_list_add(crowd ? refuse : arrivals, arrival);
        connection->handling++;
        count += crowd;
        link->waiting_bytes += arrival_bytes(arrival);
        atomic_fetch_add_explicit(&server->active, 1, memory_order_relaxed);
    }
    bool over = connection->handling + link_unsent(link) > most;
    bool fine = !(over && connection_stalled(connection, timing_now_ms()));
    pthread_mutex_unlock(&link->lock);
    return fine;
}

/* Puts arrivals into their connection's queue, and has them handled: here, if nothing else waits
 * and they are small. `last`: no whole message is left of what was read. */
static void push(struct transport_server *server, struct connection *connection,
                 struct arrival_list *arrivals, bool last)
{
    uint64_t cost = 0;
    struct arrival *arrival;
    pthread_mutex_lock(&server->lock);
    bool alone = !turns_waiting(&server->turns);
    while ((arrival = arrival_list_take(arrivals)) != NULL) {
        cost += arrival->cost;
        turns_push(&server->turns, &connection->queue, arrival, connection->link.read_ns);
    }
    if (alone && last && cost <= HERE_COST_MAX) {
        handlers_run_here(server);
        return;
    }
    server_wake(server);
    pthread_mutex_unlock(&server->lock);
}

/* Takes all whole messages out of what was read. */
static enum next take_all(struct connection *connection)
{
    struct transport_server *server = server_of(connection);
    struct link *link = &connection->link;
    enum next next = NEXT_TAKE;
    while (next == NEXT_TAKE) {
        struct arrival_list arrivals = {0};
        struct arrival_list refuse = {0};
        struct refusals refusals = {.count = 0};
        struct admission admission = admission_of(server, connection);
        next = connection_take(connection, &admission, &arrivals, &refusals);
        headers_refuse(server, connection, refusals.headers, refusals.count, refusals.cost,
                       admission.retry_ms);
        if (!connection_enter(connection, &arrivals, &refuse)) {
            arrivals_drop(server, &arrivals);
            arrivals_drop(server, &refuse);
            connection_disconnect(connection);
            continue;
        }
        arrivals_refuse(server, &refuse);
        if (arrivals.first) {
            push(server, connection, &arrivals, next == NEXT_READ);
        }
        if (next == NEXT_TAKE && link_choke(link)) {
            next = NEXT_ELSEWHERE;
        }
    }
    return next;
}

static void rep_received(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct transport_server *server = server_of(connection);
    /* seq_cst: as in connections_stopping(). */
    atomic_fetch_add_explicit(&server->working, 1, memory_order_seq_cst);
    uint64_t since_ns = link->received_ns;
    enum next next = link_greeting(link);
    next = next == NEXT_TAKE ? take_all(connection) : next;
    if (next == NEXT_READ && link->needed == 0 && pacing_park(server, connection, since_ns)) {
        next = NEXT_ELSEWHERE;
    }
    link_continue(link, next);
    /* release: pairs with the acquire in handlers_stop(). */
    atomic_fetch_sub_explicit(&server->working, 1, memory_order_release);
}

/* The connection reads again: what waits on it may be handled. */
static void connection_unclog(struct connection *connection)
{
    struct transport_server *server = server_of(connection);
    pthread_mutex_lock(&connection->link.lock);
    bool clogged = !connection->link.closed && connection->link.pending.len > OUTBOX_BYTES_MAX;
    /* relaxed: as in turns.c. */
    atomic_store_explicit(&connection->queue.clogged, clogged, memory_order_relaxed);
    pthread_mutex_unlock(&connection->link.lock);
    pthread_mutex_lock(&server->lock);
    if (!clogged && connection->queue.waiting > 0) {
        turns_unclog(&server->turns, &connection->queue, timing_now_ns());
        server_wake(server);
    }
    pthread_mutex_unlock(&server->lock);
}

static void rep_sent(struct link *link, unsigned messages)
{
    struct connection *connection = connection_of(link);
    server_settle(server_of(connection), messages);
    /* relaxed: as in turns.c. */
    if (atomic_load_explicit(&connection->queue.clogged, memory_order_relaxed)) {
        connection_unclog(connection);
    }
}

/* Nothing more comes in: what waits is dropped, nobody is there to take the replies. */
static void rep_down(struct link *link)
{
    struct connection *connection = connection_of(link);
    struct transport_server *server = server_of(connection);
    struct arrival_list dropped = {0};
    pthread_mutex_lock(&server->lock);
    turns_clear_queue(&server->turns, &connection->queue, timing_now_ns(), &dropped);
    pthread_mutex_unlock(&server->lock);
    arrivals_drop(server, &dropped);
    connection_down(link);
}

static void rep_release(struct link *link)
{
    server_settle(server_of(connection_of(link)), link_unsent(link));
    connection_release(link);
}

const struct link_kind rep_kind = {
    .self = PROTOCOL_REP,
    .peer = PROTOCOL_REQ,
    .chokes = true,
    .greeted = connection_greeted,
    .received = rep_received,
    .sent = rep_sent,
    .down = rep_down,
    .release = rep_release,
};
