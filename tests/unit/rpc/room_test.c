/* room_test.c - who makes room when all places are taken, and how many one address may have. The
 * clock is shifted; what must not happen is looked for only where the test was quick enough. */
#include "unit/rpc/echo.h"

#include "rpc/peers.h"

extern atomic_uint_fast64_t timing_shift_ms;

enum { MAX = 3, IDLE_MS = 1000000 };

static void let_pass(unsigned ms)
{
    atomic_fetch_add(&timing_shift_ms, ms);
}

static void room_start(struct echo *echo, uint32_t idle_ms_max, uint32_t per_address)
{
    echo_start_with(echo, "tcp://127.0.0.1:0",
                    (struct transport_server_options){.contexts = 16,
                                                      .send_timeout_ms = 10 * IDLE_MS,
                                                      .connections_max = MAX,
                                                      .idle_ms_max = idle_ms_max,
                                                      .per_address = per_address});
}

static void wait_joined(struct echo *echo, unsigned count)
{
    uint64_t until = patience_until();
    while (echo_stats(echo).connections != count) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

static void wait_handled(struct echo *echo, unsigned count)
{
    uint64_t until = patience_until();
    while (atomic_load(&echo->handled) < count) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

/* Nothing comes, and the peer does not hang up. */
static void assert_quiet(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 30), 0);
}

/* Is let in at once, or not at all. */
static bool comes_in(const char *url, int *fd)
{
    char byte;
    *fd = raw_dial(url);
    bool in = recv(*fd, &byte, 1, MSG_PEEK) == 1;
    if (in) {
        raw_handshake(*fd);
    }
    return in;
}

/* MAX clients that have all greeted, one after the other. */
static void fill(struct echo *echo, int fds[MAX])
{
    for (int i = 0; i < MAX; i++) {
        assert_true(comes_in(echo->url, &fds[i]));
        wait_joined(echo, (unsigned)i + 1);
        let_pass(1000);
    }
}

static void empty(struct echo *echo, const int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    echo_stop(echo);
}

static void ask(int fd)
{
    uint8_t head[12];
    uint8_t got[12];
    raw_head(head, 0);
    raw_send(fd, head, sizeof head);
    raw_receive(fd, got, sizeof got);
}

static void room_is_made_at_once_by_the_one_that_was_quiet_longest(void **state)
{
    (void)state;
    struct echo echo;
    int fds[MAX + 2];
    room_start(&echo, IDLE_MS, 0);
    fill(&echo, fds);
    let_pass(IDLE_MS);
    ask(fds[0]); /* now it is the youngest */
    let_pass(1000);
    assert_true(comes_in(echo.url, &fds[MAX]));
    assert_true(raw_hung_up(fds[1]));
    assert_quiet(fds[0]);
    assert_quiet(fds[2]);
    assert_true(comes_in(echo.url, &fds[MAX + 1]));
    assert_true(raw_hung_up(fds[2]));
    ask(fds[0]);
    ask(fds[MAX]);
    ask(fds[MAX + 1]);
    assert_int_equal(echo_stats(&echo).disconnected, 0); /* they were no burden */
    empty(&echo, fds, MAX + 2);
}

static void room_is_not_made_by_those_that_were_active(void **state)
{
    (void)state;
    struct echo echo;
    int fds[MAX + 2];
    room_start(&echo, IDLE_MS, 0);
    fill(&echo, fds);
    assert_false(comes_in(echo.url, &fds[MAX]));
    for (int i = 0; i < MAX; i++) {
        assert_quiet(fds[i]);
    }
    let_pass(IDLE_MS); /* and later they do */
    assert_true(comes_in(echo.url, &fds[MAX + 1]));
    empty(&echo, fds, MAX + 2);
}

/* Where idle_ms_max is 0, as for subscribers, only handshakes that don't come make room. */
static void room_is_not_made_by_those_that_may_be_quiet(void **state)
{
    (void)state;
    struct echo echo;
    int fds[MAX + 1];
    room_start(&echo, 0, 0);
    fill(&echo, fds);
    let_pass(IDLE_MS);
    assert_false(comes_in(echo.url, &fds[MAX]));
    for (int i = 0; i < MAX; i++) {
        assert_quiet(fds[i]);
    }
    empty(&echo, fds, MAX + 1);
}

