/* transport_test.c - exchanges over tcp and ipc, hostile clients, and the client's ways to end. */
#include "unit/rpc/echo.h"

#include <netinet/tcp.h>

/* ---- Exchanges ---- */

static void check_echo(const char *listen_url)
{
    struct echo echo;
    echo_start_with(&echo, listen_url,
                    (struct transport_server_options){
                        .contexts = 64, .per_connection = 64, .send_timeout_ms = 500});
    struct transport_client *client = client_of(echo.url);
    enum { IN_FLIGHT = 64, ROUNDS = 20 };
    struct result *results = calloc(IN_FLIGHT, sizeof *results);
    assert_non_null(results);
    char texts[IN_FLIGHT][32];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
            (void)snprintf(texts[i], sizeof texts[i], "%u of %u", i, round);
            assert_int_equal(result_start(&results[i], client, bytes_of(texts[i]), PATIENCE_MS),
                             HF_OK);
        }
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
            result_wait(&results[i]);
            assert_int_equal(results[i].status, HF_OK);
            assert_string_equal(results[i].reply, texts[i]);
        }
    }
    free(results);
    assert_true(transport_client_connected(client));
    assert_int_equal(transport_client_connections(client), 1);
    assert_int_equal(ask_text(client, "", PATIENCE_MS), HF_OK);
    struct transport_server_stats stats = echo_stats(&echo);
    assert_int_equal(stats.connections, 1);
    assert_int_equal(stats.requests, IN_FLIGHT * ROUNDS + 1);
    assert_int_equal(stats.disconnected, 0);
    transport_client_close(client);
    echo_stop(&echo);
}

static void transport_echoes_64_in_flight_over_tcp(void **state)
{
    (void)state;
    check_echo("tcp://127.0.0.1:0");
}

static void transport_echoes_64_in_flight_over_ipc(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    check_echo(url);
    tempdir_remove(dir);
}

static void transport_answers_later_and_from_another_thread(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    atomic_store(&echo.holding, true);
    struct transport_client *client = client_of(echo.url);
    struct result results[8];
    for (int i = 0; i < 8; i++) {
        assert_int_equal(result_start(&results[i], client, bytes_of("later"), PATIENCE_MS), HF_OK);
    }
    while (atomic_load(&echo.handled) < 8) {
        sleep_ms(1);
    }
    sleep_ms(20);
    assert_int_equal(atomic_load(&results[0].times), 0);
    echo_answer_held(&echo);
    for (int i = 0; i < 8; i++) {
        result_wait(&results[i]);
        assert_int_equal(results[i].status, HF_OK);
    }
    transport_client_close(client);
    echo_stop(&echo);
}

static void transport_reports_bad_and_taken_addresses(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    assert_true(strncmp(echo.url, "tcp://127.0.0.1:", 16) == 0);
    assert_true(atoi(echo.url + 16) > 0);
    char url[256];
    struct transport_server *server = echo.server;
    assert_int_equal(transport_server_listen(server, echo.url, url, sizeof url), HF_UNREACHABLE);
    assert_int_equal(transport_server_listen(server, "http://127.0.0.1:0", url, sizeof url),
                     HF_INVALID);
    assert_int_equal(transport_server_listen(server, "", url, sizeof url), HF_INVALID);
    assert_int_equal(transport_server_listen(server, "ipc://", url, sizeof url), HF_INVALID);
    assert_int_not_equal(transport_server_listen(server, "tcp://127.0.0.1:99999", url, sizeof url),
                         HF_OK);
    char path[200];
    memset(path, 'x', sizeof path);
    memcpy(path, "ipc:///", 7);
    path[sizeof path - 1] = 0;
    assert_int_equal(transport_server_listen(server, path, url, sizeof url), HF_INVALID);
    struct transport_client *client;
    assert_int_equal(transport_client_open(&client, "nonsense", 1), HF_INVALID);
    assert_serves(echo.url);
    echo_stop(&echo);
}

