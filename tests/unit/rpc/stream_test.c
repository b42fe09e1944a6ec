/* stream_test.c - the change stream's sockets, with nng's own SUB0 and REQ0 as peers, and with
 * strangers. */
#include "unit/rpc/echo.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>

#include "rpc/stream.h"

/* ---- A stream whose requests a thread answers with their own bytes, behind a "<" ---- */

struct rig {
    struct stream *stream;
    pthread_t thread;
    bool started;
    atomic_bool stop;
    atomic_uint answered;
};

static void *answer_all(void *arg)
{
    struct rig *rig = arg;
    char reply[1024];
    while (!atomic_load(&rig->stop)) {
        struct bytes request;
        if (stream_receive(rig->stream, &request) == HF_OK) {
            assert_true(request.len < sizeof reply);
            reply[0] = '<';
            memcpy(reply + 1, request.data, request.len);
            atomic_fetch_add(&rig->answered, 1);
            stream_reply(rig->stream, (struct bytes){(uint8_t *)reply, request.len + 1});
        }
    }
    return NULL;
}

static void rig_open(struct rig *rig, const char *broadcast_url, const char *fetch_url)
{
    char error[STREAM_ERROR_BYTES];
    memset(rig, 0, sizeof *rig);
    assert_int_equal(stream_open(&rig->stream, broadcast_url, fetch_url, error), HF_OK);
}

static void rig_answer(struct rig *rig)
{
    assert_int_equal(pthread_create(&rig->thread, NULL, answer_all, rig), 0);
    rig->started = true;
}

static void rig_start(struct rig *rig, const char *broadcast_url, const char *fetch_url)
{
    rig_open(rig, broadcast_url, fetch_url);
    rig_answer(rig);
}

static void rig_stop(struct rig *rig)
{
    atomic_store(&rig->stop, true);
    if (rig->started) {
        pthread_join(rig->thread, NULL);
    }
    stream_close(rig->stream);
}

/* ---- nng's sockets ---- */

static nng_socket nng_subscribe(const char *url, const char *topic)
{
    nng_socket socket;
    assert_int_equal(nng_sub0_open(&socket), 0);
    assert_int_equal(nng_socket_set_int(socket, NNG_OPT_RECVBUF, 8192), 0);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, PATIENCE_MS), 0);
    assert_int_equal(nng_socket_set(socket, NNG_OPT_SUB_SUBSCRIBE, topic, strlen(topic)), 0);
    assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
    return socket;
}

static void assert_received(nng_socket socket, const char *text)
{
    char *got;
    size_t len;
    assert_int_equal(nng_recv(socket, &got, &len, NNG_FLAG_ALLOC), 0);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(got, text, len);
    nng_free(got, len);
}

static void assert_asks(const char *url, const char *request)
{
    nng_socket socket;
    char expected[512];
    assert_int_equal(nng_req0_open(&socket), 0);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, PATIENCE_MS), 0);
    assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        char text[300];
        (void)snprintf(text, sizeof text, "%d %s", i, request);
        (void)snprintf(expected, sizeof expected, "<%s", text);
        assert_int_equal(nng_send(socket, text, strlen(text), 0), 0);
        assert_received(socket, expected);
    }
    nng_close(socket);
}

/* Publishes until a socket has surely been taken in, and has read all of that. */
static void await_subscription(struct rig *rig, nng_socket socket, const char *topic)
{
    uint64_t until = patience_until();
    char text[64];
    char *got = NULL;
    size_t len = 0;
    (void)snprintf(text, sizeof text, "%sready?", topic);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, 10), 0);
    do {
        assert_true(now_ms() < until);
        stream_broadcast(rig->stream, bytes_of(text));
    } while (nng_recv(socket, &got, &len, NNG_FLAG_ALLOC) != 0);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, PATIENCE_MS), 0);
    (void)snprintf(text, sizeof text, "%sready!", topic);
    stream_broadcast(rig->stream, bytes_of(text));
    while (len != strlen(text) || memcmp(got, text, len) != 0) {
        nng_free(got, len);
        assert_int_equal(nng_recv(socket, &got, &len, NNG_FLAG_ALLOC), 0);
    }
    nng_free(got, len);
}