static void room_is_not_made_by_those_with_a_request_in_hand(void **state)
{
    (void)state;
    struct echo echo;
    int fds[MAX + 1];
    uint8_t head[12];
    uint8_t got[12];
    room_start(&echo, IDLE_MS, 0);
    fill(&echo, fds);
    atomic_store(&echo.holding, true);
    raw_head(head, 0);
    for (int i = 0; i < MAX; i++) {
        raw_send(fds[i], head, sizeof head);
    }
    wait_handled(&echo, MAX);
    atomic_store(&echo.holding, false);
    let_pass(10 * IDLE_MS);
    assert_false(comes_in(echo.url, &fds[MAX]));
    echo_answer_held(&echo);
    for (int i = 0; i < MAX; i++) {
        raw_receive(fds[i], got, sizeof got);
    }
    uint64_t until = patience_until();
    (void)close(fds[MAX]);
    do { /* that a reply has left is noticed some time after it was read */
        let_pass(10 * IDLE_MS);
        assert_true(now_ms() < until);
    } while (!comes_in(echo.url, &fds[MAX]));
    empty(&echo, fds, MAX + 1);
}

/* A handshake that has not come goes first, and after a second. */
static void room_is_made_first_by_those_that_did_not_greet(void **state)
{
    (void)state;
    struct echo echo;
    int fds[MAX + 1];
    uint8_t greeting[8];
    room_start(&echo, IDLE_MS, 0);
    assert_true(comes_in(echo.url, &fds[0]));
    wait_joined(&echo, 1);
    let_pass(2 * IDLE_MS); /* quiet for long */
    fds[1] = raw_dial(echo.url);
    raw_receive(fds[1], greeting, sizeof greeting);
    raw_send(fds[1], "\0SP", 3);
    let_pass(1000);
    assert_true(comes_in(echo.url, &fds[2]));
    wait_joined(&echo, 2);
    assert_true(comes_in(echo.url, &fds[3]));
    assert_true(raw_hung_up(fds[1]));
    assert_quiet(fds[0]);
    assert_quiet(fds[2]);
    empty(&echo, fds, MAX + 1);
}

/* One that has gone, and whose request is still in hand, leaves its place to the next. */
static void room_is_left_by_one_that_goes_by_itself(void **state)
{
    (void)state;
    struct echo echo;
    int fds[MAX + 1];
    uint8_t head[12];
    room_start(&echo, IDLE_MS, 0);
    fill(&echo, fds);
    let_pass(IDLE_MS);
    atomic_store(&echo.holding, true);
    raw_head(head, 0);
    raw_send(fds[0], head, sizeof head);
    wait_handled(&echo, 1);
    (void)close(fds[0]);
    wait_joined(&echo, MAX - 1);
    assert_true(comes_in(echo.url, &fds[MAX]));
    assert_quiet(fds[1]);
    assert_quiet(fds[2]);
    atomic_store(&echo.holding, false);
    echo_answer_held(&echo);
    empty(&echo, fds + 1, MAX);
}

/* What is closing keeps its memory for a while, but not without end: 3 / 8 + 1 beyond the places.
 */
static void room_has_a_bound_for_those_that_are_closing(void **state)
{
    (void)state;
    struct echo echo;
    int fds[MAX + 2];
    uint8_t head[12];
    room_start(&echo, IDLE_MS, 0);
    fill(&echo, fds);
    atomic_store(&echo.holding, true);
    raw_head(head, 0);
    for (int i = 0; i < 2; i++) {
        raw_send(fds[i], head, sizeof head);
        wait_handled(&echo, (unsigned)i + 1);
        (void)close(fds[i]);
        wait_joined(&echo, MAX - 1u - (unsigned)i);
    }
    assert_true(comes_in(echo.url, &fds[MAX]));
    assert_false(comes_in(echo.url, &fds[MAX + 1]));
    atomic_store(&echo.holding, false);
    echo_answer_held(&echo);
    assert_serves(echo.url);
    empty(&echo, fds + 2, MAX);
}