static void transport_removes_a_stale_ipc_socket_and_no_live_one(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    set_path(&address, url);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd); /* nobody listens: as after kill -9 */

    struct echo echo;
    echo_start(&echo, url);
    assert_serves(url);
    char other[256];
    assert_int_equal(transport_server_listen(echo.server, url, other, sizeof other),
                     HF_UNREACHABLE);
    assert_serves(url);
    echo_stop(&echo);
    tempdir_remove(dir);
}

/* ---- Hostile clients ---- */

static void transport_closes_only_the_connection_of_a_message_too_large(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    struct transport_client *client = client_of(echo.url);
    assert_int_equal(ask_text(client, "before", PATIENCE_MS), HF_OK);

    uint8_t head[12];
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    raw_head(head, MESSAGE_BYTES - 4); /* as long as may be */
    raw_send(fd, head, sizeof head);
    uint8_t *body = calloc(1, MESSAGE_BYTES);
    assert_non_null(body);
    raw_send(fd, body, MESSAGE_BYTES - 4);
    uint8_t got[12];
    raw_receive(fd, got, sizeof got);
    assert_memory_equal(got, head, sizeof head);
    size_t left = MESSAGE_BYTES - 4;
    while (left > 0) {
        ssize_t n = recv(fd, body, left, 0);
        assert_true(n > 0);
        left -= (size_t)n;
    }
    raw_head(head, MESSAGE_BYTES - 3); /* one more */
    raw_send(fd, head, sizeof head);
    assert_true(raw_hung_up(fd));
    (void)close(fd);

    fd = raw_dial(echo.url);
    raw_handshake(fd);
    raw_head(head, UINT64_MAX - 4);
    raw_send(fd, head, sizeof head);
    assert_true(raw_hung_up(fd));
    (void)close(fd);
    free(body);

    assert_int_equal(ask_text(client, "after", PATIENCE_MS), HF_OK);
    assert_int_equal(transport_client_connections(client), 1);
    transport_client_close(client);
    echo_stop(&echo);
}

static void transport_survives_clients_that_vanish_over_tcp(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    int silent = raw_dial(echo.url); /* says nothing, and stays */
    raw_vanish(echo.url, 0x30, 0x31, 30);
    assert_serves(echo.url);
    uint64_t until = patience_until();
    while (echo_stats(&echo).connections > 0) {
        assert_true(now_ms() < until);
        sleep_ms(5);
    }
    (void)close(silent);
    echo_stop(&echo);
}

static void transport_cuts_off_a_client_that_never_reads(void **state)
{
    (void)state;
    struct echo echo;
    echo_start_with(&echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){.contexts = 16, .send_timeout_ms = 200});
    echo.reply_bytes = 4 << 20; /* more than a socket's buffers take */
    echo.zeros = calloc(1, echo.reply_bytes);
    assert_non_null(echo.zeros);
    uint8_t message[12];
    raw_head(message, 0);
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    for (int i = 0; i < 6; i++) {
        raw_send(fd, message, sizeof message);
    }
    uint64_t until = patience_until();
    while (echo_stats(&echo).disconnected == 0 || echo_stats(&echo).connections > 0) {
        assert_true(now_ms() < until);
        sleep_ms(5);
    }
    (void)close(fd);
    echo.reply_bytes = 0;
    assert_serves(echo.url);
    echo_stop(&echo);
}

static void raw_receive_zeros(int fd, size_t len)
{
    uint8_t got[4096];
    while (len > 0) {
        ssize_t n = recv(fd, got, len < sizeof got ? len : sizeof got, 0);
        assert_true(n > 0);
        len -= (size_t)n;
    }
}

static void transport_refuses_connections_beyond_its_most(void **state)
{
    (void)state;
    struct echo echo;
    echo_start_with(&echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){
                        .contexts = 4, .send_timeout_ms = 500, .connections_max = 2});
    int a = raw_join(echo.url, 0x30, 0x31);
    int b = raw_join(echo.url, 0x30, 0x31);
    int c = raw_dial(echo.url);
    assert_true(raw_hung_up(c));
    (void)close(c);
    sleep_ms(1500); /* the watchdog's own dialing would be refused too: no fault of the listener */
    assert_int_equal(echo_stats(&echo).relistens, 0);
    (void)close(a);
    (void)close(b);
    assert_serves(echo.url);
    echo_stop(&echo);
}

