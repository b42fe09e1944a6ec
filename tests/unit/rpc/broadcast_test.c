/* broadcast_test.c - what is sent reaches every subscriber that reads; the others lose
 * messages, whole ones, and harm nobody. */
#include "unit/rpc/echo.h"

#include "rpc/broadcast.h"

#define PUB 0x20
#define SUB 0x21

/* ---- A broadcast, and subscribers that are raw sockets ---- */

struct rig {
    struct broadcast *broadcast;
    char url[256];
};

static const struct broadcast_options usual = {
    .subscribers_max = 8,
    .backlog_messages = 1000,
    .backlog_bytes = 4 << 20,
    .send_timeout_ms = PATIENCE_MS,
};

static void rig_start(struct rig *rig, const char *url, struct broadcast_options options)
{
    assert_int_equal(broadcast_open(&rig->broadcast, &options), HF_OK);
    assert_int_equal(broadcast_listen(rig->broadcast, url, rig->url, sizeof rig->url), HF_OK);
}

static struct broadcast_stats rig_stats(const struct rig *rig)
{
    struct broadcast_stats stats;
    broadcast_stats(rig->broadcast, &stats);
    return stats;
}

static void await_subscribers(const struct rig *rig, uint64_t count)
{
    uint64_t until = patience_until();
    while (rig_stats(rig).subscribers != count) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

static int subscribe(const struct rig *rig)
{
    return raw_join(rig->url, SUB, PUB);
}

/* A message of `bytes` bytes: its number, then zeros. */
static void send_number(struct rig *rig, uint32_t number, size_t bytes)
{
    uint8_t *message = calloc(1, bytes);
    assert_non_null(message);
    memcpy(message, &number, sizeof number);
    broadcast_send(rig->broadcast, (struct bytes){message, bytes});
    free(message);
}

/* The next message's number. */
static uint32_t receive_number(int fd, bool ipc, size_t bytes)
{
    uint8_t head[9];
    const uint8_t expected[9] = {1,
                                 0,
                                 0,
                                 0,
                                 0,
                                 (uint8_t)(bytes >> 24),
                                 (uint8_t)(bytes >> 16),
                                 (uint8_t)(bytes >> 8),
                                 (uint8_t)bytes};
    size_t head_bytes = ipc ? 9 : 8;
    raw_receive(fd, head, head_bytes);
    assert_memory_equal(head, expected + 9 - head_bytes, head_bytes);
    uint8_t *message = malloc(bytes);
    assert_non_null(message);
    raw_receive(fd, message, bytes);
    uint32_t number;
    memcpy(&number, message, sizeof number);
    for (size_t i = sizeof number; i < bytes; i++) {
        assert_int_equal(message[i], 0);
    }
    free(message);
    return number;
}

/* A new subscriber gets what is sent as soon as it is counted. How many there are says nothing of
 * that while others come and go: one that has gone may be counted still, or be counted yet. */
static void assert_broadcasts(struct rig *rig, bool ipc)
{
    int fd = subscribe(rig);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    uint64_t until = patience_until();
    do {
        assert_true(now_ms() < until);
        send_number(rig, 4711, 100);
    } while (poll(&wait, 1, 5) == 0);
    assert_int_equal(receive_number(fd, ipc, 100), 4711);
    (void)close(fd);
}

/* ---- Publishing ---- */

static void check_all_get_all(const char *url, bool ipc)
{
    enum { SUBSCRIBERS = 3, MESSAGES = 500 };
    struct rig rig;
    int fds[SUBSCRIBERS];
    rig_start(&rig, url, usual);
    send_number(&rig, 0, 100); /* to nobody */
    for (int i = 0; i < SUBSCRIBERS; i++) {
        fds[i] = subscribe(&rig);
    }
    await_subscribers(&rig, SUBSCRIBERS);
    for (uint32_t n = 0; n < MESSAGES; n++) {
        send_number(&rig, n, 4 + n);
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        for (uint32_t n = 0; n < MESSAGES; n++) {
            assert_int_equal(receive_number(fds[i], ipc, 4 + n), n);
        }
        (void)close(fds[i]);
    }
    assert_int_equal(rig_stats(&rig).lost, 0);
    broadcast_close(rig.broadcast);
}

static void broadcast_sends_all_to_each_subscriber_over_tcp(void **state)
{
    (void)state;
    check_all_get_all("tcp://127.0.0.1:0", false);
}

static void broadcast_sends_all_to_each_subscriber_over_ipc(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    check_all_get_all(url, true);
    tempdir_remove(dir);
}

/* ---- Bounds ---- */

/* One subscriber reads each message as it comes and gets them all; one reads nothing for a while,
 * and has then lost some. What it got is whole, in order, and the first of it without a gap. */
static void check_backlog(struct broadcast_options options)
{
    enum { MESSAGES = 300, BYTES = 100000 }; /* more than a socket's buffers take */
    struct rig rig;
    rig_start(&rig, "tcp://127.0.0.1:0", options);
    int slow = subscribe(&rig);
    int fast = subscribe(&rig);
    await_subscribers(&rig, 2);
    for (uint32_t n = 0; n < MESSAGES; n++) {
        send_number(&rig, n, BYTES);
        assert_int_equal(receive_number(fast, false, BYTES), n);
    }
    uint64_t lost = rig_stats(&rig).lost;
    assert_true(lost > 0);
    assert_true(lost < MESSAGES);
    uint32_t got = 0;
    uint32_t last = 0;
    for (; got < MESSAGES - lost; got++) {
        uint32_t number = receive_number(slow, false, BYTES);
        assert_true(got == 0 ? number == 0 : number > last);
        last = number;
    }
    /* It reads again, and loses nothing any more. */
    send_number(&rig, MESSAGES, BYTES);
    assert_int_equal(receive_number(slow, false, BYTES), MESSAGES);
    assert_int_equal(rig_stats(&rig).lost, lost);
    assert_int_equal(rig_stats(&rig).disconnected, 0);
    (void)close(slow);
    (void)close(fast);
    broadcast_close(rig.broadcast);
}

static void broadcast_bounds_the_messages_that_wait_for_a_subscriber(void **state)
{
    (void)state;
    struct broadcast_options options = usual;
    options.backlog_messages = 8;
    options.backlog_bytes = 1 << 30;
    check_backlog(options);
}

static void broadcast_bounds_the_bytes_that_wait_for_a_subscriber(void **state)
{
    (void)state;
    struct broadcast_options options = usual;
    options.backlog_messages = 1000000;
    options.backlog_bytes = 1 << 20;
    check_backlog(options);
}

static void broadcast_bounds_what_all_backlogs_take(void **state)
{
    (void)state;
    struct broadcast_options options = usual;
    options.backlog_messages = 1000000;
    options.backlog_bytes = 1 << 30;
    options.memory_bytes_max = 2 << 20;
    check_backlog(options);
}

static void broadcast_drops_a_message_larger_than_a_backlog(void **state)
{
    (void)state;
    struct rig rig;
    struct broadcast_options options = usual;
    options.backlog_bytes = 1009; /* with the longest head */
    rig_start(&rig, "tcp://127.0.0.1:0", options);
    int fd = subscribe(&rig);
    await_subscribers(&rig, 1);
    send_number(&rig, 1, 1001);
    assert_int_equal(rig_stats(&rig).lost, 1);
    send_number(&rig, 2, 1000);
    assert_int_equal(receive_number(fd, false, 1000), 2);
    assert_int_equal(rig_stats(&rig).lost, 1);
    (void)close(fd);
    broadcast_close(rig.broadcast);
}

/* What is being written counts as what waits: the first message is more than goes on the way. */
static void broadcast_counts_what_is_being_written(void **state)
{
    (void)state;
    struct rig rig;
    struct broadcast_options options = usual;
    options.backlog_bytes = 64 << 20;
    rig_start(&rig, "tcp://127.0.0.1:0", options);
    int fd = subscribe(&rig);
    await_subscribers(&rig, 1);
    send_number(&rig, 1, 50 << 20);
    send_number(&rig, 2, 10 << 20);
    assert_int_equal(rig_stats(&rig).lost, 0);
    send_number(&rig, 3, 5 << 20);
    assert_int_equal(rig_stats(&rig).lost, 1);
    send_number(&rig, 4, 1 << 20);
    assert_int_equal(receive_number(fd, false, 50 << 20), 1);
    assert_int_equal(receive_number(fd, false, 10 << 20), 2);
    assert_int_equal(receive_number(fd, false, 1 << 20), 4);
    (void)close(fd);
    broadcast_close(rig.broadcast);
}

static void broadcast_sends_nothing_before_the_handshake(void **state)
{
    (void)state;
    struct rig rig;
    uint8_t greeting[8];
    rig_start(&rig, "tcp://127.0.0.1:0", usual);
    int silent = raw_dial(rig.url);
    raw_receive(silent, greeting, sizeof greeting); /* it is in the list */
    int fd = subscribe(&rig);
    await_subscribers(&rig, 1);
    for (uint32_t n = 0; n < 10; n++) {
        send_number(&rig, n, 100);
        assert_int_equal(receive_number(fd, false, 100), n);
    }
    assert_int_equal(recv(silent, greeting, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    (void)close(silent);
    (void)close(fd);
    broadcast_close(rig.broadcast);
}

static void broadcast_refuses_subscribers_beyond_its_most(void **state)
{
    (void)state;
    struct rig rig;
    struct broadcast_options options = usual;
    options.subscribers_max = 2;
    rig_start(&rig, "tcp://127.0.0.1:0", options);
    int first = subscribe(&rig);
    int second = subscribe(&rig);
    await_subscribers(&rig, 2);
    int third = raw_dial(rig.url);
    assert_true(raw_hung_up(third));
    (void)close(third);
    send_number(&rig, 1, 100);
    assert_int_equal(receive_number(first, false, 100), 1);
    assert_int_equal(receive_number(second, false, 100), 1);
    (void)close(first);
    await_subscribers(&rig, 1);
    assert_broadcasts(&rig, false);
    (void)close(second);
    broadcast_close(rig.broadcast);
}

/* ---- Hostile subscribers ---- */

static void broadcast_disconnects_a_subscriber_that_takes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct broadcast_options options = usual;
    options.send_timeout_ms = 200;
    rig_start(&rig, "tcp://127.0.0.1:0", options);
    int fd = subscribe(&rig);
    await_subscribers(&rig, 1);
    /* What is sent faster than it leaves is lost, so some few messages may all fit on the way. */
    uint64_t until = patience_until();
    for (uint32_t n = 0; rig_stats(&rig).disconnected == 0; n++) {
        assert_true(now_ms() < until);
        send_number(&rig, n, 100000);
        sleep_ms(1);
    }
    await_subscribers(&rig, 0);
    assert_int_equal(rig_stats(&rig).disconnected, 1);
    (void)close(fd);
    assert_broadcasts(&rig, false);
    broadcast_close(rig.broadcast);
}

static void broadcast_hangs_up_on_a_subscriber_that_speaks(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, "tcp://127.0.0.1:0", usual);
    int fd = subscribe(&rig);
    await_subscribers(&rig, 1);
    raw_send(fd, "x", 1);
    assert_true(raw_hung_up(fd));
    (void)close(fd);
    fd = raw_dial(rig.url); /* at once with the handshake */
    static const uint8_t both[9] = {0, 'S', 'P', 0, 0, SUB, 0, 0, 7};
    uint8_t got[8];
    raw_send(fd, both, sizeof both);
    raw_receive(fd, got, sizeof got);
    assert_true(raw_hung_up(fd));
    (void)close(fd);
    fd = raw_dial(rig.url); /* a REQ socket is not a subscriber */
    raw_handshake_as(fd, 0x30, PUB);
    assert_true(raw_hung_up(fd));
    (void)close(fd);
    await_subscribers(&rig, 0);
    assert_broadcasts(&rig, false);
    broadcast_close(rig.broadcast);
}

static void broadcast_survives_1000_clients_that_vanish(void **state)
{
    (void)state;
    struct rig rig;
    struct broadcast_options options = usual;
    options.subscribers_max = STREAM_SUBSCRIBERS_MAX;
    rig_start(&rig, "tcp://127.0.0.1:0", options);
    int half = raw_dial(rig.url); /* half a handshake, and stays */
    raw_send(half, "\0SP", 3);
    int steady = subscribe(&rig);
    await_subscribers(&rig, 1);
    for (uint32_t round = 0; round < 20; round++) {
        raw_vanish(rig.url, SUB, PUB, 50);
        send_number(&rig, round, 100);
        assert_int_equal(receive_number(steady, false, 100), round);
    }
    assert_int_equal(rig_stats(&rig).relistens, 0);
    assert_broadcasts(&rig, false);
    await_subscribers(&rig, 1);
    (void)close(steady);
    (void)close(half);
    broadcast_close(rig.broadcast);
}

/* nng 1.5.2's ipc listener stops handing over connections here: the watchdog's case. */
static void broadcast_listens_again_when_a_listener_has_died(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    struct rig rig;
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    rig_start(&rig, url, usual);
    for (int i = 0; i < 3; i++) {
        int fd = raw_dial(url);
        raw_send(fd, "\0SP", 3);
        raw_close(fd, true);
    }
    assert_broadcasts(&rig,
                      true); /* at once with a sound nng, else when the watchdog has seen it */
    broadcast_close(rig.broadcast);
    tempdir_remove(dir);
}

struct sending {
    struct rig *rig;
    atomic_bool stop;
};

static void *send_on(void *arg)
{
    struct sending *sending = arg;
    while (!atomic_load(&sending->stop)) {
        send_number(sending->rig, 1, 1000);
    }
    return NULL;
}

static void broadcast_sends_while_subscribers_come_and_go(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, "tcp://127.0.0.1:0", usual);
    struct sending sending = {.rig = &rig};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_on, &sending), 0);
    for (int i = 0; i < 100; i++) {
        int fd = subscribe(&rig);
        for (int n = 0; n < i % 5; n++) {
            assert_int_equal(receive_number(fd, false, 1000), 1);
        }
        raw_close(fd, i % 2 == 0);
        await_subscribers(&rig, 0);
    }
    int last = subscribe(&rig); /* it is closed with messages on their way to it */
    assert_int_equal(receive_number(last, false, 1000), 1);
    atomic_store(&sending.stop, true);
    pthread_join(thread, NULL);
    broadcast_close(rig.broadcast);
    (void)close(last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broadcast_sends_all_to_each_subscriber_over_tcp),
        cmocka_unit_test(broadcast_sends_all_to_each_subscriber_over_ipc),
        cmocka_unit_test(broadcast_bounds_the_messages_that_wait_for_a_subscriber),
        cmocka_unit_test(broadcast_bounds_the_bytes_that_wait_for_a_subscriber),
        cmocka_unit_test(broadcast_bounds_what_all_backlogs_take),
        cmocka_unit_test(broadcast_drops_a_message_larger_than_a_backlog),
        cmocka_unit_test(broadcast_counts_what_is_being_written),
        cmocka_unit_test(broadcast_sends_nothing_before_the_handshake),
        cmocka_unit_test(broadcast_refuses_subscribers_beyond_its_most),
        cmocka_unit_test(broadcast_disconnects_a_subscriber_that_takes_nothing),
        cmocka_unit_test(broadcast_hangs_up_on_a_subscriber_that_speaks),
        cmocka_unit_test(broadcast_survives_1000_clients_that_vanish),
        cmocka_unit_test(broadcast_listens_again_when_a_listener_has_died),
        cmocka_unit_test(broadcast_sends_while_subscribers_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
