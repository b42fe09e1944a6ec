/* nng.c - nng's own rate: a bare echo over REQ/REP, with nothing behind it.
 *
 * --mode serve listens on --url (port 0: any; the address is printed) and answers each request
 * with its own first --reply-bytes, until it is killed. Otherwise --connections sockets, with
 * --in-flight contexts each, send requests of --request-bytes, as fast as answers come; or with
 * --rate as they come due, and then latency counts from when a message was due, as `holdfast load`
 * has it. Both sides are driven by nng's threads alone, as are the engine and its client library.
 *
 * Threads: a context's state belongs to the callback that runs for it, or, while it is idle, to who
 * holds the schedule's mutex. */
#include <inttypes.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

#define SERVER_CONTEXTS   256u /* the engine's default */
#define MESSAGE_BYTES_MAX ((size_t)1 << 20)
#define PACE_NS           200000 /* messages due so close together are sent together, as by the load */

static void must(int error, const char *what)
{
    if (error != 0) {
        peer_fail("nng: %s: %s", what, nng_strerror(error));
    }
}

/* ---- Server ---- */

enum step { STEP_RECEIVING, STEP_SENDING };

struct echo {
    nng_ctx context;
    nng_aio *aio;
    enum step step;
    size_t reply_bytes;
};

static void echo_next(void *argument)
{
    struct echo *echo = argument;
    int error = nng_aio_result(echo->aio);
    if (echo->step == STEP_RECEIVING && error == 0) {
        nng_msg *message = nng_aio_get_msg(echo->aio);
        size_t length = nng_msg_len(message);
        if (length > echo->reply_bytes) {
            must(nng_msg_chop(message, length - echo->reply_bytes), "chop");
        }
        nng_aio_set_msg(echo->aio, message);
        echo->step = STEP_SENDING;
        nng_ctx_send(echo->context, echo->aio);
        return;
    }
    if (echo->step == STEP_SENDING && error != 0) {
        nng_msg_free(nng_aio_get_msg(echo->aio)); /* its client has gone */
    }
    if (error == NNG_ECLOSED) {
        return;
    }
    echo->step = STEP_RECEIVING;
    nng_ctx_recv(echo->context, echo->aio);
}

static void serve(const struct peer_options *options)
{
    static struct echo echoes[SERVER_CONTEXTS];
    nng_socket socket;
    nng_listener listener;
    must(nng_rep0_open(&socket), "open");
    must(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, MESSAGE_BYTES_MAX), "limit");
    must(nng_listener_create(&listener, socket, options->url), "listener");
    must(nng_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true), "no delay");
    must(nng_listener_start(listener, 0), "listen");
    for (uint32_t i = 0; i < SERVER_CONTEXTS; i++) {
        struct echo *echo = &echoes[i];
        echo->reply_bytes = options->reply_bytes;
        must(nng_ctx_open(&echo->context, socket), "context");
        must(nng_aio_alloc(&echo->aio, echo_next, echo), "aio");
        nng_aio_set_timeout(echo->aio, NNG_DURATION_INFINITE);
        nng_ctx_recv(echo->context, echo->aio);
    }
    int port = 0;
    must(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), "port");
    printf("listening on tcp://127.0.0.1:%d\n", port);
    fflush(stdout);
    for (;;) {
        pause();
    }
}

/* ---- Client ---- */

struct caller {
    struct peer_worker worker;
    nng_ctx context;
    nng_aio *aio;
    enum step step;
    uint64_t since_ns;
};

/* relaxed: the main thread only polls it; what it reads after it hit zero was written before
 * (release below, acquire in call_all). */
static _Atomic uint32_t callers_left;

/* In open loop: when messages are due, and the callers that wait for one. A caller with an answer
 * takes the next message that is due, or becomes idle; the pacing thread gives the due ones to the
 * idle callers. */
static struct {
    pthread_mutex_t mutex;
    double interval_ns; /* 0: closed loop */
    uint64_t start_ns;
    uint64_t next; /* number of the next message */
    struct caller **idle;
    uint32_t idle_count;
} schedule = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* When the next message is due, if that is not later than now; else 0. Under the mutex. */
static uint64_t take_due(uint64_t now_ns)
{
    uint64_t due_ns = schedule.start_ns + (uint64_t)((double)schedule.next * schedule.interval_ns);
    if (due_ns > now_ns) {
        return 0;
    }
    schedule.next++;
    return due_ns;
}

static void call_begin(struct caller *caller, uint64_t since_ns)
{
    nng_msg *message;
    must(nng_msg_alloc(&message, caller->worker.options->request_bytes), "message");
    memset(nng_msg_body(message), 0x5a, nng_msg_len(message));
    nng_aio_set_msg(caller->aio, message);
    caller->step = STEP_SENDING;
    caller->since_ns = since_ns;
    nng_ctx_send(caller->context, caller->aio);
}