static void transport_refuses_a_connection_with_too_many_in_hand(void **state)
{
    (void)state;
    struct echo echo;
    echo_start_with(&echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){
                        .contexts = 32, .per_connection = 4, .send_timeout_ms = 500});
    atomic_store(&echo.holding, true);
    struct transport_client *client = client_of(echo.url);
    struct result results[6];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(result_start(&results[i], client, bytes_of("hold"), PATIENCE_MS), HF_OK);
    }
    uint64_t until = patience_until();
    while (atomic_load(&echo.handled) < 4) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    for (int i = 4; i < 6; i++) { /* refused at once, one after the other */
        assert_int_equal(result_start(&results[i], client, bytes_of("more"), PATIENCE_MS), HF_OK);
        result_wait(&results[i]);
        assert_int_equal(results[i].status, HF_OK);
        assert_int_equal(results[i].reply_bytes, 4);
        assert_memory_equal(results[i].reply, "busy", 4);
    }
    assert_int_equal(atomic_load(&echo.refused), 2);
    struct transport_client *other = client_of(echo.url); /* has its own count */
    atomic_store(&echo.holding, false);
    assert_int_equal(ask_text(other, "mine", PATIENCE_MS), HF_OK);
    echo_answer_held(&echo);
    for (int i = 0; i < 4; i++) {
        result_wait(&results[i]);
        assert_int_equal(results[i].status, HF_OK);
    }
    assert_int_equal(ask_text(client, "again", PATIENCE_MS), HF_OK);
    transport_client_close(other);
    transport_client_close(client);
    echo_stop(&echo);
}

static void raw_message(uint8_t message[13], uint8_t byte)
{
    raw_head(message, 1);
    message[11] = byte; /* makes the id another one, too */
    message[12] = byte;
}

static void transport_takes_messages_however_they_are_cut(void **state)
{
    (void)state;
    struct echo echo;
    echo_start_with(&echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){
                        .contexts = 64, .per_connection = 100, .send_timeout_ms = 500});
    int fd = raw_dial(echo.url);
    enum { MESSAGES = 100 }; /* more than are taken at once */
    static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    uint8_t all[8 + 13 * MESSAGES];
    memcpy(all, greeting, 8);
    for (int i = 0; i < MESSAGES; i++) {
        raw_message(all + 8 + 13 * i, (uint8_t)i);
    }
    raw_send(fd, all, sizeof all); /* handshake and all in one piece */
    uint8_t got[sizeof all];
    raw_receive(fd, got, sizeof got);
    bool seen[MESSAGES] = {false}; /* answers may come in any order */
    for (int i = 0; i < MESSAGES; i++) {
        const uint8_t *message = got + 8 + 13 * i;
        assert_true(message[12] < MESSAGES);
        assert_memory_equal(message, all + 8 + 13 * message[12], 13);
        assert_false(seen[message[12]]);
        seen[message[12]] = true;
    }
    (void)close(fd);
    fd = raw_dial(echo.url);
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; i < 8 + 13 * 3; i++) { /* byte by byte */
        raw_send(fd, all + i, 1);
        sleep_ms(1);
    }
    raw_receive(fd, got, 8 + 13 * 3);
    assert_memory_equal(got + 8, all + 8, 13 * 3);
    (void)close(fd);
    echo_stop(&echo);
}

