/* transport.c - SP REQ/REP exchanges over nng: one state machine an exchange, no thread a request.
 *
 * Threads: the server's handlers and the client's done() run on nng's threads, any number at once.
 * transport_reply() and transport_client_call() may be called from any thread. The server has one
 * thread of its own, the watchdog.
 *
 *     server exchange:  RECEIVING -> HANDLING -> SENDING -> RECEIVING ...   (stopping: -> IDLE)
 *     client slot:      free -> SENDING -> RECEIVING -> free
 *
 * Invariants: an exchange is with exactly one of nng (RECEIVING, SENDING), the handler (HANDLING)
 * and nobody (IDLE), and only who has it touches it. A client slot is free again before its
 * call's done() runs, so that done() can start the next call.
 *
 * What nng 1.5.2 does, and what is done about it here:
 * - A reply to a connection that is gone counts as sent. A reply to one that does not read waits
 *   in the context: it gets a timeout, and then the connection is closed. The first such reply
 *   sits in the connection itself and costs nobody else.
 * - An ipc listener whose peer hangs up during the handshake stops handing over connections, while
 *   it goes on answering the handshake (nng issue 1518). So the watchdog looks further than the
 *   handshake: it introduces itself as a REP socket, which our REP socket must refuse by hanging
 *   up once the connection has been handed over. If it doesn't, nothing behind the listener is
 *   alive, and the listener is opened anew. Opening a listener anew closes its connections; their
 *   clients dial again and repeat what was not answered.
 * - An ipc dialer whose peer hangs up during the handshake stops dialing, for the same reason. The
 *   client makes a new dialer when there was no connection for longer than a pause between two
 *   tries can be.
 * - A connection that is closed on this side just when nng has read the head of a message and is
 *   about to read its body stays half closed: nng's one reaper thread waits for that read for
 *   ever, frees no further connection of the process, and nng_close() never returns (fixed in nng
 *   1.8). So closing waits for traffic to rest first, and then gives nng_close() a time limit on a
 *   thread of its own; and the watchdog says so in the log when its own probes are no longer
 *   cleared away.
 * - A request context without a resend time gives up when its connection is lost, so it gets one
 *   that never comes round. */
#include "rpc/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define URL_BYTES_MAX      256
#define LISTENERS_MAX      16u
#define RESEND_NEVER_MS    (24 * 3600 * 1000)
#define RECONNECT_MIN_MS   10
#define RECONNECT_MAX_MS   1000
#define CALLS_MAX          1024u
#define POLL_MS            2   /* between two looks at what has to end */
#define LINGER_MS          20  /* for the last replies to leave nng's connections */
#define REST_MS            300 /* for replies that nobody waits for to come in */
#define PROBE_EVERY_MS     1000
#define PROBE_TIMEOUT_MS   2000 /* for the handshake */
#define PROBE_REFUSAL_MS   1000 /* then for being refused */
#define PROBE_FAILURES_MAX 2
#define CLOSE_LIMIT_MS     2000 /* for nng_close() */
#define UNCLEARED_ROUNDS   5    /* of probes that leave no trace: nng frees no connections */
#define STALLED_MS         250  /* a connection that took no reply for so long does not read */
#define STALL_FIRST_MS 2000u  /* without a reply, before a client dials once more */
#define STALL_MAX_MS   60000u
#define REDIAL_AFTER_MS    1500 /* without a connection; more than RECONNECT_MAX_MS */
#define REDIAL_LOOK_MS     300
#define RELISTEN_TRIES     50 /* 20 ms apart: the old socket may take a moment to go */

/* The pipe table's shards and each shard's buckets: connections are a few thousand at most. */
#define SHARDS        64u
#define SHARD_BUCKETS 16u

static uint64_t now_ms(void)
{
    return clock_monotonic_ns(clock_real()) / 1000000u;
}

static void pause_ms(unsigned ms)
{
    struct timespec wait = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&wait, &wait) != 0 && errno == EINTR) {
    }
}

/* ---- Closing a socket, within a time limit ---- */

struct closing {
    nng_socket socket;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    bool abandoned; /* nobody waits any more */
    void (*release)(void *owner);
    void *owner;
};

static void closing_free(struct closing *closing)
{
    closing->release(closing->owner);
    pthread_cond_destroy(&closing->changed);
    pthread_mutex_destroy(&closing->lock);
    free(closing);
}

static void *closing_run(void *arg)
{
    struct closing *closing = arg;
    (void)nng_close(closing->socket);
    pthread_mutex_lock(&closing->lock);
    closing->closed = true;
    bool abandoned = closing->abandoned;
    pthread_cond_signal(&closing->changed);
    pthread_mutex_unlock(&closing->lock);
    if (abandoned) {
        closing_free(closing);
    }
    return NULL;
}

static void cond_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

