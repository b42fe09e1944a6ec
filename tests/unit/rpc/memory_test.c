/* memory_test.c - a server's memory is charged for what has come in, and when it is short the
 * greatest and slowest holder goes. */
#include "unit/rpc/echo.h"

#include "rpc/exchange.h"

extern atomic_uint_fast64_t timing_shift_ms;

#define ONE_MIB ((size_t)1 << 20)

static void let_pass(unsigned ms)
{
    atomic_fetch_add(&timing_shift_ms, ms);
}

static void raw_send_zeros(int fd, size_t len)
{
    static const uint8_t zeros[4096];
    while (len > 0) {
        size_t some = len < sizeof zeros ? len : sizeof zeros;
        ssize_t n = send(fd, zeros, some, MSG_NOSIGNAL);
        if (n <= 0) {
            return; /* it hung up */
        }
        len -= (size_t)n;
    }
}

static void server_bounds_what_all_unread_replies_take(void **state)
{
    (void)state;
    struct echo echo;
    echo_start_with(&echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){.contexts = 64,
                                                      .send_timeout_ms = PATIENCE_MS,
                                                      .memory_bytes_max = 8 << 20});
    echo.reply_bytes = 1 << 20; /* 16 of them: less than any one connection may have */
    echo.zeros = calloc(1, echo.reply_bytes);
    assert_non_null(echo.zeros);
    uint8_t message[12];
    raw_head(message, 0);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = raw_dial(echo.url);
        raw_handshake(fds[i]);
        for (int k = 0; k < 16; k++) {
            (void)send(fds[i], message, sizeof message, MSG_NOSIGNAL);
        }
    }
    uint64_t until = patience_until();
    while (echo_stats(&echo).disconnected < 2) {
        assert_true(now_ms() < until);
        sleep_ms(5);
    }
    for (int i = 0; i < 4; i++) {
        (void)close(fds[i]);
    }
    echo.reply_bytes = 0;
    assert_serves(echo.url);
    echo_stop(&echo);
}

static void memory_start(struct echo *echo, uint64_t bytes)
{
    echo_start_with(echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){.contexts = 64,
                                                      .send_timeout_ms = 10 * PATIENCE_MS,
                                                      .message_bytes_max = 64 * ONE_MIB,
                                                      .memory_bytes_max = bytes});
    echo->zeros = calloc(1, 16);
    assert_non_null(echo->zeros);
    echo->reply_bytes = 16;
}

/* A whole message is sent and answered. */
static void ask_long(int fd, size_t body_bytes)
{
    uint8_t head[12];
    uint8_t got[12 + 16];
    raw_head(head, body_bytes);
    raw_send(fd, head, sizeof head);
    raw_send_zeros(fd, body_bytes);
    raw_receive(fd, got, sizeof got);
    assert_memory_equal(got + 8, head + 8, 4); /* its id */
}

/* Announces a message, and sends some of it. */
static int announce(const char *url, size_t body_bytes, size_t sent)
{
    uint8_t head[12];
    int fd = raw_dial(url);
    raw_handshake(fd);
    raw_head(head, body_bytes);
    raw_send(fd, head, sizeof head);
    raw_send_zeros(fd, sent);
    return fd;
}

static void what_is_only_announced_costs_nothing(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct echo echo;
    int fds[COUNT];
    memory_start(&echo, ONE_MIB);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = announce(echo.url, 60 * ONE_MIB, 200);
    }
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    for (int i = 0; i < 10; i++) {
        ask_long(fd, 200000);
    }
    assert_int_equal(echo_stats(&echo).disconnected, 0);
    for (int i = 0; i < COUNT; i++) {
        (void)close(fds[i]);
    }
    (void)close(fd);
    echo_stop(&echo);
}

/* The old one holds half a MiB for long, the newcomer needs two at once. */
static void who_holds_for_longest_goes_and_not_the_newcomer(void **state)
{
    (void)state;
    struct echo echo;
    memory_start(&echo, 3 * ONE_MIB);
    int old = announce(echo.url, 2000000, 300000);
    struct pollfd gone = {.fd = old, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, 200), 0); /* what it sent has come in by now */
    let_pass(50000);                          /* less than a message may take */
    int newcomer = raw_dial(echo.url);
    raw_handshake(newcomer);
    ask_long(newcomer, 2000000);
    assert_true(raw_hung_up(old));
    assert_int_equal(echo_stats(&echo).disconnected, 1);
    ask_long(newcomer, 2000000);
    (void)close(old);
    (void)close(newcomer);
    echo_stop(&echo);
}

/* What a connection kept to write from is returned while it is quiet. */
static void quiet_connections_return_their_memory(void **state)
{
    (void)state;
    enum { REPLY = 200000 };
    struct echo echo;
    uint8_t head[12];
    uint8_t *got = malloc(REPLY + 12);
    assert_non_null(got);
    memory_start(&echo, 64 * ONE_MIB);
    free(echo.zeros);
    echo.zeros = calloc(1, REPLY);
    assert_non_null(echo.zeros);
    echo.reply_bytes = REPLY;
    const struct budget *budget = &echo.server->acceptor.connections.budget;
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    raw_head(head, 0);
    uint64_t until = patience_until();
    for (int i = 0; i < 2; i++) { /* and again: it is taken anew */
        raw_send(fd, head, sizeof head);
        raw_receive(fd, got, REPLY + 12);
        do {
            let_pass(2000);
            sleep_ms(5);
            assert_true(now_ms() < until);
        } while (atomic_load(&budget->used) > 70000);
    }
    assert_int_equal(echo_stats(&echo).disconnected, 0);
    (void)close(fd);
    free(got);
    echo_stop(&echo);
}

static void short_messages_are_served_while_long_ones_fight(void **state)
{
    (void)state;
    enum { COUNT = 12 };
    struct echo echo;
    int fds[COUNT];
    memory_start(&echo, 2 * ONE_MIB);
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = announce(echo.url, 4 * ONE_MIB, ONE_MIB);
        for (int k = 0; k < 3; k++) {
            ask_long(fd, 1000);
        }
    }
    assert_true(echo_stats(&echo).disconnected > 0);
    for (int i = 0; i < COUNT; i++) {
        (void)close(fds[i]);
    }
    (void)close(fd);
    echo_stop(&echo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_bounds_what_all_unread_replies_take),
        cmocka_unit_test(what_is_only_announced_costs_nothing),
        cmocka_unit_test(who_holds_for_longest_goes_and_not_the_newcomer),
        cmocka_unit_test(quiet_connections_return_their_memory),
        cmocka_unit_test(short_messages_are_served_while_long_ones_fight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