static void check_interoperation(const char *broadcast_url, const char *fetch_url)
{
    struct rig rig;
    rig_start(&rig, broadcast_url, fetch_url);
    nng_socket all = nng_subscribe(stream_broadcast_url(rig.stream), "");
    nng_socket some = nng_subscribe(stream_broadcast_url(rig.stream), "HELD\n");
    await_subscription(&rig, some, "HELD\n");
    await_subscription(&rig, all, "");
    char text[64];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "%s\n%d", i % 2 ? "HELD" : "RELEASED", i);
        stream_broadcast(rig.stream, bytes_of(text));
    }
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "%s\n%d", i % 2 ? "HELD" : "RELEASED", i);
        assert_received(all, text);
        if (i % 2) {
            assert_received(some, text);
        }
    }
    assert_asks(stream_fetch_url(rig.stream), "secret");
    nng_close(all);
    nng_close(some);
    rig_stop(&rig);
}

static void stream_serves_nngs_own_sockets_over_tcp(void **state)
{
    (void)state;
    check_interoperation("tcp://127.0.0.1:0", "tcp://127.0.0.1:0");
}

static void stream_serves_nngs_own_sockets_over_ipc(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char broadcast_url[128];
    char fetch_url[128];
    (void)snprintf(broadcast_url, sizeof broadcast_url, "ipc://%s/publish", dir);
    (void)snprintf(fetch_url, sizeof fetch_url, "ipc://%s/fetch", dir);
    check_interoperation(broadcast_url, fetch_url);
    tempdir_remove(dir);
}

/* ---- Addresses ---- */

static void stream_says_why_an_address_will_not_do(void **state)
{
    (void)state;
    struct rig rig;
    struct stream *other;
    char error[STREAM_ERROR_BYTES];
    rig_start(&rig, NULL, "tcp://127.0.0.1:0");
    assert_string_equal(stream_broadcast_url(rig.stream), "");
    assert_int_equal(strncmp(stream_fetch_url(rig.stream), "tcp://127.0.0.1:", 16), 0);
    assert_int_equal(stream_open(&other, NULL, stream_fetch_url(rig.stream), error),
                     HF_UNREACHABLE);
    assert_null(other);
    assert_non_null(strstr(error, stream_fetch_url(rig.stream)));
    assert_non_null(strstr(error, "in use"));
    assert_int_equal(stream_open(&other, stream_fetch_url(rig.stream), NULL, error),
                     HF_UNREACHABLE);
    assert_int_equal(stream_open(&other, "tcp://127.0.0.1:0", "ws://127.0.0.1:0", error),
                     HF_INVALID);
    assert_null(other);
    assert_non_null(strstr(error, "ws://127.0.0.1:0: can't be listened on: not an address"));
    assert_asks(stream_fetch_url(rig.stream), "x");
    rig_stop(&rig);
}

/* ---- Strangers ---- */

static void stream_answers_after_1000_strangers_have_vanished(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, "tcp://127.0.0.1:0", "tcp://127.0.0.1:0");
    int half = raw_dial(stream_fetch_url(rig.stream)); /* half a handshake, and stays */
    raw_send(half, "\0SP", 3);
    int head_only = raw_dial(stream_fetch_url(rig.stream)); /* a head without a body, and stays */
    uint8_t head[12];
    raw_handshake(head_only);
    raw_head(head, 100);
    raw_send(head_only, head, sizeof head);
    for (int round = 0; round < 20; round++) {
        raw_vanish(stream_fetch_url(rig.stream), 0x30, 0x31, 25);
        raw_vanish(stream_broadcast_url(rig.stream), 0x21, 0x20, 25);
        assert_asks(stream_fetch_url(rig.stream), "x");
    }
    nng_socket all = nng_subscribe(stream_broadcast_url(rig.stream), "");
    await_subscription(&rig, all, "");
    nng_close(all);
    (void)close(half);
    (void)close(head_only);
    rig_stop(&rig);
}