static struct timespec in_ms(uint64_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Waits for the closing thread. False: it is left to itself. */
static bool closing_wait(struct closing *closing)
{
    struct timespec until = in_ms(CLOSE_LIMIT_MS);
    pthread_mutex_lock(&closing->lock);
    while (!closing->closed &&
           pthread_cond_timedwait(&closing->changed, &closing->lock, &until) != ETIMEDOUT) {
    }
    closing->abandoned = !closing->closed;
    bool closed = closing->closed;
    pthread_mutex_unlock(&closing->lock);
    return closed;
}

/* Closes the socket, then releases its owner, to whom nng's callbacks refer until then. When nng
 * does not come to an end, both stay. */
static void socket_close(nng_socket socket, void (*release)(void *owner), void *owner)
{
    struct closing *closing = calloc(1, sizeof *closing);
    pthread_t thread;
    if (!closing) {
        (void)nng_close(socket);
        release(owner);
        return;
    }
    closing->socket = socket;
    closing->release = release;
    closing->owner = owner;
    pthread_mutex_init(&closing->lock, NULL);
    cond_init_monotonic(&closing->changed);
    if (pthread_create(&thread, NULL, closing_run, closing) != 0) {
        (void)closing_run(closing);
        closing_free(closing);
        return;
    }
    if (closing_wait(closing)) {
        pthread_join(thread, NULL);
        closing_free(closing);
        return;
    }
    pthread_detach(thread);
    log_warn("nng does not finish closing a socket; it is left behind");
}

/* ---- Connections: how many requests each has in hand ---- */

struct connection {
    struct connection *next;
    nng_pipe pipe;
    uint32_t id;          /* nng's number of the pipe */
    uint32_t handling;    /* exchanges that the handler has */
    uint32_t sending;     /* exchanges whose reply nng has; the client may have it already */
    uint64_t progress_ms; /* when the last of them left, or the first came */
    bool open;            /* nng has told that it is there, and not that it is gone */
    bool counted;         /* in server->connections */
};

struct shard {
    pthread_mutex_t lock;
    struct connection *buckets[SHARD_BUCKETS];
};

enum stage { IDLE, RECEIVING, HANDLING, SENDING };

struct transport_exchange {
    struct transport_server *server;
    nng_ctx context;
    nng_aio *receiving; /* two, so that ending the one never cuts off a reply */
    nng_aio *sending;
    nng_msg *request; /* while HANDLING */
    nng_pipe pipe;    /* where the request came from */
    enum stage stage;
    bool opened;    /* the context */
    bool user_made; /* user_init has succeeded */
    _Alignas(CACHE_LINE_BYTES) unsigned char user[];
};

struct listener {
    nng_listener listener;
    bool up;
    bool is_ipc;
    char url[URL_BYTES_MAX]; /* the address really listened on */
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

struct transport_server {
    struct transport_server_options options;
    nng_socket socket;
    struct transport_exchange **exchanges;
    unsigned exchange_count;
    struct shard shards[SHARDS];

    atomic_bool stopping; /* no request is taken any more */
    atomic_uint active;   /* exchanges that are not IDLE */
    atomic_uint_fast64_t connections;
    atomic_uint_fast64_t connections_total;
    atomic_uint_fast64_t requests;
    atomic_uint_fast64_t relistens;
    atomic_uint_fast64_t cut_off;
    atomic_uint_fast64_t removals; /* connections that nng has freed, probes too */

    pthread_mutex_t lock; /* listeners, watchdog_stop */
    pthread_cond_t wake;
    struct listener listeners[LISTENERS_MAX];
    unsigned listener_count;
    bool watchdog_started;
    bool watchdog_stop;
    pthread_t watchdog;
};

static struct connection **connection_place(struct shard *shard, uint32_t id)
{
    struct connection **place = &shard->buckets[id / SHARDS % SHARD_BUCKETS];
    while (*place && (*place)->id != id) {
        place = &(*place)->next;
    }
    return place;
}

/* Finds or makes the connection's entry. Shard locked. NULL: no memory. */
static struct connection *connection_get(struct shard *shard, nng_pipe pipe)
{
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    struct connection **place = connection_place(shard, id);
    if (!*place) {
        *place = calloc(1, sizeof **place);
        if (*place) {
            (*place)->id = id;
            (*place)->pipe = pipe;
        }
    }
    return *place;
}

/* Drops the entry when nothing needs it. Shard locked. A reply may leave after nng has told that
 * the connection is gone. */
static void connection_put(struct shard *shard, uint32_t id)
{
    struct connection **place = connection_place(shard, id);
    struct connection *connection = *place;
    if (connection && !connection->open && connection->handling + connection->sending == 0) {
        *place = connection->next;
        free(connection);
    }
}

static struct shard *shard_of(struct transport_server *server, uint32_t id)
{
    return &server->shards[id % SHARDS];
}

/* A connection that lets replies lie. Shard locked. */
static bool connection_stalled(const struct connection *connection, uint64_t now)
{
    return connection->sending > 0 && now - connection->progress_ms >= STALLED_MS;
}

enum admission { ADMIT, REFUSE, CUT_OFF };

/* Counts a request in and says what to do with it. Replies under way count only against a
 * connection that has stalled: nng tells that a reply has left some time after the client has it,
 * and a client may send its next request at once. */
static enum admission connection_enter(struct transport_server *server, nng_pipe pipe)
{
    struct shard *shard = shard_of(server, (uint32_t)nng_pipe_id(pipe));
    uint32_t most = server->options.per_connection;
    enum admission admission = CUT_OFF; /* without memory for the entry, too */
    uint64_t now = now_ms();
    pthread_mutex_lock(&shard->lock);
    struct connection *connection = connection_get(shard, pipe);
    if (connection) {
        uint32_t handling = ++connection->handling;
        bool over = handling + connection->sending > most;
        if (handling < 2 * most && !(over && connection_stalled(connection, now))) {
            admission = handling > most ? REFUSE : ADMIT;
        }
    }
    pthread_mutex_unlock(&shard->lock);
    return admission;
}

/* The request's reply goes to nng. */
static void connection_replied(struct transport_server *server, nng_pipe pipe)
{
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    struct shard *shard = shard_of(server, id);
    uint64_t now = now_ms();
    pthread_mutex_lock(&shard->lock);
    struct connection *connection = *connection_place(shard, id);
    if (connection) {
        CHECK(connection->handling > 0);
        connection->handling--;
        if (connection->sending++ == 0) {
            connection->progress_ms = now;
        }
    }
    pthread_mutex_unlock(&shard->lock);
}

/* The reply has left, or the request is dropped without one. */
static void connection_leave(struct transport_server *server, nng_pipe pipe, enum stage from)
{
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    struct shard *shard = shard_of(server, id);
    uint64_t now = now_ms();
    pthread_mutex_lock(&shard->lock);
    struct connection *connection = *connection_place(shard, id);
    if (connection) {
        uint32_t *count = from == SENDING ? &connection->sending : &connection->handling;
        CHECK(*count > 0);
        (*count)--;
        connection->progress_ms = now;
        connection_put(shard, id);
    }
    pthread_mutex_unlock(&shard->lock);
}

/* A connection is there: told before anything can come in on it. */
static void connection_new(struct transport_server *server, struct shard *shard, nng_pipe pipe)
{
    if (atomic_load_explicit(&server->stopping, memory_order_acquire)) {
        (void)nng_pipe_close(pipe); /* acquire: pairs with the release in transport_server_drain */
        return;
    }
    pthread_mutex_lock(&shard->lock);
    struct connection *connection = connection_get(shard, pipe);
    if (connection) {
        connection->open = true;
    }
    pthread_mutex_unlock(&shard->lock);
}

/* It has been taken into use: a probe never is. It may be gone already. */
static void connection_used(struct transport_server *server, struct shard *shard, uint32_t id)
{
    pthread_mutex_lock(&shard->lock);
    struct connection *connection = *connection_place(shard, id);
    if (connection && connection->open) {
        connection->counted = true;
        atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&server->connections_total, 1, memory_order_relaxed);
    pthread_mutex_unlock(&shard->lock);
}

/* It is gone. */
static void connection_gone(struct transport_server *server, struct shard *shard, uint32_t id)
{
    atomic_fetch_add_explicit(&server->removals, 1, memory_order_relaxed);
    pthread_mutex_lock(&shard->lock);
    struct connection *connection = *connection_place(shard, id);
    if (connection) {
        if (connection->counted) {
            atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
        }
        connection->counted = false;
        connection->open = false;
        connection_put(shard, id);
    }
    pthread_mutex_unlock(&shard->lock);
}

/* nng tells of a connection, with a lock of its own held. The last two events may come in either
 * order when the peer hangs up at once. */
static void connection_changed(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct transport_server *server = arg;
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    struct shard *shard = shard_of(server, id);
    if (event == NNG_PIPE_EV_ADD_PRE) {
        connection_new(server, shard, pipe);
    } else if (event == NNG_PIPE_EV_ADD_POST) {
        connection_used(server, shard, id);
    } else {
        connection_gone(server, shard, id);
    }
}

/* Closes a connection that is a burden. */
static void connection_cut_off(struct transport_server *server, nng_pipe pipe)
{
    atomic_fetch_add_explicit(&server->cut_off, 1, memory_order_relaxed);
    (void)nng_pipe_close(pipe);
}

/* ---- Server: exchanges ---- */

static bool stopping(const struct transport_server *server)
{
    /* acquire: pairs with the release in transport_server_drain and _close. */
    return atomic_load_explicit(&server->stopping, memory_order_acquire);
}

/* Waits for the next request, or for nothing any more. */
static void exchange_receive(struct transport_exchange *exchange)
{
    if (stopping(exchange->server)) {
        exchange->stage = IDLE;
        /* release: pairs with the acquire of who waits for 0; the exchange is at rest. */
        atomic_fetch_sub_explicit(&exchange->server->active, 1, memory_order_release);
        return;
    }
    exchange->stage = RECEIVING;
    nng_ctx_recv(exchange->context, exchange->receiving);
}

/* Hands a request to the handler, unless its connection has too many. */
static void exchange_begin(struct transport_exchange *exchange, nng_msg *request)
{
    struct transport_server *server = exchange->server;
    const struct transport_server_options *options = &server->options;
    exchange->pipe = nng_msg_get_pipe(request);
    enum admission admission = connection_enter(server, exchange->pipe);
    if (admission == CUT_OFF) {
        connection_cut_off(server, exchange->pipe);
        connection_leave(server, exchange->pipe, HANDLING);
        nng_msg_free(request);
        exchange_receive(exchange);
        return;
    }
    exchange->stage = HANDLING;
    exchange->request = request;
    atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    if (admission == REFUSE) {
        options->refuse(options->context, exchange);
    } else {
        options->handle(options->context, exchange);
    }
}

static void exchange_received(void *arg)
{
    struct transport_exchange *exchange = arg;
    CHECK(exchange->stage == RECEIVING);
    int error = nng_aio_result(exchange->receiving);
    if (error == 0) {
        nng_msg *request = nng_aio_get_msg(exchange->receiving);
        nng_aio_set_msg(exchange->receiving, NULL);
        if (!stopping(exchange->server)) {
            exchange_begin(exchange, request);
            return;
        }
        nng_msg_free(request); /* not begun: its client will repeat it elsewhere */
    } else if (!stopping(exchange->server)) {
        log_error("receiving: %s", nng_strerror(error));
        pause_ms(POLL_MS); /* whatever it is, do not spin on it */
    }
    exchange_receive(exchange);
}

static void exchange_sent(void *arg)
{
    struct transport_exchange *exchange = arg;
    CHECK(exchange->stage == SENDING);
    int error = nng_aio_result(exchange->sending);
    if (error != 0) {
        nng_msg *reply = nng_aio_get_msg(exchange->sending);
        nng_aio_set_msg(exchange->sending, NULL);
        nng_msg_free(reply);
        if (error == NNG_ETIMEDOUT) {
            connection_cut_off(exchange->server, exchange->pipe);
        }
    }
    connection_leave(exchange->server, exchange->pipe, SENDING);
    exchange_receive(exchange);
}

struct bytes transport_exchange_body(const struct transport_exchange *exchange)
{
    CHECK(exchange->stage == HANDLING);
    return (struct bytes){nng_msg_body(exchange->request), nng_msg_len(exchange->request)};
}

void *transport_exchange_user(struct transport_exchange *exchange)
{
    return exchange->user;
}

/* The message that carries the reply: the request's own memory if it is large enough and the
 * reply is not in it, else a new one. NULL: no memory. */
static nng_msg *reply_message(nng_msg *request, struct bytes reply)
{
    uintptr_t body = (uintptr_t)nng_msg_body(request);
    uintptr_t data = (uintptr_t)reply.data;
    bool apart = data + reply.len <= body || body + nng_msg_len(request) <= data;
    nng_msg *message = NULL;
    if (apart && reply.len <= nng_msg_len(request)) {
        message = request;
        nng_msg_clear(message);
    } else if (nng_msg_alloc(&message, 0) != 0) {
        message = NULL;
    }
    if (message && nng_msg_append(message, reply.data, reply.len) != 0) {
        nng_msg_free(message);
        return NULL;
    }
    if (message != request) {
        nng_msg_free(request);
    }
    return message;
}

void transport_reply(struct transport_exchange *exchange, struct bytes reply)
{
    CHECK(exchange->stage == HANDLING);
    CHECK(reply.data || reply.len == 0);
    nng_msg *message = reply_message(exchange->request, reply);
    exchange->request = NULL;
    const struct transport_server_options *options = &exchange->server->options;
    if (options->replied) {
        options->replied(options->context, transport_exchange_user(exchange));
    }
    if (!message) {
        /* No memory for the answer: without one the client would wait for ever. */
        connection_cut_off(exchange->server, exchange->pipe);
        connection_leave(exchange->server, exchange->pipe, HANDLING);
        exchange_receive(exchange);
        return;
    }
    connection_replied(exchange->server, exchange->pipe);
    exchange->stage = SENDING;
    nng_aio_set_msg(exchange->sending, message);
    nng_ctx_send(exchange->context, exchange->sending);
}

static void exchange_free(struct transport_exchange *exchange)
{
    struct transport_server *server = exchange->server;
    if (exchange->receiving) {
        nng_aio_stop(exchange->receiving);
    }
    if (exchange->sending) {
        nng_aio_stop(exchange->sending);
        nng_msg *reply = nng_aio_get_msg(exchange->sending);
        if (exchange->stage == SENDING && reply) {
            nng_msg_free(reply); /* refused by the stopped aio, without a callback */
        }
    }
    if (exchange->opened) {
        (void)nng_ctx_close(exchange->context);
    }
    if (exchange->receiving) {
        nng_aio_free(exchange->receiving);
    }
    if (exchange->sending) {
        nng_aio_free(exchange->sending);
    }
    if (exchange->request) {
        nng_msg_free(exchange->request);
    }
    if (exchange->user_made && server->options.user_deinit) {
        server->options.user_deinit(server->options.context, exchange->user);
    }
    free(exchange);
}

static enum hf_status exchange_make(struct transport_server *server,
                                    struct transport_exchange **out)
{
    const struct transport_server_options *options = &server->options;
    size_t bytes = sizeof(struct transport_exchange) + options->user_bytes;
    bytes = (bytes + CACHE_LINE_BYTES - 1) & ~(size_t)(CACHE_LINE_BYTES - 1);
    struct transport_exchange *exchange = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (!exchange) {
        return HF_NO_MEMORY;
    }
    memset(exchange, 0, bytes);
    exchange->server = server;
    exchange->stage = IDLE;
    *out = exchange;
    if (nng_aio_alloc(&exchange->receiving, exchange_received, exchange) != 0 ||
        nng_aio_alloc(&exchange->sending, exchange_sent, exchange) != 0 ||
        nng_ctx_open(&exchange->context, server->socket) != 0) {
        return HF_NO_MEMORY;
    }
    exchange->opened = true;
    nng_aio_set_timeout(exchange->receiving, NNG_DURATION_INFINITE);
    nng_aio_set_timeout(exchange->sending, options->send_timeout_ms);
    if (options->user_init && !options->user_init(options->context, exchange->user)) {
        return HF_NO_MEMORY;
    }
    exchange->user_made = true;
    return HF_OK;
}

/* ---- Server: opening ---- */

static enum hf_status server_open_socket(struct transport_server *server)
{
    if (nng_rep0_open(&server->socket) != 0) {
        server->socket = (nng_socket)NNG_SOCKET_INITIALIZER;
        return HF_NO_MEMORY;
    }
    size_t message_bytes_max = (size_t)server->options.message_bytes_max;
    if (nng_socket_set_size(server->socket, NNG_OPT_RECVMAXSZ, message_bytes_max) != 0 ||
        nng_pipe_notify(server->socket, NNG_PIPE_EV_ADD_PRE, connection_changed, server) != 0 ||
        nng_pipe_notify(server->socket, NNG_PIPE_EV_ADD_POST, connection_changed, server) != 0 ||
        nng_pipe_notify(server->socket, NNG_PIPE_EV_REM_POST, connection_changed, server) != 0) {
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

static enum hf_status server_open_exchanges(struct transport_server *server)
{
    unsigned count = server->options.contexts;
    server->exchanges = calloc(count, sizeof *server->exchanges);
    if (!server->exchanges) {
        return HF_NO_MEMORY;
    }
    server->exchange_count = count;
    for (unsigned i = 0; i < count; i++) {
        enum hf_status status = exchange_make(server, &server->exchanges[i]);
        if (status != HF_OK) {
            return status;
        }
    }
    /* Nothing listens yet, so nothing comes in before all are there. */
    atomic_store_explicit(&server->active, count, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++) {
        exchange_receive(server->exchanges[i]);
    }
    return HF_OK;
}

static void *watchdog_run(void *arg);

static enum hf_status server_start_watchdog(struct transport_server *server)
{
    if (pthread_create(&server->watchdog, NULL, watchdog_run, server) != 0) {
        return HF_NO_MEMORY;
    }
    server->watchdog_started = true;
    return HF_OK;
}

enum hf_status transport_server_open(struct transport_server **out,
                                     const struct transport_server_options *options)
{
    CHECK(options->contexts >= 1);
    CHECK(options->contexts <= SERVER_CONTEXTS_MAX);
    CHECK(options->handle);
    CHECK(options->refuse);
    CHECK(options->send_timeout_ms > 0);
    struct transport_server *server = calloc(1, sizeof *server);
    if (!server) {
        return HF_NO_MEMORY;
    }
    server->options = *options;
    if (server->options.per_connection == 0) {
        server->options.per_connection = options->contexts > 1 ? options->contexts / 2 : 1;
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&server->shards[i].lock, NULL);
    }
    pthread_mutex_init(&server->lock, NULL);
    cond_init_monotonic(&server->wake);

    enum hf_status status = server_open_socket(server);
    if (status == HF_OK) {
        status = server_open_exchanges(server);
    }
    if (status == HF_OK) {
        status = server_start_watchdog(server);
    }
    if (status != HF_OK) {
        transport_server_close(server);
        return status;
    }
    *out = server;
    return HF_OK;
}

/* ---- Server: listeners ---- */

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void close_fd(int fd)
{
    (void)close(fd);
}

/* The path of an ipc URL as a socket address; false when it is too long or empty. */
static bool ipc_address(const char *url, struct listener *listener)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&listener->address;
    const char *path = url + strlen("ipc://");
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof address->sun_path) {
        return false;
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, len + 1);
    listener->address_bytes = sizeof *address;
    return true;
}

/* Where to dial a TCP listener: its address, with the loopback for "any". */
static bool tcp_address(struct listener *listener)
{
    nng_sockaddr bound;
    if (nng_listener_get_addr(listener->listener, NNG_OPT_LOCADDR, &bound) != 0) {
        return false;
    }
    if (bound.s_family == NNG_AF_INET) {
        struct sockaddr_in *address = (struct sockaddr_in *)&listener->address;
        memset(address, 0, sizeof *address);
        address->sin_family = AF_INET;
        address->sin_port = bound.s_in.sa_port;
        address->sin_addr.s_addr = bound.s_in.sa_addr ? bound.s_in.sa_addr : htonl(INADDR_LOOPBACK);
        listener->address_bytes = sizeof *address;
        return true;
    }
    if (bound.s_family == NNG_AF_INET6) {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)&listener->address;
        memset(address, 0, sizeof *address);
        address->sin6_family = AF_INET6;
        address->sin6_port = bound.s_in6.sa_port;
        memcpy(&address->sin6_addr, bound.s_in6.sa_addr, sizeof address->sin6_addr);
        if (IN6_IS_ADDR_UNSPECIFIED(&address->sin6_addr)) {
            address->sin6_addr = in6addr_loopback;
        }
        listener->address_bytes = sizeof *address;
        return true;
    }
    return false;
}