static void transport_keeps_the_backtrace_and_drops_what_went_too_far(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    uint8_t hops[8 + 4 * 9 + 1] = {0};
    for (uint8_t words = 1; words <= 9; words++) { /* 8 are allowed */
        memset(hops, 0, sizeof hops);
        hops[7] = (uint8_t)(4 * words + 1);
        for (uint8_t i = 0; i < words; i++) {
            hops[8 + 4 * i + 3] = i;
        }
        hops[8 + 4 * (words - 1)] = 0x80;
        hops[8 + 4 * words] = words;
        raw_send(fd, hops, 8u + 4u * words + 1u);
        if (words <= 8) {
            uint8_t got[sizeof hops];
            raw_receive(fd, got, 8u + 4u * words + 1u);
            assert_memory_equal(got, hops, 8u + 4u * words + 1u);
        }
    }
    uint8_t message[13];
    raw_message(message, 7); /* after the one that was dropped */
    raw_send(fd, message, sizeof message);
    uint8_t got[13];
    raw_receive(fd, got, sizeof got);
    assert_memory_equal(got, message, sizeof got);
    assert_int_equal(atomic_load(&echo.handled), 9);
    static const uint8_t no_id[8 + 3] = {0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0};
    raw_send(fd, no_id, sizeof no_id);
    assert_true(raw_hung_up(fd));
    (void)close(fd);
    echo_stop(&echo);
}

/* Fewer exchanges than requests: connections wait for them in turn. */
static void transport_serves_more_requests_than_it_has_exchanges(void **state)
{
    (void)state;
    struct echo echo;
    echo_start_with(&echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){
                        .contexts = 2, .per_connection = 16, .send_timeout_ms = PATIENCE_MS});
    atomic_store(&echo.holding, true);
    enum { CLIENTS = 4, CALLS = 10 };
    struct transport_client *clients[CLIENTS];
    struct result results[CLIENTS * CALLS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_of(echo.url);
    }
    for (int i = 0; i < CLIENTS * CALLS; i++) {
        assert_int_equal(
            result_start(&results[i], clients[i % CLIENTS], bytes_of("mine"), PATIENCE_MS), HF_OK);
    }
    uint64_t until = patience_until();
    while (atomic_load(&echo.handled) < 2) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    sleep_ms(20);
    assert_int_equal(atomic_load(&echo.handled), 2);
    for (int i = 0; i < CLIENTS * CALLS; i++) {
        while (atomic_load_explicit(&results[i].times, memory_order_acquire) == 0) {
            assert_true(now_ms() < until);
            echo_answer_held(&echo);
            sleep_ms(1);
        }
        assert_int_equal(results[i].status, HF_OK);
        assert_int_equal(atomic_load(&results[i].times), 1);
    }
    assert_int_equal(atomic_load(&echo.handled), CLIENTS * CALLS);
    for (int i = 0; i < CLIENTS; i++) {
        transport_client_close(clients[i]);
    }
    echo_stop(&echo);
}

/* More replies than the server keeps for a connection: it reads no further until they have left. */
static void transport_sends_all_to_a_client_that_reads_late(void **state)
{
    (void)state;
    struct echo echo;
    echo_start_with(&echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){
                        .contexts = 64, .per_connection = 1000, .send_timeout_ms = PATIENCE_MS});
    enum { MESSAGES = 80 };
    echo.reply_bytes = 1 << 20;
    echo.zeros = calloc(1, echo.reply_bytes);
    uint8_t *got = malloc(12 + echo.reply_bytes);
    assert_non_null(echo.zeros);
    assert_non_null(got);
    int fd = raw_dial(echo.url);
    raw_handshake(fd);
    uint8_t message[13];
    for (int i = 0; i < MESSAGES; i++) {
        raw_message(message, (uint8_t)i);
        raw_send(fd, message, sizeof message);
    }
    sleep_ms(50);
    assert_true(atomic_load(&echo.handled) < MESSAGES);
    for (int i = 0; i < MESSAGES; i++) {
        raw_receive(fd, got, 12 + echo.reply_bytes);
        assert_int_equal(got[8], 0x80);
    }
    assert_int_equal(atomic_load(&echo.handled), MESSAGES);
    assert_int_equal(echo_stats(&echo).disconnected, 0);
    (void)close(fd);
    free(got);
    echo_stop(&echo);
}

/* ---- Ends ---- */