static int ipv6_dial(unsigned port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    address.sin6_addr = in6addr_loopback;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void one_address_has_its_most(void **state)
{
    (void)state;
    struct echo echo;
    int fds[MAX];
    room_start(&echo, IDLE_MS, 2);
    assert_true(comes_in(echo.url, &fds[0]));
    assert_true(comes_in(echo.url, &fds[1]));
    wait_joined(&echo, 2);
    assert_false(comes_in(echo.url, &fds[2]));
    (void)close(fds[2]);
    (void)close(fds[0]);
    wait_joined(&echo, 1);
    assert_true(comes_in(echo.url, &fds[0])); /* one has gone */
    wait_joined(&echo, 2);
    assert_false(comes_in(echo.url, &fds[2]));
    empty(&echo, fds, MAX);
}

/* ipc has no addresses: no bound, and no share. */
static void ipc_has_no_most_of_one_address(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    struct echo echo;
    int fds[MAX];
    echo_start_with(&echo, url,
                    (struct transport_server_options){.contexts = 16,
                                                      .send_timeout_ms = IDLE_MS,
                                                      .connections_max = MAX,
                                                      .idle_ms_max = IDLE_MS,
                                                      .per_address = 1});
    for (int i = 0; i < MAX; i++) {
        assert_true(comes_in(url, &fds[i]));
    }
    empty(&echo, fds, MAX);
    tempdir_remove(dir);
}

/* Two of three places are one address's: those that come from elsewhere, here over ipc, get one of
 * them, though they were active just now. It takes none back itself. */
static void room_is_made_by_the_address_that_has_most(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    char ipc[256];
    (void)snprintf(ipc, sizeof ipc, "ipc://%s/socket", dir);
    struct echo echo;
    int fds[MAX + 2];
    room_start(&echo, IDLE_MS, 0);
    assert_int_equal(transport_server_listen(echo.server, ipc, url, sizeof url), HF_OK);
    assert_true(comes_in(ipc, &fds[0]));
    wait_joined(&echo, 1);
    let_pass(10);
    for (int i = 1; i < MAX; i++) {
        assert_true(comes_in(echo.url, &fds[i]));
        wait_joined(&echo, (unsigned)i + 1);
        let_pass(10);
    }
    assert_false(comes_in(echo.url, &fds[MAX])); /* the same address has no right to it */
    (void)close(fds[MAX]);
    let_pass(100); /* the next search */
    assert_true(comes_in(ipc, &fds[MAX]));
    assert_true(raw_hung_up(fds[1]));
    assert_quiet(fds[0]);
    assert_quiet(fds[2]);
    let_pass(100);
    assert_false(comes_in(ipc, &fds[MAX + 1])); /* no address has more than half now */
    empty(&echo, fds, MAX + 2);
    tempdir_remove(dir);
}

static void loopback_is_one_address(void **state)
{
    (void)state;
    struct echo echo;
    char ipv6[256];
    int fd;
    room_start(&echo, IDLE_MS, 1);
    if (transport_server_listen(echo.server, "tcp://[::1]:0", ipv6, sizeof ipv6) == HF_OK) {
        assert_true(comes_in(echo.url, &fd));
        int other = ipv6_dial((unsigned)atoi(strrchr(ipv6, ':') + 1));
        assert_true(other >= 0);
        assert_true(raw_hung_up(other));
        (void)close(other);
        (void)close(fd);
    }
    echo_stop(&echo);
}

static void addresses_are_read_by_people(void **state)
{
    (void)state;
    char text[PEERS_ADDRESS_TEXT];
    peers_address_text(((uint64_t)1 << 32) | 0x0a010203u, text);
    assert_string_equal(text, "10.1.2.3");
    peers_address_text(0x20010db800010002u, text);
    assert_string_equal(text, "2001:db8:1:2::/64");
}

static void peers_are_counted_and_freed(void **state)
{
    (void)state;
    struct peers *peers = calloc(1, sizeof *peers);
    struct peer *of[1000];
    assert_non_null(peers);
    for (uint64_t i = 0; i < 1000; i++) {
        of[i] = peers_add(peers, (i % 300 + 1) << 20);
        assert_non_null(of[i]);
    }
    for (uint64_t i = 0; i < 300; i++) {
        assert_int_equal(peers_find(peers, (i + 1) << 20)->connections, i < 100 ? 4 : 3);
    }
    assert_int_equal(peers_greatest(peers)->connections, 4);
    for (unsigned i = 0; i < 1000; i++) {
        peers_remove(peers, of[i]);
    }
    assert_null(peers_greatest(peers));
    assert_null(peers_find(peers, 1 << 20));
    free(peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_made_at_once_by_the_one_that_was_quiet_longest),
        cmocka_unit_test(room_is_not_made_by_those_that_were_active),
        cmocka_unit_test(room_is_not_made_by_those_that_may_be_quiet),
        cmocka_unit_test(room_is_not_made_by_those_with_a_request_in_hand),
        cmocka_unit_test(room_is_made_first_by_those_that_did_not_greet),
        cmocka_unit_test(room_is_left_by_one_that_goes_by_itself),
        cmocka_unit_test(room_has_a_bound_for_those_that_are_closing),
        cmocka_unit_test(one_address_has_its_most),
        cmocka_unit_test(ipc_has_no_most_of_one_address),
        cmocka_unit_test(room_is_made_by_the_address_that_has_most),
        cmocka_unit_test(loopback_is_one_address),
        cmocka_unit_test(addresses_are_read_by_people),
        cmocka_unit_test(peers_are_counted_and_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