/* The caller's next message, now or when it is due. */
static void call_again(struct caller *caller)
{
    uint64_t since_ns = peer_now_ns();
    if (schedule.interval_ns > 0) {
        pthread_mutex_lock(&schedule.mutex);
        since_ns = take_due(since_ns);
        if (since_ns == 0) {
            schedule.idle[schedule.idle_count++] = caller;
        }
        pthread_mutex_unlock(&schedule.mutex);
    }
    if (since_ns != 0) {
        call_begin(caller, since_ns);
    }
}

/* Gives what is due to idle callers, until the time is over. */
static void *pace(void *unused)
{
    (void)unused;
    const struct timespec pause = {.tv_nsec = PACE_NS};
    while (peer_goes_on()) {
        uint64_t since_ns = 1;
        while (since_ns != 0) {
            struct caller *caller = NULL;
            pthread_mutex_lock(&schedule.mutex);
            since_ns = schedule.idle_count > 0 ? take_due(peer_now_ns()) : 0;
            if (since_ns != 0) {
                caller = schedule.idle[--schedule.idle_count];
            }
            pthread_mutex_unlock(&schedule.mutex);
            if (caller) {
                call_begin(caller, since_ns);
            }
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void call_next(void *argument)
{
    struct caller *caller = argument;
    must(nng_aio_result(caller->aio), "exchange");
    if (caller->step == STEP_SENDING) {
        caller->step = STEP_RECEIVING;
        nng_ctx_recv(caller->context, caller->aio);
        return;
    }
    nng_msg_free(nng_aio_get_msg(caller->aio));
    peer_count(&caller->worker, 1, caller->since_ns);
    if (peer_goes_on()) {
        call_again(caller);
    } else {
        atomic_fetch_sub_explicit(&callers_left, 1, memory_order_release);
    }
}

static void start_schedule(const struct peer_options *options, uint32_t count)
{
    if (options->rate <= 0) {
        return;
    }
    pthread_t thread;
    schedule.idle = calloc(count, sizeof *schedule.idle);
    schedule.interval_ns = 1e9 / options->rate;
    schedule.start_ns = peer_now_ns();
    if (!schedule.idle || pthread_create(&thread, NULL, pace, NULL) != 0) {
        peer_fail("no thread or memory to pace with");
    }
}

/* Waits for the answers that are still to come; in open loop not for those that could not be sent
 * in time, nor for idle callers. */
static void wait_for_callers(void)
{
    uint32_t idle = 0;
    do {
        nng_msleep(1);
        pthread_mutex_lock(&schedule.mutex);
        idle = schedule.idle_count;
        pthread_mutex_unlock(&schedule.mutex);
        /* acquire: pairs with the release in call_next */
    } while (atomic_load_explicit(&callers_left, memory_order_acquire) > idle);
}

static void call_all(const struct peer_options *options)
{
    uint32_t count = options->connections * options->in_flight;
    struct caller *callers = calloc(count, sizeof *callers);
    struct peer_worker *workers = calloc(count, sizeof *workers);
    if (!callers || !workers) {
        peer_fail("out of memory");
    }
    nng_socket socket = NNG_SOCKET_INITIALIZER;
    atomic_store_explicit(&callers_left, count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        struct caller *caller = &callers[i];
        if (i % options->in_flight == 0) {
            nng_dialer dialer;
            must(nng_req0_open(&socket), "open");
            must(nng_dialer_create(&dialer, socket, options->url), "dialer");
            must(nng_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true), "no delay");
            must(nng_dialer_start(dialer, 0), "dial");
        }
        peer_worker_init(&caller->worker, options, i);
        must(nng_ctx_open(&caller->context, socket), "context");
        must(nng_aio_alloc(&caller->aio, call_next, caller), "aio");
        nng_aio_set_timeout(caller->aio, 10000);
    }
    start_schedule(options, count);
    for (uint32_t i = 0; i < count; i++) {
        call_again(&callers[i]);
    }
    double seconds = peer_let_pass(options);
    wait_for_callers();
    for (uint32_t i = 0; i < count; i++) {
        workers[i] = callers[i].worker;
    }
    peer_print(options, workers, count, seconds);
    fflush(stdout);
    _exit(0); /* closing sockets can take nng long, and there is nothing to save */
}

int main(int argc, char **argv)
{
    struct peer_options options;
    peer_options_parse(&options, argc, argv);
    if (!options.url || options.request_bytes > MESSAGE_BYTES_MAX) {
        peer_fail("--url is needed; --request-bytes is at most %zu", MESSAGE_BYTES_MAX);
    }
    if (options.mode && strcmp(options.mode, "serve") == 0) {
        serve(&options);
    }
    call_all(&options);
    return 0;
}