static void transport_drain_answers_what_is_in_hand(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    struct transport_client *client = client_of(echo.url);
    assert_int_equal(ask_text(client, "before", PATIENCE_MS), HF_OK); /* the others are sent */
    atomic_store(&echo.holding, true);
    struct result results[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(result_start(&results[i], client, bytes_of("held"), 3000), HF_OK);
    }
    uint64_t until = patience_until();
    while (atomic_load(&echo.handled) < 5) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    uint64_t start = now_ms();
    transport_server_drain(echo.server, 100); /* they are held: it gives up */
    assert_true(now_ms() - start >= 100);
    assert_int_equal(atomic_load(&echo.handled), 5);
    echo_stop(&echo);
    for (int i = 0; i < 4; i++) {
        result_wait(&results[i]);
        assert_int_equal(results[i].status, HF_TIMED_OUT); /* sent, and never answered */
    }
    transport_client_close(client);
}

static void *answer_soon(void *arg)
{
    sleep_ms(50);
    echo_answer_held(arg);
    return NULL;
}

static void transport_drain_takes_nothing_new_and_waits_for_replies(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    atomic_store(&echo.holding, true);
    struct transport_client *client = client_of(echo.url);
    struct result held;
    assert_int_equal(result_start(&held, client, bytes_of("held"), PATIENCE_MS), HF_OK);
    uint64_t until = patience_until();
    while (atomic_load(&echo.handled) < 1) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_soon, &echo), 0);
    transport_server_drain(echo.server, PATIENCE_MS);
    pthread_join(thread, NULL);
    assert_int_equal(echo.held_count, 0);
    result_wait(&held);
    assert_int_equal(held.status, HF_OK);
    assert_int_not_equal(ask_text(client, "new", 100), HF_OK);
    assert_int_equal(atomic_load(&echo.handled), 1);
    echo_stop(&echo);
    transport_client_close(client);
}

static void transport_drain_waits_for_handlers_however_long_they_take(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    echo.delay_ms = 300;
    struct transport_client *client = client_of(echo.url);
    struct result result;
    assert_int_equal(result_start(&result, client, bytes_of("slow"), PATIENCE_MS), HF_OK);
    uint64_t until = patience_until();
    while (atomic_load(&echo.handled) == 0) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    transport_server_drain(echo.server, 0);
    assert_int_equal(atomic_load(&echo.ended), 1);
    assert_int_equal(atomic_load(&echo.handled), 1);
    transport_client_close(client);
    echo_stop(&echo);
}

static void transport_client_reads_replies_while_much_is_to_be_sent(void **state)
{
    (void)state;
    enum { BODY = 256 << 10, CALLS = 64, READ = 3 };
    char url[64];
    int listening = raw_listen(url);
    struct transport_client *client = client_of(url);
    int fd = raw_accept(listening);
    wait_connected(client, 1);
    static struct result results[CALLS];
    uint8_t *body = calloc(1, BODY);
    assert_non_null(body);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(result_start(&results[i], client, (struct bytes){body, BODY}, PATIENCE_MS),
                         HF_OK);
    }
    uint8_t heads[READ][12];
    for (int i = 0; i < READ; i++) {
        raw_receive(fd, heads[i], sizeof heads[i]);
        raw_receive_zeros(fd, BODY);
    }
    for (int i = 0; i < READ; i++) { /* and reads no more, but answers */
        static const uint8_t len[8] = {0, 0, 0, 0, 0, 0, 0, 4};
        memcpy(heads[i], len, sizeof len);
        raw_send(fd, heads[i], sizeof heads[i]);
        result_wait(&results[i]);
        assert_int_equal(results[i].status, HF_OK);
    }
    transport_client_close(client);
    free(body);
    (void)close(fd);
    (void)close(listening);
}