/* nng 1.5.2's ipc listener stops handing over connections here: the watchdog's case. */
static void stream_fetch_listens_anew_when_its_listener_has_died(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[128];
    struct rig rig;
    (void)snprintf(url, sizeof url, "ipc://%s/fetch", dir);
    rig_start(&rig, NULL, url);
    for (int i = 0; i < 3; i++) {
        int fd = raw_dial(url);
        raw_send(fd, "\0SP", 3);
        raw_close(fd, true);
    }
    struct transport_client *client =
        client_of(url); /* dials on, as nng's REQ would not over ipc */
    struct result result;
    assert_int_equal(result_start(&result, client, bytes_of("there?"), PATIENCE_MS), HF_OK);
    result_wait(&result);
    assert_int_equal(result.status, HF_OK);
    assert_int_equal(result.reply_bytes, 7);
    assert_memory_equal(result.reply, "<there?", 7);
    transport_client_close(client);
    rig_stop(&rig);
    tempdir_remove(dir);
}

static void stream_hangs_up_on_a_request_too_long(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL, "tcp://127.0.0.1:0");
    int fd = raw_dial(stream_fetch_url(rig.stream));
    uint8_t head[12];
    uint8_t got[12 + 1 + 278];
    uint8_t body[278]; /* 20 digits, a space, a token of 256 bytes, and one more */
    memset(body, '1', sizeof body);
    raw_handshake(fd);
    raw_head(head, sizeof body);
    raw_send(fd, head, sizeof head);
    raw_send(fd, body, sizeof body);
    raw_receive(fd, got, sizeof got);
    assert_memory_equal(got + 13, body, sizeof body);
    raw_head(head, 1000);
    raw_send(fd, head, sizeof head);
    assert_true(raw_hung_up(fd));
    (void)close(fd);
    assert_asks(stream_fetch_url(rig.stream), "x");
    rig_stop(&rig);
}

#define IN_HAND_MAX 16

/* Sends one request more than may be in hand at once, while nobody answers: that one is refused. */
static int ask_too_much(struct rig *rig)
{
    static const char busy[] = "{\"status\":\"BUSY\",\"message\":\"too many requests of this "
                               "connection are in hand\"}\n";
    int fd = raw_dial(stream_fetch_url(rig->stream));
    uint8_t request[13];
    char got[12 + sizeof busy];
    raw_handshake(fd);
    raw_head(request, 1);
    request[12] = '7';
    for (int i = 0; i <= IN_HAND_MAX; i++) {
        raw_send(fd, request, sizeof request);
    }
    raw_receive(fd, got, 12 + sizeof busy - 1);
    assert_memory_equal(got + 12, busy, sizeof busy - 1);
    return fd;
}

static void stream_refuses_a_connection_that_asks_too_much_at_once(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t got[14];
    rig_open(&rig, NULL, "tcp://127.0.0.1:0");
    int fd = ask_too_much(&rig);
    rig_answer(&rig);
    for (int i = 0; i < IN_HAND_MAX; i++) {
        raw_receive(fd, got, sizeof got);
        assert_memory_equal(got + 12, "<7", 2);
    }
    assert_int_equal(atomic_load(&rig.answered), IN_HAND_MAX);
    (void)close(fd);
    assert_asks(stream_fetch_url(rig.stream), "x");
    rig_stop(&rig);
}

static void stream_closes_with_requests_that_nobody_has_answered(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, "tcp://127.0.0.1:0");
    int fd = ask_too_much(&rig);
    rig_stop(&rig);
    assert_true(raw_hung_up(fd));
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_serves_nngs_own_sockets_over_tcp),
        cmocka_unit_test(stream_serves_nngs_own_sockets_over_ipc),
        cmocka_unit_test(stream_says_why_an_address_will_not_do),
        cmocka_unit_test(stream_answers_after_1000_strangers_have_vanished),
        cmocka_unit_test(stream_fetch_listens_anew_when_its_listener_has_died),
        cmocka_unit_test(stream_hangs_up_on_a_request_too_long),
        cmocka_unit_test(stream_refuses_a_connection_that_asks_too_much_at_once),
        cmocka_unit_test(stream_closes_with_requests_that_nobody_has_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
