/* echo.h - what the transport's tests share: a server that echoes, calls, and raw sockets.
 *
 * Hostile clients are raw sockets that write the SP framing by hand: an 8-byte handshake, then
 * messages of 8 bytes of length (over ipc a byte 1 before it), a 4-byte request id and the body. */
#ifndef TESTS_UNIT_RPC_ECHO_H
#define TESTS_UNIT_RPC_ECHO_H

#include "rpc/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/patience.h"
#include "lib/tempdir.h"

#define MESSAGE_BYTES 65536u

static inline uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static inline void sleep_ms(unsigned ms)
{
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&wait, NULL);
}

/* ---- A server that echoes ---- */

struct echo {
    struct transport_server *server;
    char url[256];
    atomic_uint handled;
    atomic_uint refused;
    atomic_uint ended;    /* handlers that have returned */
    atomic_uint delay_ms; /* that a handler takes */
    atomic_int refused_why;
    atomic_bool holding;  /* keep requests instead of answering */
    pthread_mutex_t lock; /* held */
    struct transport_exchange *held[64];
    unsigned held_count;
    _Atomic size_t
        reply_bytes; /* 0: echo; else the reply is so many zeros. Tests change it while it runs */
    uint8_t *zeros;
};

static inline void echo_handle(void *context, struct transport_exchange *exchange)
{
    struct echo *echo = context;
    atomic_fetch_add(&echo->handled, 1);
    if (atomic_load(&echo->holding)) {
        pthread_mutex_lock(&echo->lock);
        assert_true(echo->held_count < 64);
        echo->held[echo->held_count++] = exchange;
        pthread_mutex_unlock(&echo->lock);
        return;
    }
    if (echo->reply_bytes > 0) {
        transport_reply(exchange, (struct bytes){echo->zeros, echo->reply_bytes});
    } else {
        transport_reply(exchange, transport_exchange_body(exchange));
    }
    if (echo->delay_ms > 0) {
        sleep_ms(echo->delay_ms);
    }
    atomic_fetch_add(&echo->ended, 1);
}

static inline size_t echo_refuse(void *context, enum transport_refusal why, uint32_t retry_ms,
                                 uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX])
{
    struct echo *echo = context;
    assert_true(retry_ms >= 1);
    atomic_fetch_add(&echo->refused, 1);
    atomic_store(&echo->refused_why, why);
    memcpy(reply, "busy", 4);
    return 4;
}

static inline void echo_answer_held(struct echo *echo)
{
    pthread_mutex_lock(&echo->lock);
    for (unsigned i = 0; i < echo->held_count; i++) {
        transport_reply(echo->held[i], transport_exchange_body(echo->held[i]));
    }
    echo->held_count = 0;
    pthread_mutex_unlock(&echo->lock);
}

static inline bool user_init(void *context, void *user)
{
    (void)context;
    assert_int_equal((uintptr_t)user % 64, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(((const char *)user)[i], 0);
    }
    memset(user, 1, 100);
    return true;
}

static inline void user_deinit(void *context, void *user)
{
    (void)context;
    assert_int_equal(((const char *)user)[99], 1);
}

static inline void echo_start_with(struct echo *echo, const char *url,
                                   struct transport_server_options options)
{
    memset(echo, 0, sizeof *echo);
    pthread_mutex_init(&echo->lock, NULL);
    options.handle = echo_handle;
    options.refuse = echo_refuse;
    if (options.message_bytes_max == 0) {
        options.message_bytes_max = MESSAGE_BYTES;
    }
    options.context = echo;
    options.user_bytes = 100;
    options.user_init = user_init;
    options.user_deinit = user_deinit;
    assert_int_equal(transport_server_open(&echo->server, &options), HF_OK);
    assert_int_equal(transport_server_listen(echo->server, url, echo->url, sizeof echo->url),
                     HF_OK);
}

static inline void echo_start(struct echo *echo, const char *url)
{
    echo_start_with(echo, url,
                    (struct transport_server_options){.contexts = 64, .send_timeout_ms = 500});
}

static inline void echo_stop(struct echo *echo)
{
    transport_server_close(echo->server);
    pthread_mutex_destroy(&echo->lock);
    free(echo->zeros);
}

static inline struct transport_server_stats echo_stats(const struct echo *echo)
{
    struct transport_server_stats stats;
    transport_server_stats(echo->server, &stats);
    return stats;
}

/* ---- Calls ---- */

struct result {
    struct transport_call call;
    atomic_uint times; /* done() has run */
    enum hf_status status;
    char reply[128];
    size_t reply_bytes;
};

static inline void result_done(struct transport_call *call, enum hf_status status,
                               struct bytes reply)
{
    struct result *result = call->user;
    result->status = status;
    result->reply_bytes = reply.len;
    if (reply.len > 0 && reply.len < sizeof result->reply) {
        memcpy(result->reply, reply.data, reply.len);
    }
    atomic_fetch_add_explicit(&result->times, 1, memory_order_release);
}

static inline enum hf_status result_start(struct result *result, struct transport_client *client,
                                          struct bytes request, uint32_t timeout_ms)
{
    memset(result, 0, sizeof *result);
    result->call.done = result_done;
    result->call.user = result;
    return transport_client_call(client, &result->call, request, timeout_ms);
}