static void transport_client_gives_up_a_connection_that_takes_nothing(void **state)
{
    (void)state;
    enum { BODY = 128 << 10, CALLS = 64, ROUNDS = 40 };
    char url[64];
    int listening = raw_listen(url);
    struct transport_client *client = client_of(url);
    int fd = raw_accept(listening);
    wait_connected(client, 1);
    static struct result results[CALLS];
    uint8_t *body = calloc(1, BODY);
    assert_non_null(body);
    /* Without end each round would leave 8 MiB to be sent to a peer that does not read. */
    bool hung_up = false;
    for (int round = 0; round < ROUNDS && !hung_up; round++) {
        for (int i = 0; i < CALLS; i++) {
            assert_int_equal(result_start(&results[i], client, (struct bytes){body, BODY}, 20),
                             HF_OK);
        }
        for (int i = 0; i < CALLS; i++) {
            result_wait(&results[i]);
            assert_true(results[i].status == HF_TIMED_OUT || results[i].status == HF_UNREACHABLE);
        }
        struct pollfd wait = {.fd = listening, .events = POLLIN};
        hung_up =
            poll(&wait, 1, round + 1 < ROUNDS ? 20 : (int)patience_ms()) == 1; /* it dials anew */
    }
    assert_true(hung_up);
    int again = raw_accept(listening);
    wait_connected(client, 2);
    transport_client_close(client);
    free(body);
    (void)close(again);
    (void)close(fd);
    (void)close(listening);
}

static void transport_client_repeats_when_the_server_comes_back(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    char url[256];
    (void)snprintf(url, sizeof url, "%s", echo.url);
    struct transport_client *client = client_of(url);
    assert_int_equal(ask_text(client, "first", PATIENCE_MS), HF_OK);
    atomic_store(&echo.holding, true);
    struct result lost;
    assert_int_equal(result_start(&lost, client, bytes_of("lost"), PATIENCE_MS), HF_OK);
    uint64_t until = patience_until();
    while (atomic_load(&echo.handled) < 2) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    echo_stop(&echo); /* with the request in hand */
    sleep_ms(30);
    echo_start(&echo, url);
    result_wait(&lost);
    assert_int_equal(lost.status, HF_OK);
    assert_memory_equal(lost.reply, "lost", 4);
    assert_true(transport_client_connections(client) >= 2);
    transport_client_close(client);
    echo_stop(&echo);
}

static void transport_client_tells_unreachable_from_timed_out(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    char url[256];
    (void)snprintf(url, sizeof url, "%s", echo.url);
    struct transport_client *client = client_of(url);
    assert_int_equal(ask_text(client, "answered", PATIENCE_MS), HF_OK); /* it is connected */
    atomic_store(&echo.holding, true);
    uint64_t start = now_ms();
    assert_int_equal(ask_text(client, "held", 500), HF_TIMED_OUT);
    assert_true(now_ms() - start >= 495);
    echo_stop(&echo);
    transport_client_close(client);

    int listening = raw_listen(url); /* and says nothing */
    client = client_of(url);
    assert_false(transport_client_connected(client));
    start = now_ms();
    assert_int_equal(ask_text(client, "x", 100), HF_UNREACHABLE);
    assert_true(now_ms() - start >= 95);
    assert_int_equal(transport_client_connections(client), 0);
    transport_client_close(client);
    (void)close(listening);
}

static void transport_client_is_busy_beyond_its_calls(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    atomic_store(&echo.holding, true);
    struct transport_client *client;
    assert_int_equal(transport_client_open(&client, echo.url, 2), HF_OK);
    struct result a;
    struct result b;
    struct result c;
    assert_int_equal(result_start(&a, client, bytes_of("a"), PATIENCE_MS), HF_OK);
    assert_int_equal(result_start(&b, client, bytes_of("b"), PATIENCE_MS), HF_OK);
    assert_int_equal(result_start(&c, client, bytes_of("c"), PATIENCE_MS), HF_BUSY);
    transport_client_close(client);
    assert_int_equal(atomic_load(&a.times), 1);
    assert_int_equal(atomic_load(&b.times), 1);
    assert_int_equal(atomic_load(&c.times), 0);
    assert_int_equal(a.status, HF_CANCELED);
    assert_int_equal(b.status, HF_CANCELED);
    echo_stop(&echo);
}

