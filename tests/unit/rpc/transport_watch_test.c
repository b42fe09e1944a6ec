/* transport_watch_test.c - listeners and dialers that nng lets die are brought back; live ones are
 * left alone. */
#include "unit/rpc/echo.h"

extern atomic_uint_fast64_t timing_shift_ms;

/* A TCP socket of this process that is bound to the server's port: the one that listens, or one
 * that was accepted. -1: none. */
static int server_socket(const char *url, bool listens)
{
    for (int fd = 0; fd < 256; fd++) {
        struct sockaddr_in address = {0};
        socklen_t len = sizeof address;
        int listening = 0;
        socklen_t bytes = sizeof listening;
        if (getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
            address.sin_family == AF_INET &&
            ntohs(address.sin_port) == atoi(strrchr(url, ':') + 1) &&
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 &&
            (listening != 0) == listens) {
            return fd;
        }
    }
    return -1;
}

static int receive_bytes(int fd)
{
    int bytes = 0;
    socklen_t len = sizeof bytes;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len), 0);
    return bytes;
}

/* What a client has sent and nobody has read waits where its age is known, not in the kernel. */
static void listener_bounds_what_waits_in_the_kernel(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    int plain = socket(AF_INET, SOCK_STREAM, 0);
    int asked = 262144;
    assert_true(plain >= 0);
    assert_int_equal(setsockopt(plain, SOL_SOCKET, SO_RCVBUF, &asked, sizeof asked), 0);
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    int accepted = server_socket(echo.url, false);
    assert_true(accepted >= 0);
    assert_int_equal(receive_bytes(server_socket(echo.url, true)), receive_bytes(plain));
    assert_int_equal(receive_bytes(accepted), receive_bytes(plain));
    (void)close(fd);
    (void)close(plain);
    echo_stop(&echo);
}

static void wait_relistened(const struct echo *echo)
{
    uint64_t until = patience_until();
    while (echo_stats(echo).relistens == 0) {
        assert_true(now_ms() < until);
        sleep_ms(5);
    }
}

static void listener_comes_back_when_its_socket_is_gone(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    assert_int_equal(shutdown(server_socket(echo.url, true), SHUT_RDWR), 0);
    wait_relistened(&echo);
    assert_serves(echo.url);
    echo_stop(&echo);
}

static void listener_comes_back_when_its_path_is_gone(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    struct echo echo;
    echo_start(&echo, url);
    assert_int_equal(unlink(url + 6), 0);
    wait_relistened(&echo);
    assert_serves(url);
    echo_stop(&echo);
    tempdir_remove(dir);
}

/* Another program's socket at the path is not taken away from it. */
static void listener_leaves_another_socket_at_its_path_alone(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    struct echo echo;
    echo_start(&echo, url);
    assert_int_equal(unlink(url + 6), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    set_path(&address, url);
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(other, (struct sockaddr *)&address, sizeof address) == 0 && listen(other, 8) == 0) {
        sleep_ms(2200); /* two looks */
        assert_int_equal(echo_stats(&echo).relistens, 0);
        int fd = raw_dial(url);
        struct pollfd came = {.fd = other, .events = POLLIN};
        assert_int_equal(poll(&came, 1, (int)patience_ms()), 1);
        (void)close(fd);
    } /* else the watchdog was quicker: it saw the path without a socket */
    (void)close(other);
    echo_stop(&echo);
    tempdir_remove(dir);
}

/* All of nng's threads are in handlers: nobody accepts for a while. The listener stays. */
static void listener_that_is_slow_is_left_alone(void **state)
{
    (void)state;
    enum { CLIENTS = 32 };
    struct echo echo;
    int fds[CLIENTS];
    uint8_t head[12];
    echo_start(&echo, "tcp://127.0.0.1:0");
    echo.delay_ms = 1500;
    raw_head(head, 0);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = raw_join(echo.url, 0x30, 0x31);
    }
    for (int i = 0; i < CLIENTS; i++) {
        raw_send(fds[i], head, sizeof head);
    }
    for (int i = 0; i < 14; i++) {
        sleep_ms(100);
        atomic_fetch_add(&timing_shift_ms, 1000); /* looks, and time for them to fail */
    }
    echo.delay_ms = 0;
    assert_int_equal(echo_stats(&echo).relistens, 0);
    assert_serves(echo.url);
    assert_int_equal(echo_stats(&echo).relistens, 0);
    for (int i = 0; i < CLIENTS; i++) {
        (void)close(fds[i]);
    }
    echo_stop(&echo);
}