static inline void result_wait(struct result *result)
{
    uint64_t until = patience_until();
    while (atomic_load_explicit(&result->times, memory_order_acquire) == 0) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

/* One exchange; its status. The reply must be the request. */
static inline enum hf_status ask_text(struct transport_client *client, const char *text,
                                      uint32_t timeout_ms)
{
    struct result *result = malloc(sizeof *result);
    assert_non_null(result);
    assert_int_equal(result_start(result, client, bytes_of(text), timeout_ms), HF_OK);
    result_wait(result);
    enum hf_status status = result->status;
    if (status == HF_OK) {
        assert_int_equal(result->reply_bytes, strlen(text));
        assert_memory_equal(result->reply, text, strlen(text));
    }
    assert_int_equal(atomic_load(&result->times), 1);
    free(result);
    return status;
}

static inline struct transport_client *client_of(const char *url)
{
    struct transport_client *client;
    assert_int_equal(transport_client_open(&client, url, 64), HF_OK);
    return client;
}

/* A client comes, is served, and goes: the server lives. */
static inline void assert_serves(const char *url)
{
    struct transport_client *client = client_of(url);
    assert_int_equal(ask_text(client, "still there?", PATIENCE_MS), HF_OK);
    transport_client_close(client);
}

/* ---- Raw sockets ---- */

static inline void set_path(struct sockaddr_un *address, const char *url)
{
    size_t len = strlen(url + 6);
    assert_true(len < sizeof address->sun_path);
    memcpy(address->sun_path, url + 6, len + 1);
}

static inline int raw_dial(const char *url)
{
    int fd;
    int rc;
    if (strncmp(url, "ipc://", 6) == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        set_path(&address, url);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        rc = connect(fd, (struct sockaddr *)&address, sizeof address);
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
        fd = socket(AF_INET, SOCK_STREAM, 0);
        rc = connect(fd, (struct sockaddr *)&address, sizeof address);
    }
    assert_true(fd >= 0);
    assert_int_equal(rc, 0);
    struct timeval patience = {patience_ms() / 1000, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static inline void raw_send(int fd, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            fail_msg("%zu bytes can't be sent: %s", len, strerror(errno));
        }
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* So many bytes, in however many pieces they come. */
static inline void raw_receive(int fd, void *got, size_t len)
{
    uint8_t *at = got;
    while (len > 0) {
        ssize_t n = recv(fd, at, len, 0);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            fail_msg("%zu bytes are missing: %s", len, n == 0 ? "hung up" : strerror(errno));
        }
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* Introduces itself as one protocol, and expects another. */
static inline void raw_handshake_as(int fd, uint8_t self, uint8_t peer)
{
    const uint8_t request[8] = {0, 'S', 'P', 0, 0, self, 0, 0};
    const uint8_t reply[8] = {0, 'S', 'P', 0, 0, peer, 0, 0};
    uint8_t got[8];
    raw_send(fd, request, sizeof request);
    raw_receive(fd, got, sizeof got);
    assert_memory_equal(got, reply, sizeof reply);
}

/* Dials until there is room, and introduces itself. A server with a most of connections also counts
 * those that have gone and are not released yet, and the probe of its own watchdog. */
static inline int raw_join(const char *url, uint8_t self, uint8_t peer)
{
    uint64_t until = patience_until();
    for (;;) {
        int fd = raw_dial(url);
        char byte;
        if (recv(fd, &byte, 1, MSG_PEEK) == 1) { /* its handshake: we are in */
            raw_handshake_as(fd, self, peer);
            return fd;
        }
        (void)close(fd);
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

static inline void raw_handshake(int fd)
{
    raw_handshake_as(fd, 0x30, 0x31);
}

/* The head of a tcp message of so many bytes after the request id. */
static inline void raw_head(uint8_t head[12], uint64_t body_bytes)
{
    uint64_t len = body_bytes + 4;
    for (int i = 0; i < 8; i++) {
        head[i] = (uint8_t)(len >> (56 - 8 * i));
    }
    head[8] = 0x80;
    head[9] = 1;
    head[10] = 2;
    head[11] = 3;
}

/* True when the peer hangs up before it sends anything. */
static inline bool raw_hung_up(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static inline void raw_close(int fd, bool reset)
{
    if (reset) {
        struct linger none = {1, 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    (void)close(fd);
}

/* Connects and goes, in every way, at once and in the middle of things: as a peer of that protocol
 * would that expects the other. */
static inline void raw_vanish(const char *url, uint8_t self, uint8_t peer, int times)
{
    static const uint8_t part[] = {0, 'S', 'P'};
    static const uint8_t junk[] = "GET / HTTP/1.1\r\n\r\n";
    uint8_t head[12];
    raw_head(head, 1000);
    for (int i = 0; i < times; i++) {
        int fd = i % 6 < 3 ? raw_dial(url) : raw_join(url, self, peer);
        switch (i % 6) {
        case 0:
            break;
        case 1:
            (void)send(fd, part, sizeof part, MSG_NOSIGNAL); /* it may be full, and hang up */
            break;
        case 2:
            (void)send(fd, junk, sizeof junk, MSG_NOSIGNAL);
            break;
        case 3:
            break; /* after the handshake */
        case 4:
            raw_send(fd, head, sizeof head); /* half a message */
            break;
        default:
            raw_send(fd, head, 3); /* half a length */
            break;
        }
        raw_close(fd, i % 2 == 0);
    }
}

/* ---- A server made by hand, which does only what a test has it do ---- */

static inline int raw_listen(char url[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(url, 64, "tcp://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return fd;
}

static inline int raw_accept(int listening)
{
    static const uint8_t reply[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    struct pollfd wait = {.fd = listening, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, (int)patience_ms()), 1);
    int fd = accept(listening, NULL, NULL);
    assert_true(fd >= 0);
    struct timeval patience = {patience_ms() / 1000, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    raw_send(fd, reply, sizeof reply);
    uint8_t got[8];
    raw_receive(fd, got, sizeof got);
    return fd;
}

static inline void wait_connected(const struct transport_client *client, uint64_t times)
{
    uint64_t until = patience_until();
    while (transport_client_connections(client) < times) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

#endif