/* done() that starts the next call, from the transport's thread. */
struct chain {
    struct transport_call call;
    struct transport_client *client;
    atomic_uint calls;
    atomic_bool ended;
};

static void chain_done(struct transport_call *call, enum hf_status status, struct bytes reply)
{
    struct chain *chain = call->user;
    (void)reply;
    if (status == HF_OK && atomic_fetch_add(&chain->calls, 1) < 200) {
        assert_int_equal(transport_client_call(chain->client, call, bytes_of("n"), PATIENCE_MS),
                         HF_OK);
        return;
    }
    atomic_store_explicit(&chain->ended, true, memory_order_release);
}

static void transport_client_may_call_from_done(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    struct transport_client *client;
    assert_int_equal(transport_client_open(&client, echo.url, 1), HF_OK);
    struct chain chain = {.call = {.done = chain_done}, .client = client};
    chain.call.user = &chain;
    assert_int_equal(transport_client_call(client, &chain.call, bytes_of("n"), PATIENCE_MS), HF_OK);
    uint64_t until = patience_until();
    while (!atomic_load_explicit(&chain.ended, memory_order_acquire)) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    assert_int_equal(atomic_load(&chain.calls), 201);
    transport_client_close(client);
    echo_stop(&echo);
}

static void transport_client_close_ends_a_storm_of_calls_once_each(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    for (int round = 0; round < 30; round++) {
        struct transport_client *client = client_of(echo.url);
        struct result results[32];
        for (int i = 0; i < 32; i++) {
            assert_int_equal(result_start(&results[i], client, bytes_of("s"), PATIENCE_MS), HF_OK);
        }
        sleep_ms((unsigned)round % 4);
        transport_client_close(client);
        for (int i = 0; i < 32; i++) {
            assert_int_equal(atomic_load(&results[i].times), 1);
            assert_true(results[i].status == HF_OK || results[i].status == HF_CANCELED);
        }
    }
    echo_stop(&echo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transport_echoes_64_in_flight_over_tcp),
        cmocka_unit_test(transport_echoes_64_in_flight_over_ipc),
        cmocka_unit_test(transport_answers_later_and_from_another_thread),
        cmocka_unit_test(transport_reports_bad_and_taken_addresses),
        cmocka_unit_test(transport_removes_a_stale_ipc_socket_and_no_live_one),
        cmocka_unit_test(transport_closes_only_the_connection_of_a_message_too_large),
        cmocka_unit_test(transport_survives_clients_that_vanish_over_tcp),
        cmocka_unit_test(transport_cuts_off_a_client_that_never_reads),
        cmocka_unit_test(transport_refuses_connections_beyond_its_most),
        cmocka_unit_test(transport_refuses_a_connection_with_too_many_in_hand),
        cmocka_unit_test(transport_takes_messages_however_they_are_cut),
        cmocka_unit_test(transport_keeps_the_backtrace_and_drops_what_went_too_far),
        cmocka_unit_test(transport_serves_more_requests_than_it_has_exchanges),
        cmocka_unit_test(transport_sends_all_to_a_client_that_reads_late),
        cmocka_unit_test(transport_drain_answers_what_is_in_hand),
        cmocka_unit_test(transport_drain_takes_nothing_new_and_waits_for_replies),
        cmocka_unit_test(transport_drain_waits_for_handlers_however_long_they_take),
        cmocka_unit_test(transport_client_reads_replies_while_much_is_to_be_sent),
        cmocka_unit_test(transport_client_gives_up_a_connection_that_takes_nothing),
        cmocka_unit_test(transport_client_repeats_when_the_server_comes_back),
        cmocka_unit_test(transport_client_tells_unreachable_from_timed_out),
        cmocka_unit_test(transport_client_is_busy_beyond_its_calls),
        cmocka_unit_test(transport_client_may_call_from_done),
        cmocka_unit_test(transport_client_close_ends_a_storm_of_calls_once_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
