/* time_test.c - what the transport does when time has passed: peers that do not greet, messages
 * that come in for ever, dials ever less often. Here time passes when the test sets the
 * transport's clock forward. What may take real time as well is asserted only where too
 * little has passed for certain. */
#include "unit/rpc/echo.h"

#include <string.h>

extern atomic_uint_fast64_t timing_shift_ms;

static void let_pass(unsigned ms)
{
    atomic_fetch_add(&timing_shift_ms, ms);
}

#define GREETING_MS     10000u /* link.h's */
#define LONG_MESSAGE_MS 60000u /* watchdog.c's */
#define LOOK_MS         250u   /* whoever looks after it has looked by then, or will not */

/* Nothing comes for a moment, and nobody hangs up. */
static void assert_quiet(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, LOOK_MS), 0);
}

static void client_gives_a_peer_up_that_does_not_greet_in_time(void **state)
{
    (void)state;
    char url[64];
    char reason[256];
    char text[TRANSPORT_REASON_BYTES];
    uint8_t greeting[8];
    struct result result;
    int listening = raw_listen(url);
    uint64_t start = now_ms();
    struct transport_client *client = client_of(url);
    assert_int_equal(result_start(&result, client, bytes_of("x"), 10 * PATIENCE_MS), HF_OK);
    struct pollfd wait = {.fd = listening, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, (int)patience_ms()), 1);
    int silent = accept(listening, NULL, NULL);
    struct timeval patience = {patience_ms() / 1000, 0};
    (void)setsockopt(silent, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    raw_receive(silent, greeting, sizeof greeting);
    raw_send(silent, "\0SP", 3); /* and no more */
    let_pass(GREETING_MS / 2);
    if (now_ms() - start < GREETING_MS / 4) {
        assert_quiet(silent);
    }
    let_pass(GREETING_MS / 2);
    assert_true(raw_hung_up(silent));
    (void)snprintf(reason, sizeof reason, "%s takes connections, but does not answer", url);
    transport_client_reason(client, text);
    assert_string_equal(text, reason);
    assert_int_equal(atomic_load(&result.times), 0);
    int fd = raw_accept(listening);
    uint8_t message[13];
    raw_receive(fd, message, sizeof message);
    raw_send(fd, message, sizeof message);
    result_wait(&result);
    assert_int_equal(result.status, HF_OK);
    let_pass(2 * GREETING_MS); /* one that has greeted stays */
    assert_quiet(fd);
    transport_client_close(client);
    (void)close(fd);
    (void)close(silent);
    (void)close(listening);
}

static void server_drops_a_client_that_does_not_greet_in_time(void **state)
{
    (void)state;
    struct echo echo;
    uint8_t greeting[8];
    uint64_t start = now_ms();
    echo_start(&echo, "tcp://127.0.0.1:0");
    int fd = raw_dial(echo.url);
    int sound = raw_dial(echo.url);
    raw_handshake(sound);
    uint64_t until = patience_until();
    while (echo_stats(&echo).connections == 0) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    raw_receive(fd, greeting, sizeof greeting);
    raw_send(fd, "\0SP", 3);
    let_pass(GREETING_MS / 2);
    if (now_ms() - start < GREETING_MS / 4) {
        assert_quiet(fd);
    }
    let_pass(GREETING_MS / 2);
    assert_true(raw_hung_up(fd));
    assert_quiet(sound);
    assert_int_equal(echo_stats(&echo).disconnected, 0); /* it was never one of the clients */
    assert_int_equal(echo_stats(&echo).connections, 1);
    (void)close(fd);
    (void)close(sound);
    echo_stop(&echo);
}

static void server_cuts_a_message_off_that_comes_in_for_ever(void **state)
{
    (void)state;
    struct echo echo;
    uint8_t head[12];
    uint64_t start = now_ms();
    echo_start_with(&echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){.contexts = 4,
                                                      .send_timeout_ms = PATIENCE_MS,
                                                      .message_bytes_max = 1 << 20});
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    raw_head(head, 500000);
    raw_send(fd, head, sizeof head);
    let_pass(LONG_MESSAGE_MS / 2);
    raw_send(fd, "some", 4);
    if (now_ms() - start < LONG_MESSAGE_MS / 4) {
        assert_quiet(fd);
    }
    assert_int_equal(echo_stats(&echo).disconnected, 0);
    let_pass(LONG_MESSAGE_MS);
    assert_true(raw_hung_up(fd));
    uint64_t until = patience_until();
    while (echo_stats(&echo).disconnected == 0) { /* it is counted after it was shut */
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    (void)close(fd);
    assert_serves(echo.url);
    echo_stop(&echo);
}