/* Puts the port that was really bound into a tcp URL. */
static bool tcp_actual_url(struct listener *listener)
{
    int port = 0;
    char *colon = strrchr(listener->url, ':');
    if (!colon || colon < listener->url + strlen("tcp://") ||
        nng_listener_get_int(listener->listener, NNG_OPT_TCP_BOUND_PORT, &port) != 0) {
        return false;
    }
    size_t room = sizeof listener->url - (size_t)(colon - listener->url);
    return (size_t)snprintf(colon, room, ":%d", port) < room;
}

/* What dialing a listener shows. */
struct watched {
    uint64_t removals; /* as of the last round */
    unsigned uncleared_rounds;
};

enum probe { PROBE_ALIVE, PROBE_DEAD, PROBE_UNKNOWN };

/* Waits until the socket is ready or the time has come. */
static bool probe_wait(int fd, short events, uint64_t until_ms)
{
    uint64_t now = now_ms();
    struct pollfd wait = {.fd = fd, .events = events};
    return now < until_ms && poll(&wait, 1, (int)(until_ms - now)) == 1;
}

/* Reads until the peer hangs up: true when it sent exactly its handshake before. */
static bool probe_refused(int fd, uint64_t until_ms)
{
    static const uint8_t expected[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    uint8_t got[sizeof expected + 1];
    size_t len = 0;
    while (len < sizeof got) {
        if (!probe_wait(fd, POLLIN, until_ms)) {
            return false;
        }
        ssize_t n = recv(fd, got + len, sizeof got - len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n <= 0) {
            break; /* it hung up, with or without a reset */
        }
        len += (size_t)n;
        if (len == sizeof expected) {
            until_ms = now_ms() + PROBE_REFUSAL_MS;
        }
    }
    return len == sizeof expected && memcmp(got, expected, len) == 0;
}

/* Introduces itself as a REP socket, which a live REP socket takes in and then refuses. */
static bool probe_introduce(int fd, uint64_t until_ms)
{
    static const uint8_t introduction[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    return send(fd, introduction, sizeof introduction, MSG_NOSIGNAL) == sizeof introduction &&
           probe_refused(fd, until_ms);
}

static enum probe probe_dial(const struct listener *listener)
{
    int fd = socket(listener->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return PROBE_UNKNOWN; /* out of descriptors: not the listener's fault */
    }
    uint64_t until_ms = now_ms() + PROBE_TIMEOUT_MS;
    int rc = connect(fd, (const struct sockaddr *)&listener->address, listener->address_bytes);
    enum probe probe = PROBE_DEAD;
    if ((rc == 0 || (errno == EINPROGRESS && probe_wait(fd, POLLOUT, until_ms))) &&
        probe_introduce(fd, until_ms)) {
        probe = PROBE_ALIVE;
    }
    close_fd(fd);
    return probe;
}

/* Removes a socket's file on which nobody answers: what an engine that was killed left behind.
 * False when somebody does. It is told so properly, because to connect and hang up is what makes
 * an ipc listener of nng 1.5.2 stop; nng itself would do just that. */
static bool ipc_path_free(const struct listener *listener)
{
    const struct sockaddr_un *address = (const struct sockaddr_un *)&listener->address;
    struct stat info;
    if (lstat(address->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) {
        return true; /* anything but a socket is left alone, and binding will say so */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return true;
    }
    bool answers = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    if (answers) {
        (void)probe_introduce(fd, now_ms() + PROBE_TIMEOUT_MS);
    } else if (errno == ECONNREFUSED) {
        (void)unlink(address->sun_path);
    }
    close_fd(fd);
    return !answers;
}

/* Opens nng's listener on listener->url. Server's lock held. */
static enum hf_status listener_start(struct transport_server *server, struct listener *listener)
{
    if (listener->is_ipc && !ipc_path_free(listener)) {
        return HF_UNREACHABLE;
    }
    int error = nng_listener_create(&listener->listener, server->socket, listener->url);
    if (error != 0) {
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_INVALID;
    }
    size_t message_bytes_max = (size_t)server->options.message_bytes_max;
    error = nng_listener_set_size(listener->listener, NNG_OPT_RECVMAXSZ, message_bytes_max);
    if (error == 0 && !listener->is_ipc) {
        error = nng_listener_set_bool(listener->listener, NNG_OPT_TCP_NODELAY, true);
    }
    if (error == 0) {
        error = nng_listener_start(listener->listener, 0);
    }
    if (error != 0) {
        (void)nng_listener_close(listener->listener);
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_UNREACHABLE;
    }
    listener->up = true;
    return HF_OK;
}

static enum hf_status server_add_listener(struct transport_server *server,
                                          struct listener *listener)
{
    if (server->listener_count == LISTENERS_MAX) {
        return HF_INVALID;
    }
    enum hf_status status = listener_start(server, listener);
    if (status != HF_OK) {
        return status;
    }
    if (!listener->is_ipc && (!tcp_actual_url(listener) || !tcp_address(listener))) {
        (void)nng_listener_close(listener->listener);
        return HF_UNREACHABLE;
    }
    server->listeners[server->listener_count++] = *listener;
    return HF_OK;
}

enum hf_status transport_server_listen(struct transport_server *server, const char *url,
                                       char *actual_url, size_t actual_url_bytes)
{
    struct listener listener = {.is_ipc = starts_with(url, "ipc://")};
    if (!listener.is_ipc && !starts_with(url, "tcp://")) {
        return HF_INVALID;
    }
    if (strlen(url) + sizeof ":65535" > sizeof listener.url ||
        (listener.is_ipc && !ipc_address(url, &listener))) {
        return HF_INVALID;
    }
    memcpy(listener.url, url, strlen(url) + 1);
    pthread_mutex_lock(&server->lock);
    enum hf_status status = server_add_listener(server, &listener);
    pthread_mutex_unlock(&server->lock);
    if (status == HF_OK && actual_url) {
        (void)snprintf(actual_url, actual_url_bytes, "%s", listener.url);
    }
    return status;
}

static void server_close_listeners(struct transport_server *server)
{
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->listener_count; i++) {
        if (server->listeners[i].up) {
            (void)nng_listener_close(server->listeners[i].listener);
            server->listeners[i].up = false;
        }
    }
    server->listener_count = 0;
    pthread_mutex_unlock(&server->lock);
}

/* ---- Server: the watchdog ---- */

/* Closes and opens the listener at its place. Lock held. */
static void relisten(struct transport_server *server, struct listener *listener)
{
    if (listener->up) {
        log_warn("%s has stopped taking connections: listening anew", listener->url);
        (void)nng_listener_close(listener->listener);
        listener->up = false;
    }
    for (int i = 0; i < RELISTEN_TRIES && !stopping(server); i++) {
        if (listener_start(server, listener) == HF_OK) {
            atomic_fetch_add_explicit(&server->relistens, 1, memory_order_relaxed);
            return;
        }
        pause_ms(20);
    }
    log_error("%s cannot be listened on; trying again", listener->url);
}

/* Looks at one listener: dead when it fails two probes in a row and no connection has come
 * meanwhile, as one would under a load that makes everything slow. Without the lock. */
static bool probe_dead(struct transport_server *server, const struct listener *listener)
{
    uint64_t total = atomic_load_explicit(&server->connections_total, memory_order_relaxed);
    for (int i = 0; i < PROBE_FAILURES_MAX; i++) {
        if (probe_dial(listener) != PROBE_DEAD || stopping(server)) {
            return false;
        }
    }
    return total == atomic_load_explicit(&server->connections_total, memory_order_relaxed);
}

/* True when the listener was found alive. */
static bool watch(struct transport_server *server, unsigned at)
{
    pthread_mutex_lock(&server->lock);
    struct listener copy = server->listeners[at];
    pthread_mutex_unlock(&server->lock);
    if (copy.up && !probe_dead(server, &copy)) {
        return true;
    }
    pthread_mutex_lock(&server->lock);
    if (at < server->listener_count) {
        relisten(server, &server->listeners[at]);
    }
    pthread_mutex_unlock(&server->lock);
    return false;
}

/* Each probe of a live listener makes a connection that nng frees. When none is freed round after
 * round, says so, once. */
static void watch_removals(struct watched *watched, uint64_t removals)
{
    bool cleared = removals != watched->removals;
    watched->removals = removals;
    watched->uncleared_rounds = cleared ? 0 : watched->uncleared_rounds + 1;
    if (watched->uncleared_rounds == UNCLEARED_ROUNDS) {
        log_error("nng no longer frees closed connections, a known fault before its version 1.8: "
                  "each client that leaves costs a file descriptor until the engine is restarted");
    }
}

/* Cuts off the connections of a shard that hold more than their share and read nothing: without
 * a further request from them, only the clock shows it. */
static void cut_off_stalled(struct transport_server *server, struct shard *shard)
{
    nng_pipe stalled[16];
    unsigned count = 0;
    uint64_t now = now_ms();
    pthread_mutex_lock(&shard->lock);
    for (unsigned i = 0; i < SHARD_BUCKETS; i++) {
        for (struct connection *at = shard->buckets[i]; at && count < 16; at = at->next) {
            bool over = at->handling + at->sending > server->options.per_connection;
            if (over && at->open && connection_stalled(at, now)) {
                stalled[count++] = at->pipe;
            }
        }
    }
    pthread_mutex_unlock(&shard->lock);
    /* Not under the lock: nng may tell of the end at once. */
    for (unsigned i = 0; i < count; i++) {
        connection_cut_off(server, stalled[i]);
    }
}

/* Sleeps until the next round. Lock held. False: it is time to end. */
static bool watchdog_sleep(struct transport_server *server)
{
    struct timespec until = in_ms(PROBE_EVERY_MS);
    while (!server->watchdog_stop &&
           pthread_cond_timedwait(&server->wake, &server->lock, &until) != ETIMEDOUT) {
    }
    return !server->watchdog_stop;
}

static void *watchdog_run(void *arg)
{
    struct transport_server *server = arg;
    struct watched watched = {0, 0};
    pthread_mutex_lock(&server->lock);
    while (watchdog_sleep(server)) {
        bool any_alive = false;
        for (unsigned i = 0; i < SHARDS; i++) {
            cut_off_stalled(server, &server->shards[i]);
        }
        for (unsigned i = 0; i < server->listener_count && !server->watchdog_stop; i++) {
            pthread_mutex_unlock(&server->lock);
            any_alive |= watch(server, i);
            pthread_mutex_lock(&server->lock);
        }
        if (any_alive) {
            watch_removals(&watched, atomic_load_explicit(&server->removals, memory_order_relaxed));
        }
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void server_stop_watchdog(struct transport_server *server)
{
    if (!server->watchdog_started) {
        return;
    }
    pthread_mutex_lock(&server->lock);
    server->watchdog_stop = true;
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->watchdog, NULL);
    server->watchdog_started = false;
}

/* ---- Server: ending ---- */

void transport_server_drain(struct transport_server *server, uint32_t timeout_ms)
{
    uint64_t until_ms = now_ms() + timeout_ms;
    /* release: pairs with the acquire in stopping() and connection_changed(). */
    atomic_store_explicit(&server->stopping, true, memory_order_release);
    server_stop_watchdog(server);
    /* The listeners stay until the end, because nng closes a listener's connections with it; new
     * connections are refused meanwhile. An exchange that was just about to receive may miss one
     * cancellation, hence the loop.
     * acquire: pairs with the release in exchange_receive(). */
    while (atomic_load_explicit(&server->active, memory_order_acquire) > 0 && now_ms() < until_ms) {
        for (unsigned i = 0; i < server->exchange_count; i++) {
            nng_aio_cancel(server->exchanges[i]->receiving);
        }
        pause_ms(POLL_MS);
    }
    pause_ms(LINGER_MS);
    server_close_listeners(server);
}

/* The last of the server, when nng calls back no more. */
static void server_release(void *owner)
{
    struct transport_server *server = owner;
    for (unsigned i = 0; i < SHARDS; i++) {
        for (unsigned j = 0; j < SHARD_BUCKETS; j++) {
            struct connection *connection = server->shards[i].buckets[j];
            while (connection) {
                struct connection *next = connection->next;
                free(connection);
                connection = next;
            }
        }
        pthread_mutex_destroy(&server->shards[i].lock);
    }
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

void transport_server_close(struct transport_server *server)
{
    /* release: as in transport_server_drain. */
    atomic_store_explicit(&server->stopping, true, memory_order_release);
    server_stop_watchdog(server);
    /* All are stopped before any is freed: a handler may still be running for one of them. Without
     * exchanges each connection reads one message more and then rests. */
    for (unsigned i = 0; i < server->exchange_count; i++) {
        struct transport_exchange *exchange = server->exchanges[i];
        if (exchange && exchange->receiving) {
            nng_aio_stop(exchange->receiving);
        }
        if (exchange && exchange->sending) {
            nng_aio_stop(exchange->sending);
        }
    }
    pause_ms(LINGER_MS);
    server_close_listeners(server);
    for (unsigned i = 0; i < server->exchange_count; i++) {
        if (server->exchanges[i]) {
            exchange_free(server->exchanges[i]);
        }
    }
    free(server->exchanges);
    socket_close(server->socket, server_release, server);
}

void transport_server_stats(const struct transport_server *server,
                            struct transport_server_stats *stats)
{
    /* Counters for people: relaxed, each is right by itself. */
    stats->connections = atomic_load_explicit(&server->connections, memory_order_relaxed);
    stats->connections_total =
        atomic_load_explicit(&server->connections_total, memory_order_relaxed);
    stats->requests = atomic_load_explicit(&server->requests, memory_order_relaxed);
    stats->relistens = atomic_load_explicit(&server->relistens, memory_order_relaxed);
    stats->cut_off = atomic_load_explicit(&server->cut_off, memory_order_relaxed);
}

/* ---- Client ---- */

struct slot {
    struct transport_client *client;
    struct slot *next_free;
    nng_ctx context;
    nng_aio *aio;
    struct transport_call *call; /* whom to tell; NULL: nobody, or free. Client's lock */
    uint64_t until_ms;
    bool sent; /* nng has handed it to a connection */
    bool opened;
};

struct transport_client {
    nng_socket socket;
    nng_dialer dialer; /* the redialing timer's own, once it runs */
    char url[URL_BYTES_MAX];
    nng_aio *redialing; /* a timer */
    uint64_t unconnected_since_ms;
    uint64_t stall_ms;     /* no reply for so long while calls wait: dials once more; the timer's own */
    uint64_t replies_seen; /* at the timer's last look */
    uint64_t stalled_since_ms;
    atomic_uint_fast64_t replies;
    unsigned slot_count;
    struct slot *slots;
    atomic_bool closing;
    atomic_uint connections; /* open now: 0 or 1, more for a moment */
    atomic_uint_fast64_t connections_total;

    pthread_mutex_t lock; /* free_slots, busy_slots, under_way, slots' calls */
    struct slot *free_slots;
    unsigned busy_slots; /* with nng */
    unsigned under_way;  /* calls whose done() has not returned */
};

static void client_connection_changed(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct transport_client *client = arg;
    (void)pipe;
    if (event == NNG_PIPE_EV_ADD_PRE) {
        /* Before nng can send on it, so that "none so far" is never said of a sent request.
         * release: pairs with the acquire in transport_client_connections. */
        atomic_fetch_add_explicit(&client->connections_total, 1, memory_order_release);
        atomic_fetch_add_explicit(&client->connections, 1, memory_order_release);
    } else {
        /* release: pairs with the acquire in transport_client_connected. */
        atomic_fetch_sub_explicit(&client->connections, 1, memory_order_release);
    }
}

/* What nng's error means to the caller. */
static enum hf_status call_status(const struct slot *slot, int error)
{
    const struct transport_client *client = slot->client;
    /* acquire: pairs with the release in transport_client_close. */
    if (atomic_load_explicit(&client->closing, memory_order_acquire)) {
        return HF_CANCELED;
    }
    if (error == NNG_ENOMEM) {
        return HF_NO_MEMORY;
    }
    /* Not sent means not done; sent means unknown. */
    return slot->sent ? HF_TIMED_OUT : HF_UNREACHABLE;
}

/* Tells the caller. */
static void call_end(struct transport_client *client, struct transport_call *call,
                     enum hf_status status, struct bytes reply)
{
    call->done(call, status, reply);
    pthread_mutex_lock(&client->lock);
    CHECK(client->under_way > 0);
    client->under_way--;
    pthread_mutex_unlock(&client->lock);
}

/* nng is done with a slot. It is free before done() runs. */
static void slot_end(struct slot *slot, enum hf_status status, nng_msg *reply)
{
    struct transport_client *client = slot->client;
    pthread_mutex_lock(&client->lock);
    struct transport_call *call = slot->call; /* NULL: canceled, and told so */
    slot->call = NULL;
    slot->next_free = client->free_slots;
    client->free_slots = slot;
    CHECK(client->busy_slots > 0);
    client->busy_slots--;
    pthread_mutex_unlock(&client->lock);

    struct bytes bytes = {NULL, 0};
    if (reply) {
        bytes = (struct bytes){nng_msg_body(reply), nng_msg_len(reply)};
    }
    if (call) {
        call_end(client, call, status, bytes);
    }
    if (reply) {
        nng_msg_free(reply);
    }
}

/* The request has left, or not: wait for the reply. */
static void slot_sent(struct slot *slot, int error)
{
    if (error != 0) {
        nng_msg *request = nng_aio_get_msg(slot->aio);
        nng_aio_set_msg(slot->aio, NULL);
        if (request) {
            nng_msg_free(request);
        }
        slot_end(slot, call_status(slot, error), NULL);
        return;
    }
    slot->sent = true;
    uint64_t now = now_ms();
    uint64_t left_ms = slot->until_ms > now ? slot->until_ms - now : 1;
    nng_aio_set_timeout(slot->aio, left_ms < INT32_MAX ? (nng_duration)left_ms : INT32_MAX);
    nng_ctx_recv(slot->context, slot->aio);
}

static void slot_run(void *arg)
{
    struct slot *slot = arg;
    int error = nng_aio_result(slot->aio);
    if (!slot->sent) {
        slot_sent(slot, error);
        return;
    }
    nng_msg *reply = NULL;
    if (error == 0) {
        reply = nng_aio_get_msg(slot->aio);
        nng_aio_set_msg(slot->aio, NULL);
        /* relaxed: only whether it changes matters. */
        atomic_fetch_add_explicit(&slot->client->replies, 1, memory_order_relaxed);
    }
    slot_end(slot, error == 0 ? HF_OK : call_status(slot, error), reply);
}

enum hf_status transport_client_call(struct transport_client *client, struct transport_call *call,
                                     struct bytes request, uint32_t timeout_ms)
{
    CHECK(call->done);
    CHECK(timeout_ms > 0);
    nng_msg *message;
    if (nng_msg_alloc(&message, request.len) != 0) {
        return HF_NO_MEMORY;
    }
    if (request.len > 0) {
        memcpy(nng_msg_body(message), request.data, request.len);
    }
    pthread_mutex_lock(&client->lock);
    bool closing = atomic_load_explicit(&client->closing, memory_order_relaxed);
    struct slot *slot = closing ? NULL : client->free_slots;
    if (slot) {
        client->free_slots = slot->next_free;
        client->busy_slots++;
        client->under_way++;
        slot->call = call;
    }
    pthread_mutex_unlock(&client->lock);
    if (!slot) {
        nng_msg_free(message);
        return closing ? HF_CANCELED : HF_BUSY;
    }
    slot->sent = false;
    slot->until_ms = now_ms() + timeout_ms;
    nng_aio_set_msg(slot->aio, message);
    nng_aio_set_timeout(slot->aio, timeout_ms < INT32_MAX ? (nng_duration)timeout_ms : INT32_MAX);
    nng_ctx_send(slot->context, slot->aio);
    return HF_OK;
}

static enum hf_status client_open_slots(struct transport_client *client)
{
    client->slots = calloc(client->slot_count, sizeof *client->slots);
    if (!client->slots) {
        return HF_NO_MEMORY;
    }
    for (unsigned i = 0; i < client->slot_count; i++) {
        struct slot *slot = &client->slots[i];
        slot->client = client;
        if (nng_aio_alloc(&slot->aio, slot_run, slot) != 0 ||
            nng_ctx_open(&slot->context, client->socket) != 0) {
            return HF_NO_MEMORY;
        }
        slot->opened = true;
        slot->next_free = client->free_slots;
        client->free_slots = slot;
    }
    return HF_OK;
}

static enum hf_status client_open_socket(struct transport_client *client)
{
    if (nng_req0_open(&client->socket) != 0) {
        client->socket = (nng_socket)NNG_SOCKET_INITIALIZER;
        return HF_NO_MEMORY;
    }
    if (nng_socket_set_ms(client->socket, NNG_OPT_REQ_RESENDTIME, RESEND_NEVER_MS) != 0 ||
        nng_socket_set_size(client->socket, NNG_OPT_RECVMAXSZ, MESSAGE_BYTES_MAX) != 0 ||
        nng_pipe_notify(client->socket, NNG_PIPE_EV_ADD_PRE, client_connection_changed, client) !=
            0 ||
        nng_pipe_notify(client->socket, NNG_PIPE_EV_REM_POST, client_connection_changed, client) !=
            0) {
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

static enum hf_status client_dial(struct transport_client *client)
{
    int error = nng_dialer_create(&client->dialer, client->socket, client->url);
    if (error != 0) {
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_INVALID;
    }
    (void)nng_dialer_set_ms(client->dialer, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
    (void)nng_dialer_set_ms(client->dialer, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
    if (starts_with(client->url, "tcp://")) {
        (void)nng_dialer_set_bool(client->dialer, NNG_OPT_TCP_NODELAY, true);
        (void)nng_dialer_set_bool(client->dialer, NNG_OPT_TCP_KEEPALIVE, true);
    }
    error = nng_dialer_start(client->dialer, NNG_FLAG_NONBLOCK);
    return error == 0 ? HF_OK : error == NNG_ENOMEM ? HF_NO_MEMORY : HF_INVALID;
}

/* nng_dialer_close() waits for nng's other tasks, and this runs on one of its few task threads: were
 * all of them closing dialers, of as many clients, none would ever end. So one at a time does, in
 * the whole process. */
static atomic_flag redialing_now = ATOMIC_FLAG_INIT;

/* True when calls have waited for stall_ms without any reply, though there seems to be a connection.
 * Perhaps the engine is slow. Perhaps the connection is gone, and nng's one thread that would tell
 * us so and dial again is stuck for good (see the top of this file): the calls then wait in nng for
 * a connection that only another dialer can bring. */
static bool client_stalled(struct transport_client *client, uint64_t now)
{
    /* relaxed: see slot_run. */
    uint64_t replies = atomic_load_explicit(&client->replies, memory_order_relaxed);
    pthread_mutex_lock(&client->lock);
    bool waiting = client->busy_slots > 0;
    pthread_mutex_unlock(&client->lock);
    if (!waiting || replies != client->replies_seen) {
        client->replies_seen = replies;
        client->stalled_since_ms = now;
        client->stall_ms = STALL_FIRST_MS;
        return false;
    }
    return now - client->stalled_since_ms >= client->stall_ms;
}

/* Dials once more and keeps the old dialer: closing it would wait for the thread that is stuck. Less
 * and less often, so that a slow engine is not flooded with connections. */
static void client_dial_beside(struct transport_client *client, uint64_t now)
{
    (void)client_dial(client);
    client->stalled_since_ms = now;
    client->stall_ms = client->stall_ms * 2 < STALL_MAX_MS ? client->stall_ms * 2 : STALL_MAX_MS;
}

/* The timer: replaces a dialer that may have stopped dialing. */
static void client_redial(void *arg)
{
    struct transport_client *client = arg;
    /* acquire: pairs with the release in transport_client_close. */
    if (nng_aio_result(client->redialing) != 0 ||
        atomic_load_explicit(&client->closing, memory_order_acquire)) {
        return;
    }
    uint64_t now = now_ms();
    bool stalled = client_stalled(client, now);
    if (transport_client_connected(client)) {
        client->unconnected_since_ms = now;
        if (stalled) {
            client_dial_beside(client, now);
        }
    } else if (now - client->unconnected_since_ms >= REDIAL_AFTER_MS &&
               /* acquire, release: as a lock; who doesn't get it looks again after a pause */
               !atomic_flag_test_and_set_explicit(&redialing_now, memory_order_acquire)) {
        (void)nng_dialer_close(client->dialer);
        (void)client_dial(client); /* without memory: again after the next pause */
        client->unconnected_since_ms = now;
        atomic_flag_clear_explicit(&redialing_now, memory_order_release);
    }
    nng_sleep_aio(REDIAL_LOOK_MS, client->redialing);
}

static enum hf_status client_start_dialing(struct transport_client *client)
{
    if (nng_aio_alloc(&client->redialing, client_redial, client) != 0) {
        return HF_NO_MEMORY;
    }
    enum hf_status status = client_dial(client);
    if (status == HF_OK) {
        client->unconnected_since_ms = now_ms();
        client->stalled_since_ms = client->unconnected_since_ms;
        client->stall_ms = STALL_FIRST_MS;
        nng_sleep_aio(REDIAL_LOOK_MS, client->redialing);
    }
    return status;
}

enum hf_status transport_client_open(struct transport_client **out, const char *url,
                                     unsigned in_flight_max)
{
    CHECK(in_flight_max >= 1);
    CHECK(in_flight_max <= CALLS_MAX);
    if ((!starts_with(url, "tcp://") && !starts_with(url, "ipc://")) ||
        strlen(url) >= URL_BYTES_MAX) {
        return HF_INVALID;
    }
    struct transport_client *client = calloc(1, sizeof *client);
    if (!client) {
        return HF_NO_MEMORY;
    }
    client->slot_count = in_flight_max;
    memcpy(client->url, url, strlen(url) + 1);
    pthread_mutex_init(&client->lock, NULL);
    enum hf_status status = client_open_socket(client);
    if (status == HF_OK) {
        status = client_open_slots(client);
    }
    if (status == HF_OK) {
        status = client_start_dialing(client);
    }
    if (status != HF_OK) {
        transport_client_close(client);
        return status;
    }
    *out = client;
    return HF_OK;
}

/* Tells every caller that its call is canceled. nng goes on with the slots. */
static void client_cancel_calls(struct transport_client *client)
{
    for (unsigned i = 0; client->slots && i < client->slot_count; i++) {
        pthread_mutex_lock(&client->lock);
        struct transport_call *call = client->slots[i].call;
        client->slots[i].call = NULL;
        pthread_mutex_unlock(&client->lock);
        if (call) {
            call_end(client, call, HF_CANCELED, (struct bytes){NULL, 0});
        }
    }
}

/* Waits until nng has done with all slots and all done() have returned. For a while it lets replies
 * come in, so that the connection is at rest when it is closed; then it cancels, again and again,
 * because a slot between sending and receiving may miss a cancellation. */
static void client_wait_idle(struct transport_client *client)
{
    uint64_t rest_until_ms = now_ms() + (transport_client_connected(client) ? REST_MS : 0);
    for (;;) {
        pthread_mutex_lock(&client->lock);
        bool idle = client->busy_slots == 0 && client->under_way == 0;
        pthread_mutex_unlock(&client->lock);
        if (idle) {
            return;
        }
        for (unsigned i = 0; now_ms() >= rest_until_ms && i < client->slot_count; i++) {
            nng_aio_cancel(client->slots[i].aio);
        }
        pause_ms(POLL_MS);
    }
}

/* The last of the client, when nng calls back no more. */
static void client_release(void *owner)
{
    struct transport_client *client = owner;
    pthread_mutex_destroy(&client->lock);
    free(client);
}

void transport_client_close(struct transport_client *client)
{
    /* release: pairs with the acquire in client_redial and call_status. Locked: no call starts
     * afterwards. */
    pthread_mutex_lock(&client->lock);
    atomic_store_explicit(&client->closing, true, memory_order_release);
    pthread_mutex_unlock(&client->lock);
    if (client->redialing) {
        nng_aio_stop(client->redialing);
        nng_aio_free(client->redialing);
    }
    client_cancel_calls(client);
    client_wait_idle(client);
    for (unsigned i = 0; client->slots && i < client->slot_count; i++) {
        struct slot *slot = &client->slots[i];
        if (slot->aio) {
            nng_aio_stop(slot->aio);
        }
        if (slot->opened) {
            (void)nng_ctx_close(slot->context);
        }
        if (slot->aio) {
            nng_aio_free(slot->aio);
        }
    }
    free(client->slots);
    socket_close(client->socket, client_release, client);
}

bool transport_client_connected(const struct transport_client *client)
{
    /* acquire: pairs with the release in client_connection_changed. */
    return atomic_load_explicit(&client->connections, memory_order_acquire) > 0;
}

uint64_t transport_client_connections(const struct transport_client *client)
{
    /* acquire: pairs with the release in client_connection_changed. */
    return atomic_load_explicit(&client->connections_total, memory_order_acquire);
}