/* nng 1.5.2's ipc listener stops handing over connections here: the watchdog's case. */
static void transport_listens_anew_when_a_listener_has_died(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    struct echo echo;
    echo_start(&echo, url);
    for (int i = 0; i < 3; i++) {
        int fd = raw_dial(url);
        raw_send(fd, "\0SP", 3);
        raw_close(fd, true);
    }
    assert_serves(url); /* at once with a sound nng, else when the watchdog has seen it */
    print_message("listened anew %llu times\n", (unsigned long long)echo_stats(&echo).relistens);
    assert_serves(url);
    echo_stop(&echo);
    tempdir_remove(dir);
}

static void transport_watchdog_leaves_a_live_listener_alone(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://0.0.0.0:0");
    struct transport_client *client;
    char url[256];
    (void)snprintf(url, sizeof url, "tcp://127.0.0.1%s", strrchr(echo.url, ':'));
    client = client_of(url);
    assert_int_equal(ask_text(client, "one", PATIENCE_MS), HF_OK);
    sleep_ms(1300); /* at least one probe */
    assert_int_equal(ask_text(client, "two", PATIENCE_MS), HF_OK);
    struct transport_server_stats stats = echo_stats(&echo);
    assert_int_equal(stats.relistens, 0);
    assert_int_equal(stats.connections_total, 1); /* probes are not counted */
    assert_int_equal(transport_client_connections(client), 1);
    transport_client_close(client);
    echo_stop(&echo);
}

/* A server that goes, then accepts and hangs up for a while, before the real one is there. */
static void check_flapping(const char *url, int listening, int times)
{
    struct transport_client *client = client_of(url);
    struct result result;
    int first = raw_accept(listening);
    wait_connected(client, 1);
    (void)close(first);
    assert_int_equal(result_start(&result, client, bytes_of("x"), PATIENCE_MS), HF_OK);
    for (int i = 0; i < times; i++) {
        int fd = accept(listening, NULL, NULL);
        assert_true(fd >= 0);
        if (i % 3 == 1) {
            raw_send(fd, "\0SP", 3);
        } else if (i % 3 == 2) {
            raw_send(fd, "HTTP/1.0 400\r\n", 14);
        }
        raw_close(fd, i % 2 == 0);
    }
    (void)close(listening);
    struct echo echo;
    echo_start(&echo, url);
    result_wait(&result);
    assert_int_equal(result.status, HF_OK);
    transport_client_close(client);
    echo_stop(&echo);
}

static void transport_client_survives_servers_that_hang_up(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char url[256];
    (void)snprintf(url, sizeof url, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    check_flapping(url, fd, 6);

    char *dir = tempdir_make();
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    set_path(&local, url);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof local), 0);
    assert_int_equal(listen(fd, 8), 0);
    check_flapping(url, fd, 1);
    tempdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listener_bounds_what_waits_in_the_kernel),
        cmocka_unit_test(listener_comes_back_when_its_socket_is_gone),
        cmocka_unit_test(listener_comes_back_when_its_path_is_gone),
        cmocka_unit_test(listener_leaves_another_socket_at_its_path_alone),
        cmocka_unit_test(listener_that_is_slow_is_left_alone),
        cmocka_unit_test(transport_listens_anew_when_a_listener_has_died),
        cmocka_unit_test(transport_watchdog_leaves_a_live_listener_alone),
        cmocka_unit_test(transport_client_survives_servers_that_hang_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