/* A write has its own time, however long the connection has been there. */
static void server_gives_each_write_its_time(void **state)
{
    (void)state;
    const unsigned send_timeout_ms = 60000;
    enum { REPLY = 32 << 20 }; /* more than the sockets hold */
    struct echo echo;
    uint8_t head[12];
    uint8_t *got = malloc(REPLY + 12);
    echo_start_with(
        &echo, "tcp://127.0.0.1:0",
        (struct transport_server_options){.contexts = 4, .send_timeout_ms = (int)send_timeout_ms});
    echo.zeros = calloc(1, REPLY);
    assert_non_null(echo.zeros);
    assert_non_null(got);
    int fd = raw_dial(echo.url);
    int small = 65536; /* or the kernel may come to take the whole reply */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    raw_handshake(fd);
    raw_head(head, 0);
    raw_send(fd, head, sizeof head);
    raw_receive(fd, got, 12);
    let_pass(2 * send_timeout_ms);
    echo.reply_bytes = REPLY;
    uint64_t start = now_ms();
    raw_send(fd, head, sizeof head);
    sleep_ms(LOOK_MS);
    if (now_ms() - start < send_timeout_ms / 2) {
        assert_int_equal(echo_stats(&echo).disconnected, 0);
        raw_receive(fd, got, REPLY + 12);
    }
    raw_send(fd, head, sizeof head);
    uint64_t until = patience_until();
    struct pollfd begins = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&begins, 1, (int)patience_ms()), 1); /* the write has begun */
    while (echo_stats(&echo).disconnected == 0) {
        /* This one's is over. What fits the kernel's buffers goes out in pieces, each of which
         * begins anew, so the clock is set forward again for one that began just now. */
        let_pass(send_timeout_ms);
        assert_true(now_ms() < until);
        sleep_ms(LOOK_MS);
    }
    (void)close(fd);
    free(got);
    echo_stop(&echo);
}

/* Accepts what is there, and hangs up; how many there were. */
static unsigned turn_away(int listening, int wait_ms)
{
    unsigned count = 0;
    struct pollfd wait = {.fd = listening, .events = POLLIN};
    while (poll(&wait, 1, count == 0 ? wait_ms : 0) == 1) {
        int fd = accept(listening, NULL, NULL);
        assert_true(fd >= 0);
        (void)close(fd);
        count++;
    }
    return count;
}

/* 10 ms, 20, 40 and so on, up to a second; and however many times that was, again after a second.
 */
static void client_dials_ever_less_often_up_to_each_second(void **state)
{
    (void)state;
    char url[64];
    int listening = raw_listen(url);
    uint64_t start = now_ms();
    struct transport_client *client = client_of(url);
    unsigned dials = 0;
    while (now_ms() - start < 300) {
        dials += turn_away(listening, 10);
    }
    uint64_t took_ms = now_ms() - start;
    unsigned most = 1;
    for (uint64_t at_ms = 10, pause_ms = 20; at_ms <= took_ms; at_ms += pause_ms, pause_ms *= 2) {
        most++;
    }
    assert_in_range(dials, 1, most);
    for (unsigned i = 0; i < 10; i++) {
        sleep_ms(20); /* it has noticed that it was hung up on, or takes a real second */
        let_pass(1000);
        assert_true(turn_away(listening, (int)patience_ms()) > 0);
    }
    transport_client_close(client);
    (void)close(listening);
}

/* Without any call, and again when the server has gone and come back. */
static void client_that_is_idle_connects_by_itself(void **state)
{
    (void)state;
    char url[64];
    (void)close(raw_listen(url));
    struct transport_client *client = client_of(url);
    struct echo echo;
    sleep_ms(30);
    echo_start(&echo, url);
    wait_connected(client, 1);
    echo_stop(&echo);
    echo_start(&echo, url);
    let_pass(1000);
    wait_connected(client, 2);
    assert_int_equal(ask_text(client, "x", PATIENCE_MS), HF_OK);
    transport_client_close(client);
    echo_stop(&echo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_gives_a_peer_up_that_does_not_greet_in_time),
        cmocka_unit_test(server_drops_a_client_that_does_not_greet_in_time),
        cmocka_unit_test(server_cuts_a_message_off_that_comes_in_for_ever),
        cmocka_unit_test(server_gives_each_write_its_time),
        cmocka_unit_test(client_dials_ever_less_often_up_to_each_second),
        cmocka_unit_test(client_that_is_idle_connects_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
